//! `stockade import`: a file of items and units, sent as it is to the node, which applies it
//! line by line.
//!
//! The key is made of the file's content. The node skips lines that it has applied under the
//! same key, so after a lost connection the whole file is sent again, by this command or by
//! the next run of it, and no line counts twice.

mod progress;
mod source;
mod upload;

use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::Common;
use super::care;
use super::desk::{Desk, Node};
use super::problem::Refused;
use super::show::{Column, Format, Rows, folded};
use super::target::Side;
use crate::cli::Ending;
use crate::cli::client::{Answer, NoAnswer};
use crate::cli::terminal::unless_unread;
use progress::Progress;
use source::Source;
use upload::Failure;

const EXAMPLE: &str = "\
Examples:
  stockade import stock.csv --node eu-1
  stockade import stock.ndjson --key spring-2026
  gunzip -c stock.csv.gz | stockade import - --format csv

CSV: sku,name,quantity, with or without that header line.
NDJSON: {\"sku\":\"MUG\",\"name\":\"Mug\",\"quantity\":100} on each line; name and
quantity may be left out. Without a quantity the item is made without stock.

The units arrive at the node that is asked. Running it again with the same
file at the same node is safe: lines that were applied are skipped. With lines
corrected it is another file: then give the --key that the first run names.
A key holds for one node: sent to another one, all is received again.
Exit status: 0 all applied, 1 lines failed or it was refused, 2 no connection.";

/// What a key does not prevent.
const AT_ANOTHER: &str = "sent to another node it is all received again";
/// A line under a key under which another one was applied in its place.
const KEY_REUSED: &str =
    "was applied before with other content, or stands in another line's place; nothing was added";

/// Most times that a file is sent.
const MOST_TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Create items and receive units from a file
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct ImportArgs {
    /// The file or named pipe; `-`: standard input
    file: String,
    /// What is in it [default: by its extension]
    #[arg(long, value_enum)]
    format: Option<Content>,
    /// Idempotency-Key [default: made of the content]
    #[arg(long, value_name = "KEY", value_parser = care::key)]
    key: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// What a file of items can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Content {
    Csv,
    Ndjson,
}

impl Content {
    fn of(file: &str) -> anyhow::Result<Content> {
        match file.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
            Some("csv") => Ok(Content::Csv),
            Some("ndjson" | "jsonl") => Ok(Content::Ndjson),
            _ => bail!("{file}: is it CSV or NDJSON? Add --format csv or --format ndjson"),
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Content::Csv => "text/csv",
            Content::Ndjson => "application/x-ndjson",
        }
    }
}

/// How long a broken connection is tried again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub tries: u32,
    pub first_pause: Duration,
}

impl ImportArgs {
    pub async fn run(self, desk: &mut Desk<'_>) -> anyhow::Result<Ending> {
        let patience = Patience { tries: MOST_TRIES, first_pause: FIRST_PAUSE };
        self.run_with(desk, patience).await
    }

    /// # Errors
    /// When the file cannot be read, or the node refuses or stays silent.
    pub async fn run_with(self, desk: &mut Desk<'_>, patience: Patience) -> anyhow::Result<Ending> {
        let node = desk.node(&self.common.target)?;
        let content = self.format.map_or_else(|| Content::of(&self.file), Ok)?;
        let source = match self.file.as_str() {
            "-" => Source::of_reader(&mut *desk.input).context("cannot keep standard input")?,
            file => Source::of_file(file.as_ref()).with_context(|| format!("cannot read {file}"))?,
        };
        let key = self.key.unwrap_or_else(|| source.key());
        // A key holds for one node.
        let options = format!("--key {key} {}", node.target.admin_options());
        let sent = send(desk, &node, &source, content, (&key, &options), patience).await;
        let answer = sent.map_err(|failure| match failure.downcast_ref::<Failure>() {
            Some(Failure::Unreadable(why)) => {
                anyhow::anyhow!(
                    "cannot read {}: {why}\nLines may have been applied. {}",
                    self.file,
                    source.hint(&options)
                )
            }
            _ => failure,
        })?;
        if !answer.is_success() {
            return Err(Refused(node.refusal(Side::Admin, &answer)).into());
        }
        tell(desk, &node, &answer, &options, self.common.format.output)
            .with_context(|| format!("It was done (Idempotency-Key: {key}), but not shown"))
    }
}

/// Sends the file until there is an answer to it.
async fn send(
    desk: &mut Desk<'_>,
    node: &Node,
    source: &Source,
    content: Content,
    (key, options): (&str, &str),
    patience: Patience,
) -> anyhow::Result<Answer> {
    let base = node.target.base(Side::Admin)?;
    let mut progress = Progress::new(source.size());
    let mut pause = patience.first_pause;
    for attempt in 1..=patience.tries {
        let sent = upload::send(base, source, content.media_type(), key, &mut progress).await;
        let is_last = attempt == patience.tries;
        let (why, rest) = match sent {
            Ok(answer) if is_last || !is_not_now(&answer) => return Ok(answer),
            Ok(answer) => (answer.brief(), answer.retry_after.unwrap_or(pause).max(pause)),
            // Nobody was there to begin with: that is told at once.
            Err(unreadable @ Failure::Unreadable(_)) => return Err(unreadable.into()),
            Err(Failure::Silence(silence)) if is_last || (attempt == 1 && !silence.sent) => {
                return Err(gone(node, &silence, &source.hint(options)));
            }
            Err(Failure::Silence(silence)) => (silence.why, pause),
        };
        let rest = rest.min(LONGEST_PAUSE);
        let (next, tries) = (attempt + 1, patience.tries);
        let text = format!("broken off: {why}; again in {} s, try {next} of {tries}", rest.as_secs());
        writeln!(desk.notes, "{}", folded(&text))?;
        tokio::time::sleep(rest).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    bail!("a file is sent at least once")
}

fn is_not_now(answer: &Answer) -> bool {
    matches!(answer.status, 408 | 503 | 504)
}

fn gone(node: &Node, silence: &NoAnswer, hint: &str) -> anyhow::Error {
    let text = format!("{:#}", node.silence(Side::Admin, silence));
    match silence.sent {
        true => anyhow::anyhow!("{text}\nLines may have been applied. {hint}"),
        false => anyhow::anyhow!("{text}"),
    }
}

/// What the node answers in the end.
#[derive(Debug, Deserialize)]
struct Imported {
    lines: u64,
    applied: u64,
    #[serde(default)]
    failed: Vec<FailedLine>,
}

#[derive(Debug, Deserialize)]
struct FailedLine {
    line: u64,
    code: String,
    message: String,
}

fn tell(
    desk: &mut Desk<'_>,
    node: &Node,
    answer: &Answer,
    options: &str,
    format: Format,
) -> anyhow::Result<Ending> {
    let imported: Imported = node.understood(Side::Admin, answer)?;
    let Imported { lines, applied, failed } = &imported;
    let mut rows = Rows::new(&[Column::number("line"), Column::text("code"), Column::text("message")]);
    for FailedLine { line, code, message } in failed {
        let message = if code == "key_reused" { KEY_REUSED } else { message.as_str() };
        rows.add([line.to_string(), code.clone(), message.to_owned()]);
    }
    let all_failed = lines.saturating_sub(*applied).max(failed.len() as u64);
    let at = match (node.target.name(), node.target.base(Side::Admin)) {
        (Some(name), _) => name.to_owned(),
        (None, base) => base?.to_string(),
    };
    let mut closing = format!("{lines} lines at {at}: {applied} applied, {all_failed} failed");
    let untold = all_failed.saturating_sub(failed.len() as u64);
    if untold > 0 {
        closing += &format!("; {untold} of them are not listed");
    }
    if all_failed > 0 {
        closing += &format!(
            "\nCorrect these lines and import the file again with\n  {options}\n\
             What was applied there is skipped; {AT_ANOTHER}."
        );
    }
    unless_unread(desk.show(format, &String::from_utf8_lossy(&answer.body), &rows, &closing))?;
    Ok(if all_failed == 0 { Ending::Good } else { Ending::Failed })
}
