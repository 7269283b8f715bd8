//! Connections: their limits, their ends, and several requests on one.

use super::Listener::{Admin, Storefront};
use super::*;

use tokio::sync::oneshot;

const SHORT: Duration = Duration::from_millis(60);
const LINES: &str = r#"{"lines":[{"sku":"MUG","quantity":1}]}"#;

fn unhurried() -> HttpLimits {
    HttpLimits {
        header_timeout: NEVER,
        body_timeout: NEVER,
        idle_timeout: NEVER,
        write_timeout: NEVER,
        ..HttpLimits::default()
    }
}

async fn with(limits: HttpLimits) -> Served {
    served(limits, |_| {
        Some(Reply { outcome: Err(Refusal::ReservationNotFound), replayed: false, waited: false })
    })
    .await
}

#[tokio::test]
async fn one_connection_carries_many_requests_also_sent_at_once() {
    let served = with(unhurried()).await;
    let mut client = Client::to(served.storefront).await;
    let mut all = Vec::new();
    for i in 0..40 {
        all.extend(request(&format!("PUT /v1/reservations/A{i}"), "", LINES));
        all.extend(request("DELETE /v1/sales", "", LINES));
    }
    client.send(&all).await;
    for _ in 0..40 {
        assert_eq!(client.response(false).await.status, 404);
        assert_eq!(client.response(false).await.status, 405);
    }
    assert_eq!(served.take_asked().len(), 40);
    client.send(&request("GET /livez", "", "")).await;
    assert_eq!(client.response(false).await.status, 200);
}

#[tokio::test]
async fn a_client_that_says_it_sends_no_more_still_gets_its_answer() {
    let served = with(unhurried()).await;
    let mut client = Client::to(served.storefront).await;
    client.send(&request("PUT /v1/reservations/A", "", LINES)).await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.response(false).await.status, 404);
    client.closed().await;
}

#[tokio::test]
async fn a_slow_head_ends_the_connection() {
    let served = with(HttpLimits { header_timeout: SHORT, ..unhurried() }).await;
    for part in ["", "GET /liv", "GET /livez HTTP/1.1\r\nHost: x\r\n"] {
        let mut client = Client::to(served.storefront).await;
        client.send(part.as_bytes()).await;
        client.closed().await;
    }
    // Also a second one, whose time runs from its first byte.
    let mut client = Client::to(served.storefront).await;
    client.send(&request("GET /livez", "", "")).await;
    assert_eq!(client.response(false).await.status, 200);
    client.send(b"G").await;
    client.closed().await;
}

#[tokio::test]
async fn a_head_that_trickles_is_not_waited_for_any_longer() {
    let served = with(HttpLimits { header_timeout: SHORT, ..unhurried() }).await;
    let (mut reader, mut writer) = TcpStream::connect(served.storefront).await.unwrap().into_split();
    let trickle = tokio::spawn(async move {
        let mut tick = tokio::time::interval(SHORT / 6);
        while writer.write_all(b"x").await.is_ok() {
            tick.tick().await;
        }
    });
    let mut nothing = Vec::new();
    let _ = tokio::time::timeout(NEVER, reader.read_to_end(&mut nothing)).await.expect("an end");
    assert!(nothing.is_empty());
    trickle.abort();
}

#[tokio::test]
async fn a_slow_body_gets_a_408_and_the_connection_ends() {
    let served = with(HttpLimits { body_timeout: SHORT, ..unhurried() }).await;
    for head in ["Content-Length: 10\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n"] {
        let mut client = Client::to(served.storefront).await;
        client.send(format!("PUT /v1/reservations/A HTTP/1.1\r\nHost: x\r\n{head}").as_bytes()).await;
        let response = client.response(false).await;
        assert_eq!((response.status, response.code().as_str()), (408, "request_timeout"));
        assert_eq!(response.header("connection"), Some("close"));
        client.closed().await;
    }
    assert!(served.take_asked().is_empty());
}

#[tokio::test]
async fn a_body_that_ends_early_or_is_framed_wrongly_is_refused() {
    let served = with(unhurried()).await;
    for rest in ["Content-Length: 10\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\nzz\r\n"] {
        let mut client = Client::to(served.storefront).await;
        client.send(format!("PUT /v1/reservations/A HTTP/1.1\r\nHost: x\r\n{rest}").as_bytes()).await;
        client.stream.shutdown().await.unwrap();
        if let Some(response) = client.next(false).await {
            assert_eq!((response.status, response.fields()), (400, vec!["body".to_owned()]));
        }
        client.closed().await;
    }
    assert!(served.take_asked().is_empty());
}

#[tokio::test]
async fn an_idle_connection_ends_but_not_one_that_waits_for_its_answer() {
    let served = with(HttpLimits { idle_timeout: SHORT, ..unhurried() }).await;
    let mut client = Client::to(served.storefront).await;
    for _ in 0..3 {
        client.send(&request("GET /livez", "", "")).await;
        assert_eq!(client.response(false).await.status, 200);
    }
    client.closed().await;

    // Every limit is short, and the replica takes many times as long.
    let (handle, mut arrivals) = Handle::new(identity(), 1);
    let limits = HttpLimits {
        header_timeout: SHORT,
        body_timeout: SHORT,
        idle_timeout: SHORT,
        write_timeout: SHORT,
        ..unhurried()
    };
    let served = started(handle, Arc::default(), Arc::default(), Arc::default(), limits).await;
    let mut client = Client::to(served.storefront).await;
    client.send(&request("GET /v1/reservations/A", "", "")).await;
    let Some(Arrival::Request { reply, .. }) = arrivals.requests.recv().await else { panic!("a request") };
    let mut other = Client::to(served.storefront).await;
    for _ in 0..4 {
        // Each of these waits for an idle connection to be ended.
        other.send(&request("GET /livez", "", "")).await;
        assert_eq!(other.response(false).await.status, 200);
        other.closed().await;
        other = Client::to(served.storefront).await;
    }
    reply.send(Reply { outcome: Err(Refusal::ReservationNotFound), replayed: false, waited: false }).unwrap();
    assert_eq!(client.response(false).await.status, 404);
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_given_up() {
    let mut large = books();
    large.policy.name = Some("x".repeat(16 << 20));
    let outcome: Outcome = Ok(Answer::Books { books: large, created: false });
    let limits = HttpLimits { write_timeout: SHORT, admin_connections: 1, ..unhurried() };
    let served =
        served(limits, move |_| Some(Reply { outcome: outcome.clone(), replayed: false, waited: false }))
            .await;
    let mut deaf = Client::to(served.admin).await;
    deaf.send(&request("GET /v1/items/MUG", "", "")).await;
    // There is one slot: this one is served once the other is gone.
    assert_eq!(served.get(Admin, "/livez").await.status, 200);
}

#[tokio::test]
async fn an_answer_that_is_being_sent_is_not_cut_for_a_newcomer() {
    // More than the system keeps for both sides.
    const LARGE: usize = 16 << 20;
    let mut large = books();
    large.policy.name = Some("x".repeat(LARGE));
    let outcome: Outcome = Ok(Answer::Books { books: large, created: false });
    let limits = HttpLimits { admin_connections: 1, ..unhurried() };
    let served =
        served(limits, move |_| Some(Reply { outcome: outcome.clone(), replayed: false, waited: false }))
            .await;
    let mut slow = Client::to(served.admin).await;
    slow.send(&request("GET /v1/items/MUG", "", "")).await;
    slow.stream.readable().await.unwrap();
    let mut newcomer = Client::to(served.admin).await;
    newcomer.send(&request("GET /livez", "", "")).await;
    let early = tokio::time::timeout(SHORT * 3, newcomer.next(false)).await;
    assert!(early.is_err(), "there is no seat: {early:?}");
    assert!(slow.response(false).await.body.len() > LARGE);
    // Now that it is written, its connection gives way.
    assert_eq!(newcomer.response(false).await.status, 200);
    slow.closed().await;
}

#[tokio::test]
async fn at_the_limit_the_longest_idle_connection_gives_way() {
    let served = with(HttpLimits { connections: 4, ..unhurried() }).await;
    let mut silent = Client::to(served.storefront).await;
    // Each is known to be there before the next comes.
    let livez = request("GET /livez", "", "");
    let mut slow = Client::to(served.storefront).await;
    slow.send(&livez).await;
    assert_eq!(slow.response(false).await.status, 200);
    slow.send(b"GET /livez HTTP/1.1\r\nX: ").await;
    let mut half = Client::to(served.storefront).await;
    half.send(&livez).await;
    assert_eq!(half.response(false).await.status, 200);
    half.send(b"PUT /v1/reservations/A HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{").await;
    let mut idle = Client::to(served.storefront).await;
    idle.send(&livez).await;
    assert_eq!(idle.response(false).await.status, 200);

    for loser in [&mut silent, &mut slow, &mut half, &mut idle] {
        let mut newcomer = Client::to(served.storefront).await;
        newcomer.send(&request("GET /v1/reservations/A", "", "")).await;
        assert_eq!(newcomer.response(false).await.status, 404);
        loser.closed().await;
        tokio::spawn(async move { newcomer.closed().await });
    }
}

/// A node whose replica answers when the test says so, and the requests that reached it.
async fn undecided(limits: HttpLimits) -> (Served, crate::node::Arrivals) {
    let (handle, arrivals) = Handle::new(identity(), 8);
    (started(handle, Arc::default(), Arc::default(), Arc::default(), limits).await, arrivals)
}

/// A connection whose request is being answered, and what answers it.
async fn busy(served: &Served, arrivals: &mut crate::node::Arrivals) -> (Client, oneshot::Sender<Reply>) {
    let mut client = Client::to(served.storefront).await;
    client.send(&request("GET /v1/reservations/A", "", "")).await;
    let Some(Arrival::Request { reply, .. }) = arrivals.requests.recv().await else { panic!("a request") };
    (client, reply)
}

const NOT_FOUND: Reply = Reply { outcome: Err(Refusal::ReservationNotFound), replayed: false, waited: false };

#[tokio::test]
async fn when_all_are_busy_a_newcomer_waits_and_nobody_is_cut() {
    let (served, mut arrivals) = undecided(HttpLimits { connections: 2, ..unhurried() }).await;
    let (mut first, answer_first) = busy(&served, &mut arrivals).await;
    let (mut second, answer_second) = busy(&served, &mut arrivals).await;
    let mut third = Client::to(served.storefront).await;
    third.send(&request("GET /livez", "", "")).await;
    // The other listener has seats of its own.
    assert_eq!(served.get(Admin, "/livez").await.status, 200);
    answer_first.send(NOT_FOUND).unwrap();
    assert_eq!(first.response(false).await.status, 404);
    assert_eq!(third.response(false).await.status, 200);
    first.closed().await;
    answer_second.send(NOT_FOUND).unwrap();
    assert_eq!(second.response(false).await.status, 404);
}

#[tokio::test]
async fn an_address_with_too_many_busy_connections_is_turned_away_at_once() {
    let (served, mut arrivals) = undecided(HttpLimits { connections_per_address: 2, ..unhurried() }).await;
    let (mut first, answer_first) = busy(&served, &mut arrivals).await;
    let (_second, _answer) = busy(&served, &mut arrivals).await;
    Client::to(served.storefront).await.closed().await;
    answer_first.send(NOT_FOUND).unwrap();
    assert_eq!(first.response(false).await.status, 404);
    // Now there is one that can give way.
    let (_third, _answer) = busy(&served, &mut arrivals).await;
    first.closed().await;
}

#[tokio::test]
async fn limits_that_change_hold_for_those_who_are_there() {
    let (limits, live) = tokio::sync::watch::channel(HttpLimits { connections: 2, ..unhurried() });
    let (handle, _arrivals) = Handle::new(identity(), 8);
    let served =
        started_under(handle, Arc::default(), Arc::default(), Arc::default(), LiveLimits::new(live)).await;
    let livez = request("GET /livez", "", "");
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::to(served.storefront).await;
        client.send(&livez).await;
        assert_eq!(client.response(false).await.status, 200);
        clients.push(client);
    }
    limits.send_modify(|limits| limits.connections = 1);
    assert_eq!(served.get(Listener::Storefront, "/livez").await.status, 200);
    for client in &mut clients {
        client.closed().await;
    }
    limits.send_modify(|limits| limits.idle_timeout = SHORT);
    let mut client = Client::to(served.storefront).await;
    client.send(&livez).await;
    assert_eq!(client.response(false).await.status, 200);
    client.closed().await;
}

#[tokio::test]
async fn bodies_share_a_bounded_memory() {
    let served = with(HttpLimits { body_memory_bytes: 1_000, ..unhurried() }).await;
    let padded = |size: usize| format!("{LINES}{}", " ".repeat(size - LINES.len()));
    let put = "PUT /v1/reservations/A";
    for _ in 0..3 {
        assert_eq!(served.send(Storefront, put, "", &padded(1_000)).await.status, 404);
        assert_eq!(served.send(Storefront, put, "", &padded(1_001)).await.code(), "overloaded");
    }
}

#[tokio::test]
async fn stopping_ends_idle_connections_and_waits_for_answers_under_way() {
    let (handle, mut arrivals) = Handle::new(identity(), 1);
    let served = started(handle, Arc::default(), Arc::default(), Arc::default(), unhurried()).await;
    let mut idle = Client::to(served.storefront).await;
    idle.send(&request("GET /livez", "", "")).await;
    assert_eq!(idle.response(false).await.status, 200);
    let mut busy = Client::to(served.storefront).await;
    busy.send(&request("GET /v1/reservations/A", "", "")).await;
    let Some(Arrival::Request { reply, .. }) = arrivals.requests.recv().await else { panic!("a request") };

    served.stop.send(true).unwrap();
    idle.closed().await;
    assert!(!served.ended.is_finished());
    reply.send(Reply { outcome: Err(Refusal::ReservationNotFound), replayed: false, waited: false }).unwrap();
    let last = busy.response(false).await;
    assert_eq!((last.status, last.header("connection")), (404, Some("close")));
    busy.closed().await;
    served.ended.await.unwrap().unwrap();
    assert!(TcpStream::connect(served.storefront).await.is_err());
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let (handle, mut arrivals) = Handle::new(identity(), 1);
    let limits = HttpLimits { drain_timeout: SHORT, ..unhurried() };
    let served = started(handle, Arc::default(), Arc::default(), Arc::default(), limits).await;
    let mut busy = Client::to(served.storefront).await;
    busy.send(&request("GET /v1/reservations/A", "", "")).await;
    let Some(Arrival::Request { reply: _unanswered, .. }) = arrivals.requests.recv().await else {
        panic!("a request")
    };
    drop(served.stop);
    served.ended.await.unwrap().unwrap();
    busy.closed().await;
}

#[tokio::test]
async fn what_is_not_http_gets_a_bare_status_and_an_end() {
    let served = with(unhurried()).await;
    let large = format!("GET /livez HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(65 << 10));
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(64 << 10));
    let many = format!("GET /livez HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(101));
    let table = [("good day\r\n\r\n", 400), (&large, 431), (&long, 431), (&many, 431)];
    for (bytes, status) in table {
        let mut client = Client::to(served.storefront).await;
        client.send(bytes.as_bytes()).await;
        // The rest of a large head may be lost in a reset, and the answer with it.
        if let Some(response) = client.next(false).await {
            assert_eq!((response.status, response.body.len()), (status, 0));
        }
        client.closed().await;
    }
}

/// A body that goes on for as long as the test says more.
struct Events(tokio::sync::mpsc::Receiver<&'static str>);

impl hyper::body::Body for Events {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
        self.0.poll_recv(cx).map(|event| event.map(|event| Ok(hyper::body::Frame::data(event.into()))))
    }
}

#[tokio::test]
async fn a_stream_of_events_is_an_answer_and_never_idle() {
    let limits = HttpLimits {
        connections: 2,
        header_timeout: SHORT,
        body_timeout: SHORT,
        idle_timeout: SHORT,
        write_timeout: SHORT,
        ..unhurried()
    };
    let (tell, events) = tokio::sync::mpsc::channel(1);
    let events = Arc::new(std::sync::Mutex::new(Some(events)));
    let route = axum::routing::get(move || {
        let events = events.lock().unwrap().take().expect("one stream");
        async move { axum::response::Response::new(axum::body::Body::new(Events(events))) }
    });
    let exchange = crate::http::exchange::Exchange {
        router: axum::Router::new().route("/events", route),
        limits: LiveLimits::fixed(limits),
        streams: false,
        budget: crate::http::body::Budget::new(1),
        log: Arc::default(),
    };
    let counters = HttpCounters::default().storefront;
    let seats = crate::http::Seats::new(exchange.limits.clone(), |limits| limits.connections, counters);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(crate::http::listener::serve(listener, seats, exchange, stopped));

    let mut reader = Client::to(address).await;
    reader.send(&request("GET /events", "", "")).await;
    tell.send("first;").await.unwrap();
    for _ in 0..3 {
        // Idle ones come and go, by time and for others.
        let mut idle = Client::to(address).await;
        let mut other = Client::to(address).await;
        idle.closed().await;
        other.closed().await;
    }
    tell.send("last;").await.unwrap();
    drop(tell);
    while !reader.unread.ends_with(b"0\r\n\r\n") {
        assert!(reader.more().await, "it was cut");
    }
    let text = String::from_utf8_lossy(&reader.unread).into_owned();
    assert!(text.contains("first;") && text.contains("last;"), "{text}");
    reader.unread.clear();
    reader.closed().await;
}
