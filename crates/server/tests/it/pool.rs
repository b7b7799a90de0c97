//! Interpreters that are ready before a session comes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use agb_server::{Config, Isolation};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::support::{KEY, PATIENCE, TestServer, TestSession, eventually, is_alive, programs, text_of, work, works};

/// A server that keeps interpreters ready.
async fn warm_server(change: impl FnOnce(&mut Config)) -> TestServer {
    TestServer::with(|config| {
        config.warm.most = 4;
        change(config);
    })
    .await
}

async fn metric(server: &TestServer, name: &str) -> u64 {
    let response = server.http.get(server.url("/metrics")).bearer_auth(KEY).send().await.expect("an answer");
    let text = response.text().await.expect("a body");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or(0)
}

async fn ready(server: &TestServer, language: &str) -> u64 {
    metric(server, &format!("agb_warm_kernels{{language=\"{language}\"}}")).await
}

async fn taken(server: &TestServer, language: &str, state: &str) -> u64 {
    metric(server, &format!("agb_kernels_taken_total{{language=\"{language}\",state=\"{state}\"}}")).await
}

/// Waits until so many interpreters are ready.
async fn until_ready(server: &TestServer, language: &str, least: u64) {
    let begin = Instant::now();
    while ready(server, language).await < least {
        assert!(begin.elapsed() < PATIENCE, "no {language} is ready");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The one workspace in which a program has left this file.
fn workspace_with(server: &TestServer, file: &str) -> PathBuf {
    let found: Vec<_> = works(&server.data_dir).into_iter().filter(|work| work.join(file).exists()).collect();
    let [work] = found.as_slice() else { panic!("{file} is in {found:?}") };
    work.clone()
}

async fn starts_warm_and_next_is_fresh(server: TestServer) {
    until_ready(&server, "python", 1).await;
    let (workspace, waiting) = (work(&server.data_dir), programs(&server.data_dir));
    let session = server.create().await;
    assert_eq!(work(&server.data_dir), workspace, "to create a session takes nothing");
    let answer = server.run_code(&session, "python", "x = 1\nopen('mark', 'w').close()\nprint('on')").await;
    assert_eq!((&answer["stdout"], &answer["execution_count"]), (&json!(["on\n"]), &json!(1)));
    assert_eq!(answer.get("stderr"), Some(&json!([])), "nothing tells of what was before");
    assert_eq!(workspace_with(&server, "mark"), workspace, "it ran in the workspace that was there");
    assert!(waiting.iter().all(|pid| is_alive(*pid)), "and where it was warm");
    assert_eq!((taken(&server, "python", "warm").await, taken(&server, "python", "cold").await), (1, 0));

    until_ready(&server, "python", 1).await;
    let next = server.create().await;
    let answer = server.run_code(&next, "python", "import os; print(os.listdir()); x").await;
    assert_eq!(answer["stdout"], json!(["[]\n"]));
    assert!(answer["executionError"].as_str().expect("an error").starts_with("NameError"), "{answer}");
    assert_eq!(answer["execution_count"], 1);
    assert_eq!(taken(&server, "python", "warm").await, 2);
    for session in [session, next] {
        assert_eq!(server.post("/mcp/releaseSession", json!({ "sessionId": session.id })).await.status, 200);
    }
    eventually("the workspaces of the sessions are gone", || !workspace.exists()).await;
    server.stop().await;
}

#[tokio::test]
async fn a_session_gets_a_warm_interpreter_and_the_next_one_another() {
    starts_warm_and_next_is_fresh(warm_server(|_| {}).await).await;
}

#[tokio::test]
async fn it_is_the_same_without_isolation() {
    let server = warm_server(|config| config.isolation = Isolation::At(agb_sandbox::Level::None)).await;
    starts_warm_and_next_is_fresh(server).await;
}

#[tokio::test]
async fn sessions_that_come_at_once_share_no_workspace() {
    let server = warm_server(|config| config.warm.at_start = 3).await;
    until_ready(&server, "python", 3).await;
    let one = async |number: usize| {
        let session = server.create().await;
        let code = format!("import os\nopen('{number}', 'w').close()\nprint(os.listdir(), 'y' in globals())\ny = 1");
        let answer = server.run_code(&session, "python", &code).await;
        assert_eq!(answer["stdout"], json!([format!("['{number}'] False\n")]), "{answer}");
        assert_eq!(answer["execution_count"], 1);
    };
    futures_util::future::join_all((0..10).map(one)).await;
    let (warm, cold) = (taken(&server, "python", "warm").await, taken(&server, "python", "cold").await);
    assert!(warm >= 3 && warm + cold == 10, "{warm} warm, {cold} cold");
    let workspaces: Vec<_> = (0..10).map(|number| workspace_with(&server, &number.to_string())).collect();
    assert!(
        workspaces.iter().all(|workspace| workspaces.iter().filter(|other| *other == workspace).count() == 1),
        "{workspaces:?}"
    );
    server.stop().await;
}

#[tokio::test]
async fn an_interpreter_that_has_died_is_replaced() {
    let server = warm_server(|_| {}).await;
    until_ready(&server, "python", 1).await;
    let (workspace, dead) = (work(&server.data_dir), programs(&server.data_dir));
    for pid in &dead {
        let process = i32::try_from(*pid).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(process, Signal::KILL).expect("it is in a sandbox of this test's");
    }
    eventually("it is dead", || !dead.iter().any(|pid| is_alive(*pid))).await;
    // At once: whether it is known to be dead or handed out, nobody notices.
    let session = server.create().await;
    let answer = server.run_code(&session, "python", "1 + 41").await;
    assert_eq!(answer["result"][0]["text/plain"], "42", "{answer}");
    assert_eq!((&answer["stderr"], &answer["execution_count"]), (&json!([]), &json!(1)), "{answer}");
    server.release(&session).await;
    eventually("its workspace goes, and there is another", || {
        !workspace.exists() && programs(&server.data_dir).iter().any(|pid| !dead.contains(pid))
    })
    .await;
    server.stop().await;
}

#[tokio::test]
async fn what_nobody_uses_is_not_there_and_a_first_session_is_not_refused() {
    let server = warm_server(|config| config.warm.at_start = 0).await;
    let session = server.create().await;
    assert_eq!((works(&server.data_dir).len(), ready(&server, "python").await), (0, 0));
    let answer = server.run_code(&session, "python", "print('on')").await;
    assert_eq!(answer["stdout"], json!(["on\n"]));
    assert_eq!(taken(&server, "python", "cold").await, 1);
    until_ready(&server, "python", 1).await;
    assert_eq!(ready(&server, "r").await, 0, "of a language that nobody has used there is none");
    server.stop().await;
}

#[tokio::test]
async fn every_language_in_use_is_warm() {
    let server = warm_server(|config| config.warm.at_start = 0).await;
    for (language, code, expected) in [
        ("r", "cat(1 + 41)", "42"),
        ("javascript", "console.log(1 + 41)", "42\n"),
        ("java", "System.out.print(42)", "42"),
    ] {
        for state in ["cold", "warm"] {
            let session = server.create().await;
            let answer = server.run_code(&session, language, code).await;
            assert_eq!((&answer["stdout"], &answer["execution_count"]), (&json!([expected]), &json!(1)), "{answer}");
            assert_eq!(taken(&server, language, state).await, 1, "{language} {state}");
            server.release(&session).await;
            until_ready(&server, language, 1).await;
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_used_no_more_goes() {
    let server = warm_server(|config| {
        config.warm.at_start = 0;
        config.warm.keep = Duration::from_millis(1500);
    })
    .await;
    let session = server.create().await;
    server.run_code(&session, "python", "1").await;
    server.release(&session).await;
    until_ready(&server, "python", 1).await;
    eventually("it goes", || works(&server.data_dir).is_empty()).await;
    assert_eq!(ready(&server, "python").await, 0);
    server.stop().await;
}

#[tokio::test]
async fn little_memory_keeps_nothing_and_refuses_nothing() {
    let meminfo = std::env::temp_dir().join(format!("agb-pool-meminfo-{}", std::process::id()));
    let free = |kib: u64| std::fs::write(&meminfo, format!("MemAvailable: {kib} kB\n")).expect("a file");
    free(1 << 20);
    let server = warm_server(|config| {
        config.warm.at_start = 3;
        config.warm.meminfo = meminfo.clone();
    })
    .await;
    until_ready(&server, "python", 3).await;
    free(0);
    eventually("none is left", || works(&server.data_dir).is_empty()).await;
    assert_eq!((ready(&server, "python").await, programs(&server.data_dir).len()), (0, 0));
    let session = server.create().await;
    let answer = server.run_code(&session, "python", "print('on')").await;
    assert_eq!(answer["stdout"], json!(["on\n"]));
    free(1 << 20);
    until_ready(&server, "python", 3).await;
    server.stop().await;
    std::fs::remove_file(&meminfo).expect("it was made above");
}

#[tokio::test]
async fn files_that_come_before_the_first_run_are_where_it_runs() {
    for warm in [0, 1] {
        let server = warm_server(|config| config.warm.at_start = warm).await;
        until_ready(&server, "python", warm as u64).await;
        let session = server.create().await;
        let file = json!({ "path": "data/in.txt", "content": "here" });
        server.call(&session, "create_directory", json!({ "path": "data" })).await.expect("made");
        server.call(&session, "write_file", file).await.expect("written");
        let code = "print(open('data/in.txt').read())\nopen('out.txt', 'w').write('there')";
        let answer = server.run_code(&session, "python", code).await;
        assert_eq!((&answer["stdout"], &answer["execution_count"]), (&json!(["here\n"]), &json!(1)), "{answer}");
        let out = server.call(&session, "read_file", json!({ "path": "out.txt" })).await;
        assert_eq!(out.as_deref(), Ok("there"));
        let shell = server.call(&session, "shell", json!({ "command": "cat out.txt data/in.txt" })).await;
        assert!(shell.expect("it runs").contains("therehere"));
        assert_eq!(taken(&server, "python", if warm == 1 { "warm" } else { "cold" }).await, 1);
        server.stop().await;
    }
}

#[tokio::test]
async fn sessions_and_not_warm_rooms_are_counted() {
    let server = warm_server(|config| {
        config.warm.at_start = 2;
        config.limits.max_sessions = 1;
    })
    .await;
    until_ready(&server, "python", 2).await;
    let session = server.create().await;
    server.post("/mcp/createSession", json!({})).await.is_error(429, "LimitExceeded.Sessions", "1 sessions");
    // A stream, as the clients run it.
    let mut socket = session.connect().await;
    socket.start("a", "python", "print('on')").await;
    let events = socket.until_end().await;
    assert_eq!(text_of(&events, "stdout"), "on\n");
    assert_eq!((metric(&server, "agb_sessions").await, metric(&server, "agb_runs").await), (1, 0));
    server.stop().await;
}

#[tokio::test]
async fn the_end_leaves_nothing_wherever_the_pool_is() {
    for pause in [0, 1, 10, 300] {
        let server = warm_server(|config| config.warm.at_start = 3).await;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let pids = programs(&server.data_dir);
        let session: TestSession = server.create().await;
        drop(session);
        server.stop().await; // its folder is empty then
        let left: Vec<_> = pids.into_iter().filter(|pid| is_alive(*pid)).collect();
        assert!(left.is_empty(), "after {pause} ms: {left:?}");
    }
}
