//! What was acknowledged is durable before the answer leaves, and stays: a confirmed or cancelled
//! reservation remains so for good, and none falls back to an older version.

use std::collections::BTreeMap;

use stockade::types::{Reservation, ReservationId, ReservationState};

use super::{Checked, Property, ensure};
use crate::ghost::Ledger;

/// What clients were last told, by reservation and its node.
#[derive(Debug, Default)]
pub struct Promises(BTreeMap<(ReservationId, usize), Reservation>);

impl Promises {
    /// An answer about `said` leaves; `durable` is what its home's disk has at that moment.
    ///
    /// # Errors
    /// When the disk does not have it.
    pub fn made(&mut self, node: usize, said: &Reservation, durable: &Ledger) -> Checked {
        kept(node, said, durable)?;
        let known = self.0.entry((said.id.clone(), node)).or_insert_with(|| said.clone());
        if continues(known, said) {
            *known = said.clone();
        }
        Ok(())
    }

    /// # Errors
    /// When anything promised by `node` is not so any more.
    pub fn check(&self, node: usize, durable: &Ledger) -> Checked {
        let of_node = self.0.iter().filter(|((_, by), _)| *by == node);
        of_node.map(|(_, said)| said).try_for_each(|said| kept(node, said, durable))
    }
}

fn kept(node: usize, said: &Reservation, durable: &Ledger) -> Checked {
    let now = durable.reservations.get(&said.id);
    ensure(now.is_some_and(|now| continues(said, now)), Property::Acknowledged, || {
        format!("node {node} said {said:?}, its disk has {now:?}")
    })
}

/// Whether a reservation may have become `new` after it was `old`.
fn continues(old: &Reservation, new: &Reservation) -> bool {
    use ReservationState::{Cancelled, Confirmed, Expired, Held};
    match old.state {
        Confirmed | Cancelled => {
            new.state == old.state && new.lines == old.lines && new.version == old.version
        }
        Held | Expired if new.version != old.version => new.version > old.version,
        Held => new.lines == old.lines,
        Expired => new.state != Held,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::changes::tests::reservation;

    fn ledger(state: ReservationState) -> Ledger {
        let mut ledger = Ledger::default();
        let reservation = reservation("A", state, 2);
        ledger.reservations.insert(reservation.id.clone(), reservation);
        ledger
    }

    #[test]
    fn an_answer_that_the_disk_does_not_have_is_found() {
        use ReservationState::{Confirmed, Held};
        let sale = reservation("A", Confirmed, 2);
        let mut promises = Promises::default();
        assert!(promises.made(0, &sale, &Ledger::default()).is_err());
        assert!(promises.made(0, &sale, &ledger(Held)).is_err());
        assert_eq!(promises.made(0, &sale, &ledger(Confirmed)), Ok(()));
    }

    #[test]
    fn what_is_lost_later_is_found() {
        use ReservationState::{Cancelled, Confirmed, Held};
        let mut promises = Promises::default();
        promises.made(0, &reservation("A", Held, 2), &ledger(Held)).unwrap();
        assert_eq!(promises.check(0, &ledger(Confirmed)), Ok(()));
        promises.made(0, &reservation("A", Confirmed, 2), &ledger(Confirmed)).unwrap();
        // An older answer, repeated, takes nothing back.
        promises.made(0, &reservation("A", Held, 2), &ledger(Confirmed)).unwrap();
        assert!(promises.check(0, &ledger(Cancelled)).is_err());
        assert!(promises.check(0, &ledger(Held)).is_err());
        assert!(promises.check(0, &Ledger::default()).is_err());
        assert_eq!(promises.check(1, &Ledger::default()), Ok(()));
    }
}
