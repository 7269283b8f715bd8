//! What reaches the replica from outside.

use super::effects::Token;
use crate::limits::Limits;
use crate::types::{Millis, NodeName, Request};
use crate::wire::Message;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Once, after the journal was loaded: begins a session under a fresh random nonce.
    Start {
        nonce: u64,
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
