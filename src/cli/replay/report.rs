//! What a replay came to.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::central::Central;
use super::ledger::{Ledger, OrderCounts};
use super::order::Verdict;
use super::settle::{Convergence, ServerBooks};
use crate::cli::table;
use crate::cli::terminal::say;

#[derive(Debug, Serialize)]
pub struct Report {
    pub orders: Orders,
    pub units: Units,
    pub refused_by: RefusedBy,
    pub regions: BTreeMap<String, RegionReport>,
    pub seconds: f64,
    /// Orders sent a second.
    pub rate: f64,
    pub latency_ms: Latencies,
    pub transfers: Option<u64>,
    pub books: Books,
    pub central: Central,
    pub ok: bool,
}

#[derive(Debug, Serialize)]
pub struct Orders {
    pub sent: u64,
    pub confirmed: u64,
    pub refused: u64,
    pub unanswered: u64,
}

#[derive(Debug, Serialize)]
pub struct Units {
    pub received: u64,
    pub asked: u64,
    pub confirmed: u64,
    pub returned: u64,
}

#[derive(Debug, Serialize)]
pub struct RefusedBy {
    pub sold_out: u64,
    pub elsewhere: u64,
    pub unknown: u64,
}

#[derive(Debug, Serialize)]
pub struct RegionReport {
    #[serde(flatten)]
    pub orders: Orders,
    pub units: RegionUnits,
}

#[derive(Debug, Serialize)]
pub struct RegionUnits {
    pub asked: u64,
    pub confirmed: u64,
    pub returned: u64,
}

#[derive(Debug, Serialize)]
pub struct Latencies {
    pub reserve: Latency,
    /// Held at once, from the rights at the node.
    pub reserve_local: Latency,
    /// Held after the node had waited for others.
    pub reserve_waited: Latency,
    pub reserve_refused: Latency,
    pub confirm: Latency,
}

#[derive(Debug, Serialize)]
pub struct Latency {
    pub count: u64,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

#[derive(Debug, Serialize)]
pub struct Books {
    pub sold: u64,
    pub returned: u64,
    /// From the acknowledgements, not from the servers' books.
    pub oversold: u64,
    pub balanced: bool,
    pub converged: bool,
    pub converged_ms: Option<u64>,
}

/// What a report is made of.
#[derive(Debug)]
pub struct Findings<'a> {
    pub ledger: &'a Ledger,
    pub took: Duration,
    pub transfers: Option<u64>,
    pub convergence: &'a Convergence,
    pub server: &'a ServerBooks,
    pub central: Central,
    pub interrupted: bool,
}

impl Report {
    pub fn new(findings: &Findings<'_>) -> Report {
        let Findings { ledger, convergence, server, .. } = findings;
        let seconds = findings.took.as_secs_f64();
        let total = &ledger.total;
        let refused = |verdict| ledger.refused_by.get(&verdict).copied().unwrap_or(0);
        let books = Books {
            sold: server.sold,
            returned: server.returned,
            oversold: ledger.oversold(),
            balanced: server.balanced && convergence.complaints.is_empty(),
            converged: convergence.after.is_some(),
            converged_ms: convergence.after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        };
        let answered = total.unanswered == 0 && ledger.returns_unanswered == 0 && ledger.unexpected == 0;
        Report {
            orders: Orders::new(total),
            units: Units {
                received: ledger.items.iter().map(|item| item.received).sum(),
                asked: total.units_asked,
                confirmed: total.units_confirmed,
                returned: total.units_returned,
            },
            refused_by: RefusedBy {
                sold_out: refused(Verdict::SoldOut),
                elsewhere: refused(Verdict::Elsewhere),
                unknown: refused(Verdict::Unknown),
            },
            regions: ledger
                .regions
                .iter()
                .map(|(region, counts)| (region.clone(), RegionReport::new(counts)))
                .collect(),
            seconds: rounded(seconds),
            rate: rounded(total.sent as f64 / seconds.max(0.001)),
            latency_ms: Latencies {
                reserve: Latency::new(&ledger.reserve),
                reserve_local: Latency::new(&ledger.reserve_local),
                reserve_waited: Latency::new(&ledger.reserve_waited),
                reserve_refused: Latency::new(&ledger.reserve_refused),
                confirm: Latency::new(&ledger.confirm),
            },
            transfers: findings.transfers,
            ok: books.oversold == 0 && books.balanced && books.converged && answered && !findings.interrupted,
            books,
            central: findings.central,
        }
    }

    /// For people.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn print_table(&self) -> anyhow::Result<()> {
        let mut rows = table(&["region", "orders", "confirmed", "refused", "open", "units sold", "returned"]);
        for (region, part) in &self.regions {
            rows.add_row(cells(region, &part.orders, part.units.confirmed, part.units.returned));
        }
        rows.add_row(cells("all", &self.orders, self.units.confirmed, self.units.returned));
        say(format_args!("{rows}\n{}", self.summary()))
    }

    fn summary(&self) -> String {
        let Report { refused_by, latency_ms, books, central, .. } = self;
        let share = 100.0 * self.orders.confirmed as f64 / (central.orders.max(1) as f64);
        let latency =
            |latency: &Latency| format!("{:.2} / {:.2} / {:.2} ms", latency.p50, latency.p99, latency.p999);
        let apart = |what, part: &Latency| format!("  {what:<17} {}, {} orders", latency(part), part.count);
        let transfers = self.transfers.map_or_else(|| "not counted".to_owned(), |count| count.to_string());
        let converged = books.converged_ms.map_or_else(|| "NO".to_owned(), |ms| format!("after {ms} ms"));
        [
            format!(
                "one counter would serve {} orders, {} units; {share:.2} % of these orders",
                central.orders, central.units
            ),
            refused_by.words(),
            format!("units               {} received, {} asked for", self.units.received, self.units.asked),
            format!("time                {:.1} s, {:.0} orders/s", self.seconds, self.rate),
            format!("reserve p50/99/99.9 {}", latency(&latency_ms.reserve)),
            apart("local", &latency_ms.reserve_local),
            apart("waited", &latency_ms.reserve_waited),
            apart("refused", &latency_ms.reserve_refused),
            format!("confirm p50/99/99.9 {}", latency(&latency_ms.confirm)),
            format!("transfers           {transfers}"),
            format!(
                "books               {} sold, {} returned, {}",
                books.sold,
                books.returned,
                if books.balanced { "balanced" } else { "NOT BALANCED" }
            ),
            format!("nodes agree         {converged}"),
            format!("oversold            {}", books.oversold),
            if self.ok { "ok".to_owned() } else { "FAILED".to_owned() },
        ]
        .join("\n")
    }
}

impl RefusedBy {
    fn words(&self) -> String {
        let RefusedBy { sold_out, elsewhere, unknown } = self;
        let counts =
            format!("refused             {sold_out} sold out, {elsewhere} elsewhere, {unknown} unknown");
        match unknown {
            0 => counts,
            _ => counts + "\n  unknown: nothing proved, as nodes were silent or units on their way",
        }
    }
}

fn cells(region: &str, orders: &Orders, sold: u64, returned: u64) -> [String; 7] {
    let counts = [orders.sent, orders.confirmed, orders.refused, orders.unanswered, sold, returned]
        .map(|n| n.to_string());
    let [sent, confirmed, refused, open, sold, returned] = counts;
    [region.to_owned(), sent, confirmed, refused, open, sold, returned]
}

impl Orders {
    fn new(counts: &OrderCounts) -> Orders {
        let OrderCounts { sent, confirmed, refused, unanswered, .. } = *counts;
        Orders { sent, confirmed, refused, unanswered }
    }
}

impl RegionReport {
    fn new(counts: &OrderCounts) -> RegionReport {
        let OrderCounts { units_asked: asked, units_confirmed: confirmed, units_returned: returned, .. } =
            *counts;
        RegionReport { orders: Orders::new(counts), units: RegionUnits { asked, confirmed, returned } }
    }
}

impl Latency {
    fn new(micros: &Histogram<u64>) -> Latency {
        let at = |quantile| {
            if micros.is_empty() { 0.0 } else { micros.value_at_quantile(quantile) as f64 / 1_000.0 }
        };
        Latency {
            count: micros.len(),
            p50: rounded(at(0.5)),
            p99: rounded(at(0.99)),
            p999: rounded(at(0.999)),
        }
    }
}

/// To thousandths.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_unknown_means_is_said_when_there_is_some() {
        let words = |unknown| RefusedBy { sold_out: 2, elsewhere: 1, unknown }.words();
        assert_eq!(words(0), "refused             2 sold out, 1 elsewhere, 0 unknown");
        assert!(
            words(3).ends_with(
                "3 unknown\n  unknown: nothing proved, as nodes were silent or units on their way"
            )
        );
    }
}
