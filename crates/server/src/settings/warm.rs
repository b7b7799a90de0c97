//! Interpreters that are ready before anybody needs them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, FromArgMatches};

use crate::duration::seconds_or_none;

/// Interpreters that are ready, each in a sandbox of its own, for sessions that come. Each default has its reason beside
/// it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Warm interpreters")]
pub struct Warm {
    /// Python interpreters of the default image that are kept ready before any was used.
    ///
    /// 1: the first program of a laptop's day starts at once, for about 8 MiB.
    #[arg(long = "warm", default_value_t = 1, value_name = "N")]
    pub at_start: usize,
    /// Maximum number of interpreters of one kind that are kept ready; 0 keeps none of any language.
    ///
    /// As many as sessions took in the last seconds, and at most this. 8: that many sessions may come at once; where
    /// more come in a second than can be made, a larger pool is as empty.
    #[arg(long = "warm-max", default_value_t = 8, value_name = "N")]
    pub most: usize,
    /// Maximum memory of all of them together.
    ///
    /// 512 MiB, or an eighth of the free memory if that is less: eight Pythons and a few of the larger ones. It is
    /// counted by what is known of each language.
    #[arg(long = "warm-memory", default_value_t = 512 << 20, value_name = "BYTES")]
    pub memory: u64,
    /// How long an interpreter is kept ready for a language that is no longer used.
    ///
    /// 300 s, as long as an idle session lives.
    #[arg(long = "warm-time", default_value = "300", value_parser = seconds_or_none, value_name = "SECONDS")]
    pub keep: Duration,
    /// Where the system says what memory is free.
    #[doc(hidden)]
    #[arg(skip = PathBuf::from("/proc/meminfo"))]
    pub meminfo: PathBuf,
}

impl Default for Warm {
    /// That of a command line that does not mention it.
    fn default() -> Self {
        let matches = Self::augment_args(clap::Command::new("warm")).get_matches_from([""; 0]);
        Self::from_arg_matches(&matches).expect("each value has a default that its own parser takes")
    }
}
