//! Whatever admins set, and buyers do meanwhile: once they are quiet, units come to rest, and floors are
//! filled.

use super::bed::*;
use crate::replica::Input;
use crate::types::*;

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn node(&mut self, bed: &Bed) -> usize {
        self.below(bed.hosts.len() as u64) as usize
    }

    fn quota(&mut self) -> Quota {
        let (none, some) = (Quota::default(), Some(Units(self.below(40))));
        match self.below(5) {
            0 => Quota { min: some, ..none },
            1 => Quota { max: some, ..none },
            2 => Quota { pinned: some, ..none },
            3 => Quota { weight: Some(self.below(5)), ..none },
            _ => Quota {
                min: Some(Units(self.below(20))),
                max: Some(Units(20 + self.below(20))),
                weight: Some(self.below(1_001)),
                ..none
            },
        }
    }

    fn policy(&mut self, bed: &Bed) -> Policy {
        let names: Vec<NodeName> = (0..bed.hosts.len()).map(|n| bed.name(n)).collect();
        let mut policy = Policy::default();
        for name in &names {
            if self.below(2) == 0 {
                policy.quotas.insert(name.clone(), self.quota());
            }
        }
        if self.below(3) == 0 {
            let until = bed.now.after(Millis::from_secs(100 + self.below(1_000)));
            let expected = names.into_iter().map(|name| (name, Units(self.below(50)))).collect();
            policy.launch = Some(Launch { until, expected });
        }
        policy
    }

    /// Nodes that are near and far, with units here and there.
    fn bed(&mut self) -> Bed {
        let count = 2 + self.below(3) as usize;
        let mut bed = Bed::new(count);
        bed.forgiving = true;
        for (at, of) in (0..count).flat_map(|at| (0..count).map(move |of| (at, of))) {
            let (node, time) = (bed.name(of), Millis([2, 20, 90, 300][self.below(4) as usize]));
            bed.step(at, Input::RoundTrip { node, time });
        }
        bed.item(0, "TEE", self.below(60));
        for n in 1..count {
            bed.call(n, Command::Receive(movement("TEE", 1 + self.below(60)))).unwrap();
        }
        bed
    }

    fn buyers(&mut self, bed: &mut Bed, round: u64) {
        for order in 0..self.below(30) {
            let (at, name) = (self.node(bed), format!("A{round}-{order}"));
            let _ = bed.call(at, put(&name, &[("TEE", 1 + self.below(3))]));
            match self.below(10) {
                0..4 => bed.run(self.below(3_000)),
                4..6 => drop(bed.call(at, cancel(&name))),
                6 => drop(bed.call(at, Command::Receive(movement("TEE", 1 + self.below(20))))),
                _ => {}
            }
        }
    }
}

/// Transfers made and asks sent, by all.
fn moved(bed: &Bed) -> (u64, u64) {
    let stats = bed.hosts.iter().map(|host| host.replica.stats());
    stats.fold((0, 0), |(transfers, asks), s| (transfers + s.transfers, asks + s.asks_sent))
}

/// A floor of which less than half is there, though others have more than is reserved for them.
fn unfilled(bed: &mut Bed) -> Option<usize> {
    let quotas = bed.books(0, "TEE").policy.quotas;
    let floor = |bed: &Bed, n: usize| quotas.get(&bed.name(n)).map_or(0, |quota| quota.floor().0);
    let spare = |n: usize| bed.available(n, "TEE").saturating_sub(floor(bed, n));
    let all = 0..bed.hosts.len();
    let is_spare = |n: usize| all.clone().any(|other| other != n && spare(other) > 0);
    all.clone().find(|n| bed.available(*n, "TEE") * 2 < floor(bed, *n) && is_spare(*n))
}

#[test]
fn units_come_to_rest_and_floors_are_filled_whatever_was_set_and_sold() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for round in 0..20 {
        let mut bed = dice.bed();
        let mut set = Vec::new();
        for time in 0..3 {
            let (policy, at) = (dice.policy(&bed), dice.node(&bed));
            set.push(policy.clone());
            bed.call(at, Command::SetItem { sku: sku("TEE"), policy }).unwrap();
            dice.buyers(&mut bed, time);
            bed.run(dice.below(6_000));
        }
        // All holds end, and what they free is given away.
        bed.run(650_000);
        let before = moved(&bed);
        bed.run(180_000);
        assert_eq!(moved(&bed), before, "round {round}: {set:?}");
        assert_eq!(unfilled(&mut bed), None, "round {round}: {set:?}");
    }
}
