//! Imports as streams of bytes: their times, and what is said of those that break off.

use super::Listener::Admin;
use super::*;
use crate::types::Command;

const SHORT: Duration = Duration::from_millis(300);
const IMPORT: &str = "POST /v1/items:import";

/// A node that applies each line.
async fn importing(limits: HttpLimits) -> Served {
    served(limits, |request| {
        let Command::Import { lines, .. } = &request.command else { return None };
        let outcome = Ok(Answer::Imported(lines.iter().map(|_| Ok(crate::types::Applied::Now)).collect()));
        Some(Reply { outcome, replayed: false, waited: false })
    })
    .await
}

async fn begun(served: &Served, headers: &str) -> Client {
    let mut client = Client::to(served.address(Admin)).await;
    let head = format!("{IMPORT} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n{headers}\r\n");
    client.send(head.as_bytes()).await;
    client
}

/// Sends a byte now and then until an answer comes.
async fn trickled(client: &mut Client) -> Response {
    let mut tick = tokio::time::interval(SHORT / 6);
    loop {
        tokio::select! {
            readable = client.stream.readable() => {
                readable.unwrap();
                return client.response(false).await;
            }
            _ = tick.tick() => client.stream.write_all(b"x").await.unwrap_or(()),
        }
    }
}

#[tokio::test]
async fn an_import_that_trickles_gives_its_place_up_and_is_told_what_was_applied() {
    let served = importing(HttpLimits { body_timeout: SHORT, ..HttpLimits::default() }).await;
    let mut client = begun(&served, "Content-Type: text/csv\r\n").await;
    let lines: String = (0..150).map(|i| format!("SKU-{i},,1\n")).collect();
    client.send(lines.as_bytes()).await;
    let response = tokio::time::timeout(NEVER, trickled(&mut client)).await.expect("an answer");
    assert_eq!((response.status, response.code().as_str()), (408, "request_timeout"));
    let detail = response.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("Of the lines up to 100, 100 are applied."), "{detail}");
}

#[tokio::test]
async fn the_rest_of_a_refused_import_is_not_waited_for_any_longer() {
    let served = importing(HttpLimits { body_timeout: SHORT, ..HttpLimits::default() }).await;
    let mut client = begun(&served, "Content-Type: text/plain\r\n").await;
    let response = tokio::time::timeout(NEVER, trickled(&mut client)).await.expect("an answer");
    assert_eq!((response.status, response.header("connection")), (415, Some("close")));
    assert_eq!(response.json()["title"], "The body is not of a type that this call takes");
}

#[tokio::test]
async fn a_body_that_waits_to_be_asked_for_is_not_asked_for_after_a_refusal() {
    let served = importing(HttpLimits::default()).await;
    let mut client = begun(&served, "Expect: 100-continue\r\nContent-Type: text/plain\r\n").await;
    assert_eq!(client.response(false).await.status, 415);
    client.closed().await;
    let mut client = begun(&served, "Expect: 100-continue\r\nContent-Type: text/csv\r\n").await;
    assert_eq!(client.response(false).await.status, 100);
}
