//! What each call asks of the replica, and how a yes is shown.

use serde_json::{Value, json};

use super::Listener::{Admin, Storefront};
use super::*;
use crate::types::{
    Autonomy, Capped, CheckReport, Command, Heard, ItemView, Movement, NodeState, NodeStatus, Operation, Put,
    Quota, Rebalance, Sell, Seq, Transfer, Violation,
};

const KEY: &str = "Idempotency-Key: k-1\r\n";

/// Sends one call to a replica that says `outcome`; what it was asked, and the answer.
async fn exchanged(
    listener: Listener,
    call: &str,
    headers: &str,
    body: &str,
    outcome: Outcome,
) -> (Request, Response) {
    let served = saying(outcome).await;
    let response = served.send(listener, call, headers, body).await;
    let mut asked = served.take_asked();
    assert_eq!(asked.len(), 1, "{response:?}");
    (asked.remove(0), response)
}

fn reservation(name: &str, state: ReservationState, created: bool) -> Outcome {
    Ok(Answer::Reservation(claimed(name, state, created)))
}

#[tokio::test]
async fn a_put_holds_lines_under_the_clients_id() {
    let body = r#"{"lines":[{"sku":"MUG","quantity":1},{"sku":"TEE","quantity":2},{"sku":"MUG","quantity":1}],
                   "ttl_seconds":60,"wait_ms":300}"#;
    let headers = "If-Match: \"7\"\r\nStockade-Retry: 1\r\nContent-Type: Application/JSON; charset=utf-8\r\n";
    let outcome = reservation("A:1", ReservationState::Held, true);
    let (request, response) =
        exchanged(Storefront, "PUT /v1/reservations/A%3A1", headers, body, outcome).await;
    let expected = Put {
        id: id("A:1"),
        lines: vec![line("MUG", 2), line("TEE", 2)],
        ttl: Millis::from_secs(60),
        wait: Millis(300),
        if_match: Some(7),
        retry: true,
        minted: false,
    };
    assert_eq!(request, Request::plain(Command::Put(expected)));
    assert_eq!(response.status, 201);
    assert_eq!(response.header("etag"), Some("\"3\""));
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("location"), None);
    let expected = json!({
        "id": "A:1", "state": "held", "version": 3, "node": "eu-1", "region": "eu",
        "created_at": "2026-02-02T02:40:00.000Z", "expires_at": "2026-02-02T02:50:00.000Z",
        "lines": [{"sku": "MUG", "quantity": 2}],
    });
    assert_eq!(response.json(), expected);
}

#[tokio::test]
async fn a_put_that_changes_nothing_new_is_a_200_and_has_defaults() {
    let body = r#"{"lines":[{"sku":"MUG","quantity":1}]}"#;
    let outcome = reservation("A", ReservationState::Confirmed, false);
    let (request, response) = exchanged(Storefront, "PUT /v1/reservations/A", KEY, body, outcome).await;
    let Command::Put(put) = request.command else { panic!("a put") };
    assert_eq!((put.ttl, put.wait, put.retry, put.if_match), (Millis(600_000), Millis(500), false, None));
    let key = request.key.unwrap();
    assert_eq!((key.scope.as_str(), key.key.as_str()), ("PUT /v1/reservations/A", "k-1"));
    assert_eq!((response.status, &response.json()["state"]), (200, &json!("confirmed")));
}

#[tokio::test]
async fn posts_get_ids_of_the_nodes_making_and_a_location() {
    let body = r#"{"lines":[{"sku":"MUG","quantity":1}]}"#;
    let outcome = reservation("B", ReservationState::Held, true);
    let (request, response) = exchanged(Storefront, "POST /v1/reservations", "", body, outcome).await;
    let Command::Put(put) = request.command else { panic!("a put") };
    let minted = Uuid::parse_str(put.id.as_str()).unwrap();
    assert!(put.minted && minted.get_version_num() == 7);
    assert_eq!(response.status, 201);
    assert_eq!(response.header("location"), Some("/v1/reservations/B"));

    let body = r#"{"lines":[{"sku":"MUG","quantity":1}],"wait_ms":0,"reference":"till 4"}"#;
    let outcome = reservation("C", ReservationState::Confirmed, true);
    let (request, response) = exchanged(Storefront, "POST /v1/sales", KEY, body, outcome).await;
    assert_eq!(request.key.unwrap().scope, "POST /v1/sales");
    let Command::Sell(sell) = request.command else { panic!("a sale") };
    assert!(sell.minted && sell.wait == Millis(0) && sell.reference.as_deref() == Some("till 4"));
    assert_eq!((response.status, response.header("location")), (201, Some("/v1/reservations/C")));
}

#[tokio::test]
async fn a_reservation_is_read_and_ended_by_its_id() {
    let after = |seconds| Millis::from_secs(seconds);
    let wait = Millis(500);
    let table = [
        ("GET /v1/reservations/A", "", "", Command::Read { id: id("A") }),
        ("POST /v1/reservations/A/confirm", "", "", Command::Confirm { id: id("A"), if_match: None, wait }),
        (
            "POST /v1/reservations/A/confirm",
            "If-Match: \"3\"\r\n",
            r#"{"wait_ms":0}"#,
            Command::Confirm { id: id("A"), if_match: Some(3), wait: Millis(0) },
        ),
        (
            "POST /v1/reservations/A/confirm",
            "If-Match: *\r\n",
            "{}",
            Command::Confirm { id: id("A"), if_match: None, wait },
        ),
        ("POST /v1/reservations/A/cancel", "", "", Command::Cancel { id: id("A") }),
        (
            "POST /v1/reservations/A/extend",
            "",
            r#"{"ttl_seconds":86400}"#,
            Command::Extend { id: id("A"), ttl: after(86_400) },
        ),
    ];
    for (call, headers, body, command) in table {
        let outcome = reservation("A", ReservationState::Held, false);
        let (request, response) = exchanged(Storefront, call, headers, body, outcome).await;
        assert_eq!(request, Request::plain(command), "{call}");
        assert_eq!((response.status, response.header("etag")), (200, Some("\"3\"")), "{call}");
    }
}

#[tokio::test]
async fn if_match_star_on_a_put_asks_whether_there_is_one() {
    let body = r#"{"lines":[{"sku":"MUG","quantity":1}]}"#;
    let served = saying(reservation("A", ReservationState::Held, false)).await;
    let response = served.send(Storefront, "PUT /v1/reservations/A", "If-Match: *\r\n", body).await;
    assert_eq!(response.status, 200);
    let asked = served.take_asked();
    assert!(matches!(&asked[..], [read, put]
        if matches!(read.command, Command::Read { .. }) && matches!(put.command, Command::Put(_))));

    let served = knowing_nothing().await;
    let response = served.send(Storefront, "PUT /v1/reservations/A", "If-Match: *\r\n", body).await;
    assert_eq!((response.status, response.code()), (412, "version_mismatch".to_owned()));
}

#[tokio::test]
async fn reservations_are_listed_by_page() {
    let answer = Answer::Reservations {
        reservations: vec![claimed("A", ReservationState::Held, false).reservation],
        next: Some(id("A")),
        node: identity().node,
        region: identity().region,
    };
    let call = "GET /v1/reservations?state=held&sku=MUG&limit=1&cursor=0";
    let (request, response) = exchanged(Storefront, call, "", "", Ok(answer)).await;
    let expected = Command::Reservations {
        state: Some(ReservationState::Held),
        sku: Some(sku("MUG")),
        after: Some(id("0")),
        limit: 1,
    };
    assert_eq!(request.command, expected);
    let page = response.json();
    assert_eq!((response.status, &page["next"], &page["items"][0]["id"]), (200, &json!("A"), &json!("A")));

    let none = Answer::Reservations {
        reservations: vec![],
        next: None,
        node: identity().node,
        region: identity().region,
    };
    let (request, response) = exchanged(Storefront, "GET /v1/reservations", "", "", Ok(none)).await;
    assert!(matches!(request.command, Command::Reservations { limit: 100, .. }));
    assert_eq!(response.json(), json!({"items": [], "next": null}));
}

#[tokio::test]
async fn a_page_of_large_entries_ends_early_and_says_where_it_goes_on() {
    let lines: Vec<_> = (0..1_000).map(|i| line(&format!("SKU-{i:0>100}"), 1)).collect();
    let large = |name: &String| Reservation {
        lines: lines.clone(),
        ..claimed(name, ReservationState::Held, false).reservation
    };
    let names: Vec<String> = (0..20).map(|i| format!("R{i:0>2}")).collect();
    let all: Vec<Reservation> = names.iter().map(large).collect();
    let mut told = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let reservations = match &cursor {
            None => all.clone(),
            Some(last) => all.iter().filter(|r| r.id.as_str() > last.as_str()).cloned().collect(),
        };
        let (node, region) = (identity().node, identity().region);
        let next = (told.len() < 15).then(|| id("R99"));
        let answer = Answer::Reservations { reservations, next, node, region };
        let (_, response) = exchanged(Storefront, "GET /v1/reservations", "", "", Ok(answer)).await;
        assert!(response.body.len() < 300 << 10, "{}", response.body.len());
        let page = response.json();
        let items = page["items"].as_array().unwrap();
        told.extend(items.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        assert_eq!(Some(next), told.last().map(String::as_str));
        cursor = Some(next.to_owned());
    }
    assert_eq!(told, names);

    // An entry that is larger than a page is one.
    let mut vast = books();
    vast.policy.name = Some("x".repeat(1 << 20));
    let next = Books { sku: sku("NEXT"), ..vast.clone() };
    let answer = Answer::Items { items: vec![vast, next], next: None };
    let (_, response) = exchanged(Admin, "GET /v1/items", "", "", Ok(answer)).await;
    let page = response.json();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (1, &json!("MUG")));
}

#[tokio::test]
async fn a_batch_answers_each_operation_as_the_single_call_would() {
    let body = r#"{"operations":[
        {"op":"reserve","id":"A","lines":[{"sku":"MUG","quantity":2}],"ttl_seconds":30},
        {"op":"confirm","id":"A"}, {"op":"cancel","id":"B"},
        {"op":"sell","id":"C","lines":[{"sku":"MUG","quantity":1},{"sku":"MUG","quantity":1},{"sku":"X","quantity":1}]},
        {"op":"cancel","id":"D"}
    ]}"#;
    let capped =
        Capped { sku: sku("MUG"), requested: Units(1), available_here: Units(5), sellable: Units(0) };
    let answer = Answer::Batch(vec![
        Ok(claimed("A", ReservationState::Held, true)),
        Ok(claimed("A", ReservationState::Confirmed, false)),
        Err(Refusal::ReservationNotFound),
        Err(Refusal::UnknownSku { sku: sku("X"), line: Some(1) }),
        Err(Refusal::AutonomySpent(vec![capped])),
    ]);
    let (request, response) =
        exchanged(Storefront, "POST /v1/reservations:batch", KEY, body, Ok(answer)).await;
    assert_eq!(request.key.unwrap().scope, "POST /v1/reservations:batch");
    let put = Put {
        id: id("A"),
        lines: vec![line("MUG", 2)],
        ttl: Millis::from_secs(30),
        wait: Millis(0),
        if_match: None,
        retry: false,
        minted: false,
    };
    let sell = Sell {
        id: id("C"),
        lines: vec![line("MUG", 2), line("X", 1)],
        wait: Millis(0),
        reference: None,
        minted: false,
    };
    let expected = vec![
        Operation::Reserve(put),
        Operation::Confirm { id: id("A") },
        Operation::Cancel { id: id("B") },
        Operation::Sell(sell),
        Operation::Cancel { id: id("D") },
    ];
    assert_eq!(request.command, Command::Batch(expected));
    assert_eq!(response.status, 200);
    let results = response.json()["results"].clone();
    assert_eq!((&results[0]["status"], &results[0]["state"]), (&json!(201), &json!("held")));
    assert_eq!((&results[1]["status"], &results[1]["state"]), (&json!(200), &json!("confirmed")));
    assert_eq!((&results[2]["status"], &results[2]["code"]), (&json!(404), &json!("reservation_not_found")));
    // The place in the request, where MUG stands twice.
    assert_eq!(results[3]["errors"][0]["field"], "lines[2].sku");
    assert_eq!((&results[4]["status"], &results[4]["code"]), (&json!(503), &json!("autonomy_spent")));
    assert_eq!(results[4]["capped"][0]["available_here"], 5);
}

#[tokio::test]
async fn returns_receipts_and_write_offs_move_units() {
    let movement =
        Movement { sku: sku("MUG"), quantity: Units(5), reason: None, reference: Some("RMA 7".to_owned()) };
    let returned = Answer::Returned {
        sku: sku("MUG"),
        quantity: Units(5),
        reference: Some("RMA 7".to_owned()),
        node: identity().node,
        region: identity().region,
        at: NOW,
    };
    let body = r#"{"sku":"MUG","quantity":5,"reference":"RMA 7"}"#;
    let (request, response) = exchanged(Storefront, "POST /v1/returns", KEY, body, Ok(returned)).await;
    assert_eq!(request.command, Command::Return(movement.clone()));
    assert_eq!(response.status, 201);
    let expected = json!({"sku": "MUG", "quantity": 5, "reference": "RMA 7", "node": "eu-1", "region": "eu",
                          "returned_at": "2026-02-02T02:40:00.000Z"});
    assert_eq!(response.json(), expected);

    let movement = Movement { reason: Some("broken".to_owned()), ..movement };
    let table = [
        ("receipts", Command::Receive(movement.clone())),
        ("write-offs", Command::WriteOff(movement.clone())),
    ];
    for (call, command) in table {
        let path = format!("POST /v1/items/%4DUG/{call}");
        let body = r#"{"quantity":5,"reason":"broken","reference":"RMA 7"}"#;
        let (request, response) = exchanged(Admin, &path, KEY, body, books_answer(false)).await;
        assert_eq!(request.command, command);
        // However the path is escaped, it is one scope.
        assert_eq!(request.key.unwrap().scope, format!("POST /v1/items/MUG/{call}"));
        assert_eq!((response.status, &response.json()["sku"]), (201, &json!("MUG")));
    }
}

#[tokio::test]
async fn a_transfer_names_giver_and_receiver() {
    let body = r#"{"from":"eu-1","to":"us-1","quantity":7}"#;
    let (request, response) =
        exchanged(Admin, "POST /v1/items/MUG/transfers", KEY, body, books_answer(false)).await;
    let expected = Transfer {
        sku: sku("MUG"),
        from: node("eu-1"),
        to: node("us-1"),
        quantity: Units(7),
        reference: None,
    };
    assert_eq!(request.command, Command::Transfer(expected));
    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn an_items_policy_can_be_put_back_as_it_is_shown() {
    let body = r#"{"name":"Mug","low_stock":0,"max_per_order":9,"rebalance":"manual",
                   "quotas":{"eu-1":{"weight":3,"min":10,"max":500,"pinned":50},"us-1":{}},
                   "launch":{"until":"2999-01-01T00:00:00Z","expected":{"us-1":300,"eu-1":1}},
                   "autonomy":"1%"}"#;
    let quota =
        Quota { weight: Some(3), min: Some(Units(10)), max: Some(Units(500)), pinned: Some(Units(50)) };
    let policy = Policy {
        name: Some("Mug".to_owned()),
        low_stock: Some(Units(0)),
        max_per_order: Some(Units(9)),
        rebalance: Rebalance::Manual,
        quotas: [(node("eu-1"), quota), (node("us-1"), Quota::default())].into(),
        launch: Some(crate::types::Launch {
            until: Timestamp(32_472_144_000_000),
            expected: [(node("eu-1"), Units(1)), (node("us-1"), Units(300))].into(),
        }),
        autonomy: Some(Autonomy::Percent(1)),
    };
    let set = Books { policy: policy.clone(), ..books() };
    for (created, status) in [(true, 201), (false, 200)] {
        let outcome = Ok(Answer::Books { books: set.clone(), created });
        let (request, response) = exchanged(Admin, "PUT /v1/items/MUG", "", body, outcome).await;
        assert_eq!(request.command, Command::SetItem { sku: sku("MUG"), policy: policy.clone() });
        assert_eq!(response.status, status);

        let shown = response.json()["policy"].to_string();
        let (again, _) = exchanged(Admin, "PUT /v1/items/MUG", "", &shown, books_answer(false)).await;
        assert_eq!(again.command, request.command);
    }
}

#[tokio::test]
async fn each_form_of_autonomy_is_shown_as_it_is_put() {
    for (given, autonomy, shown) in [
        (r#"{"autonomy":250}"#, Some(Autonomy::Units(Units(250))), json!(250)),
        (r#"{"autonomy":"250"}"#, Some(Autonomy::Units(Units(250))), json!(250)),
        (r#"{"autonomy":"100%"}"#, Some(Autonomy::Percent(100)), json!("100%")),
        (r#"{"autonomy":"all"}"#, Some(Autonomy::All), json!("all")),
        ("{}", None, Value::Null),
    ] {
        let policy = Policy { autonomy, ..Policy::default() };
        let set = Answer::Books { books: Books { policy: policy.clone(), ..books() }, created: false };
        let (request, response) = exchanged(Admin, "PUT /v1/items/MUG", "", given, Ok(set)).await;
        assert_eq!(request.command, Command::SetItem { sku: sku("MUG"), policy });
        let policy = &response.json()["policy"];
        assert_eq!(policy["autonomy"], shown, "{given}");
        assert_eq!(policy.as_object().unwrap().contains_key("autonomy"), autonomy.is_some(), "{policy}");
    }
}

#[tokio::test]
async fn a_nodes_mark_and_limit_are_null_while_nothing_bounds_it() {
    let mut bounded = books();
    (bounded.nodes[0].mark, bounded.nodes[0].limit) = (Some(Units(25)), Some(Units(20)));
    for (books, mark, limit) in [(bounded, json!(25), json!(20)), (books(), Value::Null, Value::Null)] {
        let outcome = Ok(Answer::Books { books, created: false });
        let (_, response) = exchanged(Admin, "GET /v1/items/MUG", "", "", outcome).await;
        let row = &response.json()["nodes"][0];
        assert_eq!((&row["taken"], &row["mark"], &row["limit"]), (&json!(15), &mark, &limit));
    }
}

#[tokio::test]
async fn a_launch_that_is_over_may_be_put_back_but_not_set() {
    let launch = |units| crate::types::Launch { until: NOW, expected: [(node("us-1"), Units(units))].into() };
    let of = |units, name: &str| {
        let launch = format!(r#"{{"until":"2026-02-02T02:40:00Z","expected":{{"us-1":{units}}}}}"#);
        format!(r#"{{"name":"{name}","launch":{launch}}}"#)
    };
    let set = Books { policy: Policy { launch: Some(launch(300)), ..Policy::default() }, ..books() };
    let served = saying(Ok(Answer::Books { books: set, created: false })).await;
    let response = served.send(Admin, "PUT /v1/items/MUG", "", &of(300, "Cup")).await;
    assert_eq!(response.status, 200, "{response:?}");
    let policy = Policy { name: Some("Cup".to_owned()), launch: Some(launch(300)), ..Policy::default() };
    let commands: Vec<Command> = served.take_asked().into_iter().map(|request| request.command).collect();
    let read = Command::Books { sku: sku("MUG") };
    assert_eq!(commands, [read.clone(), Command::SetItem { sku: sku("MUG"), policy }]);

    let response = served.send(Admin, "PUT /v1/items/MUG", "", &of(301, "Cup")).await;
    assert_eq!((response.status, response.fields()), (400, vec!["launch.until".to_owned()]));
    assert!(response.json()["detail"].as_str().unwrap().contains("must be later than now, 2"));
    let commands: Vec<Command> = served.take_asked().into_iter().map(|request| request.command).collect();
    assert_eq!(commands, [read], "nothing was set");

    let unknown = saying(Err(Refusal::UnknownSku { sku: sku("MUG"), line: None })).await;
    let response = unknown.send(Admin, "PUT /v1/items/MUG", "", &of(300, "Mug")).await;
    assert_eq!((response.status, response.fields()), (400, vec!["launch.until".to_owned()]));
    let full = saying(Err(Refusal::MemoryFull)).await;
    assert_eq!(full.send(Admin, "PUT /v1/items/MUG", "", &of(300, "Mug")).await.status, 503);
}

#[tokio::test]
async fn an_items_books_are_shown_row_by_row() {
    let (request, response) = exchanged(Admin, "GET /v1/items/MUG", "", "", books_answer(false)).await;
    assert_eq!(request.command, Command::Books { sku: sku("MUG") });
    let expected = json!({
        "sku": "MUG", "name": "Mug", "balanced": true,
        "totals": {"received": 100, "returned": 0, "retired": 0, "sold": 12, "held": 3, "available": 85,
                   "in_flight": 0},
        "nodes": [{"node": "eu-1", "region": "eu", "replica_id": "00000000-0000-0000-0000-000000000002",
                   "received": 100, "returned": 0, "retired": 0, "sold": 12, "held": 3, "available": 45,
                   "given": 0, "sent": 40, "taken": 15, "mark": null, "limit": null,
                   "as_of": "2026-02-02T02:40:00.000Z"}],
        "policy": {"name": "Mug", "rebalance": "auto", "quotas": {}},
        "last_refusal": null,
    });
    assert_eq!(response.json(), expected);

    let page = Ok(Answer::Items { items: vec![books()], next: None });
    let (request, response) = exchanged(Admin, "GET /v1/items?limit=1000&cursor=A", "", "", page).await;
    assert_eq!(request.command, Command::Items { after: Some(sku("A")), limit: 1_000 });
    assert_eq!(response.json(), json!({"items": [expected], "next": null}));
}

#[tokio::test]
async fn moves_are_planned_or_begun_page_by_page() {
    let planned = crate::types::PlannedMove {
        sku: sku("MUG"),
        from: node("eu-1"),
        to: node("us-1"),
        quantity: Units(12),
        why: "us-1 has 4 free".to_owned(),
        begun: false,
    };
    let moves = |begun, next| {
        let moves = vec![crate::types::PlannedMove { begun, ..planned.clone() }];
        Ok(Answer::Moves { node: node("eu-1"), moves, next })
    };
    let body = r#"{"dry_run":true,"sku":"MUG","limit":7,"cursor":"A"}"#;
    let (request, response) =
        exchanged(Admin, "POST /v1/rebalance", "", body, moves(false, Some(sku("MUG")))).await;
    let command =
        Command::Rebalance { sku: Some(sku("MUG")), dry_run: true, after: Some(sku("A")), limit: 7 };
    assert_eq!((request.command, request.key), (command, None));
    let expected = json!({"node": "eu-1", "dry_run": true, "next": "MUG", "moves": [{"sku": "MUG",
        "from": "eu-1", "to": "us-1", "quantity": 12, "why": "us-1 has 4 free", "begun": false}]});
    assert_eq!((response.status, response.json()), (200, expected));

    for body in ["", "{}", r#"{"dry_run":false}"#] {
        let (request, response) = exchanged(Admin, "POST /v1/rebalance", "", body, moves(true, None)).await;
        let command = Command::Rebalance { sku: None, dry_run: false, after: None, limit: 1_000 };
        assert_eq!(request.command, command);
        let shown = response.json();
        assert_eq!((&shown["dry_run"], &shown["next"]), (&json!(false), &json!(null)));
        assert_eq!(shown["moves"][0]["begun"], json!(true));
    }
}

#[tokio::test]
async fn nodes_are_shown_with_their_links() {
    let own = NodeStatus {
        name: node("eu-1"),
        region: identity().region,
        replica_id: identity().replica,
        is_self: true,
        linked: false,
        lag: 0,
        last_heard: None,
        watermark: Seq(9),
        state: NodeState::Active,
    };
    let other = NodeStatus {
        name: node("us-1"),
        is_self: false,
        linked: true,
        lag: 4,
        last_heard: Some(NOW),
        ..own.clone()
    };
    let lost = NodeStatus { name: node("ap-1"), linked: false, ..other.clone() };
    let outcome = Ok(Answer::Nodes { node: node("eu-1"), nodes: vec![own, other, lost] });
    let served = saying(outcome).await;
    for name in ["us-1", "ap-1"] {
        served.handle.set_rtt(&node(name), Duration::from_micros(80_250));
    }
    let shown = served.get(Admin, "/v1/nodes").await.json();
    assert_eq!(shown["node"], "eu-1");
    let replica = "00000000-0000-0000-0000-000000000002";
    let heard = "2026-02-02T02:40:00.000Z";
    let expected = json!([
        {"name": "eu-1", "region": "eu", "replica_id": replica, "self": true, "state": "active", "link": "up",
         "rtt_ms": null, "lag": 0, "last_heard": null},
        {"name": "us-1", "region": "eu", "replica_id": replica, "self": false, "state": "active", "link": "up",
         "rtt_ms": 80.25, "lag": 4, "last_heard": heard},
        {"name": "ap-1", "region": "eu", "replica_id": replica, "self": false, "state": "active", "link": "down",
         "rtt_ms": null, "lag": 4, "last_heard": heard},
    ]);
    assert_eq!(shown["nodes"], expected);
}

#[tokio::test]
async fn a_check_lists_what_does_not_hold() {
    let violation = Violation { invariant: "balance".to_owned(), sku: None, detail: "off by one".to_owned() };
    let report = CheckReport {
        node: node("eu-1"),
        items: 7,
        books_digest: "00ff".to_owned(),
        violations: vec![violation],
    };
    let (request, response) = exchanged(Admin, "GET /v1/check", "", "", Ok(Answer::Check(report))).await;
    assert_eq!(request.command, Command::Check);
    let expected = json!({"node": "eu-1", "items": 7, "books_digest": "00ff",
                          "violations": [{"invariant": "balance", "sku": null, "detail": "off by one"}]});
    assert_eq!(response.json(), expected);
}

#[tokio::test]
async fn a_replayed_answer_says_so_and_is_otherwise_the_same() {
    for outcome in [reservation("A", ReservationState::Held, true), Err(Refusal::AlreadyCancelled)] {
        let mut replayed = false;
        let served = served(HttpLimits::default(), move |_| {
            let reply = Reply { outcome: outcome.clone(), replayed, waited: false };
            replayed = true;
            Some(reply)
        })
        .await;
        let body = r#"{"lines":[{"sku":"MUG","quantity":1}]}"#;
        let first = served.send(Storefront, "POST /v1/sales", KEY, body).await;
        let again = served.send(Storefront, "POST /v1/sales", KEY, body).await;
        assert_eq!((first.status, &first.body), (again.status, &again.body));
        assert_eq!(first.header("idempotent-replayed"), None);
        assert_eq!(again.header("idempotent-replayed"), Some("true"));
    }
}

#[tokio::test]
async fn an_answer_that_waited_for_other_nodes_says_how_long_it_took() {
    for outcome in [reservation("A", ReservationState::Held, true), Err(Refusal::AlreadyCancelled)] {
        let mut waited = false;
        let served = served(HttpLimits::default(), move |_| {
            let reply = Reply { outcome: outcome.clone(), replayed: false, waited };
            waited = true;
            Some(reply)
        })
        .await;
        let body = r#"{"lines":[{"sku":"MUG","quantity":1}]}"#;
        let at_once = served.send(Storefront, "PUT /v1/reservations/A", "", body).await;
        let after_others = served.send(Storefront, "PUT /v1/reservations/A", "", body).await;
        assert_eq!(at_once.header("server-timing"), None);
        let ms = after_others.header("server-timing").and_then(|text| text.strip_prefix("peers;dur="));
        assert!(
            ms.is_some_and(|ms| ms.parse::<f64>().is_ok_and(|ms| (0.0..60_000.0).contains(&ms))),
            "{ms:?}"
        );
    }
}

/// Puts two items on the shelf, with the other member heard just now.
fn shelved(served: &Served, here: u64) -> Timestamp {
    let view = |name, here, everywhere| ItemView {
        sku: sku(name),
        here: Units(here),
        everywhere: Units(everywhere),
        low_stock: Some(Units(5)),
        closed: true,
    };
    let now = served.clock.now();
    let heard = Heard { node: node("us-1"), as_of: Some(now) };
    let views = vec![view("MUG", here, here + 45), view("TEE", 0, 0)];
    served.shelf.publish(views, Some(vec![heard]));
    now
}

#[tokio::test]
async fn availability_comes_from_memory_each_item_once() {
    let served = knowing_nothing().await;
    let heard = shelved(&served, 12);
    let response = served.get(Storefront, "/v1/availability?sku=TEE&sku=MUG&sku=TEE&sku=NO%2dNE").await;
    assert_eq!(response.header("cache-control"), Some("public, max-age=1"));
    let as_of = crate::http::time::text(heard);
    let stale = response.json()["items"][0]["stale_ms"].clone();
    assert!(stale.as_u64().is_some_and(|ms| ms <= served.clock.now().since(heard).0), "{stale}");
    let expected = json!({"node": "eu-1", "region": "eu", "items": [
        {"sku": "TEE", "here": 0, "everywhere": 0, "status": "sold_out", "as_of": as_of, "stale_ms": stale},
        {"sku": "MUG", "here": 12, "everywhere": 57, "status": "in_stock", "as_of": as_of, "stale_ms": stale},
        {"sku": "NO-NE", "here": 0, "everywhere": 0, "status": "no_such_item", "as_of": as_of, "stale_ms": stale},
    ]});
    assert_eq!(response.json(), expected);
    assert!(served.take_asked().is_empty());
}

#[tokio::test]
async fn availability_has_a_weak_etag_over_everything_but_the_times() {
    let served = knowing_nothing().await;
    shelved(&served, 12);
    let first = served.get(Storefront, "/v1/availability?sku=MUG").await;
    let etag = first.header("etag").unwrap().to_owned();
    assert!(etag.starts_with("W/\""), "{etag}");

    shelved(&served, 12);
    let strong = etag.trim_start_matches("W/");
    for tags in [etag.clone(), format!("W/\"x\", {etag}"), "*".to_owned(), strong.to_owned()] {
        let condition = format!("If-None-Match: {tags}\r\n");
        let again = served.send(Storefront, "GET /v1/availability?sku=MUG", &condition, "").await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{tags}");
        assert_eq!(again.header("etag"), Some(etag.as_str()));
        assert_eq!(again.header("cache-control"), Some("public, max-age=1"));
    }
    let condition = format!("If-None-Match: {etag}\r\n");
    let other = served.send(Storefront, "GET /v1/availability?sku=TEE", &condition, "").await;
    assert_eq!(other.status, 200);
    shelved(&served, 11);
    let changed = served.send(Storefront, "GET /v1/availability?sku=MUG", &condition, "").await;
    assert_eq!(changed.status, 200);
}

#[tokio::test]
async fn health_is_served_by_both_listeners_and_metrics_by_one() {
    let served = knowing_nothing().await;
    for listener in [Storefront, Admin] {
        assert_eq!(served.get(listener, "/livez").await.status, 200);
        let ready = served.get(listener, "/readyz?verbose").await;
        assert_eq!((ready.status, ready.json()), (200, json!({"ready": true, "reasons": []})));
        let version = served.get(listener, "/v1/version").await.json();
        let expected = json!({
            "name": "stockade", "version": env!("CARGO_PKG_VERSION"), "protocol": 1, "node": "eu-1", "region": "eu",
            "cluster_id": "00000000-0000-0000-0000-000000000001",
            "replica_id": "00000000-0000-0000-0000-000000000002", "horizon_seconds": 0,
        });
        assert_eq!(version, expected);
    }
    let metrics = served.get(Admin, "/metrics").await;
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(String::from_utf8(metrics.body).unwrap().contains("things_total 0"));
    assert_eq!(served.get(Storefront, "/metrics").await.code(), "not_found");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let served = saying(books_answer(false)).await;
    let full = served.get(Admin, "/v1/items/MUG").await;
    let head = served.send(Admin, "HEAD /v1/items/MUG", "", "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), full.header("content-length"));
}

#[tokio::test]
async fn request_ids_are_taken_or_made() {
    let served = knowing_nothing().await;
    let own = served.send(Storefront, "GET /livez", "X-Request-Id: till 4/17\r\n", "").await;
    assert_eq!(own.header("x-request-id"), Some("till 4/17"));
    let long = format!("X-Request-Id: {}\r\n", "x".repeat(129));
    for headers in
        ["", "X-Request-Id: \r\n", "X-Request-Id: ä\r\n", "X-Request-Id: a\r\nX-Request-Id: b\r\n", &long]
    {
        let made = served.send(Storefront, "GET /nowhere", headers, "").await;
        let made = made.header("x-request-id").unwrap();
        assert_eq!(Uuid::parse_str(made).unwrap().get_version_num(), 7, "{headers}");
    }
}
