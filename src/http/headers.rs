//! Request headers that calls understand.

use hyper::HeaderMap;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};

use super::problem::{Code, Errors, Problem};
use crate::types::id::check_code;

pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";
pub(super) const IDEMPOTENT_REPLAYED: &str = "idempotent-replayed";
pub(super) const SERVER_TIMING: &str = "server-timing";
pub(super) const REQUEST_ID: &str = "x-request-id";
pub(super) const RETRY: &str = "stockade-retry";

/// Longest `X-Request-Id` that is taken from a client.
pub const MAX_REQUEST_ID_BYTES: usize = 128;

/// What `If-Match` demands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum IfMatch {
    /// Nothing.
    #[default]
    Absent,
    /// That the reservation exists.
    Any,
    /// That it has this version.
    Version(u64),
}

/// The one value of a header, or `None`; a header given twice is noted.
fn single<'h>(headers: &'h HeaderMap, name: &str, shown: &str, errors: &mut Errors) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() {
        errors.add(shown, "is given more than once");
        return None;
    }
    let text = first.to_str().ok();
    if text.is_none() {
        errors.add(shown, "must be printable ASCII");
    }
    text
}

/// `Idempotency-Key`, if there is one.
pub(super) fn idempotency_key(headers: &HeaderMap, errors: &mut Errors) -> Option<String> {
    let key = single(headers, IDEMPOTENCY_KEY, "Idempotency-Key", errors)?;
    errors.check("Idempotency-Key", check_code(key).map(|()| key.to_owned()))
}

/// `If-Match`: one strong ETag that holds a version, or `*`.
pub(super) fn if_match(headers: &HeaderMap, errors: &mut Errors) -> IfMatch {
    let Some(tag) = single(headers, IF_MATCH.as_str(), "If-Match", errors) else { return IfMatch::Absent };
    if tag == "*" {
        return IfMatch::Any;
    }
    let digits = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let version = digits.filter(|d| d.bytes().all(|b| b.is_ascii_digit())).and_then(|d| d.parse().ok());
    match version {
        Some(version) => IfMatch::Version(version),
        None => {
            errors.add("If-Match", "must be one version as in the ETag, such as \"3\" with its quotes, or *");
            IfMatch::Absent
        }
    }
}

/// Notes an `If-Match` on a call that could not honour it: ignoring it would do what the
/// client meant to prevent.
pub(super) fn refuse_if_match(headers: &HeaderMap, errors: &mut Errors) {
    if headers.contains_key(IF_MATCH) {
        errors.add("If-Match", "is honoured by PUT and confirm only");
    }
}

/// `Stockade-Retry: 1`: the client may have sent the request to another node before.
pub(super) fn retry(headers: &HeaderMap, errors: &mut Errors) -> bool {
    match single(headers, RETRY, "Stockade-Retry", errors) {
        None | Some("0") => false,
        Some("1") => true,
        Some(_) => {
            errors.add("Stockade-Retry", "must be 1 or 0");
            false
        }
    }
}

/// Checks that a body is JSON as it stands.
///
/// # Errors
/// `unsupported_media_type`.
pub(super) fn demand_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (first, second) = (types.next(), types.next());
    let essence = first.and_then(|value| value.to_str().ok()).and_then(|value| value.split(';').next());
    if second.is_some() || !essence.is_some_and(|text| text.trim().eq_ignore_ascii_case("application/json")) {
        let detail = "Send the header Content-Type: application/json.";
        return Err(Problem::new(Code::UnsupportedMediaType).detail(detail.to_owned()));
    }
    let encoding = headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        let detail = "Send the body without a Content-Encoding.";
        return Err(Problem::new(Code::UnsupportedMediaType).detail(detail.to_owned()));
    }
    Ok(())
}

/// Whether `If-None-Match` names this weak ETag (`W/"..."`), or any.
pub(super) fn none_match(headers: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
    let wanted = opaque(etag);
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || opaque(tag) == wanted)
}

/// The client's `X-Request-Id`, if it can be taken: once, 1 to 128 printable ASCII characters.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&str> {
    let id = single(headers, REQUEST_ID, REQUEST_ID, &mut Errors::default())?;
    let good =
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(|b| (0x20..0x7f).contains(&b));
    good.then_some(id)
}
