//! Buyers who wait for rights, the asks that fetch them, and what a buyer is told in the end.
//!
//! While anybody waits for an item, every linked member is asked about it: for units, where some
//! are known to be free, and otherwise for its row, so that a refusal rests on rows heard after
//! the buyer came. At most one ask an item and member is under way, so a sold-out item costs one
//! message a round trip however many buyers there are.

use std::collections::{BTreeMap, BTreeSet};

use super::Replica;
use super::effects::Effects;
use super::jobs::{Job, JobId, Stage};
use super::rebalance::{Holder, Situation};
use crate::limits::{ASK_PAUSE, ASK_PAUSE_MAX, ASK_TIMEOUT, BALANCE_INTERVAL, FRESH, MAX_JOBS};
use crate::types::{
    ItemView, Line, Millis, NodeName, Rebalance, Refusal, ReplicaId, Shortfall, Sku, Timestamp, Units,
    Verdict,
};
use crate::wire::Message;
use crate::wire::message::{Ask, AskLine, MAX_ASK_LINES};

/// What is under way for the items that someone waits for.
#[derive(Debug, Default)]
pub struct Shortages {
    items: BTreeMap<Sku, Shortage>,
    /// Items about which something was heard or asked: their buyers are looked at again.
    news: BTreeSet<Sku>,
    /// Items whose asks must be planned anew at the end of the step.
    unplanned: BTreeSet<Sku>,
    /// Items to ask for again at a time.
    timers: BTreeSet<(Timestamp, Sku)>,
    /// Items that buyers asked for since the last look at the balance.
    sold: BTreeSet<Sku>,
    balance_at: Option<Timestamp>,
    /// Items with a pull ahead of need under way, and since when.
    pulls: BTreeMap<Sku, Timestamp>,
}

#[derive(Debug, Default)]
struct Shortage {
    members: BTreeMap<ReplicaId, Asked>,
}

/// How things stand with one member about one item.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// The open ask: when it was sent and what it needs.
    open: Option<(Timestamp, Units)>,
    /// Its row here is at least as new as this.
    heard: Option<Timestamp>,
    /// Not asked for units again before this.
    not_before: Timestamp,
    pause: Millis,
}

impl Shortages {
    pub fn news(&mut self, skus: impl Iterator<Item = Sku>) {
        self.news.extend(skus);
    }

    pub fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// Buyers asked for this item: its balance is worth a look soon.
    pub fn sold(&mut self, sku: &Sku) {
        self.sold.insert(sku.clone());
    }

    pub fn next_deadline(&self) -> Option<Timestamp> {
        [self.timers.first().map(|(time, _)| *time), self.balance_at].into_iter().flatten().min()
    }

    fn heard(&self, sku: &Sku, member: ReplicaId) -> Option<Timestamp> {
        self.items.get(sku)?.members.get(&member)?.heard
    }

    /// `member` answered an ask of `stamp` about `sku`; `gave` says how many units came with it.
    pub fn answered(&mut self, now: Timestamp, sku: &Sku, member: ReplicaId, stamp: Timestamp, gave: Units) {
        self.pulls.remove(sku);
        let Some(asked) = self.items.get_mut(sku).and_then(|s| s.members.get_mut(&member)) else { return };
        asked.heard = asked.heard.max(Some(stamp));
        let Some((sent, need)) = asked.open else { return };
        if stamp < sent {
            return;
        }
        asked.open = None;
        if gave >= need {
            asked.pause = Millis(0);
        } else {
            asked.pause = Millis((asked.pause.0 * 2).clamp(ASK_PAUSE.0, ASK_PAUSE_MAX.0));
            asked.not_before = now.after(asked.pause);
            self.timers.insert((asked.not_before, sku.clone()));
        }
        self.news.insert(sku.clone());
    }

    /// Asks to a member that went away will not be answered.
    pub fn lost_contact(&mut self, member: ReplicaId) {
        for (sku, shortage) in &mut self.items {
            if let Some(asked) = shortage.members.get_mut(&member) {
                asked.open = None;
                self.news.insert(sku.clone());
            }
        }
    }
}

/// What can be said about one short line.
struct Outlook {
    shortfall: Shortfall,
    /// No linked member can help, and nothing is on its way.
    hopeless: bool,
}

impl Replica {
    /// Whether a short job is worth keeping.
    pub(super) fn may_wait(&self, now: Timestamp, job: &Job, wanted: &[Line]) -> bool {
        now < job.patience
            && !job.is_batch()
            && self.jobs.len() < MAX_JOBS
            && self.links.any_up()
            && !wanted.iter().any(|line| self.is_short(line) && self.outlook(now, line, job.arrived).hopeless)
    }

    pub(super) fn park_waiting(&mut self, id: JobId, mut job: Job, wanted: Vec<Line>) {
        self.stats.waited += u64::from(job.wanted.is_empty());
        self.shortages.news(wanted.iter().map(|line| line.sku.clone()));
        job.wanted = wanted;
        job.stage = Stage::Waiting;
        let patience = job.patience;
        self.jobs.park(id, job, patience);
    }

    fn is_short(&self, line: &Line) -> bool {
        self.state.available_here(&line.sku) < line.quantity
    }

    pub(super) fn shortfall_refusal(&mut self, now: Timestamp, wanted: &[Line], expired: bool) -> Refusal {
        let since = now.before(FRESH);
        let short = wanted.iter().filter(|line| self.is_short(line));
        let shortfalls: Vec<_> = short.map(|line| self.outlook(now, line, since).shortfall).collect();
        for shortfall in &shortfalls {
            match shortfall.verdict {
                Verdict::SoldOut => self.stats.refused_sold_out += 1,
                Verdict::Elsewhere => self.stats.refused_elsewhere += 1,
                Verdict::Unknown => self.stats.refused_unknown += 1,
            }
        }
        if expired { Refusal::Expired(shortfalls) } else { Refusal::InsufficientStock(shortfalls) }
    }

    /// When `member`'s row about `sku` was last known to be current.
    fn heard_of(&self, sku: &Sku, member: ReplicaId) -> Option<Timestamp> {
        self.shortages.heard(sku, member).max(self.links.heard(member))
    }

    /// What the rows here say about a line, taking for known only what was heard after `since`.
    ///
    /// `sold_out` needs a closed view: every member's row heard since, no unit free in any, and
    /// for each pair no more credited than sent, nothing in flight. Then the rows are a
    /// consistent cut. Without the pair test a unit cancelled here and moved there between
    /// two readings would hide from both.
    fn outlook(&self, now: Timestamp, line: &Line, since: Timestamp) -> Outlook {
        let situation = self.situation(now, &line.sku);
        let here = self.state.available_here(&line.sku);
        let (mut elsewhere, mut reachable_spare) = (0u64, 0u64);
        let (mut as_of, mut all_linked_heard) = (now, true);
        let mut unreachable: Vec<NodeName> = Vec::new();
        for holder in &situation.others {
            let heard = self.heard_of(&line.sku, holder.replica);
            let is_heard = heard.is_some_and(|time| time >= since);
            all_linked_heard &= is_heard || !holder.linked;
            if is_heard {
                elsewhere = elsewhere.saturating_add(holder.available.0);
                as_of = as_of.min(heard.unwrap_or_default());
            } else {
                unreachable.push(self.state.name_of(holder.replica));
            }
            if holder.linked {
                reachable_spare = reachable_spare.saturating_add(holder.spare().0);
            }
        }
        unreachable.sort();
        let (closed, coming) = self.flights(&line.sku);
        let verdict = if unreachable.is_empty() && closed && here.is_zero() && elsewhere == 0 {
            Verdict::SoldOut
        } else if elsewhere > 0 {
            Verdict::Elsewhere
        } else {
            Verdict::Unknown
        };
        let help = if situation.manual { 0 } else { reachable_spare.min(situation.room().0) };
        let hopeless = all_linked_heard && !coming && line.quantity.0 > here.0.saturating_add(help);
        let shortfall = Shortfall {
            sku: line.sku.clone(),
            requested: line.quantity,
            available_here: here,
            verdict,
            elsewhere: Units(elsewhere),
            unreachable,
            as_of,
        };
        Outlook { shortfall, hopeless }
    }

    /// Whether the rows here pair up with nothing in flight; and whether something is on its
    /// way to a member that can be reached, or may be.
    fn flights(&self, sku: &Sku) -> (bool, bool) {
        let Some(item) = self.state.items.get(sku) else { return (true, false) };
        let (mut closed, mut coming) = (true, false);
        // Members without a row here too: what others have credited from one shows that its row
        // is late.
        for from in self.state.roster.keys() {
            for to in self.state.roster.keys().filter(|to| *to != from) {
                let nothing = item.in_flight(*from, *to) == Some(Units::ZERO);
                closed &= nothing;
                coming |= !nothing && (*to == self.state.me() || self.links.is_up(*to));
            }
        }
        (closed, coming)
    }

    /// An item as the policy sees it.
    pub(super) fn situation(&self, now: Timestamp, sku: &Sku) -> Situation {
        let item = self.state.items.get(sku);
        let policy = item.and_then(|item| item.policy());
        let holder = |replica: ReplicaId, name: &NodeName, linked: bool| {
            let row = item.and_then(|item| item.rows.get(&replica));
            Holder {
                replica,
                available: row.map_or(Units::ZERO, |row| row.spendable()),
                demand: row.map_or(0, |row| row.demand),
                quota: policy.and_then(|p| p.quotas.get(name)).copied().unwrap_or_default(),
                linked,
            }
        };
        let mut here = holder(self.state.me(), self.name(), true);
        here.demand = self.demand.milli(now, sku);
        let others = self.state.others().map(|m| holder(m.replica, &m.name, self.links.is_up(m.replica)));
        let manual = policy.is_some_and(|p| p.rebalance == Rebalance::Manual);
        Situation { here, others: others.collect(), manual }
    }

    /// What product pages shall see of an item.
    pub(super) fn view(&self, sku: &Sku) -> Option<ItemView> {
        let item = self.state.items.get(sku)?;
        let policy = item.policy()?;
        let here = self.state.available_here(sku);
        let everywhere: u64 = item.rows.values().fold(0, |sum, row| sum.saturating_add(row.spendable().0));
        let (closed, _) = self.flights(sku);
        let low_stock = policy.low_stock;
        Some(ItemView { sku: sku.clone(), here, everywhere: Units(everywhere), low_stock, closed })
    }

    /// Looks again at the buyers who wait for items that changed or of which something was heard.
    pub(super) fn retry_waiting(&mut self, now: Timestamp, touched: BTreeSet<Sku>, out: &mut Effects) {
        let mut skus = std::mem::take(&mut self.shortages.news);
        skus.extend(touched);
        let ids: BTreeSet<JobId> =
            skus.iter().flat_map(|sku| self.jobs.waiting_for(sku).map(|(id, _)| id)).collect();
        for id in ids {
            let Some(job) = self.jobs.get(id) else { continue };
            let ripe = !job.wanted.iter().any(|line| self.is_short(line));
            let hopeless = || {
                let mut short = job.wanted.iter().filter(|line| self.is_short(line));
                short.any(|line| self.outlook(now, line, job.arrived).hopeless)
            };
            if (ripe || hopeless())
                && let Some(job) = self.jobs.unpark(id)
            {
                self.run(now, id, job, out);
                // Being decided, it may have come to wait again; that is no news.
                self.shortages.news.clear();
            }
        }
        for sku in skus {
            if self.jobs.is_waited_for(&sku) {
                self.shortages.items.entry(sku.clone()).or_default();
                self.shortages.unplanned.insert(sku);
            } else {
                self.shortages.items.remove(&sku);
            }
        }
    }

    /// Sends the asks that the waiting buyers need, one message a member.
    pub(super) fn ask_for_missing(&mut self, now: Timestamp, out: &mut Effects) {
        let mut asks: BTreeMap<ReplicaId, (Vec<AskLine>, Timestamp)> = BTreeMap::new();
        for sku in std::mem::take(&mut self.shortages.unplanned) {
            self.plan(now, &sku, &mut asks);
        }
        for (member, (lines, since)) in asks {
            for part in lines.chunks(MAX_ASK_LINES) {
                self.send_ask(now, member, part.to_vec(), Some(since), out);
            }
        }
    }

    fn send_ask(
        &mut self,
        now: Timestamp,
        member: ReplicaId,
        lines: Vec<AskLine>,
        since: Option<Timestamp>,
        out: &mut Effects,
    ) {
        let id = self.number();
        self.stats.asks_sent += 1;
        self.send(member, Message::Ask(Ask { id, lines, stamp: now, since }), out);
    }

    /// Whom to ask now for one item.
    fn plan(&mut self, now: Timestamp, sku: &Sku, asks: &mut BTreeMap<ReplicaId, (Vec<AskLine>, Timestamp)>) {
        let situation = self.situation(now, sku);
        let claim = self.claim_of_waiting(sku);
        let Some((since, newest)) = claim.span else { return };
        let Some(shortage) = self.shortages.items.get_mut(sku) else { return };
        let mut need = claim.units.excess_over(situation.here.available);
        if need.is_zero() || situation.manual {
            need = Units::ZERO;
        }
        for asked in shortage.members.values_mut() {
            match asked.open {
                Some((sent, _)) if now >= sent.after(ASK_TIMEOUT) => asked.open = None,
                Some((_, open)) => need = need.excess_over(open),
                None => {}
            }
        }
        let state_of = |member: ReplicaId| shortage.members.get(&member).copied().unwrap_or_default();
        let usable =
            |member: ReplicaId| state_of(member).open.is_none() && now >= state_of(member).not_before;
        let donors: BTreeMap<ReplicaId, Units> = situation.donors(need, usable).into_iter().collect();
        let known: Units = Units(donors.values().map(|units| units.0).sum());
        // When all that is known to be free serves nobody, it is left where it is, and the rows
        // are asked for.
        let useless = situation.here.available.0.saturating_add(known.0) < claim.least.0;
        let unmet = need.excess_over(known).min(situation.room());
        let want = situation.top_up(need);
        for holder in situation.others.iter().filter(|h| h.linked) {
            let asked = shortage.members.entry(holder.replica).or_default();
            let unheard =
                asked.heard.max(self.links.heard(holder.replica)).is_none_or(|heard| heard < newest);
            let need = match donors.get(&holder.replica) {
                Some(part) if !useless => *part,
                Some(_) if unheard => Units::ZERO,
                Some(_) => continue,
                None if unheard && asked.open.is_none() => unmet,
                None => continue,
            };
            asked.open = Some((now, need));
            self.shortages.timers.insert((now.after(ASK_TIMEOUT), sku.clone()));
            let line = AskLine { sku: sku.clone(), need, want, demand: situation.here.demand };
            let (lines, earliest) = asks.entry(holder.replica).or_insert((Vec::new(), since));
            lines.push(line);
            *earliest = since.min(*earliest);
        }
    }

    /// What the buyers who wait here want of an item in all, and when the first and the last came.
    pub(super) fn claim_of_waiting(&self, sku: &Sku) -> Claim {
        let mut claim = Claim { units: Units::ZERO, least: Units(u64::MAX), span: None };
        for (_, job) in self.jobs.waiting_for(sku) {
            let wanted =
                job.wanted.iter().filter(|line| line.sku == *sku).map(|line| line.quantity.0).sum::<u64>();
            claim.least = claim.least.min(Units(wanted));
            claim.units = Units(claim.units.0.saturating_add(wanted));
            let (first, last) = claim.span.unwrap_or((job.arrived, job.arrived));
            claim.span = Some((first.min(job.arrived), last.max(job.arrived)));
        }
        claim
    }

    /// Items to ask for again, and items that sold and may run dry.
    pub(super) fn shortages_tick(&mut self, now: Timestamp, out: &mut Effects) {
        while let Some((time, sku)) = self.shortages.timers.first().cloned() {
            if time > now {
                break;
            }
            self.shortages.timers.remove(&(time, sku.clone()));
            if self.jobs.is_waited_for(&sku) {
                self.shortages.news.insert(sku);
            }
        }
        if self.shortages.balance_at.is_some_and(|time| time <= now) {
            self.shortages.balance_at = None;
            self.pull_ahead(now, out);
        }
        if !self.shortages.sold.is_empty() && self.shortages.balance_at.is_none() {
            self.shortages.balance_at = Some(now.after(BALANCE_INTERVAL));
        }
    }

    /// Pulls rights to items that sell here and run low.
    fn pull_ahead(&mut self, now: Timestamp, out: &mut Effects) {
        let mut asks: BTreeMap<ReplicaId, Vec<AskLine>> = BTreeMap::new();
        self.shortages.pulls.retain(|_, sent| now < sent.after(ASK_TIMEOUT));
        for sku in std::mem::take(&mut self.shortages.sold) {
            if self.shortages.pulls.contains_key(&sku) || self.jobs.is_waited_for(&sku) {
                continue;
            }
            let situation = self.situation(now, &sku);
            if let Some(pull) = situation.pull() {
                self.shortages.pulls.insert(sku.clone(), now);
                let demand = situation.here.demand;
                let line = AskLine { sku, need: Units::ZERO, want: pull.want, demand };
                asks.entry(pull.donor).or_default().push(line);
            }
        }
        for (donor, lines) in asks {
            for part in lines.chunks(MAX_ASK_LINES) {
                self.send_ask(now, donor, part.to_vec(), None, out);
            }
        }
    }
}

/// What waiting buyers want of an item.
pub struct Claim {
    pub units: Units,
    /// What the most modest of them wants.
    pub least: Units,
    pub span: Option<(Timestamp, Timestamp)>,
}
