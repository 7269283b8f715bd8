//! What goes wrong: hosts die and come back, links are cut, slow and mended, processes stall.

use stockade::replica::Input;

use crate::checks::{Checked, Property, Violation};
use crate::network::IDLE;
use crate::time::Span;
use crate::world::{Event, World, skew};

/// A fault that a plan may switch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Cut,
    OneWayCut,
    Isolate,
    SlowLink,
    Crash,
    Stop,
    Pause,
    StepClock,
    Checkpoint,
}

impl World {
    /// Something goes wrong, and the next time is planned.
    pub(crate) fn fault(&mut self) -> Checked {
        if !self.chaos {
            return Ok(());
        }
        let pause = Span(self.faults.tailed(self.plan.fault_every.0));
        self.push_in(pause, Event::Fault);
        let plan = &self.plan;
        let switched = [
            (plan.cuts, Fault::Cut),
            (plan.one_way_cuts, Fault::OneWayCut),
            (plan.isolations, Fault::Isolate),
            (plan.slow_links, Fault::SlowLink),
            (plan.crashes, Fault::Crash),
            (plan.clean_stops, Fault::Stop),
            (plan.pauses, Fault::Pause),
            (plan.clock_steps, Fault::StepClock),
            (plan.checkpoints, Fault::Checkpoint),
        ];
        let on: Vec<Fault> = switched.into_iter().filter(|(on, _)| *on).map(|(_, fault)| fault).collect();
        if on.is_empty() {
            return Ok(());
        }
        let fault = on[self.faults.place(on.len())];
        let host = self.faults.place(self.plan.hosts);
        self.strike(fault, host)
    }

    fn strike(&mut self, fault: Fault, host: usize) -> Checked {
        let peer = (host + 1 + self.faults.place(self.plan.hosts - 1)) % self.plan.hosts;
        self.trace.note(self.now, &[], &[], || format!("fault {fault:?} at n-{host} (n-{peer})"));
        match fault {
            Fault::Cut => {
                let span = self.cut_span();
                self.cut(host, peer, span);
                self.cut(peer, host, span);
            }
            Fault::OneWayCut => {
                let span = self.cut_span();
                self.cut(host, peer, span);
            }
            Fault::Isolate => {
                let (span, one_way) = (self.cut_span(), self.faults.chance(300));
                for other in (0..self.plan.hosts).filter(|other| *other != host) {
                    self.cut(host, other, span);
                    if !one_way {
                        self.cut(other, host, span);
                    }
                }
            }
            Fault::SlowLink => {
                let until = self.now.after(Span::millis(self.faults.between(200, 5_000)));
                self.network.slow(host, peer, until);
            }
            Fault::Crash => return self.crash(host),
            Fault::Stop => return self.stop(host),
            Fault::Pause => {
                let until = self.now.after(Span::millis(self.faults.between(50, 3_000)));
                self.hosts[host].paused_until = until;
            }
            Fault::StepClock => {
                let step = skew(&mut self.faults, 60_000);
                self.hosts[host].clock.step(step);
            }
            Fault::Checkpoint => {
                if self.hosts[host].process.is_some() {
                    self.hosts[host].disk.begin_checkpoint();
                    let life = self.hosts[host].life;
                    self.push_in(Span(1), Event::Chunk { host, life });
                }
            }
        }
        Ok(())
    }

    fn cut_span(&mut self) -> Span {
        Span::millis(match self.faults.below(3) {
            0 => self.faults.between(50, 1_000),
            1 => self.faults.between(1_000, 4_500),
            _ => self.faults.between(4_500, 10_000),
        })
    }

    pub(crate) fn cut(&mut self, from: usize, to: usize, span: Span) {
        self.counts.cuts += 1;
        let cut = self.counts.cuts;
        self.network.cut(self.now, from, to);
        self.cuts.insert(cut, (from, to));
        self.push_in(span, Event::Mend { cut });
        self.push_in(IDLE, Event::Idle { a: from, b: to });
    }

    pub(crate) fn mend(&mut self, cut: u64) {
        let Some((from, to)) = self.cuts.remove(&cut) else { return };
        for (time, parcel) in self.network.mend(self.now, from, to) {
            self.push(time, Event::Parcel(parcel));
        }
        if !self.network.is_cut(from, to) && self.network.standing(from, to).is_none() {
            let soon = Span::millis(self.faults.between(10, 1_500));
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
        self.step(host, Input::LinkUp { node: crate::workload::node(peer) })
    }

    pub(crate) fn link_down(&mut self, host: usize, peer: usize, epoch: u64) -> Checked {
        let end = &mut self.hosts[host].ends[peer];
        if end.epoch != epoch || !end.up {
            return Ok(());
        }
        end.up = false;
        self.step(host, Input::LinkDown { node: crate::workload::node(peer) })
    }

    /// Power fails, or `kill -9`; the host boots again soon.
    pub(crate) fn crash(&mut self, host: usize) -> Checked {
        if !self.fall(host)? {
            return Ok(());
        }
        let down = Span::millis(match self.faults.below(3) {
            0 => self.faults.between(1, 50),
            1 => self.faults.between(50, 1_000),
            _ => self.faults.between(1_000, 5_000),
        });
        self.push_in(down, Event::Boot { host });
        Ok(())
    }

    /// A process dies and stays dead until someone boots the host. False: it was not up.
    pub(crate) fn fall(&mut self, host: usize) -> Result<bool, Violation> {
        let kept = self.faults.chance(self.plan.kept_at_crash);
        let (process, in_flight) = self.hosts[host].crash(kept);
        let Some(process) = process else { return Ok(false) };
        self.counts.crashes += 1;
        if let Some(in_flight) = in_flight {
            self.oracle.synced(host, &in_flight.batch);
        }
        self.oracle.crashed(self.now, host)?;
        process.open.into_iter().for_each(|(token, open)| self.hang_up(token, open.client));
        for peer in (0..self.plan.hosts).filter(|peer| *peer != host) {
            if let Some(epoch) = self.network.disconnect(host, peer) {
                let noticed = self.some(IDLE);
                self.push_in(noticed, Event::LinkDown { host: peer, peer: host, epoch });
            }
        }
        Ok(true)
    }

    /// A clean stop: what was decided is made durable and let out, then the process ends.
    fn stop(&mut self, host: usize) -> Checked {
        self.step(host, Input::Stop)?;
        if let Some(process) = &mut self.hosts[host].process {
            process.stopping = true;
            if self.hosts[host].disk.is_idle() {
                return self.crash(host);
            }
        }
        Ok(())
    }

    pub(crate) fn boot(&mut self, host: usize) -> Checked {
        if let Err(what) = self.hosts[host].boot(self.now) {
            return Err(Violation::of(Property::Recovery, format!("n-{host}: {what}")));
        }
        if let Some(process) = &self.hosts[host].process {
            self.oracle.booted(host, &process.replica)?;
        }
        let nonce = self.dice.any();
        self.step(host, Input::Start { nonce })?;
        for peer in (0..self.plan.hosts).filter(|peer| *peer != host) {
            let soon = Span::millis(self.faults.between(1, 500));
            self.push_in(soon, Event::Connect { a: host, b: peer });
        }
        Ok(())
    }
}
