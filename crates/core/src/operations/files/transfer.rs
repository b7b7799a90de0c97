//! Parts of files as plain bytes over the session's link: the extension `files` of the server's protocol.
//!
//! A stream of any size is a sequence of parts. Each part is one [`Transfer`]: it survives cuts, because it asks for what
//! is still missing, and it needs no more memory than the part has bytes. A driver carries the bytes and decides nothing:
//!
//! ```no_run
//! # use agb_core::operations::files::{Exchange, Part, Transfer, TransferStep};
//! # use agb_core::{error::ApiError, http::{Answered, HttpRequest}};
//! # fn send(request: &HttpRequest, body: Option<&[u8]>, most: Option<u64>, kept: &mut Vec<u8>) -> Exchange { panic!("a driver sends it") }
//! # fn sleep(_: std::time::Duration) {}
//! # fn drive(mut transfer: Box<dyn Transfer>, bytes: &[u8]) -> Result<(Answered<Part>, Vec<u8>), ApiError> {
//! let (mut last, mut kept) = (None, Vec::new());
//! loop {
//!     match transfer.next(last.take()) {
//!         TransferStep::Send { request, body, most } => {
//!             last = Some(send(&request, body.map(|range| &bytes[range]), most, &mut kept));
//!         }
//!         TransferStep::Forget(time) => {
//!             kept.clear();
//!             sleep(time);
//!         }
//!         TransferStep::Wait(time) => sleep(time),
//!         TransferStep::Done(outcome) => break Ok((outcome?, kept)),
//!     }
//! }
//! # }
//! ```

use std::ops::Range;
use std::time::Duration;

use crate::config::BaseUrl;
use crate::error::{ApiError, TransportError};
use crate::http::{Answered, HttpRequest, HttpResponse, Method, Repeat};
use crate::operations::SessionData;
use crate::secret::Secret;

/// Bytes of a file that one part has. Large enough that the cost of a call does not show beside its bytes, and small
/// enough that a reader with a part in hand and one on its way stays far below 64 MiB.
pub const PART_SIZE: u64 = 4 << 20;

/// How long no byte may move before an exchange counts as cut: as long as the server waits for a client.
pub(super) const QUIET: Duration = Duration::from_secs(30);

/// Carries one part of a file.
pub trait Transfer: Send {
    /// What to do next; `last` is what the exchange before came to. After [`TransferStep::Done`] it is not called again.
    fn next(&mut self, last: Option<Exchange>) -> TransferStep;
}

/// What a driver does for a [`Transfer`].
#[derive(Debug)]
pub enum TransferStep {
    /// Send this, and come back with what it came to.
    Send {
        /// The head. When nothing has moved for its [`expected`](HttpRequest::expected) time, the exchange is broken.
        request: Box<HttpRequest>,
        /// Which of the part's bytes are its body; without one for a request that has none.
        body: Option<Range<usize>>,
        /// The bytes of an answer 200 or 206 belong to the part: append them, at most so many. Without it every answer
        /// is text.
        most: Option<u64>,
    },
    /// What was appended to the part so far does not belong to it: drop it, and come back after this time.
    Forget(Duration),
    /// Come back after this time.
    Wait(Duration),
    /// The part is through, or cannot be.
    Done(Result<Answered<Part>, ApiError>),
}

/// What an exchange came to.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    /// The head of the answer, as far as it came. Its body is empty where the bytes were appended to the part.
    pub response: Option<HttpResponse>,
    /// The header `etag`.
    pub etag: Option<String>,
    /// The header `content-range`.
    pub content_range: Option<String>,
    /// Bytes that were appended to the part.
    pub received: u64,
    /// How it broke off, if it did.
    pub broken: Option<TransportError>,
}

/// What is known of a file after a part of it has gone through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Bytes of the whole file; while it is uploaded, those that have arrived.
    pub size: u64,
    /// What tells this state of the file from every other; empty while it is uploaded.
    pub etag: String,
    /// There is nothing behind this part.
    pub is_last: bool,
}

json_object!(Part as part { "size": part.size, "etag": part.etag, "isLast": part.is_last });

/// Where a session's files are, and who asks.
#[derive(Clone)]
pub struct FileLink {
    url: String,
    token: Secret,
}

impl FileLink {
    /// The name in a session's `extensions` under which a service says that it has files as plain bytes.
    pub const EXTENSION: &str = "files";

    /// The same for packing and unpacking folders.
    pub const FOLDERS: &str = "folders";

    /// The link of a session whose service has the extension.
    #[must_use]
    pub fn of(session: &SessionData) -> Option<Self> {
        Self::with(session, Self::EXTENSION)
    }

    /// The same for a service that packs and unpacks folders as well.
    #[must_use]
    pub fn of_folders(session: &SessionData) -> Option<Self> {
        let packs = session.extensions.iter().any(|name| name == Self::FOLDERS);
        Self::of(session).filter(|_| packs)
    }

    /// The link of a session whose service has an extension.
    pub(crate) fn with(session: &SessionData, extension: &str) -> Option<Self> {
        let link = BaseUrl::parse(session.link_url.as_deref()?).ok()?;
        let knows = session.extensions.iter().any(|name| name == extension);
        (knows && !session.token.is_empty())
            .then(|| Self { url: [link.as_str(), "/files"].concat(), token: session.token.clone() })
    }

    /// A request below the link, with the session's token.
    pub(crate) fn request(&self, method: Method, below: &str) -> HttpRequest {
        // Each request says which bytes it is about, so that none does harm twice.
        let mut request = HttpRequest::new(method, [self.url.as_str(), below].concat(), Repeat::Safe);
        request.headers.push(("x-access-token", self.token.clone()));
        request
    }
}

impl std::fmt::Debug for FileLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FileLink")
    }
}

/// How often a part that makes no progress is tried, and what is waited between.
#[derive(Debug, Default)]
pub(super) struct Patience {
    failures: u32,
}

impl Patience {
    /// Ten tries, with 50 ms and then twice as long each time up to 3 s between: some 13 s in all, which a server takes
    /// to be replaced and a phone to change its network.
    const TRIES: u32 = 10;

    /// Something moved.
    pub(super) fn restore(&mut self) {
        self.failures = 0;
    }

    /// Waits before the next try, or ends with the error.
    pub(super) fn after(&mut self, error: ApiError, asked: Option<Duration>) -> TransferStep {
        match self.wait(&error, asked) {
            Some(time) => TransferStep::Wait(time),
            None => TransferStep::Done(Err(self.given_up(error))),
        }
    }

    /// The error, with what was done about it.
    fn given_up(&self, error: ApiError) -> ApiError {
        match error {
            ApiError::Transport(TransportError::Interrupted { reason }) if self.failures >= Self::TRIES => {
                let tries = Self::TRIES.to_string();
                let reason =
                    [&reason, " (", &tries, " tries in a row carried nothing: check the network, and try again)"];
                TransportError::Interrupted { reason: reason.concat() }.into()
            }
            error => error,
        }
    }

    /// How long to wait before the next try; `None` when the error is the outcome.
    pub(super) fn wait(&mut self, error: &ApiError, asked: Option<Duration>) -> Option<Duration> {
        let is_passing = match error {
            ApiError::Transport(TransportError::Untrusted { .. } | TransportError::ProxyRefused { .. }) => false,
            ApiError::Transport(_) => true,
            other => matches!(other.status(), Some(408 | 429 | 502..=504)),
        };
        self.failures += 1;
        if !is_passing || self.failures >= Self::TRIES {
            return None;
        }
        let delay = Duration::from_millis(50 << (self.failures - 1)).min(Duration::from_secs(3));
        // A service that asks for more than that is busier than a stream can wait.
        Some(delay.max(asked.unwrap_or_default()).min(Duration::from_secs(10)))
    }
}

/// How many bytes one exchange of a part asks for or sends: all that are missing, until one has carried nothing.
///
/// A cut costs a browser everything that the page had not yet taken, and a proxy in between may keep what it did not get as
/// a whole. On a network that cuts every connection after some KiB, such an exchange of 4 MiB never comes through: smaller
/// ones do.
#[derive(Debug)]
pub(super) struct Stride(u64);

impl Default for Stride {
    fn default() -> Self {
        Self(u64::MAX)
    }
}

impl Stride {
    /// Less than that is hardly more than the heads of a call, so that a network which cuts it lets no call through.
    const LEAST: u64 = 4 * 1024;

    /// How many of the bytes that are missing are next.
    pub(super) fn of(&self, missing: u64) -> u64 {
        missing.min(self.0)
    }

    /// An exchange of so many bytes came through.
    pub(super) fn carried(&mut self) {
        self.0 = self.0.saturating_mul(2);
    }

    /// One of so many bytes was cut, and nothing of it is left. A quarter each time: after five cuts of a whole part the
    /// least is tried, and as many tries are left.
    pub(super) fn lost(&mut self, bytes: u64) {
        self.0 = (self.0.min(bytes) / 4).max(Self::LEAST);
    }
}

// Not as WebAssembly: what these tests move and drop makes Node 20 end in its own collector, after they have passed.
#[cfg(all(test, not(target_family = "wasm")))]
mod tests;
