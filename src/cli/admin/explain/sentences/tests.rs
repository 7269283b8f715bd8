//! Facts in, sentences out.

use serde_json::{Value, json};

use super::*;
use crate::cli::admin::explain::facts::Told;
use crate::cli::admin::script::{at, books, members};

fn facts(item: &Value, cluster: &Value, told: Vec<Told>) -> Facts {
    let list: crate::cli::admin::node::Members = serde_json::from_value(cluster.clone()).unwrap();
    Facts {
        teller: list.node.clone(),
        books: serde_json::from_value(item.clone()).unwrap(),
        members: list.all().unwrap(),
        flights: Vec::new(),
        moves: Vec::new(),
        told,
        raw_item: serde_json::value::to_raw_value(item).unwrap(),
        raw_cluster: serde_json::value::to_raw_value(cluster).unwrap(),
    }
}

fn told(node: &str, last: Last) -> Told {
    Told { node: node.to_owned(), last, raw: None }
}

fn all_well() -> Value {
    members(&[("eu-1", "active", "up"), ("us-1", "active", "up")])
}

#[test]
fn without_limits_it_says_so() {
    let item = books("A", &[at("eu-1", 5, 0, 0, 0, 0), at("us-1", 0, 0, 0, 0, 0)], &json!({}));
    let facts = facts(&item, &all_well(), vec![told("eu-1", Last::None)]);
    let text = explain(&facts);
    assert!(text[0].sentences.contains(&"us-1 has had none.".to_owned()));
    assert!(text[1].sentences[0].starts_with("Nothing:"));
    assert_eq!(text[2].sentences, ["eu-1 has refused none for want of stock since it started."]);
}

#[test]
fn every_limit_is_told() {
    let policy = json!({"low_stock": 90, "max_per_order": 4, "rebalance": "manual", "quotas": {
        "eu-1": {"min": 10, "max": 500, "weight": 3}, "us-1": {"pinned": 5}}});
    let item = books("A", &[at("eu-1", 80, 0, 0, 0, 0), at("us-1", 3, 0, 0, 0, 0)], &policy);
    let cluster = members(&[("eu-1", "draining", "up"), ("us-1", "active", "down")]);
    let text = limits(&facts(&item, &cluster, Vec::new())).join("\n");
    for wanted in [
        "at most 4",
        "83 free is not above low_stock 90",
        "rebalance manual",
        "eu-1 keeps 10 from others",
        "once it has 500 free",
        "counts 3 times",
        "us-1 is pinned at 5",
        "Of the 83 free units 13 are kept",
        "eu-1 is draining",
        "us-1 is silent (link down): its 3 free and 0 held are 0 s old",
    ] {
        assert!(text.contains(wanted), "{wanted}:\n{text}");
    }
}

#[test]
fn a_limit_that_binds_is_told_with_taken_limit_and_mark() {
    let bounded = |node: &str, taken: u64, limit: Option<u64>, mark: Option<u64>| {
        let mut row = at(node, 95 + taken, 0, 0, taken, 0);
        (row["taken"], row["limit"], row["mark"]) = (json!(taken), json!(limit), json!(mark));
        row
    };
    let rows = [
        bounded("ap-1", 15, None, None),
        bounded("eu-1", 15, Some(20), Some(25)),
        bounded("us-1", 15, Some(15), Some(15)),
    ];
    let told = |policy: Value| {
        let cluster =
            members(&[("eu-1", "active", "up"), ("us-1", "active", "up"), ("ap-1", "active", "up")]);
        limits(&facts(&books("A", &rows, &policy), &cluster, Vec::new()))
    };
    assert_eq!(
        told(json!({"autonomy": "1%"})),
        [
            "A node may take at most 1% of it that no other has been told of (autonomy).",
            "eu-1 may sell 5 of its 95 free at once: 15 of its limit of 20 are taken; its mark, 25, is not confirmed \
             by enough other nodes yet.",
            "us-1 may sell none of its 95 free at once: 15 of its limit of 15 are taken, as it last said; an order \
             for more has to wait until others confirm a higher mark.",
        ]
    );
    assert!(told(json!({}))[0].contains("as is set for the cluster"));
    assert!(told(json!({"autonomy": 7}))[0].contains("at most 7 that"));
    assert!(told(json!({"autonomy": "all"}))[0].contains("all that it has"));
}

#[test]
fn the_age_of_a_silent_nodes_numbers_is_told() {
    let mut silent = at("us-1", 3, 0, 0, 0, 0);
    silent["as_of"] = json!("2026-05-03T09:59:00.000Z");
    let item = books("A", &[at("eu-1", 80, 0, 0, 0, 0), silent], &json!({}));
    let cluster = members(&[("eu-1", "active", "up"), ("us-1", "active", "down")]);
    let text = limits(&facts(&item, &cluster, Vec::new())).join("\n");
    assert!(text.contains("are 60 s old, as of 2026-05-03 09:59:00"), "{text}");
}

#[test]
fn books_that_do_not_add_up_are_not_explained_away() {
    let mut item = books("A", &[at("eu-1", 80, 0, 0, 0, 0)], &json!({}));
    item["totals"]["available"] = json!(79);
    item["balanced"] = json!(false);
    let text = whereabouts(&facts(&item, &all_well(), Vec::new())).join("\n");
    assert!(text.contains("= 79, not 80: it does not add up") && text.contains("stockade check"), "{text}");
}

#[test]
fn the_newest_refusal_comes_first_and_every_node_is_heard() {
    let refusal = |at: &str, verdict: &str| {
        let body = json!({"at": at, "requested": 5, "available_here": 2, "verdict": verdict, "elsewhere": 3,
            "unreachable": ["ap-1"]});
        Last::Refusal(serde_json::from_value(body).unwrap())
    };
    let item = books("A", &[at("eu-1", 80, 0, 0, 0, 0)], &json!({"rebalance": "manual"}));
    let told = vec![
        told("eu-1", refusal("2026-05-03T09:00:00.000Z", "unknown")),
        told("us-1", refusal("2026-05-03T10:00:00.000Z", "elsewhere")),
        told("ap-1", Last::Silent),
        told("ap-2", Last::Untold),
    ];
    let text = refusals(&facts(&item, &all_well(), told));
    assert!(
        text[0].starts_with("us-1 refused 5 at 2026-05-03 10:00:00")
            && text[0].contains("rebalance is manual")
    );
    assert!(text[1].contains("ap-1 did not answer"), "{}", text[1]);
    assert_eq!(text[2..], ["ap-1 did not answer.", "ap-2 does not tell what it refused."]);
}

#[test]
fn a_launch_is_told_until_it_is_over() {
    // The books are of 2026-05-03 10:00.
    for (until, wanted) in [
        (
            "2026-05-03T10:00:00.001Z",
            "Until 2026-05-03 10:00:00 its units are shared as if buyers will ask for 500 at eu-1, 300 at us-1 \
             (launch).",
        ),
        (
            "2026-05-03T10:00:00.000Z",
            "What was expected of its launch (500 at eu-1, 300 at us-1) counts for nothing since \
             2026-05-03 10:00:00.",
        ),
    ] {
        let policy = json!({"launch": {"until": until, "expected": {"eu-1": 500, "us-1": 300}}});
        let item = books("A", &[at("eu-1", 5, 0, 0, 0, 0)], &policy);
        assert_eq!(limits(&facts(&item, &all_well(), Vec::new())), [wanted]);
    }
}

#[test]
fn each_move_is_told_with_its_cause_and_reason() {
    let item = books("A", &[at("eu-1", 5, 0, 0, 0, 0)], &json!({}));
    let mut facts = facts(&item, &all_well(), Vec::new());
    assert_eq!(explain(&facts).len(), 3, "no section without moves");
    let entry = |cause: &str, reason: Option<&str>| {
        serde_json::from_value(json!({"time": "2026-05-03T10:00:00.000Z", "node": "eu-1", "cause": cause,
            "peer": "us-1", "amounts": {"sent": 12}, "available": -12, "held": 0, "reason": reason}))
        .unwrap()
    };
    facts.moves = vec![
        entry("give_for_balance", Some("us-1 sells 3 a minute and has 4 free")),
        entry("give_for_buyer", None),
        entry("give_for_reasons_of_another_release", None),
    ];
    let told = &explain(&facts)[3];
    assert_eq!(told.heading, "The last moves between nodes");
    assert_eq!(
        told.sentences,
        [
            "2026-05-03 10:00:00 eu-1 gave 12 to us-1, to where more of it should be: us-1 sells 3 a minute and \
             has 4 free.",
            "2026-05-03 10:00:00 eu-1 gave 12 to us-1, for a buyer there.",
            "2026-05-03 10:00:00 eu-1 gave 12 to us-1, give_for_reasons_of_another_release.",
        ]
    );
}
