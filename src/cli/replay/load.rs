//! Sending the orders: in the order of the file for each node, so many at once in all.

use std::collections::VecDeque;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::ledger::Ledger;
use super::order::{OrderReport, Shop};
use super::patience::Patience;
use super::progress::Progress;

/// Orders started in a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(f64);

const MAX_RATE: f64 = 1e6;
/// How long each open order is asked about after the load.
const RESOLVE_WITHIN: Duration = Duration::from_secs(15);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Rate, String> {
        let number = text.strip_suffix("/s").unwrap_or(text).parse::<f64>();
        match number {
            Ok(rate) if rate > 0.0 && rate <= MAX_RATE => Ok(Rate(rate)),
            _ => Err("write orders a second, such as 80 or 80/s".to_owned()),
        }
    }
}

/// How hard the nodes are pressed.
#[derive(Clone, Copy, Debug)]
pub struct Pressure {
    pub in_flight: usize,
    pub rate: Option<Rate>,
}

/// Sends all orders and enters those that ended. Returns those that are still open.
///
/// # Errors
/// When a task of this program fails.
pub async fn send_all(
    shop: &Shop,
    nodes: &[usize],
    pressure: Pressure,
    ledger: &mut Ledger,
    progress: &mut Progress,
) -> anyhow::Result<Vec<OrderReport>> {
    let mut queues = Queues::new(nodes, shop.targets.len());
    let mut pace = Pace { began: Instant::now(), rate: pressure.rate, started: 0 };
    let mut stopped = shop.patience.stopped.clone();
    let mut running = JoinSet::new();
    let mut open = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    loop {
        let has_stopped = *stopped.borrow_and_update();
        while !has_stopped && running.len() < pressure.in_flight && pace.is_due() {
            let Some((order, node)) = queues.next(|node| shop.silences.is_silent(node)) else { break };
            let shop = shop.clone();
            running.spawn(async move { shop.carry_out(order, node).await });
            pace.started += 1;
        }
        if running.is_empty() && (has_stopped || queues.is_empty()) {
            return Ok(open);
        }
        let may_start = !has_stopped && running.len() < pressure.in_flight && !queues.is_empty();
        tokio::select! {
            biased;
            Some(joined) = running.join_next() => {
                let report: OrderReport = joined.context("an order's task failed")?;
                progress.advance();
                enter(shop, nodes, ledger, report, &mut open);
            }
            () = pace.until_due(), if may_start && !pace.is_due() => {}
            () = shop.silences.ended.notified() => {}
            Ok(()) = stopped.changed() => {}
            _ = ticks.tick() => progress.tick(),
        }
    }
}

fn enter(
    shop: &Shop,
    nodes: &[usize],
    ledger: &mut Ledger,
    report: OrderReport,
    open: &mut Vec<OrderReport>,
) {
    if report.is_settled(&shop.trace.orders[report.order]) || report.unexpected.is_some() {
        ledger.enter(&shop.trace, &shop.targets[nodes[report.order]].region, &report);
    } else {
        open.push(report);
    }
}

/// Asks about every open order, enters how it ended, and says which those were.
///
/// # Errors
/// When a task of this program fails.
pub async fn resolve(
    shop: &Shop,
    nodes: &[usize],
    in_flight: usize,
    ledger: &mut Ledger,
    mut open: Vec<OrderReport>,
) -> anyhow::Result<()> {
    let (_keep, stopped) = watch::channel(false);
    let shop = Shop { patience: Patience { give_up: RESOLVE_WITHIN, stopped }, ..shop.clone() };
    let mut running = JoinSet::new();
    loop {
        while running.len() < in_flight
            && let Some(mut report) = open.pop()
        {
            let (shop, node) = (shop.clone(), nodes[report.order]);
            running.spawn(async move {
                shop.resolve(&mut report, node).await;
                report
            });
        }
        let Some(joined) = running.join_next().await else { return Ok(()) };
        let report = joined.context("an order's task failed")?;
        let order = &shop.trace.orders[report.order];
        ledger.complain(format!("order {} was left open and asked about: {}", order.id, report.words(order)));
        ledger.enter(&shop.trace, &shop.targets[nodes[report.order]].region, &report);
    }
}

/// Orders waiting for each node, in the order of the file.
struct Queues {
    waiting: Vec<VecDeque<usize>>,
}

impl Queues {
    fn new(nodes: &[usize], count: usize) -> Queues {
        let mut waiting = vec![VecDeque::new(); count];
        nodes.iter().enumerate().for_each(|(order, node)| waiting[*node].push_back(order));
        Queues { waiting }
    }

    fn is_empty(&self) -> bool {
        self.waiting.iter().all(VecDeque::is_empty)
    }

    /// The first order of the file whose node is not `silent`, and that node.
    fn next(&mut self, silent: impl Fn(usize) -> bool) -> Option<(usize, usize)> {
        let heads = self.waiting.iter().enumerate().filter_map(|(node, queue)| Some((*queue.front()?, node)));
        let (order, node) = heads.filter(|(_, node)| !silent(*node)).min()?;
        self.waiting[node].pop_front();
        Some((order, node))
    }
}

/// When orders may start. One that could not start in time starts as soon as it can.
struct Pace {
    began: Instant,
    rate: Option<Rate>,
    started: u64,
}

impl Pace {
    fn due_at(&self) -> Instant {
        let wait = self.rate.map_or(0.0, |rate| self.started as f64 / rate.0);
        self.began + Duration::from_secs_f64(wait)
    }

    fn is_due(&self) -> bool {
        self.rate.is_none() || self.due_at() <= Instant::now()
    }

    async fn until_due(&self) {
        tokio::time::sleep_until(self.due_at()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_start_in_the_order_of_the_file_and_pass_over_silent_nodes() {
        let mut queues = Queues::new(&[0, 1, 0, 1], 2);
        assert_eq!(queues.next(|_| false), Some((0, 0)));
        assert_eq!(queues.next(|node| node == 1), Some((2, 0)));
        assert_eq!(queues.next(|node| node == 1), None);
        assert_eq!(queues.next(|_| false), Some((1, 1)));
        assert_eq!(queues.next(|_| false), Some((3, 1)));
        assert!(queues.is_empty());
    }

    #[test]
    fn the_pace_starts_orders_evenly() {
        let began = Instant::now();
        let mut pace = Pace { began, rate: Some("10/s".parse().unwrap()), started: 0 };
        assert_eq!(pace.due_at(), began);
        pace.started = 5;
        assert_eq!(pace.due_at(), began + Duration::from_millis(500));
        pace.rate = None;
        assert!(pace.is_due());
    }

    #[test]
    fn rates_are_orders_a_second() {
        assert_eq!("80/s".parse(), Ok(Rate(80.0)));
        assert_eq!("0.5".parse(), Ok(Rate(0.5)));
        for bad in ["0", "-1", "fast", "inf", "NaN", ""] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }
}
