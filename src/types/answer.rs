//! What a replica answers. A refusal is an answer too: an expected, typed "no" that left
//! the state unchanged.

use minicbor::{Decode, Encode};

use super::id::{NodeName, Region, ReplicaId, ReservationId, Sku};
use super::item::Books;
use super::reservation::Reservation;
use super::time::Timestamp;
use super::units::{Seq, Units};

pub type Outcome = Result<Answer, Refusal>;

/// An outcome on its way to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub outcome: Outcome,
    /// The first answer again, under the same key.
    pub replayed: bool,
    /// It could not be decided at once: the request waited for rights, or for another node.
    pub waited: bool,
}

/// A yes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Answer {
    #[n(0)]
    Reservation(#[n(0)] Claimed),
    /// One outcome per operation, in order.
    #[n(1)]
    Batch(#[n(0)] Vec<Result<Claimed, Refusal>>),
    /// The item's books; `created`: the call made something new (201).
    #[n(2)]
    Books {
        #[n(0)]
        books: Books,
        #[n(1)]
        created: bool,
    },
    #[n(3)]
    Returned {
        #[n(0)]
        sku: Sku,
        #[n(1)]
        quantity: Units,
        #[n(2)]
        reference: Option<String>,
        #[n(3)]
        node: NodeName,
        #[n(4)]
        region: Region,
        #[n(5)]
        at: Timestamp,
    },
    #[n(4)]
    Reservations {
        #[n(0)]
        reservations: Vec<Reservation>,
        #[n(1)]
        next: Option<ReservationId>,
        #[n(2)]
        node: NodeName,
        #[n(3)]
        region: Region,
    },
    #[n(5)]
    Items {
        #[n(0)]
        items: Vec<Books>,
        #[n(1)]
        next: Option<Sku>,
    },
    #[n(6)]
    Nodes {
        #[n(0)]
        node: NodeName,
        #[n(1)]
        nodes: Vec<NodeStatus>,
    },
    #[n(7)]
    Check(#[n(0)] CheckReport),
    /// One outcome per line of the import, in order.
    #[n(8)]
    Imported(#[n(0)] Vec<Result<Applied, Refusal>>),
    #[n(9)]
    Node(#[n(0)] Box<NodeStatus>),
    #[n(10)]
    Moves {
        #[n(0)]
        node: NodeName,
        #[n(1)]
        moves: Vec<PlannedMove>,
        /// There is more: go on after this item.
        #[n(2)]
        next: Option<Sku>,
    },
}

/// Rights that the policy would have one node give to another.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PlannedMove {
    #[n(0)]
    pub sku: Sku,
    #[n(1)]
    pub from: NodeName,
    #[n(2)]
    pub to: NodeName,
    #[n(3)]
    pub quantity: Units,
    /// In words, with the numbers that led to it.
    #[n(4)]
    pub why: String,
    /// It was begun: always false in a dry run.
    #[n(5)]
    pub begun: bool,
}

/// When a line of an import was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Applied {
    #[n(0)]
    Now,
    /// By an earlier attempt under the same key.
    #[n(1)]
    Before,
}

/// Whether a node takes work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum NodeState {
    #[default]
    #[n(0)]
    Active,
    /// It takes no new reservations and hands its free rights over.
    #[n(1)]
    Draining,
    /// And has none left: no unit is free, held or in flight from it.
    #[n(2)]
    Drained,
}

impl NodeState {
    pub fn as_str(self) -> &'static str {
        match self {
            NodeState::Active => "active",
            NodeState::Draining => "draining",
            NodeState::Drained => "drained",
        }
    }
}

/// A reservation as its home answers it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Claimed {
    #[n(0)]
    pub reservation: Reservation,
    /// It was not there before (201), else it was (200).
    #[n(1)]
    pub created: bool,
    /// The name and region of its home.
    #[n(2)]
    pub node: NodeName,
    #[n(3)]
    pub region: Region,
}

/// What one node knows of another, or of itself.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodeStatus {
    #[n(0)]
    pub name: NodeName,
    #[n(1)]
    pub region: Region,
    #[n(2)]
    pub replica_id: ReplicaId,
    #[n(3)]
    pub is_self: bool,
    #[n(4)]
    pub linked: bool,
    /// Entries of its log that it has announced and that are not here yet.
    #[n(5)]
    pub lag: u64,
    #[n(6)]
    pub last_heard: Option<Timestamp>,
    /// Highest sequence of its log that is here with none missing below.
    #[n(7)]
    pub watermark: Seq,
    #[n(8)]
    pub state: NodeState,
}

/// What a whole-state check found.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CheckReport {
    #[n(0)]
    pub node: NodeName,
    #[n(1)]
    pub items: u64,
    /// Over all item rows in order of sku and replica; equal on nodes that know the same.
    #[n(2)]
    pub books_digest: String,
    #[n(3)]
    pub violations: Vec<Violation>,
}

/// An invariant that does not hold. Always a bug or damage, never an expected state.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Violation {
    /// Its name, as listed in `docs/internals/architecture.md`.
    #[n(0)]
    pub invariant: String,
    #[n(1)]
    pub sku: Option<Sku>,
    #[n(2)]
    pub detail: String,
}

/// Why an item was short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Verdict {
    /// Proved: no unit was free at any replica.
    #[n(0)]
    SoldOut,
    /// Reachable nodes had free units that could not be brought here in time.
    #[n(1)]
    Elsewhere,
    /// Someone is silent, units are in flight, or fewer are free than were asked for.
    #[n(2)]
    Unknown,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::SoldOut => "sold_out",
            Verdict::Elsewhere => "elsewhere",
            Verdict::Unknown => "unknown",
        }
    }
}

/// A line for which there were not enough units.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Shortfall {
    #[n(0)]
    pub sku: Sku,
    #[n(1)]
    pub requested: Units,
    #[n(2)]
    pub available_here: Units,
    #[n(3)]
    pub verdict: Verdict,
    /// Free units that reachable nodes were known to have.
    #[n(4)]
    pub elsewhere: Units,
    /// Members that were silent.
    #[n(5)]
    pub unreachable: Vec<NodeName>,
    /// The oldest row in this verdict is at least as new as this.
    #[n(6)]
    pub as_of: Timestamp,
}

/// A line whose units are here, and may not be sold before other nodes have confirmed a higher mark.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Capped {
    #[n(0)]
    pub sku: Sku,
    #[n(1)]
    pub requested: Units,
    /// Units that this node has a right to.
    #[n(2)]
    pub available_here: Units,
    /// How many of those it may sell now.
    #[n(3)]
    pub sellable: Units,
}

/// A no. Nothing was changed by the request (but see [`Refusal::OutcomeUnknown`]).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Refusal {
    /// Every short line, in the order of the request.
    #[n(0)]
    InsufficientStock(#[n(0)] Vec<Shortfall>),
    #[n(1)]
    UnknownSku {
        #[n(0)]
        sku: Sku,
        /// Its place among the request's lines.
        #[n(1)]
        line: Option<u32>,
    },
    #[n(2)]
    ReservationNotFound,
    #[n(3)]
    AlreadyConfirmed,
    #[n(4)]
    AlreadyCancelled,
    /// Expired, and its units are gone.
    #[n(5)]
    Expired(#[n(0)] Vec<Shortfall>),
    #[n(6)]
    VersionMismatch {
        #[n(0)]
        current: u64,
    },
    #[n(7)]
    KeyReused,
    #[n(8)]
    MaxPerOrder {
        #[n(0)]
        sku: Sku,
        #[n(1)]
        line: u32,
        #[n(2)]
        max: Units,
    },
    /// A write-off or transfer of more than is free at the node.
    #[n(9)]
    NotFreeHere {
        #[n(0)]
        free: Units,
    },
    #[n(10)]
    UnknownNode {
        #[n(0)]
        field: String,
        #[n(1)]
        node: NodeName,
    },
    /// Not sent: the node that would have to decide is silent, or one that might own the id is.
    #[n(11)]
    OwnerUnreachable {
        #[n(0)]
        unreachable: Vec<NodeName>,
    },
    /// Not sent: the giver of a transfer is silent.
    #[n(12)]
    NodeUnreachable {
        #[n(0)]
        node: NodeName,
    },
    /// Sent to another node and not answered: done or not done; repeating is safe.
    #[n(13)]
    OutcomeUnknown,
    #[n(14)]
    Draining,
    /// Tables are full; nothing young enough may be forgotten.
    #[n(15)]
    MemoryFull,
    #[n(16)]
    Overloaded,
    /// This replica's disk is older than what its peers have heard from it.
    #[n(17)]
    RolledBack,
    #[n(18)]
    NotReady,
    /// The numbers would not fit 64 bits; `field` says which.
    #[n(19)]
    Invalid {
        #[n(0)]
        field: String,
        #[n(1)]
        message: String,
    },
    /// The units are here, and this node has sold as much as it may without others' confirming it.
    #[n(20)]
    AutonomySpent(#[n(0)] Vec<Capped>),
}

/// Answers that a key remembers: 2xx, 404, 409, 410.
impl Refusal {
    pub fn is_remembered(&self) -> bool {
        matches!(
            self,
            Refusal::InsufficientStock(_)
                | Refusal::UnknownSku { .. }
                | Refusal::UnknownNode { .. }
                | Refusal::ReservationNotFound
                | Refusal::AlreadyConfirmed
                | Refusal::AlreadyCancelled
                | Refusal::Expired(_)
                | Refusal::MaxPerOrder { .. }
                | Refusal::NotFreeHere { .. }
        )
    }
}

/// What a product page needs about one item, as one replica knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemView {
    pub sku: Sku,
    /// What this node could sell now without asking.
    pub here: Units,
    /// `here` and what was last heard of the others.
    pub everywhere: Units,
    pub low_stock: Option<Units>,
    /// The rows known here pair up and hold no free unit and none in flight: sold out, if
    /// every member was heard recently.
    pub closed: bool,
}

/// When each other member was last heard, for judging how stale a view is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    pub node: NodeName,
    /// Its rows here are at least as new as this; `None`: never heard since the start.
    pub as_of: Option<Timestamp>,
}
