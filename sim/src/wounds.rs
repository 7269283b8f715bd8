//! What strikes have left to happen at a host: deaths that wait for their moment, and troubles that
//! last.

use stockade::types::{Cell, Position, ReservationState, Seq};
use stockade::wire::{Body, Cause, Record};

use crate::dice::Dice;
use crate::disk::{Disk, Fate};
use crate::time::Time;

#[derive(Debug, Default)]
pub struct Wounds {
    /// How the next starts end.
    pub boots: Vec<BootDeath>,
    pub at_record: Option<Ambush>,
    /// Its moment has come.
    pub sprung: Option<Ambush>,
    pub at_sync: Option<Doom>,
    /// Chunks of a checkpoint until the host crashes.
    pub at_chunk: Option<(u32, Dice)>,
    /// The next batch fails, with this fate.
    pub disk_error: Option<(Fate, Dice)>,
    pub full_until: Time,
    /// It will be looked whether there is room.
    pub awaits_room: bool,
    pub slow_until: Time,
    /// Starts that find a turned bit before it is put right, and whether it can be made up for.
    pub rot: Option<(u32, bool)>,
    /// A copy of the disk that somebody will take for the newest.
    pub copy: Option<Disk>,
    /// How often that happened.
    pub mistakes: u64,
    /// When the last of them ended.
    pub mistake_ended: Option<Time>,
    /// The host runs on an old disk; here is the right one.
    pub stale: Option<Stale>,
    /// When its clock went on after it last stood still.
    pub thawed: Time,
}

/// Where a start is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootDeath {
    /// The disk was read.
    Read,
    /// The start was recorded and not yet durable.
    Recorded(Fate),
    /// The start is durable, and nobody has heard of it.
    Durable,
}

/// A crash that waits for the worst moment.
#[derive(Debug)]
pub struct Ambush {
    pub moment: Moment,
    pub death: Death,
    pub dice: Dice,
    /// An operator acts then.
    pub deed: bool,
}

/// Something that has just been journalled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Rights were given away.
    Sent,
    /// Rights were taken in.
    Credited,
    Sold,
    /// A reservation was cancelled or has expired.
    Released,
    Imported,
    Received,
    /// A drain or its end.
    Drained,
    /// It was noted that a reservation is sent elsewhere, or that it was refused there.
    Placed,
    /// Another's rows were taken in.
    Merged,
    /// Another's start was heard of.
    HeardOfStart,
}

/// How a host dies at such a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Before the disk is given anything.
    AtOnce,
    /// While it is being written.
    InFlight,
    /// When it is durable, with so many outputs let out.
    Durable(usize),
}

/// A crash once the journal is durable to here.
#[derive(Debug)]
pub struct Doom {
    pub position: Position,
    pub outputs: usize,
    pub dice: Dice,
}

/// A life on an old disk.
#[derive(Debug)]
pub struct Stale {
    pub right: Disk,
    /// The own log on the old disk ended here.
    pub ended: Seq,
    /// Its witness knows more.
    pub is_seen: bool,
    /// It has said so.
    pub noticed: bool,
}

impl Moment {
    pub const ALL: [Moment; 10] = [
        Moment::Sent,
        Moment::Credited,
        Moment::Sold,
        Moment::Released,
        Moment::Imported,
        Moment::Received,
        Moment::Drained,
        Moment::Placed,
        Moment::Merged,
        Moment::HeardOfStart,
    ];

    /// Whether this record is what is waited for.
    pub fn is(self, record: &Record) -> bool {
        let change = match record {
            Record::Change(change) => change,
            Record::Merge(merge) => {
                let start = merge.entries.iter().any(|entry| matches!(entry.body, Body::Session(_)));
                return match self {
                    Moment::Merged => !start && !merge.entries.is_empty(),
                    Moment::HeardOfStart => start,
                    _ => false,
                };
            }
            _ => return false,
        };
        let raised = |which: fn(Cell) -> bool| {
            change.rows.iter().flat_map(|raise| &raise.cells).any(|raise| which(raise.new.cell))
        };
        let state = change.reservation.as_ref().map(|reservation| reservation.state);
        match self {
            Moment::Sent => raised(|cell| matches!(cell, Cell::Sent(_))),
            Moment::Credited => raised(|cell| matches!(cell, Cell::Credited(_))),
            Moment::Sold => raised(|cell| cell == Cell::Sold),
            Moment::Released => {
                matches!(state, Some(ReservationState::Cancelled | ReservationState::Expired))
            }
            Moment::Imported => change.cause == Cause::Import,
            Moment::Received => raised(|cell| matches!(cell, Cell::Received | Cell::Returned)),
            Moment::Drained => {
                matches!(change.cause, Cause::Drain | Cause::Resume | Cause::GiveForDrain)
            }
            Moment::Placed => change.placed.is_some(),
            Moment::Merged | Moment::HeardOfStart => false,
        }
    }
}

impl Wounds {
    /// Springs the ambush, if these records are what it waits for.
    pub fn look(&mut self, records: &[Record]) {
        let is_now = |ambush: &mut Ambush| records.iter().any(|record| ambush.moment.is(record));
        if let Some(ambush) = self.at_record.take_if(is_now) {
            self.sprung = Some(ambush);
        }
    }

    /// The faults end. What a process must be killed for is not undone here: the rotten bit and
    /// the old disk.
    pub fn heal(&mut self) {
        self.boots.clear();
        (self.at_record, self.at_sync, self.at_chunk, self.disk_error) = (None, None, None, None);
        self.copy = None;
        self.full_until = Time::ZERO;
        self.slow_until = Time::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use stockade::types::{CellValue, ReplicaId, Sku, Timestamp, Units};
    use stockade::wire::{CellRaise, Change, Raise};
    use uuid::Uuid;

    use super::*;
    use crate::dice::Stream;

    fn sent() -> Record {
        let cell = Cell::Sent(ReplicaId(Uuid::from_u128(2)));
        let raise = CellRaise { new: CellValue { cell, value: 1 }, by: Units(1) };
        let rows = vec![Raise {
            sku: Sku::new("TEE").unwrap(),
            seq: Seq(2),
            cells: vec![raise],
            demand: None,
            allowance: None,
        }];
        Record::Change(Box::new(Change {
            time: Timestamp(1),
            cause: Cause::GiveForBuyer,
            actor: None,
            reference: None,
            rows,
            entries: Vec::new(),
            reservation: None,
            request: None,
            reason: None,
            placed: None,
        }))
    }

    #[test]
    fn an_ambush_waits_for_its_moment_and_springs_once() {
        let mut wounds = Wounds::default();
        let ambush =
            |moment| Ambush { moment, death: Death::AtOnce, dice: Dice::new(1, Stream::Faults), deed: false };
        wounds.at_record = Some(ambush(Moment::Credited));
        wounds.look(&[sent()]);
        assert!(wounds.sprung.is_none());
        wounds.at_record = Some(ambush(Moment::Sent));
        wounds.look(&[sent()]);
        assert!(wounds.sprung.take().is_some());
        wounds.look(&[sent()]);
        assert!(wounds.sprung.is_none());
    }
}
