//! The scope of an access to a session.

/// What the holder of an access may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AccessScope {
    /// Run code and call tools.
    #[default]
    Run,
    /// Watch runs that others have started.
    Read,
}

impl AccessScope {
    /// The name in a session's `extensions` under which a service says that it gives accesses out.
    pub const EXTENSION: &str = "browserAccess";

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Read => "read",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Run, Self::Read].into_iter().find(|scope| scope.as_str() == name)
    }
}
