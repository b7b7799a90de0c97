//! Java: how it is started.
//!
//! The harness is compiled once per Java, when it is first used, into [`KernelSpec::cache`]; that takes a second or
//! two. Then an archive of the classes that a first cell needs is made in the background, which halves the start of
//! later kernels. Both are keyed by the harness and by the Java that made them, and both appear in one step: whoever
//! finds them finds them whole.

use std::collections::HashSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::cache::{self, Temporary, sweep};
use crate::launch::Launch;
use crate::message;
use crate::open_lock::open_lock;
use crate::random::random_hex;
use crate::scratch::Scratch;
use crate::{KernelSpec, Language, StartError};

macro_rules! sources {
    ($($name:literal),* $(,)?) => { [$(($name, include_str!(concat!("java/", $name, ".java")))),*] };
}

/// The harness: classes and their sources.
const SOURCES: [(&str, &str); 29] = sources![
    "Cells",
    "Channel",
    "Cut",
    "Declarations",
    "DefaultImports",
    "Descriptors",
    "Engine",
    "Hints",
    "Hooks",
    "Indexing",
    "Input",
    "Json",
    "Leftovers",
    "Loader",
    "Main",
    "Media",
    "Notebook",
    "Output",
    "Part",
    "Piece",
    "Places",
    "Problems",
    "Report",
    "Stdin",
    "Traces",
    "Training",
    "Values",
    "Variables",
    "Worker",
];

/// Of the harness's jar. What it opens is for `Declarations`, `Leftovers` and `Descriptors`.
const MANIFEST: &str = "\
Main-Class: agb.kernel.Main
Add-Opens: jdk.jshell/jdk.jshell jdk.compiler/com.sun.tools.javac.api java.base/java.io
  java.base/sun.nio.ch
";

/// The exit status of a harness that has failed itself (`EX_SOFTWARE`), as in `Main.java`; every other is the program's.
pub(crate) const DEFECT: i32 = 70;

/// The oldest Java that compiles the harness.
const OLDEST: u32 = 17;

/// How the virtual machine is run. A program's first output counts, not its hundredth minute: one compiler that is
/// quick, and the collector that needs no threads.
const FLAGS: [&str; 7] = [
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xms16m",
    // No files in /tmp, and no listener for debuggers.
    "-XX:-UsePerfData",
    "-XX:+DisableAttachMechanism",
    "-Djava.awt.headless=true",
    "-Djdk.console=java.base",
];

pub(crate) async fn prepare(spec: &KernelSpec) -> Result<Launch, StartError> {
    let failed = |reason: String| StartError::Prepare { language: Language::Java, reason };
    let (java, cache) = (spec.interpreter.clone(), spec.cache.clone());
    let installed = tokio::task::spawn_blocking(move || Installation::of(&java, &cache))
        .await
        .map_err(|_| failed("the server is shutting down".to_owned()))?
        .map_err(failed)?;
    let scratch = Scratch::create(spec).map_err(|error| failed(format!("no temporary directory: {error}")))?;
    let mut args: Vec<String> = FLAGS.iter().map(|&flag| flag.to_owned()).collect();
    args.push(format!("-Xmx{}k", spec.limits.java_heap >> 10));
    args.extend(scratch.as_ref().map(|scratch| format!("-Djava.io.tmpdir={}", scratch.inside())));
    args.extend(proxy(&spec.policy.env));
    let archive = installed.archive();
    if archive.exists() {
        args.push(format!("-XX:SharedArchiveFile={}", archive.display()));
    }
    args.extend(["-jar".to_owned(), installed.jar().display().to_string()]);
    let readonly = vec![installed.folder];
    Ok(Launch { program: installed.java, args, env: Vec::new(), readonly, harness: message::raw(&[]), scratch })
}

/// Java does not ask the environment for a proxy, as everybody else does.
fn proxy(env: &[(String, String)]) -> Vec<String> {
    let address = env.iter().find(|(name, _)| name == "http_proxy").and_then(|(_, url)| url.strip_prefix("http://"));
    let Some((host, port)) = address.and_then(|address| address.trim_end_matches('/').rsplit_once(':')) else {
        return Vec::new();
    };
    let mut args = vec!["-Dhttp.nonProxyHosts=localhost|127.*|[::1]".to_owned()];
    for scheme in ["http", "https"] {
        args.push(format!("-D{scheme}.proxyHost={host}"));
        args.push(format!("-D{scheme}.proxyPort={port}"));
    }
    args
}

/// What a Java lacks to run kernels; `None` if it lacks nothing. Starts it.
pub(crate) fn lacks(java: &Path) -> Option<String> {
    let listing = match command(java).arg("--list-modules").output() {
        Ok(listing) => listing,
        Err(error) => return Some(format!("{} could not be run: {error}", java.display())),
    };
    let output = String::from_utf8_lossy(&listing.stdout);
    let version = output.lines().find_map(|line| line.strip_prefix("java.base@"));
    let advice =
        "install a JDK (on Debian: apt-get install openjdk-17-jdk-headless), or set AGB_JAVA to the java of one";
    let java = java.display();
    match version.and_then(|version| version.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok()) {
        None => Some(format!("{java} is no Java of version {OLDEST} or later; {advice}")),
        Some(version) if version < OLDEST => {
            Some(format!("{java} is Java {version}, and version {OLDEST} or later is needed; {advice}"))
        }
        Some(_) if !output.lines().any(|line| line.starts_with("jdk.jshell@")) => {
            Some(format!("{java} has no compiler (module jdk.jshell): it is a runtime only; {advice}"))
        }
        Some(_) => None,
    }
}

/// A harness that is compiled for a Java.
#[derive(Debug)]
struct Installation {
    java: PathBuf,
    folder: PathBuf,
}

impl Installation {
    fn of(java: &Path, cache: &Path) -> Result<Self, String> {
        // Links are followed: `/usr/bin/java` is another Java after an upgrade.
        let real = java.canonicalize().map_err(|error| format!("{} could not be run: {error}", java.display()))?;
        let cache =
            &cache::own_folder(cache).map_err(|error| format!("no folder for the kernel's classes: {error}"))?;
        let installation = Self { folder: cache.join(format!("java-{}", key(&real))), java: real };
        // One of this user's kernels does it, the others wait, also those of other processes.
        let building = cache.join("java.lock");
        let _building = open_lock(&building)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|error| format!("{} could not be locked: {error}", building.display()))?;
        if !installation.archive().exists() {
            [cache, &installation.folder].iter().for_each(|folder| sweep(folder));
        }
        if !installation.jar().exists() {
            if let Some(complaint) = lacks(&installation.java) {
                return Err(complaint);
            }
            installation.build(cache)?;
        }
        // Whoever has made them, and whenever: what they say runs with this user's rights.
        for made in [&installation.folder, &installation.jar()] {
            cache::check(made).map_err(|error| error.to_string())?;
        }
        if installation.archive().exists() {
            cache::check(&installation.archive()).map_err(|error| error.to_string())?;
        } else {
            installation.make_archive();
        }
        Ok(installation)
    }

    fn jar(&self) -> PathBuf {
        self.folder.join("harness.jar")
    }

    fn archive(&self) -> PathBuf {
        self.folder.join("classes.jsa")
    }

    fn build(&self, cache: &Path) -> Result<(), String> {
        let failed = |what: &Path, error: io::Error| format!("{} could not be made: {error}", what.display());
        let name = random_hex().map_err(|error| failed(cache, error))?;
        let made = Temporary(cache.join(format!("{name}.tmp")));
        let (sources, classes) = (made.0.join("sources"), made.0.join("classes"));
        fs::create_dir_all(&sources).map_err(|error| failed(&sources, error))?;
        let mut compiler = command(&self.java);
        // The compiler's module instead of its command: a package may have the one without the other.
        compiler.args([
            "-m",
            "jdk.compiler/com.sun.tools.javac.Main",
            "-encoding",
            "UTF-8",
            "-proc:none",
            "-nowarn",
            // Else each shape of a concatenation is made when it first runs, a few milliseconds each.
            "-XDstringConcat=inline",
            "-d",
        ]);
        compiler.arg(&classes);
        for (name, source) in SOURCES {
            let file = sources.join(name).with_extension("java");
            fs::write(&file, source).map_err(|error| failed(&file, error))?;
            compiler.arg(file);
        }
        succeed(&mut compiler)?;
        let (ready, manifest) = (made.0.join("ready"), made.0.join("manifest"));
        fs::create_dir(&ready).map_err(|error| failed(&ready, error))?;
        fs::write(&manifest, MANIFEST).map_err(|error| failed(&manifest, error))?;
        let mut archiver = command(&self.java);
        archiver.args(["-m", "jdk.jartool/sun.tools.jar.Main", "--create", "--no-compress", "--manifest"]);
        archiver.arg(manifest).arg("--file").arg(ready.join("harness.jar"));
        succeed(archiver.arg("-C").arg(&classes).arg("."))?;
        // Whatever this user's mask lets others do.
        for (path, mode) in [(ready.join("harness.jar"), 0o644), (ready.clone(), 0o755)] {
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).map_err(|error| failed(&path, error))?;
        }
        match fs::rename(&ready, &self.folder) {
            // Another process was first; its is as good.
            Err(_) if self.jar().exists() => Ok(()),
            made => made.map_err(|error| failed(&self.folder, error)),
        }
    }

    /// Starts making the archive of classes, unless this process has tried before.
    fn make_archive(&self) {
        static TRIED: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
        let archive = self.archive();
        if !TRIED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().insert(archive.clone()) {
            return;
        }
        let Ok(name) = random_hex() else { return };
        // Another process that holds it is making the archive: this one does without, once.
        let Ok(lock) = open_lock(&self.folder.with_extension("lock")) else { return };
        if lock.try_lock().is_err() {
            return;
        }
        let made = self.folder.join(format!("{name}.tmp"));
        let mut java = command(&self.java);
        java.args(FLAGS).arg(format!("-XX:ArchiveClassesAtExit={}", made.display()));
        java.arg("-jar").arg(self.jar()).arg("train");
        cache::end_with_this_thread(&mut java);
        let work = move || {
            let _lock = lock;
            let made = Temporary(made);
            let result = succeed(&mut java).and_then(|()| {
                fs::set_permissions(&made.0, PermissionsExt::from_mode(0o644))
                    .and_then(|()| fs::rename(&made.0, &archive))
                    .map_err(|error| format!("{}: {error}", archive.display()))
            });
            if let Err(reason) = result {
                tracing::warn!(reason, "no archive of Java's classes: kernels start slower");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("agb-java-archive".to_owned()).spawn(work) {
            tracing::warn!(%error, "no thread to make an archive of Java's classes");
        }
    }
}

/// What a compiled harness depends on.
fn key(java: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    (SOURCES, MANIFEST, FLAGS, java).hash(&mut hasher);
    // An upgrade in place changes this file, which holds all classes.
    let modules = java.parent().and_then(Path::parent).map(|home| home.join("lib/modules"));
    if let Some(meta) = modules.and_then(|file| fs::metadata(file).ok()) {
        (meta.len(), meta.mtime(), meta.mtime_nsec()).hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

fn command(java: &Path) -> Command {
    let mut command = Command::new(java);
    command.env_clear().env("LANG", "C.UTF-8").stdin(Stdio::null());
    command
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().display().to_string();
    let Output { status, stdout, stderr } =
        command.output().map_err(|error| format!("{program} could not be run: {error}"))?;
    if status.success() {
        return Ok(());
    }
    let text = [stdout, stderr].concat();
    Err(format!("{program} could not compile the kernel ({status}): {}", String::from_utf8_lossy(&text).trim()))
}
