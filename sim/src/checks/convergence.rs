//! After the heal all nodes come to know the same rows, and those are the owners' own.

use std::collections::BTreeSet;

use super::{Checked, Property, ensure};
use crate::time::Time;

/// # Errors
/// When by `now`, the end of the time given, the nodes' digests differ.
pub fn check(digests: &[String], now: Time) -> Checked {
    let different: BTreeSet<&String> = digests.iter().collect();
    ensure(different.len() <= 1, Property::Convergence, || {
        format!("at {now} the books still differ: {digests:?}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_that_differ_are_found() {
        assert_eq!(check(&["a".into(), "a".into()], Time::ZERO), Ok(()));
        assert!(check(&["a".into(), "b".into()], Time::ZERO).is_err());
    }
}
