//! Which interpreters programs run with, as options.

use std::collections::BTreeMap;
use std::path::PathBuf;

use agb_protocol::Language;
use clap::Args;

/// Interpreters in place of those that are searched for.
#[derive(Args)]
pub(super) struct Interpreters {
    /// The Python interpreter. Default: searched for.
    #[arg(long, env = "AGB_PYTHON", value_name = "PATH")]
    python: Option<PathBuf>,
    /// The Node interpreter. Default: searched for.
    #[arg(long, env = "AGB_NODE", value_name = "PATH")]
    node: Option<PathBuf>,
    /// The R interpreter (`R`, not `Rscript`). Default: searched for.
    #[arg(long, env = "AGB_R", value_name = "PATH")]
    r: Option<PathBuf>,
    /// The Java interpreter: the `java` of a JDK. Default: searched for.
    #[arg(long, env = "AGB_JAVA", value_name = "PATH")]
    java: Option<PathBuf>,
}

impl Interpreters {
    pub(super) fn by_language(self) -> BTreeMap<Language, PathBuf> {
        let all = [
            (Language::Python, self.python),
            (Language::JavaScript, self.node),
            (Language::R, self.r),
            (Language::Java, self.java),
        ];
        all.into_iter().filter_map(|(language, path)| Some((language, path?))).collect()
    }
}
