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
    /// An object with these names, which spaces separate, and a value to each.
    pub(crate) safe fn record(names: &str, values: Vec<JsValue>) -> JsValue;
    #[wasm_bindgen(js_name = withLogs)]
    pub(crate) safe fn with_logs(result: &JsValue, texts: &Array, marks: Vec<u32>) -> JsValue;
}
