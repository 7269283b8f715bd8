//! Requests that cannot be answered in the step in which they came: they wait for rights, or
//! for another node.

use std::collections::{BTreeMap, BTreeSet};

use super::Replica;
use super::commands::Attempt;
use super::effects::{Effects, Output, Token};
use super::forward::Find;
use super::requests::{Fingerprint, RequestId};
use super::stats::Sizes;
use crate::limits::BATCH_PATIENCE;
use crate::planted::{self, Bug};
use crate::types::{
    Answer, Claimed, Command, Line, Millis, Operation, Outcome, Put, Refusal, ReplicaId, Reply, Request,
    Sell, Sku, Timestamp,
};
use crate::wire::message::Forwarded;
use crate::wire::{Actor, Key, Message};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// Who gets the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    Client(Token),
    /// A peer that forwarded the request under this number.
    Peer(ReplicaId, u64),
}

/// One request on its way to its answer.
#[derive(Debug)]
pub struct Job {
    pub asker: Asker,
    pub request: Request,
    /// Under which it will be remembered.
    pub key: Option<(RequestId, Fingerprint)>,
    /// Others with the same key, who get the same answer.
    pub twins: Vec<Asker>,
    pub arrived: Timestamp,
    /// Until when it may wait for rights; for a batch, until when it asks other nodes.
    pub patience: Timestamp,
    pub stage: Stage,
    /// While it waits: all that it wants, short or not, by item.
    pub wanted: Vec<Line>,
    /// Outcomes of a batch's operations so far.
    pub done: Vec<Result<Claimed, Refusal>>,
    /// The answer is the first answer again, given by the owner.
    pub replayed: bool,
    /// All members were asked for the reservation, and none has it.
    pub searched: bool,
    /// A peer placed it here.
    pub placed_here: bool,
    /// Members that it was placed at, and that refused it.
    pub refused_by: BTreeSet<ReplicaId>,
    /// The member that the reservation's note names does not have it.
    pub astray: bool,
    /// It was parked at least once.
    pub waited: bool,
}

#[derive(Debug)]
pub enum Stage {
    /// Being decided.
    Deciding,
    /// For rights.
    Waiting,
    /// All members are asked who owns the reservation.
    Finding(Find),
    /// The owner was sent the request under this number.
    Forwarded { owner: ReplicaId, number: u64 },
}

/// Jobs that are parked, and when they must be looked at again.
#[derive(Debug, Default)]
pub struct Jobs {
    parked: BTreeMap<JobId, Job>,
    timers: BTreeSet<(Timestamp, JobId)>,
    deadlines: BTreeMap<JobId, Timestamp>,
    keys: BTreeMap<RequestId, JobId>,
    /// Jobs that wait for rights to an item.
    waiting: BTreeMap<Sku, BTreeSet<JobId>>,
    /// Which job a forwarded number belongs to.
    numbers: BTreeMap<u64, JobId>,
    last: u64,
}

impl Jobs {
    pub fn len(&self) -> usize {
        self.parked.len()
    }

    pub fn sizes(&self) -> Sizes {
        Sizes {
            jobs: self.parked.len(),
            waiting_for_one: self.waiting.values().map(BTreeSet::len).max().unwrap_or(0),
            twins_of_one: self.parked.values().map(|job| job.twins.len()).max().unwrap_or(0),
            numbers: self.numbers.len(),
            ..Sizes::default()
        }
    }

    /// Clients whose requests are parked.
    pub fn clients(&self) -> impl Iterator<Item = Token> {
        self.parked.values().filter_map(|job| match job.asker {
            Asker::Client(token) => Some(token),
            Asker::Peer(..) => None,
        })
    }

    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(time, _)| *time)
    }

    pub fn fresh_id(&mut self) -> JobId {
        self.last += 1;
        JobId(self.last)
    }

    pub fn park(&mut self, id: JobId, mut job: Job, deadline: Timestamp) {
        job.waited = true;
        if let Some((key, _)) = job.key {
            self.keys.insert(key, id);
        }
        match &job.stage {
            Stage::Waiting => {
                for line in &job.wanted {
                    self.waiting.entry(line.sku.clone()).or_default().insert(id);
                }
            }
            Stage::Finding(find) => self.numbers.extend(find.numbers().map(|number| (number, id))),
            Stage::Forwarded { number, .. } => {
                self.numbers.insert(*number, id);
            }
            Stage::Deciding => {}
        }
        self.timers.insert((deadline, id));
        self.deadlines.insert(id, deadline);
        self.parked.insert(id, job);
    }

    /// Takes a job out of all tables.
    pub fn unpark(&mut self, id: JobId) -> Option<Job> {
        let job = self.parked.remove(&id)?;
        if let Some(deadline) = self.deadlines.remove(&id) {
            self.timers.remove(&(deadline, id));
        }
        if let Some((key, _)) = job.key {
            self.keys.remove(&key);
        }
        match &job.stage {
            Stage::Waiting => {
                for line in &job.wanted {
                    if let Some(ids) = self.waiting.get_mut(&line.sku) {
                        ids.remove(&id);
                        if ids.is_empty() {
                            self.waiting.remove(&line.sku);
                        }
                    }
                }
            }
            Stage::Finding(find) => find.numbers().for_each(|number| {
                self.numbers.remove(&number);
            }),
            Stage::Forwarded { number, .. } => {
                self.numbers.remove(number);
            }
            Stage::Deciding => {}
        }
        Some(job)
    }

    /// Takes all jobs out of all tables.
    pub fn take_all(&mut self) -> Vec<Job> {
        let last = self.last;
        let all = std::mem::take(self);
        self.last = last;
        all.parked.into_values().collect()
    }

    pub fn get(&self, id: JobId) -> Option<&Job> {
        self.parked.get(&id)
    }

    pub fn with_key(&mut self, key: &RequestId) -> Option<&mut Job> {
        let id = self.keys.get(key)?;
        self.parked.get_mut(id)
    }

    pub fn with_number(&self, number: u64) -> Option<JobId> {
        self.numbers.get(&number).copied()
    }

    /// Those that wait for rights to `sku`, the first come first.
    pub fn waiting_for(&self, sku: &Sku) -> impl Iterator<Item = (JobId, &Job)> {
        let ids = self.waiting.get(sku).into_iter().flatten();
        ids.filter_map(|id| Some((*id, self.parked.get(id)?)))
    }

    pub fn waiting_count(&self, sku: &Sku) -> usize {
        self.waiting.get(sku).map_or(0, BTreeSet::len)
    }

    pub fn is_waited_for(&self, sku: &Sku) -> bool {
        self.waiting.contains_key(sku)
    }

    pub fn overdue(&self, now: Timestamp) -> Option<JobId> {
        let (time, id) = self.timers.first()?;
        if *time <= now { Some(*id) } else { None }
    }

    /// Jobs of such a kind that peers placed here.
    pub fn placed_here(&self, kind: impl Fn(&Job) -> bool) -> Vec<JobId> {
        let placed = self.parked.iter().filter(|(_, job)| job.placed_here && kind(job));
        placed.map(|(id, _)| *id).collect()
    }

    /// Jobs that were sent to `owner`, or ask it.
    pub fn sent_to(&self, owner: ReplicaId) -> Vec<JobId> {
        let concerns = |job: &Job| match &job.stage {
            Stage::Finding(find) => find.awaits(owner),
            Stage::Forwarded { owner: to, .. } => *to == owner,
            Stage::Deciding | Stage::Waiting => false,
        };
        self.parked.iter().filter(|(_, job)| concerns(job)).map(|(id, _)| *id).collect()
    }
}

impl Job {
    /// The lines of one item that it waits with.
    pub fn wanted_of(&self, sku: &Sku) -> &[Line] {
        let from = self.wanted.partition_point(|line| line.sku < *sku);
        let upto = self.wanted.partition_point(|line| line.sku <= *sku);
        &self.wanted[from..upto]
    }

    pub fn new(asker: Asker, request: Request, key: Option<(RequestId, Fingerprint)>, now: Timestamp) -> Job {
        let patience = match &request.command {
            Command::Batch(_) => now.after(BATCH_PATIENCE),
            command => now.after(wait_of(command)),
        };
        Job {
            asker,
            request,
            key,
            twins: Vec::new(),
            arrived: now,
            patience,
            stage: Stage::Deciding,
            wanted: Vec::new(),
            done: Vec::new(),
            replayed: false,
            searched: false,
            placed_here: false,
            refused_by: BTreeSet::new(),
            astray: false,
            waited: false,
        }
    }

    /// Who wants it, for the history.
    pub fn actor(&self) -> Actor {
        let caller = self.request.caller;
        match self.asker {
            Asker::Client(_) => Actor::Caller(caller),
            Asker::Peer(via, _) => Actor::Forwarded { caller, via },
        }
    }

    /// What is to be decided next: the command, or a batch's next operation.
    pub fn current(&self) -> Command {
        let Command::Batch(operations) = &self.request.command else { return self.request.command.clone() };
        match &operations[self.done.len()] {
            Operation::Reserve(put) => Command::Put(Put { wait: Millis(0), ..put.clone() }),
            Operation::Confirm { id } => Command::Confirm { id: id.clone(), if_match: None, wait: Millis(0) },
            Operation::Cancel { id } => Command::Cancel { id: id.clone() },
            Operation::Sell(sell) => Command::Sell(Sell { wait: Millis(0), ..sell.clone() }),
        }
    }

    /// Whether it waits for this member's answer to what it was sent under this number.
    pub fn awaits(&self, number: u64, from: ReplicaId) -> bool {
        match &self.stage {
            Stage::Finding(find) => find.asked(number) == Some(from),
            Stage::Forwarded { owner, number: sent } => *owner == from && *sent == number,
            Stage::Deciding | Stage::Waiting => false,
        }
    }

    pub fn is_forwarded(&self) -> bool {
        matches!(self.stage, Stage::Forwarded { .. })
    }

    pub fn is_batch(&self) -> bool {
        matches!(self.request.command, Command::Batch(_))
    }

    fn operations(&self) -> usize {
        match &self.request.command {
            Command::Batch(operations) => operations.len(),
            _ => 1,
        }
    }
}

fn wait_of(command: &Command) -> Millis {
    match command {
        Command::Put(put) => put.wait,
        Command::Sell(sell) => sell.wait,
        Command::Confirm { wait, .. } => *wait,
        _ => Millis(0),
    }
}

impl Replica {
    /// Decides a job as far as it goes: to its answer, or to where it must wait.
    pub(super) fn run(&mut self, now: Timestamp, id: JobId, mut job: Job, out: &mut Effects) {
        loop {
            if self.is_rolled_back() {
                return self.finish(job, Err(Refusal::RolledBack), out);
            }
            let outcome = match self.attempt(now, &job, out) {
                Attempt::Done(outcome) => outcome,
                Attempt::Short(wanted, expired) => {
                    if let Some(member) = self.place(now, &job) {
                        return self.send_to_place(now, id, job, member, out);
                    }
                    if self.may_wait(now, &job, &wanted) {
                        return self.park_waiting(id, job, wanted);
                    }
                    if !job.wanted.is_empty() {
                        self.stats.waits_timed_out += u64::from(now >= job.patience);
                        self.stats.waits_in_vain += u64::from(now < job.patience);
                    }
                    let outcome = Err(self.short_refusal(now, &job, &wanted, expired));
                    self.remember_refusal(now, &job, &outcome, out);
                    let nobody = Asker::Peer(self.state.me(), 0);
                    if planted::is_on(Bug::DeniedThenDone) && job.asker != nobody && !job.is_batch() {
                        self.answer(std::mem::replace(&mut job.asker, nobody), outcome, false, out);
                        job.patience = now.after(Millis::from_secs(5));
                        return self.park_waiting(id, job, wanted);
                    }
                    outcome
                }
                Attempt::NotMine => match self.find_owner(now, &job, out) {
                    Ok((stage, deadline)) => {
                        job.stage = stage;
                        return self.jobs.park(id, job, deadline);
                    }
                    Err(refusal) => {
                        let outcome = Err(refusal);
                        self.remember_refusal(now, &job, &outcome, out);
                        outcome
                    }
                },
            };
            match self.progress(now, job, outcome, out) {
                Some(rest) => job = rest,
                None => return,
            }
        }
    }

    /// Takes the outcome of what was decided: answers, or gives the batch back for its next
    /// operation.
    fn progress(&mut self, now: Timestamp, mut job: Job, outcome: Outcome, out: &mut Effects) -> Option<Job> {
        if !job.is_batch() {
            self.finish(job, outcome, out);
            return None;
        }
        job.done.push(match outcome {
            Ok(Answer::Reservation(claimed)) => Ok(claimed),
            // A peer's answer of another kind: whatever it did, it was not this.
            Ok(_) => Err(Refusal::OutcomeUnknown),
            Err(refusal) => Err(refusal),
        });
        if job.done.len() < job.operations() {
            job.stage = Stage::Deciding;
            job.astray = false;
            return Some(job);
        }
        let outcome = Ok(Answer::Batch(std::mem::take(&mut job.done)));
        self.remember(now, &job, &outcome, out);
        self.finish(job, outcome, out);
        None
    }

    /// A job that was parked goes on with this outcome.
    pub(super) fn resume(
        &mut self,
        now: Timestamp,
        id: JobId,
        mut job: Job,
        outcome: Outcome,
        out: &mut Effects,
    ) {
        job.stage = Stage::Deciding;
        if let Some(rest) = self.progress(now, job, outcome, out) {
            self.run(now, id, rest, out);
        }
    }

    /// Answers the asker, and the twins with the same.
    pub(super) fn finish(&mut self, job: Job, outcome: Outcome, out: &mut Effects) {
        self.stats.waits_served += u64::from(!job.wanted.is_empty() && outcome.is_ok());
        for twin in job.twins {
            self.tell(twin, outcome.clone(), true, job.waited, out);
        }
        self.tell(job.asker, outcome, job.replayed, job.waited, out);
    }

    /// Answers what was decided at once.
    pub(super) fn answer(&mut self, asker: Asker, outcome: Outcome, replayed: bool, out: &mut Effects) {
        self.tell(asker, outcome, replayed, false, out);
    }

    fn tell(&mut self, asker: Asker, outcome: Outcome, replayed: bool, waited: bool, out: &mut Effects) {
        match asker {
            Asker::Client(token) => {
                let reply = Reply { outcome, replayed, waited };
                self.emit(Output::Reply { token, reply }, out);
            }
            Asker::Peer(peer, id) => {
                let rows = match &outcome {
                    Ok(Answer::Books { books, .. }) => {
                        self.state.entry(self.state.me(), &Key::Item(books.sku.clone()))
                    }
                    _ => None,
                };
                let rows = rows.into_iter().collect();
                self.send(peer, Message::Forwarded(Forwarded { id, outcome, replayed, rows }), out);
            }
        }
    }

    /// Jobs whose time is up.
    pub(super) fn jobs_tick(&mut self, now: Timestamp, out: &mut Effects) {
        while let Some(id) = self.jobs.overdue(now) {
            // The rest stays due, and the next tick follows at once.
            if self.budget == 0 {
                return;
            }
            let Some(mut job) = self.jobs.unpark(id) else { return };
            self.budget = self.budget.saturating_sub(job.wanted.len().max(1));
            match std::mem::replace(&mut job.stage, Stage::Deciding) {
                // Its patience is over, so this decides for good.
                Stage::Waiting | Stage::Deciding => {
                    self.shortages.news(job.wanted.iter().map(|line| line.sku.clone()));
                    self.run(now, id, job, out);
                }
                Stage::Finding(find) => self.give_up_finding(now, id, job, find, out),
                Stage::Forwarded { owner, number } => self.no_answer(now, id, job, (owner, number), out),
            }
        }
    }
}
