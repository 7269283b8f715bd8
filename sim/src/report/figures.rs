//! The key figures of a run: what the verdict, the tiles and a comparison are made of.

use crate::recording::{NodeBucket, Recording, Totals};

/// Sums that several parts of a report need.
pub struct Figures {
    pub totals: Totals,
    /// Units of refused lines, whatever the verdict, and of orders without an answer.
    pub refused: u64,
    /// Units that buyers would have paid for: served or refused.
    pub wanted: u64,
    pub failed_over: u64,
    /// The highest p99 of all nodes in milliseconds, and the node's number.
    pub slowest: Option<(f64, usize)>,
    /// Units free to sell at the end.
    pub left: u64,
}

impl Figures {
    pub fn of(recording: &Recording) -> Figures {
        let totals = recording.totals;
        let latency = recording.latency.iter().enumerate();
        let answered = latency.filter(|(_, l)| l.answers > 0 && l.p99.is_finite());
        let slowest =
            answered.map(|(node, l)| (l.p99, node)).max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        let last = recording.buckets.last();
        let refused = refused(totals.sold_out, totals.elsewhere, totals.unknown, totals.unanswered);
        Figures {
            totals,
            refused,
            wanted: totals.units_served.saturating_add(refused),
            failed_over: by_node(recording).iter().map(|node| node.failed_over).sum(),
            slowest,
            left: last.map_or(0, |bucket| bucket.nodes.iter().map(|node| node.available).sum()),
        }
    }
}

fn refused(sold_out: u64, elsewhere: u64, unknown: u64, unanswered: u64) -> u64 {
    sold_out.saturating_add(elsewhere).saturating_add(unknown).saturating_add(unanswered)
}

impl NodeBucket {
    /// Units that were asked for here and not served, by any verdict or none.
    pub fn refused(&self) -> u64 {
        refused(self.sold_out, self.elsewhere, self.unknown, self.unanswered)
    }

    /// Units that were served or refused; the others asked for were never paid for.
    pub fn wanted(&self) -> u64 {
        self.served.saturating_add(self.refused())
    }

    /// Adds a later span: what happened is summed, balances are the later ones.
    pub fn then(&mut self, later: &NodeBucket) {
        self.available = later.available;
        self.held = later.held;
        self.asked += later.asked;
        self.served += later.served;
        self.sold_out += later.sold_out;
        self.elsewhere += later.elsewhere;
        self.unknown += later.unknown;
        self.unanswered += later.unanswered;
        self.failed_over += later.failed_over;
    }
}

/// Each node over the whole time.
pub fn by_node(recording: &Recording) -> Vec<NodeBucket> {
    let mut nodes = vec![NodeBucket::default(); recording.nodes.len()];
    for bucket in &recording.buckets {
        nodes.iter_mut().zip(&bucket.nodes).for_each(|(sum, node)| sum.then(node));
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::Latency;
    use crate::report::sample;

    #[test]
    fn the_slowest_is_a_node_that_answered() {
        let latency = |answers, p99| Latency { answers, p99, ..Latency::default() };
        let latency = vec![latency(1, 5.0), latency(0, 90.0), latency(3, 7.0), latency(2, f64::NAN)];
        let recording = Recording { latency, ..Recording::default() };
        assert_eq!(Figures::of(&recording).slowest, Some((7.0, 2)));
        assert_eq!(Figures::of(&Recording::default()).slowest, None);
    }

    #[test]
    fn nodes_sum_to_the_totals() {
        let recording = sample::ocean_cable();
        let nodes = by_node(&recording);
        let totals = recording.totals;
        assert_eq!(nodes.iter().map(|node| node.asked).sum::<u64>(), totals.units_asked);
        assert_eq!(nodes.iter().map(NodeBucket::refused).sum::<u64>(), Figures::of(&recording).refused);
        let end = &recording.buckets.last().expect("the sample has buckets").nodes;
        assert_eq!(nodes[0].available, end[0].available, "balances are the last");
    }
}
