//! One run of code, from the caller's side: what is asked, what comes, how it ends.

use std::time::Duration;

pub use agb_protocol::Finish;
use agb_protocol::{RunFailure, RunStatus};

use crate::codes;
use crate::disconnect_reason::DisconnectReason;
use crate::error::{ApiError, TransportError};
use crate::language::Language;
use crate::rich_result::RichResult;
use crate::time::seconds;

/// What a piece of a run takes in memory beside its texts, bytes, about.
pub(crate) const PIECE: usize = 64;

/// One run, local to its [`Session`](crate::Session). Unrelated to the id on the wire.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RunId(pub(crate) u64);

/// Code to run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunRequest {
    /// The program's text.
    pub code: String,
    /// Its language.
    pub language: Language,
    /// How long the program may run. The service enforces it; the session waits a grace longer
    /// ([`SessionConfig::grace`](crate::SessionConfig::grace)) and then ends the run by itself.
    pub timeout: Duration,
    /// Somebody answers when the program asks for input ([`Session::write`](crate::Session::write)). Without, or on a
    /// service without the extension `stdin`, the program finds its input at its end.
    pub stdin: bool,
}

/// The documented default of `timeoutS`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// What a run yields beside chunks of text.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StreamEvent {
    /// A rich result: a value, a picture, a table.
    Result(RichResult),
    /// The program raised, or the service reports a failure of the run. The run's end follows.
    Error(RemoteError),
    /// The program waits for a line of input (extension `stdin`).
    InputRequest {
        /// What the program printed to ask.
        prompt: String,
        /// Whether the answer is a password (`getpass`): it is not to be shown where it is typed.
        password: bool,
    },
    /// Input was not taken, by the service or by the session, as a whole; the run goes on without it.
    InputRefused {
        /// Why, and what to do.
        message: String,
    },
    /// The connection was lost with input under way, and the service does not number input (extension `stdinSeq`): it
    /// may not have arrived.
    InputUncertain,
    /// The service has not kept this much of a detached command's output: nobody took it, and there was no room.
    OutputDropped {
        /// How much.
        bytes: u64,
    },
    /// The connection was lost; the run is looked for (extension `resume`).
    Interrupted(DisconnectReason),
    /// The run was found again; nothing is missing.
    Reconnected,
    /// There is no way to stream the run, for this reason, and nothing of it was sent. Its driver makes the plain call
    /// instead ([`Execution::into_stream`](crate::result::Execution::into_stream)).
    Unstreamed(DisconnectReason),
}

impl StreamEvent {
    /// What went wrong on the way to a program that goes on: a stable code, and words for a person. `None` of what the
    /// program or the service itself says, and of [`Reconnected`](Self::Reconnected).
    #[must_use]
    pub fn warning(&self) -> Option<(&'static str, String)> {
        Some(match self {
            Self::Interrupted(loss) => {
                (loss.code(), format!("the connection was lost ({loss}); looking for the run again"))
            }
            Self::Unstreamed(loss) => {
                let message = format!(
                    "the run cannot be streamed ({loss}); it is made by a plain call, and its output comes at its end"
                );
                (codes::NO_STREAMING, message)
            }
            Self::InputRefused { message } => (codes::INPUT_REFUSED, message.clone()),
            Self::InputUncertain => {
                let words =
                    "input was under way when the connection was lost, and may be lost: see what the program asks";
                (codes::INPUT_UNCERTAIN, words.into())
            }
            Self::OutputDropped { bytes } => (
                codes::OUTPUT_DROPPED,
                format!("{bytes} bytes of output were not kept here: nobody took them, and there was no room"),
            ),
            Self::Result(_) | Self::Error(_) | Self::InputRequest { .. } | Self::Reconnected => return None,
        })
    }

    /// About how much memory it holds, for the limit on unread data.
    pub(crate) fn memory_size(&self) -> usize {
        let texts = match self {
            Self::Result(result) => result.memory_size(),
            Self::Error(error) => error.message.len() + error.failure.as_ref().map_or(0, RunFailure::memory_size),
            Self::InputRequest { prompt: text, .. } | Self::InputRefused { message: text } => text.len(),
            Self::Interrupted(loss) | Self::Unstreamed(loss) => loss.memory_size(),
            Self::Reconnected | Self::InputUncertain | Self::OutputDropped { .. } => 0,
        };
        PIECE + texts
    }
}

/// A failure that the service reports (wire part 1, event `error`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RemoteError {
    /// The service's code; for an exception of the program its name.
    pub code: String,
    /// For a person.
    pub message: String,
    /// The service's trace id; empty where there was none.
    pub trace_id: String,
    /// Name, value and traceback, where the service sends them as fields of their own (ours does).
    pub failure: Option<RunFailure>,
}

impl RemoteError {
    /// The stable code of what our service itself says on a run, as [`RunFailure::service_code`].
    #[must_use]
    pub fn service_code(&self) -> Option<&'static str> {
        self.failure.as_ref()?.service_code()
    }

    /// As the result's `error`: the fields where they came, else what the published clients make of it.
    #[must_use]
    pub fn to_failure(&self) -> RunFailure {
        self.failure.clone().unwrap_or_else(|| RunFailure {
            name: self.code.clone(),
            value: self.message.clone(),
            traceback: if self.trace_id.is_empty() { String::new() } else { format!("traceId={}", self.trace_id) },
        })
    }
}

/// How a run ended, said once and last.
pub type RunEnd = Result<Finish, RunError>;

/// A run that was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Rejected {
    /// The session was closed before.
    #[error("the session is closed: create or get a session first")]
    Closed,
    /// Too much waits to be sent.
    #[error("more than {limit} bytes of code wait to be sent: wait for earlier runs or raise the limit")]
    Full {
        /// The limit in bytes.
        limit: usize,
    },
    /// The run is followed in this session already.
    #[error("the run is followed in this session already: use the run that there is")]
    Taken,
    /// The service cannot do this.
    #[error("the service does not offer to continue runs (extension `resume`)")]
    NotOffered,
    /// The service does not follow commands.
    #[error("the service does not offer to follow commands (extension `command`): execute them")]
    NoCommands,
}

impl Rejected {
    /// A stable name for programs to compare.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Closed => codes::SESSION_CLOSED,
            Self::Full { .. } => codes::TOO_MUCH_UNSENT,
            Self::Taken => codes::RUN_TAKEN,
            Self::NotOffered | Self::NoCommands => codes::NOT_OFFERED,
        }
    }

    /// The name that the result's `error` carries.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Closed => "SessionClosed",
            Self::Full { .. } => "Overflow",
            Self::Taken | Self::NotOffered | Self::NoCommands => "RunRejected",
        }
    }
}

/// A run that ended without the service's word on its end.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The service ended the run with an error.
    #[error("{message}")]
    Remote {
        /// The service's words.
        message: String,
    },
    /// No connection could be made, so the code was never sent.
    #[error("{}; the code was not run", unreachable(.0))]
    Unreachable(DisconnectReason),
    /// The run can be followed no longer, and may have been going on then: the outcome is unknown. The connection was
    /// lost, or another client follows the run now, or the service has forgotten it.
    #[error("the run can be followed no longer ({0}); its outcome is unknown")]
    Interrupted(DisconnectReason),
    /// Cancelled by the caller.
    #[error("{}", if *state_lost { "cancelled; the interpreter was restarted and its variables are lost" } else { "cancelled" })]
    Cancelled {
        /// The interpreter had to be restarted.
        state_lost: bool,
    },
    /// Cancelled by the caller, who need not wait; that the program has stopped has nobody confirmed.
    #[error("cancelled, but not confirmed: the program may still run")]
    CancelUnconfirmed,
    /// The service said nothing about the end within the time limit and a grace.
    #[error("no end came within {} s, the time limit and the grace after it", seconds(*.0))]
    TimedOut(Duration),
    /// More output waited unread than the limit, on a transport that cannot be paused.
    #[error("more than {limit} bytes of output waited unread: read faster or raise the limit")]
    Overflow {
        /// The limit in bytes.
        limit: usize,
    },
    /// The service broke the protocol on this run.
    #[error("the service broke the protocol: {0}")]
    Protocol(Violation),
    /// The session was closed while the run was going on.
    #[error("the session was closed during the run")]
    Closed,
    /// The caller follows the run no longer, and lets it go on.
    #[error("the run is followed here no longer, and goes on")]
    Left,
}

impl RunError {
    /// A stable name for programs to compare.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Remote { .. } => codes::REMOTE,
            Self::Unreachable(reason) => match reason.refusal() {
                Some((_, code)) => code,
                None => codes::UNREACHABLE,
            },
            Self::Interrupted(_) => codes::INTERRUPTED,
            Self::Cancelled { .. } | Self::CancelUnconfirmed => codes::CANCELLED,
            Self::TimedOut(_) => codes::TIMED_OUT,
            Self::Overflow { .. } => codes::OVERFLOW,
            Self::Protocol(_) => codes::PROTOCOL,
            Self::Closed => codes::CLOSED,
            Self::Left => codes::INTERRUPTED,
        }
    }

    /// The name that the result's `error` carries.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Remote { .. } => "RemoteError",
            Self::Unreachable(reason) => match reason.refusal() {
                Some((name, _)) => name,
                None => "ConnectionError",
            },
            Self::Interrupted(_) => "Interrupted",
            Self::Cancelled { .. } | Self::CancelUnconfirmed => "Cancelled",
            Self::TimedOut(_) => "TimeoutError",
            Self::Overflow { .. } => "Overflow",
            Self::Protocol(_) => "ProtocolError",
            Self::Closed => "SessionClosed",
            Self::Left => "Interrupted",
        }
    }

    /// The status of a run that ended like this.
    #[must_use]
    pub const fn status(&self) -> RunStatus {
        match self {
            Self::Remote { .. } | Self::Unreachable(_) => RunStatus::Failed,
            Self::Cancelled { .. } | Self::CancelUnconfirmed => RunStatus::Cancelled,
            Self::TimedOut(_) => RunStatus::Timeout,
            Self::Interrupted(_) | Self::Overflow { .. } | Self::Protocol(_) | Self::Closed | Self::Left => {
                RunStatus::Interrupted
            }
        }
    }

    /// Why the run can be made by a plain HTTP call instead, the last transport fallback. `None`: it cannot.
    ///
    /// | end | plain call | because |
    /// | --- | --- | --- |
    /// | no connection, or a refused handshake | yes | the network may let no WebSocket through |
    /// | close code 4000 and above | no | the service itself said no |
    /// | a certificate that is not trusted | no | every transport has the same one |
    /// | every other end | no | the code may have been sent |
    #[must_use]
    pub const fn plain_call_reason(&self) -> Option<&DisconnectReason> {
        match self {
            Self::Unreachable(DisconnectReason::Closed { code: 4000.., .. } | DisconnectReason::Untrusted(_)) => None,
            Self::Unreachable(reason) => Some(reason),
            _ => None,
        }
    }

    /// What a plain call without an answer comes to. `reason` is why the run was not streamed.
    #[must_use]
    pub fn of_plain_call(reason: &DisconnectReason, error: &ApiError) -> Self {
        match error {
            ApiError::Transport(TransportError::Interrupted { reason }) => {
                Self::Interrupted(DisconnectReason::Broken(reason.clone()))
            }
            ApiError::Transport(TransportError::TimedOut { after }) => Self::TimedOut(*after),
            ApiError::Transport(TransportError::Untrusted { reason }) => {
                Self::Unreachable(DisconnectReason::Untrusted(reason.clone()))
            }
            ApiError::Transport(TransportError::ProxyRefused { reason }) => {
                Self::Unreachable(DisconnectReason::ProxyRefused(reason.clone()))
            }
            ApiError::Transport(TransportError::Unreachable { .. }) => {
                Self::Unreachable(DisconnectReason::Unreached(format!("{reason}, and a plain call: {error}")))
            }
            // Somebody answered, and it is not known who: the program may have run.
            ApiError::Malformed(malformed) => Self::Interrupted(DisconnectReason::Broken(malformed.to_string())),
            error if matches!(error.status(), Some(500..)) => {
                Self::Interrupted(DisconnectReason::Broken(error.to_string()))
            }
            ApiError::NotFound(refusal) | ApiError::Refused(refusal) => {
                let (status, error) = (refusal.status, Some(Box::new(refusal.clone())));
                Self::Unreachable(DisconnectReason::Refused { status, error })
            }
            error => Self::Remote { message: error.to_string() },
        }
    }
}

/// Why no connection came to be: the service's own words say it all.
fn unreachable(reason: &DisconnectReason) -> String {
    match reason {
        DisconnectReason::Refused { error: Some(error), .. } => error.to_string(),
        reason => format!("no connection to the session: {reason}"),
    }
}

/// What the service did wrong on a live run.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A message of a run had no `phase`.
    #[error("a message of the run has no phase")]
    NoPhase,
    /// A phase that part 1 does not know.
    #[error("a message of the run has the unknown phase `{0}`")]
    UnknownPhase(String),
    /// `data` is neither an object nor the text of one.
    #[error("a message of the run has no data object")]
    NoData,
    /// A chunk that is not a string, or whose escapes are wrong.
    #[error("a chunk of the run is not a string")]
    BadChunk,
    /// A sequence number left out: something is missing.
    #[error("event {expected} is missing, {got} came")]
    Gap {
        /// The number that was due.
        expected: u64,
        /// The number that came.
        got: u64,
    },
}
