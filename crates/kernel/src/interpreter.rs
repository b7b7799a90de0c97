//! Where the interpreters are.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::Language;

/// No interpreter on this machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{language} is not installed on this machine: install it ({}), or {}", hint(*.language), setting(*.language))]
pub struct MissingInterpreter {
    /// The language whose interpreter is missing.
    pub language: Language,
}

/// Finds the interpreter of a language.
///
/// `preferred` wins when it is given (the caller's `AGB_PYTHON` and its kin); for Java, `JAVA_HOME` is next; then
/// Debian's place, because a version manager's shim on the `PATH` starts in tens of milliseconds and depends on an
/// environment that kernels do not have; then the `PATH`, shims last.
///
/// # Errors
/// [`MissingInterpreter`], which says what to install.
pub fn find_interpreter(language: Language, preferred: Option<&Path>) -> Result<PathBuf, MissingInterpreter> {
    let home = (language == Language::Java).then(|| std::env::var_os("JAVA_HOME")).flatten();
    let home = home.map(|home| Path::new(&home).join("bin/java")).filter(|java| is_executable(java));
    if let (None, Some(java)) = (preferred, home) {
        return Ok(java);
    }
    find(language, preferred, Path::new("/usr/bin"), std::env::var_os("PATH").as_deref())
}

/// What an interpreter that is there lacks to run kernels, and what to do about it; `None` if it lacks nothing. Starts
/// it to find out: `java` may be a runtime without the compiler that kernels need.
#[must_use]
pub fn interpreter_lacks(language: Language, interpreter: &Path) -> Option<String> {
    match language {
        Language::Java => crate::java::lacks(interpreter),
        Language::Python | Language::JavaScript | Language::R => None,
    }
}

fn find(
    language: Language,
    preferred: Option<&Path>,
    debian: &Path,
    path: Option<&OsStr>,
) -> Result<PathBuf, MissingInterpreter> {
    if let Some(preferred) = preferred {
        return is_executable(preferred).then(|| preferred.to_path_buf()).ok_or(MissingInterpreter { language });
    }
    let name = executable(language);
    let debian = debian.join(name);
    if is_executable(&debian) {
        return Ok(debian);
    }
    let found: Vec<PathBuf> = path
        .map(|path| std::env::split_paths(path).map(|dir| dir.join(name)).filter(|file| is_executable(file)).collect())
        .unwrap_or_default();
    let real = found.iter().find(|file| !file.components().any(|part| part.as_os_str() == "shims"));
    real.or(found.first()).cloned().ok_or(MissingInterpreter { language })
}

fn executable(language: Language) -> &'static str {
    match language {
        Language::Python => "python3",
        Language::JavaScript => "node",
        Language::R => "R",
        Language::Java => "java",
    }
}

fn hint(language: Language) -> &'static str {
    match language {
        Language::Python => "on Debian: apt-get install python3",
        Language::JavaScript => "on Debian: apt-get install nodejs",
        Language::R => "on Debian: apt-get install r-base-core",
        Language::Java => "on Debian: apt-get install openjdk-17-jdk-headless",
    }
}

fn setting(language: Language) -> &'static str {
    match language {
        Language::Python => "set AGB_PYTHON to the path of python3",
        Language::JavaScript => "set AGB_NODE to the path of node",
        Language::R => "set AGB_R to the path of R",
        Language::Java => "set AGB_JAVA to the path of a JDK's java",
    }
}

fn is_executable(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_preferred_is_taken_or_missed() {
        let (shell, absent) = (Path::new("/bin/sh"), Path::new("/absent"));
        assert_eq!(find(Language::Python, Some(shell), absent, None).as_deref(), Ok(shell));
        let missing = find(Language::Python, Some(absent), absent, None);
        assert_eq!(missing, Err(MissingInterpreter { language: Language::Python }));
        assert!(find(Language::Python, Some(Path::new("/bin")), absent, None).is_err(), "a directory runs nothing");
    }

    #[test]
    fn a_shim_is_the_last_choice() {
        let dir = std::env::temp_dir().join(format!("agb-interpreters-{}", std::process::id()));
        let (shims, real) = (dir.join("shims"), dir.join("real"));
        for place in [&shims, &real] {
            fs::create_dir_all(place).expect("the temporary directory is writable");
            fs::copy("/bin/true", place.join("R")).expect("the temporary directory is writable");
        }
        let path = std::env::join_paths([&shims, &real]).expect("no separator in it");
        let absent = Path::new("/absent");
        assert_eq!(find(Language::R, None, absent, Some(&path)), Ok(real.join("R")));
        assert_eq!(find(Language::R, None, absent, Some(shims.as_os_str())), Ok(shims.join("R")));
        assert_eq!(find(Language::R, None, &shims, Some(&path)), Ok(shims.join("R")), "Debian's place comes first");
        fs::remove_dir_all(&dir).expect("it was made above");
        let missing = find(Language::R, None, absent, Some(&path)).expect_err("both are gone");
        assert!(missing.to_string().contains("apt-get install r-base-core"), "{missing}");
    }
}
