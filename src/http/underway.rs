//! The time from a request's head to the last byte of its answer's body.
//!
//! While a request is under way its connection is not idle: it is not given up for want of a
//! next request, and does not give way to others. An answer that goes on for hours, such as a
//! stream of events, is under way for hours.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::seats::Sitter;
use super::timed::Phase;

/// Held while a request is under way.
#[derive(Debug)]
pub(super) struct Underway {
    phase: Phase,
    sitter: Arc<Sitter>,
}

impl Underway {
    /// `None`: the connection was told to end, and nothing may be begun on it.
    pub(super) fn begin(phase: &Phase, sitter: &Arc<Sitter>) -> Option<Underway> {
        sitter.answering().then(|| {
            phase.answering();
            Underway { phase: phase.clone(), sitter: sitter.clone() }
        })
    }

    /// The request is under way until the body was taken whole, or dropped.
    pub(super) fn until_sent(self, body: Body) -> AnswerBody {
        AnswerBody { body, _underway: self }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.phase.idle();
        self.sitter.idle();
    }
}

/// The body of an answer, which ends a request that is under way.
#[derive(Debug)]
pub(super) struct AnswerBody {
    body: Body,
    _underway: Underway,
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
