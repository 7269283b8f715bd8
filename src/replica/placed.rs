//! Notes of reservations that were sent to other members to be decided there: the table, with the
//! order in which they are forgotten. What they are for is in [`placing`](super::placing).

use std::collections::{BTreeMap, BTreeSet};

use super::requests::RequestId;
use crate::types::{ReservationId, Timestamp};
use crate::wire::Placed;

/// What a note takes beyond its ids, in bytes: three places in ordered tables.
const BYTES_EACH: u64 = 220;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    by_id: BTreeMap<ReservationId, Placed>,
    by_request: BTreeMap<RequestId, ReservationId>,
    by_time: BTreeSet<(Timestamp, ReservationId)>,
    bytes: u64,
}

impl Notes {
    pub fn find(&self, id: &ReservationId) -> Option<&Placed> {
        self.by_id.get(id)
    }

    /// The note of what was asked for under this key.
    pub fn of_request(&self, request: &RequestId) -> Option<&Placed> {
        self.by_id.get(self.by_request.get(request)?)
    }

    /// Takes a note, instead of an older one of its id; or takes the older one back.
    pub fn put(&mut self, note: &Placed) {
        self.remove(&note.id);
        if note.withdrawn {
            return;
        }
        self.bytes += bytes_of(note);
        self.by_time.insert((note.time, note.id.clone()));
        if let Some(request) = note.request {
            self.by_request.insert(request.id, note.id.clone());
        }
        self.by_id.insert(note.id.clone(), note.clone());
    }

    fn remove(&mut self, id: &ReservationId) {
        let Some(old) = self.by_id.remove(id) else { return };
        self.bytes -= bytes_of(&old);
        self.by_time.remove(&(old.time, old.id.clone()));
        if let Some(request) = old.request
            && self.by_request.get(&request.id) == Some(id)
        {
            self.by_request.remove(&request.id);
        }
    }

    /// From when on the oldest one may be forgotten.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(time, _)| *time)
    }

    pub fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.by_time.first().cloned() {
            self.remove(&id);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Placed> {
        self.by_id.values()
    }

    /// Those whose id comes after `after`, in order of id.
    pub fn after(&self, after: Option<&ReservationId>) -> impl Iterator<Item = &Placed> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, |id| Excluded(id.clone()));
        self.by_id.range((from, Unbounded)).map(|(_, note)| note)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn bytes_of(note: &Placed) -> u64 {
    BYTES_EACH + 4 * note.id.as_str().len() as u64
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::types::ReplicaId;
    use crate::wire::record::KeyedRequest;

    fn note(name: &str, at: u128, request: Option<u8>, time: u64) -> Placed {
        Placed {
            id: ReservationId::new(name).unwrap(),
            at: ReplicaId(Uuid::from_u128(at)),
            request: request.map(|n| KeyedRequest { id: [n; 16], fingerprint: [0; 16] }),
            time: Timestamp(time),
            withdrawn: false,
        }
    }

    #[test]
    fn a_note_is_found_by_id_and_by_key_until_it_is_superseded_withdrawn_or_forgotten() {
        let mut notes = Notes::default();
        notes.put(&note("a", 1, Some(7), 5));
        notes.put(&note("b", 1, None, 3));
        assert_eq!(notes.oldest(), Some(Timestamp(3)));
        assert_eq!(notes.of_request(&[7; 16]).unwrap().id.as_str(), "a");
        notes.put(&note("a", 2, Some(7), 6));
        assert_eq!(notes.find(&ReservationId::new("a").unwrap()), Some(&note("a", 2, Some(7), 6)));
        notes.forget_oldest();
        assert_eq!(notes.find(&ReservationId::new("b").unwrap()), None);
        notes.put(&Placed { withdrawn: true, ..note("a", 2, None, 6) });
        assert_eq!(notes, Notes::default());
        assert_eq!(notes.of_request(&[7; 16]), None);
    }
}
