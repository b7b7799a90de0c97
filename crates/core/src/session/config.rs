//! What a session is told when it is made.

use std::time::Duration;

use crate::operations::SessionData;
use crate::secret::Secret;
use crate::wire::{DEFAULT_TARGET, Extensions};

/// Where a session connects, and its limits. Every default has its reason beside it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionConfig {
    /// `wsUrl` of the session.
    pub url: String,
    /// `linkUrl` of the session, for a network that lets no WebSocket through (extension `http`).
    pub link_url: Option<String>,
    /// `token` of the session.
    pub token: Secret,
    /// The tool server that runs code: `server` of the tool `run_code`.
    pub target: String,
    /// What the service said it knows. Nothing else is used.
    pub extensions: Extensions,
    /// How often to ask a quiet peer for a sign of life. Default 10 s: a third of the 30 s within which a dead server
    /// is to be noticed, so that one lost ping is no alarm.
    pub heartbeat: Duration,
    /// How long a peer may be silent. Default 25 s: two heartbeats and five seconds for a slow network.
    pub silence: Duration,
    /// How long one handshake may take. Default 10 s: TCP and TLS with two lost packets on a mobile network.
    pub open_timeout: Duration,
    /// How many WebSockets in a row may come to nothing before event streams are used, where the service offers them.
    /// Default 2: a proxy that lets none through shows it each time, a server that is being restarted is back by then
    /// or lets neither through. Where no event streams are offered, a run that was never sent is given up after as many
    /// of which the last had no answer within [`open_timeout`](Self::open_timeout).
    pub socket_attempts: u32,
    /// How long a run waits for a first connection, over all attempts, and an interrupted one for a new connection.
    /// Default 30 s: longer than a server's restart, shorter than a person's patience.
    pub give_up: Duration,
    /// Wait before a connection that worked and broke is opened anew. Default 50 ms, half to one and a half times: not
    /// noticed by who watches, and enough to spread those who were cut together.
    pub reopen: Duration,
    /// First wait between attempts. Default 0.5 s, as the published clients.
    pub backoff_first: Duration,
    /// Longest wait between attempts; each is half as long again as the one before. Default 5 s, as they do.
    pub backoff_most: Duration,
    /// How long past its time limit a run may go on without the service ending it. Default 10 s: the service's own
    /// grace before it kills (2 s) and the way back, with room.
    pub grace: Duration,
    /// How long a cancelled run waits for the service to confirm. Default 2.5 s: its own grace before it kills is 2 s.
    pub cancel_wait: Duration,
    /// Bytes of output a service with `flow` may have on its way for one run. Default 1 MiB: a 64 KiB read sixteen
    /// times over keeps a 100 Mbit/s line of 80 ms busy.
    pub window: usize,
    /// Unread bytes of all runs above which reading the socket pauses. Default 4 MiB: measured, more gains nothing.
    pub pause_above: usize,
    /// And below which it goes on. Default 1 MiB, so that it does not flutter.
    pub resume_below: usize,
    /// Unread bytes of one run above which it ends with `Overflow`, on a transport that cannot pause and against a
    /// service without `flow`. Default 64 MiB: a browser tab survives that.
    pub unread_limit: usize,
    /// Bytes that may wait to be sent. Default 16 MiB: generated programs with data inside them are large.
    pub unsent_limit: usize,
    /// Bytes of input that may wait for the service to take them, for one run. Default 1 MiB: as much as our server
    /// keeps for a program that does not read it.
    pub input_limit: usize,
    /// Bytes taken by the transport and not by the wire above which nothing more is handed to it. Default 1 MiB: a
    /// cancelled run's code must not sit in a buffer that can no longer be changed.
    pub backlog_high: usize,
}

impl SessionConfig {
    /// For a session as the service describes it. `None`: the service gave it no WebSocket.
    #[must_use]
    pub fn of(data: &SessionData) -> Option<Self> {
        let mut config = Self::new(data.ws_url.as_deref()?, data.token.clone());
        config.link_url.clone_from(&data.link_url);
        data.run_code_target().clone_into(&mut config.target);
        config.extensions = Extensions::from_names(data.extensions.iter().map(String::as_str));
        Some(config)
    }

    /// The defaults, for this address.
    #[must_use]
    pub fn new(url: impl Into<String>, token: Secret) -> Self {
        Self {
            url: url.into(),
            link_url: None,
            token,
            target: DEFAULT_TARGET.into(),
            extensions: Extensions::default(),
            heartbeat: Duration::from_secs(10),
            silence: Duration::from_secs(25),
            open_timeout: Duration::from_secs(10),
            socket_attempts: 2,
            give_up: Duration::from_secs(30),
            reopen: Duration::from_millis(50),
            backoff_first: Duration::from_millis(500),
            backoff_most: Duration::from_secs(5),
            grace: Duration::from_secs(10),
            cancel_wait: Duration::from_millis(2_500),
            window: 1 << 20,
            pause_above: 4 << 20,
            resume_below: 1 << 20,
            unread_limit: 64 << 20,
            unsent_limit: 16 << 20,
            input_limit: 1 << 20,
            backlog_high: 1 << 20,
        }
    }
}
