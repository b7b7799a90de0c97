//! What tools collect and answer counts for their session from the beginning, and has an end.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{PATIENCE, Reply, TestServer, TestSession, eventually, works};

/// A tool by the link, whatever the answer is.
async fn call(server: &TestServer, session: &TestSession, tool: &str, args: Value) -> Reply {
    let request = server.http.post(format!("{}/callTool", session.link_url)).header("X-Access-Token", &session.token);
    let answer = request.json(&json!({ "tool": tool, "args": args })).send().await;
    Reply::of(answer.unwrap_or_else(|error| panic!("{tool} {args}: {error}"))).await
}

fn shell(command: &str) -> Value {
    json!({ "command": command, "timeout_ms": 60_000 })
}

fn program(code: &str) -> Value {
    json!({ "code": code, "language": "python", "timeout_s": 60 })
}

fn is_there(server: &TestServer, name: &str) -> bool {
    works(&server.data_dir).iter().any(|work| work.join(name).exists())
}

#[tokio::test]
async fn an_answer_without_room_is_told_once_the_call_was_executed() {
    let server = TestServer::with(|config| config.limits.session_buffers = 2 << 20).await;
    let session = server.create().await;
    for (tool, args) in [
        // There is no room for what is said,
        ("shell", shell("head -c 3000000 /dev/zero | tr '\\0' x; touch done")),
        ("shell", shell("head -c 3000000 /dev/zero | tr '\\0' x >&2; touch done")),
        ("run_code", program("print('x' * 3_000_000)\nopen('done', 'w').close()")),
        // or for the answer: JSON within JSON has seven bytes for one, JSON six.
        ("shell", shell("head -c 350000 /dev/zero; touch done")),
        ("run_code", program("print('\\0' * 350_000)\nopen('done', 'w').close()")),
        ("read_file", json!({ "path": "zeros" })),
    ] {
        call(&server, &session, "shell", shell("rm -f done; head -c 400000 /dev/zero > zeros")).await.ok();
        let by_link = call(&server, &session, tool, args.clone()).await;
        by_link.is_error(502, "LimitExceeded.Answer", "--session-buffers");
        assert!(tool == "read_file" || is_there(&server, "done"), "{tool} {args} was not executed to its end");
        let by_key = server.post("/mcp", json!({ "sessionId": session.id, "name": tool, "args": args })).await;
        by_key.is_error(502, "LimitExceeded.Answer", "--session-buffers");
    }
    // What has room is told, and nothing of the others is left in the budget.
    let begin = Instant::now();
    let data = loop {
        // The last call lets go of what it held a moment after it was answered.
        let reply = call(&server, &session, "shell", shell("head -c 250000 /dev/zero")).await;
        if reply.status != 502 {
            break reply.ok();
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing is let go of");
    };
    let text = data["result"]["content"][0]["text"].as_str().expect("a text");
    let said: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(said["stdout"], "\0".repeat(250_000));
    let args = program("print('\\0' * 250_000, end='')");
    let data = server.post("/mcp", json!({ "sessionId": session.id, "name": "run_code", "args": args })).await.ok();
    let said: Value = serde_json::from_str(data["content"][0]["text"].as_str().expect("a text")).expect("JSON");
    let chunks = said["stdout"].as_array().expect("chunks").iter().map(|chunk| chunk.as_str().expect("a text"));
    assert_eq!(chunks.collect::<String>(), "\0".repeat(250_000));
    server.stop().await;
}

#[tokio::test]
async fn what_a_command_has_said_counts_while_it_runs() {
    let server = TestServer::with(|config| config.limits.session_buffers = 8 << 20).await;
    let session = server.create().await;
    let waiting = "head -c 3000000 /dev/zero | tr '\\0' x; touch written; until test -e go; do sleep 0.05; done";
    let others = async {
        let written = || is_there(&server, "written");
        eventually("it has written", written).await;
        let more = shell("head -c 6000000 /dev/zero | tr '\\0' x");
        call(&server, &session, "shell", more).await.is_error(502, "LimitExceeded.Answer", "--session-buffers");
        // A small answer has room.
        let small = call(&server, &session, "shell", shell("touch go; echo small")).await.ok();
        assert!(small.to_string().contains("small"), "{small}");
    };
    let (first, ()) = tokio::join!(call(&server, &session, "shell", shell(waiting)), others);
    assert!(first.ok().to_string().len() > 3_000_000);
    server.stop().await;
}

#[tokio::test]
async fn streamed_files_count_what_they_hold() {
    // As much as two of them hold.
    let server = TestServer::with(|config| config.limits.session_buffers = 1 << 20).await;
    let session = server.create().await;
    call(&server, &session, "shell", shell("mkdir folder; truncate -s 256M large folder/large; echo x > small"))
        .await
        .ok();
    let files = |method: &str, path: &str| {
        let url = format!("{}/files", session.link_url);
        let request = server.http.request(method.parse().expect("a method"), url).query(&[("path", path)]);
        let request = request.header("X-Access-Token", &session.token);
        async { request.send().await.expect("an answer") }
    };
    for held in ["large", "folder"] {
        let both = async {
            loop {
                let (first, second) = (files("GET", held).await, files("GET", held).await);
                if first.status() == 200 && second.status() == 200 {
                    return (first, second);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let (first, second) = tokio::time::timeout(PATIENCE, both).await.expect("there is room for two");
        for (method, path) in [("GET", "small"), ("GET", "folder"), ("PUT", "new")] {
            let refused = Reply::of(files(method, path).await).await;
            refused.is_error(429, "LimitExceeded.Buffers", "--session-buffers");
        }
        drop((first, second));
        // The server notices soon that nobody reads any more, and what was read to its end.
        let all = async {
            for (method, path) in [("GET", "folder"), ("PUT", "new")] {
                while files(method, path).await.status() != 200 {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("the room is given back");
    }
    server.stop().await;
}
