//! Results that nobody measured, to look at tables and pages with.

use std::collections::BTreeMap;

use clap::ValueEnum;

use super::figures::{Figures, Metric, Sample, Standing, Standings};
use super::grid::Point;
use super::policy::Policy;

/// Wide numbers, and different ones at each point.
pub fn results(points: &[Point]) -> Vec<Standings> {
    points.iter().enumerate().map(|(number, point)| standings(number, point)).collect()
}

fn standings(number: usize, point: &Point) -> Standings {
    let standing = |(place, policy): (usize, &Policy)| {
        let sample = |seed: u32| sample((number + place * 3) as f64 + f64::from(seed));
        Standing { policy: policy.name(), figures: Figures::of(&[sample(0), sample(1), sample(2)]) }
    };
    let policies = Policy::value_variants().iter().enumerate().map(standing).collect();
    Standings { point: *point, seeds: 3, policies }
}

fn sample(by: f64) -> Sample {
    let value = |metric: &Metric| {
        let value = match metric {
            metric if metric.is_good() => 1.0 - by / 1_000.0,
            Metric::WrongVerdicts | Metric::Oversold => 0.0,
            Metric::BytesPer100 => 12_345.0 * by,
            Metric::WaitP99Ms | Metric::WaitP999Ms => 900.0 + by,
            Metric::Stranded => 1_000.0 + by,
            _ => by / 1.5,
        };
        (*metric, value)
    };
    Sample(Metric::ALL.iter().map(value).collect::<BTreeMap<_, _>>())
}
