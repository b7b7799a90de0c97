//! The browser's half of a session: carries out what the core asks, one borrow at a time.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use agb_core::{
    Capabilities, Event, ExternalChunk, Input, Instant, LinkId, OpenRequest, Output, RunId, Session, SessionConfig,
    State, Stream,
};
use js_sys::{Array, Function};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};

use crate::host;
use crate::link::{Link, Signal};
use crate::logger;
use crate::timer::{Timer, now};

/// A session and its links. JavaScript is single-threaded but re-enters: a `wake` may start or cancel a run from
/// within. So every borrow ends before anything else is called, re-entrant changes only change, and readers are woken
/// when the session is drained and free.
pub(crate) struct Driver {
    session: RefCell<Session>,
    /// The WebSocket, or each run's event stream.
    links: RefCell<Vec<Link>>,
    readers: RefCell<Vec<Reader>>,
    timer: Timer,
    /// As the core's own mark: above it the backlog is looked at again.
    backlog_high: usize,
    draining: Cell<bool>,
    /// A run was begun, and [`settle`](Self::settle) will send it.
    held: Cell<bool>,
    /// When the first chunk came of those that [`settle`](Self::settle) will see to.
    burst: Cell<Option<Instant>>,
    settle: Closure<dyn Fn()>,
    this: Weak<Self>,
}

/// Whoever reads a run.
struct Reader {
    id: RunId,
    wake: Function,
    /// The texts of its unread chunks, in order.
    texts: Array,
}

impl Driver {
    /// A browser does not say when its buffer drains. Short enough that a large upload does not wait for us.
    const LOOK_AGAIN: Duration = Duration::from_millis(20);

    pub(crate) fn new(config: SessionConfig) -> Rc<Self> {
        Rc::new_cyclic(|this: &Weak<Self>| {
            let task = |act: fn(&Self)| {
                let weak = this.clone();
                move || {
                    if let Some(driver) = weak.upgrade() {
                        act(&driver);
                    }
                }
            };
            Self {
                backlog_high: config.backlog_high,
                session: RefCell::new(Session::new(config, Capabilities::BROWSER, host::random_bits())),
                links: RefCell::default(),
                readers: RefCell::default(),
                timer: Timer::new(task(Self::wake_up)),
                draining: Cell::new(false),
                held: Cell::new(false),
                burst: Cell::new(None),
                settle: Closure::new(task(Self::settle)),
                this: this.clone(),
            }
        })
    }

    /// Changes the session, then carries out all that it asks for.
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Session, Instant) -> T) -> T {
        let value = change(&mut self.session.borrow_mut(), now());
        self.drain();
        value
    }

    /// Changes the session, and carries out what it asks for when the task that called is over: a run that was begun and
    /// cancelled within it, as by React's StrictMode, is never sent.
    pub(crate) fn begin<T>(&self, change: impl FnOnce(&mut Session, Instant) -> T) -> T {
        let value = change(&mut self.session.borrow_mut(), now());
        if !self.held.replace(true) {
            host::later(self.settle.as_ref().unchecked_ref());
        }
        value
    }

    /// Sends what was begun, now.
    pub(crate) fn release(&self) {
        self.held.set(false);
        self.drain();
    }

    /// Registers who reads a run, before anything can come for it.
    pub(crate) fn add_reader(&self, id: RunId, wake: Function, texts: Array) {
        self.readers.borrow_mut().push(Reader { id, wake, texts });
    }

    pub(crate) fn remove_reader(&self, id: RunId) {
        self.readers.borrow_mut().retain(|reader| reader.id != id);
    }

    fn reader<T>(&self, id: RunId, look: impl FnOnce(&Reader) -> T) -> Option<T> {
        self.readers.borrow().iter().find(|reader| reader.id == id).map(look)
    }

    fn drain(&self) {
        if self.held.get() || self.draining.replace(true) {
            return; // whoever drains goes on
        }
        let mut readable = Vec::new();
        loop {
            let output = self.session.borrow_mut().poll_output();
            match output {
                Output::Open(link, request) => self.open(link, &request),
                Output::Send(link, text) => self.send(link, &text),
                Output::Ping(_) => {} // a browser cannot; its capabilities say so
                Output::Close(link, code) => {
                    if let Some(link) = self.take_link(link) {
                        link.close(code);
                    }
                }
                Output::Event(Event::Readable(id)) => readable.push(id),
                Output::Event(Event::State(state)) => logger::debug("agb::session", || state_message(state).into()),
                Output::Event(_) => {} // messages of no run have no listener here
                Output::Idle { deadline, read: _ } => {
                    self.timer.set(deadline);
                    break;
                }
            }
        }
        self.draining.set(false);
        for id in readable {
            let wake = self.reader(id, |reader| reader.wake.clone());
            if let Some(wake) = wake {
                let _ = wake.call0(&JsValue::UNDEFINED); // ours, and it does not throw
            }
        }
    }

    fn open(&self, link: LinkId, request: &OpenRequest) {
        let weak = self.this.clone();
        let hear = move |signal| {
            if let Some(driver) = weak.upgrade() {
                driver.hear(link, signal);
            }
        };
        self.links.borrow_mut().push(Link::open(link, request, hear));
    }

    fn take_link(&self, id: LinkId) -> Option<Link> {
        let mut links = self.links.borrow_mut();
        let at = links.iter().position(|link| link.id == id)?;
        Some(links.swap_remove(at))
    }

    fn send(&self, id: LinkId, text: &str) {
        let sent = self.links.borrow().iter().find(|link| link.id == id).map(|link| link.send(text));
        if let Some(backlog) = sent {
            self.session.borrow_mut().handle_input(now(), id, Input::Backlog(backlog));
            self.look_again(backlog);
        }
    }

    fn look_again(&self, backlog: usize) {
        if backlog >= self.backlog_high {
            self.timer.set(Some(now() + Self::LOOK_AGAIN));
        }
    }

    fn hear(&self, link: LinkId, signal: Signal) {
        match signal {
            Signal::Opened => self.with(|session, now| session.handle_input(now, link, Input::Opened)),
            Signal::Frame(frame) => self.hear_frame(link, &frame),
            Signal::Alive => self.with(|session, now| session.handle_input(now, link, Input::Alive)),
            Signal::Rest => self.with(|session, _| session.rest()),
            Signal::Lost(loss) => {
                logger::debug("agb::session", || format!("the connection is lost: {loss}"));
                let dead = self.take_link(link);
                self.with(|session, now| session.handle_input(now, link, Input::Lost(loss)));
                drop(dead);
            }
        }
    }

    fn hear_frame(&self, link: LinkId, frame: &JsValue) {
        if let Some(chunk) = host::read_chunk(frame) {
            self.hear_chunk(link, &chunk);
        } else {
            let text = frame.as_string();
            let input = text.as_deref().map_or(Input::Alive, Input::Text); // a binary frame is a sign of life
            self.with(|session, now| session.handle_input(now, link, input));
        }
    }

    /// The way that a frame goes a million times.
    fn hear_chunk(&self, link: LinkId, chunk: &host::Chunk) {
        let (invocation, kind, text) = (chunk.id(), chunk.kind(), chunk.text());
        let (seq, time) = (chunk.seq(), chunk.time());
        let held = ExternalChunk {
            invocation: &invocation,
            seq: (seq >= 0.0).then_some(seq as u64),
            time: (time >= 0.0).then_some(time as u64),
            background: kind & 2 != 0,
            stream: if kind & 1 == 0 { Stream::Stdout } else { Stream::Stderr },
            length: host::length(&text),
        };
        let kept = self.session.borrow_mut().handle_chunk(self.burst(), link, held);
        if let Some(id) = kept {
            self.reader(id, |reader| reader.texts.push(&text));
        }
    }

    /// A browser hands over all frames that it has, one event after the other, before it does anything else. Their
    /// readers are woken once for all of them, and the clock, which is the dearest thing here, is read once.
    fn burst(&self) -> Instant {
        self.burst.get().unwrap_or_else(|| {
            let began = now();
            self.burst.set(Some(began));
            host::later(self.settle.as_ref().unchecked_ref());
            began
        })
    }

    fn settle(&self) {
        self.burst.set(None);
        self.release();
    }

    fn wake_up(&self) {
        self.timer.fired();
        let backlogs: Vec<_> = self.links.borrow().iter().map(|link| (link.id, link.backlog())).collect();
        self.with(|session, now| {
            for (link, backlog) in &backlogs {
                session.handle_input(now, *link, Input::Backlog(*backlog));
            }
            session.handle_timeout(now);
        });
        backlogs.iter().for_each(|(_, backlog)| self.look_again(*backlog));
    }
}

fn state_message(state: State) -> &'static str {
    match state {
        State::Idle => "not connected",
        State::Connecting { .. } => "connecting",
        State::Open => "connected",
        State::Waiting { .. } => "waiting to connect again",
        State::Closed => "closed",
    }
}
