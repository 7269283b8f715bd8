//! Every request that reaches a node which stays up is answered, and once.

use super::{Checked, Property, ensure};
use crate::time::{Span, Time};

/// Longer than a request may take: it waits for rights, looks for an owner and waits for it,
/// on a slow disk.
pub const LIMIT: Span = Span::seconds(60);

/// # Errors
/// When a request that came at `arrived` is still open.
pub fn check(node: usize, arrived: Time, now: Time) -> Checked {
    ensure(now.since(arrived) <= LIMIT, Property::Answered, || {
        format!("node {node} has not answered by {now} what came at {arrived}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_never_ends_is_found() {
        assert_eq!(check(0, Time::ZERO, Time::ZERO.after(LIMIT)), Ok(()));
        assert!(check(0, Time::ZERO, Time::ZERO.after(LIMIT).after(Span(1))).is_err());
    }
}
