//! Why a connection was closed: the numbers that the other side sees. A number is never
//! reused with another meaning.

use std::fmt;

use quinn::{Connection, ConnectionError, VarInt};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CloseCode {
    /// The node is stopping.
    Shutdown = 1,
    /// Another connection is the link to this node.
    AlreadyLinked = 2,
    /// A newer connection took the link's place.
    Replaced = 3,
    /// Nothing was heard for too long.
    Silent = 4,
    /// A frame that is too long or not a message.
    Malformed = 5,
    /// The certificate names a node that may not be here.
    Refused = 6,
    /// Too many connections of this node wait to be greeted.
    Crowded = 7,
    /// The greeting was late or wrong.
    BadGreeting = 8,
    /// The driver let go of the link.
    LetGo = 9,
    /// The peer table names another address for the node.
    Moved = 10,
}

impl CloseCode {
    fn from_number(number: VarInt) -> Option<CloseCode> {
        use CloseCode::*;
        [Shutdown, AlreadyLinked, Replaced, Silent, Malformed, Refused, Crowded, BadGreeting, LetGo, Moved]
            .into_iter()
            .find(|code| VarInt::from_u32(*code as u32) == number)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseCode::Shutdown => "the node is stopping",
            CloseCode::AlreadyLinked => "another connection is the link",
            CloseCode::Replaced => "a newer connection took its place",
            CloseCode::Silent => "nothing was heard for too long",
            CloseCode::Malformed => "a message was malformed or too long",
            CloseCode::Refused => "the certificate's node is not welcome",
            CloseCode::Crowded => "too many connections at once",
            CloseCode::BadGreeting => "the greeting was late or wrong",
            CloseCode::LetGo => "the driver let go of the link",
            CloseCode::Moved => "the node's address was changed",
        })
    }
}

/// Closes a connection; harmless when it is closed already.
pub(super) fn close(connection: &Connection, code: CloseCode) {
    connection.close(VarInt::from_u32(code as u32), code.to_string().as_bytes());
}

/// The code with which the other side closed, if it did.
pub(super) fn code_of(error: &ConnectionError) -> Option<CloseCode> {
    match error {
        ConnectionError::ApplicationClosed(close) => CloseCode::from_number(close.error_code),
        _ => None,
    }
}

/// Why a connection ended, for the log.
pub(super) fn describe(error: &ConnectionError) -> String {
    match code_of(error) {
        Some(code) => format!("closed by the peer: {code}"),
        None => error.to_string(),
    }
}
