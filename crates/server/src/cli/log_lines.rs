//! Where the log goes: each event is one line, whatever strangers have caused to be told in it.
//!
//! Names of files, messages of programs and the like may have line ends, and what follows one would look like an event
//! of its own; and what terminals act on, which could clear the screen.

use std::borrow::Cow;
use std::io::{self, Write};

/// A writer to which each call writes one event.
pub(super) struct LogLines<W> {
    pub(super) writer: W,
    /// The events are coloured. Then a stranger can choose colours, too, and nothing else.
    pub(super) has_colours: bool,
}

impl<W: Write> Write for LogLines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.writer.write_all(one_line(&String::from_utf8_lossy(event), self.has_colours).as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// The same with an escape for every line end but the last one, and for every other control character but tabs.
fn one_line(event: &str, has_colours: bool) -> Cow<'_, str> {
    let (text, end) = match event.strip_suffix('\n') {
        Some(text) => (text, "\n"),
        None => (event, ""),
    };
    let is_escaped = |at: usize, c: char| c.is_control() && c != '\t' && !(has_colours && is_colour(&text[at..]));
    if !text.char_indices().any(|(at, c)| is_escaped(at, c)) {
        return Cow::Borrowed(event);
    }
    let mut line = String::with_capacity(event.len() + 16);
    for (at, c) in text.char_indices() {
        if is_escaped(at, c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line.push_str(end);
    Cow::Owned(line)
}

/// Whether a text begins with a terminal's sequence for a colour and the like.
fn is_colour(text: &str) -> bool {
    let rest = text.strip_prefix("\u{1b}[").unwrap_or_default();
    rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m')
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_event_is_one_line_and_moves_no_terminal() {
        let memory = Memory::default();
        let writer = memory.clone();
        let lines = move || LogLines { writer: writer.clone(), has_colours: false };
        let layer = fmt::layer().with_ansi(false).with_writer(lines);
        let evil = "a\n2026-11-29T00:00:00Z  INFO agb_server: forged\r\x1b[2J\x07\u{9b}31m\x7f é";
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::warn!(error = %evil, text = evil, debug = ?evil, "about {evil}");
            tracing::warn!("two");
        });
        let log = String::from_utf8(memory.0.lock().expect("no panic").clone()).expect("text");
        assert_eq!(log.lines().count(), 2, "{log}");
        assert!(log.ends_with("two\n") && log.contains("é") && log.contains("\\n2026"), "{log}");
        let acts = |c: char| c.is_control() && c != '\n';
        assert!(!log.contains(acts), "{log:?}");
    }

    #[test]
    fn what_is_plain_stays_as_it_is() {
        for plain in ["a line\n", "\u{1b}[32mgreen\u{1b}[0m\ttabbed\n", "without an end", "", "\n"] {
            assert!(matches!(one_line(plain, true), Cow::Borrowed(same) if same == plain), "{plain:?}");
        }
        assert_eq!(one_line("a\nb\r\n\n", true), "a\\nb\\r\\n\n");
        assert_eq!(one_line("\u{1b}[1;31mred", false), "\\u{1b}[1;31mred");
        assert_eq!(one_line("\u{1b}[1;31mred\u{1b}[2J", true), "\u{1b}[1;31mred\\u{1b}[2J");
    }
}
