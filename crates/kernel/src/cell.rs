//! A cell, and what comes out of it.

use std::fmt;
use std::time::Duration;

use agb_protocol::{MimeBundle, Stream};

/// One run of a program in a kernel.
#[derive(Debug, Clone)]
pub struct Cell {
    /// The program's text.
    pub code: String,
    /// How long it may run, from the moment it is handed to the interpreter; waiting in the queue does not count.
    pub timeout: Duration,
    /// Whether somebody answers [`CellEvent::InputRequest`]. If not, input is at its end at once.
    pub stdin: bool,
}

impl Cell {
    /// A cell without input.
    #[must_use]
    pub fn new(code: impl Into<String>, timeout: Duration) -> Self {
        Self { code: code.into(), timeout, stdin: false }
    }
}

/// What happens while a cell runs, in the order in which it was read. [`End`](Self::End) comes once and last.
#[derive(Debug, Clone, PartialEq)]
pub enum CellEvent {
    /// The interpreter has the cell. Not sent for a cell that never got that far.
    Started,
    /// A piece of standard output: whole characters, one read of up to 64 KiB (more only where bytes that are not UTF-8
    /// became U+FFFD, three bytes each).
    Stdout(String),
    /// A piece of standard error, likewise.
    Stderr(String),
    /// What threads or processes of earlier cells have written since the last cell ended: kept for this one, up to
    /// [`KernelLimits::background_output`](crate::KernelLimits::background_output), and not part of it. What they
    /// write while a cell runs is that cell's own output.
    Background {
        /// Where they wrote it.
        stream: Stream,
        /// Whole characters.
        text: String,
    },
    /// A value to show.
    Result(RichResult),
    /// An error that the program did not handle. It is also in [`Outcome::Failed`] when it was the first.
    Error(CellError),
    /// The program waits for a line of input: answer by
    /// [`write_stdin`](crate::ExecutionControl::write_stdin) or
    /// [`close_stdin`](crate::ExecutionControl::close_stdin).
    InputRequest {
        /// What the program asks for; may be empty.
        prompt: String,
        /// Whether the answer is a password (`getpass`): it is not to be shown where it is typed.
        password: bool,
    },
    /// The cell is over.
    End(CellEnd),
}

/// A value in one or several representations.
#[derive(Debug, Clone, PartialEq)]
pub struct RichResult {
    /// Whether this is the value of the cell's last expression, as opposed to something displayed on the way.
    pub is_main: bool,
    /// The representations by MIME type. Text is a string, binary data a base64 string, JSON is itself.
    pub data: MimeBundle,
}

/// An error that a program did not handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellError {
    /// The error's class, such as `ZeroDivisionError`.
    pub name: String,
    /// The error's message.
    pub value: String,
    /// The whole report, as the language prints it, with the user's lines only.
    pub traceback: String,
}

impl fmt::Display for CellError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.is_empty() { f.write_str(&self.name) } else { write!(f, "{}: {}", self.name, self.value) }
    }
}

/// How a cell ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellEnd {
    /// What became of it.
    pub outcome: Outcome,
    /// The number of this cell in its kernel, from 1, restarts included. 0 if the interpreter never got it.
    pub execution_count: u32,
    /// Measured around the program: without queue, start-up or transport.
    pub execution_time: Duration,
    /// Whether the interpreter's state is gone: the next cell starts in a fresh process.
    pub state_lost: bool,
}

impl CellEnd {
    /// The end of a cell that no interpreter ever got.
    pub(crate) fn never(outcome: Outcome) -> Self {
        Self { outcome, execution_count: 0, execution_time: Duration::ZERO, state_lost: false }
    }
}

/// What became of a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It ran to its end.
    Finished,
    /// It ended by an error of its own.
    Failed(CellError),
    /// It was stopped because it ran longer than this, its [`Cell::timeout`].
    TimedOut(Duration),
    /// It was stopped or removed from the queue because somebody asked for it.
    Cancelled,
    /// The interpreter died under it.
    Killed(Death),
    /// There was no interpreter to run it.
    NotStarted(StartError),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("finished"),
            Self::Failed(error) => error.fmt(f),
            Self::TimedOut(limit) => write!(f, "the program ran longer than its timeout of {limit:?} and was stopped"),
            Self::Cancelled => f.write_str("the program was cancelled"),
            Self::Killed(death) => death.fmt(f),
            Self::NotStarted(error) => error.fmt(f),
        }
    }
}

/// How an interpreter process died.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Death {
    /// It ended itself.
    #[error("the interpreter exited with code {0}; its variables are lost, the next run starts a fresh one")]
    Exited(i32),
    /// A signal ended it.
    #[error("the interpreter was killed by {}; its variables are lost, the next run starts a fresh one", signal_name(*.0))]
    Signalled(i32),
    /// It ended itself because its memory was full.
    #[error("the interpreter ran out of memory and ended; its variables are lost, the next run starts a fresh one")]
    OutOfMemory,
    /// Its session used more than it may.
    #[error(
        "the interpreter was killed: its session exceeded its {0}; its variables are lost, the next run starts a fresh one"
    )]
    Limit(agb_sandbox::Exceeded),
    /// It was killed because something on its control channel was not what the harness sends.
    #[error("the interpreter was killed: its control channel carried {0}; only the harness may write there")]
    Protocol(ProtocolError),
}

impl Death {
    /// The name of the signal that ended it, such as `SIGKILL`.
    #[must_use]
    pub fn signal(&self) -> Option<String> {
        let Self::Signalled(signal) = self else { return None };
        let name = signal_name(*signal);
        Some(name.split_once(" (").map_or(name.clone(), |(name, _)| name.to_owned()))
    }
}

/// What is wrong with something that came over the control channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The frame's length is above [`KernelLimits::max_control_frame`](crate::KernelLimits::max_control_frame).
    #[error("a frame of {0} bytes, which is above the limit")]
    TooLarge(usize),
    /// Not JSON, or not an object of a known shape.
    #[error("a frame that is not a message")]
    Malformed,
    /// A message for another cell, or one that no cell is waiting for.
    #[error("a message that belongs to no running cell")]
    Stray,
    /// The channel was closed while the process lived on.
    #[error("an end of file")]
    Closed,
}

/// Why a cell never reached an interpreter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The process could not be created.
    #[error("{language} could not be started from {interpreter}: {reason}")]
    Spawn {
        /// The language.
        language: crate::Language,
        /// The executable.
        interpreter: String,
        /// The system's error.
        reason: String,
    },
    /// Something ended its sandbox before it ran: where memory is short, the system.
    #[error("{language} could not be started from {interpreter}: {reason}")]
    Killed {
        /// The language.
        language: crate::Language,
        /// The executable.
        interpreter: String,
        /// What is known of it.
        reason: String,
    },
    /// The process died before it was ready.
    #[error("{language} died while starting: {death}{}", stderr_note(.stderr))]
    Died {
        /// The language.
        language: crate::Language,
        /// How it died.
        death: Death,
        /// The end of what it wrote to standard error.
        stderr: String,
    },
    /// The process was not ready in time.
    #[error("{language} was not ready within {limit:?} and was killed; the machine may be overloaded")]
    TimedOut {
        /// The language.
        language: crate::Language,
        /// [`KernelLimits::start_timeout`](crate::KernelLimits::start_timeout).
        limit: Duration,
    },
    /// Too many cells wait already.
    #[error("{0} runs wait for this interpreter already; wait for one of them to end, then try again")]
    QueueFull(usize),
    /// The kernel was shut down.
    #[error("the session's interpreter was shut down; create a new session")]
    ShutDown,
    /// What the interpreter needs could not be made.
    #[error("{language} could not be prepared: {reason}")]
    Prepare {
        /// The language.
        language: crate::Language,
        /// What failed, and what to do about it.
        reason: String,
    },
}

fn stderr_note(stderr: &str) -> String {
    if stderr.trim().is_empty() { String::new() } else { format!("; its standard error: {}", stderr.trim()) }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGABRT => "SIGABRT (it aborted itself)",
        libc::SIGBUS => "SIGBUS (bad memory access)",
        libc::SIGFPE => "SIGFPE (bad arithmetic)",
        libc::SIGILL => "SIGILL (illegal instruction)",
        libc::SIGINT => "SIGINT",
        libc::SIGKILL => "SIGKILL (signal 9, not for a limit of its session: the machine may be out of memory)",
        libc::SIGPIPE => "SIGPIPE (its output was closed)",
        libc::SIGSEGV => "SIGSEGV (a segmentation fault)",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXFSZ => "SIGXFSZ (a file grew above the limit of its size)",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}
