//! Carries out the core's procedures over the page's `fetch` and timers.

use std::cell::RefCell;
use std::rc::Rc;

use agb_core::codes;
use agb_core::http::Answered;
use agb_core::procedure::{JsonProcedure, Procedure, Step};
use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::future_to_promise;

use crate::service::answer;
use crate::service::http::{Http, pause, reader};

/// Resolves to `Answer<string>`, the output as JSON text. A guest's procedure may call the session's own link only.
pub(crate) fn perform(http: &Rc<Http>, mut procedure: JsonProcedure, is_guest: bool) -> Promise {
    let http = Rc::clone(http);
    future_to_promise(async move {
        let mut last = None;
        loop {
            last = match procedure.next(last) {
                Step::Call(call) => {
                    let request = agb_core::http::Operation::request(&*call);
                    if is_guest && request.path.starts_with('/') {
                        return Ok(answer::refused(codes::NO_API_KEY, answer::NO_API_KEY));
                    }
                    let reply = Rc::new(RefCell::new(None));
                    let kept = Rc::clone(&reply);
                    let read = reader(*call, move |answered| {
                        kept.replace(Some(answered));
                        JsValue::NULL
                    });
                    Some(http.call(&request, &read).await.map(|answered| {
                        let value = reply.take().expect("the reader has read what was answered");
                        Answered { value, request_id: answered.request_id }
                    }))
                }
                Step::Wait(time) => {
                    pause(time).await;
                    None
                }
                Step::Done(result) => {
                    let text = |value: serde_json::Value| JsValue::from_str(&value.to_string());
                    return Ok(answer::answer(result.map(|answered| answered.map(text))));
                }
            };
        }
    })
}
