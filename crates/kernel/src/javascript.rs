//! The JavaScript harness: what the kernel's interpreter is started with, and its sources.

/// The command line's program: takes the sources from the control channel.
pub(crate) const BOOT: &str = include_str!("javascript/boot.cjs");

/// The sources in one text: name and source of every file, apart by NUL. `main` is what runs; the others are compiled
/// when it, or a cell, needs them.
pub(crate) const SOURCES: &str = concat!(
    "main\0",
    include_str!("javascript/main.cjs"),
    "\0control\0",
    include_str!("javascript/control.cjs"),
    "\0watcher\0",
    include_str!("javascript/watcher.cjs"),
    "\0timers\0",
    include_str!("javascript/timers.cjs"),
    "\0children\0",
    include_str!("javascript/children.cjs"),
    "\0input\0",
    include_str!("javascript/input.cjs"),
    "\0output\0",
    include_str!("javascript/output.cjs"),
    "\0cells\0",
    include_str!("javascript/cells.cjs"),
    "\0errors\0",
    include_str!("javascript/errors.cjs"),
    "\0imports\0",
    include_str!("javascript/imports.cjs"),
);
