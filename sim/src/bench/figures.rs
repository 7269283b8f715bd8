//! What a bench came to: for each point and policy every measure as median, least and most over
//! the seeds. Tables, JSON and the page are made from this alone; nothing in it depends on threads
//! or on real time, so the same seeds give the same figures byte for byte.

use std::collections::BTreeMap;

use serde::Serialize;

use super::grid::Point;
use super::measure::{Ending, Measures, Outcome};
use super::{Course, optimum};
use crate::time::Span;

/// What is measured of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Orders served, by those one counter without geography serves.
    ServedOfPool,
    /// Orders served, by the most that delays, cuts and patience allow.
    ServedOfFlow,
    /// Refusals while nodes in reach had all that was wanted, in percent of the orders.
    AvoidablePercent,
    /// `sold_out` said while units were unsold.
    WrongVerdicts,
    /// Units sold beyond the stock.
    Oversold,
    /// Served at once from rights of the node asked, of all served.
    LocalShare,
    WaitP50Ms,
    WaitP99Ms,
    WaitP999Ms,
    TransfersPer100,
    MessagesPer100,
    BytesPer100,
    /// Units moved, by units sold.
    MovesPerUnit,
    /// Units that were back within 10 s where they had been given away, in percent of the units sold.
    /// For information: they were fetched for a buyer who did not take them.
    ReturnedPercent,
    /// Units given away again to where they had come back from, each way within 10 s.
    ToAndFroPer100,
    /// Served by asked units in the region that fared worst.
    Fairness,
    /// Units sold to buyers who were not told in time.
    SoldLate,
    /// Units free in the end where no other node can get at them.
    Stranded,
}

impl Metric {
    pub const ALL: [Metric; 18] = [
        Metric::ServedOfPool,
        Metric::ServedOfFlow,
        Metric::AvoidablePercent,
        Metric::WrongVerdicts,
        Metric::Oversold,
        Metric::LocalShare,
        Metric::WaitP50Ms,
        Metric::WaitP99Ms,
        Metric::WaitP999Ms,
        Metric::TransfersPer100,
        Metric::MessagesPer100,
        Metric::BytesPer100,
        Metric::MovesPerUnit,
        Metric::ReturnedPercent,
        Metric::ToAndFroPer100,
        Metric::Fairness,
        Metric::SoldLate,
        Metric::Stranded,
    ];

    /// Whether more of it is better.
    #[cfg(test)]
    pub fn is_good(self) -> bool {
        use Metric::{Fairness, LocalShare, ServedOfFlow, ServedOfPool};
        matches!(self, ServedOfPool | ServedOfFlow | LocalShare | Fairness)
    }

    /// With as many digits as mean something.
    pub fn written(self, value: f64) -> String {
        use Metric::{BytesPer100, Fairness, LocalShare, MovesPerUnit, Oversold, ServedOfFlow, ServedOfPool};
        use Metric::{MessagesPer100, SoldLate, Stranded, WaitP50Ms, WaitP99Ms, WaitP999Ms, WrongVerdicts};
        match self {
            // Down, so that only all is 1.
            ServedOfPool | ServedOfFlow | LocalShare | Fairness => {
                format!("{:.4}", (value * 1e4 + 1e-6).floor() / 1e4)
            }
            WrongVerdicts | Oversold | SoldLate | Stranded | BytesPer100 | MessagesPer100 => {
                format!("{value:.0}")
            }
            WaitP50Ms | WaitP99Ms | WaitP999Ms => format!("{value:.0}"),
            // Up, so that only nothing is 0.
            MovesPerUnit | Metric::AvoidablePercent | Metric::ReturnedPercent | Metric::ToAndFroPer100 => {
                // Nothing is no `-0.00`.
                format!("{:.2}", (value * 1e2 - 1e-6).ceil() / 1e2 + 0.0)
            }
            Metric::TransfersPer100 => format!("{value:.1}"),
        }
    }
}

/// What one run came to. What could not be measured (an optimum that is only known for unit
/// orders) is not there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample(pub BTreeMap<Metric, f64>);

/// What could have been served of a course.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Optimum {
    pool: u64,
    flow: Option<u64>,
}

impl Optimum {
    pub fn of(course: &Course) -> Optimum {
        Optimum { pool: optimum::pool(course), flow: optimum::flow(course) }
    }
}

impl Sample {
    pub fn of(course: &Course, optimum: &Optimum, outcome: &Outcome) -> Sample {
        let measures = Measures::of(course, outcome);
        let by = |part: u64, all: u64| if all == 0 { 1.0 } else { part as f64 / all as f64 };
        let percent = |part: u64, all: u64| if all == 0 { 0.0 } else { 100.0 * part as f64 / all as f64 };
        let ms = |span: Span| span.0 as f64 / 1e3;
        let mut of = BTreeMap::from([
            (Metric::ServedOfPool, by(measures.served, optimum.pool)),
            (Metric::AvoidablePercent, percent(measures.avoidable, measures.asked)),
            (Metric::WrongVerdicts, measures.wrong as f64),
            (Metric::Oversold, oversold(course, outcome) as f64),
            (Metric::LocalShare, measures.local_share()),
            (Metric::WaitP50Ms, ms(measures.wait(500))),
            (Metric::WaitP99Ms, ms(measures.wait(990))),
            (Metric::WaitP999Ms, ms(measures.wait(999))),
            (Metric::TransfersPer100, measures.per_100_sales(measures.transfers)),
            (Metric::MessagesPer100, measures.per_100_sales(measures.messages)),
            (Metric::BytesPer100, measures.per_100_sales(measures.bytes)),
            (Metric::MovesPerUnit, measures.moved_per_unit()),
            (Metric::ReturnedPercent, percent(measures.units_returned, measures.units_served)),
            (Metric::ToAndFroPer100, measures.per_100_sales(measures.units_to_and_fro)),
            (Metric::Fairness, measures.fairness()),
            (Metric::SoldLate, measures.units_sold_late as f64),
            (Metric::Stranded, measures.units_stranded as f64),
        ]);
        of.extend(optimum.flow.map(|flow| (Metric::ServedOfFlow, by(measures.served, flow))));
        Sample(of)
    }
}

/// Units that were said to be served beyond what there was, counted from the answers alone.
fn oversold(course: &Course, outcome: &Outcome) -> u64 {
    let mut sold = vec![0; course.items()];
    let served = course.orders.iter().zip(&outcome.orders);
    for (order, _) in served.filter(|(_, of)| matches!(of.ending, Ending::Served { .. })) {
        order.wants.iter().for_each(|want| sold[want.item] += want.units);
    }
    let beyond = |(sold, stock): (u64, &Vec<u64>)| sold.saturating_sub(stock.iter().sum());
    sold.into_iter().zip(&course.stock).map(beyond).sum()
}

/// A measure over the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// None when there are no values. The median of an even number is the mean of the middle two.
    pub fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            (values[half - 1] + values[half]) / 2.0
        } else {
            values[half]
        };
        Some(Spread { median, min, max })
    }
}

/// Each measure over the seeds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Figures(pub BTreeMap<Metric, Spread>);

impl Figures {
    pub fn of(samples: &[Sample]) -> Figures {
        let values =
            |metric: &Metric| samples.iter().filter_map(|sample| sample.0.get(metric).copied()).collect();
        let spread = |metric: &Metric| Some((*metric, Spread::of(values(metric))?));
        Figures(Metric::ALL.iter().filter_map(spread).collect())
    }

    pub fn median(&self, metric: Metric) -> Option<f64> {
        self.0.get(&metric).map(|spread| spread.median)
    }

    /// Against the closest optimum that is known.
    pub fn served(&self) -> Option<f64> {
        self.median(Metric::ServedOfFlow).or(self.median(Metric::ServedOfPool))
    }

    /// For people; a dash where nothing was measured.
    pub fn written(&self, metric: Metric) -> String {
        self.median(metric).map_or_else(|| "-".to_owned(), |value| metric.written(value))
    }
}

/// How one policy stood at a point.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standing {
    pub policy: &'static str,
    pub figures: Figures,
}

/// What all policies came to at a point.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Standings {
    #[serde(flatten)]
    pub point: Point,
    pub seeds: u64,
    pub policies: Vec<Standing>,
}

impl Standings {
    pub fn of(&self, policy: &str) -> Option<&Figures> {
        self.policies.iter().find(|standing| standing.policy == policy).map(|standing| &standing.figures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_between_least_and_most() {
        assert_eq!(Spread::of(vec![]), None);
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
    }

    #[test]
    fn what_was_not_measured_is_a_dash_and_left_out_of_the_json() {
        let sample = Sample(BTreeMap::from([(Metric::ServedOfPool, 0.5)]));
        let figures = Figures::of(&[sample]);
        assert_eq!(
            (figures.written(Metric::ServedOfPool), figures.written(Metric::ServedOfFlow)),
            ("0.5000".into(), "-".into())
        );
        let json = serde_json::to_string(&figures).unwrap();
        assert_eq!(json, r#"{"served_of_pool":{"median":0.5,"min":0.5,"max":0.5}}"#);
    }

    #[test]
    fn a_run_is_held_against_what_could_have_been_served() {
        use crate::bench::measure::OrderOutcome;
        use crate::bench::{Order, Want};
        use crate::time::Time;
        let wants = vec![Want { item: 0, units: 1 }];
        let order = |at| Order { at: Time(at), node: 0, wants: wants.clone(), patience: Span(0) };
        let course = Course {
            seed: 1,
            regions: vec!["ireland".into()],
            delays: vec![Span(0)],
            stock: vec![vec![2]],
            orders: (0..4).map(order).collect(),
            cuts: vec![],
            deaths: vec![],
            end: Time(9),
        };
        let optimum = Optimum::of(&course);
        assert_eq!(optimum, Optimum { pool: 2, flow: Some(2) });
        let with_odds = || Outcome { units_sold_late: 7, units_to_and_fro: 2, ..Outcome::default() };
        let outcome = |served: usize| {
            let ending = |n| if n < served { Ending::Served { by: 0 } } else { Ending::Late };
            let of = |n| OrderOutcome { ending: ending(n), ..OrderOutcome::NOT_ASKED };
            Outcome { orders: (0..4).map(of).collect(), units_moved: 3, ..with_odds() }
        };
        let sample = Sample::of(&course, &optimum, &outcome(1));
        let value = |metric| sample.0[&metric];
        assert_eq!((value(Metric::ServedOfPool), value(Metric::ServedOfFlow)), (0.5, 0.5));
        assert_eq!((value(Metric::MovesPerUnit), value(Metric::Oversold)), (3.0, 0.0));
        assert_eq!((value(Metric::SoldLate), value(Metric::ToAndFroPer100)), (7.0, 200.0));
        let sold_twice = Sample::of(&course, &optimum, &outcome(3));
        assert_eq!(sold_twice.0[&Metric::Oversold], 1.0, "two units, three sales");
    }

    #[test]
    fn a_loss_is_not_rounded_away() {
        assert_eq!(Metric::ServedOfPool.written(0.999_99), "0.9999");
        assert_eq!(Metric::ServedOfPool.written(0.999), "0.9990");
        assert_eq!(Metric::ServedOfPool.written(1.0), "1.0000");
        assert_eq!(Metric::AvoidablePercent.written(0.001), "0.01");
        assert_eq!(Metric::AvoidablePercent.written(0.0), "0.00");
    }

    #[test]
    fn every_measure_is_listed_once() {
        let all: std::collections::BTreeSet<Metric> = Metric::ALL.into_iter().collect();
        assert_eq!(all.len(), Metric::ALL.len());
        assert_eq!(all.last(), Some(&Metric::Stranded), "the last of the enum is there");
    }
}
