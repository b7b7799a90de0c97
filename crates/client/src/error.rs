//! What can go wrong before, beside and instead of a run, by who is to blame.

use std::path::PathBuf;

use agb_core::Rejected;
use agb_core::config::ConfigError;
use agb_core::error::ApiError;
use agb_core::language::UnknownLanguage;

pub use crate::local::LocalError;

/// Why there is no answer, no session or no run.
///
/// What goes wrong *in* a run is not here but in its result: a program that raises is an answer. No variant holds a
/// key, a token or a URL with a query.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is missing or cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The `.env` file that was named cannot be read.
    #[error("the environment file {} cannot be read: {reason}", path.display())]
    EnvFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The server of the endpoint `local` is not there, or did not start.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The service said no, or nothing.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// No language that sessions run.
    #[error(transparent)]
    Language(#[from] UnknownLanguage),
    /// The run was not taken; nothing was sent.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The service gave the session no WebSocket.
    #[error("the session cannot stream: the service gave it no wsUrl; run without streaming")]
    NoStreaming,
}

impl Error {
    /// A stable name for programs to compare. For an answer of the service its own code, such as
    /// `InvalidMcpSession.NotFound`.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Config(error) => error.code(),
            Self::EnvFile { .. } => "BAD_ENV_FILE",
            Self::Local(error) => error.code(),
            Self::Api(error) => error.code(),
            Self::Language(error) => error.code(),
            Self::Rejected(Rejected::Closed) => "SESSION_CLOSED",
            Self::Rejected(Rejected::Full { .. }) => "TOO_MUCH_UNSENT",
            Self::NoStreaming => "NO_STREAMING",
        }
    }

    /// The id under which the service knows the call; empty where there is none.
    #[must_use]
    pub fn request_id(&self) -> &str {
        if let Self::Api(error) = self { error.request_id() } else { "" }
    }

    /// The HTTP status, where there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        if let Self::Api(error) = self { error.status() } else { None }
    }
}
