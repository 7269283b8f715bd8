//! The store in memory: the same contract without a disk, for the simulator and for tests.
//!
//! A [`MemoryDisk`] outlives the stores that are opened on it, as a disk outlives processes: drop
//! a [`MemoryStore`] and it is as if the process had been killed. What was acknowledged is there
//! at the next open; an append that failed is not, unless the disk was told to keep it, since a
//! failed write leaves that open. No clock, no randomness, no IO.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    BatchNumber, CheckpointWriter, FinishedCheckpoint, Head, Loaded, MAX_BODY_BYTES, Store, StoreError,
    StoreSize,
};

/// Checkpoints that are kept.
const KEPT: usize = 2;

/// What becomes of a batch whose append fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Lost,
    /// It was written all the same: the next load gives it.
    Kept,
}

/// Where memory stores keep their data. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    head: Option<Head>,
    open: bool,
    /// Counts opens: a checkpoint's writer does not outlive the store that began it.
    session: u64,
    /// By number; trimmed ones are gone.
    batches: BTreeMap<BatchNumber, Vec<u8>>,
    last: BatchNumber,
    /// By what they cover.
    checkpoints: BTreeMap<BatchNumber, Vec<Vec<u8>>>,
    adopted: BatchNumber,
    failing: Option<Fate>,
    failing_checkpoints: bool,
    full: bool,
    failed: Option<String>,
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk with the same contents, as of now, and no store open on it.
    pub fn copy(&self) -> Self {
        let from = self.contents();
        Self(Arc::new(Mutex::new(Contents {
            head: from.head.clone(),
            batches: from.batches.clone(),
            last: from.last,
            checkpoints: from.checkpoints.clone(),
            adopted: from.adopted,
            ..Contents::default()
        })))
    }

    /// Makes the next append fail, as if the disk had.
    pub fn fail_next_append(&self, fate: Fate) {
        self.contents().failing = Some(fate);
    }

    /// Makes the next write of a checkpoint fail.
    pub fn fail_next_checkpoint(&self) {
        self.contents().failing_checkpoints = true;
    }

    /// While set, appends and checkpoints are refused for want of space.
    pub fn set_full(&self, full: bool) {
        self.contents().full = full;
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn usable(&self) -> Result<(), StoreError> {
        match &self.failed {
            Some(first) => Err(StoreError::Failed(first.clone())),
            None if self.full => Err(StoreError::Full { path: path(), free: 0, needed: 1 }),
            None => Ok(()),
        }
    }

    fn fail(&mut self, what: &'static str) -> StoreError {
        let error = StoreError::Io { path: path(), what, source: io::Error::other("as it was told to") };
        self.failed = Some(error.to_string());
        error
    }

    fn put(&mut self, body: &[u8]) {
        self.last.0 += 1;
        self.batches.insert(self.last, body.to_vec());
    }

    fn bytes_after(&self, covers: BatchNumber) -> u64 {
        self.batches.range(BatchNumber(covers.0 + 1)..).map(|(_, body)| body.len() as u64).sum()
    }

    /// What a load begins from: the newest checkpoint, adopted or not.
    fn newest(&self) -> Option<(&BatchNumber, &Vec<Vec<u8>>)> {
        self.checkpoints.last_key_value()
    }
}

fn path() -> PathBuf {
    PathBuf::from("memory")
}

/// A [`Store`] on a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryStore {
    disk: MemoryDisk,
    head: Head,
    loaded: bool,
}

impl MemoryStore {
    /// Prepares `disk` for a node, with `genesis` as batch 1.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when it holds something already.
    pub fn create(disk: &MemoryDisk, head: Head, genesis: &[u8]) -> Result<(), StoreError> {
        let mut contents = disk.contents();
        if contents.head.is_some() {
            return Err(StoreError::Exists { path: path() });
        }
        contents.head = Some(head);
        contents.put(genesis);
        Ok(())
    }

    /// Opens what was created on `disk`.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::Locked`].
    pub fn open(disk: &MemoryDisk) -> Result<Self, StoreError> {
        let mut contents = disk.contents();
        let head = contents.head.clone().ok_or(StoreError::Missing { path: path() })?;
        if contents.open {
            return Err(StoreError::Locked { path: path() });
        }
        contents.open = true;
        contents.session += 1;
        contents.failed = None;
        Ok(Self { disk: disk.clone(), head, loaded: false })
    }

    fn usable(&self) -> Result<MutexGuard<'_, Contents>, StoreError> {
        if !self.loaded {
            return Err(StoreError::Failed("it was never loaded".into()));
        }
        let contents = self.disk.contents();
        contents.usable()?;
        Ok(contents)
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.disk.contents().open = false;
    }
}

impl Store for MemoryStore {
    fn head(&self) -> &Head {
        &self.head
    }

    fn load(&mut self, sink: &mut dyn FnMut(Loaded<'_>) -> Result<(), String>) -> Result<(), StoreError> {
        let mut contents = self.disk.contents();
        let damaged = |what| StoreError::Damaged { path: path(), what };
        let mut covers = BatchNumber(0);
        if let Some((number, chunks)) = contents.newest() {
            covers = *number;
            for chunk in chunks {
                sink(Loaded::Chunk(chunk)).map_err(damaged)?;
            }
        }
        for (number, body) in contents.batches.range(BatchNumber(covers.0 + 1)..) {
            sink(Loaded::Batch(*number, body)).map_err(damaged)?;
        }
        contents.adopted = covers;
        drop(contents);
        self.loaded = true;
        Ok(())
    }

    fn append(&mut self, body: &[u8]) -> Result<BatchNumber, StoreError> {
        let mut contents = self.usable()?;
        if body.len() > MAX_BODY_BYTES {
            return Err(contents.fail("the batch is longer than 64 MiB"));
        }
        if let Some(fate) = contents.failing.take() {
            if fate == Fate::Kept {
                contents.put(body);
            }
            return Err(contents.fail("cannot append"));
        }
        contents.put(body);
        Ok(contents.last)
    }

    fn begin_checkpoint(&mut self) -> Result<Box<dyn CheckpointWriter>, StoreError> {
        let contents = self.usable()?;
        let (session, covers) = (contents.session, contents.last);
        Ok(Box::new(Writer { disk: self.disk.clone(), session, covers, chunks: Vec::new() }))
    }

    fn adopt(&mut self, finished: FinishedCheckpoint) -> Result<(), StoreError> {
        let mut contents = self.usable()?;
        contents.adopted = contents.adopted.max(finished.covers);
        while contents.checkpoints.len() > KEPT {
            contents.checkpoints.pop_first();
        }
        if contents.checkpoints.len() == KEPT
            && let Some((older, _)) = contents.checkpoints.first_key_value()
        {
            let after = BatchNumber(older.0 + 1);
            contents.batches = contents.batches.split_off(&after);
        }
        Ok(())
    }

    fn size(&self) -> StoreSize {
        let contents = self.disk.contents();
        let bytes = |chunks: &Vec<Vec<u8>>| chunks.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        StoreSize {
            journal_bytes: contents.bytes_after(BatchNumber(0)),
            checkpoint_bytes: contents.checkpoints.values().map(bytes).sum(),
            replay_bytes: contents.bytes_after(contents.adopted),
            last: contents.last,
            checkpointed: contents.adopted,
        }
    }
}

#[derive(Debug)]
struct Writer {
    disk: MemoryDisk,
    session: u64,
    covers: BatchNumber,
    chunks: Vec<Vec<u8>>,
}

impl Writer {
    fn usable(&self) -> Result<MutexGuard<'_, Contents>, StoreError> {
        let mut contents = self.disk.contents();
        contents.usable()?;
        if contents.session != self.session || !contents.open {
            return Err(StoreError::Failed("the store was closed".into()));
        }
        if std::mem::take(&mut contents.failing_checkpoints) {
            return Err(contents.fail("cannot write a checkpoint"));
        }
        Ok(contents)
    }
}

impl CheckpointWriter for Writer {
    fn chunk(&mut self, body: &[u8]) -> Result<(), StoreError> {
        let mut contents = self.usable()?;
        if body.len() > MAX_BODY_BYTES {
            return Err(contents.fail("the chunk is longer than 64 MiB"));
        }
        drop(contents);
        self.chunks.push(body.to_vec());
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<FinishedCheckpoint, StoreError> {
        let chunks = std::mem::take(&mut self.chunks);
        let bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        self.usable()?.checkpoints.insert(self.covers, chunks);
        Ok(FinishedCheckpoint { covers: self.covers, bytes })
    }
}
