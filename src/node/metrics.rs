//! What a node counts, for `/metrics`. The driver leaves a copy of its numbers here; a scrape
//! reads the copy and never troubles the driver.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::replica::Stats;
use crate::store::StoreSize;

/// The newest numbers of a running node.
#[derive(Clone, Default)]
pub struct NodeMetrics {
    numbers: Arc<Mutex<Numbers>>,
    streams: Arc<StreamCounts>,
}

/// Counted by the availability streams themselves, beside the driver's numbers.
#[derive(Debug, Default)]
pub struct StreamCounts {
    pub open: AtomicU64,
    pub events: AtomicU64,
}

/// All that is counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers {
    pub replica: Stats,
    pub store: StoreSize,
    pub commits: u64,
    pub records: u64,
    /// Sum of the time that commits took, in microseconds.
    pub commit_micros: u64,
    pub dropped_messages: u64,
    /// Age of the oldest peer's rows, in milliseconds.
    pub stale_ms: u64,
    /// Members that must be heard before the node is ready.
    pub awaited: u64,
    pub rolled_back: bool,
    pub history_bytes: u64,
    /// Items' histories cannot be written at present.
    pub history_failed: bool,
    pub streams_open: u64,
    pub stream_events: u64,
}

impl NodeMetrics {
    pub fn update(&self, change: impl FnOnce(&mut Numbers)) {
        change(&mut self.numbers.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }

    pub fn read(&self) -> Numbers {
        Numbers {
            streams_open: self.streams.open.load(Ordering::Relaxed),
            stream_events: self.streams.events.load(Ordering::Relaxed),
            ..*self.numbers.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
        }
    }

    pub fn streams(&self) -> &StreamCounts {
        &self.streams
    }
}

impl fmt::Debug for NodeMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.read().fmt(f)
    }
}

/// Name, help and value. Counters get `_total` from the encoder.
type Row = (&'static str, &'static str, u64);

fn counters(n: &Numbers) -> [Row; 22] {
    let r = &n.replica;
    [
        ("stockade_requests", "Requests that reached the replica", r.requests),
        ("stockade_requests_replayed", "Answers given again under the same key", r.replayed),
        ("stockade_requests_waited", "Requests that waited for rights", r.waited),
        ("stockade_lines_sold_out", "Short lines refused as sold_out", r.refused_sold_out),
        ("stockade_lines_elsewhere", "Short lines refused as elsewhere", r.refused_elsewhere),
        ("stockade_lines_unknown", "Short lines refused as unknown", r.refused_unknown),
        ("stockade_orders_autonomy_spent", "Orders refused as autonomy_spent", r.refused_autonomy),
        ("stockade_marks_written", "Records that only wrote marks", r.marks_written),
        ("stockade_transfers", "Moves of rights made by this node as the giver", r.transfers),
        ("stockade_transferred_units", "Units moved by this node as the giver", r.transferred_units),
        ("stockade_credits", "Moves of rights taken in", r.credits),
        ("stockade_asks_sent", "Asks sent to peers", r.asks_sent),
        ("stockade_asks_answered", "Asks of peers answered", r.asks_answered),
        ("stockade_reservations_expired", "Reservations that expired", r.expired),
        ("stockade_peer_messages_sent", "Messages to peers", r.messages_sent),
        (
            "stockade_peer_messages_dropped",
            "Messages to peers dropped because a queue was full",
            n.dropped_messages,
        ),
        ("stockade_entries_merged", "Log entries of peers taken in", r.entries_merged),
        ("stockade_entries_rejected", "Log entries of peers refused", r.entries_rejected),
        ("stockade_alarms", "Things that must not happen and were contained", r.alarms),
        ("stockade_imported_lines", "Lines of imports applied", r.imported_lines),
        ("stockade_commits", "Batches made durable", n.commits),
        ("stockade_stream_events", "Events sent on availability streams", n.stream_events),
    ]
}

fn gauges(n: &Numbers) -> [Row; 22] {
    let (r, s) = (&n.replica, &n.store);
    [
        ("stockade_records_written", "Records made durable since the start", n.records),
        ("stockade_commit_microseconds", "Time spent in commits since the start", n.commit_micros),
        ("stockade_items", "Items known", r.items),
        (
            "stockade_marks_unconfirmed",
            "Items whose newest mark no peers have confirmed",
            r.marks_unconfirmed,
        ),
        ("stockade_reservations_held", "Reservations held", r.reservations_held),
        ("stockade_reservations_remembered", "Reservations held or remembered", r.reservations_remembered),
        ("stockade_keys_remembered", "Idempotency keys remembered", r.requests_remembered),
        ("stockade_remembered_bytes", "Bytes that reservations and keys take, about", r.remembered_bytes),
        ("stockade_horizon_seconds", "For how long keys are remembered at present", r.horizon_ms / 1_000),
        ("stockade_requests_waiting", "Requests that wait for rights or other nodes", r.jobs_waiting),
        ("stockade_links_up", "Peer links that are up", r.links_up),
        (
            "stockade_sync_lag_entries",
            "Log entries announced by the peer most behind here, and not here yet",
            r.sync_lag,
        ),
        (
            "stockade_sync_stale_milliseconds",
            "Age of the oldest peer's rows: how stale everywhere and sold_out may be",
            n.stale_ms,
        ),
        ("stockade_draining", "1 while this node takes no new reservations", r.draining),
        ("stockade_members_awaited", "Members to be heard before this node is ready", n.awaited),
        ("stockade_rolled_back", "1 once this disk was found to be an old one", u64::from(n.rolled_back)),
        ("stockade_history_bytes", "Size of the file of items' histories", n.history_bytes),
        (
            "stockade_history_failed",
            "1 while items' histories cannot be written to disk",
            u64::from(n.history_failed),
        ),
        ("stockade_streams_open", "Availability streams that are open", n.streams_open),
        ("stockade_journal_bytes", "Size of the journal file", s.journal_bytes),
        ("stockade_checkpoint_bytes", "Size of the checkpoints", s.checkpoint_bytes),
        ("stockade_replay_bytes", "Bytes of batches that a start would replay", s.replay_bytes),
    ]
}

impl Collector for NodeMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let numbers = self.read();
        for (name, help, value) in counters(&numbers) {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        for (name, help, value) in gauges(&numbers) {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_shows_what_the_driver_left() {
        let metrics = NodeMetrics::default();
        metrics.update(|n| n.replica.transfers = 7);
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(metrics));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("stockade_transfers_total 7"), "{text}");
        assert!(text.contains("stockade_links_up 0"), "{text}");
    }
}
