//! The arena's rules, each on a course made for it, with nodes that do what a script says.

use std::collections::BTreeMap;

use super::*;
use crate::bench::{Cut, Death, Want};
use crate::time::Span;

/// Nodes that do, at what happens to them, what was written down for it.
#[derive(Debug, Default)]
struct Puppet {
    script: BTreeMap<String, Vec<Act<u32>>>,
    log: Vec<String>,
    tick_at: Option<Time>,
    free: BTreeMap<(usize, usize), u64>,
    /// By its own books, of each item.
    sold: Option<u64>,
}

impl Puppet {
    fn on(mut self, what: &str, acts: Vec<Act<u32>>) -> Puppet {
        self.script.insert(what.to_string(), acts);
        self
    }

    fn free(mut self, at: usize, item: usize, units: u64) -> Puppet {
        self.free.insert((at, item), units);
        self
    }

    fn happens(&mut self, now: Time, what: String, acts: &mut Vec<Act<u32>>) {
        acts.extend(self.script.remove(&what).unwrap_or_default());
        self.log.push(format!("{} {what}", now.0 / 1_000));
    }

    /// What happened, without the links.
    fn story(&self) -> Vec<&str> {
        self.log.iter().map(String::as_str).filter(|line| !line.contains("link")).collect()
    }

    /// What happened to the link between 0 and 1.
    fn link_story(&self) -> Vec<&str> {
        self.log.iter().map(String::as_str).filter(|line| line.contains("link 0 to 1")).collect()
    }
}

impl Contender for Puppet {
    type Message = u32;

    fn name(&self) -> &'static str {
        "puppet"
    }

    fn link(&mut self, now: Time, at: usize, to: usize, up: bool, acts: &mut Vec<Act<u32>>) {
        self.happens(now, format!("link {at} to {to} {}", if up { "up" } else { "down" }), acts);
    }

    fn order(&mut self, now: Time, number: usize, _: &Order, acts: &mut Vec<Act<u32>>) {
        self.happens(now, format!("order {number}"), acts);
    }

    fn message(&mut self, now: Time, at: usize, from: usize, message: u32, acts: &mut Vec<Act<u32>>) {
        self.happens(now, format!("{message} from {from} to {at}"), acts);
    }

    fn tick(&mut self, now: Time, at: usize, acts: &mut Vec<Act<u32>>) {
        self.tick_at = None;
        self.happens(now, format!("tick {at}"), acts);
    }

    fn next_tick(&self, at: usize) -> Option<Time> {
        self.tick_at.filter(|_| at == 0)
    }

    fn bytes(&self, message: &u32) -> usize {
        *message as usize
    }

    fn free(&self, at: usize, item: usize) -> u64 {
        self.free.get(&(at, item)).copied().unwrap_or(0)
    }

    fn sold(&self, _: usize) -> Option<u64> {
        self.sold
    }

    fn dies(&mut self, at: usize) {
        self.log.push(format!("{at} dies"));
    }
}

fn ms(ms: u64) -> Time {
    Time::ZERO.after(Span::millis(ms))
}

/// Three nodes, 50 ms from each other, two items of 10 units; orders for a unit of item 0 at node 0.
fn course(orders: &[(u64, u64)]) -> Course {
    let order = |(at, patience): &(u64, u64)| Order {
        at: ms(*at),
        node: 0,
        wants: vec![Want { item: 0, units: 1 }],
        patience: Span::millis(*patience),
    };
    let delay = |from, to| Span::millis(if from == to { 0 } else { 50 });
    Course {
        seed: 1,
        regions: ["a", "b", "c"].map(String::from).to_vec(),
        delays: (0..3).flat_map(|a| (0..3).map(move |b| delay(a, b))).collect(),
        stock: vec![vec![4, 3, 3], vec![4, 3, 3]],
        orders: orders.iter().map(order).collect(),
        cuts: Vec::new(),
        deaths: Vec::new(),
        end: ms(60_000),
    }
}

fn cut(from: u64, until: u64) -> Cut {
    Cut { a: 1, b: 0, from: ms(from), until: ms(until) }
}

fn send(to: usize, message: u32) -> Act<u32> {
    Act::Send { to, message }
}

fn sold_out(order: usize) -> Vec<Act<u32>> {
    vec![Act::Refuse { order, verdict: Verdict::SoldOut }]
}

fn serve(order: usize) -> Vec<Act<u32>> {
    vec![Act::Serve { order, by: 0 }]
}

#[test]
fn messages_take_their_delay_and_keep_their_order() {
    let mut puppet = Puppet::default()
        .on("order 0", vec![send(1, 7), send(1, 3), send(2, 5)])
        .on("7 from 0 to 1", vec![send(0, 9)]);
    let outcome = play(&course(&[(1_000, 0)]), &mut puppet);
    let story = [
        "1000 order 0",
        "1050 7 from 0 to 1",
        "1050 3 from 0 to 1",
        "1050 5 from 0 to 2",
        "1100 9 from 1 to 0",
    ];
    assert_eq!(puppet.story(), story);
    assert_eq!((outcome.messages, outcome.bytes), (4, 24));
    assert_eq!(puppet.link_story(), ["0 link 0 to 1 up"]);
}

#[test]
fn what_a_cut_meets_is_lost_and_the_link_goes_down_and_up() {
    let mut with_cut = course(&[(980, 0), (1_500, 0), (2_500, 0), (11_000, 0)]);
    with_cut.cuts = vec![cut(1_000, 10_000)];
    let mut puppet = Puppet::default()
        .on("order 0", vec![send(1, 1), send(2, 2)])
        .on("order 1", vec![send(1, 3)])
        .on("order 2", vec![send(1, 4)])
        .on("order 3", vec![send(1, 5)]);
    let outcome = play(&with_cut, &mut puppet);
    let heard: Vec<&str> = puppet.story().into_iter().filter(|line| line.contains("from")).collect();
    assert_eq!(heard, ["1030 2 from 0 to 2", "11050 5 from 0 to 1"]);
    assert_eq!(puppet.link_story(), ["0 link 0 to 1 up", "2000 link 0 to 1 down", "10100 link 0 to 1 up"]);
    // What is said while the link is known to be down is not sent at all.
    assert_eq!(outcome.messages, 4);
}

#[test]
fn a_short_cut_is_noticed_when_it_ends_and_one_from_the_beginning_delays_the_link() {
    let mut with_cut = course(&[]);
    with_cut.cuts = vec![cut(0, 200), cut(1_000, 1_300), cut(1_350, 1_360)];
    let mut puppet = Puppet::default();
    play(&with_cut, &mut puppet);
    // The path is whole again when the link that was lost before it was cut anew is due.
    let story = ["300 link 0 to 1 up", "1300 link 0 to 1 down", "1400 link 0 to 1 up"];
    assert_eq!(puppet.link_story(), story);
}

#[test]
fn a_dead_node_is_told_nothing_and_its_buyers_do_not_count() {
    let mut with_death = course(&[(1_000, 5_000), (4_000, 0)]);
    with_death.deaths = vec![Death { node: 0, at: ms(2_000) }];
    let mut puppet = Puppet::default()
        .on("order 0", vec![send(1, 1)])
        .on("1 from 0 to 1", vec![send(2, 2)])
        .on("2 from 1 to 2", vec![send(0, 3)])
        .free(0, 0, 4)
        .free(1, 0, 3);
    puppet.tick_at = Some(ms(3_000));
    let outcome = play(&with_death, &mut puppet);
    let story = ["1000 order 0", "1050 1 from 0 to 1", "1100 2 from 1 to 2", "1150 3 from 2 to 0", "0 dies"];
    assert_eq!(puppet.story(), story);
    assert_eq!(puppet.log.last().map(String::as_str), Some("3000 link 2 to 0 down"));
    let endings: Vec<Ending> = outcome.orders.iter().map(|order| order.ending).collect();
    assert_eq!(endings, [Ending::Late, Ending::NotAsked]);
    assert!(!outcome.orders[0].avoidable);
    assert_eq!(outcome.units_stranded, 4);
}

#[test]
fn what_is_on_its_way_to_or_from_the_dead_is_lost() {
    let mut with_death = course(&[(1_980, 0)]);
    with_death.deaths = vec![Death { node: 1, at: ms(2_000) }];
    let mut puppet = Puppet::default().on("order 0", vec![send(1, 1)]);
    play(&with_death, &mut puppet);
    assert_eq!(puppet.story(), ["1980 order 0", "1 dies"]);
}

#[test]
fn an_answer_at_the_last_moment_counts_and_one_after_it_does_not() {
    let answered_after = |delay: Span, patience: u64| {
        let mut puppet = Puppet::default().on("tick 0", serve(0));
        puppet.tick_at = Some(ms(1_000).after(delay));
        let outcome = play(&course(&[(1_000, patience)]), &mut puppet);
        (outcome.orders[0].ending, outcome.orders[0].waited, outcome.units_sold_late)
    };
    let patience = Span::millis(500);
    assert_eq!(answered_after(patience, 500), (Ending::Served { by: 0 }, patience, 0));
    assert_eq!(answered_after(Span(500_001), 500), (Ending::Late, patience, 1));
    // Also when what leads to it was planned after the end of the buyer's patience was.
    let mut by_message =
        Puppet::default().on("order 0", vec![send(1, 1)]).on("1 from 0 to 1", vec![send(0, 2)]);
    by_message = by_message.on("2 from 1 to 0", serve(0));
    let outcome = play(&course(&[(1_000, 100)]), &mut by_message);
    assert_eq!(outcome.orders[0].ending, Ending::Served { by: 0 });
    // Who does not wait at all is gone after the step in which he asked.
    assert_eq!(answered_after(Span(1), 0), (Ending::Late, Span(0), 1));
    let mut at_once = Puppet::default().on("order 0", serve(0));
    let outcome = play(&course(&[(1_000, 0)]), &mut at_once);
    assert_eq!(outcome.orders[0].ending, Ending::Served { by: 0 });
    // A refusal that comes too late changes nothing.
    let mut late = Puppet::default().on("tick 0", sold_out(0));
    late.tick_at = Some(ms(9_000));
    let outcome = play(&course(&[(1_000, 10)]), &mut late);
    assert_eq!((outcome.orders[0].ending, outcome.orders[0].wrong), (Ending::Late, false));
}

#[test]
fn a_sale_of_which_nobody_heard_is_late_too() {
    let late = |sold| {
        let mut puppet = Puppet { sold, ..Puppet::default() }.on("order 0", serve(0));
        play(&course(&[(1_000, 0), (2_000, 0)]), &mut puppet).units_sold_late
    };
    // Two items, of each of which the books say so much; one unit went to a buyer who knows.
    assert_eq!([late(None), late(Some(1)), late(Some(2))], [0, 1, 3]);
}

#[test]
fn a_refusal_is_avoidable_when_nodes_in_reach_had_it_all() {
    let avoidable = |puppet: Puppet, course: &Course| {
        let mut puppet = puppet.on("order 0", vec![Act::Refuse { order: 0, verdict: Verdict::Unknown }]);
        play(course, &mut puppet).orders[0].avoidable
    };
    let near = || Puppet::default().free(1, 0, 1);
    assert!(avoidable(near(), &course(&[(1_000, 100)])));
    assert!(!avoidable(Puppet::default(), &course(&[(1_000, 100)])));
    // Less than a round trip: only what is here could have been had.
    assert!(!avoidable(near(), &course(&[(1_000, 99)])));
    assert!(avoidable(Puppet::default().free(0, 0, 1), &course(&[(1_000, 0)])));
    let mut cut_off = course(&[(1_000, 100)]);
    cut_off.cuts = vec![cut(900, 1_100)];
    assert!(!avoidable(near(), &cut_off));
    let mut dead = course(&[(1_000, 100)]);
    dead.deaths = vec![Death { node: 1, at: ms(900) }];
    assert!(!avoidable(near(), &dead));
    // All lines, and all units of each, wherever they are in reach: here, there, or both.
    let mut basket = course(&[(1_000, 100)]);
    basket.orders[0].wants = vec![Want { item: 0, units: 2 }, Want { item: 1, units: 1 }];
    assert!(avoidable(Puppet::default().free(1, 0, 2).free(1, 1, 1), &basket));
    assert!(avoidable(Puppet::default().free(1, 0, 2).free(2, 1, 1), &basket));
    assert!(avoidable(Puppet::default().free(1, 0, 1).free(2, 0, 1).free(0, 1, 1), &basket));
    assert!(!avoidable(Puppet::default().free(1, 0, 1).free(1, 1, 1), &basket));
    assert!(!avoidable(Puppet::default().free(1, 0, 1).free(2, 0, 1), &basket));
    // Units of one line do not make up for another's.
    assert!(!avoidable(Puppet::default().free(1, 0, 1).free(2, 0, 9).free(0, 0, 9), &basket));
    // What is at a node that is too far, cut off or dead is not added.
    let spread = || Puppet::default().free(0, 0, 1).free(0, 1, 1).free(1, 0, 1);
    assert!(avoidable(spread(), &basket));
    basket.cuts = vec![cut(900, 1_100)];
    assert!(!avoidable(spread(), &basket));
    basket.cuts.clear();
    basket.deaths = vec![Death { node: 1, at: ms(900) }];
    assert!(!avoidable(spread(), &basket));
    basket.deaths.clear();
    basket.orders[0].patience = Span::millis(99);
    assert!(!avoidable(spread(), &basket));
}

#[test]
fn a_path_that_was_cut_during_the_wait_excuses_a_refusal() {
    let mut with_cut = course(&[(1_000, 2_000)]);
    let refused_at_last = || {
        let mut puppet = Puppet::default().free(1, 0, 1).on("tick 0", sold_out(0));
        puppet.tick_at = Some(ms(2_900));
        puppet
    };
    assert!(play(&with_cut, &mut refused_at_last()).orders[0].avoidable);
    with_cut.cuts = vec![cut(1_500, 1_600)];
    assert!(!play(&with_cut, &mut refused_at_last()).orders[0].avoidable);
    // So is no answer at all judged.
    assert!(!play(&with_cut, &mut Puppet::default().free(1, 0, 1)).orders[0].avoidable);
    with_cut.cuts = vec![cut(500, 1_000)];
    assert!(play(&with_cut, &mut Puppet::default().free(1, 0, 1)).orders[0].avoidable);
}

#[test]
fn sold_out_is_wrong_while_units_are_unsold() {
    let wrong = |stock: u64| {
        let mut course = course(&[(1_000, 0), (2_000, 0)]);
        course.stock[0] = vec![stock, 0, 0];
        let mut puppet = Puppet::default().on("order 0", serve(0)).on("order 1", sold_out(1));
        play(&course, &mut puppet).orders[1].wrong
    };
    assert!(!wrong(1));
    assert!(wrong(2));
    let mut unknown =
        Puppet::default().on("order 0", vec![Act::Refuse { order: 0, verdict: Verdict::Unknown }]);
    assert!(!play(&course(&[(1_000, 0)]), &mut unknown).orders[0].wrong);
    // Of a basket it is enough that one item is.
    let mut basket = course(&[(1_000, 0)]);
    basket.orders[0].wants.push(Want { item: 1, units: 1 });
    assert!(play(&basket, &mut Puppet::default().on("order 0", sold_out(0))).orders[0].wrong);
    basket.stock[1] = vec![0, 0, 0];
    assert!(!play(&basket, &mut Puppet::default().on("order 0", sold_out(0))).orders[0].wrong);
}

#[test]
#[should_panic(expected = "oversold: 2 of 1")]
fn selling_what_is_not_there_ends_the_run() {
    let mut course = course(&[(1_000, 0), (2_000, 10)]);
    course.stock[0] = vec![1, 0, 0];
    play(&course, &mut Puppet::default().on("order 0", serve(0)).on("order 1", serve(1)));
}

#[test]
#[should_panic(expected = "oversold")]
fn selling_it_to_a_buyer_who_has_gone_is_no_excuse() {
    let mut course = course(&[(1_000, 0), (2_000, 0)]);
    course.stock[0] = vec![1, 0, 0];
    let mut puppet = Puppet::default().on("order 0", serve(0)).on("tick 0", serve(1));
    puppet.tick_at = Some(ms(3_000));
    play(&course, &mut puppet);
}

#[test]
#[should_panic(expected = "order 0 is answered while Answered")]
fn answering_a_buyer_twice_ends_the_run() {
    let acts = sold_out(0).into_iter().chain(serve(0)).collect();
    play(&course(&[(1_000, 0)]), &mut Puppet::default().on("order 0", acts));
}

#[test]
fn gifts_are_counted_where_they_are_given_and_when_they_go_back() {
    let gift = |to, units| Act::Moved { item: 0, to, units };
    let mut puppet = Puppet::default()
        .on("order 0", vec![gift(1, 3), send(1, 1)])
        .on("1 from 0 to 1", vec![gift(0, 2), send(0, 2)])
        .on("2 from 1 to 0", vec![gift(2, 5), gift(1, 1)]);
    let outcome = play(&course(&[(1_000, 0)]), &mut puppet);
    assert_eq!((outcome.transfers, outcome.units_moved), (4, 11));
    assert_eq!((outcome.units_returned, outcome.units_to_and_fro), (3, 1));
}

#[test]
fn nothing_is_played_past_the_end_and_who_still_waits_was_not_answered() {
    let mut puppet = Puppet { tick_at: Some(ms(60_001)), ..Puppet::default() };
    let outcome = play(&course(&[(59_000, 5_000), (60_001, 0)]), &mut puppet);
    assert_eq!(puppet.story(), ["59000 order 0"]);
    let endings: Vec<Ending> = outcome.orders.iter().map(|order| order.ending).collect();
    assert_eq!(endings, [Ending::Late, Ending::NotAsked]);
}
