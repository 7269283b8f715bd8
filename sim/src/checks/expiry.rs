//! A hold ends in time: while its owner is ready and its process runs, no later than one second
//! after its deadline, by the owner's clock. (That none ends *before* is in
//! [`changes`](super::changes).)
//!
//! Where the second comes from: the replica asks to be woken at the earliest deadline, and lets
//! overdue holds go in the step in which it is woken, 20,000 lines at once. So what is between
//! deadline and step is how late a process is woken, a rounding to milliseconds, and a tick for
//! each further 20,000 lines; a second is promised. The end counts from the step that decides it:
//! others see it once it is durable, that is after at most two syncs, the one under way and its own.

use std::collections::BTreeSet;

use stockade::types::{Millis, Reservation, ReservationId, ReservationState, Timestamp};

use super::{Checked, Property, ensure};
use crate::ghost::Ledger;

/// How late a hold may end.
pub const LATE: Millis = Millis(1_000);

/// The holds of one host, by deadline.
#[derive(Debug, Default)]
pub struct Due {
    held: BTreeSet<(Timestamp, ReservationId)>,
    /// When this life began to take requests, by the host's clock.
    ready: Option<Timestamp>,
}

impl Due {
    /// A reservation was written, or replaced an older version of itself.
    pub fn written(&mut self, old: Option<&Reservation>, new: &Reservation) {
        if let Some(old) = old {
            self.held.remove(&(old.deadline, old.id.clone()));
        }
        if new.state == ReservationState::Held {
            self.held.insert((new.deadline, new.id.clone()));
        }
    }

    /// The host died, and has what is durable.
    pub fn died(&mut self, durable: &Ledger) {
        let held = durable.reservations.values().filter(|r| r.state == ReservationState::Held);
        self.held = held.map(|r| (r.deadline, r.id.clone())).collect();
        self.ready = None;
    }

    /// The host takes requests from now on; `None`: no more.
    pub fn ready(&mut self, since: Option<Timestamp>) {
        self.ready = since;
    }

    /// The host made a step at `clock`; its process has run without a break since `awake`.
    ///
    /// # Errors
    /// When a hold is still there that had to end.
    pub fn check(&self, node: usize, clock: Timestamp, awake: Timestamp) -> Checked {
        let (Some((deadline, id)), Some(ready)) = (self.held.first(), self.ready) else { return Ok(()) };
        let from = (*deadline).max(ready).max(awake);
        ensure(clock <= from.after(LATE), Property::Expiry, || {
            format!(
                "n-{node} still holds {id} at {clock:?}: its deadline was {deadline:?}, the node is ready \
                 since {ready:?} and awake since {awake:?}"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::changes::tests::reservation;

    /// Its deadline is at 100.
    fn due() -> Due {
        let mut due = Due::default();
        due.written(None, &reservation("A", ReservationState::Held, 1));
        due.ready(Some(Timestamp(1)));
        due
    }

    #[test]
    fn a_hold_that_outlives_its_deadline_by_more_than_a_second_is_found() {
        assert_eq!(due().check(0, Timestamp(1_100), Timestamp(0)), Ok(()));
        assert!(due().check(0, Timestamp(1_101), Timestamp(0)).is_err());
    }

    #[test]
    fn the_second_begins_when_the_host_is_ready_and_awake() {
        assert_eq!(due().check(0, Timestamp(5_900), Timestamp(5_000)), Ok(()));
        assert!(due().check(0, Timestamp(6_001), Timestamp(5_000)).is_err());
        let mut unready = due();
        unready.ready(None);
        assert_eq!(unready.check(0, Timestamp(9_000), Timestamp(0)), Ok(()));
        unready.ready(Some(Timestamp(8_000)));
        assert_eq!(unready.check(0, Timestamp(9_000), Timestamp(0)), Ok(()));
        assert!(unready.check(0, Timestamp(9_001), Timestamp(0)).is_err());
    }

    #[test]
    fn what_ended_or_was_extended_is_not_due() {
        let held = reservation("A", ReservationState::Held, 1);
        let mut ended = due();
        ended.written(Some(&held), &reservation("A", ReservationState::Confirmed, 1));
        assert_eq!(ended.check(0, Timestamp(9_000), Timestamp(0)), Ok(()));
        let mut extended = due();
        extended.written(Some(&held), &Reservation { deadline: Timestamp(8_000), ..held.clone() });
        assert_eq!(extended.check(0, Timestamp(9_000), Timestamp(0)), Ok(()));
        assert!(extended.check(0, Timestamp(9_001), Timestamp(0)).is_err());
    }

    #[test]
    fn a_restart_brings_back_what_is_due() {
        let mut ledger = Ledger::default();
        let held = reservation("A", ReservationState::Held, 1);
        ledger.reservations.insert(held.id.clone(), held);
        let mut due = Due::default();
        due.died(&ledger);
        due.ready(Some(Timestamp(50)));
        assert!(due.check(0, Timestamp(1_101), Timestamp(0)).is_err());
    }
}
