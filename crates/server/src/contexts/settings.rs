//! The settings of contexts. Every default has its reason beside it.

use std::path::PathBuf;
use std::time::Duration;

/// The settings of contexts.
#[derive(Clone, Debug)]
pub struct ContextSettings {
    /// The folder that contexts are kept in; only one server at a time uses it. Default: `agb/contexts` below
    /// `$XDG_DATA_HOME` or `~/.local/share`; without either there are no contexts.
    pub folder: Option<PathBuf>,
    /// Contexts of one API key. 1000: programs that forget to delete theirs are noticed before a listing becomes slow.
    pub max_contexts: usize,
    /// Bytes of one context, unfinished uploads included. 10 GiB: a data set fits, a laptop's disk is not filled.
    pub max_bytes: u64,
    /// Files and folders of one context. 100,000: `node_modules` of a large project.
    pub max_files: u64,
    /// How long a signed URL opens its file. One hour: long enough for 10 GB over a slow line to begin, short enough
    /// for a URL that was seen in a log.
    pub url_time: Duration,
    /// The longest time that one upload or download over a signed URL may take. One day, as the longest session.
    pub max_transfer_time: Duration,
}

impl Default for ContextSettings {
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        Self {
            folder: default_folder(),
            max_contexts: 1000,
            max_bytes: 10 * GIB,
            max_files: 100_000,
            url_time: Duration::from_secs(3600),
            max_transfer_time: Duration::from_secs(24 * 3600),
        }
    }
}

fn default_folder() -> Option<PathBuf> {
    // Beside the images of the same user.
    Some(crate::image::Images::default_folder()?.parent()?.join("contexts"))
}
