//! How a run ended, in one word, and what ended an interpreter.

/// How a run ended, in one word. Finer than the `success` of a client's result, which is true for
/// [`Finished`](Self::Finished) alone.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum RunStatus {
    /// The program came to its end and raised nothing.
    Finished,
    /// The program raised, or it never began: an unknown language, a service that cannot be reached.
    #[default]
    Failed,
    /// Its time limit was up, and it was stopped.
    Timeout,
    /// Somebody stopped it: the caller, or another client of the session.
    Cancelled,
    /// Its interpreter died: see [`KilledBy`].
    Killed,
    /// It was begun and could not be followed to its end. Whether the program came to its end is unknown; running it
    /// again may do everything twice.
    Interrupted,
    /// A command came to its end by itself: its exit code says how.
    Exited,
    /// A signal ended a command: its own, the caller's or another program's.
    Signalled,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Finished,
        Self::Failed,
        Self::Timeout,
        Self::Cancelled,
        Self::Killed,
        Self::Interrupted,
        Self::Exited,
        Self::Signalled,
    ];

    /// As on the wire and in every client.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Killed => "killed",
            Self::Interrupted => "interrupted",
            Self::Exited => "exited",
            Self::Signalled => "signalled",
        }
    }

    /// Reads [`as_str`](Self::as_str); `None` for anything else.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// What ended an interpreter under its run, or a command, as far as the service says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KilledBy {
    /// It ended itself with this exit code.
    pub exit_code: Option<i32>,
    /// A signal ended it, such as `SIGKILL`.
    pub signal: Option<String>,
    /// It had used all the memory that it may have.
    pub out_of_memory: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for status in RunStatus::ALL {
            assert_eq!(RunStatus::parse(status.as_str()), Some(status));
        }
        assert_eq!((RunStatus::parse("Finished"), RunStatus::parse("")), (None, None));
    }
}
