//! What load balancers, orchestrators and scrapers ask. These answer also when the node is
//! not ready, and never ask the replica.

use axum::extract::State;
use axum::response::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;

use super::call::Api;
use super::model::{json, plain};
use crate::wire::message::PROTOCOL;

/// `GET /livez`: the process answers.
pub(super) async fn livez() -> Response {
    #[derive(Serialize)]
    struct Live {
        live: bool,
    }
    plain(StatusCode::OK, &Live { live: true })
}

/// `GET /readyz`: the node takes requests, or why not.
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    #[derive(Serialize)]
    struct Ready {
        ready: bool,
        reasons: Vec<&'static str>,
    }
    let reasons: Vec<_> = api.handle.readiness().reasons().iter().map(|reason| reason.as_str()).collect();
    let ready = reasons.is_empty();
    let mut headers = HeaderMap::new();
    let status = if ready {
        StatusCode::OK
    } else {
        headers.insert(RETRY_AFTER, HeaderValue::from(1));
        StatusCode::SERVICE_UNAVAILABLE
    };
    json(status, headers, &Ready { ready, reasons })
}

/// `GET /v1/version`: what runs here.
pub(super) async fn version(State(api): State<Api>) -> Response {
    #[derive(Serialize)]
    struct Version {
        name: &'static str,
        version: &'static str,
        protocol: u32,
        node: String,
        region: String,
        cluster_id: String,
        replica_id: String,
        /// For how long idempotency keys are remembered at present, in seconds.
        horizon_seconds: u64,
    }
    let identity = api.handle.identity();
    let version = Version {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        protocol: PROTOCOL,
        node: identity.node.to_string(),
        region: identity.region.to_string(),
        cluster_id: identity.cluster.to_string(),
        replica_id: identity.replica.to_string(),
        horizon_seconds: api.handle.metrics().read().replica.horizon_ms / 1_000,
    };
    plain(StatusCode::OK, &version)
}

/// `GET /metrics`: OpenMetrics text.
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let mut text = String::new();
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &api.registry) {
        // Without its last line, `# EOF`, the scraper refuses it.
        tracing::error!(%error, "a metric could not be encoded");
    }
    let mut response = Response::new(text.into());
    let content = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content);
    response
}
