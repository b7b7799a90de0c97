//! One account on one endpoint, as JavaScript sees it.

use std::rc::Rc;

use agb_core::Secret;
use agb_core::by_name::{Scope, by_name};
use agb_core::codes;
use agb_core::config::{Endpoint, Options, Settings};
use agb_core::operations::{ClientInfo, CreateSession, GetSession, SessionData, SessionOptions};
use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::procedure::perform;
use crate::service::answer;
use crate::service::host;
use crate::service::http::Http;
use crate::session::NativeSession;

/// `NativeClient` of `binding.ts`. A page has no environment and no files: all comes from code or is the default.
#[wasm_bindgen]
pub struct Client {
    http: Rc<Http>,
}

#[wasm_bindgen]
impl Client {
    /// Checks the options; sends nothing.
    ///
    /// # Errors
    /// An `Error` with the `code` of [`ConfigError`](agb_core::config::ConfigError), or `NO_LOCAL_SERVER`.
    #[wasm_bindgen(constructor)]
    pub fn new(api_key: Option<String>, endpoint: Option<String>, timeout_ms: Option<f64>) -> Result<Client, JsValue> {
        let options = Options { api_key: api_key.map(Secret::from), endpoint, timeout_ms };
        let settings = Settings::resolve(&options, &[] as &[(&str, &str)], None)
            .map_err(|error| host::coded_error(error.code(), &error.to_string()))?;
        let Endpoint::Remote(base) = settings.endpoint else {
            let message = "a page cannot start a server: start one and give its URL";
            return Err(host::coded_error(codes::NO_LOCAL_SERVER, message));
        };
        let key = settings.api_key.unwrap_or_default();
        Ok(Self { http: Rc::new(Http { base, key, timeout: settings.timeout }) })
    }

    /// Base URL of the service.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.http.base.as_str().to_owned()
    }

    /// Time limit of one HTTP call, milliseconds.
    #[wasm_bindgen(getter, js_name = timeoutMs)]
    #[must_use]
    pub fn timeout_ms(&self) -> f64 {
        self.http.timeout.as_millis() as f64
    }

    /// Resolves to `Answer<NativeSession>`. Labels are names and values by turns.
    #[wasm_bindgen(js_name = createSession)]
    #[expect(clippy::too_many_arguments, reason = "what is exported is flat")]
    pub fn create_session(
        &self,
        image_id: String,
        labels: Vec<String>,
        idle_release: Option<f64>,
        mcp_policy_id: Option<String>,
        context_id: Option<String>,
        persistence: Option<String>,
        options: Option<String>,
        sdk_version: String,
    ) -> Promise {
        let operation = CreateSession {
            image_id,
            labels: pairs(labels),
            idle_release: idle_release.map(|seconds| seconds as u64),
            mcp_policy_id,
            context_id,
            persistence: persistence.as_deref().and_then(|text| serde_json::from_str(text).ok()),
            options: options.as_deref().and_then(SessionOptions::parse).unwrap_or_default(),
            client: ClientInfo { language: String::from("typescript"), version: sdk_version, is_release: true },
            ..CreateSession::default()
        };
        self.http.promise(operation, self.session())
    }

    /// Resolves to `Answer<NativeSession>`.
    #[wasm_bindgen(js_name = getSession)]
    pub fn get_session(&self, session_id: String) -> Promise {
        self.http.promise(GetSession { session_id }, self.session())
    }

    /// Resolves to `Answer<string>`: the output of a procedure of the core, as JSON text.
    pub fn invoke(&self, name: &str, arguments: &str) -> Promise {
        match by_name(name, arguments, Scope::Account) {
            Ok(procedure) => perform(&self.http, procedure, false),
            Err(error) => Promise::resolve(&answer::refused(codes::BAD_ARGUMENTS, &error.to_string())),
        }
    }

    /// Resolves to `Answer<null>` when the session is gone.
    #[wasm_bindgen(js_name = deleteSession)]
    pub fn delete_session(&self, session_id: String) -> Promise {
        self.http.delete(session_id, || {})
    }

    fn session(&self) -> impl Fn(SessionData) -> JsValue + 'static {
        let http = Rc::clone(&self.http);
        move |data| NativeSession::of_account(Rc::clone(&http), data).into()
    }
}

/// `[a, b, c, d]` as `[(a, b), (c, d)]`.
fn pairs(flat: Vec<String>) -> Vec<(String, String)> {
    let mut flat = flat.into_iter();
    std::iter::from_fn(|| Some((flat.next()?, flat.next()?))).collect()
}
