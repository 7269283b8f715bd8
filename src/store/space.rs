//! Refuses to write while the disk still has room, so that it never runs out in mid-write.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::StoreError;
use super::directory;

/// The disk is asked again after this many appends, or this many bytes. A commit writes some
/// pages besides its body, so between two askings some megabytes may go: much less than any
/// sensible headroom.
const ASK_EVERY_APPENDS: u32 = 64;
const ASK_EVERY_BYTES: u64 = 1 << 20;

/// Tells how many bytes are free on a store's disk.
#[derive(Clone)]
pub(super) struct FreeSpace(Arc<dyn Fn() -> io::Result<u64> + Send + Sync>);

impl FreeSpace {
    pub fn of(dir: &Path) -> Self {
        let dir = dir.to_path_buf();
        Self::new(move || directory::free_bytes(&dir))
    }

    pub fn new(ask: impl Fn() -> io::Result<u64> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }

    pub fn bytes(&self) -> io::Result<u64> {
        (self.0)()
    }

    /// The refusal when `free` bytes are fewer than `needed`.
    pub fn full(&self, dir: &Path, free: u64, needed: u64) -> StoreError {
        StoreError::Full { path: dir.into(), free, needed }
    }
}

impl std::fmt::Debug for FreeSpace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FreeSpace")
    }
}

/// Admits appends while enough space is left beyond the headroom.
#[derive(Debug)]
pub(super) struct Headroom {
    dir: PathBuf,
    needed: u64,
    free: FreeSpace,
    appends_left: u32,
    bytes_left: u64,
}

impl Headroom {
    pub fn new(dir: &Path, needed: u64, free: FreeSpace) -> Self {
        Self { dir: dir.into(), needed, free, appends_left: 0, bytes_left: 0 }
    }

    /// The disk is asked before the next append.
    pub fn set_needed(&mut self, needed: u64) {
        (self.needed, self.appends_left, self.bytes_left) = (needed, 0, 0);
    }

    /// Whether a body of this length may be appended. After a refusal the disk is asked each time.
    pub fn admit(&mut self, length: u64) -> Result<(), StoreError> {
        if self.appends_left == 0 || self.bytes_left < length {
            (self.appends_left, self.bytes_left) = (0, 0);
            // The engine rounds a value up to a power of two.
            let needed = self.needed.saturating_add(length.saturating_mul(2));
            let free =
                self.free.bytes().map_err(directory::io_at(&self.dir, "cannot tell the free space"))?;
            if free < needed {
                return Err(self.free.full(&self.dir, free, needed));
            }
            (self.appends_left, self.bytes_left) = (ASK_EVERY_APPENDS, ASK_EVERY_BYTES.max(length));
        }
        self.appends_left -= 1;
        self.bytes_left -= length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn the_disk_is_asked_seldom_but_after_a_refusal_each_time() {
        let asked = Arc::new(AtomicU64::new(0));
        let free = Arc::new(AtomicU64::new(1_000));
        let ask = {
            let (asked, free) = (asked.clone(), free.clone());
            move || {
                asked.fetch_add(1, Ordering::Relaxed);
                Ok(free.load(Ordering::Relaxed))
            }
        };
        let mut headroom = Headroom::new(Path::new("x"), 500, FreeSpace::new(ask));
        for _ in 0..ASK_EVERY_APPENDS {
            headroom.admit(10).unwrap();
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        free.store(519, Ordering::Relaxed);
        for _ in 0..3 {
            assert!(matches!(headroom.admit(10), Err(StoreError::Full { free: 519, needed: 520, .. })));
        }
        assert_eq!(asked.load(Ordering::Relaxed), 4);
        free.store(520, Ordering::Relaxed);
        headroom.admit(10).unwrap();
        headroom.set_needed(501);
        assert!(matches!(headroom.admit(10), Err(StoreError::Full { needed: 521, .. })));
    }
}
