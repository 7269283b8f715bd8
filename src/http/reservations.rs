//! Reservations: hold, read, list, confirm, cancel, extend. What each does in which state
//! is the replica's business.

use super::mint::fresh_id;
use axum::extract::State;
use axum::response::Response;
use hyper::HeaderMap;
use hyper::header::{ETAG, HeaderValue, LOCATION};

use super::call::{Answered, Api, Call};
use super::fields::{Fields, read_body};
use super::headers::{self, IfMatch};
use super::lines::{self, Lines};
use super::model::{Page, ReservationView, created_or_ok, json, plain};
use super::openapi::{parameters, requests, responses};
use super::problem::{Errors, Problem};
use crate::types::{
    Answer, Claimed, Command, IdempotencyKey, Millis, Put, Refusal, Reservation, ReservationId,
    ReservationState, Sku,
};

/// Longest and default time to live of a held reservation.
pub(super) const MAX_TTL_SECONDS: u64 = 86_400;
pub(super) const DEFAULT_TTL_SECONDS: u64 = 600;
/// Longest and default time that rights may be fetched from peers.
pub(super) const MAX_WAIT_MS: u64 = 10_000;
pub(super) const DEFAULT_WAIT_MS: u64 = 500;
/// Most and usual entries on a page of a list.
pub(super) const MAX_LIMIT: u64 = 1_000;
pub(super) const DEFAULT_LIMIT: u64 = 100;

/// An id of the node's own making.
pub(super) fn minted_id() -> ReservationId {
    ReservationId::new(&fresh_id().to_string()).expect("a UUID has the form of an id")
}

pub(super) fn wait(fields: &mut Fields<'_, '_>) -> Millis {
    Millis(fields.integer("wait_ms", 0..=MAX_WAIT_MS).unwrap_or(DEFAULT_WAIT_MS))
}

pub(super) fn ttl(fields: &mut Fields<'_, '_>) -> Millis {
    Millis::from_secs(fields.integer("ttl_seconds", 1..=MAX_TTL_SECONDS).unwrap_or(DEFAULT_TTL_SECONDS))
}

/// `limit` of a list.
pub(super) fn limit(call: &Call, errors: &mut Errors) -> u32 {
    let Some(text) = call.query.first("limit") else { return DEFAULT_LIMIT as u32 };
    let number = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
    let number = number.filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    if number.is_none() {
        errors.add("limit", format_args!("must be an integer from 1 to {MAX_LIMIT}"));
    }
    number.unwrap_or(DEFAULT_LIMIT) as u32
}

/// One reservation: 201 when it is new.
fn one(claimed: &Claimed) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(ETAG, etag(claimed.reservation.version));
    json(created_or_ok(claimed.created), headers, &ReservationView::new(claimed))
}

fn etag(version: u64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits and quotes may stand in a header")
}

fn show(answer: Answer) -> Option<Response> {
    match answer {
        Answer::Reservation(claimed) => Some(one(&claimed)),
        _ => None,
    }
}

/// A reservation whose id the node chose: says where it is.
pub(super) fn show_minted(answer: Answer) -> Option<Response> {
    let Answer::Reservation(claimed) = answer else { return None };
    let mut response = one(&claimed);
    let location = format!("/v1/reservations/{}", claimed.reservation.id);
    let location = HeaderValue::from_str(&location).expect("an id may stand in a header");
    response.headers_mut().insert(LOCATION, location);
    Some(response)
}

struct Hold {
    lines: Lines,
    ttl: Millis,
    wait: Millis,
}

fn hold(fields: &mut Fields<'_, '_>) -> Option<Hold> {
    let (lines, ttl, wait) = (lines::read(fields), ttl(fields), wait(fields));
    Some(Hold { lines: lines?, ttl, wait })
}

/// Hold units under an id of your choice
///
/// All lines are held or none. The same PUT again answers the reservation as it is; other lines replace
/// those of a held one in place, under a new version and deadline. Send retries to the same node.
#[utoipa::path(
    put, path = "/v1/reservations/{id}", operation_id = "put_reservation", tag = "reservations",
    params(parameters::Id, parameters::Key, parameters::IfMatch, parameters::Retry),
    request_body = requests::HoldRequest,
    responses(responses::PutReservation)
)]
pub(super) async fn put(State(api): State<Api>, call: Call) -> Answered {
    let body = call.json()?;
    let mut errors = Errors::default();
    call.refuse_query(&mut errors);
    let id = call.path_id("id", ReservationId::new, &mut errors);
    let key = call.key(&mut errors);
    let if_match = headers::if_match(&call.headers, &mut errors);
    let retry = headers::retry(&call.headers, &mut errors);
    let (id, hold) = read_body(body, errors, |fields| id.zip(hold(fields)))?;

    let if_match = match if_match {
        IfMatch::Absent => None,
        IfMatch::Version(version) => Some(version),
        IfMatch::Any => {
            demand_existing(&api, &id).await?;
            None
        }
    };
    let Hold { lines: Lines { lines, places }, ttl, wait } = hold;
    let put = Put { id, lines, ttl, wait, if_match, retry, minted: false };
    api.decide(Command::Put(put), key, &places, show).await
}

/// `If-Match: *` on a PUT: this node must have the reservation. Asked beforehand; what a node
/// has taken it does not lose again.
async fn demand_existing(api: &Api, id: &ReservationId) -> Result<(), super::call::Failure> {
    let reply = api.ask(Command::Read { id: id.clone() }, None).await?;
    match reply.outcome {
        Ok(Answer::Reservation(claimed)) if claimed.node == api.handle.identity().node => Ok(()),
        Ok(_) | Err(Refusal::ReservationNotFound) => Err(Problem::version_mismatch(0).into()),
        Err(refusal) => Err(Problem::refused(refusal, &[]).into()),
    }
}

/// Hold units under an id of the node's choice
///
/// As a PUT, but each request makes a new reservation, unless an `Idempotency-Key` says that it is the
/// same one again. `Location` says where it is.
#[utoipa::path(
    post, path = "/v1/reservations", operation_id = "post_reservation", tag = "reservations",
    params(parameters::UsefulKey),
    request_body = requests::HoldRequest,
    responses(responses::PostReservation)
)]
pub(super) async fn post(State(api): State<Api>, call: Call) -> Answered {
    let body = call.json()?;
    let mut errors = Errors::default();
    call.refuse_query(&mut errors);
    headers::refuse_if_match(&call.headers, &mut errors);
    let key = call.key(&mut errors);
    let Hold { lines: Lines { lines, places }, ttl, wait } = read_body(body, errors, hold)?;
    // The id is fresh, so no other node can have it: nothing to ask for.
    let put = Put { id: minted_id(), lines, ttl, wait, if_match: None, retry: false, minted: true };
    api.decide(Command::Put(put), key, &places, show_minted).await
}

/// Read a reservation
///
/// This node's own, else it asks the others for it. 404 only if every node said that it has none.
#[utoipa::path(
    get,
    path = "/v1/reservations/{id}",
    operation_id = "get_reservation",
    tag = "reservations",
    params(parameters::Id),
    responses(responses::GetReservation)
)]
pub(super) async fn get(State(api): State<Api>, call: Call) -> Answered {
    let mut errors = Errors::default();
    call.refuse_query(&mut errors);
    let id = call.path_id("id", ReservationId::new, &mut errors);
    let id = errors.finish(id)?;
    api.decide(Command::Read { id }, None, &[], show).await
}

/// List reservations
///
/// Those that this node has taken; other nodes have their own.
#[utoipa::path(
    get,
    path = "/v1/reservations",
    operation_id = "list_reservations",
    tag = "reservations",
    params(parameters::ReservationFilter, parameters::ReservationPageQuery),
    responses(responses::ListReservations)
)]
pub(super) async fn list(State(api): State<Api>, call: Call) -> Answered {
    let mut errors = Errors::default();
    call.query.allow(&["state", "sku", "limit", "cursor"], &[], &mut errors);
    let state = call.query.first("state").and_then(|text| errors.check("state", state(text)));
    let sku = call.query.first("sku").and_then(|text| errors.check("sku", Sku::new(text)));
    let after = call.query.first("cursor").and_then(|text| errors.check("cursor", ReservationId::new(text)));
    let limit = limit(&call, &mut errors);
    let command = errors.finish(Some(Command::Reservations { state, sku, after, limit }))?;
    let page = |answer| match answer {
        Answer::Reservations { reservations, next, node, region } => {
            let view = |r: &Reservation| ReservationView::of(r, &node, &region);
            let next = next.map(|id| id.to_string());
            let page = Page::of(&reservations, next, view, |r| r.id.to_string());
            Some(plain(hyper::StatusCode::OK, &page))
        }
        _ => None,
    };
    api.decide(command, None, &[], page).await
}

fn state(text: &str) -> Result<ReservationState, &'static str> {
    use ReservationState::{Cancelled, Confirmed, Expired, Held};
    let known = [Held, Confirmed, Cancelled, Expired].into_iter().find(|state| state.as_str() == text);
    known.ok_or("must be one of held, confirmed, cancelled, expired")
}

/// Sell what is reserved
///
/// Safe to repeat. An expired reservation is sold if its units can still be had, else the answer is 410.
#[utoipa::path(
    post, path = "/v1/reservations/{id}/confirm", operation_id = "confirm_reservation", tag = "reservations",
    params(parameters::Id, parameters::Key, parameters::IfMatch),
    request_body = requests::ConfirmRequest,
    responses(responses::Confirm)
)]
pub(super) async fn confirm(State(api): State<Api>, call: Call) -> Answered {
    let body = call.optional_json()?;
    let mut errors = Errors::default();
    let if_match = headers::if_match(&call.headers, &mut errors);
    let (id, key) = named(&call, &mut errors);
    let (id, wait) = read_body(body, errors, |fields| id.zip(Some(wait(fields))))?;
    let if_match = match if_match {
        // A confirm of what does not exist is refused anyway.
        IfMatch::Absent | IfMatch::Any => None,
        IfMatch::Version(version) => Some(version),
    };
    api.decide(Command::Confirm { id, if_match, wait }, key, &[], show).await
}

/// Let go of what is reserved
///
/// Safe to repeat. What is confirmed cannot be cancelled; use `POST /v1/returns` for what comes back.
#[utoipa::path(
    post, path = "/v1/reservations/{id}/cancel", operation_id = "cancel_reservation", tag = "reservations",
    params(parameters::Id, parameters::Key),
    request_body = requests::CancelRequest,
    responses(responses::Cancel)
)]
pub(super) async fn cancel(State(api): State<Api>, call: Call) -> Answered {
    let body = call.optional_json()?;
    let mut errors = Errors::default();
    headers::refuse_if_match(&call.headers, &mut errors);
    let (id, key) = named(&call, &mut errors);
    let id = read_body(body, errors, |_| id)?;
    api.decide(Command::Cancel { id }, key, &[], show).await
}

/// Give a held reservation more time
///
/// The new deadline counts from now, so an extend can also bring it nearer.
#[utoipa::path(
    post, path = "/v1/reservations/{id}/extend", operation_id = "extend_reservation", tag = "reservations",
    params(parameters::Id, parameters::Key),
    request_body = requests::ExtendRequest,
    responses(responses::Extend)
)]
pub(super) async fn extend(State(api): State<Api>, call: Call) -> Answered {
    let body = call.json()?;
    let mut errors = Errors::default();
    headers::refuse_if_match(&call.headers, &mut errors);
    let (id, key) = named(&call, &mut errors);
    let (id, ttl) = read_body(body, errors, |fields| {
        let seconds = fields.required_integer("ttl_seconds", 1..=MAX_TTL_SECONDS);
        id.zip(seconds.map(Millis::from_secs))
    })?;
    api.decide(Command::Extend { id, ttl }, key, &[], show).await
}

/// The reservation a call is about, and its key.
fn named(call: &Call, errors: &mut Errors) -> (Option<ReservationId>, Option<IdempotencyKey>) {
    call.refuse_query(errors);
    (call.path_id("id", ReservationId::new, errors), call.key(errors))
}
