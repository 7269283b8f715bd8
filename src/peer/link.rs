//! One live connection that was chosen as the link: four streams' worth of frames.
//!
//! Each side opens two streams, which live as long as the link. The first is the urgent one:
//!
//! ```text
//! urgent: greeting | from the arbiter: generation, u64 little-endian | frames
//! bulk:   frames
//! ```
//!
//! Nothing of the bulk stream is read before the first urgent message, the hello: whatever comes
//! from a peer that has not said hello is not believed, and would have to be sent again.
//!
//! A writer drains its queue and puts all that waits into one write. A reader gives each message to
//! the driver before it reads on, so a slow driver fills the windows and thereby slows the peer. A
//! link runs in one task and ends for one reason, the first that occurs.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::choice::Generation;
use super::close::{CloseCode, close, describe};
use super::counters::NodeCounters;
use super::frame::{self, FrameError, FrameReader};
use super::{DRAIN_TIMEOUT, SILENCE, Stop};
use crate::node::link::OutboxReader;
use crate::node::{Handle, LinkId};
use crate::types::NodeName;
use crate::wire::Message;

/// Messages that wait are put together up to about this many bytes.
const WRITE_BYTES: usize = 64 * 1024;
/// A reader takes at most this much at a time.
const READ_BYTES: usize = 64 * 1024;
/// How often the round-trip time is looked at. The driver is told it when the link is up, and again
/// when it is news.
const RTT_EVERY: Duration = Duration::from_secs(1);
/// A round-trip time is news when it differs by more than this, and by more than a part of it.
const RTT_NEWS: Duration = Duration::from_millis(1);
const RTT_NEWS_PART: u32 = 10;

#[derive(Debug)]
pub(super) struct Link {
    pub id: LinkId,
    pub peer: NodeName,
    pub connection: Connection,
    pub handle: Handle,
    pub counters: Arc<NodeCounters>,
    pub stop: Stop,
}

/// Why a link ended.
#[derive(Debug)]
pub(super) enum LinkEnd {
    Closed(ConnectionError),
    /// The peer has said all it had to say: it is stopping.
    Finished,
    /// The peer ended a stream in a way it should not.
    Broken(String),
    Silent,
    Malformed(FrameError),
    /// This node is stopping.
    Stopped,
    /// The driver dropped the link's outbox.
    LetGo,
    DriverGone,
    /// The link's task was ended from outside.
    Cut,
}

impl fmt::Display for LinkEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkEnd::Closed(error) => f.write_str(&describe(error)),
            LinkEnd::Finished => f.write_str("the peer is stopping"),
            LinkEnd::Broken(what) => f.write_str(what),
            LinkEnd::Silent => write!(f, "nothing was heard for {} s", SILENCE.as_secs()),
            LinkEnd::Malformed(error) => write!(f, "the peer sent {error}"),
            LinkEnd::Stopped => f.write_str("this node is stopping"),
            LinkEnd::LetGo => f.write_str("the driver let go of it"),
            LinkEnd::DriverGone => f.write_str("the driver is gone"),
            LinkEnd::Cut => f.write_str("its task was cut short"),
        }
    }
}

impl LinkEnd {
    fn code(&self) -> CloseCode {
        match self {
            LinkEnd::Closed(_) | LinkEnd::Finished | LinkEnd::Stopped | LinkEnd::Cut => CloseCode::Shutdown,
            LinkEnd::Broken(_) | LinkEnd::Malformed(_) => CloseCode::Malformed,
            LinkEnd::Silent => CloseCode::Silent,
            LinkEnd::LetGo | LinkEnd::DriverGone => CloseCode::LetGo,
        }
    }
}

impl Link {
    /// Carries messages until the link ends, and closes its connection. `verdict` is what the
    /// arbiter says first.
    pub(super) async fn run(
        self,
        verdict: Option<Generation>,
        urgent_out: SendStream,
        urgent_in: RecvStream,
        outbox: OutboxReader,
    ) -> LinkEnd {
        let ear = Ear::new();
        let mut stop = self.stop.clone();
        let end = tokio::select! {
            biased;
            end = self.write(verdict, urgent_out, outbox) => end,
            end = self.read(urgent_in, &ear) => end,
            error = self.connection.closed() => LinkEnd::Closed(error),
            () = ear.silence() => LinkEnd::Silent,
            end = self.tell_rtt() => end,
            () = async { stop.requested().await; sleep(DRAIN_TIMEOUT).await } => LinkEnd::Stopped,
        };
        // A stream's error says less than the connection's.
        let end = match (end, self.connection.close_reason()) {
            (LinkEnd::Broken(_), Some(error)) => LinkEnd::Closed(error),
            (end, _) => end,
        };
        self.account(&end);
        close(&self.connection, end.code());
        end
    }

    fn account(&self, end: &LinkEnd) {
        match end {
            LinkEnd::Silent => self.counters.silences.add(1),
            LinkEnd::Malformed(error) => {
                self.counters.malformed.add(1);
                tracing::warn!(node = %self.peer, link = self.id.0, %error, "bad bytes from a peer; closing");
            }
            _ => {}
        }
    }

    async fn write(
        &self,
        verdict: Option<Generation>,
        mut urgent_out: SendStream,
        outbox: OutboxReader,
    ) -> LinkEnd {
        if let Some(generation) = verdict
            && let Err(error) = urgent_out.write_all(&generation.to_le_bytes()).await
        {
            return LinkEnd::Broken(error.to_string());
        }
        let bulk_out = match self.connection.open_uni().await {
            Ok(stream) => stream,
            Err(error) => return LinkEnd::Closed(error),
        };
        let urgent = self.write_queue(outbox.urgent, urgent_out);
        let bulk = self.write_queue(outbox.bulk, bulk_out);
        match tokio::try_join!(urgent, bulk) {
            // What the peer has received, its driver may not have taken yet, and would not once
            // this side closes: the peer closes when it is through.
            Ok(_) => {
                self.connection.closed().await;
                LinkEnd::Stopped
            }
            Err(end) => end,
        }
    }

    /// Writes what is queued until this node stops; then the rest, and the stream's end.
    async fn write_queue(
        &self,
        mut queue: mpsc::Receiver<Message>,
        mut stream: SendStream,
    ) -> Result<(), LinkEnd> {
        let mut stop = self.stop.clone();
        let mut batch = Vec::new();
        loop {
            let stopping = tokio::select! {
                biased;
                message = queue.recv() => {
                    self.add(&message.ok_or(LinkEnd::LetGo)?, &mut batch);
                    false
                }
                () = stop.requested() => true,
            };
            while batch.len() < WRITE_BYTES
                && let Ok(message) = queue.try_recv()
            {
                self.add(&message, &mut batch);
            }
            stream.write_all(&batch).await.map_err(|e| LinkEnd::Broken(e.to_string()))?;
            self.counters.bytes_out.add(batch.len());
            batch.clear();
            batch.shrink_to(2 * WRITE_BYTES);
            if stopping {
                break;
            }
        }
        stream.finish().map_err(|e| LinkEnd::Broken(e.to_string()))
    }

    fn add(&self, message: &Message, batch: &mut Vec<u8>) {
        match frame::append(message, batch) {
            Ok(()) => self.counters.messages_out.add(1),
            Err(error) => {
                self.counters.too_long.add(1);
                tracing::error!(node = %self.peer, link = self.id.0, %error, "dropped an own message");
            }
        }
    }

    async fn read(&self, urgent_in: RecvStream, ear: &Ear) -> LinkEnd {
        let bulk = async {
            let bulk_in = self.connection.accept_uni().await.map_err(LinkEnd::Closed)?;
            ear.greeted.notified().await;
            self.read_stream(bulk_in, ear).await
        };
        let urgent = async {
            self.read_stream(urgent_in, ear).await?;
            // A peer that stops before it said hello never will.
            ear.greeted.notify_one();
            Ok(())
        };
        match tokio::try_join!(urgent, bulk) {
            Ok(_) => LinkEnd::Finished,
            Err(end) => end,
        }
    }

    /// Gives the driver what a stream holds, until the peer finishes it.
    async fn read_stream(&self, mut stream: RecvStream, ear: &Ear) -> Result<(), LinkEnd> {
        let mut frames = FrameReader::default();
        loop {
            let chunk = stream.read_chunk(READ_BYTES, true).await;
            let Some(chunk) = chunk.map_err(|e| LinkEnd::Broken(e.to_string()))? else { return Ok(()) };
            ear.heard();
            self.counters.bytes_in.add(chunk.bytes.len());
            frames.push(&chunk.bytes);
            drop(chunk);
            while let Some(message) = frames.next_message().map_err(LinkEnd::Malformed)? {
                self.counters.messages_in.add(1);
                self.deliver(message, ear).await?;
                ear.greeted.notify_one();
            }
        }
    }

    async fn deliver(&self, message: Message, ear: &Ear) -> Result<(), LinkEnd> {
        ear.cover();
        let taken = self.handle.message(self.peer.clone(), self.id, message).await;
        ear.uncover();
        if taken { Ok(()) } else { Err(LinkEnd::DriverGone) }
    }

    /// Shows the latest round-trip time; lets the replica know of it only when it is news.
    async fn tell_rtt(&self) -> LinkEnd {
        let mut ticks = interval(RTT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = None;
        loop {
            ticks.tick().await;
            let rtt = self.connection.rtt();
            self.handle.set_rtt(&self.peer, rtt);
            if !is_news(told, rtt) {
                continue;
            }
            told = Some(rtt);
            if !self.handle.round_trip(self.peer.clone(), self.id, rtt).await {
                return LinkEnd::DriverGone;
            }
        }
    }
}

/// Whether a round-trip time says more than the one that was told last.
fn is_news(told: Option<Duration>, rtt: Duration) -> bool {
    told.is_none_or(|told| told.abs_diff(rtt) > RTT_NEWS.max(told / RTT_NEWS_PART))
}

/// Notices when a peer falls silent. Any bytes of messages count, so that a long message on a slow
/// path is no silence; time in which the driver keeps a reader waiting does not.
#[derive(Debug)]
struct Ear {
    start: Instant,
    /// When something was heard last, in milliseconds after the start.
    last: AtomicU64,
    /// Readers that wait for the driver and so cannot hear.
    covered: AtomicU32,
    /// The first message was taken.
    greeted: Notify,
}

impl Ear {
    fn new() -> Ear {
        Ear {
            start: Instant::now(),
            last: AtomicU64::new(0),
            covered: AtomicU32::new(0),
            greeted: Notify::new(),
        }
    }

    fn heard(&self) {
        self.last.store(self.start.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    fn cover(&self) {
        self.covered.fetch_add(1, Ordering::Relaxed);
    }

    fn uncover(&self) {
        self.heard();
        self.covered.fetch_sub(1, Ordering::Relaxed);
    }

    /// For how long nothing could be heard but silence.
    fn quiet(&self) -> Duration {
        if self.covered.load(Ordering::Relaxed) > 0 {
            return Duration::ZERO;
        }
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.start.elapsed().saturating_sub(last)
    }

    /// Ends when the peer was silent for [`SILENCE`].
    async fn silence(&self) {
        loop {
            let left = SILENCE.saturating_sub(self.quiet());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_is_news_when_it_is_the_first_or_clearly_another() {
        let micros = Duration::from_micros;
        assert!(is_news(None, micros(1)));
        for (told, rtt, news) in [
            // Close by a tenth is nothing,
            (300, 900, false),
            (300, 1_301, true),
            (5_000, 3_999, true),
            (5_000, 4_000, false),
            // and far away a millisecond.
            (80_000, 87_999, false),
            (80_000, 88_001, true),
            (80_000, 71_999, true),
        ] {
            assert_eq!(is_news(Some(micros(told)), micros(rtt)), news, "{told} then {rtt}");
        }
    }
}
