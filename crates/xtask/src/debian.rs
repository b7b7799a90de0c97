//! Programs of Debian's packages, unpacked below `target/tools`: nothing is installed, and no service is started.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::error::Error;
use crate::job;
use crate::setup;
use crate::stamp::{Fingerprint, Stamp};
use crate::workspace::{Purpose, Workspace, find_program};

/// A program of a Debian package, and the folder of the libraries that came with it.
pub(crate) struct Unpacked {
    pub(crate) program: PathBuf,
    pub(crate) libraries: PathBuf,
}

impl Unpacked {
    /// The program as a command that finds its libraries.
    pub(crate) fn command(&self, workspace: &Workspace) -> Command {
        let mut command = workspace.command(&self.program, Purpose::Work);
        command.env("LD_LIBRARY_PATH", &self.libraries);
        command
    }
}

/// What the files of `examples/deploy` are tried with.
pub(crate) fn balancers(workspace: &Workspace) -> Result<(), Error> {
    unpacked(workspace, &["nginx"], "usr/sbin/nginx")?;
    haproxy(workspace)?;
    setup::programs_of_debian(workspace, &[("systemd-analyze", "systemd")])
}

/// What the tests of clusters need: etcd, its client, and clocks that are wrong.
pub(crate) fn for_clusters(workspace: &Workspace) -> Result<(), Error> {
    unpacked(workspace, &["etcd-server"], "usr/bin/etcd")?;
    unpacked(workspace, &["etcd-client"], "usr/bin/etcdctl")?;
    let library = format!("usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    unpacked(workspace, &["libfaketime"], &library)?;
    Ok(())
}

/// HAProxy, with the libraries that Debian has for it alone.
pub(crate) fn haproxy(workspace: &Workspace) -> Result<Unpacked, Error> {
    let packages = ["haproxy", "libopentracing-c-wrapper0", "libopentracing1", "liblua5.3-0"];
    unpacked(workspace, &packages, "usr/sbin/haproxy")
}

/// The proxy of nghttp2, with HTTP/2 to both sides.
pub(crate) fn nghttpx(workspace: &Workspace) -> Result<(), Error> {
    let packages = ["nghttp2-proxy", "libnghttp2-14", "libc-ares2", "libev4", "libjemalloc2"];
    unpacked(workspace, &packages, "usr/sbin/nghttpx").map(drop)
}

/// Makes sure that these packages are unpacked; the first one's name is that of their folder, with a dash where it names a
/// processor (`musl:arm64`). `program` is a path in them.
pub(crate) fn unpacked(workspace: &Workspace, packages: &[&str], program: &str) -> Result<Unpacked, Error> {
    unpacked_from(workspace, Release::Ours, packages, program)
}

/// The same with the packages of a release.
pub(crate) fn unpacked_from(
    workspace: &Workspace,
    release: Release,
    packages: &[&str],
    program: &str,
) -> Result<Unpacked, Error> {
    let _lock = workspace.lock()?;
    let name = &packages[0].replace(':', "-");
    let folder = workspace.target(&format!("tools/{name}"));
    let architecture = std::env::consts::ARCH;
    let found =
        Unpacked { program: folder.join(program), libraries: folder.join(format!("usr/lib/{architecture}-linux-gnu")) };
    let mut fingerprint = Fingerprint::new();
    if let Release::Other(release) = release {
        fingerprint.add(release);
    }
    packages.iter().for_each(|package| fingerprint.add(package));
    let stamp = Stamp::new(workspace, &format!("tools-{name}"), fingerprint);
    if stamp.is_current() && found.program.is_file() {
        return Ok(found);
    }
    if find_program("apt-get").is_none() || find_program("dpkg-deb").is_none() {
        let list = packages.join(" ");
        return Err(Error::Failed(format!(
            "{program} is missing: it is unpacked from Debian's {list}, by apt-get and dpkg-deb"
        )));
    }
    stamp.invalidate()?;
    let mut download = release.apt_get(workspace, processor(packages[0]))?;
    let downloads = folder.join("packages");
    fs::create_dir_all(&downloads).map_err(Error::file(&downloads))?;
    download.arg("download").args(packages).current_dir(&downloads);
    job::prepare(workspace, &format!("tools-{name}"), &format!("download Debian's {name}"), &mut [download])?;
    for entry in fs::read_dir(&downloads).map_err(Error::file(&downloads))?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "deb") {
            let mut unpack = workspace.command("dpkg-deb", Purpose::Work);
            unpack.arg("--extract").arg(entry.path()).arg(&folder);
            job::prepare(workspace, &format!("tools-{name}"), "unpack it", &mut [unpack])?;
        }
    }
    fs::remove_dir_all(&downloads).map_err(Error::file(&downloads))?;
    stamp.set()?;
    Ok(found)
}

/// Whose packages: they are downloaded and unpacked, so the system's own stay what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// Those that this system installs.
    Ours,
    /// Those of the release with this code name, from the mirror that this system uses.
    Other(&'static str),
}

/// What apt of a release trusts: the keys that Debian's releases are signed with.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

impl Release {
    /// `apt-get` that knows the release's packages of today, for this machine or for another processor, which only the
    /// packages of an other release can be for.
    fn apt_get(self, workspace: &Workspace, processor: Option<&str>) -> Result<Command, Error> {
        let Self::Other(release) = self else {
            setup::read_package_lists(workspace)?;
            return Ok(workspace.command("apt-get", Purpose::Install));
        };
        let lists = processor.map_or_else(|| release.to_owned(), |processor| format!("{release}-{processor}"));
        let folder = workspace.state(&format!("apt-{lists}"));
        for part in ["sources", "lists/partial", "cache/archives/partial"] {
            let part = folder.join(part);
            fs::create_dir_all(&part).map_err(Error::file(&part))?;
        }
        let sources = folder.join("sources/debian.list");
        let source = source(&mirror(workspace)?, release, processor);
        fs::write(&sources, source).map_err(Error::file(&sources))?;
        let apt_get = || {
            let mut command = workspace.command("apt-get", Purpose::Install);
            for (option, place) in [("Etc::sourceparts", "sources"), ("State::lists", "lists"), ("Cache", "cache")] {
                command.arg("-o").arg(format!("Dir::{option}={}", folder.join(place).display()));
            }
            command.args(["-o", "Dir::Etc::sourcelist=/dev/null"]);
            if let Some(processor) = processor {
                command.arg("-o").arg(format!("APT::Architectures::={processor}"));
            }
            command
        };
        let mut update = apt_get();
        update.arg("update");
        let label = format!("read the package lists of Debian {lists}");
        job::prepare(workspace, &format!("setup-apt-{lists}"), &label, &mut [update])?;
        Ok(apt_get())
    }
}

/// What processor a package is for, where its name says so: `arm64` of `musl:arm64`.
fn processor(package: &str) -> Option<&str> {
    package.split_once(':').map(|(_, processor)| processor)
}

/// The line that tells apt where a release is.
fn source(mirror: &str, release: &str, processor: Option<&str>) -> String {
    let processor = processor.map(|processor| format!("arch={processor} ")).unwrap_or_default();
    format!("deb [target=Packages {processor}signed-by={KEYS}] {mirror} {release} main\n")
}

/// Where this system gets Debian's packages.
fn mirror(workspace: &Workspace) -> Result<String, Error> {
    setup::read_package_lists(workspace)?;
    let mut targets = workspace.command("apt-get", Purpose::Install);
    targets.args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "Origin: Debian",
        "Label: Debian",
    ]);
    let known = job::answer(targets).unwrap_or_default();
    known.lines().next().map(str::to_owned).ok_or_else(|| {
        Error::Failed("apt knows no mirror of Debian, whose newer packages the tests need: run them on Debian".into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_has_a_source() {
        let line = source("http://mirror.test/debian/", "trixie", None);
        assert_eq!(line, format!("deb [target=Packages signed-by={KEYS}] http://mirror.test/debian/ trixie main\n"));
        let line = source("http://mirror.test/debian/", "trixie", processor("musl:arm64"));
        assert!(line.starts_with("deb [target=Packages arch=arm64 signed-by="), "{line}");
        assert_eq!(processor("musl"), None);
    }
}
