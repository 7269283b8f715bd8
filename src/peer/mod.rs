//! Links to the other nodes: QUIC with mutual TLS, and nothing else.
//!
//! A dumb pipe. It proves by certificate who is at the other end, carries
//! [`wire::Message`](crate::wire::Message)s both ways and tells the driver when a link comes
//! up and when it is gone. What is said over a link, hellos and digests included, is the
//! driver's business.
//!
//! What it promises:
//! - at most one link to a node is up at a time: [`Handle::link_up`] and
//!   [`Handle::link_down`] strictly alternate for each node, whatever dials cross;
//! - when a link is up, both directions have worked;
//! - messages of one kind (urgent or not) arrive in the order in which they were sent, or the
//!   link ends; what was in flight then is lost, and may be;
//! - every message comes from the node named in a certificate that the cluster's authority
//!   signed and the peer table lists;
//! - a link on which nothing was heard for [`SILENCE`] is closed and dialled anew, so a
//!   one-way cut soon ends it at both ends;
//! - queues, frames, handshakes and streams are bounded, and a slow driver slows its peers.
//!
//! How a link comes about:
//!
//! ```text
//!  dialer ──connection──┐                      ┌── urgent: greeting, verdict, frames ──
//!                       ├─► keeper ──► link ───┤
//!  endpoint ─accepted───┘  (one a peer)        └── bulk: frames ──────────────────────
//! ```
//!
//! `dialer` dials a peer whenever there is no link to it; `endpoint` accepts. Both prove the
//! identity ([`tls`]) and hand the connection to the peer's `keeper`, which greets it, has `choice`
//! decide which connection becomes the link, and runs the `link`. The reasons are in
//! `docs/internals/decisions/0003-peer-links.md`.

mod choice;
mod close;
mod complaints;
mod control;
mod dialer;
mod endpoint;
mod keeper;
mod link;
mod metrics;
#[cfg(test)]
mod tests;

pub mod certificates;
pub mod counters;
pub mod error;
pub mod frame;
pub mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::node::Handle;
use crate::types::{NodeName, Region};

pub use certificates::ClusterAuthority;
pub use control::{Papers, PeerControl, Renewed};
pub use counters::{Counter, NodeCounters, PeerCounters};
pub use error::PeerError;
pub use metrics::PeerMetrics;

/// A link on which no byte of a message came for this long is closed. The driver says
/// something at least every second, so this is several digests lost in a row. A smaller value
/// tears links down on slow disks and lossy paths; a larger one notices cuts later.
pub const SILENCE: Duration = Duration::from_secs(4);
/// QUIC's own probes, while nothing is said. Part of the protocol: the same on both sides.
pub const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// QUIC gives up a connection that heard nothing at all. Part of the protocol: the same on
/// both sides, since the smaller of the two holds.
pub const IDLE: Duration = Duration::from_secs(10);
/// A dial that has not shaken hands by then is given up and begun anew: QUIC would double
/// its pauses between retries, and find a healed path ever later.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// A greeted connection that is neither chosen nor refused by then is closed.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest that an accepted handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after the first failed dial; doubled up to [`BACKOFF_MAX`], half of it random.
pub const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Longest pause between two dials: with [`DIAL_TIMEOUT`] it bounds how late a heal is found.
pub const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// A stopping link may spend this long on getting queued messages across.
pub const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);
/// Stopping takes at most this long, and as long again for QUIC to say goodbye.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// Most nodes in a peer table.
pub const MAX_PEERS: usize = 256;

const _: () = assert!(SILENCE.as_millis() < IDLE.as_millis());
const _: () = assert!(KEEP_ALIVE.as_millis() * 2 <= SILENCE.as_millis());
const _: () = assert!(BACKOFF_MIN.as_millis() < BACKOFF_MAX.as_millis());
const _: () = assert!(BACKOFF_MAX.as_millis() <= 2_000);
const _: () = assert!(DRAIN_TIMEOUT.as_millis() < STOP_TIMEOUT.as_millis());

/// Another node, as the peer table lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    pub name: NodeName,
    pub region: Region,
    /// `host:port`, resolved at each dial. Only for dialling: where a dial came from is never
    /// checked, so a relay may stand between.
    pub address: String,
}

/// Where the certificates are; all PEM. See [`certificates`] for what they must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone, Debug)]
pub struct PeerOptions {
    pub me: NodeName,
    /// Port 0 takes any free one; see [`Peers::local_addr`].
    pub listen: SocketAddr,
    pub tls: TlsFiles,
    /// An entry for this node itself is skipped. At most [`MAX_PEERS`].
    pub peers: Vec<PeerAddress>,
    /// Off for network cards that fail on segmented sends.
    pub segmentation_offload: bool,
}

/// The running links of one node.
#[derive(Debug)]
pub struct Peers {
    local_addr: SocketAddr,
    control: PeerControl,
    counters: Arc<PeerCounters>,
    running: JoinHandle<()>,
}

impl Peers {
    /// Listens, and dials every peer until `shutdown` turns true or its sender is dropped.
    ///
    /// # Errors
    /// When the peer table, a certificate or the listening address is no good. Nothing runs then.
    pub async fn start(
        options: PeerOptions,
        handle: Handle,
        shutdown: watch::Receiver<bool>,
    ) -> Result<Peers, PeerError> {
        let table = check_table(&options)?;
        let tls = tls::load(&options.tls, &options.me)?;
        if let Some(problem) = &tls.distrust {
            let cert = options.tls.cert.display();
            tracing::warn!(%cert, %problem, "the other nodes will refuse this certificate; issue a new one");
        }
        let counters = Arc::new(PeerCounters::new(table.iter().map(|p| p.name.clone())));
        let endpoint = endpoint::bind(&options, &tls)?;
        let local_addr =
            endpoint.local_addr().map_err(|source| PeerError::Bind { address: options.listen, source })?;
        let transport = endpoint::transport(&options);
        let (control, dialling) = PeerControl::new(&options.me, endpoint.clone(), transport, &tls, &table);
        let process = getrandom::u64().map_err(|_| PeerError::Random)?;

        let mut tasks = JoinSet::new();
        let mut doors = BTreeMap::new();
        for peer in table {
            let (door, candidates) = mpsc::channel(keeper::MAX_CANDIDATES);
            let of_node = counters.node_counters(&peer.name);
            let (wanted, wanted_here) = watch::channel(true);
            let address = control.address(&peer.name);
            let dialer = dialer::Dialer::new(
                dialling.clone(),
                peer.name.clone(),
                address.clone(),
                door.clone(),
                wanted_here,
                of_node.clone(),
            );
            tasks.spawn(dialer.run());
            let keeper = keeper::Keeper::new(keeper::Settings {
                me: options.me.clone(),
                peer: peer.name.clone(),
                process,
                handle: handle.clone(),
                counters: of_node,
                stop: Stop(shutdown.clone()),
                wanted,
                address,
            });
            tasks.spawn(keeper.run(candidates));
            doors.insert(peer.name, door);
        }
        tracing::info!(node = %options.me, address = %local_addr, peers = doors.len(), "listening for peers");
        let gate = endpoint::Gate::new(options.me, endpoint, doors, counters.clone());
        let running = tokio::spawn(gate.run(Stop(shutdown), tasks));
        Ok(Peers { local_addr, control, counters, running })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// When this node's certificate expires, in seconds since 1970.
    pub fn certificate_expires(&self) -> i64 {
        self.control.certificate_expires().load(Ordering::Relaxed)
    }

    /// What can be changed while the links run.
    pub fn control(&self) -> PeerControl {
        self.control.clone()
    }

    /// The links' numbers, for `/metrics`.
    pub fn metrics(&self) -> PeerMetrics {
        PeerMetrics {
            counters: self.counters.clone(),
            certificate_expires: self.control.certificate_expires(),
        }
    }

    pub fn counters(&self) -> Arc<PeerCounters> {
        self.counters.clone()
    }

    /// Returns after a shutdown, once links were closed politely or [`STOP_TIMEOUT`] has passed.
    pub async fn stopped(self) {
        // A task that was cut short by its runtime has stopped, too.
        let _ = self.running.await;
    }
}

/// The table without this node.
fn check_table(options: &PeerOptions) -> Result<Vec<PeerAddress>, PeerError> {
    let mut names = BTreeSet::new();
    if let Some(twice) = options.peers.iter().find(|p| !names.insert(p.name.clone())) {
        return Err(PeerError::ListedTwice(twice.name.clone()));
    }
    if options.peers.len() > MAX_PEERS {
        return Err(PeerError::TooManyPeers(options.peers.len()));
    }
    Ok(options.peers.iter().filter(|p| p.name != options.me).cloned().collect())
}

/// The wish to stop, seen from a task.
#[derive(Clone, Debug)]
struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Ends when a stop is wished for; a dropped sender is such a wish.
    async fn requested(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
