//! Checkpoints: the state as records, in chunks taken between steps.
//!
//! A chunk is a list of records like any other, so loading a checkpoint is applying them. The
//! chunks of one checkpoint are of different moments: batches since its begin are replayed over
//! it, and because records hold absolute values that gives the state as it was at the end.

use super::Replica;
use super::requests::RequestId;
use crate::planted::{self, Bug};
use crate::types::{ReplicaId, ReservationId, Sku};
use crate::wire::{Key, Merge, Record, codec};

/// A chunk ends once it holds this much, whatever its number of things.
const CHUNK_BYTES: usize = 1 << 20;
const CHUNK_LINES: usize = 10_000;

/// Where a checkpoint has got to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Cursor {
    /// The genesis, then sessions, members, settings: entries that are not rows.
    #[default]
    Start,
    Others(ReplicaId, Key),
    Items(Option<Sku>),
    Reservations(Option<ReservationId>),
    Requests(Option<RequestId>),
    /// Notes of what was sent elsewhere.
    Placed(Option<ReservationId>),
    Watermarks,
}

impl Replica {
    /// The next chunk, of about `limit` things, and where to go on; `None`: that was the last.
    pub fn snapshot(&self, cursor: &Cursor, limit: usize) -> (Vec<Record>, Option<Cursor>) {
        match cursor {
            Cursor::Start => {
                let (mut records, next) = self.others_chunk(None, limit);
                records.insert(0, Record::Genesis(self.state.genesis.clone()));
                (records, next)
            }
            Cursor::Others(origin, key) => self.others_chunk(Some((origin, key)), limit),
            Cursor::Items(after) => self.items_chunk(after.as_ref(), limit),
            Cursor::Reservations(after) => self.reservations_chunk(after.as_ref(), limit),
            Cursor::Requests(after) => self.requests_chunk(after.as_ref(), limit),
            Cursor::Placed(after) => self.placed_chunk(after.as_ref(), limit),
            Cursor::Watermarks => (self.watermarks(), None),
        }
    }

    fn others_chunk(&self, after: Option<(&ReplicaId, &Key)>, limit: usize) -> (Vec<Record>, Option<Cursor>) {
        let me = self.state.me();
        let mut records = Vec::new();
        for (origin, log) in &self.state.logs {
            if after.is_some_and(|(done, _)| origin < done) {
                continue;
            }
            let from = after.filter(|(at, _)| *at == origin).map(|(_, key)| key);
            for (key, entry) in log.others_after(from) {
                let entries = vec![entry.clone()];
                let merge = Merge { entries: entries.clone(), claim: None };
                records.push(if *origin == me { Record::Own(entries) } else { Record::Merge(merge) });
                if records.len() >= limit {
                    records.truncate(limit - usize::from(planted::is_on(Bug::CheckpointSkipsEntry)));
                    return (records, Some(Cursor::Others(*origin, key.clone())));
                }
            }
        }
        (records, Some(Cursor::Items(None)))
    }

    fn items_chunk(&self, after: Option<&Sku>, limit: usize) -> (Vec<Record>, Option<Cursor>) {
        use std::ops::Bound::{Excluded, Unbounded};
        let me = self.state.me();
        let from = after.map_or(Unbounded, |sku| Excluded(sku.clone()));
        let mut records = Vec::new();
        for (count, (sku, item)) in (1..).zip(self.state.items.range((from, Unbounded))) {
            let key = Key::Item(sku.clone());
            let rows = item.rows.keys().filter_map(|origin| self.state.entry(*origin, &key));
            let (own, others): (Vec<_>, Vec<_>) = rows.partition(|entry| entry.origin == me);
            if !own.is_empty() {
                records.push(Record::Own(own));
            }
            if !others.is_empty() {
                records.push(Record::Merge(Merge { entries: others, claim: None }));
            }
            if count >= limit {
                return (records, Some(Cursor::Items(Some(sku.clone()))));
            }
        }
        (records, Some(Cursor::Reservations(None)))
    }

    fn reservations_chunk(
        &self,
        after: Option<&ReservationId>,
        limit: usize,
    ) -> (Vec<Record>, Option<Cursor>) {
        let mut chunk: Vec<Record> = Vec::new();
        let (mut lines, mut last) = (0, None);
        for reservation in self.state.reservations.after(after) {
            if chunk.len() >= limit || lines >= CHUNK_LINES {
                chunk.truncate(limit - usize::from(planted::is_on(Bug::CheckpointSkipsReservation)));
                return (chunk, Some(Cursor::Reservations(last)));
            }
            lines += reservation.lines.len();
            last = Some(reservation.id.clone());
            chunk.push(Record::Reservation(reservation.clone()));
        }
        (chunk, Some(Cursor::Requests(None)))
    }

    fn requests_chunk(&self, after: Option<&RequestId>, limit: usize) -> (Vec<Record>, Option<Cursor>) {
        let mut chunk: Vec<Record> = Vec::new();
        let (mut bytes, mut last) = (0, None);
        for request in self.state.requests.after(after) {
            if planted::is_on(Bug::DedupNotInCheckpoint) {
                break;
            }
            // Remembered answers differ in size a thousandfold.
            if chunk.len() >= limit || bytes >= CHUNK_BYTES {
                return (chunk, Some(Cursor::Requests(last)));
            }
            bytes += codec::encoded_len(request);
            last = Some(request.id);
            chunk.push(Record::Request(Box::new(request.clone())));
        }
        (chunk, Some(Cursor::Placed(None)))
    }

    fn placed_chunk(&self, after: Option<&ReservationId>, limit: usize) -> (Vec<Record>, Option<Cursor>) {
        let mut notes = self.state.notes.after(after);
        let chunk: Vec<Record> =
            notes.by_ref().take(limit).map(|note| Record::Placed(note.clone())).collect();
        match chunk.last() {
            Some(Record::Placed(last)) if chunk.len() == limit => {
                (chunk.clone(), Some(Cursor::Placed(Some(last.id.clone()))))
            }
            _ => (chunk, Some(Cursor::Watermarks)),
        }
    }

    fn watermarks(&self) -> Vec<Record> {
        let of = |(origin, log): (&ReplicaId, &super::log::Log)| Record::Watermark {
            origin: *origin,
            upto: log.watermark,
        };
        self.state.logs.iter().map(of).collect()
    }
}
