//! `shrink`: the smallest world that still fails in the same way.
//!
//! First strikes are left out, more and more at a time less (delta debugging), then what the plan
//! switches on, one by one, then clients, items, hosts and time; and then once more each strike
//! by itself. Whatever is left, nothing of it can be left out alone.

use std::process::ExitCode;

use super::say;
use crate::checks::{Property, Violation};
use crate::options::Seeds;
use crate::replay::{Kept, Replay, Toggle};
use crate::run::live_through;
use crate::time::Time;
use crate::trace::Detail;

pub fn shrink(replay: &Replay, seeds: Option<Seeds>) -> ExitCode {
    let mut seeds = seeds.map_or(replay.seed()..=replay.seed(), |seeds| seeds.first..=seeds.end - 1);
    let failing = seeds.find_map(|seed| {
        let replay = Replay { seed: Some(seed), ..replay.clone() };
        fails(&replay).map(|failure| (replay, failure))
    });
    let Some((replay, (_, violation))) = failing else {
        say("every seed passes: there is nothing to shrink");
        return ExitCode::FAILURE;
    };
    say(&format!("seed {} fails: {violation}", replay.seed()));
    let smallest = Shrinking::new(&replay, violation.property).smallest(&mut |line| eprintln!("{line}"));
    let (plan, schedule) = smallest.world();
    super::run::about(&plan).iter().for_each(|line| say(line));
    say(&format!("{} strikes:", schedule.0.len()));
    schedule.0.iter().for_each(|strike| say(&format!("  {strike}")));
    if let Some((time, violation)) = fails(&smallest) {
        say(&format!("fails at {time}: {violation}"));
    }
    say(&format!("cargo run --release -p stockade-sim -- run {smallest} --trace"));
    ExitCode::SUCCESS
}

/// How a world fails, if it does.
fn fails(replay: &Replay) -> Option<(Time, Violation)> {
    let (plan, schedule) = replay.world();
    live_through(plan, schedule, Detail::Hash).violation
}

#[derive(Debug)]
struct Shrinking {
    best: Replay,
    property: Property,
    tried: u32,
}

impl Shrinking {
    fn new(replay: &Replay, property: Property) -> Shrinking {
        Shrinking { best: replay.clone(), property, tried: 0 }
    }

    fn smallest(mut self, tell: &mut dyn FnMut(String)) -> Replay {
        let all = self.strikes();
        self.fewer_strikes(tell);
        tell(format!("{} of {} strikes are left", self.strikes().len(), all.len()));
        self.fewer_toggles(tell);
        self.smaller(tell);
        self.fewer_strikes(tell);
        tell(format!("{} worlds tried", self.tried));
        self.best
    }

    fn strikes(&self) -> Vec<u32> {
        self.best.world().1.numbers()
    }

    /// Takes a smaller world if it fails in the same way.
    fn try_with(&mut self, replay: Replay) -> bool {
        self.tried += 1;
        let same = fails(&replay).is_some_and(|(_, violation)| violation.property == self.property);
        if same {
            self.best = replay;
        }
        same
    }

    fn try_keeping(&mut self, numbers: Vec<u32>) -> bool {
        self.try_with(Replay { keep: Some(Kept(numbers)), ..self.best.clone() })
    }

    /// Leaves out pieces of the schedule, first large ones, at last single strikes.
    fn fewer_strikes(&mut self, tell: &mut dyn FnMut(String)) {
        if self.try_keeping(Vec::new()) {
            return;
        }
        let mut pieces = 2;
        loop {
            let numbers = self.strikes();
            if numbers.len() < 2 {
                return;
            }
            let length = numbers.len().div_ceil(pieces);
            let without = |piece: usize| -> Vec<u32> {
                let (from, to) = (piece * length, ((piece + 1) * length).min(numbers.len()));
                let places = 0..numbers.len();
                places.filter(|place| !(from..to).contains(place)).map(|place| numbers[place]).collect()
            };
            let count = numbers.len().div_ceil(length);
            if (0..count).any(|piece| self.try_keeping(without(piece))) {
                tell(format!("{} strikes", self.strikes().len()));
                pieces = pieces.saturating_sub(1).max(2);
            } else if length == 1 {
                return;
            } else {
                pieces = (2 * pieces).min(numbers.len());
            }
        }
    }

    fn fewer_toggles(&mut self, tell: &mut dyn FnMut(String)) {
        for toggle in Toggle::HARMLESS {
            if !toggle.is_on(&self.best.world().0) {
                continue;
            }
            let mut replay = self.best.clone();
            replay.without.push(toggle);
            if self.try_with(replay) {
                tell(format!("without {}", toggle.word()));
            }
        }
    }

    /// Fewer clients, items and hosts, and less time.
    fn smaller(&mut self, tell: &mut dyn FnMut(String)) {
        type Field = fn(&mut Replay) -> &mut Option<u8>;
        let fields: [(&str, Field, u8); 4] = [
            ("clients", |replay| &mut replay.clients, 1),
            ("items", |replay| &mut replay.items, 1),
            ("hosts", |replay| &mut replay.hosts, 2),
            ("s of chaos", |replay| &mut replay.chaos, 1),
        ];
        for (name, field, least) in fields {
            let (plan, _) = self.best.world();
            let now = match name {
                "clients" => plan.clients as u64,
                "items" => plan.items as u64,
                "hosts" => plan.hosts as u64,
                _ => plan.chaos.0 / 1_000_000,
            };
            let now = u8::try_from(now).unwrap_or(u8::MAX);
            let smaller = |most: u8| {
                let mut replay = self.best.clone();
                *field(&mut replay) = Some(most);
                replay
            };
            let worlds: Vec<(u8, Replay)> = (least..now).map(|most| (most, smaller(most))).collect();
            for (most, replay) in worlds {
                if self.try_with(replay) {
                    tell(format!("{most} {name}"));
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::tests::parsed;

    /// A crash must lose something that was promised, and little else is needed for that.
    #[test]
    fn a_world_without_the_barrier_shrinks_to_next_to_nothing() {
        let canary = |seed| Replay { without: vec![Toggle::Barrier], ..Replay::of(seed) };
        let failing = (0..50).find_map(|seed| {
            let (_, violation) = fails(&canary(seed))?;
            (violation.property == Property::Acknowledged).then(|| canary(seed))
        });
        let start = failing.expect("one of them is found out by what was promised");
        assert!(start.world().1.0.len() > 3);
        let smallest = Shrinking::new(&start, Property::Acknowledged).smallest(&mut |_| {});
        assert!(smallest.world().1.0.len() < 3, "{smallest}");
        assert!(smallest.without.len() > 1 && smallest.clients.is_some(), "{smallest}");
        let replayed = fails(&parsed(&smallest.to_string())).expect("what was printed fails");
        assert_eq!(replayed.1.property, Property::Acknowledged);
    }
}
