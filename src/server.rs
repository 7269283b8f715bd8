//! One node, assembled: store, replica, peers and both HTTP listeners.
//!
//! Starting goes from the inside out: the store is opened and replayed, the driver runs, the
//! links come up, and HTTP listens. Stopping goes the other way, so that what was taken in is
//! still decided, made durable and answered.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::config::{self, Config, OnUnprovenStart};
use crate::http::{self, HttpCounters, HttpLimits, LiveLimits, Service};
use crate::limits::Limits;
use crate::node::witness::{self, Durable, Witness};
use crate::node::{
    self, DriverOptions, Handle, NodeError, NotReadyReason, Opening, Readiness, Recovered, Recovery, Tuning,
};
use crate::open_files::{self, Connections};
use crate::peer::{PeerAddress, PeerOptions, Peers, TlsFiles};
use crate::reload::{Reloader, Reloads, SetLogLevel};
use crate::replica::Evidence;
use crate::store::{
    BatchNumber, History, HistoryOptions, RedbStore, Store, StoreError, StoreOptions, journal_path,
};
use crate::types::Millis;
use crate::wire::Batch;

/// Connections that the system keeps until they are accepted; the system may keep fewer. What
/// comes in a burst beyond that is dropped, and tries again a second later.
const BACKLOG: u32 = 4_096;
/// So long a start that nothing proves waits for its peers if it is told to resume.
const RESUME_AFTER: Millis = Millis(3_000);
/// How often free disk space is looked at.
const DISK_CHECK: Duration = Duration::from_secs(1);

/// Where a node listens, told once all of it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    pub storefront: SocketAddr,
    pub admin: SocketAddr,
    pub peers: SocketAddr,
}

/// Runs a node until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start, or when its store fails.
pub async fn run(
    config: Config,
    set_log_level: SetLogLevel,
    started: impl FnOnce(Started),
) -> anyhow::Result<()> {
    let mut told_to_stop = Box::pin(stop_signal()?);
    // From now on, so that one that comes early ends nothing.
    let hangup = signal(SignalKind::hangup())?;
    let Loaded { store, history, recovered, opening } = recover(&config).await?;
    if let Evidence::Unproven(why) = &opening.evidence {
        let then = config.node.on_unproven_start.explained();
        let witness = opening.witness.as_ref().map(|witness| witness.path().display());
        let witness = witness.map_or_else(|| "none".to_owned(), |path| path.to_string());
        warn!(witness, "nothing proves that this disk is the newest: {why}. {then}");
    }
    let identity = recovered.identity();
    check_identity(&config, &recovered)?;
    if let Some(complaint) = readable_by_others(&config.peers.key) {
        warn!("{complaint}");
    }
    let storefront = listen(config.http.storefront, "http.storefront").await?;
    let admin = listen(config.http.admin, "http.admin").await?;
    if let Some(complaint) = exposed(admin.local_addr()?) {
        warn!("{complaint}");
    }

    let (handle, arrivals) = Handle::new(identity, config.limits.request_queue);
    handle.readiness().set(NotReadyReason::WaitingForPeers, true);
    let (stop_driver, driver_stops) = watch::channel(false);
    let (stop_peers, peers_stop) = watch::channel(false);
    let (stop_rest, rest_stops) = watch::channel(false);

    let peers = Peers::start(peer_options(&config), handle.clone(), peers_stop).await?;
    let addresses = Started {
        storefront: storefront.local_addr()?,
        admin: admin.local_addr()?,
        peers: peers.local_addr(),
    };
    let options = DriverOptions { checkpoint_every_bytes: config.limits.checkpoint_every_bytes };
    let counters = HttpCounters::default();
    let registry = Arc::new(registry(&handle, &peers, &counters));
    let mut driver: JoinHandle<Result<(), NodeError>> =
        tokio::spawn(node::run(recovered, opening, store, history, options, arrivals, driver_stops));
    let (disk_headroom, headroom) = watch::channel(config.limits.disk_headroom_bytes);
    let watching =
        tokio::spawn(watch_disk(config.node.data_dir.clone(), headroom, handle.clone(), rest_stops.clone()));
    let room = open_files::make_room(config.limits.http_connections);
    if let Some(complaint) = room.complaint(config.limits.http_connections) {
        warn!("{complaint}");
    }
    let (http_limits, limits) = watch::channel(http_limits(&config.limits, room));
    let limits = LiveLimits::new(limits);
    let (reloads, reload_requests) = Reloads::new();
    let service = Service { handle: handle.clone(), limits, registry, counters, reloads };
    let reloader = Reloader {
        config,
        handle: handle.clone(),
        peers: peers.control(),
        http: http_limits,
        disk_headroom,
        set_log_level,
    };
    let reloading = tokio::spawn(reloader.run(reload_requests, hangup, rest_stops.clone()));
    let serving = tokio::spawn(http::serve(service, storefront, admin, rest_stops));
    started(addresses);

    tokio::select! {
        () = &mut told_to_stop => info!("told to stop"),
        // It only ends by itself when the store failed. What was not answered stays
        // unanswered: everything ends here, at once.
        ended = &mut driver => {
            ended??;
            bail!("the driver ended without being told to");
        }
    }
    handle.readiness().set(NotReadyReason::Stopping, true);
    stop_rest.send_replace(true);
    serving.await??;
    reloading.await?;
    // Buyers who still waited could be helped until here.
    stop_peers.send_replace(true);
    stop_driver.send_replace(true);
    driver.await??;
    peers.stopped().await;
    watching.await?;
    Ok(())
}

/// What the disk holds.
struct Loaded {
    store: Box<dyn Store>,
    history: History,
    recovered: Recovered,
    opening: Opening,
}

/// Why a start is unproven where a witness can be kept nowhere.
const NO_WITNESS: &str =
    "this machine has no tmpfs that this user may write, so there is no witness; set node.witness_dir";

/// Opens the store and replays it, off the runtime's threads.
async fn recover(config: &Config) -> anyhow::Result<Loaded> {
    let dir = config.node.data_dir.clone();
    let witness_dir = config.node.witness_dir.clone();
    let options =
        StoreOptions { headroom_bytes: config.limits.disk_headroom_bytes, ..StoreOptions::default() };
    let (limits, keep) = (tuning(config).limits, history_options(&config.limits));
    let loading = tokio::task::spawn_blocking(move || -> anyhow::Result<Loaded> {
        let mut store = RedbStore::open(&dir, options)?;
        let witness_dir = witness_dir.map_or_else(witness::default_dir, |dir| Ok(Some(dir)))?;
        // Before the long replay: a second copy of a running node is refused at once.
        let witness = witness_dir.map(|place| Witness::open(&place, store.head(), &journal_path(&dir)));
        let mut witness = witness.transpose()?;
        let mut recovery = Recovery::new(limits);
        let mut history = History::open(&dir, store.head().replica, store.size().last, keep);
        store.load(&mut |loaded| {
            let batch = recovery.take(loaded)?;
            if let Some((number, batch)) = batch {
                catch_up(&mut history, number, &batch);
            }
            Ok(())
        })?;
        let recovered =
            recovery.finish(store.head()).map_err(|what| StoreError::Damaged { path: dir, what })?;
        let (batch, replica) = (store.size().last, &recovered.replica);
        let sequence = replica.watermark(replica.replica_id());
        let found = Durable { batch, sequence, session: replica.session() };
        let evidence = match &mut witness {
            Some(witness) => witness.confront(found)?,
            None => Evidence::Unproven(NO_WITNESS.to_owned()),
        };
        let opening = Opening { evidence, witness };
        Ok(Loaded { store: Box::new(store), history, recovered, opening })
    });
    let start = std::time::Instant::now();
    let loaded = loading.await.context("replaying the journal")??;
    info!(millis = start.elapsed().as_millis() as u64, time = loaded.recovered.time.0, "journal replayed");
    Ok(loaded)
}

/// Has the history take in what it lacks of the journal.
fn catch_up(history: &mut History, number: BatchNumber, batch: &Batch) {
    history.add(number, batch);
    if history.is_full()
        && let Err(error) = history.flush()
    {
        warn!(%error, "items' histories cannot be kept; selling goes on");
    }
}

/// The configuration and the data directory must speak of the same node.
fn check_identity(config: &Config, recovered: &Recovered) -> anyhow::Result<()> {
    let genesis = recovered.replica.genesis();
    ensure!(
        genesis.name == config.node.name,
        "{}: node.name is {}, but {} holds the data of node {}; point node.data_dir at {}'s own directory",
        config.file.display(),
        config.node.name,
        config.node.data_dir.display(),
        genesis.name,
        config.node.name,
    );
    ensure!(
        genesis.region == config.node.region,
        "{}: node.region is {}, but this node was prepared for region {}; set it back",
        config.file.display(),
        config.node.region,
        genesis.region,
    );
    for peer in &config.peers.nodes {
        let known = genesis.founders.iter().any(|member| member.name == peer.name);
        if !known {
            warn!(peer = %peer.name, "listed in the configuration, but no founding member of this cluster");
        }
    }
    for member in &genesis.founders {
        let listed =
            member.name == genesis.name || config.peers.nodes.iter().any(|peer| peer.name == member.name);
        ensure!(
            listed,
            "{}: member {} of this cluster has no [[peers.node]]; add one with its address",
            config.file.display(),
            member.name,
        );
    }
    Ok(())
}

/// Keys are never changed by the node: who may read them is the operator's to say.
pub(crate) fn readable_by_others(key: &Path) -> Option<String> {
    let mode = std::fs::metadata(key).ok()?.permissions().mode();
    (mode & 0o077 != 0).then(|| {
        let path = key.display();
        format!(
            "{path} is this node's key, and others may read it (mode {:04o}): whoever has it can pose as \
             this node. Run: chmod 600 {path}",
            mode & 0o7777
        )
    })
}

/// The admin listener asks nobody who they are.
fn exposed(admin: SocketAddr) -> Option<String> {
    let reachable = !admin.ip().to_canonical().is_loopback();
    reachable.then(|| {
        format!(
            "http.admin listens on {admin}, which other machines may reach, and it asks nobody who they \
             are: whoever reaches it can write off stock and drain nodes. Bind it to 127.0.0.1, or let only \
             trusted machines reach it (firewall, private network, a proxy that authenticates)"
        )
    })
}

async fn listen(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    let listening = async {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A restart need not wait until the last life's connections are forgotten.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listening
        .await
        .with_context(|| format!("{key}: cannot listen on {address}; is another node running there?"))
}

fn peer_options(config: &Config) -> PeerOptions {
    let peer = |peer: &config::PeerConfig| PeerAddress {
        name: peer.name.clone(),
        region: peer.region.clone(),
        address: peer.address.clone(),
    };
    PeerOptions {
        me: config.node.name.clone(),
        listen: config.peers.listen,
        tls: tls_files(config),
        peers: config.peers.nodes.iter().map(peer).collect(),
        segmentation_offload: config.peers.segmentation_offload,
    }
}

pub(crate) fn tls_files(config: &Config) -> TlsFiles {
    TlsFiles { ca: config.peers.ca.clone(), cert: config.peers.cert.clone(), key: config.peers.key.clone() }
}

/// What the driver and the replica take of the limits.
pub(crate) fn tuning(config: &Config) -> Tuning {
    let limits = &config.limits;
    let start_wait = match config.node.on_unproven_start {
        OnUnprovenStart::Wait => None,
        OnUnprovenStart::Resume => Some(RESUME_AFTER),
    };
    Tuning {
        limits: Limits {
            remember_for: millis(limits.remember),
            remember_max_bytes: limits.remember_max_bytes,
            min_horizon: millis(limits.min_horizon),
            start_wait,
            autonomy: config.cluster.autonomy,
        },
        checkpoint_every_bytes: limits.checkpoint_every_bytes,
        headroom_bytes: limits.disk_headroom_bytes,
    }
}

fn millis(span: Duration) -> Millis {
    Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

fn history_options(limits: &config::Limits) -> HistoryOptions {
    HistoryOptions { keep_for: millis(limits.history), entries_per_item: limits.history_entries }
}

pub(crate) fn http_limits(limits: &config::Limits, room: Connections) -> HttpLimits {
    HttpLimits {
        connections: room.storefront,
        admin_connections: room.admin,
        connections_per_address: limits.http_connections_per_address,
        header_timeout: limits.header_timeout,
        body_timeout: limits.body_timeout,
        idle_timeout: limits.idle_timeout,
        ..HttpLimits::default()
    }
}

fn registry(handle: &Handle, peers: &Peers, counters: &HttpCounters) -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(handle.metrics().clone()));
    registry.register_collector(Box::new(peers.metrics()));
    registry.register_collector(Box::new(counters.clone()));
    registry
}

/// Refuses new work while little more than the store's headroom is free, so that the journal
/// never meets a full disk in the middle of a decision.
async fn watch_disk(
    dir: PathBuf,
    headroom: watch::Receiver<u64>,
    handle: Handle,
    mut stop: watch::Receiver<bool>,
) {
    let mut ticks = tokio::time::interval(DISK_CHECK);
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            _ = ticks.tick() => look_at_disk(&dir, *headroom.borrow(), handle.readiness()),
        }
    }
}

fn look_at_disk(dir: &Path, headroom: u64, readiness: &Readiness) {
    let Ok(disk) = rustix::fs::statvfs(dir) else { return };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let short = free < headroom.saturating_mul(2);
    if short && !readiness.reasons().contains(&NotReadyReason::DiskFull) {
        warn!(free, headroom, "the disk is nearly full: new requests are refused until there is room");
    }
    readiness.set(NotReadyReason::DiskFull, short);
}

/// Ends at the first SIGTERM or SIGINT.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_listener_that_others_reach_is_told() {
        for safe in ["127.0.0.1:7301", "127.8.0.1:7301", "[::1]:7301", "[::ffff:127.0.0.1]:7301"] {
            assert_eq!(exposed(safe.parse().unwrap()), None, "{safe}");
        }
        for open in ["0.0.0.0:7301", "10.0.0.1:7301", "[::]:7301"] {
            let text = exposed(open.parse().unwrap()).unwrap();
            assert!(text.contains(open) && text.contains("127.0.0.1"), "{text}");
        }
    }

    #[test]
    fn a_key_that_others_may_read_is_told_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("node.key");
        std::fs::write(&key, "x").unwrap();
        for (mode, told) in [(0o600, false), (0o400, false), (0o640, true), (0o644, true)] {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
            let text = readable_by_others(&key);
            assert_eq!(text.is_some(), told, "{mode:o}");
            assert!(text.is_none_or(|text| text.contains(&format!("chmod 600 {}", key.display()))));
        }
        assert_eq!(readable_by_others(&dir.path().join("none")), None);
    }
}
