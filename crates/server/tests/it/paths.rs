//! Paths of file tools and commands: what a program of the session sees under them.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{TestServer, TestSession};

async fn ok(server: &TestServer, session: &TestSession, tool: &str, args: Value) -> String {
    server.call(session, tool, args.clone()).await.unwrap_or_else(|error| panic!("{tool} {args}: {error}"))
}

async fn fails(server: &TestServer, session: &TestSession, tool: &str, args: Value, part: &str) {
    let error = server.call(session, tool, args.clone()).await.expect_err("an error");
    assert!(error.contains(part), "{tool} {args}: {error:?} does not contain {part:?}");
}

async fn shell(server: &TestServer, session: &TestSession, command: &str, cwd: Option<&str>) -> Value {
    let args = json!({ "command": command, "cwd": cwd, "timeout_ms": 20_000 });
    serde_json::from_str(&ok(server, session, "shell", args).await).expect("JSON")
}

#[tokio::test]
async fn tools_programs_and_commands_share_tmp_and_home() {
    let server = TestServer::start().await;
    let session = server.create().await;
    for path in ["/tmp/a/x.txt", "/home/user/b/x.txt", "c/x.txt"] {
        let (folder, _) = path.rsplit_once('/').expect("a folder");
        fails(&server, &session, "write_file", json!({ "path": path, "content": "x" }), "not found").await;
        ok(&server, &session, "create_directory", json!({ "path": format!("{folder}/") })).await;
        ok(&server, &session, "write_file", json!({ "path": path, "content": "one\n" })).await;
        ok(&server, &session, "write_file", json!({ "path": path, "content": "two\n", "mode": "append" })).await;
        assert_eq!(ok(&server, &session, "read_file", json!({ "path": path })).await, "one\ntwo\n");
        let seen = shell(&server, &session, "cat x.txt; pwd", Some(folder)).await;
        let inside = if folder.starts_with('/') { folder.to_owned() } else { format!("/home/user/{folder}") };
        let output = seen["stdout"].as_str().expect("a text");
        // Without namespaces a session's folders are elsewhere, and commands know them by other names.
        let told = output.strip_prefix("one\ntwo\n").unwrap_or_else(|| panic!("{seen}"));
        assert!(told.trim_end() == inside || std::env::var_os("AGB_TEST_ISOLATION").is_some(), "{seen}");
        assert_eq!(ok(&server, &session, "list_directory", json!({ "path": folder })).await, "[FILE] x.txt");
        assert_eq!(
            ok(&server, &session, "search_files", json!({ "path": folder, "pattern": "*.txt" })).await,
            format!("{folder}/x.txt")
        );
    }
    ok(&server, &session, "move_file", json!({ "source": "/tmp/a/x.txt", "destination": "/home/user/moved" })).await;
    let code = "print(open('moved').read())";
    let ran = server.run_code(&session, "python", code).await;
    let chunks = ran["stdout"].as_array().expect("chunks").iter().filter_map(|chunk| chunk.as_str());
    assert_eq!(chunks.collect::<String>(), "one\ntwo\n\n");
    // Whatever fails names what it failed for.
    let to = |source: &str, destination: &str| json!({ "source": source, "destination": destination });
    fails(&server, &session, "move_file", to("moved", "/tmp/none/moved"), "none/moved\" not found").await;
    fails(&server, &session, "move_file", to("/tmp/a", "/tmp/a/within"), "\"/tmp/a/within\" is within").await;
    fails(&server, &session, "create_directory", json!({ "path": "moved" }), "\"moved\" exists already").await;
    shell(&server, &session, "mkfifo pipe; ln -s ring circle; ln -s circle ring", None).await;
    for mode in ["overwrite", "append"] {
        let write = |path: &str| json!({ "path": path, "content": "x", "mode": mode });
        fails(&server, &session, "write_file", write("pipe"), "not a regular file").await;
        fails(&server, &session, "write_file", write("circle"), "in a circle").await;
    }
    for path in ["/tmp", "/tmp/", "/home/user", "."] {
        fails(&server, &session, "delete_file", json!({ "path": path }), "goes with its session").await;
    }
    server.stop().await;
}

#[tokio::test]
async fn the_systems_files_can_be_read_and_not_changed() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let listed = ok(&server, &session, "list_directory", json!({ "path": "/usr/bin" })).await;
    assert!(listed.lines().any(|line| line == "[FILE] env"), "{} lines", listed.lines().count());
    let info = ok(&server, &session, "get_file_info", json!({ "path": "/bin/sh" })).await;
    assert!(info.contains("name: sh\npath: /bin/sh\ntype: file\nowner: root\n"), "{info}");
    let release = ok(&server, &session, "read_file", json!({ "path": "/etc/os-release" })).await;
    assert!(release.contains("NAME="), "{release}");
    // It says that its size is zero.
    let memory = ok(&server, &session, "read_file", json!({ "path": "/proc/meminfo" })).await;
    assert!(memory.starts_with("MemTotal:"), "{memory}");
    for path in ["/usr/bin/env", "/etc/os-release", "/proc/meminfo", "/bin/new"] {
        for (tool, args) in [
            ("write_file", json!({ "path": path, "content": "x" })),
            ("delete_file", json!({ "path": path })),
            ("create_directory", json!({ "path": path })),
            ("move_file", json!({ "source": path, "destination": "mine" })),
        ] {
            fails(&server, &session, tool, args, "cannot be changed").await;
        }
    }
    for path in ["/etc/shadow", "/root/.ssh", "/proc/1/environ", "/proc/self/environ", "/sys/kernel", "/home/other"] {
        fails(&server, &session, "read_file", json!({ "path": path }), "not found").await;
        fails(&server, &session, "list_directory", json!({ "path": path }), "not found").await;
    }
    fails(&server, &session, "read_file", json!({ "path": "/usr/none" }), "not found").await;
    // What is above these has only them.
    for (path, line) in [
        ("/", "[DIR] tmp"),
        ("/", "[DIR] usr"),
        ("/home", "[DIR] user"),
        ("/var/", "[DIR] tmp"),
        ("/etc", "[FILE] os-release"),
        ("/proc", "[FILE] meminfo"),
    ] {
        let listed = ok(&server, &session, "list_directory", json!({ "path": path })).await;
        assert!(listed.lines().any(|found| found == line), "{path}: {listed}");
        assert!(!listed.contains("shadow") && !listed.contains("root") && !listed.contains("self"), "{path}: {listed}");
        let info = ok(&server, &session, "get_file_info", json!({ "path": path })).await;
        assert!(info.contains("type: directory\nowner: root\n"), "{path}: {info}");
        fails(&server, &session, "read_file", json!({ "path": path }), "not found").await;
        fails(&server, &session, "write_file", json!({ "path": path, "content": "x" }), "not found").await;
    }
    server.stop().await;
}

/// A link leads a tool where it leads a program, also from one place to another.
#[tokio::test]
async fn links_lead_tools_where_they_lead_programs() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let make = "mkdir -p /tmp/data/below && echo found > /tmp/data/file && ln -s \"$(cd /tmp/data && pwd -P)\" absolute \
                && ln -s absolute beside && ln -s /usr/bin/env program && ln -s /etc/shadow out && ln -s / root \
                && ln -s \"$PWD/absolute/file\" again && ln -s \"$(cd /tmp && pwd -P)/to-come\" to-come";
    assert_eq!(shell(&server, &session, make, None).await["exit_code"], 0);
    for path in ["absolute/file", "beside/file", "again", "/home/user/absolute/below/../file"] {
        assert_eq!(ok(&server, &session, "read_file", json!({ "path": path })).await, "found\n", "{path}");
    }
    assert_eq!(
        ok(&server, &session, "list_directory", json!({ "path": "absolute" })).await,
        "[DIR] below\n[FILE] file"
    );
    let found = ok(&server, &session, "search_files", json!({ "path": "absolute", "pattern": "file" })).await;
    assert_eq!(found, "absolute/file");
    assert_eq!(shell(&server, &session, "cat file", Some("beside")).await["stdout"], "found\n");
    let info = ok(&server, &session, "get_file_info", json!({ "path": "absolute" })).await;
    for line in ["name: absolute\n", "isDirectory: true\n", "isSymbolicLink: true\n"] {
        assert!(info.contains(line), "{info}");
    }
    ok(&server, &session, "write_file", json!({ "path": "absolute/file", "content": "written" })).await;
    ok(&server, &session, "edit_file", json!({ "path": "again", "edits": [{ "oldText": "w", "newText": "W" }] })).await;
    ok(&server, &session, "create_directory", json!({ "path": "beside/made" })).await;
    ok(&server, &session, "write_file", json!({ "path": "to-come", "content": "come" })).await;
    let seen =
        shell(&server, &session, "cat /tmp/data/file /tmp/to-come; ls -d /tmp/data/made; readlink to-come", None);
    let seen = seen.await["stdout"].as_str().expect("a text").to_owned();
    assert!(seen.starts_with("Writtencome/tmp/data/made\n") && seen.ends_with("/to-come\n"), "{seen}");
    // The system's files stay the system's, and what nobody sees is not there.
    assert!(ok(&server, &session, "get_file_info", json!({ "path": "program" })).await.contains("isFile: true"));
    fails(&server, &session, "write_file", json!({ "path": "program", "content": "x" }), "outside").await;
    for path in ["out", "root", "root/root/.bashrc", "root/etc/shadow"] {
        fails(&server, &session, "read_file", json!({ "path": path }), "outside").await;
        fails(&server, &session, "write_file", json!({ "path": path, "content": "x" }), "").await;
    }
    // A link is moved and deleted itself.
    ok(&server, &session, "move_file", json!({ "source": "absolute", "destination": "/tmp/data/below/link" })).await;
    ok(&server, &session, "delete_file", json!({ "path": "/tmp/data/below/link" })).await;
    ok(&server, &session, "delete_file", json!({ "path": "out" })).await;
    assert_eq!(ok(&server, &session, "read_file", json!({ "path": "/tmp/data/file" })).await, "Written");
    server.stop().await;
}

/// Whoever comes second is told so, however close behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_by_another_is_not_replaced() {
    let server = TestServer::start().await;
    let session = server.create().await;
    for round in 0..20 {
        let (name, moved) = (format!("new-{round}"), format!("moved-{round}"));
        let new = |number: usize| {
            let args = json!({ "path": name, "content": number.to_string(), "mode": "create_new" });
            server.call(&session, "write_file", args)
        };
        let made = join_all((0..4).map(new)).await;
        let who: Vec<usize> = (0..4).filter(|&number| made[number].is_ok()).collect();
        assert_eq!(who.len(), 1, "{made:?}");
        assert_eq!(ok(&server, &session, "read_file", json!({ "path": name })).await, who[0].to_string());
        for number in 0..4 {
            let args = json!({ "path": format!("{round}-{number}"), "content": number.to_string() });
            ok(&server, &session, "write_file", args).await;
        }
        let source = |number: usize| {
            let args = json!({ "source": format!("{round}-{number}"), "destination": moved });
            server.call(&session, "move_file", args)
        };
        let made = join_all((0..4).map(source)).await;
        let who: Vec<usize> = (0..4).filter(|&number| made[number].is_ok()).collect();
        assert_eq!(who.len(), 1, "{made:?}");
        assert!(
            made.iter().filter_map(|made| made.as_ref().err()).all(|error| error.contains("exists already")),
            "{made:?}"
        );
        assert_eq!(ok(&server, &session, "read_file", json!({ "path": moved })).await, who[0].to_string());
        let listed =
            ok(&server, &session, "search_files", json!({ "path": ".", "pattern": format!("{round}-*") })).await;
        assert_eq!(listed.lines().count(), 3, "what was not moved is where it was: {listed}");
    }
    server.stop().await;
}

#[tokio::test]
async fn get_file_info_has_all_fields() {
    let server = TestServer::start().await;
    let session = server.create().await;
    ok(&server, &session, "write_file", json!({ "path": "/tmp/f.txt", "content": "12345" })).await;
    let info = ok(&server, &session, "get_file_info", json!({ "path": "/tmp/f.txt" })).await;
    let field = |name: &str| {
        let line = info.lines().find_map(|line| line.split_once(": ").filter(|(key, _)| *key == name));
        line.unwrap_or_else(|| panic!("no {name} in {info}")).1.to_owned()
    };
    let is = |name: &str, value: &str| assert_eq!(field(name), value, "{info}");
    is("name", "f.txt");
    is("type", "file");
    is("size", "5");
    is("isDirectory", "false");
    is("isFile", "true");
    is("owner", "user");
    is("group", "user");
    assert!(field("path").ends_with("/f.txt") && field("mode") == field("permissions"), "{info}");
    assert_eq!(field("modTime"), field("modified"));
    let info = ok(&server, &session, "get_file_info", json!({ "path": "/tmp" })).await;
    assert!(info.contains("type: directory") && info.contains("isDirectory: true"), "{info}");
    server.stop().await;
}

/// The times of its files are a program's to choose.
#[tokio::test]
async fn a_file_of_any_time_has_an_info() {
    let server = TestServer::start().await;
    let session = server.create().await;
    for (time, says) in [("1960-01-01T00:00:00Z", "modTime: unknown"), ("2026-01-02T00:00:00Z", "modTime: 2026-01-02T")]
    {
        let seen = shell(&server, &session, &format!("touch f; touch -d {time} f && echo touched"), None).await;
        assert_eq!(seen["stdout"], "touched\n", "{seen}");
        let info = ok(&server, &session, "get_file_info", json!({ "path": "f" })).await;
        assert!(info.contains(says), "{info}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_write_replaces_the_whole_file_or_nothing() {
    let server = TestServer::with(|config| config.sandbox.file_size = 1 << 20).await;
    let session = server.create().await;
    ok(&server, &session, "write_file", json!({ "path": "f", "content": "before" })).await;
    shell(&server, &session, "chmod 751 f; ln -s f link; ln f other", None).await;
    ok(&server, &session, "write_file", json!({ "path": "link", "content": "after" })).await;
    let seen = shell(&server, &session, "cat f; stat -c ' %a' f; readlink link; cat other", None).await;
    assert_eq!(
        seen["stdout"], "after 751\nf\nbefore",
        "replaced behind the link, with its mode; another name keeps its file"
    );
    let left = ok(&server, &session, "list_directory", json!({ "path": "." })).await;
    assert!(!left.contains(".agb-"), "{left}");
    shell(&server, &session, "mkfifo pipe; mkdir dir; ln -s /etc/hostname out", None).await;
    for (path, part) in [("pipe", "not a regular file"), ("dir", "a directory"), ("out", "outside")] {
        fails(&server, &session, "write_file", json!({ "path": path, "content": "x" }), part).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn two_watchers_of_one_path_hear_of_all_changes() {
    let server = TestServer::start().await;
    let session = server.create().await;
    ok(&server, &session, "create_directory", json!({ "path": "/tmp/w" })).await;
    let changes = |watcher: Option<&'static str>, path: &'static str| {
        let (server, session) = (&server, &session);
        async move {
            let args = json!({ "path": path, "watcher": watcher });
            let text = ok(server, session, "get_file_change", args).await;
            serde_json::from_str::<Vec<Value>>(&text).expect("JSON").len()
        }
    };
    for watcher in [Some("a"), Some("b"), None] {
        assert_eq!(changes(watcher, "/tmp/w").await, 0);
    }
    ok(&server, &session, "write_file", json!({ "path": "/tmp/w/x", "content": "1" })).await;
    for watcher in [Some("a"), Some("b"), None] {
        assert_eq!(changes(watcher, "/tmp/w/").await, 1, "{watcher:?}");
        assert_eq!(changes(watcher, "/tmp/./w").await, 0, "{watcher:?}");
    }
    let long = "x".repeat(200);
    fails(&server, &session, "get_file_change", json!({ "path": "/tmp/w", "watcher": long }), "watcher").await;
    server.stop().await;
}

#[tokio::test]
async fn commands_find_python_and_begin_where_they_are_told() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let seen = shell(&server, &session, "python -c 'print(6*7)'; python3 -c 'print(1)'", None).await;
    assert_eq!(seen["exit_code"], 0, "{seen}");
    assert_eq!(seen["stdout"], "42\n1\n");
    for cwd in ["/tmp", "/usr/bin"] {
        assert_eq!(shell(&server, &session, "pwd -P >&2; exit 3", Some(cwd)).await["exit_code"], 3, "{cwd}");
    }
    // What is quoted stays so when a command begins elsewhere.
    let seen = shell(&server, &session, "echo \"it's $((1+1))\" '$HOME'", Some("/tmp")).await;
    assert_eq!(seen["stdout"], "it's 2 $HOME\n");
    let missing = shell(&server, &session, "echo never", Some("/none")).await;
    assert!(missing["exit_code"] != 0 && missing["stdout"] == "", "{missing}");
    fails(&server, &session, "shell", json!({ "command": "true", "cwd": "none" }), "not found").await;
    fails(&server, &session, "shell", json!({ "command": "true", "cwd": "/tmp/none" }), "not found").await;
    server.stop().await;
}
