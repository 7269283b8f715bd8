//! For now: runs one spec of the shipped contender many times, as told by the environment. The
//! bench command takes its place.
//!
//! `SHAPE=steady UNITS=100 RATIO=1.05 PATIENCE=1000 FAULTS=connected SEEDS=20 \
//! cargo test --release -p stockade-sim bench::probe -- --ignored --nocapture`

use super::measure::Measures;
use super::stockade::run_stockade;
use super::workload::{Faults, Shape, Spec};
use crate::time::Span;

fn told(name: &str, usual: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| usual.to_string())
}

fn number(name: &str, usual: &str) -> u64 {
    told(name, usual).parse().unwrap()
}

fn spec(seed: u64) -> Spec {
    let shape = match told("SHAPE", "steady").as_str() {
        "steady" => Shape::Steady,
        "shifting" => Shape::Shifting,
        "flash" => Shape::Flash,
        "baskets" => Shape::Baskets,
        other => panic!("SHAPE={other}"),
    };
    let faults = match told("FAULTS", "connected").as_str() {
        "connected" => Faults::Connected,
        "partitioned" => Faults::Partitioned30,
        "dead" => Faults::RegionDead,
        "flapping" => Faults::Flapping,
        other => panic!("FAULTS={other}"),
    };
    let ratio = told("RATIO", "1.05").parse().unwrap();
    let (units, patience) = (number("UNITS", "100"), Span::millis(number("PATIENCE", "1000")));
    Spec { seed, shape, ratio, units, patience, faults }
}

#[test]
#[ignore = "prints measures"]
fn probe() {
    let begin = std::time::Instant::now();
    let mut sum = Measures::default();
    let mut best = 0u64;
    for seed in 1..=number("SEEDS", "20") {
        let spec = spec(seed);
        sum.add(&run_stockade(&spec));
        best += best_of_all(&spec);
    }
    println!("{:?}", spec(0));
    let asked = sum.asked as f64;
    println!(
        "asked {} served {} ({:.4}) of a single counter's {best} ({:.4})",
        sum.asked,
        sum.served,
        sum.served as f64 / asked,
        sum.served as f64 / best as f64
    );
    println!(
        "local {:.4} wait ms p50 {} p99 {} p99.9 {} max {}",
        sum.local_share(),
        sum.wait(500).0 / 1_000,
        sum.wait(990).0 / 1_000,
        sum.wait(999).0 / 1_000,
        sum.wait(1_000).0 / 1_000
    );
    println!(
        "per 100 sales: transfers {:.2} returned {:.2} messages {:.0} bytes {:.0}; moved a unit {:.3}",
        sum.per_100_sales(sum.transfers),
        sum.per_100_sales(sum.units_returned),
        sum.per_100_sales(sum.messages),
        sum.per_100_sales(sum.bytes),
        sum.moved_per_unit()
    );
    println!(
        "refused: sold out {} elsewhere {} unknown {} late {}; avoidable {} wrong {}",
        sum.refused_sold_out, sum.refused_elsewhere, sum.refused_unknown, sum.late, sum.avoidable, sum.wrong
    );
    println!(
        "fairness {:.4} stranded {} sold late {}; {} events in {:?}",
        sum.fairness(),
        sum.units_stranded,
        sum.units_sold_late,
        sum.events,
        begin.elapsed()
    );
}

/// Orders that one counter without geography would serve, in order of time; a dead region's are
/// not asked, and its units are not lost.
fn best_of_all(spec: &Spec) -> u64 {
    let course = spec.course();
    let mut left: Vec<u64> = course.stock.iter().map(|nodes| nodes.iter().sum()).collect();
    let mut served = 0;
    for order in &course.orders {
        let dead = course.deaths.iter().any(|death| death.node == order.node && death.at <= order.at);
        if !dead && order.wants.iter().all(|want| left[want.item] >= want.units) {
            order.wants.iter().for_each(|want| left[want.item] -= want.units);
            served += 1;
        }
    }
    served
}
