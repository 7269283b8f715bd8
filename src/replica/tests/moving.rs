//! Several replicas: rights move to the buyers, and what a refused buyer is told is true.

use super::bed::*;
use crate::replica::{Input, Token};
use crate::types::*;
use crate::wire::Message;

fn receive(name: &str, units: u64) -> Input {
    let request = Request::plain(Command::Receive(movement(name, units)));
    Input::Request { token: Token(1_000_000), request }
}

fn verdict(outcome: Outcome) -> (Verdict, u64, Vec<String>) {
    match outcome {
        Err(Refusal::InsufficientStock(shortfalls)) => {
            let first = &shortfalls[0];
            let silent = first.unreachable.iter().map(ToString::to_string).collect();
            (first.verdict, first.elsewhere.0, silent)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_buyer_is_served_with_units_from_another_node() {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", 10);
    assert!(bed.call(2, put("A", &[("TEE", 4)])).is_ok());
    assert!(bed.call(1, put("B", &[("TEE", 6)])).is_ok());
    let refused = bed.call(1, put("C", &[("TEE", 1)]));
    assert_eq!(verdict(refused), (Verdict::SoldOut, 0, vec![]));
    bed.run(2_000);
    assert_eq!(bed.digests().len(), 1);
    let totals = bed.books(0, "TEE").totals;
    assert_eq!((totals.held, totals.available, totals.in_flight), (Units(10), Units(0), Units(0)));
}

#[test]
fn an_answer_says_whether_it_waited_for_others() {
    let mut bed = Bed::new(2);
    bed.item(0, "TEE", 10);
    let reserve = |id: &str| Request::plain(put(id, &[("TEE", 1)]));
    let local = bed.ask(0, reserve("A"));
    assert!(local.outcome.is_ok() && !local.waited);
    let fetched = bed.ask(1, reserve("B"));
    assert!(fetched.outcome.is_ok() && fetched.waited);
    // The id is the other node's: it is asked.
    assert!(bed.ask(1, Request::plain(confirm("A"))).waited);
    let too_many = bed.ask(1, Request::plain(put("C", &[("TEE", 99)])));
    assert!(too_many.outcome.is_err() && too_many.waited);
    assert!(!bed.ask(1, Request::plain(cancel("B"))).waited);
}

#[test]
fn several_donors_fill_one_basket() {
    let mut bed = Bed::new(4);
    for n in 0..3 {
        bed.item(n, "TEE", 3);
        bed.item(n, &format!("MUG{n}"), 1);
    }
    bed.call(3, put("A", &[("TEE", 9), ("MUG0", 1), ("MUG1", 1), ("MUG2", 1)])).unwrap();
}

#[test]
fn a_cancelled_unit_is_found_by_a_waiting_buyer_elsewhere() {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", 1);
    bed.call(0, put("A", &[("TEE", 1)])).unwrap();
    bed.run(1_000);
    assert_eq!(verdict(bed.call(1, put("B", &[("TEE", 1)]))).0, Verdict::SoldOut);
    bed.call(0, cancel("A")).unwrap();
    assert!(bed.call(1, put("B", &[("TEE", 1)])).is_ok());
}

#[test]
fn a_cut_off_node_sells_what_it_has_and_says_unknown_for_the_rest() {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", 6);
    bed.transfer(0, 1, "TEE", 3);
    let here = bed.available(1, "TEE");
    assert!(here >= 3);
    bed.isolate(1);
    bed.run(5_000);
    assert!(bed.call(1, put("B", &[("TEE", here)])).is_ok());
    let (told, _, silent) = verdict(bed.call(1, put("C", &[("TEE", 1)])));
    assert_eq!(told, Verdict::Unknown);
    assert_eq!(silent, ["n-0", "n-2"]);
    let (told, _, _) = verdict(bed.call(0, put("D", &[("TEE", 99)])));
    assert_ne!(told, Verdict::SoldOut);
    bed.rejoin(1);
    bed.run(1_000);
    assert_eq!(bed.digests().len(), 1);
    assert!(bed.call(1, put("E", &[("TEE", 6 - here)])).is_ok());
    assert_eq!(verdict(bed.call(1, put("F", &[("TEE", 1)]))).0, Verdict::SoldOut);
}

#[test]
fn pinned_and_reserved_units_stay_and_the_buyer_hears_where_they_are() {
    let mut bed = Bed::new(2);
    bed.item(0, "TEE", 10);
    let quota = Quota { min: Some(Units(8)), ..Quota::default() };
    let policy = Policy { quotas: [(bed.name(0), quota)].into(), ..Policy::default() };
    bed.call(0, Command::SetItem { sku: sku("TEE"), policy }).unwrap();
    bed.run(200);
    assert_eq!(verdict(bed.call(1, put("A", &[("TEE", 3)]))), (Verdict::Elsewhere, 10, vec![]));
    assert!(bed.call(1, put("A", &[("TEE", 2)])).is_ok());
}

#[test]
fn what_an_admin_moves_by_hand_is_not_moved_by_itself() {
    let mut bed = Bed::new(2);
    bed.item(0, "TEE", 10);
    let policy = Policy { rebalance: Rebalance::Manual, ..Policy::default() };
    bed.call(0, Command::SetItem { sku: sku("TEE"), policy }).unwrap();
    bed.run(600);
    assert_eq!(verdict(bed.call(1, put("A", &[("TEE", 1)]))).0, Verdict::Elsewhere);
    let transfer = |from: usize, to: usize, quantity, bed: &Bed| {
        Command::Transfer(Transfer {
            sku: sku("TEE"),
            from: bed.name(from),
            to: bed.name(to),
            quantity: Units(quantity),
            reference: None,
        })
    };
    // Asked at the receiver, made by the giver.
    let command = transfer(0, 1, 4, &bed);
    bed.keyed(1, "t", command.clone()).outcome.unwrap();
    assert!(bed.keyed(1, "t", command).replayed);
    bed.run(100);
    assert_eq!((bed.available(0, "TEE"), bed.available(1, "TEE")), (6, 4));
    let command = transfer(0, 1, 7, &bed);
    assert_eq!(bed.keyed(0, "t2", command).outcome, Err(Refusal::NotFreeHere { free: Units(6) }));
    bed.isolate(0);
    let command = transfer(0, 1, 1, &bed);
    assert_eq!(bed.call(1, command), Err(Refusal::NodeUnreachable { node: bed.name(0) }));
}

#[test]
fn a_transfer_asked_of_a_third_node_is_in_the_books_that_are_read_there_next() {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", 10);
    bed.cut_bulk.extend([(0, 2), (1, 2)]);
    let (sku, from, to) = (sku("TEE"), bed.name(0), bed.name(1));
    let transfer = Transfer { sku, from, to, quantity: Units(4), reference: None };
    bed.call(2, Command::Transfer(transfer)).unwrap();
    let books = bed.books(2, "TEE");
    assert_eq!((books.nodes[0].sent, books.totals.in_flight), (Units(4), Units(4)));
}

#[test]
fn of_two_baskets_that_want_each_others_units_one_wins() {
    let mut bed = Bed::new(2);
    bed.item(0, "X", 1);
    bed.item(1, "Y", 1);
    let a = bed.send(0, Request::plain(put("A", &[("X", 1), ("Y", 1)])));
    let b = bed.send(1, Request::plain(put("B", &[("X", 1), ("Y", 1)])));
    bed.run(600);
    let won = [a, b].iter().filter(|token| bed.replies[token].outcome.is_ok()).count();
    assert_eq!(won, 1);
}

#[test]
fn the_owner_is_found_and_decides() {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", 10);
    bed.call(0, put("A", &[("TEE", 2)])).unwrap();
    let Ok(Answer::Reservation(claimed)) = bed.call(2, Command::Read { id: id("A") }) else { panic!() };
    assert_eq!(claimed.node, bed.name(0));
    assert!(bed.call(1, confirm("A")).is_ok());
    assert_eq!(bed.call(2, cancel("A")), Err(Refusal::AlreadyConfirmed));
    assert_eq!(bed.call(2, cancel("nope")), Err(Refusal::ReservationNotFound));
    bed.isolate(0);
    let silent = Refusal::OwnerUnreachable { unreachable: vec![bed.name(0)] };
    assert_eq!(bed.call(2, confirm("A")), Err(silent.clone()));
    let Command::Put(mut again) = put("A", &[("TEE", 2)]) else { panic!() };
    again.retry = true;
    assert_eq!(bed.call(2, Command::Put(again.clone())), Err(silent));
    bed.rejoin(0);
    bed.run(100);
    let Ok(Answer::Reservation(claimed)) = bed.call(2, Command::Put(again.clone())) else { panic!() };
    assert_eq!((claimed.node, claimed.reservation.state), (bed.name(0), ReservationState::Confirmed));
    bed.transfer(0, 2, "TEE", 2);
    again.id = id("fresh");
    let Ok(Answer::Reservation(claimed)) = bed.call(2, Command::Put(again)) else { panic!() };
    assert_eq!((claimed.node, claimed.created), (bed.name(2), true));
}

/// What node 0 has sent to node 1 to be done there, as soon as it has.
fn forwarded(bed: &mut Bed, command: Command) -> Message {
    bed.send(0, Request::plain(command));
    let is_write =
        |m: &Message| matches!(m, Message::Forward(f) if !matches!(f.request.command, Command::Read { .. }));
    loop {
        let found = bed.wire.iter().find(|(from, to, m)| (*from, *to) == (0, 1) && is_write(m));
        if let Some((_, _, message)) = found {
            return message.clone();
        }
        assert!(bed.deliver(), "it is forwarded");
    }
}

#[test]
fn a_late_repeat_of_what_was_forwarded_undoes_nothing_that_was_decided_since() {
    let mut bed = Bed::new(2);
    bed.item(1, "TEE", 10);
    bed.call(1, put("A", &[("TEE", 1)])).unwrap();
    let drain = |draining| Command::SetDraining { node: NodeName::new("n-1").unwrap(), draining };
    let extend = |seconds| Command::Extend { id: id("A"), ttl: Millis::from_secs(seconds) };
    let old = [(drain(true), drain(false)), (extend(60), extend(3_600))].map(|(first, second)| {
        let message = forwarded(&mut bed, first);
        bed.run(100);
        bed.call(0, second).unwrap();
        message
    });
    let decided = |bed: &Bed| {
        let held = bed.hosts[1].replica.reservations().next().unwrap();
        (bed.hosts[1].replica.own_state(), held.deadline, held.version)
    };
    let before = decided(&bed);
    for message in old {
        let node = bed.name(0);
        bed.step(1, Input::Message { node, message });
    }
    assert_eq!(decided(&bed), before);
}

#[test]
fn units_that_moved_more_often_than_can_be_counted_move_on() {
    let mut bed = Bed::new(2);
    bed.item(0, "TEE", 10);
    for n in 0..2 {
        bed.hosts[n].replica.stats.transferred_units = u64::MAX;
    }
    // By an admin, and by itself.
    bed.transfer(0, 1, "TEE", 5);
    bed.call(1, Command::SetDraining { node: bed.name(1), draining: true }).unwrap();
    bed.run(500);
    assert_eq!(bed.available(0, "TEE"), 10);
    assert!(bed.hosts.iter().all(|host| host.replica.stats().transferred_units == u64::MAX));
}

#[test]
fn an_answer_lost_on_the_way_is_unknown_and_repeating_is_safe() {
    let mut bed = Bed::new(2);
    bed.item(0, "TEE", 10);
    bed.call(0, put("A", &[("TEE", 2)])).unwrap();
    let token = bed.send(1, Request::plain(confirm("A")));
    // The search goes there and back, the confirm goes there; the answer is lost.
    for _ in 0..3 {
        bed.deliver();
    }
    bed.wire.clear();
    bed.unlink(0, 1);
    assert_eq!(bed.replies[&token].outcome, Err(Refusal::OutcomeUnknown));
    bed.link(0, 1);
    bed.run(100);
    assert!(bed.call(1, confirm("A")).is_ok());
    assert_eq!(bed.books(0, "TEE").totals.sold, Units(2));
}

#[test]
fn the_world_sells_out_to_exactly_zero_through_any_nodes() {
    let mut bed = Bed::new(4);
    bed.item(0, "TEE", 200);
    let tokens: Vec<u64> =
        (0..200).map(|n| bed.send(n % 4, Request::plain(put(&format!("A{n}"), &[("TEE", 1)])))).collect();
    bed.run(2_000);
    let sold = tokens.iter().filter(|token| bed.replies[token].outcome.is_ok()).count();
    assert_eq!(sold, 200);
    assert_eq!(verdict(bed.call(3, put("Z", &[("TEE", 1)]))).0, Verdict::SoldOut);
}

#[test]
fn a_row_that_rests_on_an_unknown_one_proves_nothing() {
    let mut bed = Bed::new(3);
    bed.call(0, Command::SetItem { sku: sku("TEE"), policy: Policy::default() }).unwrap();
    bed.run(3_000);
    let refused = bed.send(2, Request::plain(put("A", &[("TEE", 1)])));
    // Host 0 says that it never had a unit; then it has five, and gives three away.
    bed.deliver_between(2, 0);
    bed.deliver_between(0, 2);
    bed.step(0, receive("TEE", 5));
    let served = bed.send(1, Request::plain(put("B", &[("TEE", 3)])));
    bed.deliver_between(1, 0);
    bed.deliver_between(0, 1);
    assert!(bed.replies[&served].outcome.is_ok());
    // Host 1 tells of what it took in from host 0, whose row is still unknown.
    bed.deliver_between(2, 1);
    while !bed.wire.iter().all(|(from, to, _)| (*from, *to) != (1, 2)) {
        bed.deliver_between(1, 2);
    }
    let told = bed.replies.get(&refused).map(|reply| reply.outcome.clone());
    assert!(told.is_none_or(|outcome| verdict(outcome).0 != Verdict::SoldOut));
}

#[test]
fn a_row_that_was_not_taken_was_not_heard() {
    let mut bed = Bed::new(2);
    bed.item(0, "TEE", 1);
    bed.call(0, put("A", &[("TEE", 1)])).unwrap();
    bed.run(1_000);
    bed.restart(0);
    bed.run(3_100);
    bed.call(0, cancel("A")).unwrap();
    // The hellos arrive; the pass that tells of the new session does not.
    bed.link(0, 1);
    bed.deliver_between(0, 1);
    bed.deliver_between(1, 0);
    bed.wire.clear();
    let token = bed.send(1, Request::plain(put("B", &[("TEE", 1)])));
    bed.deliver_between(1, 0);
    bed.wire.retain(|(_, _, message)| !matches!(message, Message::Pass(_)));
    bed.deliver_between(0, 1);
    let told = bed.replies.get(&token).map(|reply| reply.outcome.clone());
    assert!(told.is_none_or(|outcome| verdict(outcome).0 != Verdict::SoldOut));
}

#[test]
fn an_id_that_two_nodes_sold_is_reported() {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", 10);
    for seller in [0, 1] {
        bed.call(seller, put("A", &[("TEE", 1)])).unwrap();
        bed.call(seller, confirm("A")).unwrap();
    }
    bed.forgiving = true;
    assert!(bed.call(2, Command::Read { id: id("A") }).is_ok());
    let found = bed.hosts[2].replica.check().violations;
    assert_eq!(found[0].invariant, "one_owner");
}
