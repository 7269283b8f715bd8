//! The vocabulary: names, counts, times, and the questions and answers a replica deals in.
//!
//! Everything here is plain data with its own limits. Types that are persisted or sent to
//! peers derive `minicbor` with numbered fields: a number is never reused, and a field added
//! later is an `Option`, so that old bytes stay readable (see `docs/internals/formats.md`).

pub mod answer;
pub mod autonomy;
pub mod cell;
pub mod command;
pub mod gauge;
pub mod id;
pub mod item;
pub mod reservation;
pub mod time;
pub mod units;

pub use answer::{
    Answer, Applied, Capped, CheckReport, Claimed, Heard, ItemView, NodeState, NodeStatus, Outcome,
    PlannedMove, Refusal, Reply, Shortfall, Verdict, Violation,
};
pub use autonomy::{Autonomy, InvalidAutonomy};
pub use cell::{Cell, CellValue};
pub use command::{
    Caller, Command, IdempotencyKey, ImportLine, Movement, Operation, Put, Request, Sell, Transfer,
};
pub use gauge::Gauge;
pub use id::{ClusterId, InvalidName, NodeName, Region, ReplicaId, ReservationId, Sku};
pub use item::{Books, LastRefusal, Launch, NodeBooks, Policy, Quota, Rebalance, Totals};
pub use reservation::{Durability, Line, Reservation, ReservationState};
pub use time::{Millis, Timestamp};
pub use units::{Overflow, Position, Seq, Units};
