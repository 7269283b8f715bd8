//! Units are neither made nor lost: at every instant, over all replicas' own rows,
//! `received + returned - retired = sold + held + available + in flight`, none of them negative,
//! and a replica has taken in no more than its giver has *durably* sent. (Else the giver might
//! forget that it gave.)

use stockade::types::{Cell, ReplicaId, Sku};

use super::{Checked, Property, ensure};
use crate::ghost::Row;

/// One replica's row as it decides on it, and as its disk has it.
#[derive(Clone, Copy, Debug)]
pub struct Both<'a> {
    pub owner: ReplicaId,
    pub memory: Option<&'a Row>,
    pub durable: Option<&'a Row>,
}

/// # Errors
/// When the item's books do not balance.
pub fn check(sku: &Sku, all: &[Both<'_>]) -> Checked {
    let (mut came, mut are) = (0, 0);
    for both in all {
        let Some(row) = both.memory else { continue };
        for (name, balance) in [("held", row.held()), ("available", row.available())] {
            ensure(balance >= 0, Property::Conservation, || {
                format!("{sku}: {} has {name} {balance}: {row:?}", both.owner)
            })?;
        }
        came += row.of(Cell::Received) + row.of(Cell::Returned) - row.of(Cell::Retired);
        are += row.of(Cell::Sold) + row.held() + row.available();
        for giver in all.iter().filter(|giver| giver.owner != both.owner) {
            are += in_flight(sku, giver, both)?;
        }
    }
    for giver in all {
        let silent = all.iter().filter(|to| to.memory.is_none());
        are += silent.map(|to| giver.memory.map_or(0, |row| row.sent_to(to.owner))).sum::<i128>();
    }
    ensure(came == are, Property::Conservation, || format!("{sku}: {came} came in, {are} are there: {all:?}"))
}

fn in_flight(sku: &Sku, giver: &Both<'_>, to: &Both<'_>) -> Result<i128, super::Violation> {
    let credited = to.memory.map_or(0, |row| row.credited_from(giver.owner));
    let durable = giver.durable.map_or(0, |row| row.sent_to(to.owner));
    ensure(credited <= durable, Property::Conservation, || {
        format!("{sku}: {} took in {credited}, {} has durably sent {durable}", to.owner, giver.owner)
    })?;
    Ok(giver.memory.map_or(0, |row| row.sent_to(to.owner)) - credited)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ghost::tests::{id, row};

    fn checked(a: &Row, a_durable: &Row, b: &Row) -> Checked {
        let sku = Sku::new("TEE").unwrap();
        let a = Both { owner: id(1), memory: Some(a), durable: Some(a_durable) };
        let b = Both { owner: id(2), memory: Some(b), durable: Some(b) };
        let none = Both { owner: id(3), memory: None, durable: None };
        check(&sku, &[a, b, none])
    }

    #[test]
    fn balanced_books_pass() {
        let a = row(&[(Cell::Received, 10), (Cell::Sent(id(2)), 4), (Cell::Sent(id(3)), 1)]);
        let b = row(&[(Cell::Credited(id(1)), 3), (Cell::Taken, 2), (Cell::Sold, 1)]);
        assert_eq!(checked(&a, &a, &b), Ok(()));
    }

    #[test]
    fn a_credit_that_the_giver_may_forget_fails() {
        let a = row(&[(Cell::Received, 10), (Cell::Sent(id(2)), 4)]);
        let unsynced = row(&[(Cell::Received, 10)]);
        let b = row(&[(Cell::Credited(id(1)), 4)]);
        assert!(checked(&a, &unsynced, &b).is_err());
    }

    #[test]
    fn spending_what_never_came_fails() {
        let empty = row(&[]);
        assert!(checked(&empty, &empty, &row(&[(Cell::Taken, 1)])).is_err());
        assert!(checked(&empty, &empty, &row(&[(Cell::Sold, 1)])).is_err());
    }

    #[test]
    fn units_sent_to_nobody_fail() {
        let a = row(&[(Cell::Received, 10), (Cell::Sent(id(9)), 4)]);
        assert!(checked(&a, &a, &row(&[])).is_err());
    }
}
