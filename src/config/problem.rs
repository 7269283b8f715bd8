//! What is wrong with a configuration, in words that name the place and the fix.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A configuration that cannot be used. Shows one problem a line.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.lines())]
pub struct ConfigError {
    pub file: PathBuf,
    pub problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// From 1; absent when the complaint is about the whole file.
    pub line: Option<usize>,
    /// Such as `http.storefront`; empty when the complaint is about no key.
    pub key: String,
    pub message: String,
}

impl ConfigError {
    pub(super) fn whole_file(file: &Path, message: String) -> ConfigError {
        let problem = Problem { line: None, key: String::new(), message };
        ConfigError { file: file.to_path_buf(), problems: vec![problem] }
    }

    /// One complaint about one key.
    pub(crate) fn at_key(file: &Path, key: &str, message: String) -> ConfigError {
        let problem = Problem { line: None, key: key.to_owned(), message };
        ConfigError { file: file.to_path_buf(), problems: vec![problem] }
    }

    /// From the parser's complaint about `text`.
    pub(super) fn syntax(file: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
        let line = error.span().map(|span| line_of(text, &span));
        let message = error.message().replace('\n', "; ");
        let problem = Problem { line, key: String::new(), message };
        ConfigError { file: file.to_path_buf(), problems: vec![problem] }
    }

    fn lines(&self) -> String {
        let line = |problem: &Problem| {
            let place = problem.line.map(|n| format!(":{n}")).unwrap_or_default();
            format!("{}{place}: {problem}", self.file.display())
        };
        self.problems.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// The line, from 1, on which `span` begins.
pub(super) fn line_of(text: &str, span: &Range<usize>) -> usize {
    let before = &text.as_bytes()[..span.start.min(text.len())];
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}
