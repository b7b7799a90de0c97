//! The compiler of what comes with its own build of the standard library (`-Z build-std`): WebAssembly, and the programs
//! for other machines.
//!
//! That asks for the library's source and for `RUSTC_BOOTSTRAP=1`. The compiler is rustup's where that has or gets the
//! source (`rust-src`), else Debian's (`rustc-web`).

use std::path::Path;
use std::process::Command;

use crate::error::Error;
use crate::job;
use crate::setup;
use crate::workspace::{Purpose, Workspace, find_program};

const DEBIAN_PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];

/// Which compiler it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compiler {
    Rustup,
    Debian,
}

impl Compiler {
    /// Finds a compiler that has the standard library's source, and installs what is missing.
    pub(crate) fn with_source(workspace: &Workspace) -> Result<Self, Error> {
        if has_source(workspace, "rustc") {
            return Ok(Self::Rustup);
        }
        if find_program("rustup").is_some() {
            let mut command = workspace.command("rustup", Purpose::Install);
            command.args(["component", "add", "rust-src"]);
            // Where it fails, Debian's is tried.
            let _ = job::run(workspace, "setup-rust-src", "install rust-src", &mut [command])?;
            if has_source(workspace, "rustc") {
                return Ok(Self::Rustup);
            }
        }
        if !has_source(workspace, "/usr/bin/rustc") || find_program("wasm-ld").is_none() {
            setup::debian(workspace, "there is no source of Rust's standard library", &DEBIAN_PACKAGES)?;
        }
        Ok(Self::Debian)
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Self::Rustup => "rustup's, with the component rust-src",
            Self::Debian => "Debian's rustc-web, since rustup has no rust-src here",
        }
    }

    pub(crate) fn cargo(self, workspace: &Workspace) -> Command {
        let mut command = match self {
            Self::Rustup => workspace.cargo(),
            Self::Debian => workspace.command("/usr/bin/cargo", Purpose::Work),
        };
        self.choose(&mut command);
        command
    }

    /// Lets a command that starts cargo compile with this one, and build the standard library along.
    pub(crate) fn choose(self, command: &mut Command) {
        command.env("RUSTC_BOOTSTRAP", "1");
        if self == Self::Debian {
            command.env("CARGO", "/usr/bin/cargo").env("RUSTC", "/usr/bin/rustc").env_remove("RUSTUP_TOOLCHAIN");
        }
    }
}

fn has_source(workspace: &Workspace, rustc: &str) -> bool {
    let mut command = workspace.command(rustc, Purpose::Work);
    command.args(["--print", "sysroot"]);
    job::answer(command)
        .is_some_and(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file())
}
