//! Synchronisation of a session with its contexts: tasks that can be looked at from their first moment.
//!
//! One task at a time copies for a session; the others wait in order. A release waits for the one that goes on, uploads
//! what its policy uploads by itself, and forgets the rest.

use std::sync::Arc;

use super::side::{Download, Side};
use super::sync_tasks::{Direction, SessionContexts, Target, WAITING};
use super::{Busy, Session};
use crate::contexts::ContextError;
use crate::run::event::{RunFailure, failure};
use crate::workspace::{ProgramOptions, Workspace};

impl Session {
    /// Copies in a task of its own, which [`SessionContexts::tasks`] shows from now on.
    pub(crate) fn synchronise(self: &Arc<Self>, target: Target, direction: Direction) -> Result<(), Busy> {
        let activity = self.begin(0)?;
        let Some(task) = self.contexts.begin(&target, direction) else {
            return Err(Busy::TooMany(WAITING));
        };
        let session = Arc::clone(self);
        tokio::spawn(async move {
            let _activity = activity;
            let _turn = session.contexts.copying.lock().await;
            let result = match session.workspace() {
                Ok(workspace) => session.copy(&workspace, target, direction).await,
                Err(failure) => Err(ContextError::System { action: "using the session", problem: failure.value }),
            };
            if let Err(error) = &result {
                tracing::warn!(session = session.id(), context = task.context, path = task.path, %error, "{} failed", direction.as_str());
            }
            session.contexts.finish(&task, result);
        });
        Ok(())
    }

    /// Its mounts and what is copied between them and their contexts.
    pub(crate) fn contexts(&self) -> &SessionContexts {
        &self.contexts
    }

    /// What its programs are given beyond those of other sessions.
    pub(crate) fn options(&self) -> &ProgramOptions {
        &self.options
    }

    /// Whether a workspace that is ready for others will not do.
    pub(super) fn needs_own_workspace(&self) -> bool {
        self.contexts.need_own_workspace() || !self.options.is_default()
    }

    /// The same workspace, with the session's own options and the directories of its mounts.
    pub(super) fn furnish(&self, workspace: Arc<Workspace>) -> Result<Arc<Workspace>, RunFailure> {
        if !self.options.is_default() {
            workspace.set_options(self.options.clone());
        }
        for mount in self.contexts.mounts() {
            let made = workspace.folder().add_mount(&mount.inside());
            made.map_err(|error| failure("NoMount", format!("the mount {} could not be made: {error}", mount.path)))?;
        }
        Ok(workspace)
    }

    /// Downloads what the policies of the mounts download by themselves.
    pub(crate) fn download_mounts(self: &Arc<Self>) -> Result<(), Busy> {
        for mount in self.contexts.mounts().iter().filter(|mount| mount.policy.auto_download) {
            self.synchronise(Target::Mount(Arc::clone(mount)), Direction::Download)?;
        }
        Ok(())
    }

    /// Uploads what the policies of the mounts upload by themselves, before the session's files are removed.
    pub(super) async fn upload_mounts(&self, workspace: &Arc<Workspace>) {
        let _turn = self.contexts.copying.lock().await;
        for mount in self.contexts.mounts().iter().filter(|mount| mount.policy.auto_upload) {
            let upload = self.copy(workspace, Target::Mount(Arc::clone(mount)), Direction::Upload);
            if let Err(error) = upload.await {
                let (context, path) = (mount.context.id(), &mount.path);
                tracing::error!(session = self.id(), context, path, %error, "files of a released session are lost");
            }
        }
    }

    async fn copy(&self, workspace: &Arc<Workspace>, target: Target, direction: Direction) -> Result<(), ContextError> {
        let workspace = Arc::clone(workspace);
        let limits = &self.config().sandbox;
        let download = Download::new(self.watch_stage(), limits.disk, limits.files);
        let copying = tokio::task::spawn_blocking(move || {
            let (folder, user) = (workspace.folder(), workspace.slot().user());
            target.copy(direction, Side { folder, user, workspace: &workspace, download: &download })
        });
        let broken = |_| ContextError::System { action: "copying", problem: "it broke off by a defect".to_owned() };
        copying.await.map_err(broken)?
    }
}
