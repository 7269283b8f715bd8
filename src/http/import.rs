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
use serde::Serialize;

use super::call::{Answered, Api, Failure, Streamed};
use super::model::plain;
use super::openapi::{described, parameters};
use super::problem::{Code, Errors, Problem};
use crate::types::{Answer, Command, ImportLine, Request, Sku};
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
    let mut lines = Lines::new(body, api.limits.now().body_timeout);
    match import(&api, &call, &mut lines).await {
        Ok(summary) => Ok(plain(StatusCode::OK, &summary)),
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
        Import { api, key, seen: HashMap::new(), chunk: Vec::new(), summary: Summary::default() };
    while let Some(line) = lines.next().await? {
        let Some(read) = format.read(&line)? else { continue };
        import.summary.lines += 1;
        if import.summary.lines > MAX_LINES {
            let detail = format!("An import has at most {MAX_LINES} lines; send the rest as another one.");
            return Err(Problem::new(Code::BodyTooLarge).detail(detail).into());
        }
        match read {
            Ok(read) => import.take(line.number, read).await?,
            Err(problem) => import.summary.fail(line.number, &problem),
        }
    }
    import.apply().await?;
    import.summary.failed.sort_by_key(|failed| failed.line);
    Ok(import.summary)
}

/// A line as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Read {
    sku: Sku,
    name: Option<String>,
    quantity: Option<crate::types::Units>,
}

/// What came of an import.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Without blank ones and the header.
    lines: u64,
    /// By this request, or by an earlier one under the same key.
    applied: u64,
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

/// An import under way.
struct Import<'a> {
    api: &'a Api,
    key: Option<String>,
    /// How often each item came up, by the first half of its hash.
    seen: HashMap<[u8; 16], u32>,
    /// Lines to be applied next, with their places in the file.
    chunk: Vec<(u64, ImportLine)>,
    summary: Summary,
}

impl Import<'_> {
    async fn take(&mut self, number: u64, read: Read) -> Result<(), Failure> {
        let Read { sku, name, quantity } = read;
        let whole = blake3::hash(sku.as_str().as_bytes());
        let (hash, _) = whole.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        let count = self.seen.entry(*hash).or_default();
        let repeat = *count;
        *count += 1;
        self.chunk.push((number, ImportLine { sku, name, quantity, repeat }));
        if self.chunk.len() >= LINES_AT_ONCE { self.apply().await } else { Ok(()) }
    }

    async fn apply(&mut self) -> Result<(), Failure> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        self.api.demand_ready()?;
        let (numbers, lines): (Vec<u64>, Vec<ImportLine>) = self.chunk.drain(..).unzip();
        let command = Command::Import { key: self.key.clone(), lines };
        let request = Request { command, key: None, caller: self.api.caller };
        let reply = self.api.handle.call_patiently(request).await.map_err(|_| Failure::Unanswered)?;
        let outcomes = match reply.outcome {
            Ok(Answer::Imported(outcomes)) if outcomes.len() == numbers.len() => outcomes,
            Ok(_) => return Err(super::call::misplaced()),
            Err(refusal) => return Err(Problem::refused(refusal, &[]).into()),
        };
        for (number, outcome) in numbers.into_iter().zip(outcomes) {
            match outcome {
                Ok(_) => self.summary.applied += 1,
                Err(refusal) => self.summary.fail(number, &Problem::refused(refusal, &[])),
            }
        }
        Ok(())
    }
}
