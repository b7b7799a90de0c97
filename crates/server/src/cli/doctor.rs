//! The command `agb-server doctor`: how programs can be isolated on this machine, and what is missing.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agb_kernel::{KernelSpec, Zygote};
use agb_protocol::Language;
use agb_sandbox::{Command, Launcher, Level, Offer, Policy, SpawnError};
use agb_server::{ClusterCheck, ClusterSettings, Found, Survey, command_name};
use clap::Args;
use serde_json::{Value, json};

use super::images::ImageFolder;
use super::out;

/// How long an interpreter may take to say its version: most take a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checks this machine.
#[derive(Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    folder: ImageFolder,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterSettings,
}

impl Doctor {
    pub(super) fn run(self) -> Result<(), String> {
        let say = |line: &str| {
            if !self.json {
                out::line(line);
            }
        };
        let launcher = Arc::new(Launcher::start("/proc/self/exe").map_err(|error| error.to_string())?);
        let report = launcher.probe();
        say("isolation, the strongest first:");
        say(report.to_string().trim_end());
        let level = report.best().unwrap_or(Level::None);
        say(&match report.best() {
            Some(level) => format!("programs run at the level {level}"),
            None => "the server runs no programs here, unless it is told to do it without isolation: --isolation none"
                .to_owned(),
        });
        let user = launcher.user_of(level, 0).map(|user| user.to_string());
        if let Some(user) = &user {
            say(&format!("each session has a host user of its own, from {user} on"));
        }
        let groups = launcher.control_groups().to_string();
        say(&format!("control groups for limits of sessions: {groups}"));
        let remedy = launcher.control_groups().remedy_for_setsid();
        if let Some(remedy) = remedy {
            say(remedy);
        }
        say("\ninterpreters, each started at this level:");
        let survey = self.folder.images()?.survey();
        let interpreters = try_interpreters(&survey, &launcher, level, &say);
        for image in survey.images.iter().filter(|image| !image.is_prepared || !image.is_current) {
            let state = if image.is_prepared { "out of date" } else { "not prepared" };
            say(&format!("\nimage {}: {state}: {} images prepare {}", image.name, command_name(), image.name));
        }
        let checks = check_cluster(&self.cluster)?;
        if !checks.is_empty() {
            say("\ncluster:");
        }
        for check in &checks {
            say(&format!("{}: {}", if check.is_good { "good" } else { "NOT GOOD" }, check.text));
        }
        if self.json {
            let offer = |(level, offer): &(Level, Result<Offer, SpawnError>)| match offer {
                Ok(offer) => json!({
                    "level": level.name(), "works": true, "hasProc": offer.has_proc, "changesFiles": offer.changes_files,
                }),
                Err(error) => json!({ "level": level.name(), "works": false, "reason": error.to_string() }),
            };
            let levels: Vec<Value> = report.levels.iter().map(offer).collect();
            let report = json!({
                "isolation": { "level": report.best().map(Level::name), "levels": levels, "firstUser": user, "controlGroups": groups, "setsid": remedy },
                "interpreters": interpreters,
                "images": survey.to_json()["images"],
                "cluster": checks.iter().map(|check| json!({ "good": check.is_good, "found": check.text })).collect::<Vec<_>>(),
            });
            out::line(&format!("{report:#}"));
        }
        match checks.iter().filter(|check| !check.is_good).count() {
            0 => Ok(()),
            bad => Err(format!("{bad} of {} checks of the cluster found something that is not good", checks.len())),
        }
    }
}

/// Looks at the registry of `--cluster` and the servers in it; without one at nothing.
fn check_cluster(settings: &ClusterSettings) -> Result<Vec<ClusterCheck>, String> {
    if settings.registry.is_none() {
        return Ok(Vec::new());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime for the cluster's checks: {error}"))?;
    runtime.block_on(ClusterCheck::run(settings)).map_err(|error| error.to_string())
}

/// Tries each interpreter of the images once, says how that went, and gives it as JSON.
fn try_interpreters(survey: &Survey, launcher: &Arc<Launcher>, level: Level, say: &dyn Fn(&str)) -> Vec<Value> {
    let mut tried = Vec::new();
    let mut interpreters = Vec::new();
    for (language, found) in survey.images.iter().flat_map(|image| &image.interpreters) {
        let (path, version) = match found {
            Found::At { path, version } => (path, version),
            Found::Missing(advice) => {
                let entry = json!({ "language": language.to_string(), "missing": advice });
                if !interpreters.contains(&entry) {
                    say(&format!("{language}: missing: {advice}"));
                    interpreters.push(entry);
                }
                continue;
            }
        };
        if tried.contains(&path) {
            continue;
        }
        tried.push(path);
        let works = try_interpreter(launcher, level, *language, path);
        match &works {
            Ok(()) => say(&format!("{language} {version}: works ({})", path.display())),
            Err(reason) => say(&format!("{language} {version}: no ({}): {reason}", path.display())),
        }
        let mut entry = json!({
            "language": language.to_string(), "version": version, "path": path, "works": works.is_ok(),
            "reason": works.as_ref().err(),
        });
        if works.is_ok() && *language == Language::Python {
            let copied = try_zygote(launcher, level, path);
            say(&format!("  {copied}"));
            entry["start"] = json!(copied);
        }
        interpreters.push(entry);
    }
    interpreters
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
