//! A node that drains gives away what it has, finishes what it began, and takes no more.

use super::bed::*;
use crate::replica::Input;
use crate::types::*;

fn drain(bed: &Bed, n: usize) -> Command {
    Command::SetDraining { node: bed.name(n), draining: true }
}

fn resume(bed: &Bed, n: usize) -> Command {
    Command::SetDraining { node: bed.name(n), draining: false }
}

fn state(bed: &mut Bed, at: usize, of: usize) -> NodeState {
    let name = bed.name(of);
    match bed.call(at, Command::Nodes) {
        Ok(Answer::Nodes { nodes, .. }) => nodes.into_iter().find(|node| node.name == name).unwrap().state,
        other => panic!("{other:?}"),
    }
}

fn sell(name: &str) -> Command {
    Command::Sell(patient_sale(name, 0))
}

fn patient_sale(name: &str, wait: u64) -> Sell {
    Sell { id: id(name), lines: vec![line("TEE", 1)], wait: Millis(wait), reference: None, minted: false }
}

#[test]
fn a_drained_node_has_nothing_left_and_refuses_new_work_until_it_resumes() {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", 10);
    bed.item(0, "MUG", 3);
    bed.call(0, put("HELD", &[("TEE", 2)])).unwrap();
    let command = drain(&bed, 0);
    // Asked at another node, done by the one that drains.
    let answer = bed.keyed(1, "d", command.clone());
    assert!(matches!(&answer.outcome, Ok(Answer::Node(status))
        if status.state == NodeState::Draining && !status.is_self && status.name == bed.name(0)));
    assert!(bed.keyed(1, "d", command).replayed);
    bed.run(200);
    assert_eq!((bed.available(0, "TEE"), bed.available(0, "MUG")), (0, 0));
    assert_eq!(bed.available(1, "TEE") + bed.available(2, "TEE"), 8);
    assert_eq!(state(&mut bed, 2, 0), NodeState::Draining, "two units are held there");

    assert_eq!(bed.call(0, put("NEW", &[("TEE", 1)])), Err(Refusal::Draining));
    assert_eq!(bed.call(0, sell("NEW")), Err(Refusal::Draining));
    assert!(bed.call(0, put("HELD", &[("TEE", 2)])).is_ok(), "it is known");
    assert!(bed.call(0, put("HELD", &[("TEE", 1)])).is_ok(), "less of it");
    bed.run(200);
    assert!(bed.call(0, confirm("HELD")).is_ok());
    bed.call(0, Command::Return(movement("TEE", 1))).unwrap();
    bed.call(0, Command::Receive(movement("MUG", 4))).unwrap();
    bed.run(600);
    for at in 0..3 {
        assert_eq!(state(&mut bed, at, 0), NodeState::Drained);
    }
    assert_eq!(bed.available(1, "TEE") + bed.available(2, "TEE"), 10);
    assert_eq!(bed.available(1, "MUG") + bed.available(2, "MUG"), 7);
    assert!(bed.call(1, put("ELSEWHERE", &[("TEE", 10)])).is_ok());

    bed.restart(0);
    bed.rejoin(0);
    bed.run(4_000);
    assert_eq!(bed.call(0, put("NEW", &[("MUG", 1)])), Err(Refusal::Draining), "it is durable");
    let command = resume(&bed, 0);
    bed.call(2, command).unwrap();
    bed.run(100);
    assert_eq!(state(&mut bed, 1, 0), NodeState::Active);
    assert!(bed.call(0, put("NEW", &[("MUG", 1)])).is_ok());
}

#[test]
fn nothing_is_given_to_whom_nobody_can_reach_and_all_of_it_once_someone_can_be() {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", 6);
    bed.isolate(0);
    let command = drain(&bed, 0);
    bed.call(0, command).unwrap();
    bed.run(1_000);
    assert_eq!(bed.available(0, "TEE"), 6);
    bed.link(0, 1);
    bed.run(1_000);
    assert_eq!((bed.available(0, "TEE"), bed.available(1, "TEE")), (0, 6));
    let command = drain(&bed, 2);
    assert_eq!(bed.call(0, command), Err(Refusal::NodeUnreachable { node: bed.name(2) }));
    let nobody = Command::SetDraining { node: NodeName::new("n-9").unwrap(), draining: true };
    assert!(matches!(bed.call(0, nobody), Err(Refusal::UnknownNode { field, .. }) if field == "name"));
}

#[test]
fn two_that_drain_do_not_give_to_each_other() {
    let mut bed = Bed::new(2);
    bed.item(0, "TEE", 4);
    bed.transfer(0, 1, "TEE", 2);
    bed.call(1, put("A", &[("TEE", 2)])).unwrap();
    for n in [0, 1] {
        let command = drain(&bed, n);
        bed.call(n, command).unwrap();
    }
    bed.run(1_000);
    let before = (bed.available(0, "TEE"), bed.available(1, "TEE"));
    bed.call(1, cancel("A")).unwrap();
    bed.run(1_000);
    assert_eq!(bed.available(0, "TEE") + bed.available(1, "TEE"), 4);
    assert_eq!(bed.available(0, "TEE"), before.0);
}

#[test]
fn what_waits_at_a_node_that_drains_is_not_made_once_its_sender_went_on_without_it() {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", 1);
    bed.run(1_000);
    let patient = |wait| match put("A", &[("TEE", 1)]) {
        Command::Put(put) => Command::Put(Put { wait: Millis(wait), ..put }),
        other => other,
    };
    // Placed, but the unit is gone by then, and the refusal is lost.
    bed.send(2, Request::plain(patient(500)));
    bed.send(0, Request::plain(sell("X")));
    bed.cut.insert((0, 2));
    bed.run(4_000);
    bed.cut.clear();
    // A retry waits there for units of the third node, and its sender loses sight of it.
    bed.cut.insert((1, 0));
    bed.send(2, Request::plain(patient(10_000)));
    bed.deliver_between(2, 0);
    bed.unlink(0, 2);
    assert_eq!(bed.hosts[0].replica.jobs.len(), 1, "it waits");
    bed.link(0, 2);
    bed.run(20);
    let command = drain(&bed, 0);
    bed.call(0, command).unwrap();
    bed.call(2, Command::Receive(movement("TEE", 5))).unwrap();
    bed.call(2, patient(500)).unwrap();
    let command = resume(&bed, 0);
    bed.call(0, command).unwrap();
    bed.run(12_000);
    let has = |n: usize| bed.hosts[n].replica.reservations().any(|reservation| reservation.id == id("A"));
    assert_eq!([has(0), has(2)], [false, true], "one id, one effect");
}

/// A reservation that node 2 placed at node 0 and that has expired there. Node 0 drains, node 2 has units.
fn expired_at_a_node_that_drains() -> Bed {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", 2);
    bed.run(1_000);
    bed.call(2, put("A", &[("TEE", 1)])).unwrap();
    bed.run(700_000);
    let command = drain(&bed, 0);
    bed.call(0, command).unwrap();
    bed.run(2_000);
    bed.call(2, Command::Receive(movement("TEE", 5))).unwrap();
    bed
}

fn held_at_2(outcome: &Outcome) -> bool {
    matches!(outcome, Ok(Answer::Reservation(claimed)) if claimed.node.as_str() == "n-2")
}

#[test]
fn an_id_that_was_let_go_is_made_elsewhere_also_when_it_is_asked_for_twice_at_once() {
    let mut bed = expired_at_a_node_that_drains();
    let tokens = [0, 1].map(|_| bed.send(2, Request::plain(put("A", &[("TEE", 1)]))));
    bed.run(4_000);
    let [first, second] = tokens.map(|token| bed.replies[&token].outcome.clone());
    assert_eq!(first, Err(Refusal::Draining), "the other one is on its way still");
    assert!(held_at_2(&second), "{second:?}");
}

#[test]
fn an_id_that_was_let_go_is_made_elsewhere_also_when_that_was_not_heard() {
    for is_cancelled in [false, true] {
        let mut bed = expired_at_a_node_that_drains();
        bed.cut.insert((0, 2));
        let token = bed.send(2, Request::plain(put("A", &[("TEE", 1)])));
        bed.run(4_000);
        bed.cut.clear();
        assert_eq!(bed.replies[&token].outcome, Err(Refusal::OutcomeUnknown));
        if is_cancelled {
            bed.call(2, cancel("A")).unwrap();
        }
        let again = bed.call(2, put("A", &[("TEE", 1)]));
        if is_cancelled {
            assert_eq!(again, Err(Refusal::AlreadyCancelled), "as the buyer was told");
        } else {
            assert!(held_at_2(&again), "{again:?}");
        }
    }
}

/// Node 0 sent a sale to node 1, which has drained since, and does not know what came of it.
fn unknown_at_a_node_that_drains() -> Bed {
    let mut bed = Bed::new(2);
    bed.item(1, "TEE", 1);
    bed.run(1_000);
    bed.cut.insert((0, 1));
    assert_eq!(bed.call(0, Command::Sell(patient_sale("A", 500))), Err(Refusal::OutcomeUnknown));
    bed.cut.clear();
    let command = drain(&bed, 1);
    bed.call(1, command).unwrap();
    bed.run(3_000);
    assert_eq!((bed.available(0, "TEE"), bed.available(1, "TEE")), (1, 0));
    bed
}

/// Node 1 takes work again, and has units; then all that is on its way comes. Who has it then?
fn made_at(bed: &mut Bed) -> [bool; 2] {
    let command = resume(bed, 1);
    bed.send(1, Request::plain(command));
    bed.send(1, Request::plain(Command::Receive(movement("TEE", 5))));
    bed.run(5_000);
    [0, 1].map(|n| bed.hosts[n].replica.reservations().any(|reservation| reservation.id == id("A")))
}

#[test]
fn a_refusal_of_a_node_that_drained_is_not_believed_while_a_later_attempt_may_come() {
    let mut bed = unknown_at_a_node_that_drains();
    let first = bed.send(0, Request::plain(Command::Sell(patient_sale("A", 10_000))));
    let second = bed.send(0, Request::plain(sell("A")));
    // The second one is slow, and nobody waits for its answer any more.
    bed.now = bed.now.after(Millis(3_100));
    bed.step(0, Input::Tick);
    assert_eq!(bed.replies[&second].outcome, Err(Refusal::OutcomeUnknown));
    bed.deliver_between(0, 1);
    assert_eq!(made_at(&mut bed), [false, true]);
    assert_eq!(bed.replies[&first].outcome, Err(Refusal::Draining));
    assert!(bed.call(0, sell("A")).is_ok(), "it is found where it was made");
}

#[test]
fn an_operation_of_a_batch_is_such_a_later_attempt_too() {
    let mut bed = unknown_at_a_node_that_drains();
    bed.send(0, Request::plain(Command::Sell(patient_sale("A", 1_000))));
    let batch = Command::Batch(vec![Operation::Sell(patient_sale("A", 0))]);
    let batch = bed.send(0, Request::plain(batch));
    bed.deliver_between(0, 1);
    bed.deliver_between(1, 0);
    assert_eq!(made_at(&mut bed), [false, true]);
    let Ok(Answer::Batch(done)) = &bed.replies[&batch].outcome else { panic!() };
    assert!(matches!(&done[..], [Ok(claimed)] if claimed.node.as_str() == "n-1"), "{done:?}");
}
