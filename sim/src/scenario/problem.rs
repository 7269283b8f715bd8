//! What is wrong with a scenario's file, all of it, by line and column.

use std::fmt;
use std::ops::Range;
use std::path::Path;

/// Everything that is wrong with one file; it cannot be run.
#[derive(Debug)]
pub struct Problems(Vec<String>);

impl Problems {
    pub fn one(file: &Path, what: impl fmt::Display) -> Problems {
        Problems(vec![format!("{}: {what}", file.display())])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Collects problems while a file is looked through.
#[derive(Debug)]
pub struct Findings<'a> {
    file: &'a Path,
    source: &'a str,
    found: Vec<(usize, String)>,
}

impl<'a> Findings<'a> {
    pub fn new(file: &'a Path, source: &'a str) -> Findings<'a> {
        Findings { file, source, found: Vec::new() }
    }

    /// Notes what is wrong at a place of the file, and what to do.
    pub fn add(&mut self, place: Range<usize>, key: &str, what: impl fmt::Display) {
        self.found.push((place.start, format!("{key}: {what}")));
    }

    /// Notes it unless `good`.
    pub fn must(&mut self, good: bool, place: Range<usize>, key: &str, what: impl fmt::Display) {
        if !good {
            self.add(place, key, what);
        }
    }

    /// # Errors
    /// With all that was found.
    pub fn end(mut self) -> Result<(), Problems> {
        if self.found.is_empty() {
            return Ok(());
        }
        self.found.sort();
        self.found.dedup();
        let told = |(place, what): &(usize, String)| {
            let before = &self.source[..(*place).min(self.source.len())];
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            format!("{}:{line}:{column}: {what}", self.file.display())
        };
        Err(Problems(self.found.iter().map(told).collect()))
    }
}
