//! What runs inside the interpreters.
//!
//! The command line holds a few lines that read the harness itself, the first frame of the control channel: so it
//! needs no file, has no limit of length, and does not fill the process list.

use crate::{Language, javascript, python};

/// How an interpreter is started.
#[derive(Debug)]
pub(crate) struct Harness {
    /// The interpreter's arguments.
    pub(crate) args: &'static [&'static str],
    /// The program that serves cells.
    pub(crate) source: &'static str,
}

/// The harness of a language; `None` where there is none yet.
pub(crate) fn of(language: Language) -> Option<Harness> {
    match language {
        Language::Python => Some(Harness {
            // Isolated: neither the environment nor the working directory decides what the harness imports.
            args: &["-I", "-c", python::BOOT],
            source: python::SOURCES,
        }),
        Language::JavaScript => Some(Harness {
            // An interrupted timer callback leaves node's bookkeeping of asynchronous contexts one entry too deep;
            // with the check it would end the process for that.
            args: &["--no-force-async-hooks-checks", "-e", javascript::BOOT],
            source: javascript::SOURCES,
        }),
        Language::R | Language::Java => None,
    }
}
