//! What an admin reads of an item: each change, with who wanted it and what it moved.

use serde_json::{Value, json};

use super::client::{end, get, post, put, reserve};
use super::cluster::Cluster;

async fn history(cluster: &Cluster, node: usize, query: &str) -> Value {
    cluster[node].ask(get(format!("/v1/items/TEE/history{query}"))).await.expect(200).body
}

fn causes(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|entry| entry["cause"].as_str().unwrap()).collect()
}

/// The sum of a field over all entries.
fn sum(entries: &[Value], of: impl Fn(&Value) -> &Value) -> i64 {
    entries.iter().map(|entry| of(entry).as_i64().unwrap_or(0)).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_told_with_cause_actor_and_amounts_and_adds_up_to_the_books() {
    let cluster = Cluster::start(2).await;
    cluster[0].ask(put("/v1/items/TEE", json!({"name": "Tee", "low_stock": 2}))).await.expect(201);
    let receipt = json!({"quantity": 50, "reference": "PO-1", "reason": "delivery"});
    cluster[0].ask(post("/v1/items/TEE/receipts", receipt).key("r")).await.expect(201);
    cluster.known("TEE").await;
    cluster[0].ask(reserve("A", &[("TEE", 3)], 0)).await.expect(201);
    cluster[0].ask(end("A", "confirm")).await.expect(200);
    cluster[0].ask(reserve("B", &[("TEE", 2)], 0)).await.expect(201);
    cluster[0].ask(end("B", "cancel")).await.expect(200);
    // Asked at one node, made by the other.
    let (from, to) = (&cluster[0].name, &cluster[1].name);
    let transfer = json!({"from": from, "to": to, "quantity": 7, "reference": "MOVE-1"});
    cluster[1].ask(post("/v1/items/TEE/transfers", transfer).key("t")).await.expect(200);
    let write_off = json!({"quantity": 1, "reason": "torn"});
    cluster[0].ask(post("/v1/items/TEE/write-offs", write_off).key("w")).await.expect(201);

    let page = history(&cluster, 0, "").await;
    assert_eq!(
        causes(&page),
        ["write_off", "transfer", "cancel", "reserve", "confirm", "reserve", "receive", "set_item"]
    );
    let entry = |n: usize| &page["items"][n];
    assert_eq!(entry(0)["reason"], "torn");
    assert_eq!(entry(0)["amounts"], json!({"taken": 1, "retired": 1}));
    assert_eq!(entry(1)["actor"], format!("admin via {}", cluster[1].name));
    assert_eq!((&entry(1)["reference"], &entry(1)["peer"]), (&json!("MOVE-1"), &json!(cluster[1].name)));
    assert_eq!((&entry(1)["amounts"], &entry(1)["available"]), (&json!({"sent": 7}), &json!(-7)));
    assert_eq!((&entry(2)["reservation"], &entry(2)["actor"]), (&json!("B"), &json!("storefront")));
    assert_eq!((&entry(5)["available"], &entry(5)["held"]), (&json!(-3), &json!(3)));
    assert_eq!((&entry(6)["reference"], &entry(6)["reason"]), (&json!("PO-1"), &json!("delivery")));
    assert_eq!(entry(6)["actor"], "admin");
    assert_eq!(entry(7)["policy"]["low_stock"], 2);

    let books = cluster[0].ask(get("/v1/items/TEE")).await.expect(200).body;
    let entries = page["items"].as_array().unwrap();
    assert_eq!(sum(entries, |e| &e["available"]), books["nodes"][0]["available"].as_i64().unwrap());
    assert_eq!(sum(entries, |e| &e["held"]), books["nodes"][0]["held"].as_i64().unwrap());
    assert_eq!(sum(entries, |e| &e["amounts"]["sold"]), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_of_all_nodes_is_one_page_by_page_and_names_who_is_missing() {
    let cluster = Cluster::start(3).await;
    // Moved by hand, or nodes would go on balancing while their histories are compared.
    cluster[0].ask(put("/v1/items/TEE", json!({"rebalance": "manual"}))).await.expect(201);
    cluster[0].ask(post("/v1/items/TEE/receipts", json!({"quantity": 40})).key("r")).await.expect(201);
    cluster.known("TEE").await;
    for to in [1, 2] {
        let body = json!({"from": cluster[0].name, "to": cluster[to].name, "quantity": 10});
        let transfer = post("/v1/items/TEE/transfers", body).key(format!("t-{to}"));
        cluster[0].ask(transfer).await.expect(200);
    }
    cluster.converged().await;
    for n in 0..9 {
        cluster[n % 3].ask(reserve(&format!("R-{n}"), &[("TEE", 1)], 0)).await.expect(201);
    }
    cluster.converged().await;
    let whole = history(&cluster, 1, "?nodes=all&limit=1000").await;
    assert_eq!((&whole["missing_nodes"], &whole["next"]), (&json!([]), &json!(null)));
    let whole = whole["items"].as_array().unwrap().clone();
    assert_eq!(whole.iter().filter(|e| e["cause"] == "reserve").count(), 9);
    let times: Vec<&str> = whole.iter().map(|e| e["time"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "newest first");

    let (mut paged, mut query) = (Vec::new(), "?nodes=all&limit=4".to_owned());
    loop {
        let page = history(&cluster, 2, &query).await;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 4);
        paged.extend(items.clone());
        match page["next"].as_str() {
            Some(next) => query = format!("?nodes=all&limit=4&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, whole);

    cluster[0].kill().await;
    cluster.wait_for_links(1, 2).await;
    let page = history(&cluster, 1, "?nodes=all").await;
    assert_eq!(page["missing_nodes"], json!([cluster[0].name]));
    // It is on the disk, and what the crash cut off is in the journal.
    cluster.restart(0).await;
    let own = history(&cluster, 0, "").await;
    let expected = whole.iter().filter(|e| e["node"] == cluster[0].name);
    assert_eq!(own["items"].as_array().unwrap().iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_answered_is_refused_by_name() {
    let cluster = Cluster::start(1).await;
    cluster[0].ask(get("/v1/items/NOPE/history")).await.refuses(404, "unknown_sku");
    cluster[0].stock("TEE", 1).await;
    for (query, field) in [("?nodes=some", "nodes"), ("?cursor=x", "cursor"), ("?limit=0", "limit")] {
        let answer = cluster[0].ask(get(format!("/v1/items/TEE/history{query}"))).await;
        assert_eq!(answer.refuses(400, "invalid_request").field(), field);
    }
}
