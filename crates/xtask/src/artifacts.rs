//! What the project builds: the server, the addon where the SDK looks for it, the packages' JavaScript.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use crate::error::Error;
use crate::job;
use crate::platform::{Kind, Platforms};
use crate::setup;
use crate::workspace::{Purpose, Workspace};

/// How the Rust programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// For tests, the demo and day-to-day work.
    Dev,
    /// What is packed and benchmarked.
    Release,
}

impl Profile {
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Profile::Dev => "debug",
            Profile::Release => "release",
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Profile::Dev => "dev",
            Profile::Release => "release",
        }
    }
}

impl FromStr for Profile {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "dev" => Ok(Profile::Dev),
            "release" => Ok(Profile::Release),
            other => Err(Error::Usage(format!("the profile is dev or release, not {other}"))),
        }
    }
}

/// The Rust programs that npm packages carry.
pub(crate) struct Programs {
    /// `agb-server`.
    pub(crate) server: PathBuf,
    /// The addon, a shared library.
    addon: PathBuf,
}

impl Programs {
    pub(crate) fn new(server: PathBuf, addon: PathBuf) -> Self {
        Self { server, addon }
    }

    pub(crate) fn of(&self, kind: Kind) -> &Path {
        match kind {
            Kind::Sdk => &self.addon,
            Kind::Local => &self.server,
        }
    }
}

/// How much is built at once.
///
/// Cargo unites the features of what it builds together, so the same crate built for another selection is another
/// build of it. Whoever needs the tests as well as the programs builds both with [`Scope::Workspace`], once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The server, the addon and the tests' proxy: the least that the demo needs.
    Programs,
    /// All crates with their tests and examples.
    Workspace,
}

impl Scope {
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Scope::Programs => &["-p", "agb-server", "-p", "agb-node", "-p", "agb-testkit"],
            Scope::Workspace => &["--workspace", "--all-targets"],
        }
    }

    fn label(self) -> &'static str {
        match self {
            Scope::Programs => "the server and the addon",
            Scope::Workspace => "all crates and their tests",
        }
    }
}

/// `cargo xtask node`.
pub(crate) fn node(workspace: &Workspace, profile: Profile) -> Result<ExitCode, Error> {
    typescript(workspace)?;
    let addon = place_addon(workspace, &programs(workspace, profile, Scope::Programs)?)?;
    println!("{}", workspace.display(&addon));
    Ok(ExitCode::SUCCESS)
}

/// Builds the server and the addon, with whatever else `scope` names.
pub(crate) fn programs(workspace: &Workspace, profile: Profile, scope: Scope) -> Result<Programs, Error> {
    let mut command = workspace.cargo();
    command.args(["build", "--profile", profile.name()]).args(scope.arguments());
    let label = format!("build {} ({})", scope.label(), profile.name());
    job::prepare(workspace, "build", &label, &mut [command])?;
    built_programs(workspace, profile)
}

/// The server and the addon of the last build.
pub(crate) fn built_programs(workspace: &Workspace, profile: Profile) -> Result<Programs, Error> {
    let platforms = Platforms::read(workspace)?;
    let host = platforms.host()?;
    let built = |kind| {
        let file = workspace.target(profile.folder()).join(host.artifact(kind)?);
        match file.is_file() {
            true => Ok(file),
            false => Err(Error::Failed(format!("there is no {}: build it first", workspace.display(&file)))),
        }
    };
    Ok(Programs::new(built(Kind::Local)?, built(Kind::Sdk)?))
}

/// Puts the addon where the SDK's loader looks in a checkout.
pub(crate) fn place_addon(workspace: &Workspace, programs: &Programs) -> Result<PathBuf, Error> {
    let platforms = Platforms::read(workspace)?;
    let place = workspace.path("npm/sdk/native").join(platforms.host()?.file(Kind::Sdk)?);
    let _lock = workspace.lock()?;
    replace(&programs.addon, &place)?;
    Ok(place)
}

/// Compiles the npm packages' TypeScript, which is quick when nothing has changed.
pub(crate) fn typescript(workspace: &Workspace) -> Result<(), Error> {
    setup::npm(workspace)?;
    let _lock = workspace.lock()?;
    let mut command = workspace.command("npm", Purpose::Work);
    command.args(["run", "--silent", "build"]).current_dir(workspace.path("npm"));
    job::prepare(workspace, "typescript", "compile the npm packages", &mut [command])
}

/// Copies `from` to `to` unless it is the same already. A process that has the old file mapped keeps it.
pub(crate) fn replace(from: &Path, to: &Path) -> Result<(), Error> {
    let new = fs::read(from).map_err(Error::file(from))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    let folder = to.parent().expect("a file lies in a folder");
    fs::create_dir_all(folder).map_err(Error::file(folder))?;
    let mut aside = to.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    fs::copy(from, &aside).map_err(Error::file(&aside))?;
    fs::rename(&aside, to).map_err(Error::file(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_profiles() {
        assert_eq!("dev".parse::<Profile>().unwrap(), Profile::Dev);
        assert_eq!("release".parse::<Profile>().unwrap(), Profile::Release);
        assert!("debug".parse::<Profile>().is_err());
    }

    #[test]
    fn replaces_a_file_and_leaves_an_equal_one_alone() {
        let folder = std::env::temp_dir().join(format!("xtask-replace-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (from, to) = (folder.join("from"), folder.join("deep/to"));
        fs::write(&from, "1").unwrap();
        replace(&from, &to).unwrap();
        let first = fs::metadata(&to).unwrap().modified().unwrap();
        replace(&from, &to).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), first);
        fs::write(&from, "2").unwrap();
        replace(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "2");
        fs::remove_dir_all(folder).unwrap();
    }
}
