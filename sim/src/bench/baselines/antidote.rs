//! AntidoteDB's manager of bounded counters, as the code of its long-lived version behaves.
//!
//! A decrement that fails is answered at once and what was missing is queued; every 100 ms the
//! queue of an item is added up and asked of the other nodes. They are sorted *poorest* first, the
//! contrary of what the comment there says, and each is asked for all it is known to have until the
//! sum is reached. A donor that has less than it is asked for gives nothing. The throttle of donors
//! lets everything pass. (A later version throttles instead for ever, which is worse.)
//!
//! The one who retries is the buyer, as often as [`RETRY`] and whenever units come, as long as
//! patience lasts; each retry that fails is queued again, and asked for again: a buyer who waits two
//! periods gets rights for several.

use std::collections::BTreeMap;

use super::super::{Course, Want};
use super::{Ask, Desk, Rule, Traders};
use crate::time::{Span, Time};

const PERIOD: Span = Span::millis(100);
const RETRY: Span = Span::millis(250);

pub struct Antidote {
    /// Units by item, since the last period.
    queue: BTreeMap<usize, u64>,
    period_at: Time,
    /// When each waiting buyer last tried.
    tried: BTreeMap<usize, Time>,
}

pub fn new(course: &Course) -> Traders<Antidote> {
    Traders::new(course, rule)
}

pub fn rule() -> Antidote {
    Antidote { queue: BTreeMap::new(), period_at: Time::ZERO, tried: BTreeMap::new() }
}

impl Antidote {
    fn queue(&mut self, now: Time, item: usize, units: u64) {
        if self.queue.is_empty() {
            self.period_at = Time((now.0 / PERIOD.0 + 1) * PERIOD.0);
        }
        *self.queue.entry(item).or_insert(0) += units;
    }

    fn queue_failures(&mut self, now: Time, desk: &Desk) {
        self.tried.retain(|number, _| desk.waiting.iter().any(|waiting| waiting.number == *number));
        for waiting in &desk.waiting {
            if self.tried.get(&waiting.number).is_some_and(|last| last.after(RETRY) > now) {
                continue;
            }
            self.tried.insert(waiting.number, now);
            for want in &waiting.wants {
                let missing = want.units.saturating_sub(desk.free(want.item));
                if missing > 0 {
                    self.queue(now, want.item, missing);
                }
            }
        }
    }

    /// What nobody is known to have is asked for again in the next period, unless it is all.
    fn ask_poorest_first(&mut self, now: Time, desk: &Desk, (item, units): (usize, u64)) -> Vec<Ask> {
        let mut peers: Vec<_> = desk.peers().map(|node| (desk.known(node, item).free, node)).collect();
        peers.sort_unstable();
        let mut remaining = units;
        let mut asks = Vec::new();
        for (free, donor) in peers {
            let units = free.min(remaining);
            if units > 0 {
                remaining -= units;
                asks.push(Ask { donor, item, units });
            }
        }
        if remaining > 0 && remaining < units {
            self.queue(now, item, remaining);
        }
        asks
    }
}

impl Rule for Antidote {
    fn name(&self) -> &'static str {
        "antidote's manager"
    }

    fn asks(&mut self, now: Time, desk: &Desk, _: &[Want]) -> Vec<Ask> {
        self.queue_failures(now, desk);
        if now < self.period_at {
            return Vec::new();
        }
        let queue = std::mem::take(&mut self.queue);
        queue.into_iter().flat_map(|failed| self.ask_poorest_first(now, desk, failed)).collect()
    }

    fn gives(&self, desk: &Desk, item: usize, units: u64) -> u64 {
        if desk.free(item) < units { 0 } else { units }
    }

    fn wakes(&self, desk: &Desk) -> Option<Time> {
        let retry =
            self.tried.values().min().map(|last| last.after(RETRY)).filter(|_| !desk.waiting.is_empty());
        let period = if self.queue.is_empty() { None } else { Some(self.period_at) };
        [retry, period].into_iter().flatten().min()
    }
}
