//! The links' numbers, for `/metrics`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::counters::{Counter, NodeCounters, PeerCounters};

/// Reads the links' counters at each scrape.
#[derive(Debug)]
pub struct PeerMetrics {
    pub(super) counters: Arc<PeerCounters>,
    pub(super) certificate_expires: Arc<AtomicI64>,
}

type OfNode = (&'static str, &'static str, fn(&NodeCounters) -> &Counter);

/// One row a counter; a line a node.
const OF_NODE: [OfNode; 9] = [
    ("stockade_peer_bytes_in", "Bytes of messages from a peer", |n| &n.bytes_in),
    ("stockade_peer_bytes_out", "Bytes of messages to a peer", |n| &n.bytes_out),
    ("stockade_peer_messages_in", "Messages from a peer", |n| &n.messages_in),
    ("stockade_peer_messages_out", "Messages to a peer", |n| &n.messages_out),
    ("stockade_peer_dials", "Times that a peer was dialled", |n| &n.dials),
    ("stockade_peer_dial_failures", "Dials that did not get through", |n| &n.dial_failures),
    ("stockade_peer_links", "Links to a peer that came up", |n| &n.links),
    ("stockade_peer_malformed", "Links ended for bytes that are no message", |n| &n.malformed),
    ("stockade_peer_silences", "Links ended because nothing was heard", |n| &n.silences),
];

impl Collector for PeerMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, counter) in OF_NODE {
            let shape = ConstCounter::new(0u64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, shape)?;
            for (node, counters) in self.counters.nodes() {
                let labels = [("peer", node.as_str())];
                let counter = ConstCounter::new(counter(counters).count());
                counter.encode(family.encode_family(&labels)?)?;
            }
        }
        let expires = ConstGauge::new(self.certificate_expires.load(Ordering::Relaxed));
        let help = "When the node's certificate expires, in seconds since 1970";
        let name = "stockade_certificate_expires_seconds";
        expires.encode(encoder.encode_descriptor(name, help, None, expires.metric_type())?)?;
        let refused = ConstCounter::new(self.counters.handshake_failures.count());
        let help = "Connections that did not prove to be a peer";
        let name = "stockade_peer_handshake_failures";
        refused.encode(encoder.encode_descriptor(name, help, None, refused.metric_type())?)
    }
}
