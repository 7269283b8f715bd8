//! Seeded draws in whole numbers: the same on every machine, because nothing here rounds.
//!
//! What it draws from is made of integers too: weights, curves between integer points, and
//! powers in fixed point.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The unit in which [`Curve`] and [`Chance::happens`] count: a millionth.
pub const MILLION: u64 = 1_000_000;

/// What a generator is for. Each use has a stream of its own, so that one more draw in one
/// place changes nothing elsewhere.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
    Calendar = 1,
    Regions = 2,
    Items = 3,
    Orders = 4,
    Returns = 5,
    HotDrop = 6,
    Names = 7,
}

/// A stream of draws.
#[derive(Debug)]
pub struct Chance(ChaCha8Rng);

impl Chance {
    pub fn new(seed: u64, stream: Stream) -> Chance {
        let mut key = [0u8; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(b"demand.1");
        let mut generator = ChaCha8Rng::from_seed(key);
        generator.set_stream(stream as u64);
        Chance(generator)
    }

    /// One of `0..count`, all as likely but for one part in 2^64 / `count`; 0 when there are none.
    pub fn below(&mut self, count: u64) -> u64 {
        let product = u128::from(self.0.next_u64()) * u128::from(count);
        u64::try_from(product >> 64).expect("the upper half of a product of two u64")
    }

    pub fn index(&mut self, count: usize) -> usize {
        usize::try_from(self.below(count as u64)).expect("less than a usize")
    }

    /// One of `least..=most`.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True in so many of a million draws.
    pub fn happens(&mut self, millionths: u64) -> bool {
        self.below(MILLION) < millionths
    }
}

/// Places with weights.
#[derive(Clone, Debug)]
pub struct Weighted {
    /// The sum of the weights up to and with each place.
    sums: Vec<u64>,
}

impl Weighted {
    /// Weights whose sum fits 64 bits; at least one is not 0.
    pub fn new(weights: impl IntoIterator<Item = u64>) -> Weighted {
        let mut sum = 0u64;
        let running = weights.into_iter().map(|weight| {
            sum = sum.checked_add(weight).expect("weights are bounded by those who make them");
            sum
        });
        let sums: Vec<u64> = running.collect();
        assert!(sums.last().is_some_and(|sum| *sum > 0), "weights that are not all 0");
        Weighted { sums }
    }

    /// A place, as likely as its weight says.
    pub fn pick(&self, chance: &mut Chance) -> usize {
        let at = chance.below(self.sums.last().copied().unwrap_or(0));
        self.sums.partition_point(|sum| *sum <= at)
    }
}

/// An inverse distribution: straight lines between points `(millionths, value)`, from 0 to a
/// million, both rising.
#[derive(Clone, Copy, Debug)]
pub struct Curve(pub &'static [(u64, u64)]);

impl Curve {
    pub fn draw(self, chance: &mut Chance) -> u64 {
        self.at(chance.below(MILLION))
    }

    /// The value at `x`, rounded down.
    pub fn at(self, x: u64) -> u64 {
        let after = self.0.partition_point(|point| point.0 <= x).clamp(1, self.0.len() - 1);
        let ((x0, y0), (x1, y1)) = (self.0[after - 1], self.0[after]);
        let along = u128::from(x.min(x1) - x0);
        match y1 >= y0 {
            true => y0 + scaled(y1 - y0, along, x1 - x0),
            false => y0 - scaled(y0 - y1, along, x1 - x0),
        }
    }
}

fn scaled(rise: u64, along: u128, width: u64) -> u64 {
    let value = u128::from(rise) * along / u128::from(width.max(1));
    u64::try_from(value).expect("at most the rise")
}

/// Bits behind the point of logarithms and of the results of [`power_of_half`].
pub const POINT: u32 = 32;
/// Bits behind the point while a power is worked out.
const FINE: u32 = 62;

/// The logarithm of `n` > 0 to base 2, with [`POINT`] bits behind the point.
pub fn log2(n: u64) -> u64 {
    let whole = n.max(1).ilog2();
    let mut mantissa = u128::from(n.max(1)) << (FINE - whole);
    let mut log = u64::from(whole) << POINT;
    for bit in (0..POINT).rev() {
        mantissa = (mantissa * mantissa) >> FINE;
        if mantissa >= 2 << FINE {
            mantissa >>= 1;
            log |= 1 << bit;
        }
    }
    log
}

/// One half to the power `x`; both have [`POINT`] bits behind the point. 0 when it is too small.
pub fn power_of_half(x: u64) -> u64 {
    let (whole, part) = (x >> POINT, x & ((1 << POINT) - 1));
    if whole > u64::from(POINT) {
        return 0;
    }
    let mut root = 1u128 << (FINE - 1); // one half, then its root, the root of that, ..
    let mut power = 1u128 << FINE;
    for bit in (0..POINT).rev() {
        root = (root << FINE).isqrt();
        if part & (1 << bit) != 0 {
            power = (power * root) >> FINE;
        }
    }
    u64::try_from(power >> (FINE - POINT) >> whole).expect("at most one")
}

/// Mixes numbers into one that looks drawn: always the same for the same ones. (The finish of
/// splitmix64, by Sebastiano Vigna.)
pub fn mix(parts: [u64; 4]) -> u64 {
    parts.into_iter().fold(0x9e37_79b9_7f4a_7c15, |sum, part| {
        let mut z = sum.wrapping_add(part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_those_of_the_seed_and_stream_forever() {
        let mut chance = Chance::new(7, Stream::Orders);
        let drawn: Vec<u64> = (0..4).map(|_| chance.below(MILLION)).collect();
        let mut other = Chance::new(7, Stream::Returns);
        assert_ne!(drawn, (0..4).map(|_| other.below(MILLION)).collect::<Vec<_>>());
        assert_eq!(drawn, DRAWN);
    }

    /// As first drawn; a change of this list is a change of all traces.
    const DRAWN: [u64; 4] = [811_889, 841_169, 687_320, 289_343];

    #[test]
    fn places_come_as_often_as_their_weights_say() {
        let (table, mut chance) = (Weighted::new([0, 3, 0, 1]), Chance::new(1, Stream::Items));
        let mut counts = [0u32; 4];
        (0..4_000).for_each(|_| counts[table.pick(&mut chance)] += 1);
        assert_eq!((counts[0], counts[2]), (0, 0));
        assert!((2_800..3_200).contains(&counts[1]), "{counts:?}");
    }

    #[test]
    fn a_curve_goes_through_its_points() {
        let curve = Curve(&[(0, 1), (500_000, 11), (MILLION, 5)]);
        let values = [0, 250_000, 500_000, 750_000, MILLION].map(|x| curve.at(x));
        assert_eq!(values, [1, 6, 11, 8, 5]);
    }

    #[test]
    fn powers_in_fixed_point_are_those_of_floating_point() {
        for (n, exponent) in [(1u64, 300), (2, 1_000), (10, 530), (1_000, 740), (999_999, 1_500)] {
            let exact = (n as f64).powf(-f64::from(exponent) / 1_000.0);
            let fixed = power_of_half(log2(n) * u64::from(exponent as u32) / 1_000);
            let close = fixed as f64 / (1u64 << POINT) as f64;
            assert!((close - exact).abs() < 1e-8, "{n}^-{exponent}: {close} for {exact}");
        }
        assert_eq!(power_of_half(100 << POINT), 0);
    }
}
