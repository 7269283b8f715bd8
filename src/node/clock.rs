//! Ledger time: wall clock at the start, then the monotonic clock, slewed towards the wall
//! clock by at most [`SLEW_PER_SECOND`]. A step of the wall clock, by NTP or by hand, expires
//! nothing.

use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::types::Timestamp;

/// By how many milliseconds a second the ledger clock gives way to the wall clock.
const SLEW_PER_SECOND: i64 = 1;

/// Tells ledger time. Never goes back.
#[derive(Debug)]
pub struct LedgerClock {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Ledger time at `at`, in milliseconds.
    base: u64,
    at: Instant,
    /// When the slew was last reckoned.
    slewed: Instant,
    last: u64,
}

/// Begins at the wall clock's time.
impl Default for LedgerClock {
    fn default() -> Self {
        LedgerClock::starting_at(Timestamp::ZERO)
    }
}

impl LedgerClock {
    /// A clock that begins at the wall clock's time, but no earlier than `earliest`: the newest
    /// time in the journal.
    pub fn starting_at(earliest: Timestamp) -> LedgerClock {
        let now = Instant::now();
        let base = wall().max(earliest.0);
        LedgerClock { state: Mutex::new(State { base, at: now, slewed: now, last: base }) }
    }

    /// Moves the clock forward to `earliest` if it is behind.
    pub fn not_before(&self, earliest: Timestamp) {
        let mut state = self.lock();
        if earliest.0 > state.last {
            state.base = earliest.0;
            state.at = Instant::now();
            state.last = earliest.0;
        }
    }

    pub fn now(&self) -> Timestamp {
        let mut state = self.lock();
        let now = Instant::now();
        if now.duration_since(state.slewed) >= Duration::from_secs(1) {
            state.slew(now, wall());
        }
        Timestamp(state.tell(now))
    }

    /// How long until ledger time is `then`, about.
    pub fn until(&self, then: Timestamp) -> Duration {
        Duration::from_millis(then.0.saturating_sub(self.now().0))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl State {
    fn tell(&mut self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.at).as_millis();
        let time = self.base.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX));
        self.last = self.last.max(time);
        self.last
    }

    /// Gives way to the wall clock a little.
    fn slew(&mut self, now: Instant, wall: u64) {
        let seconds = i64::try_from(now.duration_since(self.slewed).as_secs()).unwrap_or(i64::MAX);
        let told = self.tell(now);
        let ahead = i64::try_from(i128::from(wall) - i128::from(told)).unwrap_or(0);
        let most = SLEW_PER_SECOND.saturating_mul(seconds);
        self.base = self.base.saturating_add_signed(ahead.clamp(-most, most));
        self.slewed = now;
    }
}

fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_no_earlier_than_the_journal_ends() {
        let far = Timestamp(wall() + 1_000_000);
        assert!(LedgerClock::starting_at(far).now() >= far);
    }

    #[test]
    fn a_step_of_the_wall_clock_moves_it_by_a_millisecond_a_second() {
        let at = Instant::now();
        for (wall, base) in [(1_000_000, 1_010), (0, 990), (11_003, 1_003)] {
            let mut state = State { base: 1_000, at, slewed: at, last: 1_000 };
            state.slew(at + Duration::from_secs(10), wall);
            assert_eq!(state.base, base);
        }
    }

    #[test]
    fn it_never_goes_back() {
        let clock = LedgerClock::starting_at(Timestamp::ZERO);
        let mut last = clock.now();
        for _ in 0..1_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }
}
