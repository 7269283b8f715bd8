//! The one UDP socket of a node's links: how QUIC is set up, and who is let in.
//!
//! Each accepted handshake runs on its own, for at most [`HANDSHAKE_TIMEOUT`], at most
//! [`MAX_HANDSHAKES`] at once; from [`RETRY_FROM`] on a caller must first prove its address.
//! A proven node that the peer table lists is handed to its keeper.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, ConnectionError, Endpoint, Incoming, TransportConfig, TransportErrorCode, VarInt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::close::{CloseCode, close, describe};
use super::counters::PeerCounters;
use super::error::PeerError;
use super::keeper::Candidate;
use super::tls::{self, Tls};
use super::{HANDSHAKE_TIMEOUT, IDLE, KEEP_ALIVE, PeerOptions, STOP_TIMEOUT, Stop};
use crate::types::NodeName;

/// Handshakes under way at once, at most. Each costs one signature and some 20 KiB.
pub(super) const MAX_HANDSHAKES: usize = 64;
/// With this many under way, callers must prove their address first.
pub(super) const RETRY_FROM: usize = 16;
/// Callers that wait to be looked at. They are looked at at once.
const MAX_INCOMING: usize = 256;
/// One stream for urgent messages and one for the rest, each way.
const STREAMS: u32 = 2;
/// What may be under way on one stream: bounds throughput to this much per round trip.
const STREAM_WINDOW: u32 = 1 << 20;
/// What may be under way on one connection.
const CONNECTION_WINDOW: u32 = STREAMS * STREAM_WINDOW;
/// QUIC's guess before the first round trip. A third of the usual one, so that a lost first
/// packet is sent again several times before a dial is given up.
const FIRST_RTT: Duration = Duration::from_millis(100);
/// Failed handshakes are logged at most this often: anybody can cause them.
const LOG_EVERY: Duration = Duration::from_secs(1);

const _: () = assert!(RETRY_FROM < MAX_HANDSHAKES);

/// How QUIC is set up at both ends of a link.
pub(super) fn transport(options: &PeerOptions) -> Arc<TransportConfig> {
    let idle = VarInt::from_u32(IDLE.as_millis() as u32);
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(idle.into()))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_uni_streams(STREAMS.into())
        .max_concurrent_bidi_streams(0u32.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(CONNECTION_WINDOW.into())
        .datagram_receive_buffer_size(None)
        .initial_rtt(FIRST_RTT)
        .enable_segmentation_offload(options.segmentation_offload);
    Arc::new(transport)
}

/// What callers meet.
pub(super) fn server_config(tls: &Tls, transport: Arc<TransportConfig>) -> quinn::ServerConfig {
    let mut server = quinn::ServerConfig::with_crypto(tls.server.clone());
    server.transport_config(transport).max_incoming(MAX_INCOMING);
    server
}

/// Listens. Nobody is let in before a [`Gate`] runs.
pub(super) fn bind(options: &PeerOptions, tls: &Tls) -> Result<Endpoint, PeerError> {
    Endpoint::server(server_config(tls, transport(options)), options.listen)
        .map_err(|source| PeerError::Bind { address: options.listen, source })
}

/// Lets peers in.
#[derive(Debug)]
pub(super) struct Gate {
    endpoint: Endpoint,
    handshakes: Arc<Semaphore>,
    reception: Arc<Reception>,
}

impl Gate {
    pub(super) fn new(
        me: NodeName,
        endpoint: Endpoint,
        doors: BTreeMap<NodeName, mpsc::Sender<Candidate>>,
        counters: Arc<PeerCounters>,
    ) -> Gate {
        let reception = Reception { me, doors, counters, last_logged: std::sync::Mutex::new(None) };
        Gate {
            endpoint,
            handshakes: Arc::new(Semaphore::new(MAX_HANDSHAKES)),
            reception: Arc::new(reception),
        }
    }

    /// Runs until a stop is requested; then waits for the peers' tasks and closes the socket.
    pub(super) async fn run(self, mut stop: Stop, mut tasks: JoinSet<()>) {
        let mut receptions = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = stop.requested() => break,
                Some(_) = receptions.join_next() => {}
                incoming = self.endpoint.accept() => match incoming {
                    Some(incoming) => self.admit(incoming, &mut receptions),
                    None => break,
                },
            }
        }
        receptions.abort_all();
        let all_stopped = async { while tasks.join_next().await.is_some() {} };
        if timeout(STOP_TIMEOUT, all_stopped).await.is_err() {
            tracing::warn!("some links did not stop in time and are cut");
            tasks.abort_all();
        }
        self.endpoint
            .close(VarInt::from_u32(CloseCode::Shutdown as u32), CloseCode::Shutdown.to_string().as_bytes());
        let _ = timeout(STOP_TIMEOUT, self.endpoint.wait_idle()).await;
    }

    fn admit(&self, incoming: Incoming, receptions: &mut JoinSet<()>) {
        let Ok(permit) = self.handshakes.clone().try_acquire_owned() else {
            self.reception.counters.turned_away.add(1);
            incoming.refuse();
            return;
        };
        let under_way = MAX_HANDSHAKES - self.handshakes.available_permits();
        if under_way > RETRY_FROM && !incoming.remote_address_validated() && incoming.may_retry() {
            // It may: that was just asked.
            let _ = incoming.retry();
            return;
        }
        receptions.spawn(self.reception.clone().receive(incoming, permit));
    }
}

/// What a reception needs to know.
#[derive(Debug)]
struct Reception {
    me: NodeName,
    doors: BTreeMap<NodeName, mpsc::Sender<Candidate>>,
    counters: Arc<PeerCounters>,
    last_logged: std::sync::Mutex<Option<Instant>>,
}

impl Reception {
    /// From a caller's first packet to its keeper's door.
    async fn receive(self: Arc<Self>, incoming: Incoming, _permit: OwnedSemaphorePermit) {
        let from = incoming.remote_address();
        let handshake = async { incoming.accept()?.await };
        let problem = match timeout(HANDSHAKE_TIMEOUT, handshake).await {
            Ok(Ok(connection)) => return self.show_in(connection),
            // A node that has its link by now lets go of the other dials: nothing to complain of.
            Ok(Err(error)) if hung_up(&error) => {
                tracing::debug!(%from, "the caller hung up during the handshake");
                return;
            }
            Ok(Err(error)) => describe(&error),
            Err(_) => "it took too long".to_owned(),
        };
        self.counters.handshake_failures.add(1);
        if self.may_log() {
            tracing::warn!(%from, %problem, "a handshake failed; is the caller of this cluster?");
        }
    }

    fn show_in(&self, connection: Connection) {
        let from = connection.remote_address();
        let door = tls::peer_name(&connection).map_err(|e| e.to_string()).and_then(|name| {
            if name == self.me {
                return Err(format!("it shows a certificate of this node, {name}; is one shared?"));
            }
            self.doors.get(&name).ok_or_else(|| format!("node {name} is not in the peer table"))
        });
        match door {
            Err(problem) => {
                self.counters.refused.add(1);
                tracing::warn!(%from, %problem, "refused a peer");
                close(&connection, CloseCode::Refused);
            }
            Ok(door) => {
                if let Err(full) = door.try_send(Candidate { connection, attempt: None }) {
                    close(&full.into_inner().connection, CloseCode::Crowded);
                }
            }
        }
    }

    fn may_log(&self) -> bool {
        let mut last = self.last_logged.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let due = last.is_none_or(|at| at.elapsed() >= LOG_EVERY);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

/// Whether the caller itself let go, before the handshake was over. QUIC hides the reason then
/// behind a code of its own.
fn hung_up(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::ApplicationClosed(_) => true,
        ConnectionError::ConnectionClosed(close) => close.error_code == TransportErrorCode::APPLICATION_ERROR,
        _ => false,
    }
}
