//! A string that never prints itself.

use std::fmt;
use std::sync::Arc;

use subtle::{Choice, ConstantTimeEq};

/// An API key, a session token, or anything else that must not reach a log or an error text.
///
/// `Debug` and `Display` print a placeholder of one length, so even the size stays inside. The text leaves by
/// [`expose`](Self::expose) only, which is easy to search for. Clones share the text.
#[derive(Clone)]
pub struct Secret(Arc<str>);

/// What a secret shows of itself.
const PLACEHOLDER: &str = "[hidden]";

impl Secret {
    /// Takes the text in.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The text itself, for a header or a handshake. Never for a message.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to hide.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares in a time that depends on the length of `candidate` only, so that a guess learns nothing about how
    /// much of it was right.
    pub fn matches(&self, candidate: &str) -> bool {
        let own = self.0.as_bytes();
        let mut equal = Choice::from(u8::from(own.len() == candidate.len()));
        for (index, byte) in candidate.as_bytes().iter().enumerate() {
            // Past the end of our own text compare with something: the lengths already differ there.
            equal &= own.get(index).unwrap_or(&0).ct_eq(byte);
        }
        equal.into()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(other.expose())
    }
}

impl Eq for Secret {}

impl Default for Secret {
    fn default() -> Self {
        Self::new("")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PLACEHOLDER)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PLACEHOLDER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_neither_text_nor_length() {
        for text in ["", "k", "ako-0123456789", "[hid"] {
            let secret = Secret::from(text);
            assert_eq!(format!("{secret}"), "[hidden]");
            assert_eq!(format!("{secret:?}"), "[hidden]");
            assert_eq!(format!("{:?}", Some(&secret)), "Some([hidden])");
            assert_eq!(secret.expose(), text);
        }
    }

    #[test]
    fn matches_only_the_whole_text() {
        let secret = Secret::from("ab\0");
        for (candidate, expected) in
            [("ab\0", true), ("ab", false), ("ab\0\0", false), ("", false), ("aB\0", false), ("xab\0", false)]
        {
            assert_eq!(secret.matches(candidate), expected, "{candidate:?}");
        }
        assert!(Secret::default().matches(""));
        assert!(!Secret::default().matches("\0"));
    }

    #[test]
    fn equal_secrets_are_equal() {
        assert_eq!(Secret::from("a"), Secret::from(String::from("a")).clone());
        assert_ne!(Secret::from("a"), Secret::from("b"));
        assert!(Secret::from("").is_empty());
    }
}
