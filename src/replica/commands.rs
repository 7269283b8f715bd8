//! From a request to its answer: keys first, then the command on the own books.

use super::Replica;
use super::decide::{No, Yes};
use super::demand::Buyers;
use super::draft::Draft;
use super::effects::{Effects, Token};
use super::escrow::Row;
use super::jobs::{Asker, Job};
use super::planning::Scope;
use super::requests::{fingerprint, request_id};
use crate::limits::{LINES_AT_ONCE, MAX_TWINS};
use crate::planted::{self, Bug};
use crate::types::{
    Answer, Cell, Command, Gauge, Line, Movement, Outcome, Policy, Put, Quota, Refusal, ReplicaId, Request,
    ReservationId, ReservationState, Sku, Timestamp, Transfer,
};
use crate::wire::{Cause, Change, Record, Remembered};

/// What deciding came to.
#[expect(clippy::large_enum_variant, reason = "taken apart as soon as it is made; most are done")]
pub enum Attempt {
    Done(Outcome),
    /// Not all of these lines is here. The flag: the refusal would be that it expired.
    Short(Vec<Line>, bool),
    /// Another member may own the reservation, or must make the transfer.
    NotMine,
}

impl Replica {
    pub(super) fn request(&mut self, now: Timestamp, token: Token, request: Request, out: &mut Effects) {
        self.stats.requests += 1;
        self.take_request(now, Asker::Client(token), request, false, out);
    }

    /// A request from a client, or forwarded by a peer, which may have placed it here.
    pub(super) fn take_request(
        &mut self,
        now: Timestamp,
        asker: Asker,
        mut request: Request,
        placed_here: bool,
        out: &mut Effects,
    ) {
        if self.is_rolled_back() {
            return self.answer(asker, Err(Refusal::RolledBack), false, out);
        }
        if !self.standing.is_ready() {
            return self.answer(asker, Err(Refusal::NotReady), false, out);
        }
        let key = request_id(&request).map(|id| (id, fingerprint(&request.command)));
        if let Some((id, fingerprint)) = key {
            if let Some(known) = self.state.requests.find(&id) {
                let same = known.fingerprint == fingerprint || planted::is_on(Bug::OtherBodyAccepted);
                let mut outcome = if same { known.outcome.clone() } else { Err(Refusal::KeyReused) };
                if planted::is_on(Bug::ReplayDiffers)
                    && let Ok(Answer::Books { books, .. }) = &mut outcome
                    && let Some(fresh) = self.state.books(&books.sku, |replica| self.as_of(now, replica))
                {
                    *books = fresh;
                }
                self.stats.replayed += u64::from(same);
                return self.answer(asker, outcome, same, out);
            }
            if let Some(twin) = self.jobs.with_key(&id).filter(|_| !planted::is_on(Bug::TwinDecidedTwice)) {
                let refusal = if twin.key.is_none_or(|(_, first)| first != fingerprint) {
                    Refusal::KeyReused
                } else if twin.twins.len() >= MAX_TWINS {
                    Refusal::Overloaded
                } else {
                    return twin.twins.push(asker);
                };
                return self.answer(asker, Err(refusal), false, out);
            }
            if let Some(note) = self.state.notes.of_request(&id) {
                if note.request.is_none_or(|first| first.fingerprint != fingerprint) {
                    return self.answer(asker, Err(Refusal::KeyReused), false, out);
                }
                // A minted id is another one each time; the first was sent on.
                match &mut request.command {
                    Command::Put(put) => put.id.clone_from(&note.id),
                    Command::Sell(sell) => sell.id.clone_from(&note.id),
                    _ => {}
                }
            }
        }
        if (key.is_some() || adds_memory(&request.command)) && !self.state.has_room(now) {
            return self.answer(asker, Err(Refusal::MemoryFull), false, out);
        }
        // A peer gauges its own buyers.
        if matches!(asker, Asker::Client(_)) {
            self.gauge(now, &request.command);
        }
        let id = self.jobs.fresh_id();
        self.run(now, id, Job { placed_here, ..Job::new(asker, request, key, now) }, out);
    }

    /// Counts what buyers ask for, served or not; each once, and nothing that could never be served:
    /// one absurd order would hide all others.
    fn gauge(&mut self, now: Timestamp, command: &Command) {
        let (id, lines, wait) = match command {
            Command::Put(put) => (&put.id, &put.lines, put.wait),
            Command::Sell(sell) => (&sell.id, &sell.lines, sell.wait),
            _ => return,
        };
        if !self.is_new(id) || self.is_noted(id) {
            return;
        }
        let patience = (wait, self.links.nearest_round_trip());
        for line in lines {
            if self.could_be_served(line) {
                let known = self.state.own_row(&line.sku).map_or(Gauge::default(), |row| row.demand);
                self.demand.asked(now, &line.sku, line.quantity, patience, known);
                self.shortages.stir(now, &line.sku);
            }
        }
    }

    /// Whether so many units were ever there, and one order may have them.
    fn could_be_served(&self, line: &Line) -> bool {
        let Some(item) = self.state.items.get(&line.sku) else { return false };
        let most = item.policy().and_then(|policy| policy.max_per_order);
        let came = |row: &Row| row.count(Cell::Received).0.saturating_add(row.count(Cell::Returned).0);
        let came_in = || item.rows.values().map(came).fold(0, u64::saturating_add);
        most.is_none_or(|most| line.quantity <= most)
            && (line.quantity <= self.state.rights_here(&line.sku) || line.quantity.0 <= came_in().max(1))
    }

    /// What is known of an item's buyers here.
    pub(super) fn buyers(&self, sku: &Sku) -> Buyers {
        self.demand.of(sku).unwrap_or_else(|| {
            let gauge = self.state.own_row(sku).map_or(Gauge::default(), |row| row.demand);
            Buyers { gauge, hurry: 0.0, burst: gauge.order() }
        })
    }

    /// Decides the job's command on the own books, and applies what it comes to.
    pub(super) fn attempt(&mut self, now: Timestamp, job: &Job, out: &mut Effects) -> Attempt {
        let command = job.current();
        self.note_asked(job, &command);
        match command {
            Command::Put(put) => self.put(now, job, &put, out),
            Command::Confirm { id, if_match, .. } => {
                let decision = self.state.decide_confirm(now, &id, if_match);
                let decision = decision.map(|yes| self.sealed(yes));
                self.reserved(now, job, decision, out)
            }
            Command::Cancel { id } => {
                let decision = self.state.decide_cancel(now, &id).map(|yes| self.sealed(yes));
                self.reserved(now, job, decision, out)
            }
            Command::Extend { id, ttl } => {
                let decision = self.state.decide_extend(now, &id, ttl).map(|yes| self.sealed(yes));
                self.reserved(now, job, decision, out)
            }
            Command::Sell(sell) => {
                if self.is_noted(&sell.id) {
                    return Attempt::NotMine;
                }
                if self.turns_away(job, &sell.id) {
                    self.let_go(now, job, &sell.id, out);
                    return Attempt::Done(Err(Refusal::Draining));
                }
                let decision = self.state.decide_sell(now, &sell).map(|yes| self.sealed(yes));
                let decision = self.unless_reserved(now, job, &sell.id, &sell.lines, decision);
                self.reserved(now, job, decision, out)
            }
            Command::Read { id } => match self.state.reservations.find(&id) {
                Some(known) => {
                    Attempt::Done(Ok(Answer::Reservation(self.state.claimed(known.clone(), false))))
                }
                None => Attempt::NotMine,
            },
            Command::Return(movement) => self.arrival(now, job, &movement, Cause::Return, out),
            Command::Receive(movement) => self.arrival(now, job, &movement, Cause::Receive, out),
            Command::WriteOff(movement) => {
                let decision = self.state.decide_write_off(now, &movement).map(|draft| self.seal(draft));
                self.moved(now, job, &movement.sku, decision, out)
            }
            Command::Transfer(transfer) => self.transfer(now, job, &transfer, out),
            Command::SetItem { sku, policy } => self.set_item(now, job, &sku, &policy, out),
            Command::Import { key, lines } => self.import(now, job, key.as_deref(), &lines, out),
            Command::SetDraining { node, draining } => self.set_draining(now, job, &node, draining, out),
            Command::Rebalance { sku, dry_run, after, limit } => {
                let begins = !dry_run || planted::is_on(Bug::DryRunMoves);
                let begin = begins.then_some(job.request.caller);
                let scope = Scope { sku: sku.as_ref(), after: after.as_ref(), limit: limit as usize };
                Attempt::Done(self.rebalance(now, &scope, begin, out))
            }
            Command::Batch(_) => unreachable!("a job decides a batch operation by operation"),
            read => Attempt::Done(self.read(now, &read)),
        }
    }

    fn put(&mut self, now: Timestamp, job: &Job, put: &Put, out: &mut Effects) -> Attempt {
        let mine = self.state.reservations.find(&put.id).is_some();
        let may_be_elsewhere = !matches!(job.asker, Asker::Peer(..)) && !job.searched;
        let searches = put.retry && !planted::is_on(Bug::RetryMakesSecond);
        if self.is_noted(&put.id) {
            return Attempt::NotMine;
        }
        if searches && !mine && may_be_elsewhere && self.state.others().next().is_some() {
            return Attempt::NotMine;
        }
        if self.turns_away(job, &put.id) {
            self.let_go(now, job, &put.id, out);
            return Attempt::Done(Err(Refusal::Draining));
        }
        let decision = self.state.decide_put(now, put).map(|yes| self.sealed(yes));
        let decision = self.unless_reserved(now, job, &put.id, &put.lines, decision);
        self.reserved(now, job, decision, out)
    }

    /// Nothing is held or ended here under this id, or what was has expired.
    pub(super) fn is_new(&self, id: &ReservationId) -> bool {
        let known = self.state.reservations.find(id);
        known.is_none_or(|known| known.state == ReservationState::Expired)
    }

    pub(super) fn sealed(&self, yes: Yes<'_>) -> Sealed {
        let Yes { draft, reservation, created } = yes;
        Sealed { change: draft.map(|draft| self.seal(draft)), reservation, created }
    }

    /// Finishes a draft with the items' gauges.
    pub(super) fn seal(&self, draft: Draft<'_>) -> Change {
        draft.seal(|sku| Some(self.buyers(sku).gauge))
    }

    fn reserved(
        &mut self,
        now: Timestamp,
        job: &Job,
        decision: Result<Sealed, No>,
        out: &mut Effects,
    ) -> Attempt {
        match decision {
            Ok(Sealed { change, reservation, created }) => {
                let outcome = Ok(Answer::Reservation(self.state.claimed(reservation, created)));
                self.commit_answer(now, job, change, &outcome, out);
                Attempt::Done(outcome)
            }
            Err(no) => self.refused(now, job, no, out),
        }
    }

    pub(super) fn refused(&mut self, now: Timestamp, job: &Job, no: No, out: &mut Effects) -> Attempt {
        match no {
            No::Refused(refusal) => {
                let outcome = Err(refusal);
                self.remember_refusal(now, job, &outcome, out);
                Attempt::Done(outcome)
            }
            No::Short { wanted, expired } => Attempt::Short(wanted, expired),
            No::NotMine => Attempt::NotMine,
        }
    }

    fn arrival(
        &mut self,
        now: Timestamp,
        job: &Job,
        movement: &Movement,
        cause: Cause,
        out: &mut Effects,
    ) -> Attempt {
        let decision = self.state.decide_arrival(now, movement, cause).map(|draft| self.seal(draft));
        if decision.is_ok() {
            self.note_arrival(now, &movement.sku);
        }
        if cause != Cause::Return {
            return self.moved(now, job, &movement.sku, decision, out);
        }
        match decision {
            Ok(change) => {
                let outcome = Ok(Answer::Returned {
                    sku: movement.sku.clone(),
                    quantity: movement.quantity,
                    reference: movement.reference.clone(),
                    node: self.name().clone(),
                    region: self.region().clone(),
                    at: now,
                });
                self.commit_answer(now, job, Some(change), &outcome, out);
                Attempt::Done(outcome)
            }
            Err(no) => self.refused(now, job, no, out),
        }
    }

    /// Answers with the books as they will be.
    fn moved(
        &mut self,
        now: Timestamp,
        job: &Job,
        sku: &Sku,
        decision: Result<Change, No>,
        out: &mut Effects,
    ) -> Attempt {
        match decision {
            Ok(change) => {
                let created = !matches!(job.request.command, Command::Transfer(_));
                let outcome = self.books_after(now, sku, &change, created);
                self.commit_answer(now, job, Some(change), &outcome, out);
                Attempt::Done(outcome)
            }
            Err(no) => self.refused(now, job, no, out),
        }
    }

    fn transfer(&mut self, now: Timestamp, job: &Job, transfer: &Transfer, out: &mut Effects) -> Attempt {
        for (field, node) in [("from", &transfer.from), ("to", &transfer.to)] {
            if self.state.member_named(node).is_none() {
                let refusal = Refusal::UnknownNode { field: field.into(), node: node.clone() };
                return self.refused(now, job, No::Refused(refusal), out);
            }
        }
        if transfer.from != *self.name() {
            return Attempt::NotMine;
        }
        let decision = self.state.decide_transfer(now, transfer).map(|draft| self.seal(draft));
        if decision.is_ok() {
            self.stats.note_transfers(1, transfer.quantity);
        }
        self.moved(now, job, &transfer.sku, decision, out)
    }

    fn set_item(
        &mut self,
        now: Timestamp,
        job: &Job,
        sku: &Sku,
        policy: &Policy,
        out: &mut Effects,
    ) -> Attempt {
        let expected = policy.launch.iter().flat_map(|launch| launch.expected.keys());
        let quotas = policy.quotas.keys().map(|node| ("quotas", node));
        let mut named = quotas.chain(expected.map(|node| ("launch.expected", node)));
        if let Some((field, node)) = named.find(|(_, node)| self.state.member_named(node).is_none()) {
            let refusal = Refusal::UnknownNode { field: format!("{field}.{node}"), node: node.clone() };
            return self.refused(now, job, No::Refused(refusal), out);
        }
        let crossed = |quota: &Quota| quota.min.zip(quota.max).is_some_and(|(min, max)| min > max);
        if let Some((node, _)) = policy.quotas.iter().find(|(_, quota)| crossed(quota)) {
            let (field, message) = (format!("quotas.{node}.min"), "must not be above max".into());
            return self.refused(now, job, No::Refused(Refusal::Invalid { field, message }), out);
        }
        let before = self.state.policy(sku).cloned();
        let (draft, created) = self.state.decide_set_item(now, sku, policy);
        let change = self.seal(draft);
        let outcome = self.books_after(now, sku, &change, created);
        self.commit_answer(now, job, Some(change), &outcome, out);
        self.note_policy(now, sku, before.as_ref());
        self.follow_dial(now, sku, out);
        Attempt::Done(outcome)
    }

    /// An admin may have changed what is wanted of an item.
    pub(super) fn note_policy(&mut self, now: Timestamp, sku: &Sku, before: Option<&Policy>) {
        let now_set = self.state.policy(sku);
        if now_set.is_some_and(|policy| !policy.moves_like(before.unwrap_or(&Policy::default()))) {
            self.shortages.begin_settling(now, sku);
        }
    }

    /// Units came in from outside. A launch is supplied before its buyers come, whether or not
    /// anybody is low.
    pub(super) fn note_arrival(&mut self, now: Timestamp, sku: &Sku) {
        if self.state.policy(sku).is_some_and(|policy| policy.is_launched(now)) {
            self.shortages.begin_settling(now, sku);
        }
        self.shortages.supplied(now, sku);
    }

    /// What is free again here may be what a quota or a launch wants elsewhere; and with any other
    /// change what a quota reserves here may have gone.
    pub(super) fn note_change(&mut self, now: Timestamp, change: &Change) {
        for raise in &change.rows {
            let Some(policy) = self.state.policy(&raise.sku).filter(|policy| policy.names_nodes()) else {
                continue;
            };
            let has_floor = policy.quotas.get(self.name()).is_some_and(|quota| !quota.floor().is_zero());
            if raise.cells.iter().any(|cell| cell.new.cell == Cell::Released) {
                self.shortages.supplied(now, &raise.sku);
            } else if has_floor {
                self.shortages.stir(now, &raise.sku);
            }
        }
    }

    fn books_after(&self, now: Timestamp, sku: &Sku, change: &Change, created: bool) -> Outcome {
        let heard = |replica: ReplicaId| self.as_of(now, replica);
        match self.state.books_after(sku, change, heard) {
            Some(books) => Ok(Answer::Books { books, created }),
            None => Err(Refusal::UnknownSku { sku: sku.clone(), line: None }),
        }
    }

    /// Applies the change, with the answer remembered in the same record.
    pub(super) fn commit_answer(
        &mut self,
        now: Timestamp,
        job: &Job,
        change: Option<Change>,
        outcome: &Outcome,
        out: &mut Effects,
    ) {
        match change {
            Some(mut change) => {
                change.actor = change.actor.or(Some(job.actor()));
                if !job.is_batch() {
                    change.request = remembered(now, job, outcome);
                }
                if planted::is_on(Bug::DedupVolatile) {
                    change.request.take().into_iter().for_each(|request| self.state.requests.put(request));
                }
                let apart = planted::is_on(Bug::DedupApart) && change.request.take().is_some();
                self.commit(now, change, out);
                if apart {
                    self.remember(now, job, outcome, out);
                }
            }
            None if !job.is_batch() => self.remember(now, job, outcome, out),
            None => {}
        }
    }

    /// Remembers an answer that changed nothing else.
    pub(super) fn remember(&mut self, now: Timestamp, job: &Job, outcome: &Outcome, out: &mut Effects) {
        if let Some(request) = remembered(now, job, outcome) {
            let mut change = Draft::new(&self.state, now, Cause::Remember).seal(|_| None);
            change.request = Some(request);
            self.note(now, Record::Change(Box::new(change)), out);
        }
    }

    pub(super) fn remember_refusal(
        &mut self,
        now: Timestamp,
        job: &Job,
        outcome: &Outcome,
        out: &mut Effects,
    ) {
        if !job.is_batch() {
            self.remember(now, job, outcome, out);
        }
    }

    /// Lets overdue reservations go, a bounded number in a step.
    pub(super) fn expire(&mut self, now: Timestamp, out: &mut Effects) {
        let mut lines = 0;
        while lines < LINES_AT_ONCE {
            let Some(overdue) = self.state.reservations.overdue(now) else { return };
            lines += 1 + overdue.lines.len();
            let Ok(yes) = self.state.decide_expire(now, overdue) else { return };
            let Sealed { change, .. } = self.sealed(yes);
            if let Some(change) = change {
                self.commit(now, change, out);
                self.stats.expired += 1;
            }
        }
    }

    fn read(&self, now: Timestamp, command: &Command) -> Outcome {
        match command {
            Command::Books { sku } => match self.state.books(sku, |replica| self.as_of(now, replica)) {
                Some(mut books) => {
                    books.last_refusal = self.refusals.of(sku).cloned().map(Box::new);
                    Ok(Answer::Books { books, created: false })
                }
                None => Err(Refusal::UnknownSku { sku: sku.clone(), line: None }),
            },
            Command::Items { after, limit } => Ok(self.list_items(now, after.as_ref(), *limit)),
            Command::Reservations { state, sku, after, limit } => {
                let fits = |r: &&crate::types::Reservation| {
                    state.is_none_or(|state| r.state == state)
                        && sku.as_ref().is_none_or(|sku| r.lines.iter().any(|line| line.sku == *sku))
                };
                let limit = *limit as usize;
                let all = self.state.reservations.after(after.as_ref());
                let mut found: Vec<_> = all.filter(fits).take(limit + 1).cloned().collect();
                let more = found.len() > limit;
                found.truncate(limit);
                let next = if more { found.last().map(|r| r.id.clone()) } else { None };
                let (node, region) = (self.name().clone(), self.region().clone());
                Ok(Answer::Reservations { reservations: found, next, node, region })
            }
            Command::Nodes => Ok(Answer::Nodes { node: self.name().clone(), nodes: self.node_statuses() }),
            Command::Check => Ok(Answer::Check(self.check())),
            _ => unreachable!("writes are decided before reads"),
        }
    }

    fn list_items(&self, now: Timestamp, after: Option<&Sku>, limit: u32) -> Answer {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, |sku| Excluded(sku.clone()));
        let skus = self.state.items.range((from, Unbounded));
        let books = skus.filter_map(|(sku, _)| self.state.books(sku, |r| self.as_of(now, r)));
        let mut items: Vec<_> = books.take(limit as usize + 1).collect();
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next = if more { items.last().map(|books| books.sku.clone()) } else { None };
        Answer::Items { items, next }
    }

    /// How fresh a replica's rows are here.
    pub(super) fn as_of(&self, now: Timestamp, replica: ReplicaId) -> Timestamp {
        if replica == self.state.me() { now } else { self.links.heard(replica).unwrap_or(Timestamp::ZERO) }
    }
}

/// A decision, ready to be applied.
pub(super) struct Sealed {
    pub(super) change: Option<Change>,
    reservation: crate::types::Reservation,
    created: bool,
}

/// Whether a command leaves something behind that must be remembered.
fn adds_memory(command: &Command) -> bool {
    matches!(command, Command::Put(_) | Command::Sell(_) | Command::Batch(_) | Command::Import { .. })
}

/// The answer as its key remembers it; nothing without a key, or for answers of the moment.
fn remembered(now: Timestamp, job: &Job, outcome: &Outcome) -> Option<Remembered> {
    let (id, fingerprint) = job.key?;
    if outcome.as_ref().is_err_and(|refusal| !refusal.is_remembered()) {
        return None;
    }
    Some(Remembered { id, fingerprint, outcome: outcome.clone(), time: now })
}
