//! The driver over stores that wait, fail, fill up, and are opened again.

mod lingering;

use std::sync::{Arc, Condvar, Mutex};
use std::task::Poll;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;
use crate::limits::Limits;
use crate::replica::Evidence;
use crate::store::memory::Fate;
use crate::store::{
    BatchNumber, CheckpointWriter, FinishedCheckpoint, Head, History, HistoryOptions, Loaded, MemoryDisk,
    MemoryStore, Store, StoreError, StoreSize,
};
use crate::types::*;
use crate::wire::{Batch, Genesis, Member, Record, codec};

fn sku(name: &str) -> Sku {
    Sku::new(name).unwrap()
}

fn genesis() -> Genesis {
    let member = Member {
        replica: ReplicaId(Uuid::from_u128(1)),
        name: NodeName::new("n-1").unwrap(),
        region: Region::new("n").unwrap(),
    };
    Genesis {
        cluster: ClusterId(Uuid::from_u128(9)),
        replica: member.replica,
        name: member.name.clone(),
        region: member.region.clone(),
        founders: vec![member],
    }
}

fn prepared() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let genesis = genesis();
    let head = Head { cluster: genesis.cluster, node: genesis.name.clone(), replica: genesis.replica };
    let batch = Batch { time: Timestamp(1), records: vec![Record::Genesis(genesis)] };
    MemoryStore::create(&disk, head, &codec::encode(&batch)).unwrap();
    disk
}

/// Appends wait while the gate is shut.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<(bool, usize)>, Condvar)>);

impl Gate {
    fn shut(&self, shut: bool) {
        self.0.0.lock().unwrap().0 = shut;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.1 += 1;
        self.0.1.notify_all();
        drop(self.0.1.wait_while(state, |(shut, _)| *shut).unwrap());
    }

    /// Returns once so many appends have come to the gate in all.
    fn arrived(&self, count: usize) {
        let state = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(state, |(_, arrived)| *arrived < count).unwrap());
    }

    fn count(&self) -> usize {
        self.0.0.lock().unwrap().1
    }
}

struct Gated {
    store: MemoryStore,
    gate: Gate,
}

impl Store for Gated {
    fn head(&self) -> &Head {
        self.store.head()
    }
    fn load(&mut self, sink: &mut dyn FnMut(Loaded<'_>) -> Result<(), String>) -> Result<(), StoreError> {
        self.store.load(sink)
    }
    fn append(&mut self, body: &[u8]) -> Result<BatchNumber, StoreError> {
        self.gate.pass();
        self.store.append(body)
    }
    fn begin_checkpoint(&mut self) -> Result<Box<dyn CheckpointWriter>, StoreError> {
        self.store.begin_checkpoint()
    }
    fn adopt(&mut self, finished: FinishedCheckpoint) -> Result<(), StoreError> {
        self.store.adopt(finished)
    }
    fn size(&self) -> StoreSize {
        self.store.size()
    }
}

struct Node {
    handle: Handle,
    stop: watch::Sender<bool>,
    ended: JoinHandle<Result<(), NodeError>>,
}

fn start(disk: &MemoryDisk, gate: &Gate, options: DriverOptions) -> Node {
    start_on(Box::new(Gated { store: MemoryStore::open(disk).unwrap(), gate: gate.clone() }), options)
}

fn start_on(mut store: Box<dyn Store>, options: DriverOptions) -> Node {
    let mut recovery = Recovery::new(Limits::default());
    store.load(&mut |loaded| recovery.take(loaded).map(drop)).unwrap();
    let recovered = recovery.finish(store.head()).unwrap();
    assert_eq!(recovered.replica.check().violations, vec![]);
    let (handle, arrivals) = Handle::new(recovered.identity(), 256);
    let history = History::in_memory(recovered.identity().replica, HistoryOptions::default());
    let (stop, stopped) = watch::channel(false);
    let opening = Opening { evidence: Evidence::Proven, witness: None };
    let ended = tokio::spawn(run(recovered, opening, store, history, options, arrivals, stopped));
    Node { handle, stop, ended }
}

impl Node {
    async fn call(&self, command: Command) -> Outcome {
        self.handle.call(Request::plain(command)).await.unwrap().outcome
    }

    async fn with_item(&self, units: u64) {
        self.call(Command::SetItem { sku: sku("TEE"), policy: Policy::default() }).await.unwrap();
        self.call(receive(units)).await.unwrap();
    }

    async fn stop(self) -> Result<(), NodeError> {
        self.stop.send_replace(true);
        self.ended.await.unwrap()
    }
}

fn receive(units: u64) -> Command {
    Command::Receive(Movement { sku: sku("TEE"), quantity: Units(units), reason: None, reference: None })
}

fn sell(id: &str) -> Command {
    Command::Sell(Sell {
        id: ReservationId::new(id).unwrap(),
        lines: vec![Line { sku: sku("TEE"), quantity: Units(1) }],
        wait: Millis(0),
        reference: None,
        minted: false,
    })
}

fn keyed(command: Command) -> Request {
    let key = Some(IdempotencyKey { scope: "POST /v1/sales".into(), key: "k".into() });
    Request { command, key, caller: Caller::Storefront }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_leaves_before_what_it_rests_on_is_durable() {
    let (disk, gate) = (prepared(), Gate::default());
    let node = start(&disk, &gate, DriverOptions::default());
    node.with_item(5).await;
    gate.shut(true);
    let before = gate.count();
    let mut sale = Box::pin(node.handle.call(keyed(sell("A"))));
    assert!(futures_poll(&mut sale).await.is_pending());
    gate.arrived(before + 1);
    // The sale is with the store; none of these has a record of its own, all rest on it.
    let mut again = Box::pin(node.handle.call(keyed(sell("A"))));
    let mut read = Box::pin(node.call(Command::Read { id: ReservationId::new("A").unwrap() }));
    let mut check = Box::pin(node.call(Command::Check));
    for _ in 0..50 {
        assert!(futures_poll(&mut sale).await.is_pending());
        assert!(futures_poll(&mut again).await.is_pending());
        assert!(futures_poll(&mut read).await.is_pending());
        assert!(futures_poll(&mut check).await.is_pending());
        assert_eq!(node.handle.availability(&[sku("TEE")])[0].here, Units(5));
    }
    gate.shut(false);
    assert!(!sale.await.unwrap().replayed);
    assert_eq!(node.handle.availability(&[sku("TEE")])[0].here, Units(4));
    assert!(again.await.unwrap().replayed);
    assert!(read.await.is_ok());
    assert!(check.await.is_ok());
    node.stop().await.unwrap();
}

async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    tokio::task::yield_now().await;
    std::future::poll_fn(|context| Poll::Ready(std::pin::Pin::new(&mut *future).poll(context))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_while_a_batch_syncs_goes_into_one_commit() {
    let (disk, gate) = (prepared(), Gate::default());
    let node = start(&disk, &gate, DriverOptions::default());
    node.with_item(100).await;
    gate.shut(true);
    let before = gate.count();
    let handle = node.handle.clone();
    let one = |n: usize| {
        let handle = handle.clone();
        tokio::spawn(
            async move { handle.call(Request::plain(sell(&format!("A{n}")))).await.unwrap().outcome },
        )
    };
    let mut sales = vec![one(0)];
    gate.arrived(before + 1);
    sales.extend((1..40).map(one));
    // All forty are decided: the last one's reply is held back, and so is this check's.
    let mut check = Box::pin(node.call(Command::Check));
    assert!(futures_poll(&mut check).await.is_pending());
    while node.handle.metrics().read().replica.requests < 42 {
        tokio::task::yield_now().await;
    }
    gate.shut(false);
    for sale in sales {
        sale.await.unwrap().unwrap();
    }
    check.await.unwrap();
    assert!(gate.count() <= before + 4, "{} commits for forty sales", gate.count() - before);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_store_fails_nothing_is_answered_and_the_node_ends() {
    for fate in [Fate::Lost, Fate::Kept] {
        let (disk, gate) = (prepared(), Gate::default());
        let node = start(&disk, &gate, DriverOptions::default());
        node.with_item(5).await;
        disk.fail_next_append(fate);
        let answer = node.handle.call(Request::plain(sell("A"))).await;
        assert_eq!(answer, Err(CallError::Gone), "done or not done, nobody can say");
        assert!(node.handle.readiness().reasons().contains(&NotReadyReason::StoreFailed));
        assert!(matches!(node.ended.await.unwrap(), Err(NodeError::Store(_))));
        assert_eq!(node.handle.call(Request::plain(sell("B"))).await, Err(CallError::Gone));
        // The unanswered sale resolves to one of the two.
        let node = start(&disk.copy(), &Gate::default(), DriverOptions::default());
        let read = node.call(Command::Read { id: ReservationId::new("A").unwrap() }).await;
        assert_eq!(read.is_ok(), fate == Fate::Kept, "{read:?}");
        node.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_holds_answers_back_until_there_is_room() {
    let (disk, gate) = (prepared(), Gate::default());
    let node = start(&disk, &gate, DriverOptions::default());
    node.with_item(5).await;
    disk.set_full(true);
    let mut sale = Box::pin(node.handle.call(Request::plain(sell("A"))));
    while !node.handle.readiness().reasons().contains(&NotReadyReason::DiskFull) {
        assert!(futures_poll(&mut sale).await.is_pending());
    }
    disk.set_full(false);
    assert!(sale.await.unwrap().outcome.is_ok());
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_begins_from_a_checkpoint_that_was_taken_under_load() {
    let (disk, gate) = (prepared(), Gate::default());
    let options = DriverOptions { checkpoint_every_bytes: 4_000 };
    let node = start(&disk, &gate, options);
    node.with_item(10_000).await;
    for n in 0..1_500 {
        node.call(sell(&format!("A{n}"))).await.unwrap();
    }
    let Ok(Answer::Check(before)) = node.call(Command::Check).await else { panic!() };
    node.stop().await.unwrap();
    let disk = disk.copy();
    let mut chunks = 0;
    let mut store = MemoryStore::open(&disk).unwrap();
    let count = &mut |loaded: Loaded<'_>| {
        chunks += usize::from(matches!(loaded, Loaded::Chunk(_)));
        Ok(())
    };
    store.load(count).unwrap();
    drop(store);
    assert!(chunks > 0, "there is a checkpoint");
    let node = start(&disk, &Gate::default(), options);
    let Ok(Answer::Check(after)) = node.call(Command::Check).await else { panic!() };
    assert_eq!(before, after);
    for n in 0..1_500 {
        assert!(node.call(Command::Read { id: ReservationId::new(&format!("A{n}")).unwrap() }).await.is_ok());
    }
    node.stop().await.unwrap();
}

/// Panics at its next append once told to.
struct Fragile {
    store: MemoryStore,
    broken: Arc<std::sync::atomic::AtomicBool>,
}

impl Store for Fragile {
    fn head(&self) -> &Head {
        self.store.head()
    }
    fn load(&mut self, sink: &mut dyn FnMut(Loaded<'_>) -> Result<(), String>) -> Result<(), StoreError> {
        self.store.load(sink)
    }
    fn append(&mut self, body: &[u8]) -> Result<BatchNumber, StoreError> {
        assert!(!self.broken.load(std::sync::atomic::Ordering::SeqCst), "as it was told to");
        self.store.append(body)
    }
    fn begin_checkpoint(&mut self) -> Result<Box<dyn CheckpointWriter>, StoreError> {
        self.store.begin_checkpoint()
    }
    fn adopt(&mut self, finished: FinishedCheckpoint) -> Result<(), StoreError> {
        self.store.adopt(finished)
    }
    fn size(&self) -> StoreSize {
        self.store.size()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_commit_thread_panics_nothing_is_answered_and_the_node_ends() {
    let disk = prepared();
    let broken = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let store = Fragile { store: MemoryStore::open(&disk).unwrap(), broken: broken.clone() };
    let node = start_on(Box::new(store), DriverOptions::default());
    node.with_item(5).await;
    broken.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(node.handle.call(Request::plain(sell("A"))).await, Err(CallError::Gone));
    assert!(matches!(node.ended.await.unwrap(), Err(NodeError::CommitterGone)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sales_go_on_while_checkpoints_keep_a_small_journal_below_its_limit() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let genesis = genesis();
    let head = Head { cluster: genesis.cluster, node: genesis.name.clone(), replica: genesis.replica };
    let batch = Batch { time: Timestamp(1), records: vec![Record::Genesis(genesis)] };
    crate::store::RedbStore::create(&dir, head, &codec::encode(&batch)).unwrap();
    let limits = crate::store::StoreOptions { journal_limit_bytes: 4 << 20, ..Default::default() };
    let store = crate::store::RedbStore::open(&dir, limits).unwrap();
    let node = start_on(Box::new(store), DriverOptions { checkpoint_every_bytes: 512 << 10 });
    node.with_item(1_000_000).await;
    let client = |c: usize| {
        let handle = node.handle.clone();
        tokio::spawn(async move {
            for n in 0..120 {
                let sale = handle.call(Request::plain(sell(&format!("S{c}-{n}")))).await;
                sale.unwrap().outcome.unwrap();
            }
        })
    };
    for client in (0..200).map(client).collect::<Vec<_>>() {
        client.await.unwrap();
    }
    assert!(node.handle.metrics().read().store.checkpointed > BatchNumber(0));
    assert_eq!(node.handle.availability(&[sku("TEE")])[0].here, Units(1_000_000 - 200 * 120));
    node.stop().await.unwrap();
}
