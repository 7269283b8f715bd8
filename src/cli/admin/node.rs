//! `stockade node`: the nodes as one of them sees them; drain, resume, reload.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::books::Books;
use super::care::{Effects, LeaveArgs, hold_back};
use super::desk::{Change, Desk, Node};
use super::outcome;
use super::show::{Column, Format, Rows, folded};
use super::target::Side;
use super::{Common, short_time};
use crate::cli::Ending;
use crate::types::NodeName;

const EXAMPLE: &str = "\
Examples:
  stockade node list
  stockade node drain eu-1
  stockade node resume eu-1
  stockade node reload --node eu-1";

const LIST_EXAMPLE: &str = "\
Example:
  stockade node list

The node that is asked (*) tells how it sees the others: `lag` counts changes
of a node that it knows of and has not got yet.";

const DRAIN_EXAMPLE: &str = "\
Examples:
  stockade node drain eu-1 --dry-run
  stockade node drain eu-1
  stockade node drain eu-1 --yes

The node hands its free units to the others and takes no new reservations.
What it holds can still be confirmed and cancelled there; its /readyz is 503.
`stockade node list` shows when it is drained; `node resume` undoes it.";

const RESUME_EXAMPLE: &str = "\
Example:
  stockade node resume eu-1";

const RELOAD_EXAMPLE: &str = "\
Example:
  stockade node reload --node eu-1

The node reads its configuration again: peers, certificates, limits. It says
what it applied, and what needs a restart.";

/// Nodes: list, drain, resume, reload
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct NodeArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: NodeCommand,
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    /// List the nodes as one of them sees them
    #[command(after_help = LIST_EXAMPLE)]
    List,
    /// Hand a node's free units to the others, and take no new reservations there
    #[command(after_help = DRAIN_EXAMPLE)]
    Drain {
        /// The node
        #[arg(value_name = "NAME", value_parser = NodeName::new)]
        drained: NodeName,
        #[command(flatten)]
        care: LeaveArgs,
    },
    /// Let a drained node sell again
    #[command(after_help = RESUME_EXAMPLE)]
    Resume {
        /// The node
        #[arg(value_name = "NAME", value_parser = NodeName::new)]
        resumed: NodeName,
    },
    /// Have the node that is asked read its configuration again
    #[command(after_help = RELOAD_EXAMPLE)]
    Reload,
}

/// The answer to `GET /v1/nodes`.
#[derive(Debug, Deserialize)]
pub struct Members {
    /// Who answers.
    pub node: String,
    nodes: Vec<Box<RawValue>>,
}

/// A node as another sees it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Member {
    pub name: String,
    pub region: String,
    #[serde(rename = "self")]
    pub is_self: bool,
    pub state: String,
    pub link: String,
    rtt_ms: Option<f64>,
    lag: u64,
    pub last_heard: Option<String>,
}

impl Members {
    /// # Errors
    /// When the node is silent or refuses.
    pub async fn read(node: &Node) -> anyhow::Result<Members> {
        node.read(Side::Admin, "/v1/nodes").await
    }

    /// # Errors
    /// When an entry has another form than this release expects.
    pub fn all(&self) -> anyhow::Result<Vec<Member>> {
        let read =
            |raw: &str| serde_json::from_str(raw).map_err(|e| anyhow::anyhow!("{}: a node: {e}", self.node));
        self.nodes.iter().map(|raw| read(raw.get())).collect()
    }
}

/// All names, each with its region: whoever names a region by mistake sees what was meant.
pub fn listed(members: &[Member]) -> String {
    let names = members.iter().map(|member| format!("{} (region {})", member.name, member.region));
    names.collect::<Vec<_>>().join(", ")
}

/// The name of the node that a command talks to.
///
/// # Errors
/// When it has to be asked, and is silent or refuses.
pub async fn own_name(node: &Node) -> anyhow::Result<String> {
    match node.target.name() {
        Some(name) => Ok(name.to_owned()),
        None => Ok(Members::read(node).await?.node),
    }
}

impl Member {
    fn columns() -> Rows {
        Rows::new(&[
            Column::text("node"),
            Column::text("region"),
            Column::text("state"),
            Column::text("link"),
            Column::number("rtt ms"),
            Column::number("lag"),
            Column::text("last heard (UTC)"),
        ])
    }

    fn row(&self) -> Vec<String> {
        vec![
            format!("{}{}", self.name, if self.is_self { " *" } else { "" }),
            self.region.clone(),
            self.state.clone(),
            self.link.clone(),
            self.rtt_ms.map(|ms| format!("{ms:.1}")).unwrap_or_default(),
            self.lag.to_string(),
            self.last_heard.as_deref().map(short_time).unwrap_or_default(),
        ]
    }
}

impl NodeArgs {
    pub async fn run(self, desk: &mut Desk<'_>) -> anyhow::Result<Ending> {
        let node = desk.node(&self.common.target)?;
        let format = self.common.format.output;
        match self.command {
            NodeCommand::List => list(desk, &node, format).await,
            NodeCommand::Drain { drained, care } => {
                let change = moved(&drained, "drain");
                let effects = drain_effects(&node, &drained);
                let care = (care.into(), format);
                let question = format!("Drain {drained}");
                match hold_back(desk, &node, &change, care, &question, effects).await? {
                    Some(ending) => Ok(ending),
                    None => turn(desk, &node, &change, |state| now_drained(&drained, state), format).await,
                }
            }
            NodeCommand::Resume { resumed } => {
                let next = |_: &str| format!("{resumed} takes reservations again.");
                turn(desk, &node, &moved(&resumed, "resume"), next, format).await
            }
            NodeCommand::Reload => reload(desk, &node, format).await,
        }
    }
}

fn moved(name: &NodeName, call: &str) -> Change {
    Change::post(Side::Admin, format!("/v1/nodes/{name}/{call}"), json!({}))
}

async fn list(desk: &mut Desk<'_>, node: &Node, format: Format) -> anyhow::Result<Ending> {
    let members = Members::read(node).await?;
    if format == Format::Json {
        let all: Vec<&str> = members.nodes.iter().map(|raw| raw.get()).collect();
        writeln!(desk.out, "[{}]", all.join(","))?;
        return Ok(Ending::Good);
    }
    let mut rows = Member::columns();
    members.all()?.iter().for_each(|member| rows.add(member.row()));
    desk.show(format, "", &rows, "")?;
    Ok(Ending::Good)
}

/// What comes after a drain, by the state that it answers with.
fn now_drained(name: &NodeName, state: &str) -> String {
    match state {
        "drained" => format!("{name} is drained already; `stockade node resume {name}` undoes it."),
        _ => format!(
            "{name} is draining; `stockade node list` shows when it is drained, \
             `stockade node resume {name}` undoes it."
        ),
    }
}

/// Sends a change of a node's state, whose answer is the node's entry; `next` tells what comes
/// after it, by the state there.
async fn turn(
    desk: &mut Desk<'_>,
    node: &Node,
    change: &Change,
    next: impl Fn(&str) -> String,
    format: Format,
) -> anyhow::Result<Ending> {
    let answer = node.change(change).await?;
    let member: Member = outcome::after(change, node.understood(Side::Admin, &answer))?;
    let mut rows = Member::columns();
    rows.add(member.row());
    let next = next(&member.state);
    outcome::after(change, desk.show(format, &String::from_utf8_lossy(&answer.body), &rows, &next))?;
    Ok(Ending::Good)
}

/// What a drain would move: everything that is free at the node.
async fn drain_effects(node: &Node, drained: &NodeName) -> anyhow::Result<Effects> {
    let mut effects = Effects::default();
    let members = Members::read(node).await?.all()?;
    let Some(member) = members.iter().find(|member| member.name == drained.as_str()) else {
        effects.concern = Some(format!("there is no node {drained}"));
        return Ok(effects);
    };
    let (mut items, mut free, mut held) = (0u64, 0u64, 0u64);
    let mut pages = node.pages(Side::Admin, "/v1/items".to_owned(), None);
    while let Some(page) = pages.next().await? {
        for raw in &page.items {
            let books: Books = serde_json::from_str(raw.get())?;
            let Some(at) = books.at(drained.as_str()) else { continue };
            items += u64::from(at.available > 0);
            free = free.saturating_add(at.available);
            held = held.saturating_add(at.held);
        }
    }
    let then = if member.state == "drained" { "drained, as it is already" } else { "draining, then drained" };
    effects.add(format!("state of {drained}"), &member.state, then);
    effects.add(format!("held units at {drained}"), held, format!("{held}, until their reservations end"));
    let others =
        members.iter().filter(|m| m.name != drained.as_str() && m.state == "active" && m.link == "up");
    if !member.is_self && member.link != "up" {
        effects.concern = Some(format!("{drained} cannot be reached from this node: ask {drained} itself"));
    } else if others.count() == 0 {
        let alone = "stay there: no other active node is linked to take them, and none would sell";
        effects.add(format!("free units at {drained}"), format!("{free} (of {items} items)"), alone);
        return Ok(effects);
    }
    effects.add(format!("free units at {drained}"), format!("{free} (of {items} items)"), 0);
    Ok(effects)
}

/// The answer to `POST /v1/config/reload`.
#[derive(Debug, Deserialize)]
struct Reloaded {
    #[serde(default)]
    applied: Vec<String>,
    #[serde(default)]
    restart_needed: Vec<String>,
}

async fn reload(desk: &mut Desk<'_>, node: &Node, format: Format) -> anyhow::Result<Ending> {
    let change = Change::post(Side::Admin, "/v1/config/reload".to_owned(), json!({}));
    let answer = node.change(&change).await?;
    let understood = node.understood(Side::Admin, &answer);
    let Reloaded { applied, restart_needed } = outcome::after(&change, understood)?;
    let mut rows = Rows::new(&[Column::text("key"), Column::text("what")]);
    applied.iter().for_each(|key| rows.add([key.as_str(), "applied"]));
    restart_needed.iter().for_each(|key| rows.add([key.as_str(), "needs a restart"]));
    let closing = if rows.is_empty() { "nothing has changed" } else { "" };
    let raw = String::from_utf8_lossy(&answer.body);
    outcome::after(&change, desk.show(format, &raw, &rows, &folded(closing)))?;
    Ok(Ending::Good)
}
