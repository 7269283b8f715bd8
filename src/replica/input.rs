//! What reaches the replica from outside.

use super::effects::Token;
use crate::limits::Limits;
use crate::types::{Millis, NodeName, Request};
use crate::wire::Message;

/// What speaks for or against the journal's being the newest there was of this replica, besides
/// its peers: the witness, which is kept outside the data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The witness saw the journal end where it ends now.
    Proven,
    /// No witness can tell, for this reason.
    Unproven(String),
    /// The witness saw more than the journal holds: the proof that the disk went back in time.
    Behind(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Once, after the journal was loaded: begins a session under a fresh random nonce.
    Start {
        nonce: u64,
        evidence: Evidence,
    },
    /// A client asks; the reply bears the token.
    Request {
        token: Token,
        request: Request,
    },
    /// A link to this node is up, and the node is who its certificate says.
    LinkUp {
        node: NodeName,
    },
    LinkDown {
        node: NodeName,
    },
    /// A message and its answer take so long over the link to this node, as the transport measured
    /// lately.
    RoundTrip {
        node: NodeName,
        time: Millis,
    },
    /// From the node at the far end of a link.
    Message {
        node: NodeName,
        message: Message,
    },
    /// Other bounds hold from now on.
    Limits(Limits),
    /// The time of [`Replica::next_deadline`](super::Replica::next_deadline) has come.
    Tick,
    /// A clean stop: nothing but ticks follows.
    Stop,
}
