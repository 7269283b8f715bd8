//! `stockade completions` and `stockade man`: what shells and readers of manuals want, made
//! from the same definitions as `--help`.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Command};
use clap_complete::Shell;

use super::Ending;
use super::terminal::say;

const COMPLETIONS_EXAMPLE: &str = "\
Examples:
  cd ~/.local/share/bash-completion/completions
  stockade completions bash > stockade
  stockade completions zsh > ~/.zfunc/_stockade
  stockade completions fish > ~/.config/fish/completions/stockade.fish";

const MAN_EXAMPLE: &str = "\
Example:
  stockade man --out ~/.local/share/man/man1
  man stockade-item";

/// Print what a shell needs to complete commands
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLE)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Write a manual page for each command
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLE)]
pub struct ManArgs {
    /// Where to; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// # Errors
/// When it cannot be written.
pub fn completions(args: &CompletionsArgs, mut command: Command) -> anyhow::Result<Ending> {
    // Made in memory first: a closed pipe is no reason to panic.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "stockade", &mut script);
    say(String::from_utf8_lossy(&script).trim_end()).context("cannot write to standard output")?;
    Ok(Ending::Good)
}

/// # Errors
/// When a page cannot be written.
pub fn man(args: &ManArgs, command: Command) -> anyhow::Result<Ending> {
    let cannot = || format!("cannot write to {}", args.out.display());
    std::fs::create_dir_all(&args.out).with_context(cannot)?;
    clap_mangen::generate_to(command, &args.out).with_context(cannot)?;
    Ok(Ending::Good)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, ValueEnum};

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_commands() {
        for shell in Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "stockade", &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("write-off") && script.contains("explain"), "{shell}");
        }
    }

    #[test]
    fn every_command_and_subcommand_has_a_manual_page() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("man1");
        assert_eq!(man(&ManArgs { out: out.clone() }, Cli::command()).unwrap(), Ending::Good);
        for page in ["stockade.1", "stockade-item.1", "stockade-item-set.1", "stockade-stock-write-off.1"] {
            let text = std::fs::read_to_string(out.join(page)).unwrap();
            assert!(page == "stockade.1" || text.contains("Example"), "{page}");
        }
    }
}
