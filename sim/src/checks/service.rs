//! Buyers are served, and soon, once nothing is broken: a sale of units that are free somewhere
//! takes no longer than fetching them takes; and of two baskets that want each other's items one
//! is sold, not none.
//!
//! How long a sale may take when messages are only delayed, with `delay` the slowest way and `sync`
//! the time of a disk:
//!
//! 1. Outputs wait for what was decided before: for the batch under way and for their own, so two
//!    syncs at the asker before an ask leaves, two at a giver before its row leaves, two at the
//!    asker before the answer leaves.
//! 2. A round is an ask and its answer: two delays and four syncs. All donors are asked at once.
//! 3. The first round may find rows out of date: units that the giver has meanwhile sent here, as a
//!    pull ahead of need, or to another. It is asked again after a pause of 20 ms, doubled each
//!    time; what was in flight is here after one more delay. So [`ROUNDS`] rounds serve everybody.
//! 4. Where dials bound what a node sells on its own, an order may have to wait for one more round once
//!    its units are here: its mark goes out with the next pass, and is confirmed.
//! 5. Each step is woken up to a millisecond late.

use stockade::limits::{ASK_PAUSE, PASS_INTERVAL};
use stockade::types::{Outcome, Sku};

use super::{Checked, Property, ensure};
use crate::time::Span;

/// Rounds of asking that a sale may need in the calm.
const ROUNDS: u64 = 3;
/// Late wake-ups of a round, and how often the world looks for an answer.
const SLACK: Span = Span::millis(10);

/// How long a sale may take.
pub fn bound(delay: Span, sync: Span, has_dials: bool) -> Span {
    let round = 2 * delay.0 + 4 * sync.0 + SLACK.0;
    let pauses = ASK_PAUSE.0 * ((1 << ROUNDS) - 1) * 1_000;
    let mark = if has_dials { PASS_INTERVAL.0 * 1_000 + round } else { 0 };
    Span(ROUNDS * round + pauses + mark + 2 * sync.0)
}

/// # Errors
/// When a sale took longer than fetching its units can.
pub fn check_sale(sku: &Sku, took: Span, delay: Span, sync: Span, has_dials: bool) -> Checked {
    let most = bound(delay, sync, has_dials);
    ensure(took <= most, Property::Service, || {
        format!(
            "a sale of {sku} took {} ms; with delays of {} ms and syncs of {} us it may take {} ms",
            took.0 / 1_000,
            delay.0 / 1_000,
            sync.0,
            most.0 / 1_000
        )
    })
}

/// Two buyers at two hosts each wanted all that is free of two items, of which each host had one.
///
/// # Errors
/// When both were served, or none.
pub fn check_crossing(outcomes: [&Outcome; 2]) -> Checked {
    let served = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    ensure(served == 1, Property::Service, || {
        format!("{served} of two baskets that want the same units were sold: {outcomes:?}")
    })
}

/// Units come in when all is well.
///
/// # Errors
/// When they are refused.
pub fn check_delivery(outcome: &Outcome) -> Checked {
    ensure(outcome.is_ok(), Property::Service, || {
        format!("a delivery was refused when all is well: {outcome:?}")
    })
}

#[cfg(test)]
mod tests {
    use stockade::types::{Answer, Refusal};

    use super::*;

    #[test]
    fn a_slow_sale_is_found() {
        let sku = Sku::new("TEE").unwrap();
        let (delay, sync) = (Span::millis(10), Span::millis(1));
        let most = bound(delay, sync, false);
        assert_eq!(most, Span::millis(3 * 34 + 140 + 2));
        let more = Span(most.0 + 1);
        assert_eq!(check_sale(&sku, most, delay, sync, false), Ok(()));
        assert!(check_sale(&sku, more, delay, sync, false).is_err());
        assert_eq!(check_sale(&sku, more, delay, sync, true), Ok(()));
    }

    #[test]
    fn two_baskets_that_starve_each_other_are_found() {
        let sold = Ok(Answer::Batch(vec![]));
        let no = Err(Refusal::NotReady);
        assert_eq!(check_crossing([&sold, &no]), Ok(()));
        assert!(check_crossing([&no, &no]).is_err());
        assert!(check_crossing([&sold, &sold]).is_err());
        assert!(check_delivery(&no).is_err() && check_delivery(&sold).is_ok());
    }
}
