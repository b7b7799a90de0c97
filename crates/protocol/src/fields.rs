//! The fields of a stranger's JSON object, as far as anybody needs them.
//!
//! A tree of values costs up to a hundred times the bytes that it came in: `{"":0}` is seven bytes and takes 672. Here a
//! text is a text, every other value stays the JSON text that it is, and an object has a greatest number of fields.

use std::collections::BTreeMap;

use crate::object::{Object, Value};
use crate::text::push_json_str;

/// The fields of an object, by their names. Of a name that comes twice the last one counts; null is as not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, Field>);

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A text, read.
    Text(String),
    /// Anything else, as JSON text.
    Json(String),
}

impl Field {
    fn of(value: Value<'_>) -> Self {
        match value.as_str() {
            Some(text) => Self::Text(text.into_owned()),
            None => Self::Json(value.text().to_owned()),
        }
    }

    /// A number, also as a text.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        let (Self::Text(text) | Self::Json(text)) = self;
        text.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// A whole number from 0, also as a text.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        let (Self::Text(text) | Self::Json(text)) = self;
        text.trim().parse().ok()
    }

    /// The fields of an object, which may have been sent as JSON text.
    #[must_use]
    pub fn fields(&self) -> Option<Fields> {
        let (Self::Text(text) | Self::Json(text)) = self;
        Fields::parse(text)
    }

    /// The items of a list, if they are not more than `most`.
    #[must_use]
    pub fn items(&self, most: usize) -> Option<Vec<Self>> {
        let Self::Json(text) = self else { return None };
        let items = Value::parse(text)?.items(most)?;
        Some(items.into_iter().map(Self::of).collect())
    }

    /// The text, if it is one.
    #[must_use]
    pub fn into_text(self) -> Option<String> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

impl Fields {
    /// Reads a text that is one object and nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(Object::parse(text)?.into())
    }

    /// The field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Field> {
        self.0.get(name)
    }

    /// The text of this name.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        if let Some(Field::Text(text)) = self.get(name) { Some(text) } else { None }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes in memory, with what each field costs beside its texts.
    #[must_use]
    pub fn memory_size(&self) -> usize {
        /// Two strings and a place in the tree.
        const FIELD: usize = 96;
        let size = |(name, Field::Text(text) | Field::Json(text)): (&String, &Field)| FIELD + name.len() + text.len();
        self.0.iter().map(size).sum()
    }

    /// As JSON text. What is not a text is written as it came.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = String::from("{");
        for (name, field) in &self.0 {
            if json.len() > 1 {
                json.push(',');
            }
            push_json_str(&mut json, name);
            json.push(':');
            match field {
                Field::Text(text) => push_json_str(&mut json, text),
                Field::Json(text) => json.push_str(text),
            }
        }
        json.push('}');
        json
    }
}

/// How many bytes a tree of the values of a JSON text may take in memory: what a `serde_json::Value` of it does at most.
#[must_use]
pub fn tree_size(json: &str) -> usize {
    /// A map of one member: a leaf of a B-tree has room for eleven.
    const OBJECT: usize = 700;
    /// A list of one item: it has room for four.
    const LIST: usize = 160;
    /// One item or member more, where half of the room is not used.
    const ITEM: usize = 128;
    /// Beside the bytes of a text: what an allocation is at least, and half of it for its other quote.
    const QUOTE: usize = 16;
    let (mut size, mut in_text, mut escaped) = (json.len(), false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => {
                in_text = !in_text;
                size = size.saturating_add(QUOTE);
            }
            _ if in_text => {}
            b'{' => size = size.saturating_add(OBJECT),
            b'[' => size = size.saturating_add(LIST),
            b',' => size = size.saturating_add(ITEM),
            _ => {}
        }
    }
    size
}

impl From<Object<'_>> for Fields {
    fn from(object: Object<'_>) -> Self {
        let fields = object.members().filter(|(_, value)| value.text() != "null");
        Self(fields.map(|(name, value)| (name.to_owned(), Field::of(value))).collect())
    }
}

impl IntoIterator for Fields {
    type Item = (String, Field);
    type IntoIter = std::collections::btree_map::IntoIter<String, Field>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_and_the_rest_stays() {
        let fields = Fields::parse(r#"{"a":"x\n","b":[1, {"c":2}],"n":null,"d":" 7 ","e":1.5,"o":"{\"k\":\"v\"}"}"#);
        let fields = fields.expect("it is an object");
        assert_eq!((fields.text("a"), fields.text("b"), fields.get("n")), (Some("x\n"), None, None));
        assert_eq!(fields.get("b"), Some(&Field::Json(r#"[1, {"c":2}]"#.into())));
        assert_eq!(fields.get("d").and_then(Field::count), Some(7));
        assert_eq!(fields.get("e").map(|field| (field.number(), field.count())), Some((Some(1.5), None)));
        let inner = fields.get("o").and_then(Field::fields).expect("an object as a text");
        assert_eq!((inner.len(), inner.text("k")), (1, Some("v")));
        assert_eq!(fields.get("b").and_then(|field| field.items(2)).map(|items| items.len()), Some(2));
        assert_eq!(fields.get("b").and_then(|field| field.items(1)), None);
        assert_eq!(Fields::parse("[]"), None);
    }

    #[test]
    fn fields_are_written_as_they_came() {
        let text = r#"{"a":"x\n\"","b":[1, {"c":2}],"n":null,"\u00e9\\":1.50}"#;
        let fields = Fields::parse(text).expect("it is an object");
        let written = fields.to_json();
        assert_eq!(Fields::parse(&written), Some(fields), "{written}");
        assert!(written.contains("[1, {\"c\":2}]") && written.contains("1.50"), "{written}");
        assert_eq!(Fields::default().to_json(), "{}");
    }

    #[test]
    fn a_trees_size_counts_what_is_no_text() {
        assert_eq!(tree_size(""), 0);
        // Nothing inside of a text makes a value.
        let text = format!(r#""{}""#, r#"{[,\"\\"#.repeat(1000));
        assert_eq!(tree_size(&text), text.len() + 32);
        for (piece, least) in [(r#"{"":0},"#, 672), ("[0],", 160), ("0,", 32), (r#""a","#, 48), ("[],", 32)] {
            let json = format!("[{}0]", piece.repeat(10_000));
            assert!(tree_size(&json) >= 10_000 * least, "{piece}: {}", tree_size(&json));
        }
    }

    #[test]
    fn what_is_nested_costs_what_it_weighs() {
        let nested = format!(r#"{{"a":[{}{{}}]}}"#, r#"{"":0},"#.repeat(100_000));
        let fields = Fields::parse(&nested).expect("it is an object");
        assert!(fields.memory_size() < nested.len() + 200, "{} of {}", fields.memory_size(), nested.len());
        // Fields cost more than their bytes, so there is a greatest number of them.
        assert_eq!(Fields::parse(&format!("{{{}\"\":0}}", r#""":0,"#.repeat(Object::MOST_MEMBERS))), None);
    }
}
