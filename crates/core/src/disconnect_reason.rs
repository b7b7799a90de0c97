//! Why a connection ended, and what follows from it.

use crate::codes;
use crate::error::Refusal;
use crate::http::refusal_of_stream;
use crate::secret::Secret;

/// Why a socket is gone.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DisconnectReason {
    /// The opening handshake was answered by an HTTP status (a browser never sees it).
    #[error("{}", refusal(*status, error.as_deref()))]
    Refused {
        /// The status.
        status: u16,
        /// What the service said, as a plain call's error. `None`: nothing that a service says; a proxy may have answered.
        error: Option<Box<Refusal>>,
    },
    /// A close frame came (RFC 6455, section 7.4).
    #[error("{}", closed(*code, reason))]
    Closed {
        /// The close code; 1005 when the frame had none, 1006 when there was no frame.
        code: u16,
        /// The peer's words.
        reason: String,
    },
    /// It broke, or could not be made, without a word from the peer.
    #[error("{0}")]
    Broken(String),
    /// Of an event stream: there was no connection to send anything over.
    #[error("{0}")]
    Unreached(String),
    /// A message of the service was larger than this client takes, in these words.
    #[error("{0}")]
    TooLarge(String),
    /// The service's certificate is not trusted, in these words.
    #[error("{0}")]
    Untrusted(String),
    /// A forward proxy does not let this client through, in these words.
    #[error("{0}")]
    ProxyRefused(String),
}

/// What a browser says in the place of a close code: the connection ended without a close frame, or without TLS (RFC 6455,
/// section 7.4.1). Neither is ever sent.
const NO_FRAME: u16 = 1006;
const NO_TLS: u16 = 1015;

/// Our server's own close codes, for clients that cannot see a refused handshake (wire part 2, browser tokens).
const UNAUTHORIZED: u16 = 4401;
const FORBIDDEN: u16 = 4403;
const SESSION_GONE: u16 = 4404;

impl DisconnectReason {
    /// How much of a refusal's body is worth reading, bytes: the service's words have some hundred. 16 KiB.
    pub const LONGEST_REFUSAL: usize = 16 << 10;

    /// A handshake, or an event stream, that was answered with this status and body.
    #[must_use]
    pub fn refused(status: u16, body: &str) -> Self {
        Self::Refused { status, error: refusal_of_stream(status, body).map(Box::new) }
    }

    /// The same without any trace of the token, which a service may repeat when it refuses it.
    pub(crate) fn hiding(mut self, token: &Secret) -> Self {
        if let Self::Refused { error: Some(error), .. } = &mut self {
            error.hide(token);
        }
        self
    }

    /// The name and the code that a plain call's error has for the same, where the service itself said no for good.
    pub(crate) fn refusal(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Refused { error: Some(error), .. } if error.is_of_missing() => {
                Some(("NotFoundError", codes::NOT_FOUND))
            }
            Self::Refused { error: Some(_), .. } => Some(("ServiceError", codes::REFUSED)),
            Self::Closed { code: SESSION_GONE, .. } => Some(("NotFoundError", codes::NOT_FOUND)),
            Self::Closed { code: UNAUTHORIZED | FORBIDDEN, .. } => Some(("ServiceError", codes::REFUSED)),
            _ => None,
        }
    }

    /// A stable name for programs to compare.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } => codes::CONNECTION_REFUSED,
            Self::Broken(_) | Self::TooLarge(_) | Self::Closed { code: NO_FRAME | NO_TLS, .. } => {
                codes::CONNECTION_BROKEN
            }
            Self::Closed { .. } => codes::CONNECTION_CLOSED,
            Self::Unreached(_) | Self::Untrusted(_) | Self::ProxyRefused(_) => codes::CONNECTION_UNREACHED,
        }
    }

    pub(crate) fn memory_size(&self) -> usize {
        match self {
            Self::Refused { error, .. } => error.as_deref().map_or(0, Refusal::memory_size),
            Self::Closed { reason, .. } => reason.len(),
            Self::Broken(message)
            | Self::Unreached(message)
            | Self::TooLarge(message)
            | Self::Untrusted(message)
            | Self::ProxyRefused(message) => message.len(),
        }
    }

    /// Whether the service said that this token or session will never do, so that trying again is useless.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            // 408 and 429 ask to come again; every other 4xx is about us.
            Self::Refused { status, .. } => *status >= 400 && *status < 500 && *status != 408 && *status != 429,
            Self::Closed { code, .. } => matches!(*code, UNAUTHORIZED | FORBIDDEN | SESSION_GONE),
            // Neither a certificate nor a proxy's rules change by asking again.
            Self::Untrusted(_) | Self::ProxyRefused(_) => true,
            Self::Broken(_) | Self::Unreached(_) | Self::TooLarge(_) => false,
        }
    }

    /// Whether something on the way, or this client, takes no message as large as the one that came: another link of
    /// this kind would end at the same message.
    #[must_use]
    pub const fn is_too_large(&self) -> bool {
        /// "Message too big" (RFC 6455, section 7.4.1).
        const TOO_BIG: u16 = 1009;
        matches!(self, Self::TooLarge(_) | Self::Closed { code: TOO_BIG, .. })
    }
}

fn refusal(status: u16, error: Option<&Refusal>) -> String {
    match error {
        Some(error) => error.to_string(),
        None => format!("the handshake was refused with HTTP status {status}"),
    }
}

fn closed(code: u16, reason: &str) -> String {
    match (code, reason) {
        (NO_FRAME | NO_TLS, _) => format!("the connection broke, without a close frame (code {code})"),
        (_, "") => format!("the service closed the connection (code {code})"),
        (_, reason) => format!("the service closed the connection (code {code}: {reason})"),
    }
}
