//! A long session: thousands of cells of each language, side by side in one directory, with failures, cancels,
//! timeouts and deaths mixed in by a seed.
//!
//! A short one is among the tests. `cargo xtask soak` runs the full one: it sets `AGB_SOAK_CELLS`, the cells of each
//! language, and `AGB_SOAK_SEED`, which a run prints, to see the same mixture again. `AGB_SOAK_LANGUAGE` drives one alone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

agb_sandbox::helper_before_main!();

#[path = "soak/programs.rs"]
mod programs;
#[path = "it/support.rs"]
#[allow(dead_code, reason = "shared with the other tests, which use more of it")]
mod support;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agb_kernel::{Cell, Execution, Kernel, KernelSpec, Language, Outcome, find_interpreter};
use agb_protocol::random::SplitMix64;

use crate::programs::{Kind, LANGUAGES, process_name, program};
use crate::support::{PATIENCE, Ran, Workdir, cache, eventually, finish, processes_in, spec};

/// Cells of each language in the short one: every kind of cell comes several times, and it stays below a minute on
/// a machine that is ten times slower.
const SHORT: usize = 60;

/// The time limit of cells that are to run into it: most are stopped while they run, and some while they begin.
const TIMEOUT: Duration = Duration::from_millis(30);

#[test]
fn a_long_session_leaves_nothing() {
    let cells = std::env::var("AGB_SOAK_CELLS").map_or(SHORT, |text| text.parse().expect("AGB_SOAK_CELLS: a number"));
    let seed = std::env::var("AGB_SOAK_SEED").map_or_else(
        |_| u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos()),
        |text| text.parse().expect("AGB_SOAK_SEED: a number"),
    );
    let isolation = support::isolation().1;
    println!("soak: {cells} cells of each language, isolated by {isolation}; again: AGB_SOAK_SEED={seed}");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // Whatever is made once for good is made before anything is counted.
    runtime.block_on(session(1, 0));
    let before = Footprint::of("self");
    let reports = runtime.block_on(session(cells, seed));
    let after = settled(before.descriptors);
    reports.iter().for_each(|report| println!("{report}"));
    println!("this process: {before}, then {after}");
    // Fewer, when something that is prepared once was still at work: Java's archive is.
    assert!(after.descriptors <= before.descriptors, "{before:?}, then {after:?}");
    // What the allocator keeps, and the runtime: nothing that grows with the cells (1 KiB of each would be seen).
    assert!(after.memory < before.memory + (8 << 20), "{before:?}, then {after:?}");
}

/// This process once it has no more descriptors than that, or after a while: temporary files of kernels are removed
/// behind their end, by threads that hold some.
fn settled(descriptors: usize) -> Footprint {
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let footprint = Footprint::of("self");
        if footprint.descriptors <= descriptors || Instant::now() > patience {
            return footprint;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One session: a kernel of each language in one directory, and at its end nothing of it is left.
async fn session(cells: usize, seed: u64) -> Vec<String> {
    let workdir = Workdir::new();
    let only = std::env::var("AGB_SOAK_LANGUAGE").ok();
    let languages =
        LANGUAGES.into_iter().filter(|language| only.as_ref().is_none_or(|only| *only == language.to_string()));
    let walks = languages.map(|language| {
        let mut spec = spec(language, find_interpreter(language, None).unwrap(), workdir.root());
        spec.cache = cache();
        tokio::spawn(Walk::new(spec, seed).go(cells))
    });
    let walks: Vec<_> = walks.collect();
    let mut reports = Vec::new();
    for walk in walks {
        match walk.await {
            Ok(report) => reports.push(report),
            Err(error) => panic!("AGB_SOAK_SEED={seed}: {error}"),
        }
    }
    let (dir, temporary) = (workdir.path(), workdir.root().join("tmp"));
    eventually("no process of the session is left", || processes_in(&dir).is_empty()).await;
    // A checkout below /tmp is shown in the sandbox's own: the folders on the way to it are nobody's files.
    let checkout =
        Path::new(env!("CARGO_MANIFEST_DIR")).strip_prefix("/tmp").ok().and_then(|below| below.iter().next());
    let is_empty = || {
        let mut names = std::fs::read_dir(&temporary).unwrap().map(|entry| entry.unwrap().file_name());
        names.all(|name| Some(name.as_os_str()) == checkout)
    };
    eventually("no temporary file of the session is left", is_empty).await;
    reports
}

/// What is known of a kernel, and what has happened to it.
struct Walk {
    language: Language,
    kernel: Kernel,
    dir: PathBuf,
    random: SplitMix64,
    /// How often the variable was counted up in the living process.
    counted: u32,
    executions: u32,
    /// Cells that were stopped and should have kept the state, and those of them that did not.
    stopped: (u32, u32),
    deaths: u32,
}

impl Walk {
    fn new(spec: KernelSpec, seed: u64) -> Self {
        Self {
            language: spec.language,
            dir: spec.policy.workdir.clone(),
            random: SplitMix64::new(seed ^ ((spec.language as u64) << 32)),
            kernel: Kernel::new(spec),
            counted: 0,
            executions: 0,
            stopped: (0, 0),
            deaths: 0,
        }
    }

    fn start(&self, kind: Kind) -> Execution {
        let timeout = if kind == Kind::TimeOut { TIMEOUT } else { PATIENCE };
        self.kernel.run(Cell::new(program(self.language, kind), timeout))
    }

    /// All cells; in the second half nothing dies, so that one process gets old and is seen not to grow.
    async fn go(mut self, cells: usize) -> String {
        let mut young = None;
        for n in 0..cells {
            let mortal = n < cells / 2;
            let kind = self.pick(mortal);
            self.step(kind).await;
            if n == cells / 2 + cells / 8 {
                young = self.footprint();
            }
        }
        self.step(Kind::Count).await;
        let old = self.footprint();
        if let (Some(young), Some(old)) = (&young, &old)
            && young.pid == old.pid
        {
            // Pipes of a child that just ended may be open for a moment; a leak has one for each cell.
            assert!(old.descriptors <= young.descriptors + 4, "{}: {young:?}, then {old:?}", self.language);
            // Garbage and caches, which are bounded: 40 KiB a cell would be seen in the full soak.
            assert!(old.memory < young.memory + (32 << 20), "{}: {young:?}, then {old:?}", self.language);
        }
        let (stopped, lost) = self.stopped;
        // What does not stop within the grace is killed, which a busy machine may make happen; not as a rule.
        assert!(lost <= 1 + stopped / 10, "{lost} of {stopped} stopped cells lost their state");
        self.kernel.shutdown().await;
        let Self { language, executions, deaths, .. } = self;
        let is_one = young.as_ref().map(|it| it.pid) == old.as_ref().map(|it| it.pid);
        let name = |footprint: Option<Footprint>| footprint.map_or("not seen".to_owned(), |it| it.to_string());
        let (young, old) = (name(young), name(old));
        let between = if is_one { "then" } else { "then another process:" };
        format!("{language}: {executions} cells, {stopped} stopped, {deaths} deaths; {young}, {between} {old}")
    }

    fn pick(&mut self, mortal: bool) -> Kind {
        let kinds = Kind::ALL;
        loop {
            let kind = kinds[self.random.roll(kinds.len())];
            // A stubborn one takes the whole grace of two seconds.
            let rare = match kind {
                Kind::Stubborn => 8,
                Kind::Exit | Kind::Crash => 4,
                _ => 1,
            };
            if (mortal || !kind.is_deadly()) && self.random.roll(rare) == 0 {
                return kind;
            }
        }
    }

    /// Runs one cell of a kind and checks all that it says.
    async fn step(&mut self, kind: Kind) {
        self.executions += 1;
        let run = self.start(kind);
        if let Kind::Cancel | Kind::Stubborn | Kind::Drop = kind {
            tokio::time::sleep(Duration::from_micros(self.random.roll(20_000) as u64)).await;
            if kind == Kind::Drop {
                drop(run);
                return self.look_after().await;
            }
            run.control().interrupt();
        }
        let ran = finish(run).await;
        self.check(kind, &ran);
    }

    fn check(&mut self, kind: Kind, ran: &Ran) {
        let what = || format!("{} {kind:?}: {ran:#?}", self.language);
        let end = &ran.end;
        if let Kind::Count | Kind::Value | Kind::Rich | Kind::Flood | Kind::Child = kind {
            assert_eq!(end.outcome, Outcome::Finished, "{}", what());
        }
        match kind {
            Kind::Count => {
                self.counted += 1;
                assert_eq!(ran.stdout(), format!("{}\n", self.counted), "{}", what());
            }
            Kind::Value => assert!(ran.value().is_some_and(|value| value.contains("45")), "{}", what()),
            Kind::Rich => assert!(!ran.results().is_empty(), "{}", what()),
            Kind::Fail => assert!(matches!(end.outcome, Outcome::Failed(_)), "{}", what()),
            Kind::Flood => assert_eq!(ran.stdout().len(), 100_000, "{}", what()),
            Kind::Child => assert_eq!(ran.stdout(), "child\n", "{}", what()),
            Kind::Cancel | Kind::Stubborn => assert_eq!(end.outcome, Outcome::Cancelled, "{}", what()),
            Kind::TimeOut => assert_eq!(end.outcome, Outcome::TimedOut(TIMEOUT), "{}", what()),
            Kind::Exit | Kind::Crash => assert!(matches!(end.outcome, Outcome::Killed(_)), "{}", what()),
            Kind::Drop => unreachable!("nobody sees its end"),
        }
        if let Kind::Cancel | Kind::TimeOut = kind {
            self.stopped.0 += 1;
            self.stopped.1 += u32::from(end.state_lost);
        } else {
            // A stubborn cell that was cancelled before it began lost nothing.
            assert!(kind == Kind::Stubborn || end.state_lost == kind.is_deadly(), "{}", what());
        }
        // A cell that was cancelled while its interpreter started, or in the queue, has no number.
        if end.execution_count == 0 {
            self.executions -= 1;
        }
        assert!(end.execution_count == 0 || end.execution_count == self.executions, "{}", what());
        if end.state_lost {
            self.counted = 0;
            self.deaths += 1;
        }
    }

    /// After a cell whose end nobody saw: the next one tells what became of the state.
    async fn look_after(&mut self) {
        let ran = finish(self.start(Kind::Count)).await;
        assert_eq!(ran.end.outcome, Outcome::Finished, "{ran:#?}");
        // The dropped cell had a number if it got as far as the interpreter.
        assert!((self.executions..=self.executions + 1).contains(&ran.end.execution_count), "{ran:#?}");
        self.executions = ran.end.execution_count;
        self.stopped.0 += 1;
        if ran.stdout() == format!("{}\n", self.counted + 1) {
            self.counted += 1;
        } else {
            assert_eq!(ran.stdout(), "1\n", "{ran:#?}");
            self.counted = 1;
            self.stopped.1 += 1;
        }
    }

    /// The living interpreter, when there is one and it has no children.
    fn footprint(&self) -> Option<Footprint> {
        let name = process_name(self.language);
        let found = processes_in(&self.dir);
        let pid = found.iter().find(|(_, comm)| comm.trim() == name)?.0;
        Some(Footprint { pid, ..Footprint::of(&pid.to_string()) })
    }
}

/// What a process holds.
#[derive(Debug)]
struct Footprint {
    pid: i32,
    descriptors: usize,
    /// Bytes of private memory.
    memory: u64,
}

impl fmt::Display for Footprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} descriptors and {:.1} MiB", self.descriptors, self.memory as f64 / f64::from(1 << 20))
    }
}

impl Footprint {
    fn of(process: &str) -> Self {
        let dir = Path::new("/proc").join(process);
        let descriptors = std::fs::read_dir(dir.join("fd")).map_or(0, Iterator::count);
        let status = std::fs::read_to_string(dir.join("status")).unwrap_or_default();
        let kib =
            status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB")?.parse().ok());
        Self { pid: 0, descriptors, memory: kib.unwrap_or(0u64) << 10 }
    }
}
