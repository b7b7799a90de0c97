//! JSON strings, read without a copy and written without a detour.

use memchr::memchr2;

/// The inside of a JSON string as it stood on the wire, escapes and all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Raw<'a> {
    text: &'a str,
    escaped: bool,
}

/// A backslash that begins no escape of RFC 8259, section 7.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BadEscape;

impl<'a> Raw<'a> {
    /// Reads up to the closing quote; `text` begins after the opening one. Gives what is between and what is behind.
    pub fn split(text: &'a str) -> Option<(Self, &'a str)> {
        let bytes = text.as_bytes();
        let (mut at, mut escaped) = (0, false);
        loop {
            at += memchr2(b'"', b'\\', bytes.get(at..)?)?;
            if bytes[at] == b'"' {
                return Some((Self { text: &text[..at], escaped }, &text[at + 1..]));
            }
            escaped = true;
            at += 2; // the backslash and the character it escapes, which may be a quote
        }
    }

    /// The text, if it stands there as it is.
    pub const fn as_plain(self) -> Option<&'a str> {
        if self.escaped { None } else { Some(self.text) }
    }

    /// Appends what the string says. A surrogate without its other half becomes U+FFFD.
    pub fn append_to(self, out: &mut String) -> Result<(), BadEscape> {
        if self.escaped {
            append_escaped(self.text, out)
        } else {
            out.push_str(self.text);
            Ok(())
        }
    }

    /// As it stood on the wire.
    pub const fn escaped(self) -> &'a str {
        self.text
    }
}

/// Appends what the inside of a JSON string says. A quote that is not escaped is refused like an escape that JSON does
/// not know.
pub fn append_escaped(text: &str, out: &mut String) -> Result<(), BadEscape> {
    out.reserve(text.len());
    let mut rest = text;
    while let Some(at) = memchr2(b'"', b'\\', rest.as_bytes()) {
        if rest.as_bytes()[at] == b'"' {
            return Err(BadEscape);
        }
        out.push_str(&rest[..at]);
        rest = unescape(&rest[at + 1..], out)?;
    }
    out.push_str(rest);
    Ok(())
}

/// Reads one escape, whose backslash is gone already, and gives what is behind it.
fn unescape<'a>(text: &'a str, out: &mut String) -> Result<&'a str, BadEscape> {
    let character = match text.as_bytes().first().ok_or(BadEscape)? {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => {
            let (unit, rest) = hex4(&text[1..])?;
            if let 0xd800..=0xdbff = unit
                && let Some(Ok((low @ 0xdc00..=0xdfff, rest))) = rest.strip_prefix("\\u").map(hex4)
            {
                let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                return Ok(rest);
            }
            out.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
            return Ok(rest);
        }
        _ => return Err(BadEscape),
    };
    out.push(character);
    Ok(&text[1..])
}

fn hex4(text: &str) -> Result<(u32, &str), BadEscape> {
    let (digits, rest) = text.split_at_checked(4).ok_or(BadEscape)?;
    let unit = digits.bytes().try_fold(0, |unit, byte| Some(unit << 4 | char::from(byte).to_digit(16)?));
    unit.map(|unit| (unit, rest)).ok_or(BadEscape)
}

/// Appends `text` as a JSON string, quotes included.
pub fn push_json_str(out: &mut String, text: &str) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut rest = text;
    while let Some(at) = first_escaped(rest.as_bytes()) {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            byte => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(char::from(DIGITS[usize::from(byte >> 4)]));
                out.push(char::from(DIGITS[usize::from(byte & 15)]));
            }
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// Where the first byte is that cannot stand in a JSON string as it is (RFC 8259, section 7). All of them are characters
/// of one byte.
fn first_escaped(bytes: &[u8]) -> Option<usize> {
    let is_escaped = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    // Steps without a branch inside are compared a register at a time: a third of what a server does with a program's
    // output was this, byte by byte. Where a step has one, words find it: each line's end is one.
    const STEP: usize = 32;
    const WORD: usize = size_of::<u64>();
    let is_plain = |step: &&[u8]| !step.iter().fold(false, |any, byte| any | is_escaped(byte));
    let from = STEP * bytes.chunks_exact(STEP).take_while(is_plain).count();
    let words = bytes[from..].chunks_exact(WORD);
    let (rest, behind) = (words.remainder(), bytes.len() - words.remainder().len());
    for (place, word) in words.enumerate() {
        let found = escaped_bytes(u64::from_le_bytes(word.try_into().expect("a word has eight bytes")));
        if found != 0 {
            return Some(from + WORD * place + found.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(is_escaped).map(|at| behind + at)
}

/// The highest bit of each byte that cannot stand as it is. The lowest of them is right; above it a byte may be marked that
/// differs from such a one by one ("Bit Twiddling Hacks": determine if a word has a byte less than n).
const fn escaped_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHEST: u64 = 0x80 * ONES;
    const fn below(word: u64, n: u64) -> u64 {
        word.wrapping_sub(ONES * n) & !word & HIGHEST
    }
    below(word, 0x20) | below(word ^ (ONES * b'"' as u64), 1) | below(word ^ (ONES * b'\\' as u64), 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn read(json: &str) -> Option<String> {
        let (raw, rest) = Raw::split(json.strip_prefix('"')?)?;
        let mut out = String::new();
        (rest.is_empty() && raw.append_to(&mut out).is_ok()).then_some(out)
    }

    #[test]
    fn reads_what_serde_reads() {
        for text in ["", "plain", "a\nb\t\"q\"\\", "grün 漢字 🦀", "\u{0}\u{1f}\u{7f}", "\\u0041", "/\u{8}\u{c}"] {
            let json = Value::from(text).to_string();
            assert_eq!(read(&json).as_deref(), Some(text), "{json}");
            let mut ours = String::new();
            push_json_str(&mut ours, text);
            assert_eq!(serde_json::from_str::<Value>(&ours).ok(), Some(Value::from(text)), "{ours}");
        }
        assert_eq!(read(r#""\ud83e\udd80\u00e9\/""#).as_deref(), Some("🦀é/"));
    }

    #[test]
    fn what_must_be_escaped_is_found_wherever_it_stands() {
        for special in (0..0x20).chain(*b"\"\\").map(char::from) {
            for (before, behind) in (0..70).flat_map(|before| [(before, 0), (before, 40)]) {
                let text = ["é ~".repeat(9), "x".repeat(before), special.into(), "\u{7f}x".repeat(behind)].concat();
                let mut ours = String::new();
                push_json_str(&mut ours, &text);
                assert_eq!(
                    serde_json::from_str::<Value>(&ours).ok(),
                    Some(Value::from(text)),
                    "{special:?} at {before}"
                );
            }
        }
    }

    #[test]
    fn a_lone_surrogate_is_replaced() {
        assert_eq!(read(r#""a\ud83e""#).as_deref(), Some("a\u{fffd}"));
        assert_eq!(read(r#""\ud83eA""#).as_deref(), Some("\u{fffd}A"));
        assert_eq!(read(r#""\udd80""#).as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn what_is_no_string_is_refused() {
        for json in [r#"""#, r#""abc"#, r#""abc\"#, r#""abc\""#, r#""\x""#, r#""\u12""#, r#""\u+123""#, r#""\u12é4""#]
        {
            assert_eq!(read(json), None, "{json}");
        }
    }
}
