//! The points at which policies are compared: what is asked, of how much stock, by how patient
//! buyers, over what kind of network. Says what the grid is and what a corner of it is; leaves
//! drawing buyers to `workload`, `hot` and `traces`.

use std::fmt;

use clap::ValueEnum;
use serde::{Serialize, Serializer};

/// How demand comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Each region keeps its share of the demand
    Steady,
    /// Demand wanders from region to region
    Shifting,
    /// 1,000 units asked for within 20 s
    Flash,
    /// Orders of several items
    Baskets,
    /// One item, 10,000 sales a second
    Hot,
    /// The orders of --trace
    Trace,
    /// The last hour of --drop
    Drop,
}

/// What the network does to the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Faults {
    /// All reach all
    Connected,
    /// Regions are cut off 30 % of the time
    Partition,
    /// One region dies and stays dead
    Dead,
    /// Links go down and up every few seconds
    Flapping,
}

/// Stock by demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Ratio {
    /// Half of what is asked for
    #[value(name = "0.5")]
    Half,
    /// 95 of 100 asked for
    #[value(name = "0.95")]
    Short,
    /// As many as are asked for
    #[value(name = "1")]
    Even,
    /// So many that 95 of 100 are asked for
    #[value(name = "1.05")]
    Enough,
    /// Half as many again as asked for
    #[value(name = "1.5")]
    Plenty,
}

impl Ratio {
    /// Stock by demand, as a fraction: exact, so that stock is.
    pub fn fraction(self) -> (u64, u64) {
        match self {
            Ratio::Half => (1, 2),
            Ratio::Short => (95, 100),
            Ratio::Even => (1, 1),
            Ratio::Enough => (100, 95),
            Ratio::Plenty => (3, 2),
        }
    }

    pub fn as_number(self) -> f64 {
        let (stock, demand) = self.fraction();
        stock as f64 / demand as f64
    }

    /// Units in stock where so many are asked for, rounded up.
    pub fn of(self, demand: u64) -> u64 {
        let (stock, by) = self.fraction();
        (demand * stock).div_ceil(by)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.as_number() * 1e4).round() / 1e4)
    }
}

/// The name by which the command line knows a value.
pub fn name<V: ValueEnum>(value: V) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// One place in the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Point {
    pub shape: Shape,
    /// Of each item; 0 where a trace says how much is asked for.
    pub units: u64,
    #[serde(rename = "stock_by_demand")]
    pub ratio: Ratio,
    pub faults: Faults,
    pub patience_ms: u64,
}

impl fmt::Display for Point {
    /// As the command line would ask for it: `steady, 100 units, stock 0.95, 300 ms, connected`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, ", name(self.shape))?;
        if self.units > 0 {
            write!(f, "{} units, ", self.units)?;
        }
        write!(f, "stock {}, {} ms, {}", name(self.ratio), self.patience_ms, name(self.faults))
    }
}

pub const RATIOS: [Ratio; 5] = [Ratio::Half, Ratio::Short, Ratio::Even, Ratio::Enough, Ratio::Plenty];
pub const FAULTS: [Faults; 4] = [Faults::Connected, Faults::Partition, Faults::Dead, Faults::Flapping];
pub const PATIENCE_MS: [u64; 3] = [0, 300, 1_000];
const UNITS: [u64; 3] = [5, 100, 10_000];
/// What a flash sale has in stock.
const FLASH_UNITS: u64 = 1_000;
/// What one hot item has in stock: enough for what is asked for in the 5 s of its sale.
const HOT_UNITS: u64 = 52_632;

/// Which values are asked for; an empty list asks for all.
#[derive(Clone, Debug, Default)]
pub struct Corner {
    pub shapes: Vec<Shape>,
    pub units: Vec<u64>,
    pub ratios: Vec<Ratio>,
    pub faults: Vec<Faults>,
    pub patience_ms: Vec<u64>,
}

impl Corner {
    fn holds(&self, point: &Point) -> bool {
        fn asks<T: PartialEq>(list: &[T], value: &T) -> bool {
            list.is_empty() || list.contains(value)
        }
        asks(&self.shapes, &point.shape)
            && asks(&self.units, &point.units)
            && asks(&self.ratios, &point.ratio)
            && asks(&self.faults, &point.faults)
            && asks(&self.patience_ms, &point.patience_ms)
    }
}

/// The points of the grid that lie in the corner, by shape, units, stock, faults and patience.
pub fn grid(corner: &Corner) -> Vec<Point> {
    all().into_iter().filter(|point| is_chosen(point) && corner.holds(point)).collect()
}

/// Which of the corner's numbers the grid has not, and what it has in their place; for a corner without points.
pub fn nothing_there(corner: &Corner) -> String {
    let shapes = if corner.shapes.is_empty() { Shape::value_variants() } else { &corner.shapes };
    let listed = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let units: Vec<&[u64]> = shapes.iter().map(|shape| units_of(*shape)).collect();
    let has = |asked: &[u64], there: &[u64]| asked.is_empty() || asked.iter().any(|n| there.contains(n));
    if !has(&corner.units, &units.concat()) {
        let each = shapes.iter().zip(units).map(|(shape, units)| match units {
            [0] => format!("{} takes them from its file", name(*shape)),
            units => format!("{} has {}", name(*shape), listed(units)),
        });
        let each: Vec<String> = each.collect();
        return format!("--units {}: choose what there is; {}", listed(&corner.units), each.join("; "));
    }
    if !has(&corner.patience_ms, &PATIENCE_MS) {
        let (asked, there) = (listed(&corner.patience_ms), listed(&PATIENCE_MS));
        return format!("--patience {asked}: choose what there is; {there}");
    }
    "the grid has each of these, but no point with all of them; leave one out".to_owned()
}

/// Every combination that can be had.
fn all() -> Vec<Point> {
    let mut points = Vec::new();
    for shape in Shape::value_variants() {
        for units in units_of(*shape) {
            for ratio in RATIOS {
                for faults in FAULTS {
                    let point =
                        |patience_ms| Point { shape: *shape, units: *units, ratio, faults, patience_ms };
                    points.extend(PATIENCE_MS.map(point));
                }
            }
        }
    }
    points
}

fn units_of(shape: Shape) -> &'static [u64] {
    match shape {
        Shape::Steady | Shape::Shifting | Shape::Baskets => &UNITS,
        Shape::Flash => &[FLASH_UNITS],
        Shape::Hot => &[HOT_UNITS],
        Shape::Trace | Shape::Drop => &[0],
    }
}

/// Steady demand for items of 100 units is looked at in every combination. The others share their
/// centre: stock around the demand while all is connected, with any patience, and each fault and
/// each stock once.
fn is_chosen(point: &Point) -> bool {
    let Point { shape, units, ratio, faults, patience_ms } = *point;
    let around = matches!(ratio, Ratio::Short | Ratio::Enough);
    let (connected, waits) = (faults == Faults::Connected, patience_ms == 1_000);
    match shape {
        Shape::Steady if units == 100 => true,
        Shape::Steady | Shape::Shifting | Shape::Baskets | Shape::Flash => {
            (around && connected) || (ratio == Ratio::Enough && waits) || (units == 100 && connected && waits)
        }
        Shape::Hot => ratio == Ratio::Enough && connected && waits,
        Shape::Trace | Shape::Drop => connected && recorded(ratio, patience_ms),
    }
}

/// The two points of recorded demand: less than is asked for and patient buyers; enough, and none waits.
fn recorded(ratio: Ratio, patience_ms: u64) -> bool {
    matches!((ratio, patience_ms), (Ratio::Short, 1_000) | (Ratio::Enough, 0))
}

/// The points from which the headline is judged, all with demand of 0.95 of the stock.
pub mod headline {
    use super::{FLASH_UNITS, Faults, HOT_UNITS, Point, Ratio, Shape};

    const fn point(shape: Shape, units: u64, faults: Faults, patience_ms: u64) -> Point {
        Point { shape, units, ratio: Ratio::Enough, faults, patience_ms }
    }

    pub const PATIENT: Point = point(Shape::Steady, 100, Faults::Connected, 1_000);
    pub const AT_ONCE: Point = point(Shape::Steady, 100, Faults::Connected, 0);
    pub const PARTITION: Point = point(Shape::Steady, 100, Faults::Partition, 1_000);
    pub const FEW: Point = point(Shape::Steady, 5, Faults::Connected, 1_000);
    pub const SHIFTING: Point = point(Shape::Shifting, 100, Faults::Connected, 1_000);
    pub const BASKETS: Point = point(Shape::Baskets, 100, Faults::Connected, 1_000);
    pub const BASKETS_SOON: Point = point(Shape::Baskets, 100, Faults::Connected, 300);
    pub const FEW_BASKETS: Point = point(Shape::Baskets, 5, Faults::Connected, 1_000);
    pub const FLASH: Point = point(Shape::Flash, FLASH_UNITS, Faults::Connected, 1_000);
    pub const FLASH_SOON: Point = point(Shape::Flash, FLASH_UNITS, Faults::Connected, 300);
    pub const HOT: Point = point(Shape::Hot, HOT_UNITS, Faults::Connected, 1_000);

    pub const ALL: [Point; 11] = [
        PATIENT,
        AT_ONCE,
        PARTITION,
        FEW,
        SHIFTING,
        BASKETS,
        BASKETS_SOON,
        FEW_BASKETS,
        FLASH,
        FLASH_SOON,
        HOT,
    ];
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_grid_is_of_the_size_that_is_told_and_covers_each_axis_for_each_shape() {
        let points = grid(&Corner::default());
        assert_eq!(points.len(), 152);
        assert!(points.is_sorted() && points.iter().collect::<BTreeSet<_>>().len() == points.len());
        for shape in [Shape::Steady, Shape::Shifting, Shape::Baskets, Shape::Flash] {
            let of: Vec<&Point> = points.iter().filter(|point| point.shape == shape).collect();
            let patience: BTreeSet<u64> = of.iter().map(|point| point.patience_ms).collect();
            let faults: BTreeSet<Faults> = of.iter().map(|point| point.faults).collect();
            let units: BTreeSet<u64> = of.iter().map(|point| point.units).collect();
            assert_eq!(
                (patience.len(), faults.len(), units.len()),
                (3, 4, units_of(shape).len()),
                "{shape:?}"
            );
            let ratios: BTreeSet<Ratio> = of.iter().map(|point| point.ratio).collect();
            assert_eq!(ratios.len(), if shape == Shape::Flash { 2 } else { 5 }, "{shape:?}");
        }
        let steady = points.iter().filter(|point| point.shape == Shape::Steady && point.units == 100);
        assert_eq!(steady.count(), 5 * 4 * 3);
        let recorded = |shape| points.iter().filter(|point| point.shape == shape).count();
        assert_eq!((recorded(Shape::Trace), recorded(Shape::Drop), recorded(Shape::Hot)), (2, 2, 1));
    }

    #[test]
    fn a_corner_holds_what_was_asked_for_and_nothing_else() {
        let corner = Corner {
            units: vec![5],
            patience_ms: vec![0],
            faults: vec![Faults::Connected],
            ..Corner::default()
        };
        let points = grid(&corner);
        assert!(!points.is_empty() && points.len() < 20, "{}", points.len());
        assert!(points.iter().all(|p| (p.units, p.patience_ms, p.faults) == (5, 0, Faults::Connected)));
        assert!(grid(&Corner { units: vec![6], ..Corner::default() }).is_empty());
    }

    #[test]
    fn what_the_headline_is_judged_by_lies_in_the_grid() {
        let points = grid(&Corner::default());
        assert!(headline::ALL.iter().all(|point| points.contains(point)));
    }

    #[test]
    fn stock_is_a_share_of_demand_rounded_up() {
        assert_eq!(RATIOS.map(|ratio| ratio.of(950)), [475, 903, 950, 1_000, 1_425]);
        assert_eq!(Ratio::Half.of(1), 1);
        assert_eq!(serde_json::to_string(&Ratio::Enough).unwrap(), "1.0526");
    }

    #[test]
    fn a_point_is_told_as_the_command_line_asks_for_it() {
        assert_eq!(headline::PATIENT.to_string(), "steady, 100 units, stock 1.05, 1000 ms, connected");
    }
}
