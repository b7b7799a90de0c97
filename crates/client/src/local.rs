//! The endpoint `local`: a server on this machine, started once a process.
//!
//! The server listens on a free port of the loopback interface and knows one key, fresh and told through its
//! environment, where no process list shows it. It ends when its standard input closes, which the system sees to however
//! this process ends, `kill -9` included. It is in a process group of its own: a Ctrl-C at the terminal is for the
//! program that uses it, which may still have something to finish.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use agb_core::Secret;
use agb_core::codes;
use agb_core::config::BaseUrl;
use tokio::sync::{Mutex, oneshot};

/// How long the server may take until it listens. It takes milliseconds; a machine that is swapping takes seconds.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// What the server prints once it takes connections.
const LISTENING: &str = "agb-server listening on ";
/// How many of its last lines an error shows.
const LAST_LINES: usize = 12;

/// Why there is no local server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The program is not there.
    #[error(
        "the endpoint is `local` but there is no server program {}: put one on the PATH (in Node: `npm install agbcloud-local`)",
        program.display()
    )]
    NotFound {
        /// What was looked for.
        program: PathBuf,
    },
    /// The program could not be started.
    #[error("the local server {} cannot be started: {reason}", program.display())]
    NotStarted {
        /// The program.
        program: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The program ended, or said nothing for too long.
    #[error("the local server {what}{}{last_words}", if last_words.is_empty() { "" } else { "; its last lines:\n" })]
    Failed {
        /// What happened.
        what: String,
        /// The last lines of its standard error.
        last_words: String,
    },
}

impl LocalError {
    /// Stable code: `NO_LOCAL_SERVER` or `LOCAL_SERVER_FAILED`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => codes::NO_LOCAL_SERVER,
            Self::NotStarted { .. } | Self::Failed { .. } => codes::LOCAL_SERVER_FAILED,
        }
    }
}

/// A server that listens.
#[derive(Clone, Debug)]
pub(crate) struct LocalServer {
    pub(crate) url: BaseUrl,
    pub(crate) key: Secret,
}

/// The child itself holds the pipe to its standard input.
struct Running {
    child: Child,
    server: LocalServer,
}

/// The server of one program.
#[derive(Default)]
struct Place {
    /// Held while one starts, so that two first calls start one.
    running: Mutex<Option<Running>>,
    /// Where the last one that started listens.
    url: StdMutex<Option<BaseUrl>>,
}

/// The place of a program, the same for all of the process.
fn place(program: &Path) -> Arc<Place> {
    static PLACES: StdMutex<Option<HashMap<PathBuf, Arc<Place>>>> = StdMutex::new(None);
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(places.get_or_insert_default().entry(program.to_owned()).or_default())
}

/// The address of the server, if one has been started.
pub(crate) fn address(program: &Path) -> Option<BaseUrl> {
    place(program).url.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The running server, started if there is none or if it died.
pub(crate) async fn server(program: &Path) -> Result<LocalServer, LocalError> {
    let place = place(program);
    let mut running = place.running.lock().await;
    if let Some(known) = running.as_mut() {
        match known.child.try_wait() {
            Ok(None) => return Ok(known.server.clone()),
            Ok(Some(status)) => {
                tracing::warn!(target: "agb::local", %status, "the local server ended; starting another");
            }
            Err(error) => tracing::warn!(target: "agb::local", %error, "the local server is lost; starting another"),
        }
        *running = None;
    }
    let started = start(program).await?;
    let server = started.server.clone();
    tracing::info!(target: "agb::local", url = %server.url, "the local server listens");
    *place.url.lock().unwrap_or_else(PoisonError::into_inner) = Some(server.url.clone());
    *running = Some(started);
    Ok(server)
}

async fn start(program: &Path) -> Result<Running, LocalError> {
    let mut bytes = [0; 32];
    let not_started = |reason: String| LocalError::NotStarted { program: program.to_owned(), reason };
    getrandom::fill(&mut bytes).map_err(|error| not_started(format!("the system has no randomness: {error}")))?;
    let mut key = String::with_capacity(64);
    for byte in bytes {
        let _ = write!(key, "{byte:02x}"); // a string takes everything
    }
    let mut child = command(program, &key).spawn().map_err(|error| not_started(error.to_string()))?;
    let last_words = Arc::default();
    let (tell, listening) = oneshot::channel();
    if let Some(stderr) = child.stderr.take() {
        listen("agb-local-stderr", stderr, {
            let last_words = Arc::clone(&last_words);
            move |line| remember(&last_words, line)
        });
    }
    if let Some(stdout) = child.stdout.take() {
        let mut tell = Some(tell);
        listen("agb-local-stdout", stdout, move |line| {
            if let Some(url) = line.strip_prefix(LISTENING)
                && let Some(tell) = tell.take()
            {
                let _ = tell.send(url.trim().to_owned()); // nobody waits any more
            }
        });
    }
    let mut fail = |what: String| {
        let _ = child.kill(); // it may be gone already
        let _ = child.wait();
        let lines = last_words.lock().unwrap_or_else(PoisonError::into_inner);
        let last_words = lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n").replace(&key, "[hidden]");
        LocalError::Failed { what, last_words }
    };
    let url = match tokio::time::timeout(START_TIMEOUT, listening).await {
        Ok(Ok(url)) => url,
        // Its standard output was closed, so it is ending; a moment later its last words are here.
        Ok(Err(_)) => {
            tokio::time::sleep(Duration::from_millis(100)).await;
            return Err(fail("ended before it listened".into()));
        }
        Err(_) => return Err(fail(format!("did not listen within {} s", START_TIMEOUT.as_secs()))),
    };
    match BaseUrl::parse(&url) {
        Ok(url) => Ok(Running { child, server: LocalServer { url, key: Secret::from(key) } }),
        Err(error) => Err(fail(format!("named an address that cannot be used: {error}"))),
    }
}

fn command(program: &Path, key: &str) -> Command {
    let mut command = Command::new(program);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--exit-with-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // The caller's own settings are for the client, and the key of another service is not the local server's business.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AGB_")) {
        command.env_remove(name);
    }
    command.env("AGB_API_KEY", key);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}

/// Reads lines on a thread of its own until the pipe closes: the server must never block on a full one, and it outlives
/// any runtime of its clients.
fn listen(name: &str, pipe: impl Read + Send + 'static, mut line: impl FnMut(&str) + Send + 'static) {
    let read = move || {
        let mut lines = BufReader::new(pipe);
        let mut buffer = Vec::new();
        while lines.read_until(b'\n', &mut buffer).is_ok_and(|length| length > 0) {
            line(String::from_utf8_lossy(&buffer).trim_end());
            buffer.clear();
        }
    };
    if let Err(error) = std::thread::Builder::new().name(name.into()).stack_size(256 * 1024).spawn(read) {
        tracing::error!(target: "agb::local", %error, "no thread for the local server's output");
    }
}

fn remember(last_words: &StdMutex<VecDeque<String>>, line: &str) {
    tracing::debug!(target: "agb::local", "{line}");
    let mut lines = last_words.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.len() == LAST_LINES {
        lines.pop_front();
    }
    lines.push_back(line.chars().take(500).collect());
}
