//! The output of a command that is given as a whole at its end.

use std::fmt;

use agb_protocol::Stream;

use super::sink::CommandSink;
use crate::budget::{Charge, OverBudget};

/// The beginning of a command's streams, and how much there was beyond it. What is kept is counted as it comes.
#[derive(Debug)]
pub(crate) struct Captured {
    stdout: CapturedText,
    stderr: CapturedText,
    charge: Charge,
    /// There was no room: nothing is kept any more.
    refused: Option<OverBudget>,
}

/// The beginning of one stream. Shows itself with a line about what is missing.
#[derive(Debug, Default)]
pub(crate) struct CapturedText {
    text: String,
    limit: usize,
    left_out: u64,
}

/// All of it, once the command has ended.
#[derive(Debug)]
pub(crate) struct CapturedOutput {
    pub(crate) stdout: CapturedText,
    pub(crate) stderr: CapturedText,
    pub(crate) charge: Charge,
}

impl Captured {
    /// Keeps so many bytes of each stream, which count for `charge`.
    pub(crate) fn new(limit: usize, charge: Charge) -> Self {
        let text = || CapturedText { limit, ..CapturedText::default() };
        Self { stdout: text(), stderr: text(), charge, refused: None }
    }

    /// What was kept.
    ///
    /// # Errors
    /// When there was no room for it: the command ran to its end all the same.
    pub(crate) fn finish(self) -> Result<CapturedOutput, OverBudget> {
        let Self { stdout, stderr, charge, refused } = self;
        refused.map_or(Ok(CapturedOutput { stdout, stderr, charge }), Err)
    }
}

impl CommandSink for Captured {
    fn started(&mut self) {}

    fn output(&mut self, stream: Stream, text: String) {
        if self.refused.is_some() {
            return;
        }
        let to = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        if let Err(over) = to.push(&text, &mut self.charge) {
            // A half is nobody's answer, and others need the room.
            *self = Self { refused: Some(over), ..Self::new(0, self.charge.another()) };
        }
    }

    /// What is above the limit is counted only, so the command never waits.
    fn has_room(&self) -> bool {
        true
    }
}

impl CapturedText {
    /// Bytes that were kept.
    pub(crate) fn size(&self) -> usize {
        self.text.len()
    }

    fn push(&mut self, text: &str, charge: &mut Charge) -> Result<(), OverBudget> {
        // Nothing is taken behind a gap.
        let room = if self.left_out > 0 { 0 } else { self.limit - self.text.len() };
        let kept = text.floor_char_boundary(room);
        charge.push_str(&mut self.text, &text[..kept], self.limit)?;
        self.left_out += (text.len() - kept) as u64;
        Ok(())
    }
}

impl fmt::Display for CapturedText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match self.left_out {
            0 => Ok(()),
            bytes => write!(f, "\n[{bytes} bytes more are left out; write them to a file instead]\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Budget;

    #[test]
    fn the_beginning_is_kept_in_whole_characters_and_the_rest_is_counted() {
        let mut captured = Captured::new(5, Budget::new(10).nothing());
        for text in ["abc", "éé", "x", ""] {
            captured.output(Stream::Stdout, text.to_owned());
        }
        captured.output(Stream::Stderr, "12345".to_owned());
        let CapturedOutput { stdout, stderr, charge } = captured.finish().expect("there is room");
        assert_eq!(stdout.to_string(), "abcé\n[3 bytes more are left out; write them to a file instead]\n");
        assert_eq!(stderr.to_string(), "12345");
        assert_eq!(charge.bytes(), 10, "no more than may be kept");
    }

    #[test]
    fn what_has_no_room_is_let_go_of_and_told() {
        let budget = Budget::new(100_000);
        let mut captured = Captured::new(1_000_000, budget.nothing());
        captured.output(Stream::Stderr, "x".repeat(60_000));
        assert!(budget.charge(50_000).is_err(), "it counts while the command runs");
        captured.output(Stream::Stdout, "y".repeat(60_000));
        drop(budget.charge(100_000).expect("all of it was given back"));
        captured.output(Stream::Stdout, "y".to_owned());
        assert_eq!(captured.finish().err().map(OverBudget::most), Some(100_000));
    }
}
