//! What JSON all readers take.

/// How deeply lists and objects may be nested in a representation. 100: `serde_json` and the clients take 128, and an
/// answer puts a representation into five more. The harnesses leave out what is deeper.
const MAX_DEPTH: u32 = 100;

/// Whether every reader takes a text that is known to be JSON: it is not nested too deeply, its numbers are those of a
/// double, and its strings have no half of a character. Iterative; memory is constant.
pub(super) fn is_readable(json: &str) -> bool {
    let bytes = json.as_bytes();
    let mut depth = 0_u32;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => match string_end(bytes, at) {
                Some(end) => at = end,
                None => return false,
            },
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return false;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
                let end = at + bytes[at..].iter().take_while(is_part).count();
                if !is_finite(&json[at - 1..end]) {
                    return false;
                }
                at = end;
            }
            _ => {}
        }
    }
    true
}

/// Whether a number is one of a double's. Most are seen to be by their length: a program can send millions, and reading one
/// takes longer than all the rest.
fn is_finite(number: &str) -> bool {
    /// Of this many digits, the exponent's zeros among them, is the largest double; less some for a sign and a point.
    const SURELY: usize = 300;
    let (digits, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let zeros = exponent.strip_prefix('+').unwrap_or(exponent);
    let zeros = if zeros.starts_with('-') { Some(0) } else { zeros.parse::<u16>().ok() };
    zeros.is_some_and(|zeros| digits.len() + usize::from(zeros) <= SURELY)
        || number.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Where a string ends that begins here; `None` if it has a half of a character.
fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
        if bytes[at - 1] != b'u' {
            continue;
        }
        match unit(bytes, at)? {
            0xD800..=0xDBFF => {
                let pair = bytes.get(at + 4..at + 6)? == b"\\u" && matches!(unit(bytes, at + 6)?, 0xDC00..=0xDFFF);
                pair.then_some(())?;
                at += 10;
            }
            0xDC00..=0xDFFF => return None,
            _ => at += 4,
        }
    }
}

/// The four digits of a `\u` escape.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = std::str::from_utf8(bytes.get(at..at + 4)?).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_serde_takes() {
        let nested = |open: &str, close: &str, depth: usize| format!("{}0{}", open.repeat(depth), close.repeat(depth));
        for (text, readable) in [
            (nested("[", "]", 100), true),
            (nested("[", "]", 101), false),
            (nested("{\"a\":", "}", 100), true),
            (nested("[{\"a\":", "}]", 51), false),
            (format!("[\"{}\"]", "[".repeat(1000)), true),
            (format!("[\"\\\"{}\"]", "[".repeat(1000)), true),
            ("[1, -0.5e-3, 1e308]".to_owned(), true),
            ("[1E+299, 1e+308, 123e290, 1e-99999, -1e00299, 0e65535]".to_owned(), true),
            ("[1E+309]".to_owned(), false),
            ("[1e65536]".to_owned(), false),
            (format!("[{}e9]", "9".repeat(300)), false),
            ("[1e309]".to_owned(), false),
            (format!("[{}]", "9".repeat(308)), true),
            (format!("[{}]", "9".repeat(400)), false),
            (r#""\ud83e\udd80 \u0041 \\ud800""#.to_owned(), true),
            (r#""\ud83e""#.to_owned(), false),
            (r#""\ud83e\u0041""#.to_owned(), false),
            (r#"{"\udc00":1}"#.to_owned(), false),
        ] {
            assert_eq!(is_readable(&text), readable, "{text:.80}");
            if readable {
                serde_json::from_str::<serde_json::Value>(&text).expect("serde takes it");
            }
        }
    }
}
