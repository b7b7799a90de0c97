//! A session's place on this machine: a host user, a folder, and the interpreters that run there.
//!
//! A session takes its workspace when it is first used, not when it is created, and nobody else ever has it: at its end
//! everything in it goes.

mod above;
pub(crate) mod act_as;
pub(crate) mod disk_meter;
pub(crate) mod egress;
pub(crate) mod factory;
pub(crate) mod file_changes;
mod folder;
mod kernel_key;
mod new_file;
pub(crate) mod pool;
mod program_options;
mod reach;
mod root;
pub(crate) mod sandboxes;
mod uploads;
mod view;
pub(crate) mod watch;
mod zygotes;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use agb_kernel::{Kernel, KernelLimits, KernelSpec};
use agb_protocol::Language;
use agb_sandbox::{Policy, Usage};
use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(crate) use self::act_as::ActAs;
use self::act_as::as_server;
use self::disk_meter::{DiskFull, DiskMeter, Found, Stored};
use self::file_changes::FileChanges;
pub(crate) use self::folder::Folder;
pub(crate) use self::kernel_key::KernelKey;
pub(crate) use self::new_file::{Commit, NewFile, identity, is_unfinished};
pub(crate) use self::program_options::ProgramOptions;
pub(crate) use self::reach::LastLink;
use self::sandboxes::Slot;
pub(crate) use self::uploads::{Completed, Uploads};
pub(crate) use self::view::{Located, MAX_PATH, PathError};
use self::watch::Watches;
use self::zygotes::Zygotes;
use crate::lock::lock;
use crate::reserve;
use crate::settings::Config;

/// What a session's programs used at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) usage: Usage,
}

/// A host user, a folder, and the interpreters that run there.
#[derive(Debug)]
pub(crate) struct Workspace {
    kernels: Mutex<HashMap<Language, Kernel>>,
    changes: Mutex<FileChanges>,
    background: Mutex<JoinSet<()>>,
    last_sample: Mutex<Sample>,
    disk: DiskMeter,
    uploads: Mutex<Uploads>,
    watches: Arc<Watches>,
    /// Set before the first program starts, or never.
    options: OnceLock<ProgramOptions>,
    folder: Folder,
    slot: Slot,
    zygotes: Arc<Zygotes>,
    config: Arc<Config>,
}

impl Workspace {
    /// A folder of the slot's user, and no interpreter yet.
    pub(crate) fn new(folder: Folder, slot: Slot, zygotes: Arc<Zygotes>, config: Arc<Config>) -> Self {
        Self {
            kernels: Mutex::default(),
            changes: Mutex::default(),
            background: Mutex::default(),
            last_sample: Mutex::new(Sample { at: Instant::now(), usage: Usage::default() }),
            disk: DiskMeter::default(),
            uploads: Mutex::default(),
            watches: Arc::default(),
            options: OnceLock::new(),
            folder,
            slot,
            zygotes,
            config,
        }
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// What its programs are isolated by.
    pub(crate) fn slot(&self) -> &Slot {
        &self.slot
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// What the file tools know about earlier states of the folder.
    pub(crate) fn changes(&self) -> MutexGuard<'_, FileChanges> {
        lock(&self.changes)
    }

    /// The languages that have an interpreter here.
    pub(crate) fn languages(&self) -> Vec<Language> {
        lock(&self.kernels).keys().copied().collect()
    }

    /// The interpreter of a language, if there is one.
    pub(crate) fn kernel(&self, language: Language) -> Option<Kernel> {
        lock(&self.kernels).get(&language).cloned()
    }

    /// A new interpreter; it starts with its first cell. There must be none of its language.
    pub(crate) fn add_kernel(&self, key: &KernelKey) -> Kernel {
        let mut spec = self.spec(key);
        // A copy has the mounts and the environment of what it is copied from.
        let is_usual = self.folder.mounts().is_empty() && self.options.get().is_none();
        spec.zygote = if is_usual { self.zygotes.find(key, &spec) } else { None };
        let kernel = Kernel::new(spec);
        let before = lock(&self.kernels).insert(key.language, kernel.clone());
        debug_assert!(before.is_none(), "it would end with its runs");
        kernel
    }

    /// The same, after what the interpreter could be copied from has had the time to start.
    pub(crate) async fn add_kernel_at_leisure(&self, key: &KernelKey) -> Kernel {
        self.zygotes.settle(key, &self.spec(key)).await;
        self.add_kernel(key)
    }

    /// Gives the session's programs what others have not.
    pub(crate) fn set_options(&self, options: ProgramOptions) {
        if let Some(network) = &options.network {
            self.slot.narrow(network);
        }
        // A workspace is taken by one session, and once.
        let _ = self.options.set(options);
    }

    /// What a program of the session may do.
    pub(crate) fn policy(&self, env: Vec<(String, String)>, readonly: Vec<PathBuf>) -> Policy {
        let mut policy = self.slot.policy(&self.folder, env, readonly);
        if let Some(options) = self.options.get() {
            options.restrict(&mut policy, &self.config.network.environment());
        }
        policy
    }

    fn spec(&self, key: &KernelKey) -> KernelSpec {
        let env = self.options.get().map_or_else(|| key.env.clone(), |options| options.over(key.env.clone()));
        let policy = self.policy(env, Vec::new());
        KernelSpec {
            cache: self.config.cache_dir.clone(),
            ends_programs: self.config.ends_programs,
            program_name: self.config.program_name.clone(),
            arguments: self.config.arguments.clone(),
            limits: KernelLimits {
                queued_cells: self.config.limits.max_runs,
                java_heap: self.config.limits.java_heap,
                output_rate: self.config.limits.output_rate,
                ..KernelLimits::default()
            },
            ..KernelSpec::new(key.language, key.interpreter.clone(), self.slot.launcher(), policy)
        }
    }

    /// What its programs use now. Blocks.
    pub(crate) fn usage(&self) -> Usage {
        let mounts = self.folder.mounts();
        let transfers = self.folder.transfers();
        let dirs = [self.folder.work(), self.folder.tmp()].into_iter();
        let dirs = dirs.chain(mounts.iter().map(|mount| mount.dir.as_path()));
        let dirs = dirs.chain(transfers.iter().map(PathBuf::as_path));
        // As many as the watch over running programs counts: one more than are allowed would say that there are too many,
        // and twice as many how far it is.
        let most = self.config.sandbox.files.saturating_mul(2);
        // File tools act as the session's user, who may have closed folders for themselves: what is in these counts, too.
        as_server(|| self.slot.launcher().usage(self.slot.number(), dirs, most))
    }

    /// The server is about to write so many bytes and files for the session. May block while what there is is counted.
    pub(crate) fn take_disk(&self, bytes: u64, files: u64) -> Result<(), DiskFull> {
        let limits = &self.config.sandbox;
        let limit = Stored { bytes: limits.disk, files: limits.files };
        self.disk.take(Stored { bytes, files }, limit, || {
            let Usage { disk: bytes, files, is_beyond, .. } = self.usage();
            Found { stored: Stored { bytes, files }, is_beyond }
        })
    }

    /// The uploads that were completed last.
    pub(crate) fn uploads(&self) -> MutexGuard<'_, Uploads> {
        lock(&self.uploads)
    }

    /// The watches of its files.
    pub(crate) fn watches(&self) -> &Arc<Watches> {
        &self.watches
    }

    /// What they used when it was looked at last.
    pub(crate) fn last_sample(&self) -> MutexGuard<'_, Sample> {
        lock(&self.last_sample)
    }

    /// Whether one more command may leave processes in the background; else how many do.
    pub(crate) fn check_background(&self) -> Result<(), usize> {
        let mut background = lock(&self.background);
        while background.try_join_next().is_some() {}
        let limit = self.config.limits.max_runs;
        if background.len() < limit { Ok(()) } else { Err(limit) }
    }

    /// Keeps what a command has left in the background, until it has ended or the workspace is closed.
    pub(crate) fn keep_background(&self, processes: impl Future<Output = ()> + Send + 'static) {
        lock(&self.background).spawn(processes);
    }

    /// Ends every process in it.
    pub(crate) async fn end_programs(self: &Arc<Self>) {
        let kernels: Vec<Kernel> = std::mem::take(&mut *lock(&self.kernels)).into_values().collect();
        join_all(kernels.iter().map(Kernel::shutdown)).await;
        let workspace = Arc::clone(self);
        // Commands and what they have left in the background too: what still runs could write, and be met by the next
        // session of the slot.
        let ended = reserve::run(move || workspace.slot.end_all()).await;
        if ended != Some(true) {
            tracing::error!(slot = self.slot.number(), "programs of a session do not end");
        }
        let mut background = std::mem::take(&mut *lock(&self.background));
        background.abort_all();
    }

    /// Ends every process in it, and removes its files. Waits until that is done.
    pub(crate) async fn close(self: &Arc<Self>) {
        // First: what they look at may be what programs make of it until they end.
        self.watches.end_all();
        self.end_programs().await;
        let workspace = Arc::clone(self);
        let folder = || self.folder.root().display();
        match reserve::run(move || workspace.folder.remove()).await {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::warn!(folder = %folder(), %error, "a session's folder could not be removed"),
            None => tracing::error!(folder = %folder(), "the removal of a session's folder broke off"),
        }
    }
}
