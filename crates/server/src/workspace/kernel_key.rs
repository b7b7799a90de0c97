//! What interpreters have to have in common to take each other's place.

use std::path::{Path, PathBuf};

use agb_kernel::MissingInterpreter;
use agb_protocol::Language;

use crate::images::Image;
use crate::settings::Config;

/// What an interpreter is started with, beside the workspace that it is in: with the same one is like another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KernelKey {
    pub(crate) language: Language,
    pub(super) interpreter: PathBuf,
    pub(super) env: Vec<(String, String)>,
}

impl KernelKey {
    /// Those of a language in an image.
    pub(crate) fn of(config: &Config, image: &Image, language: Language) -> Result<Self, MissingInterpreter> {
        let given = config.interpreters.get(&language).cloned().or_else(|| image.interpreter(language));
        let interpreter = agb_kernel::find_interpreter(language, given.as_deref())?;
        Ok(Self { language, interpreter, env: image.env() })
    }

    pub(crate) fn interpreter(&self) -> &Path {
        &self.interpreter
    }
}
