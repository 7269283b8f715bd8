//! What an admin sets about an item, and the item's books as they are shown.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::answer::Shortfall;
use super::autonomy::Autonomy;
use super::id::{NodeName, Region, ReplicaId, Sku};
use super::time::Timestamp;
use super::units::Units;

/// Who moves an item's rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Rebalance {
    /// Nodes move them as demand moves.
    #[default]
    #[n(0)]
    Auto,
    /// Only an admin's transfers do.
    #[n(1)]
    Manual,
}

impl Rebalance {
    pub fn as_str(self) -> &'static str {
        match self {
            Rebalance::Auto => "auto",
            Rebalance::Manual => "manual",
        }
    }
}

/// Largest weight of a quota.
pub const MAX_WEIGHT: u64 = 1_000;

/// How much of an item a node should hold. A wish that binds the moving of rights; never itself a right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Quota {
    /// Scales the node's share, up to [`MAX_WEIGHT`]; 1 when absent.
    #[n(0)]
    pub weight: Option<u64>,
    /// Rights that others may not ask away.
    #[n(1)]
    pub min: Option<Units>,
    /// Rights beyond which the node asks for none.
    #[n(2)]
    pub max: Option<Units>,
    /// Exactly so many: as `min` and `max` at once.
    #[n(3)]
    pub pinned: Option<Units>,
}

impl Quota {
    /// Rights that others may not ask away.
    pub fn floor(&self) -> Units {
        self.pinned.or(self.min).unwrap_or(Units::ZERO)
    }

    /// Rights beyond which the node asks for none.
    pub fn ceiling(&self) -> Units {
        self.pinned.or(self.max).unwrap_or(Units(u64::MAX))
    }

    /// Neither floor nor ceiling is set.
    pub fn is_unbounded(&self) -> bool {
        self.floor().is_zero() && self.ceiling() == Units(u64::MAX)
    }
}

/// What an admin has set about an item; the last writer's version counts whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Policy {
    #[n(0)]
    pub name: Option<String>,
    /// At or under so many units everywhere the product page says `low_stock`.
    #[n(1)]
    pub low_stock: Option<Units>,
    /// Most units of this item in one reservation or sale.
    #[n(2)]
    pub max_per_order: Option<Units>,
    #[n(3)]
    pub rebalance: Rebalance,
    #[n(4)]
    pub quotas: BTreeMap<NodeName, Quota>,
    #[n(5)]
    pub launch: Option<Launch>,
    /// `None`: as is set for the cluster.
    #[n(6)]
    pub autonomy: Option<Autonomy>,
}

impl Policy {
    /// Some nodes are to hold more or less than buyers' demand says.
    pub fn names_nodes(&self) -> bool {
        !self.quotas.is_empty() || self.launch.is_some()
    }

    /// A launch is on.
    pub fn is_launched(&self, now: Timestamp) -> bool {
        self.launch.as_ref().is_some_and(|launch| now < launch.until)
    }

    /// Whether rights move by it as by `other`.
    pub fn moves_like(&self, other: &Policy) -> bool {
        self.rebalance == other.rebalance && self.quotas == other.quotas && self.launch == other.launch
    }
}

/// What an admin expects of a launch: how many units buyers will ask for at each node. It stands in
/// for what was measured, until measuring says more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Launch {
    /// It holds until then.
    #[n(0)]
    pub until: Timestamp,
    /// A node that is not named is expected to be asked for none.
    #[n(1)]
    pub expected: BTreeMap<NodeName, Units>,
}

/// One replica's part of an item's books, as its row says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct NodeBooks {
    #[n(0)]
    pub node: NodeName,
    #[n(1)]
    pub region: Region,
    #[n(2)]
    pub replica_id: ReplicaId,
    #[n(3)]
    pub received: Units,
    #[n(4)]
    pub returned: Units,
    #[n(5)]
    pub retired: Units,
    #[n(6)]
    pub sold: Units,
    #[n(7)]
    pub held: Units,
    #[n(8)]
    pub available: Units,
    /// What it has credited from others.
    #[n(9)]
    pub given: Units,
    /// All it has given away.
    #[n(10)]
    pub sent: Units,
    /// The row is at least as new as this.
    #[n(11)]
    pub as_of: Timestamp,
    /// Units ever held, sold at once or written off.
    #[n(12)]
    #[cbor(default)]
    pub taken: Units,
    /// It takes no more than this before it has told others of more; `None`: without bound.
    #[n(13)]
    pub mark: Option<Units>,
    /// What of its mark others have confirmed: it takes no more than this. Of another node, as it was
    /// when that one last changed its row.
    #[n(14)]
    pub limit: Option<Units>,
}

/// Sums over all rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Totals {
    #[n(0)]
    pub received: Units,
    #[n(1)]
    pub returned: Units,
    #[n(2)]
    pub retired: Units,
    #[n(3)]
    pub sold: Units,
    #[n(4)]
    pub held: Units,
    #[n(5)]
    pub available: Units,
    #[n(6)]
    pub in_flight: Units,
}

/// An item's books as one replica knows them.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Books {
    #[n(0)]
    pub sku: Sku,
    #[n(1)]
    pub policy: Policy,
    /// received + returned - retired = sold + held + available + in flight, with every
    /// row on which another rests at hand.
    #[n(2)]
    pub balanced: bool,
    #[n(3)]
    pub totals: Totals,
    #[n(4)]
    pub nodes: Vec<NodeBooks>,
    /// The newest line about it that this replica refused for want of stock, since its start.
    #[n(5)]
    pub last_refusal: Option<Box<LastRefusal>>,
}

/// A line that was refused for want of stock, and when.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LastRefusal {
    #[n(0)]
    pub at: Timestamp,
    #[n(1)]
    pub shortfall: Shortfall,
}
