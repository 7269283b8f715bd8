//! `stockade stock`: units come in, leave unsold, or come back.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use super::care::{Care, Effects, KeyArgs, LeaveArgs, TryArgs, hold_back};
use super::desk::{Change, Desk, Node, body};
use super::item::{books, path, show_books};
use super::node::own_name;
use super::outcome;
use super::show::{Format, folded};
use super::target::Side;
use super::{Common, quantity};
use crate::cli::Ending;
use crate::cli::client::Answer;
use crate::types::Sku;

const EXAMPLE: &str = "\
Examples:
  stockade stock receive MUG 100 --reference delivery-17
  stockade stock write-off MUG 2 --reason broken --node eu-1
  stockade stock return MUG 1 --reference ORDER-1001

Units arrive at, leave from and come back to the node that is asked.";

const RECEIVE_EXAMPLE: &str = "\
Examples:
  stockade stock receive MUG 100 --node eu-1
  stockade stock receive MUG 100 --key delivery-17 --reference \"delivery 17\"

With --key, a second run of the same command receives nothing more.";

const WRITE_OFF_EXAMPLE: &str = "\
Examples:
  stockade stock write-off MUG 2 --reason broken
  stockade stock write-off MUG 2 --dry-run
  stockade stock write-off MUG 2 --yes --key breakage-2026-05-03

Only free units can leave: those that are held or sold are somebody's.";

const RETURN_EXAMPLE: &str = "\
Example:
  stockade stock return MUG 1 --reference ORDER-1001

Goes to the storefront listener; the unit is for sale again at that node.";

/// Stock: receive deliveries, write off, take back
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct StockArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: StockCommand,
}

#[derive(Debug, Subcommand)]
enum StockCommand {
    /// Units arrive at the node
    #[command(after_help = RECEIVE_EXAMPLE)]
    Receive {
        #[command(flatten)]
        movement: Movement,
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        care: TryArgs,
    },
    /// Units leave the node unsold
    #[command(after_help = WRITE_OFF_EXAMPLE)]
    WriteOff {
        #[command(flatten)]
        movement: Movement,
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        care: LeaveArgs,
    },
    /// Sold units come back and are for sale again
    #[command(after_help = RETURN_EXAMPLE)]
    Return {
        #[command(flatten)]
        movement: Movement,
        #[command(flatten)]
        care: TryArgs,
    },
}

#[derive(Debug, Args)]
struct Movement {
    /// The item
    #[arg(value_parser = Sku::new)]
    sku: Sku,
    /// How many units
    #[arg(value_parser = quantity)]
    quantity: u64,
    /// Your name for it, such as a delivery's number
    #[arg(long, value_name = "TEXT")]
    reference: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
}

/// What a movement does to the books of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Receive,
    WriteOff,
    Return,
}

impl StockArgs {
    pub async fn run(self, desk: &mut Desk<'_>) -> anyhow::Result<Ending> {
        let node = desk.node(&self.common.target)?;
        let format = self.common.format.output;
        let (way, movement, reason, care) = match self.command {
            StockCommand::Receive { movement, reason, care } => {
                (Way::Receive, movement, reason, Care::from(care))
            }
            StockCommand::WriteOff { movement, reason, care } => {
                (Way::WriteOff, movement, reason, Care::from(care))
            }
            StockCommand::Return { movement, care } => (Way::Return, movement, None, Care::from(care)),
        };
        let change = movement.change(way, reason);
        let question = format!("{} {} of {}", way.verb(), movement.quantity, movement.sku);
        let effects = effects(&node, way, &movement);
        let held_back = hold_back(desk, &node, &change, (care, format), &question, effects).await?;
        match held_back {
            Some(ending) => Ok(ending),
            None => {
                let answer = node.change(&change).await?;
                outcome::after(&change, tell(desk, &node, way, &movement, &answer, format))
            }
        }
    }
}

fn tell(
    desk: &mut Desk<'_>,
    node: &Node,
    way: Way,
    movement: &Movement,
    answer: &Answer,
    format: Format,
) -> anyhow::Result<Ending> {
    #[derive(Deserialize)]
    struct Returned {
        node: String,
    }
    if answer.replayed {
        writeln!(desk.notes, "This was done before under the same key; nothing more was done.")?;
    }
    let done =
        |at: &str| folded(&format!("{} {} of {} at {at}", way.done(), movement.quantity, movement.sku));
    let text = String::from_utf8_lossy(&answer.body);
    match (way, format) {
        (_, Format::Json) => writeln!(desk.out, "{}", text.trim_end())?,
        (Way::Return, _) => {
            let returned: Returned = node.understood(Side::Storefront, answer)?;
            writeln!(desk.out, "{}", done(&returned.node))?;
        }
        _ => {
            if format == Format::Table {
                writeln!(desk.out, "{}", done(&node.target.called(Side::Admin).to_string()))?;
            }
            show_books(desk, node, answer, format)?;
        }
    }
    Ok(Ending::Good)
}

impl Movement {
    fn change(&self, way: Way, reason: Option<String>) -> Change {
        let quantity = Some(json!(self.quantity));
        let (reason, reference) = (reason.map(Into::into), self.reference.clone().map(Into::into));
        let change = match way {
            Way::Receive | Way::WriteOff => {
                let call = if way == Way::Receive { "receipts" } else { "write-offs" };
                let body = body([("quantity", quantity), ("reason", reason), ("reference", reference)]);
                Change::post(Side::Admin, format!("{}/{call}", path(&self.sku)), body)
            }
            Way::Return => {
                let sku = Some(json!(self.sku.as_str()));
                let body = body([("sku", sku), ("quantity", quantity), ("reference", reference)]);
                Change::post(Side::Storefront, "/v1/returns".to_owned(), body)
            }
        };
        change.with_key(self.key.key.as_deref())
    }
}

impl Way {
    fn verb(self) -> &'static str {
        match self {
            Way::Receive => "Receive",
            Way::WriteOff => "Write off",
            Way::Return => "Take back",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Way::Receive => "received",
            Way::WriteOff => "wrote off",
            Way::Return => "took back",
        }
    }
}

async fn effects(node: &Node, way: Way, movement: &Movement) -> anyhow::Result<Effects> {
    let mut effects = Effects::default();
    let Movement { sku, quantity, .. } = movement;
    let name = own_name(node).await?;
    let Some(books) = books(node, sku).await? else {
        effects.concern = Some(format!("there is no item {sku}"));
        return Ok(effects);
    };
    let at = books.at(&name).cloned().unwrap_or_default();
    let more = |count: u64| count.saturating_add(*quantity);
    let (what, count) = match way {
        Way::Receive => ("received", at.received),
        Way::WriteOff => ("retired", at.retired),
        Way::Return => ("returned", at.returned),
    };
    effects.add(format!("{what} at {name}"), count, more(count));
    let free = format!("free at {name}");
    match (way, at.available.checked_sub(*quantity)) {
        (Way::WriteOff, Some(left)) => effects.add(free, at.available, left),
        (Way::WriteOff, None) => {
            effects.concern = Some(format!("only {} of {sku} are free at {name}", at.available));
            effects.changes.clear();
        }
        (Way::Receive | Way::Return, _) => effects.add(free, at.available, more(at.available)),
    }
    Ok(effects)
}
