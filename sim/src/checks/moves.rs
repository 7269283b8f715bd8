//! Rights go where buyers are, and stay there: units that the policy moves between hosts are
//! held against units that buyers took. Operators' transfers and drains do not count.

use std::collections::BTreeMap;

use stockade::types::{Cell, Sku};
use stockade::wire::{Batch, Cause, Record};

use super::{Checked, Property, ensure};

/// Units of one item that the policy moved, and that buyers wanted and took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub moved: u64,
    pub taken: u64,
    pub wanted: u64,
}

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
                        (Cell::Sent(_), Cause::GiveForBuyer | Cause::GiveForBalance) => {
                            sums.moved += raised.by.0;
                        }
                        (Cell::Taken, Cause::Reserve | Cause::Replace | Cause::Confirm | Cause::Sell) => {
                            sums.taken += raised.by.0;
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    pub fn wanted(&mut self, sku: &Sku, units: u64) {
        self.0.entry(sku.clone()).or_default().wanted += units;
    }

    pub fn sums(&self) -> impl Iterator<Item = (&Sku, &Sums)> {
        self.0.iter()
    }
}
