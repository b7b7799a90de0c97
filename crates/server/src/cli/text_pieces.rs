//! Bytes that come in pieces, as text.

/// Makes text of bytes that come in pieces, which may end within a character. What is not UTF-8 becomes U+FFFD.
#[derive(Debug, Default)]
pub(super) struct TextPieces {
    /// The beginning of a character.
    rest: Vec<u8>,
}

impl TextPieces {
    /// The text of the whole characters so far.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        self.rest.extend_from_slice(bytes);
        let mut text = String::with_capacity(self.rest.len());
        let mut bytes = self.rest.as_slice();
        loop {
            let (valid, wrong) = match std::str::from_utf8(bytes) {
                Ok(valid) => (valid, None),
                Err(error) => {
                    let valid = &bytes[..error.valid_up_to()];
                    (std::str::from_utf8(valid).expect("it was found to be valid"), error.error_len())
                }
            };
            text.push_str(valid);
            bytes = &bytes[valid.len()..];
            let Some(wrong) = wrong else { break };
            text.push(char::REPLACEMENT_CHARACTER);
            bytes = &bytes[wrong..];
        }
        self.rest = bytes.to_vec();
        text
    }

    /// What the end of the bytes adds: a character that was begun and not ended.
    pub(super) fn end(&mut self) -> Option<String> {
        let is_cut = !std::mem::take(&mut self.rest).is_empty();
        is_cut.then(|| char::REPLACEMENT_CHARACTER.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_put_together_wherever_they_are_cut() {
        let whole = "añ€😀\n".as_bytes();
        for at in 0..=whole.len() {
            let mut pieces = TextPieces::default();
            let text = pieces.push(&whole[..at]) + &pieces.push(&whole[at..]);
            assert_eq!((text.as_bytes(), pieces.end()), (whole, None), "{at}");
        }
    }

    #[test]
    fn what_is_not_text_is_replaced() {
        let mut pieces = TextPieces::default();
        assert_eq!(pieces.push(b"a\xff\xc3(b"), "a\u{fffd}\u{fffd}(b");
        assert_eq!(pieces.push(b"\xe2\x82"), "");
        assert_eq!(pieces.end().as_deref(), Some("\u{fffd}"));
        assert_eq!(pieces.end(), None);
    }
}
