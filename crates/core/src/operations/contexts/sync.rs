//! Waiting for a session's contexts.

use std::time::Duration;

use super::request;
use super::tasks::{ContextTask, TaskFilter};
use crate::codes;
use crate::error::{ApiError, Refusal};
use crate::http::{Answered, HttpRequest, Method, Repeat};
use crate::procedure::{Outcome, Procedure, Single, Step};

/// Which way files are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SyncMode {
    /// From the session into the context.
    Upload,
    /// From the context into the session.
    Download,
}

impl SyncMode {
    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Upload, Self::Download].into_iter().find(|mode| mode.as_str() == name)
    }
}

/// Between two looks at first: a small context is carried at once, and then it takes longer.
const FIRST_DELAY: Duration = Duration::from_millis(50);

/// Looks at a session's tasks until those that carry files are over: at once, and then ever more rarely.
#[derive(Debug)]
pub struct Settle {
    session_id: String,
    filter: TaskFilter,
    look: Single<Vec<ContextTask>>,
    delay: Duration,
    interval: Duration,
    left: Duration,
}

impl Settle {
    /// Between two looks there is `interval` at most, and all of them are within `retries` of those.
    #[must_use]
    pub fn new(session_id: &str, filter: TaskFilter, retries: u64, interval: Duration) -> Self {
        let look = filter.info(session_id);
        let left = interval.saturating_mul(u32::try_from(retries).unwrap_or(u32::MAX));
        Self { session_id: session_id.to_owned(), filter, look, delay: FIRST_DELAY.min(interval), interval, left }
    }

    /// `None` when the time is used up.
    fn wait(&mut self) -> Option<Duration> {
        let delay = self.delay.min(self.left);
        self.left -= delay;
        self.delay = (self.delay * 2).min(self.interval);
        self.look = self.filter.info(&self.session_id);
        (!delay.is_zero()).then_some(delay)
    }
}

impl Procedure for Settle {
    /// The tasks that carry files; those that are not over are there when the time was used up.
    type Output = Vec<ContextTask>;

    fn next(&mut self, last: Option<Outcome>) -> Step<Vec<ContextTask>> {
        match self.look.next(last) {
            Step::Done(Ok(Answered { mut value, request_id })) => {
                value.retain(ContextTask::moves_files);
                let is_over = value.iter().all(ContextTask::is_over);
                match if is_over { None } else { self.wait() } {
                    Some(delay) => Step::Wait(delay),
                    None => Step::done(value, request_id),
                }
            }
            // What the network and gateways do on the way is waited out.
            Step::Done(Err(error)) if is_passing(&error) => match self.wait() {
                Some(delay) => Step::Wait(delay),
                None => Step::Done(Err(error)),
            },
            step => step,
        }
    }
}

fn is_passing(error: &ApiError) -> bool {
    matches!(error, ApiError::Transport(_)) || error.status().is_some_and(|status| status == 429 || status >= 500)
}

/// Carries files between a session and its contexts, and waits until they are there.
#[derive(Debug)]
pub struct SyncContext {
    request: Option<HttpRequest>,
    settle: Settle,
    started: bool,
}

impl SyncContext {
    /// The documented number of looks.
    pub const RETRIES: u64 = 150;
    /// The documented time between two.
    pub const INTERVAL: Duration = Duration::from_millis(1500);

    /// Of one context at one path, or of all.
    #[must_use]
    pub fn new(session_id: &str, filter: TaskFilter, mode: Option<SyncMode>, retries: u64, interval: Duration) -> Self {
        let request = Self::request(session_id, &filter, mode);
        Self { request: Some(request), settle: Settle::new(session_id, filter, retries, interval), started: false }
    }

    /// Only begins it.
    #[must_use]
    pub fn begin(session_id: &str, filter: &TaskFilter, mode: Option<SyncMode>) -> Single<()> {
        Single::done(Self::request(session_id, filter, mode), || ())
    }

    fn request(session_id: &str, filter: &TaskFilter, mode: Option<SyncMode>) -> HttpRequest {
        request(Method::Post, "/sdk/SyncContext", Repeat::Safe, &[("sessionId", session_id)])
            .query_some("contextId", filter.context_id.as_ref())
            .query_some("path", filter.path.as_ref())
            .query_some("mode", mode.map(SyncMode::as_str))
    }
}

impl Procedure for SyncContext {
    type Output = ();

    fn next(&mut self, last: Option<Outcome>) -> Step<()> {
        if let Some(request) = self.request.take() {
            return Step::call(request);
        }
        let last = match last {
            Some(Err(error)) if !self.started => return Step::Done(Err(error)),
            last if self.started => last,
            _ => {
                self.started = true;
                None
            }
        };
        match self.settle.next(last) {
            Step::Call(call) => Step::Call(call),
            Step::Wait(time) => Step::Wait(time),
            Step::Done(result) => Step::Done(result.and_then(|answered| outcome(&answered.value, answered.request_id))),
        }
    }
}

/// What the tasks came to.
fn outcome(tasks: &[ContextTask], request_id: String) -> Result<Answered<()>, ApiError> {
    let failed = tasks.iter().find(|task| task.has_failed());
    let (code, message) = match (failed, tasks.iter().find(|task| !task.is_over())) {
        (Some(task), _) if task.error_message.is_empty() => (
            codes::SYNC_FAILED,
            ["the ", &task.kind, " of ", &task.path, " failed, and the service did not say why"].concat(),
        ),
        (Some(task), _) => (codes::SYNC_FAILED, task.error_message.clone()),
        (None, Some(task)) => {
            (codes::TIMED_OUT, ["the ", &task.kind, " of ", &task.path, " is still under way; wait longer"].concat())
        }
        (None, None) => return Ok(Answered { value: (), request_id }),
    };
    Err(ApiError::Refused(Refusal { code: code.to_owned(), message, status: 200, request_id }))
}

/// Waits for one task of an upload or download; `None`: the time was used up. It is over when it says so in one of the
/// service's words, or says why it failed.
#[must_use]
pub fn await_task(session_id: &str, filter: TaskFilter, retries: u64, interval: Duration) -> AwaitTask {
    AwaitTask { settle: Settle::new(session_id, filter, retries, interval) }
}

/// See [`await_task`].
#[derive(Debug)]
pub struct AwaitTask {
    settle: Settle,
}

impl Procedure for AwaitTask {
    type Output = ();

    fn next(&mut self, last: Option<Outcome>) -> Step<()> {
        match self.settle.look.next(last) {
            Step::Done(Ok(Answered { value, request_id })) => {
                let filter = &self.settle.filter;
                let matches = |task: &&ContextTask| {
                    filter.context_id.as_ref() == Some(&task.context_id)
                        && filter.path.as_ref() == Some(&task.path)
                        && filter.kind.as_ref() == Some(&task.kind)
                };
                let task = value.iter().find(matches);
                if let Some(task) = task.filter(|task| !task.error_message.is_empty()) {
                    return Step::Done(outcome(&[ContextTask { status: "Failed".into(), ..task.clone() }], request_id));
                }
                if task.is_some_and(|task| is_done(&task.status)) {
                    return Step::done((), request_id);
                }
                match self.settle.wait() {
                    Some(delay) => Step::Wait(delay),
                    None => Step::Done(Err(ApiError::Refused(Refusal {
                        code: codes::TIMED_OUT.to_owned(),
                        message: String::from("the service did not say in time that the file was carried; wait longer"),
                        status: 200,
                        request_id,
                    }))),
                }
            }
            Step::Done(Err(error)) if is_passing(&error) => match self.settle.wait() {
                Some(delay) => Step::Wait(delay),
                None => Step::Done(Err(error)),
            },
            Step::Done(Err(error)) => Step::Done(Err(error)),
            Step::Call(call) => Step::Call(call),
            Step::Wait(time) => Step::Wait(time),
        }
    }
}

fn is_done(status: &str) -> bool {
    let words = ["success", "successful", "ok", "finished", "done", "completed", "complete"];
    words.iter().any(|word| status.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests;
