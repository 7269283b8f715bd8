//! The thread that keeps items' histories: fed by the commit thread with what is durable, asked
//! by the driver.
//!
//! Batches and questions come through one queue, so an answer shows every batch that was
//! acknowledged before the question came. The queue is bounded: a historian that is behind
//! slows commits down rather than let memory grow. What cannot be written is tried again with
//! what follows; selling does not depend on it.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc as tokio_mpsc;

use super::metrics::NodeMetrics;
use crate::store::{BatchNumber, History};
use crate::types::Sku;
use crate::wire::Batch;
use crate::wire::history::{Before, Numbered};

/// Tasks that wait, at most. A batch is at most some MiB.
const MAX_TASKS: usize = 8;
/// What was added is durable after this, at the latest. A crash loses none of it: the journal has
/// it, too.
const FLUSH_EVERY: Duration = Duration::from_secs(10);

enum Task {
    Add(BatchNumber, Batch),
    Read { ticket: u64, question: Question },
    Flush(mpsc::SyncSender<()>),
}

/// Which part of an item's history is wanted.
#[derive(Clone, Debug)]
pub struct Question {
    pub sku: Sku,
    pub before: Before,
    pub limit: usize,
}

/// The answer to the question of this ticket; `None`: the history cannot be read.
pub struct Told {
    pub ticket: u64,
    pub answer: Option<(Vec<Numbered>, bool)>,
}

/// The way to the thread.
#[derive(Clone)]
pub struct HistorianTasks(mpsc::SyncSender<Task>);

impl HistorianTasks {
    /// Takes in a batch that is durable. Waits while the historian is behind.
    pub fn add(&self, number: BatchNumber, batch: Batch) {
        // It ends before its askers only by a panic, which it has told.
        let _ = self.0.send(Task::Add(number, batch));
    }

    /// False when it is busy; ask again later.
    pub fn ask(&self, ticket: u64, question: Question) -> bool {
        self.0.try_send(Task::Read { ticket, question }).is_ok()
    }

    /// Returns once everything added before is durable, or cannot be.
    pub fn flush(&self) {
        let (done, wait) = mpsc::sync_channel(1);
        if self.0.send(Task::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }
}

/// Starts the thread. It ends when all its tasks' senders are gone.
pub fn start(
    history: History,
    metrics: NodeMetrics,
) -> std::io::Result<(HistorianTasks, tokio_mpsc::UnboundedReceiver<Told>)> {
    let (tasks, queue) = mpsc::sync_channel(MAX_TASKS);
    // As many as questions were asked; the driver bounds those.
    let (told, answers) = tokio_mpsc::unbounded_channel();
    let mut historian = Historian { history, flush_at: None, metrics, failing: false };
    std::thread::Builder::new().name("history".into()).spawn(move || historian.run(&queue, &told))?;
    Ok((HistorianTasks(tasks), answers))
}

struct Historian {
    history: History,
    flush_at: Option<Instant>,
    metrics: NodeMetrics,
    /// The last flush failed, and this was told.
    failing: bool,
}

impl Historian {
    fn run(&mut self, queue: &mpsc::Receiver<Task>, told: &tokio_mpsc::UnboundedSender<Told>) {
        loop {
            let task = match self.flush_at {
                None => queue.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
                Some(at) => queue.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match task {
                Ok(Task::Add(number, batch)) => self.add(number, &batch),
                Ok(Task::Read { ticket, question }) => {
                    let answer = self.read(&question);
                    // The driver may be gone by now; then nobody needs to know.
                    let _ = told.send(Told { ticket, answer });
                }
                Ok(Task::Flush(done)) => {
                    self.flush();
                    let _ = done.send(());
                }
                Err(mpsc::RecvTimeoutError::Timeout) => self.flush(),
                Err(mpsc::RecvTimeoutError::Disconnected) => return self.flush(),
            }
        }
    }

    fn add(&mut self, number: BatchNumber, batch: &Batch) {
        self.history.add(number, batch);
        if self.history.is_full() {
            self.flush();
        } else if self.flush_at.is_none() && self.history.is_pending() {
            self.flush_at = Some(Instant::now() + FLUSH_EVERY);
        }
    }

    fn flush(&mut self) {
        self.flush_at = None;
        let flushed = self.history.flush();
        let (bytes, failing) = (self.history.file_bytes(), self.history.is_failing());
        self.metrics.update(|numbers| {
            numbers.history_bytes = bytes;
            numbers.history_failed = failing;
        });
        match flushed {
            Err(error) if !std::mem::replace(&mut self.failing, true) => {
                tracing::error!(%error, "items' histories cannot be written; trying on");
            }
            Ok(()) if std::mem::replace(&mut self.failing, false) => {
                tracing::info!("items' histories are written again");
            }
            _ => {}
        }
    }

    fn read(&mut self, question: &Question) -> Option<(Vec<Numbered>, bool)> {
        let read = self.history.read(&question.sku, question.before, question.limit);
        read.inspect_err(|error| tracing::warn!(%error, "a history cannot be read")).ok()
    }
}
