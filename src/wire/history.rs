//! An item's history at one node: what each of the node's changes did to it.
//!
//! It is made from the journal's records and never read back into the books; what is lost of
//! it explains less, and sells nothing twice.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::entry::{Body, Key};
use super::record::{Actor, Batch, Cause, Change, Raise, Record};
use crate::types::{Cell, CellValue, Policy, ReplicaId, ReservationId, Sku, Timestamp};

/// What one change did to one item, towards one other replica if units moved.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct HistoryEntry {
    #[n(0)]
    pub time: Timestamp,
    #[n(1)]
    pub cause: Cause,
    #[n(2)]
    pub actor: Option<Actor>,
    #[n(3)]
    pub reference: Option<String>,
    #[n(4)]
    pub reason: Option<String>,
    #[n(5)]
    pub reservation: Option<ReservationId>,
    /// The cells that rose, each with by how much. At most one other replica is named.
    #[n(6)]
    pub raised: Vec<CellValue>,
    /// What an admin set.
    #[n(7)]
    pub policy: Option<Policy>,
}

impl HistoryEntry {
    /// The replica that units came from or went to.
    pub fn counterpart(&self) -> Option<ReplicaId> {
        self.raised.iter().find_map(|rise| counterpart(rise.cell))
    }
}

/// An entry with its place in its node's history: numbers rise with time.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Numbered {
    #[n(0)]
    pub number: u64,
    #[n(1)]
    pub entry: HistoryEntry,
}

/// Which entries of a history are wanted: those before this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Before {
    /// All.
    #[n(0)]
    End,
    #[n(1)]
    Number(#[n(0)] u64),
    #[n(2)]
    Time(#[n(0)] Timestamp),
}

impl Before {
    pub fn admits(self, told: &Numbered) -> bool {
        match self {
            Before::End => true,
            Before::Number(number) => told.number < number,
            Before::Time(time) => told.entry.time < time,
        }
    }
}

/// What a batch did to items, in order. Only the replica's own changes: what it took in of
/// others stands in their histories.
pub fn of_batch(batch: &Batch) -> impl Iterator<Item = (&Sku, HistoryEntry)> {
    let changes = batch.records.iter().filter_map(|record| match record {
        Record::Change(change) => Some(&**change),
        _ => None,
    });
    changes.flat_map(of_change)
}

fn of_change(change: &Change) -> impl Iterator<Item = (&Sku, HistoryEntry)> {
    let rows = change.rows.iter().flat_map(move |raise| {
        let policy = setting(change, &raise.sku);
        by_counterpart(raise)
            .into_iter()
            .map(move |raised| (&raise.sku, entry(change, raised, policy.clone())))
    });
    let settings = change.entries.iter().filter_map(move |written| match &written.key {
        Key::Setting(sku) if change.rows.iter().all(|raise| raise.sku != *sku) => {
            Some((sku, entry(change, Vec::new(), setting(change, sku))))
        }
        _ => None,
    });
    rows.chain(settings)
}

/// The cells that rose: those of movements from and to each other replica by themselves.
fn by_counterpart(raise: &Raise) -> Vec<Vec<CellValue>> {
    let mut groups: BTreeMap<Option<ReplicaId>, Vec<CellValue>> = BTreeMap::new();
    for raised in &raise.cells {
        let rise = CellValue { cell: raised.new.cell, value: raised.by.0 };
        groups.entry(counterpart(rise.cell)).or_default().push(rise);
    }
    groups.into_values().collect()
}

fn counterpart(cell: Cell) -> Option<ReplicaId> {
    match cell {
        Cell::Sent(other) | Cell::Credited(other) | Cell::Reclaimed(other) => Some(other),
        _ => None,
    }
}

fn setting(change: &Change, of: &Sku) -> Option<Policy> {
    change.entries.iter().find_map(|written| match (&written.key, &written.body) {
        (Key::Setting(sku), Body::Setting(setting)) if sku == of => Some(setting.policy.clone()),
        _ => None,
    })
}

fn entry(change: &Change, raised: Vec<CellValue>, policy: Option<Policy>) -> HistoryEntry {
    HistoryEntry {
        time: change.time,
        cause: change.cause,
        actor: change.actor,
        reference: change.reference.clone(),
        reason: change.reason.clone(),
        reservation: change.reservation.as_ref().map(|reservation| reservation.id.clone()),
        raised,
        policy,
    }
}
