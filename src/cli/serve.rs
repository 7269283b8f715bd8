//! `stockade serve`: runs one node in the foreground.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use tracing_subscriber::EnvFilter;

use super::Ending;
use crate::config::{Config, LogConfig, LogFormat};
use crate::reload::SetLogLevel;
use crate::server;

const EXAMPLE: &str = "\
Example:
  stockade serve --config eu-1/stockade.toml

Stops cleanly on SIGTERM or Ctrl-C; after a kill it goes on where it stopped.
Reads its configuration and certificates anew on SIGHUP.
`stockade init` and `stockade dev --prepare` write configurations.";

/// Run one node
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE, after_long_help = EXAMPLE)]
pub struct ServeArgs {
    /// The node's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// End when the process with this id, which started this one, ends
    #[arg(long, value_name = "PID", hide = true)]
    exit_with_parent: Option<i32>,
}

/// Runs until told to stop.
///
/// # Errors
/// When the configuration is bad.
pub fn run(args: ServeArgs) -> anyhow::Result<Ending> {
    if let Some(parent) = args.exit_with_parent {
        exit_with_parent(parent)?;
    }
    let config = Config::load(&args.config)?;
    let set_log_level = start_log(&config.log)?;
    let runtime = super::runtime()?;
    let ended = runtime.block_on(server::run(config, set_log_level, |at| {
        tracing::info!(storefront = %at.storefront, admin = %at.admin, peers = %at.peers, "listening");
    }));
    match ended {
        Ok(()) => Ok(Ending::Good),
        Err(error) => {
            tracing::error!("stopped: {error:#}");
            Ok(Ending::Failed)
        }
    }
}

/// Asks the kernel for SIGTERM when the parent ends, however it ends.
#[cfg(target_os = "linux")]
fn exit_with_parent(parent: i32) -> anyhow::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))
        .context("cannot bind this process to its parent")?;
    // The parent may have ended before the call above; then nobody would ever tell.
    let now = rustix::process::getppid().map(rustix::process::Pid::as_raw_pid);
    anyhow::ensure!(now == Some(parent), "the process {parent} that started this one has ended");
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn exit_with_parent(_: i32) -> anyhow::Result<()> {
    Ok(())
}

/// Log lines go to standard error: standard output is for results.
fn start_log(log: &LogConfig) -> anyhow::Result<SetLogLevel> {
    let is_terminal = std::io::stderr().is_terminal();
    let filter = EnvFilter::try_new(&log.level).context("log.level")?;
    let lines = tracing_subscriber::fmt().with_writer(std::io::stderr);
    let by_default = if is_terminal { LogFormat::Text } else { LogFormat::Json };
    match log.format.unwrap_or(by_default) {
        LogFormat::Text => {
            let lines = lines.with_ansi(is_terminal).with_env_filter(filter).with_filter_reloading();
            let handle = lines.reload_handle();
            started(lines.try_init())?;
            Ok(Box::new(move |level| set(level, |filter| handle.reload(filter))))
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_span_list(false);
            let lines = lines.with_env_filter(filter).with_filter_reloading();
            let handle = lines.reload_handle();
            started(lines.try_init())?;
            Ok(Box::new(move |level| set(level, |filter| handle.reload(filter))))
        }
    }
}

fn started(result: Result<(), impl std::fmt::Display>) -> anyhow::Result<()> {
    result.map_err(|e| anyhow::anyhow!("cannot start the log: {e}"))
}

fn set<E: std::fmt::Display>(
    level: &str,
    reload: impl FnOnce(EnvFilter) -> Result<(), E>,
) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|e| e.to_string())?;
    reload(filter).map_err(|e| e.to_string())
}
