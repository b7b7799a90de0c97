//! Shell commands in a session: the tool `shell`.

use std::time::Duration;

use serde_json::Value;

use super::Toolbox;
use super::toolbox::plain_text;
use crate::json::{self, Object};
use crate::procedure::{Arguments, BadArguments, Reply, Single};

/// A command for a shell of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunCommand {
    /// What the shell reads.
    pub command: String,
    /// When the command is terminated.
    pub timeout: Duration,
    /// Where it starts; the session's own folder when absent.
    pub cwd: Option<String>,
    /// Environment variables beside those of the session.
    pub envs: Vec<(String, String)>,
}

/// What a command came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandOutput {
    /// The command ended by itself, with the exit code 0.
    pub success: bool,
    /// Its exit code; -1 where it did not run.
    pub exit_code: i64,
    /// What it printed.
    pub stdout: String,
    /// What it printed to stderr.
    pub stderr: String,
    /// The service's id for the failure; empty on success.
    pub trace_id: String,
    /// Why it is a failure; empty on success.
    pub error_message: String,
}

impl RunCommand {
    /// The documented time limit of a command.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(1000);

    /// With the default time limit, in the session's own folder.
    #[must_use]
    pub fn new(command: impl Into<String>) -> Self {
        Self { command: command.into(), timeout: Self::DEFAULT_TIMEOUT, cwd: None, envs: Vec::new() }
    }

    pub(crate) fn from_arguments(arguments: &Arguments) -> Result<Self, BadArguments> {
        let timeout = arguments.count("timeoutMs", 1, Self::DEFAULT_TIMEOUT.as_millis() as u64)?;
        let text = |(name, value): (String, Value)| match value {
            Value::String(value) => Ok((name, value)),
            _ => Err(BadArguments::new(["the environment variable ", &name, " must be a string"].concat())),
        };
        Ok(Self {
            command: arguments.text("command")?,
            timeout: Duration::from_millis(timeout),
            cwd: arguments.optional_word("cwd")?,
            envs: arguments.object("envs")?.into_iter().map(text).collect::<Result<_, _>>()?,
        })
    }

    /// Runs it.
    #[must_use]
    pub fn on(self, toolbox: &Toolbox<'_>) -> Single<CommandOutput> {
        let envs: Object = self.envs.into_iter().map(|(name, value)| (name, value.into())).collect();
        let call = toolbox.tool("shell").call([
            ("command", self.command.into()),
            ("timeout_ms", (self.timeout.as_millis() as u64).into()),
            ("cwd", self.cwd.map_or(Value::Null, Value::from)),
            ("envs", if envs.is_empty() { Value::Null } else { Value::Object(envs) }),
        ]);
        Single::new(call, |answered| Ok(answered.map(CommandOutput::read)))
    }
}

impl CommandOutput {
    /// stdout and stderr, one behind the other.
    #[must_use]
    pub fn output(&self) -> String {
        [self.stdout.as_str(), &self.stderr].concat()
    }

    fn read(reply: Reply) -> Self {
        let result = reply.into_tool();
        let text = plain_text(&result);
        match (json::parse(&text), result.is_error) {
            (Some(Value::Object(answer)), is_error) => Self::from_json(&answer, is_error, text),
            // Services without exit codes answer what was printed.
            (_, false) => Self { success: true, stdout: text, ..Self::default() },
            (_, true) => Self { exit_code: -1, error_message: text, ..Self::default() },
        }
    }

    fn from_json(answer: &Object, is_error: bool, text: String) -> Self {
        let string = |name: &str| json::string(answer, &[name]).unwrap_or_default();
        let code = json::field(answer, if is_error { &["exit_code", "errorCode"] } else { &["exit_code"] });
        let exit_code = code.map_or(0, |code| match code {
            Value::String(code) => code.trim().parse().unwrap_or(0),
            code => code.as_i64().unwrap_or(0),
        });
        let success = !is_error && exit_code == 0;
        let stderr = string("stderr");
        let error_message = match (success, stderr.trim()) {
            (true, _) => String::new(),
            (false, "") if is_error => text,
            (false, "") => ["the command ended with the exit code ", &exit_code.to_string()].concat(),
            (false, _) => stderr.clone(),
        };
        Self { success, exit_code, stdout: string("stdout"), stderr, trace_id: string("traceId"), error_message }
    }
}

json_object!(CommandOutput as output {
    "success": output.success,
    "exitCode": output.exit_code,
    "output": output.output(),
    "stdout": output.stdout,
    "stderr": output.stderr,
    "traceId": output.trace_id,
    "errorMessage": output.error_message,
});

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::fixtures::body;
    use crate::operations::played::{Played, by_gateway, tool, tool_error};

    fn run(answer: Reply) -> CommandOutput {
        let mut played = Played::new(RunCommand::new("true").on(&by_gateway().toolbox()));
        played.call();
        played.end(answer).expect("a command always comes to something")
    }

    #[test]
    fn sends_what_was_given_and_waits_as_long_as_the_command_may_take() {
        let command = RunCommand {
            timeout: Duration::from_secs(90),
            cwd: Some(String::from("/tmp")),
            envs: vec![(String::from("A"), String::from("ü"))],
            ..RunCommand::new("echo $A")
        };
        let mut played = Played::new(command.on(&by_gateway().toolbox()));
        let request = played.call();
        let arguments: Value = serde_json::from_str(body(&request)["args"].as_str().unwrap()).unwrap();
        assert_eq!(arguments, json!({"command": "echo $A", "timeout_ms": 90_000, "cwd": "/tmp", "envs": {"A": "ü"}}));
        assert!(request.time_limit(Duration::from_secs(60)) > Duration::from_secs(90));
        let mut bare = Played::new(RunCommand::new("true").on(&by_gateway().toolbox()));
        let arguments = body(&bare.call())["args"].as_str().unwrap().to_owned();
        assert_eq!(arguments, r#"{"command":"true","timeout_ms":1000}"#);
    }

    #[test]
    fn every_answer_is_a_result() {
        let output = run(tool(r#"{"stdout":"a","stderr":"b","exit_code":0,"traceId":""}"#));
        assert_eq!((output.success, output.output().as_str(), output.error_message.as_str()), (true, "ab", ""));
        let output = run(tool(r#"{"stdout":"a","stderr":"no such file\n","exit_code":2,"traceId":"t"}"#));
        assert_eq!((output.success, output.exit_code, output.trace_id.as_str()), (false, 2, "t"));
        assert_eq!(output.error_message, "no such file\n");
        let output = run(tool(r#"{"stdout":"a","exit_code":3}"#));
        assert_eq!(output.error_message, "the command ended with the exit code 3");
        assert!(run(tool("{}")).success);
        let output = run(tool("plain text"));
        assert_eq!(
            (output.success, output.stdout.as_str(), output.output().as_str()),
            (true, "plain text", "plain text")
        );
        for text in ["123", "[1]", "null", ""] {
            assert_eq!(run(tool(text)).stdout, text);
        }
    }

    #[test]
    fn an_error_has_an_exit_code_where_the_command_ran() {
        let output = run(tool_error(r#"{"stdout":"a","stderr":"","exit_code":124}"#));
        assert_eq!((output.success, output.exit_code, output.stdout.as_str()), (false, 124, "a"));
        assert!(output.error_message.contains("124"));
        assert_eq!(run(tool_error(r#"{"stderr":"e","errorCode":"7"}"#)).exit_code, 7);
        let output = run(tool_error("timed out"));
        assert_eq!((output.exit_code, output.error_message.as_str(), output.output().as_str()), (-1, "timed out", ""));
    }

    #[test]
    fn environment_variables_are_texts() {
        let parse = |text: &str| RunCommand::from_arguments(&Arguments::parse(text).unwrap());
        let error = parse(r#"{"command":"c","envs":{"A":1}}"#).unwrap_err();
        assert_eq!(error.to_string(), "the environment variable A must be a string");
        assert!(parse(r#"{"command":" "}"#).is_err());
        assert!(parse(r#"{"command":"c","timeoutMs":0}"#).is_err());
        assert_eq!(parse(r#"{"command":"c","cwd":null}"#), Ok(RunCommand::new("c")));
    }
}
