//! `bench`: policies side by side, at the points of a grid, over many seeds.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "writes the report")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use super::parallel::{Go, cores, for_each_on};
use super::progress::Progress;
use super::{Output, say};
use crate::bench::figures::{Figures, Optimum, Sample, Standing, Standings};
use crate::bench::grid::{self, Faults, Point, Shape};
use crate::bench::headline::{self, Verdict};
use crate::bench::policy::Policy;
use crate::bench::traces::{Pace, Recorded};
use crate::bench::workload::{self, Spec};
use crate::bench::{Course, hot, page, table};
use crate::options::{Bench, Seeds};
use crate::time::Span;

const MISSED: u8 = 1;
const NOT_RUN: u8 = 2;
/// Seeds of a point, where nothing else is said.
const SEEDS: u64 = 5;
const HEADLINE_SEEDS: u64 = 20;

/// Everything a bench came to. Only what the seeds decide, so that it can be compared.
#[derive(Debug, Serialize)]
pub struct Report {
    pub first_seed: u64,
    pub seeds: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headline: Vec<Verdict>,
    pub points: Vec<Standings>,
    /// What was not run, and how to have it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

pub fn bench(asked: &Bench) -> ExitCode {
    match prepare(asked) {
        Ok((plan, page)) => tell(asked, &plan, page),
        Err(complaint) => {
            eprintln!("{complaint}");
            ExitCode::from(NOT_RUN)
        }
    }
}

/// What is to be run.
struct Plan {
    points: Vec<Point>,
    policies: Vec<Policy>,
    seeds: Seeds,
    inputs: Inputs,
    left_out: Vec<String>,
    headline: bool,
}

/// Recorded demand.
#[derive(Default)]
struct Inputs {
    trace: Option<Recorded>,
    drop: Option<Recorded>,
}

/// Everything that can go wrong does so before the first run.
fn prepare(asked: &Bench) -> Result<(Plan, Option<File>), String> {
    let count = if asked.headline { HEADLINE_SEEDS } else { SEEDS };
    let seeds = asked.seeds.unwrap_or(Seeds { first: 0, end: count });
    if asked.headline && seeds.count() < HEADLINE_SEEDS {
        return Err(format!("--headline takes medians over at least {HEADLINE_SEEDS} seeds"));
    }
    let load =
        |file: &Option<_>, pace| file.as_deref().map(|file: &Path| Recorded::load(file, pace)).transpose();
    let inputs = Inputs { trace: load(&asked.trace, Pace::TRACE)?, drop: load(&asked.drop, Pace::DROP)? };
    let points = if asked.headline { grid::headline::ALL.to_vec() } else { grid::grid(&asked.corner()) };
    if points.is_empty() {
        return Err(grid::nothing_there(&asked.corner()));
    }
    let (points, missing): (Vec<Point>, Vec<Point>) = points.into_iter().partition(|point| inputs.has(point));
    let mut left_out: Vec<String> = missing.iter().map(|point| left_out(point.shape)).collect();
    left_out.dedup();
    if points.is_empty() {
        return Err(left_out.join("\n"));
    }
    let all = || Policy::value_variants().to_vec();
    let mut policies = if asked.policies.is_empty() { all() } else { asked.policies.clone() };
    policies.sort_unstable();
    policies.dedup();
    let page = asked.report.as_deref().map(open).transpose()?;
    Ok((Plan { points, policies, seeds, inputs, left_out, headline: asked.headline }, page))
}

fn left_out(shape: Shape) -> String {
    let name = grid::name(shape);
    format!(
        "left out: `{name}`; give it with --{name} ORDERS.csv (columns ts,region,sku,qty,order;\n\
         `stockade demand` writes such a file)"
    )
}

/// Opened before the runs, so that they are not for nothing; an older page stays until then.
fn open(path: &Path) -> Result<File, String> {
    let file = File::options().write(true).create(true).truncate(false).open(path);
    file.map_err(|e| format!("cannot write {}: {e}; nothing was run", path.display()))
}

impl Inputs {
    fn has(&self, point: &Point) -> bool {
        match point.shape {
            Shape::Trace => self.trace.is_some(),
            Shape::Drop => self.drop.is_some(),
            _ => true,
        }
    }

    fn course(&self, point: &Point, seed: u64) -> Course {
        let recorded = "points without their file were left out";
        let drawn = |shape| synthetic(shape, point, seed);
        match point.shape {
            Shape::Steady => drawn(workload::Shape::Steady),
            Shape::Shifting => drawn(workload::Shape::Shifting),
            Shape::Flash => drawn(workload::Shape::Flash),
            Shape::Baskets => drawn(workload::Shape::Baskets),
            Shape::Hot => hot::course(point, seed),
            Shape::Trace => self.trace.as_ref().expect(recorded).course(point, seed),
            Shape::Drop => self.drop.as_ref().expect(recorded).course(point, seed),
        }
    }
}

fn synthetic(shape: workload::Shape, point: &Point, seed: u64) -> Course {
    let faults = match point.faults {
        Faults::Connected => workload::Faults::Connected,
        Faults::Partition => workload::Faults::Partitioned30,
        Faults::Dead => workload::Faults::RegionDead,
        Faults::Flapping => workload::Faults::Flapping,
    };
    let (ratio, patience) = (point.ratio.as_number(), Span::millis(point.patience_ms));
    Spec { seed, shape, ratio, units: point.units, patience, faults }.course()
}

/// One course, played by every policy.
struct Played {
    samples: Vec<Sample>,
    events: u64,
}

impl Plan {
    fn play(&self, point: &Point, seed: u64) -> Played {
        let course = self.inputs.course(point, seed);
        let optimum = Optimum::of(&course);
        let mut played = Played { samples: Vec::new(), events: 0 };
        for policy in &self.policies {
            let outcome = policy.play(&course);
            played.events += outcome.events;
            played.samples.push(Sample::of(&course, &optimum, &outcome));
        }
        played
    }

    fn run(&self, threads: usize) -> Report {
        let each = self.seeds.count();
        let jobs = Seeds { first: 0, end: each * self.points.len() as u64 };
        let mut progress = Progress::new(&jobs);
        let point = |job: u64| &self.points[usize::try_from(job / each).expect("as many jobs as points")];
        let work = |job: u64| self.play(point(job), self.seeds.first + job % each);
        let mut points: Vec<Standings> = Vec::new();
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); self.policies.len()];
        for_each_on(threads, &jobs, work, |job, played| {
            progress.add_run(played.events);
            samples.iter_mut().zip(played.samples).for_each(|(all, sample)| all.push(sample));
            if job % each == each - 1 {
                points.push(self.standings(point(job), &samples));
                samples.iter_mut().for_each(Vec::clear);
            }
            Go::On
        });
        let headline = if self.headline { headline::judge(&points, &self.policies) } else { Vec::new() };
        let left_out = self.left_out.clone();
        Report { first_seed: self.seeds.first, seeds: each, headline, points, left_out }
    }

    fn standings(&self, point: &Point, samples: &[Vec<Sample>]) -> Standings {
        let standing = |(policy, samples): (&Policy, &Vec<Sample>)| Standing {
            policy: policy.name(),
            figures: Figures::of(samples),
        };
        let policies = self.policies.iter().zip(samples).map(standing).collect();
        Standings { point: *point, seeds: self.seeds.count(), policies }
    }
}

fn tell(asked: &Bench, plan: &Plan, page: Option<File>) -> ExitCode {
    let report = plan.run(cores());
    match asked.output {
        Output::Json => say(&serde_json::to_string_pretty(&report).expect("a report has no odd keys")),
        Output::Table => print(&report),
    }
    if let (Some(file), Some(path)) = (page, &asked.report)
        && let Err(e) = write(file, &page::page(&report))
    {
        eprintln!("cannot write {}: {e}", path.display());
        return ExitCode::from(NOT_RUN);
    }
    let missed = report.headline.iter().any(|verdict| verdict.ok == Some(false));
    if missed { ExitCode::from(MISSED) } else { ExitCode::SUCCESS }
}

fn write(mut file: File, page: &str) -> std::io::Result<()> {
    // A pipe has no length to set.
    if file.metadata().is_ok_and(|of| of.is_file()) {
        file.set_len(0)?;
    }
    file.write_all(page.as_bytes())
}

fn print(report: &Report) {
    let seeds = report.seeds;
    if report.headline.is_empty() {
        table::grid(&report.points).iter().for_each(|line| say(line));
    } else {
        table::headline(&report.headline).iter().for_each(|line| say(line));
    }
    say("");
    say(&format!("medians over {seeds} seeds; {} points", report.points.len()));
    report.left_out.iter().for_each(|line| say(line));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Command, Options};
    use clap::Parser;

    fn asked(words: &str) -> Bench {
        let words = ["stockade-sim", "bench"].into_iter().chain(words.split_whitespace());
        match Options::try_parse_from(words).unwrap().command {
            Command::Bench(asked) => asked,
            other => panic!("{other:?}"),
        }
    }

    fn tiny() -> Plan {
        let words = "--shape flash --ratio 1.05 --faults connected --patience 300 --seeds 4..7 \
                     --policy static --policy half --policy stockade";
        prepare(&asked(words)).unwrap().0
    }

    #[test]
    fn figures_do_not_depend_on_threads_and_the_json_has_them_all() {
        let plan = tiny();
        assert_eq!(plan.points.len(), 1);
        let json = |threads| serde_json::to_string(&plan.run(threads)).unwrap();
        let text = json(1);
        assert_eq!(text, json(2));
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&report["first_seed"], &report["seeds"]), (&4.into(), &3.into()));
        let point = &report["points"][0];
        assert_eq!((&point["shape"], &point["units"]), (&"flash".into(), &1_000.into()));
        assert_eq!((&point["patience_ms"], &point["stock_by_demand"]), (&300.into(), &1.0526.into()));
        let names: Vec<&str> =
            point["policies"].as_array().unwrap().iter().map(|of| of["policy"].as_str().unwrap()).collect();
        assert_eq!(names, ["stockade", "static", "half"], "in their order, whatever was asked first");
        let figures = point["policies"][1]["figures"].as_object().unwrap();
        assert_eq!(figures.len(), crate::bench::figures::Metric::ALL.len());
        let served = &figures["served_of_flow"];
        let [min, median, max] = ["min", "median", "max"].map(|of| served[of].as_f64().unwrap());
        assert!(0.3 < min && min <= median && median <= max && max < 1.0, "{served}");
    }

    #[test]
    fn what_cannot_be_run_is_said_before_anything_is() {
        let complaint = |words: &str| prepare(&asked(words)).err().unwrap();
        assert!(complaint("--headline --seeds 3").contains("at least 20 seeds"));
        let said = complaint("--units 7");
        assert!(said.starts_with("--units 7: choose what there is; steady has 5, 100, 10000; "), "{said}");
        assert!(said.contains("flash has 1000; ") && said.contains("trace takes them"), "{said}");
        let said = complaint("--shape flash --units 100");
        assert_eq!(said, "--units 100: choose what there is; flash has 1000");
        assert_eq!(complaint("--patience 5"), "--patience 5: choose what there is; 0, 300, 1000");
        assert!(complaint("--shape hot --patience 0").ends_with("leave one out"));
        assert!(complaint("--shape trace").contains("--trace ORDERS.csv"));
        assert!(complaint("--shape trace --trace /no/such/file").contains("cannot read /no/such/file"));
        assert!(complaint("--report /no/such/place").ends_with("nothing was run"));
    }

    #[test]
    fn without_files_recorded_demand_is_left_out_and_said_so() {
        let (plan, _) = prepare(&asked("--patience 1000")).unwrap();
        assert!(plan.points.iter().all(|point| !matches!(point.shape, Shape::Trace | Shape::Drop)));
        assert_eq!(plan.left_out.len(), 2);
        let (headline, _) = prepare(&asked("--headline")).unwrap();
        assert!(headline.left_out.is_empty() && headline.seeds.count() == 20);
        assert_eq!(headline.policies.len(), 8);
    }
}
