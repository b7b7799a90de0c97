//! Shell commands: what they find, how they are started, and how one becomes a run.
//!
//! ```text
//!            ┌─ stdout, stderr: pipes ─┐
//! process ───┤                         ├─► command task (one a command) ─► the feed of its run
//!            └─ or one terminal ───────┘        ▲
//!                                    signals, input, interrupts: [`CommandControl`], the run's source
//! ```
//!
//! The tool `shell` runs the same task to its end, and keeps the output instead ([`Captured`]).
//!
//! The command task reads output while its run takes it; a run without room leaves the output in the pipes, and the command
//! waits in its own `write`. Time limit, signals and interrupts hold meanwhile. What the command has put into the
//! background goes on behind its end, and ends with the session.

mod captured;
mod control;
mod env;
mod error;
mod feed;
mod host;
mod input;
mod outcome;
mod output;
mod place;
mod process;
mod sink;
mod spec;
mod task;
mod terminal;
mod watched;

pub(crate) use self::captured::{Captured, CapturedOutput, CapturedText};
use self::control::CommandControl;
use self::feed::CommandFeed;
pub(crate) use self::host::CommandHost;
pub(crate) use self::outcome::Outcome;
pub(crate) use self::spec::CommandSpec;
use self::task::CommandTask;
use crate::observe::RunMeter;
use crate::run::{Feed, Source};

/// Starts a command, to feed a run. What goes wrong is in its end.
pub(crate) fn start(host: CommandHost, spec: CommandSpec, feed: Feed, meter: RunMeter) -> Box<dyn Source> {
    let control = CommandControl::new(spec.stdin, spec.terminal);
    let task = CommandTask::new(host, spec, control.clone());
    tokio::spawn(async move {
        let mut feed = CommandFeed { feed, meter };
        let (outcome, time) = task.run(&mut feed).await;
        feed.end(&outcome, time);
    });
    Box::new(control)
}

/// Runs a command to its end, without input, and keeps its output. Dropping this ends everything that it has started.
pub(crate) async fn execute(host: CommandHost, spec: CommandSpec, captured: &mut Captured) -> Outcome {
    let control = CommandControl::new(spec.stdin, spec.terminal);
    CommandTask::new(host, spec, control).run(captured).await.0
}
