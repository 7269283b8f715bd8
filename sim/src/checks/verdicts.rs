//! `sold_out` is never wrong: between two seconds before the request and its answer the rows of
//! all replicas went through a consistent cut with no unit free and none in flight.
//!
//! A cut, not an instant: a unit that comes free at one node while the last one is sold at
//! another, neither knowing of the other, leaves no instant without a free unit, and nobody
//! could have known.

use std::collections::BTreeMap;

use stockade::types::{ReplicaId, Sku};

use super::{Checked, Property, ensure};
use crate::ghost::Row;
use crate::time::{Span, Time};

/// How long before a request rows may have been current that prove a verdict about it; and a
/// little, for clocks that drift.
pub const FRESH: Span = Span(2_050_000);
/// From when on rows may be that prove a verdict about a request that came at `arrived`, at a node
/// whose clock last went on at the moment given after it stood still for that long. (One that
/// stands still within the window of freshness makes rows look younger than they are.)
pub fn fresh_from(arrived: Time, (went_on, stood_still): (Time, Span)) -> Time {
    let from = arrived.before(FRESH);
    if went_on > from { from.before(stood_still) } else { from }
}

/// Versions are kept at least so long.
const KEPT: Span = Span::seconds(90);

/// A row as it was from this moment on.
type Version = (Time, Row);

/// How each replica's row about each item went.
#[derive(Debug, Default)]
pub struct History {
    rows: BTreeMap<(Sku, ReplicaId), Vec<Version>>,
    members: Vec<ReplicaId>,
}

impl History {
    pub fn new(members: Vec<ReplicaId>) -> History {
        History { rows: BTreeMap::new(), members }
    }

    pub fn became(&mut self, now: Time, sku: &Sku, owner: ReplicaId, row: &Row) {
        let versions = self.rows.entry((sku.clone(), owner)).or_default();
        versions.push((now, row.clone()));
        // The one that was current at the horizon is still needed.
        let horizon = now.before(KEPT);
        let first = versions.partition_point(|(time, _)| *time <= horizon).saturating_sub(1);
        if first > 100 {
            versions.drain(..first);
        }
    }

    /// # Errors
    /// When a unit was free or in flight all along from `from` to `to`.
    pub fn check_sold_out(&self, sku: &Sku, from: Time, to: Time) -> Checked {
        let empty: Vec<Vec<Row>> = self.members.iter().map(|m| self.empty_rows(sku, *m, from, to)).collect();
        let found = self.cut(&empty, &mut Vec::new());
        ensure(found, Property::Verdicts, || {
            let free: Vec<_> = self.members.iter().zip(&empty).filter(|(_, rows)| rows.is_empty()).collect();
            let free: Vec<_> = free.into_iter().map(|(member, _)| *member).collect();
            format!(
                "{sku} was said to be sold out, but from {from} to {to} there always were units; \
                 never without: {free:?}"
            )
        })
    }

    /// The different rows without a free unit that were current in the window.
    fn empty_rows(&self, sku: &Sku, owner: ReplicaId, from: Time, to: Time) -> Vec<Row> {
        let Some(versions) = self.rows.get(&(sku.clone(), owner)) else { return vec![Row::default()] };
        let start = versions.partition_point(|(time, _)| *time <= from);
        let mut rows: Vec<Row> = Vec::new();
        if start == 0 {
            rows.push(Row::default());
        }
        for (time, row) in &versions[start.saturating_sub(1)..] {
            if *time <= to && row.available() == 0 && !rows.contains(row) {
                rows.push(row.clone());
            }
        }
        rows
    }

    /// Whether one row of each, beside those `chosen`, pair up with nothing in flight.
    fn cut(&self, rest: &[Vec<Row>], chosen: &mut Vec<Row>) -> bool {
        let Some((rows, rest)) = rest.split_first() else { return true };
        let me = self.members[chosen.len()];
        for row in rows {
            let pairs = self.members.iter().zip(chosen.iter()).all(|(other, theirs)| {
                theirs.sent_to(me) == row.credited_from(*other)
                    && row.sent_to(*other) == theirs.credited_from(me)
            });
            if pairs {
                chosen.push(row.clone());
                let found = self.cut(rest, chosen);
                chosen.pop();
                if found {
                    return true;
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use stockade::types::Cell;

    use super::*;
    use crate::ghost::tests::{id, row};

    fn sku() -> Sku {
        Sku::new("TEE").unwrap()
    }

    #[test]
    fn only_a_clock_that_stood_still_just_now_makes_rows_look_younger() {
        let [second, three, ten] = [1, 3, 10].map(|s| Time::ZERO.after(Span::seconds(s)));
        let fresh = ten.before(FRESH);
        assert_eq!(fresh_from(ten, (Time::ZERO, Span(0))), fresh);
        assert_eq!(fresh_from(ten, (three, Span::seconds(2))), fresh);
        assert_eq!(
            fresh_from(ten, (ten.before(second.since(Time::ZERO)), Span::seconds(2))),
            fresh.before(Span::seconds(2))
        );
    }

    #[test]
    fn a_unit_that_stays_free_makes_it_wrong() {
        let mut history = History::new(vec![id(1), id(2)]);
        assert_eq!(history.check_sold_out(&sku(), Time(0), Time(9)), Ok(()));
        history.became(Time(10), &sku(), id(1), &row(&[(Cell::Received, 1)]));
        assert_eq!(history.check_sold_out(&sku(), Time(5), Time(20)), Ok(()));
        assert!(history.check_sold_out(&sku(), Time(11), Time(20)).is_err());
        history.became(Time(30), &sku(), id(1), &row(&[(Cell::Received, 1), (Cell::Taken, 1)]));
        assert_eq!(history.check_sold_out(&sku(), Time(11), Time(30)), Ok(()));
    }

    #[test]
    fn a_unit_on_its_way_makes_it_wrong() {
        let mut history = History::new(vec![id(1), id(2)]);
        history.became(Time(1), &sku(), id(1), &row(&[(Cell::Received, 1)]));
        history.became(Time(10), &sku(), id(1), &row(&[(Cell::Received, 1), (Cell::Sent(id(2)), 1)]));
        assert!(history.check_sold_out(&sku(), Time(5), Time(20)).is_err());
        history.became(Time(21), &sku(), id(2), &row(&[(Cell::Credited(id(1)), 1), (Cell::Taken, 1)]));
        assert_eq!(history.check_sold_out(&sku(), Time(15), Time(21)), Ok(()));
    }

    #[test]
    fn readings_that_a_unit_slipped_between_are_no_cut() {
        let mut history = History::new(vec![id(1), id(2)]);
        // Held at 1; cancelled and moved to 2, which was empty until then, and held there.
        let held = row(&[(Cell::Received, 1), (Cell::Taken, 1)]);
        let free = row(&[(Cell::Received, 1), (Cell::Taken, 1), (Cell::Released, 1)]);
        let mut sent = free.clone();
        sent.0.insert(Cell::Sent(id(2)), 1);
        let arrived = row(&[(Cell::Credited(id(1)), 1)]);
        history.became(Time(1), &sku(), id(1), &held);
        history.became(Time(10), &sku(), id(1), &free);
        history.became(Time(20), &sku(), id(1), &sent);
        history.became(Time(30), &sku(), id(2), &arrived);
        assert!(history.check_sold_out(&sku(), Time(11), Time(40)).is_err());
        assert_eq!(history.check_sold_out(&sku(), Time(9), Time(40)), Ok(()));
    }
}
