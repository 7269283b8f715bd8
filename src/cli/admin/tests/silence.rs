//! Nobody there, no answer, and no: what is told, and how each ends.

use std::io::ErrorKind;

use serde_json::{Value, json};

use crate::cli::admin::script::{Script, at, books, cut, directory, problem, reply, run};
use crate::cli::admin::target::Surroundings;
use crate::cli::client::BaseUrl;
use crate::cli::terminal::is_unread;

#[tokio::test]
async fn without_a_connection_the_node_and_the_question_are_told() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = BaseUrl::of(listener.local_addr().unwrap()).to_string();
    drop(listener);
    let ran = run(&["item", "list", "--admin", &gone], Surroundings::default(), None).await;
    assert_eq!(ran.status(), 2);
    let error = ran.error();
    assert!(error.contains(&gone) && error.contains("Is the cluster running"), "{error}");

    let ran = run(&["stock", "receive", "MUG", "1", "--admin", &gone], Surroundings::default(), None).await;
    let error = ran.error();
    assert!(error.contains("Nothing was sent.") && error.contains("--key "), "{error}");
}

#[tokio::test]
async fn a_node_of_a_directory_is_called_by_its_name() {
    let dir = directory(&[]);
    let words = ["item", "list", "--dev", dir.path().to_str().unwrap(), "--node", "eu-1"];
    let error = run(&words, Surroundings::default(), None).await.error();
    assert!(error.contains("no connection to eu-1 (http://127.0.0.1:"), "{error}");
    assert!(error.contains(&format!("stockade dev --data {}", dir.path().display())), "{error}");
}

#[tokio::test]
async fn a_lost_answer_says_how_to_repeat_it() {
    let node = Script::start(vec![cut("POST /v1/items/MUG/receipts")]).await;
    let ran = node.run(&["stock", "receive", "MUG", "1"]).await;
    assert_eq!(ran.status(), 2);
    let sent = node.seen().remove(0).key.unwrap();
    let error = ran.error();
    assert!(error.contains("It may have been done.") && error.contains(&format!("--key {sent}")), "{error}");
}

#[tokio::test]
async fn a_lost_answer_to_a_change_without_a_key_says_that_a_repeat_is_safe() {
    let node = Script::start(vec![cut("POST /v1/reservations/O-1/cancel")]).await;
    let error = node.run(&["reserve", "cancel", "O-1"]).await.error();
    assert!(error.contains("the same command again is safe") && !error.contains("--key"), "{error}");
}

#[tokio::test]
async fn each_kind_of_no_says_what_a_repeat_needs() {
    let table = [
        (503, "not_ready", "", "Nothing was done. To repeat it"),
        (500, "made_up", "", "It may have been done. To repeat it"),
        (504, "outcome_unknown", "", "It may have been done. To repeat it"),
        (409, "not_free_here", "--key", "remembered under --key k"),
        (422, "key_reused", "--key", "choose another --key"),
    ];
    for (status, code, key, wanted) in table {
        let refused = reply("POST /v1/items/MUG/receipts", status, problem(status, code));
        let node = Script::start(vec![refused]).await;
        let mut line = vec!["stock", "receive", "MUG", "1"];
        if !key.is_empty() {
            line.extend([key, "k"]);
        }
        let ran = node.run(&line).await;
        assert_eq!(ran.status(), 1, "{code}");
        assert!(ran.error().contains(wanted) && ran.error().contains(code), "{code}: {}", ran.error());
    }
    let refused =
        reply("POST /v1/items/MUG/receipts", 409, json!({"title": "No", "code": "not_free_here", "free": 3}));
    let node = Script::start(vec![refused]).await;
    let error = node.run(&["stock", "receive", "MUG", "1"]).await.error();
    assert!(!error.contains("--key"), "the next try has a fresh key anyway: {error}");
}

#[tokio::test]
async fn a_shortfall_is_told_in_a_sentence() {
    let body = json!({"title": "Not enough stock", "status": 409, "code": "insufficient_stock", "shortfalls": [
        {"sku": "MUG", "requested": 5, "available_here": 2, "verdict": "elsewhere", "elsewhere": 3, "unreachable": [], "as_of": "t"}]});
    let node = Script::start(vec![reply("PUT /v1/reservations/O-1", 409, body)]).await;
    let ran = node.run(&["reserve", "put", "O-1", "MUG=5"]).await;
    assert_eq!(ran.status(), 1);
    let wanted = "MUG: 5 wanted, 2 free there; 3 free at other nodes could not be brought there in time";
    assert!(ran.error().contains(wanted) && ran.error().contains("stockade explain"), "{}", ran.error());
}

#[tokio::test]
async fn an_answer_that_is_not_understood_ends_with_2() {
    let node = Script::start(vec![reply("GET /v1/items/MUG", 200, "[]")]).await;
    let ran = node.run(&["item", "show", "MUG"]).await;
    assert_eq!(ran.status(), 2);
    assert!(ran.error().contains("not understood"), "{}", ran.error());
}

#[tokio::test]
async fn somebody_between_does_not_know_whether_it_was_done() {
    let node = Script::start(vec![reply("POST /v1/items/MUG/receipts", 503, "<html>")]).await;
    let ran = node.run(&["stock", "receive", "MUG", "1", "--key", "k"]).await;
    let error = ran.error();
    assert!(error.contains("It may have been done.") && error.contains("--key k"), "{error}");
}

#[tokio::test]
async fn what_was_done_and_cannot_be_shown_was_still_done() {
    let books = books("MUG", &[at("eu-1", 1, 0, 0, 0, 0)], &json!({}));
    let held = json!({"id": "r", "state": "confirmed", "version": 1});
    let changes: [(&str, &Value, &[&str]); 4] = [
        ("POST /v1/items/MUG/receipts", &books, &["stock", "receive", "MUG", "1"]),
        ("POST /v1/items/MUG/write-offs", &books, &["stock", "write-off", "MUG", "1", "--yes"]),
        (
            "POST /v1/items/MUG/transfers",
            &books,
            &["transfer", "MUG", "--from", "eu-1", "--to", "us-1", "1", "--yes"],
        ),
        ("POST /v1/sales", &held, &["reserve", "sell", "MUG=1"]),
    ];
    for (target, answer, words) in changes {
        let node = Script::start(vec![reply(target, 200, answer)]).await;
        let ran = node.run_broken(words, ErrorKind::StorageFull).await;
        let key = node.seen().pop().unwrap().key.unwrap();
        let wanted = format!("It was done (Idempotency-Key: {key})");
        assert!(ran.status() == 2 && ran.error().contains(&wanted), "{target}: {}", ran.error());
        let ran = node.run_broken(words, ErrorKind::BrokenPipe).await;
        assert!(is_unread(ran.result.as_ref().unwrap_err()), "{target}: {}", ran.error());

        let node = Script::start(vec![reply(target, 200, "[]")]).await;
        let ran = node.run(words).await;
        assert!(ran.status() == 2 && ran.error().contains("It was done (Idem"), "{target}: {}", ran.error());
    }
}

#[tokio::test]
async fn whoever_reads_no_more_does_not_hide_that_lines_failed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    std::fs::write(&path, "MUG,,x\n").unwrap();
    let failed = json!({"lines": 1, "applied": 0, "failed": []});
    let node = Script::start(vec![reply("POST /v1/items:import", 200, failed)]).await;
    let ran = node.run_broken(&["import", path.to_str().unwrap()], ErrorKind::BrokenPipe).await;
    assert_eq!(ran.status(), 1, "{ran:?}");
}
