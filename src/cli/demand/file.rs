//! Writing a trace: CSV, gzipped when the file's name ends in `.gz`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::calendar::Second;
use crate::cli::replay::trace::{COLUMNS, Order};

/// Names of items and regions, by the places that orders give.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    pub skus: &'a [String],
    pub regions: &'a [String],
}

/// A trace under way. What is not finished is not whole.
#[derive(Debug)]
pub struct TraceFile<W: Write> {
    out: W,
}

impl<W: Write> TraceFile<W> {
    /// # Errors
    /// When it cannot be written.
    pub fn begin(mut out: W) -> io::Result<TraceFile<W>> {
        writeln!(out, "{}", COLUMNS.join(","))?;
        Ok(TraceFile { out })
    }

    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, order: &Order, names: Names<'_>) -> io::Result<()> {
        let at = shown(order.at.unwrap_or(0));
        let region = &names.regions[order.region];
        let lines = order.sales.iter().map(|line| ("", line)).chain(order.returns.iter().map(|l| ("-", l)));
        for (sign, line) in lines {
            let sku = &names.skus[line.sku];
            writeln!(self.out, "{at},{region},{sku},{sign}{},{}", line.quantity, order.id)?;
        }
        Ok(())
    }

    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Where a trace goes.
#[derive(Debug)]
pub enum Sink {
    Plain(Box<BufWriter<File>>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
    Stdout(BufWriter<io::Stdout>),
}

impl Sink {
    /// The file, begun anew; standard output without one.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn open(file: Option<&Path>) -> anyhow::Result<Sink> {
        let Some(file) = file else { return Ok(Sink::Stdout(BufWriter::new(io::stdout()))) };
        let made = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
        let made = BufWriter::new(made);
        Ok(match file.extension().is_some_and(|extension| extension == "gz") {
            true => Sink::Gzip(Box::new(GzEncoder::new(made, Compression::default()))),
            false => Sink::Plain(Box::new(made)),
        })
    }

    /// # Errors
    /// When what is left cannot be written.
    pub fn close(self) -> io::Result<()> {
        match self {
            Sink::Plain(mut file) => file.flush(),
            Sink::Gzip(file) => file.finish()?.flush(),
            Sink::Stdout(mut out) => out.flush(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Plain(file) => file.write(bytes),
            Sink::Gzip(file) => file.write(bytes),
            Sink::Stdout(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Plain(file) => file.flush(),
            Sink::Gzip(file) => file.flush(),
            Sink::Stdout(out) => out.flush(),
        }
    }
}

/// RFC 3339, in UTC.
pub fn shown(at: Second) -> String {
    jiff::Timestamp::from_second(at).map_or_else(|_| at.to_string(), |time| time.to_string())
}
