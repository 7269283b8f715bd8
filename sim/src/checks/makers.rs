//! One request makes one reservation: a put that says it is a retry makes none at a node while
//! another node has one of its id.
//!
//! Reckoned by what had reached each node: of an id whose every attempt at a node was a retry that
//! came when another node's disk already had it, that node never makes a reservation. (An attempt
//! that is no retry, or a retry that came before the other's record, may: nobody could know.)

use std::collections::BTreeMap;

use stockade::types::ReservationId;

use super::{Checked, Property, ensure};

/// Whether a node that was asked to make a reservation may do so.
#[derive(Debug, Default)]
pub struct Makers(BTreeMap<(ReservationId, usize), bool>);

impl Makers {
    /// An attempt reached `node`. `free`: it is no retry, or no other node's disk has the id.
    pub fn attempted(&mut self, id: &ReservationId, node: usize, free: bool) {
        *self.0.entry((id.clone(), node)).or_default() |= free;
    }

    /// Whether two nodes may have it: at each an attempt came that could not know of the other's.
    pub fn may_be_two(&self, id: &ReservationId) -> bool {
        let of_id = self.0.range((id.clone(), 0)..=(id.clone(), usize::MAX));
        of_id.filter(|(_, free)| **free).count() > 1
    }

    /// # Errors
    /// When `node` made a reservation of an id that it had to find elsewhere.
    pub fn check_new(&self, id: &ReservationId, node: usize) -> Checked {
        let may = self.0.get(&(id.clone(), node)).copied().unwrap_or(true);
        ensure(may, Property::Makers, || {
            format!("n-{node} made {id} for a retry, though another node's disk had it")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_makes_nothing_that_is_elsewhere_but_a_first_attempt_may() {
        let id = ReservationId::new("r").unwrap();
        let mut makers = Makers::default();
        assert!(makers.check_new(&id, 1).is_ok());
        makers.attempted(&id, 1, false);
        assert!(makers.check_new(&id, 1).is_err());
        assert!(makers.check_new(&id, 2).is_ok());
        makers.attempted(&id, 1, true);
        makers.attempted(&id, 1, false);
        assert!(makers.check_new(&id, 1).is_ok());
    }

    #[test]
    fn two_may_have_one_id_when_neither_could_know() {
        let (id, other) = (ReservationId::new("r").unwrap(), ReservationId::new("s").unwrap());
        let mut makers = Makers::default();
        makers.attempted(&id, 0, true);
        makers.attempted(&id, 2, false);
        makers.attempted(&other, 1, true);
        assert!(!makers.may_be_two(&id));
        makers.attempted(&id, 1, true);
        assert!(makers.may_be_two(&id) && !makers.may_be_two(&other));
    }
}
