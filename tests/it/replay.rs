//! `stockade replay` of real orders, when there are any.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use super::cluster::Cluster;
use super::node::STOCKADE;

pub const TRACE: &str = "online_retail_dev.csv.gz";
pub const HOT_DROP: &str = "hotdrop_mooncat_20210312.csv.gz";
/// The regions of the trace.
pub const REGIONS: [&str; 8] = ["uk", "ie", "dach", "fr", "benelux", "nordics", "med", "row"];

/// The trace to use: the file that `STOCKADE_TRACE` names or one beside it, or beside the project.
/// `None`, and said so, when it is not there.
pub fn trace(name: &str) -> Option<PathBuf> {
    let beside_project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data").join(name);
    let file = match std::env::var_os("STOCKADE_TRACE").map(PathBuf::from) {
        Some(named) if name == TRACE => named,
        Some(named) => named.with_file_name(name),
        None => beside_project,
    };
    if file.is_file() {
        return Some(file);
    }
    println!("skipped: {} is not there; set STOCKADE_TRACE to a trace of orders", file.display());
    None
}

pub fn regions() -> Vec<String> {
    REGIONS.map(str::to_owned).to_vec()
}

/// `stockade replay FILE` against all nodes of a running cluster.
pub fn command(cluster: &Cluster, file: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(STOCKADE);
    command.arg("replay").arg(file).args(["-o", "json"]).args(arguments);
    for node in &cluster.nodes {
        let at = node.addresses().expect("it runs");
        command.arg("--node").arg(format!("{}=http://{}", node.region, at.storefront));
        command.arg("--admin").arg(format!("http://{}", at.admin));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The report of a replay that must have ended well.
pub async fn report(mut command: Command) -> Value {
    let output = command.output().await.unwrap();
    let (text, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{text}");
    assert_eq!(output.status.code(), Some(0), "{text}\n{said}");
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_orders_over_eight_regions_are_not_oversold_and_hardly_any_sale_is_lost() {
    let Some(file) = trace(TRACE) else { return };
    let cluster = Cluster::prepare(&regions()).await;
    cluster.start_all().await;
    let report = report(command(&cluster, &file, &["--limit", "2000"])).await;
    assert_eq!(report["ok"], true);
    let books = &report["books"];
    assert_eq!(
        (&books["oversold"], &books["balanced"], &books["converged"]),
        (&0.into(), &true.into(), &true.into())
    );
    let number = |part: &Value, field: &str| part[field].as_u64().unwrap();
    let orders = &report["orders"];
    assert_eq!(number(orders, "unanswered"), 0);
    assert_eq!(number(orders, "confirmed") + number(orders, "refused"), number(orders, "sent"));
    assert_eq!(number(books, "sold"), number(&report["units"], "confirmed"));
    let refused: u64 =
        ["sold_out", "elsewhere", "unknown"].iter().map(|v| number(&report["refused_by"], v)).sum();
    assert_eq!(refused, number(orders, "refused"));
    let served = number(orders, "confirmed") as f64 / number(&report["central"], "orders") as f64;
    assert!(served >= 0.97, "one counter serves more: {served}");
    cluster.converged().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hot_drop_sells_out_to_exactly_zero_through_all_nodes() {
    let Some(file) = trace(HOT_DROP) else { return };
    let cluster = Cluster::start(3).await;
    let arguments = ["--limit", "600", "--assign", "round-robin", "--stock", "1.0"];
    let report = report(command(&cluster, &file, &arguments)).await;
    assert_eq!(report["ok"], true);
    assert_eq!(report["units"]["received"], report["units"]["asked"]);
    assert_eq!(report["units"]["confirmed"], report["units"]["received"], "sold out to exactly zero");
    assert_eq!(report["orders"]["refused"], 0);
    cluster.converged().await;
}
