//! A body as lines, read as it comes.

use std::time::Duration;

use axum::body::Body;
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout, timeout_at};

use crate::http::problem::{Code, Problem};

/// Longest line, without its end and a mark of the byte order before it.
pub const MAX_LINE_BYTES: usize = 64 * 1024;
/// How much of a body is read and thrown away before an early answer.
const MAX_DISCARDED_BYTES: usize = 8 << 20;
/// What a client must send, at least, in each `body_timeout` for which it is waited for. How
/// long it is made to wait itself does not count. So a client may make up its lines as it
/// goes, if that is not all too slow, but cannot hold an import's place with a byte now and
/// then.
pub const LEAST_BYTES: usize = 1024;

const BYTE_ORDER_MARK: &str = "\u{feff}";

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
    /// How long [`LEAST_BYTES`] of the body are waited for.
    patience: Duration,
    /// How long it was waited already for those, and how many have come.
    waited: Duration,
    came: usize,
    /// Nothing of the body was asked for yet, and the client sends none before.
    unasked: bool,
    splitter: Splitter,
    ended: bool,
}

impl Lines {
    /// `expects`: the client waits for "100 Continue", which it is sent when the body is first
    /// read.
    pub(super) fn new(body: Body, patience: Duration, expects: bool) -> Lines {
        let (waited, came) = (Duration::ZERO, 0);
        Lines { body, patience, waited, came, unasked: expects, splitter: Splitter::default(), ended: false }
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
            match self.piece_in_time().await? {
                Some(piece) => self.splitter.push(&piece),
                None => self.ended = true,
            }
        }
    }

    async fn piece_in_time(&mut self) -> Result<Option<Bytes>, Problem> {
        let began = Instant::now();
        let left = self.patience.saturating_sub(self.waited);
        let Ok(piece) = timeout(left, self.piece()).await else {
            // Nor is its rest waited for.
            self.ended = true;
            let (patience, least) = (self.patience, LEAST_BYTES);
            let detail = format!("Of the body came less than {least} bytes in {patience:?}.");
            return Err(Problem::new(Code::RequestTimeout).detail(detail));
        };
        let piece = piece?;
        self.waited += began.elapsed();
        self.came += piece.as_ref().map_or(0, Bytes::len);
        if self.came >= LEAST_BYTES {
            (self.waited, self.came) = (Duration::ZERO, 0);
        }
        Ok(piece)
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        self.unasked = false;
        loop {
            match self.body.frame().await {
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

    /// Reads on for a while, and throws away what comes. Asks for nothing that would not come
    /// unasked.
    pub(super) async fn discard(&mut self) {
        let deadline = Instant::now() + self.patience;
        let mut discarded = 0;
        while !self.ended && !self.unasked && discarded < MAX_DISCARDED_BYTES {
            match timeout_at(deadline, self.piece()).await {
                Ok(Ok(Some(piece))) => discarded += piece.len(),
                Ok(Ok(None) | Err(_)) | Err(_) => self.ended = true,
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
        if self.buffer.len() > MAX_LINE_BYTES + BYTE_ORDER_MARK.len() + "\r".len() {
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
        if text.last() == Some(&b'\r') {
            text.truncate(text.len() - 1);
        }
        if self.number == 1 && text.starts_with(BYTE_ORDER_MARK.as_bytes()) {
            text.advance(BYTE_ORDER_MARK.len());
        }
        let overlong = std::mem::take(&mut self.overlong) || text.len() > MAX_LINE_BYTES;
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
    fn the_end_of_a_line_does_not_count_for_its_length() {
        let longest = "x".repeat(MAX_LINE_BYTES);
        let body = format!("\u{feff}{longest}\r\n{longest}\n{longest}x\r\n{longest}\r");
        for size in [7, 4_096, MAX_LINE_BYTES + 1, 1 << 20] {
            let lines: Vec<_> =
                split(body.as_bytes(), size).into_iter().map(|line| line.map(|line| line.len())).collect();
            let fits = Some(MAX_LINE_BYTES);
            assert_eq!(lines, [fits, fits, None, fits], "{size}");
        }
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
