//! The command `agb-server`.

mod cli;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::Cli;

fn main() -> ExitCode {
    agb_sandbox::main_if_helper();
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("agb-server: {message}");
            ExitCode::FAILURE
        }
    }
}
