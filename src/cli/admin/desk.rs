//! Where a command stands: what it writes to, whom it can ask, and the node it talks to.
//!
//! A refusal becomes the error [`Refused`] with all the node said; silence becomes an error
//! that names the node, says whether anything may have been done, and how to repeat it.

use std::io::{BufRead, Write};
use std::time::Duration;

use anyhow::{anyhow, ensure};
use hyper::Method;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::books::Page;
use super::outcome;
use super::problem::{self, Refused};
use super::remedy::remedy;
use super::show::{Format, Rows};
use super::target::{Side, Surroundings, Target, TargetArgs};
use crate::cli::client::{Answer, Call, Client, NoAnswer};
use crate::cli::node::percent_encoded;

/// A listing or a drain of a large node takes a while.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// Entries asked for at once.
const PAGE: u64 = 500;

/// What a command has around it.
pub struct Desk<'a> {
    pub around: Surroundings,
    /// Results.
    pub out: &'a mut dyn Write,
    /// Progress, questions and complaints.
    pub notes: &'a mut dyn Write,
    /// Standard input: the answers of a person, or a file to import.
    pub input: &'a mut dyn BufRead,
    /// Somebody sits there and can be asked.
    pub has_person: bool,
    /// Columns that tables may take.
    pub width: usize,
}

impl std::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("around", &self.around).finish_non_exhaustive()
    }
}

impl Desk<'_> {
    /// # Errors
    /// When it is not clear which node is meant.
    pub fn node(&self, target: &TargetArgs) -> anyhow::Result<Node> {
        Ok(Node { target: target.resolve(&self.around)?, client: Client::new(ANSWER_WITHIN) })
    }

    /// Writes a result in the form asked for; `closing` stands under a table.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn show(&mut self, format: Format, raw: &str, rows: &Rows, closing: &str) -> anyhow::Result<()> {
        match format {
            Format::Json => writeln!(self.out, "{}", raw.trim_end())?,
            Format::Csv => rows.write_csv(self.out, true)?,
            Format::Table => {
                let table = if rows.is_empty() { String::new() } else { rows.table(self.width) };
                let closing = super::show::folded(closing);
                let feed = if closing.is_empty() { "" } else { "\n" };
                write!(self.out, "{table}{closing}{feed}")?;
            }
        }
        Ok(())
    }

    /// Asks for a yes.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn asks(&mut self, question: &str) -> anyhow::Result<bool> {
        if !self.has_person {
            return Ok(false);
        }
        write!(self.notes, "{question} [y/N] ")?;
        self.notes.flush()?;
        let mut answer = String::new();
        self.input.read_line(&mut answer)?;
        Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
    }
}

/// What makes repeats of a change harmless.
#[derive(Clone, Debug)]
pub struct Key {
    pub text: String,
    /// The person chose it.
    pub is_given: bool,
}

impl Key {
    pub fn new(given: Option<&str>) -> Key {
        let fresh = || uuid::Uuid::new_v4().to_string();
        Key { text: given.map_or_else(fresh, str::to_owned), is_given: given.is_some() }
    }
}

/// A request that changes something.
#[derive(Clone, Debug)]
pub struct Change {
    pub side: Side,
    pub method: Method,
    pub path: String,
    pub body: Value,
    pub key: Option<Key>,
    pub headers: Vec<(&'static str, String)>,
}

impl Change {
    pub fn post(side: Side, path: String, body: Value) -> Change {
        Change { side, method: Method::POST, path, body, key: None, headers: Vec::new() }
    }

    pub fn put(side: Side, path: String, body: Value) -> Change {
        Change { method: Method::PUT, ..Change::post(side, path, body) }
    }

    pub fn with_key(self, key: Option<&str>) -> Change {
        Change { key: Some(Key::new(key)), ..self }
    }
}

/// A JSON object of the fields that are there.
pub fn body<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let there = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<String, Value>>())
}

/// The node that a command talks to.
#[derive(Clone, Debug)]
pub struct Node {
    pub target: Target,
    client: Client,
}

impl Node {
    /// Whatever the node says.
    ///
    /// # Errors
    /// When it says nothing.
    pub async fn ask(&self, side: Side, path: &str) -> anyhow::Result<Answer> {
        let call = Call::get(self.target.base(side)?, path);
        self.client.send(&call).await.map_err(|e| self.silence(side, &e))
    }

    /// An answer that must be a good one.
    ///
    /// # Errors
    /// When the node is silent or refuses.
    pub async fn get(&self, side: Side, path: &str) -> anyhow::Result<Answer> {
        let answer = self.ask(side, path).await?;
        self.demand_success(side, answer)
    }

    /// # Errors
    /// When the node is silent or refuses, or its answer is not understood.
    pub async fn read<T: DeserializeOwned>(&self, side: Side, path: &str) -> anyhow::Result<T> {
        self.understood(side, &self.get(side, path).await?)
    }

    /// Does it, once.
    ///
    /// # Errors
    /// When the node is silent or refuses; the error says how to repeat it.
    pub async fn change(&self, change: &Change) -> anyhow::Result<Answer> {
        let mut call = Call::put(self.target.base(change.side)?, &change.path, &change.body);
        call.method = change.method.clone();
        call.key = change.key.as_ref().map(|key| key.text.clone());
        call.headers.clone_from(&change.headers);
        let interrupt = outcome::interrupt();
        let sent = self.client.send(&call);
        let result = outcome::unless_interrupted(sent, interrupt, change.key.as_ref()).await?;
        outcome::end_on_interrupt();
        let repeat = outcome::repeat_hint(&result, change.key.as_ref());
        let answer = result.map_err(|e| anyhow!("{:#}{repeat}", self.silence(change.side, &e)))?;
        match answer.is_success() {
            true => Ok(answer),
            false => {
                let called = self.target.called(change.side).to_string();
                let remedy = remedy(self, &answer).await;
                Err(Refused(problem::story_of(&called, &change.path, &answer, remedy) + &repeat).into())
            }
        }
    }

    /// # Errors
    /// When the answer has another form than this release expects.
    pub fn understood<T: DeserializeOwned>(&self, side: Side, answer: &Answer) -> anyhow::Result<T> {
        answer.json().map_err(|e| anyhow!("{}: {e}", self.target.called(side)))
    }

    /// A list from its beginning; `limit`: only so many entries.
    pub fn pages(&self, side: Side, path: String, limit: Option<u64>) -> Pages<'_> {
        Pages { node: self, side, path, left: limit.unwrap_or(u64::MAX), cursor: None, has_ended: false }
    }

    pub fn refusal(&self, side: Side, answer: &Answer) -> String {
        problem::story(&self.target.called(side).to_string(), answer)
    }

    fn demand_success(&self, side: Side, answer: Answer) -> anyhow::Result<Answer> {
        match answer.is_success() {
            true => Ok(answer),
            false => Err(Refused(self.refusal(side, &answer)).into()),
        }
    }

    pub fn silence(&self, side: Side, error: &NoAnswer) -> anyhow::Error {
        let (called, why, advice) = (self.target.called(side), &error.why, self.target.advice(side));
        match error.sent {
            true => anyhow!("no answer from {called}: {why}.\n{advice}"),
            false => anyhow!("no connection to {called}: {why}.\n{advice}"),
        }
    }
}

/// A list, page by page.
#[derive(Debug)]
pub struct Pages<'n> {
    node: &'n Node,
    side: Side,
    /// With its query, if any.
    path: String,
    left: u64,
    cursor: Option<String>,
    has_ended: bool,
}

impl Pages<'_> {
    /// # Errors
    /// When the node is silent or refuses, or the list leads nowhere.
    pub async fn next(&mut self) -> anyhow::Result<Option<Page>> {
        if self.has_ended || self.left == 0 {
            return Ok(None);
        }
        let joint = if self.path.contains('?') { '&' } else { '?' };
        let mut path = format!("{}{joint}limit={}", self.path, self.left.min(PAGE));
        if let Some(cursor) = &self.cursor {
            path += &format!("&cursor={}", percent_encoded(cursor));
        }
        let mut page: Page = self.node.read(self.side, &path).await?;
        ensure!(
            page.next.is_none() || (page.next != self.cursor && !page.items.is_empty()),
            "{}: the list {} has no end",
            self.node.target.called(self.side),
            self.path
        );
        page.items.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= page.items.len() as u64;
        self.cursor.clone_from(&page.next);
        self.has_ended = page.next.is_none();
        Ok(Some(page))
    }
}

/// Writes a whole list; JSON and CSV page by page, so that its length does not matter.
///
/// # Errors
/// When a page cannot be had or written.
pub async fn show_list<T: DeserializeOwned>(
    desk: &mut Desk<'_>,
    mut pages: Pages<'_>,
    format: Format,
    rows: &Rows,
    row: impl Fn(&T) -> Vec<String>,
) -> anyhow::Result<Listed> {
    let mut listed = Listed::default();
    let mut shown = rows.clone();
    if format == Format::Json {
        write!(desk.out, "[")?;
    }
    while let Some(page) = pages.next().await? {
        let mut part = rows.clone();
        for raw in &page.items {
            if format == Format::Json {
                write!(desk.out, "{}{}", if listed.count > 0 { "," } else { "" }, raw.get())?;
            } else {
                let called = pages.node.target.called(pages.side);
                let entry: T =
                    serde_json::from_str(raw.get()).map_err(|e| anyhow!("{called}: an entry: {e}"))?;
                if format == Format::Csv { &mut part } else { &mut shown }.add(row(&entry));
            }
            listed.count += 1;
        }
        if format == Format::Csv {
            part.write_csv(desk.out, listed.pages == 0)?;
        }
        listed.pages += 1;
        listed.missing_nodes.extend(page.missing_nodes);
    }
    match format {
        Format::Json => writeln!(desk.out, "]")?,
        Format::Table if !shown.is_empty() => write!(desk.out, "{}", shown.table(desk.width))?,
        Format::Table | Format::Csv => {}
    }
    listed.missing_nodes.sort();
    listed.missing_nodes.dedup();
    Ok(listed)
}

/// What was listed.
#[derive(Debug, Default)]
pub struct Listed {
    pub count: u64,
    pages: u64,
    /// Nodes that did not answer a question to all.
    pub missing_nodes: Vec<String>,
}
