//! Making an image's environment: a virtual environment of its own, with nothing global.
//!
//! It is made aside and put into use when it is whole; what goes wrong on the way leaves the one before in use.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use agb_kernel::{MissingInterpreter, open_lock};
use agb_protocol::Language;
use thiserror::Error;

use super::UnknownImage;
use super::definition::Definition;
use super::environment::{Environment, fingerprint, interpreter_in, node_in};
use super::installer::Installer;
use super::survey::python_version;

/// How much of a failed command's output goes into the error: a traceback of pip's is longer, and says less.
const LAST_LINES: usize = 20;

/// What a preparation tells while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A step begins.
    Step {
        /// Which one, from 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// What it does.
        label: &'a str,
    },
    /// Something within the step.
    Detail(&'a str),
    /// Something did not work that the image can do without.
    Warning(&'a str),
}

/// Why an image was not prepared.
#[derive(Debug, Error)]
pub enum PrepareError {
    /// There is no such image.
    #[error(transparent)]
    Unknown(#[from] UnknownImage),
    /// There is no place for environments.
    #[error("there is no folder for images: set HOME, or name one with --image-dir")]
    NoFolder,
    /// There is no Python to make it from.
    #[error(transparent)]
    NoPython(#[from] MissingInterpreter),
    /// There is no node to install packages for.
    #[error("image {image} has packages of JavaScript: {reason}")]
    NoNode {
        /// The image.
        image: String,
        /// What is missing, and what to do about it.
        reason: String,
    },
    /// Somebody else prepares it.
    #[error("image {0} is being prepared by another process; wait for it")]
    Busy(String),
    /// A file could not be written.
    #[error("image {image} could not be prepared in {folder}: {error}")]
    Files {
        /// The image.
        image: String,
        /// Where.
        folder: String,
        /// The system's word for it.
        error: io::Error,
    },
    /// A command failed.
    #[error("image {image} could not be prepared: to {step} failed ({status}){advice}. It said:\n{output}")]
    Command {
        /// The image.
        image: String,
        /// What it was to do.
        step: String,
        /// How it ended.
        status: ExitStatus,
        /// What to do about it; may be empty.
        advice: &'static str,
        /// The end of its output.
        output: String,
    },
}

/// Makes the environment, unless it is there; see [`Images::prepare`](super::Images::prepare).
pub(super) fn prepare(
    definition: &Definition,
    environment: &Environment,
    python: Option<&Path>,
    again: bool,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<bool, PrepareError> {
    let image = definition.name.as_str();
    let files = |error| PrepareError::Files {
        image: image.to_owned(),
        folder: environment.folder().display().to_string(),
        error,
    };
    let python = agb_kernel::find_interpreter(Language::Python, definition.interpreter(Language::Python).or(python))?;
    let made_from = fingerprint(definition, &python_version(&python).unwrap_or_default());
    fs::create_dir_all(environment.folder()).map_err(files)?;
    let lock = open_lock(&environment.folder().join("lock")).map_err(files)?;
    lock.try_lock().map_err(|_| PrepareError::Busy(image.to_owned()))?;
    if !again && environment.is_made_from(&made_from) {
        return Ok(false);
    }
    let before = environment.current();
    let folder = environment.new_folder(&made_from);
    let made = Maker { image, folder: &folder, python, installer: Installer::Pip, progress }.make(definition);
    let made = made.and_then(|()| environment.use_folder(&folder).map_err(files));
    let keep: Vec<PathBuf> = before.into_iter().chain(made.is_ok().then(|| folder.clone())).collect();
    environment.remove_others(&keep).map_err(files)?;
    made.map(|()| true)
}

struct Maker<'a> {
    image: &'a str,
    folder: &'a Path,
    python: PathBuf,
    installer: Installer,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl Maker<'_> {
    fn make(mut self, definition: &Definition) -> Result<(), PrepareError> {
        let packages = &definition.python.packages;
        let optional = &definition.python.optional;
        let modules = &definition.javascript.packages;
        let npm = if modules.is_empty() { None } else { Some(Npm::find(definition)?) };
        let of = 2 + usize::from(!packages.is_empty()) + optional.len() + usize::from(npm.is_some());
        let mut number = 0;
        let mut step = |maker: &mut Self, label: &str| {
            number += 1;
            (maker.progress)(Progress::Step { number, of, label });
        };

        step(&mut self, "make a virtual environment");
        self.make_environment(!packages.is_empty() || !optional.is_empty())?;

        if !packages.is_empty() {
            let label = format!("install {}", packages.join(", "));
            step(&mut self, &label);
            self.install(packages, &label)?;
        }
        for package in optional {
            let label = format!("install {package}, where it can be");
            step(&mut self, &label);
            // The image does without; what is wrong is said, and the survey shows it as missing.
            if let Err(error) = self.install(std::slice::from_ref(package), &label) {
                (self.progress)(Progress::Warning(&error.to_string()));
            }
        }

        self.remove_installer()?;

        if let Some(npm) = npm {
            let label = format!("install {}", modules.join(", "));
            step(&mut self, &label);
            let install = npm.install(self.folder, modules).map_err(|error| files(self.folder, self.image, error))?;
            self.run(install, &label)?;
        }

        step(&mut self, "compile the modules, look at the fonts");
        // Programs start without it, but later.
        if let Err(error) = self.run(Installer::compile(self.folder), "compile the modules") {
            (self.progress)(Progress::Warning(&error.to_string()));
        }
        // Each session has a home of its own, and matplotlib would look at every font again in each.
        let mut fonts = self.interpreter();
        fonts.env("MPLCONFIGDIR", self.folder.join("share/agb/matplotlib"));
        fonts.args(["-c", "import importlib.util as u\nif u.find_spec('matplotlib'): import matplotlib.font_manager"]);
        self.run(fonts, "look at the fonts")
    }

    fn interpreter(&self) -> Command {
        let mut command = Command::new(interpreter_in(self.folder));
        command.arg("-I");
        command
    }

    /// Makes the environment with its pip, and what installs packages there.
    fn make_environment(&mut self, has_packages: bool) -> Result<(), PrepareError> {
        const STEP: &str = "make a virtual environment";
        let mut create = Command::new(&self.python);
        create.args(["-m", "venv", "--without-pip"]).arg(self.folder);
        self.run(create, STEP)?;
        if has_packages && self.use_uv() {
            return Ok(());
        }
        self.run(Installer::ensure_pip(self.folder), STEP)
    }

    /// Finds or installs `uv` and has it install pip; false where that is not to be had.
    fn use_uv(&mut self) -> bool {
        let Some(env) = Installer::uv_env(self.folder) else { return false };
        let program = Installer::uv_on_path(std::env::var_os("PATH")).or_else(|| {
            // Not all platforms and package indexes have it.
            let had = self.run(Installer::install_uv(self.folder), "install uv");
            had.ok().map(|()| Installer::own_uv(self.folder).join("bin/uv"))
        });
        let Some(program) = program.filter(|program| program.is_file()) else { return false };
        let uv = Installer::Uv { program, env };
        let pip = Installer::wheels_of_pip(self.folder);
        if self.run(uv.install(self.folder, &pip), "install pip").is_err() {
            return false;
        }
        self.installer = uv;
        true
    }

    /// Installs packages, by pip if nothing faster does it. The error is pip's, whose words people know.
    fn install(&mut self, packages: &[String], step: &str) -> Result<(), PrepareError> {
        let done = self.run(self.installer.install(self.folder, packages), step);
        if done.is_ok() || self.installer == Installer::Pip {
            return done;
        }
        (self.progress)(Progress::Detail("uv did not install it; pip tries"));
        self.run(Installer::Pip.install(self.folder, packages), step)
    }

    /// Removes what was only of use while packages were installed.
    fn remove_installer(&mut self) -> Result<(), PrepareError> {
        match fs::remove_dir_all(Installer::own_folder(self.folder)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(files(self.folder, self.image, error)),
            _ => Ok(()),
        }
    }

    /// Runs a command to its end, and tells its lines.
    fn run(&mut self, mut command: Command, step: &str) -> Result<(), PrepareError> {
        let (folder, image) = (self.folder, self.image);
        // What a developer's shell says about Python and node is not meant for these.
        const PYTHON: [&str; 3] = ["PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"];
        const PIP: [&str; 4] = ["PIP_TARGET", "PIP_PREFIX", "PIP_USER", "VIRTUAL_ENV"];
        for name in PYTHON.into_iter().chain(PIP).chain(["NODE_OPTIONS", "NODE_PATH"]) {
            command.env_remove(name);
        }
        let (reader, writer) = io::pipe().map_err(|error| files(folder, image, error))?;
        let second = writer.try_clone().map_err(|error| files(folder, image, error))?;
        let child = command.stdin(Stdio::null()).stdout(writer).stderr(second).spawn();
        drop(command); // and with it our ends of the pipe, or it would never end
        let mut child = child.map_err(|error| files(folder, image, error))?;
        let mut last = VecDeque::with_capacity(LAST_LINES);
        for line in BufReader::new(reader).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            (self.progress)(Progress::Detail(&line));
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(line);
        }
        let status = child.wait().map_err(|error| files(folder, image, error))?;
        if status.success() {
            return Ok(());
        }
        let output = Vec::from(last).join("\n");
        Err(PrepareError::Command {
            image: image.to_owned(),
            step: step.to_owned(),
            status,
            advice: advice(&output),
            output,
        })
    }
}

fn files(folder: &Path, image: &str, error: io::Error) -> PrepareError {
    PrepareError::Files { image: image.to_owned(), folder: folder.display().to_string(), error }
}

/// The installer of node's packages, and the node that they are for.
struct Npm {
    node: PathBuf,
    npm: PathBuf,
}

impl Npm {
    fn find(definition: &Definition) -> Result<Self, PrepareError> {
        let missing = |reason: String| PrepareError::NoNode { image: definition.name.clone(), reason };
        let node = agb_kernel::find_interpreter(Language::JavaScript, definition.interpreter(Language::JavaScript))
            .map_err(|error| missing(error.to_string()))?;
        // The one that belongs to this node, else any.
        let beside = [Some(node.clone()), node.canonicalize().ok()].into_iter().flatten();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = beside.filter_map(|node| Some(node.parent()?.to_owned())).chain(std::env::split_paths(&path));
        let npm = folders.map(|folder| folder.join("npm")).find(|npm| npm.is_file());
        let npm = npm.ok_or_else(|| {
            missing(
                "npm, which installs them, is not on this machine: install it (on Debian: apt-get install npm)".into(),
            )
        })?;
        Ok(Self { node, npm })
    }

    /// The command that installs packages in a folder as in an installation of node's, so that their programs are found,
    /// too.
    fn install(&self, folder: &Path, packages: &[String]) -> io::Result<Command> {
        std::os::unix::fs::symlink(&self.node, node_in(folder))?;
        let mut command = Command::new(&self.npm);
        command.args(["install", "--global", "--prefix"]).arg(folder);
        // A folder is copied: a link to it would lead out of the sandbox. The log is what there is to see of progress.
        command.args(["--install-links", "--no-audit", "--no-fund", "--no-update-notifier", "--no-progress"]);
        command.args(["--color=false", "--loglevel=http", "--"]).args(packages);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([folder.join("bin")].into_iter().chain(std::env::split_paths(&path)));
        command.env("PATH", path.map_err(io::Error::other)?);
        Ok(command)
    }
}

/// What to do about the failures that are the most frequent.
fn advice(output: &str) -> &'static str {
    let says = |parts: &[&str]| parts.iter().any(|part| output.contains(part));
    if says(&["ensurepip is not", "No module named ensurepip", "No module named venv"]) {
        "; this Python cannot make environments: install its venv module (on Debian: apt-get install python3-venv)"
    } else if says(&["name resolution", "NewConnectionError", "Network is unreachable", "ProxyError", "ConnectTimeout"])
        || says(&["ENOTFOUND", "ECONNREFUSED", "ETIMEDOUT", "EAI_AGAIN"])
    {
        "; the package index cannot be reached: look at the network, or set a proxy (HTTPS_PROXY)"
    } else if says(&["No space left on device"]) {
        "; the disk is full: make room, or choose another with --image-dir"
    } else {
        ""
    }
}
