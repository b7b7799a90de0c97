//! What runs inside the interpreters, and how they are started.
//!
//! The command line holds a few lines that read the harness itself, the first frame of the control channel: so it
//! needs no file, has no limit of length, and does not fill the process list.

use std::io;
use std::path::{Path, PathBuf};

use agb_sandbox::Policy;

use crate::process::random_hex;
use crate::{KernelSpec, Language, StartError, installation, java, javascript, python, r};

/// How an interpreter is started.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// Environment that the interpreter needs; what the spec gives comes on top.
    pub(crate) env: Vec<(String, String)>,
    /// The program that serves cells; empty where the interpreter has it already.
    pub(crate) source: &'static str,
    /// What of this machine it must be able to read, beyond the system's own.
    pub(crate) readonly: Vec<PathBuf>,
    /// A directory that goes with the process.
    pub(crate) scratch: Option<Scratch>,
}

impl Launch {
    fn new(program: &Path, args: &[&str], source: &'static str) -> Self {
        Self {
            program: program.to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            env: Vec::new(),
            readonly: Vec::new(),
            source,
            scratch: None,
        }
    }
}

/// Finds out how to start a language's interpreter.
pub(crate) async fn prepare(spec: &KernelSpec) -> Result<Launch, StartError> {
    let mut launch = launch(spec).await?;
    launch.program = installation::plain(&launch.program);
    launch.readonly.extend(installation::readable(spec.language, &spec.interpreter));
    Ok(launch)
}

async fn launch(spec: &KernelSpec) -> Result<Launch, StartError> {
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
pub(crate) struct Scratch {
    /// Where it is, and where the program sees it.
    path: PathBuf,
    inside: PathBuf,
}

impl Scratch {
    /// Makes a directory in the one that the policy has for temporary files. Without such a one, the sandbox has its
    /// own, which goes with it.
    pub(crate) fn create(spec: &KernelSpec) -> io::Result<Option<Self>> {
        use std::os::unix::fs::{DirBuilderExt, lchown};
        let Policy { level, tmp, slot, .. } = &spec.policy;
        let Some(tmp) = tmp else { return Ok(None) };
        let name = format!("agb-{}-{}", spec.language, random_hex()?);
        let path = tmp.join(&name);
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        let inside = if level.has_namespaces() { Path::new("/tmp").join(name) } else { path.clone() };
        let scratch = Self { path, inside };
        if let Some(user) = spec.launcher.user_of(*level, *slot) {
            // Not what a link leads to that another program of the session may have put there.
            lchown(&scratch.path, Some(user), Some(user))?;
        }
        Ok(Some(scratch))
    }

    pub(crate) fn inside(&self) -> String {
        self.inside.display().to_string()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %self.path.display(), %error, "temporary files of a kernel could not be removed");
        }
    }
}
