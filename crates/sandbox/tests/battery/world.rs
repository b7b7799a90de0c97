//! What the tests share: a launcher, directories, programs and their pipes.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use agb_sandbox::{Child, Command, Launcher, Level, Policy, SpawnError, remove_tree};
use agb_testkit::leftovers::of_the_dead;

/// More than anything below takes on a busy machine; hit only if something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What the tests share.
pub(crate) struct World {
    pub(crate) launcher: Launcher,
    /// The isolated levels of this machine.
    pub(crate) levels: Vec<Level>,
    pub(crate) dir: PathBuf,
    pub(crate) next: AtomicU32,
    /// Dropped after the launcher, when nothing runs any more that could write there.
    _removed: Removed,
}

impl World {
    pub(crate) fn new() -> Self {
        let launcher = Launcher::start("/proc/self/exe").expect("the launcher starts");
        let report = launcher.probe();
        let levels = report.levels.iter().filter(|(level, offer)| *level != Level::None && offer.is_ok());
        let levels = levels.map(|(level, _)| *level).collect();
        let parent = std::env::temp_dir();
        drop(of_the_dead(&parent, "agb-sandbox").into_iter().map(Removed).collect::<Vec<_>>());
        let dir = parent.join(format!("agb-sandbox-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("the temporary directory can be written");
        let removed = Removed(dir.clone());
        // At the level landlock, another user has to pass through it.
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o755)).expect("it is ours");
        Self { launcher, levels, dir, next: AtomicU32::new(0), _removed: removed }
    }

    /// A policy with a slot and a working directory of its own.
    pub(crate) fn policy(&self, level: Level) -> Policy {
        let slot = self.next.fetch_add(1, Ordering::Relaxed);
        let workdir = self.dir.join(format!("work-{slot}"));
        std::fs::create_dir(&workdir).expect("the parent is ours");
        std::fs::set_permissions(&workdir, PermissionsExt::from_mode(0o700)).expect("it is ours");
        Policy::new(level, workdir, slot)
    }

    pub(crate) fn spawn(&self, policy: &Policy, command: &Command) -> Result<(Child, Ends), SpawnError> {
        spawn(&self.launcher, policy, command)
    }

    /// Runs a Python program to its end.
    pub(crate) fn python(&self, policy: &Policy, code: &str) -> (ExitStatus, String) {
        let command = Command::new("/usr/bin/python3").args(["-I", "-S", "-c", code]);
        let (mut child, mut ends) = self.spawn(policy, &command).unwrap_or_else(|error| panic!("{error}"));
        let status = child.wait_timeout(PATIENCE).expect("waiting works").expect("the program ends");
        let mut text = String::new();
        ends.output.read_to_string(&mut text).expect("it prints text");
        (status, text)
    }
}

/// A folder that goes with this value, however deep and closed what programs have left there is.
pub(crate) struct Removed(pub(crate) PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        remove_tree(&self.0).unwrap_or_else(|error| println!("{} is left: {error}", self.0.display()));
    }
}

/// Our ends of a program's pipes.
pub(crate) struct Ends {
    /// Standard output and error.
    pub(crate) output: io::PipeReader,
    /// Descriptor 3.
    pub(crate) to: io::PipeWriter,
    /// Descriptor 4.
    pub(crate) from: io::PipeReader,
}

pub(crate) fn spawn(launcher: &Launcher, policy: &Policy, command: &Command) -> Result<(Child, Ends), SpawnError> {
    let null: OwnedFd = std::fs::File::open("/dev/null").expect("there is /dev/null").into();
    let (output, writer) = io::pipe().expect("there are pipes");
    let (reader, to) = io::pipe().expect("there are pipes");
    let (from, answer) = io::pipe().expect("there are pipes");
    let fds = [null.as_fd(), writer.as_fd(), writer.as_fd(), reader.as_fd(), answer.as_fd()];
    let child = launcher.spawn(policy, command, fds)?;
    Ok((child, Ends { output, to, from }))
}

/// A line that the program prints.
pub(crate) fn line(output: &mut io::PipeReader) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while output.read(&mut byte).expect("the pipe works") == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    String::from_utf8(line).expect("it prints text")
}
