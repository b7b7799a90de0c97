//! The API keys: several, with names, from the configuration and from a file that may change while the server runs.
//!
//! All keys open the same. Their names are for logs and for telling whose calls are too many; and a key is replaced by
//! adding the new one, moving the clients, and taking the old one out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use agb_protocol::Secret;
use ring::digest::{Context, SHA256, digest};
use thiserror::Error;

use crate::auth::rate::{Bucket, Rate};
use crate::settings::ApiKey;

/// Why the keys cannot be used. Names the line, never what is in it.
#[derive(Debug, Error)]
pub enum KeysError {
    /// There is no key at all.
    #[error("there is no API key: give one with --api-key or --api-keys-file, or none at all to have one made")]
    None,
    /// The key is empty.
    #[error("the API key is empty: give one, or none at all to have one made")]
    Empty,
    /// Two keys have one name.
    #[error("two API keys have the name {0:?}: give each its own")]
    SameName(String),
    /// The file cannot be read.
    #[error("the file of API keys {file} cannot be read: {error}")]
    Unreadable {
        /// As it was given.
        file: PathBuf,
        /// The system's word for it.
        error: std::io::Error,
    },
    /// A line of the file is not a key.
    #[error("{file}, line {line}: {problem}; write NAME KEY, # before comments")]
    Line {
        /// As it was given.
        file: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A key that others could guess would be the only guard of a server on a network.
    #[error(
        "the API key {name:?} has {length} characters; on a network give at least {} random ones",
        ApiKey::LEAST_ON_NETWORK
    )]
    TooShort {
        /// The key's name.
        name: String,
        /// What it has.
        length: usize,
    },
}

/// The keys of a server.
#[derive(Debug)]
pub(crate) struct Keys {
    given: Vec<ApiKey>,
    file: Option<PathBuf>,
    rate: Rate,
    ring: RwLock<Arc<Ring>>,
}

type Ring = Vec<(Secret, Arc<Caller>)>;

/// Whose key a call came with.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) name: String,
    pub(crate) bucket: Bucket,
}

impl Keys {
    /// Checks the keys given and reads those in the file.
    pub(crate) fn new(given: Vec<ApiKey>, file: Option<PathBuf>, rate: Rate) -> Result<Self, KeysError> {
        let keys = Self { given, file, rate, ring: RwLock::default() };
        keys.reload()?;
        Ok(keys)
    }

    /// No key opens anything.
    pub(crate) fn of_nobody(rate: Rate) -> Self {
        Self { given: Vec::new(), file: None, rate, ring: RwLock::default() }
    }

    /// Reads the file again. After an error the keys are what they were.
    pub(crate) fn reload(&self) -> Result<(), KeysError> {
        let mut all = self.given.clone();
        if let Some(file) = &self.file {
            let text =
                std::fs::read_to_string(file).map_err(|error| KeysError::Unreadable { file: file.clone(), error })?;
            all.extend(parse(file, &text)?);
        }
        if all.is_empty() {
            return Err(KeysError::None);
        }
        let old: HashMap<_, _> =
            self.ring().iter().map(|(_, caller)| (caller.name.clone(), Arc::clone(caller))).collect();
        let mut ring = Ring::new();
        for ApiKey { name, secret } in all {
            if secret.is_empty() {
                return Err(KeysError::Empty);
            }
            if ring.iter().any(|(_, caller)| caller.name == name) {
                return Err(KeysError::SameName(name));
            }
            // Who was too fast is not helped by a new key.
            let caller = old.get(&name).cloned();
            let caller = caller.unwrap_or_else(|| Arc::new(Caller { name, bucket: Bucket::new(self.rate) }));
            ring.push((secret, caller));
        }
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
        Ok(())
    }

    /// Whose key this is. Takes a time that depends on the candidate's length and the number of keys only.
    pub(crate) fn find(&self, candidate: &str) -> Option<Arc<Caller>> {
        let ring = self.ring();
        let mut found = None;
        for (secret, caller) in ring.iter() {
            if secret.matches(candidate) {
                found = Some(caller);
            }
        }
        found.cloned()
    }

    /// Whether every key is long enough for a network, where anybody may try.
    pub(crate) fn check_for_network(&self) -> Result<(), KeysError> {
        for (secret, caller) in self.ring().iter() {
            let length = secret.expose().chars().count();
            if length < ApiKey::LEAST_ON_NETWORK {
                return Err(KeysError::TooShort { name: caller.name.clone(), length });
            }
        }
        Ok(())
    }

    /// The file, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.ring().len()
    }

    /// The same for the same keys, whatever their order: tells servers of a cluster whether theirs are the same. 32 bits of
    /// a digest of all say nothing about one.
    pub(crate) fn fingerprint(&self) -> String {
        let ring = self.ring();
        let mut secrets: Vec<_> = ring.iter().map(|(secret, _)| secret.expose()).collect();
        secrets.sort_unstable();
        let mut all = Context::new(&SHA256);
        for secret in secrets {
            all.update(digest(&SHA256, secret.as_bytes()).as_ref());
        }
        agb_protocol::random::hex(&all.finish().as_ref()[..4])
    }

    /// Calls that were taken here with each key that was used, by its name.
    pub(crate) fn spent(&self) -> impl Iterator<Item = (String, u64)> {
        let ring = self.ring();
        let spent: Vec<_> = ring.iter().map(|(_, caller)| (caller.name.clone(), caller.bucket.taken())).collect();
        spent.into_iter().filter(|(_, taken)| *taken > 0)
    }

    /// Another server of the cluster has taken calls with the key of this name.
    pub(crate) fn spent_elsewhere(&self, name: &str, calls: u64) {
        if let Some((_, caller)) = self.ring().iter().find(|(_, caller)| caller.name == name) {
            caller.bucket.spent_elsewhere(calls);
        }
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Reads a file of keys.
pub(crate) fn parse(file: &Path, text: &str) -> Result<Vec<ApiKey>, KeysError> {
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let wrong = |problem| Err(KeysError::Line { file: file.to_owned(), line: index + 1, problem });
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut words = line.split_whitespace();
        let (Some(name), Some(secret), None) = (words.next(), words.next(), words.next()) else {
            return wrong("it is not two words");
        };
        let is_name =
            name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if !is_name {
            return wrong("the name has other characters than letters, digits, . - _, or more than 64");
        }
        if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong("the key has characters that no header can carry");
        }
        if secret.len() < ApiKey::LEAST_ON_NETWORK {
            return wrong("the key has fewer than 16 characters, and could be guessed");
        }
        keys.push(ApiKey { name: name.to_owned(), secret: secret.into() });
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 1, burst: 1 };
    const LONG: &str = "0123456789abcdef";

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("there is room");
        let file = folder.path().join("keys");
        std::fs::write(&file, text).expect("there is room");
        (folder, file)
    }

    fn name(keys: &Keys, candidate: &str) -> Option<String> {
        keys.find(candidate).map(|caller| caller.name.clone())
    }

    #[test]
    fn keys_have_names_and_change() {
        let (_folder, path) = file(&format!("# people\n\nalice {LONG}A\n  bob\t{LONG}B  \n"));
        let given = vec![ApiKey { name: "default".into(), secret: "short".into() }];
        let keys = Keys::new(given, Some(path.clone()), RATE).expect("they are good");
        assert_eq!(keys.len(), 3);
        for (candidate, expected) in [
            ("short", Some("default")),
            (&format!("{LONG}A"), Some("alice")),
            (&format!("{LONG}B"), Some("bob")),
            (LONG, None),
            ("", None),
        ] {
            assert_eq!(name(&keys, candidate).as_deref(), expected, "{candidate}");
        }
        assert!(matches!(keys.check_for_network(), Err(KeysError::TooShort { length: 5, .. })));

        std::fs::write(&path, format!("alice {LONG}C\n")).expect("there is room");
        keys.reload().expect("they are good");
        assert_eq!(name(&keys, &format!("{LONG}A")), None);
        assert_eq!(name(&keys, &format!("{LONG}C")).as_deref(), Some("alice"));
        assert_eq!(name(&keys, &format!("{LONG}B")), None);

        // What cannot be read changes nothing.
        for bad in ["alice", "alice key", &format!("a/b {LONG}"), &format!("a {LONG} c"), &format!("a {LONG}é")] {
            std::fs::write(&path, bad).expect("there is room");
            let error = keys.reload().expect_err(bad).to_string();
            assert!(error.contains("line 1") && !error.contains(LONG), "{error}");
        }
        std::fs::write(&path, format!("a {LONG}\na {LONG}2\n")).expect("there is room");
        assert!(matches!(keys.reload(), Err(KeysError::SameName(name)) if name == "a"));
        std::fs::remove_file(&path).expect("it was there");
        assert!(matches!(keys.reload(), Err(KeysError::Unreadable { .. })));
        assert_eq!(name(&keys, &format!("{LONG}C")).as_deref(), Some("alice"));
    }

    #[test]
    fn servers_notice_that_their_keys_differ() {
        let key = |name: &str, secret: &str| ApiKey { name: name.into(), secret: secret.into() };
        let of = |keys: Vec<ApiKey>| Keys::new(keys, None, RATE).expect("they are good").fingerprint();
        let one = of(vec![key("a", "first"), key("b", "second")]);
        assert_eq!(one, of(vec![key("x", "second"), key("y", "first")]));
        assert_ne!(one, of(vec![key("a", "first")]));
        assert_ne!(one, of(vec![key("a", "firsts"), key("b", "econd")]));
        assert_eq!(one.len(), 8);
    }

    #[test]
    fn there_must_be_one() {
        let none = Keys::new(Vec::new(), None, RATE);
        assert!(matches!(none, Err(KeysError::None)));
        let (_folder, path) = file("# nobody\n");
        assert!(matches!(Keys::new(Vec::new(), Some(path), RATE), Err(KeysError::None)));
        let empty = vec![ApiKey { name: "default".into(), secret: "".into() }];
        assert!(matches!(Keys::new(empty, None, RATE), Err(KeysError::Empty)));
    }
}
