//! The time from a request's head to the end of its answer's body. What is left to do then, the
//! writing, is watched over by [`super::timed`].
//!
//! While a request is under way its connection is not given up for want of a next one. Once
//! its body is read, too, the connection does not give way to others: from then on something
//! may be done for it. An answer that goes on for hours, such as a stream of events, is under
//! way for hours.

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
    /// A head was read whole.
    pub(super) fn begin(phase: &Phase, sitter: &Arc<Sitter>) -> Underway {
        phase.answering();
        Underway { phase: phase.clone(), sitter: sitter.clone() }
    }

    /// The request was read whole. False: its connection was told to end, and nothing may be
    /// done for it.
    #[must_use]
    pub(super) fn may_be_answered(&self) -> bool {
        self.sitter.answering()
    }

    /// The request is under way until the body was taken whole, or dropped.
    pub(super) fn until_sent(self, body: Body) -> AnswerBody {
        AnswerBody { body, _underway: self }
    }
}

impl Drop for Underway {
    /// HTTP has taken the answer over, which is not to say that any of it was sent.
    fn drop(&mut self) {
        self.phase.sending();
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
