//! Disks: damaged, emptied, in use, of another node, older than they were; clean stops; and
//! that nothing is answered before it is on the disk.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::json;

use super::client::{end, get, post, put, reserve};
use super::cluster::Cluster;
use super::node::copy_dir;
use super::oracle::{Load, Plan};

async fn one_node() -> Cluster {
    let cluster = Cluster::start(1).await;
    cluster[0].stock("TEE", 100).await;
    cluster[0].ask(reserve("DAMAGE-ME", &[("TEE", 2)], 0)).await.expect(201);
    cluster
}

/// Flips a bit wherever `needle` stands in the file. True when it stood there.
fn damage(file: &Path, needle: &[u8]) -> bool {
    let mut bytes = fs::read(file).unwrap();
    let places: Vec<usize> =
        (0..bytes.len().saturating_sub(needle.len())).filter(|at| bytes[*at..].starts_with(needle)).collect();
    places.iter().for_each(|at| bytes[*at] ^= 1);
    fs::write(file, bytes).unwrap();
    !places.is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_journal_is_refused_with_what_to_do_after_a_stop_and_after_a_kill() {
    let cluster = one_node().await;
    let kept = cluster[0].home.join("kept");
    for clean in [true, false] {
        if clean {
            assert!(cluster[0].stop().await.success());
        } else {
            cluster[0].kill().await;
        }
        copy_dir(&cluster[0].data(), &kept);
        assert!(damage(&cluster[0].data().join("journal.redb"), b"DAMAGE-ME"));
        let (status, text) = cluster[0].fails_to_start().await;
        assert_eq!(status.code(), Some(1), "{text}");
        assert!(text.contains("damaged") && text.contains("journal"), "{text}");
        assert!(
            text.contains("restore") || text.contains("replace") || text.contains("copy"),
            "what to do: {text}"
        );
        let (code, text) = cluster[0].verify();
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("DAMAGED"), "{text}");
        // With the byte back, everything is.
        fs::remove_dir_all(cluster[0].data()).unwrap();
        fs::rename(&kept, cluster[0].data()).unwrap();
        assert_eq!(cluster[0].verify().0, 0);
        cluster.restart(0).await;
        cluster[0].ask(get("/v1/reservations/DAMAGE-ME")).await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_that_is_not_as_it_was_left_is_refused() {
    let cluster = Cluster::start(2).await;
    cluster[0].stock("TEE", 9).await;

    // In use: the same configuration, hence the same directory; its ports are any.
    let (_, text) = cluster[0].fails_to_start().await;
    assert!(text.contains("in use") || text.contains("another process"), "{text}");
    let (code, text) = cluster[0].verify();
    assert_ne!(code, 0, "a running node's directory is not verified: {text}");

    // Of another node.
    assert!(cluster[1].stop().await.success());
    let own = cluster[1].home.join("own");
    assert!(cluster[0].stop().await.success());
    fs::rename(cluster[1].data(), &own).unwrap();
    copy_dir(&cluster[0].data(), &cluster[1].data());
    let (_, text) = cluster[1].fails_to_start().await;
    assert!(text.contains("n0") && text.contains("data_dir"), "{text}");
    fs::remove_dir_all(cluster[1].data()).unwrap();

    // Emptied, and gone.
    let (_, gone) = cluster[1].fails_to_start().await;
    fs::create_dir(cluster[1].data()).unwrap();
    let (_, empty) = cluster[1].fails_to_start().await;
    for text in [gone, empty] {
        assert!(text.contains("data"), "{text}");
        assert!(
            text.contains("init") || text.contains("prepare") || text.contains("restore"),
            "what to do: {text}"
        );
    }
    assert!(fs::read_dir(cluster[1].data()).unwrap().next().is_none(), "a refused start writes nothing");
    fs::remove_dir(cluster[1].data()).unwrap();
    fs::rename(&own, cluster[1].data()).unwrap();
    cluster.start_all().await;
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_went_back_in_time_answers_nothing() {
    let cluster = Cluster::start(3).await;
    cluster[0].stock("TEE", 50).await;
    cluster.known("TEE").await;
    assert!(cluster[0].stop().await.success());
    let old = cluster[0].home.join("old");
    copy_dir(&cluster[0].data(), &old);
    cluster.restart(0).await;
    cluster.linked().await;
    cluster[0].ask(reserve("A", &[("TEE", 20)], 0)).await.expect(201);
    cluster[0].ask(end("A", "confirm")).await.expect(200);
    cluster.converged().await;
    cluster[0].kill().await;
    fs::remove_dir_all(cluster[0].data()).unwrap();
    fs::rename(&old, cluster[0].data()).unwrap();
    // As after a reboot: only the others can tell.
    fs::remove_dir_all(cluster[0].home.join("witness")).unwrap();

    cluster.launch(0).await;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    let reasons = loop {
        let ready = cluster[0].ask(get("/readyz")).await.expect(503);
        if ready.body["reasons"].as_array().unwrap().contains(&json!("rolled_back")) {
            break ready.body["reasons"].clone();
        }
        assert!(tokio::time::Instant::now() < deadline, "{}", ready.text);
        tokio::time::sleep(super::node::LOOK_EVERY).await;
    };
    assert!(reasons.as_array().unwrap().contains(&json!("rolled_back")), "{reasons}");
    let calls = [
        reserve("B", &[("TEE", 1)], 0),
        get("/v1/reservations/A"),
        end("A", "confirm"),
        post("/v1/sales", json!({"lines": [{"sku": "TEE", "quantity": 1}]})).key("S"),
        post("/v1/returns", json!({"sku": "TEE", "quantity": 1})).key("S"),
        get("/v1/availability?sku=TEE"),
        put("/v1/items/MUG", json!({})),
        get("/v1/items"),
        get("/v1/items/TEE"),
        post("/v1/items/TEE/receipts", json!({"quantity": 1})).key("S"),
        get("/v1/nodes"),
        get("/v1/check"),
    ];
    for call in calls {
        let refusal = cluster[0].ask(call.clone()).await.refuses(503, "rolled_back");
        assert!(!refusal.header("retry-after").is_empty(), "{call:?}");
    }
    cluster[0].ask(get("/livez")).await.expect(200);
    // The others go on, and take nothing from it.
    cluster[1].ask(get("/v1/check")).await.expect(200);
    assert_eq!(cluster.totals(1, "TEE").await["sold"], 20);
    cluster[0].kill().await;
    cluster.launch(0).await;
    cluster[0].ask(get("/readyz")).await.expect(503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_keeps_all_that_was_answered_and_ends_well() {
    let cluster = Arc::new(Cluster::start(2).await);
    let items = vec![("TEE", 900), ("MUG", 60)];
    let load = Load::start(&cluster, Plan { seed: 3, workers: 8, items, wait_ms: 200 }).await;
    for round in 0..4 {
        load.progress(40).await;
        let node = round % 2;
        cluster[node].tell_to_stop();
        let status = cluster[node].stopped().await;
        assert_eq!(status.code(), Some(0), "{}", cluster[node].log_text());
        assert_eq!(cluster[node].verify().0, 0);
        cluster.restart(node).await;
    }
    load.progress(40).await;
    cluster.linked().await;
    println!("{}", load.settle().await);
}

/// The order of the system calls: what a client asked, the sync of the journal, the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_answered_before_the_journal_is_synced() {
    let works = Command::new("strace").args(["-o", "/dev/null", "true"]).status();
    if !works.is_ok_and(|status| status.success()) {
        println!("skipped: strace is not there, or may not trace");
        return;
    }
    let cluster = one_node().await;
    assert!(cluster[0].stop().await.success());
    let trace = cluster[0].home.join("trace");
    let calls = "trace=fdatasync,fsync,msync,read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg";
    let wrapper = ["strace", "-f", "-qq", "-s", "400", "-e", calls, "-o", trace.to_str().unwrap()];
    cluster[0].start_under(&wrapper).await;
    cluster[0].ready().await;
    let answered = 20;
    for n in 0..answered {
        cluster[0].ask(reserve(&format!("ASKED-{n}-"), &[("TEE", 1)], 0)).await.expect(201);
    }
    cluster[0].tell_to_stop_traced();
    cluster[0].stopped().await;
    let text = fs::read_to_string(&trace).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for n in 0..answered {
        let id = format!("ASKED-{n}-");
        let place = |what: &dyn Fn(&str) -> bool| {
            lines
                .iter()
                .position(|line| line.contains(&id) && what(line))
                .unwrap_or_else(|| panic!("no {id}"))
        };
        let asked = place(&|line| line.contains("PUT /v1/reservations/"));
        let answered = place(&|line| line.contains("HTTP/1.1 201"));
        assert!(asked < answered, "{id}");
        let between = &lines[asked..=answered];
        // Begun after the request came, ended before its answer left.
        let begun = between.iter().position(|line| begins_sync(line));
        let synced = begun.is_some_and(|begun| between[begun..].iter().any(|line| ended_sync(line)));
        assert!(synced, "{id}: {}", between.join("\n"));
    }
}

const SYNCS: [&str; 3] = ["fdatasync", "fsync", "msync"];

fn begins_sync(line: &str) -> bool {
    SYNCS.iter().any(|call| line.contains(&format!("{call}(")))
}

/// In one piece, or one that was begun earlier.
fn ended_sync(line: &str) -> bool {
    SYNCS.iter().any(|call| line.contains(call)) && line.trim_end().ends_with("= 0")
}
