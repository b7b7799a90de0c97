//! Bytes of a pipe to whole characters.

/// Decodes UTF-8 that comes in pieces: a character cut at the border of two reads is kept for the second, and what is
/// no UTF-8 becomes U+FFFD.
#[derive(Debug, Default)]
pub struct Utf8Decoder {
    /// The beginning of a character: at most three bytes.
    rest: Vec<u8>,
}

impl Utf8Decoder {
    /// The text of the next piece.
    pub fn decode(&mut self, bytes: &[u8]) -> String {
        if self.rest.is_empty() {
            return self.convert(bytes);
        }
        let mut joined = std::mem::take(&mut self.rest);
        joined.extend_from_slice(bytes);
        self.convert(&joined)
    }

    /// The stream is at its end: half a character is none.
    pub fn finish(&mut self) -> Option<String> {
        if self.rest.is_empty() {
            return None;
        }
        self.rest.clear();
        Some(char::REPLACEMENT_CHARACTER.to_string())
    }

    fn convert(&mut self, mut bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len());
        loop {
            let error = match std::str::from_utf8(bytes) {
                Ok(valid) => {
                    text.push_str(valid);
                    return text;
                }
                Err(error) => error,
            };
            let (valid, after) = bytes.split_at(error.valid_up_to());
            text.push_str(std::str::from_utf8(valid).expect("from_utf8 found it valid up to here"));
            let Some(invalid) = error.error_len() else {
                self.rest = after.to_vec();
                return text;
            };
            text.push(char::REPLACEMENT_CHARACTER);
            bytes = &after[invalid..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_gives_the_same_text() {
        let text = "aß€😀z";
        let bytes = text.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let mut decoder = Utf8Decoder::default();
                let mut out = decoder.decode(&bytes[..first]);
                out += &decoder.decode(&bytes[first..second]);
                out += &decoder.decode(&bytes[second..]);
                assert_eq!(out, text);
                assert_eq!(decoder.finish(), None);
            }
        }
    }

    #[test]
    fn invalid_bytes_become_replacement_characters() {
        for (bytes, expected) in [
            (&b"a\xffb"[..], "a\u{fffd}b"),
            (b"\xc3(", "\u{fffd}("),
            (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
            (b"\xf0\x9f\x98", "\u{fffd}"),
        ] {
            let mut whole = Utf8Decoder::default();
            let mut out = whole.decode(bytes);
            out.extend(whole.finish());
            assert_eq!(out, expected);
            let mut single = Utf8Decoder::default();
            let mut out: String = bytes.iter().map(|&byte| single.decode(&[byte])).collect();
            out.extend(single.finish());
            assert_eq!(out, expected, "byte by byte");
        }
    }
}
