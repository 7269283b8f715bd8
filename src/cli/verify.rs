//! `stockade verify`: reads a stopped node's data directory from end to end.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Ending;
use super::terminal::say;
use crate::limits::Limits;
use crate::node::{Recovered, Recovery};
use crate::store::{self, StoreError, VerifyReport};
use crate::types::Violation;

const EXAMPLE: &str = "\
Example: stop the node first
  stockade verify --data eu-1/data

Every checkpoint and batch is read, its checksums are compared, its records
are applied, and every invariant is recomputed. Nothing is changed.
Exit status: 0 whole, 1 damaged, 2 could not look.";

/// Check a stopped node's data directory
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE, after_long_help = EXAMPLE)]
pub struct VerifyArgs {
    /// The data directory of a node that is not running
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
}

/// Reads everything.
///
/// # Errors
/// When the directory cannot be read or is in use.
pub fn run(args: &VerifyArgs) -> anyhow::Result<Ending> {
    let mut recovery = Recovery::new(Limits::default());
    let read = store::verify(&args.data, &mut |loaded| recovery.take(loaded).map(drop)).and_then(|report| {
        let damaged = |what| StoreError::Damaged { path: args.data.clone(), what };
        let recovered = recovery.finish(&report.head).map_err(damaged)?;
        Ok((report, recovered))
    });
    match read {
        Ok((report, recovered)) => {
            let violations = recovered.replica.check().violations;
            say(story(&args.data, &report, &recovered, &violations).trim_end())?;
            let is_whole = report.is_flawless() && violations.is_empty();
            Ok(if is_whole { Ending::Good } else { Ending::Failed })
        }
        Err(damage @ StoreError::Damaged { .. }) => {
            say(format_args!("DAMAGED: {damage}"))?;
            Ok(Ending::Failed)
        }
        Err(StoreError::Missing { path }) => {
            anyhow::bail!("{} holds no journal; a node's data is in NODE/data", path.display())
        }
        Err(error) => Err(error.into()),
    }
}

fn story(data: &Path, report: &VerifyReport, recovered: &Recovered, violations: &[Violation]) -> String {
    let mut text = format!(
        "{}\n  node         {} (replica {})\n  cluster      {}\n  journal      batches {} to {}, {} bytes\n",
        data.display(),
        report.head.node,
        report.head.replica,
        report.head.cluster,
        report.first.0,
        report.last.0,
        report.journal_bytes,
    );
    for checkpoint in &report.checkpoints {
        let state =
            checkpoint.damage.as_deref().map_or("whole".to_owned(), |damage| format!("DAMAGED: {damage}"));
        text += &format!(
            "  checkpoint   up to batch {}, {} bytes: {state}\n",
            checkpoint.covers.0, checkpoint.bytes
        );
    }
    text += &format!("  records      {}, all decoded and applied\n", recovered.records);
    for Violation { invariant, sku, detail } in violations {
        let sku = sku.as_ref().map_or("", |sku| sku.as_str());
        text += &format!("  VIOLATED     {invariant} {sku}: {detail}\n");
    }
    text += match (violations.is_empty(), report.is_flawless()) {
        (true, true) => "ok\n",
        (true, false) => "FAILED: a start would succeed without the damaged checkpoint; keep a copy\n",
        (false, _) => "FAILED: the books do not hold together; keep a copy, and report this\n",
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::dev_cluster_for_tests;

    #[test]
    fn a_prepared_directory_is_whole_and_an_empty_one_cannot_be_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = dev_cluster_for_tests(&dir.path().join("cluster"));
        let data = cluster.nodes[0].config.node.data_dir.clone();
        assert_eq!(run(&VerifyArgs { data }).unwrap(), Ending::Good);
        let text = run(&VerifyArgs { data: dir.path().to_path_buf() }).unwrap_err().to_string();
        assert!(text.contains("holds no journal") && text.contains("NODE/data"), "{text}");
    }

    #[test]
    fn a_damaged_directory_fails() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = dev_cluster_for_tests(&dir.path().join("cluster"));
        let data = cluster.nodes[0].config.node.data_dir.clone();
        damage_journal(&data);
        assert_eq!(run(&VerifyArgs { data }).unwrap(), Ending::Failed);
    }

    /// Alters the node's name in its first record, wherever that stands.
    fn damage_journal(data: &Path) {
        let files = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
        let journal =
            files.filter(|path| path.is_file()).max_by_key(|path| path.metadata().unwrap().len()).unwrap();
        let mut bytes = std::fs::read(&journal).unwrap();
        let places: Vec<_> = (0..bytes.len() - 4).filter(|at| bytes[*at..].starts_with(b"us-1")).collect();
        assert!(!places.is_empty());
        places.into_iter().for_each(|at| bytes[at] ^= 1);
        std::fs::write(&journal, bytes).unwrap();
    }
}
