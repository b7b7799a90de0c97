//! The core's values as the objects of `binding.ts`.

use agb_core::Secret;
use agb_core::error::ApiError;
use agb_core::http::Answered;
use agb_core::operations::{SessionDetails, SessionPage, Tool, ToolResult};
use agb_core::result::{Execution, RichResult, RunFailure};
use js_sys::Array;
use wasm_bindgen::JsValue;

use crate::host;
use crate::log::{STDERR, STDOUT};

/// An `Answer`.
pub(crate) fn answer(outcome: Result<Answered<JsValue>, ApiError>) -> JsValue {
    match outcome {
        Ok(answered) => host::answer(&answered.request_id, true, None, "", None, answered.value),
        Err(error) => {
            let code = Some(error.code().to_owned());
            host::answer(error.request_id(), false, code, &error.to_string(), error.status(), JsValue::NULL)
        }
    }
}

/// An `Answer` for what was never sent.
pub(crate) fn refused(code: &str, message: &str) -> JsValue {
    host::answer("", false, Some(code.to_owned()), message, None, JsValue::NULL)
}

pub(crate) fn rich_result(result: &RichResult) -> JsValue {
    host::rich_result(
        result.text.as_deref(),
        result.html.as_deref(),
        result.markdown.as_deref(),
        result.png.as_deref(),
        result.jpeg.as_deref(),
        result.svg.as_deref(),
        result.latex.as_deref(),
        result.json.as_deref(),
        result.chart.as_deref(),
        result.is_main,
    )
}

pub(crate) fn failure(failure: &RunFailure) -> JsValue {
    host::failure(&failure.name, &failure.value, &failure.traceback)
}

/// A `RunResult` with these logs.
pub(crate) fn run_result(execution: &Execution, texts: &Array, marks: Vec<u32>) -> JsValue {
    host::run_result(
        &execution.request_id,
        execution.success,
        execution.execution_count.map(|count| count as f64),
        execution.execution_time,
        execution.results.iter().map(rich_result).collect(),
        execution.error.as_ref().map_or(JsValue::NULL, failure),
        &execution.error_message,
        execution.truncated,
        texts,
        marks,
    )
}

/// A `RunResult` whose logs came with it, each stream cut to `limit` units.
pub(crate) fn run_result_at_once(mut execution: Execution, limit: usize) -> JsValue {
    let mut log = crate::log::Log::new(limit);
    for (kind, chunks) in [(STDOUT, &execution.logs.stdout), (STDERR, &execution.logs.stderr)] {
        for chunk in chunks {
            let text = js_sys::JsString::from(chunk.as_str());
            log.keep(&text, &[host::length(&text) << 2 | kind]);
        }
    }
    execution.truncated |= log.is_truncated();
    let (texts, marks) = log.into_parts();
    run_result(&execution, &texts, marks)
}

/// The `RunResult` of a run that was never sent.
pub(crate) fn run_refused(name: &str, message: &str) -> JsValue {
    host::run_result(
        "",
        false,
        None,
        0.0,
        Vec::new(),
        host::failure(name, message, ""),
        message,
        false,
        &Array::new(),
        Vec::new(),
    )
}

pub(crate) fn tools(tools: Vec<Tool>) -> JsValue {
    let tools = tools
        .iter()
        .map(|tool| host::tool(&tool.name, &tool.description, &tool.input_schema, &tool.server, &tool.tool));
    tools.collect::<Array>().into()
}

pub(crate) fn tool_result(result: ToolResult) -> JsValue {
    host::tool_result(result.is_error, &result.text(), &result.content_json())
}

pub(crate) fn session_page(page: SessionPage) -> JsValue {
    let (ids, states) = page.sessions.into_iter().map(|session| (session.session_id, session.status)).unzip();
    host::session_page(ids, states, page.next_token.as_deref(), page.max_results, page.total as f64)
}

pub(crate) fn labels(labels: Vec<(String, String)>) -> JsValue {
    let pair =
        |(name, value): (String, String)| JsValue::from([name, value].map(JsValue::from).iter().collect::<Array>());
    labels.into_iter().map(pair).collect::<Array>().into()
}

pub(crate) fn details(details: SessionDetails) -> JsValue {
    host::session_details(
        &details.session_id,
        details.resource_url.as_deref(),
        details.app_id.as_deref(),
        details.auth_code.as_ref().map(Secret::expose),
        details.connection_properties.as_deref(),
        details.resource_id.as_deref(),
        details.resource_type.as_deref(),
        details.ticket.as_ref().map(Secret::expose),
    )
}
