//! Holds back what the engine writes while a journal is opened, until it is known to be whole.
//!
//! The engine repairs a file as it opens it, and so writes to it. A damaged file must stay as it
//! is, though: it may be the only evidence, and a repair may paint over what is missing. So all
//! writes go to memory at first, and reads see them. [`Quarantine::release`] plays them to the
//! file in their order, with their syncs, and from then on calls pass straight through: if power
//! fails in the middle, the file is as it would be if the engine itself had been interrupted.
//!
//! It holds what one open of the engine writes (a header and a repair commit, some pages),
//! as nothing else is written before the release.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::redb::StorageBackend;

const PAGE: u64 = 4096;

/// A backend whose writes are held back until [`release`](Self::release). Clones share one state.
#[derive(Clone, Debug)]
pub(super) struct Quarantine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    inner: Arc<dyn StorageBackend>,
    passing: AtomicBool,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    length: u64,
    /// Beyond this, the file's own bytes were cut off by a `set_len`.
    own: u64,
    /// Whole pages as they would be, by page number.
    pages: BTreeMap<u64, Box<[u8]>>,
    operations: Vec<Operation>,
}

#[derive(Debug)]
enum Operation {
    Write(u64, Vec<u8>),
    SetLength(u64),
    Sync,
}

impl Quarantine {
    /// Holds back writes to `inner`.
    pub fn new(inner: Arc<dyn StorageBackend>) -> io::Result<Self> {
        let length = inner.len()?;
        let held = Held { length, own: length, ..Held::default() };
        Ok(Self(Arc::new(Shared { inner, passing: AtomicBool::new(false), held: Mutex::new(held) })))
    }

    /// Passes everything through from the start.
    pub fn open(inner: Arc<dyn StorageBackend>) -> Self {
        Self(Arc::new(Shared { inner, passing: AtomicBool::new(true), held: Mutex::default() }))
    }

    /// Makes reads see `byte` at `offset`. Not among the writes that a release plays.
    pub fn pretend(&self, offset: u64, byte: u8) -> io::Result<()> {
        let mut held = self.held();
        self.0.patch(&mut held, offset, &[byte])
    }

    /// Bytes of the file as it is.
    pub fn file_bytes(&self) -> io::Result<u64> {
        self.0.inner.len()
    }

    /// Plays to the file what was held back, durably, and passes everything through from now on.
    pub fn release(&self) -> io::Result<()> {
        let mut held = self.held();
        for operation in std::mem::take(&mut held.operations) {
            match operation {
                Operation::Write(offset, bytes) => self.0.inner.write(offset, &bytes)?,
                Operation::SetLength(length) => self.0.inner.set_len(length)?,
                Operation::Sync => self.0.inner.sync_data()?,
            }
        }
        self.0.inner.sync_data()?;
        held.pages.clear();
        self.0.passing.store(true, Ordering::Release);
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn passing(&self) -> bool {
        self.0.passing.load(Ordering::Acquire)
    }
}

impl Shared {
    fn read(&self, held: &Held, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = checked_end(offset, out.len(), held.length)?;
        let own = usize::try_from(held.own.saturating_sub(offset)).unwrap_or(usize::MAX).min(out.len());
        let (from_file, cut_off) = out.split_at_mut(own);
        if !from_file.is_empty() {
            self.inner.read(offset, from_file)?;
        }
        cut_off.fill(0);
        for (number, page) in held.pages.range(offset / PAGE..end.div_ceil(PAGE)) {
            let page_start = number * PAGE;
            let from = page_start.max(offset);
            let to = (page_start + PAGE).min(end);
            out[index(from - offset)..index(to - offset)]
                .copy_from_slice(&page[index(from - page_start)..index(to - page_start)]);
        }
        Ok(())
    }

    fn patch(&self, held: &mut Held, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = checked_end(offset, bytes.len(), held.length)?;
        for number in offset / PAGE..end.div_ceil(PAGE) {
            let page_start = number * PAGE;
            if !held.pages.contains_key(&number) {
                let mut page = vec![0; index(PAGE)].into_boxed_slice();
                let known = index(PAGE.min(held.length - page_start));
                self.read(held, page_start, &mut page[..known])?;
                held.pages.insert(number, page);
            }
            let page = held.pages.get_mut(&number).expect("it was just put there");
            let from = page_start.max(offset);
            let to = (page_start + PAGE).min(end);
            page[index(from - page_start)..index(to - page_start)]
                .copy_from_slice(&bytes[index(from - offset)..index(to - offset)]);
        }
        Ok(())
    }

    fn resize(held: &mut Held, length: u64) {
        held.length = length;
        held.own = held.own.min(length);
        held.pages.retain(|number, _| number * PAGE < length);
        if let Some((number, page)) = held.pages.last_key_value()
            && (number + 1) * PAGE > length
        {
            let (number, kept) = (*number, index(length - number * PAGE));
            let mut page = page.clone();
            page[kept..].fill(0);
            held.pages.insert(number, page);
        }
    }
}

fn checked_end(offset: u64, count: usize, length: u64) -> io::Result<u64> {
    let end = offset.checked_add(count as u64).filter(|end| *end <= length);
    end.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// An offset within one page or one buffer.
fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("offsets within a buffer fit memory")
}

impl StorageBackend for Quarantine {
    fn len(&self) -> io::Result<u64> {
        if self.passing() { self.0.inner.len() } else { Ok(self.held().length) }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.passing() {
            return self.0.inner.read(offset, out);
        }
        self.0.read(&self.held(), offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        if self.passing() {
            return self.0.inner.set_len(length);
        }
        let mut held = self.held();
        Shared::resize(&mut held, length);
        held.operations.push(Operation::SetLength(length));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.passing() {
            return self.0.inner.sync_data();
        }
        self.held().operations.push(Operation::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.passing() {
            return self.0.inner.write(offset, bytes);
        }
        let mut held = self.held();
        self.0.patch(&mut held, offset, bytes)?;
        held.operations.push(Operation::Write(offset, bytes.to_vec()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::redb::backends::InMemoryBackend;
    use proptest::prelude::*;

    fn contents(backend: &dyn StorageBackend) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(backend.len().unwrap()).unwrap()];
        backend.read(0, &mut bytes).unwrap();
        bytes
    }

    fn filled(length: u64) -> Arc<InMemoryBackend> {
        let backend = Arc::new(InMemoryBackend::new());
        backend.set_len(length).unwrap();
        let pattern: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        StorageBackend::write(&*backend, 0, &pattern).unwrap();
        backend
    }

    proptest! {
        #[test]
        fn reads_see_what_was_written_and_the_file_only_after_the_release(
            steps in proptest::collection::vec((any::<bool>(), 0u64..20_000, 0usize..9_000, any::<u8>()), 1..20)
        ) {
            let file = filled(10_000);
            let twin = filled(10_000);
            let before = contents(&*file);
            let quarantine = Quarantine::new(file.clone()).unwrap();
            for (resize, offset, count, byte) in steps {
                if resize {
                    quarantine.set_len(offset).unwrap();
                    twin.set_len(offset).unwrap();
                } else if offset + count as u64 <= twin.len().unwrap() {
                    quarantine.write(offset, &vec![byte; count]).unwrap();
                    StorageBackend::write(&*twin, offset, &vec![byte; count]).unwrap();
                } else {
                    prop_assert!(quarantine.write(offset, &vec![byte; count]).is_err());
                }
                quarantine.sync_data().unwrap();
                prop_assert_eq!(contents(&quarantine), contents(&*twin));
            }
            prop_assert_eq!(contents(&*file), before);
            quarantine.release().unwrap();
            prop_assert_eq!(contents(&*file), contents(&*twin));
            prop_assert_eq!(contents(&quarantine), contents(&*twin));
        }
    }

    #[test]
    fn a_pretended_byte_is_read_but_never_written() {
        let file = filled(5_000);
        let quarantine = Quarantine::new(file.clone()).unwrap();
        quarantine.pretend(4_500, 0xff).unwrap();
        assert_eq!(contents(&quarantine)[4_500], 0xff);
        quarantine.release().unwrap();
        assert_eq!(contents(&*file), contents(&*filled(5_000)));
    }
}
