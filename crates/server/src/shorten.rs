//! Texts of any length, cut to what a person reads.

use std::fmt::{self, Display, Write};

/// A message is read by a person: more than this is a program's data gone astray.
pub(crate) const MAX_MESSAGE: usize = 16 * 1024;

/// As much as an error repeats of what another server says: 400 bytes are a sentence or two, and an answer may have 16 MiB.
const MAX_SAID: usize = 400;

/// What a note on what is missing takes at most.
const NOTE: usize = 48;

/// As much of a name or a path as a message repeats: 200 characters, enough to know it by.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Cuts a text between characters, and says how much is missing. With that note it has `limit` bytes at most, which are more
/// than the note's, so that it stays as it is when it is cut again.
pub(crate) fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        let kept = text.floor_char_boundary(limit.saturating_sub(NOTE));
        let missing = text.len() - kept;
        text.truncate(kept);
        text.push_str(&format!("… [{missing} bytes more]"));
        text.shrink_to_fit();
    }
    text
}

/// What something says, at most `limit` bytes of it: what would be longer is not even written.
pub(crate) fn message(of: &impl Display, limit: usize) -> String {
    let mut limited = Limited { text: String::new(), room: limit.saturating_sub(NOTE) };
    if write!(limited, "{of}").is_err() {
        limited.text.push_str("… [the rest is left out]");
    }
    limited.text
}

/// What another server says, as an error repeats it.
pub(crate) fn said(of: &impl Display) -> String {
    message(of, MAX_SAID)
}

/// A text that takes so much more.
struct Limited {
    text: String,
    room: usize,
}

impl Write for Limited {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let fits = part.floor_char_boundary(self.room);
        self.text.push_str(&part[..fits]);
        self.room -= fits;
        if fits < part.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_once() {
        assert_eq!(cut("short".to_owned(), 100), "short");
        let once = cut("é".repeat(1000), 100);
        assert!(once.len() <= 100 && once.ends_with("bytes more]"), "{once}");
        let kept = once.matches('é').count();
        assert!(once.contains(&format!("[{} bytes more]", 2 * (1000 - kept))), "{once}");
        assert_eq!(cut(once.clone(), 100), once);
    }

    #[test]
    fn a_message_is_not_written_beyond_its_limit() {
        /// Says more than there is memory for.
        struct Endless;

        impl Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    write!(f, "{:?}", "\u{7f}")?;
                }
            }
        }

        let said = message(&Endless, 1000);
        assert!(said.len() <= 1000 && said.starts_with("\"\\u{7f}\"\"") && said.ends_with("left out]"), "{said}");
        assert_eq!(message(&"é", 1000), "é");
    }
}
