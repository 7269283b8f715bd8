//! The store over a disk that fails: errors at any call, no space at any byte, power loss at any
//! moment, with writes that were not synced lost or torn.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ::redb::StorageBackend;
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::ahead::Ahead;
use super::conformance::{Found, Place, checkpoint, conforms, head, load};
use super::directory::{self, Lock};
use super::journal::Journal;
use super::space::FreeSpace;
use super::{Head, RedbStore, Store, StoreError, StoreOptions};

const PAGE: usize = 4096;

/// A disk in memory that knows what was synced, and fails when told to.
#[derive(Debug, Default)]
pub(super) struct FaultyDisk(Mutex<Platter>);

#[derive(Debug, Default)]
struct Platter {
    /// What a process sees, and what power loss leaves.
    seen: Vec<u8>,
    synced: Vec<u8>,
    /// Pages written since the last sync, each as it was after each write.
    unsynced: Vec<(usize, Vec<u8>)>,
    faults: Faults,
    /// The power is off: nothing reaches the platter.
    off: bool,
}

/// When to fail. Counted down; all that follows fails too, as on a disk that has gone.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    writes_left: Option<u64>,
    syncs_left: Option<u64>,
    bytes_left: Option<u64>,
    calls_left: Option<u64>,
}

fn spent(left: &mut Option<u64>, cost: u64) -> bool {
    match left {
        Some(left) if *left < cost => true,
        Some(left) => {
            *left -= cost;
            false
        }
        None => false,
    }
}

impl FaultyDisk {
    fn platter(&self) -> std::sync::MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn arm(&self, faults: Faults) {
        self.platter().faults = faults;
    }

    fn is_dead(&self) -> bool {
        let faults = self.platter().faults;
        [faults.writes_left, faults.syncs_left, faults.calls_left].contains(&Some(0))
            || faults.bytes_left.is_some_and(|left| left < 4096)
    }

    /// What is on the disk after power failed just now: all that was synced, and of the rest each
    /// page as it was at some moment since.
    fn after_power_loss(&self, random: &mut impl Rng) -> Arc<Self> {
        let platter = self.platter();
        let mut image = platter.synced.clone();
        if random.random_bool(0.5) {
            image.resize(platter.seen.len(), 0);
        }
        for (page, content) in &platter.unsynced {
            let start = page * PAGE;
            if random.random_bool(0.5) && start + content.len() <= image.len() {
                image[start..start + content.len()].copy_from_slice(content);
            }
        }
        Self::with(image)
    }

    /// What a process that was killed leaves: all it wrote.
    pub fn after_kill(&self) -> Arc<Self> {
        Self::with(self.platter().seen.clone())
    }

    pub fn with(image: Vec<u8>) -> Arc<Self> {
        let platter = Platter { seen: image.clone(), synced: image, ..Platter::default() };
        Arc::new(Self(Mutex::new(platter)))
    }

    pub fn image(&self) -> Vec<u8> {
        self.platter().seen.clone()
    }
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl StorageBackend for FaultyDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platter().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.platter();
        let offset = usize::try_from(offset).unwrap();
        let source = platter.seen.get(offset..offset + out.len());
        out.copy_from_slice(source.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut platter = self.platter();
        if spent(&mut platter.faults.calls_left, 1) || platter.off {
            return Err(eio());
        }
        platter.seen.resize(usize::try_from(length).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.platter();
        if spent(&mut platter.faults.syncs_left, 1) || spent(&mut platter.faults.calls_left, 1) || platter.off
        {
            return Err(eio());
        }
        platter.synced = platter.seen.clone();
        platter.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut platter = self.platter();
        let offset = usize::try_from(offset).unwrap();
        if spent(&mut platter.faults.writes_left, 1)
            || spent(&mut platter.faults.calls_left, 1)
            || platter.off
        {
            return Err(eio());
        }
        if spent(&mut platter.faults.bytes_left, bytes.len() as u64) {
            // A full disk takes what fits.
            let fits = usize::try_from(platter.faults.bytes_left.unwrap()).unwrap();
            platter.seen[offset..offset + fits].copy_from_slice(&bytes[..fits]);
            platter.faults.bytes_left = Some(0);
            return Err(io::Error::from_raw_os_error(28));
        }
        platter.seen[offset..offset + bytes.len()].copy_from_slice(bytes);
        for page in offset / PAGE..(offset + bytes.len()).div_ceil(PAGE) {
            let end = platter.seen.len().min((page + 1) * PAGE);
            let content = platter.seen[page * PAGE..end].to_vec();
            platter.unsynced.push((page, content));
        }
        Ok(())
    }
}

/// A disk as the store has it, with zeros written ahead; the test keeps the disk itself.
#[derive(Debug)]
struct Lent(Arc<FaultyDisk>);

impl StorageBackend for Lent {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write(offset, bytes)
    }
}

fn ahead(disk: &Arc<FaultyDisk>) -> Arc<dyn StorageBackend> {
    Arc::new(Ahead::new(Lent(disk.clone())))
}

/// Wraps a faulty disk as a place, with the directory for lock and checkpoints.
struct FaultyPlace {
    dir: tempfile::TempDir,
    disk: Mutex<Option<Arc<FaultyDisk>>>,
    full: Arc<AtomicBool>,
}

impl FaultyPlace {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), disk: Mutex::default(), full: Arc::default() }
    }
}

impl Place for FaultyPlace {
    fn create(&self, head: Head, genesis: &[u8]) -> Result<(), StoreError> {
        let mut disk = self.disk.lock().unwrap();
        if disk.is_some() {
            return Err(StoreError::Exists { path: PathBuf::new() });
        }
        let new = Arc::new(FaultyDisk::default());
        Journal::create(ahead(&new), self.dir.path(), head, genesis)?;
        *disk = Some(new);
        Ok(())
    }

    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        let mut disk = self.disk.lock().unwrap();
        let missing = || StoreError::Missing { path: PathBuf::new() };
        let opened = disk.as_ref().ok_or_else(missing)?.clone();
        let lock = Lock::exclusive(self.dir.path())?;
        opened.arm(Faults::default());
        *disk = Some(opened.clone());
        let full = self.full.clone();
        let free = FreeSpace::new(move || Ok(if full.load(Ordering::Relaxed) { 0 } else { u64::MAX }));
        let store =
            RedbStore::assemble(self.dir.path(), StoreOptions::default(), lock, ahead(&opened), free)?;
        Ok(Box::new(store))
    }

    fn break_disk(&self) {
        let disk = self.disk.lock().unwrap();
        disk.as_ref().unwrap().arm(Faults { calls_left: Some(0), ..Faults::default() });
    }

    fn set_full(&self, full: bool) {
        self.full.store(full, Ordering::Relaxed);
    }
}

#[test]
fn the_embedded_store_conforms() {
    conforms(FaultyPlace::new);
}

fn new_disk() -> Arc<FaultyDisk> {
    let disk = Arc::new(FaultyDisk::default());
    Journal::create(ahead(&disk), &PathBuf::from("faulty"), head("eu-1"), b"genesis").unwrap();
    disk
}

pub(super) fn open_on(disk: Arc<FaultyDisk>, dir: &std::path::Path) -> Result<RedbStore, StoreError> {
    let lock = Lock::exclusive(dir)?;
    RedbStore::assemble(dir, StoreOptions::default(), lock, ahead(&disk), FreeSpace::new(|| Ok(u64::MAX)))
}

fn body(number: u64) -> Vec<u8> {
    let length = [3, 300, 5_000, 0, 40_000][usize::try_from(number % 5).unwrap()];
    (0..length).map(|i| (i as u64 ^ number) as u8).collect()
}

/// Appends until an error; how many batches were acknowledged.
fn append_until_it_fails(store: &mut dyn Store, most: u64) -> u64 {
    let mut acknowledged = store.size().last.0;
    while acknowledged < most {
        match store.append(&body(acknowledged + 1)) {
            Ok(number) => acknowledged = number.0,
            Err(error) => {
                assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
                assert!(matches!(store.append(b"x"), Err(StoreError::Failed(_))));
                break;
            }
        }
    }
    acknowledged
}

/// `found` must hold exactly the batches up to `acknowledged`, or one more: the one that failed.
fn assert_holds(found: &Found, acknowledged: u64, context: &str) {
    let count = found.batches.len() as u64;
    assert!(
        count == acknowledged || count == acknowledged + 1,
        "{context}: {count} batches of {acknowledged} acknowledged"
    );
    for (place, (number, content)) in found.batches.iter().enumerate() {
        assert_eq!(*number, place as u64 + 1, "{context}");
        let expected = if *number == 1 { b"genesis".to_vec() } else { body(*number) };
        assert!(*content == expected, "{context}: batch {number} is altered");
    }
}

const BATCHES: u64 = 14;

fn survives(faults: Faults, context: &str) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let disk = new_disk();
    let mut store = open_on(disk.clone(), dir.path()).unwrap();
    load(&mut store).unwrap();
    disk.arm(faults);
    let acknowledged = append_until_it_fails(&mut store, BATCHES);
    drop(store);
    let failed = disk.is_dead();
    let mut random = ChaCha8Rng::seed_from_u64(acknowledged);
    for (image, what) in [(disk.after_kill(), "kill"), (disk.after_power_loss(&mut random), "power")] {
        let context = format!("{context}, {what}");
        let mut store = open_on(image, dir.path()).unwrap_or_else(|e| panic!("{context}: {e}"));
        assert_holds(&load(&mut store).unwrap(), acknowledged, &context);
        // And it goes on from there.
        let next = store.size().last.0 + 1;
        assert_eq!(store.append(&body(next)).unwrap().0, next);
    }
    failed
}

#[test]
fn after_an_error_at_any_write_or_sync_the_acknowledged_batches_are_there() {
    for (name, faults) in [
        ("write", (|n| Faults { writes_left: Some(n), ..Faults::default() }) as fn(u64) -> Faults),
        ("sync", |n| Faults { syncs_left: Some(n), ..Faults::default() }),
        ("call", |n| Faults { calls_left: Some(n), ..Faults::default() }),
    ] {
        let mut count = 0;
        while survives(faults(count), &format!("{name} {count}")) {
            count += 1;
        }
        assert!(count > BATCHES, "the fault was never met");
    }
}

#[test]
fn a_disk_that_is_full_at_any_byte_loses_nothing() {
    let mut bytes = 0;
    while survives(Faults { bytes_left: Some(bytes), ..Faults::default() }, &format!("full after {bytes}")) {
        bytes += 2_711;
    }
    assert!(bytes > 40_000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Power fails at any call, also during the recovery from the last failure.
    #[test]
    fn power_loss_at_any_moment_keeps_what_was_acknowledged(seed in any::<u64>()) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let dir = tempfile::tempdir().unwrap();
        let mut disk = new_disk();
        let (mut least, mut most) = (1, 1);
        for round in 0..6 {
            let context = format!("seed {seed}, round {round}");
            disk.arm(Faults { calls_left: Some(random.random_range(0..120)), ..Faults::default() });
            if let Ok(mut store) = open_on(disk.clone(), dir.path())
                && let Ok(found) = load(&mut store)
            {
                prop_assert!((least..=most).contains(&(found.batches.len() as u64)), "{context}");
                assert_holds(&found, found.batches.len() as u64, &context);
                least = append_until_it_fails(&mut store, found.batches.len() as u64 + 12);
                most = least + 1;
                if random.random_bool(0.2) {
                    checkpoint_if_possible(&mut store);
                }
            }
            disk.platter().off = true;
            disk = disk.after_power_loss(&mut random);
        }
        let mut store = open_on(disk, dir.path()).unwrap();
        let found = load(&mut store).unwrap();
        prop_assert!((least..=most).contains(&(found.batches.len() as u64)), "seed {seed}");
        assert_holds(&found, found.batches.len() as u64, &format!("seed {seed}"));
    }
}

/// A writer that is dropped: the directory here is real, so finished ones would outlive a disk.
fn checkpoint_if_possible(store: &mut dyn Store) {
    if let Ok(mut writer) = store.begin_checkpoint() {
        writer.chunk(b"unfinished").unwrap();
    }
}

#[test]
fn trimming_loses_nothing_at_an_error() {
    for calls in (0..300).step_by(13) {
        let dir = tempfile::tempdir().unwrap();
        let disk = new_disk();
        let mut store = open_on(disk.clone(), dir.path()).unwrap();
        load(&mut store).unwrap();
        append_until_it_fails(&mut store, 60);
        checkpoint(&mut store, &[b"sixty"]);
        append_until_it_fails(&mut store, 80);
        checkpoint(&mut store, &[b"eighty"]);
        disk.arm(Faults { calls_left: Some(calls), ..Faults::default() });
        let acknowledged = append_until_it_fails(&mut store, 120);
        drop(store);
        let mut random = ChaCha8Rng::seed_from_u64(calls);
        let mut store = open_on(disk.after_power_loss(&mut random), dir.path()).unwrap();
        let found = load(&mut store).unwrap();
        assert_eq!(found.chunks, [b"eighty"]);
        let last = found.batches.last().map_or(80, |(number, _)| *number);
        assert!(last == acknowledged || last == acknowledged + 1, "{calls}: {last} of {acknowledged}");
        for (number, content) in &found.batches {
            assert!(*content == body(*number));
        }
    }
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_final() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("data");
    directory::make(&inner).unwrap();
    let mut store = open_on(new_disk(), &inner).unwrap();
    load(&mut store).unwrap();
    let writer = store.begin_checkpoint().unwrap();
    std::fs::remove_dir_all(&inner).unwrap();
    assert!(matches!(writer.finish(), Err(StoreError::Io { .. })));
    assert!(matches!(store.append(b"x"), Err(StoreError::Failed(_))));
}

#[test]
fn the_journal_may_not_outgrow_its_limit_but_a_checkpoint_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { journal_limit_bytes: 100_000, ..StoreOptions::default() };
    let lock = Lock::exclusive(dir.path()).unwrap();
    let free = FreeSpace::new(|| Ok(u64::MAX));
    let disk = new_disk();
    let mut store = RedbStore::assemble(dir.path(), options, lock, ahead(&disk), free).unwrap();
    load(&mut store).unwrap();
    for _ in 0..4 {
        while store.append(&[3; 1_000]).is_ok() {}
        assert!(matches!(store.append(&[3; 1_000]), Err(StoreError::Limit { limit: 100_000, .. })));
        checkpoint(&mut store, &[]);
        store.append(&[3; 1_000]).unwrap();
    }
    drop(store);
    let mut store = open_on(disk, dir.path()).unwrap();
    assert_eq!(load(&mut store).unwrap().batches.len(), 1);
}
