//! `stockade check`: do all nodes keep good books, and the same ones?

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::admin::target::{Side, Surroundings, TargetArgs};
use super::client::{BaseUrl, Client};
use super::node::{self, Check};
use super::terminal::say;
use super::{Ending, Output, table};

const EXAMPLE: &str = "\
Examples:
  stockade check
  stockade check --admin http://10.0.0.1:7301 --admin http://10.1.0.1:7301

Every node recomputes every invariant over all it has. The digests of nodes
that have heard all of each other are equal; while sales go on, or a node is
cut off, they differ for a moment or for as long as that lasts.
Exit status: 0 good, 1 a violation or differing digests, 2 no answer.";

/// How long nodes may take to have the same books, when nothing is sold meanwhile.
const AGREE_WITHIN: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// A whole-state check of a large node takes a while.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Check every node's books, and compare them
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE, after_long_help = EXAMPLE)]
pub struct CheckArgs {
    /// The directory of a cluster on this machine [default: ./stockade-data]
    #[arg(long, value_name = "DIR", conflicts_with = "admin")]
    dev: Option<PathBuf>,
    /// A node's admin listener; repeat for each
    #[arg(long, value_name = "URL", num_args = 1..)]
    admin: Vec<BaseUrl>,
    /// How to write the result
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

/// All nodes' answers together.
#[derive(Debug, Serialize)]
struct Report {
    nodes: Vec<NodeReport>,
    agree: bool,
    ok: bool,
}

#[derive(Debug, Serialize)]
struct NodeReport {
    admin: String,
    #[serde(flatten)]
    check: Check,
}

/// A node that is asked.
#[derive(Clone, Debug)]
struct Asked {
    /// As the cluster's directory calls it.
    name: Option<String>,
    admin: BaseUrl,
}

impl From<BaseUrl> for Asked {
    fn from(admin: BaseUrl) -> Asked {
        Asked { name: None, admin }
    }
}

impl From<(String, BaseUrl)> for Asked {
    fn from((name, admin): (String, BaseUrl)) -> Asked {
        Asked { name: Some(name), admin }
    }
}

/// Asks every node.
///
/// # Errors
/// When one does not answer.
pub fn run(args: CheckArgs) -> anyhow::Result<Ending> {
    let admins = asked(&args, &Surroundings::of_process())?;
    let report = super::runtime()?.block_on(ask_until_quiet(&admins))?;
    match args.output {
        Output::Json => say(serde_json::to_string(&report)?)?,
        Output::Table => print_table(&report)?,
    }
    Ok(if report.ok { Ending::Good } else { Ending::Failed })
}

/// Without a word about them, those that the other commands find.
fn asked(args: &CheckArgs, around: &Surroundings) -> anyhow::Result<Vec<Asked>> {
    if !args.admin.is_empty() {
        return Ok(args.admin.iter().cloned().map(Asked::from).collect());
    }
    if args.dev.is_none() && around.names_a_node() {
        let target = TargetArgs::default().resolve(around)?;
        return Ok(vec![target.base(Side::Admin)?.clone().into()]);
    }
    let cluster = around.cluster(args.dev.as_deref(), "--admin http://HOST:7301 for each node")?;
    Ok(cluster.named_admins().into_iter().map(Asked::from).collect())
}

/// Asks again while only the digests differ: rows may be on their way.
async fn ask_until_quiet(admins: &[Asked]) -> anyhow::Result<Report> {
    let give_up = tokio::time::Instant::now() + AGREE_WITHIN;
    loop {
        let report = ask(admins).await?;
        let may_agree_yet = !report.agree && report.nodes.iter().all(|node| node.check.violations.is_empty());
        if !may_agree_yet || tokio::time::Instant::now() >= give_up {
            return Ok(report);
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

async fn ask(admins: &[Asked]) -> anyhow::Result<Report> {
    let client = Client::new(TIMEOUT);
    let asked: Vec<_> = admins
        .iter()
        .map(|admin| {
            let (client, admin) = (client.clone(), admin.admin.clone());
            tokio::spawn(async move { node::check(&client, &admin).await })
        })
        .collect();
    let mut nodes = Vec::new();
    for (Asked { name, admin }, answer) in admins.iter().zip(asked) {
        let name = name
            .as_ref()
            .map_or_else(|| "a node did not answer".to_owned(), |name| format!("{name} did not answer"));
        let check = answer.await?.context(name)?;
        nodes.push(NodeReport { admin: admin.to_string(), check });
    }
    Ok(judge(nodes))
}

fn judge(nodes: Vec<NodeReport>) -> Report {
    let agree = nodes.windows(2).all(|pair| pair[0].check.books_digest == pair[1].check.books_digest);
    let sound = nodes.iter().all(|node| node.check.violations.is_empty());
    Report { agree, ok: agree && sound, nodes }
}

fn print_table(report: &Report) -> anyhow::Result<()> {
    let mut rows = table(&["node", "items", "books digest", "violations"]);
    for NodeReport { check, .. } in &report.nodes {
        let digest: String = check.books_digest.chars().take(16).collect();
        rows.add_row([
            check.node.clone(),
            check.items.to_string(),
            digest,
            check.violations.len().to_string(),
        ]);
    }
    say(rows)?;
    for NodeReport { check, .. } in &report.nodes {
        for violation in &check.violations {
            let sku = violation.sku.as_deref().unwrap_or("-");
            say(format_args!("{}: {} of {sku}: {}", check.node, violation.invariant, violation.detail))?;
        }
    }
    match (report.ok, report.agree) {
        (true, _) => say("ok: every invariant holds, and all nodes have the same books"),
        (false, true) => say("FAILED: invariants are violated"),
        (false, false) => say(format_args!(
            "FAILED: the nodes' books still differ after {} s;\nis a node cut off, or are sales going on?",
            AGREE_WITHIN.as_secs()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake_node::FakeNode;

    #[tokio::test]
    async fn nodes_with_the_same_books_are_good_and_others_are_not() {
        let (a, b) = (FakeNode::start("a-1").await, FakeNode::start("b-1").await);
        let admins = [a.url().into(), b.url().into()];
        let report = ask(&admins).await.unwrap();
        assert!(report.ok && report.agree);
        b.set_digest("other");
        let report = ask(&admins).await.unwrap();
        assert!(!report.ok && !report.agree);
    }

    #[test]
    fn without_a_word_the_cluster_here_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let args = CheckArgs { dev: None, admin: Vec::new(), output: Output::Table };
        let here = Surroundings { dev_dir: dir.path().into(), ..Surroundings::default() };
        let error = asked(&args, &here).unwrap_err().to_string();
        assert!(error.contains("--dev DIR") && error.contains("--admin"), "{error}");
        crate::cli::dev_cluster_for_tests(dir.path());
        let names: Vec<_> = asked(&args, &here).unwrap().into_iter().map(|asked| asked.name).collect();
        assert_eq!(names, ["us-1", "eu-1", "eu-2"].map(|name| Some(name.to_owned())));
        let told = Surroundings { admin: Some("http://env:1".into()), ..here };
        assert_eq!(asked(&args, &told).unwrap()[0].admin.to_string(), "http://env:1");
    }

    #[tokio::test]
    async fn a_node_that_does_not_answer_is_an_error() {
        let node = FakeNode::start("a-1").await;
        let gone = node.url();
        node.stop().await;
        let asked = Asked::from(("a-1".to_owned(), gone.clone()));
        let error = format!("{:#}", ask(std::slice::from_ref(&asked)).await.unwrap_err());
        for wanted in ["a-1 did not answer", &gone.to_string(), "is the cluster running?"] {
            assert!(error.contains(wanted), "{wanted}: {error}");
        }
    }
}
