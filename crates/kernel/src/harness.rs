//! What runs inside the interpreters, and how they are started.
//!
//! The command line holds a few lines that read the harness itself, the first frame of the control channel: so it
//! needs no file, has no limit of length, and does not fill the process list.

use std::io;
use std::path::{Path, PathBuf};

use crate::process::random_hex;
use crate::{KernelSpec, Language, StartError, java, javascript, python, r};

/// How an interpreter is started.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// Environment that the interpreter needs; what the spec gives comes on top.
    pub(crate) env: Vec<(String, String)>,
    /// The program that serves cells; empty where the interpreter has it already.
    pub(crate) source: &'static str,
    /// A directory that goes with the process.
    pub(crate) scratch: Option<Scratch>,
}

impl Launch {
    fn new(program: &Path, args: &[&str], source: &'static str) -> Self {
        Self {
            program: program.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            env: Vec::new(),
            source,
            scratch: None,
        }
    }
}

/// Finds out how to start a language's interpreter.
pub(crate) async fn prepare(spec: &KernelSpec) -> Result<Launch, StartError> {
    match spec.language {
        Language::Python => Ok(Launch::new(
            &spec.interpreter,
            // Isolated: neither the environment nor the working directory decides what the harness imports.
            &["-I", "-c", python::BOOT],
            python::SOURCES,
        )),
        Language::JavaScript => Ok(Launch::new(
            &spec.interpreter,
            // An interrupted timer callback leaves node's bookkeeping of asynchronous contexts one entry too deep;
            // with the check it would end the process for that.
            &["--no-force-async-hooks-checks", "-e", javascript::BOOT],
            javascript::SOURCES,
        )),
        Language::R => r::prepare(spec).await,
        Language::Java => java::prepare(spec).await,
    }
}

/// A directory for the temporary files of one process: one that is killed cannot remove its own.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes a directory that only this user can enter, in the spec's `TMPDIR` or the system's.
    pub(crate) fn create(spec: &KernelSpec) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let given = spec.env.iter().rev().find(|(name, _)| name == "TMPDIR");
        let parent = given.map_or_else(std::env::temp_dir, |(_, dir)| PathBuf::from(dir));
        let path = parent.join(format!("agb-{}-{}", spec.language, random_hex()?));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %self.0.display(), %error, "temporary files of a kernel could not be removed");
        }
    }
}
