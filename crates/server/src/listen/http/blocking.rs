//! Calls about contexts, which block.

use super::error::ApiError;
use crate::contexts::ContextError;

/// Runs what blocks off the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ContextError> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => {
            tracing::error!(%error, "a call about a context broke off");
            Err(ApiError::Defect)
        }
    }
}
