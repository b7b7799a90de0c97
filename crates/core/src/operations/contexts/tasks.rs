//! What a session's contexts are doing: the tasks that carry files between a session and its contexts.

use serde_json::Value;

use super::{objects, read};
use crate::http::{HttpRequest, Method, Repeat};
use crate::json::{self, Object};
use crate::procedure::Single;

/// One task of a context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContextTask {
    /// The context.
    pub context_id: String,
    /// Where it is in the session.
    pub path: String,
    /// Why it failed; empty otherwise.
    pub error_message: String,
    /// `Success`, `Failed`; anything else is under way.
    pub status: String,
    /// Seconds since the Unix epoch; 0 where the service does not say.
    pub start_time: u64,
    /// Seconds since the Unix epoch; 0 where the service does not say.
    pub finish_time: u64,
    /// `upload` or `download`.
    pub kind: String,
}

impl ContextTask {
    /// It carries files: only such tasks are waited for.
    #[must_use]
    pub fn moves_files(&self) -> bool {
        matches!(self.kind.as_str(), "upload" | "download")
    }

    /// It is over, well or not.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.status == "Success" || self.has_failed()
    }

    /// It is over and came to nothing.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.status == "Failed"
    }

    fn read(item: &Object) -> Self {
        let text = |name: &str| json::string(item, &[name]).unwrap_or_default();
        let time = |name: &str| json::count(item, &[name]).unwrap_or_default();
        Self {
            context_id: text("contextId"),
            path: text("path"),
            error_message: text("errorMessage"),
            status: text("status"),
            start_time: time("startTime"),
            finish_time: time("finishTime"),
            kind: text("taskType"),
        }
    }

    /// `contextStatus`: a list, or the text of one, whose entries of the type `data` hold the text of a list of tasks.
    fn list(data: Value) -> Vec<Self> {
        let Value::Object(mut data) = data else { return Vec::new() };
        let entries = objects(data.remove("contextStatus").unwrap_or_default());
        let tasks = entries.into_iter().filter(|entry| json::text(entry, &["type"]) == Some("data"));
        tasks
            .flat_map(|mut entry| objects(entry.remove("data").unwrap_or_default()))
            .map(|task| Self::read(&task))
            .collect()
    }
}

json_object!(ContextTask as task {
    "contextId": task.context_id, "path": task.path, "errorMessage": task.error_message, "status": task.status,
    "startTime": task.start_time, "finishTime": task.finish_time, "taskType": task.kind,
});

/// Which tasks of a session: those that match all that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Of this context.
    pub context_id: Option<String>,
    /// For this path of the session.
    pub path: Option<String>,
    /// `upload` or `download`.
    pub kind: Option<String>,
}

impl TaskFilter {
    /// Asks for them.
    #[must_use]
    pub fn info(&self, session_id: &str) -> Single<Vec<ContextTask>> {
        let request = HttpRequest::new(Method::Get, "/sdk/GetContextInfo", Repeat::Safe)
            .query("sessionId", session_id)
            .query_some("contextId", self.context_id.as_ref())
            .query_some("path", self.path.as_ref())
            .query_some("taskType", self.kind.as_ref());
        read(request, |data, _| Some(ContextTask::list(data)), "")
    }
}

/// The context through which files are carried into a session and out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferContext {
    /// Its id.
    pub context_id: String,
    /// Where it is in the session.
    pub path: String,
}

/// Asks for the session's own context for files on their way; `None` where the service has none.
#[must_use]
pub fn transfer_context(session_id: &str) -> Single<Option<TransferContext>> {
    let request = HttpRequest::new(Method::Post, "/sdk/GetAndLoadInternalContext", Repeat::Safe)
        .query("sessionId", session_id)
        .query("contextTypes", r#"["file_transfer"]"#);
    let parse = |data: Value, _: &Object| {
        let usable = |item: Object| {
            let text = |name: &str| json::string(&item, &[name]);
            Some(TransferContext { context_id: text("contextId")?, path: text("contextPath")? })
        };
        Some(objects(data).into_iter().find_map(usable))
    };
    read(request, parse, "")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::fixtures::line;
    use crate::operations::played::{Played, data};

    #[test]
    fn tasks_are_text_in_text_or_not() {
        let tasks = json!([{"contextId": "c", "path": "/p", "status": "Success", "startTime": 1, "finishTime": "2",
                            "taskType": "upload", "errorMessage": null}]);
        let inner = json!([{"type": "data", "data": tasks.to_string()}, {"type": "other", "data": "[{}]"}]);
        let filter = TaskFilter { context_id: Some("c".into()), path: Some("/p".into()), kind: Some("upload".into()) };
        for status in [json!(inner.to_string()), inner.clone(), json!([{"type": "data", "data": tasks}])] {
            let mut played = Played::new(filter.info("s"));
            assert_eq!(
                line(&played.call()),
                "GET https://h/sdk/GetContextInfo?sessionId=s&contextId=c&path=%2Fp&taskType=upload"
            );
            let found = played.end(data(json!({"contextStatus": status}))).unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].start_time, found[0].finish_time, found[0].is_over()), (1, 2, true));
        }
        for odd in [json!(null), json!([]), json!({"contextStatus": "x"}), json!({"contextStatus": [{"type": "data"}]})]
        {
            let mut played = Played::new(TaskFilter::default().info("s"));
            assert_eq!(line(&played.call()), "GET https://h/sdk/GetContextInfo?sessionId=s");
            assert_eq!(played.end(data(odd)), Ok(Vec::new()));
        }
    }

    #[test]
    fn the_first_usable_context_carries_files() {
        let list = json!([{"contextId": "", "contextPath": "/x"}, {"contextId": "c", "contextPath": "/t"}]);
        for reply in [list.clone(), json!(list.to_string())] {
            let mut played = Played::new(transfer_context("s"));
            let expected =
                "POST https://h/sdk/GetAndLoadInternalContext?sessionId=s&contextTypes=%5B%22file_transfer%22%5D";
            assert_eq!(line(&played.call()), expected);
            let found = played.end(data(reply)).unwrap();
            assert_eq!(found, Some(TransferContext { context_id: "c".into(), path: "/t".into() }));
        }
        let mut played = Played::new(transfer_context("s"));
        played.call();
        assert_eq!(played.end(data(json!(null))), Ok(None));
    }
}
