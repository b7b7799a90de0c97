//! `cargo xtask changelog`: what `CHANGELOG.md` says of the version that is released.

use std::fs;
use std::process::ExitCode;

use crate::error::Error;
use crate::workspace::Workspace;

/// All packages and crates have one version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Prints the section of this version, else that of what is not released. With `tag` it must be this version's, and be
/// there.
pub(crate) fn run(workspace: &Workspace, tag: Option<&str>) -> Result<ExitCode, Error> {
    let path = workspace.path("CHANGELOG.md");
    let text = fs::read_to_string(&path).map_err(Error::file(&path))?;
    if let Some(tag) = tag.filter(|tag| *tag != VERSION) {
        return Err(Error::Failed(format!("the tag names version {tag}, the crates have {VERSION}")));
    }
    let released = section(&text, VERSION);
    if tag.is_some() && released.is_none() {
        return Err(Error::Failed(format!("CHANGELOG.md has no section `## {VERSION}`; rename `## Unreleased`")));
    }
    let section = released.or_else(|| section(&text, "Unreleased"));
    println!("{}", section.ok_or_else(|| Error::Failed(format!("CHANGELOG.md says nothing of {VERSION}")))?);
    Ok(ExitCode::SUCCESS)
}

/// What is below the heading of `version`, up to the next one: `## 1.2.3`, `## [1.2.3] - 2026-11-30`.
fn section<'a>(text: &'a str, version: &str) -> Option<&'a str> {
    text.split("\n## ").skip(1).find_map(|section| {
        let (heading, body) = section.split_once('\n')?;
        let name = heading.split_whitespace().next()?.trim_matches(['[', ']']);
        (name == version).then(|| body.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_section_of_a_version() {
        let text =
            "# Changelog\n\n## Unreleased\n\n### Added\n\n* b\n\n## [1.2.3] - 2026-11-30\n\n* a\n\n## 1.2.2\n\n* z\n";
        assert_eq!(section(text, "1.2.3"), Some("* a"));
        assert_eq!(section(text, "Unreleased"), Some("### Added\n\n* b"));
        assert_eq!(section(text, "1.2.2"), Some("* z"));
        assert_eq!(section(text, "1.2"), None);
    }

    #[test]
    fn refuses_a_tag_that_is_not_the_version() {
        let workspace = Workspace::find().unwrap();
        assert!(run(&workspace, Some("99.0.0")).unwrap_err().to_string().contains("99.0.0"));
        assert!(run(&workspace, None).is_ok());
    }
}
