//! A scenario that was read and checked: numbers in place of names, and every order of its demand.

use std::ops::Range;

use stockade::types::{Millis, Policy, Sku};

use super::file::{FailOver, OnShort};
use super::lapse::Lapse;
use crate::network::Line;

/// Everything a run needs. Times count from the beginning of the warm-up, in the scenario's own
/// time.
#[derive(Clone, Debug)]
pub struct Script {
    pub title: String,
    pub about: String,
    pub seed: u64,
    pub duration: Lapse,
    pub warm_up: Lapse,
    /// The world's clock runs so many times slower than the scenario's.
    pub compress: u64,
    pub nodes: Vec<String>,
    pub regions: Vec<Region>,
    /// From each node to each.
    pub lines: Vec<Vec<Line>>,
    pub items: Vec<Item>,
    pub orders: Vec<Order>,
    pub buyers: Buyers,
    pub events: Vec<Planned>,
}

#[derive(Clone, Debug)]
pub struct Region {
    pub name: String,
    pub node: usize,
    /// Its part of the generated demand; all add up to 1.
    pub share: f64,
    /// Hours that its clock is ahead of the scenario's.
    pub offset: f64,
}

#[derive(Clone, Debug)]
pub struct Item {
    pub sku: Sku,
    pub policy: Policy,
    /// Units received before the beginning, by node.
    pub stock: Vec<u64>,
}

/// A buyer's wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub at: Lapse,
    pub region: usize,
    pub sales: Vec<Wish>,
    pub returns: Vec<Wish>,
}

/// So many units of an item, by its place in [`Script::items`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    pub item: usize,
    pub units: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Buyers {
    pub pay: Lapse,
    pub ttl: Lapse,
    pub abandon: f64,
    pub wait: Millis,
    pub answer: Millis,
    pub fail_over: FailOver,
    pub on_short: OnShort,
    pub retry_share: f64,
    pub retry_after: Lapse,
    pub retries: u64,
}

/// An event of the file.
#[derive(Clone, Debug)]
pub struct Planned {
    pub at: Lapse,
    /// When it is over, if it ends by itself.
    pub end: Option<Lapse>,
    pub label: String,
    pub deed: Deed,
}

#[derive(Clone, Debug)]
pub enum Deed {
    /// Nothing passes over these ways.
    Cut {
        ways: Vec<(usize, usize)>,
    },
    /// Nothing passes for the first half of each `every`.
    Flap {
        ways: Vec<(usize, usize)>,
        every: Lapse,
    },
    /// Over these ways everything takes so many thousandths of its time.
    Slow {
        ways: Vec<(usize, usize)>,
        factor: u64,
    },
    /// The node is down; for good without an end.
    Down {
        node: usize,
    },
    /// The node hands over and takes no new orders.
    Drain {
        node: usize,
    },
    /// Units arrive: item and units.
    Restock {
        node: usize,
        units: Vec<Wish>,
    },
    /// Items get other settings.
    Set {
        items: Range<usize>,
        policy: Policy,
    },
    Transfer {
        from: usize,
        to: usize,
        wish: Wish,
    },
}

impl Deed {
    /// Nodes that a band about it concerns.
    pub fn nodes(&self) -> Vec<usize> {
        let mut nodes = match self {
            Deed::Cut { ways } | Deed::Flap { ways, .. } | Deed::Slow { ways, .. } => {
                ways.iter().flat_map(|(from, to)| [*from, *to]).collect()
            }
            Deed::Down { node } | Deed::Drain { node } | Deed::Restock { node, .. } => vec![*node],
            Deed::Set { .. } => Vec::new(),
            Deed::Transfer { from, to, .. } => vec![*from, *to],
        };
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}

impl Script {
    pub fn all(&self) -> Lapse {
        Lapse(self.warm_up.0 + self.duration.0)
    }
}

/// Deals `total` out by weights, whole units, the largest remainders first.
pub fn deal(total: u64, weights: &[f64]) -> Vec<u64> {
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 {
        let mut shares = vec![0; weights.len()];
        shares[0] = total;
        return shares;
    }
    let exact: Vec<f64> = weights.iter().map(|weight| total as f64 * weight / sum).collect();
    let mut shares: Vec<u64> = exact.iter().map(|share| share.floor() as u64).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|a, b| (exact[*b].fract()).total_cmp(&exact[*a].fract()).then(a.cmp(b)));
    let left = total.saturating_sub(shares.iter().sum());
    order.iter().cycle().take(usize::try_from(left).unwrap_or(0)).for_each(|n| shares[*n] += 1);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_dealt_once() {
        assert_eq!(deal(10, &[1.0, 1.0, 1.0]), [4, 3, 3]);
        assert_eq!(deal(3, &[0.0, 9.0]), [0, 3]);
        assert_eq!(deal(7, &[0.0, 0.0]), [7, 0]);
        assert_eq!(deal(1_001, &[0.93, 0.05, 0.02]).iter().sum::<u64>(), 1_001);
    }
}
