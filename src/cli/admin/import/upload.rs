//! One try at sending a file: its bytes are read as the node takes them.
//!
//! A node that refuses early answers and closes while bytes are on their way to it. What it
//! said is then still there to be read, after the error that says it takes no more.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use hyper::client::conn::http1;
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
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
const SEND_BUFFER_BYTES: u32 = 64 << 10;

/// How far a try is.
#[derive(Debug, Default)]
struct Sent {
    bytes: AtomicU64,
    lines: AtomicU64,
    /// Why the file could not be read on.
    unreadable: OnceLock<String>,
}

/// Why a try has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Silence(#[from] NoAnswer),
    /// The file could not be read to its end; no other try could.
    #[error("{0}")]
    Unreadable(String),
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
) -> Result<Answer, Failure> {
    let url = format!("{base}{PATH}");
    let silence = |why: String, sent: bool| NoAnswer { url: url.clone(), why, sent };
    let sent = Arc::new(Sent::default());
    let authority = base.to_string().replacen("http://", "", 1);
    let request = Request::post(PATH)
        .header("host", &authority)
        .header("content-type", media_type)
        .header("idempotency-key", key)
        .body(Upload { chunks: read(source), sent: sent.clone() })
        .map_err(|e| silence(e.to_string(), false))?;

    let exchange = async {
        let stream = connect(base).await.map_err(|e| silence(innermost(&e), false))?;
        exchange(stream, request).await.map_err(|why| silence(why, true))
    };
    tokio::pin!(exchange);
    progress.restart();
    let (mut last, mut moved_at) = (0, Instant::now());
    let answer = loop {
        tokio::select! {
            biased;
            answer = &mut exchange => break answer,
            () = tokio::time::sleep(LOOK_EVERY) => {
                let bytes = sent.bytes.load(Ordering::Relaxed);
                progress.at(bytes, sent.lines.load(Ordering::Relaxed));
                if bytes != last {
                    (last, moved_at) = (bytes, Instant::now());
                }
                if moved_at.elapsed() >= STALLED_AFTER {
                    let why = format!("nothing was taken for {} s", STALLED_AFTER.as_secs());
                    break Err(silence(why, true));
                }
            }
        }
    };
    progress.finish();
    match (answer, sent.unreadable.get()) {
        (Err(_), Some(why)) => Err(Failure::Unreadable(why.clone())),
        (answer, _) => answer.map_err(Failure::from),
    }
}

/// Tries each of the host's addresses.
async fn connect(base: &BaseUrl) -> io::Result<TcpStream> {
    let uri: Uri = base.to_string().parse().map_err(io::Error::other)?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let mut failed = io::Error::other("the host has no address");
    for address in tokio::net::lookup_host((host, uri.port_u16().unwrap_or(80))).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        socket.set_nodelay(true)?;
        match tokio::time::timeout(CONNECT_TIMEOUT, socket.connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}

/// Sends a request and takes in the answer, however early that comes.
///
/// # Errors
/// When there is none.
async fn exchange<S>(stream: S, request: Request<Upload>) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = TokioIo::new(ReadToTheEnd { stream, write_error: None });
    let (mut sender, connection) = http1::handshake(stream).await.map_err(|e| innermost(&e))?;
    // Ends with this.
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    let response = sender.send_request(request).await.map_err(|e| innermost(&e))?;
    read_answer(response).await
}

/// A connection whose reading goes on when the other side takes no more. Writing then rests
/// for ever: it is the end of what can be read, or an error there, that ends it all.
struct ReadToTheEnd<S> {
    stream: S,
    write_error: Option<io::Error>,
}

impl<S> ReadToTheEnd<S> {
    fn kept<T>(&mut self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match polled {
            Poll::Ready(Err(error)) => {
                self.write_error = Some(error);
                Poll::Pending
            }
            polled => polled,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadToTheEnd<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        match self.write_error.take() {
            // The first error says more than that this is the end.
            Some(error) if buffer.filled().len() == before => Poll::Ready(Err(error)),
            error => {
                self.write_error = error;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadToTheEnd<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.write_error.is_some() {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.kept(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.write_error.is_some() {
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.kept(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
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
        match &chunk {
            Ok(chunk) => {
                let lines = chunk.iter().filter(|byte| **byte == b'\n').count();
                self.sent.bytes.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                self.sent.lines.fetch_add(lines as u64, Ordering::Relaxed);
            }
            // The first counts.
            Err(error) => drop(self.sent.unreadable.set(error.to_string())),
        }
        Poll::Ready(Some(chunk.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";

    fn request() -> Request<Upload> {
        let (chunks, taken) = mpsc::channel(1);
        tokio::spawn(async move { while chunks.send(Ok(vec![b'x'; 1 << 10].into())).await.is_ok() {} });
        Request::post(PATH).header("host", "h").body(Upload { chunks: taken, sent: Arc::default() }).unwrap()
    }

    /// Takes `left` bytes and then no more; only then is there something to read.
    struct Hasty {
        left: usize,
        words: &'static [u8],
        reader: Option<Waker>,
    }

    impl AsyncWrite for Hasty {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.left);
            self.left -= taken;
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
            self.reader.take().into_iter().for_each(Waker::wake);
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Hasty {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.left > 0 {
                self.reader = Some(context.waker().clone());
                return Poll::Pending;
            }
            buffer.put_slice(std::mem::take(&mut self.words));
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn an_answer_is_read_although_no_more_is_taken() {
        let stream = Hasty { left: 5_000, words: REFUSAL, reader: None };
        let answer = exchange(stream, request()).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (400, &b"{}"[..]));
    }

    #[tokio::test]
    async fn a_broken_connection_without_an_answer_is_told() {
        let stream = Hasty { left: 5_000, words: b"", reader: None };
        let error = exchange(stream, request()).await.unwrap_err();
        assert!(error.contains("pipe"), "{error}");
    }
}
