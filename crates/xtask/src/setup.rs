//! What a fresh machine lacks: Debian packages, Rust components, npm packages, a Python environment.
//!
//! Each function makes sure of one thing, cheaply when it is there already.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::job;
use crate::stamp::{Fingerprint, Stamp};
use crate::workspace::{Purpose, Workspace, find_program};

/// Folders with a `package.json` and a lock file of their own.
const NPM_ROOTS: [&str; 3] = ["npm", "examples", "tests"];
/// The oldest Node.js that the packages support.
const OLDEST_NODE: u32 = 18;
/// The published client that nobody here wrote.
const PYTHON_CLIENT: &str = "agbcloud-sdk==0.12.0";
/// What links against older versions of glibc.
const ZIGBUILD: [&str; 2] = ["cargo-zigbuild==0.24.1", "ziglang==0.15.2"];
/// What our kernels are measured beside.
const JUPYTER: [&str; 2] = ["ipykernel==7.4.0", "jupyter_client==8.10.0"];

/// Node.js and npm.
pub(crate) fn node(workspace: &Workspace) -> Result<(), Error> {
    let complaint = || match node_version(workspace) {
        None => Some("Node.js is missing".to_owned()),
        Some(version) if !is_new_enough(&version) => Some(format!("Node.js {version} is too old")),
        Some(_) if find_program("npm").is_none() => Some("npm is missing".to_owned()),
        Some(_) => None,
    };
    let Some(before) = complaint() else {
        return Ok(());
    };
    debian(workspace, &before, &["nodejs", "npm"])?;
    complaint().map_or(Ok(()), |after| {
        Err(Error::Failed(format!(
            "{after}, even with Debian's packages nodejs and npm; install Node.js {OLDEST_NODE} or newer"
        )))
    })
}

fn node_version(workspace: &Workspace) -> Option<String> {
    let mut command = workspace.command("node", Purpose::Work);
    command.arg("--version");
    job::answer(command)
}

/// Whether `v20.1.0` is one we support.
fn is_new_enough(version: &str) -> bool {
    let major = version.trim_start_matches('v').split('.').next().unwrap_or("");
    major.parse::<u32>().is_ok_and(|major| major >= OLDEST_NODE)
}

/// The packages that our own packages, the examples and the tests need, as their lock files say.
pub(crate) fn npm(workspace: &Workspace) -> Result<(), Error> {
    npm_roots(workspace, &NPM_ROOTS)
}

/// The tools that the packages are tried with: over a gigabyte, so only for who asks.
pub(crate) fn frameworks(workspace: &Workspace) -> Result<(), Error> {
    npm_roots(workspace, &["tests/frameworks"])
}

/// What the documentation's site is made with, and what its guides use.
pub(crate) fn docs(workspace: &Workspace) -> Result<(), Error> {
    npm_roots(workspace, &["npm/docs"])
}

fn npm_roots(workspace: &Workspace, roots: &[&str]) -> Result<(), Error> {
    node(workspace)?;
    let _lock = workspace.lock()?;
    let version = node_version(workspace).unwrap_or_default();
    for root in roots {
        let folder = workspace.path(root);
        if !folder.join("package.json").is_file() {
            continue;
        }
        let name = root.replace('/', "-");
        let mut fingerprint = Fingerprint::new();
        fingerprint.add(&version);
        for file in ["package.json", "package-lock.json", ".npmrc"] {
            fingerprint.add_file(&folder.join(file))?;
        }
        let stamp = Stamp::new(workspace, &format!("npm-{name}"), fingerprint);
        if stamp.is_current() && folder.join("node_modules").is_dir() {
            continue;
        }
        stamp.invalidate()?;
        let mut command = workspace.command("npm", Purpose::Install);
        let locked = folder.join("package-lock.json").is_file();
        command.args(if locked { &["ci"][..] } else { &["install", "--no-package-lock"] });
        command.args(["--no-audit", "--no-fund"]).current_dir(&folder);
        let label = format!("install the npm packages of {root}/");
        job::prepare(workspace, &format!("setup-npm-{name}"), &label, &mut [command])?;
        stamp.set()?;
    }
    Ok(())
}

/// A Python environment under `target/venv` with the published client; returns its interpreter.
pub(crate) fn python(workspace: &Workspace) -> Result<PathBuf, Error> {
    environment(workspace, "venv", &[PYTHON_CLIENT])
}

/// A Python environment under `target/bench/jupyter` with Jupyter's Python kernel, and its R kernel where Debian has it.
pub(crate) fn jupyter(workspace: &Workspace) -> Result<(), Error> {
    let interpreter = environment(workspace, "bench/jupyter", &JUPYTER)?;
    let folder = workspace.target("bench/jupyter");
    if folder.join("share/jupyter/kernels/ir").is_dir() {
        return Ok(());
    }
    let package = "r-cran-irkernel";
    let mut installed = workspace.command("dpkg-query", Purpose::Work);
    installed.args(["--status", package]);
    if job::answer(installed).is_none()
        && let Err(error) = debian(workspace, "IRkernel is missing", &[package])
    {
        println!("  without IRkernel: {error}");
        return Ok(());
    }
    let mut register = workspace.command("Rscript", Purpose::Work);
    register.args(["-e", "IRkernel::installspec(prefix = commandArgs(TRUE))"]).arg(&folder);
    // It asks a program called `jupyter` to do it.
    first_on_path(&mut register, &interpreter)?;
    job::prepare(workspace, "setup-irkernel", "register IRkernel", &mut [register])
}

/// The Python of the environment that [`zigbuild`] is in, which has pip.
pub(crate) fn python_of_zig(workspace: &Workspace) -> Result<PathBuf, Error> {
    environment(workspace, "zig", &ZIGBUILD)
}

/// `cargo-zigbuild` with its Zig, from a Python environment under `target/zig`.
pub(crate) fn zigbuild(workspace: &Workspace) -> Result<Command, Error> {
    let interpreter = python_of_zig(workspace)?;
    let mut command = workspace.command(interpreter.with_file_name("cargo-zigbuild"), Purpose::Work);
    command.env("CARGO_TERM_COLOR", "never");
    first_on_path(&mut command, &interpreter)?; // where it finds Zig
    Ok(command)
}

/// Lets a command find the programs of an interpreter's environment before all others.
fn first_on_path(command: &mut Command, interpreter: &Path) -> Result<(), Error> {
    let bin = interpreter.parent().expect("an interpreter is in a folder").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([bin].into_iter().chain(std::env::split_paths(&path)));
    command.env("PATH", path.map_err(|error| Error::Failed(error.to_string()))?);
    Ok(())
}

/// A Python environment under `target` with these packages; returns its interpreter.
fn environment(workspace: &Workspace, name: &str, packages: &[&str]) -> Result<PathBuf, Error> {
    let system = system_python(workspace)?;
    let _lock = workspace.lock()?;
    let folder = workspace.target(name);
    let interpreter = folder.join("bin/python");

    let mut fingerprint = Fingerprint::new();
    let mut version = workspace.command(&system, Purpose::Work);
    version.arg("--version");
    fingerprint.add(system.as_os_str().as_encoded_bytes());
    fingerprint.add(job::answer(version).unwrap_or_default());
    packages.iter().for_each(|package| fingerprint.add(package));
    let log = name.replace('/', "-");
    let stamp = Stamp::new(workspace, &log, fingerprint);
    if stamp.is_current() && interpreter.is_file() {
        return Ok(interpreter);
    }
    stamp.invalidate()?;
    let mut create = workspace.command(&system, Purpose::Install);
    create.args(["-m", "venv", "--clear"]).arg(&folder);
    let mut install = workspace.command(&interpreter, Purpose::Install);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
    job::prepare(workspace, &format!("setup-{log}"), "create a Python environment", &mut [create])?;
    let label = format!("install {} into it", packages.join(", "));
    job::prepare(workspace, "setup-pip", &label, &mut [install])?;
    stamp.set()?;
    Ok(interpreter)
}

/// The sandboxes that ours are measured beside. Without them the others are measured all the same.
pub(crate) fn sandboxes(workspace: &Workspace) {
    for (program, package) in [("bwrap", "bubblewrap"), ("runc", "runc")] {
        if find_program(program).is_none()
            && let Err(error) = debian(workspace, &format!("{program} is missing"), &[package])
        {
            println!("  without {program}: {error}");
        }
    }
}

/// The default image under `target/images`, prepared by the server itself, which knows whether there is anything to do.
pub(crate) fn image(workspace: &Workspace, server: &Path) -> Result<(), Error> {
    let system = system_python(workspace)?;
    let mut command = workspace.command(server, Purpose::Install);
    command.args(["images", "prepare", "--image-dir"]).arg(workspace.target("images"));
    command.arg("--python").arg(system);
    job::prepare(workspace, "setup-image", "prepare the default image", &mut [command])
}

/// A Python that can make environments. The system's own goes before one that a version manager puts on the path.
fn system_python(workspace: &Workspace) -> Result<PathBuf, Error> {
    let candidates = || {
        let system = PathBuf::from("/usr/bin/python3");
        [Some(system), find_program("python3")].into_iter().flatten()
    };
    let works = |python: &PathBuf| {
        let mut command = workspace.command(python, Purpose::Work);
        command.args(["-c", "import venv, ensurepip"]);
        job::answer(command).is_some()
    };
    if let Some(python) = candidates().find(works) {
        return Ok(python);
    }
    debian(workspace, "Python cannot make environments", &["python3", "python3-venv"])?;
    candidates().find(works).ok_or_else(|| {
        Error::Failed("`python3 -m venv` still does not work; install Python 3 with its venv module".into())
    })
}

/// Makes sure of one thing: installs it where it is missing, and says what to do where that was to no avail.
fn ensure(
    is_there: impl Fn() -> bool,
    install: impl FnOnce() -> Result<(), Error>,
    advice: impl Into<String>,
) -> Result<(), Error> {
    if is_there() {
        return Ok(());
    }
    install()?;
    if is_there() { Ok(()) } else { Err(Error::Failed(advice.into())) }
}

/// What `rustup KIND add NAME` installs.
fn of_rustup(
    workspace: &Workspace,
    missing: &str,
    [kind, name]: [&str; 2],
    is_there: impl Fn() -> bool,
) -> Result<(), Error> {
    let advice = format!("{missing}; install it with `rustup {kind} add {name}`");
    let install = || {
        if find_program("rustup").is_none() {
            return Err(Error::Failed(advice.clone()));
        }
        let mut command = workspace.command("rustup", Purpose::Install);
        command.args([kind, "add", name]);
        job::prepare(workspace, &format!("setup-{name}"), &format!("install {name}"), &mut [command])
    };
    ensure(is_there, install, &advice)
}

/// Whether there is a `cargo SUBCOMMAND`.
fn cargo_has(workspace: &Workspace, subcommand: &str) -> bool {
    let mut command = workspace.cargo();
    command.args([subcommand, "--version"]);
    job::answer(command).is_some()
}

/// A component of the Rust toolchain that is called as `cargo SUBCOMMAND`.
pub(crate) fn rust_component(workspace: &Workspace, subcommand: &str, component: &str) -> Result<(), Error> {
    let missing = format!("`cargo {subcommand}` is missing");
    of_rustup(workspace, &missing, ["component", component], || cargo_has(workspace, subcommand))
}

/// The runner of the Rust tests.
pub(crate) fn nextest(workspace: &Workspace) -> Result<(), Error> {
    cargo_tool(workspace, "nextest", "0.9.143")
}

/// What checks the licences and sources of the dependencies.
pub(crate) fn cargo_deny(workspace: &Workspace) -> Result<(), Error> {
    cargo_tool(workspace, "deny", "0.20.2")
}

/// `cargo NAME`: any version that is installed, else this one, built from crates.io.
fn cargo_tool(workspace: &Workspace, name: &str, version: &str) -> Result<(), Error> {
    let package = format!("cargo-{name}");
    let install = || {
        let mut command = workspace.command("cargo", Purpose::Install);
        command.args(["install", &package, "--locked", "--version", version]);
        // Not in the workspace's folder, which is for what the workspace is built into.
        command.env_remove("CARGO_TARGET_DIR");
        job::prepare(workspace, &format!("setup-{name}"), &format!("install {package}"), &mut [command])
    };
    let advice = format!("`cargo {name}` is missing; install it with `cargo install {package} --locked`");
    ensure(|| cargo_has(workspace, name), install, advice)
}

/// Rust's standard library for a target.
pub(crate) fn rust_target(workspace: &Workspace, target: &str) -> Result<(), Error> {
    let missing = format!("there is no standard library for {target}");
    of_rustup(workspace, &missing, ["target", target], || {
        let mut command = workspace.command("rustc", Purpose::Work);
        command.args(["--print", "target-libdir", "--target", target]);
        job::answer(command).is_some_and(|folder| Path::new(&folder).is_dir())
    })
}

/// Programs, each with the Debian package that has it.
pub(crate) type OfDebian = &'static [(&'static str, &'static str)];

/// For the tests of its kernels.
pub(crate) const R: OfDebian = &[("R", "r-base-core")];
/// Those that the server's manual configures.
pub(crate) const REVERSE_PROXIES: OfDebian = &[("nginx", "nginx-light"), ("haproxy", "haproxy"), ("caddy", "caddy")];

/// Makes sure that these programs are there.
pub(crate) fn programs_of_debian(workspace: &Workspace, needed: OfDebian) -> Result<(), Error> {
    // Debian puts some where only administrators look.
    let is_there = |program: &str| {
        ["/usr/bin", "/usr/sbin"].iter().any(|folder| Path::new(folder).join(program).is_file())
            || find_program(program).is_some()
    };
    let missing: Vec<_> = needed.iter().filter(|(program, _)| !is_there(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let (programs, packages): (Vec<&str>, Vec<&str>) = missing.into_iter().copied().unzip();
    debian(workspace, &format!("missing: {}", programs.join(", ")), &packages)?;
    match programs.iter().find(|program| !is_there(program)) {
        None => Ok(()),
        Some(program) => {
            Err(Error::Failed(format!("there is no {program}, even with Debian's {}; install it", packages.join(" "))))
        }
    }
}

/// A Java with its compiler, for the tests of its kernels.
pub(crate) fn java(workspace: &Workspace) -> Result<(), Error> {
    const PACKAGE: &str = "openjdk-17-jdk-headless";
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let is_there = || {
        let mut known = home.clone().into_iter().chain([PathBuf::from("/usr/bin/java")]).chain(find_program("java"));
        known.any(|java| {
            let mut command = workspace.command(java, Purpose::Work);
            command.arg("--list-modules");
            job::answer(command).is_some_and(|modules| modules.contains("jdk.jshell@"))
        })
    };
    let install = || debian(workspace, "a Java with its compiler is missing", &[PACKAGE]);
    ensure(
        is_there,
        install,
        format!("there is no JDK, even with Debian's {PACKAGE}; install one, or set JAVA_HOME to it"),
    )
}

/// A Chromium that the tests can drive: they start it by its path.
pub(crate) fn chromium(workspace: &Workspace) -> Result<(), Error> {
    let is_there = || Path::new("/usr/bin/chromium").is_file();
    let install = || debian(workspace, "Chromium is missing", &["chromium"]);
    ensure(is_there, install, "there is no /usr/bin/chromium; install it")
}

/// Installs Debian packages, if this is Debian and we may; else says what to do.
pub(crate) fn debian(workspace: &Workspace, complaint: &str, packages: &[&str]) -> Result<(), Error> {
    let list = packages.join(" ");
    if find_program("apt-get").is_none() {
        return Err(Error::Failed(format!("{complaint}; install what Debian calls {list}")));
    }
    if !rustix::process::geteuid().is_root() {
        return Err(Error::Failed(format!("{complaint}; run: sudo apt-get install {list}")));
    }
    read_package_lists(workspace)?;
    let label = format!("install Debian's {list} ({complaint})");
    let mut install = apt_get(workspace, &["install", "--yes", "--no-install-recommends"]);
    install.args(packages);
    job::prepare(workspace, "setup-apt", &label, &mut [install])
}

/// Makes sure that apt knows the packages of today: a fresh machine has no lists, an older one names files that are gone.
/// Does nothing for who is not root.
pub(crate) fn read_package_lists(workspace: &Workspace) -> Result<(), Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let mut update = [apt_get(workspace, &["update"])];
    job::prepare(workspace, "setup-apt-update", "read Debian's package lists", &mut update)
}

fn apt_get(workspace: &Workspace, arguments: &[&str]) -> Command {
    let mut command = workspace.command("apt-get", Purpose::Install);
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

#[cfg(test)]
mod tests {
    use super::is_new_enough;

    #[test]
    fn compares_versions_of_node() {
        assert!(is_new_enough("v18.0.0") && is_new_enough("v22.11.0"));
        assert!(!is_new_enough("v16.20.2") && !is_new_enough("") && !is_new_enough("node"));
    }
}
