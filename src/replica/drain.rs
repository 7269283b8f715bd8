//! Draining: a node that is told to takes no new reservations and hands its free rights to the
//! others, until an admin has it take work again.
//!
//! The wish is an own entry, so it survives a restart and every member learns of it. What
//! becomes free later (a cancelled reservation, a return, a delivery) is handed over as well.
//! Handing over is a transfer like any other: the giver's row is raised, and reaches the receiver
//! with the next pass. Nothing is given to members that cannot be reached.

use std::collections::BTreeSet;

use super::Replica;
use super::commands::Attempt;
use super::decide::No;
use super::draft::Draft;
use super::effects::{Effects, Output};
use super::jobs::Job;
use super::state::{Item, State};
use crate::limits::HAND_OVER_AT_ONCE;
use crate::planted::{self, Bug};
use crate::types::{Answer, Cell, NodeName, NodeState, Refusal, ReplicaId, Sku, Timestamp, Units};
use crate::wire::{Body, Cause, Key};

/// What a draining replica has yet to hand over.
#[derive(Debug, Default)]
pub struct HandOver {
    /// Items of which units may be free here.
    due: BTreeSet<Sku>,
}

impl State {
    pub fn is_draining(&self, replica: ReplicaId) -> bool {
        let entry = self.logs.get(&replica).and_then(|log| log.other(&Key::Draining));
        entry.is_some_and(|entry| entry.body == Body::Draining(true))
    }

    /// Whether a member takes work, by its rows as they are known here.
    pub fn node_state(&self, replica: ReplicaId) -> NodeState {
        if !self.is_draining(replica) {
            return NodeState::Active;
        }
        // Its rows as of the drain must be here, or what is not known would pass for empty.
        let is_known = self.logs.get(&replica).is_some_and(|log| log.watermark >= log.seq_of(&Key::Draining));
        let is_empty = is_known && self.items.values().all(|item| has_nothing(item, replica));
        if is_empty { NodeState::Drained } else { NodeState::Draining }
    }
}

/// No unit of the item is free or held at `replica`, or in flight from or to it.
fn has_nothing(item: &Item, replica: ReplicaId) -> bool {
    let balances = item.rows.get(&replica).map(|row| row.balances());
    let is_empty = match balances {
        None => true,
        Some(Ok(_)) if planted::is_on(Bug::DrainedTooEarly) => true,
        Some(Ok(balances)) => balances.available.is_zero() && balances.held.is_zero(),
        Some(Err(_)) => false,
    };
    let concerned = |(from, to): &(ReplicaId, ReplicaId)| *from == replica || *to == replica;
    is_empty && item.pairs().filter(concerned).all(|(a, b)| item.in_flight(a, b) == Some(Units::ZERO))
}

impl Replica {
    pub fn is_draining(&self) -> bool {
        self.state.is_draining(self.state.me())
    }

    /// Whether this replica takes work, or has none left.
    pub fn own_state(&self) -> NodeState {
        self.state.node_state(self.state.me())
    }

    /// Decided by the node that it is about.
    pub(super) fn set_draining(
        &mut self,
        now: Timestamp,
        job: &Job,
        node: &NodeName,
        draining: bool,
        out: &mut Effects,
    ) -> Attempt {
        if self.state.member_named(node).is_none() {
            let refusal = Refusal::UnknownNode { field: "name".into(), node: node.clone() };
            return self.refused(now, job, No::Refused(refusal), out);
        }
        if node != self.name() {
            return Attempt::NotMine;
        }
        let mut status = self.node_status(self.state.me()).map(Box::new);
        if self.is_draining() == draining {
            let outcome = status.map(Answer::Node).ok_or(Refusal::NotReady);
            self.commit_answer(now, job, None, &outcome, out);
            return Attempt::Done(outcome);
        }
        if let Some(status) = &mut status {
            status.state = if draining { NodeState::Draining } else { NodeState::Active };
        }
        let outcome = status.map(Answer::Node).ok_or(Refusal::NotReady);
        let cause = if draining { Cause::Drain } else { Cause::Resume };
        let mut draft = Draft::new(&self.state, now, cause);
        draft.write(Key::Draining, Body::Draining(draining));
        let change = draft.seal(|_| None);
        self.commit_answer(now, job, Some(change), &outcome, out);
        self.tell_draining(out);
        if !draining {
            self.look_at_owed(now);
        }
        Attempt::Done(outcome)
    }

    /// Says whether this node drains, and if so looks at everything it has.
    pub(super) fn tell_draining(&mut self, out: &mut Effects) {
        self.emit(Output::Draining(self.is_draining()), out);
        self.hand_over.due = if self.is_draining() {
            self.state.items.keys().filter(|sku| !self.state.rights_here(sku).is_zero()).cloned().collect()
        } else {
            BTreeSet::new()
        };
    }

    /// Notes what became free while draining.
    pub(super) fn note_free(&mut self, touched: &BTreeSet<Sku>) {
        if self.is_draining() && !planted::is_on(Bug::DrainLeavesUnits) {
            let free = touched.iter().filter(|sku| !self.state.rights_here(sku).is_zero());
            self.hand_over.due.extend(free.cloned());
        }
    }

    /// When there is more to hand over, and someone to take it: at once.
    pub(super) fn next_hand_over(&self) -> Option<Timestamp> {
        let is_due = !self.hand_over.due.is_empty() && self.standing.is_ready() && self.has_taker();
        is_due.then_some(self.state.time)
    }

    fn has_taker(&self) -> bool {
        self.state.others().any(|m| self.links.is_up(m.replica) && !self.state.is_draining(m.replica))
    }

    /// Hands over what is free, a bounded number of items in a step.
    pub(super) fn hand_over(&mut self, now: Timestamp, out: &mut Effects) {
        if self.hand_over.due.is_empty() || !self.standing.is_ready() || !self.has_taker() {
            return;
        }
        let mut due = std::mem::take(&mut self.hand_over.due);
        let mut draft = Draft::new(&self.state, now, Cause::GiveForDrain);
        for _ in 0..HAND_OVER_AT_ONCE {
            let Some(sku) = due.pop_first() else { break };
            for part in self.situation(now, &sku).hand_over() {
                // What does not fit the counter stays here.
                let _ = draft.raise(&sku, Cell::Sent(part.member), part.units);
            }
        }
        let change = self.seal(draft);
        self.send_rights(now, change, out);
        self.hand_over.due = due;
    }
}
