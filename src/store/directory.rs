//! A store's directory: its lock, its names, and making changes to it durable.
//!
//! ```text
//! lock                            held by the process that has the store open
//! journal.redb                    super::journal
//! checkpoint-<batch>.ckpt         super::checkpoint; covers the batches up to that number
//! history.redb                    super::history
//! history.redb.aside-<n>          a history that could not be gone on with; for a look, then to be deleted
//! *.unfinished                    left by an interrupted write; removed at the next start
//! ```
//!
//! Directories that are made here may be entered by their owner alone, files read by it alone;
//! what is found more open than that is closed to others when the store is opened.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{BatchNumber, StoreError};

const LOCK: &str = "lock";
const JOURNAL: &str = "journal.redb";
const HISTORY: &str = "history.redb";
const UNFINISHED: &str = ".unfinished";

/// Held for as long as a store is open.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Option<File>,
}

impl Lock {
    /// Locks `dir` for a process that will write there.
    pub fn exclusive(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(LOCK);
        let file =
            new_file().truncate(false).create(true).open(&path).map_err(io_at(&path, "cannot open"))?;
        Self::take(dir, file)
    }

    /// Locks `dir` without writing to it. Where there is no lock file, no process ever opened it.
    pub fn reading(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(LOCK);
        match File::open(&path) {
            Ok(file) => Self::take(dir, file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self { _file: None }),
            Err(error) => Err(io_at(&path, "cannot open")(error)),
        }
    }

    fn take(dir: &Path, file: File) -> Result<Self, StoreError> {
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: dir.into() }),
            Err(TryLockError::Error(error)) => Err(io_at(&dir.join(LOCK), "cannot lock")(error)),
        }
    }
}

pub fn journal_path(dir: &Path) -> PathBuf {
    dir.join(JOURNAL)
}

pub(super) fn history_path(dir: &Path) -> PathBuf {
    dir.join(HISTORY)
}

/// Renames the file at `path` to a name that is free.
pub(super) fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    for n in 1u32.. {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".aside-{n}"));
        let aside = PathBuf::from(name);
        if !aside.exists() {
            fs::rename(path, &aside).map_err(io_at(path, "cannot rename"))?;
            return Ok(aside);
        }
    }
    unreachable!("one of 2^32 names is free")
}

/// The name under which the file at `path` is written before it is whole.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}

pub(super) fn checkpoint_path(dir: &Path, covers: BatchNumber) -> PathBuf {
    dir.join(format!("checkpoint-{:020}.ckpt", covers.0))
}

/// A checkpoint's file, as the directory lists it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CheckpointFile {
    pub covers: BatchNumber,
    pub bytes: u64,
}

/// All checkpoints in `dir` under their final names, oldest first.
pub(super) fn checkpoints(dir: &Path) -> Result<Vec<CheckpointFile>, StoreError> {
    let failed = io_at(dir, "cannot list");
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        if let Some(covers) = entry.file_name().to_str().and_then(covered) {
            found.push(CheckpointFile { covers, bytes: entry.metadata().map_err(&failed)?.len() });
        }
    }
    found.sort();
    Ok(found)
}

fn covered(name: &str) -> Option<BatchNumber> {
    let digits = name.strip_prefix("checkpoint-")?.strip_suffix(".ckpt")?;
    let canonical = digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit());
    if canonical { digits.parse().ok().map(BatchNumber) } else { None }
}

/// Removes what an interrupted write left.
pub(super) fn remove_unfinished(dir: &Path) -> Result<(), StoreError> {
    let failed = io_at(dir, "cannot remove unfinished files from");
    for entry in fs::read_dir(dir).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        if entry.file_name().to_str().is_some_and(|name| name.ends_with(UNFINISHED)) {
            fs::remove_file(entry.path()).map_err(&failed)?;
        }
    }
    Ok(())
}

/// Takes everybody's permissions on `dir` and the store's files away, but the owner's. What
/// cannot be changed (another user owns it) stays, and is returned.
pub(super) fn close_to_others(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let failed = io_at(dir, "cannot list");
    let mut open = Vec::new();
    let mut close = |path: &Path| {
        if !is_private(path) && !make_private(path) {
            open.push(path.to_path_buf());
        }
    };
    close(dir);
    for entry in fs::read_dir(dir).map_err(&failed)? {
        let entry = entry.map_err(&failed)?;
        if entry.file_name().to_str().is_some_and(is_ours) {
            close(&entry.path());
        }
    }
    Ok(open)
}

fn is_ours(name: &str) -> bool {
    name == LOCK
        || name == JOURNAL
        || name.starts_with(HISTORY)
        || name.ends_with(UNFINISHED)
        || covered(name).is_some()
}

fn is_private(path: &Path) -> bool {
    fs::symlink_metadata(path)
        .is_ok_and(|found| found.is_symlink() || found.permissions().mode() & 0o077 == 0)
}

fn make_private(path: &Path) -> bool {
    let close = |found: fs::Metadata| {
        let mut permissions = found.permissions();
        permissions.set_mode(permissions.mode() & 0o700);
        fs::set_permissions(path, permissions)
    };
    fs::metadata(path).and_then(close).is_ok()
}

/// Makes `dir`, and what is missing above it, unless it is there.
pub(super) fn make(dir: &Path) -> Result<(), StoreError> {
    let failed = io_at(dir, "cannot make the directory");
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(&failed)?;
    match dir.parent() {
        Some(above) if above != Path::new("") => sync(above),
        _ => sync(Path::new(".")),
    }
}

/// Makes names in `dir` durable.
pub(super) fn sync(dir: &Path) -> Result<(), StoreError> {
    let synced = File::open(dir).and_then(|file| file.sync_all());
    synced.map_err(io_at(dir, "cannot sync the directory"))
}

/// For files that only their owner may read.
pub(super) fn new_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// Makes sure that what is read from `file` is on the disk, and not only in memory.
///
/// The schedule against which this is:
///
/// 1. An append fails because a sync failed; the node exits.
/// 2. The kernel keeps the pages in its cache and calls them clean.
/// 3. The node starts, reads the batch from the cache and builds on it.
/// 4. Power fails, and the batch is not there.
///
/// Without its cached pages, the file is read as the disk has it.
pub(super) fn reread_from_disk(file: &File) -> io::Result<()> {
    file.sync_all()?;
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

/// Bytes that this process may still write on the disk of `dir`.
pub(super) fn free_bytes(dir: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(dir)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

pub(super) fn io_at(path: &Path, what: &'static str) -> impl Fn(io::Error) -> StoreError + use<> {
    let path = path.to_path_buf();
    move |source| StoreError::Io { path: path.clone(), what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_others_may_read_is_closed_to_them() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("data");
        fs::create_dir(&home).unwrap();
        let checkpoint = checkpoint_path(&home, BatchNumber(7));
        let files = [journal_path(&home), checkpoint.clone(), unfinished(&checkpoint), home.join(LOCK)];
        for path in &files {
            fs::write(path, "x").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        let other = home.join("notes.txt");
        fs::write(&other, "x").unwrap();
        fs::set_permissions(&other, fs::Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();

        assert_eq!(close_to_others(&home).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(mode(&home), 0o700);
        assert!(files.iter().all(|path| mode(path) == 0o600));
        assert_eq!(mode(&other), 0o644);
    }
}
