//! All contexts of a server, by API key. Every method blocks: call it off the runtime's threads.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, SystemTime};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::context::{Context, DELETED, Meta, now};
use super::recycle::recycle;
use super::signed_transfers::{SignedTransfer, SignedTransfers};
use super::turns::{Turn, Turns};
use super::usage::Amount;
use super::{ContextError, UrlSigner};
use crate::lock::lock;
use crate::random;
use crate::settings::ContextSettings;

/// All contexts of a server.
#[derive(Debug)]
pub(crate) struct Contexts {
    settings: ContextSettings,
    signer: UrlSigner,
    /// `None` until a call needs them: a server that nobody asks for contexts leaves the folder to another one.
    opened: Mutex<Option<Opened>>,
    /// Those that files of sessions pass through, by id. Each goes with its session.
    transfers: Mutex<HashMap<String, Weak<Context>>>,
    signed_transfers: Arc<SignedTransfers>,
    calls: Turns,
    /// What an earlier server has put aside and not removed: it waits for a turn of removals.
    leftovers: Mutex<Vec<PathBuf>>,
    removals: Arc<Semaphore>,
}

#[derive(Debug)]
struct Opened {
    folder: PathBuf,
    /// Held, and so locked, as long as the server lives.
    _lock: File,
    /// By the owner's name and the id.
    all: BTreeMap<(String, String), Arc<Context>>,
}

/// Which context is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Id(String),
    Name(String),
}

/// The longest name of a context, in characters.
const MAX_NAME: usize = 255;
/// Removals at once. Four keep a disk busy; more would only take threads.
const REMOVALS: usize = 4;

impl Contexts {
    pub(crate) fn new(settings: ContextSettings) -> Self {
        Self {
            signer: UrlSigner::new(settings.url_time),
            opened: Mutex::default(),
            transfers: Mutex::default(),
            signed_transfers: SignedTransfers::new(settings.max_transfers),
            calls: Turns::new(settings.max_calls),
            leftovers: Mutex::default(),
            removals: Arc::new(Semaphore::new(REMOVALS)),
            settings,
        }
    }

    pub(crate) fn settings(&self) -> &ContextSettings {
        &self.settings
    }

    pub(crate) fn signer(&self) -> &UrlSigner {
        &self.signer
    }

    /// The turn of a call that works on files: they share their threads with the file tools of all sessions. Of each API key,
    /// and of each context's signed URLs, half of the turns are taken at most.
    pub(crate) async fn turn(&self, whose: &str) -> Turn {
        self.calls.of(whose).await
    }

    /// What an earlier server has put aside, told once: to be [removed](super::remove_tree) in [turns](Self::removal).
    pub(crate) fn take_leftovers(&self) -> Vec<PathBuf> {
        std::mem::take(&mut *lock(&self.leftovers))
    }

    /// The turn of the removal of what a context has put aside, which takes as long as there are files. No call waits for it.
    pub(crate) async fn removal(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.removals).acquire_owned().await.expect("the semaphore is never closed")
    }

    /// An upload or download over a signed URL begins.
    pub(crate) fn begin_transfer(&self, context: &Context) -> Result<SignedTransfer, ContextError> {
        self.signed_transfers.begin(context.id())
    }

    /// All of an owner, the oldest first.
    pub(crate) fn list(&self, owner: &str) -> Result<Vec<Arc<Context>>, ContextError> {
        let opened = self.opened()?;
        let mut list: Vec<_> = opened.of(owner).map(|context| (context.meta().created, Arc::clone(context))).collect();
        list.sort_by(|(one, a), (other, b)| (one, a.id()).cmp(&(other, b.id())));
        Ok(list.into_iter().map(|(_, context)| context).collect())
    }

    /// Finds one of an owner.
    ///
    /// One that files of a session pass through is found with every key, as its session is.
    pub(crate) fn find(&self, owner: &str, wanted: &Wanted) -> Result<Arc<Context>, ContextError> {
        if let Wanted::Id(id) = wanted
            && let Some(transfer) = self.find_transfer(id)
        {
            return Ok(transfer);
        }
        self.opened()?.find(owner, wanted)
    }

    /// Finds one by its id, whoever owns it: for those who have a signed URL.
    pub(crate) fn find_signed(&self, id: &str) -> Result<Arc<Context>, ContextError> {
        if let Some(transfer) = self.find_transfer(id) {
            return Ok(transfer);
        }
        let opened = self.opened()?;
        let found = opened.all.iter().find(|((_, own), _)| own == id);
        found.map(|(_, context)| Arc::clone(context)).ok_or_else(|| not_found(id))
    }

    /// Finds the one of this name or makes it.
    pub(crate) fn find_or_create(&self, owner: &str, name: &str) -> Result<Arc<Context>, ContextError> {
        check_name(name)?;
        let mut opened = self.opened()?;
        if let Ok(context) = opened.find(owner, &Wanted::Name(name.to_owned())) {
            return Ok(context);
        }
        let limit = self.settings.max_contexts;
        if opened.of(owner).count() >= limit {
            return Err(ContextError::TooMany { limit });
        }
        let id = format!("ctx-{}", random::hex::<16>());
        let time = now();
        let meta =
            Meta { id: id.clone(), name: name.to_owned(), created: time.clone(), last_used: time, recycle: Vec::new() };
        let folder = opened.folder.join(folder_of(owner)).join(&id);
        let context = Context::create(folder, meta, self.quota())?;
        opened.all.insert((owner.to_owned(), id), Arc::clone(&context));
        Ok(context)
    }

    /// Gives it another name.
    pub(crate) fn rename(&self, owner: &str, id: &str, name: &str) -> Result<(), ContextError> {
        check_name(name)?;
        let opened = self.opened()?;
        let context = opened.find(owner, &Wanted::Id(id.to_owned()))?;
        if opened.of(owner).any(|other| other.id() != id && other.meta().name == name) {
            return Err(ContextError::NameTaken(name.to_owned()));
        }
        context.update(|meta| name.clone_into(&mut meta.name))
    }

    /// Deletes it: nobody finds it any more. What this gives is a folder with all its files, for [`remove_tree`](super::remove_tree) in a turn of a
    /// [removal](Contexts::removal). If the server ends before, its next start removes it.
    pub(crate) fn delete(&self, owner: &str, id: &str) -> Result<PathBuf, ContextError> {
        let context = {
            let mut opened = self.opened()?;
            let removed = opened.all.remove(&(owner.to_owned(), id.to_owned()));
            removed.ok_or_else(|| not_found(id))?
        };
        context.put_aside()
    }

    /// Makes a context that files of a session pass through, in a folder of the session's.
    pub(crate) fn create_transfer(&self, folder: PathBuf, session: &str) -> Result<Arc<Context>, ContextError> {
        let context = Context::create_transfer(folder, session, self.quota())?;
        let mut transfers = self.transfers();
        transfers.retain(|_, transfer| transfer.strong_count() > 0);
        transfers.insert(context.id().to_owned(), Arc::downgrade(&context));
        Ok(context)
    }

    fn find_transfer(&self, id: &str) -> Option<Arc<Context>> {
        self.transfers().get(id)?.upgrade()
    }

    fn transfers(&self) -> MutexGuard<'_, HashMap<String, Weak<Context>>> {
        // Each change under the lock is a single step.
        lock(&self.transfers)
    }

    /// Recycles once an hour, as long as there are contexts.
    pub(crate) async fn recycle_hourly(contexts: Weak<Self>) {
        const HOUR: Duration = Duration::from_secs(3600);
        loop {
            tokio::time::sleep(HOUR).await;
            let Some(contexts) = contexts.upgrade() else { return };
            // An error is a panic, which the log has already.
            let _ = tokio::task::spawn_blocking(move || contexts.recycle(SystemTime::now())).await;
        }
    }

    /// Removes what has become too old in every context that this server has opened.
    pub(crate) fn recycle(&self, time: SystemTime) {
        let contexts: Vec<_> = match &*self.lock() {
            Some(opened) => opened.all.values().cloned().collect(),
            None => return,
        };
        for context in contexts {
            match recycle(&context, time) {
                Ok(0) => {}
                Ok(files) => tracing::info!(context = context.id(), files, "recycled by age"),
                Err(error) => tracing::warn!(context = context.id(), %error, "could not be recycled"),
            }
        }
    }

    fn quota(&self) -> Amount {
        Amount { bytes: self.settings.max_bytes, files: self.settings.max_files }
    }

    fn opened(&self) -> Result<OpenedGuard<'_>, ContextError> {
        let mut opened = self.lock();
        if opened.is_none() {
            let folder = self.settings.folder.as_deref().ok_or(ContextError::NoFolder)?;
            let (all, leftovers) = Opened::open(folder, self.quota())?;
            *opened = Some(all);
            lock(&self.leftovers).extend(leftovers);
        }
        Ok(OpenedGuard(opened))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Opened>> {
        // Each change under the lock is a single step.
        lock(&self.opened)
    }
}

/// The contexts, locked and opened.
struct OpenedGuard<'a>(MutexGuard<'a, Option<Opened>>);

impl std::ops::Deref for OpenedGuard<'_> {
    type Target = Opened;

    fn deref(&self) -> &Opened {
        self.0.as_ref().expect("a guard is made of one that is opened")
    }
}

impl std::ops::DerefMut for OpenedGuard<'_> {
    fn deref_mut(&mut self) -> &mut Opened {
        self.0.as_mut().expect("a guard is made of one that is opened")
    }
}

impl Opened {
    /// And what is to be removed: that takes as long as there are files, and everybody waits for this.
    fn open(folder: &Path, quota: Amount) -> Result<(Self, Vec<PathBuf>), ContextError> {
        let failed = |error: std::io::Error| ContextError::system("opening the folder of contexts", &error);
        DirBuilder::new().mode(0o700).recursive(true).create(folder).map_err(failed)?;
        let lock = agb_kernel::open_lock(&folder.join("lock")).map_err(failed)?;
        lock.try_lock().map_err(|_| ContextError::InUse)?;
        let (mut all, mut leftovers) = (BTreeMap::new(), Vec::new());
        for owner in fs::read_dir(folder).map_err(failed)?.flatten() {
            let Some(name) = owner.file_name().to_str().and_then(owner_of) else { continue };
            for entry in fs::read_dir(owner.path()).into_iter().flatten().flatten() {
                if entry.path().extension().is_some_and(|extension| extension == DELETED) {
                    leftovers.push(entry.path()); // if removing fails, the next start tries again
                } else if let Some(context) = Context::load(entry.path(), quota) {
                    all.insert((name.clone(), context.id().to_owned()), context);
                }
            }
        }
        Ok((Self { folder: folder.to_owned(), _lock: lock, all }, leftovers))
    }

    fn of(&self, owner: &str) -> impl Iterator<Item = &Arc<Context>> {
        self.all.iter().filter(move |((name, _), _)| name == owner).map(|(_, context)| context)
    }

    fn find(&self, owner: &str, wanted: &Wanted) -> Result<Arc<Context>, ContextError> {
        match wanted {
            Wanted::Id(id) => self.all.get(&(owner.to_owned(), id.clone())).cloned().ok_or_else(|| not_found(id)),
            Wanted::Name(name) => {
                self.of(owner).find(|context| context.meta().name == *name).cloned().ok_or_else(|| not_found(name))
            }
        }
    }
}

fn not_found(wanted: &str) -> ContextError {
    ContextError::NotFound(wanted.chars().take(100).collect())
}

fn check_name(name: &str) -> Result<(), ContextError> {
    let invalid = |problem| Err(ContextError::InvalidField { field: "name", problem });
    if name.trim().is_empty() {
        return invalid("it is blank");
    }
    if name.chars().count() > MAX_NAME {
        return invalid("it has more than 255 characters");
    }
    if name.chars().any(char::is_control) {
        return invalid("it contains control characters");
    }
    Ok(())
}

/// The folder of an owner. Names of keys are plain; of one that is not, the other bytes are written as `%XX`.
fn folder_of(owner: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let name =
        owner.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") });
    format!("key-{}", name.collect::<String>())
}

fn owner_of(folder: &str) -> Option<String> {
    let mut rest = folder.strip_prefix("key-")?.as_bytes();
    let mut name = Vec::new();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first == b'%' {
            let (hex, tail) = rest.split_at_checked(2)?;
            name.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
            rest = tail;
        } else {
            name.push(first);
        }
    }
    String::from_utf8(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_have_folders_of_their_own() {
        for owner in ["default", "..", "a/b", "é%", ""] {
            assert_eq!(owner_of(&folder_of(owner)).as_deref(), Some(owner));
            assert!(!folder_of(owner).contains('/'));
        }
    }

    #[test]
    fn contexts_are_kept_by_owner_and_outlive_their_server() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = ContextSettings { folder: Some(folder.path().join("c")), max_contexts: 2, ..Default::default() };
        let contexts = Contexts::new(settings.clone());
        let one = contexts.find_or_create("alice", "one").expect("there is room");
        assert_eq!(contexts.find_or_create("alice", "one").expect("it is there").id(), one.id());
        assert_ne!(contexts.find_or_create("bob", "one").expect("there is room").id(), one.id());
        let by_id = Wanted::Id(one.id().to_owned());
        assert!(matches!(contexts.find("bob", &by_id), Err(ContextError::NotFound(_))));
        contexts.find_or_create("alice", "two").expect("there is room");
        assert_eq!(contexts.find_or_create("alice", "three").err(), Some(ContextError::TooMany { limit: 2 }));
        assert_eq!(contexts.rename("alice", one.id(), "two"), Err(ContextError::NameTaken("two".into())));
        contexts.rename("alice", one.id(), "uno").expect("it is free");
        assert!(contexts.find_or_create("alice", " \n").is_err());

        let second = Contexts::new(settings.clone());
        assert_eq!(second.list("alice").err(), Some(ContextError::InUse));
        drop(contexts);
        assert_eq!(second.find("alice", &by_id).expect("it was kept").meta().name, "uno");
        fs::write(folder.path().join("c/key-alice").join(one.id()).join("files/f"), "x").expect("it is there");
        let aside = second.delete("alice", one.id()).expect("it is there");
        assert!(aside.join("files/f").exists(), "its files are removed in a turn of their own");
        assert!(second.find("alice", &by_id).is_err() && second.delete("alice", one.id()).is_err());
        assert_eq!(second.list("alice").expect("a list").len(), 1);
        drop(second);
        let third = Contexts::new(settings);
        assert_eq!(third.list("alice").expect("a list").len(), 1);
        assert_eq!(third.take_leftovers(), std::slice::from_ref(&aside), "what its server left");
        assert!(third.take_leftovers().is_empty() && aside.join("files/f").exists(), "no call waits for its removal");
    }
}
