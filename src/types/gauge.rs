//! How much buyers ask for: what was asked lately, not what was sold, so that a dry node does not
//! look idle.
//!
//! A gauge remembers about [`MEMORY`] orders, however long ago they came (days for an item that
//! sells once an hour), but no fewer than those of the last [`SHORTEST`], so that what a hot item's
//! gauge tells still holds when it has crossed an ocean. When nobody asks any more, the
//! time that passes speaks for itself. This is the mean of a Gamma-Poisson estimate that forgets by
//! events instead of by time.

use minicbor::{Decode, Encode};

use super::time::Timestamp;
use super::units::Units;

/// Orders that are remembered: enough to tell a third from a half, few enough to follow a change.
pub const MEMORY: u64 = 32;

/// Orders of this time are remembered however many they are, in milliseconds.
pub const SHORTEST: u64 = 2_000;

/// What buyers asked for at one node. No part of the books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Gauge {
    /// Units asked for, in thousandths.
    #[n(0)]
    pub units: u64,
    /// Orders that asked, in thousandths: how much the gauge is worth.
    #[n(1)]
    pub orders: u64,
    /// From the first of them to the last, in thousandths of a millisecond: of many orders in each
    /// millisecond, one takes less than one of those along when it is forgotten.
    #[n(2)]
    pub span: u64,
    /// When the last of them came, by the node's ledger time.
    #[n(3)]
    pub at: Timestamp,
}

impl Gauge {
    /// A buyer asked for so many units.
    pub fn asked(&mut self, now: Timestamp, quantity: Units) {
        if self.orders == 0 {
            self.at = now;
        }
        if self.orders >= MEMORY * 1_000 && self.span >= SHORTEST * 1_000 {
            // One comes, one goes.
            let orders = self.orders / 1_000;
            for part in [&mut self.units, &mut self.orders, &mut self.span] {
                *part -= *part / orders;
            }
        }
        self.units = self.units.saturating_add(quantity.0.saturating_mul(1_000));
        self.orders = self.orders.saturating_add(1_000);
        self.span = self.span.saturating_add(now.since(self.at).0.saturating_mul(1_000));
        self.at = self.at.max(now);
    }

    /// Units a millisecond. The first order only starts the clock: one order tells no rate.
    pub fn rate(&self, now: Timestamp) -> f64 {
        if self.orders <= 1_000 {
            return 0.0;
        }
        let after_first = (self.orders - 1_000) as f64 / self.orders as f64;
        let lasted = self.span as f64 / 1_000.0 + now.since(self.at).0 as f64;
        self.remembered() * after_first / lasted.max(1.0)
    }

    /// Orders that it rests on.
    pub fn weight(&self) -> f64 {
        self.orders as f64 / 1_000.0
    }

    /// Units of an order, in the mean; 1 when nobody asked.
    pub fn order(&self) -> f64 {
        if self.orders == 0 { 1.0 } else { (self.units as f64 / self.orders as f64).max(1.0) }
    }

    /// Units asked for by the orders that are remembered.
    pub fn remembered(&self) -> f64 {
        self.units as f64 / 1_000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(times: impl Iterator<Item = u64>) -> Gauge {
        let mut gauge = Gauge::default();
        times.for_each(|ms| gauge.asked(Timestamp(ms), Units(2)));
        gauge
    }

    #[test]
    fn a_steady_rate_is_told_whatever_its_pace() {
        for pace in [10, 1_000, 3_600_000] {
            let gauge = asked((0..100).map(|n| n * pace));
            let expected = 2.0 / pace as f64;
            let rate = gauge.rate(Timestamp(99 * pace));
            assert!((rate / expected - 1.0).abs() < 0.05, "{rate} at one order in {pace} ms");
            assert_eq!(gauge.order(), 2.0);
        }
    }

    #[test]
    fn a_hot_rate_is_told_whatever_part_of_a_millisecond_lies_between_orders() {
        for per_second in [400, 700, 999, 1_500, 10_000, 50_000] {
            let gauge = asked((0..20 * per_second).map(|n| n * 1_000 / per_second));
            let expected = 2.0 * per_second as f64 / 1_000.0;
            let rate = gauge.rate(Timestamp(20_000));
            assert!((rate / expected - 1.0).abs() < 0.05, "{rate} for {expected}");
        }
    }

    #[test]
    fn it_follows_a_change_and_fades_when_nobody_asks() {
        let mut gauge = asked((0..100).map(|n| n * 1_000));
        let before = gauge.rate(Timestamp(99_000));
        (1..=64).for_each(|n| gauge.asked(Timestamp(99_000 + n * 100), Units(2)));
        let after = gauge.rate(Timestamp(105_400));
        assert!(after > 4.0 * before, "{after} after {before}");
        let faded = gauge.rate(Timestamp(105_400 + 60_000));
        assert!(faded < after / 4.0, "{faded} after {after}");
    }

    #[test]
    fn one_order_tells_no_rate_and_many_at_once_an_enormous_one() {
        assert_eq!(asked([5].into_iter()).rate(Timestamp(6)), 0.0);
        assert!(asked([5; 40].into_iter()).rate(Timestamp(5)).is_finite());
        let mut gauge = Gauge { units: u64::MAX, orders: u64::MAX, span: u64::MAX, at: Timestamp(u64::MAX) };
        gauge.asked(Timestamp(9), Units(u64::MAX));
        assert!(gauge.rate(Timestamp(10)).is_finite());
    }
}
