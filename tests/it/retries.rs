//! One id or key, one effect, one answer: repeated, at once, and across `kill -9`.

use serde_json::json;

use super::client::{Call, end, get, post, put, reserve};
use super::cluster::Cluster;

async fn shop() -> Cluster {
    let cluster = Cluster::start(2).await;
    cluster[0].stock("TEE", 100).await;
    cluster.known("TEE").await;
    cluster
}

fn sale(key: &str, quantity: u64) -> Call {
    post("/v1/sales", json!({"lines": [{"sku": "TEE", "quantity": quantity}]})).key(key)
}

async fn sold(cluster: &Cluster) -> u64 {
    cluster.totals(0, "TEE").await["sold"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyed_call_repeated_gets_its_first_answer_also_after_kill_minus_nine() {
    let cluster = shop().await;
    let first = cluster[0].ask(sale("K-1", 2)).await.expect(201);
    assert!(!first.is_replayed());
    let calls = [
        (sale("K-1", 2), first),
        (sale("K-2", 1_000), cluster[0].ask(sale("K-2", 1_000)).await.refuses(409, "insufficient_stock")),
        keyed_first(&cluster, put("/v1/reservations/R-1", lines(3)).key("K-3"), 201).await,
        keyed_first(&cluster, end("R-1", "confirm").key("K-4"), 200).await,
        keyed_first(&cluster, end("R-1", "cancel").key("K-5"), 409).await,
        keyed_first(&cluster, post("/v1/reservations", lines(1)).key("K-6"), 201).await,
        keyed_first(&cluster, post("/v1/returns", json!({"sku": "TEE", "quantity": 1})).key("K-7"), 201)
            .await,
        keyed_first(&cluster, post("/v1/items/TEE/receipts", json!({"quantity": 5})).key("K-8"), 201).await,
        keyed_first(&cluster, post("/v1/items/TEE/write-offs", json!({"quantity": 2})).key("K-9"), 201).await,
        keyed_first(&cluster, transfer("n0", "n1", 4).key("K-10"), 200).await,
        keyed_first(&cluster, end("NONE", "confirm").key("K-11"), 404).await,
        keyed_first(&cluster, batch().key("K-12"), 200).await,
    ];
    let before = cluster.totals(0, "TEE").await;
    for round in ["at once", "after kill -9"] {
        for (call, first) in &calls {
            let again = cluster[0].ask(call.clone()).await;
            assert_eq!((again.status, &again.body), (first.status, &first.body), "{round}: {call:?}");
            assert!(again.is_replayed(), "{round}: {call:?}");
            let other = cluster[0].ask(call.clone().raw(r#"{"lines":[{"sku":"TEE","quantity":7}]}"#)).await;
            // A body that the call does not take is refused for that.
            assert!(matches!(other.code(), "key_reused" | "invalid_request"), "{round}: {}", other.text);
        }
        let other = cluster[0].ask(sale("K-1", 3)).await;
        other.refuses(422, "key_reused");
        assert_eq!(cluster.totals(0, "TEE").await["sold"], before["sold"], "{round}");
        assert_eq!(cluster.totals(0, "TEE").await["received"], before["received"], "{round}");
        if round == "at once" {
            cluster[0].kill().await;
            cluster.restart(0).await;
        }
    }
    cluster.converged().await;
}

fn lines(quantity: u64) -> serde_json::Value {
    json!({"lines": [{"sku": "TEE", "quantity": quantity}]})
}

fn transfer(from: &str, to: &str, quantity: u64) -> Call {
    post("/v1/items/TEE/transfers", json!({"from": from, "to": to, "quantity": quantity}))
}

fn batch() -> Call {
    let operations = json!([
        {"op": "reserve", "id": "B-1", "lines": [{"sku": "TEE", "quantity": 1}]},
        {"op": "confirm", "id": "B-1"},
        {"op": "sell", "id": "B-2", "lines": [{"sku": "TEE", "quantity": 1}]},
        {"op": "cancel", "id": "B-3"},
    ]);
    post("/v1/reservations:batch", json!({"operations": operations}))
}

async fn keyed_first(cluster: &Cluster, call: Call, status: u16) -> (Call, super::client::Answer) {
    let first = cluster[0].ask(call.clone()).await.expect(status);
    assert!(!first.is_replayed(), "{call:?}");
    (call, first)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twins_sent_at_once_have_one_effect_and_one_answer() {
    let cluster = shop().await;
    // Node 1 has no rights yet: the first twin waits for them, and the others for it.
    for node in [0, 1] {
        let before = sold(&cluster).await;
        let key = format!("T-{node}");
        let twins = (0..16).map(|_| cluster[node].ask(sale(&key, 3)));
        let answers = futures(twins).await;
        let first = answers[0].clone().expect(201);
        assert!(
            answers.iter().all(|answer| answer.status == 201 && answer.body == first.body),
            "{answers:?}"
        );
        assert_eq!(
            answers.iter().filter(|answer| !answer.is_replayed()).count(),
            1,
            "one of them was the first"
        );
        cluster.converged().await;
        assert_eq!(sold(&cluster).await, before + 3);
    }
    let puts = futures((0..16).map(|_| cluster[1].ask(reserve("TWIN", &[("TEE", 2)], 1_000)))).await;
    assert_eq!(puts.iter().filter(|answer| answer.status == 201).count(), 1, "{puts:?}");
    assert_eq!(puts.iter().filter(|answer| answer.status == 200).count(), 15, "{puts:?}");
    cluster.converged().await;
    assert_eq!(cluster.totals(0, "TEE").await["held"], 2);
}

/// All of them at once.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = all.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, done) in &mut running {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        match running.iter().all(|(_, done)| done.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    running.into_iter().filter_map(|(_, done)| done).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_cut_short_by_kill_minus_nine_has_one_effect_once_it_is_repeated() {
    let cluster = shop().await;
    let mut unanswered = 0;
    for round in 0..4 {
        // The kill comes while they are under way; which ones got through is chance, and that
        // each is done once in the end must not depend on it.
        let calls: Vec<Call> = (0..8)
            .map(|i| match i % 2 {
                0 => sale(&format!("C-{round}-{i}"), 1),
                _ => reserve(&format!("C-{round}-{i}"), &[("TEE", 1)], 0),
            })
            .collect();
        let first = async { futures(calls.iter().map(|call| cluster[0].try_ask(call))).await };
        let kill = async {
            tokio::task::yield_now().await;
            cluster[0].kill().await;
        };
        let (first, ()) = tokio::join!(first, kill);
        unanswered += first.iter().filter(|answer| answer.is_err()).count();
        cluster.restart(0).await;
        for (call, first) in calls.iter().zip(first) {
            let again = cluster[0].ask(call.clone()).await;
            assert!(matches!(again.status, 200 | 201), "{}", again.text);
            if let Ok(first) = first {
                assert_eq!(again.body, first.body, "{call:?}");
            }
        }
    }
    assert!(unanswered > 0, "no kill met a call under way");
    cluster.converged().await;
    let totals = cluster.totals(1, "TEE").await;
    assert_eq!((&totals["sold"], &totals["held"]), (&json!(16), &json!(16)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_belong_to_a_node_and_a_path() {
    let cluster = shop().await;
    cluster[0].ask(sale("S", 1)).await.expect(201);
    let elsewhere = cluster[1].ask(sale("S", 1)).await.expect(201);
    assert!(!elsewhere.is_replayed(), "another node, another scope");
    let other_path = post("/v1/returns", json!({"sku": "TEE", "quantity": 1})).key("S");
    assert!(!cluster[0].ask(other_path).await.expect(201).is_replayed(), "another path, another scope");
    let again = cluster[0].ask(reserve("S", &[("TEE", 1)], 0).key("S")).await.expect(201);
    assert!(!again.is_replayed(), "another method, another scope");
    // The same JSON written otherwise is the same body.
    let spaced = sale("S", 1).raw(r#"{ "lines" : [ {"quantity":1, "sku":"TEE"} ] }"#);
    assert!(cluster[0].ask(spaced).await.expect(201).is_replayed());
    cluster[0].ask(get("/v1/reservations/S")).await.expect(200);
}
