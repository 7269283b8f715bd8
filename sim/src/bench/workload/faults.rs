//! What goes wrong in a course.

use crate::bench::{Cut, Death};
use crate::dice::Dice;
use crate::time::{Span, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faults {
    Connected,
    /// Each pair of regions is cut 30 % of the time, in spells of 10 to 40 s, for itself: whole
    /// regions cut off in turn would leave somebody alone at any time, and nobody a way round.
    Partitioned30,
    /// One region dies after a third of the time.
    RegionDead,
    /// Each pair is cut for 1 to 3 s after each 2 to 6 s.
    Flapping,
}

/// Spells begin so long before the course, so that it begins in the middle of them.
const BEFORE: Span = Span::seconds(200);

/// How long a path is cut and whole, in turn, in milliseconds: from, to.
struct Spells {
    cut: (u64, u64),
    whole: (u64, u64),
}

const PARTITIONED: Spells = Spells { cut: (10_000, 40_000), whole: (30_000, 86_667) };
const FLAPPING: Spells = Spells { cut: (1_000, 3_000), whole: (2_000, 6_000) };

impl Faults {
    pub fn draw(self, dice: &mut Dice, nodes: usize, lasts: Span) -> (Vec<Cut>, Vec<Death>) {
        match self {
            Faults::Connected => (Vec::new(), Vec::new()),
            Faults::Partitioned30 => (PARTITIONED.draw(dice, nodes, lasts), Vec::new()),
            Faults::Flapping => (FLAPPING.draw(dice, nodes, lasts), Vec::new()),
            Faults::RegionDead => {
                let at = Time(lasts.0 / 3);
                (Vec::new(), vec![Death { node: dice.place(nodes), at }])
            }
        }
    }
}

impl Spells {
    /// Each pair's cuts that reach into the course.
    fn draw(&self, dice: &mut Dice, nodes: usize, lasts: Span) -> Vec<Cut> {
        let mut cuts = Vec::new();
        for (a, b) in (0..nodes).flat_map(|a| (a + 1..nodes).map(move |b| (a, b))) {
            // As if the course began at `BEFORE`.
            let end = Time(BEFORE.0 + lasts.0);
            let mut at = Time(dice.below(Span::millis(self.whole.1).0));
            while at < end {
                let until = at.after(Span::millis(dice.between(self.cut.0, self.cut.1)));
                if until.0 > BEFORE.0 {
                    cuts.push(Cut { a, b, from: at.before(BEFORE), until: until.before(BEFORE) });
                }
                at = until.after(Span::millis(dice.between(self.whole.0, self.whole.1)));
            }
        }
        cuts
    }
}
