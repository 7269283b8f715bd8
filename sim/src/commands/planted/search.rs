//! Looks for each bug.

use std::process::ExitCode;

use stockade::planted::{self, Bug};

use super::table;
use crate::commands::parallel::{Go, for_each};
use crate::commands::progress::Progress;
use crate::commands::{Output, say};
use crate::options::{Planted, Seeds};
use crate::plan::Plan;
use crate::run::live;
use crate::time::Time;
use crate::trace::Detail;

/// The median bug must be found in so many seeds.
pub const MEDIAN: u64 = 100;

/// A seed that failed with the bug on, and passes without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Find {
    pub seed: u64,
    /// Seeds run since the find before, this one included.
    pub needed: u64,
    /// What did not hold, and when.
    pub property: String,
    pub at: Time,
}

/// How the search for a bug went.
#[derive(Clone, Debug)]
pub struct Hunt {
    pub bug: Bug,
    pub finds: Vec<Find>,
    /// No seed found it, this often, in as many as it may take.
    pub missed: bool,
    /// The first seed that fails without any bug, and how. It does not count as a find.
    pub unclean: Option<(u64, String)>,
}

impl Hunt {
    /// Seeds needed for one find: the median of all, the upper one of two.
    pub fn median(&self) -> Option<u64> {
        median(self.finds.iter().map(|find| find.needed).collect())
    }

    pub fn worst(&self) -> Option<u64> {
        self.finds.iter().map(|find| find.needed).max()
    }

    pub fn is_good(&self) -> bool {
        !self.missed && self.unclean.is_none()
    }
}

/// The middle one, the upper one of two.
pub fn median(mut all: Vec<u64>) -> Option<u64> {
    all.sort_unstable();
    all.get(all.len() / 2).copied()
}

/// The middle of what the bugs needed.
pub fn overall(hunts: &[Hunt]) -> Option<u64> {
    median(hunts.iter().filter_map(Hunt::median).collect())
}

pub fn planted(options: &Planted) -> ExitCode {
    let bugs = match chosen(&options.bugs) {
        Ok(bugs) => bugs,
        Err(slug) => {
            eprintln!("no bug is called `{slug}`; `planted --list` names them");
            return ExitCode::from(2);
        }
    };
    if options.list {
        bugs.iter().for_each(|bug| say(&format!("{:28} {}", bug.slug(), bug.wrong())));
        return ExitCode::SUCCESS;
    }
    // Assertions that a bug trips are finds; their text is in the result.
    std::panic::set_hook(Box::new(|_| {}));
    if options.none {
        return without_any(options.seeds);
    }
    let hunts: Vec<Hunt> =
        bugs.into_iter().map(|bug| told(hunt(bug, options.seeds, options.finds))).collect();
    match options.output {
        Output::Table => say(&table::text(&hunts)),
        Output::Json => say(&table::json(&hunts)),
    }
    if let Some(file) = &options.write
        && let Err(e) = table::write(file, &hunts)
    {
        eprintln!("{}: {e}", file.display());
        return ExitCode::FAILURE;
    }
    // Of a choice of bugs the median says nothing.
    let quick = !options.bugs.is_empty() || overall(&hunts).is_some_and(|median| median <= MEDIAN);
    if quick && hunts.iter().all(Hunt::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn chosen(slugs: &[String]) -> Result<Vec<Bug>, &String> {
    if slugs.is_empty() {
        return Ok(Bug::ALL.to_vec());
    }
    slugs.iter().map(|slug| Bug::named(slug).ok_or(slug)).collect()
}

fn told(hunt: Hunt) -> Hunt {
    let how = match (&hunt.unclean, hunt.finds.first()) {
        (Some((seed, what)), _) => format!("seed {seed} fails without it: {what}"),
        (None, _) if hunt.missed => format!("MISSED after {} finds", hunt.finds.len()),
        (None, Some(find)) => format!("seed {}, {}", find.seed, find.property),
        (None, None) => String::new(),
    };
    eprintln!("{:28} {how}", hunt.bug.slug());
    hunt
}

/// Looks for `bug` until it was found `finds` times, or was not within `most` seeds.
pub fn hunt(bug: Bug, most: u64, finds: u64) -> Hunt {
    let mut hunt = Hunt { bug, finds: Vec::new(), missed: false, unclean: None };
    let mut start = 0;
    let seeds = Seeds { first: 0, end: most.saturating_mul(finds) };
    for_each(
        &seeds,
        |seed| probe(bug, seed),
        |seed, probed| {
            let needed = seed - start + 1;
            match probed {
                Probed::Passed => hunt.missed = needed >= most,
                Probed::Failed(property, at) => {
                    hunt.finds.push(Find { seed, needed, property, at });
                    start = seed + 1;
                }
                Probed::Unclean(what) => {
                    hunt.unclean.get_or_insert((seed, what));
                    hunt.missed = needed >= most;
                }
            }
            let done = hunt.missed || hunt.finds.len() as u64 == finds;
            if done { Go::Stop } else { Go::On }
        },
    );
    hunt
}

/// What one seed says about a bug.
enum Probed {
    Passed,
    Failed(String, Time),
    /// It fails without the bug.
    Unclean(String),
}

fn probe(bug: Bug, seed: u64) -> Probed {
    let run = |bug| {
        planted::set(bug);
        live(Plan::draw(seed), Detail::Hash)
    };
    let outcome = run(Some(bug));
    // This one breaks no promise of the replica's, only the simulator's own.
    let again = (bug == Bug::TraceByHashOrder).then(|| run(Some(bug)).hash);
    let failed = match outcome.violation {
        Some((at, violation)) => Some((format!("{:?}", violation.property), at)),
        None if again.is_some_and(|hash| hash != outcome.hash) => Some(("Trace".into(), Time::ZERO)),
        None => None,
    };
    let Some((property, at)) = failed else { return Probed::Passed };
    match run(None).violation {
        None => Probed::Failed(property, at),
        Some((_, violation)) => Probed::Unclean(violation.to_string()),
    }
}

fn without_any(count: u64) -> ExitCode {
    let seeds = Seeds { first: 0, end: count };
    let mut progress = Progress::new(&seeds);
    let mut failed = 0u64;
    for_each(
        &seeds,
        |seed| live(Plan::draw(seed), Detail::Hash),
        |seed, outcome| {
            progress.add(outcome.counts.events, outcome.violation.is_some());
            if let Some((_, violation)) = outcome.violation {
                failed += 1;
                say(&format!("seed {seed} fails without any bug: {violation}"));
            }
            Go::On
        },
    );
    say(&format!("{count} seeds without a bug, {failed} failed"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bugs_that_show_at_once_are_found_in_a_few_seeds() {
        for bug in [Bug::WrongQuantityReleased, Bug::OneTooMany, Bug::CreditTwice, Bug::SendBeforeSync] {
            let hunt = hunt(bug, 20, 2);
            assert!(hunt.is_good() && hunt.finds.len() == 2, "{hunt:?}");
        }
    }

    #[test]
    fn a_bug_that_does_not_show_is_reported_as_missed() {
        let hunt = hunt(Bug::WrapAt32, 2, 1);
        assert!(hunt.missed && hunt.finds.is_empty(), "{hunt:?}");
    }

    #[test]
    fn the_middle_of_an_even_number_is_the_upper_one() {
        assert_eq!(median(vec![9, 1, 5, 3]), Some(5));
        assert_eq!(median(vec![]), None);
    }
}
