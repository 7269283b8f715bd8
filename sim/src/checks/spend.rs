//! Spend marks: whatever is lost at once, as many nodes as marks guard against, the newest version of
//! a row that is left says of `taken` no less than was ever taken; and a mark is not above `taken` by
//! more than the dial allows.

use stockade::types::{Autonomy, Cell, ReplicaId, Sku, Units};
use stockade::wire::{Cause, Change};

use super::{Checked, Property, ensure};
use crate::ghost::Ledger;

/// Losses at once that marks guard against.
fn guarded(hosts: usize) -> usize {
    if hosts < 5 { 1 } else { 2 }
}

/// `owner` took up to `taken`; `others`: the disks of all other hosts.
///
/// # Errors
/// When its loss, perhaps with others, would leave a mark below that.
pub fn check_taken(sku: &Sku, owner: ReplicaId, taken: u64, others: &[&Ledger]) -> Checked {
    let versions: Vec<_> =
        others.iter().map(|disk| disk.marks_of_others.get(&(sku.clone(), owner))).collect();
    let newest_without = |lost: Option<usize>| {
        let left = versions.iter().enumerate().filter(|(place, _)| Some(*place) != lost);
        left.filter_map(|(_, version)| version.copied()).max()
    };
    // With two lost at once, any one goes with the owner.
    let also_lost: Vec<Option<usize>> = match guarded(others.len() + 1) {
        1 => vec![None],
        _ => (0..others.len()).map(Some).collect(),
    };
    for lost in also_lost {
        if let Some((seq, mark)) = newest_without(lost) {
            ensure(taken <= mark, Property::Spend, || {
                format!(
                    "{owner} took {taken} of {sku}; of its row version {seq} could be left, with mark {mark}"
                )
            })?;
        }
    }
    Ok(())
}

/// A change writes marks. `books`: the node's own, with the change applied; `came`: all units that ever
/// came in, anywhere.
///
/// # Errors
/// When one leaves more room than its dial.
pub fn check_room(
    node: usize,
    change: &Change,
    books: &Ledger,
    default: Autonomy,
    came: impl Fn(&Sku) -> u64,
) -> Checked {
    for raise in &change.rows {
        let row = &books.rows[&raise.sku];
        let set = books.settings.get(&raise.sku).and_then(|(_, _, policy)| policy.autonomy);
        let dial = set.unwrap_or(default).units(|| Units(came(&raise.sku)));
        let mark = raise.allowance.map_or(u64::MAX, |allowance| allowance.mark);
        // An order that waits may be larger than the dial.
        let order = if change.cause == Cause::Mark { row.available() } else { 0 };
        let most = dial.map(|units| row.of(Cell::Taken) + i128::from(units.0).max(order));
        let is_within = most.is_none_or(|most| i128::from(mark) <= most);
        ensure(is_within, Property::Spend, || {
            format!(
                "n-{node} wrote mark {mark} of {} with {:?} taken, dial {dial:?}: {change:?}",
                raise.sku, row
            )
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use stockade::types::{Seq, Timestamp};
    use stockade::wire::Raise;
    use stockade::wire::record::Allowance;

    use super::*;
    use crate::ghost::tests::{id, row};

    fn sku() -> Sku {
        Sku::new("TEE").unwrap()
    }

    fn knows(seq: u64, mark: u64) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.marks_of_others.insert((sku(), id(1)), (Seq(seq), mark));
        ledger
    }

    #[test]
    fn what_was_taken_beyond_a_mark_that_may_be_left_is_found() {
        let (old, new, none) = (knows(2, 10), knows(3, 20), Ledger::default());
        let check = |taken, others: &[&Ledger]| check_taken(&sku(), id(1), taken, others);
        assert_eq!(check(20, &[&old, &new]), Ok(()));
        assert!(check(21, &[&old, &new]).is_err());
        assert!(check(11, &[&old, &old]).is_err());
        assert_eq!(check(99, &[&none, &none]), Ok(()));
        // Of five, two may be lost at once.
        assert!(check(20, &[&old, &new, &none, &none]).is_err());
        assert_eq!(check(20, &[&old, &new, &new, &none]), Ok(()));
        assert!(check(11, &[&old, &none, &none, &none]).is_err());
    }

    #[test]
    fn a_mark_above_its_dial_is_found() {
        let checked = |cause, mark: Option<u64>| {
            let mut books = Ledger::default();
            books.rows.insert(sku(), row(&[(Cell::Received, 20), (Cell::Taken, 5)]));
            let allowance = mark.map(|mark| Allowance { mark, limit: mark, q: 1 });
            let rows = vec![Raise { sku: sku(), seq: Seq(1), cells: Vec::new(), demand: None, allowance }];
            let change = Change {
                time: Timestamp(2),
                cause,
                actor: None,
                reference: None,
                rows,
                entries: Vec::new(),
                reservation: None,
                request: None,
                reason: None,
                placed: None,
            };
            check_room(0, &change, &books, Autonomy::Percent(10), |_| 20)
        };
        assert_eq!(checked(Cause::Sell, Some(7)), Ok(()));
        assert!(checked(Cause::Sell, Some(8)).is_err());
        assert!(checked(Cause::Sell, None).is_err());
        assert_eq!(checked(Cause::Mark, Some(20)), Ok(()));
        assert!(checked(Cause::Mark, Some(21)).is_err());
    }
}
