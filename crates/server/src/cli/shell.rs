//! The command `agb-server shell`: a terminal in a session.

use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::process::ExitCode;

use agb_client::{Agb, CreateSession, Error, RunEvent, Session};
use clap::Args;
use futures_util::StreamExt;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::mpsc;

use super::out;
use super::remote::Remote;
use super::text_pieces::TextPieces;

/// The shell: bash where the session has one.
const SHELL: &str = "if command -v bash >/dev/null; then exec bash; else exec sh; fi";
/// Ctrl-], as of telnet: ends the shell when nothing else does.
const LEAVE: u8 = 0x1d;

/// Opens a terminal in a session. Ctrl-] ends it.
#[derive(Args)]
pub(crate) struct ShellCommand {
    #[command(flatten)]
    remote: Remote,
    /// The session's id. Default: a new session, which ends with the shell.
    session: Option<String>,
    /// The image of a new session.
    #[arg(long, default_value = "agb-code-space-1", value_name = "IMAGE", conflicts_with = "session")]
    image: String,
}

impl ShellCommand {
    pub(super) fn run(self) -> Result<ExitCode, String> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Err(
                "a shell needs a terminal as its standard input and output; to run a program, use `run`".to_owned()
            );
        }
        let agb = self.remote.agb()?;
        let code = self.remote.block_on(open(&agb, self.session.as_deref(), self.image.clone()))?;
        Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
    }
}

async fn open(agb: &Agb, session: Option<&str>, image_id: String) -> Result<i32, Error> {
    match session {
        Some(id) => follow(&agb.get(id).await?).await,
        None => {
            let session = agb.create(CreateSession { image_id, ..Default::default() }).await?;
            let code = follow(&session).await;
            session.delete().await?;
            code
        }
    }
}

async fn follow(session: &Session) -> Result<i32, Error> {
    let (cols, rows) = size();
    // What a program may show depends on this terminal, not on the server's.
    let term = std::env::var("TERM").unwrap_or_else(|_| "xterm".to_owned());
    let command = session.commands().run(SHELL).env("TERM", term).pty(cols, rows).log_limit(0).stamps(false);
    let mut run = command.stream()?;
    let mut resized = unix::signal(SignalKind::window_change()).ok();
    let mut keys = keys();
    let mut has_keys = true;
    let raw = RawMode::enter();
    loop {
        tokio::select! {
            event = run.next() => match event {
                Some(RunEvent::Stdout(text) | RunEvent::Stderr(text)) => out::print(&text),
                Some(_) => {}
                None => break,
            },
            typed = keys.recv(), if has_keys => match typed {
                Some(Key::Text(text)) => run.write(&text),
                Some(Key::Leave) | None => {
                    has_keys = false;
                    run.cancel();
                }
            },
            () = changed(&mut resized) => {
                let (cols, rows) = size();
                run.control().resize(cols, rows);
            }
        }
    }
    drop(raw);
    let execution = run.finish().await;
    if execution.exit_code.is_none() {
        eprintln!("agb-server: the shell ended: {}", execution.error_message);
    }
    Ok(execution.exit_code.unwrap_or(1))
}

async fn changed(resized: &mut Option<unix::Signal>) {
    match resized {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Columns and rows; where nobody knows, what terminals had.
fn size() -> (u16, u16) {
    match tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        _ => (80, 24),
    }
}

/// What is typed.
enum Key {
    Text(String),
    Leave,
}

/// Reads the keys on a thread of its own, since a read from a terminal cannot be taken back. Bounded: what is pasted waits
/// in the terminal.
fn keys() -> mpsc::Receiver<Key> {
    const WAITING: usize = 64;
    let (sender, receiver) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        let mut pieces = TextPieces::default();
        let mut buffer = [0; 4096];
        loop {
            let length = match io::stdin().read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
            };
            let typed = &buffer[..length];
            let leaves = typed.iter().position(|byte| *byte == LEAVE);
            let text = pieces.push(&typed[..leaves.unwrap_or(length)]);
            let keys = [(!text.is_empty()).then_some(Key::Text(text)), leaves.map(|_| Key::Leave)];
            for key in keys.into_iter().flatten() {
                if sender.blocking_send(key).is_err() {
                    return;
                }
            }
        }
    });
    receiver
}

/// The terminal hands on each key as it is typed, until this is dropped.
struct RawMode(Option<Termios>);

impl RawMode {
    fn enter() -> Self {
        let Ok(before) = tcgetattr(io::stdin().as_fd()) else { return Self(None) };
        let mut raw = before.clone();
        raw.make_raw();
        // Keys that were typed ahead stay.
        let is_set = tcsetattr(io::stdin().as_fd(), OptionalActions::Drain, &raw).is_ok();
        Self(is_set.then_some(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Drain, before); // an error: the terminal is gone
        }
    }
}
