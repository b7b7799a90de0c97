//! `Answer<T>`: what every HTTP operation comes to. A failure is an answer, too.

use agb_client::Error;
use agb_client::agb_core::http::Answered;
use napi::bindgen_prelude::{Null, Object, Result, ToNapiValue};
use napi::{Env, sys};
use serde_json::Value;

/// What an operation of the client comes to.
type Outcome<T> = std::result::Result<Answered<T>, Error>;

/// An operation's outcome, as `binding.ts` wants it.
pub(crate) struct Answer<T>(Outcome<T>);

/// The outcome with its value converted, on whichever thread this runs.
pub(crate) fn answer<T, U>(outcome: Outcome<T>, convert: impl FnOnce(T) -> U) -> Answer<U> {
    Answer(outcome.map(|answered| answered.map(convert)))
}

/// `null` for an operation that answers nothing.
pub(crate) fn nothing((): ()) -> Null {
    Null
}

/// JSON text, made on the I/O thread.
pub(crate) fn text(answered: Answered<Value>) -> Answered<String> {
    answered.map(|value| value.to_string())
}

impl<T: ToNapiValue> ToNapiValue for Answer<T> {
    unsafe fn to_napi_value(env: sys::napi_env, Answer(outcome): Self) -> Result<sys::napi_value> {
        let mut object = Object::new(&Env::from_raw(env))?;
        match outcome {
            Ok(answered) => {
                object.set("requestId", answered.request_id)?;
                object.set("success", true)?;
                object.set("code", Null)?;
                object.set("errorMessage", "")?;
                object.set("httpStatus", 200)?;
                object.set("data", answered.value)?;
            }
            Err(error) => {
                object.set("requestId", error.request_id())?;
                object.set("success", false)?;
                object.set("code", error.code())?;
                object.set("errorMessage", error.to_string())?;
                object.set("httpStatus", error.status().map(u32::from))?;
                object.set("data", Null)?;
            }
        }
        Ok(napi::JsValue::raw(&object))
    }
}
