//! What answers tell, and what they do not: of the machine, of its secrets, and of how the server is.

use std::path::PathBuf;

use serde_json::json;

use crate::support::{KEY, Reply, TestServer, TestSession};

/// What no error may tell: where things lie on this machine, and who may come in.
fn secrets(server: &TestServer, session: &TestSession) -> Vec<String> {
    let places = [
        Some(server.data_dir.clone()),
        Some(std::env::temp_dir()),
        Some(PathBuf::from(env!("CARGO_MANIFEST_DIR"))),
        std::env::current_exe().ok(),
        std::env::home_dir(),
    ];
    let places = places.into_iter().flatten().map(|path| path.display().to_string());
    places.chain([KEY.to_owned(), session.token.clone(), "/usr/".to_owned(), "/src/".to_owned()]).collect()
}

#[tokio::test]
async fn errors_tell_nothing_of_the_machine() {
    let server = TestServer::with(|config| {
        config.limits.max_sessions = 2;
        config.limits.max_body = 10_000;
    })
    .await;
    let (session, other) = (server.create().await, server.create().await);
    let secrets = secrets(&server, &session);
    let mut codes = std::collections::BTreeSet::new();
    let mut check = |reply: &Reply, asked: &str| {
        if reply.status == 200 {
            return;
        }
        let text = reply.body.to_string();
        for secret in secrets.iter().filter(|secret| !asked.contains(secret.as_str())) {
            assert!(!text.contains(secret.as_str()), "{asked}: {secret:?} is in {text}");
        }
        codes.insert(reply.body["code"].as_str().unwrap_or_default().to_owned());
    };
    let paths = [
        "/mcp/createSession",
        "/mcp/getSession",
        "/mcp/getSessionInfo",
        "/mcp/releaseSession",
        "/mcp/releaseSessionAsync",
        "/mcp/refreshSessionIdleTime",
        "/mcp/getMcpResource",
        "/mcp/listTools",
        "/mcp",
        "/sdk/SetLabel",
        "/internet/getCdpLink",
        "/nothing",
        "/../../etc/passwd",
    ];
    let bodies = [
        json!({}),
        json!({ "sessionId": "none", "imageId": "none", "name": "none" }),
        json!({ "sessionId": [], "imageId": [], "name": [], "timeout": [], "labels": [] }),
        json!({ "sessionId": session.id, "name": "none", "Labels": "{" }),
        json!({ "sessionId": session.id, "name": "shell", "args": "{" }),
        json!({ "persistenceDataList": [1] }),
        json!({ "timeout": -1 }),
        json!("x".repeat(20_000)),
        json!([]),
    ];
    for path in paths {
        for body in bodies.iter().filter(|_| !path.contains("release")) {
            check(&server.post(path, body.clone()).await, &format!("{path} {body}"));
        }
        check(&server.get(path, &[]).await, path);
        check(&Reply::of(server.post_with("wrong", path).await).await, path);
        let bare = server.http.post(server.url(path)).send().await.expect("an answer");
        check(&Reply::of(bare).await, path);
    }
    for (path, query) in [
        ("/sdk/ListSession", ("nextToken", "x")),
        ("/sdk/GetLabel", ("sessionId", "x")),
        ("/internet/getLink", ("sessionId", session.id.as_str())),
    ] {
        check(&server.get(path, &[query]).await, path);
    }
    // By the link, with tokens that open nothing, or not this.
    for token in ["", "x", &other.token, &session.token] {
        for body in [json!({}), json!({ "tool": "x" }), json!({ "tool": "shell", "args": [] }), json!({ "scope": "x" })]
        {
            for path in ["callTool", "browserAccess", "none"] {
                let request = server.http.post(format!("{}/{path}", session.link_url)).header("X-Access-Token", token);
                let reply = Reply::of(request.json(&body).send().await.expect("an answer")).await;
                check(&reply, &format!("{path} {body}"));
            }
        }
    }
    // A page from elsewhere, a name that is not ours, no upgrade.
    for (name, value) in [("Origin", "https://example.org"), ("Host", "x\"y")] {
        let request = server.http.post(server.url("/mcp/createSession")).bearer_auth(KEY).header(name, value);
        check(&Reply::of(request.send().await.expect("an answer")).await, name);
    }
    let request = server.http.get(server.url(&format!("/ws/{}", session.id))).header("X-Access-Token", &session.token);
    check(&Reply::of(request.send().await.expect("an answer")).await, "no upgrade");
    for wanted in [
        "InvalidApiKey.Missing",
        "InvalidApiKey.NotFound",
        "InvalidAccessToken.NotFound",
        "InvalidBody.Malformed",
        "InvalidBody.TooLarge",
        "InvalidImage.NotFound",
        "InvalidMcpSession.NotFound",
        "InvalidMethod.NotAllowed",
        "InvalidOrigin.NotAllowed",
        "InvalidParameter.Missing",
        "InvalidParameter.Value",
        "InvalidPath.NotFound",
        "InvalidTool.NotFound",
        "InvalidUpgrade",
        "LimitExceeded.Sessions",
        "NotSupported.Local",
    ] {
        assert!(codes.contains(wanted), "{wanted} did not occur: {codes:?}");
    }

    // The tools' own errors.
    for (tool, args) in [
        ("read_file", json!({ "path": "none" })),
        ("read_file", json!({ "path": "../../../etc/shadow" })),
        ("read_file", json!({ "path": "." })),
        ("read_multiple_files", json!({ "paths": 3 })),
        ("write_file", json!({ "path": "../x", "content": "" })),
        ("write_file", json!({ "path": "none/x/y", "content": "" })),
        ("edit_file", json!({ "path": "none", "edits": [] })),
        ("move_file", json!({ "source": "none", "destination": "x" })),
        ("list_directory", json!({ "path": "/" })),
        ("search_files", json!({ "path": "none", "pattern": "[" })),
        ("get_file_info", json!({ "path": "none" })),
        ("delete_file", json!({ "path": "none" })),
        ("run_code", json!({ "code": "1", "language": "cobol" })),
        ("shell", json!({ "command": 1 })),
    ] {
        let text = server.call(&session, tool, args.clone()).await.unwrap_or_else(|error| error);
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{tool} {args}: {secret:?} is in {text}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn no_answer_is_a_page() {
    let server = TestServer::start().await;
    let session = server.create().await;
    for path in ["/", "/mcp", "/healthz", &format!("/ws/{}", session.id)] {
        let response = server.http.get(server.url(path)).send().await.expect("an answer");
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'", "{path}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn those_who_look_after_it_can_see_how_it_is() {
    let server = TestServer::with(|config| config.limits.max_sessions = 1).await;
    for path in ["/healthz", "/readyz"] {
        let response = server.http.get(server.url(path)).send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{path}");
        assert!(response.text().await.expect("a body").len() < 10, "{path} says more than it should");
    }
    let response = server.http.get(server.url("/metrics")).send().await.expect("an answer");
    Reply::of(response).await.is_error(401, "InvalidApiKey.Missing", "Bearer");

    let session = server.create().await;
    server.post("/mcp/createSession", json!({})).await.is_error(429, "LimitExceeded.Sessions", "1 sessions");
    server.run_code(&session, "python", "1").await;
    let mut socket = session.connect().await;
    for code in ["1", "1/0"] {
        socket.start(code, "python", code).await;
        socket.until_end().await;
    }
    let metrics = async || {
        let response = server.http.get(server.url("/metrics")).bearer_auth(KEY).send().await.expect("an answer");
        assert!(response.headers()["content-type"].to_str().expect("text").starts_with("application/openmetrics-text"));
        response.text().await.expect("a body")
    };
    let text = metrics().await;
    for line in [
        "agb_sessions 1",
        "agb_runs 0",
        "agb_kernels{language=\"python\"} 1",
        "agb_kernels{language=\"r\"} 0",
        "agb_kernels_taken_total{language=\"python\",state=\"cold\"} 1",
        "agb_warm_kernels{language=\"python\"} 0",
        "agb_sessions_created_total 1",
        "agb_runs_ended_total{language=\"python\",outcome=\"finished\"} 2",
        "agb_runs_ended_total{language=\"python\",outcome=\"failed\"} 1",
        "agb_run_start_seconds_count{language=\"python\"} 3",
        "agb_run_seconds_count 3",
        "agb_limits_hit_total{limit=\"LimitExceeded.Sessions\"} 1",
        "agb_calls_total{code=\"InvalidApiKey.Missing\"} 1",
        "# EOF",
    ] {
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    }
    for secret in [KEY, &session.token, &session.id] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
    assert_eq!(server.post("/mcp/releaseSession", json!({ "sessionId": session.id })).await.status, 200);
    let text = metrics().await;
    assert!(
        text.contains("agb_sessions 0\n") && text.contains("agb_sessions_released_total{reason=\"asked\"} 1\n"),
        "{text}"
    );
    drop(socket);
    server.stop().await;
}
