//! What differs between two configurations, key by key, and what a running node can take up.

use super::{Config, Limits};

/// A key whose value differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    /// Whether it can be taken up while the node runs.
    pub live: bool,
}

type LimitRow = (&'static str, fn(&Limits) -> u128);

/// The limits that can change while the node runs.
const LIVE_LIMITS: [LimitRow; 10] = [
    ("limits.http_connections", |l| l.http_connections as u128),
    ("limits.http_connections_per_address", |l| l.http_connections_per_address as u128),
    ("limits.header_timeout_ms", |l| l.header_timeout.as_millis()),
    ("limits.body_timeout_ms", |l| l.body_timeout.as_millis()),
    ("limits.idle_timeout_ms", |l| l.idle_timeout.as_millis()),
    ("limits.remember_max_bytes", |l| l.remember_max_bytes.into()),
    ("limits.remember_seconds", |l| l.remember.as_millis()),
    ("limits.min_horizon_seconds", |l| l.min_horizon.as_millis()),
    ("limits.disk_headroom_bytes", |l| l.disk_headroom_bytes.into()),
    ("limits.checkpoint_every_bytes", |l| l.checkpoint_every_bytes.into()),
];

impl Config {
    /// The keys in which `newer` differs from this one.
    pub fn changes(&self, newer: &Config) -> Vec<Change> {
        let Config { file: _, node, http, peers, cluster, limits, log } = self;
        let fixed = [
            ("node.name", node.name != newer.node.name),
            ("node.region", node.region != newer.node.region),
            ("node.data_dir", node.data_dir != newer.node.data_dir),
            ("node.witness_dir", node.witness_dir != newer.node.witness_dir),
            ("node.on_unproven_start", node.on_unproven_start != newer.node.on_unproven_start),
            ("http.storefront", http.storefront != newer.http.storefront),
            ("http.admin", http.admin != newer.http.admin),
            ("peers.listen", peers.listen != newer.peers.listen),
            ("peers.segmentation_offload", peers.segmentation_offload != newer.peers.segmentation_offload),
            ("limits.request_queue", limits.request_queue != newer.limits.request_queue),
            ("limits.history_days", limits.history != newer.limits.history),
            ("limits.history_entries", limits.history_entries != newer.limits.history_entries),
            ("log.format", log.format != newer.log.format),
        ];
        let live = [
            ("peers.ca", peers.ca != newer.peers.ca),
            ("peers.cert", peers.cert != newer.peers.cert),
            ("peers.key", peers.key != newer.peers.key),
            ("cluster.autonomy", cluster.autonomy != newer.cluster.autonomy),
            ("log.level", log.level != newer.log.level),
        ];
        let limit = |(key, value): LimitRow| (key, value(limits) != value(&newer.limits));
        let fixed = fixed.into_iter().map(|(key, differs)| (key, differs, false));
        let live = live.into_iter().chain(LIVE_LIMITS.map(limit)).map(|(key, differs)| (key, differs, true));
        let keys = fixed.chain(live).filter(|(_, differs, _)| *differs);
        let keys = keys.map(|(key, _, live)| Change { key: key.to_owned(), live });
        keys.chain(self.peer_changes(newer)).collect()
    }

    /// Peers that come, go or change regions need a restart; an address does not.
    fn peer_changes(&self, newer: &Config) -> Vec<Change> {
        let (old, new) = (&self.peers.nodes, &newer.peers.nodes);
        let mut changes = Vec::new();
        for peer in old {
            let key = format!("peers.node.{}", peer.name);
            match new.iter().find(|other| other.name == peer.name) {
                None => changes.push(Change { key, live: false }),
                Some(other) => {
                    if other.region != peer.region {
                        changes.push(Change { key: format!("{key}.region"), live: false });
                    }
                    if other.address != peer.address {
                        changes.push(Change { key: format!("{key}.address"), live: true });
                    }
                }
            }
        }
        let added = new.iter().filter(|peer| !old.iter().any(|other| other.name == peer.name));
        changes.extend(added.map(|peer| Change { key: format!("peers.node.{}", peer.name), live: false }));
        changes
    }

    /// This configuration with everything of `newer` that a running node can take up.
    pub fn with_live(&self, newer: &Config) -> Config {
        let mut next = self.clone();
        next.limits = Limits {
            request_queue: self.limits.request_queue,
            history: self.limits.history,
            history_entries: self.limits.history_entries,
            ..newer.limits.clone()
        };
        next.cluster = newer.cluster;
        next.log.level.clone_from(&newer.log.level);
        next.peers.ca.clone_from(&newer.peers.ca);
        next.peers.cert.clone_from(&newer.peers.cert);
        next.peers.key.clone_from(&newer.peers.key);
        for peer in &mut next.peers.nodes {
            if let Some(newer) = newer.peers.nodes.iter().find(|other| other.name == peer.name) {
                peer.address.clone_from(&newer.address);
            }
        }
        next
    }
}
