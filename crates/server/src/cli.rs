//! The command line.

mod allocator;
mod descriptors;
mod doctor;
mod images;
mod log_limit;
mod log_lines;
mod sandbox;
mod serve;
mod stop;

use clap::{Parser, Subcommand};

use self::doctor::Doctor;
use self::images::ImagesCommand;
use self::serve::Serve;

/// A code interpreter service that speaks AGB's protocol, for your own machines.
#[derive(Parser)]
#[command(name = "agb-server", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve clients until SIGINT or SIGTERM.
    Serve(Box<Serve>),
    /// List the images that sessions can be created from, their packages, and what is missing.
    Images(ImagesCommand),
    /// Report how programs can be isolated on this machine, and what is missing.
    Doctor(Doctor),
}

impl Cli {
    pub(crate) fn run(self) -> Result<(), String> {
        match self.command {
            Command::Serve(serve) => serve.run(),
            Command::Images(command) => command.run(),
            Command::Doctor(command) => command.run(),
        }
    }
}
