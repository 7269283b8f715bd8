//! Without the bugs: the same command again, in a build that has them.

use std::process::{Command, ExitCode};

use crate::options::Planted;

pub fn planted(_: &Planted) -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    eprintln!("this build has no bugs in it; building one that has: --features planted");
    let mut again = Command::new(cargo);
    again.args(["run", "--quiet", "--release", "-p", "stockade-sim", "--features", "planted", "--"]);
    match again.args(std::env::args_os().skip(1)).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(e) => {
            eprintln!("cargo cannot be run: {e}");
            ExitCode::FAILURE
        }
    }
}
