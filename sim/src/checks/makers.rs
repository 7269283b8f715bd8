//! One request makes one reservation.
//!
//! 1. A put that says it is a retry makes none at a node while another node has one of its id.
//!    Reckoned by what had reached each node: of an id whose every attempt at a node was a retry that
//!    came when another node's disk already had it, that node never makes a reservation. (An attempt
//!    that is no retry, or a retry that came before the other's record, may: nobody could know.)
//! 2. A node that has no units may have another make it in its place: that one may, without having
//!    been asked by a client. But it is made once: of one id there are no more reservations than
//!    nodes that were freely asked for it, however often each was asked and whatever was lost.
//! 3. A retry under a key bears another id if servers make ids up. Of all ids that one key at one
//!    node stood for, one is made.

use std::collections::{BTreeMap, BTreeSet};

use stockade::types::ReservationId;

use super::keys::KeyId;
use super::{Checked, Property, ensure};

#[derive(Debug, Default)]
pub struct Makers {
    /// Whether a node that was asked to make a reservation may do so.
    asked: BTreeMap<(ReservationId, usize), bool>,
    /// Nodes that another sent a reservation to, to be made there.
    placed: BTreeSet<(ReservationId, usize)>,
    /// Nodes that ended it, expired and cancelled as it is there, so that others may make it.
    let_go: BTreeSet<(ReservationId, usize)>,
    /// The key that an id came under, and all ids that came under it.
    keys: BTreeMap<ReservationId, KeyId>,
    ids: BTreeMap<KeyId, BTreeSet<ReservationId>>,
}

impl Makers {
    /// An attempt reached `node`. `free`: it is no retry, or no other node's disk has the id.
    pub fn attempted(&mut self, id: &ReservationId, node: usize, free: bool) {
        *self.asked.entry((id.clone(), node)).or_default() |= free;
    }

    /// The attempt bore a key.
    pub fn under_key(&mut self, id: &ReservationId, key: KeyId) {
        self.ids.entry(key.clone()).or_default().insert(id.clone());
        self.keys.insert(id.clone(), key);
    }

    /// Another node sends it to `node`.
    pub fn placed(&mut self, id: &ReservationId, node: usize) {
        self.placed.insert((id.clone(), node));
    }

    /// `node` ended what was placed with it, for good.
    pub fn let_go(&mut self, id: &ReservationId, node: usize) {
        self.let_go.insert((id.clone(), node));
    }

    /// Whether two nodes may have it: at each an attempt came that could not know of the other's.
    pub fn may_be_two(&self, id: &ReservationId) -> bool {
        self.freely_asked(id) > 1
    }

    fn freely_asked(&self, id: &ReservationId) -> usize {
        let of_id = self.asked.range((id.clone(), 0)..=(id.clone(), usize::MAX));
        of_id.filter(|(_, free)| **free).count()
    }

    /// `has`: whether a node other than `node` has a reservation.
    ///
    /// # Errors
    /// When `node` made a reservation of an id that it had to find elsewhere, or that others made.
    pub fn check_new(
        &self,
        id: &ReservationId,
        node: usize,
        has: impl Fn(usize, &ReservationId) -> bool,
        nodes: usize,
    ) -> Checked {
        let here = (id.clone(), node);
        let may = self.asked.get(&here).copied().unwrap_or(false) || self.placed.contains(&here);
        let unasked = !self.asked.contains_key(&here);
        ensure(may || unasked, Property::Makers, || {
            format!("n-{node} made {id} for a retry, though another node's disk had it")
        })?;
        let counts = |other: usize| other != node && !self.let_go.contains(&(id.clone(), other));
        let others = (0..nodes).filter(|other| counts(*other) && has(*other, id)).count();
        // Of an id that nobody was asked for there is nothing to say here: it is refused elsewhere.
        let free = self.freely_asked(id).max(1);
        ensure(others < free, Property::Makers, || {
            format!("n-{node} made {id}, which {others} others have; {free} were asked for it")
        })?;
        let same_key = self.keys.get(id).and_then(|key| self.ids.get(key)).into_iter().flatten();
        let mut twins = same_key.filter(|other| *other != id);
        let twin = twins.find(|twin| (0..nodes).any(|n| has(n, twin)));
        ensure(twin.is_none(), Property::Makers, || {
            format!("n-{node} made {id}, though {twin:?} was made for the same request under its key")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> ReservationId {
        ReservationId::new(name).unwrap()
    }

    fn nobody(_: usize, _: &ReservationId) -> bool {
        false
    }

    #[test]
    fn a_retry_makes_nothing_that_is_elsewhere_but_a_first_attempt_may() {
        let id = id("r");
        let mut makers = Makers::default();
        assert!(makers.check_new(&id, 1, nobody, 3).is_ok());
        makers.attempted(&id, 1, false);
        assert!(makers.check_new(&id, 1, nobody, 3).is_err());
        assert!(makers.check_new(&id, 2, nobody, 3).is_ok());
        makers.attempted(&id, 1, true);
        makers.attempted(&id, 1, false);
        assert!(makers.check_new(&id, 1, nobody, 3).is_ok());
    }

    #[test]
    fn two_may_have_one_id_when_neither_could_know() {
        let (id, other) = (id("r"), id("s"));
        let mut makers = Makers::default();
        makers.attempted(&id, 0, true);
        makers.attempted(&id, 2, false);
        makers.attempted(&other, 1, true);
        assert!(!makers.may_be_two(&id));
        makers.attempted(&id, 1, true);
        assert!(makers.may_be_two(&id) && !makers.may_be_two(&other));
    }

    #[test]
    fn what_one_node_was_asked_for_is_made_once_wherever_it_was_sent() {
        let id = id("r");
        let mut makers = Makers::default();
        makers.attempted(&id, 0, true);
        makers.placed(&id, 1);
        makers.placed(&id, 2);
        assert!(makers.check_new(&id, 1, nobody, 3).is_ok());
        let at_1 = |n: usize, _: &ReservationId| n == 1;
        assert!(makers.check_new(&id, 2, at_1, 3).is_err());
        assert!(makers.check_new(&id, 0, at_1, 3).is_err());
        makers.let_go(&id, 1);
        assert!(makers.check_new(&id, 2, at_1, 3).is_ok());
        let at_2 = |n: usize, _: &ReservationId| n == 2;
        assert!(makers.check_new(&id, 0, at_2, 3).is_err());
        makers.attempted(&id, 2, true);
        assert!(makers.check_new(&id, 0, at_2, 3).is_ok());
        // A retry at a node that another sent it to.
        makers.attempted(&id, 1, false);
        assert!(makers.check_new(&id, 1, nobody, 3).is_ok());
    }

    #[test]
    fn one_of_the_ids_under_a_key_is_made() {
        let key = (0, "POST /v1/sales".to_string(), "k".to_string());
        let (first, second) = (id("m1"), id("m2"));
        let mut makers = Makers::default();
        makers.under_key(&first, key.clone());
        assert!(makers.check_new(&first, 2, nobody, 3).is_ok());
        makers.under_key(&second, key);
        let has_first = |n: usize, of: &ReservationId| n == 2 && of.as_str() == "m1";
        assert!(makers.check_new(&second, 0, has_first, 3).is_err());
        assert!(makers.check_new(&id("m3"), 0, has_first, 3).is_ok());
    }
}
