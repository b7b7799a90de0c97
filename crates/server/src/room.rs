//! A session's place on this machine: a host user, a folder, and the interpreters that run there.
//!
//! A session takes its room when it is first used, not when it is created, and nobody else ever has it: at its end
//! everything in it goes.

mod folder;
mod owner;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use agb_kernel::{Kernel, KernelLimits, KernelSpec, MissingInterpreter};
use agb_protocol::Language;
use futures_util::future::join_all;

pub(crate) use self::folder::{Folder, PathError};
pub(crate) use self::owner::ActAs;
use crate::config::Config;
use crate::image::Image;
use crate::isolation::Slot;
use crate::tools::FileChanges;
use crate::zygotes::Zygotes;

/// A host user, a folder, and the interpreters that run there.
#[derive(Debug)]
pub(crate) struct Room {
    kernels: Mutex<HashMap<Language, Kernel>>,
    changes: Mutex<FileChanges>,
    folder: Folder,
    slot: Slot,
    zygotes: Arc<Zygotes>,
    config: Arc<Config>,
}

/// What an interpreter is started with, beside the room that it is in: with the same one is like another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Conditions {
    pub(crate) language: Language,
    interpreter: PathBuf,
    env: Vec<(String, String)>,
}

impl Conditions {
    /// Those of a language in an image.
    pub(crate) fn of(config: &Config, image: &Image, language: Language) -> Result<Self, MissingInterpreter> {
        let given = config.interpreters.get(&language).cloned().or_else(|| image.interpreter(language));
        let interpreter = agb_kernel::find_interpreter(language, given.as_deref())?;
        Ok(Self { language, interpreter, env: image.env() })
    }
}

impl Room {
    /// A folder of the slot's user, and no interpreter yet.
    pub(crate) fn new(folder: Folder, slot: Slot, zygotes: Arc<Zygotes>, config: Arc<Config>) -> Self {
        Self { kernels: Mutex::default(), changes: Mutex::default(), folder, slot, zygotes, config }
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
    pub(crate) fn add_kernel(&self, conditions: &Conditions) -> Kernel {
        let mut spec = self.spec(conditions);
        spec.zygote = self.zygotes.find(conditions, &spec);
        let kernel = Kernel::new(spec);
        let before = lock(&self.kernels).insert(conditions.language, kernel.clone());
        debug_assert!(before.is_none(), "it would end with its runs");
        kernel
    }

    /// The same, after what the interpreter could be copied from has had the time to start.
    pub(crate) async fn add_kernel_at_leisure(&self, conditions: &Conditions) -> Kernel {
        self.zygotes.settle(conditions, &self.spec(conditions)).await;
        self.add_kernel(conditions)
    }

    fn spec(&self, conditions: &Conditions) -> KernelSpec {
        let policy = self.slot.policy(&self.folder, conditions.env.clone(), Vec::new());
        KernelSpec {
            cache: self.config.cache_dir.clone(),
            limits: KernelLimits {
                queued_cells: self.config.limits.max_runs,
                java_heap: self.config.limits.java_heap,
                output_rate: self.config.limits.output_rate,
                ..KernelLimits::default()
            },
            ..KernelSpec::new(conditions.language, conditions.interpreter.clone(), self.slot.launcher(), policy)
        }
    }

    /// Ends every process in it, and removes its files. Waits until that is done.
    pub(crate) async fn close(self: &Arc<Self>) {
        let kernels: Vec<Kernel> = std::mem::take(&mut *lock(&self.kernels)).into_values().collect();
        join_all(kernels.iter().map(Kernel::shutdown)).await;
        let room = Arc::clone(self);
        let folder = || self.folder.root().display();
        match tokio::task::spawn_blocking(move || room.folder.remove()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(folder = %folder(), %error, "a session's folder could not be removed"),
            Err(error) => tracing::error!(folder = %folder(), %error, "the removal of a session's folder broke off"),
        }
    }
}

/// Nothing in this module panics while it holds a lock, and each change under one is a single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
