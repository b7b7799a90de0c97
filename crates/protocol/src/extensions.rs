//! What a service can do beyond part 1 of the wire protocol.

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
    /// Shell commands are followed as runs.
    pub command: bool,
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
                "command" => extensions.command = true,
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
            ("command", self.command),
        ];
        all.into_iter().filter(|(_, known)| *known).map(|(name, _)| name).collect()
    }
}
