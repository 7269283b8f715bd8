//! What a scenario's run came to, as numbers over time: the one thing that the report, the JSON
//! output and the comparison of two runs are made from.
//!
//! Times are seconds of the scenario's own time since its beginning. Units are summed over items.
//!
//! Whatever became of an order stands in the span in which the order came, however much later it
//! was paid, refused, or given up. So each span adds up: asked = served + refused + unanswered +
//! never paid. What settles after the scenario's end is no spike in its last span, and payments that
//! a lost region never confirmed stand where their buyers came. Only balances are of the span's end.

use serde::Serialize;

/// One run of one scenario.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Recording {
    pub title: String,
    /// The scenario's own description, a sentence or two.
    pub about: String,
    pub seed: u64,
    /// How long it lasted.
    pub seconds: f64,
    /// By node, in the order of the file.
    pub nodes: Vec<Node>,
    /// One entry for each of equal spans of time, in order.
    pub buckets: Vec<Bucket>,
    /// Spans in which something was wrong: cuts, crashes, lost regions.
    pub bands: Vec<Band>,
    /// Moments at which somebody did something: restocks, settings, drains.
    pub marks: Vec<Mark>,
    /// Units that node `from` gave to node `to`: `transfers[from][to]`.
    pub transfers: Vec<Vec<Moved>>,
    /// As buyers saw it, by node.
    pub latency: Vec<Latency>,
    pub totals: Totals,
    /// The books at the end, of the items with most demand first.
    pub books: Vec<ItemBooks>,
    /// Items not listed in `books`.
    pub more_items: u64,
    /// The oracle's word: what did not hold, if anything.
    pub violation: Option<String>,
    /// The scenario's file as named on the command line, to replay it; empty if there is none.
    pub file: String,
    /// The scenario's time ran so many times as fast as the machines'.
    pub compress: u64,
    /// What the command line said besides file and seed, to replay it: `--demand`, `orders.csv`, ..
    pub options: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Node {
    pub name: String,
    pub region: String,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct Bucket {
    pub from: f64,
    /// By node.
    pub nodes: Vec<NodeBucket>,
}

/// One node during one span of time. Balances are as at its end; the rest is of the orders that came
/// in it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NodeBucket {
    /// Units free to sell here: the rights this node holds.
    pub available: u64,
    pub held: u64,
    /// Units asked for by orders that came here.
    pub asked: u64,
    /// Units of orders that were served.
    pub served: u64,
    pub sold_out: u64,
    pub elsewhere: u64,
    pub unknown: u64,
    /// Units of orders that got no answer, or that no node was there for.
    pub unanswered: u64,
    /// Orders that were served by another node than the nearest.
    pub failed_over: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Band {
    pub from: f64,
    pub to: f64,
    pub label: String,
    /// The nodes that it concerns, by number.
    pub nodes: Vec<usize>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Mark {
    pub at: f64,
    pub label: String,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Moved {
    pub transfers: u64,
    pub units: u64,
}

/// Milliseconds from request to answer.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    pub answers: u64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
    /// Share of served orders that were served without a word to another node, 0 to 1.
    pub local_share: f64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Totals {
    pub orders: u64,
    pub orders_served: u64,
    pub units_asked: u64,
    pub units_served: u64,
    /// Units of orders refused, by the strongest verdict among their short lines: one `unknown`
    /// outweighs any `elsewhere`, which outweighs any `sold_out`.
    pub sold_out: u64,
    pub elsewhere: u64,
    pub unknown: u64,
    pub unanswered: u64,
    /// Units refused to buyers while a node that theirs could reach had them free.
    pub avoidable: u64,
    pub returned: u64,
    pub transfers: u64,
    pub units_moved: u64,
    pub messages: u64,
    pub bytes: u64,
    pub events: u64,
    /// Units of orders whose buyers never paid. With the served, refused and unanswered ones they
    /// make up `units_asked`.
    pub abandoned: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
pub struct ItemBooks {
    pub sku: String,
    pub asked: u64,
    pub received: u64,
    pub returned: u64,
    pub retired: u64,
    pub sold: u64,
    pub held: u64,
    pub available: u64,
    pub in_flight: u64,
}
