//! Import and export: the same bytes on every try, and files that fit each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::cli::admin::script::{Script, at, books, cut, problem, reply, run};
use crate::cli::admin::target::Surroundings;

const IMPORT: &str = "POST /v1/items:import";

fn file(name: &str, content: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

fn imported(lines: u64, failed: &[Value]) -> Value {
    json!({"lines": lines, "applied": lines - failed.len() as u64, "failed": failed})
}

#[tokio::test]
async fn a_file_is_sent_as_it_is_under_a_key_of_its_content() {
    let csv = "sku,name,quantity\nMUG,\"Mug, white\",3\n".repeat(5_000);
    let node = Script::start(vec![reply(IMPORT, 200, imported(4, &[]))]).await;
    let mut keys = Vec::new();
    for (name, kind) in [("a.csv", "text/csv"), ("b.CSV", "text/csv"), ("c.jsonl", "application/x-ndjson")] {
        let (_dir, path) = file(name, &csv);
        let out = node.run(&["import", &path]).await.good();
        assert_eq!(out, format!("4 lines at {}: 4 applied, 0 failed\n", node.url));
        let seen = node.seen().remove(0);
        assert_eq!((seen.header("content-type"), seen.body == csv), (Some(kind), true));
        keys.push(seen.key.unwrap());
    }
    assert!(keys[0].starts_with("import-") && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let (_dir, path) = file("d", &csv);
    let ran = node.run(&["import", &path]).await;
    assert_eq!(ran.status(), 2);
    assert!(ran.error().contains("--format"), "{}", ran.error());
    node.run(&["import", &path, "--format", "ndjson", "--key", "mine"]).await.good();
    assert_eq!(node.seen()[0].key.as_deref(), Some("mine"));
}

#[tokio::test]
async fn standard_input_is_kept_and_sent_like_a_file() {
    let content = "{\"sku\":\"A\"}\n".repeat(20_000);
    let node = Script::start(vec![cut(IMPORT), reply(IMPORT, 200, imported(20_000, &[]))]).await;
    let ran = node.run_with(&["import", "-", "--format", "ndjson"], Some(&content)).await;
    assert_eq!(ran.status(), 0, "{ran:?}");
    let seen = node.seen();
    assert!(seen.len() == 2 && seen.iter().all(|try_| try_.body == content && try_.key == seen[0].key));
    let ran = node.run_with(&["import", "-"], Some(&content)).await;
    assert!(ran.status() == 2 && ran.error().contains("--format"), "{ran:?}");
}

#[tokio::test]
async fn after_a_lost_connection_the_same_is_sent_again() {
    let (_dir, path) = file("a.csv", "MUG,,3\n");
    let busy = reply(IMPORT, 503, problem(503, "overloaded"));
    let node = Script::start(vec![cut(IMPORT), busy, reply(IMPORT, 200, imported(1, &[]))]).await;
    let ran = node.run(&["import", &path]).await;
    assert!(ran.notes.contains("try 2 of 3") && ran.notes.contains("try 3 of 3"), "{}", ran.notes);
    ran.good();
    let seen = node.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|try_| *try_ == seen[0]), "{seen:?}");

    let node = Script::start(vec![cut(IMPORT)]).await;
    let ran = node.run(&["import", &path]).await;
    assert_eq!((ran.status(), node.seen().len()), (2, 3));
    assert!(ran.error().contains("--key import-"), "{}", ran.error());
}

#[tokio::test]
async fn failed_lines_are_told_with_their_numbers() {
    let (_dir, path) = file("a.csv", "MUG,,x\n");
    let failed = [json!({"line": 17, "code": "invalid_request", "message": "quantity: must be an integer"})];
    let node = Script::start(vec![reply(IMPORT, 200, imported(20, &failed))]).await;
    let ran = node.run(&["import", &path, "--key", "k-1"]).await;
    assert_eq!(ran.status(), 1);
    let out = ran.fitting();
    assert!(out.contains("  17  invalid_request  quantity: must be an integer"), "{out}");
    assert!(out.contains(&format!("20 lines at {}: 19 applied, 1 failed", node.url)), "{out}");
    assert!(out.contains(&format!("--key k-1 --admin {}\n", node.url)), "{out}");
    let csv = node.run(&["import", &path, "-o", "csv"]).await;
    assert_eq!(csv.out.lines().nth(1), Some("17,invalid_request,quantity: must be an integer"));
    assert_eq!(node.run(&["import", &path, "-o", "json"]).await.json(), imported(20, &failed));

    let many = json!({"lines": 5000, "applied": 0, "failed": failed});
    let node = Script::start(vec![reply(IMPORT, 200, many)]).await;
    let out = node.run(&["import", &path]).await.out;
    let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(out.contains("5000 failed; 4999 of them are not listed"), "{out}");

    let reused = [json!({"line": 1, "code": "key_reused", "message": "The key was used"})];
    let node = Script::start(vec![reply(IMPORT, 200, imported(1, &reused))]).await;
    let out = node.run(&["import", &path]).await.fitting();
    assert!(out.contains("was applied before with other content"), "{out}");
}

#[tokio::test]
async fn a_refused_import_is_told_and_not_repeated() {
    let (_dir, path) = file("a.csv", "MUG,,3\n");
    let node = Script::start(vec![reply(IMPORT, 415, problem(415, "unsupported_media_type"))]).await;
    let ran = node.run(&["import", &path]).await;
    assert_eq!((ran.status(), node.seen().len()), (1, 1));
    assert!(ran.error().contains("unsupported_media_type"), "{}", ran.error());
    let ran = node.run(&["import", "/nonexistent/a.csv"]).await;
    assert_eq!(ran.status(), 2);
    assert!(ran.error().contains("/nonexistent/a.csv"), "{}", ran.error());
}

#[tokio::test]
async fn an_export_is_a_file_that_import_takes_back() {
    let items = [
        books("A", &[at("eu-1", 7, 0, 0, 1, 2), at("us-1", 3, 1, 0, 0, 0)], &json!({"name": "A, \"a\""})),
        books("B", &[], &json!({})),
    ];
    let node = Script::start(vec![
        reply("GET /v1/items?limit=500", 200, json!({"items": [items[0]], "next": "A"})),
        reply("GET /v1/items?limit=500&cursor=A", 200, json!({"items": [items[1]], "next": null})),
    ])
    .await;
    let csv = "sku,name,quantity\nA,\"A, \"\"a\"\"\",6\nB,,\n";
    let ran = node.run(&["export"]).await;
    assert!(ran.notes.contains("2 items, 6 free units; 3 units"), "{}", ran.notes);
    assert_eq!(ran.good(), csv);

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stock.csv");
    node.run(&["export", "--out", path.to_str().unwrap()]).await.good();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), csv);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");

    let out = node.run(&["export", "--format", "ndjson"]).await.out;
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, items);
}

#[tokio::test]
async fn an_export_that_breaks_off_leaves_no_file() {
    let node = Script::start(vec![
        reply("GET /v1/items?limit=500", 200, json!({"items": [books("A", &[], &json!({}))], "next": "A"})),
        cut("GET /v1/items?limit=500&cursor=A"),
    ])
    .await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stock.csv");
    std::fs::write(&path, "old").unwrap();
    let ran = node.run(&["export", "--out", path.to_str().unwrap()]).await;
    assert_eq!(ran.status(), 2);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

/// A node that reads the head of a request, refuses it, and closes with bytes on their way.
async fn hasty() -> (String, tokio::task::JoinHandle<()>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            stream.read_exact(&mut [0; 512]).await.unwrap();
            let body = problem(400, "invalid_request").to_string();
            let head =
                format!("HTTP/1.1 400 Bad\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.unwrap();
        }
    });
    (url, task, tries)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_refusal_of_a_large_file_is_told_at_once() {
    let (url, task, tries) = hasty().await;
    let (_dir, path) = file("a.csv", &"MUG,,3\n".repeat(1_000_000));
    let ran = run(&["import", &path, "--admin", &url], Surroundings::default(), None).await;
    assert_eq!((ran.status(), tries.load(Ordering::SeqCst)), (1, 1), "{ran:?}");
    assert!(ran.error().contains("invalid_request"), "{}", ran.error());
    task.abort();
}

#[tokio::test]
async fn a_file_that_cannot_be_read_on_is_not_sent_again() {
    let (_dir, path) = file("a.csv", "MUG,,3\n");
    let node = Script::start(vec![cut(IMPORT)]).await;
    let ran = node.run(&["import", &path]).await;
    assert!(ran.notes.contains("broken off"), "{}", ran.notes);
    let ran = node.run(&["import", _dir.path().to_str().unwrap(), "--format", "csv"]).await;
    assert!(ran.status() == 2 && ran.notes.is_empty(), "{ran:?}");
    assert!(ran.error().contains("cannot read"), "{}", ran.error());
}

#[tokio::test]
async fn an_export_has_no_line_that_import_refuses() {
    let items: Vec<Value> = [("A", 2_000_000_001), ("B", 1_000_000_000)]
        .iter()
        .map(|(sku, free)| books(sku, &[at("eu-1", *free, 0, 0, 0, 0)], &json!({})))
        .collect();
    let page = json!({"items": items, "next": null});
    let node = Script::start(vec![reply("GET /v1/items?limit=500", 200, page)]).await;
    let ran = node.run(&["export"]).await;
    assert!(ran.notes.contains("2 items, 3000000001 free units"), "{}", ran.notes);
    let most = 1_000_000_000;
    assert_eq!(ran.out, format!("sku,name,quantity\nA,,{most}\nA,,{most}\nA,,1\nB,,{most}\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_follows_links_and_writes_into_pipes() {
    let page = json!({"items": [books("A", &[], &json!({}))], "next": null});
    let node = Script::start(vec![reply("GET /v1/items?limit=500", 200, page)]).await;
    let dir = tempfile::tempdir().unwrap();
    let [file, link, dangling, pipe] = ["file", "link", "dangling", "pipe"].map(|name| dir.path().join(name));
    std::fs::write(&file, "old").unwrap();
    std::os::unix::fs::symlink("file", &link).unwrap();
    std::os::unix::fs::symlink(dir.path().join("new"), &dangling).unwrap();
    for link in [&link, &dangling] {
        node.run(&["export", "--out", link.to_str().unwrap()]).await.good();
        assert!(std::fs::symlink_metadata(link).unwrap().is_symlink());
    }
    let csv = "sku,name,quantity\nA,,\n";
    assert_eq!(std::fs::read_to_string(&file).unwrap(), csv);
    assert_eq!(std::fs::read_to_string(dir.path().join("new")).unwrap(), csv);

    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, mode).unwrap();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || std::fs::read_to_string(pipe).unwrap()
    });
    node.run(&["export", "--out", pipe.to_str().unwrap()]).await.good();
    assert_eq!(reader.join().unwrap(), csv);
    assert!(!std::fs::symlink_metadata(&pipe).unwrap().is_file());
    let ran = node.run(&["export", "--out", "/dev/full"]).await;
    assert!(ran.status() == 2 && ran.error().contains("cannot write /dev/full"), "{ran:?}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 5, "nothing is left beside them");
}
