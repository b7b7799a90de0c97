//! Walking JSON that others wrote: total, lenient, and without derived code (the wasm build pays for every derive).

use serde_json::{Map, Value};

#[cfg(not(target_family = "wasm"))] // a page counts nothing: it has one service and a memory of its own
pub(crate) mod room;

/// A JSON object.
pub(crate) type Object = Map<String, Value>;

/// Parses a document. What serde_json refuses is refused, deep nesting included (128 levels), with one exception:
/// a lone surrogate escape such as `\ud800`, which Python and JavaScript both write when a program's text has one,
/// becomes U+FFFD instead of costing the whole answer. Within a counted reading (`room.rs`) a tree without room is refused.
pub(crate) fn parse(text: &str) -> Option<Value> {
    #[cfg(not(target_family = "wasm"))]
    if !room::is_there(text) {
        return None;
    }
    match serde_json::from_str(text) {
        Ok(value) => Some(value),
        Err(_) => serde_json::from_str(&mend_surrogates(text)?).ok(),
    }
}

/// Opens an object or a list that was sent as JSON text, also when that text was quoted once more. Every other value
/// comes back as it is.
pub(crate) fn unquote(mut value: Value) -> Value {
    // The document knows text of text; a third layer is only tolerated so that a mistake there stays readable.
    const LAYERS: usize = 3;
    for _ in 0..LAYERS {
        let Value::String(text) = &value else { break };
        match parse(text) {
            Some(inner @ (Value::Object(_) | Value::Array(_) | Value::String(_))) => value = inner,
            _ => break,
        }
    }
    value
}

/// Like [`unquote`], but gives the original back unless an object came out.
pub(crate) fn unquote_object(value: Value) -> Result<Object, Value> {
    match value {
        Value::Object(object) => Ok(object),
        Value::String(text) => match parse(&text).map(unquote) {
            Some(Value::Object(object)) => Ok(object),
            _ => Err(Value::String(text)),
        },
        other => Err(other),
    }
}

/// The first of the spellings that is there and not null.
pub(crate) fn field<'a>(object: &'a Object, spellings: &[&str]) -> Option<&'a Value> {
    spellings.iter().filter_map(|name| object.get(*name)).find(|value| !value.is_null())
}

/// The first of the spellings that is a string with something in it.
pub(crate) fn text<'a>(object: &'a Object, spellings: &[&str]) -> Option<&'a str> {
    spellings.iter().filter_map(|name| object.get(*name)?.as_str()).find(|text| !text.is_empty())
}

/// [`text`], owned.
pub(crate) fn string(object: &Object, spellings: &[&str]) -> Option<String> {
    text(object, spellings).map(str::to_owned)
}

/// A flag; anything but `true` is `false`.
pub(crate) fn flag(object: &Object, spellings: &[&str]) -> bool {
    field(object, spellings).and_then(Value::as_bool) == Some(true)
}

/// A whole number that is not negative; `3.0` and `"3"` are taken too.
pub(crate) fn count(object: &Object, spellings: &[&str]) -> Option<u64> {
    /// Past this, floats no longer name single integers.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let value = field(object, spellings)?;
    match value {
        Value::Number(number) => number.as_u64().or_else(|| {
            let float = number.as_f64()?;
            let whole = (0.0..=EXACT).contains(&float) && float.fract() == 0.0;
            whole.then_some(float as u64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A text as it is; a list of texts joined by `separator`; anything else as JSON text. Nothing for null.
pub(crate) fn plain(value: &Value, separator: &str) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            let parts: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            Some(parts.join(separator))
        }
        other => Some(other.to_string()),
    }
}

/// The text with every lone surrogate escape replaced, or `None` when it has none.
fn mend_surrogates(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut mended = String::new();
    let (mut copied, mut at) = (0, 0);
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        match unit(bytes, at) {
            Some(0xD800..=0xDBFF) if matches!(unit(bytes, at + 6), Some(0xDC00..=0xDFFF)) => at += 12,
            Some(0xD800..=0xDFFF) => {
                mended.push_str(&text[copied..at]);
                mended.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            // Any other escape: the character after the backslash starts none.
            _ => at += 2,
        }
    }
    if copied == 0 {
        return None;
    }
    mended.push_str(&text[copied..]);
    Some(mended)
}

/// The UTF-16 unit of the escape `\u` and four digits at this place.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at.checked_add(6)?)?;
    let digits = escape.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0_u16, |unit, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(unit << 4 | digit as u16)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lone_surrogates_cost_one_character() {
        for (text, expected) in [
            (r#""\ud83d\ude00""#, Some("😀")),
            (r#""a\ud800b""#, Some("a\u{fffd}b")),
            (r#""\udc00\ud800""#, Some("\u{fffd}\u{fffd}")),
            (r#""\ud800\ud83d\ude00""#, Some("\u{fffd}😀")),
            (r#""\\ud800 \uD800""#, Some("\\ud800 \u{fffd}")),
            (r#""ü\uDFFF""#, Some("ü\u{fffd}")),
            (r#""\ud8""#, None),
            (r#""\ü\ud800""#, None),
            (r#""\ud800"#, None),
            ("\"\\", None),
            ("", None),
        ] {
            let value = parse(text);
            assert_eq!(value.as_ref().and_then(Value::as_str), expected, "{text}");
        }
    }

    #[test]
    fn depth_is_limited() {
        assert!(parse(&format!("{}{}", "[".repeat(100), "]".repeat(100))).is_some());
        assert!(parse(&"[".repeat(100_000)).is_none());
        assert!(parse(&"{\"a\":".repeat(100_000)).is_none());
        assert!(parse(&"\\ud800".repeat(100_000)).is_none());
    }

    #[test]
    fn text_of_text_is_opened_and_plain_text_is_kept() {
        let object = json!({"a": [1]});
        let once = Value::String(object.to_string());
        let twice = Value::String(once.to_string());
        for value in [object.clone(), once, twice] {
            assert_eq!(unquote(value.clone()), object);
            assert_eq!(Value::Object(unquote_object(value).unwrap()), object);
        }
        for value in [json!("text"), json!("12"), json!("{"), json!(""), json!(null), json!(1e300)] {
            assert_eq!(unquote(value.clone()), value);
            assert_eq!(unquote_object(value.clone()), Err(value));
        }
        assert_eq!(unquote_object(json!("[1]")), Err(json!("[1]")));
        let mut deep = object.to_string();
        for _ in 0..10 {
            deep = Value::String(deep).to_string();
        }
        assert!(unquote(Value::String(deep)).is_string());
    }

    #[test]
    fn numbers_are_read_as_they_are_seen() {
        let huge: Value = parse("18446744073709551616").unwrap();
        for (value, expected) in [
            (json!(3), Some(3)),
            (json!(3.0), Some(3)),
            (json!(" 3"), Some(3)),
            (json!(u64::MAX), Some(u64::MAX)),
            (json!(-1), None),
            (json!(3.5), None),
            (json!(1e300), None),
            (huge, None),
            (json!("x"), None),
            (json!([3]), None),
            (json!(null), None),
        ] {
            let object = Object::from_iter([(String::from("n"), value.clone())]);
            assert_eq!(count(&object, &["N", "n"]), expected, "{value}");
        }
    }
}
