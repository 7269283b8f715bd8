//! stub
use super::Ending;
use clap::Args;
/// x
#[derive(Debug, Args)]
#[command(after_help = "Example: stockade replay", after_long_help = "Example: stockade replay")]
pub struct ReplayArgs {}
pub fn run(_: ReplayArgs) -> anyhow::Result<Ending> {
    anyhow::bail!("no")
}
