//! Everything that is left to chance, drawn from a seed.
//!
//! Each part of the world has a stream of its own, so that a draw more in one leaves the others
//! as they were. Ranges are reckoned here and not by `rand`, so a seed keeps its meaning when
//! that crate changes how it draws.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Whose draws these are.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
    Plan,
    Network,
    Hosts,
    Clients,
    Faults,
    /// A scenario's demand.
    Demand,
    /// A scenario's buyers.
    Buyers,
    /// A bench's course.
    Course,
}

#[derive(Clone, Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    pub fn new(seed: u64, stream: Stream) -> Dice {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream as u64);
        Dice(rng)
    }

    pub fn any(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// From 0 to `bound - 1`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.0.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// Both ends are possible.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True so many times in a thousand.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    /// A place in a list of this length, which is not empty.
    pub fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// Between `typical / 2` and twice that, and far beyond now and then.
    pub fn tailed(&mut self, typical: u64) -> u64 {
        let usual = typical / 2 + self.below(typical.max(1));
        match self.below(1_000) {
            0..900 => usual,
            900..990 => usual * self.between(2, 6),
            _ => usual * self.between(6, 40),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_ends_and_streams_differ() {
        let mut dice = Dice::new(7, Stream::Network);
        let drawn: std::collections::BTreeSet<u64> = (0..500).map(|_| dice.between(3, 5)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(dice.below(0), 0);
        assert_ne!(Dice::new(7, Stream::Network).any(), Dice::new(7, Stream::Hosts).any());
        assert_eq!(Dice::new(7, Stream::Hosts).any(), Dice::new(7, Stream::Hosts).any());
    }
}
