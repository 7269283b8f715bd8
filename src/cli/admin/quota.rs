//! `stockade quota`: how an item's units should be shared among nodes.

use anyhow::ensure;
use clap::{Args, Subcommand, ValueEnum};

use super::books::{Books, Policy, Quota};
use super::care::TryArgs;
use super::desk::{Desk, Node};
use super::item::{books, path, put_policy};
use super::node::Members;
use super::problem::Refused;
use super::show::{Column, Format, Rows, folded};
use super::target::Side;
use super::{Common, quantity_or_zero};
use crate::cli::Ending;
use crate::types::item::MAX_WEIGHT;
use crate::types::{NodeName, Sku};

const EXAMPLE: &str = "\
Examples:
  stockade quota show MUG
  stockade quota set MUG eu-1 --min 10 --max 500
  stockade quota clear MUG eu-1

A quota binds how nodes move units between each other; it is never itself a
right, and deliveries are not bound by it.";

const SHOW_EXAMPLE: &str = "\
Example:
  stockade quota show MUG";

const SET_EXAMPLE: &str = "\
Examples:
  stockade quota set MUG eu-1 --min 10
  stockade quota set MUG us-1 --weight 3 --max 500
  stockade quota set MUG us-1 --pinned 50 --unset max

What is not named stays as it is, also the quotas of other nodes. `pinned`
counts in place of `min` and `max`: leave it between them, or them out.";

const CLEAR_EXAMPLE: &str = "\
Examples:
  stockade quota clear MUG eu-1
  stockade quota clear MUG";

/// Quotas: show, set and clear how units are shared
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct QuotaArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: QuotaCommand,
}

#[derive(Debug, Subcommand)]
enum QuotaCommand {
    /// Show an item's quotas beside what each node has
    #[command(after_help = SHOW_EXAMPLE)]
    Show {
        /// The item
        #[arg(value_parser = Sku::new)]
        sku: Sku,
    },
    /// Set a node's quota of an item
    #[command(after_help = SET_EXAMPLE)]
    Set(SetArgs),
    /// Take back a node's quota, or those of all nodes
    #[command(after_help = CLEAR_EXAMPLE)]
    Clear {
        /// The item
        #[arg(value_parser = Sku::new)]
        sku: Sku,
        /// The node [default: all]
        #[arg(value_name = "NODE", value_parser = NodeName::new)]
        of: Option<NodeName>,
        #[command(flatten)]
        care: TryArgs,
    },
}

#[derive(Debug, Args)]
struct SetArgs {
    /// The item
    #[arg(value_parser = Sku::new)]
    sku: Sku,
    /// Whose quota
    #[arg(value_name = "NODE", value_parser = NodeName::new)]
    of: NodeName,
    /// Multiplies its demand when units are shared, 0 to 1000; 1 if not set
    #[arg(long, value_name = "N", value_parser = weight, allow_negative_numbers = true)]
    weight: Option<u64>,
    /// So many free units cannot be asked away by others
    #[arg(long, value_name = "N", value_parser = quantity_or_zero, allow_negative_numbers = true)]
    min: Option<u64>,
    /// With so many free units it asks others for no more
    #[arg(long, value_name = "N", value_parser = quantity_or_zero, allow_negative_numbers = true)]
    max: Option<u64>,
    /// Min and max at once
    #[arg(long, value_name = "N", value_parser = quantity_or_zero, allow_negative_numbers = true)]
    pinned: Option<u64>,
    /// Take back what was set; repeat for more
    #[arg(long, value_enum, value_name = "FIELD")]
    unset: Vec<Field>,
    #[command(flatten)]
    care: TryArgs,
}

/// Reads a weight.
fn weight(text: &str) -> Result<u64, String> {
    let weight = text.parse().ok().filter(|weight| *weight <= MAX_WEIGHT);
    weight.ok_or_else(|| format!("must be a whole number from 0 to {MAX_WEIGHT}"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Field {
    Weight,
    Min,
    Max,
    Pinned,
}

impl QuotaArgs {
    pub async fn run(self, desk: &mut Desk<'_>) -> anyhow::Result<Ending> {
        let node = desk.node(&self.common.target)?;
        let format = self.common.format.output;
        match self.command {
            QuotaCommand::Show { sku } => show(desk, &node, &sku, format).await,
            QuotaCommand::Set(args) => {
                args.check()?;
                let before = policy(&node, &args.sku).await?;
                let mut after = before.clone();
                args.apply(&mut after);
                let put = put_policy(desk, &node, &args.sku, (Some(before), after), args.care, format);
                let (ending, books) = put.await?;
                if let Some(books) = books.filter(|_| format == Format::Table) {
                    tell_next(desk, &books, &args.of)?;
                }
                Ok(ending)
            }
            QuotaCommand::Clear { sku, of, care } => {
                let before = policy(&node, &sku).await?;
                if let Some(of) = of.as_ref().filter(|of| !before.quotas.contains_key(of.as_str())) {
                    demand_member(&node, of).await?;
                }
                let mut after = before.clone();
                after.quotas.retain(|name, _| of.as_ref().is_some_and(|of| of.as_str() != name));
                Ok(put_policy(desk, &node, &sku, (Some(before), after), care, format).await?.0)
            }
        }
    }
}

impl SetArgs {
    /// # Errors
    /// When it says nothing, or a thing and its opposite.
    fn check(&self) -> anyhow::Result<()> {
        let set = [
            ("weight", Field::Weight, self.weight),
            ("min", Field::Min, self.min),
            ("max", Field::Max, self.max),
            ("pinned", Field::Pinned, self.pinned),
        ];
        ensure!(
            !self.unset.is_empty() || set.iter().any(|(_, _, value)| value.is_some()),
            "nothing to set: add --weight, --min, --max or --pinned with a number, or --unset FIELD"
        );
        for (name, field, value) in set {
            if let Some(value) = value.filter(|_| self.unset.contains(&field)) {
                anyhow::bail!("--{name} {value} and --unset {name} contradict each other: write one of them");
            }
        }
        Ok(())
    }

    fn apply(&self, policy: &mut Policy) {
        let quota = policy.quotas.entry(self.of.to_string()).or_default();
        for field in &self.unset {
            match field {
                Field::Weight => quota.weight = None,
                Field::Min => quota.min = None,
                Field::Max => quota.max = None,
                Field::Pinned => quota.pinned = None,
            }
        }
        quota.weight = self.weight.or(quota.weight);
        quota.min = self.min.or(quota.min);
        quota.max = self.max.or(quota.max);
        quota.pinned = self.pinned.or(quota.pinned);
        if quota.is_empty() {
            policy.quotas.remove(self.of.as_str());
        }
    }
}

async fn policy(node: &Node, sku: &Sku) -> anyhow::Result<Policy> {
    match books(node, sku).await? {
        Some(books) => Ok(books.policy),
        None => Err(Refused(format!(
            "there is no item {sku} at {}\n  What to do: check the sku, or `stockade item set {sku}` first.",
            node.target.called(Side::Admin)
        ))
        .into()),
    }
}

/// # Errors
/// When there is no such node, and the cluster can be asked which there are.
async fn demand_member(node: &Node, wanted: &NodeName) -> anyhow::Result<()> {
    let members = Members::read(node).await?.all()?;
    let is_there = members.iter().any(|member| member.name == wanted.as_str());
    let error = || {
        let all = super::node::listed(&members);
        Refused(format!("there is no node {wanted}\n  What to do: name one of the nodes: {all}."))
    };
    if is_there { Ok(()) } else { Err(error().into()) }
}

/// After a quota was set: what of it may surprise, and how to see what comes of it.
fn tell_next(desk: &mut Desk<'_>, books: &Books, of: &NodeName) -> anyhow::Result<()> {
    let Books { sku, policy, .. } = books;
    for text in over_ceiling(books, Some(of.as_str())) {
        writeln!(desk.notes, "{}", folded(&text))?;
    }
    let next = match policy.rebalance() {
        "manual" => format!(
            "It counts for nothing while rebalance is manual. To end that:\n  \
             stockade item set {sku} --rebalance auto"
        ),
        _ => format!(
            "To see what would move now, and what has moved and why:\n  \
             stockade rebalance --dry-run --sku {sku}\n  stockade explain {sku}"
        ),
    };
    writeln!(desk.notes, "{}", folded(&next))?;
    Ok(())
}

/// Nodes that have more than they shall ask for, of these or all.
fn over_ceiling(books: &Books, only: Option<&str>) -> Vec<String> {
    let told = |(node, quota): (&String, &Quota)| {
        let (word, most) = match (quota.pinned, quota.max) {
            (Some(pinned), _) => ("pinned", pinned),
            (None, max) => ("max", max?),
        };
        let free = books.at(node)?.available;
        (free > most).then(|| {
            format!("{node} has {free} free, more than {word} {most}: it asks for no more, but keeps these until others ask.")
        })
    };
    let of = books.policy.quotas.iter().filter(|(node, _)| only.is_none_or(|only| only == *node));
    of.filter_map(told).collect()
}

async fn show(desk: &mut Desk<'_>, node: &Node, sku: &Sku, format: Format) -> anyhow::Result<Ending> {
    let answer = node.get(Side::Admin, &path(sku)).await?;
    let books: Books = node.understood(Side::Admin, &answer)?;
    let mut rows = Rows::new(&[
        Column::text("node"),
        Column::number("free"),
        Column::number("held"),
        Column::number("weight"),
        Column::number("min"),
        Column::number("max"),
        Column::number("pinned"),
    ]);
    let mut quotas = books.policy.quotas.clone();
    for at in &books.nodes {
        let quota = quotas.remove(&at.node).unwrap_or_default();
        rows.add(quota_row(&at.node, Some((at.available, at.held)), &quota));
    }
    for (node, quota) in &quotas {
        rows.add(quota_row(node, None, quota));
    }
    desk.show(format, &String::from_utf8_lossy(&answer.body), &rows, &closing(&books).join("\n"))?;
    Ok(Ending::Good)
}

/// All that is set about where units should be, but for the numbers in the table.
fn closing(books: &Books) -> Vec<String> {
    let policy = &books.policy;
    let mut lines = over_ceiling(books, None);
    lines.extend(policy.launch.as_ref().map(|launch| {
        let over = if books.is_past(&launch.until) { ", which is over: it counts for nothing" } else { "" };
        format!("launch {}{over}", launch.words())
    }));
    lines.extend(policy.autonomy.as_ref().map(|autonomy| {
        format!("autonomy {}: so much a node may take before others know of it", autonomy.words())
    }));
    if policy.rebalance() == "manual" {
        let sku = &books.sku;
        lines.push(format!(
            "rebalance manual: quotas and a launch count for nothing, only `stockade transfer {sku}` moves units"
        ));
    }
    if lines.is_empty() && policy.quotas.is_empty() {
        lines.push("nothing set: any free unit can be sold anywhere".to_owned());
    }
    lines
}

fn quota_row(node: &str, has: Option<(u64, u64)>, quota: &Quota) -> Vec<String> {
    let cell = |count: Option<u64>| count.map(|count| count.to_string()).unwrap_or_default();
    let counts =
        [has.map(|has| has.0), has.map(|has| has.1), quota.weight, quota.min, quota.max, quota.pinned];
    std::iter::once(node.to_owned()).chain(counts.map(cell)).collect()
}
