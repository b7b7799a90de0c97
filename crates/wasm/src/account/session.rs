//! What a session can do beside streaming, with the API key or over its own link.

use std::rc::Rc;
use std::time::Duration;

use agb_core::codes;
use agb_core::error::ApiError;
use agb_core::http::Operation;
use agb_core::operations::{
    AccessScope, CallTool, GetDetails, GetLabels, GetSessionInfo, GrantAccess, ListTools, RefreshIdleTime, RunCode,
    SessionData, SetLabels, ToolRoute, Toolbox,
};
use agb_core::procedure::{Scope, by_name, transfer_by_name};
use agb_core::{DisconnectReason, RunError, Secret, SessionConfig};
use js_sys::{Promise, Uint8Array};
use serde_json::Value;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::answer;
use super::client::pairs;
use super::host;
use super::http::{Http, reader};
use super::procedure::perform;
use super::transfer::carry;
use crate::driver::Driver;
use crate::object;
use crate::session::{self, NativeSession};

/// Whose session it is.
pub(crate) struct Member {
    http: Rc<Http>,
    /// The page was let in by its server and holds no API key: it can run code and call tools, nothing else.
    is_guest: bool,
    data: SessionData,
}

impl Member {
    pub(crate) fn guest(session_id: String, config: &SessionConfig, extensions: Vec<String>) -> Self {
        let SessionConfig { url, token, target, .. } = config;
        let mut data = SessionData::of_guest(session_id, url.clone(), token.clone(), target.clone());
        (data.link_url, data.extensions) = (config.link_url.clone(), extensions);
        Self { http: Rc::new(Http::without_key()), is_guest: true, data }
    }
}

impl NativeSession {
    pub(crate) fn of_account(http: Rc<Http>, mut data: SessionData) -> Self {
        data.secure(&http.base);
        Self { driver: drive(&data), account: Member { http, is_guest: false, data } }
    }

    /// Calls the service about this session.
    fn call<O: Operation + 'static>(&self, operation: O, convert: impl Fn(O::Output) -> JsValue + 'static) -> Promise {
        if self.account.is_guest {
            return Promise::resolve(&answer::refused("NO_API_KEY", answer::NO_API_KEY));
        }
        self.account.http.promise(operation, convert)
    }

    fn id(&self) -> String {
        self.account.data.session_id.clone()
    }

    fn is_open_to(&self, route: &ToolRoute) -> bool {
        !self.account.is_guest || matches!(route, ToolRoute::Link { .. })
    }
}

/// A driver for a session, if that can stream at all.
fn drive(data: &SessionData) -> Option<Rc<Driver>> {
    Some(Driver::new(SessionConfig::of(data)?))
}

#[wasm_bindgen]
impl NativeSession {
    /// Its id.
    #[wasm_bindgen(getter, js_name = sessionId)]
    #[must_use]
    pub fn session_id(&self) -> String {
        self.id()
    }

    /// What it was started from.
    #[wasm_bindgen(getter, js_name = imageId)]
    #[must_use]
    pub fn image_id(&self) -> Option<String> {
        self.account.data.image_id.clone()
    }

    /// A page to look at it.
    #[wasm_bindgen(getter, js_name = resourceUrl)]
    #[must_use]
    pub fn resource_url(&self) -> Option<String> {
        self.account.data.resource_url.clone()
    }

    /// The service's id of the instance behind it.
    #[wasm_bindgen(getter, js_name = appInstanceId)]
    #[must_use]
    pub fn app_instance_id(&self) -> Option<String> {
        self.account.data.app_instance_id.clone()
    }

    /// The service's id of the resource behind it.
    #[wasm_bindgen(getter, js_name = resourceId)]
    #[must_use]
    pub fn resource_id(&self) -> Option<String> {
        self.account.data.resource_id.clone()
    }

    /// What the service can do beyond the documented wire.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn extensions(&self) -> Vec<String> {
        self.account.data.extensions.clone()
    }

    /// Resolves to `Answer<null>` when the session is gone. What runs in it ends.
    pub fn delete(&self) -> Promise {
        if self.account.is_guest {
            return self.call(RefreshIdleTime { session_id: self.id() }, |()| JsValue::NULL);
        }
        let driver = self.driver.clone();
        self.account.http.delete(self.id(), move || {
            if let Some(driver) = driver {
                driver.with(agb_core::Session::close);
            }
        })
    }

    /// Resolves to `Answer<string>`.
    #[wasm_bindgen(js_name = getStatus)]
    pub fn get_status(&self) -> Promise {
        self.call(GetSessionInfo { session_id: self.id() }, |status| JsValue::from_str(status.as_str()))
    }

    /// Resolves to `Answer<null>`.
    #[wasm_bindgen(js_name = keepAlive)]
    pub fn keep_alive(&self) -> Promise {
        self.call(RefreshIdleTime { session_id: self.id() }, |()| JsValue::NULL)
    }

    /// Resolves to `Answer<null>`. Labels are names and values by turns.
    #[wasm_bindgen(js_name = setLabels)]
    pub fn set_labels(&self, labels: Vec<String>) -> Promise {
        self.call(SetLabels { session_id: self.id(), labels: pairs(labels) }, |()| JsValue::NULL)
    }

    /// Resolves to `Answer<[string, string][]>`.
    #[wasm_bindgen(js_name = getLabels)]
    pub fn get_labels(&self) -> Promise {
        self.call(GetLabels { session_id: self.id() }, answer::labels)
    }

    /// Resolves to `Answer<SessionDetails>`.
    pub fn info(&self) -> Promise {
        self.call(GetDetails { session_id: self.id() }, answer::details)
    }

    /// Resolves to `Answer<string>`: the output of a procedure of the core, as JSON text.
    pub fn invoke(&self, name: &str, arguments: &str) -> Promise {
        let id = host::random_id();
        let Member { http, is_guest, data } = &self.account;
        let toolbox = Toolbox { session: data, is_guest: *is_guest, id: &id };
        match by_name(name, arguments, Scope::Session(toolbox)) {
            Ok(procedure) => perform(http, procedure, *is_guest),
            Err(error) => Promise::resolve(&answer::refused(codes::BAD_ARGUMENTS, &error.to_string())),
        }
    }

    /// Resolves to `Answer<Transferred>`: a part of a file.
    pub fn transfer(&self, name: &str, arguments: &str, bytes: Option<Uint8Array>) -> Promise {
        let id = host::random_id();
        let toolbox = Toolbox { session: &self.account.data, is_guest: self.account.is_guest, id: &id };
        let length = bytes.as_ref().map_or(0, Uint8Array::length);
        match transfer_by_name(name, arguments, length.into(), &toolbox) {
            Ok(transfer) => carry(transfer, bytes),
            Err(error) => Promise::resolve(&answer::refused(codes::BAD_ARGUMENTS, &error.to_string())),
        }
    }

    /// All that the service said of it, as JSON text; see [`SessionData::to_json`].
    #[must_use]
    pub fn describe(&self) -> String {
        self.account.data.to_json()
    }

    /// Resolves to `Answer<ToolResult>`.
    #[wasm_bindgen(js_name = callTool)]
    pub fn call_tool(&self, name: String, arguments: &str) -> Promise {
        let Ok(Value::Object(arguments)) = serde_json::from_str(arguments) else {
            let message = "the arguments of a tool must be a JSON object";
            return Promise::resolve(&answer::refused("BAD_ARGUMENTS", message));
        };
        let (data, id) = (&self.account.data, host::random_id());
        let by_link = if self.account.is_guest { ToolRoute::by_link(data, &name, id.clone()) } else { None };
        let route = by_link.unwrap_or_else(|| ToolRoute::choose(data, &name, id));
        let is_open = self.is_open_to(&route);
        let operation = CallTool { name, arguments, route };
        if is_open {
            self.account.http.promise(operation, answer::tool_result)
        } else {
            self.call(operation, answer::tool_result)
        }
    }

    /// Resolves to `Answer<ToolDescription[]>`: those that the session came with, else those of its image.
    #[wasm_bindgen(js_name = listTools)]
    pub fn list_tools(&self) -> Promise {
        match &self.account.data.image_id {
            Some(image_id) if self.account.data.tools.is_empty() => {
                self.call(ListTools { image_id: image_id.clone() }, answer::tools)
            }
            _ => {
                let tools = answer::tools(self.account.data.tools.clone());
                Promise::resolve(&host::answer("", true, None, "", None, tools))
            }
        }
    }

    /// Resolves to `Answer<string>`: JSON text for [`attach`].
    #[wasm_bindgen(js_name = browserAccess)]
    pub fn browser_access(&self, scope: &str, lasts_s: Option<f64>, renew: Option<String>) -> Promise {
        let scope = AccessScope::parse(scope).unwrap_or_default(); // TypeScript has checked it
        let lasts = lasts_s.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
        match GrantAccess::of(&self.account.data, scope, lasts, renew.map(Secret::from)) {
            Some(operation) => self.call(operation, |access| JsValue::from_str(&access.to_json())),
            None => Promise::resolve(&answer::refused("NOT_SUPPORTED", GrantAccess::NOT_SUPPORTED)),
        }
    }

    /// One HTTP call; resolves to `RunResult`. `unstreamed` tells why the run was not streamed, if it was to be.
    pub fn run(
        &self,
        code: String,
        language: &str,
        timeout_s: f64,
        log_limit: Option<f64>,
        result_limit: Option<f64>,
        unstreamed: Option<String>,
    ) -> Promise {
        let request = match session::request(code, language, timeout_s, false) {
            Ok(request) => request,
            Err(refused) => return Promise::resolve(&refused),
        };
        let operation = RunCode::new(&self.account.data, &request, host::random_id());
        if !self.is_open_to(operation.route()) {
            let message = "this page can only run code with streaming: the session has no link of its own";
            return Promise::resolve(&object::run_refused("AuthenticationError", codes::NO_API_KEY, message));
        }
        let (limit, room) = (session::limit(log_limit), session::room(result_limit));
        self.account.http.promise_with(
            operation.request(),
            reader(operation, move |execution| answer::run_result_at_once(execution, limit, room)),
            move |outcome| match outcome {
                Ok(answered) => answered.value,
                Err(error) => unanswered(&error, unstreamed.as_deref()),
            },
        )
    }
}

/// The `RunResult` of a call without an answer: by the same rules as in every other client of this core.
fn unanswered(error: &ApiError, unstreamed: Option<&str>) -> JsValue {
    let Some(reason) = unstreamed else {
        return object::run_failed(error.name(), error.own_code(), &error.to_string(), error.run_status());
    };
    let end = RunError::of_plain_call(&DisconnectReason::Broken(reason.to_owned()), error);
    object::run_failed(end.name(), end.code(), &end.message(), end.status())
}
