//! What a replica can be asked to do. The HTTP layer translates into these and nothing else.

use minicbor::{Decode, Encode};

use super::id::{NodeName, ReservationId, Sku};
use super::item::Policy;
use super::reservation::{Line, ReservationState};
use super::time::Millis;
use super::units::Units;

/// A client's `Idempotency-Key`, within its scope.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct IdempotencyKey {
    /// Method and path, such as `POST /v1/sales`.
    #[n(0)]
    pub scope: String,
    #[n(1)]
    pub key: String,
}

/// A command with what surrounds it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Request {
    #[n(0)]
    pub command: Command,
    #[n(1)]
    pub key: Option<IdempotencyKey>,
    /// Who asks.
    #[n(2)]
    pub caller: Caller,
}

/// Through which door a request came; who knocked is not known until callers have tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Caller {
    #[default]
    #[n(0)]
    Storefront,
    #[n(1)]
    Admin,
}

impl Caller {
    pub fn as_str(self) -> &'static str {
        match self {
            Caller::Storefront => "storefront",
            Caller::Admin => "admin",
        }
    }
}

impl Request {
    /// A request without a key from a storefront.
    pub fn plain(command: Command) -> Request {
        Request { command, key: None, caller: Caller::Storefront }
    }
}

/// Hold lines under an id.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Put {
    #[n(0)]
    pub id: ReservationId,
    /// Each sku once, in the order of the request.
    #[n(1)]
    pub lines: Vec<Line>,
    #[n(2)]
    pub ttl: Millis,
    /// How long rights may be fetched from peers before the answer is no.
    #[n(3)]
    pub wait: Millis,
    /// Only if the reservation has this version.
    #[n(4)]
    pub if_match: Option<u64>,
    /// The client may have sent this to another node before: ask all members for the id first.
    #[n(5)]
    pub retry: bool,
    /// The node chose the id, afresh for each request: a retry under the same key bears another
    /// one, so the id is no part of what makes two requests the same.
    #[n(6)]
    pub minted: bool,
}

/// Sell lines at once: a reservation that is born confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Sell {
    #[n(0)]
    pub id: ReservationId,
    #[n(1)]
    pub lines: Vec<Line>,
    #[n(2)]
    pub wait: Millis,
    #[n(3)]
    pub reference: Option<String>,
    /// As in [`Put`].
    #[n(4)]
    pub minted: bool,
}

/// Units of one item that come in or leave.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Movement {
    #[n(0)]
    pub sku: Sku,
    #[n(1)]
    pub quantity: Units,
    #[n(2)]
    pub reason: Option<String>,
    #[n(3)]
    pub reference: Option<String>,
}

/// Units of one item to be moved between nodes by an admin.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Transfer {
    #[n(0)]
    pub sku: Sku,
    #[n(1)]
    pub from: NodeName,
    #[n(2)]
    pub to: NodeName,
    #[n(3)]
    pub quantity: Units,
    #[n(4)]
    pub reference: Option<String>,
}

/// One line of an import: an item, and a delivery of it unless `quantity` is left out.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ImportLine {
    #[n(0)]
    pub sku: Sku,
    /// Left out: the name stays as it is.
    #[n(1)]
    pub name: Option<String>,
    #[n(2)]
    pub quantity: Option<Units>,
    /// How many lines before it in the same import are about the same item.
    #[n(3)]
    pub repeat: u32,
}

/// One step of a batch. (A type of its own, so that decoding never nests without bound.)
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Operation {
    #[n(0)]
    Reserve(#[n(0)] Put),
    #[n(1)]
    Confirm {
        #[n(0)]
        id: ReservationId,
    },
    #[n(2)]
    Cancel {
        #[n(0)]
        id: ReservationId,
    },
    #[n(3)]
    Sell(#[n(0)] Sell),
}

/// What a replica can be asked. Writes first, then reads.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Command {
    #[n(0)]
    Put(#[n(0)] Put),
    /// Sold; `if_match` as in [`Put`]. `wait` bounds the fetching of rights for an expired one.
    #[n(1)]
    Confirm {
        #[n(0)]
        id: ReservationId,
        #[n(1)]
        if_match: Option<u64>,
        #[n(2)]
        wait: Millis,
    },
    #[n(2)]
    Cancel {
        #[n(0)]
        id: ReservationId,
    },
    /// A new deadline, `ttl` from now.
    #[n(3)]
    Extend {
        #[n(0)]
        id: ReservationId,
        #[n(1)]
        ttl: Millis,
    },
    #[n(4)]
    Sell(#[n(0)] Sell),
    /// In order, each seeing the ones before; each fails alone.
    #[n(5)]
    Batch(#[n(0)] Vec<Operation>),
    /// Units come back from a buyer and are for sale again here.
    #[n(6)]
    Return(#[n(0)] Movement),
    #[n(7)]
    SetItem {
        #[n(0)]
        sku: Sku,
        #[n(1)]
        policy: Policy,
    },
    /// A delivery arrives at this node.
    #[n(8)]
    Receive(#[n(0)] Movement),
    /// Units leave unsold.
    #[n(9)]
    WriteOff(#[n(0)] Movement),
    #[n(10)]
    Transfer(#[n(0)] Transfer),
    /// One reservation's state.
    #[n(11)]
    Read {
        #[n(0)]
        id: ReservationId,
    },
    /// This node's reservations in order of id.
    #[n(12)]
    Reservations {
        #[n(0)]
        state: Option<ReservationState>,
        #[n(1)]
        sku: Option<Sku>,
        /// Those after this id.
        #[n(2)]
        after: Option<ReservationId>,
        #[n(3)]
        limit: u32,
    },
    /// One item's books.
    #[n(13)]
    Books {
        #[n(0)]
        sku: Sku,
    },
    /// Items in order of sku.
    #[n(14)]
    Items {
        #[n(0)]
        after: Option<Sku>,
        #[n(1)]
        limit: u32,
    },
    #[n(15)]
    Nodes,
    /// Recompute every invariant over the whole state.
    #[n(16)]
    Check,
    /// Lines of an import, each applied or refused alone. Under the same `key` no line is
    /// applied twice.
    #[n(17)]
    Import {
        #[n(0)]
        key: Option<String>,
        #[n(1)]
        lines: Vec<ImportLine>,
    },
    /// Have a node hand its rights over and take no new reservations, or take work again.
    #[n(18)]
    SetDraining {
        #[n(0)]
        node: NodeName,
        #[n(1)]
        draining: bool,
    },
    /// What the policy would move between which nodes, item by item in order of sku, by what is
    /// known here; unless it is a dry run, what concerns this node's rights is begun at once.
    #[n(19)]
    Rebalance {
        /// Only this item.
        #[n(0)]
        sku: Option<Sku>,
        #[n(1)]
        dry_run: bool,
        /// Items after this one.
        #[n(2)]
        after: Option<Sku>,
        /// Most moves that are told.
        #[n(3)]
        limit: u32,
    },
}
