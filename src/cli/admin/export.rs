//! `stockade export`: all items, in a form that `import` takes or with their whole books.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::books::Books;
use super::desk::{Desk, Node};
use super::show::folded;
use super::target::{Side, TargetArgs};
use crate::cli::Ending;

const EXAMPLE: &str = "\
Examples:
  stockade export --out stock.csv
  stockade export --format ndjson | gzip > books.ndjson.gz

CSV has sku,name,quantity, as `stockade import` takes it; quantity is what is
free at all nodes together. What is held or in flight is not in it.
NDJSON has the whole books of an item on each line.";

/// Write all items to a file or to standard output
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct ExportArgs {
    /// What to write
    #[arg(long, value_enum, default_value = "csv")]
    format: Content,
    /// Where to [default: standard output]; put there when it is complete
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Content {
    Csv,
    Ndjson,
}

/// What was written.
#[derive(Debug, Default)]
struct Count {
    items: u64,
    units: u64,
    left_out: u64,
}

impl ExportArgs {
    pub async fn run(self, desk: &mut Desk<'_>) -> anyhow::Result<Ending> {
        let node = desk.node(&self.target)?;
        let count = match &self.out {
            None => write_all(&node, self.format, desk.out).await?,
            Some(path) => write_file(&node, self.format, path).await?,
        };
        let Count { items, units, left_out } = count;
        let mut text = format!("{items} items, {units} free units");
        if left_out > 0 && self.format == Content::Csv {
            text += &format!("; {left_out} units that are held or in flight are not in the file");
        }
        writeln!(desk.notes, "{}", folded(&text))?;
        Ok(Ending::Good)
    }
}

/// Writes beside the file and renames, so that it is never half there.
async fn write_file(node: &Node, content: Content, path: &Path) -> anyhow::Result<Count> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let cannot = || format!("cannot write {}", part.display());
    let mut file = BufWriter::new(File::create(&part).with_context(cannot)?);
    let written = match write_all(node, content, &mut file).await {
        Ok(count) => {
            file.into_inner().map_err(|e| e.into_error()).and_then(|file| file.sync_all()).map(|()| count)
        }
        Err(error) => {
            std::fs::remove_file(&part).with_context(cannot)?;
            return Err(error);
        }
    };
    let count = written.with_context(cannot)?;
    std::fs::rename(&part, path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(count)
}

async fn write_all(node: &Node, content: Content, out: &mut dyn Write) -> anyhow::Result<Count> {
    let mut count = Count::default();
    let mut pages = node.pages(Side::Admin, "/v1/items".to_owned(), None);
    if content == Content::Csv {
        writeln!(out, "sku,name,quantity")?;
    }
    while let Some(page) = pages.next().await? {
        let mut csv = csv::Writer::from_writer(Vec::new());
        for raw in &page.items {
            let books: Books = serde_json::from_str(raw.get())
                .with_context(|| format!("{}: an item", node.target.called(Side::Admin)))?;
            count.add(&books);
            match content {
                Content::Csv => csv.write_record(record(&books))?,
                Content::Ndjson => writeln!(out, "{}", raw.get())?,
            }
        }
        out.write_all(&csv.into_inner().context("a buffer in memory")?)?;
    }
    out.flush()?;
    Ok(count)
}

/// An item without free units is imported without a quantity: 0 is none.
fn record(books: &Books) -> [String; 3] {
    let free = books.totals.available;
    let quantity = if free > 0 { free.to_string() } else { String::new() };
    [books.sku.clone(), books.name.clone().unwrap_or_default(), quantity]
}

impl Count {
    fn add(&mut self, books: &Books) {
        self.items += 1;
        self.units = self.units.saturating_add(books.totals.available);
        let left_out = books.totals.held.saturating_add(books.totals.in_flight);
        self.left_out = self.left_out.saturating_add(left_out);
    }
}
