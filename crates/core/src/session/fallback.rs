//! Transport fallback: from the WebSocket to event streams, one for each run.
//!
//! Where several WebSockets in a row came to nothing and the service offers the extension `http`, the session uses event
//! streams from then on. It is the same run with the same numbers, so that what was said over the socket is not said
//! again, and a start that is repeated finds the run that is going on.

use super::Session;
use super::runs::Phase;
use super::streams;
use crate::disconnect_reason::DisconnectReason;
use crate::io::Output;
use crate::run::{RunError, RunId};

impl Session {
    pub(super) fn can_fall_back(&self) -> bool {
        let extensions = self.config.extensions;
        extensions.http && extensions.resume && self.config.link_url.is_some()
    }

    pub(super) fn has_fallen_back(&self) -> bool {
        self.fell_back
    }

    /// Leaves the WebSocket, which is lost, for event streams.
    pub(super) fn fall_back(&mut self, loss: DisconnectReason) {
        self.fell_back = true;
        self.dial.leave(loss);
        for id in self.runs.live_ids(|_| true) {
            self.outbox.remove(id); // it was for the socket
            self.streams.add(id);
        }
    }

    /// The next stream that is to be opened.
    pub(super) fn open_stream(&mut self) -> Option<Output> {
        let (now, config) = (self.now, &self.config);
        let next = &mut self.next_link;
        let (id, link) =
            self.streams.iter_mut().find_map(|stream| Some((stream.run, stream.dial.poll_open(now, config, next)?)))?;
        let run = self.runs.get_mut(id)?;
        let request = streams::open_request(run, config.link_url.as_deref()?, config);
        run.unacked = 0; // it says how much was taken
        if run.phase == Phase::Queued {
            run.phase = Phase::Sent;
            self.arm(id, false);
        }
        Some(Output::Open(link, request))
    }

    pub(super) fn stream_opened(&mut self, id: RunId) {
        let (now, config) = (self.now, &self.config);
        for stream in self.streams.iter_mut().filter(|stream| stream.run == id) {
            stream.dial.opened(now, config);
        }
        let Some(run) = self.runs.get_mut(id) else { return };
        run.maybe_sent = true;
        match run.phase {
            Phase::Detached => {
                run.phase = Phase::Sent;
                self.note_reconnected(id);
                self.arm(id, false);
            }
            Phase::Cancelling => self.enqueue(id, |address| address.cancel()), // the first one may have been lost
            _ => {}
        }
        self.acknowledge(id);
        self.enqueue_input(id, 0);
    }

    /// Before the stream is open this says that the service has taken the run.
    pub(super) fn stream_alive(&mut self, id: RunId) {
        if let Some(run) = self.runs.get_mut(id) {
            run.maybe_sent = true;
        }
    }

    pub(super) fn stream_lost(&mut self, id: RunId, reason: DisconnectReason) {
        self.outbox.remove(id);
        self.dial.note(reason.clone());
        let (now, config) = (self.now, &self.config);
        let worked = self.streams.of_run(id).is_none_or(|stream| stream.dial.count_failure(now, config) == 0);
        if let Some(run) = self.runs.get_mut(id) {
            // A refusal of the first that was said says that the service does not have it; what was said before, over
            // another link, it may have.
            let refused = reason.is_final() && !run.maybe_sent && run.request.is_some();
            run.maybe_sent |= !matches!(reason, DisconnectReason::Unreached(_));
            let give_up_at = run.give_up_at;
            match run.phase {
                _ if refused => self.end(id, Err(RunError::Unreachable(reason.clone()))),
                // There is no other way for what no event stream can carry.
                _ if reason.is_final() || reason.is_too_large() => {
                    self.end(id, Err(RunError::Interrupted(reason.clone())));
                }
                Phase::Sent if !run.maybe_sent => {
                    run.phase = Phase::Queued;
                    self.runs.set_deadline(id, give_up_at);
                }
                Phase::Sent => self.detach(id, &reason, worked),
                _ => {}
            }
        }
        let again = self.runs.get(id).is_some_and(super::runs::Run::is_live);
        for stream in self.streams.iter_mut().filter(|stream| stream.run == id) {
            stream.dial.lost(self.now, reason.clone(), again, &self.config, &mut self.rng);
        }
    }
}
