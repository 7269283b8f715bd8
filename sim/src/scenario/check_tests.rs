//! What is wrong with a file is found before the run, all of it, by line and key.

use std::path::Path;

use super::check::{Overrides, read};
use super::lapse::Lapse;

const GOOD: &str = r#"
title = "Good"
duration = "1h"
[[region]]
name = "eu"
[[region]]
name = "us"
population = 3
[[item]]
sku = "TEE"
stock = 100
[demand.generate]
orders_per_hour = 60
"#;

fn complaints(text: &str) -> String {
    let read = read(Path::new("shop.toml"), text, &Overrides::default());
    read.err().map_or_else(String::new, |problems| problems.to_string())
}

#[test]
fn a_good_file_has_regions_items_and_orders() {
    let script = read(Path::new("shop.toml"), GOOD, &Overrides::default()).unwrap();
    assert_eq!(script.nodes, ["eu", "us"]);
    assert_eq!(script.items[0].stock, [25, 75]);
    assert!((30..100).contains(&script.orders.len()));
    let other = Overrides { seed: Some(2), duration: Some(Lapse::minutes(30)), ..Overrides::default() };
    let other = read(Path::new("shop.toml"), GOOD, &other).unwrap();
    assert!(other.duration == Lapse::minutes(30) && other.orders != script.orders);
}

#[test]
fn everything_wrong_is_told_at_once_with_its_place() {
    let bad = format!(
        "{GOOD}\n[[event]]\nat = \"10m\"\ncut = [\"eu\", \"uss\"]\nfor = \"5m\"\n\
         [[event]]\nat = \"2h\"\nlose = \"eu\"\n\
         [[event]]\nat = \"5m\"\nrestock = {{ sku = \"TEA\", region = \"us\", quantity = 5 }}\n"
    );
    let text = complaints(&bad);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[0].starts_with("shop.toml:15:"), "{text}");
    assert!(lines[0].contains("there is no region `uss`; there are eu, us"), "{text}");
    assert!(
        lines[1].contains("2h is not before the end, 1h") && lines[2].contains("no item `TEA`"),
        "{text}"
    );
}

#[test]
fn demand_without_end_is_refused_and_not_made() {
    let day = format!("orders_per_hour = 60\nday = [{}]", ["999999"; 24].join(","));
    for (rate, said) in [("orders_per_hour = nan", "NaN must be"), (day.as_str(), "are too many")] {
        let text = complaints(&GOOD.replace("orders_per_hour = 60", rate));
        assert!(text.contains(said), "{text}");
    }
    let text = complaints(&GOOD.replace("population = 3", "population = nan"));
    assert!(text.contains("NaN must be"), "{text}");
}

#[test]
fn every_peak_and_drop_counts_towards_the_most_orders() {
    let drop = "\n[[demand.generate.drop]]\nat = \"1m\"\nover = \"1m\"\norders = 1000000\nsku = \"TEE\"\n";
    let text = complaints(&format!("{GOOD}{}", drop.repeat(5)));
    assert!(text.contains("come to 5000060 orders, which are too many; 5000000 at most"), "{text}");
    // Each peak alone comes to 3,000,000 and lies within the bound.
    let peak = "\n[[demand.generate.peak]]\nat = \"0s\"\nfor = \"30m\"\ntimes = 2\n";
    let busy = GOOD.replace("orders_per_hour = 60", "orders_per_hour = 2000000");
    let text = complaints(&format!("{busy}{}", peak.repeat(4)));
    assert!(text.contains("come to 6000000 orders"), "{text}");
}

#[test]
fn shares_and_units_out_of_all_measure_are_refused() {
    for share in ["inf", "nan", "-1", "1e300"] {
        let spread =
            GOOD.replace("stock = 100", &format!("stock = 100\nspread = {{ eu = {share}, us = 1 }}"));
        assert!(complaints(&spread).contains("spread: the share of eu, "), "{share}");
        let drop = "[[demand.generate.drop]]\nat = \"1m\"\nover = \"1m\"\norders = 5\nsku = \"TEE\"";
        let text = complaints(&format!("{GOOD}\n{drop}\nregions = {{ us = {share} }}\n"));
        assert!(
            text.contains("drop: the share of us, ") && text.contains("must be 0 to 1000000000000"),
            "{text}"
        );
    }
    let most = "1000000000000 at most";
    for key in ["weight", "min", "max", "pinned"] {
        let quota = |units: &str| format!("quotas = {{ us = {{ {key} = {units} }} }}");
        let item =
            |units: &str| complaints(&GOOD.replace("stock = 100", &format!("stock = 1\n{}", quota(units))));
        let text = item("1000000000001");
        assert!(text.contains("item: the quota of us: ") && text.contains(most), "{text}");
        assert_eq!(item("1000000000000"), "");
        let set = format!("set = {{ sku = \"TEE\", {} }}", quota("9223372036854775807"));
        let text = complaints(&format!("{GOOD}\n[[event]]\nat = \"1m\"\n{set}\n"));
        assert!(text.contains("event.set: the quota of us: "), "{text}");
    }
    let transfer = "transfer = { sku = \"TEE\", from = \"eu\", to = \"us\", quantity = 1000000000001 }";
    let text = complaints(&format!("{GOOD}\n[[event]]\nat = \"1m\"\n{transfer}\n"));
    assert!(text.contains("transfer's `quantity` must be 1000000000000 at most"), "{text}");
}

#[test]
fn a_run_without_end_is_refused_with_what_would_do() {
    let limits = "it must be 31d at most there: make it shorter, or compress at least 12";
    let slow = GOOD.replace("orders_per_hour = 60", "orders_per_hour = 1");
    let year = slow.replace("\"1h\"", "\"365d\"");
    let text = complaints(&year);
    assert!(text.starts_with("shop.toml:3:12: duration: 365d is 365d by the nodes' clocks"), "{text}");
    assert!(text.contains(limits) && text.lines().count() == 1, "{text}");
    assert_eq!(complaints(&year.replace("title", "compress = 12\ntitle")), "");
    let text = complaints(&slow.replace("title", "warm_up = \"365d\"\ntitle"));
    assert!(text.contains("shop.toml:2:11: warm_up: 365d, with the duration 365d 1h, is"), "{text}");
    let long = Overrides { duration: Some(Lapse::minutes(60 * 24 * 40)), ..Overrides::default() };
    let text = read(Path::new("shop.toml"), &slow, &long).unwrap_err().to_string();
    assert!(text.contains("duration: 40d is 40d") && text.contains("compress at least 2"), "{text}");
    let pay = |pay: &str| complaints(&format!("{GOOD}\n[buyers]\npay = \"{pay}\"\n"));
    assert!(pay("7h").contains("buyers.pay: 7h is 7h by the nodes' clocks"), "{}", pay("7h"));
    assert!(pay("7h").contains("must be 6h at most there: make it shorter, or compress at least 2"));
    assert_eq!(pay("6h"), "");
}

#[test]
fn each_mistake_has_its_words() {
    let event = |text: &str| format!("{GOOD}\n[[event]]\n{text}\n");
    let cases = [
        (GOOD.replace("title", "titel"), "unknown field `titel`"),
        (GOOD.replace("\"1h\"", "\"-1h\""), "is negative"),
        (GOOD.replace("\"1h\"", "\"1 hour\""), "is no time; write for example"),
        (GOOD.replace("duration = \"1h\"", ""), "duration: is missing"),
        (GOOD.replace("\"us\"", "\"eu\""), "there are two `eu`"),
        (GOOD.replace("\"us\"", "\"US\""), "`US` must be"),
        (GOOD.replace("stock = 100", ""), "stock: is missing"),
        (GOOD.replace("stock = 100", "stock = { us = 1, ap = 2 }"), "there is no region `ap`"),
        (GOOD.replace("stock = 100", "stock = \"many\""), "expected units, or a table"),
        (GOOD.replace("stock = 100", "stock = 1\nspread = \"even\""), "`even` is not population"),
        (GOOD.replace("stock = 100", "stock = 1\nquotas = { eu = { min = 5, max = 2 } }"), "min above max"),
        (GOOD.replace("title", "compress = 0\ntitle"), "compress: must be 1 to 10000"),
        (GOOD.replace("title", "compress = 9000\ntitle"), "buyers.ttl: 15m is 100ms by the nodes' clocks"),
        (
            GOOD.replace(
                "[demand.generate]",
                "[demand]\nfrom = \"2025-02-03\"\nuntil = \"2025-02-01\"\n[demand.generate]",
            ),
            "demand.until: 2025-02-01 is not after from, 2025-02-03",
        ),
        (GOOD.replace("[demand.generate]", "[demand.generate]\nday = [1, 2]"), "has 2 hours, not 24"),
        (GOOD.replace("[demand.generate]", "[rtt]\ntable = \"aws\"\n[demand.generate]"), "`eu` is no site"),
        (
            GOOD.replace("[demand.generate]", "[rtt]\npairs = [[\"eu\", \"eu\", 5]]\n[demand.generate]"),
            "one node twice",
        ),
        (
            GOOD.replace("[demand.generate]\norders_per_hour = 60", "[demand]\ntrace = \"none.csv\""),
            "cannot read none.csv",
        ),
        (event("at = \"1m\""), "says nothing; write one of cut"),
        (event("at = \"1m\"\nlose = \"eu\"\ndrain = \"us\""), "says lose and drain"),
        (event("at = \"1m\"\ncut = [\"eu\", \"us\"]"), "cut needs `for`"),
        (event("at = \"1m\"\nlose = \"eu\"\nfor = \"1m\""), "lose has no `for`"),
        (event("at = \"1m\"\nflap = [\"eu\", \"us\"]\nfor = \"9m\""), "flap needs `every`"),
        (event("at = \"1m\"\nrestock = { sku = \"*\", region = \"eu\" }"), "`quantity` or `share`"),
        (
            event("at = \"1m\"\ntransfer = { sku = \"*\", from = \"eu\", to = \"us\", quantity = 1 }"),
            "one item",
        ),
    ];
    for (text, expected) in cases {
        let found = complaints(&text);
        assert!(found.contains(expected) && found.contains("shop.toml"), "{expected}: {found}");
    }
}

#[test]
fn events_that_contradict_each_other_are_found() {
    let two =
        |first: &str, second: &str| complaints(&format!("{GOOD}\n[[event]]\n{first}\n[[event]]\n{second}\n"));
    let crash = |at: &str| format!("at = \"{at}\"\ncrash = \"eu\"\nfor = \"10m\"");
    assert!(two(&crash("5m"), &crash("10m")).contains("overlaps `eu down`"));
    assert_eq!(two(&crash("5m"), &crash("20m")), "");
    let lost = "at = \"5m\"\nlose = \"eu\"";
    assert!(two(lost, &crash("10m")).contains("that node never returns"));
    let cut = "at = \"5m\"\ncut = [\"eu\", \"us\"]\nfor = \"10m\"";
    assert!(two(cut, "at = \"6m\"\nisolate = \"us\"\nfor = \"1m\"").contains("overlaps `eu-us cut`"));
}
