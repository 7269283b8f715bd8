//! `meta`: is one seed one trace?

use std::process::ExitCode;

use super::parallel::{Go, for_each};
use super::progress::Progress;
use super::say;
use crate::options::Seeds;
use crate::plan::Plan;
use crate::run::{live, live_kept};
use crate::trace::Detail;

/// Lines shown before the first that differs.
const CONTEXT: usize = 5;

pub fn meta(seeds: &Seeds) -> ExitCode {
    let mut differ = 0u64;
    let mut progress = Progress::new(seeds);
    let work = |seed| [(); 2].map(|()| live(Plan::draw(seed), Detail::Lines));
    for_each(seeds, work, |seed, [first, second]| {
        let same = first.hash == second.hash;
        if !same {
            differ += 1;
            say(&format!("seed {seed}: {:016x}, then {:016x}", first.hash, second.hash));
            // Once more, with all lines kept; they may be many, so only now.
            let [first, second] = [(); 2].map(|()| live_kept(Plan::draw(seed)));
            difference(&first, &second).iter().for_each(|line| say(line));
        }
        progress.add(first.counts.events + second.counts.events, !same);
        Go::On
    });
    say(&format!("{} seeds twice, {differ} with different traces", seeds.count()));
    if differ == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The first line that differs, with those before it.
fn difference(first: &[String], second: &[String]) -> Vec<String> {
    let place = first.iter().zip(second).position(|(a, b)| a != b).unwrap_or(first.len().min(second.len()));
    let before = first[place.saturating_sub(CONTEXT)..place].iter().map(|line| format!("  {line}"));
    let line = |lines: &[String]| lines.get(place).map_or("(it ends here)", String::as_str).to_string();
    if first.len() == second.len() && place == first.len() {
        return vec!["two further runs did not differ".into()];
    }
    before.chain([format!("- {}", line(first)), format!("+ {}", line(second))]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_shown_with_those_before_it() {
        let lines = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        let shown = difference(&lines("a b c d e f g h"), &lines("a b c d e f x h"));
        assert_eq!(shown, ["  b", "  c", "  d", "  e", "  f", "- g", "+ x"]);
        assert_eq!(difference(&lines("a b"), &lines("a")), ["  a", "- b", "+ (it ends here)"]);
        assert_eq!(difference(&lines("a"), &lines("a")), ["two further runs did not differ"]);
    }
}
