//! Many worlds, summed up, and the floors under which a sweep proves nothing: faults that were
//! switched on and never struck, clients that hardly asked.

use crate::coverage::{Coverage, Mishap};
use crate::faults::Fault;
use crate::plan::{Plan, Transport};
use crate::run::Outcome;
use crate::world::Counts;

/// Fewer seeds may miss a floor by chance.
pub const ENOUGH_SEEDS: u64 = 100;
/// What the clients of a world must have done in the mean, at least: a world lasts half a minute,
/// and its slowest clients are two who think for 200 ms.
const REQUESTS: u64 = 100;
const RESERVATIONS: u64 = 20;
const SALES: u64 = 5;
/// Of a hundred requests that reached a node, so many must be answered. The rest met a crash.
const ANSWERED_PERCENT: u64 = 90;

/// Which faults and mishaps a plan has switched on.
#[derive(Clone, Debug)]
pub struct Planned {
    pub faults: Vec<bool>,
    pub mishaps: Vec<bool>,
}

impl Planned {
    pub fn of(plan: &Plan) -> Planned {
        Planned {
            faults: Fault::ALL.iter().map(|fault| fault.is_in(plan)).collect(),
            mishaps: Mishap::ALL.iter().map(|mishap| mishap.is_in(plan)).collect(),
        }
    }
}

impl Mishap {
    /// Whether a plan has it.
    pub fn is_in(self, plan: &Plan) -> bool {
        let datagrams = match plan.transport {
            Transport::Streams => None,
            Transport::Datagrams { loss, duplicates, replays } => Some((loss, duplicates + replays)),
        };
        match self {
            Mishap::MessageLost => datagrams.is_some_and(|(loss, _)| loss > 0),
            Mishap::MessageRepeated => datagrams.is_some_and(|(_, repeats)| repeats > 0),
            Mishap::MessageStalled => plan.cuts || plan.one_way_cuts || plan.isolations,
            Mishap::RequestLost => plan.lost_requests > 0,
            Mishap::ReplyLost => plan.lost_replies > 0,
            Mishap::LateRepeat => plan.late_repeats > 0,
            Mishap::SlowSync => plan.slow_disks,
            Mishap::CrashAfterSync => plan.crash_after_sync > 0,
        }
    }
}

/// What some seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub seeds: u64,
    pub failed: u64,
    pub counts: Counts,
    pub coverage: Coverage,
    /// Seeds whose plan has each fault, and each mishap.
    faults: Vec<u64>,
    mishaps: Vec<u64>,
    events: Vec<u64>,
    requests: Vec<u64>,
}

impl Tally {
    pub fn add(&mut self, planned: &Planned, outcome: &Outcome) {
        self.seeds += 1;
        self.failed += u64::from(outcome.violation.is_some());
        self.counts.add(&outcome.counts);
        self.coverage.add(&outcome.coverage);
        count(&mut self.faults, &planned.faults);
        count(&mut self.mishaps, &planned.mishaps);
        self.events.push(outcome.counts.events);
        self.requests.push(outcome.counts.requests);
    }

    pub fn median_events(&self) -> u64 {
        median(&self.events)
    }

    pub fn median_requests(&self) -> u64 {
        median(&self.requests)
    }

    /// Faults and mishaps by name: how often, and in how many seeds they were switched on.
    pub fn struck(&self) -> Vec<(&'static str, u64, u64)> {
        let faults = Fault::ALL.iter().zip(&self.coverage.faults).zip(&self.faults);
        let faults = faults.map(|((fault, count), seeds)| (fault.name(), *count, *seeds));
        let mishaps = Mishap::ALL.iter().zip(&self.coverage.mishaps).zip(&self.mishaps);
        let mishaps = mishaps.map(|((mishap, count), seeds)| (mishap.name(), *count, *seeds));
        faults.chain(mishaps).collect()
    }

    /// Why this sweep proves nothing, if so.
    pub fn complaints(&self) -> Vec<String> {
        let mut complaints: Vec<String> = Vec::new();
        for (name, count, seeds) in self.struck() {
            if seeds > 0 && count == 0 {
                complaints.push(format!("inert injector: {name} is on in {seeds} seeds and never struck"));
            }
        }
        let mean = |what: u64| what / self.seeds.max(1);
        let floors = [
            ("requests", mean(self.counts.requests), REQUESTS),
            ("reservations", mean(self.coverage.reservations), RESERVATIONS),
            ("units sold in the end", mean(self.counts.sold), SALES),
            ("% of requests answered", self.answered_percent(), ANSWERED_PERCENT),
        ];
        for (what, is, floor) in floors {
            if is < floor {
                complaints.push(format!("dead workload: {is} {what} a seed, {floor} are expected"));
            }
        }
        complaints
    }

    fn answered_percent(&self) -> u64 {
        self.counts.answers * 100 / self.counts.requests.max(1)
    }
}

fn count(sums: &mut Vec<u64>, on: &[bool]) {
    sums.resize(on.len(), 0);
    sums.iter_mut().zip(on).for_each(|(sum, on)| *sum += u64::from(*on));
}

fn median(numbers: &[u64]) -> u64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::Kind;

    fn outcome(requests: u64) -> Outcome {
        let counts = Counts { requests, answers: requests, sold: 9, events: 1, ..Counts::default() };
        let mut coverage = Coverage { reservations: 50, ..Coverage::default() };
        coverage.requested(Kind::Sell);
        Outcome { violation: None, counts, coverage, hash: 0 }
    }

    fn planned(fault: Fault) -> Planned {
        let faults = Fault::ALL.iter().map(|other| *other == fault).collect();
        Planned { faults, mishaps: vec![false; Mishap::ALL.len()] }
    }

    #[test]
    fn a_fault_that_never_struck_is_complained_of() {
        let mut tally = Tally::default();
        tally.add(&planned(Fault::Crash), &outcome(500));
        let complaints = tally.complaints();
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].contains("crash is on in 1 seeds"));
        let mut struck = outcome(500);
        struck.coverage.struck(Fault::Crash);
        tally.add(&planned(Fault::Crash), &struck);
        assert_eq!(tally.complaints(), Vec::<String>::new());
    }

    #[test]
    fn a_workload_that_hardly_asks_is_complained_of() {
        let mut tally = Tally::default();
        tally.add(&planned(Fault::Cut), &outcome(3));
        assert!(
            tally.complaints().iter().any(|complaint| complaint.starts_with("dead workload: 3 requests"))
        );
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!((median(&[]), median(&[7, 1, 3])), (0, 3));
    }
}
