//! Virtual time, and the clocks of hosts, which tell it differently.

use stockade::planted::{self, Bug};
use stockade::types::Timestamp;

/// A moment of virtual time, in microseconds since the world began. No host sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

/// A span of virtual time in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u64);

impl Span {
    pub const fn millis(ms: u64) -> Span {
        Span(ms * 1_000)
    }

    pub const fn seconds(s: u64) -> Span {
        Span(s * 1_000_000)
    }
}

impl Time {
    pub const ZERO: Time = Time(0);

    pub fn after(self, span: Span) -> Time {
        Time(self.0 + span.0)
    }

    /// The beginning when it does not fit.
    pub fn before(self, span: Span) -> Time {
        Time(self.0.saturating_sub(span.0))
    }

    pub fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>4}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// Wall clock at the beginning of the world, in milliseconds.
const EPOCH: u64 = 1_700_000_000_000;

/// What a clock that is right tells.
pub fn wall_clock(now: Time) -> Timestamp {
    Timestamp(EPOCH + now.0 / 1_000)
}

/// A host's clocks: a wall clock that is wrong by `skew`, and ledger time as the node reckons it:
/// wall clock at the start, but never below the last durable time, then monotonic with `drift`.
#[derive(Clone, Debug)]
pub struct Clock {
    skew_ms: i64,
    drift_ppm: i64,
    base: u64,
    at: Time,
    /// From the one to the other it stands still; then it tells the right time again.
    frozen: (Time, Time),
}

impl Clock {
    pub fn new(skew_ms: i64, drift_ppm: i64) -> Clock {
        Clock { skew_ms, drift_ppm, base: 0, at: Time::ZERO, frozen: (Time::ZERO, Time::ZERO) }
    }

    /// A process starts: ledger time begins anew, no earlier than `earliest`.
    pub fn start(&mut self, now: Time, earliest: Timestamp) {
        self.base = wall_clock(now).0.saturating_add_signed(self.skew_ms).max(earliest.0);
        self.at = now;
        self.frozen = (now, now);
    }

    /// Stands still from now until then, unless it does already.
    pub fn freeze(&mut self, now: Time, until: Time) {
        if self.frozen.1 <= now {
            self.frozen = (now, until);
        }
    }

    /// It goes on, and tells the right time.
    pub fn thaw(&mut self, now: Time) {
        self.frozen.1 = self.frozen.1.min(now);
    }

    /// The wall clock is set to another error; ledger time heeds it at the next start.
    pub fn step(&mut self, skew_ms: i64) {
        if planted::is_on(Bug::ClockStepExpires) {
            self.base = self.base.saturating_add_signed(skew_ms - self.skew_ms);
        }
        self.skew_ms = skew_ms;
    }

    pub fn now(&self, now: Time) -> Timestamp {
        let (from, until) = self.frozen;
        let now = if (from..until).contains(&now) { from } else { now };
        let elapsed = i128::from(now.since(self.at).0);
        let told = elapsed * i128::from(1_000_000 + self.drift_ppm) / 1_000_000_000;
        Timestamp(self.base + u64::try_from(told).unwrap_or(0))
    }

    /// The moment at which ledger time is `then`, or just past it.
    pub fn when(&self, then: Timestamp) -> Time {
        let ahead = i128::from(then.0.saturating_sub(self.base));
        let elapsed = ahead * 1_000_000_000 / i128::from(1_000_000 + self.drift_ppm);
        let mut time = self.at.after(Span(u64::try_from(elapsed).unwrap_or(u64::MAX / 2)));
        while self.now(time) < then {
            let (from, until) = self.frozen;
            time = if (from..until).contains(&time) { until } else { time.after(Span(1)) };
        }
        time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_clock_stands_still_and_then_jumps() {
        let mut clock = Clock::new(0, 0);
        clock.start(Time::ZERO, Timestamp(0));
        let [one, two, three] = [1, 2, 3].map(|s| Time::ZERO.after(Span::seconds(s)));
        clock.freeze(one, three);
        assert_eq!((clock.now(two), clock.now(three)), (Timestamp(EPOCH + 1_000), Timestamp(EPOCH + 3_000)));
        assert_eq!(clock.when(Timestamp(EPOCH + 2_000)), three);
        clock.thaw(two);
        assert_eq!(clock.now(two), Timestamp(EPOCH + 2_000));
    }

    #[test]
    fn ledger_time_never_goes_below_what_is_durable_and_deadlines_are_met() {
        let mut clock = Clock::new(-5_000, 300);
        clock.start(Time(10), Timestamp(EPOCH + 99));
        assert_eq!(clock.now(Time(10)), Timestamp(EPOCH + 99));
        for ahead in [0, 1, 7, 999, 123_456] {
            let then = Timestamp(EPOCH + 99 + ahead);
            let time = clock.when(then);
            assert!(clock.now(time) >= then);
            assert!(time == Time(10) || clock.now(time.before(Span(2))) < then);
        }
    }
}
