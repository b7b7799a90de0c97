//! A value's representations, which stay the JSON text that they came as.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

mod json_text;

/// The most representations of one value. 64: libraries give less than ten, and each has a cost beyond its bytes.
const MAX_PARTS: usize = 64;

/// What a part takes beyond its text: the node of the map and two allocations.
const PART_COST: usize = 96;

/// A value's representations by MIME type.
///
/// A program can send whatever it likes, so no value is made a tree: each is kept as its JSON text. Every one of these
/// texts is JSON that all readers take (`mime_bundle/json_text.rs`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MimeBundle {
    parts: BTreeMap<String, Box<str>>,
}

impl MimeBundle {
    /// Reads an object. What readers would refuse is left out of it, and so is what is beyond the first 64.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        deserializer.deserialize_map(Parts).ok().map(|parts| Self { parts })
    }

    /// The JSON text of a representation.
    #[must_use]
    pub fn get(&self, mime: &str) -> Option<&str> {
        self.parts.get(mime).map(AsRef::as_ref)
    }

    /// A representation that is a string, as that string.
    #[must_use]
    pub fn text(&self, mime: &str) -> Option<Cow<'_, str>> {
        crate::object::Value::parse(self.get(mime)?)?.as_str()
    }

    /// Every representation: its MIME type and its JSON text.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts.iter().map(|(mime, json)| (mime.as_str(), json.as_ref()))
    }

    /// Adds or replaces a representation that is a string.
    pub fn insert_text(&mut self, mime: &str, text: &str) {
        self.parts.insert(mime.to_owned(), quoted(text).into());
    }

    /// Adds or replaces a representation by its JSON text. What readers would refuse is left out.
    pub fn insert_json(&mut self, mime: &str, json: &str) {
        if serde_json::from_str::<IgnoredAny>(json).is_ok() && json_text::is_readable(json) {
            self.parts.insert(mime.to_owned(), json.into());
        }
    }

    /// Takes a representation out.
    pub fn remove(&mut self, mime: &str) {
        self.parts.remove(mime);
    }

    /// All of it as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut text = String::with_capacity(self.memory_size());
        text.push('{');
        for (at, (mime, json)) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(text, "{comma}{}:{json}", quoted(mime)).expect("a `String` takes everything");
        }
        text.push('}');
        text
    }

    /// What it takes in memory.
    #[must_use]
    pub fn memory_size(&self) -> usize {
        self.iter().map(|(mime, json)| PART_COST + mime.len() + json.len()).sum()
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

struct Parts;

impl<'de> Visitor<'de> for Parts {
    type Value = BTreeMap<String, Box<str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut parts = BTreeMap::new();
        while parts.len() < MAX_PARTS {
            let Some(mime) = map.next_key::<Cow<'_, str>>()? else { return Ok(parts) };
            let json = map.next_value::<&RawValue>()?.get();
            if json_text::is_readable(json) {
                parts.insert(mime.into_owned(), json.into());
            }
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_goes_out_as_it_is() {
        let text = r#"{"a/json":{"n":1e300,"l":[1, 2]},"text/plain":"é\n\ud83e\udd80"}"#;
        let mut bundle = MimeBundle::parse(text).unwrap();
        assert_eq!(bundle.to_json(), text);
        assert_eq!(bundle.text("text/plain").as_deref(), Some("é\n🦀"));
        assert_eq!((bundle.text("a/json"), bundle.get("none")), (None, None));
        bundle.insert_text("text/plain", "\"");
        bundle.remove("a/json");
        assert_eq!(bundle.to_json(), r#"{"text/plain":"\""}"#);
        assert_eq!(MimeBundle::parse("[]"), None);
        assert_eq!(MimeBundle::parse("{"), None);
        assert_eq!(MimeBundle::parse("{}").map(|bundle| bundle.to_json()).as_deref(), Some("{}"));
    }

    #[test]
    fn what_readers_refuse_is_left_out() {
        let deep = format!("{}{}", "[".repeat(101), "]".repeat(101));
        let text = format!(r#"{{"a":{deep},"b":1e999,"c":"\ud800","d":[true],"text/plain":"x"}}"#);
        assert_eq!(MimeBundle::parse(&text).unwrap().to_json(), r#"{"d":[true],"text/plain":"x"}"#);
    }

    #[test]
    fn memory_is_a_small_multiple_of_the_bytes() {
        for part in [r#"{"":0}"#, "[0]", "[[],[]]"] {
            let text = format!(r#"{{"a":[{}0]}}"#, format!("{part},").repeat(10_000));
            let bundle = MimeBundle::parse(&text).unwrap();
            assert!(bundle.memory_size() < text.len() + 2 * PART_COST, "{part}");
        }
        let many: String = (0..100_000).map(|n| format!(r#""{n}":0,"#)).collect();
        let bundle = MimeBundle::parse(&format!(r#"{{{many}"last":0}}"#)).unwrap();
        assert_eq!(bundle.parts.len(), MAX_PARTS);
    }
}
