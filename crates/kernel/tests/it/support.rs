//! A kernel in a directory of its own, and cells with everything they said.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use agb_kernel::{
    Cell, CellEnd, CellError, CellEvent, Execution, Kernel, KernelLimits, KernelSpec, Language, Outcome, RichResult,
    StartError, Zygote, find_interpreter,
};
use agb_sandbox::{Launcher, Level, Policy};
use agb_testkit::leftovers::of_the_dead;
use serde_json::{Map, Value};

/// Longer than anything takes on a busy machine; a test that gets there has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How interpreters are isolated here: the level that `AGB_TEST_ISOLATION` names, else the strongest there is.
pub(crate) fn isolation() -> (Arc<Launcher>, Level) {
    static ISOLATION: OnceLock<(Arc<Launcher>, Level)> = OnceLock::new();
    let start = || {
        let launcher = Launcher::start("/proc/self/exe").unwrap();
        let level = match std::env::var("AGB_TEST_ISOLATION") {
            Ok(name) => name.parse().unwrap(),
            Err(_) => launcher.probe().best().expect("this machine offers some isolation"),
        };
        (Arc::new(launcher), level)
    };
    ISOLATION.get_or_init(start).clone()
}

/// Where the program sees its working directory: the tests name no other place.
pub(crate) fn home(workdir: &Path) -> PathBuf {
    Policy::new(isolation().1, workdir, 0).workdir_inside().to_owned()
}

/// A spec for a program in this directory, which has a slot of its own.
pub(crate) fn spec(language: Language, interpreter: impl Into<PathBuf>, workdir: &Path) -> KernelSpec {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let (launcher, level) = isolation();
    let mut hasher = DefaultHasher::new();
    workdir.hash(&mut hasher);
    let slot = u32::try_from(hasher.finish() % u64::from(agb_sandbox::SLOTS - 1)).unwrap();
    let mut policy = Policy::new(level, workdir.join("work"), slot);
    policy.tmp = Some(workdir.join("tmp"));
    let spec = KernelSpec::new(language, interpreter, launcher, policy);
    // All that holds for a Python that was started holds for one that was copied.
    let copies = language == Language::Python && std::env::var_os("AGB_TEST_ZYGOTE").is_some();
    // What does not start is said when it is started.
    let zygote = if copies { zygote(&spec).ok() } else { None };
    KernelSpec { zygote, ..spec }
}

/// The zygote of this interpreter.
pub(crate) fn zygote(spec: &KernelSpec) -> Result<Zygote, StartError> {
    static ZYGOTES: Mutex<Vec<(PathBuf, Zygote)>> = Mutex::new(Vec::new());
    let mut zygotes = ZYGOTES.lock().unwrap();
    if let Some((_, zygote)) = zygotes.iter().find(|(interpreter, _)| *interpreter == spec.interpreter) {
        return Ok(zygote.clone());
    }
    let of_all = spec.clone();
    // Not of any one test's runtime.
    let started = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Zygote::start(&of_all, &std::env::temp_dir()))
    });
    let zygote = started.join().expect("nothing panics in there")?;
    zygotes.push((spec.interpreter.clone(), zygote.clone()));
    Ok(zygote)
}

/// A directory that goes with the test: the program's working directory is in it.
pub(crate) struct Workdir(PathBuf);

impl Workdir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            for left in of_the_dead(&std::env::temp_dir(), "agb-kernel") {
                // The same may be removed by several at once.
                let _ = agb_sandbox::remove_tree(&left);
            }
        }
        let name = format!("agb-kernel-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        for part in ["work", "tmp"] {
            std::fs::create_dir_all(path.join(part)).unwrap();
        }
        Self(path)
    }

    /// Where the rest is, too.
    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// The program's working directory.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.join("work")
    }
}

impl Drop for Workdir {
    fn drop(&mut self) {
        agb_sandbox::remove_tree(&self.0).unwrap_or_else(|error| println!("{} is left: {error}", self.0.display()));
    }
}

pub(crate) struct Subject {
    pub(crate) kernel: Kernel,
    pub(crate) workdir: Workdir,
}

/// A kernel with short limits.
pub(crate) fn kernel(language: Language) -> Subject {
    kernel_with(language, |_| {})
}

pub(crate) fn kernel_with(language: Language, change: impl FnOnce(&mut KernelLimits)) -> Subject {
    let workdir = Workdir::new();
    let mut spec = spec(language, find_interpreter(language, None).unwrap(), workdir.root());
    spec.cache = cache();
    change(&mut spec.limits);
    Subject { kernel: Kernel::new(spec), workdir }
}

/// A kernel whose cells are whole programs.
pub(crate) fn kernel_ending(language: Language) -> Subject {
    let workdir = Workdir::new();
    let spec = spec(language, find_interpreter(language, None).unwrap(), workdir.root());
    let spec = KernelSpec { cache: cache(), ends_programs: true, zygote: None, ..spec };
    Subject { kernel: Kernel::new(spec), workdir }
}

/// Where the harness that is compiled once stays for the next run of these tests.
pub(crate) fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

/// A kernel of this interpreter.
pub(crate) fn kernel_of(language: Language, interpreter: &Path) -> Subject {
    let workdir = Workdir::new();
    let spec = spec(language, interpreter, workdir.root());
    Subject { kernel: Kernel::new(spec), workdir }
}

/// A result whose representations are read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    pub(crate) is_main: bool,
    pub(crate) data: Map<String, Value>,
}

impl From<&RichResult> for Shown {
    fn from(result: &RichResult) -> Self {
        let data = serde_json::from_str(&result.data.to_json()).expect("a bundle is an object");
        Self { is_main: result.is_main, data }
    }
}

/// Everything that one cell said.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) events: Vec<(Instant, CellEvent)>,
    pub(crate) end: CellEnd,
}

impl Subject {
    pub(crate) fn start(&self, code: &str) -> Execution {
        self.kernel.run(Cell::new(code, PATIENCE))
    }

    pub(crate) async fn run(&self, code: &str) -> Ran {
        finish(self.start(code)).await
    }

    pub(crate) async fn run_for(&self, code: &str, timeout: Duration) -> Ran {
        finish(self.kernel.run(Cell::new(code, timeout))).await
    }

    /// Runs a cell that must finish, and gives its standard output.
    pub(crate) async fn output(&self, code: &str) -> String {
        let ran = self.run(code).await;
        assert_eq!(ran.end.outcome, Outcome::Finished, "{ran:#?}");
        ran.stdout()
    }

    /// Runs a cell that must finish, and gives its value as plain text.
    pub(crate) async fn value(&self, code: &str) -> Option<String> {
        let ran = self.run(code).await;
        assert_eq!(ran.end.outcome, Outcome::Finished, "{ran:#?}");
        ran.value()
    }
}

/// Reads an execution to its end.
pub(crate) async fn finish(mut execution: Execution) -> Ran {
    let mut events = Vec::new();
    loop {
        let event = next(&mut execution).await.expect("an execution has an end");
        let now = Instant::now();
        if let CellEvent::End(end) = event {
            assert!(execution.next().await.is_none(), "nothing comes after the end");
            return Ran { events, end };
        }
        events.push((now, event));
    }
}

/// Runs a cell that is answered from these pieces and then at its end; gives what it said and the prompts.
pub(crate) async fn answered(subject: &Subject, code: &str, pieces: &[&str]) -> (Ran, Vec<String>) {
    let mut run = subject.kernel.run(Cell { code: code.to_owned(), timeout: PATIENCE, stdin: true });
    let control = run.control();
    pieces.iter().for_each(|piece| control.write_stdin((*piece).to_owned()).unwrap());
    control.close_stdin();
    assert_eq!(next(&mut run).await, Some(CellEvent::Started));
    let ran = finish(run).await;
    let prompt = |event: &CellEvent| {
        if let CellEvent::InputRequest { prompt, .. } = event { Some(prompt.clone()) } else { None }
    };
    let prompts = ran.events.iter().filter_map(|(_, event)| prompt(event)).collect();
    (ran, prompts)
}

/// What a cell has asked for: the prompt, and whether for a password.
pub(crate) fn questions(ran: &Ran) -> Vec<(&str, bool)> {
    let question = |event| match event {
        &CellEvent::InputRequest { ref prompt, password } => Some((prompt.as_str(), password)),
        _ => None,
    };
    ran.events.iter().filter_map(|(_, event)| question(event)).collect()
}

/// The next event, within patience.
pub(crate) async fn next(execution: &mut Execution) -> Option<CellEvent> {
    tokio::time::timeout(PATIENCE, execution.next()).await.expect("no event within a minute")
}

/// Reads until the collected output holds `needle`.
pub(crate) async fn until(execution: &mut Execution, needle: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(needle) {
        match next(execution).await {
            Some(CellEvent::Stdout(text)) => seen += &text,
            Some(CellEvent::Started) => {}
            other => panic!("{other:?} before {needle:?}; so far {seen:?}"),
        }
    }
    seen
}

impl Ran {
    fn all<'a, T: 'a>(&'a self, pick: impl Fn(&'a CellEvent) -> Option<T> + 'a) -> impl Iterator<Item = T> + 'a {
        self.events.iter().filter_map(move |(_, event)| pick(event))
    }

    pub(crate) fn stdout(&self) -> String {
        self.all(|event| if let CellEvent::Stdout(text) = event { Some(text.as_str()) } else { None }).collect()
    }

    pub(crate) fn stderr(&self) -> String {
        self.all(|event| if let CellEvent::Stderr(text) = event { Some(text.as_str()) } else { None }).collect()
    }

    pub(crate) fn results(&self) -> Vec<Shown> {
        self.all(|event| if let CellEvent::Result(result) = event { Some(Shown::from(result)) } else { None }).collect()
    }

    /// The main result as plain text.
    pub(crate) fn value(&self) -> Option<String> {
        let main: Vec<Shown> = self.results().into_iter().filter(|result| result.is_main).collect();
        assert!(main.len() <= 1, "{self:#?}");
        main.first().map(|result| result.data["text/plain"].as_str().unwrap().to_owned())
    }

    /// The one error, which is the outcome too.
    pub(crate) fn error(&self) -> CellError {
        let errors: Vec<CellError> =
            self.all(|event| if let CellEvent::Error(error) = event { Some(error.clone()) } else { None }).collect();
        let [error] = errors.as_slice() else { panic!("not one error: {self:#?}") };
        assert_eq!(self.end.outcome, Outcome::Failed(error.clone()));
        error.clone()
    }
}

/// The living processes whose working directory is this one or below, under whatever name they see it.
pub(crate) fn processes_in(dir: impl AsRef<Path>) -> Vec<(i32, String)> {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| path.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
    let wanted = identity(dir.as_ref());
    assert!(wanted.is_some(), "{} is there", dir.as_ref().display());
    let is_below = |pid: &i32| {
        let cwd = PathBuf::from(format!("/proc/{pid}/cwd"));
        (0..4).any(|up| identity(&(0..up).fold(cwd.clone(), |path, _| path.join(".."))) == wanted)
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(is_below)
        .map(|pid: i32| (pid, std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()))
        .collect()
}

/// Waits until a condition holds; panics when it does not within patience.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
