//! What a run comes to, as the objects of `binding.ts`.

use agb_core::Stamp;
use agb_core::result::{Execution, KilledBy, RichResult, RunFailure, RunStatus};
use js_sys::Array;
use wasm_bindgen::JsValue;

use crate::host;

/// [`host::record`], whose conversion each caller would else have a copy of.
#[inline(never)]
pub(crate) fn record(names: &str, values: Vec<JsValue>) -> JsValue {
    host::record(names, values)
}

pub(crate) fn rich_result(result: &RichResult) -> JsValue {
    let RichResult { text, html, markdown, png, jpeg, svg, latex, json, chart, is_main, .. } = result;
    let mut values: Vec<JsValue> = [text, html, markdown, png, jpeg, svg, latex, json, chart]
        .into_iter()
        .map(|form| or_null(form.as_deref()))
        .collect();
    values.push((*is_main).into());
    record("text html markdown png jpeg svg latex json chart isMainResult", values)
}

pub(crate) fn failure(failure: &RunFailure, code: Option<&str>) -> JsValue {
    let RunFailure { name, value, traceback } = failure;
    record("name value traceback code", vec![name.into(), value.into(), traceback.into(), or_null(code)])
}

/// A `RunResult` with these results and logs; `code` is that of its error.
pub(crate) fn run_result(
    execution: &Execution,
    code: Option<&str>,
    results: Vec<JsValue>,
    texts: &Array,
    marks: Vec<u32>,
    stamp: Stamp,
) -> JsValue {
    let names = "requestId success status executionCount executionTime results error errorMessage truncated interruptions \
                 stateLost exitCode killedBy seq time";
    let values = vec![
        (&execution.request_id).into(),
        execution.success.into(),
        execution.status.as_str().into(),
        or_null(execution.execution_count.map(|count| count as f64)),
        execution.execution_time.into(),
        results.into_iter().collect::<Array>().into(),
        execution.error.as_ref().map_or(JsValue::NULL, |error| failure(error, code)),
        (&execution.error_message).into(),
        execution.truncated.into(),
        execution.interruptions.into(),
        execution.state_lost.into(),
        or_null(execution.exit_code),
        execution.killed_by.as_ref().map_or(JsValue::NULL, killed_by),
        (stamp.seq as f64).into(),
        or_null(stamp.time.map(|time| time as f64)),
    ];
    host::with_logs(&record(names, values), texts, marks)
}

/// The `RunResult` of a run that was never sent.
pub(crate) fn run_refused(name: &str, code: &str, message: &str) -> JsValue {
    run_failed(name, code, message, RunStatus::Failed)
}

/// The `RunResult` of a run of which nothing came.
pub(crate) fn run_failed(name: &str, code: &str, message: &str, status: RunStatus) -> JsValue {
    let error = Some(RunFailure { name: name.to_owned(), value: message.to_owned(), traceback: String::new() });
    let mut execution = Execution::default();
    execution.error_message = message.to_owned();
    execution.error = error;
    execution.status = status;
    execution.interruptions = u32::from(status == RunStatus::Interrupted); // as `Batch::of_end` counts
    run_result(&execution, Some(code), Vec::new(), &Array::new(), Vec::new(), Stamp::default())
}

fn killed_by(killed_by: &KilledBy) -> JsValue {
    let KilledBy { exit_code, signal, out_of_memory } = killed_by;
    let values = vec![or_null(*exit_code), or_null(signal.as_deref()), (*out_of_memory).into()];
    record("exitCode signal outOfMemory", values)
}

fn or_null(value: Option<impl Into<JsValue>>) -> JsValue {
    value.map_or(JsValue::NULL, Into::into)
}
