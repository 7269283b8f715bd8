//! Tests of the files and the plan of `stockade dev`.

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    dev: DevArgs,
}

fn args(dir: &Path, more: &[&str]) -> DevArgs {
    let dir = dir.display().to_string();
    let line = ["dev", "--data", &dir].into_iter().chain(more.iter().copied());
    Line::try_parse_from(line).unwrap().dev
}

/// Free ports cannot be chosen without a race, so tests that look at them take turns at none:
/// these only write files.
fn names(cluster: &Cluster) -> Vec<String> {
    cluster.nodes.iter().map(|node| node.config.node.name.to_string()).collect()
}

#[test]
fn nodes_are_named_by_region_and_their_ports_follow_their_place() {
    let regions: Vec<_> = ["uk", "ie", "uk"].map(|r| plan::region(r).unwrap()).to_vec();
    let nodes = plan::nodes(&regions, 8000).unwrap();
    let shown: Vec<_> =
        nodes.iter().map(|n| format!("{} {} {} {}", n.name, n.storefront, n.admin, n.listen)).collect();
    assert_eq!(
        shown,
        [
            "uk-1 127.0.0.1:8000 127.0.0.1:8001 127.0.0.1:8002",
            "ie-1 127.0.0.1:8010 127.0.0.1:8011 127.0.0.1:8012",
            "uk-2 127.0.0.1:8020 127.0.0.1:8021 127.0.0.1:8022",
        ]
    );
    assert!(plan::nodes(&regions, 65_530).unwrap_err().to_string().contains("too high"));
}

#[test]
fn by_default_there_are_three_regions_and_more_nodes_go_round_them() {
    let nodes = plan::nodes(&plan::cycled(5), 7300).unwrap();
    let names: Vec<_> = nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["us-1", "eu-1", "ap-1", "us-2", "eu-2"]);
}

#[test]
fn the_next_start_uses_the_files_that_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let first = files(&args(&dir, &["--regions", "uk,ie"]), &dir).unwrap();
    assert_eq!(names(&first), ["uk-1", "ie-1"]);
    let again = files(&args(&dir, &[]), &dir).unwrap();
    assert_eq!(again.file, first.file);
    let same = files(&args(&dir, &["--regions", "uk,ie", "--port", "7300"]), &dir).unwrap();
    assert_eq!(same.file, first.file);
}

#[test]
fn another_cluster_than_the_one_asked_for_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    files(&args(&dir, &["--nodes", "2"]), &dir).unwrap();
    for (more, expected) in
        [(["--nodes", "3"], "its regions are us,eu, not us,eu,ap"), (["--port", "9000"], "first port")]
    {
        let text = format!("{:#}", files(&args(&dir, &more), &dir).unwrap_err());
        assert!(text.contains(expected) && text.contains("--fresh"), "{text}");
    }
}

#[test]
fn an_autonomy_is_written_for_every_node_and_not_changed_later() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let cluster = files(&args(&dir, &["--nodes", "2", "--autonomy", "1%"]), &dir).unwrap();
    for node in &cluster.nodes {
        assert_eq!(node.config.cluster.autonomy, Autonomy::Percent(1));
    }
    files(&args(&dir, &["--autonomy", "1%"]), &dir).unwrap();
    files(&args(&dir, &[]), &dir).unwrap();
    let text = format!("{:#}", files(&args(&dir, &["--autonomy", "5"]), &dir).unwrap_err());
    assert!(text.contains("the autonomy of us-1 is 1%, not 5") && text.contains("[cluster]"), "{text}");
}

#[test]
fn fresh_leaves_alone_what_dev_did_not_make() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("precious"), "x").unwrap();
    let text = files(&args(dir.path(), &["--fresh"]), dir.path()).unwrap_err().to_string();
    assert!(text.contains("left alone"), "{text}");
    assert!(dir.path().join("precious").exists());
}

#[test]
fn a_port_in_use_is_named_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let mut cluster = files(&args(&dir, &["--nodes", "1"]), &dir).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let config = &mut cluster.nodes[0].config;
    (config.http.storefront, config.http.admin, config.peers.listen) =
        (any, taken.local_addr().unwrap(), any);
    let text = ensure_ports_free(&cluster).unwrap_err().to_string();
    assert!(text.contains("admin of us-1") && text.contains("--port"), "{text}");
}

#[test]
fn with_round_trips_every_node_dials_the_others_through_relays_behind_their_ports() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let cluster = files(&args(&dir, &["--nodes", "3", "--round-trips", "aws"]), &dir).unwrap();
    let round_trips = RoundTrips::kept(&dir, &round_trips::names(&cluster)).unwrap().unwrap();
    let ways = ways(&cluster, &round_trips).unwrap();
    let shown: Vec<_> =
        ways.iter().map(|way| (way.at.port(), way.to.port(), way.delay.as_micros())).collect();
    let expected = [
        (7330, 7312, 43_500),
        (7331, 7322, 40_500),
        (7332, 7302, 43_500),
        (7333, 7322, 68_500),
        (7334, 7302, 40_500),
        (7335, 7312, 68_500),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn round_trips_are_kept_and_may_be_replaced_by_others() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("links.toml").display().to_string();
    let dir = dir.path().join("data");
    let kept = |cluster: &Cluster| RoundTrips::kept(&dir, &round_trips::names(cluster)).unwrap().unwrap();
    files(&args(&dir, &["--nodes", "2", "--round-trips", "aws"]), &dir).unwrap();
    let again = files(&args(&dir, &[]), &dir).unwrap();
    assert_eq!(kept(&again).ms(0, 1), 87.0);
    std::fs::write(&file, "default_ms = 40").unwrap();
    let other = files(&args(&dir, &["--round-trips", &file]), &dir).unwrap();
    assert_eq!(kept(&other).ms(0, 1), 40.0);
    std::fs::write(&file, "default_ms = \"far\"").unwrap();
    files(&args(&dir, &["--round-trips", &file]), &dir).unwrap_err();
    assert_eq!(kept(&other).ms(0, 1), 40.0, "a bad file replaces nothing");
}

#[test]
fn nodes_prepared_to_dial_directly_get_no_relays_and_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let cluster = files(&args(&dir, &["--nodes", "2"]), &dir).unwrap();
    let text = format!("{:#}", files(&args(&dir, &["--round-trips", "aws"]), &dir).unwrap_err());
    assert!(text.contains("directly") && text.contains("--fresh"), "{text}");
    let round_trips = RoundTrips::parse("", &round_trips::names(&cluster)).unwrap();
    let text = format!("{:#}", ways(&cluster, &round_trips).unwrap_err());
    assert!(text.contains("us-1") && text.contains("\"127.0.0.1:7312\" of eu-1"), "{text}");
}

#[test]
fn too_many_nodes_or_ports_for_relays_are_refused() {
    let detoured =
        |count: u16, port: u16| plan::detour(&mut plan::nodes(&plan::cycled(count), port).unwrap());
    assert!(detoured(17, 7300).unwrap_err().to_string().contains("at most 16 nodes, not 17"));
    assert!(detoured(3, 65_505).unwrap_err().to_string().contains("--port is too high"));
    detoured(16, 7300).unwrap();
}

#[test]
fn nodes_behind_relays_are_not_run_by_hand() {
    let line = ["dev", "--round-trips", "aws", "--prepare"];
    assert!(Line::try_parse_from(line).is_err());
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    files(&args(&dir, &["--nodes", "2", "--round-trips", "aws"]), &dir).unwrap();
    let text = run(args(&dir, &["--prepare"])).unwrap_err().to_string();
    assert!(text.contains("only while `stockade dev` runs them"), "{text}");
}
