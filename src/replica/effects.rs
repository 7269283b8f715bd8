//! What a step of the replica leads to, and the barrier that lets it out.
//!
//! Decisions are made on state whose last records may still be on their way to the disk.
//! So *every* output, also one that has no record of its own, carries the position of the
//! last record applied before it, and leaves only when the journal is durable to there.
//! Without that:
//!
//! 1. a sale under key K waits for its sync;
//! 2. its retry finds K in the table and is answered at once;
//! 3. power fails, and an acknowledged sale is gone.

use std::collections::VecDeque;

use crate::planted::{self, Bug};
use crate::types::{Heard, ItemView, NodeName, Position, Reply};
use crate::wire::{Message, Record};

/// Tells the replica's user which request a reply is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Something that may be seen outside. Values only: nothing outside reads live state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Reply {
        token: Token,
        reply: Reply,
    },
    Send {
        node: NodeName,
        message: Message,
    },
    /// An item as product pages shall see it.
    View(ItemView),
    /// How fresh the other members' rows are.
    Heard(Vec<Heard>),
    /// The replica takes no requests before these members were heard, or the wait at its start is over.
    Awaits(Vec<NodeName>),
    /// The replica takes requests from now on.
    Ready,
    /// Whether it drains.
    Draining(bool),
    /// The replica has stopped for good: its disk went back in time. Nothing follows.
    RolledBack(String),
    /// Something that must not happen did, and was contained. For the log.
    Alarm(String),
}

/// An output that must wait for the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gated {
    position: Position,
    output: Output,
}

impl Output {
    /// Whether somebody waits for it. What is shown to whoever looks is in no such hurry.
    fn is_awaited(&self) -> bool {
        !matches!(self, Output::View(_) | Output::Heard(_))
    }
}

/// What the steps since the last taking led to.
#[derive(Debug, Default)]
pub struct Effects {
    records: Vec<Record>,
    outputs: Vec<Gated>,
}

impl Effects {
    /// Notes a record that has just been applied.
    pub(super) fn record(&mut self, record: Record) {
        self.records.push(record);
    }

    /// Notes an output that rests on everything applied so far.
    pub(super) fn emit(&mut self, position: Position, output: Output) {
        self.outputs.push(Gated { position, output });
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.outputs.is_empty()
    }

    /// The records to make durable, in order. What came of one step must go into one batch.
    pub fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The outputs, for a [`Barrier`].
    pub fn take_outputs(&mut self) -> Vec<Gated> {
        std::mem::take(&mut self.outputs)
    }
}

/// Holds outputs back until the journal is durable to the position they rest on.
#[derive(Debug, Default)]
pub struct Barrier {
    waiting: VecDeque<Gated>,
    durable: Position,
    /// Up to here the journal is awaited.
    awaited: Position,
}

impl Barrier {
    pub fn hold(&mut self, outputs: Vec<Gated>) {
        let awaited = outputs.iter().rev().find(|gated| gated.output.is_awaited());
        self.awaited = awaited.map_or(self.awaited, |gated| gated.position.max(self.awaited));
        self.waiting.extend(outputs);
    }

    /// Whether an output that somebody waits for waits for the journal.
    pub fn is_awaited(&self) -> bool {
        self.awaited > self.durable
    }

    /// The journal is durable up to `position`.
    pub fn durable(&mut self, position: Position) {
        assert!(position >= self.durable, "what is durable stays durable");
        self.durable = position;
    }

    /// The next output that may leave, in the order in which they were made.
    pub fn release(&mut self) -> Option<Output> {
        if let Some(early) = planted_leak(&mut self.waiting) {
            return Some(early);
        }
        if self.waiting.front()?.position > self.durable {
            return None;
        }
        self.waiting.pop_front().map(|gated| gated.output)
    }

    /// Outputs that still wait.
    pub fn held(&self) -> usize {
        self.waiting.len()
    }
}

/// With a bug of that kind planted, an output that does not wait for its sync.
fn planted_leak(waiting: &mut VecDeque<Gated>) -> Option<Output> {
    let leaks = |gated: &Gated| match &gated.output {
        Output::Reply { reply, .. } => {
            planted::is_on(Bug::AnswerBeforeSync)
                || planted::is_on(Bug::TwinBeforeSync) && reply.replayed
                || planted::is_on(Bug::ReadBeforeSync) && gated.position == Position(0)
        }
        Output::Send { message, .. } => {
            planted::is_on(Bug::SendBeforeSync)
                || planted::is_on(Bug::GiftBeforeSync) && matches!(message, Message::Given(_))
        }
        _ => false,
    };
    let place = waiting.iter().position(leaks)?;
    waiting.remove(place).map(|gated| gated.output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_waits_for_the_records_before_it_and_keeps_its_place() {
        let mut effects = Effects::default();
        effects.emit(Position(0), Output::Ready);
        effects.emit(Position(2), Output::Alarm("after two".into()));
        effects.emit(Position(2), Output::Ready);
        let mut barrier = Barrier::default();
        barrier.hold(effects.take_outputs());
        assert_eq!(barrier.release(), Some(Output::Ready));
        assert_eq!(barrier.release(), None);
        barrier.durable(Position(1));
        assert_eq!(barrier.release(), None);
        barrier.durable(Position(2));
        assert_eq!(barrier.release(), Some(Output::Alarm("after two".into())));
        assert_eq!(barrier.release(), Some(Output::Ready));
        assert_eq!(barrier.held(), 0);
    }

    #[test]
    fn the_journal_is_awaited_for_what_somebody_waits_for_and_not_for_what_is_shown() {
        let mut barrier = Barrier::default();
        let hold = |barrier: &mut Barrier, position, output| {
            let mut effects = Effects::default();
            effects.emit(Position(position), output);
            barrier.hold(effects.take_outputs());
        };
        hold(&mut barrier, 1, Output::Heard(Vec::new()));
        assert!(!barrier.is_awaited());
        hold(&mut barrier, 2, Output::Ready);
        hold(&mut barrier, 3, Output::Heard(Vec::new()));
        assert!(barrier.is_awaited());
        barrier.durable(Position(1));
        assert!(barrier.is_awaited());
        barrier.durable(Position(2));
        assert!(!barrier.is_awaited());
    }
}
