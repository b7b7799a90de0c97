//! The languages that sessions run.

use std::fmt;
use std::str::FromStr;

/// A language in which a session runs code (`wire-protocol`, "The result a caller gets").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// `python`; also `py`, `python3`.
    Python,
    /// `javascript`; also `js`, `node`, `nodejs`.
    JavaScript,
    /// `r`.
    R,
    /// `java`.
    Java,
}

impl Language {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Self; 4] = [Self::Python, Self::JavaScript, Self::R, Self::Java];

    /// Reads a name as callers write it: any case, blanks around it, the usual short forms.
    ///
    /// # Errors
    /// [`UnknownLanguage`] for everything else. Nothing has been sent by then.
    pub fn parse(name: &str) -> Result<Self, UnknownLanguage> {
        const NAMES: [(&str, Language); 9] = [
            ("python", Language::Python),
            ("py", Language::Python),
            ("python3", Language::Python),
            ("javascript", Language::JavaScript),
            ("js", Language::JavaScript),
            ("node", Language::JavaScript),
            ("nodejs", Language::JavaScript),
            ("r", Language::R),
            ("java", Language::Java),
        ];
        let trimmed = name.trim_ascii();
        NAMES
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(trimmed))
            .map(|&(_, language)| language)
            .ok_or_else(|| UnknownLanguage::new(trimmed))
    }

    /// The one name that goes over the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::R => "r",
            Self::Java => "java",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::parse(name)
    }
}

/// A name that is no [`Language`]; it says which, and what would be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLanguage {
    given: String,
}

/// Enough to recognise a mistyped name; a whole program passed by mistake does not belong in a message.
const SHOWN: usize = 40;

impl UnknownLanguage {
    fn new(given: &str) -> Self {
        let end = given.floor_char_boundary(SHOWN);
        let mut shown = given[..end].to_owned();
        if end < given.len() {
            shown.push('…');
        }
        Self { given: shown }
    }

    /// The name as given, trimmed and cut to a readable length.
    pub fn given(&self) -> &str {
        &self.given
    }

    /// Stable code of this error.
    pub fn code(&self) -> &'static str {
        crate::codes::UNKNOWN_LANGUAGE
    }
}

impl fmt::Display for UnknownLanguage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |given: char| if given.is_control() { char::REPLACEMENT_CHARACTER } else { given };
        let given: String = self.given.chars().map(shown).collect();
        write!(f, "unknown language \"{given}\"; supported are {}", Language::ALL.map(Language::as_str).join(", "))
    }
}

impl std::error::Error for UnknownLanguage {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_spelling() {
        for (name, expected) in [
            ("python", Language::Python),
            (" Python\n", Language::Python),
            ("PY", Language::Python),
            ("python3", Language::Python),
            ("JavaScript", Language::JavaScript),
            ("js", Language::JavaScript),
            ("node", Language::JavaScript),
            ("NodeJS", Language::JavaScript),
            ("R", Language::R),
            ("\tjava ", Language::Java),
        ] {
            assert_eq!(Language::parse(name), Ok(expected), "{name:?}");
        }
        for language in Language::ALL {
            assert_eq!(language.as_str().parse(), Ok(language));
            assert_eq!(language.to_string(), language.as_str());
        }
    }

    #[test]
    fn refuses_the_rest_and_says_what_is_known() {
        for name in ["", " ", "python2", "pythön", "ruby", "java script", "r\0"] {
            let error = Language::parse(name).unwrap_err();
            assert_eq!(error.given(), name.trim());
        }
        assert_eq!(
            Language::parse(" Ruby ").unwrap_err().to_string(),
            "unknown language \"Ruby\"; supported are python, javascript, r, java"
        );
    }

    #[test]
    fn cuts_a_long_name_between_characters() {
        let error = Language::parse(&"ß".repeat(1000)).unwrap_err();
        assert_eq!(error.given(), "ß".repeat(SHOWN / 2) + "…");
        assert_eq!(error.code(), "UNKNOWN_LANGUAGE");
    }
}
