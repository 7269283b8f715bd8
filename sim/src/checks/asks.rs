//! Nobody is nagged: a member that has nothing to give is asked again after a pause, not at once.
//!
//! A member is asked for units of an item when a buyer comes, when units came in, when a link
//! comes up, and otherwise after 20, 40, ... 320 ms. Only while its rows cannot be taken in, because
//! its new session has not been heard of, it is asked every 20 ms. So asks draw on an allowance
//! that refills with time and with what happens at the asker.

use std::collections::BTreeMap;

use stockade::types::Sku;

use super::{Checked, Property, ensure};
use crate::time::Time;

/// Asks at once, beyond those that something gave rise to.
const BURST: u64 = 8;
/// Asks a second without anything new.
const A_SECOND: u64 = 50;
/// Asks that one buyer, credit or link may give rise to at once.
const EACH: u64 = 2;
/// The allowance is counted in millionths, one for each microsecond and ask a second.
const ONE: u64 = 1_000_000;

/// From, to, and of what.
type Pair = (usize, usize, Sku);

#[derive(Debug, Default)]
pub struct Asks {
    /// By host: what happened that it may ask about.
    reasons: BTreeMap<usize, u64>,
    /// What is left of an allowance, as of when, and the reasons counted by then.
    left: BTreeMap<Pair, (u64, Time, u64)>,
}

impl Asks {
    /// A buyer came to `host`, units did, or a link.
    pub fn gave_reason(&mut self, host: usize) {
        *self.reasons.entry(host).or_default() += 1;
    }

    /// `from` asks `to` for units of `sku` that buyers wait for.
    ///
    /// # Errors
    /// When it asks too often.
    pub fn asked(&mut self, now: Time, from: usize, to: usize, sku: &Sku) -> Checked {
        let reasons = self.reasons.get(&from).copied().unwrap_or(0);
        let full = (BURST * ONE, now, 0);
        let (left, since, known) = self.left.entry((from, to, sku.clone())).or_insert(full);
        let refilled = (*left + now.since(*since).0 * A_SECOND).min(BURST * ONE);
        *left = refilled + (reasons - *known) * EACH * ONE;
        (*since, *known) = (now, reasons);
        ensure(*left >= ONE, Property::Asks, || {
            format!("n-{from} asks n-{to} for {sku} again and again, with nothing new")
        })?;
        *left = (*left - ONE).min(BURST * ONE);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    /// Asks so many times, so far apart.
    fn ask(asks: &mut Asks, start: Time, times: u64, pause: Span) -> Checked {
        let sku = Sku::new("a").unwrap();
        (0..times).try_for_each(|n| asks.asked(start.after(Span(n * pause.0)), 0, 1, &sku))
    }

    #[test]
    fn pauses_are_kept_or_it_is_told() {
        assert!(ask(&mut Asks::default(), Time(0), 100, Span::millis(20)).is_ok());
        assert!(ask(&mut Asks::default(), Time(0), 40, Span::millis(4)).is_err(), "40 in 160 ms");
    }

    #[test]
    fn what_is_new_may_be_asked_about_and_is_not_saved_up() {
        let mut asks = Asks::default();
        assert!(ask(&mut asks, Time(0), 8, Span(1)).is_ok());
        asks.gave_reason(0);
        assert!(ask(&mut asks, Time(9), 2, Span(1)).is_ok());
        asks.gave_reason(1);
        assert!(ask(&mut asks, Time(20), 1, Span(1)).is_err());
        (0..1_000).for_each(|_| asks.gave_reason(0));
        assert!(ask(&mut asks, Time(30), 1, Span(1)).is_ok());
        assert!(ask(&mut asks, Time(31), 20, Span(1)).is_err());
    }
}
