//! The hot item: what the protocol costs a sale where sales are many. One item, five regions,
//! 10,000 buyers a second for 5 s, a unit each.

use super::grid::Point;
use super::workload::regions::{FIVE, Shares, delays, shuffled};
use super::{Course, Order, Want};
use crate::dice::{Dice, Stream};
use crate::time::{Span, Time};

const LASTS: Span = Span::seconds(5);
/// Between two buyers.
const GAP: Span = Span(100);
const MARGIN: Span = Span::seconds(5);

pub fn course(point: &Point, seed: u64) -> Course {
    let mut dice = Dice::new(seed, Stream::Course);
    let order = shuffled(&mut dice, FIVE.len());
    let shares = Shares::draw(&mut dice, &order);
    let patience = Span::millis(point.patience_ms);
    let order = |number: u64| Order {
        at: Time(number * GAP.0 + dice.below(GAP.0)),
        node: shares.node(&mut dice, false),
        wants: vec![Want { item: 0, units: 1 }],
        patience,
    };
    let orders: Vec<Order> = (0..LASTS.0 / GAP.0).map(order).collect();
    Course {
        seed,
        regions: FIVE.iter().map(ToString::to_string).collect(),
        delays: delays(&FIVE),
        stock: vec![even(point.units, FIVE.len(), 0)],
        orders,
        cuts: Vec::new(),
        deaths: Vec::new(),
        end: Time::ZERO.after(LASTS).after(patience).after(MARGIN),
    }
}

/// Equal parts; what is left over goes to the nodes from `first` on.
pub fn even(units: u64, nodes: usize, first: usize) -> Vec<u64> {
    let (each, left) = (units / nodes as u64, units % nodes as u64);
    let more = |node: usize| ((node + nodes - first % nodes) % nodes) < left as usize;
    (0..nodes).map(|node| each + u64::from(more(node))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::grid::headline;

    #[test]
    fn ten_thousand_a_second_ask_for_95_of_100_units() {
        let course = course(&headline::HOT, 3);
        let within = |second: u64| {
            let second = Time(second * 1_000_000)..Time((second + 1) * 1_000_000);
            course.orders.iter().filter(|order| second.contains(&order.at)).count()
        };
        assert_eq!([0, 4, 5].map(within), [10_000, 10_000, 0]);
        let stock: u64 = course.stock[0].iter().sum();
        assert!((0.9499..0.9501).contains(&(course.orders.len() as f64 / stock as f64)));
        assert!(course.orders.is_sorted_by_key(|order| order.at));
        assert!((0..5).all(|node| course.orders.iter().any(|order| order.node == node)));
    }

    #[test]
    fn parts_are_even_and_lose_nothing() {
        assert_eq!(even(7, 3, 0), [3, 2, 2]);
        assert_eq!(even(8, 3, 5), [3, 2, 3]);
        assert_eq!(even(1, 8, 15), [0, 0, 0, 0, 0, 0, 0, 1]);
    }
}
