//! Checkpoints in files of their own: written beside the appends, verified as a whole.
//!
//! ```text
//! header   magic "STKDCKPT" | format u32 | length u16 | head | covers u64 | checksum of that batch u32 | crc32c u32
//! chunk    length u32 | index u32, from 0 | crc32c of both and the body u32 | body
//! end      2^32-1 u32 | number of chunks u32 | bytes of all bodies u64 | crc32c of header and all chunks' u32 | crc32c u32
//! ```
//!
//! A file is written under another name, synced, and then renamed, so that one under its final
//! name is whole unless the disk damaged it. Two are kept, and the journal keeps what follows the
//! older one: damage to the newest loses nothing.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::directory::{self, CheckpointFile};
use super::frame::{self, BadFrame, FORMAT, Link, Pieces};
use super::redb::Failure;
use super::space::FreeSpace;
use super::{BatchNumber, CheckpointWriter, FinishedCheckpoint, Head, MAX_BODY_BYTES, StoreError};

/// Checkpoints that are kept.
pub(super) const KEPT: usize = 2;

const MAGIC: &[u8; 8] = b"STKDCKPT";
const END: u32 = u32::MAX;
const CHUNK_HEADER_BYTES: usize = 12;
const END_BYTES: usize = 24;
/// A checkpoint is written in pieces of this size, each synced before the next. The kernel would
/// otherwise gather all of it and write it out in one go, with the journal's next sync waiting
/// behind; so it waits for one piece at most.
const PIECE_BYTES: usize = 128 << 10;
/// After each piece the writer rests this many times as long as the piece took, so that appends
/// have most of the disk: a checkpoint is never urgent.
const REST: u32 = 2;
const LONGEST_REST: Duration = Duration::from_millis(20);

const _: () = assert!((MAX_BODY_BYTES as u64) < END as u64);

/// Whose checkpoint it is, and what it covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub head: Head,
    pub covers: Link,
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let head = frame::encode_head(&self.head);
        let length = u16::try_from(head.len()).expect("a head is about a hundred bytes");
        let mut bytes = Vec::new();
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&self.covers.number.0.to_le_bytes());
        bytes.extend_from_slice(&self.covers.checksum.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }
}

fn chunk_header(index: u32, body: &[u8]) -> [u8; CHUNK_HEADER_BYTES] {
    let length = u32::try_from(body.len()).expect("the caller bounds bodies");
    let mut header = [0; CHUNK_HEADER_BYTES];
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..8].copy_from_slice(&index.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&header[..8]), body);
    header[8..].copy_from_slice(&checksum.to_le_bytes());
    header
}

/// What all chunks so far add up to; goes into the end record.
#[derive(Debug, Default)]
struct Sum {
    chunks: u32,
    bytes: u64,
    checksum: u32,
}

impl Sum {
    fn of(header: &[u8]) -> Self {
        Self { checksum: crc32c::crc32c(header), ..Self::default() }
    }

    fn add(&mut self, header: &[u8; CHUNK_HEADER_BYTES], body: &[u8]) {
        self.chunks += 1;
        self.bytes += body.len() as u64;
        self.checksum = crc32c::crc32c_append(self.checksum, &header[8..]);
    }

    fn end(&self) -> [u8; END_BYTES] {
        let mut end = [0; END_BYTES];
        end[..4].copy_from_slice(&END.to_le_bytes());
        end[4..8].copy_from_slice(&self.chunks.to_le_bytes());
        end[8..16].copy_from_slice(&self.bytes.to_le_bytes());
        end[16..20].copy_from_slice(&self.checksum.to_le_bytes());
        let checksum = crc32c::crc32c(&end[..20]);
        end[20..].copy_from_slice(&checksum.to_le_bytes());
        end
    }
}

/// The whole checkpoints on the disk, oldest first: what a store and its writers agree on, so that
/// of two writers neither removes what the other has just finished.
#[derive(Clone, Debug, Default)]
pub(super) struct WholeFiles(Arc<Mutex<Vec<CheckpointFile>>>);

impl WholeFiles {
    pub fn lock(&self) -> MutexGuard<'_, Vec<CheckpointFile>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes one checkpoint. Removes its unfinished file when dropped early.
#[derive(Debug)]
pub(super) struct Writer {
    dir: PathBuf,
    path: PathBuf,
    unfinished: PathBuf,
    file: File,
    buffer: Vec<u8>,
    written: u64,
    sum: Sum,
    covers: BatchNumber,
    whole: WholeFiles,
    needed: u64,
    free: FreeSpace,
    failure: Arc<Failure>,
    finished: bool,
}

/// What a [`Writer`] works with.
#[derive(Debug)]
pub(super) struct Task {
    pub dir: PathBuf,
    pub header: Header,
    /// Distinguishes this writer's file from those of earlier ones that may still be at work.
    pub attempt: u64,
    pub whole: WholeFiles,
    /// Bytes that must stay free on the disk.
    pub needed: u64,
    pub free: FreeSpace,
    pub failure: Arc<Failure>,
}

impl Writer {
    pub fn begin(task: Task) -> Result<Self, StoreError> {
        let covers = task.header.covers.number;
        let path = directory::checkpoint_path(&task.dir, covers);
        let unfinished = directory::unfinished(&path.with_extension(task.attempt.to_string()));
        let file = directory::new_file().create(true).truncate(true).open(&unfinished);
        let header = task.header.encode();
        Ok(Self {
            file: file.map_err(directory::io_at(&unfinished, "cannot create"))?,
            path,
            unfinished,
            dir: task.dir,
            written: 0,
            sum: Sum::of(&header),
            buffer: header,
            covers,
            whole: task.whole,
            needed: task.needed,
            free: task.free,
            failure: task.failure,
            finished: false,
        })
    }

    fn add(&mut self, body: &[u8]) -> Result<(), StoreError> {
        if body.len() > MAX_BODY_BYTES || self.sum.chunks == u32::MAX - 1 {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "too long, or too many");
            return Err(self.failed("cannot take the chunk")(source));
        }
        let header = chunk_header(self.sum.chunks, body);
        self.sum.add(&header, body);
        self.put(&header)?;
        self.put(body)
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        while self.buffer.len() + bytes.len() >= PIECE_BYTES {
            let (front, rest) = bytes.split_at(PIECE_BYTES.saturating_sub(self.buffer.len()));
            self.buffer.extend_from_slice(front);
            bytes = rest;
            let begun = Instant::now();
            self.write_piece()?;
            std::thread::sleep((begun.elapsed() * REST).min(LONGEST_REST));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn write_piece(&mut self) -> Result<(), StoreError> {
        self.check_space()?;
        self.file.write_all(&self.buffer).map_err(self.failed("cannot write"))?;
        self.file.sync_data().map_err(self.failed("cannot sync"))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn check_space(&self) -> Result<(), StoreError> {
        let free = self.free.bytes().map_err(self.failed("cannot tell the free space of"))?;
        if free >= self.needed { Ok(()) } else { Err(self.free.full(&self.dir, free, self.needed)) }
    }

    fn complete(&mut self) -> Result<(), StoreError> {
        let end = self.sum.end();
        self.put(&end)?;
        self.write_piece()?;
        self.file.sync_all().map_err(self.failed("cannot sync"))?;
        let whole = self.whole.clone();
        let mut whole = whole.lock();
        fs::rename(&self.unfinished, &self.path).map_err(self.failed("cannot rename"))?;
        self.finished = true;
        directory::sync(&self.dir)?;
        whole.retain(|other| other.covers != self.covers);
        whole.push(CheckpointFile { covers: self.covers, bytes: self.written });
        whole.sort();
        let surplus = whole.len().saturating_sub(KEPT);
        whole.drain(..surplus);
        self.remove_all_but(&whole)
    }

    /// Removes superseded checkpoints and damaged ones. Here and not at `adopt`, because freeing a
    /// large file takes a while. Should this one never be adopted, nothing is lost: it is whole, and
    /// the journal still has what follows the older one.
    fn remove_all_but(&self, whole: &[CheckpointFile]) -> Result<(), StoreError> {
        for other in directory::checkpoints(&self.dir)? {
            if !whole.iter().any(|kept| kept.covers == other.covers) {
                let path = directory::checkpoint_path(&self.dir, other.covers);
                fs::remove_file(&path).map_err(directory::io_at(&path, "cannot remove"))?;
            }
        }
        Ok(())
    }

    fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> StoreError + use<> {
        directory::io_at(&self.unfinished, what)
    }

    /// Makes an error final for the store too, unless it is a refusal.
    fn watched<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        outcome.inspect_err(|error| self.failure.note(error))
    }
}

impl CheckpointWriter for Writer {
    fn chunk(&mut self, body: &[u8]) -> Result<(), StoreError> {
        self.failure.check()?;
        let outcome = self.add(body);
        self.watched(outcome)
    }

    fn finish(mut self: Box<Self>) -> Result<FinishedCheckpoint, StoreError> {
        self.failure.check()?;
        let outcome = self.complete();
        self.watched(outcome)?;
        Ok(FinishedCheckpoint { covers: self.covers, bytes: self.written })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing would use it, and the next start removes it too.
            let _ = fs::remove_file(&self.unfinished);
        }
    }
}

/// Reads the checkpoint at `path` and gives its chunks to `visit`, each verified. Only when this
/// returns is it known that none is missing.
pub(super) fn read(
    path: &Path,
    visit: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<Header, StoreError> {
    let file = File::open(path).map_err(directory::io_at(path, "cannot open"))?;
    let length = file.metadata().map_err(directory::io_at(path, "cannot read"))?.len();
    let reader = BufReader::with_capacity(PIECE_BYTES, file);
    Source { path, reader, left: length }.read(visit)
}

struct Source<'a, R> {
    path: &'a Path,
    reader: R,
    /// Bytes of the file not read yet: no length in the file may ask for more.
    left: u64,
}

impl<R: Read> Source<'_, R> {
    fn read(&mut self, visit: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>) -> Result<Header, StoreError> {
        let (header, bytes) = self.header()?;
        let mut sum = Sum::of(&bytes);
        let mut body = Vec::new();
        loop {
            let front: [u8; CHUNK_HEADER_BYTES] = self.array()?;
            let length = u32::from_le_bytes([front[0], front[1], front[2], front[3]]);
            if length == END {
                self.end(&front, &sum)?;
                return Ok(header);
            }
            if length as usize > MAX_BODY_BYTES || u64::from(length) > self.left {
                return Err(self.damaged(format!("chunk {} has no possible length", sum.chunks)));
            }
            body.resize(length as usize, 0);
            self.fill(&mut body)?;
            if front != chunk_header(sum.chunks, &body) {
                return Err(self.damaged(format!("chunk {} fails its checksum", sum.chunks)));
            }
            sum.add(&front, &body);
            visit(&body)?;
        }
    }

    fn header(&mut self) -> Result<(Header, Vec<u8>), StoreError> {
        let front: [u8; 14] = self.array()?;
        let mut pieces = Pieces(&front);
        if pieces.take(MAGIC.len()) != Some(MAGIC) {
            return Err(self.damaged("it does not begin as a checkpoint"));
        }
        let (format, length) = (pieces.u32(), pieces.u16().unwrap_or(0));
        let mut rest = vec![0; usize::from(length) + 16];
        self.fill(&mut rest)?;
        let all = [&front[..], &rest].concat();
        let (checked, checksum) = all.split_at(all.len() - 4);
        if crc32c::crc32c(checked).to_le_bytes() != checksum {
            return Err(self.damaged("its header fails its checksum"));
        }
        if format != Some(FORMAT) {
            return Err(BadFrame::Format(format.unwrap_or(0)).at(self.path));
        }
        let head = frame::decode_head(&rest[..length.into()]).map_err(|bad| bad.at(self.path))?;
        let mut pieces = Pieces(&rest[length.into()..]);
        let (Some(number), Some(checksum)) = (pieces.u64(), pieces.u32()) else {
            return Err(self.damaged("its header is too short"));
        };
        let covers = Link { number: BatchNumber(number), checksum };
        Ok((Header { head, covers }, all))
    }

    fn end(&mut self, front: &[u8; CHUNK_HEADER_BYTES], sum: &Sum) -> Result<(), StoreError> {
        let rest: [u8; END_BYTES - CHUNK_HEADER_BYTES] = self.array()?;
        if [&front[..], &rest].concat() != sum.end() {
            return Err(self.damaged("its end does not match its chunks"));
        }
        if self.left > 0 {
            return Err(self.damaged(format!("{} bytes follow its end", self.left)));
        }
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), StoreError> {
        match self.reader.read_exact(out) {
            Ok(()) => {
                self.left = self.left.saturating_sub(out.len() as u64);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.damaged("it ends too early"))
            }
            Err(error) => Err(directory::io_at(self.path, "cannot read")(error)),
        }
    }

    fn damaged(&self, what: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.path.into(), what: what.into() }
    }
}
