//! What a session's tools are.

use serde_json::Value;

use crate::error::ApiError;
use crate::http::{Answered, Envelope, HttpRequest, HttpResponse, Method, Operation, Repeat};
use crate::json::{self, Object};

/// One tool, as the service describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tool {
    /// The name to call it by.
    pub name: String,
    /// For a person, or a model.
    pub description: String,
    /// The JSON schema of its arguments, as JSON text.
    pub input_schema: String,
    /// Who serves it; empty where the service does not say.
    pub server: String,
    /// Its name at that server; mostly the same.
    pub tool: String,
}

impl Tool {
    /// Reads a tool list: a list, or one as JSON text. Entries without a name are left out, and what is not a list is an
    /// empty one: a session works without its tool list.
    #[must_use]
    pub fn list(value: Value) -> Vec<Self> {
        match json::unquote(value) {
            Value::Array(items) => items
                .into_iter()
                .filter_map(|item| json::unquote_object(item).ok())
                .filter_map(|item| Self::read(&item))
                .collect(),
            _ => Vec::new(),
        }
    }

    fn read(item: &Object) -> Option<Self> {
        let name = json::string(item, &["name", "Name"])?;
        let schema = json::field(item, &["inputSchema", "InputSchema", "input_schema"]);
        Some(Self {
            description: json::string(item, &["description", "Description"]).unwrap_or_default(),
            input_schema: schema.and_then(|schema| json::plain(schema, "")).unwrap_or_else(|| String::from("{}")),
            server: json::string(item, &["server", "Server", "serverName", "ServerName"]).unwrap_or_default(),
            tool: json::string(item, &["tool", "Tool"]).unwrap_or_else(|| name.clone()),
            name,
        })
    }
}

json_object!(Tool as tool {
    "name": tool.name, "description": tool.description, "inputSchema": tool.input_schema, "server": tool.server,
    "tool": tool.tool,
});

/// The tools of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListTools {
    /// The image.
    pub image_id: String,
}

impl Operation for ListTools {
    type Output = Vec<Tool>;

    fn request(&self) -> HttpRequest {
        HttpRequest::new(Method::Post, "/mcp/listTools", Repeat::Safe).query("imageId", &self.image_id)
    }

    fn parse(&self, response: &HttpResponse) -> Result<Answered<Self::Output>, ApiError> {
        let mut envelope = Envelope::open(response)?;
        // Here the list is what was asked for, so its absence is an error.
        match json::unquote(envelope.data.take()) {
            list @ Value::Array(_) => Ok(envelope.answer(Tool::list(list))),
            Value::Object(object) if object.contains_key("toolList") => {
                let list = object.get("toolList").cloned().unwrap_or_default();
                Ok(envelope.answer(Tool::list(list)))
            }
            _ => Err(envelope.malformed("its data is not a list of tools")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::fixtures::{endure, line, read};

    fn operation() -> ListTools {
        ListTools { image_id: String::from("agb code/1") }
    }

    #[test]
    fn asks_by_image() {
        let request = operation().request();
        assert_eq!(line(&request), "POST https://h/mcp/listTools?imageId=agb%20code%2F1");
        assert_eq!(request.body, None);
    }

    #[test]
    fn reads_lists_in_every_spelling() {
        let expected = Tool {
            name: String::from("run_code"),
            description: String::from("d"),
            input_schema: String::from(r#"{"type":"object"}"#),
            server: String::from("s"),
            tool: String::from("run_code"),
        };
        let list = json!([
            {"name": "run_code", "description": "d", "inputSchema": {"type": "object"}, "server": "s", "tool": "run_code"},
            {"Name": "run_code", "Description": "d", "InputSchema": "{\"type\":\"object\"}", "Server": "s", "Tool": "run_code"},
            {"name": "run_code", "description": "d", "input_schema": {"type": "object"}, "serverName": "s"},
            "{\"Name\":\"run_code\",\"description\":\"d\",\"inputSchema\":{\"type\":\"object\"},\"ServerName\":\"s\"}",
            {"description": "without a name"}, {"name": 7}, null, 3, "x", [],
        ]);
        let quoted = json!(list.to_string());
        for data in [list.clone(), quoted.clone(), json!(quoted.to_string()), json!({"toolList": quoted})] {
            assert_eq!(read(&operation(), data), vec![expected.clone(); 4]);
        }
    }

    #[test]
    fn what_is_missing_is_empty() {
        let tools = read(&operation(), json!([{"name": "t"}]));
        assert_eq!((tools[0].input_schema.as_str(), tools[0].server.as_str(), tools[0].tool.as_str()), ("{}", "", "t"));
        assert_eq!(read(&operation(), json!("[]")), []);
        for value in [json!(null), json!("x"), json!(3), json!({})] {
            assert_eq!(Tool::list(value), []);
        }
    }

    #[test]
    fn endures_hostile_answers() {
        endure(&operation());
    }
}
