//! What an error shows of an answer that could not be read.

/// How a body begins, for [`Malformed::start`](super::Malformed::start): at most 200 characters, on one line.
///
/// What could be a secret never gets in. Every quoted string is masked, since a cut-off answer of `createSession` is a
/// text full of them; so is every long word without a break, which is what keys and tokens are, and everything behind
/// a `?`, where URLs carry them. Of an error page the title is left.
pub(crate) fn start_of(body: &str) -> String {
    /// Enough for the title of an error page.
    const SHOWN: usize = 200;
    // Masking only shortens, so that this much input decides what is shown; it bounds the work on a large body.
    let head: String = body.trim_start().chars().take(8 * SHOWN).collect();
    let masked = mask_strings(&head);
    let mut start = String::new();
    let mut words = masked.split_whitespace();
    if let Some(first) = words.next() {
        start.push_str(first);
    }
    for word in words {
        start.push(' ');
        start.push_str(word);
    }
    start.chars().take(SHOWN).collect()
}

/// Keeps structure, numbers and the keys of objects; a string counts as a key when it is short, plain and followed by
/// a colon.
fn mask_strings(json: &str) -> String {
    let mut masked = String::new();
    let mut rest = json;
    while let Some(open) = rest.find('"') {
        masked.push_str(mask_words(&rest[..open]).as_str());
        let inside = &rest[open + 1..];
        let length = string_length(inside);
        let text = &inside[..length];
        rest = inside.get(length + 1..).unwrap_or("");
        let is_key = rest.trim_start().starts_with(':')
            && text.len() <= 24
            && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        masked.push('"');
        masked.push_str(if is_key { text } else { "…" });
        masked.push('"');
    }
    masked.push_str(&mask_words(rest));
    masked
}

/// Up to the closing quote, or all of it.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index,
            _ => {}
        }
    }
    text.len()
}

/// Masks words that are long and unbroken, or begin with `?`.
fn mask_words(text: &str) -> String {
    /// Shorter than any key or token; longer than the words of a sentence mostly are.
    const LONG: usize = 16;
    let is_part =
        |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '+' | '/' | '=' | '%' | '&' | '?');
    let mut masked = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        if length == 0 {
            masked.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (word, after) = rest.split_at(length);
        rest = after;
        match word.find('?') {
            Some(query) if query < LONG => {
                masked.push_str(&word[..query]);
                masked.push_str("?…");
            }
            _ if length >= LONG => masked.push('…'),
            _ => masked.push_str(word),
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_a_page_is_readable() {
        assert_eq!(start_of("\n<html>\r\n  <title>502 Bad Gateway</title>"), "<html> <title>502 Bad Gateway</title>");
        assert_eq!(start_of("upstream timed out"), "upstream timed out");
        assert_eq!(start_of(""), "");
        assert_eq!(start_of(&"word ".repeat(1000)).chars().count(), 200);
        assert_eq!(start_of("😀 ".repeat(1000).as_str()).chars().count(), 200);
    }

    #[test]
    fn the_start_never_shows_a_secret() {
        const TOKEN: &str = "tok-SECRET-0123456789";
        for body in [
            format!(r#"{{"data":{{"token":"{TOKEN}","wsUrl":"wss://h/?t={TOKEN}"#),
            format!(r#"{{"data":"{{\"token\":\"{TOKEN}\"}}"}}"#),
            format!(r#"["{TOKEN}", {TOKEN}]"#),
            format!(r#"{{"{TOKEN}": 1}}"#),
            format!("<a href='https://h/x?token={TOKEN}'>"),
            format!("Authorization: Bearer {TOKEN}"),
            format!("GET /a?k={TOKEN} HTTP/1.1"),
            format!("\"\\\" {TOKEN}"),
            String::from("callback({\"token\": \"SECRET\"})"),
        ] {
            let start = start_of(&body);
            assert!(!start.contains("SECRET"), "{start}");
        }
        assert_eq!(
            start_of(r#"{"success":true,"data":{"sessionId":"s-1","count":3}"#),
            r#"{"success":true,"data":{"sessionId":"…","count":3}"#
        );
        assert_eq!(start_of("see /a?k=short for"), "see /a?… for");
    }
}
