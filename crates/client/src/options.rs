//! What a caller may say, and where the rest is looked for: code, then environment, then `.env`, then defaults.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agb_core::config::{self, Endpoint, Settings};
use agb_core::{Secret, SessionConfig};

use crate::error::{Error, LocalError};
use crate::network::Network;
use crate::proxy::ProxyChoice;
use crate::socket::SocketLimits;

/// Settings of an [`Agb`](crate::Agb). What is not said is looked for in the environment, then in a `.env` file, and
/// else has its default.
///
/// | setting | variable | default |
/// | --- | --- | --- |
/// | [`api_key`](Self::api_key) | `AGB_API_KEY` | none: it must be somewhere |
/// | [`endpoint`](Self::endpoint) | `AGB_ENDPOINT` | `sdk-api.agb.cloud` |
/// | [`timeout`](Self::timeout) | `AGB_TIMEOUT_MS` | 60 s |
#[derive(Clone, Default)]
pub struct Options {
    pub(crate) in_code: config::Options,
    env_file: Option<PathBuf>,
    environment: Option<Vec<(String, String)>>,
    local_server: Option<PathBuf>,
    pub(crate) retry_wait: Option<Duration>,
    pub(crate) limits: SocketLimits,
    pub(crate) proxy: ProxyChoice,
    pub(crate) authorities: Vec<String>,
    pub(crate) with_bundled: bool,
    pub(crate) tuning: Option<Tuning>,
}

/// Changes the limits of a session's connection.
pub(crate) type Tuning = Arc<dyn Fn(&mut SessionConfig) + Send + Sync>;

impl Options {
    /// Nothing said yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The API key.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<Secret>) -> Self {
        self.in_code.api_key = Some(key.into());
        self
    }

    /// A host, a URL, or `local` for a server on this machine that is started when it is needed.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.in_code.endpoint = Some(endpoint.into());
        self
    }

    /// How long one HTTP call may take.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        self.timeout_ms(timeout.as_secs_f64() * 1000.0)
    }

    /// [`timeout`](Self::timeout) in milliseconds, as other languages have it; what is no such number is refused later.
    #[must_use]
    pub fn timeout_ms(mut self, milliseconds: f64) -> Self {
        self.in_code.timeout_ms = Some(milliseconds);
        self
    }

    /// How long an HTTP call that is sent again (twice at most) may wait for its next try, in all: default 10 s. A service
    /// that asks for more (`Retry-After` of a 429 or 503) is not waited for, and its error is the outcome. All of it is
    /// within [`timeout`](Self::timeout).
    #[must_use]
    pub fn retry_wait(mut self, most: Duration) -> Self {
        self.retry_wait = Some(most);
        self
    }

    /// The `.env` file. Not said, one is searched upward from the working directory.
    #[must_use]
    pub fn env_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.env_file = Some(path.into());
        self
    }

    /// The environment's variables, instead of this process's.
    #[must_use]
    pub fn environment<K: Into<String>, V: Into<String>>(mut self, pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        self.environment = Some(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect());
        self
    }

    /// The program behind the endpoint `local`. Not said, `agb-server` is searched in `PATH`.
    #[must_use]
    pub fn local_server(mut self, program: impl Into<PathBuf>) -> Self {
        self.local_server = Some(program.into());
        self
    }

    /// The forward proxy for all connections but those to this machine: `http://user:password@host:port`. Not said, the
    /// variables `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` decide, in lower case too.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = ProxyChoice::Url(url.into());
        self
    }

    /// No forward proxy, whatever the variables say.
    #[must_use]
    pub fn no_proxy(mut self) -> Self {
        self.proxy = ProxyChoice::None;
        self
    }

    /// Trusts the authorities with these certificates (PEM) as well: beside the platform's, in whose place
    /// `SSL_CERT_FILE` may name others, and those of the file that `NODE_EXTRA_CA_CERTS` names.
    #[must_use]
    pub fn ca(mut self, pem: impl Into<String>) -> Self {
        self.authorities.push(pem.into());
        self
    }

    /// Whether Mozilla's list of authorities is trusted as well, as in Node. Not said, it is where the platform has none.
    #[must_use]
    pub const fn bundled_certificates(mut self, trust: bool) -> Self {
        self.with_bundled = trust;
        self
    }

    /// How large what a WebSocket brings may be.
    #[must_use]
    pub fn socket_limits(mut self, limits: SocketLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Changes the limits of every session's connection: heartbeat, silence, windows. See [`SessionConfig`].
    #[must_use]
    pub fn tune(mut self, tuning: impl Fn(&mut SessionConfig) + Send + Sync + 'static) -> Self {
        self.tuning = Some(Arc::new(tuning));
        self
    }

    pub(crate) fn network(&self) -> Result<Arc<Network>, Error> {
        let made = Network::new(self.proxy.clone(), self.authorities.clone(), self.with_bundled);
        made.map(Arc::new).map_err(|reason| Error::Network { reason })
    }

    /// The settings, and for the endpoint `local` the program.
    pub(crate) fn resolve(&self) -> Result<(Settings, Option<PathBuf>), Error> {
        let dotenv = match &self.env_file {
            Some(path) => {
                Some(read(path).map_err(|error| Error::EnvFile { path: path.clone(), reason: error.to_string() })?)
            }
            None => search(),
        };
        let own;
        let environment = match &self.environment {
            Some(given) => given,
            None => {
                own = own_environment();
                &own
            }
        };
        let settings = Settings::resolve(&self.in_code, environment, dotenv.as_deref())?;
        let program = match settings.endpoint {
            Endpoint::Local => Some(self.local_program()?),
            Endpoint::Remote(_) => None,
        };
        Ok((settings, program))
    }

    fn local_program(&self) -> Result<PathBuf, LocalError> {
        let name = if cfg!(windows) { "agb-server.exe" } else { "agb-server" };
        match &self.local_server {
            Some(program) if program.is_file() => Ok(program.clone()),
            Some(program) => Err(LocalError::NotFound { program: program.clone() }),
            None => std::env::var_os("PATH")
                .and_then(|path| std::env::split_paths(&path).map(|folder| folder.join(name)).find(|at| at.is_file()))
                .ok_or_else(|| LocalError::NotFound { program: PathBuf::from(name) }),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.environment.as_ref().map(|pairs| pairs.iter().map(|(name, _)| name).collect::<Vec<_>>());
        f.debug_struct("Options")
            .field("in_code", &self.in_code)
            .field("env_file", &self.env_file)
            .field("environment", &names)
            .field("local_server", &self.local_server)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// This process's variables that are ours.
fn own_environment() -> Vec<(String, String)> {
    let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .filter(|(name, _)| name.starts_with("AGB_"))
        .collect()
}

/// The nearest `.env` file from the working directory upward. One that nobody named and nobody may read counts as none.
fn search() -> Option<String> {
    let from = std::env::current_dir().ok()?;
    let path = from.ancestors().map(|folder| folder.join(".env")).find(|path| path.is_file())?;
    match read(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            tracing::warn!(target: "agb::config", path = %path.display(), %error, "the .env file cannot be read");
            None
        }
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let bytes = fs::read(path)?;
    Ok(String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}
