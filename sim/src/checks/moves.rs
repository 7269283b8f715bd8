//! Rights go where buyers are, and stay there: units that the policy moves between hosts are
//! held against units that buyers took and asked for. Operators' transfers and drains do not count.
//!
//! A unit that a buyer takes may have come to him by two moves: one ahead of need to where demand
//! was, one to where it is. One that he asks for may come too late for him, on a slow disk or over
//! a slow link, and then moved once for nothing. Besides these, each host may once have gathered
//! all there is for demand that then ceased; that is the constant, hosts times units that ever
//! came in. In the calm, with one host that sells, a unit moves once: there.

use std::collections::BTreeMap;

use stockade::types::{Cell, Line, Sku};
use stockade::wire::{Batch, Cause, Record};

use super::{Checked, Property, ensure};

/// Units of one item that the policy moved, and that buyers took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub moved: u64,
    pub taken: u64,
    pub came: u64,
    /// By buyers, served or not.
    pub asked: u64,
}

/// Moves that a unit which a buyer takes may make.
const MOVES: u64 = 2;

#[derive(Clone, Debug, Default)]
pub struct Moves(BTreeMap<Sku, Sums>);

impl Moves {
    /// A batch reached the disk. (What a crash undoes was never sent, and so never moved.)
    pub fn synced(&mut self, batch: &Batch) {
        for record in &batch.records {
            let Record::Change(change) = record else { continue };
            for raise in &change.rows {
                let sums = self.0.entry(raise.sku.clone()).or_default();
                for raised in &raise.cells {
                    match (raised.new.cell, change.cause) {
                        (Cell::Sent(_), cause) if cause.is_policy_gift() => {
                            sums.moved += raised.by.0;
                        }
                        (Cell::Taken, Cause::Reserve | Cause::Replace | Cause::Confirm | Cause::Sell) => {
                            sums.taken += raised.by.0;
                        }
                        (Cell::Received | Cell::Returned, _) => sums.came += raised.by.0,
                        _ => {}
                    }
                }
            }
        }
    }

    /// A buyer asks for these.
    pub fn asked(&mut self, lines: &[Line]) {
        for line in lines {
            self.0.entry(line.sku.clone()).or_default().asked += line.quantity.0;
        }
    }

    pub fn moved(&self, sku: &Sku) -> u64 {
        self.0.get(sku).map_or(0, |sums| sums.moved)
    }

    /// # Errors
    /// When units of an item went to and fro.
    pub fn check(&self, hosts: usize) -> Checked {
        for (sku, Sums { moved, taken, came, asked }) in &self.0 {
            ensure(*moved <= MOVES * taken + asked + hosts as u64 * came, Property::Moves, || {
                format!(
                    "{sku}: {moved} units were moved between {hosts} hosts, {asked} asked for, {taken} \
                     taken, {came} came in"
                )
            })?;
        }
        Ok(())
    }
}

/// While one host sold out the `free` units of an item, and nobody else asked, `moved` units moved.
///
/// # Errors
/// When one did so twice.
pub fn check_calm(sku: &Sku, free: i128, moved: u64) -> Checked {
    ensure(i128::from(moved) <= free, Property::Moves, || {
        format!("{sku}: one host sold {free} units, and {moved} moved")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sku() -> Sku {
        Sku::new("TEE").unwrap()
    }

    #[test]
    fn units_that_go_to_and_fro_are_found() {
        let with = |moved| Moves([(sku(), Sums { moved, taken: 5, came: 10, asked: 3 })].into());
        assert_eq!(with(43).check(3), Ok(()));
        assert!(with(44).check(3).is_err());
        assert_eq!(check_calm(&sku(), 5, 5), Ok(()));
        assert!(check_calm(&sku(), 5, 6).is_err());
    }

    #[test]
    fn moves_are_what_the_policy_made() {
        use stockade::types::{CellValue, ReplicaId, Seq, Timestamp, Units};
        use stockade::wire::{CellRaise, Change, Raise};
        let to = Cell::Sent(ReplicaId(uuid::Uuid::from_u128(2)));
        let change = |cause, cell, by| {
            let cells = vec![CellRaise { new: CellValue { cell, value: 9 }, by: Units(by) }];
            Record::Change(Box::new(Change {
                time: Timestamp(1),
                cause,
                actor: None,
                reference: None,
                rows: vec![Raise { sku: sku(), seq: Seq(1), cells, demand: None, allowance: None }],
                entries: vec![],
                reservation: None,
                request: None,
                reason: None,
                placed: None,
            }))
        };
        let mut moves = Moves::default();
        let records = vec![
            change(Cause::Receive, Cell::Received, 7),
            change(Cause::GiveForBuyer, to, 2),
            change(Cause::GiveForBalance, to, 3),
            change(Cause::Transfer, to, 4),
            change(Cause::Sell, Cell::Taken, 1),
            change(Cause::WriteOff, Cell::Taken, 6),
        ];
        moves.asked(&[Line { sku: sku(), quantity: Units(2) }]);
        moves.synced(&Batch { time: Timestamp(1), records });
        assert_eq!(moves.0[&sku()], Sums { moved: 5, taken: 1, came: 7, asked: 2 });
    }
}
