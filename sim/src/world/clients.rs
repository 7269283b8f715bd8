//! Clients in a world: how their requests reach hosts, and what comes back.

use stockade::replica::{Input, Token};
use stockade::types::{Command, Outcome, Refusal, Reply, Request, Timestamp};
use stockade::wire::codec;

use super::{Event, World};
use crate::checks::planned_moves::{self, Done};
use crate::checks::{Checked, Property, Violation};
use crate::coverage::Mishap;
use crate::dice::Dice;
use crate::host::Open;
use crate::time::{Span, Time};
use crate::words;
use crate::workload::Sending;

/// Requests remembered to be sent once more.
const REMEMBERED: usize = 64;

/// A fair sample of all that clients have sent.
#[derive(Debug, Default)]
pub struct Past {
    sample: Vec<Sending>,
    sent: u64,
}

impl Past {
    fn note(&mut self, sending: &Sending, dice: &mut Dice) {
        self.sent += 1;
        if self.sample.len() < REMEMBERED {
            self.sample.push(sending.clone());
        } else if let Ok(place) = usize::try_from(dice.below(self.sent))
            && place < REMEMBERED
        {
            self.sample[place] = sending.clone();
        }
    }
}

impl World {
    pub(crate) fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    pub(super) fn send(&mut self, client: usize, sending: Sending) {
        let token = self.token();
        let Sending { node, request, altered } = sending.clone();
        self.past.note(&sending, &mut self.dice);
        self.current[client] = Some((token, sending));
        if !self.dice.chance(self.plan.lost_requests) {
            let open = Open { request, arrived: self.now, client: Some(client), altered };
            let delay = Span(self.dice.tailed(2_000));
            self.push_in(delay, Event::Request { node, token, open });
        } else {
            self.oracle.coverage.mishap(Mishap::RequestLost);
        }
        let patience = self.workload.patience();
        self.push_in(patience, Event::GiveUp { client, token });
    }

    pub(super) fn request(&mut self, host: usize, token: Token, open: Open) -> Checked {
        if !self.hosts[host].is_up() {
            self.hang_up(token, open.client);
            return Ok(());
        }
        self.counts.requests += 1;
        let open = Open { arrived: self.now, ..open };
        if self.hosts[host].wounds.stale.is_none() {
            self.oracle.reached(host, &open);
        }
        let request = Request::clone(&open.request);
        if let Some(process) = &mut self.hosts[host].process {
            process.open.insert(token, open);
        }
        let dry = matches!(request.command, Command::Rebalance { dry_run: true, .. });
        let before = self.done_by(host).filter(|_| dry);
        self.step(host, Input::Request { token, request })?;
        let changed = before.zip(self.done_by(host));
        changed.map_or(Ok(()), |(before, after)| planned_moves::check_dry(host, before, after))
    }

    /// What a host has recorded and sent in this life.
    fn done_by(&self, host: usize) -> Option<Done> {
        let replica = &self.hosts[host].process.as_ref()?.replica;
        Some(Done { records: replica.position(), messages: replica.stats().messages_sent })
    }

    /// The connection breaks.
    pub(crate) fn hang_up(&mut self, token: Token, client: Option<usize>) {
        match client {
            Some(client) => {
                let delay = Span(self.dice.tailed(2_000));
                self.push_in(delay, Event::Answer { client, token, outcome: None });
            }
            None => {
                if let Some(call) = self.calls.get_mut(&token) {
                    *call = Some(Err(Refusal::OutcomeUnknown));
                }
                self.with_actor(|actor, world| actor.hung_up(world, token));
            }
        }
    }

    pub(super) fn replied(&mut self, host: usize, token: Token, reply: Reply) -> Checked {
        let process = self.hosts[host].process.as_mut();
        let Some(open) = process.and_then(|process| process.open.remove(&token)) else {
            let detail = format!("n-{host} answered {token:?}, which is not open: {reply:?}");
            return Err(Violation::of(Property::Answered, detail));
        };
        if self.hosts[host].wounds.stale.is_some() {
            // It only ever refused: that is seen to elsewhere.
            self.hang_up(token, open.client);
            return Ok(());
        }
        self.counts.answers += 1;
        self.counts.note(&reply.outcome);
        let at = self.now;
        self.trace.note(at, &[token.0], &codec::encode(&reply.outcome), || {
            format!("n-{host} answers #{}  {}", token.0, words::reply(&reply))
        });
        let clocks: Vec<Timestamp> = self.hosts.iter().map(|host| host.ledger_time(at)).collect();
        self.oracle.answered(self.now, host, &open, &reply, &clocks)?;
        if let Some(call) = self.calls.get_mut(&token) {
            *call = Some(reply.outcome.clone());
        }
        self.with_actor(|actor, world| actor.answered(world, host, token, &open, &reply));
        if let Some(client) = open.client
            && !self.dice.chance(self.plan.lost_replies)
        {
            let delay = Span(self.dice.tailed(2_000));
            self.push_in(delay, Event::Answer { client, token, outcome: Some(Box::new(reply.outcome)) });
        } else if open.client.is_some() {
            self.oracle.coverage.mishap(Mishap::ReplyLost);
        }
        Ok(())
    }

    /// A client learns its answer; `None`: none came, and none will.
    pub(super) fn answer(&mut self, client: usize, token: Token, outcome: Option<Outcome>) {
        let Some((current, sending)) = self.current[client].clone() else { return };
        if current != token {
            return;
        }
        self.current[client] = None;
        let pause = self.workload.pause(self.plan.think);
        if !self.chaos {
            return;
        }
        match outcome {
            Some(outcome) => {
                self.workload.answered(client, &outcome);
                if self.dice.chance(self.plan.late_repeats) {
                    self.repeat_later(sending);
                }
                self.push_in(pause, Event::Wake { client });
            }
            None => match self.workload.again(client) {
                Some(sending) => self.send(client, sending),
                None => self.push_in(pause, Event::Wake { client }),
            },
        }
    }

    fn repeat_later(&mut self, sending: Sending) {
        self.oracle.coverage.mishap(Mishap::LateRepeat);
        let delay = self.some(Span::seconds(10));
        self.send_again(&sending, delay);
    }

    /// A request comes once more; nobody waits for its answer.
    fn send_again(&mut self, sending: &Sending, delay: Span) {
        let token = self.token();
        let Sending { node, request, altered } = sending.clone();
        let open = Open { request, arrived: self.now, client: None, altered };
        self.push_in(delay, Event::Request { node, token, open });
    }

    pub(super) fn wake(&mut self, client: usize) {
        if self.now < self.silent[client] {
            self.push(self.silent[client], Event::Wake { client });
        } else if self.chaos {
            let sending = self.workload.next(client, self.now);
            self.send(client, sending);
        }
    }

    /// One request, by very many at once.
    pub(crate) fn storm(&mut self, dice: &mut Dice) {
        let under_way = self.current.iter().flatten().map(|(_, sending)| sending);
        let all: Vec<&Sending> = under_way.chain(&self.past.sample).collect();
        if all.is_empty() {
            return;
        }
        let sending = all[dice.place(all.len())].clone();
        for _ in 0..dice.between(5, 60) {
            self.send_again(&sending, Span(dice.below(50_000)));
        }
    }

    /// About half of the clients go silent; what they hold expires.
    pub(crate) fn silence(&mut self, until: Time, dice: &mut Dice) {
        let quiet = self.silent.iter_mut().filter(|_| dice.chance(500));
        quiet.for_each(|silent| *silent = until);
    }

    /// Some of all that was ever sent comes once more.
    pub(crate) fn old_requests(&mut self, dice: &mut Dice) {
        if self.past.sample.is_empty() {
            return;
        }
        for _ in 0..dice.between(3, 20) {
            let sending = self.past.sample[dice.place(self.past.sample.len())].clone();
            self.send_again(&sending, Span(dice.below(500_000)));
        }
    }
}
