//! Interpreters that are ready before anybody needs them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, FromArgMatches};

use super::duration::seconds_or_none;

/// Interpreters that are ready, each in a sandbox of its own, for sessions that come. Each default has its reason beside
/// it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Warm interpreters")]
pub struct Warm {
    /// Python interpreters of the default image that are kept ready although nobody has used one.
    ///
    /// How many of Python in the default image there are although nobody has used it. One: the first program of a
    /// laptop's day starts at once, for about 8 MiB.
    #[arg(long = "warm", default_value_t = 1, value_name = "N")]
    pub at_start: usize,
    /// Interpreters of one kind that are kept ready: as many as were taken in the last seconds, but not more than this;
    /// 0 keeps none of any language.
    ///
    /// How many there are at most of one kind; none at all at 0. 8: that many sessions may come at once; where more
    /// come in a second than can be made, a larger pool is as empty.
    #[arg(long = "warm-max", default_value_t = 8, value_name = "N")]
    pub most: usize,
    /// What all of them may take, an eighth of the free memory if that is less.
    ///
    /// What all of them may take, bytes, as far as is known of each language; an eighth of what is free if that is
    /// less. 512 MiB: eight Pythons and a few of the larger ones.
    #[arg(long = "warm-memory", default_value_t = 512 << 20, value_name = "BYTES")]
    pub memory: u64,
    /// How long one is kept for a language that nobody uses any more.
    ///
    /// How long one is kept for a language since it was used last. 300 s, as long as an idle session lives.
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
