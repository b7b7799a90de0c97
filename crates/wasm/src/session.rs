//! A session that exists on the service, as JavaScript sees it.

use std::rc::Rc;
use std::time::Duration;

use agb_core::codes;
use agb_core::result::{LogBudget, ResultBudget};
use agb_core::{CommandRequest, Extensions, Language, RunRequest, SessionConfig, TerminalSize};
use js_sys::Function;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::driver::Driver;
use crate::object;
use crate::run::{Begin, NativeRun};

/// `NativeSession` of `binding.ts`, of which [`account`](crate::account) has the rest. All its runs share one WebSocket,
/// which is closed when the last of them and the session itself are forgotten.
#[wasm_bindgen]
pub struct NativeSession {
    pub(crate) driver: Option<Rc<Driver>>,
    #[cfg(feature = "account")]
    pub(crate) account: crate::service::Member,
}

/// A session from what `browserAccess` gave, whose `extensions` are joined by spaces.
#[wasm_bindgen]
#[must_use]
#[cfg_attr(not(feature = "account"), expect(unused_variables, reason = "whoever streams does not say it"))]
pub fn attach(
    session_id: String,
    ws_url: String,
    link_url: Option<String>,
    token: String,
    extensions: &str,
    target: Option<String>,
) -> NativeSession {
    let extensions = extensions.split_ascii_whitespace();
    let mut config = SessionConfig::new(ws_url, token.into());
    config.extensions = Extensions::from_names(extensions.clone());
    config.link_url = link_url;
    if let Some(target) = target {
        config.target = target;
    }
    NativeSession {
        #[cfg(feature = "account")]
        account: crate::service::Member::guest(session_id, &config, extensions.map(str::to_owned).collect()),
        driver: Some(Driver::new(config)),
    }
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
            Ok(request) => {
                let begin: Begin<'_> = Box::new(|session, now| session.run(now, request));
                self.follow(log_limit, result_limit, stamps, wake, begin)
            }
            Err(refused) => refused,
        }
    }

    /// Starts a shell command, likewise. `envs` are names and values by turns; `pty` is columns and rows, or nothing.
    #[expect(clippy::too_many_arguments, reason = "what is exported is flat")]
    pub fn command(
        &self,
        command: String,
        timeout_ms: Option<f64>,
        cwd: Option<String>,
        envs: Vec<String>,
        stdin: bool,
        pty: Vec<u16>,
        detached: bool,
        log_limit: Option<f64>,
        stamps: bool,
        wake: Function,
    ) -> JsValue {
        let mut envs = envs.into_iter();
        let request = CommandRequest {
            command,
            timeout: timeout_ms.map(|millis| Duration::from_nanos((millis * 1e6) as u64)), // 584 years at most
            cwd,
            envs: std::iter::from_fn(|| Some((envs.next()?, envs.next()?))).collect(),
            stdin,
            terminal: match pty[..] {
                [cols, rows] => Some(TerminalSize { cols, rows }),
                _ => None,
            },
            detached,
        };
        self.follow(log_limit, None, stamps, wake, Box::new(|session, now| session.run_command(now, request)))
    }

    /// Follows a run that was begun elsewhere; gives what [`stream`](Self::stream) gives.
    #[wasm_bindgen(js_name = attachRun)]
    #[expect(clippy::too_many_arguments, reason = "what is exported is flat")]
    pub fn attach_run(
        &self,
        id: &str,
        after: f64,
        log_limit: Option<f64>,
        result_limit: Option<f64>,
        stamps: bool,
        goes_on: bool,
        wake: Function,
    ) -> JsValue {
        let begin: Begin<'_> = Box::new(|session, now| {
            let run = session.attach(now, id, after as u64)?;
            if goes_on {
                session.keep_going(run);
            }
            Ok(run)
        });
        let run = self.follow(log_limit, result_limit, stamps, wake, begin);
        if let Some(driver) = &self.driver {
            driver.release(); // it is going on: to cancel it is to say so
        }
        run
    }

    fn follow(
        &self,
        log_limit: Option<f64>,
        result_limit: Option<f64>,
        stamps: bool,
        wake: Function,
        begin: Begin<'_>,
    ) -> JsValue {
        let Some(driver) = &self.driver else {
            let message = "the session has no WebSocket to stream over; run without streaming";
            return object::run_refused("ConnectionError", codes::NO_STREAMING, message);
        };
        match NativeRun::start(driver, begin, limit(log_limit), room(result_limit), stamps, wake) {
            Ok(run) => run.into(),
            Err(rejected) => object::run_refused(rejected.name(), rejected.code(), &rejected.to_string()),
        }
    }
}

/// The request, or the `RunResult` that says what is wrong with it.
pub(crate) fn request(code: String, language: &str, timeout_s: f64, stdin: bool) -> Result<RunRequest, JsValue> {
    let language = Language::parse(language)
        .map_err(|error| object::run_refused("UnknownLanguage", error.code(), &error.to_string()))?;
    let timeout = Duration::from_nanos((timeout_s * 1e9) as u64); // 584 years at most; TypeScript has checked the sign
    Ok(RunRequest { code, language, timeout, stdin })
}

/// How much of the results is kept.
pub(crate) fn room(result_limit: Option<f64>) -> usize {
    result_limit.map_or(ResultBudget::DEFAULT, |limit| limit as usize)
}

/// How much of each stream is kept.
pub(crate) fn limit(log_limit: Option<f64>) -> usize {
    log_limit.map_or(LogBudget::DEFAULT, |limit| limit as usize)
}
