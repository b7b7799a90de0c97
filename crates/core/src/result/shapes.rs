//! The shapes in which `run_code` answers when it does not stream, tried in the document's order.

use agb_protocol::UNNAMED_FAILURE;
use serde_json::Value;

use super::{Execution, KilledBy, Logs, RichResult, RunFailure, RunStatus};
use crate::json::{self, Object};

/// Reads the texts of an answer. The first that has a known shape is the answer; without one, all are plain text.
pub(super) fn read(request_id: String, texts: &[&str], is_error: bool) -> Execution {
    let mut execution = texts
        .iter()
        .find_map(|text| read_object(json::unquote_object(json::parse(text)?).ok()?, is_error))
        .unwrap_or_else(|| read_plain(texts, is_error));
    execution.request_id = request_id;
    execution
}

/// Shapes 1 to 3; `None` for an object that is none of them.
fn read_object(object: Object, is_error: bool) -> Option<Execution> {
    if is_new(&object) {
        Some(read_new(&object, is_error))
    } else if is_rich(&object) {
        Some(read_rich(&object, is_error))
    } else if let Some(Value::Array(content)) = object.get("content") {
        Some(read_legacy(content, is_error || json::flag(&object, &["isError"])))
    } else {
        None
    }
}

/// Shape 1. An answer that has only output may leave `result` out, but `stdout` alone is also how the tool `shell`
/// answers, so a list is asked for.
fn is_new(object: &Object) -> bool {
    let has_list = |name| object.get(name).is_some_and(Value::is_array);
    has_list("result") || (!object.contains_key("logs") && (has_list("stdout") || has_list("stderr")))
}

/// Shape 2.
fn is_rich(object: &Object) -> bool {
    object.get("logs").is_some_and(Value::is_object) || object.get("results").is_some_and(Value::is_array)
}

fn read_new(object: &Object, is_error: bool) -> Execution {
    let bundles = object.get("result").and_then(Value::as_array);
    let mut marked = false;
    let mut results: Vec<RichResult> =
        bundles.into_iter().flatten().filter_map(|item| read_bundle(item, &mut marked)).collect();
    // Plain texts carry no mark. A single one is the value of the program; among several nobody can say.
    if let ([only], false) = (results.as_mut_slice(), marked) {
        only.is_main = true;
    }
    let mut execution = Execution {
        results,
        logs: read_logs(object),
        error: json::field(object, &["executionError"]).and_then(read_failure),
        ..measured(object)
    };
    execution.conclude(is_error || json::flag(object, &["isError"]), reason(object), None);
    execution
}

fn read_rich(object: &Object, is_error: bool) -> Execution {
    let results = object.get("results").and_then(Value::as_array);
    let mut execution = Execution {
        results: results
            .into_iter()
            .flatten()
            .filter_map(|item| match item {
                Value::Object(fields) => Some(RichResult::from_fields(fields)),
                other => json::plain(other, "").map(|text| RichResult::plain(text, false)),
            })
            .collect(),
        logs: object.get("logs").and_then(Value::as_object).map(read_logs).unwrap_or_default(),
        error: json::field(object, &["error"]).and_then(read_failure),
        ..measured(object)
    };
    execution.conclude(is_error || json::flag(object, &["isError"]), reason(object), None);
    execution
}

/// Shape 3, whose text may be shape 1 and is plain otherwise: one level, so that nothing nests.
fn read_legacy(content: &[Value], is_error: bool) -> Execution {
    let texts: Vec<&str> = content.iter().filter_map(|part| part.get("text")?.as_str()).collect();
    texts
        .iter()
        .find_map(|text| {
            let object = json::unquote_object(json::parse(text)?).ok()?;
            is_new(&object).then(|| read_new(&object, is_error))
        })
        .unwrap_or_else(|| read_plain(&texts, is_error))
}

/// Shape 4: one main result and one chunk of stdout. Under the error flag the text is what went wrong instead.
fn read_plain(texts: &[&str], is_error: bool) -> Execution {
    let text = texts.join("\n");
    let mut execution = Execution::default();
    if is_error {
        execution.error = read_failure(&Value::String(text));
        execution.conclude(true, None, None);
        return execution;
    }
    if !texts.is_empty() {
        execution.logs.stdout.push(text.clone());
        execution.results.push(RichResult::plain(text, true));
    }
    execution.conclude(false, None, None);
    execution
}

/// A bundle, in any of the ways it is quoted, or plain text. Sets `marked` when a mark is there.
fn read_bundle(item: &Value, marked: &mut bool) -> Option<RichResult> {
    const MARK: [&str; 2] = ["isMainResult", "is_main_result"];
    let opened;
    let bundle = match item {
        Value::Null => return None,
        Value::Object(bundle) => bundle,
        other => match json::unquote_object(other.clone()) {
            Ok(bundle) => {
                opened = bundle;
                &opened
            }
            Err(other) => return Some(RichResult::plain(item_text(&other), false)),
        },
    };
    *marked |= json::field(bundle, &MARK).is_some();
    let is_main = json::flag(bundle, &MARK);
    let mime = bundle.get("mime").and_then(Value::as_object).unwrap_or(bundle);
    let result = RichResult::from_mime(mime, is_main);
    // An object without one known type is a value that happens to be an object.
    Some(if result.is_empty() && !is_main { RichResult::plain(item_text(item), false) } else { result })
}

fn item_text(item: &Value) -> String {
    json::plain(item, "").unwrap_or_default()
}

fn read_logs(object: &Object) -> Logs {
    Logs { stdout: read_chunks(object.get("stdout")), stderr: read_chunks(object.get("stderr")) }
}

/// A list of chunks, or one chunk that came without its list.
fn read_chunks(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(chunks)) => chunks.iter().filter_map(|chunk| json::plain(chunk, "")).collect(),
        Some(Value::String(chunk)) if !chunk.is_empty() => vec![chunk.clone()],
        _ => Vec::new(),
    }
}

/// What shapes 1 and 2 share, and what our service says beside them.
fn measured(object: &Object) -> Execution {
    let seconds = json::field(object, &["execution_time", "executionTime"]).and_then(Value::as_f64);
    Execution {
        execution_count: json::count(object, &["execution_count", "executionCount"]),
        execution_time: seconds.filter(|seconds| *seconds >= 0.0).unwrap_or_default(),
        state_lost: json::flag(object, &["stateLost"]),
        killed_by: object.get("killedBy").and_then(Value::as_object).map(read_killed_by),
        ..Execution::default()
    }
}

/// Why it ended, where the service says it (ours does).
fn reason(object: &Object) -> Option<RunStatus> {
    RunStatus::parse(object.get("reason")?.as_str()?)
}

fn read_killed_by(object: &Object) -> KilledBy {
    KilledBy {
        exit_code: object.get("exitCode").and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok()),
        signal: object.get("signal").and_then(Value::as_str).map(str::to_owned),
        out_of_memory: json::flag(object, &["outOfMemory"]),
    }
}

/// Reads `{name, value, traceback}`, a text, or whatever came instead; nothing for null and the empty text.
pub(super) fn read_failure(value: &Value) -> Option<RunFailure> {
    let object = match value {
        Value::Null | Value::Bool(false) => return None,
        Value::String(text) if text.trim().is_empty() => return None,
        Value::String(text) => return Some(RunFailure::from_text(text)),
        Value::Object(object) if object.is_empty() => return None,
        Value::Object(object) => object,
        other => return Some(RunFailure::from_text(&other.to_string())),
    };
    let part = |spellings: &[&str]| json::field(object, spellings).and_then(|value| json::plain(value, "\n"));
    let mut failure = RunFailure {
        name: part(&["name", "code"]).unwrap_or_else(|| UNNAMED_FAILURE.to_owned()),
        value: part(&["value", "message"]).unwrap_or_default(),
        traceback: part(&["traceback"]).unwrap_or_default(),
    };
    if failure.name.is_empty() {
        UNNAMED_FAILURE.clone_into(&mut failure.name);
    }
    if failure.value.is_empty() && failure.traceback.is_empty() && failure.name == UNNAMED_FAILURE {
        failure.value = value.to_string();
    }
    Some(failure)
}
