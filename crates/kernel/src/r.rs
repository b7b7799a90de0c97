//! R: how it is started.
//!
//! `R` is a shell script that sets a few variables and becomes the real interpreter. The script is asked once for
//! these variables; kernels start the interpreter itself, which saves the time of a shell and some programs.
//!
//! The default packages take two thirds of R's start. The harness attaches them itself, after it has reported that it is
//! ready: while the first cell is still on its way. Until then nothing is compiled either: R would compile the packages'
//! hooks, which run once, for longer than they run. The harness was compiled before.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::compiled::Recipe;
use crate::launch::Launch;
use crate::scratch::Scratch;
use crate::{KernelSpec, Language, StartError, installation};

/// What the script sets for the interpreter, as opposed to for its other commands.
const VARIABLES: [&str; 6] = ["R_HOME", "R_SHARE_DIR", "R_INCLUDE_DIR", "R_DOC_DIR", "R_ARCH", "LD_LIBRARY_PATH"];

/// What runs in the interpreter: one program, in files by subject.
const HARNESS: &str = concat!(
    include_str!("r/copies.R"),
    include_str!("r/control.R"),
    include_str!("r/input.R"),
    include_str!("r/children.R"),
    include_str!("r/program.R"),
    include_str!("r/values.R"),
    include_str!("r/plots.R"),
    include_str!("r/cells.R"),
);

/// How the harness is compiled.
static RECIPE: Recipe =
    Recipe { name: "r", args: ["--vanilla", "--no-echo", "-e", include_str!("r/compile.R")], sources: HARNESS };

pub(crate) async fn prepare(spec: &KernelSpec) -> Result<Launch, StartError> {
    let failed = |reason: String| StartError::Prepare { language: Language::R, reason };
    let script = spec.interpreter.clone();
    let installation = tokio::task::spawn_blocking(move || Installation::of(&script))
        .await
        .map_err(|_| failed("the server is shutting down".to_owned()))?
        .map_err(failed)?;
    // R makes a directory of its own when it starts, and a file for `-e`.
    let scratch = Scratch::create(spec).map_err(|error| failed(format!("no temporary directory: {error}")))?;
    let readonly = installation.readable();
    let mut env = installation.env;
    env.push(("R_DEFAULT_PACKAGES".to_owned(), "NULL".to_owned()));
    // R reads the number. The harness goes by all of it: a session may have its own word in this variable.
    env.push(("R_ENABLE_JIT".to_owned(), "0 until ready".to_owned()));
    // The site's profile is the administrator's word; a profile in the working directory is a file among others.
    let args = ["--no-echo", "--no-restore", "--no-save", "--no-environ", "--no-init-file", "-e"];
    let mut args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
    args.push(include_str!("r/boot.R").to_owned());
    Ok(Launch { program: installation.program, args, env, readonly, harness: RECIPE.harness(spec).await?, scratch })
}

#[derive(Debug, Clone)]
struct Installation {
    program: PathBuf,
    env: Vec<(String, String)>,
}

impl Installation {
    /// What the script prints; it runs once.
    fn of(script: &Path) -> Result<Self, String> {
        static KNOWN: Mutex<Option<HashMap<PathBuf, Installation>>> = Mutex::new(None);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_default();
        if let Some(installation) = known.get(script) {
            return Ok(installation.clone());
        }
        let installation = Self::ask(script)?;
        known.insert(script.to_owned(), installation.clone());
        Ok(installation)
    }

    /// The directories that the script names, where they are not the system's.
    fn readable(&self) -> Vec<PathBuf> {
        let named = self.env.iter().flat_map(|(_, value)| value.split(':')).map(PathBuf::from);
        named.filter(|path| path.is_absolute() && path.is_dir() && !installation::is_system(path)).collect()
    }

    fn ask(script: &Path) -> Result<Self, String> {
        let mut command = Command::new(script);
        command.args(["CMD", "env"]).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").stdin(Stdio::null());
        let output = command.output().map_err(|error| format!("{} could not be run: {error}", script.display()))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let script = script.display();
            return Err(format!("`{script} CMD env` failed ({}): {}; reinstall R", output.status, stderr.trim()));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let env: Vec<(String, String)> = text
            .lines()
            .filter_map(|line| line.split_once('='))
            .filter(|(name, _)| VARIABLES.contains(name))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let get = |wanted: &str| env.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value);
        let binary = format!("{}/bin/exec{}/R", get("R_HOME"), get("R_ARCH"));
        if Path::new(&binary).is_file() {
            Ok(Self { program: binary.into(), env })
        } else {
            // Built in another way: the script knows its interpreter.
            Ok(Self { program: script.to_owned(), env: Vec::new() })
        }
    }
}
