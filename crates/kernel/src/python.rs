//! The Python harness: what the kernel's interpreter is started with, and its sources.

use crate::compiled::Recipe;
use crate::launch::Launch;
use crate::{KernelSpec, StartError};

/// How the harness is compiled. Neither the environment nor installed packages take part: those run as programs only.
static RECIPE: Recipe =
    Recipe { name: "python", args: ["-I", "-S", "-c", include_str!("python/compile.py")], sources: SOURCES };

pub(crate) async fn prepare(spec: &KernelSpec) -> Result<Launch, StartError> {
    // Isolated: neither the environment nor the working directory decides what the harness imports.
    Ok(Launch::new(&spec.interpreter, &["-I", "-c", BOOT], RECIPE.harness(spec).await?))
}

/// The command line's program: takes the harness from the control channel.
const BOOT: &str = include_str!("python/boot.py");

/// The sources in one text: the loader, then name and source of every other file, apart by NUL.
///
/// The interpreter takes each file, or its bytecode, when it is first needed. `python/main.py` imports what the first cell needs.
const SOURCES: &str = concat!(
    include_str!("python/loader.py"),
    "\0control\0",
    include_str!("python/control.py"),
    "\0untouched\0",
    include_str!("python/untouched.py"),
    "\0streams\0",
    include_str!("python/streams.py"),
    "\0cells\0",
    include_str!("python/cells.py"),
    "\0run\0",
    include_str!("python/run.py"),
    "\0main\0",
    include_str!("python/main.py"),
    "\0asking\0",
    include_str!("python/asking.py"),
    "\0asyncio_input\0",
    include_str!("python/asyncio_input.py"),
    "\0errors\0",
    include_str!("python/errors.py"),
    "\0ending\0",
    include_str!("python/ending.py"),
    "\0looks\0",
    include_str!("python/looks.py"),
    "\0results\0",
    include_str!("python/results.py"),
    "\0loops\0",
    include_str!("python/loops.py"),
    "\0strangers\0",
    include_str!("python/strangers.py"),
    "\0documents\0",
    include_str!("python/documents.py"),
    "\0standard_input\0",
    include_str!("python/standard_input.py"),
    "\0libraries\0",
    include_str!("python/libraries.py"),
    "\0notebook\0",
    include_str!("python/notebook.py"),
    "\0shell\0",
    include_str!("python/shell.py"),
    "\0magics\0",
    include_str!("python/magics.py"),
    "\0packages\0",
    include_str!("python/packages.py"),
    "\0plotting\0",
    include_str!("python/plotting.py"),
    "\0figures\0",
    include_str!("python/figures.py"),
    "\0shim\0",
    include_str!("python/shim.py"),
    "\0formats\0",
    include_str!("python/formats.py"),
    "\0processes\0",
    include_str!("python/processes.py"),
    "\0zygote\0",
    include_str!("python/zygote.py"),
);
