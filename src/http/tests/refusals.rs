//! How each refusal is shown, and what a node that cannot decide says.

use serde_json::json;

use super::Listener::{Admin, Storefront};
use super::*;
use crate::node::NotReadyReason;
use crate::types::{Capped, Shortfall, Verdict};

const BODY: &str =
    r#"{"lines":[{"sku":"MUG","quantity":1},{"sku":"MUG","quantity":1},{"sku":"TEE","quantity":1}]}"#;

fn shortfall() -> Shortfall {
    Shortfall {
        sku: sku("TEE"),
        requested: Units(2),
        available_here: Units(0),
        verdict: Verdict::Elsewhere,
        elsewhere: Units(3),
        unreachable: vec![node("ap-1")],
        as_of: NOW,
    }
}

fn capped() -> Capped {
    Capped { sku: sku("TEE"), requested: Units(2), available_here: Units(9), sellable: Units(1) }
}

#[tokio::test]
async fn each_refusal_has_its_status_code_and_field() {
    let nowhere = || vec![node("ap-1"), node("us-1")];
    let invalid = || Refusal::Invalid { field: "quantity".to_owned(), message: "too many".to_owned() };
    let unknown = || Refusal::UnknownNode { field: "to".to_owned(), node: node("xx") };
    let max = Refusal::MaxPerOrder { sku: sku("TEE"), line: 1, max: Units(4) };
    let table: [(Refusal, u16, &str, Option<&str>); 23] = [
        (Refusal::InsufficientStock(vec![shortfall()]), 409, "insufficient_stock", None),
        (Refusal::UnknownSku { sku: sku("TEE"), line: Some(1) }, 404, "unknown_sku", Some("lines[2].sku")),
        (Refusal::UnknownSku { sku: sku("TEE"), line: None }, 404, "unknown_sku", Some("sku")),
        (Refusal::ReservationNotFound, 404, "reservation_not_found", None),
        (Refusal::AlreadyConfirmed, 409, "already_confirmed", None),
        (Refusal::AlreadyCancelled, 409, "already_cancelled", None),
        (Refusal::Expired(vec![shortfall()]), 410, "expired", None),
        (Refusal::VersionMismatch { current: 3 }, 412, "version_mismatch", None),
        (Refusal::VersionMismatch { current: 0 }, 412, "version_mismatch", None),
        (Refusal::KeyReused, 422, "key_reused", None),
        (max, 409, "max_per_order", Some("lines[2].quantity")),
        (Refusal::NotFreeHere { free: Units(4) }, 409, "not_free_here", None),
        (unknown(), 404, "unknown_node", Some("to")),
        (Refusal::OwnerUnreachable { unreachable: nowhere() }, 503, "owner_unreachable", None),
        (Refusal::NodeUnreachable { node: node("ap-1") }, 503, "node_unreachable", None),
        (Refusal::OutcomeUnknown, 504, "outcome_unknown", None),
        (Refusal::Draining, 503, "draining", None),
        (Refusal::MemoryFull, 503, "memory_full", None),
        (Refusal::Overloaded, 503, "overloaded", None),
        (Refusal::RolledBack, 503, "rolled_back", None),
        (Refusal::NotReady, 503, "not_ready", None),
        (Refusal::AutonomySpent(vec![capped()]), 503, "autonomy_spent", None),
        (invalid(), 400, "invalid_request", Some("quantity")),
    ];
    for (refusal, status, code, field) in table {
        let served = saying(Err(refusal.clone())).await;
        let response = served.send(Storefront, "POST /v1/reservations", "", BODY).await;
        assert_eq!((response.status, response.code().as_str()), (status, code), "{refusal:?}");
        assert_eq!(response.fields(), field.into_iter().collect::<Vec<_>>(), "{refusal:?}");
        assert_eq!(response.json()["type"], format!("urn:stockade:error:{code}"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
}

#[tokio::test]
async fn refusals_carry_what_a_client_needs_to_go_on() {
    let expected = json!([{"sku": "TEE", "requested": 2, "available_here": 0, "verdict": "elsewhere",
        "elsewhere": 3, "unreachable": ["ap-1"], "as_of": "2026-02-02T02:40:00.000Z"}]);
    let unreachable = vec![node("ap-1"), node("us-1")];
    let table = [
        (Refusal::InsufficientStock(vec![shortfall()]), "shortfalls", expected.clone()),
        (Refusal::Expired(vec![shortfall()]), "shortfalls", expected),
        (
            Refusal::AutonomySpent(vec![capped()]),
            "capped",
            json!([{"sku": "TEE", "requested": 2, "available_here": 9, "sellable": 1}]),
        ),
        (Refusal::OwnerUnreachable { unreachable }, "unreachable", json!(["ap-1", "us-1"])),
        (Refusal::NodeUnreachable { node: node("ap-1") }, "unreachable", json!(["ap-1"])),
        (Refusal::VersionMismatch { current: 3 }, "current_version", json!(3)),
        (Refusal::NotFreeHere { free: Units(4) }, "free", json!(4)),
    ];
    for (refusal, member, value) in table {
        let served = saying(Err(refusal)).await;
        let response = served.send(Storefront, "POST /v1/reservations", "", BODY).await;
        assert_eq!(response.json()[member], value, "{member}");
    }
}

#[tokio::test]
async fn a_node_that_is_not_ready_asks_its_replica_nothing() {
    let table = [
        (vec![NotReadyReason::Starting, NotReadyReason::WaitingForPeers], "not_ready"),
        (vec![NotReadyReason::Stopping, NotReadyReason::RolledBack], "rolled_back"),
    ];
    for (reasons, code) in table {
        let served = knowing_nothing().await;
        for reason in &reasons {
            served.handle.readiness().set(*reason, true);
        }
        let names: Vec<&str> = reasons.iter().map(|reason| reason.as_str()).collect();
        for (listener, call, body) in [
            (Storefront, "POST /v1/reservations", BODY),
            (Storefront, "GET /v1/reservations/A", ""),
            (Storefront, "GET /v1/availability?sku=MUG", ""),
            (Storefront, "GET /v1/availability/stream?sku=MUG", ""),
            (Admin, "GET /v1/items", ""),
            (Admin, "GET /v1/check", ""),
        ] {
            let response = served.send(listener, call, "", body).await;
            assert_eq!((response.status, response.code().as_str()), (503, code), "{call}");
            assert_eq!(response.json()["reasons"], json!(names));
        }
        assert!(served.take_asked().is_empty());

        let ready = served.get(Storefront, "/readyz").await;
        assert_eq!((ready.status, ready.json()), (503, json!({"ready": false, "reasons": names})));
        assert_eq!(served.get(Storefront, "/livez").await.status, 200);
        assert_eq!(served.get(Admin, "/metrics").await.status, 200);
    }
}

#[tokio::test]
async fn a_full_queue_is_an_early_no() {
    // Nobody takes from the queue: the first request fills it.
    let (handle, _arrivals) = Handle::new(identity(), 1);
    let served = started(handle, Arc::default(), Arc::default(), Arc::default(), HttpLimits::default()).await;
    let (mut one, mut other) = (Client::to(served.storefront).await, Client::to(served.storefront).await);
    one.send(&request("GET /v1/reservations/A", "", "")).await;
    other.send(&request("GET /v1/reservations/B", "", "")).await;
    // Either may be first; the later one is refused.
    let refused = tokio::select! {
        response = one.response(false) => response,
        response = other.response(false) => response,
    };
    assert_eq!((refused.status, refused.code().as_str()), (503, "overloaded"));
    assert_eq!(refused.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn an_unknown_outcome_closes_the_connection_without_a_byte() {
    let served = served(HttpLimits::default(), |_| None).await;
    for (listener, call, body) in [
        (Storefront, "POST /v1/reservations", BODY),
        (Storefront, "GET /v1/reservations/A", ""),
        (Admin, "GET /v1/items/MUG", ""),
    ] {
        let mut client = Client::to(served.address(listener)).await;
        client.send(&request(call, "", body)).await;
        client.closed().await;
    }
    // Also behind an answer on the same connection, and what follows is not answered either.
    let mut client = Client::to(served.storefront).await;
    let both = [request("GET /livez", "", ""), request("GET /v1/reservations/A", "", "")].concat();
    client.send(&[both, request("GET /livez", "", "")].concat()).await;
    assert_eq!(client.response(false).await.status, 200);
    client.closed().await;
}

#[tokio::test]
async fn an_answer_that_does_not_belong_to_the_command_is_not_given() {
    let served = saying(books_answer(false)).await;
    let mut client = Client::to(served.storefront).await;
    client.send(&request("POST /v1/reservations", "", BODY)).await;
    client.closed().await;
}
