//! `shell`: a command in `sh`.
//!
//! The command has a sandbox of its own, which shares files and network with the others of its session. The call ends when
//! the command does. What it has put into the background goes on, and ends with the session; after a time limit, or for a
//! caller that has gone away, the whole sandbox ends.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use agb_kernel::OutputRate;
use agb_protocol::fields::Field;
use agb_sandbox::{Child, Command, Exceeded, Launcher, Policy, ProgramEnd};
use serde_json::json;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, Interest};
use tokio::net::unix::pipe::Receiver;

use super::args::Args;
use super::error::ToolError;
use crate::command::prepare;
use crate::random;
use crate::session::{Session, Stage};

/// What AGB gives a command that does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(1000);
/// When everything has ended, what was written is in the pipes.
const LAST_OUTPUT: Duration = Duration::from_millis(50);
/// As `timeout(1)` has it.
const EXIT_TIMED_OUT: i32 = 124;

/// How a command came to its end.
enum End {
    Exited(ExitStatus),
    Exceeded(Exceeded),
    TimedOut,
    SessionEnded,
}

/// A command that runs, and our ends of its pipes.
struct Running {
    /// Dropping it ends the sandbox.
    child: Child,
    stdout: Receiver,
    stderr: Receiver,
    /// Readable once nothing of it runs any more.
    ended: Watched,
    /// Readable when the command may have ended.
    events: Watched,
}

type Watched = AsyncFd<OwnedFd>;

pub(super) async fn shell(session: &Arc<Session>, args: &Args) -> Result<String, ToolError> {
    let command = args.text("command")?;
    let timeout = match args.number("timeout_ms")? {
        None => DEFAULT_TIMEOUT,
        Some(millis) => Duration::try_from_secs_f64(millis / 1000.0)
            .ok()
            .filter(|timeout| !timeout.is_zero() && *timeout <= session.config().limits.max_run_timeout)
            .ok_or_else(|| {
                args.invalid("timeout_ms", "a number of milliseconds, more than 0 and not above the server's limit")
            })?,
    };
    let room = session.room().map_err(ToolError::Run)?;
    let (policy, command) = prepare(session, &room, command, args.optional_text("cwd")?, environment(args)?)?;
    let mut running = start(room.slot().launcher(), policy, command)
        .await
        .map_err(|error| ToolError::Report(format!("sh could not be started: {error}")))?;
    let lost = |error: io::Error| ToolError::Report(format!("the command could not be waited for: {error}"));
    let limits = &session.config().limits;
    let captured = || Captured::new(limits.max_tool_output / 2, OutputRate::new(limits.output_rate));
    let (mut out, mut err) = (captured(), captured());
    let end = {
        let Running { child, stdout, stderr, ended, events } = &mut running;
        let reading = async { tokio::join!(out.read(stdout), err.read(stderr)) };
        let mut reading = std::pin::pin!(reading);
        let mut stage = session.watch_stage();
        let end = async {
            tokio::select! {
                status = program_end(child, events, ended) => status.map(End::Exited),
                () = tokio::time::sleep(timeout) => Ok(End::TimedOut),
                _ = stage.wait_for(|stage| *stage != Stage::Running) => Ok(End::SessionEnded),
            }
        };
        let mut end = std::pin::pin!(end);
        let (end, read_all) = tokio::select! {
            end = &mut end => (end, false),
            _ = &mut reading => (end.await, true),
        };
        let end = end.map_err(lost)?;
        if !read_all {
            let _ = tokio::time::timeout(LAST_OUTPUT, reading).await;
        }
        end
    };
    let end = running.child.exceeded().map_or(end, End::Exceeded);
    if let End::Exited(_) = end {
        room.keep_background(running.drain(limits.output_rate));
    } else {
        running.child.kill_all();
        let _ = running.ended.readable().await;
    }
    report(end, timeout, out.text(), err.text())
}

/// Waits for the command itself, whatever it has left in the background. Cancel-safe.
async fn program_end(child: &mut Child, events: &Watched, ended: &Watched) -> io::Result<ExitStatus> {
    loop {
        match child.program_end() {
            ProgramEnd::Ended(status) => return Ok(status),
            ProgramEnd::NotYet => events.readable().await?.clear_ready(),
            ProgramEnd::WithSandbox => {
                ended.readable().await?.retain_ready();
                return child.wait(); // it has ended, so this does not wait
            }
        }
    }
}

impl Running {
    /// Reads what the processes in the background still write, so that they can go on, until the last of them has ended.
    async fn drain(self, rate: u64) {
        let Self { child, mut stdout, mut stderr, ended, events: _ } = self;
        let captured = || Captured::new(0, OutputRate::new(rate));
        let (mut out, mut err) = (captured(), captured());
        tokio::select! {
            _ = ended.readable() => {}
            never = async {
                tokio::join!(out.read(&mut stdout), err.read(&mut stderr));
                std::future::pending::<std::convert::Infallible>().await
            } => match never {},
        }
        drop(child);
    }
}

fn report(end: End, timeout: Duration, stdout: String, mut stderr: String) -> Result<String, ToolError> {
    let (exit_code, failed) = match end {
        End::Exited(status) => (status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)), false),
        End::TimedOut => {
            let millis = timeout.as_millis();
            stderr.push_str(&format!(
                "the command ran longer than {millis} ms and was killed; give it more by timeout_ms\n"
            ));
            (EXIT_TIMED_OUT, true)
        }
        End::Exceeded(limit) => {
            stderr.push_str(&format!("the command was killed: its session exceeded its {limit}\n"));
            (128 + libc::SIGKILL, true)
        }
        End::SessionEnded => {
            stderr.push_str("the command was killed, because its session was released\n");
            (128 + libc::SIGKILL, true)
        }
    };
    let mut answer = json!({ "stdout": stdout, "stderr": stderr, "exit_code": exit_code });
    if exit_code != 0 {
        answer["traceId"] = json!(random::request_id());
    }
    if failed {
        answer["errorCode"] = json!(exit_code);
        return Err(ToolError::Report(answer.to_string()));
    }
    Ok(answer.to_string())
}

/// A caller that gives up meanwhile leaves nothing behind.
async fn start(launcher: Arc<Launcher>, policy: Policy, command: Command) -> io::Result<Running> {
    let spawned = tokio::task::spawn_blocking(move || {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        let (stdout, its_stdout) = io::pipe()?;
        let (stderr, its_stderr) = io::pipe()?;
        let fds = [null.as_fd(), its_stdout.as_fd(), its_stderr.as_fd(), null.as_fd(), null.as_fd()];
        let child = launcher.spawn(&policy, &command, fds).map_err(io::Error::other)?;
        io::Result::Ok((child, stdout, stderr))
    });
    let (child, stdout, stderr) = spawned.await.map_err(io::Error::other)??;
    let receiver = |pipe: io::PipeReader| Receiver::from_owned_fd(pipe.into());
    let (ended, events) = (watched(child.as_fd())?, watched(child.events())?);
    Ok(Running { child, stdout: receiver(stdout)?, stderr: receiver(stderr)?, ended, events })
}

fn watched(fd: BorrowedFd<'_>) -> io::Result<Watched> {
    let fd = fd.try_clone_to_owned()?;
    // SAFETY: an `OwnedFd` answers with the same open descriptor until it is dropped; it is moved in here, and nobody
    // gets hold of it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

fn environment(args: &Args) -> Result<Vec<(String, String)>, ToolError> {
    let invalid = || args.invalid("envs", "an object of texts, with names that an environment takes");
    let Some(envs) = args.get("envs") else { return Ok(Vec::new()) };
    let Field::Json(_) = envs else { return Err(invalid()) };
    let envs = envs.fields().ok_or_else(invalid)?;
    envs.into_iter()
        .map(|(name, value)| match value {
            Field::Text(value) if !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0') => {
                Ok((name, value))
            }
            _ => Err(invalid()),
        })
        .collect()
}

/// The beginning of a stream, and how much there was beyond it.
struct Captured {
    bytes: Vec<u8>,
    limit: usize,
    rate: OutputRate,
    left_out: u64,
}

impl Captured {
    fn new(limit: usize, rate: OutputRate) -> Self {
        Self { bytes: Vec::new(), limit, rate, left_out: 0 }
    }

    /// Reads to the end; what is above the limit is counted only. Cancel-safe.
    async fn read(&mut self, pipe: &mut (impl AsyncRead + Unpin)) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
            let kept = read.min(self.limit - self.bytes.len());
            self.bytes.extend_from_slice(&buffer[..kept]);
            self.left_out += (read - kept) as u64;
            self.rate.taken(read);
            if let Some(at) = self.rate.resume_at() {
                tokio::time::sleep_until(at).await;
            }
        }
    }

    fn text(self) -> String {
        let mut text = String::from_utf8_lossy(&self.bytes).into_owned();
        if self.left_out > 0 {
            text.push_str(&format!("\n[{} bytes more are left out; write them to a file instead]\n", self.left_out));
        }
        text
    }
}
