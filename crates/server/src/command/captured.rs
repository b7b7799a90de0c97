//! The output of a command that is given as a whole at its end.

use agb_protocol::Stream;

use super::sink::CommandSink;

/// The beginning of a command's streams, and how much there was beyond it.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) stdout: CapturedText,
    pub(crate) stderr: CapturedText,
}

/// The beginning of one stream.
#[derive(Debug, Default)]
pub(crate) struct CapturedText {
    text: String,
    limit: usize,
    left_out: u64,
}

impl Captured {
    /// Keeps so many bytes of each stream.
    pub(crate) fn new(limit: usize) -> Self {
        let text = || CapturedText { limit, ..CapturedText::default() };
        Self { stdout: text(), stderr: text() }
    }

    /// Bytes of both.
    pub(crate) fn size(&self) -> usize {
        self.stdout.text.len() + self.stderr.text.len()
    }
}

impl CommandSink for Captured {
    fn started(&mut self) {}

    fn output(&mut self, stream: Stream, text: String) {
        match stream {
            Stream::Stdout => self.stdout.push(&text),
            Stream::Stderr => self.stderr.push(&text),
        }
    }

    /// What is above the limit is counted only, so the command never waits.
    fn has_room(&self) -> bool {
        true
    }
}

impl CapturedText {
    fn push(&mut self, text: &str) {
        // Nothing is taken behind a gap.
        let room = if self.left_out > 0 { 0 } else { self.limit - self.text.len() };
        let kept = text.floor_char_boundary(room);
        self.text.push_str(&text[..kept]);
        self.left_out += (text.len() - kept) as u64;
    }

    /// The text, with a line about what is missing.
    pub(crate) fn into_text(self) -> String {
        let Self { mut text, left_out, .. } = self;
        if left_out > 0 {
            text.push_str(&format!("\n[{left_out} bytes more are left out; write them to a file instead]\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_kept_in_whole_characters_and_the_rest_is_counted() {
        let mut captured = Captured::new(5);
        for text in ["abc", "éé", "x", ""] {
            captured.output(Stream::Stdout, text.to_owned());
        }
        captured.output(Stream::Stderr, "12345".to_owned());
        assert_eq!(captured.stdout.into_text(), "abcé\n[3 bytes more are left out; write them to a file instead]\n");
        assert_eq!(captured.stderr.into_text(), "12345");
    }
}
