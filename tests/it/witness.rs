//! A disk that went back in time while nobody else could know, and a second copy of a running node.

use std::fs;

use serde_json::json;

use super::client::{get, post};
use super::cluster::Cluster;
use super::node::{LOOK_EVERY, copy_dir};

async fn rolled_back(cluster: &Cluster, node: usize) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while cluster[node].ask(get("/readyz")).await.body["reasons"] != json!(["rolled_back"]) {
        assert!(tokio::time::Instant::now() < deadline, "{}", cluster[node].log_text());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// 60 units are sold that no peer hears of; then the disk is put back to before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_copy_is_refused_though_no_peer_can_tell() {
    let cluster = Cluster::start(2).await;
    cluster[0].stock("TEE", 100).await;
    cluster.known("TEE").await;
    cluster[1].kill().await;
    cluster[0].kill().await;
    let old = cluster[0].home.join("old");
    copy_dir(&cluster[0].data(), &old);
    cluster.restart(0).await;
    let sale = |key: &str| post("/v1/sales", json!({"lines": [{"sku": "TEE", "quantity": 20}]})).key(key);
    for key in ["a", "b", "c"] {
        cluster[0].ask(sale(key)).await.expect(201);
    }
    cluster[0].kill().await;
    fs::rename(cluster[0].data(), cluster[0].home.join("newest")).unwrap();
    copy_dir(&old, &cluster[0].data());

    cluster.launch(0).await;
    rolled_back(&cluster, 0).await;
    cluster[0].ask(sale("d")).await.refuses(503, "rolled_back");
    assert_eq!(cluster[0].counter("stockade_rolled_back ").await, 1);
    assert_eq!(cluster[0].counter("stockade_commits_total").await, 0, "nothing is written");
    let log = cluster[0].log_text();
    assert!(log.contains("the journal ends at batch") && log.contains("its witness saw batch"), "{log}");
    assert!(cluster[0].stop().await.success());

    // The newest one is put back.
    fs::remove_dir_all(cluster[0].data()).unwrap();
    fs::rename(cluster[0].home.join("newest"), cluster[0].data()).unwrap();
    cluster.launch(0).await;
    cluster[0].ready().await;
    assert_eq!(cluster.totals(0, "TEE").await["sold"], 60);
}

/// After a reboot nobody is there who could tell, and the node resumes; then it is found out. The
/// next start must not take the note of that run for a proof.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_disk_that_was_found_out_late_is_not_proven_by_its_own_note() {
    let cluster = Cluster::start(2).await;
    cluster[0].stock("TEE", 100).await;
    cluster.known("TEE").await;
    assert!(cluster[0].stop().await.success());
    let old = cluster[0].home.join("old");
    copy_dir(&cluster[0].data(), &old);
    cluster.restart(0).await;
    cluster.linked().await;
    cluster[0].stock("MUG", 5).await;
    cluster.known("MUG").await;
    cluster[0].kill().await;
    cluster[1].kill().await;
    fs::remove_dir_all(cluster[0].data()).unwrap();
    fs::rename(&old, cluster[0].data()).unwrap();
    fs::remove_dir_all(cluster[0].home.join("witness")).unwrap();

    cluster.restart(0).await;
    cluster.launch(1).await;
    rolled_back(&cluster, 0).await;
    cluster[1].kill().await;
    cluster[0].kill().await;
    wait_when_unproven(&cluster, 0);
    cluster.launch(0).await;
    let ready = cluster[0].ask(get("/readyz")).await.expect(503).body;
    assert_eq!(ready["reasons"], json!(["waiting_for_peers"]));
    cluster.launch(1).await;
    rolled_back(&cluster, 0).await;
}

fn wait_when_unproven(cluster: &Cluster, node: usize) {
    let text = fs::read_to_string(cluster[node].config()).unwrap();
    fs::write(cluster[node].config(), text.replace("\"resume\"", "\"wait\"")).unwrap();
}

/// No witness is left, as after a reboot: a start waits for all members, and says for whom.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_a_witness_waits_for_every_member() {
    let cluster = Cluster::start(2).await;
    cluster[0].stock("TEE", 10).await;
    cluster.known("TEE").await;
    assert!(cluster[0].stop().await.success());
    cluster[1].kill().await;
    fs::remove_dir_all(cluster[0].home.join("witness")).unwrap();
    wait_when_unproven(&cluster, 0);

    cluster.launch(0).await;
    // Longer than a node that resumes would wait.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let ready = cluster[0].ask(get("/readyz")).await.expect(503).body;
    assert_eq!(ready, json!({"ready": false, "reasons": ["waiting_for_peers"], "awaited": ["n1"]}));
    let refusal = cluster[0].ask(get("/v1/nodes")).await.refuses(503, "not_ready");
    assert!(refusal.text.contains("To be heard first: n1."), "{}", refusal.text);
    assert_eq!(cluster[0].counter("stockade_members_awaited ").await, 1);
    assert!(cluster[0].log_text().contains("not ready before these were heard: n1"));
    cluster.launch(1).await;
    cluster[0].ready().await;
    assert_eq!(cluster[0].counter("stockade_members_awaited ").await, 0);
    // From now on it has a witness again.
    cluster[1].kill().await;
    cluster[0].kill().await;
    cluster.restart(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_copy_on_the_same_machine_does_not_start() {
    let cluster = Cluster::start(1).await;
    let copy = cluster[0].home.join("copy");
    copy_dir(&cluster[0].data(), &copy);
    let text = fs::read_to_string(cluster[0].config()).unwrap();
    fs::write(cluster[0].config(), text.replace("data_dir = \"data\"", "data_dir = \"copy\"")).unwrap();
    let (status, said) = cluster[0].fails_to_start().await;
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("locked by process {}", cluster[0].process_id())), "{said}");
}
