//! `cargo xtask test` and `cargo xtask check`: the steps, what each needs, and what came of them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::artifacts::{self, Profile, Programs, Scope};
use crate::error::Error;
use crate::job::{self, Outcome};
use crate::pack;
use crate::platform::Kind;
use crate::process;
use crate::progress::seconds;
use crate::setup;
use crate::tally::{self, Tally};
use crate::wasm;
use crate::workspace::{Purpose, Workspace};

/// One line of the report.
struct Step {
    name: &'static str,
    label: &'static str,
    reads: Reads,
    needs: &'static [Need],
    commands: fn(&Workspace) -> Result<Vec<Command>, Error>,
}

/// What a step's output says.
#[derive(Clone, Copy)]
enum Reads {
    /// Nothing: the exit code is the verdict, and it counts as one test.
    ExitCode,
    /// The counts of a test runner.
    Tests(fn(&str) -> Tally),
}

/// What must be there before a step can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Need {
    Rustfmt,
    Clippy,
    /// The runner of the Rust tests.
    Nextest,
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
    R,
    Java,
    PythonClient,
    Tarballs,
}

/// All steps, in the order in which they run: what fails fast goes first.
const STEPS: [Step; 11] = [
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
        name: "rust",
        label: "the Rust tests",
        reads: Reads::Tests(tally::rust),
        needs: &[Need::Programs, Need::Image, Need::R, Need::Java, Need::Nextest],
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
        needs: &[Need::JavaScript, Need::Programs, Need::Image, Need::R, Need::Java],
        commands: |workspace| {
            let folder = setup::folder_with_package(workspace, "tsx")?;
            let mut command = workspace.command("node", Purpose::Work);
            command.args(["--import", "tsx", "--test"]).current_dir(folder);
            command.args(files(workspace, "tests/node", ".test.ts")?);
            Ok(vec![command])
        },
    },
    Step {
        name: "core-on-wasm",
        label: "the core's own tests, as WebAssembly",
        reads: Reads::Tests(tally::cargo_test),
        needs: &[Need::WasiTarget],
        commands: |workspace| {
            let mut command = workspace.cargo();
            command.args(["test", "--package", "agb-core", "--lib", "--target", "wasm32-wasip1"]);
            command.arg("--no-default-features"); // as a page has it
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
        needs: &[Need::JavaScript, Need::Programs, Need::Image, Need::Bundle, Need::Chromium, Need::R, Need::Java],
        commands: |workspace| {
            let mut command = workspace.command("node", Purpose::Work);
            command.args(["--import", "tsx", "--test", "--test-concurrency=1"]).current_dir(workspace.path("tests"));
            command.args(files(workspace, "tests/browser", ".test.ts")?);
            Ok(vec![command])
        },
    },
    Step {
        name: "python",
        label: "the published Python client against the server",
        reads: Reads::Tests(tally::unittest),
        needs: &[Need::Programs, Need::PythonClient, Need::R, Need::Java],
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
        commands: |workspace| {
            let mut command = workspace.command("node", Purpose::Work);
            command.arg("--test").args(files(workspace, "tests/packaging", ".test.mjs")?);
            command.env("AGB_TARBALLS", pack::folder(workspace, Profile::Dev));
            Ok(vec![command])
        },
    },
];

/// The steps of `cargo xtask check`.
const CHECKS: [&str; 4] = ["fmt", "clippy", "doc", "tsc"];

/// `cargo xtask check`.
pub(crate) fn check(workspace: &Workspace) -> Result<ExitCode, Error> {
    test(workspace, &CHECKS)
}

/// `cargo xtask test`: the steps in `only`, or all.
pub(crate) fn test(workspace: &Workspace, only: &[&str]) -> Result<ExitCode, Error> {
    let steps = plan(only)?;
    let width = steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
    let mut preparations = Preparations::default();
    let mut total = Tally::default();
    let mut failed = Vec::new();
    let mut reasons = Vec::new();
    let mut times = Vec::new();
    for step in steps {
        let began = Instant::now();
        let report = Report::of(workspace, step, &mut preparations)?;
        let tests = report.outcome.as_ref().map_or(Duration::ZERO, |outcome| outcome.took);
        times.push((step.name, tests, began.elapsed().saturating_sub(tests)));
        report.print(workspace, width);
        if report.tally.failed > 0 {
            failed.push(step.name);
            reasons.extend(report.outcome.iter().flat_map(|outcome| tally::reasons(&outcome.output)));
        }
        total += &report.tally;
    }
    print_times(&times, width);
    for test in &total.ignored {
        println!("  ignored: {test}");
    }
    if !failed.is_empty() {
        for reason in &reasons {
            println!("\n{reason}");
        }
        println!("  failed: {}; again: cargo xtask test --only {}", failed.join(", "), failed.join(" --only "));
    }
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(if total.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where the time went: each step's tests, and what had to be installed and built before them.
fn print_times(times: &[(&'static str, Duration, Duration)], width: usize) {
    println!("\n  {:width$}  {:>8}  {:>8}", "time", "tests", "set-up");
    let (mut tests, mut preparations) = (Duration::ZERO, Duration::ZERO);
    for (name, of_tests, of_preparations) in times {
        println!("  {name:width$}  {:>8}  {:>8}", seconds(*of_tests), seconds(*of_preparations));
        tests += *of_tests;
        preparations += *of_preparations;
    }
    println!("  {:width$}  {:>8}  {:>8}\n", "all", seconds(tests), seconds(preparations));
}

/// The steps called like one of `only`, or all, in their order.
fn plan(only: &[&str]) -> Result<Vec<&'static Step>, Error> {
    if let Some(unknown) = only.iter().find(|name| STEPS.iter().all(|step| step.name != **name)) {
        let names: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        return Err(Error::Usage(format!("no step is called {unknown}; there are {}", names.join(", "))));
    }
    Ok(STEPS.iter().filter(|step| only.is_empty() || only.contains(&step.name)).collect())
}

/// Each need is seen to once; a failure is remembered for the other steps that have it.
#[derive(Default)]
struct Preparations {
    made: HashMap<Need, Result<(), String>>,
}

impl Preparations {
    fn make(&mut self, workspace: &Workspace, need: Need) -> Result<(), Error> {
        if let Some(made) = self.made.get(&need) {
            return made.clone().map_err(|_| Error::Failed(format!("{need:?} failed, as said above")));
        }
        let made = match need {
            Need::Rustfmt => setup::rust_component(workspace, "fmt", "rustfmt"),
            Need::Clippy => setup::rust_component(workspace, "clippy", "clippy"),
            Need::NpmPackages => setup::npm(workspace),
            Need::JavaScript => artifacts::typescript(workspace),
            Need::Programs => {
                programs(workspace).and_then(|programs| artifacts::place_addon(workspace, &programs).map(drop))
            }
            Need::Image => programs(workspace).and_then(|programs| setup::image(workspace, programs.of(Kind::Local))),
            Need::R => setup::r(workspace),
            Need::Java => setup::java(workspace),
            Need::Bundle => wasm::bundle(workspace),
            Need::Chromium => setup::chromium(workspace),
            Need::WasiTarget => setup::rust_target(workspace, "wasm32-wasip1"),
            Need::PythonClient => setup::python(workspace).map(drop),
            Need::Tarballs => pack::pack(workspace, Profile::Dev, Scope::Workspace).map(drop),
            Need::Nextest => setup::nextest(workspace),
        };
        process::go_on()?;
        self.made.insert(need, made.as_ref().copied().map_err(Error::to_string));
        made
    }
}

/// What came of a step.
struct Report {
    name: &'static str,
    tally: Tally,
    /// Absent when the step could not start.
    outcome: Option<Outcome>,
}

impl Report {
    /// Runs the step. Only an interruption is an error here; all else is in the report.
    fn of(workspace: &Workspace, step: &Step, preparations: &mut Preparations) -> Result<Self, Error> {
        let outcome = step
            .needs
            .iter()
            .try_for_each(|need| preparations.make(workspace, *need))
            .and_then(|()| (step.commands)(workspace))
            .and_then(|mut commands| job::run(workspace, step.name, step.label, &mut commands));
        process::go_on()?;
        let report = match outcome {
            Ok(outcome) => Report { name: step.name, tally: count(step.reads, &outcome), outcome: Some(outcome) },
            Err(error) => {
                let mut tally = Tally::default();
                tally.fail(error.to_string());
                Report { name: step.name, tally, outcome: None }
            }
        };
        Ok(report)
    }

    fn print(&self, workspace: &Workspace, width: usize) {
        let Report { name, tally, outcome } = self;
        let verdict = if tally.failed == 0 { "ok  " } else { "FAIL" };
        let mut line = format!("  {verdict}  {name:width$}  {} passed", tally.passed);
        if tally.failed > 0 {
            line += &format!(", {} failed", tally.failed);
        }
        if !tally.ignored.is_empty() {
            line += &format!(", {} ignored", tally.ignored.len());
        }
        if let Some(outcome) = outcome {
            line += &format!(", {}", seconds(outcome.took));
        }
        println!("{line}");
        if tally.failed == 0 {
            return;
        }
        if let Some(outcome) = outcome {
            println!("--- {}", workspace.display(&outcome.log));
            println!("{}", outcome.output.trim_end());
            println!("--- end of {name}");
        }
        for note in &tally.notes {
            println!("  {name}: {note}");
        }
    }
}

/// The counts of a step that ran.
fn count(reads: Reads, outcome: &Outcome) -> Tally {
    let success = outcome.status.success();
    match reads {
        Reads::ExitCode => Tally::of_check(success),
        Reads::Tests(parse) => {
            let mut tally = parse(&outcome.output);
            tally.settle(success, &process::describe(outcome.status));
            for process in &outcome.leftovers {
                tally.fail(format!("left {process} running"));
            }
            tally
        }
    }
}

/// The programs that the steps test, out of the one build that the Rust tests are in as well.
fn programs(workspace: &Workspace) -> Result<Programs, Error> {
    artifacts::programs(workspace, Profile::Dev, Scope::Workspace)
}

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
    Ok(commands)
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
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;
    use std::time::Duration;

    use super::*;

    fn names(only: &[&str]) -> Vec<&'static str> {
        plan(only).unwrap().iter().map(|step| step.name).collect()
    }

    fn outcome(code: i32, output: &str, leftovers: &[&str]) -> Outcome {
        Outcome {
            status: ExitStatus::from_raw(code << 8),
            output: output.to_owned(),
            log: PathBuf::new(),
            took: Duration::ZERO,
            leftovers: leftovers.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn plans_all_steps_or_those_named_in_their_own_order() {
        assert_eq!(names(&[]).len(), STEPS.len());
        assert_eq!(names(&["python", "fmt"]), ["fmt", "python"]);
        assert_eq!(names(&CHECKS), CHECKS);
        let error = plan(&["fmt", "pyton"]).err().unwrap().to_string();
        assert!(error.contains("pyton") && error.contains("packaging"), "{error}");
    }

    #[test]
    fn names_are_unique_and_free_for_logs() {
        for (index, step) in STEPS.iter().enumerate() {
            assert!(STEPS[..index].iter().all(|other| other.name != step.name), "{}", step.name);
            assert!(!["build", "typescript"].contains(&step.name) && !step.name.starts_with("setup"));
        }
    }

    #[test]
    fn a_check_counts_once() {
        let failed = count(Reads::ExitCode, &outcome(1, "12 warnings", &[]));
        assert_eq!((failed.passed, failed.failed), (0, 1));
        let passed = count(Reads::ExitCode, &outcome(0, "", &["sccache (process 7)"]));
        assert_eq!((passed.passed, passed.failed), (1, 0));
    }

    #[test]
    fn a_suite_that_leaves_processes_fails() {
        let output = "Ran 2 tests in 0.1s\n\nOK\n";
        let tally = count(Reads::Tests(tally::unittest), &outcome(0, output, &["python3 (process 9)"]));
        assert_eq!((tally.passed, tally.failed), (2, 1));
        assert_eq!(tally.notes, ["left python3 (process 9) running"]);
    }

    #[test]
    fn a_need_that_failed_is_not_tried_again() {
        let workspace = Workspace::at(Path::new("/nowhere"));
        let mut preparations = Preparations::default();
        preparations.made.insert(Need::Programs, Err("no linker".into()));
        let error = preparations.make(&workspace, Need::Programs).unwrap_err().to_string();
        assert!(error.contains("as said above"), "{error}");
    }

    #[test]
    fn a_folder_without_tests_is_an_error() {
        let workspace = Workspace::find().unwrap();
        assert!(!files(&workspace, "crates/xtask/src", ".rs").unwrap().is_empty());
        assert!(files(&workspace, "crates/xtask/src", ".test.ts").is_err());
        assert!(files(&workspace, "no/such/folder", ".rs").is_err());
    }
}
