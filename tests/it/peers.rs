//! What clients and services of this kind are known to get wrong, each as a test.

use std::time::{Duration, Instant};

use agb_client::agb_core::result::RunStatus;
use agb_client::{RunError, RunEvent};
use agb_testkit::proxy::{Proxy, Schedule};
use futures_util::StreamExt;

use crate::network::{client, session};
use crate::server::TestServer;

/// Longer than anything takes that works.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_after_a_reconnect_is_not_missing_behind_a_success() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.address(), Schedule::calm()).await.expect("a port");
    let session = session(&client(proxy.address(), |_| {})).await;
    let code = "import time\nfor i in range(30):\n    print(i, flush=True)\n    time.sleep(0.05)";
    let mut run = session.code().run(code, "python").stream().expect("sent");
    let (mut out, mut events) = (String::new(), vec![]);
    while let Some(event) = run.next().await {
        match event {
            RunEvent::Stdout(chunk) => {
                out.push_str(&chunk);
                if out.ends_with("5\n") {
                    proxy.cut(true);
                }
            }
            RunEvent::Interrupted(loss) => events.push(loss.code()),
            RunEvent::Reconnected => events.push("found"),
            other => panic!("{other:?}"),
        }
    }
    let result = run.finish().await;
    assert_eq!(out, (0..30).map(|i| format!("{i}\n")).collect::<String>());
    assert!(result.success && result.status == RunStatus::Finished && result.interruptions > 0);
    assert_eq!(events[..2], ["CONNECTION_BROKEN", "found"], "{events:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_no_failure() {
    let server = TestServer::start().await;
    let agb = client(server.address(), |config| {
        config.heartbeat = Duration::from_millis(300);
        config.silence = Duration::from_secs(2);
    });
    let session = session(&agb).await;
    let result = session.code().run("import time\ntime.sleep(5)\nprint('there')", "python").stream().expect("sent");
    let result = result.finish().await;
    assert!(result.success && result.interruptions == 0, "{result:?}");
    assert_eq!(result.logs.stdout.concat(), "there\n");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_cut_for_good_has_no_made_up_end() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.address(), Schedule::calm()).await.expect("a port");
    let agb = client(proxy.address(), |config| {
        config.give_up = Duration::from_secs(1);
        config.socket_attempts = 1_000;
    });
    let session = session(&agb).await;
    let code = "import time\nprint('begin', flush=True)\ntime.sleep(0.3)\nprint('end')";
    let mut run = session.code().run(code, "python").stream().expect("sent");
    while let Some(event) = run.next().await {
        if event == RunEvent::Stdout("begin\n".into()) {
            proxy.set_schedule(Schedule { refuse: 100, ..Schedule::calm() });
            proxy.cut(false);
        }
    }
    assert!(matches!(run.end(), Some(Err(RunError::Interrupted(_)))), "{:?}", run.end());
    let result = run.finish().await;
    assert_eq!((result.success, result.status, result.execution_count), (false, RunStatus::Interrupted, None));
    assert!(result.error_message.contains("outcome is unknown"), "{}", result.error_message);
    assert_eq!(result.logs.stdout.concat(), "begin\n", "what had come is there");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_slow_reader_silences_nobody() {
    let server = TestServer::start().await;
    let session = session(&client(server.address(), |config| config.window = 64 * 1024)).await;
    let mut slow = session.code().run("for i in range(3_000_000): print(i)", "python").stream().expect("sent");
    while !matches!(slow.next().await, Some(RunEvent::Stdout(_))) {}
    let began = Instant::now();
    for i in 0..5 {
        let quick = session.code().run(format!("console.log({i})"), "javascript").stream().expect("sent");
        let result = tokio::time::timeout(PATIENCE, quick.finish()).await.expect("it is not held back");
        assert_eq!(result.logs.stdout.concat(), format!("{i}\n"));
    }
    assert!(began.elapsed() < PATIENCE);
    assert!(!slow.is_finished());
    slow.cancel();
    assert_eq!(slow.finish().await.status, RunStatus::Cancelled);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_character_is_cut_at_a_chunks_border() {
    let server = TestServer::start().await;
    // No multiple of a character's length.
    let session = session(&client(server.address(), |config| config.window = 1_001)).await;
    let code = "import sys\nsys.stdout.write('€𝄞é' * 20_000)";
    let mut run = session.code().run(code, "python").stream().expect("sent");
    let (mut out, mut chunks) = (String::new(), 0);
    while let Some(event) = run.next().await {
        if let RunEvent::Stdout(chunk) = event {
            assert!(!chunk.contains('\u{fffd}'), "{chunk:?}");
            chunks += 1;
            out.push_str(&chunk);
        }
    }
    assert!(out == "€𝄞é".repeat(20_000) && chunks > 100, "{} bytes in {chunks} chunks", out.len());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_is_not_local_only() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.address(), Schedule::calm()).await.expect("a port");
    let session = session(&client(proxy.address(), |_| {})).await;
    let code =
        "import time\nprint('up', flush=True)\nwhile True:\n    open('beats', 'a').write('x')\n    time.sleep(0.02)";
    let mut run = session.code().run(code, "python").stream().expect("sent");
    while run.next().await != Some(RunEvent::Stdout("up\n".into())) {}
    proxy.cut(true); // also when it is lost on its way
    run.cancel();
    let result = tokio::time::timeout(PATIENCE, run.finish()).await.expect("it settles");
    assert_eq!(result.status, RunStatus::Cancelled);
    let beats = async || {
        let result = session.code().run("len(open('beats').read())", "python").await.expect("the interpreter is free");
        result.results[0].text.clone().expect("a number")
    };
    let before = beats().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(beats().await, before, "the program has stopped");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kernel_that_is_killed_says_so_and_the_session_lives() {
    let server = TestServer::start().await;
    let session = session(&client(server.address(), |_| {})).await;
    let code = "import os\nprint('last words', flush=True)\nos.kill(os.getpid(), 9)";
    let run = session.code().run(code, "python").stream().expect("sent");
    let result = run.finish().await;
    assert_eq!((result.status, result.state_lost), (RunStatus::Killed, true));
    assert_eq!(result.logs.stdout.concat(), "last words\n");
    assert_eq!(result.killed_by.and_then(|by| by.signal).as_deref(), Some("SIGKILL"));
    let next = session.code().run("print('well')", "python").stream().expect("sent").finish().await;
    assert_eq!(next.logs.stdout.concat(), "well\n");
    server.stop().await;
}
