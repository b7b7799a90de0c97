//! The JavaScript harness: what the kernel's interpreter is started with, and its sources.

use crate::compiled::Recipe;
use crate::launch::Launch;
use crate::{KernelSpec, StartError};

/// What node is started with: the program of the command line takes the sources from the control channel.
///
/// * An interrupted timer callback leaves node's bookkeeping of asynchronous contexts one entry too deep; with the
///   check it would end the process for that.
/// * Without `vm`'s modules node refuses to hand an `import()` in a cell to the harness.
const ARGUMENTS: [&str; 4] =
    ["--no-force-async-hooks-checks", "--experimental-vm-modules", "-e", include_str!("javascript/boot.cjs")];

/// How the harness is compiled: with the same flags.
static RECIPE: Recipe = Recipe {
    name: "javascript",
    args: [ARGUMENTS[0], ARGUMENTS[1], ARGUMENTS[2], include_str!("javascript/compile.cjs")],
    sources: SOURCES,
};

pub(crate) async fn prepare(spec: &KernelSpec) -> Result<Launch, StartError> {
    Ok(Launch::new(&spec.interpreter, &ARGUMENTS, RECIPE.harness(spec).await?))
}

/// The name and the source of a part of the harness, each ended by a NUL.
macro_rules! sources {
    ($($name:literal),+ $(,)?) => {
        concat!(
            include_str!("javascript/realm.cjs"),
            $("\0", $name, "\0", include_str!(concat!("javascript/", $name, ".cjs"))),+
        )
    };
}

/// The sources in one text, apart by NUL: what hands out the parts, then name and source of every part. `main` is what
/// runs; the others are compiled when it, or a cell, needs them.
const SOURCES: &str = sources!(
    "main",
    "captured",
    "control",
    "program",
    "watcher",
    "timers",
    "modules",
    "output",
    "input",
    "descriptors",
    "lines",
    "stacks",
    "ends",
    "cells",
    "errors",
    "syntax",
    "imports",
    "declarations",
);
