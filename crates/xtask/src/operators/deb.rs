//! The Debian package: the program, a hardened systemd unit, a user, settings, completions.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{VERSION, architecture, source};
use crate::error::Error;
use crate::files::{remove, tree_size};
use crate::job;
use crate::portable;
use crate::workspace::{Purpose, Workspace};

/// What is copied as it is, where to, and its mode.
const FILES: [(&str, &str, u32); 8] = [
    ("agb-server.service", "lib/systemd/system/agb-server.service", 0o644),
    ("default", "etc/default/agb-server", 0o644),
    ("copyright", "usr/share/doc/agb-server/copyright", 0o644),
    ("agb-server.1", "usr/share/man/man1/agb-server.1", 0o644),
    ("lintian-overrides", "usr/share/lintian/overrides/agb-server", 0o644),
    ("postinst", "DEBIAN/postinst", 0o755),
    ("prerm", "DEBIAN/prerm", 0o755),
    ("postrm", "DEBIAN/postrm", 0o755),
];
/// Where each shell looks for completions of packages.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/agb-server"),
    ("zsh", "usr/share/zsh/vendor-completions/_agb-server"),
    ("fish", "usr/share/fish/vendor_completions.d/agb-server.fish"),
];

/// Packs it and gives its file.
pub(super) fn pack(workspace: &Workspace, server: &Path, folder: &Path) -> Result<PathBuf, Error> {
    let architecture = architecture()?;
    let (major, minor) = portable::needs(workspace, server)?;
    let _lock = workspace.lock()?;
    let stage = workspace.state("deb");
    remove(&stage)?;
    let program = place(&stage, "usr/bin/agb-server", &fs::read(server).map_err(Error::file(server))?, 0o755)?;
    for (from, to, mode) in FILES {
        let from = source(workspace, "deb").join(from);
        place(&stage, to, &fs::read(&from).map_err(Error::file(&from))?, mode)?;
    }
    for (shell, to) in COMPLETIONS {
        let mut command = workspace.command(server, Purpose::Work);
        command.args(["completions", shell]);
        let script = job::answer(command)
            .ok_or_else(|| Error::Failed(format!("{} gives no completions for {shell}", workspace.display(server))))?;
        place(&stage, to, format!("{script}\n").as_bytes(), 0o644)?;
    }
    let mut date = workspace.command("date", Purpose::Work);
    date.args(["--rfc-email", "--utc"]);
    let date = job::answer(date).ok_or_else(|| Error::Failed("date gives no date".into()))?;
    let changelog = format!(
        "agb-server ({VERSION}) stable; urgency=medium\n\n  * See the project's CHANGELOG.\n\n -- The AGB client contributors \
         <{MAINTAINER}>  {date}\n"
    );
    place(&stage, "usr/share/doc/agb-server/changelog", changelog.as_bytes(), 0o644)?;

    let mut compress = workspace.command("gzip", Purpose::Work);
    compress.args(["-9", "--no-name"]).current_dir(&stage);
    compress.args(["usr/share/doc/agb-server/changelog", "usr/share/man/man1/agb-server.1"]);
    // What is not needed to run, such as the symbols of a build for tests, is not installed.
    let mut strip = workspace.command("strip", Purpose::Work);
    strip.args(["--remove-section=.comment", "--remove-section=.note"]).arg(&program);
    job::prepare(workspace, "pack-deb-stage", "prepare the Debian package", &mut [compress, strip])?;

    let size = tree_size(&stage)?.div_ceil(1024);
    place(&stage, "DEBIAN/control", control(architecture, &format!("{major}.{minor}"), size).as_bytes(), 0o644)?;
    place(&stage, "DEBIAN/conffiles", b"/etc/default/agb-server\n", 0o644)?;
    let mut sums = workspace.command("sh", Purpose::Work);
    sums.args(["-c", "find etc lib usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum > DEBIAN/md5sums"]);
    sums.current_dir(&stage);
    let file = folder.join(format!("agb-server_{VERSION}_{architecture}.deb"));
    let mut build = workspace.command("dpkg-deb", Purpose::Work);
    build.args(["--root-owner-group", "-Zxz", "--build"]).arg(&stage).arg(&file);
    job::prepare(workspace, "pack-deb", "pack the Debian package", &mut [sums, build])?;
    Ok(file)
}

/// A package needs somebody to write to. There is no address yet that is true, and `.invalid` would look like one.
const MAINTAINER: &str = "agb-server@localhost";

fn control(architecture: &str, glibc: &str, kibibytes: u64) -> String {
    format!(
        "Package: agb-server
Version: {VERSION}
Architecture: {architecture}
Maintainer: The AGB client contributors <{MAINTAINER}>
Section: net
Priority: optional
Installed-Size: {kibibytes}
Depends: libc6 (>= {glibc}), libgcc-s1, adduser
Recommends: python3, python3-venv, nodejs
Suggests: r-base-core, openjdk-17-jdk-headless | default-jdk-headless
Description: code interpreter service with live output
 Programs in Python, JavaScript, R and Java run in sandboxes on this machine;
 what they print reaches the client the moment it is printed, and survives a
 lost connection. Published clients of AGB's service work against it.
 .
 The package brings a systemd service that listens on the loopback interface.
"
    )
}

fn place(stage: &Path, to: &str, content: &[u8], mode: u32) -> Result<PathBuf, Error> {
    let path = stage.join(to);
    let folder = path.parent().expect("a file lies in a folder");
    fs::create_dir_all(folder).map_err(Error::file(folder))?;
    // Folders as packages have them, whatever the mask of whoever packs.
    for folder in folder.ancestors().take_while(|folder| folder.starts_with(stage)) {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).map_err(Error::file(folder))?;
    }
    fs::write(&path, content).map_err(Error::file(&path))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(Error::file(&path))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn every_file_is_there_and_the_control_file_names_what_it_needs() {
        let workspace = Workspace::find().unwrap();
        for (from, ..) in FILES {
            assert!(source(&workspace, "deb").join(from).is_file(), "{from}");
        }
        let control = control("amd64", "2.28", 1234);
        assert!(control.contains("libc6 (>= 2.28)") && control.ends_with(".\n"), "{control}");
        assert!(control.lines().all(|line| line.len() <= 100 && !line.is_empty()), "{control}");
    }
}
