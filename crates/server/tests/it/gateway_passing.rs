//! What a gateway passes on: files, commands, input, contexts, labels, links, in front of a service with everything and
//! of one with part 1 of the wire alone.

use std::time::Duration;

use agb_client::agb_core::operations::files::WriteMode;
use agb_client::{CommandInfo, ListSessions, RunCommand, RunEvent, RunStatus, Session};
use futures_util::StreamExt;
use serde_json::json;
use tokio::time::timeout;

use crate::gateway::Pair;
use crate::support::{KEY, PATIENCE, Reply, TestServer, TestSession};

async fn in_front_of_everything() -> Pair {
    Pair::before(TestServer::start().await, |_| {}).await
}

fn has(session: &Session, name: &str) -> bool {
    session.data().extensions.iter().any(|known| known == name)
}

/// Text that shows where a piece is missing or comes twice.
fn numbered(bytes: usize) -> Vec<u8> {
    (0..).flat_map(|n: u32| format!("{n:>9}\n").into_bytes()).take(bytes).collect()
}

#[tokio::test]
async fn files_are_written_read_and_listed() {
    for pair in [in_front_of_everything().await, Pair::start().await] {
        let session = pair.session().await;
        let files = session.files();
        files.create_directory("/tmp/made").await.expect("made");
        files.write("/tmp/made/a.txt", "one\n", WriteMode::Overwrite).await.expect("written");
        files.write("/tmp/made/a.txt", "two\n", WriteMode::Append).await.expect("appended");
        assert_eq!(files.read("/tmp/made/a.txt").await.expect("read"), b"one\ntwo\n");
        let names: Vec<String> = files.list("/tmp/made").await.expect("a list").into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["a.txt"]);
        let missing = files.read("/tmp/made/none").await.expect_err("there is none");
        assert!(missing.to_string().contains("none"), "{missing}");
        // A program sees the same files: they are the upstream's.
        let run = session.code().run("print(open('/tmp/made/a.txt').read(), end='')", "python").await.expect("a run");
        assert_eq!(run.logs.stdout.concat(), "one\ntwo\n");
        pair.stop().await;
    }
}

#[tokio::test]
async fn a_file_goes_through_as_a_stream_in_parts() {
    let pair = in_front_of_everything().await;
    let session = pair.session().await;
    assert!(has(&session, "files") && has(&session, "fileWatch"), "{:?}", session.data().extensions);
    let bytes = numbered(9 << 20); // more than two parts
    let mut writer = session.files().write_stream("/tmp/large", WriteMode::Overwrite);
    for piece in bytes.chunks(1 << 20) {
        writer.write(piece).await.expect("taken");
    }
    let written = writer.finish().await.expect("written");
    assert_eq!(written.size, bytes.len() as u64);
    let mut reader = session.files().read_stream("/tmp/large", ..);
    let mut read = Vec::new();
    while let Some(piece) = timeout(PATIENCE, reader.next()).await.expect("in time").expect("read") {
        read.extend_from_slice(&piece);
    }
    assert!(read == bytes, "{} bytes came back", read.len());
    assert_eq!(reader.etag(), Some(written.etag.as_str()), "the tag is the upstream's");
    let mut part = session.files().read_stream("/tmp/large", 10..20);
    assert_eq!(part.next().await.expect("read").expect("bytes"), "        1\n");
    pair.stop().await;
}

#[tokio::test]
async fn the_files_of_a_page_are_the_upstreams() {
    let pair = in_front_of_everything().await;
    let created = pair.gateway.create().await;
    let token = pair.gateway.access(&created, json!({})).await;
    let reader = pair.gateway.access(&created, json!({ "scope": "read" })).await;
    let url = format!("{}/files?path=%2Ftmp%2Fa%20b", created.link_url);
    let http = &pair.gateway.http;
    let put = http.put(&url).header("X-Access-Token", &token).body("0123456789").send().await.expect("an answer");
    let tag = put.headers()["etag"].clone();
    assert_eq!(Reply::of(put).await.ok()["size"], 10);
    let ranged = http.get(&url).header("X-Access-Token", &token).header("range", "bytes=2-4");
    let ranged = ranged.send().await.expect("an answer");
    assert_eq!((ranged.status().as_u16(), &ranged.headers()["etag"]), (206, &tag));
    assert_eq!(ranged.headers()["content-range"], "bytes 2-4/10");
    assert_eq!(ranged.text().await.expect("text"), "234");
    let same = http.get(&url).header("X-Access-Token", &token).header("if-none-match", &tag);
    assert_eq!(same.send().await.expect("an answer").status(), 304);
    // Who only watches reaches no file, and the upstream's refusals come as they are.
    let refused = http.get(&url).header("X-Access-Token", &reader).send().await.expect("an answer");
    assert_eq!(refused.status(), 403);
    let none = format!("{}/files?path=%2Ftmp%2Fnone", created.link_url);
    let none = http.get(&none).header("X-Access-Token", &token).send().await.expect("an answer");
    Reply::of(none).await.is_error(404, "InvalidFile.NotFound", "none");
    let wrong = format!("{url}&upload=u1");
    let wrong = http.put(&wrong).header("X-Access-Token", &token).header("upload-offset", "5").body("x");
    Reply::of(wrong.send().await.expect("an answer")).await.is_error(409, "InvalidUpload.Offset", "0");
    pair.stop().await;

    // A service without the extension answers as it answers.
    let pair = Pair::start().await;
    let created = pair.gateway.create().await;
    let url = format!("{}/files?path=%2Ftmp%2Fa", created.link_url);
    let answer = pair.gateway.http.get(&url).header("X-Access-Token", &created.token).send().await.expect("an answer");
    Reply::of(answer).await.is_error(404, "InvalidPath.NotFound", "/files");
    pair.stop().await;
}

#[tokio::test]
async fn changes_of_files_are_told() {
    let pair = in_front_of_everything().await;
    let session = pair.session().await;
    let mut watch = session.files().follow("/tmp", false).await.expect("a watch");
    session.files().write("/tmp/new.txt", "x", WriteMode::Overwrite).await.expect("written");
    let change = timeout(PATIENCE, watch.next()).await.expect("in time").expect("told").expect("a change");
    assert_eq!((change.path.as_str(), change.kind.as_str()), ("/tmp/new.txt", "file"));
    watch.close().await.expect("closed");
    pair.stop().await;
}

#[tokio::test]
async fn a_command_is_followed_given_input_and_signalled() {
    let pair = in_front_of_everything().await;
    let session = pair.session().await;
    let code = "read line; echo \"got $line\"; echo err >&2; exit 3";
    let mut run = session.commands().run(code).stdin(true).cwd("/tmp").env("A", "1").stream().expect("a command");
    run.write("some input\n");
    let mut output = String::new();
    while let Some(event) = timeout(PATIENCE, run.next()).await.expect("in time") {
        if let RunEvent::Stdout(text) | RunEvent::Stderr(text) = event {
            output.push_str(&text);
        }
    }
    assert!(output.contains("got some input\n") && output.contains("err\n"), "{output}");
    let execution = run.finish().await;
    assert_eq!((execution.status, execution.exit_code), (RunStatus::Exited, Some(3)), "{execution:?}");

    let mut run = session.commands().run("echo begun; sleep 60").stream().expect("a command");
    while !matches!(timeout(PATIENCE, run.next()).await.expect("in time"), Some(RunEvent::Stdout(_))) {}
    let listed = session.commands().list().await.expect("a list");
    let ids: Vec<&CommandInfo> = listed.iter().filter(|command| command.id == run.id()).collect();
    assert_eq!((ids.len(), ids[0].status.as_str()), (1, "running"), "the ids are those to attach by: {listed:?}");
    run.control().kill("SIGTERM");
    let execution = timeout(PATIENCE, run.finish()).await.expect("in time");
    assert_eq!((execution.status, execution.exit_code), (RunStatus::Signalled, Some(143)), "{execution:?}");

    let mut terminal = session.commands().run("stty size; read x; stty size").pty(90, 20).stream().expect("a command");
    let mut shown = String::new();
    while let Some(event) = timeout(PATIENCE, terminal.next()).await.expect("in time") {
        let RunEvent::Stdout(text) = event else { continue };
        shown.push_str(&text);
        if shown.contains("20 90") && !shown.contains("30 100") {
            terminal.control().resize(100, 30);
            terminal.write("\n");
        }
    }
    assert!(shown.contains("20 90") && shown.contains("30 100"), "{shown:?}");
    pair.stop().await;
}

#[tokio::test]
async fn a_command_is_found_again_by_another_client() {
    let pair = in_front_of_everything().await;
    let session = pair.session().await;
    let code = "for n in 0 1 2 3 4 5 6 7 8 9; do echo $n; sleep 0.05; done";
    let mut run = session.commands().run(code).detached().stream().expect("a command");
    let id = run.id().to_owned();
    while !matches!(timeout(PATIENCE, run.next()).await.expect("in time"), Some(RunEvent::Stdout(_))) {}
    run.control().leave();
    drop(run);
    let again = pair.account(KEY).get(session.id()).await.expect("the session");
    let execution = timeout(PATIENCE, again.commands().attach(id, 0).stream().expect("the command").finish()).await;
    let execution = execution.expect("in time");
    let lines: String = (0..10).map(|n| format!("{n}\n")).collect();
    assert_eq!((execution.status, execution.logs.stdout.concat()), (RunStatus::Exited, lines));
    pair.stop().await;
}

#[tokio::test]
async fn a_service_without_commands_has_the_documented_one() {
    let pair = Pair::start().await;
    let session = pair.session().await;
    assert!(!has(&session, "command") && !has(&session, "files"), "{:?}", session.data().extensions);
    let output = session.execute(RunCommand::new("echo out; echo err >&2; exit 3")).await.expect("an answer");
    assert_eq!((output.exit_code, output.stdout.as_str()), (3, "out\n"), "{output:?}");
    assert!(session.commands().run("true").stream().is_err(), "nothing was sent");
    pair.stop().await;
}

#[tokio::test]
async fn a_program_gets_input_where_its_service_gives_it() {
    let pair = in_front_of_everything().await;
    let session = pair.session().await;
    assert!(has(&session, "stdin") && has(&session, "stdinSeq"), "{:?}", session.data().extensions);
    let code = "name = input('who? ')\nprint('hello', name)\ntry:\n    input()\nexcept EOFError:\n    print('no more')";
    let mut run = session.code().run(code, "python").stdin(true).stream().expect("a run");
    let mut asked = Vec::new();
    let mut output = String::new();
    while let Some(event) = timeout(PATIENCE, run.next()).await.expect("in time") {
        match event {
            RunEvent::InputRequest { prompt, .. } => {
                if asked.is_empty() {
                    run.write("Ada\n");
                } else {
                    run.control().end_input();
                }
                asked.push(prompt);
            }
            RunEvent::Stdout(text) => output.push_str(&text),
            _ => {}
        }
    }
    assert_eq!(asked, ["who? ", ""]);
    assert!(output.ends_with("hello Ada\nno more\n"), "{output:?}");
    pair.stop().await;
}

#[tokio::test]
async fn contexts_labels_lists_and_links_are_the_upstreams() {
    let pair = in_front_of_everything().await;
    let account = pair.account(KEY);
    let context = account.contexts().create("project").await.expect("a context");
    let there = pair.upstream.get("/sdk/GetContext", &[("name", "project")]).await.ok();
    assert_eq!(there["id"], context.id, "{there}");
    let session = pair.session().await;
    session.set_labels([("team", "blue")]).await.expect("labelled");
    assert_eq!(session.labels().await.expect("labels"), [("team".to_owned(), "blue".to_owned())]);
    let listed = ListSessions { labels: vec![("team".to_owned(), "blue".to_owned())], ..ListSessions::default() };
    let page = account.list(&listed).await.expect("a page");
    assert_eq!(format!("{page:?}").matches(session.id()).count(), 1, "{page:?}");

    let server = "import http.server, threading\n\
        class Handler(http.server.BaseHTTPRequestHandler):\n    \
            def do_GET(self):\n        \
                self.send_response(200); self.end_headers(); self.wfile.write(b'from the session')\n    \
            def log_message(self, *args): pass\n\
        server = http.server.HTTPServer(('127.0.0.1', 30177), Handler)\n\
        threading.Thread(target=server.serve_forever, daemon=True).start()";
    assert!(session.code().run(server, "python").await.expect("a run").success);
    let link = session.link(Some("http".to_owned()), Some(30_177)).await.expect("a link");
    assert!(link.contains(&pair.upstream.address.to_string()), "{link} is the upstream's own");
    let page = pair.gateway.http.get(&link).send().await.expect("an answer").text().await.expect("text");
    assert_eq!(page, "from the session");
    session.keep_alive().await.expect("kept");
    account.contexts().delete(&context.id).await.expect("deleted");
    pair.stop().await;
}

#[tokio::test]
async fn nothing_of_a_session_is_told_to_a_key_that_did_not_take_it_up() {
    let pair = in_front_of_everything().await;
    let session = pair.session().await;
    let run = session.commands().run("sleep 60").stream().expect("a command");
    let asked = json!({ "sessionId": session.id(), "name": "list_commands", "args": {} });
    let stranger = pair.gateway.http.post(pair.gateway.url("/mcp")).bearer_auth("made-up").json(&asked);
    let stranger = Reply::of(stranger.send().await.expect("an answer")).await;
    stranger.is_error(401, "InvalidApiKey.NotFound", "");
    let listed = pair.gateway.post("/mcp", asked).await.ok();
    assert!(listed.to_string().contains(run.id()), "{listed}");
    drop(run);
    pair.stop().await;
}

#[tokio::test]
async fn an_upload_that_stalls_is_given_up() {
    let pair = Pair::before(TestServer::start().await, |config| {
        config.limits.read_timeout = Duration::from_millis(300);
    })
    .await;
    let created: TestSession = pair.gateway.create().await;
    let url = format!("{}/files?path=%2Ftmp%2Fstalled", created.link_url);
    let pieces =
        futures_util::stream::once(async { Ok::<_, std::io::Error>("begun") }).chain(futures_util::stream::pending());
    let put = pair.gateway.http.put(&url).header("X-Access-Token", &created.token);
    let answer = put.body(reqwest::Body::wrap_stream(pieces)).send().await.expect("an answer");
    assert_eq!(answer.status(), 502, "{}", answer.text().await.unwrap_or_default());
    pair.stop().await;
}

#[tokio::test]
async fn what_strangers_send_is_bounded_together() {
    let pair = Pair::with(|config| config.limits.session_buffers = 256 << 10).await;
    let ask = |command: String| {
        let body = json!({ "sessionId": "none", "name": "shell", "args": { "command": command } });
        pair.gateway.post("/mcp", body)
    };
    // Nobody knows yet whether the key is good.
    ask("x".repeat(300 << 10)).await.is_error(429, "LimitExceeded.Buffers", "--session-buffers");
    ask("x".to_owned()).await.is_error(400, "InvalidMcpSession.NotFound", "none");
    let session = pair.session().await;
    ask("x".repeat(300 << 10)).await.is_error(400, "InvalidMcpSession.NotFound", "none");
    drop(session);
    pair.stop().await;
}

#[tokio::test]
async fn a_tools_arguments_and_answers_cost_what_they_weigh() {
    let pair = Pair::with(|config| config.limits.session_buffers = 4 << 20).await;
    let created = pair.gateway.create().await;
    let write = |content: String, more: serde_json::Value| json!({ "path": "/tmp/a", "content": content, "x": more });
    let call = |tool: &'static str, args: serde_json::Value| {
        let token = pair.gateway.http.post(format!("{}/callTool", created.link_url));
        let asked = token.header("X-Access-Token", &created.token).json(&json!({ "tool": tool, "args": args }));
        async { Reply::of(asked.send().await.expect("an answer")).await }
    };
    // As a tree this would be a hundred times as much.
    let nested = vec![json!({ "": 0 }); 100_000];
    call("write_file", write("y".repeat(1 << 20), json!(nested))).await.ok();
    let read = call("read_file", json!({ "path": "/tmp/a" })).await.ok();
    assert!(read.to_string().contains(&"y".repeat(1 << 20)));
    for _ in 0..3 {
        call("shell", json!({ "command": "cat /tmp/a /tmp/a > /tmp/b; mv /tmp/b /tmp/a", "timeout_ms": 20_000 }))
            .await
            .ok();
    }
    // There is no room for it here, however much the upstream has. The tool has run, so nobody is told to send it again.
    let read = call("read_file", json!({ "path": "/tmp/a" })).await;
    read.is_error(502, "LimitExceeded.Answer", "--session-buffers");
    let read = call("read_file", json!({ "path": "/tmp/a", "length": 1000 })).await.ok();
    assert!(read.to_string().contains("yyy"));
    pair.stop().await;
}
