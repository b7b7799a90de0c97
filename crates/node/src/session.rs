//! `NativeSession`: a session that exists on the service.

use std::time::Duration;

use agb_client::agb_core::codes;
use agb_client::agb_core::operations::SessionAccess;
use agb_client::agb_core::result::{LogBudget, ResultBudget};
use agb_client::{Agb, AttachBuilder, Bytes, CommandBuilder, Commands, Run, RunBuilder, Session};
use napi::Env;
use napi::bindgen_prelude::{Error, Function, Result, Status, Uint8Array};
use napi_derive::napi;

use crate::answer::{nothing, text};
use crate::io;
use crate::native_part::NativePart;
use crate::objects::{AttachRequest, CommandRequest, ConnectionOptions, RunRequest, Transferred, pairs};
use crate::part_buffer::{Filling, PartBuffer};
use crate::promise::{Promise, call, promise};
use crate::result::Outcome;
use crate::run::NativeRun;

/// `NativeSession` of `binding.ts`.
#[napi]
pub(crate) struct NativeSession {
    session: Session,
}

impl NativeSession {
    pub(crate) const fn new(session: Session) -> Self {
        Self { session }
    }
}

#[napi]
impl NativeSession {
    /// Its id.
    #[napi(getter, catch_unwind)]
    pub fn session_id(&self) -> &str {
        self.session.id()
    }

    /// Its image.
    #[napi(getter, catch_unwind)]
    pub fn image_id(&self) -> Option<&str> {
        self.session.data().image_id.as_deref()
    }

    /// A page to look at it.
    #[napi(getter, catch_unwind)]
    pub fn resource_url(&self) -> Option<&str> {
        self.session.data().resource_url.as_deref()
    }

    /// The service's id of its instance.
    #[napi(getter, catch_unwind)]
    pub fn app_instance_id(&self) -> Option<&str> {
        self.session.data().app_instance_id.as_deref()
    }

    /// The service's id of its resource.
    #[napi(getter, catch_unwind)]
    pub fn resource_id(&self) -> Option<&str> {
        self.session.data().resource_id.as_deref()
    }

    /// What the service can do beyond the documented wire.
    #[napi(getter, catch_unwind)]
    pub fn extensions(&self) -> Vec<String> {
        self.session.data().extensions.clone()
    }

    /// Releases it and waits until it is gone.
    #[napi(catch_unwind)]
    pub fn delete<'env>(&self, env: &'env Env) -> Result<Promise<'env>> {
        let session = self.session.clone();
        call(env, async move { session.delete().await }, nothing)
    }

    /// Carries out a procedure of the core; its output is JSON text.
    #[napi(catch_unwind)]
    pub fn invoke<'env>(&self, env: &'env Env, name: String, arguments: String) -> Result<Promise<'env>> {
        let session = self.session.clone();
        call(env, async move { session.invoke(&name, &arguments).await.map(text) }, |json| json)
    }

    /// Carries a part of a file. Of one that is read at most so many bytes come.
    #[napi(catch_unwind)]
    pub fn transfer<'env>(
        &self,
        env: &'env Env,
        name: String,
        arguments: String,
        bytes: Option<Uint8Array>,
        most: Option<u32>,
    ) -> Result<Promise<'env>> {
        // Copied: JavaScript goes on with its own while these are sent.
        let bytes = bytes.map(|bytes| Bytes::copy_from_slice(&bytes)).unwrap_or_default();
        let session = self.session.clone();
        let buffer = most.map(|most| PartBuffer::new(env, most as usize)).transpose()?;
        let mut filling = buffer.as_ref().map_or_else(Filling::nothing, PartBuffer::filling);
        let transfer = async move { session.transfer_by_name(&name, &arguments, bytes, &mut filling).await };
        call(env, transfer, |part| Transferred::new(part, buffer))
    }

    /// Room for a part of a file that is to be written.
    #[napi(catch_unwind)]
    pub fn part(&self, env: &Env, size: u32) -> Result<NativePart> {
        NativePart::new(env, self.session.clone(), size)
    }

    /// All that the service said of it, as JSON text.
    #[napi(catch_unwind)]
    pub fn describe(&self) -> String {
        self.session.data().to_json()
    }

    /// Runs code by one HTTP call.
    #[napi(catch_unwind)]
    pub fn run<'env>(&self, env: &'env Env, request: RunRequest) -> Result<Promise<'env>> {
        let session = self.session.clone();
        let limits = Limits::of(&request)?;
        let run = async move {
            let run = limits.apply(session.code().run(request.code, &request.language));
            match run.await {
                Ok(execution) => Outcome::at_once(execution),
                Err(error) => Outcome::refused(&error),
            }
        };
        promise(env, run, |outcome| outcome)
    }

    /// Runs code over the WebSocket.
    #[napi(catch_unwind)]
    pub fn stream(&self, env: &Env, request: RunRequest, wake: Function<'_, (), ()>) -> Result<NativeRun> {
        let limits = Limits::of(&request)?;
        start(env, &wake, || {
            let run = self.session.code().run(request.code, &request.language);
            limits.apply(run).stamps(request.stamps).stdin(request.stdin).stream()
        })
    }

    /// Starts a shell command over the WebSocket.
    #[napi(catch_unwind)]
    pub fn command(&self, env: &Env, request: CommandRequest, wake: Function<'_, (), ()>) -> Result<NativeRun> {
        start(env, &wake, || command(self.session.commands(), request).stream())
    }

    /// Follows a run that was begun elsewhere.
    #[napi(catch_unwind)]
    pub fn attach(&self, env: &Env, request: AttachRequest, wake: Function<'_, (), ()>) -> Result<NativeRun> {
        follow(env, request, &wake, |id, after| self.session.code().attach(id, after))
    }

    /// Follows a command that was begun elsewhere, and leaves it when nobody reads it any more.
    #[napi(catch_unwind)]
    pub fn attach_command(&self, env: &Env, request: AttachRequest, wake: Function<'_, (), ()>) -> Result<NativeRun> {
        follow(env, request, &wake, |id, after| self.session.commands().attach(id, after))
    }
}

/// Starts a run, whose driver is started here and lives on the I/O thread.
fn start(
    env: &Env,
    wake: &Function<'_, (), ()>,
    begin: impl FnOnce() -> std::result::Result<Run, agb_client::Error>,
) -> Result<NativeRun> {
    let runtime = io::handle().map_err(|error| Error::new(Status::GenericFailure, error))?;
    let run = {
        let _entered = runtime.enter();
        begin()
    };
    NativeRun::start(env, run, wake)
}

fn follow<'a>(
    env: &Env,
    request: AttachRequest,
    wake: &Function<'_, (), ()>,
    find: impl FnOnce(String, u64) -> AttachBuilder<'a>,
) -> Result<NativeRun> {
    start(env, wake, || {
        // TypeScript has checked that it is a whole number; the cast saturates.
        let run = find(request.id, request.after_seq as u64).stamps(request.stamps);
        run.log_limit(log_limit(request.log_limit)).result_limit(result_limit(request.result_limit)).stream()
    })
}

/// The command that TypeScript has checked.
fn command(commands: Commands<'_>, request: CommandRequest) -> CommandBuilder<'_> {
    let mut run = commands.run(request.command);
    if let Some(size) = request.pty {
        let side = |at: usize| size.get(at).and_then(|side| u16::try_from(*side).ok()).unwrap_or(u16::MAX);
        run = run.pty(side(0), side(1));
    }
    if request.detached {
        run = run.detached();
    }
    run = match request.timeout_ms {
        Some(millis) => run.timeout(Duration::try_from_secs_f64(millis / 1000.0).unwrap_or(Duration::MAX)),
        None => run.without_timeout(),
    };
    if let Some(cwd) = request.cwd {
        run = run.cwd(cwd);
    }
    for (name, value) in pairs(request.envs) {
        run = run.env(name, value);
    }
    run.log_limit(log_limit(request.log_limit)).stdin(request.stdin).stamps(request.stamps)
}

/// A session from what `browserAccess` gave.
#[napi(catch_unwind)]
pub fn attach(access: String, options: Option<ConnectionOptions>) -> Result<NativeSession, String> {
    match SessionAccess::parse(&access) {
        Ok(access) => match Agb::attach_with(access, &options.unwrap_or_default().into_options()) {
            Ok(session) => Ok(NativeSession::new(session)),
            Err(error) => Err(Error::new(error.code().to_owned(), error.to_string())),
        },
        Err(error) => Err(Error::new(codes::BAD_ACCESS.to_owned(), error.to_string())),
    }
}

/// The limits of a run.
struct Limits {
    timeout: Duration,
    log: usize,
    results: usize,
}

impl Limits {
    fn of(request: &RunRequest) -> Result<Self> {
        let timeout = Duration::try_from_secs_f64(request.timeout_s)
            .map_err(|error| invalid(format!("timeoutS is not a number of seconds: {error}")))?;
        Ok(Self { timeout, log: log_limit(request.log_limit), results: result_limit(request.result_limit) })
    }

    fn apply<'a>(&self, run: RunBuilder<'a>) -> RunBuilder<'a> {
        run.timeout(self.timeout).log_limit(self.log).result_limit(self.results)
    }
}

/// Bytes of each stream that are kept. A cast saturates, and what is not a number is 0.
fn log_limit(given: Option<f64>) -> usize {
    given.map_or(LogBudget::DEFAULT, |bytes| bytes as usize)
}

/// Bytes of results that are kept, likewise.
fn result_limit(given: Option<f64>) -> usize {
    given.map_or(ResultBudget::DEFAULT, |bytes| bytes as usize)
}

fn invalid(reason: String) -> Error {
    Error::new(Status::InvalidArg, reason)
}
