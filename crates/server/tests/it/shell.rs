//! The tool `shell`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{PATIENCE, TestServer, TestSession, eventually, is_alive, programs};

#[tokio::test]
async fn a_command_runs_with_its_folder_and_environment() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let shell = |args: Value| {
        let (server, session) = (&server, &session);
        async move {
            let (Ok(text) | Err(text)) = server.call(session, "shell", args).await;
            serde_json::from_str::<Value>(&text).unwrap_or(json!(text))
        }
    };
    let answer = shell(json!({ "command": "echo out; echo err >&2; exit 3" })).await;
    assert_eq!(
        (&answer["stdout"], &answer["stderr"], &answer["exit_code"]),
        (&json!("out\n"), &json!("err\n"), &json!(3))
    );
    assert!(answer["traceId"].is_string());
    let answer = shell(json!({ "command": "mkdir sub; cd sub; pwd" })).await;
    let home = answer["stdout"].as_str().and_then(|text| text.strip_suffix("/sub\n")).expect("a path").to_owned();
    assert!(home.starts_with('/'), "{answer}");
    assert!(answer.get("traceId").is_none());
    let answer = shell(json!({ "command": "pwd; echo $A; env | wc -l", "cwd": "sub", "envs": { "A": "1 2" } })).await;
    assert_eq!(answer["stdout"], format!("{home}/sub\n1 2\n8\n"), "PATH, HOME, TMPDIR, USER, LANG, TZ, PWD and A");
    let answer = shell(json!({ "command": "pwd", "cwd": format!("{home}/sub/../sub") })).await;
    assert_eq!(answer["stdout"], format!("{home}/sub\n"), "{answer}");
    assert_eq!(shell(json!({ "command": "kill -9 $$" })).await["exit_code"], 137);
    for (args, part) in [
        (json!({}), "needs command"),
        (json!({ "command": "true", "timeout_ms": 0 }), "timeout_ms"),
        (json!({ "command": "true", "timeout_ms": -5 }), "timeout_ms"),
        (json!({ "command": "true", "timeout_ms": 1e300 }), "timeout_ms"),
        (json!({ "command": "true", "envs": { "A=B": "1" } }), "envs"),
        (json!({ "command": "true", "envs": { "A": 1 } }), "envs"),
        (json!({ "command": "true", "cwd": "none" }), "does not exist"),
        (json!({ "command": "true\0" }), "could not be started"),
    ] {
        let answer = shell(args).await;
        assert!(answer.as_str().is_some_and(|text| text.contains(part)), "{answer} does not contain {part}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_command_ends_in_time_with_all_it_started() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let begin = Instant::now();
    let command = "sleep 1000 & echo begun; sleep 1000";
    let text =
        server.call(&session, "shell", json!({ "command": command, "timeout_ms": 200 })).await.expect_err("too long");
    assert!(begin.elapsed() < Duration::from_secs(5));
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(answer["exit_code"], 124);
    assert!(answer["stderr"].as_str().expect("a text").contains("longer than 200 ms"), "{answer}");
    assert_eq!(answer["stdout"], "begun\n");
    assert!(programs(&server.data_dir).is_empty(), "both are dead");

    // One that leaves a child with its pipes does not wait for it.
    let text =
        server.call(&session, "shell", json!({ "command": "sleep 1000 & echo begun", "timeout_ms": 20_000 })).await;
    let answer: Value = serde_json::from_str(&text.expect("an answer")).expect("JSON");
    assert_eq!((&answer["stdout"], &answer["exit_code"]), (&json!("begun\n"), &json!(0)));
    let living = programs(&server.data_dir);
    assert_eq!(living.len(), 1, "the child lives on");
    assert!(begin.elapsed() < Duration::from_secs(10));
    server.release(&session).await;
    assert!(!living.into_iter().any(is_alive), "it has ended with its session");
    server.stop().await;
}

#[tokio::test]
async fn endless_output_is_cut_and_said_to_be() {
    let server = TestServer::with(|config| config.limits.max_tool_output = 200_000).await;
    let session = server.create().await;
    let args = json!({ "command": "head -c 5000000 /dev/zero | tr '\\0' x", "timeout_ms": 20_000 });
    let answer: Value =
        serde_json::from_str(&server.call(&session, "shell", args).await.expect("output")).expect("JSON");
    let stdout = answer["stdout"].as_str().expect("a text");
    assert!(stdout.len() < 101_000 && stdout.contains("4900000 bytes more are left out"), "{}", stdout.len());
    server.stop().await;
}

#[tokio::test]
async fn a_server_in_the_background_is_reached_by_later_calls() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let shell = async |command: &str| {
        let args = json!({ "command": command, "timeout_ms": 20_000 });
        let text = server.call(&session, "shell", args).await.unwrap_or_else(|error| panic!("{command}: {error}"));
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let begin = Instant::now();
    let answer = shell("echo hello > page; nohup python3 -u -m http.server 8080 > log 2>&1 & echo started").await;
    assert_eq!((&answer["stdout"], &answer["exit_code"]), (&json!("started\n"), &json!(0)), "{answer}");
    assert!(begin.elapsed() < Duration::from_secs(10), "it does not wait for the server");
    shell("until grep -q Serving log; do sleep 0.05; done").await;
    let fetch = "import urllib.request\nprint(urllib.request.urlopen('http://localhost:8080/page').read())";
    let answer = shell(&format!("python3 -c \"{fetch}\"")).await;
    assert_eq!(answer["stdout"], "b'hello\\n'\n", "{answer}");
    let answer = server.run_code(&session, "python", fetch).await;
    assert!(answer["stdout"].to_string().contains("hello"), "a program reaches it, too: {answer}");

    // One that ignores SIGHUP and writes to the call's own output goes on as well.
    shell("trap '' HUP; (sleep 0.2; echo late; echo late; touch late) &").await;
    shell("until test -e late; do sleep 0.05; done").await;
    let living = programs(&server.data_dir);
    assert!(!living.is_empty());
    server.stop().await;
    assert!(!living.into_iter().any(is_alive), "nothing outlives the session");
}

/// What everybody writes: the number in a file, `ps` and `pkill`, `lsof` and `fuser`, which look into `/proc`.
#[tokio::test]
async fn a_later_command_finds_and_ends_what_runs_in_the_background() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let shell = async |command: &str| {
        let args = json!({ "command": command, "timeout_ms": 20_000 });
        let (Ok(text) | Err(text)) = server.call(&session, "shell", args).await;
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let answer = shell(
        "nohup python3 -u -m http.server 8000 > log 2>&1 & echo $! > pid; until grep -q Serving log; do sleep 0.05; done",
    )
    .await;
    assert_eq!(answer["exit_code"], 0, "{answer}");
    // Whose socket listens on port 8000 (1F40).
    let find = "inode=$(awk '$2 ~ /:1F40$/ && $4 == \"0A\" { print $10 }' /proc/net/tcp); \
                ls -l /proc/[0-9]*/fd 2> /dev/null | grep -c \"socket:.$inode.$\"; \
                tr '\\0' ' ' < /proc/$(cat pid)/cmdline; kill -0 $(cat pid) && echo there";
    let answer = shell(find).await;
    assert_eq!(answer["stdout"], "1\npython3 -u -m http.server 8000 there\n", "{answer}");
    let answer = shell("kill $(cat pid); while kill -0 $(cat pid) 2> /dev/null; do sleep 0.01; done; echo gone").await;
    assert_eq!(answer["stdout"], "gone\n", "{answer}");
    eventually("nothing runs", || programs(&server.data_dir).is_empty()).await;
    // One call that is ended takes what it has started, and nothing of others.
    shell("sleep 1000 > /dev/null 2>&1 & echo $! > kept").await;
    let args = json!({ "command": "setsid sleep 1000 & sleep 1000", "timeout_ms": 300 });
    server.call(&session, "shell", args).await.expect_err("its time is over");
    assert_eq!(shell("kill -0 $(cat kept) && echo there").await["stdout"], "there\n");
    assert_eq!(programs(&server.data_dir).len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_release_ends_a_command() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let (command, release) = (json!({ "command": "echo begun; sleep 1000", "timeout_ms": 60_000 }), async {
        eventually("sh and sleep run", || programs(&server.data_dir).len() == 2).await;
        let pids = programs(&server.data_dir);
        server.release(&session).await;
        pids
    });
    let (answer, pids) = tokio::join!(server.call(&session, "shell", command), release);
    let answer: Value = serde_json::from_str(&answer.expect_err("an end")).expect("JSON");
    assert!(answer["stderr"].as_str().expect("a text").contains("session was released"), "{answer}");
    assert!(!pids.into_iter().any(is_alive), "the command is dead");
    server.stop().await;
}

/// Each takes descriptors of the server's, whichever session it is of.
#[tokio::test]
async fn commands_of_all_sessions_have_a_greatest_number() {
    let server = TestServer::with(|config| config.limits.max_commands = 2).await;
    let (one, other) = (server.create().await, server.create().await);
    let shell = async |session: &TestSession, command: &str| {
        let (Ok(text) | Err(text)) = server.call(session, "shell", json!({ "command": command })).await;
        text
    };
    for _ in 0..2 {
        let text = shell(&one, "sleep 1000 > /dev/null 2>&1 & echo begun").await;
        assert!(text.contains("begun"), "{text}");
    }
    let refused = shell(&other, "echo begun").await;
    assert!(refused.contains("2 commands run") && refused.contains("--max-commands"), "{refused}");
    server.release(&one).await;
    let begin = Instant::now();
    while !shell(&other, "echo begun").await.contains("begun") {
        assert!(begin.elapsed() < PATIENCE, "their places are free again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.stop().await;
}
