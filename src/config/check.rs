//! From the raw form to the checked one.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::problem::{ConfigError, Problem, line_of};
use super::raw::{
    RawAutonomy, RawCluster, RawConfig, RawHttp, RawLimits, RawLog, RawNode, RawPeer, RawPeers,
};
use super::{
    ClusterConfig, Config, HttpConfig, Limits, LogConfig, LogFormat, MAX_PEERS, NodeConfig, OnUnprovenStart,
    PeerConfig, PeersConfig,
};
use crate::types::{Autonomy, InvalidName, NodeName, Region};

const DAY_SECONDS: u64 = 86_400;

/// A parsed file and where it stands.
pub(super) struct Source<'a> {
    pub file: &'a Path,
    pub text: &'a str,
    pub form: RawConfig,
}

impl TryFrom<Source<'_>> for Config {
    type Error = ConfigError;

    fn try_from(source: Source<'_>) -> Result<Config, ConfigError> {
        let mut checker = Checker::new(source.file, source.text);
        let RawConfig { node, http, peers, cluster, limits, log } = source.form;
        let node_name = checker.name("node.name", &node.name, NodeName::new);
        let parts = (
            checker.node(&node),
            checker.http(&http),
            checker.peers(&peers, node_name.as_ref()),
            checker.cluster(&cluster),
            checker.limits(&limits),
            checker.log(&log),
        );
        match parts {
            (Some(node), Some(http), Some(peers), cluster, Some(limits), Some(log))
                if checker.problems.is_empty() =>
            {
                Ok(Config { file: source.file.to_path_buf(), node, http, peers, cluster, limits, log })
            }
            _ => Err(checker.into_error()),
        }
    }
}

/// Collects problems; a check that fails gives `None` and has said why.
struct Checker<'a> {
    file: &'a Path,
    /// The file's own directory: relative paths start there.
    base: PathBuf,
    text: &'a str,
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    fn new(file: &'a Path, text: &'a str) -> Checker<'a> {
        let base = file.parent().map(Path::to_path_buf).unwrap_or_default();
        Checker { file, base, text, problems: Vec::new() }
    }

    fn into_error(mut self) -> ConfigError {
        self.problems.sort_by_key(|problem| problem.line);
        self.problems.dedup();
        ConfigError { file: self.file.to_path_buf(), problems: self.problems }
    }

    fn complain<T>(&mut self, key: &str, at: &Spanned<T>, message: String) {
        let line = Some(line_of(self.text, &at.span()));
        self.problems.push(Problem { line, key: key.to_owned(), message });
    }

    fn node(&mut self, raw: &RawNode) -> Option<NodeConfig> {
        let name = self.name("node.name", &raw.name, NodeName::new);
        let region = self.name("node.region", &raw.region, Region::new);
        let data_dir = self.path("node.data_dir", &raw.data_dir);
        let witness_dir = raw.witness_dir.as_ref().and_then(|dir| self.path("node.witness_dir", dir));
        if let (Some(raw), Some(witness), Some(data)) = (&raw.witness_dir, &witness_dir, &data_dir)
            && witness.starts_with(data)
        {
            let message = "lies in data_dir, and would go back in time with it; put it elsewhere".to_owned();
            self.complain("node.witness_dir", raw, message);
        }
        let on_unproven_start = self.on_unproven_start(raw);
        Some(NodeConfig { name: name?, region: region?, data_dir: data_dir?, witness_dir, on_unproven_start })
    }

    fn on_unproven_start(&mut self, raw: &RawNode) -> OnUnprovenStart {
        let Some(raw) = &raw.on_unproven_start else { return OnUnprovenStart::default() };
        let message = match raw.get_ref().as_str() {
            "wait" => return OnUnprovenStart::Wait,
            "resume" => return OnUnprovenStart::Resume,
            "seal" => "\"seal\" needs new replica ids, which this release cannot give; write \"wait\"".into(),
            other => format!("{other:?} is not known; write \"wait\" or \"resume\""),
        };
        self.complain("node.on_unproven_start", raw, message);
        OnUnprovenStart::default()
    }

    fn http(&mut self, raw: &RawHttp) -> Option<HttpConfig> {
        let storefront = self.socket("http.storefront", &raw.storefront);
        let admin = self.socket("http.admin", &raw.admin);
        let (storefront, admin) = (storefront?, admin?);
        if storefront == admin && admin.port() != 0 {
            self.complain(
                "http.admin",
                &raw.admin,
                format!("{admin} is the storefront's; choose another port"),
            );
        }
        Some(HttpConfig { storefront, admin })
    }

    fn peers(&mut self, raw: &RawPeers, own: Option<&NodeName>) -> Option<PeersConfig> {
        let listen = self.socket("peers.listen", &raw.listen);
        let ca = self.path("peers.ca", &raw.ca);
        let cert = self.path("peers.cert", &raw.cert);
        let key = self.path("peers.key", &raw.key);
        let nodes: Vec<_> = raw.node.iter().filter_map(|peer| self.peer(peer)).collect();
        self.peer_names(raw, own);
        let segmentation_offload = raw.segmentation_offload.unwrap_or(true);
        Some(PeersConfig { listen: listen?, ca: ca?, cert: cert?, key: key?, segmentation_offload, nodes })
    }

    fn peer(&mut self, raw: &RawPeer) -> Option<PeerConfig> {
        let name = self.name("peers.node.name", &raw.name, NodeName::new);
        let region = self.name("peers.node.region", &raw.region, Region::new);
        let address = self.address("peers.node.address", &raw.address);
        Some(PeerConfig { name: name?, region: region?, address: address? })
    }

    /// Each other member once, this node not at all.
    fn peer_names(&mut self, raw: &RawPeers, own: Option<&NodeName>) {
        let mut seen = HashSet::new();
        for peer in &raw.node {
            let name = peer.name.get_ref();
            if own.is_some_and(|own| own.as_str() == name) {
                let message = format!("{name:?} is this node itself; list the other members only");
                self.complain("peers.node.name", &peer.name, message);
            }
            if !seen.insert(name) {
                let message = format!("{name:?} is listed twice; list each other member once");
                self.complain("peers.node.name", &peer.name, message);
            }
        }
        if let Some(surplus) = raw.node.get(MAX_PEERS) {
            let message = format!("a node has at most {MAX_PEERS} peers");
            self.complain("peers.node", &surplus.name, message);
        }
    }

    fn cluster(&mut self, raw: &RawCluster) -> ClusterConfig {
        let Some(raw) = &raw.autonomy else { return ClusterConfig::default() };
        let read = match raw.get_ref() {
            RawAutonomy::Units(units) => Autonomy::try_from(*units),
            RawAutonomy::Text(text) => text.parse(),
        };
        let read = read.map_err(|e| self.complain("cluster.autonomy", raw, e.to_string()));
        ClusterConfig { autonomy: read.unwrap_or_default() }
    }

    fn limits(&mut self, raw: &RawLimits) -> Option<Limits> {
        let known = Limits::default();
        let count = 1..=1_000_000;
        let timeout = 1..=3_600_000;
        let limits = Limits {
            http_connections: self.count(
                "http_connections",
                &raw.http_connections,
                known.http_connections,
                count.clone(),
            ),
            http_connections_per_address: self.count(
                "http_connections_per_address",
                &raw.http_connections_per_address,
                known.http_connections_per_address,
                count.clone(),
            ),
            request_queue: self.count("request_queue", &raw.request_queue, known.request_queue, count),
            header_timeout: self.millis(
                "header_timeout_ms",
                &raw.header_timeout_ms,
                known.header_timeout,
                timeout.clone(),
            ),
            body_timeout: self.millis(
                "body_timeout_ms",
                &raw.body_timeout_ms,
                known.body_timeout,
                timeout.clone(),
            ),
            idle_timeout: self.millis("idle_timeout_ms", &raw.idle_timeout_ms, known.idle_timeout, timeout),
            remember_max_bytes: self.number(
                "remember_max_bytes",
                &raw.remember_max_bytes,
                known.remember_max_bytes,
                1 << 20..=1 << 40,
            ),
            remember: self.seconds("remember_seconds", &raw.remember_seconds, known.remember, 1..=31_536_000),
            min_horizon: self.seconds(
                "min_horizon_seconds",
                &raw.min_horizon_seconds,
                known.min_horizon,
                1..=31_536_000,
            ),
            disk_headroom_bytes: self.number(
                "disk_headroom_bytes",
                &raw.disk_headroom_bytes,
                known.disk_headroom_bytes,
                1 << 20..=1 << 40,
            ),
            checkpoint_every_bytes: self.number(
                "checkpoint_every_bytes",
                &raw.checkpoint_every_bytes,
                known.checkpoint_every_bytes,
                64 << 10..=128 << 20,
            ),
            history: self.days("history_days", &raw.history_days, known.history, 1..=3_650),
            history_entries: self.number(
                "history_entries",
                &raw.history_entries,
                known.history_entries,
                1..=1_000_000,
            ),
        };
        if limits.min_horizon > limits.remember {
            let message = "must not exceed remember_seconds; lower it or raise that".to_owned();
            match (&raw.min_horizon_seconds, &raw.remember_seconds) {
                (Some(at), _) | (None, Some(at)) => self.complain("limits.min_horizon_seconds", at, message),
                (None, None) => {}
            }
        }
        Some(limits)
    }

    fn log(&mut self, raw: &RawLog) -> Option<LogConfig> {
        let format = raw.format.as_ref().and_then(|format| match format.get_ref().as_str() {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            other => {
                let message = format!("{other:?} is not known; write \"text\" or \"json\"");
                self.complain("log.format", format, message);
                None
            }
        });
        let level = raw.level.as_ref().map_or("info", |level| level.get_ref());
        if let (Some(at), Err(e)) = (&raw.level, tracing_subscriber::EnvFilter::try_new(level)) {
            let fix = "write error, warn, info, debug or trace";
            self.complain("log.level", at, format!("{level:?}: {e}; {fix}"));
        }
        Some(LogConfig { format, level: level.to_owned() })
    }

    fn name<T>(
        &mut self,
        key: &str,
        raw: &Spanned<String>,
        new: fn(&str) -> Result<T, InvalidName>,
    ) -> Option<T> {
        let text = raw.get_ref();
        new(text).map_err(|e| self.complain(key, raw, format!("{text:?} {e}"))).ok()
    }

    fn socket(&mut self, key: &str, raw: &Spanned<String>) -> Option<SocketAddr> {
        let text = raw.get_ref();
        let parsed = text.parse();
        if parsed.is_err() {
            let message =
                format!("{text:?} is no address to bind; write IP:PORT, such as \"127.0.0.1:7300\"");
            self.complain(key, raw, message);
        }
        parsed.ok()
    }

    /// `host:port` to dial.
    fn address(&mut self, key: &str, raw: &Spanned<String>) -> Option<String> {
        let text = raw.get_ref();
        if is_host_and_port(text) {
            return Some(text.clone());
        }
        let message = format!("{text:?} is no address to dial; write HOST:PORT, such as \"10.0.0.2:7302\"");
        self.complain(key, raw, message);
        None
    }

    fn path(&mut self, key: &str, raw: &Spanned<String>) -> Option<PathBuf> {
        if raw.get_ref().is_empty() {
            self.complain(key, raw, "is empty; write a path".to_owned());
            return None;
        }
        Some(self.base.join(raw.get_ref()))
    }

    /// A number within `allowed`, or `known` when the key is absent.
    fn number(
        &mut self,
        key: &str,
        raw: &Option<Spanned<u64>>,
        known: u64,
        allowed: RangeInclusive<u64>,
    ) -> u64 {
        let Some(raw) = raw else { return known };
        let value = *raw.get_ref();
        if !allowed.contains(&value) {
            let (least, most) = allowed.into_inner();
            let message =
                format!("{value} is out of range; write {least} to {most}, or leave it out for {known}");
            self.complain(&format!("limits.{key}"), raw, message);
        }
        value
    }

    fn count(
        &mut self,
        key: &str,
        raw: &Option<Spanned<u64>>,
        known: usize,
        allowed: RangeInclusive<u64>,
    ) -> usize {
        let value = self.number(key, raw, known as u64, allowed);
        usize::try_from(value).unwrap_or(known) // out of range and complained about, where it does not fit
    }

    fn millis(
        &mut self,
        key: &str,
        raw: &Option<Spanned<u64>>,
        known: Duration,
        allowed: RangeInclusive<u64>,
    ) -> Duration {
        let known = known.as_millis().try_into().unwrap_or(u64::MAX);
        Duration::from_millis(self.number(key, raw, known, allowed))
    }

    fn seconds(
        &mut self,
        key: &str,
        raw: &Option<Spanned<u64>>,
        known: Duration,
        allowed: RangeInclusive<u64>,
    ) -> Duration {
        Duration::from_secs(self.number(key, raw, known.as_secs(), allowed))
    }

    fn days(
        &mut self,
        key: &str,
        raw: &Option<Spanned<u64>>,
        known: Duration,
        allowed: RangeInclusive<u64>,
    ) -> Duration {
        let days = self.number(key, raw, known.as_secs() / DAY_SECONDS, allowed);
        // One out of range was noted, and is given back all the same.
        Duration::from_secs(days.saturating_mul(DAY_SECONDS))
    }
}

/// Whether `text` is `host:port`, `ip:port` or `[ipv6]:port` with a port that can be dialled.
pub(crate) fn is_host_and_port(text: &str) -> bool {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return address.port() != 0;
    }
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let host_is_good = !host.is_empty() && host.len() <= 253 && host.bytes().all(allowed);
    host_is_good && port.parse::<u16>().is_ok_and(|port| port != 0)
}
