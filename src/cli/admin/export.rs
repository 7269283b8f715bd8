//! `stockade export`: all items, in a form that `import` takes or with their whole books.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::books::Books;
use super::desk::{Desk, Node};
use super::show::folded;
use super::target::{Side, TargetArgs};
use crate::cli::Ending;
use crate::types::units::MAX_QUANTITY;

const EXAMPLE: &str = "\
Examples:
  stockade export --out stock.csv
  stockade export --format ndjson | gzip > books.ndjson.gz

CSV has sku,name,quantity, as `stockade import` takes it; quantity is what is
free at all nodes together. What is held or in flight is not in it. More than
1,000,000,000 are on several lines, which import adds up.
NDJSON has the whole books of an item on each line.";

/// Write all items to a file or to standard output
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct ExportArgs {
    /// What to write
    #[arg(long, value_enum, default_value = "csv")]
    format: Content,
    /// Where to [default: standard output]; a file is put there when it is complete
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

/// As many as the system itself follows.
const MOST_LINKS: usize = 40;

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
            Some(path) => write_to(&node, self.format, path).await?,
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

/// Writes beside a file and renames, so that it is never half there. What is no file, such as
/// a pipe or a device, stays what it is and is written to.
async fn write_to(node: &Node, content: Content, path: &Path) -> anyhow::Result<Count> {
    let cannot = || format!("cannot write {}", path.display());
    let target = behind_links(path).with_context(cannot)?;
    match std::fs::metadata(&target) {
        Ok(kind) if !kind.is_file() => {
            let mut out = BufWriter::new(OpenOptions::new().write(true).open(&target).with_context(cannot)?);
            write_all(node, content, &mut out).await.map_err(|error| naming(error, path))
        }
        _ => write_file(node, content, &target).await,
    }
}

/// The place that a path leads to, whether or not anything is there.
fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        match std::fs::read_link(&target) {
            // Relative to where the link is; an absolute one replaces it all.
            Ok(next) => target = target.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

async fn write_file(node: &Node, content: Content, path: &Path) -> anyhow::Result<Count> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let cannot = || format!("cannot write {}", part.display());
    let file = BufWriter::new(File::create(&part).with_context(cannot)?);
    let written = write_part(node, content, file).await.map_err(|error| naming(error, &part));
    let put = written.and_then(|count| {
        std::fs::rename(&part, path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(count)
    });
    if put.is_err() {
        let _ = std::fs::remove_file(&part); // the first error says more
    }
    put
}

/// Names what could not be written; whether it was the node that failed, the error says itself.
fn naming(error: anyhow::Error, path: &Path) -> anyhow::Error {
    match error.is::<io::Error>() {
        true => error.context(format!("cannot write {}", path.display())),
        false => error,
    }
}

async fn write_part(node: &Node, content: Content, mut file: BufWriter<File>) -> anyhow::Result<Count> {
    let count = write_all(node, content, &mut file).await?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
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
                Content::Csv => {
                    for record in records(&books) {
                        csv.write_record(record)?;
                    }
                }
                Content::Ndjson => writeln!(out, "{}", raw.get())?,
            }
        }
        out.write_all(&csv.into_inner().context("a buffer in memory")?)?;
    }
    out.flush()?;
    Ok(count)
}

/// An item without free units is imported without a quantity: 0 is none. More than a line may
/// have are on several, which are added up.
fn records(books: &Books) -> impl Iterator<Item = [String; 3]> {
    let free = books.totals.available;
    let line = |quantity: String| [books.sku.clone(), books.name.clone().unwrap_or_default(), quantity];
    let full = std::iter::repeat_n(MAX_QUANTITY, usize::try_from(free / MAX_QUANTITY).unwrap_or(usize::MAX));
    let rest = Some(free % MAX_QUANTITY).filter(|rest| *rest > 0);
    let quantities = full.chain(rest).map(|quantity| quantity.to_string());
    let none = (free == 0).then(String::new);
    quantities.chain(none).map(line)
}

impl Count {
    fn add(&mut self, books: &Books) {
        self.items += 1;
        self.units = self.units.saturating_add(books.totals.available);
        let left_out = books.totals.held.saturating_add(books.totals.in_flight);
        self.left_out = self.left_out.saturating_add(left_out);
    }
}
