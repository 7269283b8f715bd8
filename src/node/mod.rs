//! The shell around one replica: it feeds inputs in, makes records durable, lets effects out.
//!
//! [`Handle`] is all that HTTP and peers see. The driver behind it is short: take inputs, let
//! the replica decide, append the records, and release every effect once the journal is
//! durable to the position it carries.

mod clock;
mod committer;
mod driver;
mod entropy;
pub mod handle;
mod historian;
mod history;
pub mod link;
mod metrics;
pub mod readiness;
pub mod recalls;
mod recovery;
pub mod shelf;
#[cfg(test)]
mod tests;
pub mod witness;

pub use clock::LedgerClock;
pub use driver::{DriverOptions, NodeError, Opening, run};
pub use handle::{Arrival, Arrivals, CallError, Handle, Identity, Tuning};
pub use link::{LinkId, Outbox};
pub use metrics::NodeMetrics;
pub use readiness::{NotReadyReason, Readiness};
pub use recalls::{HistoryPage, HistoryPlace, HistoryQuery};
pub use recovery::{Recovered, Recovery};
pub use shelf::{Availability, Beat, Seen, Shelf, StockStatus, Version};
