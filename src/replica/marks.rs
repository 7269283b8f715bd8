//! Spend marks: how much a replica may take of an item before others know of it.
//!
//! A row's `mark` bounds its `taken`. A replica takes only up to its *limit*: the least mark among
//! its row's versions from the newest that [`guarded_losses`] peers hold durably, up to the present
//! one. So whichever version is the newest that is left after so many losses at once, `taken` never
//! was beyond the mark in it. That is all that survivors need to reckon how much of a lost
//! replica's rights is free again, with no clocks, and though it may be alive behind a cut.
//!
//! A mark rises with each change of its row, so ahead of need and in a record that is written
//! anyway; what peers hold is told by the watermarks that they send as it is.

use std::collections::{BTreeMap, VecDeque};

use super::Replica;
use super::draft::Draft;
use super::effects::Effects;
use super::escrow::{Row, UNBOUNDED};
use super::state::{Item, State};
use crate::limits::MARKS_AT_ONCE;
use crate::planted::{self, Bug};
use crate::types::{Capped, Cell, Line, Refusal, ReplicaId, Seq, Sku, Timestamp, Units};
use crate::wire::Cause;
use crate::wire::record::Allowance;

/// How many members may be lost at once, of so many, without a mark being lost with them.
pub fn guarded_losses(members: usize) -> usize {
    if members < 5 { 1 } else { 2 }
}

/// The limits of own rows whose newest mark is not confirmed. Every other row's is its mark.
///
/// Not durable by itself: each row says what its limit was when it was written, and a restart goes
/// on from there.
#[derive(Clone, Debug, Default)]
pub struct Ceilings {
    items: BTreeMap<Sku, Ceiling>,
    /// By the place in the own log where each unconfirmed mark was set.
    unconfirmed: BTreeMap<Seq, Sku>,
}

#[derive(Clone, Debug)]
struct Ceiling {
    limit: u64,
    /// Marks above it, the lowest first, each with where it was set. (A later and lower one makes
    /// those before it void.)
    marks: VecDeque<(Seq, u64)>,
}

impl Ceilings {
    pub fn limit(&self, sku: &Sku) -> Option<u64> {
        if self.items.is_empty() { None } else { self.items.get(sku).map(|ceiling| ceiling.limit) }
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// The own row was written: under this mark, when so much was confirmed. (In a replay of the
    /// journal nothing else tells what was.)
    pub fn set(&mut self, sku: &Sku, seq: Seq, mark: u64, confirmed: u64) {
        if mark <= confirmed {
            return self.forget(sku);
        }
        let ceiling = self.items.entry(sku.clone()).or_insert(Ceiling { limit: 0, marks: VecDeque::new() });
        ceiling.limit = confirmed;
        if ceiling.marks.back().is_none_or(|(_, last)| *last != mark) {
            self.unconfirmed.insert(seq, sku.clone());
            ceiling.marks.push_back((seq, mark));
        }
        let is_void = |(at, of): &(Seq, u64)| *of <= confirmed || (*of >= mark && *at < seq && *of != mark);
        ceiling.marks.iter().filter(|raise| is_void(raise)).for_each(|(at, _)| {
            self.unconfirmed.remove(at);
        });
        ceiling.marks.retain(|raise| !is_void(raise));
    }

    fn forget(&mut self, sku: &Sku) {
        for (seq, _) in self.items.remove(sku).into_iter().flat_map(|ceiling| ceiling.marks) {
            self.unconfirmed.remove(&seq);
        }
    }

    /// Enough peers hold the own log up to `upto`: the items whose limits rose.
    fn confirmed(&mut self, upto: Seq) -> Vec<Sku> {
        let mut risen = Vec::new();
        while let Some(first) = self.unconfirmed.first_entry().filter(|first| *first.key() <= upto) {
            let sku = first.remove();
            let Some(ceiling) = self.items.get_mut(&sku) else { continue };
            if let Some((_, mark)) = ceiling.marks.pop_front() {
                ceiling.limit = mark;
            }
            if ceiling.marks.is_empty() {
                self.items.remove(&sku);
            }
            risen.push(sku);
        }
        risen
    }
}

impl Item {
    /// Units everywhere that are not sold, by the rows that are here.
    pub fn on_hand(&self) -> Units {
        let count = |row: &Row, cell| u128::from(row.count(cell).0);
        let sum = |cell| self.rows.values().map(|row| count(row, cell)).sum::<u128>();
        let came = sum(Cell::Received) + sum(Cell::Returned);
        let left = came.saturating_sub(sum(Cell::Retired) + sum(Cell::Sold));
        Units(u64::try_from(left).unwrap_or(u64::MAX))
    }
}

impl State {
    /// The own row's limit.
    pub fn limit(&self, sku: &Sku, row: &Row) -> u64 {
        if planted::is_on(Bug::MarkBeforeDurable) {
            return row.mark;
        }
        self.ceilings.limit(sku).unwrap_or(row.mark)
    }

    /// Most units that may be taken beyond what others know of; `None`: without bound.
    fn autonomy(&self, sku: &Sku) -> Option<Units> {
        let item = self.items.get(sku);
        let set = item.and_then(|item| item.policy()).and_then(|policy| policy.autonomy);
        let dial = set.unwrap_or(self.limits().autonomy);
        dial.units(|| item.map_or(Units::ZERO, Item::on_hand))
    }

    /// What the own row is to say once `taken` is its cell; `None`: nothing ever bounded it. `order`:
    /// what a buyer who waits wants at once; one that is larger than the dial could be served nowhere.
    pub fn allowance(&self, sku: &Sku, row: &Row, taken: u64, order: Units) -> Option<Allowance> {
        let members = self.roster.len();
        let limit = self.limit(sku, row);
        let Some(autonomy) = self.autonomy(sku) else {
            let was_bounded = limit != UNBOUNDED;
            return was_bounded.then_some(Allowance { mark: UNBOUNDED, limit, q: row.q });
        };
        let q = u8::try_from(guarded_losses(members)).unwrap_or(u8::MAX);
        let room = autonomy.max(order).0;
        let most = taken.saturating_add(room);
        // Not with every unit: a tenth of it may be used up first.
        let least = taken.saturating_add((room - room / 10).max(order.0));
        let mark = if (least..=most).contains(&row.mark) { row.mark } else { most };
        let limit = if members > 1 { limit.min(mark) } else { mark };
        Some(Allowance { mark, limit, q })
    }

    /// How much more a member may take before it writes another mark, by its row as it is known here.
    pub fn room_at(&self, member: ReplicaId, sku: &Sku) -> Units {
        let row = self.items.get(sku).and_then(|item| item.rows.get(&member));
        row.map_or(Units(u64::MAX), |row| Units(row.mark).excess_over(row.count(Cell::Taken)))
    }

    /// Whether the own row's mark is not what its dial says.
    fn is_off_dial(&self, sku: &Sku) -> bool {
        let Some(row) = self.own_row(sku) else { return false };
        let taken = row.count(Cell::Taken).0;
        match self.autonomy(sku) {
            None => row.mark != UNBOUNDED,
            Some(autonomy) => row.mark > taken.saturating_add(autonomy.0),
        }
    }

    fn capped(&self, sku: &Sku, requested: Units) -> Capped {
        let (available_here, sellable) = (self.rights_here(sku), self.available_here(sku));
        Capped { sku: sku.clone(), requested, available_here, sellable }
    }

    /// Refuses what is here and above the limit.
    pub fn check_limit(&self, sku: &Sku, quantity: Units) -> Result<(), Refusal> {
        if self.available_here(sku) >= quantity || self.rights_here(sku) < quantity {
            return Ok(());
        }
        Err(Refusal::AutonomySpent(vec![self.capped(sku, quantity)]))
    }

    /// Enough peers hold the own log up to `upto`.
    pub fn confirmed(&mut self, upto: Seq) {
        for sku in self.ceilings.confirmed(upto) {
            self.touch(sku);
        }
    }
}

impl Replica {
    /// The units are here, and not yet below the limit.
    pub(super) fn is_capped(&self, line: &Line) -> bool {
        !self.is_short(line) && self.state.available_here(&line.sku) < line.quantity
    }

    /// The refusal when nothing is short, but something capped.
    pub(super) fn capped_refusal(&mut self, wanted: &[Line]) -> Option<Refusal> {
        if wanted.iter().any(|line| self.is_short(line)) {
            return None;
        }
        let capped = wanted.iter().filter(|line| self.is_capped(line));
        let capped: Vec<Capped> = capped.map(|line| self.state.capped(&line.sku, line.quantity)).collect();
        if capped.is_empty() {
            return None;
        }
        self.stats.refused_autonomy += 1;
        Some(Refusal::AutonomySpent(capped))
    }

    /// A peer says that it holds the own log up to `upto`.
    pub(super) fn held_by(&mut self, peer: ReplicaId, upto: Seq) {
        // More than there is can only be of a disk that is gone; the next digest will prove it.
        if upto <= self.state.own_watermark() {
            self.confirmed_by(peer, upto);
        }
    }

    /// A peer holds the own log up to `upto`, durably and without a gap. It does for good, whatever
    /// becomes of the link.
    pub(super) fn confirmed_by(&mut self, peer: ReplicaId, upto: Seq) {
        self.links.note_confirmed(peer, upto);
        let q = match planted::is_on(Bug::OneConfirmationTooFew) {
            true => 1,
            false => guarded_losses(self.state.roster.len()),
        };
        let mut held: Vec<Seq> = self.state.others().map(|m| self.links.confirmed(m.replica)).collect();
        held.sort_unstable_by(|a, b| b.cmp(a));
        let enough = held.get(q.min(held.len()).saturating_sub(1));
        self.state.confirmed(enough.copied().unwrap_or_default());
    }

    /// Raises the mark that stands in the way of orders that wait, as soon as their units are here.
    pub(super) fn make_room_for_waiting(&mut self, now: Timestamp, sku: &Sku, out: &mut Effects) {
        let order = self.claim_of_waiting(sku).most.min(self.state.rights_here(sku));
        let Some(row) = self.state.own_row(sku) else { return };
        if row.mark < row.count(Cell::Taken).0.saturating_add(order.0) {
            self.write_marks(now, vec![(sku.clone(), order)], out);
        }
    }

    fn write_marks(&mut self, now: Timestamp, lines: Vec<(Sku, Units)>, out: &mut Effects) {
        let mut draft = Draft::new(&self.state, now, Cause::Mark);
        lines.into_iter().for_each(|(sku, order)| draft.make_room(&sku, order));
        let change = self.seal(draft);
        self.commit(now, change, out);
        self.stats.marks_written += 1;
    }

    /// The dial of an item may have been turned.
    pub(super) fn follow_dial(&mut self, now: Timestamp, sku: &Sku, out: &mut Effects) {
        if self.standing.is_ready() && self.state.is_off_dial(sku) {
            self.write_marks(now, vec![(sku.clone(), Units::ZERO)], out);
        }
    }

    /// Has all items looked at.
    pub(super) fn review_dials(&mut self) {
        self.dials_after = Some(None);
    }

    /// When there are dials to look at: at once.
    pub(super) fn next_review(&self) -> Option<Timestamp> {
        self.dials_after.as_ref().filter(|_| self.standing.is_ready()).map(|_| self.state.time)
    }

    /// Looks at dials, a bounded number of items in a step.
    pub(super) fn review_tick(&mut self, now: Timestamp, out: &mut Effects) {
        use std::ops::Bound::{Excluded, Unbounded};
        if !self.standing.is_ready() {
            return;
        }
        let Some(after) = self.dials_after.take() else { return };
        let from = after.map_or(Unbounded, Excluded);
        let mut skus = self.state.items.range((from, Unbounded)).map(|(sku, _)| sku);
        let part: Vec<Sku> = skus.by_ref().take(MARKS_AT_ONCE).cloned().collect();
        self.dials_after = skus.next().and(part.last().cloned()).map(Some);
        let off: Vec<_> = part.into_iter().filter(|sku| self.state.is_off_dial(sku)).collect();
        if !off.is_empty() {
            self.write_marks(now, off.into_iter().map(|sku| (sku, Units::ZERO)).collect(), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sku() -> Sku {
        Sku::new("MUG").unwrap()
    }

    #[test]
    fn a_limit_is_the_least_mark_since_the_newest_version_that_is_confirmed() {
        let mut ceilings = Ceilings::default();
        let mut limit = 5;
        for (seq, mark) in [(2, 10), (3, 20), (4, 15), (6, 30)] {
            ceilings.set(&sku(), Seq(seq), mark, limit);
            limit = ceilings.limit(&sku()).unwrap_or(mark);
            assert_eq!(limit, 5);
        }
        for (upto, expected) in [(1, 5), (2, 10), (3, 10), (4, 15), (5, 15)] {
            ceilings.confirmed(Seq(upto));
            assert_eq!(ceilings.limit(&sku()), Some(expected), "up to {upto}");
        }
        assert_eq!(ceilings.confirmed(Seq(9)), [sku()]);
        assert_eq!(ceilings.limit(&sku()), None);
        assert!(ceilings.unconfirmed.is_empty() && ceilings.items.is_empty());
    }

    #[test]
    fn a_lower_mark_counts_at_once() {
        let mut ceilings = Ceilings::default();
        ceilings.set(&sku(), Seq(2), 20, 10);
        ceilings.set(&sku(), Seq(3), 7, 7);
        assert_eq!(ceilings.limit(&sku()), None, "the mark is the limit");
        assert!(ceilings.unconfirmed.is_empty());
    }

    #[test]
    fn a_replay_knows_what_was_confirmed_from_what_was_written_next() {
        let mut ceilings = Ceilings::default();
        ceilings.set(&sku(), Seq(2), 20, 10);
        ceilings.set(&sku(), Seq(3), 30, 20);
        assert_eq!(ceilings.limit(&sku()), Some(20));
        assert_eq!(ceilings.unconfirmed.len(), 1);
        ceilings.set(&sku(), Seq(4), 30, 30);
        assert_eq!(ceilings.limit(&sku()), None);
    }

    #[test]
    fn two_losses_at_once_are_guarded_against_from_five_members_on() {
        assert_eq!([1, 2, 3, 4, 5, 9].map(guarded_losses), [1, 1, 1, 1, 2, 2]);
    }
}
