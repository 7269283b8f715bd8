//! The driver's part in reading items' histories: it asks the historian, for clients and for
//! peers, and has pages put together.

use std::collections::BTreeSet;

use super::driver::Driver;
use super::handle::CallError;
use super::historian::{Question, Told};
use super::recalls::{HistoryQuery, HistoryReply};
use crate::types::NodeName;
use crate::wire::history::Numbered;
use crate::wire::message::{MAX_MESSAGE_BYTES, MAX_RECALLED, Recall, Recalled};
use crate::wire::{Message, codec};

/// Questions that wait for the historian; more are answered with nothing.
const MAX_TICKETS: usize = 512;
/// Entries in one answer to a peer take at most about this.
const ANSWER_BYTES: usize = MAX_MESSAGE_BYTES / 2;

/// Who asked the historian.
#[derive(Clone, Debug)]
pub(super) enum Asker {
    /// The page of this number.
    Page(u64),
    /// A peer, under a number of its own.
    Peer(NodeName, u64),
}

impl Driver {
    /// A client wants a page.
    pub(super) fn history(&mut self, query: HistoryQuery, reply: HistoryReply) {
        if self.recalls.is_full() {
            // Whoever asked may have gone away.
            let _ = reply.send(Err(CallError::Overloaded));
            return;
        }
        let (names, own) = (self.replica.names(), self.replica.name().clone());
        let number = self.number();
        let (mut awaited, mut missing) = (BTreeSet::from([own.clone()]), Vec::new());
        for node in names.values().filter(|node| query.all && **node != own) {
            if self.ask_peer(node, number, query.question(node)) {
                awaited.insert(node.clone());
            } else {
                missing.push(node.clone());
            }
        }
        let question = query.question(&own);
        self.recalls.begin(number, query, names, awaited, missing, reply);
        self.ask_historian(Asker::Page(number), question);
    }

    fn ask_peer(&self, node: &NodeName, id: u64, question: Question) -> bool {
        let Question { sku, before, limit } = question;
        let limit = u32::try_from(limit.min(MAX_RECALLED)).unwrap_or(u32::MAX);
        let message = Message::Recall(Recall { id, sku, before, limit });
        self.outboxes.get(node).is_some_and(|(_, outbox)| outbox.send(message))
    }

    /// A peer wants what is known here.
    pub(super) fn recall(&mut self, node: NodeName, recall: Recall) {
        let limit = (recall.limit as usize).clamp(1, MAX_RECALLED);
        let question = Question { sku: recall.sku, before: recall.before, limit };
        self.ask_historian(Asker::Peer(node, recall.id), question);
    }

    fn ask_historian(&mut self, asker: Asker, question: Question) {
        let ticket = self.number();
        if self.tickets.len() < MAX_TICKETS && self.historian.ask(ticket, question) {
            self.tickets.insert(ticket, asker);
        } else if let Asker::Page(number) = asker {
            self.recalls.refuse(number);
        }
        // A peer gives up by itself, and says that this node is missing.
    }

    /// The historian answered.
    pub(super) fn told(&mut self, told: Told) {
        match self.tickets.remove(&told.ticket) {
            Some(Asker::Page(number)) => {
                self.recalls.answered(number, &self.replica.name().clone(), told.answer);
            }
            Some(Asker::Peer(node, id)) => {
                if let Some((entries, more)) = told.answer {
                    let (entries, cut) = fitting(entries);
                    let message = Message::Recalled(Recalled { id, entries, more: more || cut });
                    // A link that is gone takes the question with it.
                    let _ = self.outboxes.get(&node).map(|(_, outbox)| outbox.send(message));
                }
            }
            None => {}
        }
    }

    fn number(&mut self) -> u64 {
        self.last_token += 1;
        self.last_token
    }
}

/// As many of the newest entries as fit one message, and whether some do not. The newest always
/// does.
fn fitting(mut entries: Vec<Numbered>) -> (Vec<Numbered>, bool) {
    let sizes = entries.iter().scan(0, |sum, told| {
        *sum += codec::encoded_len(told);
        Some(*sum)
    });
    let count = sizes.take_while(|bytes| *bytes <= ANSWER_BYTES).count().max(1).min(entries.len());
    let cut = count < entries.len();
    entries.truncate(count);
    (entries, cut)
}
