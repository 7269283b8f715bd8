//! Items' histories: what each batch did to each item, for admins to read.
//!
//! A file of its own beside the journal, made from the journal's batches and never read back
//! into the books. It lags behind the journal by what [`History::flush`] has not written yet, and
//! says with [`History::covered`] where to go on: after a crash the same batches are given
//! again, and those that are known are skipped. Whoever finishes a checkpoint must flush first,
//! because batches that a checkpoint covers are not read again.
//!
//! What is damaged, or belongs to another journal, is set aside and begun anew: a history
//! explains the books, they do not rest on it.
//!
//! ```text
//! about    "covered": last batch taken in; "replica": whose it is
//! blocks   (sku, number of the first entry): up to 256 entries, oldest first
//! counts   sku: entries of all its blocks
//! ```

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ::redb::backends::{FileBackend, InMemoryBackend};
use ::redb::{
    Database, Error as EngineError, ReadableDatabase, ReadableTable, StorageBackend, Table, TableDefinition,
};

use super::directory;
use super::{BatchNumber, StoreError};
use crate::types::{Millis, ReplicaId, Sku, Timestamp};
use crate::wire::history::{Before, Numbered, of_batch};
use crate::wire::{Batch, HistoryEntry, codec};

const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");
const BLOCKS: TableDefinition<'_, (&str, u64), &[u8]> = TableDefinition::new("blocks");
const COUNTS: TableDefinition<'_, &str, u64> = TableDefinition::new("counts");
const COVERED: &str = "covered";
const REPLICA: &str = "replica";

/// Entries of one block.
const BLOCK_ENTRIES: usize = 256;
/// Entries that wait for a flush before the next one is due.
pub const FLUSH_ENTRIES: usize = 16_384;
/// Blocks looked at for their age with each flush, at least, going round and round.
const SWEEP_BLOCKS: usize = 16;
/// Bits of an entry's number that tell it from the others of its batch.
const PLACE_BITS: u32 = 24;
/// Entries that are kept while they cannot be written; beyond, they are given up.
pub const MAX_PENDING: usize = 16 * FLUSH_ENTRIES;
const CACHE_BYTES: usize = 16 << 20;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryOptions {
    pub keep_for: Millis,
    /// The newest entries of each item; a little more is kept, because whole blocks go.
    pub entries_per_item: u64,
}

impl Default for HistoryOptions {
    fn default() -> Self {
        HistoryOptions { keep_for: Millis::from_secs(30 * 86_400), entries_per_item: 10_000 }
    }
}

/// The histories of all items at this node.
pub struct History {
    path: PathBuf,
    replica: ReplicaId,
    /// `None` after an error: the engine takes nothing more, and is opened anew.
    engine: Option<Database>,
    options: HistoryOptions,
    /// The last batch that was added, and the last one that is durable.
    last: BatchNumber,
    covered: BatchNumber,
    pending: BTreeMap<Sku, Vec<Numbered>>,
    pending_entries: usize,
    /// The newest time of any batch: ages are reckoned from it.
    now: Timestamp,
    swept: Option<(String, u64)>,
    /// It could not be written lately.
    failed: bool,
    /// It is in memory, because the file cannot be used.
    stand_in: bool,
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History")
            .field("path", &self.path)
            .field("covered", &self.covered)
            .finish_non_exhaustive()
    }
}

impl History {
    /// Opens the history in `dir`, where a store is open. One that is damaged, is not `replica`'s,
    /// or knows of batches past `last` is renamed and a new one begun. When no file can be used,
    /// the history is kept in memory for now.
    pub fn open(dir: &Path, replica: ReplicaId, last: BatchNumber, options: HistoryOptions) -> History {
        let path = directory::history_path(dir);
        let why = match History::open_file(&path, replica, options) {
            Ok(history) if history.covered <= last => return history,
            Ok(history) => {
                format!("it goes on to batch {}, the journal ends at {}", history.covered.0, last.0)
            }
            // Nothing is wrong with the file itself, as far as can be told.
            Err(error) if !blames_the_file(&error) => {
                return History::stand_in(&failed(&path, error), replica, options);
            }
            Err(error) => error.to_string(),
        };
        let begun = directory::set_aside(&path).and_then(|aside| {
            tracing::warn!(%why, aside = %aside.display(), "beginning a new history of items");
            History::open_file(&path, replica, options).map_err(|error| failed(&path, error))
        });
        begun.unwrap_or_else(|error| History::stand_in(&error, replica, options))
    }

    fn open_file(path: &Path, replica: ReplicaId, options: HistoryOptions) -> Result<History, EngineError> {
        let (engine, covered) = open_engine(path, replica)?;
        Ok(History::new(path, replica, engine, covered, options))
    }

    fn stand_in(error: &StoreError, replica: ReplicaId, options: HistoryOptions) -> History {
        tracing::error!(%error, "items' histories are kept in memory until the next start");
        History { stand_in: true, ..History::in_memory(replica, options) }
    }

    /// A history that ends with the process.
    pub fn in_memory(replica: ReplicaId, options: HistoryOptions) -> History {
        let opened = open_with(InMemoryBackend::new(), replica);
        let (engine, covered) = opened.expect("memory can be written");
        History::new(Path::new("memory"), replica, engine, covered, options)
    }

    fn new(
        path: &Path,
        replica: ReplicaId,
        engine: Database,
        covered: BatchNumber,
        options: HistoryOptions,
    ) -> History {
        History {
            path: path.into(),
            replica,
            engine: Some(engine),
            options,
            last: covered,
            covered,
            pending: BTreeMap::new(),
            pending_entries: 0,
            now: Timestamp::ZERO,
            swept: None,
            failed: false,
            stand_in: false,
        }
    }

    /// The last batch whose entries are durable here.
    pub fn covered(&self) -> BatchNumber {
        self.covered
    }

    /// Takes in what a durable batch did. One that is known already is skipped.
    pub fn add(&mut self, number: BatchNumber, batch: &Batch) {
        if number <= self.last {
            return;
        }
        if number.0 > self.last.0 + 1 && self.last > BatchNumber(0) {
            let (from, to) = (self.last.0 + 1, number.0 - 1);
            tracing::warn!(
                from,
                to,
                "items' histories lack these batches: they could not be written in time"
            );
        }
        self.last = number;
        self.now = self.now.max(batch.time);
        let first = number.0 << PLACE_BITS;
        for (place, (sku, entry)) in (0..1 << PLACE_BITS).zip(of_batch(batch)) {
            self.push(sku, Numbered { number: first | place, entry });
        }
    }

    fn push(&mut self, sku: &Sku, entry: Numbered) {
        let most = usize::try_from(self.options.entries_per_item).unwrap_or(usize::MAX);
        let entries = self.pending.entry(sku.clone()).or_default();
        entries.push(entry);
        self.pending_entries += 1;
        // What a flush would trim at once need not be written first.
        if entries.len() >= most.saturating_mul(2).max(BLOCK_ENTRIES) {
            let surplus = entries.len() - most;
            entries.drain(..surplus);
            self.pending_entries -= surplus;
        }
    }

    /// Whether anything waits for [`flush`](Self::flush).
    pub fn is_pending(&self) -> bool {
        self.last > self.covered
    }

    pub fn file_bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |file| file.len())
    }

    /// It cannot be written at present, or not to disk.
    pub fn is_failing(&self) -> bool {
        self.failed || self.stand_in
    }

    /// Whether so much waits that it should be flushed now.
    pub fn is_full(&self) -> bool {
        self.pending_entries >= FLUSH_ENTRIES
    }

    /// Makes everything added durable, and trims what is too old or too much.
    ///
    /// # Errors
    /// When it cannot be written. What was added is kept for the next flush, as far as it is no
    /// more than [`MAX_PENDING`] entries.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if !self.is_pending() {
            return Ok(());
        }
        let written = guarded(|| self.reopen_and_write());
        self.failed = written.is_err();
        match written {
            Ok(swept) => {
                self.swept = swept;
                self.covered = self.last;
                self.pending.clear();
                self.pending_entries = 0;
                Ok(())
            }
            Err(error) => {
                self.engine = None;
                if self.pending_entries > MAX_PENDING {
                    self.pending.clear();
                    self.pending_entries = 0;
                }
                Err(failed(&self.path, error))
            }
        }
    }

    fn reopen_and_write(&mut self) -> Result<Option<(String, u64)>, EngineError> {
        if self.engine.is_none() {
            let (engine, covered) = open_engine(&self.path, self.replica)?;
            self.engine = Some(engine);
            // The commit that failed may have been the one that got through.
            self.covered = covered;
            for entries in self.pending.values_mut() {
                entries.retain(|told| told.number >> PLACE_BITS > covered.0);
            }
            self.pending.retain(|_, entries| !entries.is_empty());
        }
        self.write()
    }

    fn engine(&self) -> Result<&Database, EngineError> {
        self.engine.as_ref().ok_or(EngineError::PreviousIo)
    }

    fn write(&self) -> Result<Option<(String, u64)>, EngineError> {
        let mut transaction = self.engine()?.begin_write()?;
        // Or the next open after a crash would read the whole file.
        transaction.set_quick_repair(true);
        let mut written = 0;
        let swept = {
            let mut blocks = transaction.open_table(BLOCKS)?;
            let mut counts = transaction.open_table(COUNTS)?;
            for (sku, entries) in &self.pending {
                for block in entries.chunks(BLOCK_ENTRIES) {
                    blocks.insert((sku.as_str(), block[0].number), &*codec::encode(&block))?;
                    written += 1;
                }
                let known = counts.get(sku.as_str())?.map_or(0, |count| count.value());
                let count = self.trim(&mut blocks, sku, known + entries.len() as u64)?;
                counts.insert(sku.as_str(), count)?;
            }
            let covered = self.last.0.to_be_bytes();
            transaction.open_table(ABOUT)?.insert(COVERED, &covered[..])?;
            // Faster than it grows, or the file would outgrow what is kept.
            self.sweep(&mut blocks, &mut counts, SWEEP_BLOCKS.max(2 * written))?
        };
        transaction.commit()?;
        Ok(swept)
    }

    /// Removes an item's oldest blocks while what is left is enough; how many entries are left.
    fn trim(
        &self,
        blocks: &mut Table<'_, (&str, u64), &[u8]>,
        sku: &Sku,
        mut count: u64,
    ) -> Result<u64, EngineError> {
        while count > self.options.entries_per_item {
            let oldest = {
                let mut range = blocks.range((sku.as_str(), 0)..=(sku.as_str(), u64::MAX))?;
                let Some(oldest) = range.next() else { break };
                let (key, value) = oldest?;
                (key.value().1, decoded(value.value()).len() as u64)
            };
            if count - oldest.1.min(count) < self.options.entries_per_item {
                break;
            }
            blocks.remove((sku.as_str(), oldest.0))?;
            count -= oldest.1;
        }
        Ok(count)
    }

    /// Removes what is too old among the next few blocks; where to go on.
    fn sweep(
        &self,
        blocks: &mut Table<'_, (&str, u64), &[u8]>,
        counts: &mut Table<'_, &str, u64>,
        most: usize,
    ) -> Result<Option<(String, u64)>, EngineError> {
        let from = self.swept.clone().unwrap_or_default();
        let mut looked_at = Vec::new();
        for block in blocks.range((from.0.as_str(), from.1)..)?.take(most) {
            let (key, value) = block?;
            let (sku, number) = key.value();
            let entries = decoded(value.value());
            let is_old = entries.last().is_none_or(|newest| self.is_old(&newest.entry));
            looked_at.push((sku.to_owned(), number, entries.len() as u64, is_old));
        }
        for (sku, number, entries, _) in looked_at.iter().filter(|(.., is_old)| *is_old) {
            blocks.remove((sku.as_str(), *number))?;
            let left = counts.get(sku.as_str())?.map_or(0, |count| count.value()).saturating_sub(*entries);
            if left == 0 {
                counts.remove(sku.as_str())?;
            } else {
                counts.insert(sku.as_str(), left)?;
            }
        }
        let is_round = looked_at.len() < most;
        Ok(looked_at.pop().filter(|_| !is_round).map(|(sku, number, ..)| (sku, number + 1)))
    }

    fn is_old(&self, entry: &HistoryEntry) -> bool {
        self.now.since(entry.time) > self.options.keep_for
    }

    /// An item's newest entries that `before` admits, newest first, at most `limit`; and whether
    /// there are older ones.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self, sku: &Sku, before: Before, limit: usize) -> Result<(Vec<Numbered>, bool), StoreError> {
        let mut found = Vec::new();
        let wanted = |told: &&Numbered| before.admits(told) && !self.is_old(&told.entry);
        let pending = self.pending.get(sku).map(Vec::as_slice).unwrap_or_default();
        found.extend(pending.iter().rev().filter(wanted).take(limit + 1).cloned());
        if found.len() <= limit {
            let read = guarded(|| self.read_blocks(sku, &mut found, before, wanted, limit));
            read.map_err(|e| failed(&self.path, e))?;
        }
        let more = found.len() > limit;
        found.truncate(limit);
        Ok((found, more))
    }

    fn read_blocks(
        &self,
        sku: &Sku,
        found: &mut Vec<Numbered>,
        before: Before,
        wanted: impl Fn(&&Numbered) -> bool,
        limit: usize,
    ) -> Result<(), EngineError> {
        let transaction = self.engine()?.begin_read()?;
        let blocks = transaction.open_table(BLOCKS)?;
        // A block is kept under its first entry's number.
        let end = match before {
            Before::Number(number) => number,
            Before::End | Before::Time(_) => u64::MAX,
        };
        for block in blocks.range((sku.as_str(), 0)..(sku.as_str(), end))?.rev() {
            let (_, value) = block?;
            let entries = decoded(value.value());
            found.extend(entries.iter().rev().filter(&wanted).take(limit + 1 - found.len()).cloned());
            if found.len() > limit {
                break;
            }
        }
        Ok(())
    }
}

/// Makes the tables, checks whose they are, and says what they cover.
fn prepare(engine: &Database, replica: ReplicaId) -> Result<BatchNumber, EngineError> {
    let transaction = engine.begin_write()?;
    let covered = {
        let mut about = transaction.open_table(ABOUT)?;
        let owner = about.get(REPLICA)?.map(|value| value.value().to_vec());
        match owner {
            None => {
                about.insert(REPLICA, &replica.0.as_bytes()[..])?;
            }
            Some(owner) if owner == replica.0.as_bytes() => {}
            Some(_) => return Err(EngineError::Corrupted("it is of another replica".into())),
        }
        transaction.open_table(BLOCKS)?;
        transaction.open_table(COUNTS)?;
        let covered = about.get(COVERED)?.and_then(|value| value.value().try_into().ok());
        BatchNumber(covered.map_or(0, u64::from_be_bytes))
    };
    transaction.commit()?;
    Ok(covered)
}

/// A block's entries; none of one that makes no sense, which is then trimmed as an old one.
fn decoded(block: &[u8]) -> Vec<Numbered> {
    codec::decode(block).unwrap_or_else(|error| {
        tracing::warn!(%error, "a block of an item's history cannot be read");
        Vec::new()
    })
}

/// The file is damaged or of something else: not an error of the system on the way to it.
fn blames_the_file(error: &EngineError) -> bool {
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    match error {
        EngineError::Io(error) => matches!(error.kind(), InvalidData | UnexpectedEof),
        EngineError::PreviousIo => false,
        _ => true,
    }
}

fn open_engine(path: &Path, replica: ReplicaId) -> Result<(Database, BatchNumber), EngineError> {
    let file = directory::new_file().create(true).truncate(false).open(path).map_err(EngineError::Io)?;
    open_with(FileBackend::new(file).map_err(EngineError::from)?, replica)
}

fn open_with(
    backend: impl StorageBackend,
    replica: ReplicaId,
) -> Result<(Database, BatchNumber), EngineError> {
    guarded(|| {
        let mut builder = Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let engine = builder.create_with_backend(backend)?;
        let covered = prepare(&engine, replica)?;
        Ok((engine, covered))
    })
}

/// A panic within the engine is an error like any other.
fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    outcome.unwrap_or_else(|_| Err(EngineError::Corrupted("the engine panicked".into())))
}

fn failed(path: &Path, source: EngineError) -> StoreError {
    let source = std::io::Error::other(source);
    StoreError::Io { path: path.into(), what: "the history of items", source }
}

#[cfg(test)]
mod tests;
