//! The `Answer`s of `binding.ts`, and what is in them.

use agb_core::Stamp;
use agb_core::error::ApiError;
use agb_core::http::Answered;
use agb_core::result::Execution;
use wasm_bindgen::JsValue;

use super::host;
use crate::host::length;
use crate::log::{STDERR, STDOUT};
use crate::object;

/// An `Answer`.
pub(crate) fn answer(outcome: Result<Answered<JsValue>, ApiError>) -> JsValue {
    match outcome {
        Ok(answered) => host::answer(&answered.request_id, true, None, "", Some(200), answered.value),
        Err(error) => {
            let code = Some(error.code().to_owned());
            host::answer(error.request_id(), false, code, &error.to_string(), error.status(), JsValue::NULL)
        }
    }
}

/// What a page without the API key gets from whatever needs it.
pub(crate) const NO_API_KEY: &str =
    "this page was let into the session by its server and holds no API key; ask that server to do it";

/// An `Answer` for what was never sent.
pub(crate) fn refused(code: &str, message: &str) -> JsValue {
    host::answer("", false, Some(code.to_owned()), message, None, JsValue::NULL)
}

/// A `RunResult` whose logs came with it, each stream cut to `limit` units, the results to `room` bytes.
pub(crate) fn run_result_at_once(mut execution: Execution, limit: usize, room: usize) -> JsValue {
    let mut log = crate::log::Log::new(limit);
    for (kind, chunks) in [(STDOUT, &execution.logs.stdout), (STDERR, &execution.logs.stderr)] {
        for chunk in chunks {
            let text = js_sys::JsString::from(chunk.as_str());
            log.keep(&text, &[length(&text) << 2 | kind]);
        }
    }
    execution.truncated |= log.is_truncated();
    execution.limit_results(room);
    let (texts, marks) = log.into_parts();
    let results = execution.results.iter().map(object::rich_result).collect();
    object::run_result(&execution, execution.error_code(), results, &texts, marks, Stamp::default())
}
