//! Keeps the one link to one peer.
//!
//! A keeper takes connections from the dialer and the endpoint alike, greets them, has
//! [`choice`](super::choice) decide, and tells the driver. All of it happens in one task, one
//! thing after the other, so that the driver hears of each link's end before the next link.
//! Greetings run beside it, each at most [`SETTLE_TIMEOUT`] long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quinn::{Connection, ConnectionError, RecvStream, SendStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::choice::{Choice, Generation, Greeting, Part, Verdict};
use super::close::{CloseCode, close, code_of, describe};
use super::complaints::Complaints;
use super::counters::NodeCounters;
use super::dialer::changed;
use super::link::{Link, LinkEnd};
use super::{SETTLE_TIMEOUT, Stop};
use crate::node::{Handle, LinkId, Outbox};
use crate::types::NodeName;

/// Connections of one peer that wait to be greeted, or are being greeted, at most each.
pub(super) const MAX_CANDIDATES: usize = 8;
/// Urgent messages go before all others whenever both wait.
const URGENT: i32 = 1;

/// Unique within the process. Also the generations that an arbiter gives.
static NEXT_LINK: AtomicU64 = AtomicU64::new(1);

/// A connection whose other end is proven to be the peer.
#[derive(Debug)]
pub(super) struct Candidate {
    pub connection: Connection,
    /// Held until the connection is the link or closed: the dialer waits for that.
    #[expect(dead_code, reason = "its end is the message")]
    pub attempt: Option<oneshot::Sender<()>>,
}

/// What a keeper is told at its start.
#[derive(Debug)]
pub(super) struct Settings {
    pub me: NodeName,
    pub peer: NodeName,
    pub process: u64,
    pub handle: Handle,
    pub counters: Arc<NodeCounters>,
    pub stop: Stop,
    /// Turned false while there is a link.
    pub wanted: watch::Sender<bool>,
    /// Where the peer is dialled. When it changes, the link is dialled anew.
    pub address: watch::Receiver<String>,
}

#[derive(Debug)]
pub(super) struct Keeper {
    settings: Settings,
    part: Part,
    choice: Choice,
    link: Option<RunningLink>,
    greetings: JoinSet<Outcome>,
    complaints: Complaints,
}

#[derive(Debug)]
struct RunningLink {
    id: LinkId,
    connection: Connection,
    task: JoinHandle<LinkEnd>,
}

/// A connection that was greeted, and by what it should be judged.
#[derive(Debug)]
struct Greeted {
    candidate: Candidate,
    theirs: Greeting,
    urgent_out: SendStream,
    urgent_in: RecvStream,
    /// Follower: the arbiter's verdict.
    generation: Option<Generation>,
}

type Outcome = Result<Greeted, GreetingError>;

/// Why a connection was not greeted.
#[derive(Debug, thiserror::Error)]
enum GreetingError {
    /// As happens when dials cross.
    #[error("another connection is the link")]
    AlreadyLinked,
    #[error("no greeting in time")]
    Late,
    #[error("{0}")]
    Connection(String),
}

/// The driver takes no more messages: the node is going away.
struct DriverGone;

impl Keeper {
    pub(super) fn new(settings: Settings) -> Keeper {
        Keeper {
            part: Part::of(&settings.me, &settings.peer),
            choice: Choice::new(settings.process),
            settings,
            link: None,
            greetings: JoinSet::new(),
            complaints: Complaints::default(),
        }
    }

    /// Runs until a stop is requested or the driver is gone.
    pub(super) async fn run(mut self, mut candidates: mpsc::Receiver<Candidate>) {
        let mut stop = self.settings.stop.clone();
        let mut address = self.settings.address.clone();
        loop {
            let kept = tokio::select! {
                biased;
                () = stop.requested() => break,
                end = ended(&mut self.link) => self.link_ended(end).await,
                () = changed(&mut address) => {
                    self.redial();
                    Ok(())
                }
                Some(greeted) = self.greetings.join_next() => self.settle(greeted.ok()).await,
                Some(candidate) = candidates.recv() => {
                    self.greet(candidate);
                    Ok(())
                }
            };
            if kept.is_err() {
                break;
            }
        }
        self.greetings.abort_all();
        // The link has heard of the stop, too, and sees to it that it ends.
        if self.link.is_some() {
            let end = ended(&mut self.link).await;
            let _ = self.link_ended(end).await;
        }
    }

    fn greet(&mut self, candidate: Candidate) {
        if self.greetings.len() >= MAX_CANDIDATES {
            close(&candidate.connection, CloseCode::Crowded);
            return;
        }
        self.greetings.spawn(greet(candidate, self.choice.greeting(), self.part));
    }

    /// Closes the link, if there is one; its end is noticed as any other.
    fn redial(&self) {
        if let Some(link) = &self.link {
            tracing::info!(node = %self.settings.peer, "its address was changed; dialling it anew");
            close(&link.connection, CloseCode::Moved);
        }
    }

    async fn settle(&mut self, greeted: Option<Outcome>) -> Result<(), DriverGone> {
        match greeted {
            // Greetings are aborted only when stopping.
            None | Some(Err(GreetingError::AlreadyLinked)) => Ok(()),
            Some(Err(error)) => {
                let (node, problem) = (&self.settings.peer, error.to_string());
                if self.complaints.is_news(&problem) {
                    tracing::warn!(%node, %problem, "no link over a connection");
                }
                Ok(())
            }
            Some(Ok(greeted)) => self.judge(greeted).await,
        }
    }

    async fn judge(&mut self, greeted: Greeted) -> Result<(), DriverGone> {
        let id = LinkId(NEXT_LINK.fetch_add(1, Ordering::Relaxed));
        if self.link.as_ref().is_some_and(|link| link.connection.close_reason().is_some()) {
            let end = ended(&mut self.link).await;
            self.link_ended(end).await?;
        }
        let verdict = match greeted.generation {
            None => self.choice.arbitrate(&greeted.theirs, id.0),
            Some(generation) => self.choice.follow(&greeted.theirs, generation),
        };
        match verdict {
            Verdict::Refuse => {
                close(&greeted.candidate.connection, CloseCode::AlreadyLinked);
                Ok(())
            }
            Verdict::Take => self.take(id, greeted).await,
        }
    }

    /// Makes a connection the link, in place of any other.
    async fn take(&mut self, id: LinkId, greeted: Greeted) -> Result<(), DriverGone> {
        let settings = &self.settings;
        if let Some(old) = &self.link {
            close(&old.connection, CloseCode::Replaced);
            let end = ended(&mut self.link).await;
            report_end(settings, end).await?;
        }
        let Greeted { candidate, urgent_out, urgent_in, generation, .. } = greeted;
        let (outbox, outbox_reader) = Outbox::new();
        let connection = candidate.connection;
        settings.handle.set_rtt(&settings.peer, connection.rtt());
        if !settings.handle.link_up(settings.peer.clone(), id, outbox).await {
            close(&connection, CloseCode::LetGo);
            return Err(DriverGone);
        }
        tracing::info!(node = %settings.peer, link = id.0, address = %connection.remote_address(), "link up");
        settings.counters.links.add(1);
        settings.counters.set_linked(true);
        self.complaints.over();
        let link = Link {
            id,
            peer: settings.peer.clone(),
            connection: connection.clone(),
            handle: settings.handle.clone(),
            counters: settings.counters.clone(),
            stop: settings.stop.clone(),
        };
        let verdict = generation.is_none().then_some(id.0);
        let task = tokio::spawn(link.run(verdict, urgent_out, urgent_in, outbox_reader));
        self.link = Some(RunningLink { id, connection, task });
        settings.wanted.send_replace(false);
        Ok(())
    }

    async fn link_ended(&mut self, end: (LinkId, LinkEnd)) -> Result<(), DriverGone> {
        self.choice.ended();
        let told = report_end(&self.settings, end).await;
        self.settings.wanted.send_replace(true);
        told
    }
}

async fn report_end(settings: &Settings, (id, end): (LinkId, LinkEnd)) -> Result<(), DriverGone> {
    tracing::info!(node = %settings.peer, link = id.0, reason = %end, "link down");
    settings.counters.set_linked(false);
    let told = settings.handle.link_down(settings.peer.clone(), id).await;
    if told && !matches!(end, LinkEnd::DriverGone) { Ok(()) } else { Err(DriverGone) }
}

/// Waits for the link's end and takes it away; forever when there is none.
async fn ended(link: &mut Option<RunningLink>) -> (LinkId, LinkEnd) {
    let Some(running) = link else { return std::future::pending().await };
    let end = (&mut running.task).await.unwrap_or(LinkEnd::Cut);
    let id = running.id;
    *link = None;
    (id, end)
}

/// Greets a connection, and as the follower waits for the verdict on it.
async fn greet(candidate: Candidate, mine: Greeting, part: Part) -> Outcome {
    let connection = candidate.connection.clone();
    let greeted = match timeout(SETTLE_TIMEOUT, exchange(candidate, mine, part)).await {
        Ok(greeted) => greeted,
        Err(_) => Err(GreetingError::Late),
    };
    if greeted.is_err() {
        close(&connection, CloseCode::BadGreeting);
    }
    greeted
}

async fn exchange(candidate: Candidate, mine: Greeting, part: Part) -> Outcome {
    let connection = &candidate.connection;
    let mut urgent_out = connection.open_uni().await?;
    urgent_out.set_priority(URGENT).map_err(|_| broken(connection))?;
    urgent_out.write_all(&mine.encode()).await.map_err(|_| broken(connection))?;
    let mut urgent_in = connection.accept_uni().await?;
    let mut theirs = [0; Greeting::BYTES];
    urgent_in.read_exact(&mut theirs).await.map_err(|_| broken(connection))?;
    let generation = match part {
        Part::Arbiter => None,
        Part::Follower => {
            let mut bytes = [0; size_of::<Generation>()];
            urgent_in.read_exact(&mut bytes).await.map_err(|_| broken(connection))?;
            Some(Generation::from_le_bytes(bytes))
        }
    };
    let theirs = Greeting::decode(&theirs);
    Ok(Greeted { candidate, theirs, urgent_out, urgent_in, generation })
}

/// Why a stream of the greeting failed: its connection knows.
fn broken(connection: &Connection) -> GreetingError {
    match connection.close_reason() {
        Some(error) => error.into(),
        None => GreetingError::Connection("its stream ended within the greeting".to_owned()),
    }
}

impl From<ConnectionError> for GreetingError {
    fn from(error: ConnectionError) -> GreetingError {
        match code_of(&error) {
            Some(CloseCode::AlreadyLinked) => GreetingError::AlreadyLinked,
            _ => GreetingError::Connection(describe(&error)),
        }
    }
}
