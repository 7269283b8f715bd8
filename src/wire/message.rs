//! What peers say to each other.
//!
//! All messages may be lost, repeated, delayed or reordered without harm: rights move only
//! by rows, and a row may be merged any number of times. Number 8 (`vote`) is reserved, 12 and up
//! are free.

use minicbor::{Decode, Encode};

use super::entry::{Entry, Session};
use super::history::{Before, Numbered};
use crate::types::{ClusterId, Gauge, NodeName, Outcome, ReplicaId, Request, Seq, Sku, Timestamp, Units};

/// The protocol that this release speaks.
pub const PROTOCOL: u32 = 1;
/// Most entries in one frame of a pass, and in one [`Given`].
pub const MAX_ENTRIES: usize = 256;
/// Most lines in one [`Ask`].
pub const MAX_ASK_LINES: usize = 1_000;
/// Most entries of an item's history in one answer.
pub const MAX_RECALLED: usize = 1_000;
/// Longest encoded message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    #[n(0)]
    Hello(#[n(0)] Hello),
    #[n(1)]
    Digest(#[n(0)] Digest),
    #[n(2)]
    Pass(#[n(0)] Pass),
    #[n(3)]
    Ask(#[n(0)] Ask),
    #[n(4)]
    Given(#[n(0)] Given),
    #[n(5)]
    Forward(#[n(0)] Forward),
    #[n(6)]
    Forwarded(#[n(0)] Forwarded),
    /// Concerns the shells alone: history is no part of the replicated state.
    #[n(9)]
    Recall(#[n(0)] Recall),
    #[n(10)]
    Recalled(#[n(0)] Recalled),
    #[n(11)]
    Holds(#[n(0)] Holds),
}

impl Message {
    /// Whether its lists are within what this release sends.
    ///
    /// # Errors
    /// Which list is too long.
    pub fn check_bounds(&self) -> Result<(), &'static str> {
        match self {
            Message::Pass(pass) if pass.entries.len() > MAX_ENTRIES => Err("entries of a pass"),
            Message::Given(given) if given.entries.len() > MAX_ENTRIES => Err("rows given"),
            Message::Given(given) if given.none.len() > MAX_ASK_LINES => Err("items without a row"),
            Message::Forwarded(answer) if answer.rows.len() > MAX_ENTRIES => Err("rows of an answer"),
            Message::Ask(ask) if ask.lines.len() > MAX_ASK_LINES => Err("lines of an ask"),
            Message::Recalled(told) if told.entries.len() > MAX_RECALLED => Err("entries of a history"),
            _ => Ok(()),
        }
    }

    /// Control messages overtake passes: a buyer may be waiting for them.
    pub fn is_urgent(&self) -> bool {
        !matches!(self, Message::Digest(_) | Message::Pass(_) | Message::Holds(_))
    }
}

/// The first message each way on a link.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    #[n(0)]
    pub protocol: u32,
    #[n(1)]
    pub cluster: ClusterId,
    #[n(2)]
    pub node: NodeName,
    #[n(3)]
    pub replica: ReplicaId,
    #[n(4)]
    pub session: Session,
    /// Own log, durable here to this sequence.
    #[n(5)]
    pub watermark: Seq,
    #[n(6)]
    pub digest: Digest,
    /// The newest session of the receiver that the sender has heard of: if the receiver's log is
    /// known past the start of its present session, but from another one, its disk went back.
    #[n(7)]
    pub known: Option<Session>,
    /// The highest sequence of the receiver's log of which the sender holds anything, with or
    /// without gaps below.
    #[n(8)]
    pub held: Seq,
}

/// How far each log is here, durably and without a gap. It states nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Digest {
    /// By replica, the sender's own too.
    #[n(0)]
    pub watermarks: Vec<(ReplicaId, Seq)>,
    /// The sender's ledger time.
    #[n(1)]
    pub stamp: Timestamp,
    /// The newest stamp that the sender had from the receiver: what it says is no older. None until
    /// the sender's disk is proven.
    #[n(2)]
    pub echo: Option<Timestamp>,
    /// What buyers asked of the sender, all items together: its share of a new item's demand is
    /// likely to be its share of all.
    #[n(3)]
    pub demand: Option<Gauge>,
}

/// A piece of one run over one log.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Pass {
    #[n(0)]
    pub origin: ReplicaId,
    /// Tells the frames of one run from those of another on this link.
    #[n(1)]
    pub number: u64,
    /// The receiver's watermark must be at least this for the run to lift it.
    #[n(2)]
    pub from: Seq,
    /// This frame's place in the run, from 0.
    #[n(3)]
    pub frame: u32,
    /// In the last frame only: with all frames stored, the log is complete to here.
    #[n(4)]
    pub upto: Option<Seq>,
    #[n(5)]
    pub entries: Vec<Entry>,
}

/// Says at once, and not with the next digest, that the receiver's own log is here, durably and without
/// a gap: it waits for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Holds {
    #[n(0)]
    pub upto: Seq,
}

/// Wants rights. Asking binds nobody.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Ask {
    #[n(0)]
    pub id: u64,
    #[n(1)]
    pub lines: Vec<AskLine>,
    /// The asker's ledger time: the answer's rows are no older.
    #[n(2)]
    pub stamp: Timestamp,
    /// When the buyer who waits for this came, by the asker's ledger time. Of two nodes that
    /// want each other's units, the one with the earlier (since, replica id) is served.
    #[n(3)]
    pub since: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AskLine {
    #[n(0)]
    pub sku: Sku,
    /// Units that waiting buyers need, or that a quota reserves for the asker.
    #[n(1)]
    pub need: Units,
    /// Units that would be welcome beyond those.
    #[n(2)]
    pub want: Units,
    /// What buyers asked for at the asker.
    // Number 3 was another gauge.
    #[n(4)]
    pub demand: Option<Gauge>,
    /// All that the receiver ever gave the asker, as far as that was known when it asked: what it
    /// has given since was not reckoned with. None takes everything for known.
    #[n(5)]
    pub seen: Option<Units>,
}

/// Answers an [`Ask`]: the giver's rows about the items asked for, after giving what it could.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Given {
    #[n(0)]
    pub id: u64,
    /// The ask's stamp.
    #[n(1)]
    pub stamp: Timestamp,
    #[n(2)]
    pub entries: Vec<Entry>,
    /// Items asked for that the giver has no row about: it never had a unit.
    #[n(3)]
    pub none: Vec<Sku>,
}

/// A request for the node that owns what it is about. It is decided there and never forwarded on.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Forward {
    /// On one link the sender's numbers rise; what was overtaken counts as lost, reads aside.
    #[n(0)]
    pub id: u64,
    #[n(1)]
    pub request: Request,
    /// A reservation or sale for which the sender lacks units: to be decided on what no quota
    /// reserves for the receiver, if the receiver does not know the id.
    #[n(2)]
    #[cbor(default)]
    pub placing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Forwarded {
    #[n(0)]
    pub id: u64,
    #[n(1)]
    pub outcome: Outcome,
    #[n(2)]
    pub replayed: bool,
    /// The owner's rows that the outcome tells of: who is answered and reads there sees it.
    #[n(3)]
    #[cbor(default)]
    pub rows: Vec<Entry>,
}

/// Wants an item's history at the receiver.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Recall {
    #[n(0)]
    pub id: u64,
    #[n(1)]
    pub sku: Sku,
    #[n(2)]
    pub before: Before,
    /// At most so many entries.
    #[n(3)]
    pub limit: u32,
}

/// Answers a [`Recall`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Recalled {
    #[n(0)]
    pub id: u64,
    /// Newest first.
    #[n(1)]
    pub entries: Vec<Numbered>,
    /// Older ones are there, too.
    #[n(2)]
    pub more: bool,
}
