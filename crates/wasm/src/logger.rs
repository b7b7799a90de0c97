//! Where log lines go. They never hold keys, tokens or URLs.

use std::cell::RefCell;

use js_sys::Function;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

/// The level of all lines: the core itself writes none, and what a driver sees is for those who look for a fault.
const DEBUG: u32 = 4;

thread_local! {
    static SINK: RefCell<Option<(u32, Function)>> = const { RefCell::new(None) };
}

/// Sends lines up to `level` (0 off, 1 error … 5 trace) to `sink(level, target, message)`.
#[wasm_bindgen(js_name = setLogger)]
pub fn set_logger(level: u32, sink: Function) {
    SINK.with(|cell| *cell.borrow_mut() = Some((level, sink)));
}

/// Writes a line if somebody wants it.
pub(crate) fn debug(target: &str, words: impl FnOnce() -> String) {
    let sink = SINK.with(|cell| cell.borrow().as_ref().filter(|(wanted, _)| DEBUG <= *wanted).cloned());
    if let Some((_, sink)) = sink {
        let _ = sink.call3(&JsValue::UNDEFINED, &"debug".into(), &target.into(), &words().into());
    }
}
