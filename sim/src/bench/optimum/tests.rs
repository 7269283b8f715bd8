//! Tests of the optimum: by hand, and against every possible assignment.

use super::super::{Death, Want};
use super::*;
use crate::dice::{Dice, Stream};
use crate::time::Span;

/// A millisecond from each node to each other, so many units of one item at each, no orders.
fn course(stock: &[u64]) -> Course {
    let nodes = stock.len();
    let delay = |place: usize| if place.is_multiple_of(nodes + 1) { Span(0) } else { Span::millis(1) };
    Course {
        seed: 0,
        regions: (0..nodes).map(|node| node.to_string()).collect(),
        delays: (0..nodes * nodes).map(delay).collect(),
        stock: vec![stock.to_vec()],
        orders: Vec::new(),
        cuts: Vec::new(),
        deaths: Vec::new(),
        end: Time::ZERO.after(Span::seconds(10)),
    }
}

fn ms(at: u64) -> Time {
    Time::ZERO.after(Span::millis(at))
}

fn order(at: u64, node: usize, units: u64, patience: u64) -> Order {
    Order { at: ms(at), node, wants: vec![Want { item: 0, units }], patience: Span::millis(patience) }
}

fn cut(a: usize, b: usize, from: u64, until: u64) -> Cut {
    Cut { a, b, from: ms(from), until: ms(until) }
}

#[test]
fn a_pool_serves_whole_orders_as_they_come() {
    let mut course = course(&[2, 1]);
    course.orders = vec![order(1, 0, 2, 0), order(2, 0, 2, 0), order(3, 1, 1, 0), order(4, 1, 1, 0)];
    assert_eq!(pool(&course), 2);
    course.stock.push(vec![0, 0]);
    course.orders[0].wants.push(Want { item: 1, units: 1 });
    assert_eq!(pool(&course), 2, "a basket that lacks a line takes nothing");
    assert_eq!(flow(&course), None);
}

#[test]
fn a_cut_keeps_from_the_flow_what_the_pool_sells() {
    let mut course = course(&[1, 0]);
    course.orders = vec![order(5, 1, 1, 0)];
    assert_eq!((pool(&course), flow(&course)), (1, Some(1)));
    course.cuts = vec![cut(0, 1, 0, 10)];
    assert_eq!((pool(&course), flow(&course)), (1, Some(0)));
    course.orders[0].patience = Span::millis(6);
    assert_eq!(flow(&course), Some(1), "there at 11, when patience ends");
    course.orders[0].patience = Span(5_999);
    assert_eq!(flow(&course), Some(0));
}

#[test]
fn what_is_on_its_way_when_a_cut_begins_goes_again() {
    let mut course = course(&[1, 0]);
    course.delays[1] = Span::millis(4);
    course.orders = vec![order(5, 1, 1, 0)];
    course.cuts = vec![cut(1, 0, 5, 7)];
    assert_eq!(flow(&course), Some(1));
    course.cuts = vec![cut(1, 0, 4, 7)];
    assert_eq!(flow(&course), Some(0));
    course.orders[0].patience = Span::millis(6);
    assert_eq!(flow(&course), Some(1));
}

#[test]
fn units_go_round_a_cut() {
    let mut course = course(&[1, 0, 0]);
    course.cuts = vec![cut(0, 1, 0, 100)];
    course.orders = vec![order(2, 1, 1, 0)];
    assert_eq!(flow(&course), Some(1), "by way of node 2");
    course.cuts.push(cut(1, 2, 0, 100));
    assert_eq!(flow(&course), Some(0));
}

#[test]
fn a_detour_that_is_faster_is_taken() {
    let mut course = course(&[1, 0, 0]);
    course.delays[1] = Span::millis(9);
    course.orders = vec![order(2, 1, 1, 0)];
    assert_eq!(flow(&course), Some(1));
    course.orders[0].at = ms(1);
    assert_eq!(flow(&course), Some(0));
}

#[test]
fn the_dead_are_not_asked_and_their_units_may_have_left() {
    let mut course = course(&[1, 0]);
    course.deaths = vec![Death { node: 0, at: ms(3) }];
    course.orders = vec![order(2, 0, 1, 0), order(3, 0, 1, 0), order(9, 1, 1, 0)];
    assert_eq!((pool(&course), flow(&course)), (1, Some(1)));
    course.orders.remove(0);
    assert_eq!((pool(&course), flow(&course)), (1, Some(1)));
    course.deaths[0].at = ms(1);
    assert_eq!(flow(&course), Some(0), "it dies with its unit on the way");
}

#[test]
fn patience_decides_who_is_served() {
    let mut course = course(&[2, 0]);
    course.delays[1] = Span::millis(10);
    course.orders = vec![order(1, 1, 1, 8), order(1, 1, 1, 9), order(2, 0, 1, 0)];
    assert_eq!(flow(&course), Some(2));
    assert_eq!(pool(&course), 2);
    course.stock[0][0] = 3;
    assert_eq!((pool(&course), flow(&course)), (3, Some(2)));
}

#[test]
fn a_choice_that_was_wrong_is_undone() {
    // Node 2 reaches nobody else; the first class could take from node 0 or 2.
    let mut course = course(&[1, 0, 1]);
    course.cuts = vec![cut(0, 1, 1_000, 2_000), cut(1, 2, 0, 2_000)];
    course.delays[6] = Span::seconds(5);
    course.orders = vec![order(1, 2, 1, 0), order(5, 1, 1, 0)];
    assert_eq!(flow(&course), Some(2));
}

#[test]
fn larger_orders_count_by_parts_and_small_ones_come_first() {
    let mut course = course(&[3]);
    course.orders = vec![order(1, 0, 3, 0), order(2, 0, 1, 0), order(3, 0, 1, 0)];
    assert_eq!(pool(&course), 1);
    assert_eq!(flow(&course), Some(2), "two, and a third of the other");
    course.orders = vec![order(1, 0, 2, 0), order(2, 0, 2, 0)];
    course.stock[0][0] = 4;
    assert_eq!(flow(&course), Some(2));
}

/// All that a unit can be at, step by step of a millisecond; time moves, nothing is clever.
fn reached(course: &Course, from: usize, last: u64) -> Vec<Option<u64>> {
    let nodes = course.nodes();
    let mut first = vec![None; nodes];
    first[from] = Some(0);
    for now in 0..=last {
        for (via, to) in (0..nodes).flat_map(|via| (0..nodes).map(move |to| (via, to))) {
            let there = now + course.delay(via, to).0 / 1_000;
            let whole = (now..=there).all(|at| course.passes(ms(at), via, to));
            if via != to && first[via].is_some_and(|at| at <= now) && whole {
                first[to] = Some(first[to].map_or(there, |known: u64| known.min(there)));
            }
        }
    }
    first
}

/// Tries for each order every node with units, and none.
fn most(orders: &[(usize, Vec<bool>)], left: &mut [u64]) -> u64 {
    let Some(((_, sources), rest)) = orders.split_first() else { return 0 };
    let mut best = most(rest, left);
    for (source, reaches) in sources.iter().enumerate() {
        if *reaches && left[source] > 0 {
            left[source] -= 1;
            best = best.max(1 + most(rest, left));
            left[source] += 1;
        }
    }
    best
}

fn drawn(seed: u64) -> Course {
    let mut dice = Dice::new(seed, Stream::Plan);
    let nodes = 2 + dice.place(3);
    let stock: Vec<u64> = (0..nodes).map(|_| dice.below(3)).collect();
    let mut course = course(&stock);
    for (from, to) in (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to))) {
        if from != to {
            course.delays[from * nodes + to] = Span::millis(dice.between(1, 9));
        }
    }
    for (a, b) in (0..nodes).flat_map(|a| (0..a).map(move |b| (a, b))) {
        let mut from = dice.below(8);
        while dice.chance(600) && from < 20 {
            let until = from + dice.between(1, 9);
            course.cuts.push(cut(a, b, from, until));
            from = until + dice.between(1, 9);
        }
    }
    if dice.chance(300) {
        course.deaths.push(Death { node: dice.place(nodes), at: ms(dice.below(12)) });
    }
    course.orders =
        (0..dice.between(1, 7)).map(|_| order(dice.below(12), dice.place(nodes), 1, dice.below(8))).collect();
    course.orders.sort_by_key(|order| order.at);
    course
}

#[test]
fn the_flow_is_the_best_of_all_assignments() {
    let mut below_pool = 0;
    for seed in 0..2_000 {
        let course = drawn(seed);
        let reached: Vec<_> = (0..course.nodes()).map(|from| reached(&course, from, 60)).collect();
        let dead = |order: &Order| course.deaths.iter().any(|d| d.node == order.node && d.at <= order.at);
        let orders: Vec<_> = course.orders.iter().filter(|order| !dead(order)).collect();
        let in_time = |order: &Order| {
            let until = (order.at.0 + order.patience.0) / 1_000;
            let reaches = |from: &Vec<Option<u64>>| from[order.node].is_some_and(|at| at <= until);
            (order.node, reached.iter().map(reaches).collect())
        };
        let best = most(
            &orders.iter().map(|order| in_time(order)).collect::<Vec<_>>(),
            &mut course.stock[0].clone(),
        );
        assert_eq!(flow(&course), Some(best), "seed {seed}: {course:?}");
        assert!(best <= pool(&course), "seed {seed}");
        below_pool += u64::from(best < pool(&course));
    }
    assert!(below_pool > 200, "too few courses where distance matters: {below_pool}");
}
