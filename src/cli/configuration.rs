//! `stockade config check`: is a configuration good?

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::Ending;
use super::terminal::say;
use crate::config::Config;

const EXAMPLE: &str = "\
Example:
  stockade config check --config eu-1/stockade.toml

Exit status: 0 good, 2 not good; every problem is told with its line.";

/// Look at a node's configuration
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE, after_long_help = EXAMPLE)]
pub struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether a file is good, and what it amounts to
    #[command(after_help = EXAMPLE)]
    Check {
        /// The node's configuration
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

/// Checks the file and what it points to.
///
/// # Errors
/// With everything that is wrong.
pub fn run(args: &ConfigArgs) -> anyhow::Result<Ending> {
    let ConfigCommand::Check { config } = &args.command;
    let config = Config::load(config)?;
    let missing = config.missing_files();
    if !missing.is_empty() {
        let lines: Vec<String> = missing.iter().map(|p| format!("{}: {p}", config.file.display())).collect();
        bail!("{}", lines.join("\n"));
    }
    say(summary(&config).trim_end())?;
    Ok(Ending::Good)
}

fn summary(config: &Config) -> String {
    let mut text = format!(
        "{} is good\n  node        {} in {}\n  data        {}\n  storefront  http://{}\n  admin       http://{}\n  \
         autonomy    {}\n  peers       {} (UDP)\n",
        config.file.display(),
        config.node.name,
        config.node.region,
        config.node.data_dir.display(),
        config.http.storefront,
        config.http.admin,
        config.cluster.autonomy,
        config.peers.listen,
    );
    for peer in &config.peers.nodes {
        text += &format!("    {} in {} at {}\n", peer.name, peer.region, peer.address);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_ends_with_the_peers() {
        let file = "/etc/stockade/stockade.toml".as_ref();
        let config = Config::parse(include_str!("../../examples/config/stockade.toml"), file).unwrap();
        let text = summary(&config);
        let end = "\n  autonomy    all\n  peers       0.0.0.0:7302 (UDP)\n    us-1 in us at us-1.example.net:7302\n    \
                   ap-1 in ap at ap-1.example.net:7302\n";
        assert!(text.ends_with(end), "{text}");
    }
}
