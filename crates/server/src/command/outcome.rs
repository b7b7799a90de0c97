//! How a command came to its end.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use agb_protocol::command::SIGNALS;
use agb_sandbox::{Exceeded, SpawnError};

/// How a command came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// By itself, with this exit code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// At its time limit.
    TimedOut(Duration),
    /// It was told to stop.
    Cancelled,
    /// Its session went above a limit.
    Exceeded(Exceeded),
    /// It never began, for this reason.
    NotStarted(String),
}

impl Outcome {
    /// What `wait` reported.
    pub(super) fn of(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited(code),
            (None, signal) => Self::Signalled(signal.unwrap_or(libc::SIGKILL)),
        }
    }

    /// Of one whose process could not be started: its session may have been at a limit just then.
    pub(super) fn of_start(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(SpawnError::Exceeded(limit)) => Self::Exceeded(*limit),
            _ => Self::NotStarted(format!("sh could not be started: {error}")),
        }
    }

    /// As a shell tells it: the code, or 128 and the signal's number; 124 at a time limit, as `timeout(1)` has it.
    pub(crate) fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(*code),
            Self::Signalled(signal) => Some(128 + signal),
            Self::TimedOut(_) => Some(124),
            Self::Exceeded(_) => Some(128 + libc::SIGKILL),
            Self::Cancelled | Self::NotStarted(_) => None,
        }
    }

    /// In one word, for the metrics.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Exited(0) => "finished",
            Self::Exited(_) => "failed",
            Self::Signalled(_) | Self::Exceeded(_) => "killed",
            Self::TimedOut(_) => "timeout",
            Self::Cancelled => "cancelled",
            Self::NotStarted(_) => "not_started",
        }
    }
}

/// A signal's name, such as `SIGKILL`.
pub(super) fn signal_name(signal: i32) -> String {
    // Those that nobody sends by name: a program's own faults, and what the kernel sends.
    const OTHERS: [(&str, i32); 11] = [
        ("SIGILL", libc::SIGILL),
        ("SIGTRAP", libc::SIGTRAP),
        ("SIGABRT", libc::SIGABRT),
        ("SIGBUS", libc::SIGBUS),
        ("SIGFPE", libc::SIGFPE),
        ("SIGSEGV", libc::SIGSEGV),
        ("SIGPIPE", libc::SIGPIPE),
        ("SIGALRM", libc::SIGALRM),
        ("SIGXCPU", libc::SIGXCPU),
        ("SIGXFSZ", libc::SIGXFSZ),
        ("SIGSYS", libc::SIGSYS),
    ];
    let known = SIGNALS.iter().chain(&OTHERS).find(|(_, number)| *number == signal);
    known.map_or_else(|| format!("signal {signal}"), |(name, _)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_a_code_or_a_signal() {
        assert_eq!(Outcome::of(ExitStatus::from_raw(3 << 8)), Outcome::Exited(3));
        for (signal, name) in [(libc::SIGTERM, "SIGTERM"), (libc::SIGSEGV, "SIGSEGV"), (34, "signal 34")] {
            assert_eq!(Outcome::of(ExitStatus::from_raw(signal)), Outcome::Signalled(signal));
            assert_eq!(signal_name(signal), name);
        }
    }

    #[test]
    fn the_numbers_of_the_protocol_are_the_system_s() {
        let number = |name| SIGNALS.iter().find(|(known, _)| *known == name).map(|(_, number)| *number);
        for (name, signal) in [
            ("SIGHUP", libc::SIGHUP),
            ("SIGINT", libc::SIGINT),
            ("SIGKILL", libc::SIGKILL),
            ("SIGUSR1", libc::SIGUSR1),
            ("SIGTERM", libc::SIGTERM),
            ("SIGCONT", libc::SIGCONT),
            ("SIGSTOP", libc::SIGSTOP),
            ("SIGWINCH", libc::SIGWINCH),
        ] {
            assert_eq!(number(name), Some(signal), "{name}");
        }
    }
}
