//! One node as a process: started, killed, stopped, asked.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::client::{Answer, Call, Client, NoAnswer, get};

/// How often a condition is looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A debug build on a busy machine, with a journal to replay.
const START_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(30);

pub const STOCKADE: &str = env!("CARGO_BIN_EXE_stockade");

/// Where a running node listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    pub storefront: SocketAddr,
    pub admin: SocketAddr,
    pub quic: SocketAddr,
}

#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub region: String,
    /// Its directory, with `stockade.toml`, `tls` and `data`.
    pub home: PathBuf,
    client: Client,
    at: Mutex<Option<Addresses>>,
    process: Mutex<Option<Child>>,
}

impl Node {
    pub fn new(name: String, region: String, home: PathBuf, client: Client) -> Node {
        Node { name, region, home, client, at: Mutex::new(None), process: Mutex::new(None) }
    }

    pub fn config(&self) -> PathBuf {
        self.home.join("stockade.toml")
    }

    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    pub fn log(&self) -> PathBuf {
        self.home.join("log")
    }

    /// Starts the process and waits until it listens; it need not be ready.
    pub async fn start(&self) -> Addresses {
        self.start_under(&[]).await
    }

    /// As [`Node::start`], with the program behind `wrapper`.
    pub async fn start_under(&self, wrapper: &[&str]) -> Addresses {
        assert!(!self.is_running(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let already = log.metadata().unwrap().len();
        let mut child = self.command(wrapper).stderr(log).spawn().unwrap();
        let deadline = Instant::now() + START_WITHIN;
        let at = loop {
            if let Some(at) = listening(&self.log_since(already)) {
                break at;
            }
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{} ended: {ended:?}\n{}", self.name, self.log_since(already));
            assert!(Instant::now() < deadline, "{} does not listen", self.name);
            sleep(LOOK_EVERY).await;
        };
        *self.at.lock().unwrap() = Some(at);
        *self.process.lock().unwrap() = Some(child);
        at
    }

    /// Runs a start that must fail: the exit status and what it said.
    pub async fn fails_to_start(&self) -> (ExitStatus, String) {
        let child = self.command(&[]).stderr(Stdio::piped()).spawn().unwrap();
        let output = tokio::time::timeout(START_WITHIN, child.wait_with_output()).await;
        let output = output.unwrap_or_else(|_| panic!("{} runs on", self.name)).unwrap();
        assert!(!output.status.success(), "{} ended well", self.name);
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn command(&self, wrapper: &[&str]) -> Command {
        let mut words = wrapper.to_vec();
        words.push(STOCKADE);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(["serve", "--config"]).arg(self.config());
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        command
    }

    pub fn is_running(&self) -> bool {
        self.process.lock().unwrap().is_some()
    }

    /// Waits until the node takes requests.
    pub async fn ready(&self) {
        let deadline = Instant::now() + START_WITHIN;
        loop {
            let answer = self.try_ask(&get("/readyz")).await;
            // One that drains answers all calls but new reservations.
            let is_up = |answer: &Answer| {
                answer.status == 200 || answer.body["reasons"] == serde_json::json!(["draining"])
            };
            if answer.as_ref().is_ok_and(is_up) {
                return;
            }
            assert!(Instant::now() < deadline, "{} does not get ready: {answer:?}", self.name);
            sleep(LOOK_EVERY).await;
        }
    }

    /// `kill -9`.
    pub async fn kill(&self) {
        let mut child = self.take_process();
        child.kill().await.unwrap();
    }

    /// SIGTERM, and how it ended.
    pub async fn stop(&self) -> ExitStatus {
        self.tell_to_stop();
        self.stopped().await
    }

    pub fn tell_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    pub fn signal(&self, signal: Signal) {
        let id = self.process_id().try_into().unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Of the running process.
    pub fn process_id(&self) -> u32 {
        self.process.lock().unwrap().as_ref().and_then(Child::id).expect("it runs")
    }

    /// As [`Node::tell_to_stop`], for a node started under a wrapper, whose only child it is.
    pub fn tell_to_stop_traced(&self) {
        let process = self.process.lock().unwrap();
        let wrapper = process.as_ref().and_then(Child::id).expect("it runs");
        let children = std::fs::read_to_string(format!("/proc/{wrapper}/task/{wrapper}/children")).unwrap();
        let id: i32 = children.trim().parse().unwrap();
        kill_process(Pid::from_raw(id).unwrap(), Signal::TERM).unwrap();
    }

    /// Waits for its end.
    pub async fn stopped(&self) -> ExitStatus {
        let mut child = self.take_process();
        let ended = tokio::time::timeout(STOP_WITHIN, child.wait()).await;
        ended.unwrap_or_else(|_| panic!("{} does not stop", self.name)).unwrap()
    }

    fn take_process(&self) -> Child {
        *self.at.lock().unwrap() = None;
        self.process.lock().unwrap().take().unwrap_or_else(|| panic!("{} does not run", self.name))
    }

    pub fn addresses(&self) -> Option<Addresses> {
        *self.at.lock().unwrap()
    }

    pub async fn try_ask(&self, call: &Call) -> Result<Answer, NoAnswer> {
        let at = self.addresses().ok_or_else(|| NoAnswer(format!("{} does not run", self.name)))?;
        let listener = if call.is_for_admin() { at.admin } else { at.storefront };
        self.client.send(listener, call).await
    }

    /// The answer; there must be one.
    #[track_caller]
    pub fn ask(&self, call: Call) -> impl Future<Output = Answer> + '_ {
        let caller = std::panic::Location::caller();
        async move {
            let answer = self.try_ask(&call).await;
            answer.unwrap_or_else(|e| panic!("{caller}: {}: {e:?}", self.name))
        }
    }

    /// Receives units of an item, which is made on the way.
    pub async fn stock(&self, sku: &str, quantity: u64) {
        let made = self.ask(super::client::put(format!("/v1/items/{sku}"), serde_json::json!({}))).await;
        assert!(matches!(made.status, 200 | 201), "{}", made.text);
        let body = serde_json::json!({"quantity": quantity});
        let receipt = super::client::post(format!("/v1/items/{sku}/receipts"), body);
        self.ask(receipt.key(format!("stock-{sku}-{quantity}"))).await.expect(201);
    }

    /// A counter of `/metrics`.
    pub async fn counter(&self, name: &str) -> u64 {
        let answer = self.ask(get("/metrics")).await.expect(200);
        let value = answer.text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no counter {name}"))
    }

    /// What `stockade verify` says of its data, and its exit status.
    pub fn verify(&self) -> (i32, String) {
        let output =
            std::process::Command::new(STOCKADE).args(["verify", "--data"]).arg(self.data()).output();
        let output = output.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
    }

    pub fn log_text(&self) -> String {
        self.log_since(0)
    }

    fn log_since(&self, offset: u64) -> String {
        let bytes = std::fs::read(self.log()).unwrap_or_default();
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        String::from_utf8_lossy(&bytes[from..]).into_owned()
    }
}

/// What the log says about where the node listens.
fn listening(log: &str) -> Option<Addresses> {
    let whole_lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole_lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).find_map(|line| {
        let address = |key: &str| line[key].as_str()?.parse().ok();
        (line["message"] == "listening").then_some(())?;
        Some(Addresses {
            storefront: address("storefront")?,
            admin: address("admin")?,
            quic: address("peers")?,
        })
    })
}

/// Copies a directory of plain files and directories.
pub fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
