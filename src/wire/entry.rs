//! Entries of a replica's log: what travels between replicas.
//!
//! A replica's log is one sequence over typed keys. An entry is a key's newest version;
//! older ones are superseded, so a log has as many entries as keys, and a hot item that
//! changed a thousand times between two passes travels once.

use minicbor::{Decode, Encode};

use crate::types::{CellValue, Gauge, NodeName, Policy, Region, ReplicaId, Seq, Sku, Timestamp};

/// What an entry is about. Numbers 4 (`vote`) and 6 (`settle`) are reserved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Key {
    /// The origin's row about an item.
    #[n(0)]
    Item(#[n(0)] Sku),
    /// A replica's membership.
    #[n(1)]
    Member(#[n(0)] ReplicaId),
    /// What an admin set about an item, through the origin.
    #[n(2)]
    Setting(#[n(0)] Sku),
    /// The origin's newest start.
    #[n(3)]
    Session,
    /// The origin's newest clean stop.
    #[n(5)]
    Closed,
    /// Whether the origin hands its rights over and takes no new reservations.
    #[n(7)]
    Draining,
}

/// One key's newest version in one replica's log.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// Whose log.
    #[n(0)]
    pub origin: ReplicaId,
    /// The nonce of the origin's session that wrote it.
    #[n(1)]
    pub session: u64,
    #[n(2)]
    pub seq: Seq,
    #[n(3)]
    pub key: Key,
    #[n(4)]
    pub body: Body,
}

/// What an entry says. Numbers as in [`Key`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Body {
    #[n(0)]
    Item(#[n(0)] RowBody),
    #[n(1)]
    Member(#[n(0)] Member),
    #[n(2)]
    Setting(#[n(0)] Setting),
    #[n(3)]
    Session(#[n(0)] Session),
    #[n(5)]
    Closed,
    #[n(7)]
    Draining(#[n(0)] bool),
}

/// A row, as it is stored and sent: its non-zero cells in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct RowBody {
    #[n(0)]
    pub cells: Vec<CellValue>,
    /// Bounds `taken`; 2^64-1: unbounded.
    #[n(1)]
    pub mark: u64,
    /// How many losses at once the mark guards against.
    #[n(2)]
    pub q: u8,
    /// What buyers asked for at its owner. Not part of the books.
    // Number 3 was another gauge.
    #[n(4)]
    pub demand: Option<Gauge>,
    /// What of the mark was confirmed by peers; all of it when absent.
    #[n(5)]
    pub limit: Option<u64>,
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Member {
    #[n(0)]
    pub replica: ReplicaId,
    #[n(1)]
    pub name: NodeName,
    #[n(2)]
    pub region: Region,
}

/// What an admin set about an item; the newest by (time, replica) counts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Setting {
    /// Hybrid: not before any setting of this item that the writer knew.
    #[n(0)]
    pub time: Timestamp,
    #[n(1)]
    pub policy: Policy,
}

/// One start of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Session {
    #[n(0)]
    pub nonce: u64,
    /// The sequence of this entry: what is at or past it was written in this session or a later one.
    #[n(1)]
    pub first: Seq,
}

impl Body {
    /// Whether this is a body for such a key.
    pub fn fits(&self, key: &Key) -> bool {
        matches!(
            (key, self),
            (Key::Item(_), Body::Item(_))
                | (Key::Member(_), Body::Member(_))
                | (Key::Setting(_), Body::Setting(_))
                | (Key::Session, Body::Session(_))
                | (Key::Closed, Body::Closed)
                | (Key::Draining, Body::Draining(_))
        )
    }
}
