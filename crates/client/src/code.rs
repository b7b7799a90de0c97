//! Running code in a session.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use agb_core::Language;
use agb_core::language::UnknownLanguage;
use agb_core::operations::{ProgramInfo, RunCode};
use agb_core::result::{Execution, Logs};
use agb_core::run::{DEFAULT_TIMEOUT, RunRequest};

use crate::error::Error;
use crate::random;
use crate::run::{Retention, Run};
use crate::session::Session;

/// Runs code in a session; see [`Session::code`].
#[derive(Clone, Copy, Debug)]
pub struct Code<'a> {
    session: &'a Session,
}

impl Session {
    /// Runs code in it.
    #[must_use]
    pub const fn code(&self) -> Code<'_> {
        Code { session: self }
    }
}

impl<'a> Code<'a> {
    /// Prepares a run: `.await` it for the whole result at once, or [`stream`](RunBuilder::stream) it.
    pub fn run(self, code: impl Into<String>, language: impl IntoLanguage) -> RunBuilder<'a> {
        RunBuilder {
            session: self.session,
            code: code.into(),
            language: language.into_language(),
            timeout: DEFAULT_TIMEOUT,
            retention: Retention::default(),
            stdin: false,
        }
    }

    /// Continues a run that was begun elsewhere, perhaps by another process, while the service keeps it: everything
    /// behind its event number `after` comes, from 0 on all of it that the service still has. `id` is [`Run::id`], the
    /// number is of [`Run::stamp`].
    pub fn attach(self, id: impl Into<String>, after: u64) -> AttachBuilder<'a> {
        AttachBuilder::new(self.session, id.into(), after, false)
    }

    /// The programs that can be attached to: those that run, and those that have ended and are kept.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn list(self) -> Result<Vec<ProgramInfo>, Error> {
        Ok(self.session.perform(ProgramInfo::list).await?.value)
    }
}

/// A run that was begun elsewhere and is not followed here yet.
#[derive(Clone, Debug)]
#[must_use = "a run that is not streamed is not followed"]
pub struct AttachBuilder<'a> {
    session: &'a Session,
    id: String,
    after: u64,
    /// It is left when it is dropped.
    goes_on: bool,
    retention: Retention,
}

impl<'a> AttachBuilder<'a> {
    pub(crate) fn new(session: &'a Session, id: String, after: u64, goes_on: bool) -> Self {
        Self { session, id, after, goes_on, retention: Retention::default() }
    }

    /// As [`RunBuilder::log_limit`].
    pub const fn log_limit(mut self, bytes: usize) -> Self {
        self.retention.log = bytes;
        self
    }

    /// As [`RunBuilder::result_limit`].
    pub const fn result_limit(mut self, bytes: usize) -> Self {
        self.retention.results = bytes;
        self
    }

    /// As [`RunBuilder::stamps`].
    pub const fn stamps(mut self, keep: bool) -> Self {
        self.retention.stamps = keep;
        self
    }

    /// Follows the run. A run that the service does not know, or no longer, ends with [`RunError::Remote`], which says
    /// so.
    ///
    /// # Errors
    /// [`Error::NoStreaming`], [`Error::Rejected`]: the session is closed, follows this run already, or its service does
    /// not know `resume`.
    ///
    /// [`RunError::Remote`]: agb_core::RunError::Remote
    pub fn stream(self) -> Result<Run, Error> {
        self.session.attach(&self.id, self.after, self.goes_on, self.retention)
    }
}

/// A run that has not been started.
#[derive(Clone, Debug)]
#[must_use = "a run that is neither awaited nor streamed does nothing"]
pub struct RunBuilder<'a> {
    session: &'a Session,
    code: String,
    language: Result<Language, UnknownLanguage>,
    timeout: Duration,
    retention: Retention,
    stdin: bool,
}

impl<'a> RunBuilder<'a> {
    /// How long the program may run: 60 s unless said.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Bytes of output per stream that are kept for the result: 16 MiB unless said. What is streamed is not limited.
    pub const fn log_limit(mut self, bytes: usize) -> Self {
        self.retention.log = bytes;
        self
    }

    /// Bytes of results (values, pictures, tables) that are kept for the run's result: 64 MiB unless said. One that finds
    /// no room is replaced by a text that says what it was. What is streamed is not limited.
    pub const fn result_limit(mut self, bytes: usize) -> Self {
        self.retention.results = bytes;
        self
    }

    /// Whether [`Run::stamp`] knows number and time of each event: it does unless said otherwise. Costs 24 bytes for each
    /// piece of output that waits.
    pub const fn stamps(mut self, keep: bool) -> Self {
        self.retention.stamps = keep;
        self
    }

    /// Whether you answer when the program asks for input ([`RunEvent::InputRequest`], [`Run::write`]): you do not unless
    /// you say so. Without it, and wherever the service does not know `stdin`, the program finds its input at its end.
    ///
    /// [`RunEvent::InputRequest`]: crate::RunEvent::InputRequest
    pub const fn stdin(mut self, answers: bool) -> Self {
        self.stdin = answers;
        self
    }

    /// Starts the run over the session's WebSocket. Call it inside a tokio runtime; elsewhere the run waits until it is
    /// read in one.
    ///
    /// Where the session has no way to stream or none gets through, the run is made by a plain call while it is read
    /// ([`RunEvent::Unstreamed`](crate::RunEvent::Unstreamed)), but never when any of it may have been sent, nor when
    /// input could be given to it ([`stdin`](Self::stdin)), which a call cannot carry.
    ///
    /// # Errors
    /// [`Error::Language`], [`Error::Rejected`]: nothing has been sent. What goes wrong later is in the run's result.
    pub fn stream(self) -> Result<Run, Error> {
        let retention = self.retention;
        let (request, session) = self.into_request()?;
        session.start(request, retention)
    }

    fn into_request(self) -> Result<(RunRequest, &'a Session), Error> {
        let request =
            RunRequest { code: self.code, language: self.language?, timeout: self.timeout, stdin: self.stdin };
        Ok((request, self.session))
    }

    /// The whole result, by the way that loses least.
    async fn result(mut self) -> Result<Execution, Error> {
        self.stdin = false; // nobody is there to answer
        if self.session.keeps_runs() {
            return Ok(self.stamps(false).stream()?.finish().await);
        }
        self.call().await
    }

    async fn call(self) -> Result<Execution, Error> {
        let retention = self.retention;
        let (request, session) = self.into_request()?;
        let operation = RunCode::new(session.data(), &request, random::id());
        let mut execution = session.call(&operation).await?.value;
        execution.truncated |= cut(&mut execution.logs, retention.log);
        execution.limit_results(retention.results);
        Ok(execution)
    }
}

impl<'a> IntoFuture for RunBuilder<'a> {
    type Output = Result<Execution, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    /// All output comes with the result.
    ///
    /// Where the service knows `resume` it is a [stream](RunBuilder::stream) that is read to its end: a lost connection
    /// loses nothing, dropping the future stops the program, and what goes wrong on the way is in the result, with what
    /// was printed before. An `Err` is of a run that was not begun.
    ///
    /// Elsewhere it is one HTTP call. An `Err` may then leave the outcome unknown: see [`Error::to_execution`].
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.result())
    }
}

/// A language, or a name for one.
pub trait IntoLanguage {
    /// Reads the name.
    ///
    /// # Errors
    /// [`UnknownLanguage`] says which names are known.
    fn into_language(self) -> Result<Language, UnknownLanguage>;
}

impl IntoLanguage for Language {
    fn into_language(self) -> Result<Language, UnknownLanguage> {
        Ok(self)
    }
}

impl IntoLanguage for &str {
    fn into_language(self) -> Result<Language, UnknownLanguage> {
        Language::parse(self)
    }
}

impl IntoLanguage for &String {
    fn into_language(self) -> Result<Language, UnknownLanguage> {
        Language::parse(self)
    }
}

/// Cuts each stream to `limit` bytes of whole characters; says whether anything was cut.
fn cut(logs: &mut Logs, limit: usize) -> bool {
    let mut truncated = false;
    for chunks in [&mut logs.stdout, &mut logs.stderr] {
        let mut room = limit;
        let mut kept = 0;
        for chunk in chunks.iter_mut() {
            if chunk.len() > room {
                chunk.truncate(chunk.floor_char_boundary(room));
                truncated = true;
                kept += usize::from(!chunk.is_empty());
                break;
            }
            room -= chunk.len();
            kept += 1;
        }
        chunks.truncate(kept);
    }
    truncated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_cut_between_characters() {
        let mut logs = Logs { stdout: vec!["ab".into(), "éé".into(), "c".into()], stderr: vec!["x".into()] };
        assert!(!cut(&mut logs.clone(), 7));
        assert!(cut(&mut logs, 5));
        assert_eq!(logs, Logs { stdout: vec!["ab".into(), "é".into()], stderr: vec!["x".into()] });
        assert!(cut(&mut logs, 0));
        assert_eq!(logs, Logs::default());
    }
}
