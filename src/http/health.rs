//! What load balancers, orchestrators and scrapers ask. These answer also when the node is
//! not ready, and never ask the replica.

use axum::extract::State;
use axum::response::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::call::Api;
use super::model::{json, plain};
use super::openapi::{responses, shape};
use crate::wire::message::PROTOCOL;

/// A sign of life.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Live {
    /// Always true: the process answers.
    live: bool,
}

/// Whether a node takes requests.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ready {
    /// Whether it takes every request; when it only drains, all but new reservations.
    ready: bool,
    /// Why not: `starting`, `waiting_for_peers`, `store_failed`, `disk_full`, `stopping`, `draining`,
    /// `rolled_back`.
    reasons: Vec<&'static str>,
    /// With `waiting_for_peers`: the members that must be heard first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, value_type = Vec<shape::NodeName>)]
    awaited: Vec<String>,
}

/// What runs here.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Version {
    /// The program.
    name: &'static str,
    /// Its version.
    version: &'static str,
    /// What nodes speak to each other; nodes of different protocols may not understand each other.
    protocol: u32,
    #[schema(value_type = shape::NodeName)]
    node: String,
    #[schema(value_type = shape::RegionName)]
    region: String,
    /// Of which cluster this node is.
    cluster_id: String,
    /// Which disk of the node this is.
    replica_id: String,
    /// For how long idempotency keys are remembered at present, in seconds.
    horizon_seconds: u64,
}

/// Is the process there
///
/// Answers while the process runs, also when it is not ready.
#[utoipa::path(get, path = "/livez", operation_id = "livez", tag = "node", responses(responses::Livez))]
pub(super) async fn livez() -> Response {
    plain(StatusCode::OK, &Live { live: true })
}

/// Does the node take requests
///
/// For load balancers: 200 or 503, and why.
#[utoipa::path(get, path = "/readyz", operation_id = "readyz", tag = "node", responses(responses::Readyz))]
pub(super) async fn readyz(State(api): State<Api>) -> Response {
    let reasons: Vec<_> = api.handle.readiness().reasons().iter().map(|reason| reason.as_str()).collect();
    let ready = reasons.is_empty();
    let mut headers = HeaderMap::new();
    let status = if ready {
        StatusCode::OK
    } else {
        headers.insert(RETRY_AFTER, HeaderValue::from(1));
        StatusCode::SERVICE_UNAVAILABLE
    };
    let awaited = api.handle.readiness().awaited().iter().map(ToString::to_string).collect();
    json(status, headers, &Ready { ready, reasons, awaited })
}

/// What runs here
///
/// The program, the node, and for how long keys are remembered at present.
#[utoipa::path(
    get,
    path = "/v1/version",
    operation_id = "version",
    tag = "node",
    responses(responses::VersionAnswer)
)]
pub(super) async fn version(State(api): State<Api>) -> Response {
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

/// Metrics
///
/// For Prometheus, as OpenMetrics text.
#[utoipa::path(get, path = "/metrics", operation_id = "metrics", tag = "node", responses(responses::Metrics))]
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
