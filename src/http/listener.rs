//! Accepts connections, speaks HTTP/1.1 on them, and lets them end in peace.
//!
//! Who may stay connected is for [`Seats`] to say. A newcomer for whom there is no seat waits,
//! and those behind it wait in the system's queue: nothing of their requests is read, and
//! nothing is refused that could have been done a moment later.
//!
//! A connection that never says anything costs little: what HTTP needs is made for the first byte.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::exchange::{ClosedUnanswered, Exchange};
use super::seats::{Seat, Seats, Sitter};
use super::stream::Endless;
use super::timed::{Phase, Timed};
use super::underway::Underway;

/// Largest head of a request. The longest sensible one asks for 200 skus.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Most headers of a request.
const MAX_HEADERS: usize = 100;
/// Most bytes a connection buffers, beyond bodies.
const MAX_BUFFER_BYTES: usize = 2 * MAX_HEAD_BYTES;
/// Most bytes the system keeps for a client that has not taken them; Linux doubles it. Without
/// a bound these are megabytes, and a slow reader of a stream is minutes behind.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How long to wait after the system refused to accept (it is out of files, usually).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// When the node stops, for a client to take the end of its stream.
const STREAM_GRACE: Duration = Duration::from_millis(250);

/// Serves until `shutdown` says true or is dropped, then lets requests under way end, for at
/// most [`super::HttpLimits::drain_timeout`].
pub(super) async fn serve(
    listener: TcpListener,
    seats: Arc<Seats>,
    exchange: Exchange,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut newcomer = None;
    loop {
        let (stream, seat) = tokio::select! {
            biased;
            () = stopped(&mut shutdown) => break,
            Some(_) = connections.join_next() => continue,
            seated = admit(&listener, &seats, &mut newcomer) => seated,
        };
        connections.spawn(converse(stream, seat, exchange.clone(), shutdown.clone()));
    }
    drop((listener, newcomer));
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(exchange.limits.now().drain_timeout, drained).await.is_err() {
        tracing::warn!(
            connections = connections.len(),
            "closing connections whose requests did not end in time"
        );
    }
}

/// True was said, or nobody is left to say it.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// The next connection that has a seat. May be dropped and called again at any point: who was
/// accepted and waits for a seat stays in `newcomer`.
async fn admit(
    listener: &TcpListener,
    seats: &Arc<Seats>,
    newcomer: &mut Option<(TcpStream, SocketAddr)>,
) -> (TcpStream, Seat) {
    loop {
        let (stream, address) = match newcomer.take() {
            Some(waiting) => waiting,
            None => accept(listener, seats).await,
        };
        // Nothing is awaited between here and there without the newcomer being kept.
        let (_, address) = newcomer.insert((stream, address));
        let seat = seats.seat(address.ip()).await;
        if let (Some((stream, _)), Some(seat)) = (newcomer.take(), seat) {
            return (stream, seat);
        }
    }
}

async fn accept(listener: &TcpListener, seats: &Arc<Seats>) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            // The one who knocked is gone; the next may be there.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                if out_of_files(&error) {
                    seats.give_way();
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn out_of_files(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// The system keeps no more for a client that takes nothing, and gives up one that has
/// vanished without a word. A failure of either costs memory and time, and nothing else.
fn bound_what_is_on_its_way(stream: &TcpStream, patience: Duration) {
    let _ = sockopt::set_socket_send_buffer_size(stream, SEND_BUFFER_BYTES);
    #[cfg(target_os = "linux")]
    let _ = sockopt::set_tcp_user_timeout(stream, u32::try_from(patience.as_millis()).unwrap_or(u32::MAX));
}

/// One connection, to its end.
async fn converse(stream: TcpStream, seat: Seat, exchange: Exchange, mut shutdown: watch::Receiver<bool>) {
    let began = Instant::now();
    // Answers are written whole; waiting to fill a packet only adds latency.
    let _ = stream.set_nodelay(true);
    let patience = exchange.limits.now().header_timeout;
    bound_what_is_on_its_way(&stream, exchange.limits.now().write_timeout);
    let speaks = tokio::select! {
        biased;
        () = stopped(&mut shutdown) => false,
        () = seat.sitter().asked_to_leave() => false,
        readable = timeout(patience, stream.readable()) => matches!(readable, Ok(Ok(()))),
    };
    if speaks {
        // On the heap, and only now: what most idle connections never need.
        Box::pin(speak(stream, began, seat.sitter(), exchange, shutdown)).await;
    }
}

async fn speak(
    stream: TcpStream,
    began: Instant,
    sitter: &Arc<Sitter>,
    exchange: Exchange,
    mut shutdown: watch::Receiver<bool>,
) {
    let phase = Phase::new(sitter.clone());
    let stream = Timed::new(stream, exchange.limits.clone(), phase.clone(), began);
    let service = service_fn(|request| {
        // At once, not when the future is first polled: the connection may be read before that.
        let underway = Underway::begin(&phase, sitter);
        let (exchange, phase) = (exchange.clone(), phase.clone());
        async move {
            let answer = exchange.answer(request, &underway).await?;
            if answer.extensions().get::<Endless>().is_some() {
                phase.streaming();
            }
            Ok::<_, ClosedUnanswered>(answer.map(|body| underway.until_sent(body)))
        }
    });
    let connection = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .max_header_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = sitter.asked_to_leave() => return,
        () = stopped(&mut shutdown) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                // Nobody is owed the end of a stream.
                () = tokio::time::sleep(STREAM_GRACE), if phase.is_streaming() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "connection ended");
    }
}
