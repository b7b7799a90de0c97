//! The command `agb-server doctor`: how programs can be isolated on this machine, and what is missing.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agb_kernel::{KernelSpec, Zygote};
use agb_protocol::Language;
use agb_sandbox::{Command, Launcher, Level, Policy};
use agb_server::Found;
use clap::Args;

use super::images::ImageFolder;

/// How long an interpreter may take to say its version: most take a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checks this machine.
#[derive(Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    folder: ImageFolder,
}

impl Doctor {
    pub(crate) fn run(self) -> Result<(), String> {
        let launcher = Arc::new(Launcher::start("/proc/self/exe").map_err(|error| error.to_string())?);
        let report = launcher.probe();
        println!("isolation, the strongest first:");
        print!("{report}");
        let level = match report.best() {
            Some(level) => {
                println!("programs run at the level {level}");
                level
            }
            None => {
                println!(
                    "the server runs no programs here, unless it is told to do it without isolation: --isolation none"
                );
                Level::None
            }
        };
        if let Some(user) = launcher.user_of(level, 0) {
            println!("each session has a host user of its own, from {user} on");
        }
        println!("control groups for limits of sessions: {}", launcher.control_groups());
        let images = self.folder.images()?;
        println!("\ninterpreters, each started at this level:");
        let mut tried = Vec::new();
        for image in images.survey().images {
            for (language, found) in image.interpreters {
                let Found::At { path, version } = found else { continue };
                if tried.contains(&path) {
                    continue;
                }
                let works = try_interpreter(&launcher, level, language, &path);
                match works {
                    Ok(()) => println!("{language} {version}: works ({})", path.display()),
                    Err(ref reason) => println!("{language} {version}: no ({}): {reason}", path.display()),
                }
                if works.is_ok() && language == Language::Python {
                    println!("  {}", try_zygote(&launcher, level, &path));
                }
                tried.push(path);
            }
        }
        Ok(())
    }
}

/// Whether a Python can be started once and copied for each session.
fn try_zygote(launcher: &Arc<Launcher>, level: Level, path: &Path) -> String {
    let sessions = std::env::temp_dir();
    let policy = Policy::new(level, &sessions, 0);
    let spec = KernelSpec::new(Language::Python, path, Arc::clone(launcher), policy);
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map(|runtime| runtime.block_on(Zygote::start(&spec, &sessions))) {
        Ok(Ok(_)) => {
            format!("is copied for each session (ready to be copied after {:.1} s)", began.elapsed().as_secs_f64())
        }
        Ok(Err(error)) => format!("is started for each session, not copied: {error}"),
        Err(error) => format!("is started for each session, not copied: {error}"),
    }
}

/// Starts an interpreter inside; the error says why it does not work.
fn try_interpreter(launcher: &Launcher, level: Level, language: Language, path: &Path) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let workdir = std::env::temp_dir().join(format!("agb-doctor-{}", std::process::id()));
    std::fs::create_dir(&workdir).map_err(text)?;
    let result = (|| {
        let mut policy = Policy::new(level, &workdir, 0);
        policy.readonly = agb_kernel::readable(language, path);
        let null = File::options().read(true).write(true).open("/dev/null").map_err(text)?;
        let (mut output, its) = io::pipe().map_err(text)?;
        let flag = if language == Language::Java { "-version" } else { "--version" };
        let fds = [null.as_fd(), its.as_fd(), its.as_fd(), null.as_fd(), null.as_fd()];
        let child = launcher.spawn(&policy, &Command::new(path).args([flag]), fds);
        drop(its);
        let mut child = child.map_err(|error| error.to_string())?;
        let status = child.wait_timeout(PATIENCE).map_err(text)?.ok_or("it does not end")?;
        let mut said = String::new();
        if status.success() {
            return Ok(());
        }
        output.read_to_string(&mut said).map_err(text)?;
        Err(format!("{status}: {}", said.trim()))
    })();
    agb_sandbox::remove_tree(&workdir).map_err(text)?;
    result
}
