//! Command lines: which are understood, and which are refused before anything is asked.

use clap::Parser;
use clap::error::ErrorKind;

use crate::cli::Cli;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(["stockade"].into_iter().chain(line.split(' ')))
}

#[test]
fn options_that_name_a_node_may_stand_before_and_after_the_subcommand() {
    for line in [
        "item --node eu-1 -o json list",
        "item list --node eu-1 -o json",
        "transfer MUG 20 --from eu-1 --to us-1 --url http://h:7300",
        "transfer MUG --from eu-1 --to us-1 20 -y",
        "reserve sell A=1 B --key k",
        "import - --format csv",
        "rebalance --dry-run --sku MUG --node eu-1 -o json",
        "history MUG --nodes all --node eu-1",
        "export --format ndjson --out x",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
}

#[test]
fn what_no_node_would_take_is_refused_at_once() {
    for line in [
        "item show a/b",
        "item show -x",
        "item set MUG --max-per-order 0",
        "item set MUG --low-stock 1000000001",
        "item set MUG --expect eu-1",
        "item set MUG --expect EU=5",
        "item set MUG --expect eu-1=1000000001",
        "item set MUG --launch-until tomorrow",
        "item set MUG --launch-until 2030-11-29T09:00:00+01:00",
        "item list --limit 0",
        "rebalance MUG",
        "rebalance --sku a/b",
        "item list -o xml",
        "stock receive MUG 0",
        "stock receive MUG 1000000001",
        "stock receive MUG 1.5",
        "stock receive MUG 1 --key -",
        "stock receive MUG 1 --yes",
        "quota set MUG EU",
        "quota set MUG eu-1 --weight 1001",
        "transfer MUG 20 --from eu-1",
        "reserve put O-1",
        "reserve put O-1 MUG=x",
        "reserve put O-1 MUG --ttl 86401",
        "reserve put O-1 MUG --wait-ms 10001",
        "reserve extend O-1",
        "reserve list --state open",
        "history MUG --nodes some",
        "node drain Eu",
        "import a.csv --format xml",
        "export --format json",
        "explain MUG --url h:7300",
        "completions tcsh",
        "man",
    ] {
        let error = parse(line).map(|cli| format!("{cli:?}")).expect_err(line);
        let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        assert!(!is_help && error.exit_code() == 2, "{line}: {error}");
    }
}

#[test]
fn what_is_wrong_with_a_number_or_its_place_is_said() {
    for (line, wanted) in [
        ("quota set MUG eu-1 --min -5", "must be a whole number from 0 to 1000000000"),
        ("quota set MUG eu-1 --pinned=-5", "must be a whole number from 0 to 1000000000"),
        ("quota set MUG eu-1 --weight 1.5", "must be a whole number from 0 to 1000"),
        ("quota set MUG eu-1 --weight -1", "must be a whole number from 0 to 1000"),
        ("quota set MUG eu-1 --weight 99999999999999999999999", "must be a whole number from 0 to 1000"),
        ("item set MUG --low-stock -1", "must be a whole number from 0 to 1000000000"),
        ("item set MUG --max-per-order -1", "must be a whole number from 1 to 1000000000"),
        ("rebalance MUG", "it is an option here, --sku MUG"),
        ("rebalance MUG --dry-run", "it is an option here, --sku MUG"),
    ] {
        let error = parse(line).map(|cli| format!("{cli:?}")).expect_err(line).to_string();
        assert!(error.contains(wanted), "{line}: {error}");
    }
}
