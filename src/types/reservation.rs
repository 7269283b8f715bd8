//! A reservation: a claim on units with a deadline.

use minicbor::{Decode, Encode};

use super::id::{ReplicaId, ReservationId, Sku};
use super::time::Timestamp;
use super::units::Units;

/// Most lines in one reservation.
pub const MAX_LINES: usize = 1_000;

/// So many units of one item.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Line {
    #[n(0)]
    pub sku: Sku,
    #[n(1)]
    pub quantity: Units,
}

/// Where a reservation stands. `Held` becomes exactly one of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum ReservationState {
    #[n(0)]
    Held,
    #[n(1)]
    Confirmed,
    #[n(2)]
    Cancelled,
    #[n(3)]
    Expired,
}

impl ReservationState {
    pub fn as_str(self) -> &'static str {
        match self {
            ReservationState::Held => "held",
            ReservationState::Confirmed => "confirmed",
            ReservationState::Cancelled => "cancelled",
            ReservationState::Expired => "expired",
        }
    }
}

/// When an answer may be given: once the own disk has it, or once peers have it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Durability {
    #[default]
    #[n(0)]
    Local,
    #[n(1)]
    Mirrored,
}

/// One reservation, whole, as its home replica last recorded it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Reservation {
    #[n(0)]
    pub id: ReservationId,
    /// The replica that took it; only it advances the reservation.
    #[n(1)]
    pub home: ReplicaId,
    /// Whose it is. One constant until callers have tokens.
    #[n(2)]
    pub caller: u32,
    /// Grows by one each time the lines are replaced or the reservation is held anew.
    #[n(3)]
    pub version: u64,
    /// In the order of the request, each sku once.
    #[n(4)]
    pub lines: Vec<Line>,
    #[n(5)]
    pub created_at: Timestamp,
    /// A held reservation expires here.
    #[n(6)]
    pub deadline: Timestamp,
    #[n(7)]
    pub state: ReservationState,
    #[n(8)]
    pub durability: Durability,
    /// When it left `Held`; zero while it is held.
    #[n(9)]
    pub ended_at: Timestamp,
}
