//! The hub without streams: what waits for whom, and what is kept of whom.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::stream::{Block, heard, parse, up_to, view};
use super::*;
use crate::http::hub::{Event, Hub, MAX_WATCHED, NoStream, Subscription};
use crate::limits::FRESH;

/// A client that keeps the newest state of each item and the id of the last event.
#[derive(Default)]
struct Shop {
    last: Option<String>,
    items: BTreeMap<String, (u64, String)>,
}

impl Shop {
    /// Takes events until the connection breaks off.
    fn take(&mut self, text: &str, breaks_off: &mut dyn FnMut() -> bool) -> ControlFlow<()> {
        for block in text.split_terminator("\n\n") {
            let Block::Event { id, item } = parse(block) else { panic!("{block}") };
            if breaks_off() {
                return ControlFlow::Break(());
            }
            let state = (item["everywhere"].as_u64().unwrap(), item["status"].as_str().unwrap().to_owned());
            self.items.insert(item["sku"].as_str().unwrap().to_owned(), state);
            self.last = Some(id);
        }
        ControlFlow::Continue(())
    }
}

/// The events that wait for a stream.
fn fetched(subscription: &Subscription) -> Vec<String> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).unwrap().to_owned();
    let whole = |event: &Event| text(&subscription.head(event)) + &text(&event.data);
    subscription.fetch().iter().map(whole).collect()
}

#[tokio::test]
async fn nothing_is_missed_wherever_a_client_breaks_off() {
    const NAMES: [&str; 6] = ["A", "B", "C", "D", "E", "F"];
    let skus: Vec<Sku> = NAMES.iter().map(|name| sku(name)).collect();
    for seed in 0..300 {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let (handle, arrivals) = Handle::new(identity(), 1);
        let shelf = arrivals.shelf;
        let hub = Hub::new(handle.clone(), up_to(10));
        let mut shops: Vec<(Shop, Option<Subscription>)> = vec![Default::default(), Default::default()];
        for _ in 0..200 {
            let some = dice.random_range(0..shops.len());
            match dice.random_range(0..10) {
                0..4 => {
                    let name = NAMES[dice.random_range(0..NAMES.len())];
                    shelf.publish(vec![view(name, dice.random_range(0..3))], None);
                }
                4 => {
                    let age = if dice.random() { FRESH.0 * 10 } else { 0 };
                    shelf.publish(Vec::new(), heard(Timestamp(handle.now().0 - age)));
                }
                5..8 => drop(hub.beat()),
                _ => {
                    let (shop, open) = &mut shops[some];
                    let mut breaks_off = || dice.random_range(0..8) == 0;
                    let told = match open {
                        Some(subscription) => fetched(subscription).concat().into_bytes(),
                        None => {
                            let (new, first) = hub.subscribe(skus.clone(), shop.last.as_deref()).unwrap();
                            *open = Some(new);
                            first.text
                        }
                    };
                    if shop.take(std::str::from_utf8(&told).unwrap(), &mut breaks_off).is_break() {
                        *open = None;
                    }
                }
            }
        }
        // Whoever has got all that was told knows what the shelf shows.
        shelf.publish(Vec::new(), heard(handle.now()));
        for (shop, open) in &mut shops {
            if open.is_none() {
                let (new, first) = hub.subscribe(skus.clone(), shop.last.as_deref()).unwrap();
                *open = Some(new);
                let _ = shop.take(std::str::from_utf8(&first.text).unwrap(), &mut || false);
            }
        }
        drop(hub.beat());
        for (shop, open) in &mut shops {
            let told = fetched(open.as_ref().unwrap()).concat();
            let _ = shop.take(&told, &mut || false);
            for item in handle.availability(&skus) {
                let shown = (item.everywhere.0, item.status.as_str().to_owned());
                assert_eq!(shop.items[item.sku.as_str()], shown, "seed {seed}: {}", item.sku);
            }
        }
    }
}

#[tokio::test]
async fn a_slow_reader_has_the_newest_state_of_each_item_waiting_and_no_more() {
    let (handle, arrivals) = Handle::new(identity(), 1);
    let hub = Hub::new(handle, up_to(10));
    let (subscription, _) = hub.subscribe(vec![sku("A"), sku("B")], None).unwrap();
    for n in 1..=1_000 {
        arrivals.shelf.publish(vec![view("A", n), view("B", n), view("C", n)], None);
        hub.beat();
    }
    let waiting = fetched(&subscription);
    assert_eq!(waiting.len(), 2);
    for event in waiting {
        let Block::Event { item, .. } = parse(event.trim_end()) else { panic!("an event") };
        assert_eq!(item["everywhere"], 1_000);
    }
    assert!(subscription.fetch().is_empty());
    // Nobody follows anything any more, and nothing is marked.
    drop(subscription);
    arrivals.shelf.publish(vec![view("A", 1)], None);
    assert!(arrivals.shelf.begin_beat(NOW).dirty.is_empty());
}

#[tokio::test]
async fn made_up_items_take_a_bounded_memory() {
    let (handle, _arrivals) = Handle::new(identity(), 1);
    let hub = Hub::new(handle, up_to(12_000));
    let some = |n: usize| (0..200).map(|i| sku(&format!("{n}-{i}"))).collect::<Vec<_>>();
    let mut open: Vec<_> = (0..MAX_WATCHED / 200).map(|n| hub.subscribe(some(n), None).unwrap().0).collect();
    assert_eq!(hub.subscribe(vec![sku("NEW")], None).unwrap_err(), NoStream::TooManyItems);
    open.push(hub.subscribe(some(7), None).unwrap().0);
    drop(open.remove(0));
    hub.subscribe(vec![sku("NEW")], None).unwrap();
}

#[tokio::test]
async fn nothing_is_kept_of_streams_that_ended_before_a_beat() {
    let (handle, _arrivals) = Handle::new(identity(), 1);
    let hub = Hub::new(handle, up_to(10));
    for _ in 0..100 {
        drop(hub.subscribe(vec![sku("A")], None).unwrap());
    }
    assert!(hub.is_clear());
}
