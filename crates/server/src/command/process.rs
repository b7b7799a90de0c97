//! A command's process: its sandbox, and our ends of its descriptors.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitStatus;
use std::sync::Arc;

use agb_protocol::Stream;
use agb_sandbox::{Child, Command, Level, Policy, ProgramEnd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::OwnedSemaphorePermit;

use super::control::TerminalEnds;
use super::input::InputEnd;
use super::output::{Output, Source};
use super::watched::watched;
use crate::workspace::sandboxes::Slot;

/// A command that runs, and our ends of its descriptors.
pub(super) struct Process {
    /// Dropping it ends the sandbox.
    pub(super) child: Child,
    pub(super) outputs: Vec<Output>,
    /// `None`: the command finds its input at its end.
    pub(super) input: Option<InputEnd>,
    /// Readable once nothing of it runs any more.
    ended: AsyncFd<OwnedFd>,
    /// Readable when the command may have ended.
    events: AsyncFd<OwnedFd>,
    /// Its place on the server.
    place: OwnedSemaphorePermit,
}

/// What a command's process has as its descriptors 0 to 2.
pub(super) enum Descriptors {
    /// Pipes; the input is at its end unless it is wanted.
    Pipes { stdin: bool },
    /// One terminal for all.
    Terminal(TerminalEnds),
}

impl Process {
    /// Starts it. This blocks for some milliseconds, and must be called on a runtime's thread.
    pub(super) fn start(
        slot: &Slot,
        policy: &Policy,
        command: Command,
        descriptors: Descriptors,
        rate: u64,
    ) -> io::Result<Self> {
        let (place, launcher) = (slot.command()?, slot.launcher());
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let null = null.as_fd();
        match descriptors {
            Descriptors::Pipes { stdin } => {
                let (stdout, its_stdout) = io::pipe()?;
                let (stderr, its_stderr) = io::pipe()?;
                let stdin = if stdin { Some(io::pipe()?) } else { None };
                let its_stdin = stdin.as_ref().map_or(null, |(its, _)| its.as_fd());
                let fds = [its_stdin, its_stdout.as_fd(), its_stderr.as_fd(), null, null];
                let child = launcher.spawn(policy, &command, fds).map_err(io::Error::other)?;
                let output = |pipe: io::PipeReader, stream| {
                    Ok::<_, io::Error>(Output::new(Source::Pipe(Receiver::from_owned_fd(pipe.into())?), stream, rate))
                };
                let outputs = vec![output(stdout, Stream::Stdout)?, output(stderr, Stream::Stderr)?];
                let input = stdin.map(|(_, ours)| Sender::from_owned_fd(ours.into())).transpose()?;
                Self::new(policy.level, child, outputs, input.map(InputEnd::Pipe), place)
            }
            Descriptors::Terminal((ours, theirs)) => {
                let theirs = theirs.as_fd();
                let fds = [theirs, theirs, theirs, null, null];
                let child = launcher.spawn(policy, &command.on_terminal(), fds).map_err(io::Error::other)?;
                let output = Output::new(Source::Terminal(Arc::clone(&ours)), Stream::Stdout, rate);
                Self::new(policy.level, child, vec![output], Some(InputEnd::Terminal(ours)), place)
            }
        }
    }

    fn new(
        level: Level,
        child: Child,
        outputs: Vec<Output>,
        input: Option<InputEnd>,
        place: OwnedSemaphorePermit,
    ) -> io::Result<Self> {
        static APART: std::sync::Once = std::sync::Once::new();
        if level.has_namespaces() && !child.shares_processes() {
            APART.call_once(|| {
                tracing::warn!(
                    "commands of a session see their own processes only: this machine lets no process enter a PID \
                     namespace, or no sandbox have /proc"
                );
            });
        }
        let (ended, events) =
            (watched(child.as_fd(), Interest::READABLE)?, watched(child.events(), Interest::READABLE)?);
        Ok(Self { child, outputs, input, ended, events, place })
    }

    /// Waits for the command itself, whatever it has left in the background. Cancel-safe.
    pub(super) async fn program_end(&mut self) -> io::Result<ExitStatus> {
        loop {
            match self.child.program_end() {
                ProgramEnd::Ended(status) => return Ok(status),
                ProgramEnd::NotYet => self.events.readable().await?.clear_ready(),
                ProgramEnd::WithSandbox => {
                    self.ended.readable().await?.retain_ready();
                    return self.child.wait(); // it has ended, so this does not wait
                }
            }
        }
    }

    /// Reads what the processes in the background still write, so that they can go on, until the last of them has ended.
    pub(super) async fn drain(self) {
        let Self { child, outputs, input, ended, events: _, place } = self;
        drop(input);
        let draining = futures_util::future::join_all(outputs.into_iter().map(Output::drain));
        let mut draining = std::pin::pin!(draining);
        tokio::select! {
            _ = ended.readable() => {}
            _ = &mut draining => {
                let _ = ended.readable().await;
            }
        }
        drop((child, place));
    }
}
