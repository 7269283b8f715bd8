//! What is kept of a history, and through what.

use super::*;
use crate::types::{Cell, CellValue, Seq, Units};
use crate::wire::{Cause, CellRaise, Change, Raise, Record};

fn me() -> ReplicaId {
    ReplicaId(uuid::Uuid::from_u128(1))
}

fn sku(name: &str) -> Sku {
    Sku::new(name).unwrap()
}

fn change(time: u64, name: &str) -> Record {
    let new = CellValue { cell: Cell::Received, value: time };
    let cells = vec![CellRaise { new, by: Units(1) }];
    Record::Change(Box::new(Change {
        time: Timestamp(time),
        cause: Cause::Receive,
        actor: None,
        reference: None,
        rows: vec![Raise { sku: sku(name), seq: Seq(1), cells, demand: None, allowance: None }],
        entries: vec![],
        reservation: None,
        request: None,
        reason: None,
        placed: None,
    }))
}

fn batch(time: u64, names: &[&str]) -> Batch {
    Batch { time: Timestamp(time), records: names.iter().map(|name| change(time, name)).collect() }
}

fn times(history: &History, name: &str, before: Before, limit: usize) -> (Vec<u64>, bool) {
    let (entries, more) = history.read(&sku(name), before, limit).unwrap();
    (entries.iter().map(|told| told.entry.time.0).collect(), more)
}

#[test]
fn newest_first_whether_flushed_or_not_and_paged() {
    let mut history = History::in_memory(me(), HistoryOptions::default());
    for n in 1..=5 {
        history.add(BatchNumber(n), &batch(n * 10, &["TEE", "MUG"]));
        if n == 3 {
            history.flush().unwrap();
        }
    }
    assert_eq!(times(&history, "TEE", Before::End, 9), (vec![50, 40, 30, 20, 10], false));
    assert_eq!(times(&history, "TEE", Before::End, 2), (vec![50, 40], true));
    assert_eq!(times(&history, "TEE", Before::Time(Timestamp(30)), 9), (vec![20, 10], false));
    let (page, _) = history.read(&sku("TEE"), Before::End, 4).unwrap();
    let before = Before::Number(page[3].number);
    assert_eq!(times(&history, "TEE", before, 9), (vec![10], false));
    assert_eq!(times(&history, "CAP", Before::End, 9), (vec![], false));
}

#[test]
fn a_batch_given_again_is_skipped_and_what_was_not_flushed_is_taken_again() {
    let dir = tempfile::tempdir().unwrap();
    let open = |last| History::open(dir.path(), me(), BatchNumber(last), HistoryOptions::default());
    let mut history = open(0);
    history.add(BatchNumber(1), &batch(10, &["TEE"]));
    history.flush().unwrap();
    history.add(BatchNumber(2), &batch(20, &["TEE"]));
    drop(history);
    let mut history = open(2);
    assert_eq!(history.covered(), BatchNumber(1));
    for n in 1..=2 {
        history.add(BatchNumber(n), &batch(n * 10, &["TEE"]));
    }
    assert_eq!(times(&history, "TEE", Before::End, 9), (vec![20, 10], false));
}

#[test]
fn the_oldest_go_when_there_are_too_many_or_they_are_too_old() {
    let options = HistoryOptions { keep_for: Millis(1_000), entries_per_item: 300 };
    let mut history = History::in_memory(me(), options);
    for n in 1..=900 {
        history.add(BatchNumber(n), &batch(n, &["TEE"]));
        if n % 100 == 0 {
            history.flush().unwrap();
        }
    }
    let (kept, more) = times(&history, "TEE", Before::End, 1_000);
    assert!((300..300 + BLOCK_ENTRIES).contains(&kept.len()) && !more, "{}", kept.len());
    assert_eq!(kept[0], 900);
    history.add(BatchNumber(901), &batch(1_890, &["MUG"]));
    assert_eq!(times(&history, "TEE", Before::End, 1_000).0.last(), Some(&890));
    for n in 902..910 {
        history.add(BatchNumber(n), &batch(9_000, &["MUG"]));
        history.flush().unwrap();
    }
    let transaction = history.engine().unwrap().begin_read().unwrap();
    assert!(transaction.open_table(COUNTS).unwrap().get("TEE").unwrap().is_none());
}

#[test]
fn a_hot_item_that_waits_for_its_flush_takes_no_more_room_than_it_is_kept() {
    let options = HistoryOptions { entries_per_item: 10, ..HistoryOptions::default() };
    let mut history = History::in_memory(me(), options);
    for n in 1..=5_000 {
        history.add(BatchNumber(n), &batch(n, &["TEE"]));
    }
    assert!(history.pending_entries <= BLOCK_ENTRIES);
    history.flush().unwrap();
    assert_eq!(times(&history, "TEE", Before::End, 3).0, [5_000, 4_999, 4_998]);
}

#[test]
fn a_damaged_file_or_one_of_another_journal_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = directory::history_path(dir.path());
    std::fs::write(&path, b"no history").unwrap();
    let open =
        |replica, last| History::open(dir.path(), replica, BatchNumber(last), HistoryOptions::default());
    let mut history = open(me(), 0);
    history.add(BatchNumber(7), &batch(10, &["TEE"]));
    history.flush().unwrap();
    drop(history);
    assert_eq!(open(me(), 7).covered(), BatchNumber(7));
    assert_eq!(open(me(), 6).covered(), BatchNumber(0));
    assert_eq!(open(ReplicaId(uuid::Uuid::from_u128(2)), 6).covered(), BatchNumber(0));
    let aside = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(aside, 4, "the one in use and three set aside");
}

#[test]
fn what_could_not_be_written_is_written_with_the_next_flush() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path(), me(), BatchNumber(9), HistoryOptions::default());
    history.add(BatchNumber(1), &batch(10, &["TEE"]));
    history.flush().unwrap();
    // As after an error of the disk; and there is no way to the file for a while.
    history.engine = None;
    let path = std::mem::replace(&mut history.path, dir.path().join("gone/history.redb"));
    history.add(BatchNumber(2), &batch(20, &["TEE"]));
    assert!(history.flush().is_err() && history.is_failing());
    history.path = path;
    history.add(BatchNumber(3), &batch(30, &["TEE"]));
    history.flush().unwrap();
    assert!(!history.is_failing());
    assert_eq!(times(&history, "TEE", Before::End, 9), (vec![30, 20, 10], false));
    drop(history);
    let history = History::open(dir.path(), me(), BatchNumber(9), HistoryOptions::default());
    assert_eq!(times(&history, "TEE", Before::End, 9), (vec![30, 20, 10], false));
}

#[test]
fn a_history_that_cannot_be_opened_keeps_no_node_from_starting() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("gone");
    let mut history = History::open(&nowhere, me(), BatchNumber(0), HistoryOptions::default());
    history.add(BatchNumber(1), &batch(10, &["TEE"]));
    history.flush().unwrap();
    assert!(history.is_failing());
    assert_eq!(times(&history, "TEE", Before::End, 9), (vec![10], false));
}
