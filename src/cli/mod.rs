//! The command line: one binary, `stockade`.
//!
//! Exit status of every command: 0 good; 1 a check failed, a node refused, or a node stopped
//! on an error; 2 wrong usage, a file that cannot be used, or a node that cannot be reached.
//!
//! Results go to standard output, progress and complaints to standard error.

mod admin;
mod check;
mod client;
mod cluster;
mod configuration;
mod demand;
mod dev;
#[cfg(test)]
mod fake_node;
mod init;
mod node;
mod prepare;
mod replay;
mod serve;
mod shell;
mod terminal;
mod verify;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

/// Stock for storefronts that sell from several regions at once, never oversold.
#[derive(Debug, Parser)]
#[command(name = "stockade", version, max_term_width = 80, after_help = EXIT_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_HELP: &str = "\
Try a cluster of three regions on this machine:
  stockade dev

Exit status: 0 good, 1 a check failed or a node refused, 2 wrong usage or no
connection.";

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::DevArgs),
    Serve(serve::ServeArgs),
    Init(init::InitArgs),
    Config(configuration::ConfigArgs),
    Check(check::CheckArgs),
    Verify(verify::VerifyArgs),
    Replay(replay::ReplayArgs),
    Demand(demand::DemandArgs),
    #[command(flatten)]
    Admin(admin::Admin),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
}

/// Columns that everything for people fits in.
const WIDTH: usize = 80;

/// How a command that ran to its end went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Good,
    /// It looked, and what it saw is not as it must be.
    Failed,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Table,
    /// One line of JSON.
    Json,
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = match parsed() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    let result = match cli.command {
        Command::Dev(args) => dev::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Init(args) => init::run(&args),
        Command::Config(args) => configuration::run(&args),
        Command::Check(args) => check::run(args),
        Command::Verify(args) => verify::run(&args),
        Command::Replay(args) => replay::run(args),
        Command::Demand(args) => demand::run(args),
        Command::Admin(command) => admin::run(command),
        Command::Completions(args) => shell::completions(&args, Cli::command()),
        Command::Man(args) => shell::man(&args, Cli::command()),
    };
    match result {
        Ok(Ending::Good) => ExitCode::SUCCESS,
        Ok(Ending::Failed) => ExitCode::from(1),
        Err(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::from(if error.is::<admin::Refused>() { 1 } else { 2 })
        }
    }
}

/// Tells an error; on a terminal, in lines that fit it.
fn complain(text: &str) {
    let stream = std::io::stderr();
    match stream.is_terminal() {
        true => terminal::note(broken(text, terminal::columns(&stream).unwrap_or(WIDTH))),
        false => terminal::note(text),
    }
}

/// Breaks the lines that are too long; the others stay as they are, down to each blank.
fn broken(text: &str, width: usize) -> String {
    let fitting = |line: &str| match line.chars().count() > width {
        true => wrapped(line, width),
        false => line.to_owned(),
    };
    text.lines().map(fitting).collect::<Vec<_>>().join("\n")
}

/// Reads the command line. A mistake in it that is too long for the terminal is broken between
/// words, which costs it its colours.
fn parsed() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        let text = error.to_string();
        let width = terminal::columns(std::io::stderr()).filter(|_| error.use_stderr());
        match width.filter(|width| text.lines().any(|line| line.chars().count() > *width)) {
            Some(_) => complain(text.trim_end()),
            // Nobody reads it any more, or it was told.
            None => drop(error.print()),
        }
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    })
}

/// Breaks a line between words; what follows the first line is indented.
fn wrapped(line: &str, width: usize) -> String {
    let indent = " ".repeat(line.len() - line.trim_start().len());
    let mut text = indent.clone();
    let mut column = indent.len();
    for (place, word) in line.split_whitespace().enumerate() {
        let length = word.chars().count();
        if place > 0 && column + 1 + length > width {
            text += &format!("\n{indent}  {word}");
            column = indent.len() + 2 + length;
        } else {
            let gap = if place > 0 { " " } else { "" };
            text += &format!("{gap}{word}");
            column += gap.len() + length;
        }
    }
    text
}

/// A runtime for the commands that talk to nodes.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    use anyhow::Context;
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start the runtime")
}

/// A table that fits 80 columns.
fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::ASCII_FULL_CONDENSED);
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    table.set_width(WIDTH as u16);
    table.set_header(header);
    table
}

/// All commands, for those who compare documents with them.
#[cfg(test)]
pub(crate) fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// A prepared cluster of three nodes in `dir`; nothing runs.
#[cfg(test)]
fn dev_cluster_for_tests(dir: &std::path::Path) -> cluster::Cluster {
    let node = |name: &str, region: &str, port: u16| prepare::NodePlan {
        name: crate::types::NodeName::new(name).unwrap(),
        region: crate::types::Region::new(region).unwrap(),
        storefront: ([127, 0, 0, 1], port).into(),
        admin: ([127, 0, 0, 1], port + 1).into(),
        listen: ([127, 0, 0, 1], port + 2).into(),
        address: format!("127.0.0.1:{}", port + 2),
        detours: std::collections::BTreeMap::new(),
    };
    let nodes = vec![node("us-1", "us", 7300), node("eu-1", "eu", 7310), node("eu-2", "eu", 7320)];
    let (out, maker) = (dir.to_path_buf(), cluster::Maker::Dev);
    let plan = prepare::ClusterPlan { out, maker, nodes, autonomy: None, extra: Vec::new() };
    prepare::prepare_cluster(&plan).unwrap();
    cluster::Cluster::open(dir).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn long_complaints_are_broken_between_words() {
        let text = wrapped(&format!("  {}", "word ".repeat(40)), WIDTH);
        assert!(text.lines().count() == 3 && text.lines().all(|line| line.len() <= WIDTH), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("    word")), "{text}");
        assert_eq!(wrapped("short", WIDTH), "short");
    }

    #[test]
    fn lines_that_fit_keep_their_blanks() {
        let text = format!("  |\n1 | a = 1\n  | ^\nunknown {}", "field ".repeat(8).trim_end());
        assert_eq!(broken(&text, 60), text);
        let narrow = broken(&text, 40);
        assert!(narrow.starts_with("  |\n1 | a = 1\n  | ^\nunknown field"), "{narrow}");
        assert!(narrow.lines().all(|line| line.len() <= 40) && narrow.lines().count() == 5, "{narrow}");
    }

    /// Each command with the words that call it, subcommands included.
    fn all_commands(command: &clap::Command, words: &str) -> Vec<(String, clap::Command)> {
        let mut all = vec![(words.to_owned(), command.clone())];
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            all.extend(all_commands(sub, &format!("{words} {}", sub.get_name())));
        }
        all
    }

    /// As the program itself renders it: with what a subcommand inherits.
    fn built() -> clap::Command {
        let mut command = Cli::command();
        command.build();
        command
    }

    #[test]
    fn every_command_and_subcommand_teaches_with_an_example() {
        for (words, mut command) in all_commands(&built(), "stockade").into_iter().skip(1) {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example") && help.contains(&format!("  {words}")), "{words}:\n{help}");
        }
    }

    #[test]
    fn every_help_fits_the_terminal() {
        for (words, mut command) in all_commands(&built(), "stockade") {
            for help in [command.render_help().to_string(), command.render_long_help().to_string()] {
                let wide = help.lines().find(|line| line.chars().count() > WIDTH);
                assert_eq!(wide, None, "{words}:\n{help}");
            }
        }
    }
}
