//! In the end everything is one thing or the other. What a client asked for last, answered or not,
//! is done or it is not: two nodes that are asked say the same, and what they say is what the
//! owner's disk has.

use stockade::types::{Answer, Outcome, Refusal, Reservation, ReservationId};

use super::{Checked, Property, Violation, ensure};

/// What two nodes said about a reservation; `owned`: what the disks of its owners have.
///
/// # Errors
/// When they contradict each other or the disks.
pub fn check(id: &ReservationId, said: [&Outcome; 2], owned: &[&Reservation]) -> Checked {
    for outcome in said {
        match outcome {
            Ok(Answer::Reservation(claimed)) => {
                ensure(owned.contains(&&claimed.reservation), Property::Settled, || {
                    format!("{id} is said to be {:?}, the disks have {owned:?}", claimed.reservation)
                })?;
            }
            Err(Refusal::ReservationNotFound) => {
                ensure(owned.is_empty(), Property::Settled, || {
                    format!("{id} is said not to be there, the disks have {owned:?}")
                })?;
            }
            other => {
                let detail = format!("{id} is asked for when all is well: {other:?}");
                return Err(Violation::of(Property::Settled, detail));
            }
        }
    }
    // Of two that own one id each speaks for itself.
    ensure(owned.len() > 1 || told(said[0]) == told(said[1]), Property::Settled, || {
        format!("{id} is {:?} at one node and {:?} at another", said[0], said[1])
    })
}

fn told(outcome: &Outcome) -> Option<&Reservation> {
    match outcome {
        Ok(Answer::Reservation(claimed)) => Some(&claimed.reservation),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use stockade::types::{Claimed, NodeName, Region, ReservationState};

    use super::*;
    use crate::checks::changes::tests::reservation;

    fn said(state: ReservationState) -> Outcome {
        let (node, region) = (NodeName::new("n-0").unwrap(), Region::new("r0").unwrap());
        let reservation = reservation("A", state, 1);
        Ok(Answer::Reservation(Claimed { reservation, created: false, node, region }))
    }

    #[test]
    fn an_answer_that_depends_on_who_is_asked_is_found() {
        use ReservationState::{Cancelled, Confirmed};
        let id = ReservationId::new("A").unwrap();
        let sold = reservation("A", Confirmed, 1);
        let none = Err(Refusal::ReservationNotFound);
        let checked = |said: [&Outcome; 2], owned: &[&Reservation]| check(&id, said, owned);
        assert_eq!(checked([&said(Confirmed), &said(Confirmed)], &[&sold]), Ok(()));
        assert_eq!(checked([&none, &none], &[]), Ok(()));
        assert!(checked([&said(Confirmed), &none], &[&sold]).is_err());
        assert!(checked([&said(Confirmed), &said(Cancelled)], &[&sold]).is_err());
        assert!(checked([&said(Confirmed), &said(Confirmed)], &[]).is_err());
        assert!(checked([&none, &Err(Refusal::NotReady)], &[]).is_err());
        // Two owners.
        let other = reservation("A", Cancelled, 1);
        assert_eq!(checked([&said(Confirmed), &said(Cancelled)], &[&sold, &other]), Ok(()));
    }
}
