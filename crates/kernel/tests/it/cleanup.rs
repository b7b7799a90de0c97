//! A program that is stopped may clean up, and what it says then belongs to its run.

use std::time::Duration;

use agb_kernel::{Language, Outcome};

use crate::support::{Ran, Subject, finish, kernel_with, until};

/// Long enough for every clean-up here on a busy machine, and longer than patience where nothing of it may be needed.
const GRACE: Duration = Duration::from_secs(400);

fn patient(language: Language) -> Subject {
    kernel_with(language, |limits| limits.interrupt_grace = GRACE)
}

/// Runs a program until it has said "on", interrupts it, and reads it to its end.
async fn interrupted(subject: &Subject, code: &str) -> Ran {
    let mut run = subject.start(code);
    until(&mut run, "on\n").await;
    run.control().interrupt();
    finish(run).await
}

/// What each language's programs do at a Ctrl-C: they say that they clean up, take their time, and say that they have.
const PROGRAMS: &[(Language, &str)] = &[
    (
        Language::Python,
        "import time\ntry:\n    print('on')\n    while True: pass\nexcept KeyboardInterrupt:\n    time.sleep(1)\n    print('cleaned')",
    ),
    (
        Language::Python,
        "import time\ntry:\n    print('on')\n    time.sleep(1000)\nfinally:\n    time.sleep(0.3)\n    print('cleaned')",
    ),
    (
        Language::Python,
        "import signal, sys, time\ndef stop(*_):\n    sys.exit(3)\nsignal.signal(signal.SIGINT, stop)\n\
         try:\n    print('on')\n    time.sleep(1000)\nfinally:\n    time.sleep(0.3)\n    print('cleaned')",
    ),
    (
        Language::Python,
        "import contextlib, time\n@contextlib.contextmanager\ndef held():\n    try:\n        yield\n    finally:\n        \
         time.sleep(0.3)\n        print('cleaned')\nwith held():\n    print('on')\n    time.sleep(1000)",
    ),
    (
        Language::Python,
        "import asyncio\nasync def main():\n    try:\n        print('on')\n        await asyncio.sleep(1000)\n    finally:\n        \
         await asyncio.sleep(0.3)\n        print('cleaned')\nasyncio.run(main())",
    ),
    (
        Language::Python,
        "import asyncio\ntry:\n    print('on')\n    await asyncio.sleep(1000)\nfinally:\n    await asyncio.sleep(0.3)\n    print('cleaned')",
    ),
    (
        Language::Python,
        "import subprocess\ntry:\n    print('on')\n    subprocess.run(['sleep', '1000'])\nexcept KeyboardInterrupt:\n    \
         subprocess.run('sleep 0.3; echo cleaned', shell=True)",
    ),
    (
        Language::JavaScript,
        "process.on('SIGINT', () => setTimeout(() => { console.log('cleaned'); process.exit() }, 1000));\n\
         setInterval(() => {}, 1000); console.log('on')",
    ),
    (
        Language::JavaScript,
        "const timer = setInterval(() => {}, 1000);\n\
         process.once('SIGINT', async () => { clearInterval(timer); await new Promise((f) => setTimeout(f, 300)); console.log('cleaned') });\n\
         console.log('on')",
    ),
    (
        Language::JavaScript,
        "process.once('SIGINT', () => { setTimeout(() => { console.log('cleaned'); process.kill(process.pid, 'SIGINT') }, 300) });\n\
         console.log('on'); await new Promise((f) => setTimeout(f, 1e6))",
    ),
    (
        Language::JavaScript,
        "const stop = new AbortController(); process.on('SIGINT', () => stop.abort());\n\
         const { setTimeout: sleep } = require('timers/promises'); console.log('on');\n\
         try { await sleep(1e6, null, { signal: stop.signal }) } finally { await sleep(300); console.log('cleaned') }",
    ),
    (Language::R, "tryCatch({ cat('on\\n'); repeat {} }, interrupt = function(e) { Sys.sleep(1); cat('cleaned\\n') })"),
    (
        Language::R,
        "f <- function() { on.exit({ Sys.sleep(0.3); cat('cleaned\\n') }); cat('on\\n'); Sys.sleep(1000) }\nf()",
    ),
    (Language::R, "tryCatch({ cat('on\\n'); Sys.sleep(1000) }, finally = { Sys.sleep(0.3); cat('cleaned\\n') })"),
    (
        Language::Java,
        "try { System.out.println(\"on\"); Thread.sleep(1_000_000); }\n\
         catch (InterruptedException stop) { Thread.sleep(1000); System.out.println(\"cleaned\"); }",
    ),
    (
        Language::Java,
        "try { System.out.println(\"on\"); while (true) { } }\n\
         finally { long end = System.nanoTime() + 300_000_000; while (System.nanoTime() < end) { } System.out.println(\"cleaned\"); }",
    ),
    (
        Language::Java,
        "public class Main { public static void main(String[] a) throws Exception {\n\
         Runtime.getRuntime().addShutdownHook(new Thread(() -> { try { Thread.sleep(300); } catch (InterruptedException e) { }\n\
         System.out.println(\"cleaned\"); }));\nSystem.out.println(\"on\"); Thread.sleep(1_000_000); } }",
    ),
    (
        Language::Java,
        "public class Main { static volatile boolean goes = true; public static void main(String[] a) throws Exception {\n\
         Thread main = Thread.currentThread();\nRuntime.getRuntime().addShutdownHook(new Thread(() -> { goes = false;\n\
         try { main.join(); } catch (InterruptedException e) { } }));\n\
         System.out.println(\"on\"); while (goes) { } System.out.println(\"cleaned\"); } }",
    ),
    (
        Language::Java,
        "System.out.println(\"on\"); while (!Thread.currentThread().isInterrupted()) { } System.out.println(\"cleaned\");",
    ),
];

#[tokio::test]
async fn a_cancelled_program_cleans_up_in_its_run() {
    for language in [Language::Python, Language::JavaScript, Language::R, Language::Java] {
        let subject = patient(language);
        for (_, code) in PROGRAMS.iter().filter(|program| program.0 == language) {
            let ran = interrupted(&subject, code).await;
            assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Cancelled, false), "{code}: {ran:#?}");
            assert_eq!(ran.stdout(), "cleaned\n", "{code}: {ran:#?}");
            // Nothing of it is left for the next one.
            let next = subject.run("1 + 1").await;
            assert_eq!((&next.end.outcome, next.stdout()), (&Outcome::Finished, String::new()), "{code}: {next:#?}");
        }
    }
}

/// Half of the grace is over when the program has cleaned up, and a program whose time is up has the same.
#[tokio::test]
async fn nothing_disturbs_a_clean_up_for_three_quarters_of_the_grace() {
    let python = kernel_with(Language::Python, |limits| limits.interrupt_grace = Duration::from_secs(4));
    let code = "import time\ntry:\n    print('on')\n    time.sleep(1000)\nexcept KeyboardInterrupt:\n    time.sleep(2.2)\n    print('cleaned')";
    let timeout = Duration::from_millis(500);
    let ran = python.run_for(code, timeout).await;
    assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::TimedOut(timeout), false), "{ran:#?}");
    assert_eq!(ran.stdout(), "on\ncleaned\n");
}

/// Who takes the first interrupt and goes on gets a second one, which leaves the state as it is.
#[tokio::test]
async fn a_program_that_goes_on_is_interrupted_again() {
    for (language, set, code, value) in [
        (
            Language::Python,
            "x = 1",
            "import time\nprint('on')\ntry:\n    time.sleep(1000)\nexcept KeyboardInterrupt:\n    time.sleep(1000)",
            "1",
        ),
        (
            Language::JavaScript,
            "var x = 1",
            "process.on('SIGINT', () => {}); setInterval(() => {}, 1000); console.log('on')",
            "1",
        ),
        (Language::JavaScript, "var x = 1", "process.on('SIGINT', () => {}); console.log('on'); for (;;) {}", "1"),
        (
            Language::R,
            "x <- 1",
            "tryCatch({ cat('on\\n'); Sys.sleep(1000) }, interrupt = function(e) Sys.sleep(1000))",
            "[1] 1",
        ),
        (
            Language::Java,
            "int x = 1;",
            "System.out.println(\"on\"); while (true) { try { Thread.sleep(1_000); } catch (InterruptedException stop) { } }",
            "1",
        ),
        (
            Language::Java,
            "int x = 1;",
            "Runtime.getRuntime().addShutdownHook(new Thread(() -> { while (true) { } })); System.out.println(\"on\"); Thread.sleep(1_000_000);",
            "1",
        ),
    ] {
        // The second comes after 3 s; the rest is for a machine that has no time to stop it.
        let subject = kernel_with(language, |limits| limits.interrupt_grace = Duration::from_secs(4));
        subject.run(set).await;
        let ran = interrupted(&subject, code).await;
        assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Cancelled, false), "{code}: {ran:#?}");
        assert_eq!(subject.value("x").await.as_deref(), Some(value), "{code}");
    }
}

/// What one program does at an interrupt is not done at the interrupt of another one.
#[tokio::test]
async fn a_later_run_is_stopped_at_once() {
    for (language, earlier, code) in [
        (
            Language::Python,
            "import signal, time\nsignal.signal(signal.SIGINT, lambda *_: print('earlier'))",
            "print('on')\ntime.sleep(1000)",
        ),
        (
            Language::JavaScript,
            "process.on('SIGINT', () => console.log('earlier'))",
            "console.log('on'); await new Promise((f) => setTimeout(f, 1e6))",
        ),
        (
            Language::Java,
            "Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println(\"earlier\")));",
            "System.out.println(\"on\"); Thread.sleep(1_000_000);",
        ),
    ] {
        let subject = patient(language);
        subject.run(earlier).await;
        let ran = interrupted(&subject, code).await;
        assert_eq!((&ran.end.outcome, ran.stdout().as_str()), (&Outcome::Cancelled, ""), "{code}: {ran:#?}");
    }
}

/// A whole program of Java ends with its shutdown hooks, as `java` ends it; they are run once.
#[tokio::test]
async fn a_main_of_java_ends_with_its_hooks() {
    let java = kernel_with(Language::Java, |limits| limits.interrupt_grace = Duration::from_secs(8));
    let code = "public class Main { public static void main(String[] a) {\n\
                Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println(\"bye\")));\n\
                java.util.logging.Logger.getLogger(\"x\").fine(\"y\");\nSystem.out.println(\"main\"); } }";
    assert_eq!(java.output(code).await, "main\nbye\n");
    assert_eq!(java.output("System.out.println(\"later\");").await, "later\n");
    let failing = code.replace("System.out.println(\"main\");", "throw new IllegalStateException(\"broken\");");
    let ran = java.run(&failing).await;
    assert_eq!((ran.stdout().as_str(), ran.error().value.as_str()), ("bye\n", "broken"), "{ran:#?}");
    // One that the program has started itself is not started again.
    let own = code
        .replace(
            "System.out.println(\"main\");",
            "Thread t = new Thread(() -> System.out.println(\"own\"));\n\
                Runtime.getRuntime().addShutdownHook(t); t.start(); t.join();",
        )
        .replace("main(String[] a)", "main(String[] a) throws Exception");
    assert_eq!(java.output(&own).await, "own\nbye\n");
    // One that never ends is stopped with the run.
    let stuck = code.replace("System.out.println(\"bye\")", "{ System.out.println(\"on\"); while (true) { } }");
    let mut run = java.start(&stuck);
    until(&mut run, "on\n").await;
    run.control().interrupt();
    let ran = finish(run).await;
    assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Cancelled, false), "{ran:#?}");
}
