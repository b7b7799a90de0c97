//! What a machine offers.

use std::fmt;
use std::time::Duration;

use crate::{Level, SpawnError};

/// What [`Launcher::probe`](crate::Launcher::probe) has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Every level, strongest first, and whether a sandbox could be made and kept its promises.
    pub levels: Vec<(Level, Result<Offer, SpawnError>)>,
}

/// A level that works here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// How long it took until a sandbox was there. The first one of all is slower than those that follow.
    pub took: Duration,
    /// Whether sandboxes have a `/proc`.
    pub has_proc: bool,
    /// Whether programs can change the modes and times of their session's files; see [`Level::Landlock`].
    pub changes_files: bool,
}

impl Report {
    /// The strongest level that works. [`Level::None`] is never the answer: it is for those who ask for it.
    #[must_use]
    pub fn best(&self) -> Option<Level> {
        let isolated = self.levels.iter().filter(|(level, _)| *level != Level::None);
        isolated.filter(|(_, offer)| offer.is_ok()).map(|(level, _)| *level).next()
    }
}

/// For people: a line for each level, with what to do where one is missing.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (level, offer) in &self.levels {
            match offer {
                Ok(Offer { took, has_proc, changes_files }) => {
                    let milliseconds = took.as_secs_f64() * 1e3;
                    let proc = if level.has_namespaces() && !has_proc { ", without /proc" } else { "" };
                    let changes = if *changes_files { "" } else { ", programs cannot change modes and times of files" };
                    writeln!(f, "{level}: works ({milliseconds:.1} ms{proc}{changes})")?;
                }
                Err(error) => writeln!(f, "{level}: no: {error}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_level_is_never_none() {
        let offer = Ok(Offer { took: Duration::from_millis(2), has_proc: false, changes_files: true });
        let missing: Result<Offer, _> = Err(SpawnError::Vanished);
        let mut report = Report { levels: vec![(Level::Namespaces, missing), (Level::None, offer.clone())] };
        assert_eq!(report.best(), None);
        report.levels.insert(1, (Level::Landlock, offer.clone()));
        report.levels.insert(1, (Level::NamespacesRoot, offer));
        assert_eq!(report.best(), Some(Level::NamespacesRoot));
        let text = report.to_string();
        assert!(text.contains("namespaces-root: works (2.0 ms, without /proc)"), "{text}");
        assert!(text.starts_with("namespaces: no: "), "{text}");
    }
}
