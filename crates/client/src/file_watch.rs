//! Changes of files, told by the service as they happen.

use std::collections::VecDeque;

use agb_core::operations::files::{self, FileChange, WatchNews};

use crate::error::Error;
use crate::random;
use crate::session::Session;

/// A watch of files; see [`Files::follow`](crate::Files::follow). It ends on the service a minute after it was dropped, or at
/// once by [`close`](Self::close).
#[derive(Debug)]
pub struct FileWatch {
    session: Session,
    watch: files::FileWatch,
    name: String,
    after: u64,
    waiting: VecDeque<FileChange>,
    ended: Option<String>,
}

impl FileWatch {
    pub(crate) async fn open(session: Session, path: &str, recursive: bool) -> Result<Self, Error> {
        let watch = files::FileWatch::of(session.data(), path, recursive).ok_or(Error::NotSupported(
            "the service does not tell of changes of files: ask it again and again with Files::watch",
        ))?;
        let opening = watch.open(random::id());
        let name = session.perform(|_| opening).await?.value;
        Ok(Self { session, watch, name, after: 0, waiting: VecDeque::new(), ended: None })
    }

    /// The next change, also after a lost connection. An event `overflow` says that some were lost: look at the files anew.
    /// `None` when the session is gone or what is watched is, as [`ended`](Self::ended) says.
    ///
    /// # Errors
    /// What the service or the network says, when it cannot be reached for longer than a cut lasts.
    pub async fn next(&mut self) -> Result<Option<FileChange>, Error> {
        while self.waiting.is_empty() && self.ended.is_none() {
            let asking = self.watch.clone().next(self.name.clone(), self.after, &random::id());
            let WatchNews { watch, after, events, ended } = self.session.perform(|_| asking).await?.value;
            (self.name, self.after, self.ended) = (watch, after, ended);
            self.waiting.extend(events);
        }
        Ok(self.waiting.pop_front())
    }

    /// Why nothing comes any more, once it does not.
    #[must_use]
    pub fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// Ends the watch.
    ///
    /// # Errors
    /// What the service or the network says.
    pub async fn close(self) -> Result<(), Error> {
        let closing = self.watch.close(&self.name);
        self.session.perform(|_| closing).await?;
        Ok(())
    }
}
