//! Where a node's records live: a journal of batches, and checkpoints to begin from.
//!
//! # Contract
//! - Batches are numbered 1, 2, 3, ... A batch is there whole or not at all.
//! - When [`Store::append`] returns `Ok`, the batch is durable: it survives `kill -9` and power loss.
//! - [`Store::load`] gives the newest whole checkpoint, then every batch after what it covers,
//!   in order, each verified. None is skipped, reordered, repeated or served damaged: if
//!   anything that was acknowledged is missing or altered, load fails with
//!   [`StoreError::Damaged`], which says what is wrong and what to do.
//! - After the first error of `append` or of a checkpoint the store acknowledges nothing more:
//!   every later call fails with [`StoreError::Failed`]. (Retrying a failed fsync is no cure:
//!   the kernel may already have thrown the pages away and say yes.)
//!   Two refusals are no failures, for they are made before anything is written: [`StoreError::Full`]
//!   and [`StoreError::Limit`].
//! - A directory is open in one process at a time.
//! - Bodies are opaque bytes to the store.
//!
//! A checkpoint may be *fuzzy*: its chunks are taken while batches go on, because records hold
//! absolute values. It covers the batches up to the moment of [`Store::begin_checkpoint`];
//! later ones are replayed over it.

pub mod memory;

#[cfg(feature = "node")]
mod ahead;
#[cfg(feature = "node")]
mod checkpoint;
#[cfg(feature = "node")]
mod directory;
#[cfg(feature = "node")]
mod frame;
#[cfg(feature = "node")]
pub mod history;
#[cfg(feature = "node")]
mod journal;
#[cfg(feature = "node")]
mod quarantine;
#[cfg(feature = "node")]
mod recovery;
#[cfg(feature = "node")]
mod redb;
#[cfg(feature = "node")]
mod space;
#[cfg(feature = "node")]
mod verify;

#[cfg(test)]
mod conformance;
#[cfg(all(test, feature = "node"))]
mod damage;
#[cfg(all(test, feature = "node"))]
mod faults;

use std::path::PathBuf;

#[cfg(feature = "node")]
pub use self::directory::journal_path;
#[cfg(feature = "node")]
pub use self::history::{History, HistoryOptions};
#[cfg(feature = "node")]
pub use self::redb::{RedbStore, StoreOptions};
#[cfg(feature = "node")]
pub use self::verify::{CheckpointReport, VerifyReport, verify};
pub use memory::{Fate, MemoryDisk, MemoryStore};

use crate::types::{ClusterId, NodeName, ReplicaId};

/// The longest body of a batch or of a checkpoint's chunk, in bytes. It bounds what a load
/// allocates at a damaged length; a longer body is refused before anything is written.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// A batch's number. The first is 1; 0 means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchNumber(pub u64);

/// Whose data this is; part of the head of the journal and of every checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub cluster: ClusterId,
    pub node: NodeName,
    pub replica: ReplicaId,
}

/// One thing read back by [`Store::load`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded<'a> {
    /// Part of the checkpoint.
    Chunk(&'a [u8]),
    Batch(BatchNumber, &'a [u8]),
}

/// What is stored, for metrics and operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreSize {
    pub journal_bytes: u64,
    pub checkpoint_bytes: u64,
    /// Bytes of batches that a start would replay.
    pub replay_bytes: u64,
    /// The newest batch, and the newest one that a checkpoint covers.
    pub last: BatchNumber,
    pub checkpointed: BatchNumber,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the directory open.
    #[error("{path} is in use by another process; stop that node first")]
    Locked { path: PathBuf },
    /// Nothing was ever prepared here, or the directory was emptied.
    #[error("{path} holds no journal; prepare it with `stockade init`, or point data_dir at the right place")]
    Missing { path: PathBuf },
    /// There is a journal already where one should be created.
    #[error("{path} already holds a journal; it is never overwritten")]
    Exists { path: PathBuf },
    /// Stored by a release whose format is not known here.
    #[error("{path} has format {found}; this release reads up to {known}: run the newer release")]
    Format { path: PathBuf, found: u32, known: u32 },
    /// Acknowledged data is missing or altered. Nothing was changed.
    #[error("{path} is damaged: {what}. Do not delete it: keep a copy, and recover this node from its peers")]
    Damaged { path: PathBuf, what: String },
    /// The disk is (nearly) full. Nothing was written.
    #[error(
        "{path} has {free} bytes free, fewer than the {needed} kept as headroom; make room and start again"
    )]
    Full { path: PathBuf, free: u64, needed: u64 },
    /// The journal may not grow until a checkpoint lets some of it go. Nothing was written.
    #[error(
        "{path} holds {bytes} bytes of batches and may hold {limit}; it takes more once a checkpoint is finished"
    )]
    Limit { path: PathBuf, bytes: u64, limit: u64 },
    /// Input or output failed. What was being written may or may not be there.
    #[error("{path}: {what}: {source}")]
    Io { path: PathBuf, what: &'static str, source: std::io::Error },
    /// An earlier call failed; nothing more is acknowledged.
    #[error("the store failed earlier ({0}); nothing more is acknowledged")]
    Failed(String),
}

/// A node's records. See the module's text for the contract.
///
/// Call order: [`load`](Store::load) once, then appends and checkpoints.
pub trait Store: Send + 'static {
    fn head(&self) -> &Head;

    /// Gives what is stored to `sink`, in order. An error from `sink` ends the load and comes
    /// back as [`StoreError::Damaged`] with its text.
    ///
    /// # Errors
    /// When anything acknowledged is missing or altered.
    fn load(&mut self, sink: &mut dyn FnMut(Loaded<'_>) -> Result<(), String>) -> Result<(), StoreError>;

    /// Makes one batch durable and returns its number.
    ///
    /// # Errors
    /// [`StoreError::Full`] and [`StoreError::Limit`] leave the store usable; any other error is final.
    fn append(&mut self, body: &[u8]) -> Result<BatchNumber, StoreError>;

    /// Begins a checkpoint that covers every batch appended so far. It is written through the
    /// returned writer, on another thread if you like, while appends go on.
    ///
    /// # Errors
    /// When the file cannot be created.
    fn begin_checkpoint(&mut self) -> Result<Box<dyn CheckpointWriter>, StoreError>;

    /// Takes a finished checkpoint into use: batches that both kept checkpoints cover may go.
    ///
    /// # Errors
    /// When the journal cannot be trimmed.
    fn adopt(&mut self, finished: FinishedCheckpoint) -> Result<(), StoreError>;

    fn size(&self) -> StoreSize;

    /// From now on so many bytes must stay free on the disk. A store without a disk has none.
    fn set_headroom(&mut self, _bytes: u64) {}
}

/// Writes one checkpoint. Dropped unfinished, it leaves nothing that a load would use.
pub trait CheckpointWriter: Send {
    /// # Errors
    /// When it cannot be written.
    fn chunk(&mut self, body: &[u8]) -> Result<(), StoreError>;

    /// Makes the checkpoint durable.
    ///
    /// # Errors
    /// When it cannot be made durable.
    fn finish(self: Box<Self>) -> Result<FinishedCheckpoint, StoreError>;
}

/// A durable checkpoint, not yet in use.
#[derive(Debug)]
pub struct FinishedCheckpoint {
    /// It covers every batch up to this one.
    pub covers: BatchNumber,
    pub bytes: u64,
}
