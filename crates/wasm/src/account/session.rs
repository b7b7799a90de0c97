//! What a session can do beside streaming, with the API key or over its own link.

use std::rc::Rc;

use agb_core::by_name::{Scope, by_name, transfer_by_name};
use agb_core::codes;
use agb_core::error::ApiError;
use agb_core::http::Operation;
use agb_core::operations::{RunCode, SessionData, ToolRoute, Toolbox};
use agb_core::{DisconnectReason, RunError, SessionConfig};
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::procedure::perform;
use super::transfer::carry;
use crate::driver::Driver;
use crate::object;
use crate::service::Member;
use crate::service::answer;
use crate::service::host;
use crate::service::http::{Http, reader};
use crate::session::{self, NativeSession};

impl NativeSession {
    pub(crate) fn of_account(http: Rc<Http>, mut data: SessionData) -> Self {
        data.secure(&http.base);
        Self { driver: drive(&data), account: Member { http, is_guest: false, data } }
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
            return Promise::resolve(&answer::refused(codes::NO_API_KEY, answer::NO_API_KEY));
        }
        let driver = self.driver.clone();
        self.account.http.delete(self.id(), move || {
            if let Some(driver) = driver {
                driver.with(agb_core::Session::close);
            }
        })
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
    object::run_failed(end.name(), end.code(), &end.to_string(), end.status())
}
