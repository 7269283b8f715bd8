//! What is to happen, in order of time; at one moment in the order in which it was put here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::Event;
use crate::time::Time;

#[derive(Debug, Default)]
pub struct Queue {
    heap: BinaryHeap<Queued>,
    numbers: u64,
}

#[derive(Debug)]
struct Queued {
    key: Reverse<(Time, u64)>,
    event: Event,
}

impl Queue {
    pub fn push(&mut self, at: Time, event: Event) {
        self.numbers += 1;
        self.heap.push(Queued { key: Reverse((at, self.numbers)), event });
    }

    /// What comes next, if it comes by `end`.
    pub fn pop(&mut self, end: Time) -> Option<(Time, Event)> {
        if self.heap.peek()?.key.0.0 > end {
            return None;
        }
        self.heap.pop().map(|Queued { key: Reverse((time, _)), event }| (time, event))
    }
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_order_and_not_before_their_time() {
        let mut queue = Queue::default();
        for (at, host) in [(5, 0), (3, 1), (5, 2), (9, 3)] {
            queue.push(Time(at), Event::Boot { host });
        }
        let order = std::iter::from_fn(|| queue.pop(Time(5))).map(|(time, event)| match event {
            Event::Boot { host } => (time.0, host),
            other => panic!("{other:?}"),
        });
        assert_eq!(order.collect::<Vec<_>>(), [(3, 1), (5, 0), (5, 2)]);
    }
}
