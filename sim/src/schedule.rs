//! The fault schedule of a world, drawn from its seed before anything happens: numbered strikes,
//! each with all that it needs. Striking draws from nothing but the strike's own numbers, so one
//! that is left out changes no other, and a failing schedule can be made smaller.
//!
//! What is drawn as things happen (losses, what a crash keeps) is a chance in the
//! [`Plan`] and no strike.

use std::fmt;

use crate::dice::{Dice, Stream};
use crate::plan::{Plan, Transport};
use crate::time::{Span, Time};

/// Of a thousand worlds whose faults begin early so many have an opening.
const OPENINGS: u64 = 600;
/// Strikes of one world, at most.
const MOST_STRIKES: usize = 400;

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident $word:literal $odds:literal,)+) => {
        /// Something that goes wrong, or that somebody does at a bad moment.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Fault { $($(#[doc = $doc])+ $name,)+ }

        impl Fault {
            pub const ALL: &[Fault] = &[$(Fault::$name,)+];

            /// Its name for people.
            pub fn name(self) -> &'static str {
                match self { $(Fault::$name => $word,)+ }
            }

            /// So many in a thousand worlds have it.
            fn odds(self) -> u64 {
                match self { $(Fault::$name => $odds,)+ }
            }
        }
    };
}

faults! {
    /// Nothing passes between two hosts.
    Cut "cut" 400,
    /// Nothing passes from one host to another, but back.
    OneWayCut "one-way-cut" 300,
    /// A host hears nobody, or is heard by nobody, or both.
    Isolate "isolate" 300,
    /// Two halves that share one host.
    Bridge "bridge" 150,
    /// Each host hears only its two neighbours.
    Ring "ring" 150,
    /// Some links are cut and some are not.
    Partial "partial-partition" 200,
    /// A link that is cut many times, each for a moment.
    Flap "flap" 200,
    /// Messages take twenty times as long.
    SlowLink "slow-link" 250,
    /// Most messages of a link are lost for a while. Datagrams only.
    LossBurst "loss-burst" 250,
    /// Digests and passes of a link are lost, asks and answers are not: a full outbox drops them.
    LostBulk "lost-bulk" 250,
    /// Messages of the whole life of a link come once more. Datagrams only.
    OldMessages "old-messages" 200,
    /// Power fails, or `kill -9`.
    Crash "crash" 500,
    /// Several hosts crash at once.
    CrashMany "crash-many" 150,
    /// A host crashes when its next batch is durable, before all that waits for it has left.
    CrashAtSync "crash-at-sync" 250,
    /// A host crashes when it has just journalled a certain thing.
    CrashAtRecord "crash-at-record" 350,
    /// A host crashes, and again while it recovers.
    CrashInBoot "crash-in-boot" 200,
    /// A host crashes in the middle of a checkpoint; the torn one stays behind.
    CrashInCheckpoint "crash-in-checkpoint" 200,
    /// A clean stop.
    Stop "stop" 150,
    /// A process stalls.
    Pause "pause" 200,
    /// The wall clock is set, forward or back; a host heeds it at its next start.
    StepClock "clock-step" 200,
    /// A host's clocks stand still for a while, and then tell the right time at once.
    FreezeClock "clock-freeze" 150,
    /// A checkpoint is taken.
    Checkpoint "checkpoint" 350,
    /// A write or sync fails: the process ends without another word.
    DiskError "disk-error" 200,
    /// The disk has no room for a while: batches wait, and nothing is acknowledged.
    DiskFull "disk-full" 150,
    /// Syncs take fifty times as long.
    SlowDisk "slow-disk" 200,
    /// A bit has turned over by the next start, which is refused until it is put right.
    BitRot "bit-rot" 150,
    /// Somebody starts a host on an old copy of its disk, and then puts the right one back.
    StaleDisk "stale-disk" 250,
    /// Many clients send one request at once.
    Storm "storm" 200,
    /// Some clients go silent for a while.
    Silence "silence" 200,
    /// Clients send once more what they sent long ago.
    OldRequests "old-requests" 200,
    /// An operator acts.
    Deed "deed" 200,
}

impl Fault {
    /// Whether a plan has it.
    pub fn is_in(self, plan: &Plan) -> bool {
        plan.faults.contains(&self)
    }

    /// Whether it means anything in this world.
    pub fn fits(self, plan: &Plan) -> bool {
        let datagrams = matches!(plan.transport, Transport::Datagrams { .. });
        match self {
            Fault::LossBurst | Fault::OldMessages => datagrams,
            Fault::Bridge | Fault::Partial => plan.hosts > 2,
            Fault::Ring => plan.hosts > 3,
            _ => true,
        }
    }

    /// The faults that a seed switches on.
    pub fn some(plan: &Plan, dice: &mut Dice) -> Vec<Fault> {
        // All draws are made, so that what fits decides about no other fault.
        let drawn: Vec<Fault> =
            Fault::ALL.iter().copied().filter(|fault| dice.chance(fault.odds())).collect();
        drawn.into_iter().filter(|fault| fault.fits(plan)).collect()
    }

    /// How long it lasts.
    fn span(self, dice: &mut Dice) -> Span {
        let (least, most) = match self {
            Fault::SlowLink | Fault::LossBurst | Fault::LostBulk => (200, 5_000),
            Fault::Flap => (500, 4_000),
            Fault::Pause => (50, 3_000),
            Fault::FreezeClock => (50, 4_000),
            Fault::DiskFull | Fault::SlowDisk => (100, 5_000),
            Fault::Silence => (2_000, 15_000),
            Fault::StaleDisk => (500, 6_000),
            _ => match dice.below(3) {
                0 => (50, 1_000),
                1 => (1_000, 4_500),
                _ => (4_500, 10_000),
            },
        };
        Span::millis(dice.between(least, most))
    }

    fn lasts(self) -> bool {
        use Fault::{
            Bridge, Cut, DiskFull, Flap, FreezeClock, Isolate, LossBurst, LostBulk, OneWayCut, Partial,
            Pause, Ring, Silence, SlowDisk, SlowLink,
        };
        matches!(
            self,
            Cut | OneWayCut
                | Isolate
                | Bridge
                | Ring
                | Partial
                | Flap
                | SlowLink
                | LossBurst
                | LostBulk
                | Pause
                | FreezeClock
                | DiskFull
                | SlowDisk
                | Silence
        )
    }

    fn has_host(self) -> bool {
        use Fault::{CrashMany, Deed, OldRequests, Partial, Ring, Silence, Storm};
        !matches!(self, CrashMany | Deed | OldRequests | Partial | Ring | Silence | Storm)
    }

    fn has_peer(self) -> bool {
        use Fault::{Cut, Flap, LossBurst, LostBulk, OldMessages, OneWayCut, SlowLink};
        matches!(self, Cut | OneWayCut | Flap | SlowLink | LossBurst | LostBulk | OldMessages)
    }
}

/// One fault at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strike {
    /// Its name: kept when others are left out.
    pub number: u32,
    pub at: Time,
    pub fault: Fault,
    pub host: usize,
    /// Another host.
    pub peer: usize,
    pub span: Span,
    /// An operator acts at this very moment, too.
    pub deed: bool,
    /// All else is drawn from this.
    luck: u64,
}

impl Strike {
    /// What this strike draws from; always the same.
    pub fn dice(&self) -> Dice {
        Dice::new(self.luck, Stream::Faults)
    }
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>3} at {} {}", self.number, self.at, self.fault.name())?;
        if self.fault.has_host() {
            write!(f, " n-{}", self.host)?;
        }
        if self.fault.has_peer() {
            write!(f, " n-{}", self.peer)?;
        }
        if self.fault.lasts() {
            write!(f, " for {} ms", self.span.0 / 1_000)?;
        }
        if self.deed { write!(f, ", and a deed") } else { Ok(()) }
    }
}

/// Some worlds begin with this: the first that a host is sent of the others' logs is lost, while it
/// trades with them all the same; and then it crashes.
fn opening(plan: &Plan, dice: &mut Dice) -> Vec<Strike> {
    if !dice.chance(OPENINGS) {
        return Vec::new();
    }
    let host = dice.place(plan.hosts);
    let span = Span::millis(dice.between(3_000, 10_000));
    let crash = Span(dice.between(span.0 / 3, span.0));
    let strike = |at, fault, (host, peer): (usize, usize), dice: &mut Dice| Strike {
        number: 0,
        at,
        fault,
        host,
        peer,
        span,
        deed: false,
        luck: dice.any(),
    };
    let others: Vec<usize> = (0..plan.hosts).filter(|other| *other != host).collect();
    let lost = others.iter().map(|other| strike(Time::ZERO, Fault::LostBulk, (*other, host), dice));
    let mut strikes: Vec<Strike> = lost.collect();
    strikes.push(strike(Time::ZERO.after(crash), Fault::Crash, (host, others[0]), dice));
    strikes
}

/// All strikes of a world, in order of time.
#[derive(Clone, Debug, Default)]
pub struct Schedule(pub Vec<Strike>);

impl Schedule {
    pub fn draw(plan: &Plan) -> Schedule {
        let mut dice = Dice::new(plan.seed, Stream::Faults);
        let mut strikes = if plan.early { opening(plan, &mut dice) } else { Vec::new() };
        let mut at = plan.chaos_from();
        while !plan.faults.is_empty() && strikes.len() < MOST_STRIKES {
            at = at.after(Span(dice.tailed(plan.fault_every.0)));
            if at >= plan.chaos_end() {
                break;
            }
            let fault = plan.faults[dice.place(plan.faults.len())];
            let host = dice.place(plan.hosts);
            let peer = (host + 1 + dice.place(plan.hosts - 1)) % plan.hosts;
            let span = fault.span(&mut dice);
            let deed = dice.chance(plan.deeds);
            let luck = dice.any();
            strikes.push(Strike { number: 0, at, fault, host, peer, span, deed, luck });
        }
        strikes.sort_by_key(|strike| strike.at);
        for (strike, number) in strikes.iter_mut().zip(1..) {
            strike.number = number;
        }
        Schedule(strikes)
    }

    /// Only the strikes with these numbers.
    pub fn keep(&mut self, numbers: &[u32]) {
        self.0.retain(|strike| numbers.contains(&strike.number));
    }

    /// For a world with fewer hosts than it was drawn for.
    pub fn fit(&mut self, hosts: usize) {
        for strike in &mut self.0 {
            strike.host %= hosts;
            strike.peer %= hosts;
            if strike.peer == strike.host {
                strike.peer = (strike.host + 1) % hosts;
            }
        }
    }

    /// Operators act at no strike.
    pub fn without_deeds(&mut self) {
        self.0.retain(|strike| strike.fault != Fault::Deed);
        self.0.iter_mut().for_each(|strike| strike.deed = false);
    }

    pub fn numbers(&self) -> Vec<u32> {
        self.0.iter().map(|strike| strike.number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_changes_no_other_strike() {
        let all = Schedule::draw(&Plan::draw(3));
        let mut some = all.clone();
        some.keep(&[2, 5]);
        assert_eq!(some.0, [all.0[1], all.0[4]]);
        assert_eq!(all.0[1].dice().any(), some.0[0].dice().any());
        assert!(all.0.is_sorted_by_key(|strike| strike.at));
    }

    #[test]
    fn a_smaller_world_has_a_host_and_a_peer_for_each_strike() {
        let plan = (0..).map(Plan::draw).find(|plan| plan.hosts == 5).unwrap();
        let mut schedule = Schedule::draw(&plan);
        schedule.fit(2);
        assert!(schedule.0.iter().all(|s| s.host < 2 && s.peer < 2 && s.host != s.peer));
    }

    #[test]
    fn every_fault_is_drawn_by_some_seed_and_has_a_name_of_its_own() {
        let words: std::collections::BTreeSet<&str> = Fault::ALL.iter().map(|f| f.name()).collect();
        assert_eq!(words.len(), Fault::ALL.len());
        for fault in Fault::ALL {
            let drawn = (0..300).map(Plan::draw).any(|plan| plan.faults.contains(fault));
            assert!(drawn, "{fault:?}");
        }
    }
}
