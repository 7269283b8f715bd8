//! Whole replays against stand-in nodes.

use clap::Parser;

use super::*;
use crate::cli::fake_node::{FakeNode, Fault};

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    replay: ReplayArgs,
}

const ROWS: &str = "\
t,uk,A,3,1\nt,uk,B,1,1\nt,fr,A,2,2\nt,uk,A,4,3\nt,fr,B,5,4\nt,uk,A,-2,5\nt,uk,B,-1,5\nt,fr,C,-1,6\nt,fr,A,1,7\n";

struct Stage {
    uk: FakeNode,
    fr: FakeNode,
}

impl Stage {
    async fn new() -> Stage {
        let uk = FakeNode::start("uk-1").await;
        let fr = uk.peer("fr-1").await;
        Stage { uk, fr }
    }

    async fn replay(&self, more: &[&str]) -> anyhow::Result<Report> {
        let nodes = [format!("uk={}", self.uk.url()), format!("fr={}", self.fr.url())];
        let admins = [self.uk.url().to_string(), self.fr.url().to_string()];
        let fixed = ["replay", "unused.csv", "--node", &nodes[0], "--node", &nodes[1]];
        let fixed =
            fixed.into_iter().chain(["--admin", &admins[0], "--admin", &admins[1], "--in-flight", "1"]);
        let args = Line::try_parse_from(fixed.chain(more.iter().copied()))?.replay;
        let text = format!("ts,region,sku,qty,order\n{ROWS}");
        let trace = Trace::read(text.as_bytes(), Window { limit: None, per_line: args.per_line })?;
        replay(&args, trace, targets::of_urls(&args.node, &args.admin)?).await
    }
}

#[tokio::test]
async fn one_at_a_time_a_cluster_serves_what_one_counter_would() {
    let report = Stage::new().await.replay(&["--stock", "0.7"]).await.unwrap();
    assert!(report.ok, "{report:?}");
    // A: 10 sold, 7 received; B: 6 sold, 5 received.
    assert_eq!((report.units.received, report.units.asked), (12, 16));
    assert_eq!((report.orders.sent, report.orders.confirmed, report.orders.refused), (5, 3, 2));
    assert_eq!(
        (report.central.orders, report.central.units),
        (report.orders.confirmed, report.units.confirmed)
    );
    assert_eq!(
        (report.refused_by.sold_out, report.refused_by.elsewhere, report.refused_by.unknown),
        (0, 2, 0)
    );
    assert_eq!((report.books.sold, report.books.returned, report.units.returned), (7, 4, 4));
    assert_eq!(report.regions["fr"].orders.sent, 3);
    assert_eq!(report.transfers, Some(0));
}

#[tokio::test]
async fn lost_answers_and_refused_calls_are_sent_again_under_the_same_id() {
    let stage = Stage::new().await;
    stage.uk.fail_next("receipts", Fault::AnswerLost);
    stage.uk.fail_next("PUT /v1/reservations/1", Fault::AnswerLost);
    stage.uk.fail_next("/confirm", Fault::AnswerLost);
    stage.uk.fail_next("/confirm", Fault::Unavailable);
    stage.fr.fail_next("PUT /v1/reservations", Fault::Unavailable);
    stage.uk.fail_next("/v1/returns", Fault::AnswerLost);
    let report = stage.replay(&["--stock", "1"]).await.unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!((report.orders.confirmed, report.orders.unanswered), (5, 0));
    assert_eq!((report.books.sold, report.books.returned), (16, 4));
}

#[tokio::test]
async fn a_second_replay_into_the_same_cluster_is_refused_with_the_fix() {
    let stage = Stage::new().await;
    stage.replay(&["--stock", "1"]).await.unwrap();
    let text = format!("{:#}", stage.replay(&["--stock", "1"]).await.unwrap_err());
    assert!(text.contains("already in use") && text.contains("--fresh"), "{text}");
}

#[tokio::test]
async fn round_robin_and_per_line_send_each_line_to_the_next_node() {
    let report =
        Stage::new().await.replay(&["--stock", "1", "--assign", "round-robin", "--per-line"]).await.unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!((report.orders.sent, report.units.confirmed), (6, 16));
    assert_eq!((report.regions["uk"].orders.sent, report.regions["fr"].orders.sent), (4, 2));
}

#[tokio::test]
async fn what_was_given_up_is_asked_about_and_a_held_order_is_confirmed() {
    let stage = Stage::new().await;
    // Enough for the first patience to end; what is left of them, the second one outlasts.
    (0..5).for_each(|_| stage.uk.fail_next("/confirm", Fault::Unavailable));
    let report = stage.replay(&["--stock", "1", "--give-up-seconds", "1"]).await.unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!((report.orders.sent, report.orders.confirmed, report.orders.unanswered), (5, 5, 0));
}

#[test]
fn without_a_word_the_cluster_here_takes_the_orders() {
    let dir = tempfile::tempdir().unwrap();
    let here = Surroundings { dev_dir: dir.path().into(), ..Surroundings::default() };
    let args = Line::try_parse_from(["replay", "unused.csv"]).unwrap().replay;
    let error = super::targets(&args, &here).unwrap_err().to_string();
    assert!(error.contains("--dev DIR") && error.contains("--node"), "{error}");
    crate::cli::dev_cluster_for_tests(dir.path());
    assert_eq!(super::targets(&args, &here).unwrap().len(), 3);
}
