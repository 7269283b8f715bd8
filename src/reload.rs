//! Takes up a changed configuration file while the node runs.
//!
//! [`Reloader::reload`] reads the file and everything it points to, checks all of it, and only
//! then changes anything; from there on nothing can fail. So a bad file changes nothing. What
//! a running node cannot take up is said to need a restart, each time until it has had one.
//!
//! SIGHUP and `POST /v1/config/reload` both end up in [`Reloader::run`], one after the other.

use std::io;

use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};

use crate::config::{Config, ConfigError};
use crate::http::HttpLimits;
use crate::node::Handle;
use crate::open_files;
use crate::peer::{Papers, PeerControl, PeerError, TlsFiles};
use crate::server;

/// Reloads that wait, at most; each takes milliseconds.
const MAX_WAITING: usize = 8;

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Keys whose new values hold now.
    pub applied: Vec<String>,
    /// Keys whose new values hold after a restart.
    pub restart_needed: Vec<String>,
}

type Answer = Result<Reloaded, ConfigError>;

/// Asks a running node to reload. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reloads(mpsc::Sender<oneshot::Sender<Answer>>);

/// The other end.
#[derive(Debug)]
pub struct ReloadRequests(mpsc::Receiver<oneshot::Sender<Answer>>);

/// Sets the level, or the directives, of the log.
pub type SetLogLevel = Box<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Nobody reloads any more: the node is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node is stopping")]
pub struct Stopping;

impl Reloads {
    pub fn new() -> (Reloads, ReloadRequests) {
        let (asks, requests) = mpsc::channel(MAX_WAITING);
        (Reloads(asks), ReloadRequests(requests))
    }

    /// # Errors
    /// Outer: nobody is there. Inner: the file is no good, and nothing was changed.
    pub async fn reload(&self) -> Result<Answer, Stopping> {
        let (reply, answer) = oneshot::channel();
        self.0.send(reply).await.map_err(|_| Stopping)?;
        answer.await.map_err(|_| Stopping)
    }
}

impl ReloadRequests {
    /// Somebody who wants a reload; `None` once nobody can any more.
    pub async fn next(&mut self) -> Option<oneshot::Sender<Answer>> {
        self.0.recv().await
    }
}

/// Everything that a reload can change.
pub struct Reloader {
    /// In force.
    pub config: Config,
    pub handle: Handle,
    pub peers: PeerControl,
    pub http: watch::Sender<HttpLimits>,
    pub disk_headroom: watch::Sender<u64>,
    pub set_log_level: SetLogLevel,
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Reloader {
    /// Reloads whenever it is asked to, until `stop` says true.
    pub async fn run(
        mut self,
        mut requests: ReloadRequests,
        mut hangup: Signal,
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let reply = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                Some(()) = hangup.recv() => None,
                Some(reply) = requests.next() => Some(reply),
                else => return,
            };
            let answer = self.reload().await;
            match &answer {
                Ok(Reloaded { applied, restart_needed }) => {
                    let (applied, restart_needed) = (applied.join(", "), restart_needed.join(", "));
                    info!(applied, restart_needed, "configuration reloaded");
                }
                Err(problems) => error!(%problems, "configuration not reloaded; nothing was changed"),
            }
            if let Some(reply) = reply {
                let _ = reply.send(answer); // who asked may be gone
            }
        }
    }

    /// Reads the file anew and takes up what can be.
    ///
    /// # Errors
    /// With everything that is wrong with it; nothing was changed then.
    pub async fn reload(&mut self) -> Result<Reloaded, ConfigError> {
        let (newer, papers) = self.read().await?;
        let reloaded = self.compare(&newer, &papers);
        let in_force = self.config.clone();
        self.config = in_force.with_live(&newer);
        self.apply(&in_force, &papers);
        Ok(reloaded)
    }

    /// The file and the papers that it names, both good.
    async fn read(&self) -> Result<(Config, Papers), ConfigError> {
        let (file, peers) = (self.config.file.clone(), self.peers.clone());
        let read = move || {
            let config = Config::load(&file)?;
            let files = server::tls_files(&config);
            let papers = peers
                .read(&files)
                .map_err(|error| ConfigError::at_key(&file, key_of(&error, &files), error.to_string()))?;
            Ok((config, papers))
        };
        let read = tokio::task::spawn_blocking(read).await;
        read.unwrap_or_else(|error| {
            Err(ConfigError::at_key(&self.config.file, "", io::Error::other(error).to_string()))
        })
    }

    fn compare(&self, newer: &Config, papers: &Papers) -> Reloaded {
        let mut reloaded = Reloaded::default();
        for change in self.config.changes(newer) {
            let keys = if change.live { &mut reloaded.applied } else { &mut reloaded.restart_needed };
            keys.push(change.key);
        }
        // A certificate is mostly replaced in its place.
        let renewed = self.peers.renewed(papers);
        for (key, renewed) in
            [("peers.ca", renewed.ca), ("peers.cert", renewed.cert), ("peers.key", renewed.key)]
        {
            if renewed && !reloaded.applied.iter().any(|applied| applied == key) {
                reloaded.applied.push(key.to_owned());
            }
        }
        reloaded
    }

    /// Puts in force what `self.config` says now.
    fn apply(&self, before: &Config, papers: &Papers) {
        let Config { peers, cluster, limits, log, .. } = &self.config;
        let renewed = self.peers.renewed(papers);
        if renewed.ca || renewed.cert || renewed.key {
            self.peers.use_papers(papers);
        }
        if let Some(complaint) = server::readable_by_others(&peers.key) {
            warn!("{complaint}");
        }
        for peer in &peers.nodes {
            self.peers.set_address(&peer.name, &peer.address);
        }
        if *limits != before.limits {
            let room = open_files::make_room(limits.http_connections);
            if let Some(complaint) = room.complaint(limits.http_connections) {
                warn!("{complaint}");
            }
            self.http.send_replace(server::http_limits(limits, room));
            self.disk_headroom.send_replace(limits.disk_headroom_bytes);
        }
        if (limits, cluster) != (&before.limits, &before.cluster) {
            self.handle.tune(server::tuning(&self.config));
        }
        if log.level != before.log.level
            && let Err(problem) = (self.set_log_level)(&log.level)
        {
            warn!(%problem, "the log's level could not be changed");
        }
    }
}

/// The key whose value is to blame.
fn key_of(error: &PeerError, files: &TlsFiles) -> &'static str {
    match error {
        PeerError::File { path, .. } if *path == files.ca => "peers.ca",
        PeerError::File { path, .. } if *path == files.key => "peers.key",
        PeerError::Tls { .. } => "peers.key",
        _ => "peers.cert",
    }
}
