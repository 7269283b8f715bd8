//! Days of cover, as warehouses are replenished.
//!
//! At each review a node reckons from its sales how long each item's units will last. One that has
//! less than it sells within the horizon asks the node whose units last longest for the difference;
//! that one gives what it does not need itself. Nothing is asked for between reviews. Sales are
//! counted, not demand, so a node that ran dry soon looks as if nobody came to it.

use super::super::{Course, Want};
use super::{Ask, Desk, Rule, Traders};
use crate::time::{Span, Time};

pub struct DaysOfCover {
    review: Span,
    review_at: Time,
    /// By node and item: sold by the last review, and in a period as a smoothed average.
    sales: Vec<Vec<(u64, f64)>>,
}

/// The usual time between two reviews.
pub const REVIEW: Span = Span::seconds(30);
/// Reviews that a node wants its units to last.
const HORIZON: f64 = 2.0;

pub fn new(course: &Course, review: Span) -> Traders<DaysOfCover> {
    let sales = vec![vec![(0, 0.0); course.items()]; course.nodes()];
    let review_at = Time::ZERO.after(review);
    Traders::new(course, || DaysOfCover { review, review_at, sales: sales.clone() })
}

impl DaysOfCover {
    /// The others' sales are those in their rows.
    fn count(&mut self, desk: &Desk) {
        for (node, sales) in self.sales.iter_mut().enumerate() {
            for (item, (before, rate)) in sales.iter_mut().enumerate() {
                let sold = desk.known(node, item).sold;
                let last = (sold - *before) as f64;
                *rate = if *before == 0 { last } else { (*rate + last) / 2.0 };
                *before = sold;
            }
        }
    }

    /// Units that the node wants to have.
    fn cover(&self, node: usize, item: usize) -> u64 {
        (self.sales[node][item].1 * HORIZON).ceil() as u64
    }

    fn ask(&self, desk: &Desk, item: usize) -> Option<Ask> {
        let units = self.cover(desk.me, item).saturating_sub(desk.free(item));
        let lasts = |node: usize| desk.known(node, item).free as f64 / self.sales[node][item].1.max(0.5);
        let donor = desk.peers().max_by(|&a, &b| lasts(a).total_cmp(&lasts(b)).then(b.cmp(&a)))?;
        let has = desk.known(donor, item).free > self.cover(donor, item);
        (units > 0 && has).then_some(Ask { donor, item, units })
    }
}

impl Rule for DaysOfCover {
    fn name(&self) -> &'static str {
        "days of cover"
    }

    fn asks(&mut self, now: Time, desk: &Desk, _: &[Want]) -> Vec<Ask> {
        if now < self.review_at {
            return Vec::new();
        }
        self.review_at = Time((now.0 / self.review.0 + 1) * self.review.0);
        self.count(desk);
        (0..desk.items()).filter_map(|item| self.ask(desk, item)).collect()
    }

    fn gives(&self, desk: &Desk, item: usize, units: u64) -> u64 {
        units.min(desk.free(item).saturating_sub(self.cover(desk.me, item)))
    }

    fn wakes(&self, _: &Desk) -> Option<Time> {
        Some(self.review_at)
    }
}
