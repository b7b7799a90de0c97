//! `host.js` and the browser's own functions, declared.

use js_sys::{Array, Function, JsString, Promise};
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
    /// 0 for stdout, 1 for stderr.
    #[wasm_bindgen(method, getter, structural)]
    pub(crate) safe fn stream(this: &Chunk) -> u32;
    /// -1 for none.
    #[wasm_bindgen(method, getter, structural)]
    pub(crate) safe fn seq(this: &Chunk) -> f64;
    #[wasm_bindgen(method, getter, structural)]
    pub(crate) safe fn text(this: &Chunk) -> JsString;

    pub(crate) safe fn length(text: &JsString) -> u32;
    #[wasm_bindgen(js_name = takeTexts)]
    pub(crate) safe fn take_texts(texts: &Array, count: u32) -> JsString;
    pub(crate) safe fn cut(text: &JsString, start: u32, end: u32) -> JsString;
    #[wasm_bindgen(js_name = randomBits)]
    pub(crate) safe fn random_bits() -> u64;
    #[wasm_bindgen(js_name = randomId)]
    pub(crate) safe fn random_id() -> String;

    /// What came of an HTTP exchange.
    pub(crate) type Exchanged;
    pub(crate) safe fn exchange(
        method: &str,
        url: &str,
        headers: Vec<String>,
        body: Option<String>,
        milliseconds: f64,
        limit: f64,
    ) -> Promise;
    #[wasm_bindgen(method, getter, structural)]
    pub(crate) safe fn status(this: &Exchanged) -> Option<u16>;
    #[wasm_bindgen(method, getter, structural, js_name = requestId)]
    pub(crate) safe fn request_id(this: &Exchanged) -> Option<String>;
    #[wasm_bindgen(method, getter, structural)]
    pub(crate) safe fn body(this: &Exchanged) -> String;
    #[wasm_bindgen(method, getter, structural, js_name = timedOut)]
    pub(crate) safe fn timed_out(this: &Exchanged) -> Option<bool>;
    #[wasm_bindgen(method, getter, structural)]
    pub(crate) safe fn reason(this: &Exchanged) -> String;
    pub(crate) safe fn pause(milliseconds: f64) -> Promise;

    pub(crate) safe fn answer(
        request_id: &str,
        success: bool,
        code: Option<String>,
        error_message: &str,
        http_status: Option<u16>,
        data: JsValue,
    ) -> JsValue;
    pub(crate) safe fn batch(text: &JsString, marks: Vec<u32>, events: Vec<JsValue>, ended: bool) -> JsValue;
    #[wasm_bindgen(js_name = resultEvent)]
    pub(crate) safe fn result_event(result: JsValue) -> JsValue;
    #[wasm_bindgen(js_name = errorEvent)]
    pub(crate) safe fn error_event(error: JsValue) -> JsValue;
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
    #[wasm_bindgen(js_name = runResult)]
    pub(crate) safe fn run_result(
        request_id: &str,
        success: bool,
        count: Option<f64>,
        time: f64,
        results: Vec<JsValue>,
        error: JsValue,
        error_message: &str,
        truncated: bool,
        texts: &Array,
        marks: Vec<u32>,
    ) -> JsValue;
    pub(crate) safe fn tool(name: &str, description: &str, schema: &str, server: &str, tool: &str) -> JsValue;
    #[wasm_bindgen(js_name = toolResult)]
    pub(crate) safe fn tool_result(is_error: bool, text: &str, content: &str) -> JsValue;
    #[wasm_bindgen(js_name = sessionPage)]
    pub(crate) safe fn session_page(
        ids: Vec<String>,
        states: Vec<String>,
        next_token: Option<&str>,
        max_results: u32,
        total: f64,
    ) -> JsValue;
    #[wasm_bindgen(js_name = sessionDetails)]
    pub(crate) safe fn session_details(
        session_id: &str,
        resource_url: Option<&str>,
        app_id: Option<&str>,
        auth_code: Option<&str>,
        connection_properties: Option<&str>,
        resource_id: Option<&str>,
        resource_type: Option<&str>,
        ticket: Option<&str>,
    ) -> JsValue;
    #[wasm_bindgen(js_name = codedError)]
    pub(crate) safe fn coded_error(code: &str, message: &str) -> JsValue;
}
