//! Indigo's way with escrow: rights are fetched before they are needed.
//!
//! A node that a buyer has come to and that has fewer units than a threshold asks the richest node
//! it knows of for more, in the background. Thresholds are fixed numbers there; here they are
//! fractions of an equal share of the item's stock, so that they mean the same for every item. A
//! donor gives what it has above its threshold, and half of what it has when that is more: without
//! it the units below the thresholds would never be sold.

use super::super::{Course, Want};
use super::{Ask, Desk, Rule, Traders};
use crate::time::Time;

/// In hundredths of an equal share.
const LOW: u64 = 30;
/// What a node asks to have.
const ENOUGH: u64 = 50;

pub struct Indigo;

pub fn new(course: &Course) -> Traders<Indigo> {
    Traders::new(course, || Indigo)
}

impl Rule for Indigo {
    fn name(&self) -> &'static str {
        "indigo, thresholds scaled"
    }

    fn asks(&mut self, _: Time, desk: &Desk, came: &[Want]) -> Vec<Ask> {
        let mut missing = desk.missing();
        for want in came {
            if desk.free(want.item) < desk.part_of_share(want.item, LOW) {
                missing.entry(want.item).or_insert(0);
            }
        }
        missing.retain(|item, _| !desk.asking.contains_key(item));
        let ask = |(item, missing): (usize, u64)| {
            let units = missing + desk.part_of_share(item, ENOUGH).saturating_sub(desk.free(item));
            desk.richest(item, |_| true).map(|donor| Ask { donor, item, units })
        };
        missing.into_iter().filter_map(ask).collect()
    }

    fn gives(&self, desk: &Desk, item: usize, units: u64) -> u64 {
        let free = desk.free(item);
        units.min(free.saturating_sub(desk.part_of_share(item, LOW)).max(free.div_ceil(2)))
    }

    fn wakes(&self, _: &Desk) -> Option<Time> {
        None
    }
}
