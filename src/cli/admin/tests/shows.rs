//! Commands that show something: paging, the three formats, and widths.

use serde_json::{Value, json};

use crate::cli::admin::script::{Script, at, books, members, reply};

fn long_sku() -> String {
    format!("S{}", "KU-".repeat(42))
}

fn wide_books() -> Value {
    let long_node = "n".repeat(63);
    let nodes = [at(&long_node, 1_000_000_000, 0, 0, 5, 5), at("us-1", 0, 0, 0, 0, 0)];
    books(
        &long_sku(),
        &nodes,
        &json!({"name": "A name of many words ".repeat(12), "low_stock": 7,
        "quotas": {long_node.as_str(): {"min": 1_000_000_000}}}),
    )
}

#[tokio::test]
async fn a_list_is_read_to_its_end() {
    let (a, b) = (books("A", &[at("eu-1", 7, 0, 0, 1, 2)], &json!({})), books("B", &[], &json!({})));
    let node = Script::start(vec![
        reply("GET /v1/items?limit=500", 200, json!({"items": [a], "next": "a:b/c"})),
        reply("GET /v1/items?limit=500&cursor=a%3Ab%2Fc", 200, json!({"items": [b], "next": null})),
    ])
    .await;
    let out = node.run(&["item", "list"]).await.good();
    assert_eq!(
        out,
        "sku  name  free  held  in flight  sold\nA             4     2          0     1\nB             0     0          0     0\n"
    );
    let json = node.run(&["item", "list", "-o", "json"]).await.json();
    assert_eq!(json, json!([a, b]));
    let csv = node.run(&["item", "list", "-o", "csv"]).await.good();
    assert_eq!(csv, "sku,name,free,held,in flight,sold\nA,,4,2,0,1\nB,,0,0,0,0\n");
}

#[tokio::test]
async fn a_limit_ends_a_list_and_an_empty_one_says_what_to_do() {
    let node = Script::start(vec![
        reply("GET /v1/items?limit=1", 200, json!({"items": [books("A", &[], &json!({}))], "next": "A"})),
        reply("GET /v1/items?limit=500", 200, json!({"items": [], "next": null})),
    ])
    .await;
    let json = node.run(&["item", "list", "--limit", "1", "-o", "json"]).await.json();
    assert_eq!(json.as_array().unwrap().len(), 1);
    let ran = node.run(&["item", "list"]).await;
    assert!(ran.notes.contains("item set"), "{}", ran.notes);
    assert_eq!(node.run(&["item", "list", "-o", "json"]).await.json(), json!([]));
}

#[tokio::test]
async fn a_list_that_leads_nowhere_is_given_up() {
    let node = Script::start(vec![
        reply("GET /v1/items?limit=500", 200, json!({"items": [books("A", &[], &json!({}))], "next": "x"})),
        reply(
            "GET /v1/items?limit=500&cursor=x",
            200,
            json!({"items": [books("A", &[], &json!({}))], "next": "x"}),
        ),
    ])
    .await;
    let ran = node.run(&["item", "list"]).await;
    assert_eq!(ran.status(), 2);
    assert!(ran.error().contains("has no end"), "{}", ran.error());
}

#[tokio::test]
async fn books_are_shown_node_by_node() {
    let mug =
        books("MUG", &[at("eu-1", 100, 40, 0, 10, 3), at("us-1", 0, 0, 39, 2, 0)], &json!({"name": "Mug"}));
    let node = Script::start(vec![reply("GET /v1/items/MUG", 200, &mug)]).await;
    let out = node.run(&["item", "show", "MUG"]).await.good();
    assert_eq!(
        out,
        "MUG (Mug)\n\
         node  received  returned  retired  given  sent  sold  held  free\n\
         eu-1       100         0        0      0    40    10     3    47\n\
         us-1         0         0        0     39     0     2     0    37\n\
         all: 84 free, 3 held, 1 in flight, 12 sold\n"
    );
    assert_eq!(node.run(&["item", "show", "MUG", "-o", "json"]).await.json(), mug);
    let csv = node.run(&["item", "show", "MUG", "-o", "csv"]).await.good();
    assert_eq!(csv.lines().nth(2), Some("us-1,0,0,0,39,0,2,0,37"));
}

#[tokio::test]
async fn what_a_node_may_sell_within_its_limit_is_shown_when_that_is_not_all() {
    let mut rows = [at("eu-1", 100, 0, 0, 15, 0), at("us-1", 10, 0, 0, 0, 0)];
    for (row, taken, limit) in [(0, 15, 20), (1, 0, 10)] {
        (rows[row]["taken"], rows[row]["limit"], rows[row]["mark"]) =
            (json!(taken), json!(limit), json!(limit));
    }
    let mug = books("MUG", &rows, &json!({"autonomy": "1%"}));
    let node = Script::start(vec![reply("GET /v1/items/MUG", 200, &mug)]).await;
    let out = node.run(&["item", "show", "MUG"]).await.good();
    assert!(out.ends_with("free within the limit (autonomy): eu-1 5 of 85\nset: autonomy 1%\n"), "{out}");
    let out = node.run(&["quota", "show", "MUG"]).await.good();
    assert!(out.contains("autonomy 1%: so much"), "{out}");
}

#[tokio::test]
async fn everything_for_people_fits_80_columns() {
    let (sku, item) = (long_sku(), wide_books());
    let reservation = json!({"id": "R".repeat(128), "state": "confirmed", "version": 12, "node": "n".repeat(63),
        "expires_at": "2026-05-03T10:10:00.000Z", "lines": [{"sku": sku, "quantity": 1_000_000_000}, {"sku": "B", "quantity": 1}]});
    let entry = json!({"time": "2026-05-03T10:10:00.000Z", "node": "n".repeat(63), "cause": "give_for_balance",
        "actor": "admin via eu-1", "reference": "r".repeat(256), "reason": "w ".repeat(128), "reservation": "R".repeat(128),
        "peer": "us-1", "amounts": {"sent": 1_000_000_000}, "available": -1_000_000_000, "held": 0,
        "policy": {"name": "x".repeat(100)}});
    let (n63, short) = ("n".repeat(63), ("us-1", "draining", "down"));
    let item_path = format!("GET /v1/items/{sku}");
    let node = Script::start(vec![
        reply(&item_path, 200, &item),
        reply("GET /v1/items?limit=500", 200, json!({"items": [item], "next": null})),
        reply("GET /v1/reservations/O-1", 200, &reservation),
        reply("GET /v1/reservations?limit=500", 200, json!({"items": [reservation], "next": null})),
        reply("GET /v1/nodes", 200, members(&[(&n63, "active", "up"), short])),
        reply(
            &format!("{item_path}/history?limit=100"),
            200,
            json!({"items": [entry], "next": null, "missing_nodes": []}),
        ),
        reply(&format!("POST /v1/items/{sku}/receipts"), 201, &item),
    ])
    .await;
    let table: [&[&str]; 11] = [
        &["item", "list"],
        &["item", "show", &sku],
        &["quota", "show", &sku],
        &["stock", "receive", &sku, "1"],
        &["stock", "receive", &sku, "1", "--dry-run"],
        &["quota", "clear", &sku, "--dry-run"],
        &["reserve", "show", "O-1"],
        &["reserve", "list"],
        &["node", "list"],
        &["history", &sku],
        &["explain", &sku],
    ];
    for line in table {
        let ran = node.run(line).await;
        assert_eq!(ran.status(), 0, "{line:?} {ran:?}");
        assert!(ran.fitting().len() > 40, "{line:?}");
    }
}

#[tokio::test]
async fn reservations_are_listed_with_their_filters() {
    let held = json!({"id": "O-1", "state": "held", "version": 1, "node": "eu-1",
        "expires_at": "2026-05-03T10:10:00.000Z", "lines": [{"sku": "A:B", "quantity": 2}]});
    let target = "GET /v1/reservations?state=held&sku=A:B&limit=20";
    let node = Script::start(vec![reply(target, 200, json!({"items": [held], "next": null}))]).await;
    let line = ["reserve", "list", "--state", "held", "--sku", "A:B", "--limit", "20"];
    let out = node.run(&line).await.good();
    assert_eq!(
        out,
        "id   state  expires (UTC)        lines\n\
         O-1  held   2026-05-03 10:10:00  A:B=2\n"
    );
    let csv = node.run(&[line.as_slice(), &["-o", "csv"]].concat()).await.out;
    assert_eq!(csv.lines().nth(1), Some("O-1,held,1,eu-1,2026-05-03 10:10:00,A:B=2"));
}

#[tokio::test]
async fn nodes_are_shown_as_one_of_them_sees_them() {
    let all = members(&[("eu-1", "active", "up"), ("us-1", "drained", "down")]);
    let node = Script::start(vec![reply("GET /v1/nodes", 200, &all)]).await;
    let out = node.run(&["node", "list"]).await.good();
    assert!(out.contains("eu-1 *  eu      active   up"), "{out}");
    assert!(out.contains("us-1    eu      drained  down    81.2    0  2026-05-03 09:59:00"), "{out}");
    assert_eq!(node.run(&["node", "list", "-o", "json"]).await.json(), all["nodes"]);
}

#[tokio::test]
async fn a_history_says_whose_part_is_missing() {
    let entry = |time: &str, cause: &str, amounts: Value, available: i64| {
        json!({"time": time, "node": "eu-1", "cause": cause, "actor": "admin", "reference": null, "reason": null,
            "reservation": null, "peer": if cause == "transfer" { json!("us-1") } else { Value::Null },
            "amounts": amounts, "available": available, "held": 0, "policy": null})
    };
    let first = json!({"items": [entry("2026-05-03T10:00:01.000Z", "transfer", json!({"sent": 20}), -20)],
        "next": "c", "missing_nodes": ["us-1"]});
    let second = json!({"items": [entry("2026-05-03T10:00:00.000Z", "receive", json!({"received": 100}), 100)],
        "next": null, "missing_nodes": ["us-1", "ap-1"]});
    let node = Script::start(vec![
        reply("GET /v1/items/MUG/history?nodes=all&limit=100", 200, &first),
        reply("GET /v1/items/MUG/history?nodes=all&limit=99&cursor=c", 200, &second),
    ])
    .await;
    let ran = node.run(&["history", "MUG", "--nodes", "all"]).await;
    assert!(ran.notes.contains("ap-1, us-1"), "{}", ran.notes);
    let out = ran.good();
    assert!(
        out.contains("2026-05-03 10:00:01  eu-1  transfer   -20        sent 20, to us-1, by admin"),
        "{out}"
    );
    assert!(out.contains("2026-05-03 10:00:00  eu-1  receive   +100        received 100, by admin"), "{out}");
    let json = node.run(&["history", "MUG", "--nodes", "all", "-o", "json"]).await.json();
    assert_eq!(json, json!([first["items"][0], second["items"][0]]));
}

#[tokio::test]
async fn a_history_tells_why_units_moved_also_for_a_cause_of_another_release() {
    let entry = json!({"time": "2026-05-03T10:00:01.000Z", "node": "eu-1", "cause": "give_to_come", "actor": null,
        "reference": null, "reason": "us-1 sells 3 a minute", "reservation": null, "peer": "us-1",
        "amounts": {"sent": 20}, "available": -20, "held": 0, "policy": null});
    let page = json!({"items": [entry], "next": null, "missing_nodes": []});
    let node = Script::start(vec![reply("GET /v1/items/MUG/history?limit=100", 200, page)]).await;
    let out = node.run(&["history", "MUG"]).await.good();
    let text = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("give_to_come -20 sent 20, to us-1, because \"us-1 sells 3 a minute\""), "{out}");
}
