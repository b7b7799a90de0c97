//! `host.js` and the browser's own functions, declared.

use js_sys::{Array, Function, JsString};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
unsafe extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    pub(crate) safe fn set_timeout(task: &Function, milliseconds: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    pub(crate) safe fn clear_timeout(timer: &JsValue);
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    pub(crate) safe fn performance_now() -> f64;
}

#[wasm_bindgen(module = "/src/host.js")]
unsafe extern "C" {
    /// A frame that is a chunk.
    pub(crate) type Chunk;
    #[wasm_bindgen(js_name = readChunk)]
    pub(crate) safe fn read_chunk(frame: &JsValue) -> Option<Chunk>;
    #[wasm_bindgen(method, getter, structural)]
    pub(crate) safe fn id(this: &Chunk) -> String;
    /// 0 for stdout, 1 for stderr; 2 more for background.
    #[wasm_bindgen(method, getter, structural)]
    pub(crate) safe fn kind(this: &Chunk) -> u32;
    /// -1 for none.
    #[wasm_bindgen(method, getter, structural)]
    pub(crate) safe fn seq(this: &Chunk) -> f64;
    #[wasm_bindgen(method, getter, structural)]
    pub(crate) safe fn text(this: &Chunk) -> JsString;
    /// -1 for none.
    #[wasm_bindgen(method, getter, structural)]
    pub(crate) safe fn time(this: &Chunk) -> f64;

    pub(crate) safe fn later(task: &Function);
    pub(crate) safe fn length(text: &JsString) -> u32;
    #[wasm_bindgen(js_name = takeTexts)]
    pub(crate) safe fn take_texts(texts: &Array, count: u32) -> JsString;
    pub(crate) safe fn cut(text: &JsString, start: u32, end: u32) -> JsString;
    #[wasm_bindgen(js_name = randomBits)]
    pub(crate) safe fn random_bits() -> u64;

    pub(crate) safe fn batch(
        text: &JsString,
        marks: Vec<u32>,
        stamps: Vec<f64>,
        events: Vec<JsValue>,
        ended: bool,
    ) -> JsValue;
    pub(crate) safe fn lost(code: &str, message: &str) -> JsValue;
    /// By the name of the field that it has beside its type.
    #[wasm_bindgen(js_name = runEvent)]
    pub(crate) safe fn run_event(field: &str, value: JsValue) -> JsValue;
    #[wasm_bindgen(js_name = richResult)]
    pub(crate) safe fn rich_result(
        text: Option<&str>,
        html: Option<&str>,
        markdown: Option<&str>,
        png: Option<&str>,
        jpeg: Option<&str>,
        svg: Option<&str>,
        latex: Option<&str>,
        json: Option<&str>,
        chart: Option<&str>,
        is_main: bool,
    ) -> JsValue;
    pub(crate) safe fn failure(name: &str, value: &str, traceback: &str) -> JsValue;
    #[wasm_bindgen(js_name = killedBy)]
    pub(crate) safe fn killed_by(exit_code: Option<i32>, signal: Option<&str>, out_of_memory: bool) -> JsValue;
    #[wasm_bindgen(js_name = runResult)]
    pub(crate) safe fn run_result(
        request_id: &str,
        success: bool,
        status: &str,
        count: Option<f64>,
        time: f64,
        results: Vec<JsValue>,
        error: JsValue,
        error_message: &str,
        truncated: bool,
        interruptions: u32,
        state_lost: bool,
        killed_by: JsValue,
        seq: f64,
        ended_at: Option<f64>,
        texts: &Array,
        marks: Vec<u32>,
    ) -> JsValue;
    #[wasm_bindgen(js_name = codedError)]
    pub(crate) safe fn coded_error(code: &str, message: &str) -> JsValue;
}
