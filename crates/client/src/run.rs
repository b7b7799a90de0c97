//! One run that streams.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use agb_core::result::{Execution, ResultRoom, RichResult};
use agb_core::{Batch, Loss, Piece, RemoteError, RunEnd, RunError, RunId, Session, Stamp, StreamEvent};
use futures_util::Stream;

use crate::connection::Connection;
use crate::log::Log;

/// A run that is going on, as a [`Stream`] of what it yields.
///
/// Nothing is lost by reading slowly: what is not read is held back, up to the program's own writes where the service
/// knows `flow`. Dropping it stops the program where the service can, and ends it here in any case; nothing of it is
/// run again.
///
/// There are two ways to read, and they may be mixed: the stream, an owned string a chunk, and
/// [`next_batch`](Self::next_batch), which costs an allocation per 32 KiB. Either way ends with
/// [`finish`](Self::finish).
#[must_use = "a run that is dropped is cancelled"]
pub struct Run {
    connection: Arc<Connection>,
    id: RunId,
    invocation: String,
    /// What the stream has taken in and not given out.
    pending: VecDeque<(RunEvent, Option<Stamp>)>,
    /// Of what the stream gave out last.
    stamp: Stamp,
    log: Log,
    results: Vec<RichResult>,
    room: ResultRoom,
    error: Option<RemoteError>,
    interruptions: u32,
    end: Option<RunEnd>,
    end_stamp: Stamp,
}

/// What is kept of a run beside what is delivered, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    /// Of each stream's output.
    pub(crate) log: usize,
    /// Of all results together.
    pub(crate) results: usize,
    /// Each piece's number and time.
    pub(crate) stamps: bool,
}

impl Kept {
    pub(crate) fn tell(self, session: &mut Session, id: RunId) {
        if self.stamps {
            session.keep_stamps(id);
        }
    }
}

impl Default for Kept {
    fn default() -> Self {
        Self { log: Log::DEFAULT_LIMIT, results: ResultRoom::DEFAULT, stamps: true }
    }
}

/// What a run yields.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RunEvent {
    /// A piece of standard output, whole characters.
    Stdout(String),
    /// A piece of standard error, whole characters.
    Stderr(String),
    /// A value, a picture, a table.
    Result(RichResult),
    /// The program raised, or the service reports a failure of the run.
    Error(RemoteError),
    /// The program waits for a line of input; answer with [`Run::write`].
    InputRequest {
        /// What the program printed to ask.
        prompt: String,
    },
    /// The connection was lost; the run goes on and is looked for. [`Loss::code`] is stable.
    Interrupted(Loss),
    /// It was found again; nothing is missing.
    Reconnected,
}

impl Run {
    pub(crate) fn new(connection: Arc<Connection>, id: RunId, invocation: String, kept: Kept) -> Self {
        Self {
            connection,
            id,
            invocation,
            pending: VecDeque::new(),
            stamp: Stamp::default(),
            log: Log::new(kept.log),
            results: Vec::new(),
            room: ResultRoom::new(kept.results),
            error: None,
            interruptions: 0,
            end: None,
            end_stamp: Stamp::default(),
        }
    }

    /// The id by which the service knows this run.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.invocation
    }

    /// What has come since the last call: one string for all chunks, and where each ends. `None` after the end.
    ///
    /// The batch is shared with the run's log, hence the [`Arc`].
    pub async fn next_batch(&mut self) -> Option<Arc<Batch>> {
        poll_fn(|cx| self.poll_batch(cx)).await
    }

    /// [`next_batch`](Self::next_batch) for those who poll.
    pub fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arc<Batch>>> {
        if self.end.is_some() {
            return Poll::Ready(None);
        }
        let Poll::Ready(mut batch) = self.connection.shared().poll_read(cx, self.id) else { return Poll::Pending };
        self.end = batch.take_end();
        if self.end.is_some() {
            self.end_stamp = batch.end_stamp();
            self.stamp = self.end_stamp; // for those who read batches; the stream sets its own
        }
        for event in batch.events() {
            match event {
                StreamEvent::Result(result) => self.results.extend(self.room.keep(result).map(Cow::into_owned)),
                StreamEvent::Error(error) => self.error = Some(error.clone()),
                StreamEvent::Reconnected => self.interruptions = self.interruptions.saturating_add(1),
                _ => {}
            }
        }
        let batch = Arc::new(batch);
        self.log.keep(&batch);
        Poll::Ready(if batch.is_empty() { None } else { Some(batch) })
    }

    /// Whether the end has come.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.end.is_some()
    }

    /// As [`RunControl::cancel`].
    pub fn cancel(&self) {
        self.control().cancel();
    }

    /// Number and time of the event that the stream gave last; after the last one, of the run's end. With its number
    /// [`Code::attach`](crate::Code::attach) continues behind it.
    #[must_use]
    pub const fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Something that reaches this run from elsewhere: to cancel it, or to give it input.
    #[must_use]
    pub fn control(&self) -> RunControl {
        RunControl { connection: Arc::clone(&self.connection), id: self.id }
    }

    /// As [`RunControl::write`].
    pub fn write(&self, text: &str) {
        self.control().write(text);
    }

    /// As [`RunControl::end_input`].
    pub fn end_input(&self) {
        self.control().end_input();
    }

    /// Reads to the end and says what the run came to.
    ///
    /// Never fails: what goes wrong on the far side or on the way is in [`Execution::error`] and
    /// [`Execution::error_message`].
    pub async fn finish(mut self) -> Execution {
        while self.next_batch().await.is_some() {}
        let (mut execution, log) = self.into_parts();
        execution.logs = log.to_logs();
        execution
    }

    /// What the run came to and, apart from it and uncopied, what it printed. Before the end of the stream: a cancelled
    /// run.
    #[must_use]
    pub fn into_parts(mut self) -> (Execution, Log) {
        let end = self.end.clone().unwrap_or(Err(RunError::Cancelled { state_lost: false }));
        let log = std::mem::replace(&mut self.log, Log::new(0));
        let mut execution = Execution::from_stream(
            std::mem::take(&mut self.invocation),
            std::mem::take(&mut self.results),
            self.error.as_ref(),
            &end,
        );
        execution.truncated = log.is_truncated() || self.room.is_truncated();
        execution.interruptions = self.interruptions;
        (execution, log)
    }

    /// How the run ended, with the error as a value to compare. `None` before the end.
    #[must_use]
    pub const fn end(&self) -> Option<&RunEnd> {
        self.end.as_ref()
    }
}

/// Reaches a run from elsewhere; see [`Run::control`]. Harmless after the run's end.
#[derive(Clone)]
pub struct RunControl {
    connection: Arc<Connection>,
    id: RunId,
}

impl RunControl {
    /// Stops the program where the service can, and ends the run with [`RunError::Cancelled`], at the latest after
    /// [`SessionConfig::cancel_wait`](agb_core::SessionConfig::cancel_wait). What was printed before still comes.
    pub fn cancel(&self) {
        self.connection.shared().with(|session, now| session.cancel(now, self.id));
    }

    /// Gives the program input, now or for its next request; a line has its `\n`. Without effect where the service does
    /// not know `stdin`.
    pub fn write(&self, text: &str) {
        self.connection.shared().with(|session, now| session.write(now, self.id, Some(text)));
    }

    /// Ends the program's input: what was written is read first.
    pub fn end_input(&self) {
        self.connection.shared().with(|session, now| session.write(now, self.id, None));
    }
}

impl std::fmt::Debug for RunControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RunControl").field(&self.id).finish()
    }
}

impl Stream for Run {
    type Item = RunEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<RunEvent>> {
        let run = self.get_mut();
        loop {
            if let Some((event, stamp)) = run.pending.pop_front() {
                run.stamp = stamp.unwrap_or(run.stamp);
                return Poll::Ready(Some(event));
            }
            match run.poll_batch(cx) {
                Poll::Ready(Some(batch)) => {
                    let mut stamps = batch.stamps().iter().copied();
                    run.pending.extend(batch.pieces().map(|piece| (RunEvent::from(piece), stamps.next())));
                }
                Poll::Ready(None) => {
                    run.stamp = run.end_stamp;
                    return Poll::Ready(None);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.end.is_none() {
            self.connection.shared().abandon(self.id);
        }
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("id", &self.invocation).field("end", &self.end).finish_non_exhaustive()
    }
}

impl From<Piece<'_>> for RunEvent {
    fn from(piece: Piece<'_>) -> Self {
        match piece {
            Piece::Chunk(agb_core::Stream::Stdout, text) => Self::Stdout(text.to_owned()),
            Piece::Chunk(agb_core::Stream::Stderr, text) => Self::Stderr(text.to_owned()),
            Piece::Event(StreamEvent::Result(result)) => Self::Result(result.clone()),
            Piece::Event(StreamEvent::Error(error)) => Self::Error(error.clone()),
            Piece::Event(StreamEvent::InputRequest { prompt }) => Self::InputRequest { prompt: prompt.clone() },
            Piece::Event(StreamEvent::Interrupted(loss)) => Self::Interrupted(loss.clone()),
            Piece::Event(_) => Self::Reconnected,
        }
    }
}
