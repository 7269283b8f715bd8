//! Seeds run side by side, one thread a core; their results are taken in order of seed, so what is
//! printed does not depend on how many cores there are.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use crate::options::Seeds;

/// Runs `work` for every seed, and gives each result to `take` in order of seed, until that says
/// to stop.
pub fn for_each<R: Send>(seeds: &Seeds, work: impl Fn(u64) -> R + Sync, take: impl FnMut(u64, R) -> Go) {
    for_each_on(cores(), seeds, work, take);
}

pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// The same on so many threads.
pub fn for_each_on<R: Send>(
    threads: usize,
    seeds: &Seeds,
    work: impl Fn(u64) -> R + Sync,
    mut take: impl FnMut(u64, R) -> Go,
) {
    let next = AtomicU64::new(seeds.first);
    let (next, work) = (&next, &work);
    std::thread::scope(|scope| {
        // Bounded, so that a slow seed does not let the others run far ahead of what was taken.
        let (sender, receiver) = mpsc::sync_channel(4 * threads);
        for _ in 0..threads {
            let sender = sender.clone();
            scope.spawn(move || {
                loop {
                    // Not past the end: the last seed of all would be followed by the first.
                    let step = |seed: u64| (seed < seeds.end).then(|| seed + 1);
                    let Ok(seed) = next.fetch_update(Ordering::Relaxed, Ordering::Relaxed, step) else {
                        return;
                    };
                    if sender.send((seed, work(seed))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut wanted = seeds.first;
        for (seed, result) in receiver {
            early.insert(seed, result);
            while let Some(result) = early.remove(&wanted) {
                if take(wanted, result) == Go::Stop {
                    return;
                }
                wanted += 1;
            }
        }
    });
}

/// Whether more seeds are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    On,
    Stop,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_end_when_told() {
        let (mut all, mut some) = (Vec::new(), Vec::new());
        let seeds = Seeds { first: 3, end: 40 };
        let twice = |seed: u64| seed * 2;
        for_each(&seeds, twice, |seed, result| {
            all.push((seed, result));
            Go::On
        });
        assert_eq!(all, (3..40).map(|seed| (seed, seed * 2)).collect::<Vec<_>>());
        for_each(&seeds, twice, |seed, _| {
            some.push(seed);
            if seed == 7 { Go::Stop } else { Go::On }
        });
        assert_eq!(some, [3, 4, 5, 6, 7]);
    }

    #[test]
    fn the_largest_seeds_are_run_and_then_it_ends() {
        let mut seen = Vec::new();
        for_each(
            &Seeds { first: u64::MAX - 1, end: u64::MAX },
            |seed| seed,
            |seed, _| {
                seen.push(seed);
                Go::On
            },
        );
        assert_eq!(seen, [u64::MAX - 1]);
    }
}
