//! A script's world, from its first boot to its last books: nodes boot, items are set and stocked,
//! the scenario runs, what is under way settles, and the oracle has its last word.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use stockade::types::{Caller, Command, Millis, Movement, Region, Request, Units};

use super::buyers::{LONGEST_PAY, SYNC};
use super::recorder::Recorder;
use super::script::Script;
use super::shop::{CLOSE, Shop, keyed};
use crate::checks::{Checked, Property, Violation, answered, convergence, ensure};
use crate::host::Open;
use crate::plan::{Plan, Transport};
use crate::recording::Recording;
use crate::time::{Span, Time};
use crate::trace::Detail;
use crate::world::{Event, World};

/// Until every node has greeted the others and serves.
const BOOT: Span = Span::seconds(4);
/// Until every node knows the items, and where their units lie.
const SPREAD: Span = Span::seconds(3);
/// Commands of the set-up come so far apart.
const APART: Span = Span(200);
/// What is under way at the end is over after this, beyond holds and payments.
const SETTLE: Span = Span::seconds(20);
/// Whole states are checked so many times in a run: they grow with it.
const WHOLE_CHECKS: u64 = 12;
/// A world that needs more events turns in circles.
const MOST_EVENTS: u64 = 10_000_000_000;

/// Told how far a run is: seconds of the scenario's time, and events so far.
pub type Tell<'a> = &'a mut dyn FnMut(f64, u64);

/// Runs a script to its end or its first violation.
pub fn run(script: Script, detail: Detail, tell: Tell<'_>) -> Recording {
    let script = Rc::new(script);
    let mut world = World::new(plan(&script), detail);
    prepare(&script, &mut world);
    let members = world.hosts[0].genesis.founders.iter().map(|member| member.replica).collect();
    let recorder = Rc::new(RefCell::new(Recorder::new(&script, members)));
    let result = catch_unwind(AssertUnwindSafe(|| live(&script, &mut world, &recorder, tell)));
    let result = result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(Violation::of(Property::Panic, text))
    });
    let mut recording = recorder.borrow_mut().finish(&script, &world.oracle, &world.counts);
    recording.violation = result.err().map(|violation| told(&script, world.now, &violation));
    recording
}

/// A violation with the nodes' names of the file.
fn told(script: &Script, at: Time, violation: &Violation) -> String {
    let mut text = format!("at {at} of the world's time: {violation}");
    for (number, name) in script.nodes.iter().enumerate().rev() {
        text = text.replace(&format!("n-{number}"), name);
    }
    text
}

/// A world in which nothing goes wrong by itself.
fn plan(script: &Script) -> Plan {
    Plan {
        seed: script.seed,
        hosts: script.nodes.len(),
        items: 1,
        clients: 0,
        chaos: Span(0),
        think: Span::seconds(1),
        most_units: 1,
        transport: Transport::Streams,
        delay: Span::millis(1),
        fault_every: Span::seconds(1),
        tails: false,
        faults: Vec::new(),
        deeds: 0,
        early: false,
        skew_ms: 0,
        drift_ppm: 0,
        sync: SYNC,
        kept_at_crash: 500,
        torn_at_crash: 0,
        crash_after_sync: 0,
        lost_requests: 0,
        lost_replies: 0,
        late_repeats: 0,
        start_wait: Some(Millis(3_000)),
        reboots: 0,
        quotas: false,
        autonomy: stockade::types::Autonomy::All,
        hot_item: false,
        mass_expiry: false,
        bridge: false,
        late_host: false,
        barrier: true,
        inert: false,
    }
}

/// Puts hosts into their regions and lines between them.
fn prepare(script: &Script, world: &mut World) {
    world.check_every = u64::MAX;
    world.most_events = MOST_EVENTS;
    let region = |node: usize| {
        let of = script.regions.iter().find(|region| region.node == node);
        of.and_then(|region| Region::new(&region.name).ok())
    };
    let regions: Vec<Option<Region>> = (0..script.nodes.len()).map(region).collect();
    let remember = Millis(script.all().0 / script.compress / 1_000 + 86_400_000);
    for (number, host) in world.hosts.iter_mut().enumerate() {
        host.limits.remember_for = remember;
        for (member, region) in host.genesis.founders.iter_mut().zip(&regions) {
            member.region = region.clone().unwrap_or_else(|| member.region.clone());
        }
        host.genesis.region = host.genesis.founders[number].region.clone();
        host.disk = crate::disk::Disk::prepared(&host.genesis);
    }
    for (from, row) in script.lines.iter().enumerate() {
        row.iter().enumerate().for_each(|(to, line)| world.network.set_line(from, to, *line));
    }
}

fn live(script: &Rc<Script>, world: &mut World, recorder: &Rc<RefCell<Recorder>>, tell: Tell<'_>) -> Checked {
    set_up(script, world)?;
    let begin = world.now.after(Span(script.warm_up.0 / script.compress));
    recorder.borrow_mut().opens(begin);
    (0..script.nodes.len()).for_each(|host| recorder.borrow_mut().fell(host, &world.oracle));
    world.actor = Some(Box::new(Shop::open(script.clone(), recorder.clone(), world)));
    world.run_until(begin)?;
    recorder.borrow_mut().begins(&world.oracle);
    go(script, world, recorder, begin, tell)?;
    settle(script, world)
}

fn set_up(script: &Script, world: &mut World) -> Checked {
    let nodes = script.nodes.len();
    (0..nodes).try_for_each(|host| world.boot(host))?;
    world.run_until(Time::ZERO.after(BOOT))?;
    let set = |item: &super::script::Item| {
        let command = Command::SetItem { sku: item.sku.clone(), policy: item.policy.clone() };
        (0, Rc::new(Request { command, key: None, caller: Caller::Admin }))
    };
    must(world, script.items.iter().map(set))?;
    let mut number = 0;
    let mut receipts = Vec::new();
    for item in &script.items {
        for (node, units) in item.stock.iter().enumerate().filter(|(_, units)| **units > 0) {
            number += 1;
            let quantity = Units(*units);
            let movement = Movement { sku: item.sku.clone(), quantity, reason: None, reference: None };
            let name = u64::MAX - number;
            receipts.push((node, keyed(Command::Receive(movement), Caller::Admin, name)));
        }
    }
    must(world, receipts.into_iter())
}

/// Requests that have no reason to be refused, and time for everybody to hear of it.
fn must(world: &mut World, requests: impl Iterator<Item = (usize, Rc<Request>)>) -> Checked {
    let mut at = world.now;
    for (node, request) in requests {
        at = at.after(APART);
        let token = world.token();
        world.calls.insert(token, None);
        let open = Open { request, arrived: at, client: None, altered: false };
        world.push(at, Event::Request { node, token, open });
    }
    world.run_until(at.after(SPREAD))?;
    for (token, outcome) in std::mem::take(&mut world.calls) {
        ensure(matches!(outcome, Some(Ok(_))), Property::Answered, || {
            format!("the set-up's {token:?} came to {outcome:?}")
        })?;
    }
    Ok(())
}

fn go(
    script: &Script,
    world: &mut World,
    recorder: &Rc<RefCell<Recorder>>,
    begin: Time,
    tell: Tell<'_>,
) -> Checked {
    let bucket = recorder.borrow().bucket();
    let count = script.duration.0.div_ceil(bucket.0);
    let checks = count.div_ceil(WHOLE_CHECKS);
    for n in 1..=count {
        let until = (n * bucket.0).min(script.duration.0);
        world.run_until(begin.after(Span(until / script.compress)))?;
        recorder.borrow_mut().sample(world.now, &world.oracle);
        tell(until as f64 / 1e6, world.counts.events);
        if n.is_multiple_of(checks) {
            (0..script.nodes.len()).try_for_each(|host| world.check_host(host))?;
        }
    }
    Ok(())
}

/// Holds run out, payments come in, cuts end; then everything must be in order.
fn settle(script: &Script, world: &mut World) -> Checked {
    let longest = script.buyers.ttl.0.max(script.buyers.pay.0 * LONGEST_PAY);
    world.run_until(world.now.after(Span(longest / script.compress)).after(SETTLE))?;
    world.push(world.now, Event::Act { what: CLOSE });
    world.run_until(world.now)?;
    for (number, host) in world.hosts.iter().enumerate() {
        let Some(process) = &host.process else { continue };
        process.open.values().try_for_each(|open| answered::check(number, open.arrived, world.now))?;
    }
    let hosts = world.hosts.iter().filter_map(|host| host.process.as_ref());
    let digests: Vec<String> = hosts.map(|process| process.replica.check().books_digest).collect();
    if world.cuts.is_empty() {
        convergence::check(&digests, world.now)?;
    }
    (0..script.nodes.len()).try_for_each(|host| world.check_host(host))?;
    world.oracle.check_end()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::check::{Overrides, read};
    use super::*;

    const SMALL: &str = r#"
        title = "Small"
        duration = "20m"
        compress = 10
        [[region]]
        name = "eu"
        population = 2
        [[region]]
        name = "us"
        [rtt]
        default_ms = 90
        [items]
        count = 20
        cover = 0.9
        [demand.generate]
        orders_per_hour = 1200
        [buyers]
        abandon = 0.1
    "#;

    fn run_text(text: &str, detail: Detail) -> Recording {
        let script = read(Path::new("small.toml"), text, &Overrides::default()).unwrap();
        run(script, detail, &mut |_, _| {})
    }

    #[test]
    fn a_run_adds_up_and_is_the_same_each_time() {
        let recording = run_text(SMALL, Detail::Lines);
        assert_eq!(recording.violation, None);
        let totals = recording.totals;
        assert!(totals.orders > 300 && totals.units_served > totals.units_asked / 2, "{totals:?}");
        let refused = totals.sold_out + totals.elsewhere + totals.unknown;
        let ends = totals.units_served + refused + totals.unanswered + totals.abandoned;
        assert_eq!(totals.units_asked, ends);
        assert!(totals.abandoned > 0 && totals.transfers > 0 && refused > 0);
        let nodes = recording.buckets.iter().flat_map(|bucket| &bucket.nodes);
        assert_eq!(nodes.map(|node| node.served).sum::<u64>(), totals.units_served);
        assert_eq!(recording.compress, 10);
        // Each span adds up, and what settles after the end is no spike in the last one.
        let of = |place: usize| recording.buckets[place].nodes.iter();
        for place in 0..recording.buckets.len() {
            let wanted: u64 = of(place).map(crate::recording::NodeBucket::wanted).sum();
            let asked: u64 = of(place).map(|node| node.asked).sum();
            assert!(wanted <= asked, "span {place}: {wanted} of {asked}");
        }
        let sold: u64 = recording.books.iter().map(|books| books.sold).sum();
        assert_eq!(sold, totals.units_served);
        let again = run_text(SMALL, Detail::Lines);
        let json = |recording: &Recording| serde_json::to_string(recording).unwrap();
        assert_eq!(json(&recording), json(&again));
    }

    #[test]
    fn a_cut_and_a_lost_region_cost_sales_and_break_nothing() {
        let cut = format!("{SMALL}\n[[event]]\nat = \"5m\"\ncut = [\"eu\", \"us\"]\nfor = \"10m\"\n");
        let recording = run_text(&cut, Detail::Hash);
        assert_eq!(recording.violation, None);
        assert!(recording.totals.unknown > 0, "{:?}", recording.totals);
        assert_eq!((recording.bands[0].from, recording.bands[0].to), (300.0, 900.0));
        let lost = format!("{SMALL}\n[[event]]\nat = \"5m\"\nlose = \"us\"\n");
        let recording = run_text(&lost, Detail::Hash);
        assert_eq!(recording.violation, None);
        let us_failed_over: u64 = recording.buckets.iter().map(|bucket| bucket.nodes[1].failed_over).sum();
        assert!(us_failed_over > 10, "{us_failed_over}");
        assert!(recording.totals.unanswered > 0, "{:?}", recording.totals);
        // Payments that the lost region never confirms are of buyers who came before it was lost.
        let since = |bucket: &&crate::recording::Bucket| bucket.from >= 300.0;
        let late: u64 = recording.buckets.iter().filter(since).map(|b| b.nodes[1].unanswered).sum();
        assert_eq!(late, 0);
    }

    #[test]
    fn operators_restock_set_drain_and_transfer() {
        let events = r#"
            [[event]]
            at = "4m"
            restock = { sku = "*", region = "us", share = 1.0 }
            [[event]]
            at = "5m"
            set = { sku = "*", rebalance = "manual" }
            [[event]]
            at = "6m"
            transfer = { sku = "item-1", from = "us", to = "eu", quantity = 5 }
            [[event]]
            at = "8m"
            drain = "us"
            for = "5m"
            [[event]]
            at = "10m"
            slow = ["eu", "us"]
            factor = 5
            for = "2m"
            [[event]]
            at = "14m"
            flap = ["eu", "us"]
            every = "2m"
            for = "4m"
            [[event]]
            at = "19m"
            crash = "eu"
            for = "30s"
        "#;
        let recording = run_text(&format!("{SMALL}\n{events}"), Detail::Hash);
        assert_eq!(recording.violation, None);
        assert_eq!(recording.marks.len(), 4, "{:?}", recording.marks);
        assert_eq!(recording.bands.len(), 4);
        assert_eq!(recording.totals.sold_out, 0, "twice the stock is enough");
        let without = run_text(SMALL, Detail::Hash);
        let received =
            |recording: &Recording| recording.books.iter().map(|books| books.received).sum::<u64>();
        assert_eq!(received(&recording), 2 * received(&without));
    }
}
