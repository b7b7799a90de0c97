//! The command `agb-server`: what it prints, and that nothing of it stays.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use agb_sandbox::remove_tree;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{PATIENCE, TestSession, eventually, is_alive, programs};

/// A server process.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Vec<String>,
    url: String,
    data_dir: PathBuf,
}

impl Drop for Process {
    /// When the test fails, too, nothing of it stays.
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
        remove_tree(&self.data_dir).unwrap_or_else(|error| println!("{} is left: {error}", self.data_dir.display()));
    }
}

impl Process {
    fn start(name: &str, args: &[&str], key: Option<&str>) -> Self {
        let data_dir = std::env::temp_dir().join(format!("agb-server-command-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&data_dir).expect("a folder");
        let mut command = Command::new(env!("CARGO_BIN_EXE_agb-server"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data_dir).args(args);
        command.env_remove("AGB_API_KEY").env("RUST_LOG", "trace");
        if let Some(key) = key {
            command.env("AGB_API_KEY", key);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let mut lines = Vec::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let url = loop {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).expect("a line") > 0, "it ended: {lines:?}");
            let line = line.trim_end().to_owned();
            lines.push(line.clone());
            if let Some(url) = line.strip_prefix("agb-server listening on ") {
                break url.to_owned();
            }
        };
        let stdin = child.stdin.take();
        Self { child, stdin, lines, url, data_dir }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it is ours, and not waited for yet");
    }

    /// Waits for the end; gives the exit status and the log.
    fn wait(mut self) -> (ExitStatus, String) {
        let mut log = String::new();
        let mut stderr = self.child.stderr.take().expect("a pipe");
        let reader = std::thread::spawn(move || {
            stderr.read_to_string(&mut log).expect("a log");
            log
        });
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a status") {
                break status;
            }
            assert!(begin.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        };
        assert_eq!(std::fs::read_dir(&self.data_dir).expect("a folder").count(), 0, "files are left");
        (status, reader.join().expect("no panic"))
    }

    async fn create(&self, key: &str) -> TestSession {
        let http = crate::support::http_client().build().expect("a client");
        let request = http.post(format!("{}/mcp/createSession", self.url)).bearer_auth(key).json(&json!({}));
        let body: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        TestSession::of(&body["data"])
    }
}

/// Starts a program in each language that ignores interrupts and has a child; gives the pids of all.
async fn occupy(process: &Process, session: &TestSession) -> Vec<u32> {
    let mut socket = session.connect().await;
    let python = "import os, signal, subprocess, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n\
                  p = subprocess.Popen(['sleep', '1000'], start_new_session=True)\nprint('on', flush=True)\ntime.sleep(1000)";
    socket.start("p", "python", python).await;
    socket.start("j", "node", "console.log('on'); while (true) {}").await;
    for _ in 0..2 {
        let (_, data) = socket.event().await;
        assert_eq!(data["chunk"], "on\n", "{data}");
    }
    let pids = programs(&process.data_dir);
    // Beside them there may be interpreters that are kept ready.
    assert!(pids.len() >= 3, "{pids:?}");
    pids
}

#[tokio::test]
async fn a_signal_ends_every_process() {
    for (name, signal) in [("term", Signal::TERM), ("int", Signal::INT)] {
        let process = Process::start(name, &["--drain", "0"], Some("the-key"));
        assert_eq!(process.lines, [format!("agb-server listening on {}", process.url)], "one line, and only this");
        let session = process.create("the-key").await;
        let pids = occupy(&process, &session).await;
        let begin = Instant::now();
        process.signal(signal);
        let (status, log) = process.wait();
        assert!(status.success(), "{status}: {log}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
        let left: Vec<_> = pids.into_iter().filter(|pid| is_alive(*pid)).collect();
        assert!(left.is_empty(), "alive: {left:?}");
        for secret in ["the-key", &session.token] {
            assert!(!log.contains(secret), "a secret is in the log");
        }
        assert!(log.contains("ended"), "{log}");
    }
}

#[tokio::test]
async fn a_server_that_is_killed_leaves_no_process_and_the_next_one_cleans_up() {
    let mut first = Process::start("killed", &[], Some("the-key"));
    let session = first.create("the-key").await;
    let pids = occupy(&first, &session).await;
    first.child.kill().expect("it is ours");
    first.child.wait().expect("it is ours");
    eventually("every process is dead", || !pids.iter().any(|pid| is_alive(*pid))).await;
    let left = std::fs::read_dir(&first.data_dir).expect("a folder").count();
    assert_eq!(left, 1, "its folder");
    // In the same place.
    let second = Process::start("killed", &[], Some("the-key"));
    assert_eq!(std::fs::read_dir(&second.data_dir).expect("a folder").count(), 1, "its own folder");
    second.signal(Signal::TERM);
    assert!(second.wait().0.success());
}

#[tokio::test]
async fn the_end_of_stdin_is_the_end() {
    let mut process = Process::start("stdin", &["--exit-with-stdin", "--api-key", "other-key"], Some("the-key"));
    let session = process.create("other-key").await;
    let pids = occupy(&process, &session).await;
    drop(process.stdin.take());
    let (status, _) = process.wait();
    assert!(status.success());
    eventually("every process is dead", || !pids.iter().any(|pid| is_alive(*pid))).await;
}

#[tokio::test]
async fn runs_come_to_their_end_before_the_server_does() {
    let process = Process::start("drain", &["--drain", "20"], Some("the-key"));
    let session = process.create("the-key").await;
    let mut socket = session.connect().await;
    let code = "import time\nprint('begin', flush=True)\ntime.sleep(1)\nprint('end')";
    socket.start_with("a", json!({ "language": "python", "timeoutS": 60, "code": code, "resume": true })).await;
    while socket.event().await.1["chunk"] != "begin\n" {}
    process.signal(Signal::TERM);
    let (_, told) = socket.event().await;
    assert_eq!((&told["eventType"], &told["inSeconds"]), (&json!("serverEnding"), &json!(20.0)));
    // Nothing new is taken meanwhile, but connections are: a run can be found again.
    drop(socket);
    let mut socket = session.connect().await;
    socket.start("b", "python", "1").await;
    assert_eq!(socket.until_end().await[0]["error"]["name"], "ServerStopping");
    let resume = json!({ "method": "run_code", "mode": "resume", "params": { "afterSeq": told["seq"] } });
    socket.request("a", resume).await;
    let events = socket.until_end().await;
    assert_eq!(crate::support::text_of(&events, "stdout"), "end\n");
    assert_eq!(events.last().expect("an end")["status"], "finished");
    let begin = Instant::now();
    assert!(process.wait().0.success());
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn runs_that_take_longer_than_the_server_waits_are_interrupted() {
    for (name, drain, signals) in [("short", "0.3", 1), ("twice", "1000", 2)] {
        let process = Process::start(name, &["--drain", drain], Some("the-key"));
        let session = process.create("the-key").await;
        let mut socket = session.connect().await;
        socket.start("a", "python", "import time\nprint('begin', flush=True)\ntime.sleep(1000)").await;
        socket.event().await;
        for _ in 0..signals {
            process.signal(Signal::INT);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let end = socket.until_end().await.pop().expect("an end");
        assert_eq!((&end["status"], &end["reason"]), (&json!("failed"), &json!("interrupted")));
        assert!(end["executionError"].as_str().expect("words").contains("the server was told to stop"), "{end}");
        assert!(process.wait().0.success());
    }
}

#[tokio::test]
async fn a_key_is_made_and_printed() {
    let process = Process::start("key", &[], None);
    let key = process.lines[0].strip_prefix("agb-server made the API key ").expect("a key").to_owned();
    assert!(key.len() > 40);
    process.create(&key).await;
    process.signal(Signal::TERM);
    let (status, log) = process.wait();
    assert!(status.success() && !log.contains(&key));
}

#[test]
fn a_program_reads_what_a_server_has_and_why_there_is_none() {
    let start = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agb-server"));
        command.args(["serve", "--json"]).args(args).env_remove("AGB_API_KEY");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process")
    };
    let json = |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));

    let mut child = start(&["--exit-with-stdin", "--listen", "127.0.0.1:0"]);
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    let started = json(&line);
    assert!(started["url"].as_str().is_some_and(|url| url.starts_with("http://127.0.0.1:")), "{started}");
    assert_eq!(started["version"], env!("CARGO_PKG_VERSION"));
    assert!(started["languages"]["python"].as_str().is_some_and(|version| version.starts_with("3.")), "{started}");
    assert_eq!((&started["network"], &started["image"]), (&json!("none"), &json!("agb-code-space-1")));
    assert!(started["isolation"].is_string() && started["missing"].is_array(), "{started}");
    assert!(started["apiKey"].as_str().is_some_and(|key| key.len() > 40) && started["apiKeysFile"].is_null());
    drop(child.stdin.take());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).expect("an end");
    assert_eq!((rest.as_str(), child.wait().expect("an end").success()), ("", true));

    let folder = tempfile::tempdir().expect("a folder");
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "local a-key-of-more-than-16-characters\n").expect("a file");
    let upstream_key = folder.path().join("upstream-key");
    std::fs::write(&upstream_key, "a-key-of-the-service-behind").expect("a file");
    let (keys, upstream_key) = (keys.to_str().expect("a text"), upstream_key.to_str().expect("a text"));
    let gateway = ["--upstream", "http://127.0.0.1:1", "--upstream-key-file", upstream_key, "--api-keys-file", keys];
    let mut child = start(&[&["--exit-with-stdin", "--listen", "127.0.0.1:0"], &gateway[..]].concat());
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let started = json(&line);
    assert_eq!((&started["apiKeysFile"], &started["upstream"]), (&json!(keys), &json!("http://127.0.0.1:1")));
    assert!(started.get("languages").is_none() && started.get("apiKey").is_none(), "a gateway runs nothing: {started}");
    drop(child.stdin.take());
    assert!(child.wait().expect("an end").success());

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for (args, status, code, part) in [
        (vec!["--listen", &address], 1, "ADDRESS_IN_USE", address.as_str()),
        (vec!["--listen", "192.0.2.1:80", "--insecure-listen"], 1, "ADDRESS_NOT_HERE", "192.0.2.1"),
        (vec!["--listen", "0.0.0.0:0"], 1, "UNENCRYPTED", "--insecure-listen"),
        (vec!["--api-keys-file", "/none"], 1, "BAD_KEYS", "cannot be read"),
        (vec!["--tls-cert", "/none", "--tls-key", "/none"], 1, "BAD_CERTIFICATE", "/none"),
        (vec!["--public-url", "x"], 1, "BAD_SETTINGS", "not a public URL"),
        (vec!["--max-window=262143"], 1, "BAD_SETTINGS", "give that at least"),
        (vec!["--data-dir", "/proc/none"], 1, "NO_DATA_DIR", "--data-dir"),
        (vec!["--idle-timeout=-1"], 2, "USAGE", "--idle-timeout"),
        (vec!["--no-such-option"], 2, "USAGE", "--no-such-option"),
    ] {
        let output = start(&args).wait_with_output().expect("an end");
        let out = String::from_utf8(output.stdout).expect("text");
        let error = &json(&out)["error"];
        assert_eq!((output.status.code(), &error["code"]), (Some(status), &json!(code)), "{args:?}: {out}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(part)), "{args:?}: {out}");
    }
}

#[test]
fn says_its_version_and_what_is_wrong() {
    let output = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_agb-server")).args(args).output().expect("a process");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).expect("text"))
    };
    assert_eq!(output(&["--version"]), (Some(0), format!("agb-server {}\n", env!("CARGO_PKG_VERSION"))));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for (args, part) in [
        (vec!["serve", "--listen", &address, "--api-key", "k"], "give --listen another port"),
        (vec!["serve", "--listen", "8080"], "such as 127.0.0.1:8080"),
        (vec!["serve", "--api-key", ""], "API key is empty"),
        (vec!["serve", "--api-key", "k", "--public-url", "x"], "not a public URL"),
        (vec!["serve", "--api-key", "k", "--listen", "0.0.0.0:0"], "--insecure-listen"),
        (vec!["serve", "--api-key", "k", "--listen", "0.0.0.0:0", "--insecure-listen"], "16 random ones"),
        (vec!["serve", "--api-keys-file", "/none"], "cannot be read"),
        (vec!["serve", "--tls-cert", "/none"], "--tls-key"),
        (vec!["serve", "--api-key", "k", "--idle-timeout=-1"], "--idle-timeout"),
        (vec!["serve", "--api-key", "k", "--max-window=262143"], "give that at least"),
        (vec!["serve", "--api-key", "k", "--replay-memory=1048576", "--replay-spool=524287"], "1572864"),
        (vec!["serve", "--api-key", "k", "--data-dir", "/proc/none"], "--data-dir"),
    ] {
        let (code, text) = output(&args);
        assert!(code != Some(0) && text.contains(part), "{args:?}: {code:?} {text}");
    }
}
