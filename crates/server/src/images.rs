//! Images: named environments that a session is created from.
//!
//! | module | what is there |
//! | --- | --- |
//! | `definition` | what an image is made of; the built-in one and those in TOML files |
//! | `environment` | where an image's Python lives once it is prepared |
//! | `prepare` | making that, step by step |
//! | `installer` | what installs Python packages: uv or pip |
//! | `survey` | what is there and what is missing |
//!
//! Locally an image is not a machine of its own: it names interpreters of this one, and a virtual environment for Python.
//! An image that is not prepared works all the same, with the Python that is found and what that one has.

mod definition;
mod environment;
mod installer;
mod prepare;
mod survey;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use agb_protocol::Language;
use thiserror::Error;

pub(crate) use self::definition::Definition;
pub use self::definition::DefinitionError;
use self::definition::node_package;
use self::environment::Environment;
pub use self::prepare::{PrepareError, Progress};
use self::survey::distribution;
pub use self::survey::{Found, ImageReport, Package, Survey};
use crate::command_name;

/// The images that a server knows: the built-in one, and those of a folder.
#[derive(Clone, Debug)]
pub struct Images {
    /// Where environments and definitions are; without it images are names only.
    folder: Option<PathBuf>,
    /// The default one first.
    known: Vec<Arc<Definition>>,
}

/// An image that a session is created from.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// As it was asked for: the name or an alias.
    id: String,
    definition: Arc<Definition>,
    environment: Option<Environment>,
}

/// An image id that is not known, said together with those that are.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("image {given:?} is not known to this server; known images are {}", known.join(", "))]
pub struct UnknownImage {
    given: String,
    known: Vec<String>,
}

/// Why the images of a folder could not be read.
#[derive(Debug, Error)]
pub enum ImagesError {
    /// The folder is there and cannot be read.
    #[error("the images in {folder} could not be read: {error}")]
    Folder {
        /// The folder.
        folder: String,
        /// The system's word for it.
        error: std::io::Error,
    },
    /// A file in it is not a definition.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
}

impl Default for Images {
    /// The built-in image, without an environment.
    fn default() -> Self {
        Self { folder: None, known: vec![Arc::new(Definition::built_in())] }
    }
}

impl Images {
    /// The built-in image and every `NAME.toml` of a folder, which is also where environments are made. A folder that
    /// is not there yet is an empty one.
    ///
    /// # Errors
    /// [`ImagesError`], when a file in it is not a definition.
    pub fn load(folder: PathBuf) -> Result<Self, ImagesError> {
        // Programs start elsewhere: a path that is relative to here would not be found there.
        let folder = std::path::absolute(&folder)
            .map_err(|error| ImagesError::Folder { folder: folder.display().to_string(), error })?;
        let mut known = Self::default().known;
        for file in definition_files(&folder)? {
            let custom = Arc::new(Definition::read(&file)?);
            // A file of a name that is built in takes its place.
            match known.iter_mut().find(|definition| definition.name == custom.name) {
                Some(place) => *place = custom,
                None => known.push(custom),
            }
        }
        Ok(Self { folder: Some(folder), known })
    }

    /// Where images are kept for this user: `$XDG_DATA_HOME/agb/images`, or `~/.local/share/agb/images`.
    #[must_use]
    pub fn default_folder() -> Option<PathBuf> {
        let of = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let data = of("XDG_DATA_HOME").filter(|path| path.is_absolute());
        Some(data.or_else(|| Some(of("HOME")?.join(".local/share")))?.join("agb/images"))
    }

    /// Finds an image by its name or an alias; blanks around it do not count, nothing at all means the default.
    pub(crate) fn find(&self, id: Option<&str>) -> Result<Image, UnknownImage> {
        let id = id.map_or("", str::trim);
        let definition = if id.is_empty() { self.known.first() } else { self.named(id) };
        let definition = definition.ok_or_else(|| self.unknown(id))?;
        let id = if id.is_empty() { &definition.name } else { id };
        Ok(Image { id: id.to_owned(), definition: Arc::clone(definition), environment: self.environment(definition) })
    }

    /// The names of all.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|definition| definition.name.as_str())
    }

    fn named(&self, id: &str) -> Option<&Arc<Definition>> {
        let by_name = self.known.iter().find(|definition| definition.name == id);
        by_name.or_else(|| self.known.iter().find(|definition| definition.aliases.iter().any(|alias| alias == id)))
    }

    fn unknown(&self, id: &str) -> UnknownImage {
        let names = self.known.iter().flat_map(|definition| [&definition.name].into_iter().chain(&definition.aliases));
        UnknownImage { given: id.chars().take(80).collect(), known: names.cloned().collect() }
    }

    fn environment(&self, definition: &Definition) -> Option<Environment> {
        Some(Environment::new(self.folder.as_ref()?.join(&definition.name)))
    }

    /// Makes the environment of an image: a Python of its own with the image's packages, and those for node. Tells what
    /// it does while it does it, which takes minutes when much is to be downloaded. Answers false if there was nothing to do.
    ///
    /// `python` is the interpreter to make it from, where the definition does not say; else one is looked for.
    ///
    /// # Errors
    /// [`PrepareError`]; what was there before stays as it was.
    pub fn prepare(
        &self,
        id: &str,
        python: Option<&Path>,
        again: bool,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<bool, PrepareError> {
        let definition = self.named(id).ok_or_else(|| self.unknown(id))?;
        let environment = self.environment(definition).ok_or(PrepareError::NoFolder)?;
        prepare::prepare(definition, &environment, python, again, progress)
    }

    /// The name of the image that a session gets which asks for none.
    #[must_use]
    pub fn default_name(&self) -> &str {
        self.known.first().map_or("", |definition| &definition.name)
    }

    /// Whether that image has packages that are not installed: it is not prepared, and is meant to be.
    #[must_use]
    pub fn lacks_preparation(&self) -> bool {
        let Some(definition) = self.known.first() else { return false };
        let python = &definition.python;
        let has_packages = !(python.packages.is_empty() && python.optional.is_empty());
        has_packages && self.environment(definition).is_some_and(|environment| environment.current().is_none())
    }

    /// What every image has on this machine, and what it lacks. Starts each interpreter once.
    #[must_use]
    pub fn survey(&self) -> Survey {
        Survey::of(self)
    }
}

impl Image {
    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Its name, whatever alias it was asked for by.
    pub(crate) fn name(&self) -> &str {
        &self.definition.name
    }

    /// The interpreter that the image has for a language; `None` where the machine's own does.
    pub(crate) fn interpreter(&self, language: Language) -> Option<PathBuf> {
        let prepared = match language {
            Language::Python => self.environment.as_ref().and_then(Environment::interpreter),
            Language::JavaScript => self.environment.as_ref().and_then(Environment::node),
            _ => None,
        };
        prepared.or_else(|| self.definition.interpreter(language).map(Path::to_path_buf))
    }

    /// How to get a Python package that a program did not find.
    pub(crate) fn python_advice(&self, package: &str) -> String {
        let python = &self.definition.python;
        let is_listed =
            python.packages.iter().chain(&python.optional).any(|listed| is_same(distribution(listed), package));
        let is_prepared = self.environment.as_ref().is_some_and(|environment| environment.interpreter().is_some());
        self.advice(package, "python", is_listed, is_prepared)
    }

    /// How to get a package for Node that a program did not find.
    pub(crate) fn node_advice(&self, package: &str) -> String {
        let listed = &self.definition.javascript.packages;
        let is_listed = listed.iter().any(|listed| node_package(listed) == Some(package));
        let is_prepared = self.environment.as_ref().is_some_and(|environment| environment.node_modules().is_some());
        self.advice(package, "javascript", is_listed, is_prepared)
    }

    fn advice(&self, package: &str, section: &str, is_listed: bool, is_prepared: bool) -> String {
        let name = &self.definition.name;
        let prepare = format!("{} images prepare {name}", command_name());
        match (is_listed, is_prepared) {
            (true, false) => {
                format!("the image {name} is not prepared; this installs {package} and its other packages: {prepare}")
            }
            (true, true) => {
                format!("the environment of the image {name} lacks {package}; make it again: {prepare} --again")
            }
            (false, _) => format!(
                "the image {name} has no {package}; to add it, list {package:?} under [{section}] packages in the definition of \
                 an image of your own (a file NAME.toml, see `{} images`), run `{} images prepare NAME` and restart the server",
                command_name(),
                command_name()
            ),
        }
    }

    /// What the image adds to the environment of programs.
    pub(crate) fn env(&self) -> Vec<(String, String)> {
        let own = self.definition.env.iter().map(|(name, value)| (name.clone(), value.clone()));
        let modules = self.environment.as_ref().and_then(Environment::node_modules);
        let modules = modules.filter(|_| !self.definition.env.contains_key("NODE_PATH"));
        own.chain(modules.map(|folder| ("NODE_PATH".to_owned(), folder.display().to_string()))).collect()
    }
}

/// Whether two names are of one Python package: case does not count, and `-`, `_` and `.` are the same.
fn is_same(one: &str, other: &str) -> bool {
    let normal = |name: &str| name.to_lowercase().replace(['_', '.'], "-");
    normal(one) == normal(other)
}

fn definition_files(folder: &Path) -> Result<Vec<PathBuf>, ImagesError> {
    let failed = |error| ImagesError::Folder { folder: folder.display().to_string(), error };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_known_ones_and_names_them_otherwise() {
        let images = Images::default();
        let id = |given| images.find(given).map(|image| image.id().to_owned());
        assert_eq!(id(None).as_deref(), Ok("agb-code-space-1"));
        assert_eq!(id(Some(" ")).as_deref(), Ok("agb-code-space-1"));
        assert_eq!(id(Some(" agb-code-space-2 ")).as_deref(), Ok("agb-code-space-2"));
        let error = images.find(Some("ubuntu")).expect_err("no such image").to_string();
        assert!(error.contains("\"ubuntu\"") && error.contains("agb-code-space-1, agb-code-space-2"), "{error}");
    }

    #[test]
    fn a_folder_adds_images_and_replaces_the_built_in_one() {
        let folder = std::env::temp_dir().join(format!("agb-images-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the temporary directory is writable");
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("the folder is writable");
        write("science.toml", "aliases = ['lab']\n[python]\npackages = ['scipy>=1.10']\n[env]\nMODE = 'x'");
        write("notes.txt", "not a definition");
        let images = Images::load(folder.clone()).expect("the file is right");
        let lab = images.find(Some("lab")).expect("it is an alias");
        assert_eq!((lab.id(), lab.definition.name.as_str()), ("lab", "science"));
        assert_eq!(lab.env(), [("MODE".to_owned(), "x".to_owned())]);
        assert_eq!(lab.interpreter(Language::Python), None, "it is not prepared");
        assert_eq!(images.find(None).map(|image| image.id().to_owned()).as_deref(), Ok("agb-code-space-1"));

        write("agb-code-space-1.toml", "[python]\npackages = []");
        let images = Images::load(folder.clone()).expect("the files are right");
        assert_eq!(images.known.len(), 2);
        assert!(images.known[0].python.packages.is_empty());

        write("bad.toml", "[python]\npackges = []");
        let error = Images::load(folder.clone()).expect_err("a key is misspelt").to_string();
        assert!(error.contains("bad.toml") && error.contains("packges"), "{error}");
        fs::remove_dir_all(&folder).expect("it was made above");
    }
}
