//! The oracle: sees every record that hosts write and every answer that leaves, keeps its own
//! books of both, and holds the properties in [`checks`](crate::checks) against them.
//!
//! A request that was not answered is unknown: it may be done or not.

use std::collections::{BTreeMap, BTreeSet};

use stockade::replica::Replica;
use stockade::types::{
    Answer, Autonomy, Cell, Claimed, Command, NodeState, Outcome, Put, Refusal, ReplicaId, Reply,
    Reservation, ReservationId, ReservationState, Sell, Sku, Timestamp, Verdict,
};
use stockade::wire::{Batch, Change, Record};

use crate::checks::asks::Asks;
use crate::checks::conservation::Both;
use crate::checks::donors::Donors;
use crate::checks::makers::Makers;
use crate::checks::moves::Moves;
use crate::checks::overselling::{Kind, Sales};
use crate::checks::quiet::Sent;
use crate::checks::{
    Checked, Violation, acknowledged::Promises, changes, conservation, copies, drained, keys::Answers,
    placed, planned_moves, quotas, recovery, refused::Refusals, settings, settled, spend, verdicts,
};
use crate::claims::{claims, makes, movement, shortfalls, wishes};
use crate::coverage::Coverage;
use crate::ghost::Ledger;
use crate::host::Open;
use crate::noting::{Passed, Start};
use crate::time::{Span, Time};
use crate::watch::Watch;
use crate::workload::{self, node_number, reservations_of};

/// What one host has recorded.
#[derive(Debug, Default)]
pub struct Books {
    /// As it decides on it.
    pub memory: Ledger,
    /// As its disk has it.
    pub durable: Ledger,
}

#[derive(Debug)]
pub struct Oracle {
    members: Vec<ReplicaId>,
    /// Of items for which none is set.
    dial: Autonomy,
    pub books: Vec<Books>,
    history: verdicts::History,
    sales: Sales,
    answers: Answers,
    promises: Promises,
    refusals: Refusals,
    pub makers: Makers,
    pub asks: Asks,
    /// Requests under way about a reservation: while there are any, it may end at any time.
    touching: BTreeMap<ReservationId, u32>,
    /// Requests about a reservation that ever reached a host.
    touched: BTreeMap<ReservationId, u32>,
    /// Deadlines of acknowledged holds.
    deadlines: BTreeMap<(ReservationId, usize), Timestamp>,
    pub watches: Vec<Watch>,
    pub moves: Moves,
    /// Changes that sent units away.
    pub transfers: u64,
    /// Messages from each host to each, row by row.
    pub sent: Vec<Sent>,
    /// The reservation each client asked for last, answered or not.
    last: BTreeMap<usize, ReservationId>,
    pub passed: Passed,
    pub coverage: Coverage,
    pub donors: Donors,
    /// While all is calm and one host sells: the round trips between all.
    pub calm: Option<Vec<Span>>,
    /// Some link is cut.
    pub is_cut: bool,
    /// Found where nobody could be told.
    pub found: Option<Violation>,
    /// When each node's clock last went on after it stood still, and for how long it did: so much
    /// older than they look rows may be that it took for fresh until then.
    pub stood_still: Vec<(Time, Span)>,
}

impl Oracle {
    pub fn new(members: Vec<ReplicaId>, dial: Autonomy) -> Oracle {
        let hosts = members.len();
        let stood_still = vec![(Time::ZERO, Span(0)); members.len()];
        Oracle {
            books: members.iter().map(|_| Books::default()).collect(),
            history: verdicts::History::new(members.clone()),
            members,
            dial,
            sales: Sales::default(),
            answers: Answers::default(),
            promises: Promises::default(),
            refusals: Refusals::default(),
            makers: Makers::default(),
            asks: Asks::default(),
            touching: BTreeMap::new(),
            touched: BTreeMap::new(),
            deadlines: BTreeMap::new(),
            watches: (0..hosts).map(|_| Watch::default()).collect(),
            moves: Moves::default(),
            transfers: 0,
            sent: vec![Sent::default(); hosts * hosts],
            last: BTreeMap::new(),
            passed: Passed::default(),
            coverage: Coverage::default(),
            donors: Donors::default(),
            calm: None,
            is_cut: false,
            found: None,
            stood_still,
        }
    }

    /// A host applied records.
    ///
    /// # Errors
    /// When they should not be.
    pub fn recorded(&mut self, now: Time, node: usize, records: &[Record]) -> Checked {
        self.watches[node].recorded(now, records.len());
        for record in records {
            let Record::Change(change) = record else {
                self.books[node].memory.apply(record);
                continue;
            };
            changes::check(&self.books[node].memory, change)?;
            placed::check_note(self.members[node], &self.books[node].memory, change)?;
            self.check_maker(node, change)?;
            if let Some(ended) = change.reservation.as_ref().filter(|_| placed::lets_go(change)) {
                self.makers.let_go(&ended.id, node);
            }
            self.note_change(node, change);
            self.books[node].memory.apply_change(change);
            quotas::check(&workload::node(node), change, &self.books[node].memory)?;
            self.check_marks(node, change)?;
            if change.cause == stockade::wire::Cause::GiveForDrain {
                self.note_drained(node);
            }
            for raise in &change.rows {
                let row = self.books[node].memory.rows[&raise.sku].clone();
                self.history.became(now, &raise.sku, self.members[node], &row);
                self.check_item(&raise.sku)?;
            }
        }
        Ok(())
    }

    fn check_marks(&self, node: usize, change: &Change) -> Checked {
        let came = |sku: &Sku| {
            let rows = self.books.iter().filter_map(|books| books.memory.rows.get(sku));
            let came = rows.map(|row| row.of(Cell::Received) + row.of(Cell::Returned)).sum::<i128>();
            u64::try_from(came).unwrap_or(u64::MAX)
        };
        spend::check_room(node, change, &self.books[node].memory, self.dial, came)?;
        for raise in &change.rows {
            let taken = raise.cells.iter().find(|raised| raised.new.cell == Cell::Taken);
            let Some(taken) = taken else { continue };
            let others = self.books.iter().enumerate().filter(|(other, _)| *other != node);
            let others: Vec<&Ledger> = others.map(|(_, books)| &books.durable).collect();
            spend::check_taken(&raise.sku, self.members[node], taken.new.value, &others)?;
        }
        Ok(())
    }

    fn check_maker(&self, node: usize, change: &Change) -> Checked {
        let Some(new) = &change.reservation else { return Ok(()) };
        let is_new = !self.books[node].memory.reservations.contains_key(&new.id);
        let has = |other: usize, id: &ReservationId| self.books[other].memory.reservations.contains_key(id);
        if is_new { self.makers.check_new(&new.id, node, has, self.books.len()) } else { Ok(()) }
    }

    fn check_item(&self, sku: &Sku) -> Checked {
        let mut all: Vec<Both<'_>> = Vec::with_capacity(self.members.len());
        for (owner, Books { memory, durable }) in self.members.iter().zip(&self.books) {
            let (memory, durable) = (memory.rows.get(sku), durable.rows.get(sku));
            all.push(Both { owner: *owner, memory, durable });
        }
        conservation::check(sku, &all)
    }

    /// A batch reached the disk.
    pub fn synced(&mut self, node: usize, batch: &Batch) {
        batch.records.iter().for_each(|record| self.books[node].durable.apply(record));
        self.watches[node].synced(batch);
        self.moves.synced(batch);
    }

    /// A host died; what was not durable is forgotten.
    ///
    /// # Errors
    /// When what was promised is among it.
    pub fn crashed(&mut self, now: Time, node: usize) -> Checked {
        let books = &mut self.books[node];
        for (sku, row) in &books.memory.rows {
            let back = books.durable.rows.get(sku);
            if back != Some(row) {
                let back = back.cloned().unwrap_or_default();
                self.history.became(now, sku, self.members[node], &back);
            }
        }
        books.memory = books.durable.clone();
        self.watches[node].died();
        self.watches[node].due.died(&books.durable);
        self.promises.check(node, &books.durable)?;
        self.check_movements()
    }

    /// A host read its disk; ledger time goes on from `clock`.
    ///
    /// # Errors
    /// When it does not know what was durable.
    pub fn booted(&mut self, node: usize, replica: &Replica, clock: Timestamp, from: Start) -> Checked {
        self.watches[node].booted(replica, clock);
        self.note_boot(from);
        recovery::check(replica, &self.books[node].durable)?;
        if let Some(rebuilt) = self.watches[node].rebuilt() {
            recovery::check_clock(node, clock, rebuilt.time())?;
        }
        self.check_rebuilt(node, replica)
    }

    /// Compares a replica with what all durable records come to.
    ///
    /// # Errors
    /// When they differ.
    pub fn check_rebuilt(&self, node: usize, replica: &Replica) -> Checked {
        self.watches[node].rebuilt().map_or(Ok(()), |rebuilt| recovery::check_rebuilt(replica, rebuilt))
    }

    /// Compares what a host knows of the others with their disks.
    ///
    /// # Errors
    /// When it knows more.
    pub fn check_copies(&self, replica: &Replica) -> Checked {
        for (sku, owner, row) in replica.rows().filter(|(_, owner, _)| *owner != replica.replica_id()) {
            if let Some(place) = self.members.iter().position(|member| *member == owner) {
                let durable = &self.books[place].durable;
                copies::check(sku, replica.replica_id(), owner, row.cells(), durable)?;
            }
        }
        Ok(())
    }

    /// A request reached a host that is up.
    pub fn reached(&mut self, node: usize, open: &Open) {
        for id in reservations_of(&open.request.command) {
            *self.touching.entry(id.clone()).or_default() += 1;
            *self.touched.entry(id.clone()).or_default() += 1;
            for home in 0..self.books.len() {
                self.sales.not_held(id, home);
            }
        }
        let retry = matches!(&open.request.command, Command::Put(put) if put.retry);
        for id in makes(&open.request.command) {
            self.refusals.attempted(id);
            let mut others = self.books.iter().enumerate().filter(|(other, _)| *other != node);
            let elsewhere = others.any(|(_, books)| books.durable.reservations.contains_key(id));
            self.makers.attempted(id, node, !(retry && elsewhere));
        }
        if let (Command::Put(Put { id, .. }) | Command::Sell(Sell { id, .. }), Some(key)) =
            (&open.request.command, &open.request.key)
        {
            self.makers.under_key(id, (node, key.scope.clone(), key.key.clone()));
        }
        wishes(&open.request.command).into_iter().for_each(|lines| self.moves.asked(lines));
        self.asks.gave_reason(node);
        self.note_request(node, open);
        if let Some((id, sku, units)) = movement(node, &open.request) {
            self.sales.attempted(id, sku, units);
        }
    }

    /// An answer left a host. `clocks`: ledger time of each.
    ///
    /// # Errors
    /// When it is wrong.
    pub fn answered(
        &mut self,
        now: Time,
        node: usize,
        open: &Open,
        reply: &Reply,
        clocks: &[Timestamp],
    ) -> Checked {
        self.check_key(node, open, reply)?;
        if !reply.replayed {
            settings::check(&open.request.command, &reply.outcome)?;
        }
        let exists = |sku: &Sku| self.books.iter().any(|books| books.memory.knows(sku));
        planned_moves::check(&open.request.command, &reply.outcome, (node, self.members.len()), exists)?;
        if let Ok(Answer::Node(status)) = &reply.outcome
            && status.state == NodeState::Drained
            && node_number(&status.name) == node
            && self.books[node].memory.is_draining
            && !reply.replayed
        {
            drained::check_said(node, &self.books[node].memory)?;
        }
        self.untouch(&open.request.command, &reply.outcome);
        if let Some((id, sku, _)) = movement(node, &open.request) {
            if !matches!(reply.outcome, Err(Refusal::OutcomeUnknown)) {
                self.sales.answered(&id, reply.outcome.is_ok());
            }
            self.check_movement(id.0, sku)?;
        }
        self.note_answer(now, node, open, reply);
        self.note_refusals(&open.request.command, &reply.outcome);
        for claimed in claims(&reply.outcome) {
            // Old by now may be what another node passes on, and what a batch did that had to wait;
            // but not what no other request was ever about: a reservation that was placed there.
            let is_first = self.touched.get(&claimed.reservation.id) == Some(&1);
            let is_news = !reply.replayed
                && (node_number(&claimed.node) == node || is_first)
                && matches!(reply.outcome, Ok(Answer::Reservation(_)));
            self.check_claim(claimed, is_news, clocks)?;
        }
        if !reply.replayed {
            for short in shortfalls(&reply.outcome).filter(|short| short.verdict == Verdict::SoldOut) {
                let from = verdicts::fresh_from(open.arrived, self.stood_still[node]);
                self.history.check_sold_out(&short.sku, from, now)?;
            }
        }
        Ok(())
    }

    fn check_key(&mut self, node: usize, open: &Open, reply: &Reply) -> Checked {
        let Some(key) = &open.request.key else { return Ok(()) };
        let id = (node, key.scope.clone(), key.key.clone());
        self.answers.answered(id, !open.altered, &reply.outcome)
    }

    fn untouch(&mut self, command: &Command, outcome: &Outcome) {
        if matches!(outcome, Err(Refusal::OutcomeUnknown)) {
            return;
        }
        for id in reservations_of(command) {
            if let Some(count) = self.touching.get_mut(id) {
                *count -= 1;
            }
        }
    }

    fn check_movement(&self, kind: Kind, sku: &Sku) -> Checked {
        let of = |books: &Books| books.memory.moved(kind, sku);
        self.sales.check_rows(sku, kind, self.books.iter().map(of).sum())
    }

    fn check_movements(&self) -> Checked {
        let skus: BTreeSet<&Sku> = self.books.iter().flat_map(|books| books.memory.rows.keys()).collect();
        skus.into_iter()
            .try_for_each(|sku| Kind::ALL.iter().try_for_each(|kind| self.check_movement(*kind, sku)))
    }

    fn note_refusals(&mut self, command: &Command, outcome: &Outcome) {
        let claimed: Vec<_> = claims(outcome).collect();
        let unknown = matches!(outcome, Err(Refusal::OutcomeUnknown));
        for id in makes(command) {
            let accepted = claimed.iter().any(|claimed| claimed.reservation.id == *id);
            self.refusals.answered(id, if unknown { None } else { Some(accepted) });
        }
    }

    fn check_claim(&mut self, claimed: &Claimed, is_news: bool, clocks: &[Timestamp]) -> Checked {
        let (home, said) = (node_number(&claimed.node), &claimed.reservation);
        self.promises.made(home, said, &self.books[home].durable)?;
        let lines = said.lines.iter().map(|line| (line.sku.clone(), i128::from(line.quantity.0))).collect();
        match said.state {
            ReservationState::Confirmed => self.sales.sold(&said.id, home, lines),
            ReservationState::Held if is_news && self.is_settled(&said.id) => {
                self.deadlines.insert((said.id.clone(), home), said.deadline);
                self.sales.held(&said.id, home, lines);
            }
            _ => {}
        }
        self.let_expire(clocks);
        said.lines.iter().try_for_each(|line| self.sales.check(&line.sku))
    }

    /// Nothing is under way that could end it, and no second one of its id lets it be released.
    fn is_settled(&self, id: &ReservationId) -> bool {
        let holders = self.books.iter().filter(|books| books.memory.reservations.contains_key(id));
        self.touching.get(id).is_none_or(|count| *count == 0) && holders.count() == 1
    }

    fn let_expire(&mut self, clocks: &[Timestamp]) {
        let sales = &mut self.sales;
        self.deadlines.retain(|(id, home), deadline| {
            let live = clocks[*home] < *deadline;
            if !live {
                sales.not_held(id, *home);
            }
            live
        });
    }

    /// Everything that can only be said when all is quiet.
    ///
    /// # Errors
    /// When a promise is broken.
    pub fn check_end(&self) -> Checked {
        for (node, books) in self.books.iter().enumerate() {
            self.promises.check(node, &books.durable)?;
            self.refusals.check(&books.durable)?;
        }
        self.check_movements()
    }

    pub fn member(&self, node: usize) -> ReplicaId {
        self.members[node]
    }

    pub fn last_asked_by(&mut self, client: usize, id: &ReservationId) {
        self.last.insert(client, id.clone());
    }

    /// The reservations that clients asked for last.
    pub fn last_asked(&self) -> Vec<ReservationId> {
        self.last.values().cloned().collect()
    }

    /// Two nodes were asked for a reservation.
    ///
    /// # Errors
    /// When they disagree, with each other or with the disks.
    pub fn check_settled(&self, id: &ReservationId, said: [&Outcome; 2]) -> Checked {
        let owned = self.books.iter().filter_map(|books| books.durable.reservations.get(id));
        settled::check(id, said, &owned.collect::<Vec<_>>())
    }

    /// A page says that these items are sold out; the oldest row it knows is as of `from`.
    ///
    /// # Errors
    /// When units were free all along.
    pub fn check_pages(&self, node: usize, skus: &[Sku], from: Time, now: Time) -> Checked {
        let from = from.min(self.watches[node].durable_at(now));
        skus.iter().try_for_each(|sku| self.history.check_sold_out(sku, from, now))
    }

    /// Units of an item that are free at a host or on their way to one.
    pub fn free(&self, sku: &Sku) -> i128 {
        let row = |books: &'_ Books| books.memory.rows.get(sku).map_or(0, |row| row.not_claimed());
        self.books.iter().map(row).sum()
    }

    pub fn held(&self) -> usize {
        let held = |reservation: &&Reservation| reservation.state == ReservationState::Held;
        self.books.iter().map(|books| books.memory.reservations.values().filter(held).count()).sum()
    }
}
