//! Plain counters of what a replica did since it started.

use crate::types::Units;

/// For metrics. All but the last group only grow; none is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub requests: u64,
    pub replayed: u64,
    pub waited: u64,
    /// Of those: served in the end, refused when their patience was over, and refused before,
    /// because everybody was heard and waiting was in vain.
    pub waits_served: u64,
    pub waits_timed_out: u64,
    pub waits_in_vain: u64,
    pub refused_sold_out: u64,
    pub refused_elsewhere: u64,
    pub refused_unknown: u64,
    /// Orders refused because peers had not confirmed the marks that they need.
    pub refused_autonomy: u64,
    /// Records that only wrote marks.
    pub marks_written: u64,
    /// Transfers of rights made by this replica as the giver, and their units.
    pub transfers: u64,
    pub transferred_units: u64,
    pub credits: u64,
    pub asks_sent: u64,
    pub asks_answered: u64,
    /// Lines of asks for a buyer elsewhere that met buyers waiting here for the same item.
    pub asks_crossed: u64,
    /// Reservations and sales sent to the member that has the units; of those, refused by it, and
    /// not answered.
    pub placed: u64,
    pub placed_refused: u64,
    pub placed_unknown: u64,
    pub expired: u64,
    pub messages_sent: u64,
    pub entries_merged: u64,
    /// Entries from peers that were refused: never, unless a peer is broken.
    pub entries_rejected: u64,
    /// Entries that came before the session that wrote them, and were left for later.
    pub entries_early: u64,
    /// Passes that lifted no watermark, because a frame or an earlier pass was lost.
    pub passes_unclaimed: u64,
    /// 1 when this start ended by time: not every member had said what it knows.
    pub started_unheard: u64,
    pub alarms: u64,
    /// Lines of imports applied.
    pub imported_lines: u64,

    // How things stand now.
    pub items: u64,
    /// Items whose newest mark peers have not confirmed.
    pub marks_unconfirmed: u64,
    pub reservations_held: u64,
    pub reservations_remembered: u64,
    pub requests_remembered: u64,
    pub remembered_bytes: u64,
    /// For how long keys are remembered at present, in milliseconds: 24 hours, or less under
    /// want of room.
    pub horizon_ms: u64,
    pub jobs_waiting: u64,
    pub links_up: u64,
    /// Entries that members have announced and that are not here yet, of the member most behind.
    pub sync_lag: u64,
    /// 1 while this replica hands its rights over.
    pub draining: u64,
}

impl Stats {
    /// The same units may move any number of times.
    pub fn note_transfers(&mut self, moves: u64, units: Units) {
        self.transfers += moves;
        self.transferred_units = self.transferred_units.saturating_add(units.0);
    }
}

/// How large the volatile tables are, each to be held against its bound in
/// [`limits`](crate::limits). Reckoned by going through them: not for every step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Requests that wait: `MAX_JOBS`.
    pub jobs: usize,
    /// Of those, for the item that most wait for: `MAX_WAITING_FOR_ITEM`.
    pub waiting_for_one: usize,
    /// Repeats that wait for the first answer under one key: `MAX_TWINS`.
    pub twins_of_one: usize,
    /// Numbers of what was sent to other nodes and not answered.
    pub numbers: usize,
    /// Reservations that other members were asked to make: each has a waiting job.
    pub placing: usize,
    /// Items for which rights are being fetched: each has a waiting job.
    pub shortages: usize,
    /// Items whose newest refusal is kept: `MAX_LAST_REFUSALS`.
    pub refusals: usize,
    /// Ids found to be sold twice: `MAX_DOUBLY_SOLD`.
    pub doubly_sold: usize,
    /// Rows of the item that has most: `MAX_REPLICAS`.
    pub rows_of_one: usize,
    /// Bytes of passes on their way to one member: `PASS_WINDOW_BYTES`, and a frame.
    pub pass_bytes_to_one: u64,
}
