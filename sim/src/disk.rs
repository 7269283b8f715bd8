//! A host's disk: a journal of batches and checkpoints, as the store's contract has it. One batch
//! is written at a time. Everything is kept as bytes, with sums.
//!
//! A crash keeps the batch in flight whole, or loses it, or leaves a piece of it, which recovery
//! drops as it drops a checkpoint that was not finished. A bit that turns over in what was
//! acknowledged is noticed: in a checkpoint it is made up for by the older one and the journal, in
//! a batch it is refused.
//!
//! What the contract makes impossible is not played here; that the real store keeps it is tested
//! there: torn pages and power loss at any write in `src/store/faults.rs`, damage to any bit, stale
//! pages and another node's checkpoint in `src/store/damage.rs`. Another node's directory, or an
//! empty one, is refused before there is a replica, by `Recovery::finish` (`src/node/recovery.rs`) and
//! by `check_identity` (`src/server.rs`): see `tests/it/recovery.rs`.

use std::collections::BTreeMap;

use stockade::limits::Limits;
use stockade::planted::{self, Bug};
use stockade::replica::{Cursor, FileId, Note, Replica};
use stockade::types::{Position, Timestamp};
use stockade::wire::{Batch, Genesis, Record, codec};

use crate::dice::Dice;
use crate::noting::Start;

/// Checkpoints kept.
const KEPT: usize = 2;

#[derive(Clone, Debug)]
pub struct Disk {
    /// Which file the journal is.
    pub file: FileId,
    batches: BTreeMap<u64, Summed>,
    last: u64,
    /// By the last batch each covers.
    checkpoints: BTreeMap<u64, Checkpoint>,
    in_flight: Option<InFlight>,
    writing: Option<Writing>,
    /// A piece of a batch that was never acknowledged.
    torn: Option<Vec<u8>>,
    /// What a turned bit was before.
    rot: Option<Rot>,
}

/// Bytes and the sum that was stored with them.
#[derive(Clone, Debug)]
struct Summed {
    bytes: Vec<u8>,
    sum: u64,
}

#[derive(Clone, Debug)]
struct Checkpoint {
    chunks: Vec<Summed>,
    /// Its end was written.
    whole: bool,
}

/// A batch on its way to the platter.
#[derive(Clone, Debug)]
pub struct InFlight {
    pub batch: Batch,
    pub position: Position,
    /// What the witness is to hear of it.
    pub note: Note,
    bytes: Vec<u8>,
}

/// A checkpoint in the making.
#[derive(Clone, Debug)]
struct Writing {
    covers: u64,
    chunks: Vec<Summed>,
    /// Where to go on; or, when all is taken, how far the journal must be durable first.
    next: Result<Cursor, Position>,
}

#[derive(Clone, Copy, Debug)]
struct Rot {
    in_checkpoint: bool,
    place: u64,
    byte: usize,
    bit: u8,
}

/// What becomes of the batch that is being written when power fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Kept,
    Lost,
    /// Some of its bytes are there.
    Torn,
}

impl Summed {
    fn new(bytes: Vec<u8>) -> Summed {
        Summed { sum: sum(&bytes), bytes }
    }

    fn is_good(&self) -> bool {
        self.sum == sum(&self.bytes) || planted::is_on(Bug::ChecksumSkipped)
    }

    fn batch(&self, what: &str) -> Result<Batch, String> {
        if !self.is_good() {
            return Err(format!("damaged: {what}"));
        }
        codec::decode(&self.bytes).map_err(|e| format!("{what}: {e}"))
    }
}

impl Checkpoint {
    fn is_good(&self) -> bool {
        (self.whole || planted::is_on(Bug::TornCheckpointTrusted)) && self.chunks.iter().all(Summed::is_good)
    }
}

impl Disk {
    pub fn prepared(genesis: &Genesis) -> Disk {
        let batch = Batch { time: Timestamp::ZERO, records: vec![Record::Genesis(genesis.clone())] };
        Disk {
            file: FileId::default(),
            batches: BTreeMap::from([(1, Summed::new(codec::encode(&batch)))]),
            last: 1,
            checkpoints: BTreeMap::new(),
            in_flight: None,
            writing: None,
            torn: None,
            rot: None,
        }
    }

    /// The number of the last batch that is durable.
    pub fn last(&self) -> u64 {
        self.last
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

    pub fn begin(&mut self, batch: Batch, position: Position, note: Note) {
        let bytes = codec::encode(&batch);
        self.in_flight = Some(InFlight { batch, position, note, bytes });
    }

    /// The batch in flight is durable now.
    pub fn synced(&mut self) -> Option<InFlight> {
        let mut done = self.in_flight.take()?;
        self.last += 1;
        self.batches.insert(self.last, Summed::new(std::mem::take(&mut done.bytes)));
        Some(done)
    }

    /// The batch in flight never reaches the platter, and nobody is told.
    pub fn lose(&mut self) -> Option<InFlight> {
        self.in_flight.take()
    }

    /// Power fails. Gives the batch that was in flight if it had reached the platter whole.
    pub fn crash(&mut self, fate: Fate) -> Option<InFlight> {
        if let Some(Writing { covers, chunks, .. }) = self.writing.take() {
            self.checkpoints.entry(covers).or_insert(Checkpoint { chunks, whole: false });
        }
        if fate == Fate::Kept {
            return self.synced();
        }
        let lost = self.in_flight.take();
        if fate == Fate::Torn {
            self.torn = lost.map(|lost| lost.bytes[..lost.bytes.len() / 2].to_vec());
        }
        None
    }

    pub fn begin_checkpoint(&mut self) {
        if self.writing.is_none() {
            self.checkpoints.retain(|_, checkpoint| checkpoint.whole);
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
                writing.chunks.push(Summed::new(codec::encode(&Batch { time: now, records })));
                writing.next = next.ok_or(replica.position());
                true
            }
            // A checkpoint must not know more than the journal.
            Err(position) if *position > durable && !planted::is_on(Bug::CheckpointAheadOfJournal) => true,
            Err(_) => {
                if let Some(done) = self.writing.take() {
                    let checkpoint = Checkpoint { chunks: done.chunks, whole: true };
                    self.checkpoints.insert(done.covers, checkpoint);
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

    /// A bit turns over in something that the next start reads. True when that cannot be made up
    /// for.
    pub fn rot(&mut self, dice: &mut Dice) -> bool {
        self.mend_rot();
        let newest = self.checkpoints.iter().rev().find(|(_, checkpoint)| checkpoint.is_good());
        let base = newest.map_or(0, |(covers, _)| *covers);
        let batches: Vec<u64> = self.batches.range(base + 1..).map(|(number, _)| *number).collect();
        let in_checkpoint = base > 0 && (batches.is_empty() || dice.chance(300));
        let place = if in_checkpoint {
            base
        } else if batches.is_empty() {
            return false;
        } else {
            batches[dice.place(batches.len())]
        };
        let rot = Rot { in_checkpoint, place, byte: dice.place(1 << 20), bit: dice.place(8) as u8 };
        self.rot = Some(rot);
        self.turn(rot);
        !in_checkpoint
    }

    /// Somebody puts it right.
    pub fn mend_rot(&mut self) {
        if let Some(rot) = self.rot.take() {
            self.turn(rot);
        }
    }

    fn turn(&mut self, rot: Rot) {
        let summed = if rot.in_checkpoint {
            self.checkpoints.get_mut(&rot.place).and_then(|checkpoint| checkpoint.chunks.first_mut())
        } else {
            self.batches.get_mut(&rot.place)
        };
        if let Some(Summed { bytes, .. }) = summed {
            let byte = rot.byte % bytes.len().max(1);
            bytes[byte] ^= 1 << rot.bit;
        }
    }

    /// A replica from what is stored, and the newest ledger time in it.
    ///
    /// # Errors
    /// When something that was acknowledged cannot be read back.
    pub fn recover(&self, genesis: &Genesis, limits: Limits) -> Result<(Replica, Timestamp), String> {
        if let Some(torn) = &self.torn
            && codec::decode::<Batch>(torn).is_ok()
        {
            return Err("a piece of a batch passes for a whole one".into());
        }
        let mut replica = Replica::new(genesis.clone(), limits);
        let mut time = Timestamp::ZERO;
        let (covers, chunks) = match self.checkpoints.iter().rev().find(|(_, c)| c.is_good()) {
            Some((covers, checkpoint)) => (*covers, checkpoint.chunks.as_slice()),
            None => (0, [].as_slice()),
        };
        let skipped = u64::from(covers > 0 && planted::is_on(Bug::ReplaySkipsBatch));
        let batches = self.batches.range(covers + 1 + skipped..);
        if batches.clone().next().is_some_and(|(first, _)| *first != covers + 1 + skipped) {
            return Err(format!("damaged: batches after {covers} are missing"));
        }
        for summed in chunks.iter().chain(batches.map(|(_, batch)| batch)) {
            let batch = summed.batch("a batch or a chunk")?;
            time = time.max(batch.time);
            let records = batch.records.iter().filter(|record| !matches!(record, Record::Genesis(_)));
            records.for_each(|record| replica.restore(record));
        }
        let time = time.max(replica.time());
        Ok((replica, time))
    }
}

/// FNV-1a over words: enough to notice one bit.
fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks(8).fold(0xcbf2_9ce4_8422_2325, |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        let mixed = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3);
        mixed ^ (mixed >> 29)
    })
}

#[cfg(test)]
mod tests {
    use stockade::replica::{Effects, Evidence, Input};
    use stockade::types::{ClusterId, NodeName, Region, ReplicaId};
    use stockade::wire::Member;
    use uuid::Uuid;

    use super::*;
    use crate::dice::Stream;

    fn genesis() -> Genesis {
        let (name, region) = (NodeName::new("n-0").unwrap(), Region::new("r0").unwrap());
        let replica = ReplicaId(Uuid::from_u128(1));
        let founders = vec![Member { replica, name: name.clone(), region: region.clone() }];
        Genesis { cluster: ClusterId(Uuid::from_u128(1)), replica, name, region, founders }
    }

    /// A disk with so many starts on it, and the newest replica.
    fn started(times: u64) -> (Disk, Replica) {
        let mut disk = Disk::prepared(&genesis());
        let mut newest = None;
        for nonce in 1..=times {
            let (mut replica, _) = disk.recover(&genesis(), Limits::default()).unwrap();
            let mut effects = Effects::default();
            replica.handle(
                Timestamp(nonce),
                Input::Start { nonce, evidence: Evidence::Proven },
                &mut effects,
            );
            let note = replica.note_at(1, disk.file, disk.last() + 1);
            disk.begin(
                Batch { time: Timestamp(nonce), records: effects.take_records() },
                replica.position(),
                note,
            );
            disk.synced().unwrap();
            newest = Some(replica);
        }
        (disk, newest.unwrap())
    }

    fn checkpoint(disk: &mut Disk, replica: &Replica) {
        disk.begin_checkpoint();
        while disk.go_on(replica, 1, Timestamp(9), Position(u64::MAX)) {}
    }

    fn time(disk: &Disk) -> Result<Timestamp, String> {
        disk.recover(&genesis(), Limits::default()).map(|(_, time)| time)
    }

    #[test]
    fn a_piece_of_a_batch_or_of_a_checkpoint_is_ignored() {
        let (mut disk, replica) = started(3);
        disk.begin_checkpoint();
        assert!(disk.go_on(&replica, 1, Timestamp(99), Position(99)));
        let note = replica.note_at(1, disk.file, disk.last() + 1);
        disk.begin(Batch { time: Timestamp(77), records: Vec::new() }, replica.position(), note);
        assert!(disk.crash(Fate::Torn).is_none() && disk.torn.is_some());
        assert_eq!(time(&disk), Ok(Timestamp(3)));
    }

    #[test]
    fn a_turned_bit_in_a_batch_is_refused_and_one_in_a_checkpoint_made_up_for() {
        let (mut disk, replica) = started(3);
        assert!(disk.rot(&mut Dice::new(1, Stream::Faults)));
        assert!(time(&disk).unwrap_err().contains("damaged"));
        disk.mend_rot();
        assert_eq!(time(&disk), Ok(Timestamp(3)));
        checkpoint(&mut disk, &replica);
        assert!(!disk.rot(&mut Dice::new(1, Stream::Faults)), "all is in the checkpoint");
        assert!(!disk.checkpoints[&4].is_good());
        assert_eq!(time(&disk), Ok(Timestamp(3)));
    }
}
