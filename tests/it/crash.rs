//! `kill -9` of any node under load.

use std::sync::Arc;

use rand::{RngExt as _, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::cluster::Cluster;
use super::oracle::{Load, Plan};

const KILLS: usize = 8;
/// Acknowledgements between two events, so that each meets traffic.
const BETWEEN: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_acknowledged_survives_kill_minus_nine_of_any_node_again_and_again() {
    let cluster = Arc::new(Cluster::start(3).await);
    let items = vec![("TEE", 600), ("MUG", 150), ("CAP", 60), ("PIN", 9)];
    let load = Load::start(&cluster, Plan { seed: 7, workers: 12, items, wait_ms: 300 }).await;
    let mut dice = ChaCha8Rng::seed_from_u64(7);
    for kill in 0..KILLS {
        load.progress(BETWEEN).await;
        let victim = kill % 3;
        let second = (kill % 4 == 3).then(|| (victim + 1) % 3);
        cluster[victim].kill().await;
        if let Some(second) = second {
            cluster[second].kill().await;
        }
        // Sometimes it is back before anybody notices, sometimes the others sell on without it.
        if dice.random_bool(0.5) {
            load.progress(BETWEEN / 2).await;
        }
        cluster.restart(victim).await;
        if let Some(second) = second {
            cluster.restart(second).await;
        }
    }
    load.progress(BETWEEN).await;
    cluster.linked().await;
    let tally = load.settle().await;
    assert!(tally.unanswered > 0, "no kill met a request under way: {tally:?}");
    println!("{tally:?}");
}
