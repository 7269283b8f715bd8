//! What happened, in order: as a number that two runs of one seed must share, and as text for
//! people.

use std::io::Write;

use crate::time::Time;

/// How much of the trace is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// The number alone, over what is cheap to reckon.
    Hash,
    /// Each line is part of the number too.
    Lines,
    /// And printed.
    Print,
    /// And kept.
    Keep,
}

#[derive(Debug)]
pub struct Trace {
    hash: u64,
    detail: Detail,
    kept: Vec<String>,
}

impl Trace {
    pub fn new(detail: Detail) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, detail, kept: Vec::new() }
    }

    /// Notes an event: `words` and `bytes` always, `line` only when lines are wanted.
    pub fn note(&mut self, at: Time, words: &[u64], bytes: &[u8], line: impl FnOnce() -> String) {
        self.mix(at.0);
        words.iter().for_each(|word| self.mix(*word));
        self.mix_bytes(bytes);
        if self.detail == Detail::Hash {
            return;
        }
        let line = line();
        self.mix_bytes(line.as_bytes());
        if self.detail == Detail::Print {
            // Whoever reads may have seen enough.
            let _ = writeln!(std::io::stdout(), "{at}  {line}");
        }
        if self.detail == Detail::Keep {
            self.kept.push(format!("{at}  {line}"));
        }
    }

    /// The lines, if they were to be kept.
    pub fn take_lines(&mut self) -> Vec<String> {
        std::mem::take(&mut self.kept)
    }

    /// Equal for equal traces.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    fn mix_bytes(&mut self, bytes: &[u8]) {
        self.mix(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    /// FNV-1a over words, with a shift so that high bits reach the low ones.
    fn mix(&mut self, word: u64) {
        let mixed = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        self.hash = mixed ^ (mixed >> 29);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(detail: Detail, bytes: &[u8], line: &str) -> u64 {
        let mut trace = Trace::new(detail);
        trace.note(Time(5), &[1, 2], bytes, || line.into());
        trace.hash()
    }

    #[test]
    fn every_byte_and_every_line_counts() {
        assert_eq!(hash(Detail::Hash, b"123456789", "a"), hash(Detail::Hash, b"123456789", "b"));
        assert_ne!(hash(Detail::Hash, b"123456789", "a"), hash(Detail::Hash, b"123456780", "a"));
        assert_ne!(hash(Detail::Lines, b"", "a"), hash(Detail::Lines, b"", "b"));
    }
}
