//! What buyers and their storefronts do, seen from what a run comes to.

use std::path::Path;

use super::check::{Overrides, read};
use super::stage::run;
use crate::recording::Recording;
use crate::trace::Detail;

/// Two regions; all stock lies in the first.
fn shop(stock: &str, buyers: &str, more: &str) -> Recording {
    let text = format!(
        "title = \"Shop\"\nduration = \"10m\"\n[[region]]\nname = \"eu\"\n[[region]]\nname = \"us\"\n\
         [[item]]\nsku = \"TEE\"\n{stock}\n[[item]]\nsku = \"CAP\"\nstock = 10000\npopularity = 1\n\
         [demand.generate]\norders_per_hour = 1200\nbasket = 1.8\n\
         [buyers]\npay = \"10s\"\nttl = \"1m\"\n{buyers}\n{more}\n"
    );
    let script = read(Path::new("shop.toml"), &text, &Overrides::default()).unwrap();
    let recording = run(script, Detail::Hash, &mut |_, _| {});
    assert_eq!(recording.violation, None);
    let of = recording.totals;
    let refused = of.sold_out + of.elsewhere + of.unknown;
    assert_eq!(of.units_asked, of.units_served + refused + of.unanswered + of.abandoned, "{of:?}");
    recording
}

fn crash(lasts: &str) -> String {
    format!("[[event]]\nat = \"3m\"\ncrash = \"us\"\nfor = \"{lasts}\"\n")
}

#[test]
fn what_a_node_in_reach_had_is_avoidable_and_what_nobody_had_is_not() {
    let manual = shop("stock = { eu = 5000 }\nrebalance = \"manual\"", "", "");
    assert!(manual.totals.elsewhere > 20 && manual.totals.avoidable == manual.totals.elsewhere);
    assert!(manual.buckets.iter().all(|bucket| bucket.nodes[0].elsewhere == 0));
    let cut = "[[event]]\nat = \"0s\"\ncut = [\"eu\", \"us\"]\nfor = \"10m\"\n";
    let apart = shop("stock = { eu = 5000 }\nrebalance = \"manual\"", "", cut);
    assert!(apart.totals.unknown > 20);
    assert!(apart.totals.avoidable < 10, "in reach is only who is not cut off: {:?}", apart.totals);
    let scarce = shop("stock = { eu = 20 }", "", "");
    assert!(scarce.totals.sold_out > 20 && scarce.totals.avoidable == 0, "{:?}", scarce.totals);
}

#[test]
fn storefronts_turn_to_another_node_as_they_are_told() {
    let of_us = |recording: &Recording, of: fn(&crate::recording::NodeBucket) -> u64| {
        recording.buckets.iter().map(|bucket| of(&bucket.nodes[1])).sum::<u64>()
    };
    let stock = "stock = 5000";
    let silence = shop(stock, "", &crash("4m"));
    assert!(of_us(&silence, |of| of.failed_over) > 20 && of_us(&silence, |of| of.unanswered) == 0);
    let never = shop(stock, "fail_over = \"never\"", &crash("4m"));
    assert!(of_us(&never, |of| of.failed_over) == 0 && of_us(&never, |of| of.unanswered) > 20);
    let manual = "stock = { eu = 5000 }\nrebalance = \"manual\"";
    let refusal = shop(manual, "fail_over = \"refusal\"", "");
    assert!(refusal.totals.elsewhere == 0 && of_us(&refusal, |of| of.failed_over) > 20);
}

/// The first crash must not boot what the second has just brought down, nor the second boot twice.
#[test]
fn a_crash_may_begin_when_another_ends() {
    let second = crash("2m").replace("3m", "5m");
    let recording = shop("stock = 5000", "fail_over = \"never\"", &format!("{}{second}", crash("2m")));
    let silent = |from: f64, to: f64| {
        let within = recording.buckets.iter().filter(|bucket| bucket.from >= from && bucket.from < to);
        within.map(|bucket| bucket.nodes[1].unanswered).sum::<u64>()
    };
    assert!(silent(200.0, 300.0) > 10 && silent(310.0, 410.0) > 10 && silent(430.0, 600.0) < 5);
}

#[test]
fn buyers_take_the_rest_come_back_or_leave() {
    let manual = "stock = { eu = 5000 }\nrebalance = \"manual\"";
    let (leave, rest) = (shop(manual, "", ""), shop(manual, "on_short = \"rest\"", ""));
    assert!(rest.totals.units_served > leave.totals.units_served);
    let restock = "[[event]]\nat = \"5m\"\nrestock = { sku = \"TEE\", region = \"us\", quantity = 5000 }\n";
    let once = shop(manual, "", restock);
    let twice = shop(manual, "retry_share = 1.0\nretry_after = \"3m\"", restock);
    assert!(twice.totals.units_served > once.totals.units_served);
    assert_eq!(twice.totals.units_asked, once.totals.units_asked);
    let lazy = shop("stock = 5000", "abandon = 0.5", "");
    let share = lazy.totals.abandoned as f64 / lazy.totals.units_asked as f64;
    assert!((0.4..0.6).contains(&share), "{share}");
}

#[test]
fn a_warm_up_is_played_and_not_counted() {
    let text = "title = \"Warm\"\nduration = \"10m\"\nwarm_up = \"10m\"\n[[region]]\nname = \"eu\"\n\
                [[item]]\nsku = \"TEE\"\nstock = 5000\n[demand.generate]\norders_per_hour = 1200\n\
                [[event]]\nat = \"1m\"\nrestock = { sku = \"TEE\", region = \"eu\", quantity = 5 }\n";
    let script = read(Path::new("warm.toml"), text, &Overrides::default()).unwrap();
    let late = script.orders.iter().filter(|order| order.at >= script.warm_up).count();
    let all = script.orders.len();
    let recording = run(script, Detail::Hash, &mut |_, _| {});
    assert_eq!((recording.violation, recording.totals.orders), (None, late as u64));
    assert!(late + 100 < all);
    assert_eq!(recording.books[0].sold as usize, all);
    assert_eq!(recording.marks[0].at, 60.0);
}
