//! What a run was begun with: code or a command.

use std::time::Duration;

use crate::command::CommandRequest;
use crate::run::RunRequest;
use crate::wire::Extensions;
use crate::wire::outgoing::Address;

/// What a run was begun with.
#[derive(Clone, Debug)]
pub(super) enum Beginning {
    Code(RunRequest),
    Command(CommandRequest),
}

impl Beginning {
    /// How long the program may run.
    pub(super) fn timeout(&self) -> Duration {
        match self {
            Self::Code(request) => request.timeout,
            Self::Command(request) => request.timeout.unwrap_or(Duration::MAX),
        }
    }

    /// Bytes of the program, for the limit on what waits to be sent.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Code(request) => request.code.len(),
            Self::Command(request) => {
                request.envs.iter().fold(request.command.len(), |size, (name, value)| size + name.len() + value.len())
            }
        }
    }

    /// Whether it goes on when nobody reads it.
    pub(super) fn is_detached(&self) -> bool {
        matches!(self, Self::Command(CommandRequest { detached: true, .. }))
    }

    /// What starts it.
    pub(super) fn start(&self, address: Address<'_>, extensions: Extensions, window: usize) -> String {
        match self {
            Self::Code(request) => address.start(request, extensions, window),
            Self::Command(request) => address.start_command(request, extensions, window),
        }
    }
}
