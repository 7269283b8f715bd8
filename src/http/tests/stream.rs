//! The availability stream: what it says and when, who may break off, and how it ends.

use axum::body::Body;
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;

use super::Listener::Storefront;
use super::*;
use crate::http::call::Api;
use crate::http::hub::{BEAT, Hub};
use crate::http::storefront_routes;
use crate::http::stream::COMMENT_EVERY;
use crate::limits::FRESH;
use crate::types::{Caller, Heard, ItemView};

const SHORT: Duration = Duration::from_millis(60);
const STREAM: &str = "/v1/availability/stream";

pub(super) fn view(name: &str, everywhere: u64) -> ItemView {
    let (here, everywhere) = (Units(everywhere / 2), Units(everywhere));
    ItemView { sku: sku(name), here, everywhere, low_stock: Some(Units(3)), closed: everywhere == Units(0) }
}

pub(super) fn heard(as_of: Timestamp) -> Option<Vec<Heard>> {
    Some(vec![Heard { node: node("us-1"), as_of: Some(as_of) }])
}

/// The routes without sockets, so that time can be paused.
struct Bed {
    handle: Handle,
    shelf: Arc<Shelf>,
    hub: Arc<Hub>,
    _stop: watch::Sender<bool>,
}

/// Limits under which so many streams may be open.
pub(super) fn up_to(streams: usize) -> LiveLimits {
    let limits = HttpLimits { connections: streams + streams / 3, ..HttpLimits::default() };
    assert_eq!(limits.streams(), streams);
    LiveLimits::fixed(limits)
}

fn bed() -> Bed {
    let (handle, arrivals) = Handle::new(identity(), 1);
    let hub = Hub::new(handle.clone(), up_to(10));
    let (stop, stopped) = watch::channel(false);
    let running = hub.clone();
    tokio::spawn(async move { running.run(stopped).await });
    Bed { handle, shelf: arrivals.shelf, hub, _stop: stop }
}

impl Bed {
    async fn open(&self, query: &str, last: Option<&str>) -> Page {
        let api = Api {
            handle: self.handle.clone(),
            registry: Arc::default(),
            reloads: crate::reload::Reloads::new().0,
            caller: Caller::Storefront,
            imports: Arc::new(tokio::sync::Semaphore::new(1)),
            limits: crate::http::LiveLimits::fixed(HttpLimits::default()),
            hub: self.hub.clone(),
        };
        let mut request = hyper::Request::get(format!("{STREAM}?{query}"));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response =
            storefront_routes().served(api).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Page { body: response.into_body(), text: String::new() }
    }
}

/// One who reads a stream.
struct Page {
    body: Body,
    text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Block {
    Retry,
    Comment,
    Event { id: String, item: Value },
}

impl Page {
    /// What comes next; `None` at the end.
    async fn next(&mut self) -> Option<Block> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let block = parse(block);
                self.text = rest.to_owned();
                return Some(block);
            }
            let bytes = self.body.frame().await?.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    async fn event(&mut self) -> (String, Value) {
        loop {
            match self.next().await.expect("no end") {
                Block::Event { id, item } => return (id, item),
                Block::Retry | Block::Comment => {}
            }
        }
    }

    /// Nothing but comments for a while.
    async fn is_quiet(&mut self) {
        let nothing = timeout(BEAT * 5, self.event()).await;
        assert!(nothing.is_err(), "{nothing:?}");
    }
}

pub(super) fn parse(block: &str) -> Block {
    if block == ":" {
        return Block::Comment;
    }
    let lines: Vec<&str> = block.split('\n').collect();
    match lines.as_slice() {
        [retry] if retry.strip_prefix("retry: ").is_some_and(|n| n.parse::<u64>().is_ok()) => Block::Retry,
        ["event: availability", id, data] => {
            let id = id.strip_prefix("id: ").unwrap().to_owned();
            Block::Event { id, item: serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap() }
        }
        _ => panic!("unexpected: {block}"),
    }
}

#[tokio::test]
async fn a_stream_begins_with_what_a_read_says_in_the_same_order() {
    let served = knowing_nothing().await;
    served.shelf.publish(vec![view("A", 5), view("B", 2), view("C", 0)], heard(served.clock.now()));
    let query = "sku=B&sku=NONE&sku=A&sku=C&sku=A";
    let mut read = served.get(Storefront, &format!("/v1/availability?{query}")).await.json();
    let mut reader = Reader::open(&served, query, "").await;
    assert_eq!(reader.header("content-type"), Some("text/event-stream"));
    assert_eq!(reader.header("cache-control"), Some("no-store"));
    assert!(reader.until("\n\n").await.starts_with("retry: "));
    let mut statuses = Vec::new();
    for read in read["items"].as_array_mut().unwrap() {
        let (_, mut item) = reader.event().await;
        let keys = |item: &Value| item.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&item), keys(read));
        // The times are a moment later.
        for field in ["as_of", "stale_ms"] {
            item[field] = read[field].clone();
        }
        assert_eq!(item, *read);
        statuses.push(item["status"].as_str().unwrap().to_owned());
    }
    assert_eq!(statuses, ["low_stock", "no_such_item", "in_stock", "sold_out"]);
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_ten_times_a_second_at_most_and_the_newest_always() {
    let bed = bed();
    bed.shelf.publish(vec![view("HOT", 1_000)], None);
    let mut page = bed.open("sku=HOT", None).await;
    page.event().await;
    let began = Instant::now();
    let shelf = bed.shelf.clone();
    let selling = tokio::spawn(async move {
        for left in (0..=499).rev() {
            sleep(Duration::from_millis(7)).await;
            shelf.publish(vec![view("HOT", left)], None);
        }
    });
    let mut told: Vec<Instant> = Vec::new();
    let mut last = 1_000;
    while last > 0 {
        let (_, item) = page.event().await;
        let everywhere = item["everywhere"].as_u64().unwrap();
        assert!(everywhere < last);
        last = everywhere;
        told.push(Instant::now());
    }
    selling.await.unwrap();
    assert!(began.elapsed() <= Duration::from_millis(500 * 7) + BEAT, "the last one at once");
    assert!(told.len() >= 30, "{}", told.len());
    assert!(told.windows(2).all(|pair| pair[1] - pair[0] >= BEAT));
    page.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn the_first_second_has_ten_events_of_an_item_too() {
    let bed = bed();
    // Beats go on for this one.
    let _other = bed.open("sku=OTHER", None).await;
    sleep(BEAT * 5 + BEAT / 2).await;
    let mut page = bed.open("sku=HOT", None).await;
    let shelf = bed.shelf.clone();
    tokio::spawn(async move {
        for n in 1.. {
            shelf.publish(vec![view("HOT", n)], None);
            sleep(BEAT / 10).await;
        }
    });
    let mut told = Vec::new();
    for _ in 0..20 {
        page.event().await;
        told.push(Instant::now());
    }
    assert!(told.windows(2).all(|pair| pair[1] - pair[0] >= BEAT), "{told:?}");
    assert!(told[10] - told[0] <= BEAT * 11 + BEAT / 2, "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn an_id_says_nothing_of_other_items() {
    let bed = bed();
    bed.shelf.publish(vec![view("MUG", 9), view("TEE", 9)], None);
    let (mug, _) = bed.open("sku=MUG", None).await.event().await;
    let mut page = bed.open("sku=TEE&sku=MUG", Some(&mug)).await;
    assert_eq!(page.event().await.1["sku"], "TEE");
    let (both, item) = page.event().await;
    assert_eq!(item["sku"], "MUG");
    bed.open("sku=MUG&sku=TEE", Some(&both)).await.is_quiet().await;
    assert_eq!(bed.open("sku=TEE", Some(&both)).await.event().await.1["sku"], "TEE");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_says_something_every_fifteen_seconds() {
    let bed = bed();
    let mut page = bed.open("sku=A", None).await;
    page.event().await;
    let began = Instant::now();
    for n in 1..=4 {
        assert_eq!(page.next().await, Some(Block::Comment));
        assert_eq!(began.elapsed().as_secs(), COMMENT_EVERY.as_secs() * n);
    }
}

#[tokio::test(start_paused = true)]
async fn one_who_comes_back_gets_what_changed_since() {
    let bed = bed();
    bed.shelf.publish(vec![view("A", 9), view("B", 9)], None);
    let query = "sku=A&sku=B&sku=LATER";
    let mut page = bed.open(query, None).await;
    let mut last = String::new();
    for name in ["A", "B", "LATER"] {
        let (id, item) = page.event().await;
        assert_eq!(item["sku"], name);
        last = id;
    }
    drop(page);
    // Nobody follows anything meanwhile.
    bed.open(query, Some(&last)).await.is_quiet().await;
    bed.shelf.publish(vec![view("B", 8), view("OTHER", 1), view("LATER", 7), view("B", 6)], None);
    let mut page = bed.open(query, Some(&last)).await;
    assert_eq!(page.event().await.1["everywhere"], 6);
    let (last, later) = page.event().await;
    assert_eq!((&later["sku"], &later["status"]), (&"LATER".into(), &"in_stock".into()));
    page.is_quiet().await;
    // Also what was told as a change counts as got.
    bed.shelf.publish(vec![view("A", 8)], None);
    let (newer, _) = page.event().await;
    bed.open(query, Some(&newer)).await.is_quiet().await;
    assert_eq!(bed.open(query, Some(&last)).await.event().await.1["everywhere"], 8);
    // Ids of another process, or of none, are no error.
    let number = newer.split_once('-').unwrap().1;
    for foreign in [&format!("0-{number}"), number, "junk", "", "-", &format!("{newer}000")] {
        let mut page = bed.open(query, Some(foreign)).await;
        for name in ["A", "B", "LATER"] {
            assert_eq!(page.event().await.1["sku"], name, "{foreign}");
        }
    }
}

/// One who reads a stream over a socket.
struct Reader {
    client: Client,
    head: Vec<(String, String)>,
}

impl Reader {
    async fn open(served: &Served, query: &str, headers: &str) -> Reader {
        Reader::on(Client::to(served.storefront).await, query, headers).await
    }

    async fn on(mut client: Client, query: &str, headers: &str) -> Reader {
        client.send(&request(&format!("GET {STREAM}?{query}"), headers, "")).await;
        let response = client.response(false).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header("transfer-encoding"), Some("chunked"));
        Reader { client, head: response.headers }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Reads up to and with this text. Sizes of chunks stand on lines of their own, which no
    /// event has in it.
    async fn until(&mut self, end: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.client.unread).into_owned();
            if let Some(at) = text.find(end) {
                let taken = self.client.unread.drain(..at + end.len()).collect();
                let text = String::from_utf8(taken).unwrap();
                let is_size = |line: &str| line.is_empty() || line.bytes().all(|b| b.is_ascii_hexdigit());
                return text.split("\r\n").filter(|line| !is_size(line)).collect();
            }
            assert!(self.client.more().await, "an end");
        }
    }

    async fn event(&mut self) -> (String, Value) {
        let block = self.until("}\n\n").await;
        match parse(block.trim()) {
            Block::Event { id, item } => (id, item),
            other => panic!("{other:?}"),
        }
    }

    /// Waits for the end of the connection, which may end the stream properly before.
    async fn ended(&mut self) {
        while self.client.more().await {}
    }
}

/// Waits until so many streams are open.
async fn open_streams(served: &Served, wanted: u64) {
    let wait = async {
        while served.handle.metrics().read().streams_open != wanted {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(NEVER, wait).await.expect("so many streams");
}

fn unhurried() -> HttpLimits {
    let (head, body, idle, write) = (NEVER, NEVER, NEVER, NEVER);
    HttpLimits {
        header_timeout: head,
        body_timeout: body,
        idle_timeout: idle,
        write_timeout: write,
        ..HttpLimits::default()
    }
}

#[tokio::test]
async fn a_page_learns_that_a_proof_has_got_old() {
    let served = knowing_nothing().await;
    let nearly_old = Timestamp(served.clock.now().0 - FRESH.0 + 300);
    served.shelf.publish(vec![view("OUT", 0), view("IN", 5)], heard(nearly_old));
    let mut reader = Reader::open(&served, "sku=OUT&sku=IN", "").await;
    reader.until("\n\n").await;
    assert_eq!(reader.event().await.1["status"], "sold_out");
    assert_eq!(reader.event().await.1["status"], "in_stock");
    // Nothing is published, and time goes by.
    let (_, item) = reader.event().await;
    assert_eq!((&item["sku"], &item["status"]), (&"OUT".into(), &"uncertain".into()));
    served.shelf.publish(Vec::new(), heard(served.clock.now()));
    assert_eq!(reader.event().await.1["status"], "sold_out");
}

#[tokio::test]
async fn a_quiet_stream_is_not_idle() {
    let limits =
        HttpLimits { idle_timeout: SHORT, header_timeout: SHORT, write_timeout: SHORT, ..unhurried() };
    let served = served(limits, |_| None).await;
    let mut reader = Reader::open(&served, "sku=A", "").await;
    let mut other = Client::to(served.storefront).await;
    for _ in 0..4 {
        // Each of these waits for an idle connection to be ended.
        other.send(&request("GET /livez", "", "")).await;
        assert_eq!(other.response(false).await.status, 200);
        other.closed().await;
        other = Client::to(served.storefront).await;
    }
    served.shelf.publish(vec![view("A", 7)], None);
    reader.until("in_stock").await;
}

#[tokio::test]
async fn a_head_gets_no_stream_and_the_connection_is_idle_after_it() {
    let served = served(HttpLimits { idle_timeout: SHORT, ..unhurried() }, |_| None).await;
    let mut client = Client::to(served.storefront).await;
    client.send(&request(&format!("HEAD {STREAM}?sku=A"), "", "")).await;
    let response = client.response(true).await;
    assert_eq!((response.status, response.header("content-type")), (200, Some("text/event-stream")));
    open_streams(&served, 0).await;
    client.closed().await;
}

#[tokio::test]
async fn a_client_that_leaves_makes_room_at_once() {
    let served = served(HttpLimits { connections: 4, ..unhurried() }, |_| None).await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(Reader::open(&served, "sku=A", "").await);
    }
    let refused = served.get(Storefront, &format!("{STREAM}?sku=A")).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "overloaded"));
    open_streams(&served, 3).await;
    readers.pop();
    open_streams(&served, 2).await;
    Reader::open(&served, "sku=A", "").await;
}

#[tokio::test]
async fn under_lowered_limits_the_newest_streams_end_and_there_is_room_to_buy() {
    let (limits, live) = watch::channel(HttpLimits { connections: 8, ..unhurried() });
    let (handle, arrivals) = Handle::new(identity(), 1);
    let served =
        started_under(handle, arrivals.shelf.clone(), Arc::default(), Arc::default(), LiveLimits::new(live))
            .await;
    let mut readers = Vec::new();
    for _ in 0..6 {
        readers.push(Reader::open(&served, "sku=A", "").await);
    }
    limits.send_modify(|limits| limits.connections = 4);
    assert_eq!(served.get(Storefront, "/livez").await.status, 200);
    open_streams(&served, 3).await;
    for mut reader in readers.drain(3..) {
        reader.ended().await;
    }
    assert_eq!(served.get(Storefront, &format!("{STREAM}?sku=A")).await.code(), "overloaded");
    arrivals.shelf.publish(vec![view("A", 7)], None);
    for mut reader in readers {
        reader.until("in_stock").await;
    }
    limits.send_modify(|limits| limits.connections = 8);
    open_streams(&served, 0).await;
    for _ in 0..4 {
        std::mem::forget(Reader::open(&served, "sku=A", "").await);
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up() {
    let served = served(HttpLimits { write_timeout: SHORT, ..unhurried() }, |_| None).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = socket.connect(served.storefront).await.unwrap();
    let names: Vec<String> = (0..200).map(|i| format!("{i:0>128}")).collect();
    let query: Vec<String> = names.iter().map(|name| format!("sku={name}")).collect();
    let deaf = Reader::on(Client { stream, unread: Vec::new() }, &query.join("&"), "").await;
    open_streams(&served, 1).await;
    let mut n = 0;
    while served.handle.metrics().read().streams_open > 0 {
        n += 1;
        served.shelf.publish(names.iter().map(|name| view(name, n)).collect(), None);
        sleep(BEAT / 10).await;
    }
    drop(deaf);
}

#[tokio::test]
async fn streams_end_at_once_when_the_node_stops() {
    let limits = HttpLimits { drain_timeout: NEVER * 10, ..unhurried() };
    let served = served(limits, |_| None).await;
    let mut readers = Vec::new();
    for _ in 0..20 {
        readers.push(Reader::open(&served, "sku=A", "").await);
    }
    open_streams(&served, 20).await;
    served.stop.send(true).unwrap();
    for reader in &mut readers {
        reader.ended().await;
        assert!(reader.client.unread.ends_with(b"0\r\n\r\n"), "a proper end");
    }
    timeout(NEVER, served.ended).await.expect("an end").unwrap().unwrap();
}

#[tokio::test]
async fn a_stream_that_is_not_taken_does_not_hold_up_a_stop() {
    let limits = HttpLimits { drain_timeout: NEVER * 10, ..unhurried() };
    let served = served(limits, |_| None).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let stream = socket.connect(served.storefront).await.unwrap();
    let names: Vec<String> = (0..200).map(|i| format!("{i:0>128}")).collect();
    let query: Vec<String> = names.iter().map(|name| format!("sku={name}")).collect();
    let _deaf = Reader::on(Client { stream, unread: Vec::new() }, &query.join("&"), "").await;
    // Until nothing more is taken from the stream for a while.
    let (mut n, mut sent, mut stuck) = (0, 0, 0);
    while stuck < 5 {
        n += 1;
        served.shelf.publish(names.iter().map(|name| view(name, n)).collect(), None);
        sleep(BEAT * 2).await;
        let now = served.handle.metrics().read().stream_events;
        stuck = if now == sent { stuck + 1 } else { 0 };
        sent = now;
    }
    served.stop.send(true).unwrap();
    timeout(NEVER, served.ended).await.expect("an end").unwrap().unwrap();
}
