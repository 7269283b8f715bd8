//! Every change a replica journals is explained: what a reservation holds and sells is what its
//! row holds and sells more, to the unit and all lines at once; a reservation that ended stays
//! as it ended; none expires before its deadline; rights come into being by receipts and
//! returns alone, and move by transfers alone.

use std::collections::BTreeMap;

use stockade::types::{Cell, Reservation, ReservationState, Sku};
use stockade::wire::{Cause, Change};

use super::{Checked, Property, ensure};
use crate::ghost::{Ledger, Row};

/// # Errors
/// When `change` is more, less or other than its cause allows, over `before`.
pub fn check(before: &Ledger, change: &Change) -> Checked {
    let bad = |what: String| format!("{what}: {change:?}");
    let old = change.reservation.as_ref().and_then(|new| before.reservations.get(&new.id));
    if let Some(new) = &change.reservation {
        ensure(may_follow(old, new, change), Property::Changes, || {
            bad(format!("a reservation cannot go on like this from {old:?}"))
        })?;
    }
    let mut expected = Claims::default();
    expected.add(change.reservation.as_ref(), 1);
    expected.add(old, -1);
    for raise in &change.rows {
        let known = before.rows.get(&raise.sku).cloned().unwrap_or_default();
        let mut row = known.clone();
        row.0.extend(raise.cells.iter().map(|raised| (raised.new.cell, raised.new.value)));
        let (held, sold) = expected.take(&raise.sku);
        ensure(row.held() - known.held() == held, Property::Changes, || {
            bad(format!("{} is held {} more, the reservation {held}", raise.sku, row.held() - known.held()))
        })?;
        let more_sold = row.of(Cell::Sold) - known.of(Cell::Sold);
        ensure(more_sold == sold, Property::Changes, || {
            bad(format!("{} is sold {more_sold} more, the reservation {sold}", raise.sku))
        })?;
        for raised in &raise.cells {
            let cell = raised.new.cell;
            ensure(allows(change.cause, cell), Property::Changes, || {
                bad(format!("{:?} does not raise {cell:?}", change.cause))
            })?;
            let by = row.of(cell) - known.of(cell);
            ensure(by == i128::from(raised.by.0), Property::Changes, || {
                bad(format!("{cell:?} rises by {by}, history is told {}", raised.by))
            })?;
        }
        ensure(has_grown(&known, &row), Property::Changes, || bad("a counter shrank".into()))?;
    }
    ensure(expected.is_empty(), Property::Changes, || bad(format!("its rows lack {expected:?}")))
}

/// Units held and sold, by item.
#[derive(Debug, Default)]
struct Claims(BTreeMap<Sku, (i128, i128)>);

impl Claims {
    fn add(&mut self, reservation: Option<&Reservation>, sign: i128) {
        let Some(reservation) = reservation else { return };
        for line in &reservation.lines {
            let (held, sold) = self.0.entry(line.sku.clone()).or_default();
            let units = sign * i128::from(line.quantity.0);
            match reservation.state {
                ReservationState::Held => *held += units,
                ReservationState::Confirmed => *sold += units,
                ReservationState::Cancelled | ReservationState::Expired => {}
            }
        }
    }

    fn take(&mut self, sku: &Sku) -> (i128, i128) {
        self.0.remove(sku).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.0.values().all(|claim| *claim == (0, 0))
    }
}

fn may_follow(old: Option<&Reservation>, new: &Reservation, change: &Change) -> bool {
    use ReservationState::{Cancelled, Confirmed, Expired, Held};
    let Some(old) = old else {
        return new.version == 1 && matches!(new.state, Held | Confirmed);
    };
    let in_place = new.version == old.version && new.lines == old.lines;
    match (old.state, new.state) {
        (Held, Expired) => in_place && change.cause == Cause::Expire && change.time >= old.deadline,
        (Held, Cancelled) => in_place && change.cause != Cause::Withdraw,
        (Expired, Cancelled) => in_place,
        (Held, Held) => in_place || new.version == old.version + 1,
        (Expired, Held) => new.version == old.version + 1,
        (Held | Expired, Confirmed) => in_place || new.version == old.version + 1,
        _ => false,
    }
}

fn allows(cause: Cause, cell: Cell) -> bool {
    use Cause::*;
    match cell {
        Cell::Received => matches!(cause, Receive | Import),
        Cell::Returned => cause == Return,
        Cell::Taken => matches!(cause, Reserve | Replace | Confirm | Sell | WriteOff),
        Cell::Released => matches!(cause, Replace | Cancel | Expire | Sell),
        Cell::Sold => matches!(cause, Confirm | Sell),
        Cell::Retired => cause == WriteOff,
        Cell::Sent(_) => cause.is_gift(),
        Cell::Credited(_) => cause == Credit,
        Cell::Reclaimed(_) => false,
    }
}

fn has_grown(known: &Row, row: &Row) -> bool {
    known.0.iter().all(|(cell, value)| row.of(*cell) >= i128::from(*value))
}

#[cfg(test)]
pub mod tests {
    use stockade::types::{CellValue, Durability, Line, ReservationId, Seq, Timestamp, Units};
    use stockade::wire::{CellRaise, Raise};

    use super::*;
    use crate::ghost::tests::id;

    pub fn reservation(name: &str, state: ReservationState, units: u64) -> Reservation {
        Reservation {
            id: ReservationId::new(name).unwrap(),
            home: id(1),
            caller: 0,
            version: 1,
            lines: vec![Line { sku: Sku::new("TEE").unwrap(), quantity: Units(units) }],
            created_at: Timestamp(1),
            deadline: Timestamp(100),
            state,
            durability: Durability::Local,
            ended_at: Timestamp::ZERO,
        }
    }

    fn change(cause: Cause, cells: &[(Cell, u64, u64)], reservation: Option<Reservation>) -> Change {
        let raised = |(cell, value, by): &(Cell, u64, u64)| CellRaise {
            new: CellValue { cell: *cell, value: *value },
            by: Units(*by),
        };
        let cells = cells.iter().map(raised).collect();
        Change {
            time: Timestamp(50),
            cause,
            actor: None,
            reference: None,
            rows: vec![Raise {
                sku: Sku::new("TEE").unwrap(),
                seq: Seq(1),
                cells,
                demand: None,
                allowance: None,
            }],
            entries: vec![],
            reservation,
            request: None,
            reason: None,
            placed: None,
        }
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.apply_change(&change(Cause::Receive, &[(Cell::Received, 9, 9)], None));
        let held = reservation("A", ReservationState::Held, 2);
        ledger.apply_change(&change(Cause::Reserve, &[(Cell::Taken, 2, 2)], Some(held)));
        ledger
    }

    #[test]
    fn what_a_reservation_lets_go_is_what_it_held() {
        let ended = |state| Some(reservation("A", state, 2));
        let cancelled = ended(ReservationState::Cancelled);
        assert_eq!(
            check(&ledger(), &change(Cause::Cancel, &[(Cell::Released, 2, 2)], cancelled.clone())),
            Ok(())
        );
        for wrong in [1, 3] {
            let wrong = change(Cause::Cancel, &[(Cell::Released, wrong, wrong)], cancelled.clone());
            assert!(check(&ledger(), &wrong).is_err());
        }
        let nothing = Change { rows: vec![], ..change(Cause::Cancel, &[], cancelled) };
        assert!(check(&ledger(), &nothing).is_err());
        let early = change(Cause::Expire, &[(Cell::Released, 2, 2)], ended(ReservationState::Expired));
        assert!(check(&ledger(), &early).is_err());
    }

    #[test]
    fn an_end_is_final_and_happens_once() {
        let mut ledger = ledger();
        let sold = change(
            Cause::Confirm,
            &[(Cell::Sold, 2, 2)],
            Some(reservation("A", ReservationState::Confirmed, 2)),
        );
        assert_eq!(check(&ledger, &sold), Ok(()));
        ledger.apply_change(&sold);
        let again = change(
            Cause::Confirm,
            &[(Cell::Sold, 4, 2)],
            Some(reservation("A", ReservationState::Confirmed, 2)),
        );
        assert!(check(&ledger, &again).is_err());
        let undone = change(
            Cause::Cancel,
            &[(Cell::Released, 2, 2)],
            Some(reservation("A", ReservationState::Cancelled, 2)),
        );
        assert!(check(&ledger, &undone).is_err());
    }

    #[test]
    fn rights_come_from_receipts_alone_and_counters_only_grow() {
        assert!(check(&ledger(), &change(Cause::Credit, &[(Cell::Received, 10, 1)], None)).is_err());
        assert!(check(&ledger(), &change(Cause::Receive, &[(Cell::Received, 8, 1)], None)).is_err());
        assert!(check(&ledger(), &change(Cause::Reserve, &[(Cell::Taken, 3, 1)], None)).is_err());
        assert!(check(&ledger(), &change(Cause::Receive, &[(Cell::Received, 10, 2)], None)).is_err());
        assert_eq!(check(&ledger(), &change(Cause::Receive, &[(Cell::Received, 10, 1)], None)), Ok(()));
    }
}
