//! A host: a replica, its disk and its clock, driven as the node's driver does. One batch is
//! written at a time, the next is decided meanwhile, and outputs leave through the barrier.

use std::collections::BTreeMap;
use std::rc::Rc;

use stockade::limits::Limits;
use stockade::planted::{self, Bug};
use stockade::replica::{Barrier, Effects, Evidence, FileId, Input, Note, Output, Replica, Token, judge};
use stockade::types::{Position, Request, Timestamp};
use stockade::wire::{Batch, Cause, Genesis, Record};

use crate::disk::{Disk, Fate, InFlight};
use crate::time::{Clock, Time};
use crate::wounds::Wounds;

/// A request that the host has not answered.
#[derive(Clone, Debug)]
pub struct Open {
    pub request: Rc<Request>,
    pub arrived: Time,
    /// The client that waits for it, if any still does.
    pub client: Option<usize>,
    /// It repeats a key with another body.
    pub altered: bool,
}

/// The near end of a link.
#[derive(Clone, Copy, Debug, Default)]
pub struct End {
    pub epoch: u64,
    pub up: bool,
}

#[derive(Debug)]
pub struct Host {
    pub genesis: Genesis,
    pub limits: Limits,
    pub clock: Clock,
    pub disk: Disk,
    /// What is kept beside the disk until the machine starts anew.
    pub witness: Option<Note>,
    /// Runs of the machine so far.
    pub boots: u128,
    /// `None` while it is down.
    pub process: Option<Process>,
    /// Starts so far: what was meant for an earlier life is void.
    pub life: u64,
    pub paused_until: Time,
    /// What strikes have left to happen here.
    pub wounds: Wounds,
    /// The link to each other host.
    pub ends: Vec<End>,
    barrier_on: bool,
}

/// What a crash loses.
#[derive(Debug)]
pub struct Process {
    pub replica: Replica,
    pub open: BTreeMap<Token, Open>,
    /// It was told to stop and takes nothing more.
    pub stopping: bool,
    /// The tick that is on its way.
    pub tick_at: Option<Time>,
    pub durable: Position,
    effects: Effects,
    barrier: Barrier,
    pending: Vec<Record>,
    /// Only without the barrier: outputs that leave at once.
    loose: Vec<Output>,
    /// How far the journal is durable.
    noted: Note,
    /// The disk is known to be the newest: the witness is told of every batch.
    vouched: bool,
}

impl Host {
    pub fn new(genesis: Genesis, limits: Limits, clock: Clock, hosts: usize, barrier_on: bool) -> Host {
        let disk = Disk::prepared(&genesis);
        Host {
            // Whoever prepares a disk leaves a witness of it.
            witness: Some(prepared_note(&genesis, limits, disk.file)),
            boots: 1,
            disk,
            genesis,
            limits,
            clock,
            process: None,
            life: 0,
            paused_until: Time::ZERO,
            wounds: Wounds::default(),
            ends: vec![End::default(); hosts],
            barrier_on,
        }
    }

    pub fn ledger_time(&self, now: Time) -> Timestamp {
        self.clock.now(now)
    }

    /// Reads the disk and begins a life; the caller then gives [`Input::Start`].
    ///
    /// # Errors
    /// When the disk cannot be read back.
    pub fn boot(&mut self, now: Time) -> Result<Evidence, String> {
        let (replica, time) = self.disk.recover(&self.genesis, self.limits)?;
        let evidence = self.evidence(&replica, &self.disk);
        if let (Some(noted), Evidence::Unproven(_)) = (&mut self.witness, &evidence) {
            noted.vouched = false;
        }
        self.clock.start(now, time);
        self.life += 1;
        let noted = replica.note_at(self.boots, self.disk.file, self.disk.last());
        let durable = replica.position();
        let mut barrier = Barrier::default();
        barrier.durable(durable);
        self.process = Some(Process {
            replica,
            stopping: false,
            open: BTreeMap::new(),
            tick_at: None,
            durable,
            effects: Effects::default(),
            barrier,
            pending: Vec::new(),
            loose: Vec::new(),
            noted,
            vouched: evidence == Evidence::Proven,
        });
        Ok(evidence)
    }

    /// What the witness says of a disk and what is on it.
    pub fn evidence(&self, replica: &Replica, disk: &Disk) -> Evidence {
        judge(self.witness.as_ref(), &replica.note_at(self.boots, disk.file, disk.last()))
    }

    /// The machine starts anew.
    pub fn reboot(&mut self) {
        self.boots += 1;
        self.witness = None;
    }

    /// The process and what it had not made durable are gone. The batch in flight is given back if
    /// it had reached the platter.
    pub fn crash(&mut self, fate: Fate) -> (Option<Process>, Option<InFlight>) {
        self.ends.fill(End::default());
        (self.process.take(), self.disk.crash(fate))
    }

    /// Whether it runs and takes requests.
    pub fn is_up(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.stopping)
    }

    /// One step of the replica. Its records wait for the disk, its outputs for them. Gives the
    /// new records, to be looked at.
    pub fn step(&mut self, now: Time, input: Input) -> &[Record] {
        let time = self.clock.now(now);
        let Some(process) = &mut self.process else { return &[] };
        process.replica.handle(time, input, &mut process.effects);
        let first = process.pending.len();
        process.pending.extend(process.effects.take_records());
        let outputs = process.effects.take_outputs();
        if self.barrier_on {
            process.barrier.hold(outputs);
        } else {
            let mut open = Barrier::default();
            open.durable(process.replica.position());
            open.hold(outputs);
            process.loose.extend(std::iter::from_fn(|| open.release()));
        }
        let records = &process.pending[first..];
        self.wounds.look(records);
        records
    }

    /// Whether anything waits to be written.
    pub fn has_pending(&self) -> bool {
        self.process.as_ref().is_some_and(|process| !process.pending.is_empty())
    }

    /// Gives what is pending to the disk, if it is idle. True when a batch is on its way.
    pub fn flush(&mut self, now: Time) -> bool {
        let time = self.clock.now(now);
        let Some(process) = &mut self.process else { return false };
        if !self.disk.is_idle() || process.pending.is_empty() {
            return false;
        }
        let rest = process.pending.split_off(whole(&process.pending));
        let records = std::mem::replace(&mut process.pending, rest);
        let position = Position(process.replica.position().0 - process.pending.len() as u64);
        let mut note = process.replica.note_at(self.boots, self.disk.file, self.disk.last() + 1);
        if !process.pending.is_empty() {
            // Only part of what was decided is in this batch.
            note.sequence = process.noted.sequence;
        }
        self.disk.begin(Batch { time, records }, position, note);
        if planted::is_on(Bug::WitnessBeforeSync) && process.vouched {
            self.witness = Some(note);
        }
        if planted::is_on(Bug::SyncNotAwaited) {
            process.barrier.durable(position);
        }
        true
    }

    pub fn synced(&mut self) -> Option<InFlight> {
        let done = self.disk.synced()?;
        self.written(&done)?;
        Some(done)
    }

    /// The batch in flight failed, and the host takes it for written.
    pub fn overlooks_failure(&mut self) {
        if let Some(lost) = self.disk.lose() {
            self.written(&lost);
        }
    }

    fn written(&mut self, done: &InFlight) -> Option<()> {
        let process = self.process.as_mut()?;
        process.noted = done.note;
        if process.vouched {
            self.witness = Some(done.note);
        }
        process.durable = done.position;
        process.barrier.durable(done.position);
        Some(())
    }

    /// The next output that may leave.
    pub fn release(&mut self) -> Option<Output> {
        let process = self.process.as_mut()?;
        let output =
            if process.loose.is_empty() { process.barrier.release() } else { Some(process.loose.remove(0)) };
        match output {
            Some(Output::Ready) if !process.vouched => {
                process.vouched = true;
                self.witness = Some(process.noted);
            }
            Some(Output::RolledBack(_)) if process.vouched => {
                process.vouched = false;
                self.witness = Some(Note { vouched: false, ..process.noted });
            }
            _ => {}
        }
        output
    }
}

fn prepared_note(genesis: &Genesis, limits: Limits, file: FileId) -> Note {
    Replica::new(genesis.clone(), limits).note_at(1, file, 1)
}

/// How many of the pending records go into one batch: all, so that no step is torn.
fn whole(pending: &[Record]) -> usize {
    let is_apart = |record: &Record| matches!(record, Record::Change(c) if c.cause == Cause::Remember);
    match pending.iter().skip(1).position(is_apart) {
        _ if planted::is_on(Bug::StepTorn) => 1,
        Some(before) if planted::is_on(Bug::DedupApart) => before + 1,
        _ => pending.len(),
    }
}
