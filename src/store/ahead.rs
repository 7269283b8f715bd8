//! Writes zeros to a growing file ahead of what is written to it.
//!
//! The first write to a part of a file makes the file system note where it put it, and a sync then
//! waits for that note too: one in a hundred such syncs takes several times as long, one in a
//! thousand some milliseconds. Overwriting zeros spares all but one in a thousand commits that.

use std::io;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ::redb::StorageBackend;

/// So many bytes ahead, at most: some milliseconds of writing.
const AHEAD: u64 = 4 << 20;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// A backend that fills `inner` with zeros ahead of its writes.
#[derive(Debug)]
pub(super) struct Ahead<B> {
    inner: B,
    /// What the file grew by, and nobody has written to. Of a file that was there, nothing is known.
    fresh: Mutex<Range<u64>>,
}

impl<B: StorageBackend> Ahead<B> {
    pub fn new(inner: B) -> Self {
        Self { inner, fresh: Mutex::new(0..0) }
    }

    fn fresh(&self) -> MutexGuard<'_, Range<u64>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fills what is fresh up to `end` and somewhat beyond.
    fn fill(&self, fresh: &mut Range<u64>, end: u64) -> io::Result<()> {
        let upto = end.saturating_add(AHEAD).min(fresh.end);
        while fresh.start < upto {
            let length = (upto - fresh.start).min(ZEROS.len() as u64);
            match self.inner.write(fresh.start, &ZEROS[..usize::try_from(length).unwrap_or(0)]) {
                // What is not filled reads as zeros, too; what is to be written may still fit.
                Err(error) if !is_full(&error) => return Err(error),
                _ => fresh.start += length,
            }
        }
        Ok(())
    }
}

/// The disk, or what its owner may have of it.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

impl<B: StorageBackend> StorageBackend for Ahead<B> {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut fresh = self.fresh();
        let old = self.inner.len()?;
        self.inner.set_len(len)?;
        let start = if fresh.is_empty() { old } else { fresh.start };
        *fresh = start.min(len)..len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let end = offset.saturating_add(data.len() as u64);
        let mut fresh = self.fresh();
        if end > fresh.start {
            self.fill(&mut fresh, end)?;
        }
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }
}

#[cfg(test)]
mod tests {
    use ::redb::backends::InMemoryBackend;

    use super::*;

    fn grown() -> Ahead<InMemoryBackend> {
        let ahead = Ahead::new(InMemoryBackend::new());
        ahead.inner.set_len(8).unwrap();
        ahead.inner.write(0, &[7; 8]).unwrap();
        ahead.set_len(AHEAD * 2 + 8).unwrap();
        ahead
    }

    #[test]
    fn what_is_written_stays_and_the_rest_is_filled_once() {
        let ahead = grown();
        let mut read = [0; 8];
        ahead.read(0, &mut read).unwrap();
        assert_eq!(read, [7; 8]);
        ahead.write(10, &[9; 4]).unwrap();
        assert_eq!(*ahead.fresh(), AHEAD + 14..AHEAD * 2 + 8);
        ahead.write(12, &[8; 4]).unwrap();
        ahead.write(0, &[6; 2]).unwrap();
        ahead.read(8, &mut read).unwrap();
        assert_eq!(read, [0, 0, 9, 9, 8, 8, 8, 8]);
        ahead.write(AHEAD + 20, &[5; 8]).unwrap();
        assert!(ahead.fresh().is_empty());
        ahead.read(8, &mut read).unwrap();
        assert_eq!(read, [0, 0, 9, 9, 8, 8, 8, 8]);
        ahead.read(AHEAD + 20, &mut read).unwrap();
        assert_eq!(read, [5; 8]);
    }

    /// Has room for so many bytes, and says so in this way.
    #[derive(Debug)]
    struct Tight(InMemoryBackend, u64, io::ErrorKind);

    impl StorageBackend for Tight {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.0.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            let fits = offset + data.len() as u64 <= self.1;
            if fits { self.0.write(offset, data) } else { Err(self.2.into()) }
        }
    }

    #[test]
    fn what_fits_is_written_though_zeros_ahead_of_it_do_not_fit() {
        use io::ErrorKind::{Other, QuotaExceeded, StorageFull};
        for (kind, goes_on) in [(StorageFull, true), (QuotaExceeded, true), (Other, false)] {
            let ahead = Ahead::new(Tight(InMemoryBackend::new(), 100 << 10, kind));
            ahead.set_len(1 << 20).unwrap();
            assert_eq!(ahead.write(70 << 10, &[7; 8]).is_ok(), goes_on, "{kind}");
            let beyond = ahead.write(200 << 10, &[7; 8]);
            assert!(beyond.is_err_and(|error| error.kind() == kind), "{kind}");
        }
    }

    #[test]
    fn what_was_there_before_or_is_cut_off_is_not_filled() {
        let ahead = Ahead::new(InMemoryBackend::new());
        ahead.inner.set_len(64).unwrap();
        ahead.inner.write(32, &[7; 8]).unwrap();
        ahead.write(0, &[1; 8]).unwrap();
        let mut read = [0; 8];
        ahead.read(32, &mut read).unwrap();
        assert_eq!(read, [7; 8]);
        let ahead = grown();
        ahead.set_len(4).unwrap();
        assert!(ahead.fresh().is_empty());
        ahead.set_len(16).unwrap();
        assert_eq!(*ahead.fresh(), 4..16);
        ahead.write(2, &[3; 4]).unwrap();
        let mut all = [0; 16];
        ahead.read(0, &mut all).unwrap();
        assert_eq!(all, [7, 7, 3, 3, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
