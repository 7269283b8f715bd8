//! The long tests, run with `STOCKADE_LONG=1` only: the whole trace under kills and cuts, and
//! whether a node that is cut off is as fast as before.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::client::{lines_json, post};
use super::cluster::{AGREE_WITHIN, Cluster};
use super::node::LOOK_EVERY;
use super::relay::{Counts, Isolation};
use super::replay::{TRACE, command, regions, report, trace};

/// How often the speed is measured before, in and after a cut.
const TURNS: usize = 4;
const ROUNDS: usize = 18;
const CUT: Duration = Duration::from_secs(10);
/// Orders a second: the trace's 23,727 take more than five minutes.
const RATE: &str = "70";

/// False, and said so, unless long tests were asked for.
pub fn may_take_long() -> bool {
    let may = std::env::var_os("STOCKADE_LONG").is_some_and(|value| value == "1");
    if !may {
        println!("skipped: it takes minutes; set STOCKADE_LONG=1 to run it");
    }
    may
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_over_a_year_of_orders_oversells_nothing_and_loses_nothing() {
    let Some(file) = trace(TRACE).filter(|_| may_take_long()) else { return };
    let cluster = Cluster::prepare(&regions()).await;
    cluster.start_all().await;
    keep_addresses(&cluster);
    let began = Instant::now();
    let replay = tokio::spawn(report(command(&cluster, &file, &["--rate", RATE])));
    let mut dice = ChaCha8Rng::seed_from_u64(2026);
    let (mut kills, mut cuts, mut one_way) = (0, 0, 0);
    for round in 0..ROUNDS {
        sleep(Duration::from_secs(6)).await;
        assert!(!replay.is_finished(), "the load was over before the faults");
        let cut_off = dice.random_range(0..8);
        let isolation = [Isolation::Both, Isolation::Mute, Isolation::Both, Isolation::Deaf][round % 4];
        println!("{:>5.1} s: n{cut_off} is cut off: {isolation:?}", began.elapsed().as_secs_f64());
        cluster.net.isolate(cut_off, isolation);
        let heal = Instant::now() + CUT;
        cuts += 1;
        one_way += usize::from(isolation != Isolation::Both);
        sleep(Duration::from_millis(dice.random_range(1_000..5_000))).await;
        kill(&cluster, dice.random_range(0..8), &mut dice, began).await;
        kills += 1;
        tokio::time::sleep_until(heal).await;
        cluster.net.heal();
    }
    println!("{kills} kills, {cuts} cuts of {CUT:?}, {one_way} of them one-way; {:?}", cluster.net.counts);
    assert!(kills >= 12 && cuts >= 12 && one_way * 2 >= cuts, "not as hard as it should be");
    assert!(Counts::read(&cluster.net.counts.cut) > 0);
    let report = replay.await.expect("the replay ended badly");
    assert!(report["seconds"].as_f64().unwrap() >= 300.0, "too fast: {report}");
    assert_eq!((&report["ok"], &report["books"]["oversold"]), (&json!(true), &json!(0)));
    assert_eq!(report["books"]["sold"], report["units"]["confirmed"]);
    assert_eq!(report["books"]["returned"], report["units"]["returned"]);

    // Once more, with the clock running from the heal.
    cluster.net.isolate(3, Isolation::Both);
    let heal = Instant::now() + CUT;
    for node in 0..8 {
        cluster[node].stock(&format!("LAST-{node}"), 10).await;
    }
    tokio::time::sleep_until(heal).await;
    cluster.net.heal();
    println!(
        "all nodes agree {:?} after the last heal (at most {AGREE_WITHIN:?})",
        cluster.converged().await
    );
}

/// From now on each node listens where it does now, so that a client needs no new addresses.
fn keep_addresses(cluster: &Cluster) {
    for (number, node) in cluster.nodes.iter().enumerate() {
        cluster.configure(number, node.addresses().expect("it runs"));
    }
}

/// `kill -9`, and a start soon after.
async fn kill(cluster: &Cluster, node: usize, dice: &mut ChaCha8Rng, began: Instant) {
    println!("{:>5.1} s: n{node} is killed", began.elapsed().as_secs_f64());
    let at = cluster[node].addresses().expect("it runs");
    cluster[node].kill().await;
    sleep(Duration::from_millis(dice.random_range(0..2_000))).await;
    // The system may have lent its port to an outgoing connection meanwhile.
    while [at.storefront, at.admin].iter().any(|address| TcpListener::bind(address).is_err()) {
        sleep(LOOK_EVERY).await;
    }
    let started = Instant::now();
    cluster.restart(node).await;
    println!("{:>5.1} s: n{node} is ready after {:?}", began.elapsed().as_secs_f64(), started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_is_as_fast_as_before() {
    if !may_take_long() {
        return;
    }
    let cluster = Arc::new(Cluster::start(3).await);
    cluster[0].stock("TEE", 1_000_000).await;
    cluster.converged().await;
    p99(&cluster, "warm").await;
    // The best of several turns: what else runs on this machine comes and goes.
    let [mut before, mut at_once, mut noticed] = [Duration::MAX; 3];
    for turn in 0..TURNS {
        before = before.min(p99(&cluster, &format!("before-{turn}")).await);
        cluster.net.isolate(0, Isolation::Both);
        at_once = at_once.min(p99(&cluster, &format!("cut-{turn}")).await);
        cluster.wait_for_links(0, 1).await;
        noticed = noticed.min(p99(&cluster, &format!("noticed-{turn}")).await);
        cluster.net.heal();
        cluster.linked().await;
    }
    println!("p99 of a sale: {before:?} before, {at_once:?} in the cut, {noticed:?} once it was noticed");
    let most = before.mul_f64(1.5);
    assert!(at_once <= most && noticed <= most, "slower than {most:?}");
}

/// Of sales at node 0, some at a time.
async fn p99(cluster: &Arc<Cluster>, name: &str) -> Duration {
    const SALES: usize = 4_000;
    const AT_ONCE: usize = 8;
    let sell = |worker: usize| {
        let (cluster, name) = (cluster.clone(), name.to_owned());
        async move {
            let mut took = Vec::new();
            for n in 0..SALES / AT_ONCE {
                let body = json!({"lines": lines_json(&[("TEE", 1)])});
                let call = post("/v1/sales", body).key(format!("{name}-{worker}-{n}"));
                let began = Instant::now();
                cluster[0].ask(call).await.expect(201);
                took.push(began.elapsed());
            }
            took
        }
    };
    let workers: Vec<_> = (0..AT_ONCE).map(|worker| tokio::spawn(sell(worker))).collect();
    let mut took = Vec::new();
    for worker in workers {
        took.extend(worker.await.unwrap());
    }
    took.sort();
    took[took.len() * 99 / 100]
}
