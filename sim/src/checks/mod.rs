//! The properties, one a file. Each is a plain function or a small book over plain states, with
//! tests of its own that it fails when it should.

pub mod acknowledged;
pub mod alarms;
pub mod answered;
pub mod asks;
pub mod changes;
pub mod conservation;
pub mod convergence;
pub mod copies;
pub mod donors;
pub mod drained;
pub mod expiry;
pub mod floors;
pub mod gifts;
pub mod keys;
pub mod makers;
pub mod moves;
pub mod overselling;
pub mod pages;
pub mod placed;
pub mod planned_moves;
pub mod quiet;
pub mod quotas;
pub mod reach;
pub mod recovery;
pub mod refused;
pub mod service;
pub mod settings;
pub mod settled;
pub mod sizes;
pub mod spend;
pub mod verdicts;
pub mod whole_state;

use std::fmt;

/// A property that did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Property {
    Conservation,
    Changes,
    Expiry,
    Overselling,
    Copies,
    Keys,
    Acknowledged,
    Refused,
    Verdicts,
    Pages,
    WholeState,
    Alarms,
    Answered,
    Recovery,
    Convergence,
    Reach,
    Settled,
    Moves,
    Quiet,
    Service,
    Sizes,
    Makers,
    Placed,
    Asks,
    Quotas,
    Drained,
    Settings,
    PlannedMoves,
    Donors,
    Floors,
    Gifts,
    Spend,
    /// The replica's own assertions.
    Panic,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub property: Property,
    pub detail: String,
}

impl Violation {
    pub fn of(property: Property, detail: impl Into<String>) -> Violation {
        Violation { property, detail: detail.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.property, self.detail)
    }
}

pub type Checked = Result<(), Violation>;

/// Fails with this property unless `holds`.
pub fn ensure(holds: bool, property: Property, detail: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Violation::of(property, detail())) }
}
