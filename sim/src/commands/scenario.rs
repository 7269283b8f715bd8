//! `run FILE`: a scenario, told for people or as JSON, and as a page.
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "writes the report, and tells the rate in real time"
)]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::{Output, say};
use crate::recording::{Recording, Totals};
use crate::report;
use crate::scenario::{self, Lapse, Overrides, Problems, Script};
use crate::trace::Detail;

/// What was asked on the command line.
#[derive(Debug)]
pub struct Asked {
    pub file: PathBuf,
    pub compare: Option<PathBuf>,
    pub over: Overrides,
    pub output: Output,
    pub report: Option<PathBuf>,
    pub trace: bool,
}

const BROKEN: u8 = 1;
const UNREADABLE: u8 = 2;

pub fn run(asked: &Asked) -> ExitCode {
    let load = |file: &Path| scenario::load(file, &asked.over);
    let scripts: Result<Vec<Script>, Problems> =
        [Some(&asked.file), asked.compare.as_ref()].into_iter().flatten().map(|file| load(file)).collect();
    let scripts = match scripts {
        Ok(scripts) => scripts,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(UNREADABLE);
        }
    };
    let page = match asked.report.as_deref().map(Page::open).transpose() {
        Ok(page) => page,
        Err(complaint) => {
            eprintln!("{complaint}");
            return ExitCode::from(UNREADABLE);
        }
    };
    let detail = if asked.trace { Detail::Print } else { Detail::Hash };
    let play = |script: Script| {
        let mut tell = progress(&script);
        scenario::run(script, detail, &mut tell)
    };
    let mut recordings: Vec<Recording> = scripts.into_iter().map(play).collect();
    let files = [Some(&asked.file), asked.compare.as_ref()].into_iter().flatten();
    for (recording, file) in recordings.iter_mut().zip(files) {
        recording.file = file.display().to_string();
        recording.options = options(&asked.over);
    }
    tell(&recordings, asked.output);
    if let Some(Err(complaint)) = page.map(|page| page.write(&recordings)) {
        eprintln!("{complaint}");
        return ExitCode::from(UNREADABLE);
    }
    let broken = recordings.iter().any(|recording| recording.violation.is_some());
    if broken { ExitCode::from(BROKEN) } else { ExitCode::SUCCESS }
}

/// Where the report goes. It is opened before the run, so that no long run is for nothing, and an
/// older report stays as it is until there is a new one.
struct Page {
    path: PathBuf,
    file: File,
}

impl Page {
    fn open(path: &Path) -> Result<Page, String> {
        let file = File::options().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|e| format!("cannot write {}: {e}; nothing was run", path.display()))?;
        Ok(Page { path: path.to_owned(), file })
    }

    fn write(mut self, recordings: &[Recording]) -> Result<(), String> {
        let page = match recordings {
            [a, b] => report::compare(a, b),
            [one, ..] => report::page(one),
            [] => String::new(),
        };
        // A pipe has no length to set.
        let is_file = self.file.metadata().is_ok_and(|of| of.is_file());
        let emptied = if is_file { self.file.set_len(0) } else { Ok(()) };
        emptied
            .and_then(|()| self.file.write_all(page.as_bytes()))
            .map_err(|e| format!("cannot write {}: {e}", self.path.display()))
    }
}

/// What the command line said in place of the files, but for the seed, which every recording has.
fn options(over: &Overrides) -> Vec<String> {
    let demand = over.demand.as_ref().map(|file| ("--demand", file.display().to_string()));
    let from = over.from.clone().map(|from| ("--from", from));
    let duration = over.duration.map(|duration| ("--duration", duration.to_string()));
    let all = [demand, from, duration].into_iter().flatten();
    all.flat_map(|(name, value)| [name.to_owned(), value]).collect()
}

fn tell(recordings: &[Recording], output: Output) {
    match (output, recordings) {
        (Output::Json, [one]) => say(&json(one)),
        (Output::Json, all) => say(&json(all)),
        (Output::Table, all) => {
            all.iter().for_each(|recording| say(&table(recording)));
            if let [a, b] = all {
                say(&side_by_side(a, b));
            }
        }
    }
}

fn json(what: &(impl serde::Serialize + ?Sized)) -> String {
    serde_json::to_string_pretty(what).expect("numbers and texts can be written")
}

/// Tells on stderr how far a run is, once a second.
fn progress(script: &Script) -> impl FnMut(f64, u64) + use<> {
    let started = Instant::now();
    let mut told = started;
    let (all, title) = (script.duration.as_seconds(), script.title.clone());
    move |done: f64, events: u64| {
        if told.elapsed() < Duration::from_secs(1) {
            return;
        }
        told = Instant::now();
        let passed = started.elapsed().as_secs_f64();
        let left = passed / done * (all - done);
        eprintln!(
            "{title}: {} of {}, {:.0} events/s, {left:.0} s left",
            lapse(done),
            lapse(all),
            events as f64 / passed
        );
    }
}

fn lapse(seconds: f64) -> Lapse {
    Lapse((seconds * 1e6) as u64)
}

fn table(recording: &Recording) -> String {
    let totals = &recording.totals;
    let mut lines = vec![
        recording.title.clone(),
        format!("seed {}, {}", recording.seed, report::span(recording)),
        String::new(),
    ];
    lines.extend(wrapped(&recording.about, 78));
    lines.push(String::new());
    lines.push(format!(
        "{:<14}{:>9}{:>9}{:>9}{:>10}{:>9}{:>8}{:>9}",
        "units", "asked", "served", "sold out", "elsewhere", "unknown", "unansw.", "left"
    ));
    let left = |node: usize| recording.buckets.last().map_or(0, |bucket| bucket.nodes[node].available);
    for (number, node) in recording.nodes.iter().enumerate() {
        let sum = |of: fn(&crate::recording::NodeBucket) -> u64| {
            recording.buckets.iter().map(|bucket| of(&bucket.nodes[number])).sum::<u64>()
        };
        lines.push(row(
            &node.name,
            [
                sum(|of| of.asked),
                sum(|of| of.served),
                sum(|of| of.sold_out),
                sum(|of| of.elsewhere),
                sum(|of| of.unknown),
                sum(|of| of.unanswered),
                left(number),
            ],
        ));
    }
    let all = [
        totals.units_asked,
        totals.units_served,
        totals.sold_out,
        totals.elsewhere,
        totals.unknown,
        totals.unanswered,
        (0..recording.nodes.len()).map(left).sum(),
    ];
    lines.push(row("all", all));
    lines.push(String::new());
    lines.push(format!(
        "{:<14}{:>9}{:>9}{:>9}{:>9}{:>9}{:>12}",
        "answers in ms", "p50", "p90", "p99", "longest", "local", "failed over"
    ));
    for (number, (node, of)) in recording.nodes.iter().zip(&recording.latency).enumerate() {
        let over: u64 = recording.buckets.iter().map(|bucket| bucket.nodes[number].failed_over).sum();
        lines.push(format!(
            "{:<14}{:>9.1}{:>9.1}{:>9.1}{:>9.1}{:>8.0}%{:>12}",
            short(&node.name),
            of.p50,
            of.p90,
            of.p99,
            of.max,
            of.local_share * 100.0,
            count(over)
        ));
    }
    lines.push(String::new());
    lines.extend(facts(recording));
    lines.push(String::new());
    lines.extend(wrapped(&verdict(recording), 78));
    lines.join("\n")
}

fn facts(recording: &Recording) -> Vec<String> {
    let totals = &recording.totals;
    let moved = format!(
        "transfers    {} moved {} units, {:.1} for 100 orders served",
        count(totals.transfers),
        count(totals.units_moved),
        per_hundred(totals.transfers, totals.orders_served)
    );
    let mut facts = vec![
        format!("orders       {} asked, {} served", count(totals.orders), count(totals.orders_served)),
        format!("avoidable    {} units refused while nodes in reach had them free", count(totals.avoidable)),
        moved,
        format!("messages     {}, {:.1} MB", count(totals.messages), totals.bytes as f64 / 1e6),
    ];
    if totals.abandoned + totals.returned > 0 {
        let (abandoned, returned) = (count(totals.abandoned), count(totals.returned));
        facts.push(format!("never paid   {abandoned} units; brought back {returned}"));
    }
    facts
}

/// What a manager wants to know, in the words of the page.
fn verdict(recording: &Recording) -> String {
    match &recording.violation {
        Some(violation) => format!("BROKEN: {violation}"),
        None => report::sentences(recording),
    }
}

fn side_by_side(a: &Recording, b: &Recording) -> String {
    type Figure = (&'static str, fn(&Totals) -> u64);
    let figures: [Figure; 10] = [
        ("units asked", |of| of.units_asked),
        ("units served", |of| of.units_served),
        ("sold out", |of| of.sold_out),
        ("elsewhere", |of| of.elsewhere),
        ("unknown", |of| of.unknown),
        ("unanswered", |of| of.unanswered),
        ("avoidable", |of| of.avoidable),
        ("transfers", |of| of.transfers),
        ("units moved", |of| of.units_moved),
        ("messages", |of| of.messages),
    ];
    let mut lines = vec![
        String::new(),
        format!("A  {}", a.title),
        format!("B  {}", b.title),
        String::new(),
        format!("{:<14}{:>14}{:>14}{:>14}", "", "A", "B", "B - A"),
    ];
    for (name, of) in figures {
        let (a, b) = (of(&a.totals), of(&b.totals));
        let change = i128::from(b) - i128::from(a);
        let sign = if change < 0 {
            "-"
        } else if change > 0 {
            "+"
        } else {
            ""
        };
        let change = format!("{sign}{}", count(b.abs_diff(a)));
        lines.push(format!("{name:<14}{:>14}{:>14}{change:>14}", count(a), count(b)));
    }
    let slow = |of: &Recording| of.latency.iter().map(|latency| latency.p99).fold(0.0, f64::max);
    let (a, b) = (slow(a), slow(b));
    // Rounded first, so that nothing is no `-0.0`.
    let change = ((b - a) * 10.0).round() / 10.0 + 0.0;
    lines.push(format!("{:<14}{a:>14.1}{b:>14.1}{change:>+14.1}", "worst p99 ms"));
    lines.join("\n")
}

fn row(name: &str, [asked, served, sold_out, elsewhere, unknown, unanswered, left]: [u64; 7]) -> String {
    format!(
        "{:<14}{:>9}{:>9}{:>9}{:>10}{:>9}{:>8}{:>9}",
        short(name),
        count(asked),
        count(served),
        count(sold_out),
        count(elsewhere),
        count(unknown),
        count(unanswered),
        count(left)
    )
}

/// A name that leaves room for its row.
fn short(name: &str) -> &str {
    name.get(..13).unwrap_or(name)
}

fn per_hundred(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 * 100.0 }
}

/// With commas between thousands.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Bucket, Latency, Node, NodeBucket};

    fn recording() -> Recording {
        let node =
            NodeBucket { asked: 1_234_567, served: 1_000_000, unknown: 234_567, ..NodeBucket::default() };
        Recording {
            title: "Two nodes".into(),
            about: "Look at how long the words of this line are, and that they stay within it. ".repeat(3),
            seconds: 86_400.0,
            nodes: vec![Node { name: "a-node-with-a-very-long-name".into(), region: "eu".into() }],
            buckets: vec![Bucket { from: 0.0, nodes: vec![node] }],
            latency: vec![Latency {
                answers: 9,
                p50: 1.0,
                p90: 2.0,
                p99: 99_999.0,
                max: 99_999.9,
                local_share: 1.0,
            }],
            totals: Totals {
                orders: 1_234_567,
                orders_served: 1_000_000,
                units_asked: 1_234_567,
                units_served: 1_000_000,
                unknown: 234_567,
                avoidable: 1_234,
                ..Totals::default()
            },
            ..Recording::default()
        }
    }

    #[test]
    fn a_table_fits_a_terminal_and_ends_in_a_verdict() {
        let text = format!("{}\n{}", table(&recording()), side_by_side(&recording(), &recording()));
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        assert!(text.contains("1,234,567") && text.contains("81.0% of the units"), "{text}");
    }

    #[test]
    fn what_is_broken_is_said_instead_of_a_verdict() {
        let broken = Recording { violation: Some("at 5: Keys: two answers".into()), ..recording() };
        assert!(table(&broken).contains("BROKEN: at 5: Keys"));
        let perfect = Totals { units_served: 1_234_567, unknown: 0, ..recording().totals };
        assert!(verdict(&Recording { totals: perfect, ..recording() }).contains("100% of the units"));
    }

    #[test]
    fn a_report_that_cannot_be_written_is_refused_and_an_old_one_stays_until_the_new() {
        let folder = std::env::temp_dir().join(format!("stockade-sim-report-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let nowhere = folder.join("none").join("out.html");
        let complaint = Page::open(&nowhere).err().unwrap();
        assert!(complaint.contains("out.html") && complaint.ends_with("nothing was run"), "{complaint}");
        assert!(Page::open(&folder).is_err(), "a folder is no file");
        let path = folder.join("out.html");
        let old = "old".repeat(1_000_000);
        std::fs::write(&path, &old).unwrap();
        let page = Page::open(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), old);
        page.write(&[recording()]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), report::page(&recording()));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
