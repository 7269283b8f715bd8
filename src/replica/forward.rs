//! Requests that another node must decide: finding the owner of a reservation, sending it the
//! request, and deciding what others send here.
//!
//! The owner is looked for with a read at every member, and only then is the request sent, to
//! one member. So two owners of one id never both act on one confirm; and when an answer is
//! lost it is known whether anything was sent at all.

use std::collections::{BTreeMap, BTreeSet};

use super::Replica;
use super::effects::Effects;
use super::jobs::{Asker, Job, JobId, Stage};
use super::placing::made_by;
use crate::limits::{FIND_TIMEOUT, FORWARD_TIMEOUT, MAX_DOUBLY_SOLD, MAX_JOBS};
use crate::planted::{self, Bug};
use crate::types::reservation::MAX_LINES;
use crate::types::units::MAX_QUANTITY;
use crate::types::{
    Answer, Claimed, Command, NodeName, NodeState, NodeStatus, Outcome, Put, Refusal, ReplicaId, Request,
    ReservationId, ReservationState, Timestamp, Units,
};
use crate::wire::Message;
use crate::wire::message::{Forward, Forwarded};

/// A search for the owner of a reservation.
#[derive(Debug)]
pub struct Find {
    /// Members that have not answered, by the number they were asked under.
    open: BTreeMap<u64, ReplicaId>,
    /// Those that say it is theirs.
    owners: Vec<(ReplicaId, Claimed)>,
    /// Members that could not be asked, or did not answer in time.
    silent: Vec<NodeName>,
}

impl Find {
    pub fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        self.open.keys().copied()
    }

    pub fn asked(&self, number: u64) -> Option<ReplicaId> {
        self.open.get(&number).copied()
    }

    pub fn awaits(&self, member: ReplicaId) -> bool {
        self.open.values().any(|asked| *asked == member)
    }

    /// The one that acts. Of several: one that sold; else the oldest that holds units; else the
    /// oldest.
    fn owner(&self) -> Option<&(ReplicaId, Claimed)> {
        let rank = |claimed: &Claimed| match claimed.reservation.state {
            ReservationState::Confirmed => 0,
            ReservationState::Held => 1,
            ReservationState::Cancelled | ReservationState::Expired => 2,
        };
        self.owners
            .iter()
            .min_by_key(|(replica, claimed)| (rank(claimed), claimed.reservation.created_at, *replica))
    }
}

impl Replica {
    /// Asks every member for the reservation the job is about; or sends the job at once to the
    /// one node that can decide it: a transfer's giver, the node that is to drain.
    ///
    /// # Errors
    /// When nobody can be asked, or nobody may: the request was forwarded here already.
    pub(super) fn find_owner(
        &mut self,
        now: Timestamp,
        job: &Job,
        out: &mut Effects,
    ) -> Result<(Stage, Timestamp), Refusal> {
        let command = job.current();
        if matches!(job.asker, Asker::Peer(..)) {
            return self.ask_noted(now, job, command, out);
        }
        if let Command::Transfer(transfer) = &command {
            let giver = self.state.member_named(&transfer.from).map(|member| member.replica);
            return match giver.filter(|giver| self.links.is_up(*giver)) {
                Some(giver) => Ok(self.forward(now, giver, job, command, false, out)),
                None => Err(Refusal::NodeUnreachable { node: transfer.from.clone() }),
            };
        }
        if let Command::SetDraining { node, .. } = &command {
            let member = self.state.member_named(node).map(|member| member.replica);
            return match member.filter(|member| self.links.is_up(*member)) {
                Some(member) => Ok(self.forward(now, member, job, command, false, out)),
                None => Err(Refusal::NodeUnreachable { node: node.clone() }),
            };
        }
        let Some(id) = reservation_of(&command) else { return Err(Refusal::ReservationNotFound) };
        if self.jobs.len() >= MAX_JOBS {
            return Err(Refusal::Overloaded);
        }
        if job.is_batch() && now >= job.patience {
            let unreachable = self.state.others().map(|member| member.name.clone()).collect();
            return Err(Refusal::OwnerUnreachable { unreachable });
        }
        if let Some(at) = self.noted_at(job, &command) {
            if self.links.is_up(at) {
                return Ok(self.forward_noted(now, at, job, command, out));
            }
            if matches!(command, Command::Put(_) | Command::Sell(_)) {
                return Err(Refusal::OwnerUnreachable { unreachable: vec![self.state.name_of(at)] });
            }
        }
        let mut find = Find { open: BTreeMap::new(), owners: Vec::new(), silent: Vec::new() };
        let members: Vec<_> = self.state.others().map(|m| (m.replica, m.name.clone())).collect();
        for (replica, name) in members {
            if !self.links.is_up(replica) {
                find.silent.push(name);
                continue;
            }
            let number = self.number();
            find.open.insert(number, replica);
            let request = Request::plain(Command::Read { id: id.clone() });
            self.send(replica, Message::Forward(Forward { id: number, request, placing: false }), out);
        }
        if find.open.is_empty() {
            return Err(nobody_has_it(find.silent));
        }
        Ok((Stage::Finding(find), now.after(FIND_TIMEOUT)))
    }

    pub(super) fn forward(
        &mut self,
        now: Timestamp,
        owner: ReplicaId,
        job: &Job,
        command: Command,
        placing: bool,
        out: &mut Effects,
    ) -> (Stage, Timestamp) {
        let number = self.number();
        if let Some((id, _)) = made_by(&command) {
            self.placing.sent(id, number);
        }
        // The owner decides; it must not go looking again.
        let command = match command {
            Command::Put(put) => Command::Put(Put { retry: false, ..put }),
            other => other,
        };
        // A key holds for the node it came to, so it goes on under that node's name; the answer
        // is remembered here as well.
        // What is placed needs none: its id is enough.
        let mut key = if job.is_batch() || placing { None } else { job.request.key.clone() };
        if let Some(key) = &mut key {
            key.scope = format!("{} via {}", key.scope, self.name());
        }
        let request = Request { command, key, caller: job.request.caller };
        self.send(owner, Message::Forward(Forward { id: number, request, placing }), out);
        (Stage::Forwarded { owner, number }, job.patience.max(now).after(FORWARD_TIMEOUT))
    }

    /// A peer wants something decided here.
    pub(super) fn forwarded_here(
        &mut self,
        now: Timestamp,
        from: ReplicaId,
        forward: Forward,
        out: &mut Effects,
    ) {
        let asker = Asker::Peer(from, forward.id);
        // A late repeat would undo what was decided since.
        let is_once = forward.placing || !matches!(forward.request.command, Command::Read { .. });
        match check_forwarded(&forward.request.command) {
            // As if it had been lost.
            Ok(()) if is_once && !self.takes_in_order(from, forward.id) => {}
            Ok(()) => self.take_request(now, asker, forward.request, forward.placing, out),
            Err(message) => {
                let name = self.state.name_of(from);
                self.alarm(format!("{name} forwarded a request that cannot be: {message}"), out);
                let field = "request".to_string();
                self.answer(asker, Err(Refusal::Invalid { field, message: message.into() }), false, out);
            }
        }
    }

    /// A peer answered.
    pub(super) fn forwarded_back(
        &mut self,
        now: Timestamp,
        from: ReplicaId,
        mut answer: Forwarded,
        out: &mut Effects,
    ) {
        let rows = std::mem::take(&mut answer.rows);
        self.merge(now, from, rows.into_iter().filter(|row| row.origin == from).collect(), None, out);
        let Some(id) = self.jobs.with_number(answer.id) else { return };
        if !self.jobs.get(id).is_some_and(|job| job.awaits(answer.id, from)) {
            return;
        }
        let Some(mut job) = self.jobs.unpark(id) else { return };
        match std::mem::replace(&mut job.stage, Stage::Deciding) {
            Stage::Forwarded { .. } => {
                if self.goes_on(now, &mut job, from, &answer, out) {
                    return self.run(now, id, job, out);
                }
                job.replayed = answer.replayed;
                let outcome = match (answer.outcome, job.current()) {
                    (Ok(Answer::Node(told)), Command::SetDraining { .. }) => {
                        self.told_state(from, told.state)
                    }
                    (Ok(Answer::Books { books, created }), Command::Transfer(_)) => {
                        Ok(Answer::Books { books, created })
                    }
                    // It is that member's to tell: whoever asked has asked it too.
                    (Ok(_), Command::Read { .. }) if matches!(job.asker, Asker::Peer(..)) => {
                        Err(self.only_at(from))
                    }
                    (Ok(Answer::Reservation(claimed)), command) if reservation_of(&command).is_some() => {
                        Ok(Answer::Reservation(claimed))
                    }
                    (Ok(_), _) => Err(Refusal::OutcomeUnknown),
                    (Err(refusal), _) => Err(refusal),
                };
                self.follow_deadline(now, &job, from, &outcome, out);
                if !job.is_batch() {
                    self.remember(now, &job, &outcome, out);
                }
                self.resume(now, id, job, outcome, out);
            }
            Stage::Finding(mut find) => {
                find.open.remove(&answer.id);
                self.found(&mut find, from, answer.outcome);
                self.go_on_finding(now, id, job, find, out);
            }
            Stage::Deciding | Stage::Waiting => {}
        }
    }

    /// A member's status as it is seen from here, in the state that it says it is in.
    fn told_state(&self, member: ReplicaId, state: NodeState) -> Outcome {
        let status = self.node_status(member).ok_or(Refusal::OutcomeUnknown)?;
        Ok(Answer::Node(Box::new(NodeStatus { state, ..status })))
    }

    fn found(&self, find: &mut Find, from: ReplicaId, outcome: Outcome) {
        match outcome {
            Ok(Answer::Reservation(claimed)) => find.owners.push((from, claimed)),
            Err(Refusal::ReservationNotFound) => {}
            // It could not look (not ready, rolled back): as good as silent.
            _ => find.silent.push(self.state.name_of(from)),
        }
    }

    fn go_on_finding(&mut self, now: Timestamp, id: JobId, mut job: Job, find: Find, out: &mut Effects) {
        if !find.open.is_empty() {
            job.stage = Stage::Finding(find);
            self.jobs.park(id, job, now.after(FIND_TIMEOUT));
            return;
        }
        let command = job.current();
        let gone = find.owner().map(|(owner, _)| *owner).filter(|owner| !self.links.is_up(*owner));
        if let Some(owner) = gone
            && !matches!(command, Command::Read { .. })
        {
            let unreachable = vec![self.state.name_of(owner)];
            return self.resume(now, id, job, Err(Refusal::OwnerUnreachable { unreachable }), out);
        }
        let Some((owner, claimed)) = find.owner().cloned() else {
            let everybody_said = find.silent.is_empty() || planted::is_on(Bug::RetryDespiteSilence);
            if matches!(command, Command::Put(_)) && everybody_said {
                job.searched = true;
                return self.run(now, id, job, out);
            }
            let outcome = Err(nobody_has_it(find.silent));
            self.remember_refusal(now, &job, &outcome, out);
            return self.resume(now, id, job, outcome, out);
        };
        self.note_doubly_sold(&find);
        self.release_doubles(&find, owner, out);
        if matches!(command, Command::Read { .. }) {
            return self.resume(now, id, job, Ok(Answer::Reservation(claimed)), out);
        }
        let (stage, deadline) = self.forward(now, owner, &job, command, false, out);
        job.stage = stage;
        self.jobs.park(id, job, deadline);
    }

    /// Two nodes sold under one id, each units of its own: nothing to undo here, but an operator
    /// must know. `/v1/check` tells.
    fn note_doubly_sold(&mut self, find: &Find) {
        let sold = |claimed: &Claimed| claimed.reservation.state == ReservationState::Confirmed;
        let sellers: Vec<&Claimed> =
            find.owners.iter().map(|(_, claimed)| claimed).filter(|c| sold(c)).collect();
        if let [first, _, ..] = sellers.as_slice()
            && self.doubly_sold.len() < MAX_DOUBLY_SOLD
        {
            let nodes = sellers.iter().map(|claimed| claimed.node.clone()).collect();
            self.doubly_sold.insert(first.reservation.id.clone(), nodes);
        }
    }

    /// Two nodes hold one id: the younger held one is let go.
    fn release_doubles(&mut self, find: &Find, owner: ReplicaId, out: &mut Effects) {
        let live = |state| matches!(state, ReservationState::Held | ReservationState::Confirmed);
        if !find.owner().is_some_and(|(_, chosen)| live(chosen.reservation.state)) {
            return;
        }
        let doubles = find.owners.iter().filter(|(replica, _)| *replica != owner);
        let held = doubles.filter(|(_, claimed)| claimed.reservation.state == ReservationState::Held);
        for (replica, claimed) in held.cloned().collect::<Vec<_>>() {
            let id = self.number();
            let request = Request::plain(Command::Cancel { id: claimed.reservation.id });
            self.send(replica, Message::Forward(Forward { id, request, placing: false }), out);
        }
    }

    /// The search took too long: who has not answered is silent.
    pub(super) fn give_up_finding(
        &mut self,
        now: Timestamp,
        id: JobId,
        job: Job,
        mut find: Find,
        out: &mut Effects,
    ) {
        let silent: Vec<_> = find.open.values().map(|replica| self.state.name_of(*replica)).collect();
        find.silent.extend(silent);
        find.open.clear();
        self.go_on_finding(now, id, job, find, out);
    }

    /// A link went down: who waits for that node waits no longer.
    pub(super) fn lost_contact(&mut self, now: Timestamp, member: ReplicaId, out: &mut Effects) {
        for id in self.jobs.sent_to(member) {
            let Some(mut job) = self.jobs.unpark(id) else { continue };
            match std::mem::replace(&mut job.stage, Stage::Deciding) {
                Stage::Finding(mut find) => {
                    find.open.retain(|_, asked| *asked != member);
                    find.silent.push(self.state.name_of(member));
                    self.go_on_finding(now, id, job, find, out);
                }
                Stage::Forwarded { owner, number } => self.no_answer(now, id, job, (owner, number), out),
                Stage::Deciding | Stage::Waiting => {}
            }
        }
    }
}

/// What a node may ask another to decide, in the form in which HTTP would have let it in.
pub fn check_forwarded(command: &Command) -> Result<(), &'static str> {
    let lines = match command {
        Command::Put(put) => put.lines.as_slice(),
        Command::Sell(sell) => sell.lines.as_slice(),
        Command::Transfer(transfer) if transfer.quantity.is_zero() => return Err("a quantity is zero"),
        Command::Transfer(_) | Command::Confirm { .. } | Command::Cancel { .. } => &[],
        Command::Extend { .. } | Command::Read { .. } | Command::SetDraining { .. } => &[],
        _ => return Err("this kind is never forwarded"),
    };
    let skus: BTreeSet<_> = lines.iter().map(|line| &line.sku).collect();
    if skus.len() < lines.len() {
        return Err("a sku is repeated");
    }
    if lines.len() > MAX_LINES || lines.iter().any(|line| line.quantity.is_zero()) {
        return Err("too many lines, or a quantity is zero");
    }
    match Units::sum(lines.iter().map(|line| line.quantity)) {
        Ok(sum) if sum.0 <= MAX_QUANTITY => Ok(()),
        _ => Err("the quantities are too large"),
    }
}

pub fn reservation_of(command: &Command) -> Option<&ReservationId> {
    match command {
        Command::Put(put) => Some(&put.id),
        Command::Sell(sell) => Some(&sell.id),
        Command::Confirm { id, .. }
        | Command::Cancel { id }
        | Command::Extend { id, .. }
        | Command::Read { id } => Some(id),
        _ => None,
    }
}

/// Nobody who answered has it: it does not exist, or a silent member has it.
fn nobody_has_it(mut silent: Vec<NodeName>) -> Refusal {
    silent.sort();
    silent.dedup();
    if silent.is_empty() {
        Refusal::ReservationNotFound
    } else {
        Refusal::OwnerUnreachable { unreachable: silent }
    }
}
