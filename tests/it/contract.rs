//! What clients are promised of each call, against two real nodes: status, code and field.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::client::{Call, end, get, lines_json, post, put, reserve};
use super::cluster::Cluster;
use super::node::LOOK_EVERY;

async fn shop() -> Cluster {
    let cluster = Cluster::start(2).await;
    cluster[0].stock("TEE", 100).await;
    cluster[0].ask(put("/v1/items/RARE", json!({"name": "Rare", "max_per_order": 3}))).await.expect(201);
    cluster.known("RARE").await;
    cluster
}

fn sale(body: Value) -> Call {
    post("/v1/sales", body).key("S")
}

fn order(sku: &str, quantity: Value) -> Value {
    json!({"lines": [{"sku": "TEE", "quantity": 1}, {"sku": sku, "quantity": quantity}]})
}

fn transfer(from: &str, to: &str, quantity: u64) -> Call {
    post("/v1/items/TEE/transfers", json!({"from": from, "to": to, "quantity": quantity})).key("T")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_refused_with_status_code_and_field() {
    const R: &str = "/v1/reservations/R";
    let cluster = shop().await;
    let batch = |operations: Value| post("/v1/reservations:batch", json!({"operations": operations}));
    let item = |body: Value| put("/v1/items/TEE", body);
    let one = json!(1);
    let table: Vec<(Call, u16, &str, &str)> = vec![
        (put(R, json!({})), 400, "invalid_request", "lines"),
        (put(R, json!({"lines": []})), 400, "invalid_request", "lines"),
        (put(R, order("MUG", json!(0))), 400, "invalid_request", "lines[1].quantity"),
        (put(R, order("MUG", json!(-1))), 400, "invalid_request", "lines[1].quantity"),
        (put(R, order("MUG", json!(1.5))), 400, "invalid_request", "lines[1].quantity"),
        (put(R, order("MUG", json!("1"))), 400, "invalid_request", "lines[1].quantity"),
        (put(R, order("MUG", json!(1_000_000_001))), 400, "invalid_request", "lines[1].quantity"),
        (put(R, order("TEE", json!(1_000_000_000))), 400, "invalid_request", "lines"),
        (put(R, order("no spaces", one.clone())), 400, "invalid_request", "lines[1].sku"),
        (
            put(R, json!({"lines": [{"sku": "TEE", "quantity": 1}], "colour": 1})),
            400,
            "invalid_request",
            "colour",
        ),
        (
            put(R, json!({"lines": [{"sku": "TEE", "quantity": 1}], "ttl_seconds": 0})),
            400,
            "invalid_request",
            "ttl_seconds",
        ),
        (
            put(R, json!({"lines": [{"sku": "TEE", "quantity": 1}], "wait_ms": 10_001})),
            400,
            "invalid_request",
            "wait_ms",
        ),
        (put(R, order("MUG", one.clone())), 404, "unknown_sku", "lines[1].sku"),
        (put(R, order("RARE", json!(4))), 409, "max_per_order", "lines[1].quantity"),
        (put("/v1/reservations/-R", order("MUG", one.clone())), 400, "invalid_request", "id"),
        (put(R, order("MUG", one.clone())).raw("{"), 400, "invalid_request", "body"),
        (
            put(R, order("MUG", one.clone())).header("content-type", "text/plain"),
            415,
            "unsupported_media_type",
            "",
        ),
        (
            put(R, order("MUG", one.clone())).header("stockade-retry", "yes"),
            400,
            "invalid_request",
            "Stockade-Retry",
        ),
        (
            put(R, order("MUG", one.clone())).header("idempotency-key", "no spaces"),
            400,
            "invalid_request",
            "Idempotency-Key",
        ),
        (put(R, order("MUG", one.clone())).raw(&" ".repeat(70_000)), 413, "body_too_large", ""),
        (get("/v1/reservations/R?x=1"), 400, "invalid_request", "x"),
        (get("/v1/reservations/NONE"), 404, "reservation_not_found", ""),
        (post("/v1/reservations/NONE/extend", json!({})), 400, "invalid_request", "ttl_seconds"),
        (post("/v1/reservations", json!({})), 400, "invalid_request", "lines"),
        (
            post("/v1/sales", json!({"lines": [{"sku": "TEE", "quantity": 1}]})),
            400,
            "idempotency_key_required",
            "",
        ),
        (sale(order("MUG", one.clone())), 404, "unknown_sku", "lines[1].sku"),
        (sale(order("RARE", json!(4))).key("twice"), 400, "invalid_request", "Idempotency-Key"),
        (post("/v1/returns", json!({"sku": "TEE", "quantity": 1})), 400, "idempotency_key_required", ""),
        (post("/v1/returns", json!({"quantity": 1})).key("K"), 400, "invalid_request", "sku"),
        (post("/v1/returns", json!({"sku": "MUG", "quantity": 1})).key("K"), 404, "unknown_sku", "sku"),
        (batch(json!([])), 400, "invalid_request", "operations"),
        (batch(json!([{"op": "fly", "id": "A"}])), 400, "invalid_request", "operations[0].op"),
        (batch(json!([{"op": "cancel"}])), 400, "invalid_request", "operations[0].id"),
        (
            batch(json!([{"op": "confirm", "id": "A"}, {"op": "sell", "id": "A", "lines": []}])),
            400,
            "invalid_request",
            "operations[1].lines",
        ),
        (get("/v1/availability"), 400, "invalid_request", "sku"),
        (get("/v1/availability?sku=no%20spaces"), 400, "invalid_request", "sku"),
        (item(json!({"max_per_order": 0})), 400, "invalid_request", "max_per_order"),
        (item(json!({"rebalance": "often"})), 400, "invalid_request", "rebalance"),
        (item(json!({"quotas": {"n0": {"min": -1}}})), 400, "invalid_request", "quotas.n0.min"),
        (item(json!({"quotas": {"n0": {"min": 5, "max": 4}}})), 400, "invalid_request", "quotas.n0.min"),
        (item(json!({"quotas": {"mars": {"min": 1}}})), 404, "unknown_node", "quotas.mars"),
        (
            item(json!({"launch": {"until": "2030-01-01T00:00:00Z", "expected": {"n0": 5, "mars": 1}}})),
            404,
            "unknown_node",
            "launch.expected.mars",
        ),
        (get("/v1/items/NONE"), 404, "unknown_sku", "sku"),
        (get("/v1/items?limit=0"), 400, "invalid_request", "limit"),
        (get("/v1/items?cursor=%20"), 400, "invalid_request", "cursor"),
        (post("/v1/items/TEE/receipts", json!({"quantity": 1})), 400, "idempotency_key_required", ""),
        (post("/v1/items/TEE/receipts", json!({})).key("K"), 400, "invalid_request", "quantity"),
        (post("/v1/items/NONE/receipts", json!({"quantity": 1})).key("K"), 404, "unknown_sku", "sku"),
        (post("/v1/items/TEE/write-offs", json!({"quantity": 101})).key("K"), 409, "not_free_here", ""),
        (post("/v1/items/NONE/write-offs", json!({"quantity": 1})).key("K"), 404, "unknown_sku", "sku"),
        (transfer("n0", "n0", 1), 400, "invalid_request", "to"),
        (transfer("mars", "n0", 1), 404, "unknown_node", "from"),
        (
            post("/v1/items/TEE/transfers", json!({"from": "n0", "to": "mars", "quantity": 1})).key("T2"),
            404,
            "unknown_node",
            "to",
        ),
        (get("/v1/nothing"), 404, "not_found", ""),
        (get("/v1/check").at_admin(false), 404, "not_found", ""),
        (get("/v1/reservations/R").at_admin(true), 404, "not_found", ""),
    ];
    let mut wrong = Vec::new();
    for (call, status, code, field) in table {
        let answer = cluster[0].ask(call.clone()).await;
        let is_problem = answer.header("content-type") == "application/problem+json"
            && answer.body["status"] == status
            && answer.body["type"].is_string()
            && answer.body["title"].is_string()
            && !answer.header("x-request-id").is_empty();
        if (answer.status, answer.code(), answer.field()) != (status, code, field) || !is_problem {
            wrong.push(format!("{call:?}: wanted {status} {code} {field:?}, got {}", answer.text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let wrong_method = cluster[0].ask(post("/v1/availability", json!({}))).await;
    assert!(wrong_method.refuses(405, "method_not_allowed").header("allow").contains("GET"));
    assert_eq!(cluster.totals(0, "TEE").await["available"], 100, "no refusal did anything");
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn good_calls_answer_as_the_contract_shows() {
    let cluster = shop().await;
    let made =
        cluster[0].ask(reserve("A", &[("TEE", 1), ("TEE", 2)], 0).header("x-request-id", "mine")).await;
    let made = made.expect(201);
    assert_eq!((made.header("x-request-id"), made.header("etag")), ("mine", "\"1\""));
    assert_eq!(made.body["lines"], lines_json(&[("TEE", 3)]), "repeated skus are added up");
    assert_eq!((&made.body["node"], &made.body["region"]), (&json!("n0"), &json!("r0")));
    for time in ["created_at", "expires_at"] {
        let text = made.body[time].as_str().unwrap();
        assert!(text.len() == 24 && text.ends_with('Z'), "{text}");
    }
    let posted =
        cluster[0].ask(post("/v1/reservations", json!({"lines": [{"sku": "TEE", "quantity": 1}]}))).await;
    let posted = posted.expect(201);
    let id = posted.body["id"].as_str().unwrap();
    assert_eq!(posted.header("location"), format!("/v1/reservations/{id}"));
    assert_eq!(id.as_bytes()[14], b'7', "a UUIDv7");
    let sold =
        cluster[0].ask(sale(json!({"lines": [{"sku": "TEE", "quantity": 2}], "reference": "web"}))).await;
    assert_eq!(sold.expect(201).body["state"], "confirmed");
    let back = cluster[0]
        .ask(post("/v1/returns", json!({"sku": "TEE", "quantity": 1, "reference": "web"})).key("R"));
    assert_eq!(back.await.expect(201).body["quantity"], 1);
    let gone =
        cluster[0].ask(post("/v1/items/TEE/write-offs", json!({"quantity": 5, "reason": "wet"})).key("W"));
    let books = gone.await.expect(201).body;
    let totals = json!({"received": 100, "returned": 1, "retired": 5, "sold": 2, "held": 4, "available": 90, "in_flight": 0});
    assert_eq!((&books["totals"], &books["balanced"]), (&totals, &json!(true)));
    let free = cluster[0].ask(post("/v1/items/TEE/write-offs", json!({"quantity": 91})).key("W2")).await;
    assert_eq!(free.refuses(409, "not_free_here").body["free"], 90);

    let again =
        cluster[0].ask(put("/v1/items/RARE", json!({"name": "Rarer", "low_stock": 2}))).await.expect(200);
    assert_eq!((&again.body["name"], &again.body["policy"]["low_stock"]), (&json!("Rarer"), &json!(2)));
    let nodes = cluster[1].ask(get("/v1/nodes")).await.expect(200).body;
    assert_eq!(nodes["node"], "n1");
    for (node, name) in nodes["nodes"].as_array().unwrap().iter().zip(["n0", "n1"]) {
        assert_eq!(
            (&node["name"], &node["link"], &node["state"]),
            (&json!(name), &json!("up"), &json!("active"))
        );
        assert_eq!(node["self"], name == "n1");
    }
    for path in ["/livez", "/readyz", "/v1/version"] {
        for at_admin in [false, true] {
            cluster[0].ask(get(path).at_admin(at_admin)).await.expect(200);
        }
    }
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_of_a_batch_see_those_before_and_fail_alone() {
    let cluster = shop().await;
    let line = |sku: &str, quantity: u64| json!([{"sku": sku, "quantity": quantity}]);
    let operations = json!([
        {"op": "reserve", "id": "A", "lines": line("TEE", 99)},
        {"op": "sell", "id": "B", "lines": line("TEE", 2)},
        {"op": "confirm", "id": "A"},
        {"op": "reserve", "id": "A", "lines": line("TEE", 1)},
        {"op": "sell", "id": "B", "lines": line("TEE", 1)},
        {"op": "sell", "id": "B", "lines": line("TEE", 1)},
        {"op": "cancel", "id": "NONE"},
        {"op": "reserve", "id": "C", "lines": line("NONE", 1)},
    ]);
    let answer =
        cluster[0].ask(post("/v1/reservations:batch", json!({"operations": operations}))).await.expect(200);
    let results: Vec<(u64, &str)> = answer.body["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["status"].as_u64().unwrap(), r["state"].as_str().or(r["code"].as_str()).unwrap()))
        .collect();
    let wanted = [
        (201, "held"),
        (409, "insufficient_stock"),
        (200, "confirmed"),
        (409, "already_confirmed"),
        (201, "confirmed"),
        (200, "confirmed"),
        (404, "reservation_not_found"),
        (404, "unknown_sku"),
    ];
    assert_eq!(results, wanted, "{}", answer.text);
    assert_eq!(cluster.totals(0, "TEE").await["sold"], 100);
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfers_are_made_by_the_giver_all_or_nothing_asked_at_any_node() {
    let cluster = shop().await;
    cluster[0].ask(put("/v1/items/TEE", json!({"rebalance": "manual"}))).await.expect(200);
    let keyed = |key: &str, from: &str, to: &str, quantity: u64| {
        post("/v1/items/TEE/transfers", json!({"from": from, "to": to, "quantity": quantity})).key(key)
    };
    cluster[1].ask(keyed("T-1", "n0", "n1", 30)).await.expect(200);
    assert!(cluster[1].ask(keyed("T-1", "n0", "n1", 30)).await.expect(200).is_replayed());
    cluster.converged().await;
    let answer = cluster[0].ask(keyed("T-2", "n0", "n1", 71)).await.refuses(409, "not_free_here");
    assert_eq!(answer.body["free"], 70, "all or nothing");
    cluster[0].ask(keyed("T-3", "n1", "n0", 31)).await.refuses(409, "not_free_here");
    cluster[0].ask(keyed("T-4", "n1", "n0", 30)).await.expect(200);
    cluster.converged().await;
    let books = cluster[1].ask(get("/v1/items/TEE")).await.expect(200).body;
    for (name, available) in [("n0", 100), ("n1", 0)] {
        let row = books["nodes"].as_array().unwrap().iter().find(|n| n["node"] == name).unwrap();
        assert_eq!(
            (&row["available"], &row["sent"], &row["given"]),
            (&json!(available), &json!(30), &json!(30))
        );
    }
    // What is moved by hand is not fetched for buyers.
    cluster[1].ask(reserve("M", &[("TEE", 1)], 500)).await.refuses(409, "insufficient_stock");
    cluster[0].kill().await;
    cluster.wait_for_links(1, 1).await;
    let refusal = cluster[1].ask(keyed("T-5", "n0", "n1", 1)).await.refuses(503, "node_unreachable");
    assert_eq!(refusal.body["unreachable"], json!(["n0"]));
    // Not remembered: the same key may be sent again once the giver is back.
    cluster.restart(0).await;
    cluster.linked().await;
    assert!(!cluster[1].ask(keyed("T-5", "n0", "n1", 1)).await.expect(200).is_replayed());
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn availability_tells_here_and_everywhere_and_is_cached_by_its_tag() {
    let cluster = shop().await;
    cluster[0].ask(put("/v1/items/TEE", json!({"rebalance": "manual", "low_stock": 60}))).await.expect(200);
    cluster.converged().await;
    let path = "/v1/availability?sku=TEE&sku=NONE&sku=RARE";
    let at = |node: usize| cluster[node].ask(get(path));
    let (here, there) = (at(0).await.expect(200), at(1).await.expect(200));
    let item = |answer: &super::client::Answer, i: usize| {
        let item = &answer.body["items"][i];
        (item["sku"].clone(), item["here"].clone(), item["everywhere"].clone(), item["status"].clone())
    };
    assert_eq!(item(&here, 0), (json!("TEE"), json!(100), json!(100), json!("in_stock")));
    assert_eq!(item(&there, 0), (json!("TEE"), json!(0), json!(100), json!("in_stock")));
    assert_eq!(item(&here, 1).3, "no_such_item");
    assert_eq!(here.header("cache-control"), "public, max-age=1");
    let tag = here.header("etag").to_owned();
    assert!(tag.starts_with("W/\""), "{tag}");
    let same = cluster[0].ask(get(path).header("if-none-match", &tag)).await.expect(304);
    assert_eq!((same.text.as_str(), same.header("etag")), ("", tag.as_str()));
    cluster[0].ask(reserve("A", &[("TEE", 45)], 0)).await.expect(201);
    // The own writes show at once, and at the others soon.
    let changed = cluster[0].ask(get(path).header("if-none-match", &tag)).await.expect(200);
    assert_eq!(item(&changed, 0), (json!("TEE"), json!(55), json!(55), json!("low_stock")));
    let deadline = Instant::now() + Duration::from_secs(5);
    while at(1).await.body["items"][0]["everywhere"] != 55 {
        assert!(Instant::now() < deadline, "n1 does not hear of it");
        sleep(LOOK_EVERY).await;
    }
    cluster[0].ask(reserve("B", &[("TEE", 55)], 0)).await.expect(201);
    let deadline = Instant::now() + Duration::from_secs(5);
    while at(0).await.body["items"][0]["status"] != "sold_out" {
        assert!(Instant::now() < deadline, "nothing proves it");
        sleep(LOOK_EVERY).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_read_page_by_page_and_items_are_known_everywhere_within_a_second() {
    let cluster = shop().await;
    for n in 0..25 {
        cluster[n % 2].ask(put(format!("/v1/items/I-{n:02}"), json!({}))).await.expect(201);
    }
    let began = Instant::now();
    cluster.known("I-24").await;
    cluster.known("I-23").await;
    println!("known everywhere after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(3), "on a busy machine; the promise is 1 s");
    let (mut skus, mut path) = (Vec::new(), "/v1/items?limit=10".to_owned());
    let mut pages = 0;
    loop {
        let page = cluster[1].ask(get(&path)).await.expect(200).body;
        skus.extend(page["items"].as_array().unwrap().iter().map(|i| i["sku"].as_str().unwrap().to_owned()));
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/items?limit=10&cursor={next}");
    }
    let wanted: Vec<String> =
        (0..25).map(|n| format!("I-{n:02}")).chain(["RARE".into(), "TEE".into()]).collect();
    assert_eq!((skus, pages), (wanted, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_who_waits_gets_units_from_elsewhere_and_one_who_does_not_is_told_where_they_are() {
    let cluster = shop().await;
    let refusal = cluster[1].ask(reserve("A", &[("TEE", 60)], 0)).await.refuses(409, "insufficient_stock");
    let short = &refusal.body["shortfalls"][0];
    assert_eq!(short["verdict"], "elsewhere", "{}", refusal.text);
    assert_eq!((&short["elsewhere"], &short["unreachable"]), (&json!(100), &json!([])));
    cluster[1].ask(reserve("B", &[("TEE", 60)], 5_000)).await.expect(201);
    // A basket is all or nothing, and names every short line.
    cluster[0].ask(post("/v1/items/RARE/receipts", json!({"quantity": 1})).key("R")).await.expect(201);
    let basket = [("TEE", 41), ("RARE", 2)];
    let refusal = cluster[0].ask(reserve("C", &basket, 300)).await.refuses(409, "insufficient_stock");
    let skus: Vec<_> = refusal.body["shortfalls"].as_array().unwrap().iter().map(|s| &s["sku"]).collect();
    assert_eq!(skus, ["TEE", "RARE"], "{}", refusal.text);
    // A confirm of one that expired fetches what it needs again.
    let short_lived = json!({"lines": [{"sku": "TEE", "quantity": 30}], "ttl_seconds": 1, "wait_ms": 5_000});
    cluster[0].ask(put("/v1/reservations/D", short_lived)).await.expect(201);
    let deadline = Instant::now() + Duration::from_secs(5);
    while cluster[0].ask(get("/v1/reservations/D")).await.body["state"] != "expired" {
        assert!(Instant::now() < deadline);
        sleep(LOOK_EVERY).await;
    }
    cluster[1].ask(reserve("E", &[("TEE", 35)], 5_000)).await.expect(201);
    cluster[1].ask(end("E", "cancel")).await.expect(200);
    cluster.converged().await;
    assert_eq!(cluster[0].ask(end("D", "confirm")).await.expect(200).body["state"], "confirmed");
    cluster.converged().await;
    assert_eq!(cluster.totals(1, "TEE").await["sold"], 30);
}
