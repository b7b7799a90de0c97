//! Contexts in sessions: mounts, synchronisation, and files that are passed through.

use serde_json::{Value, json};

use crate::support::{TestServer, TestSession};

async fn put(server: &TestServer, id: &str, path: &str, text: &str) {
    let url = server.signed_url("GetContextFileUploadUrl", id, path).await;
    assert_eq!(server.http.put(url).body(text.to_owned()).send().await.expect("an answer").status(), 200);
}

async fn get(server: &TestServer, id: &str, path: &str) -> Option<String> {
    let url = server.signed_url("GetContextFileDownloadUrl", id, path).await;
    let response = server.http.get(url).send().await.expect("an answer");
    let found = response.status() == 200;
    let text = response.text().await.expect("a body");
    found.then_some(text)
}

async fn mount(server: &TestServer, list: Value) -> TestSession {
    let session = server.create_with(json!({ "persistenceDataList": list })).await;
    let tasks = server.sync_tasks(&session.id, &[]).await;
    assert!(!tasks.is_empty(), "they are there from the first moment");
    session
}

#[tokio::test]
async fn files_of_a_mount_outlive_their_session() {
    let server = TestServer::start().await;
    let id = server.context("project").await;
    put(&server, &id, "/home/project/in/a.txt", "from before").await;
    put(&server, &id, "/home/project/gone.txt", "x").await;
    put(&server, &id, "/elsewhere/b.txt", "not mounted").await;
    let policy = json!({ "uploadPolicy": { "autoUpload": true } }).to_string();
    let session = mount(&server, json!([{ "contextId": id, "path": "/home/project", "policy": policy }])).await;
    let tasks = server.synced(&session.id).await;
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
    assert_eq!(server.output_of(&session, "cat /home/project/in/p.txt").await, "from before!");
    let read = server.call(&session, "read_file", json!({ "path": "/home/project/in/p.txt" })).await;
    assert_eq!(read.as_deref(), Ok("from before!"));
    server.output_of(&session, "cd /home/project && rm gone.txt && mkdir -p deep/er empty && echo 1 > deep/er/x && chmod +x deep/er/x && ln -s in/a.txt link && mkfifo pipe").await;
    server.release(&session).await;

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
    server.synced(&again.id).await;
    let seen = server.output_of(&again, "cd /home/project; readlink link; test -x deep/er/x; ls").await;
    assert_eq!(seen, "in/a.txt\ndeep\nempty\nin\nlink\n");
    server.release(&again).await;
    server.stop().await;
}

#[tokio::test]
async fn policies_say_what_is_copied() {
    let server = TestServer::start().await;
    let id = server.context("policies").await;
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
    server.synced(&session.id).await;
    let seen = server.output_of(&session, "cd /data; find . -type f; ls /tmp/here").await;
    assert_eq!(seen, "./src/a\nc\n");
    server.output_of(&session, "echo 1 > /data/src/new; echo 1 > /data/unlisted; echo 1 > /tmp/here/lost").await;
    // On demand both ways; then by itself at the release, where the policy lets it.
    let query =
        |mode| [("sessionId", session.id.as_str()), ("contextId", id.as_str()), ("path", "/tmp/here"), ("mode", mode)];
    server.sdk("SyncContext", &query("upload")).await.ok();
    let filter = [("contextId", id.as_str()), ("path", "/tmp/here"), ("taskType", "upload")];
    assert_eq!(server.sync_tasks(&session.id, &filter).await.len(), 1, "it is there from the first moment");
    server.synced(&session.id).await;
    assert_eq!(get(&server, &id, "/old/place/lost").await.as_deref(), Some("1\n"));
    server.output_of(&session, "echo 2 > /tmp/here/lost").await;
    server.release(&session).await;
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
    let id = server.context("full").await;
    let session = mount(&server, json!([{ "contextId": id, "path": "/data" }])).await;
    server.synced(&session.id).await;
    server.output_of(&session, "head -c 300000 /dev/zero > /data/large; echo 1 > /data/a").await;
    server.sdk("SyncContext", &[("sessionId", &session.id)]).await.ok();
    let tasks = server.synced(&session.id).await;
    let failed = tasks.iter().find(|task| task["taskType"] == "upload").expect("a task");
    assert_eq!(failed["status"], "Failed", "{failed}");
    assert!(failed["errorMessage"].as_str().is_some_and(|text| text.contains("--context-size")), "{failed}");
    assert_eq!(get(&server, &id, "/data/large").await, None);

    let other = server.context("other").await;
    let sync = async |query: &[(&str, &str)]| {
        let mut all = vec![("sessionId", session.id.as_str())];
        all.extend(query);
        server.sdk("SyncContext", &all).await
    };
    sync(&[("contextId", &id)]).await.is_error(400, "InvalidParameter.Missing", "path");
    sync(&[("path", "/data")]).await.is_error(400, "InvalidParameter.Missing", "contextId");
    sync(&[("mode", "both")]).await.is_error(400, "InvalidParameter.Value", "upload or download");
    sync(&[("contextId", &id), ("path", "/none")]).await.is_error(400, "InvalidContext.NotMounted", "/none");
    sync(&[("contextId", &other), ("path", "/data")]).await.is_error(400, "InvalidContext.NotMounted", &other);
    server.sdk("SyncContext", &[]).await.is_error(400, "InvalidParameter.Missing", "sessionId");
    server.sdk("GetContextInfo", &[("sessionId", "none")]).await.is_error(400, "InvalidMcpSession.NotFound", "none");
    server.sdk("GetContextInfo", &[("sessionId", &session.id), ("taskType", "x")]).await.is_error(
        400,
        "InvalidParameter.Value",
        "taskType",
    );
    server.release(&session).await;
    server.stop().await;
}

#[tokio::test]
async fn mounts_that_make_no_sense_are_refused() {
    let server = TestServer::start().await;
    let id = server.context("bad").await;
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
    let data = server.sdk("GetAndLoadInternalContext", &query).await.ok();
    let id = data[0]["contextId"].as_str().expect("an id");
    let long = "\u{7f}".repeat(1 << 20);
    for (context, path) in [(id, long.as_str()), ("none", long.as_str()), (long.as_str(), "/a")] {
        let body = json!({ "sessionId": session.id, "contextId": context, "path": path, "mode": "download" });
        let reply = server.post("/sdk/SyncContext", body).await;
        let told = reply.body["message"].as_str().expect("a message");
        assert!(reply.status == 400 && told.len() <= 16 << 10, "{}: {} bytes", reply.status, told.len());
    }
    let info = server.sdk("GetContextInfo", &[("sessionId", &session.id)]).await.ok();
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
        server.sdk("GetAndLoadInternalContext", &query).await.ok()
    };
    let data = load().await;
    let (id, path) = (data[0]["contextId"].as_str().expect("an id"), data[0]["contextPath"].as_str().expect("a path"));
    assert_eq!((load().await[0]["contextId"].as_str(), &data[0]["contextType"]), (Some(id), &json!("file_transfer")));
    assert_eq!(server.call(&session, "list_directory", json!({ "path": path })).await.as_deref(), Ok(""));

    // In: put, synchronise, forget.
    let remote = format!("{path}/up.txt");
    let sync = async |mode: &str| {
        let query = [("sessionId", session.id.as_str()), ("contextId", id), ("path", path), ("mode", mode)];
        server.sdk("SyncContext", &query).await.ok();
        let tasks = server.synced(&session.id).await;
        assert!(tasks.iter().all(|task| task["status"] == "Success"), "{tasks:?}");
    };
    put(&server, id, &remote, "up").await;
    sync("download").await;
    server.sdk("DeleteContextFile", &[("contextId", id), ("filePath", &remote)]).await.ok();
    assert_eq!(server.output_of(&session, &format!("cat {remote}")).await, "up");

    // Out: synchronise, get. Files of the system are not the session's to give.
    server
        .output_of(
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
    server.sdk("GetAndLoadInternalContext", &query).await.is_error(400, "InvalidParameter.Value", "contextTypes");
    let id = id.to_owned();
    server.release(&session).await;
    server.sdk("GetContext", &[("id", &id), ("allowCreate", "false")]).await.is_error(
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
    let id = server.context("odd").await;
    put(&server, &id, "/data/folder/in", "1").await;
    put(&server, &id, "/data/file", "1").await;
    put(&server, &id, "/data/large", "before").await;
    let session = mount(&server, json!([{ "contextId": id, "path": "/data" }])).await;
    server.synced(&session.id).await;
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
    server.sdk("SyncContext", &[("sessionId", &session.id)]).await.ok();
    let tasks = server.synced(&session.id).await;
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
    server.release(&session).await;
    server.stop().await;
}

/// An archive, too: what is missing in it is told, and it is not thrown away for a part that did not arrive.
#[tokio::test]
async fn an_archive_has_every_file_that_it_can() {
    let server = TestServer::start().await;
    let id = server.context("archive").await;
    let policy = json!({ "uploadPolicy": { "uploadMode": "Archive", "autoUpload": true } }).to_string();
    let session = mount(&server, json!([{ "contextId": id, "path": "/data", "policy": policy }])).await;
    server.synced(&session.id).await;
    server.output_of(&session, r"cd /data && echo 1 > a:b && echo 2 > 'a\b' && echo 3 > z").await;
    server.sdk("SyncContext", &[("sessionId", &session.id)]).await.ok();
    let tasks = server.synced(&session.id).await;
    let task = tasks.iter().find(|task| task["taskType"] == "upload").expect("a task");
    let told = task["errorMessage"].as_str().expect("a text");
    assert!(task["status"] == "Failed" && told.starts_with("1 ") && told.contains(r"a\\b: "), "{told}");
    server.release(&session).await;
    let again = mount(&server, json!([{ "contextId": id, "path": "/data", "policy": policy }])).await;
    server.synced(&again.id).await;
    assert_eq!(server.output_of(&again, "cd /data; ls; cat *").await, "a:b\nz\n1\n3\n");
    server.release(&again).await;
    server.stop().await;
}

/// What is remembered of a tree that is copied is bounded, whatever its names are, and an archive has no more files than can
/// be extracted again.
#[tokio::test]
async fn what_an_upload_remembers_is_bounded() {
    let server = TestServer::with(|config| config.contexts.max_files = 30).await;
    let id = server.context("long").await;
    let policy = json!({ "uploadPolicy": { "uploadMode": "Archive", "autoUpload": true } }).to_string();
    let mounts = json!([
        { "contextId": id, "path": "/plain" },
        { "contextId": id, "path": "/archived", "policy": policy },
    ]);
    let session = mount(&server, mounts).await;
    server.synced(&session.id).await;
    let upload = async |path: &str| {
        let query =
            [("sessionId", session.id.as_str()), ("contextId", id.as_str()), ("path", path), ("mode", "upload")];
        server.sdk("SyncContext", &query).await.ok();
        let tasks = server.synced(&session.id).await;
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
    server
        .output_of(&session, "rm -r /plain/* /archived/*; cd /archived; for i in $(seq 20); do echo 1 > $i; done")
        .await;
    assert_eq!(upload("/archived").await, (true, String::new()));
    server.output_of(&session, "cd /archived; for i in $(seq 40); do echo 1 > $i; done").await;
    let (_, told) = upload("/archived").await;
    assert!(told.contains("files to archive") && told.contains("--context-files"), "{told}");
    server.release(&session).await;
    server.stop().await;
}

/// An archive can name the same bytes, and the same file, as often as it likes.
#[tokio::test]
async fn what_comes_out_of_an_archive_is_bounded() {
    let server = TestServer::with(|config| config.sandbox.disk = 100 << 20).await;
    let id = server.context("bomb").await;
    let list = json!([{ "contextId": id, "path": "/data" }]);
    let session = mount(&server, list.clone()).await;
    server.synced(&session.id).await;
    let bomb = "import zipfile\nwith zipfile.ZipFile('/data/bomb.zip', 'w', zipfile.ZIP_DEFLATED) as archive:\n    \
                archive.writestr('zeros', bytes(16 << 20))\n    archive.filelist *= 20000";
    let run = server.run_code(&session, "python", bomb).await;
    assert!(run["executionError"].is_null(), "{run}");
    server.release(&session).await;
    let again = mount(&server, list).await;
    let tasks = server.synced(&again.id).await;
    let told = tasks[0]["errorMessage"].as_str().expect("a text");
    assert!(told.contains("out of the archives") && told.contains("--disk"), "{told}");
    assert_eq!(server.output_of(&again, "stat -c %s /data/bomb/zeros").await, "16777216\n", "what fitted is there");
    server.release(&again).await;
    server.stop().await;
}

/// Files of nothing but a size cost a program nothing: those for which the context has no room are not even read.
#[tokio::test]
async fn a_release_copies_no_more_than_fits() {
    let server = TestServer::with(|config| config.contexts.max_bytes = 400 << 20).await;
    let id = server.context("sizes").await;
    let session = mount(&server, json!([{ "contextId": id, "path": "/data" }])).await;
    server.synced(&session.id).await;
    let code = "import os\nfor n in range(2000):\n    with open(f'/data/{n:04}', 'w') as file: file.truncate(201 << 20)\nprint('made')";
    let run = server.run_code(&session, "python", code).await;
    assert_eq!(run["stdout"], json!(["made\n"]), "{run}");
    let before = std::time::Instant::now();
    server.release(&session).await;
    // Copying what is refused would be 400 GB.
    assert!(before.elapsed() < std::time::Duration::from_secs(60), "{:?}", before.elapsed());
    let again = mount(&server, json!([{ "contextId": id, "path": "/data" }])).await;
    server.synced(&again.id).await;
    assert_eq!(server.output_of(&again, "ls /data | wc -l").await, "1\n");
    server.release(&again).await;
    server.stop().await;
}
