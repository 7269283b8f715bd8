//! Reads request bodies: whole, bounded in size, time and memory, before they are routed.
//!
//! A body that is too large is read on and thrown away for a while, so that a client that
//! sends first and listens afterwards gets to see the answer instead of a reset connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::{Body, Incoming};
use hyper::header::EXPECT;
use tokio::time::{Instant, timeout_at};

use super::problem::{Code, Problem};

/// Largest body of any call but a batch.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
/// Largest body of a batch.
pub const MAX_BATCH_BYTES: usize = 1024 * 1024;
/// How much of a body that is too large is read and thrown away before the answer.
const MAX_DISCARDED_BYTES: usize = 8 * 1024 * 1024;

/// Bytes that all bodies being read or answered may take together.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    free: Arc<AtomicUsize>,
}

/// What one body takes of the [`Budget`], given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    free: Arc<AtomicUsize>,
    taken: usize,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Budget {
        Budget { free: Arc::new(AtomicUsize::new(bytes)) }
    }

    pub(super) fn share(&self) -> Share {
        Share { free: self.free.clone(), taken: 0 }
    }
}

impl Share {
    /// False when there is not so much left.
    fn grow(&mut self, bytes: usize) -> bool {
        let taken =
            self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| free.checked_sub(bytes));
        if taken.is_ok() {
            self.taken += bytes;
        }
        taken.is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.free.fetch_add(self.taken, Ordering::Relaxed);
    }
}

/// Reads a body of at most `limit` bytes within `time`.
///
/// # Errors
/// `body_too_large`, `request_timeout`, `overloaded` when the budget is used up, and
/// `invalid_request` when the body ends early or is not framed properly.
pub(super) async fn read(
    mut body: Incoming,
    headers: &HeaderMap,
    limit: usize,
    time: Duration,
    budget: &Budget,
) -> Result<(Bytes, Share), Problem> {
    let mut share = budget.share();
    if body.is_end_stream() {
        return Ok((Bytes::new(), share));
    }
    let deadline = Instant::now() + time;
    if body.size_hint().lower() > limit as u64 {
        // Whoever waits for "100 Continue" has not sent anything.
        let waits = headers.contains_key(EXPECT);
        return Err(too_large(limit, if waits { None } else { Some(&mut body) }, deadline).await);
    }
    let mut whole = Collected::Nothing;
    while let Some(chunk) = next(&mut body, deadline).await? {
        if whole.len() + chunk.len() > limit {
            drop((whole, share));
            return Err(too_large(limit, Some(&mut body), deadline).await);
        }
        if !share.grow(chunk.len()) {
            let detail = "The bodies of the requests under way take too much memory. Nothing was done.";
            return Err(Problem::new(Code::Overloaded).detail(detail.to_owned()).closing());
        }
        whole = whole.and(chunk);
    }
    Ok((whole.into_bytes(), share))
}

/// The next piece of a body; `None` at its end.
async fn next(body: &mut Incoming, deadline: Instant) -> Result<Option<Bytes>, Problem> {
    loop {
        let frame = timeout_at(deadline, body.frame()).await;
        let frame = frame.map_err(|_| Problem::new(Code::RequestTimeout).closing())?;
        match frame {
            None => return Ok(None),
            Some(Err(_)) => {
                return Err(
                    Problem::field("body", "ended early or is not framed as its headers say").closing()
                );
            }
            // Trailers are not looked at.
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Ok(Some(data)),
                Err(_) => {}
            },
        }
    }
}

async fn too_large(limit: usize, rest: Option<&mut Incoming>, deadline: Instant) -> Problem {
    let problem =
        Problem::new(Code::BodyTooLarge).detail(format!("A body may have at most {limit} bytes here."));
    let Some(rest) = rest else { return problem.closing() };
    let mut discarded = 0;
    while discarded <= MAX_DISCARDED_BYTES {
        match next(rest, deadline).await {
            Ok(Some(chunk)) => discarded += chunk.len(),
            Ok(None) => return problem,
            Err(_) => break,
        }
    }
    problem.closing()
}

/// A body so far; one that came in one piece is never copied.
enum Collected {
    Nothing,
    One(Bytes),
    Many(BytesMut),
}

impl Collected {
    fn len(&self) -> usize {
        match self {
            Collected::Nothing => 0,
            Collected::One(bytes) => bytes.len(),
            Collected::Many(bytes) => bytes.len(),
        }
    }

    fn and(self, chunk: Bytes) -> Collected {
        let mut whole = match self {
            Collected::Nothing => return Collected::One(chunk),
            Collected::One(first) => BytesMut::from(&first[..]),
            Collected::Many(bytes) => bytes,
        };
        whole.extend_from_slice(&chunk);
        Collected::Many(whole)
    }

    fn into_bytes(self) -> Bytes {
        match self {
            Collected::Nothing => Bytes::new(),
            Collected::One(bytes) => bytes,
            Collected::Many(bytes) => bytes.freeze(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_budget_come_back() {
        let budget = Budget::new(10);
        let (mut first, mut second) = (budget.share(), budget.share());
        assert!(first.grow(6) && !second.grow(5) && second.grow(4));
        drop(first);
        assert!(second.grow(6) && !second.grow(1));
    }

    #[test]
    fn pieces_are_joined_in_order() {
        let whole =
            ["a", "bc", "d"].into_iter().fold(Collected::Nothing, |whole, piece| whole.and(piece.into()));
        assert_eq!(whole.len(), 4);
        assert_eq!(whole.into_bytes(), "abcd");
    }
}
