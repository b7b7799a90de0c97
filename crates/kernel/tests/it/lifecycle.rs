//! Queues, interrupts, deaths, restarts, forgeries; and nothing that stays behind.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use agb_kernel::{Cell, CellEvent, Death, Kernel, Language, Outcome, ProtocolError, StartError, StdinError};

use crate::support::{PATIENCE, Workdir, eventually, finish, kernel, kernel_with, next, processes_in, spec, until};

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn cells_queue_in_order() {
    let python = kernel(Language::Python);
    let first = python.start("import time\ntime.sleep(0.05)\nx = ['first']");
    let second = python.start("x.append('second')");
    let third = python.start("x.append('third')\nx");
    let third = finish(third).await;
    assert_eq!(third.value().as_deref(), Some("['first', 'second', 'third']"));
    assert_eq!((finish(first).await.end.execution_count, third.end.execution_count), (1, 3));
    assert_eq!(finish(second).await.end.outcome, Outcome::Finished);
}

#[tokio::test]
async fn the_queue_has_an_end() {
    let python = kernel_with(Language::Python, |limits| limits.queued_cells = 1);
    let mut running = python.start("print('on', flush=True)\ninput()\nimport time\ntime.sleep(100)");
    let _ = next(&mut running).await;
    let queued = python.start("1");
    let refused = finish(python.start("2")).await;
    assert_eq!(refused.end.outcome, Outcome::NotStarted(StartError::QueueFull(1)));
    assert_eq!(refused.end.execution_count, 0);
    drop(running);
    assert_eq!(finish(queued).await.end.outcome, Outcome::Finished);
}

#[tokio::test]
async fn a_queued_cell_is_removed_at_once() {
    let python = kernel(Language::Python);
    let mut running = python.start("import os\nprint('on')\nwhile not os.path.exists('go'): pass");
    until(&mut running, "on").await;
    let queued = python.start("1");
    let dropped = python.start("open('dropped', 'w')");
    let control = queued.control();
    control.interrupt();
    let ran = finish(queued).await;
    assert_eq!((&ran.end.outcome, ran.events.len(), ran.end.execution_count), (&Outcome::Cancelled, 0, 0));
    assert_eq!(control.write_stdin(String::new()), Err(StdinError::Closed));
    drop(dropped);
    std::fs::write(python.workdir.path().join("go"), "").unwrap();
    assert_eq!(finish(running).await.end.outcome, Outcome::Finished);
    assert_eq!(python.value("os.path.exists('dropped')").await.as_deref(), Some("False"));
}

#[tokio::test]
async fn an_interrupt_reaches_what_the_program_waits_for() {
    let python = kernel(Language::Python);
    python.run("x = 1\nimport os, subprocess").await;
    for code in ["print('on')\nos.system('sleep 100')", "print('on')\nsubprocess.run(['sleep', '100'])"] {
        let mut run = python.start(code);
        until(&mut run, "on").await;
        // The child may not have been started yet; then the next one is.
        let control = run.control();
        control.interrupt();
        let ran = finish(run).await;
        assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Cancelled, false), "{code}: {ran:#?}");
    }
    assert_eq!(python.value("x").await.as_deref(), Some("1"));
    assert!(processes_in(python.workdir.path()).len() <= 1);
}

#[tokio::test]
async fn an_interrupt_meets_no_later_cell() {
    let python = kernel(Language::Python);
    python.run("import time").await;
    let interpreter = processes_in(python.workdir.path())[0].0;
    let stat = std::fs::read_to_string(format!("/proc/{interpreter}/stat")).unwrap();
    let first = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)).unwrap().to_owned();
    let signal = |name: &str| assert!(Command::new("kill").args([name, &first]).status().unwrap().success());
    // The sandbox's first process, which hands the signal on, has no time just now.
    signal("-STOP");
    let mut run = python.start("print('on')\ntime.sleep(0.1)");
    let later = python.start("time.sleep(1)");
    until(&mut run, "on").await;
    drop(run);
    tokio::time::sleep(Duration::from_millis(500)).await;
    signal("-CONT");
    let later = finish(later).await;
    assert_eq!(later.end.outcome, Outcome::Finished, "{later:#?}");
}

#[tokio::test]
async fn dropping_an_execution_interrupts_it() {
    for (language, set, code, value) in [
        (Language::Python, "x = 1", "print('on')\nwhile True: pass", "1"),
        (Language::JavaScript, "var x = 1", "console.log('on'); while (true) {}", "1"),
        (Language::R, "x <- 1", "cat('on')\nrepeat {}", "[1] 1"),
        (Language::Java, "int x = 1;", "System.out.print(\"on\"); while (true) {}", "1"),
    ] {
        let subject = kernel(language);
        subject.run(set).await;
        let mut run = subject.start(code);
        until(&mut run, "on").await;
        drop(run);
        assert_eq!(subject.value("x").await.as_deref(), Some(value));
    }
}

#[tokio::test]
async fn what_cannot_be_interrupted_is_killed_with_all_it_started() {
    let python = kernel_with(Language::Python, |limits| limits.interrupt_grace = SHORT);
    python.run("x = 1").await;
    let code = "import signal, subprocess\nsubprocess.Popen(['setsid', 'sleep', '1000'])\n\
                subprocess.Popen('(setsid sleep 1001 &) ; true', shell=True).wait()\n\
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\nprint('on')\nsum(range(10**12))";
    let mut run = python.start(code);
    until(&mut run, "on").await;
    let dir = python.workdir.path();
    eventually("both sleeps run", || processes_in(&dir).iter().filter(|(_, name)| name.trim() == "sleep").count() == 2)
        .await;
    let start = Instant::now();
    run.control().interrupt();
    let ran = finish(run).await;
    assert!(start.elapsed() >= SHORT);
    assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Cancelled, true), "{ran:#?}");
    assert_eq!(processes_in(&dir), []);
    let ran = python.run("x").await;
    assert_eq!((ran.error().name.as_str(), ran.end.execution_count), ("NameError", 3), "a fresh process");
}

#[tokio::test]
async fn a_timeout_that_is_ignored_is_a_timeout_still() {
    let node = kernel_with(Language::JavaScript, |limits| limits.interrupt_grace = SHORT);
    // A synchronous child that ignores the signal.
    let code = "require('child_process').execSync(`sh -c 'trap \"\" INT; sleep 1000 & wait; sleep 1000'`)";
    let timeout = Duration::from_secs(2);
    let ran = node.run_for(code, timeout).await;
    assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::TimedOut(timeout), true), "{ran:#?}");
    assert_eq!(processes_in(node.workdir.path()), []);
    assert_eq!(node.value("1").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_death_ends_the_run_at_once_and_says_how() {
    for (language, code, death, words) in [
        (Language::Python, "print('last')\nimport os\nos._exit(7)", Death::Exited(7), "exited with code 7"),
        (
            Language::Python,
            "print('last')\nimport os\nos.kill(os.getpid(), 9)",
            Death::Signalled(9),
            "SIGKILL (signal 9, not for a limit of its session: the machine may be out of memory)",
        ),
        (
            Language::Python,
            "print('last')\nimport ctypes\nctypes.string_at(0)",
            Death::Signalled(11),
            "segmentation fault",
        ),
        (Language::JavaScript, "console.log('last'); process.reallyExit(7)", Death::Exited(7), "exited with code 7"),
        (
            Language::JavaScript,
            "console.log('last'); process.kill(process.pid, 'SIGKILL')",
            Death::Signalled(9),
            "SIGKILL",
        ),
    ] {
        let subject = kernel(language);
        let ran = subject.run(code).await;
        assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Killed(death), true), "{code}: {ran:#?}");
        assert!(ran.end.outcome.to_string().contains(words), "{}", ran.end.outcome);
        assert_eq!(ran.stdout(), "last\n");
        let next = subject.run("1").await;
        assert_eq!((next.value().as_deref(), next.end.execution_count), (Some("1"), 2));
    }
}

#[tokio::test]
async fn a_forked_child_does_not_hide_the_death_of_its_parent() {
    let python = kernel(Language::Python);
    let code = "import os, time\nif os.fork() == 0:\n    time.sleep(1000)\nos._exit(3)";
    assert_eq!(python.run(code).await.end.outcome, Outcome::Killed(Death::Exited(3)));
    assert_eq!(processes_in(python.workdir.path()), []);
}

#[tokio::test]
async fn a_death_between_two_cells_is_told_to_the_second() {
    let python = kernel(Language::Python);
    python.run("import os").await;
    assert_eq!(processes_in(python.workdir.path()).len(), 1);
    python.output("import threading, time\ndef end():\n    time.sleep(0.05)\n    os._exit(3)\nthreading.Thread(target=end).start()").await;
    eventually("the process is gone", || processes_in(python.workdir.path()).is_empty()).await;
    let ran = python.run("1").await;
    assert_eq!(ran.value().as_deref(), Some("1"));
    assert!(ran.stderr().contains("exited with code 3"), "{ran:#?}");
}

#[tokio::test]
async fn forged_frames_kill_the_kernel_and_nothing_else() {
    let frame = |json: &str| {
        format!(
            "import os\nj = {json:?}.encode()\nos.write(4, len(j).to_bytes(4, 'big') + j)\nimport time\ntime.sleep(100)"
        )
    };
    for (code, error) in [
        (
            "import os\nos.write(4, b'garbage, not a frame')\nimport time\ntime.sleep(100)".to_owned(),
            ProtocolError::TooLarge(0x6761_7262),
        ),
        (
            "import os\nos.write(4, b'\\x00\\x00\\x00\\x03abc')\nimport time\ntime.sleep(100)".to_owned(),
            ProtocolError::Malformed,
        ),
        (frame(r#"{"type":"done","nonce":"guessed","failed":false,"seconds":0}"#), ProtocolError::Stray),
        (frame(r#"{"type":"ready"}"#), ProtocolError::Stray),
        (frame(r#"{"type":"done"}"#), ProtocolError::Malformed),
        ("import os, time\nos.close(4)\ntime.sleep(100)".to_owned(), ProtocolError::Closed),
    ] {
        let python = kernel(Language::Python);
        let ran = python.run(&code).await;
        assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Killed(Death::Protocol(error)), true), "{code}");
        assert_eq!(python.value("1").await.as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn shutdown_leaves_nothing() {
    for language in Language::ALL {
        let subject = kernel(language);
        let code = match language {
            Language::Python => {
                "import subprocess\nsubprocess.Popen(['setsid', 'sleep', '1000'])\nprint('on')\nwhile True: pass"
            }
            Language::R => "system('setsid sleep 1000', wait = FALSE)\ncat('on')\nrepeat {}",
            Language::Java => {
                "new ProcessBuilder(\"setsid\", \"sleep\", \"1000\").start();\nSystem.out.print(\"on\");\nwhile (true) {}"
            }
            Language::JavaScript => {
                "require('child_process').spawn('setsid', ['sleep', '1000']); console.log('on'); while (true) {}"
            }
        };
        let mut run = subject.start(code);
        until(&mut run, "on").await;
        let queued = subject.start("1");
        let start = Instant::now();
        subject.kernel.shutdown().await;
        assert!(start.elapsed() < Duration::from_secs(10));
        assert_eq!(processes_in(subject.workdir.path()), []);
        let ran = finish(run).await;
        assert_eq!((ran.end.outcome, ran.end.state_lost), (Outcome::Cancelled, true));
        assert_eq!(finish(queued).await.end.outcome, Outcome::Cancelled);
        assert_eq!(finish(subject.start("1")).await.end.outcome, Outcome::NotStarted(StartError::ShutDown));
        subject.kernel.shutdown().await;
    }
}

#[tokio::test]
async fn dropping_the_last_handle_kills_the_kernel() {
    let python = kernel(Language::Python);
    let other = python.kernel.clone();
    python.run("import subprocess\np = subprocess.Popen(['sleep', '1000'])").await;
    let dir = python.workdir.path();
    assert_eq!(processes_in(&dir).len(), 2);
    let workdir = python.workdir;
    drop(python.kernel);
    assert_eq!(finish(other.run(Cell::new("1", PATIENCE))).await.end.outcome, Outcome::Finished);
    drop(other);
    eventually("nothing runs any more", || processes_in(&dir).is_empty()).await;
    drop(workdir);
}

#[test]
fn a_runtime_that_ends_takes_its_kernels_along() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let python = runtime.block_on(async {
        let python = kernel(Language::Python);
        python.run("import subprocess\np = subprocess.Popen(['setsid', 'sleep', '1000'])").await;
        python
    });
    assert!(!processes_in(python.workdir.path()).is_empty());
    drop(runtime);
    // The interpreter is gone; what it started goes with its sandbox, which the launcher ends.
    let deadline = Instant::now() + PATIENCE;
    while !processes_in(python.workdir.path()).is_empty() {
        assert!(Instant::now() < deadline, "{:?}", processes_in(python.workdir.path()));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test]
async fn an_interpreter_that_does_not_start_says_why() {
    let workdir = Workdir::new();
    let start = async |interpreter: &str, timeout: Option<Duration>| {
        let mut spec = spec(Language::Python, interpreter, workdir.root());
        spec.limits.start_timeout = timeout.unwrap_or(spec.limits.start_timeout);
        finish(Kernel::new(spec).run(Cell::new("1", PATIENCE))).await.end.outcome
    };
    let Outcome::NotStarted(error @ StartError::Spawn { .. }) = start("/absent/python3", None).await else { panic!() };
    assert!(error.to_string().contains("/absent/python3"), "{error}");
    let Outcome::NotStarted(StartError::Died { death, .. }) = start("/bin/false", None).await else { panic!() };
    assert_eq!(death, Death::Exited(1));
    let Outcome::NotStarted(StartError::Died { stderr, .. }) = start("/bin/ls", None).await else { panic!() };
    assert!(stderr.contains("ls:"), "{stderr}");
    let sleeper = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("agb-sleeper-{}", std::process::id()));
    std::fs::write(&sleeper, "#!/bin/sh\nexec sleep 1000\n").unwrap();
    std::fs::set_permissions(&sleeper, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let outcome = start(sleeper.to_str().unwrap(), Some(SHORT)).await;
    std::fs::remove_file(&sleeper).unwrap();
    assert_eq!(outcome, Outcome::NotStarted(StartError::TimedOut { language: Language::Python, limit: SHORT }));
}

#[tokio::test]
async fn a_cell_that_is_cancelled_while_the_kernel_starts_never_runs() {
    let python = kernel(Language::Python);
    let run = python.start("open('ran', 'w')");
    run.control().interrupt();
    let ran = finish(run).await;
    assert_eq!(ran.end.outcome, Outcome::Cancelled);
    assert!(!ran.events.iter().any(|(_, event)| matches!(event, CellEvent::Started)));
    assert_eq!(python.value("import os\nos.path.exists('ran')").await.as_deref(), Some("False"));
}

/// Runs in a process of its own, which the test below kills.
#[tokio::test]
#[ignore = "the victim of the_death_of_the_server_ends_its_kernels"]
async fn victim() {
    let Some(dir) = std::env::var_os("AGB_TEST_VICTIM") else { return };
    let mut runs = Vec::new();
    for (language, code) in [(Language::Python, "while True: pass"), (Language::JavaScript, "while (true) {}")] {
        let interpreter = agb_kernel::find_interpreter(language, None).unwrap();
        let kernel = Kernel::new(spec(language, interpreter, Path::new(&dir)));
        let mut run = kernel.run(Cell::new(code, PATIENCE));
        assert_eq!(next(&mut run).await, Some(CellEvent::Started));
        runs.push((kernel, run));
    }
    std::fs::write(Path::new(&dir).join("busy"), "").unwrap();
    tokio::time::sleep(PATIENCE).await;
}

#[tokio::test]
async fn the_death_of_the_server_ends_its_kernels() {
    let subject = kernel(Language::Python); // for its directory
    let (root, dir) = (subject.workdir.root().to_owned(), subject.workdir.path());
    let mut server = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lifecycle::victim", "--ignored", "--nocapture"])
        .env("AGB_TEST_VICTIM", &root)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("both kernels are busy", || root.join("busy").exists()).await;
    assert_eq!(processes_in(&dir).len(), 2);
    server.kill().unwrap();
    server.wait().unwrap();
    eventually("both kernels are gone", || processes_in(&dir).is_empty()).await;
}

#[tokio::test]
async fn a_warm_kernel_has_run_nothing() {
    for language in Language::ALL {
        let subject = kernel(language);
        assert!(!subject.kernel.is_warm(), "{language}: nobody has asked for it");
        let (one, other) = tokio::join!(subject.kernel.warm(), subject.kernel.warm());
        assert_eq!((one, other), (Ok(()), Ok(())), "{language}");
        assert!(subject.kernel.is_warm(), "{language}");
        let before = processes_in(subject.workdir.path());
        assert!(!before.is_empty(), "{language}");
        let ran = subject.run("1 + 41").await;
        assert_eq!((ran.value().as_deref(), ran.end.execution_count), (Some(answer(language)), 1), "{language}");
        assert_eq!((ran.stdout(), ran.stderr()), (String::new(), String::new()), "{language}");
        assert_eq!(processes_in(subject.workdir.path()), before, "{language}: it ran where it was warm");
        subject.kernel.shutdown().await;
        assert_eq!(subject.kernel.warm().await, Err(StartError::ShutDown), "{language}");
        assert!(!subject.kernel.is_warm() && processes_in(subject.workdir.path()).is_empty(), "{language}");
    }
}

fn answer(language: Language) -> &'static str {
    if language == Language::R { "[1] 42" } else { "42" }
}

#[tokio::test]
async fn a_warm_kernel_that_dies_is_not_mourned() {
    let python = kernel(Language::Python);
    assert_eq!(python.kernel.warm().await, Ok(()));
    for (pid, _) in processes_in(python.workdir.path()) {
        assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
    }
    eventually("it is seen to be dead", || !python.kernel.is_warm()).await;
    let ran = python.run("1 + 41").await;
    assert_eq!((ran.value().as_deref(), ran.end.execution_count, ran.end.state_lost), (Some("42"), 1, false));
    assert_eq!(ran.stderr(), "", "nothing of anybody's was lost");
}

#[tokio::test]
async fn what_cannot_be_warm_says_why() {
    let workdir = Workdir::new();
    let kernel = Kernel::new(spec(Language::Python, "/bin/false", workdir.root()));
    let error = kernel.warm().await.expect_err("it ends at once");
    assert!(matches!(error, StartError::Died { .. }), "{error:?}");
    assert!(!kernel.is_warm());
}

/// Whatever the host's own zone is; a program may choose another.
#[tokio::test]
async fn every_language_is_in_utc() {
    for (language, code) in [
        (Language::Python, "import time; print(time.tzname[0], time.localtime(0).tm_hour)"),
        (Language::JavaScript, "console.log(Intl.DateTimeFormat().resolvedOptions().timeZone, new Date(0).getHours())"),
        (Language::R, "cat(Sys.timezone(), format(.POSIXct(0), '%H'), '\\n')"),
        (
            Language::Java,
            "System.out.println(java.time.ZoneId.systemDefault() + \" \" + java.time.LocalTime.ofInstant(java.time.Instant.EPOCH, java.time.ZoneId.systemDefault()).getHour());",
        ),
    ] {
        let out = kernel(language).output(code).await;
        let out = out.replace("Etc/UTC", "UTC").replace("00", "0");
        assert_eq!(out.trim(), "UTC 0", "{language}");
    }
}

/// What a program had that was killed for its memory may be its session's for a moment longer.
#[tokio::test]
async fn an_interpreter_that_the_session_has_no_memory_for_is_started_again() {
    let dir = std::env::temp_dir().join(format!("agb-no-memory-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let python = agb_kernel::find_interpreter(Language::Python, None).unwrap();
    for (fails, starts) in [(2, 3), (1000, 5)] {
        // Each process is below its own limit; all together they are above that of the session.
        let script = format!(
            "#!/bin/sh\n\
             [ \"$2\" = -S ] && exec {python} \"$@\"  # this one compiles the harness\n\
             echo >> starts\n\
             [ $(wc -l < starts) -gt {fails} ] && exec {python} \"$@\"\n\
             exec {python} -I -S -c 'import os, time\n\
             for _ in range(8):\n    if os.fork() == 0: x = bytearray(100 << 20); time.sleep(1000)\n\
             time.sleep(1000)'\n",
            python = python.display()
        );
        let interpreter = dir.join("python3");
        std::fs::write(&interpreter, script).unwrap();
        std::fs::set_permissions(&interpreter, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let workdir = Workdir::new();
        let mut spec = spec(Language::Python, &interpreter, workdir.root());
        spec.policy.limits.total_memory = 256 << 20;
        spec.zygote = None;
        let ran = finish(Kernel::new(spec).run(Cell::new("6 * 7", PATIENCE))).await;
        if fails < starts {
            assert_eq!(ran.value().as_deref(), Some("42"), "{:?}", ran.end.outcome);
        } else {
            let Outcome::NotStarted(error) = &ran.end.outcome else { panic!("{:?}", ran.end.outcome) };
            assert!(error.to_string().contains("memory limit 256 MiB"), "{error}");
        }
        let counted = std::fs::read_to_string(workdir.path().join("starts")).unwrap().lines().count();
        assert_eq!(counted, starts);
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
