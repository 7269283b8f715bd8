//! One world, from its plan to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::checks::{Property, Violation};
use crate::coverage::Coverage;
use crate::plan::Plan;
use crate::schedule::Schedule;
use crate::time::Time;
use crate::trace::Detail;
use crate::world::{Counts, World};

/// What one seed came to.
#[derive(Debug)]
pub struct Outcome {
    pub violation: Option<(Time, Violation)>,
    pub counts: Counts,
    pub coverage: Coverage,
    pub hash: u64,
}

/// Runs a world to its end or its first violation.
pub fn live(plan: Plan, detail: Detail) -> Outcome {
    let schedule = Schedule::draw(&plan);
    live_through(plan, schedule, detail)
}

/// The same, through this schedule instead of the one that the plan's seed gives.
pub fn live_through(plan: Plan, schedule: Schedule, detail: Detail) -> Outcome {
    let mut world = World::with(plan, schedule, detail);
    let result = catch_unwind(AssertUnwindSafe(|| world.live()));
    let result = result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(Violation::of(Property::Panic, text))
    });
    let violation = result.err().map(|violation| (world.now, violation));
    let coverage = std::mem::take(&mut world.oracle.coverage);
    Outcome { violation, counts: world.counts, coverage, hash: world.trace.hash() }
}

/// The trace's lines of a world.
pub fn live_kept(plan: Plan) -> Vec<String> {
    let mut world = World::new(plan, Detail::Keep);
    // What it came to is known; the trace ends where it ends.
    let _ = catch_unwind(AssertUnwindSafe(|| world.live()));
    world.trace.take_lines()
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.events += other.events;
        self.requests += other.requests;
        self.answers += other.answers;
        self.crashes += other.crashes;
        self.cuts += other.cuts;
        self.struck.iter_mut().zip(other.struck).for_each(|(all, struck)| *all += struck);
        self.deeds += other.deeds;
        self.sprung += other.sprung;
        self.refused_starts += other.refused_starts;
        self.noticed += other.noticed;
        self.sold_out += other.sold_out;
        self.elsewhere += other.elsewhere;
        self.unknown += other.unknown;
        self.sold += other.sold;
        self.virtual_us += other.virtual_us;
    }
}

#[cfg(test)]
mod tests {
    use stockade::types::Millis;

    use super::*;
    use crate::schedule::Fault;
    use crate::time::Span;

    fn quick(seed: u64) -> Plan {
        Plan { chaos: Span::seconds(5), ..Plan::draw(seed) }
    }

    #[test]
    fn worlds_keep_their_promises() {
        let mut sold = 0;
        for seed in 0..8 {
            let outcome = live(quick(seed), Detail::Hash);
            assert_eq!(outcome.violation, None, "seed {seed}");
            assert!(outcome.counts.requests > 20, "seed {seed}: nothing went on");
            sold += outcome.counts.sold;
        }
        assert!(sold > 0, "clients left nothing to sell in any world");
    }

    #[test]
    fn one_seed_has_one_trace() {
        let [first, second, other] = [3, 3, 4].map(|seed| live(quick(seed), Detail::Lines).hash);
        assert_eq!(first, second);
        assert_ne!(first, other);
    }

    /// The canary for an injector that does nothing.
    #[test]
    fn every_fault_strikes() {
        let mut counts = Counts::default();
        for seed in 0..60 {
            counts.add(&live(quick(seed), Detail::Hash).counts);
        }
        for (fault, struck) in Fault::ALL.iter().zip(counts.struck) {
            assert!(struck > 0, "{fault:?}");
        }
        assert!(counts.crashes > 100 && counts.cuts > 100 && counts.deeds > 10);
        assert!(counts.sprung > 0 && counts.refused_starts > 0);
    }

    #[test]
    fn an_old_disk_is_noticed_before_it_does_harm() {
        let mistakes = |seed| Plan {
            chaos: Span::seconds(15),
            start_wait: Some(Millis(3_000)),
            reboots: 500,
            fault_every: Span::seconds(1),
            faults: vec![Fault::StaleDisk],
            ..quick(seed)
        };
        let mut counts = Counts::default();
        for seed in 0..6 {
            let outcome = live(mistakes(seed), Detail::Hash);
            assert_eq!(outcome.violation, None, "seed {seed}");
            counts.add(&outcome.counts);
        }
        assert!(counts.noticed > 0);
    }

    /// The canary: without the barrier answers and rows leave before they are durable, and an
    /// oracle that does not see that is blind.
    #[test]
    fn hosts_without_the_output_barrier_are_found_out() {
        for seed in 0..5 {
            let outcome = live(Plan { barrier: false, ..quick(seed) }, Detail::Hash);
            assert!(outcome.violation.is_some(), "seed {seed}");
        }
    }

    /// The same by what clients were told alone: a crash must lose something that was promised.
    #[test]
    fn hosts_without_the_output_barrier_lose_what_they_promised() {
        let faults = |seed| Plan {
            barrier: false,
            faults: vec![Fault::Crash],
            sync: Span::millis(10),
            fault_every: Span::millis(300),
            kept_at_crash: 0,
            ..quick(seed)
        };
        let found = (0..20).any(|seed| {
            let violation = live(faults(seed), Detail::Hash).violation;
            violation.is_some_and(|(_, violation)| violation.property == Property::Acknowledged)
        });
        assert!(found);
    }
}
