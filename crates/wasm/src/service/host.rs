//! `service/host.js`, declared.

use js_sys::{Array, Promise, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(module = "/src/service/host.js")]
unsafe extern "C" {
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
    #[wasm_bindgen(method, getter, structural, js_name = retryAfter)]
    pub(crate) safe fn retry_after(this: &Exchanged) -> Option<String>;
    #[wasm_bindgen(method, getter, structural)]
    pub(crate) safe fn body(this: &Exchanged) -> String;
    #[wasm_bindgen(method, getter, structural, js_name = timedOut)]
    pub(crate) safe fn timed_out(this: &Exchanged) -> Option<bool>;
    #[wasm_bindgen(method, getter, structural)]
    pub(crate) safe fn reason(this: &Exchanged) -> String;
    pub(crate) safe fn pause(milliseconds: f64) -> Promise;

    /// The same of a part of a file, whose bytes stay the browser's own.
    #[wasm_bindgen(extends = Exchanged)]
    pub(crate) type Carried;
    #[wasm_bindgen(js_name = exchangeBytes)]
    pub(crate) safe fn exchange_bytes(
        method: &str,
        url: &str,
        headers: Vec<String>,
        body: Option<Uint8Array>,
        milliseconds: f64,
        most: Option<f64>,
        parts: &Array,
    ) -> Promise;
    #[wasm_bindgen(method, getter, structural)]
    pub(crate) safe fn etag(this: &Carried) -> Option<String>;
    #[wasm_bindgen(method, getter, structural, js_name = contentRange)]
    pub(crate) safe fn content_range(this: &Carried) -> Option<String>;
    #[wasm_bindgen(method, getter, structural)]
    pub(crate) safe fn received(this: &Carried) -> f64;
    #[wasm_bindgen(method, getter, structural)]
    pub(crate) safe fn broken(this: &Carried) -> Option<String>;
    pub(crate) safe fn transferred(meta: &str, parts: &Array) -> JsValue;

    #[wasm_bindgen(js_name = codedError)]
    pub(crate) safe fn coded_error(code: &str, message: &str) -> JsValue;
    pub(crate) safe fn answer(
        request_id: &str,
        success: bool,
        code: Option<String>,
        error_message: &str,
        http_status: Option<u16>,
        data: JsValue,
    ) -> JsValue;
}
