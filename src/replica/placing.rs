//! Placing: where units are scarce they are not chased; the reservation is sent to the member that
//! has them, and decided there.
//!
//! The danger is that two members decide about one id. So a note comes first ([`Placed`]), durable
//! before anything is sent: this id is decided at that member, and nowhere else. Then:
//!
//! 1. A yes is the client's answer. The note stays: a retry, a confirm or a cancel goes straight
//!    to that member.
//! 2. A refusal of the only attempt that was ever sent proves that nothing was done. The note is
//!    taken back, and the request goes on here as if it had not been placed. The same is true of a
//!    member that drains, if no attempt was sent after the one that it refused.
//! 3. Anything else (an answer that is lost, a link that is lost, a crash of either side) leaves
//!    it open whether it was done. The note stays for as long as the reservation would be
//!    remembered, and whatever is asked about the id is asked of that member.
//!
//! For 2 to hold, an attempt that was refused must not be done later, and messages may come twice:
//! so the receiver takes a number that is not above all those it had from the sender in this session
//! for lost. It does not refuse it: the first of its repeats may be waiting for units, and be served.
//! (Across a restart of either side nothing of the old link arrives.)
//!
//! The receiver decides on its own books alone, what quotas reserve for it left aside; it never
//! sends the request on.

use std::collections::{BTreeMap, BTreeSet};

use super::Replica;
use super::decide::No;
use super::draft::Draft;
use super::effects::Effects;
use super::forward::{check_forwarded, reservation_of};
use super::jobs::{Asker, Job, JobId, Stage};
use super::rebalance::Holder;
use crate::limits::MAX_JOBS;
use crate::planted::{self, Bug};
use crate::types::{
    Answer, Command, Line, Millis, Outcome, Put, Refusal, ReplicaId, ReservationId, ReservationState, Sell,
    Shortfall, Sku, Timestamp, Units, Verdict,
};
use crate::wire::message::Forwarded;
use crate::wire::record::KeyedRequest;
use crate::wire::{Cause, Change, Placed};

/// What is under way; lost at a restart, after which every note is one whose outcome is unknown.
#[derive(Debug, Default)]
pub struct Placing {
    /// The newest attempt at each reservation, until it is answered or lost.
    newest: BTreeMap<ReservationId, Attempt>,
    /// What the sole ones want of each member: its row does not say so yet.
    wanted: BTreeMap<(ReplicaId, Sku), Units>,
    /// The highest number that each member sent something to be done here under, and its session then.
    heard: BTreeMap<ReplicaId, (u64, u64)>,
    /// What was let go here while draining, and nobody else has asked for since: whose sender did not
    /// hear that is told again.
    let_go: BTreeSet<ReservationId>,
}

/// One attempt under way.
#[derive(Debug)]
struct Attempt {
    number: u64,
    /// Where it was sent, and what it wants there, if it is the only one in all.
    sole: Option<(ReplicaId, Vec<Line>)>,
}

impl Placing {
    /// An attempt is sent: from here on the refusal of an earlier one proves nothing.
    pub fn sent(&mut self, id: &ReservationId, number: u64) {
        self.take(id);
        self.newest.insert(id.clone(), Attempt { number, sole: None });
    }

    /// The attempt that was just sent is the only one in all.
    fn note_sole(&mut self, id: &ReservationId, at: ReplicaId, lines: Vec<Line>) {
        let Some(attempt) = self.newest.get_mut(id) else { return };
        for line in &lines {
            let wanted = self.wanted.entry((at, line.sku.clone())).or_default();
            *wanted = Units(wanted.0.saturating_add(line.quantity.0));
        }
        attempt.sole = Some((at, lines));
    }

    /// An attempt is answered or lost: gives it, if none was sent after it.
    fn over(&mut self, id: &ReservationId, number: u64) -> Option<Attempt> {
        let is_newest = self.newest.get(id).is_some_and(|attempt| attempt.number == number);
        if is_newest { self.take(id) } else { None }
    }

    fn take(&mut self, id: &ReservationId) -> Option<Attempt> {
        let attempt = self.newest.remove(id)?;
        let Some((at, lines)) = &attempt.sole else { return Some(attempt) };
        for line in lines {
            let key = (*at, line.sku.clone());
            let left = self.wanted.get(&key).copied().unwrap_or_default().excess_over(line.quantity);
            if left.is_zero() {
                self.wanted.remove(&key);
            } else {
                self.wanted.insert(key, left);
            }
        }
        Some(attempt)
    }

    fn wanted_of(&self, member: ReplicaId, sku: &Sku) -> Units {
        self.wanted.get(&(member, sku.clone())).copied().unwrap_or_default()
    }

    /// Whether this number is above all that `from` has sent in its session.
    fn is_next(&mut self, from: ReplicaId, session: u64, number: u64) -> bool {
        // Numbers begin anywhere and wrap.
        let is_above = |last: u64| number != last && number.wrapping_sub(last) < 1 << 63;
        match self.heard.get(&from) {
            Some((of, last)) if *of == session && !is_above(*last) => false,
            _ => {
                self.heard.insert(from, (session, number));
                true
            }
        }
    }

    /// Reservations that attempts under way are about.
    pub fn len(&self) -> usize {
        self.newest.len()
    }
}

/// Of so many that were let go it is known, at most; retries of others are told `already_cancelled`.
const MAX_LET_GO: usize = 10_000;

/// By how much a note may be forgotten before its reservation: clocks differ.
const CLOSE_ENOUGH: Millis = Millis::from_secs(60);

fn makes(job: &Job, id: &ReservationId) -> bool {
    made_by(&job.request.command).is_some_and(|(made, _)| made == id)
}

/// The reservation that a command would make, and its lines.
pub fn made_by(command: &Command) -> Option<(&ReservationId, &[Line])> {
    match command {
        Command::Put(put) => Some((&put.id, &put.lines)),
        Command::Sell(sell) => Some((&sell.id, &sell.lines)),
        _ => None,
    }
}

/// Whether a refusal says that there is no reservation of this id there, and none was made.
fn made_nothing(refusal: &Refusal) -> bool {
    !matches!(
        refusal,
        Refusal::OutcomeUnknown
            | Refusal::AlreadyConfirmed
            | Refusal::AlreadyCancelled
            | Refusal::Expired(_)
            | Refusal::VersionMismatch { .. }
            | Refusal::ReservationNotFound
            | Refusal::KeyReused
    )
}

impl Replica {
    /// Where a short job is better decided than here; `None`: here.
    pub(super) fn place(&self, now: Timestamp, job: &Job) -> Option<ReplicaId> {
        let (id, lines) = self.placeable(job)?;
        let is_better_sent = |line: &Line| {
            self.is_short(line) && !self.situation(now, &line.sku).is_worth_fetching(line.quantity)
        };
        if !lines.iter().any(is_better_sent) || self.state.reservations.find(id).is_some() {
            return None;
        }
        let situations: Vec<_> = lines.iter().map(|line| (line, self.situation(now, &line.sku))).collect();
        if situations.iter().any(|(_, situation)| situation.manual) {
            return None;
        }
        let left = job.patience.since(now);
        let spare_of = |member: ReplicaId| {
            let of_line = |(line, situation): &(&Line, super::rebalance::Situation)| {
                let holder = situation.others.iter().find(|h| h.replica == member)?;
                // It decides at once, so an order that its mark leaves no room for would come back.
                let has_room = self.state.room_at(member, &line.sku) >= line.quantity;
                let usable = holder.linked && !holder.draining && has_room;
                let spare = spare(holder).excess_over(self.placing.wanted_of(member, &line.sku));
                (usable && spare >= line.quantity).then_some(spare)
            };
            situations.iter().map(of_line).min().flatten()
        };
        let members = self.state.others().map(|member| member.replica);
        let able = members.filter(|member| !job.refused_by.contains(member)).filter_map(|member| {
            let round_trip = self.links.round_trip(member).max(Millis(1));
            (round_trip <= left).then_some(())?;
            let spare = spare_of(member)?;
            Some((u128::from(spare.0) * 1_000_000 / u128::from(round_trip.0), std::cmp::Reverse(member)))
        });
        let (_, std::cmp::Reverse(member)) = able.max()?;
        // What could not have come by HTTP, it would not take.
        check_forwarded(&job.request.command).is_ok().then_some(member)
    }

    /// What the job would make, if it is of a kind that may be sent elsewhere.
    fn placeable<'a>(&self, job: &'a Job) -> Option<(&'a ReservationId, &'a [Line])> {
        let of_client = matches!(job.asker, Asker::Client(_));
        let conditional = matches!(&job.request.command, Command::Put(put) if put.if_match.is_some());
        let takes_work = self.standing.is_ready() && !self.is_draining();
        if !of_client || conditional || !takes_work || self.jobs.len() >= MAX_JOBS {
            return None;
        }
        made_by(&job.request.command)
    }

    /// Notes durably where the job is decided, and sends it there.
    pub(super) fn send_to_place(
        &mut self,
        now: Timestamp,
        id: JobId,
        mut job: Job,
        member: ReplicaId,
        out: &mut Effects,
    ) {
        let Some((reservation, lines)) = made_by(&job.request.command) else { return };
        let (reservation, lines) = (reservation.clone(), lines.to_vec());
        let ends = match &job.request.command {
            Command::Put(put) => now.after(put.ttl),
            _ => now,
        };
        let request = job.key.map(|(id, fingerprint)| KeyedRequest { id, fingerprint });
        let note = Placed { id: reservation.clone(), at: member, request, time: ends, withdrawn: false };
        if planted::is_on(Bug::PlaceWithoutNote) {
            self.state.notes.put(&note);
        } else {
            self.write_note(now, Cause::Place, &job, note, out);
        }
        self.stats.placed += 1;
        // It does not wait there: units may be found elsewhere.
        let command = match job.current() {
            Command::Put(put) => Command::Put(Put { wait: Millis(0), ..put }),
            Command::Sell(sell) => Command::Sell(Sell { wait: Millis(0), ..sell }),
            other => other,
        };
        let (stage, deadline) = self.forward(now, member, &job, command, true, out);
        self.placing.note_sole(&reservation, member, lines);
        job.stage = stage;
        self.jobs.park(id, job, deadline);
    }

    fn write_note(&mut self, now: Timestamp, cause: Cause, job: &Job, note: Placed, out: &mut Effects) {
        let mut draft = Draft::new(&self.state, now, cause);
        draft.actor = Some(job.actor());
        let mut change = draft.seal(|_| None);
        change.placed = Some(note);
        self.commit(now, change, out);
    }

    /// Sends the job to where its note says. It can go nowhere else, so it may wait there.
    pub(super) fn forward_noted(
        &mut self,
        now: Timestamp,
        member: ReplicaId,
        job: &Job,
        command: Command,
        out: &mut Effects,
    ) -> (Stage, Timestamp) {
        let placing = made_by(&command).is_some();
        self.forward(now, member, job, command, placing, out)
    }

    /// Where the job must be decided, by its note; `None`: no note, or everybody must be asked.
    pub(super) fn noted_at(&self, job: &Job, command: &Command) -> Option<ReplicaId> {
        // A retry may have been made elsewhere since.
        let searches = matches!(command, Command::Put(put) if put.retry) && !job.searched;
        if job.astray || searches {
            return None;
        }
        self.state.notes.find(reservation_of(command)?).map(|note| note.at)
    }

    /// Whether another member decides about this id.
    pub(super) fn is_noted(&self, id: &ReservationId) -> bool {
        self.state.notes.find(id).is_some()
    }

    /// A peer asks for a reservation which is not here. What was sent elsewhere may have been made
    /// there or be on its way still: that member is asked, and takes nothing in that was sent before.
    /// Only then can anybody say that the reservation is nowhere.
    pub(super) fn ask_noted(
        &mut self,
        now: Timestamp,
        job: &Job,
        command: Command,
        out: &mut Effects,
    ) -> Result<(Stage, Timestamp), Refusal> {
        let note = reservation_of(&command).and_then(|id| self.state.notes.find(id));
        let Some(at) = note.map(|note| note.at).filter(|_| !job.astray) else {
            return Err(Refusal::ReservationNotFound);
        };
        let attempt = reservation_of(&command).and_then(|id| self.placing.newest.get(id));
        let is_sole = attempt.is_some_and(|attempt| attempt.sole.is_some());
        let may_ask = !is_sole && !job.placed_here && self.jobs.len() < MAX_JOBS && self.links.is_up(at);
        match command {
            Command::Read { .. } if may_ask => Ok(self.forward(now, at, job, command, true, out)),
            _ if made_by(&command).is_some() || matches!(command, Command::Read { .. }) => {
                Err(self.only_at(at))
            }
            _ => Err(Refusal::ReservationNotFound),
        }
    }

    /// The member that decides, as it must be told to one who cannot be told what it says.
    pub(super) fn only_at(&self, member: ReplicaId) -> Refusal {
        Refusal::OwnerUnreachable { unreachable: vec![self.state.name_of(member)] }
    }

    /// A member answered what was sent to it. Whether the job goes on here: it was placed and
    /// refused, or its note led to where the reservation is not.
    pub(super) fn goes_on(
        &mut self,
        now: Timestamp,
        job: &mut Job,
        from: ReplicaId,
        answer: &Forwarded,
        out: &mut Effects,
    ) -> bool {
        let command = job.current();
        let newest = made_by(&command).and_then(|(id, _)| self.placing.over(id, answer.id));
        let Some(note) = reservation_of(&command).and_then(|id| self.state.notes.find(id)).cloned() else {
            return false;
        };
        if made_by(&command).is_none() {
            let is_astray = note.at == from && answer.outcome == Err(Refusal::ReservationNotFound);
            job.astray |= is_astray;
            return is_astray;
        }
        let Some(attempt) = newest else { return false };
        // A member that drains makes nothing of this id, drops what was sent before this, and has let
        // go what waited or had expired: of earlier attempts nothing is left. (A later one it may meet
        // when it drains no longer.)
        let has_given_up = note.at == from && answer.outcome == Err(Refusal::Draining);
        if attempt.sole.is_none() && !has_given_up {
            return false;
        }
        if !answer.outcome.as_ref().is_err_and(made_nothing) {
            return false;
        }
        self.take_back(now, job, note, out);
        self.stats.placed_refused += 1;
        true
    }

    fn take_back(&mut self, now: Timestamp, job: &mut Job, note: Placed, out: &mut Effects) {
        job.refused_by.insert(note.at);
        self.write_note(now, Cause::Withdraw, job, Placed { withdrawn: true, ..note }, out);
    }

    /// Keeps a note for as long as its reservation is remembered, however often it is extended.
    pub(super) fn follow_deadline(
        &mut self,
        now: Timestamp,
        job: &Job,
        from: ReplicaId,
        outcome: &Outcome,
        out: &mut Effects,
    ) {
        let Ok(Answer::Reservation(claimed)) = outcome else { return };
        let (held, ends) = (&claimed.reservation, claimed.reservation.deadline);
        let note = self.state.notes.find(&held.id).filter(|note| note.at == from).cloned();
        if let Some(note) = note
            && held.state == ReservationState::Held
            && ends.since(note.time) > CLOSE_ENOUGH
        {
            self.write_note(now, Cause::Place, job, Placed { time: ends, ..note }, out);
        }
    }

    /// What was sent to `owner` will not be answered.
    pub(super) fn no_answer(
        &mut self,
        now: Timestamp,
        id: JobId,
        mut job: Job,
        (owner, number): (ReplicaId, u64),
        out: &mut Effects,
    ) {
        let command = job.current();
        if let Some((reservation, _)) = made_by(&command)
            && let Some(attempt) = self.placing.over(reservation, number)
            && attempt.sole.is_some()
        {
            self.stats.placed_unknown += 1;
            if planted::is_on(Bug::PlaceAgainElsewhere)
                && let Some(note) = self.state.notes.find(reservation).cloned()
            {
                self.take_back(now, &mut job, note, out);
                return self.run(now, id, job, out);
            }
        }
        // Reading does nothing, so there is nothing to be in doubt about.
        let is_harmless = matches!(command, Command::Read { .. }) || planted::is_on(Bug::UnknownSaidRefused);
        let refusal = if is_harmless {
            Refusal::OwnerUnreachable { unreachable: vec![self.state.name_of(owner)] }
        } else {
            Refusal::OutcomeUnknown
        };
        self.resume(now, id, job, Err(refusal), out);
    }

    /// Whether what a peer sent to be done here is no repeat and was not overtaken.
    pub(super) fn takes_in_order(&mut self, from: ReplicaId, number: u64) -> bool {
        let session = self.links.session(from);
        self.placing.is_next(from, session, number)
    }

    /// Whether a reservation of this id would be new here, and this node drains.
    pub(super) fn turns_away(&self, job: &Job, id: &ReservationId) -> bool {
        let is_let_go = || job.placed_here && self.placing.let_go.contains(id);
        self.is_draining() && (self.is_new(id) || is_let_go())
    }

    /// From its own answer on, everybody is told that what was let go is cancelled.
    pub(super) fn note_asked(&mut self, job: &Job, command: &Command) {
        if !job.placed_here
            && !self.placing.let_go.is_empty()
            && !matches!(command, Command::Read { .. })
            && let Some(id) = reservation_of(command)
        {
            self.placing.let_go.remove(id);
        }
    }

    /// What a peer placed here is refused because this node drains, and the peer goes on without it.
    /// Should it have expired here, it ends here for good: a confirm could take it up again. Should an
    /// earlier attempt still wait here, whose sender lost sight of it, it is refused as well: it could
    /// be served once the node drains no longer.
    pub(super) fn let_go(&mut self, now: Timestamp, job: &Job, id: &ReservationId, out: &mut Effects) {
        if !job.placed_here {
            return;
        }
        for earlier in self.jobs.placed_here(|job| makes(job, id)) {
            let Some(earlier) = self.jobs.unpark(earlier) else { continue };
            self.shortages.news(earlier.wanted.iter().map(|line| line.sku.clone()));
            self.finish(earlier, Err(Refusal::Draining), out);
        }
        let change = self.state.decide_cancel(now, id).ok().and_then(|yes| self.sealed(yes).change);
        if let Some(change) = change {
            if self.placing.let_go.len() < MAX_LET_GO {
                self.placing.let_go.insert(id.clone());
            }
            let (cause, actor) = (Cause::Withdraw, Some(job.actor()));
            self.commit(now, Change { cause, actor, ..change }, out);
        }
    }

    /// Holds a placed reservation to what no quota reserves for this node.
    pub(super) fn unless_reserved<T>(
        &self,
        now: Timestamp,
        job: &Job,
        id: &ReservationId,
        lines: &[Line],
        decision: Result<T, No>,
    ) -> Result<T, No> {
        let is_bound = job.placed_here && self.is_new(id) && !planted::is_on(Bug::PlaceIgnoresFloor);
        if is_bound && decision.is_ok() && lines.iter().any(|line| self.spare_here(now, line) < line.quantity)
        {
            return Err(No::Short { wanted: lines.to_vec(), expired: false });
        }
        decision
    }

    /// Units that a peer's buyers may have.
    fn spare_here(&self, now: Timestamp, line: &Line) -> Units {
        let situation = self.situation(now, &line.sku);
        if situation.manual { Units::ZERO } else { situation.here.spare() }
    }

    /// The refusal of a short job.
    pub(super) fn short_refusal(
        &mut self,
        now: Timestamp,
        job: &Job,
        wanted: &[Line],
        expired: bool,
    ) -> Refusal {
        if let Some(refusal) = self.capped_refusal(wanted) {
            return refusal;
        }
        if !job.placed_here {
            return self.shortfall_refusal(now, wanted, expired);
        }
        // What is reserved here says nothing about the item; who asked knows better.
        let shortfall = |line: &Line| {
            let available_here = self.spare_here(now, line);
            (available_here < line.quantity).then(|| Shortfall {
                sku: line.sku.clone(),
                requested: line.quantity,
                available_here,
                verdict: Verdict::Unknown,
                elsewhere: Units::ZERO,
                unreachable: Vec::new(),
                as_of: now,
            })
        };
        Refusal::InsufficientStock(wanted.iter().filter_map(shortfall).collect())
    }
}

/// Rights that no quota reserves for a member, as far as it is known here.
fn spare(holder: &Holder) -> Units {
    if planted::is_on(Bug::PlaceIgnoresFloor) { holder.available } else { holder.spare() }
}
