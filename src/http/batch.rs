//! Many operations in one request, applied in order, each failing alone. A request that is
//! wrong in form is refused whole, before any of it is done.

use axum::extract::State;
use axum::response::Response;
use hyper::StatusCode;
use serde::Serialize;

use super::call::{Answered, Api, Call};
use super::fields::{Fields, read_body};
use super::model::{ReservationView, created_or_ok, plain};
use super::openapi::{parameters, requests, responses};
use super::problem::{Errors, Problem};
use super::{headers, lines, reservations};
use crate::types::{Answer, Claimed, Command, Millis, Operation, Put, Refusal, ReservationId, Sell};

/// Most operations in one request.
pub const MAX_OPERATIONS: usize = 1_000;

#[derive(Clone, Copy)]
enum Kind {
    Reserve,
    Confirm,
    Cancel,
    Sell,
}

const KINDS: [(&str, Kind); 4] =
    [("reserve", Kind::Reserve), ("confirm", Kind::Confirm), ("cancel", Kind::Cancel), ("sell", Kind::Sell)];

/// An operation, and the places of its lines in the request.
struct Step {
    operation: Operation,
    places: Vec<usize>,
}

impl Step {
    fn without_lines(operation: Operation) -> Step {
        Step { operation, places: Vec::new() }
    }
}

/// Many operations in one request
///
/// They are done in order, each sees the ones before, and each fails alone: look at the `status` of each
/// result. A request that is wrong in form is refused whole, before any of it is done. Bodies may have
/// 1 MiB here.
#[utoipa::path(
    post, path = "/v1/reservations:batch", operation_id = "batch", tag = "reservations",
    params(parameters::UsefulKey),
    request_body = requests::BatchRequest,
    responses(responses::Batch)
)]
pub(super) async fn post(State(api): State<Api>, call: Call) -> Answered {
    let body = call.json()?;
    let mut errors = Errors::default();
    call.refuse_query(&mut errors);
    headers::refuse_if_match(&call.headers, &mut errors);
    let key = call.key(&mut errors);
    let steps =
        read_body(body, errors, |fields| fields.required_objects("operations", MAX_OPERATIONS, step))?;
    let (operations, places): (Vec<_>, Vec<_>) =
        steps.into_iter().map(|step| (step.operation, step.places)).unzip();
    api.decide(Command::Batch(operations), key, &[], |answer| show(answer, &places)).await
}

fn step(fields: &mut Fields<'_, '_>) -> Option<Step> {
    // Nothing waits for peers in a batch: the operations behind it would wait too.
    const WAIT: Millis = Millis(0);
    let kind = fields.required_word("op", &KINDS);
    let id = fields.required_id("id", ReservationId::new);
    match kind? {
        Kind::Reserve => {
            let (lines, ttl) = (lines::read(fields), reservations::ttl(fields));
            let (id, lines::Lines { lines, places }) = id.zip(lines)?;
            let put = Put { id, lines, ttl, wait: WAIT, if_match: None, retry: false, minted: false };
            Some(Step { operation: Operation::Reserve(put), places })
        }
        Kind::Sell => {
            let (id, lines::Lines { lines, places }) = id.zip(lines::read(fields))?;
            let sell = Sell { id, lines, wait: WAIT, reference: None, minted: false };
            Some(Step { operation: Operation::Sell(sell), places })
        }
        Kind::Confirm => Some(Step::without_lines(Operation::Confirm { id: id? })),
        Kind::Cancel => Some(Step::without_lines(Operation::Cancel { id: id? })),
    }
}

#[derive(Serialize)]
struct Results {
    results: Vec<Entry>,
}

/// What the single call would have answered, with its status.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry {
    Done {
        status: u16,
        #[serde(flatten)]
        reservation: ReservationView,
    },
    Refused(Box<Problem>),
}

fn show(answer: Answer, places: &[Vec<usize>]) -> Option<Response> {
    let Answer::Batch(outcomes) = answer else { return None };
    if outcomes.len() != places.len() {
        return None;
    }
    let results = outcomes.into_iter().zip(places).map(|(outcome, places)| entry(outcome, places)).collect();
    Some(plain(StatusCode::OK, &Results { results }))
}

fn entry(outcome: Result<Claimed, Refusal>, places: &[usize]) -> Entry {
    match outcome {
        Ok(claimed) => Entry::Done {
            status: created_or_ok(claimed.created).as_u16(),
            reservation: ReservationView::new(&claimed),
        },
        Err(refusal) => Entry::Refused(Box::new(Problem::refused(refusal, places))),
    }
}
