//! The newest refusal of each item, so that an admin can be told why a buyer went away.
//!
//! Kept in memory only: a refusal changes nothing, so nothing of it is durable.

use std::collections::{BTreeMap, BTreeSet};

use crate::limits::MAX_LAST_REFUSALS;
use crate::types::{LastRefusal, Shortfall, Sku, Timestamp};

/// At most [`MAX_LAST_REFUSALS`] items; the one refused longest ago gives way.
#[derive(Debug, Default)]
pub struct Refusals {
    by_sku: BTreeMap<Sku, LastRefusal>,
    by_time: BTreeSet<(Timestamp, Sku)>,
}

impl Refusals {
    pub fn note(&mut self, at: Timestamp, shortfall: &Shortfall) {
        let sku = &shortfall.sku;
        let refusal = LastRefusal { at, shortfall: shortfall.clone() };
        if let Some(old) = self.by_sku.insert(sku.clone(), refusal) {
            self.by_time.remove(&(old.at, sku.clone()));
        }
        self.by_time.insert((at, sku.clone()));
        if self.by_time.len() > MAX_LAST_REFUSALS
            && let Some((_, oldest)) = self.by_time.pop_first()
        {
            self.by_sku.remove(&oldest);
        }
    }

    pub fn len(&self) -> usize {
        self.by_sku.len()
    }

    pub fn of(&self, sku: &Sku) -> Option<&LastRefusal> {
        self.by_sku.get(sku)
    }
}
