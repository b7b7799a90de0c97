//! An end tells the truth: what is thrown and not handled is a failure, what is handled is none, and what goes on between
//! two runs ends nothing.

use std::time::Duration;

use agb_kernel::Outcome;

use super::node;
use crate::random::Random;
use crate::support::Subject;

/// What is thrown, with the name and the message that are told.
const THROWN: &[(&str, &str, &str)] = &[
    ("new Error('e')", "Error", "e"),
    ("new RangeError('r')", "RangeError", "r"),
    ("new (class Own extends Error { name = 'Own' })('o')", "Own", "o"),
    ("'text'", "Uncaught", "'text'"),
    ("5", "Uncaught", "5"),
    ("null", "Uncaught", "null"),
    ("undefined", "Uncaught", "undefined"),
    ("10n", "Uncaught", "10n"),
    ("Symbol('s')", "Uncaught", "Symbol(s)"),
    ("[1]", "Uncaught", "[ 1 ]"),
    ("Object.create(null)", "Uncaught", "[Object: null prototype] {}"),
    ("new AggregateError([new Error('a')], 'many')", "AggregateError", "many"),
    ("new Error('outer', { cause: new Error('inner') })", "Error", "outer"),
    ("new DOMException('d', 'AbortError')", "AbortError", "d"),
];

/// Where it is thrown: `V` is the value.
const PLACES: &[&str] = &[
    "throw V",
    "await null; throw V",
    "(() => { throw V })()",
    "await (async () => { throw V })()",
    "(async () => { throw V })(); 0",
    "Promise.reject(V); 0",
    "new Promise((_, reject) => setTimeout(reject, 2, V)); 0",
    "setTimeout(() => { throw V }, 2); 0",
    "setImmediate(() => { throw V }); 0",
    "process.nextTick(() => { throw V })",
    "queueMicrotask(() => { throw V })",
    "Promise.resolve().then(() => { throw V }); 0",
    "const e = new (require('events'))(); e.on('x', () => { throw V }); setTimeout(() => e.emit('x'), 1); 0",
    "require('fs').readFile('absent', () => { throw V })",
    "for await (const x of (async function* () { yield 1; throw V })()) ;",
    "try { throw 0 } finally { throw V }",
];

#[tokio::test]
async fn whatever_is_thrown_wherever_is_told() {
    let node = node();
    node.run("var kept = 'kept'").await;
    let mut random = Random::new();
    for _ in 0..60 {
        let (thrown, name, value) = THROWN[random.below(THROWN.len())];
        let code = random.pick(PLACES).replace('V', thrown).replace("const e", "var e");
        let ran = node.run(&code).await;
        let error = ran.error();
        assert_eq!((error.name.as_str(), error.value.as_str()), (name, value), "{code}");
        assert_eq!(node.value("kept").await.as_deref(), Some("'kept'"), "{code}");
    }
}

#[tokio::test]
async fn what_is_handled_is_no_failure() {
    let node = node();
    for (code, out) in [
        (
            "process.once('uncaughtException', (e) => console.log('mine', e.message)); setTimeout(() => { throw new Error('x') }, 2); 0",
            "mine x\n",
        ),
        ("process.once('unhandledRejection', (e) => console.log('mine', e)); Promise.reject(3); 0", "mine 3\n"),
        (
            "process.on('uncaughtException', (e, origin) => console.log(origin)); Promise.reject(new Error('r')); setTimeout(() => process.removeAllListeners('uncaughtException'), 5); 0",
            "unhandledRejection\n",
        ),
        (
            "process.setUncaughtExceptionCaptureCallback((e) => console.log('taken', e)); setTimeout(() => { throw 4 }, 2); setTimeout(() => process.setUncaughtExceptionCaptureCallback(null), 9); 0",
            "taken 4\n",
        ),
        ("Promise.reject(5).catch((e) => console.log('caught', e)); 0", "caught 5\n"),
        ("process.on('exit', (code) => console.log('bye', code)); 'value'", "bye 0\n"),
        ("process.once('beforeExit', () => setTimeout(() => console.log('more'), 5)); 0", "more\n"),
        ("process.once('beforeExit', async () => { await null; await 1; console.log('settled') }); 0", "settled\n"),
        (
            "process.once('beforeExit', async () => { await require('timers/promises').setTimeout(5); console.log('later') }); 0",
            "later\n",
        ),
        ("process.on('exit', () => console.log('one')); process.exit()", "one\n"),
        ("process.exitCode = 0; console.log('zero')", "zero\n"),
    ] {
        assert_eq!(node.output(code).await, out, "{code}");
    }
    assert_eq!(node.output("console.log('none of it is left')").await, "none of it is left\n");
}

/// The runner's report comes when nothing is left to do.
#[tokio::test]
async fn a_file_of_tests_reports_in_its_run() {
    let code = "const { test } = require('node:test'); const assert = require('assert');\n\
                test('one', () => {}); test('two', async () => { await 1; assert.ok(true) });";
    let out = node().output(code).await;
    assert!(out.contains("ok 2 - two\n") && out.contains("# pass 2\n# fail 0\n"), "{out}");
}

#[tokio::test]
async fn ends_have_their_numbers() {
    let node = node();
    for (code, value, out) in [
        ("process.exit(3)", "process.exit(3)", ""),
        ("process.exitCode = 4; process.exit()", "process.exit(4)", ""),
        ("process.exitCode = 5; console.log('on')", "process.exitCode = 5", "on\n"),
        ("process.on('exit', (code) => console.log('bye', code)); process.exit(6)", "process.exit(6)", "bye 6\n"),
        ("process.on('exit', () => { process.exitCode = 7 }); 0", "process.exitCode = 7", ""),
        ("process.on('exit', () => process.exit(8)); 0", "process.exit(8)", ""),
        ("setTimeout(() => process.exit('9'), 1); setInterval(() => {}, 1); 0", "process.exit(9)", ""),
    ] {
        let ran = node.run(code).await;
        assert_eq!(
            (ran.error().name.as_str(), ran.error().value.as_str(), ran.stdout().as_str()),
            ("ProcessExit", value, out),
            "{code}"
        );
    }
    let ran = node.run("process.on('exit', () => { throw new Error('in exit') }); 0").await;
    assert_eq!(ran.error().value, "in exit");
    let ran = node.run("Promise.reject(new Error('first')); throw new TypeError('second')").await;
    assert_eq!(ran.error().value, "second", "node would have ended with it");
    assert!(ran.stderr().contains("Error: first\n"), "the other is not lost: {ran:#?}");
}

/// After an error that nobody caught node runs nothing more, and waits for nothing.
#[tokio::test]
async fn a_failed_run_waits_for_nothing() {
    let node = node();
    for before in [
        "setInterval(() => console.log('more'), 300)",
        "setTimeout(() => console.log('more'), 300)",
        "require('http').createServer().listen(0)",
        "require('child_process').spawn('sleep', ['1000'])",
        "(async () => { await new Promise((done) => setTimeout(done, 300)); console.log('more') })()",
        "process.stdin.on('data', () => {})",
    ] {
        for place in PLACES {
            let code = format!("{before};\n{}", place.replace('V', "new Error('end')").replace("const e", "var e"));
            let ran = node.run(&code).await;
            assert_eq!((ran.error().value.as_str(), ran.stdout().as_str()), ("end", ""), "{code}");
        }
    }
    let ran =
        node.run("process.on('exit', (code) => console.log('bye', code)); setInterval(() => {}, 1); throw 1").await;
    assert_eq!((ran.error().value.as_str(), ran.stdout().as_str()), ("1", "bye 1\n"));
}

/// What an earlier run has left behind, and does between two runs.
#[tokio::test]
async fn what_happens_between_runs_ends_nothing() {
    const LEFT: &[&str] = &[
        "process.exit(0)",
        "process.exit(1)",
        "process.exit()",
        "process.exitCode = 5; process.exit()",
        "throw new Error('late')",
        "Promise.reject(new Error('late'))",
        "console.log('late')",
        "process.stdout.end('late')",
        "process.stdin.on('data', () => {}).resume()",
        "require('readline').createInterface({ input: process.stdin }).question('late?', () => {})",
        "require('fs').readFileSync(0)",
        "process.emit('beforeExit')",
        "process.kill(process.pid, 'SIGINT')",
        "process.removeAllListeners(); process.kill(process.pid, 'SIGINT')",
        "setTimeout(() => {}, 1e6)",
    ];
    let subject: Subject = node();
    let mut random = Random::new();
    subject.run("var kept = 1").await;
    for _ in 0..30 {
        let left = random.pick(LEFT);
        // Not before the first run has ended; files say when, and when it has happened.
        let code = format!(
            "for (const name of ['go', 'happened']) require('fs').rmSync(name, {{ force: true }});\n\
             var waiting = setInterval(() => {{\n\
             if (!require('fs').existsSync('go')) return;\n\
             clearInterval(waiting); require('fs').writeFileSync('happened', ''); {left} }}, 5).unref(); 0"
        );
        subject.output(&code).await;
        let [go, happened] = ["go", "happened"].map(|name| subject.workdir.path().join(name));
        std::fs::write(go, "").unwrap();
        crate::support::eventually("it has happened", || happened.exists()).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let ran = subject.run("kept").await;
        assert_eq!((&ran.end.outcome, ran.value().as_deref()), (&Outcome::Finished, Some("1")), "{left}: {ran:#?}");
    }
}

/// What the code of a program throws goes to its handlers, as what its timers throw does.
#[tokio::test]
async fn handlers_get_what_the_code_itself_throws() {
    let node = node();
    for code in ["null.foo", "await null; null.foo", "(() => null.foo)()"] {
        let handled = format!(
            "process.on('uncaughtExceptionMonitor', (e) => console.log('monitor', e.name))\n\
             process.once('uncaughtException', (e, origin) => {{ console.log('mine', e.name, origin); setTimeout(() => console.log('later'), 2) }})\n{code}"
        );
        assert_eq!(
            node.output(&handled).await,
            "monitor TypeError\nmine TypeError uncaughtException\nlater\n",
            "{code}"
        );
        node.output("process.removeAllListeners('uncaughtExceptionMonitor')").await;
        let exits =
            format!("process.once('uncaughtException', (e) => {{ console.log('fatal'); process.exit(7) }})\n{code}");
        let ran = node.run(&exits).await;
        assert_eq!((ran.stdout().as_str(), ran.error().value.as_str()), ("fatal\n", "process.exit(7)"), "{code}");
        assert_eq!(node.run(code).await.error().name, "TypeError");
    }
    let ran = node.run("process.once('uncaughtException', () => { throw new RangeError('mine') })\nnull.foo").await;
    assert_eq!(ran.error().name, "RangeError");
    let ran = node.run("process.once('uncaughtException', () => console.log('never'))\nlet = ;").await;
    assert_eq!((ran.error().name.as_str(), ran.stdout().as_str()), ("SyntaxError", ""));
}

#[tokio::test]
async fn the_end_of_a_program_is_told_once() {
    let node = node();
    for (code, printed, ended) in [
        ("process.on('exit', (c) => { console.log('exit', c); process.exit(9) })", "exit 0\n", "process.exit(9)"),
        (
            "process.on('exit', (c) => { console.log('exit', c); process.exit() }); process.exit(3)",
            "exit 3\n",
            "process.exit(3)",
        ),
        (
            "process.on('exit', (c) => { console.log('exit', c); setTimeout(() => console.log('never'), 0) }); setTimeout(() => process.exit(2), 2)",
            "exit 2\n",
            "process.exit(2)",
        ),
    ] {
        let ran = node.run(code).await;
        assert_eq!((ran.stdout().as_str(), ran.error().value.as_str()), (printed, ended), "{code}");
        assert_eq!(node.output("console.log('on')").await, "on\n");
    }
}

/// node takes a file for a function: it may return.
#[tokio::test]
async fn a_program_may_return() {
    let node = node();
    for (code, printed) in [
        ("console.log(1); if (true) return; console.log(2)", "1\n"),
        (
            "console.log(new.target); function f() { return new.target === f } console.log(new f() instanceof f)",
            "undefined\ntrue\n",
        ),
        ("const wait = await Promise.resolve(5); console.log(wait)\nreturn", "5\n"),
        ("'use strict'; console.log(typeof hoisted())\nfunction hoisted() {}\nreturn 7", "undefined\n"),
    ] {
        let ran = node.run(code).await;
        assert_eq!(
            (&ran.end.outcome, ran.stdout().as_str(), ran.value()),
            (&Outcome::Finished, printed, None),
            "{code}"
        );
    }
    let ran = node.run("x = ;\nreturn").await;
    assert_eq!(ran.error().name, "SyntaxError");
    let ran = node.run("console.log(1)\nnull.x\nreturn").await;
    assert!(ran.error().traceback.contains(".js:2:6"), "{ran:#?}");
}
