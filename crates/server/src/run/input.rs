//! Input on its way to a program: each piece once, in order.
//!
//! With the extension `stdinSeq` pieces have numbers, from 1. Whoever lost a connection says again what was not confirmed,
//! and what is here already is left out. One piece after the other: the number and what it numbers are taken under one
//! lock, for a piece may come over the old connection and the new one at once.

use std::sync::Arc;

use agb_protocol::DEFAULT_TARGET;
use agb_protocol::service::Reply;

use super::event::Event;
use super::source::InputError;
use super::{Run, Shown, State};

/// How much of a run's input has been taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The last number.
    pub(super) seq: u64,
    /// The subscriber is to hear of it. Once, however many pieces have come: it is nothing that memory grows with.
    pub(super) due: bool,
}

impl Run {
    /// Takes input for the program, or its end. What does not fit is refused as a whole, and the client is told. A piece
    /// that has been here is left out, and so is one behind a piece that is missing.
    pub(crate) fn take_stdin(self: &Arc<Self>, data: Option<String>, eof: bool, seq: Option<u64>) {
        let mut state = self.state();
        if let Some(seq) = seq {
            let is_next = seq.checked_sub(1) == Some(state.input.seq);
            state.input.due = !state.log.is_over(); // who has seen the end asks for nothing
            state.input.seq += u64::from(is_next);
            self.announce(&mut state);
            if !is_next {
                return;
            }
        }
        let Some(source) = self.source.get() else { return };
        let taken = data.map_or(Ok(()), |data| source.write_input(data));
        if eof && taken.is_ok() {
            source.end_input();
        }
        drop(state);
        match taken {
            Err(error @ InputError::Full { .. }) => self.push(Event::InputRefused { message: error.to_string() }),
            // A run that has ended or was started without input: whoever writes there has seen it, or will.
            Ok(()) | Err(InputError::Closed) => {}
        }
    }
}

impl State {
    /// What tells the subscriber how much has been taken, if that is due.
    pub(super) fn confirm_input(&mut self, id: &str) -> Option<Shown> {
        if !std::mem::take(&mut self.input.due) || self.log.is_over() {
            return None;
        }
        let reply = Reply { invocation: id, source: DEFAULT_TARGET, seq: None, time: None };
        Some(Shown { text: reply.input_taken(self.input.seq).into(), is_end: false })
    }
}
