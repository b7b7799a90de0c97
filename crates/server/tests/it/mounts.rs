//! Contexts in sessions: mounts, synchronisation, and files that are passed through.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{KEY, PATIENCE, Reply, TestServer, TestSession};

async fn call(server: &TestServer, name: &str, query: &[(&str, &str)]) -> Reply {
    let url = server.url(&format!("/sdk/{name}"));
    let is_get = matches!(name, "GetContext" | "GetContextInfo");
    let request = if is_get { server.http.get(url) } else { server.http.post(url) };
    Reply::of(request.bearer_auth(KEY).query(query).send().await.expect("an answer")).await
}

async fn context(server: &TestServer, name: &str) -> String {
    let data = call(server, "GetContext", &[("name", name), ("allowCreate", "true")]).await.ok();
    data["id"].as_str().expect("an id").to_owned()
}

async fn put(server: &TestServer, id: &str, path: &str, text: &str) {
    let url = call(server, "GetContextFileUploadUrl", &[("contextId", id), ("filePath", path)]).await.ok();
    let url = url["url"].as_str().expect("a URL");
    assert_eq!(server.http.put(url).body(text.to_owned()).send().await.expect("an answer").status(), 200);
}

async fn get(server: &TestServer, id: &str, path: &str) -> Option<String> {
    let url = call(server, "GetContextFileDownloadUrl", &[("contextId", id), ("filePath", path)]).await.ok();
    let response = server.http.get(url["url"].as_str().expect("a URL")).send().await.expect("an answer");
    let found = response.status() == 200;
    let text = response.text().await.expect("a body");
    found.then_some(text)
}

/// The tasks, as the published clients read them.
async fn tasks(server: &TestServer, session: &str, filter: &[(&str, &str)]) -> Vec<Value> {
    let mut query = vec![("sessionId", session)];
    query.extend(filter);
    let data = call(server, "GetContextInfo", &query).await.ok();
    let status: Value = serde_json::from_str(data["contextStatus"].as_str().expect("a text")).expect("JSON");
    assert_eq!(status[0]["type"], "data");
    serde_json::from_str(status[0]["data"].as_str().expect("a text")).expect("JSON")
}

/// Waits until no task goes on, and gives them.
async fn settled(server: &TestServer, session: &str) -> Vec<Value> {
    let begin = Instant::now();
    loop {
        let tasks = tasks(server, session, &[]).await;
        assert!(begin.elapsed() < PATIENCE, "{tasks:?}");
        if tasks.iter().all(|task| task["status"] == "Success" || task["status"] == "Failed") {
            return tasks;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn mount(server: &TestServer, list: Value) -> TestSession {
    let session = server.create_with(json!({ "persistenceDataList": list })).await;
    let tasks = tasks(server, &session.id, &[]).await;
    assert!(!tasks.is_empty(), "they are there from the first moment");
    session
}

async fn shell(server: &TestServer, session: &TestSession, command: &str) -> String {
    let args = json!({ "command": command, "timeout_ms": 20_000 });
    let text = server.call(session, "shell", args).await.unwrap_or_else(|error| panic!("{command}: {error}"));
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(answer["exit_code"], 0, "{answer}");
    answer["stdout"].as_str().expect("a text").to_owned()
}

async fn release(server: &TestServer, session: &TestSession) {
    server.post("/mcp/releaseSession", json!({ "sessionId": session.id })).await.ok();
}

#[tokio::test]
async fn files_of_a_mount_outlive_their_session() {
    let server = TestServer::start().await;
    let id = context(&server, "project").await;
    put(&server, &id, "/home/project/in/a.txt", "from before").await;
    put(&server, &id, "/home/project/gone.txt", "x").await;
    put(&server, &id, "/elsewhere/b.txt", "not mounted").await;
    let policy = json!({ "uploadPolicy": { "autoUpload": true } }).to_string();
    let session = mount(&server, json!([{ "contextId": id, "path": "/home/project", "policy": policy }])).await;
    let tasks = settled(&server, &session.id).await;
    let task = &tasks[0];
    assert_eq!(
        (&task["status"], &task["taskType"], &task["path"], &task["errorMessage"]),
        (&json!("Success"), &json!("download"), &json!("/home/project"), &json!("")),
    );
    assert!(task["startTime"].is_u64() && task["finishTime"].is_u64() && task["contextId"] == json!(id), "{task}");

    // Programs, commands and file tools see the same.
    let code = "open('/home/project/in/p.txt', 'w').write(open('/home/project/in/a.txt').read() + '!')";
    let run = server.run_code(&session, "python", code).await;
    assert!(run["executionError"].is_null(), "{run}");
    assert_eq!(shell(&server, &session, "cat /home/project/in/p.txt").await, "from before!");
    let read = server.call(&session, "read_file", json!({ "path": "/home/project/in/p.txt" })).await;
    assert_eq!(read.as_deref(), Ok("from before!"));
    shell(&server, &session, "cd /home/project && rm gone.txt && mkdir -p deep/er empty && echo 1 > deep/er/x && chmod +x deep/er/x && ln -s in/a.txt link && mkfifo pipe").await;
    release(&server, &session).await;

    for (path, text) in [
        ("/home/project/in/a.txt", Some("from before")),
        ("/home/project/in/p.txt", Some("from before!")),
        ("/home/project/deep/er/x", Some("1\n")),
        ("/home/project/gone.txt", None),
        ("/home/project/pipe", None),
        ("/elsewhere/b.txt", Some("not mounted")),
    ] {
        assert_eq!(get(&server, &id, path).await.as_deref(), text, "{path}");
    }
    let again = mount(&server, json!([{ "contextId": id, "path": "/home/project" }])).await;
    settled(&server, &again.id).await;
    let seen = shell(&server, &again, "cd /home/project; readlink link; test -x deep/er/x; ls").await;
    assert_eq!(seen, "in/a.txt\ndeep\nempty\nin\nlink\n");
    release(&server, &again).await;
    server.stop().await;
}

#[tokio::test]
async fn policies_say_what_is_copied() {
    let server = TestServer::start().await;
    let id = context(&server, "policies").await;
    for path in ["/data/src/a", "/data/src/tmp/b", "/data/other", "/old/place/c"] {
        put(&server, &id, path, path).await;
    }
    let white = json!({ "bwList": { "whiteLists": [{ "path": "src", "excludePaths": ["src/tmp"] }] } });
    let mapped = json!({ "mappingPolicy": { "path": "/old/place" }, "uploadPolicy": { "autoUpload": false } });
    let session = mount(
        &server,
        json!([
            { "contextId": id, "path": "/data", "policy": white.to_string() },
            { "contextId": id, "path": "/tmp/here", "policy": mapped },
        ]),
    )
    .await;
    settled(&server, &session.id).await;
    let seen = shell(&server, &session, "cd /data; find . -type f; ls /tmp/here").await;
    assert_eq!(seen, "./src/a\nc\n");
    shell(&server, &session, "echo 1 > /data/src/new; echo 1 > /data/unlisted; echo 1 > /tmp/here/lost").await;
    // On demand both ways; then by itself at the release, where the policy lets it.
    let query =
        |mode| [("sessionId", session.id.as_str()), ("contextId", id.as_str()), ("path", "/tmp/here"), ("mode", mode)];
    call(&server, "SyncContext", &query("upload")).await.ok();
    let filter = [("contextId", id.as_str()), ("path", "/tmp/here"), ("taskType", "upload")];
    assert_eq!(tasks(&server, &session.id, &filter).await.len(), 1, "it is there from the first moment");
    settled(&server, &session.id).await;
    assert_eq!(get(&server, &id, "/old/place/lost").await.as_deref(), Some("1\n"));
    shell(&server, &session, "echo 2 > /tmp/here/lost").await;
    release(&server, &session).await;
    for (path, text) in [
        ("/data/src/new", Some("1\n")),
        ("/data/unlisted", None),
        ("/data/other", Some("/data/other")),
        ("/data/src/tmp/b", Some("/data/src/tmp/b")),
        ("/old/place/lost", Some("1\n")),
    ] {
        assert_eq!(get(&server, &id, path).await.as_deref(), text, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_fails_is_told_and_nothing_is_half_written() {
    let server = TestServer::with(|config| config.contexts.max_bytes = 100_000).await;
    let id = context(&server, "full").await;
    let session = mount(&server, json!([{ "contextId": id, "path": "/data" }])).await;
    settled(&server, &session.id).await;
    shell(&server, &session, "head -c 300000 /dev/zero > /data/large; echo 1 > /data/a").await;
    call(&server, "SyncContext", &[("sessionId", &session.id)]).await.ok();
    let tasks = settled(&server, &session.id).await;
    let failed = tasks.iter().find(|task| task["taskType"] == "upload").expect("a task");
    assert_eq!(failed["status"], "Failed", "{failed}");
    assert!(failed["errorMessage"].as_str().is_some_and(|text| text.contains("--context-size")), "{failed}");
    assert_eq!(get(&server, &id, "/data/large").await, None);

    let other = context(&server, "other").await;
    let sync = async |query: &[(&str, &str)]| {
        let mut all = vec![("sessionId", session.id.as_str())];
        all.extend(query);
        call(&server, "SyncContext", &all).await
    };
    sync(&[("contextId", &id)]).await.is_error(400, "InvalidParameter.Missing", "path");
    sync(&[("path", "/data")]).await.is_error(400, "InvalidParameter.Missing", "contextId");
    sync(&[("mode", "both")]).await.is_error(400, "InvalidParameter.Value", "upload or download");
    sync(&[("contextId", &id), ("path", "/none")]).await.is_error(400, "InvalidContext.NotMounted", "/none");
    sync(&[("contextId", &other), ("path", "/data")]).await.is_error(400, "InvalidContext.NotMounted", &other);
    call(&server, "SyncContext", &[]).await.is_error(400, "InvalidParameter.Missing", "sessionId");
    call(&server, "GetContextInfo", &[("sessionId", "none")]).await.is_error(400, "InvalidMcpSession.NotFound", "none");
    call(&server, "GetContextInfo", &[("sessionId", &session.id), ("taskType", "x")]).await.is_error(
        400,
        "InvalidParameter.Value",
        "taskType",
    );
    release(&server, &session).await;
    server.stop().await;
}

#[tokio::test]
async fn mounts_that_make_no_sense_are_refused() {
    let server = TestServer::start().await;
    let id = context(&server, "bad").await;
    for (list, part) in [
        (json!("x"), "JSON list"),
        (json!([1]), "contextId, path and policy"),
        (json!([{ "contextId": id }]), "contextId, path and policy"),
        (json!([{ "contextId": 3, "path": "/data" }]), "contextId, path and policy"),
        (json!([{ "contextId": "ctx-none", "path": "/data" }]), "not found"),
        (json!([{ "contextId": id, "path": "data" }]), "absolute path"),
        (json!([{ "contextId": id, "path": "/" }]), "names no file"),
        (json!([{ "contextId": id, "path": "/usr/lib/x" }]), "a place of the system's"),
        (json!([{ "contextId": id, "path": "/home" }]), "a place of the system's"),
        (json!([{ "contextId": id, "path": "/data/../etc" }]), "`..`"),
        (json!([{ "contextId": id, "path": "/a" }, { "contextId": id, "path": "/a/b" }]), "lies in another one"),
        (json!([{ "contextId": id, "path": "/a", "policy": "{" }]), "policy"),
        (json!([{ "contextId": id, "path": "/a", "policy": 3 }]), "policy"),
        (json!([{ "contextId": id, "path": "/a", "policy": { "x": "x".repeat(100_000) } }]), "65536"),
        (Value::Array(vec![json!({ "contextId": id, "path": "/a" }); 17]), "--max-mounts"),
    ] {
        let body = json!({ "persistenceDataList": list });
        let reply = server.post("/mcp/createSession?imageId=agb-code-space-1", body).await;
        assert_eq!(reply.status, 400, "{list}: {}", reply.body);
        assert!(reply.body["message"].as_str().is_some_and(|text| text.contains(part)), "{list}: {}", reply.body);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_path_of_any_length_is_neither_remembered_nor_told() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let query = [("sessionId", session.id.as_str()), ("contextTypes", "[\"file_transfer\"]")];
    let data = call(&server, "GetAndLoadInternalContext", &query).await.ok();
    let id = data[0]["contextId"].as_str().expect("an id");
    let long = "\u{7f}".repeat(1 << 20);
    for (context, path) in [(id, long.as_str()), ("none", long.as_str()), (long.as_str(), "/a")] {
        let body = json!({ "sessionId": session.id, "contextId": context, "path": path, "mode": "download" });
        let reply = server.post("/sdk/SyncContext", body).await;
        let told = reply.body["message"].as_str().expect("a message");
        assert!(reply.status == 400 && told.len() <= 16 << 10, "{}: {} bytes", reply.status, told.len());
    }
    let info = call(&server, "GetContextInfo", &[("sessionId", &session.id)]).await.ok();
    let tasks = info["contextStatus"].as_str().expect("a text");
    assert!(tasks.len() < 1000, "{} bytes", tasks.len());
    server.stop().await;
}

#[tokio::test]
async fn files_are_passed_in_and_out_by_the_sessions_own_context() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let load = async || {
        let query = [("sessionId", session.id.as_str()), ("contextTypes", "[\"file_transfer\"]")];
        call(&server, "GetAndLoadInternalContext", &query).await.ok()
    };
    let data = load().await;
    let (id, path) = (data[0]["contextId"].as_str().expect("an id"), data[0]["contextPath"].as_str().expect("a path"));
    assert_eq!((load().await[0]["contextId"].as_str(), &data[0]["contextType"]), (Some(id), &json!("file_transfer")));
    assert_eq!(server.call(&session, "list_directory", json!({ "path": path })).await.as_deref(), Ok(""));

    // In: put, synchronise, forget.
    let remote = format!("{path}/up.txt");
    let sync = async |mode: &str| {
        let query = [("sessionId", session.id.as_str()), ("contextId", id), ("path", path), ("mode", mode)];
        call(&server, "SyncContext", &query).await.ok();
        let tasks = settled(&server, &session.id).await;
        assert!(tasks.iter().all(|task| task["status"] == "Success"), "{tasks:?}");
    };
    put(&server, id, &remote, "up").await;
    sync("download").await;
    call(&server, "DeleteContextFile", &[("contextId", id), ("filePath", &remote)]).await.ok();
    assert_eq!(shell(&server, &session, &format!("cat {remote}")).await, "up");

    // Out: synchronise, get. Files of the system are not the session's to give.
    shell(
        &server,
        &session,
        &format!("echo down > {path}/down.txt; echo new > {remote}; ln -s /etc/passwd {path}/link"),
    )
    .await;
    sync("upload").await;
    assert_eq!(get(&server, id, &format!("{path}/down.txt")).await.as_deref(), Some("down\n"));
    assert_eq!(get(&server, id, &remote).await.as_deref(), Some("new\n"));
    for missing in [format!("{path}/none"), format!("{path}/link"), "/etc/shadow".to_owned(), path.to_owned()] {
        assert_eq!(get(&server, id, &missing).await, None, "{missing}");
    }
    let query = [("sessionId", session.id.as_str()), ("contextTypes", "file_transfer")];
    call(&server, "GetAndLoadInternalContext", &query).await.is_error(400, "InvalidParameter.Value", "contextTypes");
    let id = id.to_owned();
    release(&server, &session).await;
    call(&server, "GetContext", &[("id", &id), ("allowCreate", "false")]).await.is_error(
        400,
        "InvalidContext.NotFound",
        "not found",
    );
    server.stop().await;
}

/// What cannot be taken does not keep the others from arriving, and is told.
#[tokio::test]
async fn every_file_that_can_be_copied_is() {
    let server = TestServer::with(|config| config.contexts.max_bytes = 100_000).await;
    let id = context(&server, "odd").await;
    put(&server, &id, "/data/folder/in", "1").await;
    put(&server, &id, "/data/file", "1").await;
    put(&server, &id, "/data/large", "before").await;
    let session = mount(&server, json!([{ "contextId": id, "path": "/data" }])).await;
    settled(&server, &session.id).await;
    let odd = r"
import os
os.chdir('/data')
for name in [b'..\\x', b'a\\b', b'b/a\\b', b'\xff', b'\xfe', b'large', b'a:b', b'a\nb', b'b/a', b'z']:
    os.makedirs(os.path.dirname(name) or b'.', exist_ok=True)
    open(name, 'wb').write(b'0' * 200_000 if name == b'large' else name)
os.mkdir(b'w\\'); open(b'w\\/in', 'w').write('1')
os.remove('folder/in'); os.rmdir('folder'); open('folder', 'w').write('now a file')
os.remove('file'); os.mkdir('file'); open('file/in', 'w').write('now a folder')
for _ in range(70): os.mkdir('d'); os.chdir('d'); open('f', 'w').write('1')
";
    let run = server.run_code(&session, "python", odd).await;
    assert!(run["executionError"].is_null(), "{run}");
    call(&server, "SyncContext", &[("sessionId", &session.id)]).await.ok();
    let tasks = settled(&server, &session.id).await;
    let task = tasks.iter().find(|task| task["taskType"] == "upload").expect("a task");
    let told = task["errorMessage"].as_str().expect("a text");
    // Six names, what is too large, and a file and a folder that are too deep.
    assert_eq!((&task["status"], told.split(' ').next()), (&json!("Failed"), Some("9")), "{told}");
    for part in [r"..\\x: ", r"a\\b: ", r"b/a\\b: ", r"w\\: ", "large: ", "not UTF-8", "64 folders", "--context-size"] {
        assert!(told.contains(part), "{part:?} is missing in {told}");
    }
    let deep = |levels| format!("/data/{}f", "d/".repeat(levels));
    for (path, text) in [
        ("/data/a:b", Some("a:b")),
        ("/data/a\nb", Some("a\nb")),
        ("/data/b/a", Some("b/a")),
        ("/data/a/b", None),
        ("/data/z", Some("z")),
        ("/data/large", Some("before")),
        ("/data/folder", Some("now a file")),
        ("/data/file/in", Some("now a folder")),
        (&deep(62), Some("1")),
        (&deep(1), Some("1")),
    ] {
        assert_eq!(get(&server, &id, path).await.as_deref(), text, "{path}");
    }
    release(&server, &session).await;
    server.stop().await;
}

/// An archive, too: what is missing in it is told, and it is not thrown away for a part that did not arrive.
#[tokio::test]
async fn an_archive_has_every_file_that_it_can() {
    let server = TestServer::start().await;
    let id = context(&server, "archive").await;
    let policy = json!({ "uploadPolicy": { "uploadMode": "Archive", "autoUpload": true } }).to_string();
    let session = mount(&server, json!([{ "contextId": id, "path": "/data", "policy": policy }])).await;
    settled(&server, &session.id).await;
    shell(&server, &session, r"cd /data && echo 1 > a:b && echo 2 > 'a\b' && echo 3 > z").await;
    call(&server, "SyncContext", &[("sessionId", &session.id)]).await.ok();
    let tasks = settled(&server, &session.id).await;
    let task = tasks.iter().find(|task| task["taskType"] == "upload").expect("a task");
    let told = task["errorMessage"].as_str().expect("a text");
    assert!(task["status"] == "Failed" && told.starts_with("1 ") && told.contains(r"a\\b: "), "{told}");
    release(&server, &session).await;
    let again = mount(&server, json!([{ "contextId": id, "path": "/data", "policy": policy }])).await;
    settled(&server, &again.id).await;
    assert_eq!(shell(&server, &again, "cd /data; ls; cat *").await, "a:b\nz\n1\n3\n");
    release(&server, &again).await;
    server.stop().await;
}

/// What is remembered of a tree that is copied is bounded, whatever its names are, and an archive has no more files than can
/// be extracted again.
#[tokio::test]
async fn what_an_upload_remembers_is_bounded() {
    let server = TestServer::with(|config| config.contexts.max_files = 30).await;
    let id = context(&server, "long").await;
    let policy = json!({ "uploadPolicy": { "uploadMode": "Archive", "autoUpload": true } }).to_string();
    let mounts = json!([
        { "contextId": id, "path": "/plain" },
        { "contextId": id, "path": "/archived", "policy": policy },
    ]);
    let session = mount(&server, mounts).await;
    settled(&server, &session.id).await;
    let upload = async |path: &str| {
        let query =
            [("sessionId", session.id.as_str()), ("contextId", id.as_str()), ("path", path), ("mode", "upload")];
        call(&server, "SyncContext", &query).await.ok();
        let tasks = settled(&server, &session.id).await;
        let is_it = |task: &&Value| task["taskType"] == "upload" && task["path"] == path;
        let task = tasks.iter().find(is_it).expect("a task");
        (task["status"] == "Success", task["errorMessage"].as_str().unwrap_or_default().to_owned())
    };
    let deep = "import os\nfor top in ['/plain', '/archived']:\n    os.chdir(top)\n    for _ in range(14): os.mkdir('x' * 250); os.chdir('x' * 250)";
    let run = server.run_code(&session, "python", deep).await;
    assert!(run["executionError"].is_null(), "{run}");
    for path in ["/plain", "/archived"] {
        let (_, told) = upload(path).await;
        assert!(told.contains("bytes of paths") && told.contains("--context-files"), "{told}");
    }
    shell(&server, &session, "rm -r /plain/* /archived/*; cd /archived; for i in $(seq 20); do echo 1 > $i; done")
        .await;
    assert_eq!(upload("/archived").await, (true, String::new()));
    shell(&server, &session, "cd /archived; for i in $(seq 40); do echo 1 > $i; done").await;
    let (_, told) = upload("/archived").await;
    assert!(told.contains("files to archive") && told.contains("--context-files"), "{told}");
    release(&server, &session).await;
    server.stop().await;
}
