//! The launcher: the small process that makes sandboxes.
//!
//! ```text
//! server ── launcher (this) ── PID 1 of a sandbox: init ── the program's process ── what it starts
//!   │           one per server        one per sandbox
//!   └────────── control socket ─────────────┘
//! ```
//!
//! The commands of a session are in one process table, so theirs is not PID 1: see [`processes`](crate::processes).
//!
//! It is the server's own executable, started anew, so that what is copied for each sandbox is small, has one thread
//! and knows no secret. Invariants:
//!
//! 1. The helper has one thread, always. That is what makes it sound to go on in Rust after `clone`: no lock can be
//!    held by a thread that the copy does not have.
//! 2. It ends when the server's end of its socket is closed, and so when the server dies in whatever way. Each
//!    sandbox ends when the launcher does: the kernel kills it ([`die_with_parent`]), and it watches both sockets.
//! 3. Every descriptor is closed by `exec`, except those that the program is to have.
//! 4. A panic ends the process; it never unwinds into code that belongs to another.
//!
//! [`die_with_parent`]: crate::sys::process::die_with_parent

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};

use crate::dial;
use crate::error::Stage;
use crate::plan::{Kind, MAX_PLAN, Message, Plan};
use crate::processes::SharedNamespaces;
use crate::sys::{process, socket};
use crate::{Level, tree};

mod broker;
mod confine;
mod copy;
mod filter;
mod host;
mod init;
mod landlock;
mod nursery;
mod root;
mod supervise;
mod table;
mod trial;

pub(crate) use host::Host;
use init::SpawnMode;
pub use root::system_paths;

/// The argument that turns an executable into a launcher.
pub(crate) const ARGUMENT: &str = "__sandbox-launcher";

/// What the launcher says when it is ready.
pub(crate) const HELLO: &[u8; 4] = b"agb1";

/// The number under which the launcher finds its socket: its standard input.
const SOCKET: i32 = 0;

/// Becomes a sandbox launcher, and never returns, if this process was started as one; otherwise does nothing.
///
/// Call it first thing in `main` of the executable that is given to [`Launcher::start`](crate::Launcher::start),
/// before any thread is started. Executables whose `main` is not theirs, tests, have
/// [`helper_before_main`](crate::helper_before_main).
pub fn main_if_helper() {
    if dial::is_wanted() {
        process::exit(dial::run());
    }
    if is_helper() {
        std::panic::set_hook(Box::new(|panic| {
            eprintln!("agb sandbox launcher: {panic}");
            process::exit(101);
        }));
        process::exit(run());
    }
}

/// Whether this process was started to be a launcher.
pub(crate) fn is_helper() -> bool {
    let mut args = std::env::args_os().skip(1);
    args.next().is_some_and(|arg| arg == ARGUMENT) && args.next().is_none()
}

/// Lets an executable be a launcher whose `main` is not its own, such as a test's: [`main_if_helper`] is called by the
/// loader, before `main`.
///
/// ```
/// agb_sandbox::helper_before_main!();
/// ```
#[macro_export]
macro_rules! helper_before_main {
    () => {
        const _: () = {
            extern "C" fn before_main() {
                $crate::main_if_helper();
            }
            // SAFETY: a section of function pointers, which the loader calls in one thread before `main`. The standard
            // library puts itself before those: the arguments are there. A panic ends the process at `extern "C"`.
            #[used]
            #[unsafe(link_section = ".init_array")]
            static BEFORE_MAIN: extern "C" fn() = before_main;
        };
    };
}

fn run() -> i32 {
    let Some(server) = process::inherited(SOCKET) else { return 2 };
    if !is_single_threaded() {
        eprintln!("agb sandbox launcher: call main_if_helper before starting threads");
        return 3;
    }
    // A terminal's Ctrl-C is for the server, which ends its sandboxes in its own time.
    let _ = process::new_session();
    // Sandboxes are reaped by the kernel: what became of them, they tell the server themselves.
    process::forget_children();
    // If the first process of a sandbox dies at a level without a pid namespace, its orphans come here.
    let _ = process::adopt_orphans();
    let Ok(host) = Host::look() else { return 4 };
    // Sandboxes keep the reading end. When it says that the writing end is gone, so is the launcher.
    let Ok((liveness, alive)) = io::pipe() else { return 4 };
    let liveness: OwnedFd = liveness.into();
    if socket::send(server.as_fd(), HELLO, &[]).is_err() {
        return 0;
    }
    let mut own = Some(Own { server, _alive: alive.into() });
    let mut buffer = vec![0; MAX_PLAN];
    let mut orphans = Orphans::default();
    while let Some(Own { server, .. }) = &own {
        if !orphans.wait(server.as_fd()) {
            continue;
        }
        match socket::receive(server.as_fd(), &mut buffer, true) {
            Ok(received) if received.len == 0 => return 0,
            Ok(mut received) => {
                let Some(control) = received.fds.pop() else { continue };
                let Some(plan) = Plan::decode(&buffer[..received.len]) else {
                    fail(control.as_fd(), &Failure::new(Stage::Fork, libc::EPROTO, "an unreadable plan"));
                    continue;
                };
                let with_user = plan.policy.level == Level::Namespaces;
                let count = if plan.joins_processes { 1 + usize::from(with_user) } else { 0 };
                let processes = received.fds.split_off(received.fds.len().saturating_sub(count));
                let processes = SharedNamespaces::of(processes);
                let network = plan.joins_network.then(|| received.fds.pop()).flatten();
                let Ok(fds) = <[OwnedFd; 5]>::try_from(received.fds) else {
                    fail(control.as_fd(), &Failure::new(Stage::Fork, libc::EPROTO, "not the program's descriptors"));
                    continue;
                };
                if plan.kind == Kind::Nursery {
                    nursery::launch(&host, &plan, fds, control, liveness.as_fd(), &mut own);
                    continue;
                }
                let gifts = init::Gifts { fds, network, processes, control };
                let made = init::create(&host, &plan, gifts, liveness.as_fd(), SpawnMode::Start, || own = None);
                if !plan.policy.level.has_namespaces() {
                    orphans.firsts.extend(made);
                }
            }
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => {}
            Err(_) => return 1,
        }
    }
    1
}

/// Ends what a sandbox without a PID namespace leaves behind if its first process is killed: the orphans come to the
/// launcher.
#[derive(Default)]
struct Orphans {
    /// The first processes of such sandboxes.
    firsts: Vec<OwnedFd>,
    /// One of them has ended, and there may be orphans.
    hunting: bool,
}

impl Orphans {
    /// Waits for the server, and meanwhile does its own work. Whether there is something from the server.
    fn wait(&mut self, server: BorrowedFd<'_>) -> bool {
        let mut polled: Vec<PollFd<'_>> = std::iter::once(server)
            .chain(self.firsts.iter().map(AsFd::as_fd))
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        // 2 ms: an orphan that has just been killed leaves its own.
        let timeout = self.hunting.then_some(Duration::from_millis(2));
        if socket::wait_any(&mut polled, timeout).is_err() {
            return true;
        }
        let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut ended = ready.iter().skip(1);
        let before = self.firsts.len();
        self.firsts.retain(|_| ended.next() != Some(&true));
        if self.hunting || self.firsts.len() < before {
            // What cannot be looked up now, may be later.
            self.hunting = kill_orphans().unwrap_or(true);
        }
        ready[0]
    }
}

/// Kills the launcher's children that are not first processes of sandboxes: those are of its own session, and a program is
/// of another. Whether there were any.
fn kill_orphans() -> io::Result<bool> {
    let own = process::id();
    let mut found = false;
    for child in tree::children(own)?.unwrap_or_default() {
        if process::session_of(child).is_some_and(|session| session != own) {
            found = true;
            for pid in tree::descendants(child)?.into_iter().chain([child]) {
                let _ = process::kill(pid);
            }
        }
    }
    Ok(found)
}

/// What only the launcher may hold, so that its end is noticed at the other ends.
struct Own {
    server: OwnedFd,
    _alive: OwnedFd,
}

/// A step that failed, on its way to the server.
#[derive(Debug)]
struct Failure {
    stage: Stage,
    errno: i32,
    detail: String,
}

impl Failure {
    fn new(stage: Stage, errno: i32, detail: impl Into<String>) -> Self {
        Self { stage, errno, detail: detail.into() }
    }

    fn of(stage: Stage, error: &io::Error, detail: impl Into<String>) -> Self {
        Self::new(stage, error.raw_os_error().unwrap_or(libc::EIO), detail)
    }
}

/// Says where an error happened.
trait At<T> {
    fn at(self, stage: Stage, detail: &str) -> Result<T, Failure>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, stage: Stage, detail: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::of(stage, &error, detail))
    }
}

fn fail(control: BorrowedFd<'_>, failure: &Failure) {
    let Failure { stage, errno, detail } = failure;
    let message = Message::Failed { stage: *stage, errno: *errno, detail: detail.clone() };
    // If nobody listens any more, nobody needs to know.
    let _ = socket::send(control, &message.encode(), &[]);
}

fn is_single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").map_or(true, |tasks| tasks.count() == 1)
}
