//! The server with many sessions and runs at once, and what is left of them afterwards. `AGB_LOAD=sessions,runs` chooses
//! how many; 100,10 is a thousand runs at once.

use std::time::Duration;

use agb_client::{RunEvent, Session};
use futures_util::StreamExt;
use futures_util::future::join_all;

use crate::network::{client, session};
use crate::server::TestServer;

const LINES: usize = 200;

fn size() -> (usize, usize) {
    let given = std::env::var("AGB_LOAD").unwrap_or_else(|_| "20,10".into());
    let numbers: Vec<usize> =
        given.split(',').map(|number| number.parse().expect("AGB_LOAD is sessions,runs")).collect();
    (numbers[0], numbers[1])
}

/// One run, its lines checked. Some read slowly, some go away in the middle.
async fn run(session: &Session, name: usize) {
    let code = format!("for i in range({LINES}): print(f'{{i}} of {name}', flush=i % 7 == 0)");
    let mut run = session.code().run(code, "python").stream().expect("sent");
    let mut out = String::new();
    while let Some(event) = run.next().await {
        match event {
            RunEvent::Stdout(chunk) => out.push_str(&chunk),
            other => panic!("{other:?}"),
        }
        match name % 10 {
            3 => tokio::time::sleep(Duration::from_millis(5)).await,
            7 if out.len() > 100 => return, // drops the run
            _ => {}
        }
    }
    assert!(run.finish().await.success);
    assert!(out == (0..LINES).map(|i| format!("{i} of {name}\n")).collect::<String>(), "run {name}");
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("this is Linux").count()
}

/// Bytes of memory in use.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it is there");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") * 1024
}

async fn round(server: &TestServer, sessions: usize, runs: usize) {
    let agb = client(server.address(), |config| config.window = 4_096);
    let opened = join_all((0..sessions).map(|_| session(&agb))).await;
    let all = opened.iter().enumerate().flat_map(|(at, session)| (0..runs).map(move |n| run(session, at * runs + n)));
    join_all(all).await;
    for session in opened {
        session.delete().await.expect("deleted");
    }
}

/// In a process of its own: the descriptors and the memory of tests beside it are not this one's.
#[test]
fn many_runs_at_once_lose_nothing_and_leave_nothing() {
    let mut alone = std::process::Command::new(std::env::current_exe().expect("this is a program"));
    let status = alone.args(["--exact", "load::alone", "--ignored"]).status().expect("it starts again");
    assert!(status.success(), "see above");
}

#[ignore = "many_runs_at_once_lose_nothing_and_leave_nothing starts it alone"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alone() {
    let (sessions, runs) = size();
    let server = TestServer::without_pool().await;
    round(&server, 2, runs).await; // what is made once is made now
    let (before, at_first) = (descriptors(), memory());
    round(&server, sessions, runs).await;
    for _ in 0..200 {
        if descriptors() <= before {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(descriptors() <= before + 2, "{} descriptors, {before} before", descriptors());
    let grown = memory().saturating_sub(at_first) / 1024 / 1024;
    // Freed memory stays with the allocator for a while; a leak of each run's window and buffers would be more.
    assert!(grown < 64, "{grown} MiB more than before");
    server.stop().await;
}
