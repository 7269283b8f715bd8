//! What goes wrong: strikes of the schedule, and what they do to the network. Hosts are struck in
//! [`life`], people act in [`people`].

mod life;
mod people;

use stockade::replica::Input;
use stockade::types::Millis;

use crate::checks::Checked;
use crate::dice::Dice;
use crate::disk::Fate;
use crate::network::IDLE;
use crate::schedule::{Fault, Strike};
use crate::time::{Span, Time};
use crate::workload::node;
use crate::world::{Event, World, skew};
use crate::wounds::{Ambush, Death, Doom, Moment};

/// Between two times that a clock stands still: no more than one of them makes rows look fresher
/// than they are.
const BETWEEN_FREEZES: Span = Span::seconds(10);

impl World {
    /// The strikes that are still to come are put in the queue.
    pub(crate) fn plan_strikes(&mut self) {
        for place in 0..self.schedule.0.len() {
            self.push(self.schedule.0[place].at.max(self.now), Event::Strike { place });
        }
    }

    pub(crate) fn strike(&mut self, place: usize) -> Checked {
        if !self.chaos {
            return Ok(());
        }
        let strike = self.schedule.0[place];
        self.counts.struck[strike.fault as usize] += 1;
        if self.plan.inert {
            return Ok(());
        }
        self.note_fault(strike.fault, strike.host);
        let dice = &mut strike.dice();
        self.strike_with(&strike, dice)?;
        // At an ambush the operator waits, too.
        if strike.fault == Fault::Deed || (strike.deed && strike.fault != Fault::CrashAtRecord) {
            self.deed(dice);
        }
        Ok(())
    }

    fn strike_with(&mut self, strike: &Strike, dice: &mut Dice) -> Checked {
        let Strike { fault, host, peer, span, .. } = *strike;
        let until = self.now.after(span);
        match fault {
            Fault::Cut => self.cut_both(host, peer, span),
            Fault::OneWayCut => self.cut(host, peer, span),
            Fault::Isolate => self.isolate(host, span, dice),
            Fault::Bridge | Fault::Ring | Fault::Partial => self.partition(strike, dice),
            Fault::Flap => self.flap(strike, dice),
            Fault::SlowLink => self.slow(host, peer, until),
            Fault::LossBurst => self.network.burst(host, peer, until, dice.between(600, 1_000)),
            Fault::LostBulk => self.network.lose_bulk(host, peer, until),
            Fault::OldMessages => {
                let count = dice.between(5, 40);
                for (time, parcel) in self.network.replay(self.now, (host, peer), count, dice) {
                    self.push(time, Event::Parcel(parcel));
                }
            }
            Fault::Crash => return self.crash(host, dice),
            Fault::CrashMany => {
                let first = dice.place(self.plan.hosts);
                for n in 0..dice.between(2, self.plan.hosts as u64) as usize {
                    self.crash((first + n) % self.plan.hosts, dice)?;
                }
            }
            Fault::CrashAtSync | Fault::CrashAtRecord | Fault::CrashInCheckpoint => {
                self.lie_in_wait(strike, dice);
            }
            Fault::CrashInBoot => return self.crash_in_boot(host, dice),
            Fault::Stop => return self.stop(host, dice),
            // A pause within a longer one ends with that.
            Fault::Pause => {
                let longer = until.max(self.hosts[host].paused_until);
                self.hosts[host].paused_until = longer;
            }
            Fault::StepClock => self.hosts[host].clock.step(skew(dice, 60_000)),
            Fault::FreezeClock => self.freeze(host, until),
            Fault::Checkpoint => self.begin_checkpoint(host),
            Fault::DiskError => {
                let fate = [Fate::Kept, Fate::Lost, Fate::Torn][dice.place(3)];
                self.hosts[host].wounds.disk_error = Some((fate, dice.clone()));
            }
            Fault::DiskFull => self.hosts[host].wounds.full_until = until,
            Fault::SlowDisk => self.hosts[host].wounds.slow_until = until,
            Fault::BitRot => return self.rot(host, dice),
            Fault::StaleDisk => self.copy_disk(strike, dice),
            Fault::Storm => self.storm(dice),
            Fault::Silence => self.silence(until, dice),
            Fault::OldRequests => self.old_requests(dice),
            Fault::Deed => {}
        }
        Ok(())
    }

    // Hosts.

    fn lie_in_wait(&mut self, strike: &Strike, dice: &mut Dice) {
        let wounds = &mut self.hosts[strike.host].wounds;
        match strike.fault {
            Fault::CrashAtSync => {
                let outputs = dice.place(4);
                let position = stockade::types::Position(0);
                wounds.at_sync = Some(Doom { position, outputs, dice: dice.clone() });
            }
            Fault::CrashInCheckpoint => {
                let chunks = dice.between(1, 12) as u32;
                wounds.at_chunk = Some((chunks, dice.clone()));
                self.begin_checkpoint(strike.host);
            }
            _ => {
                let moment = Moment::ALL[dice.place(Moment::ALL.len())];
                let durable = Death::Durable(dice.place(3));
                let death = [Death::AtOnce, Death::InFlight, durable][dice.place(3)];
                wounds.at_record = Some(Ambush { moment, death, dice: dice.clone(), deed: strike.deed });
            }
        }
    }

    /// The moment that an ambush waited for has come.
    pub(crate) fn spring(&mut self, host: usize, mut ambush: Ambush) -> Checked {
        let Ambush { moment, death, .. } = ambush;
        self.counts.sprung += 1;
        self.trace.note(self.now, &[], &[], || format!("n-{host} crashes {death:?} at {moment:?}"));
        if ambush.deed {
            self.deed(&mut ambush.dice);
        }
        match death {
            Death::AtOnce => self.crash(host, &mut ambush.dice),
            Death::InFlight => {
                self.flush(host);
                self.crash(host, &mut ambush.dice)
            }
            Death::Durable(outputs) => {
                let Some(process) = &self.hosts[host].process else { return Ok(()) };
                let position = process.replica.position();
                self.hosts[host].wounds.at_sync = Some(Doom { position, outputs, dice: ambush.dice });
                Ok(())
            }
        }
    }

    fn begin_checkpoint(&mut self, host: usize) {
        if self.hosts[host].process.is_some() {
            self.hosts[host].disk.begin_checkpoint();
            let life = self.hosts[host].life;
            self.push_in(Span(1), Event::Chunk { host, life });
        }
    }

    fn freeze(&mut self, host: usize, until: Time) {
        let node = host;
        let host = &mut self.hosts[node];
        // An old disk must be noticed before the wait at the start is over.
        if host.wounds.stale.is_some() || self.now < host.wounds.thawed.after(BETWEEN_FREEZES) {
            return;
        }
        host.clock.freeze(self.now, until);
        host.wounds.thawed = until;
        self.oracle.stood_still[node] = (until, until.since(self.now));
    }

    // The network.

    fn cut_both(&mut self, a: usize, b: usize, span: Span) {
        self.cut(a, b, span);
        self.cut(b, a, span);
    }

    fn isolate(&mut self, host: usize, span: Span, dice: &mut Dice) {
        let (hears, is_heard) = [(false, false), (false, false), (true, false), (false, true)][dice.place(4)];
        for other in (0..self.plan.hosts).filter(|other| *other != host) {
            if !is_heard {
                self.cut(host, other, span);
            }
            if !hears {
                self.cut(other, host, span);
            }
        }
    }

    fn partition(&mut self, strike: &Strike, dice: &mut Dice) {
        let hosts = self.plan.hosts;
        let sides: Vec<u64> = (0..hosts).map(|_| dice.below(2)).collect();
        for a in 0..hosts {
            for b in a + 1..hosts {
                let cut = match strike.fault {
                    Fault::Bridge => sides[a] != sides[b] && a != strike.host && b != strike.host,
                    Fault::Ring => b - a != 1 && b - a != hosts - 1,
                    _ => dice.chance(400),
                };
                if cut {
                    self.cut_both(a, b, strike.span);
                }
            }
        }
    }

    fn flap(&mut self, strike: &Strike, dice: &mut Dice) {
        let Strike { host, peer, .. } = *strike;
        let end = self.now.after(strike.span);
        let mut at = self.now;
        while at < end {
            let span = Span::millis(dice.between(5, 300));
            for (from, to) in [(host, peer), (peer, host)] {
                self.push(at, Event::Cut { from, to, span });
            }
            at = at.after(span).after(Span::millis(dice.between(5, 400)));
        }
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize, span: Span) {
        self.counts.cuts += 1;
        let cut = self.counts.cuts;
        self.network.cut(self.now, from, to);
        self.cuts.insert(cut, (from, to));
        self.oracle.is_cut = true;
        self.push_in(span, Event::Mend { cut });
        self.push_in(IDLE, Event::Idle { a: from, b: to });
    }

    pub(crate) fn mend(&mut self, cut: u64) {
        let Some((from, to)) = self.cuts.remove(&cut) else { return };
        self.oracle.is_cut = !self.cuts.is_empty();
        for (time, parcel) in self.network.mend(self.now, from, to) {
            self.push(time, Event::Parcel(parcel));
        }
        if !self.network.is_cut(from, to) && self.network.standing(from, to).is_none() {
            let soon = Span::millis(self.dice.between(10, 1_500));
            self.push_in(soon, Event::Connect { a: from, b: to });
        }
    }

    /// The shell gives up links over which nothing passed for long.
    pub(crate) fn idle(&mut self, a: usize, b: usize) {
        if !self.network.cut_since(a, b, self.now.before(IDLE)) {
            return;
        }
        let Some(epoch) = self.network.disconnect(a, b) else { return };
        for (host, peer) in [(a, b), (b, a)] {
            let soon = self.some(Span::millis(500));
            self.push_in(soon, Event::LinkDown { host, peer, epoch });
        }
    }

    pub(crate) fn connect(&mut self, a: usize, b: usize) {
        if self.hosts[a].process.is_none() || self.hosts[b].process.is_none() {
            return;
        }
        let Some(epoch) = self.network.connect(a, b) else { return };
        for (host, peer) in [(a, b), (b, a)] {
            let soon = self.some(Span::millis(20));
            self.push_in(soon, Event::LinkUp { host, peer, epoch });
        }
    }

    pub(crate) fn link_up(&mut self, host: usize, peer: usize, epoch: u64) -> Checked {
        let up = self.hosts[host].process.is_some();
        let end = &mut self.hosts[host].ends[peer];
        if !up || end.epoch >= epoch || self.network.standing(host, peer) != Some(epoch) {
            return Ok(());
        }
        end.epoch = epoch;
        end.up = true;
        self.step(host, Input::LinkUp { node: node(peer) })?;
        self.measured(host, peer)
    }

    /// One way is slow for a while. Transports go on measuring: both ends notice, and when it is over.
    fn slow(&mut self, host: usize, peer: usize, until: Time) {
        self.network.slow(host, peer, until);
        for (host, peer) in [(host, peer), (peer, host)] {
            self.push(self.now, Event::Measured { host, peer });
            self.push(until, Event::Measured { host, peer });
        }
    }

    /// The transport has measured the link, if it is up.
    pub(crate) fn measured(&mut self, host: usize, peer: usize) -> Checked {
        if !self.hosts[host].ends[peer].up {
            return Ok(());
        }
        let time = Millis(self.network.round_trip(self.now, host, peer).0.div_ceil(Span::millis(1).0));
        self.step(host, Input::RoundTrip { node: node(peer), time })
    }

    pub(crate) fn link_down(&mut self, host: usize, peer: usize, epoch: u64) -> Checked {
        let end = &mut self.hosts[host].ends[peer];
        if end.epoch != epoch || !end.up {
            return Ok(());
        }
        end.up = false;
        self.step(host, Input::LinkDown { node: node(peer) })
    }
}
