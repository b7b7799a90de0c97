//! The name of one run of a server: made fresh at each start, never used again, and a part of each session's id.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::random;

/// 48 random bits: among 1,000 servers that each start 1,000 times the chance that two are equal is below 1 in 500.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Incarnation(u64);

/// The text is not 12 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an incarnation has 12 lower-case hexadecimal digits")]
pub(crate) struct NotAnIncarnation;

const DIGITS: usize = 12;
const RANDOM_DIGITS: usize = 32;
const PREFIX: &str = "session-";
/// What the ids of contexts begin with that files of a session pass through.
pub(crate) const TRANSFER_CONTEXT: &str = "ctx-transfer-";

impl Incarnation {
    /// One that no server had before.
    pub(crate) fn fresh() -> Self {
        random::hex::<{ DIGITS / 2 }>().parse().expect("12 digits were made")
    }

    /// A new session's id, which names this server as its owner.
    pub(crate) fn session_id(self) -> String {
        format!("{PREFIX}{self}{}", random::hex::<{ RANDOM_DIGITS / 2 }>())
    }

    /// The server that owns the session of this id; `None` for ids that no server of a cluster makes.
    pub(crate) fn of_session(id: &str) -> Option<Self> {
        Self::of_name(id.strip_prefix(PREFIX)?)
    }

    /// The server that has the context of this id, where files of a session pass through it.
    pub(crate) fn of_context(id: &str) -> Option<Self> {
        Self::of_name(id.strip_prefix(TRANSFER_CONTEXT)?)
    }

    /// A name that nobody guesses for something of this session's: it leads to the same server, where that is one of a
    /// cluster.
    pub(crate) fn name_beside(session_id: &str) -> String {
        let random = random::hex::<{ RANDOM_DIGITS / 2 }>();
        Self::of_session(session_id).map_or_else(|| random.clone(), |inc| format!("{inc}{random}"))
    }

    /// The server that has what [`Incarnation::name_beside`] has named so.
    pub(crate) fn of_name(digits: &str) -> Option<Self> {
        let is_id = digits.len() == DIGITS + RANDOM_DIGITS && digits.bytes().all(is_digit);
        is_id.then(|| digits[..DIGITS].parse().expect("they were checked"))
    }
}

fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012x}", self.0)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Incarnation {
    type Err = NotAnIncarnation;

    fn from_str(text: &str) -> Result<Self, NotAnIncarnation> {
        if text.len() != DIGITS || !text.bytes().all(is_digit) {
            return Err(NotAnIncarnation);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| NotAnIncarnation)
    }
}

impl Serialize for Incarnation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Incarnation {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_ids_name_their_owner() {
        let own = Incarnation::fresh();
        let id = own.session_id();
        assert_eq!(id.len(), "session-".len() + 44);
        assert_eq!(Incarnation::of_session(&id), Some(own));
        assert_ne!(id, own.session_id());
        assert_eq!("00000000000a".parse::<Incarnation>().map(|inc| inc.to_string()).as_deref(), Ok("00000000000a"));
    }

    #[test]
    fn what_belongs_to_a_session_names_its_owner_too() {
        let own = Incarnation::fresh();
        let name = Incarnation::name_beside(&own.session_id());
        assert_eq!(Incarnation::of_name(&name), Some(own));
        assert_eq!(Incarnation::of_context(&format!("{TRANSFER_CONTEXT}{name}")), Some(own));
        let alone = Incarnation::name_beside(&random::session_id());
        assert_eq!((alone.len(), Incarnation::of_name(&alone)), (32, None));
        assert_eq!(Incarnation::of_context(&format!("ctx-{name}")), None);
    }

    #[test]
    fn other_ids_name_nobody() {
        let alone = random::session_id();
        let upper = format!("session-{}", "A".repeat(44));
        let wide = format!("session-{}é", "a".repeat(42)); // 44 bytes
        for id in ["", "session-", "session-x", &alone, &upper, &wide, &format!("session-{}", "a".repeat(45))] {
            assert_eq!(Incarnation::of_session(id), None, "{id}");
        }
        for text in ["", "+00000000001", "00000000000A", "0000000000000"] {
            assert_eq!(text.parse::<Incarnation>(), Err(NotAnIncarnation), "{text}");
        }
    }
}
