//! The binary `stockade`: everything is in the library's [`stockade::cli`].
use std::process::ExitCode;

fn main() -> ExitCode {
    stockade::cli::main()
}
