//! Calls about contexts, which block.

use std::sync::Arc;

use super::error::ApiError;
use crate::contexts::{ContextError, Contexts, remove_tree};

/// Runs what blocks off the runtime's threads, when its turn has come ([`Contexts::turn`]): `whose` it is, an API key's by its
/// name or a signed URL's by its context.
pub(super) async fn blocking<T: Send + 'static>(
    contexts: &Arc<Contexts>,
    whose: impl Into<String>,
    work: impl FnOnce(&Arc<Contexts>) -> Result<T, ContextError> + Send + 'static,
) -> Result<T, ApiError> {
    let turn = contexts.turn(&whose.into()).await;
    let theirs = Arc::clone(contexts);
    let work = move || {
        let _turn = turn; // it takes its thread to its end, also when nobody waits for it any more
        let done = work(&theirs);
        (done, theirs.take_leftovers())
    };
    match tokio::task::spawn_blocking(work).await {
        Ok((result, leftovers)) => {
            for path in leftovers {
                remove_later(contexts, move || remove_tree(&path));
            }
            Ok(result?)
        }
        Err(error) => {
            tracing::error!(%error, "a call about a context broke off");
            Err(ApiError::Defect)
        }
    }
}

/// Removes files when it is their turn. Nobody waits for it: it takes as long as there are files.
pub(super) fn remove_later(contexts: &Arc<Contexts>, remove: impl FnOnce() + Send + 'static) {
    let contexts = Arc::clone(contexts);
    tokio::spawn(async move {
        let turn = contexts.removal().await;
        tokio::task::spawn_blocking(move || {
            remove();
            drop(turn);
        });
    });
}
