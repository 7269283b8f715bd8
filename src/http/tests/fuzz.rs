//! Whatever is sent, the answer is a definite one of the contract or a closed connection:
//! never a 5xx, never a panic, never half an answer.

use proptest::prelude::*;

use super::*;

fn segment() -> impl Strategy<Value = String> {
    let escaped = prop::collection::vec(any::<u8>(), 0..6)
        .prop_map(|bytes| bytes.iter().map(|byte| format!("%{byte:02x}")).collect::<String>());
    prop_oneof![escaped, "[A-Za-z0-9._:%-]{0,12}", Just("MUG".to_owned())]
}

fn path() -> impl Strategy<Value = String> {
    let template = prop::sample::select(vec![
        "/v1/reservations",
        "/v1/reservations/{}",
        "/v1/reservations/{}/confirm",
        "/v1/reservations/{}/cancel",
        "/v1/reservations/{}/extend",
        "/v1/reservations:batch",
        "/v1/sales",
        "/v1/returns",
        "/v1/availability",
        "/v1/availability/stream",
        "/v1/items",
        "/v1/items/{}",
        "/v1/items/{}/receipts",
        "/v1/items/{}/transfers",
        "/v1/rebalance",
        "/v1/nodes",
        "/livez",
        "/{}",
    ]);
    let query = prop_oneof![
        Just(String::new()),
        (segment(), segment()).prop_map(|(name, value)| format!("?{name}={value}")),
        segment().prop_map(|value| format!("?sku={value}&sku=A&limit={value}")),
    ];
    (template, segment(), query).prop_map(|(path, segment, query)| path.replace("{}", &segment) + &query)
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let likely = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"lines\"",
        "\"sku\"",
        "\"MUG\"",
        "\"quantity\"",
        "1",
        "1.5",
        "-1",
        "1e9",
        "\"operations\"",
        "\"op\"",
        "\"sell\"",
        "\"id\"",
        "\"quotas\"",
        "\"eu-1\"",
        "null",
        " ",
        "\\u0000",
        "\"",
    ]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(likely, 0..60).prop_map(|parts| parts.concat().into_bytes()),
        mutated(),
    ]
}

/// A good body with one byte replaced.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let good = prop::sample::select(vec![
        r#"{"lines":[{"sku":"MUG","quantity":1},{"sku":"TEE","quantity":2}],"ttl_seconds":60,"wait_ms":0}"#,
        r#"{"operations":[{"op":"reserve","id":"A","lines":[{"sku":"MUG","quantity":1}]},{"op":"cancel","id":"B"}]}"#,
        r#"{"name":"Mug","low_stock":3,"quotas":{"eu-1":{"weight":3,"min":1,"max":5}}}"#,
        r#"{"from":"eu-1","to":"us-1","quantity":5,"reference":"x"}"#,
    ]);
    (good, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(good, at, byte)| {
        let mut bytes = good.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes
    })
}

fn header() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec![
        "Idempotency-Key",
        "If-Match",
        "If-None-Match",
        "X-Request-Id",
        "Stockade-Retry",
        "Content-Type",
        "Accept",
    ]);
    let value =
        prop::collection::vec(any::<u8>().prop_filter("ends the line", |b| !b.is_ascii_control()), 0..20);
    (name, value).prop_map(|(name, value)| [name.as_bytes(), b": ", &value, b"\r\n"].concat())
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_request_gets_a_definite_answer(
        method in prop::sample::select(vec!["GET", "PUT", "POST", "DELETE", "HEAD"]),
        admin in any::<bool>(),
        path in path(),
        headers in prop::collection::vec(header(), 0..4),
        plain in any::<bool>(),
        body in text(),
    ) {
        let sent = [
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n", body.len()).into_bytes(),
if plain { b"Content-Type: application/json\r\nIdempotency-Key: k\r\n".to_vec() } else { headers.concat() },
            b"\r\n".to_vec(),
            body,
        ].concat();
        let response = runtime().block_on(async {
            let served = knowing_nothing().await;
            let mut client = Client::to(if admin { served.admin } else { served.storefront }).await;
            client.send(&sent).await;
            client.response(method == "HEAD").await
        });
        prop_assert!((200..500).contains(&response.status), "{response:?}");
        prop_assert!(response.header("x-request-id").is_some());
        if response.status >= 400 && method != "HEAD" {
            response.code();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_leave_the_server_standing(bytes in prop::collection::vec(any::<u8>(), 0..600), likely in any::<bool>()) {
        let sent = if likely { [b"PUT /v1/reservations/A HTTP/1.1\r\n", &bytes[..]].concat() } else { bytes };
        runtime().block_on(async {
            let served = knowing_nothing().await;
            let mut client = Client::to(served.storefront).await;
            let _ = client.stream.write_all(&sent).await;
            let _ = client.stream.shutdown().await;
            while let Some(response) = client.next(false).await {
                assert!(response.status < 500, "{response:?}");
            }
            assert_eq!(served.get(Listener::Storefront, "/livez").await.status, 200);
        });
    }
}
