//! A command's input on its way to the process: bounded, in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe::Sender;
use tokio::sync::Notify;

use super::terminal::OpenTerminal;
use crate::budget::Charge;
use crate::lock::lock;
use crate::run::InputError;

/// So much may wait for a command that does not read.
///
/// 1 MiB, as of a program's input, and as much as a client sends ahead.
const LIMIT: usize = 1 << 20;

/// What a piece costs beyond its text, so that many small ones are bounded as well.
const PIECE: usize = 64;

/// What a terminal takes for the end of the input: Ctrl-D.
const END_OF_INPUT: &str = "\u{4}";

/// What waits for a command's process.
#[derive(Debug)]
pub(super) struct Input {
    state: Mutex<State>,
    changed: Notify,
    is_terminal: bool,
}

#[derive(Debug)]
struct State {
    /// With what each counts for while it waits.
    pieces: VecDeque<(String, Option<Charge>)>,
    bytes: usize,
    is_open: bool,
}

impl Input {
    pub(super) fn new(is_open: bool, is_terminal: bool) -> Self {
        let state = State { pieces: VecDeque::new(), bytes: 0, is_open: is_open || is_terminal };
        Self { state: Mutex::new(state), changed: Notify::new(), is_terminal }
    }

    /// Takes a piece as a whole or not at all.
    pub(super) fn write(&self, data: String, held: Option<Charge>) -> Result<(), InputError> {
        let mut state = self.lock();
        if !state.is_open {
            return Err(InputError::Closed);
        }
        let cost = data.len() + PIECE;
        if state.bytes + cost > LIMIT {
            return Err(InputError::Full { unread: state.bytes });
        }
        state.bytes += cost;
        state.pieces.push_back((data, held));
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// What was written is read first. A terminal stays open: its end of input is a character.
    pub(super) fn end(&self) {
        if self.is_terminal {
            // A terminal that takes nothing more is not at the end of its input either.
            let _ = self.write(END_OF_INPUT.to_owned(), None);
        } else {
            self.close();
        }
    }

    /// Nothing more is taken.
    pub(super) fn close(&self) {
        self.lock().is_open = false;
        self.changed.notify_one();
    }

    /// The command has ended: what it has not read is for nobody.
    pub(super) fn discard(&self) {
        let mut state = self.lock();
        let unread = std::mem::take(&mut state.pieces);
        (state.bytes, state.is_open) = (0, false);
        drop(state);
        drop(unread);
        self.changed.notify_one();
    }

    /// The next piece, with what it counts for; `None`: no more comes. Cancel-safe.
    async fn next(&self) -> Option<(String, Option<Charge>)> {
        loop {
            {
                let mut state = self.lock();
                if let Some(piece) = state.pieces.pop_front() {
                    state.bytes -= piece.0.len() + PIECE;
                    return Some(piece);
                }
                if !state.is_open {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code between lock and unlock panics.
        lock(&self.state)
    }
}

/// Where input is written.
pub(super) enum InputEnd {
    Pipe(Sender),
    Terminal(Arc<OpenTerminal>),
}

/// Writes what comes until there is no more or nobody reads it.
pub(super) async fn carry(input: &Input, mut end: InputEnd) {
    while let Some((piece, _held)) = input.next().await {
        let written = match &mut end {
            InputEnd::Pipe(pipe) => pipe.write_all(piece.as_bytes()).await,
            InputEnd::Terminal(terminal) => terminal.write_all(piece.as_bytes()).await,
        };
        if written.is_err() {
            input.close(); // the command does not read any more
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    async fn text(input: &Input) -> Option<String> {
        input.next().await.map(|(piece, _)| piece)
    }

    #[tokio::test]
    async fn what_waits_counts_until_it_is_read_or_for_nobody() {
        let budget = Budget::new(1000);
        let input = Input::new(true, false);
        for piece in ["a", "b", "c"] {
            input.write(piece.to_owned(), Some(budget.charge(100).expect("there is room"))).expect("there is room");
        }
        assert_eq!(budget.used(), 300);
        assert_eq!(text(&input).await.as_deref(), Some("a"));
        assert_eq!(budget.used(), 200);
        input.discard();
        assert_eq!((budget.used(), text(&input).await), (0, None));
    }

    #[tokio::test]
    async fn pieces_come_in_order_and_then_the_end() {
        let input = Input::new(true, false);
        input.write("a".to_owned(), None).expect("there is room");
        input.write("b".to_owned(), None).expect("there is room");
        input.end();
        assert!(matches!(input.write("c".to_owned(), None), Err(InputError::Closed)));
        assert_eq!((text(&input).await.as_deref(), text(&input).await.as_deref()), (Some("a"), Some("b")));
        assert_eq!(text(&input).await, None);
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_as_a_whole() {
        let input = Input::new(true, false);
        let half = "x".repeat(LIMIT / 2);
        input.write(half.clone(), None).expect("there is room");
        assert!(matches!(input.write(half.clone(), None), Err(InputError::Full { .. })));
        input.next().await.expect("the first one");
        input.write(half, None).expect("there is room again");
    }

    #[tokio::test]
    async fn a_terminal_s_end_of_input_is_a_character() {
        let input = Input::new(false, true);
        input.end();
        input.write("more".to_owned(), None).expect("it stays open");
        assert_eq!(text(&input).await.as_deref(), Some(END_OF_INPUT));
    }
}
