//! The journal: a redb file with one value per batch.
//!
//! redb gives atomic commits and finds torn ones; that alone is not this store's contract. What
//! is added here, and against what:
//!
//! - *Two-phase commit.* With its default, redb settles for the commit before when the newest
//!   fails its checksum: one flipped byte after a kill, and an acknowledged batch is gone
//!   silently. With two phases a commit that became the newest was whole, so damage is refused.
//! - *Every page is verified at each open*, also after a clean close, where redb would trust it.
//! - *The choice between the two commit slots.* One unprotected bit says which slot of the
//!   file's header is the newest. If it flips, redb with two-phase commit opens the batch before
//!   without a word. So when the other slot claims to be newer, it is tried too, and taken if
//!   everything it refers to is whole. That is also what a kill between the two phases leaves;
//!   the batch was then never acknowledged, and serving it is allowed. Damage to the slot in
//!   use cannot pass as this case: the file must first open as it stands. See [`Slots`].
//! - *Our own chain* ([`super::frame`]): numbers without gaps, each batch tied to the one before
//!   and to the head, counted against the table's own length. It holds whatever redb does, and
//!   is checked on what is handed out, not only on what was read once.
//! - *Nothing is written before all of it is verified* ([`super::quarantine`]).
//!
//! What is not noticed here: an older copy of the whole file, or of the whole directory. Peers
//! notice that, and checkpoints notice a journal that ends before what they cover.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::redb::{
    Database, Error as EngineError, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageBackend,
    Table, TableDefinition,
};

use super::frame::{self, BATCH_HEADER_BYTES, Link};
use super::quarantine::Quarantine;
use super::{BatchNumber, Head, StoreError};

const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");
const BATCHES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("batches");
const HEAD: &str = "head";
const ANCHOR: &str = "anchor";

/// Most batches, and about how many bytes of them, that one append trims. Trimming must be faster
/// than appending, so more than 1; but a commit that trims hundreds would make answers wait.
const TRIM_BATCHES: usize = 8;
const TRIM_BYTES: u64 = 1 << 20;
const PAGE_BYTES: u64 = 4096;
/// At least what a page holds besides its value.
const PAGE_OVERHEAD_BYTES: u64 = 16;
/// Memory for pages. A journal is written once and read once, so there is little to gain here.
const CACHE_BYTES: usize = 32 << 20;

/// Takes the batches of a journal, in order.
pub(super) type Visit<'a> = dyn FnMut(Link, &[u8]) -> Result<(), StoreError> + 'a;

/// An open journal.
pub(super) struct Journal {
    path: PathBuf,
    quarantine: Quarantine,
    /// None only while it is being dropped.
    engine: Option<Database>,
    head: Head,
    /// The last batch that was trimmed.
    anchor: Link,
    last: Link,
    bytes: u64,
}

impl Journal {
    /// Makes a journal in an empty backend, with `genesis` as batch 1. Durable on return.
    pub fn create(
        inner: Arc<dyn StorageBackend>,
        path: &Path,
        head: Head,
        genesis: &[u8],
    ) -> Result<(), StoreError> {
        let failed = |source: EngineError| broken(path, "cannot create the journal", source);
        let quarantine = Quarantine::open(inner);
        let engine = builder().create_with_backend(quarantine.clone()).map_err(|e| failed(e.into()))?;
        let mut journal = Self {
            path: path.into(),
            quarantine,
            engine: Some(engine),
            anchor: frame::root(&head),
            last: frame::root(&head),
            bytes: 0,
            head,
        };
        journal.write_about().map_err(failed)?;
        journal.append(genesis, BatchNumber(0))?;
        journal.close()
    }

    /// Opens a journal and verifies every page of it. Nothing is written to `inner` until
    /// [`release`](Self::release).
    pub fn open(inner: &Arc<dyn StorageBackend>, path: &Path) -> Result<Self, StoreError> {
        let (quarantine, engine) = open_newest(inner, path)?;
        let read = || read_about(&engine, path);
        let (head, anchor, last) = guarded(path, read)?;
        let engine = Some(engine);
        Ok(Self { path: path.into(), quarantine, engine, head, anchor, last, bytes: 0 })
    }

    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The last batch that was trimmed; its number is 0 when none was.
    pub fn anchor(&self) -> Link {
        self.anchor
    }

    /// The newest batch. Its checksum is right only after [`replay`](Self::replay).
    pub fn last(&self) -> Link {
        self.last
    }

    /// Bytes that the batches that are kept take up.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn file_bytes(&self) -> u64 {
        self.quarantine.file_bytes().unwrap_or(0)
    }

    /// Gives every batch that is kept to `visit`, in order, having verified it.
    pub fn replay(&mut self, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let (last, bytes) = guarded(&self.path, || self.read_chain(visit))?;
        (self.last, self.bytes) = (last, bytes);
        Ok(())
    }

    fn read_chain(&self, visit: &mut Visit<'_>) -> Result<(Link, u64), StoreError> {
        let failed = |source: EngineError| unreadable(&self.path, source);
        let transaction = self.engine().begin_read().map_err(|e| failed(e.into()))?;
        let batches = transaction.open_table(BATCHES).map_err(|e| failed(e.into()))?;
        let expected = batches.len().map_err(|e| failed(e.into()))?;
        let (mut link, mut bytes) = (self.anchor, 0);
        for entry in batches.iter().map_err(|e| failed(e.into()))? {
            let (key, value) = entry.map_err(|e| failed(e.into()))?;
            let (next, body) = frame::decode_batch(link, value.value()).map_err(|bad| bad.at(&self.path))?;
            if key.value() != next.number.0 {
                return Err(damaged(
                    &self.path,
                    format!("batch {} is kept as {}", next.number.0, key.value()),
                ));
            }
            visit(next, body)?;
            bytes += taken_up(value.value().len());
            link = next;
        }
        if link.number.0 - self.anchor.number.0 != expected
            || link.number != self.last.number
            || expected == 0
        {
            let what = format!(
                "it should hold {expected} batches up to {} and holds those from {} to {}",
                self.last.number.0,
                self.anchor.number.0 + 1,
                link.number.0
            );
            return Err(damaged(&self.path, what));
        }
        Ok((link, bytes))
    }

    /// Lets writes through to the file, those of the open first.
    pub fn release(&mut self) -> Result<(), StoreError> {
        self.quarantine.release().map_err(|source| StoreError::Io {
            path: self.path.clone(),
            what: "cannot write to the journal",
            source,
        })
    }

    /// Makes one batch durable. Trims a few batches up to `trim_to` in the same commit.
    ///
    /// # Errors
    /// Any error leaves unknown whether the batch is there; the journal must not be used again.
    pub fn append(&mut self, body: &[u8], trim_to: BatchNumber) -> Result<Link, StoreError> {
        self.commit(Some(body), trim_to)?;
        Ok(self.last)
    }

    /// Trims a few batches up to `trim_to`, in a commit of its own.
    pub fn trim(&mut self, trim_to: BatchNumber) -> Result<(), StoreError> {
        self.commit(None, trim_to)
    }

    fn commit(&mut self, body: Option<&[u8]>, trim_to: BatchNumber) -> Result<(), StoreError> {
        // A panic within the engine is a failure like any other: what is on disk is unknown.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.try_commit(body, trim_to)));
        let what = "cannot append to the journal";
        match outcome {
            Ok(Ok(state)) => {
                (self.anchor, self.last, self.bytes) = state;
                Ok(())
            }
            Ok(Err(source)) => Err(broken(&self.path, what, source)),
            Err(_) => Err(StoreError::Io {
                path: self.path.clone(),
                what,
                source: io::Error::other("the engine panicked"),
            }),
        }
    }

    /// Commits and says how anchor, last batch and bytes are then.
    fn try_commit(
        &self,
        body: Option<&[u8]>,
        trim_to: BatchNumber,
    ) -> Result<(Link, Link, u64), EngineError> {
        let mut transaction = self.engine().begin_write()?;
        transaction.set_two_phase_commit(true);
        let (mut last, mut bytes) = (self.last, self.bytes);
        let mut batches = transaction.open_table(BATCHES)?;
        if let Some(body) = body {
            let (link, header) = frame::batch_header(self.last, body);
            let mut value = batches.insert_reserve(link.number.0, header.len() + body.len())?;
            let (front, rest) = value.as_mut().split_at_mut(header.len());
            front.copy_from_slice(&header);
            rest.copy_from_slice(body);
            last = link;
            bytes += taken_up(header.len() + body.len());
        }
        let (anchor, trimmed) = trim(&mut batches, self.anchor, trim_to)?;
        drop(batches);
        if anchor != self.anchor {
            transaction.open_table(ABOUT)?.insert(ANCHOR, &*frame::encode_anchor(anchor))?;
        }
        transaction.commit()?;
        Ok((anchor, last, bytes - trimmed))
    }

    fn write_about(&self) -> Result<(), EngineError> {
        let mut transaction = self.engine().begin_write()?;
        transaction.set_two_phase_commit(true);
        let mut about = transaction.open_table(ABOUT)?;
        about.insert(HEAD, &*frame::encode_head(&self.head))?;
        about.insert(ANCHOR, &*frame::encode_anchor(self.anchor))?;
        drop(about);
        transaction.open_table(BATCHES)?;
        Ok(transaction.commit()?)
    }

    fn engine(&self) -> &Database {
        self.engine.as_ref().expect("it is taken only when the journal is dropped")
    }

    fn close(mut self) -> Result<(), StoreError> {
        let engine = self.engine.take().expect("it is taken only when the journal is dropped");
        engine.close().map_err(|e| broken(&self.path, "cannot close the journal", e.into()))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // The engine writes as it closes. After a failure or a panic of its own, that may panic too.
        let engine = self.engine.take();
        let _ = catch_unwind(AssertUnwindSafe(|| drop(engine)));
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").field("path", &self.path).field("last", &self.last).finish_non_exhaustive()
    }
}

/// Removes a bounded number of batches after `anchor` up to `trim_to`; the new anchor and the
/// bytes that went.
fn trim(
    batches: &mut Table<'_, u64, &[u8]>,
    mut anchor: Link,
    trim_to: BatchNumber,
) -> Result<(Link, u64), EngineError> {
    let mut bytes = 0;
    for _ in 0..TRIM_BATCHES {
        if anchor.number >= trim_to || bytes >= TRIM_BYTES {
            break;
        }
        let number = anchor.number.0 + 1;
        let missing = || EngineError::Corrupted(format!("batch {number} is not there to be trimmed"));
        let removed = batches.remove(number)?.ok_or_else(missing)?;
        let value = removed.value();
        let header = value.first_chunk::<BATCH_HEADER_BYTES>().ok_or_else(missing)?;
        let [.., a, b, c, d] = *header;
        anchor = Link { number: BatchNumber(number), checksum: u32::from_le_bytes([a, b, c, d]) };
        bytes += taken_up(value.len());
    }
    Ok((anchor, bytes))
}

/// Bytes that the engine sets aside for a value: small ones share a page, a larger one has some
/// pages of its own, in number a power of two.
pub(super) fn taken_up(length: usize) -> u64 {
    let length = length as u64;
    if length < PAGE_BYTES / 2 {
        length
    } else {
        (length + PAGE_OVERHEAD_BYTES).next_power_of_two().max(PAGE_BYTES)
    }
}

fn builder() -> ::redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// The two commit slots of a redb file's header, and which of them the file calls the newest.
///
/// This is redb's file format version 3, of which nothing else here knows anything; the format's
/// documents promise it to later releases too.
///
/// ```text
/// 0    magic, 9 bytes
/// 9    flags: 1 the second slot is the newest, 2 not closed cleanly, 4 two-phase commit
/// 64   first slot, 128 bytes, its transaction id at 104, its own checksum at the end
/// 192  second slot
/// ```
///
/// The schedule against which this is: batch 9 is committed to slot A, and acknowledged; batch 10
/// is committed to slot B, and acknowledged; power fails; on the disk, bit 0 of the flags flips.
/// redb opens slot A, which is whole, and batch 10 is gone.
struct Slots {
    flags: u8,
    newest: u64,
    other: u64,
}

const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
const FLAGS_AT: usize = 9;
const SECOND_IS_NEWEST: u8 = 1;
const UNCLEAN: u8 = 2;
const TWO_PHASE: u8 = 4;
const TRANSACTION_AT: [usize; 2] = [64 + 104, 192 + 104];
const SLOTS_END: usize = 320;

impl Slots {
    fn read(inner: &dyn StorageBackend, path: &Path) -> Result<Self, StoreError> {
        let failed = |source| unreadable(path, EngineError::Io(source));
        let mut header = [0; SLOTS_END];
        inner.read(0, &mut header).map_err(failed)?;
        if !header.starts_with(MAGIC) {
            return Err(damaged(path, "it does not begin as a redb file"));
        }
        let flags = header[FLAGS_AT];
        // Every commit here has two phases, so these flags are never otherwise; and without that
        // flag the engine would settle for an older commit.
        if flags & TWO_PHASE == 0 || flags & !(SECOND_IS_NEWEST | UNCLEAN | TWO_PHASE) != 0 {
            return Err(damaged(path, format!("the flags in its header are {flags:#04x}")));
        }
        let transaction = |slot: usize| {
            let id = header[TRANSACTION_AT[slot]..].first_chunk().expect("the header holds both slots");
            u64::from_le_bytes(*id)
        };
        let newest = usize::from(flags & SECOND_IS_NEWEST != 0);
        Ok(Self { flags, newest: transaction(newest), other: transaction(1 - newest) })
    }
}

/// Whether a journal's file was not closed cleanly. False when that cannot be told.
pub(super) fn unclean(inner: &dyn StorageBackend, path: &Path) -> bool {
    Slots::read(inner, path).is_ok_and(|slots| slots.flags & UNCLEAN != 0)
}

fn open_newest(inner: &Arc<dyn StorageBackend>, path: &Path) -> Result<(Quarantine, Database), StoreError> {
    let slots = Slots::read(&**inner, path)?;
    let as_it_stands = open_engine(inner, path, None)?;
    if slots.other <= slots.newest {
        return Ok(as_it_stands);
    }
    match open_engine(inner, path, Some(slots.flags ^ SECOND_IS_NEWEST)) {
        Ok(newest) => {
            tracing::info!(path = %path.display(), "a commit was complete but not yet marked so; it is taken");
            Ok(newest)
        }
        // A commit that was cut short: it was never acknowledged.
        Err(StoreError::Damaged { .. }) => Ok(as_it_stands),
        Err(error) => Err(error),
    }
}

/// Opens the engine over held-back writes and has it verify every page, as if the header's flags
/// were `flags`.
fn open_engine(
    inner: &Arc<dyn StorageBackend>,
    path: &Path,
    flags: Option<u8>,
) -> Result<(Quarantine, Database), StoreError> {
    let failed = |source| unreadable(path, EngineError::Io(source));
    let quarantine = Quarantine::new(inner.clone()).map_err(failed)?;
    if let Some(flags) = flags {
        quarantine.pretend(FLAGS_AT as u64, flags).map_err(failed)?;
    }
    let open = || {
        let opened = builder().set_check_integrity_on_open(true).create_with_backend(quarantine.clone());
        opened.map_err(|e| unreadable(path, e.into()))
    };
    let engine = guarded(path, open)?;
    Ok((quarantine, engine))
}

fn read_about(engine: &Database, path: &Path) -> Result<(Head, Link, Link), StoreError> {
    let failed = |source: EngineError| unreadable(path, source);
    let transaction = engine.begin_read().map_err(|e| failed(e.into()))?;
    let about = transaction.open_table(ABOUT).map_err(|e| failed(e.into()))?;
    let value = |key: &str| match about.get(key) {
        Ok(Some(value)) => Ok(value),
        Ok(None) => Err(damaged(path, format!("its {key} is missing"))),
        Err(source) => Err(failed(source.into())),
    };
    let head = frame::decode_head(value(HEAD)?.value()).map_err(|bad| bad.at(path))?;
    let anchor = frame::decode_anchor(value(ANCHOR)?.value()).map_err(|bad| bad.at(path))?;
    if anchor.number == BatchNumber(0) && anchor != frame::root(&head) {
        return Err(damaged(path, "its first batch would belong to another node"));
    }
    let batches = transaction.open_table(BATCHES).map_err(|e| failed(e.into()))?;
    let last = batches.last().map_err(|e| failed(e.into()))?;
    let number = last.map_or(0, |(key, _)| key.value());
    Ok((head, anchor, Link { number: BatchNumber(number), checksum: 0 }))
}

/// Runs what reads a file that may be damaged. redb says that an open with a check returns an
/// error instead of panicking, but promises nothing for later reads; a panic there means that
/// the file is not what redb wrote.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(damaged(path, "the engine panicked while reading it")))
}

fn damaged(path: &Path, what: impl Into<String>) -> StoreError {
    StoreError::Damaged { path: path.into(), what: what.into() }
}

/// What an engine's error means for reading: the disk failed, or the file is not what was written.
fn unreadable(path: &Path, error: EngineError) -> StoreError {
    match error {
        EngineError::Io(source) if !is_damage(&source) => {
            StoreError::Io { path: path.into(), what: "cannot read the journal", source }
        }
        other => damaged(path, other.to_string()),
    }
}

/// Reading beyond the end, or what is no redb file, is no failure of the disk.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}

fn broken(path: &Path, what: &'static str, error: EngineError) -> StoreError {
    let source = match error {
        EngineError::Io(source) => source,
        other => io::Error::other(other.to_string()),
    };
    StoreError::Io { path: path.into(), what, source }
}
