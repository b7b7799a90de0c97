//! What stops a command.

use std::fmt;
use std::io;

/// What stops a command, worded for the person at the terminal.
#[derive(Debug)]
pub(crate) enum Error {
    /// The command line makes no sense; the text says what would.
    Usage(String),
    /// Something went wrong; the text says what, and what to do.
    Failed(String),
    /// This signal told us to stop.
    Interrupted(i32),
}

impl Error {
    /// Where a file could not be read or written.
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(io::Error) -> Error + '_ {
        move |error| Error::Failed(format!("{}: {error}", path.display()))
    }

    /// The exit code, as a shell would have it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::Failed(_) => 1,
            Error::Interrupted(signal) => 128 + u8::try_from(*signal).unwrap_or(0),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(text) => f.write_str(text.trim_end()),
            Error::Failed(text) => write!(f, "error: {}", text.trim_end()),
            Error::Interrupted(_) => f.write_str("interrupted; everything that was started has been stopped"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Error::Failed(error.to_string())
    }
}
