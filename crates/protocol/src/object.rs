//! JSON read as far as it is asked for: an object's members are found, their values stay the text they are.
//!
//! A frame's few fields are all that anybody wants of it. Against a tree of values this copies nothing that is not
//! asked for, and the WebAssembly build is a third smaller without the tree.
//!
//! It takes what RFC 8259 takes, nested 128 levels at most, and a little more: control characters inside strings, and
//! escapes that nobody reads are not looked at. A surrogate without its other half becomes U+FFFD.

use std::borrow::Cow;

use crate::text::Raw;

/// A JSON object. Of a name that comes twice the last one counts.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    text: &'a str,
    members: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// A JSON value: its text, which is known to be one, without spaces around it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Value<'a>(&'a str);

/// As deep as `serde_json` goes.
const DEPTH: u32 = 128;

impl<'a> Object<'a> {
    /// An object with more members is not read: each costs up to eight times its bytes. Far more than any message has.
    pub const MOST_MEMBERS: usize = 4096;

    /// The members, as they came.
    pub fn members(&self) -> impl Iterator<Item = (&str, Value<'a>)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// Reads a text that is one object and nothing else.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut cursor = Cursor(text);
        let object = cursor.object(DEPTH)?;
        cursor.space();
        cursor.0.is_empty().then_some(object)
    }

    /// The member of this name, unless it is null.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        let (_, value) = self.members.iter().rfind(|(key, _)| key == name)?;
        (value.0 != "null").then_some(*value)
    }

    /// The member of this name, if it is a string with something in it.
    pub fn string(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    /// The object itself, as JSON text.
    pub const fn text(&self) -> &'a str {
        self.text
    }
}

impl<'a> Value<'a> {
    /// Reads a text that is one value and nothing else.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut cursor = Cursor(text);
        let value = cursor.value(DEPTH)?;
        cursor.space();
        cursor.0.is_empty().then_some(value)
    }

    /// As JSON text.
    pub const fn text(self) -> &'a str {
        self.0
    }

    /// The text, if it is a string.
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        let (raw, _) = Raw::split(self.0.strip_prefix('"')?)?;
        if let Some(plain) = raw.as_plain() {
            return Some(plain.into());
        }
        let mut text = String::new();
        raw.append_to(&mut text).ok()?;
        Some(text.into())
    }

    /// A whole number, as a counter is written.
    pub fn as_u64(self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// A number that is not negative. To the last bit where its digits fit into 53 bits, which those of seconds do;
    /// one unit in the last place may be missing elsewhere.
    pub fn as_f64(self) -> Option<f64> {
        let (digits, exponent) = self.0.split_once(['e', 'E']).unwrap_or((self.0, "0"));
        let mut exponent: i32 = exponent.parse().ok()?;
        let (mut number, mut point) = (0_u64, false);
        for byte in digits.bytes() {
            match byte {
                b'.' => point = true,
                b'0'..=b'9' if number < u64::MAX / 10 - 1 => {
                    number = number * 10 + u64::from(byte - b'0');
                    exponent = exponent.saturating_sub(i32::from(point));
                }
                b'0'..=b'9' => exponent = exponent.saturating_add(i32::from(!point)),
                _ => return None,
            }
        }
        let power = 10_f64.powi(exponent.saturating_abs().min(400));
        let value = if exponent < 0 { number as f64 / power } else { number as f64 * power };
        value.is_finite().then_some(value)
    }

    /// Whether it is the word `true`.
    pub fn is_true(self) -> bool {
        self.0 == "true"
    }

    /// The members, if it is an object.
    pub fn as_object(self) -> Option<Object<'a>> {
        Cursor(self.0).object(DEPTH)
    }

    /// The items, if it is a list.
    pub fn as_array(self) -> Option<Vec<Self>> {
        self.items(usize::MAX)
    }

    /// The items, if it is a list and they are not more than `most`.
    pub fn items(self, most: usize) -> Option<Vec<Self>> {
        let mut items = Vec::new();
        Cursor(self.0).members(b'[', b']', |cursor| {
            (items.len() < most).then_some(())?;
            items.push(cursor.value(DEPTH)?);
            Some(())
        })?;
        Some(items)
    }

    /// A text as it is; a list of texts joined by `separator`; anything else as JSON text.
    pub fn to_plain(self, separator: &str) -> String {
        if let Some(text) = self.as_str() {
            return text.into_owned();
        }
        let texts: Option<Vec<_>> = self.as_array().and_then(|items| items.into_iter().map(Self::as_str).collect());
        texts.map_or_else(|| self.0.to_owned(), |texts| texts.join(separator))
    }
}

/// What is still to be read.
struct Cursor<'a>(&'a str);

impl<'a> Cursor<'a> {
    fn value(&mut self, depth: u32) -> Option<Value<'a>> {
        self.space();
        let start = self.0;
        let deeper = depth.checked_sub(1)?;
        match start.as_bytes().first()? {
            b'"' => drop(self.string()?),
            b'{' => self.members(b'{', b'}', |cursor| {
                cursor.string()?;
                cursor.token(b':')?;
                cursor.value(deeper).map(drop)
            })?,
            b'[' => self.members(b'[', b']', |cursor| cursor.value(deeper).map(drop))?,
            _ => self.scalar()?,
        }
        Some(Value(&start[..start.len() - self.0.len()]))
    }

    /// An object, whose members are kept.
    fn object(&mut self, depth: u32) -> Option<Object<'a>> {
        self.space();
        let start = self.0;
        let deeper = depth.checked_sub(1)?;
        let mut members = Vec::new();
        self.members(b'{', b'}', |cursor| {
            let name = cursor.string()?;
            cursor.token(b':')?;
            (members.len() < Object::MOST_MEMBERS).then_some(())?;
            members.push((Value(name).as_str()?, cursor.value(deeper)?));
            Some(())
        })?;
        Some(Object { text: &start[..start.len() - self.0.len()], members })
    }

    /// A list in brackets, whose members `member` reads.
    fn members(&mut self, open: u8, close: u8, mut member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.token(open)?;
        if self.token(close).is_some() {
            return Some(());
        }
        loop {
            member(self)?;
            if self.token(b',').is_none() {
                return self.token(close);
            }
        }
    }

    /// A string with its quotes.
    fn string(&mut self) -> Option<&'a str> {
        self.space();
        let start = self.0;
        let (_, rest) = Raw::split(start.strip_prefix('"')?)?;
        self.0 = rest;
        Some(&start[..start.len() - rest.len()])
    }

    fn scalar(&mut self) -> Option<()> {
        if self.digits().is_some() {
            return Some(());
        }
        let end = self.0.bytes().position(|byte| !is_word(byte)).unwrap_or(self.0.len());
        let (scalar, rest) = self.0.split_at(end);
        self.0 = rest;
        (matches!(scalar, "true" | "false" | "null") || is_number(scalar)).then_some(())
    }

    /// A whole number that is not negative, which most are that come in thousands.
    fn digits(&mut self) -> Option<()> {
        let bytes = self.0.as_bytes();
        let end = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
        let is_whole = end == 1 || end > 1 && bytes[0] != b'0';
        let goes_on = bytes.get(end).is_some_and(|byte| is_word(*byte));
        (is_whole && !goes_on).then(|| self.0 = &self.0[end..])
    }

    fn token(&mut self, token: u8) -> Option<()> {
        self.space();
        if self.0.as_bytes().first() != Some(&token) {
            return None;
        }
        self.0 = &self.0[1..];
        Some(())
    }

    fn space(&mut self) {
        let bytes = self.0.as_bytes();
        // Most often there is none.
        if bytes.first().is_none_or(|first| *first > b' ') {
            return;
        }
        let spaces = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
        self.0 = &self.0[spaces..];
    }
}

/// Whether a word or a number may have this byte.
const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// `-0.5e+10`, as RFC 8259 has it.
fn is_number(text: &str) -> bool {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (rest, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = rest.split_once('.').unwrap_or((rest, "0"));
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    is_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && is_digits(fraction)
        && is_digits(exponent.strip_prefix('+').or_else(|| exponent.strip_prefix('-')).unwrap_or(exponent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64 as Dice;

    #[test]
    fn members_are_found_and_read() {
        let text = r#" {"a" : "x\n\ud83e\udd80", "b":[1, "two" ], "c":{"d":true},"e":null,"a\u0062":-1.5e3 ,"f":12} "#;
        let object = Object::parse(text).expect("it is one");
        assert_eq!(object.string("a").as_deref(), Some("x\n🦀"));
        assert_eq!(object.get("b").map(Value::text), Some(r#"[1, "two" ]"#));
        assert!(object.get("c").and_then(Value::as_object).and_then(|c| c.get("d")).is_some_and(Value::is_true));
        assert_eq!(object.get("e"), None);
        assert_eq!(object.get("ab").map(Value::text), Some("-1.5e3"));
        assert_eq!(object.get("f").and_then(Value::as_u64), Some(12));
        assert_eq!(object.text(), text.trim());
        assert_eq!(Object::parse(r#"{"a":1,"a":2}"#).and_then(|object| object.get("a")?.as_u64()), Some(2));
    }

    #[test]
    fn plain_texts_are_joined_and_other_values_kept() {
        let plain = |text| Value::parse(text).map(|value| value.to_plain("+"));
        for (text, expected) in [(r#""a""#, "a"), (r#"["a","b"]"#, "a+b"), ("[]", ""), ("[1]", "[1]"), ("{ }", "{ }")] {
            assert_eq!(plain(text).as_deref(), Some(expected));
        }
    }

    #[test]
    fn seconds_are_read_to_the_last_bit() {
        for text in ["0", "0.5", "12", "0.03", "1.25e2", "3E-2", "1234.5678", "9007199254740991", "0.000001"] {
            assert_eq!(Value::parse(text).and_then(Value::as_f64), text.parse().ok(), "{text}");
        }
        for text in ["1e400", "-1", "true", "\"1\"", "1e99999999999"] {
            assert_eq!(Value::parse(text).and_then(Value::as_f64), None, "{text}");
        }
        let long = Value::parse("0.12345678901234567890123").and_then(Value::as_f64).expect("it is a number");
        assert!((long - 0.123_456_789_012_345_68).abs() < 1e-16);
        let large = Value::parse("123456789012345678901").and_then(Value::as_f64).expect("it is a number");
        assert!((large / 123_456_789_012_345_678_901.0 - 1.0).abs() < 1e-15);
    }

    #[test]
    fn takes_what_serde_takes() {
        const BITS: [&str; 24] = [
            "{", "}", "[", "]", ",", ":", "\"a\"", "\"\\n\"", "1", "-0", "01", "1.", "2.5e-1", "-", "true", "nul",
            "null", " ", "\n", "\"a\":1", "\"b\":[]", "é", "\"é\"", "{}",
        ];
        let mut dice = Dice::new(5);
        let mut taken = 0;
        for _ in 0..200_000 {
            let text: String = (0..dice.roll(9)).map(|_| BITS[dice.roll(BITS.len())]).collect();
            let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            assert_eq!(Value::parse(&text).is_some(), theirs, "{text}");
            taken += usize::from(theirs);
        }
        assert!(taken > 5_000, "only {taken} were JSON");
    }

    #[test]
    fn depth_is_limited() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Value::parse(&nested(100)).is_some());
        for text in [nested(200), "[".repeat(100_000), "{\"a\":".repeat(100_000)] {
            assert_eq!(Value::parse(&text), None);
        }
    }
}
