//! What a run comes to, as the objects of `binding.ts`.

use agb_core::Stamp;
use agb_core::result::{Execution, KilledBy, RichResult, RunFailure};
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
pub(crate) fn run_result(
    execution: &Execution,
    results: Vec<JsValue>,
    texts: &Array,
    marks: Vec<u32>,
    stamp: Stamp,
) -> JsValue {
    host::run_result(
        &execution.request_id,
        execution.success,
        execution.status.as_str(),
        execution.execution_count.map(|count| count as f64),
        execution.execution_time,
        results,
        execution.error.as_ref().map_or(JsValue::NULL, failure),
        &execution.error_message,
        execution.truncated,
        execution.interruptions,
        execution.state_lost,
        execution.killed_by.as_ref().map_or(JsValue::NULL, killed_by),
        stamp.seq as f64,
        stamp.time.map(|time| time as f64),
        texts,
        marks,
    )
}

/// The `RunResult` of a run that was never sent.
pub(crate) fn run_refused(name: &str, message: &str) -> JsValue {
    let error = Some(RunFailure { name: name.to_owned(), value: message.to_owned(), traceback: String::new() });
    let mut execution = Execution::default();
    execution.error_message = message.to_owned();
    execution.error = error;
    run_result(&execution, Vec::new(), &Array::new(), Vec::new(), Stamp::default())
}

fn killed_by(killed_by: &KilledBy) -> JsValue {
    host::killed_by(killed_by.exit_code, killed_by.signal.as_deref(), killed_by.out_of_memory)
}
