//! Measures one kernel, for `cargo xtask bench kernels`: prints figures as JSON.
//!
//! `measure LANGUAGE ROUNDS`: the interpreter is the one that a server would find.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use agb_kernel::{Cell, CellEvent, Execution, Kernel, KernelSpec, Language, Outcome, find_interpreter};
use agb_sandbox::{Launcher, Policy};

/// Prints the time, computes for 20 ms, and so on: what is printed is read while the cell computes.
const PRINTS: usize = 50;
const EMPTY_CELLS: usize = 200;
/// 100 bytes each.
const LINES: usize = 100_000;

fn main() -> Result<(), Box<dyn Error>> {
    agb_sandbox::main_if_helper();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [language, rounds] = arguments.as_slice() else { return Err("usage: measure LANGUAGE ROUNDS".into()) };
    let language = Language::parse(language)?;
    let workdir = std::env::temp_dir().join(format!("agb-measure-{}", std::process::id()));
    std::fs::create_dir(&workdir)?;
    let figures = measure(language, rounds.parse()?, &workdir).await;
    std::fs::remove_dir_all(&workdir)?;
    println!("{}", serde_json::to_string(&figures?)?);
    Ok(())
}

async fn measure(
    language: Language,
    rounds: usize,
    workdir: &Path,
) -> Result<BTreeMap<&'static str, f64>, Box<dyn Error>> {
    let programs = Programs::of(language);
    let launcher = Arc::new(Launcher::start("/proc/self/exe")?);
    let level = launcher.probe().best().ok_or("this machine offers no isolation")?;
    let policy = Policy::new(level, workdir, 0);
    let spec = KernelSpec::new(language, find_interpreter(language, None)?, launcher, policy);
    let mut all: BTreeMap<&'static str, Vec<f64>> = BTreeMap::new();
    for _ in 0..rounds {
        let kernel = Kernel::new(spec.clone());
        let begin = Instant::now();
        let mut run = start(&kernel, programs.print);
        while let Some(event) = run.next().await {
            match event {
                CellEvent::Started => all.entry("readyMs").or_default().push(ms(begin.elapsed())),
                CellEvent::Stdout(_) => all.entry("firstByteMs").or_default().push(ms(begin.elapsed())),
                _ => {}
            }
        }
        all.entry("idleMiB").or_default().push(memory_of_children());

        let mut run = start(&kernel, &programs.ticking);
        while let Some(event) = run.next().await {
            if let CellEvent::Stdout(text) = event {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
                // A reader that was late got several lines: each is as late as it is.
                let printed = text.lines().filter_map(|line| line.parse::<f64>().ok());
                all.entry("latencyMs").or_default().extend(printed.map(|at| (now - at) * 1e3));
            }
        }
        for _ in 0..EMPTY_CELLS {
            let begin = Instant::now();
            finish(start(&kernel, "")).await?;
            all.entry("emptyCellMs").or_default().push(ms(begin.elapsed()));
        }
        let begin = Instant::now();
        let size = finish(start(&kernel, &programs.flood)).await?;
        all.entry("printMBs").or_default().push(size as f64 / 1e6 / begin.elapsed().as_secs_f64());
        kernel.shutdown().await;
    }
    Ok(all.into_iter().map(|(name, values)| (name, median(values))).collect())
}

struct Programs {
    print: &'static str,
    ticking: String,
    flood: String,
}

impl Programs {
    fn of(language: Language) -> Self {
        let (print, ticking, flood) = match language {
            Language::Python => (
                "print('x')",
                format!(
                    "import time\nfor _ in range({PRINTS}):\n    now = time.time()\n    print(repr(now))\n    while time.time() < now + 0.02: pass"
                ),
                format!("for _ in range({LINES}): print('x' * 99)"),
            ),
            Language::JavaScript => (
                "console.log('x')",
                // `performance.now` is from a clock that does not follow the system's: the offset is taken once.
                format!(
                    "{{ const offset = performance.timeOrigin;\nfor (let i = 0; i < {PRINTS}; i++) {{\n  const now = performance.now();\n  \
                     console.log((offset + now) / 1e3);\n  while (performance.now() < now + 20);\n}} }};"
                ),
                format!("for (let i = 0; i < {LINES}; i++) console.log('x'.repeat(99))"),
            ),
            Language::R => (
                "cat('x')",
                format!(
                    "for (i in 1:{PRINTS}) {{\n  now <- as.numeric(Sys.time())\n  cat(sprintf('%.6f\\n', now))\n  \
                     while (as.numeric(Sys.time()) < now + 0.02) NULL\n}}"
                ),
                format!("line <- strrep('x', 99)\nfor (i in 1:{LINES}) cat(line, '\\n', sep = '')"),
            ),
            Language::Java => (
                "System.out.println(\"x\");",
                format!(
                    "for (int i = 0; i < {PRINTS}; i++) {{\n  var now = java.time.Instant.now();\n  \
                     System.out.println(now.getEpochSecond() + \".\" + String.format(\"%09d\", now.getNano()));\n  \
                     while (java.time.Instant.now().isBefore(now.plusMillis(20)));\n}}"
                ),
                format!("for (int i = 0; i < {LINES}; i++) System.out.println(\"x\".repeat(99));"),
            ),
        };
        Self { print, ticking, flood }
    }
}

fn start(kernel: &Kernel, code: &str) -> Execution {
    kernel.run(Cell::new(code, Duration::from_secs(300)))
}

/// The size of what it printed.
async fn finish(mut run: Execution) -> Result<usize, Box<dyn Error>> {
    let mut size = 0;
    loop {
        match run.next().await.ok_or("an execution has an end")? {
            CellEvent::Stdout(text) => size += text.len(),
            CellEvent::End(end) if end.outcome == Outcome::Finished => return Ok(size),
            CellEvent::End(end) => return Err(end.outcome.to_string().into()),
            _ => {}
        }
    }
}

/// Proportional memory of this process's descendants in MiB: an interpreter's, and the little of what isolates it.
fn memory_of_children() -> f64 {
    let mut pids = vec![std::process::id()];
    let mut next = 0;
    while let Some(pid) = pids.get(next) {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
        let children: Vec<u32> =
            children.flat_map(|text| text.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect();
        pids.extend(children);
        next += 1;
    }
    let kib: f64 = pids[1..]
        .iter()
        .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok())
        .filter_map(|text| {
            text.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse::<f64>().ok())
        })
        .sum();
    kib / 1024.0
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
