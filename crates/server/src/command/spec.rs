//! What is to be run as a command.

use std::time::Duration;

use agb_protocol::command::TerminalSize;

/// A command to start as a run.
#[derive(Debug)]
pub(crate) struct CommandSpec {
    pub(crate) command: String,
    pub(crate) cwd: Option<String>,
    pub(crate) envs: Vec<(String, String)>,
    pub(crate) timeout: Duration,
    /// Somebody writes input.
    pub(crate) stdin: bool,
    /// It gets a terminal instead of pipes.
    pub(crate) terminal: Option<TerminalSize>,
}
