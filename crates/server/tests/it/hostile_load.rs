//! Programs that use up what they can, one after the other, each in a session of its own, while another session runs a
//! small cell every 50 ms: how little that one notices, as a table. `AGB_HOSTILE_LOAD=full` takes the sizes that the
//! table in `tests/bench/README.md` has, `AGB_HOSTILE_LOAD_ONLY=WORD` the cases that have the word in their names:
//!
//! `AGB_HOSTILE_LOAD=full cargo test -p agb-server --test it hostile_load -- --nocapture`

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{PATIENCE, TestServer, TestSession};

const MIB: u64 = 1 << 20;

/// A small cell is run so often.
const PACE: Duration = Duration::from_millis(50);

struct Case {
    name: &'static str,
    language: &'static str,
    code: String,
    timeout_s: u32,
    /// How its output is read: what is waited for between two frames, until it has had its time.
    reading: Duration,
    /// Part of how the run ends: of its error, or of what it prints.
    end: &'static str,
}

fn case(name: &'static str, language: &'static str, code: impl Into<String>, end: &'static str) -> Case {
    Case { name, language, code: code.into(), timeout_s: 100, reading: Duration::ZERO, end }
}

fn cases(full: bool) -> Vec<Case> {
    let (few, many) = if full { (100_000, 1_000_000) } else { (2_000, 200_000) };
    let files = |count: usize| {
        format!(
            "import os\nfor n in range({count}):\n    if n % 1000 == 0:\n        os.mkdir(f'd{{n}}')\n        \
             print(n, flush=True)\n    open(f'd{{n // 1000 * 1000}}/{{n}}', 'w').close()\nprint('all there')"
        )
    };
    let print = "line = 'x' * 1023 + '\\n'\nfor _ in range(10 << 20): print(line, end='')";
    let timed = |case: Case, timeout_s| Case { timeout_s, ..case };
    let read = |case: Case, reading| Case { reading: Duration::from_millis(reading), ..timed(case, 3) };
    vec![
        timed(
            case(
                "fork bomb",
                "python",
                "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
                "timed out",
            ),
            3,
        ),
        timed(
            case(
                "busy loops, 64 processes of 2 threads",
                "python",
                "import os, threading\nfor _ in range(6): os.fork()\ndef loop():\n    while True: pass\n\
                 threading.Thread(target=loop, daemon=True).start()\nloop()",
                "timed out",
            ),
            3,
        ),
        case("100 GB of memory: Python", "python", "kept = [bytearray(100 << 20) for _ in range(1000)]", "MemoryError"),
        case(
            "100 GB of memory: Node.js buffers",
            "javascript",
            "const kept = []; for (let n = 0; n < 1000; n++) kept.push(Buffer.alloc(100 << 20, 1))",
            "allocation failed",
        ),
        case(
            "100 GB of memory: shared",
            "python",
            "import mmap\nkept = []\nfor _ in range(100000):\n    kept.append(mmap.mmap(-1, 1 << 20))\n    \
             kept[-1].write(b'x' * (1 << 20))",
            "memory limit 512 MiB",
        ),
        case(
            "100 GB of memory: many processes",
            "python",
            "import os, time\nfor _ in range(20):\n    if os.fork() == 0:\n        kept = bytearray(200 << 20)\n        \
             time.sleep(100)\ntime.sleep(100)",
            "memory limit 512 MiB",
        ),
        case(
            "100 GB in /dev/shm",
            "python",
            "try:\n    with open('/dev/shm/file', 'wb') as file:\n        for _ in range(100000): file.write(bytes(1 << 20))\n\
             except OSError as error: print(error)",
            "No space left",
        ),
        case(
            "a full disk",
            "python",
            "for n in range(100000):\n    with open(f'{n}', 'wb') as file: file.write(b'x' * (1 << 20))",
            "disk limit 512 MiB",
        ),
        read(case("10 GB of output, read at once", "python", print, "timed out"), 0),
        read(case("10 GB of output, read slowly", "python", print, "timed out"), 100),
        read(case("10 GB of output, not read", "python", print, "timed out"), 3000),
        case("100,000 files", "python", files(few), "all there"),
        case("1,000,000 files", "python", files(many), "files"),
    ]
}

/// Runs the attack to its end; what the end says, and the last of what was printed.
async fn attack(session: &TestSession, case: &Case) -> String {
    let mut socket = session.connect().await;
    let params = serde_json::json!({ "language": case.language, "timeoutS": case.timeout_s, "code": case.code });
    let begin = Instant::now();
    socket.start_with("a", params).await;
    let mut last = String::new();
    loop {
        if begin.elapsed() < Duration::from_secs(u64::from(case.timeout_s)) {
            tokio::time::sleep(case.reading).await;
        }
        let (_, event) = socket.event().await;
        if event["phase"] == "end" {
            return format!("{}{last}", event["executionError"].as_str().unwrap_or_default());
        }
        if let Some(chunk) = event["chunk"].as_str() {
            last = chunk[chunk.len().saturating_sub(100)..].to_owned();
        }
    }
}

/// Another session's small cells, until it is told to stop: how long each took.
async fn small_cells(server: &TestServer, session: &TestSession, mut stop: watch::Receiver<bool>) -> Vec<Duration> {
    let mut took = Vec::new();
    let mut ticks = tokio::time::interval(PACE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !*stop.borrow_and_update() {
        ticks.tick().await;
        let begin = Instant::now();
        let answer = server.run_code(session, "python", "n = globals().get('n', 0) + 1\nn").await;
        took.push(begin.elapsed());
        assert!(answer["result"][0]["text/plain"].is_string(), "{answer}");
    }
    took.sort_unstable();
    took
}

/// In milliseconds: median and 99th of a hundred.
fn figures(sorted: &[Duration]) -> String {
    let at = |part: f64| sorted[((sorted.len() - 1) as f64 * part).round() as usize].as_secs_f64() * 1e3;
    format!("{:6.1} / {:6.1}", at(0.5), at(0.99))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_go_on_while_programs_use_up_what_they_can() {
    let full = std::env::var("AGB_HOSTILE_LOAD").is_ok_and(|value| value == "full");
    let server = TestServer::with(|config| {
        config.sandbox.memory = 256 * MIB;
        config.sandbox.total_memory = 512 * MIB;
        config.sandbox.tmp_size = 128 * MIB;
        config.sandbox.disk = 512 * MIB;
        config.sandbox.files = if full { 200_000 } else { 4_000 };
    })
    .await;
    let other = server.create().await;
    println!("{:40} {:17} {:17} {:>7}  the end", "", "before, ms", "during, ms", "s");
    let only = std::env::var("AGB_HOSTILE_LOAD_ONLY").unwrap_or_default();
    for case in cases(full).into_iter().filter(|case| case.name.contains(&only)) {
        let hostile = server.create().await;
        server.run_code(&hostile, case.language, "1").await;
        let (stop, stopped) = watch::channel(false);
        let pause = async {
            tokio::time::sleep(Duration::from_millis(if full { 3000 } else { 500 })).await;
            stop.send_replace(true);
        };
        let (before, ()) = tokio::join!(small_cells(&server, &other, stopped), pause);
        let (stop, stopped) = watch::channel(false);
        let begin = Instant::now();
        let attacking = async {
            let end = attack(&hostile, &case).await;
            stop.send_replace(true);
            end
        };
        let (during, end) = tokio::join!(small_cells(&server, &other, stopped), attacking);
        let took = begin.elapsed().as_secs_f64();
        let shown = end.lines().next().unwrap_or_default();
        let shown: String = shown.chars().take(80).collect();
        println!("{:40} {:17} {:17} {took:7.1}  {shown}", case.name, figures(&before), figures(&during));
        assert!(end.contains(case.end), "{}: {end}", case.name);
        let longest = during.last().expect("one at least");
        assert!(*longest < PATIENCE / 2, "{}: {longest:?}", case.name);
        server.post("/mcp/releaseSession", serde_json::json!({ "sessionId": hostile.id })).await;
    }
    server.stop().await;
}

/// Memory of this process, which the server runs in, bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is listed");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}

/// What a holder of an access sends and does not read, and what the server takes for it. The limits are small, so that a
/// flood is small, too: what is above them must not show in the server's memory.
#[tokio::test]
async fn floods_of_clients_are_bounded_and_others_are_served() {
    let server = TestServer::with(|config| {
        config.limits.session_buffers = 24 << 20;
        config.limits.max_connections_per_session = 16;
    })
    .await;
    let (victim, other) = (server.create().await, server.create().await);
    let token = server.access(&victim, json!({ "scope": "run" })).await;
    let before = memory();
    let mut sockets = Vec::new();

    // Messages that are never finished: 16 sockets with 8 MiB each are 128 MiB; 24 MiB of them are held at most.
    for n in 0..20 {
        match victim.try_connect(Some(&token)).await {
            Ok(socket) => sockets.push(socket),
            Err((status, body)) => {
                assert!(n >= 16 && status == 429, "{n}: {status} {body}");
            }
        }
    }
    assert_eq!(sockets.len(), 16, "a session has so many connections");
    // The head of a masked text frame of 15 MiB, and half of it.
    let head = [&[0x81, 0xff][..], &(15_u64 << 20).to_be_bytes(), &[0; 4]].concat();
    let frame: Arc<[u8]> = [head, vec![b' '; 8 << 20]].concat().into();
    let mut closed = JoinSet::new();
    for socket in sockets {
        let (mut stream, frame) = (socket.0.into_inner(), Arc::clone(&frame));
        closed.spawn(async move {
            // A connection that is closed meanwhile takes no more of it.
            if stream.write_all(&frame).await.is_ok() {
                let mut buffer = [0; 64];
                while matches!(stream.read(&mut buffer).await, Ok(1..)) {}
            }
        });
    }
    for n in 0..13 {
        let end = tokio::time::timeout(PATIENCE, closed.join_next()).await;
        assert!(end.is_ok(), "only {n} of 16 connections were closed");
    }
    assert_eq!(server.run_code(&other, "python", "print(1)").await["stdout"], json!(["1\n"]));
    let taken = memory().saturating_sub(before);
    assert!(taken < 200 << 20, "the server took {} MiB", taken >> 20);
    drop(closed);

    // Deep and wide JSON: 12 MiB that were 1.5 GiB as a tree of values.
    let before = memory();
    let mut socket = victim.connect().await;
    let wide = format!(r#"{{"invocationId":"x","data":{{"a":[{}0]}}}}"#, r#"{"":0},"#.repeat(1_700_000));
    socket.send(wide).await;
    let (id, refusal) = socket.event().await;
    assert_eq!((id.as_str(), &refusal["phase"]), ("x", &json!("error")), "{refusal}");
    let taken = memory().saturating_sub(before);
    assert!(taken < 200 << 20, "the server took {} MiB", taken >> 20);
    server.stop().await;
}
