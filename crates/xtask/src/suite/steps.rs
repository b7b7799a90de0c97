//! The steps of `cargo xtask test` and `cargo xtask check`: what each runs, needs, and says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::artifacts::Profile;
use crate::error::Error;
use crate::operators;
use crate::pack;
use crate::platform::Platforms;
use crate::portable;
use crate::setup;
use crate::tally::{self, Tally};
use crate::workspace::{Purpose, Workspace};

/// One line of the report.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) reads: Reads,
    pub(super) needs: &'static [Need],
    pub(super) commands: fn(&Workspace) -> Result<Vec<Command>, Error>,
}

/// What a step's output says.
#[derive(Clone, Copy)]
pub(super) enum Reads {
    /// Nothing: the exit code is the verdict, and it counts as one test.
    ExitCode,
    /// The counts of a test runner.
    Tests(fn(&str) -> Tally),
}

/// What must be there before a step can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Need {
    Rustfmt,
    Clippy,
    /// The runner of the Rust tests.
    Nextest,
    CargoDeny,
    NpmPackages,
    /// The npm packages' compiled TypeScript.
    JavaScript,
    /// The bundle for browsers.
    Bundle,
    Chromium,
    /// Rust's standard library for WebAssembly with a system interface.
    WasiTarget,
    /// The server, and the addon where the SDK looks for it.
    Programs,
    /// The default image with its packages.
    Image,
    /// nginx and HAProxy, and systemd's check of units.
    Balancers,
    R,
    Java,
    PythonClient,
    Tarballs,
    /// The documentation's site, built, and what its guides use.
    Docs,
    /// The bundlers, frameworks, run times and package managers that the packages are tried with.
    Frameworks,
    /// The server and the addon for older systems.
    Portable,
    /// The packed npm packages of all platforms.
    PlatformTarballs,
    /// What runs the programs of other platforms here.
    Machines,
    /// The server's packages for operators, of the program for older systems.
    Operators,
    /// The store that servers of a cluster meet in, and what else their tests use.
    Etcd,
    /// nginx, HAProxy, Caddy and nghttpx.
    ReverseProxies,
}

/// All steps, in the order in which they run: what fails fast goes first.
pub(super) const STEPS: [Step; 20] = [
    Step {
        name: "fmt",
        label: "the formatter",
        reads: Reads::ExitCode,
        needs: &[Need::Rustfmt],
        commands: |workspace| cargo(workspace, &["fmt", "--all", "--check", "--", "--color", "never"]),
    },
    Step {
        name: "clippy",
        label: "the linter",
        reads: Reads::ExitCode,
        needs: &[Need::Clippy],
        commands: |workspace| cargo(workspace, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    },
    Step {
        name: "doc",
        label: "the documentation",
        reads: Reads::ExitCode,
        needs: &[],
        commands: |workspace| {
            let mut commands = cargo(workspace, &["doc", "--workspace", "--no-deps"])?;
            commands.iter_mut().for_each(|command| {
                command.env("RUSTDOCFLAGS", "-D warnings");
            });
            Ok(commands)
        },
    },
    Step {
        name: "tsc",
        label: "the types of the npm packages, the examples and the tests",
        reads: Reads::ExitCode,
        needs: &[Need::NpmPackages],
        commands: |workspace| {
            let mut commands = npm(workspace, "check")?;
            let mut tests = workspace.command("node", Purpose::Work);
            tests.args(["npm/node_modules/typescript/bin/tsc", "--project", "tests"]);
            commands.push(tests);
            Ok(commands)
        },
    },
    Step {
        name: "deny",
        label: "the licences and sources of the dependencies",
        reads: Reads::ExitCode,
        needs: &[Need::CargoDeny],
        // Advisories are fetched from elsewhere; the workflow asks for them.
        commands: |workspace| {
            cargo(workspace, &["deny", "--log-level", "error", "check", "licenses", "bans", "sources"])
        },
    },
    Step {
        name: "rust",
        label: "the Rust tests",
        reads: Reads::Tests(tally::rust),
        needs: &[Need::Programs, Need::Image, Need::Balancers, Need::R, Need::Java, Need::Etcd, Need::Nextest],
        commands: rust_tests,
    },
    Step {
        name: "npm",
        label: "the tests of the npm packages",
        reads: Reads::Tests(tally::node_test),
        needs: &[Need::NpmPackages, Need::Programs],
        commands: |workspace| npm(workspace, "test"),
    },
    Step {
        name: "node",
        label: "Node against the server",
        reads: Reads::Tests(tally::node_test),
        needs: &[Need::JavaScript, Need::Programs, Need::Image, Need::R, Need::Java, Need::Etcd],
        commands: |workspace| node_tests(workspace, "tests/node", TYPESCRIPT, &[], &[]),
    },
    Step {
        name: "core-on-wasm",
        label: "the core's own tests, as WebAssembly",
        reads: Reads::Tests(tally::cargo_test),
        needs: &[Need::WasiTarget],
        commands: |workspace| {
            let mut command = workspace.cargo();
            command.args(["test", "--package", "agb-core", "--lib", "--target", "wasm32-wasip1"]);
            // Node brings the system interface that a test runner needs for its report.
            command.env("CARGO_TARGET_WASM32_WASIP1_RUNNER", runner(workspace));
            command.env("CARGO_TARGET_DIR", workspace.target("wasm"));
            Ok(vec![command])
        },
    },
    Step {
        name: "browser",
        label: "the SDK in Chromium",
        reads: Reads::Tests(tally::node_test),
        needs: &[
            Need::JavaScript,
            Need::Programs,
            Need::Image,
            Need::Bundle,
            Need::Chromium,
            Need::R,
            Need::Java,
            Need::Etcd,
        ],
        commands: |workspace| node_tests(workspace, "tests/browser", TYPESCRIPT, &[ONE_BY_ONE], &[]),
    },
    Step {
        name: "python",
        label: "the published Python client against the server",
        reads: Reads::Tests(tally::unittest),
        needs: &[Need::Programs, Need::PythonClient, Need::R, Need::Java, Need::Etcd],
        commands: |workspace| {
            // Looked for here, so that an empty folder is told apart from a broken one.
            files(workspace, "tests/python", ".py")?;
            let mut command = workspace.command(setup::python(workspace)?, Purpose::Work);
            command.args(["-m", "unittest", "discover", "--verbose"]);
            command.args(["--start-directory", "tests/python", "--pattern", "test_*.py"]);
            command.env("PYTHONPYCACHEPREFIX", workspace.state("pycache"));
            Ok(vec![command])
        },
    },
    Step {
        name: "packaging",
        label: "the packed npm packages in an empty project",
        reads: Reads::Tests(tally::node_test),
        needs: &[Need::JavaScript, Need::Programs, Need::Tarballs],
        commands: |workspace| node_tests(workspace, "tests/packaging", JAVASCRIPT, &[], &[tarballs(workspace)]),
    },
    Step {
        name: "publish",
        label: "what crates.io would say of the crates",
        reads: Reads::ExitCode,
        needs: &[],
        // A working copy may have changes; they are what is tried.
        commands: |workspace| {
            let mut commands = cargo(workspace, &["publish", "--dry-run", "--locked", "--allow-dirty"])?;
            for command in &mut commands {
                PUBLISHED.iter().for_each(|package| {
                    command.args(["--package", package]);
                });
            }
            Ok(commands)
        },
    },
    Step {
        name: "frameworks",
        label: "the packed npm packages in bundlers, frameworks, run times and package managers",
        reads: Reads::Tests(tally::node_test),
        needs: &[Need::JavaScript, Need::Programs, Need::Tarballs, Need::Frameworks],
        commands: |workspace| {
            node_tests(workspace, "tests/frameworks", JAVASCRIPT, &[ONE_BY_ONE], &[tarballs(workspace)])
        },
    },
    Step {
        name: "portable",
        label: "the programs for older systems",
        reads: Reads::Tests(tally::node_test),
        needs: &[Need::JavaScript, Need::Programs, Need::Tarballs, Need::Portable],
        commands: |workspace| {
            let platforms = Platforms::read(workspace)?;
            let programs = ("AGB_PORTABLE", portable::folder(workspace, Profile::Dev, &platforms.host()?)?);
            node_tests(workspace, "tests/portable", JAVASCRIPT, &[], &[tarballs(workspace), programs])
        },
    },
    Step {
        name: "platforms",
        label: "the packages for other platforms",
        reads: Reads::Tests(tally::node_test),
        needs: &[Need::Machines, Need::JavaScript, Need::Programs, Need::PlatformTarballs],
        commands: |workspace| {
            let tarballs = ("AGB_TARBALLS", pack::platforms_folder(workspace));
            let machines = ("AGB_MACHINES", workspace.target("tools"));
            let server = ("AGB_SERVER", workspace.target("debug/agb-server"));
            node_tests(workspace, "tests/platforms", JAVASCRIPT, &[TEST_TIMEOUT], &[tarballs, machines, server])
        },
    },
    Step {
        name: "docs",
        label: "the documentation's code, links and pages",
        reads: Reads::Tests(tally::node_test),
        needs: &[Need::JavaScript, Need::Programs, Need::Docs, Need::Chromium],
        commands: |workspace| {
            let server = ("AGB_SERVER", workspace.target("debug/agb-server"));
            node_tests(workspace, "npm/docs/tests", TYPESCRIPT, &[ONE_BY_ONE], &[server])
        },
    },
    Step {
        name: "operators",
        label: "the server's packages for Debian, for pip and as a container",
        reads: Reads::Tests(tally::node_test),
        needs: &[Need::Operators],
        commands: |workspace| {
            let packages = ("AGB_PACKAGES", operators::test_folder(workspace));
            let system = ("AGB_SYSTEM", operators::system(workspace));
            let base = ("AGB_BASE_SYSTEM", operators::base_system(workspace));
            node_tests(workspace, "tests/operators", JAVASCRIPT, &[TEST_TIMEOUT], &[packages, system, base])
        },
    },
    Step {
        name: "cluster",
        label: "servers of a cluster on a real etcd, with the failures that take long",
        reads: Reads::Tests(tally::rust),
        needs: &[Need::Etcd, Need::Nextest],
        commands: |workspace| {
            let chosen = ["-E", "binary_id(agb-server::cluster)", "--run-ignored", "all"];
            cargo(workspace, &[&["nextest", "run", "--workspace", "--no-fail-fast"], &chosen[..]].concat())
        },
    },
    Step {
        name: "proxies",
        label: "the server behind reverse proxies, as its manual configures them",
        reads: Reads::Tests(tally::node_test),
        needs: &[Need::JavaScript, Need::Programs, Need::ReverseProxies, Need::Bundle, Need::Chromium],
        commands: |workspace| node_tests(workspace, "tests/proxies", TYPESCRIPT, &[], &[]),
    },
];

/// A test that hangs fails after so long, milliseconds, instead of taking the whole run with it. The longest files take
/// two minutes.
const TEST_TIMEOUT: &str = "--test-timeout=600000";
/// For tests that would disturb each other.
const ONE_BY_ONE: &str = "--test-concurrency=1";

/// Tests that are run through tsx, with the packages of the folder that theirs is in.
const TYPESCRIPT: &str = ".test.ts";
/// Tests that need nothing but Node.
const JAVASCRIPT: &str = ".test.mjs";

/// The crates for others to use, each after those that it needs.
const PUBLISHED: [&str; 3] = ["agb-protocol", "agb-core", "agb-client"];

/// The tests that a runner can list and start one by one, in one pool (`.config/nextest.toml`); those that start
/// themselves anew with other rights; and the examples in the documentation.
fn rust_tests(workspace: &Workspace) -> Result<Vec<Command>, Error> {
    let mut commands = Vec::new();
    for arguments in [
        &["nextest", "run", "--workspace", "--no-fail-fast", "-E", "not (binary(=battery) | binary(=escape))"][..],
        &["test", "--workspace", "--no-fail-fast", "--test", "battery", "--test", "escape"],
        &["test", "--workspace", "--no-fail-fast", "--doc"],
    ] {
        commands.extend(cargo(workspace, arguments)?);
    }
    // A cross-section of the server's tests with their clients one hop away from the sessions; `soak` has all of them.
    let chosen = "binary_id(agb-server::it) & test(/^(streaming|resume|stdin|http_runs|links)::/)";
    let mut far = cargo(workspace, &["nextest", "run", "--workspace", "--no-fail-fast", "-E", chosen])?;
    for command in &mut far {
        command.env("AGB_TEST_ENTRY", "other");
    }
    commands.extend(far);
    Ok(commands)
}

/// Node's test runner on the tests in a folder.
fn node_tests(
    workspace: &Workspace,
    folder: &str,
    ending: &str,
    options: &[&str],
    environment: &[(&str, PathBuf)],
) -> Result<Vec<Command>, Error> {
    let mut command = workspace.command("node", Purpose::Work);
    if ending == TYPESCRIPT {
        let path = workspace.path(folder);
        command.args(["--import", "tsx", TEST_TIMEOUT]).current_dir(path.parent().expect("it is in the checkout"));
    }
    command.arg("--test").args(options).args(files(workspace, folder, ending)?).envs(environment.iter().cloned());
    Ok(vec![command])
}

/// Where the tests find the packed npm packages.
fn tarballs(workspace: &Workspace) -> (&'static str, PathBuf) {
    ("AGB_TARBALLS", pack::folder(workspace, Profile::Dev))
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> Result<Vec<Command>, Error> {
    let mut command = workspace.cargo();
    command.args(arguments);
    Ok(vec![command])
}

fn npm(workspace: &Workspace, script: &str) -> Result<Vec<Command>, Error> {
    let mut command = workspace.command("npm", Purpose::Work);
    command.args(["run", "--silent", script]).current_dir(workspace.path("npm"));
    Ok(vec![command])
}

/// How cargo starts a program for `wasm32-wasip1`.
fn runner(workspace: &Workspace) -> String {
    format!("node --no-warnings {}", workspace.path("tests/wasi.mjs").display())
}

/// The files of `folder` whose names end like this, sorted; none is an error.
fn files(workspace: &Workspace, folder: &str, ending: &str) -> Result<Vec<PathBuf>, Error> {
    let path = workspace.path(folder);
    let matches = |file: &Path| file.to_str().is_some_and(|name| name.ends_with(ending));
    let mut files: Vec<PathBuf> = fs::read_dir(&path)
        .map_err(Error::file(&path))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| matches(file))
        .collect();
    files.sort();
    match files.is_empty() {
        true => Err(Error::Failed(format!("{folder} has no file *{ending}"))),
        false => Ok(files),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_tests_is_an_error() {
        let workspace = Workspace::find().unwrap();
        assert!(!files(&workspace, "crates/xtask/src", ".rs").unwrap().is_empty());
        assert!(files(&workspace, "crates/xtask/src", ".test.ts").is_err());
        assert!(files(&workspace, "no/such/folder", ".rs").is_err());
    }
}
