//! The Python harness: what the kernel's interpreter is started with, and its sources.

/// The command line's program: takes the sources from the control channel.
pub(crate) const BOOT: &str = include_str!("python/boot.py");

/// The sources in one text: the loader, then name and source of every other file, apart by NUL.
///
/// The interpreter compiles each file when it is first needed. `python/main.py` imports what the first cell needs.
pub(crate) const SOURCES: &str = concat!(
    include_str!("python/loader.py"),
    "\0control\0",
    include_str!("python/control.py"),
    "\0streams\0",
    include_str!("python/streams.py"),
    "\0cells\0",
    include_str!("python/cells.py"),
    "\0main\0",
    include_str!("python/main.py"),
    "\0asking\0",
    include_str!("python/asking.py"),
    "\0errors\0",
    include_str!("python/errors.py"),
    "\0results\0",
    include_str!("python/results.py"),
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
