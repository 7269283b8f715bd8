//! Nobody knows more of a replica's row than its owner's disk does: only the owner advances it,
//! and only what is durable is ever shown.

use stockade::types::{CellValue, ReplicaId, Sku};

use super::{Checked, Property, ensure};
use crate::ghost::Ledger;

/// # Errors
/// When `copy`, seen at `at`, is ahead of what `owner` has made durable.
pub fn check(
    sku: &Sku,
    at: ReplicaId,
    owner: ReplicaId,
    copy: impl Iterator<Item = CellValue>,
    durable: &Ledger,
) -> Checked {
    let row = durable.rows.get(sku);
    for CellValue { cell, value } in copy {
        let own = row.map_or(0, |row| row.of(cell));
        ensure(i128::from(value) <= own, Property::Copies, || {
            format!("{sku}: {at} has {cell:?} = {value} of {owner}, whose disk has {own}")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use stockade::types::Cell;

    use super::*;
    use crate::ghost::tests::{id, row};

    #[test]
    fn a_copy_ahead_of_its_owner_is_found() {
        let sku = Sku::new("TEE").unwrap();
        let mut durable = Ledger::default();
        durable.rows.insert(sku.clone(), row(&[(Cell::Received, 5)]));
        let copy = |value| [CellValue { cell: Cell::Received, value }].into_iter();
        assert_eq!(check(&sku, id(2), id(1), copy(5), &durable), Ok(()));
        assert!(check(&sku, id(2), id(1), copy(6), &durable).is_err());
    }
}
