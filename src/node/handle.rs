//! What HTTP and peers hold of a node.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::clock::LedgerClock;
use super::link::{LinkId, Outbox, RttTable};
use super::metrics::NodeMetrics;
use super::readiness::Readiness;
use super::recalls::{HistoryPage, HistoryQuery, HistoryReply};
use super::shelf::{Availability, Shelf};
use crate::limits::Limits;
use crate::types::{ClusterId, NodeName, Region, ReplicaId, Reply, Request, Sku, Timestamp};
use crate::wire::Message;

/// Who this node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cluster: ClusterId,
    pub node: NodeName,
    pub region: Region,
    pub replica: ReplicaId,
}

/// A call that got no answer from the replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The queue is full; nothing was done. Answer 503 `overloaded` with `Retry-After`.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The node is stopping or its store failed: done or not done. Close the connection
    /// without an answer; a definite error here would be a lie.
    #[error("the node is going away; the outcome is unknown")]
    Gone,
}

/// The bounds that can change while a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    pub limits: Limits,
    /// See [`DriverOptions`](super::DriverOptions).
    pub checkpoint_every_bytes: u64,
    /// Bytes that must stay free on the disk.
    pub headroom_bytes: u64,
}

/// What reaches the driver.
#[derive(Debug)]
pub enum Arrival {
    Request { request: Request, reply: oneshot::Sender<Reply> },
    LinkUp { node: NodeName, link: LinkId, outbox: Outbox },
    LinkDown { node: NodeName, link: LinkId },
    RoundTrip { node: NodeName, link: LinkId, time: Duration },
    Message { node: NodeName, link: LinkId, message: Message },
    History { query: HistoryQuery, reply: HistoryReply },
}

/// A cheap, cloneable handle on a running node.
#[derive(Clone, Debug)]
pub struct Handle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    identity: Identity,
    /// Requests; bounded, and refused early when full.
    requests: mpsc::Sender<Arrival>,
    /// Peers; bounded, and waited for: a slow node slows its peers down.
    peers: mpsc::Sender<Arrival>,
    tuning: watch::Sender<Option<Tuning>>,
    shelf: Arc<Shelf>,
    readiness: Arc<Readiness>,
    rtts: Arc<RttTable>,
    clock: Arc<LedgerClock>,
    metrics: NodeMetrics,
}

/// The driver's side of a [`Handle`].
#[derive(Debug)]
pub struct Arrivals {
    pub requests: mpsc::Receiver<Arrival>,
    pub peers: mpsc::Receiver<Arrival>,
    /// The newest bounds that were given to the running node.
    pub tuning: watch::Receiver<Option<Tuning>>,
    pub shelf: Arc<Shelf>,
    pub readiness: Arc<Readiness>,
    pub rtts: Arc<RttTable>,
    pub clock: Arc<LedgerClock>,
    pub metrics: NodeMetrics,
}

impl Handle {
    /// A handle and its driver's side. `queue` bounds the requests that wait; peers get as many.
    pub fn new(identity: Identity, queue: usize) -> (Handle, Arrivals) {
        let (requests, request_arrivals) = mpsc::channel(queue);
        let (peers, peer_arrivals) = mpsc::channel(queue);
        let (tuning, newest_tuning) = watch::channel(None);
        let shelf = Arc::new(Shelf::default());
        let readiness = Arc::new(Readiness::default());
        let rtts = Arc::new(RttTable::default());
        let clock = Arc::new(LedgerClock::default());
        let metrics = NodeMetrics::default();
        let arrivals = Arrivals {
            requests: request_arrivals,
            peers: peer_arrivals,
            tuning: newest_tuning,
            shelf: shelf.clone(),
            readiness: readiness.clone(),
            rtts: rtts.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
        };
        let inner = Inner { identity, requests, peers, tuning, shelf, readiness, rtts, clock, metrics };
        (Handle { inner: Arc::new(inner) }, arrivals)
    }

    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    pub fn readiness(&self) -> &Readiness {
        &self.inner.readiness
    }

    pub fn metrics(&self) -> &NodeMetrics {
        &self.inner.metrics
    }

    /// Lets the replica decide, and answers once everything the answer rests on is durable.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(&self, request: Request) -> Result<Reply, CallError> {
        let (reply, answer) = oneshot::channel();
        self.submit(Arrival::Request { request, reply })?;
        answer.await.map_err(|_| CallError::Gone)
    }

    /// A page of an item's history.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn history(&self, query: HistoryQuery) -> Result<HistoryPage, CallError> {
        let (reply, answer) = oneshot::channel();
        self.submit(Arrival::History { query, reply })?;
        answer.await.map_err(|_| CallError::Gone)?
    }

    fn submit(&self, arrival: Arrival) -> Result<(), CallError> {
        self.inner.requests.try_send(arrival).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => CallError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => CallError::Gone,
        })
    }

    /// Like [`call`](Self::call), but waits for a place in the queue: for work that goes on for
    /// long and may be slowed down.
    ///
    /// # Errors
    /// [`CallError::Gone`].
    pub async fn call_patiently(&self, request: Request) -> Result<Reply, CallError> {
        let (reply, answer) = oneshot::channel();
        let arrival = Arrival::Request { request, reply };
        self.inner.requests.send(arrival).await.map_err(|_| CallError::Gone)?;
        answer.await.map_err(|_| CallError::Gone)
    }

    /// What a product page needs, from memory: durable state only, in the order asked for.
    pub fn availability(&self, skus: &[Sku]) -> Vec<Availability> {
        self.inner.shelf.read(self.inner.clock.now(), skus)
    }

    /// For those who follow items beyond one read.
    pub fn shelf(&self) -> &Shelf {
        &self.inner.shelf
    }

    /// Ledger time.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Round-trip time to a node, as its link last measured it.
    pub fn rtt(&self, node: &NodeName) -> Option<Duration> {
        self.inner.rtts.rtt(node)
    }

    pub fn set_rtt(&self, node: &NodeName, rtt: Duration) {
        self.inner.rtts.set(node, rtt);
    }

    /// Other bounds hold soon.
    pub fn tune(&self, tuning: Tuning) {
        self.inner.tuning.send_replace(Some(tuning));
    }

    /// A link to `node` is up: both sides proved who they are. An older link to the same node
    /// is thereby replaced. False: the driver is gone.
    pub async fn link_up(&self, node: NodeName, link: LinkId, outbox: Outbox) -> bool {
        self.inner.peers.send(Arrival::LinkUp { node, link, outbox }).await.is_ok()
    }

    pub async fn link_down(&self, node: NodeName, link: LinkId) -> bool {
        self.inner.peers.send(Arrival::LinkDown { node, link }).await.is_ok()
    }

    /// How long a message and its answer take over a link that is up. False: the driver is gone.
    pub async fn round_trip(&self, node: NodeName, link: LinkId, time: Duration) -> bool {
        self.inner.peers.send(Arrival::RoundTrip { node, link, time }).await.is_ok()
    }

    /// A message that came over a link that is up. Waits when the driver is behind.
    pub async fn message(&self, node: NodeName, link: LinkId, message: Message) -> bool {
        self.inner.peers.send(Arrival::Message { node, link, message }).await.is_ok()
    }
}
