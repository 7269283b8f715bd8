//! `stockade history`: each change of an item, newest first.

use std::collections::BTreeMap;

use clap::Args;
use serde::Deserialize;

use super::books::Policy;
use super::desk::{Desk, show_list};
use super::item::path;
use super::show::{Column, Rows, folded};
use super::target::Side;
use super::{Common, short_time};
use crate::cli::Ending;
use crate::types::Sku;

const EXAMPLE: &str = "\
Examples:
  stockade history MUG
  stockade history MUG --nodes all --limit 50
  stockade history MUG --nodes all -o csv

`free` and `held` are what the change did to these counts at its node.";

/// Show each change of an item, newest first
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct HistoryArgs {
    /// The item
    #[arg(value_parser = Sku::new)]
    sku: Sku,
    /// Of all nodes instead of the one that is asked
    #[arg(long, value_name = "WHICH", value_parser = ["all"])]
    nodes: Option<String>,
    /// Only so many, from the newest; 0: all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
    #[command(flatten)]
    common: Common,
}

/// An entry.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Entry {
    pub time: String,
    pub node: String,
    pub cause: String,
    actor: Option<String>,
    reference: Option<String>,
    pub reason: Option<String>,
    reservation: Option<String>,
    pub peer: Option<String>,
    pub amounts: BTreeMap<String, u64>,
    available: i64,
    held: i64,
    policy: Option<Policy>,
}

impl Entry {
    fn columns() -> Rows {
        Rows::new(&[
            Column::text("time (UTC)"),
            Column::text("node"),
            Column::text("cause"),
            Column::number("free"),
            Column::number("held"),
            Column::text("about"),
        ])
    }

    fn row(&self) -> Vec<String> {
        vec![
            short_time(&self.time),
            self.node.clone(),
            self.cause.clone(),
            signed(self.available),
            signed(self.held),
            self.about(),
        ]
    }

    /// All that has no column of its own.
    fn about(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.amounts.iter().map(|(cell, amount)| format!("{cell} {amount}")));
        let way = if self.amounts.contains_key("given") { "from" } else { "to" };
        parts.extend(self.peer.as_ref().map(|peer| format!("{way} {peer}")));
        parts.extend(self.reservation.clone());
        parts.extend(self.reference.as_ref().map(|text| format!("ref {text:?}")));
        parts.extend(self.reason.as_ref().map(|text| format!("because {text:?}")));
        parts.extend(self.policy.as_ref().map(|policy| format!("set {}", policy.words_with_name())));
        parts.extend(self.actor.as_ref().map(|actor| format!("by {actor}")));
        parts.join(", ")
    }
}

fn signed(change: i64) -> String {
    if change == 0 { String::new() } else { format!("{change:+}") }
}

impl HistoryArgs {
    pub async fn run(self, desk: &mut Desk<'_>) -> anyhow::Result<Ending> {
        let node = desk.node(&self.common.target)?;
        let query = if self.nodes.is_some() { "?nodes=all" } else { "" };
        let limit = (self.limit > 0).then_some(self.limit);
        let pages = node.pages(Side::Admin, format!("{}/history{query}", path(&self.sku)), limit);
        let format = self.common.format.output;
        let listed = show_list(desk, pages, format, &Entry::columns(), Entry::row).await?;
        if !listed.missing_nodes.is_empty() {
            let missing = listed.missing_nodes.join(", ");
            writeln!(
                desk.notes,
                "{}",
                folded(&format!("not answered, so their changes are missing: {missing}"))
            )?;
        }
        if limit == Some(listed.count) {
            writeln!(desk.notes, "There may be more: --limit N shows N, --limit 0 shows all.")?;
        }
        Ok(Ending::Good)
    }
}
