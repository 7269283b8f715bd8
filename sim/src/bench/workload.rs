//! Courses drawn from a seed: regions, stock, buyers and faults.

use super::Course;
use crate::time::Span;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Steady,
    Shifting,
    Flash,
    Baskets,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faults {
    Connected,
    Partitioned30,
    RegionDead,
    Flapping,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spec {
    pub seed: u64,
    pub shape: Shape,
    /// Stock by expected demand.
    pub ratio: f64,
    /// Stock of each item, over all regions.
    pub units: u64,
    pub patience: Span,
    pub faults: Faults,
}

impl Spec {
    pub fn course(&self) -> Course {
        todo!()
    }
}

/// Mean round trip between two AWS regions in milliseconds; none when a name is not known.
pub fn rtt(_a: &str, _b: &str) -> Option<u64> {
    todo!()
}
