//! The table that says whether the default policy is as good as it has to be: measures with their
//! bounds, each judged at fixed points of the grid.

use serde::Serialize;

use super::figures::{Figures, Metric, Standings};
use super::grid::headline::{ALL, AT_ONCE, FEW, FLASH, HOT, PARTITION, PATIENT};
use super::grid::{Faults, Point};
use super::policy::Policy;

/// What a measure must reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    pub fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtLeast(least) => value >= least,
            Bound::AtMost(most) => value <= most,
        }
    }

    fn worse(self, a: f64, b: f64) -> f64 {
        match self {
            Bound::AtLeast(_) => a.min(b),
            Bound::AtMost(_) => a.max(b),
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bound::AtLeast(least) => f.pad(&format!(">= {least}")),
            Bound::AtMost(most) => f.pad(&format!("<= {most}")),
        }
    }
}

/// Which number of a point's figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Median(Metric),
    /// For what must not be in any seed.
    Most(Metric),
    /// Against the closest optimum that is known.
    Served,
    BytesASale,
}

impl Of {
    fn value(self, figures: &Figures) -> Option<f64> {
        match self {
            Of::Median(metric) => figures.median(metric),
            Of::Most(metric) => figures.0.get(&metric).map(|spread| spread.max),
            Of::Served => figures.served(),
            Of::BytesASale => figures.median(Metric::BytesPer100).map(|bytes| bytes / 100.0),
        }
    }

    fn written(self, value: f64) -> String {
        match self {
            Of::Median(metric) | Of::Most(metric) => metric.written(value),
            Of::Served => Metric::ServedOfFlow.written(value),
            Of::BytesASale => format!("{value:.1}"),
        }
    }
}

/// A row of the table: the worst of its points counts.
struct Rule {
    measure: &'static str,
    of: Of,
    bound: Bound,
    at: fn(&Point) -> bool,
}

const RULES: [Rule; 16] = [
    rule("wrong sold_out, any point", Of::Most(Metric::WrongVerdicts), Bound::AtMost(0.0), any),
    rule("oversold, any point", Of::Most(Metric::Oversold), Bound::AtMost(0.0), any),
    rule("avoidable %, connected", Of::Median(Metric::AvoidablePercent), Bound::AtMost(0.0), waits),
    rule("the same, worst seed", Of::Most(Metric::AvoidablePercent), Bound::AtMost(1.0), waits),
    rule("served/OPT, 1 s", Of::Served, Bound::AtLeast(0.999), |p| *p == PATIENT),
    rule("served/OPT, patience 0", Of::Served, Bound::AtLeast(0.997), |p| *p == AT_ONCE),
    rule("served/OPT, cut 30 %", Of::Served, Bound::AtLeast(0.997), |p| *p == PARTITION),
    rule("served/OPT, flash sale", Of::Served, Bound::AtLeast(0.999), |p| *p == FLASH),
    rule("transfers/100, 100 units", Of::Median(Metric::TransfersPer100), Bound::AtMost(10.0), |p| {
        *p == PATIENT || *p == AT_ONCE
    }),
    rule("transfers/100, 5 units", Of::Median(Metric::TransfersPer100), Bound::AtMost(20.0), |p| *p == FEW),
    rule("local share, 100 units", Of::Median(Metric::LocalShare), Bound::AtLeast(0.98), |p| {
        *p == PATIENT || *p == AT_ONCE
    }),
    rule("moves per unit, any", Of::Median(Metric::MovesPerUnit), Bound::AtMost(1.0), any),
    rule("to and fro/100, any", Of::Median(Metric::ToAndFroPer100), Bound::AtMost(0.0), any),
    rule("the same, worst seed, any", Of::Most(Metric::ToAndFroPer100), Bound::AtMost(0.5), any),
    rule("bytes a sale, hot item", Of::BytesASale, Bound::AtMost(20.0), |p| *p == HOT),
    rule("served/OPT, hot item", Of::Served, Bound::AtLeast(0.999), |p| *p == HOT),
];

const fn rule(measure: &'static str, of: Of, bound: Bound, at: fn(&Point) -> bool) -> Rule {
    Rule { measure, of, bound, at }
}

fn any(_: &Point) -> bool {
    true
}

/// Buyers wait 300 ms or 1 s, and all reach all.
fn waits(point: &Point) -> bool {
    point.faults == Faults::Connected && point.patience_ms > 0
}

/// A row, filled in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    pub measure: &'static str,
    pub bound: Bound,
    /// What each policy reached at the worst of the row's points; none where it was not measured.
    pub reached: Vec<Reached>,
    /// Whether the default policy is within the bound; none when it did not run.
    pub ok: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reached {
    pub policy: &'static str,
    pub value: Option<f64>,
    #[serde(skip)]
    pub written: String,
}

/// Judges what was run; points that are missing are not.
pub fn judge(results: &[Standings], policies: &[Policy]) -> Vec<Verdict> {
    RULES.iter().map(|rule| rule.verdict(results, policies)).collect()
}

impl Rule {
    fn verdict(&self, results: &[Standings], policies: &[Policy]) -> Verdict {
        let of = |policy: &Policy| {
            let points =
                results.iter().filter(|result| ALL.contains(&result.point) && (self.at)(&result.point));
            let figures = points.filter_map(|result| result.of(policy.name()));
            let value =
                figures.filter_map(|figures| self.of.value(figures)).reduce(|a, b| self.bound.worse(a, b));
            let written = value.map_or_else(|| "-".to_owned(), |value| self.of.written(value));
            Reached { policy: policy.name(), value, written }
        };
        let reached: Vec<Reached> = policies.iter().map(of).collect();
        let ours = reached.iter().find(|reached| reached.policy == Policy::DEFAULT.name());
        let ok = ours.map(|reached| reached.value.is_some_and(|value| self.bound.holds(value)));
        Verdict { measure: self.measure, bound: self.bound, reached, ok }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::bench::figures::{Sample, Standing};
    use crate::bench::grid::headline::FLASH_SOON;

    /// All that is asked for, at every point.
    fn perfect() -> Sample {
        let value = |metric: &Metric| (*metric, if metric.is_good() { 1.0 } else { 0.0 });
        Sample(Metric::ALL.iter().map(value).collect::<BTreeMap<_, _>>())
    }

    fn results(spoil: impl Fn(&Point, &mut Sample)) -> Vec<Standings> {
        let of = |point: &Point| {
            let mut sample = perfect();
            spoil(point, &mut sample);
            let standing = Standing { policy: "stockade", figures: Figures::of(&[sample]) };
            Standings { point: *point, seeds: 1, policies: vec![standing] }
        };
        ALL.iter().map(of).collect()
    }

    fn missed(results: &[Standings]) -> Vec<&'static str> {
        let verdicts = judge(results, &[Policy::Stockade]);
        verdicts.iter().filter(|row| row.ok == Some(false)).map(|row| row.measure).collect()
    }

    #[test]
    fn every_bound_is_missed_when_its_measure_is_bad_and_only_then() {
        assert_eq!(missed(&results(|_, _| ())), Vec::<&str>::new());
        for (number, rule) in RULES.iter().enumerate() {
            let metrics = match rule.of {
                Of::Median(metric) | Of::Most(metric) => vec![metric],
                Of::Served => vec![Metric::ServedOfFlow],
                Of::BytesASale => vec![Metric::BytesPer100],
            };
            let bad = match rule.bound {
                Bound::AtLeast(least) => least - 0.001,
                Bound::AtMost(most) => (most + 0.01) * if rule.of == Of::BytesASale { 100.0 } else { 1.0 },
            };
            let spoilt = results(|point, sample| {
                if (rule.at)(point) {
                    sample.0.extend(metrics.iter().map(|metric| (*metric, bad)));
                }
            });
            assert!(missed(&spoilt).contains(&rule.measure), "{number}: {}", rule.measure);
        }
    }

    #[test]
    fn one_bad_point_is_enough_and_one_bad_seed_where_none_may_be() {
        let spoilt = results(|point, sample| {
            if *point == HOT {
                sample.0.insert(Metric::MovesPerUnit, 1.5);
            }
        });
        assert_eq!(missed(&spoilt), ["moves per unit, any"]);
        let missed_with = |metric| {
            let mut bad = perfect();
            bad.0.insert(metric, 1.0);
            let standing =
                Standing { policy: "stockade", figures: Figures::of(&[perfect(), perfect(), bad]) };
            let mut results = results(|_, _| ());
            results[0] = Standings { point: PATIENT, seeds: 3, policies: vec![standing] };
            missed(&results)
        };
        assert_eq!(missed_with(Metric::WrongVerdicts), ["wrong sold_out, any point"]);
        assert_eq!(missed_with(Metric::Oversold), ["oversold, any point"]);
        assert_eq!(missed_with(Metric::ToAndFroPer100), ["the same, worst seed, any"]);
    }

    #[test]
    fn impatient_buyers_count_and_units_back_once_do_not() {
        let avoidable = results(|point, sample| {
            sample.0.insert(Metric::AvoidablePercent, f64::from(u8::from(*point == FLASH_SOON)));
        });
        assert_eq!(missed(&avoidable), ["avoidable %, connected"], "with less patience too");
        let back = results(|_, sample| _ = sample.0.insert(Metric::ReturnedPercent, 9.0));
        assert_eq!(missed(&back), Vec::<&str>::new(), "back once is told, not judged");
    }

    #[test]
    fn what_was_not_measured_is_not_reached_and_others_are_not_judged() {
        assert_eq!(missed(&[]).len(), RULES.len());
        let verdicts = judge(&results(|_, _| ()), &[Policy::Static]);
        assert!(verdicts.iter().all(|row| row.ok.is_none() && row.reached[0].value.is_none()));
    }
}
