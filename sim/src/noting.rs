//! What the oracle notes as things pass it by: marks, and what marks need to be told.

use std::collections::BTreeMap;

use stockade::limits::ASK_TIMEOUT;
use stockade::types::{
    Answer, Applied, Cell, Command, IdempotencyKey, Reply, ReservationState, Sku, Timestamp, Units,
};
use stockade::wire::message::AskLine;
use stockade::wire::{Body, Cause, Change, Key, Message};

use crate::checks::donors::Donor;
use crate::checks::{Checked, gifts, placed, sizes};
use crate::claims::{claims, makes, refusals, shortfalls};
use crate::coverage::Kind;
use crate::host::Open;
use crate::marks::Mark;
use crate::oracle::Oracle;
use crate::time::{Span, Time};
use crate::workload::node_number;

/// A request that is open for so long is one that waits.
const LONG: Span = Span::seconds(2);

/// What a process finds on its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// A checkpoint, and the batches since.
    Checkpoint,
    /// All batches since the beginning.
    Journal,
}

/// What went by before, as far as a mark depends on it.
#[derive(Debug, Default)]
pub struct Passed {
    /// By node and key: the life in which it first came, and when it was first answered.
    keys: BTreeMap<(usize, String, String), (u64, Option<Time>)>,
    /// By node and key of an import: the life in which it first came.
    imports: BTreeMap<(usize, String), u64>,
    /// The session that each host heard of from each.
    sessions: BTreeMap<(usize, usize), u64>,
}

impl Oracle {
    pub(crate) fn note_change(&mut self, node: usize, change: &Change) {
        let coverage = &mut self.coverage;
        coverage.hit(Mark::of_cause(change.cause));
        if change.cause == Cause::Credit {
            self.asks.gave_reason(node);
        }
        self.transfers += u64::from(change.cause.is_gift());
        coverage.hit_if(change.cause == Cause::Drain && self.is_cut, Mark::DrainBeganInCut);
        for entry in &change.entries {
            match (&entry.key, &entry.body) {
                (_, Body::Draining(draining)) => self.watches[node].is_draining = *draining,
                (Key::Setting(sku), Body::Setting(setting)) => {
                    coverage.hit_if(setting.policy.launch.is_some(), Mark::LaunchSet);
                    let known = self.books[node].memory.settings.get(sku);
                    let changed = known.is_some_and(|(_, _, old)| old.quotas != setting.policy.quotas);
                    coverage.hit_if(changed && self.is_cut, Mark::QuotaSetInCut);
                }
                _ => {}
            }
        }
        let Some(new) = &change.reservation else { return };
        let old = self.books[node].memory.reservations.get(&new.id);
        let watch = &mut self.watches[node];
        watch.due.written(old, new);
        let was = |state| old.is_some_and(|old| old.state == state);
        coverage.hit_if(
            was(ReservationState::Expired) && change.cause == Cause::Confirm,
            Mark::ConfirmedAfterExpiry,
        );
        coverage.hit_if(was(ReservationState::Expired) && change.cause == Cause::Reserve, Mark::HeldAgain);
        coverage.hit_if(was(ReservationState::Held) && change.cause == Cause::Sell, Mark::HeldThenSold);
        let overdue = change.cause == Cause::Expire && new.deadline < watch.started;
        coverage.hit_if(overdue, Mark::OverdueAtStart);
        if old.is_none() {
            coverage.reservations += 1;
            let others = self.books.iter().enumerate().filter(|(other, _)| *other != node);
            let held = others.filter(|(_, books)| books.memory.reservations.contains_key(&new.id)).count();
            coverage.hit_if(held > 0, Mark::TwoOwners);
        }
    }

    /// A drain may be through.
    pub(crate) fn note_drained(&mut self, node: usize) {
        if self.watches[node].is_draining {
            let empty = |row: &crate::ghost::Row| row.held() == 0 && row.available() == 0;
            let drained = self.books[node].memory.rows.values().all(empty);
            self.coverage.hit_if(drained, Mark::Drained);
        }
    }

    pub(crate) fn note_boot(&mut self, from: Start) {
        self.coverage.hit(match from {
            Start::Checkpoint => Mark::StartFromCheckpoint,
            Start::Journal => Mark::StartFromJournal,
        });
    }

    pub(crate) fn note_request(&mut self, node: usize, open: &Open) {
        let command = &open.request.command;
        self.coverage.requested(Kind::of(command));
        if let Some(client) = open.client
            && let Some(id) = makes(command).first()
        {
            self.last_asked_by(client, id);
        }
        let life = self.watches[node].life;
        if let Some(key) = &open.request.key {
            self.passed.keys.entry(key_of(node, key)).or_insert((life, None));
        }
        if let Command::Import { key: Some(key), .. } = command {
            self.passed.imports.entry((node, key.clone())).or_insert(life);
        }
    }

    pub(crate) fn note_answer(&mut self, now: Time, node: usize, open: &Open, reply: &Reply) {
        self.watches[node].answered[Kind::of(&open.request.command) as usize] = Some(now);
        let coverage = &mut self.coverage;
        for refusal in refusals(&reply.outcome) {
            if let Some(mark) = Mark::of_refusal(refusal) {
                coverage.hit(mark);
            }
        }
        for short in shortfalls(&reply.outcome) {
            coverage.hit(Mark::of_verdict(short.verdict));
        }
        let elsewhere = claims(&reply.outcome).any(|claimed| node_number(&claimed.node) != node);
        coverage.hit_if(elsewhere, Mark::FoundElsewhere);
        coverage.hit_if(now.since(open.arrived) > LONG, Mark::LongWait);
        let life = self.watches[node].life;
        match (&reply.outcome, &open.request.command) {
            (Ok(Answer::Batch(results)), _) => {
                let done = results.iter().filter(|result| result.is_ok()).count();
                coverage.hit_if(done > 0 && done < results.len(), Mark::BatchInPart);
            }
            (Ok(Answer::Imported(lines)), Command::Import { key: Some(key), .. }) => {
                let first = self.passed.imports.get(&(node, key.clone()));
                let repeated = lines.contains(&Ok(Applied::Before));
                coverage.hit_if(repeated && first.is_some_and(|first| *first != life), Mark::ImportResumed);
            }
            (Ok(Answer::Moves { moves, .. }), _) => {
                coverage.hit_if(!moves.is_empty(), Mark::MoveTold);
                coverage.hit_if(moves.iter().any(|planned| planned.begun), Mark::MoveBegun);
            }
            _ => {}
        }
        coverage.hit_if(reply.replayed, Mark::Replayed);
        if let Some(key) = &open.request.key
            && let Some((first, answered)) = self.passed.keys.get_mut(&key_of(node, key))
        {
            coverage.hit_if(reply.replayed && *first != life, Mark::ReplayedAfterCrash);
            let unanswered = answered.is_none_or(|answered| answered >= open.arrived);
            coverage.hit_if(reply.replayed && *first == life && unanswered, Mark::TwinAnswered);
            answered.get_or_insert(now);
        }
    }

    /// A message leaves over a link.
    pub(crate) fn message_sent(&mut self, from: usize, to: usize, message: &Message, bytes: usize) {
        let checked = sizes::check_message(from, message, bytes);
        let checked = checked.and_then(|()| self.check_asks(from, to, message));
        if let Err(violation) = checked.and_then(|()| self.check_placing(from, to, message)) {
            self.found.get_or_insert(violation);
        }
        let sent = &mut self.sent[from * self.watches.len() + to];
        match message {
            Message::Digest(_) => sent.digests += 1,
            Message::Pass(_) => sent.passes += 1,
            _ => sent.others += 1,
        }
        if let Some(mark) = Mark::of_message(message) {
            self.coverage.hit(mark);
        }
        match message {
            Message::Pass(pass) => {
                self.coverage.hit_if(pass.origin != self.member(from), Mark::RelayedPass);
            }
            Message::Ask(ask) => {
                let nothing = ask.lines.iter().all(|line| line.need.is_zero() && line.want.is_zero());
                self.coverage.hit_if(nothing, Mark::AskForRow);
                self.coverage.hit_if(ask.since.is_none(), Mark::PullAhead);
            }
            Message::Given(given) => self.coverage.hit_if(!given.none.is_empty(), Mark::ItemWithoutRow),
            _ => {}
        }
    }

    fn check_placing(&mut self, from: usize, to: usize, message: &Message) -> Checked {
        let Message::Forward(forward) = message else { return Ok(()) };
        for id in makes(&forward.request.command).into_iter().filter(|_| forward.placing) {
            placed::check_sent(id, self.member(to), &self.books[from].durable)?;
            self.makers.placed(id, to);
        }
        Ok(())
    }

    fn check_asks(&mut self, from: usize, to: usize, message: &Message) -> Checked {
        match message {
            Message::Hello(_) => {
                self.asks.gave_reason(from);
                self.asks.gave_reason(to);
            }
            Message::Forward(_) => self.asks.gave_reason(to),
            // A buyer who was placed there and refused comes back.
            Message::Forwarded(_) => self.asks.gave_reason(to),
            Message::Ask(ask) => {
                // When it was decided: many may leave at once when a full disk has room again.
                let decided = Time(ask.stamp.0.saturating_mul(1_000));
                let needed = || ask.lines.iter().filter(|line| !line.need.is_zero());
                needed().try_for_each(|line| self.asks.asked(decided, from, to, &line.sku))?;
                return needed()
                    .try_for_each(|line| self.check_donor((from, to), ask.stamp, (&line.sku, line.need)));
            }
            _ => {}
        }
        Ok(())
    }

    fn check_donor(&mut self, (from, to): (usize, usize), stamp: Timestamp, line: (&Sku, Units)) -> Checked {
        let Some(round_trips) = &self.calm else { return Ok(()) };
        let donor = Donor {
            need: line.1.0,
            free: self.books[to].memory.rows.get(line.0).map_or(0, |row| row.available()),
            round_trip: round_trips[from * self.watches.len() + to],
        };
        self.donors.asked(from, stamp, line.0, donor)
    }

    /// What an ask wants, and all that the receiver ever gave the sender of it.
    pub(crate) fn gifts_before(&self, from: usize, to: usize, message: &Message) -> Vec<(AskLine, u64)> {
        let Message::Ask(ask) = message else { return Vec::new() };
        let first = |n: usize| !ask.lines[..n].iter().any(|line| line.sku == ask.lines[n].sku);
        let lines = ask.lines.iter().enumerate().filter(|(n, _)| first(*n));
        lines.map(|(_, line)| (line.clone(), self.given(to, from, &line.sku))).collect()
    }

    /// The ask was answered.
    ///
    /// # Errors
    /// When units went twice.
    pub(crate) fn check_gifts(&self, from: usize, to: usize, asked: &[(AskLine, u64)]) -> Checked {
        asked
            .iter()
            .try_for_each(|(line, before)| gifts::check(line, *before, self.given(to, from, &line.sku)))
    }

    fn given(&self, giver: usize, taker: usize, sku: &Sku) -> u64 {
        let row = self.books[giver].memory.rows.get(sku);
        row.and_then(|row| row.0.get(&Cell::Sent(self.member(taker)))).copied().unwrap_or(0)
    }

    /// A message arrives; `clock` is the receiver's.
    pub(crate) fn message_heard(&mut self, from: usize, to: usize, message: &Message, clock: Timestamp) {
        match message {
            Message::Given(given) => {
                let late = clock.since(given.stamp) > ASK_TIMEOUT;
                self.coverage.hit_if(late, Mark::AskAnsweredLate);
            }
            Message::Hello(hello) => {
                let known = self.passed.sessions.insert((to, from), hello.session.nonce);
                let new = known.is_some_and(|known| known != hello.session.nonce);
                self.coverage.hit_if(new, Mark::NewSessionGreets);
            }
            _ => {}
        }
    }
}

fn key_of(node: usize, key: &IdempotencyKey) -> (usize, String, String) {
    (node, key.scope.clone(), key.key.clone())
}
