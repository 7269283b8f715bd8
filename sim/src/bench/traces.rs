//! Recorded demand as a course: the orders of a file, with their regions laid on the round trips of
//! eight cloud regions.
//!
//! Of a trace, time is compressed, so that a year is played within hours; of a drop, its last hour is
//! taken as it was. What customers brought back is left out: it would be stock that no optimum
//! knows of. A file names times by the minute or by the block: the seed spreads them over that.
//! Every item's stock is spread evenly, as if nothing were known of it.

use std::collections::BTreeMap;
use std::path::Path;

use super::grid::Point;
use super::hot::even;
use super::workload::regions::{Shares, delays, shuffled};
use super::{Course, Order, Want};
use crate::dice::{Dice, Stream};
use crate::scenario::trace::{self, Trace, Window};
use crate::time::{Span, Time};

/// The cloud regions that demand is laid on.
pub const PLACES: [&str; 8] =
    ["ireland", "frankfurt", "virginia", "oregon", "tokyo", "singapore", "sydney", "sao-paulo"];

/// Where the regions of the shop's trace are put. It sells in Europe; the two large markets stay
/// there, and the others are moved apart, so that there are distances to bridge. `uk` is in
/// Ireland because the table has no London.
const MAP: [(&str, &str); 8] = [
    ("uk", "ireland"),
    ("dach", "frankfurt"),
    ("ie", "virginia"),
    ("fr", "oregon"),
    ("benelux", "tokyo"),
    ("med", "singapore"),
    ("row", "sydney"),
    ("nordics", "sao-paulo"),
];
/// A region of this name is none: each order's is drawn.
const NOWHERE: &str = "-";

/// What is made of a file's times.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Only so long before the last order.
    last: Option<Span>,
    /// Times are known to this.
    step: Span,
    /// So many times as fast.
    compress: u64,
}

impl Pace {
    pub const TRACE: Pace = Pace { last: None, step: Span::seconds(60), compress: 3_600 };
    pub const DROP: Pace = Pace { last: Some(Span::seconds(3_600)), step: Span::seconds(12), compress: 1 };
}

/// After the last order's patience.
const MARGIN: Span = Span::seconds(5);

/// The orders of a file, ready to be asked for.
#[derive(Debug)]
pub struct Recorded {
    pace: Pace,
    places: Vec<&'static str>,
    /// Each order's time in the file; its node, if the file says; its lines.
    orders: Vec<(Time, Option<usize>, Vec<Want>)>,
    /// Units asked for, by item.
    demand: Vec<u64>,
}

impl Recorded {
    /// # Errors
    /// In words, when the file cannot be read, or has more regions than there are places.
    pub fn load(file: &Path, pace: Pace) -> Result<Recorded, String> {
        // The spread over a minute is drawn anew for each seed.
        let trace = trace::load(file, Window::default(), &mut Dice::new(0, Stream::Demand))?;
        Recorded::of(&trace, pace).map_err(|e| format!("{}: {e}", file.display()))
    }

    fn of(trace: &Trace, pace: Pace) -> Result<Recorded, String> {
        let nodes = nodes(&trace.regions)?;
        let mut places = PLACES.to_vec();
        if !nodes.contains(&None) {
            places.retain(|place| nodes.iter().flatten().any(|node| PLACES[*node] == *place));
        }
        let last = trace.orders.last().map_or(0, |order| order.at.0);
        let from = pace.last.map_or(0, |span| last.saturating_sub(span.0));
        let mut items = BTreeMap::new();
        let (mut orders, mut demand) = (Vec::new(), Vec::new());
        for order in trace.orders.iter().filter(|order| order.at.0 >= from) {
            let mut wants = Vec::new();
            for (item, units) in &order.lines {
                let units = u64::try_from(*units).unwrap_or(0);
                if units > 0 {
                    let next = items.len();
                    let item = *items.entry(*item).or_insert(next);
                    demand.resize(items.len(), 0);
                    demand[item] += units;
                    wants.push(Want { item, units });
                }
            }
            let place = nodes[order.region].map(|node| PLACES[node]);
            let node = place.and_then(|place| places.iter().position(|known| *known == place));
            if !wants.is_empty() {
                orders.push((Time(order.at.0 - from), node, wants));
            }
        }
        if orders.is_empty() {
            return Err("there are no sales".into());
        }
        Ok(Recorded { pace, places, orders, demand })
    }

    pub fn course(&self, point: &Point, seed: u64) -> Course {
        let mut dice = Dice::new(seed, Stream::Course);
        let count = self.places.len();
        let ranks = shuffled(&mut dice, count);
        let shares = Shares::draw(&mut dice, &ranks);
        let patience = Span::millis(point.patience_ms);
        let order = |(at, node, wants): &(Time, Option<usize>, Vec<Want>)| Order {
            at: Time((at.0 + dice.below(self.pace.step.0)) / self.pace.compress),
            node: node.unwrap_or_else(|| shares.node(&mut dice, false)),
            wants: wants.clone(),
            patience,
        };
        let mut orders: Vec<Order> = self.orders.iter().map(order).collect();
        orders.sort_by_key(|order| order.at);
        let last = orders.last().map_or(Time::ZERO, |order| order.at);
        let stock = |(item, demand): (usize, &u64)| even(point.ratio.of(*demand), count, item);
        Course {
            seed,
            regions: self.places.iter().map(ToString::to_string).collect(),
            delays: delays(&self.places),
            stock: self.demand.iter().enumerate().map(stock).collect(),
            orders,
            cuts: Vec::new(),
            deaths: Vec::new(),
            end: last.after(patience).after(MARGIN),
        }
    }
}

/// The place of each region of the file, as a number of [`PLACES`]: by the map, by its own name, else
/// the next that is free. `None`: it is to be drawn.
fn nodes(regions: &[String]) -> Result<Vec<Option<usize>>, String> {
    let known = |region: &str| {
        let mapped = MAP.iter().find(|(name, _)| *name == region).map_or(region, |(_, place)| place);
        PLACES.iter().position(|place| *place == mapped)
    };
    let mut nodes: Vec<Option<usize>> = regions.iter().map(|region| known(region)).collect();
    for (number, region) in regions.iter().enumerate().filter(|(_, region)| *region != NOWHERE) {
        if nodes[number].is_some() && nodes[..number].contains(&nodes[number]) {
            return Err(format!("region {region:?} lies where another does"));
        }
        if nodes[number].is_none() {
            let free = (0..PLACES.len()).find(|place| !nodes.contains(&Some(*place)));
            let most = PLACES.len();
            nodes[number] = Some(free.ok_or_else(|| format!("there are more than {most} regions"))?);
        }
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::grid::{Faults, Ratio, Shape};
    use crate::scenario::Lapse;
    use crate::scenario::trace::TraceOrder;
    use stockade::types::Sku;

    /// Second, region, lines.
    type Row = (u64, usize, Vec<(usize, i64)>);

    fn trace(regions: &[&str], orders: Vec<Row>) -> Trace {
        let order = |(seconds, region, lines)| TraceOrder { at: Lapse::seconds(seconds), region, lines };
        Trace {
            regions: regions.iter().map(ToString::to_string).collect(),
            skus: vec![Sku::new("A").unwrap(), Sku::new("B").unwrap()],
            orders: orders.into_iter().map(order).collect(),
        }
    }

    fn point(ratio: Ratio) -> Point {
        Point { shape: Shape::Trace, units: 0, ratio, faults: Faults::Connected, patience_ms: 1_000 }
    }

    #[test]
    fn every_region_of_the_shop_has_a_place_of_its_own() {
        let regions = MAP.map(|(name, _)| name.to_owned());
        let placed = nodes(&regions).unwrap();
        let places: std::collections::BTreeSet<usize> = placed.iter().map(|node| node.unwrap()).collect();
        assert_eq!(places.len(), 8);
        assert_eq!(PLACES[placed[0].unwrap()], "ireland");
    }

    #[test]
    fn unknown_regions_take_the_places_that_are_left_and_nine_are_too_many() {
        let names = |names: &[&str]| nodes(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(names(&["mars", "uk", "tokyo", "-"]), Ok(vec![Some(1), Some(0), Some(4), None]));
        assert!(names(&["uk", "ireland"]).unwrap_err().contains("lies where another does"));
        let nine: Vec<String> = (0..9).map(|n| format!("r{n}")).collect();
        assert!(nodes(&nine).unwrap_err().contains("more than 8"));
    }

    #[test]
    fn sales_become_orders_and_returns_are_left_out() {
        let orders = vec![
            (0, 0, vec![(0, 4), (1, -1)]),
            (3_600, 1, vec![(0, -2)]),
            (36_000, 1, vec![(1, 15), (0, 1)]),
        ];
        let recorded = Recorded::of(&trace(&["uk", "dach"], orders), Pace::TRACE).unwrap();
        let course = recorded.course(&point(Ratio::Short), 7);
        assert_eq!(course.regions, ["ireland", "frankfurt"]);
        assert_eq!(course.delays, [Span(0), Span::millis(10), Span::millis(10), Span(0)]);
        assert_eq!(course.stock, [[3, 2], [7, 8]], "95 % of 5 and of 15, rounded up, in equal parts");
        assert_eq!(course.orders.len(), 2);
        let late = &course.orders[1];
        assert_eq!((late.node, late.wants.len()), (1, 2));
        assert!((10_000_000..10_016_667).contains(&late.at.0), "an hour is a second: {}", late.at);
        assert_eq!(course.end, late.at.after(Span::seconds(6)));
        assert_eq!(recorded.course(&point(Ratio::Short), 7).orders, course.orders);
    }

    #[test]
    fn orders_from_nowhere_are_spread_over_all_places_by_the_seed() {
        let orders = (0..600).map(|n| (n * 12, 0, vec![(0, 1)])).collect();
        let recorded = Recorded::of(&trace(&["-"], orders), Pace::DROP).unwrap();
        let course = recorded.course(&point(Ratio::Enough), 1);
        assert_eq!(course.regions.len(), 8);
        assert_eq!(course.orders.len(), 301, "the last hour, and its first moment");
        let at = |node: usize| course.orders.iter().filter(|order| order.node == node).count();
        let counts: Vec<usize> = (0..8).map(at).collect();
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        assert!(counts.iter().max() > Some(&90), "some are busier: {counts:?}");
        assert_ne!(recorded.course(&point(Ratio::Enough), 2).orders, course.orders);
    }

    #[test]
    fn a_file_without_sales_is_refused() {
        let none = trace(&["uk"], vec![(0, 0, vec![(0, -1)])]);
        assert_eq!(Recorded::of(&none, Pace::TRACE).unwrap_err(), "there are no sales");
    }
}
