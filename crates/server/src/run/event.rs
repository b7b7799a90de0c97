//! What happens in a run, as its subscribers see it.

use agb_protocol::MimeBundle;
pub(crate) use agb_protocol::{Finish, RunFailure, Stream};

use crate::shorten::{MAX_MESSAGE, cut};

/// A traceback of a thousand lines.
const MAX_TRACEBACK: usize = 64 * 1024;

/// Where a chunk comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) stream: Stream,
    /// It was written before this run, by what earlier ones have left behind.
    pub(crate) background: bool,
}

impl From<Stream> for Origin {
    fn from(stream: Stream) -> Self {
        Self { stream, background: false }
    }
}

impl Origin {
    /// That of what was written between two runs.
    pub(crate) fn background(stream: Stream) -> Self {
        Self { stream, background: true }
    }
}

/// One thing that happened. [`Event::End`] comes once, and last.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The server has the run; its program may have to wait for its turn. Only a subscriber that asked for an extension sees
    /// this and what follows.
    Accepted,
    /// The interpreter has the program: its time counts from here.
    Started,
    /// The program waits for a line of input.
    InputRequest {
        /// What it asks.
        prompt: String,
        /// The answer is a password.
        password: bool,
    },
    /// The program wrote this.
    Chunk(Origin, String),
    /// Input was not taken.
    InputRefused {
        /// Why, and what to do.
        message: String,
    },
    /// Output was not kept: nobody took it, and there was no room.
    Dropped {
        /// How much.
        bytes: u64,
    },
    /// The server is about to end.
    Ending {
        /// The run is interrupted after so many seconds.
        seconds: f64,
    },
    /// The program showed something: an object keyed by MIME type.
    Result {
        /// The value of the program's last expression, say.
        is_main: bool,
        /// By MIME type.
        mime: MimeBundle,
    },
    /// The run failed, and this is why.
    Error(RunFailure),
    /// Nothing comes after this.
    End(Finish),
}

impl Event {
    /// Bytes in memory. Chunks are joined, so they count by their text alone; everything else costs something beside it.
    pub(crate) fn memory_size(&self) -> usize {
        const EVENT: usize = 128;
        match self {
            Self::Chunk(_, text) => text.len(),
            Self::Result { mime, .. } => EVENT + mime.memory_size(),
            Self::Error(failure) => EVENT + failure.memory_size(),
            Self::InputRequest { prompt, .. } => EVENT + prompt.len(),
            Self::InputRefused { message } => EVENT + message.len(),
            Self::End(finish) => finish.memory_size(),
            Self::Accepted | Self::Started | Self::Dropped { .. } | Self::Ending { .. } => 0,
        }
    }

    /// The same, with messages that are no longer than a person reads. They may be a program's, or name what a client gave.
    pub(crate) fn shortened(self) -> Self {
        match self {
            Self::InputRequest { prompt, password } => {
                Self::InputRequest { prompt: cut(prompt, MAX_MESSAGE), password }
            }
            Self::InputRefused { message } => Self::InputRefused { message: cut(message, MAX_MESSAGE) },
            Self::Error(failure) => Self::Error(shortened_failure(failure)),
            Self::End(finish) => Self::End(shortened_finish(finish)),
            other => other,
        }
    }
}

/// A failure with texts that a person reads.
pub(crate) fn shortened_failure(failure: RunFailure) -> RunFailure {
    let RunFailure { name, value, traceback } = failure;
    RunFailure {
        name: cut(name, MAX_MESSAGE),
        value: cut(value, MAX_MESSAGE),
        traceback: cut(traceback, MAX_TRACEBACK),
    }
}

/// An end with texts that a person reads.
pub(crate) fn shortened_finish(mut finish: Finish) -> Finish {
    finish.execution_error = finish.execution_error.map(|error| cut(error, MAX_MESSAGE));
    if let Some(killed_by) = &mut finish.killed_by {
        killed_by.signal = killed_by.signal.take().map(|signal| cut(signal, MAX_MESSAGE));
    }
    finish
}

/// A failure that is the server's word, not the program's.
pub(crate) fn failure(name: &str, value: impl Into<String>) -> RunFailure {
    RunFailure { name: name.to_owned(), value: value.into(), traceback: String::new() }
}

/// `Name: message`, as the end of a run tells it.
pub(crate) fn one_line(failure: &RunFailure) -> String {
    match (failure.name.is_empty(), failure.value.is_empty()) {
        (_, true) => failure.name.clone(),
        (true, false) => failure.value.clone(),
        (false, false) => format!("{}: {}", failure.name, failure.value),
    }
}
