//! What the registry holds of each server: one small JSON object.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Incarnation;
use crate::shorten::{said, shown};

/// What a server says of itself; after its death, what a peer says of it.
///
/// No secret, no session id and no text of a client is in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The form of this object. Servers of one cluster may differ by one.
    pub(crate) v: u32,
    pub(crate) inc: Incarnation,
    /// Where the others reach it: a URL without a path.
    pub(crate) addr: String,
    pub(crate) state: NodeState,
    /// Counts the beats, so that each changes the record.
    pub(crate) n: u64,
    /// For people: no decision compares it with another machine's clock.
    pub(crate) started_ms: u64,
    /// Names the lock that the server holds: only one process at a time has it.
    #[serde(default)]
    pub(crate) lock: String,
    /// It takes a server that is absent from the registry for one that has ended.
    #[serde(default)]
    pub(crate) strict: bool,
    #[serde(flatten)]
    pub(crate) load: Load,
    /// Set by whoever declared it lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<Incarnation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_ms: Option<u64>,
}

/// How a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NodeState {
    /// It takes new sessions.
    Up,
    /// It takes no new sessions; those that it has go on.
    Draining,
    /// It was declared lost, once and for ever.
    Lost,
}

impl NodeState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Lost => "lost",
        }
    }
}

/// What placement and the rate limit go by. Everything in it is a hint, and may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Load {
    pub(crate) sessions: u64,
    /// The most sessions that it takes.
    pub(crate) max: u64,
    /// Bytes of memory that the machine has left.
    pub(crate) free_mem: u64,
    pub(crate) images: Vec<String>,
    /// How programs are isolated.
    pub(crate) level: String,
    /// It keeps contexts for all.
    pub(crate) contexts: bool,
    /// Interpreters that are ready, by language.
    pub(crate) warm: BTreeMap<String, u64>,
    /// A fingerprint of all API keys, to notice when servers disagree.
    pub(crate) keys: String,
    /// Calls since the beat before, by the API key's name.
    pub(crate) spent: BTreeMap<String, u64>,
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadRecord {
    #[error("it has {0} bytes, more than a record has")]
    TooLarge(usize),
    #[error("it is not a record: {0}")]
    Malformed(String),
    #[error("it has the form {form}; this server reads {} to {}", Record::FORM - 1, Record::FORM + 1)]
    OtherForm { form: u32 },
    #[error("its address {0:?} is not an http or https URL without a path")]
    Address(String),
}

/// 2 KiB would do; the rest is room for hundreds of images and callers.
const MOST_BYTES: usize = 64 << 10;

impl Record {
    /// The form that this server writes.
    pub(crate) const FORM: u32 = 1;

    /// Reads what the registry holds. Total and bounded: others write there too.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, BadRecord> {
        if bytes.len() > MOST_BYTES {
            return Err(BadRecord::TooLarge(bytes.len()));
        }
        #[derive(Deserialize)]
        struct Form {
            v: u32,
        }
        // The form first: a record of a far newer one may have changed everything else.
        let malformed = |error: serde_json::Error| BadRecord::Malformed(said(&error));
        let Form { v } = serde_json::from_slice(bytes).map_err(malformed)?;
        if v.abs_diff(Self::FORM) > 1 {
            return Err(BadRecord::OtherForm { form: v });
        }
        let record: Self = serde_json::from_slice(bytes).map_err(malformed)?;
        if !is_address(&record.addr) {
            return Err(BadRecord::Address(shown(&record.addr)));
        }
        Ok(record)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("its maps have text as keys")
    }
}

/// Whether this is how a server's address is written: scheme, host and port.
pub(crate) fn is_address(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return false };
    let Ok(authority) = host.parse::<axum::http::uri::Authority>() else { return false };
    matches!(scheme, "http" | "https") && !authority.host().is_empty() && !host.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            v: 1,
            inc: Incarnation::fresh(),
            addr: "http://10.0.0.7:8080".into(),
            state: NodeState::Up,
            n: 4711,
            started_ms: 1,
            lock: "a1".into(),
            strict: true,
            load: Load { sessions: 41, max: 100, ..Load::default() },
            by: None,
            at_ms: None,
        }
    }

    #[test]
    fn are_read_as_they_are_written() {
        let record = record();
        assert_eq!(Record::parse(&record.to_bytes()).expect("a record"), record);
        assert!(record.to_bytes().len() < 2048);
    }

    #[test]
    fn the_next_form_is_read_and_the_one_after_is_not() {
        let with = |form: u32, more: &str| {
            let text = String::from_utf8(record().to_bytes()).expect("text");
            text.replacen("\"v\":1", &format!("\"v\":{form}{more}"), 1)
        };
        assert!(Record::parse(with(2, ",\"later\":{\"x\":[1]}").as_bytes()).is_ok());
        assert!(matches!(Record::parse(with(3, "").as_bytes()), Err(BadRecord::OtherForm { form: 3 })));
        assert!(matches!(Record::parse(br#"{"v":99,"all":"else"}"#), Err(BadRecord::OtherForm { form: 99 })));
    }

    #[test]
    fn garbage_is_an_error() {
        let nested = "[".repeat(50_000);
        let large = "x".repeat(MOST_BYTES + 1);
        for text in ["", "null", "{}", "{\"v\":-1}", "{\"v\":1}", "\u{0}\u{1}", &nested, &large] {
            assert!(Record::parse(text.as_bytes()).is_err(), "{:?}", text.get(..20));
        }
        for addr in ["", "10.0.0.7", "ftp://x", "http://", "http://a/b", "http://u@a:1", "http://a b", "http://a?b"] {
            let bytes = Record { addr: addr.into(), ..record() }.to_bytes();
            assert!(matches!(Record::parse(&bytes), Err(BadRecord::Address(_))), "{addr}");
        }
    }
}
