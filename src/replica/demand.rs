//! What buyers ask of this node: a [`Gauge`] an item, which travels in the row, and what only the
//! node itself needs to know.

use std::collections::BTreeMap;

use crate::types::{Gauge, Millis, Sku, Timestamp, Units};

/// Items that are gauged at once; beyond, those are dropped that nobody asked for longest.
const MAX_GAUGES: usize = 100_000;
/// An order changes what is thought of the hurry of buyers by one part in so many.
const HURRY_MEMORY: f64 = 8.0;

/// What is known of the buyers of an item here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Buyers {
    pub gauge: Gauge,
    /// The share of them who would not wait for a round trip.
    pub hurry: f64,
    /// Mean square of an order's units over the mean of its units: what an order of a random size
    /// adds to the variance of demand. The size of a large order, where sizes differ.
    pub burst: f64,
}

#[derive(Debug, Default)]
pub struct Demand {
    items: BTreeMap<Sku, Buyers>,
    /// All items together.
    all: Gauge,
}

impl Demand {
    /// A buyer asked for so many units and would wait so long; `known` is the gauge in the own row,
    /// from which it goes on after a restart. `round_trip`: to the nearest member.
    pub fn asked(
        &mut self,
        now: Timestamp,
        sku: &Sku,
        quantity: Units,
        (wait, round_trip): (Millis, Millis),
        known: Gauge,
    ) {
        self.all.asked(now, quantity);
        if self.items.len() >= MAX_GAUGES && !self.items.contains_key(sku) {
            self.drop_oldest();
        }
        let hurries = if wait < round_trip { 1.0 } else { 0.0 };
        let units = quantity.0 as f64;
        let fresh = Buyers { gauge: known, hurry: hurries, burst: units };
        let buyers = self.items.entry(sku.clone()).or_insert(fresh);
        buyers.gauge.asked(now, quantity);
        buyers.hurry += (hurries - buyers.hurry) / HURRY_MEMORY;
        // Each unit counts as much, hence a large order more than a small one.
        let part = units / (buyers.gauge.order() * HURRY_MEMORY);
        buyers.burst += (units - buyers.burst) * part.min(1.0);
    }

    pub fn of(&self, sku: &Sku) -> Option<Buyers> {
        self.items.get(sku).copied()
    }

    pub fn all(&self) -> Gauge {
        self.all
    }

    fn drop_oldest(&mut self) {
        let mut by_age: Vec<(Timestamp, Sku)> =
            self.items.iter().map(|(sku, buyers)| (buyers.gauge.at, sku.clone())).collect();
        by_age.sort_unstable();
        for (_, sku) in by_age.iter().take(MAX_GAUGES / 2) {
            self.items.remove(sku);
        }
    }
}
