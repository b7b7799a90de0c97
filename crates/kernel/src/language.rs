//! The languages that run.

/// A language that a kernel can run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// Python 3, by CPython.
    Python,
    /// JavaScript, by Node.
    JavaScript,
    /// R.
    R,
    /// Java, by JShell.
    Java,
}

impl Language {
    /// The language's name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::JavaScript => "javascript",
            Self::R => "r",
            Self::Java => "java",
        }
    }
}

impl std::fmt::Display for Language {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
