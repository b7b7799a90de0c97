//! What installs Python packages into an environment: `uv`, and where there is none, or where it fails, `pip`.
//!
//! `uv` downloads and compiles in parallel. It does not read pip's configuration, in which companies name their package
//! index: what it says is translated, and where that cannot be done, pip installs.

use std::ffi::OsString;
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

impl Installer {
    /// Where `uv` is put that is installed for the time of a preparation.
    pub(super) fn own_uv(folder: &Path) -> PathBuf {
        folder.join("share/agb/uv")
    }

    /// The command that installs `uv` there.
    pub(super) fn install_uv(folder: &Path) -> Command {
        let mut command = pip(folder);
        command.args(["--no-deps", "--target"]).arg(Self::own_uv(folder)).arg("uv");
        command
    }

    /// What pip's configuration means to `uv`; `None` if that cannot be said.
    pub(super) fn uv_env(folder: &Path) -> Option<Vec<(&'static str, String)>> {
        let mut command = Command::new(interpreter_in(folder));
        command.args(["-I", "-m", "pip", "--disable-pip-version-check", "config", "list"]).stdin(Stdio::null());
        let answer = command.output().ok().filter(|answer| answer.status.success())?;
        translate(&String::from_utf8_lossy(&answer.stdout))
    }

    /// The `uv` of this machine, if it has one.
    pub(super) fn uv_on_path(path: Option<OsString>) -> Option<PathBuf> {
        std::env::split_paths(&path?).map(|folder| folder.join("uv")).find(|program| program.is_file())
    }

    /// The command that installs packages.
    pub(super) fn install(&self, folder: &Path, packages: &[String]) -> Command {
        let mut command = match self {
            Self::Pip => pip(folder),
            Self::Uv { program, env } => {
                let mut command = Command::new(program);
                // Sessions cannot write there: what is not compiled now would be compiled in each. The cache lies beside the
                // environment, so that files are linked, not copied, and goes with the installer.
                command.args(["pip", "install", "--compile-bytecode", "--no-progress", "--color", "never", "--python"]);
                command.arg(interpreter_in(folder)).arg("--cache-dir").arg(Self::own_uv(folder).join("cache"));
                command.env("UV_SYSTEM_CERTS", "1").envs(env.iter().map(|(name, value)| (name, value)));
                command
            }
        };
        command.args(packages);
        command
    }
}

fn pip(folder: &Path) -> Command {
    let mut command = Command::new(interpreter_in(folder));
    command.args(["-I", "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]);
    command
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
        std::fs::write(folder.path().join("uv"), "").expect("a file");
        assert_eq!(Installer::uv_on_path(Some(path)), Some(folder.path().join("uv")));
        assert_eq!(Installer::uv_on_path(None), None);
    }
}
