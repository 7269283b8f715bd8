//! The driver: takes what arrives, lets the replica decide, has it made durable, lets it out.
//!
//! While one batch syncs the next one is decided; all that was decided meanwhile goes into one
//! commit. What nobody waits for, such as what peers tell of their rows, lingers for a moment, so
//! that it goes into the next commit that somebody waits for. No output leaves before the journal
//! is durable to the position it carries: the barrier sees to that. When a commit fails, nothing
//! more is let out: connections close unanswered and the process ends, because what was being
//! written may or may not be there.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::clock::LedgerClock;
use super::committer::{Committer, Decided, Done, Order, Piece};
use super::handle::{Arrival, Arrivals, Tuning};
use super::historian::{self, HistorianTasks, Told};
use super::history::Asker;
use super::link::{LinkId, Outbox};
use super::metrics::NodeMetrics;
use super::readiness::{NotReadyReason, Readiness};
use super::recalls::Recalls;
use super::recovery::Recovered;
use super::shelf::Shelf;
use super::witness::{Witness, WitnessError};
use crate::replica::{Barrier, Cursor, Effects, Evidence, Input, Output, Replica, Token};
use crate::store::{History, Store, StoreError};
use crate::types::{Millis, NodeName, Position, Reply};
use crate::wire::message::Recalled;
use crate::wire::{Batch, Message, Record, codec};

/// A batch for which the disk had no room is tried again after this.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(250);
/// A checkpoint for which the disk had no room is tried again after this.
const NO_CHECKPOINT_PAUSE: Duration = Duration::from_secs(10);

/// Records that wait for their commit, at most: beyond, nothing new is taken in, the request
/// queue fills, and new requests are refused early.
const MAX_PENDING_RECORDS: usize = 8_192;
/// Bytes of them, at most, but for what one step adds. A batch must stay well below what the
/// store takes.
const MAX_PENDING_BYTES: usize = 8 << 20;
/// Records that nobody waits for are committed after this, or with those that somebody does.
const LINGER: Duration = Duration::from_millis(50);
/// While a restart would replay this many times the size at which a checkpoint begins, nothing
/// new is taken in: the checkpoint must come first, so that the journal never meets its limit.
const MAX_REPLAY_TIMES: u64 = 3;
/// Arrivals handled before the store and the timers are looked at again.
const ARRIVALS_AT_ONCE: usize = 512;
/// Things in one chunk of a checkpoint: so long does the driver stop for it.
const CHUNK: usize = 500;

#[derive(Clone, Copy, Debug)]
pub struct DriverOptions {
    /// A checkpoint begins when a restart would replay this many bytes.
    pub checkpoint_every_bytes: u64,
}

impl Default for DriverOptions {
    fn default() -> Self {
        DriverOptions { checkpoint_every_bytes: 64 << 20 }
    }
}

/// Why a driver ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error("the journal cannot be written: {0}. Nothing more is acknowledged; the node stops")]
    Store(#[from] StoreError),
    #[error("the witness cannot be written: {0}. Nothing more is acknowledged; the node stops")]
    Witness(#[from] WitnessError),
    #[error("a thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
    #[error("the commit thread ended by itself")]
    CommitterGone,
}

/// What speaks for the journal's being the newest there was, and to whom it is told how far the
/// journal gets from now on.
#[derive(Debug)]
pub struct Opening {
    pub evidence: Evidence,
    pub witness: Option<Witness>,
}

pub(super) struct Driver {
    pub(super) replica: Replica,
    effects: Effects,
    barrier: Barrier,
    committer: Committer,
    pub(super) historian: HistorianTasks,
    told: mpsc::UnboundedReceiver<Told>,
    /// Who asked the historian.
    pub(super) tickets: HashMap<u64, Asker>,
    pub(super) recalls: Recalls,
    /// Decided, not yet given to the committer.
    pending: Vec<Record>,
    pending_bytes: usize,
    /// When the first of them is to be committed, even if nobody waits for it.
    linger_until: Option<Instant>,
    /// What a restart would replay, as of the last commit.
    replay_bytes: u64,
    /// A batch is being committed, or waits in `postponed`.
    committing: bool,
    /// A batch for which there was no room, and when to try it again.
    postponed: Option<(Decided, Instant)>,
    durable: Position,
    checkpoint: Checkpoint,
    /// No checkpoint is begun before this: the last one found no room.
    checkpoint_not_before: Instant,
    options: DriverOptions,
    replies: HashMap<Token, oneshot::Sender<Reply>>,
    /// Numbers requests, questions and tickets.
    pub(super) last_token: u64,
    pub(super) outboxes: HashMap<NodeName, (LinkId, Outbox)>,
    clock: Arc<LedgerClock>,
    shelf: Arc<Shelf>,
    readiness: Arc<Readiness>,
    metrics: NodeMetrics,
}

/// Where the running checkpoint is.
enum Checkpoint {
    None,
    Begun,
    Writing {
        pieces: mpsc::Sender<Piece>,
        cursor: Cursor,
    },
    /// All chunks are taken; they show records up to here, which must be durable first: a
    /// checkpoint must not know more than the journal.
    Waiting {
        pieces: mpsc::Sender<Piece>,
        position: Position,
    },
    Ending,
}

/// Drives a recovered replica until `shutdown` becomes true.
///
/// # Errors
/// When the store fails. The caller must end the process without answering anybody.
pub async fn run(
    recovered: Recovered,
    opening: Opening,
    store: Box<dyn Store>,
    history: History,
    options: DriverOptions,
    arrivals: Arrivals,
    shutdown: watch::Receiver<bool>,
) -> Result<(), NodeError> {
    arrivals.clock.not_before(recovered.time);
    let (historian, told) = historian::start(history, arrivals.metrics.clone())?;
    let mut driver = Driver {
        replica: recovered.replica,
        effects: Effects::default(),
        barrier: Barrier::default(),
        committer: Committer::start(store, opening.witness, historian.clone())?,
        historian,
        told,
        tickets: HashMap::new(),
        recalls: Recalls::default(),
        pending: Vec::new(),
        pending_bytes: 0,
        linger_until: None,
        replay_bytes: 0,
        committing: false,
        postponed: None,
        durable: Position(0),
        checkpoint: Checkpoint::None,
        checkpoint_not_before: Instant::now(),
        options,
        replies: HashMap::new(),
        // Not from 1: an answer meant for the process before must find nobody.
        last_token: super::entropy::nonce() >> 1,
        outboxes: HashMap::new(),
        clock: arrivals.clock.clone(),
        shelf: arrivals.shelf.clone(),
        readiness: arrivals.readiness.clone(),
        metrics: arrivals.metrics.clone(),
    };
    let result = driver.drive(opening.evidence, arrivals, shutdown).await;
    if let Err(error) = &result {
        driver.readiness.set(NotReadyReason::StoreFailed, true);
        error!(%error, "stopping");
    }
    result
}

impl Driver {
    async fn drive(
        &mut self,
        evidence: Evidence,
        mut arrivals: Arrivals,
        mut shutdown: watch::Receiver<bool>,
    ) -> Result<(), NodeError> {
        self.readiness.set(NotReadyReason::WaitingForPeers, true);
        self.durable = self.replica.position();
        self.barrier.durable(self.durable);
        self.step(Input::Start { nonce: super::entropy::nonce(), evidence });
        loop {
            self.flush()?;
            self.let_out();
            let stats = self.replica.stats();
            let stale = self.shelf.stale(self.clock.now());
            self.metrics.update(|numbers| {
                numbers.replica = stats;
                numbers.stale_ms = stale.0;
            });
            self.begin_checkpoint()?;
            self.tick_if_due()?;
            let (room, checkpoint_due) = (self.has_room(), self.checkpoint_due());
            let (deadline, lingers_until) = (self.until_tick(), self.linger_until);
            tokio::select! {
                biased;
                done = self.committer.done() => self.done(done.ok_or(NodeError::CommitterGone)?)?,
                _ = shutdown.wait_for(|stop| *stop) => break,
                has_room = self.checkpoint.room(self.durable) => self.next_piece(has_room),
                () = until(self.postponed.as_ref().map(|(_, at)| *at)) => self.try_again()?,
                // Only to look again: the checkpoint is begun above.
                () = until(checkpoint_due) => {}
                () = until(lingers_until) => {}
                Some(told) = self.told.recv() => self.told(told),
                () = until(self.recalls.next_deadline()) => self.recalls.give_up(Instant::now()),
                Some(tuning) = next_tuning(&mut arrivals.tuning) => self.tune(tuning),
                () = sleep(deadline), if room => self.step(Input::Tick),
                Some(arrival) = arrivals.peers.recv(), if room => {
                    self.take(arrival);
                    self.take_more(&mut arrivals);
                }
                Some(arrival) = arrivals.requests.recv(), if room => {
                    self.take(arrival);
                    self.take_more(&mut arrivals);
                }
            }
        }
        self.stop().await
    }

    /// One tick that is due, before what has arrived: a timer is never ready when it is first
    /// looked at, so while arrivals keep coming none would ever be.
    fn tick_if_due(&mut self) -> Result<(), NodeError> {
        if self.has_room() && self.until_tick().is_some_and(|span| span.is_zero()) {
            self.step(Input::Tick);
            self.flush()?;
            self.let_out();
        }
        Ok(())
    }

    fn until_tick(&self) -> Option<Duration> {
        self.replica.next_deadline().map(|time| self.clock.until(time))
    }

    /// Handles what has arrived meanwhile, peers and clients in turn.
    fn take_more(&mut self, arrivals: &mut Arrivals) {
        for _ in 0..ARRIVALS_AT_ONCE {
            let peer = arrivals.peers.try_recv().ok();
            let request = arrivals.requests.try_recv().ok();
            if (peer.is_none() && request.is_none()) || !self.has_room() {
                // What was taken out is handled all the same.
                peer.into_iter().chain(request).for_each(|arrival| self.take(arrival));
                return;
            }
            peer.into_iter().chain(request).for_each(|arrival| self.take(arrival));
        }
    }

    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Request { request, reply } => {
                self.last_token += 1;
                let token = Token(self.last_token);
                self.replies.insert(token, reply);
                self.step(Input::Request { token, request });
            }
            Arrival::LinkUp { node, link, outbox } => {
                self.outboxes.insert(node.clone(), (link, outbox));
                self.step(Input::LinkUp { node });
            }
            Arrival::LinkDown { node, link } => {
                if self.is_current(&node, link) {
                    self.outboxes.remove(&node);
                    self.recalls.lost_contact(&node);
                    self.step(Input::LinkDown { node });
                }
            }
            Arrival::RoundTrip { node, link, time } => {
                if self.is_current(&node, link) {
                    // Rounded up: what is counted on is never shorter than what it takes.
                    let time = Millis(time.as_micros().div_ceil(1_000) as u64);
                    self.step(Input::RoundTrip { node, time });
                }
            }
            Arrival::History { query, reply } => self.history(query, reply),
            Arrival::Message { node, link, message } => {
                if self.is_current(&node, link) {
                    self.heard(node, message);
                }
            }
        }
    }

    /// Whether the link is the one that is up, not one that it replaced.
    fn is_current(&self, node: &NodeName, link: LinkId) -> bool {
        self.outboxes.get(node).is_some_and(|(current, _)| *current == link)
    }

    fn heard(&mut self, node: NodeName, message: Message) {
        match message {
            Message::Recall(recall) => self.recall(node, recall),
            message @ Message::Recalled(_) if message.check_bounds().is_err() => {}
            Message::Recalled(Recalled { id, entries, more }) => {
                self.recalls.answered(id, &node, Some((entries, more)));
            }
            message => self.step(Input::Message { node, message }),
        }
    }

    fn tune(&mut self, tuning: Tuning) {
        self.options.checkpoint_every_bytes = tuning.checkpoint_every_bytes;
        // If this fails, its thread is gone, and that is noticed elsewhere.
        let _ = self.committer.order(Order::Headroom(tuning.headroom_bytes));
        self.step(Input::Limits(tuning.limits));
    }

    fn step(&mut self, input: Input) {
        self.replica.handle(self.clock.now(), input, &mut self.effects);
        let records = self.effects.take_records();
        self.pending_bytes += records.iter().map(codec::encoded_len).sum::<usize>();
        self.pending.extend(records);
        self.barrier.hold(self.effects.take_outputs());
    }

    /// Whether anything new may be taken in.
    fn has_room(&self) -> bool {
        self.pending.len() < MAX_PENDING_RECORDS
            && self.pending_bytes < MAX_PENDING_BYTES
            && self.replay_bytes < self.options.checkpoint_every_bytes.saturating_mul(MAX_REPLAY_TIMES)
    }

    /// Gives what is pending to the committer, if it is idle.
    fn flush(&mut self) -> Result<(), NodeError> {
        if self.committing || self.pending.is_empty() || self.may_linger() {
            return Ok(());
        }
        self.linger_until = None;
        let batch = Batch { time: self.clock.now(), records: std::mem::take(&mut self.pending) };
        self.pending_bytes = 0;
        let replica = &self.replica;
        let (sequence, session) = (replica.watermark(replica.replica_id()), replica.session());
        self.commit(Decided { batch, position: replica.position(), sequence, session })
    }

    /// Whether what is pending may wait for more.
    fn may_linger(&mut self) -> bool {
        let until = *self.linger_until.get_or_insert_with(|| Instant::now() + LINGER);
        !self.barrier.is_awaited() && self.has_room() && Instant::now() < until
    }

    fn commit(&mut self, decided: Decided) -> Result<(), NodeError> {
        self.committing = self.committer.order(Order::Commit(decided));
        if self.committing { Ok(()) } else { Err(NodeError::CommitterGone) }
    }

    /// Orders the batch again for which there was no room.
    fn try_again(&mut self) -> Result<(), NodeError> {
        match self.postponed.take() {
            Some((decided, _)) => self.commit(decided),
            None => Ok(()),
        }
    }

    fn done(&mut self, done: Done) -> Result<(), NodeError> {
        match done {
            Done::Committed { position, records, micros, size } => {
                self.committing = false;
                self.durable = position;
                self.barrier.durable(position);
                self.metrics.update(|numbers| {
                    numbers.store = size;
                    numbers.commits += 1;
                    numbers.records += records;
                    numbers.commit_micros += micros;
                });
                self.replay_bytes = size.replay_bytes;
            }
            Done::Postponed { decided, error } => {
                warn!(%error, "nothing is acknowledged until there is room");
                let is_full = matches!(error, StoreError::Full { .. });
                self.readiness.set(NotReadyReason::DiskFull, is_full);
                self.postponed = Some((decided, Instant::now() + NO_ROOM_PAUSE));
            }
            Done::CheckpointAbandoned(error) => {
                warn!(%error, "no checkpoint for now");
                self.checkpoint_not_before = Instant::now() + NO_CHECKPOINT_PAUSE;
                self.checkpoint = Checkpoint::None;
            }
            Done::CheckpointBegun(writer) => {
                let pieces = self.committer.write_checkpoint(writer)?;
                self.checkpoint = Checkpoint::Writing { pieces, cursor: Cursor::default() };
            }
            Done::CheckpointWritten(finished) => {
                info!(covers = finished.covers.0, bytes = finished.bytes, "checkpoint written");
                if !self.committer.order(Order::Adopt(finished)) {
                    return Err(NodeError::CommitterGone);
                }
            }
            Done::Adopted(size) => {
                self.replay_bytes = size.replay_bytes;
                self.metrics.update(|numbers| numbers.store = size);
                self.checkpoint = Checkpoint::None;
            }
            Done::Failed(error) => return Err(error.into()),
            Done::Unwitnessed(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// When the next checkpoint is to be begun, if one is wanted.
    fn checkpoint_due(&self) -> Option<Instant> {
        let wanted = self.replay_bytes >= self.options.checkpoint_every_bytes;
        (wanted && matches!(self.checkpoint, Checkpoint::None)).then_some(self.checkpoint_not_before)
    }

    fn begin_checkpoint(&mut self) -> Result<(), NodeError> {
        if self.checkpoint_due().is_some_and(|due| due <= Instant::now()) {
            self.checkpoint = Checkpoint::Begun;
            if !self.committer.order(Order::BeginCheckpoint) {
                return Err(NodeError::CommitterGone);
            }
        }
        Ok(())
    }

    /// Sends the checkpoint's next chunk on its way, or its end.
    fn next_piece(&mut self, has_room: bool) {
        // Without room its thread is gone, and has told why.
        self.checkpoint = match std::mem::replace(&mut self.checkpoint, Checkpoint::Ending) {
            Checkpoint::Writing { pieces, cursor } if has_room => {
                let (records, next) = self.replica.snapshot(&cursor, CHUNK);
                let chunk = Batch { time: self.clock.now(), records };
                let sent = pieces.try_send(Piece::Chunk(chunk)).is_ok();
                match next {
                    Some(cursor) if sent => Checkpoint::Writing { pieces, cursor },
                    None if sent => Checkpoint::Waiting { pieces, position: self.replica.position() },
                    _ => Checkpoint::Ending,
                }
            }
            Checkpoint::Waiting { pieces, .. } if has_room => {
                // If this fails, its thread is gone, and has told why.
                let _ = pieces.try_send(Piece::End);
                Checkpoint::Ending
            }
            _ => Checkpoint::Ending,
        };
    }

    /// Lets out what the journal is durable for. Product pages are told before the buyer, so
    /// that a buyer who looks again sees what it did.
    fn let_out(&mut self) {
        let (mut views, mut heard, mut rest) = (Vec::new(), None, Vec::new());
        while let Some(output) = self.barrier.release() {
            match output {
                Output::View(view) => views.push(view),
                Output::Heard(newer) => heard = Some(newer),
                other => rest.push(other),
            }
        }
        if !views.is_empty() || heard.is_some() {
            self.shelf.publish(views, heard);
        }
        for output in rest {
            match output {
                Output::Reply { token, reply } => {
                    // A client that went away meanwhile is no concern: what it did is done.
                    if let Some(sender) = self.replies.remove(&token) {
                        let _ = sender.send(reply);
                    }
                }
                Output::Send { node, message } => {
                    let sent = self.outboxes.get(&node).is_some_and(|(_, outbox)| outbox.send(message));
                    if !sent {
                        self.metrics.update(|numbers| numbers.dropped_messages += 1);
                    }
                }
                Output::Awaits(members) => {
                    let names: Vec<&str> = members.iter().map(NodeName::as_str).collect();
                    warn!("not ready before these were heard: {}", names.join(", "));
                    self.metrics.update(|numbers| numbers.awaited = members.len() as u64);
                    self.readiness.set_awaited(members);
                }
                Output::Ready => {
                    info!("ready");
                    // If this fails, its thread is gone, and that is noticed elsewhere.
                    let _ = self.committer.order(Order::Vouch);
                    self.metrics.update(|numbers| numbers.awaited = 0);
                    self.readiness.set_awaited(Vec::new());
                    self.readiness.set(NotReadyReason::WaitingForPeers, false);
                }
                Output::RolledBack(proof) => {
                    error!(%proof, "this disk is an old one: the node answers nothing more. Stop it, and \
                        keep this data directory. If there is a newer one, put that in its place");
                    // If this fails, its thread is gone, and that is noticed elsewhere.
                    let _ = self.committer.order(Order::Disown);
                    self.metrics.update(|numbers| numbers.rolled_back = true);
                    self.readiness.set(NotReadyReason::WaitingForPeers, false);
                    self.readiness.set_awaited(Vec::new());
                    self.readiness.set(NotReadyReason::RolledBack, true);
                }
                Output::Draining(draining) => {
                    info!(draining, "taking new reservations: {}", !draining);
                    self.readiness.set(NotReadyReason::Draining, draining);
                }
                Output::Alarm(text) => warn!(%text, "alarm"),
                Output::View(_) | Output::Heard(_) => {}
            }
        }
    }

    /// A clean stop: everything decided is made durable and answered.
    async fn stop(&mut self) -> Result<(), NodeError> {
        self.step(Input::Stop);
        self.try_again()?;
        while self.committing || !self.pending.is_empty() {
            self.linger_until = Some(Instant::now());
            self.flush()?;
            let done = self.committer.done().await.ok_or(NodeError::CommitterGone)?;
            if let Done::Postponed { error, .. } = done {
                return Err(error.into());
            }
            self.done(done)?;
            self.let_out();
        }
        self.let_out();
        info!("stopped cleanly");
        Ok(())
    }
}

impl Checkpoint {
    /// Ready when the next piece may be sent. False: its thread is gone.
    async fn room(&self, durable: Position) -> bool {
        match self {
            Checkpoint::Writing { pieces, .. } => pieces.reserve().await.is_ok(),
            Checkpoint::Waiting { pieces, position } if *position <= durable => {
                pieces.reserve().await.is_ok()
            }
            _ => std::future::pending().await,
        }
    }
}

/// Other bounds, once there are any. They are taken in also without room: they may be what
/// makes some.
async fn next_tuning(tuning: &mut watch::Receiver<Option<Tuning>>) -> Option<Tuning> {
    match tuning.changed().await {
        Ok(()) => *tuning.borrow_and_update(),
        Err(_) => std::future::pending().await,
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

async fn sleep(span: Option<Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => std::future::pending().await,
    }
}
