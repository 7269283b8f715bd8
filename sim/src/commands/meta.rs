//! `meta`: is one seed one trace?

use std::process::ExitCode;

use super::parallel::{Go, for_each};
use super::progress::Progress;
use crate::options::Seeds;
use crate::plan::Plan;
use crate::run::live;
use crate::trace::Detail;

pub fn meta(seeds: &Seeds) -> ExitCode {
    let mut differ = 0u64;
    let mut progress = Progress::new(seeds);
    let work = |seed| [(); 2].map(|()| live(Plan::draw(seed), Detail::Lines));
    for_each(seeds, work, |seed, [first, second]| {
        let same = first.hash == second.hash;
        if !same {
            differ += 1;
            println!("seed {seed}: {:016x}, then {:016x}", first.hash, second.hash);
        }
        progress.add(first.counts.events + second.counts.events, !same);
        Go::On
    });
    println!("{} seeds twice, {differ} with different traces", seeds.count());
    if differ == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
