//! Imports: a catalogue, and deliveries, streamed in line by line.
//!
//! Lines are read as they come and applied a few at a time, each durably and each alone; a client
//! that sends faster than the disk takes it is slowed down. Under an `Idempotency-Key` no line is
//! applied twice, so after a break the same file is sent again from its beginning.

mod format;
mod lines;

use std::collections::HashMap;

use axum::extract::State;
use hyper::StatusCode;
use hyper::header::{EXPECT, HeaderValue};
use serde::Serialize;

use super::call::{Answered, Api, Failure, Streamed};
use super::headers;
use super::model::plain;
use super::openapi::{described, parameters};
use super::problem::{Code, Errors, Problem};
use crate::types::{Answer, Applied, Command, ImportLine, Refusal, Request, Sku};
use format::Format;
use lines::Lines;

/// Most lines of one import: of each it is remembered, while it runs, which item it was about.
pub const MAX_LINES: u64 = 1_000_000;
/// Failed lines that the answer lists; the others are only counted.
pub const MAX_FAILED: usize = 1_000;
/// Lines applied in one step: so long does everything else wait.
const LINES_AT_ONCE: usize = 100;
/// Imports under way on a node; more are refused with `overloaded`.
pub const MAX_IMPORTS: usize = 4;

/// Import items
///
/// A stream of lines, each applied or refused alone: it creates the item, or names it, and receives
/// the quantity at this node. Under an `Idempotency-Key` no line is applied twice, so that after a
/// break the same body is sent again.
#[utoipa::path(
    post, path = "/v1/items:import", operation_id = "import_items", tag = "items",
    params(parameters::UsefulKey),
    request_body(content((described::ImportCsv = "text/csv"), (described::ImportLines = "application/x-ndjson"))),
    responses(described::Import)
)]
pub(super) async fn post(State(api): State<Api>, request: Streamed) -> Answered {
    let Streamed { call, body } = request;
    let expects = call.headers.contains_key(EXPECT);
    let mut lines = Lines::new(body, api.limits.now().body_timeout, expects);
    match import(&api, &call, &mut lines).await {
        Ok(summary) => {
            let mut response = plain(StatusCode::OK, &summary);
            // Nothing was applied by this request: it is the answer of an earlier one again.
            if summary.before > 0 && summary.before == summary.applied {
                response.headers_mut().insert(headers::IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
            }
            Ok(response)
        }
        Err(Failure::Problem(problem)) => {
            // Whoever sends first and listens afterwards shall see the answer.
            lines.discard().await;
            Err(problem.closing().into())
        }
        Err(unanswered) => Err(unanswered),
    }
}

async fn import(api: &Api, call: &super::call::Call, lines: &mut Lines) -> Result<Summary, Failure> {
    let mut errors = Errors::default();
    call.refuse_query(&mut errors);
    let key = call.key(&mut errors).map(|key| key.key);
    errors.finish(Some(()))?;
    let mut format = Format::of(&call.headers)?;
    let _slot = api.imports.try_acquire().map_err(|_| {
        let detail = format!("{MAX_IMPORTS} imports are under way. Nothing was done.");
        Problem::new(Code::Overloaded).detail(detail)
    })?;
    let mut import =
        Import { api, key, seen: HashMap::new(), chunk: Vec::new(), reached: 0, summary: Summary::default() };
    match import.run(lines, &mut format).await {
        Ok(()) => {
            import.summary.failed.sort_by_key(|failed| failed.line);
            Ok(import.summary)
        }
        // What was applied so far stays; whoever reads this must not send it again as it is.
        Err(Failure::Problem(problem)) if import.reached > 0 => Err(problem.detail(import.advice()).into()),
        Err(failure) => Err(failure),
    }
}

/// A line as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Read {
    sku: Sku,
    name: Option<String>,
    quantity: Option<crate::types::Units>,
}

/// A line that cannot be applied, and which item it was about if that much can be read.
#[derive(Debug)]
struct Unread {
    sku: Option<Sku>,
    problem: Problem,
}

/// What came of an import.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Without blank ones and the header.
    lines: u64,
    /// By this request, or by an earlier one under the same key.
    applied: u64,
    /// Of those, by an earlier one.
    #[serde(skip)]
    before: u64,
    failed: Vec<Failed>,
    /// Failed lines beyond those listed.
    #[serde(skip_serializing_if = "is_zero")]
    failed_more: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[derive(Debug, Serialize)]
struct Failed {
    line: u64,
    code: &'static str,
    message: String,
}

impl Summary {
    fn fail(&mut self, line: u64, problem: &Problem) {
        if self.failed.len() < MAX_FAILED {
            self.failed.push(Failed { line, code: problem.code(), message: problem.message() });
        } else {
            self.failed_more += 1;
        }
    }
}

/// What is known of an item within one import.
#[derive(Debug, Default)]
struct Seen {
    /// Lines about it, also those that failed: each keeps its place whatever becomes of others.
    lines: u32,
    /// A line of it stood in another one's place: the later ones are refused, for they might be
    /// applied a second time under a new place.
    moved: bool,
}

/// An import under way.
struct Import<'a> {
    api: &'a Api,
    key: Option<String>,
    /// How often each item came up, by the first half of its hash.
    seen: HashMap<[u8; 16], Seen>,
    /// Lines to be applied next, with their places in the file.
    chunk: Vec<(u64, ImportLine)>,
    /// The line up to which all were applied or refused.
    reached: u64,
    summary: Summary,
}

impl Import<'_> {
    async fn run(&mut self, lines: &mut Lines, format: &mut Format) -> Result<(), Failure> {
        while let Some(line) = lines.next().await? {
            let Some(read) = format.read(&line)? else { continue };
            if self.summary.lines == MAX_LINES {
                self.apply().await?;
                return Err(Problem::new(Code::BodyTooLarge).into());
            }
            self.summary.lines += 1;
            match read {
                Ok(read) => self.take(line.number, read).await?,
                Err(Unread { sku, problem }) => {
                    if let Some(sku) = sku {
                        self.seen(&sku).lines += 1;
                    }
                    self.summary.fail(line.number, &problem);
                }
            }
        }
        self.apply().await
    }

    /// What to do after an import that broke off.
    fn advice(&self) -> String {
        let (reached, applied) = (self.reached, self.summary.applied);
        let what = match &self.key {
            _ if self.summary.lines >= MAX_LINES => {
                format!(
                    "An import has at most {MAX_LINES} lines: send those after {reached} as another one, \
                         under another key."
                )
            }
            Some(_) => {
                "Send all of it again under the same Idempotency-Key; none is applied twice.".to_owned()
            }
            None => format!(
                "Send only the lines after {reached}: without an Idempotency-Key they would be \
                             applied again."
            ),
        };
        format!("It broke off. Of the lines up to {reached}, {applied} are applied. {what}")
    }

    fn seen(&mut self, sku: &Sku) -> &mut Seen {
        let whole = blake3::hash(sku.as_str().as_bytes());
        let (hash, _) = whole.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        self.seen.entry(*hash).or_default()
    }

    async fn take(&mut self, number: u64, read: Read) -> Result<(), Failure> {
        let Read { sku, name, quantity } = read;
        let seen = self.seen(&sku);
        let repeat = seen.lines;
        seen.lines += 1;
        if seen.moved {
            self.summary.fail(number, &Problem::refused(Refusal::KeyReused, &[]));
            return Ok(());
        }
        self.chunk.push((number, ImportLine { sku, name, quantity, repeat }));
        if self.chunk.len() >= LINES_AT_ONCE { self.apply().await } else { Ok(()) }
    }

    async fn apply(&mut self) -> Result<(), Failure> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.api.demand_ready()?;
        let (numbers, lines): (Vec<u64>, Vec<ImportLine>) = self.chunk.drain(..).unzip();
        let skus: Vec<Sku> = lines.iter().map(|line| line.sku.clone()).collect();
        let last = numbers.last().copied().unwrap_or_default();
        let command = Command::Import { key: self.key.clone(), lines };
        let request = Request { command, key: None, caller: self.api.caller };
        let reply = self.api.handle.call_patiently(request).await.map_err(|_| Failure::Unanswered)?;
        let outcomes = match reply.outcome {
            Ok(Answer::Imported(outcomes)) if outcomes.len() == numbers.len() => outcomes,
            Ok(_) => return Err(super::call::misplaced()),
            Err(refusal) => return Err(Problem::refused(refusal, &[]).into()),
        };
        for ((number, sku), outcome) in numbers.into_iter().zip(skus).zip(outcomes) {
            match outcome {
                Ok(applied) => {
                    self.summary.applied += 1;
                    self.summary.before += u64::from(applied == Applied::Before);
                }
                Err(refusal) => {
                    self.seen(&sku).moved |= refusal == Refusal::KeyReused;
                    self.summary.fail(number, &Problem::refused(refusal, &[]));
                }
            }
        }
        self.reached = last;
        Ok(())
    }
}
