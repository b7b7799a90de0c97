//! A living interpreter process: its pipes, its control channel, its end.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use agb_sandbox::{Child, Command};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::harness::{self, Scratch};
use crate::message::{FrameBuffer, Message};
use crate::spawn::{Spawned, spawn};
use crate::text::Utf8Decoder;
use crate::{Death, KernelSpec, OutputRate, ProtocolError, StartError};

/// One read of a pipe takes what is there, up to what a pipe holds.
pub(crate) const READ_SIZE: usize = 64 << 10;

/// How long a process that has closed its control channel may take to be seen dead.
///
/// 1 s: the kernel closes a dying process's files just before it reports its death; this is for a busy machine.
const CLOSING_GRACE: Duration = Duration::from_secs(1);

/// How long a sandbox may take to hand on an interrupt.
///
/// 10 s: it takes a tenth of a millisecond; this is for a machine that has no time for anything.
const INTERRUPT_PATIENCE: Duration = Duration::from_secs(10);

/// An interpreter process in a sandbox. Dropping it ends the sandbox, and with it all that runs there.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) stdout: OutputPipe,
    pub(crate) stderr: OutputPipe,
    /// Of both of them, while cells run.
    pub(crate) rate: OutputRate,
    pub(crate) control: Control,
    /// Readable once nothing of the sandbox runs any more.
    pidfd: AsyncFd<File>,
    child: Child,
    /// Last: the directory goes when nothing runs in it any more.
    scratch: Option<Scratch>,
}

impl Process {
    /// Starts the interpreter with its harness, or copies one that has started. It is not ready yet.
    pub(crate) async fn start(spec: &KernelSpec) -> Result<Self, StartError> {
        if let Some(zygote) = spec.zygote.as_ref().filter(|zygote| zygote.is_fertile()) {
            match zygote.copy(spec).await {
                Ok(spawned) => return Self::adopt(spawned, spec).map_err(|error| failed(spec, &error)),
                Err(error) => tracing::warn!(%error, "a zygote was not copied; the interpreter is started instead"),
            }
        }
        let launch = harness::prepare(spec).await?;
        let mut policy = spec.policy.clone();
        policy.env = environment(spec, launch.env, launch.scratch.as_ref());
        policy.readonly.extend(launch.readonly);
        let command = Command::new(launch.program).args(launch.args);
        let spawned = spawn(Arc::clone(&spec.launcher), policy, command).await.map_err(|error| failed(spec, &error))?;
        let mut process = Self::adopt(spawned, spec).map_err(|error| failed(spec, &error))?;
        process.scratch = launch.scratch;
        process.control.send(crate::message::raw(launch.source.as_bytes()));
        Ok(process)
    }

    fn adopt(spawned: Spawned, spec: &KernelSpec) -> io::Result<Self> {
        Ok(Self {
            stdout: OutputPipe::new(spawned.stdout)?,
            stderr: OutputPipe::new(spawned.stderr)?,
            rate: OutputRate::new(spec.limits.output_rate),
            control: Control::new(spawned.control_in, spawned.control_out, spec.limits.max_control_frame)?,
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
        let entry = |fd, events| libc::pollfd { fd, events, revents: 0 };
        // That the other end is closed is said without being asked for.
        let mut polls = [entry(self.pidfd.as_raw_fd(), libc::POLLIN), entry(self.control.incoming.as_raw_fd(), 0)];
        // SAFETY: two entries, which outlive the call; their descriptors are open.
        unsafe { libc::poll(polls.as_mut_ptr(), polls.len() as libc::nfds_t, 0) > 0 }
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
        tracing::warn!(pid = self.id(), "a kernel's sandbox does not say whether it was interrupted");
    }

    /// Kills everything and says how the process had died; at once if it was dead already.
    pub(crate) async fn end(&mut self) -> Death {
        self.child.kill_all();
        self.died().await;
        // It has ended, so this does not wait.
        let status = match self.child.wait() {
            Ok(status) => status,
            Err(error) => {
                tracing::warn!(pid = self.id(), %error, "nobody knows how a kernel has ended");
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

/// Why the interpreter does not run.
pub(crate) fn failed(spec: &KernelSpec, reason: &impl std::fmt::Display) -> StartError {
    let interpreter = spec.interpreter.display().to_string();
    StartError::Spawn { language: spec.language, interpreter, reason: reason.to_string() }
}

/// What the program's environment has beyond what every sandbox gives: the last of a name wins.
pub(crate) fn environment(
    spec: &KernelSpec,
    own: Vec<(String, String)>,
    scratch: Option<&Scratch>,
) -> Vec<(String, String)> {
    const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let interpreter = crate::installation::plain(&spec.interpreter);
    let path = match interpreter.parent().and_then(|dir| dir.to_str()) {
        // The tools beside the interpreter come first: a virtual environment's `pip`, a version's `npm`.
        Some(dir) if !dir.is_empty() && !PATH.split(':').any(|known| known == dir) => format!("{dir}:{PATH}"),
        _ => PATH.to_owned(),
    };
    let given = [("PATH".to_owned(), path)].into_iter().chain(own).chain(spec.policy.env.iter().cloned());
    let mut env: Vec<(String, String)> = Vec::new();
    for (name, value) in given.chain(scratch.map(|scratch| ("TMPDIR".to_owned(), scratch.inside()))) {
        env.retain(|(known, _)| *known != name);
        env.push((name, value));
    }
    env
}

/// 128 random bits.
pub(crate) fn random_hex() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Registers a descriptor with the runtime.
fn watch(file: File, interest: Interest) -> io::Result<AsyncFd<File>> {
    // SAFETY: a `File` owns its descriptor and answers with the same open one until it is dropped; it is moved in
    // here, and nothing below gets hold of it other than by reference.
    unsafe { AsyncFd::register_with_interest(file, interest) }.map_err(Into::into)
}

/// Our end of the program's standard output or error.
#[derive(Debug)]
pub(crate) struct OutputPipe {
    fd: AsyncFd<File>,
    decoder: Utf8Decoder,
    open: bool,
}

impl OutputPipe {
    pub(crate) fn new(file: File) -> io::Result<Self> {
        let fd = watch(file, Interest::READABLE)?;
        Ok(Self { fd, decoder: Utf8Decoder::default(), open: true })
    }

    /// Whether more can come.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// Resolves when there is something to read. Cancel-safe.
    pub(crate) async fn ready(&self) {
        if self.fd.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Reads once, after [`ready`](Self::ready).
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Option<String> {
        match self.fd.try_io(Interest::READABLE, |mut file| file.read(buffer)) {
            Ok(0) => self.open = false,
            Ok(size) => return Some(self.decoder.decode(&buffer[..size])).filter(|text| !text.is_empty()),
            Err(error) if is_passing(&error) => {}
            Err(_) => self.open = false,
        }
        None
    }

    /// Reads what is in the pipe now, without waiting: all that was written before the call, and no more than a pipe
    /// holds, so that a writer in the background cannot keep it busy.
    pub(crate) fn drain(&mut self, buffer: &mut [u8], mut sink: impl FnMut(String)) {
        let mut taken = 0;
        while self.open && taken < READ_SIZE {
            // Past the readiness that the runtime remembers: it may not have heard of the last write yet.
            match self.fd.get_ref().read(buffer) {
                Ok(0) => self.open = false,
                Ok(size) => {
                    taken += size;
                    let text = self.decoder.decode(&buffer[..size]);
                    if !text.is_empty() {
                        sink(text);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.open = false,
            }
        }
    }

    /// The cell is over: half a character is not completed any more.
    pub(crate) fn finish(&mut self) -> Option<String> {
        self.decoder.finish()
    }
}

/// Our ends of the control channel.
#[derive(Debug)]
pub(crate) struct Control {
    incoming: AsyncFd<File>,
    frames: FrameBuffer,
    outgoing: AsyncFd<File>,
    unsent: Vec<u8>,
    sent: usize,
}

impl Control {
    pub(crate) fn new(to: File, from: File, limit: usize) -> io::Result<Self> {
        Ok(Self {
            incoming: watch(from, Interest::READABLE)?,
            frames: FrameBuffer::new(limit),
            outgoing: watch(to, Interest::WRITABLE)?,
            unsent: Vec::new(),
            sent: 0,
        })
    }

    /// Puts a frame into the queue that [`flush`](Self::flush) writes.
    pub(crate) fn send(&mut self, frame: Vec<u8>) {
        if self.unsent.is_empty() {
            self.unsent = frame;
        } else {
            self.unsent.extend_from_slice(&frame);
        }
        self.write();
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    fn write(&mut self) {
        while self.sent < self.unsent.len() {
            match self.outgoing.try_io(Interest::WRITABLE, |mut file| file.write(&self.unsent[self.sent..])) {
                Ok(size) => self.sent += size,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody reads any more: the process is dead or dying, which is noticed elsewhere.
                Err(_) => break,
            }
        }
        self.unsent = Vec::new();
        self.sent = 0;
    }

    /// Resolves when something has come or unsent bytes could go. Cancel-safe. Call [`step`](Self::step) after it.
    pub(crate) async fn ready(&self, read: bool) {
        let readable = async {
            if !read || self.incoming.readable().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let writable = async {
            if !self.has_unsent() || self.outgoing.writable().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = readable => {}
            () = writable => {}
        }
    }

    /// Writes what can be written, and reads once if `read`. False at the end of what can come.
    pub(crate) fn step(&mut self, read: bool, buffer: &mut [u8]) -> bool {
        if self.has_unsent() {
            self.write();
        }
        if !read {
            return true;
        }
        match self.incoming.try_io(Interest::READABLE, |mut file| file.read(buffer)) {
            Ok(0) => false,
            Ok(size) => {
                self.frames.feed(&buffer[..size]);
                true
            }
            Err(error) => is_passing(&error),
        }
    }

    /// The next message that has come whole.
    pub(crate) fn next(&mut self) -> Result<Option<Message>, ProtocolError> {
        self.frames.next()
    }

    /// Reads what a dead process has left in the channel.
    pub(crate) fn drain(&mut self, buffer: &mut [u8]) {
        let mut taken = 0;
        while taken < READ_SIZE {
            match self.incoming.get_ref().read(buffer) {
                Ok(size) if size > 0 => {
                    taken += size;
                    self.frames.feed(&buffer[..size]);
                }
                _ => return,
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
