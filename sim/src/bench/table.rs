//! What a bench came to, in 80 columns: for each workload what every policy served of the optimum,
//! and all that was measured in the middle of the grid; and the headline.

use super::figures::{Metric, Standings};
use super::grid::{self, Faults, Point, Ratio, Shape};
use super::headline::Verdict;
use crate::commands::table::{Cell, lines};

fn text(text: &str) -> Cell {
    Cell::Text(text.to_owned())
}

fn figure(text: impl Into<String>) -> Cell {
    Cell::Figure(text.into())
}

/// The results of the grid, workload by workload.
pub fn grid(results: &[Standings]) -> Vec<String> {
    let mut out = Vec::new();
    for workload in workloads(results) {
        let of: Vec<&Standings> =
            results.iter().filter(|result| workload_of(&result.point) == workload).collect();
        out.push(title(workload));
        out.extend(served(&of));
        out.extend(measures(&of));
        out.push(String::new());
    }
    out.pop();
    out
}

/// Shapes and units, in the order of the results.
pub fn workloads(results: &[Standings]) -> Vec<(Shape, u64)> {
    let mut workloads: Vec<(Shape, u64)> = results.iter().map(|result| workload_of(&result.point)).collect();
    workloads.dedup();
    workloads
}

fn workload_of(point: &Point) -> (Shape, u64) {
    (point.shape, point.units)
}

/// Such as `STEADY, 100 units an item`.
fn title((shape, units): (Shape, u64)) -> String {
    let shape = grid::name(shape).to_uppercase();
    if units == 0 { shape } else { format!("{shape}, {units} units an item") }
}

/// The point at which all that was measured is shown: demand of 0.95 of stock, patient buyers, all
/// connected; or the first there is.
pub fn middle<'a>(of: &[&'a Standings]) -> Option<&'a Standings> {
    let is_middle = |point: &Point| {
        (point.ratio, point.faults, point.patience_ms) == (Ratio::Enough, Faults::Connected, 1_000)
    };
    of.iter().find(|result| is_middle(&result.point)).or(of.first()).copied()
}

/// A row for each stock and patience, a column for each policy.
fn served(of: &[&Standings]) -> Vec<String> {
    let mut out = vec!["served of what the best could serve, by stock and patience in ms".to_owned()];
    for faults in grid::FAULTS {
        let of: Vec<&&Standings> = of.iter().filter(|result| result.point.faults == faults).collect();
        let Some(first) = of.first() else { continue };
        let mut head = vec![text("stock"), figure("wait")];
        head.extend(first.policies.iter().map(|standing| figure(standing.policy)));
        let row = |result: &&&Standings| {
            let mut row =
                vec![text(&grid::name(result.point.ratio)), figure(result.point.patience_ms.to_string())];
            row.extend(result.policies.iter().map(|standing| {
                let value = standing.figures.served();
                figure(value.map_or_else(|| "-".into(), |value| Metric::ServedOfFlow.written(value)))
            }));
            row
        };
        let rows: Vec<Vec<Cell>> = of.iter().map(row).collect();
        out.push(format!("  {}", grid::name(faults)));
        out.extend(lines(&head, &rows));
    }
    out
}

/// What the table of measures shows, and the heads of its columns; of transfers, bytes and units to
/// and fro, how many for 100 sales.
const MEASURES: [(&str, Metric); 10] = [
    ("avoid%", Metric::AvoidablePercent),
    ("wrong", Metric::WrongVerdicts),
    ("local", Metric::LocalShare),
    ("p99ms", Metric::WaitP99Ms),
    ("tr", Metric::TransfersPer100),
    ("bytes", Metric::BytesPer100),
    ("moves", Metric::MovesPerUnit),
    ("back%", Metric::ReturnedPercent),
    ("fro", Metric::ToAndFroPer100),
    ("fair", Metric::Fairness),
];

/// A row for each policy.
fn measures(of: &[&Standings]) -> Vec<String> {
    let Some(result) = middle(of) else { return Vec::new() };
    let mut head = vec![text("policy")];
    head.extend(MEASURES.iter().map(|(name, _)| figure(*name)));
    let rows = result.policies.iter().map(|standing| {
        let mut row = vec![text(standing.policy)];
        row.extend(MEASURES.iter().map(|(_, metric)| {
            let median = standing.figures.median(*metric);
            figure(median.map_or_else(|| "-".to_owned(), |value| brief(*metric, value)))
        }));
        row
    });
    let rows: Vec<Vec<Cell>> = rows.collect();
    let mut out = vec![String::new(), format!("all policies at {}", result.point)];
    out.extend(lines(&head, &rows));
    out
}

/// Bytes in thousands where they are many, and no digits behind large numbers, so that the row keeps
/// its width.
fn brief(metric: Metric, value: f64) -> String {
    match metric {
        Metric::BytesPer100 if value >= 1e5 => format!("{:.0}k", value / 1e3),
        _ if value >= 100.0 => format!("{value:.0}"),
        _ => metric.written(value),
    }
}

/// The headline: measure, bound, what the default policy reached; then the others by number.
pub fn headline(verdicts: &[Verdict]) -> Vec<String> {
    let Some(first) = verdicts.first() else { return Vec::new() };
    let ours = crate::bench::policy::Policy::DEFAULT.name();
    let mut out = Vec::new();
    let head = [text("#"), text("measure"), text("bound"), figure(ours), text("")];
    let row = |(number, verdict): (usize, &Verdict)| {
        let reached = verdict.reached.iter().find(|reached| reached.policy == ours);
        let word = match verdict.ok {
            Some(true) => "ok",
            Some(false) => "MISSED",
            None => "",
        };
        vec![
            text(&(number + 1).to_string()),
            text(verdict.measure),
            text(&verdict.bound.to_string()),
            figure(reached.map_or("-", |reached| reached.written.as_str())),
            text(word),
        ]
    };
    let rows: Vec<Vec<Cell>> = verdicts.iter().enumerate().map(row).collect();
    out.extend(lines(&head, &rows));
    let others: Vec<usize> =
        (0..first.reached.len()).filter(|place| first.reached[*place].policy != ours).collect();
    if others.is_empty() {
        return out;
    }
    out.extend([String::new(), "what the others reached".to_owned()]);
    let mut head = vec![text("#")];
    head.extend(others.iter().map(|place| figure(first.reached[*place].policy)));
    let row = |(number, verdict): (usize, &Verdict)| {
        let mut row = vec![text(&(number + 1).to_string())];
        row.extend(others.iter().map(|place| figure(verdict.reached[*place].written.as_str())));
        row
    };
    let rows: Vec<Vec<Cell>> = verdicts.iter().enumerate().map(row).collect();
    out.extend(lines(&head, &rows));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::headline::judge;
    use crate::bench::made_up;
    use crate::bench::policy::Policy;
    use clap::ValueEnum;

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let results = made_up::results(&grid::grid(&grid::Corner::default()));
        let judged = judge(&results, Policy::value_variants());
        let all = [super::grid(&results), headline(&judged)].concat();
        assert!(all.len() > 200);
        for line in all {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn the_headline_says_what_was_missed() {
        let results = made_up::results(&grid::headline::ALL);
        let lines = headline(&judge(&results, Policy::value_variants()));
        assert!(lines[0].starts_with("#") && lines[0].contains("stockade"));
        assert!(
            lines.iter().any(|line| line.contains("flash sale") && line.ends_with("MISSED")),
            "{lines:#?}"
        );
        assert!(lines.iter().any(|line| line.contains("oversold") && line.ends_with("ok")));
        assert!(lines.iter().any(|line| line.contains("half5") && line.contains("antidote")));
    }

    #[test]
    fn each_workload_has_its_table_with_every_point() {
        let points = grid::grid(&grid::Corner { shapes: vec![Shape::Flash], ..grid::Corner::default() });
        let lines = super::grid(&made_up::results(&points));
        assert_eq!(lines[0], "FLASH, 1000 units an item");
        let stocks = lines.iter().filter(|line| line.starts_with("0.95 ") || line.starts_with("1.05 "));
        assert_eq!(stocks.count(), points.len());
        assert!(
            lines
                .iter()
                .any(|line| line == "all policies at flash, 1000 units, stock 1.05, 1000 ms, connected")
        );
    }
}
