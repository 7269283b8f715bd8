//! What a replica can check by itself, recomputed over its whole state.
//!
//! It also tells of ids that two nodes have sold. That is a buyer's mistake, and none of the
//! replica's, when the id came to both in requests that are no retries; see [`makers`](super::makers).

use stockade::types::{CheckReport, ReservationId, Violation as Found};

use super::{Checked, Property, ensure};

/// # Errors
/// When the report holds a violation, besides an id sold by two that `may_be_two`.
pub fn check(report: &CheckReport, may_be_two: impl Fn(&ReservationId) -> bool) -> Checked {
    let excused = |found: &&Found| sold_by_two(found).is_some_and(|id| may_be_two(&id));
    let found: Vec<&Found> = report.violations.iter().filter(|found| !excused(found)).collect();
    ensure(found.is_empty(), Property::WholeState, || format!("{}: {found:?}", report.node))
}

/// The id that this says was sold by two nodes.
fn sold_by_two(found: &Found) -> Option<ReservationId> {
    let id = found.detail.strip_prefix("reservation ")?.split_once(" was sold by")?.0;
    (found.invariant == "one_owner").then(|| ReservationId::new(id).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use stockade::types::{NodeName, Violation};

    use super::*;

    #[test]
    fn a_reported_violation_is_found() {
        let node = NodeName::new("n-0").unwrap();
        let mut report = CheckReport { node, items: 0, books_digest: String::new(), violations: vec![] };
        assert_eq!(check(&report, |_| true), Ok(()));
        report.violations.push(Violation { invariant: "held".into(), sku: None, detail: "so".into() });
        assert!(check(&report, |_| true).is_err());
    }

    #[test]
    fn an_id_sold_by_two_is_excused_only_where_nobody_could_know() {
        let node = NodeName::new("n-0").unwrap();
        let detail = "reservation c1-2 was sold by each of [\"n-0\", \"n-1\"]".to_string();
        let violations = vec![Violation { invariant: "one_owner".into(), sku: None, detail }];
        let report = CheckReport { node, items: 0, books_digest: String::new(), violations };
        assert_eq!(check(&report, |id| id.as_str() == "c1-2"), Ok(()));
        assert!(check(&report, |id| id.as_str() == "c1-1").is_err());
    }
}
