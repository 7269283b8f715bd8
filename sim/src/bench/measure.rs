//! What a run came to, order by order and summed up.

use std::collections::{BTreeMap, VecDeque};

use stockade::types::Verdict;

use super::Course;
use crate::time::{Span, Time};

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
    /// It was refused or late, and the nodes that could have been asked in time had all it wanted.
    pub avoidable: bool,
    /// `SoldOut` was said while units of every item wanted were unsold.
    pub wrong: bool,
}

impl OrderOutcome {
    pub const NOT_ASKED: OrderOutcome =
        OrderOutcome { ending: Ending::NotAsked, waited: Span(0), avoidable: false, wrong: false };
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// By the order's number.
    pub orders: Vec<OrderOutcome>,
    /// Gifts of one item from one node to another.
    pub transfers: u64,
    pub units_moved: u64,
    /// Units that came back to where they had been given away, within [`RETURN_WINDOW`].
    pub units_returned: u64,
    /// Units that were given away again to where they had come back from: see [`Flows`].
    pub units_to_and_fro: u64,
    pub messages: u64,
    pub bytes: u64,
    /// Units sold to buyers who were not told in time: those who had gone by then, and those who
    /// were refused because nobody heard of the sale.
    pub units_sold_late: u64,
    /// Units free at the end at nodes that are dead or cut off from all others.
    pub units_stranded: u64,
    /// Events played, to tell the speed.
    pub events: u64,
}

/// A unit that goes back later than this was wanted there meanwhile.
pub const RETURN_WINDOW: Span = Span::seconds(10);

/// Gifts of late, to tell those that go back, and those that go to and fro: from A to B, back to A
/// and to B again, each within [`RETURN_WINDOW`] of the one before. A unit that goes back once was
/// fetched for a buyer who did not take it, or is wanted more where it came from; one that goes to
/// and fro is what a policy must not do.
///
/// Units of an item are alike: of those that may be leaving, the ones that have gone back most often
/// are taken for the ones that do, and of these the oldest. Doubt counts against the policy.
#[derive(Clone, Debug, Default)]
pub struct Flows {
    /// By item, giver and taker, in order of time.
    given: BTreeMap<(usize, usize, usize), VecDeque<Given>>,
}

#[derive(Clone, Copy, Debug)]
struct Given {
    at: Time,
    /// How often these units had just come back the way they go.
    generation: u32,
    /// How many of them did not come back so far.
    open: u64,
}

/// Units of a gift that go back, and those among them that went there, came back and go again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backward {
    pub returned: u64,
    pub to_and_fro: u64,
}

impl Flows {
    /// Notes a gift.
    pub fn moved(&mut self, now: Time, item: usize, from: usize, to: usize, units: u64) -> Backward {
        let mut backward = Backward::default();
        let mut leaving = BTreeMap::new();
        let there = self.given.entry((item, to, from)).or_default();
        there.retain(|given| given.open > 0 && now.since(given.at) <= RETURN_WINDOW);
        while backward.returned < units
            && let Some(oldest) = most_often(there)
        {
            let back = oldest.open.min(units - backward.returned);
            oldest.open -= back;
            let generation = oldest.generation + 1;
            *leaving.entry(generation).or_insert(0) += back;
            backward.returned += back;
            backward.to_and_fro += if generation >= 2 { back } else { 0 };
        }
        leaving.insert(0, units - backward.returned);
        let given = leaving.into_iter().filter(|(_, open)| *open > 0);
        let given = given.map(|(generation, open)| Given { at: now, generation, open });
        self.given.entry((item, from, to)).or_default().extend(given);
        backward
    }
}

/// Those that went back most often, of those that are still there; the oldest among equals.
fn most_often(given: &mut VecDeque<Given>) -> Option<&mut Given> {
    given.iter_mut().filter(|given| given.open > 0).min_by_key(|given| std::cmp::Reverse(given.generation))
}

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
    pub units_to_and_fro: u64,
    pub messages: u64,
    pub bytes: u64,
    pub units_sold_late: u64,
    pub units_stranded: u64,
    pub events: u64,
    /// How many served buyers waited how long.
    pub waits: BTreeMap<Span, u64>,
    /// Sum over runs of the worst region's served / asked.
    pub fairness_sum: f64,
}

impl Measures {
    /// Sums up one run.
    pub fn of(course: &Course, outcome: &Outcome) -> Measures {
        let mut measures = Measures {
            runs: 1,
            transfers: outcome.transfers,
            units_moved: outcome.units_moved,
            units_returned: outcome.units_returned,
            units_to_and_fro: outcome.units_to_and_fro,
            messages: outcome.messages,
            bytes: outcome.bytes,
            units_sold_late: outcome.units_sold_late,
            units_stranded: outcome.units_stranded,
            events: outcome.events,
            ..Measures::default()
        };
        let mut regions = vec![(0u64, 0u64); course.nodes()];
        for (order, outcome) in course.orders.iter().zip(&outcome.orders) {
            let units: u64 = order.wants.iter().map(|want| want.units).sum();
            let served = measures.count(order.node, outcome, units);
            if outcome.ending != Ending::NotAsked {
                regions[order.node].0 += units;
                regions[order.node].1 += if served { units } else { 0 };
            }
        }
        let asked = regions.iter().filter(|(asked, _)| *asked > 0);
        measures.fairness_sum =
            asked.map(|(asked, served)| *served as f64 / *asked as f64).fold(1.0, f64::min);
        measures
    }

    /// Counts an order; true when it was served.
    fn count(&mut self, node: usize, outcome: &OrderOutcome, units: u64) -> bool {
        match outcome.ending {
            Ending::NotAsked => return false,
            Ending::Served { by } => {
                self.served += 1;
                self.units_served += units;
                self.served_local += u64::from(by == node && outcome.waited == Span(0));
                *self.waits.entry(outcome.waited).or_default() += 1;
            }
            Ending::Refused(Verdict::SoldOut) => self.refused_sold_out += 1,
            Ending::Refused(Verdict::Elsewhere) => self.refused_elsewhere += 1,
            Ending::Refused(Verdict::Unknown) => self.refused_unknown += 1,
            Ending::Late => self.late += 1,
        }
        self.asked += 1;
        self.units_asked += units;
        self.avoidable += u64::from(outcome.avoidable);
        self.wrong += u64::from(outcome.wrong);
        matches!(outcome.ending, Ending::Served { .. })
    }

    /// Takes in another run's, or several runs'.
    #[cfg(test)]
    pub fn add(&mut self, other: &Measures) {
        let sums = [
            (&mut self.runs, other.runs),
            (&mut self.asked, other.asked),
            (&mut self.served, other.served),
            (&mut self.units_asked, other.units_asked),
            (&mut self.units_served, other.units_served),
            (&mut self.served_local, other.served_local),
            (&mut self.refused_sold_out, other.refused_sold_out),
            (&mut self.refused_elsewhere, other.refused_elsewhere),
            (&mut self.refused_unknown, other.refused_unknown),
            (&mut self.late, other.late),
            (&mut self.avoidable, other.avoidable),
            (&mut self.wrong, other.wrong),
            (&mut self.transfers, other.transfers),
            (&mut self.units_moved, other.units_moved),
            (&mut self.units_returned, other.units_returned),
            (&mut self.units_to_and_fro, other.units_to_and_fro),
            (&mut self.messages, other.messages),
            (&mut self.bytes, other.bytes),
            (&mut self.units_sold_late, other.units_sold_late),
            (&mut self.units_stranded, other.units_stranded),
            (&mut self.events, other.events),
        ];
        sums.into_iter().for_each(|(sum, more)| *sum += more);
        self.fairness_sum += other.fairness_sum;
        for (wait, buyers) in &other.waits {
            *self.waits.entry(*wait).or_default() += buyers;
        }
    }

    /// Served in the very instant by the node asked, of all served; 1 when none were.
    pub fn local_share(&self) -> f64 {
        if self.served == 0 { 1.0 } else { self.served_local as f64 / self.served as f64 }
    }

    /// The wait that so many of a thousand served buyers did not exceed: `wait(500)`, `wait(990)`,
    /// `wait(999)`. Zero when none were served.
    pub fn wait(&self, permille: u64) -> Span {
        let buyers: u64 = self.waits.values().sum();
        let mut before = (buyers * permille).div_ceil(1_000).max(1);
        for (wait, buyers) in &self.waits {
            if before <= *buyers {
                return *wait;
            }
            before -= buyers;
        }
        Span(0)
    }

    /// Such as `per_100_sales(measures.transfers)`. Of orders served; 0 when none were.
    pub fn per_100_sales(&self, count: u64) -> f64 {
        if self.served == 0 { 0.0 } else { 100.0 * count as f64 / self.served as f64 }
    }

    /// Units moved for each one sold; 0 when none were.
    pub fn moved_per_unit(&self) -> f64 {
        if self.units_served == 0 { 0.0 } else { self.units_moved as f64 / self.units_served as f64 }
    }

    /// The worst region's served / asked units, averaged over runs.
    pub fn fairness(&self) -> f64 {
        if self.runs == 0 { 1.0 } else { self.fairness_sum / self.runs as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{Order, Want};

    fn at(ms: u64) -> Time {
        Time::ZERO.after(Span::millis(ms))
    }

    /// Plays gifts of item 0 (moment in ms, giver, taker, units) and gives what of the last goes back,
    /// and to and fro.
    fn last(gifts: &[(u64, usize, usize, u64)]) -> (u64, u64) {
        let mut flows = Flows::default();
        let mut moved =
            |(ms, from, to, units): &(u64, usize, usize, u64)| flows.moved(at(*ms), 0, *from, *to, *units);
        let last = gifts.iter().map(&mut moved).last().unwrap();
        (last.returned, last.to_and_fro)
    }

    #[test]
    fn units_that_go_back_soon_count_once_each_way() {
        let gifts = [(0, 1, 2, 5), (100, 2, 1, 3), (200, 2, 1, 3), (300, 1, 2, 1)];
        assert_eq!(last(&gifts[..1]), (0, 0));
        assert_eq!(last(&gifts[..2]), (3, 0), "three of five are back");
        assert_eq!(last(&gifts[..3]), (2, 0), "only two more went there");
        assert_eq!(last(&gifts), (1, 1), "and one goes the same way again");
        let mut flows = Flows::default();
        flows.moved(at(0), 0, 1, 2, 5);
        assert_eq!(flows.moved(at(100), 1, 2, 1, 9), Backward::default(), "another item");
        assert_eq!(flows.moved(at(100), 0, 2, 3, 9), Backward::default(), "another node");
    }

    #[test]
    fn units_that_go_back_late_were_wanted_there_meanwhile() {
        assert_eq!(last(&[(0, 1, 2, 5), (5_000, 1, 2, 1), (10_001, 2, 1, 5)]), (1, 0));
        assert_eq!(last(&[(0, 1, 2, 1), (10_000, 2, 1, 1)]), (1, 0));
    }

    #[test]
    fn to_and_fro_is_to_leave_again_for_where_it_came_back_from() {
        let there_and_back = [(0, 1, 2, 4), (9_000, 2, 1, 3)];
        let then = |gifts: &[(u64, usize, usize, u64)]| last(&[&there_and_back, gifts].concat());
        assert_eq!(then(&[]), (3, 0), "back once is no to and fro");
        assert_eq!(then(&[(18_000, 1, 2, 2)]), (2, 2), "each within the window of the one before");
        assert_eq!(then(&[(19_001, 1, 2, 2)]), (0, 0), "too late for it");
        assert_eq!(then(&[(18_000, 1, 2, 9)]), (3, 3), "the others were here all along");
        assert_eq!(then(&[(18_000, 1, 3, 3), (18_001, 3, 1, 3)]), (3, 0), "elsewhere for the first time");
        assert_eq!(then(&[(18_000, 1, 2, 2), (19_000, 2, 1, 1), (19_500, 2, 1, 2)]), (1, 1));
    }

    #[test]
    fn those_that_went_back_most_often_are_taken_for_the_ones_that_leave() {
        let gifts = [(0, 1, 2, 5), (100, 2, 1, 1), (200, 1, 2, 1), (300, 2, 1, 1)];
        assert_eq!(last(&gifts), (1, 1), "four that came at first are there too");
    }

    fn course(orders: &[(usize, u64)]) -> Course {
        let order = |(node, units): &(usize, u64)| Order {
            at: Time::ZERO,
            node: *node,
            wants: vec![Want { item: 0, units: *units }],
            patience: Span::seconds(1),
        };
        Course {
            seed: 1,
            regions: vec!["a".into(), "b".into(), "c".into()],
            delays: vec![Span(0); 9],
            stock: vec![vec![9, 9, 9]],
            orders: orders.iter().map(order).collect(),
            cuts: Vec::new(),
            deaths: Vec::new(),
            end: Time(1),
        }
    }

    fn ended(ending: Ending, waited: u64) -> OrderOutcome {
        OrderOutcome { ending, waited: Span::millis(waited), ..OrderOutcome::NOT_ASKED }
    }

    #[test]
    fn a_run_is_summed_up() {
        let course = course(&[(0, 1), (0, 1), (0, 2), (1, 3), (1, 1), (2, 8)]);
        let mut refused = ended(Ending::Refused(Verdict::SoldOut), 0);
        (refused.wrong, refused.avoidable) = (true, true);
        let orders = vec![
            ended(Ending::Served { by: 0 }, 0),
            ended(Ending::Served { by: 1 }, 0),
            ended(Ending::Served { by: 0 }, 40),
            ended(Ending::Late, 1_000),
            refused,
            ended(Ending::NotAsked, 0),
        ];
        let outcome = Outcome { orders, transfers: 6, units_moved: 8, ..Outcome::default() };
        let sum = Measures::of(&course, &outcome);
        assert_eq!((sum.asked, sum.served, sum.units_asked, sum.units_served), (5, 3, 8, 4));
        assert_eq!((sum.served_local, sum.late, sum.refused_sold_out), (1, 1, 1));
        assert_eq!((sum.wrong, sum.avoidable), (1, 1));
        assert_eq!(sum.fairness(), 0.0, "b got nothing, and c was not asked");
        assert_eq!((sum.per_100_sales(sum.transfers), sum.moved_per_unit()), (200.0, 2.0));
        let mut both = sum.clone();
        both.add(&sum);
        assert_eq!((both.runs, both.served, both.transfers), (2, 6, 12));
        assert_eq!((both.fairness(), both.local_share()), (0.0, sum.local_share()));
        assert_eq!(both.waits, BTreeMap::from([(Span(0), 4), (Span::millis(40), 2)]));
    }

    #[test]
    fn waits_are_told_by_rank() {
        let sum = Measures { waits: (1..=1_000).map(|us| (Span(us), 1)).collect(), ..Measures::default() };
        assert_eq!([0, 500, 990, 999, 1_000].map(|permille| sum.wait(permille).0), [1, 500, 990, 999, 1_000]);
        assert_eq!(Measures::default().wait(500), Span(0));
        let waits = BTreeMap::from([(Span(1), 2), (Span(9), 2)]);
        let four = Measures { waits, ..Measures::default() };
        assert_eq!([500, 501, 1_000].map(|permille| four.wait(permille).0), [1, 9, 9]);
    }
}
