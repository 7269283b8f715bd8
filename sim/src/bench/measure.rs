//! What a run came to, order by order and summed up.

use stockade::types::Verdict;

use super::Course;
use crate::time::Span;

/// How an order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its node was dead: not counted anywhere, nor by the optimum.
    NotAsked,
    Served {
        by: usize,
    },
    Refused(Verdict),
    /// No answer in time: counts as a refusal.
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderOutcome {
    pub ending: Ending,
    /// From the order to its answer, or to the end of the buyer's patience.
    pub waited: Span,
    /// It was refused or late, and a node that could be reached had all it wanted free.
    pub avoidable: bool,
    /// `SoldOut` was said while units of every item wanted were unsold.
    pub wrong: bool,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// By the order's number.
    pub orders: Vec<OrderOutcome>,
    /// Gifts of one item from one node to another.
    pub transfers: u64,
    pub units_moved: u64,
    /// Units that came back to where they had been given away within [`RETURN_WINDOW`].
    pub units_returned: u64,
    pub messages: u64,
    pub bytes: u64,
    /// Units sold to buyers who had gone by then.
    pub units_sold_late: u64,
    /// Units free at the end at nodes that are dead or cut off from all others.
    pub units_stranded: u64,
    /// Events played, to tell the speed.
    pub events: u64,
}

/// A unit that is back within this has been moved for nothing.
pub const RETURN_WINDOW: Span = Span::seconds(10);

/// Sums over one run or several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measures {
    pub runs: u64,
    pub asked: u64,
    pub served: u64,
    pub units_asked: u64,
    pub units_served: u64,
    /// Served in the very instant, from the rights of the node that was asked.
    pub served_local: u64,
    pub refused_sold_out: u64,
    pub refused_elsewhere: u64,
    pub refused_unknown: u64,
    pub late: u64,
    pub avoidable: u64,
    pub wrong: u64,
    pub transfers: u64,
    pub units_moved: u64,
    pub units_returned: u64,
    pub messages: u64,
    pub bytes: u64,
    pub units_sold_late: u64,
    pub units_stranded: u64,
    pub events: u64,
    /// Of each served order, in order of length.
    pub waits: Vec<Span>,
    /// Sum over runs of the worst region's served / asked.
    pub fairness_sum: f64,
}

impl Measures {
    /// Sums up one run.
    pub fn of(_course: &Course, _outcome: &Outcome) -> Measures {
        todo!()
    }

    /// Takes in another run's, or several runs'.
    pub fn add(&mut self, _other: &Measures) {
        todo!()
    }

    /// Served in the very instant by the node asked, of all served; 1 when none were.
    pub fn local_share(&self) -> f64 {
        todo!()
    }

    /// The wait that so many of a thousand served buyers did not exceed: `wait(500)`, `wait(990)`, `wait(999)`.
    pub fn wait(&self, _permille: u64) -> Span {
        todo!()
    }

    /// Such as `per_100_sales(measures.transfers)`. Of orders served.
    pub fn per_100_sales(&self, _count: u64) -> f64 {
        todo!()
    }

    /// Worst region's served / asked units, averaged over runs.
    pub fn fairness(&self) -> f64 {
        todo!()
    }
}
