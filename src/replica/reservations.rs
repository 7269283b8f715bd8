//! The table of reservations, with the order in which they expire and are forgotten.

use std::collections::{BTreeMap, BTreeSet};

use crate::planted::{self, Bug};
use crate::types::{Reservation, ReservationId, ReservationState, Timestamp};

/// What a reservation takes beyond its lines, in bytes: three places in ordered tables.
const BYTES_EACH: u64 = 300;
const BYTES_A_LINE: u64 = 32;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reservations {
    by_id: BTreeMap<ReservationId, Reservation>,
    /// Held ones by deadline.
    due: BTreeSet<(Timestamp, ReservationId)>,
    /// Ended ones by when they ended.
    ended: BTreeSet<(Timestamp, ReservationId)>,
    bytes: u64,
}

impl Reservations {
    pub fn find(&self, id: &ReservationId) -> Option<&Reservation> {
        self.by_id.get(id)
    }

    /// Replaces the reservation of this id, or adds it.
    pub fn put(&mut self, reservation: Reservation) {
        self.remove(&reservation.id.clone());
        self.index_of(&reservation).insert((index_time(&reservation), reservation.id.clone()));
        self.bytes += bytes_of(&reservation);
        self.by_id.insert(reservation.id.clone(), reservation);
    }

    fn remove(&mut self, id: &ReservationId) {
        let Some(old) = self.by_id.remove(id) else { return };
        self.bytes -= bytes_of(&old);
        if planted::is_on(Bug::ExtendForgotten) && old.state == ReservationState::Held {
            return;
        }
        self.index_of(&old).remove(&(index_time(&old), id.clone()));
    }

    fn index_of(&mut self, reservation: &Reservation) -> &mut BTreeSet<(Timestamp, ReservationId)> {
        match reservation.state {
            ReservationState::Held => &mut self.due,
            ReservationState::Expired if planted::is_on(Bug::ExpiresTwice) => &mut self.due,
            ReservationState::Confirmed if planted::is_on(Bug::ExpiryOfConfirmed) => &mut self.due,
            _ => &mut self.ended,
        }
    }

    /// The earliest deadline of a held one.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(time, _)| *time)
    }

    /// A held one whose deadline has come, the most overdue first.
    pub fn overdue(&self, now: Timestamp) -> Option<&Reservation> {
        let (time, id) = self.due.first()?;
        if *time <= now { self.by_id.get(id) } else { None }
    }

    /// When the longest ended one ended.
    pub fn oldest_ended(&self) -> Option<Timestamp> {
        self.ended.first().map(|(time, _)| *time)
    }

    pub fn forget_oldest_ended(&mut self) {
        if let Some((_, id)) = self.ended.first().cloned() {
            self.remove(&id);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Reservation> {
        self.by_id.values()
    }

    /// Those whose id comes after `after`, in order of id.
    pub fn after<'a>(
        &'a self,
        after: Option<&ReservationId>,
    ) -> Box<dyn Iterator<Item = &'a Reservation> + 'a> {
        use std::ops::Bound::{Excluded, Unbounded};
        match after {
            Some(id) => Box::new(self.by_id.range((Excluded(id.clone()), Unbounded)).map(|(_, r)| r)),
            None => Box::new(self.by_id.values()),
        }
    }

    pub fn held(&self) -> usize {
        self.due.len()
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn bytes_of(reservation: &Reservation) -> u64 {
    BYTES_EACH + BYTES_A_LINE * reservation.lines.len() as u64 + 3 * reservation.id.as_str().len() as u64
}

fn index_time(reservation: &Reservation) -> Timestamp {
    match reservation.state {
        ReservationState::Held => reservation.deadline,
        ReservationState::Confirmed if planted::is_on(Bug::ExpiryOfConfirmed) => reservation.deadline,
        _ => reservation.ended_at,
    }
}
