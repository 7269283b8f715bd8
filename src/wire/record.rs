//! Records of the journal: durable changes, in absolute values.
//!
//! Because a record says what a value *is* and not how it changed, applying one twice, or
//! over a newer checkpoint, does no harm; so a checkpoint can be taken while batches go on,
//! and recovery is [`Replica::apply`](crate::replica::Replica) over what was stored.

use minicbor::{Decode, Encode};

use super::entry::{Entry, Member};
use crate::types::{
    Caller, CellValue, ClusterId, Gauge, NodeName, Outcome, Region, ReplicaId, Reservation, ReservationId,
    Seq, Sku, Timestamp, Units,
};

/// All records of one commit, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Batch {
    /// Ledger time when it was sealed: after a restart the ledger clock begins no earlier.
    #[n(0)]
    pub time: Timestamp,
    #[n(1)]
    pub records: Vec<Record>,
}

/// One durable change.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Record {
    /// Who this replica is. The first record of a journal, and of a checkpoint.
    #[n(0)]
    Genesis(#[n(0)] Genesis),
    /// Something this replica did.
    #[n(1)]
    Change(#[n(0)] Box<Change>),
    /// Entries of other replicas' logs, taken in.
    #[n(2)]
    Merge(#[n(0)] Merge),
    /// In checkpoints only: own entries as they stand.
    #[n(3)]
    Own(#[n(0)] Vec<Entry>),
    /// In checkpoints only: a reservation as it stands.
    #[n(4)]
    Reservation(#[n(0)] Reservation),
    /// In checkpoints only: a remembered request.
    #[n(5)]
    Request(#[n(0)] Box<Remembered>),
    /// In checkpoints only: how far a log is here without a gap.
    #[n(6)]
    Watermark {
        #[n(0)]
        origin: ReplicaId,
        #[n(1)]
        upto: Seq,
    },
    /// In checkpoints only: where a reservation was sent.
    #[n(7)]
    Placed(#[n(0)] Placed),
}

/// Identity and founding roster, written once when a data directory is prepared.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Genesis {
    #[n(0)]
    pub cluster: ClusterId,
    #[n(1)]
    pub replica: ReplicaId,
    #[n(2)]
    pub name: NodeName,
    #[n(3)]
    pub region: Region,
    /// All founders, this one too.
    #[n(4)]
    pub founders: Vec<Member>,
}

/// Why something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Cause {
    #[n(0)]
    Start,
    #[n(1)]
    Stop,
    #[n(2)]
    Reserve,
    #[n(3)]
    Replace,
    #[n(4)]
    Confirm,
    #[n(5)]
    Cancel,
    #[n(6)]
    Extend,
    #[n(7)]
    Expire,
    #[n(8)]
    Sell,
    #[n(9)]
    Return,
    #[n(10)]
    Receive,
    #[n(11)]
    WriteOff,
    #[n(12)]
    SetItem,
    /// An admin's transfer left.
    #[n(13)]
    Transfer,
    /// Rights given because a buyer waited at the asker.
    #[n(14)]
    GiveForBuyer,
    /// Rights given because the asker ran low.
    #[n(15)]
    GiveForBalance,
    /// Rights from a peer were taken in.
    #[n(16)]
    Credit,
    /// Only an answer was remembered.
    #[n(17)]
    Remember,
    /// A draining replica handed its free rights over.
    #[n(18)]
    GiveForDrain,
    /// A line of an import: an item, and perhaps a delivery of it.
    #[n(19)]
    Import,
    /// An admin had this replica begin to drain.
    #[n(20)]
    Drain,
    /// An admin had it take work again.
    #[n(21)]
    Resume,
    /// A note that a reservation is sent to another member to be decided there.
    #[n(22)]
    Place,
    /// The note was taken back: that member refused, and nothing else was sent. Or that member,
    /// draining, ended what had expired there, so that the note can be taken back.
    #[n(23)]
    Withdraw,
    /// Rights given to a member that was low and had not asked.
    #[n(24)]
    GiveUnasked,
    /// Only marks changed: an admin turned a dial, or an order waits that is larger than it.
    #[n(25)]
    Mark,
}

impl Cause {
    /// The policy gave rights to another replica, which did or did not ask.
    pub fn is_policy_gift(self) -> bool {
        matches!(self, Cause::GiveForBuyer | Cause::GiveForBalance | Cause::GiveUnasked)
    }

    /// Rights were given to another replica.
    pub fn is_gift(self) -> bool {
        self.is_policy_gift() || matches!(self, Cause::Transfer | Cause::GiveForDrain)
    }

    /// Its name in an item's history.
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Start => "start",
            Cause::Stop => "stop",
            Cause::Reserve => "reserve",
            Cause::Replace => "replace",
            Cause::Confirm => "confirm",
            Cause::Cancel => "cancel",
            Cause::Extend => "extend",
            Cause::Expire => "expire",
            Cause::Sell => "sell",
            Cause::Return => "return",
            Cause::Receive => "receive",
            Cause::WriteOff => "write_off",
            Cause::SetItem => "set_item",
            Cause::Transfer => "transfer",
            Cause::GiveForBuyer => "give_for_buyer",
            Cause::GiveForBalance => "give_for_balance",
            Cause::Credit => "credit",
            Cause::Remember => "remember",
            Cause::GiveForDrain => "give_for_drain",
            Cause::Import => "import",
            Cause::Drain => "drain",
            Cause::Resume => "resume",
            Cause::GiveUnasked => "give_unasked",
            Cause::Place => "place",
            Cause::Withdraw => "withdraw",
            Cause::Mark => "mark",
        }
    }
}

/// Who wanted a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Actor {
    /// A caller of this node.
    #[n(0)]
    Caller(#[n(0)] Caller),
    /// A caller of the node with this replica, which sent the request on.
    #[n(1)]
    Forwarded {
        #[n(0)]
        caller: Caller,
        #[n(1)]
        via: ReplicaId,
    },
    /// The other side of a movement of rights.
    #[n(2)]
    Peer(#[n(0)] ReplicaId),
}

/// Something this replica did, with all it changed: one atomic effect.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Change {
    #[n(0)]
    pub time: Timestamp,
    #[n(1)]
    pub cause: Cause,
    /// Who wanted it; nothing when the replica itself did.
    #[n(2)]
    pub actor: Option<Actor>,
    /// The client's reference.
    #[n(3)]
    pub reference: Option<String>,
    #[n(4)]
    pub rows: Vec<Raise>,
    /// Own entries that are not rows.
    #[n(5)]
    pub entries: Vec<Entry>,
    #[n(6)]
    pub reservation: Option<Reservation>,
    #[n(7)]
    pub request: Option<Remembered>,
    /// The client's reason; of rights that were given, the numbers that led to it.
    #[n(8)]
    pub reason: Option<String>,
    #[n(9)]
    pub placed: Option<Placed>,
}

/// Cells of an own row, raised to these values under this sequence.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Raise {
    #[n(0)]
    pub sku: Sku,
    #[n(1)]
    pub seq: Seq,
    #[n(2)]
    pub cells: Vec<CellRaise>,
    /// What buyers asked for, as of this sequence.
    // Number 3 was another gauge.
    #[n(4)]
    pub demand: Option<Gauge>,
    /// What bounds `taken` from now on. None: nothing does, and nothing ever did.
    #[n(5)]
    pub allowance: Option<Allowance>,
}

/// What an own row says about how much may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Allowance {
    /// As in [`RowBody`](super::entry::RowBody).
    #[n(0)]
    pub mark: u64,
    /// What of it is confirmed as the change is made.
    #[n(1)]
    pub limit: u64,
    /// How many peers must hold a mark before it counts.
    #[n(2)]
    pub q: u8,
}

/// A cell's new value. The value is what counts; by how much it rose is for the item's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CellRaise {
    #[n(0)]
    pub new: CellValue,
    #[n(1)]
    pub by: Units,
}

/// Entries of other replicas' logs, and how far one of the logs is now complete.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Merge {
    #[n(0)]
    pub entries: Vec<Entry>,
    #[n(1)]
    pub claim: Option<Claim>,
}

/// Nothing of `origin`'s log at or below `upto` is missing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Claim {
    #[n(0)]
    pub origin: ReplicaId,
    #[n(1)]
    pub upto: Seq,
}

/// A request under a key and the answer it got.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Remembered {
    /// First 16 bytes of the BLAKE3 hash of caller, scope and key.
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub id: [u8; 16],
    /// First 16 bytes of the BLAKE3 hash of the command.
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub fingerprint: [u8; 16],
    #[n(2)]
    pub outcome: Outcome,
    #[n(3)]
    pub time: Timestamp,
}

/// A note that a reservation was sent to another member: that one decides about this id, and no
/// other. It is durable before anything is sent.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Placed {
    #[n(0)]
    pub id: ReservationId,
    #[n(1)]
    pub at: ReplicaId,
    /// The keyed request that it was for: a retry bears another id if the server makes ids up.
    #[n(2)]
    pub request: Option<KeyedRequest>,
    /// When the reservation ends by itself, at the latest: from then on it is remembered as ended.
    #[n(3)]
    pub time: Timestamp,
    /// The note is taken back.
    #[n(4)]
    pub withdrawn: bool,
}

/// A request under a key, as in [`Remembered`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct KeyedRequest {
    #[n(0)]
    #[cbor(with = "minicbor::bytes")]
    pub id: [u8; 16],
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    pub fingerprint: [u8; 16],
}
