//! Contexts: the calls about them, and the signed URLs that open their files.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{KEY, Reply, TestServer, eventually};

/// A server with two keys; `other` is the second one.
async fn start() -> TestServer {
    TestServer::with(|config| {
        config.api_keys.push(agb_server::ApiKey { name: "other".into(), secret: "another-key".into() });
        config.contexts.max_bytes = 1 << 20;
        config.contexts.max_contexts = 5;
    })
    .await
}

async fn ok(server: &TestServer, name: &str, query: &[(&str, &str)]) -> Value {
    server.sdk(name, query).await.ok()
}

async fn put(server: &TestServer, url: &str, body: impl Into<reqwest::Body>) -> reqwest::Response {
    server.http.put(url).body(body).send().await.expect("an answer")
}

#[tokio::test]
async fn contexts_are_created_found_renamed_listed_and_deleted() {
    let server = start().await;
    let id = server.context("one").await;
    assert_eq!(server.context("one").await, id, "created once");
    let found = ok(&server, "GetContext", &[("id", &id), ("allowCreate", "false")]).await;
    assert_eq!((&found["name"], &found["state"]), (&json!("one"), &json!("available")));
    assert!(found["createTime"].as_str().is_some_and(|time| time.ends_with('Z')), "{found}");
    assert!(found["lastUsedTime"].is_string());
    for query in [[("name", "none"), ("allowCreate", "false")], [("id", "ctx-none"), ("allowCreate", "false")]] {
        server.sdk("GetContext", &query).await.is_error(400, "InvalidContext.NotFound", "not found");
    }
    server.sdk("GetContext", &[("id", &id), ("allowCreate", "true")]).await.is_error(
        400,
        "InvalidParameter.Value",
        "allowCreate",
    );
    server.sdk("GetContext", &[("allowCreate", "true")]).await.is_error(400, "InvalidParameter.Missing", "name");
    server.sdk("GetContext", &[("name", "x"), ("allowCreate", "perhaps")]).await.is_error(
        400,
        "InvalidParameter.Value",
        "true or false",
    );
    let long = "x".repeat(300);
    for name in ["a\nb", long.as_str()] {
        server.sdk("GetContext", &[("name", name), ("allowCreate", "true")]).await.is_error(
            400,
            "InvalidParameter.Value",
            "name",
        );
    }

    let second = server.context("zwei ✓").await;
    server.sdk("ModifyContext", &[("id", &id), ("name", "zwei ✓")]).await.is_error(
        409,
        "InvalidContext.NameTaken",
        "exists already",
    );
    server.sdk("ModifyContext", &[("id", &id)]).await.is_error(400, "InvalidParameter.Missing", "name");
    ok(&server, "ModifyContext", &[("id", &id), ("name", "uno")]).await;
    for name in ["three", "four", "five"] {
        server.context(name).await;
    }
    server.sdk("GetContext", &[("name", "six"), ("allowCreate", "true")]).await.is_error(
        429,
        "LimitExceeded.Contexts",
        "--max-contexts",
    );

    let mut names = Vec::new();
    let mut token = String::new();
    loop {
        let page = server.sdk("ListContexts", &[("maxResults", "2"), ("nextToken", &token)]).await;
        assert_eq!((&page.body["maxResults"], &page.body["totalCount"]), (&json!(2), &json!(5)), "{}", page.body);
        let list = page.body["data"].as_array().expect("a list");
        names.extend(list.iter().map(|context| context["name"].as_str().expect("a name").to_owned()));
        match page.body["nextToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    names.sort();
    assert_eq!(names, ["five", "four", "three", "uno", "zwei ✓"]);
    for query in [("maxResults", "0"), ("maxResults", "many"), ("nextToken", "here")] {
        server.sdk("ListContexts", &[query]).await.is_error(400, "InvalidParameter.Value", query.0);
    }

    ok(&server, "DeleteContext", &[("id", &second)]).await;
    for name in ["DeleteContext", "ClearContext", "ModifyContext"] {
        server.sdk(name, &[("id", &second), ("name", "x")]).await.is_error(400, "InvalidContext.NotFound", &second);
        server.sdk(name, &[("name", "x")]).await.is_error(400, "InvalidParameter.Missing", "id");
    }
    server.stop().await;
}

#[tokio::test]
async fn another_key_sees_nothing_of_it() {
    let server = start().await;
    let id = server.context("mine").await;
    let calls: [(&str, &[(&str, &str)]); 8] = [
        ("GetContext", &[("id", &id)]),
        ("GetContext", &[("name", "mine")]),
        ("ModifyContext", &[("id", &id), ("name", "x")]),
        ("DeleteContext", &[("id", &id)]),
        ("ClearContext", &[("id", &id)]),
        ("GetContextFileUploadUrl", &[("contextId", &id), ("filePath", "x")]),
        ("GetContextFileDownloadUrl", &[("contextId", &id), ("filePath", "x")]),
        ("DescribeContextFiles", &[("contextId", &id)]),
    ];
    for (name, query) in calls {
        server.sdk_with("another-key", name, query).await.is_error(400, "InvalidContext.NotFound", "another API key");
    }
    assert_eq!(server.sdk_with("another-key", "ListContexts", &[]).await.ok(), json!([]));
    let other = server.sdk_with("another-key", "GetContext", &[("name", "mine"), ("allowCreate", "true")]).await.ok();
    assert_ne!(other["id"], json!(id));
    server.sdk_with("no-key", "ListContexts", &[]).await.is_error(401, "InvalidApiKey.NotFound", "key");
    server.stop().await;
}

#[tokio::test]
async fn files_go_in_and_out_by_signed_urls() {
    let server = start().await;
    let id = server.context("files").await;
    let path = "/tmp/a folder/ü&x=1.txt";
    let upload = server.signed_url("GetContextFileUploadUrl", &id, path).await;
    assert!(!upload.contains(KEY));
    let response = put(&server, &upload, "hello, context").await;
    assert_eq!(response.status(), 200);
    let tag = response.headers()["etag"].clone();
    let download = server.signed_url("GetContextFileDownloadUrl", &id, path).await;
    let response = server.http.get(&download).send().await.expect("an answer");
    assert_eq!((response.status().as_u16(), &response.headers()["etag"]), (200, &tag));
    assert_eq!(response.headers()["content-disposition"], "attachment");
    assert_eq!(response.text().await.expect("a body"), "hello, context");
    let range = server.http.get(&download).header("range", "bytes=7-").send().await.expect("an answer");
    assert_eq!(
        (range.status().as_u16(), &range.headers()["content-range"].clone()),
        (206, &"bytes 7-13/14".parse().expect("a value"))
    );
    assert_eq!(range.text().await.expect("a body"), "context");
    let far = server.http.get(&download).header("range", "bytes=99-").send().await.expect("an answer");
    assert_eq!(
        (far.status().as_u16(), &far.headers()["content-range"]),
        (416, &"bytes */14".parse().expect("a value"))
    );
    let same = server.http.get(&download).header("if-none-match", &tag).send().await.expect("an answer");
    assert_eq!(same.status(), 304);

    // Replaced as a whole; empty files are files.
    assert_eq!(put(&server, &upload, "").await.status(), 200);
    let empty = server.http.get(&download).send().await.expect("an answer");
    assert_eq!((empty.status().as_u16(), empty.content_length()), (200, Some(0)));

    for root in ["", "/"] {
        let query = [("contextId", id.as_str()), ("parentFolderPath", root)];
        let listed = ok(&server, "DescribeContextFiles", &query).await;
        let folder = (&listed[0]["filePath"], &listed[0]["fileId"], &listed[0]["fileName"]);
        assert_eq!(folder, (&json!("/tmp"), &json!("/tmp"), &json!("tmp")), "{listed}");
    }
    let query = [("contextId", id.as_str()), ("parentFolderPath", "/tmp"), ("pageNumber", "1"), ("pageSize", "50")];
    let listed = server.sdk("DescribeContextFiles", &query).await;
    assert_eq!((&listed.body["count"], &listed.body["data"][0]["fileType"]), (&json!(1), &json!("directory")));
    let query = [("contextId", id.as_str()), ("parentFolderPath", "/tmp/a folder/")];
    let listed = ok(&server, "DescribeContextFiles", &query).await;
    let file = &listed[0];
    assert_eq!((&file["filePath"], &file["fileName"], &file["size"]), (&json!(path), &json!("ü&x=1.txt"), &json!(0)));
    assert!(file["gmtCreate"].is_string() && file["gmtModified"].is_string() && file["fileId"].is_string());

    ok(&server, "DeleteContextFile", &[("contextId", &id), ("filePath", path)]).await;
    server.sdk("DeleteContextFile", &[("contextId", &id), ("filePath", path)]).await.is_error(
        404,
        "InvalidContextFile.NotFound",
        "not found",
    );
    let gone = Reply::of(server.http.get(&download).send().await.expect("an answer")).await;
    gone.is_error(404, "InvalidContextFile.NotFound", "not found");
    assert_eq!(ok(&server, "DescribeContextFiles", &[("contextId", &id)]).await, json!([]));
    for path in ["", "/", "../x", "/a/../../b"] {
        let reply = server.sdk("GetContextFileUploadUrl", &[("contextId", &id), ("filePath", path)]).await;
        assert_eq!(reply.status, 400, "{path}: {}", reply.body);
    }
    for query in [("pageNumber", "0"), ("pageSize", "0"), ("pageSize", "x")] {
        let reply = server.sdk("DescribeContextFiles", &[("contextId", &id), query]).await;
        reply.is_error(400, "InvalidParameter.Value", query.0);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_url_opens_one_file_by_one_method_until_it_expires() {
    let server = TestServer::with(|config| config.contexts.url_time = Duration::from_secs(2)).await;
    let id = server.context("urls").await;
    let other = server.context("others").await;
    let upload = server.signed_url("GetContextFileUploadUrl", &id, "/a").await;
    assert_eq!(put(&server, &upload, "a").await.status(), 200);
    let download = server.signed_url("GetContextFileDownloadUrl", &id, "/a").await;
    let forged = [
        download.replace("path=%2Fa", "path=%2Fb"),
        download.replace(&id, &other),
        download.replace("expires=", "expires=1"),
        download.split("&signature").next().expect("a part").to_owned(),
        upload.clone(),
    ];
    for url in forged {
        let reply = Reply::of(server.http.get(&url).send().await.expect("an answer")).await;
        reply.is_error(403, "InvalidUrl.Signature", "ask for a new one");
    }
    Reply::of(put(&server, &download, "x").await).await.is_error(403, "InvalidUrl.Signature", "signed");
    assert_eq!(server.http.delete(&download).send().await.expect("an answer").status(), 405);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let late = Reply::of(server.http.get(&download).send().await.expect("an answer")).await;
    late.is_error(403, "InvalidUrl.Expired", "expired");
    Reply::of(put(&server, &upload, "x").await).await.is_error(403, "InvalidUrl.Expired", "expired");
    server.stop().await;
}

#[tokio::test]
async fn one_url_does_not_take_every_connection() {
    let mut folder = None;
    let server = TestServer::with(|config| {
        config.contexts.max_transfers = 1;
        folder.clone_from(&config.contexts.folder);
    })
    .await;
    let folder = folder.expect("contexts have a folder");
    let (id, other) = (server.context("one").await, server.context("other").await);
    let upload = server.signed_url("GetContextFileUploadUrl", &id, "/f").await;
    let (pieces, body) = tokio::sync::mpsc::unbounded_channel::<std::io::Result<Vec<u8>>>();
    let body = futures_util::stream::unfold(body, async |mut body| Some((body.recv().await?, body)));
    let first = server.http.put(&upload).body(reqwest::Body::wrap_stream(body)).send();
    let first = tokio::spawn(first);
    pieces.send(Ok(b"begun".to_vec())).expect("it is sent");
    let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    eventually("the first one has begun", || {
        let mut contexts = entries(&folder).flat_map(|owner| entries(&owner));
        contexts.any(|context| entries(&context.join("incoming")).next().is_some())
    })
    .await;
    let refused = Reply::of(put(&server, &upload, "x").await).await;
    refused.is_error(429, "LimitExceeded.Transfers", "--context-transfers");
    let download = server.signed_url("GetContextFileDownloadUrl", &id, "/f").await;
    let refused = Reply::of(server.http.get(&download).send().await.expect("an answer")).await;
    refused.is_error(429, "LimitExceeded.Transfers", "--context-transfers");
    let others = server.signed_url("GetContextFileUploadUrl", &other, "/f").await;
    assert_eq!(put(&server, &others, "x").await.status(), 200, "another context has its own");
    drop(pieces);
    assert_eq!(first.await.expect("no panic").expect("an answer").status(), 200);
    let begin = std::time::Instant::now();
    // The answer may be here before the call is over there.
    let text = loop {
        let answer = server.http.get(&download).send().await.expect("an answer");
        match answer.status().as_u16() {
            200 => break answer.text().await.expect("a body"),
            429 => assert!(begin.elapsed() < crate::support::PATIENCE, "it is still counted"),
            other => panic!("HTTP {other}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(text, "begun");
    server.stop().await;
}

#[tokio::test]
async fn the_quota_holds_and_nothing_is_half_written() {
    let server = start().await;
    let id = server.context("small").await;
    let upload = server.signed_url("GetContextFileUploadUrl", &id, "/f").await;
    assert_eq!(put(&server, &upload, "before").await.status(), 200);
    let large = vec![b'x'; 2 << 20];
    let refused = Reply::of(put(&server, &upload, large.clone()).await).await;
    refused.is_error(413, "LimitExceeded.ContextSize", "--context-size");
    // A client that goes away in the middle.
    let cut = futures_util::stream::iter([Ok(large[..1000].to_vec()), Err(std::io::Error::other("gone"))]);
    let body = reqwest::Body::wrap_stream(cut);
    server.http.put(&upload).body(body).send().await.expect_err("it was cut");
    let download = server.signed_url("GetContextFileDownloadUrl", &id, "/f").await;
    let text = server.http.get(&download).send().await.expect("an answer").text().await.expect("a body");
    assert_eq!(text, "before");
    assert_eq!(put(&server, &upload, vec![b'x'; (1 << 20) - 10]).await.status(), 200, "what was cut holds no quota");
    server.stop().await;
}

#[tokio::test]
async fn clearing_removes_the_files_and_keeps_the_context() {
    let server = start().await;
    let id = server.context("clear").await;
    for path in ["/a/1", "/b/2", "/c"] {
        let upload = server.signed_url("GetContextFileUploadUrl", &id, path).await;
        assert_eq!(put(&server, &upload, "x").await.status(), 200);
    }
    ok(&server, "ClearContext", &[("id", &id)]).await;
    ok(&server, "ClearContext", &[("id", &id)]).await;
    let begin = std::time::Instant::now();
    loop {
        let context = ok(&server, "GetContext", &[("id", &id), ("allowCreate", "false")]).await;
        match context["state"].as_str() {
            Some("available") => break,
            Some("clearing") => assert!(begin.elapsed() < crate::support::PATIENCE, "still clearing"),
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(ok(&server, "DescribeContextFiles", &[("contextId", &id)]).await, json!([]));
    server.stop().await;
}
