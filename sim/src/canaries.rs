//! Three worlds that must not pass: hosts without the output barrier, which an oracle that sees
//! nothing would let through; faults that are switched on and do nothing; clients that hardly ask.
//! Each tells of a way in which a sweep without a violation would be worth nothing.

use crate::plan::Plan;
use crate::run::live;
use crate::schedule::Fault;
use crate::tally::{Planned, Tally};
use crate::time::Span;
use crate::trace::Detail;

/// Seeds of each canary.
const SEEDS: u64 = 12;
/// Longer than a world lasts.
const NEVER: Span = Span::seconds(10_000);

/// What is wrong with the harness; nothing when all three canaries were noticed.
pub fn complaints() -> Vec<String> {
    let mut complaints = Vec::new();
    let blind = blind();
    if blind.failed < blind.seeds {
        complaints.push(format!(
            "blind oracle: of {} worlds without the output barrier {} were found out",
            blind.seeds, blind.failed
        ));
    }
    let (inert, dead) = (inert().complaints(), dead().complaints());
    if !inert.iter().any(|complaint| complaint.starts_with("inert injector: crash ")) {
        complaints.push(format!("faults that never struck were not noticed: {inert:?}"));
    }
    if !dead.iter().any(|complaint| complaint.starts_with("dead workload")) {
        complaints.push(format!("clients that hardly ask were not noticed: {dead:?}"));
    }
    complaints
}

fn blind() -> Tally {
    tally(|plan| Plan { barrier: false, ..plan })
}

/// Every fault is on, and none ever strikes.
fn inert() -> Tally {
    tally(|plan| Plan { faults: vec![Fault::Crash], inert: true, ..plan })
}

fn dead() -> Tally {
    tally(|plan| Plan { think: NEVER, ..plan })
}

fn tally(change: impl Fn(Plan) -> Plan) -> Tally {
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        let plan = change(Plan { chaos: Span::seconds(5), ..Plan::draw(seed) });
        let planned = Planned::of(&plan);
        tally.add(&planned, &live(plan, Detail::Hash));
    }
    tally
}

#[cfg(test)]
mod tests {
    use stockade::types::Millis;

    use super::*;

    /// That a fault struck says that it was to do something; this, that it does.
    #[test]
    fn every_fault_changes_what_happens() {
        let hash = |seed, fault, inert| {
            let plan = Plan {
                chaos: Span::seconds(10),
                fault_every: Span::millis(500),
                start_wait: Some(Millis(3_000)),
                deeds: 0,
                ..Plan::draw(seed)
            };
            let plan = Plan { faults: vec![fault], inert, ..plan };
            fault.fits(&plan).then(|| live(plan, Detail::Hash).hash)
        };
        for fault in Fault::ALL {
            let changes = (0..20).any(|seed| hash(seed, *fault, false) != hash(seed, *fault, true));
            assert!(changes, "{fault:?} does nothing");
        }
    }

    #[test]
    fn all_three_canaries_are_noticed() {
        assert_eq!(complaints(), Vec::<String>::new());
    }

    #[test]
    fn a_sound_sweep_is_not_complained_of() {
        let mut tally = Tally::default();
        // Some crash all the time, so it takes many to tell what is usual.
        for seed in 0..200 {
            let plan = Plan::draw(seed);
            let planned = Planned::of(&plan);
            tally.add(&planned, &live(plan, Detail::Hash));
        }
        let dead = tally.complaints();
        assert!(!dead.iter().any(|complaint| complaint.starts_with("dead")), "{dead:?}");
    }
}
