//! Each node sells what it was given in the beginning, and nothing ever moves.
//!
//! Nodes do not speak to each other, so none can tell a buyer more than that it has nothing.

use stockade::types::Verdict;

use super::super::{Act, Contender, Course, Order};
use crate::time::Time;

pub struct StaticSplit {
    /// By node and item.
    free: Vec<Vec<u64>>,
}

pub fn new(course: &Course) -> StaticSplit {
    let of = |node: usize| course.stock.iter().map(|at| at[node]).collect();
    StaticSplit { free: (0..course.nodes()).map(of).collect() }
}

impl Contender for StaticSplit {
    type Message = ();

    fn name(&self) -> &'static str {
        "static split"
    }

    fn link(&mut self, _: Time, _: usize, _: usize, _: bool, _: &mut Vec<Act<()>>) {}

    fn order(&mut self, _: Time, number: usize, order: &Order, acts: &mut Vec<Act<()>>) {
        let free = &mut self.free[order.node];
        if order.wants.iter().any(|want| free[want.item] < want.units) {
            return acts.push(Act::Refuse { order: number, verdict: Verdict::Unknown });
        }
        order.wants.iter().for_each(|want| free[want.item] -= want.units);
        acts.push(Act::Serve { order: number, by: order.node });
    }

    fn message(&mut self, _: Time, _: usize, _: usize, (): (), _: &mut Vec<Act<()>>) {}

    fn tick(&mut self, _: Time, _: usize, _: &mut Vec<Act<()>>) {}

    fn next_tick(&self, _: usize) -> Option<Time> {
        None
    }

    fn bytes(&self, (): &()) -> usize {
        0
    }

    fn free(&self, at: usize, item: usize) -> u64 {
        self.free[at][item]
    }

    fn dies(&mut self, at: usize) {
        self.free[at].fill(0);
    }
}
