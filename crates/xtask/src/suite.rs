//! `cargo xtask test` and `cargo xtask check`: runs the steps, and reports what came of them.

mod steps;

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use self::steps::{Need, Reads, STEPS, Step};
use crate::artifacts::{self, Profile, Programs, Scope};
use crate::debian;
use crate::docs;
use crate::error::Error;
use crate::job::{self, Outcome};
use crate::machines;
use crate::operators;
use crate::pack;
use crate::platform::Kind;
use crate::portable;
use crate::process;
use crate::progress::seconds;
use crate::setup;
use crate::tally::{self, Tally};
use crate::wasm;
use crate::workspace::Workspace;

/// The steps of `cargo xtask check`.
const CHECKS: [&str; 5] = ["fmt", "clippy", "doc", "tsc", "deny"];
/// The steps of `cargo xtask test --packages`: what is published, as strangers use it.
pub(crate) const PACKAGES: [&str; 8] =
    ["packaging", "publish", "frameworks", "portable", "platforms", "docs", "operators", "proxies"];
/// Not among the tests: `deny`, whose tool takes minutes to build and which only changes with `Cargo.lock`, and the long
/// ones of [`PACKAGES`].
const BY_NAME_ONLY: [&str; 9] =
    ["deny", "publish", "frameworks", "portable", "platforms", "docs", "operators", "proxies", "cluster"];

/// A step in which more tests failed than this is not tried again: so many of a thousand do not fail by chance.
const MOST_UNSTEADY: usize = 3;
/// How often a step is tried again: the second time another test may fail by chance.
const MOST_AGAIN: usize = 2;

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
    let mut unsteady = Vec::new();
    let mut times = Vec::new();
    for step in steps {
        let began = Instant::now();
        let mut report = Report::of(workspace, step, step.name, &mut preparations)?;
        report.print(workspace, width);
        let mut tests = report.took();
        let mut seen = Vec::new();
        for again in 1..=MOST_AGAIN {
            if !report.may_be_unsteady(step.reads) {
                break;
            }
            seen.extend(report.reasons());
            println!("  …     {:width$}  once more: whether that was chance", step.name);
            report = Report::of(workspace, step, &format!("{}-again-{again}", step.name), &mut preparations)?;
            report.print(workspace, width);
            tests += report.took();
        }
        if report.tally.failed == 0 {
            unsteady.append(&mut seen);
        }
        times.push((step.name, tests, began.elapsed().saturating_sub(tests)));
        if report.tally.failed > 0 {
            failed.push(step.name);
            reasons.extend(report.reasons());
        }
        total += &report.tally;
    }
    print_times(&times, width);
    for test in &total.ignored {
        println!("  ignored: {test}");
    }
    for reason in &unsteady {
        println!(
            "\n  unsteady: it failed, and passed when its step ran once more. It has a fault, or what it tests has one.\n{reason}"
        );
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
    let wanted =
        |step: &&Step| if only.is_empty() { !BY_NAME_ONLY.contains(&step.name) } else { only.contains(&step.name) };
    Ok(STEPS.iter().filter(wanted).collect())
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
            Need::Balancers => debian::balancers(workspace),
            Need::Image => programs(workspace).and_then(|programs| setup::image(workspace, programs.of(Kind::Local))),
            Need::R => setup::programs_of_debian(workspace, setup::R),
            Need::Java => setup::java(workspace),
            Need::Bundle => wasm::bundle(workspace),
            Need::Chromium => setup::chromium(workspace),
            Need::Etcd => debian::for_clusters(workspace),
            Need::ReverseProxies => {
                setup::programs_of_debian(workspace, setup::REVERSE_PROXIES).and_then(|()| debian::nghttpx(workspace))
            }
            Need::WasiTarget => setup::rust_target(workspace, "wasm32-wasip1"),
            Need::PythonClient => setup::python(workspace).map(drop),
            Need::Portable => portable::host_programs(workspace, Profile::Dev).map(drop),
            Need::PlatformTarballs => pack::pack_platforms(workspace),
            Need::Machines => machines::for_tests(workspace),
            Need::Docs => programs(workspace).and_then(|programs| docs::site(workspace, programs.of(Kind::Local))),
            Need::Operators => operators::for_tests(workspace),
            Need::Frameworks => setup::frameworks(workspace),
            Need::Tarballs => pack::pack(workspace, Profile::Dev, Scope::Workspace).map(drop),
            Need::Nextest => setup::nextest(workspace),
            Need::CargoDeny => setup::cargo_deny(workspace),
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
    /// Runs the step, with its output in a log of this name. Only an interruption is an error here; all else is in the report.
    fn of(workspace: &Workspace, step: &Step, log: &str, preparations: &mut Preparations) -> Result<Self, Error> {
        let outcome = step
            .needs
            .iter()
            .try_for_each(|need| preparations.make(workspace, *need))
            .and_then(|()| (step.commands)(workspace))
            .and_then(|mut commands| job::run(workspace, log, step.label, &mut commands));
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

    fn took(&self) -> Duration {
        self.outcome.as_ref().map_or(Duration::ZERO, |outcome| outcome.took)
    }

    /// Why its tests failed.
    fn reasons(&self) -> Vec<String> {
        let said = self.outcome.iter().flat_map(|outcome| tally::reasons(&outcome.output));
        said.chain(self.tally.notes.iter().map(|note| format!("{}: {note}", self.name))).collect()
    }

    /// Few tests of many failed: by chance perhaps, on a machine that others use, or by a seed that few runs have. Their
    /// step runs once more, for one such test of thousands must not hide what all others say; it is reported all the same.
    fn may_be_unsteady(&self, reads: Reads) -> bool {
        let is_of_tests = matches!(reads, Reads::Tests(_)) && self.outcome.is_some();
        is_of_tests && (1..=MOST_UNSTEADY).contains(&self.tally.failed) && self.tally.passed > self.tally.failed
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

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::path::{Path, PathBuf};
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
        assert_eq!(names(&[]).len(), STEPS.len() - BY_NAME_ONLY.len());
        assert!(BY_NAME_ONLY.iter().all(|name| !names(&[]).contains(name)));
        assert_eq!(names(&PACKAGES), PACKAGES);
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
    fn few_failures_of_many_tests_are_tried_once_more() {
        let report = |passed, failed, has_run: bool| Report {
            name: "node",
            tally: Tally { passed, failed, ..Tally::default() },
            outcome: has_run.then(|| outcome(1, "not ok 1 - an answer", &[])),
        };
        let tests = Reads::Tests(tally::node_test);
        assert!(report(200, 1, true).may_be_unsteady(tests) && report(200, 3, true).may_be_unsteady(tests));
        assert!(!report(200, 0, true).may_be_unsteady(tests));
        assert!(!report(200, 4, true).may_be_unsteady(tests));
        assert!(!report(1, 1, true).may_be_unsteady(tests), "half of them");
        assert!(!report(200, 1, false).may_be_unsteady(tests), "it could not start");
        assert!(!report(200, 1, true).may_be_unsteady(Reads::ExitCode), "a check says the same again");
        assert_eq!(report(200, 1, true).reasons(), ["not ok 1 - an answer"]);
    }

    #[test]
    fn a_need_that_failed_is_not_tried_again() {
        let workspace = Workspace::at(Path::new("/nowhere"));
        let mut preparations = Preparations::default();
        preparations.made.insert(Need::Programs, Err("no linker".into()));
        let error = preparations.make(&workspace, Need::Programs).unwrap_err().to_string();
        assert!(error.contains("as said above"), "{error}");
    }
}
