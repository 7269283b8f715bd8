//! Damage to a store's files: whatever was acknowledged is served exactly, or the load is refused.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::conformance::{Found, Place, checkpoint, conforms_without_faults, head, load};
use super::directory::{checkpoint_path, journal_path};
use super::faults::{FaultyDisk, open_on};
use super::{BatchNumber, Head, RedbStore, Store, StoreError, StoreOptions, VerifyReport, verify};

/// A store on the real disk.
struct DiskPlace(tempfile::TempDir);

impl DiskPlace {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn dir(&self) -> std::path::PathBuf {
        self.0.path().join("data")
    }
}

impl Place for DiskPlace {
    fn create(&self, head: Head, genesis: &[u8]) -> Result<(), StoreError> {
        RedbStore::create(&self.dir(), head, genesis)
    }

    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        RedbStore::open(&self.dir(), StoreOptions::default()).map(|store| Box::new(store) as Box<dyn Store>)
    }

    fn break_disk(&self) {
        unreachable!("a real disk is not broken; see the faulty one");
    }

    fn set_full(&self, _: bool) {
        unreachable!("a real disk is not filled; see the faulty one");
    }
}

fn body(number: u64) -> Vec<u8> {
    let length = [3, 130, 900, 0, 6_000][usize::try_from(number % 5).unwrap()];
    (0..length).map(|i| ((i as u64 * 7) ^ number) as u8).collect()
}

/// The journal's file with 17 batches, as a kill leaves it and as a clean close does.
fn images() -> [(&'static str, Vec<u8>, Found); 2] {
    let place = DiskPlace::new();
    let mut store = place.created();
    for number in 2..=17 {
        store.append(&body(number)).unwrap();
    }
    let killed = fs::read(journal_path(&place.dir())).unwrap();
    drop(store);
    let closed = fs::read(journal_path(&place.dir())).unwrap();
    let (store, found) = place.opened();
    assert_eq!(found.batches.len(), 17);
    drop(store);
    [("killed", killed, found.clone()), ("closed", closed, found)]
}

/// Opens and loads `image`: whether it was served. Panics if it was served wrongly.
fn served_or_refused(dir: &Path, image: Vec<u8>, expected: &Found, context: &str, go_on: bool) -> bool {
    let disk = FaultyDisk::with(image.clone());
    let outcome = open_on(disk.clone(), dir).and_then(|mut store| {
        let found = load(&mut store)?;
        Ok((store, found))
    });
    match outcome {
        Ok((mut store, found)) => {
            assert!(found == *expected, "{context}: served {} batches", found.batches.len());
            if go_on {
                appends_survive(dir, &disk, &mut store, found, context);
            }
            true
        }
        Err(StoreError::Damaged { .. }) => {
            assert!(disk.image() == image, "{context}: the file was changed");
            false
        }
        Err(other) => panic!("{context}: {other}"),
    }
}

/// What was served must also be safe to build upon.
fn appends_survive(
    dir: &Path,
    disk: &Arc<FaultyDisk>,
    store: &mut RedbStore,
    mut found: Found,
    context: &str,
) {
    for _ in 0..3 {
        let content = vec![9; 5_000];
        let number = store.append(&content).unwrap();
        found.batches.push((number.0, content));
    }
    let killed = disk.after_kill();
    let other = dir.join("again");
    fs::create_dir_all(&other).unwrap();
    let mut again = open_on(killed, &other).unwrap_or_else(|e| panic!("{context}, again: {e}"));
    assert!(load(&mut again).unwrap() == found, "{context}, again");
}

#[test]
fn a_flipped_bit_anywhere_after_a_kill_is_refused_or_harmless() {
    let [killed, _] = images();
    flip_everywhere(killed);
}

#[test]
fn a_flipped_bit_anywhere_after_a_clean_close_is_refused_or_harmless() {
    let [_, closed] = images();
    flip_everywhere(closed);
}

fn flip_everywhere((kind, image, expected): (&str, Vec<u8>, Found)) {
    let dir = tempfile::tempdir().unwrap();
    // In the header's first part, which no checksum protects, each bit is flipped.
    let slots = (64 * 8..320 * 8).step_by(3);
    let rest = (320..image.len()).step_by(97).map(|offset| offset * 8 + offset % 8);
    let (mut served, mut refused) = (0, 0);
    for (place, bit) in (0..64 * 8).chain(slots).chain(rest).enumerate() {
        let mut altered = image.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let context = format!("{kind}, byte {} bit {}", bit / 8, bit % 8);
        match served_or_refused(dir.path(), altered, &expected, &context, place % 8 == 0) {
            true => served += 1,
            false => refused += 1,
        }
    }
    assert!(refused > 300 && served > 300, "{kind}: {served} served, {refused} refused");
}

/// The bit that says which commit is the newest: the one that redb alone would believe.
#[test]
fn the_last_batch_does_not_vanish_with_the_bit_that_points_to_it() {
    let dir = tempfile::tempdir().unwrap();
    for (kind, image, expected) in images() {
        let mut altered = image.clone();
        altered[9] ^= 1;
        let served = served_or_refused(dir.path(), altered, &expected, kind, true);
        assert_eq!(served, kind == "killed", "{kind}");
    }
}

#[test]
fn a_cut_off_journal_is_refused_or_whole() {
    let dir = tempfile::tempdir().unwrap();
    for (kind, image, expected) in images() {
        let pages = (0..image.len()).step_by(4096);
        let others = (1..image.len()).step_by(3_533);
        for length in pages.chain(others).chain([1, 9, 319, 320, image.len() - 1]) {
            let context = format!("{kind}, {length} of {} bytes", image.len());
            served_or_refused(dir.path(), image[..length].to_vec(), &expected, &context, true);
        }
    }
}

#[test]
fn zeroed_repeated_and_stale_pages_are_refused_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    for (kind, image, expected) in images() {
        let pages = image.len() / 4096;
        for page in 0..pages {
            let range = page * 4096..(page + 1) * 4096;
            let mut zeroed = image.clone();
            zeroed[range.clone()].fill(0);
            served_or_refused(dir.path(), zeroed, &expected, &format!("{kind}, page {page} zeroed"), true);
            let other = (page * 7 + 3) % pages * 4096;
            let mut repeated = image.clone();
            repeated.copy_within(other..other + 4096, range.start);
            served_or_refused(dir.path(), repeated, &expected, &format!("{kind}, page {page} repeats"), true);
        }
    }
}

/// A directory with two checkpoints (up to 6 and 11) and batches up to 14.
fn with_checkpoints(place: &DiskPlace) {
    let mut store = place.created();
    for number in 2..=14 {
        store.append(&body(number)).unwrap();
        if number == 6 || number == 11 {
            let name = format!("state {number}");
            checkpoint(&mut *store, &[name.as_bytes(), b"", &[4; 10_000]]);
        }
    }
}

fn expected_from(covers: u64) -> Found {
    Found {
        chunks: vec![format!("state {covers}").into_bytes(), vec![], vec![4; 10_000]],
        batches: (covers + 1..=14).map(|number| (number, body(number))).collect(),
    }
}

fn served(place: &DiskPlace) -> Result<Found, StoreError> {
    load(&mut *place.open()?)
}

#[test]
fn damage_to_the_newest_checkpoint_is_made_up_for_and_to_both_is_refused() {
    let place = DiskPlace::new();
    with_checkpoints(&place);
    let newest = checkpoint_path(&place.dir(), BatchNumber(11));
    let older = checkpoint_path(&place.dir(), BatchNumber(6));
    let whole = fs::read(&newest).unwrap();
    let mut cases: Vec<Vec<u8>> = (0..whole.len())
        .step_by(53)
        .map(|offset| {
            let mut altered = whole.clone();
            altered[offset] ^= 1 << (offset % 8);
            altered
        })
        .collect();
    cases.extend((0..whole.len()).step_by(211).map(|length| whole[..length].to_vec()));
    cases.push([&whole[..], b"x"].concat());
    cases.push(fs::read(&older).unwrap());
    for altered in &cases {
        fs::write(&newest, altered).unwrap();
        assert_eq!(served(&place).unwrap(), expected_from(6));
    }
    fs::write(&newest, &whole).unwrap();
    assert_eq!(served(&place).unwrap(), expected_from(11));

    fs::write(&newest, &cases[3]).unwrap();
    fs::write(&older, &cases[4]).unwrap();
    assert!(matches!(served(&place), Err(StoreError::Damaged { .. })));
    fs::remove_file(&newest).unwrap();
    fs::remove_file(&older).unwrap();
    let Err(StoreError::Damaged { what, .. }) = served(&place) else {
        panic!("served without what it needs")
    };
    assert!(what.contains("begins after batch 6"), "{what}");
}

#[test]
fn a_journal_that_ends_before_its_checkpoints_is_refused() {
    let place = DiskPlace::new();
    let mut store = place.created();
    store.append(b"2").unwrap();
    drop(store);
    let old = fs::read(journal_path(&place.dir())).unwrap();
    let (mut store, _) = place.opened();
    store.append(b"3").unwrap();
    checkpoint(&mut *store, &[]);
    drop(store);
    fs::write(journal_path(&place.dir()), &old).unwrap();
    let Err(StoreError::Damaged { what, .. }) = served(&place) else { panic!("an old journal was served") };
    assert!(what.contains("ends at batch 2"), "{what}");
    fs::remove_file(journal_path(&place.dir())).unwrap();
    assert!(matches!(served(&place), Err(StoreError::Damaged { .. })));
}

#[test]
fn another_nodes_checkpoint_is_not_taken() {
    let (place, other) = (DiskPlace::new(), DiskPlace::new());
    with_checkpoints(&place);
    other.create(head("us-1"), b"genesis").unwrap();
    let (mut store, _) = other.opened();
    for number in 2..=11 {
        store.append(&body(number)).unwrap();
    }
    checkpoint(&mut *store, &[b"stolen"]);
    drop(store);
    let name = BatchNumber(11);
    fs::copy(checkpoint_path(&other.dir(), name), checkpoint_path(&place.dir(), name)).unwrap();
    assert_eq!(served(&place).unwrap(), expected_from(6));
}

#[test]
fn two_checkpoints_are_kept_and_leftovers_removed() {
    let place = DiskPlace::new();
    with_checkpoints(&place);
    let leftover = place.dir().join("checkpoint-00000000000000000014.3.unfinished");
    fs::write(&leftover, b"half").unwrap();
    let (mut store, _) = place.opened();
    assert!(!leftover.exists());
    checkpoint(&mut *store, &[b"state 14"]);
    let mut names: Vec<String> =
        fs::read_dir(place.dir()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(
        names,
        [
            "checkpoint-00000000000000000011.ckpt",
            "checkpoint-00000000000000000014.ckpt",
            "journal.redb",
            "lock"
        ]
    );
}

#[test]
fn an_interrupted_create_can_be_repeated() {
    let place = DiskPlace::new();
    fs::create_dir_all(place.dir()).unwrap();
    fs::write(place.dir().join("journal.redb.unfinished"), b"half").unwrap();
    assert!(matches!(place.open().err(), Some(StoreError::Missing { .. })));
    place.created();
}

#[test]
fn only_the_owner_may_read_the_data() {
    use std::os::unix::fs::PermissionsExt;
    let place = DiskPlace::new();
    with_checkpoints(&place);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place.dir()), 0o700);
    for entry in fs::read_dir(place.dir()).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn verify_changes_nothing_and_reports_everything() {
    let place = DiskPlace::new();
    with_checkpoints(&place);
    let newest = checkpoint_path(&place.dir(), BatchNumber(11));
    let contents = || {
        let mut all: Vec<_> = fs::read_dir(place.dir()).unwrap().map(|e| e.unwrap().path()).collect();
        all.sort();
        all.iter().map(|path| fs::read(path).unwrap()).collect::<Vec<_>>()
    };
    let before = contents();
    let verified = |count: &mut u64| {
        verify(&place.dir(), &mut |_| {
            *count += 1;
            Ok(())
        })
    };
    let mut count = 0;
    let report: VerifyReport = verified(&mut count).unwrap();
    assert_eq!((count, report.is_flawless(), report.last), (3 + 3, true, BatchNumber(14)));
    assert_eq!(
        report.checkpoints.iter().map(|c| (c.covers.0, c.chunks)).collect::<Vec<_>>(),
        [(6, 3), (11, 3)]
    );
    assert_eq!(contents(), before);

    fs::write(&newest, b"STKDCKPT").unwrap();
    let report = verified(&mut count).unwrap();
    assert!(!report.is_flawless());
    assert_eq!(report.checkpoints[1].damage.as_deref(), Some("it ends too early"));

    let (store, _) = place.opened();
    assert!(matches!(verified(&mut count), Err(StoreError::Locked { .. })));
    drop(store);
    assert!(matches!(verify(&place.dir(), &mut |_| Err("no".into())), Err(StoreError::Damaged { .. })));
    assert!(matches!(verify(Path::new("/nowhere"), &mut |_| Ok(())), Err(StoreError::Missing { .. })));
}

#[test]
fn the_store_on_a_real_disk_conforms() {
    conforms_without_faults(DiskPlace::new);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any bytes in the place of a checkpoint are refused in bounded memory.
    #[test]
    fn any_bytes_in_a_checkpoints_place_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400), keep in 0usize..200) {
        let place = DiskPlace::new();
        with_checkpoints(&place);
        let newest = checkpoint_path(&place.dir(), BatchNumber(11));
        let whole = fs::read(&newest).unwrap();
        fs::write(&newest, [&whole[..keep], &bytes].concat()).unwrap();
        prop_assert_eq!(served(&place).unwrap(), expected_from(6));
    }
}
