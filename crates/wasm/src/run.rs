//! One run that streams, as JavaScript sees it.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use agb_core::result::RunRecorder;
use agb_core::{Batch, Instant, Mark, Rejected, RunId, Session, Stamp, Stream, StreamEvent, TerminalSize};
use js_sys::{Array, Function, JsString};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::driver::Driver;
use crate::host;
use crate::log::{EVENT, Log, STDERR, STDOUT};
use crate::object;

/// `NativeRun` of `binding.ts`. When JavaScript forgets one that has not ended, its program is stopped.
#[wasm_bindgen]
pub struct NativeRun {
    driver: Rc<Driver>,
    /// `None` once its end has been taken.
    id: Cell<Option<RunId>>,
    invocation: String,
    /// Never borrowed while the driver is called: it may wake others, who may come back here.
    story: RefCell<Story>,
}

/// What has come of a run so far.
struct Story {
    /// Texts that the driver has put here and [`NativeRun::take`] has not taken.
    texts: Array,
    log: Log,
    /// Its results are as JavaScript got them: the result has the very same objects, as far as there is room.
    recorder: RunRecorder<JsValue>,
}

/// Starts a run or finds one. In a box, so that following is compiled once for all of them.
pub(crate) type Begin<'a> = Box<dyn FnOnce(&mut Session, Instant) -> Result<RunId, Rejected> + 'a>;

impl NativeRun {
    /// Begins to follow a run.
    ///
    /// # Errors
    /// What the core says of one that it does not take. Nothing was sent then.
    pub(crate) fn start(
        driver: &Rc<Driver>,
        begin: Begin<'_>,
        log_limit: usize,
        result_limit: usize,
        stamps: bool,
        wake: Function,
    ) -> Result<Self, Rejected> {
        let texts = Array::new();
        let (id, invocation) = driver.begin(|session, now| {
            let id = begin(session, now)?;
            if stamps {
                session.keep_stamps(id);
            }
            driver.add_reader(id, wake, texts.clone());
            Ok((id, session.invocation(id).unwrap_or_default().to_owned()))
        })?;
        let story = Story { texts, log: Log::new(log_limit), recorder: RunRecorder::new(result_limit) };
        Ok(Self { driver: Rc::clone(driver), id: Cell::new(Some(id)), invocation, story: RefCell::new(story) })
    }
}

#[wasm_bindgen]
impl NativeRun {
    /// The run's id on the wire.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn id(&self) -> String {
        self.invocation.clone()
    }

    /// Everything that has come since the last call, or `null`.
    pub fn take(&self) -> JsValue {
        let Some(id) = self.id.get() else { return JsValue::NULL };
        let Some(batch) = self.driver.with(|session, now| session.read(now, id)) else { return JsValue::NULL };
        if batch.end().is_some() {
            self.driver.remove_reader(id);
            self.id.set(None);
        }
        self.story.borrow_mut().tell(batch)
    }

    /// After the end: why no stream of it got through, if nothing of it was sent. A plain call may be made in its place,
    /// unless it was the service itself that said no.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn unsent(&self) -> Option<String> {
        let story = self.story.borrow();
        let reason = story.recorder.end()?.as_ref().err()?.plain_call_reason()?.clone();
        StreamEvent::Unstreamed(reason).warning().map(|(_, message)| message)
    }

    /// Stops the program where the service can, and ends the run.
    pub fn cancel(&self) {
        if let Some(id) = self.id.get() {
            self.driver.with(|session, now| session.cancel(now, id));
        }
    }

    /// Gives the program a piece of input, or with nothing its end.
    pub fn write(&self, text: Option<String>) {
        if let Some(id) = self.id.get() {
            self.driver.with(|session, now| session.write(now, id, text.as_deref()));
        }
    }

    /// Sends a signal to a command.
    pub fn signal(&self, name: &str) {
        if let Some(id) = self.id.get() {
            self.driver.with(|session, now| session.signal(now, id, name));
        }
    }

    /// Changes the size of a command's terminal.
    pub fn resize(&self, cols: u16, rows: u16) {
        if let Some(id) = self.id.get() {
            self.driver.with(|session, now| session.resize(now, id, TerminalSize { cols, rows }));
        }
    }

    /// Follows the run no longer, and lets it go on.
    pub fn leave(&self) {
        if let Some(id) = self.id.get() {
            self.driver.with(|session, now| session.leave(now, id));
        }
    }

    /// What the run came to; `null` before its end has been taken.
    pub fn result(&self) -> JsValue {
        self.story.borrow_mut().result(&self.invocation)
    }
}

impl Drop for NativeRun {
    fn drop(&mut self) {
        if let Some(id) = self.id.get() {
            self.driver.remove_reader(id);
            self.driver.with(|session, now| session.abandon(now, id));
        }
    }
}

impl Story {
    fn tell(&mut self, mut batch: Batch) -> JsValue {
        let ended = self.recorder.take_end(&mut batch);
        let events = batch.events().iter().map(|event| self.event(event)).collect();
        let (text, marks) = self.text(&batch);
        self.log.keep(&text, &marks);
        host::batch(&text, marks, numbers(batch.stamps()), events, ended)
    }

    /// Keeps what the result needs; gives what JavaScript gets to see now.
    fn event(&mut self, event: &StreamEvent) -> JsValue {
        let mut shown = JsValue::NULL;
        if let StreamEvent::Result(result) = event {
            shown = object::rich_result(result);
        }
        self.recorder.note(event, |kept| match kept {
            Cow::Borrowed(_) => shown.clone(),
            Cow::Owned(note) => object::rich_result(&note),
        });
        let (names, values) = match event {
            StreamEvent::Result(_) => ("type result", vec!["result".into(), shown]),
            StreamEvent::Error(error) => {
                let failure = object::failure(&error.to_failure(), error.service_code());
                ("type error", vec!["error".into(), failure])
            }
            StreamEvent::InputRequest { prompt, password } => {
                ("type prompt password", vec!["inputRequest".into(), prompt.into(), (*password).into()])
            }
            _ => match event.warning() {
                Some((code, words)) => ("type code message", vec!["trouble".into(), code.into(), words.into()]),
                None => ("type", vec!["reconnected".into()]),
            },
        };
        object::record(names, values)
    }

    /// One string for all chunks of a batch, and the marks of `binding.ts` within it.
    fn text(&self, batch: &Batch) -> (JsString, Vec<u32>) {
        let mut held = 0;
        let mut own = batch.text();
        let marks = batch.marks().iter().map(|mark| match *mark {
            Mark::External(stream, length) => {
                held += 1;
                length << 2 | kind(stream)
            }
            // `host.js` took this chunk for something else, and the core has its text: it joins the others.
            Mark::Chunk(stream, bytes) => {
                let (text, rest) = own.split_at(bytes as usize);
                own = rest;
                let text = JsString::from(text);
                self.texts.splice(held, 0, &text);
                held += 1;
                host::length(&text) << 2 | kind(stream)
            }
            Mark::Event => EVENT,
        });
        let marks: Vec<u32> = marks.collect();
        let text = if held == 0 { JsString::from("") } else { host::take_texts(&self.texts, held) };
        (text, marks)
    }

    fn result(&mut self, invocation: &str) -> JsValue {
        if self.recorder.end().is_none() {
            return JsValue::NULL;
        }
        let log = std::mem::replace(&mut self.log, Log::new(0));
        let (execution, results) = self.recorder.conclude(invocation.to_owned(), log.is_truncated());
        let (texts, marks) = log.into_parts();
        object::run_result(&execution, execution.error_code(), results, &texts, marks, self.recorder.end_stamp())
    }
}

/// The stamps of `binding.ts`.
fn numbers(stamps: &[Stamp]) -> Vec<f64> {
    let mut numbers = Vec::new();
    for Stamp { seq, time, background } in stamps {
        numbers.extend_from_slice(&[*seq as f64, time.unwrap_or(0) as f64, f64::from(u8::from(*background))]);
    }
    numbers
}

const fn kind(stream: Stream) -> u32 {
    match stream {
        Stream::Stdout => STDOUT,
        Stream::Stderr => STDERR,
    }
}
