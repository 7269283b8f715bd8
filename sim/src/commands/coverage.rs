//! `coverage`: what many worlds went through, and what none did.

use std::process::ExitCode;

use serde::Serialize;

use super::parallel::{Go, for_each};
use super::progress::Progress;
use super::table::{self, Cell};
use super::{Output, say};
use crate::canaries;
use crate::coverage::{Kind, Stage};
use crate::faults::Fault;
use crate::marks::Mark;
use crate::options::Seeds;
use crate::plan::Plan;
use crate::run::live;
use crate::tally::{ENOUGH_SEEDS, Planned, Tally};
use crate::trace::Detail;

/// Kinds of requests beside each other, so that a table fits a terminal.
const COLUMNS: usize = 7;

#[derive(Debug, Serialize)]
struct Report {
    seeds: u64,
    failed: u64,
    cells: Vec<Struck>,
    marks: Vec<Marked>,
    /// Marks and pairs that were never reached.
    missing: Vec<String>,
    complaints: Vec<String>,
}

/// Requests of a kind that a fault met.
#[derive(Debug, Serialize)]
struct Struck {
    fault: &'static str,
    request: &'static str,
    open: u64,
    waiting: u64,
    just_answered: u64,
}

#[derive(Debug, Serialize)]
struct Marked {
    name: String,
    about: &'static str,
    count: u64,
}

pub fn coverage(seeds: &Seeds, output: Output) -> ExitCode {
    let mut tally = Tally::default();
    let mut progress = Progress::new(seeds);
    let work = |seed| {
        let plan = Plan::draw(seed);
        (Planned::of(&plan), live(plan, Detail::Hash))
    };
    for_each(seeds, work, |seed, (planned, outcome)| {
        tally.add(&planned, &outcome);
        progress.add(outcome.counts.events, outcome.violation.is_some());
        if let Some((at, violation)) = outcome.violation {
            eprintln!("seed {seed} fails at {at}: {violation}");
        }
        Go::On
    });
    let report = Report::of(&tally);
    match output {
        Output::Json => say(&serde_json::to_string_pretty(&report).expect("a report has no odd keys")),
        Output::Table => report.print(&tally),
    }
    let sound = report.failed == 0 && report.missing.is_empty() && report.complaints.is_empty();
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Report {
    fn of(tally: &Tally) -> Report {
        let mut cells = Vec::new();
        for (fault, of_fault) in Fault::ALL.iter().zip(&tally.coverage.cells) {
            for (kind, [open, waiting, just_answered]) in Kind::ALL.iter().zip(*of_fault) {
                let (fault, request) = (fault.name(), kind.name());
                cells.push(Struck { fault, request, open, waiting, just_answered });
            }
        }
        let marked = |mark: &Mark| Marked {
            name: mark.name(),
            about: mark.about(),
            count: tally.coverage.marks[*mark as usize],
        };
        let mut complaints = canaries::complaints();
        if tally.seeds >= ENOUGH_SEEDS {
            complaints.extend(tally.complaints());
        }
        Report {
            seeds: tally.seeds,
            failed: tally.failed,
            cells,
            marks: Mark::ALL.iter().map(marked).collect(),
            missing: tally.coverage.missing(),
            complaints,
        }
    }

    fn print(&self, tally: &Tally) {
        for stage in Stage::ALL {
            for kinds in Kind::ALL.chunks(COLUMNS) {
                say(&format!("{}, when a fault struck its node", stage.name()));
                let head = [Cell::Text("fault".into())].into_iter();
                let head = head.chain(kinds.iter().map(|kind| Cell::Text(kind.name().into())));
                let row = |(fault, cells): (&Fault, &[[u64; 3]; Kind::ALL.len()])| {
                    let name = [Cell::Text(fault.name().into())].into_iter();
                    let counts =
                        kinds.iter().map(|kind| Cell::Number(cells[*kind as usize][*stage as usize]));
                    name.chain(counts).collect()
                };
                let rows = Fault::ALL.iter().zip(&tally.coverage.cells).map(row).collect::<Vec<_>>();
                table::print(&head.collect::<Vec<_>>(), &rows);
                say("");
            }
        }
        let head = [Cell::Text("mark".into()), Cell::Text("what".into()), Cell::Text("count".into())];
        let row = |marked: &Marked| {
            vec![Cell::Text(marked.name.clone()), Cell::Text(marked.about.into()), Cell::Number(marked.count)]
        };
        table::print(&head, &self.marks.iter().map(row).collect::<Vec<_>>());
        say("");
        say(&format!("{} seeds, {} failed", self.seeds, self.failed));
        for missing in &self.missing {
            say(&format!("never reached: {missing}"));
        }
        self.complaints.iter().for_each(|complaint| say(complaint));
        if self.missing.is_empty() && self.complaints.is_empty() {
            say("all marks and pairs were reached, and the three canaries were noticed");
        }
    }
}
