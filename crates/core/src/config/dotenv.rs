//! The text of a `.env` file.

/// Reads `NAME=value` lines, in order; of a name that comes twice the last one counts.
///
/// * `export` before the name, blanks around name and `=`, empty lines, `#` comments and CRLF are taken.
/// * `'…'` is literal. In `"…"` the escapes `\n`, `\r`, `\t`, `\\`, `\"` and `\$` are read. Both may span lines.
/// * Without quotes the value ends at the line, or at a `#` after a blank.
/// * Nothing is expanded: a key with a `$` in it stays what it is.
///
/// Total: a line that says nothing is left out, and a quote that nobody closes is an ordinary character.
#[must_use]
pub fn parse_dotenv(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while !rest.is_empty() {
        let line = &rest[..rest.find(['\n', '\r']).unwrap_or(rest.len())];
        let mut taken = line.len();
        if let Some((name, from)) = split_name(line) {
            let (value, length) = read_value(&rest[from..], line.len() - from);
            taken = from + length;
            pairs.push((name.to_owned(), value));
        }
        rest = &rest[taken..];
        // What follows a closing quote on its line is a comment or a slip.
        rest = rest.find(['\n', '\r']).map_or("", |end| &rest[end + 1..]);
    }
    pairs
}

/// The name of a line and where its value begins.
fn split_name(line: &str) -> Option<(&str, usize)> {
    let equals = line.find('=')?;
    let mut name = line[..equals].trim();
    if let Some(exported) = name.strip_prefix("export")
        && exported.starts_with([' ', '\t'])
    {
        name = exported.trim_start();
    }
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if !is_name {
        return None;
    }
    let value = &line[equals + 1..];
    Some((name, line.len() - value.trim_start_matches([' ', '\t']).len()))
}

/// The value at the start of `text`, whose first line has `line` bytes left, and how much of the text it took.
fn read_value(text: &str, line: usize) -> (String, usize) {
    let quoted = match text.as_bytes().first() {
        Some(b'\'') => read_quoted(text, '\'', false),
        Some(b'"') => read_quoted(text, '"', true),
        _ => None,
    };
    quoted.unwrap_or_else(|| {
        let bare = &text[..line];
        let comment = bare.char_indices().find(|&(at, c)| c == '#' && (at == 0 || bare[..at].ends_with([' ', '\t'])));
        let value = comment.map_or(bare, |(at, _)| &bare[..at]);
        (value.trim_end().to_owned(), line)
    })
}

fn read_quoted(text: &str, quote: char, escapes: bool) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some((value, at + c.len_utf8()));
        }
        if c != '\\' || !escapes {
            value.push(c);
            continue;
        }
        match chars.next()?.1 {
            'n' => value.push('\n'),
            'r' => value.push('\r'),
            't' => value.push('\t'),
            plain @ ('\\' | '"' | '$') => value.push(plain),
            other => value.extend(['\\', other]),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, expected) in [
            ("A=1", vec![("A", "1")]),
            ("A=1\nB=2\n", vec![("A", "1"), ("B", "2")]),
            ("A=1\r\nB=2\r\n", vec![("A", "1"), ("B", "2")]),
            ("\u{feff}A=1", vec![("A", "1")]),
            ("export A=1\n  export\tB = 2 ", vec![("A", "1"), ("B", "2")]),
            ("exported=1", vec![("exported", "1")]),
            ("# A=1\n\n   \n#\nB=2 # note\nC=a#b\nD=#x", vec![("B", "2"), ("C", "a#b"), ("D", "")]),
            ("A=\nB=   ", vec![("A", ""), ("B", "")]),
            ("A='a b # c' # note\nB=\"x\"y", vec![("A", "a b # c"), ("B", "x")]),
            (r#"A="1\n2\t\"\\\$\q""#, vec![("A", "1\n2\t\"\\$\\q")]),
            (r"A='1\n'", vec![("A", r"1\n")]),
            ("A=\"1\n2\"\nB='3\r\n4'", vec![("A", "1\n2"), ("B", "3\r\n4")]),
            ("A=\"open\nB=2", vec![("A", "\"open"), ("B", "2")]),
            ("A='open # c\nB=2", vec![("A", "'open"), ("B", "2")]),
            ("A=a=b==", vec![("A", "a=b==")]),
            ("A=$B ${C}", vec![("A", "$B ${C}")]),
            ("A=1\nA=2", vec![("A", "1"), ("A", "2")]),
            ("A=é 😀", vec![("A", "é 😀")]),
        ] {
            let pairs = parse_dotenv(text);
            let read: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(read, expected, "{text:?}");
        }
    }

    #[test]
    fn leaves_out_what_says_nothing() {
        for text in ["", "\n\r\n", "A", "=1", "1A=1", "A B=1", "é=1", "export", "{\"A\":\"=\"}", "\0=1", "="] {
            assert_eq!(parse_dotenv(text), [], "{text:?}");
        }
    }

    #[test]
    fn survives_anything() {
        let alphabet = ['A', '=', '"', '\'', '\\', '\n', '\r', '#', ' ', 'é', '😀', '\u{feff}'];
        let mut state: u32 = 1;
        for _ in 0..5_000 {
            let text: String = (0..12)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    alphabet[(state >> 16) as usize % alphabet.len()]
                })
                .collect();
            for (name, _) in parse_dotenv(&text) {
                assert!(!name.is_empty());
            }
        }
        assert_eq!(parse_dotenv(&"A=\"".repeat(2_000)).len(), 1);
    }
}
