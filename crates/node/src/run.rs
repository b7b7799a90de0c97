//! `NativeRun`: a run that streams.

use std::cell::Cell;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};

use agb_client::{Error, Execution, Run, RunControl, StreamEvent};
use napi::bindgen_prelude::{Function, Object, Result, ToNapiValue};
use napi::{Env, sys};
use napi_derive::napi;

use crate::convert::Numbers;
use crate::io;
use crate::js_batch::{JsBatch, js_batches};
use crate::js_thread_queue::{Callback, JsThreadQueue};
use crate::objects::{NativeExecutionResult, NativeRunError};
use crate::output_queue::OutputQueue;
use crate::result::Outcome;

/// A run that is going on.
#[napi]
pub(crate) struct NativeRun {
    id: String,
    shared: Arc<Shared>,
    control: Option<RunControl>,
    /// What JavaScript has dealt with and the service does not know yet: bytes, and the last number.
    done: Cell<(usize, u64)>,
    /// The batch that ends with the delivery that JavaScript has.
    in_flight: Cell<Option<(usize, u64)>>,
    /// The last delivery has been taken.
    ended: Cell<bool>,
}

/// Between the run's task and JavaScript.
struct Shared {
    output: OutputQueue,
    outcome: Mutex<Option<Outcome>>,
    wake: Callback,
    queue: JsThreadQueue,
    /// Changed on the JavaScript thread only.
    stay: Mutex<Stay>,
}

/// Whether a run keeps its process alive: for as long as something of it may come by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stay {
    /// It does: it holds its queue.
    Held,
    /// It does not while its queue is full: nothing comes until JavaScript takes, which may be never.
    Released,
    /// It does not any more.
    Over,
}

#[napi]
impl NativeRun {
    /// The invocation id on the wire.
    #[napi(getter, catch_unwind)]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What has arrived, or `null`: wait for `wake`.
    #[napi(catch_unwind)]
    pub fn take(&self, env: &Env) -> Option<Delivery> {
        let next = self.shared.output.take();
        self.deal(next.is_none());
        let js_batch = next?;
        self.in_flight.set(js_batch.closes);
        self.shared.stay_while_it_flows(env);
        self.ended.set(js_batch.ended);
        Some(Delivery(js_batch))
    }

    /// Stops the program where the service can.
    #[napi(catch_unwind)]
    pub fn cancel(&self) {
        self.order(|control| control.cancel());
    }

    /// Gives the program input.
    #[napi(catch_unwind)]
    pub fn write(&self, text: String) {
        self.order(|control| control.write(&text));
    }

    /// Ends the program's input.
    #[napi(catch_unwind)]
    pub fn end_input(&self) {
        self.order(|control| control.end_input());
    }

    /// Sends a signal to a command.
    #[napi(catch_unwind)]
    pub fn signal(&self, name: String) {
        self.order(|control| control.kill(&name));
    }

    /// Changes the size of a command's terminal.
    #[napi(catch_unwind)]
    pub fn resize(&self, cols: u32, rows: u32) {
        // TypeScript has checked that they fit.
        let side = |side: u32| u16::try_from(side).unwrap_or(u16::MAX);
        self.order(|control| control.resize(side(cols), side(rows)));
    }

    /// Follows the run no longer, and lets it go on.
    #[napi(catch_unwind)]
    pub fn leave(&self) {
        self.order(|control| control.leave());
    }

    /// What the run came to, once its end has been taken.
    #[napi(catch_unwind)]
    pub fn result(&self) -> Option<Outcome> {
        if !self.ended.get() {
            return None;
        }
        self.shared.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for NativeRun {
    /// Nobody can read it any more: the task ends, and with it the program.
    fn drop(&mut self) {
        self.shared.output.close();
    }
}

impl NativeRun {
    /// How much may be dealt with before the service hears of it, if JavaScript has not caught up: each time costs a lock.
    const LATE: usize = 64 * 1024;

    /// A run that was not taken has nobody to order.
    fn order(&self, order: impl FnOnce(&RunControl)) {
        if let Some(control) = &self.control {
            order(control);
        }
    }

    /// JavaScript asks for more: it has dealt with what it has. `all` tells that it has caught up.
    fn deal(&self, all: bool) {
        let (mut weight, mut seq) = self.done.get();
        if let Some((more, last)) = self.in_flight.take() {
            (weight, seq) = (weight + more, last);
        }
        if let Some(control) = self.control.as_ref().filter(|_| weight >= Self::LATE || all && seq > 0) {
            control.taken(weight, seq);
            (weight, seq) = (0, 0);
        }
        self.done.set((weight, seq));
    }

    /// Starts carrying a run's output to JavaScript. A run that was not taken is one that has ended at once.
    pub(crate) fn start(env: &Env, run: std::result::Result<Run, Error>, wake: &Function<'_, (), ()>) -> Result<Self> {
        let queue = JsThreadQueue::of(env)?;
        let shared = Arc::new(Shared {
            output: OutputQueue::default(),
            outcome: Mutex::new(None),
            wake: Callback::keep(env, wake)?,
            queue: queue.clone(),
            stay: Mutex::new(Stay::Held),
        });
        queue.hold(env);
        let guard = Ending(Arc::clone(&shared));
        let (id, control, run) = match run {
            Ok(run) => (run.id().to_owned(), Some(run.control()), Ok(run)),
            Err(error) => (String::new(), None, Err(error)),
        };
        // When there is no I/O thread the task is dropped here, and the guard ends the run.
        if let Err(error) = io::spawn(async move {
            let outcome = match run {
                Ok(run) => carry(run, &guard.0).await,
                Err(error) => Outcome::refused(&error),
            };
            guard.end(outcome);
        }) {
            tracing::error!(target: "agb::node", error, "no I/O thread");
        }
        Ok(Self { id, shared, control, done: Cell::default(), in_flight: Cell::default(), ended: Cell::new(false) })
    }
}

/// Pulls a run's batches into the queue until it ends or nobody reads any more. JavaScript is woken when there is
/// nothing more to pull for now: a wake costs more than a batch.
async fn carry(mut run: Run, shared: &Arc<Shared>) -> Outcome {
    loop {
        if !shared.output.has_room() {
            shared.wake();
            shared.release_while_full();
        }
        if shared.output.room().await.is_err() {
            break;
        }
        let next = poll_fn(|cx| {
            let batch = run.poll_ahead(cx);
            if batch.is_pending() {
                shared.wake();
                if !shared.output.is_empty() {
                    // Where there are fewer processors than threads, JavaScript's turn has come: without this it waits
                    // for the end of this thread's time slice, some milliseconds.
                    std::thread::yield_now();
                }
            }
            batch
        });
        let batch = tokio::select! {
            biased;
            batch = next => batch,
            () = shared.output.closed() => break,
        };
        let Some(batch) = batch else { break };
        for js_batch in js_batches(&batch) {
            shared.output.put(js_batch);
        }
    }
    let stamp = run.stamp();
    let (execution, log) = run.into_parts();
    Outcome::streamed(execution, log, stamp)
}

impl Shared {
    /// Tells JavaScript, unless it knows, that there is something to take.
    fn wake(self: &Arc<Self>) {
        if self.output.wants_wake() {
            let shared = Arc::clone(self);
            self.queue.post(Box::new(move |env| {
                if shared.output.arrive() {
                    shared.wake.call(env, &[]);
                }
            }));
        }
    }

    /// Lets the process end if JavaScript, when it has been woken, leaves the queue full. Only JavaScript makes room, so
    /// whoever means to read keeps the process alive by what it waits for meanwhile.
    fn release_while_full(self: &Arc<Self>) {
        let shared = Arc::clone(self);
        self.queue.post(Box::new(move |env| {
            if !shared.output.has_room() {
                shared.change(env, Stay::Held, Stay::Released);
            }
        }));
    }

    /// Takes [`release_while_full`](Self::release_while_full) back once there is room.
    fn stay_while_it_flows(&self, env: &Env) {
        if self.output.has_room() {
            self.change(env, Stay::Released, Stay::Held);
        }
    }

    /// Goes from one state to another, with the queue; not at all from a state that is not `from`.
    fn change(&self, env: &Env, from: Stay, to: Stay) {
        let mut stay = self.stay.lock().unwrap_or_else(PoisonError::into_inner);
        if *stay != from {
            return;
        }
        *stay = to;
        drop(stay);
        match (from, to) {
            (Stay::Held, _) => self.queue.let_go(env),
            (_, Stay::Held) => self.queue.hold(env),
            _ => {}
        }
    }
}

/// Sees to it that a run ends for JavaScript, even when its task panics.
struct Ending(Arc<Shared>);

impl Ending {
    fn end(&self, outcome: Outcome) {
        *self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let mut outcome = self.0.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.get_or_insert_with(|| {
            let mut execution = Execution::default();
            execution.error_message = "the addon lost the run to a fault of its own; please report this".into();
            Outcome::at_once(execution)
        });
        drop(outcome);
        self.0.output.put(JsBatch::end());
        self.0.wake();
        let shared = Arc::clone(&self.0);
        // Behind the last wake: from here on nobody is woken, and the process need not stay for this run.
        self.0.queue.post(Box::new(move |env| {
            shared.wake.forget(env);
            shared.change(env, Stay::Held, Stay::Over);
            shared.change(env, Stay::Released, Stay::Over);
        }));
    }
}

/// `Batch`.
pub(crate) struct Delivery(JsBatch);

impl ToNapiValue for Delivery {
    unsafe fn to_napi_value(env: sys::napi_env, Delivery(js_batch): Self) -> Result<sys::napi_value> {
        let mut object = Object::new(&Env::from_raw(env))?;
        object.set("text", &js_batch.text)?;
        object.set("marks", Numbers(&js_batch.marks[..]))?;
        object.set("stamps", (!js_batch.stamps.is_empty()).then(|| Numbers(&js_batch.stamps[..])))?;
        let has_events = !js_batch.events.is_empty();
        object.set("events", has_events.then(|| js_batch.events.into_iter().map(Event).collect::<Vec<_>>()))?;
        object.set("ended", js_batch.ended)?;
        Ok(napi::JsValue::raw(&object))
    }
}

/// `RunEvent`.
struct Event(StreamEvent);

impl ToNapiValue for Event {
    unsafe fn to_napi_value(env: sys::napi_env, Event(event): Self) -> Result<sys::napi_value> {
        let mut object = Object::new(&Env::from_raw(env))?;
        match event {
            StreamEvent::Result(result) => {
                object.set("type", "result")?;
                object.set("result", NativeExecutionResult::from(result))?;
            }
            StreamEvent::Error(error) => {
                object.set("type", "error")?;
                object.set("error", NativeRunError::new(error.to_failure(), error.service_code()))?;
            }
            StreamEvent::InputRequest { prompt, password } => {
                object.set("type", "inputRequest")?;
                object.set("prompt", prompt)?;
                object.set("password", password)?;
            }
            event => match event.warning() {
                Some((code, message)) => {
                    object.set("type", "trouble")?;
                    object.set("code", code)?;
                    object.set("message", message)?;
                }
                None => object.set("type", "reconnected")?,
            },
        }
        Ok(napi::JsValue::raw(&object))
    }
}
