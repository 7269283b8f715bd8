//! The near end of a peer link, as the driver sees it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::types::NodeName;
use crate::wire::Message;

/// Tells one link to a node from the one that replaced it. Unique within a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Messages waiting in one outbox, at most, of each of the two kinds.
pub const OUTBOX_MESSAGES: usize = 1_024;

/// Where the driver leaves messages for a peer. When it is full, messages are dropped: every
/// message may be lost without harm, and the next digest repairs what was missed.
#[derive(Clone, Debug)]
pub struct Outbox {
    urgent: mpsc::Sender<Message>,
    bulk: mpsc::Sender<Message>,
}

/// The far end of an [`Outbox`]: what a link's writers drain.
#[derive(Debug)]
pub struct OutboxReader {
    /// Asks, grants and forwards: a buyer may be waiting.
    pub urgent: mpsc::Receiver<Message>,
    /// Digests and passes.
    pub bulk: mpsc::Receiver<Message>,
}

impl Outbox {
    pub fn new() -> (Outbox, OutboxReader) {
        let (urgent, urgent_reader) = mpsc::channel(OUTBOX_MESSAGES);
        let (bulk, bulk_reader) = mpsc::channel(OUTBOX_MESSAGES);
        (Outbox { urgent, bulk }, OutboxReader { urgent: urgent_reader, bulk: bulk_reader })
    }

    /// False when the message was dropped.
    pub fn send(&self, message: Message) -> bool {
        let queue = if message.is_urgent() { &self.urgent } else { &self.bulk };
        queue.try_send(message).is_ok()
    }
}

/// The latest round-trip time of each link.
#[derive(Debug, Default)]
pub struct RttTable {
    rtts: Mutex<HashMap<NodeName, Duration>>,
}

impl RttTable {
    pub fn set(&self, node: &NodeName, rtt: Duration) {
        let mut rtts = self.rtts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        rtts.insert(node.clone(), rtt);
    }

    pub fn rtt(&self, node: &NodeName) -> Option<Duration> {
        let rtts = self.rtts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        rtts.get(node).copied()
    }
}
