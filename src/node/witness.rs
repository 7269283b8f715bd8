//! The witness: a small file outside the data directory that says how far the journal got.
//!
//! It lies on tmpfs and is written, never synced, after each batch is durable and before anything
//! that rests on it is let out. So it outlives the process, also one that is killed, and goes with
//! the machine's run; then it proves nothing. What it says of a journal is judged in the core, by
//! [`judge`].
//!
//! The file is two slots of one length, written in turn: a write that is cut short leaves the other.
//! Each bears a count, which tells the newer, and a checksum. While a node runs it holds a lock on the
//! file, so a second copy of it on the same machine does not start.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use tracing::info;
use uuid::Uuid;

use crate::replica::{Evidence, FileId, Note, judge};
use crate::store::{BatchNumber, Head};
use crate::types::Seq;

const FORMAT: &[u8; 8] = b"stkdwit1";
const SLOT: usize = 128;
/// Where the checksum is.
const SUM: usize = SLOT - 4;
/// Where the process that holds the lock says who it is.
const PID: u64 = 2 * SLOT as u64;
/// What the kernel calls the file system.
const TMPFS: u64 = 0x0102_1994;
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    #[error("{path} is locked by process {pid}, which runs a copy of this node; stop one of the two")]
    Taken { path: PathBuf, pid: u32 },
    #[error("{path}: {what}: {error}; set node.witness_dir to a directory on tmpfs that this node may write")]
    Io { path: PathBuf, what: &'static str, error: io::Error },
    #[error(
        "{path} is not a directory of this user that nobody else may write; \
         set node.witness_dir to another, or to a new one inside it"
    )]
    Foreign { path: PathBuf },
}

/// How far a journal is durable: a batch, and what its witness notes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    pub batch: BatchNumber,
    /// The own log's end.
    pub sequence: Seq,
    /// The nonce of the own log's newest session.
    pub session: u64,
}

/// The file, open and locked.
#[derive(Debug)]
pub struct Witness {
    path: PathBuf,
    file: File,
    head: Head,
    boot: u128,
    journal: FileId,
    /// What the file said when it was opened.
    noted: Option<Note>,
    /// How far the journal is durable, whether or not that is noted.
    last: Option<Durable>,
    /// The disk is known to be the newest: every batch is noted.
    vouched: bool,
    writes: u64,
}

impl Witness {
    /// Opens the witness of a node's `journal` in `dir`, or makes one that has seen nothing.
    ///
    /// # Errors
    /// When it cannot be written, or a process that runs holds it.
    pub fn open(dir: &Path, head: &Head, journal: &Path) -> Result<Witness, WitnessError> {
        make_private(dir)?;
        let path = dir.join(format!("{}-{}.witness", head.cluster, head.replica));
        let failed = |what| io_at(&path, what);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(failed("cannot open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = [0; 4];
                file.read_exact_at(&mut pid, PID).map_err(failed("is locked, and cannot be read"))?;
                return Err(WitnessError::Taken { path, pid: u32::from_le_bytes(pid) });
            }
            Err(TryLockError::Error(error)) => return Err(failed("cannot lock")(error)),
        }
        file.write_all_at(&std::process::id().to_le_bytes(), PID).map_err(failed("cannot write"))?;
        // A file that was just made is all zeros before that.
        let mut slots = [0; 2 * SLOT];
        file.read_exact_at(&mut slots, 0).map_err(failed("cannot read"))?;
        let newest = newest(&slots, head);
        Ok(Witness {
            journal: file_id(journal).map_err(io_at(journal, "cannot look at it"))?,
            path,
            file,
            head: head.clone(),
            boot: boot_id(),
            noted: newest.map(|(_, note)| note),
            last: None,
            vouched: false,
            writes: newest.map_or(0, |(writes, _)| writes),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Holds the journal as it was found against what is noted.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn confront(&mut self, found: Durable) -> Result<Evidence, WitnessError> {
        let evidence = judge(self.noted.as_ref(), &self.note_of(found));
        match &evidence {
            Evidence::Proven => {
                let shown = self.path.display();
                info!(batch = found.batch.0, "the witness {shown} proves that the journal is the newest");
                self.vouched = true;
            }
            Evidence::Unproven(_) => {
                if let Some(noted) = self.noted {
                    self.write(&Note { vouched: false, ..noted })?;
                }
            }
            Evidence::Behind(_) => return Ok(evidence),
        }
        self.last = Some(found);
        Ok(evidence)
    }

    /// Notes a journal that was just prepared, so that its first start is proven.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn saw_prepared(&mut self) -> Result<(), WitnessError> {
        self.write(&self.note_of(Durable { batch: BatchNumber(1), sequence: Seq::ZERO, session: 0 }))
    }

    /// A batch is durable.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note(&mut self, durable: Durable) -> Result<(), WitnessError> {
        self.last = Some(durable);
        if self.vouched { self.write(&self.note_of(durable)) } else { Ok(()) }
    }

    /// The disk is known to be the newest from now on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn vouch(&mut self) -> Result<(), WitnessError> {
        let was_vouched = std::mem::replace(&mut self.vouched, true);
        match self.last {
            Some(last) if !was_vouched => self.write(&self.note_of(last)),
            _ => Ok(()),
        }
    }

    /// The disk was found to be an old one after all: what was noted of it must not prove it to the
    /// next start.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn disown(&mut self) -> Result<(), WitnessError> {
        let was_vouched = std::mem::replace(&mut self.vouched, false);
        match self.last {
            Some(last) if was_vouched => self.write(&Note { vouched: false, ..self.note_of(last) }),
            _ => Ok(()),
        }
    }

    fn note_of(&self, durable: Durable) -> Note {
        let Durable { batch, sequence, session } = durable;
        Note { boot: self.boot, file: self.journal, batch: batch.0, sequence, session, vouched: true }
    }

    fn write(&mut self, note: &Note) -> Result<(), WitnessError> {
        self.writes += 1;
        let slot = encode(&self.head, self.writes, note);
        let place = (self.writes % 2) * SLOT as u64;
        self.file.write_all_at(&slot, place).map_err(io_at(&self.path, "cannot write"))
    }
}

/// Where witnesses are kept unless node.witness_dir says otherwise: in the first of these that is
/// on tmpfs and this user's own. In a container `/run` is often part of its disk. Nothing of the
/// environment decides, or one node would have several witnesses, of which one knows less than the
/// other; and what belongs to a login goes with it.
///
/// `None`: there is no such place, and no start can be proven.
///
/// # Errors
/// When somebody else has made the directory.
pub fn default_dir() -> Result<Option<PathBuf>, WitnessError> {
    let usual = PathBuf::from("/run/stockade");
    let may_write = || rustix::fs::access(&usual, rustix::fs::Access::WRITE_OK).is_ok();
    if is_on_tmpfs(&usual) && make_private(&usual).is_ok() && may_write() {
        return Ok(Some(usual));
    }
    let of_user = PathBuf::from(format!("/dev/shm/stockade-{}", rustix::process::geteuid().as_raw()));
    if !is_on_tmpfs(&of_user) {
        return Ok(None);
    }
    match make_private(&of_user) {
        Ok(()) => Ok(Some(of_user)),
        Err(WitnessError::Io { .. }) => Ok(None),
        Err(foreign) => Err(foreign),
    }
}

/// Whether a directory, which need not be there yet, is gone when the machine starts anew.
fn is_on_tmpfs(dir: &Path) -> bool {
    let found = dir.ancestors().find_map(|place| rustix::fs::statfs(place).ok());
    found.is_some_and(|found| found.f_type as u64 == TMPFS)
}

/// Makes the directory, unless it is there and nobody else's.
fn make_private(dir: &Path) -> Result<(), WitnessError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(io_at(dir, "cannot make the directory"))?;
    let found = fs::symlink_metadata(dir).map_err(io_at(dir, "cannot look at it"))?;
    let is_own = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw();
    // Nobody else may put a file there, or take one away.
    if is_own && found.permissions().mode() & 0o022 == 0 {
        Ok(())
    } else {
        Err(WitnessError::Foreign { path: dir.to_path_buf() })
    }
}

fn io_at(path: &Path, what: &'static str) -> impl Fn(io::Error) -> WitnessError + use<> {
    let path = path.to_path_buf();
    move |error| WitnessError::Io { path: path.clone(), what, error }
}

fn boot_id() -> u128 {
    let text = fs::read_to_string(BOOT_ID).unwrap_or_default();
    Uuid::parse_str(text.trim()).map_or(0, |id| id.as_u128())
}

fn file_id(path: &Path) -> io::Result<FileId> {
    let found = fs::metadata(path)?;
    let born = found.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    let born = born.and_then(|since| u64::try_from(since.as_nanos()).ok()).unwrap_or(0);
    Ok(FileId { inode: found.ino(), born })
}

fn encode(head: &Head, writes: u64, note: &Note) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    let mut at = 0;
    let mut put = |bytes: &[u8]| {
        slot[at..at + bytes.len()].copy_from_slice(bytes);
        at += bytes.len();
    };
    put(FORMAT);
    put(head.cluster.0.as_bytes());
    put(head.replica.0.as_bytes());
    put(&writes.to_le_bytes());
    put(&note.boot.to_le_bytes());
    let numbers =
        [note.file.inode, note.file.born, note.batch, note.sequence.0, note.session, u64::from(note.vouched)];
    numbers.iter().for_each(|number| put(&number.to_le_bytes()));
    let sum = crc32c::crc32c(&slot[..SUM]);
    slot[SUM..].copy_from_slice(&sum.to_le_bytes());
    slot
}

/// A slot's count and note; `None`: it is not whole, or of another node or format.
fn decode(slot: &[u8], head: &Head) -> Option<(u64, Note)> {
    let (body, sum) = slot.split_at_checked(SUM)?;
    let rest = body.strip_prefix(FORMAT)?;
    let rest = rest.strip_prefix(head.cluster.0.as_bytes().as_slice())?;
    let rest = rest.strip_prefix(head.replica.0.as_bytes().as_slice())?;
    if crc32c::crc32c(body).to_le_bytes() != sum {
        return None;
    }
    let (writes, rest) = rest.split_first_chunk::<8>()?;
    let (boot, rest) = rest.split_first_chunk::<16>()?;
    let mut numbers = rest.chunks_exact(8).filter_map(|chunk| chunk.try_into().ok().map(u64::from_le_bytes));
    let mut next = || numbers.next();
    let note = Note {
        boot: u128::from_le_bytes(*boot),
        file: FileId { inode: next()?, born: next()? },
        batch: next()?,
        sequence: Seq(next()?),
        session: next()?,
        vouched: next()? == 1,
    };
    Some((u64::from_le_bytes(*writes), note))
}

fn newest(slots: &[u8], head: &Head) -> Option<(u64, Note)> {
    slots.chunks_exact(SLOT).filter_map(|slot| decode(slot, head)).max_by_key(|(writes, _)| *writes)
}

#[cfg(test)]
mod tests {
    use crate::types::{ClusterId, NodeName, ReplicaId};

    use super::*;

    struct Bench {
        dir: tempfile::TempDir,
        head: Head,
    }

    fn durable(batch: u64) -> Durable {
        Durable { batch: BatchNumber(batch), sequence: Seq(batch / 2), session: 77 }
    }

    impl Bench {
        fn new() -> Bench {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("journal"), "x").unwrap();
            let (cluster, replica) = (ClusterId(Uuid::from_u128(1)), ReplicaId(Uuid::from_u128(2)));
            Bench { dir, head: Head { cluster, node: NodeName::new("eu-1").unwrap(), replica } }
        }

        fn try_open(&self) -> Result<Witness, WitnessError> {
            let dir = self.dir.path();
            Witness::open(&dir.join("witness"), &self.head, &dir.join("journal"))
        }

        fn open(&self) -> Witness {
            self.try_open().unwrap()
        }

        fn evidence(&self, batch: u64) -> Evidence {
            self.open().confront(durable(batch)).unwrap()
        }

        fn is_unproven(&self, batch: u64) -> bool {
            matches!(self.evidence(batch), Evidence::Unproven(_))
        }

        fn file(&self) -> PathBuf {
            let mut files = fs::read_dir(self.dir.path().join("witness")).unwrap();
            files.next().unwrap().unwrap().path()
        }

        /// A node runs from batch `from` to `to`, and is killed.
        fn run(&self, from: u64, to: u64) {
            let mut witness = self.open();
            witness.confront(durable(from)).unwrap();
            witness.vouch().unwrap();
            (from..=to).for_each(|batch| witness.note(durable(batch)).unwrap());
        }
    }

    #[test]
    fn what_was_noted_outlives_the_process() {
        let bench = Bench::new();
        assert!(bench.is_unproven(1));
        bench.run(1, 20);
        assert_eq!(bench.evidence(20), Evidence::Proven);
        assert_eq!(bench.evidence(21), Evidence::Proven);
        assert!(matches!(bench.evidence(19), Evidence::Behind(_)));
    }

    #[test]
    fn an_unproven_start_is_none_for_the_next_one_until_it_was_vouched_for() {
        let bench = Bench::new();
        bench.run(1, 20);
        assert!(bench.is_unproven(30));
        assert!(bench.is_unproven(20), "the note lost its word");
        let mut witness = bench.open();
        witness.confront(durable(20)).unwrap();
        witness.note(durable(25)).unwrap();
        drop(witness);
        assert!(bench.is_unproven(25));
        bench.run(25, 26);
        assert_eq!(bench.evidence(26), Evidence::Proven);
    }

    /// A peer may find an old disk out when it is ready already.
    #[test]
    fn what_was_noted_of_an_old_disk_does_not_prove_it() {
        let bench = Bench::new();
        let mut witness = bench.open();
        witness.confront(durable(1)).unwrap();
        witness.vouch().unwrap();
        witness.note(durable(20)).unwrap();
        witness.disown().unwrap();
        witness.note(durable(21)).unwrap();
        drop(witness);
        assert!(bench.is_unproven(20) && bench.is_unproven(21));
        assert!(matches!(bench.evidence(19), Evidence::Behind(_)));
    }

    #[test]
    fn a_copy_of_the_journal_is_another_file() {
        let bench = Bench::new();
        bench.run(1, 20);
        let journal = bench.dir.path().join("journal");
        fs::copy(&journal, bench.dir.path().join("copy")).unwrap();
        fs::rename(bench.dir.path().join("copy"), &journal).unwrap();
        let Evidence::Unproven(why) = bench.evidence(20) else { panic!("taken for the same") };
        assert!(why.contains("another file"), "{why}");
        assert!(matches!(bench.evidence(19), Evidence::Behind(_)));
    }

    /// Whatever a torn write leaves of one slot, the other one speaks.
    #[test]
    fn a_torn_write_leaves_the_note_before() {
        let bench = Bench::new();
        bench.run(1, 20);
        let whole = fs::read(bench.file()).unwrap();
        let [first, second] = [0, 1].map(|n| decode(&whole[n * SLOT..(n + 1) * SLOT], &bench.head).unwrap());
        let newer = if first.0 > second.0 { 0 } else { SLOT };
        for length in 1..SLOT {
            let mut torn = whole.clone();
            torn[newer..newer + length].fill(0x5a);
            let (_, note) = newest(&torn[..2 * SLOT], &bench.head).unwrap();
            assert_eq!(note.batch, 19, "{length} bytes");
        }
    }

    #[test]
    fn a_second_process_is_told_who_runs() {
        let bench = Bench::new();
        let _running = bench.open();
        let Err(error) = bench.try_open() else { panic!("two at once") };
        assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    }

    #[test]
    fn tmpfs_is_told_from_other_file_systems() {
        let mounts = fs::read_to_string("/proc/mounts").unwrap();
        let has_tmpfs = mounts.lines().any(|line| line.contains(" /dev/shm tmpfs "));
        assert_eq!(is_on_tmpfs(Path::new("/dev/shm/not-there/yet")), has_tmpfs);
        assert!(!is_on_tmpfs(Path::new("/proc/not-there")));
    }

    #[test]
    fn a_directory_that_others_may_write_is_not_trusted() {
        let bench = Bench::new();
        let dir = bench.dir.path().join("witness");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(bench.try_open(), Err(WitnessError::Foreign { .. })));
    }
}
