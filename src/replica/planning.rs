//! What the policy would move, for an admin who asks: the same questions that the replica asks for
//! itself, put for every member as it is known here. Unless it is a dry run, the moves that
//! concern this replica's rights are begun.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Included, Unbounded};

use super::Replica;
use super::draft::Draft;
use super::effects::Effects;
use super::rebalance::{Part, Situation};
use crate::types::{Answer, Caller, Cell, Outcome, PlannedMove, Refusal, ReplicaId, Sku, Timestamp, Units};
use crate::wire::message::AskLine;
use crate::wire::{Actor, Cause};

/// Items looked at for one answer, at most: nothing is sold meanwhile ..
const ITEMS_AT_ONCE: usize = 2_000;
/// .. and fewer of many members. An item is seen from each of them, and each looks at all others'
/// surplus, for which it looks at all.
const GLANCES_AT_ONCE: usize = 1_000_000;

/// What is asked for.
pub struct Scope<'a> {
    pub sku: Option<&'a Sku>,
    pub after: Option<&'a Sku>,
    pub limit: usize,
}

impl Replica {
    pub(super) fn rebalance(
        &mut self,
        now: Timestamp,
        scope: &Scope<'_>,
        begin: Option<Caller>,
        out: &mut Effects,
    ) -> Outcome {
        if let Some(sku) = scope.sku
            && self.state.items.get(sku).is_none_or(|item| item.policy().is_none())
        {
            return Err(Refusal::UnknownSku { sku: sku.clone(), line: None });
        }
        let range = match (scope.sku, scope.after) {
            (Some(sku), _) => (Included(sku), Included(sku)),
            (None, Some(after)) => (Excluded(after), Unbounded),
            (None, None) => (Unbounded, Unbounded),
        };
        let mut skus = self.state.items.range::<Sku, _>(range).map(|(sku, _)| sku);
        let (mut plans, mut count, mut last) = (Vec::new(), 0, None);
        let glances = self.state.roster.len().pow(3).max(1);
        for sku in skus.by_ref().take((GLANCES_AT_ONCE / glances).clamp(1, ITEMS_AT_ONCE)) {
            let plan = self.moves_of(now, sku);
            // An item's moves are told together, the first one's whatever the limit is.
            if count > 0 && count + plan.len() > scope.limit {
                return Ok(self.begin_and_tell(now, plans, last, begin, out));
            }
            count += plan.len();
            last = Some(sku.clone());
            plans.extend(plan.into_iter().map(|planned| (sku.clone(), planned)));
        }
        let next = last.filter(|_| skus.next().is_some());
        Ok(self.begin_and_tell(now, plans, next, begin, out))
    }

    /// What would be moved of one item. Each member's moves are planned after those before, so that
    /// no unit is promised twice.
    fn moves_of(&self, now: Timestamp, sku: &Sku) -> Vec<Planned> {
        let mut situation = self.situation(now, sku);
        let mut moves = Vec::new();
        for member in situation.in_reach() {
            let view = situation.seen_by(member);
            let drained = if view.here.draining { view.hand_over() } else { Vec::new() };
            let drained = drained.into_iter().map(|part| Planned {
                from: member,
                to: part.member,
                units: part.units,
                is_need: false,
                why: format!("{} drains", self.state.name_of(member)),
            });
            let pulled = view.pull().into_iter().map(|pull| Planned {
                from: pull.donor,
                to: member,
                units: pull.need.max(pull.want),
                is_need: !pull.need.is_zero(),
                why: self.why(&view, pull.donor, member),
            });
            for planned in drained.chain(pulled) {
                situation.moved(Part { member: planned.to, units: planned.units }, planned.from);
                moves.push(planned);
            }
        }
        moves
    }

    /// How the two ends of a move stand, as far as is known here.
    pub(super) fn why(&self, situation: &Situation, from: ReplicaId, to: ReplicaId) -> String {
        let stands = |replica| {
            let has = situation.member(replica).map_or(Units::ZERO, |holder| holder.available);
            let (name, target) = (self.state.name_of(replica), situation.target_and_dials(replica));
            format!("{name} has {has} and should hold {target}")
        };
        format!("{}; {}", stands(to), stands(from))
    }

    fn begin_and_tell(
        &mut self,
        now: Timestamp,
        plans: Vec<(Sku, Planned)>,
        next: Option<Sku>,
        begin: Option<Caller>,
        out: &mut Effects,
    ) -> Answer {
        let me = self.state.me();
        let is_able = self.standing.is_ready() && begin.is_some();
        if let Some(caller) = begin.filter(|_| is_able) {
            self.begin_moves(now, &plans, caller, out);
        }
        let moves = plans.into_iter().map(|(sku, planned)| PlannedMove {
            sku,
            from: self.state.name_of(planned.from),
            to: self.state.name_of(planned.to),
            quantity: planned.units,
            why: planned.why,
            begun: is_able && (planned.from == me || planned.to == me),
        });
        Answer::Moves { node: self.name().clone(), moves: moves.collect(), next }
    }

    fn begin_moves(&mut self, now: Timestamp, plans: &[(Sku, Planned)], caller: Caller, out: &mut Effects) {
        let me = self.state.me();
        let mut asks: BTreeMap<ReplicaId, Vec<AskLine>> = BTreeMap::new();
        for (sku, planned) in plans {
            if planned.from == me {
                let mut draft = Draft::new(&self.state, now, Cause::GiveUnasked);
                draft.actor = Some(Actor::Caller(caller));
                draft.reason = Some(planned.why.clone());
                let free = self.state.rights_here(sku);
                // What does not fit the counter stays here.
                let _ = draft.raise(sku, Cell::Sent(planned.to), planned.units.min(free));
                let change = self.seal(draft);
                self.send_rights(now, change, out);
            } else if planned.to == me {
                let (none, units) = (Units::ZERO, planned.units);
                let (need, want) = if planned.is_need { (units, none) } else { (none, units) };
                let line = self.ask_line(sku, planned.from, need, want);
                asks.entry(planned.from).or_default().push(line);
            }
        }
        self.send_asks(now, asks, out);
    }
}

/// A move, before it is told.
struct Planned {
    from: ReplicaId,
    to: ReplicaId,
    units: Units,
    /// A quota reserves them for the taker.
    is_need: bool,
    why: String,
}
