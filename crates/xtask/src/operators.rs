//! `cargo xtask pack --deb --wheel --image`: the server where operators look for it.
//!
//! ```text
//! agb-server (for an old glibc) ──► deb ──► image: a Debian with the .deb installed
//!                               └─► wheel
//! ```
//!
//! What is in them besides the program is in `crates/server/packaging`.

mod deb;
mod image;

use std::fs;
use std::path::{Path, PathBuf};

use crate::artifacts::Profile;
use crate::error::Error;
use crate::files;
use crate::job;
use crate::portable;
use crate::setup;
use crate::workspace::{Purpose, Workspace, find_program};

/// All packages and crates have one version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A package of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Package {
    /// For Debian and what is made of it, with a systemd unit.
    Deb,
    /// For `pip install`.
    Wheel,
    /// For container engines: an OCI image in an archive.
    Image,
}

impl Package {
    pub(crate) const ALL: [Self; 3] = [Self::Deb, Self::Wheel, Self::Image];

    /// As `pack` is told.
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::Deb => "--deb",
            Self::Wheel => "--wheel",
            Self::Image => "--image",
        }
    }
}

/// Leaves packages of this server program in `target/packages`.
pub(crate) fn pack(workspace: &Workspace, packages: &[Package], server: &Path) -> Result<Vec<PathBuf>, Error> {
    pack_into(workspace, packages, server, workspace.target("packages"))
}

/// Packs what the tests try, and installs what they try it with.
pub(crate) fn for_tests(workspace: &Workspace) -> Result<(), Error> {
    let needed: setup::OfDebian = &[("lintian", "lintian"), ("runc", "runc"), ("systemd-analyze", "systemd")];
    setup::programs_of_debian(workspace, needed)?;
    let programs = portable::host_programs(workspace, Profile::Dev)?;
    let folder = test_folder(workspace);
    files::remove(&folder)?;
    pack_into(workspace, &Package::ALL, &programs.server, folder).map(drop)
}

/// Where [`for_tests`] leaves the packages: those to publish are elsewhere.
pub(crate) fn test_folder(workspace: &Workspace) -> PathBuf {
    workspace.target("packages-dev")
}

/// The minimal Debian with the package in it that the image was made of.
pub(crate) fn system(workspace: &Workspace) -> PathBuf {
    workspace.state("image/root")
}

/// The same before the package was installed.
pub(crate) fn base_system(workspace: &Workspace) -> PathBuf {
    workspace.state("image/base")
}

fn pack_into(
    workspace: &Workspace,
    packages: &[Package],
    server: &Path,
    folder: PathBuf,
) -> Result<Vec<PathBuf>, Error> {
    fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    let mut packed = Vec::new();
    if packages.contains(&Package::Wheel) {
        packed.push(wheel(workspace, server, &folder)?);
    }
    if packages.contains(&Package::Deb) || packages.contains(&Package::Image) {
        packed.push(deb::pack(workspace, server, &folder)?);
    }
    if packages.contains(&Package::Image) {
        let deb = packed.last().expect("it was packed above").clone();
        packed.push(image::pack(workspace, &deb, &folder)?);
    }
    Ok(packed)
}

fn wheel(workspace: &Workspace, server: &Path, folder: &Path) -> Result<PathBuf, Error> {
    let (major, minor) = portable::needs(workspace, server)?;
    let platform = format!("manylinux_{major}_{minor}_{}", std::env::consts::ARCH);
    let python =
        find_program("python3").ok_or_else(|| Error::Failed("a wheel is made by python3; install it".into()))?;
    let mut build = workspace.command(python, Purpose::Work);
    build.arg(source(workspace, "python/build.py")).arg(server).args([VERSION, &platform]);
    build.args(["LICENSE-APACHE", "LICENSE-MIT"].map(|licence| workspace.path(licence))).arg(folder);
    job::prepare(workspace, "pack-wheel", "pack the wheel", &mut [build])?;
    Ok(folder.join(format!("agb_server-{VERSION}-py3-none-{platform}.whl")))
}

/// Where a file of `crates/server/packaging` is.
fn source(workspace: &Workspace, file: &str) -> PathBuf {
    workspace.path("crates/server/packaging").join(file)
}

/// Debian's name for this machine's architecture.
fn architecture() -> Result<&'static str, Error> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => Err(Error::Failed(format!("Debian's name for {other} is not known here; add it"))),
    }
}
