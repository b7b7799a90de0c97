//! What a client says over the WebSocket (wire part 1, WebSocket; part 2).

use std::time::Duration;

use super::text::push_json_str;
use super::{Extensions, SDK};
use crate::command::CommandRequest;
use crate::run::RunRequest;
use crate::time::seconds;
use agb_protocol::command::TerminalSize;

/// The heartbeat of a client that cannot send ping frames. It has no answer.
pub const PING: &str = r#"{"type":"ping"}"#;

/// The name and the place of one run on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    /// The run's id: 32 hexadecimal digits.
    pub invocation: &'a str,
    /// The tool server that runs code.
    pub target: &'a str,
    /// Without the envelope: where it goes tells the run (extension `http`).
    pub bare: bool,
}

impl Address<'_> {
    /// Starts the run. Of the extensions only those are asked for that the service has said it knows; `window` is in
    /// bytes.
    #[must_use]
    pub fn start(self, run: &RunRequest, extensions: Extensions, window: usize) -> String {
        let mut params = Fields::new();
        params.text("language", run.language.as_str());
        params.seconds("timeoutS", run.timeout);
        params.text("code", &run.code);
        if extensions.resume {
            params.value("resume", "true");
        }
        if extensions.stdin && run.stdin {
            params.value("stdin", "true");
        }
        if extensions.flow {
            params.number("window", window as u64);
        }
        self.say("run_code", Some("stream"), Some(params))
    }

    /// Starts a command (extension `command`), as [`start`](Self::start) does code.
    #[must_use]
    pub fn start_command(self, run: &CommandRequest, extensions: Extensions, window: usize) -> String {
        let mut params = Fields::new();
        params.text("command", &run.command);
        if let Some(timeout) = run.timeout {
            params.number("timeoutMs", u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        }
        if let Some(cwd) = &run.cwd {
            params.text("cwd", cwd);
        }
        if !run.envs.is_empty() {
            let mut envs = Fields::new();
            run.envs.iter().for_each(|(name, value)| envs.text(name, value));
            params.value("envs", &envs.end());
        }
        if let Some(size) = run.terminal {
            params.value("pty", &Fields::of_size(size).end());
        }
        let flags =
            [("detached", run.detached), ("resume", extensions.resume), ("stdin", extensions.stdin && run.stdin)];
        for (name, _) in flags.into_iter().filter(|(_, wanted)| *wanted) {
            params.value(name, "true");
        }
        if extensions.flow {
            params.number("window", window as u64);
        }
        self.say("run_command", Some("stream"), Some(params))
    }

    /// Finds the run again after its connection was lost, and asks for everything behind `after_seq`. What came before
    /// has been taken up to `taken`; the rest of it still fills the `window`.
    #[must_use]
    pub fn resume(self, after_seq: u64, taken: u64, window: Option<usize>) -> String {
        let mut params = Fields::new();
        params.number("afterSeq", after_seq);
        params.number("ackSeq", taken);
        if let Some(window) = window {
            params.number("window", window as u64);
        }
        self.say("run_code", Some("resume"), Some(params))
    }

    /// Says that everything up to `seq` has been taken.
    #[must_use]
    pub fn ack(self, seq: u64) -> String {
        let mut params = Fields::new();
        params.number("seq", seq);
        self.say("ack", None, Some(params))
    }

    /// Interrupts the program.
    #[must_use]
    pub fn cancel(self) -> String {
        self.say("cancel", None, None)
    }

    /// Sends a signal to a command's process group. `seq` as in [`stdin`](Self::stdin).
    #[must_use]
    pub fn signal(self, signal: &str, seq: Option<u64>) -> String {
        let mut params = Fields::new();
        params.text("signal", signal);
        self.say_piece("signal", params, seq)
    }

    /// Changes the size of a command's terminal. `seq` as in [`stdin`](Self::stdin).
    #[must_use]
    pub fn resize(self, size: TerminalSize, seq: Option<u64>) -> String {
        self.say_piece("resize", Fields::of_size(size), seq)
    }

    /// Follows the run no longer, and lets it go on.
    #[must_use]
    pub fn leave(self) -> String {
        self.say("leave", None, None)
    }

    /// Gives the program a piece of input, or its end. `seq` is its number, where the service has the extension
    /// `stdinSeq`.
    #[must_use]
    pub fn stdin(self, data: Option<&str>, seq: Option<u64>) -> String {
        let mut params = Fields::new();
        match data {
            Some(data) => params.text("data", data),
            None => params.value("eof", "true"),
        }
        self.say_piece("stdin", params, seq)
    }

    fn say_piece(self, method: &str, mut params: Fields, seq: Option<u64>) -> String {
        if let Some(seq) = seq {
            params.number("inputSeq", seq);
        }
        self.say(method, None, Some(params))
    }

    fn say(self, method: &str, mode: Option<&str>, params: Option<Fields>) -> String {
        let mut data = Fields::new();
        data.text("method", method);
        if let Some(mode) = mode {
            data.text("mode", mode);
        }
        if let Some(params) = params {
            data.value("params", &params.end());
        }
        if self.bare {
            return data.end();
        }
        let mut frame = Fields::new();
        frame.text("invocationId", self.invocation);
        frame.text("source", SDK);
        frame.text("target", self.target);
        frame.value("data", &data.end());
        frame.end()
    }
}

/// A JSON object in the making.
struct Fields(String);

impl Fields {
    fn new() -> Self {
        Self(String::from("{"))
    }

    fn of_size(size: TerminalSize) -> Self {
        let mut fields = Self::new();
        fields.number("cols", size.cols.into());
        fields.number("rows", size.rows.into());
        fields
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        push_json_str(&mut self.0, text);
    }

    fn number(&mut self, name: &str, number: u64) {
        self.value(name, &number.to_string());
    }

    /// Whole seconds are written as an integer, as the published clients write them.
    fn seconds(&mut self, name: &str, duration: Duration) {
        self.value(name, &seconds(duration));
    }

    /// `json` is JSON text.
    fn value(&mut self, name: &str, json: &str) {
        self.name(name);
        self.0.push_str(json);
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        push_json_str(&mut self.0, name);
        self.0.push(':');
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}
