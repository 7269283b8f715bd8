//! The commands that work with a running cluster over its HTTP API: items, stock, quotas,
//! transfers, rebalancing, reservations, nodes, history, import, export, and `explain`.
//!
//! Each command reads its arguments, asks one node (`desk`, `target`), and shows what came
//! back (`show`, `books`); refusals are told in full by `problem`. What takes units away asks
//! first (`care`). The HTTP API decides everything; nothing here repeats a change by itself,
//! but for `import`, whose key makes that harmless.

mod books;
mod care;
mod desk;
mod explain;
mod export;
mod history;
mod import;
mod item;
mod node;
mod outcome;
mod problem;
mod quota;
mod rebalance;
mod remedy;
mod reserve;
#[cfg(test)]
mod script;
mod show;
mod stock;
pub(super) mod target;
#[cfg(test)]
mod tests;
mod transfer;

use std::io::{self, IsTerminal};

use clap::{Args, Subcommand};

use super::terminal::{self, Notes, Results, is_unread};
use super::{Ending, WIDTH};
use crate::types::units::MAX_QUANTITY;
use desk::Desk;
pub use problem::Refused;
use show::FormatArgs;
use target::{Surroundings, TargetArgs};

/// The commands of this module.
#[derive(Debug, Subcommand)]
pub enum Admin {
    Item(item::ItemArgs),
    Stock(stock::StockArgs),
    Quota(quota::QuotaArgs),
    Transfer(transfer::TransferArgs),
    Rebalance(rebalance::RebalanceArgs),
    Reserve(reserve::ReserveArgs),
    Node(node::NodeArgs),
    History(history::HistoryArgs),
    Import(import::ImportArgs),
    Export(export::ExportArgs),
    Explain(explain::ExplainArgs),
}

/// What most of these commands take.
#[derive(Clone, Debug, Args)]
struct Common {
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    target: TargetArgs,
}

/// Does a command with the terminal it was called from.
///
/// # Errors
/// [`Refused`] when the node said no; any other when it could not be asked.
pub fn run(command: Admin) -> anyhow::Result<Ending> {
    let (mut out, mut notes) = (Results(io::stdout()), Notes(io::stderr()));
    let mut input = io::stdin().lock();
    let mut desk = Desk {
        around: Surroundings::of_process(),
        out: &mut out,
        notes: &mut notes,
        input: &mut input,
        has_person: io::stdin().is_terminal() && io::stderr().is_terminal(),
        width: terminal::columns(io::stdout()).unwrap_or(WIDTH),
    };
    match super::runtime()?.block_on(command.run(&mut desk)) {
        // Whoever reads has seen enough, such as `head`.
        Err(error) if is_unread(&error) => Ok(Ending::Good),
        result => result,
    }
}

impl Admin {
    async fn run(self, desk: &mut Desk<'_>) -> anyhow::Result<Ending> {
        match self {
            Admin::Item(args) => args.run(desk).await,
            Admin::Stock(args) => args.run(desk).await,
            Admin::Quota(args) => args.run(desk).await,
            Admin::Transfer(args) => args.run(desk).await,
            Admin::Rebalance(args) => args.run(desk).await,
            Admin::Reserve(args) => args.run(desk).await,
            Admin::Node(args) => args.run(desk).await,
            Admin::History(args) => args.run(desk).await,
            Admin::Import(args) => args.run(desk).await,
            Admin::Export(args) => args.run(desk).await,
            Admin::Explain(args) => args.run(desk).await,
        }
    }
}

/// Reads a count of units that something is done with.
fn quantity(text: &str) -> Result<u64, String> {
    units(text, 1)
}

/// Reads a count of units that is a limit.
fn quantity_or_zero(text: &str) -> Result<u64, String> {
    units(text, 0)
}

fn units(text: &str, least: u64) -> Result<u64, String> {
    let count = text.parse().ok().filter(|count| (least..=MAX_QUANTITY).contains(count));
    count.ok_or_else(|| format!("must be a whole number from {least} to {MAX_QUANTITY}"))
}

/// A time of the API for a table: to the second, without `T` and `Z`.
fn short_time(text: &str) -> String {
    let is_usual = text.len() >= 19 && text.as_bytes()[10] == b'T' && text.is_char_boundary(19);
    if is_usual { text[..19].replace('T', " ") } else { text.to_owned() }
}
