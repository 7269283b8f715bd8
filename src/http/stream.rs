//! `GET /v1/availability/stream`: a product page that stays fresh, as server-sent events.
//!
//! First comes the state of all items asked for, then an event for each that changes, and a
//! comment every [`COMMENT_EVERY`]. What is sent when is the business of [`super::hub`]; here
//! is the call and the body that gives the client as much as it takes. A body fetches anew
//! only when all that it fetched before is taken.
//!
//! A stream ends when the client closes its side, when it takes nothing for the write
//! timeout (see [`super::timed`]), when the limits are lowered and it is one of those beyond, and when
//! the node stops. It is never idle.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::availability;
use super::call::{Answered, Api, Call};
use super::hub::{Event, NoStream, Subscription};
use super::openapi::{described, parameters};
use super::problem::{Code, Errors, Problem};
use crate::node::NotReadyReason;

/// How often something is sent, so that those on the way see that the stream lives, and the
/// node sees that the client does.
pub const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// After how long a client shall come back, in milliseconds: spread, so that after a node's
/// restart not all come in one moment.
const RETRY_MILLIS: u64 = 1_000;
const RETRY_SPREAD_MILLIS: u64 = 2_000;

/// Marks a response whose body goes on for as long as the client likes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Endless;

/// Stream availability
///
/// Server-sent events: first the state of each item, then an event for each item that changes, at most
/// 10 a second an item, the newest always. A reconnect with `Last-Event-ID` gets what changed since.
#[utoipa::path(
    get,
    path = "/v1/availability/stream",
    operation_id = "stream_availability",
    tag = "availability",
    params(parameters::Skus, described::LastEventId),
    responses(described::Stream)
)]
pub(super) async fn get(State(api): State<Api>, call: Call) -> Answered {
    let mut errors = Errors::default();
    call.query.allow(&[], &["sku"], &mut errors);
    let skus = availability::skus(&call, &mut errors);
    let skus = errors.finish(skus)?;
    api.demand_ready()?;

    // One that is not of this process's making is no error: it is from before a restart.
    let last = call.headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let (subscription, first) = api.hub.subscribe(skus, last).map_err(|why| match why {
        NoStream::TooMany => Problem::new(Code::Overloaded)
            .detail("As many streams as may be are open; poll GET /v1/availability meanwhile.".to_owned()),
        NoStream::TooManyItems => Problem::new(Code::Overloaded).detail(
            "The open streams follow as many items as may be; poll GET /v1/availability meanwhile."
                .to_owned(),
        ),
        NoStream::Stopped => Problem::not_ready(&[NotReadyReason::Stopping], &[]),
    })?;
    subscription.count_events(first.events);
    let retry = RETRY_MILLIS + (subscription.number() * 617) % RETRY_SPREAD_MILLIS;
    let mut opening = format!("retry: {retry}\n\n").into_bytes();
    opening.extend_from_slice(&first.text);

    let mut comments = interval_at(Instant::now() + COMMENT_EVERY, COMMENT_EVERY);
    comments.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let events = Events { next: Some(opening.into()), fetched: VecDeque::new(), subscription, comments };
    let mut response = Response::new(Body::new(events));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect answers before they pass them on are asked not to.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    if !call.is_head() {
        response.extensions_mut().insert(Endless);
    }
    Ok(response)
}

/// The body of a stream.
struct Events {
    /// The first events, or the data of the event whose head was taken.
    next: Option<Bytes>,
    /// At most one event an item; their data is shared with all other streams.
    fetched: VecDeque<Event>,
    subscription: Subscription,
    comments: Interval,
}

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if let Some(next) = this.next.take() {
            return Poll::Ready(Some(Ok(Frame::data(next))));
        }
        loop {
            if let Some(event) = this.fetched.pop_front() {
                this.subscription.count_events(1);
                let head = this.subscription.head(&event);
                this.next = Some(event.data);
                return Poll::Ready(Some(Ok(Frame::data(head))));
            }
            if this.comments.poll_tick(cx).is_ready() {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b":\n\n")))));
            }
            if !ready!(this.subscription.poll_noted(cx)) {
                return Poll::Ready(None);
            }
            this.fetched.extend(this.subscription.fetch());
        }
    }
}
