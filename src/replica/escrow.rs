//! The books of one item at one replica: a row of counters that only grow.
//!
//! Only its owner writes a row, so any newer version of it contains every older one, and
//! merging is taking the larger value cell by cell. The row is a bounded counter in the sense
//! of Balegas et al. (SRDS 2015) and of O'Neil's escrow (TODS 1986): what a replica may spend
//! follows from its own row alone.
//!
//! ```text
//! held      = taken - released - sold - retired
//! inflow    = received + returned + sum credited + sum reclaimed
//! available = inflow - sum sent - (taken - released)          never negative, never clamped
//! ```

use std::cmp::Ordering;

use crdts::{CmRDT, CvRDT, Dot, VClock};

use crate::planted::{self, Bug};
use crate::types::{Cell, CellValue, Gauge, Overflow, ReplicaId, Seq, Units};
use crate::wire::RowBody;

/// `mark` of a row whose spending is not bounded.
pub const UNBOUNDED: u64 = u64::MAX;

/// One replica's row about one item.
///
/// The cells are a `VClock`: for each [`Cell`] a grow-only counter with one writer. A cell that
/// was never raised is absent, not zero, so that equal rows are equal clocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its version: the place in its owner's log where it last changed.
    pub seq: Seq,
    /// The nonce of the owner's session that wrote this version.
    pub session: u64,
    cells: VClock<Cell>,
    /// Bounds `taken`; see `src/replica/marks.rs`.
    pub mark: u64,
    /// What of the mark was confirmed when this version was written.
    pub limit: u64,
    /// How many peers must hold a mark before it counts.
    pub q: u8,
    /// What buyers asked for at its owner. Not part of the books.
    pub demand: Gauge,
    /// What follows from the cells: asked for much more often than they change.
    sums: Result<Balances, Unbalanced>,
}

/// What follows from a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balances {
    pub held: Units,
    pub available: Units,
    pub inflow: Units,
    pub sent: Units,
    pub credited: Units,
}

/// A row whose numbers contradict each other. Its owner never makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unbalanced {
    #[error("more was released, sold and retired than was ever taken")]
    Held,
    #[error("more was spent than ever came in")]
    Available,
    #[error("its sums do not fit 64 bits")]
    Overflow,
    #[error("more was taken than its mark allows")]
    Mark,
    #[error("its limit is above its mark")]
    Limit,
}

impl Default for Row {
    fn default() -> Self {
        Row {
            seq: Seq::ZERO,
            session: 0,
            cells: VClock::new(),
            mark: UNBOUNDED,
            limit: UNBOUNDED,
            q: 0,
            demand: Gauge::default(),
            sums: Ok(Balances::default()),
        }
    }
}

impl Row {
    pub fn count(&self, cell: Cell) -> Units {
        Units(self.cells.get(&cell))
    }

    /// The cells above zero, in order.
    pub fn cells(&self) -> impl Iterator<Item = CellValue> + '_ {
        self.cells.iter().map(|dot| CellValue { cell: *dot.actor, value: dot.counter })
    }

    /// The operation that raises `cell` by `by`; nothing is changed yet.
    ///
    /// # Errors
    /// When the sum does not fit.
    pub fn raised(&self, cell: Cell, by: Units) -> Result<Dot<Cell>, Overflow> {
        if planted::is_on(Bug::WrapAt32) {
            return Ok(Dot::new(cell, (self.count(cell).0 + by.0) % (1 << 32)));
        }
        // Not `inc_many`: it wraps silently on overflow.
        Ok(Dot::new(cell, self.count(cell).plus(by)?.0))
    }

    /// All balances, each checked.
    ///
    /// # Errors
    /// When the row contradicts itself.
    pub fn balances(&self) -> Result<Balances, Unbalanced> {
        self.sums
    }

    fn reckon(&self) -> Result<Balances, Unbalanced> {
        let (mut inflow, mut sent, mut credited) = (0u128, 0u128, 0u128);
        for CellValue { cell, value } in self.cells() {
            let value = u128::from(value);
            match cell {
                Cell::Received | Cell::Returned | Cell::Reclaimed(_) => inflow += value,
                Cell::Credited(_) => {
                    inflow += value;
                    credited += value;
                }
                Cell::Sent(_) => sent += value,
                Cell::Taken | Cell::Released | Cell::Sold | Cell::Retired => {}
            }
        }
        let of = |cell| u128::from(self.cells.get(&cell));
        let ended = of(Cell::Released) + of(Cell::Sold) + of(Cell::Retired);
        let held = of(Cell::Taken).checked_sub(ended).ok_or(Unbalanced::Held)?;
        let spent = sent + of(Cell::Taken) - of(Cell::Released);
        let available = inflow.checked_sub(spent).ok_or(Unbalanced::Available)?;
        let fit = |wide: u128| u64::try_from(wide).map(Units).map_err(|_| Unbalanced::Overflow);
        Ok(Balances {
            held: fit(held)?,
            available: fit(available)?,
            inflow: fit(inflow)?,
            sent: fit(sent)?,
            credited: fit(credited)?,
        })
    }

    /// Units that there is a right to: they may be given away.
    pub fn available(&self) -> Units {
        self.balances().map_or(Units::ZERO, |b| b.available)
    }

    /// The one place that says how many units may be spent from this row: what is available,
    /// and below the limit.
    pub fn spendable(&self, limit: u64) -> Units {
        self.available().min(Units(limit).excess_over(self.count(Cell::Taken)))
    }

    /// The row as it is stored and sent.
    pub fn body(&self) -> RowBody {
        let limit = (self.limit != self.mark).then_some(self.limit);
        let (cells, demand) = (self.cells().collect(), Some(self.demand));
        RowBody { cells, mark: self.mark, q: self.q, demand, limit }
    }

    /// A row from what was stored or sent. Zero cells are dropped and the largest of repeated
    /// ones counts, so that equal rows are equal clocks.
    pub fn from_body(seq: Seq, session: u64, body: &RowBody) -> Row {
        let mut cells = VClock::new();
        for CellValue { cell, value } in &body.cells {
            if *value > 0 {
                cells.apply(Dot::new(*cell, *value));
            }
        }
        let demand = body.demand.unwrap_or_default();
        let sums = Ok(Balances::default());
        let (mark, limit) = (body.mark, body.limit.unwrap_or(body.mark));
        let mut row = Row { seq, session, cells, mark, limit, q: body.q, demand, sums };
        row.sums = row.reckon();
        row
    }

    /// Whether every cell of `self` is at least what it is in `older`.
    pub fn has_grown_from(&self, older: &Row) -> bool {
        matches!(self.cells.partial_cmp(&older.cells), Some(Ordering::Equal | Ordering::Greater))
    }

    /// Checks the row by itself, as a peer must before it believes it.
    ///
    /// # Errors
    /// When it contradicts itself.
    pub fn validate(&self) -> Result<(), Unbalanced> {
        self.balances()?;
        match self.count(Cell::Taken).0 {
            _ if self.limit > self.mark => Err(Unbalanced::Limit),
            taken if taken > self.limit => Err(Unbalanced::Mark),
            _ => Ok(()),
        }
    }

    pub fn sent_to(&self, to: ReplicaId) -> Units {
        self.count(Cell::Sent(to))
    }

    pub fn credited_from(&self, from: ReplicaId) -> Units {
        self.count(Cell::Credited(from))
    }
}

/// State-based merge: the larger value of each cell. The version that is further on gives
/// what is not a counter.
impl CvRDT for Row {
    type Validation = Unbalanced;

    fn validate_merge(&self, other: &Self) -> Result<(), Unbalanced> {
        other.validate()
    }

    fn merge(&mut self, other: Self) {
        let version = |row: &Row| (row.seq, row.demand, row.session, row.mark, row.limit, row.q);
        if version(&other) > version(self) {
            (self.seq, self.demand, self.session, self.mark, self.limit, self.q) = version(&other);
        }
        self.cells.merge(other.cells);
        self.sums = self.reckon();
    }
}

/// Operation-based: a cell's new absolute value.
impl CmRDT for Row {
    type Op = Dot<Cell>;
    type Validation = Overflow;

    // Not the clock's own validation: that one takes a step of more than 1 for a lost operation.
    fn validate_op(&self, _: &Dot<Cell>) -> Result<(), Overflow> {
        Ok(())
    }

    fn apply(&mut self, op: Dot<Cell>) {
        self.cells.apply(op);
        self.sums = self.reckon();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn id(n: u128) -> ReplicaId {
        ReplicaId(Uuid::from_u128(n))
    }

    fn cell() -> impl Strategy<Value = Cell> {
        prop_oneof![
            Just(Cell::Received),
            Just(Cell::Returned),
            Just(Cell::Taken),
            Just(Cell::Released),
            Just(Cell::Sold),
            Just(Cell::Retired),
            (0..3u128).prop_map(|n| Cell::Sent(id(n))),
            (0..3u128).prop_map(|n| Cell::Credited(id(n))),
            (0..3u128).prop_map(|n| Cell::Reclaimed(id(n))),
        ]
    }

    fn row() -> impl Strategy<Value = Row> {
        (prop::collection::vec((cell(), 0..50u64), 0..12), 0..9u64, 0..9u64, 0..9u64).prop_map(
            |(cells, seq, units, mark)| {
                let demand = Some(Gauge { units, ..Gauge::default() });
                let cells = cells.into_iter().map(|(cell, value)| CellValue { cell, value }).collect();
                Row::from_body(Seq(seq), seq, &RowBody { cells, mark, q: 0, demand, limit: None })
            },
        )
    }

    fn merged(a: &Row, b: &Row) -> Row {
        let mut all = a.clone();
        all.merge(b.clone());
        all
    }

    proptest! {
        #[test]
        fn merge_is_commutative_associative_and_idempotent(a in row(), b in row(), c in row()) {
            prop_assert_eq!(merged(&a, &b), merged(&b, &a));
            prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
            prop_assert_eq!(merged(&a, &a), a);
        }

        #[test]
        fn operations_commute_and_repeat_without_harm(ops in prop::collection::vec((cell(), 1..99u64), 1..20)) {
            let mut forward = Row::default();
            let mut backward = Row::default();
            for (cell, value) in &ops {
                forward.apply(Dot::new(*cell, *value));
            }
            for (cell, value) in ops.iter().rev().chain(&ops) {
                backward.apply(Dot::new(*cell, *value));
            }
            prop_assert_eq!(forward, backward);
        }

        #[test]
        fn a_row_survives_the_round_trip(row in row()) {
            prop_assert_eq!(Row::from_body(row.seq, row.session, &row.body()), row);
        }

        #[test]
        fn a_merge_contains_both_sides(a in row(), b in row()) {
            let all = merged(&a, &b);
            prop_assert!(all.has_grown_from(&a) && all.has_grown_from(&b));
        }
    }

    #[test]
    fn balances_follow_the_formulas() {
        let mut row = Row::default();
        for (cell, value) in [
            (Cell::Received, 100),
            (Cell::Returned, 5),
            (Cell::Credited(id(1)), 10),
            (Cell::Sent(id(2)), 20),
            (Cell::Taken, 30),
            (Cell::Released, 4),
            (Cell::Sold, 11),
            (Cell::Retired, 2),
        ] {
            row.apply(Dot::new(cell, value));
        }
        let balances = row.balances().unwrap();
        assert_eq!(balances.held, Units(30 - 4 - 11 - 2));
        assert_eq!(balances.inflow, Units(115));
        assert_eq!(balances.available, Units(115 - 20 - 26));
        assert_eq!(row.available(), Units(115 - 20 - 26));
        assert_eq!(row.spendable(31), Units(1));
    }

    #[test]
    fn a_row_that_spent_what_it_never_had_is_refused() {
        let mut row = Row::default();
        row.apply(Dot::new(Cell::Taken, 1));
        assert_eq!(row.validate(), Err(Unbalanced::Available));
        row.apply(Dot::new(Cell::Received, u64::MAX));
        row.apply(Dot::new(Cell::Returned, u64::MAX));
        assert_eq!(row.validate(), Err(Unbalanced::Overflow));
        let mut row = Row::default();
        row.apply(Dot::new(Cell::Sold, 1));
        assert_eq!(row.validate(), Err(Unbalanced::Held));
    }

    #[test]
    fn raising_past_64_bits_is_refused() {
        let mut row = Row::default();
        row.apply(Dot::new(Cell::Received, u64::MAX));
        assert_eq!(row.raised(Cell::Received, Units(1)), Err(Overflow));
    }
}
