//! `shell`: a command in `sh`.
//!
//! The command is the head of a process group of its own. When the call ends, for whatever reason, the whole group is
//! killed: nothing that a command started outlives its call.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use std::os::unix::process::ExitStatusExt;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::args::Args;
use super::error::ToolError;
use crate::random;
use crate::session::{Session, Stage};

/// What AGB gives a command that does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(1000);
/// A command's descendants may hold its pipes after its end; what they wrote until then is there at once.
const LAST_OUTPUT: Duration = Duration::from_millis(50);
/// As `timeout(1)` has it.
const EXIT_TIMED_OUT: i32 = 124;

/// How a command came to its end.
enum End {
    Exited(ExitStatus),
    TimedOut,
    SessionEnded,
}

/// A process group that is killed when this is dropped.
struct Group(libc::pid_t);

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: kill takes two integers and touches no memory of ours. The group was made for our child, which is
        // waited for only by `Child`; should it be empty by now, the call fails and nothing happens.
        unsafe {
            libc::kill(-self.0, libc::SIGKILL);
        }
    }
}

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
    let mut child = spawn(command, session.folder().work(), &working_directory(session, args)?, environment(args)?)
        .map_err(|error| ToolError::Report(format!("sh could not be started: {error}")))?;
    let group = child.id().and_then(|id| libc::pid_t::try_from(id).ok()).map(Group).ok_or(ToolError::Defect)?;
    let limit = session.config().limits.max_tool_output / 2;
    let mut stdout = Captured::new(limit);
    let mut stderr = Captured::new(limit);
    let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
    let end = {
        let reading = async { tokio::join!(stdout.read(out.as_mut()), stderr.read(err.as_mut())) };
        let mut reading = std::pin::pin!(reading);
        let mut stage = session.watch_stage();
        let end = async {
            tokio::select! {
                status = child.wait() => status.map(End::Exited),
                () = tokio::time::sleep(timeout) => Ok(End::TimedOut),
                _ = stage.wait_for(|stage| *stage != Stage::Running) => Ok(End::SessionEnded),
            }
        };
        let mut end = std::pin::pin!(end);
        let (end, read_all) = tokio::select! {
            end = &mut end => (end, false),
            _ = &mut reading => (end.await, true),
        };
        drop(group);
        if !read_all {
            let _ = tokio::time::timeout(LAST_OUTPUT, reading).await;
        }
        end.map_err(|error| ToolError::Report(format!("the command could not be waited for: {error}")))?
    };
    report(end, timeout, stdout.text(), stderr.text())
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

fn spawn(command: &str, home: &Path, cwd: &Path, envs: BTreeMap<String, String>) -> std::io::Result<Child> {
    const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .current_dir(cwd)
        .env_clear()
        .env("PATH", PATH)
        .env("HOME", home)
        .env("LANG", "C.UTF-8")
        .envs(envs)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

fn working_directory(session: &Session, args: &Args) -> Result<PathBuf, ToolError> {
    let folder = session.folder();
    let Some(given) = args.optional_text("cwd")? else { return Ok(folder.work().to_path_buf()) };
    let path = folder.path(given)?;
    let real = folder.files().canonicalize(&path).map_err(|error| ToolError::system("entering", &path, &error))?;
    let real = folder.work().join(real);
    if !real.is_dir() {
        return Err(ToolError::WrongKind { path: given.to_owned(), is: "not a directory", hint: "give a directory" });
    }
    Ok(real)
}

fn environment(args: &Args) -> Result<BTreeMap<String, String>, ToolError> {
    let invalid = || args.invalid("envs", "an object of texts, with names that an environment takes");
    let Some(envs) = args.get("envs") else { return Ok(BTreeMap::new()) };
    let Value::Object(envs) = envs else { return Err(invalid()) };
    envs.iter()
        .map(|(name, value)| match value {
            Value::String(value) if !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0') => {
                Ok((name.clone(), value.clone()))
            }
            _ => Err(invalid()),
        })
        .collect()
}

/// The beginning of a stream, and how much there was beyond it.
struct Captured {
    bytes: Vec<u8>,
    limit: usize,
    left_out: u64,
}

impl Captured {
    fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, left_out: 0 }
    }

    /// Reads to the end; what is above the limit is counted only. Cancel-safe.
    async fn read(&mut self, pipe: Option<&mut (impl AsyncRead + Unpin)>) {
        let Some(pipe) = pipe else { return };
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = pipe.read(&mut buffer).await {
            let kept = read.min(self.limit - self.bytes.len());
            self.bytes.extend_from_slice(&buffer[..kept]);
            self.left_out += (read - kept) as u64;
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
