//! One replica: reservations, keys, time, recovery.

use super::bed::*;
use crate::limits::Limits;
use crate::replica::Replica;
use crate::types::*;
use crate::wire::codec;

fn reservation(outcome: Outcome) -> (ReservationState, u64, bool) {
    match outcome {
        Ok(Answer::Reservation(claimed)) => {
            (claimed.reservation.state, claimed.reservation.version, claimed.created)
        }
        other => panic!("{other:?}"),
    }
}

fn shortfalls(outcome: Outcome) -> Vec<Shortfall> {
    match outcome {
        Err(Refusal::InsufficientStock(shortfalls) | Refusal::Expired(shortfalls)) => shortfalls,
        other => panic!("{other:?}"),
    }
}

use ReservationState::{Cancelled, Confirmed, Expired, Held};

#[test]
fn a_reservation_is_held_then_sold() {
    let mut bed = Bed::new(1);
    bed.item(0, "TEE", 10);
    assert_eq!(reservation(bed.call(0, put("A", &[("TEE", 3)]))), (Held, 1, true));
    assert_eq!(bed.available(0, "TEE"), 7);
    assert_eq!(reservation(bed.call(0, confirm("A"))), (Confirmed, 1, false));
    let totals = bed.books(0, "TEE").totals;
    assert_eq!((totals.sold, totals.held, totals.available), (Units(3), Units(0), Units(7)));
}

#[test]
fn the_state_table_of_the_contract_holds() {
    let mut bed = Bed::new(1);
    bed.item(0, "TEE", 100);
    let (same, other) = (put("A", &[("TEE", 2)]), put("A", &[("TEE", 5)]));
    let extend = Command::Extend { id: id("A"), ttl: Millis(900_000) };

    bed.call(0, same.clone()).unwrap();
    assert_eq!(reservation(bed.call(0, same.clone())), (Held, 1, false));
    assert_eq!(reservation(bed.call(0, other.clone())), (Held, 2, false));
    assert_eq!(bed.available(0, "TEE"), 95);
    assert_eq!(reservation(bed.call(0, extend.clone())), (Held, 2, false));
    assert_eq!(reservation(bed.call(0, same.clone())), (Held, 3, false));
    assert_eq!(bed.available(0, "TEE"), 98);

    assert_eq!(reservation(bed.call(0, cancel("A"))), (Cancelled, 3, false));
    for refused in [same.clone(), other.clone(), confirm("A"), extend.clone()] {
        assert_eq!(bed.call(0, refused), Err(Refusal::AlreadyCancelled));
    }
    assert_eq!(reservation(bed.call(0, cancel("A"))), (Cancelled, 3, false));
    assert_eq!(bed.available(0, "TEE"), 100);

    let as_b = |command: &Command| match command {
        Command::Put(p) => Command::Put(Put { id: id("B"), ..p.clone() }),
        Command::Extend { ttl, .. } => Command::Extend { id: id("B"), ttl: *ttl },
        other => other.clone(),
    };
    bed.call(0, as_b(&same)).unwrap();
    bed.call(0, confirm("B")).unwrap();
    assert_eq!(reservation(bed.call(0, as_b(&same))), (Confirmed, 1, false));
    assert_eq!(reservation(bed.call(0, confirm("B"))), (Confirmed, 1, false));
    for refused in [as_b(&other), cancel("B"), as_b(&extend)] {
        assert_eq!(bed.call(0, refused), Err(Refusal::AlreadyConfirmed));
    }
}

#[test]
fn an_expired_reservation_can_be_held_or_sold_anew_while_units_last() {
    let mut bed = Bed::new(1);
    bed.item(0, "TEE", 4);
    bed.call(0, put("A", &[("TEE", 3)])).unwrap();
    bed.call(0, put("B", &[("TEE", 1)])).unwrap();
    bed.run(600_001);
    let state = |bed: &mut Bed, name| reservation(bed.call(0, Command::Read { id: id(name) }));
    assert_eq!(state(&mut bed, "A"), (Expired, 1, false));
    assert_eq!(bed.available(0, "TEE"), 4);
    assert_eq!(bed.call(0, Command::Extend { id: id("A"), ttl: Millis(1) }), Err(Refusal::Expired(vec![])));
    assert_eq!(reservation(bed.call(0, confirm("A"))), (Confirmed, 1, false));
    assert_eq!(reservation(bed.call(0, put("B", &[("TEE", 1)]))), (Held, 2, false));
    bed.run(600_001);
    bed.call(0, put("C", &[("TEE", 1)])).unwrap();
    let short = bed.call(0, confirm("B"));
    assert!(matches!(short, Err(Refusal::Expired(_))), "{short:?}");
    assert_eq!(shortfalls(short)[0].available_here, Units(0));
    assert_eq!(reservation(bed.call(0, cancel("B"))), (Cancelled, 2, false));
}

#[test]
fn a_basket_is_all_or_nothing_and_every_short_line_is_listed() {
    let mut bed = Bed::new(1);
    bed.item(0, "TEE", 4);
    bed.item(0, "MUG", 1);
    bed.item(0, "CAP", 0);
    let short = shortfalls(bed.call(0, put("A", &[("MUG", 2), ("TEE", 4), ("CAP", 1)])));
    let listed: Vec<_> = short.iter().map(|s| (s.sku.as_str(), s.requested.0, s.available_here.0)).collect();
    assert_eq!(listed, [("MUG", 2, 1), ("CAP", 1, 0)]);
    // Alone in the cluster, it knows that no cap is free anywhere; a mug is.
    assert_eq!(short[1].verdict, Verdict::SoldOut);
    assert_eq!(short[0].verdict, Verdict::Unknown);
    assert_eq!(bed.available(0, "TEE"), 4);
    let unknown = bed.call(0, put("A", &[("TEE", 1), ("HAT", 1)]));
    assert_eq!(unknown, Err(Refusal::UnknownSku { sku: sku("HAT"), line: Some(1) }));
}

#[test]
fn a_version_guards_against_a_changed_basket() {
    let mut bed = Bed::new(1);
    bed.item(0, "TEE", 10);
    bed.call(0, put("A", &[("TEE", 1)])).unwrap();
    bed.call(0, put("A", &[("TEE", 2)])).unwrap();
    let late = Command::Confirm { id: id("A"), if_match: Some(1), wait: Millis(0) };
    assert_eq!(bed.call(0, late), Err(Refusal::VersionMismatch { current: 2 }));
    let current = Command::Confirm { id: id("A"), if_match: Some(2), wait: Millis(0) };
    assert!(bed.call(0, current).is_ok());
}

#[test]
fn a_key_gives_the_first_answer_again_and_refuses_another_body() {
    let mut bed = Bed::new(1);
    bed.item(0, "TEE", 10);
    let first = bed.keyed(0, "k", Command::Receive(movement("TEE", 5)));
    assert!(!first.replayed);
    bed.call(0, put("A", &[("TEE", 1)])).unwrap();
    let again = bed.keyed(0, "k", Command::Receive(movement("TEE", 5)));
    assert!(again.replayed);
    assert_eq!(first.outcome, again.outcome);
    let other = bed.keyed(0, "k", Command::Receive(movement("TEE", 6)));
    assert_eq!(other.outcome, Err(Refusal::KeyReused));
    assert_eq!(bed.books(0, "TEE").totals.received, Units(15));
    // Refusals of the lasting kinds are remembered as well.
    let refused = bed.keyed(0, "w", Command::WriteOff(movement("TEE", 99)));
    assert_eq!(refused.outcome, Err(Refusal::NotFreeHere { free: Units(14) }));
    bed.call(0, Command::Receive(movement("TEE", 99))).unwrap();
    assert_eq!(bed.keyed(0, "w", Command::WriteOff(movement("TEE", 99))).outcome, refused.outcome);
}

#[test]
fn a_sale_under_a_minted_id_is_recognised_by_its_key() {
    let mut bed = Bed::new(1);
    bed.item(0, "TEE", 10);
    let sell = |name: &str| {
        Command::Sell(Sell {
            id: id(name),
            lines: vec![line("TEE", 2)],
            wait: Millis(0),
            reference: None,
            minted: true,
        })
    };
    let first = bed.keyed(0, "k", sell("one"));
    let again = bed.keyed(0, "k", sell("two"));
    assert!(again.replayed);
    assert_eq!(first.outcome, again.outcome);
    assert_eq!(bed.available(0, "TEE"), 8);
}

#[test]
fn a_batch_is_done_in_order_and_each_operation_fails_alone() {
    let mut bed = Bed::new(1);
    bed.item(0, "TEE", 5);
    let reserve = |name: &str, quantity| match put(name, &[("TEE", quantity)]) {
        Command::Put(put) => Operation::Reserve(put),
        _ => unreachable!(),
    };
    let operations = vec![
        reserve("A", 3),
        reserve("B", 3),
        Operation::Cancel { id: id("A") },
        reserve("C", 5),
        Operation::Confirm { id: id("C") },
        Operation::Confirm { id: id("nope") },
    ];
    let Ok(Answer::Batch(results)) = bed.call(0, Command::Batch(operations)) else { panic!() };
    let good: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(good, [true, false, true, true, true, false]);
    assert_eq!(results[5], Err(Refusal::ReservationNotFound));
    assert_eq!(bed.books(0, "TEE").totals.sold, Units(5));
}

#[test]
fn the_most_an_order_may_have_is_kept() {
    let mut bed = Bed::new(1);
    bed.item(0, "TEE", 50);
    let policy = Policy { max_per_order: Some(Units(4)), ..Policy::default() };
    bed.call(0, Command::SetItem { sku: sku("TEE"), policy }).unwrap();
    let refused = bed.call(0, put("A", &[("TEE", 5)]));
    assert_eq!(refused, Err(Refusal::MaxPerOrder { sku: sku("TEE"), line: 0, max: Units(4) }));
    assert!(bed.call(0, put("A", &[("TEE", 4)])).is_ok());
}

#[test]
fn receipts_that_do_not_fit_are_refused() {
    let mut bed = Bed::new(1);
    bed.item(0, "TEE", u64::MAX - 5);
    let refused = bed.call(0, Command::Receive(movement("TEE", 6)));
    assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{refused:?}");
    let refused = bed.call(0, Command::Return(movement("TEE", 6)));
    assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{refused:?}");
    assert!(bed.call(0, Command::Return(movement("TEE", 5))).is_ok());
}

/// A bit of everything.
fn eventful() -> Bed {
    let mut bed = Bed::new(2);
    bed.item(0, "TEE", 20);
    bed.item(1, "MUG", 9);
    bed.call(0, put("A", &[("TEE", 3), ("MUG", 2)])).unwrap();
    bed.call(0, put("A", &[("TEE", 1), ("MUG", 3)])).unwrap();
    bed.call(0, put("B", &[("TEE", 1)])).unwrap();
    bed.call(1, put("C", &[("TEE", 4)])).unwrap();
    bed.call(0, confirm("A")).unwrap();
    bed.call(0, cancel("B")).unwrap();
    bed.keyed(0, "k", Command::Return(movement("MUG", 1))).outcome.unwrap();
    bed.keyed(1, "w", Command::WriteOff(movement("MUG", 1))).outcome.unwrap();
    bed.run(1_000);
    bed
}

fn same(a: &Replica, b: &Replica) {
    assert_eq!(a.state.items, b.state.items);
    assert_eq!(a.state.logs, b.state.logs);
    assert_eq!(a.state.reservations, b.state.reservations);
    assert_eq!(a.state.requests, b.state.requests);
    assert_eq!(a.state.roster, b.state.roster);
}

#[test]
fn replaying_the_journal_gives_the_live_state() {
    let bed = eventful();
    for n in 0..2 {
        same(&bed.replayed(n), &bed.hosts[n].replica);
    }
}

#[test]
fn a_checkpoint_gives_the_live_state_also_when_batches_are_replayed_over_it() {
    let bed = eventful();
    for n in 0..2 {
        let mut replica = Replica::new(bed.hosts[n].genesis.clone(), Limits::default());
        let records = bed.checkpoint(n);
        let bytes = codec::encode(&records);
        let records: Vec<crate::wire::Record> = codec::decode(&bytes).unwrap();
        records.iter().for_each(|record| replica.restore(record));
        same(&replica, &bed.hosts[n].replica);
        for from in 0..bed.hosts[n].journal.len() {
            let mut replica = Replica::new(bed.hosts[n].genesis.clone(), Limits::default());
            records.iter().for_each(|record| replica.restore(record));
            for batch in &bed.hosts[n].journal[from..] {
                let batch: crate::wire::Batch = codec::decode(batch).unwrap();
                batch.records.iter().for_each(|record| replica.restore(record));
            }
            assert_eq!(replica.state.items, bed.hosts[n].replica.state.items, "replayed from {from}");
            assert_eq!(replica.state.reservations, bed.hosts[n].replica.state.reservations);
        }
    }
}

#[test]
fn old_keys_and_reservations_are_forgotten_and_young_ones_refused_room() {
    let limits = Limits { remember_max_bytes: 4_000, ..Limits::default() };
    let mut bed = Bed::with_limits(1, limits);
    bed.item(0, "TEE", 1_000);
    let mut refused = 0;
    for n in 0..40 {
        let sold = bed.call(0, put(&format!("A{n}"), &[("TEE", 1)]));
        match sold {
            Ok(_) => drop(bed.call(0, cancel(&format!("A{n}"))).unwrap()),
            Err(Refusal::MemoryFull) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 0, "young ones are kept");
    bed.run(301_000);
    bed.call(0, put("late", &[("TEE", 1)])).unwrap();
    assert_eq!(bed.call(0, Command::Read { id: id("A0") }), Err(Refusal::ReservationNotFound));
    assert_eq!(bed.available(0, "TEE"), 999);
}

#[test]
fn a_retry_under_the_same_key_may_say_that_it_is_one() {
    let mut bed = Bed::new(2);
    bed.item(0, "TEE", 5);
    let first = bed.keyed(0, "k", put("A", &[("TEE", 1)]));
    let Command::Put(again) = put("A", &[("TEE", 1)]) else { unreachable!() };
    let again = bed.keyed(0, "k", Command::Put(Put { retry: true, ..again }));
    assert_eq!(again.outcome, first.outcome);
    assert!(again.replayed);
}
