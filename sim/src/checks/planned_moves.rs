//! What a rebalance tells can be done and was asked for, and a dry run does nothing: it records
//! nothing and sends nothing. (What is begun is a gift like others: `quotas` and `moves` hold it.)

use stockade::types::{Answer, Command, NodeName, Outcome, PlannedMove, Position, Sku};

use super::{Checked, Property, ensure};
use crate::workload::node;

/// What a host has done so far in a life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    pub records: Position,
    pub messages: u64,
}

/// `asked`: the number of the node that answers, of so many. `exists`: somebody has recorded
/// something about the item.
///
/// # Errors
/// When an answer tells moves that nobody could make, that nobody asked about, or that were not to
/// be begun.
pub fn check(
    command: &Command,
    outcome: &Outcome,
    asked: (usize, usize),
    exists: impl Fn(&Sku) -> bool,
) -> Checked {
    let (Command::Rebalance { sku, dry_run, after, limit }, Ok(Answer::Moves { node: told_by, moves, next })) =
        (command, outcome)
    else {
        return Ok(());
    };
    let (me, members) = (node(asked.0), asked.1);
    let bad = |what: &str| format!("{me} was asked for {command:?} and {what}: {outcome:?}");
    let ensure = |holds: bool, what: &str| ensure(holds, Property::PlannedMoves, || bad(what));
    ensure(*told_by == me, "another answers")?;
    for planned in moves {
        let is_member = |name: &NodeName| (0..members).any(|member| node(member) == *name);
        let PlannedMove { from, to, quantity, begun, .. } = planned;
        ensure(is_member(from) && is_member(to) && from != to, "tells a move between no two members")?;
        ensure(!quantity.is_zero(), "tells a move of nothing")?;
        ensure(exists(&planned.sku), "tells of an item that there is not")?;
        let in_scope = match (sku, after) {
            (Some(only), _) => planned.sku == *only,
            (None, after) => after.as_ref().is_none_or(|after| planned.sku > *after),
        };
        ensure(in_scope, "tells of an item that was not meant")?;
        ensure(!begun || !dry_run, "began a move in a dry run")?;
        ensure(!begun || *from == me || *to == me, "began what is not its own to move")?;
    }
    ensure(moves.is_sorted_by_key(|planned| &planned.sku), "tells items out of order")?;
    let is_one_item = moves.iter().all(|planned| planned.sku == moves[0].sku);
    ensure(moves.len() <= *limit as usize || is_one_item, "tells more than was asked for")?;
    let last = moves.last().map(|planned| &planned.sku);
    ensure(next.as_ref().is_none_or(|next| last.is_none_or(|last| next >= last)), "would tell some again")
}

/// # Errors
/// When a host did anything between `before` and `after`, with nothing but a dry run between them.
pub fn check_dry(host: usize, before: Done, after: Done) -> Checked {
    ensure(before == after, Property::PlannedMoves, || {
        format!("n-{host} did something in a dry run: {before:?} came to {after:?}")
    })
}

#[cfg(test)]
mod tests {
    use stockade::types::Units;

    use super::*;
    use crate::workload::sku;

    fn a_move(item: usize, from: usize, to: usize, begun: bool) -> PlannedMove {
        let (from, to) = (node(from), node(to));
        PlannedMove { sku: sku(item), from, to, quantity: Units(3), why: String::new(), begun }
    }

    /// Node 1 of three tells these moves, of items 0 to 4.
    fn told(command: &Command, moves: Vec<PlannedMove>, next: Option<usize>) -> Checked {
        let answer = Answer::Moves { node: node(1), moves, next: next.map(sku) };
        check(command, &Ok(answer), (1, 3), |known| (0..5).any(|n| sku(n) == *known))
    }

    fn ask(dry_run: bool) -> Command {
        Command::Rebalance { sku: None, dry_run, after: Some(sku(0)), limit: 2 }
    }

    #[test]
    fn moves_are_of_members_items_and_units() {
        let good = || a_move(1, 0, 1, false);
        assert_eq!(told(&ask(true), vec![good(), a_move(2, 2, 0, false)], Some(2)), Ok(()));
        for wrong in [
            a_move(1, 0, 3, false),
            a_move(1, 3, 0, false),
            a_move(1, 2, 2, false),
            a_move(5, 0, 1, false),
            a_move(0, 0, 1, false),
            PlannedMove { quantity: Units(0), ..good() },
        ] {
            assert!(told(&ask(true), vec![wrong.clone()], None).is_err(), "{wrong:?}");
        }
        let one = Command::Rebalance { sku: Some(sku(2)), dry_run: true, after: None, limit: 2 };
        assert!(told(&one, vec![good()], None).is_err());
        let by_another = Answer::Moves { node: node(2), moves: vec![good()], next: None };
        assert!(check(&ask(true), &Ok(by_another), (1, 3), |_| true).is_err());
    }

    #[test]
    fn pages_are_no_longer_than_was_asked_for_and_leave_nothing_to_be_told_twice() {
        let of = |items: &[usize]| items.iter().map(|item| a_move(*item, 0, 1, false)).collect::<Vec<_>>();
        assert!(told(&ask(true), of(&[1, 2, 3]), None).is_err());
        assert_eq!(told(&ask(true), of(&[1, 1, 1]), None), Ok(()));
        assert!(told(&ask(true), of(&[2, 1]), None).is_err());
        assert!(told(&ask(true), of(&[1, 2]), Some(1)).is_err());
    }

    #[test]
    fn what_is_begun_is_ones_own_and_no_dry_run() {
        assert_eq!(told(&ask(false), vec![a_move(1, 0, 1, true), a_move(1, 1, 2, true)], None), Ok(()));
        assert!(told(&ask(false), vec![a_move(1, 0, 2, true)], None).is_err());
        assert!(told(&ask(true), vec![a_move(1, 0, 1, true)], None).is_err());
    }

    #[test]
    fn a_dry_run_records_and_sends_nothing() {
        let before = Done { records: Position(4), messages: 2 };
        assert_eq!(check_dry(0, before, before), Ok(()));
        assert!(check_dry(0, before, Done { records: Position(5), ..before }).is_err());
        assert!(check_dry(0, before, Done { messages: 3, ..before }).is_err());
    }
}
