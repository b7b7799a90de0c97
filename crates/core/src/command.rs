//! A command that is followed as a run (extension `command`): what is asked for.

use std::time::Duration;

use agb_protocol::command::TerminalSize;

/// A command for a shell of its own, to be followed as a run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CommandRequest {
    /// What the shell reads.
    pub command: String,
    /// When the command is killed; `None`: when the service ends whatever runs for too long.
    pub timeout: Option<Duration>,
    /// Where it starts; the session's own folder when absent.
    pub cwd: Option<String>,
    /// Environment variables beside those of the session.
    pub envs: Vec<(String, String)>,
    /// Somebody writes input ([`Session::write`](crate::Session::write)). Without, the command finds its input at its end.
    pub stdin: bool,
    /// It gets a terminal of this size instead of pipes; what it shows is one stream then, standard output.
    pub terminal: Option<TerminalSize>,
    /// It goes on without a reader: nobody holds it back, whoever has left, and it ends with its session.
    pub detached: bool,
}
