//! `NativeClient`: one account on one endpoint.

use std::panic::{AssertUnwindSafe, catch_unwind};

use agb_client::agb_core::operations::GetSession;
use agb_client::{Agb, Options};
use napi::Env;
use napi::bindgen_prelude::{Error, Result};
use napi_derive::napi;

use crate::answer::{nothing, text};
use crate::objects::{ClientOptions, ConnectionOptions, CreateParams, pairs};
use crate::promise::{Promise, call};
use crate::session::NativeSession;

/// `Client` of `binding.ts`.
#[napi(js_name = "Client")]
pub(crate) struct Client {
    agb: Agb,
}

#[napi]
impl Client {
    /// Resolves the settings. The error's code is one of `binding.ts`.
    #[napi(constructor)]
    pub fn new(options: ClientOptions) -> Result<Self, String> {
        let made = catch_unwind(AssertUnwindSafe(|| Agb::new(&to_options(options))));
        match made {
            Ok(Ok(agb)) => Ok(Self { agb }),
            Ok(Err(error)) => Err(Error::new(error.code().to_owned(), error.to_string())),
            Err(_) => Err(Error::new("INTERNAL".into(), "the addon panicked; please report this")),
        }
    }

    /// Base URL of the service.
    #[napi(getter, catch_unwind)]
    pub fn endpoint(&self) -> Option<String> {
        self.agb.endpoint().map(|url| url.as_str().to_owned())
    }

    /// The API key. A method, because whatever prints an object reads its getters.
    #[napi(catch_unwind)]
    pub fn api_key(&self) -> Option<String> {
        self.agb.api_key().map(|key| key.expose().to_owned())
    }

    /// Time limit of one HTTP call.
    #[napi(getter, catch_unwind)]
    pub fn timeout_ms(&self) -> f64 {
        self.agb.timeout().as_secs_f64() * 1000.0
    }

    /// Creates a session.
    #[napi(catch_unwind)]
    pub fn create_session<'env>(&self, env: &'env Env, params: CreateParams) -> Result<Promise<'env>> {
        let (agb, operation) = (self.agb.clone(), params.into_operation());
        let made = self.agb.clone();
        call(env, async move { agb.call(&operation).await }, move |data| NativeSession::new(made.session(data)))
    }

    /// Gets a session.
    #[napi(catch_unwind)]
    pub fn get_session<'env>(&self, env: &'env Env, session_id: String) -> Result<Promise<'env>> {
        let (agb, made) = (self.agb.clone(), self.agb.clone());
        call(env, async move { agb.call(&GetSession { session_id }).await }, move |data| {
            NativeSession::new(made.session(data))
        })
    }

    /// Carries out a procedure of the core; its output is JSON text.
    #[napi(catch_unwind)]
    pub fn invoke<'env>(&self, env: &'env Env, name: String, arguments: String) -> Result<Promise<'env>> {
        let agb = self.agb.clone();
        call(env, async move { agb.invoke(&name, &arguments).await.map(text) }, |json| json)
    }

    /// Releases a session and waits until it is gone.
    #[napi(catch_unwind)]
    pub fn delete_session<'env>(&self, env: &'env Env, session_id: String) -> Result<Promise<'env>> {
        let agb = self.agb.clone();
        call(env, async move { agb.delete(&session_id).await }, nothing)
    }
}

fn to_options(given: ClientOptions) -> Options {
    let ClientOptions { timeout_ms, proxy, ca, streaming, .. } = given;
    let mut options =
        ConnectionOptions { timeout_ms, proxy, ca, streaming }.into_options().environment(pairs(given.env));
    if let Some(key) = given.api_key {
        options = options.api_key(key);
    }
    if let Some(endpoint) = given.endpoint {
        options = options.endpoint(endpoint);
    }
    if let Some(path) = given.env_file {
        options = options.env_file(path);
    }
    if let Some(program) = given.local_server {
        options = options.local_server(program);
    }
    options
}
