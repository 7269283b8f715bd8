//! The world: hosts, network and clients under one queue of events in virtual time.
//!
//! Nothing but the seed decides what happens: events at one moment come in the order in which
//! they were put in the queue.

mod clients;
mod queue;

use std::collections::BTreeMap;
use std::rc::Rc;

use stockade::limits::Limits;
use stockade::planted::{self, Bug};
use stockade::replica::{Input, Output, Token};
use stockade::types::{ClusterId, NodeState, Outcome, Region, ReplicaId, Reply};
use stockade::wire::{Genesis, Member, Message, Record, codec};
use uuid::Uuid;

use self::queue::Queue;
use crate::checks::{Checked, Property, Violation, alarms, drained, ensure, whole_state};
use crate::coverage::Mishap;
use crate::dice::{Dice, Stream};
use crate::host::{Host, Open};
use crate::network::{Kind, Network, Parcel};
use crate::oracle::Oracle;
use crate::plan::Plan;
use crate::schedule::{Fault, Schedule};
use crate::time::{Clock, Span, Time};
use crate::trace::{Detail, Trace};
use crate::words;
use crate::workload::{Sending, Workload, node, node_number};
use crate::wounds::Death;

/// Whole-state checks come after so many steps.
const CHECK_EVERY: u64 = 128;
/// A world that needs more events than this turns in circles.
const MAX_EVENTS: u64 = 3_000_000;
/// The longest a disk takes over one batch.
const LONGEST_SYNC: Span = Span::seconds(5);
/// A batch for which there was no room is tried again after this, as by the node's driver.
const NO_ROOM_PAUSE: Span = Span::millis(250);
/// Things in a checkpoint's chunk: few, so that much happens between two.
const CHUNK: usize = 7;

/// What is to happen.
#[derive(Clone, Debug)]
pub enum Event {
    Parcel(Parcel),
    Request {
        node: usize,
        token: Token,
        open: Open,
    },
    /// A client learns its answer, or that the connection broke.
    Answer {
        client: usize,
        token: Token,
        outcome: Option<Box<Outcome>>,
    },
    Wake {
        client: usize,
    },
    GiveUp {
        client: usize,
        token: Token,
    },
    Tick {
        host: usize,
        life: u64,
    },
    Synced {
        host: usize,
        life: u64,
    },
    /// A checkpoint goes on.
    Chunk {
        host: usize,
        life: u64,
    },
    Boot {
        host: usize,
    },
    Connect {
        a: usize,
        b: usize,
    },
    LinkUp {
        host: usize,
        peer: usize,
        epoch: u64,
    },
    /// The transport has measured a link anew.
    Measured {
        host: usize,
        peer: usize,
    },
    LinkDown {
        host: usize,
        peer: usize,
        epoch: u64,
    },
    /// The path may have been cut for too long.
    Idle {
        a: usize,
        b: usize,
    },
    Mend {
        cut: u64,
    },
    /// A strike of the schedule, by its place in it.
    Strike {
        place: usize,
    },
    Cut {
        from: usize,
        to: usize,
        span: Span,
    },
    /// The disk may have room again.
    Room {
        host: usize,
        life: u64,
    },
    /// Somebody starts a host on the copy of its disk that was made some time ago.
    WrongDisk {
        host: usize,
    },
    /// And puts it right.
    RightDisk {
        host: usize,
        mistake: u64,
    },
    /// The actor's business.
    Act {
        what: u64,
    },
}

/// Someone besides the chaos who acts in a world and learns what comes of it: a scenario's buyers
/// and operators.
pub trait Actor: std::fmt::Debug {
    /// An [`Event::Act`] that it had put in the queue is due.
    ///
    /// # Errors
    /// When a property does not hold.
    fn act(&mut self, world: &mut World, what: u64) -> Checked;

    /// An answer left `host`; it may be to a request of the actor's own.
    fn answered(&mut self, world: &mut World, host: usize, token: Token, open: &Open, reply: &Reply);

    /// The connection broke on a request of its own: it was never answered, or never taken.
    fn hung_up(&mut self, world: &mut World, token: Token);

    /// A host decided something: its records, before they are durable.
    fn recorded(&mut self, now: Time, host: usize, records: &[Record]);

    /// A message of so many bytes left.
    fn sent(&mut self, now: Time, from: usize, to: usize, message: &Message, bytes: usize);
}

/// What a world came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub events: u64,
    pub requests: u64,
    pub answers: u64,
    pub crashes: u64,
    pub cuts: u64,
    /// Strikes, by fault in the order of [`Fault::ALL`].
    pub struck: [u64; Fault::ALL.len()],
    /// Deeds of operators.
    pub deeds: u64,
    /// Crashes at the moment when something was journalled.
    pub sprung: u64,
    /// Starts on a damaged disk, which was refused.
    pub refused_starts: u64,
    /// Lives on an old disk that ended with its being noticed.
    pub noticed: u64,
    pub sold_out: u64,
    pub elsewhere: u64,
    pub unknown: u64,
    pub sold: u64,
    pub virtual_us: u64,
}

#[derive(Debug)]
pub struct World {
    pub(crate) plan: Plan,
    pub(crate) now: Time,
    queue: Queue,
    pub(crate) hosts: Vec<Host>,
    pub(crate) network: Network,
    pub(crate) workload: Workload,
    pub(crate) oracle: Oracle,
    pub(crate) dice: Dice,
    pub(crate) schedule: Schedule,
    pub trace: Trace,
    pub counts: Counts,
    /// Clients and faults go on.
    pub(crate) chaos: bool,
    /// The attempt each client waits for.
    current: Vec<Option<(Token, Sending)>>,
    /// Until when each client is silent.
    silent: Vec<Time>,
    past: clients::Past,
    tokens: u64,
    /// Answers to requests that no client made.
    pub(crate) calls: BTreeMap<Token, Option<Outcome>>,
    pub(crate) cuts: BTreeMap<u64, (usize, usize)>,
    steps: u64,
    /// Whole-state checks come after so many steps.
    pub(crate) check_every: u64,
    /// A world that needs more events turns in circles.
    pub(crate) most_events: u64,
    pub(crate) actor: Option<Box<dyn Actor>>,
}

impl World {
    pub fn new(plan: Plan, detail: Detail) -> World {
        let schedule = Schedule::draw(&plan);
        World::with(plan, schedule, detail)
    }

    /// With this schedule instead of the one that the plan's seed gives.
    pub fn with(plan: Plan, schedule: Schedule, detail: Detail) -> World {
        let mut dice = Dice::new(plan.seed, Stream::Hosts);
        let founders: Vec<Member> = (0..plan.hosts).map(member).collect();
        let (start_wait, autonomy) = (plan.start_wait, plan.autonomy);
        let limits = Limits { start_wait, autonomy, ..Limits::default() };
        let host = |n: usize| {
            let genesis = Genesis {
                cluster: ClusterId(Uuid::from_u128(1)),
                replica: founders[n].replica,
                name: founders[n].name.clone(),
                region: founders[n].region.clone(),
                founders: founders.clone(),
            };
            let clock = Clock::new(skew(&mut dice, plan.skew_ms), skew(&mut dice, plan.drift_ppm));
            Host::new(genesis, limits, clock, plan.hosts, plan.barrier)
        };
        let hosts = (0..plan.hosts).map(host).collect();
        World {
            now: Time::ZERO,
            queue: Queue::default(),
            hosts,
            network: Network::new(&plan),
            workload: Workload::new(&plan),
            oracle: Oracle::new(founders.iter().map(|member| member.replica).collect(), plan.autonomy),
            dice,
            schedule,
            trace: Trace::new(detail),
            counts: Counts::default(),
            chaos: false,
            current: vec![None; plan.clients],
            silent: vec![Time::ZERO; plan.clients],
            past: clients::Past::default(),
            tokens: 0,
            calls: BTreeMap::new(),
            cuts: BTreeMap::new(),
            steps: 0,
            check_every: CHECK_EVERY,
            most_events: MAX_EVENTS,
            actor: None,
            plan,
        }
    }

    pub(crate) fn push(&mut self, at: Time, event: Event) {
        self.queue.push(at, event);
    }

    pub(crate) fn push_in(&mut self, span: Span, event: Event) {
        self.push(self.now.after(span), event);
    }

    /// A span from nothing to `most`.
    pub(crate) fn some(&mut self, most: Span) -> Span {
        Span(self.dice.below(most.0 + 1))
    }

    /// Lets everything up to `end` happen.
    ///
    /// # Errors
    /// At the first property that does not hold.
    pub fn run_until(&mut self, end: Time) -> Checked {
        while let Some((time, event)) = self.queue.pop(end) {
            self.now = time;
            self.counts.events += 1;
            ensure(self.counts.events < self.most_events, Property::Answered, || {
                "it turns in circles".into()
            })?;
            self.happen(event)?;
            self.end_unseen_mistakes()?;
        }
        self.now = end;
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Checked {
        if let Some(host) = host_of(&event)
            && self.hosts[host].paused_until > self.now
        {
            self.push(self.hosts[host].paused_until, event);
            return Ok(());
        }
        self.note(&event);
        match event {
            Event::Parcel(parcel) => self.parcel(&parcel),
            Event::Request { node, token, open } => self.request(node, token, open),
            Event::Answer { client, token, outcome } => {
                self.answer(client, token, outcome.map(|outcome| *outcome));
                Ok(())
            }
            Event::Wake { client } => {
                self.wake(client);
                Ok(())
            }
            Event::GiveUp { client, token } => {
                self.answer(client, token, None);
                Ok(())
            }
            Event::Tick { host, life } => {
                let process = self.hosts[host].process.as_mut();
                let due = process.is_some_and(|process| process.tick_at.is_some_and(|at| at <= self.now));
                if self.hosts[host].life != life || !due {
                    return Ok(());
                }
                if let Some(process) = &mut self.hosts[host].process {
                    process.tick_at = None;
                }
                self.step(host, Input::Tick)
            }
            Event::Synced { host, life } if self.hosts[host].life == life => self.synced(host),
            Event::Chunk { host, life } if self.hosts[host].life == life => self.checkpoint(host),
            Event::Room { host, life } if self.hosts[host].life == life => {
                self.hosts[host].wounds.awaits_room = false;
                self.flush(host);
                Ok(())
            }
            Event::Synced { .. } | Event::Chunk { .. } | Event::Room { .. } => Ok(()),
            Event::Boot { host } => self.boot(host),
            Event::Connect { a, b } => {
                self.connect(a, b);
                Ok(())
            }
            Event::LinkUp { host, peer, epoch } => self.link_up(host, peer, epoch),
            Event::Measured { host, peer } => self.measured(host, peer),
            Event::LinkDown { host, peer, epoch } => self.link_down(host, peer, epoch),
            Event::Idle { a, b } => {
                self.idle(a, b);
                Ok(())
            }
            Event::Mend { cut } => {
                self.mend(cut);
                Ok(())
            }
            Event::Strike { place } => self.strike(place),
            Event::Cut { from, to, span } => {
                if self.chaos {
                    self.cut(from, to, span);
                }
                Ok(())
            }
            Event::WrongDisk { host } => self.wrong_disk(host),
            Event::RightDisk { host, mistake } => self.right_disk(host, mistake),
            Event::Act { what } => self.with_actor(|actor, world| actor.act(world, what)).unwrap_or(Ok(())),
        }
    }

    fn with_actor<R>(&mut self, what: impl FnOnce(&mut dyn Actor, &mut World) -> R) -> Option<R> {
        let mut actor = self.actor.take()?;
        let result = what(actor.as_mut(), self);
        self.actor = Some(actor);
        Some(result)
    }

    fn note(&mut self, event: &Event) {
        let number = self.counts.events;
        match event {
            Event::Parcel(parcel) => {
                let words = [number, parcel.from as u64, parcel.to as u64, parcel.epoch];
                self.trace.note(self.now, &words, &parcel.bytes, || {
                    let message = codec::decode::<Message>(&parcel.bytes);
                    let message = message.map_or_else(|e| e.to_string(), |message| words::message(&message));
                    format!("n-{} -> n-{}  {message}", parcel.from, parcel.to)
                });
            }
            Event::Strike { place } if self.chaos => {
                let strike = self.schedule.0[*place];
                self.trace.note(self.now, &[number], &[], || format!("strike {strike}"));
            }
            other => self.trace.note(self.now, &[number], &[], || words::event(other)),
        }
    }

    /// One step of a host, and what may leave after it.
    pub(crate) fn step(&mut self, host: usize, input: Input) -> Checked {
        if self.hosts[host].process.as_ref().is_none_or(|process| process.stopping) {
            return Ok(());
        }
        let is_stale = self.hosts[host].wounds.stale.is_some();
        let records = self.hosts[host].step(self.now, input);
        if let Some(actor) = &mut self.actor {
            actor.recorded(self.now, host, records);
        }
        if !is_stale {
            self.oracle.recorded(self.now, host, records)?;
            self.watch_step(host)?;
        }
        if let Some(ambush) = self.hosts[host].wounds.sprung.take() {
            let is_over = ambush.death != Death::AtOnce && ambush.death != Death::InFlight;
            self.spring(host, ambush)?;
            if !is_over {
                return Ok(());
            }
        }
        self.flush(host);
        self.let_out(host, usize::MAX)?;
        self.plan_tick(host);
        self.steps += 1;
        if self.steps.is_multiple_of(self.check_every) { self.check_host(host) } else { Ok(()) }
    }

    pub(crate) fn check_host(&self, host: usize) -> Checked {
        let Some(process) = &self.hosts[host].process else { return Ok(()) };
        whole_state::check(&process.replica.check(), |id| self.oracle.makers.may_be_two(id))?;
        self.check_sizes(host)?;
        if process.replica.own_state() == NodeState::Drained && self.hosts[host].wounds.stale.is_none() {
            drained::check_said(host, &self.oracle.books[host].memory)?;
        }
        self.oracle.check_copies(&process.replica)
    }

    pub(crate) fn flush(&mut self, host: usize) {
        let Host { wounds, life, disk, .. } = &self.hosts[host];
        let (life, slow, full) = (*life, self.now < wounds.slow_until, self.now < wounds.full_until);
        if full && planted::is_on(Bug::FullTakenForSuccess) {
            if self.hosts[host].flush(self.now) {
                self.hosts[host].overlooks_failure();
            }
            return;
        }
        if full {
            if disk.is_idle() && !wounds.awaits_room && self.hosts[host].has_pending() {
                self.hosts[host].wounds.awaits_room = true;
                self.push_in(NO_ROOM_PAUSE, Event::Room { host, life });
            }
            return;
        }
        if self.hosts[host].flush(self.now) {
            let mut sync = self.plan.sync.0;
            if self.chaos {
                sync = self.dice.tailed(sync);
            }
            if slow {
                sync *= 50;
            }
            self.push_in(Span(sync).min(LONGEST_SYNC), Event::Synced { host, life });
        }
    }

    fn synced(&mut self, host: usize) -> Checked {
        if let Some((fate, mut dice)) = self.hosts[host].wounds.disk_error.take() {
            if planted::is_on(Bug::ServesAfterDiskError) {
                self.hosts[host].overlooks_failure();
                return self.let_out(host, usize::MAX);
            }
            // As the node's driver: whatever the platter has, nothing more is let out.
            return self.die(host, fate, &mut dice);
        }
        let Some(done) = self.hosts[host].synced() else { return Ok(()) };
        let wounds = &mut self.hosts[host].wounds;
        if wounds.stale.is_none() {
            self.oracle.synced(host, &done.batch);
        }
        if let Some(mut doom) = wounds.at_sync.take_if(|doom| done.position >= doom.position) {
            self.let_out(host, doom.outputs)?;
            return self.crash(host, &mut doom.dice);
        }
        if self.chaos && self.dice.chance(self.plan.crash_after_sync) {
            self.oracle.coverage.mishap(Mishap::CrashAfterSync);
            let mut dice = self.luck();
            self.let_out(host, dice.place(4))?;
            return self.crash(host, &mut dice);
        }
        self.let_out(host, usize::MAX)?;
        self.flush(host);
        let stopped = self.hosts[host].process.as_ref().is_some_and(|process| process.stopping);
        if stopped && self.hosts[host].disk.is_idle() {
            let mut dice = self.luck();
            return self.crash(host, &mut dice);
        }
        Ok(())
    }

    fn checkpoint(&mut self, host: usize) -> Checked {
        let now = self.hosts[host].ledger_time(self.now);
        let Host { disk, process, life, wounds, .. } = &mut self.hosts[host];
        let (Some(process), life) = (process, *life) else { return Ok(()) };
        let goes_on = disk.go_on(&process.replica, CHUNK, now, process.durable);
        if let Some((chunks, _)) = &mut wounds.at_chunk {
            *chunks = chunks.saturating_sub(1);
            if (*chunks == 0 || !goes_on)
                && let Some((_, mut dice)) = wounds.at_chunk.take()
            {
                return self.crash(host, &mut dice);
            }
        }
        if goes_on {
            let pause = self.some(Span::millis(5));
            self.push_in(pause, Event::Chunk { host, life });
        }
        Ok(())
    }

    fn plan_tick(&mut self, host: usize) {
        let late = Span(self.dice.below(200));
        let Host { process, clock, life, .. } = &mut self.hosts[host];
        let Some(process) = process else { return };
        let Some(deadline) = process.replica.next_deadline() else { return };
        let at = clock.when(deadline).max(self.now).after(late);
        if process.tick_at.is_none_or(|planned| at < planned) {
            process.tick_at = Some(at);
            let life = *life;
            self.push(at, Event::Tick { host, life });
        }
    }

    /// Lets out what is durable, at most so many outputs.
    pub(crate) fn let_out(&mut self, host: usize, most: usize) -> Checked {
        for _ in 0..most {
            let Some(output) = self.hosts[host].release() else {
                return if self.hosts[host].wounds.stale.is_none() { self.watch_page(host) } else { Ok(()) };
            };
            if self.hosts[host].wounds.stale.is_some() {
                self.stale_output(host, &output)?;
            } else if !self.is_about_a_mistake(&output) {
                alarms::check(host, &output)?;
            }
            match output {
                Output::Reply { token, reply } => self.replied(host, token, reply)?,
                Output::Send { node, message } => self.transmit(host, node_number(&node), &message),
                other if self.hosts[host].wounds.stale.is_none() => self.watch_output(host, other),
                _ => {}
            }
        }
        Ok(())
    }

    /// Dice for what is drawn as it happens.
    pub(crate) fn luck(&mut self) -> Dice {
        Dice::new(self.dice.any(), Stream::Faults)
    }

    fn transmit(&mut self, from: usize, to: usize, message: &Message) {
        let end = self.hosts[from].ends[to];
        if !end.up || self.network.standing(from, to) != Some(end.epoch) {
            return;
        }
        let bytes: Rc<[u8]> = codec::encode(message).into();
        if let Some(actor) = &mut self.actor {
            actor.sent(self.now, from, to, message, bytes.len());
        }
        self.oracle.message_sent(from, to, message, bytes.len());
        let copies = self.network.send(self.now, from, to, bytes, Kind::of(message));
        self.note_copies(from, to, copies.len());
        for (time, parcel) in copies {
            self.push(time, Event::Parcel(parcel));
        }
    }

    fn parcel(&mut self, parcel: &Parcel) -> Checked {
        if !self.network.arrives(parcel) {
            return Ok(());
        }
        // A link's messages come after the link.
        self.link_up(parcel.to, parcel.from, parcel.epoch)?;
        let end = self.hosts[parcel.to].ends[parcel.from];
        if !end.up || end.epoch != parcel.epoch {
            return Ok(());
        }
        match codec::decode(&parcel.bytes) {
            Ok(message) => {
                self.watch_message(parcel.from, parcel.to, &message);
                let asked = self.oracle.gifts_before(parcel.from, parcel.to, &message);
                self.step(parcel.to, Input::Message { node: node(parcel.from), message })?;
                self.oracle.check_gifts(parcel.from, parcel.to, &asked)
            }
            Err(e) => Err(Violation::of(Property::Recovery, format!("a message cannot be read: {e}"))),
        }
    }
}

impl Counts {
    fn note(&mut self, outcome: &Outcome) {
        use stockade::types::{Refusal, Verdict};
        if let Err(Refusal::InsufficientStock(short)) = outcome {
            for shortfall in short {
                match shortfall.verdict {
                    Verdict::SoldOut => self.sold_out += 1,
                    Verdict::Elsewhere => self.elsewhere += 1,
                    Verdict::Unknown => self.unknown += 1,
                }
            }
        }
    }
}

/// The host that must be awake for an event.
fn host_of(event: &Event) -> Option<usize> {
    match event {
        Event::Parcel(parcel) => Some(parcel.to),
        Event::Request { node, .. } => Some(*node),
        Event::Tick { host, .. }
        | Event::Synced { host, .. }
        | Event::Chunk { host, .. }
        | Event::Room { host, .. }
        | Event::LinkUp { host, .. }
        | Event::Measured { host, .. }
        | Event::LinkDown { host, .. } => Some(*host),
        _ => None,
    }
}

fn member(n: usize) -> Member {
    Member {
        replica: ReplicaId(Uuid::from_u128(n as u128 + 1)),
        name: node(n),
        region: Region::new(&format!("r{n}")).expect("a valid region"),
    }
}

/// From `-most` to `most`.
pub(crate) fn skew(dice: &mut Dice, most: u64) -> i64 {
    let most = i64::try_from(most).unwrap_or(0);
    i64::try_from(dice.below(2 * most.unsigned_abs() + 1)).unwrap_or(0) - most
}
