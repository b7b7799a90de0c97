//! What a kernel is made of: language, interpreter, place, limits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agb_sandbox::{Launcher, Policy};

use crate::{Language, Zygote, cache};

/// What a [`Kernel`](crate::Kernel) is started from. The same spec serves every restart.
#[derive(Debug, Clone)]
pub struct KernelSpec {
    /// The language of the cells.
    pub language: Language,
    /// The interpreter's executable; see [`find_interpreter`](crate::find_interpreter).
    pub interpreter: PathBuf,
    /// What makes the sandbox that the interpreter runs in.
    pub launcher: Arc<Launcher>,
    /// Where the program runs, and what it may do there. What the interpreter itself needs to read is added to it, and
    /// so is a `PATH` with the interpreter's own directory first.
    pub policy: Policy,
    /// The folder for what is compiled once and used by every kernel: the harness of each language. Only this user may
    /// write there.
    pub cache: PathBuf,
    /// A warm interpreter to be copied instead of starting one, made from a spec that differs from this one in what is a
    /// session's own at most; see [`Zygote`].
    pub zygote: Option<Zygote>,
    /// Whether each cell is a whole program, which ends as its language's own tool ends it: threads that the tool waits for
    /// are waited for, and what is to be called at the end is called. The variables of Python and R are lost with it. Not for
    /// copies of a zygote: finalizers of what a program leaves behind are not called there.
    pub ends_programs: bool,
    /// The file name of such a program, in the folder where it runs: what its language's own tool makes of it is there, such
    /// as `__file__`, `process.argv[1]` or the places in stack traces. Without one it is `cell.py` and the like.
    pub program_name: Option<String>,
    /// What such a program finds behind its name, as of a command line.
    pub arguments: Vec<String>,
    /// What bounds the kernel.
    pub limits: KernelLimits,
}

impl KernelSpec {
    /// A spec with default limits.
    #[must_use]
    pub fn new(language: Language, interpreter: impl Into<PathBuf>, launcher: Arc<Launcher>, policy: Policy) -> Self {
        Self {
            language,
            interpreter: interpreter.into(),
            launcher,
            policy,
            cache: cache::default_cache(),
            zygote: None,
            ends_programs: false,
            program_name: None,
            arguments: Vec::new(),
            limits: KernelLimits::default(),
        }
    }
}

/// What bounds a kernel. Each default has its reason beside it.
#[derive(Debug, Clone)]
pub struct KernelLimits {
    /// How long an interrupted program may take to stop before it is killed with all that it has started. Three quarters of
    /// it are for cleaning up: then it is interrupted once more.
    ///
    /// 2 s: loops, sleeps and child processes stop within milliseconds, and 1.5 s are enough to close files and to say so;
    /// what has not stopped by then sits in a native call and will not. A client waits 2.5 s for a cancel to be confirmed.
    pub interrupt_grace: Duration,
    /// How long the interpreter may take to report that it is ready.
    ///
    /// 30 s: the slowest takes 0.7 s on an idle machine (Java); the rest is for a machine that is very busy.
    pub start_timeout: Duration,
    /// The largest control frame taken from the interpreter; a larger one kills it.
    ///
    /// 32 MiB: a full-screen figure as base64 is 1 to 5 MiB; a program that wants to hand over more has files.
    pub max_control_frame: usize,
    /// How many cells may wait behind the running one.
    ///
    /// 64: a notebook's "run all" fits; a caller that queues without looking gets an error instead of memory.
    pub queued_cells: usize,
    /// How many bytes of output may wait in an [`Execution`](crate::Execution) before the pipes are not read any more. A
    /// [`CellSink`](crate::CellSink) has a limit of its own.
    ///
    /// 256 KiB: four full pipes, so that reader and writer need not alternate; nothing worth the name memory.
    pub output_buffer: usize,
    /// How many bytes of a program's output are taken a second, in the long run; a second's worth may come at once. A
    /// program above it waits in its `write`: it loses nothing and is not killed. 0: as fast as it comes.
    ///
    /// 64 MiB: half of what a gigabit line takes, and more than anybody reads; 10 GB take two and a half minutes, of
    /// which the server's thread works a quarter and has the rest for the others.
    pub output_rate: u64,
    /// How many bytes that were written between two cells are kept for the second one; older ones are left out.
    ///
    /// 256 KiB: a few thousand lines of a server's log; who wants all of it writes it to a file.
    pub background_output: usize,
    /// How many bytes of objects a Java program may hold.
    ///
    /// 256 MiB: a few million objects; the virtual machine itself takes about 60 MiB more.
    pub java_heap: usize,
    /// How many bytes of input may wait for a program that does not read.
    ///
    /// 1 MiB: more than a person types or pastes; larger data belongs into a file.
    pub stdin_buffer: usize,
}

impl Default for KernelLimits {
    fn default() -> Self {
        Self {
            interrupt_grace: Duration::from_secs(2),
            start_timeout: Duration::from_secs(30),
            max_control_frame: 32 << 20,
            queued_cells: 64,
            output_buffer: 256 << 10,
            output_rate: 64 << 20,
            background_output: 256 << 10,
            java_heap: 256 << 20,
            stdin_buffer: 1 << 20,
        }
    }
}
