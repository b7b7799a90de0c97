//! The Rust quick start, as a user runs it.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::server::{KEY, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn each_line_arrives_when_it_is_printed() {
    let server = TestServer::start().await;
    // Of the whole workspace, as the tests are built: another selection would be another build of everything it uses.
    let built =
        Command::new(env!("CARGO")).args(["build", "--quiet", "--workspace", "--example", "quickstart"]).status();
    assert!(built.await.expect("cargo starts").success(), "see above");
    let tests = std::env::current_exe().expect("this is a program");
    let target = tests.parent().and_then(Path::parent).expect("tests are in a folder below the target's");
    let mut child = Command::new(target.join("examples/quickstart"))
        .env("AGB_ENDPOINT", server.endpoint())
        .env("AGB_API_KEY", KEY)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("cargo starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let (mut seen, mut arrivals) = (vec![], vec![]);
    while let Some(line) = lines.next_line().await.expect("text") {
        if line.contains("Progress") {
            arrivals.push(Instant::now());
        }
        seen.push(line);
    }
    assert!(child.wait().await.expect("it ends").success(), "{seen:?}");
    let (last, printed) = seen.split_last().expect("it printed");
    let progress = (1..=5).map(|i| format!("[STDOUT] Progress: {i}/5")).chain(["[STDOUT] Done!".to_owned()]);
    assert_eq!(printed, progress.collect::<Vec<_>>());
    assert!(last.starts_with("Execution completed in 5."), "{last}");
    for pair in arrivals.windows(2) {
        assert!(pair[1] - pair[0] > Duration::from_millis(500), "lines came in one go");
    }
    server.stop().await;
}
