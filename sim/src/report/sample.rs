//! Made-up recordings for tests and for looking at pages: a few rules of thumb instead of replicas,
//! but books that add up.

use crate::recording::{Band, Bucket, ItemBooks, Latency, Mark, Moved, Node, NodeBucket, Recording, Totals};

struct Shop {
    recording: Recording,
    free: Vec<u64>,
    held: Vec<u64>,
    sold: u64,
    received: u64,
    noise: u64,
}

/// An ocean cable is cut for hours in two days of sales, while one region is lost for a while.
pub fn ocean_cable() -> Recording {
    sales("Ocean cable cut on a sale weekend", &["eu-west", "us-east", "us-west", "ap-south"], 192, 900.0, 0)
}

/// The same with more units kept where they sell.
pub fn other_policy() -> Recording {
    sales(
        "Ocean cable cut, quotas by last week's sales",
        &["eu-west", "us-east", "us-west", "ap-south"],
        192,
        900.0,
        260,
    )
}

/// As many nodes as a cluster may have, with long names.
pub fn crowd() -> Recording {
    let names: Vec<String> = (0..64).map(|n| format!("region-{n}-with-a-name-that-goes-on-and-on")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    sales(
        "Sixty-four regions & a <title> that is long enough to need more than one line on any screen",
        &names,
        500,
        60.0,
        20,
    )
}

/// One node, one span, nothing wrong.
pub fn one() -> Recording {
    let mut recording = sales("One node", &["here"], 1, 60.0, 100);
    recording.bands.clear();
    recording.marks.clear();
    recording
}

fn sales(title: &str, regions: &[&str], buckets: usize, span: f64, spread: u64) -> Recording {
    let nodes = regions.iter().map(|region| Node { name: format!("{region}-1"), region: (*region).into() });
    let count = regions.len();
    let recording = Recording {
        title: title.into(),
        about: "Demand of an ordinary sale, most of it in Europe's and America's evenings. The cable between \
                Europe and America is cut for six hours on the first evening; the smallest region is lost overnight."
            .into(),
        seed: 7,
        seconds: buckets as f64 * span,
        nodes: nodes.collect(),
        transfers: vec![vec![Moved::default(); count]; count],
        file: "sim/scenarios/ocean-cable.toml".into(),
        ..Recording::default()
    };
    let mut shop = Shop {
        recording,
        free: vec![spread; count],
        held: vec![0; count],
        sold: 0,
        received: 0,
        noise: 12345,
    };
    shop.free[0] += 8_600;
    shop.received = shop.free.iter().sum();
    for at in 0..buckets {
        shop.bucket(at, buckets, span);
    }
    shop.close(span)
}

impl Shop {
    fn noise(&mut self, below: u64) -> u64 {
        self.noise =
            self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.noise >> 33) % below.max(1)
    }

    fn bucket(&mut self, at: usize, buckets: usize, span: f64) {
        let count = self.free.len();
        let (cut, lost) =
            (at > buckets / 4 && at < buckets * 3 / 8, at > buckets / 2 && at < buckets * 5 / 8);
        if at == buckets * 2 / 3 && count > 1 {
            self.free[0] += 3_000;
            self.received += 3_000;
        }
        let mut nodes = Vec::new();
        for node in 0..count {
            let day = ((at as f64 / buckets as f64 * 2.0 + node as f64 * 0.13) * std::f64::consts::TAU).sin();
            let asked = (14.0 + 12.0 * day) as u64 / (1 + node as u64 / 4) + self.noise(6);
            nodes.push(self.node(node, asked, cut && count > 1, lost && node + 1 == count && count > 1));
        }
        self.recording.buckets.push(Bucket { from: at as f64 * span, nodes });
    }

    fn node(&mut self, node: usize, asked: u64, cut: bool, lost: bool) -> NodeBucket {
        let mut bucket =
            NodeBucket { asked, available: self.free[node], held: self.held[node], ..NodeBucket::default() };
        if lost {
            bucket.unanswered = asked / 3;
            bucket.served = 0;
            bucket.elsewhere = asked - bucket.unanswered;
            return bucket;
        }
        let donor = (0..self.free.len()).filter(|other| !cut || (*other == 0) == (node == 0));
        let donor = donor.max_by_key(|other| self.free[*other]).unwrap_or(node);
        if self.free[node] < asked && donor != node {
            let units = (self.free[donor] / 2).min(asked * 9);
            self.free[donor] -= units;
            self.free[node] += units;
            let moved = &mut self.recording.transfers[donor][node];
            moved.units += units;
            moved.transfers += u64::from(units > 0);
        }
        bucket.served = asked.min(self.free[node]);
        let short = asked - bucket.served;
        match (cut, self.free.iter().sum::<u64>()) {
            (true, _) => bucket.unknown = short,
            (false, 0..40) => bucket.sold_out = short,
            _ => bucket.elsewhere = short,
        }
        self.free[node] -= bucket.served;
        self.sold += self.held[node];
        self.held[node] = bucket.served;
        bucket.failed_over = bucket.served / 20;
        (bucket.available, bucket.held) = (self.free[node], self.held[node]);
        bucket
    }

    fn close(mut self, span: f64) -> Recording {
        let recording = &mut self.recording;
        let sum = |units: fn(&NodeBucket) -> u64| -> u64 {
            recording.buckets.iter().flat_map(|bucket| &bucket.nodes).map(units).sum()
        };
        let moved = || recording.transfers.iter().flatten();
        let totals = Totals {
            orders: sum(|n| n.asked) * 4 / 5,
            orders_served: sum(|n| n.served) * 4 / 5,
            units_asked: sum(|n| n.asked),
            units_served: sum(|n| n.served),
            sold_out: sum(|n| n.sold_out),
            elsewhere: sum(|n| n.elsewhere),
            unknown: sum(|n| n.unknown),
            unanswered: sum(|n| n.unanswered),
            avoidable: sum(|n| n.elsewhere) / 5,
            abandoned: 0,
            returned: 0,
            transfers: moved().map(|moved| moved.transfers).sum(),
            units_moved: moved().map(|moved| moved.units).sum(),
            messages: 1_204_881,
            bytes: 96_400_112,
            events: 4_880_123,
        };
        let (free, held) = (self.free.iter().sum::<u64>(), self.held.iter().sum::<u64>());
        recording.totals = totals;
        recording.latency = (0..self.free.len()).map(latency).collect();
        recording.books = books(totals.units_asked, self.received, self.sold, held, free);
        recording.more_items = 1_180;
        let at = |share: f64| recording.seconds * share;
        let last = self.free.len() - 1;
        recording.bands = vec![
            Band { from: at(0.25), to: at(0.375), label: "cable eu–us cut".into(), nodes: vec![0] },
            Band {
                from: at(0.5),
                to: at(0.625),
                label: format!("{} lost", recording.nodes[last].region),
                nodes: vec![last],
            },
        ];
        let mark = |at: f64, label: &str| Mark { at, label: label.into() };
        recording.marks = vec![
            mark(0.0, "stock of 8,600 units received"),
            mark(at(0.3), "quota of eu-west lowered to 20%"),
            mark((at(0.667) / span).floor() * span, "restock of 3,000 units"),
            mark(at(0.8), "quota of eu-west back to 50%"),
        ];
        self.recording
    }
}

fn latency(node: usize) -> Latency {
    let far = 1.0 + node as f64;
    Latency {
        answers: 4_000 / (1 + node as u64),
        p50: 1.2 + far * 0.3,
        p90: 9.0 * far,
        p99: 80.0 + 74.0 * far,
        max: 1_900.0 + far,
        local_share: 0.98 / far.sqrt(),
    }
}

fn books(asked: u64, received: u64, sold: u64, held: u64, available: u64) -> Vec<ItemBooks> {
    let skus = ["TEE-RED-M", "TEE-RED-L", "MUG-WHITE", "Größe 42 <limited> & \"signed\"", "SOCKS"];
    let parts = skus.len() as u64;
    let part = |whole: u64, at: u64| whole / parts + u64::from(at < whole % parts);
    let item = |(at, sku): (usize, &&str)| {
        let at = at as u64;
        let [sold, held, available] = [sold, held, available].map(|whole| part(whole, at));
        ItemBooks {
            sku: (*sku).into(),
            asked: part(asked, at),
            received: sold + held + available,
            sold,
            held,
            available,
            ..ItemBooks::default()
        }
    };
    let items: Vec<ItemBooks> = skus.iter().enumerate().map(item).collect();
    assert_eq!(items.iter().map(|item| item.received).sum::<u64>(), received, "made-up books add up");
    items
}
