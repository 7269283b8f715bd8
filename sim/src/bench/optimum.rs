//! What could have been sold: the measure of every policy.
//!
//! [`pool`] serves orders as they come from one counter, as if there were no distance. [`flow`] is
//! a clairvoyant who knows all orders from the beginning but whose units travel like messages: over
//! links that are up, as fast as the links are, through other nodes if that is faster. Both leave
//! out the orders at nodes that are dead; nobody is there to ask.
//!
//! A unit may leave at time 0, and whatever it can reach it reaches soonest if it does. So a unit
//! that began at node i can serve an order at node j if and only if its earliest arrival there is
//! not after the buyer's patience, and what is best is the greatest flow from units to orders.

use std::collections::{BTreeMap, VecDeque};

use super::{Course, Cut, Order};
use crate::time::Time;

/// Orders that are served in order of time from one stock, all lines of an order or none.
pub fn pool(course: &Course) -> u64 {
    let mut left: Vec<u64> = course.stock.iter().map(|at| at.iter().sum()).collect();
    let mut served = 0;
    for order in asked(course) {
        if order.wants.iter().all(|want| want.units <= left[want.item]) {
            order.wants.iter().for_each(|want| left[want.item] -= want.units);
            served += 1;
        }
    }
    served
}

/// The most orders that anyone could serve who knows everything beforehand; `None` when there are
/// orders of several lines, for which it is not known.
///
/// Exact when every order is for one unit. Larger orders are counted by the part that is served of
/// each, as if a buyer took less: an upper bound, since all or nothing is hard to reckon (a knapsack
/// hides in it).
pub fn flow(course: &Course) -> Option<u64> {
    if course.orders.iter().any(|order| order.wants.len() != 1) {
        return None;
    }
    let arrivals: Vec<Vec<Option<Time>>> = (0..course.nodes()).map(|from| earliest(course, from)).collect();
    let served = (0..course.items()).map(|item| of_item(course, &arrivals, item)).sum::<f64>();
    Some((served + 1e-6) as u64)
}

fn asked(course: &Course) -> impl Iterator<Item = &Order> {
    course.orders.iter().filter(|order| order.at < dies(course, order.node))
}

fn dies(course: &Course, node: usize) -> Time {
    let deaths = course.deaths.iter().filter(|death| death.node == node);
    deaths.map(|death| death.at).min().unwrap_or(Time(u64::MAX))
}

/// When what leaves `from` at the beginning can first be at each node, if ever.
fn earliest(course: &Course, from: usize) -> Vec<Option<Time>> {
    let mut arrivals = vec![None; course.nodes()];
    let mut settled = vec![false; course.nodes()];
    arrivals[from] = Some(Time::ZERO);
    while let Some((at, via)) = next(&arrivals, &settled) {
        settled[via] = true;
        for to in (0..course.nodes()).filter(|&to| to != via) {
            let there = arrives(course, at, via, to);
            let lives = there < dies(course, via).min(dies(course, to));
            if lives && arrivals[to].is_none_or(|known| there < known) {
                arrivals[to] = Some(there);
            }
        }
    }
    arrivals
}

fn next(arrivals: &[Option<Time>], settled: &[bool]) -> Option<(Time, usize)> {
    let open = arrivals.iter().enumerate().filter(|(node, _)| !settled[*node]);
    open.filter_map(|(node, arrival)| Some(((*arrival)?, node))).min()
}

/// When a message to `b` arrives that leaves `a` at `at`, or later, so that no cut catches it: what
/// is on its way when a cut begins is lost, and has to be sent again.
fn arrives(course: &Course, at: Time, a: usize, b: usize) -> Time {
    let mut cuts: Vec<&Cut> =
        course.cuts.iter().filter(|cut| (cut.a, cut.b) == (a, b) || (cut.b, cut.a) == (a, b)).collect();
    cuts.sort_by_key(|cut| cut.from);
    let delay = course.delay(a, b);
    let caught = |leaves: Time, cut: &Cut| cut.from <= leaves.after(delay) && leaves < cut.until;
    let leaves = cuts.iter().fold(at, |leaves, cut| if caught(leaves, cut) { cut.until } else { leaves });
    leaves.after(delay)
}

/// Orders served of this item, by parts. Small orders come first: what the flow has reached once it
/// never leaves again, so taking the most valuable first is best (the reachable sets are a matroid).
fn of_item(course: &Course, arrivals: &[Vec<Option<Time>>], item: usize) -> f64 {
    let classes = classes(course, arrivals, item);
    let mut network = Network::new(&course.stock[item], classes.keys().map(|class| class.sources.clone()));
    let mut sizes: Vec<u64> = classes.keys().map(|class| class.size).collect();
    sizes.dedup();
    let mut served = 0.0;
    for size in sizes {
        for (place, (class, units)) in classes.iter().enumerate() {
            if class.size == size {
                network.wanted[place] = *units;
            }
        }
        served += network.augment() as f64 / size as f64;
    }
    served
}

/// Orders that are alike: for so many units each, which can come from the same nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    size: u64,
    sources: Vec<usize>,
}

/// Units wanted by each class.
fn classes(course: &Course, arrivals: &[Vec<Option<Time>>], item: usize) -> BTreeMap<Class, u64> {
    let mut classes = BTreeMap::new();
    for order in asked(course).filter(|order| order.wants[0].item == item) {
        let until = order.at.after(order.patience);
        let reaches = |from: &usize| arrivals[*from][order.node].is_some_and(|arrival| arrival <= until);
        let sources = (0..course.nodes()).filter(reaches).collect();
        *classes.entry(Class { size: order.wants[0].units, sources }).or_insert(0) += order.wants[0].units;
    }
    classes
}

/// Units at sources, and classes that want some of them.
struct Network {
    left: Vec<u64>,
    wanted: Vec<u64>,
    sources: Vec<Vec<usize>>,
    /// By class and source.
    flow: Vec<Vec<u64>>,
}

impl Network {
    fn new(stock: &[u64], sources: impl Iterator<Item = Vec<usize>>) -> Network {
        let sources: Vec<_> = sources.collect();
        let classes = sources.len();
        Network {
            left: stock.to_vec(),
            wanted: vec![0; classes],
            sources,
            flow: vec![vec![0; stock.len()]; classes],
        }
    }

    /// Moves as much as can be moved, and gives how much more that is than before.
    fn augment(&mut self) -> u64 {
        let mut more = 0;
        for class in 0..self.wanted.len() {
            while self.wanted[class] > 0 {
                let Some(path) = self.path(class) else { break };
                more += self.push(class, &path);
            }
        }
        more
    }

    /// The shortest way to a source with units left: of each step, the class that takes and the
    /// source that it takes from; in the next, the class that gave up units of that source.
    fn path(&self, class: usize) -> Option<Vec<(usize, usize)>> {
        let mut taker = vec![None; self.left.len()];
        let mut reached_by = vec![None; self.wanted.len()];
        let mut open = VecDeque::from([class]);
        while let Some(at) = open.pop_front() {
            for &source in &self.sources[at] {
                if taker[source].is_some() {
                    continue;
                }
                taker[source] = Some(at);
                if self.left[source] > 0 {
                    return Some(trace(class, source, &taker, &reached_by));
                }
                for other in (0..self.flow.len()).filter(|&other| self.flow[other][source] > 0) {
                    if other != class && reached_by[other].is_none() {
                        reached_by[other] = Some(source);
                        open.push_back(other);
                    }
                }
            }
        }
        None
    }

    fn push(&mut self, class: usize, path: &[(usize, usize)]) -> u64 {
        let (_, last) = path[path.len() - 1];
        let given_up = path.windows(2).map(|steps| self.flow[steps[1].0][steps[0].1]);
        let units = given_up.min().unwrap_or(u64::MAX).min(self.left[last]).min(self.wanted[class]);
        for (step, &(taker, source)) in path.iter().enumerate() {
            self.flow[taker][source] += units;
            if let Some(&(giver, _)) = path.get(step + 1) {
                self.flow[giver][source] -= units;
            }
        }
        self.left[last] -= units;
        self.wanted[class] -= units;
        units
    }
}

fn trace(
    class: usize,
    last: usize,
    taker: &[Option<usize>],
    reached_by: &[Option<usize>],
) -> Vec<(usize, usize)> {
    let mut path = Vec::new();
    let mut source = Some(last);
    while let Some((at, from)) = source.and_then(|from| taker[from].map(|at| (at, from))) {
        path.push((at, from));
        source = if at == class { None } else { reached_by[at] };
    }
    path.reverse();
    path
}

#[cfg(test)]
mod tests;
