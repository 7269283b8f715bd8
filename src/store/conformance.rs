//! The contract of [`Store`], as one suite that runs over every implementation.

use std::panic::AssertUnwindSafe;

use super::{BatchNumber, Head, Loaded, MemoryDisk, MemoryStore, Store, StoreError};
use crate::types::{ClusterId, NodeName, ReplicaId};

/// What a load gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub chunks: Vec<Vec<u8>>,
    pub batches: Vec<(u64, Vec<u8>)>,
}

impl Found {
    fn numbers(&self) -> Vec<u64> {
        self.batches.iter().map(|(number, _)| *number).collect()
    }
}

pub(super) fn head(node: &str) -> Head {
    Head {
        cluster: ClusterId(uuid::Uuid::from_u128(1)),
        node: NodeName::new(node).unwrap(),
        replica: ReplicaId(uuid::Uuid::from_u128(2)),
    }
}

pub(super) fn load(store: &mut dyn Store) -> Result<Found, StoreError> {
    let mut found = Found::default();
    store.load(&mut |loaded| {
        match loaded {
            Loaded::Chunk(chunk) => found.chunks.push(chunk.to_vec()),
            Loaded::Batch(number, body) => found.batches.push((number.0, body.to_vec())),
        }
        Ok(())
    })?;
    Ok(found)
}

pub(super) fn checkpoint(store: &mut dyn Store, chunks: &[&[u8]]) -> BatchNumber {
    let mut writer = store.begin_checkpoint().unwrap();
    for chunk in chunks {
        writer.chunk(chunk).unwrap();
    }
    let finished = writer.finish().unwrap();
    let covers = finished.covers;
    store.adopt(finished).unwrap();
    covers
}

/// A place where a store can be created, opened again and again, and made to fail.
pub(super) trait Place {
    fn create(&self, head: Head, genesis: &[u8]) -> Result<(), StoreError>;
    fn open(&self) -> Result<Box<dyn Store>, StoreError>;
    /// Makes the next append, or checkpoint, fail as a broken disk would.
    fn break_disk(&self);
    fn set_full(&self, full: bool);

    fn opened(&self) -> (Box<dyn Store>, Found) {
        let mut store = self.open().unwrap();
        let found = load(&mut *store).unwrap();
        (store, found)
    }

    fn created(&self) -> Box<dyn Store> {
        self.create(head("eu-1"), b"genesis").unwrap();
        self.opened().0
    }
}

fn what_was_created_is_batch_one(place: &dyn Place) {
    place.create(head("eu-1"), b"genesis").unwrap();
    let (store, found) = place.opened();
    assert_eq!(*store.head(), head("eu-1"));
    assert_eq!(found, Found { chunks: vec![], batches: vec![(1, b"genesis".to_vec())] });
    assert_eq!(store.size().last, BatchNumber(1));
}

fn nothing_is_opened_where_nothing_was_created_and_nothing_created_twice(place: &dyn Place) {
    assert!(matches!(place.open().err(), Some(StoreError::Missing { .. })));
    place.create(head("eu-1"), b"one").unwrap();
    assert!(matches!(place.create(head("eu-2"), b"two"), Err(StoreError::Exists { .. })));
    let (store, found) = place.opened();
    assert_eq!((store.head().clone(), found.batches), (head("eu-1"), vec![(1, b"one".to_vec())]));
}

fn batches_come_back_exactly_and_in_order_after_every_reopen(place: &dyn Place) {
    drop(place.created());
    let mut expected = vec![(1, b"genesis".to_vec())];
    for round in 0..5u64 {
        let (mut store, found) = place.opened();
        assert_eq!(found.batches, expected);
        for step in 0..20 {
            let body = format!("{round} {step}").repeat(step * 40).into_bytes();
            let number = store.append(&body).unwrap();
            assert_eq!(number, BatchNumber(expected.len() as u64 + 1));
            assert_eq!(store.size().last, number);
            expected.push((number.0, body));
        }
    }
}

fn bodies_are_opaque_also_empty_and_large(place: &dyn Place) {
    let mut store = place.created();
    let large: Vec<u8> = (0..8u32 << 20).map(|i| (i ^ (i >> 8)) as u8).collect();
    let bodies: [&[u8]; 5] = [b"", &[0; 5_000], &large, &[0xff; 3], b""];
    for body in bodies {
        store.append(body).unwrap();
    }
    checkpoint(&mut *store, &bodies);
    store.append(&large).unwrap();
    drop(store);
    let (_, found) = place.opened();
    assert_eq!(found.chunks, bodies);
    assert_eq!(found.batches, [(7, large)]);
}

fn a_store_is_open_once(place: &dyn Place) {
    let store = place.created();
    assert!(matches!(place.open().err(), Some(StoreError::Locked { .. })));
    drop(store);
    drop(place.opened());
}

fn nothing_is_appended_before_the_load(place: &dyn Place) {
    drop(place.created());
    let mut store = place.open().unwrap();
    assert!(store.append(b"x").is_err());
    assert!(store.begin_checkpoint().is_err());
    assert_eq!(load(&mut *store).unwrap().numbers(), [1]);
    store.append(b"x").unwrap();
}

fn what_the_reader_refuses_ends_the_load(place: &dyn Place) {
    drop(place.created());
    let mut store = place.open().unwrap();
    let refused = store.load(&mut |_| Err("not a record".into()));
    let Err(StoreError::Damaged { what, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(what, "not a record");
    assert!(store.append(b"x").is_err());
}

fn a_load_begins_from_the_newest_checkpoint(place: &dyn Place) {
    let mut store = place.created();
    store.append(b"2").unwrap();
    assert_eq!(checkpoint(&mut *store, &[b"a", b"b"]), BatchNumber(2));
    assert_eq!(store.size().checkpointed, BatchNumber(2));
    assert_eq!(store.size().replay_bytes, 0);
    store.append(b"three").unwrap();
    assert_eq!(store.size().replay_bytes, 5);
    drop(store);
    let (mut store, found) = place.opened();
    assert_eq!(
        found,
        Found { chunks: vec![b"a".to_vec(), b"b".to_vec()], batches: vec![(3, b"three".to_vec())] }
    );
    assert_eq!((store.size().replay_bytes, store.size().checkpointed), (5, BatchNumber(2)));
    assert_eq!(checkpoint(&mut *store, &[]), BatchNumber(3));
    drop(store);
    assert_eq!(place.opened().1, Found::default());
}

fn a_checkpoint_covers_what_was_there_when_it_began(place: &dyn Place) {
    let mut store = place.created();
    store.append(b"2").unwrap();
    let mut writer = store.begin_checkpoint().unwrap();
    writer.chunk(b"a").unwrap();
    store.append(b"3").unwrap();
    // Written on another thread, as a node does.
    let writing = std::thread::spawn(move || {
        writer.chunk(b"b").unwrap();
        writer.finish().unwrap()
    });
    store.append(b"4").unwrap();
    let finished = writing.join().unwrap();
    assert_eq!(finished.covers, BatchNumber(2));
    store.adopt(finished).unwrap();
    assert_eq!(store.size().replay_bytes, 2);
    drop(store);
    let (_, found) = place.opened();
    assert_eq!((found.chunks.concat(), found.numbers()), (b"ab".to_vec(), vec![3, 4]));
}

fn a_finished_checkpoint_counts_even_if_it_was_never_adopted(place: &dyn Place) {
    let mut store = place.created();
    store.append(b"2").unwrap();
    store.begin_checkpoint().unwrap().finish().unwrap();
    store.append(b"3").unwrap();
    drop(store);
    assert_eq!(place.opened().1.numbers(), [3]);
}

fn checkpoints_may_overlap_and_be_adopted_late(place: &dyn Place) {
    let mut store = place.created();
    let mut finished = Vec::new();
    let mut writers = Vec::new();
    for number in 2..=6u8 {
        store.append(&[number]).unwrap();
        let mut writer = store.begin_checkpoint().unwrap();
        writer.chunk(&[number]).unwrap();
        writers.push(writer);
    }
    for order in [1, 0, 2, 1, 0] {
        finished.push(writers.remove(order).finish().unwrap());
    }
    for order in [3, 0, 2, 0, 0] {
        store.adopt(finished.remove(order)).unwrap();
        store.append(b"more").unwrap();
    }
    assert_eq!(store.size().checkpointed, BatchNumber(6));
    assert_eq!(store.size().replay_bytes, 20);
    drop(store);
    let (_, found) = place.opened();
    assert_eq!((found.numbers(), found.chunks), (vec![7, 8, 9, 10, 11], vec![vec![6]]));
}

fn an_unfinished_checkpoint_is_as_if_it_had_never_begun(place: &dyn Place) {
    let mut store = place.created();
    checkpoint(&mut *store, &[b"good"]);
    store.append(b"2").unwrap();
    let mut dropped = store.begin_checkpoint().unwrap();
    dropped.chunk(&[7; 3 << 20]).unwrap();
    drop(dropped);
    let mut crashed = store.begin_checkpoint().unwrap();
    crashed.chunk(&[8; 3 << 20]).unwrap();
    std::mem::forget(crashed);
    store.append(b"3").unwrap();
    drop(store);
    let (_, found) = place.opened();
    assert_eq!((found.numbers(), found.chunks), (vec![2, 3], vec![b"good".to_vec()]));
}

fn many_checkpoints_keep_the_store_small_and_whole(place: &dyn Place) {
    let mut store = place.created();
    let body = vec![5; 2_000];
    for round in 0..12u64 {
        for _ in 0..30 {
            store.append(&body).unwrap();
        }
        let covers = checkpoint(&mut *store, &[format!("{round}").as_bytes()]);
        assert_eq!(covers, BatchNumber(1 + 30 * (round + 1)));
        if round % 3 == 2 {
            drop(store);
            let (reopened, found) = place.opened();
            assert_eq!(found, Found { chunks: vec![format!("{round}").into_bytes()], batches: vec![] });
            store = reopened;
        }
    }
    store.append(&body).unwrap();
    assert_eq!(store.size().replay_bytes, 2_000);
    drop(store);
    assert_eq!(place.opened().1.numbers(), [362]);
}

fn the_first_error_is_final_until_the_next_open(place: &dyn Place) {
    let mut store = place.created();
    store.append(b"2").unwrap();
    place.break_disk();
    let first = store.append(b"lost").unwrap_err();
    assert!(matches!(first, StoreError::Io { .. }), "{first:?}");
    for _ in 0..3 {
        assert!(matches!(store.append(b"later"), Err(StoreError::Failed(_))));
        assert!(matches!(store.begin_checkpoint().err(), Some(StoreError::Failed(_))));
    }
    drop(store);
    let (mut store, found) = place.opened();
    // The failed append was not acknowledged: it may be there or not.
    assert!(found.numbers() == [1, 2] || found.numbers() == [1, 2, 3], "{found:?}");
    store.append(b"next").unwrap();
}

fn a_full_disk_is_refused_and_leaves_the_store_usable(place: &dyn Place) {
    let mut store = place.created();
    let mut writer = store.begin_checkpoint().unwrap();
    place.set_full(true);
    // Whether there is room is not asked for each byte, but soon.
    let mut number = 1;
    let refused = loop {
        match store.append(&[1; 50_000]) {
            Ok(next) => number = next.0,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::Full { .. }), "{refused:?}");
    assert!(matches!(store.append(b"x"), Err(StoreError::Full { .. })));
    let refused = loop {
        if let Err(error) = writer.chunk(&[1; 50_000]) {
            break error;
        }
    };
    assert!(matches!(refused, StoreError::Full { .. }), "{refused:?}");
    drop(writer);
    place.set_full(false);
    assert_eq!(store.append(b"room").unwrap(), BatchNumber(number + 1));
    drop(store);
    assert_eq!(place.opened().1.batches.last(), Some(&(number + 1, b"room".to_vec())));
}

type Case = (&'static str, fn(&dyn Place));

const CASES: &[Case] = &[
    ("batch one", what_was_created_is_batch_one),
    ("missing and exists", nothing_is_opened_where_nothing_was_created_and_nothing_created_twice),
    ("reopen", batches_come_back_exactly_and_in_order_after_every_reopen),
    ("opaque", bodies_are_opaque_also_empty_and_large),
    ("lock", a_store_is_open_once),
    ("load first", nothing_is_appended_before_the_load),
    ("reader refuses", what_the_reader_refuses_ends_the_load),
    ("checkpoint", a_load_begins_from_the_newest_checkpoint),
    ("fuzzy", a_checkpoint_covers_what_was_there_when_it_began),
    ("never adopted", a_finished_checkpoint_counts_even_if_it_was_never_adopted),
    ("overlapping", checkpoints_may_overlap_and_be_adopted_late),
    ("unfinished", an_unfinished_checkpoint_is_as_if_it_had_never_begun),
    ("many checkpoints", many_checkpoints_keep_the_store_small_and_whole),
];

/// Those that need a place that can be made to fail.
const FAULTS: &[Case] = &[
    ("final error", the_first_error_is_final_until_the_next_open),
    ("full", a_full_disk_is_refused_and_leaves_the_store_usable),
];

/// Runs every case, each in a place of its own.
pub(super) fn conforms<P: Place>(new: impl Fn() -> P) {
    conforms_without_faults(&new);
    run(FAULTS, new);
}

/// Runs the cases that no place needs to be broken for.
pub(super) fn conforms_without_faults<P: Place>(new: impl Fn() -> P) {
    run(CASES, new);
}

fn run<P: Place>(cases: &[Case], new: impl Fn() -> P) {
    for (name, case) in cases {
        let place = new();
        if std::panic::catch_unwind(AssertUnwindSafe(|| case(&place))).is_err() {
            panic!("the case \"{name}\" failed, see above");
        }
    }
}

impl Place for MemoryDisk {
    fn create(&self, head: Head, genesis: &[u8]) -> Result<(), StoreError> {
        MemoryStore::create(self, head, genesis)
    }

    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        MemoryStore::open(self).map(|store| Box::new(store) as Box<dyn Store>)
    }

    fn break_disk(&self) {
        self.fail_next_append(super::Fate::Lost);
    }

    fn set_full(&self, full: bool) {
        MemoryDisk::set_full(self, full);
    }
}

#[test]
fn memory_conforms() {
    conforms(MemoryDisk::new);
}

#[test]
fn memory_keeps_a_failed_append_when_told_so() {
    let disk = MemoryDisk::new();
    let mut store = disk.created();
    disk.fail_next_append(super::Fate::Kept);
    assert!(store.append(b"unknown").is_err());
    drop(store);
    assert_eq!(disk.opened().1.numbers(), [1, 2]);
    let copy = disk.copy();
    disk.opened().0.append(b"three").unwrap();
    assert_eq!(copy.opened().1.numbers(), [1, 2]);
}

#[test]
fn a_memory_checkpoint_dies_with_its_store() {
    let disk = MemoryDisk::new();
    let mut store = disk.created();
    let writer = store.begin_checkpoint().unwrap();
    drop(store);
    let (_store, _) = disk.opened();
    assert!(matches!(writer.finish(), Err(StoreError::Failed(_))));
}
