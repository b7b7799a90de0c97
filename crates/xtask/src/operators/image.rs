//! The container image: a minimal Debian with the Debian package, Python and Node, put together without a daemon.
//!
//! `examples/deploy/Dockerfile` has the same steps for those who build with Docker or Podman; a test builds it as well and
//! compares.

use std::fs;
use std::path::{Path, PathBuf};

use super::{VERSION, architecture};
use crate::error::Error;
use crate::files::{empty, remove};
use crate::job;
use crate::setup;
use crate::workspace::{Purpose, Workspace};

const SUITE: &str = "bookworm";

/// Packs it and gives its file. Needs root: it makes a system in a folder.
pub(super) fn pack(workspace: &Workspace, deb: &Path, folder: &Path) -> Result<PathBuf, Error> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::Failed(
            "the image is made of a system in a folder, which only root can make: use sudo".into(),
        ));
    }
    setup::programs_of_debian(workspace, &[("debootstrap", "debootstrap"), ("buildah", "buildah")])?;
    let root = super::system(workspace);
    make_system(workspace, &root, deb)?;
    let storage = workspace.state("image/storage");
    remove(&storage)?;
    let file = folder.join(format!("agb-server-{VERSION}-{}.oci.tar", architecture()?));
    remove(&file)?;
    let buildah = |arguments: &[&str]| {
        let mut command = workspace.command("buildah", Purpose::Work);
        command.arg("--root").arg(storage.join("root")).arg("--runroot").arg(storage.join("run"));
        // Needs no file system of its own, and works inside of a container.
        command.args(["--storage-driver", "vfs"]).args(arguments);
        command
    };
    let mut add = buildah(&["add", "--quiet", "agb"]);
    add.arg(&root).arg("/");
    let mut commit = buildah(&["commit", "--quiet", "--format", "oci", "--disable-compression=false", "agb"]);
    commit.arg(format!("oci-archive:{}:agb-server:{VERSION}", file.display()));
    let version = format!("org.opencontainers.image.version={VERSION}");
    let configure = buildah(&[
        "config",
        "--entrypoint",
        r#"["/usr/bin/agb-server"]"#,
        "--cmd",
        // In a container the network is its own, and what is in front of it encrypts.
        "serve --listen 0.0.0.0:8080 --insecure-listen",
        "--user",
        "agb-server",
        "--workingdir",
        "/var/lib/agb-server",
        "--env",
        "HOME=/var/lib/agb-server",
        "--env",
        "AGB_CACHE=/var/cache/agb-server",
        "--port",
        "8080/tcp",
        "--volume",
        "/var/lib/agb-server",
        "--label",
        "org.opencontainers.image.title=agb-server",
        "--label",
        "org.opencontainers.image.licenses=MIT OR Apache-2.0",
        "--label",
        &version,
        "agb",
    ]);
    let mut commands = [buildah(&["from", "--name", "agb", "scratch"]), add, configure, commit];
    let packed = job::prepare(workspace, "pack-image", "pack the container image", &mut commands);
    remove(&storage)?;
    packed.map(|()| file)
}

/// Makes a Debian in a folder with the package installed.
fn make_system(workspace: &Workspace, root: &Path, deb: &Path) -> Result<(), Error> {
    empty(root)?;
    let mut make = workspace.command("debootstrap", Purpose::Install);
    // Without an address it takes Debian's own mirror.
    make.args(["--variant=minbase", SUITE]).arg(root);
    let base = super::base_system(workspace);
    remove(&base)?;
    let mut keep = workspace.command("cp", Purpose::Work);
    keep.args(["--archive", "--reflink=auto"]).arg(root).arg(&base);
    job::prepare(workspace, "pack-debootstrap", "make a minimal Debian", &mut [make, keep])?;

    let inside = root.join("agb-server.deb");
    fs::copy(deb, &inside).map_err(Error::file(&inside))?;
    let mut install = workspace.command("chroot", Purpose::Install);
    install.arg(root).args(["sh", "-ec", INSTALL]);
    job::prepare(workspace, "pack-install", "install the Debian package in it", &mut [install])?;
    fs::remove_file(&inside).map_err(Error::file(&inside))
}

/// With what it recommends, Python and Node; and without what only `apt` needs. Each installation makes its own key: none is
/// in an image.
const INSTALL: &str = "\
export DEBIAN_FRONTEND=noninteractive
apt-get install --yes --quiet ca-certificates ./agb-server.deb
rm -f /etc/agb-server/keys
install -d -o agb-server -g agb-server /var/lib/agb-server /var/cache/agb-server
apt-get clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/*.log /var/log/apt
";
