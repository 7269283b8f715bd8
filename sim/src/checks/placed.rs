//! A reservation is sent to another node to be made there only behind a durable note that it is:
//! what a crash leaves of the sender knows where to look. And a note names one member at a time: it
//! is taken back before another is chosen.

use stockade::types::{ReplicaId, ReservationId, ReservationState};
use stockade::wire::{Cause, Change};

use super::{Checked, Property, ensure};
use crate::ghost::Ledger;

/// # Errors
/// When a note in `change`, over `before`, moves an id from one member to another, or names one that
/// is decided here.
pub fn check_note(me: ReplicaId, before: &Ledger, change: &Change) -> Checked {
    let is_note = matches!(change.cause, Cause::Place | Cause::Withdraw) && !lets_go(change);
    let bad = |what: &str| format!("{what}: {change:?}");
    ensure(is_note == change.placed.is_some(), Property::Placed, || bad("a note under another cause"))?;
    let Some(note) = &change.placed else { return Ok(()) };
    let is_bare = change.rows.is_empty() && change.entries.is_empty() && change.reservation.is_none();
    ensure(is_bare, Property::Placed, || bad("a note does more than note"))?;
    let known = before.placed.get(&note.id);
    let withdraws = change.cause == Cause::Withdraw;
    ensure(withdraws == note.withdrawn, Property::Placed, || bad("cause and note differ"))?;
    ensure(known.is_none_or(|at| *at == note.at), Property::Placed, || {
        bad("a note names another member while the first may have it")
    })?;
    ensure(!withdraws || known.is_some(), Property::Placed, || bad("there was no such note"))?;
    let is_elsewhere = note.at != me && !before.reservations.contains_key(&note.id);
    ensure(is_elsewhere, Property::Placed, || bad("what is here was sent elsewhere"))
}

/// Whether a member that drains ends what was placed with it and has expired, so that it can be made
/// elsewhere. What may follow what is a check of its own, [`changes`](super::changes).
pub fn lets_go(change: &Change) -> bool {
    let ends = change.reservation.as_ref().is_some_and(|ended| ended.state == ReservationState::Cancelled);
    change.cause == Cause::Withdraw && ends
}

/// `to` is sent a reservation to be made there; `durable` is what the sender's disk has.
///
/// # Errors
/// When the disk does not say so.
pub fn check_sent(id: &ReservationId, to: ReplicaId, durable: &Ledger) -> Checked {
    ensure(durable.placed.get(id) == Some(&to), Property::Placed, || {
        format!(
            "{id} is sent to {to:?} to be made there; the sender's disk says {:?}",
            durable.placed.get(id)
        )
    })
}

#[cfg(test)]
mod tests {
    use stockade::types::Timestamp;
    use stockade::wire::Placed;

    use super::*;
    use crate::checks::changes::tests::reservation;
    use crate::ghost::tests::id;

    fn name() -> ReservationId {
        ReservationId::new("A").unwrap()
    }

    fn note(cause: Cause, at: u128) -> Change {
        let withdrawn = cause == Cause::Withdraw;
        let placed = Placed { id: name(), at: id(at), request: None, time: Timestamp(9), withdrawn };
        Change {
            time: Timestamp(1),
            cause,
            actor: None,
            reference: None,
            rows: vec![],
            entries: vec![],
            reservation: None,
            request: None,
            reason: None,
            placed: Some(placed),
        }
    }

    #[test]
    fn a_note_that_wanders_is_found() {
        let mut ledger = Ledger::default();
        let checked = |ledger: &Ledger, change: &Change| check_note(id(1), ledger, change);
        assert!(checked(&ledger, &note(Cause::Place, 1)).is_err());
        assert!(checked(&ledger, &note(Cause::Withdraw, 2)).is_err());
        assert!(checked(&ledger, &Change { placed: None, ..note(Cause::Place, 2) }).is_err());
        assert_eq!(checked(&ledger, &note(Cause::Place, 2)), Ok(()));
        ledger.apply_change(&note(Cause::Place, 2));
        assert!(checked(&ledger, &note(Cause::Place, 3)).is_err());
        assert_eq!(checked(&ledger, &note(Cause::Withdraw, 2)), Ok(()));
        ledger.apply_change(&note(Cause::Withdraw, 2));
        assert_eq!(checked(&ledger, &note(Cause::Place, 3)), Ok(()));
        ledger.reservations.insert(name(), reservation("A", ReservationState::Held, 1));
        assert!(checked(&ledger, &note(Cause::Place, 3)).is_err());
    }

    #[test]
    fn sending_without_a_durable_note_is_found() {
        let mut durable = Ledger::default();
        assert!(check_sent(&name(), id(2), &durable).is_err());
        durable.apply_change(&note(Cause::Place, 2));
        assert_eq!(check_sent(&name(), id(2), &durable), Ok(()));
        assert!(check_sent(&name(), id(3), &durable).is_err());
    }
}
