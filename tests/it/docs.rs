//! The page on metrics names those that a running node shows, and no other.

use std::collections::BTreeSet;
use std::path::Path;

use super::client::get;
use super::cluster::Cluster;

const PAGE: &str = "docs/reference/metrics.md";
/// What is counted has no labels of its own but these, which OpenMetrics makes up.
const OF_THE_FORMAT: [&str; 2] = ["le", "quantile"];

#[tokio::test]
async fn metrics_md_has_a_row_for_every_metric_and_no_other() {
    let cluster = Cluster::start(2).await;
    let text = cluster[0].ask(get("/metrics")).await.expect(200).text;
    let shown: BTreeSet<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(|line| {
            let (name, kind) = line.split_once(' ').expect("a name and a type");
            let name = if kind == "counter" { format!("{name}_total") } else { name.to_owned() };
            (format!("{name}{}", labels(&text, &name)), kind.to_owned())
        })
        .collect();
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE)).unwrap();
    let documented = page.lines().filter(|line| line.starts_with("| `")).map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 5, "write metric, type, unit, meaning, when to worry: {line}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "an empty cell: {line}");
        (cells[0].trim_matches('`').to_owned(), cells[1].to_owned())
    });
    let documented: Vec<_> = documented.collect();
    let set: BTreeSet<_> = documented.iter().cloned().collect();
    assert_eq!(set.len(), documented.len(), "a metric is there twice");
    let missing: Vec<_> = shown.difference(&set).collect();
    let surplus: Vec<_> = set.difference(&shown).collect();
    assert!(
        missing.is_empty() && surplus.is_empty(),
        "{PAGE}: add what a node shows, {missing:#?}; remove what it does not, {surplus:#?}"
    );
}

/// `{peer}`, or nothing: the names of the labels of a metric's first sample.
fn labels(text: &str, name: &str) -> String {
    let sample = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    let pairs = sample.and_then(|rest| rest.split_once('}')).map_or("", |(pairs, _)| pairs);
    let names: Vec<&str> = pairs
        .split(',')
        .filter_map(|pair| pair.split_once('=').map(|(name, _)| name))
        .filter(|name| !OF_THE_FORMAT.contains(name))
        .collect();
    if names.is_empty() { String::new() } else { format!("{{{}}}", names.join(",")) }
}
