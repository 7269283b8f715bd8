//! The policy: how many rights to ask for, of whom, and how many to give.
//!
//! Pure arithmetic over a [`Situation`]; the rest of the replica asks the four questions below
//! and does what they say. Whatever the answers are, no right is created or spent twice: a
//! bad policy can only lose sales.

use crate::planted::{self, Bug};
use crate::types::{Quota, ReplicaId, Units};

/// What is known of one member about one item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    pub replica: ReplicaId,
    /// Rights it can spend, by its last known row.
    pub available: Units,
    /// What buyers asked there lately, in thousandths of a unit.
    pub demand: u64,
    pub quota: Quota,
    /// It can be asked.
    pub linked: bool,
    /// It hands its rights over, and wants none.
    pub draining: bool,
}

/// An item as this replica sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    pub here: Holder,
    pub others: Vec<Holder>,
    /// An admin moves this item's rights by hand.
    pub manual: bool,
}

/// A pull ahead of need: so many units would be welcome from that donor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pull {
    pub donor: ReplicaId,
    pub want: Units,
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
        if self.draining { Units::ZERO } else { self.quota.ceiling().excess_over(self.available) }
    }

    /// Its part of what is handed over: a node without demand gets little, one of weight 0 nothing.
    fn pull(&self) -> u128 {
        if self.quota.weight == Some(0) { 0 } else { self.weighted_demand().saturating_add(1) }
    }

    fn weighted_demand(&self) -> u128 {
        // A peer's row may claim any demand, and its setting any weight.
        u128::from(self.demand).saturating_mul(u128::from(self.quota.weight.unwrap_or(1)))
    }
}

impl Situation {
    /// How many rights a member should hold at least: its share of all known ones in proportion
    /// to demand, but no more than buyers asked there lately, within its quota. What lies above
    /// the targets stays where it is.
    fn target(&self, member: &Holder) -> Units {
        if member.draining {
            return Units::ZERO;
        }
        let all = || self.others.iter().chain([&self.here]);
        let rights: u128 = all().map(|h| u128::from(h.available.0)).sum();
        let demand = all().map(Holder::weighted_demand).fold(0, u128::saturating_add);
        let share = rights.saturating_mul(member.weighted_demand()).checked_div(demand).unwrap_or(0);
        let share = Units(u64::try_from(share).unwrap_or(u64::MAX)).min(Units(member.demand / 1_000));
        share.max(member.quota.floor()).min(member.quota.ceiling())
    }

    /// Whether there are so few rights that an order of `quantity` is better sent to where they are
    /// than they to it.
    pub fn is_scarce(&self, quantity: Units) -> bool {
        let rights = self.others.iter().chain([&self.here]).map(|h| u128::from(h.available.0)).sum::<u128>();
        let members = self.others.len() as u128 + 1;
        rights <= 3 * members * u128::from(quantity.0)
    }

    /// How many rights this replica may still take in, by its quota.
    pub fn room(&self) -> Units {
        self.here.room()
    }

    /// To whom a draining node gives what is free here: in proportion to demand,
    /// within quotas while anybody has room; then regardless, for the node is to be emptied.
    pub fn hand_over(&self) -> Vec<(ReplicaId, Units)> {
        let all = self.here.available;
        let mut takers: Vec<&Holder> = self.others.iter().filter(|h| h.linked && !h.draining).collect();
        takers.sort_by_key(|h| (std::cmp::Reverse(h.pull()), h.replica));
        let whole = takers.iter().map(|h| h.pull()).fold(0, u128::saturating_add);
        let mut rest = all;
        let mut parts: Vec<(ReplicaId, Units)> = Vec::new();
        for taker in &takers {
            let share = u128::from(all.0).saturating_mul(taker.pull()).checked_div(whole).unwrap_or(0);
            let part = Units(u64::try_from(share).unwrap_or(u64::MAX)).min(taker.room()).min(rest);
            rest = rest.excess_over(part);
            parts.push((taker.replica, part));
        }
        for (taker, (_, part)) in takers.iter().zip(&mut parts) {
            let more = rest.min(taker.room().excess_over(*part));
            *part = Units(part.0 + more.0);
            rest = rest.excess_over(more);
        }
        if let Some((_, part)) = parts.first_mut() {
            *part = Units(part.0 + rest.0);
        }
        parts.retain(|(_, part)| !part.is_zero());
        parts
    }

    /// For whom to ask for `need` units that buyers wait for: the richest first, each for what
    /// it can spare, until the need is met. `usable` leaves out who cannot be asked now.
    pub fn donors(&self, need: Units, usable: impl Fn(ReplicaId) -> bool) -> Vec<(ReplicaId, Units)> {
        let mut rest = need.min(self.room());
        let mut donors: Vec<&Holder> = self.others.iter().filter(|h| h.linked && usable(h.replica)).collect();
        donors.sort_by_key(|h| (std::cmp::Reverse(h.spare()), h.replica));
        if planted::is_on(Bug::PoorestDonorFirst) {
            donors.reverse();
        }
        let mut asks = Vec::new();
        for donor in donors {
            let part = rest.min(donor.spare());
            if self.manual || part.is_zero() {
                break;
            }
            asks.push((donor.replica, part));
            rest = rest.excess_over(part);
        }
        asks
    }

    /// What would be welcome beyond a need of `need` units: up to the own target.
    pub fn top_up(&self, need: Units) -> Units {
        if self.manual {
            return Units::ZERO;
        }
        let settled = Units(self.here.available.0.saturating_add(need.0));
        self.target(&self.here).excess_over(settled).min(self.room())
    }

    /// A pull ahead of need, when fewer than half of the target is here.
    pub fn pull(&self) -> Option<Pull> {
        let target = self.target(&self.here);
        if self.manual || self.here.demand == 0 || self.here.available.0 > target.0 / 2 {
            return None;
        }
        let want = target.excess_over(self.here.available).min(self.room());
        let surplus = |h: &Holder| h.available.excess_over(self.target(h)).min(h.spare());
        let donor = self.others.iter().filter(|h| h.linked).max_by_key(|h| (surplus(h), h.replica))?;
        let want = want.min(surplus(donor));
        if want.is_zero() { None } else { Some(Pull { donor: donor.replica, want }) }
    }

    /// How many units to give of what `asker` needs for waiting buyers and would like beyond.
    /// `claimed` units are for the own buyers who came first. A need is met from all that no
    /// quota reserves; a wish only from what lies above the own target. Gives partly.
    pub fn gift(&self, asker: ReplicaId, need: Units, want: Units, claimed: Units) -> Units {
        if self.manual {
            return Units::ZERO;
        }
        let spare = self.here.spare().excess_over(claimed);
        let needed = need.min(spare);
        let target = self.target(&self.here);
        let surplus = spare.excess_over(needed).excess_over(target);
        let asker = self.others.iter().find(|h| h.replica == asker);
        let room = asker.map_or(Units(u64::MAX), Holder::room);
        let wished = want.min(surplus).min(room.excess_over(needed));
        Units(needed.0 + wished.0)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn holder(n: u128, available: u64, demand: u64) -> Holder {
        let replica = ReplicaId(Uuid::from_u128(n));
        Holder {
            replica,
            available: Units(available),
            demand,
            quota: Quota::default(),
            linked: true,
            draining: false,
        }
    }

    fn situation(here: Holder, others: Vec<Holder>) -> Situation {
        Situation { here, others, manual: false }
    }

    #[test]
    fn the_richest_donors_are_asked_first_and_only_as_many_as_needed() {
        let s = situation(holder(1, 0, 0), vec![holder(2, 3, 0), holder(3, 9, 0), holder(4, 5, 0)]);
        let id = |n| ReplicaId(Uuid::from_u128(n));
        assert_eq!(s.donors(Units(4), |_| true), [(id(3), Units(4))]);
        assert_eq!(s.donors(Units(11), |_| true), [(id(3), Units(9)), (id(4), Units(2))]);
        assert_eq!(s.donors(Units(11), |r| r != id(3)), [(id(4), Units(5)), (id(2), Units(3))]);
    }

    #[test]
    fn a_donor_keeps_its_floor_and_what_its_own_buyers_wait_for() {
        let mut here = holder(1, 10, 0);
        here.quota.min = Some(Units(4));
        let s = situation(here, vec![holder(2, 0, 0)]);
        let asker = ReplicaId(Uuid::from_u128(2));
        assert_eq!(s.gift(asker, Units(9), Units(0), Units(0)), Units(6));
        assert_eq!(s.gift(asker, Units(9), Units(0), Units(5)), Units(1));
    }

    #[test]
    fn wishes_are_met_only_from_above_the_target() {
        let s = situation(holder(1, 10, 9_000), vec![holder(2, 0, 9_000)]);
        let asker = ReplicaId(Uuid::from_u128(2));
        assert_eq!(s.gift(asker, Units(0), Units(9), Units(0)), Units(5));
        assert_eq!(s.gift(asker, Units(2), Units(9), Units(0)), Units(5));
    }

    #[test]
    fn a_pull_goes_to_the_greatest_surplus_once_half_the_target_is_gone() {
        let low = situation(holder(1, 1, 3_000), vec![holder(2, 20, 0), holder(3, 19, 0)]);
        let pull = low.pull().unwrap();
        assert_eq!(pull.donor, ReplicaId(Uuid::from_u128(2)));
        assert_eq!(pull.want, Units(2));
        let enough = situation(holder(1, 30, 3_000), vec![holder(2, 20, 0)]);
        assert_eq!(enough.pull(), None);
    }

    #[test]
    fn what_is_moved_by_hand_stays_where_it_is() {
        let mut s = situation(holder(1, 0, 3_000), vec![holder(2, 20, 0)]);
        s.manual = true;
        assert_eq!(s.pull(), None);
        assert!(s.donors(Units(1), |_| true).is_empty());
        assert_eq!(s.gift(ReplicaId(Uuid::from_u128(2)), Units(1), Units(1), Units(0)), Units(0));
    }

    #[test]
    fn a_pinned_node_neither_pulls_nor_gives_what_is_pinned() {
        let mut here = holder(1, 5, 9_000);
        here.quota.pinned = Some(Units(5));
        let s = situation(here, vec![holder(2, 20, 0)]);
        assert_eq!(s.pull(), None);
        assert!(s.donors(Units(3), |_| true).is_empty());
        assert_eq!(s.gift(ReplicaId(Uuid::from_u128(2)), Units(3), Units(3), Units(0)), Units(0));
    }

    #[test]
    fn a_draining_node_gives_everything_by_demand_and_within_quotas_if_it_can() {
        let id = |n| ReplicaId(Uuid::from_u128(n));
        let mut here = holder(1, 10, 5_000);
        here.draining = true;
        here.quota.pinned = Some(Units(10));
        let mut s = situation(here, vec![holder(2, 0, 2_999), holder(3, 0, 0), holder(4, 0, 6_999)]);
        assert_eq!(s.hand_over(), [(id(4), Units(8)), (id(2), Units(2))]);
        s.others[2].quota.max = Some(Units(2));
        assert_eq!(s.hand_over(), [(id(4), Units(2)), (id(2), Units(8))]);
        s.others[0].quota.max = Some(Units(1));
        s.others[1].draining = true;
        assert_eq!(s.hand_over(), [(id(4), Units(9)), (id(2), Units(1))]);
        s.others.iter_mut().for_each(|h| h.linked = false);
        assert_eq!(s.hand_over(), []);
    }

    #[test]
    fn a_draining_node_wants_nothing_and_gets_only_what_its_buyers_need() {
        let mut s = situation(holder(1, 20, 0), vec![holder(2, 0, 9_000)]);
        s.others[0].draining = true;
        assert_eq!(s.gift(ReplicaId(Uuid::from_u128(2)), Units(1), Units(9), Units(0)), Units(1));
        let mut s = situation(holder(1, 0, 9_000), vec![holder(2, 20, 0)]);
        s.here.draining = true;
        assert_eq!(s.pull(), None);
        assert_eq!(s.top_up(Units(1)), Units::ZERO);
    }
}
