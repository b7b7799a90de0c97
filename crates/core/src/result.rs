//! What a run of code gives its caller.

use std::borrow::Cow;

mod budget;
mod code;
mod log_budget;
mod recorder;
mod shapes;
mod streamed;

pub use agb_protocol::{KilledBy, RunFailure, RunStatus};
pub use budget::ResultBudget;
pub use log_budget::LogBudget;
pub use recorder::RunRecorder;

pub use crate::rich_result::RichResult;

/// The result of one run (wire protocol, "The result a caller gets").
///
/// `success` is false exactly when `error_message` says something.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Execution {
    /// The id to quote when asking the service about this run; the invocation id when streaming.
    pub request_id: String,
    /// The program came to its end and raised nothing.
    pub success: bool,
    /// How it ended, in one word.
    pub status: RunStatus,
    /// How many runs the kernel has had, this one included.
    pub execution_count: Option<u64>,
    /// Seconds, measured around the program; 0 where the service does not say.
    pub execution_time: f64,
    /// What the program printed, as far as it is kept here. Streaming keeps its own log.
    pub logs: Logs,
    /// Values and displays, in order.
    pub results: Vec<RichResult>,
    /// What the program raised, or else why the run failed.
    pub error: Option<RunFailure>,
    /// What went wrong, for a person; empty on success.
    pub error_message: String,
    /// The logs or the results were cut at a limit.
    pub truncated: bool,
    /// How often the connection was lost and the run was found again. Nothing is missing for it.
    pub interruptions: u32,
    /// The interpreter was restarted: its variables are gone.
    pub state_lost: bool,
    /// Of a command, as a shell tells it: the exit code, or 128 and the number of the signal that ended it; 124 at its time
    /// limit.
    pub exit_code: Option<i32>,
    /// With [`RunStatus::Killed`] what ended the interpreter, with [`RunStatus::Signalled`] what ended the command, where
    /// the service says it.
    pub killed_by: Option<KilledBy>,
}

impl Execution {
    /// Reads the text content of an answer to `run_code` (wire protocol, "What `run_code` answers").
    ///
    /// `is_error` is the flag beside the content. Total: what is no known shape is plain text.
    #[must_use]
    pub fn from_answer(request_id: String, texts: &[&str], is_error: bool) -> Self {
        shapes::read(request_id, texts, is_error)
    }

    /// The result that the program meant as its value: the last one marked as main.
    #[must_use]
    pub fn main_result(&self) -> Option<&RichResult> {
        self.results.iter().rfind(|result| result.is_main)
    }

    /// Keeps at most so many bytes of results; see [`ResultBudget`].
    pub fn limit_results(&mut self, limit: usize) {
        let mut budget = ResultBudget::new(limit);
        self.results = self.results.iter().filter_map(|result| budget.keep(result)).map(Cow::into_owned).collect();
        self.truncated |= budget.is_truncated();
    }

    /// Settles `success`, `status` and `error_message`, which must agree, from everything else that is known. `reason`
    /// is the service's own word.
    fn conclude(&mut self, failed: bool, reason: Option<RunStatus>, words: Option<String>) {
        let words = words.filter(|words| !words.is_empty());
        let reason = reason.filter(|reason| *reason != RunStatus::Finished);
        self.success = !failed && reason.is_none_or(|reason| reason == RunStatus::Exited) && self.error.is_none();
        self.status = reason.unwrap_or(if self.success { RunStatus::Finished } else { RunStatus::Failed });
        self.error_message = if self.success {
            String::new()
        } else {
            words
                .or_else(|| self.error.as_ref().map(RunFailure::summary))
                .unwrap_or_else(|| String::from("the run failed, and the service does not say why"))
        };
    }
}

/// The chunks of a program's two streams, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    /// Standard output.
    pub stdout: Vec<String>,
    /// Standard error.
    pub stderr: Vec<String>,
}

#[cfg(test)]
mod tests;
