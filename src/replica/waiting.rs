//! Buyers who wait for rights, the asks that fetch them, and what a buyer is told in the end.
//!
//! While anybody waits for an item, every linked member is asked about it: for units, where some
//! are known to be free, and otherwise for its row, so that a refusal rests on rows heard after
//! the buyer came. At most one ask an item and member is under way, so a sold-out item costs one
//! message a round trip however many buyers there are.

use std::collections::{BTreeMap, BTreeSet};

use super::Replica;
use super::effects::Effects;
use super::escrow::Row;
use super::jobs::{Job, JobId, Stage};
use super::rebalance::{Holder, Owed, Situation};
use super::verdict::Prospect;
use crate::limits::{
    ASK_PAUSE, ASK_PAUSE_MAX, ASK_TIMEOUT, BALANCE_AT_ONCE, BALANCE_INTERVAL, LOOK_PAUSE_MAX, MAX_JOBS,
    MAX_WAITING_FOR_ITEM, PULL_PAUSE, SETTLE_FOR,
};
use crate::planted::{self, Bug};
use crate::types::{Gauge, Line, Millis, NodeName, Policy, Rebalance, ReplicaId, Sku, Timestamp, Units};
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
    /// Items whose balance is to be looked at.
    stirred: BTreeSet<Sku>,
    /// Those of them of which units came in here that are no peer's answer: others may need some.
    supplied: BTreeSet<Sku>,
    balance_at: Option<Timestamp>,
    /// Items with a pull ahead of need under way, or one that was in vain: none before this.
    pulls: BTreeMap<Sku, Timestamp>,
    /// Items of which an admin changed what is wanted: until then all is asked for that lacks, not
    /// only when little is left. What could not be had, or asked for, is when a link comes up.
    settling: BTreeMap<Sku, Timestamp>,
    /// Items of which a quota or a launch wants more here than there is. They are looked at again
    /// when a link comes up, and most of them besides: no buyer's order may ever be the occasion,
    /// and an ask may be lost, or have come when nobody had any to spare.
    owed: BTreeMap<Sku, Look>,
    looks: BTreeSet<(Timestamp, Sku)>,
}

/// The next look at what is owed, and the pause before it.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    at: Timestamp,
    pause: Millis,
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
    /// Not asked for its row again before this: its last answer did not bring it.
    no_row_before: Timestamp,
}

/// What came of an ask for one item.
#[derive(Clone, Copy, Debug)]
pub struct AskAnswer {
    /// The row is here as the giver sent it. (One of a session not heard of yet is not taken in.)
    pub is_heard: bool,
    pub gave: Units,
}

impl Shortages {
    pub fn news(&mut self, skus: impl Iterator<Item = Sku>) {
        self.news.extend(skus);
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// The balance of this item is worth a look soon.
    pub fn stir(&mut self, now: Timestamp, sku: &Sku) {
        if !self.stirred.contains(sku) {
            self.stirred.insert(sku.clone());
        }
        self.balance_at.get_or_insert(now.after(BALANCE_INTERVAL));
    }

    /// It is, because units came in here.
    pub fn supplied(&mut self, now: Timestamp, sku: &Sku) {
        self.supplied.insert(sku.clone());
        self.stir(now, sku);
    }

    /// It is, because an admin changed what is wanted: whatever was tried before is begun anew.
    pub fn begin_settling(&mut self, now: Timestamp, sku: &Sku) {
        self.forget_owed(sku);
        self.pulls.remove(sku);
        self.settling.insert(sku.clone(), now.after(SETTLE_FOR));
        self.stir(now, sku);
    }

    fn is_settling(&self, now: Timestamp, sku: &Sku) -> bool {
        self.settling.get(sku).is_some_and(|until| now < *until)
    }

    fn forget_owed(&mut self, sku: &Sku) {
        if let Some(look) = self.owed.remove(sku) {
            self.looks.remove(&(look.at, sku.clone()));
        }
    }

    /// A floor is looked at until it is filled, with a growing pause; what an admin changed for a
    /// while, for others may hear of it after the ask. For a launch, which only guesses at what
    /// buyers will do, the next look is theirs. `all_linked`: everybody could be asked.
    fn note_owed(&mut self, now: Timestamp, sku: &Sku, owed: Owed, all_linked: bool) {
        let until = match owed {
            Owed::Floor => Timestamp(u64::MAX),
            Owed::Setting => self.settling.get(sku).copied().unwrap_or_default(),
            Owed::Launch | Owed::Nothing => {
                self.forget_owed(sku);
                if all_linked {
                    self.settling.remove(sku);
                }
                Timestamp::ZERO
            }
        };
        if owed == Owed::Nothing {
            return;
        }
        let look = self.owed.entry(sku.clone()).or_default();
        let pause = Millis((look.pause.0 * 2).clamp(PULL_PAUSE.0, LOOK_PAUSE_MAX.0));
        if look.at <= now && now.after(pause) < until {
            *look = Look { at: now.after(pause), pause };
            self.looks.insert((look.at, sku.clone()));
        }
    }

    /// A member can be asked again: it may have what is owed.
    pub fn linked(&mut self, now: Timestamp) {
        self.looks.clear();
        for sku in std::mem::take(&mut self.owed).into_keys() {
            self.stir(now, &sku);
        }
        for sku in std::mem::take(&mut self.settling).into_keys() {
            self.begin_settling(now, &sku);
        }
    }

    pub fn next_deadline(&self) -> Option<Timestamp> {
        let first = |timers: &BTreeSet<(Timestamp, Sku)>| timers.first().map(|(time, _)| *time);
        [first(&self.timers), first(&self.looks), self.balance_at].into_iter().flatten().min()
    }

    pub fn heard(&self, sku: &Sku, member: ReplicaId) -> Option<Timestamp> {
        self.items.get(sku)?.members.get(&member)?.heard
    }

    /// `member` answered the ask of `stamp` about `sku`.
    pub fn answered(
        &mut self,
        now: Timestamp,
        sku: &Sku,
        member: ReplicaId,
        stamp: Timestamp,
        answer: &AskAnswer,
    ) {
        if let Some(pause) = self.pulls.get_mut(sku) {
            *pause = if answer.gave.is_zero() { now.after(PULL_PAUSE) } else { now };
        }
        let Some(asked) = self.items.get_mut(sku).and_then(|s| s.members.get_mut(&member)) else { return };
        if answer.is_heard {
            asked.heard = asked.heard.max(Some(stamp));
        } else {
            asked.no_row_before = now.after(ASK_PAUSE);
            self.timers.insert((asked.no_row_before, sku.clone()));
        }
        let Some((sent, need)) = asked.open else { return };
        if stamp < sent {
            return;
        }
        asked.open = None;
        if answer.gave >= need || planted::is_on(Bug::ThrottleOff) {
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

impl Replica {
    /// Whether a short job is worth keeping.
    pub(super) fn may_wait(&self, now: Timestamp, job: &Job, wanted: &[Line]) -> bool {
        now < job.patience
            && !job.is_batch()
            // What came for one buyer would be handed over before the next one's came.
            && !self.is_draining()
            && self.jobs.len() < MAX_JOBS
            && self.links.any_up()
            && wanted.iter().filter(|line| self.is_short(line)).all(|line| {
                self.jobs.waiting_count(&line.sku) < MAX_WAITING_FOR_ITEM
                    && !self.prospect(now, &line.sku).is_hopeless(line, job.arrived)
            })
    }

    pub(super) fn park_waiting(&mut self, id: JobId, mut job: Job, mut wanted: Vec<Line>) {
        self.stats.waited += u64::from(job.wanted.is_empty());
        // It was judged just now; what is left to do is to ask for what it lacks.
        for line in &wanted {
            self.shortages.items.entry(line.sku.clone()).or_default();
            self.shortages.unplanned.insert(line.sku.clone());
        }
        wanted.sort_unstable_by(|a, b| a.sku.cmp(&b.sku));
        job.wanted = wanted;
        job.stage = Stage::Waiting;
        let patience = job.patience;
        self.jobs.park(id, job, patience);
    }

    pub(super) fn is_short(&self, line: &Line) -> bool {
        self.state.rights_here(&line.sku) < line.quantity
    }

    /// An item as the policy sees it.
    pub(super) fn situation(&self, now: Timestamp, sku: &Sku) -> Situation {
        let item = self.state.items.get(sku);
        let policy = item.and_then(|item| item.policy());
        let launch = policy.and_then(|p| p.launch.as_ref()).filter(|launch| now < launch.until);
        let holder = |replica: ReplicaId, name: &NodeName| {
            let row = item.and_then(|item| item.rows.get(&replica));
            let demand = row.map_or(Gauge::default(), |row| row.demand);
            // What was on its way for long is no silence.
            let as_of = self.links.heard(replica).unwrap_or(now).min(now);
            let busy = self.links.demand_of(replica);
            Holder {
                replica,
                available: row.map_or(Units::ZERO, Row::available),
                coming: item.map_or(Units::ZERO, |item| item.coming_to(replica)),
                demand,
                rate: demand.rate(as_of),
                busy: (busy.rate(as_of), busy.weight()),
                expected: launch.map(|l| l.expected.get(name).copied().unwrap_or_default()),
                quota: policy.and_then(|p| p.quotas.get(name)).copied().unwrap_or_default(),
                linked: self.links.is_up(replica),
                draining: self.state.is_draining(replica),
                round_trip: self.links.round_trip(replica),
                share: 0.0,
            }
        };
        let buyers = self.buyers(sku);
        let here = holder(self.state.me(), self.name());
        let here = Holder {
            demand: buyers.gauge,
            rate: buyers.gauge.rate(now),
            busy: (self.demand.all().rate(now), self.demand.all().weight()),
            linked: true,
            round_trip: Millis(0),
            ..here
        };
        let others = self.state.others().map(|m| holder(m.replica, &m.name)).collect();
        let manual = policy.is_some_and(|p| p.rebalance == Rebalance::Manual);
        Situation::new(here, others, manual, &buyers)
    }

    /// Looks again at the buyers who wait for items that changed or of which something was heard.
    pub(super) fn retry_waiting(&mut self, now: Timestamp, touched: BTreeSet<Sku>, out: &mut Effects) {
        let mut skus = std::mem::take(&mut self.shortages.news);
        skus.extend(touched);
        let prospects: BTreeMap<&Sku, Prospect> = skus
            .iter()
            .filter(|sku| self.jobs.is_waited_for(sku))
            .map(|sku| (sku, self.prospect(now, sku)))
            .collect();
        // A basket that waits for several of them is looked at once.
        let concerned: BTreeMap<JobId, &Job> =
            prospects.keys().flat_map(|sku| self.jobs.waiting_for(sku)).collect();
        let decidable = concerned.into_iter().filter(|(_, job)| self.is_decidable(job, &prospects));
        let decidable: Vec<JobId> = decidable.map(|(id, _)| id).collect();
        for id in decidable {
            let Some(job) = self.jobs.unpark(id) else { continue };
            let wanted: Vec<Sku> = job.wanted.iter().map(|line| line.sku.clone()).collect();
            if self.budget == 0 {
                // Enough for one step; a tick that is due at once goes on from here.
                self.shortages.timers.extend(wanted.into_iter().map(|sku| (now, sku)));
                let patience = job.patience;
                self.jobs.park(id, job, patience);
                continue;
            }
            self.budget = self.budget.saturating_sub(wanted.len());
            skus.extend(wanted);
            self.run(now, id, job, out);
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

    /// Whether a waiting job can be answered, now that something is new about the items of
    /// `prospects`. Only those of its lines are judged: the others are as they were.
    fn is_decidable(&self, job: &Job, prospects: &BTreeMap<&Sku, Prospect>) -> bool {
        let mut any_short = false;
        for line in &job.wanted {
            if let Some(prospect) = prospects.get(&line.sku)
                && prospect.here < line.quantity
            {
                any_short = true;
                if prospect.is_hopeless(line, job.arrived) {
                    return true;
                }
            }
        }
        !any_short && !job.wanted.iter().any(|line| self.is_short(line) || self.is_capped(line))
    }

    /// Sends the asks that the waiting buyers need, one message a member.
    pub(super) fn ask_for_missing(&mut self, now: Timestamp, out: &mut Effects) {
        let mut asks: BTreeMap<ReplicaId, (Vec<AskLine>, Timestamp)> = BTreeMap::new();
        for sku in std::mem::take(&mut self.shortages.unplanned) {
            self.make_room_for_waiting(now, &sku, out);
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

    /// What to say to `donor` about an item.
    pub(super) fn ask_line(&self, sku: &Sku, donor: ReplicaId, need: Units, want: Units) -> AskLine {
        let row = self.state.items.get(sku).and_then(|item| item.rows.get(&donor));
        let seen = row.map_or(Units::ZERO, |row| row.sent_to(self.state.me()));
        AskLine { sku: sku.clone(), need, want, demand: Some(self.buyers(sku).gauge), seen: Some(seen) }
    }

    /// Whom to ask now for one item.
    fn plan(&mut self, now: Timestamp, sku: &Sku, asks: &mut BTreeMap<ReplicaId, (Vec<AskLine>, Timestamp)>) {
        let claim = self.claim_of_waiting(sku);
        let Some((since, newest)) = claim.span else { return };
        if claim.units <= self.state.rights_here(sku) {
            // Another line of theirs is short, or this one capped.
            return;
        }
        let situation = self.situation(now, sku);
        let Some(shortage) = self.shortages.items.get_mut(sku) else { return };
        let mut need = claim.units.excess_over(situation.here.available);
        if situation.manual {
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
        let donors = situation.donors(need, claim.patience.since(now), usable);
        let donors: BTreeMap<ReplicaId, Units> = donors.iter().map(|p| (p.member, p.units)).collect();
        let known: Units = Units(donors.values().map(|units| units.0).sum());
        // When all that is known to be free serves nobody, it is left where it is, and the rows
        // are asked for.
        let useless = situation.here.available.0.saturating_add(known.0) < claim.least.0;
        let unmet = need.excess_over(known).min(situation.room());
        let wishes = if useless { BTreeMap::new() } else { situation.wishes(need, &donors) };
        // What is known to be free, or is asked for already, will do: nobody need be asked for a row.
        let is_covered = unmet.is_zero() && !useless && !situation.manual;
        let mut chosen = Vec::new();
        for holder in situation.others.iter().filter(|h| h.linked) {
            let asked = shortage.members.entry(holder.replica).or_default();
            let usable_now = asked.open.is_none() && now >= asked.not_before;
            let unheard =
                asked.heard.max(self.links.heard(holder.replica)).is_none_or(|heard| heard < newest);
            let want = wishes.get(&holder.replica).copied().unwrap_or_default();
            let need = match donors.get(&holder.replica) {
                Some(part) if !useless => *part,
                Some(_) if unheard && now >= asked.no_row_before => Units::ZERO,
                Some(_) => continue,
                None if !want.is_zero() && usable_now => Units::ZERO,
                None if is_covered => continue,
                None if unheard && asked.open.is_none() && now >= asked.no_row_before => unmet,
                None => continue,
            };
            asked.open = Some((now, need));
            self.shortages.timers.insert((now.after(ASK_TIMEOUT), sku.clone()));
            chosen.push((holder.replica, need, want));
        }
        for (donor, need, want) in chosen {
            let (lines, earliest) = asks.entry(donor).or_insert((Vec::new(), since));
            lines.push(self.ask_line(sku, donor, need, want));
            *earliest = since.min(*earliest);
        }
    }

    /// What the buyers who wait here want of an item in all, and when the first and the last came.
    pub(super) fn claim_of_waiting(&self, sku: &Sku) -> Claim {
        let mut claim = Claim {
            units: Units::ZERO,
            least: Units(u64::MAX),
            most: Units::ZERO,
            span: None,
            patience: Timestamp::ZERO,
        };
        for (_, job) in self.jobs.waiting_for(sku) {
            let wanted =
                job.wanted_of(sku).iter().map(|line| line.quantity.0).fold(0u64, u64::saturating_add);
            claim.least = claim.least.min(Units(wanted));
            claim.most = claim.most.max(Units(wanted));
            claim.patience = claim.patience.max(job.patience);
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
        while self.shortages.looks.first().is_some_and(|(time, _)| *time <= now) {
            let Some((_, sku)) = self.shortages.looks.pop_first() else { break };
            if self.shortages.is_settling(now, &sku) {
                self.shortages.pulls.remove(&sku);
            }
            self.shortages.stir(now, &sku);
        }
        if self.shortages.balance_at.is_some_and(|time| time <= now) {
            self.shortages.balance_at = None;
            self.balance(now, out);
        }
    }

    /// Looks at every item that a quota or a launch wants something of here.
    pub(super) fn look_at_owed(&mut self, now: Timestamp) {
        let items = self.state.items.iter();
        let items = items.filter(|(_, item)| item.policy().is_some_and(Policy::names_nodes));
        let skus: Vec<Sku> = items.map(|(sku, _)| sku.clone()).collect();
        skus.iter().for_each(|sku| self.shortages.begin_settling(now, sku));
    }

    /// Looks at items that were stirred: pulls rights that are low here, and gives unasked to members
    /// that are low.
    fn balance(&mut self, now: Timestamp, out: &mut Effects) {
        let mut asks: BTreeMap<ReplicaId, Vec<AskLine>> = BTreeMap::new();
        self.shortages.pulls.retain(|_, not_before| now < *not_before);
        let all_linked = self.links.count_up() == self.state.others().count();
        for _ in 0..BALANCE_AT_ONCE {
            let Some(sku) = self.shortages.stirred.pop_first() else { break };
            let mut situation = self.situation(now, &sku);
            situation.settling = self.shortages.is_settling(now, &sku);
            // All who lack anything by a new quota ask for it themselves: given unasked as well, it
            // could come from two sides.
            if self.shortages.supplied.remove(&sku) {
                self.give_unasked(now, &sku, &situation, out);
            }
            self.shortages.note_owed(now, &sku, situation.owed(), all_linked);
            if self.shortages.pulls.contains_key(&sku) || self.jobs.is_waited_for(&sku) {
                continue;
            }
            for pull in situation.pull() {
                self.shortages.pulls.insert(sku.clone(), now.after(ASK_TIMEOUT));
                let line = self.ask_line(&sku, pull.donor, pull.need, pull.want);
                asks.entry(pull.donor).or_default().push(line);
            }
        }
        if !self.shortages.stirred.is_empty() {
            self.shortages.balance_at = Some(now);
        }
        self.send_asks(now, asks, out);
    }

    /// Asks that no buyer waits for.
    pub(super) fn send_asks(
        &mut self,
        now: Timestamp,
        asks: BTreeMap<ReplicaId, Vec<AskLine>>,
        out: &mut Effects,
    ) {
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
    /// And the greediest.
    pub most: Units,
    /// The most patient of them goes then.
    pub patience: Timestamp,
    pub span: Option<(Timestamp, Timestamp)>,
}
