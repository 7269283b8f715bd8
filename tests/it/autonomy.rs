//! A dial bounds what a node sells that no other knows of: to the unit, and only while it is cut off.

use serde_json::{Value, json};

use super::client::{Answer, get, post, put};
use super::cluster::{AGREE_WITHIN, Cluster};
use super::node::LOOK_EVERY;

/// Sells one unit at the first node, without waiting.
async fn sell(cluster: &Cluster, n: u64) -> Answer {
    let body = json!({"lines": [{"sku": "TEE", "quantity": 1}], "wait_ms": 0});
    cluster[0].ask(post("/v1/sales", body).key(format!("sale-{n}"))).await
}

async fn books_here(cluster: &Cluster) -> Value {
    cluster[0].ask(get("/v1/items/TEE")).await.expect(200).body["nodes"][0].clone()
}

/// Waits until all that the first node may sell has been confirmed by others.
async fn confirmed(cluster: &Cluster) {
    let deadline = tokio::time::Instant::now() + AGREE_WITHIN;
    while cluster[0].counter("stockade_marks_unconfirmed ").await > 0 {
        assert!(tokio::time::Instant::now() < deadline, "{}", books_here(cluster).await);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How many units are sold one after the other until there is a refusal.
async fn sold_until_refused(cluster: &Cluster, from: u64) -> (u64, Answer) {
    for n in 0.. {
        let answer = sell(cluster, from + n).await;
        if answer.status != 201 {
            return (n, answer);
        }
    }
    unreachable!("the stock is bounded")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_peers_sells_its_autonomy_and_goes_on_when_they_are_back() {
    let cluster = Cluster::start(3).await;
    cluster[0].stock("TEE", 40).await;
    let policy = json!({"autonomy": 5, "rebalance": "manual"});
    let shown = cluster[0].ask(put("/v1/items/TEE", policy.clone())).await.expect(200).body;
    assert_eq!(shown["policy"]["autonomy"], 5);
    cluster.known("TEE").await;
    confirmed(&cluster).await;
    cluster[1].kill().await;
    cluster[2].kill().await;

    let (sold, refusal) = sold_until_refused(&cluster, 0).await;
    assert_eq!(sold, 5);
    let refusal = refusal.refuses(503, "autonomy_spent");
    assert_eq!(refusal.header("retry-after"), "1");
    assert_eq!(
        refusal.body["capped"],
        json!([{"sku": "TEE", "requested": 1, "available_here": 35, "sellable": 0}])
    );
    let here = books_here(&cluster).await;
    assert_eq!((&here["taken"], &here["limit"], &here["available"]), (&json!(5), &json!(5), &json!(35)));
    assert_eq!(cluster[0].counter("stockade_orders_autonomy_spent_total").await, 1);
    // A dial that is turned up helps only once somebody has heard of it.
    cluster[0].ask(put("/v1/items/TEE", json!({"autonomy": "all", "rebalance": "manual"}))).await.expect(200);
    sell(&cluster, 100).await.refuses(503, "autonomy_spent");
    cluster[0].ask(put("/v1/items/TEE", policy)).await.expect(200);
    // Nor does a restart: what others have confirmed is on the disk.
    cluster[0].kill().await;
    cluster.restart(0).await;
    sell(&cluster, 101).await.refuses(503, "autonomy_spent");

    cluster.restart(1).await;
    cluster.wait_for_links(0, 2).await;
    // One that may wait is served; the dial is for those who do not.
    let body = json!({"lines": [{"sku": "TEE", "quantity": 20}], "wait_ms": 10_000});
    cluster[0].ask(post("/v1/sales", body).key("large")).await.expect(201);
    confirmed(&cluster).await;
    sell(&cluster, 102).await.expect(201);
    let here = books_here(&cluster).await;
    assert_eq!((&here["taken"], &here["available"]), (&json!(26), &json!(14)));
    cluster.restart(2).await;
    cluster.linked().await;
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clusters_autonomy_is_taken_up_by_a_reload_and_holds_for_items_without_one() {
    let cluster = Cluster::start(2).await;
    cluster[0].stock("TEE", 40).await;
    assert_eq!(books_here(&cluster).await["mark"], Value::Null);
    let text = std::fs::read_to_string(cluster[0].config()).unwrap();
    std::fs::write(cluster[0].config(), format!("{text}[cluster]\nautonomy = \"10%\"\n")).unwrap();
    let answer = cluster[0].ask(post("/v1/config/reload", json!({}))).await.expect(200).body;
    assert_eq!(answer["applied"], json!(["cluster.autonomy"]));
    let deadline = tokio::time::Instant::now() + AGREE_WITHIN;
    while books_here(&cluster).await["mark"] != 4 {
        assert!(tokio::time::Instant::now() < deadline, "{}", books_here(&cluster).await);
        tokio::time::sleep(LOOK_EVERY).await;
    }
    confirmed(&cluster).await;
    cluster[1].kill().await;
    let (sold, refusal) = sold_until_refused(&cluster, 0).await;
    refusal.refuses(503, "autonomy_spent");
    assert_eq!(sold, 4);
}
