//! One log line a request.
//!
//! What went well, or was the client's mistake, is told at `debug`. What the node could not do
//! (5xx, or no answer at all) is told at `warn`, at most [`WARNINGS_A_SECOND`]: a node that
//! refuses thousands of requests a second must not drown in its own log. The rest of those are
//! told at `debug`, and counted with the next warning.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use tracing::{debug, warn};

/// More are told at `debug` only.
const WARNINGS_A_SECOND: u32 = 10;
/// Answers 503 for as long as the node is not ready, which is told elsewhere, once.
const READINESS: &str = "/readyz";

/// What is told of a request.
#[derive(Debug)]
pub(super) struct Logged<'a> {
    pub(super) id: &'a HeaderValue,
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    /// `None`: the connection is closed without an answer.
    pub(super) status: Option<StatusCode>,
    pub(super) elapsed: Duration,
}

#[derive(Debug, Default)]
pub(super) struct RequestLog {
    warnings: Mutex<Warnings>,
}

/// Warnings within the second that began at `since`.
#[derive(Debug, Default)]
struct Warnings {
    since: Option<Instant>,
    told: u32,
    untold: u64,
}

impl RequestLog {
    pub(super) fn request(&self, request: &Logged<'_>) {
        let failed = request.status.is_none_or(|status| status.is_server_error());
        let untold = if failed && request.path != READINESS { self.may_warn(Instant::now()) } else { None };
        let request_id = request.id.to_str().unwrap_or_default();
        let (method, path) = (request.method, request.path);
        let status = request.status.map(|status| status.as_u16());
        let elapsed_us = u64::try_from(request.elapsed.as_micros()).unwrap_or(u64::MAX);
        let what = if status.is_some() { "request" } else { "request closed without an answer" };
        match untold {
            None => debug!(request_id, %method, path, status, elapsed_us, "{what}"),
            Some(0) => warn!(request_id, %method, path, status, elapsed_us, "{what}"),
            Some(untold) => warn!(
                request_id, %method, path, status, elapsed_us, untold,
                "{what}; since the last warning, `untold` others failed too"
            ),
        }
    }

    /// Whether one more may be told, and how many were not.
    fn may_warn(&self, now: Instant) -> Option<u64> {
        let mut warnings = self.warnings.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if warnings.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            (warnings.since, warnings.told) = (Some(now), 0);
        }
        if warnings.told >= WARNINGS_A_SECOND {
            warnings.untold += 1;
            return None;
        }
        warnings.told += 1;
        Some(std::mem::take(&mut warnings.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_few_and_none_is_forgotten() {
        let log = RequestLog::default();
        let now = Instant::now();
        let told = (0..1_000).filter(|_| log.may_warn(now).is_some()).count();
        assert_eq!(told, WARNINGS_A_SECOND as usize);
        let later = now + Duration::from_secs(1);
        assert_eq!(log.may_warn(later), Some(990));
        assert_eq!(log.may_warn(later), Some(0));
    }
}
