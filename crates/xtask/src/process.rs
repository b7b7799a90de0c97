//! Children that never outlive us.
//!
//! Each child leads a process group. On SIGINT, SIGTERM or SIGHUP every group is told to end, then killed; the code
//! that waits for a child sees it end and returns [`Error::Interrupted`]. If we are killed ourselves, the kernel sends
//! our children SIGTERM. On Linux we are also the reaper of all descendants, so that even one that moved to a group of
//! its own and lost its parent comes back to us, where [`Running::leftovers`] finds it.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, waitpid};

use crate::error::Error;

/// How long a group may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// How long descendants may outlive the leader of their group before they count as left behind.
const LINGER: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(20);

static SIGNAL: AtomicI32 = AtomicI32::new(0);
static SIGNALS: AtomicUsize = AtomicUsize::new(0);
static GROUPS: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Call once, before anything is started.
pub(crate) fn take_charge() -> io::Result<()> {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: `action` is a valid, fully initialised sigaction; the handler only touches atomics.
        let status = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_signal as extern "C" fn(i32) as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(signal, &action, std::ptr::null_mut())
        };
        if status != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    #[cfg(target_os = "linux")]
    rustix::process::set_child_subreaper(Some(getpid()))?;
    thread::Builder::new().name("signals".into()).spawn(end_groups_on_signal)?;
    Ok(())
}

extern "C" fn on_signal(signal: i32) {
    SIGNAL.store(signal, Ordering::SeqCst);
    SIGNALS.fetch_add(1, Ordering::SeqCst);
}

/// Fails once a signal has told us to stop.
pub(crate) fn go_on() -> Result<(), Error> {
    match SIGNAL.load(Ordering::SeqCst) {
        0 => Ok(()),
        signal => Err(Error::Interrupted(signal)),
    }
}

fn end_groups_on_signal() {
    while go_on().is_ok() {
        thread::sleep(TICK);
    }
    for group in groups().iter() {
        signal_group(*group, libc::SIGTERM);
    }
    let killed_at = Instant::now() + GRACE;
    while Instant::now() < killed_at && SIGNALS.load(Ordering::SeqCst) == 1 {
        thread::sleep(TICK);
    }
    for group in groups().iter() {
        signal_group(*group, libc::SIGKILL);
    }
}

fn groups() -> MutexGuard<'static, Vec<i32>> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The group is one that we made and still hold: its leader is not reaped, or it has members, so the number cannot belong
/// to anyone else.
fn signal_group(group: i32, signal: i32) {
    if let (Some(group), Some(signal)) = (Pid::from_raw(group), Signal::from_named_raw(signal)) {
        let _ = kill_process_group(group, signal); // an error means that it has ended
    }
}

/// A child that leads its own process group; dropped, it is stopped.
pub(crate) struct Running {
    child: Child,
    group: i32,
    /// Orphans that were there before, such as a compiler cache's daemon: not ours to end.
    orphans_before: Vec<i32>,
    ended: bool,
}

impl Running {
    /// Starts `command` without standard input.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Error> {
        command.stdin(Stdio::null()).process_group(0);
        #[cfg(target_os = "linux")]
        // SAFETY: between fork and exec only a system call is made. The thread that starts children is the main
        // thread, so "parent" means this whole process.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
                Ok(())
            });
        }
        let orphans_before = orphans().into_iter().map(|process| process.id).collect();
        // With the list locked, a signal either is seen here or finds the new group in the list.
        let mut groups = groups();
        go_on()?;
        let child = command.spawn().map_err(|error| {
            let program = command.get_program().to_string_lossy().into_owned();
            Error::Failed(format!("cannot start {program}: {error}"))
        })?;
        let group = i32::try_from(child.id()).expect("process ids are positive C ints");
        groups.push(group);
        Ok(Running { child, group, orphans_before, ended: false })
    }

    pub(crate) fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    pub(crate) fn take_stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.child.stderr.take()
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus, Error> {
        let status = self.child.wait()?;
        go_on()?;
        Ok(status)
    }

    /// The status, if it has ended.
    pub(crate) fn poll(&mut self) -> Result<Option<ExitStatus>, Error> {
        go_on()?;
        Ok(self.child.try_wait()?)
    }

    /// Tells it to end, waits, and kills it if it does not.
    pub(crate) fn stop(&mut self) -> io::Result<ExitStatus> {
        if self.child.try_wait()?.is_none() {
            signal_group(self.group, libc::SIGTERM);
            let deadline = Instant::now() + GRACE;
            while self.child.try_wait()?.is_none() && Instant::now() < deadline {
                thread::sleep(TICK);
            }
            if self.child.try_wait()?.is_none() {
                signal_group(self.group, libc::SIGKILL);
            }
        }
        self.child.wait()
    }

    /// Kills it, as a machine that fails does.
    pub(crate) fn kill(&mut self) -> io::Result<ExitStatus> {
        if self.child.try_wait()?.is_none() {
            signal_group(self.group, libc::SIGKILL);
        }
        self.child.wait()
    }

    /// After the end: ends what it left running, and says what that was.
    pub(crate) fn leftovers(mut self) -> Vec<String> {
        self.end_descendants().iter().map(Process::to_string).collect()
    }

    fn end_descendants(&mut self) -> Vec<Process> {
        self.ended = true;
        let deadline = Instant::now() + LINGER;
        let mut left = self.descendants();
        while !left.is_empty() && Instant::now() < deadline && go_on().is_ok() {
            thread::sleep(TICK);
            left = self.descendants();
        }
        // Killing an orphan makes its children our orphans: look again until nothing is there.
        let mut remaining = left.clone();
        let deadline = Instant::now() + LINGER;
        while !remaining.is_empty() && Instant::now() < deadline {
            for process in &remaining {
                // It is a descendant that is alive, or our unreaped zombie.
                let _ = Pid::from_raw(process.id).map(|id| kill_process(id, Signal::KILL));
            }
            thread::sleep(TICK);
            remaining = self.descendants();
        }
        groups().retain(|group| *group != self.group);
        left
    }

    /// What lives on of this child's group, and orphans that came to us since it started.
    fn descendants(&self) -> Vec<Process> {
        let mut found = orphans();
        found.retain(|process| !self.orphans_before.contains(&process.id));
        found.extend(
            processes()
                .into_iter()
                .filter(|process| process.group == self.group && process.parent != own_id() && !process.is_zombie()),
        );
        found
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended {
            // Nothing more can be done about a child that cannot be waited for.
            let _ = self.stop();
            self.end_descendants();
        }
    }
}

/// The exit code of a program as ours.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// How a child ended, in words.
pub(crate) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

fn own_id() -> i32 {
    getpid().as_raw_pid()
}

/// A line of the process table.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Process {
    id: i32,
    name: String,
    state: char,
    parent: i32,
    group: i32,
}

impl Process {
    /// `/proc/ID/stat`: `ID (NAME) STATE PARENT GROUP …`, where the name may hold anything.
    fn parse(stat: &str) -> Option<Self> {
        let (id, rest) = stat.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let mut fields = rest.split(' ');
        Some(Process {
            id: id.parse().ok()?,
            name: name.to_owned(),
            state: fields.next()?.chars().next()?,
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
        })
    }

    fn is_zombie(&self) -> bool {
        self.state == 'Z'
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (process {})", self.name, self.id)
    }
}

/// All processes; none where there is no `/proc`.
fn processes() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit))
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter_map(|stat| Process::parse(&stat))
        .collect()
}

/// Living children of ours that we did not start: descendants whose parent has died. Dead ones are reaped.
fn orphans() -> Vec<Process> {
    let own = own_id();
    // Locked while looking: a child that has just been started is in the list.
    let groups = groups();
    let mut found = processes();
    found.retain(|process| process.parent == own && !groups.contains(&process.id));
    found.retain(|process| {
        if process.is_zombie() {
            // No `Child` stands for it.
            let _ = waitpid(Pid::from_raw(process.id), WaitOptions::NOHANG);
        }
        !process.is_zombie()
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_process_whose_name_holds_brackets() {
        let process = Process::parse("42 (a) S 7 (b)) S 1 40 40 0 -1").unwrap();
        assert_eq!((process.id, process.parent, process.group), (42, 1, 40));
        assert_eq!(process.name, "a) S 7 (b)");
        assert!(!process.is_zombie());
        assert_eq!(Process::parse("nonsense"), None);
    }

    #[test]
    fn finds_itself_in_the_process_table() {
        assert!(processes().iter().any(|process| process.id == own_id()));
    }

    #[test]
    fn stops_a_child_and_what_it_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & echo $!; wait"]).stdout(Stdio::piped());
        let mut running = Running::start(&mut command).unwrap();
        let mut line = String::new();
        let stdout = running.take_stdout().unwrap();
        io::BufRead::read_line(&mut io::BufReader::new(stdout), &mut line).unwrap();
        let sleeper: i32 = line.trim().parse().unwrap();
        let status = running.stop().unwrap();
        assert_eq!(describe(status), "killed by signal 15");
        drop(running);
        assert!(processes().iter().all(|process| process.id != sleeper || process.is_zombie()));
    }

    #[test]
    fn tells_what_a_child_left_behind_and_ends_it() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 1000 & exit 3"]);
        let mut running = Running::start(&mut command).unwrap();
        assert_eq!(describe(running.wait().unwrap()), "exit code 3");
        let group = running.group;
        let left = running.leftovers();
        assert_eq!(left.len(), 1, "{left:?}");
        assert!(left[0].starts_with("sleep (process "), "{left:?}");
        assert!(processes().iter().all(|process| process.group != group || process.is_zombie()));
    }
}
