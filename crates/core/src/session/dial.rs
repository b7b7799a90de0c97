//! A socket or an event stream: when to open it, when to try again, when it is dead.

use std::time::Duration;

use super::SessionConfig;
use crate::disconnect_reason::DisconnectReason;
use crate::io::{Capabilities, LinkId, OpenRequest, State};
use crate::secret::Secret;
use crate::time::{Instant, seconds};
use agb_protocol::random::SplitMix64;

/// A link's state machine. It knows nothing of runs.
#[derive(Debug)]
pub(super) struct Dial {
    kind: Kind,
    state: State,
    link: Option<LinkId>,
    wants_open: bool,
    wants_close: Option<(LinkId, u16)>,
    wants_ping: bool,
    retry_at: Option<Instant>,
    open_by: Option<Instant>,
    ping_at: Option<Instant>,
    silent_at: Option<Instant>,
    received_at: Instant,
    opened_at: Instant,
    /// The link has brought something new of a run.
    has_progressed: bool,
    /// Links in a row that did not [work](Self::has_worked).
    failures: u32,
    /// A link worked once, and was lost.
    was_cut: bool,
    last_reason: Option<DisconnectReason>,
}

/// What is dialed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// A WebSocket: a quiet one is asked for a sign of life.
    Socket,
    /// An event stream, which gives signs of life by itself.
    Events,
}

/// What a timer of the connection came to.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Alarm {
    /// The link was given up for this reason.
    Lost(DisconnectReason),
    /// It is time for a heartbeat.
    Ping,
}

impl Dial {
    /// Our own close code for a peer that went silent: 4000 to 4999 are for private use (RFC 6455, section 7.4.2).
    const SILENT: u16 = 4000;

    pub(super) const fn new(kind: Kind) -> Self {
        Self {
            kind,
            state: State::Idle,
            link: None,
            wants_open: false,
            wants_close: None,
            wants_ping: false,
            retry_at: None,
            open_by: None,
            ping_at: None,
            silent_at: None,
            received_at: Instant::ORIGIN,
            opened_at: Instant::ORIGIN,
            has_progressed: false,
            failures: 0,
            was_cut: false,
            last_reason: None,
        }
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    pub(super) fn is_link(&self, link: LinkId) -> bool {
        self.link == Some(link)
    }

    /// The link to send on.
    pub(super) fn open_link(&self) -> Option<LinkId> {
        self.link.filter(|_| self.state == State::Open)
    }

    /// Why the last socket was lost.
    pub(super) fn last_reason(&self) -> DisconnectReason {
        self.last_reason.clone().unwrap_or_else(|| DisconnectReason::Broken("no connection was made in time".into()))
    }

    /// Makes sure that a socket is open, being opened, or going to be.
    pub(super) fn want(&mut self) {
        if self.state == State::Idle {
            self.state = State::Connecting { attempt: 0 };
            self.wants_open = true;
        }
    }

    pub(super) fn opened(&mut self, now: Instant, config: &SessionConfig) {
        self.state = State::Open;
        self.open_by = None;
        self.ping_at = (self.kind == Kind::Socket).then(|| now + config.heartbeat);
        self.note_received(now, config);
        self.opened_at = now;
        self.has_progressed = false;
    }

    /// The link has brought something new of a run.
    pub(super) const fn note_progress(&mut self) {
        self.has_progressed = true;
    }

    /// Whether the link was worth opening: it brought something new of a run, or it stood for as long as the longest
    /// wait between attempts, so that opening links like it costs no more than trying in vain.
    fn has_worked(&self, now: Instant, config: &SessionConfig) -> bool {
        self.state == State::Open && (self.has_progressed || now >= self.opened_at + config.backoff_most)
    }

    /// Counts the link that was just lost. Gives the number of links in a row that did not work, this one included:
    /// 0 if it did.
    pub(super) fn count_failure(&mut self, now: Instant, config: &SessionConfig) -> u32 {
        let worked = self.has_worked(now, config);
        self.failures = if worked { 0 } else { self.failures.saturating_add(1) };
        self.was_cut |= worked;
        self.failures
    }

    /// Whether this kind of link is to be left for another: several came to nothing, or one was cut and the next could
    /// not even be opened. Ask before [`lost`](Self::lost).
    pub(super) fn is_hopeless(&self, config: &SessionConfig) -> bool {
        let cut = u32::from(self.was_cut && self.state != State::Open);
        self.failures > 0 && self.failures + cut >= config.socket_attempts
    }

    /// The peer said something.
    pub(super) fn note_received(&mut self, now: Instant, config: &SessionConfig) {
        let open = self.kind == Kind::Events && self.state == State::Open;
        self.silent_at = open.then(|| now + config.silence);
        self.received_at = now;
    }

    /// Whether the open link has said nothing for longer than this. Then it is asked, and has as long to answer.
    pub(super) fn doubts(&mut self, now: Instant, patience: Duration) -> bool {
        let doubts = self.state == State::Open && now > self.received_at + patience;
        if doubts {
            self.wants_ping = true;
            self.silent_at = Some(now + patience);
        }
        doubts
    }

    /// The link is gone and has been [counted](Self::count_failure). `again` tells whether another one is needed.
    pub(super) fn lost(
        &mut self,
        now: Instant,
        reason: DisconnectReason,
        again: bool,
        config: &SessionConfig,
        rng: &mut SplitMix64,
    ) {
        self.forget();
        self.last_reason = Some(reason);
        if self.state == State::Closed {
            return;
        }
        if again {
            self.state = State::Waiting { attempt: self.failures };
            // A link that worked and broke was cut on the way: its service is there.
            let base = if self.failures == 0 { config.reopen } else { grown(self.failures - 1, config) };
            self.retry_at = Some(now + jittered(base, config, rng));
        } else {
            self.state = State::Idle;
        }
    }

    /// Nobody needs the connection that is being waited for.
    pub(super) fn unwant(&mut self) {
        if matches!(self.state, State::Waiting { .. }) {
            self.state = State::Idle;
            self.retry_at = None;
        }
    }

    /// Another link was lost for this reason, in the place of this one.
    pub(super) fn note(&mut self, loss: DisconnectReason) {
        self.last_reason = Some(loss);
    }

    /// The link is gone, and none is wanted.
    pub(super) fn leave(&mut self, loss: DisconnectReason) {
        self.forget();
        self.last_reason = Some(loss);
        self.retry_at = None;
        self.state = State::Idle;
    }

    /// Hangs up, for good.
    pub(super) fn close(&mut self) {
        self.part(1000);
        self.retry_at = None;
        self.state = State::Closed;
    }

    /// Hangs up, until a link is [wanted](Self::want) again.
    pub(super) fn rest(&mut self) {
        if self.state != State::Closed {
            self.close();
            self.state = State::Idle;
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.retry_at, self.open_by, self.ping_at, self.silent_at].into_iter().flatten().min()
    }

    /// One alarm that is due. Call until there is none.
    pub(super) fn alarm(&mut self, now: Instant, capabilities: Capabilities, config: &SessionConfig) -> Option<Alarm> {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.open_by) {
            self.part(1000);
            return Some(Alarm::Lost(DisconnectReason::Broken(within("no connection", config.open_timeout))));
        }
        if due(self.silent_at) {
            self.part(Self::SILENT);
            return Some(Alarm::Lost(DisconnectReason::Broken(within("nothing was heard", config.silence))));
        }
        if due(self.retry_at) {
            self.retry_at = None;
            if let State::Waiting { attempt } = self.state {
                self.state = State::Connecting { attempt };
                self.wants_open = true;
            }
        }
        if due(self.ping_at) {
            self.ping_at = Some(now + config.heartbeat);
            self.wants_ping = true;
            // Silence counts from a question that has an answer, however late the question came: a browser slows the
            // clock of a hidden page down. A quiet service that need not answer says nothing by its silence.
            if self.silent_at.is_none() && (capabilities.ping || config.extensions.heartbeat) {
                self.silent_at = Some(now + config.silence.saturating_sub(config.heartbeat));
            }
            return Some(Alarm::Ping);
        }
        None
    }

    /// Links in a row that did not work.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn poll_close(&mut self) -> Option<(LinkId, u16)> {
        self.wants_close.take()
    }

    /// Whether a link is to be opened; `next` is its number, if it is.
    pub(super) fn poll_open(&mut self, now: Instant, config: &SessionConfig, next: &mut u32) -> Option<LinkId> {
        if !std::mem::take(&mut self.wants_open) {
            return None;
        }
        let link = LinkId(*next);
        *next = next.wrapping_add(1);
        self.link = Some(link);
        self.open_by = Some(now + config.open_timeout);
        Some(link)
    }

    pub(super) fn poll_ping(&mut self) -> Option<LinkId> {
        if std::mem::take(&mut self.wants_ping) { self.open_link() } else { None }
    }

    fn part(&mut self, code: u16) {
        if let Some(link) = self.link {
            self.wants_close = Some((link, code));
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.link = None;
        self.wants_open = false;
        self.wants_ping = false;
        self.open_by = None;
        self.ping_at = None;
        self.silent_at = None;
    }
}

/// The token goes into a header where there are headers, else into a sub-protocol, never into the URL (wire part 2).
pub(super) fn open_request(capabilities: Capabilities, config: &SessionConfig) -> OpenRequest {
    let (headers, protocols) = if capabilities.headers {
        (vec![("X-Access-Token", config.token.clone())], vec![])
    } else {
        let token = Secret::new(format!("agb.token.{}", config.token.expose()));
        (vec![], vec![Secret::new("agb.v1"), token])
    };
    OpenRequest { url: config.url.clone(), headers, protocols, events: None }
}

/// The wait before this attempt.
fn grown(attempt: u32, config: &SessionConfig) -> Duration {
    let grow = |wait: Duration, _| if wait < config.backoff_most { wait + wait / 2 } else { wait };
    (0..attempt.min(32)).fold(config.backoff_first, grow)
}

/// Half to one and a half times: clients that lost the same server must not all come back at once.
fn jittered(wait: Duration, config: &SessionConfig, rng: &mut SplitMix64) -> Duration {
    let jitter = 512 + (rng.next_u64() % 1024) as u32;
    (wait.min(config.backoff_most) / 1024 * jitter).min(config.backoff_most)
}

fn within(what: &str, time: Duration) -> String {
    format!("{what} within {} s", seconds(time))
}
