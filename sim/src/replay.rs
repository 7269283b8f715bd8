//! One world and what was left out of it: as options of a command, and as the command that
//! replays it.

use std::fmt;
use std::str::FromStr;

use clap::Args;
use stockade::types::{Autonomy, Millis};

use crate::plan::{Plan, Transport};
use crate::schedule::Schedule;
use crate::time::Span;

/// A seed, and what makes its world smaller than the one that the seed gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Replay {
    /// Decides everything [default: 0, or what a scenario's file says].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Strike with these numbers only, or with `none`.
    #[arg(long, value_name = "N,N,...")]
    pub keep: Option<Kept>,
    /// Leave these out.
    #[arg(long, value_name = "WHAT,...", value_enum, value_delimiter = ',')]
    pub without: Vec<Toggle>,
    /// At most so many hosts.
    #[arg(long, value_parser = clap::value_parser!(u8).range(2..))]
    pub hosts: Option<u8>,
    /// At most so many items.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
    pub items: Option<u8>,
    /// At most so many clients.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..))]
    pub clients: Option<u8>,
    /// End faults and clients after so long.
    #[arg(long, value_name = "SECONDS")]
    pub chaos: Option<u8>,
}

/// Numbers of strikes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept(pub Vec<u32>);

/// Something in a plan that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Toggle {
    /// Streams instead of datagrams.
    Datagrams,
    /// Messages that are lost.
    Loss,
    /// Messages that come twice.
    Duplicates,
    /// Old messages that come once more.
    Replays,
    /// Messages that come later than they should.
    Reorders,
    /// Delays that differ from message to message.
    Tails,
    /// Operators who act at the moment of a strike.
    Deeds,
    /// Faults while the world is set up.
    Early,
    /// Wall clocks that are wrong.
    Skew,
    /// Clocks that run too fast or too slow.
    Drift,
    /// Syncs that take long.
    Sync,
    /// Batches in flight that a crash keeps.
    KeptAtCrash,
    /// Batches in flight of which a crash keeps a piece.
    TornAtCrash,
    /// Crashes by chance after a sync.
    CrashAfterSync,
    /// Requests that no host gets.
    LostRequests,
    /// Answers that no client gets.
    LostReplies,
    /// Requests that come once more, long after.
    LateRepeats,
    /// The wait for peers at a start.
    StartWait,
    /// Crashes that take the witness with them.
    Reboots,
    /// Dials that bound what nodes may sell on their own.
    Dials,
    /// Policies with quotas.
    Quotas,
    /// One item that nearly everybody wants.
    HotItem,
    /// Holds that expire together.
    MassExpiry,
    /// The cut that outlasts the heal.
    Bridge,
    /// The output barrier: only to see that the oracle notices.
    Barrier,
}

impl Toggle {
    /// All that may be left out without breaking a host.
    pub const HARMLESS: [Toggle; 24] = [
        Toggle::Datagrams,
        Toggle::Loss,
        Toggle::Duplicates,
        Toggle::Replays,
        Toggle::Reorders,
        Toggle::Tails,
        Toggle::Deeds,
        Toggle::Early,
        Toggle::Skew,
        Toggle::Drift,
        Toggle::Sync,
        Toggle::KeptAtCrash,
        Toggle::TornAtCrash,
        Toggle::CrashAfterSync,
        Toggle::LostRequests,
        Toggle::LostReplies,
        Toggle::LateRepeats,
        Toggle::StartWait,
        Toggle::Reboots,
        Toggle::Dials,
        Toggle::Quotas,
        Toggle::HotItem,
        Toggle::MassExpiry,
        Toggle::Bridge,
    ];

    /// Whether a world has it.
    pub fn is_on(self, plan: &Plan) -> bool {
        let zero = Transport::Datagrams { loss: 0, duplicates: 0, replays: 0, reorders: 0 };
        let transport = plan.transport;
        match self {
            Toggle::Datagrams => transport != Transport::Streams,
            Toggle::Loss | Toggle::Duplicates | Toggle::Replays | Toggle::Reorders => {
                let mut without = plan.clone();
                self.leave_out(&mut without);
                transport != Transport::Streams && transport != zero && without.transport != transport
            }
            Toggle::Tails => plan.tails,
            Toggle::Deeds => plan.deeds > 0,
            Toggle::Early => plan.early,
            Toggle::Skew => plan.skew_ms > 0,
            Toggle::Drift => plan.drift_ppm > 0,
            Toggle::Sync => plan.sync > SHORT_SYNC,
            Toggle::KeptAtCrash => plan.kept_at_crash > 0,
            Toggle::TornAtCrash => plan.torn_at_crash > 0,
            Toggle::CrashAfterSync => plan.crash_after_sync > 0,
            Toggle::LostRequests => plan.lost_requests > 0,
            Toggle::LostReplies => plan.lost_replies > 0,
            Toggle::LateRepeats => plan.late_repeats > 0,
            Toggle::StartWait => plan.start_wait != Some(Millis(0)),
            Toggle::Reboots => plan.reboots > 0,
            Toggle::Dials => plan.autonomy != Autonomy::All,
            Toggle::Quotas => plan.quotas,
            Toggle::HotItem => plan.hot_item,
            Toggle::MassExpiry => plan.mass_expiry,
            Toggle::Bridge => plan.bridge,
            Toggle::Barrier => plan.barrier,
        }
    }

    fn leave_out(self, plan: &mut Plan) {
        match (self, &mut plan.transport) {
            (Toggle::Datagrams, transport) => *transport = Transport::Streams,
            (Toggle::Loss, Transport::Datagrams { loss, .. }) => *loss = 0,
            (Toggle::Duplicates, Transport::Datagrams { duplicates, .. }) => *duplicates = 0,
            (Toggle::Replays, Transport::Datagrams { replays, .. }) => *replays = 0,
            (Toggle::Reorders, Transport::Datagrams { reorders, .. }) => *reorders = 0,
            (Toggle::Loss | Toggle::Duplicates | Toggle::Replays | Toggle::Reorders, _) => {}
            (Toggle::Tails, _) => plan.tails = false,
            (Toggle::Deeds, _) => plan.deeds = 0,
            (Toggle::Early, _) => plan.early = false,
            (Toggle::Skew, _) => plan.skew_ms = 0,
            (Toggle::Drift, _) => plan.drift_ppm = 0,
            (Toggle::Sync, _) => plan.sync = SHORT_SYNC,
            (Toggle::KeptAtCrash, _) => plan.kept_at_crash = 0,
            (Toggle::TornAtCrash, _) => plan.torn_at_crash = 0,
            (Toggle::CrashAfterSync, _) => plan.crash_after_sync = 0,
            (Toggle::LostRequests, _) => plan.lost_requests = 0,
            (Toggle::LostReplies, _) => plan.lost_replies = 0,
            (Toggle::LateRepeats, _) => plan.late_repeats = 0,
            (Toggle::StartWait, _) => plan.start_wait = Some(Millis(0)),
            (Toggle::Reboots, _) => plan.reboots = 0,
            (Toggle::Dials, _) => plan.autonomy = Autonomy::All,
            (Toggle::Quotas, _) => plan.quotas = false,
            (Toggle::HotItem, _) => plan.hot_item = false,
            (Toggle::MassExpiry, _) => plan.mass_expiry = false,
            (Toggle::Bridge, _) => plan.bridge = false,
            (Toggle::Barrier, _) => plan.barrier = false,
        }
    }

    /// Its name on the command line.
    pub fn word(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self);
        value.map_or_else(String::new, |value| value.get_name().into())
    }
}

/// The disk of a world without long syncs.
const SHORT_SYNC: Span = Span(100);

impl Replay {
    #[cfg(test)]
    pub fn of(seed: u64) -> Replay {
        Replay { seed: Some(seed), ..Replay::default() }
    }

    pub fn seed(&self) -> u64 {
        self.seed.unwrap_or(0)
    }

    /// The world: the strikes are those that the seed gives, less what is left out.
    pub fn world(&self) -> (Plan, Schedule) {
        let mut plan = Plan::draw(self.seed());
        let mut schedule = Schedule::draw(&plan);
        self.without.iter().for_each(|toggle| toggle.leave_out(&mut plan));
        if let Some(Kept(numbers)) = &self.keep {
            schedule.keep(numbers);
        }
        if self.without.contains(&Toggle::Deeds) {
            schedule.without_deeds();
        }
        let least = |all: usize, wanted: Option<u8>| wanted.map_or(all, |most| all.min(most.into()));
        plan.hosts = least(plan.hosts, self.hosts);
        plan.items = least(plan.items, self.items);
        plan.clients = least(plan.clients, self.clients);
        // The bridge's two halves need a third host.
        plan.bridge &= plan.hosts > 2;
        schedule.fit(plan.hosts);
        if let Some(seconds) = self.chaos {
            plan.chaos = plan.chaos.min(Span::seconds(seconds.into()));
        }
        (plan, schedule)
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--seed {}", self.seed())?;
        if let Some(kept) = &self.keep {
            write!(f, " --keep {kept}")?;
        }
        if !self.without.is_empty() {
            let words: Vec<String> = self.without.iter().map(|toggle| toggle.word()).collect();
            write!(f, " --without {}", words.join(","))?;
        }
        let sizes =
            [("hosts", self.hosts), ("items", self.items), ("clients", self.clients), ("chaos", self.chaos)];
        for (name, size) in sizes {
            if let Some(size) = size {
                write!(f, " --{name} {size}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(if numbers.is_empty() { "none".into() } else { numbers.join(",") }.as_str())
    }
}

impl FromStr for Kept {
    type Err = String;

    fn from_str(text: &str) -> Result<Kept, String> {
        if text == "none" {
            return Ok(Kept(Vec::new()));
        }
        let number = |text: &str| text.parse().map_err(|_| format!("`{text}` is no number of a strike"));
        text.split(',').map(number).collect::<Result<_, _>>().map(Kept)
    }
}

#[cfg(test)]
pub mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        replay: Replay,
    }

    pub fn parsed(text: &str) -> Replay {
        Line::try_parse_from(std::iter::once("run").chain(text.split(' '))).unwrap().replay
    }

    #[test]
    fn what_is_printed_is_understood() {
        let replay = Replay {
            seed: Some(7),
            keep: Some(Kept(vec![3, 17])),
            without: vec![Toggle::Replays, Toggle::LostReplies],
            clients: Some(2),
            chaos: Some(9),
            ..Replay::default()
        };
        let text = "--seed 7 --keep 3,17 --without replays,lost-replies --clients 2 --chaos 9";
        assert_eq!(replay.to_string(), text);
        assert_eq!(parsed(text), replay);
        assert_eq!(parsed("--seed 7 --keep none").keep, Some(Kept(Vec::new())));
        assert!("3,x".parse::<Kept>().is_err());
    }

    #[test]
    fn everything_that_is_left_out_is_out() {
        for seed in 0..40 {
            for toggle in Toggle::HARMLESS {
                let (plan, _) = Replay { without: vec![toggle], ..Replay::of(seed) }.world();
                assert!(!toggle.is_on(&plan), "{toggle:?} of {seed}");
            }
        }
        let replay = Replay { keep: Some(Kept(vec![2])), hosts: Some(2), ..Replay::of(3) };
        let (plan, schedule) = replay.world();
        assert_eq!((plan.hosts, schedule.numbers()), (2, vec![2]));
    }
}
