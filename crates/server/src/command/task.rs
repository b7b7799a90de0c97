//! The task of a command: reads its output while its sink takes it, carries out what its control orders, and ends it at its
//! time limit.

use std::future::pending;
use std::io;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use agb_protocol::Stream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::control::CommandControl;
use super::host::CommandHost;
use super::input::carry;
use super::outcome::Outcome;
use super::output::Output;
use super::process::{Descriptors, Process};
use super::sink::CommandSink;
use super::spec::CommandSpec;

/// How long a command may take to end after it was told to. 2 s, as of an interpreter.
const GRACE: Duration = Duration::from_secs(2);

/// How long a command that was killed is waited for.
///
/// 10 s, as of an interpreter: it ends in milliseconds. What has not ended by then is held by the kernel, and goes as soon as
/// the kernel lets it. No option: nothing gets more done by a longer wait, and a shorter one would tell less of the end.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// When a signal is sent again that its sandbox's first process had no room for, since it has not read the others.
///
/// 20 ms: it reads one in microseconds, or the machine has no time for it.
const SEND_AGAIN: Duration = Duration::from_millis(20);

/// When everything has ended, what was written is in the pipes; a terminal passes it on a moment later.
const LAST_OUTPUT: Duration = Duration::from_millis(50);

pub(super) struct CommandTask {
    host: CommandHost,
    spec: CommandSpec,
    control: CommandControl,
}

/// What is known of a command that runs.
struct Course {
    begun: Instant,
    /// Its time limit.
    deadline: Instant,
    timed_out: bool,
    /// It was told to stop, and is killed then.
    kill_at: Option<Instant>,
    /// It was killed, and is not waited for after that.
    gone_by: Option<Instant>,
    /// A signal that could not be sent is tried again then.
    send_at: Option<Instant>,
    /// It has ended so, after this time.
    status: Option<(ExitStatus, Duration)>,
}

impl CommandTask {
    pub(super) fn new(host: CommandHost, spec: CommandSpec, control: CommandControl) -> Self {
        Self { host, spec, control }
    }

    /// Runs the command to its end, and says how and after what time it came. Dropping this ends its sandbox.
    pub(super) async fn run(mut self, sink: &mut impl CommandSink) -> (Outcome, Duration) {
        let mut process = match self.start().await {
            Ok(process) => process,
            Err(outcome) => {
                self.control.close();
                return (outcome, Duration::ZERO);
            }
        };
        // A machine that is busy with the start of sandboxes takes nothing from the command's own time.
        let begun = Instant::now();
        sink.started();
        if let Some(limit) = process.child.only_removes() {
            let (stream, end) =
                if self.spec.terminal.is_some() { (Stream::Stdout, "\r\n") } else { (Stream::Stderr, "\n") };
            sink.output(stream, limit.notice() + end);
        }
        let input = process.input.take().map(|end| {
            let control = self.control.clone();
            Carrier(tokio::spawn(async move { carry(control.input(), end).await }))
        });
        let deadline = begun + self.spec.timeout;
        let mut course = Course::new(begun, deadline);
        let ended = self.follow(&mut process, &mut course, sink).await;
        self.control.close();
        drop(input);
        let outcome = match ended {
            Ok(()) => self.outcome(&process, &course),
            Err(error) => Outcome::NotStarted(format!("the command could not be waited for: {error}")),
        };
        if matches!(outcome, Outcome::Exited(_) | Outcome::Signalled(_) | Outcome::Cancelled) {
            if self.spec.terminal.is_some() {
                process.outputs.clear(); // the last handle of the terminal: what is left on it is hung up
            }
            self.host.workspace.keep_background(process.drain());
        }
        let time = course.status.map_or_else(|| course.begun.elapsed(), |(_, time)| time);
        (outcome, time)
    }

    async fn start(&mut self) -> Result<Process, Outcome> {
        let descriptors = match self.control.take_terminal() {
            Some(Ok(ends)) => Descriptors::Terminal(ends),
            Some(Err(reason)) => return Err(Outcome::NotStarted(reason)),
            None => Descriptors::Pipes { stdin: self.spec.stdin },
        };
        let Some(turn) = self.turn().await else { return Err(Outcome::Cancelled) };
        let host = self.host.clone();
        let (command, cwd) = (std::mem::take(&mut self.spec.command), self.spec.cwd.take());
        let mut envs = std::mem::take(&mut self.spec.envs);
        if self.spec.terminal.is_some() && !envs.iter().any(|(name, _)| name == "TERM") {
            envs.push(("TERM".to_owned(), "xterm-256color".to_owned())); // what xterm.js and most terminals understand
        }
        let started = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let (policy, command) =
                host.prepare(&command, cwd.as_deref(), envs).map_err(|error| Outcome::NotStarted(error.to_string()))?;
            let rate = host.config.limits.output_rate;
            Process::start(host.workspace.slot(), &policy, command, descriptors, rate)
                .map_err(|error| Outcome::of_start(&error))
        });
        let defect =
            || Outcome::NotStarted("the start broke off by a defect of agb-server; its log has more".to_owned());
        started.await.map_err(|_| defect())?
    }

    /// Waits for a turn among the starts of its session. `None`: it was told to stop before.
    async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(self.host.workspace.slot().starts()).acquire_owned();
        let mut turn = pin!(turn);
        while !self.control.interrupted() {
            tokio::select! {
                turn = &mut turn => return turn.ok(),
                () = self.control.changed() => {}
            }
        }
        None
    }

    /// Follows the process until it has ended and its output has been read.
    async fn follow(&self, process: &mut Process, course: &mut Course, sink: &mut impl CommandSink) -> io::Result<()> {
        loop {
            self.obey(process, course);
            let now = Instant::now();
            match course.due(now) {
                Some(Due::Kill) => process.child.kill_all(),
                Some(Due::GiveUp) => {
                    tracing::error!(pid = process.child.id(), "a command was killed and does not end");
                    return Ok(());
                }
                None => {}
            }
            let resume_at = process.outputs.iter().filter_map(Output::resume_at).min();
            let reads = sink.has_room() && resume_at.is_none_or(|at| at <= now);
            if course.status.is_some() {
                if process.outputs.iter().all(|output| !output.is_open()) {
                    return Ok(());
                }
                if reads {
                    match timeout(LAST_OUTPUT, next_output(&mut process.outputs)).await {
                        Ok((stream, text)) => sink.output(stream, text),
                        Err(_) => return Ok(()), // what holds it open is in the background
                    }
                    continue;
                }
            }
            let wake =
                resume_at.filter(|_| sink.has_room()).into_iter().chain(course.wake()).chain(course.send_at).min();
            let Process { outputs, .. } = process;
            let mut outputs = std::mem::take(outputs);
            let next = tokio::select! {
                biased;
                status = process.program_end(), if course.status.is_none() => Next::Ended(status?),
                () = self.control.changed() => Next::Ordered,
                output = next_output(&mut outputs), if reads => Next::Output(output),
                () = until(wake) => Next::Ordered,
            };
            process.outputs = outputs;
            match next {
                Next::Ended(status) => {
                    course.status = Some((status, course.begun.elapsed()));
                    process.outputs.iter_mut().for_each(Output::finish);
                }
                Next::Output((stream, text)) => sink.output(stream, text),
                Next::Ordered => {}
            }
        }
    }

    /// Sends the signals that were ordered.
    fn obey(&self, process: &Process, course: &mut Course) {
        course.send_at = None;
        if course.status.is_some() {
            return;
        }
        while let Some(signal) = self.control.next_signal() {
            // Another error says that it has ended, which is noticed elsewhere.
            let sent = process.child.signal_group(signal);
            if sent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                course.send_at = Some(Instant::now() + SEND_AGAIN);
                break;
            }
            self.control.signal_is_sent();
        }
        if course.kill_at.is_none() && self.control.interrupted() {
            // A shell on a terminal takes no notice of SIGINT; closing the terminal is what ends it. If there is no room
            // for the signal, it is killed soon.
            let signal = if self.spec.terminal.is_some() { libc::SIGHUP } else { libc::SIGINT };
            let _ = process.child.signal_group(signal);
            course.kill_at = Some(Instant::now() + GRACE);
        }
    }

    fn outcome(&self, process: &Process, course: &Course) -> Outcome {
        let outcome = course.status.map_or(Outcome::Cancelled, |(status, _)| Outcome::of(status));
        if let Some(limit) = process.child.exceeded() {
            return Outcome::Exceeded(limit);
        }
        if course.timed_out {
            return Outcome::TimedOut(self.spec.timeout);
        }
        let stopped = course.kill_at.is_some() || self.control.interrupted() && outcome != Outcome::Exited(0);
        if stopped { Outcome::Cancelled } else { outcome }
    }
}

impl Course {
    fn new(begun: Instant, deadline: Instant) -> Self {
        Self { begun, deadline, timed_out: false, kill_at: None, gone_by: None, send_at: None, status: None }
    }

    /// When it is to be killed, or given up. Never once it has ended: its output may wait for a reader for longer than that.
    fn wake(&self) -> Option<Instant> {
        let kill_at = self.kill_at.map_or(self.deadline, |at| at.min(self.deadline));
        self.status.is_none().then_some(self.gone_by.unwrap_or(kill_at))
    }

    /// What is to be done now, once.
    fn due(&mut self, now: Instant) -> Option<Due> {
        self.wake().filter(|at| *at <= now)?;
        if self.gone_by.is_some() {
            return Some(Due::GiveUp);
        }
        self.timed_out = self.kill_at.is_none();
        self.gone_by = Some(now + END_PATIENCE);
        Some(Due::Kill)
    }
}

/// What is to be done with a command whose time is over.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Kill,
    /// It was killed, and that did not end it.
    GiveUp,
}

enum Next {
    Ended(ExitStatus),
    Output((Stream, String)),
    /// There is an order, or it is time for something.
    Ordered,
}

/// Carries input; ends with this.
struct Carrier(JoinHandle<()>);

impl Drop for Carrier {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The next output of a stream that is open; nothing if none is. Cancel-safe.
async fn next_output(outputs: &mut [Output]) -> (Stream, String) {
    let mut open = outputs.iter_mut().filter(|output| output.is_open());
    match (open.next(), open.next()) {
        (Some(one), Some(other)) => tokio::select! {
            output = one.next() => output,
            output = other.next() => output,
        },
        (Some(one), None) => one.next().await,
        (None, _) => pending().await,
    }
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(wake) => sleep_until(wake).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn what_has_ended_is_not_waited_for() {
        let begun = Instant::now();
        let (deadline, kill_at) = (begun + Duration::from_secs(9), begun + Duration::from_secs(2));
        let mut course = Course::new(begun, deadline);
        assert_eq!(course.wake(), Some(deadline));
        course.kill_at = Some(kill_at);
        assert_eq!(course.wake(), Some(kill_at));
        course.status = Some((ExitStatus::from_raw(0), Duration::ZERO));
        assert_eq!(course.wake(), None, "the task would spin behind the deadline, while nobody reads");
    }

    #[test]
    fn what_was_killed_is_given_up_at_last() {
        for is_told in [false, true] {
            let begun = Instant::now();
            let mut course = Course::new(begun, begun + Duration::from_secs(9));
            course.kill_at = is_told.then(|| begun + GRACE);
            let at = course.wake().expect("it runs");
            assert_eq!(course.due(at - Duration::from_millis(1)), None);
            assert_eq!((course.due(at), course.timed_out), (Some(Due::Kill), !is_told));
            assert_eq!((course.due(at), course.wake()), (None, Some(at + END_PATIENCE)), "it is killed once");
            assert_eq!(course.due(at + END_PATIENCE), Some(Due::GiveUp));
            course.status = Some((ExitStatus::from_raw(9), Duration::ZERO));
            assert_eq!(course.due(at + END_PATIENCE), None);
        }
    }
}
