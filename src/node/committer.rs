//! The thread that owns the store: it makes batches durable, one after the other, while the
//! driver decides the next one, and passes them on to the historian.

use std::sync::mpsc;
use std::time::Instant;

use tokio::sync::mpsc as tokio_mpsc;

use super::historian::HistorianTasks;
use crate::store::{CheckpointWriter, FinishedCheckpoint, Store, StoreError, StoreSize};
use crate::types::Position;
use crate::wire::{Batch, codec};

/// What the driver wants of the store.
pub enum Order {
    /// Make this durable; with it the journal reaches `position`.
    Commit {
        batch: Batch,
        position: Position,
    },
    BeginCheckpoint,
    Adopt(FinishedCheckpoint),
    /// So many bytes must stay free on the disk; nothing is reported.
    Headroom(u64),
}

/// What became of it.
pub enum Done {
    Committed {
        position: Position,
        records: u64,
        micros: u64,
        size: StoreSize,
    },
    /// There was no room, and nothing was written: order it again later.
    Postponed {
        batch: Batch,
        position: Position,
        error: StoreError,
    },
    CheckpointBegun(Box<dyn CheckpointWriter>),
    CheckpointWritten(FinishedCheckpoint),
    /// A checkpoint is in use.
    Adopted(StoreSize),
    /// There was no room for it. The journal goes on.
    CheckpointAbandoned(StoreError),
    Failed(StoreError),
}

/// The driver's end.
pub struct Committer {
    orders: mpsc::Sender<Order>,
    done: tokio_mpsc::UnboundedReceiver<Done>,
    /// Weak: when the commit thread is gone, however it ended, `done` must say so.
    reports: tokio_mpsc::WeakUnboundedSender<Done>,
    history: HistorianTasks,
}

impl Committer {
    /// Starts the thread. At most one commit and one checkpoint are ordered at a time, and
    /// an operator's other bounds, so neither channel grows.
    pub fn start(mut store: Box<dyn Store>, history: HistorianTasks) -> std::io::Result<Committer> {
        let (orders, order_queue) = mpsc::channel();
        let (reports, done) = tokio_mpsc::unbounded_channel();
        let weak = reports.downgrade();
        let of_thread = history.clone();
        std::thread::Builder::new().name("commit".into()).spawn(move || {
            while let Ok(order) = order_queue.recv() {
                let report = carry_out(&mut *store, order, &of_thread);
                let failed = matches!(report, Some(Done::Failed(_)));
                if report.is_some_and(|report| reports.send(report).is_err()) || failed {
                    return;
                }
            }
        })?;
        Ok(Committer { orders, done, reports: weak, history })
    }

    /// False when the thread is gone.
    pub fn order(&self, order: Order) -> bool {
        self.orders.send(order).is_ok()
    }

    /// `None` when the thread is gone.
    pub async fn done(&mut self) -> Option<Done> {
        self.done.recv().await
    }

    /// Starts a thread that writes a checkpoint's chunks. Dropping the sender without a
    /// [`Piece::End`] leaves the checkpoint unfinished.
    pub fn write_checkpoint(
        &self,
        mut writer: Box<dyn CheckpointWriter>,
    ) -> std::io::Result<tokio_mpsc::Sender<Piece>> {
        let (pieces, mut queue) = tokio_mpsc::channel(2);
        let (reports, history) = (self.reports.clone(), self.history.clone());
        let tell = move |done| {
            // The driver may be gone by now; then nobody needs to know.
            if let Some(reports) = reports.upgrade() {
                let _ = reports.send(done);
            }
        };
        std::thread::Builder::new().name("checkpoint".into()).spawn(move || {
            while let Some(piece) = queue.blocking_recv() {
                let result = match piece {
                    Piece::Chunk(batch) => writer.chunk(&codec::encode(&batch)),
                    Piece::End => {
                        // The batches that it covers will not be read again.
                        history.flush();
                        let report = writer.finish().map_or_else(abandoned, Done::CheckpointWritten);
                        return tell(report);
                    }
                };
                if let Err(error) = result {
                    return tell(abandoned(error));
                }
            }
        })?;
        Ok(pieces)
    }
}

/// A part of a checkpoint on its way to disk.
pub enum Piece {
    Chunk(Batch),
    End,
}

fn carry_out(store: &mut dyn Store, order: Order, history: &HistorianTasks) -> Option<Done> {
    let result = match order {
        Order::Commit { batch, position } => return Some(commit(store, batch, position, history)),
        Order::Headroom(bytes) => {
            store.set_headroom(bytes);
            return None;
        }
        Order::BeginCheckpoint => store.begin_checkpoint().map(|writer| Some(Done::CheckpointBegun(writer))),
        Order::Adopt(finished) => store.adopt(finished).map(|()| Some(Done::Adopted(store.size()))),
    };
    result.unwrap_or_else(|error| Some(abandoned(error)))
}

fn commit(store: &mut dyn Store, batch: Batch, position: Position, history: &HistorianTasks) -> Done {
    let start = Instant::now();
    match store.append(&codec::encode(&batch)) {
        Ok(number) => {
            let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            let records = batch.records.len() as u64;
            history.add(number, batch);
            Done::Committed { position, records, micros, size: store.size() }
        }
        Err(error) if no_room(&error) => Done::Postponed { batch, position, error },
        Err(error) => Done::Failed(error),
    }
}

/// A checkpoint for which there is no room is given up; any other error is final.
fn abandoned(error: StoreError) -> Done {
    if no_room(&error) { Done::CheckpointAbandoned(error) } else { Done::Failed(error) }
}

fn no_room(error: &StoreError) -> bool {
    matches!(error, StoreError::Full { .. } | StoreError::Limit { .. })
}
