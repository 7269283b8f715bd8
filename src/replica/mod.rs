//! The replica: the deterministic state machine that owns rights and decides everything.
//!
//! It knows no clock, no randomness and no IO. The shell (or the simulator) drives it:
//!
//! - [`Replica::new`], then [`Replica::restore`] for each stored record, in order: the way back
//!   to where it was.
//! - [`Input::Start`] once. Then [`Replica::handle`] for everything that comes, with ledger time
//!   that never goes back, and [`Input::Tick`] when [`Replica::next_deadline`] has come.
//! - After each step, the records in the [`Effects`] go to the journal, those of one step never
//!   split over two batches, and the outputs go through a [`Barrier`].
//!
//! Inside, a command is decided on the state as it is (`decide`, which changes nothing), and
//! then its record is applied (`State::apply`, which cannot fail): the same `apply` that
//! recovery uses. What is not in `State` is volatile: who is linked, who waits
//! for what. A crash loses it without harm.

mod commands;
mod decide;
mod demand;
mod draft;
mod drain;
mod effects;
mod escrow;
mod forward;
mod import;
mod input;
mod invariants;
mod jobs;
mod log;
mod marks;
mod membership;
mod placed;
mod placing;
mod planning;
mod rebalance;
mod refusals;
mod requests;
mod reservations;
mod snapshot;
mod state;
mod stats;
mod sync;
#[cfg(test)]
mod tests;
mod transfers;
mod verdict;
mod waiting;
mod witness;

use std::collections::{BTreeMap, BTreeSet};

pub use effects::{Barrier, Effects, Gated, Output, Token};
pub use escrow::Row;
pub use input::{Evidence, Input};
pub use snapshot::Cursor;
pub use stats::{Sizes, Stats};
pub use witness::{FileId, Note, judge};

use self::demand::Demand;
use self::drain::HandOver;
use self::jobs::Jobs;
use self::membership::Standing;
use self::placing::Placing;
use self::refusals::Refusals;
use self::state::State;
use self::sync::Links;
use self::waiting::Shortages;
use crate::limits::{LINES_AT_ONCE, Limits};
use crate::planted::{self, Bug};
use crate::types::{
    NodeName, Policy, Position, Region, ReplicaId, Reservation, ReservationId, Seq, Sku, Timestamp, Units,
};
use crate::wire::{Change, Genesis, Message, Record};

/// A replica of the ledger. See the module's text for the order of calls.
#[derive(Debug)]
pub struct Replica {
    state: State,
    /// Records applied since the start.
    position: Position,
    standing: Standing,
    links: Links,
    jobs: Jobs,
    shortages: Shortages,
    demand: Demand,
    hand_over: HandOver,
    placing: Placing,
    refusals: Refusals,
    stats: Stats,
    /// Reservations that a search found to be sold by more than one node.
    doubly_sold: BTreeMap<ReservationId, Vec<NodeName>>,
    /// Lines that waiting and overdue requests may still take up in this step.
    budget: usize,
    /// Items after this one have their dials looked at.
    dials_after: Option<Option<Sku>>,
    /// Items whose view must be published at the end of the step.
    views: BTreeSet<Sku>,
    /// Numbers asks and forwards; starts at the session's nonce, so that an answer from before
    /// a restart finds nobody.
    next_number: u64,
}

impl Replica {
    pub fn new(genesis: Genesis, limits: Limits) -> Replica {
        Replica {
            state: State::new(genesis, limits),
            position: Position(0),
            standing: Standing::Loading,
            links: Links::default(),
            jobs: Jobs::default(),
            shortages: Shortages::default(),
            demand: Demand::default(),
            hand_over: HandOver::default(),
            placing: Placing::default(),
            refusals: Refusals::default(),
            stats: Stats::default(),
            doubly_sold: BTreeMap::new(),
            budget: 0,
            dials_after: None,
            views: BTreeSet::new(),
            next_number: 0,
        }
    }

    /// Applies a record from the journal or a checkpoint. Before [`Input::Start`] only.
    pub fn restore(&mut self, record: &Record) {
        assert!(matches!(self.standing, Standing::Loading), "records are restored before the start");
        self.state.apply(record);
    }

    /// One step: `now` is ledger time and never goes back.
    pub fn handle(&mut self, now: Timestamp, input: Input, out: &mut Effects) {
        let now = now.max(self.state.time);
        self.budget = LINES_AT_ONCE;
        match input {
            Input::Start { nonce, evidence } => self.start(now, nonce, evidence, out),
            Input::Request { token, request } => self.request(now, token, request, out),
            Input::LinkUp { node } => self.link_up(now, &node, out),
            Input::LinkDown { node } => self.link_down(now, &node, out),
            Input::RoundTrip { node, time } => self.round_trip_measured(&node, time),
            Input::Message { node, message } => self.message(now, &node, message, out),
            Input::Limits(limits) => {
                self.state.set_limits(limits);
                self.review_dials();
            }
            Input::Tick => self.tick(now, out),
            Input::Stop => self.stop(now, out),
        }
        self.settle(now, out);
    }

    /// When [`Input::Tick`] is due next.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        if self.is_rolled_back() {
            return None;
        }
        let deadlines = [
            self.standing.deadline(),
            self.state.reservations.next_due().filter(|_| self.standing.is_ready()),
            self.jobs.next_timer(),
            self.links.next_deadline(),
            self.shortages.next_deadline(),
            self.next_hand_over(),
            self.next_review(),
        ];
        deadlines.into_iter().flatten().min()
    }

    pub fn replica_id(&self) -> ReplicaId {
        self.state.me()
    }

    pub fn genesis(&self) -> &Genesis {
        &self.state.genesis
    }

    pub fn name(&self) -> &NodeName {
        &self.state.genesis.name
    }

    /// All members' names.
    pub fn names(&self) -> BTreeMap<ReplicaId, NodeName> {
        self.state.roster.values().map(|member| (member.replica, member.name.clone())).collect()
    }

    pub fn region(&self) -> &Region {
        &self.state.genesis.region
    }

    /// Position of the last record applied.
    pub fn position(&self) -> Position {
        self.position
    }

    /// How far a member's log is here without a gap.
    pub fn watermark(&self, member: ReplicaId) -> Seq {
        self.state.logs.get(&member).map_or(Seq::ZERO, |log| log.watermark)
    }

    /// The newest ledger time in any record: a restart goes on from here.
    pub fn time(&self) -> Timestamp {
        self.state.time
    }

    pub fn stats(&self) -> Stats {
        let mut stats = self.stats;
        self.measure(&mut stats);
        stats
    }

    /// Clients whose requests wait, for rights or for another node.
    pub fn waiting(&self) -> impl Iterator<Item = Token> {
        self.jobs.clients()
    }

    /// Everybody's rows as they are known here, in order of item and owner.
    pub fn rows(&self) -> impl Iterator<Item = (&Sku, ReplicaId, &Row)> {
        let of_item = |(sku, item)| {
            let item: &state::Item = item;
            item.rows.iter().map(move |(owner, row)| (sku, *owner, row))
        };
        self.state.items.iter().flat_map(of_item)
    }

    /// What an admin has set about an item.
    pub fn policy(&self, sku: &Sku) -> Option<&Policy> {
        self.state.policy(sku)
    }

    /// Units of an item that there is a right to here.
    pub fn available(&self, sku: &Sku) -> Units {
        self.state.rights_here(sku)
    }

    /// The own reservations, in order of id.
    pub fn reservations(&self) -> impl Iterator<Item = &Reservation> {
        self.state.reservations.iter()
    }

    /// Applies a change that was just decided, and notes it for the journal.
    fn commit(&mut self, now: Timestamp, change: Change, out: &mut Effects) {
        self.note_change(now, &change);
        self.note(now, Record::Change(Box::new(change)), out);
    }

    fn note(&mut self, now: Timestamp, record: Record, out: &mut Effects) {
        self.state.apply(&record);
        self.position = Position(self.position.0 + 1);
        out.record(record);
        self.links.changed(now);
    }

    fn emit(&self, output: Output, out: &mut Effects) {
        if planted::is_on(Bug::ReadBeforeSync) && out.records().is_empty() {
            return out.emit(Position(0), output);
        }
        out.emit(self.position, output);
    }

    fn send(&mut self, to: ReplicaId, message: Message, out: &mut Effects) {
        if let Some(node) = self.links.name(to) {
            self.stats.messages_sent += 1;
            self.emit(Output::Send { node, message }, out);
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number = self.next_number.wrapping_add(1);
        self.next_number
    }

    fn tick(&mut self, now: Timestamp, out: &mut Effects) {
        if self.is_rolled_back() {
            return;
        }
        self.stand(now, out);
        if self.standing.is_ready() {
            self.expire(now, out);
        }
        self.hand_over(now, out);
        self.review_tick(now, out);
        self.jobs_tick(now, out);
        self.sync_tick(now, out);
        self.shortages_tick(now, out);
    }

    /// The end of each step: buyers whose units came are served, what is still missing is asked
    /// for, and what changed is published.
    fn settle(&mut self, now: Timestamp, out: &mut Effects) {
        if self.is_rolled_back() {
            return;
        }
        loop {
            let touched = self.state.take_touched();
            if touched.is_empty() && !self.shortages.has_news() {
                break;
            }
            self.views.extend(touched.iter().cloned());
            self.note_free(&touched);
            self.retry_waiting(now, touched, out);
        }
        self.ask_for_missing(now, out);
        for sku in std::mem::take(&mut self.views) {
            if let Some(view) = self.view(&sku) {
                self.emit(Output::View(view), out);
            }
        }
        if let Some(heard) = self.links.take_heard(&self.state) {
            self.emit(Output::Heard(heard), out);
        }
    }
}
