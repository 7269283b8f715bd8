//! Nobody asks for anything, the books have converged: then hosts say nothing to each other but
//! that they are there, and no unit moves.
//!
//! What each may send to each over a link that stands: a digest every 500 ms, so one more than
//! fit the span; and, because what was recorded just before is pushed 20 ms later, one pass for
//! it. No asks: there is nobody who waits, a pull ahead of need is only looked at after a buyer
//! asked, floors are filled, and what a changed dial lacks is looked for only for some seconds, which
//! are over.

use stockade::limits::{DIGEST_INTERVAL, PASS_INTERVAL};

use super::{Checked, Property, ensure};
use crate::time::Span;

/// Messages one host sent another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    pub digests: u64,
    pub passes: u64,
    /// Anything else.
    pub others: u64,
}

/// Digests that fit a span of quiet: host clocks may drift a little.
fn most_digests(span: Span) -> u64 {
    span.0 / (DIGEST_INTERVAL.0 * 999) + 1
}

/// Passes of what was recorded before the quiet began, and is still on its way out.
const fn most_passes() -> u64 {
    // The one for what came last, and the one that was put off by its interval.
    1 + (PASS_INTERVAL.0 < DIGEST_INTERVAL.0) as u64
}

/// # Errors
/// When a host talked more than it has to.
pub fn check(from: usize, to: usize, sent: Sent, span: Span) -> Checked {
    let most = most_digests(span);
    let quiet = sent.digests <= most && sent.passes <= most_passes() && sent.others == 0;
    ensure(quiet, Property::Quiet, || {
        format!(
            "in {} ms of quiet n-{from} sent n-{to} {sent:?}; {most} digests and {} passes are needed",
            span.0 / 1_000,
            most_passes()
        )
    })
}

/// # Errors
/// When units moved though nobody wanted any.
pub fn check_transfers(before: u64, after: u64) -> Checked {
    ensure(before == after, Property::Quiet, || {
        format!("nobody asks for anything, and {} transfers were made", after - before)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chatter_without_a_reason_is_found() {
        let span = Span::seconds(3);
        let sent = Sent { digests: 7, passes: 1, others: 0 };
        assert_eq!(check(0, 1, sent, span), Ok(()));
        assert!(check(0, 1, Sent { digests: 8, ..sent }, span).is_err());
        assert!(check(0, 1, Sent { passes: 3, ..sent }, span).is_err());
        assert!(check(0, 1, Sent { others: 1, ..sent }, span).is_err());
    }

    #[test]
    fn units_that_wander_in_the_quiet_are_found() {
        assert_eq!(check_transfers(3, 3), Ok(()));
        assert!(check_transfers(3, 4).is_err());
    }
}
