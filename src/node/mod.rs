//! The shell around one replica: it feeds inputs in, makes records durable, lets effects out.
//!
//! [`Handle`] is all that HTTP and peers see. The driver behind it is short: take inputs, let
//! the replica decide, append the records, and release every effect once the journal is
//! durable to the position it carries.

pub mod handle;
pub mod link;
pub mod readiness;
pub mod shelf;

pub use handle::{Arrival, Arrivals, CallError, Handle, Identity};
pub use link::{LinkId, Outbox};
pub use readiness::{NotReadyReason, Readiness};
pub use shelf::{Availability, Shelf, StockStatus};
