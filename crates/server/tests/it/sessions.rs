//! The life of a session, by HTTP.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{TestServer, TestSession, eventually, is_alive, programs, work};

#[tokio::test]
async fn a_session_is_created_described_and_released() {
    let server = TestServer::start().await;
    let data = server.post("/mcp/createSession?imageId=agb-code-space-1&sdkStats=%7B%7D", json!({})).await.ok();
    assert_eq!(data["success"], true);
    assert_eq!(data["extensions"], json!(agb_server::EXTENSIONS));
    let session = TestSession::of(&data);
    assert_eq!(session.token.len(), 64, "256 bits");
    assert_eq!(session.ws_url, format!("ws://{}/ws/{}", server.address, session.id));
    assert_eq!(session.link_url, format!("http://{}/link/{}", server.address, session.id));
    let tools: serde_json::Value = serde_json::from_str(data["toolList"].as_str().expect("a text")).expect("JSON");
    let run_code = tools.as_array().expect("a list").iter().find(|tool| tool["name"] == "run_code").expect("run_code");
    assert_eq!(run_code["server"], "wuying_codespace");
    assert_eq!(run_code["inputSchema"]["required"], json!(["code", "language"]));

    let named = json!({ "sessionId": session.id });
    let again = server.post("/mcp/getSession", named.clone()).await.ok();
    assert_eq!((&again["status"], &again["token"]), (&json!("RUNNING"), &data["token"]));
    assert_eq!(server.post("/mcp/getSessionInfo", named.clone()).await.ok()["status"], "RUNNING");
    let resource = server.post("/mcp/getMcpResource", named.clone()).await.ok();
    assert_eq!(resource["sessionId"], session.id);
    server.post(&format!("/mcp/refreshSessionIdleTime?sessionId={}", session.id), json!({})).await.ok();

    server.post("/mcp/releaseSession", named.clone()).await.ok();
    for path in ["getSession", "getSessionInfo", "releaseSession", "releaseSessionAsync", "getMcpResource"] {
        let reply = server.post(&format!("/mcp/{path}"), named.clone()).await;
        reply.is_error(400, "InvalidMcpSession.NotFound", "not found");
    }
    server.stop().await;
}

#[tokio::test]
async fn two_sessions_share_nothing() {
    let server = TestServer::start().await;
    let (one, two) = (server.create().await, server.create().await);
    assert!(one.id != two.id && one.token != two.token);
    server.run_code(&one, "python", "x = 1\nopen('f', 'w').write('one')").await;
    let answer = server.run_code(&two, "python", "import os; print(os.listdir()); x").await;
    assert_eq!(answer["stdout"], json!(["[]\n"]));
    assert!(answer["executionError"].as_str().expect("an error").starts_with("NameError"), "{answer}");
    // The token of one opens nothing of the other.
    let crossed = TestSession { token: one.token.clone(), ..two.clone() };
    let (status, body) = crossed.try_connect(Some(&crossed.token)).await.err().expect("a refusal");
    assert_eq!((status, body["code"].as_str()), (401, Some("InvalidAccessToken.NotFound")));
    server.stop().await;
}

#[tokio::test]
async fn an_idle_session_is_released_and_a_busy_one_is_not() {
    let server = TestServer::with(|config| config.limits.idle_timeout = Duration::from_millis(600)).await;
    let (idle, busy, kept) =
        (server.create().await, server.create().await, server.create_with(json!({"timeout": 60})).await);
    let answer = server.run_code(&busy, "python", "import time; time.sleep(1.5); print('done')").await;
    assert_eq!(answer["stdout"], json!(["done\n"]));
    let info = server.post("/mcp/getSessionInfo", json!({ "sessionId": idle.id })).await;
    info.is_error(400, "InvalidMcpSession.NotFound", "not found");
    assert_eq!(server.post("/mcp/getSessionInfo", json!({ "sessionId": kept.id })).await.status, 200);
    // The busy one was used until just now, and then no more.
    assert_eq!(server.post("/mcp/getSessionInfo", json!({ "sessionId": busy.id })).await.status, 200);
    tokio::time::sleep(Duration::from_millis(1000)).await;
    assert_eq!(server.post("/mcp/getSessionInfo", json!({ "sessionId": busy.id })).await.status, 400);
    server.stop().await;
}

#[tokio::test]
async fn release_ends_every_process_and_removes_the_files() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let code = "import os, subprocess\np = subprocess.Popen(['sleep', '1000'])\nprint(os.getcwd())";
    let answer = server.run_code(&session, "python", code).await;
    assert!(answer["stdout"][0].as_str().expect("output").starts_with('/'));
    let (folder, pids) = (work(&server.data_dir), programs(&server.data_dir));
    assert_eq!(pids.len(), 2);
    // A program may have taken away its own rights.
    server.run_code(&session, "python", "import os; os.makedirs('a/b'); os.chmod('a', 0)").await;

    let begin = Instant::now();
    server.post("/mcp/releaseSessionAsync", json!({ "sessionId": session.id })).await.ok();
    let info = server.post("/mcp/getSessionInfo", json!({ "sessionId": session.id })).await;
    info.is_error(400, "InvalidMcpSession.NotFound", "not found");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "a process is left");
    assert!(!folder.exists(), "files are left");
    server.stop().await;
}

/// What a session leaves may be as deep as its files allow, in any folder of its own, with somebody in the background who
/// does to its sandbox what it can.
#[tokio::test]
async fn whatever_a_session_leaves_is_gone_after_its_release() {
    // In memory where that can be: on a disk, thousands of folders may take minutes to go.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let server = TestServer::with_data_in(&parent, |_| {}).await;
    let session = server.create().await;
    // Deeper than a recursive removal gets in a thread of 2 MiB.
    let deep = "import os\nfor i in range(18_000): os.mkdir('d'); os.chdir('d')\nos.chdir('/'); print('made')";
    let answer = server.run_code(&session, "python", deep).await;
    assert_eq!(answer["stdout"], json!(["made\n"]));
    let hobble = "import os, resource\n\
        for n in (os.getppid(), 1):\n\
        \x20for action in (lambda: os.sched_setscheduler(n, os.SCHED_IDLE, os.sched_param(0)), lambda: os.sched_setaffinity(n, {0}),\n\
        \x20  lambda: resource.prlimit(n, resource.RLIMIT_NOFILE, (0, 0)), lambda: os.setpriority(os.PRIO_PROCESS, n, 19)):\n\
        \x20 try: action()\n\
        \x20 except OSError: pass\n\
        for _ in range(50):\n\
        \x20if os.fork() == 0:\n\
        \x20 os.setsid()\n\
        \x20 while True:\n\
        \x20  try: os.makedirs('x/%d/y' % os.getpid(), exist_ok=True); os.chmod('x/%d' % os.getpid(), 0o311)\n\
        \x20  except OSError: pass\n\
        print('busy', flush=True)";
    let answer = server.run_code(&session, "python", hobble).await;
    assert_eq!(answer["stdout"], json!(["busy\n"]));
    let (folder, pids) = (work(&server.data_dir), programs(&server.data_dir));
    server.post("/mcp/releaseSessionAsync", json!({ "sessionId": session.id })).await.ok();
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "a process is left");
    eventually("the files are gone", || !folder.exists()).await;
    server.get("/sdk/ListSession", &[]).await.ok(); // it lives
    server.stop().await;
}

#[tokio::test]
async fn labels_are_kept_and_sessions_are_found_by_them() {
    let server = TestServer::start().await;
    let session = server.create_with(json!({ "labels": r#"{"team":"a","n":"1"}"# })).await;
    let other = server.create_with(json!({ "labels": { "team": "b" } })).await;
    let query = [("sessionId", session.id.as_str())];
    assert_eq!(server.get("/sdk/GetLabel", &query).await.ok()["labels"], r#"{"n":"1","team":"a"}"#);

    let found = |labels: &'static str| {
        let server = &server;
        async move { server.get("/sdk/ListSession", &[("labels", labels)]).await.ok() }
    };
    assert_eq!(found(r#"{"team":"a"}"#).await, json!([{ "sessionId": session.id, "sessionStatus": "RUNNING" }]));
    assert_eq!(found(r#"{"team":"a","n":"2"}"#).await, json!([]));
    let set = server
        .http
        .post(server.url("/sdk/SetLabel"))
        .bearer_auth(crate::support::KEY)
        .query(&[("sessionId", other.id.as_str()), ("Labels", r#"{"team":"c"}"#)]);
    assert_eq!(set.send().await.expect("an answer").status(), 200);
    assert_eq!(found(r#"{"team":"b"}"#).await, json!([]));
    assert_eq!(found(r#"{"team":"c"}"#).await[0]["sessionId"], other.id);
    server.stop().await;
}

#[tokio::test]
async fn the_list_comes_in_pages() {
    let server = TestServer::start().await;
    let mut ids = Vec::new();
    for _ in 0..12 {
        ids.push(server.create().await.id);
    }
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let reply = server.get("/sdk/ListSession", &[("maxResults", "5"), ("nextToken", &token)]).await;
        assert_eq!((&reply.body["count"], &reply.body["maxResults"]), (&json!(12), &json!(5)));
        let page = reply.body["data"].as_array().expect("a list").clone();
        seen.extend(page.iter().map(|one| one["sessionId"].as_str().expect("an id").to_owned()));
        match reply.body["nextToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ids);
    assert_eq!(server.get("/sdk/ListSession", &[]).await.body["data"].as_array().expect("a list").len(), 10);
    server.stop().await;
}

#[tokio::test]
async fn there_are_only_so_many_sessions() {
    let server = TestServer::with(|config| config.limits.max_sessions = 2).await;
    let first = server.create().await;
    server.create().await;
    let reply = server.post("/mcp/createSession", json!({})).await;
    reply.is_error(429, "LimitExceeded.Sessions", "2 sessions exist already");
    server.release(&first).await;
    server.create().await;
    server.stop().await;
}

#[tokio::test]
async fn a_release_during_a_run_tells_the_viewer_and_closes() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let mut socket = session.connect().await;
    socket.start("a", "python", "import time\nprint('up', flush=True)\ntime.sleep(100)").await;
    assert_eq!(socket.event().await.1["chunk"], "up\n");
    server.release(&session).await;
    let events = socket.until_end().await;
    let end = events.last().expect("an end");
    assert_eq!((end["status"].as_str(), end["reason"].as_str()), (Some("failed"), Some("interrupted")), "{end}");
    assert_eq!(socket.close_code().await, Some(4404));
    assert_eq!(session.try_connect(Some(&session.token)).await.err().expect("a refusal").0, 400);
    server.stop().await;
}
