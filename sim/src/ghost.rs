//! The books as the oracle keeps them: reckoned anew from the records that hosts journal, by
//! code that shares nothing with the replica's own.

use std::collections::BTreeMap;

use stockade::types::{Cell, Policy, ReplicaId, Reservation, ReservationId, Seq, Sku, Timestamp};
use stockade::wire::{Body, Cause, Change, Entry, Key, Record};

use crate::checks::overselling::Kind;

/// One replica's row about one item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row(pub BTreeMap<Cell, u64>);

/// What one replica has recorded: all its rows and reservations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub rows: BTreeMap<Sku, Row>,
    pub reservations: BTreeMap<ReservationId, Reservation>,
    /// Units that admins moved away.
    pub transferred: BTreeMap<Sku, u64>,
    /// What an admin last set, as far as it is known here: the newest by (time, replica).
    pub settings: BTreeMap<Sku, (Timestamp, ReplicaId, Policy)>,
    /// The own rows' marks, and what of them was confirmed when they were written.
    pub marks: BTreeMap<Sku, (u64, u64)>,
    /// The newest version of others' rows that is here, and its mark.
    pub marks_of_others: BTreeMap<(Sku, ReplicaId), (Seq, u64)>,
    pub is_draining: bool,
    /// Where reservations were sent to be made there.
    pub placed: BTreeMap<ReservationId, ReplicaId>,
}

impl Row {
    pub fn of(&self, cell: Cell) -> i128 {
        i128::from(self.0.get(&cell).copied().unwrap_or(0))
    }

    pub fn held(&self) -> i128 {
        self.of(Cell::Taken) - self.of(Cell::Released) - self.of(Cell::Sold) - self.of(Cell::Retired)
    }

    pub fn available(&self) -> i128 {
        let credited = self.sum(|cell| matches!(cell, Cell::Credited(_) | Cell::Reclaimed(_)));
        let sent = self.sum(|cell| matches!(cell, Cell::Sent(_)));
        let inflow = self.of(Cell::Received) + self.of(Cell::Returned) + credited;
        inflow - sent - (self.of(Cell::Taken) - self.of(Cell::Released))
    }

    /// What came in and is neither claimed nor sold; summed over all replicas it is what is free
    /// or in flight.
    pub fn not_claimed(&self) -> i128 {
        self.of(Cell::Received) + self.of(Cell::Returned) - (self.of(Cell::Taken) - self.of(Cell::Released))
    }

    fn sum(&self, which: impl Fn(Cell) -> bool) -> i128 {
        self.0.iter().filter(|(cell, _)| which(**cell)).map(|(_, value)| i128::from(*value)).sum()
    }

    pub fn sent_to(&self, to: ReplicaId) -> i128 {
        self.of(Cell::Sent(to))
    }

    pub fn credited_from(&self, from: ReplicaId) -> i128 {
        self.of(Cell::Credited(from))
    }
}

impl Ledger {
    /// Units of an item that came, left or were moved in this way, in all.
    pub fn moved(&self, kind: Kind, sku: &Sku) -> i128 {
        let of = |cell| self.rows.get(sku).map_or(0, |row| row.of(cell));
        match kind {
            Kind::Receipt => of(Cell::Received),
            Kind::Return => of(Cell::Returned),
            Kind::WriteOff => of(Cell::Retired),
            Kind::Transfer => i128::from(self.transferred.get(sku).copied().unwrap_or(0)),
        }
    }

    /// Something was recorded about an item.
    pub fn knows(&self, sku: &Sku) -> bool {
        self.rows.contains_key(sku) || self.settings.contains_key(sku)
    }

    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Change(change) => self.apply_change(change),
            Record::Merge(merge) => merge.entries.iter().for_each(|entry| {
                self.apply_setting(entry);
                self.apply_other(entry);
            }),
            _ => {}
        }
    }

    fn apply_other(&mut self, entry: &Entry) {
        let (Key::Item(sku), Body::Item(row)) = (&entry.key, &entry.body) else { return };
        let known = self.marks_of_others.entry((sku.clone(), entry.origin)).or_default();
        *known = (*known).max((entry.seq, row.mark));
    }

    fn apply_setting(&mut self, entry: &Entry) {
        let (Key::Setting(sku), Body::Setting(setting)) = (&entry.key, &entry.body) else { return };
        let known = self.settings.get(sku);
        if known.is_none_or(|(time, by, _)| (*time, *by) < (setting.time, entry.origin)) {
            self.settings.insert(sku.clone(), (setting.time, entry.origin, setting.policy.clone()));
        }
    }

    pub fn apply_change(&mut self, change: &Change) {
        for entry in &change.entries {
            self.apply_setting(entry);
            if let Body::Draining(draining) = entry.body {
                self.is_draining = draining;
            }
        }
        for raise in &change.rows {
            let row = self.rows.entry(raise.sku.clone()).or_default();
            row.0.extend(raise.cells.iter().map(|raised| (raised.new.cell, raised.new.value)));
            let bounds = raise.allowance.map_or((u64::MAX, u64::MAX), |a| (a.mark, a.limit));
            self.marks.insert(raise.sku.clone(), bounds);
        }
        if change.cause == Cause::Transfer {
            for raise in &change.rows {
                let by = raise.cells.iter().map(|raised| raised.by.0).sum::<u64>();
                *self.transferred.entry(raise.sku.clone()).or_default() += by;
            }
        }
        if let Some(reservation) = &change.reservation {
            self.reservations.insert(reservation.id.clone(), reservation.clone());
        }
        match &change.placed {
            Some(note) if note.withdrawn => drop(self.placed.remove(&note.id)),
            Some(note) => drop(self.placed.insert(note.id.clone(), note.at)),
            None => {}
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn id(n: u128) -> ReplicaId {
        ReplicaId(uuid::Uuid::from_u128(n))
    }

    pub fn row(cells: &[(Cell, u64)]) -> Row {
        Row(cells.iter().copied().collect())
    }

    #[test]
    fn balances_follow_the_formulas() {
        let row = row(&[
            (Cell::Received, 100),
            (Cell::Credited(id(1)), 10),
            (Cell::Sent(id(2)), 20),
            (Cell::Taken, 30),
            (Cell::Released, 4),
            (Cell::Sold, 11),
            (Cell::Retired, 2),
        ]);
        assert_eq!((row.held(), row.available()), (13, 64));
    }
}
