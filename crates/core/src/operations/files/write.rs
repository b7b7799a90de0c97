//! Writing a text, part by part.

use serde_json::Value;

use super::CHUNK_SIZE;
use crate::operations::Toolbox;
use crate::operations::toolbox::{SessionTool, text_of};
use crate::procedure::{Outcome, Procedure, Step};

/// What becomes of a file that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WriteMode {
    /// It is replaced.
    #[default]
    Overwrite,
    /// The text goes behind what it has.
    Append,
    /// It stays, and the call fails.
    CreateNew,
}

impl WriteMode {
    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Overwrite => "overwrite",
            Self::Append => "append",
            Self::CreateNew => "create_new",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Overwrite, Self::Append, Self::CreateNew].into_iter().find(|mode| mode.as_str() == name)
    }
}

/// Writes the first part in the caller's mode and appends the others, in order. A part that fails ends it, and what was
/// written stays.
#[derive(Debug)]
pub struct WriteFile {
    tool: SessionTool,
    path: String,
    content: String,
    mode: WriteMode,
    /// How much was sent.
    sent: usize,
    /// Of the first part's call.
    request_id: Option<String>,
}

impl WriteFile {
    pub(super) fn new(toolbox: &Toolbox<'_>, path: &str, content: String, mode: WriteMode) -> Self {
        let tool = toolbox.tool("write_file");
        Self { tool, path: path.to_owned(), content, mode, sent: 0, request_id: None }
    }

    fn part(&mut self) -> Step<()> {
        let rest = &self.content[self.sent..];
        let end = part_length(rest);
        let mode = if self.sent == 0 { self.mode } else { WriteMode::Append };
        let arguments = [
            ("path", Value::from(self.path.as_str())),
            ("content", rest[..end].into()),
            ("mode", mode.as_str().into()),
        ];
        self.sent += end;
        Step::call(self.tool.call(arguments))
    }
}

impl Procedure for WriteFile {
    type Output = ();

    fn next(&mut self, last: Option<Outcome>) -> Step<()> {
        match last.map(|outcome| outcome.and_then(text_of)) {
            None => self.part(),
            Some(Err(error)) => Step::Done(Err(error)),
            Some(Ok(answered)) => {
                let request_id = self.request_id.get_or_insert(answered.request_id);
                if self.sent < self.content.len() { self.part() } else { Step::done((), std::mem::take(request_id)) }
            }
        }
    }
}

/// How many bytes of `text` are one part: as many UTF-16 units as the published clients send, and whole characters.
fn part_length(text: &str) -> usize {
    let mut units = 0;
    for (at, character) in text.char_indices() {
        units += character.len_utf16() as u64;
        if units > CHUNK_SIZE {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::files::Files;
    use crate::operations::played::{Played, by_gateway, tool, tool_error};

    fn write(content: &str, mode: WriteMode) -> Played<WriteFile> {
        Played::new(Files(by_gateway().toolbox()).write("/tmp/a", content.to_owned(), mode))
    }

    #[test]
    fn a_short_text_is_one_call() {
        for content in ["", "ü"] {
            let mut played = write(content, WriteMode::CreateNew);
            let expected = json!({"path": "/tmp/a", "content": content, "mode": "create_new"});
            assert_eq!(played.tool(), ("write_file".to_owned(), expected));
            assert_eq!(played.end(tool("done")), Ok(()));
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_appended() {
        let content = ["a", &"😀".repeat(30_000)].concat();
        let mut played = write(&content, WriteMode::Overwrite);
        let (mut parts, mut modes) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let (_, arguments) = played.tool();
            parts.push(arguments["content"].as_str().unwrap().to_owned());
            modes.push(arguments["mode"].as_str().unwrap().to_owned());
            played.answer(tool("done"));
        }
        assert_eq!(played.result(), Ok(()));
        assert_eq!(modes, ["overwrite", "append"]);
        assert_eq!(parts[0].encode_utf16().count(), 51_199);
        assert_eq!(parts.concat(), content);
    }

    #[test]
    fn a_part_that_fails_ends_it() {
        let mut played = write(&"x".repeat(200_000), WriteMode::Append);
        played.tool();
        assert_eq!(played.end(tool_error("disk full")).unwrap_err().to_string(), "disk full");
    }
}
