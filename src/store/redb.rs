//! The store on this machine's disk.
//!
//! Puts together the journal ([`super::journal`]), checkpoints ([`super::checkpoint`]), the
//! directory's lock ([`super::directory`]) and the checks of a load ([`super::recovery`]) under
//! the contract of [`super::Store`].
//!
//! A batch goes from the journal once both kept checkpoints cover it: not when a checkpoint is
//! adopted, but a few with each append that follows, so that no commit takes noticeably longer.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ::redb::StorageBackend;
use ::redb::backends::FileBackend;

use super::ahead::Ahead;
use super::checkpoint::{Header, Task, WholeFiles, Writer};
use super::directory::{self, CheckpointFile, Lock, io_at};
use super::journal::{self, Journal, taken_up};
use super::recovery;
use super::space::{FreeSpace, Headroom};
use super::{
    BatchNumber, CheckpointWriter, FinishedCheckpoint, Head, Loaded, MAX_BODY_BYTES, Store, StoreError,
    StoreSize,
};

/// Checkpoints begun and not yet adopted of which it is remembered how much they leave to replay.
/// One at a time is usual; of more, the oldest are forgotten and count as leaving everything.
const MAX_MARKS: usize = 8;

/// How much disk a store may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    /// Bytes that must stay free on the disk, at least: appends and checkpoints are refused
    /// below. It lets an operator look, and the file system work.
    pub headroom_bytes: u64,
    /// Bytes that the journal's batches may take up, at most: opening and replaying a large one
    /// takes seconds. Batches stay until two checkpoints cover them, so begin a checkpoint at a
    /// quarter of this. A batch takes up to twice its length, and the file grows by doubling.
    pub journal_limit_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { headroom_bytes: 64 << 20, journal_limit_bytes: 512 << 20 }
    }
}

/// The first error, after which nothing more is acknowledged. A store and its checkpoint
/// writers share one.
#[derive(Debug, Default)]
pub(super) struct Failure(Mutex<Option<String>>);

impl Failure {
    pub fn check(&self) -> Result<(), StoreError> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(first) => Err(StoreError::Failed(first.clone())),
        }
    }

    /// Remembers `error` if it is the first and no mere refusal.
    pub fn note(&self, error: &StoreError) {
        if !matches!(error, StoreError::Full { .. } | StoreError::Limit { .. } | StoreError::Failed(_)) {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| error.to_string());
        }
    }
}

/// A [`Store`] in a directory.
#[derive(Debug)]
pub struct RedbStore {
    dir: PathBuf,
    options: StoreOptions,
    journal: Journal,
    loaded: bool,
    /// The checkpoints in use, oldest first; those on the disk may be newer already.
    kept: Vec<CheckpointFile>,
    whole: WholeFiles,
    /// Bytes of all batches since the load's checkpoint, and what that number was at the newest
    /// checkpoint in use and at each begun since.
    bytes_total: u64,
    bytes_covered: u64,
    marks: BTreeMap<BatchNumber, u64>,
    attempts: u64,
    headroom: Headroom,
    free: FreeSpace,
    failure: Arc<Failure>,
    /// Last, so that it is let go when everything else is closed.
    _lock: Lock,
}

impl RedbStore {
    /// Prepares `dir` for a node, with `genesis` as batch 1. Durable on return. An interrupted
    /// call leaves nothing that a later one would mistake for a journal.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is a journal already, [`StoreError::Locked`] when another
    /// process is at work there, [`StoreError::Io`] when it cannot be written.
    pub fn create(dir: &Path, head: Head, genesis: &[u8]) -> Result<(), StoreError> {
        directory::make(dir)?;
        let _lock = Lock::exclusive(dir)?;
        let path = directory::journal_path(dir);
        if path.exists() || !directory::checkpoints(dir)?.is_empty() {
            return Err(StoreError::Exists { path: dir.into() });
        }
        let unfinished = directory::unfinished(&path);
        let file = directory::new_file().create(true).truncate(true).open(&unfinished);
        let file = file.map_err(io_at(&unfinished, "cannot create"))?;
        Journal::create(Arc::new(backend(file, &unfinished)?), &unfinished, head, genesis)?;
        fs::rename(&unfinished, &path).map_err(io_at(&unfinished, "cannot rename"))?;
        directory::sync(dir)
    }

    /// Opens what was created in `dir` and verifies it, but for the chain of batches, which
    /// [`load`](Store::load) verifies as it reads. Nothing in `dir` changes before that succeeds.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::Locked`], [`StoreError::Format`],
    /// [`StoreError::Damaged`] or [`StoreError::Io`].
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let path = present_journal(dir)?;
        let lock = Lock::exclusive(dir)?;
        for open in directory::close_to_others(dir)? {
            tracing::warn!(path = %open.display(), "others may read this, and it cannot be closed to them; \
                chmod it to 0700 (a directory) or 0600 (a file) as its owner");
        }
        let file = directory::new_file().open(&path).map_err(io_at(&path, "cannot open"))?;
        let twin = file.try_clone().map_err(io_at(&path, "cannot open"))?;
        let backend = backend(file, &path)?;
        if journal::unclean(&backend, &path) {
            directory::reread_from_disk(&twin).map_err(io_at(&path, "cannot sync"))?;
        }
        Self::assemble(dir, options, lock, Arc::new(backend), FreeSpace::of(dir))
    }

    /// Opens the journal in `backend`, whatever that is, with checkpoints in `dir`.
    pub(super) fn assemble(
        dir: &Path,
        options: StoreOptions,
        lock: Lock,
        backend: Arc<dyn StorageBackend>,
        free: FreeSpace,
    ) -> Result<Self, StoreError> {
        let journal = Journal::open(&backend, &directory::journal_path(dir))?;
        Ok(Self {
            dir: dir.into(),
            options,
            journal,
            loaded: false,
            kept: Vec::new(),
            whole: WholeFiles::default(),
            bytes_total: 0,
            bytes_covered: 0,
            marks: BTreeMap::new(),
            attempts: 0,
            headroom: Headroom::new(dir, options.headroom_bytes, free.clone()),
            free,
            failure: Arc::default(),
            _lock: lock,
        })
    }

    /// Batches up to this one may be trimmed.
    fn trim_to(&self) -> BatchNumber {
        match &*self.kept {
            [older, _newest] => older.covers,
            _ => BatchNumber(0),
        }
    }

    /// Keeps the journal within its limit. At the limit, batches go that only the newest
    /// checkpoint covers: otherwise a node that reached it with one checkpoint could never append
    /// again, nor take a second one that covers more. Until the next checkpoint, damage to the
    /// newest is then refused instead of made up for. One batch always stays, as the load expects.
    fn make_room(&mut self, length: usize) -> Result<(), StoreError> {
        let limit = self.options.journal_limit_bytes;
        let stays = self.kept.last().map_or(0, |newest| newest.covers.0.saturating_sub(1));
        let over = |journal: &Journal| journal.bytes().saturating_add(taken_up(length)) > limit;
        while over(&self.journal) && self.journal.anchor().number.0 < stays {
            self.journal.trim(BatchNumber(stays))?;
        }
        if over(&self.journal) {
            let bytes = self.journal.bytes();
            return Err(StoreError::Limit { path: directory::journal_path(&self.dir), bytes, limit });
        }
        Ok(())
    }

    fn usable(&self) -> Result<(), StoreError> {
        if self.loaded { self.failure.check() } else { Err(StoreError::Failed("it was never loaded".into())) }
    }

    fn watched<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        outcome.inspect_err(|error| self.failure.note(error))
    }

    fn try_append(&mut self, body: &[u8]) -> Result<BatchNumber, StoreError> {
        let length = body.len() as u64;
        if body.len() > MAX_BODY_BYTES {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "the batch is longer than 64 MiB");
            return Err(io_at(&self.dir, "cannot append")(source));
        }
        self.headroom.admit(length)?;
        self.make_room(body.len())?;
        let link = self.journal.append(body, self.trim_to())?;
        self.bytes_total += length;
        Ok(link.number)
    }
}

impl Store for RedbStore {
    fn head(&self) -> &Head {
        self.journal.head()
    }

    fn load(&mut self, sink: &mut dyn FnMut(Loaded<'_>) -> Result<(), String>) -> Result<(), StoreError> {
        self.failure.check()?;
        let recovered = recovery::read_back(&self.dir, &mut self.journal, sink)?;
        // From here on things are written. A crash of the kernel must not undo a rename that the
        // load has just relied upon.
        self.journal.release()?;
        directory::remove_unfinished(&self.dir)?;
        directory::sync(&self.dir)?;
        *self.whole.lock() = recovered.kept.clone();
        self.kept = recovered.kept;
        (self.bytes_total, self.bytes_covered) = (recovered.replayed, 0);
        self.loaded = true;
        Ok(())
    }

    fn append(&mut self, body: &[u8]) -> Result<BatchNumber, StoreError> {
        self.usable()?;
        let outcome = self.try_append(body);
        self.watched(outcome)
    }

    fn begin_checkpoint(&mut self) -> Result<Box<dyn CheckpointWriter>, StoreError> {
        self.usable()?;
        let covers = self.journal.last();
        self.attempts += 1;
        let begun = Writer::begin(Task {
            dir: self.dir.clone(),
            header: Header { head: self.head().clone(), covers },
            attempt: self.attempts,
            whole: self.whole.clone(),
            needed: self.options.headroom_bytes,
            free: self.free.clone(),
            failure: self.failure.clone(),
        });
        let writer = self.watched(begun)?;
        self.marks.insert(covers.number, self.bytes_total);
        if self.marks.len() > MAX_MARKS {
            self.marks.pop_first();
        }
        Ok(Box::new(writer))
    }

    fn adopt(&mut self, finished: FinishedCheckpoint) -> Result<(), StoreError> {
        self.usable()?;
        self.kept = self.whole.lock().clone();
        let covers = self.kept.last().map_or(finished.covers, |newest| newest.covers);
        self.bytes_covered = self.marks.get(&covers).copied().unwrap_or(self.bytes_covered);
        self.marks.retain(|begun, _| *begun > covers);
        Ok(())
    }

    fn set_headroom(&mut self, bytes: u64) {
        self.options.headroom_bytes = bytes;
        self.headroom.set_needed(bytes);
    }

    fn size(&self) -> StoreSize {
        StoreSize {
            journal_bytes: self.journal.file_bytes(),
            checkpoint_bytes: self.kept.iter().map(|kept| kept.bytes).sum(),
            replay_bytes: self.bytes_total - self.bytes_covered,
            last: self.journal.last().number,
            checkpointed: self.kept.last().map_or(BatchNumber(0), |newest| newest.covers),
        }
    }
}

/// The journal's path in `dir`, if there is one.
pub(super) fn present_journal(dir: &Path) -> Result<PathBuf, StoreError> {
    let path = directory::journal_path(dir);
    if path.exists() {
        return Ok(path);
    }
    if dir.is_dir() && !directory::checkpoints(dir)?.is_empty() {
        return Err(StoreError::Damaged {
            path: dir.into(),
            what: "the journal is gone, checkpoints are there".into(),
        });
    }
    Err(StoreError::Missing { path: dir.into() })
}

pub(super) fn backend(file: File, path: &Path) -> Result<Ahead<FileBackend>, StoreError> {
    let opened = FileBackend::new(file);
    opened.map(Ahead::new).map_err(|e| io_at(path, "cannot open")(io::Error::other(e.to_string())))
}
