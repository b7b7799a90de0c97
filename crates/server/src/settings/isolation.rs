//! How programs are isolated.

use std::fmt;
use std::str::FromStr;

use agb_sandbox::{Level, UnknownLevel};

/// How programs are isolated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Isolation {
    /// The strongest level that this machine offers; without one the server does not start.
    #[default]
    Auto,
    /// This level or no server. [`Level::None`] is taken here only, where somebody has asked for it.
    At(Level),
}

impl FromStr for Isolation {
    type Err = UnknownLevel;

    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        if name == "auto" { Ok(Self::Auto) } else { name.parse().map(Self::At) }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::At(level) => level.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in ["auto", "namespaces", "namespaces-root", "landlock", "none"] {
            assert_eq!(name.parse::<Isolation>().map(|isolation| isolation.to_string()).as_deref(), Ok(name));
        }
        assert!("docker".parse::<Isolation>().is_err());
    }
}
