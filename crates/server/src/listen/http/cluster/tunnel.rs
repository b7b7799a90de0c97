//! Joins a client's connection with one to the owner of its session, once both speak something else than HTTP.
//!
//! Frames are not read: back-pressure, windows and pings pass through as they are. Who does not read is not read from.

use std::sync::Arc;

use axum::http::Extensions;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;

use crate::observe::Metrics;

/// What is read at once of a client: acknowledgements and programs.
const FROM_CLIENT: usize = 8 * 1024;
/// What is read at once of the owner: output. With what hyper keeps, a tunnel stays below 64 KiB.
const FROM_OWNER: usize = 32 * 1024;

/// Copies both ways until one end closes or `cut` is ready. What is `held` is held as long.
pub(super) fn join(
    client: OnUpgrade,
    owner: OnUpgrade,
    cut: impl Future<Output = ()> + Send + 'static,
    metrics: &Arc<Metrics>,
    held: Extensions,
) {
    let open = metrics.tunnel();
    tokio::spawn(async move {
        let _held = (held, open);
        let (client, owner) = match tokio::try_join!(client, owner) {
            Ok(both) => both,
            Err(error) => return tracing::debug!(%error, "a tunnel was not made"),
        };
        let (mut client, mut owner) = (TokioIo::new(client), TokioIo::new(owner));
        let copied = tokio::select! {
            copied = copy_bidirectional_with_sizes(&mut client, &mut owner, FROM_CLIENT, FROM_OWNER) => copied,
            () = cut => return tracing::debug!("a tunnel was cut: its server was declared lost, or this one ends"),
        };
        if let Err(error) = copied {
            tracing::debug!(%error, "a tunnel broke");
        }
    });
}
