//! What a quota reserves for a node is not asked away: a node that gives of its own accord keeps
//! what its quota says, by the setting that it knows. (An operator's transfer may take it, and a
//! node that drains gives all.) Nor is it taken by a reservation that another node sends it to make:
//! it makes none of an item that is moved by hand, none of what is reserved, and none while it drains.

use stockade::types::{NodeName, Rebalance, Sku};
use stockade::wire::{Actor, Cause, Change};

use super::{Checked, Property, ensure};
use crate::ghost::Ledger;

/// # Errors
/// When `change`, just applied to `after`, gave away what is reserved for `node`.
pub fn check(node: &NodeName, change: &Change, after: &Ledger) -> Checked {
    if is_placed(change) {
        ensure(!after.is_draining, Property::Quotas, || format!("{node} drains, and makes {change:?}"))?;
        for raise in &change.rows {
            let policy = after.settings.get(&raise.sku).map(|(_, _, policy)| policy.rebalance);
            ensure(policy != Some(Rebalance::Manual), Property::Quotas, || {
                format!("{node} made a reservation for another of {}, which is moved by hand", raise.sku)
            })?;
        }
        return change.rows.iter().try_for_each(|raise| check_item(node, &raise.sku, after));
    }
    if !change.cause.is_policy_gift() || after.is_draining {
        return Ok(());
    }
    change.rows.iter().try_for_each(|raise| check_item(node, &raise.sku, after))
}

/// Whether another node sent this reservation here to be made: whatever else is sent on is about
/// one that exists.
fn is_placed(change: &Change) -> bool {
    let is_sent = matches!(change.actor, Some(Actor::Forwarded { .. }));
    let makes = matches!(change.cause, Cause::Reserve | Cause::Sell);
    is_sent && makes && change.reservation.as_ref().is_some_and(|made| made.version == 1)
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
    use stockade::types::{Caller, Cell, Policy, Quota, ReservationState, Timestamp, Units};
    use stockade::wire::Raise;

    use super::*;
    use crate::checks::changes::tests::reservation;
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
            rows: vec![Raise {
                sku,
                seq: stockade::types::Seq(1),
                cells: Vec::new(),
                demand: None,
                allowance: None,
            }],
            entries: Vec::new(),
            reservation: None,
            request: None,
            reason: None,
            placed: None,
        };
        check(&node, &change, &ledger)
    }

    fn placed(free: u64, policy: Policy, is_draining: bool) -> Checked {
        let (node, sku) = (NodeName::new("n-0").unwrap(), Sku::new("TEE").unwrap());
        let mut ledger = Ledger { is_draining, ..Ledger::default() };
        ledger.rows.insert(sku.clone(), row(&[(Cell::Received, 5 + free), (Cell::Taken, 5)]));
        ledger.settings.insert(sku.clone(), (Timestamp(1), id(1), policy));
        let caller = Caller::Storefront;
        let change = Change {
            time: Timestamp(2),
            cause: Cause::Reserve,
            actor: Some(Actor::Forwarded { caller, via: id(2) }),
            reference: None,
            rows: vec![Raise {
                sku,
                seq: stockade::types::Seq(1),
                cells: Vec::new(),
                demand: None,
                allowance: None,
            }],
            entries: Vec::new(),
            reservation: Some(reservation("A", ReservationState::Held, 5)),
            request: None,
            reason: None,
            placed: None,
        };
        let own = Change { actor: Some(Actor::Caller(caller)), ..change.clone() };
        check(&node, &own, &ledger)?;
        check(&node, &change, &ledger)
    }

    #[test]
    fn what_is_reserved_is_not_for_what_others_send() {
        let quota = Quota { min: Some(Units(3)), ..Quota::default() };
        let reserved =
            Policy { quotas: [(NodeName::new("n-0").unwrap(), quota)].into(), ..Policy::default() };
        assert!(placed(3, reserved.clone(), false).is_ok());
        assert!(placed(2, reserved.clone(), false).is_err());
        assert!(placed(3, reserved, true).is_err());
        let by_hand = Policy { rebalance: Rebalance::Manual, ..Policy::default() };
        assert!(placed(9, by_hand, false).is_err());
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
