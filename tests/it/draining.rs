//! A node is drained, and comes back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Call, end, get, post, reserve};
use super::cluster::Cluster;
use super::node::LOOK_EVERY;

fn drain(cluster: &Cluster, node: usize, what: &str) -> Call {
    post(format!("/v1/nodes/{}/{what}", cluster[node].name), json!({}))
}

async fn state(cluster: &Cluster, at: usize, of: usize) -> String {
    let nodes = cluster[at].ask(get("/v1/nodes")).await.expect(200).body;
    let nodes = nodes["nodes"].as_array().unwrap();
    let node = nodes.iter().find(|node| node["name"] == cluster[of].name).unwrap();
    node["state"].as_str().unwrap().to_owned()
}

async fn becomes(cluster: &Cluster, at: usize, of: usize, wanted: &str) {
    let give_up = Instant::now() + Duration::from_secs(20);
    while state(cluster, at, of).await != wanted {
        assert!(Instant::now() < give_up, "never {wanted}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_node_sells_nothing_new_and_the_others_sell_all_it_had() {
    let cluster = Cluster::start(3).await;
    cluster[0].stock("TEE", 30).await;
    cluster.known("TEE").await;
    cluster[0].ask(reserve("OLD", &[("TEE", 2)], 0)).await.expect(201);

    let answer = cluster[1].ask(drain(&cluster, 0, "drain")).await.expect(202);
    assert_eq!((&answer.body["name"], &answer.body["state"]), (&json!(cluster[0].name), &json!("draining")));
    cluster[0].ask(reserve("NEW", &[("TEE", 1)], 0)).await.refuses(503, "draining");
    let sale = post("/v1/sales", json!({"lines": [{"sku": "TEE", "quantity": 1}]})).key("s");
    cluster[0].ask(sale).await.refuses(503, "draining");
    let ready = cluster[0].ask(get("/readyz")).await;
    assert_eq!((ready.status, &ready.body["reasons"]), (503, &json!(["draining"])));
    assert_eq!(state(&cluster, 0, 0).await, "draining", "two units are held");
    cluster[0].ask(end("OLD", "confirm")).await.expect(200);
    for at in 0..3 {
        becomes(&cluster, at, 0, "drained").await;
    }
    let totals: Value = cluster.totals(0, "TEE").await;
    assert_eq!((&totals["sold"], &totals["available"]), (&json!(2), &json!(28)));
    cluster[1].ask(reserve("ALL", &[("TEE", 28)], 2_000)).await.expect(201);

    cluster[0].kill().await;
    cluster.restart(0).await;
    becomes(&cluster, 0, 0, "drained").await;
    cluster[0].ask(drain(&cluster, 0, "resume")).await.expect(202);
    becomes(&cluster, 1, 0, "active").await;
    cluster[0].ask(get("/readyz")).await.expect(200);
    cluster[1].ask(end("ALL", "cancel")).await.expect(200);
    cluster[0].ask(reserve("NEW", &[("TEE", 1)], 2_000)).await.expect(201);
    let nobody = post("/v1/nodes/nobody/drain", json!({}));
    cluster[0].ask(nobody).await.refuses(404, "unknown_node");
}
