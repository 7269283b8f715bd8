//! What was refused never happens; what went unanswered is done or not done.

use std::collections::BTreeMap;

use stockade::types::ReservationId;

use super::{Checked, Property, ensure};
use crate::ghost::Ledger;

/// How requests for a reservation fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Attempts {
    /// Reached a node and were not answered, or the answer was that nobody knows.
    open: u32,
    accepted: bool,
}

#[derive(Debug, Default)]
pub struct Refusals(BTreeMap<ReservationId, Attempts>);

impl Refusals {
    /// A request that would make this reservation reached a node.
    pub fn attempted(&mut self, id: &ReservationId) {
        self.0.entry(id.clone()).or_default().open += 1;
    }

    /// It was answered; `None`: with an answer that leaves it open.
    pub fn answered(&mut self, id: &ReservationId, accepted: Option<bool>) {
        let attempts = self.0.entry(id.clone()).or_default();
        if let Some(accepted) = accepted {
            attempts.open = attempts.open.saturating_sub(1);
            attempts.accepted |= accepted;
        }
    }

    /// # Errors
    /// When a reservation is there that every answer said no to, or that nobody asked for.
    pub fn check(&self, ledger: &Ledger) -> Checked {
        for id in ledger.reservations.keys() {
            let attempts = self.0.get(id).copied().unwrap_or_default();
            ensure(attempts.accepted || attempts.open > 0, Property::Refused, || {
                format!("{id} was refused whenever it was asked for, and is there")
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use stockade::types::ReservationState;

    use super::*;
    use crate::checks::changes::tests::reservation;

    #[test]
    fn a_refused_reservation_that_is_there_is_found() {
        let mut ledger = Ledger::default();
        let held = reservation("A", ReservationState::Held, 1);
        let id = held.id.clone();
        ledger.reservations.insert(id.clone(), held);
        let mut refusals = Refusals::default();
        assert!(refusals.check(&ledger).is_err());
        refusals.attempted(&id);
        assert_eq!(refusals.check(&ledger), Ok(()));
        refusals.answered(&id, Some(false));
        assert!(refusals.check(&ledger).is_err());
        refusals.attempted(&id);
        refusals.answered(&id, None);
        assert_eq!(refusals.check(&ledger), Ok(()));
    }
}
