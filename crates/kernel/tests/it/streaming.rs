//! Output on its way: at once, whole characters, held back by a slow consumer.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use agb_kernel::{Cell, CellEnd, CellEvent, CellSink, Language, Outcome};
use tokio::sync::Notify;

use crate::support::{PATIENCE, finish, kernel, kernel_with, next, until};

/// Each cell prints without newline or flush, then computes until a file appears. So the output has come while the
/// cell ran, or the cell never ends.
#[tokio::test]
async fn output_arrives_while_the_cell_computes() {
    for (language, code) in [
        (
            Language::Python,
            "import os, sys\nprint('early', end='')\nwhile not os.path.exists('go'): pass\nprint('late')",
        ),
        (
            Language::Python,
            "import os, sys\nsys.stdout.buffer.write(b'early')\nwhile not os.path.exists('go'): pass\nprint('late')",
        ),
        (
            Language::JavaScript,
            "process.stdout.write('early');\nwhile (!require('fs').existsSync('go'));\nconsole.log('late')",
        ),
    ] {
        let subject = kernel(language);
        let mut run = subject.start(code);
        assert_eq!(until(&mut run, "early").await, "early");
        std::fs::write(subject.workdir.path().join("go"), "").unwrap();
        let ran = finish(run).await;
        assert_eq!((ran.stdout().as_str(), ran.end.outcome), ("late\n", Outcome::Finished));
    }
}

#[tokio::test]
async fn a_print_is_one_chunk_and_latency_is_small() {
    let python = kernel(Language::Python);
    python.run("import time").await;
    let code = "for i in range(20):\n    time.sleep(0.01)\n    print(time.monotonic_ns(), 'x')";
    let mut run = python.start(code);
    let mut best = Duration::MAX;
    let mut chunks = 0;
    while let Some(event) = next(&mut run).await {
        if let CellEvent::Stdout(text) = event {
            let now = monotonic();
            assert!(text.ends_with(" x\n"), "{text:?}");
            let printed: u64 = text.split(' ').next().unwrap().parse().unwrap();
            best = best.min(now.saturating_sub(Duration::from_nanos(printed)));
            chunks += 1;
        }
    }
    assert!(chunks > 10, "prints 10 ms apart were joined to {chunks} chunks");
    assert!(best < Duration::from_millis(20), "the fastest of 20 prints took {best:?}");
}

/// Python's `time.monotonic_ns`.
fn monotonic() -> Duration {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    Duration::from_secs_f64(seconds)
}

#[tokio::test]
async fn characters_are_whole_and_garbage_is_replaced() {
    let python = kernel(Language::Python);
    let code = "import os, time\nfor b in '€😀ß'.encode():\n    os.write(1, bytes([b]))\n    time.sleep(0.002)\nos.write(1, b'\\xff|\\xe2\\x82')";
    let ran = python.run(code).await;
    assert_eq!(ran.stdout(), "€😀ß\u{fffd}|\u{fffd}", "{ran:#?}");
    assert_eq!(python.output("print('next')").await, "next\n");
}

#[tokio::test]
async fn everything_that_is_written_is_caught() {
    let python = kernel(Language::Python);
    let code = "import os, subprocess, sys\nprint('python')\nos.system('echo shell; echo oops >&2')\n\
                subprocess.run(['echo', 'child'])\nos.write(1, b'raw\\n')\nprint('err', file=sys.stderr)";
    let ran = python.run(code).await;
    assert_eq!(ran.stdout(), "python\nshell\nchild\nraw\n");
    assert_eq!(ran.stderr(), "oops\nerr\n");
    let c = python.output("import ctypes\nctypes.CDLL(None).printf(b'from C\\n')\nprint('python')").await;
    assert!(c.contains("from C\n") && c.contains("python\n"), "{c}");

    let node = kernel(Language::JavaScript);
    let code = "console.log('node'); console.error('err');\n\
                require('child_process').execSync('echo child; echo oops >&2', { stdio: 'inherit' });\nundefined";
    let ran = node.run(code).await;
    assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("node\nchild\n", "err\noops\n"));
}

#[tokio::test]
async fn what_was_printed_comes_before_a_later_result() {
    let python = kernel(Language::Python);
    let ran = python.run("for i in range(50):\n    print(i)\n    display(i)\n").await;
    let mut printed = String::new();
    let mut shown = 0;
    for (_, event) in &ran.events {
        match event {
            CellEvent::Stdout(text) => printed += text,
            CellEvent::Result(_) => {
                assert!(printed.lines().count() > shown, "{shown} was shown before it was printed");
                shown += 1;
            }
            _ => {}
        }
    }
    assert_eq!(shown, 50);
}

/// A consumer that does not read holds the program on its write; when it reads again nothing is missing.
#[tokio::test]
async fn a_slow_consumer_holds_the_program_back() {
    const LINES: usize = 200_000;
    for (language, code) in [
        (
            Language::Python,
            format!(
                "for i in range({LINES}):\n    open('at', 'w').write(str(i)) if i % 1000 == 0 else 0\n    print('%099d' % i)"
            ),
        ),
        (
            Language::JavaScript,
            format!(
                "for (let i = 0; i < {LINES}; i++) {{ if (i % 1000 === 0) require('fs').writeFileSync('at', String(i)); console.log(String(i).padStart(99, '0')) }}"
            ),
        ),
    ] {
        let subject = kernel(language);
        let mut run = subject.start(&code);
        while !matches!(next(&mut run).await, Some(CellEvent::Stdout(_))) {}
        let at = || {
            std::fs::read_to_string(subject.workdir.path().join("at")).ok().and_then(|text| text.parse::<usize>().ok())
        };
        // It stands when it has not moved for a while; a program that is not held back writes 20 MB in that time.
        let mut seen = (at(), Instant::now());
        while seen.0.is_none() || seen.1.elapsed() < Duration::from_millis(1500) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if at().is_some() && at() != seen.0 {
                seen = (at(), Instant::now());
            }
        }
        let stands = seen.0.unwrap();
        assert!(stands < 10_000, "{language}: {stands} lines of 100 bytes were written with nobody reading");
        let mut size = 0;
        let end = loop {
            match next(&mut run).await.unwrap() {
                CellEvent::Stdout(text) => {
                    assert!(text.len() <= 64 << 10);
                    size += text.len();
                }
                CellEvent::End(end) => break end,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(end.outcome, Outcome::Finished);
        assert!(size > (LINES - 1000) * 100 && size <= LINES * 100, "{language}: {size}");
    }
}

/// What a sink of one's own was given.
#[derive(Default)]
struct Given {
    text: String,
    /// The most that has waited in it.
    most: usize,
    end: Option<CellEnd>,
}

#[derive(Clone, Default)]
struct Bounded {
    given: Arc<Mutex<Given>>,
    /// It is full, or has the end.
    look: Arc<Notify>,
}

impl Bounded {
    const LIMIT: usize = 100_000;
}

impl CellSink for Bounded {
    fn push(&mut self, event: CellEvent) {
        let mut given = self.given.lock().unwrap();
        assert!(given.end.is_none(), "{event:?} after the end");
        match event {
            CellEvent::Stdout(text) => given.text += &text,
            CellEvent::End(end) => {
                given.end = Some(end);
                self.look.notify_one();
            }
            CellEvent::Started => {}
            other => panic!("{other:?}"),
        }
        given.most = given.most.max(given.text.len());
    }

    fn excess(&self) -> Option<usize> {
        let excess = self.given.lock().unwrap().text.len().checked_sub(Self::LIMIT);
        excess.inspect(|_| self.look.notify_one())
    }
}

/// A sink gets everything, in order, and hardly more than it says; it says once that it takes more.
#[tokio::test]
async fn a_sink_holds_the_program_back_until_it_takes_more() {
    const LINES: usize = 50_000;
    let python = kernel(Language::Python);
    let sink = Bounded::default();
    let (given, look) = (Arc::clone(&sink.given), Arc::clone(&sink.look));
    let code = format!("for i in range({LINES}): print('%099d' % i)");
    let control = python.kernel.run_into(Cell::new(code, PATIENCE), sink);
    let mut all = String::new();
    let (end, most) = loop {
        tokio::time::timeout(PATIENCE, look.notified()).await.expect("it fills or ends");
        let mut given = given.lock().unwrap();
        all += &std::mem::take(&mut given.text);
        if let Some(end) = given.end.take() {
            break (end, given.most);
        }
        drop(given);
        control.resume();
    };
    assert_eq!(end.outcome, Outcome::Finished);
    assert!(all.lines().map(|line| line.parse::<usize>().expect("a number")).eq(0..LINES), "{} bytes", all.len());
    // One read above the limit, and at the end what was in the pipe.
    assert!((Bounded::LIMIT..Bounded::LIMIT + (192 << 10)).contains(&most), "{most}");
}

/// A program that is blocked on its write hears that it is to stop, and keeps its state.
#[tokio::test]
async fn a_held_back_program_can_be_stopped() {
    for (language, set, code, get) in [
        (Language::Python, "x = 1", "while True: print('x' * 1000)", "x"),
        (Language::JavaScript, "var x = 1", "while (true) console.log('x'.repeat(1000))", "x"),
    ] {
        let subject = kernel(language);
        subject.run(set).await;
        let mut run = subject.kernel.run(Cell::new(code, PATIENCE));
        while !matches!(next(&mut run).await, Some(CellEvent::Stdout(_))) {}
        tokio::time::sleep(Duration::from_millis(300)).await;
        run.control().interrupt();
        // Not reading on: the kernel must get free all the same.
        assert_eq!(subject.value(get).await.as_deref(), Some("1"), "{language}");
        let ran = finish(run).await;
        assert_eq!((ran.end.outcome, ran.end.state_lost), (Outcome::Cancelled, false), "{language}");
    }
}

#[tokio::test]
async fn results_are_bounded_as_well() {
    let python = kernel_with(Language::Python, |limits| limits.max_control_frame = 1 << 20);
    let code = "for i in range(200):\n    open('at', 'w').write(str(i))\n    display('x' * 500_000)";
    let mut run = python.start(code);
    while !matches!(next(&mut run).await, Some(CellEvent::Result(_))) {}
    tokio::time::sleep(Duration::from_millis(500)).await;
    let at: usize = std::fs::read_to_string(python.workdir.path().join("at")).unwrap().parse().unwrap();
    assert!(at < 20, "{at} results of 500 kB were made with nobody reading");
    let ran = finish(run).await;
    assert_eq!((ran.results().len(), ran.end.outcome), (199, Outcome::Finished));
}

#[tokio::test]
async fn who_prints_faster_than_is_taken_waits_and_loses_nothing() {
    let python = kernel_with(Language::Python, |limits| limits.output_rate = 1 << 20);
    python.run("import os").await;
    let began = Instant::now();
    let ran = python.run("for n in range(3072): os.write(1 + n % 2, b'%1023d\\n' % n)").await;
    assert_eq!(ran.end.outcome, Outcome::Finished);
    let lines = |text: String| -> Vec<usize> { text.lines().map(|line| line.trim().parse().unwrap()).collect() };
    assert_eq!(lines(ran.stdout()), (0..3072).step_by(2).collect::<Vec<_>>());
    assert_eq!(lines(ran.stderr()), (1..3072).step_by(2).collect::<Vec<_>>());
    // A second's worth at once, two seconds for the rest; the last of it may lie in the pipes.
    assert!(began.elapsed() > Duration::from_millis(1800), "{:?}", began.elapsed());
    // Who is told to stop does not wait for its output.
    let began = Instant::now();
    let mut run = python.start("while True: os.write(1, b'x' * 65536)");
    next(&mut run).await;
    run.control().interrupt();
    let ran = finish(run).await;
    assert_eq!((ran.end.outcome, ran.end.state_lost), (Outcome::Cancelled, false));
    assert!(began.elapsed() < PATIENCE);
}

/// Of a large message no more is held than the sink lets the kernel hold; nothing of it is lost, and small ones never wait.
#[tokio::test]
async fn a_large_message_waits_for_room() {
    let python = kernel(Language::Python);
    let run = |code, may: &Arc<AtomicBool>| {
        let (most, may) = (Arc::new(AtomicUsize::new(0)), Arc::clone(may));
        let seen = Arc::clone(&most);
        let hold = move |bytes| {
            seen.fetch_max(bytes, Ordering::Relaxed);
            may.load(Ordering::Relaxed)
        };
        (python.kernel.run_holding(Cell::new(code, PATIENCE), Box::new(hold)), most)
    };
    let may = Arc::default();
    let (small, _) = run("for i in range(100): display('x' * 20_000)", &may);
    assert_eq!(finish(small).await.results().len(), 100);
    let (large, most) = run("display('x' * 5_000_000)", &may);
    let is_asked = async {
        while most.load(Ordering::Relaxed) < 64 << 10 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, is_asked).await.expect("it is asked");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(most.load(Ordering::Relaxed) <= 256 << 10, "{most:?} bytes are held of what there is no room for");
    may.store(true, Ordering::Relaxed);
    let ran = finish(large).await;
    assert_eq!((ran.results().len(), ran.end.outcome), (1, Outcome::Finished));
    assert!(most.load(Ordering::Relaxed) > 4 << 20, "{most:?}");
}

/// Counts what waits, and takes nothing until it is told to.
#[derive(Clone, Default)]
struct Unread {
    /// Bytes that wait, events that came, and how the cell ended.
    seen: Arc<Mutex<(usize, usize, Option<Outcome>)>>,
    look: Arc<Notify>,
}

impl CellSink for Unread {
    fn push(&mut self, event: CellEvent) {
        let mut seen = self.seen.lock().unwrap();
        match event {
            CellEvent::Result(result) => {
                seen.0 += result.data.memory_size();
                seen.1 += 1;
            }
            CellEvent::Stdout(text) => seen.0 += text.len(),
            CellEvent::End(end) => seen.2 = Some(end.outcome),
            _ => {}
        }
        self.look.notify_one();
    }

    fn excess(&self) -> Option<usize> {
        self.seen.lock().unwrap().0.checked_sub(10_000)
    }
}

/// Small messages that nobody reads wait with their program, however many there are; its last words and its end do not.
#[tokio::test]
async fn small_results_wait_with_their_program() {
    const RESULTS: usize = 3000;
    let python = kernel(Language::Python);
    let unread = Unread::default();
    let code = format!("for n in range({RESULTS}):\n    print('.')\n    display(str(n) * 20)");
    let control = python.kernel.run_into(Cell::new(code, PATIENCE), unread.clone());
    let is_full = || unread.excess().is_some();
    let mut most = 0;
    loop {
        tokio::time::timeout(PATIENCE, unread.look.notified()).await.expect("more comes");
        if unread.seen.lock().unwrap().2.is_some() {
            break;
        }
        if is_full() {
            if most == 0 {
                tokio::time::sleep(Duration::from_millis(500)).await; // whoever does not wait writes all in that time
            }
            most = most.max(std::mem::take(&mut unread.seen.lock().unwrap().0));
            control.resume();
        }
    }
    let (_, results, outcome) = unread.seen.lock().unwrap().clone();
    assert_eq!((results, outcome), (RESULTS, Some(Outcome::Finished)));
    assert!(most < 10_000 + (128 << 10), "{most} bytes waited for nobody");

    // The first result fills it, and nobody reads.
    let unread = Unread::default();
    let _control =
        python.kernel.run_into(Cell::new("display('x' * 100_000); print('last'); 'words'", PATIENCE), unread.clone());
    let ended = async {
        while unread.seen.lock().unwrap().2.is_none() {
            unread.look.notified().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("it ends");
    assert_eq!(unread.seen.lock().unwrap().1, 2);
}

impl Unread {
    async fn outcome(&self) -> Outcome {
        let ended = async {
            loop {
                if let Some(outcome) = self.seen.lock().unwrap().2.clone() {
                    return outcome;
                }
                self.look.notified().await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("it ends")
    }
}

/// Whose end waits behind a reader that stands still has not run out of time; who has more to do has.
#[tokio::test]
async fn the_end_of_a_program_that_nobody_reads_is_its_own() {
    const TIME: Duration = Duration::from_secs(2);
    let many = "for n in range(20): display('x' * 40_000)\n";
    type Check = fn(&Outcome) -> bool;
    let ways: [(String, Check); 4] = [
        (many.to_owned(), |outcome| *outcome == Outcome::Finished),
        (
            format!("{many}1 / 0"),
            |outcome| matches!(outcome, Outcome::Failed(error) if error.name == "ZeroDivisionError"),
        ),
        (format!("{many}while True: pass"), |outcome| *outcome == Outcome::TimedOut(TIME)),
        ("while True: display('x' * 40_000)".to_owned(), |outcome| *outcome == Outcome::TimedOut(TIME)),
    ];
    let python = kernel(Language::Python);
    python.run("x = 1").await;
    for (code, is_expected) in ways {
        let unread = Unread::default();
        let _control = python.kernel.run_into(Cell::new(&code, TIME), unread.clone());
        let outcome = unread.outcome().await;
        assert!(is_expected(&outcome), "{code}: {outcome:?}");
        assert_eq!(python.value("x").await.as_deref(), Some("1"), "{code}");
    }
}

/// The end of who printed faster than is taken is its own, too.
#[tokio::test]
async fn who_prints_faster_than_is_taken_has_not_run_out_of_time() {
    let python = kernel_with(Language::Python, |limits| limits.output_rate = 10_000);
    python.run("import os").await;
    let ran = python.run_for("os.write(1, b'x' * 60_000); os.write(1, b'y' * 60_000)", Duration::from_secs(1)).await;
    assert_eq!((&ran.end.outcome, ran.stdout().len()), (&Outcome::Finished, 120_000));
}

/// A program that is to stop is let out of a write that there is no room for, and keeps its state.
#[tokio::test]
async fn who_waits_with_a_large_result_can_be_stopped() {
    let python = kernel(Language::Python);
    python.run("x = 1").await;
    for is_cancelled in [true, false] {
        let asked = Arc::new(Notify::new());
        let tell = Arc::clone(&asked);
        let hold = move |bytes| {
            if bytes >= 64 << 10 {
                tell.notify_one();
            }
            false
        };
        let time = if is_cancelled { PATIENCE } else { Duration::from_secs(2) };
        let run = python.kernel.run_holding(Cell::new("display('x' * 5_000_000)", time), Box::new(hold));
        tokio::time::timeout(PATIENCE, asked.notified()).await.expect("it is asked");
        if is_cancelled {
            run.control().interrupt();
        }
        let ran = finish(run).await;
        let expected = if is_cancelled { Outcome::Cancelled } else { Outcome::TimedOut(time) };
        assert_eq!((&ran.end.outcome, ran.end.state_lost), (&expected, false), "{ran:#?}");
        assert!(ran.results().is_empty() && ran.stderr().contains("is left out"), "{}", ran.stderr());
        assert_eq!(python.value("x").await.as_deref(), Some("1"));
    }
}
