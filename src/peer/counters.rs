//! What the links count, for metrics. Reading disturbs nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::types::NodeName;

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }
}

/// What was counted with one node.
#[derive(Debug, Default)]
pub struct NodeCounters {
    /// Bytes of frames, without QUIC's own.
    pub bytes_in: Counter,
    pub bytes_out: Counter,
    pub messages_in: Counter,
    pub messages_out: Counter,
    pub dials: Counter,
    /// Dials that did not get as far as proving the peer's identity.
    pub dial_failures: Counter,
    /// Times a link came up.
    pub links: Counter,
    /// Frames that were too long or not a message; each ended its link.
    pub malformed: Counter,
    /// Links closed because nothing was heard.
    pub silences: Counter,
    /// Own messages that were too long to send, and dropped.
    pub too_long: Counter,
    linked: AtomicBool,
}

impl NodeCounters {
    /// Whether a link is up now.
    pub fn is_linked(&self) -> bool {
        self.linked.load(Ordering::Relaxed)
    }

    pub(super) fn set_linked(&self, linked: bool) {
        self.linked.store(linked, Ordering::Relaxed);
    }
}

/// What all links counted. Its size is that of the peer table.
#[derive(Debug)]
pub struct PeerCounters {
    nodes: BTreeMap<NodeName, Arc<NodeCounters>>,
    /// Accepted handshakes that failed: no certificate of this cluster, or too slow.
    pub handshake_failures: Counter,
    /// Handshakes not begun because too many were under way.
    pub turned_away: Counter,
    /// Proven nodes that may not be here: not in the table, or this node itself.
    pub refused: Counter,
}

impl PeerCounters {
    pub(super) fn new(names: impl Iterator<Item = NodeName>) -> PeerCounters {
        PeerCounters {
            nodes: names.map(|name| (name, Arc::default())).collect(),
            handshake_failures: Counter::default(),
            turned_away: Counter::default(),
            refused: Counter::default(),
        }
    }

    /// By node, in the order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeName, &NodeCounters)> {
        self.nodes.iter().map(|(name, counters)| (name, counters.as_ref()))
    }

    pub fn node(&self, name: &NodeName) -> Option<&NodeCounters> {
        self.nodes.get(name).map(Arc::as_ref)
    }

    /// Shared with the tasks of that node's link.
    pub(super) fn node_counters(&self, name: &NodeName) -> Arc<NodeCounters> {
        self.nodes.get(name).cloned().unwrap_or_default()
    }
}
