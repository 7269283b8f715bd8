//! Hosts die, start, and are started on the wrong disk.

use stockade::planted::{self, Bug};
use stockade::replica::{Evidence, Input, Output};
use stockade::types::{Millis, Refusal, ReplicaId, Seq};
use stockade::wire::Message;

use crate::checks::{Checked, Property, Violation, ensure};
use crate::dice::Dice;
use crate::disk::{Disk, Fate};
use crate::host::{Host, Process};
use crate::marks::Mark;
use crate::network::IDLE;
use crate::schedule::Strike;
use crate::time::{Span, Time};
use crate::workload::node;
use crate::world::{Event, World};
use crate::wounds::{BootDeath, Doom, Stale};

/// A host that runs on an old disk is stopped after this: just before the wait at its start ends,
/// from when on nothing is promised.
const MISTAKE: Span = Span::millis(2_900);
/// A wait at a start in which everybody who can be reached is heard.
const HEARD_WITHIN: Millis = Millis(3_000);
/// How long after a greeting its alarm may leave: two syncs of the slowest disk, and a stalled
/// process.
const ALARM: Span = Span::seconds(13);

impl World {
    /// Power fails, or `kill -9`.
    pub(crate) fn crash(&mut self, host: usize, dice: &mut Dice) -> Checked {
        let (kept, torn) = (dice.chance(self.plan.kept_at_crash), dice.chance(self.plan.torn_at_crash));
        let fate = match (kept, torn) {
            (true, _) => Fate::Kept,
            (_, true) => Fate::Torn,
            _ => Fate::Lost,
        };
        self.die(host, fate, dice)?;
        self.perhaps_reboot(host);
        Ok(())
    }

    /// The whole machine may have gone down with the process.
    fn perhaps_reboot(&mut self, host: usize) {
        if self.dice.chance(self.plan.reboots) {
            self.hosts[host].reboot();
        }
    }

    /// The process ends, and is started again some time later.
    pub(crate) fn die(&mut self, host: usize, fate: Fate, dice: &mut Dice) -> Checked {
        if self.end_life(host, fate)? {
            let down = Span::millis(match dice.below(3) {
                0 => dice.between(1, 50),
                1 => dice.between(50, 1_000),
                _ => dice.between(1_000, 5_000),
            });
            self.push_in(down, Event::Boot { host });
        }
        Ok(())
    }

    /// The process dies and stays dead until someone boots the host. False: it was not up.
    pub(crate) fn fall(&mut self, host: usize) -> Result<bool, Violation> {
        self.end_life(host, Fate::Lost)
    }

    /// False when there was no process. If it ran on an old disk, the right one is put back.
    fn end_life(&mut self, host: usize, fate: Fate) -> Result<bool, Violation> {
        self.note_crash(host, fate == Fate::Kept);
        let (process, in_flight) = self.hosts[host].crash(fate);
        let Some(process) = process else { return Ok(false) };
        self.counts.crashes += 1;
        self.hosts[host].paused_until = self.now;
        match self.hosts[host].wounds.stale.take() {
            Some(stale) => {
                self.hosts[host].disk = stale.right;
                self.hosts[host].wounds.mistake_ended = Some(self.now);
            }
            None => {
                if let Some(in_flight) = in_flight {
                    self.oracle.synced(host, &in_flight.batch);
                }
                self.oracle.crashed(self.now, host)?;
            }
        }
        if planted::is_on(Bug::TraceByHashOrder) {
            #[allow(clippy::disallowed_types, reason = "this is the bug")]
            let open: std::collections::HashMap<_, _> = process.open.into_iter().collect();
            open.into_iter().for_each(|(token, open)| self.hang_up(token, open.client));
        } else {
            process.open.into_iter().for_each(|(token, open)| self.hang_up(token, open.client));
        }
        for peer in (0..self.plan.hosts).filter(|peer| *peer != host) {
            if let Some(epoch) = self.network.disconnect(host, peer) {
                let noticed = self.some(IDLE);
                self.push_in(noticed, Event::LinkDown { host: peer, peer: host, epoch });
            }
        }
        Ok(true)
    }

    /// A clean stop: what was decided is made durable and let out, then the process ends.
    pub(super) fn stop(&mut self, host: usize, dice: &mut Dice) -> Checked {
        self.step(host, Input::Stop)?;
        if let Some(process) = &mut self.hosts[host].process {
            process.stopping = true;
            if self.hosts[host].disk.is_idle() {
                return self.crash(host, dice);
            }
        }
        Ok(())
    }

    pub(super) fn crash_in_boot(&mut self, host: usize, dice: &mut Dice) -> Checked {
        let fates = [Fate::Kept, Fate::Lost, Fate::Torn];
        let deaths = (0..dice.between(1, 3)).map(|_| match dice.place(3) {
            0 => BootDeath::Read,
            1 => BootDeath::Recorded(fates[dice.place(3)]),
            _ => BootDeath::Durable,
        });
        self.hosts[host].wounds.boots = deaths.collect();
        self.crash(host, dice)
    }

    pub(crate) fn boot(&mut self, host: usize) -> Checked {
        if self.hosts[host].process.is_some() {
            return Ok(());
        }
        let Some(evidence) = self.read_disk(host)? else {
            let again = Span::millis(self.dice.between(50, 1_000));
            self.push_in(again, Event::Boot { host });
            return Ok(());
        };
        self.oracle.coverage.hit(match evidence {
            Evidence::Proven => Mark::StartProven,
            Evidence::Unproven(_) => Mark::StartUnproven,
            Evidence::Behind(_) => Mark::StartBehind,
        });
        self.hosts[host].wounds.at_sync = None;
        self.hosts[host].wounds.awaits_room = false;
        let death = self.hosts[host].wounds.boots.pop();
        let mut dice = self.luck();
        if death == Some(BootDeath::Read) {
            return self.die(host, Fate::Lost, &mut dice);
        }
        let nonce = self.dice.any();
        if death == Some(BootDeath::Durable) {
            let position = stockade::types::Position(0);
            self.hosts[host].wounds.at_sync = Some(Doom { position, outputs: 0, dice: dice.clone() });
        }
        self.step(host, Input::Start { nonce, evidence })?;
        if let Some(BootDeath::Recorded(fate)) = death {
            return self.die(host, fate, &mut dice);
        }
        for peer in (0..self.plan.hosts).filter(|peer| *peer != host) {
            let soon = Span::millis(self.dice.between(1, 500));
            self.push_in(soon, Event::Connect { a: host, b: peer });
        }
        Ok(())
    }

    /// A life begins with what the disk says. `None` when a damaged one was refused, as it must be.
    fn read_disk(&mut self, host: usize) -> Result<Option<Evidence>, Violation> {
        let read = self.hosts[host].boot(self.now);
        let wounds = &mut self.hosts[host].wounds;
        let rot = wounds.rot;
        if let Some((starts, _)) = &mut wounds.rot {
            *starts = starts.saturating_sub(1);
            if read.is_ok() || *starts == 0 {
                wounds.rot = None;
                self.hosts[host].disk.mend_rot();
            }
        }
        let failed = |what: &str| Violation::of(Property::Recovery, format!("n-{host}: {what}"));
        let evidence = match (read, rot) {
            (Ok(_), Some((_, true))) => return Err(failed("a damaged disk was taken for a good one")),
            (Ok(evidence), _) => evidence,
            (Err(_), Some((_, true))) => {
                self.counts.refused_starts += 1;
                return Ok(None);
            }
            (Err(what), _) => return Err(failed(&what)),
        };
        if self.hosts[host].wounds.stale.is_none() {
            self.watch_boot(host)?;
        }
        Ok(Some(evidence))
    }

    pub(super) fn rot(&mut self, host: usize, dice: &mut Dice) -> Checked {
        if self.hosts[host].wounds.rot.is_some() || self.hosts[host].wounds.stale.is_some() {
            return Ok(());
        }
        self.crash(host, dice)?;
        let starts = dice.between(1, 3) as u32;
        let is_fatal = self.hosts[host].disk.rot(dice);
        self.hosts[host].wounds.rot = Some((starts, is_fatal));
        Ok(())
    }

    // The wrong disk.

    /// Somebody copies a host's disk, or has one from the very beginning, and will start the host
    /// on it.
    pub(super) fn copy_disk(&mut self, strike: &Strike, dice: &mut Dice) {
        let host = &mut self.hosts[strike.host];
        if host.wounds.stale.is_some() || host.wounds.rot.is_some() {
            return;
        }
        let mut copy = if dice.chance(200) { Disk::prepared(&host.genesis) } else { host.disk.clone() };
        copy.crash(Fate::Lost);
        // A volume that was put back is the same file, a copy is another.
        if dice.chance(500) {
            copy.file.inode = dice.any().max(1);
        }
        host.wounds.copy = Some(copy);
        self.push_in(strike.span, Event::WrongDisk { host: strike.host });
    }

    pub(crate) fn wrong_disk(&mut self, host: usize) -> Checked {
        let Some(copy) = self.hosts[host].wounds.copy.take() else { return Ok(()) };
        let wounds = &self.hosts[host].wounds;
        if !self.chaos || wounds.stale.is_some() || wounds.rot.is_some() {
            return Ok(());
        }
        let (old, _) = copy
            .recover(&self.hosts[host].genesis, self.hosts[host].limits)
            .map_err(|what| Violation::of(Property::Recovery, what))?;
        let ended = old.watermark(old.replica_id());
        if !self.is_past(host, ended) || !self.end_life(host, Fate::Lost)? {
            return Ok(());
        }
        self.perhaps_reboot(host);
        let is_seen = matches!(self.hosts[host].evidence(&old, &copy), Evidence::Behind(_));
        // Without a witness, and without one who knows more, it could not be noticed.
        if !is_seen && !self.is_known_past(host, ended) {
            let soon = self.some(Span::seconds(1));
            self.push_in(soon, Event::Boot { host });
            return Ok(());
        }
        let Host { disk, wounds, .. } = &mut self.hosts[host];
        wounds.heal();
        let right = std::mem::replace(disk, copy);
        wounds.stale = Some(Stale { right, ended, is_seen, noticed: false });
        wounds.mistakes += 1;
        let mistake = wounds.mistakes;
        self.trace.note(self.now, &[], &[], || format!("n-{host} starts on a disk that ends at {ended}"));
        self.push_in(MISTAKE, Event::RightDisk { host, mistake });
        self.boot(host)
    }

    pub(crate) fn right_disk(&mut self, host: usize, mistake: u64) -> Checked {
        let wounds = &self.hosts[host].wounds;
        if wounds.stale.is_none() || wounds.mistakes != mistake {
            return Ok(());
        }
        let mut dice = self.luck();
        self.die(host, Fate::Lost, &mut dice)
    }

    /// Whether a running host has written more of its log than this.
    fn is_past(&self, host: usize, ended: Seq) -> bool {
        let Host { process, genesis, .. } = &self.hosts[host];
        process.as_ref().is_some_and(|process| process.replica.watermark(genesis.replica) > ended)
    }

    /// Whether a host that it will hear before it is ready has more of its log than this.
    fn is_known_past(&self, host: usize, ended: Seq) -> bool {
        let me = self.hosts[host].genesis.replica;
        let waits_for_all = match self.plan.start_wait {
            Some(wait) if wait < HEARD_WITHIN => return false,
            wait => wait.is_none(),
        };
        (0..self.plan.hosts).any(|peer| {
            let knows = |process: &Process| process.replica.watermark(me) > ended;
            peer != host
                && (waits_for_all || !self.network.is_cut(host, peer))
                && self.hosts[peer].wounds.stale.is_none()
                && self.hosts[peer].process.as_ref().is_some_and(knows)
        })
    }

    /// A mistake that nobody can notice any more ends at once: from then on nothing is promised.
    pub(crate) fn end_unseen_mistakes(&mut self) -> Checked {
        for host in 0..self.plan.hosts {
            let Some(stale) = &self.hosts[host].wounds.stale else { continue };
            if !stale.is_seen && !stale.noticed && !self.is_known_past(host, stale.ended) {
                let mut dice = self.luck();
                self.die(host, Fate::Lost, &mut dice)?;
            }
        }
        Ok(())
    }

    /// What a host may say on an old disk: that it is one, and nothing about itself.
    pub(crate) fn stale_output(&mut self, host: usize, output: &Output) -> Checked {
        let Host { wounds, genesis, .. } = &mut self.hosts[host];
        let Some(stale) = &mut wounds.stale else { return Ok(()) };
        let is_seen = stale.is_seen;
        let fine = match output {
            Output::RolledBack(_) => {
                self.counts.noticed += u64::from(!stale.noticed);
                stale.noticed = true;
                true
            }
            Output::Ready => false,
            Output::Reply { reply, .. } => {
                use Refusal::{NotReady, OutcomeUnknown, RolledBack};
                matches!(reply.outcome, Err(NotReady | RolledBack | OutcomeUnknown))
            }
            // Its witness has told it before it could say anything.
            Output::Send { .. } | Output::View(_) | Output::Heard(_) if is_seen => false,
            Output::Send { message, .. } => !tells_of(message, genesis.replica),
            _ => true,
        };
        ensure(fine, Property::Recovery, || format!("n-{host} runs on an old disk, and says {output:?}"))
    }

    /// The alarm of one whom a host on an old disk has greeted, just now: an alarm leaves once the
    /// records before it are durable.
    pub(crate) fn is_about_a_mistake(&self, output: &Output) -> bool {
        let Output::Alarm(text) = output else { return false };
        let lately = |ended: Time| self.now.since(ended) <= ALARM;
        let of = |host: &usize| {
            let wounds = &self.hosts[*host].wounds;
            wounds.stale.is_some() || wounds.mistake_ended.is_some_and(lately)
        };
        let mut of = (0..self.plan.hosts).filter(of);
        of.any(|host| text.starts_with(&format!("{}'s disk went back", node(host))))
    }
}

/// Whether a message bears rows of `me`, or an answer, or confirms what may be gone with the disk.
fn tells_of(message: &Message, me: ReplicaId) -> bool {
    match message {
        Message::Pass(pass) => pass.entries.iter().any(|entry| entry.origin == me),
        Message::Given(given) => given.entries.iter().any(|entry| entry.origin == me),
        Message::Forwarded(answer) => answer.outcome.is_ok(),
        Message::Holds(_) => true,
        _ => false,
    }
}
