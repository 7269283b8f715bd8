//! Marks bound what a node sells that no other knows of, and nothing else.

use super::bed::*;
use crate::limits::Limits;
use crate::types::*;

fn units(units: u64) -> Autonomy {
    Autonomy::Units(Units(units))
}

/// An item of so many units at the first host, under this dial.
fn dialled(hosts: usize, dial: Autonomy, stock: u64) -> Bed {
    let mut bed = Bed::new(hosts);
    turn(&mut bed, dial);
    bed.call(0, Command::Receive(movement("TEE", stock))).unwrap();
    bed.run(300);
    bed
}

fn turn(bed: &mut Bed, dial: Autonomy) {
    let policy = Policy { autonomy: Some(dial), rebalance: Rebalance::Manual, ..Policy::default() };
    bed.call(0, Command::SetItem { sku: sku("TEE"), policy }).unwrap();
}

/// Sells one unit after the other without waiting; how many there were before the first refusal.
fn sells(bed: &mut Bed, n: usize, most: u64) -> (u64, Option<Refusal>) {
    for sold in 0..most {
        if let Err(no) = sell(bed, n, 1, Millis(0)) {
            return (sold, Some(no));
        }
    }
    (most, None)
}

fn sell(bed: &mut Bed, n: usize, quantity: u64, wait: Millis) -> Outcome {
    let id = id(&format!("S-{}-{}", bed.now.0, bed.hosts[n].replica.position().0));
    let lines = vec![line("TEE", quantity)];
    bed.call(n, Command::Sell(Sell { id, lines, wait, reference: None, minted: false }))
}

fn books_here(bed: &mut Bed, n: usize) -> NodeBooks {
    let name = bed.name(n);
    bed.books(n, "TEE").nodes.into_iter().find(|node| node.node == name).unwrap()
}

#[test]
fn cut_off_a_node_sells_what_others_know_of_and_no_more() {
    let mut bed = dialled(3, units(10), 100);
    bed.isolate(0);
    let (sold, no) = sells(&mut bed, 0, 100);
    assert_eq!(sold, 10);
    let capped =
        Capped { sku: sku("TEE"), requested: Units(1), available_here: Units(90), sellable: Units(0) };
    assert_eq!(no, Some(Refusal::AutonomySpent(vec![capped])));
    assert_eq!(bed.hosts[0].views[&sku("TEE")].here, Units(0));
    let here = books_here(&mut bed, 0);
    assert_eq!((here.taken, here.limit, here.available), (Units(10), Some(Units(10)), Units(90)));
    assert!(here.mark > here.limit, "it is raised ahead of need");
    bed.rejoin(0);
    bed.run(1_000);
    (0..90).for_each(|_| drop(sell(&mut bed, 0, 1, Millis(500)).unwrap()));
    assert!(matches!(sell(&mut bed, 0, 1, Millis(500)), Err(Refusal::InsufficientStock(_))));
}

#[test]
fn linked_a_node_sells_as_if_there_were_no_mark_to_those_who_wait() {
    let mut bed = dialled(3, units(1), 50);
    for _ in 0..50 {
        sell(&mut bed, 0, 1, Millis(500)).unwrap();
    }
    assert_eq!(bed.available(0, "TEE"), 0);
}

#[test]
fn an_order_larger_than_the_dial_is_served_while_others_can_confirm_it() {
    let mut bed = dialled(3, units(2), 50);
    sell(&mut bed, 0, 20, Millis(500)).unwrap();
    let here = books_here(&mut bed, 0);
    assert!(here.mark <= Some(Units(22)), "back to the dial: {here:?}");
    bed.isolate(0);
    assert!(matches!(sell(&mut bed, 0, 20, Millis(500)), Err(Refusal::AutonomySpent(_))));
}

#[test]
fn rights_move_whatever_the_mark_says() {
    let mut bed = dialled(3, units(5), 50);
    bed.isolate(0);
    assert_eq!(sells(&mut bed, 0, 50).0, 5);
    bed.rejoin(0);
    bed.cut_bulk.insert((1, 0));
    bed.cut_bulk.insert((2, 0));
    bed.transfer(0, 1, "TEE", 45);
    assert_eq!(bed.available(1, "TEE"), 5, "of 45, what it may sell");
    let held = bed.books(1, "TEE").totals.available;
    assert_eq!(held, Units(45));
}

#[test]
fn from_five_nodes_on_two_must_hold_a_mark() {
    let mut bed = dialled(5, units(4), 100);
    // Only one of the four others hears of what is sold.
    for other in 2..5 {
        bed.unlink(0, other);
        bed.unlink(1, other);
    }
    assert_eq!(sells(&mut bed, 0, 100).0, 4);
    bed.link(0, 2);
    bed.run(1_000);
    assert!(sells(&mut bed, 0, 100).0 >= 4);
}

#[test]
fn a_restart_knows_what_was_confirmed_and_believes_no_more() {
    let mut bed = dialled(3, units(10), 100);
    assert_eq!(sells(&mut bed, 0, 7).0, 7);
    bed.run(1_000);
    bed.isolate(0);
    let before = sells(&mut bed, 0, 100).0;
    bed.evidence = crate::replica::Evidence::Proven;
    bed.restart(0);
    assert_eq!(sells(&mut bed, 0, 100).0, 0, "{before} were sold before");
    bed.rejoin(0);
    bed.run(1_000);
    assert!(sells(&mut bed, 0, 100).0 >= 5);
}

#[test]
fn a_checkpoint_brings_the_limits_back() {
    let mut bed = dialled(3, units(10), 100);
    bed.isolate(0);
    assert_eq!(sells(&mut bed, 0, 6).0, 6);
    let mut replica = crate::replica::Replica::new(bed.hosts[0].genesis.clone(), Limits::default());
    bed.checkpoint(0).iter().for_each(|record| replica.restore(record));
    assert_eq!(replica.state.available_here(&sku("TEE")), Units(4));
}

#[test]
fn a_dial_that_is_turned_down_counts_at_once_and_one_that_is_turned_up_when_it_is_known() {
    let mut bed = dialled(3, Autonomy::All, 100);
    turn(&mut bed, units(3));
    bed.isolate(0);
    assert_eq!(sells(&mut bed, 0, 100).0, 3);
    turn(&mut bed, Autonomy::All);
    assert_eq!(sells(&mut bed, 0, 100).0, 0, "nobody has heard that it may sell all");
    bed.rejoin(0);
    bed.run(1_000);
    bed.isolate(0);
    assert_eq!(sells(&mut bed, 0, 100).0, 97);
}

#[test]
fn the_clusters_dial_holds_for_items_without_one_and_reaches_all_of_them() {
    let mut bed = Bed::new(2);
    // Each look at everything takes time.
    bed.forgiving = true;
    for n in 0..2_500 {
        bed.item(0, &format!("I-{n}"), 5);
    }
    let here = |bed: &mut Bed, n: usize| bed.books(0, &format!("I-{n}")).nodes[0].clone();
    assert_eq!(here(&mut bed, 7).mark, None);
    bed.step(0, crate::replica::Input::Limits(Limits { autonomy: units(2), ..Limits::default() }));
    bed.run(2_000);
    for n in [0, 999, 1_000, 2_499] {
        assert_eq!(here(&mut bed, n).mark, Some(Units(2)), "{n}");
    }
}

#[test]
fn a_write_off_counts_against_the_mark() {
    let mut bed = dialled(2, units(5), 20);
    bed.isolate(0);
    let refused = bed.call(0, Command::WriteOff(movement("TEE", 6)));
    assert!(matches!(refused, Err(Refusal::AutonomySpent(_))), "{refused:?}");
    bed.call(0, Command::WriteOff(movement("TEE", 5))).unwrap();
}

#[test]
fn a_cluster_of_one_needs_nobody() {
    let mut bed = dialled(1, units(1), 20);
    assert_eq!(sells(&mut bed, 0, 20).0, 20);
}

#[test]
fn a_node_that_may_run_on_an_old_disk_confirms_nothing() {
    let mut bed = Bed::with_limits(3, Limits { start_wait: None, ..Limits::default() });
    turn(&mut bed, units(5));
    bed.call(0, Command::Receive(movement("TEE", 100))).unwrap();
    bed.run(500);
    bed.isolate(2);
    // It waits for all others, and one is silent.
    bed.restart(1);
    bed.link(0, 1);
    bed.run(2_000);
    assert!(!bed.hosts[1].ready);
    assert!(sells(&mut bed, 0, 100).0 <= 5);
    bed.link(1, 2);
    bed.run(2_000);
    assert!(bed.hosts[1].ready);
    assert!(sells(&mut bed, 0, 100).0 >= 4);
}

#[test]
fn an_order_is_not_sent_to_a_node_whose_mark_has_no_room_for_it() {
    let mut bed = Bed::new(2);
    let policy = Policy { autonomy: Some(units(2)), ..Policy::default() };
    bed.call(0, Command::SetItem { sku: sku("TEE"), policy }).unwrap();
    bed.run(200);
    bed.call(1, Command::Receive(movement("TEE", 3))).unwrap();
    bed.run(2_000);
    sell(&mut bed, 0, 3, Millis(2_000)).unwrap();
    assert_eq!(bed.hosts[0].replica.stats().placed, 0, "it would have been refused there");
}
