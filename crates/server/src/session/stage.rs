//! How far a session's life has come.

use tokio::sync::watch;

/// How far a session's life has come. Only ever forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It takes runs.
    Running,
    /// Its release has begun.
    Deleting,
    /// Nothing of it is left.
    Gone,
}

impl Stage {
    /// As it goes over the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Deleting => "DELETING",
            Self::Gone => "DELETED",
        }
    }
}

/// Comes when the session is gone, whose [`Session::watch_stage`](super::Session::watch_stage) this is.
pub(crate) async fn gone(stage: &mut watch::Receiver<Stage>) {
    // An error says that nobody holds the session any more, which is the same.
    let _ = stage.wait_for(|stage| *stage == Stage::Gone).await;
}
