//! A body as lines, read as it comes.

use std::time::Duration;

use axum::body::Body;
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::http::problem::{Code, Problem};

/// Longest line.
pub const MAX_LINE_BYTES: usize = 64 * 1024;
/// How much of a body is read and thrown away before an early answer.
const MAX_DISCARDED_BYTES: usize = 8 << 20;

/// One line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its place in the file, from 1.
    pub(super) number: u64,
    /// `None`: it is longer than [`MAX_LINE_BYTES`].
    pub(super) text: Option<Bytes>,
}

/// The lines of a body.
pub(super) struct Lines {
    body: Body,
    /// How long the next piece of the body is waited for.
    patience: Duration,
    splitter: Splitter,
    ended: bool,
}

impl Lines {
    pub(super) fn new(body: Body, patience: Duration) -> Lines {
        Lines { body, patience, splitter: Splitter::default(), ended: false }
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// `request_timeout`, and `invalid_request` when the body ends early.
    pub(super) async fn next(&mut self) -> Result<Option<Line>, Problem> {
        loop {
            if let Some(line) = self.splitter.line() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(self.splitter.rest());
            }
            match self.piece().await? {
                Some(piece) => self.splitter.push(&piece),
                None => self.ended = true,
            }
        }
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let frame = timeout(self.patience, self.body.frame()).await;
            match frame.map_err(|_| Problem::new(Code::RequestTimeout))? {
                None => return Ok(None),
                Some(Err(_)) => {
                    let message = "ended early or is not framed as its headers say";
                    return Err(Problem::field("body", message));
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// Reads on for a while, and throws away what comes.
    pub(super) async fn discard(&mut self) {
        let mut discarded = 0;
        while !self.ended && discarded < MAX_DISCARDED_BYTES {
            match self.piece().await {
                Ok(Some(piece)) => discarded += piece.len(),
                Ok(None) | Err(_) => self.ended = true,
            }
        }
    }
}

/// Cuts what comes in pieces into lines.
#[derive(Debug, Default)]
struct Splitter {
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line's end.
    searched: usize,
    /// The line under way is too long; what came of it was thrown away.
    overlong: bool,
    number: u64,
}

impl Splitter {
    fn push(&mut self, piece: &[u8]) {
        if self.buffer.len() > MAX_LINE_BYTES {
            self.overlong = true;
            self.buffer.clear();
            self.searched = 0;
        }
        self.buffer.extend_from_slice(piece);
    }

    /// The next line that is whole.
    fn line(&mut self) -> Option<Line> {
        let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(end) = end else {
            self.searched = self.buffer.len();
            return None;
        };
        let mut text = self.buffer.split_to(self.searched + end + 1);
        text.truncate(text.len() - 1);
        Some(self.numbered(text))
    }

    /// What is left when nothing more comes: a last line without an end.
    fn rest(&mut self) -> Option<Line> {
        let rest = std::mem::take(&mut self.buffer);
        if rest.is_empty() && !self.overlong { None } else { Some(self.numbered(rest)) }
    }

    fn numbered(&mut self, mut text: BytesMut) -> Line {
        self.number += 1;
        self.searched = 0;
        let overlong = std::mem::take(&mut self.overlong) || text.len() > MAX_LINE_BYTES;
        if text.last() == Some(&b'\r') {
            text.truncate(text.len() - 1);
        }
        if self.number == 1 && text.starts_with("\u{feff}".as_bytes()) {
            text.advance(3);
        }
        Line { number: self.number, text: (!overlong).then(|| text.freeze()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a body that comes in pieces of `size` bytes; too long ones as `None`.
    fn split(body: &[u8], size: usize) -> Vec<Option<String>> {
        let (mut splitter, mut found) = (Splitter::default(), Vec::new());
        for piece in body.chunks(size) {
            splitter.push(piece);
            found.extend(std::iter::from_fn(|| splitter.line()));
        }
        found.extend(splitter.rest());
        let numbers: Vec<u64> = found.iter().map(|line| line.number).collect();
        assert_eq!(numbers, (1..=found.len() as u64).collect::<Vec<_>>());
        let text = |line: Line| line.text.map(|text| String::from_utf8(text.to_vec()).unwrap());
        found.into_iter().map(text).collect()
    }

    #[test]
    fn lines_are_the_same_however_they_come() {
        let body = "\u{feff}a,b\r\n\nlonger line\nend";
        let expected = ["a,b", "", "longer line", "end"].map(|line| Some(line.to_owned()));
        for size in 1..40 {
            assert_eq!(split(body.as_bytes(), size), expected, "{size}");
        }
        assert_eq!(split(b"", 1), []);
        assert_eq!(split(b"a\n", 1), [Some("a".to_owned())]);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_takes_no_memory() {
        let long = "x".repeat(3 * MAX_LINE_BYTES);
        let body = format!("a\n{long}\nb\n{long}");
        for size in [7, 4_096, 1 << 20] {
            let lines = split(body.as_bytes(), size);
            assert_eq!(lines, [Some("a".into()), None, Some("b".into()), None], "{size}");
        }
        let mut splitter = Splitter::default();
        for _ in 0..1_000 {
            splitter.push(&[b'x'; 4_096]);
            assert!(splitter.line().is_none());
            assert!(splitter.buffer.len() <= MAX_LINE_BYTES + 4_096);
        }
    }
}
