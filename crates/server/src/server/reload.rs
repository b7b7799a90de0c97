//! Files that may change while the server runs: the keys and the certificate.

use std::convert::Infallible;
use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::listen::http::Shared;

/// A look costs a few microseconds; a key that was taken out opens nothing more after this.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Looks at the files now and then, and reads those that have changed. Never ends.
pub(crate) async fn watch(shared: Arc<Shared>) -> Infallible {
    let files = || {
        let tls = shared.tls.iter().flat_map(|tls| tls.files());
        shared.keys.file().into_iter().chain(tls).map(state_of).collect::<Vec<_>>()
    };
    let mut seen = files();
    if seen.is_empty() {
        pending::<Infallible>().await;
    }
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        let now = files();
        if now != seen {
            seen = now;
            reload(&shared);
        }
    }
}

/// Reads the files. What cannot be used changes nothing.
pub(crate) fn reload(shared: &Shared) {
    if shared.keys.file().is_some() {
        match shared.keys.reload() {
            Ok(()) => tracing::info!(keys = shared.keys.len(), "API keys read"),
            Err(error) => tracing::error!(%error, "the API keys stay as they were"),
        }
    }
    if let Some(tls) = &shared.tls {
        match tls.reload() {
            Ok(()) => tracing::info!("certificate read"),
            Err(error) => tracing::error!(%error, "the certificate stays as it was"),
        }
    }
}

/// What changes when a file does, also when another is put in its place.
fn state_of(path: &Path) -> Option<(u64, u64, SystemTime)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.modified().ok()?))
}
