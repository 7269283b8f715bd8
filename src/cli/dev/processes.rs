//! The nodes' processes: started, watched, stopped.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::cli::cluster::{Cluster, NodeFiles};
use crate::cli::terminal::note;

/// How long a node may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(15);
/// How much of the end of a log is looked at, in bytes, and shown, in lines.
const TAIL_BYTES: u64 = 4_096;
const TAIL_LINES: usize = 5;

/// All nodes of a cluster. Dropped, they are killed.
pub struct Processes {
    /// `None`: its end could not be told.
    running: JoinSet<(usize, Option<ExitStatus>)>,
    nodes: Vec<Process>,
}

struct Process {
    name: String,
    config: PathBuf,
    log: PathBuf,
    pid: u32,
    has_ended: bool,
}

/// A node that ended by itself.
pub struct Ended {
    pub name: String,
    pub status: Option<ExitStatus>,
    pub log: PathBuf,
    /// The command that would start it again.
    pub restart: String,
}

impl Ended {
    /// How it ended, its last words and where to read on.
    pub fn story(&self) -> String {
        let mut story = format!("{}; its log is {}", super::status_words(self.status), self.log.display());
        for line in last_lines(&self.log).iter().filter(|line| is_complaint(line)) {
            story += &format!("\n  | {line}");
        }
        story
    }
}

/// Log lines of ordinary life say nothing of why a node ended; what is no log line may.
fn is_complaint(line: &str) -> bool {
    !line.starts_with('{') || line.contains(r#""level":"ERROR""#) || line.contains(r#""level":"WARN""#)
}

impl Processes {
    /// Starts every node. They end when the calling thread ends, however it ends.
    ///
    /// # Errors
    /// When one cannot be started; those started before it are killed.
    pub fn start(cluster: &Cluster) -> anyhow::Result<Processes> {
        let program = std::env::current_exe().context("cannot tell which program this is")?;
        let mut processes = Processes { running: JoinSet::new(), nodes: Vec::new() };
        for node in &cluster.nodes {
            let mut child = spawn(&program, node)?;
            let index = processes.nodes.len();
            processes.nodes.push(Process {
                name: node.config.node.name.to_string(),
                config: node.config.file.clone(),
                log: node.log.clone(),
                pid: child.id().unwrap_or_default(),
                has_ended: false,
            });
            processes.running.spawn(async move { (index, child.wait().await.ok()) });
        }
        Ok(processes)
    }

    /// Process ids in the order of the nodes.
    pub fn ids(&self) -> Vec<u32> {
        self.nodes.iter().map(|node| node.pid).collect()
    }

    pub fn all_ended(&self) -> bool {
        self.nodes.iter().all(|node| node.has_ended)
    }

    /// The next node to end. Never returns once all have.
    pub async fn next_end(&mut self) -> Ended {
        loop {
            match self.running.join_next().await {
                Some(Ok((index, status))) => return self.ended(index, status),
                Some(Err(_)) => {} // a watcher was dropped: nothing is known
                None => std::future::pending().await,
            }
        }
    }

    fn ended(&mut self, index: usize, status: Option<ExitStatus>) -> Ended {
        let node = &mut self.nodes[index];
        node.has_ended = true;
        let restart = serve_command(&node.config);
        Ended { name: node.name.clone(), status, log: node.log.clone(), restart }
    }

    /// Asks all to stop, waits, and kills those that do not.
    pub async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let all_end = async {
            while let Some(joined) = self.running.join_next().await {
                if let Ok((index, _)) = joined {
                    self.nodes[index].has_ended = true;
                }
            }
        };
        if tokio::time::timeout(STOP_WITHIN, all_end).await.is_err() {
            for node in self.nodes.iter().filter(|node| !node.has_ended) {
                let (name, limit) = (&node.name, STOP_WITHIN.as_secs());
                note(format_args!("{name} did not stop within {limit} s and is killed"));
            }
            self.signal(Signal::KILL);
        }
    }

    /// To those that have not been seen to end: an id may be another's once its process has.
    fn signal(&self, signal: Signal) {
        for node in self.nodes.iter().filter(|node| !node.has_ended) {
            let pid = i32::try_from(node.pid).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid {
                let _ = rustix::process::kill_process(pid, signal); // it may have ended meanwhile
            }
        }
    }
}

/// The command that runs a node by hand, with this very binary: it need not be on the PATH.
pub fn serve_command(config: &Path) -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("stockade"));
    command_line(&program, config)
}

fn command_line(program: &Path, config: &Path) -> String {
    format!("{} serve --config {}", quoted(program), quoted(config))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+,:@".contains(&b);
    if text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// In a process group of its own, so that Ctrl-C reaches it only through this process.
fn spawn(program: &Path, node: &NodeFiles) -> anyhow::Result<Child> {
    let name = &node.config.node.name;
    let log = open_log(&node.log)?;
    let errors = log.try_clone().with_context(|| format!("cannot use {}", node.log.display()))?;
    Command::new(program)
        .args(["serve", "--config"])
        .arg(&node.config.file)
        .args(["--exit-with-parent", &std::process::id().to_string()])
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {name}"))
}

fn open_log(path: &Path) -> anyhow::Result<File> {
    let opened = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    opened.with_context(|| format!("cannot write {}", path.display()))
}

/// The end of a log, as far as it can be read.
fn last_lines(path: &Path) -> Vec<String> {
    use std::io::{Read, Seek, SeekFrom};
    let tail = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = tail().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_whatever_the_path() {
        let line = |config| command_line(Path::new("/bin/stockade"), Path::new(config));
        assert_eq!(line("/a/b.toml"), "/bin/stockade serve --config /a/b.toml");
        assert_eq!(line("/a b/it's"), r"/bin/stockade serve --config '/a b/it'\''s'");
    }

    #[test]
    fn the_last_lines_of_a_log_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.log");
        let text: String = (0..2_000).map(|n| format!("line {n}\n")).collect();
        std::fs::write(&path, text).unwrap();
        let lines = last_lines(&path);
        assert_eq!(lines.first().map(String::as_str), Some("line 1995"));
        assert_eq!(lines.len(), TAIL_LINES);
        assert!(last_lines(&dir.path().join("none")).is_empty());
    }
}
