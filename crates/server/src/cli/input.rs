//! Standard input for a program, read only when the program asks for it: what is typed ahead stays in the terminal. A password
//! is not shown while it is typed.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc as blocking};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;

use super::text_pieces::TextPieces;

/// How much is read at once, bytes: as much as a pipe holds.
const PIECE: usize = 64 << 10;
/// A line that is longer is given in parts. The service takes a megabyte that is not read yet.
const LONGEST: usize = 512 << 10;

/// Reads standard input on a thread of its own, since a read from a terminal cannot be taken back.
pub(super) struct Input {
    questions: blocking::Sender<()>,
    answers: mpsc::UnboundedReceiver<Option<String>>,
    is_asked: bool,
}

impl Input {
    pub(super) fn start() -> Self {
        let (questions, asked) = blocking::channel();
        let (answer, answers) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut lines = Lines::default();
            while asked.recv().is_ok() {
                // Whoever does not listen any more has ended.
                let _ = answer.send(lines.next(&mut io::stdin()));
            }
        });
        Self { questions, answers, is_asked: false }
    }

    /// Begins to read, unless it is at it. A terminal does not show a password.
    pub(super) fn ask(&mut self, password: bool) {
        if password {
            hide();
        }
        if !self.is_asked {
            self.is_asked = self.questions.send(()).is_ok();
        }
    }

    pub(super) fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// What there is, whole characters; `None` at the end. May be dropped and called again.
    pub(super) async fn answer(&mut self) -> Option<String> {
        let answer = self.answers.recv().await.flatten();
        self.is_asked = false;
        show();
        answer
    }
}

/// Whatever ends the run while it asks, the terminal shows again what is typed.
impl Drop for Input {
    fn drop(&mut self) {
        show();
    }
}

/// The terminal as it was while it does not show what is typed. A process has one: whoever ends it puts it back.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

fn before() -> MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner) // it is whole at any time
}

/// Where standard input is not a terminal nothing is shown anyway.
fn hide() {
    let mut before = before();
    let Ok(shown) = tcgetattr(io::stdin().as_fd()) else { return };
    if before.is_some() || !shown.local_modes.contains(LocalModes::ECHO) {
        return;
    }
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    // The line's end is shown: what the program says next has a line of its own.
    hidden.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON);
    if tcsetattr(io::stdin().as_fd(), OptionalActions::Drain, &hidden).is_ok() {
        *before = Some(shown);
    }
}

/// Undoes [`hide`].
pub(super) fn show() {
    if let Some(shown) = before().take() {
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Drain, &shown); // an error: the terminal is gone
    }
}

/// Whole lines: an interpreter takes what comes without a line end for the end of a line.
#[derive(Default)]
struct Lines {
    pieces: TextPieces,
    /// What was read behind the last line end.
    rest: String,
}

impl Lines {
    /// What there is, at least a line; a terminal gives one, a pipe what is in it. `None` at the end.
    fn next(&mut self, from: &mut impl Read) -> Option<String> {
        let mut buffer = vec![0; PIECE];
        loop {
            let length = match from.read(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => 0,
            };
            if length == 0 {
                self.rest.extend(self.pieces.end());
                return Some(std::mem::take(&mut self.rest)).filter(|last| !last.is_empty());
            }
            self.rest.push_str(&self.pieces.push(&buffer[..length]));
            let end = self.rest.rfind('\n').map(|at| at + 1);
            if let Some(end) = end.or((self.rest.len() >= LONGEST).then_some(self.rest.len())) {
                let rest = self.rest.split_off(end);
                return Some(std::mem::replace(&mut self.rest, rest));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives so many bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.1.min(self.0.len()).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0 = &self.0[length..];
            Ok(length)
        }
    }

    #[test]
    fn lines_are_whole_wherever_they_are_cut() {
        for step in 1..12 {
            let mut from = Slow("añ\nb\n\nlast".as_bytes(), step);
            let mut lines = Lines::default();
            let all: Vec<String> = std::iter::from_fn(|| lines.next(&mut from)).collect();
            let (last, whole) = all.split_last().expect("there is text");
            assert!(whole.iter().all(|lines| lines.ends_with('\n')), "{step}: {all:?}");
            assert_eq!((all.concat().as_str(), last.as_str()), ("añ\nb\n\nlast", "last"), "{step}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_given_in_parts() {
        let long = vec![b'x'; 3 * LONGEST];
        let mut lines = Lines::default();
        let first = lines.next(&mut Slow(&long, PIECE)).expect("text");
        assert!((LONGEST..2 * LONGEST).contains(&first.len()), "{}", first.len());
    }
}
