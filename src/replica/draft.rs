//! A change in the making: which own cells rise, under which sequences.

use std::collections::BTreeMap;

use super::log::NextSeq;
use super::state::State;
use crate::types::{Cell, CellValue, Gauge, Overflow, Refusal, Reservation, Sku, Timestamp, Units};
use crate::wire::{Actor, Body, Cause, CellRaise, Change, Entry, Key, Raise};

/// Collects what one change will do. Nothing of the state is touched until it is applied.
#[derive(Debug)]
pub struct Draft<'a> {
    state: &'a State,
    now: Timestamp,
    pub cause: Cause,
    cells: BTreeMap<Sku, Vec<CellRaise>>,
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
            None => super::escrow::Row::default().raised(cell, by)?,
        };
        let cells = self.cells.entry(sku.clone()).or_default();
        debug_assert!(cells.iter().all(|c| c.new.cell != cell), "a cell is raised once a draft");
        cells.push(CellRaise { new: CellValue { cell: dot.actor, value: dot.counter }, by });
        Ok(())
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
            Raise { sku, seq: next.advance(), cells, demand }
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

/// A counter that would not fit: refused, with the field that did it.
pub fn too_many(field: &'static str) -> impl Fn(Overflow) -> Refusal {
    move |overflow| Refusal::Invalid { field: field.to_string(), message: overflow.to_string() }
}
