//! Trees of strangers whose paths are long: the server holds their names and not each path, and counts what it holds.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Reply, TestServer, TestSession};

const MIB: usize = 1 << 20;

/// A folder whose path has 3,500 bytes, with folders in it.
const NEST: &str = r"
import os
def nest(top, letter, count, letters, make):
    os.makedirs(top, exist_ok=True)
    os.chdir(top)
    for _ in range(14):
        os.makedirs(letter * 250, exist_ok=True)
        os.chdir(letter * 250)
    for i in range(count):
        make(f'{i:0{letters}}')
";

async fn run(server: &TestServer, session: &TestSession, code: &str) {
    let run = server.run_code(session, "python", &format!("{NEST}{code}")).await;
    assert!(run["executionError"].is_null(), "{run}");
}

async fn watch(server: &TestServer, session: &TestSession, id: &str, path: &str) -> Reply {
    let url = format!("{}/files/watch", session.link_url);
    let request = server.http.post(url).header("X-Access-Token", &session.token);
    let query = [("watch", id), ("path", path), ("recursive", "true")];
    Reply::of(request.query(&query).send().await.expect("an answer")).await
}

#[tokio::test]
async fn folders_to_look_into_cost_their_names_and_are_counted() {
    // In memory where that can be: a busy disk takes a minute for thousands of folders.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let server = TestServer::with_data_in(&parent, |config| config.limits.session_buffers = MIB / 4).await;
    let session = server.create().await;
    run(&server, &session, "nest('/tmp/many', 'x', 400, 5, os.mkdir)\nnest('/tmp/wide', 'x', 1000, 240, os.mkdir)")
        .await;
    let search = |path: &str| server.call(&session, "search_files", json!({ "path": path, "pattern": "none" }));
    // Their paths have 1.4 MB.
    assert_eq!(search("/tmp/many").await.as_deref(), Ok("No matches found"));
    // Their names have 240 KB, and cost more.
    let error = search("/tmp/wide").await.expect_err("there is no room");
    assert!(error.contains("--session-buffers"), "{error}");
    // A watch remembers each of its folders.
    let refused = watch(&server, &session, "many", "/tmp/many").await;
    refused.is_error(429, "LimitExceeded.Buffers", "--session-buffers");
    run(&server, &session, "os.makedirs('/tmp/few/a/b')").await;
    watch(&server, &session, "few", "/tmp/few").await.ok();
    server.stop().await;
}

#[tokio::test]
async fn what_is_compiled_of_patterns_is_counted() {
    let server = TestServer::with(|config| config.limits.session_buffers = 8 * MIB).await;
    let session = server.create().await;
    let search = |count: usize| {
        let excluded: Vec<String> = (0..count).map(|at| format!("{at}*")).collect();
        let args = json!({ "path": ".", "pattern": "none*", "excludePatterns": excluded });
        server.call(&session, "search_files", args)
    };
    assert_eq!(search(10).await.as_deref(), Ok("No matches found"));
    let error = search(100).await.expect_err("there is no room");
    assert!(error.contains("--session-buffers"), "{error}");
    assert_eq!(search(10).await.as_deref(), Ok("No matches found"), "it was given back");
    server.stop().await;
}

/// The path that was asked for comes with each event, and in JSON a letter of it takes six.
#[tokio::test]
async fn changes_of_files_have_a_greatest_answer() {
    let server = TestServer::with(|config| config.limits.max_tool_output = 64 << 10).await;
    let session = server.create().await;
    let path = format!("/tmp/top/{}", vec!["\u{1}".repeat(250); 14].join("/"));
    let changes = || server.call(&session, "get_file_change", json!({ "path": path }));
    run(&server, &session, r"nest('/tmp/top', '\1', 0, 0, os.mkdir)").await;
    assert_eq!(changes().await.as_deref(), Ok("[]"));
    run(&server, &session, r"nest('/tmp/top', '\1', 50, 2, lambda name: open(name, 'w').close())").await;
    let error = changes().await.expect_err("it is too large");
    assert!(error.contains("65536"), "{error}");
    run(&server, &session, r"nest('/tmp/top', '\1', 49, 2, os.remove)").await;
    let told: Value = serde_json::from_str(&changes().await.expect("one event")).expect("JSON");
    assert_eq!(told.as_array().map(Vec::len), Some(1), "nothing was told before");
    assert_eq!((&told[0]["eventType"], &told[0]["path"]), (&json!("create"), &json!(format!("{path}/49"))));
    server.stop().await;
}
