//! A session that exists on the service, as JavaScript sees it.

use std::rc::Rc;
use std::time::Duration;

use agb_core::operations::SessionAccess;
use agb_core::result::ResultRoom;
use agb_core::{Instant, Language, Rejected, RunId, RunRequest, Session, codes};
use js_sys::Function;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::driver::Driver;
use crate::log::Log;
use crate::run::NativeRun;
use crate::{host, object};

/// `NativeSession` of `binding.ts`, of which [`account`](crate::account) has the rest. All its runs share one WebSocket,
/// which is closed when the last of them and the session itself are forgotten.
#[wasm_bindgen]
pub struct NativeSession {
    pub(crate) driver: Option<Rc<Driver>>,
    #[cfg(feature = "account")]
    pub(crate) account: crate::account::Member,
}

/// A session from what `browserAccess` gave, as JSON text.
///
/// # Errors
/// An `Error` with the code `BAD_ACCESS` that says what is missing.
#[wasm_bindgen]
pub fn attach(access: &str) -> Result<NativeSession, JsValue> {
    let access =
        SessionAccess::parse(access).map_err(|error| host::coded_error(codes::BAD_ACCESS, &error.to_string()))?;
    Ok(NativeSession {
        #[cfg(feature = "account")]
        account: crate::account::Member::guest(access.clone().into_session()),
        driver: Some(Driver::new(access.into_config())),
    })
}

#[wasm_bindgen]
impl NativeSession {
    /// Starts a run over the WebSocket. Gives a `NativeRun`, or the `RunResult` of one that was never sent.
    #[expect(clippy::too_many_arguments, reason = "what is exported is flat")]
    pub fn stream(
        &self,
        code: String,
        language: &str,
        timeout_s: f64,
        log_limit: Option<f64>,
        result_limit: Option<f64>,
        stamps: bool,
        stdin: bool,
        wake: Function,
    ) -> JsValue {
        match request(code, language, timeout_s, stdin) {
            Ok(request) => self.follow(log_limit, result_limit, stamps, wake, |session, now| session.run(now, request)),
            Err(refused) => refused,
        }
    }

    /// Follows a run that was begun elsewhere; gives what [`stream`](Self::stream) gives.
    #[wasm_bindgen(js_name = attachRun)]
    pub fn attach_run(
        &self,
        id: &str,
        after: f64,
        log_limit: Option<f64>,
        result_limit: Option<f64>,
        stamps: bool,
        wake: Function,
    ) -> JsValue {
        self.follow(log_limit, result_limit, stamps, wake, |session, now| session.attach(now, id, after as u64))
    }

    fn follow(
        &self,
        log_limit: Option<f64>,
        result_limit: Option<f64>,
        stamps: bool,
        wake: Function,
        begin: impl FnOnce(&mut Session, Instant) -> Result<RunId, Rejected>,
    ) -> JsValue {
        let Some(driver) = &self.driver else {
            let message = "the session has no WebSocket to stream over; run without streaming";
            return object::run_refused("NoStreaming", message);
        };
        match NativeRun::start(driver, begin, limit(log_limit), room(result_limit), stamps, wake) {
            Ok(run) => run.into(),
            Err(rejected) => object::run_refused("Rejected", &rejected.to_string()),
        }
    }
}

/// The request, or the `RunResult` that says what is wrong with it.
pub(crate) fn request(code: String, language: &str, timeout_s: f64, stdin: bool) -> Result<RunRequest, JsValue> {
    let language =
        Language::parse(language).map_err(|error| object::run_refused("UnknownLanguage", &error.to_string()))?;
    let timeout = Duration::try_from_secs_f64(timeout_s).unwrap_or(Duration::MAX); // TypeScript has checked the sign
    Ok(RunRequest { code, language, timeout, stdin })
}

/// How much of the results is kept.
pub(crate) fn room(result_limit: Option<f64>) -> usize {
    result_limit.map_or(ResultRoom::DEFAULT, |limit| limit as usize)
}

/// How much of each stream is kept.
pub(crate) fn limit(log_limit: Option<f64>) -> usize {
    log_limit.map_or(Log::DEFAULT_LIMIT, |limit| limit as usize)
}
