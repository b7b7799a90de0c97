//! What a run comes to, as the objects of `binding.ts`.

use agb_core::result::{Execution, RichResult, RunFailure};
use js_sys::Array;
use wasm_bindgen::JsValue;

use crate::host;

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

/// A `RunResult` with these results and logs.
pub(crate) fn run_result(execution: &Execution, results: Vec<JsValue>, texts: &Array, marks: Vec<u32>) -> JsValue {
    host::run_result(
        &execution.request_id,
        execution.success,
        execution.execution_count.map(|count| count as f64),
        execution.execution_time,
        results,
        execution.error.as_ref().map_or(JsValue::NULL, failure),
        &execution.error_message,
        execution.truncated,
        texts,
        marks,
    )
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
