//! The policy: how many rights to ask for, of whom, how many to give, and when not to move any.
//!
//! Pure arithmetic over a [`Situation`]; the rest of the replica asks the questions below and does
//! what they say. Whatever the answers are, no right is created or spent twice: a bad policy can
//! only lose sales. `docs/concepts/moving-rights.md` explains it with an example.
//!
//! - **Share.** Each member's part of what buyers will ask for: measured by its [`Gauge`], and
//!   while little is measured, its part of all items' demand, or what an admin expects of a launch.
//! - **Target.** Its share of all rights that are known, so that all run dry together, within its
//!   quota; what quotas take from one or leave to it, the others share, each up to a thousand times
//!   its share ([`HIGHEST_LEVEL`]). It gives what lies above, and wishes for what is below; but for
//!   no more than it can be expected to sell soon: what nobody wishes for stays where it is.
//! - **Low.** Under a quarter of the target, or under what buyers ask for in a round trip: then it asks
//!   for what its target lacks, before a buyer must wait.
//! - **Worth.** A transfer pays when it brings units for several orders. Towards the end, when
//!   none does, rights stay where they are and a buyer who can wait is sent to them (`placing.rs`);
//!   where buyers do not wait, one order's worth is enough.
//!
//! The basic operations on `f64` and `sqrt` round the same way everywhere; nothing else is used,
//! so every platform and the simulator come to the same numbers.

use std::collections::BTreeMap;

use super::demand::Buyers;
use crate::planted::{self, Bug};
use crate::types::gauge::MEMORY;
use crate::types::{Gauge, Millis, Quota, ReplicaId, Units};

/// A transfer must bring units for so many orders of buyers who can wait.
const ORDERS_PATIENT: f64 = 2.0;
/// And for so many of buyers who cannot.
const ORDERS_HURRIED: f64 = 1.0;
/// The part of all rights that is thought sure to be sold before anything is moved again. The more
/// the shares are an admin's word, the more of them: all of the launch was planned.
const SURE_PART: f64 = 0.5;
/// Orders that the guess at a share weighs as much as, until orders tell: all items' demand ..
const GUESS_WEIGHT: f64 = 3.0;
/// .. which itself is thought even among members until that many orders tell ..
const EVEN_WEIGHT: f64 = 8.0;
/// .. and an admin's word.
const LAUNCH_WEIGHT: f64 = 32.0;
/// Nobody is given more than this time's demand at the present rate ..
const HORIZON: f64 = 60_000.0;
/// .. or so many times what was lately asked of it, if that is more.
const GROWTH: f64 = 2.0;
/// How many standard deviations of a round trip's demand are kept against running dry.
const SAFETY: f64 = 3.0;
/// Under this part of its target a member is low.
const LOW_PART: f64 = 0.25;
/// A member's target may be its share of so many times all rights, when quotas hold others down.
const HIGHEST_LEVEL: f64 = 1_000.0;
/// Steps in which that is found, to a thousandth of a unit of a million.
const HALVINGS: usize = 40;
/// Half a unit more or less is no reason to move one, and then some: so that a unit that was just
/// moved is not wanted back when the estimates waver.
const ROUNDING: f64 = 0.45;

/// What is known of one member about one item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Holder {
    pub replica: ReplicaId,
    /// Rights it can spend, by its last known row.
    pub available: Units,
    /// Rights on their way to it.
    pub coming: Units,
    pub demand: Gauge,
    /// Units a millisecond by that gauge, as of when the member was last heard.
    pub rate: f64,
    /// The same of all items together, and how many orders that rests on.
    pub busy: (f64, f64),
    /// Units that an admin expects to be asked for there, while a launch is on.
    pub expected: Option<Units>,
    pub quota: Quota,
    /// It can be asked.
    pub linked: bool,
    /// It hands its rights over, and wants none.
    pub draining: bool,
    pub round_trip: Millis,
    /// Its part of all rights, as [`Situation::new`] reckons it.
    pub share: f64,
}

/// An item as this replica sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Situation {
    pub here: Holder,
    pub others: Vec<Holder>,
    /// An admin moves this item's rights by hand.
    pub manual: bool,
    /// The share of buyers here who would not wait for a round trip.
    pub hurry: f64,
    /// What one order of a random size adds to the variance of demand here, in units.
    pub burst: f64,
    /// An admin has just changed what is wanted: all is moved that lacks anywhere, not only to who
    /// is low.
    pub settling: bool,
    /// Shares of so many rights, each bounded by its member's quota, are all that there are.
    level: f64,
}

/// Rights that would be welcome from a donor, or given to a member, ahead of need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    pub member: ReplicaId,
    pub units: Units,
}

/// What to ask a donor for, ahead of a buyer's need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pull {
    pub donor: ReplicaId,
    /// What a quota reserves here: as good as a buyer's need.
    pub need: Units,
    /// What the target lacks.
    pub want: Units,
}

/// What an admin wants of a member, and it has not got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    Nothing,
    /// It has little of what a launch expects to be asked for.
    Launch,
    /// It has less than it wishes for since an admin changed what is wanted.
    Setting,
    /// It has less than half of what a quota reserves for it.
    Floor,
}

impl Part {
    /// Adds so many units, or what is left of `rest`.
    fn fill(&mut self, units: Units, rest: &mut Units) {
        let units = units.min(*rest);
        self.units = Units(self.units.0 + units.0);
        *rest = rest.excess_over(units);
    }
}

impl Holder {
    /// Rights that no quota reserves for it.
    pub fn spare(&self) -> Units {
        if self.draining || planted::is_on(Bug::QuotasIgnored) {
            return self.available;
        }
        self.available.excess_over(self.quota.floor())
    }

    /// Rights that it may still take in, by its quota.
    fn room(&self) -> Units {
        if self.draining { Units::ZERO } else { self.quota.ceiling().excess_over(self.holding()) }
    }

    /// What it has and what is on its way to it.
    fn holding(&self) -> Units {
        Units(self.available.0.saturating_add(self.coming.0))
    }

    /// Less than half of what a quota reserves for it is there: filled up after each sale, it would
    /// be filled a unit at a time.
    fn lacks_floor(&self) -> bool {
        self.holding().0.saturating_mul(2) < self.quota.floor().0
    }

    /// What an admin has set about it.
    fn dials(&self) -> String {
        let quota = &self.quota;
        let dials = [
            ("weight", quota.weight),
            ("min", quota.min.map(|units| units.0)),
            ("max", quota.max.map(|units| units.0)),
            ("pinned", quota.pinned.map(|units| units.0)),
            ("launch", self.expected.map(|units| units.0)),
        ];
        let set = dials.iter().filter_map(|(name, value)| Some(format!("{name} {}", (*value)?)));
        set.collect::<Vec<_>>().join(", ")
    }

    /// So many units, within its quota.
    fn bounded(&self, units: f64) -> f64 {
        let (floor, ceiling) = (self.quota.floor().0 as f64, self.quota.ceiling().0 as f64);
        if self.draining { 0.0 } else { units.max(floor).min(ceiling) }
    }

    /// An admin expects buyers there.
    fn is_launched(&self) -> bool {
        self.expected.is_some_and(|units| !units.is_zero())
    }

    fn weight(&self) -> f64 {
        self.quota.weight.unwrap_or(1) as f64
    }

    /// Most units that it can be expected to sell soon.
    fn reach(&self) -> f64 {
        let expected = self.expected.map_or(0.0, |units| units.0 as f64);
        // A rate is worth little until many orders have told it.
        let trust = (self.demand.weight() / MEMORY as f64).min(1.0);
        // And one order does not tell that there will be another.
        let after_first = 1.0 - 1.0 / self.demand.weight().max(1.0);
        GROWTH * after_first * self.demand.remembered() + self.rate * HORIZON * trust * trust + expected
    }
}

impl Situation {
    pub fn new(here: Holder, others: Vec<Holder>, manual: bool, buyers: &Buyers) -> Situation {
        let (hurry, burst) = (buyers.hurry, buyers.burst);
        let mut situation = Situation { here, others, manual, hurry, burst, settling: false, level: 0.0 };
        situation.reckon_shares();
        situation
    }

    /// A member says what its buyers ask for.
    pub fn learn(&mut self, member: ReplicaId, demand: Gauge) {
        if let Some(holder) = self.others.iter_mut().find(|h| h.replica == member) {
            (holder.demand, holder.rate) = (demand, demand.rate(demand.at));
            self.reckon_shares();
        }
    }

    fn all(&self) -> impl Iterator<Item = &Holder> {
        self.others.iter().filter(|h| h.linked).chain([&self.here])
    }

    /// Divides all rights among those who can be reached and do not drain. With mu the demand that
    /// is expected until a good part of them is sold, and sigma its standard deviation, each gets
    /// mu + z sigma with the same z: an equal chance of running dry. As mu goes with the part of
    /// demand and sigma with its root, that is a mean of the two.
    fn reckon_shares(&mut self) {
        let (parts, planned) = self.parts_of_demand();
        let whole: f64 = parts.iter().sum();
        let roots: f64 = parts.iter().map(|part| part.sqrt()).sum();
        let sure = SURE_PART + (1.0 - SURE_PART) * planned;
        let share = |part: f64| match whole > 0.0 {
            true => sure * part / whole + (1.0 - sure) * part.sqrt() / roots,
            false => 0.0,
        };
        for (holder, part) in [&mut self.here].into_iter().chain(&mut self.others).zip(parts) {
            holder.share = share(part);
        }
        self.level = self.level_of(self.rights());
    }

    /// What shares must be taken of so that the targets, within quotas, add up to `rights`.
    fn level_of(&self, rights: f64) -> f64 {
        if self.all().all(|h| h.quota.is_unbounded()) {
            return rights;
        }
        let held = |level: f64| self.all().map(|h| h.bounded(h.share * level)).sum::<f64>();
        // It grows with the level, so the right one is found by halving; where quotas leave nobody
        // room for the rest, or nothing to the others, no level is.
        let (mut low, mut high) = (0.0, rights.max(1.0) * HIGHEST_LEVEL);
        for _ in 0..HALVINGS {
            let middle = (low + high) / 2.0;
            if held(middle) > rights { high = middle } else { low = middle }
        }
        low
    }

    /// Each member's part of what buyers will ask for, this one's first: what was measured, and
    /// the less that is the more of a guess. And how much of it all is an admin's word.
    fn parts_of_demand(&self) -> (Vec<f64>, f64) {
        let members = || [&self.here].into_iter().chain(&self.others);
        let takers = || self.all().filter(|h| !h.draining);
        let rates: f64 = takers().map(|h| h.rate).sum();
        let known: f64 = takers().map(|h| (h.demand.weight() - 1.0).max(0.0)).sum();
        let known = if rates > 0.0 { known } else { 0.0 };
        let expected: f64 = takers().filter_map(|h| h.expected).map(|units| units.0 as f64).sum();
        let busy: f64 = takers().map(|h| h.busy.0).sum();
        let told: f64 = takers().map(|h| h.busy.1).sum();
        let told = if busy > 0.0 { told } else { 0.0 };
        let count = takers().count().max(1) as f64;
        let usual = |h: &Holder| {
            let of_all = if told > 0.0 { told * h.busy.0 / busy } else { 0.0 };
            (of_all + EVEN_WEIGHT / count) / (told + EVEN_WEIGHT)
        };
        let part = |h: &Holder| {
            if h.draining || !(h.linked || h.replica == self.here.replica) {
                return 0.0;
            }
            let (weight, guess) = match h.expected {
                Some(units) if expected > 0.0 => (LAUNCH_WEIGHT, units.0 as f64 / expected),
                _ => (GUESS_WEIGHT, usual(h)),
            };
            let measured = if known > 0.0 { known * h.rate / rates } else { 0.0 };
            h.weight() * (measured + weight * guess) / (known + weight)
        };
        let planned = if expected > 0.0 { LAUNCH_WEIGHT / (known + LAUNCH_WEIGHT) } else { 0.0 };
        (members().map(part).collect(), planned)
    }

    /// All rights that are known here and can be moved.
    fn rights(&self) -> f64 {
        self.all().map(|h| h.available.0 as f64 + h.coming.0 as f64).sum()
    }

    /// How many rights a member should hold: its share, within its quota.
    pub fn target(&self, member: &Holder) -> f64 {
        member.bounded(member.share * self.level)
    }

    pub fn member(&self, replica: ReplicaId) -> Option<&Holder> {
        std::iter::once(&self.here).chain(&self.others).find(|h| h.replica == replica)
    }

    /// A member's target in words, with what an admin has set about it.
    pub fn target_and_dials(&self, replica: ReplicaId) -> String {
        let Some(member) = self.member(replica) else { return String::new() };
        let (target, dials) = (self.target(member), member.dials());
        if dials.is_empty() { format!("{target:.0}") } else { format!("{target:.0} ({dials})") }
    }

    /// What a member asks for to hold in all: of its target, what it can be expected to sell soon.
    fn wish(&self, member: &Holder) -> f64 {
        self.wish_at(member, self.level)
    }

    fn wish_at(&self, member: &Holder, level: f64) -> f64 {
        member.bounded(member.share * level).min(member.reach().max(member.quota.floor().0 as f64))
    }

    /// This member and those that can be reached.
    pub fn in_reach(&self) -> Vec<ReplicaId> {
        let others = self.others.iter().filter(|h| h.linked).map(|h| h.replica);
        std::iter::once(self.here.replica).chain(others).collect()
    }

    /// The same item as another member sees it, as far as is known here.
    pub fn seen_by(&self, member: ReplicaId) -> Situation {
        let mut view = self.clone();
        if let Some(place) = view.others.iter().position(|h| h.replica == member) {
            std::mem::swap(&mut view.here, &mut view.others[place]);
            view.others[place].round_trip = view.here.round_trip;
            (view.hurry, view.burst) = (0.0, view.here.demand.order());
        }
        view
    }

    /// Units leave one member for another: what is planned next sees them there.
    pub fn moved(&mut self, part: Part, from: ReplicaId) {
        for holder in [&mut self.here].into_iter().chain(&mut self.others) {
            if holder.replica == from {
                holder.available = holder.available.excess_over(part.units);
            } else if holder.replica == part.member {
                holder.coming = Units(holder.coming.0.saturating_add(part.units.0));
            }
        }
    }

    /// What a member lacks to its target.
    fn lack(&self, member: &Holder) -> Units {
        whole_units(self.wish(member) - member.holding().0 as f64).min(member.room())
    }

    /// What a member has beyond its target and may give.
    pub fn surplus(&self, member: &Holder) -> Units {
        whole_units(member.available.0 as f64 - self.target(member)).min(member.spare())
    }

    /// Their hurry, and what one of their orders adds to the variance; of others no more is known
    /// than their gauges.
    fn buyers_of(&self, member: &Holder) -> (f64, f64) {
        let is_here = member.replica == self.here.replica;
        if is_here { (self.hurry, self.burst) } else { (0.0, member.demand.order()) }
    }

    /// Whether a member may run dry before it can be helped.
    fn is_low(&self, member: &Holder, round_trip: Millis) -> bool {
        if self.settling {
            return true;
        }
        let holding = member.holding().0 as f64;
        let (hurry, burst) = self.buyers_of(member);
        let soon = member.rate * round_trip.0 as f64;
        // Who cannot wait must find enough for a large order.
        let soon = (soon + SAFETY * (soon * burst).sqrt()).max(hurry * burst);
        holding < soon.max(LOW_PART * self.wish(member)) || member.lacks_floor()
    }

    /// Whether that many units are worth a transfer to `member`.
    fn is_worth(&self, member: &Holder, units: Units) -> bool {
        let (hurry, _) = self.buyers_of(member);
        let orders = 1.0 / ((1.0 - hurry) / ORDERS_PATIENT + hurry / ORDERS_HURRIED);
        !units.is_zero() && (member.lacks_floor() || units.0 as f64 >= orders * member.demand.order())
    }

    /// How many rights this replica may still take in, by its quota.
    pub fn room(&self) -> Units {
        self.here.room()
    }

    /// For whom to ask for `need` units that buyers wait for, each for what it can spare, until the
    /// need is met: those first that have most to spare beyond their targets, and are near, and can
    /// answer within `patience`. `usable` leaves out who cannot be asked now.
    pub fn donors(&self, need: Units, patience: Millis, usable: impl Fn(ReplicaId) -> bool) -> Vec<Part> {
        let mut rest = need.min(self.room());
        let merit = |h: &Holder| {
            let helps = |units: Units| units.min(need).0 as f64;
            (helps(self.surplus(h)) + helps(h.spare()) / 4.0) / h.round_trip.0.max(1) as f64
        };
        let mut donors: Vec<(bool, f64, &Holder)> = (self.others.iter())
            .filter(|h| h.linked && usable(h.replica))
            .map(|h| (h.round_trip > patience, merit(h), h))
            .collect();
        donors.sort_by(|a, b| (a.0.cmp(&b.0)).then(b.1.total_cmp(&a.1)).then(a.2.replica.cmp(&b.2.replica)));
        if planted::is_on(Bug::PoorestDonorFirst) {
            donors.sort_by_key(|(_, _, h)| h.spare());
        }
        let mut asks = Vec::new();
        for (_, _, donor) in donors {
            let units = rest.min(donor.spare());
            if self.manual || units.is_zero() {
                continue;
            }
            asks.push(Part { member: donor.replica, units });
            rest = rest.excess_over(units);
        }
        asks
    }

    /// What would be welcome beyond a need of `need` units: up to the own target.
    pub fn top_up(&self, need: Units) -> Units {
        if self.manual {
            return Units::ZERO;
        }
        let left = self.level_of((self.rights() - need.0 as f64).max(0.0));
        let stays = self.here.holding().excess_over(need);
        whole_units(self.wish_at(&self.here, left) - stays.0 as f64).min(self.room().excess_over(need))
    }

    /// Of whom to ask for what would be welcome beyond the need, when `donors` are asked for that:
    /// of those first that have most beyond their targets, and of others than the donors only
    /// what is worth a transfer of its own.
    pub fn wishes(&self, need: Units, donors: &BTreeMap<ReplicaId, Units>) -> BTreeMap<ReplicaId, Units> {
        let mut rest = self.top_up(need);
        let part_of = |h: &Holder| donors.get(&h.replica).copied();
        let left = |h: &Holder| self.surplus(h).excess_over(part_of(h).unwrap_or_default());
        let mut givers: Vec<(Units, &Holder)> =
            self.others.iter().filter(|h| h.linked).map(|h| (left(h), h)).collect();
        givers.sort_by_key(|(left, h)| (part_of(h).is_none(), std::cmp::Reverse(*left), h.replica));
        let mut wishes = BTreeMap::new();
        for (left, giver) in givers {
            let part = left.min(rest);
            if !part.is_zero() && (part_of(giver).is_some() || self.is_worth(&self.here, part)) {
                wishes.insert(giver.replica, part);
                rest = rest.excess_over(part);
            }
        }
        wishes
    }

    /// Whether to bring `need` units here for buyers who wait. When nobody has units for several
    /// orders to spare, or a quota lets no more in, it is better to send them where the last ones are.
    pub fn is_worth_fetching(&self, need: Units) -> bool {
        if self.room() < need.excess_over(self.here.available) {
            return false;
        }
        let best = self.others.iter().filter(|h| h.linked).map(|h| self.surplus(h)).max();
        self.is_worth(&self.here, need.max(best.unwrap_or_default()))
    }

    /// What an admin wants here, and is not there.
    pub fn owed(&self) -> Owed {
        if self.manual || self.here.draining {
            Owed::Nothing
        } else if self.here.lacks_floor() {
            Owed::Floor
        } else if self.settling && self.is_worth(&self.here, self.lack(&self.here)) {
            Owed::Setting
        } else if self.here.is_launched() && self.is_low(&self.here, Millis(0)) {
            Owed::Launch
        } else {
            Owed::Nothing
        }
    }

    /// Asks ahead of need. What a quota reserves here is asked for like a buyer's need, of all it
    /// takes. Else, when little is left, what the target lacks: of one donor; of two, when the first
    /// one's units may come too late; of as many as it takes, when an admin has changed what is
    /// wanted.
    pub fn pull(&self) -> Vec<Pull> {
        if self.owed() == Owed::Floor {
            let lack = self.here.quota.floor().excess_over(self.here.holding());
            let donors = self.donors(lack, Millis(u64::MAX), |_| true).into_iter();
            return donors.map(|p| Pull { donor: p.member, need: p.units, want: Units::ZERO }).collect();
        }
        let wants = !self.manual && !self.here.draining;
        let mut lack = if wants { self.lack(&self.here) } else { Units::ZERO };
        let merit = |h: &Holder| self.surplus(h).min(lack).0 as f64 / h.round_trip.0.max(1) as f64;
        let mut donors: Vec<(f64, &Holder)> =
            self.others.iter().filter(|h| h.linked).map(|h| (merit(h), h)).collect();
        donors.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.replica.cmp(&b.1.replica)));
        let mut pulls = Vec::new();
        for (_, donor) in donors {
            let units = self.surplus(donor).min(lack);
            let late = self.here.rate * 2.0 * donor.round_trip.0 as f64;
            let is_hot = (self.here.available.0 as f64) < late.floor();
            let enough = pulls.len() > usize::from(is_hot) && !self.settling;
            if enough || !self.is_worth(&self.here, units) {
                break;
            }
            if !self.is_low(&self.here, donor.round_trip) {
                continue;
            }
            pulls.push(Pull { donor: donor.replica, need: Units::ZERO, want: units });
            lack = lack.excess_over(units);
        }
        pulls
    }

    /// What to give unasked, after units came in here: to members that buyers ask, or a launch or
    /// quota names, and that are low.
    pub fn push(&self) -> Vec<Part> {
        let mut surplus = self.surplus(&self.here);
        if planted::is_on(Bug::FloorGivenUnasked) {
            surplus = whole_units(self.here.available.0 as f64 - self.here.share * self.rights());
        }
        let mut gifts = Vec::new();
        for taker in self.others.iter().filter(|h| h.linked && !h.draining && !self.manual) {
            let units = self.lack(taker).min(surplus);
            let known = taker.demand.weight() > 1.0 || taker.is_launched() || taker.lacks_floor();
            if known && self.is_low(taker, taker.round_trip) && self.is_worth(taker, units) {
                gifts.push(Part { member: taker.replica, units });
                surplus = surplus.excess_over(units);
            }
        }
        gifts
    }

    /// How many units to give of what `asker` needs for waiting buyers and would like beyond.
    /// `claimed` units are for the own buyers who came first. A need is met from all that no
    /// quota reserves; a wish only from what lies above the own target. Gives partly. How much the
    /// asker may take in it has reckoned itself: its row here may be older than its ask.
    pub fn gift(&self, asker: ReplicaId, need: Units, want: Units, claimed: Units) -> Units {
        if self.manual {
            return Units::ZERO;
        }
        let spare = self.here.spare().excess_over(claimed);
        let needed = need.min(spare);
        let surplus = self.surplus(&self.here).excess_over(claimed).min(spare).excess_over(needed);
        let is_draining = self.others.iter().any(|h| h.replica == asker && h.draining);
        let wished = if is_draining { Units::ZERO } else { want.min(surplus) };
        Units(needed.0 + wished.0)
    }

    /// To whom a draining node gives what is free here: first what quotas reserve, then in
    /// proportion to what each lacks to its target, then to who has room, and what is left to the
    /// one with the largest share, whatever its quota: for the node is to be emptied.
    pub fn hand_over(&self) -> Vec<Part> {
        let mut takers: Vec<&Holder> = self.others.iter().filter(|h| h.linked && !h.draining).collect();
        takers.sort_by(|a, b| b.share.total_cmp(&a.share).then(a.replica.cmp(&b.replica)));
        let mut rest = self.here.available;
        let mut parts: Vec<Part> =
            takers.iter().map(|taker| Part { member: taker.replica, units: Units::ZERO }).collect();
        for (taker, part) in takers.iter().zip(&mut parts) {
            part.fill(taker.quota.floor().excess_over(taker.holding()), &mut rest);
        }
        let lack = |(taker, part): (&&Holder, &Part)| {
            (self.target(taker) - taker.holding().0 as f64 - part.units.0 as f64).max(0.0)
        };
        let lacks: Vec<f64> = takers.iter().zip(&parts).map(lack).collect();
        let (whole, all) = (lacks.iter().sum::<f64>(), rest.0 as f64);
        for (part, lack) in parts.iter_mut().zip(lacks) {
            part.fill(whole_units(all * lack / whole.max(all).max(1.0)), &mut rest);
        }
        for (taker, part) in takers.iter().zip(&mut parts).filter(|(taker, _)| taker.share > 0.0) {
            part.fill(taker.room().excess_over(part.units), &mut rest);
        }
        if let Some(part) = parts.first_mut() {
            part.fill(Units(u64::MAX), &mut rest);
        }
        parts.retain(|part| !part.units.is_zero());
        parts
    }
}

/// A quantity rounded down, but for a little.
fn whole_units(quantity: f64) -> Units {
    // `as` saturates: what is negative or no number becomes 0.
    Units((quantity + ROUNDING).floor() as u64)
}

#[cfg(test)]
mod tests;
