//! What a quota reserves for a node is not asked away: a node that gives of its own accord keeps
//! what its quota says, by the setting that it knows. (An operator's transfer may take it, and a
//! node that drains gives all.)

use stockade::types::{NodeName, Sku};
use stockade::wire::{Cause, Change};

use super::{Checked, Property, ensure};
use crate::ghost::Ledger;

/// # Errors
/// When `change`, just applied to `after`, gave away what is reserved for `node`.
pub fn check(node: &NodeName, change: &Change, after: &Ledger) -> Checked {
    if !matches!(change.cause, Cause::GiveForBuyer | Cause::GiveForBalance) || after.is_draining {
        return Ok(());
    }
    change.rows.iter().try_for_each(|raise| check_item(node, &raise.sku, after))
}

fn check_item(node: &NodeName, sku: &Sku, after: &Ledger) -> Checked {
    let quota = after.settings.get(sku).and_then(|(_, _, policy)| policy.quotas.get(node));
    let floor = i128::from(quota.copied().unwrap_or_default().floor().0);
    let left = after.rows.get(sku).map_or(0, |row| row.available());
    ensure(left >= floor, Property::Quotas, || {
        format!("{node} gave units of {sku} away and has {left} left, of {floor} that are reserved for it")
    })
}

#[cfg(test)]
mod tests {
    use stockade::types::{Cell, Policy, Quota, Timestamp, Units};
    use stockade::wire::Raise;

    use super::*;
    use crate::ghost::tests::{id, row};

    fn gave(cause: Cause, left: u64, draining: bool) -> Checked {
        let (node, sku) = (NodeName::new("n-0").unwrap(), Sku::new("a").unwrap());
        let mut ledger = Ledger { is_draining: draining, ..Ledger::default() };
        ledger.rows.insert(sku.clone(), row(&[(Cell::Received, 5 + left), (Cell::Sent(id(2)), 5)]));
        let quota = Quota { min: Some(Units(3)), ..Quota::default() };
        let policy = Policy { quotas: [(node.clone(), quota)].into(), ..Policy::default() };
        ledger.settings.insert(sku.clone(), (Timestamp(1), id(1), policy));
        let change = Change {
            time: Timestamp(2),
            cause,
            actor: None,
            reference: None,
            rows: vec![Raise { sku, seq: stockade::types::Seq(1), cells: Vec::new(), demand: 0 }],
            entries: Vec::new(),
            reservation: None,
            request: None,
            reason: None,
            placed: None,
        };
        check(&node, &change, &ledger)
    }

    #[test]
    fn what_is_reserved_stays_unless_an_operator_or_a_drain_takes_it() {
        assert!(gave(Cause::GiveForBuyer, 3, false).is_ok());
        assert!(gave(Cause::GiveForBuyer, 2, false).is_err());
        assert!(gave(Cause::GiveForBalance, 2, false).is_err());
        assert!(gave(Cause::GiveForBuyer, 2, true).is_ok());
        assert!(gave(Cause::Transfer, 0, false).is_ok());
    }
}
