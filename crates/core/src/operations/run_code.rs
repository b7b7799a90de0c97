//! The tool `run_code`, without streaming: one call, and all output with its answer.

use serde_json::Value;

use super::{CallTool, SessionData, ToolRoute};
use crate::error::ApiError;
use crate::http::{Answered, HttpRequest, HttpResponse, Operation};
use crate::json::Object;
use crate::result::Execution;
use crate::run::RunRequest;

/// Runs code and waits for its end.
#[derive(Clone, Debug, PartialEq)]
pub struct RunCode {
    call: CallTool,
}

impl RunCode {
    /// `request_id` is for the way by the session's link; see [`ToolRoute::choose`].
    #[must_use]
    pub fn new(session: &SessionData, run: &RunRequest, request_id: String) -> Self {
        const TOOL: &str = "run_code";
        let seconds = run.timeout.as_secs_f64();
        // Whole seconds are written as an integer, as the published clients write them.
        let timeout = if seconds.fract() == 0.0 { run.timeout.as_secs().into() } else { seconds.into() };
        let arguments: [(&str, Value); 3] =
            [("code", run.code.as_str().into()), ("language", run.language.as_str().into()), ("timeout_s", timeout)];
        let arguments: Object = arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let route = ToolRoute::choose(session, TOOL, request_id);
        Self { call: CallTool { name: TOOL.to_owned(), arguments, route } }
    }

    /// The way there.
    #[must_use]
    pub const fn route(&self) -> &ToolRoute {
        &self.call.route
    }
}

impl Operation for RunCode {
    type Output = Execution;

    fn request(&self) -> HttpRequest {
        self.call.request()
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError> {
        let Answered { value, request_id } = self.call.parse(response)?;
        let execution = Execution::from_answer(request_id.clone(), &value.texts(), value.is_error);
        Ok(Answered { value: execution, request_id })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::language::Language;
    use crate::operations::fixtures::{body, endure, read};

    fn run(timeout: Duration) -> RunCode {
        let session = SessionData { session_id: String::from("s-1"), ..SessionData::default() };
        let request = RunRequest { code: String::from("1+1"), language: Language::Python, timeout, stdin: false };
        RunCode::new(&session, &request, String::from("q-1"))
    }

    #[test]
    fn the_arguments_are_the_documented_ones() {
        for (timeout, text) in [(Duration::from_secs(60), "60"), (Duration::from_millis(1500), "1.5")] {
            let request = run(timeout).request();
            let arguments = format!(r#"{{"code":"1+1","language":"python","timeout_s":{text}}}"#);
            assert_eq!(body(&request), json!({"name": "run_code", "args": arguments, "sessionId": "s-1"}));
            assert_eq!(request.expected, timeout);
        }
        // The longest duration there is stays a request.
        run(Duration::MAX).request();
    }

    #[test]
    fn the_answer_is_an_execution() {
        let text = json!({"result": [{"text/plain": "2", "isMainResult": true}], "stdout": [], "execution_count": 1});
        let execution = read(
            &run(Duration::from_secs(1)),
            json!({"content": [{"type": "text", "text": text.to_string()}], "isError": false}),
        );
        assert_eq!(
            (execution.request_id.as_str(), execution.success, execution.execution_count),
            ("r-1", true, Some(1))
        );
        assert_eq!(execution.main_result().and_then(|result| result.text.as_deref()), Some("2"));

        let failed = read(&run(Duration::from_secs(1)), json!({"content": [{"text": "no kernel"}], "isError": true}));
        assert_eq!((failed.success, failed.error_message.as_str()), (false, "no kernel"));
    }

    #[test]
    fn endures_hostile_answers() {
        endure(&run(Duration::ZERO));
    }
}
