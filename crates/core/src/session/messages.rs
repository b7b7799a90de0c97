//! What a service's messages do to their runs.

use std::borrow::Cow;

use super::Session;
use super::runs::{Phase, Reader};
use crate::batch::{Stamp, Stream};
use crate::disconnect_reason::DisconnectReason;
use crate::result::RunStatus;
use crate::run::{Finish, PIECE, RunEnd, RunError, RunId, StreamEvent, Violation};
use crate::wire::envelope::Known;
use crate::wire::incoming::{self, Incoming, Message, Origin, Text};
use crate::wire::text::BadEscape;

impl Session {
    pub(super) fn text(&mut self, text: &str) {
        if cfg!(feature = "fast-chunks")
            && let Some(known) = self.envelopes.read(text)
            && self.known(&known)
        {
            return;
        }
        let Incoming::Run { invocation, origin, message } = incoming::parse(text) else { return };
        if cfg!(feature = "fast-chunks")
            && let (Cow::Borrowed(invocation), Message::Chunk(stream, Text::Raw(chunk))) = (&invocation, &message)
        {
            self.envelopes.learn(text, invocation, *stream, origin, *chunk);
        }
        let Some(id) = self.runs.find(&invocation) else { return };
        match self.number(id, &origin) {
            Ok(true) => {
                self.message(id, message);
                self.drop_unwanted(id);
            }
            Ok(false) => {}
            Err(violation) => self.violation(id, violation),
        }
    }

    /// Takes the next chunk of a run that has been heard of. `false`: it is not that simple, and nothing has been done.
    fn known(&mut self, known: &Known<'_>) -> bool {
        let Some(id) = self.runs.find(known.invocation) else { return false };
        let Some(run) = self.runs.get_mut(id) else { return false };
        if !run.received || known.seq.is_some_and(|seq| seq != run.seq + 1) {
            return false;
        }
        let seq = known.seq.unwrap_or(run.seq);
        let stamp = Stamp { seq: known.seq.unwrap_or(run.stamp.seq + 1), time: known.time, background: false };
        let appended = self.runs.append(id, |unread| {
            unread.push_chunk(known.stream, |buffer| known.append_to(buffer))?;
            unread.stamp(seq, stamp);
            Ok::<_, BadEscape>(())
        });
        if !matches!(appended, Some(Ok(()))) {
            return false;
        }
        if let Some(run) = self.runs.get_mut(id) {
            (run.seq, run.stamp) = (seq, stamp);
        }
        self.note_progress(id);
        self.check_unread(id);
        true
    }

    /// Notes the message's number. `Ok(false)`: it has been here before.
    pub(super) fn number(&mut self, id: RunId, origin: &Origin) -> Result<bool, Violation> {
        let Some(run) = self.runs.get_mut(id) else { return Ok(false) };
        if !run.received {
            run.received = true;
            if self.config.extensions.resume {
                self.arm(id, true); // until now it was the first event that was waited for
            }
            self.note_progress(id);
        } else if origin.seq.is_none() && !self.config.extensions.resume {
            self.note_progress(id);
        }
        let Some(run) = self.runs.get_mut(id) else { return Ok(false) };
        let Some(got) = origin.seq else {
            // Where events have numbers, one without (an answer to this client alone) bears that of the one before.
            let seq = if run.seq > 0 { run.seq } else { run.stamp.seq + 1 };
            run.stamp = Stamp { seq, time: origin.time, background: origin.background };
            return Ok(true);
        };
        let expected = run.seq + 1;
        // Attached to from 0, which is all that the service still has: where that begins the service knows.
        let begins = run.request.is_none() && run.seq == 0;
        if got > expected && !begins {
            return Err(Violation::Gap { expected, got });
        }
        if got >= expected {
            run.seq = got;
            run.stamp = Stamp { seq: got, time: origin.time, background: origin.background };
            self.note_progress(id);
        }
        Ok(got >= expected)
    }

    pub(super) fn message(&mut self, id: RunId, message: Message<'_>) {
        match message {
            Message::Chunk(stream, text) => self.chunk(id, stream, &text),
            Message::Event(event) => {
                if let Some((event, seq, stamp)) = self.hold_raised(id, event) {
                    self.event(id, event, seq, stamp);
                    self.check_unread(id);
                }
            }
            Message::Accepted(input) => {
                self.waits(id, true);
                self.confirm_input(id, input);
            }
            Message::Started(input) => {
                self.waits(id, false);
                self.confirm_input(id, input);
            }
            Message::InputTaken(input) => self.confirm_input(id, input),
            Message::Unknown => self.pass_over(id),
            Message::End(finish) => self.finish(id, finish),
            Message::Failed(message) => {
                let begun = self.runs.get(id).is_some_and(|run| run.received || run.request.is_none());
                // It was going on, and the service knows no more of it or shows it to somebody else: what becomes of it is
                // not for us to say. Without the extension this is how a service tells of a failure.
                let error = match begun && self.config.extensions.resume {
                    true => RunError::Interrupted(DisconnectReason::Broken(message)),
                    false => RunError::Remote { message },
                };
                self.end(id, Err(error));
            }
            Message::Violation(violation) => self.violation(id, violation),
        }
    }

    /// What a cancelled program raises waits for the end: where that says "cancelled", it is the interrupt, and the
    /// application is told of one thing once. Gives what is to be told now.
    fn hold_raised(&mut self, id: RunId, event: StreamEvent) -> Option<(StreamEvent, u64, Stamp)> {
        let (seq, stamp) = self.stamp(id);
        match self.runs.get_mut(id).filter(|run| run.phase == Phase::Cancelling) {
            Some(run) if matches!(event, StreamEvent::Error(_)) => run.raised.replace((event, seq, stamp)),
            _ => Some((event, seq, stamp)),
        }
    }

    /// An event that only later clients know. Nobody takes it, but the service keeps it like any other.
    fn pass_over(&mut self, id: RunId) {
        if let Some(run) = self.runs.get(id).filter(|run| run.unread.is_empty() && run.in_flight.0 == 0) {
            self.ack(self.now, id, PIECE, run.seq);
        }
    }

    /// Whether the program waits behind others, for as long as it takes: that the service lives is seen by its heartbeat.
    fn waits(&mut self, id: RunId, waits: bool) {
        if let Some(run) = self.runs.get_mut(id) {
            // A service says it again to each connection.
            let begins = std::mem::replace(&mut run.waits, waits) && !waits;
            self.arm(id, begins);
        }
    }

    pub(super) fn chunk(&mut self, id: RunId, stream: Stream, text: &Text<'_>) {
        let (seq, stamp) = self.stamp(id);
        let appended = self.runs.append(id, |unread| {
            unread.push_chunk(stream, |buffer| text.append_to(buffer))?;
            unread.stamp(seq, stamp);
            Ok(())
        });
        match appended {
            Some(Err(violation)) => self.violation(id, violation),
            _ => self.check_unread(id),
        }
    }

    /// What comes of a run that nobody reads is dropped, and out of the way of its end. `true`: it is such a run.
    pub(super) fn drop_unwanted(&mut self, id: RunId) -> bool {
        let leaves = self.leave_if_known(id);
        let Some(run) = self.runs.get_mut(id).filter(|run| run.is_live() && run.reader != Reader::Reads) else {
            return false;
        };
        if leaves {
            return true; // what came last is for the next reader
        }
        run.acked = run.seq;
        let seq = run.seq;
        if seq > 0 {
            self.enqueue(id, |address| address.ack(seq));
        }
        true
    }

    /// The number and the stamp of what came last of a run.
    pub(super) fn stamp(&self, id: RunId) -> (u64, Stamp) {
        self.runs.get(id).map_or_else(Default::default, |run| (run.seq, run.stamp))
    }

    /// Tells the application of its connection. What waits of this is bounded, however often a link breaks under a
    /// run that nobody reads: the rest is in the end's count of interruptions.
    pub(super) fn notice(&mut self, id: RunId, event: StreamEvent) {
        if self.runs.get(id).is_some_and(|run| run.unread.is_full_of_notices(&event)) {
            return;
        }
        let (seq, stamp) = self.stamp(id);
        self.event(id, event, seq, Stamp { time: None, background: false, ..stamp });
    }

    fn event(&mut self, id: RunId, event: StreamEvent, seq: u64, stamp: Stamp) {
        self.runs.append(id, |unread| {
            unread.push_event(event);
            unread.stamp(seq, stamp);
        });
    }

    pub(super) fn check_unread(&mut self, id: RunId) {
        let limit = self.config.unread_limit;
        let unread = self.runs.get(id).map_or(0, |run| run.unread.bytes());
        // Where reading can be paused or the service waits for us, too much unread is the service's doing.
        if unread > limit && (!self.capabilities.pause || self.config.extensions.flow) {
            self.stop(id, RunError::Overflow { limit });
        }
    }

    pub(super) fn finish(&mut self, id: RunId, finish: Finish) {
        let cancelling = self.runs.get(id).is_some_and(|run| run.phase == Phase::Cancelling);
        // It may have finished before the cancel reached it: then it was not cancelled.
        // Or it may have died or run out of time: then it is that.
        let cancelled = finish.reason.is_none_or(|reason| reason == RunStatus::Cancelled);
        let end: RunEnd = if cancelling && finish.failed && cancelled {
            if let Some(run) = self.runs.get_mut(id) {
                run.execution_time = finish.execution_time;
            }
            Err(match finish.unconfirmed {
                true => RunError::CancelUnconfirmed,
                false => RunError::Cancelled { state_lost: finish.state_lost },
            })
        } else {
            Ok(finish)
        };
        self.end(id, end);
    }

    pub(super) fn violation(&mut self, id: RunId, violation: Violation) {
        self.stop(id, RunError::Protocol(violation));
    }
}
