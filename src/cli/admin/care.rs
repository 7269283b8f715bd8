//! Care with changes: `--dry-run`, keys, and a question before units leave.

use std::fmt::Write as _;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::desk::{Change, Desk, Node};
use super::show::{Format, folded};
use super::target::Side;
use crate::cli::Ending;
use crate::cli::terminal::unless_unread;
use crate::types::id::check_code;

/// For a change that must be done once.
#[derive(Clone, Debug, Args)]
pub struct KeyArgs {
    /// Idempotency-Key: with the same key it is done once [default: a fresh one]
    #[arg(long, value_name = "KEY", value_parser = key)]
    pub key: Option<String>,
}

/// Reads an idempotency key.
///
/// # Errors
/// When it has not the form of one.
pub fn key(text: &str) -> Result<String, String> {
    check_code(text).map(|()| text.to_owned()).map_err(|e| e.to_string())
}

/// For a change that takes nothing away.
#[derive(Clone, Copy, Debug, Args)]
pub struct TryArgs {
    /// Only say what would be sent, and what it would change
    #[arg(long)]
    pub dry_run: bool,
}

/// For a change after which units are gone from where they were.
#[derive(Clone, Copy, Debug, Args)]
pub struct LeaveArgs {
    /// Only say what would be sent, and what it would change
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask before doing it
    #[arg(long, short)]
    pub yes: bool,
}

/// What a change would do.
#[derive(Debug, Default, Serialize)]
pub struct Effects {
    pub changes: Vec<Effect>,
    /// Why the node would refuse it as things are.
    pub concern: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Effect {
    what: String,
    before: String,
    after: String,
}

impl Effects {
    pub fn add(&mut self, what: impl Into<String>, before: impl ToString, after: impl ToString) {
        self.changes.push(Effect { what: what.into(), before: before.to_string(), after: after.to_string() });
    }

    fn lines(&self) -> String {
        let width = self.changes.iter().map(|e| e.what.chars().count()).max().unwrap_or(0).min(48);
        let mut text = String::new();
        for Effect { what, before, after } in &self.changes {
            let line = format!("  {what:width$}  {before} -> {after}");
            // Text always takes a line.
            let _ = writeln!(text, "{}", if line.chars().count() > 80 { folded(&line) } else { line });
        }
        if self.changes.is_empty() && self.concern.is_none() {
            text += "  nothing\n";
        }
        if let Some(concern) = &self.concern {
            let _ = writeln!(text, "{}", folded(&format!("It would be refused: {concern}")));
        }
        text
    }
}

/// What is to be done before a change is sent.
#[derive(Clone, Copy, Debug)]
pub enum Care {
    /// Nothing.
    Go,
    /// Say what would be done, and stop.
    DryRun,
    /// Ask the person there.
    Ask,
}

impl From<TryArgs> for Care {
    fn from(args: TryArgs) -> Care {
        if args.dry_run { Care::DryRun } else { Care::Go }
    }
}

impl From<LeaveArgs> for Care {
    fn from(args: LeaveArgs) -> Care {
        match (args.dry_run, args.yes) {
            (true, _) => Care::DryRun,
            (false, true) => Care::Go,
            (false, false) => Care::Ask,
        }
    }
}

/// Does what care demands. `Some`: it ends here. `question` begins with what would be done;
/// `effects` is waited for only when somebody wants to know.
///
/// # Errors
/// When nobody is there to be asked, or the effects cannot be found out.
pub async fn hold_back(
    desk: &mut Desk<'_>,
    node: &Node,
    change: &Change,
    (care, format): (Care, Format),
    question: &str,
    effects: impl Future<Output = anyhow::Result<Effects>>,
) -> anyhow::Result<Option<Ending>> {
    match care {
        Care::Go => Ok(None),
        Care::DryRun => {
            let effects = effects.await?;
            let text = dry_run(node, change, &effects, format)?;
            unless_unread(write!(desk.out, "{text}").map_err(Into::into))?;
            let would_fail = effects.concern.is_some();
            Ok(Some(if would_fail { Ending::Failed } else { Ending::Good }))
        }
        Care::Ask if !desk.has_person => bail!(
            "units would leave, and nobody is at a terminal to be asked: add --yes, \
             or --dry-run to see what it would do"
        ),
        Care::Ask => {
            let effects = effects.await?;
            write!(desk.notes, "{}", effects.lines())?;
            if desk.asks(&format!("{question}?"))? {
                return Ok(None);
            }
            writeln!(desk.notes, "Nothing was done.")?;
            Ok(Some(Ending::Failed))
        }
    }
}

fn dry_run(node: &Node, change: &Change, effects: &Effects, format: Format) -> anyhow::Result<String> {
    #[derive(Serialize)]
    struct Report<'a> {
        dry_run: bool,
        to: String,
        method: &'a str,
        path: &'a str,
        body: &'a serde_json::Value,
        key: Option<&'a str>,
        #[serde(flatten)]
        effects: &'a Effects,
    }
    let given = change.key.as_ref().filter(|key| key.is_given).map(|key| key.text.as_str());
    if format == Format::Json {
        let report = Report {
            dry_run: true,
            to: node.target.base(change.side)?.to_string(),
            method: change.method.as_str(),
            path: &change.path,
            body: &change.body,
            key: given,
            effects,
        };
        return Ok(serde_json::to_string(&report)? + "\n");
    }
    let mut text = format!("Would send to {}:\n", node.target.called(change.side));
    writeln!(text, "{}", folded(&format!("  {} {}", change.method, change.path)))?;
    if let Some(key) = &change.key {
        let key = if key.is_given { &key.text } else { "(a fresh one)" };
        writeln!(text, "{}", folded(&format!("  Idempotency-Key: {key}")))?;
    }
    if change.body.as_object().is_some_and(|fields| !fields.is_empty()) {
        writeln!(text, "{}", folded(&format!("  {}", change.body)))?;
    }
    let heading = folded(&format!("Would change, as {} knows it now:", node.target.called(Side::Admin)));
    Ok(text + &heading + "\n" + &effects.lines() + "Nothing was sent.\n")
}
