//! Where things are, and how the programs are called that work on them.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;

/// The checkout.
pub(crate) struct Workspace {
    root: PathBuf,
}

/// What a child process is for, which decides what of our environment it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It talks to a package registry: proxies, certificates and caches as the machine has them.
    Install,
    /// It builds, tests or runs the project: nothing of a developer's shell may change what it does.
    Work,
}

impl Workspace {
    /// Cargo tells where this package is; two folders up is the checkout.
    pub(crate) fn find() -> Result<Self, Error> {
        let package =
            env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package.ancestors().nth(2).filter(|root| root.join("Cargo.toml").is_file());
        match root {
            Some(root) => Ok(Workspace { root: root.to_owned() }),
            None => {
                Err(Error::Failed(format!("{} is not in a checkout; start this as `cargo xtask`", package.display())))
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Workspace { root: root.to_owned() }
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// All that is built.
    pub(crate) fn target(&self, relative: &str) -> PathBuf {
        self.root.join("target").join(relative)
    }

    /// What this program keeps: logs and stamps.
    pub(crate) fn state(&self, relative: &str) -> PathBuf {
        self.root.join("target/xtask").join(relative)
    }

    /// Held while something is installed or built in place, so that two of us do not do it at once.
    pub(crate) fn lock(&self) -> Result<File, Error> {
        let path = self.state("lock");
        fs::create_dir_all(self.state("")).map_err(Error::file(&path))?;
        let file = File::create(&path).map_err(Error::file(&path))?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            eprintln!("  …     another cargo xtask is installing or building; waiting for it");
            file.lock().map_err(Error::file(&path))?;
        }
        Ok(file)
    }

    /// A path as a person would write it from the checkout.
    pub(crate) fn display<'a>(&self, path: &'a Path) -> std::path::Display<'a> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }

    /// `program`, run in the checkout's root.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>, purpose: Purpose) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(|name| hidden(name, purpose)) {
                command.env_remove(name);
            }
        }
        command.env("CARGO_TARGET_DIR", self.target(""));
        command
    }

    pub(crate) fn cargo(&self) -> Command {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(cargo, Purpose::Work);
        command.env("CARGO_TERM_COLOR", "never");
        command
    }
}

/// Whether a child for `purpose` must not see the variable `name`.
fn hidden(name: &str, purpose: Purpose) -> bool {
    // `cargo run` sets these for us. Build scripts that watch them would run again after each change between
    // `cargo test` and `cargo xtask test`.
    let of_cargo_run = name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    // Our own clients' configuration: a developer's real key must not meet a test, nor a test a real service.
    let of_the_sdk = name.starts_with("AGB_");
    let of_the_shell = matches!(
        name,
        // Would hide that output arrives without it: kernels must be live by themselves.
        "PYTHONUNBUFFERED"
            | "PYTHONPATH"
            | "PYTHONHOME"
            | "PYTHONSTARTUP"
            | "PYTHONDONTWRITEBYTECODE"
            | "VIRTUAL_ENV"
            | "NODE_OPTIONS"
            | "NODE_PATH"
            // Makes every start of Node slower by reading the file.
            | "NODE_EXTRA_CA_CERTS"
            // Node's test runner talks to its parent in binary when it sees this.
            | "NODE_TEST_CONTEXT"
            | "FORCE_COLOR"
            | "RUST_LOG"
    );
    of_cargo_run || (purpose == Purpose::Work && (of_the_sdk || of_the_shell))
}

/// The first file called `program` on the search path.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_sees_nothing_of_the_shell() {
        for name in ["PYTHONUNBUFFERED", "NODE_EXTRA_CA_CERTS", "AGB_API_KEY", "CARGO_PKG_NAME"] {
            assert!(hidden(name, Purpose::Work), "{name}");
        }
        for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_TOOLCHAIN", "CI", "NO_COLOR"] {
            assert!(!hidden(name, Purpose::Work), "{name}");
        }
    }

    #[test]
    fn installs_see_the_machine_as_it_is() {
        assert!(!hidden("NODE_EXTRA_CA_CERTS", Purpose::Install));
        assert!(hidden("CARGO_MANIFEST_DIR", Purpose::Install));
    }

    #[test]
    fn finds_the_workspace_and_programs() {
        let workspace = Workspace::find().unwrap();
        assert!(workspace.path("crates/xtask").is_dir());
        let log = workspace.state("fmt.log");
        assert_eq!(workspace.display(&log).to_string(), "target/xtask/fmt.log");
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-here").is_none());
    }
}
