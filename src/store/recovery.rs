//! Reads a store back: which checkpoint to begin from, and whether the rest fits it.
//!
//! The newest whole checkpoint is taken. If the newest is damaged, the older one with the
//! journal's batches after it says the same, since a batch is trimmed only when both cover it.
//! If no checkpoint is whole, the journal alone must reach back to the first batch. Whatever is
//! missing beyond that was acknowledged, and the load is refused.

use std::path::{Path, PathBuf};

use super::checkpoint::{self, Header};
use super::directory::{self, CheckpointFile};
use super::frame::Link;
use super::journal::Journal;
use super::{Loaded, StoreError};

/// What a load found.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// At most two whole checkpoints, oldest first. The older one is taken on trust when the
    /// newest is whole.
    pub kept: Vec<CheckpointFile>,
    /// Bytes of batches after the newest of them.
    pub replayed: u64,
}

/// Takes what a load reads, in order.
pub(super) type Sink<'a> = dyn FnMut(Loaded<'_>) -> Result<(), String> + 'a;

/// Gives the newest whole checkpoint and all batches after it to `sink`, verified.
pub(super) fn read_back(
    dir: &Path,
    journal: &mut Journal,
    sink: &mut Sink<'_>,
) -> Result<Recovered, StoreError> {
    let files = directory::checkpoints(dir)?;
    let journal_path = directory::journal_path(dir);
    let begins = journal.anchor();
    let (base, kept) = choose(dir, journal, &files)?;
    if let Some((path, header)) = &base {
        checkpoint::read(path, &mut |chunk| accepted(path, sink(Loaded::Chunk(chunk))))?;
        if begins.number == header.covers.number {
            same_batch(path, header.covers, begins)?;
        }
    }
    let mut replayed = 0;
    journal.replay(&mut |link, body| {
        if let Some((path, header)) = &base {
            if link.number == header.covers.number {
                same_batch(path, header.covers, link)?;
            }
            if link.number <= header.covers.number {
                return Ok(());
            }
        }
        replayed += body.len() as u64;
        accepted(&journal_path, sink(Loaded::Batch(link.number, body)))
    })?;
    Ok(Recovered { kept, replayed })
}

type Base = Option<(PathBuf, Header)>;

fn choose(
    dir: &Path,
    journal: &Journal,
    files: &[CheckpointFile],
) -> Result<(Base, Vec<CheckpointFile>), StoreError> {
    let (begins, ends) = (journal.anchor().number, journal.last().number);
    // Checkpoints are begun when what they cover is durable in the journal.
    if let Some(newest) = files.last().filter(|file| file.covers > ends) {
        let what = format!("it ends at batch {}, but a checkpoint covers up to {}", ends.0, newest.covers.0);
        return Err(StoreError::Damaged { path: directory::journal_path(dir), what });
    }
    let mut refused = None;
    for (place, file) in files.iter().enumerate().rev() {
        if file.covers < begins {
            break;
        }
        let path = directory::checkpoint_path(dir, file.covers);
        match whole(&path, file, journal) {
            Ok(header) => {
                let kept = files[place.saturating_sub(1)..=place].to_vec();
                return Ok((Some((path, header)), kept));
            }
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::warn!(%error, "a checkpoint is damaged; trying the one before and the journal");
                refused.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    match refused {
        _ if begins.0 == 0 => Ok((None, Vec::new())),
        Some(error) => Err(error),
        None => {
            let what = format!(
                "it begins after batch {}, and the checkpoint that covers what came before is missing",
                begins.0
            );
            Err(StoreError::Damaged { path: directory::journal_path(dir), what })
        }
    }
}

/// The header of a checkpoint, all of which was verified and is this journal's.
fn whole(path: &Path, file: &CheckpointFile, journal: &Journal) -> Result<Header, StoreError> {
    let header = checkpoint::read(path, &mut |_| Ok(()))?;
    let what = if header.head != *journal.head() {
        format!("it belongs to node {} (replica {})", header.head.node, header.head.replica)
    } else if header.covers.number != file.covers {
        format!("its name is that of another checkpoint; it covers up to batch {}", header.covers.number.0)
    } else {
        return Ok(header);
    };
    Err(StoreError::Damaged { path: path.into(), what })
}

fn same_batch(path: &Path, covered: Link, stored: Link) -> Result<(), StoreError> {
    if covered == stored {
        return Ok(());
    }
    let what = format!("batch {} is not the one that this checkpoint covers", stored.number.0);
    Err(StoreError::Damaged { path: path.into(), what })
}

fn accepted(path: &Path, outcome: Result<(), String>) -> Result<(), StoreError> {
    outcome.map_err(|what| StoreError::Damaged { path: path.into(), what })
}
