//! What a server has at one moment.

use std::collections::HashMap;

use agb_protocol::Language;

/// What there is now.
#[derive(Debug, Default)]
pub(crate) struct Census {
    pub(crate) sessions: usize,
    /// Runs and calls that go on.
    pub(crate) runs: usize,
    /// Interpreters of sessions, by language.
    pub(crate) kernels: HashMap<Language, usize>,
    /// Interpreters that are ready, by language.
    pub(crate) warm: HashMap<Language, usize>,
}
