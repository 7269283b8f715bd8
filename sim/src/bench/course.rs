//! What is given to a policy: places, round trips, stock, buyers, faults.

use crate::time::{Span, Time};

/// A line of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    pub item: usize,
    /// At least 1.
    pub units: u64,
}

/// Someone who wants to buy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub at: Time,
    /// The node that is asked.
    pub node: usize,
    /// All or none; each item once.
    pub wants: Vec<Want>,
    /// How long the buyer waits for the answer. Zero: not at all.
    pub patience: Span,
}

/// Nothing passes between two nodes, either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    pub a: usize,
    pub b: usize,
    pub from: Time,
    pub until: Time,
}

/// A node dies and stays dead. Its buyers are not asked of anybody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    pub node: usize,
    pub at: Time,
}

#[derive(Clone, Debug)]
pub struct Course {
    pub seed: u64,
    /// Names of the regions, one node each.
    pub regions: Vec<String>,
    /// One-way delay from one node to another, in order of `from * nodes + to`.
    pub delays: Vec<Span>,
    /// Units of each item at each node in the beginning: `stock[item][node]`.
    pub stock: Vec<Vec<u64>>,
    /// In order of time.
    pub orders: Vec<Order>,
    /// Cuts of one pair do not overlap.
    pub cuts: Vec<Cut>,
    pub deaths: Vec<Death>,
    /// The last moment that is played; every answer is due before it.
    pub end: Time,
}

impl Course {
    pub fn nodes(&self) -> usize {
        self.regions.len()
    }

    pub fn items(&self) -> usize {
        self.stock.len()
    }

    pub fn delay(&self, from: usize, to: usize) -> Span {
        self.delays[from * self.nodes() + to]
    }

    /// Whether a message sent at `now` finds its way.
    #[cfg(test)]
    pub fn passes(&self, now: Time, a: usize, b: usize) -> bool {
        let cuts = |cut: &Cut| (cut.a == a && cut.b == b) || (cut.a == b && cut.b == a);
        let cut = self.cuts.iter().any(|cut| cuts(cut) && cut.from <= now && now < cut.until);
        let dead = self.deaths.iter().any(|death| (death.node == a || death.node == b) && death.at <= now);
        !cut && !dead
    }
}
