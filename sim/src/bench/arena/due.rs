//! What is to happen, in order of time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use super::links::Parcel;
use crate::time::Time;

pub enum Event<M> {
    CutBegins(usize),
    CutEnds(usize),
    /// The ends find each other, if they can.
    Connect {
        a: usize,
        b: usize,
    },
    /// The ends find each other gone, if they are.
    Disconnect {
        a: usize,
        b: usize,
    },
    Dies(usize),
    Order(usize),
    Message(Parcel<M>),
    Tick {
        at: usize,
    },
    /// The buyer waits no longer.
    Patience(usize),
}

/// Events by time; those of one moment in the order in which they were planned, but for those that
/// come last.
pub struct Agenda<M> {
    due: BinaryHeap<Reverse<Due<M>>>,
    planned: u64,
}

struct Due<M> {
    at: Time,
    last: bool,
    number: u64,
    event: Event<M>,
}

impl<M> Default for Agenda<M> {
    fn default() -> Self {
        Agenda { due: BinaryHeap::new(), planned: 0 }
    }
}

impl<M> Agenda<M> {
    pub fn plan(&mut self, at: Time, event: Event<M>) {
        self.push(at, false, event);
    }

    /// After everything else at that moment.
    pub fn plan_last(&mut self, at: Time, event: Event<M>) {
        self.push(at, true, event);
    }

    fn push(&mut self, at: Time, last: bool, event: Event<M>) {
        self.planned += 1;
        self.due.push(Reverse(Due { at, last, number: self.planned, event }));
    }

    /// The next event, unless it lies past the end.
    pub fn next(&mut self, end: Time) -> Option<(Time, Event<M>)> {
        if self.due.peek()?.0.at > end {
            return None;
        }
        self.due.pop().map(|Reverse(due)| (due.at, due.event))
    }
}

impl<M> Due<M> {
    fn key(&self) -> (Time, bool, u64) {
        (self.at, self.last, self.number)
    }
}

impl<M> PartialEq for Due<M> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<M> Eq for Due<M> {}

impl<M> PartialOrd for Due<M> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<M> Ord for Due<M> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}
