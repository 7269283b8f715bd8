//! What is written to disk and sent to peers.
//!
//! Bodies are CBOR with numbered fields (`minicbor`): a field number is never used twice,
//! a field added later is an `Option` or has a default, unknown fields are skipped, unknown kinds are
//! refused. Decoders are total: any bytes give a value or a [`Malformed`], never a panic,
//! and never more memory than a small multiple of the bytes.

pub mod codec;
pub mod entry;
#[cfg(test)]
mod golden;
pub mod history;
pub mod message;
pub mod record;

pub use codec::Malformed;
pub use entry::{Body, Entry, Key, Member, RowBody, Session, Setting};
pub use history::HistoryEntry;
pub use message::Message;
pub use record::{Actor, Batch, Cause, CellRaise, Change, Genesis, Merge, Placed, Raise, Record, Remembered};
