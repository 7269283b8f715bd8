//! Accepts connections, speaks HTTP/1.1 on them, and lets them end in peace.
//!
//! At most [`super::HttpLimits::connections`] are open on a listener. When all are taken no more
//! are accepted: those who knock wait in the system's queue until one ends, so nothing of
//! their requests is read and nothing is refused that could have been done a moment later.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::exchange::Exchange;
use super::stream::Endless;
use super::timed::{Patience, Phase, Timed};

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
pub(super) async fn serve(listener: TcpListener, exchange: Exchange, mut shutdown: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(exchange.limits.connections));
    let mut connections = JoinSet::new();
    loop {
        let (stream, slot) = tokio::select! {
            biased;
            () = stopped(&mut shutdown) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        connections.spawn(converse(stream, slot, exchange.clone(), shutdown.clone()));
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(exchange.limits.drain_timeout, drained).await.is_err() {
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

/// The next connection, with its slot.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, OwnedSemaphorePermit) {
    let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            // The one who knocked is gone; the next may be there.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The system keeps no more for a client that takes nothing, and gives up one that has
/// vanished without a word. A failure of either costs memory and time, and nothing else.
fn bound_what_is_on_its_way(stream: &TcpStream, patience: Duration) {
    let _ = sockopt::set_socket_send_buffer_size(stream, SEND_BUFFER_BYTES);
    #[cfg(target_os = "linux")]
    let _ = sockopt::set_tcp_user_timeout(stream, u32::try_from(patience.as_millis()).unwrap_or(u32::MAX));
}

/// One connection, to its end.
async fn converse(
    stream: TcpStream,
    _slot: OwnedSemaphorePermit,
    exchange: Exchange,
    mut shutdown: watch::Receiver<bool>,
) {
    // Answers are written whole; waiting to fill a packet only adds latency.
    let _ = stream.set_nodelay(true);
    let limits = &exchange.limits;
    bound_what_is_on_its_way(&stream, limits.write_timeout);
    let patience =
        Patience { head: limits.header_timeout, idle: limits.idle_timeout, write: limits.write_timeout };
    let phase = Phase::new();
    let stream = Timed::new(stream, patience, phase.clone());
    let service = service_fn(|request| {
        // At once, not when the future is first polled: the connection may be read before that.
        phase.answering();
        let (exchange, phase) = (exchange.clone(), phase.clone());
        async move {
            let answer = exchange.answer(request).await;
            match &answer {
                Ok(answer) if answer.extensions().get::<Endless>().is_some() => phase.streaming(),
                _ => phase.idle(),
            }
            answer
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
