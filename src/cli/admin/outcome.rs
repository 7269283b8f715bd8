//! What became of a change: done, not done, or nobody knows; and how to repeat it so that it
//! is done once.

use anyhow::anyhow;
use tokio::signal::unix::{SignalKind, signal};

use super::desk::{Change, Key};
use super::problem;
use crate::cli::client::{Answer, NoAnswer};

/// As shells count it: 128 and SIGINT.
const INTERRUPTED: i32 = 130;

/// What goes wrong once a change is done is told with that, and with its key: it must not be
/// taken for a change that failed.
///
/// # Errors
/// The same.
pub fn after<T>(change: &Change, told: anyhow::Result<T>) -> anyhow::Result<T> {
    let key = change.key.as_ref().map(|key| format!(" (Idempotency-Key: {})", key.text));
    told.map_err(|e| e.context(format!("It was done{}, but not shown", key.unwrap_or_default())))
}

/// Waits for an answer, or for Ctrl-C.
///
/// # Errors
/// When it was Ctrl-C; it says how to repeat the change.
pub async fn unless_interrupted(
    sent: impl Future<Output = Result<Answer, NoAnswer>>,
    interrupt: impl Future<Output = ()>,
    key: Option<&Key>,
) -> anyhow::Result<Result<Answer, NoAnswer>> {
    tokio::select! {
        biased;
        result = sent => Ok(result),
        () = interrupt => Err(anyhow!("interrupted before there was an answer.{}", hint(Known::Open, key))),
    }
}

/// Ctrl-C. It is listened to from this call on, which comes before anything is sent.
pub fn interrupt() -> impl Future<Output = ()> {
    let listening = signal(SignalKind::interrupt());
    async {
        match listening {
            Ok(mut interrupts) => drop(interrupts.recv().await),
            // Then it ends the process as ever.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Once somebody has listened to Ctrl-C, it ends the process only if this is said.
pub fn end_on_interrupt() {
    let interrupt = interrupt();
    tokio::spawn(async {
        interrupt.await;
        std::process::exit(INTERRUPTED);
    });
}

/// What is known of a change without a good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    NotSent,
    NotDone,
    /// It may have been done.
    Open,
}

/// How to repeat a change that may or may not have been done. A definite refusal needs none:
/// it is remembered under the key, and the next try has a fresh one.
pub fn repeat_hint(result: &Result<Answer, NoAnswer>, key: Option<&Key>) -> String {
    let known = match result {
        Ok(answer) if answer.is_success() => return String::new(),
        Ok(Answer { status: 404 | 409 | 410, .. }) => return remembered(key),
        Ok(Answer { status: 400..=499, .. }) => return String::new(),
        // Anything else may be of somebody between, who does not know.
        Ok(answer) if answer.status == 503 && problem::has_code(answer) => Known::NotDone,
        Ok(_) => Known::Open,
        Err(silence) if silence.sent => Known::Open,
        Err(_) => Known::NotSent,
    };
    hint(known, key)
}

fn remembered(key: Option<&Key>) -> String {
    let given = key.filter(|key| key.is_given);
    let text = |key: &Key| {
        format!("\nThis answer is remembered under --key {}; take another to ask anew.", key.text)
    };
    given.map(text).unwrap_or_default()
}

fn hint(known: Known, key: Option<&Key>) -> String {
    let text = match known {
        Known::NotSent => "Nothing was sent.",
        Known::NotDone => "Nothing was done.",
        Known::Open => "It may have been done.",
    };
    match key {
        Some(key) => format!("\n{text} To repeat it and have it done once, add\n  --key {}", key.text),
        // Changes without a key say how things shall be: twice is as good as once.
        None if known == Known::Open => "\nIt may have been done; the same command again is safe.".to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_interrupted_change_names_its_key() {
        let key = Key::new(None);
        let waited = unless_interrupted(std::future::pending(), std::future::ready(()), Some(&key)).await;
        let error = waited.unwrap_err().to_string();
        assert!(error.contains("may have been done") && error.contains(&key.text), "{error}");
    }
}
