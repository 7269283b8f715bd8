//! `stockade item`: what is sold, and what is set about it.

use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::books::{Books, Launch, Policy};
use super::care::{Effects, TryArgs, hold_back};
use super::desk::{Change, Desk, Node, show_list};
use super::outcome;
use super::show::{Column, Format, Rows, folded};
use super::target::Side;
use super::{Common, quantity, quantity_or_zero};
use crate::cli::Ending;
use crate::cli::client::{Call, Client};
use crate::types::{self, NodeName, Sku};

/// Linked nodes hear of an item within a second.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);
const ASK_EVERY: Duration = Duration::from_millis(20);

const EXAMPLE: &str = "\
Examples:
  stockade item list
  stockade item show MUG
  stockade item set MUG --name \"Mug, white\" --low-stock 10";

const LIST_EXAMPLE: &str = "\
Examples:
  stockade item list
  stockade item list --limit 20 -o json

`free` is what all nodes together could sell now.";

const SHOW_EXAMPLE: &str = "\
Example:
  stockade item show MUG

Columns: received by deliveries, returned by buyers, retired (written off),
given by other nodes, sent to other nodes, sold, held by reservations, free.
In each line: received + returned + given = retired + sent + sold + held + free.

`within the limit` is how much of what is free a node may sell before others
confirm more (autonomy); linked, that takes them one round trip.";

const SET_EXAMPLE: &str = "\
Examples:
  stockade item set MUG --name \"Mug, white\"
  stockade item set MUG --low-stock 10 --max-per-order 5
  stockade item set MUG --rebalance manual --unset low-stock
  stockade item set MUG --launch-until 2030-11-29T09:00:00Z \
    --expect eu-1=500 --expect us-1=300
  stockade item set MUG --unset launch
  stockade item set MUG --autonomy 1%

Creates the item if there is none. What is not named stays as it is: what is
set now is read, changed, and put back. Of two who do that at the same moment
the later one counts.

Before a launch no node has seen what buyers will ask for. Say what you expect,
in units and node by node: until the time given that counts as demand, and the
units are there before the first buyer is.

--autonomy is how many units a node may take (hold, sell, write off) that no
other node has been told of: a number, a percentage of the item's units on hand
everywhere, all, or default (as is set for the cluster). A node that is cut off
sells at most so many; one that is lost leaves at most so many in doubt.";

/// Items: list, show, create and change them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct ItemArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: ItemCommand,
}

#[derive(Debug, Subcommand)]
enum ItemCommand {
    /// List all items with their units
    #[command(after_help = LIST_EXAMPLE)]
    List {
        /// Only so many, from the first
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        limit: Option<u64>,
    },
    /// Show one item's books, node by node
    #[command(after_help = SHOW_EXAMPLE)]
    Show {
        /// The item
        #[arg(value_parser = Sku::new)]
        sku: Sku,
    },
    /// Create an item, or change what is set about it
    #[command(after_help = SET_EXAMPLE)]
    Set(SetArgs),
}

#[derive(Debug, Args)]
struct SetArgs {
    /// The item
    #[arg(value_parser = Sku::new)]
    sku: Sku,
    /// Its name for people
    #[arg(long)]
    name: Option<String>,
    /// At so many free units or fewer it is low in stock
    #[arg(long, value_name = "N", value_parser = quantity_or_zero, allow_negative_numbers = true)]
    low_stock: Option<u64>,
    /// Most units in one order
    #[arg(long, value_name = "N", value_parser = quantity, allow_negative_numbers = true)]
    max_per_order: Option<u64>,
    /// Whether nodes move its units as demand moves
    #[arg(long, value_enum)]
    rebalance: Option<Rebalance>,
    /// Until when what you expect of a launch counts, in UTC
    #[arg(long, value_name = "TIME", value_parser = time)]
    launch_until: Option<String>,
    /// Units that buyers will ask for at a node; repeat for more. 0 takes it back
    #[arg(long, value_name = "NODE=UNITS", value_parser = expectation)]
    expect: Vec<(NodeName, u64)>,
    /// Most units that a node takes unknown to others: N, N%, all or default
    #[arg(long, value_name = "DIAL", value_parser = dial, allow_negative_numbers = true)]
    autonomy: Option<Dial>,
    /// Take back what was set; repeat for more
    #[arg(long, value_enum, value_name = "FIELD")]
    unset: Vec<Field>,
    #[command(flatten)]
    care: TryArgs,
}

#[derive(Clone, Copy, Debug)]
enum Dial {
    /// As is set for the cluster.
    Default,
    Own(types::Autonomy),
}

fn dial(text: &str) -> Result<Dial, String> {
    match text {
        "default" => Ok(Dial::Default),
        own => own.parse().map(Dial::Own).map_err(|e: types::InvalidAutonomy| format!("{e}, or default")),
    }
}

/// Reads a point in time, such as `2030-11-29T09:00:00Z`.
fn time(text: &str) -> Result<String, String> {
    let is_utc = text.ends_with('Z') && text.contains('T');
    let known = text.parse::<jiff::Timestamp>().ok().filter(|_| is_utc);
    let form = "must be a time in UTC such as 2030-11-29T09:00:00Z";
    known.map(|time| format!("{time:.3}")).ok_or_else(|| form.to_owned())
}

fn expectation(text: &str) -> Result<(NodeName, u64), String> {
    let (node, units) = text.split_once('=').ok_or("must be NODE=UNITS, such as eu-1=500")?;
    Ok((NodeName::new(node).map_err(|e| format!("{node:?} {e}"))?, quantity_or_zero(units)?))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Rebalance {
    /// As demand moves.
    Auto,
    /// Only by `stockade transfer`.
    Manual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Field {
    Name,
    LowStock,
    MaxPerOrder,
    /// All that is expected of it.
    Launch,
    Autonomy,
}

impl ItemArgs {
    pub async fn run(self, desk: &mut Desk<'_>) -> anyhow::Result<Ending> {
        let node = desk.node(&self.common.target)?;
        let format = self.common.format.output;
        match self.command {
            ItemCommand::List { limit } => list(desk, &node, limit, format).await,
            ItemCommand::Show { sku } => show(desk, &node, &sku, format).await,
            ItemCommand::Set(args) => args.run(desk, &node, format).await,
        }
    }
}

async fn list(
    desk: &mut Desk<'_>,
    node: &Node,
    limit: Option<u64>,
    format: Format,
) -> anyhow::Result<Ending> {
    let rows = Rows::new(&[
        Column::text("sku"),
        Column::text("name"),
        Column::number("free"),
        Column::number("held"),
        Column::number("in flight"),
        Column::number("sold"),
    ]);
    let row = |books: &Books| {
        let t = &books.totals;
        let counts = [t.available, t.held, t.in_flight, t.sold].map(|count| count.to_string());
        [books.sku.clone(), books.name.clone().unwrap_or_default()].into_iter().chain(counts).collect()
    };
    let pages = node.pages(Side::Admin, "/v1/items".to_owned(), limit);
    let listed = show_list(desk, pages, format, &rows, row).await?;
    if listed.count == 0 && format == Format::Table {
        writeln!(desk.notes, "There are no items yet: `stockade item set SKU --name NAME` makes one.")?;
    }
    Ok(Ending::Good)
}

async fn show(desk: &mut Desk<'_>, node: &Node, sku: &Sku, format: Format) -> anyhow::Result<Ending> {
    let answer = node.get(Side::Admin, &path(sku)).await?;
    show_books(desk, node, &answer, format)?;
    Ok(Ending::Good)
}

pub fn path(sku: &Sku) -> String {
    format!("/v1/items/{sku}")
}

/// Shows an answer that is an item's books.
///
/// # Errors
/// When it is not, or cannot be written.
pub fn show_books(
    desk: &mut Desk<'_>,
    node: &Node,
    answer: &crate::cli::client::Answer,
    format: Format,
) -> anyhow::Result<Books> {
    let books: Books = node.understood(Side::Admin, answer)?;
    if format == Format::Table {
        writeln!(desk.out, "{}", folded(&books.title()))?;
    }
    desk.show(format, &String::from_utf8_lossy(&answer.body), &books.rows(), &books.summary())?;
    Ok(books)
}

/// An item's books; `None`: there is no such item.
///
/// # Errors
/// When the node is silent or refuses.
pub async fn books(node: &Node, sku: &Sku) -> anyhow::Result<Option<Books>> {
    let answer = node.ask(Side::Admin, &path(sku)).await?;
    match answer.status {
        404 => Ok(None),
        200 => Ok(Some(node.understood(Side::Admin, &answer)?)),
        _ => Err(super::problem::Refused(node.refusal(Side::Admin, &answer)).into()),
    }
}

impl SetArgs {
    async fn run(self, desk: &mut Desk<'_>, node: &Node, format: Format) -> anyhow::Result<Ending> {
        self.check()?;
        let before = books(node, &self.sku).await?.map(|books| books.policy);
        let mut policy = before.clone().unwrap_or_default();
        self.apply(&mut policy)?;
        Ok(put_policy(desk, node, &self.sku, (before, policy), self.care, format).await?.0)
    }

    /// (With `--unset launch` what is expected besides begins anew.)
    ///
    /// # Errors
    /// When two options say different things.
    fn check(&self) -> anyhow::Result<()> {
        let set = [
            ("name", self.name.is_some(), Field::Name),
            ("low-stock", self.low_stock.is_some(), Field::LowStock),
            ("max-per-order", self.max_per_order.is_some(), Field::MaxPerOrder),
            ("autonomy", self.autonomy.is_some(), Field::Autonomy),
        ];
        let both = set.iter().find(|(_, is_set, field)| *is_set && self.unset.contains(field));
        if let Some((option, ..)) = both {
            anyhow::bail!("--{option} and --unset {option} contradict each other: write one of them");
        }
        for (place, (node, units)) in self.expect.iter().enumerate() {
            if let Some((_, other)) = self.expect[..place].iter().find(|(name, _)| name == node) {
                anyhow::bail!("--expect {node}={other} and --expect {node}={units}: write one of them");
            }
        }
        Ok(())
    }

    fn apply(&self, policy: &mut Policy) -> anyhow::Result<()> {
        for field in &self.unset {
            match field {
                Field::Name => policy.name = None,
                Field::LowStock => policy.low_stock = None,
                Field::MaxPerOrder => policy.max_per_order = None,
                Field::Launch => policy.launch = None,
                Field::Autonomy => policy.autonomy = None,
            }
        }
        if let Some(name) = &self.name {
            policy.name = Some(name.clone());
        }
        policy.low_stock = self.low_stock.or(policy.low_stock);
        policy.max_per_order = self.max_per_order.or(policy.max_per_order);
        if let Some(rebalance) = self.rebalance {
            policy.rebalance = Some(if rebalance == Rebalance::Auto { "auto" } else { "manual" }.to_owned());
        }
        match self.autonomy {
            None => {}
            Some(Dial::Default) => policy.autonomy = None,
            Some(Dial::Own(autonomy)) => policy.autonomy = Some(autonomy.into()),
        }
        if self.launch_until.is_some() || !self.expect.is_empty() {
            policy.launch = Some(self.launch(policy.launch.take().unwrap_or_default())?);
        }
        Ok(())
    }

    /// What is expected from now on.
    fn launch(&self, mut launch: Launch) -> anyhow::Result<Launch> {
        if let Some(until) = &self.launch_until {
            launch.until.clone_from(until);
        }
        for (node, units) in &self.expect {
            match units {
                0 => launch.expected.remove(node.as_str()),
                units => launch.expected.insert(node.to_string(), *units),
            };
        }
        ensure!(!launch.until.is_empty(), "until when is that expected? Add --launch-until TIME");
        ensure!(
            !launch.expected.is_empty(),
            "nothing is expected at any node: add --expect NODE=UNITS, or take the launch back with \
             --unset launch"
        );
        Ok(launch)
    }
}

/// Puts back a policy that was read and changed. The books are those after it, if it was sent.
///
/// # Errors
/// When the node is silent or refuses.
pub async fn put_policy(
    desk: &mut Desk<'_>,
    node: &Node,
    sku: &Sku,
    (before, after): (Option<Policy>, Policy),
    care: TryArgs,
    format: Format,
) -> anyhow::Result<(Ending, Option<Books>)> {
    let change = Change::put(Side::Admin, path(sku), serde_json::to_value(&after)?);
    let effects = async { differences(sku, before.as_ref(), &after) };
    if let Some(ending) = hold_back(desk, node, &change, (care.into(), format), "Set it", effects).await? {
        return Ok((ending, None));
    }
    let answer = node.change(&change).await?;
    if answer.status == 201 {
        outcome::after(&change, tell_late_nodes(desk, node, sku).await)?;
    }
    let books = outcome::after(&change, show_books(desk, node, &answer, format))?;
    Ok((Ending::Good, Some(books)))
}

/// Waits until the other nodes know a new item too, so that the next command may go to any of
/// them; those of a cluster's directory, which is where their addresses are known.
async fn tell_late_nodes(desk: &mut Desk<'_>, node: &Node, sku: &Sku) -> anyhow::Result<()> {
    let client = Client::new(KNOWN_WITHIN);
    let give_up = Instant::now() + KNOWN_WITHIN;
    for (name, admin) in node.target.all_admins() {
        let call = Call::get(admin, &path(sku));
        loop {
            let knows = client.send(&call).await.map(|answer| answer.is_success());
            if matches!(knows, Ok(true)) {
                break;
            }
            if knows.is_err() || Instant::now() >= give_up {
                writeln!(desk.notes, "{}", folded(&format!("{name} has not heard of {sku} yet")))?;
                break;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
    Ok(())
}

fn differences(sku: &Sku, before: Option<&Policy>, after: &Policy) -> anyhow::Result<Effects> {
    let mut effects = Effects::default();
    if before.is_none() {
        effects.add(format!("item {sku}"), "none", "created");
    }
    let old = serde_json::to_value(before.cloned().unwrap_or_default())?;
    let new = serde_json::to_value(after)?;
    let text = |value: Option<&Value>| value.map_or_else(|| "not set".to_owned(), Value::to_string);
    for field in ["name", "low_stock", "max_per_order", "rebalance", "autonomy"] {
        if old.get(field) != new.get(field) {
            effects.add(field, text(old.get(field)), text(new.get(field)));
        }
    }
    let empty = Policy::default();
    let before = before.unwrap_or(&empty);
    if before.launch != after.launch {
        let words =
            |launch: &Option<Launch>| launch.as_ref().map_or_else(|| "none".to_owned(), Launch::words);
        effects.add("launch", words(&before.launch), words(&after.launch));
    }
    let old = &before.quotas;
    let nodes: std::collections::BTreeSet<&String> = old.keys().chain(after.quotas.keys()).collect();
    for node in nodes {
        let words = |quotas: &std::collections::BTreeMap<String, super::books::Quota>| {
            quotas.get(node).map_or_else(|| "none".to_owned(), super::books::Quota::words)
        };
        if old.get(node) != after.quotas.get(node) {
            effects.add(format!("quota of {node}"), words(old), words(&after.quotas));
        }
    }
    Ok(effects)
}
