//! The driver: one task that owns a session's socket and carries out what the core asks for.
//!
//! ```text
//! Run, Session ──► Connection ──(lock, verb, notify)──► core::Session ◄──(lock, drain, feed)── drive() ◄──► Socket
//!      ▲                                                                                          │
//!      └────────────────────────────── waker of the run ◄──── Event::Readable ────────────────────┘
//! ```
//!
//! Invariants:
//! * Only this file calls `poll_output`. After every change it drains until `Idle`, and waits only there.
//! * The lock is never held across an `.await`, and no waker is woken under it.
//! * It has one timer, the core's deadline; it parses nothing, retries nothing and drops no output.
//! * While `read` is false the socket is not polled for reading.
//! * The task ends when nothing is left to wait for: no socket, none being opened, no deadline. A verb starts it again.

use std::collections::HashMap;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use agb_core::{Batch, DisconnectReason, Event, Input, Instant, LinkId, OpenRequest, Output, RunId, Session, State};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Notify, mpsc};
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite::Message;

use crate::clock::Clock;
use crate::events::{self, EventLink, Signal, Signals};
use crate::link::{Link, Progress};
use crate::socket::Socket;
use crate::wire::broken;

/// How sockets are opened: the network, or memory in tests.
pub(crate) type Dialer = Box<dyn Fn(OpenRequest) -> Opening + Send + Sync>;
/// How event streams are opened.
pub(crate) type Follower = Box<dyn Fn(LinkId, OpenRequest, Signals) -> EventLink + Send + Sync>;
/// A socket being opened.
pub(crate) type Opening = Pin<Box<dyn Future<Output = Result<Socket, DisconnectReason>> + Send>>;

/// What the handles of a session and its driver share.
pub(crate) struct Shared {
    machine: Mutex<Machine>,
    /// A handle has changed the machine.
    changed: Notify,
    clock: Clock,
    dialer: Dialer,
    follower: Follower,
}

struct Machine {
    session: Session,
    /// The runs whose reader waits.
    waiting: HashMap<RunId, Waker>,
    /// Whether a driver is there.
    driven: bool,
}

impl Shared {
    pub(crate) fn new(session: Session, dialer: Dialer, follower: Follower) -> Self {
        let machine = Machine { session, waiting: HashMap::new(), driven: false };
        Self { machine: Mutex::new(machine), changed: Notify::new(), clock: Clock::start(), dialer, follower }
    }

    /// Changes the session and tells the driver.
    pub(crate) fn with<T>(self: &Arc<Self>, verb: impl FnOnce(&mut Session, Instant) -> T) -> T {
        let value = {
            let mut machine = self.lock();
            let value = verb(&mut machine.session, self.now());
            self.ensure_driver(&mut machine);
            value
        };
        self.changed.notify_one();
        value
    }

    /// The run's next batch, or `Pending` until there is one. One reader a run. Reading `ahead` says nothing of what
    /// was read before.
    pub(crate) fn poll_read(self: &Arc<Self>, cx: &mut Context<'_>, id: RunId, ahead: bool) -> Poll<Batch> {
        let mut machine = self.lock();
        let now = self.now();
        let batch = if ahead { machine.session.read_ahead(now, id) } else { machine.session.read(now, id) };
        let poll = match batch {
            Some(batch) => Poll::Ready(batch),
            None => {
                machine.waiting.insert(id, cx.waker().clone());
                Poll::Pending
            }
        };
        self.tell_if_due(machine);
        poll
    }

    /// What was read up to here has been dealt with.
    pub(crate) fn ack(self: &Arc<Self>, id: RunId, weight: usize, seq: u64) {
        let mut machine = self.lock();
        machine.session.ack(self.now(), id, weight, seq);
        self.tell_if_due(machine);
    }

    /// Tells the driver where reading has left it something to do: an acknowledgement to send, or room to read on. It is not
    /// told of each batch: that would be a turn of its task for nothing, and often another thread's waking.
    fn tell_if_due(self: &Arc<Self>, mut machine: MutexGuard<'_, Machine>) {
        self.ensure_driver(&mut machine);
        let due = machine.session.has_unsent() || machine.session.is_paused();
        drop(machine);
        if due {
            self.changed.notify_one();
        }
    }

    /// Stops a run that nobody will read.
    pub(crate) fn abandon(self: &Arc<Self>, id: RunId) {
        self.with(|session, now| session.abandon(now, id));
        self.lock().waiting.remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        // A panic under the lock is a bug of the core's; the session's own state is still the best there is.
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Starts the driver where there is none. Outside of a runtime that is left to the next call.
    fn ensure_driver(self: &Arc<Self>, machine: &mut Machine) {
        if !machine.driven
            && let Ok(runtime) = Handle::try_current()
        {
            machine.driven = true;
            runtime.spawn(drive(Arc::clone(self)));
        }
    }
}

/// One turn of [`drive`] waits for one of these.
enum Turn {
    Changed,
    Deadline,
    Opened(LinkId, Result<Box<Socket>, DisconnectReason>),
    Link(Progress),
    Stream(LinkId, Signal),
}

async fn drive(shared: Arc<Shared>) {
    let mut driver = Driver::new(&shared);
    let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
    while let Some((deadline, read)) = driver.drain() {
        if std::mem::take(&mut driver.crowded) {
            tokio::task::yield_now().await; // the readers get their turn before more is taken in
            continue;
        }
        // A moment that the clock cannot hold is never.
        let deadline = deadline.and_then(|at| shared.clock.to_tokio(at));
        if let Some(deadline) = deadline
            && timer.deadline() != deadline
        {
            timer.as_mut().reset(deadline);
        }
        let turn = driver.wait(timer.as_mut(), deadline.is_some(), read).await;
        driver.feed(turn);
    }
}

struct Driver<'a> {
    shared: &'a Arc<Shared>,
    link: Option<Link>,
    opening: Option<(LinkId, Opening)>,
    /// The event streams, and what comes of them.
    streams: Vec<EventLink>,
    signals: (Signals, mpsc::Receiver<(LinkId, Signal)>),
    /// Collected under the lock, woken outside of it.
    wakers: Vec<Waker>,
    /// There was as much to read as one turn may take.
    crowded: bool,
    finished: bool,
}

impl<'a> Driver<'a> {
    fn new(shared: &'a Arc<Shared>) -> Self {
        Self {
            shared,
            link: None,
            opening: None,
            streams: Vec::new(),
            signals: mpsc::channel(events::WAITING),
            wakers: Vec::new(),
            crowded: false,
            finished: false,
        }
    }

    /// Carries out what the core wants until it is idle. `None`: there is nothing left to wait for.
    fn drain(&mut self) -> Option<(Option<Instant>, bool)> {
        let mut machine = self.shared.lock();
        let idle = loop {
            match machine.session.poll_output() {
                Output::Open(link, request) if request.events.is_some() => {
                    let stream = (self.shared.follower)(link, request, self.signals.0.clone());
                    self.streams.push(stream);
                }
                Output::Open(link, request) => self.opening = Some((link, (self.shared.dialer)(request))),
                Output::Send(link, text) => match self.streams.iter().find(|stream| stream.id == link) {
                    Some(stream) => stream.say(text),
                    None => self.send(link, Message::text(text)),
                },
                Output::Ping(link) => self.send(link, Message::Ping(Vec::new().into())),
                Output::Close(link, code) => self.close(link, code),
                Output::Event(Event::Readable(id)) => self.wakers.extend(machine.waiting.remove(&id)),
                Output::Event(Event::State(state)) => log_state(state),
                Output::Event(_) => {}
                Output::Idle { deadline, read } => break (deadline, read),
            }
        };
        self.finished = self.link.is_none() && self.streams.is_empty() && self.opening.is_none() && idle.0.is_none();
        if self.finished {
            machine.driven = false; // under the lock, so that no verb is missed
        }
        drop(machine);
        self.wakers.drain(..).for_each(Waker::wake);
        (!self.finished).then_some(idle)
    }

    fn send(&mut self, id: LinkId, message: Message) {
        if let Some(link) = self.link.as_mut().filter(|link| link.id == id) {
            link.push(message);
        }
    }

    fn close(&mut self, id: LinkId, code: u16) {
        self.streams.retain(|stream| stream.id != id);
        self.opening.take_if(|(opening, _)| *opening == id);
        if let Some(link) = self.link.take_if(|link| link.id == id) {
            link.part(Some(code));
        }
    }

    async fn wait(&mut self, timer: Pin<&mut Sleep>, timed: bool, read: bool) -> Turn {
        // In this order: a socket that always has something must not starve the clock.
        tokio::select! {
            biased;
            () = timer, if timed => Turn::Deadline,
            (id, result) = opened(&mut self.opening) => Turn::Opened(id, result.map(Box::new)),
            progress = progress(self.shared, &mut self.link, read) => Turn::Link(progress),
            Some((id, signal)) = self.signals.1.recv(), if read => Turn::Stream(id, signal),
            () = self.shared.changed.notified() => Turn::Changed,
        }
    }

    fn feed(&mut self, turn: Turn) {
        match turn {
            Turn::Changed => {}
            Turn::Deadline => {
                let mut machine = self.shared.lock();
                machine.session.handle_timeout(self.shared.now());
            }
            Turn::Opened(id, result) => {
                self.opening = None;
                let input = match result {
                    Ok(socket) => {
                        self.link = Some(Link::new(id, *socket));
                        Input::Opened
                    }
                    Err(loss) => lost(loss),
                };
                let mut machine = self.shared.lock();
                machine.session.handle_input(self.shared.now(), id, input);
            }
            Turn::Link(progress) => self.feed_progress(progress),
            Turn::Stream(id, signal) => {
                let mut length = 0;
                let input = match &signal {
                    Signal::Opened => Input::Opened,
                    Signal::Text(text, _) => {
                        length = text.len();
                        Input::Text(text)
                    }
                    Signal::Alive => Input::Alive,
                    Signal::Lost(loss) => {
                        self.streams.retain(|stream| stream.id != id);
                        lost(loss.clone())
                    }
                };
                let mut machine = self.shared.lock();
                let now = self.shared.now();
                apart(length, || {
                    machine.session.handle_input(now, id, input);
                });
            }
        }
    }

    fn feed_progress(&mut self, progress: Progress) {
        let Some(id) = self.link.as_ref().map(|link| link.id) else { return };
        self.crowded = progress.crowded;
        let is_lost = progress.loss.is_some();
        let mut machine = self.shared.lock();
        let (now, session) = (self.shared.now(), &mut machine.session);
        if let Some(backlog) = progress.backlog {
            session.handle_input(now, id, Input::Backlog(backlog));
        }
        if progress.alive {
            session.handle_input(now, id, Input::Alive);
        }
        if let Some(loss) = progress.loss {
            session.handle_input(now, id, lost(loss));
        }
        drop(machine);
        if is_lost && let Some(link) = self.link.take() {
            link.part(None); // a close frame wants its answer
        }
    }
}

impl Drop for Driver<'_> {
    /// A runtime that shuts down drops its tasks anywhere: another runtime may drive the session on.
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let socket = self.link.take().map(|link| link.id).or(self.opening.take().map(|(id, _)| id));
        let orphans: Vec<_> = socket.into_iter().chain(self.streams.drain(..).map(|stream| stream.id)).collect();
        let mut machine = self.shared.lock();
        for id in orphans {
            let loss = broken("the runtime that drove the connection was shut down".into());
            machine.session.handle_input(self.shared.now(), id, Input::Lost(loss));
        }
        machine.driven = false;
        self.wakers.extend(machine.waiting.drain().map(|(_, waker)| waker));
        drop(machine);
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

async fn opened(opening: &mut Option<(LinkId, Opening)>) -> (LinkId, Result<Socket, DisconnectReason>) {
    match opening {
        Some((id, opening)) => (*id, opening.await),
        None => pending().await,
    }
}

/// What the link has done. Messages go straight to the session, under one lock for all that are there.
async fn progress(shared: &Shared, link: &mut Option<Link>, read: bool) -> Progress {
    let Some(link) = link else { return pending().await };
    let id = link.id;
    poll_fn(|cx| {
        let mut locked: Option<(MutexGuard<'_, Machine>, Instant)> = None;
        link.poll(cx, read, |message| {
            let (machine, now) = locked.get_or_insert_with(|| (shared.lock(), shared.now()));
            apart(message.len(), || {
                let input = match &message {
                    Message::Text(text) => Input::Text(text),
                    Message::Binary(bytes) => str::from_utf8(bytes).map_or(Input::Alive, Input::Text),
                    _ => Input::Alive,
                };
                machine.session.handle_input(*now, id, input);
            });
        })
    })
    .await
}

/// Reads a message. While it is a long one, the runtime's other tasks go on where it has another thread for them.
pub(crate) fn apart<T>(bytes: usize, read: impl FnOnce() -> T) -> T {
    /// Of so many bytes on: about 4 ms.
    const LONG: usize = 1 << 20;
    let has_threads = || Handle::try_current().is_ok_and(|here| here.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes >= LONG && has_threads() { tokio::task::block_in_place(read) } else { read() }
}

fn lost(loss: DisconnectReason) -> Input<'static> {
    tracing::debug!(target: "agb::connection", %loss, "the connection is lost");
    Input::Lost(loss)
}

fn log_state(state: State) {
    match state {
        State::Connecting { attempt } => tracing::debug!(target: "agb::connection", attempt, "connecting"),
        State::Open => tracing::debug!(target: "agb::connection", "connected"),
        State::Waiting { attempt } => tracing::info!(target: "agb::connection", attempt, "no connection, trying again"),
        State::Idle | State::Closed => tracing::debug!(target: "agb::connection", "no connection, and none needed"),
    }
}

#[cfg(test)]
mod tests;
