//! What installs Python packages into an environment: `uv`, and where there is none, or where it fails, `pip`.
//!
//! `uv` downloads in parallel and links what it unpacked. It does not read pip's configuration, in which companies name their
//! package index: what it says is translated, and where that cannot be done, pip installs.
//!
//! Python's own way to a pip (`ensurepip`) takes as long as `uv` takes for the packages. So the pip that Python carries is run
//! where it was unpacked, to read its configuration and to install `uv`, and `uv` then installs that pip, too.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::environment::interpreter_in;

/// What installs packages into one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Installer {
    /// The environment's own.
    Pip,
    /// This program, with what pip's configuration means to it.
    Uv { program: PathBuf, env: Vec<(&'static str, String)> },
}

/// Runs the pip that Python carries.
const CARRIED_PIP: &str = include_str!("carried_pip.py");
/// Compiles modules.
const COMPILE: &str = include_str!("compile.py");

impl Installer {
    /// What is of use only while packages are installed.
    pub(super) fn own_folder(folder: &Path) -> PathBuf {
        folder.join("share/agb/installer")
    }

    /// Where `uv` is put for that time.
    pub(super) fn own_uv(folder: &Path) -> PathBuf {
        Self::own_folder(folder).join("uv")
    }

    /// The command that installs `uv` there: built already, since to build it takes longer than pip takes for the packages.
    pub(super) fn install_uv(folder: &Path) -> Command {
        let mut command = carried_pip(folder);
        command.args(INSTALL).args(["--no-compile", "--no-deps", "--only-binary=:all:", "--target"]);
        command.arg(Self::own_uv(folder)).arg("uv");
        command
    }

    /// The command that gives the environment its pip, the way that Python goes itself.
    pub(super) fn ensure_pip(folder: &Path) -> Command {
        let mut command = Command::new(interpreter_in(folder));
        command.args(["-I", "-m", "ensurepip", "--upgrade", "--default-pip"]);
        command
    }

    /// The wheels of which that consists, once [`uv_env`](Self::uv_env) has found them.
    pub(super) fn wheels_of_pip(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(unpacked_pip(folder).join("wheels")).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    }

    /// What pip's configuration means to `uv`; `None` if that cannot be said.
    pub(super) fn uv_env(folder: &Path) -> Option<Vec<(&'static str, String)>> {
        let mut command = carried_pip(folder);
        command.args(["--disable-pip-version-check", "config", "list"]).stdin(Stdio::null());
        let answer = command.output().ok().filter(|answer| answer.status.success())?;
        translate(&String::from_utf8_lossy(&answer.stdout))
    }

    /// The `uv` of this machine, if it has one.
    pub(super) fn uv_on_path(path: Option<OsString>) -> Option<PathBuf> {
        std::env::split_paths(&path?).map(|folder| folder.join("uv")).find(|program| program.is_file())
    }

    /// The command that installs packages.
    pub(super) fn install<P: AsRef<OsStr>>(&self, folder: &Path, packages: &[P]) -> Command {
        let mut command = match self {
            Self::Pip => {
                let mut command = Command::new(interpreter_in(folder));
                command.args(["-I", "-m", "pip"]).args(INSTALL);
                command
            }
            Self::Uv { program, env } => {
                let mut command = Command::new(program);
                // The cache lies beside the environment, so that files are linked, not copied, and goes with the installer.
                command.args(["pip", "install", "--no-progress", "--color", "never", "--python"]);
                command.arg(interpreter_in(folder)).arg("--cache-dir").arg(Self::own_folder(folder).join("cache"));
                command.env("UV_SYSTEM_CERTS", "1").envs(env.iter().map(|(name, value)| (name, value)));
                command
            }
        };
        command.args(packages);
        command
    }

    /// The command that compiles what was installed, where pip has not.
    pub(super) fn compile(folder: &Path) -> Command {
        let mut command = Command::new(interpreter_in(folder));
        command.args(["-I", "-c", COMPILE]).arg(folder);
        command
    }
}

/// How pip installs when nobody watches.
const INSTALL: [&str; 5] = ["install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"];

/// The pip that Python carries.
fn carried_pip(folder: &Path) -> Command {
    let mut command = Command::new(interpreter_in(folder));
    command.args(["-I", "-c", CARRIED_PIP]).arg(unpacked_pip(folder));
    command
}

/// Where that is put.
fn unpacked_pip(folder: &Path) -> PathBuf {
    Installer::own_folder(folder).join("pip")
}

/// What `pip config list` says, as variables for `uv`; `None` if it says something else.
fn translate(config: &str) -> Option<Vec<(&'static str, String)>> {
    /// What is about pip itself, or about nothing that matters here.
    const NO_MATTER: [&str; 15] = [
        "break-system-packages",
        "cache-dir",
        "default-timeout",
        "disable-pip-version-check",
        "no-cache-dir",
        "no-color",
        "no-input",
        "no-warn-script-location",
        "progress-bar",
        "quiet",
        "require-virtualenv",
        "retries",
        "root-user-action",
        "timeout",
        "verbose",
    ];
    let mut env = Vec::new();
    for line in config.lines().filter(|line| !line.trim().is_empty()) {
        let (key, value) = line.split_once('=')?;
        let value = value.strip_prefix('\'')?.strip_suffix('\'')?.replace("\\n", " ");
        if value.contains('\\') {
            return None; // quoted as Python does; not for a parser of ours
        }
        // `global.index-url`, `install.index-url`, `:env:.index-url`
        let (section, key) = key.rsplit_once('.')?;
        if !["global", "install", ":env:"].contains(&section) {
            continue;
        }
        let words = value.split_whitespace().collect::<Vec<_>>().join(" ");
        match key {
            "index-url" => env.push(("UV_DEFAULT_INDEX", words)),
            // pip takes the best version of all of them.
            "extra-index-url" => {
                env.extend([("UV_INDEX", words), ("UV_INDEX_STRATEGY", "unsafe-best-match".to_owned())])
            }
            // For uv commas are between them.
            "find-links" => env.push(("UV_FIND_LINKS", words.replace(' ', ","))),
            "trusted-host" => env.push(("UV_INSECURE_HOST", words)),
            "cert" => env.push(("SSL_CERT_FILE", value)),
            "proxy" => env.extend([("HTTPS_PROXY", words.clone()), ("HTTP_PROXY", words)]),
            _ if NO_MATTER.contains(&key) => {}
            _ => return None,
        }
    }
    Some(env)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_of_pip_is_that_of_uv() {
        assert_eq!(translate(""), Some(Vec::new()));
        let config = "global.index-url='https://user:key@index.test/simple'\nglobal.trusted-host='index.test'\n\
                      :env:.timeout='60'\ndownload.dest='x'\n";
        let env = [("UV_DEFAULT_INDEX", "https://user:key@index.test/simple"), ("UV_INSECURE_HOST", "index.test")];
        assert_eq!(translate(config), Some(env.map(|(name, value)| (name, value.to_owned())).into()));
        let links = translate("global.find-links='/opt/wheels https://a.test/list'").expect("known");
        assert_eq!(links, [("UV_FIND_LINKS", "/opt/wheels,https://a.test/list".to_owned())]);
        let more = translate("global.extra-index-url='\\nhttps://a.test/\\nhttps://b.test/'").expect("known");
        assert_eq!(more[0], ("UV_INDEX", "https://a.test/ https://b.test/".to_owned()));
    }

    #[test]
    fn what_cannot_be_translated_is_left_to_pip() {
        for config in
            ["global.no-binary=':all:'", "install.hash-algorithm='x'", "global.index-url=\"it's\"", "nonsense"]
        {
            assert_eq!(translate(config), None, "{config}");
        }
    }

    #[test]
    fn uv_is_found_where_programs_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = std::env::join_paths([Path::new("/nothing"), folder.path()]).expect("plain names");
        assert_eq!(Installer::uv_on_path(Some(path.clone())), None);
        fs::write(folder.path().join("uv"), "").expect("a file");
        assert_eq!(Installer::uv_on_path(Some(path)), Some(folder.path().join("uv")));
        assert_eq!(Installer::uv_on_path(None), None);
    }

    /// A folder that looks like an environment of this machine's Python, below one that is called `tests`.
    fn environment() -> (tempfile::TempDir, PathBuf) {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = temporary.path().join("tests/environment");
        fs::create_dir_all(folder.join("bin")).expect("a folder");
        std::os::unix::fs::symlink("/usr/bin/python3", interpreter_in(&folder)).expect("the folder is there");
        (temporary, folder)
    }

    #[test]
    fn the_pip_that_python_carries_is_run_and_its_wheels_are_kept() {
        let (_temporary, folder) = environment();
        assert!(Installer::uv_env(&folder).is_some(), "pip tells its configuration");
        let wheels = Installer::wheels_of_pip(&folder);
        let is_pip =
            |wheel: &PathBuf| wheel.to_string_lossy().contains("/pip-") && wheel.extension() == Some("whl".as_ref());
        assert_eq!(wheels.iter().filter(|wheel| is_pip(wheel)).count(), 1, "{wheels:?}");
    }

    #[test]
    fn what_is_installed_is_compiled_but_not_the_packages_own_tests() {
        let (_temporary, folder) = environment();
        let package = folder.join("lib/python3/site-packages/package");
        fs::create_dir_all(package.join("tests")).expect("a folder");
        for (file, text) in [("use.py", "a = 1"), ("tests/test_use.py", "a = 1"), ("old.py", "print 1")] {
            fs::write(package.join(file), text).expect("the folder is there");
        }
        let output = Installer::compile(&folder).output().expect("Python runs");
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        let compiled = |folder: PathBuf| fs::read_dir(folder.join("__pycache__")).map_or(0, Iterator::count);
        assert_eq!((compiled(package.clone()), compiled(package.join("tests"))), (1, 0));
    }
}
