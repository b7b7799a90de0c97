//! The command `agb-server`.

mod cli;

use std::process::ExitCode;

use crate::cli::Cli;

fn main() -> ExitCode {
    agb_sandbox::main_if_helper();
    Cli::read().run().unwrap_or_else(|message| {
        eprintln!("agb-server: {message}");
        ExitCode::FAILURE
    })
}
