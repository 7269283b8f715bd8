//! A host's disk: a journal of batches and checkpoints, as the store's contract has it. One batch
//! is written at a time; a crash loses it or keeps it, whole. Everything is kept as bytes.

use std::collections::BTreeMap;

use stockade::limits::Limits;
use stockade::planted::{self, Bug};
use stockade::replica::{Cursor, Replica};
use stockade::types::{Position, Timestamp};
use stockade::wire::{Batch, Genesis, Record, codec};

use crate::noting::Start;

/// Checkpoints kept.
const KEPT: usize = 2;

#[derive(Debug)]
pub struct Disk {
    batches: BTreeMap<u64, Vec<u8>>,
    last: u64,
    /// By the last batch each covers.
    checkpoints: BTreeMap<u64, Vec<Vec<u8>>>,
    in_flight: Option<InFlight>,
    writing: Option<Writing>,
}

/// A batch on its way to the platter.
#[derive(Debug)]
pub struct InFlight {
    pub batch: Batch,
    pub position: Position,
    bytes: Vec<u8>,
}

/// A checkpoint in the making.
#[derive(Debug)]
struct Writing {
    covers: u64,
    chunks: Vec<Vec<u8>>,
    /// Where to go on; or, when all is taken, how far the journal must be durable first.
    next: Result<Cursor, Position>,
}

impl Disk {
    pub fn prepared(genesis: &Genesis) -> Disk {
        let batch = Batch { time: Timestamp::ZERO, records: vec![Record::Genesis(genesis.clone())] };
        Disk {
            batches: BTreeMap::from([(1, codec::encode(&batch))]),
            last: 1,
            checkpoints: BTreeMap::new(),
            in_flight: None,
            writing: None,
        }
    }

    pub fn is_idle(&self) -> bool {
        self.in_flight.is_none()
    }

    /// What a process that starts now would find.
    pub fn start(&self) -> Start {
        if self.checkpoints.is_empty() { Start::Journal } else { Start::Checkpoint }
    }

    pub fn is_writing_checkpoint(&self) -> bool {
        self.writing.is_some()
    }

    pub fn begin(&mut self, batch: Batch, position: Position) {
        let bytes = codec::encode(&batch);
        self.in_flight = Some(InFlight { batch, position, bytes });
    }

    /// The batch in flight is durable now.
    pub fn synced(&mut self) -> Option<InFlight> {
        let done = self.in_flight.take()?;
        self.last += 1;
        self.batches.insert(self.last, done.bytes.clone());
        Some(done)
    }

    /// Power fails. `kept`: the batch in flight, if any, had reached the platter.
    pub fn crash(&mut self, kept: bool) -> Option<InFlight> {
        self.writing = None;
        if kept {
            return self.synced();
        }
        self.in_flight = None;
        None
    }

    pub fn begin_checkpoint(&mut self) {
        if self.writing.is_none() {
            let next = Ok(Cursor::default());
            self.writing = Some(Writing { covers: self.last, chunks: Vec::new(), next });
        }
    }

    /// Takes the next chunk, or finishes when it may. True while there is more to do.
    pub fn go_on(&mut self, replica: &Replica, chunk: usize, now: Timestamp, durable: Position) -> bool {
        let Some(writing) = &mut self.writing else { return false };
        match &writing.next {
            Ok(cursor) => {
                let (records, next) = replica.snapshot(cursor, chunk);
                writing.chunks.push(codec::encode(&Batch { time: now, records }));
                writing.next = next.ok_or(replica.position());
                true
            }
            // A checkpoint must not know more than the journal.
            Err(position) if *position > durable && !planted::is_on(Bug::CheckpointAheadOfJournal) => true,
            Err(_) => {
                if let Some(done) = self.writing.take() {
                    self.checkpoints.insert(done.covers, done.chunks);
                    self.trim();
                }
                false
            }
        }
    }

    fn trim(&mut self) {
        while self.checkpoints.len() > KEPT {
            self.checkpoints.pop_first();
        }
        if self.checkpoints.len() == KEPT
            && let Some((older, _)) = self.checkpoints.first_key_value()
        {
            self.batches = self.batches.split_off(&(older + 1));
        }
    }

    /// A replica from what is stored, and the newest ledger time in it.
    ///
    /// # Errors
    /// When what was stored cannot be read back.
    pub fn recover(&self, genesis: &Genesis, limits: Limits) -> Result<(Replica, Timestamp), String> {
        let mut replica = Replica::new(genesis.clone(), limits);
        let mut time = Timestamp::ZERO;
        let (covers, chunks) = match self.checkpoints.last_key_value() {
            Some((covers, chunks)) => (*covers, chunks.as_slice()),
            None => (0, [].as_slice()),
        };
        let skipped = u64::from(covers > 0 && planted::is_on(Bug::ReplaySkipsBatch));
        let batches = self.batches.range(covers + 1 + skipped..).map(|(_, bytes)| bytes);
        for bytes in chunks.iter().chain(batches) {
            let batch: Batch = codec::decode(bytes).map_err(|e| e.to_string())?;
            time = time.max(batch.time);
            let records = batch.records.iter().filter(|record| !matches!(record, Record::Genesis(_)));
            records.for_each(|record| replica.restore(record));
        }
        let time = time.max(replica.time());
        Ok((replica, time))
    }
}
