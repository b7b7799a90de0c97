//! Runs of a connection: it starts them, comes back to them, or watches them.

use std::sync::Arc;

use agb_protocol::command::StartCommand;
use agb_protocol::service::StartRun;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{Connection, End, MAX_INVOCATION, close};
use crate::run::event::failure;
use crate::run::{self, Cursor, Run, RunOptions};
use crate::session::{NotStarted, Session, Started};

/// What the start of a run hears when too much waits for the client.
const UNREAD: &str =
    "too many runs of this connection have not been read to their end: read what they say, then try again";

impl Connection {
    pub(super) fn start(&mut self, invocation: String, start: StartRun) -> Result<(), End> {
        let once = !start.resume;
        self.answers_pings |= start.is_extended();
        let options = RunOptions::of(&start, &self.session.config().limits, self.session.extensions());
        self.begin(invocation, options, once, |session, id| session.start(id, options, start))
    }

    pub(super) fn start_command(&mut self, invocation: String, start: StartCommand) -> Result<(), End> {
        self.answers_pings = true;
        let options = RunOptions::of_command(&start, &self.session.config().limits, self.session.extensions());
        self.begin(invocation, options, !options.resume, |session, id| session.start_command(id, options, start))
    }

    /// Starts a run and shows it. `once`: the same start once more says nothing new.
    fn begin(
        &mut self,
        invocation: String,
        options: RunOptions,
        once: bool,
        start: impl FnOnce(&Arc<Session>, &str) -> Result<Started, NotStarted>,
    ) -> Result<(), End> {
        if invocation.len() > MAX_INVOCATION {
            return Err(End::Goodbye(close::POLICY, "the invocationId is longer than 256 bytes"));
        }
        let is_shown = self.shown.contains_key(&invocation);
        if is_shown && once && self.grant.may_run().is_ok() {
            // The same start once more: it is under way.
            return Ok(());
        }
        let limits = &self.session.config().limits;
        let started = match self.grant.may_run() {
            Ok(()) if !is_shown && self.is_full() => Err(failure("TooManyRuns", UNREAD).into()),
            Ok(()) => start(&self.session, &invocation),
            Err(denied) => {
                if let Some(run) = self.shown.remove(&invocation) {
                    run.unwatch(&self.ready); // what follows is the end under this id
                }
                Err(failure("NotAllowed", denied.to_string()).into())
            }
        };
        match started {
            Ok(Started::Now(run)) => self.show_run(run, Cursor { window: options.window, ..Cursor::default() }, None),
            Ok(Started::Before(_)) if is_shown => Ok(()),
            Ok(Started::Before(run)) => {
                self.show_run(run, Cursor { window: options.window, ..Cursor::default() }, None)
            }
            Err(NotStarted::Taken(message)) => self.fail(&invocation, &message),
            Err(NotStarted::Refused(failure)) => {
                // An error and an end, as of a run that failed.
                tracing::debug!(session = self.session.id(), invocation, reason = failure.name, "run refused");
                self.replies.extend(run::refusal(&invocation, options, limits, failure));
                Ok(())
            }
        }
    }

    /// Whether so many runs wait to be read, or so much of them, that no other may begin here.
    fn is_full(&self) -> bool {
        let limits = &self.session.config().limits;
        self.shown.len() >= limits.max_runs
            || self.shown.values().map(|run| run.memory()).sum::<usize>() > limits.max_held
    }

    pub(super) fn resume(&mut self, invocation: String, place: Cursor) -> Result<(), End> {
        self.answers_pings = true;
        let limits = &self.session.config().limits;
        match self.session.run(&invocation) {
            Some(run) if self.grant.may_run().is_err() => self.watch(run, place),
            Some(run) => {
                let greeting = run.greeting();
                self.show_run(run, place, Some(greeting))
            }
            None => {
                let kept = limits.resume_retention.as_secs_f64();
                let message =
                    format!("there is no such run (any more): one that has ended can be resumed for {kept} s");
                self.fail(&invocation, &message)
            }
        }
    }

    fn show_run(&mut self, run: Arc<Run>, place: Cursor, greeting: Option<String>) -> Result<(), End> {
        match run.attach(&self.ready, place) {
            Ok(()) => {
                self.replies.extend(greeting.map(Utf8Bytes::from));
                self.shown.insert(run.id().to_owned(), run);
                Ok(())
            }
            Err(reason) => self.fail(run.id(), &reason.to_string()),
        }
    }

    /// Shows a run beside its subscriber.
    fn watch(&mut self, run: Arc<Run>, place: Cursor) -> Result<(), End> {
        let most = self.session.config().limits.max_watchers;
        if self.shown.len() >= most && !self.shown.contains_key(run.id()) {
            let message =
                format!("this connection watches {most} runs already: have the server allow more (--max-watchers)");
            return self.fail(run.id(), &message);
        }
        match run.watch(&self.ready, place) {
            Ok(()) => {
                // The program may be silent for long: its observer hears that it is there.
                self.replies.push_back(run::watching(run.id()).into());
                self.shown.insert(run.id().to_owned(), run);
                Ok(())
            }
            Err(reason) => self.fail(run.id(), &reason.to_string()),
        }
    }

    /// An observer has cancelled: that ends what it sees, and nothing else.
    pub(super) fn stop_watching(&mut self, invocation: &str) -> Result<(), End> {
        let Some(run) = self.shown.remove(invocation) else { return Ok(()) };
        run.unwatch(&self.ready);
        self.fail(
            invocation,
            "the watching has ended and the run goes on: an access with the scope \"read\" cancels nothing",
        )
    }
}
