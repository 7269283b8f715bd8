//! A file to import: its content's hash, and its bytes as often as they are needed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::AT_ANOTHER;

/// Bytes read at once.
pub const CHUNK: usize = 64 << 10;

/// What is sent, kept open so that all tries send the same bytes.
#[derive(Clone, Debug)]
pub struct Source {
    file: Arc<File>,
    size: u64,
    hash: blake3::Hash,
    /// It was read from a pipe or the like.
    is_kept: bool,
}

impl Source {
    /// # Errors
    /// When it cannot be read.
    pub fn of_file(path: &Path) -> io::Result<Source> {
        let mut file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Source::of_reader(file);
        }
        let (size, hash) = copied(&mut file, &mut io::sink())?;
        Ok(Source { file: Arc::new(file), size, hash, is_kept: false })
    }

    /// Keeps what can be read only once in a file without a name.
    ///
    /// # Errors
    /// When it cannot be read or kept.
    pub fn of_reader(mut reader: impl Read) -> io::Result<Source> {
        let path = std::env::temp_dir().join(format!("stockade-import-{}", uuid::Uuid::new_v4()));
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        let (size, hash) = copied(&mut reader, &mut file)?;
        Ok(Source { file: Arc::new(file), size, hash, is_kept: true })
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// The same content has the same key.
    pub fn key(&self) -> String {
        format!("import-{}", &self.hash.to_hex()[..32])
    }

    /// How to go on by hand; `options` say which key and which node.
    pub fn hint(&self, options: &str) -> String {
        let which = if self.is_kept { "the same input" } else { "the same file" };
        format!(
            "Run it again with {which} and\n  {options}\nWhat was applied there is skipped; {AT_ANOTHER}."
        )
    }

    /// The bytes from `offset` on, at most [`CHUNK`]; none at the end of what was hashed.
    ///
    /// # Errors
    /// When it cannot be read, or has become shorter.
    pub fn chunk(&self, offset: u64) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(CHUNK);
        let mut chunk = vec![0; left.min(CHUNK)];
        self.file.read_exact_at(&mut chunk, offset)?;
        Ok(chunk)
    }
}

fn copied(from: &mut impl Read, to: &mut impl Write) -> io::Result<(u64, blake3::Hash)> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; CHUNK];
    let mut size = 0u64;
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok((size, hasher.finalize())),
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        hasher.update(&buffer[..count]);
        to.write_all(&buffer[..count])?;
        size += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_and_a_file_of_the_same_content_have_the_same_key_and_bytes() {
        let content: Vec<u8> = (0..CHUNK * 2 + 5).map(|i| i as u8).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, &content).unwrap();
        let (file, pipe) = (Source::of_file(&path).unwrap(), Source::of_reader(content.as_slice()).unwrap());
        assert_eq!(file.key(), pipe.key());
        assert!(crate::types::id::check_code(&file.key()).is_ok(), "{}", file.key());
        for source in [file, pipe] {
            let mut bytes = Vec::new();
            while let chunk = source.chunk(bytes.len() as u64).unwrap()
                && !chunk.is_empty()
            {
                bytes.extend(chunk);
            }
            assert_eq!(bytes, content);
        }
    }

    #[test]
    fn a_named_pipe_is_read_once_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).unwrap();
        let content = vec![b'x'; CHUNK * 2 + 1];
        let writer = std::thread::spawn({
            let (path, content) = (path.clone(), content.clone());
            move || std::fs::write(path, content).unwrap()
        });
        let source = Source::of_file(&path).unwrap();
        writer.join().unwrap();
        assert_eq!(source.size(), content.len() as u64);
        for _ in 0..2 {
            assert_eq!(source.chunk(CHUNK as u64).unwrap(), content[CHUNK..CHUNK * 2]);
        }
    }

    #[test]
    fn a_file_that_becomes_shorter_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, "A,,1\nB,,1\n").unwrap();
        let source = Source::of_file(&path).unwrap();
        std::fs::write(&path, "A").unwrap();
        assert!(source.chunk(0).is_err());
    }
}
