//! A run of the upstream's as what feeds a run of this server.

use std::sync::Arc;
use std::time::Duration;

use agb_client::agb_core::result::RichResult;
use agb_client::agb_core::{Piece, RunEnd, RunError, StreamEvent};
use agb_client::{CommandBuilder, Error, RunControl};
use agb_protocol::command::{SIGNALS, StartCommand, TerminalSize};
use agb_protocol::{Language, MimeBundle, RunStatus};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Upstream;
use crate::budget::Charge;
use crate::observe::RunMeter;
use crate::run::event::{Event, Finish, failure, one_line};
use crate::run::{Feed, InputError, NO_SIGNALS, NO_TERMINAL, Source, Stop};

/// What is to be run. A time limit is the one that the client asked for; the upstream judges it.
pub(crate) enum Program {
    Code {
        code: String,
        language: Language,
        timeout: Option<Duration>,
        /// The client answers requests for input.
        stdin: bool,
    },
    /// With a time limit in milliseconds.
    Command(StartCommand),
}

impl Upstream {
    /// Starts a program there, to feed a run here.
    pub(crate) fn start(&self, program: Program, mut feed: Feed, meter: RunMeter) -> Box<dyn Source> {
        // The run's log is here: nothing is kept of it on the way.
        let is_command = matches!(program, Program::Command(_));
        let run = match program {
            Program::Code { code, language, timeout, stdin } => {
                let run = self.session().code().run(code, language).stdin(stdin);
                let run = timeout.into_iter().fold(run, |run, timeout| run.timeout(timeout));
                run.stamps(false).log_limit(0).result_limit(0).stream()
            }
            Program::Command(start) => self.command(start).stamps(false).log_limit(0).stream(),
        };
        match run {
            Ok(run) => {
                let source = UpstreamRun { control: run.control(), is_command, room: Arc::default() };
                tokio::spawn(follow(run, feed, meter, Arc::clone(&source.room)));
                Box::new(source)
            }
            Err(error) => {
                refuse(&error, &mut feed, &meter);
                Box::new(NoRun)
            }
        }
    }

    /// A command as its client asked for it.
    fn command(&self, start: StartCommand) -> CommandBuilder<'_> {
        let StartCommand { command, timeout_ms, cwd, envs, stdin, terminal, detached, .. } = start;
        let mut builder = self.session().commands().run(command).without_timeout().stdin(stdin);
        if let Some(TerminalSize { cols, rows }) = terminal {
            builder = builder.pty(cols, rows).stdin(stdin);
        }
        if detached {
            builder = builder.detached();
        }
        builder = cwd.into_iter().fold(builder, CommandBuilder::cwd);
        builder = envs.into_iter().fold(builder, |builder, (name, value)| builder.env(name, value));
        // One that is none was refused before.
        let timeout = timeout_ms.and_then(|millis| Duration::try_from_secs_f64(millis / 1000.0).ok());
        timeout.into_iter().fold(builder, CommandBuilder::timeout)
    }
}

/// A run that goes on at the upstream.
struct UpstreamRun {
    control: RunControl,
    is_command: bool,
    /// The feed may have less excess than before.
    room: Arc<Notify>,
}

impl Source for UpstreamRun {
    fn interrupt(&self) {
        self.control.cancel();
        self.room.notify_one();
    }

    // The client bounds what waits for the upstream.
    fn write_input(&self, data: String, _: Option<Charge>) -> Result<(), InputError> {
        self.control.write(&data);
        Ok(())
    }

    fn end_input(&self) {
        self.control.end_input();
    }

    fn resume(&self) {
        self.room.notify_one();
    }

    fn signal(&self, signal: i32) -> Result<(), &'static str> {
        if !self.is_command {
            return Err(NO_SIGNALS);
        }
        let (name, _) = SIGNALS.iter().find(|(_, number)| *number == signal).ok_or("the signal has no name")?;
        self.control.kill(name);
        Ok(())
    }

    fn resize(&self, size: TerminalSize) -> Result<(), &'static str> {
        if !self.is_command {
            return Err(NO_TERMINAL);
        }
        self.control.resize(size.cols, size.rows); // the upstream says whether it has a terminal
        Ok(())
    }
}

/// A run that the upstream's client did not take.
struct NoRun;

impl Source for NoRun {
    fn interrupt(&self) {}

    fn write_input(&self, _: String, _: Option<Charge>) -> Result<(), InputError> {
        Err(InputError::Closed)
    }

    fn end_input(&self) {}

    fn resume(&self) {}
}

/// Hands on what comes. While the log has no room nothing more is taken, so that the upstream has to wait as well.
async fn follow(mut run: agb_client::Run, mut feed: Feed, meter: RunMeter, room: Arc<Notify>) {
    let mut begun = false;
    let started = Instant::now();
    loop {
        while feed.excess().is_some() && feed.stop().is_none() {
            room.notified().await;
        }
        let Some(batch) = run.next_batch().await else { break };
        // What came together goes on together: each event costs a frame.
        for piece in batch.joined_pieces() {
            if !begun {
                // What says that it has begun is the first that it says.
                begun = true;
                meter.started();
                feed.push(Event::Started);
            }
            match piece {
                Piece::Chunk(stream, text) => feed.push(Event::Chunk(stream.into(), text.to_owned())),
                Piece::Event(told) => event(told).into_iter().for_each(|event| feed.push(event)),
            }
        }
    }
    let Some(end) = run.end() else { return };
    let finish = finish(end, feed.stop());
    let reason = finish.reason.unwrap_or(if finish.failed { RunStatus::Failed } else { RunStatus::Finished });
    meter.ended(reason.as_str(), started.elapsed());
    feed.push(Event::End(finish));
}

/// What an event is here; `None` for what the client's own connection is told about.
fn event(told: &StreamEvent) -> Option<Event> {
    Some(match told {
        StreamEvent::Result(result) => Event::Result { is_main: result.is_main, mime: mime_bundle(result) },
        StreamEvent::Error(error) => Event::Error(error.to_failure()),
        StreamEvent::InputRequest { prompt, password } => {
            Event::InputRequest { prompt: prompt.clone(), password: *password }
        }
        StreamEvent::InputRefused { message } => Event::InputRefused { message: message.clone() },
        StreamEvent::OutputDropped { bytes } => Event::Dropped { bytes: *bytes },
        StreamEvent::InputUncertain => Event::InputRefused {
            message: "the connection to the upstream service was lost with input under way: it may not have arrived"
                .to_owned(),
        },
        _ => return None,
    })
}

fn mime_bundle(result: &RichResult) -> MimeBundle {
    let mut mime = MimeBundle::default();
    for (kind, text) in [
        ("text/plain", &result.text),
        ("text/html", &result.html),
        ("text/markdown", &result.markdown),
        ("image/png", &result.png),
        ("image/jpeg", &result.jpeg),
        ("image/svg+xml", &result.svg),
        ("text/latex", &result.latex),
    ] {
        if let Some(text) = text {
            mime.insert_text(kind, text);
        }
    }
    for (kind, json) in [("application/json", &result.json), (VEGA_LITE, &result.chart)] {
        if let Some(json) = json {
            mime.insert_json(kind, json);
        }
    }
    mime
}

const VEGA_LITE: &str = "application/vnd.vegalite.v5+json";

/// The end of a run in the words of the wire. What the upstream said stays; what broke on the way is told as that.
fn finish(end: &RunEnd, stop: Option<Stop>) -> Finish {
    let error = match end {
        Ok(finish) => return finish.clone(),
        Err(error) => error,
    };
    let reason = match error {
        RunError::Remote { .. } | RunError::Unreachable(_) => RunStatus::Failed,
        RunError::Cancelled { .. } | RunError::CancelUnconfirmed => match stop {
            None | Some(Stop::Client) => RunStatus::Cancelled,
            Some(Stop::Unwatched(_) | Stop::Service(_)) => RunStatus::Interrupted,
        },
        RunError::TimedOut(_) => RunStatus::Timeout,
        _ => RunStatus::Interrupted,
    };
    let (name, state_lost) = match error {
        RunError::Cancelled { state_lost } => ("Cancelled", *state_lost),
        RunError::CancelUnconfirmed => ("Cancelled", false),
        RunError::Remote { .. } => ("UpstreamError", false),
        _ => ("UpstreamLost", false),
    };
    let words = match stop {
        Some(Stop::Service(why)) if reason == RunStatus::Interrupted => format!("{why}; {error}"),
        Some(Stop::Unwatched(time)) if reason == RunStatus::Interrupted => {
            format!("nobody came back for the run within {} s, so it was stopped; {error}", time.as_secs_f64())
        }
        _ => error.to_string(),
    };
    Finish {
        failed: true,
        execution_error: Some(one_line(&failure(name, words))),
        reason: Some(reason),
        state_lost,
        unconfirmed: matches!(error, RunError::CancelUnconfirmed),
        ..Finish::default()
    }
}

/// A run that was not taken: nothing of it was sent.
fn refuse(error: &Error, feed: &mut Feed, meter: &RunMeter) {
    let failure = failure("UpstreamRefused", error.to_string());
    let finish = Finish {
        failed: true,
        execution_error: Some(one_line(&failure)),
        reason: Some(RunStatus::Failed),
        ..Finish::default()
    };
    meter.ended(RunStatus::Failed.as_str(), Duration::ZERO);
    feed.push(Event::Error(failure));
    feed.push(Event::End(finish));
}
