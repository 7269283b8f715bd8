//! The client's own books: what was acknowledged to it, whatever the servers' books say.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::order::{OrderEnd, OrderReport, Verdict};
use super::trace::{Trace, TraceLine};

/// Latencies are kept in microseconds up to this long.
const MAX_MICROS: u64 = 600_000_000;
/// Complaints that are kept word for word.
const MAX_COMPLAINTS: usize = 20;

/// Per item, in the order of [`Trace::skus`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ItemAcks {
    pub received: u64,
    pub confirmed: u64,
    pub returned: u64,
}

impl ItemAcks {
    /// Units confirmed beyond those that were acknowledged as received or returned.
    pub fn oversold(&self) -> u64 {
        self.confirmed.saturating_sub(self.received.saturating_add(self.returned))
    }
}

/// Orders that were sales, and how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderCounts {
    pub sent: u64,
    pub confirmed: u64,
    pub refused: u64,
    pub unanswered: u64,
    pub units_asked: u64,
    pub units_confirmed: u64,
    pub units_returned: u64,
}

#[derive(Debug)]
pub struct Ledger {
    pub items: Vec<ItemAcks>,
    pub total: OrderCounts,
    /// By the region of the node that was asked.
    pub regions: BTreeMap<String, OrderCounts>,
    pub refused_by: BTreeMap<Verdict, u64>,
    pub reserve: Histogram<u64>,
    /// Of those, what was held from the rights at the node, what was held after it had waited for
    /// other nodes, and what was refused.
    pub reserve_local: Histogram<u64>,
    pub reserve_waited: Histogram<u64>,
    pub reserve_refused: Histogram<u64>,
    pub confirm: Histogram<u64>,
    /// Returns that nobody acknowledged.
    pub returns_unanswered: u64,
    /// Answers that should never be given.
    pub unexpected: u64,
    /// What went wrong, in words, as far as kept.
    pub complaints: Vec<String>,
}

impl Ledger {
    /// `received`: units acknowledged as received before the load.
    pub fn new(received: &[u64]) -> Ledger {
        let histogram =
            || Histogram::new_with_bounds(1, MAX_MICROS, 3).expect("the bounds are valid constants");
        let item = |received: &u64| ItemAcks { received: *received, ..ItemAcks::default() };
        Ledger {
            items: received.iter().map(item).collect(),
            total: OrderCounts::default(),
            regions: BTreeMap::new(),
            refused_by: BTreeMap::new(),
            reserve: histogram(),
            reserve_local: histogram(),
            reserve_waited: histogram(),
            reserve_refused: histogram(),
            confirm: histogram(),
            returns_unanswered: 0,
            unexpected: 0,
            complaints: Vec::new(),
        }
    }

    /// Enters one order's end, as it was acknowledged at a node of `region`.
    pub fn enter(&mut self, trace: &Trace, region: &str, report: &OrderReport) {
        let order = &trace.orders[report.order];
        record(&mut self.reserve, report.reserve);
        let apart = match (report.is_held(), report.waited) {
            (true, false) => &mut self.reserve_local,
            (true, true) => &mut self.reserve_waited,
            (false, _) => &mut self.reserve_refused,
        };
        record(apart, report.reserve);
        record(&mut self.confirm, report.confirm);
        let mut counts = OrderCounts::default();
        let sold = units(&order.sales);
        if !order.sales.is_empty() {
            (counts.sent, counts.units_asked) = (1, sold);
            match &report.end {
                OrderEnd::Confirmed => {
                    (counts.confirmed, counts.units_confirmed) = (1, sold);
                    order.sales.iter().for_each(|line| self.items[line.sku].confirmed += line.quantity);
                }
                OrderEnd::Refused(verdict) => {
                    counts.refused = 1;
                    *self.refused_by.entry(*verdict).or_default() += 1;
                }
                OrderEnd::Unanswered => counts.unanswered = 1,
            }
        }
        for (line, acknowledged) in order.returns.iter().zip(&report.returned) {
            if *acknowledged {
                self.items[line.sku].returned += line.quantity;
                counts.units_returned += line.quantity;
            } else {
                self.returns_unanswered += 1;
            }
        }
        self.unexpected += u64::from(report.unexpected.is_some());
        report.unexpected.iter().for_each(|text| self.complain(text.clone()));
        self.total.add(&counts);
        self.regions.entry(region.to_owned()).or_default().add(&counts);
    }

    pub fn complain(&mut self, text: String) {
        if self.complaints.len() < MAX_COMPLAINTS {
            self.complaints.push(text);
        }
    }

    /// Over all items.
    pub fn oversold(&self) -> u64 {
        self.items.iter().map(ItemAcks::oversold).sum()
    }
}

impl OrderCounts {
    fn add(&mut self, more: &OrderCounts) {
        self.sent += more.sent;
        self.confirmed += more.confirmed;
        self.refused += more.refused;
        self.unanswered += more.unanswered;
        self.units_asked += more.units_asked;
        self.units_confirmed += more.units_confirmed;
        self.units_returned += more.units_returned;
    }
}

fn units(lines: &[TraceLine]) -> u64 {
    lines.iter().map(|line| line.quantity).sum()
}

fn record(histogram: &mut Histogram<u64>, latency: Option<Duration>) {
    if let Some(latency) = latency {
        histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(MAX_MICROS).max(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::replay::trace::Window;

    fn trace() -> Trace {
        let text = "ts,region,sku,qty,order\nt,uk,A,3,1\nt,uk,B,1,1\nt,fr,A,2,2\nt,uk,A,-1,3\nt,fr,B,2,4\n";
        Trace::read(text.as_bytes(), Window::default()).unwrap()
    }

    fn report(order: usize, end: OrderEnd, returned: &[bool]) -> OrderReport {
        OrderReport { end, returned: returned.to_vec(), ..OrderReport::unanswered(order) }
    }

    #[test]
    fn oversold_is_what_was_confirmed_beyond_what_came_in_item_by_item() {
        let mut ledger = Ledger::new(&[4, 9]);
        ledger.enter(&trace(), "uk", &report(0, OrderEnd::Confirmed, &[]));
        assert_eq!(ledger.oversold(), 0);
        ledger.enter(&trace(), "fr", &report(1, OrderEnd::Confirmed, &[]));
        assert_eq!(ledger.oversold(), 1, "plenty of B does not make up for A");
        ledger.enter(&trace(), "uk", &report(2, OrderEnd::Unanswered, &[false]));
        assert_eq!(
            (ledger.oversold(), ledger.returns_unanswered),
            (1, 1),
            "an unacknowledged return does not count"
        );
        ledger.enter(&trace(), "uk", &report(2, OrderEnd::Unanswered, &[true]));
        assert_eq!(ledger.oversold(), 0);
    }

    #[test]
    fn reservations_are_timed_apart_by_what_they_waited_for() {
        let mut ledger = Ledger::new(&[9, 9]);
        let refused = OrderEnd::Refused(Verdict::SoldOut);
        for (order, end, waited, ms) in [
            (0, OrderEnd::Confirmed, false, 2),
            (1, OrderEnd::Confirmed, true, 80),
            (3, OrderEnd::Unanswered, true, 90),
            (0, refused.clone(), true, 1_000),
            (1, refused, false, 1),
        ] {
            let reserve = Some(Duration::from_millis(ms));
            let report = OrderReport { reserve, waited, ..report(order, end, &[]) };
            ledger.enter(&trace(), "uk", &report);
        }
        ledger.enter(&trace(), "uk", &report(2, OrderEnd::Unanswered, &[true]));
        let parts = [&ledger.reserve_local, &ledger.reserve_waited, &ledger.reserve_refused];
        assert_eq!((ledger.reserve.len(), parts.map(Histogram::len)), (5, [1, 2, 2]));
        assert!(ledger.reserve_local.max() < 3_000 && ledger.reserve_waited.min() > 79_000);
    }

    #[test]
    fn orders_are_counted_by_end_region_and_verdict() {
        let mut ledger = Ledger::new(&[9, 9]);
        ledger.enter(&trace(), "uk", &report(0, OrderEnd::Confirmed, &[]));
        ledger.enter(&trace(), "fr", &report(1, OrderEnd::Refused(Verdict::Elsewhere), &[]));
        ledger.enter(&trace(), "uk", &report(2, OrderEnd::Unanswered, &[true]));
        ledger.enter(&trace(), "fr", &report(3, OrderEnd::Unanswered, &[]));
        let total = ledger.total;
        assert_eq!((total.sent, total.confirmed, total.refused, total.unanswered), (3, 1, 1, 1));
        assert_eq!((total.units_asked, total.units_confirmed, total.units_returned), (8, 4, 1));
        assert_eq!(ledger.regions["fr"].sent, 2);
        assert_eq!(ledger.refused_by[&Verdict::Elsewhere], 1);
    }
}
