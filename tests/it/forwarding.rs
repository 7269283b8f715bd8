//! Reservations reached through nodes that do not own them.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::client::{Call, end, get, post, reserve};
use super::cluster::Cluster;
use super::node::LOOK_EVERY;
use super::relay::Isolation;

async fn shop() -> Cluster {
    let cluster = Cluster::start(3).await;
    cluster[0].stock("TEE", 100).await;
    cluster.known("TEE").await;
    cluster
}

fn read(id: &str) -> Call {
    get(format!("/v1/reservations/{id}"))
}

fn extend(id: &str) -> Call {
    post(format!("/v1/reservations/{id}/extend"), json!({"ttl_seconds": 7_200}))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_reads_confirms_cancels_and_extends_what_another_owns() {
    let cluster = shop().await;
    for id in ["A", "B"] {
        cluster[0].ask(reserve(id, &[("TEE", 2)], 0)).await.expect(201);
    }
    let own = cluster[0].ask(read("A")).await.expect(200);
    let seen = cluster[1].ask(read("A")).await.expect(200);
    assert_eq!((&seen.body, seen.header("etag")), (&own.body, own.header("etag")));
    let extended = cluster[2].ask(extend("A")).await.expect(200);
    assert!(extended.body["expires_at"].as_str() > own.body["expires_at"].as_str());
    let confirmed = cluster[1].ask(end("A", "confirm")).await.expect(200);
    assert_eq!((&confirmed.body["state"], &confirmed.body["node"]), (&json!("confirmed"), &json!("n0")));
    assert_eq!(cluster[2].ask(end("B", "cancel")).await.expect(200).body["state"], "cancelled");

    // The owner's refusals come through as they are.
    cluster[2].ask(end("A", "cancel")).await.refuses(409, "already_confirmed");
    cluster[1].ask(end("B", "confirm")).await.refuses(409, "already_cancelled");
    cluster[1].ask(extend("B")).await.refuses(409, "already_cancelled");
    let stale = end("A", "confirm").header("if-match", "\"9\"");
    cluster[1].ask(stale).await.refuses(412, "version_mismatch");
    cluster.converged().await;
    assert_eq!(cluster.totals(2, "TEE").await["sold"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_nobody_has_is_not_found_anywhere() {
    let cluster = shop().await;
    for node in 0..3 {
        for call in [read("NONE"), end("NONE", "confirm"), end("NONE", "cancel"), extend("NONE")] {
            cluster[node].ask(call).await.refuses(404, "reservation_not_found");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_owner_may_be_silent_nothing_is_denied_and_once_it_is_back_all_works() {
    let cluster = shop().await;
    cluster[0].ask(reserve("A", &[("TEE", 2)], 0)).await.expect(201);
    cluster[0].kill().await;
    cluster.wait_for_links(1, 2).await;
    for call in [read("A"), end("A", "confirm"), end("A", "cancel"), extend("A"), read("NONE")] {
        let refusal = cluster[1].ask(call.clone()).await.refuses(503, "owner_unreachable");
        assert_eq!(refusal.body["unreachable"], json!(["n0"]), "{call:?}");
        assert!(!refusal.header("retry-after").is_empty());
    }
    let moved = reserve("A", &[("TEE", 2)], 0).header("stockade-retry", "1");
    cluster[1].ask(moved.clone()).await.refuses(503, "owner_unreachable");
    cluster.restart(0).await;
    cluster.linked().await;
    // Now the retry finds the first one.
    let found = cluster[1].ask(moved).await.expect(200);
    assert_eq!(found.body["node"], "n0");
    assert_eq!(cluster[1].ask(end("A", "confirm")).await.expect(200).body["node"], "n0");
    let fresh = reserve("B", &[("TEE", 1)], 5_000).header("stockade-retry", "1");
    assert_eq!(cluster[1].ask(fresh).await.expect(201).body["node"], "n1");
    cluster.converged().await;
    assert_eq!(cluster.totals(1, "TEE").await["held"], 1, "one hold an id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirm_into_a_cut_says_whether_it_may_be_done_and_repeating_it_is_safe() {
    let cluster = shop().await;
    cluster[0].ask(reserve("A", &[("TEE", 2)], 0)).await.expect(201);
    // The owner's answers are lost; nobody has noticed yet.
    cluster.net.isolate(0, Isolation::Mute);
    let began = Instant::now();
    let answer = cluster[1].ask(end("A", "confirm")).await;
    assert!(matches!(answer.code(), "owner_unreachable" | "outcome_unknown"), "{}", answer.text);
    assert!(began.elapsed() < Duration::from_secs(10), "every request ends");
    // Its own clients are served all the while.
    assert_eq!(cluster[0].ask(read("A")).await.expect(200).body["id"], "A");
    cluster.net.heal();
    let deadline = Instant::now() + Duration::from_secs(20);
    let confirmed = loop {
        let answer = cluster[1].ask(end("A", "confirm")).await;
        if answer.status == 200 {
            break answer;
        }
        assert!(matches!(answer.status, 503 | 504) && Instant::now() < deadline, "{}", answer.text);
        sleep(LOOK_EVERY).await;
    };
    assert_eq!(confirmed.body["state"], "confirmed");
    cluster.converged().await;
    assert_eq!(cluster.totals(1, "TEE").await["sold"], 2);
}

/// Two nodes that were cut off from each other took one id. The younger hold is let go when
/// they meet over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_holds_under_one_id_the_younger_is_let_go() {
    let cluster = shop().await;
    let give = json!({"from": "n0", "to": "n1", "quantity": 10});
    cluster[0].ask(post("/v1/items/TEE/transfers", give).key("give")).await.expect(200);
    cluster.converged().await;
    cluster[0].ask(reserve("A", &[("TEE", 2)], 0)).await.expect(201);
    cluster[1].ask(reserve("A", &[("TEE", 2)], 0)).await.expect(201);
    let seen = cluster[2].ask(end("A", "confirm")).await.expect(200);
    assert_eq!(seen.body["node"], "n0", "the older one is confirmed");
    let deadline = Instant::now() + Duration::from_secs(10);
    while cluster.totals(1, "TEE").await["held"] != 0 {
        assert!(Instant::now() < deadline, "the younger one is still held");
        sleep(LOOK_EVERY).await;
    }
    cluster.converged().await;
    assert_eq!(cluster.totals(2, "TEE").await["sold"], 2);
}
