//! Input on its way to a program: each piece once, in order.
//!
//! With the extension `stdinSeq` pieces have numbers, from 1. Whoever lost a connection says again what was not confirmed,
//! and what is here already is left out. One piece after the other: the number and what it numbers are taken under one
//! lock, for a piece may come over the old connection and the new one at once.

use std::sync::Arc;

use agb_protocol::DEFAULT_TARGET;
use agb_protocol::command::{TerminalSize, signal_number};
use agb_protocol::service::Reply;

use super::event::Event;
use super::source::{InputError, Source};
use super::{Run, Shown, State};
use crate::budget::{Charge, OverBudget};

/// What a piece costs beyond its text, so that many small ones are bounded as well.
const PIECE: usize = 64;

/// How much of a run's input has been taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The last number.
    pub(super) seq: u64,
    /// The subscriber is to hear of it. Once, however many pieces have come: it is nothing that memory grows with.
    pub(super) due: bool,
    /// What was refused while there was no room to tell of it: the first, and how many came after it. For the same reason.
    refused: Option<(String, u64)>,
}

impl Run {
    /// Takes input for the program, or its end. What does not fit is refused as a whole, and the client is told. A piece
    /// that has been here is left out, and so is one behind a piece that is missing.
    pub(crate) fn take_stdin(self: &Arc<Self>, data: Option<String>, eof: bool, seq: Option<u64>) {
        let mut state = self.state();
        if !self.is_next_piece(&mut state, seq) {
            return;
        }
        let Some(source) = self.source.get() else { return };
        let taken = data.map_or(Ok(()), |data| {
            let held = state.count_input(&data).map_err(InputError::OverBudget)?;
            source.write_input(data, held)
        });
        if eof && taken.is_ok() {
            source.end_input();
        }
        drop(state);
        match taken {
            Err(error @ (InputError::Full { .. } | InputError::OverBudget(_))) => self.refuse(error.to_string()),
            // A run that has ended or was started without input: whoever writes there has seen it, or will.
            Ok(()) | Err(InputError::Closed) => {}
        }
    }
}

impl Run {
    /// Sends a signal to what runs, in its place among the pieces of its input.
    pub(crate) fn take_signal(self: &Arc<Self>, signal: &str, seq: Option<u64>) {
        self.take_order(seq, |source| {
            let number = signal_number(signal).ok_or("it is not a signal that a command can be sent")?;
            source.signal(number)
        });
    }

    /// Changes the size of the terminal of what runs, likewise.
    pub(crate) fn take_size(self: &Arc<Self>, size: TerminalSize, seq: Option<u64>) {
        self.take_order(seq, |source| source.resize(size));
    }

    fn take_order(self: &Arc<Self>, seq: Option<u64>, order: impl FnOnce(&dyn Source) -> Result<(), &'static str>) {
        let mut state = self.state();
        if state.ended || !self.is_next_piece(&mut state, seq) {
            return;
        }
        let Some(source) = self.source.get() else { return };
        let taken = order(source.as_ref());
        drop(state);
        if let Err(why) = taken {
            self.refuse(why.to_owned());
        }
    }

    fn refuse(self: &Arc<Self>, message: String) {
        let mut state = self.state();
        if state.ended {
            return;
        }
        match &mut state.input.refused {
            Some((_, more)) => *more += 1,
            none => *none = Some((message, 0)),
        }
        self.tell_refused(&mut state);
    }

    /// Tells the client what was refused, as soon as there is room for that.
    pub(super) fn tell_refused(self: &Arc<Self>, state: &mut State) {
        if state.input.refused.is_none() || !state.log.keeps_more() {
            return;
        }
        state.push_refused();
        self.announce(state);
        if state.log.wants_file() {
            self.changed.notify_one();
        }
    }

    /// Counts a piece of input. `false`: it has been here before, or one before it is missing.
    fn is_next_piece(self: &Arc<Self>, state: &mut State, seq: Option<u64>) -> bool {
        let Some(seq) = seq else { return true };
        let is_next = seq.checked_sub(1) == Some(state.input.seq);
        state.input.due = !state.log.is_over(); // who has seen the end asks for nothing
        state.input.seq += u64::from(is_next);
        self.announce(state);
        is_next
    }
}

impl State {
    /// What a piece of input counts for while it waits.
    fn count_input(&self, data: &str) -> Result<Option<Charge>, OverBudget> {
        let Some(memory) = &self.texts else { return Ok(None) };
        let mut held = memory.another();
        held.resize(data.len() + PIECE)?;
        Ok(Some(held))
    }

    /// Has what was refused in the log, whether there is room or not: it is one event.
    pub(super) fn push_refused(&mut self) {
        let Some((mut message, more)) = self.input.refused.take() else { return };
        if more > 0 {
            message.push_str(&format!("; {more} more that came after it, too"));
        }
        self.log.push(Event::InputRefused { message });
    }

    /// What tells the subscriber how much has been taken, if that is due.
    pub(super) fn confirm_input(&mut self, id: &str) -> Option<Shown> {
        if !std::mem::take(&mut self.input.due) || self.log.is_over() {
            return None;
        }
        let reply = Reply { invocation: id, source: DEFAULT_TARGET, seq: None, time: None };
        Some(Shown::small(reply.input_taken(self.input.seq)))
    }
}
