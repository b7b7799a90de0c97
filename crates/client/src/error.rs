//! What can go wrong before, beside and instead of a run, by who is to blame.

use std::path::PathBuf;

use agb_core::Rejected;
use agb_core::codes;
use agb_core::config::ConfigError;
use agb_core::error::ApiError;
use agb_core::language::UnknownLanguage;
use agb_core::operations::GrantAccess;
use agb_core::procedure::BadArguments;
use agb_core::result::{Execution, RunFailure, RunStatus};

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
    /// A proxy or a certificate of the options cannot be used.
    #[error("the network's settings cannot be used: {reason}")]
    Network {
        /// What is wrong with them.
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
    /// An argument is missing or wrong; nothing was sent.
    #[error(transparent)]
    Arguments(#[from] BadArguments),
    /// The run was not taken; nothing was sent.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The service gave the session no WebSocket: nothing can be followed there, and no input given.
    #[error("the session cannot stream: the service gave it no wsUrl; run without streaming")]
    NoStreaming,
    /// The session was taken up with an access, which opens it and nothing else.
    #[error("{}", GrantAccess::NEEDS_KEY)]
    NoKey,
    /// The service cannot do this.
    #[error("{0}")]
    NotSupported(&'static str),
    /// The service has no way into a session for those without the key.
    #[error("{}", GrantAccess::NOT_SUPPORTED)]
    NoAccess,
}

impl Error {
    /// A stable name for programs to compare. For an answer of the service its own code, such as
    /// `InvalidMcpSession.NotFound`.
    #[must_use]
    pub fn code(&self) -> &str {
        if let Self::Api(error) = self { error.code() } else { self.own_code() }
    }

    /// [`code`](Self::code), with one of [`codes`] in place of the service's own.
    #[must_use]
    pub fn own_code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::EnvFile { .. } => codes::BAD_ENV_FILE,
            Self::Network { .. } => codes::BAD_NETWORK,
            Self::Local(error) => error.code(),
            Self::Api(error) => error.own_code(),
            Self::Language(error) => error.code(),
            Self::Arguments(_) => codes::BAD_ARGUMENTS,
            Self::Rejected(rejected) => rejected.code(),
            Self::NoStreaming => codes::NO_STREAMING,
            Self::NoKey => codes::NO_API_KEY,
            Self::NoAccess | Self::NotSupported(_) => codes::NOT_SUPPORTED,
        }
    }

    /// The name that a result's `error` carries when this kept a run from beginning.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Config(_) | Self::EnvFile { .. } | Self::Network { .. } => "ConfigError",
            Self::Local(_) => "LocalServerError",
            Self::Api(error) => error.name(),
            Self::NoKey => "AuthenticationError",
            Self::NoStreaming => "ConnectionError",
            Self::NoAccess | Self::NotSupported(_) => "ServiceError",
            Self::Language(_) => "UnknownLanguage",
            Self::Arguments(_) => "BadArguments",
            Self::Rejected(rejected) => rejected.name(),
        }
    }

    /// The result of a run that this kept from beginning or from being followed, for callers who want one in any case.
    /// Its status is [`Interrupted`](RunStatus::Interrupted) where the outcome is unknown.
    #[must_use]
    pub fn to_execution(&self) -> Execution {
        let mut execution = Execution::default();
        execution.request_id = self.request_id().to_owned();
        execution.status = match self {
            Self::Api(error) => error.run_status(),
            _ => RunStatus::Failed,
        };
        execution.error_message = self.to_string();
        execution.error = Some(RunFailure {
            name: self.name().to_owned(),
            value: execution.error_message.clone(),
            traceback: String::new(),
        });
        execution
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
