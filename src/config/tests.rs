//! Tests of the configuration.

use std::collections::BTreeSet;
use std::path::Path;

use super::raw::RawConfig;
use super::{Config, Limits, LogFormat};

const EXAMPLE: &str = include_str!("../../examples/config/stockade.toml");
const FILE: &str = "/etc/stockade/stockade.toml";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new(FILE)).map_err(|e| e.to_string())
}

/// The complaints about the example with `from` replaced by `to`.
fn complaint(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "{from}");
    parse(&EXAMPLE.replacen(from, to, 1)).expect_err("should be refused")
}

/// Every key, with its tables before it, such as `peers.node.name`.
pub(crate) fn keys() -> BTreeSet<String> {
    let raw: RawConfig = toml::from_str(EXAMPLE).unwrap();
    let mut found = BTreeSet::new();
    leaves(&serde_json::to_value(&raw).unwrap(), "", &mut found);
    found
}

fn leaves(value: &serde_json::Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            let dot = if path.is_empty() { "" } else { "." };
            fields.iter().for_each(|(key, value)| leaves(value, &format!("{path}{dot}{key}"), found));
        }
        serde_json::Value::Array(all) if all.iter().any(serde_json::Value::is_object) => {
            all.iter().for_each(|value| leaves(value, path, found));
        }
        _ => {
            found.insert(path.to_owned());
        }
    }
}

fn nulls(value: &serde_json::Value, path: &str, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Null => found.push(path.to_owned()),
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| nulls(value, &format!("{path}.{key}"), found));
        }
        serde_json::Value::Array(all) => all.iter().for_each(|value| nulls(value, path, found)),
        _ => {}
    }
}

#[test]
fn the_example_shows_every_key_and_the_default_limits() {
    let raw: RawConfig = toml::from_str(EXAMPLE).unwrap();
    let mut absent = Vec::new();
    nulls(&serde_json::to_value(&raw).unwrap(), "", &mut absent);
    assert_eq!(absent, Vec::<String>::new(), "keys that the example lacks");
    assert!(!raw.peers.node.is_empty());
    assert_eq!(parse(EXAMPLE).unwrap().limits, Limits::default());
}

#[test]
fn relative_paths_start_at_the_files_directory() {
    let config = parse(&EXAMPLE.replace("\"tls/ca.crt\"", "\"/secret/ca.crt\"")).unwrap();
    assert_eq!(config.node.data_dir, Path::new("/etc/stockade/data"));
    assert_eq!(config.peers.ca, Path::new("/secret/ca.crt"));
    assert_eq!(config.peers.key, Path::new("/etc/stockade/tls/node.key"));
    assert_eq!(config.log.format, Some(LogFormat::Json));
}

#[test]
fn limits_and_log_may_be_left_out() {
    let short = EXAMPLE.split("[limits]").next().unwrap();
    let config = parse(short).unwrap();
    assert_eq!(config.limits, Limits::default());
    assert_eq!((config.log.format, config.log.level.as_str()), (None, "info"));
    assert_eq!(config.peers.nodes.len(), 2);
}

#[test]
fn autonomy_is_all_of_it_a_number_or_a_percentage_and_may_be_left_out() {
    use crate::types::{Autonomy, Units};
    for (text, autonomy) in [
        ("autonomy = \"all\"", Autonomy::All),
        ("autonomy = \"1%\"", Autonomy::Percent(1)),
        ("autonomy = 250", Autonomy::Units(Units(250))),
        ("autonomy = \"250\"", Autonomy::Units(Units(250))),
        ("", Autonomy::All),
    ] {
        let config = parse(&EXAMPLE.replacen("autonomy = \"all\"", text, 1)).unwrap();
        assert_eq!(config.cluster.autonomy, autonomy, "{text}");
    }
    let without = EXAMPLE.replace("[cluster]\nautonomy = \"all\"\n", "");
    assert!(!without.contains("[cluster]"));
    assert_eq!(parse(&without).unwrap(), parse(EXAMPLE).unwrap());
}

#[test]
fn a_problem_names_file_line_key_and_fix() {
    let text = complaint("storefront = \"127.0.0.1:7300\"", "storefront = \"localhost\"");
    let line = EXAMPLE.lines().position(|l| l.starts_with("storefront")).unwrap() + 1;
    let expected =
        "http.storefront: \"localhost\" is no address to bind; write IP:PORT, such as \"127.0.0.1:7300\"";
    assert_eq!(text, format!("{FILE}:{line}: {expected}"));
}

#[test]
fn all_problems_are_told_at_once_in_order_of_lines() {
    let text = EXAMPLE.replace("\"eu-1\"", "\"EU\"").replace("request_queue = 4096", "request_queue = 0");
    let text = parse(&text).unwrap_err();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("node.name"), "{text}");
    assert!(lines[1].contains("limits.request_queue: 0 is out of range; write 1 to"), "{text}");
}

#[test]
fn what_is_wrong_is_refused() {
    let cases = [
        ("data_dir", "datadir", "unknown field `datadir`"),
        ("[http]", "[htpp]", "unknown field `htpp`"),
        ("\"/run/stockade\"", "\"data/witness\"", "lies in data_dir"),
        ("start = \"wait\"", "start = \"seal\"", "needs new replica ids"),
        ("start = \"wait\"", "start = \"never\"", "write \"wait\" or \"resume\""),
        ("name = \"us-1\"", "name = \"eu-1\"", "is this node itself"),
        ("name = \"us-1\"", "name = \"ap-1\"", "is listed twice"),
        ("us-1.example.net:7302", "us-1.example.net", "write HOST:PORT"),
        ("us-1.example.net:7302", "us-1.example.net:0", "write HOST:PORT"),
        ("127.0.0.1:7301", "127.0.0.1:7300", "choose another port"),
        ("format = \"json\"", "format = \"xml\"", "write \"text\" or \"json\""),
        ("level = \"info\"", "level = \"=loud=\"", "log.level"),
        ("\"tls/ca.crt\"", "\"\"", "peers.ca: is empty"),
        ("autonomy = \"all\"", "autonomy = \"some\"", "cluster.autonomy: must be all, a number of units"),
        ("autonomy = \"all\"", "autonomy = 0", "from 1 to 1000000000"),
        ("autonomy = \"all\"", "autonomy = 0.5", "cluster.autonomy: write \"all\", a number of units"),
        ("request_queue = 4096", "request_queue = \"many\"", "invalid type"),
        ("request_queue = 4096", "request_queue = -1", "invalid value"),
        ("min_horizon_seconds = 300", "min_horizon_seconds = 90000", "must not exceed remember_seconds"),
    ];
    for (from, to, expected) in cases {
        let text = complaint(from, to);
        assert!(text.contains(expected), "{to}: {text}");
        assert!(text.starts_with(&format!("{FILE}:")), "{text}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let text = Config::load(Path::new("/nowhere/stockade.toml")).unwrap_err().to_string();
    assert!(text.starts_with("/nowhere/stockade.toml: cannot be read"), "{text}");
}

/// Every key of the example with another good value in its place.
const OTHER_VALUES: [(&str, &str, &str); 30] = [
    ("node.name", "name = \"eu-1\"", "name = \"eu-9\""),
    ("node.region", "region = \"eu\"", "region = \"west\""),
    ("node.data_dir", "data_dir = \"data\"", "data_dir = \"other\""),
    ("node.witness_dir", "\"/run/stockade\"", "\"/dev/shm/stockade\""),
    ("node.on_unproven_start", "start = \"wait\"", "start = \"resume\""),
    ("http.storefront", "127.0.0.1:7300", "127.0.0.1:7400"),
    ("http.admin", "127.0.0.1:7301", "127.0.0.1:7401"),
    ("peers.listen", "0.0.0.0:7302", "0.0.0.0:7402"),
    ("peers.ca", "tls/ca.crt", "tls/other.crt"),
    ("peers.cert", "tls/node.crt", "tls/other.crt"),
    ("peers.key", "tls/node.key", "tls/other.key"),
    ("peers.segmentation_offload", "offload = true", "offload = false"),
    ("peers.node.us-1.region", "region = \"us\"", "region = \"usa\""),
    ("peers.node.us-1.address", "us-1.example.net:7302", "10.0.0.2:7302"),
    ("cluster.autonomy", "autonomy = \"all\"", "autonomy = \"1%\""),
    ("limits.http_connections", "http_connections = 16384", "http_connections = 7"),
    ("limits.http_connections_per_address", "per_address = 16384", "per_address = 7"),
    ("limits.request_queue", "request_queue = 4096", "request_queue = 7"),
    ("limits.header_timeout_ms", "header_timeout_ms = 10000", "header_timeout_ms = 7"),
    ("limits.body_timeout_ms", "body_timeout_ms = 10000", "body_timeout_ms = 7"),
    ("limits.idle_timeout_ms", "idle_timeout_ms = 60000", "idle_timeout_ms = 7"),
    ("limits.remember_seconds", "remember_seconds = 86400", "remember_seconds = 700"),
    ("limits.remember_max_bytes", "remember_max_bytes = 1073741824", "remember_max_bytes = 1073741825"),
    ("limits.min_horizon_seconds", "min_horizon_seconds = 300", "min_horizon_seconds = 7"),
    ("limits.disk_headroom_bytes", "disk_headroom_bytes = 67108864", "disk_headroom_bytes = 67108865"),
    ("limits.checkpoint_every_bytes", "every_bytes = 67108864", "every_bytes = 67108865"),
    ("limits.history_days", "history_days = 30", "history_days = 7"),
    ("limits.history_entries", "history_entries = 10000", "history_entries = 7"),
    ("log.format", "format = \"json\"", "format = \"text\""),
    ("log.level", "level = \"info\"", "level = \"warn\""),
];

#[test]
fn every_key_that_changes_is_noticed_and_taken_up_or_not() {
    let old = parse(EXAMPLE).unwrap();
    assert_eq!(old.changes(&old), []);
    let raw: RawConfig = toml::from_str(EXAMPLE).unwrap();
    let form = serde_json::to_value(&raw).unwrap();
    let keys: usize = ["node", "http", "peers", "cluster", "limits", "log"]
        .map(|t| form[t].as_object().unwrap().len())
        .iter()
        .sum();
    // `peers.node` is a table of its own; of a peer, region and address can change.
    assert_eq!(OTHER_VALUES.len(), keys - 1 + 2, "a key without a row");
    for (key, from, to) in OTHER_VALUES {
        assert!(EXAMPLE.contains(from), "{from}");
        let new = parse(&EXAMPLE.replacen(from, to, 1)).unwrap();
        let changes = old.changes(&new);
        let [change] = changes.as_slice() else { panic!("{key}: {changes:?}") };
        assert_eq!(change.key, key);
        // What is taken up is no longer different; what is not stays so.
        let left = old.with_live(&new).changes(&new);
        assert_eq!(left.is_empty(), change.live, "{key}");
    }
}

#[test]
fn a_peer_that_comes_or_goes_needs_a_restart() {
    let old = parse(EXAMPLE).unwrap();
    let new = parse(&EXAMPLE.replace("\"us-1\"", "\"us-2\"")).unwrap();
    let keys: Vec<_> = old.changes(&new).into_iter().map(|change| (change.key, change.live)).collect();
    assert_eq!(keys, [("peers.node.us-1".to_owned(), false), ("peers.node.us-2".to_owned(), false)]);
    assert_eq!(old.with_live(&new).peers, old.peers);
}
