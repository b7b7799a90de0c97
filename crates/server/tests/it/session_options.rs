//! What one session has beyond others: archives of its mounts, environment variables, and no network.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{PATIENCE, TestServer, TestSession};

async fn mount(server: &TestServer, context: &str, path: &str, policy: Value) -> (TestSession, Vec<Value>) {
    let list = json!([{ "contextId": context, "path": path, "policy": policy.to_string() }]);
    let session = server.create_with(json!({ "persistenceDataList": list })).await;
    let tasks = server.synced(&session.id).await;
    (session, tasks)
}

async fn names(server: &TestServer, context: &str, folder: &str) -> Vec<String> {
    let query = [("contextId", context), ("parentFolderPath", folder)];
    let data = server.sdk("DescribeContextFiles", &query).await.ok();
    let entries = data.as_array().expect("a list").iter();
    entries.map(|entry| entry["fileName"].as_str().expect("a name").to_owned()).collect()
}

#[tokio::test]
async fn a_mount_is_kept_as_one_archive_and_comes_back_as_files() {
    let server = TestServer::start().await;
    let id = &server.context("archives").await;
    let policy = json!({ "uploadPolicy": { "uploadMode": "Archive" } });
    let (session, _) = mount(&server, id, "/home/data", policy.clone()).await;
    let make = "cd /home/data; mkdir -p a/b empty; echo 1 > a/b/x; printf '#!/bin/sh\\necho ran' > run; chmod +x run; ln -s a/b/x link";
    server.output_of(&session, make).await;
    server.release(&session).await;
    assert_eq!(names(&server, id, "/home/data").await, ["data.zip"]);

    let (session, tasks) = mount(&server, id, "/home/data", policy).await;
    assert!(tasks.iter().all(|task| task["status"] == "Success"), "{tasks:?}");
    let seen = server.output_of(&session, "cd /home/data; ls; cat link; ./run").await;
    assert_eq!(seen, "a\nempty\nlink\nrun\n1\nran\n");
    server.release(&session).await;
    assert_eq!(names(&server, id, "/home/data").await, ["data.zip"], "replaced, not added to");
    server.stop().await;
}

/// A file of nothing but zeros takes no room, and compresses to a thousandth: only what goes in can be counted in time.
#[tokio::test]
async fn what_goes_into_an_archive_counts() {
    let server = TestServer::with(|config| config.contexts.max_bytes = 8 << 20).await;
    let id = &server.context("zeros").await;
    let policy = json!({ "uploadPolicy": { "uploadMode": "Archive" } });
    for size in ["7M", "9M", "900M"] {
        let (session, _) = mount(&server, id, "/home/data", policy.clone()).await;
        server.output_of(&session, &format!("cd /home/data; rm -f *; truncate -s {size} {size}")).await;
        server.release(&session).await;
        assert_eq!(names(&server, id, "/home/data").await, ["data.zip"], "{size}");
    }
    // The last one that was not too large is there still.
    let (session, _) = mount(&server, id, "/home/data", policy).await;
    assert_eq!(server.output_of(&session, "ls /home/data").await, "7M\n");
    server.release(&session).await;
    server.stop().await;
}

#[tokio::test]
async fn archives_are_extracted_as_the_policy_says() {
    let server = TestServer::start().await;
    let id = &server.context("extract").await;
    let session = server.create().await;
    let code = "import zipfile, base64\nwith zipfile.ZipFile('z.zip', 'w') as z:\n    z.writestr('in/x', 'inside')\n    z.writestr('../../up', 'out')\n    z.writestr('/abs', 'out')\nprint(base64.b64encode(open('z.zip', 'rb').read()).decode())";
    let run = server.run_code(&session, "python", code).await;
    assert!(run["executionError"].is_null(), "{run}");
    let get = server.http.get(format!("{}/files", session.link_url)).query(&[("path", "z.zip")]);
    let zip =
        get.header("X-Access-Token", &session.token).send().await.expect("an answer").bytes().await.expect("bytes");
    server.release(&session).await;
    let put = async |path: &str, bytes: Vec<u8>| {
        let url = server.sdk("GetContextFileUploadUrl", &[("contextId", id), ("filePath", path)]).await.ok();
        let url = url["url"].as_str().expect("a URL").to_owned();
        assert_eq!(server.http.put(url).body(bytes).send().await.expect("an answer").status(), 200);
    };
    put("/mnt/x/z.zip", zip.to_vec()).await;
    put("/mnt/x/not.zip", b"text".to_vec()).await;
    for (policy, expected) in [
        (json!({ "extract": false }), "./not.zip\n./z.zip\n"),
        (json!({ "deleteSrcFile": false }), "./not.zip\n./z.zip\n./z/in/x\n"),
        (json!({ "extractToCurrentFolder": true }), "./in/x\n./not.zip\n"),
        (json!({}), "./not.zip\n./z/in/x\n"),
    ] {
        let policy = json!({ "extractPolicy": policy, "uploadPolicy": { "autoUpload": false } });
        let (session, tasks) = mount(&server, id, "/mnt/x", policy.clone()).await;
        assert!(tasks.iter().all(|task| task["status"] == "Success"), "{tasks:?}");
        // Names that lead out of the folder lead nowhere.
        let seen = server
            .output_of(&session, "cd /mnt/x; find . -type f | grep -v abs | sort; test ! -e /mnt/up; test ! -e /abs")
            .await;
        assert_eq!(seen, expected, "{policy}");
        server.release(&session).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn archives_stay_within_the_sessions_disk_together() {
    let server = TestServer::with(|config| config.sandbox.disk = 8_000_000).await;
    let id = &server.context("bombs").await;
    let session = server.create().await;
    let code = "import zipfile\nwith zipfile.ZipFile('z.zip', 'w', zipfile.ZIP_DEFLATED) as z:\n    z.writestr('zeros', bytes(3_000_000))";
    let run = server.run_code(&session, "python", code).await;
    assert!(run["executionError"].is_null(), "{run}");
    let get = server.http.get(format!("{}/files", session.link_url)).query(&[("path", "z.zip")]);
    let zip =
        get.header("X-Access-Token", &session.token).send().await.expect("an answer").bytes().await.expect("bytes");
    assert!(zip.len() < 10_000);
    server.release(&session).await;
    for (archives, fits) in [(2, true), (4, false)] {
        for at in 0..archives {
            let path = format!("/mnt/{archives}/{at}.zip");
            let url = server.sdk("GetContextFileUploadUrl", &[("contextId", id), ("filePath", &path)]).await.ok();
            let url = url["url"].as_str().expect("a URL").to_owned();
            assert_eq!(server.http.put(url).body(zip.clone()).send().await.expect("an answer").status(), 200);
        }
        let policy = json!({ "uploadPolicy": { "autoUpload": false } });
        let (session, tasks) = mount(&server, id, &format!("/mnt/{archives}"), policy).await;
        let failed = tasks.iter().any(|task| task["errorMessage"].as_str().is_some_and(|text| text.contains("--disk")));
        assert_eq!(failed, !fits, "{tasks:?}");
        let stored = server.output_of(&session, &format!("cat /mnt/{archives}/*/zeros | wc -c")).await;
        let stored: usize = stored.trim().parse().expect("a number");
        assert!(stored == 6_000_000, "{archives}: {stored}");
        server.release(&session).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_session_has_its_own_environment() {
    let server = TestServer::start().await;
    let envs = json!({ "GREETING": "hello world", "LANG": "C" });
    let body = json!({ "envs": envs, "network": "none" });
    let data = server.post("/mcp/createSession?imageId=agb-code-space-1", body).await.ok();
    assert_eq!((&data["envs"], &data["network"]), (&envs, &json!("none")));
    let session = TestSession::of(&data);
    let got = server.post("/mcp/getSession", json!({ "sessionId": session.id })).await.ok();
    assert_eq!(got["envs"], envs);
    for code in ["import os; print(os.environ['GREETING'])"] {
        let run = server.run_code(&session, "python", code).await;
        assert_eq!(run["stdout"], json!(["hello world\n"]), "{run}");
    }
    assert_eq!(server.output_of(&session, "echo $GREETING $LANG").await, "hello world C\n");
    let args = json!({ "command": "echo $GREETING", "envs": { "GREETING": "of the call" }, "timeout_ms": 20_000 });
    let text = server.call(&session, "shell", args).await.expect("an answer");
    assert!(text.contains("of the call"), "{text}");
    let other = server.create().await;
    assert_eq!(server.output_of(&other, "echo \"[$GREETING]\"").await, "[]\n");
    for (body, part) in [
        (json!({ "envs": "x" }), "envs"),
        (json!({ "envs": { "A": 1 } }), "envs"),
        (json!({ "envs": { "A=B": "1" } }), "envs"),
        (json!({ "envs": { "A": "x".repeat(70_000) } }), "envs"),
        (json!({ "network": "host" }), "network"),
        (json!({ "network": "allow=example.org" }), "network"),
    ] {
        let reply = server.post("/mcp/createSession?imageId=agb-code-space-1", body).await;
        reply.is_error(400, "InvalidParameter.Value", part);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_session_may_do_without_the_network_that_others_have() {
    let server = TestServer::with(|config| config.network = "allow=example.org".parse().expect("a network")).await;
    let with = server.create().await;
    let without = server.create_with(json!({ "network": "none" })).await;
    let proxy = "echo ${http_proxy:-none}";
    assert_ne!(server.output_of(&with, proxy).await, "none\n");
    assert_eq!(server.output_of(&without, proxy).await, "none\n");
    let code = "import socket\ntry:\n    socket.create_connection(('127.0.0.1', 3128), 2)\n    print('open')\nexcept OSError:\n    print('closed')";
    assert_eq!(server.run_code(&with, "python", code).await["stdout"], json!(["open\n"]));
    assert_eq!(server.run_code(&without, "python", code).await["stdout"], json!(["closed\n"]));
    server.stop().await;
}

#[tokio::test]
async fn a_session_ends_when_its_time_is_over_whatever_goes_on() {
    let server = TestServer::start().await;
    let session = server.create_with(json!({ "timeoutS": 2 })).await;
    let info = server.post("/mcp/getMcpResource", json!({ "sessionId": session.id })).await.ok();
    assert_eq!((&info["timeoutS"], &info["network"], &info["envs"]), (&json!(2), &json!("none"), &json!({})));
    let begin = Instant::now();
    let args = json!({ "command": "sleep 60", "timeout_ms": 60_000 });
    assert!(server.call(&session, "shell", args).await.map_or(true, |answer| !answer.contains("\"exit_code\":0")));
    assert!(begin.elapsed() < PATIENCE, "it ended with its session");
    for wrong in [json!(0), json!("x"), json!(1_000_000_000)] {
        let reply = server.post("/mcp/createSession?imageId=agb-code-space-1", json!({ "timeoutS": wrong })).await;
        reply.is_error(400, "InvalidParameter.Value", "timeoutS");
    }
    server.stop().await;
}
