//! `stockade quota`: how an item's units should be shared among nodes.

use clap::{Args, Subcommand, ValueEnum};

use super::books::{Books, Policy, Quota};
use super::care::TryArgs;
use super::desk::{Desk, Node};
use super::item::{books, path, put_policy};
use super::problem::Refused;
use super::show::{Column, Format, Rows};
use super::target::Side;
use super::{Common, quantity_or_zero};
use crate::cli::Ending;
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

What is not named stays as it is, also the quotas of other nodes.";

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
    /// Multiplies its demand when units are shared; 1 if not set
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(0..=1_000))]
    weight: Option<u64>,
    /// So many free units cannot be asked away by others
    #[arg(long, value_name = "N", value_parser = quantity_or_zero)]
    min: Option<u64>,
    /// With so many free units it asks others for no more
    #[arg(long, value_name = "N", value_parser = quantity_or_zero)]
    max: Option<u64>,
    /// Min and max at once
    #[arg(long, value_name = "N", value_parser = quantity_or_zero)]
    pinned: Option<u64>,
    /// Take back what was set; repeat for more
    #[arg(long, value_enum, value_name = "FIELD")]
    unset: Vec<Field>,
    #[command(flatten)]
    care: TryArgs,
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
                let before = policy(&node, &args.sku).await?;
                let mut after = before.clone();
                args.apply(&mut after);
                put_policy(desk, &node, &args.sku, (Some(before), after), args.care, format).await
            }
            QuotaCommand::Clear { sku, of, care } => {
                let before = policy(&node, &sku).await?;
                let mut after = before.clone();
                after.quotas.retain(|name, _| of.as_ref().is_some_and(|of| of.as_str() != name));
                put_policy(desk, &node, &sku, (Some(before), after), care, format).await
            }
        }
    }
}

impl SetArgs {
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
    let closing = match books.policy.quotas.is_empty() {
        true => "no quotas: any free unit can be sold anywhere",
        false => "",
    };
    desk.show(format, &String::from_utf8_lossy(&answer.body), &rows, closing)?;
    Ok(Ending::Good)
}

fn quota_row(node: &str, has: Option<(u64, u64)>, quota: &Quota) -> Vec<String> {
    let cell = |count: Option<u64>| count.map(|count| count.to_string()).unwrap_or_default();
    let counts =
        [has.map(|has| has.0), has.map(|has| has.1), quota.weight, quota.min, quota.max, quota.pinned];
    std::iter::once(node.to_owned()).chain(counts.map(cell)).collect()
}
