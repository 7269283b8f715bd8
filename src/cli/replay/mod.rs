//! `stockade replay`: sends a trace of real orders to a cluster and judges what came of it.
//!
//! Nothing the servers say about themselves decides whether they oversold: the client keeps
//! books of its own, of acknowledgements only, and compares.

mod central;
mod ledger;
mod load;
mod order;
mod patience;
pub(super) mod progress;
mod report;
mod seed;
mod settle;
mod stock;
mod targets;
pub(super) mod trace;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use tokio::sync::watch;

use super::admin::target::Surroundings;
use super::client::{BaseUrl, Client};
use super::terminal::{note, say};
use super::{Ending, Output};
use ledger::Ledger;
use load::{Pressure, Rate};
use order::Shop;
use patience::{Patience, Silences};
use progress::Progress;
use report::{Findings, Report};
use settle::TransferMeter;
use stock::Share;
use targets::{Assign, NodeUrl, Target};
use trace::{Trace, Window};

const EXAMPLE: &str = "\
Examples:
  stockade dev --regions uk,ie,fr --no-demo --fresh &
  stockade replay orders.csv.gz --stock 0.95
  stockade replay drop.csv --dev ./stockade-data --assign round-robin -o json

FILE has the columns ts,region,sku,qty,order, sorted by time. A qty above 0 is
a sale, below 0 a return. An order's lines stand together; its reservation has
its id, so a second replay needs a new cluster (`stockade dev --fresh`).

Each item receives --stock times what the file sells of it, rounded up, at the
first node of the region that buys most of it (round-robin: at the first node).
Orders start in the order of the file; while a node does not answer, none start
there, and those under way are sent again with the same id until it does. What
stays open is asked about before the report.

`oversold` counts units confirmed to this client beyond those whose receipt or
return was confirmed to it. Latencies are those of the attempt that got the
answer; of the reservations, `local` were held at once from what their node had,
`waited` after it had waited for other nodes. Refused is `sold out` (proved),
`elsewhere` (others had units that did not come in time) or `unknown`: nodes
were silent or units on their way, so nothing was proved. `central` is what one
counter per item would serve of the same file, an order after the other.
Exit status: 0 if ok, 1 if not, 2 if it could not be run.";

/// Replay a trace of orders against a cluster, and judge the result
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE, after_long_help = EXAMPLE)]
pub struct ReplayArgs {
    /// The trace: CSV, gzipped or not
    file: PathBuf,
    /// The directory of a cluster on this machine [default: ./stockade-data]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["node", "admin"])]
    dev: Option<PathBuf>,
    /// A node's region and storefront listener; repeat for each node
    #[arg(long, value_name = "REGION=URL", num_args = 1..)]
    node: Vec<NodeUrl>,
    /// The nodes' admin listeners in the same order [default: the next port]
    #[arg(long, value_name = "URL", num_args = 1.., requires = "node")]
    admin: Vec<BaseUrl>,
    /// Units received, as a share of what the file sells
    #[arg(long, value_name = "SHARE", default_value = "0.95")]
    stock: Share,
    /// Only so many orders from the beginning of the file
    #[arg(long, value_name = "ORDERS", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Orders under way at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    in_flight: u16,
    /// Start at most so many orders a second
    #[arg(long, value_name = "N/s")]
    rate: Option<Rate>,
    /// How long a node may fetch units from others before it refuses
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(0..=10_000))]
    wait_ms: u64,
    /// Which node an order goes to
    #[arg(long, value_enum, default_value = "file")]
    assign: Assign,
    /// Make each line an order of its own, with the id ORDER.N
    #[arg(long)]
    per_line: bool,
    /// How long an order is sent again before it is left open
    #[arg(long, value_name = "S", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    give_up_seconds: u64,
    /// How to write the report
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// What an attempt may take beyond the time the node may wait for others.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Whole-state checks and listings take longer than orders.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// Complaints shown about the servers' books.
const MAX_SHOWN: usize = 10;

/// Replays and reports.
///
/// # Errors
/// When the file, the nodes or the cluster's state do not allow a replay.
pub fn run(args: ReplayArgs) -> anyhow::Result<Ending> {
    let window =
        Window { limit: args.limit.and_then(|limit| usize::try_from(limit).ok()), per_line: args.per_line };
    let trace = Trace::load(&args.file, window)?;
    let targets = targets(&args, &Surroundings::of_process())?;
    let report = super::runtime()?.block_on(replay(&args, trace, targets))?;
    match args.output {
        Output::Json => say(serde_json::to_string(&report)?)?,
        Output::Table => report.print_table()?,
    }
    Ok(if report.ok { Ending::Good } else { Ending::Failed })
}

fn targets(args: &ReplayArgs, around: &Surroundings) -> anyhow::Result<Vec<Target>> {
    if !args.node.is_empty() {
        return targets::of_urls(&args.node, &args.admin);
    }
    let instead = "--node REGION=http://HOST:7300 for each node";
    Ok(targets::of_cluster(&around.cluster(args.dev.as_deref(), instead)?))
}

async fn replay(args: &ReplayArgs, trace: Trace, targets: Vec<Target>) -> anyhow::Result<Report> {
    let assignment = targets::assign(&trace, &targets, args.assign)?;
    let received: Vec<u64> = trace.units_sold().into_iter().map(|units| args.stock.of(units)).collect();
    let (stop, stopped) = watch::channel(false);
    let shop = Shop {
        client: Client::new(Duration::from_millis(args.wait_ms) + ANSWER_WITHIN),
        silences: Arc::new(Silences::new(targets.len())),
        trace: Arc::new(trace),
        targets: targets.into(),
        patience: Patience { give_up: Duration::from_secs(args.give_up_seconds), stopped },
        wait_ms: args.wait_ms,
    };
    note(format_args!("stocking {} items", shop.trace.skus.len()));
    seed::stock(&shop, &assignment.items, &received).await.context("the stock could not be received")?;
    let stop = tokio::spawn(stop_on_interrupt(stop));
    let report = load_and_judge(args, &shop, &assignment.orders, &received).await;
    stop.abort();
    report
}

async fn load_and_judge(
    args: &ReplayArgs,
    shop: &Shop,
    nodes: &[usize],
    received: &[u64],
) -> anyhow::Result<Report> {
    let reader = Client::new(READ_WITHIN);
    let admins: Vec<BaseUrl> = shop.targets.iter().map(|target| target.admin.clone()).collect();
    let meter = TransferMeter::start(&reader, &admins).await;
    let pressure = Pressure { in_flight: args.in_flight.into(), rate: args.rate };
    let mut ledger = Ledger::new(received);
    let mut progress = Progress::new(nodes.len());
    let began = Instant::now();
    let open = load::send_all(shop, nodes, pressure, &mut ledger, &mut progress).await?;
    let took = began.elapsed();
    progress.finish();
    load::resolve(shop, nodes, pressure.in_flight, &mut ledger, open).await?;
    let convergence = settle::converge(&reader, &admins).await;
    let server = settle::read_books(shop, &ledger).await;
    let interrupted = *shop.patience.stopped.borrow();
    for text in ledger
        .complaints
        .iter()
        .chain(convergence.complaints.iter().chain(&server.complaints).take(MAX_SHOWN))
    {
        note(text);
    }
    let central = central::serve(&shop.trace, received);
    let transfers = meter.finish().await;
    Ok(Report::new(&Findings {
        ledger: &ledger,
        took,
        transfers,
        convergence: &convergence,
        server: &server,
        central,
        interrupted,
    }))
}

/// The first Ctrl-C ends the load and leads to the report, the second ends all.
async fn stop_on_interrupt(stop: watch::Sender<bool>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        note("stopping; what is open is asked about first");
        let _ = stop.send(true); // nobody listens: the load is over
    }
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(2); // told twice: at once, without a report
    }
}

#[cfg(test)]
mod tests;
