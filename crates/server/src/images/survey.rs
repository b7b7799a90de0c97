//! What images have on this machine: interpreters and packages with their versions, and what is missing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use agb_protocol::Language;
use serde_json::{Value, json};

use super::Images;
use super::definition::{Definition, node_package};
use super::environment::fingerprint;
use crate::command_name;

/// What every image has.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The default one first.
    pub images: Vec<ImageReport>,
}

/// What one image has.
#[derive(Clone, Debug)]
pub struct ImageReport {
    /// Its name.
    pub name: String,
    /// Other names of it.
    pub aliases: Vec<String>,
    /// What it is for.
    pub description: String,
    /// Whether a session gets it that asks for none.
    pub is_default: bool,
    /// Whether it has a Python of its own.
    pub is_prepared: bool,
    /// Whether that was made from what the image is defined as now.
    pub is_current: bool,
    /// The interpreters.
    pub interpreters: Vec<(Language, Found)>,
    /// Its Python packages.
    pub packages: Vec<Package>,
    /// Its packages for node.
    pub modules: Vec<Package>,
}

/// An interpreter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is there.
    At {
        /// Where.
        path: PathBuf,
        /// As it says itself; empty when it does not.
        version: String,
    },
    /// It is not, and this is what to do.
    Missing(String),
}

/// A package of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// As the definition names it.
    pub name: String,
    /// `None` if it is missing.
    pub version: Option<String>,
    /// Whether the image does without it where it cannot be installed.
    pub is_optional: bool,
}

const LANGUAGES: [Language; 4] = [Language::Python, Language::JavaScript, Language::R, Language::Java];

impl Survey {
    pub(super) fn of(images: &Images) -> Self {
        // The same interpreter serves many images.
        let mut versions = BTreeMap::new();
        let mut survey = |language, path: PathBuf| {
            let known = versions.entry(path);
            let path = known.key().clone();
            let found = || match agb_kernel::interpreter_lacks(language, &path) {
                Some(advice) => Found::Missing(advice),
                None => Found::At { version: version_of(language, &path).unwrap_or_default(), path },
            };
            known.or_insert_with(found).clone()
        };
        let report = |(at, definition): (usize, &std::sync::Arc<Definition>)| {
            let environment = images.environment(definition);
            let prepared = environment.as_ref().and_then(|environment| environment.interpreter());
            let interpreters: Vec<(Language, Found)> = LANGUAGES
                .into_iter()
                .map(|language| {
                    let own = match language {
                        Language::Python => prepared.clone(),
                        Language::JavaScript => environment.as_ref().and_then(|environment| environment.node()),
                        _ => None,
                    };
                    let own = own.as_deref();
                    let found = agb_kernel::find_interpreter(language, own.or(definition.interpreter(language)));
                    let found = match found {
                        Ok(path) => survey(language, path),
                        Err(error) => Found::Missing(error.to_string()),
                    };
                    (language, found)
                })
                .collect();
            let python = interpreters.iter().find_map(|(language, found)| match found {
                Found::At { path, version } if *language == Language::Python => Some((path, version)),
                _ => None,
            });
            let modules = environment.as_ref().and_then(|environment| environment.node_modules());
            let is_current = environment.is_some_and(|environment| {
                python.is_some_and(|(_, version)| environment.is_made_from(&fingerprint(definition, version)))
            });
            ImageReport {
                name: definition.name.clone(),
                aliases: definition.aliases.clone(),
                description: definition.description.clone(),
                is_default: at == 0,
                is_prepared: prepared.is_some(),
                is_current,
                packages: packages(definition, python.map(|(path, _)| path.as_path())),
                modules: node_packages(definition, modules.as_deref()),
                interpreters,
            }
        };
        Self { images: images.known.iter().enumerate().map(report).collect() }
    }
}

impl Survey {
    /// The same for programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "images": self.images.iter().map(ImageReport::to_json).collect::<Vec<_>>() })
    }
}

impl ImageReport {
    fn to_json(&self) -> Value {
        let interpreter = |(language, found): &(Language, Found)| match found {
            Found::At { path, version } => {
                json!({ "language": language.to_string(), "path": path, "version": version })
            }
            Found::Missing(advice) => json!({ "language": language.to_string(), "missing": advice }),
        };
        let packages = |packages: &[Package]| -> Value {
            let package =
                |it: &Package| json!({ "name": it.name, "version": it.version, "isOptional": it.is_optional });
            packages.iter().map(package).collect()
        };
        json!({
            "name": self.name,
            "aliases": self.aliases,
            "description": self.description,
            "isDefault": self.is_default,
            "isPrepared": self.is_prepared,
            "isCurrent": self.is_current,
            "interpreters": self.interpreters.iter().map(interpreter).collect::<Vec<_>>(),
            "pythonPackages": packages(&self.packages),
            "nodePackages": packages(&self.modules),
        })
    }

    /// The Python packages that it lacks and is not meant to do without.
    #[must_use]
    pub fn missing_packages(&self) -> Vec<&str> {
        let missing = |package: &&Package| package.version.is_none() && !package.is_optional;
        self.packages.iter().filter(missing).map(|package| package.name.as_str()).collect()
    }
}

/// What a Python says it is, such as `3.11.2`.
pub(super) fn python_version(python: &Path) -> Option<String> {
    version_of(Language::Python, python)
}

fn version_of(language: Language, path: &Path) -> Option<String> {
    let (argument, after) = match language {
        Language::Python => ("--version", "Python "),
        Language::JavaScript => ("--version", "v"),
        Language::R => ("--version", "version "),
        Language::Java => ("-version", "version "),
    };
    let answer = Command::new(path).arg(argument).stdin(Stdio::null()).output().ok()?;
    // Java says it on standard error.
    let text = [answer.stdout, answer.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let (_, version) = text.split_once(after)?;
    let version = version.trim_start_matches('"').split(|c: char| c.is_whitespace() || c == '"').next()?;
    Some(version.to_owned()).filter(|version| !version.is_empty())
}

fn packages(definition: &Definition, python: Option<&Path>) -> Vec<Package> {
    const ASK: &str = "import sys\nfrom importlib.metadata import version\nfor name in sys.argv[1:]:\n    \
                       try: print(version(name))\n    except Exception: print()";
    let required = definition.python.packages.iter().map(|name| (name, false));
    let all: Vec<(&String, bool)> =
        required.chain(definition.python.optional.iter().map(|name| (name, true))).collect();
    let answer = python.and_then(|python| {
        let mut command = Command::new(python);
        command.args(["-I", "-c", ASK]).args(all.iter().map(|(requirement, _)| distribution(requirement)));
        command.stdin(Stdio::null()).output().ok()
    });
    let answer = answer.map(|answer| String::from_utf8_lossy(&answer.stdout).into_owned()).unwrap_or_default();
    let mut versions = answer.lines();
    let package = |(name, is_optional): (&String, bool)| {
        let version = versions.next().filter(|version| !version.is_empty()).map(str::to_owned);
        Package { name: name.clone(), version, is_optional }
    };
    all.into_iter().map(package).collect()
}

fn node_packages(definition: &Definition, modules: Option<&Path>) -> Vec<Package> {
    let version = |name: &str| {
        let text = std::fs::read_to_string(modules?.join(name).join("package.json")).ok()?;
        let package: Value = serde_json::from_str(&text).ok()?;
        Some(package["version"].as_str()?.to_owned())
    };
    let package = |spec: &String| Package {
        name: spec.clone(),
        version: node_package(spec).and_then(version),
        is_optional: false,
    };
    definition.javascript.packages.iter().map(package).collect()
}

/// The name in a requirement such as `numpy[extra] >= 2; python_version > "3"`.
pub(super) fn distribution(requirement: &str) -> &str {
    let end =
        requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(requirement.len());
    &requirement[..end]
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, image) in self.images.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{image}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ImageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}{}", self.name, if self.is_default { " (default)" } else { "" })?;
        if !self.description.is_empty() {
            writeln!(f, "  {}", self.description)?;
        }
        if !self.aliases.is_empty() {
            writeln!(f, "  also known as {}", self.aliases.join(", "))?;
        }
        for (language, found) in &self.interpreters {
            let name = language.to_string();
            match found {
                Found::At { path, version } => writeln!(f, "  {name:<11} {version:<9} {}", path.display())?,
                Found::Missing(advice) => writeln!(f, "  {name:<11} missing   {advice}")?,
            }
        }
        for package in &self.packages {
            let version = package.version.as_deref().unwrap_or("missing");
            let note = if package.is_optional { " (optional)" } else { "" };
            writeln!(f, "    {:<15} {version}{note}", package.name)?;
        }
        for module in &self.modules {
            writeln!(f, "    {:<15} {} (npm)", module.name, module.version.as_deref().unwrap_or("missing"))?;
        }
        let command = format!("{} images prepare {}", command_name(), self.name);
        match (self.is_prepared, self.is_current) {
            (true, true) => Ok(()),
            (true, false) => writeln!(f, "  out of date: its definition or the system's Python has changed; {command}"),
            (false, _) => writeln!(f, "  not prepared: sessions use the Python above as it is; {command}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requirement_begins_with_its_name() {
        for (requirement, name) in
            [("numpy", "numpy"), ("scikit-learn>=1.2", "scikit-learn"), ("a.b_c[x] ; y", "a.b_c"), ("", "")]
        {
            assert_eq!(distribution(requirement), name);
        }
    }

    #[test]
    fn the_built_in_image_is_surveyed_without_a_folder() {
        let survey = Images::default().survey();
        let [image] = survey.images.as_slice() else { panic!("{survey:?}") };
        assert!(image.is_default && !image.is_prepared);
        let Some((_, Found::At { version, .. })) = image.interpreters.first() else { panic!("no Python: {image:?}") };
        assert!(version.starts_with('3'), "{version}");
        let text = survey.to_string();
        assert!(text.contains("agb-server images prepare agb-code-space-1") && text.contains("pandas"), "{text}");
    }
}
