//! What a client says over the WebSocket (wire part 1, WebSocket; part 2).

use serde_json::{Value, json};

use super::{Extensions, SDK};
use crate::run::RunRequest;

/// The heartbeat of a client that cannot send ping frames. It has no answer.
pub const PING: &str = r#"{"type":"ping"}"#;

/// The name and the place of one run on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    /// The run's id: 32 hexadecimal digits.
    pub invocation: &'a str,
    /// The tool server that runs code.
    pub target: &'a str,
}

impl Address<'_> {
    /// Starts the run. Of the extensions only those are asked for that the service has said it knows; `window` is in
    /// bytes.
    #[must_use]
    pub fn start(self, run: &RunRequest, extensions: Extensions, window: usize) -> String {
        let seconds = run.timeout.as_secs_f64();
        // Whole seconds are written as an integer, as the published clients write them.
        let timeout = if seconds.fract() == 0.0 { json!(run.timeout.as_secs()) } else { json!(seconds) };
        let mut params = json!({ "language": run.language.as_str(), "timeoutS": timeout, "code": run.code });
        if extensions.resume {
            params["resume"] = json!(true);
        }
        if extensions.flow {
            params["window"] = json!(window);
        }
        self.frame(&json!({ "method": "run_code", "mode": "stream", "params": params }))
    }

    /// Finds the run again after its connection was lost, and asks for everything behind `after_seq`.
    #[must_use]
    pub fn resume(self, after_seq: u64, window: Option<usize>) -> String {
        let mut params = json!({ "afterSeq": after_seq });
        if let Some(window) = window {
            params["window"] = json!(window);
        }
        self.frame(&json!({ "method": "run_code", "mode": "resume", "params": params }))
    }

    /// Says that everything up to `seq` has been taken.
    #[must_use]
    pub fn ack(self, seq: u64) -> String {
        self.frame(&json!({ "method": "ack", "params": { "seq": seq } }))
    }

    /// Interrupts the program.
    #[must_use]
    pub fn cancel(self) -> String {
        self.frame(&json!({ "method": "cancel" }))
    }

    /// Gives the program a piece of input, or its end.
    #[must_use]
    pub fn stdin(self, data: Option<&str>) -> String {
        let params = data.map_or_else(|| json!({ "eof": true }), |data| json!({ "data": data }));
        self.frame(&json!({ "method": "stdin", "params": params }))
    }

    fn frame(self, data: &Value) -> String {
        json!({ "invocationId": self.invocation, "source": SDK, "target": self.target, "data": data }).to_string()
    }
}
