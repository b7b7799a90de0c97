//! Creating an interpreter process. The one file that a sandbox launcher replaces.
//!
//! A thread of its own creates every process, for two reasons. `PR_SET_PDEATHSIG`, which ends the interpreter when
//! this process is killed by -9, watches the *thread* that created it: a thread of a runtime may end earlier. And
//! creating a process copies page tables, which must not stop a runtime's worker.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};

use tokio::sync::oneshot;

/// The descriptors on which a harness receives and answers.
const CONTROL_IN: RawFd = 3;
const CONTROL_OUT: RawFd = 4;

/// What is to be started.
#[derive(Debug)]
pub(crate) struct SpawnRequest {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) workdir: PathBuf,
    /// The whole environment: nothing is inherited.
    pub(crate) env: Vec<(String, String)>,
}

/// A process of its own session, and our ends of its pipes, all non-blocking.
#[derive(Debug)]
pub(crate) struct Spawned {
    pub(crate) child: Child,
    /// Readable once the process has died; it is not reaped by that.
    pub(crate) pidfd: OwnedFd,
    pub(crate) stdout: File,
    pub(crate) stderr: File,
    pub(crate) control_in: File,
    pub(crate) control_out: File,
}

/// Starts a process on the spawner thread.
pub(crate) async fn spawn(request: SpawnRequest) -> io::Result<Spawned> {
    let (reply, answer) = oneshot::channel();
    submit((request, reply))?;
    // A caller that gives up drops `answer`: the spawner then ends what it has started.
    answer.await.map_err(|_| io::Error::other("the spawner thread has ended"))?
}

type Order = (SpawnRequest, oneshot::Sender<io::Result<Spawned>>);

fn submit(order: Order) -> io::Result<()> {
    static SPAWNER: Mutex<Option<mpsc::Sender<Order>>> = Mutex::new(None);
    let mut spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    if spawner.is_none() {
        let (orders, inbox) = mpsc::channel();
        // The sender lives in a static, so the thread lives as long as the process.
        std::thread::Builder::new().name("agb-spawner".to_owned()).spawn(move || serve(&inbox))?;
        *spawner = Some(orders);
    }
    let orders = spawner.as_ref().expect("it was made above");
    orders.send(order).map_err(|_| io::Error::other("the spawner thread has ended"))
}

fn serve(inbox: &mpsc::Receiver<Order>) {
    while let Ok((request, reply)) = inbox.recv() {
        if let Err(Ok(mut spawned)) = reply.send(start(request)) {
            // Nobody waits any more. The harness has run nothing yet, so there is no tree to end.
            let _ = spawned.child.kill();
            let _ = spawned.child.wait();
        }
    }
}

fn start(request: SpawnRequest) -> io::Result<Spawned> {
    let (control_in_end, control_in) = io::pipe()?;
    let (control_out, control_out_end) = io::pipe()?;
    let control_in_end = above_standard(control_in_end.into())?;
    let control_out_end = above_standard(control_out_end.into())?;
    let (read_in, write_out) = (control_in_end.as_raw_fd(), control_out_end.as_raw_fd());
    let parent = std::process::id();

    let mut command = Command::new(&request.program);
    command.args(&request.args).current_dir(&request.workdir).env_clear().envs(request.env);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe functions may be
    // called: it makes system calls with integers it owns, and allocates and locks nothing. The descriptors stay
    // open in the parent until `spawn` has returned.
    unsafe {
        command.pre_exec(move || become_kernel(read_in, write_out, parent));
    }
    let mut child = command.spawn()?;
    drop((control_in_end, control_out_end));

    let pidfd = match open_pidfd(child.id()) {
        Ok(pidfd) => pidfd,
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
    };
    let stdout: OwnedFd = child.stdout.take().expect("it was piped above").into();
    let stderr: OwnedFd = child.stderr.take().expect("it was piped above").into();
    let spawned = Spawned {
        child,
        pidfd,
        stdout: stdout.into(),
        stderr: stderr.into(),
        control_in: OwnedFd::from(control_in).into(),
        control_out: OwnedFd::from(control_out).into(),
    };
    for pipe in [&spawned.stdout, &spawned.stderr, &spawned.control_in, &spawned.control_out] {
        set_nonblocking(pipe)?;
    }
    Ok(spawned)
}

/// The child's last steps before it becomes the interpreter.
fn become_kernel(control_in: RawFd, control_out: RawFd, parent: u32) -> io::Result<()> {
    // SAFETY: plain system calls on integers. `signal` with SIG_DFL installs no function.
    unsafe {
        check(libc::setsid())?;
        check(libc::dup2(control_in, CONTROL_IN))?;
        check(libc::dup2(control_out, CONTROL_OUT))?;
        // Whatever else this process has inherited open without the flag is none of the program's business.
        libc::syscall(libc::SYS_close_range, CONTROL_OUT + 1, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        if libc::getppid().unsigned_abs() != parent {
            libc::_exit(1); // the parent died before the line above: nobody would end us
        }
        for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGHUP, libc::SIGCHLD] {
            libc::signal(signal, libc::SIG_DFL); // nohup and shells hand on ignored ones
        }
    }
    Ok(())
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same pipe under a number that neither `dup2` above can overwrite.
fn above_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    // SAFETY: `fd` is open; the result is a new descriptor that nobody else owns.
    unsafe {
        let raised = check(libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, CONTROL_OUT + 1))?;
        Ok(OwnedFd::from_raw_fd(raised))
    }
}

fn open_pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: a system call on integers; the result is a new descriptor that nobody else owns. The child is not
    // reaped yet, so its number means it.
    unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        let fd = RawFd::try_from(fd).expect("a descriptor is an int");
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

fn set_nonblocking(file: &File) -> io::Result<()> {
    // SAFETY: `file` is open. Reader and writer of a pipe have flags of their own, so the program's end still blocks.
    unsafe {
        let flags = check(libc::fcntl(file.as_raw_fd(), libc::F_GETFL))?;
        check(libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK))?;
    }
    Ok(())
}
