//! Ledger time: integer milliseconds. The core is told the time; it never asks for it.

use std::fmt;

use minicbor::{Decode, Encode};

/// A span of time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Millis(#[n(0)] pub u64);

impl Millis {
    pub const fn from_secs(seconds: u64) -> Millis {
        Millis(seconds * 1000)
    }
}

/// A point in ledger time: milliseconds since 1970-01-01T00:00:00Z as the node's ledger
/// clock tells it (never stepped, never backwards at one node).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Timestamp(#[n(0)] pub u64);

impl Timestamp {
    pub const ZERO: Timestamp = Timestamp(0);

    /// This much later; the end of time when it does not fit.
    pub fn after(self, span: Millis) -> Timestamp {
        Timestamp(self.0.saturating_add(span.0))
    }

    /// This much earlier; the beginning of time when it does not fit.
    pub fn before(self, span: Millis) -> Timestamp {
        Timestamp(self.0.saturating_sub(span.0))
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Timestamp) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}
