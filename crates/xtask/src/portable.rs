//! Programs for older systems and for other machines: linked against the oldest glibc that the packages promise.
//!
//! A program that is linked here needs the glibc of this machine. Zig has the stubs of every version, for any processor, and
//! links against the one that `npm/platforms.json` names; `readelf` then says whether it came true.
//!
//! The standard library for this machine comes with the compiler. For others it is compiled along
//! ([`compiler`](crate::compiler)).

use std::path::{Path, PathBuf};

use crate::artifacts::{self, Profile, Programs, Scope};
use crate::compiler::Compiler;
use crate::error::Error;
use crate::job;
use crate::platform::{Kind, Platform, Platforms};
use crate::setup;
use crate::workspace::{Purpose, Workspace};

/// Builds the server and the addon for the oldest glibc of a platform. Where the platform has no glibc, the usual build is
/// as portable as it gets.
pub(crate) fn programs(workspace: &Workspace, profile: Profile, platform: &Platform<'_>) -> Result<Programs, Error> {
    let Some(floor) = platform.glibc() else {
        return artifacts::programs(workspace, profile, Scope::Programs);
    };
    let target = platform.target()?;
    let mut build = setup::zigbuild(workspace)?;
    build.args(["zigbuild", "--locked", "--profile", profile.name(), "--target", &format!("{target}.{floor}")]);
    build.args(["--package", "agb-server", "--package", "agb-node"]);
    if !platform.is_host() {
        Compiler::with_source(workspace)?.choose(&mut build);
        build.args(["-Z", "build-std=std"]);
    }
    let label = format!("build the server and the addon for {}, glibc {floor} ({})", platform.name()?, profile.name());
    job::prepare(workspace, "build-portable", &label, &mut [build])?;

    let folder = folder(workspace, profile, platform)?;
    let built = |kind| -> Result<_, Error> {
        let file = folder.join(platform.artifact(kind)?);
        check(workspace, &file, floor)?;
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
fn check(workspace: &Workspace, file: &Path, floor: &str) -> Result<(), Error> {
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
    let mut readelf = workspace.command("readelf", Purpose::Work);
    readelf.args(["--version-info", "--wide"]).arg(file);
    let info = job::answer(readelf)
        .ok_or_else(|| Error::Failed(format!("readelf cannot read {}", workspace.display(file))))?;
    newest(&info).ok_or_else(|| Error::Failed(format!("{} names no version of glibc", workspace.display(file))))
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
    fn finds_the_newest_version() {
        let info = "0x0010:   Name: GLIBC_2.3  Flags: none\n  0x0020: Name: GLIBC_2.28\n Name: GLIBC_2.9.1 Name: GLIBC_PRIVATE";
        assert_eq!(newest(info), Some((2, 28)));
        assert_eq!(newest("GLIBCXX_3.4"), None);
        assert!(number("2.34").unwrap() > number("2.4").unwrap());
    }
}
