//! Checks a stopped node's data without changing it.
//!
//! Everything a start would check, and more: every checkpoint that is there, also those that a
//! start would not read. What it reads goes to the caller, who can decode and apply it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint;
use super::directory::{self, Lock, io_at};
use super::journal::Journal;
use super::recovery;
use super::redb::{backend, present_journal};
use super::{BatchNumber, Head, Loaded, StoreError};

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyReport {
    pub head: Head,
    /// Batches that the journal holds.
    pub batches: u64,
    pub first: BatchNumber,
    pub last: BatchNumber,
    /// Bytes of the journal's file.
    pub journal_bytes: u64,
    /// Oldest first.
    pub checkpoints: Vec<CheckpointReport>,
}

impl VerifyReport {
    /// Whether nothing at all is wrong. A start succeeds also with a damaged checkpoint that the
    /// other one and the journal make up for.
    pub fn is_flawless(&self) -> bool {
        self.checkpoints.iter().all(|checkpoint| checkpoint.damage.is_none())
    }
}

/// One checkpoint's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointReport {
    pub path: PathBuf,
    pub covers: BatchNumber,
    pub bytes: u64,
    pub chunks: u64,
    /// What is wrong with it, if anything.
    pub damage: Option<String>,
}

/// Checks the store in `dir`, giving what a start would load to `sink`, in order. Changes nothing.
///
/// # Errors
/// [`StoreError::Locked`] when a node is running there; otherwise as opening and loading, so
/// [`StoreError::Damaged`] when anything acknowledged is missing or altered.
pub fn verify(
    dir: &Path,
    sink: &mut dyn FnMut(Loaded<'_>) -> Result<(), String>,
) -> Result<VerifyReport, StoreError> {
    let path = present_journal(dir)?;
    let _lock = Lock::reading(dir)?;
    let file = std::fs::File::open(&path).map_err(io_at(&path, "cannot open"))?;
    let backend: Arc<dyn ::redb::StorageBackend> = Arc::new(backend(file, &path)?);
    // Never released: what the engine writes as it opens stays in memory.
    let mut journal = Journal::open(&backend, &path)?;
    recovery::read_back(dir, &mut journal, sink)?;
    let (anchor, last) = (journal.anchor().number, journal.last().number);
    Ok(VerifyReport {
        head: journal.head().clone(),
        batches: last.0 - anchor.0,
        first: BatchNumber(anchor.0 + 1),
        last,
        journal_bytes: journal.file_bytes(),
        checkpoints: reports(dir, journal.head())?,
    })
}

fn reports(dir: &Path, head: &Head) -> Result<Vec<CheckpointReport>, StoreError> {
    let mut reports = Vec::new();
    for file in directory::checkpoints(dir)? {
        let path = directory::checkpoint_path(dir, file.covers);
        let mut chunks = 0;
        let outcome = checkpoint::read(&path, &mut |_| {
            chunks += 1;
            Ok(())
        });
        let damage = match outcome {
            Ok(header) if header.head != *head => Some(format!("it belongs to node {}", header.head.node)),
            Ok(header) if header.covers.number != file.covers => Some("its name is another's".into()),
            Ok(_) => None,
            Err(StoreError::Damaged { what, .. }) => Some(what),
            Err(error) => return Err(error),
        };
        reports.push(CheckpointReport { path, covers: file.covers, bytes: file.bytes, chunks, damage });
    }
    Ok(reports)
}
