//! Sending until somebody answers.
//!
//! A node that is down, cut off or overloaded is asked again with the same id or key until it
//! answers, so that a request has one effect however often it was sent. While one order waits
//! for a node to come back, no new ones are started there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use crate::cli::client::{Answer, Call, Client, NoAnswer};

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Which nodes are being waited for.
#[derive(Debug)]
pub struct Silences {
    waiting: Vec<AtomicUsize>,
    /// Told whenever a node answers again.
    pub ended: Notify,
}

impl Silences {
    pub fn new(nodes: usize) -> Silences {
        Silences { waiting: (0..nodes).map(|_| AtomicUsize::new(0)).collect(), ended: Notify::new() }
    }

    pub fn is_silent(&self, node: usize) -> bool {
        self.waiting[node].load(Ordering::Acquire) > 0
    }

    fn begin(&self, node: usize) -> Silence<'_> {
        self.waiting[node].fetch_add(1, Ordering::AcqRel);
        Silence { silences: self, node }
    }
}

/// One request waits for a node. Ends when dropped.
struct Silence<'a> {
    silences: &'a Silences,
    node: usize,
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        if self.silences.waiting[self.node].fetch_sub(1, Ordering::AcqRel) == 1 {
            self.silences.ended.notify_one();
        }
    }
}

/// How long one request is repeated, and who may end it early.
#[derive(Clone, Debug)]
pub struct Patience {
    pub give_up: Duration,
    /// True: stop repeating.
    pub stopped: watch::Receiver<bool>,
}

/// An answer and how long the attempt that got it took.
#[derive(Clone, Debug)]
pub struct Answered {
    pub answer: Answer,
    pub took: Duration,
}

/// Repeats a call to `node` until it answers anything but "not now". `None`: given up;
/// the call may or may not have had its effect.
pub async fn until_answered(
    client: &Client,
    silences: &Silences,
    patience: &Patience,
    node: usize,
    call: &Call,
) -> Option<Answered> {
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut silence = None;
    loop {
        let sent = Instant::now();
        let result = client.send(call).await;
        let took = sent.elapsed();
        match result {
            Ok(answer) if !is_not_now(&answer) => return Some(Answered { answer, took }),
            result => {
                silence.get_or_insert_with(|| silences.begin(node));
                let rest = rest(pause, &result);
                pause = (pause * 2).min(LONGEST_PAUSE);
                if began.elapsed() + rest > patience.give_up || stopped_within(patience, rest).await {
                    return None;
                }
            }
        }
    }
}

/// Statuses that say nothing about whether the request can or did have its effect.
fn is_not_now(answer: &Answer) -> bool {
    matches!(answer.status, 408 | 429 | 500..=599)
}

/// The pause before the next attempt: what the node asks for, within bounds.
fn rest(pause: Duration, result: &Result<Answer, NoAnswer>) -> Duration {
    let asked = result.as_ref().ok().and_then(|answer| answer.retry_after);
    asked.map_or(pause, |asked| asked.clamp(pause, LONGEST_PAUSE.max(pause)))
}

/// Waits; true when told to stop meanwhile.
async fn stopped_within(patience: &Patience, rest: Duration) -> bool {
    let mut stopped = patience.stopped.clone();
    let told = stopped.wait_for(|stopped| *stopped);
    matches!(tokio::time::timeout(rest, told).await, Ok(Ok(_)))
}
