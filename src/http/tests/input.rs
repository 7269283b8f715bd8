//! Bad input: each kind is refused with the code and the field, and asks the replica nothing.

use super::Listener::{Admin, Storefront};
use super::*;

const LINES: &str = r#"{"lines":[{"sku":"MUG","quantity":1}]}"#;
const KEY: &str = "Idempotency-Key: k-1\r\n";

/// Sends each call and compares the wrong fields of its 400.
async fn refused_fields(table: Vec<(Listener, &str, &str, String, &[&str])>) {
    let served = knowing_nothing().await;
    for (listener, call, headers, body, fields) in table {
        let response = served.send(listener, call, headers, &body).await;
        assert_eq!((response.status, response.code().as_str()), (400, "invalid_request"), "{call} {body}");
        assert_eq!(response.fields(), fields, "{call} {headers} {body}");
        assert!(response.json()["detail"].is_string());
    }
    assert!(served.take_asked().is_empty());
}

#[tokio::test]
async fn bodies_are_strict_json() {
    let lines = r#""lines":[{"sku":"MUG","quantity":1}]"#;
    let deep = format!("{{\"lines\":{}{}}}", "[".repeat(50_000 / 2), "]".repeat(50_000 / 2));
    let table: Vec<(String, &[&str])> = vec![
        ("[]".to_owned(), &["body"]),
        ("null".to_owned(), &["body"]),
        ("{".to_owned(), &["body"]),
        (format!("{{{lines}}} x"), &["body"]),
        (format!("{{{lines},}}"), &["body"]),
        (deep, &["body"]),
        (format!("{{{lines},\"colour\":\"red\"}}"), &["colour"]),
        (format!("{{{lines},\"ttl_seconds\":1,\"ttl_seconds\":1}}"), &["ttl_seconds"]),
        (r#"{"lines":[{"sku":"MUG","quantity":1,"quantity":1}]}"#.to_owned(), &["lines[0].quantity"]),
        (r#"{"lines":[{"sku":"MUG","quantity":1,"note":1}]}"#.to_owned(), &["lines[0].note"]),
        (r#"{"lines":[{"sku":"MUG","quantity":1.0}]}"#.to_owned(), &["lines[0].quantity"]),
        (r#"{"lines":[{"sku":"MUG","quantity":1e0}]}"#.to_owned(), &["lines[0].quantity"]),
        (r#"{"lines":[{"sku":"MUG","quantity":"1"}]}"#.to_owned(), &["lines[0].quantity"]),
        (r#"{"lines":[{"sku":"MUG","quantity":null}]}"#.to_owned(), &["lines[0].quantity"]),
        (r#"{"lines":[{"sku":"MUG","quantity":18446744073709551617}]}"#.to_owned(), &["lines[0].quantity"]),
        (
            format!("{{{lines},\"{}\":1}}", "x".repeat(1_000)),
            &[concat!("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "...")],
        ),
    ];
    let table =
        table.into_iter().map(|(body, fields)| (Storefront, "PUT /v1/reservations/A", "", body, fields));
    refused_fields(table.collect()).await;
}

#[tokio::test]
async fn a_body_that_is_not_utf_8_is_refused() {
    let served = knowing_nothing().await;
    let body = b"{\"lines\":\"\xff\"}";
    let head = format!(
        "PUT /v1/reservations/A HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut client = Client::to(served.storefront).await;
    client.send(&[head.as_bytes(), body].concat()).await;
    let response = client.response(false).await;
    assert_eq!((response.status, response.fields()), (400, vec!["body".to_owned()]));
}

#[tokio::test]
async fn fields_are_named_by_their_path_and_all_are_told() {
    let of = |text: &str| text.to_owned();
    let many = |count| {
        let lines: Vec<String> = (0..count).map(|i| format!(r#"{{"sku":"S{i}","quantity":1}}"#)).collect();
        format!("{{\"lines\":[{}]}}", lines.join(","))
    };
    let sum = of(r#"{"lines":[{"sku":"A","quantity":1000000000},{"sku":"B","quantity":1}]}"#);
    let same = of(r#"{"lines":[{"sku":"A","quantity":600000000},{"sku":"A","quantity":600000000}]}"#);
    let put = "PUT /v1/reservations/A";
    let batch = "POST /v1/reservations:batch";
    refused_fields(vec![
        (Storefront, put, "", of("{}"), &["lines"]),
        (Storefront, put, "", of(r#"{"lines":[]}"#), &["lines"]),
        (Storefront, put, "", of(r#"{"lines":{}}"#), &["lines"]),
        (Storefront, put, "", many(1_001), &["lines"]),
        (Storefront, put, "", many(1_500), &["lines"]),
        (Storefront, put, "", of(r#"{"lines":["MUG"]}"#), &["lines[0]"]),
        (Storefront, put, "", of(r#"{"lines":[{}]}"#), &["lines[0].sku", "lines[0].quantity"]),
        (
            Storefront,
            put,
            "",
            of(r#"{"lines":[{"sku":"A","quantity":0},{"sku":"-A","quantity":-1},{"sku":7,"quantity":1000000001}],
                "ttl_seconds":0,"wait_ms":10001}"#),
            &[
                "lines[0].quantity",
                "lines[1].sku",
                "lines[1].quantity",
                "lines[2].sku",
                "lines[2].quantity",
                "ttl_seconds",
                "wait_ms",
            ],
        ),
        (Storefront, put, "", sum, &["lines"]),
        (Storefront, put, "", same, &["lines"]),
        (Storefront, put, "", of(r#"{"lines":[{"sku":"A","quantity":1}],"ttl_seconds":86401}"#), &["ttl_seconds"]),
        (Storefront, "PUT /v1/reservations/-A", "", of(LINES), &["id"]),
        (Storefront, "PUT /v1/reservations/A%2FB", "", of(LINES), &["id"]),
        (Storefront, "PUT /v1/reservations/%C3%A4", "", of(LINES), &["id"]),
        (Storefront, "PUT /v1/reservations/%FF", "", of(LINES), &["path"]),
        (Storefront, "PUT /v1/reservations/%zz", "", of(LINES), &["id"]),
        (Storefront, "GET /v1/reservations/a%20b", "", of(""), &["id"]),
        (Storefront, "POST /v1/reservations/A/extend", "", of("{}"), &["ttl_seconds"]),
        (Storefront, "POST /v1/reservations/A/confirm", "", of(r#"{"ttl_seconds":1}"#), &["ttl_seconds"]),
        (Storefront, "POST /v1/reservations/A/cancel", "", of(r#"{"wait_ms":1}"#), &["wait_ms"]),
        (Storefront, "POST /v1/sales", KEY, of(r#"{"lines":[{"sku":"A","quantity":1}],"id":"A"}"#), &["id"]),
        (Storefront, "POST /v1/returns", KEY, of("{}"), &["sku", "quantity"]),
        (
            Storefront,
            "POST /v1/returns",
            KEY,
            of(r#"{"sku":"A","quantity":1,"reference":"a\u0007"}"#),
            &["reference"],
        ),
        (
            Storefront,
            "POST /v1/returns",
            KEY,
            format!(r#"{{"sku":"A","quantity":1,"reference":"{}"}}"#, "ä".repeat(257)),
            &["reference"],
        ),
        (Storefront, batch, "", of(r#"{"operations":[]}"#), &["operations"]),
        (
            Storefront,
            batch,
            "",
            of(r#"{"operations":[{"op":"confirm","id":"A"},{"op":"sell","id":"B","lines":[{"sku":"A","quantity":0}]},
                {"op":"reserve","lines":[{"sku":"A","quantity":1}],"wait_ms":1},{"op":"fly","id":"A"},
                {"op":"cancel","id":"A","lines":[]}]}"#),
            &[
                "operations[1].lines[0].quantity",
                "operations[2].wait_ms",
                "operations[2].id",
                "operations[3].op",
                "operations[4].lines",
            ],
        ),
    ])
    .await;
}

#[tokio::test]
async fn admin_fields_are_checked_too() {
    let of = |text: &str| text.to_owned();
    let item = "PUT /v1/items/MUG";
    let transfer = "POST /v1/items/MUG/transfers";
    refused_fields(vec![
        (Admin, "PUT /v1/items/M%20G", "", of("{}"), &["sku"]),
        (
            Admin,
            item,
            "",
            of(r#"{"name":7,"low_stock":-1,"max_per_order":0,"rebalance":"often"}"#),
            &["name", "low_stock", "max_per_order", "rebalance"],
        ),
        (Admin, item, "", of(r#"{"autonomy":0}"#), &["autonomy"]),
        (Admin, item, "", of(r#"{"autonomy":"101%"}"#), &["autonomy"]),
        (Admin, item, "", of(r#"{"autonomy":["1%"]}"#), &["autonomy"]),
        (Admin, item, "", of(r#"{"quotas":{"eu-1":{},"eu-1":{}}}"#), &["quotas.eu-1"]),
        (
            Admin,
            item,
            "",
            of(r#"{"quotas":{"EU":{"weight":1001,"pin":1}}}"#),
            &["quotas.EU", "quotas.EU.weight", "quotas.EU.pin"],
        ),
        // A misspelt field comes before the lack of the one that was meant: `detail` tells the first.
        (
            Admin,
            item,
            "",
            of(r#"{"launch":{"untill":"2999-01-01T00:00:00Z","expect":{"eu-1":5}}}"#),
            &["launch.untill", "launch.expect", "launch.until", "launch.expected"],
        ),
        (Admin, item, "", of(r#"{"quotas":{"eu-1":{"wieght":3}}}"#), &["quotas.eu-1.wieght"]),
        (
            Admin,
            item,
            "",
            of(r#"{"quotas":{"ap-1":{"min":50,"max":10},"eu-1":{"max":10,"pinned":100},"us-1":{"min":2,"pinned":1}}}"#),
            &["quotas.ap-1.min", "quotas.eu-1.pinned", "quotas.us-1.pinned"],
        ),
        (Admin, item, "", of(r#"{"quotas":[]}"#), &["quotas"]),
        (Admin, item, "", of(r#"{"launch":{}}"#), &["launch.until", "launch.expected"]),
        (
            Admin,
            item,
            "",
            of(r#"{"launch":{"until":"2030-11-29","expected":{"EU":1,"us-1":0,"us-1":1},"for":1}}"#),
            &[
                "launch.until",
                "launch.expected.us-1",
                "launch.expected.EU",
                "launch.expected.us-1",
                "launch.for",
            ],
        ),
        (
            Admin,
            item,
            "",
            of(r#"{"launch":{"until":"2030-11-29T09:00:00Z","expected":{}}}"#),
            &["launch.expected"],
        ),
        (
            Admin,
            "POST /v1/items/MUG/receipts",
            KEY,
            of(r#"{"quantity":0,"sku":"MUG"}"#),
            &["quantity", "sku"],
        ),
        (Admin, "POST /v1/items/MUG/write-offs", KEY, of("{}"), &["quantity"]),
        (Admin, transfer, KEY, of("{}"), &["from", "to", "quantity"]),
        (Admin, transfer, KEY, of(r#"{"from":"EU","to":"eu-1","quantity":1}"#), &["from"]),
        (
            Admin,
            "POST /v1/rebalance?dry_run=true",
            "",
            of(r#"{"dry_run":"yes","sku":"-","cursor":7,"limit":1001,"node":"eu-1"}"#),
            &["dry_run", "dry_run", "sku", "cursor", "limit", "node"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn query_parameters_are_known_and_given_once() {
    let none = String::new;
    let many: Vec<String> = (0..201).map(|i| format!("sku=S{i}")).collect();
    let many = format!("GET /v1/availability?{}", many.join("&"));
    let same = format!("GET /v1/availability?{}", ["sku=A"; 201].join("&"));
    refused_fields(vec![
        (Storefront, "GET /v1/availability", "", none(), &["sku"]),
        (Storefront, "GET /v1/availability?sku=", "", none(), &["sku", "sku"]),
        (Storefront, "GET /v1/availability?sku=a%20b&sku=A", "", none(), &["sku"]),
        (Storefront, "GET /v1/availability?sku=A&region=eu", "", none(), &["region"]),
        (Storefront, "GET /v1/availability?sku=%F", "", none(), &["sku"]),
        (Storefront, &many, "", none(), &["sku"]),
        (Storefront, &same, "", none(), &["sku"]),
        (Storefront, "GET /v1/availability/stream", "", none(), &["sku"]),
        (
            Storefront,
            "GET /v1/availability/stream?sku=a%20b&region=eu",
            "",
            none(),
            &["region", "sku", "sku"],
        ),
        (Storefront, &many.replace('?', "/stream?"), "", none(), &["sku"]),
        (Storefront, "GET /v1/reservations/A?x=1", "", none(), &["x"]),
        (Storefront, "PUT /v1/reservations/A?dry_run=1", "", LINES.to_owned(), &["dry_run"]),
        (
            Storefront,
            "GET /v1/reservations?state=gone&limit=0&cursor=-",
            "",
            none(),
            &["state", "cursor", "limit"],
        ),
        (Storefront, "GET /v1/reservations?limit=1001", "", none(), &["limit"]),
        (Storefront, "GET /v1/reservations?limit=%2B1", "", none(), &["limit"]),
        (
            Storefront,
            "GET /v1/reservations?limit=1&limit=2&state=held&state=held",
            "",
            none(),
            &["limit", "state"],
        ),
        (Admin, "GET /v1/items?sku=A", "", none(), &["sku"]),
        (Admin, "GET /v1/items/MUG?history", "", none(), &["history"]),
        (Admin, "GET /v1/nodes?x", "", none(), &["x"]),
        (Admin, "GET /v1/check?x", "", none(), &["x"]),
    ])
    .await;
}

#[tokio::test]
async fn two_hundred_skus_may_be_asked_for() {
    let served = knowing_nothing().await;
    let names: Vec<String> =
        (0..200).map(|i| format!("sku={}{i}", "%2D%3A".repeat(40).replacen("%2D", "X", 1))).collect();
    let response = served.get(Storefront, &format!("/v1/availability?{}", names.join("&"))).await;
    assert_eq!((response.status, response.json()["items"].as_array().unwrap().len()), (200, 200));
}

#[tokio::test]
async fn headers_are_checked() {
    let put = "PUT /v1/reservations/A";
    let body = || LINES.to_owned();
    let long = format!("Idempotency-Key: {}\r\n", "k".repeat(129));
    refused_fields(vec![
        (Storefront, put, "Idempotency-Key: a b\r\n", body(), &["Idempotency-Key"]),
        (Storefront, put, "Idempotency-Key: \r\n", body(), &["Idempotency-Key"]),
        (Storefront, put, "Idempotency-Key: ä\r\n", body(), &["Idempotency-Key"]),
        (Storefront, put, &long, body(), &["Idempotency-Key"]),
        (Storefront, put, "Idempotency-Key: a\r\nIdempotency-Key: a\r\n", body(), &["Idempotency-Key"]),
        (Storefront, "POST /v1/sales", "Idempotency-Key: -\r\n", body(), &["Idempotency-Key"]),
        (Storefront, put, "If-Match: 3\r\n", body(), &["If-Match"]),
        (Storefront, put, "If-Match: W/\"3\"\r\n", body(), &["If-Match"]),
        (Storefront, put, "If-Match: \"x\"\r\n", body(), &["If-Match"]),
        (Storefront, put, "If-Match: \"\"\r\n", body(), &["If-Match"]),
        (Storefront, put, "If-Match: \"1\", \"2\"\r\n", body(), &["If-Match"]),
        (Storefront, put, "If-Match: \"99999999999999999999\"\r\n", body(), &["If-Match"]),
        (Storefront, put, "Stockade-Retry: yes\r\n", body(), &["Stockade-Retry"]),
        (Storefront, "POST /v1/reservations/A/cancel", "If-Match: \"3\"\r\n", String::new(), &["If-Match"]),
        (Storefront, "POST /v1/reservations", "If-Match: \"3\"\r\n", body(), &["If-Match"]),
    ])
    .await;
}

#[tokio::test]
async fn what_has_an_effect_each_time_needs_a_key() {
    let served = knowing_nothing().await;
    let movement = r#"{"quantity":1}"#;
    for (listener, call, body) in [
        (Storefront, "POST /v1/sales", LINES),
        (Storefront, "POST /v1/returns", r#"{"sku":"A","quantity":1}"#),
        (Admin, "POST /v1/items/MUG/receipts", movement),
        (Admin, "POST /v1/items/MUG/write-offs", movement),
        (Admin, "POST /v1/items/MUG/transfers", r#"{"from":"a","to":"b","quantity":1}"#),
    ] {
        let response = served.send(listener, call, "", body).await;
        assert_eq!((response.status, response.code().as_str()), (400, "idempotency_key_required"), "{call}");
    }
    assert!(served.take_asked().is_empty());
}

#[tokio::test]
async fn bodies_must_be_said_to_be_json() {
    let served = knowing_nothing().await;
    for headers in [
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/jsonp\r\n",
        "Content-Type: application/json\r\nContent-Type: application/json\r\n",
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
    ] {
        for call in ["PUT /v1/reservations/A", "POST /v1/reservations/A/cancel"] {
            let response = served.send(Storefront, call, headers, LINES).await;
            assert_eq!(
                (response.status, response.code().as_str()),
                (415, "unsupported_media_type"),
                "{headers}"
            );
        }
    }
    let mut client = Client::to(served.storefront).await;
    let untyped = format!(
        "PUT /v1/reservations/A HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{LINES}",
        LINES.len()
    );
    client.send(untyped.as_bytes()).await;
    assert_eq!(client.response(false).await.code(), "unsupported_media_type");
    // A call that needs no body takes none of whatever type.
    let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
    let response = served.send(Storefront, "POST /v1/reservations/A/cancel", headers, "").await;
    assert_eq!(response.code(), "reservation_not_found");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let served = knowing_nothing().await;
    for (listener, call) in [
        (Storefront, "GET /"),
        (Storefront, "GET /v1/reservations/"),
        (Storefront, "GET /v1/items/MUG"),
        (Storefront, "GET /v1/nodes"),
        (Admin, "PUT /v1/reservations/A"),
        (Admin, "GET /v1/availability"),
        (Admin, "POST /v1/items/MUG/histories"),
        (Admin, "GET /v1/availability/stream?sku=A"),
        (Admin, "OPTIONS *"),
    ] {
        let response = served.send(listener, call, "", "").await;
        assert_eq!((response.status, response.code().as_str()), (404, "not_found"), "{call}");
    }
    for (listener, call, allowed) in [
        (Storefront, "DELETE /v1/reservations/A", "GET,HEAD,PUT"),
        (Storefront, "PATCH /v1/reservations", "GET,HEAD,POST"),
        (Storefront, "GET /v1/sales", "POST"),
        (Storefront, "OPTIONS /v1/availability", "GET,HEAD"),
        (Storefront, "POST /v1/availability/stream", "GET,HEAD"),
        (Storefront, "POST /livez", "GET,HEAD"),
        (Admin, "POST /v1/items", "GET,HEAD"),
        (Admin, "BREW /v1/check", "GET,HEAD"),
    ] {
        let response = served.send(listener, call, "", "").await;
        assert_eq!((response.status, response.code().as_str()), (405, "method_not_allowed"), "{call}");
        assert_eq!(response.header("allow"), Some(allowed), "{call}");
    }
}

#[tokio::test]
async fn bodies_have_a_largest_size() {
    let served = knowing_nothing().await;
    let padded = |size: usize| format!("{LINES}{}", " ".repeat(size - LINES.len()));
    let put = "PUT /v1/reservations/A";
    let batch = "POST /v1/reservations:batch";
    assert_eq!(served.send(Storefront, put, "", &padded(64 << 10)).await.code(), "reservation_not_found");
    assert_eq!(served.send(Storefront, batch, "", &padded(1 << 20)).await.code(), "invalid_request");
    for (call, size) in
        [(put, (64 << 10) + 1), (put, 3 << 20), (batch, (1 << 20) + 1), ("GET /livez", 70_000)]
    {
        let response = served.send(Storefront, call, "", &padded(size)).await;
        assert_eq!((response.status, response.code().as_str()), (413, "body_too_large"), "{call}");
        // All of it was read, so the connection can go on.
        assert_eq!(response.header("connection"), None);
    }

    // Told only in pieces, it is counted as it comes; and the connection goes on.
    let mut client = Client::to(served.storefront).await;
    let head = "PUT /v1/reservations/A HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let piece = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    client.send(format!("{head}{piece}1\r\nx\r\n0\r\n\r\n").as_bytes()).await;
    assert_eq!(client.response(false).await.code(), "body_too_large");
    client.send(&request("GET /livez", "", "")).await;
    assert_eq!(client.response(false).await.status, 200);

    // Whoever asks first is told before sending anything.
    let mut client = Client::to(served.storefront).await;
    let head =
        "PUT /v1/reservations/A HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 70000\r\n\r\n";
    client.send(head.as_bytes()).await;
    assert_eq!(client.response(false).await.code(), "body_too_large");
    client.closed().await;
}

#[tokio::test]
async fn a_client_that_asks_before_sending_is_told_to_go_on() {
    let served = knowing_nothing().await;
    let mut client = Client::to(served.storefront).await;
    let head = format!(
        "PUT /v1/reservations/A HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n\
         Content-Length: {}\r\n\r\n",
        LINES.len()
    );
    client.send(head.as_bytes()).await;
    assert_eq!(client.response(false).await.status, 100);
    client.send(LINES.as_bytes()).await;
    assert_eq!(client.response(false).await.code(), "reservation_not_found");
}
