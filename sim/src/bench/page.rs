//! What a bench came to as a page that needs nothing else: how much each policy sells at what price,
//! chart by chart, and the headline. Words and charts are made from the results alone.

use super::figures::{Figures, Metric, Standing, Standings};
use super::grid::{self, Faults, Point, Ratio, Shape};
use super::headline::Verdict;
use super::marks::{self, Dot, Mark};
use super::policy::Policy;
use super::table::{middle, workloads};
use crate::commands::bench::Report;
use crate::report::html::{Text, document, head, row, section, table};

const SERVED: &str = "Orders served, of what the optimum serves, by how long buyers wait; to the right is better. \
    Stock is such that 95 of 100 units are asked for, and all nodes reach each other.";
const TRADE_OFF: &str = "Each policy at two points, for buyers who wait 1 s and for those who do not: upper left is best, much \
    sold and little moved. Transfers are for 100 sales.";
const LOCAL: &str = "The share of sales for which no other node was asked, at once from what lay there.";
const WAITS: &str =
    "How long those waited who were served, where buyers wait up to 1 s. Served at once is at the left edge.";
const FAULTS: &str =
    "Orders served, of what the optimum serves under the same faults, by buyers who wait 1 s.";
const ALL: &str = "All that was measured in the middle of the grid: demand of 0.95 of stock, buyers who wait 1 s, all nodes \
    connected (or the first point there is). Medians over the seeds; the JSON has every point, with least and most.";

pub fn page(report: &Report) -> String {
    let mut body = top(report);
    if !report.headline.is_empty() {
        let caption = "Measures at fixed points, the worst of which counts; the default policy has to be within each bound.";
        body += &section("What has to be reached", caption, &bounds(&report.headline));
    }
    for (shape, units) in workloads(&report.points) {
        let of: Vec<&Standings> =
            report.points.iter().filter(|at| (at.point.shape, at.point.units) == (shape, units)).collect();
        body += &workload(&name(shape, units), &of);
    }
    body += &section("What this is", "How to get this page again, and how far to trust it.", &about(report));
    document("Policies of moving rights", &body)
}

fn top(report: &Report) -> String {
    let missed: Vec<&Verdict> = report.headline.iter().filter(|verdict| verdict.ok == Some(false)).collect();
    let verdict = match (report.headline.is_empty(), missed.as_slice()) {
        (true, _) => String::new(),
        (false, []) => "<p class=\"verdict\">The default policy is within every bound.</p>".to_owned(),
        (false, missed) => {
            let names: Vec<&str> = missed.iter().map(|verdict| verdict.measure).collect();
            format!("<p class=\"verdict\"><b class=\"bad\">Missed:</b> {}.</p>", Text(&names.join("; ")))
        }
    };
    format!(
        "<header>\n<p class=\"kind\">Stockade bench · {} points · {} seeds each</p>\n\
         <h1>Where should the units be?</h1>\n\
         <p class=\"about\">Policies of moving rights, put to the same buyers over the same network, and held against \
         the most that anyone could have sold.</p>\n{verdict}</header>\n",
        report.points.len(),
        report.seeds
    )
}

fn name(shape: Shape, units: u64) -> String {
    let shape = match shape {
        Shape::Steady => "Steady demand",
        Shape::Shifting => "Demand that shifts",
        Shape::Flash => "A flash sale",
        Shape::Baskets => "Baskets",
        Shape::Hot => "One hot item",
        Shape::Trace => "A recorded year",
        Shape::Drop => "A recorded drop",
    };
    if units == 0 { shape.to_owned() } else { format!("{shape}, {units} units an item") }
}

fn workload(name: &str, of: &[&Standings]) -> String {
    let at = |ratio: Ratio, faults: Faults, patience_ms: u64| {
        let is_it = move |point: &Point| {
            (point.ratio, point.faults, point.patience_ms) == (ratio, faults, patience_ms)
        };
        of.iter().find(|standings| is_it(&standings.point)).copied()
    };
    let connected = |patience_ms| at(Ratio::Enough, Faults::Connected, patience_ms);
    let waits = grid::PATIENCE_MS.map(|ms| connected(ms).map(|found| (patience(ms), found)));
    let faults =
        grid::FAULTS.map(|faults| at(Ratio::Enough, faults, 1_000).map(|found| (grid::name(faults), found)));
    let mut parts = vec![
        (
            "Served, by patience",
            SERVED,
            marks::rows("Served of the optimum", &dots(&waits, Figures::served), true),
        ),
        (
            "Served, by fault",
            FAULTS,
            marks::rows("Served under faults", &dots(&faults, Figures::served), true),
        ),
        ("Sales against transfers", TRADE_OFF, marks::scatter("transfers for 100 sales", &trade_off(&waits))),
        (
            "Local share",
            LOCAL,
            marks::rows("Local share", &dots(&waits, |of| of.median(Metric::LocalShare)), true),
        ),
    ];
    if let Some(found) = connected(1_000) {
        parts.push(("Waits", WAITS, marks::waits(&found.policies)));
    }
    let mut body = String::new();
    for (heading, caption, chart) in parts.into_iter().filter(|(_, _, chart)| !chart.is_empty()) {
        body += &format!("<h3>{heading}</h3>\n<p class=\"caption\">{caption}</p>\n{chart}");
    }
    if let Some(middle) = middle(of) {
        body += &format!(
            "<h3>All measures at {}</h3>\n<p class=\"caption\">{ALL}</p>\n{}",
            Text(&middle.point.to_string()),
            measures(middle)
        );
    }
    section(name, "Every policy with the same buyers.", &body)
}

fn patience(ms: u64) -> String {
    match ms {
        0 => "no wait".to_owned(),
        ms => crate::report::numbers::millis(ms as f64),
    }
}

/// A row for each policy, a mark for each of the points that were run.
fn dots(points: &[Option<(String, &Standings)>], value: impl Fn(&Figures) -> Option<f64>) -> Vec<Mark> {
    let found: Vec<&(String, &Standings)> = points.iter().flatten().collect();
    if found.len() < 2 {
        return Vec::new();
    }
    let mark = |standing: &Standing| {
        let dot = |(label, at): &&(String, &Standings)| Dot {
            label: label.clone(),
            value: at.of(standing.policy).and_then(&value),
        };
        Mark { policy: standing.policy, dots: found.iter().map(dot).collect() }
    };
    found[0].1.policies.iter().map(mark).collect()
}

/// Transfers and what was served, for the shortest and the longest patience.
fn trade_off(points: &[Option<(String, &Standings)>]) -> Vec<(&'static str, String, f64, f64)> {
    let mut out = Vec::new();
    for (label, at) in [&points[0], &points[points.len() - 1]].into_iter().flatten() {
        for standing in &at.policies {
            let (x, y) = (standing.figures.median(Metric::TransfersPer100), standing.figures.served());
            out.extend(x.zip(y).map(|(x, y)| (standing.policy, label.clone(), x, y)));
        }
    }
    out
}

const COLUMNS: [(&str, Metric); 17] = [
    ("Served / flow", Metric::ServedOfFlow),
    ("Served / pool", Metric::ServedOfPool),
    ("Avoid\u{AD}able %", Metric::AvoidablePercent),
    ("Wrong", Metric::WrongVerdicts),
    ("Local", Metric::LocalShare),
    ("p50 ms", Metric::WaitP50Ms),
    ("p99 ms", Metric::WaitP99Ms),
    ("p99.9 ms", Metric::WaitP999Ms),
    ("Trans\u{AD}fers /100", Metric::TransfersPer100),
    ("Mes\u{AD}sages /100", Metric::MessagesPer100),
    ("Bytes /100", Metric::BytesPer100),
    ("Moves /unit", Metric::MovesPerUnit),
    ("Back %", Metric::ReturnedPercent),
    ("To and fro /100", Metric::ToAndFroPer100),
    ("Fair", Metric::Fairness),
    ("Sold late", Metric::SoldLate),
    ("Stran\u{AD}ded", Metric::Stranded),
];

fn measures(at: &Standings) -> String {
    let mut columns = vec!["Policy"];
    columns.extend(COLUMNS.map(|(name, _)| name));
    let line = |standing: &Standing| {
        row(standing.policy, COLUMNS.map(|(_, metric)| standing.figures.written(metric)))
    };
    let rows: String = at.policies.iter().map(line).collect();
    table("All measures", &head(&columns), &rows, "")
}

fn bounds(verdicts: &[Verdict]) -> String {
    let mut columns = vec!["Measure", "Bound"];
    columns.extend(verdicts.iter().take(1).flat_map(|verdict| verdict.reached.iter().map(|of| of.policy)));
    let line = |verdict: &Verdict| {
        let mut cells = vec![Text(&verdict.bound.to_string()).to_string()];
        cells.extend(verdict.reached.iter().map(|reached| match verdict.ok {
            Some(ok) if reached.policy == Policy::DEFAULT.name() => {
                let (class, sign) = if ok { ("good", "✓") } else { ("bad", "✗") };
                format!("<b class=\"{class}\">{sign} {}</b>", Text(&reached.written))
            }
            _ => Text(&reached.written).to_string(),
        }));
        row(verdict.measure, cells)
    };
    let rows: String = verdicts.iter().map(line).collect();
    table("Bounds", &head(&columns), &rows, "")
}

fn about(report: &Report) -> String {
    let last = report.first_seed + report.seeds;
    let mode = if report.headline.is_empty() { "" } else { "--headline " };
    let left_out: String =
        report.left_out.iter().map(|line| format!("<p class=\"more\">{}</p>\n", Text(line))).collect();
    format!(
        "<p>Everything comes from the seeds ({first}..{last}): the same seeds and version give the same figures.</p>\n\
         <pre>cargo run --release -p stockade-sim -- bench {mode}--seeds {first}..{last} --report bench.html</pre>\n\
         <p><i>Flow</i> is a clairvoyant who knows all buyers beforehand, but whose units travel like messages; \
         <i>pool</i> is one counter without geography, and stands in where an order has several items. \
         <b>stockade</b> is the replica that ships, with its defaults, on disks that take no time; the others are \
         policies as published or as their code behaves, and as good as what they stand for. Take differences between \
         policies as the result.</p>\n{left_out}",
        first = report.first_seed
    )
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::bench::headline::judge;
    use crate::bench::made_up;

    fn report(points: &[Point], with_headline: bool) -> Report {
        let points = made_up::results(points);
        let headline = if with_headline { judge(&points, Policy::value_variants()) } else { Vec::new() };
        Report { first_seed: 0, seeds: 3, headline, points, left_out: vec!["left <out>".into()] }
    }

    #[test]
    fn a_page_needs_nothing_from_elsewhere_and_has_every_workload() {
        let page = page(&report(&grid::grid(&grid::Corner::default()), true));
        for reference in ["http:", "https:", "src=", "href=", "<script", "<link", "<img", "@import", "url("] {
            assert!(!page.contains(reference), "{reference}");
        }
        for workload in
            ["Steady demand, 5 units", "A flash sale", "Baskets, 100", "A recorded drop", "One hot item"]
        {
            assert!(page.contains(workload), "{workload}");
        }
        assert!(page.contains("left &lt;out&gt;") && page.contains("Missed:"));
        assert!(page.contains("✓ 0") && page.contains("✗ 0.9"));
        assert!(!page.contains("NaN") && !page.contains("inf"));
    }

    #[test]
    fn pages_are_well_formed() {
        for page in [page(&report(&grid::headline::ALL, true)), page(&report(&[], false))] {
            assert_eq!(crate::report::tests::malformed(&page), None);
        }
    }

    #[test]
    fn a_lone_point_and_none_make_pages_too() {
        let lone = page(&report(&grid::headline::ALL[..1], false));
        assert!(lone.contains("All measures at steady, 100 units") && !lone.contains("Served, by patience"));
        assert!(page(&report(&[], false)).contains("0 points"));
    }
}
