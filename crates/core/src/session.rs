//! The state machine of one session's connection and of the runs on it.

mod beginning;
mod config;
mod connection;
mod dial;
mod ends;
mod external;
mod fallback;
mod input;
mod leave;
mod messages;
mod outbox;
mod runs;
mod streams;
#[cfg(test)]
mod tests;
mod unconfirmed;

use beginning::Beginning;
pub use config::SessionConfig;
use dial::{Alarm, Dial, Kind};
use outbox::{Frame, Outbox};
use runs::{Phase, Reader, Run, Runs};
use streams::Streams;

use crate::batch::Batch;
use crate::command::CommandRequest;
use crate::io::{Capabilities, Event, Input, LinkId, Output, State};
use crate::run::{Rejected, RunError, RunId, RunRequest};
use crate::time::Instant;
use crate::wire::ACK_WITHIN;
use crate::wire::envelope::Envelopes;
use crate::wire::outgoing::{Address, PING};
use agb_protocol::random::SplitMix64;

/// One session's connection, and the runs on it, without a socket and without a clock.
///
/// Its methods are of three kinds: **commands** of the application ([`run`](Self::run), [`write`](Self::write),
/// [`cancel`](Self::cancel), [`abandon`](Self::abandon), [`read`](Self::read), [`close`](Self::close)), **inputs** of
/// the driver ([`handle_input`](Self::handle_input), [`handle_timeout`](Self::handle_timeout)), and **the drain**
/// ([`poll_output`](Self::poll_output)). After a command or an input, drain until [`Output::Idle`].
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    capabilities: Capabilities,
    rng: SplitMix64,
    /// The latest time that anybody told.
    now: Instant,
    dial: Dial,
    /// The deadline that the driver waits for.
    awaited: Option<Instant>,
    /// The network lets no WebSocket through: runs have event streams instead, from now on.
    fell_back: bool,
    /// The WebSocket is to be [hung up](Self::rest).
    rests: bool,
    streams: Streams,
    next_link: u32,
    runs: Runs,
    outbox: Outbox,
    backlog: usize,
    paused: bool,
    notified_state: State,
    envelopes: Envelopes,
}

impl Session {
    /// A session that is not connected yet. `seed` makes the ids on the wire and the jitter: take it from the system's
    /// random source, for two sessions with one seed would use the same ids.
    #[must_use]
    pub fn new(config: SessionConfig, capabilities: Capabilities, seed: u64) -> Self {
        Self {
            config,
            capabilities,
            rng: SplitMix64::new(seed),
            now: Instant::ORIGIN,
            dial: Dial::new(Kind::Socket),
            awaited: None,
            fell_back: false,
            rests: false,
            streams: Streams::default(),
            next_link: 0,
            runs: Runs::default(),
            outbox: Outbox::default(),
            backlog: 0,
            paused: false,
            notified_state: State::Idle,
            envelopes: Envelopes::default(),
        }
    }

    // Commands ------------------------------------------------------------------------------------------------------

    /// Connects before there is anything to run. Runs connect by themselves.
    pub fn connect(&mut self, now: Instant) {
        self.advance(now);
        if !self.has_fallen_back() {
            self.dial.want();
        }
    }

    /// Starts a run. It is sent when there is a connection.
    ///
    /// # Errors
    /// [`Rejected`] when the session is closed or too much waits to be sent. The code has then not been run.
    pub fn run(&mut self, now: Instant, request: RunRequest) -> Result<RunId, Rejected> {
        self.start(now, Beginning::Code(request))
    }

    /// Starts a command, as [`run`](Self::run) does code (extension `command`).
    ///
    /// # Errors
    /// [`Rejected`], also where the service does not follow commands.
    pub fn run_command(&mut self, now: Instant, request: CommandRequest) -> Result<RunId, Rejected> {
        if !self.config.extensions.command {
            return Err(Rejected::NoCommands);
        }
        self.start(now, Beginning::Command(request))
    }

    fn start(&mut self, now: Instant, request: Beginning) -> Result<RunId, Rejected> {
        self.advance(now);
        if self.dial.state() == State::Closed {
            return Err(Rejected::Closed);
        }
        let limit = self.config.unsent_limit;
        if self.outbox.bytes().saturating_add(request.size()) > limit {
            return Err(Rejected::Full { limit });
        }
        let invocation = self.rng.wire_id();
        let text = request.start(self.address(&invocation), self.config.extensions, self.config.window);
        Ok(self.begin(Run::new(invocation, Some(request)), text))
    }

    /// Continues a run that was begun elsewhere, by another process or a page that was reloaded (extension `resume`):
    /// everything behind the event with the number `after` comes, as if it had been begun here.
    ///
    /// # Errors
    /// [`Rejected`] when the session is closed or its service cannot resume.
    pub fn attach(&mut self, now: Instant, invocation: &str, after: u64) -> Result<RunId, Rejected> {
        self.advance(now);
        if self.dial.state() == State::Closed {
            return Err(Rejected::Closed);
        }
        if !self.config.extensions.resume {
            return Err(Rejected::NotOffered);
        }
        if let Some(id) = self.runs.find(invocation) {
            if self.runs.get(id).is_some_and(|run| run.reader == Reader::Reads) {
                return Err(Rejected::Taken);
            }
            self.end(id, Err(RunError::Closed)); // only its confirmation was waited for
        }
        let mut run = Run::new(invocation.to_owned(), None);
        (run.seq, run.acked, run.stamp.seq) = (after, after, after);
        let text =
            self.address(invocation).resume(after, after, self.config.extensions.flow.then_some(self.config.window));
        Ok(self.begin(run, text))
    }

    fn begin(&mut self, run: Run, text: String) -> RunId {
        let id = self.runs.insert(run);
        let give_up_at = self.now + self.config.give_up;
        if let Some(run) = self.runs.get_mut(id) {
            run.give_up_at = give_up_at;
        }
        self.runs.set_deadline(id, give_up_at);
        if self.has_fallen_back() {
            self.streams.add(id);
        } else {
            self.outbox.push(Frame { run: id, begins: true, text });
            self.dial.want();
        }
        id
    }

    /// Keeps the [stamps](Batch::stamps) of a run's pieces, which cost 24 bytes a piece. To be said before anything of it
    /// has come.
    pub fn keep_stamps(&mut self, id: RunId) {
        if let Some(run) = self.runs.get_mut(id) {
            run.unread.keep_stamps();
        }
    }

    /// The run's id on the wire, until it ends for its reader.
    #[must_use]
    pub fn invocation(&self, id: RunId) -> Option<&str> {
        let run = self.runs.get(id).filter(|run| run.is_live() && run.reader == Reader::Reads);
        run.map(|run| run.invocation.as_str())
    }

    /// Stops a run. Where the service can interrupt programs the run ends with its confirmation, at the latest after
    /// [`SessionConfig::cancel_wait`]; elsewhere it ends here and now. Without effect after the end.
    pub fn cancel(&mut self, now: Instant, id: RunId) {
        self.advance(now);
        let Some(run) = self.runs.get(id) else { return };
        match run.phase {
            Phase::Ended | Phase::Cancelling => {}
            _ if !run.may_go_on() => self.end(id, Err(RunError::Cancelled { state_lost: false })),
            _ if self.config.extensions.cancel => {
                self.ask_to_stop(id);
                self.runs.set_deadline(id, now + self.config.cancel_wait);
            }
            _ => self.end(id, Err(RunError::CancelUnconfirmed)),
        }
    }

    /// Stops a run that nobody will read. Where the service can interrupt programs this goes on behind the scenes until
    /// it has confirmed, as it does for a cancelled one whose time was up: over the next connection if need be, for at
    /// most [`SessionConfig::give_up`].
    pub fn abandon(&mut self, now: Instant, id: RunId) {
        self.advance(now);
        let goes_on = self.runs.get(id).is_some_and(|run| run.goes_on);
        self.runs.abandon(id);
        if goes_on {
            self.leave(now, id);
        } else {
            self.stop(id, RunError::CancelUnconfirmed);
        }
    }

    /// The next batch of a run. `None`: nothing yet ([`Event::Readable`] will come), or all is read. The batch with
    /// [`Batch::end`] is the last one.
    ///
    /// Asking for it says that the one before is dealt with: a service with `flow` may send more, and one with `resume`
    /// forget it. So whoever dies over a batch, its end included, finds it there again by [`attach`](Self::attach).
    pub fn read(&mut self, now: Instant, id: RunId) -> Option<Batch> {
        let (weight, seq) = self.runs.get(id).map(|run| run.in_flight).unwrap_or_default();
        self.ack(now, id, weight, seq);
        self.read_ahead(now, id)
    }

    /// The same for an application that reads ahead of what it deals with, which it says by [`ack`](Self::ack).
    pub fn read_ahead(&mut self, now: Instant, id: RunId) -> Option<Batch> {
        self.advance(now);
        let batch = self.runs.read(id)?;
        if let Some(run) = self.runs.get_mut(id) {
            run.in_flight = (run.in_flight.0 + batch.memory_size(), batch.seq());
        }
        Some(batch)
    }

    /// A batch of this [weight](Batch::memory_size) and number has been dealt with, and all before it.
    pub fn ack(&mut self, now: Instant, id: RunId, weight: usize, seq: u64) {
        self.advance(now);
        let extensions = self.config.extensions;
        let Some(run) = self.runs.get_mut(id) else { return };
        run.in_flight.0 = run.in_flight.0.saturating_sub(weight);
        if extensions.flow || extensions.resume {
            run.unacked += weight;
            run.acked = run.acked.max(seq);
            self.acknowledge(id);
        }
    }

    /// Closes the session's connection for good. Live runs end with [`RunError::Closed`].
    pub fn close(&mut self, now: Instant) {
        self.advance(now);
        self.runs.end_all(&RunError::Closed);
        self.outbox = Outbox::default();
        self.dial.close();
        for stream in self.streams.iter_mut() {
            stream.over = true;
        }
    }

    // Inputs --------------------------------------------------------------------------------------------------------

    /// Something happened to a socket. What a link says after it was lost or closed is ignored.
    pub fn handle_input(&mut self, now: Instant, link: LinkId, input: Input<'_>) {
        self.advance(now);
        if !self.is_link(link) {
            return;
        }
        if !matches!(input, Input::Backlog(_)) {
            self.note_received(link);
        }
        let stream = self.streams.find(link).map(|stream| stream.run);
        match (input, stream) {
            (Input::Opened, None) => self.opened(),
            (Input::Opened, Some(id)) => self.stream_opened(id),
            (Input::Text(text), _) => self.text(text),
            (Input::Alive, Some(id)) => self.stream_alive(id),
            (Input::Alive, None) | (Input::Backlog(_), Some(_)) => {}
            (Input::Backlog(bytes), None) => self.backlog = bytes,
            (Input::Lost(loss), None) => self.lost(loss.hiding(&self.config.token)),
            (Input::Lost(loss), Some(id)) => self.stream_lost(id, loss.hiding(&self.config.token)),
        }
    }

    /// The deadline has come. Calling early or twice is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        // A process that slept, or a clock that leapt: nobody was there to be late.
        if let Some(leap) = self.awaited.take().map(|at| now - at).filter(|late| *late > self.config.grace) {
            self.runs.put_off(leap);
        }
        if self.paused {
            self.note_received_all(); // whoever does not listen cannot complain of silence
        }
        while let Some(alarm) = self.dial.alarm(now, self.capabilities, &self.config) {
            match alarm {
                Alarm::Lost(loss) => self.unanswered(loss),
                Alarm::Ping => {}
            }
        }
        let (capabilities, config) = (self.capabilities, &self.config);
        let alarms = self.streams.iter_mut().filter_map(|stream| {
            let Alarm::Lost(loss) = stream.dial.alarm(now, capabilities, config)? else { return None };
            Some((stream.run, loss))
        });
        for (id, loss) in alarms.collect::<Vec<_>>() {
            self.stream_lost(id, loss);
        }
        for id in self.runs.live_ids(|run| run.deadline.is_some_and(|at| at <= now)) {
            self.expire(id);
        }
    }

    // The drain -----------------------------------------------------------------------------------------------------

    /// What to do next. Call until it says [`Output::Idle`], and only then wait.
    pub fn poll_output(&mut self) -> Output {
        self.rest_if_unused();
        if let Some((link, code)) = self.dial.poll_close() {
            return Output::Close(link, code);
        }
        let outbox = &self.outbox;
        if let Some((link, code)) = self.streams.poll_close(|run| outbox.has(run)) {
            return Output::Close(link, code);
        }
        if let Some(link) = self.dial.poll_open(self.now, &self.config, &mut self.next_link) {
            self.backlog = 0;
            return Output::Open(link, dial::open_request(self.capabilities, &self.config));
        }
        if self.has_fallen_back() {
            if let Some(open) = self.open_stream() {
                return open;
            }
            let streams = &self.streams;
            if let Some(frame) = self.outbox.pop_of(|run| streams.link_of(run).is_some())
                && let Some(link) = self.streams.link_of(frame.run)
            {
                return Output::Send(link, frame.text);
            }
        }
        if self.notified_state != self.dial.state() {
            self.notified_state = self.dial.state();
            return Output::Event(Event::State(self.notified_state));
        }
        if let Some(link) = self.dial.poll_ping() {
            return if self.capabilities.ping { Output::Ping(link) } else { Output::Send(link, PING.into()) };
        }
        if let Some(link) = self.dial.open_link()
            && self.backlog < self.config.backlog_high
            && let Some(text) = self.next_frame()
        {
            self.backlog += text.len(); // until the driver says how much is left of it
            return Output::Send(link, text);
        }
        if let Some(id) = self.runs.poll_readable() {
            return Output::Event(Event::Readable(id));
        }
        let deadlines = [self.dial.deadline(), self.streams.deadline(), self.runs.deadline()];
        let deadline = deadlines.into_iter().flatten().min();
        self.awaited = deadline;
        Output::Idle { deadline, read: self.wants_read() }
    }

    /// Whether something waits to be sent: then [`poll_output`](Self::poll_output) has it, once there is a connection.
    #[must_use]
    pub const fn has_unsent(&self) -> bool {
        self.outbox.bytes() > 0
    }

    /// Whether reading the socket is paused, as [`Output::Idle`] said last: what is read of the runs may let it go on.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// The connection's state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.dial.state()
    }

    /// How often a run was found again after its connection was lost. 0 for a run whose end has been read: there
    /// [`Batch::interruptions`] has it.
    #[must_use]
    pub fn interruptions(&self, id: RunId) -> u32 {
        self.runs.get(id).map_or(0, |run| run.interruptions)
    }

    // The connection ------------------------------------------------------------------------------------------------

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn is_link(&mut self, link: LinkId) -> bool {
        self.dial.is_link(link) || self.streams.find(link).is_some()
    }

    fn note_received(&mut self, link: LinkId) {
        match self.streams.find(link) {
            Some(stream) => stream.dial.note_received(self.now, &self.config),
            None => self.dial.note_received(self.now, &self.config),
        }
    }

    fn note_received_all(&mut self) {
        self.dial.note_received(self.now, &self.config);
        for stream in self.streams.iter_mut() {
            stream.dial.note_received(self.now, &self.config);
        }
    }

    fn wants_read(&mut self) -> bool {
        // With `flow` every run has a window of its own, and pausing the socket would hold back the others: only a
        // service that oversteps its windows is paused.
        let windows =
            if self.config.extensions.flow { self.config.window.saturating_mul(self.runs.live().count()) } else { 0 };
        let unread = self.runs.unread();
        if self.paused {
            self.paused = unread > self.config.resume_below.saturating_add(windows);
            if !self.paused {
                self.note_received_all();
            }
        } else {
            self.paused = unread > self.config.pause_above.saturating_add(windows);
        }
        !self.paused
    }

    // Runs ----------------------------------------------------------------------------------------------------------

    fn address<'a>(&'a self, invocation: &'a str) -> Address<'a> {
        Address { invocation, target: &self.config.target, bare: self.has_fallen_back() }
    }

    /// Says something on a live run's behalf.
    fn enqueue(&mut self, id: RunId, words: impl FnOnce(Address<'_>) -> String) {
        let Some(run) = self.runs.get(id).filter(|run| run.is_live()) else { return };
        let text = words(self.address(&run.invocation));
        self.outbox.push(Frame { run: id, begins: false, text });
    }

    /// Says how much of a run has been taken, once it is a quarter of the window: so the service never runs dry, and
    /// there are few acknowledgements. And at [`ACK_WITHIN`] at the latest, results and all: a service keeps everything
    /// until then, and has its limits for that.
    fn acknowledge(&mut self, id: RunId) {
        if let Some(run) = self.runs.get_mut(id)
            && run.unacked >= ACK_WITHIN.min(self.config.window / 4)
            && matches!(run.phase, Phase::Sent | Phase::Cancelling)
        {
            run.unacked = 0;
            let taken = run.acked;
            self.enqueue(id, |address| address.ack(taken));
        }
    }

    /// The next frame to send. Sending a run's first words sets its clock, and its input follows.
    fn next_frame(&mut self) -> Option<String> {
        let frame = self.outbox.pop()?;
        if frame.begins
            && let Some(run) = self.runs.get_mut(frame.run)
            && matches!(run.phase, Phase::Queued | Phase::Detached)
        {
            (run.phase, run.maybe_sent) = (Phase::Sent, true);
            self.arm(frame.run, false);
            self.acknowledge(frame.run); // what was read while this waited
            self.enqueue_input(frame.run, 0);
        }
        Some(frame.text)
    }
}
