//! `stockade verify`: reads a stopped node's data directory from end to end.

use std::path::{Path, PathBuf};

use clap::Args;

use super::Ending;
use crate::store::{self, Loaded, StoreError, VerifyReport};
use crate::wire::{Batch, Record, codec};

const EXAMPLE: &str = "\
Example: stop the node first
  stockade verify --data eu-1/data

Every checkpoint and batch is read, its checksums are compared, and its
records are decoded. Nothing is changed.
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
    let mut contents = Contents::default();
    match store::verify(&args.data, &mut |loaded| contents.take(loaded)) {
        Ok(report) => {
            print!("{}", story(&args.data, &report, &contents));
            let is_whole = report.is_flawless() && contents.has_genesis;
            Ok(if is_whole { Ending::Good } else { Ending::Failed })
        }
        Err(damage @ StoreError::Damaged { .. }) => {
            println!("DAMAGED: {damage}");
            Ok(Ending::Failed)
        }
        Err(error) => Err(error.into()),
    }
}

/// What was decoded.
#[derive(Debug, Default)]
struct Contents {
    records: u64,
    /// One of them says whose all this is.
    has_genesis: bool,
}

impl Contents {
    fn take(&mut self, loaded: Loaded<'_>) -> Result<(), String> {
        let (Loaded::Chunk(body) | Loaded::Batch(_, body)) = loaded;
        let batch: Batch = codec::decode(body).map_err(|e| e.to_string())?;
        self.records += batch.records.len() as u64;
        self.has_genesis |= batch.records.iter().any(|record| matches!(record, Record::Genesis(_)));
        Ok(())
    }
}

fn story(data: &Path, report: &VerifyReport, contents: &Contents) -> String {
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
    text += &format!("  records      {}, all decoded\n", contents.records);
    text += match (contents.has_genesis, report.is_flawless()) {
        (true, true) => "ok\n",
        (true, false) => "FAILED: a start would succeed without the damaged checkpoint; keep a copy\n",
        (false, _) => "FAILED: no record says whose this is; keep a copy\n",
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
        assert!(text.contains("holds no journal"), "{text}");
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
