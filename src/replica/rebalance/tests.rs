//! The policy on situations made up for it.

use uuid::Uuid;

use super::*;
use crate::types::Timestamp;

const NOW: Timestamp = Timestamp(1_000_000);
const SECOND: Millis = Millis(1_000);

fn id(n: u128) -> ReplicaId {
    ReplicaId(Uuid::from_u128(n))
}

/// Asked for one unit `orders` times, once in so many seconds, the last time now.
fn gauge(orders: u64, seconds: u64) -> Gauge {
    let mut gauge = Gauge::default();
    let first = NOW.0 - seconds * 1_000 * (orders - 1);
    (0..orders).for_each(|n| gauge.asked(Timestamp(first + n * seconds * 1_000), Units(1)));
    gauge
}

fn holder(n: u128, available: u64, demand: Gauge) -> Holder {
    Holder {
        replica: id(n),
        available: Units(available),
        coming: Units(0),
        demand,
        rate: demand.rate(NOW),
        busy: (0.0, 0.0),
        expected: None,
        quota: Quota::default(),
        linked: true,
        draining: false,
        round_trip: Millis(if n == 1 { 0 } else { 80 }),
        share: 0.0,
    }
}

fn idle(n: u128, available: u64) -> Holder {
    holder(n, available, Gauge::default())
}

fn situation(here: Holder, others: Vec<Holder>) -> Situation {
    let buyers = Buyers { gauge: here.demand, hurry: 0.0, burst: 1.0 };
    Situation::new(here, others, false, &buyers)
}

fn again(s: Situation) -> Situation {
    situation(s.here, s.others)
}

fn part(n: u128, units: u64) -> Part {
    Part { member: id(n), units: Units(units) }
}

fn wants(n: u128, units: u64) -> Pull {
    Pull { donor: id(n), need: Units(0), want: Units(units) }
}

#[test]
fn targets_are_shares_of_all_rights_by_demand_and_its_root() {
    let s = situation(holder(1, 10, gauge(30, 1)), vec![holder(2, 50, gauge(30, 3)), idle(3, 0)]);
    let [one, two, three] = [&s.here, &s.others[0], &s.others[1]].map(|h| s.target(h));
    // In proportion to demand: 43, 14 and 3. To its root: 32, 19 and 8.
    assert!((36.0..41.0).contains(&one), "{one}");
    assert!((15.0..18.0).contains(&two), "{two}");
    assert!(three < 7.0, "{three}");
}

#[test]
fn a_target_is_no_more_than_what_can_be_expected_to_be_sold_soon() {
    let s = situation(holder(1, 0, gauge(2, 60)), vec![idle(2, 1_000_000)]);
    assert!(s.wish(&s.here) < 6.0, "{}", s.wish(&s.here));
    let s = situation(holder(1, 0, gauge(32, 1)), vec![idle(2, 1_000_000)]);
    assert!(s.wish(&s.here) > 60.0, "{}", s.wish(&s.here));
}

#[test]
fn a_new_item_is_shared_as_all_items_are_and_a_launch_as_it_is_expected() {
    let mut s = situation(holder(1, 0, gauge(1, 1)), vec![idle(2, 60)]);
    (s.here.busy, s.others[0].busy) = ((3.0, 1e6), (1.0, 1e6));
    let s = again(s);
    assert!((s.here.share - 0.69).abs() < 0.01, "{}", s.here.share);
    let mut s = s;
    (s.here.expected, s.others[0].expected) = (Some(Units(10)), Some(Units(90)));
    let s = again(s);
    assert!((s.here.share - 0.1).abs() < 0.01, "{}", s.here.share);
    assert_eq!(s.pull(), [wants(2, 6)]);
}

#[test]
fn targets_within_quotas_add_up_to_what_there_is() {
    let targets = |quotas: [Quota; 3], shares: [u64; 3]| {
        let mut s = situation(idle(1, 60), vec![idle(2, 30), idle(3, 10)]);
        for (holder, (quota, weight)) in
            [&mut s.here].into_iter().chain(&mut s.others).zip(quotas.into_iter().zip(shares))
        {
            holder.quota = Quota { weight: Some(weight), ..quota };
        }
        let s = again(s);
        [&s.here, &s.others[0], &s.others[1]].map(|h| s.target(h).round() as u64)
    };
    let free = Quota::default();
    let floor = |units| Quota { min: Some(Units(units)), ..free };
    let ceiling = |units| Quota { max: Some(Units(units)), ..free };
    let pinned = |units| Quota { pinned: Some(Units(units)), ..free };
    assert_eq!(targets([free, free, free], [1, 1, 1]), [33, 33, 33]);
    assert_eq!(targets([free, floor(50), free], [1, 1, 1]), [25, 50, 25]);
    assert_eq!(targets([free, pinned(10), ceiling(15)], [1, 1, 1]), [75, 10, 15]);
    assert_eq!(targets([free, floor(20), free], [1, 1, 0]), [50, 50, 0]);
    assert_eq!(targets([floor(20), free, free], [0, 1, 1]), [20, 40, 40]);
    // More is reserved than there is, and less may be held.
    assert_eq!(targets([floor(80), free, floor(80)], [1, 1, 1]), [80, 0, 80]);
    assert_eq!(targets([ceiling(20), ceiling(20), ceiling(20)], [1, 1, 1]), [20, 20, 20]);
}

#[test]
fn a_low_node_asks_one_donor_for_what_its_target_lacks() {
    let s = situation(holder(1, 2, gauge(30, 1)), vec![idle(2, 20), idle(3, 19)]);
    assert_eq!(s.pull(), [wants(2, 17)]);
    let s = situation(holder(1, 25, gauge(30, 1)), vec![idle(2, 10), idle(3, 9)]);
    assert_eq!(s.pull(), []);
}

#[test]
fn the_nearer_donor_is_asked_when_both_have_enough() {
    let mut s = situation(holder(1, 2, gauge(8, 10)), vec![idle(2, 200), idle(3, 190)]);
    s.others[0].round_trip = Millis(300);
    assert_eq!(s.pull()[0].donor, id(3));
}

#[test]
fn two_donors_are_asked_when_units_may_come_too_late() {
    let mut hot = gauge(32, 1);
    (hot.span, hot.at) = (320_000, NOW);
    let s = situation(holder(1, 2, hot), vec![idle(2, 20), idle(3, 19), idle(4, 18)]);
    assert_eq!(s.pull().iter().map(|p| p.donor).collect::<Vec<_>>(), [id(2), id(3)]);
}

#[test]
fn the_last_units_stay_where_they_are_unless_buyers_cannot_wait() {
    let mut s = situation(holder(1, 0, gauge(30, 1)), vec![idle(2, 1), idle(3, 1)]);
    assert_eq!(s.pull(), []);
    assert!(!s.is_worth_fetching(Units(1)));
    s.hurry = 1.0;
    assert_eq!(s.pull(), [wants(2, 1)]);
    assert!(s.is_worth_fetching(Units(1)));
}

#[test]
fn a_unit_just_moved_is_not_wanted_back() {
    let mut s = situation(holder(1, 0, gauge(10, 9)), vec![holder(2, 1, gauge(10, 10))]);
    s.hurry = 1.0;
    assert_eq!(s.pull(), []);
}

#[test]
fn waiting_buyers_units_come_from_those_with_most_to_spare_in_time() {
    let s = situation(idle(1, 0), vec![idle(2, 3), idle(3, 9), idle(4, 5)]);
    assert_eq!(s.donors(Units(4), SECOND, |_| true)[0], part(3, 4));
    assert_eq!(s.donors(Units(11), SECOND, |_| true), [part(3, 9), part(4, 2)]);
    assert_eq!(s.donors(Units(11), SECOND, |r| r != id(3)), [part(4, 5), part(2, 3)]);
    let mut far = s.clone();
    far.others[1].round_trip = Millis(1_500);
    assert_eq!(far.donors(Units(11), SECOND, |_| true), [part(4, 5), part(2, 3), part(3, 3)]);
}

#[test]
fn a_donor_keeps_its_floor_and_what_its_own_buyers_wait_for() {
    let mut here = idle(1, 10);
    here.quota.min = Some(Units(4));
    let s = situation(here, vec![idle(2, 0)]);
    assert_eq!(s.gift(id(2), Units(9), Units(0), Units(0)), Units(6));
    assert_eq!(s.gift(id(2), Units(9), Units(0), Units(5)), Units(1));
}

#[test]
fn wishes_are_met_only_from_above_the_target() {
    let s = situation(holder(1, 10, gauge(9, 1)), vec![holder(2, 0, gauge(9, 1))]);
    assert_eq!(s.gift(id(2), Units(0), Units(9), Units(0)), Units(5));
    assert_eq!(s.gift(id(2), Units(2), Units(9), Units(0)), Units(5));
}

#[test]
fn what_came_in_is_given_to_who_is_asked_for_it_and_is_low() {
    let s = situation(idle(1, 100), vec![holder(2, 0, gauge(20, 1)), idle(3, 0)]);
    let gifts = s.push();
    assert_eq!(gifts.len(), 1);
    assert_eq!(gifts[0].member, id(2));
    assert!((60..95).contains(&gifts[0].units.0), "{gifts:?}");
    let nobody = situation(idle(1, 100), vec![idle(2, 0), idle(3, 0)]);
    assert_eq!(nobody.push(), []);
}

#[test]
fn a_floor_is_filled_without_demand() {
    let mut s = situation(idle(1, 100), vec![idle(2, 0)]);
    s.others[0].quota.min = Some(Units(2));
    assert_eq!(s.push(), [part(2, 2)]);
    let mut s = situation(idle(1, 0), vec![idle(2, 100)]);
    s.here.quota.pinned = Some(Units(7));
    assert_eq!(s.pull(), [Pull { donor: id(2), need: Units(7), want: Units(0) }]);
}

#[test]
fn what_is_moved_by_hand_stays_where_it_is() {
    let mut s = situation(holder(1, 0, gauge(9, 1)), vec![idle(2, 20)]);
    s.manual = true;
    assert_eq!(s.pull(), []);
    assert_eq!(s.push(), []);
    assert_eq!(s.donors(Units(1), SECOND, |_| true), []);
    assert_eq!(s.gift(id(2), Units(1), Units(1), Units(0)), Units(0));
}

#[test]
fn a_pinned_node_neither_pulls_nor_gives_what_is_pinned() {
    let mut here = holder(1, 5, gauge(9, 1));
    here.quota.pinned = Some(Units(5));
    let s = situation(here, vec![idle(2, 20)]);
    assert_eq!(s.pull(), []);
    assert_eq!(s.donors(Units(3), SECOND, |_| true), []);
    assert_eq!(s.gift(id(2), Units(3), Units(3), Units(0)), Units(0));
}

#[test]
fn a_weight_counts_demand_so_many_times_and_zero_not_at_all() {
    let mut s = situation(holder(1, 40, gauge(30, 1)), vec![holder(2, 40, gauge(30, 1))]);
    s.others[0].quota.weight = Some(3);
    let mut s = again(s);
    assert!((s.others[0].share - 0.69).abs() < 0.01);
    s.others[0].quota.weight = Some(0);
    assert_eq!(again(s).others[0].share, 0.0);
}

#[test]
fn a_draining_node_gives_everything_by_demand_and_within_quotas_if_it_can() {
    let mut here = holder(1, 10, gauge(9, 1));
    here.draining = true;
    here.quota.pinned = Some(Units(10));
    let mut s = situation(here, vec![holder(2, 0, gauge(30, 3)), idle(3, 0), holder(4, 0, gauge(30, 1))]);
    assert_eq!(s.hand_over(), [part(4, 7), part(2, 3)]);
    s.others[2].quota.max = Some(Units(2));
    let mut s = again(s);
    assert_eq!(s.hand_over(), [part(4, 2), part(2, 7), part(3, 1)]);
    s.others[1].quota.pinned = Some(Units(5));
    let mut s = again(s);
    assert_eq!(s.hand_over(), [part(4, 2), part(2, 3), part(3, 5)]);
    s.others[0].quota.max = Some(Units(1));
    s.others[1].draining = true;
    let mut s = again(s);
    assert_eq!(s.hand_over(), [part(4, 9), part(2, 1)]);
    s.others.iter_mut().for_each(|h| h.linked = false);
    assert_eq!(again(s).hand_over(), []);
}

#[test]
fn a_draining_node_wants_nothing_and_gets_only_what_its_buyers_need() {
    let mut s = situation(idle(1, 20), vec![holder(2, 0, gauge(9, 1))]);
    s.others[0].draining = true;
    assert_eq!(s.gift(id(2), Units(1), Units(9), Units(0)), Units(1));
    let mut s = situation(holder(1, 0, gauge(9, 1)), vec![idle(2, 20)]);
    s.here.draining = true;
    assert_eq!(s.pull(), []);
    assert_eq!(s.top_up(Units(1)), Units::ZERO);
}

#[test]
fn no_numbers_of_a_peer_break_the_arithmetic() {
    let wild = Gauge { units: u64::MAX, orders: u64::MAX, span: 0, at: Timestamp(u64::MAX) };
    let mut other = holder(2, u64::MAX, wild);
    other.coming = Units(u64::MAX);
    other.quota.weight = Some(u64::MAX);
    other.busy = (wild.rate(NOW), wild.weight());
    let mut s = situation(holder(1, u64::MAX, wild), vec![other, idle(3, u64::MAX)]);
    s.burst = u64::MAX as f64;
    for _ in 0..2 {
        let _ = (s.pull(), s.push(), s.hand_over(), s.donors(Units(u64::MAX), SECOND, |_| true));
        let _ = s.gift(id(2), Units(1), Units(u64::MAX), Units(0));
        let _ = (s.top_up(Units(u64::MAX)), s.is_worth_fetching(Units(u64::MAX)));
        s.here.available = Units(0);
    }
}
