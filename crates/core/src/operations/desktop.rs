//! Tools that only some images have: those of a desktop or a browser.

use crate::codes;
use crate::error::{ApiError, Refusal};
use crate::http::{Answered, Operation};
use crate::json::Object;
use crate::operations::toolbox::text_of;
use crate::operations::{CallTool, ListTools, SessionData, Tool, Toolbox};
use crate::procedure::{Outcome, Procedure, Step};

/// Calls a tool if the session has it, and sends nothing otherwise.
///
/// Which tools it has is what the service said with the session, else what it says of the image. Where it says nothing
/// the tool is called, and its answer counts.
pub struct CallIfOffered {
    call: Option<CallTool>,
    image_id: Option<String>,
    known: Known,
}

enum Known {
    /// The session came with a list: whether the tool is in it.
    Offered(bool),
    /// Ask for the image's list.
    Ask,
    Asking,
    Called,
}

impl CallIfOffered {
    /// The tool `name` of a session.
    #[must_use]
    pub fn new(toolbox: &Toolbox<'_>, name: &str, arguments: Object) -> Self {
        let SessionData { tools, image_id, .. } = toolbox.session;
        let known = match (tools.is_empty(), image_id) {
            (false, _) => Known::Offered(has(tools, name)),
            (true, Some(_)) if !toolbox.is_guest => Known::Ask,
            (true, _) => Known::Offered(true),
        };
        Self { call: Some(toolbox.call(name, arguments)), image_id: image_id.clone(), known }
    }

    fn start(&mut self, offered: bool) -> Step<String> {
        self.known = Known::Called;
        let call = self.call.take().expect("it is called once");
        if offered { Step::call(call) } else { Step::Done(Err(self.not_supported(&call.name))) }
    }

    fn not_supported(&self, tool: &str) -> ApiError {
        let image = self.image_id.as_deref().unwrap_or("this session's image");
        ApiError::ToolFailed(Refusal {
            code: codes::NOT_SUPPORTED.to_owned(),
            message: [
                image,
                " has no tool ",
                tool,
                ": create the session from an image with a desktop or a browser, such as agb-computer-use-ubuntu-2204 or agb-browser-use-1",
            ]
            .concat(),
            ..Refusal::default()
        })
    }
}

fn has(tools: &[Tool], name: &str) -> bool {
    tools.iter().any(|tool| tool.name == name)
}

impl Procedure for CallIfOffered {
    type Output = String;

    fn next(&mut self, last: Option<Outcome>) -> Step<String> {
        match (&self.known, last) {
            (Known::Offered(offered), _) => {
                let offered = *offered;
                self.start(offered)
            }
            (Known::Ask, _) => {
                self.known = Known::Asking;
                let image_id = self.image_id.clone().unwrap_or_default();
                Step::call(ListTools { image_id }.request())
            }
            (Known::Asking, Some(Ok(Answered { value, .. }))) => {
                let tools = Tool::list(value.into_service().0);
                let offered = tools.is_empty() || has(&tools, &self.call.as_ref().expect("not called yet").name);
                self.start(offered)
            }
            (_, Some(outcome)) => Step::Done(outcome.and_then(text_of)),
            (Known::Asking | Known::Called, None) => unreachable!("a driver comes back with the outcome of its call"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::fixtures::line;
    use crate::operations::played::{Played, data, tool};

    fn call(tools: &[&str], image_id: Option<&str>) -> Played<CallIfOffered> {
        let tools = tools.iter().map(|name| Tool { name: (*name).to_owned(), ..Tool::default() }).collect();
        let session = SessionData { tools, image_id: image_id.map(str::to_owned), ..SessionData::default() };
        Played::new(CallIfOffered::new(
            &Toolbox { session: &session, is_guest: false, id: "id" },
            "scroll",
            Object::new(),
        ))
    }

    #[test]
    fn a_tool_that_the_session_has_is_called() {
        let mut played = call(&["shell", "scroll"], None);
        assert_eq!(played.tool().0, "scroll");
        assert_eq!(played.end(tool("done")), Ok("done".to_owned()));
    }

    #[test]
    fn nothing_is_sent_for_one_that_it_has_not() {
        let error = call(&["shell"], Some("agb-code-space-1")).result().unwrap_err();
        assert_eq!(error.code(), "NOT_SUPPORTED");
        assert!(error.to_string().starts_with("agb-code-space-1 has no tool scroll"));
    }

    #[test]
    fn a_session_without_a_list_asks_for_its_images() {
        let ask = || {
            let mut played = call(&[], Some("i"));
            assert_eq!(line(&played.call()), "POST https://h/mcp/listTools?imageId=i");
            played
        };
        let mut played = ask();
        assert_eq!(played.end(data(json!([{"name": "shell"}]))).unwrap_err().code(), "NOT_SUPPORTED");
        for list in [json!([{"name": "scroll"}]), json!("[]")] {
            let mut played = ask();
            played.answer(data(list));
            assert_eq!(played.tool().0, "scroll");
        }
        assert_eq!(call(&[], None).tool().0, "scroll");
    }
}
