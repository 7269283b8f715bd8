//! `stockade transfer`: rights move from one node to another.

use clap::Args;
use serde_json::json;

use super::care::{Effects, KeyArgs, LeaveArgs, hold_back};
use super::desk::{Change, Desk, Node};
use super::item::{books, path, show_books};
use super::outcome;
use super::show::Format;
use super::target::Side;
use super::{Common, quantity};
use crate::cli::Ending;
use crate::cli::client::Answer;
use crate::types::{NodeName, Sku};

const EXAMPLE: &str = "\
Examples:
  stockade transfer MUG --from eu-1 --to us-1 20
  stockade transfer MUG --from eu-1 --to us-1 20 --dry-run
  stockade transfer MUG --from eu-1 --to us-1 20 --yes --key move-2026-05-03

Any node can be asked. The giver gives all or nothing; when this returns, the
units have left it durably. The other takes them in when it hears of it.";

/// Move free units of an item from one node to another
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct TransferArgs {
    /// The item
    #[arg(value_parser = Sku::new)]
    sku: Sku,
    /// The node that gives
    #[arg(long, value_name = "NODE", value_parser = NodeName::new)]
    from: NodeName,
    /// The node that gets
    #[arg(long, value_name = "NODE", value_parser = NodeName::new)]
    to: NodeName,
    /// How many units
    #[arg(value_parser = quantity)]
    quantity: u64,
    /// Your name for it, for the history
    #[arg(long, value_name = "TEXT")]
    reference: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    #[command(flatten)]
    care: LeaveArgs,
    #[command(flatten)]
    common: Common,
}

impl TransferArgs {
    pub async fn run(self, desk: &mut Desk<'_>) -> anyhow::Result<Ending> {
        let TransferArgs { sku, from, to, quantity, .. } = &self;
        let node = desk.node(&self.common.target)?;
        let format = self.common.format.output;
        let mut body = json!({"from": from.as_str(), "to": to.as_str(), "quantity": quantity});
        if let Some(reference) = &self.reference {
            body["reference"] = json!(reference);
        }
        let change = Change::post(Side::Admin, format!("{}/transfers", path(sku)), body)
            .with_key(self.key.key.as_deref());
        let question = format!("Move {quantity} of {sku} from {from} to {to}");
        let effects = self.effects(&node);
        let care = (self.care.into(), format);
        if let Some(ending) = hold_back(desk, &node, &change, care, &question, effects).await? {
            return Ok(ending);
        }
        let answer = node.change(&change).await?;
        outcome::after(&change, self.tell(desk, &node, &answer, format))
    }

    fn tell(
        &self,
        desk: &mut Desk<'_>,
        node: &Node,
        answer: &Answer,
        format: Format,
    ) -> anyhow::Result<Ending> {
        let TransferArgs { sku, from, to, quantity, .. } = self;
        if answer.replayed {
            writeln!(desk.notes, "This was done before under the same key; nothing more was done.")?;
        }
        if format == Format::Table {
            let done = format!("{quantity} of {sku} have left {from} for {to}");
            writeln!(desk.out, "{}", super::show::folded(&done))?;
        }
        show_books(desk, node, answer, format)?;
        Ok(Ending::Good)
    }

    async fn effects(&self, node: &Node) -> anyhow::Result<Effects> {
        let TransferArgs { sku, from, to, quantity, .. } = self;
        let mut effects = Effects::default();
        let Some(books) = books(node, sku).await? else {
            effects.concern = Some(format!("there is no item {sku}"));
            return Ok(effects);
        };
        let free = |node: &NodeName| books.at(node.as_str()).map_or(0, |at| at.available);
        match free(from).checked_sub(*quantity) {
            Some(left) => {
                effects.add(format!("free at {from}"), free(from), left);
                let gets = format!("free at {to}, once taken in");
                effects.add(gets, free(to), free(to).saturating_add(*quantity));
            }
            None => {
                effects.concern = Some(format!("only {} of {sku} are free at {from}", free(from)));
            }
        }
        Ok(effects)
    }
}
