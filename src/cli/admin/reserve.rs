//! `stockade reserve`: reservations and sales, as a storefront makes them.

use std::str::FromStr;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::care::KeyArgs;
use super::desk::{Change, Desk, Node, body, show_list};
use super::outcome;
use super::show::{Column, Format, Rows};
use super::target::Side;
use super::{Common, short_time};
use crate::cli::Ending;
use crate::cli::client::Answer;
use crate::types::units::MAX_QUANTITY;
use crate::types::{ReservationId, Sku};

const EXAMPLE: &str = "\
Examples:
  stockade reserve put ORDER-1001 MUG=2 TEE-RED-M=1 --ttl 900
  stockade reserve confirm ORDER-1001
  stockade reserve list --state held

These go to the storefront listener.";

const PUT_EXAMPLE: &str = "\
Examples:
  stockade reserve put ORDER-1001 MUG=2 TEE-RED-M=1
  stockade reserve put ORDER-1001 MUG=3 --ttl 900 --wait-ms 2000

Holds all lines or none. The same id again with other lines replaces them.";

const SHOW_EXAMPLE: &str = "\
Example:
  stockade reserve show ORDER-1001

Any node can be asked: it asks the one that has the reservation.";

const LIST_EXAMPLE: &str = "\
Examples:
  stockade reserve list --state held
  stockade reserve list --sku MUG --limit 20 -o csv

Lists the reservations of the node that is asked; each node has its own.";

const CONFIRM_EXAMPLE: &str = "\
Examples:
  stockade reserve confirm ORDER-1001
  stockade reserve confirm ORDER-1001 --if-version 2

With --if-version a basket that was changed meanwhile is not confirmed.";

const CANCEL_EXAMPLE: &str = "\
Example:
  stockade reserve cancel ORDER-1001";

const EXTEND_EXAMPLE: &str = "\
Example:
  stockade reserve extend ORDER-1001 --ttl 900";

const SELL_EXAMPLE: &str = "\
Examples:
  stockade reserve sell MUG=2
  stockade reserve sell MUG=2 TEE-RED-M=1 --reference till-1 --key till-1-0001

Reserves and confirms in one step. With --key, a second run of the same
command sells nothing more.";

/// Reservations: hold, show, list, confirm, cancel, extend, sell
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct ReserveArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: ReserveCommand,
}

#[derive(Debug, Subcommand)]
enum ReserveCommand {
    /// Hold units under an id
    #[command(after_help = PUT_EXAMPLE)]
    Put(PutArgs),
    /// Show a reservation
    #[command(after_help = SHOW_EXAMPLE)]
    Show {
        #[command(flatten)]
        id: Id,
    },
    /// List the node's reservations
    #[command(after_help = LIST_EXAMPLE)]
    List {
        /// Only those in this state
        #[arg(long, value_parser = ["held", "confirmed", "cancelled", "expired"])]
        state: Option<String>,
        /// Only those with a line of this item
        #[arg(long, value_parser = Sku::new)]
        sku: Option<Sku>,
        /// Only so many
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
        limit: Option<u64>,
    },
    /// Sell what is held
    #[command(after_help = CONFIRM_EXAMPLE)]
    Confirm {
        #[command(flatten)]
        id: Id,
        #[command(flatten)]
        version: IfVersion,
        #[command(flatten)]
        wait: Wait,
    },
    /// Release what is held
    #[command(after_help = CANCEL_EXAMPLE)]
    Cancel {
        #[command(flatten)]
        id: Id,
    },
    /// Hold it for longer
    #[command(after_help = EXTEND_EXAMPLE)]
    Extend {
        #[command(flatten)]
        id: Id,
        /// Seconds from now
        #[arg(long, value_name = "S", value_parser = ttl())]
        ttl: u64,
    },
    /// Sell at once
    #[command(after_help = SELL_EXAMPLE)]
    Sell(SellArgs),
}

fn ttl() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=86_400)
}

#[derive(Debug, Args)]
struct Id {
    /// The reservation
    #[arg(value_parser = ReservationId::new)]
    id: ReservationId,
}

#[derive(Clone, Copy, Debug, Args)]
struct IfVersion {
    /// Only if this is still its version
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
}

#[derive(Clone, Copy, Debug, Args)]
struct Wait {
    /// How long the node may fetch units from others [default: 500]
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(0..=10_000))]
    wait_ms: Option<u64>,
}

#[derive(Debug, Args)]
struct PutArgs {
    #[command(flatten)]
    id: Id,
    /// What to hold: SKU=QUANTITY, or SKU for one unit
    #[arg(required = true, value_name = "SKU=QTY")]
    lines: Vec<Line>,
    /// Seconds until it expires [default: 600]
    #[arg(long, value_name = "S", value_parser = ttl())]
    ttl: Option<u64>,
    #[command(flatten)]
    wait: Wait,
    #[command(flatten)]
    version: IfVersion,
    /// It was sent to another node before: ask all nodes for the id first
    #[arg(long)]
    retry: bool,
}

#[derive(Debug, Args)]
struct SellArgs {
    /// What to sell: SKU=QUANTITY, or SKU for one unit
    #[arg(required = true, value_name = "SKU=QTY")]
    lines: Vec<Line>,
    #[command(flatten)]
    wait: Wait,
    /// Your name for it, for the history
    #[arg(long, value_name = "TEXT")]
    reference: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
}

/// `SKU=QUANTITY`
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    sku: Sku,
    quantity: u64,
}

impl FromStr for Line {
    type Err = String;

    fn from_str(text: &str) -> Result<Line, String> {
        let (sku, quantity) = text.split_once('=').unwrap_or((text, "1"));
        let sku = Sku::new(sku).map_err(|e| format!("the sku {sku:?} {e}"))?;
        // The whole argument stands before this in what is told.
        let quantity = quantity.parse().ok().filter(|quantity| (1..=MAX_QUANTITY).contains(quantity));
        let quantity = quantity.ok_or_else(|| format!("the quantity must be 1 to {MAX_QUANTITY}"))?;
        Ok(Line { sku, quantity })
    }
}

fn lines(lines: &[Line]) -> Value {
    lines.iter().map(|line| json!({"sku": line.sku.as_str(), "quantity": line.quantity})).collect()
}

/// What is shown of a reservation.
#[derive(Debug, Deserialize)]
struct Reservation {
    id: String,
    state: String,
    version: u64,
    #[serde(default)]
    node: String,
    #[serde(default)]
    expires_at: String,
    #[serde(default)]
    lines: Vec<ReservedLine>,
}

#[derive(Debug, Deserialize)]
struct ReservedLine {
    sku: String,
    quantity: u64,
}

impl Reservation {
    /// An id that a node made up is long: a table leaves out what is the same in each line,
    /// and what few want to know.
    fn columns(format: Format) -> Rows {
        let (id, state, lines) = (Column::text("id"), Column::text("state"), Column::text("lines"));
        let expires = Column::text("expires (UTC)");
        match format {
            Format::Table => Rows::new(&[id, state, expires, lines]),
            Format::Csv | Format::Json => {
                Rows::new(&[id, state, Column::number("version"), Column::text("node"), expires, lines])
            }
        }
    }

    fn row(&self, format: Format) -> Vec<String> {
        let (expires, lines) = (short_time(&self.expires_at), self.lines());
        match format {
            Format::Table => vec![self.id.clone(), self.state.clone(), expires, lines],
            Format::Csv | Format::Json => {
                let (version, node) = (self.version.to_string(), self.node.clone());
                vec![self.id.clone(), self.state.clone(), version, node, expires, lines]
            }
        }
    }

    fn lines(&self) -> String {
        let lines: Vec<String> = self.lines.iter().map(|l| format!("{}={}", l.sku, l.quantity)).collect();
        lines.join(" ")
    }

    fn sentence(&self) -> String {
        let expires = match self.state.as_str() {
            "held" => format!(", until {} UTC", short_time(&self.expires_at)),
            _ => String::new(),
        };
        let Reservation { id, state, version, node, .. } = self;
        format!("{id}: {state} at {node}{expires}, version {version}\n  {}", self.lines())
    }
}

impl ReserveArgs {
    pub async fn run(self, desk: &mut Desk<'_>) -> anyhow::Result<Ending> {
        let node = desk.node(&self.common.target)?;
        let format = self.common.format.output;
        let call = |id: &Id, what: &str, body: Value| {
            Change::post(Side::Storefront, format!("{}/{what}", path(&id.id)), body)
        };
        let change = match self.command {
            ReserveCommand::Show { id } => {
                let answer = node.get(Side::Storefront, &path(&id.id)).await?;
                return show(desk, &node, &answer, format);
            }
            ReserveCommand::List { state, sku, limit } => {
                return list(desk, &node, state.as_deref(), sku.as_ref(), limit, format).await;
            }
            ReserveCommand::Put(args) => args.change(),
            ReserveCommand::Confirm { id, version, wait } => {
                let change = call(&id, "confirm", body([("wait_ms", wait.wait_ms.map(Into::into))]));
                version.on(change)
            }
            ReserveCommand::Cancel { id } => call(&id, "cancel", json!({})),
            ReserveCommand::Extend { id, ttl } => call(&id, "extend", json!({"ttl_seconds": ttl})),
            ReserveCommand::Sell(args) => args.change(),
        };
        let answer = node.change(&change).await?;
        if answer.replayed {
            writeln!(desk.notes, "This was done before under the same key; nothing more was done.")?;
        }
        outcome::after(&change, show(desk, &node, &answer, format))
    }
}

impl IfVersion {
    fn on(self, mut change: Change) -> Change {
        change.headers.extend(self.if_version.map(|version| ("if-match", format!("\"{version}\""))));
        change
    }
}

impl PutArgs {
    fn change(&self) -> Change {
        let body = body([
            ("lines", Some(lines(&self.lines))),
            ("ttl_seconds", self.ttl.map(Into::into)),
            ("wait_ms", self.wait.wait_ms.map(Into::into)),
        ]);
        let mut change = self.version.on(Change::put(Side::Storefront, path(&self.id.id), body));
        change.headers.extend(self.retry.then(|| ("stockade-retry", "1".to_owned())));
        change
    }
}

impl SellArgs {
    fn change(&self) -> Change {
        let body = body([
            ("lines", Some(lines(&self.lines))),
            ("wait_ms", self.wait.wait_ms.map(Into::into)),
            ("reference", self.reference.clone().map(Into::into)),
        ]);
        Change::post(Side::Storefront, "/v1/sales".to_owned(), body).with_key(self.key.key.as_deref())
    }
}

fn path(id: &ReservationId) -> String {
    format!("/v1/reservations/{id}")
}

fn show(desk: &mut Desk<'_>, node: &Node, answer: &Answer, format: Format) -> anyhow::Result<Ending> {
    let reservation: Reservation = node.understood(Side::Storefront, answer)?;
    let mut rows = Reservation::columns(format);
    let closing = match format {
        Format::Table => reservation.sentence(),
        Format::Csv | Format::Json => {
            rows.add(reservation.row(format));
            String::new()
        }
    };
    desk.show(format, &String::from_utf8_lossy(&answer.body), &rows, &closing)?;
    Ok(Ending::Good)
}

async fn list(
    desk: &mut Desk<'_>,
    node: &Node,
    state: Option<&str>,
    sku: Option<&Sku>,
    limit: Option<u64>,
    format: Format,
) -> anyhow::Result<Ending> {
    let filters = [state.map(|state| format!("state={state}")), sku.map(|sku| format!("sku={sku}"))];
    let query = filters.into_iter().flatten().collect::<Vec<_>>().join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    let pages = node.pages(Side::Storefront, format!("/v1/reservations{mark}{query}"), limit);
    let row = |reservation: &Reservation| reservation.row(format);
    show_list(desk, pages, format, &Reservation::columns(format), row).await?;
    Ok(Ending::Good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_item_and_how_many() {
        let line = |sku: &str, quantity| Ok(Line { sku: Sku::new(sku).unwrap(), quantity });
        assert_eq!("MUG=2".parse(), line("MUG", 2));
        assert_eq!("MUG".parse(), line("MUG", 1));
        assert_eq!("A:B=1000000000".parse(), line("A:B", 1_000_000_000));
        for bad in ["", "=2", "MUG=", "MUG=0", "MUG=-1", "MUG=x", "MUG=1000000001", "a b=1"] {
            assert!(bad.parse::<Line>().is_err(), "{bad}");
        }
        assert_eq!("MUG=0".parse::<Line>(), Err("the quantity must be 1 to 1000000000".to_owned()));
        for bad in ["1.5", "lots", "0", "1000000001"] {
            let wanted = "must be a whole number from 1 to 1000000000";
            assert_eq!(crate::cli::admin::quantity(bad), Err(wanted.to_owned()), "{bad}");
        }
    }
}
