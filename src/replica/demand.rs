//! How much buyers asked for here lately: asked, not sold, so that a dry node does not look idle.
//!
//! A sum that halves every [`HALF_LIFE`], in thousandths of a unit, in integers so that every
//! platform computes the same.

use std::collections::BTreeMap;

use crate::types::{Millis, Sku, Timestamp, Units};

pub const HALF_LIFE: Millis = Millis::from_secs(60);
/// Items that are gauged at once; beyond, the coldest half is dropped.
const MAX_GAUGES: usize = 100_000;

#[derive(Clone, Copy, Debug)]
struct Gauge {
    milli: u64,
    at: Timestamp,
}

#[derive(Debug, Default)]
pub struct Demand {
    gauges: BTreeMap<Sku, Gauge>,
}

impl Demand {
    /// Buyers asked for so many units.
    pub fn asked(&mut self, now: Timestamp, sku: &Sku, quantity: Units) {
        let milli = self.milli(now, sku).saturating_add(quantity.0.saturating_mul(1_000));
        self.gauges.insert(sku.clone(), Gauge { milli, at: now });
        if self.gauges.len() > MAX_GAUGES {
            self.drop_coldest(now);
        }
    }

    /// The gauge as of `now`, in thousandths of a unit.
    pub fn milli(&self, now: Timestamp, sku: &Sku) -> u64 {
        self.gauges.get(sku).map_or(0, |gauge| decayed(gauge.milli, now.since(gauge.at)))
    }

    fn drop_coldest(&mut self, now: Timestamp) {
        let mut by_heat: Vec<(u64, Sku)> =
            self.gauges.iter().map(|(sku, g)| (decayed(g.milli, now.since(g.at)), sku.clone())).collect();
        by_heat.sort_unstable();
        for (_, sku) in by_heat.iter().take(MAX_GAUGES / 2) {
            self.gauges.remove(sku);
        }
    }
}

/// Halved once every half-life, linearly in between.
fn decayed(milli: u64, age: Millis) -> u64 {
    let (halvings, rest) = (age.0 / HALF_LIFE.0, age.0 % HALF_LIFE.0);
    if halvings >= 64 {
        return 0;
    }
    let whole = milli >> halvings;
    let lost = u128::from(whole) * u128::from(rest) / u128::from(2 * HALF_LIFE.0);
    whole - u64::try_from(lost).unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_halves_with_each_half_life_and_never_jumps() {
        assert_eq!(decayed(1_000, Millis(0)), 1_000);
        assert_eq!(decayed(1_000, HALF_LIFE), 500);
        assert_eq!(decayed(1_000, Millis(HALF_LIFE.0 / 2)), 750);
        assert_eq!(decayed(1_000, Millis(HALF_LIFE.0 * 3)), 125);
        assert_eq!(decayed(u64::MAX, Millis(u64::MAX)), 0);
        assert!(decayed(1_000, Millis(HALF_LIFE.0 - 1)) >= 500);
    }
}
