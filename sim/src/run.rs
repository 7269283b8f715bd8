//! Runs worlds and reports.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the rate shown to people is in real time"
)]

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::checks::{Property, Violation};
use crate::options::Seeds;
use crate::plan::Plan;
use crate::time::Time;
use crate::trace::Detail;
use crate::world::{Counts, World};

/// What one seed came to.
#[derive(Debug)]
pub struct Outcome {
    pub violation: Option<(Time, Violation)>,
    pub counts: Counts,
    pub hash: u64,
}

/// Runs a world to its end or its first violation.
pub fn live(plan: Plan, detail: Detail) -> Outcome {
    let mut world = World::new(plan, detail);
    let result = catch_unwind(AssertUnwindSafe(|| world.live()));
    let result = result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(Violation::of(Property::Panic, text))
    });
    let violation = result.err().map(|violation| (world.now, violation));
    Outcome { violation, counts: world.counts, hash: world.trace.hash() }
}

pub fn run(seed: u64, trace: bool) -> ExitCode {
    let plan = Plan::draw(seed);
    let before = format!("{plan:#?}");
    let outcome = live(plan, if trace { Detail::Print } else { Detail::Hash });
    say(&format!("{before}\n{:#?}\ntrace {:016x}", outcome.counts, outcome.hash));
    match outcome.violation {
        None => ExitCode::SUCCESS,
        Some((time, violation)) => {
            say(&format!("at {time}: {violation}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints a line; whoever reads may have seen enough.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

pub fn sweep(seeds: &Seeds, json: bool) -> ExitCode {
    let started = Instant::now();
    let mut total = Counts::default();
    let mut failed = 0u64;
    let mut events: Vec<u64> = Vec::new();
    let mut progress = Progress::new(seeds);
    for seed in seeds.first..seeds.end {
        let outcome = live(Plan::draw(seed), Detail::Hash);
        total.add(&outcome.counts);
        events.push(outcome.counts.events);
        if let Some((time, violation)) = outcome.violation {
            failed += 1;
            println!("seed {seed} fails at {time}: {violation}");
            println!("  cargo run --release -p stockade-sim -- run --seed {seed} --trace");
        }
        progress.tell(seed, total.events, failed);
    }
    events.sort_unstable();
    let (median, seconds) = (events[events.len() / 2], started.elapsed().as_secs_f64());
    report(seeds, json, &total, failed, median, seconds);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn report(seeds: &Seeds, json: bool, total: &Counts, failed: u64, median: u64, seconds: f64) {
    let count = seeds.end - seeds.first;
    let hours = total.virtual_us as f64 / 3.6e9;
    let rate = total.events as f64 / seconds;
    if json {
        println!(
            "{{\"seeds\":{count},\"failed\":{failed},\"events\":{},\"median_events\":{median},\
             \"requests\":{},\"answers\":{},\"crashes\":{},\"cuts\":{},\"sold_out\":{},\"elsewhere\":{},\
             \"unknown\":{},\"virtual_hours\":{hours:.1},\"seconds\":{seconds:.1},\"events_per_second\":{rate:.0}}}",
            total.events,
            total.requests,
            total.answers,
            total.crashes,
            total.cuts,
            total.sold_out,
            total.elsewhere,
            total.unknown,
        );
        return;
    }
    println!("{count} seeds, {failed} failed, {hours:.1} virtual hours in {seconds:.1} s");
    println!("{} events, {median} in the median seed, {rate:.0} a second", total.events);
    println!(
        "{} requests, {} answers, {} crashes, {} cuts",
        total.requests, total.answers, total.crashes, total.cuts
    );
    println!(
        "refused lines: {} sold out, {} elsewhere, {} unknown",
        total.sold_out, total.elsewhere, total.unknown
    );
}

pub fn meta(seeds: &Seeds) -> ExitCode {
    let mut differ = 0u64;
    let mut progress = Progress::new(seeds);
    let mut events = 0;
    for seed in seeds.first..seeds.end {
        let [first, second] = [(); 2].map(|()| live(Plan::draw(seed), Detail::Lines));
        events += first.counts.events + second.counts.events;
        if first.hash != second.hash {
            differ += 1;
            println!("seed {seed}: {:016x}, then {:016x}", first.hash, second.hash);
        }
        progress.tell(seed, events, differ);
    }
    println!("{} seeds twice, {differ} with different traces", seeds.end - seeds.first);
    if differ == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tells on stderr how far it is, once a second.
struct Progress {
    first: u64,
    end: u64,
    started: Instant,
    told: Instant,
}

impl Progress {
    fn new(seeds: &Seeds) -> Progress {
        let now = Instant::now();
        Progress { first: seeds.first, end: seeds.end, started: now, told: now }
    }

    fn tell(&mut self, seed: u64, events: u64, failed: u64) {
        if self.told.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.told = Instant::now();
        let (done, all) = (seed + 1 - self.first, self.end - self.first);
        let seconds = self.started.elapsed().as_secs_f64();
        let left = seconds / done as f64 * (all - done) as f64;
        let rate = events as f64 / seconds;
        eprintln!("{done} of {all} seeds, {failed} failed, {rate:.0} events/s, {left:.0} s left");
    }
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.events += other.events;
        self.requests += other.requests;
        self.answers += other.answers;
        self.crashes += other.crashes;
        self.cuts += other.cuts;
        self.sold_out += other.sold_out;
        self.elsewhere += other.elsewhere;
        self.unknown += other.unknown;
        self.sold += other.sold;
        self.virtual_us += other.virtual_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    fn quick(seed: u64) -> Plan {
        Plan { chaos: Span::seconds(5), ..Plan::draw(seed) }
    }

    #[test]
    fn worlds_keep_their_promises() {
        for seed in 0..8 {
            let outcome = live(quick(seed), Detail::Hash);
            assert_eq!(outcome.violation, None, "seed {seed}");
            assert!(outcome.counts.requests > 20 && outcome.counts.sold > 0, "seed {seed}: nothing went on");
        }
    }

    #[test]
    fn one_seed_has_one_trace() {
        let [first, second, other] = [3, 3, 4].map(|seed| live(quick(seed), Detail::Lines).hash);
        assert_eq!(first, second);
        assert_ne!(first, other);
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
            crashes: true,
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
