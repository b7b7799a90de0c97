//! A connection: one WebSocket of one session, and the runs that it shows.
//!
//! One task a connection, one loop:
//!
//! ```text
//!              ┌── a message came ──► start, cancel, acknowledge, …
//! connection ──┼── the socket takes more, and a run has something: the next run in turn shows one event
//!              ├── time for a heartbeat, or the other end is gone
//!              └── the session ends: show what is left, say goodbye
//! ```
//!
//! It queues nothing: an event leaves its run's log when the socket takes it. So a client that reads slowly makes its
//! programs wait, each for itself, and memory does not grow.
//!
//! When the connection is gone, a run that nobody can see again is abandoned.

mod frames;
mod link;
mod request;
mod runs;
mod share;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use agb_protocol::DEFAULT_TARGET;
use agb_protocol::service::{PONG, Reply, Request};
use axum::http::StatusCode;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use self::frames::Frames;
pub(crate) use self::frames::{open, passed_on};
use self::link::{DisconnectReason, Link, Turn};
use self::request::read_request;
use self::share::{Share, rest};
use crate::auth::access::AccessGrant;
use crate::listen::cut::Cut;
use crate::listen::http::error::ApiError;
use crate::listen::meter::ReadMeter;
use crate::run::{Cursor, MAX_CHUNK, Ready, ReadyRuns, Run, Shown};
use crate::session::{Session, gone};

/// A client's WebSocket.
pub(crate) type Socket = WebSocketStream<Frames<TokioIo<Upgraded>>>;

/// One WebSocket of one session, and the runs that it shows.
pub(crate) struct Connection {
    session: Arc<Session>,
    link: Link<TokioIo<Upgraded>>,
    ready: Arc<ReadyRuns>,
    shown: HashMap<String, Arc<Run>>,
    /// Frames that belong to no run that goes on: refusals.
    replies: VecDeque<Utf8Bytes>,
    /// Messages that meant nothing.
    nonsense: u32,
    /// The client has asked for extensions.
    answers_pings: bool,
    grant: AccessGrant,
    /// Bytes of a message that is not finished.
    meter: ReadMeter,
    /// Nothing is read before: the client has asked for as much as its session may.
    read_at: Option<Instant>,
}

/// How a connection came to its end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// By the other end, or the network: there is nobody to talk to.
    Lost(DisconnectReason),
    /// By us, with a word.
    Goodbye(u16, &'static str),
}

/// While so many refusals wait, nothing more is read.
const MAX_REPLIES: usize = 64;
/// So many messages that mean nothing are one client's mistake; more are an attack.
const MAX_NONSENSE: u32 = 100;
/// The published clients make 32 characters. It is in every frame, so it must stay short.
pub(crate) const MAX_INVOCATION: usize = 256;
/// How long the last events of a released session may take to go out.
pub(crate) const LAST_WORDS: Duration = Duration::from_secs(1);

/// What the holder of an access hears at its end.
const EXPIRED: &str = "the access has expired: have your server renew it or give a new one";

/// WebSocket close codes.
mod close {
    /// A message above the limit.
    pub(super) const TOO_LARGE: u16 = 1009;
    /// Not now: full, or asked too often (IANA's registry of close codes: "Try Again Later").
    pub(super) const LATER: u16 = 1013;
    /// Against the rules of this protocol.
    pub(super) const POLICY: u16 = 1008;
    /// The token opens nothing, or nothing any more. Reads as 401.
    pub(super) const UNAUTHORIZED: u16 = 4401;
    /// The token, or the page's origin, opens something else. Reads as 403.
    pub(super) const FORBIDDEN: u16 = 4403;
    /// What a close frame can carry (RFC 6455, section 5.5), less the code.
    pub(super) const MOST_REASON: usize = 123;
    /// The session is no more. (4000 and above are free for applications; this one reads as 404.)
    pub(super) const SESSION_GONE: u16 = 4404;
}

impl Connection {
    /// Serves a client until it or its session is gone.
    pub(crate) async fn serve(
        socket: Socket,
        session: Arc<Session>,
        grant: AccessGrant,
        (meter, cut): (ReadMeter, Cut),
    ) {
        meter.begin(session.budget().nothing());
        let link = Link::new(socket);
        let mut connection = Self {
            session,
            link,
            ready: Arc::new(ReadyRuns::of(cut)),
            shown: HashMap::new(),
            replies: VecDeque::new(),
            nonsense: 0,
            answers_pings: false,
            grant,
            meter,
            read_at: None,
        };
        if connection.grant.may_run().is_ok() {
            connection.session.touch(); // whoever only watches does not keep the session
        }
        tracing::debug!(session = connection.session.id(), grant = %connection.grant, "connected");
        let end = connection.talk().await;
        tracing::debug!(session = connection.session.id(), ?end, runs = connection.shown.len(), "disconnected");
        for run in connection.shown.into_values() {
            run.leave(&connection.ready);
        }
        if let End::Goodbye(code, reason) = end {
            connection.link.close(code, reason).await;
        }
    }

    /// Tells a browser's client why it may not come in.
    pub(crate) async fn turn_away(socket: Socket, error: &ApiError) {
        let code = match error.kind().1 {
            StatusCode::UNAUTHORIZED => close::UNAUTHORIZED,
            StatusCode::FORBIDDEN => close::FORBIDDEN,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => close::LATER,
            status if status.is_server_error() => close::LATER,
            _ => close::SESSION_GONE,
        };
        let mut reason = error.to_string();
        if reason.len() > close::MOST_REASON {
            reason.truncate(reason.floor_char_boundary(close::MOST_REASON));
            reason.truncate(reason.rfind("; ").unwrap_or(reason.len())); // what to do is cut as a whole
        }
        Link::new(socket).close(code, reason).await;
    }

    async fn talk(&mut self) -> End {
        let limits = self.session.config().limits.clone();
        let mut heartbeat = interval_at(Instant::now() + limits.heartbeat, limits.heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ping_due = false;
        let mut stage = self.session.watch_stage();
        let mut last_words: Option<Instant> = None;
        let (ready, session) = (Arc::clone(&self.ready), Arc::clone(&self.session));
        let mut share = Share::default();
        loop {
            if self.grant.is_expired() {
                return End::Goodbye(close::UNAUTHORIZED, EXPIRED);
            }
            let can_show = ping_due || !self.replies.is_empty() || !self.ready.is_empty();
            if last_words.is_some() && !can_show && self.shown.is_empty() {
                return End::Goodbye(close::SESSION_GONE, self.session.end_reason());
            }
            // Who comes to a run and leaves it, again and again, makes no reply, but a turn each time.
            self.read_at.take_if(|at| *at <= Instant::now());
            let can_read = self.read_at.is_none()
                && self.replies.len() < MAX_REPLIES
                && self.ready.len() <= self.shown.len().saturating_add(MAX_REPLIES);
            let deadline = self.link.deadline(limits.silence_timeout, limits.write_timeout);
            let deadline = last_words.map_or(deadline, |until| deadline.min(until));
            let turn = tokio::select! {
                turn = self.link.turn(can_read, can_show) => turn,
                () = ready.pushed() => continue,
                _ = heartbeat.tick() => {
                    ping_due = true;
                    continue;
                }
                () = self.grant.expired() => {
                    return End::Goodbye(close::UNAUTHORIZED, EXPIRED);
                }
                () = gone(&mut stage), if last_words.is_none() => {
                    last_words = Some(Instant::now() + LAST_WORDS);
                    continue;
                }
                () = sleep_until(self.read_at.unwrap_or(deadline)), if self.read_at.is_some() => continue,
                () = sleep_until(deadline) => {
                    return match last_words {
                        Some(_) => End::Goodbye(close::SESSION_GONE, self.session.end_reason()),
                        None => End::Lost(DisconnectReason::Broken("the client reads or answers nothing any more".to_owned())),
                    };
                }
            };
            let result = match turn {
                Turn::Incoming(message) => share.spend(session.connections_turn(), self.take(message)).await,
                Turn::Busy => {
                    rest(session.connections_turn()).await;
                    Ok(())
                }
                Turn::Writable => self.show(std::mem::take(&mut ping_due)),
                Turn::Lost(DisconnectReason::Unread) => {
                    Err(End::Goodbye(close::POLICY, "too many pings whose answers are not read"))
                }
                Turn::Lost(DisconnectReason::TooLarge) => {
                    Err(End::Goodbye(close::TOO_LARGE, "the message is larger than this server takes"))
                }
                Turn::Lost(loss) => Err(End::Lost(loss)),
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    /// Sends what is due: a ping, refusals, and then an event of each run in turn, until about one chunk is under way.
    fn show(&mut self, ping_due: bool) -> Result<(), End> {
        if ping_due {
            self.link.send(Message::Ping(Vec::new().into())).map_err(End::Lost)?;
        }
        let mut sent = 0;
        while sent < MAX_CHUNK && self.link.takes_more() {
            let Some(shown) = self.next_frame() else { break };
            sent += shown.text.len();
            self.link.send_text(shown.text, shown.held).map_err(End::Lost)?;
        }
        Ok(())
    }

    fn next_frame(&mut self) -> Option<Shown> {
        if let Some(reply) = self.replies.pop_front() {
            return Some(Shown::small(reply));
        }
        while let Some(ready) = self.ready.pop() {
            match ready {
                Ready::Run(run) => {
                    let Some(shown) = run.show(&self.ready) else { continue };
                    if shown.is_end {
                        self.shown.remove(run.id());
                    }
                    return Some(shown);
                }
                Ready::Lost(run, why) => {
                    if self.shown.remove(run.id()).is_some() {
                        run.unwatch(&self.ready); // it may have come back before it heard
                        return Some(Shown::small(failed(run.id(), why)));
                    }
                }
            }
        }
        None
    }

    async fn take(&mut self, message: Message) -> Result<(), End> {
        match message {
            Message::Text(text) => self.request(text).await,
            // Seen from clients that hand over bytes: the same JSON.
            Message::Binary(bytes) => match Utf8Bytes::try_from(bytes) {
                Ok(text) => self.request(text).await,
                Err(_) => {
                    self.meter.finished();
                    self.nonsense()
                }
            },
            // Answered below us. They come between the parts of a message as well (RFC 6455, section 5.4), which goes on
            // counting.
            Message::Ping(payload) | Message::Pong(payload) => {
                self.meter.passed(payload.len());
                Ok(())
            }
            // What follows a close is the end of the stream; single frames are only written.
            Message::Close(_) | Message::Frame(_) => Ok(()),
        }
    }

    async fn request(&mut self, text: Utf8Bytes) -> Result<(), End> {
        let request = read_request(self.session.budget(), text).await;
        // Until here it counts.
        self.meter.finished();
        match request {
            Some(request) => self.obey(request),
            None => self.nonsense(),
        }
    }

    fn obey(&mut self, request: Request) -> Result<(), End> {
        match request {
            Request::Ping => {
                // Published clients know no answer; ours wants one where it has no ping frames.
                if self.answers_pings && self.replies.is_empty() {
                    self.replies.push_back(Utf8Bytes::from_static(PONG));
                }
                Ok(())
            }
            Request::Start { invocation, start, .. } => {
                self.pay();
                self.start(invocation, start)
            }
            Request::StartCommand { invocation, start } => {
                self.pay();
                self.start_command(invocation, start)
            }
            Request::Leave { invocation } => {
                if let Some(run) = self.shown.remove(&invocation) {
                    run.leave(&self.ready);
                }
                Ok(())
            }
            Request::Signal { invocation, signal, seq } => {
                self.order(&invocation, |run| run.take_signal(&signal, seq));
                Ok(())
            }
            Request::Resize { invocation, size, seq } => {
                self.order(&invocation, |run| run.take_size(size, seq));
                Ok(())
            }
            Request::Cancel { invocation } => match self.grant.may_run() {
                Ok(()) => {
                    if let Some(run) = self.session.run(&invocation) {
                        run.interrupt();
                    }
                    Ok(())
                }
                Err(_) => self.stop_watching(&invocation),
            },
            Request::Ack { invocation, seq } => {
                // Not only of those that are shown: the last acknowledgement comes behind the end.
                if let Some(run) = self.shown.get(&invocation).cloned().or_else(|| self.session.run(&invocation)) {
                    run.acknowledge(&self.ready, seq);
                }
                Ok(())
            }
            Request::Resume { invocation, after_seq, ack_seq, window } => {
                self.pay();
                let window = window.map(|window| window.min(self.session.config().limits.max_window));
                self.resume(invocation, Cursor { after: after_seq, taken: ack_seq, window })
            }
            Request::Stdin { invocation, data, eof, seq } => {
                self.order(&invocation, |run| run.take_stdin(data, eof, seq));
                Ok(())
            }
            Request::Unknown { invocation: Some(invocation), what } if !self.shown.contains_key(&invocation) => {
                let message = format!(
                    "this server knows no request {what:?}; it knows run_code (mode stream, resume), run_command (mode stream), cancel, ack, stdin, signal, resize and leave"
                );
                self.nonsense()?;
                self.fail(&invocation, &message)
            }
            Request::Unknown { .. } => self.nonsense(),
        }
    }

    /// Counts a message that costs as a call does, and reads no more until another may come.
    fn pay(&mut self) {
        let wait = self.session.message(&self.grant);
        self.read_at = (!wait.is_zero()).then(|| Instant::now() + wait);
    }

    /// Carries out what somebody who may run has ordered of a run; an observer is refused.
    fn order(&mut self, invocation: &str, order: impl FnOnce(&Arc<Run>)) {
        match self.grant.may_run() {
            Ok(()) => {
                if let Some(run) = self.session.run(invocation) {
                    order(&run);
                }
            }
            Err(denied) if self.shown.contains_key(invocation) => {
                let reply = Reply { invocation, source: DEFAULT_TARGET, seq: None, time: None };
                self.replies.push_back(reply.input_refused(&denied.to_string()).into());
            }
            Err(_) => {}
        }
    }

    fn fail(&mut self, invocation: &str, message: &str) -> Result<(), End> {
        if invocation.len() > MAX_INVOCATION {
            return Err(End::Goodbye(close::POLICY, "the invocationId is longer than 256 bytes"));
        }
        self.replies.push_back(failed(invocation, message));
        Ok(())
    }

    fn nonsense(&mut self) -> Result<(), End> {
        self.nonsense += 1;
        if self.nonsense > MAX_NONSENSE {
            return Err(End::Goodbye(close::POLICY, "too many messages that are not requests"));
        }
        Ok(())
    }
}

/// The frame that says that a run cannot be had.
fn failed(invocation: &str, message: &str) -> Utf8Bytes {
    Reply { invocation, source: DEFAULT_TARGET, seq: None, time: None }.failed(message).into()
}
