//! Requests that carried a key, and the answers they got.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::{Caller, Command, ImportLine, Put, Request, ReservationId, Sell, Timestamp};
use crate::wire::{Remembered, codec};

/// What a remembered request takes beyond its answer, in bytes: two places in ordered tables.
const BYTES_EACH: u64 = 160;

/// (caller, scope, key), hashed.
pub type RequestId = [u8; 16];
/// A command, hashed.
pub type Fingerprint = [u8; 16];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    by_id: BTreeMap<RequestId, Remembered>,
    by_time: BTreeSet<(Timestamp, RequestId)>,
    bytes: u64,
}

impl Requests {
    pub fn find(&self, id: &RequestId) -> Option<&Remembered> {
        self.by_id.get(id)
    }

    pub fn put(&mut self, request: Remembered) {
        let (id, time) = (request.id, request.time);
        self.bytes += bytes_of(&request);
        if let Some(old) = self.by_id.insert(id, request) {
            self.bytes -= bytes_of(&old);
            self.by_time.remove(&(old.time, id));
        }
        self.by_time.insert((time, id));
    }

    /// When the longest remembered one was answered.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(time, _)| *time)
    }

    pub fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.by_time.pop_first()
            && let Some(old) = self.by_id.remove(&id)
        {
            self.bytes -= bytes_of(&old);
        }
    }

    /// Those whose id comes after `after`, in order of id.
    pub fn after(&self, after: Option<&RequestId>) -> impl Iterator<Item = &Remembered> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, |id| Excluded(*id));
        self.by_id.range((from, Unbounded)).map(|(_, request)| request)
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn bytes_of(request: &Remembered) -> u64 {
    BYTES_EACH + codec::encoded_len(request) as u64
}

/// Under which id a request is remembered; `None` without a key.
pub fn request_id(request: &Request) -> Option<RequestId> {
    let key = request.key.as_ref()?;
    Some(id_of(request.caller, &[&key.scope, &key.key]))
}

/// Under which id a line of an import is remembered: one line keeps its id when others of the
/// file are corrected, added or taken out.
pub fn import_id(caller: Caller, key: &str, line: &ImportLine) -> RequestId {
    id_of(caller, &["import", key, line.sku.as_str(), &line.repeat.to_string()])
}

/// Tells a line of an import from another under the same id.
pub fn line_fingerprint(line: &ImportLine) -> Fingerprint {
    first_half(blake3::hash(&codec::encode(line)))
}

fn id_of(caller: Caller, parts: &[&str]) -> RequestId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(caller as u32).to_le_bytes());
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    first_half(hasher.finalize())
}

/// Tells a command from another under the same key. An id that the server made up for this
/// attempt is left out, because the retry has a different one; so is the mark of a retry.
pub fn fingerprint(command: &Command) -> Fingerprint {
    let hash = |command: &Command| first_half(blake3::hash(&codec::encode(command)));
    let told = |id: &ReservationId, minted: bool| match minted {
        true => ReservationId::new("minted").expect("a valid id"),
        false => id.clone(),
    };
    match command {
        Command::Put(put) => {
            hash(&Command::Put(Put { id: told(&put.id, put.minted), retry: false, ..put.clone() }))
        }
        Command::Sell(sell) => hash(&Command::Sell(Sell { id: told(&sell.id, sell.minted), ..sell.clone() })),
        other => hash(other),
    }
}

fn first_half(hash: blake3::Hash) -> [u8; 16] {
    let (half, _) = hash.as_bytes().split_first_chunk().expect("32 bytes have a first half");
    *half
}
