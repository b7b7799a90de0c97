//! Names of hosts, in one spelling.

use std::fmt;

/// The name of a host: lower-case, without the dot at its end, and certainly no address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

/// Why a text is not a name of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    /// It is an address, in one of the many ways to write one.
    #[error("it is an address, and only names can be allowed")]
    Address,
    /// It has characters that no name has. Names in other scripts are written with `xn--`.
    #[error("it is not a host name: letters, digits, - and _, with dots between (other scripts as xn--)")]
    Characters,
    /// A part or the whole is empty or too long.
    #[error("it is not a host name: each part has 1 to 63 characters, and all together at most 253")]
    Length,
}

impl Name {
    /// Reads a name. Total: any text is a name or a [`BadName`].
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.starts_with('[') || text.contains(':') {
            return Err(BadName::Address);
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            return Err(BadName::Characters);
        }
        if text.len() > 253 || text.split('.').any(|part| part.is_empty() || part.len() > 63) {
            return Err(BadName::Length);
        }
        // `127.1`, `0x7f.1` and `2130706433` are addresses to some: whatever ends in a number is taken for one.
        let last = text.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let hex = last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if hex || last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadName::Address);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is below `domain`, at any depth. A domain is not below itself.
    #[must_use]
    pub fn is_below(&self, domain: &Self) -> bool {
        self.0.strip_suffix(domain.as_str()).is_some_and(|rest| rest.ends_with('.'))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        for (text, name) in [
            ("example.org", "example.org"),
            ("EXAMPLE.Org.", "example.org"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("a_b.example", "a_b.example"),
            ("localhost", "localhost"),
            ("1.example2", "1.example2"),
        ] {
            assert_eq!(Name::parse(text).map(|name| name.to_string()), Ok(name.to_owned()));
        }
        for text in
            ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0X7F.1", "1.2.3.0x", "[::1]", "::1", "a:1", "10.0.0.1."]
        {
            assert_eq!(Name::parse(text), Err(BadName::Address), "{text}");
        }
        for text in ["bücher.example", "a b", "a/b", "a@b", "a%2eb", "*.a", "a\0b", "a\r\nb"] {
            assert_eq!(Name::parse(text), Err(BadName::Characters), "{text}");
        }
        for text in ["", ".", "..", ".a", "a..b", "a..", &"x".repeat(64), &"x.".repeat(200)] {
            assert_eq!(Name::parse(text), Err(BadName::Length), "{text}");
        }
    }

    #[test]
    fn below_means_by_whole_parts() {
        let name = |text| Name::parse(text).expect("a name");
        let domain = name("example.org");
        assert!(name("a.example.org").is_below(&domain) && name("a.b.example.org").is_below(&domain));
        assert!(!domain.is_below(&domain) && !name("badexample.org").is_below(&domain));
        assert!(!name("example.org.evil.net").is_below(&domain) && !name("org").is_below(&domain));
    }
}
