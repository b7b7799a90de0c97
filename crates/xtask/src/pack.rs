//! `cargo xtask pack`: what would be published, as tarballs.
//!
//! Each package is put together in `target/xtask/pack/NAME` first: the two that people name as npm packs them in the
//! checkout, with what only the published ones have (the licences, the platform packages as optional dependencies),
//! and the platform packages from `npm/platforms.json` and the built programs: this machine's, and those that are asked
//! for. The packages that people name know the platforms that they are packed with, and no others.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::artifacts::{self, Profile, Programs, Scope};
use crate::error::Error;
use crate::files::{empty, tree_size};
use crate::job;
use crate::operators::{self, Package};
use crate::platform::{Kind, Platform, Platforms};
use crate::portable;
use crate::wasm;
use crate::workspace::{Purpose, Workspace};

const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];
/// What a `package.json` says of the repository.
const ADDRESSES: [&str; 3] = ["homepage", "bugs", "repository"];
/// All packages and crates have one version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A tarball.
pub(crate) struct Tarball {
    pub(crate) file: PathBuf,
    packed: u64,
    unpacked: u64,
}

/// What `cargo xtask pack` was told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Options<'a> {
    profile: Profile,
    /// The address of the repository that publishes. Default none: the packages name an address only when it is true,
    /// which the workflow that publishes knows.
    repository: Option<&'a str>,
    /// What to pack: the npm packages, or what was named.
    npm: bool,
    /// The platforms of the npm packages. Default this machine's alone: another one takes as long again to build.
    platforms: Vec<&'a str>,
    operators: Vec<Package>,
    /// The server program to pack for operators. Default: it is built for the oldest glibc.
    server: Option<&'a str>,
}

impl<'a> Options<'a> {
    /// The npm packages of a profile.
    fn of(profile: Profile) -> Self {
        Options { profile, repository: None, npm: true, platforms: Vec::new(), operators: Vec::new(), server: None }
    }

    pub(crate) fn parse(arguments: &[&'a str]) -> Result<Self, Error> {
        let mut options = Options { npm: false, ..Options::of(Profile::Release) };
        let mut rest = arguments.iter().copied();
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| Error::Usage(format!("pack {argument} needs a value")));
            match argument {
                "--npm" => options.npm = true,
                "--all" => (options.npm, options.operators) = (true, Package::ALL.to_vec()),
                "--platform" => options.platforms.push(value()?),
                "--server" => options.server = Some(value()?),
                "--profile" => options.profile = value()?.parse()?,
                "--repository" => {
                    let address = value().ok().filter(|address| address.starts_with("https://"));
                    let wrong =
                        || Error::Usage("pack --repository needs the https:// address of the repository".into());
                    let address = address.ok_or_else(wrong)?;
                    options.repository = Some(address.trim_end_matches('/').trim_end_matches(".git"));
                }
                flag => {
                    let package = Package::ALL.into_iter().find(|package| package.flag() == flag);
                    let package = package.ok_or_else(|| Error::Usage(format!("pack does not understand {flag}")))?;
                    options.operators.push(package);
                }
            }
        }
        options.npm |= options.operators.is_empty() || !options.platforms.is_empty();
        Ok(options)
    }

    /// Where the packages come from, and where to complain.
    fn addresses(&self) -> Vec<(&'static str, Value)> {
        let Some(address) = self.repository else {
            return Vec::new();
        };
        let values = [
            format!("{address}#readme").into(),
            json!({ "url": format!("{address}/issues") }),
            json!({ "type": "git", "url": format!("git+{address}.git") }),
        ];
        ADDRESSES.into_iter().zip(values).collect()
    }
}

/// `cargo xtask pack`.
pub(crate) fn run(workspace: &Workspace, options: &Options<'_>) -> Result<ExitCode, Error> {
    if !options.operators.is_empty() {
        for file in operators::pack(workspace, &options.operators, &server(workspace, options)?)? {
            let packed = fs::metadata(&file).map_err(Error::file(&file))?.len();
            println!("{}  {} packed", workspace.display(&file), size(packed));
        }
    }
    if !options.npm {
        return Ok(ExitCode::SUCCESS);
    }
    let tarballs = make(workspace, options, Scope::Programs, &folder(workspace, options.profile))?;
    let names: Vec<String> = tarballs.iter().map(|tarball| workspace.display(&tarball.file).to_string()).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0);
    for (tarball, name) in tarballs.iter().zip(&names) {
        println!("{name:width$}  {:>10} packed  {:>10} unpacked", size(tarball.packed), size(tarball.unpacked));
    }
    Ok(ExitCode::SUCCESS)
}

/// The server program for operators.
fn server(workspace: &Workspace, options: &Options<'_>) -> Result<PathBuf, Error> {
    if let Some(program) = options.server {
        return fs::canonicalize(program).map_err(Error::file(Path::new(program)));
    }
    Ok(portable::host_programs(workspace, options.profile)?.server)
}

/// Where the tarballs of a profile go: those of tests do not get in the way of those to publish.
pub(crate) fn folder(workspace: &Workspace, profile: Profile) -> PathBuf {
    workspace.target(match profile {
        Profile::Dev => "npm-dev",
        Profile::Release => "npm",
    })
}

/// Builds everything and leaves the tarballs in [`folder`]. `scope` says which build the programs come from.
pub(crate) fn pack(workspace: &Workspace, profile: Profile, scope: Scope) -> Result<Vec<Tarball>, Error> {
    make(workspace, &Options::of(profile), scope, &folder(workspace, profile))
}

/// Leaves the tarballs for all platforms in [`platforms_folder`], for tests.
pub(crate) fn pack_platforms(workspace: &Workspace) -> Result<(), Error> {
    let options = Options { platforms: vec!["all"], ..Options::of(Profile::Dev) };
    make(workspace, &options, Scope::Workspace, &platforms_folder(workspace)).map(drop)
}

/// Where [`pack_platforms`] leaves them: the other tests have this machine's alone.
pub(crate) fn platforms_folder(workspace: &Workspace) -> PathBuf {
    workspace.target("npm-platforms")
}

fn make(workspace: &Workspace, options: &Options<'_>, scope: Scope, folder: &Path) -> Result<Vec<Tarball>, Error> {
    let profile = options.profile;
    let platforms = Platforms::read(workspace)?;
    let platforms = chosen(&platforms, &options.platforms)?;
    if profile == Profile::Release {
        // What is published is compiled from nothing: no file of a source that is no more.
        for kind in Kind::ALL {
            empty(&workspace.path("npm").join(kind.folder()).join("dist"))?;
        }
    }
    artifacts::typescript(workspace)?;
    wasm::bundle(workspace)?;
    let mut built = Vec::new();
    for platform in platforms {
        // What is published runs on older systems than this one; what is tested is what the other tests have built.
        let usual = profile == Profile::Dev && platform.is_host();
        let programs = match usual {
            true => artifacts::programs(workspace, profile, scope)?,
            false => portable::programs(workspace, profile, &platform)?,
        };
        built.push((platform, programs));
    }

    let _lock = workspace.lock()?;
    let stage = workspace.state("pack");
    empty(&stage)?;
    let mut packages = Vec::new();
    for kind in Kind::ALL {
        let mut parent = manifest(&workspace.path("npm").join(kind.folder()))?;
        for (key, value) in options.addresses() {
            parent[key] = value;
        }
        packages.push(stage_parent(workspace, &stage, kind, &parent, &built)?);
        for (platform, programs) in &built {
            packages.push(stage_program(workspace, &stage, kind, &parent, platform, programs)?);
        }
    }

    empty(folder)?;
    let mut command = workspace.command("npm", Purpose::Work);
    command.args(["pack", "--silent", "--ignore-scripts", "--pack-destination"]).arg(folder).args(&packages);
    job::prepare(workspace, "pack", "pack the npm packages", &mut [command])?;
    packages.iter().map(|package| tarball(folder, package)).collect()
}

/// The platforms of these names: this machine's where there is none, and `all` means each.
fn chosen<'a>(platforms: &'a Platforms, names: &[&str]) -> Result<Vec<Platform<'a>>, Error> {
    match names {
        [] => Ok(vec![platforms.host()?]),
        ["all"] => platforms.all(),
        names => names.iter().map(|name| platforms.named(name)).collect(),
    }
}

/// A package that people name: what npm takes of it, and what only the published one has. Returns its folder.
fn stage_parent(
    workspace: &Workspace,
    stage: &Path,
    kind: Kind,
    manifest: &Value,
    built: &[(Platform<'_>, Programs)],
) -> Result<PathBuf, Error> {
    let name = package_name(manifest)?;
    let folder = stage.join(name);
    fs::create_dir(&folder).map_err(Error::file(&folder))?;
    let tarball = stage.join(tarball_name(name));

    let mut pack = workspace.command("npm", Purpose::Work);
    pack.args(["pack", "--silent", "--ignore-scripts", "--pack-destination"]).arg(stage);
    pack.current_dir(workspace.path("npm").join(kind.folder()));
    let mut unpack = workspace.command("tar", Purpose::Work);
    unpack.args(["--strip-components=1", "-xzf"]).arg(&tarball).current_dir(&folder);
    // `npm pkg` keeps the order of keys, which has a meaning in `exports`.
    let mut edit = workspace.command("npm", Purpose::Work);
    edit.args(["pkg", "set", "--silent"]).current_dir(&folder);
    for (platform, _) in built {
        edit.arg(format!("optionalDependencies.{}={VERSION}", platform.package_name(kind)?));
    }
    edit.args(LICENCES.map(|licence| format!("files[]={licence}")));
    let mut commands = vec![pack, unpack, edit];
    for (key, value) in ADDRESSES.iter().filter_map(|key| Some((key, manifest.get(*key)?))) {
        let mut address = workspace.command("npm", Purpose::Work);
        address.args(["pkg", "set", "--silent", "--json"]).arg(format!("{key}={value}")).current_dir(&folder);
        commands.push(address);
    }
    for command in commands {
        job::prepare(workspace, &format!("pack-{}", kind.folder()), &format!("prepare {name}"), &mut [command])?;
    }
    add_licences(workspace, &folder)?;
    Ok(folder)
}

/// A platform's package with a program. Returns its folder.
fn stage_program(
    workspace: &Workspace,
    stage: &Path,
    kind: Kind,
    parent: &Value,
    platform: &Platform<'_>,
    programs: &Programs,
) -> Result<PathBuf, Error> {
    let mut manifest = platform.manifest(kind, parent)?;
    if let Some(files) = manifest["files"].as_array_mut() {
        files.extend(LICENCES.map(Value::from));
    }
    let folder = stage.join(platform.package_name(kind)?);
    artifacts::replace(programs.of(kind), &folder.join(platform.file(kind)?))?;
    let path = folder.join("package.json");
    fs::write(&path, format!("{manifest:#}\n")).map_err(Error::file(&path))?;
    add_licences(workspace, &folder)?;
    Ok(folder)
}

fn add_licences(workspace: &Workspace, folder: &Path) -> Result<(), Error> {
    LICENCES.iter().try_for_each(|licence| artifacts::replace(&workspace.path(licence), &folder.join(licence)))
}

/// The `package.json` in `folder`, whose version must be ours.
fn manifest(folder: &Path) -> Result<Value, Error> {
    let path = folder.join("package.json");
    let text = fs::read_to_string(&path).map_err(Error::file(&path))?;
    let manifest: Value =
        serde_json::from_str(&text).map_err(|error| Error::Failed(format!("{}: {error}", path.display())))?;
    if manifest["version"] != VERSION {
        let version = &manifest["version"];
        return Err(Error::Failed(format!("{} has version {version}, the crates have {VERSION}", path.display())));
    }
    Ok(manifest)
}

fn package_name(manifest: &Value) -> Result<&str, Error> {
    manifest["name"].as_str().ok_or_else(|| Error::Failed("a package.json has no name".into()))
}

/// The tarball that npm has made of `package`, a folder called like the package.
fn tarball(folder: &Path, package: &Path) -> Result<Tarball, Error> {
    let name = package.file_name().unwrap_or_default().to_string_lossy();
    let file = folder.join(tarball_name(&name));
    let packed = fs::metadata(&file).map_err(Error::file(&file))?.len();
    Ok(Tarball { file, packed, unpacked: tree_size(package)? })
}

/// What npm calls the tarball of a package without a scope.
fn tarball_name(package: &str) -> String {
    format!("{package}-{VERSION}.tgz")
}

/// `512 B`, `12.3 kB`, `4.5 MB`.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_sizes() {
        assert_eq!([size(512), size(12_340), size(4_500_000)], ["512 B", "12.3 kB", "4.5 MB"]);
    }

    #[test]
    fn names_the_repository_when_it_is_told() {
        let told = ["--profile", "dev", "--repository", "https://git.test/agb.git"];
        let options = Options::parse(&told).unwrap();
        assert_eq!(options, Options { repository: Some("https://git.test/agb"), ..Options::of(Profile::Dev) });
        let [(_, homepage), (_, bugs), (_, repository)]: [(&str, Value); 3] = options.addresses().try_into().unwrap();
        assert_eq!(homepage, "https://git.test/agb#readme");
        assert_eq!(bugs["url"], "https://git.test/agb/issues");
        assert_eq!(repository["url"], "git+https://git.test/agb.git");
        assert!(Options::parse(&[]).unwrap().addresses().is_empty());
        for wrong in [&["--repository"][..], &["--repository", "agb"], &["--profile"], &["--profile", "debug"]] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn packs_what_is_named() {
        let packs = |told: &[&str]| Options::parse(told).map(|options| (options.npm, options.operators)).unwrap();
        assert_eq!(packs(&[]), (true, Vec::new()));
        assert_eq!(packs(&["--deb", "--server", "x", "--wheel"]), (false, vec![Package::Deb, Package::Wheel]));
        assert_eq!(packs(&["--npm", "--image"]), (true, vec![Package::Image]));
        assert_eq!(packs(&["--all"]), (true, Package::ALL.to_vec()));
        assert_eq!(packs(&["--deb", "--platform", "linux-x64-gnu"]), (true, vec![Package::Deb]));
        assert!(Options::parse(&["--server"]).is_err() && Options::parse(&["--rpm"]).is_err());
    }

    #[test]
    fn packs_for_this_machine_or_for_those_that_are_named() {
        let platforms = Platforms::read(&Workspace::find().unwrap()).unwrap();
        let all: Vec<String> =
            platforms.all().unwrap().iter().map(|platform| platform.name().unwrap().to_owned()).collect();
        let names = |told: &[&str]| {
            let chosen = chosen(&platforms, told)?;
            chosen.iter().map(|platform| platform.name().map(str::to_owned)).collect::<Result<Vec<_>, _>>()
        };
        assert_eq!(names(&[]).unwrap(), [platforms.host().unwrap().name().unwrap()]);
        assert_eq!(names(&["all"]).unwrap(), all);
        assert_eq!(names(&[&all[0]]).unwrap(), all[..1]);
        let error = names(&["plan9-x64"]).unwrap_err().to_string();
        assert!(error.contains("plan9-x64") && error.contains(&all[0]), "{error}");
    }

    #[test]
    fn refuses_a_version_that_is_not_the_crates() {
        let folder = std::env::temp_dir().join(format!("xtask-pack-{}", std::process::id()));
        empty(&folder).unwrap();
        let write = |version: &str| {
            let text = format!(r#"{{ "name": "agbcloud-sdk", "version": "{version}" }}"#);
            fs::write(folder.join("package.json"), text).unwrap();
        };
        write("99.0.0");
        assert!(manifest(&folder).unwrap_err().to_string().contains("99.0.0"));
        write(VERSION);
        assert_eq!(package_name(&manifest(&folder).unwrap()).unwrap(), "agbcloud-sdk");
        assert!(tree_size(&folder).unwrap() > 40);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn all_packages_have_the_version_of_the_crates() {
        let workspace = Workspace::find().unwrap();
        for kind in Kind::ALL {
            manifest(&workspace.path("npm").join(kind.folder())).unwrap();
        }
    }
}
