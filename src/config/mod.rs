//! A node's configuration: one TOML file, checked whole before anything is opened.
//!
//! The raw form says which keys there are; [`Config`] is the checked form that the rest of
//! the program sees: names are valid, addresses parse, paths are resolved against the file's
//! own directory, limits are in range. All problems of a file are reported at once, each with
//! its line, its key and what to write instead.
//!
//! Whether addresses can be bound and files be read is left to those who do so; see
//! [`Config::missing_files`] for a look ahead.

mod changes;
mod check;
mod problem;
mod raw;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use changes::Change;
pub(crate) use check::is_host_and_port;
pub use problem::{ConfigError, Problem};

use crate::types::{Autonomy, NodeName, Region};

/// Largest configuration file, in bytes.
pub const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// Most nodes of a cluster besides this one.
pub const MAX_PEERS: usize = 255;

/// A node's configuration, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    pub node: NodeConfig,
    pub http: HttpConfig,
    pub peers: PeersConfig,
    pub cluster: ClusterConfig,
    pub limits: Limits,
    pub log: LogConfig,
}

/// Who this node is and where its data are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    pub name: NodeName,
    pub region: Region,
    pub data_dir: PathBuf,
    /// Where the witness is kept; absent: where the system keeps what lasts until it starts anew.
    pub witness_dir: Option<PathBuf>,
    pub on_unproven_start: OnUnprovenStart,
}

/// What a node does at a start at which nothing proves that its disk is the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnprovenStart {
    /// It is not ready before every member was heard.
    #[default]
    Wait,
    /// It serves after a few seconds, whoever was heard.
    Resume,
}

impl OnUnprovenStart {
    /// What the operator is told at such a start.
    pub fn explained(self) -> &'static str {
        match self {
            OnUnprovenStart::Wait => {
                "It serves once every other member was heard: start them all. If one of them is gone for \
                 good, set node.on_unproven_start = \"resume\" and start this node again"
            }
            OnUnprovenStart::Resume => {
                "It serves after 3 seconds at most (node.on_unproven_start = \"resume\"), whoever was heard"
            }
        }
    }
}

/// Where the two HTTP listeners bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    pub storefront: SocketAddr,
    pub admin: SocketAddr,
}

/// Where peers are met, and with which papers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeersConfig {
    /// UDP.
    pub listen: SocketAddr,
    /// The cluster's own certificate authority.
    pub ca: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Off for network cards that fail on segmented sends.
    pub segmentation_offload: bool,
    /// All other members.
    pub nodes: Vec<PeerConfig>,
}

/// Another member and where it is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    pub name: NodeName,
    pub region: Region,
    /// `host:port`; a host name is looked up at each dial.
    pub address: String,
}

/// What should be the same at every node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterConfig {
    /// Of items for which none is set.
    pub autonomy: Autonomy,
}

/// Bounds of one node. The defaults suit a small machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections of each listener; each costs a file and some KiB. When all are taken,
    /// the one that has been idle longest is closed for a newcomer.
    pub http_connections: usize,
    /// Of those, connections of one address (IPv6: of one network of 64 bits). Beyond, its own
    /// longest idle one is closed, or else the newcomer.
    pub http_connections_per_address: usize,
    /// Requests that wait for the replica; more are refused with 503 `overloaded`.
    pub request_queue: usize,
    /// A request's head must be in after this long.
    pub header_timeout: Duration,
    /// A request's body must be in after this long.
    pub body_timeout: Duration,
    /// A connection without a request is closed after this long.
    pub idle_timeout: Duration,
    /// Memory for remembered keys and ended reservations.
    pub remember_max_bytes: u64,
    /// How long they are remembered, if they fit.
    pub remember: Duration,
    /// New keyed writes are refused rather than forget anything younger than this.
    pub min_horizon: Duration,
    /// Bytes that must stay free on the data directory's disk; with fewer the node refuses writes.
    pub disk_headroom_bytes: u64,
    /// A checkpoint begins after so many bytes of journal; a start replays at most about so many.
    /// At most a quarter of what the journal may hold, because it keeps what two checkpoints cover.
    pub checkpoint_every_bytes: u64,
    /// How long an item's changes are kept for its history.
    pub history: Duration,
    /// And how many of each item, about.
    pub history_entries: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            http_connections: 16_384,
            http_connections_per_address: 16_384,
            request_queue: 4_096,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            remember_max_bytes: 1 << 30,
            remember: Duration::from_secs(86_400),
            min_horizon: Duration::from_secs(300),
            disk_headroom_bytes: 64 << 20,
            checkpoint_every_bytes: 64 << 20,
            history: Duration::from_secs(30 * 86_400),
            history_entries: 10_000,
        }
    }
}

/// How the node tells what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Absent: text to a terminal, JSON otherwise.
    pub format: Option<LogFormat>,
    /// A level, or directives such as `info,stockade::peer=debug`.
    pub level: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it cannot be read, or with every problem found in it.
    pub fn load(file: &Path) -> Result<Config, ConfigError> {
        let unreadable = |e: std::io::Error| {
            ConfigError::whole_file(file, format!("cannot be read: {e}; name it with --config"))
        };
        let size = std::fs::metadata(file).map_err(unreadable)?.len();
        if size > MAX_CONFIG_BYTES {
            let message = format!("has {size} bytes; a configuration has at most {MAX_CONFIG_BYTES}");
            return Err(ConfigError::whole_file(file, message));
        }
        let text = std::fs::read_to_string(file).map_err(unreadable)?;
        Config::parse(&text, file)
    }

    /// Checks `text` as if it stood in `file`.
    ///
    /// # Errors
    /// With every problem found in it.
    pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigError> {
        let form = toml::from_str(text).map_err(|e| ConfigError::syntax(file, text, &e))?;
        check::Source { file, text, form }.try_into()
    }

    /// Files that the configuration names and that are not there, by key.
    pub fn missing_files(&self) -> Vec<Problem> {
        let tls =
            [("peers.ca", &self.peers.ca), ("peers.cert", &self.peers.cert), ("peers.key", &self.peers.key)];
        let data = ("node.data_dir", &self.node.data_dir);
        let gone = |(key, path): (&str, &PathBuf)| {
            let message = format!("{} is not there; `stockade init` prepares it", path.display());
            (!path.exists()).then(|| Problem { line: None, key: key.to_owned(), message })
        };
        tls.into_iter().chain([data]).filter_map(gone).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests;
