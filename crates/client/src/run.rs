//! One run that streams.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use agb_core::result::{Execution, ResultBudget, RichResult, RunRecorder};
use agb_core::{Batch, DisconnectReason, Piece, RemoteError, RunEnd, RunError, Stamp, StreamEvent, TerminalSize};
use futures_util::Stream;
use futures_util::future::AbortHandle;

use crate::connection::RunHandle;
use crate::log::Log;
use crate::plain::PlainCall;

/// A run that is going on, as a [`Stream`] of what it yields.
///
/// Asking for the next event or batch says that the one before is dealt with: the service keeps the rest for a while, so
/// that [`Code::attach`](crate::Code::attach) finds it when this process dies over it.
///
/// Nothing is lost by reading slowly: what is not read is held back, up to the program's own writes where the service
/// knows `flow`. Dropping it stops the program where the service can, and ends it here in any case; nothing of it is
/// run again. Where no stream gets through and nothing was sent, it is made by a plain call
/// ([`RunEvent::Unstreamed`]).
///
/// There are two ways to read, and they may be mixed: the stream, an owned string a chunk, and
/// [`next_batch`](Self::next_batch), which costs an allocation per 32 KiB. Either way ends with
/// [`finish`](Self::finish).
#[must_use = "a run that is dropped is cancelled"]
pub struct Run {
    /// Its place on the session's connection; `None` where the session has none.
    handle: Option<RunHandle>,
    /// The last transport fallback, where one is allowed.
    call: Option<PlainCall>,
    invocation: String,
    /// What the stream has taken in and not given out.
    pending: VecDeque<(RunEvent, Option<Stamp>)>,
    /// Of what the stream gave out last.
    stamp: Stamp,
    log: Log,
    recorder: RunRecorder<RichResult>,
}

/// What is kept of a run beside what is delivered, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Of each stream's output.
    pub(crate) log: usize,
    /// Of all results together.
    pub(crate) results: usize,
    /// Each piece's number and time.
    pub(crate) stamps: bool,
}

impl Default for Retention {
    fn default() -> Self {
        Self { log: Log::DEFAULT_LIMIT, results: ResultBudget::DEFAULT, stamps: true }
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
        /// Whether the answer is a password (`getpass`): it is not to be shown where it is typed.
        password: bool,
    },
    /// Input was not taken, as a whole: [`INPUT_REFUSED`](agb_core::codes::INPUT_REFUSED). The run goes on without it.
    InputRefused {
        /// Why, and what to do.
        message: String,
    },
    /// The connection was lost with input under way, and the service does not number input: it may not have arrived.
    /// The stable code is [`INPUT_UNCERTAIN`](agb_core::codes::INPUT_UNCERTAIN).
    InputUncertain,
    /// The service has not kept so many bytes of a detached command's output: nobody took them, and there was no room. The
    /// stable code is [`OUTPUT_DROPPED`](agb_core::codes::OUTPUT_DROPPED).
    OutputDropped(u64),
    /// The connection was lost; the run goes on and is looked for. [`DisconnectReason::code`] is stable.
    Interrupted(DisconnectReason),
    /// It was found again; nothing is missing.
    Reconnected,
    /// No stream gets through, for this reason, and nothing of the run was sent: it is made by a plain call, and what it
    /// prints comes at its end. The stable code is [`NO_STREAMING`](agb_core::codes::NO_STREAMING).
    Unstreamed(DisconnectReason),
}

impl Run {
    /// Without a `handle` it has a `call` that is begun.
    pub(crate) fn new(
        handle: Option<RunHandle>,
        invocation: String,
        retention: Retention,
        call: Option<PlainCall>,
    ) -> Self {
        Self {
            handle,
            call,
            invocation,
            pending: VecDeque::new(),
            stamp: Stamp::default(),
            log: Log::new(retention.log),
            recorder: RunRecorder::new(retention.results),
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
        self.poll_any(cx, false)
    }

    /// The same for those who read ahead of what they deal with, and say what that is by [`RunControl::taken`].
    pub fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arc<Batch>>> {
        self.poll_any(cx, true)
    }

    fn poll_any(&mut self, cx: &mut Context<'_>, ahead: bool) -> Poll<Option<Arc<Batch>>> {
        if self.is_finished() {
            return Poll::Ready(None);
        }
        let Poll::Ready(mut batch) = self.poll_source(cx, ahead) else { return Poll::Pending };
        if self.recorder.take_end(&mut batch) {
            self.stamp = self.recorder.end_stamp(); // for those who read batches; the stream sets its own
        }
        for event in batch.events() {
            self.recorder.note(event, |kept| kept.into_owned());
        }
        let batch = Arc::new(batch);
        self.log.keep(&batch);
        Poll::Ready(if batch.is_empty() { None } else { Some(batch) })
    }

    /// What comes next, from the connection or from the plain call.
    fn poll_source(&mut self, cx: &mut Context<'_>, ahead: bool) -> Poll<Batch> {
        if let Some(call) = self.call.as_mut()
            && call.is_begun()
        {
            return call.poll(cx);
        }
        let Some(handle) = &self.handle else { return Poll::Pending };
        let Poll::Ready(batch) = handle.poll_read(cx, ahead) else { return Poll::Pending };
        let reason = batch.end().and_then(|end| end.as_ref().err()).and_then(RunError::plain_call_reason);
        match (reason, &mut self.call) {
            // The core's word that nothing was sent; whatever else came with it would be something that was.
            (Some(reason), Some(call)) if batch.marks().is_empty() && !handle.is_closed() => {
                call.begin(reason.clone());
                call.poll(cx)
            }
            _ => Poll::Ready(batch),
        }
    }

    /// Whether the end has come.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.recorder.end().is_some()
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
        RunControl { handle: self.handle.clone(), abort: self.call.as_ref().map(PlainCall::abort_handle) }
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
        let log = std::mem::replace(&mut self.log, Log::new(0));
        let invocation = std::mem::take(&mut self.invocation);
        let (mut execution, results) = self.recorder.conclude(invocation, log.is_truncated());
        execution.results = results;
        if let Some(extra) = self.call.as_ref().map(PlainCall::extra).filter(|extra| !extra.request_id.is_empty()) {
            execution.request_id.clone_from(&extra.request_id);
            execution.truncated |= extra.truncated;
        }
        (execution, log)
    }

    /// How the run ended, with the error as a value to compare. `None` before the end.
    #[must_use]
    pub const fn end(&self) -> Option<&RunEnd> {
        self.recorder.end()
    }
}

/// Reaches a run from elsewhere; see [`Run::control`]. Harmless after the run's end.
#[derive(Clone, Debug)]
pub struct RunControl {
    handle: Option<RunHandle>,
    abort: Option<AbortHandle>,
}

impl RunControl {
    /// Stops the program where the service can, and ends the run with [`RunError::Cancelled`], at the latest after
    /// [`SessionConfig::cancel_wait`](agb_core::SessionConfig::cancel_wait). What was printed before still comes.
    pub fn cancel(&self) {
        if let Some(abort) = &self.abort {
            abort.abort();
        }
        if let Some(handle) = &self.handle {
            handle.cancel();
        }
    }

    /// Of a run that is read [ahead](Run::poll_ahead): batches of this [weight](Batch::memory_size) more have been dealt with,
    /// and everything up to the number [`Batch::seq`]. Until then the service sends no more than its window, and keeps
    /// what it sent for whoever comes after you.
    pub fn taken(&self, weight: usize, seq: u64) {
        if let Some(handle) = &self.handle {
            handle.ack(weight, seq);
        }
    }

    /// Gives the program input, now or for its next request; a line has its `\n`. Without effect where the service does
    /// not know `stdin`.
    pub fn write(&self, text: &str) {
        if let Some(handle) = &self.handle {
            handle.write(Some(text));
        }
    }

    /// Sends a signal to a command's process group, such as `SIGTERM`. Of code only [`cancel`](Self::cancel) is of use.
    pub fn kill(&self, signal: &str) {
        if let Some(handle) = &self.handle {
            handle.signal(signal);
        }
    }

    /// Changes the size of a command's terminal, in its place among what is written.
    pub fn resize(&self, cols: u16, rows: u16) {
        if let Some(handle) = &self.handle {
            handle.resize(TerminalSize { cols, rows });
        }
    }

    /// Follows the run no longer, and lets it go on where the service keeps it: it ends here with
    /// [`RunError::Left`](agb_core::RunError::Left), once the service is known to have it.
    pub fn leave(&self) {
        if let Some(handle) = &self.handle {
            handle.leave();
        }
    }

    /// Ends the program's input: what was written is read first.
    pub fn end_input(&self) {
        if let Some(handle) = &self.handle {
            handle.write(None);
        }
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
                    run.stamp = run.recorder.end_stamp();
                    return Poll::Ready(None);
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.is_finished()
            && let Some(handle) = &self.handle
        {
            handle.abandon();
        }
    }
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("id", &self.invocation).field("end", &self.end()).finish_non_exhaustive()
    }
}

impl From<Piece<'_>> for RunEvent {
    fn from(piece: Piece<'_>) -> Self {
        match piece {
            Piece::Chunk(agb_core::Stream::Stdout, text) => Self::Stdout(text.to_owned()),
            Piece::Chunk(agb_core::Stream::Stderr, text) => Self::Stderr(text.to_owned()),
            Piece::Event(StreamEvent::Result(result)) => Self::Result(result.clone()),
            Piece::Event(StreamEvent::Error(error)) => Self::Error(error.clone()),
            Piece::Event(StreamEvent::InputRequest { prompt, password }) => {
                Self::InputRequest { prompt: prompt.clone(), password: *password }
            }
            Piece::Event(StreamEvent::InputRefused { message }) => Self::InputRefused { message: message.clone() },
            Piece::Event(StreamEvent::InputUncertain) => Self::InputUncertain,
            Piece::Event(StreamEvent::OutputDropped { bytes }) => Self::OutputDropped(*bytes),
            Piece::Event(StreamEvent::Interrupted(loss)) => Self::Interrupted(loss.clone()),
            Piece::Event(StreamEvent::Unstreamed(reason)) => Self::Unstreamed(reason.clone()),
            Piece::Event(_) => Self::Reconnected,
        }
    }
}
