//! One try at sending a file: its bytes are read as the node takes them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::body::{Body, Frame};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::progress::Progress;
use super::source::Source;
use crate::cli::client::{Answer, BaseUrl, CONNECT_TIMEOUT, NoAnswer, innermost, read_answer};

/// The call.
const PATH: &str = "/v1/items:import";
/// Chunks read ahead of the connection.
const READ_AHEAD: usize = 4;
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A node that takes nothing for so long, and does not answer, is given up. Applying what it
/// has taken in ahead takes a slow disk a while.
const STALLED_AFTER: Duration = Duration::from_secs(300);
/// The system's buffer for what was sent and not taken: small, so that the progress shown is
/// that of the node and not that of the buffer.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// How far a try is.
#[derive(Debug, Default)]
struct Sent {
    bytes: AtomicU64,
    lines: AtomicU64,
}

/// Sends the whole file once.
///
/// # Errors
/// When no whole answer came.
pub async fn send(
    base: &BaseUrl,
    source: &Source,
    media_type: &str,
    key: &str,
    progress: &mut Progress,
) -> Result<Answer, NoAnswer> {
    let url = format!("{base}{PATH}");
    let silence = |why: String, sent: bool| NoAnswer { url: url.clone(), why, sent };
    let sent = Arc::new(Sent::default());
    let request = Request::post(&url)
        .header("content-type", media_type)
        .header("idempotency-key", key)
        .body(Upload { chunks: read(source), sent: sent.clone() })
        .map_err(|e| silence(e.to_string(), false))?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    connector.set_send_buffer_size(Some(SEND_BUFFER_BYTES));
    let client = Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build(connector);

    let exchange = async {
        let response = client.request(request).await.map_err(|e| silence(innermost(&e), !e.is_connect()))?;
        read_answer(response).await.map_err(|why| silence(why, true))
    };
    tokio::pin!(exchange);
    progress.restart();
    let (mut last, mut moved_at) = (0, Instant::now());
    loop {
        tokio::select! {
            biased;
            answer = &mut exchange => {
                progress.finish();
                return answer;
            }
            () = tokio::time::sleep(LOOK_EVERY) => {
                let bytes = sent.bytes.load(Ordering::Relaxed);
                progress.at(bytes, sent.lines.load(Ordering::Relaxed));
                if bytes != last {
                    (last, moved_at) = (bytes, Instant::now());
                }
                if moved_at.elapsed() >= STALLED_AFTER {
                    progress.finish();
                    return Err(silence(format!("nothing was taken for {} s", STALLED_AFTER.as_secs()), true));
                }
            }
        }
    }
}

/// Reads the file ahead of the connection. Ends when nobody wants more of it.
fn read(source: &Source) -> mpsc::Receiver<io::Result<Bytes>> {
    let (chunks, taken) = mpsc::channel(READ_AHEAD);
    let source = source.clone();
    tokio::task::spawn_blocking(move || {
        let mut offset = 0u64;
        loop {
            let chunk = source.chunk(offset).map(Bytes::from);
            let length = chunk.as_ref().map_or(0, Bytes::len);
            if chunk.as_ref().is_ok_and(Bytes::is_empty)
                || chunks.blocking_send(chunk).is_err()
                || length == 0
            {
                return;
            }
            offset += length as u64;
        }
    });
    taken
}

struct Upload {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    sent: Arc<Sent>,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Some(chunk) = ready!(self.chunks.poll_recv(context)) else { return Poll::Ready(None) };
        if let Ok(chunk) = &chunk {
            let lines = chunk.iter().filter(|byte| **byte == b'\n').count();
            self.sent.bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            self.sent.lines.fetch_add(lines as u64, Ordering::Relaxed);
        }
        Poll::Ready(Some(chunk.map(Frame::data)))
    }
}
