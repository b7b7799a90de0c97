//! The command line.

mod allocator;
mod completions;
mod descriptors;
mod doctor;
mod exit_status;
mod failure;
mod images;
mod in_process;
mod input;
mod interpreters;
mod log_limit;
mod log_lines;
mod logs;
mod offer;
mod out;
mod overview;
mod progress;
mod remote;
mod results;
mod run;
mod sandbox;
mod serve;
mod sessions;
mod shell;
mod started;
mod stop;
mod text_pieces;

use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::completions::Completions;
use self::doctor::Doctor;
use self::failure::Failure;
use self::images::ImagesCommand;
use self::run::RunCommand;
use self::serve::Serve;
use self::sessions::SessionsCommand;
use self::shell::ShellCommand;

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
    /// Run a program in a session of its own, show what it prints while it runs, and end with its exit status.
    Run(Box<RunCommand>),
    /// List, end and read the sessions of a server that runs.
    Sessions(SessionsCommand),
    /// Open a terminal in a session of a server that runs.
    Shell(ShellCommand),
    /// List the images that sessions can be created from, their packages, and what is missing.
    Images(ImagesCommand),
    /// Report how programs can be isolated on this machine, and what is missing.
    Doctor(Box<Doctor>),
    /// Print a completion script for a shell.
    Completions(Completions),
}

/// The exit status for a command line that makes no sense, as clap has it.
const USAGE: u8 = 2;

impl Cli {
    /// Reads the command line and the environment; ends the process where help is all that is wanted. Where they are wrong, that is
    /// told where their reader looks.
    pub(crate) fn read() -> Result<Self, ExitCode> {
        let matches = Self::command().try_get_matches();
        let read = matches.and_then(|matches| Ok((Self::from_arg_matches(&matches)?, matches)));
        let (mut cli, matches) = read.map_err(|error| {
            let mut words = std::env::args_os().skip(1);
            let serves = words.next().is_some_and(|word| word == "serve");
            // Help that was asked for is not an error.
            if !(serves && error.use_stderr() && words.any(|word| word == "--json")) {
                error.exit();
            }
            Failure::usage(&error).tell_program();
            ExitCode::from(USAGE)
        })?;
        if let (Command::Serve(serve), Some(given)) = (&mut cli.command, matches.subcommand_matches("serve"))
            && given.value_source("api_key") == Some(ValueSource::EnvVariable)
        {
            serve.leave_key_to_clients();
        }
        Ok(cli)
    }

    pub(crate) fn run(self) -> Result<ExitCode, String> {
        let done = |result: Result<(), String>| result.map(|()| ExitCode::SUCCESS);
        match self.command {
            Command::Serve(serve) => serve.run(),
            Command::Run(command) => Ok(command.run()),
            Command::Sessions(command) => done(command.run()),
            Command::Shell(command) => command.run(),
            Command::Images(command) => done(command.run()),
            Command::Doctor(command) => done(command.run()),
            Command::Completions(command) => {
                command.run(Self::command());
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }
}
