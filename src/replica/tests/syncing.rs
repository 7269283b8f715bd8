//! Logs travel by any path, twice or not at all, and an old disk is found out.

use super::bed::*;
use crate::limits::{Limits, USUAL_ROUND_TRIP};
use crate::replica::*;
use crate::types::*;
use crate::wire::Message;

#[test]
fn rows_reach_a_node_through_others() {
    let mut bed = Bed::new(3);
    bed.unlink(0, 2);
    bed.item(0, "TEE", 7);
    bed.run(3_000);
    assert_eq!(bed.digests().len(), 1);
    assert!(bed.hosts[2].views.contains_key(&sku("TEE")));
}

#[test]
fn lost_messages_are_made_good_by_digests() {
    let mut bed = Bed::new(2);
    bed.item(0, "TEE", 7);
    // Everything from 0 to 1 is lost for a while, on a link that stays up.
    bed.cut.insert((0, 1));
    for n in 0..600 {
        bed.call(0, Command::SetItem { sku: sku(&format!("I{n}")), policy: Policy::default() }).unwrap();
    }
    bed.call(0, put("A", &[("TEE", 1)])).unwrap();
    bed.run(3_000);
    assert!(!bed.hosts[1].views.contains_key(&sku("I599")));
    bed.cut.clear();
    bed.run(3_000);
    assert_eq!(bed.digests().len(), 1);
    assert!((0..600).all(|n| bed.hosts[1].views.contains_key(&sku(&format!("I{n}")))));
}

#[test]
fn a_pass_with_a_frame_missing_claims_nothing() {
    let mut bed = Bed::new(2);
    bed.isolate(1);
    for n in 0..600 {
        bed.call(0, Command::SetItem { sku: sku(&format!("I{n}")), policy: Policy::default() }).unwrap();
    }
    bed.link(0, 1);
    let mut lost = 0;
    for _ in 0..400 {
        bed.run(1);
        let before = bed.wire.len();
        bed.wire.retain(|(_, _, m)| !matches!(m, Message::Pass(p) if p.frame == 1 && lost == 0));
        lost += before - bed.wire.len();
    }
    // `run` delivers at once, so lose one by hand.
    bed.isolate(1);
    for n in 600..1_400 {
        bed.call(0, Command::SetItem { sku: sku(&format!("I{n}")), policy: Policy::default() }).unwrap();
    }
    bed.link(0, 1);
    let mut dropped = false;
    for _ in 0..10_000 {
        if let Some(at) = bed.wire.iter().position(|(_, _, m)| matches!(m, Message::Pass(p) if p.frame == 1))
            && !dropped
        {
            bed.wire.remove(at);
            dropped = true;
        }
        if !bed.deliver() {
            if dropped {
                break;
            }
            bed.now = Timestamp(bed.now.0 + 1);
            bed.step(0, crate::replica::Input::Tick);
        }
    }
    assert!(dropped);
    let claimed = bed.hosts[1].replica.state.logs[&bed.hosts[0].genesis.replica].watermark;
    let own = bed.hosts[0].replica.state.own_watermark();
    assert!(claimed < own, "a frame is missing, so {claimed} must be below {own}");
    bed.run(3_000);
    let claimed = bed.hosts[1].replica.state.logs[&bed.hosts[0].genesis.replica].watermark;
    assert_eq!(claimed, bed.hosts[0].replica.state.own_watermark());
    assert!((0..1_400).all(|n| bed.hosts[1].views.contains_key(&sku(&format!("I{n}")))));
}

#[test]
fn repeated_and_reordered_messages_change_nothing() {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", 50);
    let mut old: Vec<(usize, usize, Message)> = Vec::new();
    for n in 0..20 {
        let token = bed.send(n % 3, Request::plain(put(&format!("A{n}"), &[("TEE", 2)])));
        for _ in 0..50 {
            old.extend(bed.wire.iter().cloned());
            bed.wire.make_contiguous().reverse();
            if n % 2 == 0 {
                bed.wire.extend(old.iter().rev().take(5).cloned().collect::<Vec<_>>());
            }
            bed.run(20);
        }
        assert!(bed.replies.contains_key(&token));
    }
    bed.run(3_000);
    assert_eq!(bed.digests().len(), 1);
    let totals = bed.books(1, "TEE").totals;
    assert_eq!(totals.held.0 + totals.available.0, 50);
}

#[test]
fn a_restarted_node_catches_up_and_goes_on() {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", 30);
    bed.call(1, put("A", &[("TEE", 5)])).unwrap();
    bed.restart(1);
    assert!(!bed.hosts[1].ready, "it waits for its peers to vouch for its disk");
    assert_eq!(bed.call(1, put("B", &[("TEE", 1)])), Err(Refusal::NotReady));
    bed.rejoin(1);
    bed.run(100);
    assert!(bed.hosts[1].ready);
    assert!(bed.call(1, confirm("A")).is_ok());
    assert!(bed.call(1, put("B", &[("TEE", 25)])).is_ok());
    bed.run(2_000);
    assert_eq!(bed.digests().len(), 1);
}

#[test]
fn a_restarted_node_that_nobody_answers_serves_after_a_while() {
    let mut bed = Bed::new(2);
    bed.item(0, "TEE", 30);
    bed.restart(0);
    bed.run(3_100);
    assert!(bed.hosts[0].ready);
    assert!(bed.call(0, put("A", &[("TEE", 5)])).is_ok());
}

#[test]
fn a_start_that_its_witness_proves_waits_for_nobody() {
    let mut bed = Bed::new(2);
    bed.item(0, "TEE", 30);
    bed.evidence = Evidence::Proven;
    bed.restart(0);
    assert!(bed.hosts[0].ready && bed.hosts[0].awaits.is_empty());
    assert!(bed.call(0, put("A", &[("TEE", 5)])).is_ok());
    assert_eq!(bed.hosts[0].replica.stats().started_unheard, 0);
}

#[test]
fn without_an_end_to_its_wait_a_start_waits_for_everybody() {
    let mut bed = Bed::with_limits(3, Limits { start_wait: None, ..Limits::default() });
    bed.item(0, "TEE", 30);
    bed.restart(0);
    assert_eq!(bed.hosts[0].awaits, [bed.name(1), bed.name(2)]);
    bed.run(60_000);
    bed.link(0, 2);
    bed.run(60_000);
    assert_eq!(bed.hosts[0].awaits, [bed.name(1)]);
    assert_eq!(bed.call(0, put("A", &[("TEE", 5)])), Err(Refusal::NotReady));
    bed.link(0, 1);
    bed.run(100);
    assert!(bed.hosts[0].ready);
    assert!(bed.call(0, put("A", &[("TEE", 5)])).is_ok());
}

/// 60 units are sold that nobody hears of, and the disk goes back to before: no peer can tell.
#[test]
fn a_disk_behind_its_witness_says_nothing_to_anybody() {
    let mut bed = Bed::new(2);
    bed.item(0, "TEE", 100);
    bed.run(1_000);
    let old = bed.hosts[0].journal.len();
    bed.isolate(0);
    bed.call(0, put("A", &[("TEE", 60)])).unwrap();
    bed.hosts[0].journal.truncate(old);
    bed.evidence = Evidence::Behind("its witness saw more".into());
    bed.restart(0);
    assert_eq!(bed.hosts[0].rolled_back.as_deref(), Some("its witness saw more"));
    assert_eq!(bed.call(0, put("B", &[("TEE", 1)])), Err(Refusal::RolledBack));
    bed.link(0, 1);
    assert!(bed.wire.iter().all(|(from, _, _)| *from != 0), "a hello would tell of the old disk");
    bed.run(60_000);
    assert!(!bed.hosts[0].ready);
    assert_eq!(bed.hosts[0].journal.len(), old, "nothing is written, not even a session");
    assert_eq!(bed.alarms, Vec::<String>::new());
}

#[test]
fn a_disk_that_went_back_in_time_is_found_out_before_it_answers() {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", 30);
    let old = bed.hosts[0].journal.len();
    bed.call(0, put("A", &[("TEE", 5)])).unwrap();
    bed.run(1_000);
    bed.hosts[0].journal.truncate(old);
    bed.restart(0);
    bed.rejoin(0);
    bed.run(100);
    assert!(bed.hosts[0].rolled_back.is_some());
    assert!(!bed.hosts[0].ready);
    assert_eq!(bed.call(0, put("B", &[("TEE", 1)])), Err(Refusal::RolledBack));
}

#[test]
fn peers_are_alarmed_by_a_disk_that_went_back() {
    let mut bed = Bed::new(2);
    bed.item(0, "TEE", 30);
    let old = bed.hosts[0].journal.len();
    bed.call(0, put("A", &[("TEE", 5)])).unwrap();
    bed.run(1_000);
    bed.hosts[0].journal.truncate(old);
    bed.restart(0);
    bed.rejoin(0);
    bed.run(100);
    assert!(bed.alarms.iter().any(|text| text.contains("n-0's disk went back")), "{:?}", bed.alarms);
}

#[test]
fn a_digest_held_back_while_others_relayed_alarms_nobody() {
    let mut bed = Bed::new(3);
    bed.item(1, "TEE", 30);
    let message = Message::Digest(bed.hosts[1].replica.digest(bed.now, None));
    bed.cut.insert((1, 0));
    bed.call(1, put("A", &[("TEE", 1)])).unwrap();
    bed.run(3_000);
    assert_eq!(bed.digests().len(), 1, "relayed by the third");
    let node = bed.name(1);
    bed.step(0, crate::replica::Input::Message { node, message });
    assert_eq!(bed.alarms, Vec::<String>::new());
}

#[test]
fn settings_of_two_admins_end_the_same_everywhere() {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", 3);
    bed.isolate(2);
    let named = |name: &str| Policy { name: Some(name.into()), ..Policy::default() };
    bed.call(2, Command::SetItem { sku: sku("TEE"), policy: named("first") }).unwrap();
    bed.run(10);
    bed.call(0, Command::SetItem { sku: sku("TEE"), policy: named("second") }).unwrap();
    bed.rejoin(2);
    bed.run(2_000);
    for n in 0..3 {
        assert_eq!(bed.books(n, "TEE").policy.name.as_deref(), Some("second"));
    }
}

#[test]
fn nobody_is_alarmed_by_ordinary_life() {
    let mut bed = Bed::new(3);
    bed.item(0, "TEE", 30);
    for n in 0..30 {
        bed.call(n % 3, put(&format!("A{n}"), &[("TEE", 1)])).unwrap();
        if n % 7 == 0 {
            bed.restart(n % 3);
            bed.rejoin(n % 3);
            bed.run(50);
        }
    }
    assert_eq!(bed.alarms, Vec::<String>::new());
}

#[test]
fn a_relay_claims_no_more_than_it_had_when_its_pass_began() {
    // 0 writes, 1 relays to 2. The walk of a pass is longer than a frame, and what it has passed
    // already comes in while it goes on.
    let mut bed = Bed::new(3);
    let origin = bed.hosts[0].genesis.replica;
    bed.isolate(0);
    bed.isolate(2);
    for n in 0..600 {
        bed.call(0, Command::SetItem { sku: sku(&format!("I{n}")), policy: Policy::default() }).unwrap();
    }
    let all = bed.hosts[0].replica.state.own_watermark();
    let log = bed.hosts[0].replica.state.logs[&origin].clone();
    let entry = |(_, key): (Seq, &crate::wire::Key)| bed.hosts[0].replica.state.entry(origin, key).unwrap();
    let entries: Vec<crate::wire::Entry> = log.keys_after(Seq::ZERO).map(entry).collect();
    let mut effects = crate::replica::Effects::default();
    let to = bed.hosts[2].genesis.replica;
    let relay = &mut bed.hosts[1].replica;
    let session = entries.iter().filter(|e| matches!(e.key, crate::wire::Key::Session)).cloned();
    // 1 holds the later half, as from asks: nothing below it, and no claim.
    let (early, late): (Vec<_>, Vec<_>) = entries.iter().cloned().partition(|e| e.seq < Seq(300));
    let begun: Vec<_> = session.chain(late).collect();
    relay.merge(bed.now, origin, begun, None, &mut effects);
    let from = relay.state.logs[&origin].watermark;
    let mut outgoing = super::super::sync::Outgoing::starting(from);
    let (first, _) = relay.next_frame(to, origin, &mut outgoing);
    assert_eq!(first.upto, None, "the pass takes more than one frame");
    // The rest arrives, and with it the claim to everything.
    let claim = crate::wire::record::Claim { origin, upto: all };
    relay.merge(bed.now, origin, early, Some(claim), &mut effects);
    assert_eq!(relay.state.logs[&origin].watermark, all);
    let last = loop {
        let (frame, _) = relay.next_frame(to, origin, &mut outgoing);
        if let Some(upto) = frame.upto {
            break upto;
        }
    };
    assert!(last < all, "claims {last}, though what came in behind the walk was never sent");
}

#[test]
fn a_round_trip_is_kept_from_the_first_moment_of_a_link_until_after_its_end() {
    let mut bed = Bed::new(2);
    let [here, there] = [0, 1].map(|n| bed.hosts[n].genesis.replica);
    let known = |bed: &Bed| bed.hosts[0].replica.links.round_trip(there);
    bed.unlink(0, 1);
    assert_eq!(known(&bed), USUAL_ROUND_TRIP);
    let link = Input::LinkUp { node: bed.name(1) };
    bed.step(0, link);
    // Measured before the other side's hello is in.
    let measured = |node, ms| Input::RoundTrip { node, time: Millis(ms) };
    let peer = bed.name(1);
    bed.step(0, measured(peer.clone(), 81));
    assert_eq!(known(&bed), Millis(81));
    bed.step(0, measured(peer, 140));
    bed.step(0, measured(NodeName::new("nobody").unwrap(), 7));
    bed.unlink(0, 1);
    assert_eq!(known(&bed), Millis(140));
    assert_eq!(bed.hosts[0].replica.links.round_trip(here), USUAL_ROUND_TRIP);
}
