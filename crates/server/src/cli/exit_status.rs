//! The exit status of `agb-server run`: what a program came to, as shells and `timeout(1)` tell it.

use agb_client::{Execution, RunStatus};

/// The program could not be run, or what became of it is not known: as `env(1)`, `timeout(1)` and `docker run` have it.
pub(super) const NOT_RUN: u8 = 125;
/// It was stopped by Ctrl-C or SIGTERM: 128 and the number of SIGINT.
pub(super) const CANCELLED: u8 = 130;
/// Whoever read its output wants no more of it: 128 and the number of SIGPIPE.
pub(super) const OUTPUT_CLOSED: u8 = 141;
const TIMEOUT: u8 = 124;
const KILLED: u8 = 137;
const FAILED: u8 = 1;

/// What a program came to.
pub(super) fn of(execution: &Execution) -> u8 {
    match execution.status {
        RunStatus::Finished | RunStatus::Exited => 0,
        RunStatus::Timeout => TIMEOUT,
        RunStatus::Cancelled => CANCELLED,
        RunStatus::Interrupted => NOT_RUN,
        RunStatus::Killed | RunStatus::Signalled => {
            let by = execution.killed_by.as_ref();
            let code = by.and_then(|by| by.exit_code).map(low_byte);
            code.unwrap_or_else(|| by.and_then(|by| by.signal.as_deref()).map_or(KILLED, of_signal))
        }
        RunStatus::Failed => match &execution.error {
            Some(error) if NOT_BEGUN.contains(&error.name.as_str()) => NOT_RUN,
            // Python itself ends by the signal then.
            Some(error) if error.name == "KeyboardInterrupt" => CANCELLED,
            Some(error) => ended_by_itself(&error.name, &error.value).unwrap_or(FAILED),
            None => NOT_RUN,
        },
    }
}

/// Whether a program's error is only the end that it chose, of which there is nothing to say.
pub(super) fn is_exit(name: &str, value: &str) -> bool {
    ended_by_itself(name, value).is_some()
}

/// Errors of the service, not of a program.
const NOT_BEGUN: [&str; 10] = [
    "NotStarted",
    "MissingInterpreter",
    "UnknownLanguage",
    "TooManyRuns",
    "TooMuchCode",
    "InvalidTimeout",
    "ServerStopping",
    "SessionReleased",
    "NoRoom",
    "NoMount",
];

/// The code of a program that ended itself: `sys.exit(3)`, `process.exit(3)`, `quit(status = 3)`.
fn ended_by_itself(name: &str, value: &str) -> Option<u8> {
    match name {
        // Of Python the value is what `sys.exit` was given, and a text means 1, which was printed by then.
        "SystemExit" => Some(value.parse().map_or(FAILED, low_byte)),
        // Of the others it is the call.
        "ProcessExit" => {
            let digits = value.trim_end_matches(')').rsplit(|c: char| !(c.is_ascii_digit() || c == '-')).next()?;
            digits.parse().ok().map(low_byte)
        }
        _ => None,
    }
}

/// As the system cuts it. No failure becomes a success by that.
fn low_byte(code: i32) -> u8 {
    let byte = code.to_le_bytes()[0];
    if byte == 0 && code != 0 { FAILED } else { byte }
}

fn of_signal(name: &str) -> u8 {
    let known = agb_protocol::command::SIGNALS.iter().find(|(signal, _)| *signal == name);
    let faults = [("SIGILL", 4), ("SIGABRT", 6), ("SIGBUS", 7), ("SIGFPE", 8), ("SIGSEGV", 11), ("SIGSYS", 31)];
    let number =
        known.map(|(_, number)| *number).or_else(|| faults.iter().find(|(fault, _)| *fault == name).map(|it| it.1));
    number.map_or(KILLED, |number| low_byte(128 + number))
}

#[cfg(test)]
mod tests {
    use agb_client::{KilledBy, RunFailure};

    use super::*;

    fn failed(name: &str, value: &str) -> u8 {
        let mut execution = Execution::default();
        execution.status = RunStatus::Failed;
        execution.error = Some(RunFailure { name: name.into(), value: value.into(), traceback: String::new() });
        of(&execution)
    }

    fn killed(by: KilledBy) -> u8 {
        let mut execution = Execution::default();
        execution.status = RunStatus::Killed;
        execution.killed_by = Some(by);
        of(&execution)
    }

    #[test]
    fn a_program_ends_with_the_code_that_it_chose() {
        for (name, value, code) in [
            ("SystemExit", "3", 3),
            ("SystemExit", "-1", 255),
            ("SystemExit", "256", 1),
            ("SystemExit", "no number 5", 1),
            ("ProcessExit", "process.exit(3)", 3),
            ("ProcessExit", "process.exitCode = 7", 7),
            ("ProcessExit", "quit(status = 4)", 4),
            ("ValueError", "3", 1),
            ("KeyboardInterrupt", "", CANCELLED),
            ("NotStarted", "no Python", NOT_RUN),
        ] {
            assert_eq!(failed(name, value), code, "{name}: {value}");
        }
        assert!(is_exit("SystemExit", "text") && !is_exit("KeyError", "3"));
    }

    #[test]
    fn a_program_that_was_ended_says_by_what() {
        assert_eq!(killed(KilledBy { exit_code: Some(5), ..KilledBy::default() }), 5);
        assert_eq!(killed(KilledBy { exit_code: Some(0), ..KilledBy::default() }), 0);
        assert_eq!(killed(KilledBy { signal: Some("SIGSEGV".into()), ..KilledBy::default() }), 139);
        assert_eq!(killed(KilledBy { signal: Some("SIGTERM".into()), ..KilledBy::default() }), 143);
        assert_eq!(killed(KilledBy { out_of_memory: true, ..KilledBy::default() }), KILLED);
        let mut execution = Execution::default();
        for (status, code) in [(RunStatus::Finished, 0), (RunStatus::Timeout, 124), (RunStatus::Cancelled, 130)] {
            execution.status = status;
            assert_eq!(of(&execution), code);
        }
    }
}
