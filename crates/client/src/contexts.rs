//! Contexts: files that outlive sessions.

use std::time::Duration;

use agb_core::operations::contexts::{
    self, ClearContext, ClearState, Context, ContextFiles, ContextPage, ContextTask, FileUrl, FindContext,
    ListContexts, ListFiles, Settle, SyncContext, SyncMode, TaskFilter,
};

use crate::agb::Agb;
use crate::error::Error;
use crate::session::Session;

/// The contexts of an account.
#[derive(Clone, Copy, Debug)]
pub struct Contexts<'a> {
    agb: &'a Agb,
}

impl<'a> Contexts<'a> {
    pub(crate) const fn new(agb: &'a Agb) -> Self {
        Self { agb }
    }

    /// A page of them.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn list(&self, page: ListContexts) -> Result<ContextPage, Error> {
        Ok(self.agb.perform(page.call()).await?.value)
    }

    /// One of them, by id or name.
    ///
    /// # Errors
    /// [`Error::Arguments`] for what cannot be asked for; what the service or the network says.
    pub async fn find(&self, which: FindContext) -> Result<Context, Error> {
        Ok(self.agb.perform(which.checked()?.call()).await?.value)
    }

    /// The one of this name; it is made where there is none.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub async fn create(&self, name: impl Into<String>) -> Result<Context, Error> {
        self.find(FindContext { name: Some(name.into()), create: true, ..FindContext::default() }).await
    }

    /// Gives one another name.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn rename(&self, id: &str, name: &str) -> Result<(), Error> {
        self.agb.perform(contexts::rename_context(id, name)).await?;
        Ok(())
    }

    /// Deletes one with its files.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn delete(&self, id: &str) -> Result<(), Error> {
        self.agb.perform(contexts::delete_context(id)).await?;
        Ok(())
    }

    /// Deletes the files of one, and waits until it is available again.
    ///
    /// # Errors
    /// The code `CLEARANCE_TIMED_OUT`; what the service or the network says.
    pub async fn clear(&self, id: &str, timeout: Duration, interval: Duration) -> Result<ClearState, Error> {
        Ok(self.agb.perform(ClearContext::new(id, timeout, interval)).await?.value)
    }

    /// A URL to `PUT` a file to.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn upload_url(&self, id: &str, path: &str) -> Result<FileUrl, Error> {
        Ok(self.agb.perform(contexts::upload_url(id, path)).await?.value)
    }

    /// A URL to `GET` a file from.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn download_url(&self, id: &str, path: &str) -> Result<FileUrl, Error> {
        Ok(self.agb.perform(contexts::download_url(id, path)).await?.value)
    }

    /// The files below a folder of one.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn files(&self, list: ListFiles) -> Result<ContextFiles, Error> {
        Ok(self.agb.perform(list.call()).await?.value)
    }

    /// Deletes a file of one.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn delete_file(&self, id: &str, path: &str) -> Result<(), Error> {
        self.agb.perform(contexts::delete_file(id, path)).await?;
        Ok(())
    }
}

/// The contexts that a session was created with.
#[derive(Clone, Copy, Debug)]
pub struct SessionContexts<'a> {
    session: &'a Session,
}

impl<'a> SessionContexts<'a> {
    pub(crate) const fn new(session: &'a Session) -> Self {
        Self { session }
    }

    /// What they are doing.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn info(&self, filter: &TaskFilter) -> Result<Vec<ContextTask>, Error> {
        Ok(self.session.perform(|toolbox| filter.info(&toolbox.session.session_id)).await?.value)
    }

    /// Carries files between the session and its contexts, and waits until they are there.
    ///
    /// # Errors
    /// The code `SYNC_FAILED`; what the service or the network says.
    pub async fn sync(&self, filter: TaskFilter, mode: Option<SyncMode>) -> Result<(), Error> {
        let (retries, interval) = (SyncContext::RETRIES, SyncContext::INTERVAL);
        let make = |id: &str| SyncContext::new(id, filter, mode, retries, interval);
        self.session.perform(|toolbox| make(&toolbox.session.session_id)).await?;
        Ok(())
    }

    /// Waits until those that a new session was created with are there: the tasks that carried them.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn settle(&self, retries: u64, interval: Duration) -> Result<Vec<ContextTask>, Error> {
        let make = |id: &str| Settle::new(id, TaskFilter::default(), retries, interval);
        Ok(self.session.perform(|toolbox| make(&toolbox.session.session_id)).await?.value)
    }
}
