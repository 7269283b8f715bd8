//! A storefront's checkout: hold the basket, take the money, confirm; with the retries done right.
//!
//! ```text
//! cargo run --example checkout -- --url http://127.0.0.1:7300 --sku DEMO --quantity 2
//! cargo run --example checkout -- --url http://127.0.0.1:7300 --order A-7 --payment declined
//! cargo run --example checkout                       plays all endings on nodes of its own
//! ```
//!
//! Name `--url` again for nodes to turn to when the first does not answer. What to look at:
//!
//! - the reservation's id is the shop's order code, so any process can repeat any step;
//! - a call is repeated, as it was, after no answer, 503 and 504, until its deadline; everything
//!   else is an answer, and is not repeated ([`until_answered`]);
//! - a hold that nobody answered is tried at another node under another id: if the first one
//!   holds it after all, that ends with its `ttl_seconds` ([`hold`]);
//! - the confirm carries the version that the buyer saw, in `If-Match`: a payment never buys a
//!   basket that was changed meanwhile. It may go to any node ([`settle`]);
//! - a payment that cannot be confirmed is given back; one whose confirm has no answer yet is
//!   neither, and has to be asked about again.
//!
//! Ends with status 0 if it could be told how the order ended, else with 1.

#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // the bans are for the pure modules

#[allow(dead_code)] // each example uses its own part
mod stage;

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use stage::Cluster;
use stage::client::{self, Answer, Call, post, put};

/// A buyer looks at a turning wheel for so long, at each node.
const HOLD_WITHIN: Duration = Duration::from_secs(8);
/// The money is taken: now patience is better than giving it back.
const SETTLE_WITHIN: Duration = Duration::from_secs(60);
/// The first pause between two tries; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Longer than a payment takes. If this process dies, the units are free again after it.
const TTL_SECONDS: u64 = 600;

#[derive(Debug, Parser)]
struct Args {
    /// A node's storefront listener; repeat for nodes to turn to when it is silent
    #[arg(long)]
    url: Vec<String>,
    /// The order code [default: one made of the time]
    #[arg(long)]
    order: Option<String>,
    #[arg(long, default_value = "DEMO")]
    sku: String,
    #[arg(long, default_value_t = 1)]
    quantity: u64,
    /// What the payment provider will say
    #[arg(long, value_enum, default_value = "accepted")]
    payment: Payment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Payment {
    Accepted,
    Declined,
}

/// How a checkout ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// Sold and paid.
    Bought,
    /// Not sold, not paid, and the buyer was told why.
    NotBought,
}

fn main() -> ExitCode {
    // The nodes that it plays on are this program, called as `stockade init` and `stockade serve`.
    if std::env::args().nth(1).is_some_and(|first| matches!(&*first, "init" | "serve")) {
        return stockade::cli::main();
    }
    let args = Args::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let ended = runtime.block_on(async {
        if args.url.is_empty() {
            return play().await;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
        let code = args.order.unwrap_or_else(|| format!("ORDER-{now}"));
        let order = Order { code, sku: args.sku, quantity: args.quantity, nodes: args.url };
        check_out(&order, async || args.payment).await.map(|_| ())
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What a buyer wants, and whom the shop asks for it, in this order.
struct Order {
    code: String,
    sku: String,
    quantity: u64,
    nodes: Vec<String>,
}

/// What is held for a buyer.
struct Held {
    id: String,
    version: u64,
    /// The node that has it is asked first about it.
    node: usize,
}

async fn check_out(order: &Order, pay: impl AsyncFnOnce() -> Payment) -> anyhow::Result<Ending> {
    println!("{}: {} of {}", order.code, order.quantity, order.sku);
    let Some(held) = hold(order).await? else { return Ok(Ending::NotBought) };
    println!("  held as {}, version {}", held.id, held.version);
    // A shop writes id and version down here, before money moves: whoever finds the note later
    // can ask how it ended.
    match pay().await {
        Payment::Accepted => println!("  payment accepted"),
        Payment::Declined => {
            println!("  payment declined");
            return cancel(order, &held).await;
        }
    }
    settle(order, &held).await
}

/// Holds the units at the first node that answers. `None` if there are not enough.
async fn hold(order: &Order) -> anyhow::Result<Option<Held>> {
    let body = json!({
        "lines": [{"sku": order.sku, "quantity": order.quantity}],
        "ttl_seconds": TTL_SECONDS,
    });
    for (node, url) in order.nodes.iter().enumerate() {
        // Another id at another node: the node before may hold the first, and let it go by itself.
        let id = if node == 0 { order.code.clone() } else { format!("{}.{}", order.code, node + 1) };
        let call = put(format!("/v1/reservations/{id}"), body.clone());
        let Some(answer) = until_answered(url, &call, HOLD_WITHIN).await else { continue };
        return match (answer.status, answer.code()) {
            // 200: a repeat, also by another process, finds what the first one did.
            (200 | 201, _) => {
                let version = answer.body["version"].as_u64().context("a reservation has a version")?;
                Ok(Some(Held { id, version, node }))
            }
            (_, "insufficient_stock") => {
                println!("  {}", words_for_the_buyer(&answer.body["shortfalls"][0]));
                Ok(None)
            }
            _ => bail!("{url} does not hold it: {}", answer.body),
        };
    }
    bail!("no node could be reached; nothing was paid")
}

/// What a shop may say about a line that is short, and what it must not claim.
fn words_for_the_buyer(short: &Value) -> String {
    let count = |field: &str| short[field].as_u64().unwrap_or(0);
    let (here, elsewhere) = (count("available_here"), count("elsewhere"));
    match short["verdict"].as_str() {
        Some("sold_out") => "sold out".to_owned(),
        Some("elsewhere") => format!("{} left: choose fewer, or try again", here + elsewhere),
        _ if here > 0 => format!("{here} left for sure: choose so many, or try again later"),
        _ => "cannot be checked at the moment: try again later".to_owned(),
    }
}

/// Sells what is held: the buyer has paid.
async fn settle(order: &Order, held: &Held) -> anyhow::Result<Ending> {
    let call = post(format!("/v1/reservations/{}/confirm", held.id), json!({}));
    let call = call.header("if-match", format!("\"{}\"", held.version));
    let Some(answer) = anywhere(order, held, &call).await else {
        // It may be sold. Giving the money back now could give a mug away.
        bail!("{}: paid, and no word yet whether it is confirmed: ask again", held.id)
    };
    match (answer.status, answer.code()) {
        (200, _) => {
            println!("  confirmed");
            Ok(Ending::Bought)
        }
        // It ran out and the units are gone, somebody cancelled it, or the basket was changed.
        (_, "expired" | "already_cancelled" | "version_mismatch" | "reservation_not_found") => {
            println!("  not confirmed ({}): the money goes back", answer.code());
            Ok(Ending::NotBought)
        }
        _ => bail!("{} is not confirmed: {}", held.id, answer.body),
    }
}

/// Lets go of what is held. If nobody answers, it ends by itself.
async fn cancel(order: &Order, held: &Held) -> anyhow::Result<Ending> {
    let call = post(format!("/v1/reservations/{}/cancel", held.id), json!({}));
    match anywhere(order, held, &call).await {
        Some(answer) if answer.status == 200 => println!("  cancelled: the units are for sale again"),
        Some(answer) => bail!("{} is not cancelled: {}", held.id, answer.body),
        None => println!("  nobody answers: the units are for sale again in {TTL_SECONDS} s"),
    }
    Ok(Ending::NotBought)
}

/// Confirm and cancel may go to any node, which passes them on; the one that holds it is nearest.
async fn anywhere(order: &Order, held: &Held, call: &Call) -> Option<Answer> {
    let others = (0..order.nodes.len()).filter(|node| *node != held.node);
    let nodes: Vec<_> = std::iter::once(held.node).chain(others).collect();
    let deadline = Instant::now() + SETTLE_WITHIN;
    while let Some(left) = deadline.checked_duration_since(Instant::now()) {
        for node in &nodes {
            let within = HOLD_WITHIN.min(left);
            if let Some(answer) = until_answered(&order.nodes[*node], call, within).await {
                return Some(answer);
            }
        }
    }
    None
}

/// Sends a call again, as it is, until it is answered; `None` if it is not within `within`.
///
/// That is safe for calls that are about an id or carry an `Idempotency-Key`, and for no others.
async fn until_answered(url: &str, call: &Call, within: Duration) -> Option<Answer> {
    let deadline = Instant::now() + within;
    let mut pause = FIRST_PAUSE;
    loop {
        let asked_for = match client::send(url, call).await {
            // 503: not done, come again. 504: done or not, the repeat will tell.
            Ok(answer) if matches!(answer.status, 503 | 504) => {
                println!("  {} {}", answer.status, answer.code());
                answer.retry_after.map(Duration::from_secs)
            }
            Ok(answer) => return Some(answer),
            // Closed, refused, or silent: done or not, the repeat will tell.
            Err(error) => {
                println!("  {error}");
                None
            }
        };
        let pause_now = asked_for.unwrap_or(pause).max(pause).mul_f64(jitter());
        if Instant::now() + pause_now >= deadline {
            return None;
        }
        tokio::time::sleep(pause_now).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// 1 to 1.5, so that many clients that were refused together do not come back together.
fn jitter() -> f64 {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    1.0 + f64::from(nanos % 1_000) / 2_000.0
}

/// All endings, on two nodes that end with this process.
async fn play() -> anyhow::Result<()> {
    let cluster = Cluster::start(&[("eu-1", "eu"), ("us-1", "us")]).await?;
    let eu = &cluster.nodes[0];
    eu.admin_call(put("/v1/items/MUG", json!({"name": "Mug"}))).await?;
    let delivery = post("/v1/items/MUG/receipts", json!({"quantity": 5}));
    eu.admin_call(delivery.header("idempotency-key", "delivery-1")).await?;
    let nodes: Vec<String> = cluster.nodes.iter().map(|node| node.storefront()).collect();
    let order = |code: &str, quantity| Order {
        code: code.to_owned(),
        sku: "MUG".to_owned(),
        quantity,
        nodes: nodes.clone(),
    };

    println!("Five mugs are in stock.\n");
    let bought = check_out(&order("ORDER-1", 2), async || Payment::Accepted).await?;
    let declined = check_out(&order("ORDER-2", 3), async || Payment::Declined).await?;
    ensure!([bought, declined] == [Ending::Bought, Ending::NotBought]);

    println!("\nThe node is killed while the buyer pays, and comes back two seconds later.\n");
    let cluster = tokio::sync::Mutex::new(cluster);
    let (killed, is_killed) = tokio::sync::oneshot::channel();
    let repair = async {
        is_killed.await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        cluster.lock().await.start_node(0).await
    };
    let third = order("ORDER-3", 1);
    let checkout = check_out(&third, async || {
        cluster.lock().await.kill(0).expect("it runs");
        let _ = killed.send(());
        Payment::Accepted
    });
    let (ending, repaired) = tokio::join!(checkout, repair);
    repaired?;
    ensure!(ending? == Ending::Bought);

    println!("\nTwo are left.\n");
    let too_many = check_out(&order("ORDER-4", 3), async || Payment::Accepted).await?;
    let last = check_out(&order("ORDER-5", 2), async || Payment::Accepted).await?;
    let late = check_out(&order("ORDER-6", 1), async || Payment::Accepted).await?;
    ensure!([too_many, last, late] == [Ending::NotBought, Ending::Bought, Ending::NotBought]);
    Ok(())
}
