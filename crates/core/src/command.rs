//! A command that is followed as a run (extension `command`): what is asked for, and how it is said.

use std::time::Duration;

use agb_protocol::command::TerminalSize;

use crate::run::RunRequest;
use crate::wire::Extensions;
use crate::wire::outgoing::Address;

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

/// What a run was begun with.
#[derive(Clone, Debug)]
pub(crate) enum Beginning {
    Code(RunRequest),
    Command(CommandRequest),
}

impl Beginning {
    /// How long the program may run.
    pub(crate) fn timeout(&self) -> Duration {
        match self {
            Self::Code(request) => request.timeout,
            Self::Command(request) => request.timeout.unwrap_or(Duration::MAX),
        }
    }

    /// Bytes of the program, for the limit on what waits to be sent.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Code(request) => request.code.len(),
            Self::Command(request) => {
                request.envs.iter().fold(request.command.len(), |size, (name, value)| size + name.len() + value.len())
            }
        }
    }

    /// Whether it goes on when nobody reads it.
    pub(crate) fn is_detached(&self) -> bool {
        matches!(self, Self::Command(CommandRequest { detached: true, .. }))
    }

    /// What starts it.
    pub(crate) fn start(&self, address: Address<'_>, extensions: Extensions, window: usize) -> String {
        match self {
            Self::Code(request) => address.start(request, extensions, window),
            Self::Command(request) => address.start_command(request, extensions, window),
        }
    }
}
