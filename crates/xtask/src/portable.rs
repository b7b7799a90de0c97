//! Programs for older systems and for other machines: linked against the oldest glibc that the packages promise, or for musl.
//!
//! A program that is linked here needs the glibc of this machine. Zig has the stubs of every version, for any processor, and
//! links against the one that `npm/platforms.json` names; `readelf` then says whether it came true.
//!
//! For musl the server is a program without any library, which runs on every Linux. The addon shares the library that its Node has:
//! two in one process would have two allocators.
//!
//! The standard library for this machine comes with the compiler. For others it is compiled along
//! ([`compiler`](crate::compiler)).

use std::path::{Path, PathBuf};

use crate::artifacts::{self, Profile, Programs, Scope};
use crate::compiler::Compiler;
use crate::error::Error;
use crate::job;
use crate::platform::{Kind, Libc, Platform, Platforms};
use crate::setup;
use crate::workspace::{Purpose, Workspace};

/// Builds the server and the addon for the C library of a platform. Where the platform has none of its own, the usual build
/// is as portable as it gets.
pub(crate) fn programs(workspace: &Workspace, profile: Profile, platform: &Platform<'_>) -> Result<Programs, Error> {
    let Some(libc) = platform.libc() else {
        return artifacts::programs(workspace, profile, Scope::Programs);
    };
    let target = platform.target()?;
    let mut build = setup::zigbuild(workspace)?;
    build.args(["zigbuild", "--locked", "--profile", profile.name()]);
    build.args(["--package", "agb-server", "--package", "agb-node"]);
    match libc {
        Libc::Glibc(floor) => build.args(["--target", &format!("{target}.{floor}")]),
        Libc::Musl => {
            // Without it there are no shared libraries for musl. Zig links programs without libraries all the same.
            let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
            build.args(["--target", target]).env(variable, "-C target-feature=-crt-static")
        }
    };
    if !platform.is_host() {
        Compiler::with_source(workspace)?.choose(&mut build);
        build.args(["-Z", "build-std=std"]);
    }
    let label = format!("build the server and the addon for {}, {libc} ({})", platform.name()?, profile.name());
    job::prepare(workspace, "build-portable", &label, &mut [build])?;

    let folder = folder(workspace, profile, platform)?;
    let built = |kind| -> Result<_, Error> {
        let file = folder.join(platform.artifact(kind)?);
        match libc {
            Libc::Glibc(floor) => check_glibc(workspace, &file, floor)?,
            Libc::Musl => check_musl(workspace, &file, kind)?,
        }
        Ok(file)
    };
    Ok(Programs::new(built(Kind::Local)?, built(Kind::Sdk)?))
}

/// The programs for the machine that we run on.
pub(crate) fn host_programs(workspace: &Workspace, profile: Profile) -> Result<Programs, Error> {
    programs(workspace, profile, &Platforms::read(workspace)?.host()?)
}

/// Where [`programs`] leaves them.
pub(crate) fn folder(workspace: &Workspace, profile: Profile, platform: &Platform<'_>) -> Result<PathBuf, Error> {
    Ok(workspace.target(platform.target()?).join(profile.folder()))
}

/// Refuses a program that needs a newer glibc than `floor`.
fn check_glibc(workspace: &Workspace, file: &Path, floor: &str) -> Result<(), Error> {
    match needs(workspace, file)? {
        needed if needed <= number(floor).unwrap_or_default() => Ok(()),
        (major, minor) => Err(Error::Failed(format!(
            "{} needs glibc {major}.{minor}, and its package promises {floor}",
            workspace.display(file)
        ))),
    }
}

/// The oldest glibc with which a program runs.
pub(crate) fn needs(workspace: &Workspace, file: &Path) -> Result<(u32, u32), Error> {
    let info = readelf(workspace, file, "--version-info")?;
    newest(&info).ok_or_else(|| Error::Failed(format!("{} names no version of glibc", workspace.display(file))))
}

/// Refuses a server that needs any library, and an addon that needs another one than musl.
fn check_musl(workspace: &Workspace, file: &Path, kind: Kind) -> Result<(), Error> {
    let allowed: &[&str] = match kind {
        Kind::Local => &[],
        Kind::Sdk => &["libc.so"],
    };
    let info = readelf(workspace, file, "--dynamic")?;
    match libraries(&info).find(|library| !allowed.contains(library)) {
        None => Ok(()),
        Some(library) => Err(Error::Failed(format!(
            "{} needs the library {library}, and its package promises to need {}",
            workspace.display(file),
            if allowed.is_empty() { "none" } else { "musl alone" }
        ))),
    }
}

fn readelf(workspace: &Workspace, file: &Path, option: &str) -> Result<String, Error> {
    let mut readelf = workspace.command("readelf", Purpose::Work);
    readelf.args([option, "--wide"]).arg(file);
    job::answer(readelf).ok_or_else(|| Error::Failed(format!("readelf cannot read {}", workspace.display(file))))
}

/// The libraries that are named as needed.
fn libraries(info: &str) -> impl Iterator<Item = &str> {
    let needed = info.lines().filter(|line| line.contains("(NEEDED)"));
    needed.filter_map(|line| line.split_once('[')?.1.split_once(']')).map(|(library, _)| library)
}

/// The newest glibc that is named.
fn newest(info: &str) -> Option<(u32, u32)> {
    info.split("GLIBC_").skip(1).filter_map(number).max()
}

/// `2.28` at the beginning of a text.
fn number(text: &str) -> Option<(u32, u32)> {
    let end = text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let mut parts = text[..end].split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_needed_libraries() {
        let info = "\n 0x01 (NEEDED)   Shared library: [libc.so]\n 0x0e (SONAME)  Library soname: [liba.so]\n 0x01 (NEEDED)  Shared library: [libm.so.6]";
        assert_eq!(libraries(info).collect::<Vec<_>>(), ["libc.so", "libm.so.6"]);
        assert_eq!(libraries("There is no dynamic section in this file.").count(), 0);
    }

    #[test]
    fn finds_the_newest_version() {
        let info = "0x0010:   Name: GLIBC_2.3  Flags: none\n  0x0020: Name: GLIBC_2.28\n Name: GLIBC_2.9.1 Name: GLIBC_PRIVATE";
        assert_eq!(newest(info), Some((2, 28)));
        assert_eq!(newest("GLIBCXX_3.4"), None);
        assert!(number("2.34").unwrap() > number("2.4").unwrap());
    }
}
