//! Plain counters of what a replica did since it started.

/// For metrics. All but the last group only grow; none is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    pub requests: u64,
    pub replayed: u64,
    pub waited: u64,
    pub refused_sold_out: u64,
    pub refused_elsewhere: u64,
    pub refused_unknown: u64,
    /// Transfers of rights made by this replica as the giver, and their units.
    pub transfers: u64,
    pub transferred_units: u64,
    pub credits: u64,
    pub asks_sent: u64,
    pub asks_answered: u64,
    pub expired: u64,
    pub messages_sent: u64,
    pub entries_merged: u64,
    /// Entries from peers that were refused: never, unless a peer is broken.
    pub entries_rejected: u64,
    pub alarms: u64,
    /// Lines of imports applied.
    pub imported_lines: u64,

    // How things stand now.
    pub items: u64,
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
