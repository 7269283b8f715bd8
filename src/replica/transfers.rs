//! Rights on the move: given by the giver's record, taken in by the receiver's.
//!
//! A transfer is nothing but two counters: the giver raises `sent`, durably, before anything
//! leaves; the receiver, once it has the giver's row, raises `credited` to the same number. So
//! any number of repeats, in any order, over any path, move each unit once.

use std::collections::BTreeSet;

use crdts::{CmRDT, Dot};

use super::Replica;
use super::draft::Draft;
use super::effects::Effects;
use super::rebalance::Situation;
use super::waiting::AskAnswer;
use crate::planted::{self, Bug};
use crate::types::{Cell, ReplicaId, Seq, Sku, Timestamp, Units};
use crate::wire::message::{Ask, AskLine, Given, MAX_ENTRIES};
use crate::wire::{Actor, Cause, Change, Entry, Key, Merge, Message, Record};

/// What an asker gets.
struct Gift {
    units: Units,
    /// For the item's history.
    why: String,
}

/// Rows in one answer to an ask: with the widest rows, of 256 members, it stays under the
/// longest message.
const ROWS_IN_ANSWER: usize = MAX_ENTRIES / 4;

impl Replica {
    /// A peer wants rights: gives what the policy says, and answers with the rows as they are then.
    pub(super) fn asked(&mut self, now: Timestamp, from: ReplicaId, ask: Ask, out: &mut Effects) {
        if !self.standing.is_ready() {
            return;
        }
        self.stats.asks_answered += 1;
        self.give(now, from, &ask, out);
        let (mut entries, mut none) = (Vec::new(), Vec::new());
        for line in ask.lines {
            match self.state.entry(self.state.me(), &Key::Item(line.sku.clone())) {
                Some(entry) => entries.push(entry),
                None => none.push(line.sku),
            }
        }
        // Several answers to one ask when the rows would not fit one message.
        let mut rest = entries.as_slice();
        loop {
            let (part, more) = rest.split_at(rest.len().min(ROWS_IN_ANSWER));
            let none = std::mem::take(&mut none);
            let given = Given { id: ask.id, stamp: ask.stamp, entries: part.to_vec(), none };
            self.send(from, Message::Given(given), out);
            if more.is_empty() {
                return;
            }
            rest = more;
        }
    }

    fn give(&mut self, now: Timestamp, to: ReplicaId, ask: &Ask, out: &mut Effects) {
        let crossed = |line: &&AskLine| !line.need.is_zero() && self.jobs.is_waited_for(&line.sku);
        self.stats.asks_crossed += ask.lines.iter().filter(crossed).count() as u64;
        let mut seen = BTreeSet::new();
        for line in &ask.lines {
            // A line repeated in one ask counts once: the asker did not reckon with the other.
            if !seen.insert(&line.sku) {
                continue;
            }
            let gift = self.gift(now, to, line, ask.since);
            // Of what nobody waits for, a need is what a quota reserves there.
            let cause = if line.need.is_zero() || ask.since.is_none() {
                Cause::GiveForBalance
            } else {
                Cause::GiveForBuyer
            };
            // Each item's in a change of its own: it has its own cause and reason.
            let mut draft = Draft::new(&self.state, now, cause);
            draft.actor = Some(Actor::Peer(to));
            // What does not fit the counter stays here.
            let _ = draft.raise(&line.sku, Cell::Sent(to), gift.units);
            draft.reason = Some(gift.why);
            let change = self.seal(draft);
            self.send_rights(now, change, out);
        }
    }

    /// Commits what a change gives away, if anything.
    pub(super) fn send_rights(&mut self, now: Timestamp, change: Change, out: &mut Effects) {
        let sent = change.rows.iter().flat_map(|raise| &raise.cells);
        let sent = sent.filter(|cell| matches!(cell.new.cell, Cell::Sent(_)));
        let (moves, units) =
            sent.fold((0, 0u64), |(moves, units), cell| (moves + 1, units.saturating_add(cell.by.0)));
        if moves == 0 {
            return;
        }
        if planted::is_on(Bug::ForesightOfCredit) {
            self.foresee_credit(&change);
        }
        self.commit(now, change, out);
        self.stats.note_transfers(moves, Units(units));
    }

    /// Gives to members that are low and have not asked.
    pub(super) fn give_unasked(
        &mut self,
        now: Timestamp,
        sku: &Sku,
        situation: &Situation,
        out: &mut Effects,
    ) {
        if !self.standing.is_ready() {
            return;
        }
        for part in situation.push() {
            let mut draft = Draft::new(&self.state, now, Cause::GiveUnasked);
            // What does not fit the counter stays here.
            let _ = draft.raise(sku, Cell::Sent(part.member), part.units);
            draft.reason = Some(self.why(situation, self.state.me(), part.member));
            let change = self.seal(draft);
            self.send_rights(now, change, out);
        }
    }

    /// Planted: writes in another's row what only its owner may.
    fn foresee_credit(&mut self, change: &Change) {
        let me = self.state.me();
        for raise in &change.rows {
            for cell in &raise.cells {
                let Cell::Sent(taker) = cell.new.cell else { continue };
                let item = self.state.items.entry(raise.sku.clone()).or_default();
                let row = item.rows.entry(taker).or_default();
                row.apply(Dot::new(Cell::Credited(me), cell.new.value));
            }
        }
    }

    fn gift(&self, now: Timestamp, to: ReplicaId, line: &AskLine, since: Option<Timestamp>) -> Gift {
        if !self.state.items.contains_key(&line.sku) {
            return Gift { units: Units::ZERO, why: String::new() };
        }
        let mut situation = self.situation(now, &line.sku);
        if let Some(demand) = line.demand {
            situation.learn(to, demand);
        }
        // Of two that want each other's units the one whose buyer came first is served. Both
        // compare the same two pairs, so exactly one of them yields.
        let own = self.claim_of_waiting(&line.sku);
        let mine_first = match (own.span, since) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some((own_since, _)), Some(since)) => (own_since, self.state.me()) < (since, to),
        };
        let yields = !mine_first || planted::is_on(Bug::AskLivelock);
        let claimed = if yields { Units::ZERO } else { own.units };
        // What was given since it was reckoned is on its way.
        let given = self.state.own_row(&line.sku).map_or(Units::ZERO, |row| row.sent_to(to));
        let seen = line.seen.filter(|_| !planted::is_on(Bug::UnseenGiftsRepeated));
        let unseen = seen.map_or(Units::ZERO, |seen| given.excess_over(seen));
        let (need, want) =
            (line.need.excess_over(unseen), line.want.excess_over(unseen.excess_over(line.need)));
        let units = situation.gift(to, need, want, claimed);
        if units.is_zero() {
            return Gift { units, why: String::new() };
        }
        let asked = match (need.is_zero(), since) {
            (true, _) => format!("wished for {want}"),
            (false, None) => format!("lacked {need} that a quota reserves"),
            (false, Some(_)) => format!("needed {need} for buyers and wished for {want} more"),
        };
        let why = format!(
            "{} {asked}; as known here it should hold {}, and {} of {} here were beyond the target",
            self.state.name_of(to),
            situation.target_and_dials(to),
            situation.surplus(&situation.here),
            situation.here.available,
        );
        Gift { units, why }
    }

    /// An answer to an ask: the giver's rows, perhaps with units for here.
    pub(super) fn given(&mut self, now: Timestamp, from: ReplicaId, given: Given, out: &mut Effects) {
        let rows: Vec<(Sku, Seq)> =
            given.entries.iter().filter_map(|entry| Some((sku_of(entry)?.clone(), entry.seq))).collect();
        let before: Vec<Units> = rows.iter().map(|(sku, _)| self.credited(sku, from)).collect();
        let of_giver: Vec<Entry> = given.entries.into_iter().filter(|entry| entry.origin == from).collect();
        self.merge(now, from, of_giver, None, out);
        for ((sku, seq), before) in rows.iter().zip(before) {
            let is_heard = self.row_seq(sku, from) >= *seq;
            let answer = AskAnswer { is_heard, gave: self.credited(sku, from).excess_over(before) };
            self.shortages.answered(now, sku, from, given.stamp, &answer);
        }
        for sku in &given.none {
            let is_heard = self.row_seq(sku, from) == Seq::ZERO;
            let answer = AskAnswer { is_heard, gave: Units::ZERO };
            self.shortages.answered(now, sku, from, given.stamp, &answer);
        }
    }

    fn row_seq(&self, sku: &Sku, owner: ReplicaId) -> Seq {
        self.state.items.get(sku).and_then(|item| item.rows.get(&owner)).map_or(Seq::ZERO, |row| row.seq)
    }

    fn credited(&self, sku: &Sku, from: ReplicaId) -> Units {
        self.state.own_row(sku).map_or(Units::ZERO, |row| row.credited_from(from))
    }

    /// Journals entries of others, with what they lift, and takes in the units they send here.
    pub(super) fn take_in(&mut self, now: Timestamp, merge: Merge, out: &mut Effects) {
        let me = self.state.me();
        let rows: Vec<(ReplicaId, Sku)> =
            merge.entries.iter().filter_map(|e| Some((e.origin, sku_of(e)?.clone()))).collect();
        self.stats.entries_merged += merge.entries.len() as u64;
        let settings = merge.entries.iter().filter_map(|entry| match &entry.key {
            Key::Setting(sku) => Some((sku.clone(), self.state.policy(sku).cloned())),
            _ => None,
        });
        let settings: Vec<_> = settings.collect();
        self.note(now, Record::Merge(merge), out);
        for (sku, before) in &settings {
            self.note_policy(now, sku, before.as_ref());
            self.follow_dial(now, sku, out);
        }
        for (giver, sku) in rows {
            if planted::is_on(Bug::RightsLostOnTimeout) && !self.jobs.is_waited_for(&sku) {
                continue;
            }
            let sent = self.state.items[&sku].rows[&giver].sent_to(me);
            let known = self.credited(&sku, giver);
            let new = if planted::is_on(Bug::CreditTwice) { sent } else { sent.excess_over(known) };
            let inflow = self
                .state
                .own_row(&sku)
                .and_then(|row| row.balances().ok())
                .map_or(Units::ZERO, |b| b.inflow);
            let self_made = planted::is_on(Bug::SelfMadeReceipt);
            let cell = if self_made { Cell::Received } else { Cell::Credited(giver) };
            let mut draft = Draft::new(&self.state, now, Cause::Credit);
            if !new.is_zero() && inflow.plus(new).is_ok() && draft.raise(&sku, cell, new).is_ok() {
                draft.actor = Some(Actor::Peer(giver));
                let change = self.seal(draft);
                self.commit(now, change, out);
                self.stats.credits += 1;
            }
        }
    }
}

/// The item a row is about.
pub fn sku_of(entry: &Entry) -> Option<&Sku> {
    match &entry.key {
        Key::Item(sku) => Some(sku),
        _ => None,
    }
}
