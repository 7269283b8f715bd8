//! The durable state of a replica, and the one way to change it: [`State::apply`].
//!
//! `apply` cannot fail. It is the same code for a record just decided and for one read back
//! from the journal, so recovery is nothing but applying what was stored. Records hold
//! absolute values and versions, so one that is applied twice, or over a newer checkpoint,
//! changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use crdts::{CmRDT, Dot};

use super::escrow::{Row, UNBOUNDED};
use super::log::{Logs, NextSeq};
use super::marks::Ceilings;
use super::placed::Notes;
use super::requests::Requests;
use super::reservations::Reservations;
use super::transfers::sku_of;
use crate::limits::{FORGET_AT_ONCE, Limits};
use crate::planted::{self, Bug};
use crate::types::{
    Books, Cell, Millis, NodeBooks, NodeName, Policy, ReplicaId, Seq, Sku, Timestamp, Totals, Units,
};
use crate::wire::record::Allowance;
use crate::wire::{Body, Change, Entry, Genesis, Key, Member, Merge, Raise, Record, Setting};

/// One item: everybody's rows, and what admins set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// By owner. A replica without a row never had a unit.
    pub rows: BTreeMap<ReplicaId, Row>,
    /// The winning setting, by (time, replica). An item exists once it has one.
    pub setting: Option<(Timestamp, ReplicaId, Policy)>,
}

impl State {
    pub fn policy(&self, sku: &Sku) -> Option<&Policy> {
        self.items.get(sku)?.policy()
    }
}

impl Item {
    pub fn policy(&self) -> Option<&Policy> {
        self.setting.as_ref().map(|(_, _, policy)| policy)
    }

    /// The newest by (time, replica) wins, whatever order they come in.
    fn take_setting(&mut self, origin: ReplicaId, setting: &Setting) {
        let newer = self.setting.as_ref().is_none_or(|(time, by, _)| (setting.time, origin) > (*time, *by));
        if newer {
            self.setting = Some((setting.time, origin, setting.policy.clone()));
        }
    }

    /// Units sent from one to the other that are not credited yet; `None` when the receiver
    /// has credited more than the giver's row here says was sent: that row is late.
    pub fn in_flight(&self, from: ReplicaId, to: ReplicaId) -> Option<Units> {
        let sent = self.sent(from, to);
        let credited = self.rows.get(&to).map_or(Units::ZERO, |row| row.credited_from(from));
        if planted::is_on(Bug::SaturationHides) {
            return Some(sent.excess_over(credited));
        }
        sent.minus(credited)
    }

    /// What others gave to a member and it has not taken in, by the rows that are here.
    pub fn coming_to(&self, member: ReplicaId) -> Units {
        let credited = |from| self.rows.get(&member).map_or(Units::ZERO, |row| row.credited_from(from));
        let given = self.rows.iter().map(|(from, row)| (from, row.sent_to(member)));
        let coming = given.filter(|(_, sent)| !sent.is_zero());
        let coming = coming.map(|(from, sent)| sent.excess_over(credited(*from)));
        Units(coming.map(|units| units.0).fold(0, u64::saturating_add))
    }

    /// The pairs (giver, receiver) between which units moved, by either's row: also those whose
    /// other row is not here yet. Each once.
    pub fn pairs(&self) -> impl Iterator<Item = (ReplicaId, ReplicaId)> + '_ {
        self.rows.iter().flat_map(move |(owner, row)| {
            let owner = *owner;
            row.cells().filter_map(move |cell| match cell.cell {
                Cell::Sent(to) => Some((owner, to)),
                // Else the giver's row has the pair.
                Cell::Credited(from) if self.sent(from, owner).is_zero() => Some((from, owner)),
                _ => None,
            })
        })
    }

    fn sent(&self, from: ReplicaId, to: ReplicaId) -> Units {
        self.rows.get(&from).map_or(Units::ZERO, |row| row.sent_to(to))
    }

    /// Whether a receiver's row here rests on a giver's row that is not.
    pub fn is_late(&self) -> bool {
        self.pairs().any(|(from, to)| self.in_flight(from, to).is_none())
    }
}

/// Everything a restart must bring back.
#[derive(Clone, Debug)]
pub struct State {
    pub genesis: Genesis,
    /// Members by id.
    pub roster: BTreeMap<ReplicaId, Member>,
    pub items: BTreeMap<Sku, Item>,
    pub logs: Logs,
    pub reservations: Reservations,
    pub requests: Requests,
    /// Reservations that other members decide about.
    pub notes: Notes,
    /// The newest ledger time in any record.
    pub time: Timestamp,
    limits: Limits,
    /// What peers have not confirmed yet of the own rows' marks.
    pub ceilings: Ceilings,
    /// Items changed since [`State::take_touched`].
    touched: BTreeSet<Sku>,
}

impl State {
    pub fn new(genesis: Genesis, limits: Limits) -> State {
        let roster: BTreeMap<_, _> = genesis.founders.iter().map(|m| (m.replica, m.clone())).collect();
        let mut logs = Logs::new();
        for replica in roster.keys().chain([&genesis.replica]) {
            logs.entry(*replica).or_default();
        }
        State {
            genesis,
            roster,
            items: BTreeMap::new(),
            logs,
            reservations: Reservations::default(),
            requests: Requests::default(),
            notes: Notes::default(),
            time: Timestamp::ZERO,
            limits,
            ceilings: Ceilings::default(),
            touched: BTreeSet::new(),
        }
    }

    pub fn me(&self) -> ReplicaId {
        self.genesis.replica
    }

    /// What is remembered beyond them is forgotten with the next records.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    pub fn next_seq(&self) -> NextSeq {
        NextSeq(self.own_watermark())
    }

    pub fn own_watermark(&self) -> Seq {
        self.logs[&self.me()].watermark
    }

    /// The nonce of the running session; 0 before the first.
    pub fn session(&self) -> u64 {
        self.logs[&self.me()].session.map_or(0, |s| s.nonce)
    }

    /// The other members.
    pub fn others(&self) -> impl Iterator<Item = &Member> {
        let me = self.me();
        self.roster.values().filter(move |member| member.replica != me)
    }

    pub fn member_named(&self, name: &NodeName) -> Option<&Member> {
        self.roster.values().find(|member| member.name == *name)
    }

    /// The name to show for a replica; its id when it is no member.
    pub fn name_of(&self, replica: ReplicaId) -> NodeName {
        match self.roster.get(&replica) {
            Some(member) => member.name.clone(),
            None => NodeName::new(&replica.to_string()).expect("a UUID has the form of a name"),
        }
    }

    pub fn own_row(&self, sku: &Sku) -> Option<&Row> {
        self.items.get(sku)?.rows.get(&self.me())
    }

    /// Units of `sku` that this replica may spend now.
    pub fn available_here(&self, sku: &Sku) -> Units {
        self.own_row(sku).map_or(Units::ZERO, |row| row.spendable(self.limit(sku, row)))
    }

    /// Units of `sku` that this replica has a right to, also those above its limit.
    pub fn rights_here(&self, sku: &Sku) -> Units {
        self.own_row(sku).map_or(Units::ZERO, Row::available)
    }

    /// Items changed since the last call.
    pub fn take_touched(&mut self) -> BTreeSet<Sku> {
        std::mem::take(&mut self.touched)
    }

    /// Changes the state as the record says.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Genesis(_) => {}
            Record::Change(change) => self.apply_change(change),
            Record::Merge(merge) => self.apply_merge(merge),
            Record::Own(entries) => entries.iter().for_each(|entry| self.apply_own(entry)),
            Record::Reservation(reservation) => self.reservations.put(reservation.clone()),
            Record::Request(request) => self.requests.put(*request.clone()),
            Record::Placed(note) => self.notes.put(note),
            Record::Watermark { origin, upto } => self.claim(*origin, *upto),
        }
    }

    fn apply_change(&mut self, change: &Change) {
        self.time = self.time.max(change.time);
        change.rows.iter().for_each(|raise| self.apply_raise(raise));
        change.entries.iter().for_each(|entry| self.apply_own(entry));
        if let Some(reservation) = &change.reservation {
            self.reservations.put(reservation.clone());
        }
        if let Some(request) = &change.request {
            self.requests.put(request.clone());
        }
        if let Some(note) = &change.placed {
            self.notes.put(note);
        }
        self.forget();
    }

    fn apply_raise(&mut self, raise: &Raise) {
        let (me, session) = (self.me(), self.session());
        let row = self.items.entry(raise.sku.clone()).or_default().rows.entry(me).or_default();
        if raise.seq <= row.seq {
            return;
        }
        let old = row.seq;
        raise_row(row, raise, session);
        debug_assert!(row.validate().is_ok(), "an own row stays balanced: {row:?}");
        let (mark, limit) = (row.mark, row.limit);
        self.ceilings.set(&raise.sku, raise.seq, mark, limit);
        self.log(me).moved(Key::Item(raise.sku.clone()), old, raise.seq);
        self.claim(me, raise.seq);
        self.touched.insert(raise.sku.clone());
    }

    fn apply_own(&mut self, entry: &Entry) {
        self.take_entry(entry);
        if let Some(row) = sku_of(entry).and_then(|sku| self.own_row(sku)) {
            let (seq, (mark, limit)) = (row.seq, (row.mark, row.limit));
            sku_of(entry).into_iter().for_each(|sku| self.ceilings.set(sku, seq, mark, limit));
        }
        self.claim(entry.origin, entry.seq);
    }

    fn apply_merge(&mut self, merge: &Merge) {
        merge.entries.iter().for_each(|entry| self.take_entry(entry));
        if let Some(claim) = merge.claim {
            self.claim(claim.origin, claim.upto);
        }
    }

    /// Takes an entry unless a newer version of its key is here.
    fn take_entry(&mut self, entry: &Entry) {
        match (&entry.key, &entry.body) {
            (Key::Item(sku), Body::Item(body)) => {
                let item = self.items.entry(sku.clone()).or_default();
                let row = item.rows.entry(entry.origin).or_default();
                if entry.seq <= row.seq && !planted::is_on(Bug::ShrinkingRowAccepted) {
                    return;
                }
                let old = row.seq;
                if planted::is_on(Bug::AddOnMerge) {
                    row.seq = entry.seq;
                    body.cells
                        .iter()
                        .for_each(|c| row.apply(Dot::new(c.cell, row.count(c.cell).0 + c.value)));
                } else {
                    *row = Row::from_body(entry.seq, entry.session, body);
                }
                self.log(entry.origin).moved(entry.key.clone(), old, entry.seq);
                self.touched.insert(sku.clone());
            }
            (Key::Setting(sku), Body::Setting(setting)) => {
                if self.log(entry.origin).take(entry) {
                    self.take_setting(sku, entry.origin, setting);
                }
            }
            (Key::Member(_), Body::Member(member)) => {
                if self.log(entry.origin).take(entry) {
                    self.roster.insert(member.replica, member.clone());
                    self.log(member.replica);
                }
            }
            _ => {
                self.log(entry.origin).take(entry);
            }
        }
    }

    fn take_setting(&mut self, sku: &Sku, origin: ReplicaId, setting: &Setting) {
        self.items.entry(sku.clone()).or_default().take_setting(origin, setting);
        self.touched.insert(sku.clone());
    }

    /// Something is new about an item, though no row of it changed.
    pub fn touch(&mut self, sku: Sku) {
        self.touched.insert(sku);
    }

    fn log(&mut self, origin: ReplicaId) -> &mut super::log::Log {
        self.logs.entry(origin).or_default()
    }

    fn claim(&mut self, origin: ReplicaId, upto: Seq) {
        let log = self.log(origin);
        log.watermark = log.watermark.max(upto);
    }

    /// Forgets what may be forgotten by now. Runs on ledger time as recorded, so that a replay
    /// forgets what the live run forgot.
    fn forget(&mut self) {
        let limits = self.limits;
        for _ in 0..FORGET_AT_ONCE {
            let Some(oldest) = self.oldest() else { return };
            let age = self.time.since(oldest);
            let remember_for = match planted::is_on(Bug::DedupPrunedEarly) {
                true => Millis(limits.remember_for.0 / 60_000),
                false => limits.remember_for,
            };
            let too_old = age > remember_for;
            let too_many = self.remembered_bytes() > limits.remember_max_bytes && age >= limits.min_horizon;
            if !too_old && !too_many {
                return;
            }
            if self.requests.oldest() == Some(oldest) {
                self.requests.forget_oldest();
            } else if self.reservations.oldest_ended() == Some(oldest) {
                self.reservations.forget_oldest_ended();
            } else {
                self.notes.forget_oldest();
            }
        }
    }

    /// Since when the longest remembered thing could be forgotten.
    fn oldest(&self) -> Option<Timestamp> {
        let all = [self.requests.oldest(), self.reservations.oldest_ended(), self.notes.oldest()];
        all.into_iter().flatten().min()
    }

    /// Bytes that reservations, remembered requests and notes take, about.
    pub fn remembered_bytes(&self) -> u64 {
        self.requests.bytes() + self.reservations.bytes() + self.notes.bytes()
    }

    /// For how long things are remembered at present.
    pub fn horizon(&self) -> Millis {
        if self.remembered_bytes() < self.limits.remember_max_bytes {
            return self.limits.remember_for;
        }
        self.oldest().map_or(self.limits.remember_for, |time| self.time.since(time))
    }

    /// Whether something new can be remembered without forgetting what is too young.
    pub fn has_room(&self, now: Timestamp) -> bool {
        if self.remembered_bytes() < self.limits.remember_max_bytes {
            return true;
        }
        self.oldest().is_some_and(|time| now.since(time) >= self.limits.min_horizon)
    }

    /// A key's newest version in `origin`'s log, as it is known here.
    pub fn entry(&self, origin: ReplicaId, key: &Key) -> Option<Entry> {
        let Key::Item(sku) = key else { return self.logs.get(&origin)?.other(key).cloned() };
        let row = self.items.get(sku)?.rows.get(&origin)?;
        let body = Body::Item(row.body());
        Some(Entry { origin, session: row.session, seq: row.seq, key: key.clone(), body })
    }

    /// An item's books; `heard` says how fresh a replica's rows are.
    pub fn books(&self, sku: &Sku, heard: impl Fn(ReplicaId) -> Timestamp) -> Option<Books> {
        self.books_of(sku, self.items.get(sku)?, heard)
    }

    /// An item's books as they will be once `change` is applied.
    pub fn books_after(
        &self,
        sku: &Sku,
        change: &Change,
        heard: impl Fn(ReplicaId) -> Timestamp,
    ) -> Option<Books> {
        let mut item = self.items.get(sku).cloned().unwrap_or_default();
        for raise in change.rows.iter().filter(|raise| raise.sku == *sku) {
            raise_row(item.rows.entry(self.me()).or_default(), raise, self.session());
        }
        for entry in &change.entries {
            if let (Key::Setting(of), Body::Setting(setting)) = (&entry.key, &entry.body)
                && of == sku
            {
                item.take_setting(entry.origin, setting);
            }
        }
        self.books_of(sku, &item, heard)
    }

    fn books_of(&self, sku: &Sku, item: &Item, heard: impl Fn(ReplicaId) -> Timestamp) -> Option<Books> {
        let policy = item.policy()?.clone();
        let none = Row::default();
        let row = |member: &Member| item.rows.get(&member.replica).unwrap_or(&none);
        let mut members: Vec<&Member> = self.roster.values().collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let limit = |m: &Member| if m.replica == self.me() { self.limit(sku, row(m)) } else { row(m).limit };
        let books = |m: &Member| node_books(m, row(m), limit(m), heard(m.replica));
        let nodes = members.into_iter().filter_map(books).collect();
        let (totals, balanced) = totals(item);
        Some(Books { sku: sku.clone(), policy, balanced, totals, nodes, last_refusal: None })
    }
}

fn node_books(member: &Member, row: &Row, limit: u64, as_of: Timestamp) -> Option<NodeBooks> {
    use crate::types::Cell::{Received, Retired, Returned, Sold, Taken};
    let bounded = |bound: u64| (bound != UNBOUNDED).then_some(Units(bound));
    let balances = row.balances().ok()?;
    Some(NodeBooks {
        node: member.name.clone(),
        region: member.region.clone(),
        replica_id: member.replica,
        received: row.count(Received),
        returned: row.count(Returned),
        retired: row.count(Retired),
        sold: row.count(Sold),
        held: balances.held,
        available: balances.available,
        given: balances.credited,
        sent: balances.sent,
        as_of,
        taken: row.count(Taken),
        mark: bounded(row.mark),
        limit: bounded(limit),
    })
}

fn raise_row(row: &mut Row, raise: &Raise, session: u64) {
    row.seq = raise.seq;
    row.session = session;
    row.demand = raise.demand.unwrap_or_default();
    let unbounded = Allowance { mark: UNBOUNDED, limit: UNBOUNDED, q: 0 };
    let Allowance { mark, limit, q } = raise.allowance.unwrap_or(unbounded);
    (row.mark, row.limit, row.q) = (mark, limit, q);
    for raised in &raise.cells {
        row.apply(Dot::new(raised.new.cell, raised.new.value));
    }
}

/// Sums over all rows, and whether they balance: with every row here on which another rests.
pub fn totals(item: &Item) -> (Totals, bool) {
    match try_totals(item) {
        Some(totals) => {
            let left =
                i128::from(totals.received.0) + i128::from(totals.returned.0) - i128::from(totals.retired.0);
            let right = [totals.sold, totals.held, totals.available, totals.in_flight];
            let right: i128 = right.iter().map(|units| i128::from(units.0)).sum();
            (totals, left == right)
        }
        None => (Totals::default(), false),
    }
}

/// `None` when a row is late, contradicts itself, or a sum does not fit.
fn try_totals(item: &Item) -> Option<Totals> {
    use crate::types::Cell::{Received, Retired, Returned, Sold};
    let mut totals = Totals::default();
    let add = |sum: &mut Units, more: Units| {
        *sum = sum.plus(more).ok()?;
        Some(())
    };
    for row in item.rows.values() {
        let balances = row.balances().ok()?;
        add(&mut totals.received, row.count(Received))?;
        add(&mut totals.returned, row.count(Returned))?;
        add(&mut totals.retired, row.count(Retired))?;
        add(&mut totals.sold, row.count(Sold))?;
        add(&mut totals.held, balances.held)?;
        add(&mut totals.available, balances.available)?;
    }
    for (from, to) in item.pairs() {
        add(&mut totals.in_flight, item.in_flight(from, to)?)?;
    }
    Some(totals)
}
