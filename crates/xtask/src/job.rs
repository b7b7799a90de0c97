//! Running commands to their end, with their output in a log.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::error::Error;
use crate::process::{self, Running};
use crate::progress::{Progress, seconds};
use crate::workspace::Workspace;

/// What takes less is not worth a line.
const WORTH_A_LINE: Duration = Duration::from_secs(1);

/// What became of a job.
pub(crate) struct Outcome {
    /// How it ended: the first command that failed, or the last.
    pub(crate) status: ExitStatus,
    /// Standard output and standard error, in the order in which they were written.
    pub(crate) output: String,
    pub(crate) log: PathBuf,
    pub(crate) took: Duration,
    /// Processes that were still there after the end, and are no more.
    pub(crate) leftovers: Vec<String>,
}

/// Runs `commands` one after the other, all of them, into `target/xtask/NAME.log`.
pub(crate) fn run(workspace: &Workspace, name: &str, label: &str, commands: &mut [Command]) -> Result<Outcome, Error> {
    let log = workspace.state(&format!("{name}.log"));
    let folder = log.parent().expect("a log lies in a folder");
    fs::create_dir_all(folder).map_err(Error::file(folder))?;
    let mut file = File::create(&log).map_err(Error::file(&log))?;

    let progress = Progress::start(label);
    let mut failed: Option<ExitStatus> = None;
    let mut last: Option<ExitStatus> = None;
    let mut leftovers = Vec::new();
    for command in commands {
        writeln!(file, "$ {}", words(command)).map_err(Error::file(&log))?;
        command.stdout(file.try_clone()?).stderr(file.try_clone()?);
        let mut running = Running::start(command)?;
        let status = running.wait()?;
        leftovers.extend(running.leftovers());
        last = Some(status);
        failed = failed.or((!status.success()).then_some(status));
    }
    let took = progress.finish();
    process::go_on()?;
    let status = failed.or(last).ok_or_else(|| Error::Failed(format!("{label}: nothing to run")))?;
    let output = String::from_utf8_lossy(&fs::read(&log).map_err(Error::file(&log))?).into_owned();
    Ok(Outcome { status, output, log, took, leftovers })
}

/// Runs what must succeed before anything else makes sense, and says so if it took its time.
pub(crate) fn prepare(workspace: &Workspace, name: &str, label: &str, commands: &mut [Command]) -> Result<(), Error> {
    let outcome = run(workspace, name, label, commands)?;
    if !outcome.status.success() {
        return Err(Error::Failed(format!(
            "could not {label} ({}):\n{}",
            process::describe(outcome.status),
            outcome.output
        )));
    }
    if outcome.took >= WORTH_A_LINE {
        eprintln!("  done  {label}, {}", seconds(outcome.took));
    }
    Ok(())
}

/// The output of a quick command; `None` if it cannot be started or fails.
pub(crate) fn answer(mut command: Command) -> Option<String> {
    let output = command.stdin(std::process::Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    output.status.success().then_some(text)
}

fn words(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy()));
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn scratch(name: &str) -> (PathBuf, Workspace) {
        let folder = std::env::temp_dir().join(format!("xtask-job-{}-{name}", std::process::id()));
        (folder.clone(), Workspace::at(&folder))
    }

    #[test]
    fn keeps_both_streams_in_order_and_goes_on_after_a_failure() {
        let (folder, workspace) = scratch("order");
        let mut commands = [sh("echo out; echo err >&2; exit 3"), sh("echo again")];
        let outcome = run(&workspace, "order", "trying", &mut commands).unwrap();
        assert_eq!(outcome.status.code(), Some(3));
        let lines: Vec<&str> = outcome.output.lines().filter(|line| !line.starts_with('$')).collect();
        assert_eq!(lines, ["out", "err", "again"]);
        assert!(outcome.leftovers.is_empty());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_failed_preparation_shows_why() {
        let (folder, workspace) = scratch("why");
        let error = prepare(&workspace, "why", "build it", &mut [sh("echo no disk; exit 1")]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("could not build it (exit code 1)") && text.contains("no disk"), "{text}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn answers_or_does_not() {
        assert_eq!(answer(sh("echo 1.2.3")).as_deref(), Some("1.2.3"));
        assert_eq!(answer(sh("exit 1")), None);
        assert_eq!(answer(Command::new("no-such-program-here")), None);
    }
}
