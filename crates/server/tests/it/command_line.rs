//! The commands of `agb-server` beside `serve`: programs, sessions and a terminal, as a person at a shell has them.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{KEY, PATIENCE, TestServer};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agb-server"));
    command.args(args).env_remove("RUST_LOG").env_remove("AGB_ENDPOINT").env("NO_COLOR", "1");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Gives a program its input and waits for its end.
fn finish(mut child: Child, input: &[u8]) -> (Option<i32>, String, String) {
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    // A program that reads nothing has ended, perhaps.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let Output { status, stdout, stderr } = child.wait_with_output().expect("an end");
    writer.join().expect("no panic");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// Runs a program from standard input.
fn run(language: &str, code: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = command(&["run", "-", "--language", language]);
    finish(command.args(args).spawn().expect("a process"), code.as_bytes())
}

/// A program in a file, which leaves standard input to it.
struct Program {
    file: PathBuf,
    /// It goes with the program.
    _folder: TempDir,
}

impl Program {
    fn new(name: &str, code: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(name);
        std::fs::write(&file, code).expect("a file");
        Self { file, _folder: folder }
    }

    fn start(&self) -> Child {
        command(&["run"]).arg(&self.file).spawn().expect("a process")
    }
}

#[test]
fn a_program_ends_with_its_own_status() {
    for (language, code, status, stdout, part) in [
        ("python", "print(1)", 0, "1\n", ""),
        ("python", "6 * 7", 0, "42\n", ""),
        ("python", "import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(3)", 3, "out\n", "err\n"),
        ("python", "import sys; sys.exit('a reason')", 1, "", "a reason\n"),
        ("python", "1 / 0", 1, "", "ZeroDivisionError: division by zero"),
        ("python", "import os; os._exit(5)", 5, "", ""),
        ("python", "import os; os.kill(os.getpid(), 11)", 139, "", "SIGSEGV"),
        ("javascript", "console.log('a'); process.exit(4)", 4, "a\n", ""),
        ("javascript", "throw new TypeError('wrong')", 1, "", "TypeError: wrong"),
        ("python", "raise KeyboardInterrupt", 130, "", "KeyboardInterrupt"),
    ] {
        let (code, out, err) = run(language, code, &[]);
        assert_eq!((code, out.as_str()), (Some(status), stdout), "{err}");
        assert!(err.contains(part), "{err}");
        assert_eq!(err.is_empty(), part.is_empty(), "{err}");
    }
}

/// As with the language's own tool: what is left is waited for, and what is to be called last is called.
#[test]
fn a_program_ends_as_its_language_ends_programs() {
    let threads = "import atexit, threading, time\natexit.register(print, 'last')\n\
                   threading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()\nprint('main')";
    let hook = "import sys\nsys.excepthook = lambda kind, value, trace: print('hook', value, file=sys.stderr)\n1 / 0";
    for (language, code, ended) in [
        ("python", threads, (0, "main\nthread\nlast\n", "")),
        ("python", hook, (1, "", "hook division by zero\n")),
        ("r", ".Last <- function() cat('last\\n')\ncat('main\\n')", (0, "main\nlast\n", "")),
    ] {
        let (status, out, err) = run(language, code, &[]);
        assert_eq!((status, out.as_str(), err.as_str()), (Some(ended.0), ended.1, ended.2), "{code}");
    }
}

#[test]
fn a_program_that_cannot_be_run_is_told_apart_from_one_that_fails() {
    for (args, part) in [
        (vec!["run", "/nothing/there.py"], "/nothing/there.py"),
        (vec!["run", "a.txt"], "--language"),
        (vec!["run", "-", "--language", "cobol"], "cobol"),
        (vec!["run", "-", "--language", "python", "--image", "none"], "\"none\" is not known"),
    ] {
        let (code, out, err) = finish(command(&args).spawn().expect("a process"), b"print(1)");
        assert_eq!((code, out.as_str()), (Some(125), ""), "{err}");
        assert!(err.contains(part), "{err}");
    }
}

#[test]
fn time_is_up_after_the_timeout() {
    let (code, out, err) = run("python", "import time\nprint('on', flush=True)\ntime.sleep(1000)", &["--timeout", "1"]);
    assert_eq!((code, out.as_str()), (Some(124), "on\n"), "{err}");
    assert!(err.contains("timed out after 1 s"), "{err}");
}

#[test]
fn the_program_has_the_input_and_its_file_s_name() {
    let code = "name = input('Your name? ')\nimport sys\nprint(sys.argv, name, sum(int(line) for line in sys.stdin))";
    let numbers: String = (1..=50_000).map(|number| format!("{number}\n")).collect();
    let (code, out, err) = finish(Program::new("sum.py", code).start(), format!("Ada\n{numbers}").as_bytes());
    assert_eq!((code, out.as_str()), (Some(0), "Your name? ['sum.py'] Ada 1250025000\n"), "{err}");
}

#[test]
fn ctrl_c_stops_the_program_and_a_second_one_whatever_it_does() {
    let deaf = "import signal, time\nprint('on', flush=True)\n\
                while True:\n    try: time.sleep(1000)\n    except KeyboardInterrupt: print('no', flush=True)";
    for (code, presses) in [("import time\nprint('on', flush=True)\ntime.sleep(1000)", 1), (deaf, 2)] {
        let program = Program::new("endless.py", code);
        let mut child = program.start();
        let _stdin = child.stdin.take();
        let mut begin = [0; 3];
        child.stdout.as_mut().expect("a pipe").read_exact(&mut begin).expect("it prints");
        let began = Instant::now();
        for _ in 0..presses {
            kill_process(Pid::from_child(&child), Signal::INT).expect("it runs");
            // What comes faster is the same key.
            std::thread::sleep(Duration::from_millis(300));
        }
        let status = child.wait().expect("an end");
        assert_eq!(status.code(), Some(130));
        assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    }
}

#[test]
fn output_that_nobody_reads_ends_the_program() {
    let program = Program::new("yes.py", "while True: print('y')");
    let mut child = program.start();
    let mut out = child.stdout.take().expect("a pipe");
    out.read_exact(&mut [0; 100]).expect("it prints");
    drop(out);
    assert_eq!(child.wait().expect("an end").code(), Some(141));
}

#[test]
fn pictures_are_told_of_and_saved() {
    // What libraries do that show pictures, without one.
    let code = "class Picture:\n    def _repr_png_(self): return b'\\x89PNG\\r\\n\\x1a\\n'\n    def _repr_html_(self): return '<b>x</b>'\nPicture()";
    let (status, out, err) = run("python", code, &[]);
    assert_eq!((status, out.as_str()), (Some(0), ""), "{err}");
    assert!(err.contains("image/png") && err.contains("--save DIR"), "{err}");
    let folder = tempfile::tempdir().expect("a folder");
    let (status, _, err) = run("python", code, &["--save", folder.path().to_str().expect("a text")]);
    assert_eq!(status, Some(0), "{err}");
    let picture = std::fs::read(folder.path().join("result-1.png")).expect("it was saved");
    assert_eq!(picture, b"\x89PNG\r\n\x1a\n");
    assert_eq!(std::fs::read_to_string(folder.path().join("result-1.html")).expect("it was saved"), "<b>x</b>");
}

#[test]
fn a_missing_package_is_told_how_to_get() {
    let empty = tempfile::tempdir().expect("a folder");
    let folder = ["--image-dir", empty.path().to_str().expect("a text")];
    let missing = "raise ModuleNotFoundError(\"No module named 'matplotlib'\")";
    let (status, _, err) = run("python", missing, &folder);
    assert_eq!(status, Some(1), "{err}");
    assert!(err.contains("this installs matplotlib") && err.contains("agb-server images prepare"), "{err}");
    let (_, _, err) = run("python", "import surely_not_there", &folder);
    assert!(err.contains("has no surely_not_there") && err.contains("[python] packages"), "{err}");
    let (_, _, err) = run("javascript", "require('surely-not-there')", &folder);
    assert!(err.contains("has no surely-not-there") && err.contains("[javascript] packages"), "{err}");
    let (_, _, err) = run("javascript", "require('./mine.js')", &folder);
    assert!(!err.contains("[javascript] packages"), "{err}");
}

#[test]
fn reports_are_json_for_programs() {
    let json = |args: &[&str]| -> Value {
        let (status, out, err) = finish(command(args).spawn().expect("a process"), b"");
        assert_eq!(status, Some(0), "{err}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
    };
    let images = json(&["images", "--json"]);
    assert_eq!(images["images"][0]["name"], "agb-code-space-1");
    assert_eq!(images["images"][0]["interpreters"].as_array().map(Vec::len), Some(4), "{images}");
    let doctor = json(&["doctor", "--json"]);
    let levels = doctor["isolation"]["levels"].as_array().expect("levels");
    assert_eq!(levels.len(), 4, "{doctor}");
    let python = doctor["interpreters"].as_array().expect("a list").iter().find(|it| it["language"] == "python");
    assert_eq!(python.expect("there is a Python")["works"], true, "{doctor}");
}

#[test]
fn shells_complete_every_command() {
    for (shell, sign) in [("bash", "complete -F"), ("zsh", "#compdef agb-server"), ("fish", "complete -c agb-server")] {
        let (status, out, err) = finish(command(&["completions", shell]).spawn().expect("a process"), b"");
        assert_eq!(status, Some(0), "{err}");
        for part in [sign, "serve", "sessions", "shell", "doctor", "completions"] {
            assert!(out.contains(part), "{shell}: no {part}");
        }
    }
}

#[test]
fn a_gateway_leaves_the_environments_key_to_its_clients_and_says_so() {
    const SECRET: &str = "the-key-of-the-service-behind";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("key");
    std::fs::write(&file, SECRET).expect("a file");
    let gateway = |more: &[&str]| {
        let args = ["serve", "--listen", "127.0.0.1:0", "--exit-with-stdin", "--upstream", "http://127.0.0.1:9"];
        let mut command = command(&args);
        let (status, out, err) = finish(command.args(more).env("AGB_API_KEY", SECRET).spawn().expect("a process"), b"");
        assert!(!out.contains(SECRET) && !err.contains(SECRET), "{out}{err}");
        (status, out, err)
    };
    let (status, out, err) = gateway(&[]);
    assert_eq!(status, Some(0), "{err}");
    assert!(out.contains("AGB_API_KEY is left to its clients") && out.contains(" listening on http://"), "{out}");
    // One on the command line is meant for the gateway.
    let (status, out, err) = gateway(&["--api-key", "another-key-of-this-server"]);
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(err.contains("--upstream-key-file"), "{err}");
    // With a key for the upstream the environment's is the one that clients give.
    let (status, out, err) = gateway(&["--upstream-key-file", file.to_str().expect("a text")]);
    assert_eq!(status, Some(0), "{err}");
    assert!(out.contains("is a gateway to") && !out.contains("AGB_API_KEY"), "{out}");
}

/// A command about this server.
fn about(server: &TestServer, args: &[&str]) -> Command {
    let mut command = command(args);
    command.env("AGB_ENDPOINT", server.url("")).env("AGB_API_KEY", KEY);
    command
}

async fn output(mut command: Command) -> (Option<i32>, String, String) {
    tokio::task::spawn_blocking(move || finish(command.spawn().expect("a process"), b"")).await.expect("no panic")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_listed_read_and_ended() {
    let server = TestServer::start().await;
    let session = server.create_with(json!({ "labels": { "owner": "ada" } })).await;
    let other = server.create().await;
    let (status, out, err) = output(about(&server, &["sessions", "ls"])).await;
    assert_eq!(status, Some(0), "{err}");
    assert!(out.contains(&session.id) && out.contains("owner=ada") && out.contains(&other.id), "{out}");
    let (_, out, _) = output(about(&server, &["sessions", "ls", "--json"])).await;
    let list: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(list[0]["labels"]["owner"], "ada", "{list}");

    let mut socket = session.connect().await;
    let code = "import subprocess; print('program')";
    socket.start_with("the-run", json!({ "language": "python", "timeoutS": 60, "code": code, "resume": true })).await;
    socket.until_end().await;
    let (status, out, err) = output(about(&server, &["sessions", "logs", &session.id, "the-run"])).await;
    assert_eq!((status, out.as_str()), (Some(0), "program\n"), "{err}");

    // Without a run's id: the program and each command, and one that goes on is only named.
    for (id, command) in [("ends", "echo one; echo two >&2; exit 3"), ("goes-on", "echo begun; sleep 1000")] {
        let params = json!({ "command": command, "timeoutMs": 60_000, "resume": true });
        socket.request(id, json!({ "method": "run_command", "mode": "stream", "params": params })).await;
        if id == "ends" {
            socket.until_end().await;
        } else {
            while socket.event().await.1["chunk"] != "begun\n" {}
        }
    }
    let (status, out, err) = output(about(&server, &["sessions", "logs", &session.id])).await;
    assert_eq!((status, out.as_str()), (Some(0), "program\none\n"), "{err}");
    for part in [
        "== the-run: import subprocess; print('program') (python, finished)",
        "== ends: echo one",
        "with 3",
        "two\n",
        "== goes-on: echo begun",
        "running",
    ] {
        assert!(err.contains(part), "no {part}: {err}");
    }

    let (status, out, err) = output(about(&server, &["sessions", "kill", &session.id])).await;
    assert_eq!(status, Some(0), "{err}");
    assert!(out.contains("is released"), "{out}");
    let (status, _, err) = output(about(&server, &["sessions", "kill", &session.id])).await;
    assert_eq!(status, Some(1), "it is gone: {err}");
    let (_, out, _) = output(about(&server, &["sessions", "ls"])).await;
    assert!(!out.contains(&session.id) && out.contains(&other.id), "{out}");
    let mut nowhere = about(&server, &["sessions", "ls"]);
    nowhere.env_remove("AGB_ENDPOINT");
    assert!(output(nowhere).await.2.contains("--endpoint or AGB_ENDPOINT"));
    server.stop().await;
}

/// Starts a command on a terminal of 97 columns and 31 rows, and gives our end of it.
fn on_terminal(mut command: Command) -> (Child, File) {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("it is ours");
    let size = Winsize { ws_col: 97, ws_row: 31, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&ours, size).expect("a terminal");
    let name = ptsname(&ours, Vec::new()).expect("it has a name");
    let theirs: OwnedFd = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("it is there");
    let end = || Stdio::from(theirs.try_clone().expect("a handle"));
    command.stdin(end()).stdout(end()).stderr(end()).process_group(0);
    (command.spawn().expect("a process"), File::from(ours))
}

/// Reads a terminal until it shows one of these; gives all that it showed.
fn read_until(terminal: &mut File, signs: &[&str]) -> String {
    let mut shown = String::new();
    let mut buffer = [0; 4096];
    while !signs.iter().any(|sign| shown.contains(sign)) {
        // At its end the terminal is gone, which is an error here.
        let Ok(length @ 1..) = terminal.read(&mut buffer) else { panic!("it ended: {shown}") };
        shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    shown
}

#[test]
fn a_program_has_arguments() {
    let program = Program::new("args.py", "import sys\nprint(sys.argv)");
    let child = command(&["run"]).arg(&program.file).args(["--", "--timeout", "a b"]).spawn().expect("a process");
    assert_eq!(finish(child, b""), (Some(0), "['args.py', '--timeout', 'a b']\n".to_owned(), String::new()));
}

#[test]
fn a_password_is_not_shown_and_what_comes_after_it_is() {
    let asks = "import getpass\nkey = getpass.getpass('Key: ')\nprint('has', len(key))\nname = input('Name: ')\nprint('is', name)";
    let program = Program::new("asks.py", asks);
    let mut by_file = command(&["run"]);
    by_file.arg(&program.file);
    let (mut child, mut terminal) = on_terminal(by_file);
    let mut shown = read_until(&mut terminal, &["Key: "]);
    terminal.write_all(b"hidden-key\n").expect("it takes keys");
    shown += &read_until(&mut terminal, &["Name: "]);
    assert!(!shown.contains("hidden-key") && shown.contains("Key: \r\nhas 10"), "{shown:?}");
    terminal.write_all(b"Ada\n").expect("it takes keys");
    let shown = read_until(&mut terminal, &["is Ada"]);
    assert!(shown.contains("Ada\r\nis Ada"), "what is no password is shown: {shown:?}");
    assert!(child.wait().expect("an end").success());

    // A run that ends while it asks leaves the terminal as it was.
    let program = Program::new("waits.py", "import getpass\ngetpass.getpass('Key: ')");
    let mut by_file = command(&["run", "--timeout", "1"]);
    by_file.arg(&program.file);
    let (mut child, mut terminal) = on_terminal(by_file);
    read_until(&mut terminal, &["Key: "]);
    assert_eq!(child.wait().expect("an end").code(), Some(124));
    assert!(tcgetattr(&terminal).expect("a terminal").local_modes.contains(LocalModes::ECHO));
}

#[test]
fn the_first_start_on_a_terminal_offers_the_packages_once() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("agb-code-space-1.toml"), "[python]\npackages = ['surely-not-there']")
        .expect("a file");
    let serve = || {
        let mut command = command(&["serve", "--image-dir", folder.path().to_str().expect("a text")]);
        command.env("AGB_API_KEY", "the-key-of-this-test");
        command
    };
    for is_first in [true, false] {
        let (mut child, mut terminal) = on_terminal(serve());
        let shown = read_until(&mut terminal, &["[Y/n]", "listening on"]);
        assert_eq!(shown.contains("missing: surely-not-there"), is_first, "{shown}");
        if is_first {
            terminal.write_all(b"n\n").expect("it takes keys");
            let shown = read_until(&mut terminal, &["listening on"]);
            assert!(shown.contains("Later: agb-server images prepare"), "{shown}");
        }
        // What it has, for the person at the terminal.
        let shown = read_until(&mut terminal, &["network    none"]);
        assert!(shown.contains("languages  python 3") && shown.contains("isolation  "), "{shown}");
        kill_process(Pid::from_child(&child), Signal::TERM).expect("it runs");
        assert!(child.wait().expect("an end").success());
    }
    // Without anybody to ask it says so in its log, and goes on.
    let mut quiet = serve();
    let mut child = quiet.arg("--exit-with-stdin").spawn().expect("a process");
    drop(child.stdin.take());
    let output = child.wait_with_output().expect("an end");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && log.contains("images prepare") && !log.contains("[Y/n]"), "{log}");
}

#[test]
fn what_cannot_be_prepared_does_not_serve() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("agb-code-space-1.toml"), "[python]\npackages = ['./not-there.whl']")
        .expect("a file");
    let args = ["serve", "--prepare", "--image-dir", folder.path().to_str().expect("a text")];
    let (status, out, err) = finish(command(&args).spawn().expect("a process"), b"");
    assert_eq!((status, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("[2/3] install ./not-there.whl") && err.contains("could not be prepared"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shell_is_a_terminal() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let command = about(&server, &["shell", &session.id]);
    let shown = tokio::task::spawn_blocking(move || {
        let (mut child, mut ours) = on_terminal(command);
        let mut keys = ours.try_clone().expect("a handle");
        // The size; then a key that only a raw terminal hands on; then the end. What says that it is ready is the program
        // in the foreground itself: a key that comes while the shell starts one may not reach it.
        let waits = "sh -c 'echo ready-$((1 + 1)); exec sleep 1000'\n";
        let steps = [("", "stty size\n"), ("31 97", waits), ("ready-2", "\x03"), ("^C", "exit 7\n")];
        let mut steps = steps.into_iter().peekable();
        let mut shown = String::new();
        let mut buffer = [0; 4096];
        loop {
            if let Some((_, typed)) = steps.next_if(|(sign, _)| shown.contains(sign)) {
                keys.write_all(typed.as_bytes()).expect("it takes keys");
                continue;
            }
            // At its end the terminal is gone, which is an error here.
            let Ok(length @ 1..) = ours.read(&mut buffer) else { break };
            shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
        (child.wait().expect("an end").code(), shown)
    });
    let (status, shown) = tokio::time::timeout(PATIENCE, shown).await.expect("it ends").expect("no panic");
    assert_eq!(status, Some(7), "{shown}");
    let (status, _, err) = output(about(&server, &["shell", &session.id])).await;
    assert_eq!(status, Some(1));
    assert!(err.contains("needs a terminal"), "{err}");
    server.stop().await;
}
