//! What every handler works with: the request taken apart, and the way to the replica.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request as AxumRequest};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use super::LiveLimits;
use super::headers;
use super::hub::Hub;
use super::problem::{Code, Errors, Problem};
use super::query::{Query, decoded};
use crate::node::{CallError, Handle};
use crate::reload::Reloads;
use crate::types::{Answer, Caller, Command, IdempotencyKey, Reply, Request};

/// What handlers have at hand.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) handle: Handle,
    pub(super) registry: Arc<Registry>,
    pub(super) reloads: Reloads,
    /// Whose listener this is.
    pub(super) caller: Caller,
    /// One for each import that may be under way.
    pub(super) imports: Arc<Semaphore>,
    pub(super) limits: LiveLimits,
    pub(super) hub: Arc<Hub>,
}

/// What a handler gives back.
pub(super) type Answered = Result<Response, Failure>;

/// A request without a good answer.
#[derive(Debug)]
pub(super) enum Failure {
    Problem(Problem),
    /// The outcome is unknown: the connection is closed without a word.
    Unanswered,
}

/// Marks a response that must not be sent; see [`Failure::Unanswered`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Unanswered;

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Failure {
        Failure::Problem(problem)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Failure::Problem(problem) => problem.into_response(),
            Failure::Unanswered => {
                let mut response = Response::default();
                response.extensions_mut().insert(Unanswered);
                response
            }
        }
    }
}

impl Api {
    /// Refuses while the node is not ready to decide or to say what is true.
    pub(super) fn demand_ready(&self) -> Result<(), Problem> {
        let readiness = self.handle.readiness();
        let reasons = readiness.refusals();
        if reasons.is_empty() { Ok(()) } else { Err(Problem::not_ready(&reasons, &readiness.awaited())) }
    }

    /// Lets the replica decide.
    pub(super) async fn ask(&self, command: Command, key: Option<IdempotencyKey>) -> Result<Reply, Failure> {
        self.demand_ready()?;
        self.handle.call(Request { command, key, caller: self.caller }).await.map_err(|e| match e {
            CallError::Overloaded => Problem::new(Code::Overloaded).into(),
            CallError::Gone => Failure::Unanswered,
        })
    }

    /// Lets the replica decide and shows what it said. `places`: see [`Problem::refused`];
    /// `show` gives `None` for an answer that does not belong to the command.
    pub(super) async fn decide(
        &self,
        command: Command,
        key: Option<IdempotencyKey>,
        places: &[usize],
        show: impl FnOnce(Answer) -> Option<Response>,
    ) -> Answered {
        let asked = Instant::now();
        let Reply { outcome, replayed, waited } = self.ask(command, key).await?;
        let took = asked.elapsed();
        let mut response = match outcome {
            Ok(answer) => show(answer).ok_or_else(misplaced)?,
            Err(refusal) => Problem::refused(refusal, places).into_response(),
        };
        if replayed {
            response.headers_mut().insert(headers::IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        }
        if waited {
            response.headers_mut().insert(headers::SERVER_TIMING, peers_timing(took)?);
        }
        Ok(response)
    }
}

/// The request waited for other nodes, and took so long in all.
fn peers_timing(took: Duration) -> Result<HeaderValue, Failure> {
    let text = format!("peers;dur={:.1}", took.as_secs_f64() * 1_000.0);
    HeaderValue::try_from(text).map_err(|_| misplaced())
}

/// A defect of the node: what was done is not what was asked, or is not known.
pub(super) fn misplaced() -> Failure {
    tracing::error!("the replica's answer does not belong to the command; closing without an answer");
    Failure::Unanswered
}

/// The body of a request, read whole before it is routed.
#[derive(Clone, Debug)]
pub(super) struct Payload(pub(super) Bytes);

/// A request, taken apart.
#[derive(Debug)]
pub(super) struct Call {
    method: Method,
    path: String,
    params: Vec<(String, String)>,
    pub(super) query: Query,
    pub(super) headers: HeaderMap,
    body: Bytes,
}

/// A request whose body is read while it is carried out.
#[derive(Debug)]
pub(super) struct Streamed {
    pub(super) call: Call,
    pub(super) body: Body,
}

impl<S: Send + Sync> FromRequest<S> for Streamed {
    type Rejection = Problem;

    async fn from_request(request: AxumRequest, state: &S) -> Result<Streamed, Problem> {
        let (parts, body) = request.into_parts();
        let call = Call::from_parts(parts, state).await.map_err(Problem::closing)?;
        Ok(Streamed { call, body })
    }
}

impl<S: Send + Sync> FromRequest<S> for Call {
    type Rejection = Problem;

    async fn from_request(request: AxumRequest, state: &S) -> Result<Call, Problem> {
        let (parts, _) = request.into_parts();
        Call::from_parts(parts, state).await
    }
}

impl Call {
    async fn from_parts<S: Send + Sync>(mut parts: Parts, state: &S) -> Result<Call, Problem> {
        let params = match RawPathParams::from_request_parts(&mut parts, state).await {
            Ok(params) => params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            Err(axum::extract::rejection::RawPathParamsRejection::InvalidUtf8InPathParam(_)) => {
                return Err(Problem::field("path", "is not UTF-8"));
            }
            Err(_) => Vec::new(),
        };
        let body = parts.extensions.remove::<Payload>().map(|payload| payload.0).unwrap_or_default();
        let query = Query::parse(parts.uri.query())?;
        // Escaped or not, a path is the same path.
        let path = decoded(parts.uri.path(), false).unwrap_or_else(|| parts.uri.path().to_owned());
        Ok(Call { method: parts.method, path, params, query, headers: parts.headers, body })
    }
}

impl Call {
    /// A name or id in the path, of the form that `new` checks.
    pub(super) fn path_id<T, E: fmt::Display>(
        &self,
        name: &str,
        new: impl FnOnce(&str) -> Result<T, E>,
        errors: &mut Errors,
    ) -> Option<T> {
        let value = self.params.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value);
        errors.check(name, new(value))
    }

    /// Whether only the head of the answer will be sent.
    pub(super) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Notes query parameters on a call that has none.
    pub(super) fn refuse_query(&self, errors: &mut Errors) {
        self.query.allow(&[], &[], errors);
    }

    /// The `Idempotency-Key` within its scope, if there is one.
    pub(super) fn key(&self, errors: &mut Errors) -> Option<IdempotencyKey> {
        let key = headers::idempotency_key(&self.headers, errors)?;
        Some(IdempotencyKey { scope: format!("{} {}", self.method, self.path), key })
    }

    /// The same for a call that is not safe to repeat without one.
    ///
    /// # Errors
    /// `idempotency_key_required`.
    pub(super) fn required_key(&self, errors: &mut Errors) -> Result<Option<IdempotencyKey>, Problem> {
        if !self.headers.contains_key(headers::IDEMPOTENCY_KEY) {
            let detail = "Send an Idempotency-Key of your own choice, and the same one with each retry.";
            return Err(Problem::new(Code::IdempotencyKeyRequired).detail(detail.to_owned()));
        }
        Ok(self.key(errors))
    }

    /// The body of a call that needs one.
    ///
    /// # Errors
    /// `unsupported_media_type`.
    pub(super) fn json(&self) -> Result<&[u8], Problem> {
        headers::demand_json(&self.headers)?;
        Ok(&self.body)
    }

    /// The body of a call that needs none: an empty one reads as `{}`.
    ///
    /// # Errors
    /// `unsupported_media_type`, when there is a body.
    pub(super) fn optional_json(&self) -> Result<&[u8], Problem> {
        if self.body.is_empty() { Ok(b"{}") } else { self.json() }
    }
}
