//! The command `agb-server`.

mod cli;

use std::process::ExitCode;

use crate::cli::Cli;

fn main() -> ExitCode {
    agb_sandbox::main_if_helper();
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    cli.run().unwrap_or_else(|message| {
        eprintln!("agb-server: {message}");
        ExitCode::FAILURE
    })
}
