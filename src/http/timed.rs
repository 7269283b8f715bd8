//! A connection that gives up on a client that does nothing.
//!
//! What a client may be waited for depends on where the conversation stands ([`Phase`]): for
//! the first byte of a next request, for the rest of its head, or, while an answer is being
//! worked on or sent, not at all (the body has its own limit). A client that does not take its
//! answer is given up after a while without progress. Giving up is an error of the socket, upon
//! which the connection is dropped.
//!
//! HTTP hands over the end of an answer long before the client has it. So it is here that an
//! answer is over: when all that was to be written was written.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::LiveLimits;
use super::seats::Sitter;

/// Where the conversation stands. Shared with whoever answers requests.
#[derive(Clone, Debug)]
pub(super) struct Phase(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    now: AtomicU8,
    /// Learns when an answer was written.
    sitter: Arc<Sitter>,
}

const HEAD: u8 = 0;
const ANSWERING: u8 = 1;
const IDLE: u8 = 2;
const STREAMING: u8 = 3;
const SENDING: u8 = 4;

impl Phase {
    pub(super) fn new(sitter: Arc<Sitter>) -> Phase {
        Phase(Arc::new(Shared { now: AtomicU8::new(HEAD), sitter }))
    }

    /// A head was read whole; an answer is being worked on.
    pub(super) fn answering(&self) {
        self.set(ANSWERING);
    }

    /// The answer is there whole, and not yet written.
    pub(super) fn sending(&self) {
        self.set(SENDING);
    }

    /// All is written. After an answer, the client may send its next request when it likes.
    fn written(&self) {
        if self.now() == SENDING {
            self.set(IDLE);
            self.0.sitter.idle();
        }
    }

    /// The answer has begun and goes on for as long as the client likes: it is waited for only
    /// while it takes nothing of what is written, and it leaves by closing its side.
    pub(super) fn streaming(&self) {
        self.set(STREAMING);
    }

    pub(super) fn is_streaming(&self) -> bool {
        self.now() == STREAMING
    }

    fn now(&self) -> u8 {
        self.0.now.load(Ordering::Relaxed)
    }

    fn set(&self, phase: u8) {
        self.0.now.store(phase, Ordering::Relaxed);
    }
}

/// A stream that fails with `TimedOut` when the client has used up its patience.
#[derive(Debug)]
pub(super) struct Timed<S> {
    stream: S,
    limits: LiveLimits,
    phase: Phase,
    /// The phase that `deadline` is for; `None` when a new wait begins.
    waiting_in: Option<u8>,
    deadline: Instant,
    /// Fires at `deadline` or earlier; it is set anew only when it fires or is too late, so
    /// that a busy connection does not set a timer for each request.
    alarm: Pin<Box<Sleep>>,
    /// Set while the client does not take what is written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Timed<S> {
    /// `began`: from when on the first head is waited for.
    pub(super) fn new(stream: S, limits: LiveLimits, phase: Phase, began: Instant) -> Timed<S> {
        let deadline = began + limits.now().header_timeout;
        let alarm = Box::pin(sleep_until(deadline));
        Timed { stream, limits, phase, waiting_in: Some(HEAD), deadline, alarm, stalled: None }
    }

    /// Nothing came. Ready once that has been so for too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let phase = self.phase.now();
        if self.waiting_in != Some(phase) {
            self.waiting_in = Some(phase);
            let limits = self.limits.now();
            let patience = if phase == HEAD { limits.header_timeout } else { limits.idle_timeout };
            self.deadline = Instant::now() + patience;
        }
        if self.alarm.deadline() > self.deadline {
            self.alarm.as_mut().reset(self.deadline);
        }
        loop {
            ready!(self.alarm.as_mut().poll(cx));
            if Instant::now() >= self.deadline {
                if !matches!(phase, ANSWERING | STREAMING | SENDING) {
                    return Poll::Ready(too_slow());
                }
                // Nobody is given up here, but look again: a reader that was told "nothing yet"
                // while the answer was made may not ask anew once the wait for the next request
                // has begun.
                self.deadline = Instant::now() + self.limits.now().idle_timeout;
            }
            self.alarm.as_mut().reset(self.deadline);
        }
    }

    /// Nothing could be written. Ready once that has been so for too long.
    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let limits = &self.limits;
        let begin = || Box::pin(sleep_until(Instant::now() + limits.now().write_timeout));
        let alarm = self.stalled.get_or_insert_with(begin);
        alarm.as_mut().poll(cx).map(|()| too_slow())
    }
}

impl<S: AsyncRead + Unpin> Timed<S> {
    /// Ready once the client of a stream has closed its side. Nobody else reads meanwhile;
    /// what the client still says is not answered any more.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let mut scratch = [0; 256];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if buf.filled().is_empty() => return Poll::Ready(left()),
                Ok(()) => {}
                Err(error) => return Poll::Ready(error),
            }
        }
    }
}

fn left() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the client has left the stream")
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client is too slow")
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.stream).poll_read(cx, buf) {
            Poll::Pending => this.poll_patience(cx).map(Err),
            Poll::Ready(result) => {
                if buf.filled().len() > before && this.phase.now() == IDLE {
                    this.phase.set(HEAD);
                    this.waiting_in = None;
                }
                Poll::Ready(result)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Timed<S> {
    fn poll_progress<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_pending() {
            return self.poll_stalled(cx).map(Err);
        }
        self.stalled = None;
        written
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.poll_progress(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.poll_progress(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // A stream's connection is flushed whenever there is nothing more to write.
        if this.phase.is_streaming()
            && let Poll::Ready(error) = this.poll_left(cx)
        {
            return Poll::Ready(Err(error));
        }
        // HTTP asks for this only when it has written all that it has.
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        this.phase.written();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{sleep, timeout};

    use std::time::Duration;

    use super::*;
    use crate::http::HttpLimits;

    const SECOND: Duration = Duration::from_secs(1);
    const HEAD_PATIENCE: Duration = Duration::from_secs(10);
    const IDLE_PATIENCE: Duration = Duration::from_secs(60);

    fn pair() -> (DuplexStream, Timed<DuplexStream>, Phase) {
        let (client, server) = duplex(64);
        let phase = Phase::new(Sitter::alone());
        let limits = LiveLimits::fixed(HttpLimits {
            header_timeout: HEAD_PATIENCE,
            idle_timeout: IDLE_PATIENCE,
            write_timeout: SECOND,
            ..HttpLimits::default()
        });
        (client, Timed::new(server, limits, phase.clone(), Instant::now()), phase)
    }

    /// After how long a read gives up.
    async fn given_up(server: &mut Timed<DuplexStream>) -> Duration {
        let start = Instant::now();
        loop {
            match server.read(&mut [0; 64]).await {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                    return Duration::from_secs(start.elapsed().as_secs());
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_head_has_its_time_from_the_start() {
        let (mut client, mut server, _phase) = pair();
        let trickle = async {
            while client.write_all(b"x").await.is_ok() {
                sleep(SECOND).await;
            }
        };
        let after = tokio::select! { after = given_up(&mut server) => after, () = trickle => SECOND };
        assert_eq!(after, HEAD_PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn each_next_request_has_its_time_anew() {
        let (mut client, mut server, phase) = pair();
        for _ in 0..5 {
            client.write_all(b"x").await.unwrap();
            assert_eq!(server.read(&mut [0; 64]).await.unwrap(), 1);
            phase.answering();
            phase.sending();
            server.flush().await.unwrap();
            // Nothing comes for most of the time that there is.
            assert!(timeout(IDLE_PATIENCE - SECOND, server.read(&mut [0; 64])).await.is_err());
        }
        assert_eq!(given_up(&mut server).await, SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_next_head_has_its_time_from_its_first_byte() {
        let (mut client, mut server, phase) = pair();
        phase.sending();
        server.flush().await.unwrap();
        assert!(timeout(IDLE_PATIENCE - SECOND, server.read(&mut [0; 64])).await.is_err());
        client.write_all(b"x").await.unwrap();
        assert_eq!(given_up(&mut server).await, HEAD_PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn while_an_answer_is_made_nobody_is_given_up() {
        let (_client, mut server, phase) = pair();
        phase.answering();
        let made = async {
            sleep(IDLE_PATIENCE * 5 + SECOND).await;
            phase.sending();
            sleep(IDLE_PATIENCE * 5).await;
            phase.written();
        };
        // One read that was begun before the answer was there notices what follows.
        let (after, ()) = tokio::join!(given_up(&mut server), made);
        assert!(after > IDLE_PATIENCE * 11 && after <= IDLE_PATIENCE * 12 + SECOND, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_little_is_not_given_up_one_that_takes_nothing_is() {
        let (mut client, mut server, _phase) = pair();
        let slow = async {
            for _ in 0..20 {
                sleep(SECOND / 2).await;
                client.read_exact(&mut [0; 8]).await.unwrap();
            }
        };
        let start = Instant::now();
        let write = async {
            loop {
                if let Err(error) = server.write_all(&[0; 1024]).await {
                    return error.kind();
                }
            }
        };
        let (kind, ()) = tokio::join!(write, slow);
        assert_eq!(kind, io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 11);
    }
}
