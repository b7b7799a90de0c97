//! A living interpreter process: its pipes, its control channel, its end.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use agb_sandbox::{Child, Command, Exceeded, SpawnError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::control::Control;
use crate::harness;
use crate::pipe::{OutputPipe, watch};
use crate::scratch::Scratch;
use crate::spawn::{Failure, Spawned, spawn};
use crate::{Death, KernelSpec, OutputRate, ProtocolError, StartError};

/// How long a process that has closed its control channel may take to be seen dead.
///
/// 1 s: the kernel closes a dying process's files just before it reports its death; this is for a busy machine.
const CLOSING_GRACE: Duration = Duration::from_secs(1);

/// How long a sandbox that was killed is waited for.
///
/// 10 s: it ends in milliseconds, and its first process does not try for longer either. One that has not ended by then has
/// lost all that it ran but for what the kernel holds, and goes as soon as the kernel lets it; who ends the session
/// looks once more. No option: nothing gets more done by a longer wait, and a shorter one would tell less of the end.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// How long a sandbox may take to hand on an interrupt.
///
/// 10 s: it takes a tenth of a millisecond; this is for a machine that has no time for anything.
const INTERRUPT_PATIENCE: Duration = Duration::from_secs(10);

/// Of how many cells that have ended messages may come.
///
/// 16: a message is sent within its cell, so that of the last one is enough; a thread may have been slow to write it.
const PAST_NONCES: usize = 16;

/// An interpreter process in a sandbox. Dropping it ends the sandbox, and with it all that runs there.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) stdout: OutputPipe,
    pub(crate) stderr: OutputPipe,
    /// Of both of them, while cells run.
    pub(crate) rate: OutputRate,
    pub(crate) control: Control,
    /// The nonces of the last cells, whose messages may still be under way.
    past_nonces: VecDeque<String>,
    /// Readable once nothing of the sandbox runs any more.
    pidfd: AsyncFd<File>,
    child: Child,
    /// Last: the directory goes when nothing runs in it any more.
    scratch: Option<Scratch>,
}

impl Process {
    /// Starts the interpreter with its harness, or copies one that has started. It is not ready yet.
    pub(crate) async fn start(spec: &KernelSpec) -> Result<Self, StartError> {
        if let Some(zygote) = spec.zygote.as_ref().filter(|zygote| zygote.is_alive()) {
            match zygote.copy(spec).await {
                Ok(spawned) => return Self::adopt(spawned, spec).map_err(|error| harness::failed(spec, &error)),
                // A copy cannot be kept from writing.
                Err(Failure::Sandbox(SpawnError::Full(_))) => {}
                Err(error) => tracing::warn!(%error, "a zygote was not copied; the interpreter is started instead"),
            }
        }
        let launch = harness::prepare(spec).await?;
        let mut policy = spec.policy.clone();
        policy.env = harness::environment(spec, launch.env, launch.scratch.as_ref());
        policy.readonly.extend(launch.readonly);
        let command = Command::new(launch.program).args(launch.args).even_when_full();
        let spawned = spawn(Arc::clone(&spec.launcher), policy, command).await;
        let spawned = spawned.map_err(|failure| not_spawned(spec, &failure))?;
        let mut process = Self::adopt(spawned, spec).map_err(|error| harness::failed(spec, &error))?;
        process.scratch = launch.scratch;
        process.control.send(launch.harness);
        Ok(process)
    }

    fn adopt(spawned: Spawned, spec: &KernelSpec) -> io::Result<Self> {
        Ok(Self {
            stdout: OutputPipe::new(spawned.stdout)?,
            stderr: OutputPipe::new(spawned.stderr)?,
            rate: OutputRate::new(spec.limits.output_rate),
            control: Control::new(spawned.control_in, spawned.control_out, spec.limits.max_control_frame)?,
            past_nonces: VecDeque::new(),
            pidfd: watch(spawned.child.as_fd().try_clone_to_owned()?.into(), Interest::READABLE)?,
            child: spawned.child,
            scratch: None,
        })
    }

    /// The process's number, as this machine counts.
    pub(crate) fn id(&self) -> i32 {
        self.child.id()
    }

    /// Whether everything has ended, or is about to since the harness is gone; asked without waiting.
    pub(crate) fn is_dying(&self) -> bool {
        // `poll` reports a closed end without being asked for it.
        let asked = [(self.pidfd.get_ref().as_fd(), PollFlags::IN), (self.control.incoming_fd(), PollFlags::empty())];
        let mut polled = asked.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags));
        poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// A cell has ended: what threads of it still send is not a forgery.
    pub(crate) fn remember_nonce(&mut self, nonce: String) {
        self.past_nonces.truncate(PAST_NONCES - 1);
        self.past_nonces.push_front(nonce);
    }

    /// Whether this was the nonce of one of the last cells.
    pub(crate) fn knew_nonce(&self, nonce: &str) -> bool {
        self.past_nonces.iter().any(|past| past == nonce)
    }

    /// Resolves once the process has died and all that it had started is gone. Cancel-safe.
    pub(crate) async fn died(&self) {
        Self::dead(&self.pidfd).await;
    }

    /// [`died`](Self::died) for a loop that has borrowed the other [`parts`](Self::parts).
    pub(crate) async fn dead(pidfd: &AsyncFd<File>) {
        if pidfd.readable().await.is_err() {
            // The runtime is shutting down; this process goes down with its task.
            std::future::pending::<()>().await;
        }
    }

    /// The parts that a loop waits on, borrowed apart.
    pub(crate) fn parts(&mut self) -> (&mut OutputPipe, &mut OutputPipe, &mut Control, &AsyncFd<File>) {
        (&mut self.stdout, &mut self.stderr, &mut self.control, &self.pidfd)
    }

    /// The limit that its session was above when it started: it can only remove files.
    pub(crate) fn only_removes(&self) -> Option<Exceeded> {
        self.child.only_removes()
    }

    /// Something begins: what the session uses is looked at more often.
    pub(crate) fn stir(&self) {
        self.child.stir();
    }

    /// Sends SIGINT to the process group.
    pub(crate) fn interrupt(&self) {
        // An error means that it has ended.
        let _ = self.child.signal_group(libc::SIGINT);
    }

    /// Waits until no interrupt is under way any more: none may meet the next cell.
    pub(crate) async fn interrupts_are_sent(&mut self) {
        const STEP: Duration = Duration::from_millis(1);
        for _ in 0..INTERRUPT_PATIENCE.as_millis() / STEP.as_millis() {
            if self.child.signals_are_sent() {
                return;
            }
            tokio::time::sleep(STEP).await;
        }
        tracing::warn!(pid = self.id(), "a kernel's sandbox does not report whether it was interrupted");
    }

    /// Kills everything and says how the process had died; at once if it was dead already, and after [`END_PATIENCE`] in
    /// any case.
    pub(crate) async fn end(&mut self) -> Death {
        self.child.kill_all();
        if tokio::time::timeout(END_PATIENCE, self.died()).await.is_err() {
            tracing::error!(pid = self.id(), "a kernel's sandbox was killed and does not end");
            return self.child.exceeded().map_or(Death::Signalled(libc::SIGKILL), Death::Limit);
        }
        // It has ended, so this does not wait.
        let status = match self.child.wait() {
            Ok(status) => status,
            Err(error) => {
                tracing::warn!(pid = self.id(), %error, "the exit status of a kernel is unknown");
                return Death::Signalled(libc::SIGKILL);
            }
        };
        if let Some(limit) = self.child.exceeded() {
            return Death::Limit(limit);
        }
        match status.signal() {
            Some(signal) => Death::Signalled(signal),
            None => Death::Exited(status.code().unwrap_or(-1)),
        }
    }

    /// How the process died, after its control channel was closed: of itself, or because we end it now.
    pub(crate) async fn end_closed(&mut self) -> Death {
        match tokio::time::timeout(CLOSING_GRACE, self.died()).await {
            Ok(()) => self.end().await,
            Err(_) => {
                self.end().await;
                Death::Protocol(ProtocolError::Closed)
            }
        }
    }
}

/// Why the interpreter does not run: where something has ended its sandbox, another start may be luckier.
fn not_spawned(spec: &KernelSpec, failure: &Failure) -> StartError {
    if !matches!(failure, Failure::Sandbox(SpawnError::Vanished | SpawnError::Exceeded(_))) {
        return harness::failed(spec, failure);
    }
    let interpreter = spec.interpreter.display().to_string();
    StartError::Killed { language: spec.language, interpreter, reason: failure.to_string() }
}
