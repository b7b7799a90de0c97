//! A run over plain HTTP, for networks that let no WebSocket through (extension `http`).
//!
//! It is the same run as over a WebSocket: the same id, the same numbers, one subscriber at a time. A `POST` says what a
//! message would say, as often as it takes; a `GET` is the run's subscriber for as long as it lasts, or with an access that
//! only reads a observer.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use agb_protocol::DEFAULT_TARGET;
use agb_protocol::object::Object;
use agb_protocol::service::{Reply, Request, read_request};
use axum::Extension;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};

use super::Shared;
use super::answer::Answer;
use super::entry::Entry;
use super::error::ApiError;
use super::params::{Body, Params};
use crate::listen::listener::ConnectionPermit;
use crate::listen::websocket::{LAST_WORDS, MAX_INVOCATION};
use crate::run::{Cursor, Ready, ReadyRuns, Run, RunOptions, Shown, watching};
use crate::session::{NotStarted, Session, gone};

/// `POST /link/{session}/runs/{invocation}`: the body is the `data` of a message of that run.
pub(super) async fn say(
    State(shared): State<Arc<Shared>>,
    Extension(Entry { session, grant }): Extension<Entry>,
    path: Result<Path<(String, String)>, PathRejection>,
    body: Body,
) -> Result<Answer, ApiError> {
    let invocation = invocation(path)?;
    if grant.may_run().is_ok() {
        session.touch();
    }
    let (request, _charge) = body.parse(|data| Some(read_request(invocation, "", Some(&Object::parse(data)?)))).await?;
    match request {
        Request::Start { invocation, start, .. } => {
            grant.may_run()?;
            if !start.resume {
                return Err(ApiError::invalid("resume", "it must be true: a run over HTTP is watched by another call"));
            }
            session.start(&invocation, RunOptions::of(&start, &shared.config.limits, session.extensions()), start)?;
        }
        Request::StartCommand { invocation, start } => {
            grant.may_run()?;
            if !start.resume {
                return Err(ApiError::invalid("resume", "it must be true: a run over HTTP is watched by another call"));
            }
            session.start_command(
                &invocation,
                RunOptions::of_command(&start, &shared.config.limits, session.extensions()),
                start,
            )?;
        }
        Request::Signal { invocation, signal, seq } => {
            grant.may_run()?;
            run(&session, &invocation)?.take_signal(&signal, seq);
        }
        Request::Resize { invocation, size, seq } => {
            grant.may_run()?;
            run(&session, &invocation)?.take_size(size, seq);
        }
        // Whoever follows a run over HTTP leaves it by ending the answer.
        Request::Leave { .. } => {}
        Request::Ack { invocation, seq } => {
            let run = run(&session, &invocation)?;
            // Whoever only watches has nothing to free: its stream is paced by TCP alone.
            if grant.may_run().is_ok() {
                run.acknowledge_over_http(seq);
            }
        }
        Request::Cancel { invocation } => {
            grant.may_run()?;
            run(&session, &invocation)?.interrupt();
        }
        Request::Stdin { invocation, data, eof, seq } => {
            grant.may_run()?;
            run(&session, &invocation)?.take_stdin(data, eof, seq);
        }
        Request::Resume { .. } => return Err(ApiError::invalid("mode", "to resume a run, GET its events")),
        Request::Ping | Request::Unknown { .. } => {
            return Err(ApiError::invalid(
                "method",
                "it must be run_code (mode stream), run_command (mode stream), ack, cancel, stdin, signal, resize or leave",
            ));
        }
    }
    Ok(Answer::new(json!({})))
}

/// `GET /link/{session}/runs/{invocation}/events?afterSeq=n&ackSeq=m&window=w`: the run's frames as server-sent events.
pub(super) async fn watch(
    State(shared): State<Arc<Shared>>,
    Extension(Entry { session, grant }): Extension<Entry>,
    path: Result<Path<(String, String)>, PathRejection>,
    connection: Option<Extension<Arc<ConnectionPermit>>>,
    params: Params,
) -> Result<Response, ApiError> {
    let invocation = invocation(path)?;
    let limits = &shared.config.limits;
    let place = Cursor {
        after: params.number("afterSeq")?.unwrap_or(0),
        taken: params.number("ackSeq")?,
        window: params.number("window")?.map(|window| window.min(limits.max_window)),
    };
    if grant.may_run().is_ok() {
        session.touch(); // whoever only watches does not keep the session
    }
    let permit = session.connect(&grant)?;
    let run = run(&session, &invocation)?;
    let cut = connection.map(|connection| connection.cut().clone()).unwrap_or_default();
    let ready = Arc::new(ReadyRuns::over_http(cut));
    let greeting = match grant.may_run() {
        Ok(()) => {
            let greeting = run.greeting();
            run.attach(&ready, place)?;
            greeting
        }
        // No window: an acknowledgement does not say whose it is. A stream that is not read waits by itself.
        Err(_) => {
            run.watch(&ready, Cursor { window: None, ..place })?;
            watching(run.id())
        }
    };
    let mut stage = session.watch_stage();
    let gone = Box::pin(async move {
        gone(&mut stage).await;
        sleep(LAST_WORDS).await;
    });
    let subscriber = Subscriber { run, ready, gone, _permit: permit, greeting: Some(greeting), is_over: false };
    // Half of a WebSocket's: there the client can ask for a sign of life as well.
    let alive = limits.heartbeat / 2;
    let events = stream::unfold(subscriber, move |mut subscriber: Subscriber| async move {
        let event = match timeout(alive, subscriber.next()).await {
            Ok(frame) => event(frame?),
            Err(_) => vec![Bytes::from_static(ALIVE)],
        };
        Some((stream::iter(event.into_iter().map(Ok::<_, Infallible>)), subscriber))
    });
    let mut response = HttpBody::from_stream(events.flatten()).into_response();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // A proxy that collects answers would hold the output back.
        (HeaderName::from_static("x-accel-buffering"), "no"),
        // Its connection may be cut for this run's sake, also when the last of it is under way: no other answer is to follow.
        (header::CONNECTION, "close"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

/// A comment of an event stream, which says that it is there.
const ALIVE: &[u8] = b":\n\n";

/// A frame as an event: JSON has no line ends. A large one is not copied: it goes out from where it is, and counts for all to
/// whom it goes until the last of them has it.
fn event(Shown { text, held, .. }: Shown) -> Vec<Bytes> {
    let (before, after) = (b"data: ".as_slice(), b"\n\n".as_slice());
    match held {
        Some(held) => vec![Bytes::from_static(before), Bytes::from_owner(held), Bytes::from_static(after)],
        None => vec![[before, text.as_bytes(), after].concat().into()],
    }
}

/// The subscriber that an event stream is.
struct Subscriber {
    run: Arc<Run>,
    ready: Arc<ReadyRuns>,
    /// Comes when the session has been released for long enough: what was to be said has been, or is waited for in vain.
    gone: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// What comes before the events.
    greeting: Option<String>,
    is_over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Subscriber {
    /// The next frame; `None` when no more can come.
    ///
    /// Cancel-safe.
    async fn next(&mut self) -> Option<Shown> {
        if let Some(greeting) = self.greeting.take() {
            return Some(Shown::small(greeting));
        }
        while !self.is_over {
            match self.ready.pop() {
                Some(Ready::Run(run)) => {
                    let Some(shown) = run.show(&self.ready) else { continue };
                    self.is_over = shown.is_end;
                    return Some(shown);
                }
                Some(Ready::Lost(run, why)) => {
                    self.is_over = true;
                    let reply = Reply { invocation: run.id(), source: DEFAULT_TARGET, seq: None, time: None };
                    return Some(Shown::small(reply.failed(why)));
                }
                None => tokio::select! {
                    () = self.ready.pushed() => {}
                    () = &mut self.gone => return None,
                },
            }
        }
        None
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.run.leave(&self.ready);
    }
}

fn invocation(path: Result<Path<(String, String)>, PathRejection>) -> Result<String, ApiError> {
    let Path((_, invocation)) = path.map_err(|_| ApiError::NoRoute("such path".to_owned()))?;
    if invocation.len() > MAX_INVOCATION {
        return Err(ApiError::invalid("invocationId", "it is longer than 256 bytes"));
    }
    Ok(invocation)
}

fn run(session: &Session, invocation: &str) -> Result<Arc<Run>, ApiError> {
    session.run(invocation).ok_or_else(|| ApiError::NoRun(session.config().limits.resume_retention.as_secs_f64()))
}

impl From<NotStarted> for ApiError {
    fn from(reason: NotStarted) -> Self {
        match reason {
            NotStarted::Refused(failure) => Self::Refused(failure.name, failure.value),
            NotStarted::Taken(message) => Self::RunTaken(message),
        }
    }
}
