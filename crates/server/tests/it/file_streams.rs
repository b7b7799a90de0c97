//! Files as plain HTTP bodies on the session's link, and what a session uses.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::{PATIENCE, Reply, TestServer, TestSession, is_one_hop_away};

fn request(
    server: &TestServer,
    session: &TestSession,
    method: &str,
    query: &[(&str, &str)],
) -> reqwest::RequestBuilder {
    let method = method.parse().expect("a method");
    let url = format!("{}/files", session.link_url);
    server.http.request(method, url).header("X-Access-Token", &session.token).query(query)
}

async fn read(server: &TestServer, session: &TestSession, path: &str) -> String {
    let tool = server.call(session, "read_file", json!({ "path": path })).await;
    tool.unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[tokio::test]
async fn files_are_streamed_both_ways() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let large: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
    let path = [("path", "/tmp/large.bin")];
    let put = request(&server, &session, "PUT", &path).body(large.clone()).send().await.expect("an answer");
    let tag = put.headers()["etag"].clone();
    assert_eq!(Reply::of(put).await.ok(), json!({ "size": 5_000_000 }));
    let get = request(&server, &session, "GET", &path).send().await.expect("an answer");
    assert_eq!((get.status().as_u16(), &get.headers()["etag"], get.content_length()), (200, &tag, Some(5_000_000)));
    assert!(get.bytes().await.expect("a body") == large, "byte for byte");
    let range = request(&server, &session, "GET", &path).header("range", "bytes=4999990-").header("if-range", &tag);
    let range = range.send().await.expect("an answer");
    assert_eq!(range.status(), 206);
    assert_eq!(range.bytes().await.expect("a body"), large[4_999_990..]);

    // A program sees it, it is its user's, and what a program has changed has another tag.
    let code = "import os\ns = os.stat('/tmp/large.bin')\nprint(s.st_size, s.st_uid == os.getuid())\nopen('/tmp/large.bin', 'a').write('!')";
    assert_eq!(server.run_code(&session, "python", code).await["stdout"], json!(["5000000 True\n"]));
    let changed = request(&server, &session, "GET", &path).header("range", "bytes=0-1").header("if-range", &tag);
    assert_eq!(changed.send().await.expect("an answer").status(), 200, "the whole of another file");
    server.stop().await;
}

#[tokio::test]
async fn an_upload_that_was_cut_goes_on_where_it_ended() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let whole: Vec<u8> = (0..2_000_000_u32).map(|at| (at % 253) as u8).collect();
    let query = [("path", "up.bin"), ("upload", "id-1")];
    let progress = async || {
        let url = format!("{}/files/progress", session.link_url);
        let request = server.http.get(url).header("X-Access-Token", &session.token).query(&query);
        let data = Reply::of(request.send().await.expect("an answer")).await.ok();
        usize::try_from(data["offset"].as_u64().expect("a number")).expect("it fits")
    };
    assert_eq!(progress().await, 0);
    let cut = futures_util::stream::iter([Ok(whole[..700_000].to_vec()), Err(std::io::Error::other("cut"))]);
    let body = reqwest::Body::wrap_stream(cut);
    request(&server, &session, "PUT", &query).body(body).send().await.expect_err("it was cut");
    assert!(server.call(&session, "read_file", json!({ "path": "up.bin" })).await.is_err(), "nothing half written");
    // What was on its way when the connection broke is still taken.
    let mut at = progress().await;
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let later = progress().await;
        if later == at {
            break;
        }
        at = later;
    }
    assert!(at <= 700_000, "{at}");
    let wrong = request(&server, &session, "PUT", &query).header("Upload-Offset", at + 1).body("x");
    Reply::of(wrong.send().await.expect("an answer")).await.is_error(409, "InvalidUpload.Offset", &at.to_string());
    let part = request(&server, &session, "PUT", &query).header("Upload-Offset", at).header("Upload-Complete", "?0");
    let part = part.body(whole[at..1_000_000].to_vec()).send().await.expect("an answer");
    assert_eq!(Reply::of(part).await.ok(), json!({ "offset": 1_000_000 }));
    at = progress().await;
    let last = request(&server, &session, "PUT", &query).header("Upload-Offset", at).body(whole[at..].to_vec());
    assert_eq!(Reply::of(last.send().await.expect("an answer")).await.ok(), json!({ "size": 2_000_000 }));
    let get = request(&server, &session, "GET", &query[..1]).send().await.expect("an answer");
    assert!(get.bytes().await.expect("a body") == whole, "byte for byte");
    assert_eq!(progress().await, 0, "the next one begins anew");
    server.stop().await;
}

#[tokio::test]
async fn uploads_replace_append_or_create() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let put = async |mode: &str, id: &str, body: &'static str| {
        let query = [("path", "/tmp/f"), ("mode", mode), ("upload", id)];
        Reply::of(request(&server, &session, "PUT", &query).body(body).send().await.expect("an answer")).await
    };
    put("append", "a", "one ").await.ok();
    put("append", "b", "two ").await.ok();
    assert_eq!(put("append", "b", "two ").await.ok(), json!({ "size": 8 }), "said again, it is done once");
    put("append", "c", "three").await.ok();
    assert_eq!(read(&server, &session, "/tmp/f").await, "one two three");
    put("create_new", "d", "x").await.is_error(409, "InvalidFile.Exists", "/tmp/f");
    put("sideways", "e", "x").await.is_error(400, "InvalidParameter.Value", "mode");
    put("overwrite", "f", "new").await.ok();
    let query = [("path", "/tmp/g"), ("mode", "create_new"), ("upload", "g")];
    let created = request(&server, &session, "PUT", &query).body("made").send().await.expect("an answer");
    assert_eq!(Reply::of(created).await.ok(), json!({ "size": 4 }));
    assert_eq!(
        (read(&server, &session, "/tmp/f").await, read(&server, &session, "/tmp/g").await),
        ("new".into(), "made".into())
    );

    // How an upload ended is known, and one that was given up leaves nothing.
    let progress_of = async |path: &str, id: &str| {
        let url = format!("{}/files/progress", session.link_url);
        let query = [("path", path), ("upload", id)];
        let request = server.http.get(url).header("X-Access-Token", &session.token).query(&query);
        Reply::of(request.send().await.expect("an answer")).await.ok()
    };
    let progress = async |id: &str| progress_of("/tmp/f", id).await;
    assert_eq!(progress("b").await["completed"]["size"], 8);
    let spelled = format!("/tmp/{}f", "./".repeat(1000));
    assert_eq!(progress_of(&spelled, "b").await["completed"]["size"], 8, "however its path is written");
    let query = [("path", "/tmp/f"), ("upload", "given-up")];
    let part = request(&server, &session, "PUT", &query).header("Upload-Complete", "?0").body("part");
    Reply::of(part.send().await.expect("an answer")).await.ok();
    assert_eq!(progress("given-up").await, json!({ "offset": 4 }));
    let given_up = request(&server, &session, "DELETE", &query).send().await.expect("an answer");
    Reply::of(given_up).await.ok();
    assert_eq!(progress("given-up").await, json!({ "offset": 0 }));
    let listed = server.call(&session, "list_directory", json!({ "path": "/tmp" })).await;
    assert_eq!(listed.as_deref(), Ok("[FILE] f\n[FILE] g"));
    // Of a part that never came nothing goes on.
    let late = request(&server, &session, "PUT", &query).header("Upload-Offset", 4).body("late");
    Reply::of(late.send().await.expect("an answer")).await.is_error(409, "InvalidUpload.Offset", "0");
    server.stop().await;
}

#[tokio::test]
async fn states_of_a_file_are_told_apart_and_files_without_a_size_are_read() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let path = [("path", "/tmp/f")];
    let put = request(&server, &session, "PUT", &path).body("one").send().await.expect("an answer");
    let tag = put.headers()["etag"].clone();
    let get = async |tag: &reqwest::header::HeaderValue| {
        let get = request(&server, &session, "GET", &path).header("range", "bytes=1-").header("if-match", tag);
        get.send().await.expect("an answer")
    };
    assert_eq!(get(&tag).await.text().await.expect("a body"), "ne");
    request(&server, &session, "PUT", &path).body("two").send().await.expect("an answer");
    Reply::of(get(&tag).await).await.is_error(412, "InvalidFile.Changed", "read it from the beginning");
    let proc = request(&server, &session, "GET", &[("path", "/proc/uptime")]).header("range", "bytes=0-4194303");
    let proc = proc.send().await.expect("an answer");
    assert_eq!(proc.status(), 200);
    assert!(proc.text().await.expect("a body").contains('.'));
    server.stop().await;
}

#[tokio::test]
async fn bad_streams_are_refused_and_leave_nothing() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let args =
        json!({ "command": "mkdir dir; mkfifo pipe; ln -s /etc/passwd link; echo kept > f", "timeout_ms": 20_000 });
    server.call(&session, "shell", args).await.expect("made");
    for (method, query, status, code) in [
        ("GET", [("path", "none"), ("", "")], 404, "InvalidFile.NotFound"),
        ("GET", [("path", "/etc/shadow"), ("", "")], 404, "InvalidFile.NotFound"),
        ("GET", [("path", "link"), ("", "")], 404, "InvalidFile.NotFound"),
        ("GET", [("path", "pipe"), ("", "")], 409, "InvalidFile.Kind"),
        ("GET", [("nopath", ""), ("", "")], 400, "InvalidParameter.Missing"),
        ("GET", [("path", ""), ("", "")], 400, "InvalidParameter.Value"),
        ("PUT", [("path", "no/such/folder"), ("", "")], 404, "InvalidFile.NotFound"),
        ("PUT", [("path", "/usr/x"), ("", "")], 403, "InvalidFile.ReadOnly"),
        ("PUT", [("path", "/proc/1/mem"), ("", "")], 404, "InvalidFile.NotFound"),
        ("PUT", [("path", "link"), ("", "")], 404, "InvalidFile.NotFound"),
        ("PUT", [("path", "dir"), ("", "")], 409, "InvalidFile.Kind"),
        ("PUT", [("path", "pipe"), ("", "")], 409, "InvalidFile.Kind"),
        ("PUT", [("path", "f"), ("upload", "../x")], 400, "InvalidParameter.Value"),
    ] {
        let answer = request(&server, &session, method, &query).body("x").send().await.expect("an answer");
        Reply::of(answer).await.is_error(status, code, "");
    }
    let far = request(&server, &session, "GET", &[("path", "f")]).header("range", "bytes=99-");
    assert_eq!(far.send().await.expect("an answer").status(), 416);
    let odd = request(&server, &session, "PUT", &[("path", "f")]).header("Upload-Offset", "x").body("x");
    Reply::of(odd.send().await.expect("an answer")).await.is_error(400, "InvalidParameter.Value", "Upload-Offset");
    let stranger = server.http.put(format!("{}/files", session.link_url)).query(&[("path", "f")]).body("x");
    Reply::of(stranger.send().await.expect("an answer")).await.is_error(401, "InvalidAccessToken.Missing", "token");
    assert_eq!(read(&server, &session, "f").await, "kept\n");
    let listed = server.call(&session, "list_directory", json!({ "path": "." })).await.expect("a list");
    assert!(!listed.contains(".agb-"), "{listed}");
    server.stop().await;
}

#[tokio::test]
async fn metrics_tell_what_a_session_uses() {
    let server = TestServer::with(|config| config.sandbox.disk = 1 << 30).await;
    let session = server.create().await;
    let metrics = async || {
        let text = server.call(&session, "get_metrics", json!({})).await.expect("metrics");
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let number = |metrics: &Value, name: &str| metrics[name].as_f64().unwrap_or_else(|| panic!("{name} in {metrics}"));
    let before = metrics().await;
    for name in ["cpu_count", "mem_total", "disk_total"] {
        assert!(number(&before, name) > 0.0, "{name} in {before}");
    }
    for name in ["rx_rate_kbyte_per_s", "tx_rate_kbyte_per_s", "rx_used_kbyte", "tx_used_kbyte"] {
        assert_eq!(number(&before, name), 0.0, "no network: {before}");
    }
    assert!(before["timestamp"].as_str().is_some_and(|time| time.ends_with('Z')), "{before}");
    let code = "held = b'x' * (64 << 20)\nopen('/tmp/f', 'wb').write(b'x' * (8 << 20))\nimport time\nbegin = time.process_time()\nwhile time.process_time() - begin < 0.3: pass";
    let run = server.run_code(&session, "python", code).await;
    assert!(run["executionError"].is_null(), "{run}");
    let after = metrics().await;
    assert!(number(&after, "mem_used") - number(&before, "mem_used") > f64::from(60 << 20), "{before} {after}");
    assert!(number(&after, "disk_used") - number(&before, "disk_used") >= f64::from(8 << 20), "{before} {after}");
    assert!(number(&after, "disk_total") == f64::from(1 << 30) && number(&after, "cpu_used_pct") > 0.0, "{after}");
    assert!(
        number(&after, "cpu_used_pct") <= 100.0 && number(&after, "mem_used") < number(&after, "mem_total"),
        "{after}"
    );
    server.stop().await;
}

#[tokio::test]
async fn what_calls_write_counts_as_what_programs_write() {
    let server = TestServer::with(|config| {
        config.sandbox.disk = 3_000_000;
        config.sandbox.files = 60;
    })
    .await;
    let session = server.create().await;
    let put = async |path: &str, bytes: usize| {
        let request = request(&server, &session, "PUT", &[("path", path)]).body(vec![b'x'; bytes]);
        Reply::of(request.send().await.expect("an answer")).await
    };
    put("/tmp/large", 5_000_000).await.is_error(507, "InsufficientStorage", "--disk");
    // What came of it is gone, and that is seen as soon as it is counted again.
    let begin = Instant::now();
    while put("/tmp/small", 2_000_000).await.status != 200 {
        assert!(begin.elapsed() < PATIENCE, "it is counted anew");
    }
    put("/tmp/other", 2_000_000).await.is_error(507, "InsufficientStorage", "--disk");
    let write = async |mode: &str| {
        let args = json!({ "path": "text", "content": "x".repeat(2_000_000), "mode": mode });
        server.call(&session, "write_file", args).await
    };
    for mode in ["overwrite", "append", "create_new"] {
        assert!(write(mode).await.is_err_and(|error| error.contains("--disk")), "{mode}");
    }
    let deep = server.call(&session, "create_directory", json!({ "path": "d/".repeat(70) })).await;
    assert!(deep.is_err_and(|error| error.contains("--files")));
    assert_eq!(server.call(&session, "list_directory", json!({ "path": "/tmp" })).await.as_deref(), Ok("[FILE] small"));
    // Room that was made is seen.
    server.call(&session, "delete_file", json!({ "path": "/tmp/small" })).await.expect("it is there");
    let begin = Instant::now();
    while write("overwrite").await.is_err() {
        assert!(begin.elapsed() < PATIENCE, "it is counted anew");
    }
    server.stop().await;
}

/// What a program leaves at a path is an answer of its own, and no defect of the server's.
#[tokio::test]
async fn what_is_no_file_is_told_as_that() {
    let server = TestServer::start().await;
    let session = server.create().await;
    // A lease, which would hold up whoever opens its file, is refused inside of a sandbox.
    let code = "import os, shutil, socket, subprocess\n\
        s = socket.socket(socket.AF_UNIX); s.bind('socket'); os.mkfifo('pipe'); os.symlink('b', 'a'); os.symlink('a', 'b')\n\
        os.symlink('/etc/passwd', 'out'); shutil.copy('/bin/sleep', 'busy'); p = subprocess.Popen(['./busy', '60'])";
    let run = server.run_code(&session, "python", code).await;
    assert!(run["executionError"].is_null(), "{run}");
    let long = "x".repeat(300);
    for (method, path, status, code) in [
        ("GET", "socket", 409, "InvalidFile.Kind"),
        ("PUT", "socket", 409, "InvalidFile.Kind"),
        ("GET", "pipe", 409, "InvalidFile.Kind"),
        ("PUT", "pipe", 409, "InvalidFile.Kind"),
        ("GET", "a", 409, "InvalidFile.Kind"),
        ("PUT", "a", 409, "InvalidFile.Kind"),
        ("PUT", "busy", 409, "InvalidFile.Kind"),
        ("GET", "out", 404, "InvalidFile.NotFound"),
        ("PUT", "out", 404, "InvalidFile.NotFound"),
        ("GET", &long, 400, "InvalidParameter.Value"),
        ("PUT", &long, 400, "InvalidParameter.Value"),
    ] {
        let answer = request(&server, &session, method, &[("path", path)]).body("x").send().await.expect("an answer");
        let reply = Reply::of(answer).await;
        assert_eq!((reply.status, &reply.body["code"]), (status, &json!(code)), "{method} {path}: {}", reply.body);
    }
    server.stop().await;
}

/// Whoever holds a transfer open holds nothing of a session that has gone.
#[tokio::test]
async fn a_release_ends_the_transfers_of_its_session() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let large = vec![7_u8; if is_one_hop_away() { 256 } else { 64 } << 20]; // more than sockets hold
    let put = request(&server, &session, "PUT", &[("path", "large")]).body(large.clone()).send().await;
    assert_eq!(put.expect("an answer").status(), 200);
    let mut get = request(&server, &session, "GET", &[("path", "large")]).send().await.expect("an answer");
    let query = [("path", "slow"), ("upload", "u")];
    let first = futures_util::stream::iter([Ok::<_, std::io::Error>(vec![7; 300_000])]);
    let body = reqwest::Body::wrap_stream(first.chain(futures_util::stream::pending()));
    let put = tokio::spawn(request(&server, &session, "PUT", &query).body(body).send());
    let progress = request(&server, &session, "GET", &query).build().expect("a request");
    let progress = progress.url().as_str().replace("/files?", "/files/progress?");
    let begin = Instant::now();
    loop {
        let answer = server.http.get(&progress).header("X-Access-Token", &session.token).send().await;
        let data = Reply::of(answer.expect("an answer")).await.ok();
        // As it arrives the rest may be too little to be written before more comes.
        if data["offset"].as_u64().is_some_and(|offset| offset > 0) {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "the upload does not begin");
        tokio::time::sleep(Duration::from_millis(20)).await; // fewer calls than the server's limit of them
    }
    server.release(&session).await;
    let put = tokio::time::timeout(PATIENCE, put).await.expect("it ends").expect("no panic");
    Reply::of(put.expect("an answer")).await.is_error(400, "InvalidMcpSession.NotFound", "released");
    let mut read = 0;
    while let Ok(Some(piece)) = get.chunk().await {
        read += piece.len();
    }
    assert!(read < large.len(), "all of a file that is gone was sent");
    server.stop().await;
}
