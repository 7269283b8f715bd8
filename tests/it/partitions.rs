//! Cuts, one way and both ways, and bad weather.

use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tokio::time::Instant;

use super::client::{Answer, get, lines_json, post};
use super::cluster::Cluster;
use super::oracle::{Load, Plan};
use super::relay::{Counts, Isolation, Weather};

async fn sell(cluster: &Cluster, node: usize, key: &str, line: (&str, u64), wait_ms: u64) -> Answer {
    let body = json!({"lines": lines_json(&[line]), "wait_ms": wait_ms});
    cluster[node].ask(post("/v1/sales", body).key(key)).await
}

async fn here(cluster: &Cluster, node: usize, sku: &str) -> u64 {
    let answer = cluster[node].ask(get(format!("/v1/availability?sku={sku}"))).await.expect(200);
    answer.body["items"][0]["here"].as_u64().unwrap()
}

/// Sells one unit at a time until refused: how many, and the refusal.
async fn sell_out(cluster: &Cluster, node: usize, key: &str, sku: &str, wait_ms: u64) -> (u64, Answer) {
    for sold in 0.. {
        let answer = sell(cluster, node, &format!("{key}-{sold}"), (sku, 1), wait_ms).await;
        if answer.status != 201 {
            return (sold, answer.refuses(409, "insufficient_stock"));
        }
    }
    unreachable!("stock is finite")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_cut_off_from_all_others_sells_what_it_has_and_says_unknown_for_the_rest() {
    cut_off(Isolation::Both).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_not_heard_sells_what_it_has_and_says_unknown_for_the_rest() {
    cut_off(Isolation::Mute).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_hears_nothing_sells_what_it_has_and_says_unknown_for_the_rest() {
    cut_off(Isolation::Deaf).await;
}

/// The whole of the promise about a node that is cut off, through to the end of the stock.
async fn cut_off(isolation: Isolation) {
    let cluster = Cluster::start(3).await;
    cluster[0].stock("TEE", 40).await;
    cluster[1].stock("MUG", 10).await;
    cluster.known("TEE").await;
    cluster.known("MUG").await;
    // Some rights of each are at several nodes.
    sell(&cluster, 1, "move", ("TEE", 5), 5_000).await.expect(201);
    cluster.converged().await;
    cluster.net.isolate(0, isolation);

    // At once, while nobody has noticed yet, and again when all know.
    sell(&cluster, 0, "early", ("TEE", 1), 0).await.expect(201);
    let early = sell(&cluster, 0, "early-mug", ("MUG", 1), 300).await.refuses(409, "insufficient_stock");
    assert_ne!(early.verdict(), "sold_out", "{}", early.text);
    cluster.wait_for_links(0, 1).await;
    let rights = here(&cluster, 0, "TEE").await;
    assert!(rights > 10, "{rights}");
    let (sold, refusal) = sell_out(&cluster, 0, "cut", "TEE", 100).await;
    assert_eq!(sold, rights, "a node sells all that it has the rights to");
    assert_eq!(refusal.verdict(), "unknown", "{}", refusal.text);
    assert_eq!(refusal.body["shortfalls"][0]["unreachable"], json!(["n1", "n2"]), "{}", refusal.text);
    let refusal = sell(&cluster, 0, "cut-mug", ("MUG", 1), 300).await.refuses(409, "insufficient_stock");
    assert_eq!(refusal.verdict(), "unknown", "{}", refusal.text);
    // What the others had free when last heard may still be there; without any, nothing is proved.
    let page = cluster[0].ask(get("/v1/availability?sku=TEE")).await.expect(200).body["items"][0].clone();
    let known_free = page["everywhere"].as_u64().unwrap();
    let wanted = if known_free > 0 { "in_stock" } else { "uncertain" };
    assert_eq!((&page["here"], &page["status"]), (&json!(0), &json!(wanted)), "{page}");

    // The others cannot know either. What n0 gave them while it was not heard is on its way.
    cluster.wait_for_links(2, 2).await;
    let (others_sold, refusal) = sell_out(&cluster, 2, "others", "TEE", 500).await;
    assert_eq!(refusal.verdict(), "unknown", "{}", refusal.text);
    assert_eq!(refusal.body["shortfalls"][0]["unreachable"], json!(["n0"]), "{}", refusal.text);
    let sold = 5 + 1 + sold + others_sold;
    assert!(sold <= 40, "{sold} of 40 units were sold");
    assert!(Counts::read(&cluster.net.counts.cut) > 0);

    cluster[1].stock("CAP", 12).await;
    cluster.net.heal();
    println!("{isolation:?}: agreed {:?} after the heal", cluster.converged().await);
    cluster.linked().await;
    let (rest, refusal) = sell_out(&cluster, 1, "rest", "TEE", 5_000).await;
    assert_eq!((sold + rest, refusal.verdict()), (40, "sold_out"), "{}", refusal.text);
    let (sold, refusal) = sell_out(&cluster, 0, "mugs", "MUG", 5_000).await;
    assert_eq!((sold, refusal.verdict()), (10, "sold_out"), "{}", refusal.text);
    let (sold, refusal) = sell_out(&cluster, 2, "caps", "CAP", 5_000).await;
    assert_eq!((sold, refusal.verdict()), (12, "sold_out"), "{}", refusal.text);
    for node in 0..3 {
        let refusal = sell(&cluster, node, "late", ("TEE", 1), 2_000).await;
        assert_eq!(refusal.verdict(), "sold_out", "{}", refusal.text);
    }
    cluster.converged().await;
    assert_eq!(cluster.totals(1, "TEE").await["sold"], 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_between_two_nodes_is_bridged_by_a_third() {
    let cluster = Cluster::start(3).await;
    cluster.net.cut(0, 1, true);
    cluster.net.cut(1, 0, true);
    cluster[0].stock("TEE", 10).await;
    // Known at n1, through n2 only.
    cluster.known("TEE").await;
    cluster.converged().await;
    assert_eq!(cluster.totals(1, "TEE").await["available"], 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_sold_twice_in_bad_weather_with_cuts_of_all_kinds() {
    let cluster = Arc::new(Cluster::start(3).await);
    let items = vec![("TEE", 900), ("MUG", 150), ("CAP", 60), ("PIN", 9)];
    let load = Load::start(&cluster, Plan { seed: 11, workers: 10, items, wait_ms: 300 }).await;
    let weather = Weather { lost: 0.05, twice: 0.05, late: 0.2, late_by: Duration::from_millis(30) };
    cluster.net.set_weather(weather);
    let mut dice = ChaCha8Rng::seed_from_u64(11);
    for round in 0..6 {
        load.progress(40).await;
        let victim = round % 3;
        match round % 4 {
            0 => cluster.net.isolate(victim, Isolation::Both),
            1 => cluster.net.isolate(victim, Isolation::Mute),
            2 => cluster.net.isolate(victim, Isolation::Deaf),
            _ => cluster.net.cut(victim, (victim + 1) % 3, true),
        }
        // How long a cut lasts decides who notices it: sometimes nobody, sometimes all.
        let end = Instant::now() + Duration::from_millis(dice.random_range(300..6_000));
        load.progress(20).await;
        tokio::time::sleep_until(end).await;
        cluster.net.heal();
    }
    load.progress(40).await;
    let healed = Instant::now();
    cluster.linked().await;
    println!("linked {:?} after the last heal, in bad weather still", healed.elapsed());
    cluster.net.set_weather(Weather::default());
    let tally = load.settle().await;
    let counts = &cluster.net.counts;
    println!("{tally}; {counts:?}");
    for counter in [&counts.cut, &counts.lost, &counts.twice, &counts.late, &counts.overtaken] {
        assert!(Counts::read(counter) > 10, "the faults were not injected: {counts:?}");
    }
}
