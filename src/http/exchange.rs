//! One request and its answer: between the connection and the routes.
//!
//! Here every request gets its id and its line in the log, its body is read, and every answer
//! gets its common headers. An answer that must not be given (see [`super::call::Failure`])
//! becomes an error, upon which the connection is dropped without a byte.

use std::sync::Arc;
use std::time::Instant;

use super::mint::fresh_id;
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use hyper::{Method, Request};
use tower::Service;
use tracing::Instrument;

use super::LiveLimits;
use super::body::{self, Budget, MAX_BATCH_BYTES, MAX_BODY_BYTES, Share};
use super::call::{Failure, Payload, Unanswered};
use super::headers;
use super::problem::Problem;
use super::request_log::{Logged, RequestLog};
use super::underway::Underway;

/// The path of the one call with a large body.
pub(super) const BATCH_PATH: &str = "/v1/reservations:batch";

/// The path of the one call whose body is read while it is carried out.
pub(super) const IMPORT_PATH: &str = "/v1/items:import";

/// The connection is to be closed without an answer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the outcome is unknown; the connection is closed without an answer")]
pub(super) struct ClosedUnanswered;

/// Answers the requests of one listener's connections.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub(super) router: Router,
    pub(super) limits: LiveLimits,
    pub(super) budget: Budget,
    /// This listener has the call at [`IMPORT_PATH`].
    pub(super) streams: bool,
    pub(super) log: Arc<RequestLog>,
}

impl Exchange {
    /// Every log line of the request bears its id.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        underway: &Underway,
    ) -> Result<Response, ClosedUnanswered> {
        let id = request_id(&request);
        // An error's level: the span is there whatever is logged.
        let span = tracing::error_span!("request", request_id = id.to_str().unwrap_or_default());
        self.answer_as(id, request, underway).instrument(span).await
    }

    async fn answer_as(
        &self,
        id: HeaderValue,
        request: Request<Incoming>,
        underway: &Underway,
    ) -> Result<Response, ClosedUnanswered> {
        let started = Instant::now();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let mut response = self.respond(request, underway).await;
        let answered = response.extensions().get::<Unanswered>().is_none();
        self.log.request(&Logged {
            id: &id,
            method: &method,
            path: &path,
            status: answered.then(|| response.status()),
            elapsed: started.elapsed(),
        });
        if !answered {
            return Err(ClosedUnanswered);
        }
        let headers = response.headers_mut();
        headers.insert(headers::REQUEST_ID, id);
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        Ok(response)
    }

    async fn respond(&self, request: Request<Incoming>, underway: &Underway) -> Response {
        // The share of the budget is held until the answer is there.
        let (request, _share) = match self.with_body(request).await {
            Ok(whole) => whole,
            Err(problem) => return problem.into_response(),
        };
        if !underway.may_be_answered() {
            return Failure::Unanswered.into_response();
        }
        match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// The request with its body read. All bodies but an import's are, also those that nobody will look at:
    /// what follows on the connection is then the next request.
    async fn with_body(&self, request: Request<Incoming>) -> Result<(Request<Body>, Share), Problem> {
        let (mut parts, incoming) = request.into_parts();
        if self.streams && parts.uri.path() == IMPORT_PATH && parts.method == Method::POST {
            return Ok((Request::from_parts(parts, Body::new(incoming)), self.budget.share()));
        }
        let limit = if parts.uri.path() == BATCH_PATH { MAX_BATCH_BYTES } else { MAX_BODY_BYTES };
        let read = body::read(incoming, &parts.headers, limit, self.limits.now().body_timeout, &self.budget);
        let (bytes, share) = read.await?;
        parts.extensions.insert(Payload(bytes));
        Ok((Request::from_parts(parts, Body::empty()), share))
    }
}

/// The client's own id for the request, or a new one.
fn request_id(request: &Request<Incoming>) -> HeaderValue {
    let own = headers::request_id(request.headers()).and_then(|id| HeaderValue::from_str(id).ok());
    own.unwrap_or_else(|| {
        let id = fresh_id().to_string();
        HeaderValue::from_str(&id).expect("a UUID may stand in a header")
    })
}
