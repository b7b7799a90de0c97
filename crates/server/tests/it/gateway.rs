//! A server in front of another one that speaks part 1 of the wire and nothing else, as AGB's own service does.

use std::future::IntoFuture;
use std::time::Duration;

use agb_client::{Agb, CreateSession, Options, RunEvent, RunStatus, Session};
use agb_server::{Config, Server, StartError};
use futures_util::StreamExt;
use serde_json::json;

use crate::support::{KEY, PATIENCE, Reply, TestServer, TestSession};

const OTHER: &str = "the-key-of-the-gateway";

/// The service behind, and the gateway in front.
pub(crate) struct Pair {
    pub(crate) upstream: TestServer,
    pub(crate) gateway: TestServer,
}

impl Pair {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::before(TestServer::with(|config| config.plain_wire = true).await, change).await
    }

    pub(crate) async fn before(upstream: TestServer, change: impl FnOnce(&mut Config)) -> Self {
        let url = upstream.url("");
        let gateway = TestServer::with(|config| {
            config.api_keys.clear();
            config.upstream.url = Some(url);
            change(config);
        })
        .await;
        Self { upstream, gateway }
    }

    pub(crate) fn account(&self, key: &str) -> Agb {
        Agb::new(&Options::new().endpoint(self.gateway.url("")).api_key(key)).expect("an account")
    }

    pub(crate) async fn session(&self) -> Session {
        let create = CreateSession { image_id: "agb-code-space-1".to_owned(), ..CreateSession::default() };
        self.account(KEY).create(create).await.expect("a session")
    }

    pub(crate) async fn stop(self) {
        self.gateway.stop().await;
        self.upstream.stop().await;
    }
}

#[tokio::test]
async fn a_session_gains_what_its_service_has_not() {
    let pair = Pair::start().await;
    let session = pair.session().await;
    let there = pair.upstream.post("/mcp/getSession", json!({ "sessionId": session.id() })).await.ok();
    assert_eq!(there["extensions"], json!([]));
    assert_ne!(there["token"], session.data().token.expose(), "the upstream's token stays behind");
    assert!(session.data().extensions.iter().any(|name| name == "resume"), "{:?}", session.data().extensions);
    assert!(!session.data().extensions.iter().any(|name| name == "stdin"), "its service takes no input");

    let code = "import sys\nprint('out')\nprint('err', file=sys.stderr)\n{'a': 1}";
    let execution = session.code().run(code, "python").await.expect("a run");
    assert_eq!((execution.status, execution.logs.stdout.concat()), (RunStatus::Finished, "out\n".to_owned()));
    assert_eq!(execution.logs.stderr.concat(), "err\n");
    assert_eq!(execution.results[0].text.as_deref(), Some("{'a': 1}"));
    assert_eq!(execution.execution_count, Some(1), "the upstream's own");
    let failed = session.code().run("1 / 0", "python").await.expect("a run");
    assert_eq!(failed.status, RunStatus::Failed);
    assert_eq!(failed.error.expect("an error").name, "ZeroDivisionError");
    pair.stop().await;
}

#[tokio::test]
async fn a_run_outlives_its_client() {
    let pair = Pair::start().await;
    let session = pair.session().await;
    let code = "import time\nfor n in range(40):\n    print(n, flush=True)\n    time.sleep(0.02)";
    let mut run = session.code().run(code, "python").stream().expect("a run");
    let id = run.id().to_owned();
    while !matches!(run.next().await, Some(RunEvent::Stdout(_))) {}
    // As a page that is loaded anew: the connection is gone without a word, and somebody else comes for the run.
    let again = pair.account(KEY).get(session.id()).await.expect("the session");
    let execution = again.code().attach(&id, 0).stream().expect("the run").finish().await;
    let lines: String = (0..40).map(|n| format!("{n}\n")).collect();
    assert_eq!((execution.status, execution.logs.stdout.concat()), (RunStatus::Finished, lines));
    drop(run);
    pair.stop().await;
}

#[tokio::test]
async fn a_page_comes_in_by_an_access() {
    let pair = Pair::start().await;
    let created = pair.gateway.create().await;
    let token = pair.gateway.access(&created, json!({})).await;
    let access = TestSession { token, ..created.clone() };
    let answer = pair.gateway.run_code(&access, "python", "print('from a page')").await;
    assert!(answer.to_string().contains("from a page"), "{answer}");
    access.try_connect(Some(&access.token)).await.expect("a WebSocket");
    // The upstream knows neither of the tokens.
    let there = TestSession { ws_url: format!("ws://{}/ws/{}", pair.upstream.address, created.id), ..access.clone() };
    assert_eq!(there.try_connect(Some(&access.token)).await.err().expect("a refusal").0, 401);
    pair.stop().await;
}

#[tokio::test]
async fn calls_are_passed_on_with_their_answers() {
    let pair = Pair::start().await;
    let session = pair.gateway.create_with(json!({ "labels": "{\"a\":\"b\"}" })).await;
    let listed = pair.gateway.get("/sdk/ListSession", &[("labels", "{\"a\":\"b\"}")]).await.ok();
    assert_eq!(listed[0]["sessionId"], session.id);
    let written = json!({ "path": "/tmp/x", "content": "text" });
    pair.gateway.call(&session, "write_file", written).await.expect("written");
    let read = json!({ "sessionId": session.id, "name": "read_file", "args": "{\"path\":\"/tmp/x\"}" });
    assert_eq!(pair.gateway.post("/mcp", read).await.ok()["content"][0]["text"], "text");
    pair.gateway.post("/mcp/getSession", json!({ "sessionId": "none" })).await.is_error(
        400,
        "InvalidMcpSession.NotFound",
        "none",
    );
    pair.gateway.post("/sdk/NoSuchCall", json!({})).await.is_error(404, "InvalidPath.NotFound", "NoSuchCall");
    let unknown = json!({ "tool": "no_such_tool", "args": {} });
    let unknown = pair.gateway.http.post(format!("{}/callTool", session.link_url)).json(&unknown);
    let unknown = unknown.header("X-Access-Token", &session.token).send().await.expect("an answer");
    Reply::of(unknown).await.is_error(400, "InvalidTool.NotFound", "no_such_tool");
    pair.gateway.post("/mcp/releaseSession", json!({ "sessionId": session.id })).await.ok();
    assert_eq!(session.try_connect(Some(&session.token)).await.err().expect("a refusal").0, 400, "it is gone here");
    pair.stop().await;
}

#[tokio::test]
async fn a_key_is_the_clients_or_the_gateways_own() {
    let pair = Pair::start().await;
    let wrong = pair.gateway.post_with("made-up", "/mcp/createSession?imageId=agb-code-space-1").await;
    Reply::of(wrong).await.is_error(401, "InvalidApiKey.NotFound", "not this server's");
    let metrics = pair.gateway.http.get(pair.gateway.url("/metrics")).bearer_auth(KEY).send().await.expect("an answer");
    assert_eq!(metrics.status(), 401, "no key is the gateway's own");
    pair.stop().await;

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    std::fs::write(&file, format!("{KEY}\n")).expect("a file");
    let key_file = file.clone();
    let pair = Pair::with(|config| {
        config.api_keys = Config::new(OTHER.into()).api_keys;
        config.upstream.key_file = Some(key_file);
    })
    .await;
    let path = "/mcp/createSession?imageId=agb-code-space-1";
    assert_eq!(pair.gateway.post_with(OTHER, path).await.status(), 200);
    Reply::of(pair.gateway.post_with(KEY, path).await).await.is_error(401, "InvalidApiKey.NotFound", "");
    pair.stop().await;

    let mut both = Config::new(KEY.into());
    both.upstream.url = Some("http://127.0.0.1:9".to_owned());
    assert!(matches!(Server::new(both).err(), Some(StartError::Gateway(_))));
}

#[tokio::test]
async fn what_breaks_behind_it_is_told_as_that() {
    let pair = Pair::start().await;
    let session = pair.session().await;
    let mut run = session.code().run("import time\nprint('begun')\ntime.sleep(60)", "python").stream().expect("a run");
    while !matches!(run.next().await, Some(RunEvent::Stdout(_))) {}
    pair.upstream.stop().await;
    let execution = tokio::time::timeout(PATIENCE, run.finish()).await.expect("an end");
    assert_eq!(execution.status, RunStatus::Interrupted, "{execution:?}");
    assert_eq!(execution.logs.stdout.concat(), "begun\n");
    let answer = pair.gateway.post("/mcp/getSession", json!({ "sessionId": session.id() })).await;
    answer.is_error(502, "UpstreamUnavailable", "upstream service");
    pair.gateway.stop().await;
}

#[tokio::test]
async fn a_cancel_reaches_the_program_where_the_service_can() {
    let pair = Pair::before(TestServer::start().await, |_| {}).await;
    let session = pair.session().await;
    let code = "import time\nprint('begun')\nwhile True:\n    time.sleep(0.05)\n    open('/tmp/alive', 'w').close()";
    let mut run = session.code().run(code, "python").stream().expect("a run");
    while !matches!(run.next().await, Some(RunEvent::Stdout(_))) {}
    run.cancel();
    let execution = tokio::time::timeout(PATIENCE, run.finish()).await.expect("an end");
    assert_eq!(execution.status, RunStatus::Cancelled, "{execution:?}");
    // The kernel is free again: a cancelled program holds nobody up.
    let next = session.code().run("print('next')", "python");
    let next = tokio::time::timeout(PATIENCE, next.into_future()).await.expect("in time").expect("a run");
    assert_eq!(next.logs.stdout.concat(), "next\n");
    pair.stop().await;

    // Part 1 of the wire has no cancel: the run ends here, and the program by itself.
    let pair = Pair::start().await;
    let session = pair.session().await;
    let mut run = session.code().run("import time\nprint('begun')\ntime.sleep(60)", "python").stream().expect("a run");
    while !matches!(run.next().await, Some(RunEvent::Stdout(_))) {}
    run.cancel();
    let execution = tokio::time::timeout(PATIENCE, run.finish()).await.expect("an end");
    assert_eq!(execution.status, RunStatus::Cancelled, "{execution:?}");
    pair.stop().await;
}

#[tokio::test]
async fn a_slow_reader_holds_the_upstream_back() {
    let pair = Pair::with(|config| {
        (config.limits.run_buffer, config.limits.replay_memory, config.limits.replay_spool) =
            (64 << 10, 1 << 20, 1 << 20);
    })
    .await;
    let session = pair.session().await;
    let code = "for n in range(3000):\n    print(str(n).rjust(9999))";
    let mut run = session.code().run(code, "python").stream().expect("a run");
    let mut length = 0;
    let mut paused = false;
    while let Some(event) = tokio::time::timeout(PATIENCE, run.next()).await.expect("more, or the end") {
        if let RunEvent::Stdout(text) = event {
            length += text.len();
        }
        if !std::mem::replace(&mut paused, true) {
            tokio::time::sleep(Duration::from_millis(500)).await; // the log is full, and the program waits in its `print`
        }
    }
    assert_eq!((run.finish().await.status, length), (RunStatus::Finished, 3000 * 10_000));
    pair.stop().await;
}
