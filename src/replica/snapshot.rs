//! Checkpoints: the state as records, in chunks taken between steps.
//!
//! A chunk is a list of records like any other, so loading a checkpoint is applying them. The
//! chunks of one checkpoint are of different moments: batches since its begin are replayed over
//! it, and because records hold absolute values that gives the state as it was at the end.

use super::Replica;
use super::requests::RequestId;
use crate::types::{ReplicaId, ReservationId, Sku};
use crate::wire::{Key, Merge, Record};

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
        let chunk: Vec<_> = self.state.reservations.after(after).take(limit).cloned().collect();
        let next = match chunk.last() {
            Some(last) if chunk.len() == limit => Cursor::Reservations(Some(last.id.clone())),
            _ => Cursor::Requests(None),
        };
        (chunk.into_iter().map(Record::Reservation).collect(), Some(next))
    }

    fn requests_chunk(&self, after: Option<&RequestId>, limit: usize) -> (Vec<Record>, Option<Cursor>) {
        let chunk: Vec<_> = self.state.requests.after(after).take(limit).cloned().collect();
        let next = match chunk.last() {
            Some(last) if chunk.len() == limit => Cursor::Requests(Some(last.id)),
            _ => Cursor::Watermarks,
        };
        (chunk.into_iter().map(Record::Request).collect(), Some(next))
    }

    fn watermarks(&self) -> Vec<Record> {
        let of = |(origin, log): (&ReplicaId, &super::log::Log)| Record::Watermark {
            origin: *origin,
            upto: log.watermark,
        };
        self.state.logs.iter().map(of).collect()
    }
}
