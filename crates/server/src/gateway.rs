//! A gateway: a server whose sessions are those of another AGB-compatible service.
//!
//! ```text
//! client ── API key ──► calls about sessions, tools, contexts: passed on as they are ──► upstream
//! client ── session token of this server ──► run log ◄── feed ◄── agb-client ◄── upstream's stream
//! ```
//!
//! A session is taken up when the upstream answers `createSession` or `getSession` with it: its address and token in the
//! answer are replaced by this server's own. The API key is the client's, which is passed on, or the gateway's own, for
//! clients that have a key of this server; never both. No key and no token of the upstream's reaches a client or a log.

mod account;
mod counted;
mod feed;
mod session;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

use agb_client::Agb;
use agb_protocol::Secret;
use ring::digest::{SHA256, digest};
use thiserror::Error;

pub(crate) use self::account::Account;
pub(crate) use self::feed::Program;
pub(crate) use self::session::{Upstream, UpstreamError, kept_size};
use crate::auth::keys::Caller;
use crate::auth::rate::{Bucket, Rate};
use crate::budget::Budget;
use crate::lock::lock;
use crate::settings::UpstreamSettings;

/// Why there is no gateway.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// The clients' keys would be checked here and passed on.
    #[error(
        "an API key of this server's own (--api-key, --api-keys-file) and --upstream without --upstream-key-file: clients' keys are passed on then, so leave the key out, or give the gateway one for the upstream"
    )]
    TwoKeys,
    /// The file has no key.
    #[error("the upstream's API key cannot be read from {file}: {problem}")]
    KeyFile {
        /// As it was given.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The address cannot be used.
    #[error("the upstream {url:?} cannot be used: {problem}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// The upstream, and in whose names it is called.
pub(crate) struct Gateway {
    url: String,
    /// The largest message of a run that is taken.
    largest: usize,
    keys: Keys,
    rate: Rate,
    /// For all whose key has not been seen to be good. One bucket: made-up keys cost the upstream no more calls than that.
    strangers: Arc<Caller>,
    /// What their calls hold together.
    strangers_budget: Arc<Budget>,
}

/// Whose key the upstream is called with.
enum Keys {
    /// The gateway's own.
    Own(Arc<Account>),
    /// The clients', by a digest; those that live.
    Clients(Mutex<HashMap<[u8; 32], Weak<Account>>>),
}

impl Gateway {
    /// Checks the settings. `None`: they name no upstream. `strangers_budget`: what calls hold whose key nobody has checked.
    /// `max_extended_frame`: the largest event that clients are sent, and so the largest that is taken.
    pub(crate) fn new(
        settings: &UpstreamSettings,
        has_keys: bool,
        rate: Rate,
        strangers_budget: Arc<Budget>,
        max_extended_frame: usize,
    ) -> Result<Option<Self>, GatewayError> {
        /// What is around an event.
        const ENVELOPE: usize = 64 << 10;
        let Some(url) = settings.url.clone() else { return Ok(None) };
        let largest = max_extended_frame.saturating_add(ENVELOPE);
        let strangers =
            Arc::new(Caller { name: "clients whose key is not known yet".to_owned(), bucket: Bucket::new(rate) });
        let keys = match &settings.key_file {
            None if has_keys => return Err(GatewayError::TwoKeys),
            None => {
                account(&url, "none", largest)?;
                Keys::Clients(Mutex::default())
            }
            Some(file) => {
                let bad = |problem: String| GatewayError::KeyFile { file: file.clone(), problem };
                let text = fs::read_to_string(file).map_err(|error| bad(error.to_string()))?;
                let key = text.trim();
                if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(bad("it must be one line with the key".to_owned()));
                }
                Keys::Own(Arc::new(Account::new(account(&url, key, largest)?, Arc::clone(&strangers))))
            }
        };
        Ok(Some(Self { url, largest, keys, rate, strangers, strangers_budget }))
    }

    /// What a call of this account holds is a part of, if the upstream has not yet answered for its key.
    pub(crate) fn budget_of(&self, account: &Account) -> Option<&Arc<Budget>> {
        let is_stranger = self.passes_keys_on() && Arc::ptr_eq(account.caller(), &self.strangers);
        is_stranger.then_some(&self.strangers_budget)
    }

    /// Whether clients give the upstream's keys.
    pub(crate) fn passes_keys_on(&self) -> bool {
        matches!(self.keys, Keys::Clients(_))
    }

    /// Who calls with this key. Nothing is made of one that nobody knows.
    pub(crate) fn caller(&self, key: &str) -> Arc<Caller> {
        let known = match &self.keys {
            Keys::Own(account) => Some(Arc::clone(account)),
            Keys::Clients(living) => lock(living).get(&hash(key)).and_then(Weak::upgrade),
        };
        Arc::clone(known.as_ref().map_or(&self.strangers, |account| account.caller()))
    }

    /// The account of the key that a call came with; that of the gateway's own where it has one.
    pub(crate) fn account(&self, key: &str) -> Result<Arc<Account>, GatewayError> {
        match &self.keys {
            Keys::Own(account) => Ok(Arc::clone(account)),
            Keys::Clients(living) => {
                if let Some(account) = lock(living).get(&hash(key)).and_then(Weak::upgrade) {
                    return Ok(account);
                }
                Ok(Arc::new(Account::new(account(&self.url, key, self.largest)?, Arc::clone(&self.strangers))))
            }
        }
    }

    /// The upstream has given something for this key: from now on its owner is not a stranger.
    pub(crate) fn remember(&self, key: &str, account: &Arc<Account>) -> Arc<Account> {
        let Keys::Clients(living) = &self.keys else { return Arc::clone(account) };
        let mut living = lock(living);
        let hash = hash(key);
        if let Some(known) = living.get(&hash).and_then(Weak::upgrade) {
            return known;
        }
        living.retain(|_, account| account.strong_count() > 0);
        let name = format!("key {:02x}{:02x}{:02x}", hash[0], hash[1], hash[2]);
        let known = Arc::new(account.of(Arc::new(Caller { name, bucket: Bucket::new(self.rate) })));
        living.insert(hash, Arc::downgrade(&known));
        known
    }
}

fn account(url: &str, key: &str, largest: usize) -> Result<Agb, GatewayError> {
    account::connect(url, Secret::from(key), largest)
        .map_err(|error| GatewayError::Url { url: url.to_owned(), problem: error.to_string() })
}

fn hash(key: &str) -> [u8; 32] {
    digest(&SHA256, key.as_bytes()).as_ref().try_into().expect("SHA-256 has 32 bytes")
}
