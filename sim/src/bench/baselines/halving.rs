//! A bounded counter whose donors give half of what they have.
//!
//! A node that a buyer has come to and that has less than half of an equal share asks the richest
//! node it knows of, one at a time, and does not ask the same one for the same item again before a
//! cool-down is over. Its buyers wait meanwhile. Halving makes the last units wander, and the
//! cool-down starves a sale that is shorter.

use std::collections::BTreeMap;

use super::super::{Course, Want};
use super::{Ask, Desk, Rule, Traders};
use crate::time::{Span, Time};

/// The usual cool-down, and a short one.
pub const COOL_DOWNS: [Span; 2] = [Span::seconds(5), Span::millis(500)];

/// In hundredths of an equal share.
const LOW: u64 = 50;

pub struct Halving {
    cool_down: Span,
    /// Until when each donor is left in peace, by item and donor.
    resting: BTreeMap<(usize, usize), Time>,
}

pub fn new(course: &Course, cool_down: Span) -> Traders<Halving> {
    Traders::new(course, || Halving { cool_down, resting: BTreeMap::new() })
}

impl Rule for Halving {
    fn name(&self) -> &'static str {
        if self.cool_down == COOL_DOWNS[0] { "donor gives half, 5 s" } else { "donor gives half, 0.5 s" }
    }

    fn asks(&mut self, now: Time, desk: &Desk, came: &[Want]) -> Vec<Ask> {
        self.resting.retain(|_, until| *until > now);
        let mut asks = Vec::new();
        let mut missing = desk.missing();
        for want in came {
            if desk.free(want.item) < desk.part_of_share(want.item, LOW) {
                missing.entry(want.item).or_insert(0);
            }
        }
        for (item, units) in missing {
            if desk.asking.contains_key(&item) {
                continue;
            }
            if let Some(donor) = desk.richest(item, |node| !self.resting.contains_key(&(item, node))) {
                self.resting.insert((item, donor), now.after(self.cool_down));
                asks.push(Ask { donor, item, units });
            }
        }
        asks
    }

    fn gives(&self, desk: &Desk, item: usize, _: u64) -> u64 {
        desk.free(item).div_ceil(2)
    }

    fn wakes(&self, desk: &Desk) -> Option<Time> {
        if desk.waiting.is_empty() { None } else { self.resting.values().min().copied() }
    }
}
