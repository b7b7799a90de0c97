//! What of this machine an interpreter needs to be able to read.
//!
//! A sandbox has the system's `/usr`. An interpreter that lies elsewhere, in a virtual environment or a version
//! manager's folder, needs its own installation as well, and that of the one it was made from.

use std::path::{Component, Path, PathBuf};

use crate::Language;

/// What every sandbox has.
const SYSTEM: [&str; 7] = ["/usr", "/nix/store", "/bin", "/sbin", "/lib", "/lib32", "/lib64"];

/// What belongs to an installation in a folder that holds other things too, such as `~/.local`.
const PARTS: [&str; 3] = ["bin", "lib", "lib64"];

/// How many links may lie between a name and the executable: as many as the system follows.
const MAX_LINKS: usize = 40;

/// The directories and files outside the system's own that an interpreter consists of, as far as the file system tells:
/// nothing is run.
#[must_use]
pub fn readable(language: Language, interpreter: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in links(interpreter) {
        let dir = file.parent().unwrap_or(Path::new("/"));
        let is_bin = dir.file_name().is_some_and(|name| name == "bin");
        let prefix = if is_bin { dir.parent().unwrap_or(dir) } else { dir };
        add(&mut found, prefix, &file);
    }
    if language == Language::Python
        && let Some(bin) = base_of(interpreter)
    {
        add(&mut found, bin.parent().unwrap_or(&bin), &bin);
    }
    found
}

/// Whether every sandbox has it.
pub(crate) fn is_system(path: &Path) -> bool {
    SYSTEM.iter().any(|system| path.starts_with(system))
}

/// The names under which a file is reached, one link after the other.
fn links(file: &Path) -> Vec<PathBuf> {
    let mut names = vec![file.to_owned()];
    while names.len() < MAX_LINKS
        && let Some(last) = names.last()
        && let Ok(target) = std::fs::read_link(last)
    {
        names.push(last.parent().unwrap_or(Path::new("/")).join(target));
    }
    // Directories on the way may be links themselves.
    names.extend(file.canonicalize());
    names.iter().map(|name| plain(name)).collect()
}

/// The same file by an absolute path without `..`. Whether it is a link itself stays as it is: a virtual environment's
/// Python knows by its name that it is one.
pub(crate) fn plain(path: &Path) -> PathBuf {
    let is_plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
    match (path.parent().and_then(|dir| dir.canonicalize().ok()), path.file_name()) {
        (Some(dir), Some(name)) if !is_plain => dir.join(name),
        _ => path.to_owned(),
    }
}

/// Adds an installation, or of a folder that is more than that only what belongs to it.
fn add(found: &mut Vec<PathBuf>, prefix: &Path, file: &Path) {
    let mut one = |path: PathBuf| {
        if !is_system(&path) && path.exists() && !found.iter().any(|known| path.starts_with(known)) {
            found.retain(|known| !known.starts_with(&path));
            found.push(path);
        }
    };
    if !is_broad(prefix) {
        return one(prefix.to_owned());
    }
    PARTS.iter().for_each(|part| one(prefix.join(part)));
    one(file.to_owned());
}

/// Whether a folder holds more than an installation: somebody's home, the root, `/opt`.
fn is_broad(folder: &Path) -> bool {
    folder.components().count() <= 2
        || folder.parent() == Some(Path::new("/home"))
        || folder.file_name().is_some_and(|name| name == ".local")
        || std::env::home_dir().is_some_and(|home| home.starts_with(folder))
}

/// Where the Python lies that an environment was made from, if this is the Python of one. It need not be a link to it.
fn base_of(python: &Path) -> Option<PathBuf> {
    let environment = python.parent()?.parent()?;
    let settings = std::fs::read_to_string(environment.join("pyvenv.cfg")).ok()?;
    let home = settings.lines().find_map(|line| line.strip_prefix("home")?.trim_start().strip_prefix('='))?;
    Some(PathBuf::from(home.trim())).filter(|home| home.is_absolute())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_systems_own_needs_nothing() {
        assert_eq!(readable(Language::Python, Path::new("/usr/bin/python3")), Vec::<PathBuf>::new());
    }

    #[test]
    fn every_link_on_the_way_counts() {
        let dir = std::env::temp_dir().canonicalize().expect("it is there");
        let dir = dir.join(format!("agb-installation-{}", std::process::id()));
        let (venv, real) = (dir.join("venv/bin"), dir.join("versions/3/bin"));
        for place in [&venv, &real] {
            fs::create_dir_all(place).expect("the temporary directory is writable");
        }
        fs::write(real.join("node"), "").expect("it was made above");
        symlink("../../versions/3/bin/node", venv.join("node")).expect("it was made above");
        let found = readable(Language::JavaScript, &venv.join("node"));
        assert_eq!(found, [dir.join("venv"), dir.join("versions/3")]);
        fs::copy(real.join("node"), venv.join("python")).expect("it was made above");
        fs::write(dir.join("venv/pyvenv.cfg"), format!("home = {}\nversion = 3\n", real.display())).expect("likewise");
        assert_eq!(readable(Language::Python, &venv.join("python")), [dir.join("venv"), dir.join("versions/3")]);
        fs::remove_dir_all(&dir).expect("it was made above");
    }

    #[test]
    fn a_home_is_not_an_installation() {
        let home = std::env::home_dir().expect("there is one");
        assert!(is_broad(&home) && is_broad(&home.join(".local")) && is_broad(Path::new("/opt")));
        assert!(!is_broad(&home.join("versions/3")) && !is_broad(Path::new("/opt/node")));
        let mut found = Vec::new();
        add(&mut found, Path::new("/absent"), Path::new("/absent/node"));
        assert_eq!(found, Vec::<PathBuf>::new(), "what is not there cannot be read");
    }
}
