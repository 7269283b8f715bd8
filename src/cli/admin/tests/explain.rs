//! `explain` against a scripted node: what it asks, and what it can do without.

use serde_json::{Value, json};

use crate::cli::admin::script::{Script, at, books, directory, members, problem, reply, run};
use crate::cli::admin::target::Surroundings;

fn item() -> Value {
    let nodes = [at("eu-1", 100, 40, 0, 10, 3), at("us-1", 0, 0, 39, 2, 0)];
    let mut item = books("MUG", &nodes, &json!({"name": "Mug", "max_per_order": 5}));
    item["last_refusal"] = json!({"at": "2026-05-03T09:00:00.000Z", "requested": 60, "available_here": 47,
        "verdict": "elsewhere", "elsewhere": 38, "unreachable": []});
    item
}

fn history(amounts: &[(&str, &str, &str, u64)]) -> Value {
    let entry = |(node, peer, cell, units): &(&str, &str, &str, u64)| {
        json!({"time": "2026-05-03T08:00:00.000Z", "node": node, "cause": "transfer", "peer": peer, "amounts": {*cell: units},
            "available": 0, "held": 0})
    };
    json!({"items": amounts.iter().map(entry).collect::<Vec<_>>(), "next": null, "missing_nodes": []})
}

const HISTORY: &str = "GET /v1/items/MUG/history?nodes=all&limit=500";

#[tokio::test]
async fn every_unit_is_accounted_for() {
    let moves = history(&[("us-1", "eu-1", "given", 39), ("eu-1", "us-1", "sent", 40)]);
    let node = Script::start(vec![
        reply("GET /v1/items/MUG", 200, item()),
        reply("GET /v1/nodes", 200, members(&[("eu-1", "active", "up"), ("us-1", "active", "up")])),
        reply(HISTORY, 200, &moves),
        reply("GET /v1/items/MUG/history?nodes=all&limit=200", 200, &moves),
    ])
    .await;
    let out = node.run(&["explain", "MUG"]).await.good();
    assert_eq!(
        out,
        "MUG (Mug), as eu-1 knows it\n\
         \n\
         Where every unit is\n  \
           100 received - 12 sold = 88 on hand.\n  \
           84 free + 3 held + 1 in flight = 88: it adds up.\n  \
           eu-1: 47 free, 3 held (100 received - 40 sent to others - 10 sold = 50).\n  \
           us-1: 37 free, 0 held (0 received + 39 given by others - 2 sold = 37).\n  \
           1 on the way from eu-1 to us-1.\n\
         \n\
         What limits it\n  \
           One order may have at most 5 (max_per_order).\n\
         \n\
         The last refusal\n  \
           eu-1 refused 60 at 2026-05-03 09:00:00: 47 free there, and 38 free at other\n    \
             nodes could not be brought there in time.\n\
         \n\
         The last moves between nodes\n  \
           2026-05-03 08:00:00 eu-1 gave 40 to us-1, because an admin said so.\n"
    );
    let json = node.run(&["explain", "MUG", "-o", "json"]).await.json();
    assert_eq!(json["item"], item());
    assert_eq!(json["flights"], json!([{"from": "eu-1", "to": "us-1", "units": 1}]));
    assert_eq!(json["last_refusals"][0]["last_refusal"]["requested"], 60);
    let csv = node.run(&["explain", "MUG", "-o", "csv"]).await.out;
    assert!(csv.contains("What limits it,One order may have at most 5 (max_per_order)."), "{csv}");
}

#[tokio::test]
async fn what_the_history_does_not_account_for_is_not_claimed() {
    let nodes = reply("GET /v1/nodes", 200, members(&[("eu-1", "active", "up")]));
    for history in [
        reply(HISTORY, 404, problem(404, "not_found")),
        reply(HISTORY, 200, history(&[("eu-1", "us-1", "sent", 7)])),
        reply(HISTORY, 200, history(&[("us-1", "eu-1", "given", 39)])),
    ] {
        let node = Script::start(vec![reply("GET /v1/items/MUG", 200, item()), nodes.clone(), history]).await;
        let out = node.run(&["explain", "MUG"]).await.good();
        assert!(out.contains("1 on the way: of all that was ever sent (eu-1 40)"), "{out}");
    }
}

#[tokio::test]
async fn an_item_that_is_not_there_is_a_no() {
    let node = Script::start(vec![reply("GET /v1/items/NO", 404, problem(404, "unknown_sku"))]).await;
    let ran = node.run(&["explain", "NO"]).await;
    assert_eq!(ran.status(), 1);
    assert!(ran.error().contains("unknown_sku"), "{}", ran.error());
}

#[tokio::test]
async fn with_a_directory_every_node_is_asked_for_its_last_refusal() {
    let mut item = books("MUG", &[at("eu-1", 5, 0, 0, 0, 0)], &json!({}));
    let us = Script::start(vec![
        reply("GET /v1/items/MUG", 200, &item),
        reply("GET /v1/nodes", 200, members(&[("us-1", "active", "up"), ("eu-1", "active", "up")])),
    ])
    .await;
    item["last_refusal"] = json!({"at": "2026-05-03T09:00:00.000Z", "requested": 6, "available_here": 5,
        "verdict": "unknown", "elsewhere": 0, "unreachable": ["us-1"]});
    let eu = Script::start(vec![reply("GET /v1/items/MUG", 200, &item)]).await;
    let dir = directory(&[&us, &eu]);
    let words = ["explain", "MUG", "--dev", dir.path().to_str().unwrap()];
    let out = run(&words, Surroundings::default(), None).await.good();
    let told: Vec<&str> = out.lines().skip_while(|line| *line != "The last refusal").skip(1).collect();
    let told = told.join(" ");
    let eu_at = told.find("eu-1 refused 6 at 2026-05-03 09:00:00").unwrap();
    assert!(
        told.find("us-1 has refused none for want of stock since it started.").unwrap() > eu_at,
        "{told}"
    );
    assert!(told.contains("eu-2 did not answer."), "{told}");
}
