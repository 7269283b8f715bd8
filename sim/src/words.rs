//! Short forms of what happens, for traces that people read.

use stockade::types::{
    Answer, Books, CellValue, Claimed, Command, Line, Operation, Outcome, Policy, Refusal, Reply, Request,
    Shortfall,
};
use stockade::wire::{Body, Entry, Key, Message};

use crate::world::Event;

/// What happens, in one line.
pub fn event(event: &Event) -> String {
    match event {
        Event::Parcel(parcel) => format!("n-{} -> n-{}", parcel.from, parcel.to),
        Event::Request { node, token, open } => {
            let who = open.client.map_or_else(|| "somebody".into(), |client| format!("client {client}"));
            format!("{who} asks n-{node} #{}  {}", token.0, request(&open.request))
        }
        Event::Answer { client, token, outcome } => match outcome {
            Some(_) => format!("client {client} hears #{}", token.0),
            None => format!("client {client} hears that #{} is broken off", token.0),
        },
        Event::Wake { client } => format!("client {client} wakes"),
        Event::GiveUp { client, token } => format!("client {client} waits no longer for #{}", token.0),
        Event::Tick { host, .. } => format!("n-{host} ticks"),
        Event::Synced { host, .. } => format!("n-{host} batch on disk"),
        Event::Chunk { host, .. } => format!("n-{host} checkpoint goes on"),
        Event::Boot { host } => format!("n-{host} starts"),
        Event::Connect { a, b } => format!("n-{a} n-{b} connect"),
        Event::LinkUp { host, peer, .. } => format!("n-{host} link to n-{peer} up"),
        Event::Measured { host, peer } => format!("n-{host} link to n-{peer} measured"),
        Event::LinkDown { host, peer, .. } => format!("n-{host} link to n-{peer} down"),
        Event::Idle { a, b } => format!("n-{a} n-{b} heard from each other?"),
        Event::Mend { cut } => format!("cut {cut} ends"),
        Event::Strike { place } => format!("strike at place {place}"),
        Event::Cut { from, to, span } => format!("n-{from} -> n-{to} cut for {} ms", span.0 / 1_000),
        Event::Room { host, .. } => format!("n-{host} has its disk room?"),
        Event::WrongDisk { host } => format!("n-{host} gets an old disk"),
        Event::RightDisk { host, .. } => format!("n-{host} gets its own disk back"),
        Event::Act { what } => format!("act {what}"),
    }
}

pub fn message(message: &Message) -> String {
    match message {
        Message::Hello(hello) => {
            let held = hello.held.0;
            format!("hello session {:04x} at {}, holds {held}", short(hello.session.nonce), hello.watermark)
        }
        Message::Digest(digest) => {
            let marks: Vec<String> = digest.watermarks.iter().map(|(_, seq)| seq.0.to_string()).collect();
            format!("digest {}", marks.join(" "))
        }
        Message::Pass(pass) => {
            let upto = pass.upto.map_or_else(|| "...".into(), |upto| upto.0.to_string());
            let n = pass.origin.0.as_u128() - 1;
            format!("pass of n-{n} {}..{upto}{}", pass.from.0, entries(&pass.entries))
        }
        Message::Ask(ask) => {
            let lines = ask.lines.iter().map(|line| {
                let (need, want) = (line.need.0, line.want.0);
                format!(" {need}+{want} {}", line.sku)
            });
            format!("ask{}", lines.collect::<String>())
        }
        Message::Given(given) => format!("given{}", entries(&given.entries)),
        Message::Forward(forward) => format!("forward {}", request(&forward.request)),
        Message::Holds(holds) => format!("holds up to {}", holds.upto),
        Message::Forwarded(answer) => format!("forwarded {}", outcome(&answer.outcome)),
        Message::Recall(_) | Message::Recalled(_) => "history".into(),
    }
}

pub fn request(request: &Request) -> String {
    let key = request.key.as_ref().map_or_else(String::new, |key| format!(" key {}", key.key));
    format!("{}{key}", command(&request.command))
}

pub fn command(command: &Command) -> String {
    match command {
        Command::Put(put) => {
            format!("put {} {} ttl {} wait {}", put.id, lines(&put.lines), put.ttl.0, put.wait.0)
        }
        Command::Confirm { id, .. } => format!("confirm {id}"),
        Command::Cancel { id } => format!("cancel {id}"),
        Command::Extend { id, ttl } => format!("extend {id} ttl {}", ttl.0),
        Command::Sell(sell) => format!("sell {} {} wait {}", sell.id, lines(&sell.lines), sell.wait.0),
        Command::Batch(operations) => {
            let all: Vec<String> = operations.iter().map(operation).collect();
            format!("batch [{}]", all.join(", "))
        }
        Command::Return(m) => format!("return {} {}", m.quantity.0, m.sku),
        Command::SetItem { sku, policy } => format!("set {sku}{}", self::policy(policy)),
        Command::Receive(m) => format!("receive {} {}", m.quantity.0, m.sku),
        Command::WriteOff(m) => format!("write off {} {}", m.quantity.0, m.sku),
        Command::Transfer(t) => format!("transfer {} {} {} -> {}", t.quantity.0, t.sku, t.from, t.to),
        Command::Read { id } => format!("read {id}"),
        Command::Import { key, lines } => {
            let lines = lines.iter().map(|l| format!(" {} {}", l.quantity.map_or(0, |units| units.0), l.sku));
            format!("import {}{}", key.as_deref().unwrap_or("-"), lines.collect::<String>())
        }
        Command::SetDraining { node, draining: true } => format!("drain {node}"),
        Command::SetDraining { node, draining: false } => format!("resume {node}"),
        Command::Reservations { .. } => "list reservations".into(),
        Command::Books { sku } => format!("books of {sku}"),
        Command::Items { .. } => "list items".into(),
        Command::Nodes => "list nodes".into(),
        Command::Check => "check".into(),
        Command::Rebalance { sku, dry_run, .. } => {
            let of = sku.as_ref().map_or("all", |sku| sku.as_str());
            format!("rebalance {of}{}", if *dry_run { ", dry run" } else { "" })
        }
    }
}

pub fn reply(reply: &Reply) -> String {
    let again = if reply.replayed { " (again)" } else { "" };
    format!("{}{again}", outcome(&reply.outcome))
}

pub fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Ok(Answer::Reservation(claimed)) => self::claimed(claimed),
        Ok(Answer::Batch(results)) => {
            let all: Vec<String> =
                results.iter().map(|result| result.as_ref().map_or_else(refusal, self::claimed)).collect();
            format!("batch [{}]", all.join(", "))
        }
        Ok(Answer::Books { books, .. }) => self::books(books),
        Ok(Answer::Returned { sku, quantity, .. }) => format!("returned {} {sku}", quantity.0),
        Ok(Answer::Imported(results)) => {
            format!("imported {} of {}", results.iter().flatten().count(), results.len())
        }
        Ok(Answer::Moves { moves, .. }) => {
            let moves = moves.iter().map(|m| {
                let begun = if m.begun { " begun" } else { "" };
                format!(" {} {} {} -> {}{begun}", m.quantity.0, m.sku, m.from, m.to)
            });
            format!("moves{}", moves.collect::<String>())
        }
        Ok(Answer::Node(status)) => format!("{} is {}", status.name, status.state.as_str()),
        Ok(Answer::Reservations { reservations, .. }) => format!("{} reservations", reservations.len()),
        Ok(Answer::Items { items, .. }) => format!("{} items", items.len()),
        Ok(Answer::Nodes { nodes, .. }) => format!("{} nodes", nodes.len()),
        Ok(Answer::Check(report)) => format!("{} violations", report.violations.len()),
        Err(no) => refusal(no),
    }
}

fn refusal(no: &Refusal) -> String {
    match no {
        Refusal::InsufficientStock(short) => format!("no stock: {}", shortfalls(short)),
        Refusal::Expired(short) => format!("expired: {}", shortfalls(short)),
        other => {
            // The name of the variant: what follows it is for machines.
            let text = format!("{other:?}");
            let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
            format!("refused: {}", &text[..end])
        }
    }
}

fn shortfalls(short: &[Shortfall]) -> String {
    let all: Vec<String> = short.iter().map(|s| format!("{} {}", s.sku, s.verdict.as_str())).collect();
    all.join(", ")
}

fn claimed(claimed: &Claimed) -> String {
    let reservation = &claimed.reservation;
    let state = reservation.state.as_str();
    format!("{} {state} v{} at {}", reservation.id, reservation.version, claimed.node)
}

fn books(books: &Books) -> String {
    format!("books of {}", books.sku)
}

fn policy(policy: &Policy) -> String {
    if policy.quotas.is_empty() { String::new() } else { format!(" with {} quotas", policy.quotas.len()) }
}

fn operation(operation: &Operation) -> String {
    match operation {
        Operation::Reserve(put) => format!("put {} {}", put.id, lines(&put.lines)),
        Operation::Confirm { id } => format!("confirm {id}"),
        Operation::Cancel { id } => format!("cancel {id}"),
        Operation::Sell(sell) => format!("sell {} {}", sell.id, lines(&sell.lines)),
    }
}

fn lines(lines: &[Line]) -> String {
    let all: Vec<String> = lines.iter().map(|line| format!("{} {}", line.quantity.0, line.sku)).collect();
    all.join(" + ")
}

fn entries(entries: &[Entry]) -> String {
    entries.iter().map(|entry| format!("; {}", self::entry(entry))).collect()
}

fn entry(entry: &Entry) -> String {
    let what = match (&entry.key, &entry.body) {
        (Key::Item(sku), Body::Item(row)) => {
            let cells: Vec<String> = row.cells.iter().map(cell).collect();
            format!("{sku} {}", cells.join(" "))
        }
        (_, Body::Setting(_)) => "setting".into(),
        (_, Body::Session(session)) => format!("session {:04x} from {}", short(session.nonce), session.first),
        (_, Body::Draining(draining)) => format!("draining {draining}"),
        (_, Body::Closed) => "closed".into(),
        _ => "member".into(),
    };
    format!("{} {what}", entry.seq.0)
}

fn cell(cell: &CellValue) -> String {
    use stockade::types::Cell;
    let n = |id: &stockade::types::ReplicaId| id.0.as_u128() - 1;
    let name = match &cell.cell {
        Cell::Sent(to) => format!("sent{}", n(to)),
        Cell::Credited(from) => format!("credited{}", n(from)),
        Cell::Reclaimed(from) => format!("reclaimed{}", n(from)),
        other => format!("{other:?}").to_lowercase(),
    };
    format!("{name}={}", cell.value)
}

fn short(nonce: u64) -> u64 {
    nonce & 0xffff
}
