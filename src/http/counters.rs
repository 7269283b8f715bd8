//! What the listeners count of their connections, for `/metrics`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The numbers of both listeners.
#[derive(Clone, Debug, Default)]
pub struct HttpCounters {
    pub(super) storefront: Arc<ListenerCounters>,
    pub(super) admin: Arc<ListenerCounters>,
}

/// One listener's.
#[derive(Debug, Default)]
pub(super) struct ListenerCounters {
    pub(super) open: Number,
    /// Closed while idle, for a newcomer.
    pub(super) gave_way: Number,
    /// Newcomers closed because their address had too many.
    pub(super) turned_away: Number,
}

#[derive(Debug, Default)]
pub(super) struct Number(AtomicU64);

impl Number {
    pub(super) fn set(&self, n: usize) {
        self.0.store(n as u64, Ordering::Relaxed);
    }

    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl HttpCounters {
    fn listeners(&self) -> [(&'static str, &ListenerCounters); 2] {
        [("storefront", &self.storefront), ("admin", &self.admin)]
    }
}

type Row = (&'static str, &'static str, fn(&ListenerCounters) -> &Number);

const COUNTERS: [Row; 2] = [
    (
        "stockade_http_connections_gave_way",
        "Connections closed while idle, to make room for others",
        |listener| &listener.gave_way,
    ),
    (
        "stockade_http_connections_turned_away",
        "Connections closed at once: their address had too many",
        |listener| &listener.turned_away,
    ),
];

impl Collector for HttpCounters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for (name, help, number) in COUNTERS {
            let shape = ConstCounter::new(0u64).metric_type();
            let mut family = encoder.encode_descriptor(name, help, None, shape)?;
            for (listener, counters) in self.listeners() {
                let labels = [("listener", listener)];
                ConstCounter::new(number(counters).value()).encode(family.encode_family(&labels)?)?;
            }
        }
        let (name, help) = ("stockade_http_connections", "Open connections");
        let shape = ConstGauge::new(0i64).metric_type();
        let mut family = encoder.encode_descriptor(name, help, None, shape)?;
        for (listener, counters) in self.listeners() {
            let open = i64::try_from(counters.open.value()).unwrap_or(i64::MAX);
            ConstGauge::new(open).encode(family.encode_family(&[("listener", listener)])?)?;
        }
        Ok(())
    }
}
