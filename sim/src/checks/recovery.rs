//! What a restart brings back is what was durable: own rows and reservations, no more, no less.

use std::collections::BTreeMap;

use stockade::replica::Replica;
use stockade::types::{CellValue, Reservation, ReservationId, Sku};

use super::{Checked, Property, ensure};
use crate::ghost::{Ledger, Row};

/// # Errors
/// When `replica` is not what `durable` says.
pub fn check(replica: &Replica, durable: &Ledger) -> Checked {
    let own = replica.rows().filter(|(_, owner, _)| *owner == replica.replica_id());
    let cells = |cells: &mut dyn Iterator<Item = CellValue>| Row(cells.map(|c| (c.cell, c.value)).collect());
    let rows = own.map(|(sku, _, row)| (sku.clone(), cells(&mut row.cells()))).collect();
    let reservations = replica.reservations().map(|r| (r.id.clone(), r.clone())).collect();
    compare(&rows, &reservations, durable)
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
    use stockade::types::{Cell, ReservationState};

    use super::*;
    use crate::checks::changes::tests::reservation;
    use crate::ghost::tests::row;

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
