//! A change in the making: which own cells rise, under which sequences.

use std::collections::BTreeMap;

use super::escrow::Row;
use super::log::NextSeq;
use super::state::State;
use crate::types::{Cell, CellValue, Gauge, Overflow, Refusal, Reservation, Sku, Timestamp, Units};
use crate::wire::record::Allowance;
use crate::wire::{Actor, Body, Cause, CellRaise, Change, Entry, Key, Raise};

/// Collects what one change will do. Nothing of the state is touched until it is applied.
#[derive(Debug)]
pub struct Draft<'a> {
    state: &'a State,
    now: Timestamp,
    pub cause: Cause,
    cells: BTreeMap<Sku, Vec<CellRaise>>,
    /// Orders for which marks are to leave room.
    orders: BTreeMap<Sku, Units>,
    bodies: Vec<(Key, Body)>,
    pub actor: Option<Actor>,
    pub reference: Option<String>,
    pub reason: Option<String>,
    pub reservation: Option<Reservation>,
}

impl<'a> Draft<'a> {
    pub fn new(state: &'a State, now: Timestamp, cause: Cause) -> Draft<'a> {
        Draft {
            state,
            now,
            cause,
            cells: BTreeMap::new(),
            orders: BTreeMap::new(),
            bodies: Vec::new(),
            actor: None,
            reference: None,
            reason: None,
            reservation: None,
        }
    }

    /// Raises one cell of the own row about `sku`. Each cell once a draft.
    ///
    /// # Errors
    /// When the counter would not fit 64 bits.
    pub fn raise(&mut self, sku: &Sku, cell: Cell, by: Units) -> Result<(), Overflow> {
        if by.is_zero() {
            return Ok(());
        }
        let dot = match self.state.own_row(sku) {
            Some(row) => row.raised(cell, by)?,
            None => Row::default().raised(cell, by)?,
        };
        let cells = self.cells.entry(sku.clone()).or_default();
        debug_assert!(cells.iter().all(|c| c.new.cell != cell), "a cell is raised once a draft");
        cells.push(CellRaise { new: CellValue { cell: dot.actor, value: dot.counter }, by });
        Ok(())
    }

    /// Writes the own row's mark anew, with room for an order of so many units.
    pub fn make_room(&mut self, sku: &Sku, order: Units) {
        self.cells.entry(sku.clone()).or_default();
        self.orders.insert(sku.clone(), order);
    }

    /// Writes an own entry that is not a row.
    pub fn write(&mut self, key: Key, body: Body) {
        self.bodies.push((key, body));
    }

    /// The finished change. `demand` gives an item's gauge.
    pub fn seal(self, demand: impl Fn(&Sku) -> Option<Gauge>) -> Change {
        let (me, session) = (self.state.me(), self.state.session());
        let mut next: NextSeq = self.state.next_seq();
        let rows = self.cells.into_iter().map(|(sku, cells)| {
            let demand = demand(&sku);
            let order = self.orders.get(&sku).copied().unwrap_or_default();
            let allowance = allowance(self.state, &sku, &cells, order);
            Raise { sku, seq: next.advance(), cells, demand, allowance }
        });
        let rows = rows.collect();
        let entries = self.bodies.into_iter();
        let entries =
            entries.map(|(key, body)| Entry { origin: me, session, seq: next.advance(), key, body });
        Change {
            time: self.now,
            cause: self.cause,
            actor: self.actor,
            reference: self.reference,
            rows,
            entries: entries.collect(),
            reservation: self.reservation,
            request: None,
            reason: self.reason,
            placed: None,
        }
    }
}

fn allowance(state: &State, sku: &Sku, cells: &[CellRaise], order: Units) -> Option<Allowance> {
    let none = Row::default();
    let row = state.own_row(sku).unwrap_or(&none);
    let raised = cells.iter().find(|raise| raise.new.cell == Cell::Taken);
    let taken = raised.map_or(row.count(Cell::Taken).0, |raise| raise.new.value);
    state.allowance(sku, row, taken, order)
}

/// A counter that would not fit: refused, with the field that did it.
pub fn too_many(field: &'static str) -> impl Fn(Overflow) -> Refusal {
    move |overflow| Refusal::Invalid { field: field.to_string(), message: overflow.to_string() }
}
