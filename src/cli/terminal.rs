//! What every command writes, and what becomes of it when nobody reads it any more.
//!
//! Notes (standard error) never end a command: one that cannot be written is left out.
//! Results (standard output) that cannot be written are an error, but for a pipe whose reader
//! has seen enough, such as `head`: that is told apart from every other broken pipe.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;

/// A terminal that says it has fewer columns is not believed.
const NARROWEST: u16 = 40;

/// Columns of a terminal. `None`: it is none, or does not say.
pub fn columns(stream: impl AsFd) -> Option<usize> {
    let columns = rustix::termios::tcgetwinsize(stream).ok()?.ws_col;
    (columns >= NARROWEST).then_some(columns.into())
}

/// Writes a line to standard error, if anybody reads it.
pub fn note(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}"); // there is nowhere left to complain to
}

/// Writes a line to standard output, if anybody reads it.
///
/// # Errors
/// When it cannot be written for another reason than that nobody reads it.
pub fn say(line: impl fmt::Display) -> anyhow::Result<()> {
    say_to(&mut Results(io::stdout()), &line)
}

fn say_to(out: &mut impl Write, line: &dyn fmt::Display) -> anyhow::Result<()> {
    let written = writeln!(out, "{line}").and_then(|()| out.flush());
    unless_unread(written.map_err(anyhow::Error::from))
}

/// Nobody reads standard output any more.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("nobody reads standard output any more")]
struct Unread;

/// Whether that is why something could not be done.
pub fn is_unread(error: &anyhow::Error) -> bool {
    let is_marked = |cause: &(dyn std::error::Error + 'static)| {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.is_some_and(|inner| inner.is::<Unread>())
    };
    error.chain().any(is_marked)
}

/// Results that nobody reads are as good as written; for what was to be done besides.
///
/// # Errors
/// Every other error.
pub fn unless_unread(result: anyhow::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if is_unread(&error) => Ok(()),
        result => result,
    }
}

/// Standard output.
#[derive(Debug)]
pub struct Results<W>(pub W);

impl<W: Write> Write for Results<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(marked)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(marked)
    }
}

fn marked(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, Unread),
        _ => error,
    }
}

/// Standard error.
#[derive(Debug)]
pub struct Notes<W>(pub W);

impl<W: Write> Write for Notes<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.write_all(bytes); // as for `note`
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush(); // as for `note`
        Ok(())
    }
}

/// Takes nothing, for this reason.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub struct Broken(pub io::ErrorKind);

#[cfg(test)]
impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_standard_outputs_own_broken_pipe_is_good() {
        assert!(say_to(&mut Results(Broken(io::ErrorKind::BrokenPipe)), &"text").is_ok());
        assert!(say_to(&mut Results(Broken(io::ErrorKind::StorageFull)), &"text").is_err());
        let elsewhere = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(!is_unread(&elsewhere.context("a file")));
    }

    #[test]
    fn notes_that_nobody_reads_are_left_out() {
        let mut notes = Notes(Broken(io::ErrorKind::BrokenPipe));
        writeln!(notes, "text").unwrap();
        notes.flush().unwrap();
    }
}
