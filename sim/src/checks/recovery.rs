//! What a restart brings back is what was durable: own rows and reservations, no more, no less.

use std::collections::BTreeMap;

use stockade::replica::{Cursor, Replica};
use stockade::types::{CellValue, Reservation, ReservationId, Sku, Timestamp};
use stockade::wire::Record;

use super::{Checked, Property, ensure};
use crate::ghost::{Ledger, Row};

/// Things compared at a time.
const CHUNK: usize = 1_000;

/// # Errors
/// When `replica` is not what `durable` says.
pub fn check(replica: &Replica, durable: &Ledger) -> Checked {
    let own = replica.rows().filter(|(_, owner, _)| *owner == replica.replica_id());
    let cells = |cells: &mut dyn Iterator<Item = CellValue>| Row(cells.map(|c| (c.cell, c.value)).collect());
    let rows = own.map(|(sku, _, row)| (sku.clone(), cells(&mut row.cells()))).collect();
    let reservations = replica.reservations().map(|r| (r.id.clone(), r.clone())).collect();
    compare(&rows, &reservations, durable)
}

/// A replica that came back from a checkpoint and the batches since, or never went, is the same
/// in all as one to which every record was applied from the beginning.
///
/// # Errors
/// When they differ; the first difference is told.
pub fn check_rebuilt(replica: &Replica, rebuilt: &Replica) -> Checked {
    let (mut here, mut there) = (contents(replica), contents(rebuilt));
    loop {
        let pair = (here.next(), there.next());
        ensure(pair.0 == pair.1, Property::Recovery, || {
            format!("{} has {:?}, all its records come to {:?}", replica.name(), pair.0, pair.1)
        })?;
        if pair == (None, None) {
            return Ok(());
        }
    }
}

/// Ledger time goes on after a restart from no earlier than the newest record.
///
/// # Errors
/// When it went back.
pub fn check_clock(node: usize, clock: Timestamp, newest: Timestamp) -> Checked {
    ensure(clock >= newest, Property::Recovery, || {
        format!("n-{node} starts at {clock:?}, though something of {newest:?} is durable")
    })
}

/// Everything a replica keeps, as records.
fn contents(replica: &Replica) -> impl Iterator<Item = Record> {
    let mut cursor = Some(Cursor::default());
    std::iter::from_fn(move || {
        let (records, next) = replica.snapshot(cursor.as_ref()?, CHUNK);
        cursor = next;
        Some(records)
    })
    .flatten()
}

fn compare(
    rows: &BTreeMap<Sku, Row>,
    reservations: &BTreeMap<ReservationId, Reservation>,
    durable: &Ledger,
) -> Checked {
    ensure(*rows == durable.rows, Property::Recovery, || {
        format!("rows came back as {rows:?}, durable were {:?}", durable.rows)
    })?;
    ensure(*reservations == durable.reservations, Property::Recovery, || {
        let lost: Vec<_> = durable.reservations.keys().filter(|id| !reservations.contains_key(id)).collect();
        format!("reservations came back otherwise; lost: {lost:?}")
    })
}

#[cfg(test)]
mod tests {
    use stockade::limits::Limits;
    use stockade::types::{Cell, ClusterId, NodeName, Region, ReservationState, Seq};
    use stockade::wire::{Genesis, Member};

    use super::*;
    use crate::checks::changes::tests::reservation;
    use crate::ghost::tests::{id, row};

    #[test]
    fn a_clock_that_goes_back_at_a_restart_is_found() {
        assert_eq!(check_clock(0, Timestamp(5), Timestamp(5)), Ok(()));
        assert!(check_clock(0, Timestamp(4), Timestamp(5)).is_err());
    }

    #[test]
    fn a_restart_that_differs_from_all_its_records_is_found() {
        let genesis = |n: u128| {
            let member = Member {
                replica: id(n),
                name: NodeName::new("n-0").unwrap(),
                region: Region::new("r0").unwrap(),
            };
            Genesis {
                cluster: ClusterId(uuid::Uuid::from_u128(1)),
                replica: member.replica,
                name: member.name.clone(),
                region: member.region.clone(),
                founders: vec![member],
            }
        };
        let replica = || Replica::new(genesis(1), Limits::default());
        let (mut one, mut other) = (replica(), replica());
        assert_eq!(check_rebuilt(&one, &other), Ok(()));
        let held = Record::Reservation(reservation("A", ReservationState::Held, 1));
        one.restore(&held);
        assert!(check_rebuilt(&one, &other).is_err());
        assert!(check_rebuilt(&other, &one).is_err());
        other.restore(&held);
        assert_eq!(check_rebuilt(&one, &other), Ok(()));
        other.restore(&Record::Watermark { origin: id(1), upto: Seq(3) });
        assert!(check_rebuilt(&one, &other).is_err());
    }

    #[test]
    fn what_a_restart_loses_is_found() {
        let mut durable = Ledger::default();
        durable.rows.insert(Sku::new("TEE").unwrap(), row(&[(Cell::Received, 5)]));
        let held = reservation("A", ReservationState::Held, 1);
        durable.reservations.insert(held.id.clone(), held);
        let (rows, reservations) = (durable.rows.clone(), durable.reservations.clone());
        assert_eq!(compare(&rows, &reservations, &durable), Ok(()));
        assert!(compare(&rows, &BTreeMap::new(), &durable).is_err());
        assert!(compare(&BTreeMap::new(), &reservations, &durable).is_err());
    }
}
