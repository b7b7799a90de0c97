//! Calls about contexts, which block.

use std::sync::Arc;

use super::error::ApiError;
use crate::contexts::{ContextError, Contexts};

/// Runs what blocks off the runtime's threads, when its turn has come ([`Contexts::turn`]).
pub(super) async fn blocking<T: Send + 'static>(
    contexts: &Arc<Contexts>,
    work: impl FnOnce(&Arc<Contexts>) -> Result<T, ContextError> + Send + 'static,
) -> Result<T, ApiError> {
    let turn = contexts.turn().await;
    let contexts = Arc::clone(contexts);
    let work = move || {
        let _turn = turn; // it takes its thread to its end, also when nobody waits for it any more
        work(&contexts)
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => {
            tracing::error!(%error, "a call about a context broke off");
            Err(ApiError::Defect)
        }
    }
}
