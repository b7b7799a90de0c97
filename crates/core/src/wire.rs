//! The WebSocket wire: the only place that knows the protocol's field names.
//!
//! [`incoming`] reads what a service says, [`outgoing`] writes what a client says; [`service`] is both from the other
//! side, for a server. The two sides share this module, so a mistake in it would be invisible between them: the
//! transcripts in `tests/transcripts`, written by hand from the protocol, are the check.
//!
//! Every reader here is total: any text gives a value, never a panic.

#[cfg(feature = "text-chunks")]
pub(crate) mod envelope;
pub mod incoming;
pub(crate) mod object;
pub mod outgoing;
#[cfg(feature = "text-chunks")]
mod scan;
pub mod service;
pub(crate) mod text;

/// The tool server that runs code when the session's tool list names none (wire part 1).
pub const DEFAULT_TARGET: &str = "wuying_codespace";

/// How the client calls itself in `source`, and the service calls it in `target`.
pub const SDK: &str = "SDK";

/// A client with `resume` or `flow` says after so many bytes at the latest what it has taken: texts of all kinds, and
/// something for each event. A service that keeps less, several times as much in frames, would wait for it, and it for
/// the service. 256 KiB: a quarter of our window, and some frames of the largest chunks.
pub const ACK_WITHIN: usize = 256 * 1024;

/// What a service can do beyond part 1 (wire part 2).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Extensions {
    /// A run outlives its connection and is found again.
    pub resume: bool,
    /// Output is sent only as far as the client has taken it.
    pub flow: bool,
    /// A run can be interrupted.
    pub cancel: bool,
    /// A program can be given input.
    pub stdin: bool,
    /// Input has numbers: what was under way when a connection was lost can be said again.
    pub stdin_seq: bool,
    /// A run can be followed without a WebSocket.
    pub http: bool,
    /// `{"type":"ping"}` is answered by `{"type":"pong"}`: silence means something where there are no ping frames.
    pub heartbeat: bool,
}

impl Extensions {
    /// Reads the names a service lists; unknown ones are for later clients.
    #[must_use]
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut extensions = Self::default();
        for name in names {
            match name {
                "resume" => extensions.resume = true,
                "flow" => extensions.flow = true,
                "cancel" => extensions.cancel = true,
                "stdin" => extensions.stdin = true,
                "stdinSeq" => extensions.stdin_seq = true,
                "http" => extensions.http = true,
                "heartbeat" => extensions.heartbeat = true,
                _ => {}
            }
        }
        extensions
    }

    /// The names, as a service lists them.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        let all = [
            ("resume", self.resume),
            ("flow", self.flow),
            ("cancel", self.cancel),
            ("stdin", self.stdin),
            ("stdinSeq", self.stdin_seq),
            ("http", self.http),
            ("heartbeat", self.heartbeat),
        ];
        all.into_iter().filter(|(_, known)| *known).map(|(name, _)| name).collect()
    }
}
