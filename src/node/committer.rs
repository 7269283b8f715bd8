//! The thread that owns the store: it makes batches durable, one after the other, while the
//! driver decides the next one, and passes them on to the historian.

use std::sync::mpsc;
use std::time::Instant;

use tokio::sync::mpsc as tokio_mpsc;

use super::historian::HistorianTasks;
use super::witness::{Durable, Witness, WitnessError};
use crate::store::{CheckpointWriter, FinishedCheckpoint, Store, StoreError, StoreSize};
use crate::types::{Position, Seq};
use crate::wire::{Batch, codec};

/// What was decided and is to be made durable together.
#[derive(Debug)]
pub struct Decided {
    pub batch: Batch,
    /// With it the journal reaches this.
    pub position: Position,
    /// And the own log this, in the session of this nonce.
    pub sequence: Seq,
    pub session: u64,
}

/// What the driver wants of the store.
pub enum Order {
    /// Make this durable.
    Commit(Decided),
    BeginCheckpoint,
    Adopt(FinishedCheckpoint),
    /// The disk is known to be the newest; nothing is reported.
    Vouch,
    /// The disk is known to be an old one; nothing is reported.
    Disown,
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
        decided: Decided,
        error: StoreError,
    },
    CheckpointBegun(Box<dyn CheckpointWriter>),
    CheckpointWritten(FinishedCheckpoint),
    /// A checkpoint is in use.
    Adopted(StoreSize),
    /// There was no room for it. The journal goes on.
    CheckpointAbandoned(StoreError),
    Failed(StoreError),
    /// What is durable could not be noted.
    Unwitnessed(WitnessError),
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
    pub fn start(
        store: Box<dyn Store>,
        witness: Option<Witness>,
        history: HistorianTasks,
    ) -> std::io::Result<Committer> {
        let (orders, order_queue) = mpsc::channel();
        let (reports, done) = tokio_mpsc::unbounded_channel();
        let weak = reports.downgrade();
        let mut desk = Desk { store, witness, history: history.clone() };
        std::thread::Builder::new().name("commit".into()).spawn(move || {
            while let Ok(order) = order_queue.recv() {
                let report = desk.carry_out(order);
                let failed = matches!(report, Some(Done::Failed(_) | Done::Unwitnessed(_)));
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

/// What the thread has before it.
struct Desk {
    store: Box<dyn Store>,
    witness: Option<Witness>,
    history: HistorianTasks,
}

impl Desk {
    fn carry_out(&mut self, order: Order) -> Option<Done> {
        let result = match order {
            Order::Commit(decided) => return Some(self.commit(decided)),
            Order::Vouch => return self.tell(Witness::vouch),
            Order::Disown => return self.tell(Witness::disown),
            Order::Headroom(bytes) => {
                self.store.set_headroom(bytes);
                return None;
            }
            Order::BeginCheckpoint => {
                self.store.begin_checkpoint().map(|writer| Some(Done::CheckpointBegun(writer)))
            }
            Order::Adopt(finished) => {
                self.store.adopt(finished).map(|()| Some(Done::Adopted(self.store.size())))
            }
        };
        result.unwrap_or_else(|error| Some(abandoned(error)))
    }

    fn tell(&mut self, told: fn(&mut Witness) -> Result<(), WitnessError>) -> Option<Done> {
        self.witness.as_mut().and_then(|witness| told(witness).err()).map(Done::Unwitnessed)
    }

    fn commit(&mut self, decided: Decided) -> Done {
        let start = Instant::now();
        let number = match self.store.append(&codec::encode(&decided.batch)) {
            Ok(number) => number,
            Err(error) if no_room(&error) => return Done::Postponed { decided, error },
            Err(error) => return Done::Failed(error),
        };
        let Decided { batch, position, sequence, session } = decided;
        // Before anybody can hear of it; and never before it is durable.
        let durable = Durable { batch: number, sequence, session };
        if let Some(Err(error)) = self.witness.as_mut().map(|witness| witness.note(durable)) {
            return Done::Unwitnessed(error);
        }
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        let records = batch.records.len() as u64;
        self.history.add(number, batch);
        Done::Committed { position, records, micros, size: self.store.size() }
    }
}

/// A checkpoint for which there is no room is given up; any other error is final.
fn abandoned(error: StoreError) -> Done {
    if no_room(&error) { Done::CheckpointAbandoned(error) } else { Done::Failed(error) }
}

fn no_room(error: &StoreError) -> bool {
    matches!(error, StoreError::Full { .. } | StoreError::Limit { .. })
}
