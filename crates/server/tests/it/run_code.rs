//! `run_code` as a tool: the whole of a run in one answer.

use std::time::Duration;

use serde_json::json;

use crate::support::{TestServer, eventually, programs};

#[tokio::test]
async fn answers_in_the_new_shape_and_keeps_state() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let answer = server
        .run_code(&session, "python", "import sys\nx = 20\nprint('out')\nprint('err', file=sys.stderr)\nx + 1")
        .await;
    assert_eq!((&answer["stdout"], &answer["stderr"]), (&json!(["out\n"]), &json!(["err\n"])));
    assert_eq!(
        (&answer["result"][0]["text/plain"], &answer["result"][0]["isMainResult"]),
        (&json!("21"), &json!(true))
    );
    assert_eq!(answer["execution_count"], 1);
    assert!(answer["execution_time"].as_f64().expect("seconds") < 5.0 && answer.get("executionError").is_none());
    let answer = server.run_code(&session, " PY ", "x * 2").await;
    assert_eq!((&answer["result"][0]["text/plain"], &answer["execution_count"]), (&json!("40"), &json!(2)));
    let answer = server.run_code(&session, "python", "1/0").await;
    assert_eq!(answer["executionError"], "ZeroDivisionError: division by zero");
    assert_eq!(answer["error"]["name"], "ZeroDivisionError");
    assert!(answer["error"]["traceback"].as_str().expect("a text").contains("line 1"), "{answer}");
    let answer = server.run_code(&session, "node", "let y = 1; console.log('hi'); y + 1").await;
    assert_eq!((&answer["stdout"], &answer["result"][0]["text/plain"]), (&json!(["hi\n"]), &json!("2")));
    server.stop().await;
}

#[tokio::test]
async fn runs_java() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let answer = server
        .run_code(&session, "java", "int x = 20;\nSystem.out.println(\"out\");\nSystem.err.println(\"err\");\nx + 1")
        .await;
    assert_eq!((&answer["stdout"], &answer["stderr"]), (&json!(["out\n"]), &json!(["err\n"])));
    assert_eq!(
        (&answer["result"][0]["text/plain"], &answer["result"][0]["isMainResult"]),
        (&json!("21"), &json!(true))
    );
    let answer = server.run_code(&session, "java", "x / 0").await;
    assert_eq!(answer["executionError"], "java.lang.ArithmeticException: / by zero");
    assert_eq!(
        (&answer["error"]["name"], &answer["execution_count"]),
        (&json!("java.lang.ArithmeticException"), &json!(2))
    );
    server.stop().await;
}

#[tokio::test]
async fn says_what_cannot_be_run() {
    let server = TestServer::with(|config| {
        config.interpreters.insert(agb_protocol::Language::Java, "/nowhere/java".into());
    })
    .await;
    let session = server.create().await;
    for (args, part) in [
        (json!({ "code": "1", "language": "ruby" }), "unknown language \"ruby\"; supported are python"),
        (json!({ "code": "1" }), "needs language"),
        (json!({ "language": "python" }), "needs code"),
        (json!({ "code": 1, "language": "python" }), "must be a text"),
        (json!({ "code": "1", "language": "python", "timeout_s": -1 }), "a timeout of -1 s"),
        (json!({ "code": "1", "language": "python", "timeout_s": 1e10 }), "at most 86400 s"),
        (json!({ "code": "1", "language": "python", "timeout_s": "soon" }), "a number"),
        (json!({ "code": "1", "language": "java" }), "java"),
    ] {
        let error = server.call(&session, "run_code", args.clone()).await.expect_err("an error");
        assert!(error.contains(part), "{args}: {error}");
    }
    server.stop().await;
}

#[tokio::test]
async fn ends_in_time_and_says_what_became_of_the_state() {
    let server = TestServer::start().await;
    let session = server.create().await;
    server.run_code(&session, "python", "x = 1").await;
    let args = json!({ "code": "print('a')\nwhile True: pass", "language": "python", "timeout_s": 0.5 });
    let text = server.call(&session, "run_code", args).await.expect("an answer");
    let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(answer["executionError"], "timed out after 0.5 s; the interpreter's state is kept");
    assert_eq!(answer["stdout"], json!(["a\n"]));
    assert_eq!(server.run_code(&session, "python", "x").await["result"][0]["text/plain"], "1");
    server.stop().await;
}

#[tokio::test]
async fn endless_output_is_cut_and_said_to_be() {
    let server = TestServer::with(|config| config.limits.max_tool_output = 100_000).await;
    let session = server.create().await;
    let answer = server.run_code(&session, "python", "print('x' * 999_999)\nprint('last')").await;
    let size: usize =
        answer["stdout"].as_array().expect("chunks").iter().filter_map(|chunk| chunk.as_str()).map(str::len).sum();
    assert_eq!(size, 100_000);
    assert!(
        answer["stderr"][0].as_str().expect("a note").contains("[900005 bytes of output are left out"),
        "{}",
        answer["stderr"]
    );
    server.stop().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_stops_the_program() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let code = "import os, time\nopen('up', 'w').close()\nprint(1)\ntry:\n    time.sleep(1000)\nfinally:\n    open('stopped', 'w').close()";
    let call = server.call(&session, "run_code", json!({ "code": code, "language": "python" }));
    assert!(tokio::time::timeout(Duration::from_secs(2), call).await.is_err(), "it goes on");
    let work = crate::support::work(&server.data_dir);
    assert!(work.join("up").exists());
    eventually("interrupted", || work.join("stopped").exists()).await;
    assert_eq!(programs(&server.data_dir).len(), 1, "interrupted, not killed: the state is kept");
    assert_eq!(server.run_code(&session, "python", "1").await["execution_count"], 2);
    server.stop().await;
}
