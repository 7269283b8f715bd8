//! Counts. Quantities have only checked operations: no value wraps, and none is clamped.

use std::fmt;

use minicbor::{Decode, Encode};

/// Largest quantity in one request, lines summed.
pub const MAX_QUANTITY: u64 = 1_000_000_000;

/// A sum that does not fit; nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the count would exceed what 64 bits hold")]
pub struct Overflow;

/// A count of units of one item.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Units(#[n(0)] pub u64);

impl Units {
    pub const ZERO: Units = Units(0);

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// # Errors
    /// When the sum does not fit.
    pub fn plus(self, other: Units) -> Result<Units, Overflow> {
        self.0.checked_add(other.0).map(Units).ok_or(Overflow)
    }

    /// `self - other`, or `None` when `other` is larger.
    pub fn minus(self, other: Units) -> Option<Units> {
        self.0.checked_sub(other.0).map(Units)
    }

    /// By how much `self` exceeds `other`; zero when it does not. For plans and reports
    /// only: a balance that would be negative is a bug, never a zero.
    pub fn excess_over(self, other: Units) -> Units {
        Units(self.0.saturating_sub(other.0))
    }

    /// Adds up, refusing overflow.
    ///
    /// # Errors
    /// When the sum does not fit.
    pub fn sum(all: impl IntoIterator<Item = Units>) -> Result<Units, Overflow> {
        all.into_iter().try_fold(Units::ZERO, Units::plus)
    }
}

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A place in one replica's log: its rows and settings are numbered 1, 2, 3, ... without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Seq(#[n(0)] pub u64);

impl Seq {
    pub const ZERO: Seq = Seq(0);

    /// The next sequence.
    pub fn next(self) -> Seq {
        Seq(self.0.checked_add(1).expect("a log never reaches 2^64 entries"))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many records a replica has applied since it was loaded: an effect carries the
/// position of the last record it rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_refuse_to_wrap() {
        assert_eq!(Units(u64::MAX).plus(Units(1)), Err(Overflow));
        assert_eq!(Units(1).minus(Units(2)), None);
        assert_eq!(Units::sum([Units(1), Units(u64::MAX)]), Err(Overflow));
    }
}
