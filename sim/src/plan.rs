//! What one world is like, all drawn from its seed. Each seed switches a random subset of the
//! faults on (swarm testing): a bug that one fault hides from another still shows.

use stockade::types::{Autonomy, Millis, Units};

use crate::dice::{Dice, Stream};
use crate::schedule::Fault;
use crate::time::{Span, Time};

/// When the faults begin in a world that is set up in peace.
const SET_UP: Time = Time(8_000_000);

/// How messages between two hosts fare, besides cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// As QUIC streams: in order, none lost while the link stands; a short cut delays them.
    Streams,
    /// Anything may happen to each: the protocol promises to bear it.
    Datagrams { loss: u64, duplicates: u64, replays: u64, reorders: u64 },
}

/// Chances are in thousandths.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub hosts: usize,
    pub items: usize,
    pub clients: usize,
    /// How long faults and clients go on.
    pub chaos: Span,
    /// A client's typical pause between two requests.
    pub think: Span,
    pub most_units: u64,
    pub transport: Transport,
    /// Typical one-way delay, each link's own drawn around it.
    pub delay: Span,
    /// Each link's delays are constant, or jitter, or have a heavy tail; else all are constant.
    pub tails: bool,
    /// Faults that strike; see [`Schedule`](crate::schedule::Schedule).
    pub faults: Vec<Fault>,
    /// Typical pause between two strikes.
    pub fault_every: Span,
    /// An operator acts at the moment of a strike.
    pub deeds: u64,
    /// Faults begin with the first start of the hosts, not when all is set up.
    pub early: bool,
    pub skew_ms: u64,
    pub drift_ppm: u64,
    pub sync: Span,
    /// A batch that was in flight at a crash had reached the platter.
    pub kept_at_crash: u64,
    /// Of one that had not, a piece had.
    pub torn_at_crash: u64,
    /// A sync is followed by a crash before all it lets out has left.
    pub crash_after_sync: u64,
    pub lost_requests: u64,
    pub lost_replies: u64,
    /// A request comes once more long after it was answered.
    pub late_repeats: u64,
    /// How long a start waits for its peers that no witness proves; `None`: for all of them.
    pub start_wait: Option<Millis>,
    /// A crash takes the whole machine down, and the witness with it.
    pub reboots: u64,
    pub quotas: bool,
    /// How much nodes may sell that no other knows of; unless it is all, items have dials of their own.
    pub autonomy: Autonomy,
    /// Nearly everybody wants one item.
    pub hot_item: bool,
    /// Holds expire together.
    pub mass_expiry: bool,
    /// Two hosts stay cut off from each other after the heal, until the books have converged
    /// by way of the others.
    pub bridge: bool,
    /// One host boots for the first time when all is under way.
    pub late_host: bool,
    /// Off only to see that the oracle notices.
    pub barrier: bool,
    /// Faults are switched on and do nothing: only to see that a sweep notices.
    pub inert: bool,
}

/// Some dial, with which worlds of few units differ.
pub fn autonomy(dice: &mut Dice) -> Autonomy {
    match dice.below(10) {
        0 => Autonomy::All,
        1..=3 => Autonomy::Units(Units(dice.between(1, 3))),
        4..=6 => Autonomy::Units(Units(dice.between(4, 40))),
        _ => Autonomy::Percent(u8::try_from(dice.between(1, 60)).expect("a percentage")),
    }
}

impl Plan {
    pub fn draw(seed: u64) -> Plan {
        let dice = &mut Dice::new(seed, Stream::Plan);
        let some = |permille: u64, dice: &mut Dice, most: u64| {
            if dice.chance(permille) { dice.between(1, most) } else { 0 }
        };
        let transport = if dice.chance(500) {
            Transport::Streams
        } else {
            Transport::Datagrams {
                loss: some(700, dice, 200),
                duplicates: some(600, dice, 100),
                replays: some(400, dice, 30),
                reorders: some(400, dice, 100),
            }
        };
        let hosts = [2, 3, 3, 3, 3, 4, 5][dice.place(7)];
        let (lost_requests, lost_replies) = (some(500, dice, 60), some(500, dice, 60));
        let mut plan = Plan {
            seed,
            hosts,
            items: dice.between(1, 4) as usize,
            clients: dice.between(2, 10) as usize,
            chaos: Span::seconds(dice.between(10, 40)),
            think: Span::millis([20, 50, 100, 200][dice.place(4)]),
            most_units: [3, 10, 30, 100][dice.place(4)],
            transport,
            delay: Span::millis([1, 5, 20, 80][dice.place(4)]),
            tails: dice.chance(800),
            faults: Vec::new(),
            fault_every: Span::millis([100, 300, 1_000, 3_000][dice.place(4)]),
            deeds: some(400, dice, 300),
            early: dice.chance(250),
            skew_ms: some(500, dice, 5_000),
            drift_ppm: some(500, dice, 500),
            sync: Span([100, 500, 2_000, 10_000][dice.place(4)]),
            kept_at_crash: dice.below(1_001),
            torn_at_crash: some(500, dice, 1_000),
            crash_after_sync: some(300, dice, 5),
            lost_requests,
            lost_replies,
            late_repeats: some(400, dice, 50),
            start_wait: [Some(0), Some(500), Some(3_000), None, None][dice.place(5)].map(Millis),
            reboots: 0,
            quotas: dice.chance(400),
            autonomy: Autonomy::All,
            hot_item: dice.chance(200),
            mass_expiry: dice.chance(200),
            bridge: hosts > 2 && dice.chance(200),
            late_host: dice.chance(150),
            barrier: true,
            inert: false,
        };
        if plan.bridge && plan.start_wait.is_none() {
            // Two that never hear each other would wait for ever.
            plan.start_wait = Some(Millis(3_000));
        }
        if dice.chance(60) {
            // More than 32 bits hold.
            plan.most_units = 1 << 34;
        }
        plan.faults = Fault::some(&plan, dice);
        plan.reboots = some(600, dice, 1_000);
        if dice.chance(500) {
            plan.autonomy = autonomy(dice);
        }
        plan
    }

    /// When faults and clients begin.
    pub fn chaos_from(&self) -> Time {
        if self.early { Time::ZERO } else { SET_UP }
    }

    /// When faults and clients end, if the world is set up by then.
    pub fn chaos_end(&self) -> Time {
        self.chaos_from().after(self.chaos)
    }
}
