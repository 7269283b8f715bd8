//! What a refused request gets: RFC 9457 problem details.
//!
//! [`Code::row`] is the one table of stable codes, their status and title, and
//! `Problem::refused` the one place that turns a replica's refusal into one of them.
//! `docs/reference/errors.md` explains each code under a heading of its own.

use std::fmt;

use axum::response::{IntoResponse, Response};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, StatusCode};
use serde::ser::{Serialize, Serializer};

use super::model::{CappedView, ShortfallView};
use crate::node::NotReadyReason;
use crate::types::{Capped, NodeName, Refusal};

/// Most field errors in one answer; the rest is left out.
pub const MAX_FIELD_ERRORS: usize = 32;

/// A stable code: clients branch on it, so one never changes its meaning or status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    InvalidRequest,
    IdempotencyKeyRequired,
    NotFound,
    UnknownSku,
    UnknownNode,
    ReservationNotFound,
    MethodNotAllowed,
    RequestTimeout,
    InsufficientStock,
    AlreadyConfirmed,
    AlreadyCancelled,
    MaxPerOrder,
    NotFreeHere,
    Expired,
    VersionMismatch,
    BodyTooLarge,
    UnsupportedMediaType,
    KeyReused,
    Overloaded,
    NotReady,
    Draining,
    MemoryFull,
    OwnerUnreachable,
    NodeUnreachable,
    RolledBack,
    AutonomySpent,
    OutcomeUnknown,
}

/// A line of the table of codes.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub status: u16,
    pub code: &'static str,
    pub title: &'static str,
    /// Seconds after which a retry makes sense; every 503 has one.
    pub retry_after: Option<u32>,
}

impl Code {
    pub const ALL: [Code; 27] = [
        Code::InvalidRequest,
        Code::IdempotencyKeyRequired,
        Code::NotFound,
        Code::UnknownSku,
        Code::UnknownNode,
        Code::ReservationNotFound,
        Code::MethodNotAllowed,
        Code::RequestTimeout,
        Code::InsufficientStock,
        Code::AlreadyConfirmed,
        Code::AlreadyCancelled,
        Code::MaxPerOrder,
        Code::NotFreeHere,
        Code::Expired,
        Code::VersionMismatch,
        Code::BodyTooLarge,
        Code::UnsupportedMediaType,
        Code::KeyReused,
        Code::Overloaded,
        Code::NotReady,
        Code::Draining,
        Code::MemoryFull,
        Code::OwnerUnreachable,
        Code::NodeUnreachable,
        Code::RolledBack,
        Code::AutonomySpent,
        Code::OutcomeUnknown,
    ];

    /// The table: status, code, title and, for a 503, when to come back.
    pub const fn row(self) -> Row {
        const fn row(status: u16, code: &'static str, title: &'static str) -> Row {
            Row { status, code, title, retry_after: None }
        }
        const fn later(seconds: u32, code: &'static str, title: &'static str) -> Row {
            Row { status: 503, code, title, retry_after: Some(seconds) }
        }
        match self {
            Code::InvalidRequest => row(400, "invalid_request", "The request is not valid"),
            Code::IdempotencyKeyRequired => {
                row(400, "idempotency_key_required", "This call needs an Idempotency-Key")
            }
            Code::NotFound => row(404, "not_found", "There is no such path"),
            Code::UnknownSku => row(404, "unknown_sku", "There is no such item"),
            Code::UnknownNode => row(404, "unknown_node", "There is no such node"),
            Code::ReservationNotFound => row(404, "reservation_not_found", "There is no such reservation"),
            Code::MethodNotAllowed => {
                row(405, "method_not_allowed", "The path does not answer to this method")
            }
            Code::RequestTimeout => row(408, "request_timeout", "The request came too slowly"),
            Code::InsufficientStock => row(409, "insufficient_stock", "Not enough stock"),
            Code::AlreadyConfirmed => row(409, "already_confirmed", "The reservation is already confirmed"),
            Code::AlreadyCancelled => row(409, "already_cancelled", "The reservation is already cancelled"),
            Code::MaxPerOrder => row(409, "max_per_order", "More units than one order may have"),
            Code::NotFreeHere => row(409, "not_free_here", "Not so many units are free at this node"),
            Code::Expired => row(410, "expired", "The reservation has expired and its units are gone"),
            Code::VersionMismatch => row(412, "version_mismatch", "The reservation has another version"),
            Code::BodyTooLarge => row(413, "body_too_large", "The body is too large"),
            Code::UnsupportedMediaType => {
                row(415, "unsupported_media_type", "The body is not of a type that this call takes")
            }
            Code::KeyReused => row(422, "key_reused", "The key was used for another request"),
            Code::Overloaded => later(1, "overloaded", "Too many requests are waiting"),
            Code::NotReady => later(1, "not_ready", "The node is not ready"),
            Code::Draining => later(5, "draining", "The node takes no new reservations"),
            Code::MemoryFull => later(10, "memory_full", "The node cannot remember more requests"),
            Code::OwnerUnreachable => {
                later(1, "owner_unreachable", "A node that may have the reservation cannot be reached")
            }
            Code::NodeUnreachable => later(1, "node_unreachable", "A node cannot be reached"),
            Code::RolledBack => later(30, "rolled_back", "The node's disk is an old one"),
            Code::AutonomySpent => {
                later(1, "autonomy_spent", "Other nodes must hear of it before this one sells more")
            }
            Code::OutcomeUnknown => row(504, "outcome_unknown", "The request may or may not have been done"),
        }
    }

    /// What `type` says: a name, not an address, so that it is the same wherever a node runs.
    pub fn type_uri(self) -> String {
        format!("urn:stockade:error:{}", self.row().code)
    }
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// A path such as `lines[0].quantity`, or the name of a parameter or header.
    pub field: String,
    /// What is wrong with it, for people.
    pub message: String,
}

/// The wrong fields of one request, as they are found.
#[derive(Debug, Default)]
pub(super) struct Errors {
    found: Vec<FieldError>,
}

impl Errors {
    pub(super) fn add(&mut self, field: impl fmt::Display, message: impl fmt::Display) {
        if self.found.len() < MAX_FIELD_ERRORS {
            self.found.push(FieldError { field: field.to_string(), message: message.to_string() });
        }
    }

    /// Takes a value of the right form, or notes what is wrong with the field.
    pub(super) fn check<T, E: fmt::Display>(
        &mut self,
        field: impl fmt::Display,
        value: Result<T, E>,
    ) -> Option<T> {
        value.map_err(|message| self.add(field, message)).ok()
    }

    /// What was read, if all of the request was right. Whoever has nothing to give (`None`)
    /// has noted why.
    pub(super) fn finish<T>(self, read: Option<T>) -> Result<T, Problem> {
        match read {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => Err(Problem::invalid(self.found)),
        }
    }
}

/// A refused request's answer.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    code: Code,
    detail: Option<String>,
    errors: Vec<FieldError>,
    more: Option<Box<More>>,
    /// The rest of the request was not read, so nothing after it can be.
    closes: bool,
}

/// Members that belong to one code, flattened into the body.
#[derive(Clone, Debug, Default, serde::Serialize)]
struct More {
    #[serde(skip_serializing_if = "Option::is_none")]
    shortfalls: Option<Vec<ShortfallView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capped: Option<Vec<CappedView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreachable: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    free: Option<u64>,
}

impl Problem {
    pub(super) fn new(code: Code) -> Problem {
        Problem { code, detail: None, errors: Vec::new(), more: None, closes: false }
    }

    /// `invalid_request` because of these fields.
    pub(super) fn invalid(errors: Vec<FieldError>) -> Problem {
        let detail = errors.first().map(|e| format!("{}: {}", e.field, e.message));
        Problem { errors, detail, ..Problem::new(Code::InvalidRequest) }
    }

    /// `invalid_request` because of one field.
    pub(super) fn field(field: impl fmt::Display, message: impl fmt::Display) -> Problem {
        Problem::invalid(vec![FieldError { field: field.to_string(), message: message.to_string() }])
    }

    /// For a line of an import: the code, and what is wrong.
    pub(super) fn code(&self) -> &'static str {
        self.code.row().code
    }

    pub(super) fn message(&self) -> String {
        let error = self.errors.first().map(|e| format!("{}: {}", e.field, e.message));
        error.or_else(|| self.detail.clone()).unwrap_or_else(|| self.code.row().title.to_owned())
    }

    pub(super) fn not_ready(reasons: &[NotReadyReason], awaited: &[NodeName]) -> Problem {
        let code = match reasons.contains(&NotReadyReason::RolledBack) {
            true => Code::RolledBack,
            false => Code::NotReady,
        };
        let names: Vec<&'static str> = reasons.iter().map(|reason| reason.as_str()).collect();
        let mut detail = format!("Nothing was done. Reasons: {}.", names.join(", "));
        if !awaited.is_empty() {
            let awaited: Vec<&str> = awaited.iter().map(NodeName::as_str).collect();
            detail += &format!(" To be heard first: {}.", awaited.join(", "));
        }
        Problem::new(code).detail(detail).more(More { reasons: Some(names), ..More::default() })
    }

    /// What the client gets for a refusal. `places` gives, for each line of the command, its
    /// place in the request: lines of one sku were added up on the way in.
    pub(super) fn refused(refusal: Refusal, places: &[usize]) -> Problem {
        let line = |line: u32, field: &str| {
            let line = line as usize;
            format!("lines[{}].{field}", places.get(line).copied().unwrap_or(line))
        };
        match refusal {
            Refusal::InsufficientStock(shortfalls) => {
                Problem::new(Code::InsufficientStock).shortfalls(&shortfalls)
            }
            Refusal::Expired(shortfalls) => Problem::new(Code::Expired).shortfalls(&shortfalls),
            Refusal::UnknownSku { sku, line: at } => {
                let field = at.map_or_else(|| "sku".to_owned(), |at| line(at, "sku"));
                Problem::new(Code::UnknownSku).because(field, format!("there is no item {sku}"))
            }
            Refusal::UnknownNode { field, node } => {
                Problem::new(Code::UnknownNode).because(field, format!("there is no node {node}"))
            }
            Refusal::MaxPerOrder { sku, line: at, max } => Problem::new(Code::MaxPerOrder)
                .because(line(at, "quantity"), format!("one order may have at most {max} of {sku}")),
            Refusal::Invalid { field, message } => Problem::field(field, message),
            Refusal::NotFreeHere { free } => Problem::new(Code::NotFreeHere)
                .detail(format!("{free} units are free."))
                .more(More { free: Some(free.0), ..More::default() }),
            Refusal::VersionMismatch { current } => Problem::version_mismatch(current),
            Refusal::OwnerUnreachable { unreachable } => Problem::new(Code::OwnerUnreachable)
                .detail("Nothing was sent to it and nothing was done; try again.".to_owned())
                .unreachable(&unreachable),
            Refusal::NodeUnreachable { node } => {
                Problem::new(Code::NodeUnreachable).unreachable(std::slice::from_ref(&node))
            }
            Refusal::OutcomeUnknown => Problem::new(Code::OutcomeUnknown).detail(
                "It was sent to another node, which has not answered. Repeating it is safe.".to_owned(),
            ),
            Refusal::ReservationNotFound => Problem::new(Code::ReservationNotFound),
            Refusal::AlreadyConfirmed => Problem::new(Code::AlreadyConfirmed),
            Refusal::AlreadyCancelled => Problem::new(Code::AlreadyCancelled),
            Refusal::KeyReused => Problem::new(Code::KeyReused).detail(
                "Nothing was done. Use a new key, or send what was first sent under this one.".to_owned(),
            ),
            Refusal::Draining => Problem::new(Code::Draining),
            Refusal::MemoryFull => Problem::new(Code::MemoryFull),
            Refusal::Overloaded => Problem::new(Code::Overloaded),
            Refusal::RolledBack => Problem::new(Code::RolledBack),
            Refusal::NotReady => Problem::new(Code::NotReady),
            Refusal::AutonomySpent(capped) => Problem::autonomy_spent(&capped),
        }
    }

    fn autonomy_spent(capped: &[Capped]) -> Problem {
        let first = capped.first().map(|line| {
            let Capped { sku, requested, available_here, sellable } = line;
            format!(
                "{requested} of {sku} wanted, {available_here} free here, {sellable} may be sold now: the others \
                 must hear of more first (autonomy). "
            )
        });
        let detail = first.unwrap_or_default()
            + "Nothing was done. Try again, or let the buyer wait (wait_ms): linked nodes confirm more within one \
               round trip; one that is cut off, when it is linked again. If it comes often while all are linked, \
               raise the item's autonomy.";
        let views = capped.iter().map(CappedView::new).collect();
        Problem::new(Code::AutonomySpent).detail(detail).more(More { capped: Some(views), ..More::default() })
    }

    /// 412; `current` is 0 when this node has no such reservation.
    pub(super) fn version_mismatch(current: u64) -> Problem {
        let problem = Problem::new(Code::VersionMismatch);
        match current {
            0 => problem.detail("This node has no such reservation.".to_owned()),
            version => problem
                .detail(format!("The reservation's version is {version}."))
                .more(More { current_version: Some(version), ..More::default() }),
        }
    }

    pub(super) fn detail(mut self, detail: String) -> Problem {
        self.detail = Some(detail);
        self
    }

    /// Names the field that is the cause.
    pub(super) fn because(mut self, field: String, message: String) -> Problem {
        self.errors.push(FieldError { field, message });
        self
    }

    /// After this answer the connection ends.
    pub(super) fn closing(mut self) -> Problem {
        self.closes = true;
        self
    }

    fn shortfalls(self, shortfalls: &[crate::types::Shortfall]) -> Problem {
        let views = shortfalls.iter().map(ShortfallView::new).collect();
        self.more(More { shortfalls: Some(views), ..More::default() })
    }

    fn unreachable(self, nodes: &[NodeName]) -> Problem {
        let names = nodes.iter().map(NodeName::to_string).collect();
        self.more(More { unreachable: Some(names), ..More::default() })
    }

    fn more(mut self, more: More) -> Problem {
        self.more = Some(Box::new(more));
        self
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.code.row().retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.closes {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        headers
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct View<'a> {
            r#type: String,
            title: &'static str,
            status: u16,
            code: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            detail: Option<&'a str>,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [FieldError],
            #[serde(flatten)]
            more: Option<&'a More>,
        }
        let Row { status, code, title, .. } = self.code.row();
        let (detail, errors) = (self.detail.as_deref(), self.errors.as_slice());
        View { r#type: self.code.type_uri(), title, status, code, detail, errors, more: self.more.as_deref() }
            .serialize(serializer)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.row().status).expect("the table holds valid statuses");
        super::model::json(status, self.headers(), &self)
    }
}

/// Problems that have, together, every member that one can have.
#[cfg(test)]
pub(super) fn one_of_each_kind() -> Vec<Problem> {
    let node = || vec![NodeName::new("eu-1").expect("the form is right")];
    vec![
        Problem::field("lines", "is required"),
        Problem::not_ready(&[NotReadyReason::Starting], &[]),
        Problem::refused(Refusal::InsufficientStock(Vec::new()), &[]),
        Problem::refused(Refusal::AutonomySpent(Vec::new()), &[]),
        Problem::refused(Refusal::OwnerUnreachable { unreachable: node() }, &[]),
        Problem::refused(Refusal::NotFreeHere { free: crate::types::Units(1) }, &[]),
        Problem::version_mismatch(3),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_heading_in_the_reference() {
        let reference = include_str!("../../docs/reference/errors.md");
        for code in Code::ALL {
            let heading = format!("\n## {}\n", code.row().code);
            assert!(reference.contains(&heading), "no heading for {}", code.row().code);
        }
        let headings = reference.lines().filter(|line| line.starts_with("## ")).count();
        assert_eq!(headings, Code::ALL.len(), "a heading without a code, or one twice");
    }

    #[test]
    fn codes_are_distinct_and_each_503_says_when_to_come_back() {
        let mut codes: Vec<_> = Code::ALL.iter().map(|code| code.row().code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(code.row().status == 503, code.row().retry_after.is_some(), "{code:?}");
        }
    }

    #[test]
    fn only_so_many_field_errors_are_told() {
        let mut errors = Errors::default();
        for i in 0..100 {
            errors.add(format!("lines[{i}]"), "is wrong");
        }
        let problem = errors.finish(Some(())).unwrap_err();
        assert_eq!(problem.errors.len(), MAX_FIELD_ERRORS);
    }
}
