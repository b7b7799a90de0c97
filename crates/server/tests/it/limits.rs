//! Programs that use up what they can: each ends with the reason, and the other sessions go on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{TestServer, TestSession};

const MIB: u64 = 1 << 20;

/// Runs a program that is killed, and gives the reason.
async fn killed(server: &TestServer, session: &TestSession, code: &str) -> String {
    let answer = server.run_code(session, "python", code).await;
    assert_eq!(answer["stateLost"], true, "{answer}");
    let reason = answer["error"]["value"].as_str().unwrap_or_else(|| panic!("no error: {answer}")).to_owned();
    let next = server.run_code(session, "python", "1 + 1").await;
    assert_eq!(next["result"][0]["text/plain"], "2", "the next run has a fresh interpreter: {next}");
    reason
}

/// Another session's runs, until it is stopped: the longest of them.
async fn neighbour(server: &TestServer, session: &TestSession, stop: &std::cell::Cell<bool>) -> Duration {
    let mut longest = Duration::ZERO;
    while !stop.get() {
        let begin = Instant::now();
        let answer = server.run_code(session, "python", "n = globals().get('n', 0) + 1\nn").await;
        assert!(answer["result"][0]["text/plain"].is_string(), "{answer}");
        longest = longest.max(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    longest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_uses_up_memory_or_disk_is_killed_with_the_reason() {
    let server = TestServer::with(|config| {
        config.sandbox.total_memory = 256 * MIB;
        config.sandbox.disk = 64 * MIB;
        config.sandbox.files = 2_000;
    })
    .await;
    let (hostile, other) = (server.create().await, server.create().await);
    let stop = std::cell::Cell::new(false);
    let attacks = async {
        // Each process is below its own limit; together, and in memory that they share, they are not.
        let many = "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n        x = bytearray(100 << 20)\n        time.sleep(1000)\ntime.sleep(1000)";
        assert!(killed(&server, &hostile, many).await.contains("memory limit 256 MiB"));
        let shared = "import mmap, time\nkept = []\nwhile True:\n    kept.append(mmap.mmap(-1, 1 << 20))\n    kept[-1].write(b'x' * (1 << 20))";
        assert!(killed(&server, &hostile, shared).await.contains("memory limit 256 MiB"));
        let full = "n = 0\nwhile True:\n    n += 1\n    open(f'{n}', 'wb').write(b'x' * (1 << 20))";
        assert!(killed(&server, &hostile, full).await.contains("disk limit 64 MiB"));
        // Who is above the limit may remove files.
        let tidy = server.run_code(&hostile, "python", "import os\n[os.remove(f) for f in os.listdir()]\n'tidy'").await;
        assert_eq!(tidy["result"][0]["text/plain"], "'tidy'", "{tidy}");
        let files = "import os\nn = 0\nwhile True:\n    n += 1\n    open(f'/tmp/{n}', 'w').close()";
        assert!(killed(&server, &hostile, files).await.contains("limit of 2000 files"));
        server.output_of(&hostile, "rm -rf /tmp/*").await;
        let command = json!({ "command": "while :; do head -c 1000000 /dev/zero > b$RANDOM$(date +%N); done", "timeout_ms": 25_000 });
        let answer: Value =
            serde_json::from_str(&server.call(&hostile, "shell", command).await.expect_err("killed")).expect("JSON");
        let said = answer["stderr"].as_str().expect("a text");
        assert!(said.contains("limit"), "{answer}");
        stop.set(true);
    };
    let (longest, ()) = tokio::join!(neighbour(&server, &other, &stop), attacks);
    println!("the longest run of another session meanwhile took {longest:?}");
    assert!(longest < Duration::from_secs(15), "{longest:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_bomb_and_busy_loops_leave_the_others_alone() {
    let server = TestServer::with(|config| config.sandbox.processes = 64).await;
    let (hostile, other) = (server.create().await, server.create().await);
    let stop = std::cell::Cell::new(false);
    let attacks = async {
        let bomb = "import os\ntry:\n    while True: os.fork()\nexcept BlockingIOError: pass\nwhile True: pass";
        let args = json!({ "code": bomb, "language": "python", "timeout_s": 3 });
        let answer = server.call(&hostile, "run_code", args).await;
        let (Ok(text) | Err(text)) = answer;
        assert!(text.contains("imed out") || text.contains("imeout"), "{text}");
        stop.set(true);
    };
    let (longest, ()) = tokio::join!(neighbour(&server, &other, &stop), attacks);
    println!("the longest run of another session meanwhile took {longest:?}");
    assert!(longest < Duration::from_secs(15), "{longest:?}");
    server.stop().await;
}

/// A command that is killed before its shell runs ends as any other that is.
#[tokio::test]
async fn a_command_without_memory_to_start_is_killed_with_the_reason() {
    let server = TestServer::with(|config| config.sandbox.total_memory = 32 << 10).await;
    let session = server.create().await;
    let said = server.call(&session, "shell", json!({ "command": "sleep 120", "timeout_ms": 60_000 }));
    let said = said.await.expect_err("it is killed");
    assert!(said.contains("memory limit 32 KiB"), "{said}");
    let answer: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("it is told as a fault: {said}"));
    assert_eq!(answer["exit_code"], 137, "{answer}");
    server.stop().await;
}

/// On one thread, as the server runs: whoever waits for the end of a killed command leaves that thread to the others.
#[tokio::test]
async fn a_command_that_is_killed_holds_nobody_back() {
    let server = TestServer::with(|config| config.sandbox.disk = 16 * MIB).await;
    let (hostile, other) = (server.create().await, server.create().await);
    let fill = "while :; do head -c 1000000 /dev/zero > b$RANDOM$(date +%N); done";
    for _ in 0..3 {
        server.output_of(&hostile, "rm -f b*").await;
        let command = json!({ "command": fill, "timeout_ms": 25_000 });
        let said = server.call(&hostile, "shell", command).await.expect_err("it is killed");
        assert!(said.contains("disk limit 16 MiB"), "{said}");
        let answer = server.run_code(&other, "python", "1 + 1").await;
        assert_eq!(answer["result"][0]["text/plain"], "2", "{answer}");
    }
    server.stop().await;
}

/// Commands that have ended before anybody looks write no more together than one may; and there is a way back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn short_commands_fill_no_disk_and_what_is_full_can_be_tidied() {
    const NOTICE: &str =
        "The session is above its disk limit 4 MiB: until it is below, programs can only remove files.";
    let server = TestServer::with(|config| config.sandbox.disk = 4 * MIB).await;
    let session = server.create().await;
    let begin = Instant::now();
    for at in 0.. {
        let answer = server.shell(&session, &format!("head -c 1000000 /dev/zero > a{at}")).await;
        if answer["exit_code"] != 0 {
            let said = answer["stderr"].as_str().expect("a text");
            if said.contains("exceeded its disk limit 4 MiB") {
                continue; // somebody looked while this one wrote
            }
            assert!(said.starts_with(NOTICE) && said.contains("Permission denied"), "{answer}");
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{at} MB are there");
    }
    let refused = server.run_code(&session, "python", "open('b', 'w')").await;
    assert!(refused["error"]["value"].as_str().is_some_and(|said| said.contains("Permission denied")), "{refused}");
    assert!(refused["stderr"].to_string().contains(NOTICE) && refused["stateLost"] == true, "{refused}");
    let tidy = "import glob, os\nfor name in glob.glob('a*'): os.remove(name)\n'tidy'";
    let tidied = server.run_code(&session, "python", tidy).await;
    assert_eq!(tidied["result"][0]["text/plain"], "'tidy'", "{tidied}");
    let written = server.run_code(&session, "python", "open('b', 'w').write('there is room')").await;
    assert_eq!(written["result"][0]["text/plain"], "13", "{written}");
    server.output_of(&session, "rm b; echo x > c").await;
    server.stop().await;
}
