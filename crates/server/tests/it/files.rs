//! The file tools.

use serde_json::{Value, json};

use crate::support::{TestServer, TestSession};

/// A server, a session, and short calls.
struct Files {
    server: TestServer,
    session: TestSession,
}

impl Files {
    async fn start() -> Self {
        let server = TestServer::start().await;
        let session = server.create().await;
        Self { server, session }
    }

    async fn ok(&self, tool: &str, args: Value) -> String {
        self.server.call(&self.session, tool, args).await.unwrap_or_else(|error| panic!("{tool}: {error}"))
    }

    #[track_caller]
    fn error(&self, tool: &'static str, args: Value, part: &'static str) -> impl Future<Output = ()> {
        let call = self.server.call(&self.session, tool, args);
        async move {
            let error = call.await.expect_err("an error");
            assert!(error.contains(part), "{error:?} does not contain {part:?}");
        }
    }
}

#[tokio::test]
async fn files_are_written_read_listed_moved_and_deleted() {
    let files = Files::start().await;
    files.ok("create_directory", json!({ "path": "a/b" })).await;
    files.ok("write_file", json!({ "path": "a/x.txt", "content": "one\n" })).await;
    files.ok("write_file", json!({ "path": "a/x.txt", "content": "two\n", "mode": "append" })).await;
    assert_eq!(files.ok("read_file", json!({ "path": "a/x.txt" })).await, "one\ntwo\n");
    files.ok("write_file", json!({ "path": "a/x.txt", "content": "three\n", "mode": "overwrite" })).await;
    assert_eq!(files.ok("read_file", json!({ "path": "./a/../a/x.txt" })).await, "three\n");
    files
        .error("write_file", json!({ "path": "a/x.txt", "content": "", "mode": "create_new" }), "exists already")
        .await;
    files.ok("write_file", json!({ "path": "a/new", "content": "", "mode": "create_new" })).await;
    files.error("write_file", json!({ "path": "a/x.txt", "content": "", "mode": "w" }), "overwrite, append").await;
    files.error("write_file", json!({ "path": "no/x.txt", "content": "" }), "does not exist").await;

    assert_eq!(files.ok("list_directory", json!({ "path": "a" })).await, "[DIR] b\n[FILE] new\n[FILE] x.txt");
    let info = files.ok("get_file_info", json!({ "path": "a/x.txt" })).await;
    for line in ["size: 6", "isDirectory: false", "isFile: true", "modified: 2"] {
        assert!(info.contains(line), "{info}");
    }
    assert!(files.ok("get_file_info", json!({ "path": "a" })).await.contains("isDirectory: true"));
    files.ok("move_file", json!({ "source": "a/x.txt", "destination": "y.txt" })).await;
    files.error("move_file", json!({ "source": "y.txt", "destination": "a/new" }), "exists already").await;
    files.error("move_file", json!({ "source": "a/x.txt", "destination": "z" }), "does not exist").await;
    for directory in ["a", "a/b"] {
        files.error("delete_file", json!({ "path": directory }), "a directory").await;
    }
    files.error("delete_file", json!({ "path": "." }), "working directory").await;
    files.ok("delete_file", json!({ "path": "y.txt" })).await;
    files.error("read_file", json!({ "path": "y.txt" }), "not found: it does not exist").await;
    files.error("read_file", json!({ "path": "a" }), "a directory").await;
    files.server.stop().await;
}

#[tokio::test]
async fn programs_and_tools_see_the_same_files() {
    let files = Files::start().await;
    files.ok("write_file", json!({ "path": "in.txt", "content": "from a tool" })).await;
    let code =
        "import os\nprint(open('in.txt').read())\nopen('out.txt','w').write('from a program')\nprint(os.getcwd())";
    let answer = files.server.run_code(&files.session, "python", code).await;
    let output = answer["stdout"].as_array().expect("chunks").iter().filter_map(Value::as_str).collect::<String>();
    let (first, folder) = output.trim_end().split_once('\n').expect("two lines");
    assert_eq!(first, "from a tool");
    assert_eq!(files.ok("read_file", json!({ "path": format!("{folder}/out.txt") })).await, "from a program");
    let answer = files.server.run_code(&files.session, "js", "require('fs').readFileSync('out.txt', 'utf8')").await;
    assert!(answer["result"][0]["text/plain"].as_str().expect("a text").contains("from a program"), "{answer}");
    files.server.stop().await;
}

#[tokio::test]
async fn the_parts_of_a_text_are_the_text_and_binary_is_base64() {
    let files = Files::start().await;
    let text = "aé€😀".repeat(50);
    files.ok("write_file", json!({ "path": "t", "content": text })).await;
    for length in 1..12 {
        let mut all = String::new();
        for offset in (0..text.len()).step_by(length) {
            all += &files.ok("read_file", json!({ "path": "t", "offset": offset, "length": length })).await;
        }
        assert_eq!(all, text, "in parts of {length} bytes");
    }
    let code = "open('b', 'wb').write(bytes(range(256)))";
    files.server.run_code(&files.session, "python", code).await;
    let base64 = files.ok("read_file", json!({ "path": "b", "format": "binary", "offset": 250, "length": 100 })).await;
    assert_eq!(base64, "+vv8/f7/");
    assert_eq!(files.ok("read_file", json!({ "path": "b", "offset": 1000 })).await, "");
    files.error("read_file", json!({ "path": "b", "format": "hex" }), "text or binary").await;
    files.error("read_file", json!({ "path": "b", "offset": -1 }), "whole number").await;
    files.server.stop().await;
}

#[tokio::test]
async fn edits_are_applied_in_order_or_only_shown() {
    let files = Files::start().await;
    files.ok("write_file", json!({ "path": "f", "content": "a\nb\nc\n" })).await;
    let edits = json!([{ "oldText": "b", "newText": "B" }, { "oldText": "B\nc", "newText": "B\nC" }]);
    let diff = files.ok("edit_file", json!({ "path": "f", "edits": edits, "dryRun": true })).await;
    assert!(diff.contains("-b\n") && diff.contains("+B\n"), "{diff}");
    assert_eq!(files.ok("read_file", json!({ "path": "f" })).await, "a\nb\nc\n");
    files.ok("edit_file", json!({ "path": "f", "edits": edits })).await;
    assert_eq!(files.ok("read_file", json!({ "path": "f" })).await, "a\nB\nC\n");
    files.error("edit_file", json!({ "path": "f", "edits": edits }), "edit 1 is not in").await;
    for bad in [json!([]), json!("x"), json!([{ "oldText": "", "newText": "x" }]), json!([{ "oldText": "x" }])] {
        files.error("edit_file", json!({ "path": "f", "edits": bad }), "a list of objects").await;
    }
    let many = vec![json!({ "oldText": "a", "newText": "a" }); 201];
    files.ok("edit_file", json!({ "path": "f", "edits": many[1..] })).await;
    files.error("edit_file", json!({ "path": "f", "edits": many }), "200 at most").await;
    files.ok("search_files", json!({ "path": ".", "pattern": "f", "excludePatterns": vec!["x"; 200] })).await;
    let many = json!({ "path": ".", "pattern": "f", "excludePatterns": vec!["x"; 201] });
    files.error("search_files", many, "excludePatterns would be more than 200").await;
    files.server.stop().await;
}

#[tokio::test]
async fn several_files_at_once_and_searching() {
    let files = Files::start().await;
    for path in ["a.py", "b.txt", "lib/c.py", "lib/deep/d.py", "skip/e.py"] {
        if let Some((folder, _)) = path.rsplit_once('/') {
            files.ok("create_directory", json!({ "path": folder })).await;
        }
        files.ok("write_file", json!({ "path": path, "content": format!("in {path}") })).await;
    }
    let read = files.ok("read_multiple_files", json!({ "paths": ["a.py", "nope", "lib/c.py"] })).await;
    assert!(
        read.contains("a.py:\nin a.py\n\n---\nnope: Error - ") && read.ends_with("lib/c.py:\nin lib/c.py\n"),
        "{read}"
    );
    files.error("read_multiple_files", json!({ "paths": [] }), "paths").await;
    // One that is too large leaves the others theirs.
    files.ok("shell", json!({ "command": "truncate -s 17M large", "timeout_ms": 20_000 })).await;
    let read = files.ok("read_multiple_files", json!({ "paths": ["a.py", "large", "b.txt"] })).await;
    assert!(read.starts_with("a.py:\nin a.py\n\n---\nlarge: Error - the answer would be more than 167"), "{read}");
    assert!(read.ends_with("\n\n---\nb.txt:\nin b.txt\n"), "{read}");
    files
        .error("edit_file", json!({ "path": "large", "edits": [{ "oldText": "a", "newText": "b" }] }), "a program")
        .await;

    let search = |path: &'static str, pattern: &'static str, exclude: &'static [&'static str]| {
        files.ok("search_files", json!({ "path": path, "pattern": pattern, "excludePatterns": exclude }))
    };
    assert_eq!(search(".", "*.py", &["skip"]).await, "a.py\nlib/c.py\nlib/deep/d.py");
    assert_eq!(search("lib", "**/d.*", &[]).await, "lib/deep/d.py");
    assert_eq!(search(".", "B.T", &[]).await, "b.txt");
    assert_eq!(search(".", "*.rs", &[]).await, "No matches found");
    files.error("search_files", json!({ "path": ".", "pattern": "[" }), "glob pattern").await;
    files.error("search_files", json!({ "path": "none", "pattern": "*" }), "does not exist").await;
    files.server.stop().await;
}

#[tokio::test]
async fn changes_are_told_once() {
    let files = Files::start().await;
    files.ok("write_file", json!({ "path": "old", "content": "1" })).await;
    files.ok("write_file", json!({ "path": "gone", "content": "1" })).await;
    let changes = || async {
        let text = files.ok("get_file_change", json!({ "path": "." })).await;
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    assert_eq!(changes().await, json!([]), "the comparison begins here");
    files.ok("write_file", json!({ "path": "old", "content": "12" })).await;
    files.ok("delete_file", json!({ "path": "gone" })).await;
    files.ok("create_directory", json!({ "path": "new" })).await;
    let told = |kind: &str, path: &str, what: &str| json!({ "eventType": kind, "path": path, "pathType": what });
    let expected = json!([
        told("create", "./new", "directory"),
        told("modify", "./old", "file"),
        told("delete", "./gone", "file")
    ]);
    assert_eq!(changes().await, expected);
    assert_eq!(changes().await, json!([]));
    files.server.stop().await;
}

#[tokio::test]
async fn nothing_outside_is_reached() {
    let files = Files::start().await;
    let code = "import os\nos.symlink('/etc', 'etc')\nos.symlink('/etc/passwd', 'passwd')\nos.symlink('..', 'up')\nos.mkfifo('pipe')";
    files.server.run_code(&files.session, "python", code).await;
    for path in ["/etc/passwd", "../../x", "etc/passwd", "passwd", "up/x", "a/../../x", "/"] {
        let outside = "outside of the session's working directory";
        files.error("read_file", json!({ "path": path }), outside).await;
        files.error("write_file", json!({ "path": path, "content": "x", "mode": "append" }), outside).await;
        files.error("edit_file", json!({ "path": path, "edits": [{ "oldText": "a", "newText": "b" }] }), outside).await;
        files.error("search_files", json!({ "path": path, "pattern": "*" }), "").await;
        let inside =
            files.server.call(&files.session, "move_file", json!({ "source": path, "destination": "stolen" })).await;
        // The links themselves are inside and may be moved; what they point to is not.
        assert!(inside.is_err() || path == "passwd", "{path}: {inside:?}");
    }
    files.error("list_directory", json!({ "path": "etc" }), "outside").await;
    files.error("create_directory", json!({ "path": "etc/x" }), "outside").await;
    files.error("create_directory", json!({ "path": "/x" }), "outside").await;
    files.error("delete_file", json!({ "path": "up/work" }), "outside").await;
    files.error("shell", json!({ "command": "true", "cwd": "etc" }), "outside").await;
    files.error("read_file", json!({ "path": "" }), "not a path").await;
    files.error("read_file", json!({ "path": "a\0b" }), "not a path").await;
    files.error("read_file", json!({ "path": 3 }), "must be a text").await;
    files.error("read_file", json!({}), "read_file needs path").await;
    // A pipe would block for ever.
    files.error("read_file", json!({ "path": "pipe" }), "not a regular file").await;
    files.error("write_file", json!({ "path": "pipe", "content": "x" }), "pipe").await;
    assert!(std::path::Path::new("/etc/passwd").exists());
    files.server.stop().await;
}

/// A program exchanges a folder for a link to elsewhere, again and again, while the tools use what is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_takes_a_folders_place_leads_no_tool_out() {
    let files = Files::start().await;
    let outside = tempfile::tempdir().expect("a folder");
    let secret = outside.path().join("file");
    std::fs::write(&secret, "outside").expect("it is ours");
    let open = |path: &std::path::Path| {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("it is ours");
    };
    open(outside.path());
    open(&secret);
    let code = format!(
        "import os\nos.mkdir('real')\nopen('real/file', 'w').write('inside')\nprint('on', flush=True)\n\
         while not os.path.exists('stop'):\n    os.rename('real', 'd')\n    os.rename('d', 'real')\n    \
         os.symlink({:?}, 'd')\n    os.unlink('d')",
        outside.path()
    );
    let mut socket = files.session.connect().await;
    socket.start_with("race", json!({ "language": "python", "timeoutS": 600, "code": code })).await;
    while socket.event().await.1["chunk"].is_null() {}
    let (mut inside, mut refused) = (0, 0);
    for round in 0..200 {
        let call = |tool: &'static str, args: Value| files.server.call(&files.session, tool, args);
        for answer in [
            call("read_file", json!({ "path": "d/file" })).await,
            call("write_file", json!({ "path": "d/file", "content": format!("inside {round}") })).await,
            call("list_directory", json!({ "path": "d" })).await,
            call("move_file", json!({ "source": "d/file", "destination": "d/again" })).await,
            call("move_file", json!({ "source": "d/again", "destination": "d/file" })).await,
        ] {
            match answer {
                Ok(text) => {
                    inside += 1;
                    assert!(!text.contains("outside"), "{text}");
                }
                Err(_) => refused += 1,
            }
        }
        assert_eq!(std::fs::read_to_string(&secret).expect("it is there still"), "outside");
    }
    println!("{inside} calls met the folder, {refused} were refused");
    assert!(inside + refused == 1000 && refused > 0);
    files.ok("write_file", json!({ "path": "stop", "content": "" })).await;
    let end = socket.until_end().await;
    assert!(end.last().is_some_and(|end| end["executionError"].is_null()), "{end:?}");
    files.server.stop().await;
}
