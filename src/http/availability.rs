//! What a product page reads: from memory, without troubling the replica, cacheable for a second.

use std::collections::HashSet;

use axum::extract::State;
use axum::response::Response;
use hyper::header::{CACHE_CONTROL, ETAG, HeaderValue};
use hyper::{HeaderMap, StatusCode};

use super::call::{Answered, Api, Call};
use super::headers;
use super::model::{AvailabilityView, AvailableItem, json};
use super::openapi::{parameters, responses};
use super::problem::Errors;
use crate::node::{Availability, Identity};
use crate::types::Sku;

/// Most items in one read.
pub const MAX_SKUS: usize = 200;

/// What can be bought
///
/// For product pages, from memory: what this node could sell now (`here`), and with what it last heard of
/// the others (`everywhere`). It may be kept for a second and asked again with `If-None-Match`.
#[utoipa::path(
    get,
    path = "/v1/availability",
    operation_id = "availability",
    tag = "availability",
    params(parameters::Skus, parameters::IfNoneMatch),
    responses(responses::Availability)
)]
pub(super) async fn get(State(api): State<Api>, call: Call) -> Answered {
    let mut errors = Errors::default();
    call.query.allow(&[], &["sku"], &mut errors);
    let skus = skus(&call, &mut errors);
    let skus = errors.finish(skus)?;
    api.demand_ready()?;

    let items = api.handle.availability(&skus);
    let identity = api.handle.identity();
    let etag = etag(identity, &items);
    let mut answer_headers = HeaderMap::new();
    answer_headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=1"));
    let value = HeaderValue::from_str(&etag).expect("hexadecimal digits may stand in a header");
    answer_headers.insert(ETAG, value);
    if headers::none_match(&call.headers, &etag) {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.headers_mut() = answer_headers;
        return Ok(response);
    }
    let view = AvailabilityView {
        node: identity.node.to_string(),
        region: identity.region.to_string(),
        items: items.iter().map(AvailableItem::new).collect(),
    };
    Ok(json(StatusCode::OK, answer_headers, &view))
}

/// The items asked for, each once, in order.
pub(super) fn skus(call: &Call, errors: &mut Errors) -> Option<Vec<Sku>> {
    let mut seen = HashSet::new();
    let (mut given, mut skus) = (0, Vec::new());
    for text in call.query.all("sku") {
        given += 1;
        if let Some(sku) = errors.check("sku", Sku::new(text))
            && seen.insert(sku.clone())
        {
            skus.push(sku);
        }
    }
    if skus.is_empty() || given > MAX_SKUS {
        errors.add("sku", format_args!("must be given 1 to {MAX_SKUS} times"));
        return None;
    }
    Some(skus)
}

/// A weak tag over everything but the times.
fn etag(identity: &Identity, items: &[Availability]) -> String {
    let mut hash = blake3::Hasher::new();
    // Names and skus hold no line feed, so no two answers make the same text.
    hash.update(format!("{}\n{}\n", identity.node, identity.region).as_bytes());
    for item in items {
        let line = format!("{}\n{}\n{}\n{}\n", item.sku, item.here, item.everywhere, item.status.as_str());
        hash.update(line.as_bytes());
    }
    format!("W/\"{}\"", &hash.finalize().to_hex()[..16])
}
