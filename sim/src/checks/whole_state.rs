//! What a replica can check by itself, recomputed over its whole state.

use stockade::types::CheckReport;

use super::{Checked, Property, ensure};

/// # Errors
/// When the report holds a violation.
pub fn check(report: &CheckReport) -> Checked {
    ensure(report.violations.is_empty(), Property::WholeState, || {
        format!("{}: {:?}", report.node, report.violations)
    })
}

#[cfg(test)]
mod tests {
    use stockade::types::{NodeName, Violation};

    use super::*;

    #[test]
    fn a_reported_violation_is_found() {
        let node = NodeName::new("n-0").unwrap();
        let mut report = CheckReport { node, items: 0, books_digest: String::new(), violations: vec![] };
        assert_eq!(check(&report), Ok(()));
        report.violations.push(Violation { invariant: "held".into(), sku: None, detail: "so".into() });
        assert!(check(&report).is_err());
    }
}
