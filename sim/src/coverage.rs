//! What a world went through: which request was under way when which fault struck, and which rare
//! paths were taken. A sweep that shows no violation says something only about what it reached.
//!
//! Plain arrays, added to on the way; [`Coverage::add`] sums worlds up.

use stockade::types::Command;

use crate::marks::Mark;
use crate::schedule::Fault;

macro_rules! named {
    ($(#[$doc:meta])* $kind:ident { $($name:ident: $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $kind {
            $($name,)*
        }

        impl $kind {
            pub const ALL: &[$kind] = &[$($kind::$name,)*];

            pub fn name(self) -> &'static str {
                match self {
                    $($kind::$name => $text,)*
                }
            }
        }
    };
}

named! {
    /// Kinds of requests.
    Kind {
        Put: "reserve",
        Confirm: "confirm",
        Cancel: "cancel",
        Extend: "extend",
        Sell: "sell",
        Batch: "batch",
        Return: "return",
        Receive: "receive",
        WriteOff: "write_off",
        Transfer: "transfer",
        Import: "import",
        SetItem: "set_item",
        Drain: "drain",
        Read: "read",
    }
}

named! {
    /// How a request stood when a fault struck its node.
    Stage {
        Open: "requests open",
        Waiting: "of those, waiting for rights or another node",
        Answered: "requests just answered",
    }
}

named! {
    /// What goes wrong by itself, besides the faults that strike at a moment.
    Mishap {
        MessageLost: "message_lost",
        MessageRepeated: "message_repeated",
        MessageStalled: "message_stalled",
        RequestLost: "request_lost",
        ReplyLost: "reply_lost",
        LateRepeat: "late_repeat",
        CrashAfterSync: "crash_after_sync",
    }
}

const KINDS: usize = Kind::ALL.len();
const STAGES: usize = Stage::ALL.len();

impl Kind {
    pub fn of(command: &Command) -> Kind {
        match command {
            Command::Put(_) => Kind::Put,
            Command::Confirm { .. } => Kind::Confirm,
            Command::Cancel { .. } => Kind::Cancel,
            Command::Extend { .. } => Kind::Extend,
            Command::Sell(_) => Kind::Sell,
            Command::Batch(_) => Kind::Batch,
            Command::Return(_) => Kind::Return,
            Command::Receive(_) => Kind::Receive,
            Command::WriteOff(_) => Kind::WriteOff,
            Command::Transfer(_) => Kind::Transfer,
            Command::Import { .. } => Kind::Import,
            Command::SetItem { .. } => Kind::SetItem,
            Command::SetDraining { .. } => Kind::Drain,
            Command::Read { .. }
            | Command::Reservations { .. }
            | Command::Books { .. }
            | Command::Items { .. }
            | Command::Nodes
            | Command::Rebalance { .. }
            | Command::Check => Kind::Read,
        }
    }

    /// Whether one of this kind ever has to wait: for rights, or for another node.
    pub fn may_wait(self) -> bool {
        !matches!(self, Kind::Return | Kind::Receive | Kind::WriteOff | Kind::Import | Kind::SetItem)
    }
}

/// What was reached, and how often.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// Requests under way, by fault, kind and stage.
    pub cells: Vec<[[u64; STAGES]; KINDS]>,
    pub requests: [u64; KINDS],
    pub faults: Vec<u64>,
    pub mishaps: [u64; Mishap::ALL.len()],
    pub marks: Vec<u64>,
    /// Reservations and sales made.
    pub reservations: u64,
}

impl Default for Coverage {
    fn default() -> Coverage {
        Coverage {
            cells: vec![[[0; STAGES]; KINDS]; Fault::ALL.len()],
            requests: [0; KINDS],
            faults: vec![0; Fault::ALL.len()],
            mishaps: [0; Mishap::ALL.len()],
            marks: vec![0; Mark::ALL.len()],
            reservations: 0,
        }
    }
}

impl Coverage {
    pub fn hit(&mut self, mark: Mark) {
        self.marks[mark as usize] += 1;
    }

    pub fn hit_if(&mut self, holds: bool, mark: Mark) {
        self.marks[mark as usize] += u64::from(holds);
    }

    pub fn mishap(&mut self, mishap: Mishap) {
        self.mishaps[mishap as usize] += 1;
    }

    pub fn requested(&mut self, kind: Kind) {
        self.requests[kind as usize] += 1;
    }

    pub fn struck(&mut self, fault: Fault) {
        self.faults[place(fault)] += 1;
    }

    /// A fault met a request.
    pub fn met(&mut self, fault: Fault, kind: Kind, stage: Stage) {
        self.cells[place(fault)][kind as usize][stage as usize] += 1;
    }

    pub fn add(&mut self, other: &Coverage) {
        for (cells, others) in self.cells.iter_mut().zip(&other.cells) {
            for (cell, more) in cells.iter_mut().zip(others) {
                sum(cell, more);
            }
        }
        sum(&mut self.requests, &other.requests);
        sum(&mut self.faults, &other.faults);
        sum(&mut self.mishaps, &other.mishaps);
        sum(&mut self.marks, &other.marks);
        self.reservations += other.reservations;
    }

    /// Marks and pairs of fault and request that were never reached, by name. A pair counts as
    /// reached if the request was open or had just been answered; for kinds that may wait, waiting
    /// is a pair of its own.
    pub fn missing(&self) -> Vec<String> {
        let unmarked = Mark::ALL.iter().filter(|mark| self.marks[**mark as usize] == 0);
        let mut missing: Vec<String> = unmarked.map(|mark| mark.name()).collect();
        for fault in Fault::ALL {
            for kind in Kind::ALL {
                let [open, waiting, answered] = self.cells[place(*fault)][*kind as usize];
                if open + answered == 0 {
                    missing.push(format!("{} x {}", fault.name(), kind.name()));
                }
                if kind.may_wait() && waiting == 0 {
                    missing.push(format!("{} x {} waiting", fault.name(), kind.name()));
                }
            }
        }
        missing
    }
}

fn place(fault: Fault) -> usize {
    Fault::ALL.iter().position(|other| *other == fault).expect("ALL has every fault")
}

fn sum(own: &mut [u64], other: &[u64]) {
    own.iter_mut().zip(other).for_each(|(own, other)| *own += other);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_reached_is_named() {
        let mut coverage = Coverage::default();
        let all = coverage.missing().len();
        assert!(all > 40 + Fault::ALL.len() * KINDS);
        coverage.hit(Mark::TwoOwners);
        coverage.met(Fault::ALL[0], Kind::Put, Stage::Answered);
        coverage.met(Fault::ALL[0], Kind::Put, Stage::Waiting);
        let missing = coverage.missing();
        assert_eq!(missing.len(), all - 3);
        assert!(!missing.contains(&"TwoOwners".to_string()));
        assert!(missing.contains(&"SoldOut".to_string()));
    }

    #[test]
    fn worlds_add_up() {
        let (mut one, mut other) = (Coverage::default(), Coverage::default());
        other.hit(Mark::Sold);
        other.met(Fault::ALL[1], Kind::Read, Stage::Open);
        other.requested(Kind::Sell);
        other.mishap(Mishap::ReplyLost);
        one.add(&other);
        one.add(&other);
        assert_eq!(one.marks[Mark::Sold as usize], 2);
        assert_eq!(one.cells[1][Kind::Read as usize], [2, 0, 0]);
        assert_eq!((one.requests[Kind::Sell as usize], one.mishaps[Mishap::ReplyLost as usize]), (2, 2));
    }
}
