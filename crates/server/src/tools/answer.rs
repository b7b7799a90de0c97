//! What a tool answers, before it is written.

use std::fmt::{self, Display};
use std::io;

use serde::{Serialize, Serializer};

use crate::budget::Charge;

/// What a tool answers. Its text is written as it goes out: as JSON within JSON it may be seven times what it is here.
pub(crate) struct ToolAnswer {
    text: Box<dyn Display + Send>,
    size: usize,
    is_error: bool,
    /// What it takes until it is written.
    charge: Charge,
}

impl ToolAnswer {
    /// One that is a text, which is there already and counts from now on.
    pub(super) fn text(text: String, is_error: bool, mut charge: Charge) -> Self {
        charge.hold(text.capacity());
        Self { size: text.len(), text: Box::new(text), is_error, charge }
    }

    /// One that is a value, as JSON: of about so many bytes, which are counted by `charge`.
    pub(super) fn json(value: impl Serialize + Send + 'static, size: usize, is_error: bool, charge: Charge) -> Self {
        Self { text: Box::new(JsonText(value)), size, is_error, charge }
    }

    /// About how many bytes it has before it is written.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// A charge of nothing yet, for what it is written to.
    pub(crate) fn charge(&self) -> Charge {
        self.charge.another()
    }
}

/// `{content: [{type, text}], isError}`
impl Serialize for ToolAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Answer<'a> {
            content: [Part<'a>; 1],
            #[serde(rename = "isError")]
            is_error: bool,
        }
        #[derive(Serialize)]
        struct Part<'a> {
            #[serde(serialize_with = "as_text")]
            text: &'a dyn Display,
            #[serde(rename = "type")]
            kind: &'static str,
        }
        let part = Part { text: &self.text, kind: "text" };
        Answer { content: [part], is_error: self.is_error }.serialize(serializer)
    }
}

/// Writes what shows itself as a text, without a copy of it.
pub(super) fn as_text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// A value that shows itself as its JSON.
struct JsonText<T>(T);

impl<T: Serialize> Display for JsonText<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        serde_json::to_writer(Pieces(f), &self.0).map_err(|_| fmt::Error)
    }
}

struct Pieces<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl io::Write for Pieces<'_, '_> {
    /// JSON is written in pieces that are texts.
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(piece).map_err(io::Error::other)?;
        self.0.write_str(text).map_err(io::Error::other)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::budget::Budget;

    #[test]
    fn what_is_written_reads_as_what_it_was() {
        let budget = Budget::new(1 << 20);
        let said = "\0\u{1b}[1m\"\\\n\r\té\u{2028}😀";
        let read = |answer: &ToolAnswer| {
            let written = serde_json::to_string(answer).expect("a text takes everything");
            serde_json::from_str::<Value>(&written).expect("JSON")
        };
        let text = ToolAnswer::text(said.to_owned(), true, budget.nothing());
        assert_eq!(read(&text), json!({ "content": [{ "type": "text", "text": said }], "isError": true }));
        assert!(text.charge.bytes() >= said.len());

        let value = json!({ "a": said, "b": [said, 1.5, null], said: {} });
        let written = read(&ToolAnswer::json(value.clone(), 0, false, budget.nothing()));
        assert_eq!(written["isError"], false);
        let text = written["content"][0]["text"].as_str().expect("a text");
        assert_eq!(text, value.to_string());
    }
}
