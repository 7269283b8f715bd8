//! The table of what each call does to a reservation in each state, row by row.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::client::{Answer, Call, end, get, post, put};
use super::cluster::Cluster;
use super::node::LOOK_EVERY;

fn hold(id: &str, quantity: u64, ttl_seconds: u64) -> Call {
    let body =
        json!({"lines": [{"sku": "TEE", "quantity": quantity}], "ttl_seconds": ttl_seconds, "wait_ms": 0});
    put(format!("/v1/reservations/{id}"), body)
}

fn extend(id: &str, ttl_seconds: u64) -> Call {
    post(format!("/v1/reservations/{id}/extend"), json!({"ttl_seconds": ttl_seconds}))
}

async fn shop() -> Cluster {
    let cluster = Cluster::start(1).await;
    cluster[0].stock("TEE", 20).await;
    cluster
}

/// Waits until a reservation has expired, which it must within a second of its deadline.
async fn expired(cluster: &Cluster, id: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let read = cluster[0].ask(get(format!("/v1/reservations/{id}"))).await.expect(200);
        if read.body["state"] == "expired" {
            return;
        }
        assert!(Instant::now() < deadline, "{}", read.text);
        sleep(LOOK_EVERY).await;
    }
}

fn facts(answer: &Answer) -> (u16, &Value, &Value, &Value) {
    let body = &answer.body;
    (answer.status, &body["state"], &body["version"], &body["lines"][0]["quantity"])
}

/// Brings a reservation of 2 units into a state.
async fn in_state(cluster: &Cluster, id: &str, state: &str) -> Answer {
    let ttl = if state == "expired" { 1 } else { 600 };
    cluster[0].ask(hold(id, 2, ttl)).await.expect(201);
    match state {
        "confirmed" => drop(cluster[0].ask(end(id, "confirm")).await.expect(200)),
        "cancelled" => drop(cluster[0].ask(end(id, "cancel")).await.expect(200)),
        "expired" => expired(cluster, id).await,
        _ => {}
    }
    cluster[0].ask(get(format!("/v1/reservations/{id}"))).await.expect(200)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_does_in_each_state_what_the_table_says() {
    // State; call; status; code, or state, version and quantity afterwards.
    type Row = (&'static str, &'static str, u16, Result<(&'static str, u64, u64), &'static str>);
    let table: [Row; 20] = [
        ("held", "same", 200, Ok(("held", 1, 2))),
        ("held", "other", 200, Ok(("held", 2, 3))),
        ("held", "confirm", 200, Ok(("confirmed", 1, 2))),
        ("held", "cancel", 200, Ok(("cancelled", 1, 2))),
        ("held", "extend", 200, Ok(("held", 1, 2))),
        ("confirmed", "same", 200, Ok(("confirmed", 1, 2))),
        ("confirmed", "other", 409, Err("already_confirmed")),
        ("confirmed", "confirm", 200, Ok(("confirmed", 1, 2))),
        ("confirmed", "cancel", 409, Err("already_confirmed")),
        ("confirmed", "extend", 409, Err("already_confirmed")),
        ("cancelled", "same", 409, Err("already_cancelled")),
        ("cancelled", "other", 409, Err("already_cancelled")),
        ("cancelled", "confirm", 409, Err("already_cancelled")),
        ("cancelled", "cancel", 200, Ok(("cancelled", 1, 2))),
        ("cancelled", "extend", 409, Err("already_cancelled")),
        ("expired", "same", 200, Ok(("held", 2, 2))),
        ("expired", "other", 200, Ok(("held", 2, 3))),
        ("expired", "confirm", 200, Ok(("confirmed", 1, 2))),
        ("expired", "cancel", 200, Ok(("cancelled", 1, 2))),
        ("expired", "extend", 410, Err("expired")),
    ];
    let cluster = Cluster::start(1).await;
    cluster[0].stock("TEE", 1_000).await;
    for (number, (state, call, status, wanted)) in table.into_iter().enumerate() {
        let id = format!("R-{number}");
        let before = in_state(&cluster, &id, state).await;
        let answer = cluster[0]
            .ask(match call {
                "same" => hold(&id, 2, 900),
                "other" => hold(&id, 3, 900),
                "extend" => extend(&id, 900),
                call => end(&id, call),
            })
            .await;
        let row = format!("{state}, {call}: {}", answer.text);
        match wanted {
            Ok((state, version, quantity)) => {
                let (state, version, quantity) = (json!(state), json!(version), json!(quantity));
                assert_eq!(facts(&answer), (status, &state, &version, &quantity), "{row}");
                assert_eq!(answer.header("etag"), format!("\"{version}\""), "{row}");
            }
            Err(code) => assert_eq!((answer.status, answer.code()), (status, code), "{row}"),
        }
        let moved = answer.body["expires_at"] != before.body["expires_at"];
        if state == "held" && matches!(call, "same" | "other" | "extend") {
            assert_eq!(moved, call != "same", "the deadline: {row}");
        }
        // A read says the same as the call.
        let after = cluster[0].ask(get(format!("/v1/reservations/{id}"))).await.expect(200);
        match wanted {
            Ok(_) => assert_eq!(after.body, answer.body, "{row}"),
            Err(_) => assert_eq!(after.body, before.body, "a refusal changes nothing: {row}"),
        }
    }
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_reservation_comes_back_only_while_its_units_are_there() {
    let cluster = shop().await;
    cluster[0].ask(hold("A", 15, 1)).await.expect(201);
    expired(&cluster, "A").await;
    assert_eq!(cluster.totals(0, "TEE").await["available"], 20, "its units are for sale again");
    cluster[0].ask(hold("B", 10, 600)).await.expect(201);
    let late = cluster[0].ask(end("A", "confirm")).await.refuses(410, "expired");
    let short = &late.body["shortfalls"][0];
    assert_eq!((&short["requested"], &short["available_here"]), (&json!(15), &json!(10)), "{}", late.text);
    cluster[0].ask(hold("A", 15, 600)).await.refuses(409, "insufficient_stock");
    assert_eq!(cluster[0].ask(get("/v1/reservations/A")).await.expect(200).body["state"], "expired");
    cluster[0].ask(end("B", "cancel")).await.expect(200);
    let sold = cluster[0].ask(end("A", "confirm")).await.expect(200);
    assert_eq!(sold.body["state"], "confirmed");
    assert_eq!(cluster.totals(0, "TEE").await["sold"], 15);
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reservation_that_ran_out_while_its_node_was_down_expires_at_the_start() {
    let cluster = shop().await;
    cluster[0].ask(hold("SHORT", 5, 1)).await.expect(201);
    cluster[0].ask(hold("LONG", 5, 600)).await.expect(201);
    cluster[0].kill().await;
    cluster.restart(0).await;
    expired(&cluster, "SHORT").await;
    assert_eq!(cluster[0].ask(get("/v1/reservations/LONG")).await.expect(200).body["state"], "held");
    assert_eq!(cluster.totals(0, "TEE").await["held"], 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_basket_changes_in_place_and_a_late_payment_cannot_confirm_it() {
    let cluster = shop().await;
    cluster[0].ask(hold("A", 15, 600)).await.expect(201);
    // Its own hold is no obstacle: 15 of 20 are held by itself.
    let changed = cluster[0].ask(hold("A", 18, 600).header("if-match", "\"1\"")).await.expect(200);
    assert_eq!(changed.body["version"], 2);
    let stale = cluster[0].ask(hold("A", 3, 600).header("if-match", "\"1\"")).await;
    assert_eq!(stale.refuses(412, "version_mismatch").body["current_version"], 2);
    cluster[0].ask(end("A", "confirm").header("if-match", "\"1\"")).await.refuses(412, "version_mismatch");
    let refused = cluster[0].ask(hold("A", 21, 600)).await.refuses(409, "insufficient_stock");
    assert_eq!(refused.body["shortfalls"][0]["available_here"], 2, "{}", refused.text);
    let kept = cluster[0].ask(get("/v1/reservations/A")).await.expect(200);
    assert_eq!((&kept.body["version"], kept.header("etag")), (&json!(2), "\"2\""));
    cluster[0].ask(end("A", "confirm").header("if-match", "\"2\"")).await.expect(200);
    let none = cluster[0].ask(hold("NEW", 1, 600).header("if-match", "\"1\"")).await;
    none.refuses(412, "version_mismatch");
    cluster[0].ask(hold("NEW", 1, 600).header("if-match", "*")).await.refuses(412, "version_mismatch");
    cluster[0].ask(hold("NEW", 1, 600).header("if-match", "1")).await.refuses(400, "invalid_request");
    cluster.converged().await;
}
