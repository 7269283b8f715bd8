//! Bounds of the core. What can be configured is a field of [`Limits`]; what cannot is a
//! constant, with what it costs to change it.

use crate::types::{Autonomy, Millis};

/// Longest time a held reservation may be given at once.
pub const MAX_TTL: Millis = Millis::from_secs(86_400);
/// Longest time a buyer may wait for rights.
pub const MAX_WAIT: Millis = Millis(10_000);

/// A digest goes to every peer this often: how soon a lost message is noticed, and how stale
/// the product page's `sold_out` may be. Each costs 24 bytes a replica.
pub const DIGEST_INTERVAL: Millis = Millis(500);
/// Changed rows go to every peer this often: a hot item travels once in each interval.
pub const PASS_INTERVAL: Millis = Millis(20);
/// Frames of passes sent to one peer in one interval, at most.
pub const PASS_FRAMES: usize = 16;
/// Entries in one frame of a pass. A frame must stay under the longest message.
pub const PASS_ENTRIES: usize = crate::wire::message::MAX_ENTRIES;

/// Taken for the round trip to a member until its link has measured it.
pub const USUAL_ROUND_TRIP: Millis = Millis(100);
/// An ask that was not answered by then is taken for lost.
pub const ASK_TIMEOUT: Millis = Millis(1_000);
/// A donor that gave too little is asked again after this, doubled each time up to
/// [`ASK_PAUSE_MAX`].
pub const ASK_PAUSE: Millis = Millis(20);
pub const ASK_PAUSE_MAX: Millis = Millis(320);
/// So long after a sale it is looked at whether the item's rights run low: sales of that time
/// are looked at together.
pub const BALANCE_INTERVAL: Millis = Millis(20);
/// Items looked at in one step; the rest follows in the next.
pub const BALANCE_AT_ONCE: usize = 1_000;
/// A pull ahead of need that brought nothing is not repeated before.
pub const PULL_PAUSE: Millis = Millis(500);
/// What a quota or a launch wants more of than there is, is looked at again after [`PULL_PAUSE`],
/// doubled each time up to this. With a million such items that is 17,000 looks a second.
pub const LOOK_PAUSE_MAX: Millis = Millis(60_000);
/// So long after an admin changed what is wanted it is looked at again, in the same way, and all is
/// asked for that lacks: longer than any member that is linked takes to hear of the change.
pub const SETTLE_FOR: Millis = Millis(8_000);

/// How long all members are asked for the owner of a reservation.
pub const FIND_TIMEOUT: Millis = Millis(2_000);
/// How long the owner is waited for beyond what the request itself may wait.
pub const FORWARD_TIMEOUT: Millis = Millis(3_000);

/// A batch asks other nodes about its reservations no longer than this, all operations taken
/// together; what is left then is refused as `owner_unreachable`.
pub const BATCH_PATIENCE: Millis = Millis::from_secs(5);

/// Rows at most this old may prove `sold_out` to a buyer who does not wait, and to a product page.
pub const FRESH: Millis = Millis(2_000);

/// Lines of reservations that expire, and lines of waiting requests that are decided, in one
/// step; the rest follows in the next. Each takes about 100 bytes of the step's batch.
pub const LINES_AT_ONCE: usize = 20_000;
/// Items whose free rights a draining replica hands over in one step; the rest follows in the next.
pub const HAND_OVER_AT_ONCE: usize = 1_000;
/// Items whose dials are looked at in one step after the cluster's was turned.
pub const MARKS_AT_ONCE: usize = 1_000;
/// Items whose newest refusal is kept for admins; beyond, the oldest is forgotten.
pub const MAX_LAST_REFUSALS: usize = 10_000;
/// Things forgotten with one record; the rest goes with the next.
pub const FORGET_AT_ONCE: usize = 1_000;
/// Requests that wait for rights or for other nodes. Beyond, one that would have to is refused.
pub const MAX_JOBS: usize = 20_000;
/// Of those, requests that wait for rights to one item.
pub const MAX_WAITING_FOR_ITEM: usize = 4_000;
/// Concurrent requests under one idempotency key that wait for the first one's answer.
pub const MAX_TWINS: usize = 64;
/// Reservation ids found to be sold by two nodes that are kept for `/v1/check`.
pub const MAX_DOUBLY_SOLD: usize = 1_000;
/// Bytes of passes that may be on their way to one peer; so a slow link's queue never overflows.
pub const PASS_WINDOW_BYTES: u64 = 4 << 20;
/// Rows of one item: members past and present.
pub const MAX_REPLICAS: usize = 256;

/// The configurable bounds of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a key or an ended reservation is remembered.
    pub remember_for: Millis,
    /// Bytes that reservations and remembered requests may take, about. A reservation of
    /// three lines takes some 400.
    pub remember_max_bytes: u64,
    /// Nothing younger is forgotten for want of room: new keyed writes are refused instead.
    pub min_horizon: Millis,
    /// After an unproven start, how long to wait for every member to say what it knows of this
    /// replica's log, before serving without having heard. `None`: until all of them did.
    pub start_wait: Option<Millis>,
    /// Of items for which none is set.
    pub autonomy: Autonomy,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            remember_for: Millis::from_secs(86_400),
            remember_max_bytes: 1 << 30,
            min_horizon: Millis::from_secs(300),
            start_wait: Some(Millis(3_000)),
            autonomy: Autonomy::All,
        }
    }
}
