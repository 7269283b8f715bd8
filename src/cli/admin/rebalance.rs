//! `stockade rebalance`: what the policy would move between nodes, and to have it moved now.

use std::convert::Infallible;

use anyhow::ensure;
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};

use super::Common;
use super::desk::{Change, Desk, Node, body};
use super::item::books;
use super::outcome;
use super::show::{Column, Format, Rows};
use super::target::Side;
use crate::cli::Ending;
use crate::types::Sku;

const EXAMPLE: &str = "\
Examples:
  stockade rebalance --dry-run
  stockade rebalance --dry-run --sku MUG --node us-1
  stockade rebalance --sku MUG

Nodes move units to where buyers ask for them all the time, by themselves. This
tells what the node that is asked would have moved now, as far as it sees, and
why. Without --dry-run it begins at once what it can: it gives what it should
give, and asks for what it should get; the other moves are for the nodes they
name: ask those with --node. Items with `rebalance manual` are left alone:
`stockade transfer` moves their units.";

/// Move units to where they are needed, or tell what would move and why
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct RebalanceArgs {
    /// Begin nothing, only tell
    #[arg(long)]
    dry_run: bool,
    /// Only this item
    #[arg(long, value_parser = Sku::new)]
    sku: Option<Sku>,
    /// Only there to tell those who write the item as other commands take it
    #[arg(hide = true, value_name = "SKU", value_parser = misplaced)]
    misplaced: Option<Infallible>,
    #[command(flatten)]
    common: Common,
}

fn misplaced(text: &str) -> Result<Infallible, String> {
    Err(format!("it is an option here, --sku {text}; without one all items are meant"))
}

/// A page of the answer.
#[derive(Debug, Deserialize, Serialize)]
struct Moves {
    node: String,
    #[serde(default)]
    dry_run: bool,
    moves: Vec<Box<RawValue>>,
    next: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Move {
    sku: String,
    from: String,
    to: String,
    quantity: u64,
    why: String,
    begun: bool,
}

impl RebalanceArgs {
    pub async fn run(self, desk: &mut Desk<'_>) -> anyhow::Result<Ending> {
        let node = desk.node(&self.common.target)?;
        let mut all = self.ask(&node, None).await?;
        while let Some(cursor) = all.next.take() {
            let page = self.ask(&node, Some(&cursor)).await?;
            let called = node.target.called(Side::Admin);
            ensure!(page.next.as_ref() != Some(&cursor), "{called}: the list of moves has no end");
            all.moves.extend(page.moves);
            all.next = page.next;
        }
        let is_manual = all.moves.is_empty() && self.is_manual(&node).await;
        outcome::after(&self.change(None), self.tell(desk, &node, &all, is_manual))
    }

    fn change(&self, cursor: Option<&str>) -> Change {
        let fields = [
            ("dry_run", Some(json!(self.dry_run))),
            ("sku", self.sku.as_ref().map(|sku| json!(sku.as_str()))),
            ("cursor", cursor.map(|cursor| json!(cursor))),
        ];
        Change::post(Side::Admin, "/v1/rebalance".to_owned(), body(fields))
    }

    async fn ask(&self, node: &Node, cursor: Option<&str>) -> anyhow::Result<Moves> {
        let change = self.change(cursor);
        let answer = node.change(&change).await?;
        outcome::after(&change, node.understood(Side::Admin, &answer))
    }

    /// Whether the one item that was asked for is left alone; no, if that cannot be found out.
    async fn is_manual(&self, node: &Node) -> bool {
        let Some(sku) = self.sku.as_ref().filter(|_| self.common.format.output == Format::Table) else {
            return false;
        };
        matches!(books(node, sku).await, Ok(Some(books)) if books.policy.rebalance() == "manual")
    }

    fn tell(&self, desk: &mut Desk<'_>, node: &Node, all: &Moves, is_manual: bool) -> anyhow::Result<Ending> {
        let format = self.common.format.output;
        if format == Format::Json {
            writeln!(desk.out, "{}", serde_json::to_string(all)?)?;
            return Ok(Ending::Good);
        }
        let read = |raw: &RawValue| {
            serde_json::from_str::<Move>(raw.get()).map_err(|e| anyhow::anyhow!("{}: a move: {e}", all.node))
        };
        let moves: Vec<Move> = all.moves.iter().map(|raw| read(raw)).collect::<anyhow::Result<_>>()?;
        let closing = match self.sku.as_ref().filter(|_| is_manual) {
            Some(sku) => format!(
                "nothing moves by itself: {sku} is set to rebalance manual. To move units:\n  \
                 stockade transfer {sku} --from NODE --to NODE UNITS\n  \
                 (POST /v1/items/{sku}/transfers does the same)"
            ),
            None => self.closing(node, &all.node, &moves),
        };
        desk.show(format, "", &self.rows(&moves, format), &closing)?;
        Ok(Ending::Good)
    }

    fn rows(&self, moves: &[Move], format: Format) -> Rows {
        let mut columns =
            vec![Column::text("sku"), Column::text("from"), Column::text("to"), Column::number("quantity")];
        let tells_begun = !self.dry_run || format == Format::Csv;
        columns.extend(tells_begun.then(|| Column::text("begun")));
        columns.push(Column::text("why"));
        let mut rows = Rows::new(&columns);
        for Move { sku, from, to, quantity, why, begun } in moves {
            let mut row = vec![sku.clone(), from.clone(), to.clone(), quantity.to_string()];
            row.extend(tells_begun.then(|| if *begun { "yes" } else { "no" }.to_owned()));
            row.push(why.clone());
            rows.add(row);
        }
        rows
    }

    fn closing(&self, target: &Node, node: &str, moves: &[Move]) -> String {
        let begun = moves.iter().filter(|planned| planned.begun).count();
        let count = moves.len();
        match (self.dry_run, count, begun) {
            (true, 0, _) => format!("nothing would move, as far as {node} sees"),
            (false, 0, _) => format!("nothing to move, as far as {node} sees"),
            (true, ..) => format!(
                "this is the plan as far as {node} sees; nothing was begun. Without --dry-run {node} begins \
                 the moves that it takes part in"
            ),
            (false, _, 0) => {
                let one = moves.first().map_or("NODE", |planned| planned.from.as_str());
                let way = match target.target.all_admins() {
                    [] => format!("--admin with the address of {one}"),
                    _ => format!("--node {one}"),
                };
                format!(
                    "{node} has begun none of them: they are between other nodes. Ask one of those: {way}"
                )
            }
            (false, ..) if begun == count => format!("{node} has begun all of them"),
            (false, ..) => {
                format!("{node} has begun {begun} of {count}; the others are for the nodes they name")
            }
        }
    }
}
