//! What a command finds beside the system: the image's interpreters and variables.

use std::path::{Path, PathBuf};

use agb_kernel::readable;
use agb_protocol::Language;
use agb_sandbox::Link;

use crate::images::Image;
use crate::settings::Config;
use crate::workspace::KernelKey;

/// What a command finds beside the system.
#[derive(Debug, Default)]
pub(super) struct CommandEnv {
    pub(super) env: Vec<(String, String)>,
    /// What it can read and execute.
    pub(super) readonly: Vec<PathBuf>,
    /// Names of interpreters that their own directories lack.
    pub(super) links: Vec<Link>,
}

/// What the sandbox has as `PATH` by itself.
const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// Where the other names of interpreters are.
const NAMES: &str = "/run/agb/bin";

impl CommandEnv {
    /// The image's interpreters, the session's own variables and the caller's over them. Looks at files only, and starts nothing.
    pub(super) fn new(
        config: &Config,
        image: &Image,
        own: Vec<(String, String)>,
        given: Vec<(String, String)>,
    ) -> Self {
        let mut this = Self::default();
        let mut path = Vec::new();
        for language in Language::ALL {
            // What the machine has not, a command has not either.
            let Ok(key) = KernelKey::of(config, image, language) else { continue };
            let interpreter = key.interpreter();
            let Some(folder) = interpreter.parent() else { continue };
            if !SYSTEM_PATH.split(':').any(|known| Path::new(known) == folder) {
                path.push(folder.display().to_string());
                this.readonly.extend(readable(language, interpreter));
            }
            if language == Language::Python && !folder.join("python").exists() {
                let at = Path::new(NAMES).join("python");
                this.links.push(Link { at, target: interpreter.to_path_buf() });
            }
        }
        if !this.links.is_empty() {
            path.push(NAMES.to_owned());
        }
        path.push(SYSTEM_PATH.to_owned());
        this.env.push(("PATH".to_owned(), path.join(":")));
        for (name, value) in own.into_iter().chain(given) {
            this.env.retain(|(known, _)| *known != name);
            this.env.push((name, value));
        }
        this
    }
}
