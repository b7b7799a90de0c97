//! From what a caller, the environment and a `.env` file say to settings that can be used (wire protocol,
//! "Configuration").
//!
//! Pure: whoever calls this reads the environment and the file.

use std::fmt;
use std::time::Duration;

use crate::codes;
use crate::secret::Secret;

mod dotenv;
mod endpoint;

pub use dotenv::parse_dotenv;
pub use endpoint::{BadEndpoint, BaseUrl, Endpoint};

/// The variable that holds the API key.
pub const API_KEY: &str = "AGB_API_KEY";
/// The variable that holds the endpoint: a host, a URL, or `local`.
pub const ENDPOINT: &str = "AGB_ENDPOINT";
/// The variable that holds the time limit of one HTTP call in milliseconds.
pub const TIMEOUT_MS: &str = "AGB_TIMEOUT_MS";

/// The documented time limit of one HTTP call: creating a session may start a machine, which takes tens of seconds.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_millis(60_000);

/// The longest delay a timer of JavaScript can hold (about 25 days), so that a limit means the same everywhere.
const MAX_TIMEOUT_MS: u32 = i32::MAX as u32;

/// What a caller said in code. What is absent is looked for elsewhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// The API key.
    pub api_key: Option<Secret>,
    /// Host, URL, or `local`.
    pub endpoint: Option<String>,
    /// Time limit of one HTTP call in milliseconds; a float since that is what JavaScript has.
    pub timeout_ms: Option<f64>,
}

/// Settings that are complete and valid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Where the service is.
    pub endpoint: Endpoint,
    /// The key; absent only for [`Endpoint::Local`], whose server gets a fresh one.
    pub api_key: Option<Secret>,
    /// The time limit of one HTTP call.
    pub timeout: Duration,
}

impl Settings {
    /// Resolves each setting by itself: `options` before `environment` before the text of a `.env` file before the
    /// default. A variable that is empty or blank counts as absent, as shells have no other way to unset one for a
    /// child; an empty option does not, since nobody writes one on purpose.
    ///
    /// # Errors
    /// [`ConfigError`] for the first setting that cannot be used. It names the setting and where it came from, never
    /// what it said.
    pub fn resolve<K: AsRef<str>, V: AsRef<str>>(
        options: &Options,
        environment: &[(K, V)],
        dotenv: Option<&str>,
    ) -> Result<Self, ConfigError> {
        let file = dotenv.map(parse_dotenv).unwrap_or_default();
        let variable = |name: &str| {
            let set = |value: &str| !value.trim().is_empty();
            environment
                .iter()
                .rev()
                .map(|(key, value)| (key.as_ref(), value.as_ref(), Source::Environment))
                .chain(file.iter().rev().map(|(key, value)| (key.as_str(), value.as_str(), Source::EnvFile)))
                .find(|(key, value, _)| *key == name && set(value))
                .map(|(_, value, source)| (value, source))
        };

        let endpoint =
            match options.endpoint.as_deref().map(|text| (text, Source::Options)).or_else(|| variable(ENDPOINT)) {
                Some((text, origin)) => {
                    Endpoint::parse(text).map_err(|reason| ConfigError::BadEndpoint { reason, origin })?
                }
                None => Endpoint::default(),
            };
        let api_key = match &options.api_key {
            Some(key) => Some(checked_key(key.expose(), Source::Options)?),
            None => variable(API_KEY).map(|(text, origin)| checked_key(text, origin)).transpose()?,
        };
        if api_key.is_none() && endpoint != Endpoint::Local {
            return Err(ConfigError::NoApiKey);
        }
        let timeout = match options.timeout_ms {
            Some(milliseconds) => checked_timeout(milliseconds, Source::Options)?,
            None => match variable(TIMEOUT_MS) {
                Some((text, origin)) => {
                    let milliseconds = text.trim().parse::<u32>();
                    checked_timeout(milliseconds.map_err(|_| ConfigError::BadTimeout { origin })?.into(), origin)?
                }
                None => DEFAULT_TIMEOUT,
            },
        };
        Ok(Self { endpoint, api_key, timeout })
    }
}

/// A key travels in a header, so it is one word of visible ASCII; anything else is a slip (a whole line pasted, a
/// placeholder with spaces) that would only fail later and less clearly.
fn checked_key(text: &str, origin: Source) -> Result<Secret, ConfigError> {
    let key = text.trim();
    if key.is_empty() {
        Err(ConfigError::NoApiKey)
    } else if key.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Secret::from(key))
    } else {
        Err(ConfigError::UnusableApiKey { origin })
    }
}

fn checked_timeout(milliseconds: f64, origin: Source) -> Result<Duration, ConfigError> {
    // NaN is in no range.
    if (1.0..=f64::from(MAX_TIMEOUT_MS)).contains(&milliseconds) {
        Ok(Duration::from_millis(milliseconds as u64))
    } else {
        Err(ConfigError::BadTimeout { origin })
    }
}

/// Where a setting came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Given in code.
    Options,
    /// An environment variable.
    Environment,
    /// The `.env` file.
    EnvFile,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Options => "given in code",
            Self::Environment => "from the environment",
            Self::EnvFile => "from the .env file",
        })
    }
}

/// A setting that is missing or cannot be used. Compares by what is wrong; holds no text of the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No key anywhere, and the endpoint is not `local`.
    #[error("no API key: pass one, or set {API_KEY} in the environment or in a .env file")]
    NoApiKey,
    /// A key that no header can carry.
    #[error("the API key ({origin}) holds blanks, control characters or letters outside ASCII, as no key does")]
    UnusableApiKey {
        /// Where it came from.
        origin: Source,
    },
    /// An endpoint that is neither a host nor a URL that can be used.
    #[error("the endpoint ({origin}) cannot be used: {reason}")]
    BadEndpoint {
        /// What is wrong with it.
        reason: BadEndpoint,
        /// Where it came from.
        origin: Source,
    },
    /// A time limit that is none.
    #[error(
        "the time limit ({origin}) must be a number of milliseconds from 1 to {MAX_TIMEOUT_MS}; {TIMEOUT_MS} sets it"
    )]
    BadTimeout {
        /// Where it came from.
        origin: Source,
    },
}

impl ConfigError {
    /// Stable code: `NO_API_KEY`, `BAD_ENDPOINT` or `BAD_TIMEOUT`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoApiKey | Self::UnusableApiKey { .. } => codes::NO_API_KEY,
            Self::BadEndpoint { .. } => codes::BAD_ENDPOINT,
            Self::BadTimeout { .. } => codes::BAD_TIMEOUT,
        }
    }
}

#[cfg(test)]
mod tests;
