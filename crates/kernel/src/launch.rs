//! How an interpreter is started.

use std::path::{Path, PathBuf};

use crate::scratch::Scratch;

/// What an interpreter is started from.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// Environment that the interpreter needs; what the spec gives comes on top.
    pub(crate) env: Vec<(String, String)>,
    /// What the control channel brings first, in frames: the program that serves cells.
    pub(crate) harness: Vec<u8>,
    /// What of this machine it must be able to read, beyond the system's own.
    pub(crate) readonly: Vec<PathBuf>,
    /// A directory that goes with the process.
    pub(crate) scratch: Option<Scratch>,
}

impl Launch {
    pub(crate) fn new(program: &Path, args: &[&str], harness: Vec<u8>) -> Self {
        Self {
            program: program.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            env: Vec::new(),
            readonly: Vec::new(),
            harness,
            scratch: None,
        }
    }
}
