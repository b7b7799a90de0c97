//! What an image is made of: the built-in definition, and TOML files of the same form.
//!
//! ```toml
//! # NAME.toml, in the folder of images
//! description = "what it is for"
//! aliases = ["another-name"]
//!
//! [python]
//! interpreter = "/usr/bin/python3.12"     # to make the environment from; else one is looked for
//! packages = ["numpy", "polars>=1"]       # as pip takes them
//! optional = ["torch"]                    # what the image does without where it cannot be installed
//!
//! [javascript]
//! packages = ["express", "lodash@4"]      # as npm takes them
//!
//! [interpreters]
//! javascript = "/opt/node/bin/node"       # else they are looked for
//!
//! [env]
//! TZ = "UTC"
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agb_protocol::Language;
use serde::Deserialize;
use thiserror::Error;

/// The longest name: it is a folder's name too.
const MAX_NAME: usize = 64;

/// What an image is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Definition {
    /// The file's name without `.toml`.
    #[serde(skip)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
    #[serde(default)]
    pub(crate) python: Python,
    #[serde(default)]
    pub(crate) javascript: JavaScript,
    #[serde(default)]
    interpreters: BTreeMap<String, PathBuf>,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
}

/// The Python of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Python {
    #[serde(default)]
    pub(crate) interpreter: Option<PathBuf>,
    #[serde(default)]
    pub(crate) packages: Vec<String>,
    #[serde(default)]
    pub(crate) optional: Vec<String>,
}

/// The JavaScript of an image. Its interpreter is among the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JavaScript {
    #[serde(default)]
    pub(crate) packages: Vec<String>,
}

/// A file that defines no image.
#[derive(Debug, Error)]
#[error("{file} defines no image: {reason}")]
pub struct DefinitionError {
    file: String,
    reason: String,
}

impl Definition {
    /// The image that every server knows.
    pub(crate) fn built_in() -> Self {
        Self::parse("agb-code-space-1", include_str!("agb-code-space-1.toml")).expect("a test reads it")
    }

    /// Reads `NAME.toml`.
    pub(crate) fn read(file: &Path) -> Result<Self, DefinitionError> {
        let failed = |reason: String| DefinitionError { file: file.display().to_string(), reason };
        let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
        let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        Self::parse(name, &text).map_err(failed)
    }

    /// Reads what is in a `NAME.toml`.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, String> {
        let parsed: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let definition = Self { name: name.to_owned(), ..parsed };
        definition.check()?;
        Ok(definition)
    }

    fn check(&self) -> Result<(), String> {
        for name in [&self.name].into_iter().chain(&self.aliases) {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || name.len() > MAX_NAME || name.starts_with(['.', '-']) || !name.chars().all(is_plain) {
                return Err(format!("{name:?} is no name: letters, digits, `-`, `_` and `.`, at most {MAX_NAME}"));
            }
        }
        let python = self.python.packages.iter().chain(&self.python.optional);
        let all = python.map(|package| (package, "pip")).chain(self.javascript.packages.iter().map(|it| (it, "npm")));
        for (package, installer) in all {
            if package.trim().is_empty() || package.starts_with('-') {
                return Err(format!("{package:?} is not a package; options of {installer} are not taken here"));
            }
        }
        // Without its name nobody could say whether it is there.
        if let Some(package) = self.javascript.packages.iter().find(|package| node_package(package).is_none()) {
            return Err(format!("{package:?} does not say what it is called: write NAME@{package}"));
        }
        for (language, path) in &self.interpreters {
            Language::parse(language).map_err(|error| format!("[interpreters]: {error}"))?;
            must_be_absolute(path)?;
        }
        self.python.interpreter.as_deref().map_or(Ok(()), must_be_absolute)?;
        match self
            .env
            .iter()
            .find(|(name, value)| name.is_empty() || name.contains(['=', '\0']) || value.contains('\0'))
        {
            Some((name, _)) => Err(format!("[env]: {name:?} is no variable")),
            None => Ok(()),
        }
    }

    /// The interpreter that it names for a language.
    pub(crate) fn interpreter(&self, language: Language) -> Option<&Path> {
        let named = self.interpreters.iter().find(|(name, _)| Language::parse(name).is_ok_and(|it| it == language));
        let named = named.map(|(_, path)| path.as_path());
        named.or_else(|| self.python.interpreter.as_deref().filter(|_| language == Language::Python))
    }
}

/// The name in what npm takes, such as `@scope/name@^1.2`.
pub(crate) fn node_package(spec: &str) -> Option<&str> {
    let scope = if spec.starts_with('@') { spec.find('/')? + 1 } else { 0 };
    let end = spec[scope..].find('@').map_or(spec.len(), |at| scope + at);
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = &spec[scope..end];
    (name.chars().all(is_plain) && !name.starts_with('.') && !name.is_empty()).then_some(&spec[..end])
}

fn must_be_absolute(path: &Path) -> Result<(), String> {
    if path.is_absolute() { Ok(()) } else { Err(format!("{} is not the whole path of an interpreter", path.display())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_one_is_right() {
        let definition = Definition::built_in();
        assert!(definition.python.packages.iter().any(|package| package == "pandas"));
        assert_eq!(definition.aliases.len(), 3);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, text, part) in [
            ("a", "descripton = 'x'", "descripton"),
            ("a", "python = 3", "python"),
            ("../a", "", "is no name"),
            ("a", "aliases = ['']", "is no name"),
            ("a", "[python]\npackages = ['--index-url=x']", "options of pip"),
            ("a", "[javascript]\npackages = ['-g']", "options of npm"),
            ("a", "[javascript]\npackages = ['./b.tgz']", "write NAME@./b.tgz"),
            ("a", "[python]\ninterpreter = 'python3'", "whole path"),
            ("a", "[interpreters]\ncobol = '/bin/cobol'", "cobol"),
            ("a", "[env]\n'A=B' = 'x'", "is no variable"),
        ] {
            let error = Definition::parse(name, text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn what_npm_takes_begins_with_a_name_or_has_none() {
        for (spec, name) in [
            ("express", Some("express")),
            ("lodash@^4.17", Some("lodash")),
            ("@types/node@20", Some("@types/node")),
            ("@types/node", Some("@types/node")),
            ("./a.tgz", None),
            ("/a/b.tgz", None),
            ("https://a/b.tgz", None),
            ("a@file:/b.tgz", Some("a")),
            ("@a", None),
            ("", None),
        ] {
            assert_eq!(node_package(spec), name, "{spec}");
        }
    }

    #[test]
    fn interpreters_go_by_any_name_of_their_language() {
        let text = "[python]\ninterpreter = '/p'\n[interpreters]\nnode = '/n'\nR = '/r'";
        let definition = Definition::parse("a", text).expect("it is right");
        assert_eq!(definition.interpreter(Language::JavaScript), Some(Path::new("/n")));
        assert_eq!(definition.interpreter(Language::R), Some(Path::new("/r")));
        assert_eq!(definition.interpreter(Language::Python), Some(Path::new("/p")));
        assert_eq!(definition.interpreter(Language::Java), None);
    }
}
