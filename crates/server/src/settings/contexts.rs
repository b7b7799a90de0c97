//! The settings of contexts. Every default has its reason beside it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, FromArgMatches};

use crate::duration::seconds;
use crate::images::Images;

/// The settings of contexts.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Contexts")]
pub struct ContextSettings {
    /// The folder that contexts are kept in; only one server at a time uses it.
    ///
    /// Default: `agb/contexts` below `$XDG_DATA_HOME` or `~/.local/share`; without either there are no contexts. In a
    /// cluster none: give it to one server, which then keeps the contexts of all and gets the sessions that mount some.
    #[arg(long = "contexts-dir", env = "AGB_CONTEXTS", value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// Contexts of one API key.
    ///
    /// 1000: programs that forget to delete theirs are noticed before a listing becomes slow.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub max_contexts: usize,
    /// Bytes of one context, unfinished uploads included.
    ///
    /// 10 GiB: a data set fits, a laptop's disk is not filled.
    #[arg(long = "context-size", default_value_t = 10 << 30, value_name = "BYTES")]
    pub max_bytes: u64,
    /// Files and folders of one context.
    ///
    /// 100,000: `node_modules` of a large project.
    #[arg(long = "context-files", default_value_t = 100_000, value_name = "N")]
    pub max_files: u64,
    /// Contexts that one session may mount.
    ///
    /// 16: more than any documented program does; each is a mount in every sandbox.
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub max_mounts: usize,
    /// Calls about contexts that work on files at the same time, of all API keys; more wait.
    ///
    /// 16 of the 512 threads for files, which these calls share with all sessions.
    #[arg(long = "max-context-calls", default_value_t = 16, value_name = "N")]
    pub max_calls: usize,
    /// Uploads and downloads over signed URLs at once, of one context; more are refused (HTTP 429).
    ///
    /// 64: several clients that each copy a folder with many files at once, and no URL that was passed on takes more than
    /// a twelfth of `--max-connections`.
    #[arg(long = "context-transfers", default_value_t = 64, value_name = "N")]
    pub max_transfers: usize,
    /// The least that an upload over a signed URL must bring: bytes a minute; 0 means any.
    ///
    /// 60,000, as `--write-rate` for what clients read. An upload that brings less within `--write-timeout` of waiting is
    /// ended.
    #[arg(long = "context-upload-rate", default_value_t = 60_000, value_name = "BYTES")]
    pub upload_rate: u64,
    /// How long a signed URL opens its file.
    ///
    /// One hour: long enough for 10 GB over a slow line to begin, short enough for a URL that was seen in a log.
    #[arg(long, default_value = "3600", value_parser = seconds, value_name = "SECONDS")]
    pub url_time: Duration,
    /// The longest time that one upload or download over a signed URL may take.
    ///
    /// One day, as the longest session.
    #[arg(long, default_value = "86400", value_parser = seconds, value_name = "SECONDS")]
    pub max_transfer_time: Duration,
}

impl Default for ContextSettings {
    /// Those of a command line that names none, in the default folder.
    fn default() -> Self {
        let matches = Self::augment_args(clap::Command::new("contexts")).get_matches_from([""; 0]);
        let given = Self::from_arg_matches(&matches).expect("each value has a default that its own parser takes");
        Self { folder: Self::default_folder(), ..given }
    }
}

impl ContextSettings {
    /// Where contexts are kept unless another folder is given.
    #[must_use]
    pub fn default_folder() -> Option<PathBuf> {
        // Beside the images of the same user.
        Some(Images::default_folder()?.parent()?.join("contexts"))
    }
}
