//! Reservations that are sent to the member that has the units: one effect, whatever is lost.

use super::bed::*;
use crate::limits::Limits;
use crate::replica::{Input, Replica};
use crate::types::*;
use crate::wire::Message;
use crate::wire::message::Forward;

/// Three nodes; node 0 has a few units, which buyers ask node 2 for.
fn scarce(units: u64) -> Bed {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", units);
    bed.run(1_000);
    bed
}

fn sale(name: &str, units: u64) -> Command {
    let (id, lines) = (id(name), vec![line("TEE", units)]);
    Command::Sell(Sell { id, lines, wait: Millis(500), reference: None, minted: true })
}

fn keyed(command: Command) -> Request {
    let key = Some(IdempotencyKey { scope: "POST /test".into(), key: "k".into() });
    Request { command, key, caller: Caller::Storefront }
}

fn claimed(outcome: Outcome) -> Claimed {
    match outcome {
        Ok(Answer::Reservation(claimed)) => claimed,
        other => panic!("{other:?}"),
    }
}

/// What a node has sent on and is not delivered yet.
fn sent_on(bed: &Bed, from: usize) -> Vec<(usize, Forward)> {
    let forward = |(a, b, message): &(usize, usize, Message)| match message {
        Message::Forward(forward) if *a == from => Some((*b, forward.clone())),
        _ => None,
    };
    bed.wire.iter().filter_map(forward).collect()
}

fn noted(bed: &Bed, n: usize, name: &str) -> Option<ReplicaId> {
    bed.hosts[n].replica.state.notes.find(&id(name)).map(|note| note.at)
}

/// All that was ever made of an item, over all nodes: (held, sold), and the books add up.
fn made(bed: &mut Bed) -> (u64, u64) {
    bed.run(3_000);
    assert_eq!(bed.digests().len(), 1);
    let books = bed.books(0, "TEE");
    assert!(books.balanced);
    (books.totals.held.0, books.totals.sold.0)
}

fn has(replica: &Replica, name: &str) -> bool {
    replica.reservations().any(|reservation| reservation.id == id(name))
}

#[test]
fn a_scarce_unit_is_held_where_it_is_and_confirmed_there_directly() {
    let mut bed = scarce(2);
    let held = claimed(bed.call(2, put("A", &[("TEE", 1)])));
    assert_eq!((held.node, held.created), (bed.name(0), true));
    assert_eq!((bed.available(2, "TEE"), bed.available(0, "TEE")), (0, 1));
    assert_eq!(noted(&bed, 2, "A"), Some(bed.hosts[0].genesis.replica));
    assert_eq!(bed.hosts[2].replica.stats().placed, 1);
    assert!(bed.hosts[0].replica.demand.of(&sku("TEE")).is_none(), "not its own buyers");
    for command in [Command::Read { id: id("A") }, confirm("A")] {
        let token = bed.send(2, Request::plain(command));
        let on = sent_on(&bed, 2);
        assert!(matches!(on.as_slice(), [(0, _)]), "{on:?}");
        bed.run(100);
        assert_eq!(claimed(bed.replies[&token].outcome.clone()).node, bed.name(0));
    }
    assert_eq!(made(&mut bed), (0, 1));
}

#[test]
fn a_sale_is_sold_where_the_units_are_and_its_key_remembers_it() {
    let mut bed = scarce(2);
    let first = bed.ask(2, keyed(sale("m1", 2)));
    assert_eq!(claimed(first.outcome.clone()).node, bed.name(0));
    let again = bed.ask(2, keyed(sale("m2", 2)));
    assert_eq!((again.outcome, again.replayed), (first.outcome, true));
    assert_eq!(made(&mut bed), (0, 2));
}

#[test]
fn an_answer_that_is_lost_is_found_by_id_and_by_key_at_the_same_node() {
    for command in [put("A", &[("TEE", 1)]), sale("A", 1)] {
        let mut bed = scarce(2);
        let token = bed.send(2, keyed(command.clone()));
        let [(at, _)] = sent_on(&bed, 2)[..] else { panic!() };
        bed.cut.insert((at, 2));
        bed.run(4_000);
        bed.cut.clear();
        assert_eq!(bed.replies[&token].outcome, Err(Refusal::OutcomeUnknown));
        assert_eq!(bed.hosts[2].replica.stats().placed_unknown, 1);
        let retry = match command.clone() {
            Command::Sell(sell) => Command::Sell(Sell { id: id("B"), ..sell }),
            other => other,
        };
        let found = claimed(bed.ask(2, keyed(retry)).outcome);
        assert_eq!((found.reservation.id, found.node), (id("A"), bed.name(at)));
        assert!(claimed(bed.call(2, command)).reservation.id == id("A"));
        let (held, sold) = made(&mut bed);
        assert_eq!(held + sold, 1);
    }
}

#[test]
fn another_body_under_the_key_of_what_was_placed_is_refused() {
    let mut bed = scarce(2);
    bed.send(2, keyed(sale("A", 1)));
    bed.cut.insert((0, 2));
    bed.run(4_000);
    bed.cut.clear();
    assert_eq!(bed.ask(2, keyed(sale("B", 2))).outcome, Err(Refusal::KeyReused));
    assert_eq!(made(&mut bed), (0, 1));
}

#[test]
fn a_crash_of_the_asked_node_before_and_after_sending_leaves_the_id_where_it_was_sent() {
    for is_sent in [false, true] {
        let mut bed = scarce(2);
        if !is_sent {
            bed.cut.insert((2, 0));
        }
        bed.send(2, keyed(sale("A", 1)));
        bed.cut.clear();
        if is_sent {
            bed.deliver_between(2, 0);
        }
        assert_eq!(has(&bed.hosts[0].replica, "A"), is_sent);
        bed.restart(2);
        bed.rejoin(2);
        bed.run(4_000);
        // Units are here by now, and yet it is not decided here.
        bed.call(2, Command::Receive(movement("TEE", 5))).unwrap();
        let found = claimed(bed.ask(2, keyed(sale("B", 1))).outcome);
        assert_eq!((found.reservation.id, found.node), (id("A"), bed.name(0)));
        assert_eq!(made(&mut bed), (0, 1));
    }
}

#[test]
fn a_crash_of_the_member_after_deciding_is_unknown_and_the_retry_finds_or_makes_it() {
    for is_durable in [true, false] {
        let mut bed = scarce(2);
        let token = bed.send(2, Request::plain(put("A", &[("TEE", 1)])));
        let before = bed.hosts[0].journal.len();
        bed.deliver_between(2, 0);
        assert!(bed.hosts[0].journal.len() > before);
        if !is_durable {
            bed.hosts[0].journal.truncate(before);
        }
        bed.restart(0);
        assert_eq!(bed.replies[&token].outcome, Err(Refusal::OutcomeUnknown));
        assert_eq!(
            bed.call(2, put("A", &[("TEE", 1)])),
            Err(Refusal::OwnerUnreachable { unreachable: vec![bed.name(0)] })
        );
        bed.rejoin(0);
        bed.run(4_000);
        let found = claimed(bed.call(2, put("A", &[("TEE", 1)])));
        assert_eq!((found.node, found.created), (bed.name(0), !is_durable));
        assert_eq!(made(&mut bed), (1, 0));
    }
}

/// Node 0's last unit goes, and node 2 does not hear of it.
fn sell_behind_the_back(bed: &mut Bed) {
    bed.cut_bulk.extend([(0, 2), (0, 1), (1, 2)]);
    bed.call(0, sale("S", 1)).unwrap();
}

#[test]
fn a_refusal_takes_the_note_back_and_the_next_member_is_tried() {
    let mut bed = scarce(1);
    bed.call(1, Command::Receive(movement("TEE", 1))).unwrap();
    bed.run(1_000);
    let node = bed.name(0);
    bed.step(2, Input::RoundTrip { node, time: Millis(10) });
    sell_behind_the_back(&mut bed);
    let held = claimed(bed.call(2, put("A", &[("TEE", 1)])));
    assert_eq!((held.node, noted(&bed, 2, "A")), (bed.name(1), Some(bed.hosts[1].genesis.replica)));
    let stats = bed.hosts[2].replica.stats();
    assert_eq!((stats.placed, stats.placed_refused), (2, 1));
    bed.cut_bulk.clear();
    assert_eq!(made(&mut bed), (1, 1));
}

#[test]
fn a_refused_job_goes_on_here() {
    let mut bed = scarce(1);
    sell_behind_the_back(&mut bed);
    let token = bed.send(2, Request::plain(put("A", &[("TEE", 1)])));
    bed.deliver_between(2, 0);
    bed.deliver_between(0, 2);
    assert_eq!(noted(&bed, 2, "A"), None);
    bed.step(
        2,
        Input::Request {
            token: crate::replica::Token(77),
            request: Request::plain(Command::Receive(movement("TEE", 1))),
        },
    );
    let held = claimed(bed.replies[&token].outcome.clone());
    assert_eq!((held.node, held.reservation.id), (bed.name(2), id("A")));
    bed.cut_bulk.clear();
    assert_eq!(made(&mut bed), (1, 1));
    assert_eq!(bed.replayed(2).state.notes, bed.hosts[2].replica.state.notes);
}

#[test]
fn a_refused_job_without_hope_is_refused() {
    let mut bed = scarce(1);
    sell_behind_the_back(&mut bed);
    let refused = bed.call(2, put("A", &[("TEE", 1)]));
    assert!(matches!(refused, Err(Refusal::InsufficientStock(_))), "{refused:?}");
    assert_eq!(noted(&bed, 2, "A"), None);
    assert!(!has(&bed.hosts[0].replica, "A") && !has(&bed.hosts[2].replica, "A"));
}

#[test]
fn an_attempt_that_was_refused_is_not_done_when_it_comes_again() {
    let mut bed = scarce(1);
    sell_behind_the_back(&mut bed);
    bed.send(2, Request::plain(sale("A", 1)));
    let [(0, forward)] = &sent_on(&bed, 2)[..] else { panic!() };
    let repeat = Message::Forward(forward.clone());
    bed.run(4_000);
    bed.call(0, Command::Receive(movement("TEE", 5))).unwrap();
    let node = bed.name(2);
    bed.step(0, Input::Message { node, message: repeat });
    bed.run(1_000);
    assert!(!has(&bed.hosts[0].replica, "A"));
    // A new attempt under the same id is none of the old ones.
    assert!(bed.call(2, sale("A", 1)).is_ok());
}

#[test]
fn an_attempt_that_was_overtaken_makes_nothing() {
    let mut bed = scarce(2);
    bed.send(2, Request::plain(put("A", &[("TEE", 1)])));
    bed.send(2, Request::plain(put("B", &[("TEE", 1)])));
    let [(0, a), (0, b)] = &sent_on(&bed, 2)[..] else { panic!() };
    let (a, b) = (a.clone(), b.clone());
    bed.wire.retain(|(from, to, _)| (*from, *to) != (2, 0));
    for forward in [b, a] {
        let node = bed.name(2);
        bed.step(0, Input::Message { node, message: Message::Forward(forward) });
    }
    assert!(has(&bed.hosts[0].replica, "B") && !has(&bed.hosts[0].replica, "A"));
}

#[test]
fn a_repeat_of_a_retry_that_waits_is_not_refused_in_its_place() {
    let mut bed = scarce(1);
    bed.cut.insert((2, 0));
    bed.send(2, Request::plain(put("A", &[("TEE", 1)])));
    bed.run(4_000);
    bed.cut.clear();
    bed.call(0, sale("S", 1)).unwrap();
    let token = bed.send(2, Request::plain(put("A", &[("TEE", 1)])));
    let [(0, forward)] = &sent_on(&bed, 2)[..] else { panic!() };
    let repeat = Message::Forward(forward.clone());
    bed.deliver_between(2, 0);
    let node = bed.name(2);
    bed.step(0, Input::Message { node, message: repeat });
    bed.step(
        0,
        Input::Request {
            token: crate::replica::Token(77),
            request: Request::plain(Command::Receive(movement("TEE", 1))),
        },
    );
    bed.run(100);
    assert!(bed.replies[&token].outcome.is_ok(), "{:?}", bed.replies[&token].outcome);
}

#[test]
fn what_a_quota_reserves_is_not_placed_at_nor_taken() {
    let mut bed = scarce(2);
    let quota = Quota { min: Some(Units(2)), ..Quota::default() };
    let policy = Policy { quotas: [(bed.name(0), quota)].into(), ..Policy::default() };
    bed.cut_bulk.extend([(0, 2), (0, 1)]);
    bed.call(0, Command::SetItem { sku: sku("TEE"), policy }).unwrap();
    // Node 2 does not know of the quota; node 0 does.
    let refused = bed.call(2, put("A", &[("TEE", 1)]));
    assert!(matches!(refused, Err(Refusal::InsufficientStock(_))), "{refused:?}");
    assert_eq!(bed.hosts[2].replica.stats().placed_refused, 1);
    bed.cut_bulk.clear();
    bed.run(2_000);
    assert!(bed.call(2, put("B", &[("TEE", 1)])).is_err());
    assert_eq!(bed.hosts[2].replica.stats().placed, 1);
    assert!(bed.call(0, put("C", &[("TEE", 2)])).is_ok());
}

#[test]
fn what_is_moved_by_hand_is_not_placed() {
    let mut bed = scarce(2);
    let policy = Policy { rebalance: Rebalance::Manual, ..Policy::default() };
    bed.cut_bulk.extend([(0, 2), (0, 1)]);
    bed.call(0, Command::SetItem { sku: sku("TEE"), policy }).unwrap();
    assert!(bed.call(2, put("A", &[("TEE", 1)])).is_err());
    assert_eq!(bed.hosts[2].replica.stats().placed_refused, 1);
    bed.cut_bulk.clear();
    bed.run(2_000);
    assert!(bed.call(2, put("B", &[("TEE", 1)])).is_err());
    assert_eq!(bed.hosts[2].replica.stats().placed, 1);
}

#[test]
fn of_two_placed_baskets_that_want_the_last_unit_one_wins() {
    let mut bed = scarce(1);
    let tokens = [1, 2].map(|n| bed.send(n, Request::plain(put(&format!("A{n}"), &[("TEE", 1)]))));
    bed.run(4_000);
    let won = tokens.iter().filter(|token| bed.replies[token].outcome.is_ok()).count();
    assert_eq!((won, made(&mut bed)), (1, (1, 0)));
}

#[test]
fn two_requests_for_one_id_at_once_go_to_one_member() {
    let mut bed = scarce(1);
    let tokens = [0, 1].map(|_| bed.send(2, Request::plain(put("A", &[("TEE", 1)]))));
    assert!(sent_on(&bed, 2).iter().all(|(at, _)| *at == 0));
    bed.run(4_000);
    assert!(tokens.iter().all(|token| bed.replies[token].outcome.is_ok()));
    assert_eq!(made(&mut bed), (1, 0));
}

#[test]
fn the_refusal_of_one_of_two_attempts_proves_nothing() {
    let mut bed = scarce(1);
    sell_behind_the_back(&mut bed);
    bed.send(2, Request::plain(put("A", &[("TEE", 1)])));
    bed.send(2, Request::plain(put("A", &[("TEE", 1)])));
    bed.deliver_between(2, 0);
    bed.deliver_between(0, 2);
    assert_eq!(noted(&bed, 2, "A"), Some(bed.hosts[0].genesis.replica));
}

#[test]
fn a_link_cut_at_confirm_is_told_and_nothing_is_sent() {
    let mut bed = scarce(1);
    bed.call(2, put("A", &[("TEE", 1)])).unwrap();
    bed.unlink(0, 2);
    let silent = Err(Refusal::OwnerUnreachable { unreachable: vec![bed.name(0)] });
    assert_eq!(bed.call(2, confirm("A")), silent);
    assert_eq!(bed.call(2, put("A", &[("TEE", 1)])), silent);
    bed.link(0, 2);
    bed.run(100);
    assert!(bed.call(2, confirm("A")).is_ok());
    assert_eq!(made(&mut bed), (0, 1));
}

#[test]
fn a_retry_at_a_third_node_finds_it_and_a_search_meanwhile_is_not_told_no() {
    let mut bed = scarce(2);
    bed.send(2, Request::plain(put("A", &[("TEE", 1)])));
    let Command::Put(retry) = put("A", &[("TEE", 1)]) else { panic!() };
    let retry = Command::Put(Put { retry: true, ..retry });
    // It is on its way to node 0, and slow.
    let slow = bed.wire.iter().position(|(from, _, m)| *from == 2 && matches!(m, Message::Forward(_)));
    let slow = bed.wire.remove(slow.unwrap()).unwrap();
    let silent = Err(Refusal::OwnerUnreachable { unreachable: vec![bed.name(2)] });
    assert_eq!(bed.call(1, retry.clone()), silent);
    bed.wire.push_back(slow);
    bed.run(100);
    assert_eq!(claimed(bed.call(1, retry)).node, bed.name(0));
    assert_eq!(made(&mut bed), (1, 0));
}

#[test]
fn what_ended_at_the_member_is_for_it_to_decide() {
    let mut bed = scarce(1);
    bed.call(2, put("A", &[("TEE", 1)])).unwrap();
    bed.call(2, cancel("A")).unwrap();
    assert_eq!(bed.call(2, put("A", &[("TEE", 1)])), Err(Refusal::AlreadyCancelled));
    let Command::Put(short) = put("B", &[("TEE", 1)]) else { panic!() };
    bed.call(2, Command::Put(Put { ttl: Millis(500), ..short })).unwrap();
    bed.run(2_000);
    let anew = claimed(bed.call(2, put("B", &[("TEE", 1)])));
    assert_eq!((anew.node, anew.reservation.version), (bed.name(0), 2));
    assert_eq!(made(&mut bed), (1, 0));
}

#[test]
fn other_lines_are_replaced_where_it_is() {
    let mut bed = scarce(1);
    bed.call(2, put("A", &[("TEE", 1)])).unwrap();
    bed.call(0, Command::Receive(movement("TEE", 2))).unwrap();
    let replaced = claimed(bed.call(2, put("A", &[("TEE", 2)])));
    assert_eq!((replaced.node, replaced.reservation.version), (bed.name(0), 2));
    assert_eq!(made(&mut bed), (2, 0));
}

#[test]
fn batches_conditions_and_the_impatient_are_not_placed() {
    let mut bed = scarce(1);
    let Command::Put(order) = put("A", &[("TEE", 1)]) else { panic!() };
    bed.call(2, Command::Batch(vec![Operation::Reserve(order.clone())])).unwrap();
    assert!(bed.call(2, Command::Put(Put { wait: Millis(0), ..order.clone() })).is_err());
    let node = bed.name(0);
    bed.step(2, Input::RoundTrip { node, time: Millis(501) });
    bed.send(2, Request::plain(Command::Put(order.clone())));
    assert_eq!(bed.hosts[2].replica.stats().placed, 0);
    bed.run(1_000);
    let conditional = Put { id: id("C"), if_match: Some(0), ..order };
    let _ = bed.call(2, Command::Put(conditional));
    assert_eq!(bed.hosts[2].replica.stats().placed, 0);
}

#[test]
fn an_operation_of_a_batch_about_what_was_placed_goes_there() {
    let mut bed = scarce(2);
    bed.call(2, put("A", &[("TEE", 1)])).unwrap();
    let Command::Put(order) = put("A", &[("TEE", 1)]) else { panic!() };
    let batch = vec![Operation::Reserve(order), Operation::Confirm { id: id("A") }];
    let Ok(Answer::Batch(done)) = bed.call(2, Command::Batch(batch)) else { panic!() };
    assert!(done.iter().all(|done| done.as_ref().is_ok_and(|claimed| claimed.node == bed.name(0))));
    assert_eq!(made(&mut bed), (0, 1));
}

#[test]
fn where_the_member_never_had_it_everybody_is_asked() {
    let mut bed = scarce(2);
    bed.cut.insert((2, 0));
    let token = bed.send(2, Request::plain(put("A", &[("TEE", 1)])));
    bed.run(4_000);
    bed.cut.clear();
    assert_eq!(bed.replies[&token].outcome, Err(Refusal::OutcomeUnknown));
    // The buyer went to node 1 with it.
    bed.transfer(0, 1, "TEE", 1);
    let Command::Put(retry) = put("A", &[("TEE", 1)]) else { panic!() };
    bed.call(1, Command::Put(Put { retry: true, ..retry.clone() })).unwrap();
    assert_eq!(claimed(bed.call(2, Command::Read { id: id("A") })).node, bed.name(1));
    let again = claimed(bed.call(2, Command::Put(Put { retry: true, ..retry })));
    assert_eq!((again.node, again.created), (bed.name(1), false));
    assert!(bed.call(2, confirm("A")).is_ok());
    assert_eq!(made(&mut bed), (0, 1));
}

#[test]
fn a_note_comes_back_from_journal_and_checkpoint_and_is_forgotten_in_time() {
    let mut bed = scarce(1);
    for name in ["A", "B", "C"] {
        bed.call(2, put(name, &[("TEE", 1)])).unwrap();
        bed.call(0, Command::Receive(movement("TEE", 1))).unwrap();
        bed.run(200);
    }
    let notes = bed.hosts[2].replica.state.notes.clone();
    assert_eq!(notes.iter().count(), 3);
    assert_eq!(bed.replayed(2).state.notes, notes);
    let mut restored = Replica::new(bed.hosts[2].genesis.clone(), Limits::default());
    bed.checkpoint(2).iter().for_each(|record| restored.restore(record));
    assert_eq!(restored.state.notes, notes);
    bed.now = bed.now.after(Millis::from_secs(86_400 + 599));
    bed.call(2, Command::Receive(movement("TEE", 1))).unwrap();
    assert_eq!(bed.hosts[2].replica.state.notes.iter().count(), 3);
    bed.now = bed.now.after(Millis::from_secs(10));
    bed.call(2, Command::Receive(movement("TEE", 1))).unwrap();
    assert_eq!(bed.hosts[2].replica.state.notes.iter().count(), 0);
    assert_eq!(bed.hosts[2].replica.state.notes.bytes(), 0);
}

#[test]
fn a_note_lasts_as_long_as_what_is_extended() {
    let mut bed = scarce(1);
    bed.call(2, put("A", &[("TEE", 1)])).unwrap();
    let before = bed.hosts[2].replica.state.notes.oldest().unwrap();
    bed.call(2, Command::Extend { id: id("A"), ttl: Millis::from_secs(80_000) }).unwrap();
    let after = bed.hosts[2].replica.state.notes.oldest().unwrap();
    assert!(after.since(before) > Millis::from_secs(79_000));
}

#[test]
fn a_note_about_what_is_here_is_a_violation() {
    let mut bed = scarce(1);
    bed.call(0, put("A", &[("TEE", 1)])).unwrap();
    let mut note = crate::wire::Placed {
        id: id("A"),
        at: bed.hosts[1].genesis.replica,
        request: None,
        time: bed.now,
        withdrawn: false,
    };
    let mut wrong = |note: &crate::wire::Placed| {
        bed.hosts[0].replica.state.notes.put(note);
        let found = bed.hosts[0].replica.check().violations;
        found.iter().any(|violation| violation.invariant == "placed_elsewhere")
    };
    assert!(wrong(&note));
    note.withdrawn = true;
    assert!(!wrong(&note));
    let nobody = ReplicaId(uuid::Uuid::from_u128(77));
    assert!(wrong(&crate::wire::Placed { id: id("B"), at: nobody, withdrawn: false, ..note }));
}

/// Buyers who wait for one round trip and a half.
fn hasty(name: &str) -> Command {
    match put(name, &[("TEE", 1)]) {
        Command::Put(put) => Command::Put(Put { wait: Millis(150), ..put }),
        other => other,
    }
}

#[test]
fn buyers_who_come_together_are_placed_where_each_finds_a_unit() {
    let mut bed = scarce(1);
    bed.call(1, Command::Receive(movement("TEE", 1))).unwrap();
    bed.run(1_000);
    let tokens = ["A", "B"].map(|name| bed.send(2, Request::plain(hasty(name))));
    let mut at: Vec<usize> = sent_on(&bed, 2).iter().map(|(at, _)| *at).collect();
    at.sort_unstable();
    assert_eq!(at, [0, 1], "the second one knows that the first took the unit of one member");
    bed.run(4_000);
    assert!(tokens.iter().all(|token| bed.replies[token].outcome.is_ok()));
    assert_eq!(made(&mut bed), (2, 0));
}

#[test]
fn a_retry_elsewhere_makes_nothing_while_what_was_placed_may_still_come() {
    let mut bed = scarce(2);
    let token = bed.send(2, Request::plain(put("A", &[("TEE", 1)])));
    let [(0, forward)] = &sent_on(&bed, 2)[..] else { panic!() };
    let late = Message::Forward(forward.clone());
    bed.wire.retain(|(from, to, message)| !(*from == 2 && *to == 0 && *message == late));
    bed.run(4_000);
    assert_eq!(bed.replies[&token].outcome, Err(Refusal::OutcomeUnknown));
    bed.call(1, Command::Receive(movement("TEE", 1))).unwrap();
    let Command::Put(again) = put("A", &[("TEE", 1)]) else { panic!() };
    let retried = bed.call(1, Command::Put(Put { retry: true, ..again }));
    let node = bed.name(2);
    bed.step(0, Input::Message { node, message: late });
    let at = [0, 1].map(|n| has(&bed.hosts[n].replica, "A"));
    assert_ne!(at, [true, true], "one id, two members: {retried:?}");
}

#[test]
fn an_id_that_was_placed_and_has_expired_is_not_refused_for_good_by_a_node_that_drains() {
    let mut bed = scarce(2);
    claimed(bed.call(2, put("A", &[("TEE", 1)])));
    bed.run(700_000);
    let node = bed.name(0);
    bed.call(0, Command::SetDraining { node, draining: true }).unwrap();
    bed.run(2_000);
    bed.call(2, Command::Receive(movement("TEE", 5))).unwrap();
    let again = bed.call(2, put("A", &[("TEE", 1)]));
    assert!(again.is_ok(), "{again:?}, with {} units here", bed.available(2, "TEE"));
    // The first node has let it go: units that come back there are not sold under this id, too.
    let node = bed.name(0);
    bed.call(0, Command::SetDraining { node, draining: false }).unwrap();
    bed.call(0, Command::Receive(movement("TEE", 5))).unwrap();
    assert_eq!(bed.call(0, confirm("A")), Err(Refusal::AlreadyCancelled));
    assert!(bed.call(2, confirm("A")).is_ok());
}

#[test]
fn who_may_hold_none_sends_large_orders_to_the_units_too() {
    let mut bed = scarce(20);
    let quota = Quota { max: Some(Units(0)), ..Quota::default() };
    let policy = Policy { quotas: [(bed.name(2), quota)].into(), ..Policy::default() };
    bed.call(0, Command::SetItem { sku: sku("TEE"), policy }).unwrap();
    bed.run(2_000);
    for (name, units) in [("A", 1), ("B", 1), ("C", 1), ("D", 9)] {
        let outcome = bed.call(2, put(name, &[("TEE", units)]));
        assert!(outcome.is_ok(), "{units}: {outcome:?}");
    }
}

#[test]
fn a_rebalance_gives_nobody_what_a_quota_reserves_nor_twice_what_there_is() {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", 12);
    let floor = |units| Quota { min: Some(Units(units)), ..Quota::default() };
    let quotas = [(bed.name(0), floor(5)), (bed.name(1), floor(10)), (bed.name(2), floor(10))].into();
    let policy = Policy { quotas, ..Policy::default() };
    // All at once, before the node gives anything by itself.
    bed.send(0, Request::plain(Command::SetItem { sku: sku("TEE"), policy }));
    let rebalance = |dry_run| Command::Rebalance { sku: None, dry_run, after: None, limit: 1_000 };
    let [plan, _] = [true, false].map(|dry_run| bed.send(0, Request::plain(rebalance(dry_run))));
    let Ok(Answer::Moves { moves, .. }) = bed.replies[&plan].outcome.clone() else { panic!() };
    let moved: u64 = moves.iter().map(|planned| planned.quantity.0).sum();
    assert!(moved <= 7, "{moves:?}, of 12 of which 5 are reserved");
    assert!(bed.available(0, "TEE") >= 5, "{}", bed.available(0, "TEE"));
}

#[test]
fn an_order_that_could_never_be_served_changes_nothing_for_the_others() {
    let served = |absurd: bool| {
        let mut bed = scarce(300);
        if absurd {
            assert!(bed.call(2, put("X", &[("TEE", 1_000_000_000)])).is_err());
        }
        let hasty = |n| match sale(&format!("S{n}"), 1) {
            Command::Sell(sell) => Command::Sell(Sell { wait: Millis(0), ..sell }),
            other => other,
        };
        let buyers = (0..100).map(|n| {
            bed.run(1_000);
            bed.call(2, hasty(n)).is_ok()
        });
        buyers.filter(|served| *served).count()
    };
    let (usual, absurd) = (served(false), served(true));
    assert!(usual > 90 && absurd > 90, "{usual} without it, {absurd} after it");
}
