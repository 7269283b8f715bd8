//! Imports: streamed in, each line applied once, whatever breaks in between.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Call, get, post};
use super::cluster::Cluster;

fn import(csv: &str) -> Call {
    post("/v1/items:import", json!(null)).raw(csv).header("content-type", "text/csv")
}

fn catalogue(items: usize, quantity: u64) -> String {
    let mut csv = "sku,name,quantity\n".to_owned();
    for n in 0..items {
        writeln!(csv, "item-{n},\"Item {n}, new\",{quantity}").unwrap();
    }
    csv
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_applied_line_by_line_and_once_under_its_key() {
    let cluster = Cluster::start(2).await;
    let csv = "sku,name,quantity\nTEE,Tee,5\n\nMUG,Mug,x\nTEE,Tee,2\nbad sku,,1\nCAP,Cap,\n";
    let first = cluster[0].ask(import(csv).key("k")).await.expect(200);
    assert_eq!((&first.body["lines"], &first.body["applied"]), (&json!(5), &json!(3)));
    let failed = first.body["failed"].as_array().unwrap();
    let failed: Vec<_> =
        failed.iter().map(|f| (f["line"].as_u64().unwrap(), f["code"].as_str().unwrap())).collect();
    assert_eq!(failed, [(4, "invalid_request"), (6, "invalid_request")]);
    assert!(first.text.contains("quantity: must be"), "{}", first.text);

    let again = cluster[0].ask(import(csv).key("k")).await.expect(200);
    assert_eq!(again.body, first.body, "the same file again");
    assert!(again.is_replayed() && !first.is_replayed());
    let corrected = csv.replace("Mug,x", "Mug,4").replace("bad sku,,1\n", "");
    let third = cluster[0].ask(import(&corrected).key("k")).await.expect(200);
    assert_eq!((&third.body["applied"], &third.body["failed"]), (&json!(4), &json!([])));
    let changed = csv.replace("TEE,Tee,5", "TEE,Tee,6");
    let fourth = cluster[0].ask(import(&changed).key("k")).await.expect(200);
    assert_eq!(fourth.body["failed"][0]["code"], "key_reused");

    let totals = cluster.totals(0, "TEE").await;
    assert_eq!(totals["received"], 7);
    assert_eq!(cluster.totals(0, "MUG").await["received"], 4);
    assert_eq!(cluster.totals(0, "CAP").await["received"], 0);
    let history = cluster[0].ask(get("/v1/items/TEE/history")).await.expect(200);
    assert_eq!(history.body["items"][0]["cause"], "import");
    assert_eq!(history.body["items"][0]["reference"], "k");

    let ndjson = post("/v1/items:import", json!(null)).raw("{\"sku\":\"PIN\",\"quantity\":3}\n{\"sku\":1}");
    let answer = cluster[0].ask(ndjson.header("content-type", "application/x-ndjson")).await.expect(200);
    assert_eq!((&answer.body["lines"], &answer.body["applied"]), (&json!(2), &json!(1)));
    cluster.known("PIN").await;
}

/// A line that failed keeps its place, and one in another's place takes the later ones with it:
/// nothing is received twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_of_one_item_that_are_corrected_or_moved_are_not_applied_twice() {
    let cluster = Cluster::start(1).await;
    let received = async || cluster.totals(0, "CUP").await["received"].clone();
    cluster[0].ask(import("CUP,Cup,abc\nCUP,Cup,5\n").key("k")).await.expect(200);
    assert_eq!(received().await, 5);
    let corrected = cluster[0].ask(import("CUP,Cup,3\nCUP,Cup,5\n").key("k")).await.expect(200);
    assert_eq!((&corrected.body["applied"], &corrected.body["failed"]), (&json!(2), &json!([])));
    assert_eq!(received().await, 8);
    // Another line in front of them, and enough behind it for a second step.
    let mut moved = "CUP,Cup,9\nCUP,Cup,3\nCUP,Cup,5\n".to_owned();
    for n in 0..300 {
        writeln!(moved, "other-{n},,1").unwrap();
    }
    moved.push_str("CUP,Cup,7\n");
    let moved = cluster[0].ask(import(&moved).key("k")).await.expect(200);
    let failed: Vec<u64> =
        moved.body["failed"].as_array().unwrap().iter().map(|f| f["line"].as_u64().unwrap()).collect();
    assert_eq!(failed, [1, 2, 3, 304]);
    assert_eq!(received().await, 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_import_is_refused_and_nothing_is_done() {
    let cluster = Cluster::start(1).await;
    let json_body = post("/v1/items:import", json!({"sku": "TEE"}));
    cluster[0].ask(json_body).await.refuses(415, "unsupported_media_type");
    let answer = cluster[0].ask(import("sku,price\nTEE,5\n")).await;
    assert_eq!(answer.refuses(400, "invalid_request").field(), "header");
    let large = "x,".repeat(1 << 20);
    cluster[0].ask(import(&large).key("no spaces")).await.refuses(400, "invalid_request");
    let large = cluster[0].ask(import(&format!("{large}\nTEE,Tee,1\n"))).await.expect(200);
    assert_eq!(
        (&large.body["failed"][0]["code"], &large.body["applied"]),
        (&json!("body_too_large"), &json!(1))
    );
}

/// The node is killed in the middle, more than once; the file is sent again until it is through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_survives_kills_without_a_doubled_receipt() {
    const ITEMS: usize = 20_000;
    let cluster = Cluster::start(1).await;
    let csv = catalogue(ITEMS, 3);
    for _ in 0..3 {
        let node = &cluster[0];
        let call = import(&csv).key("k");
        let kill = async {
            let give_up = Instant::now() + Duration::from_secs(60);
            // Counted since the start: lines that an earlier attempt applied are not among them.
            while node.counter("stockade_imported_lines_total").await < 2_000 {
                assert!(Instant::now() < give_up, "the import does not get on");
            }
            node.kill().await;
        };
        let (answer, ()) = tokio::join!(node.try_ask(&call), kill);
        assert!(answer.is_err(), "it was over before the kill: {answer:?}");
        cluster.restart(0).await;
    }
    let answer = cluster[0].ask(import(&csv).key("k")).await.expect(200);
    assert_eq!((&answer.body["lines"], &answer.body["applied"]), (&json!(ITEMS), &json!(ITEMS)));
    let mut cursor = String::new();
    let mut seen = 0;
    loop {
        let page = cluster[0].ask(get(format!("/v1/items?limit=1000{cursor}"))).await.expect(200).body;
        for item in page["items"].as_array().unwrap() {
            assert_eq!(item["totals"]["received"], 3, "{item}");
            seen += 1;
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ITEMS);
}
