//! What the procedures' tests share: a driver of which each step is a line of a test.

use serde_json::{Value, json};

use super::fixtures::body;
use super::{SessionData, ToolResult, Toolbox};
use crate::error::ApiError;
use crate::http::{Answered, HttpRequest, Operation};
use crate::procedure::{Outcome, Procedure, Reply, Step};

/// A procedure, driven by hand.
pub(crate) struct Played<P> {
    procedure: P,
    last: Option<Outcome>,
}

impl<P: Procedure> Played<P>
where
    P::Output: std::fmt::Debug,
{
    pub(crate) fn new(procedure: P) -> Self {
        Self { procedure, last: None }
    }

    /// The next step is a call: its request.
    pub(crate) fn call(&mut self) -> HttpRequest {
        match self.procedure.next(self.last.take()) {
            Step::Call(call) => call.request(),
            other => panic!("not a call: {other:?}"),
        }
    }

    /// The next step is a call of a tool: its name and arguments.
    pub(crate) fn tool(&mut self) -> (String, Value) {
        let body = body(&self.call());
        let arguments = body["args"].as_str().expect("it goes through the gateway");
        (
            body["name"].as_str().unwrap_or_default().to_owned(),
            serde_json::from_str(arguments).expect("arguments are JSON"),
        )
    }

    /// What the call before comes to.
    pub(crate) fn answer(&mut self, reply: Reply) {
        self.last = Some(Ok(Answered { value: reply, request_id: String::from("r-1") }));
    }

    pub(crate) fn fail(&mut self, error: ApiError) {
        self.last = Some(Err(error));
    }

    /// The next step is to wait: how many milliseconds.
    pub(crate) fn wait(&mut self) -> u64 {
        match self.procedure.next(self.last.take()) {
            Step::Wait(time) => time.as_millis() as u64,
            other => panic!("not a wait: {other:?}"),
        }
    }

    /// The procedure is over.
    pub(crate) fn result(&mut self) -> Result<P::Output, ApiError> {
        match self.procedure.next(self.last.take()) {
            Step::Done(result) => result.map(|answered| answered.value),
            other => panic!("not over: {other:?}"),
        }
    }

    /// The answer to the last call, and with it the end.
    pub(crate) fn end(&mut self, reply: Reply) -> Result<P::Output, ApiError> {
        self.answer(reply);
        self.result()
    }
}

/// A session whose tools are reached through the gateway.
pub(crate) struct Owned(SessionData);

pub(crate) fn by_gateway() -> Owned {
    Owned(SessionData { session_id: String::from("s-1"), ..SessionData::default() })
}

impl Owned {
    pub(crate) fn toolbox(&self) -> Toolbox<'_> {
        Toolbox { session: &self.0, is_guest: false, id: "id" }
    }
}

pub(crate) fn tool(text: &str) -> Reply {
    Reply::Tool(ToolResult { is_error: false, content: vec![json!({"type": "text", "text": text})] })
}

pub(crate) fn tool_error(text: &str) -> Reply {
    Reply::Tool(ToolResult { is_error: true, content: vec![json!({"type": "text", "text": text})] })
}

pub(crate) fn data(data: Value) -> Reply {
    Reply::Service { data, fields: crate::json::Object::new() }
}

/// With fields beside the data.
pub(crate) fn data_with(data: Value, fields: Value) -> Reply {
    Reply::Service { data, fields: fields.as_object().cloned().unwrap_or_default() }
}
