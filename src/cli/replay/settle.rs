//! After the load: do the nodes agree, and what do their books say?

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::ledger::Ledger;
use super::order::Shop;
use crate::cli::client::{BaseUrl, Client};
use crate::cli::node::{self, Check, Item};

const CONVERGE_WITHIN: Duration = Duration::from_secs(30);
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How often the nodes' counters are read during the load: a node that is killed forgets its own.
const COUNT_EVERY: Duration = Duration::from_secs(2);

/// Whether and when all nodes came to the same books.
#[derive(Clone, Debug)]
pub struct Convergence {
    /// Since the end of the load; `None`: not in time.
    pub after: Option<Duration>,
    /// Invariants that a node found violated, or why it gave no answer.
    pub complaints: Vec<String>,
}

/// Polls all nodes until their digests are equal, or too much time has passed.
pub async fn converge(client: &Client, admins: &[BaseUrl]) -> Convergence {
    let ended = Instant::now();
    loop {
        let (checks, mut complaints) = ask_all(client, admins).await;
        let agree = complaints.is_empty()
            && checks.windows(2).all(|pair| pair[0].books_digest == pair[1].books_digest);
        let is_late = ended.elapsed() > CONVERGE_WITHIN;
        if agree || is_late {
            for check in &checks {
                let violations = check.violations.iter();
                complaints
                    .extend(violations.map(|v| format!("{}: {}: {}", check.node, v.invariant, v.detail)));
            }
            return Convergence { after: agree.then(|| ended.elapsed()), complaints };
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

async fn ask_all(client: &Client, admins: &[BaseUrl]) -> (Vec<Check>, Vec<String>) {
    let ask = |admin: &BaseUrl| {
        let (client, admin) = (client.clone(), admin.clone());
        tokio::spawn(async move { node::check(&client, &admin).await })
    };
    let asked: Vec<JoinHandle<_>> = admins.iter().map(ask).collect();
    let (mut checks, mut complaints) = (Vec::new(), Vec::new());
    for answer in asked {
        match answer.await {
            Ok(Ok(check)) => checks.push(check),
            Ok(Err(error)) => complaints.push(format!("{error:#}")),
            Err(error) => complaints.push(error.to_string()),
        }
    }
    (checks, complaints)
}

/// What the servers say about the trace's items.
#[derive(Clone, Debug, Default)]
pub struct ServerBooks {
    pub sold: u64,
    pub returned: u64,
    pub balanced: bool,
    pub complaints: Vec<String>,
}

/// Reads one node's books and compares them with what was acknowledged, item by item.
pub async fn read_books(shop: &Shop, ledger: &Ledger) -> ServerBooks {
    let Some(first) = shop.targets.first() else { return ServerBooks::default() };
    match node::items(&shop.client, &first.admin).await {
        Ok(items) => compare(&shop.trace.skus, &items, ledger),
        Err(error) => ServerBooks { complaints: vec![format!("{error:#}")], ..ServerBooks::default() },
    }
}

fn compare(skus: &[String], items: &[Item], ledger: &Ledger) -> ServerBooks {
    let found: HashMap<&str, &Item> = items.iter().map(|item| (item.sku.as_str(), item)).collect();
    let mut books = ServerBooks { balanced: true, ..ServerBooks::default() };
    for (sku, acks) in skus.iter().zip(&ledger.items) {
        let Some(item) = found.get(sku.as_str()) else {
            books.complain(format!("item {sku} is not in the books"));
            continue;
        };
        let totals = item.totals;
        books.sold = books.sold.saturating_add(totals.sold);
        books.returned = books.returned.saturating_add(totals.returned);
        if !item.balanced {
            books.complain(format!("item {sku} is not balanced"));
        }
        if totals.sold != acks.confirmed {
            books
                .complain(format!("item {sku}: {} units sold, {} acknowledged", totals.sold, acks.confirmed));
        }
    }
    books
}

impl ServerBooks {
    fn complain(&mut self, text: String) {
        self.balanced = false;
        self.complaints.push(text);
    }
}

/// Counts moves of rights over all nodes while it runs.
#[derive(Debug)]
pub struct TransferMeter {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Option<u64>>,
}

impl TransferMeter {
    /// Counts from now on.
    pub async fn start(client: &Client, admins: &[BaseUrl]) -> TransferMeter {
        let mut counters = vec![Counter::default(); admins.len()];
        read_counters(client, admins, &mut counters).await;
        counters.iter_mut().for_each(|counter| counter.grown = 0);
        let (stop, stopped) = oneshot::channel();
        let (client, admins) = (client.clone(), admins.to_vec());
        let task = tokio::spawn(async move { count(client, admins, counters, stopped).await });
        TransferMeter { stop, task }
    }

    /// Moves since the start; `None` when a node does not count them.
    pub async fn finish(self) -> Option<u64> {
        let _ = self.stop.send(()); // it may have ended
        self.task.await.ok().flatten()
    }
}

async fn count(
    client: Client,
    admins: Vec<BaseUrl>,
    mut counters: Vec<Counter>,
    mut stopped: oneshot::Receiver<()>,
) -> Option<u64> {
    while tokio::time::timeout(COUNT_EVERY, &mut stopped).await.is_err() {
        read_counters(&client, &admins, &mut counters).await;
    }
    read_counters(&client, &admins, &mut counters).await;
    counters.iter().map(|counter| counter.last.map(|_| counter.grown)).sum()
}

async fn read_counters(client: &Client, admins: &[BaseUrl], counters: &mut [Counter]) {
    for (admin, counter) in admins.iter().zip(counters) {
        if let Some(value) = node::transfers(client, admin).await {
            counter.read(value);
        }
    }
}

/// A counter that begins anew when its process does.
#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    last: Option<u64>,
    grown: u64,
}

impl Counter {
    fn read(&mut self, value: u64) {
        self.grown += value.checked_sub(self.last.unwrap_or(0)).unwrap_or(value);
        self.last = Some(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::node::Totals;

    #[test]
    fn a_counter_that_began_anew_goes_on_counting() {
        let mut counter = Counter::default();
        [5, 9, 2, 3].into_iter().for_each(|value| counter.read(value));
        assert_eq!(counter.grown, 12);
    }

    #[test]
    fn books_must_be_balanced_and_say_what_was_acknowledged() {
        let item = |sku: &str, sold| Item {
            sku: sku.to_owned(),
            balanced: true,
            totals: Totals { sold, ..Totals::default() },
        };
        let skus = ["A".to_owned(), "B".to_owned()];
        let mut ledger = Ledger::new(&[5, 5]);
        (ledger.items[0].confirmed, ledger.items[1].confirmed) = (2, 3);
        let books = compare(&skus, &[item("A", 2), item("B", 3), item("DEMO", 9)], &ledger);
        assert_eq!((books.sold, books.balanced), (5, true));
        let swapped = compare(&skus, &[item("A", 3), item("B", 2)], &ledger);
        assert_eq!((swapped.sold, swapped.balanced), (5, false), "sums alone prove nothing");
        let unbalanced = Item { balanced: false, ..item("A", 2) };
        assert!(!compare(&skus, &[unbalanced, item("B", 3)], &ledger).balanced);
        assert!(!compare(&skus, &[item("A", 2)], &ledger).balanced);
    }
}
