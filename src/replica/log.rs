//! What is here of one replica's log: how far without a gap, and which key changed where.

use std::collections::BTreeMap;

use crate::planted::{self, Bug};
use crate::types::{ReplicaId, Seq};
use crate::wire::{Body, Entry, Key, Session};

/// One replica's log as it is known here. For the own replica it is complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// Nothing at or below is missing.
    pub watermark: Seq,
    /// The newest start that is known.
    pub session: Option<Session>,
    /// The newest version of each key that is not a row. Rows live with their items.
    others: BTreeMap<Key, Entry>,
    /// Where each key changed last.
    keys: BTreeMap<Seq, Key>,
}

impl Log {
    /// Notes that `key` moved from `old` to `new`.
    pub fn moved(&mut self, key: Key, old: Seq, new: Seq) {
        if old > Seq::ZERO {
            self.keys.remove(&old);
        }
        self.keys.insert(new, key);
    }

    /// Takes a key's version that is not a row, unless a newer one is here. True when taken.
    pub fn take(&mut self, entry: &Entry) -> bool {
        let old = self.seq_of(&entry.key);
        if entry.seq <= old {
            return false;
        }
        if let Body::Session(session) = &entry.body {
            self.session = Some(*session);
        }
        self.moved(entry.key.clone(), old, entry.seq);
        self.others.insert(entry.key.clone(), entry.clone());
        true
    }

    /// The version of a key that is not a row; 0 when it never was.
    pub fn seq_of(&self, key: &Key) -> Seq {
        self.others.get(key).map_or(Seq::ZERO, |entry| entry.seq)
    }

    pub fn other(&self, key: &Key) -> Option<&Entry> {
        self.others.get(key)
    }

    /// The highest sequence of which anything is here.
    pub fn newest(&self) -> Seq {
        let newest = self.keys.last_key_value().map_or(Seq::ZERO, |(seq, _)| *seq);
        newest.max(self.watermark)
    }

    /// Versions of keys that are not rows, of keys after `key`, in order of key.
    pub fn others_after(&self, key: Option<&Key>) -> impl Iterator<Item = (&Key, &Entry)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = key.map_or(Unbounded, |key| Excluded(key.clone()));
        self.others.range((from, Unbounded))
    }

    /// Keys whose newest version lies past `after`, in order of it.
    pub fn keys_after(&self, after: Seq) -> impl Iterator<Item = (Seq, &Key)> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.keys.range((Excluded(after), Unbounded)).map(|(seq, key)| (*seq, key))
    }

    /// Whether the session that wrote an entry is the one its place in the log asks for. Of a log
    /// without a session there is nothing to take in yet: who holds an entry but not its session
    /// would, after a crash, look to the log's owner like a witness of an older disk.
    pub fn admits(&self, session: u64, seq: Seq) -> bool {
        if planted::is_on(Bug::SessionNotChecked) {
            return true;
        }
        match self.session {
            None => false,
            Some(latest) if seq < latest.first => true,
            Some(latest) => session == latest.nonce,
        }
    }
}

/// The place in a log of each of several new own entries.
#[derive(Debug)]
pub struct NextSeq(pub Seq);

impl NextSeq {
    pub fn advance(&mut self) -> Seq {
        self.0 = self.0.next();
        self.0
    }
}

/// All logs, by their owner.
pub type Logs = BTreeMap<ReplicaId, Log>;
