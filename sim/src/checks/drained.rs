//! A node that drains ends up with nothing, and does not say so before: with somebody there to take
//! them all free units are handed over, and who says that it is drained holds none.

use stockade::types::Sku;

use super::{Checked, Property, ensure};
use crate::ghost::Ledger;

/// A node drains, and has been linked for long to one that does not.
///
/// # Errors
/// When it still has free units.
pub fn check_handed_over(node: usize, sku: &Sku, free: u64) -> Checked {
    ensure(free == 0, Property::Drained, || {
        format!("n-{node} drains and has taken nothing for long, but {free} of {sku} are free there")
    })
}

/// A node that drains says that it is drained.
///
/// # Errors
/// When it holds units. (Units may have come back since it said so; new ones cannot be held.)
pub fn check_said(node: usize, books: &Ledger) -> Checked {
    let held = books.rows.iter().find(|(_, row)| row.held() > 0);
    ensure(held.is_none(), Property::Drained, || format!("n-{node} says it is drained, and holds {held:?}"))
}

#[cfg(test)]
mod tests {
    use stockade::types::Cell;

    use super::*;
    use crate::ghost::tests::row;

    #[test]
    fn units_left_behind_and_units_held_are_seen() {
        let sku = Sku::new("a").unwrap();
        assert!(check_handed_over(1, &sku, 0).is_ok() && check_handed_over(1, &sku, 1).is_err());
        let mut books = Ledger::default();
        books.rows.insert(sku.clone(), row(&[(Cell::Received, 5), (Cell::Taken, 2), (Cell::Sold, 2)]));
        assert!(check_said(1, &books).is_ok());
        books.rows.insert(sku, row(&[(Cell::Received, 5), (Cell::Taken, 2), (Cell::Sold, 1)]));
        assert!(check_said(1, &books).is_err());
    }
}
