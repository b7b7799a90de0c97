//! A shell command as the wire starts it (extension `command`).

use std::borrow::Cow;

use crate::object::{Object, Value};

/// The parameters of a command that is followed as a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StartCommand {
    /// What the shell reads.
    pub command: String,
    /// Milliseconds until the command is killed; `None`: as long as the service lets anything run.
    pub timeout_ms: Option<f64>,
    /// Where it starts; the session's working directory when absent.
    pub cwd: Option<String>,
    /// Environment variables beside those of the session.
    pub envs: Vec<(String, String)>,
    /// The client will come back for this run after a lost connection.
    pub resume: bool,
    /// How many bytes of chunks may be on their way un-acknowledged; `None` without the extension `flow`.
    pub window: Option<u64>,
    /// The client writes input; otherwise the command finds its input at its end.
    pub stdin: bool,
    /// The command gets a terminal of this size instead of pipes.
    pub terminal: Option<TerminalSize>,
    /// The command goes on without a reader, also with nobody connected, until it ends or its session does.
    pub detached: bool,
    /// A parameter of the wrong kind, and what it must be: the command is refused with these words.
    pub invalid: Option<&'static str>,
}

/// What the variables of a command may have together, bytes of names and values.
///
/// 2 MiB, and no option: Linux gives a program no more than that with its arguments, a quarter of a stack of 8 MiB. A start
/// would fail.
pub const MAX_ENVIRONMENT: usize = 2 << 20;

/// How much of [`MAX_ENVIRONMENT`] variables are.
#[must_use]
pub fn environment_size(variables: &[(String, String)]) -> usize {
    variables.iter().map(|(name, value)| name.len() + value.len()).sum()
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct TerminalSize {
    /// Characters in a line.
    pub cols: u16,
    /// Lines.
    pub rows: u16,
}

impl Default for TerminalSize {
    /// The size of the terminals that all others descend from, the VT100.
    fn default() -> Self {
        Self { cols: 80, rows: 24 }
    }
}

/// Signals that a client may send to a command. Those that dump core or that only the kernel sends are left out.
pub const SIGNALS: [(&str, i32); 11] = [
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGUSR2", 12),
    ("SIGTERM", 15),
    ("SIGCONT", 18),
    ("SIGSTOP", 19),
    ("SIGTSTP", 20),
    ("SIGWINCH", 28),
];

/// The number of a signal on Linux, by its name with or without `SIG`.
#[must_use]
pub fn signal_number(name: &str) -> Option<i32> {
    let bare = name.strip_prefix("SIG").unwrap_or(name);
    SIGNALS.iter().find(|(known, _)| known.strip_prefix("SIG") == Some(bare)).map(|(_, number)| *number)
}

/// Reads a size; `None`: it is none that a terminal has.
pub(crate) fn read_size(params: &Object<'_>) -> Option<TerminalSize> {
    let side = |name, default| match params.get(name) {
        None => Some(default),
        Some(value) => value.as_u64().and_then(|side| u16::try_from(side).ok()).filter(|side| *side > 0),
    };
    let usual = TerminalSize::default();
    Some(TerminalSize { cols: side("cols", usual.cols)?, rows: side("rows", usual.rows)? })
}

/// Reads the parameters of a start. It never fails: what is wrong is in [`StartCommand::invalid`].
pub(crate) fn read_start(params: Option<&Object<'_>>) -> StartCommand {
    let param = |name: &str| params?.get(name);
    let text = |name| param(name).and_then(Value::as_str).map(Cow::into_owned);
    let flag = |name| param(name).is_some_and(Value::is_true);
    let mut start = StartCommand {
        command: text("command").unwrap_or_default(),
        cwd: text("cwd"),
        resume: flag("resume"),
        window: param("window").and_then(Value::as_u64),
        stdin: flag("stdin"),
        detached: flag("detached"),
        ..StartCommand::default()
    };
    if start.command.is_empty() {
        start.invalid = Some("command must be a text that is not empty");
    }
    if let Some(value) = param("timeoutMs") {
        match value.as_f64() {
            Some(millis) => start.timeout_ms = Some(millis),
            None => start.invalid = Some("timeoutMs must be a number of milliseconds"),
        }
    }
    if let Some(value) = param("envs") {
        let variables = value.as_object().and_then(|object| {
            let variable = |(name, value): (&str, Value<'_>)| Some((name.to_owned(), value.as_str()?.into_owned()));
            object.members().map(variable).collect::<Option<Vec<_>>>()
        });
        match variables.filter(|variables| variables.iter().all(is_variable)) {
            Some(variables) if environment_size(&variables) > MAX_ENVIRONMENT => {
                start.invalid = Some("envs must have 2 MiB at most");
            }
            Some(variables) => start.envs = variables,
            None => start.invalid = Some("envs must be an object of texts, with names that an environment takes"),
        }
    }
    if let Some(value) = param("pty") {
        match value.as_object().as_ref().and_then(read_size) {
            Some(size) => start.terminal = Some(size),
            None => start.invalid = Some("pty must be an object with cols and rows, from 1 to 65535"),
        }
    }
    start
}

fn is_variable((name, value): &(String, String)) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(params: &str) -> StartCommand {
        read_start(Object::parse(params).as_ref())
    }

    #[test]
    fn all_parameters_are_read() {
        let text = r#"{"command":"make","timeoutMs":1500,"cwd":"/tmp","envs":{"A":"1"},"pty":{"cols":100},"detached":true,
            "stdin":true,"resume":true,"window":10}"#;
        let start = StartCommand {
            command: "make".into(),
            timeout_ms: Some(1500.0),
            cwd: Some("/tmp".into()),
            envs: vec![("A".into(), "1".into())],
            resume: true,
            window: Some(10),
            stdin: true,
            terminal: Some(TerminalSize { cols: 100, rows: 24 }),
            detached: true,
            invalid: None,
        };
        assert_eq!(read(text), start);
        assert_eq!(read(r#"{"command":"ls"}"#), StartCommand { command: "ls".into(), ..StartCommand::default() });
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (params, word) in [
            ("{}", "command"),
            (r#"{"command":7}"#, "command"),
            (r#"{"command":"x","timeoutMs":"soon"}"#, "timeoutMs"),
            (r#"{"command":"x","envs":["A"]}"#, "envs"),
            (r#"{"command":"x","envs":{"A":1}}"#, "envs"),
            (r#"{"command":"x","envs":{"A=B":"1"}}"#, "envs"),
            (&format!(r#"{{"command":"x","envs":{{"A":"{}"}}}}"#, "x".repeat(MAX_ENVIRONMENT)), "2 MiB"),
            (r#"{"command":"x","pty":true}"#, "pty"),
            (r#"{"command":"x","pty":{"cols":0}}"#, "pty"),
            (r#"{"command":"x","pty":{"cols":70000}}"#, "pty"),
        ] {
            let words = read(params).invalid.unwrap_or_else(|| panic!("{params} is wrong"));
            assert!(words.contains(word), "{params}: {words}");
        }
        assert!(read_start(None).invalid.is_some());
    }

    #[test]
    fn signals_have_two_spellings() {
        assert_eq!((signal_number("SIGTERM"), signal_number("TERM")), (Some(15), Some(15)));
        assert_eq!((signal_number("SIGSEGV"), signal_number("9"), signal_number("")), (None, None, None));
    }
}
