//! Dials one peer for as long as there is no link to it.
//!
//! One attempt at a time: a pause (none before the first), resolve, shake hands, prove who
//! answered, hand the connection to the keeper, and wait until it has settled. An attempt ends at
//! once when a link comes up in another way, and begins anew when the peer's address changes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{ClientConfig, Connection, Endpoint, TransportConfig};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::close::{CloseCode, close, describe};
use super::complaints::Complaints;
use super::counters::NodeCounters;
use super::keeper::Candidate;
use super::tls::{self, SERVER_NAME, Tls};
use super::{BACKOFF_MAX, BACKOFF_MIN, DIAL_TIMEOUT, SILENCE};
use crate::types::NodeName;

/// A link that lived this long was a good one: the next dial starts over with short pauses.
const GOOD_LINK: Duration = SILENCE;

/// What all dialers of a node share.
#[derive(Clone, Debug)]
pub(super) struct Dialling {
    endpoint: Endpoint,
    /// Newest: a certificate may be replaced while the node runs.
    config: watch::Receiver<ClientConfig>,
}

impl Dialling {
    pub(super) fn new(endpoint: Endpoint, config: watch::Receiver<ClientConfig>) -> Dialling {
        Dialling { endpoint, config }
    }
}

/// With what papers peers are dialled.
pub(super) fn client_config(tls: &Tls, transport: Arc<TransportConfig>) -> ClientConfig {
    let mut config = ClientConfig::new(tls.client.clone());
    config.transport_config(transport);
    config
}

#[derive(Debug)]
pub(super) struct Dialer {
    dialling: Dialling,
    peer: NodeName,
    /// Newest: it may be changed while the node runs.
    address: watch::Receiver<String>,
    door: mpsc::Sender<Candidate>,
    /// Turned by the keeper: true while there is no link.
    wanted: watch::Receiver<bool>,
    counters: Arc<NodeCounters>,
    backoff: Backoff,
    /// Attempts so far: of several addresses each gets its turn.
    attempts: usize,
    complaints: Complaints,
}

impl Dialer {
    pub(super) fn new(
        dialling: Dialling,
        peer: NodeName,
        address: watch::Receiver<String>,
        door: mpsc::Sender<Candidate>,
        wanted: watch::Receiver<bool>,
        counters: Arc<NodeCounters>,
    ) -> Dialer {
        let (backoff, complaints) = (Backoff::default(), Complaints::default());
        Dialer { dialling, peer, address, door, wanted, counters, backoff, attempts: 0, complaints }
    }

    /// Runs until the keeper is gone.
    pub(super) async fn run(mut self) {
        let (mut wanted, mut address) = (self.wanted.clone(), self.address.clone());
        loop {
            address.mark_unchanged();
            let rest = Instant::now();
            if wanted.wait_for(|wanted| *wanted).await.is_err() {
                return;
            }
            if rest.elapsed() >= GOOD_LINK {
                self.backoff.start_over();
                self.complaints.over();
            }
            tokio::select! {
                biased;
                unwanted = wanted.wait_for(|wanted| !*wanted) => if unwanted.is_err() { return },
                () = changed(&mut address) => self.backoff = Backoff::default(),
                () = self.attempt() => {}
            }
        }
    }

    async fn attempt(&mut self) {
        sleep(self.backoff.pause()).await;
        self.attempts = self.attempts.wrapping_add(1);
        self.counters.dials.add(1);
        let problem = match timeout(DIAL_TIMEOUT, self.connect()).await {
            Ok(Ok(connection)) => return self.hand_over(connection).await,
            Ok(Err(problem)) => problem,
            Err(_) => "no answer".to_owned(),
        };
        self.counters.dial_failures.add(1);
        let (node, address) = (&self.peer, self.address.borrow().clone());
        if self.complaints.is_news(&problem) {
            tracing::warn!(%node, %address, %problem, "cannot reach a peer; dialling on");
        } else {
            tracing::debug!(%node, %address, %problem, "cannot reach a peer");
        }
    }

    async fn connect(&self) -> Result<Connection, String> {
        let address = self.resolve().await?;
        let connecting = self
            .dialling
            .endpoint
            .connect_with(self.dialling.config.borrow().clone(), address, SERVER_NAME)
            .map_err(|e| e.to_string())?;
        let connection = connecting.await.map_err(|e| describe(&e))?;
        let problem = match tls::peer_name(&connection) {
            Ok(found) if found == self.peer => return Ok(connection),
            Ok(found) => format!("node {found} answers there; is the address right?"),
            Err(error) => error.to_string(),
        };
        close(&connection, CloseCode::Refused);
        Err(problem)
    }

    async fn resolve(&self) -> Result<SocketAddr, String> {
        let own = self.dialling.endpoint.local_addr().map_err(|e| e.to_string())?;
        let address = self.address.borrow().clone();
        let found = tokio::net::lookup_host(address).await.map_err(|e| e.to_string())?;
        let usable: Vec<SocketAddr> = found.filter(|address| own.is_ipv6() || address.is_ipv4()).collect();
        let turn = self.attempts % usable.len().max(1);
        usable.get(turn).copied().ok_or_else(|| format!("no address that can be reached from {own}"))
    }

    /// Gives the connection to the keeper and waits until it is the link, or closed.
    async fn hand_over(&self, connection: Connection) {
        let (attempt, settled) = oneshot::channel();
        if self.door.send(Candidate { connection, attempt: Some(attempt) }).await.is_ok() {
            let _ = settled.await;
        }
    }
}

/// Another address was given; never, once nobody can.
pub(super) async fn changed(address: &mut watch::Receiver<String>) {
    if address.changed().await.is_err() {
        std::future::pending().await
    }
}

/// The pauses between attempts.
#[derive(Debug, Default)]
struct Backoff {
    /// None before the first attempt of all.
    last: Option<Duration>,
}

impl Backoff {
    /// How long to wait now: half of it for certain, half at random, so that nodes that lost
    /// each other at once do not dial in step.
    fn pause(&mut self) -> Duration {
        let Some(last) = self.last else {
            self.last = Some(BACKOFF_MIN / 2);
            return Duration::ZERO;
        };
        let longest = (last * 2).min(BACKOFF_MAX);
        self.last = Some(longest);
        // Without random numbers it is always the longest.
        let share = getrandom::u32().map_or(1.0, |n| f64::from(n) / f64::from(u32::MAX));
        longest / 2 + (longest / 2).mul_f64(share)
    }

    fn start_over(&mut self) {
        if self.last.is_some() {
            self.last = Some(BACKOFF_MIN / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_longest_and_start_over() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.pause(), Duration::ZERO);
        let mut longest = BACKOFF_MIN;
        for _ in 0..10 {
            let pause = backoff.pause();
            assert!(longest / 2 <= pause && pause <= longest, "{pause:?} of {longest:?}");
            longest = (longest * 2).min(BACKOFF_MAX);
        }
        backoff.start_over();
        assert!(backoff.pause() <= BACKOFF_MIN);
    }
}
