//! What JavaScript cells do.

mod declarations;
mod ends;
mod input;
mod modules;
mod names;
mod streams;
mod values;

use std::time::Duration;

use agb_kernel::{Cell, CellEvent, Death, Kernel, Language, Outcome, find_interpreter};

use crate::support::{PATIENCE, Subject, Workdir, finish, kernel, kernel_with, next, spec};

fn node() -> Subject {
    kernel(Language::JavaScript)
}

#[tokio::test]
async fn state_is_kept_and_names_can_be_declared_again() {
    let node = node();
    let first = node.run("const x = 20; let y = 1; class A { n() { return 1 } }\nfunction f(a) { return a * 2 }").await;
    assert_eq!((first.end.execution_count, first.end.state_lost), (1, false));
    assert!(first.results().is_empty(), "{first:#?}");
    assert_eq!(node.value("f(x) + y + 1").await.as_deref(), Some("42"));
    assert_eq!(node.value("const x = 'again'; let y = 2; class A {}; x").await.as_deref(), Some("'again'"));
}

#[tokio::test]
async fn the_last_value_is_what_a_console_shows() {
    let node = node();
    for (code, value) in [
        ("42", Some("42")),
        ("'Final result'", Some("'Final result'")),
        ("const data = { value: 21 };\ndata.value * 2;", Some("42")),
        ("({ y: [1, 2], s: new Set('a') })", Some("{ y: [ 1, 2 ], s: Set(1) { 'a' } }")),
        ("{ z: 3 }", Some("{ z: 3 }")),
        ("[1, 'two', null]", Some("[ 1, 'two', null ]")),
        ("null", Some("null")),
        ("10n ** 20n", Some("100000000000000000000n")),
        ("[NaN, -0, 1 / 0]", Some("[ NaN, -0, Infinity ]")),
        ("-0", Some("-0")),
        ("0 / 0", Some("NaN")),
        ("Symbol('s')", Some("Symbol(s)")),
        ("(function named() {})", Some("[Function: named]")),
        ("'ß€😀'", Some("'ß€😀'")),
        ("const a = 5", None),
        ("undefined", None),
        ("", None),
        ("// nothing", None),
        ("for (const i of [1]) ;", None),
    ] {
        assert_eq!(node.value(code).await.as_deref(), value, "{code}");
    }
}

#[tokio::test]
async fn await_works_outside_of_functions() {
    let node = node();
    let code = "const sleep = (ms) => new Promise((done) => setTimeout(done, ms));\nawait sleep(1);\nconst v = await Promise.resolve(41);\nv + 1";
    assert_eq!(node.value(code).await.as_deref(), Some("42"));
    assert_eq!(node.value("v").await.as_deref(), Some("41"));
}

#[tokio::test]
async fn modules_are_required_and_imported() {
    let node = node();
    let write = |name: &str, text: &str| std::fs::write(node.workdir.path().join(name), text).unwrap();
    write("own.js", "module.exports = { common: 1 }; if (require.main === module) throw 1");
    write("own.mjs", "export default 'def'; export const named = 'n'; export { named as 'with space' }");
    write("data.json", r#"{"k": "v"}"#);
    assert_eq!(node.value("require('./own.js').common + require('path').sep").await.as_deref(), Some("'1/'"));
    let code = "import fs, { existsSync as exists } from 'fs';\nimport * as os from \"node:os\"\nimport 'path'\n\
                import def, * as all from './own.mjs';\nimport {\n  named,\n  'with space' as spaced,\n} from './own.mjs';\n\
                [fs.existsSync === exists, typeof os.cpus, def, all.named, named, spaced]";
    assert_eq!(node.value(code).await.as_deref(), Some("[ true, 'function', 'def', 'n', 'n', 'n' ]"));
    let code = "const { named: again } = await import('./own.mjs'); const s = 'import(1)', r = /import(1)/, t = `import(1) ${(await import('os')).EOL}`;\n[again, s, r, t] // import('x')";
    assert_eq!(node.value(code).await.as_deref(), Some("[ 'n', 'import(1)', /import(1)/, 'import(1) \\n' ]"));
    let error = node.run("import { nothing } from 'fs'").await.error();
    assert_eq!(error.value, "The requested module 'fs' does not provide an export named 'nothing'");
    let error = node.run("\nawait import('./absent.mjs')").await.error();
    assert!(error.value.contains("absent.mjs"), "{error:?}");
    assert_eq!(node.value("typeof import.meta.url").await.as_deref(), Some("'string'"));
}

#[tokio::test]
async fn an_error_shows_the_users_lines_only() {
    let node = node();
    node.run("function divide() {\n  throw new RangeError('no')\n}").await;
    let error = node.run("console.log('before');\ndivide()").await.error();
    assert_eq!((error.name.as_str(), error.value.as_str()), ("RangeError", "no"));
    assert_eq!(error.traceback, "RangeError: no\n    at divide (cell-1.js:2:9)\n    at cell-2.js:2:1\n");
    let error = node.run("throw 'just text'").await.error();
    assert_eq!((error.name.as_str(), error.value.as_str()), ("Uncaught", "'just text'"));
    let error = node.run("await null; throw new TypeError('later')").await.error();
    assert_eq!(error.name, "TypeError");
    assert_eq!(node.value("1 + 1").await.as_deref(), Some("2"));
}

/// What follows the frames of an error stays readable, and an error that is only a value has no frames of ours either.
#[tokio::test]
async fn errors_are_whole_without_the_harness() {
    let node = node();
    let error = node.run("require('absent')").await.error();
    assert!(error.traceback.contains("at cell-1.js:1:1 {\n  code: 'MODULE_NOT_FOUND',"), "{}", error.traceback);
    let value = node.value("const held = { error: new Error('held') };\nheld").await.unwrap();
    assert!(value.starts_with("{\n  error: Error: held\n      at cell-2.js:1:23"), "{value}");
    for ours in ["agb:", "node:"] {
        assert!(!value.contains(ours), "{value}");
    }
    let printed = node.output("const f = () => console.log(new Error('printed'));\nf()").await;
    assert_eq!(printed, "Error: printed\n    at f (cell-3.js:1:29)\n    at cell-3.js:2:1\n");
    let code = "Error.prepareStackTrace = (_, frames) => frames.length;\nconst depth = new Error().stack;\n\
                delete Error.prepareStackTrace;\ntypeof depth";
    assert_eq!(node.value(code).await.as_deref(), Some("'number'"), "a program's own goes first");
}

/// `if (require.main === module) main()`, as programs end.
#[tokio::test]
async fn a_cell_is_the_main_program() {
    let node = node();
    for cell in 1..=2 {
        let out = node.output("if (require.main === module) console.log('main');\nmodule.exports = { kept: 1 };").await;
        assert_eq!(out, "main\n", "cell {cell}");
    }
    assert_eq!(node.value("module.exports.kept").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_full_heap_is_told_as_such() {
    let workdir = Workdir::new();
    let mut spec = spec(Language::JavaScript, find_interpreter(Language::JavaScript, None).unwrap(), workdir.root());
    spec.policy.env.push(("NODE_OPTIONS".to_owned(), "--max-old-space-size=30".to_owned()));
    let kernel = Kernel::new(spec);
    let code = "console.log('begin');\nconst hog = [];\nfor (;;) hog.push({ n: [hog.length] });";
    let ran = finish(kernel.run(Cell::new(code, PATIENCE))).await;
    assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Killed(Death::OutOfMemory), true), "{ran:#?}");
    assert_eq!(ran.stdout(), "begin\n");
    let words = ran.end.outcome.to_string();
    assert!(words.contains("out of memory") && words.contains("variables are lost"), "{words}");
    let ran = finish(kernel.run(Cell::new("typeof hog", PATIENCE))).await;
    assert_eq!(ran.value().as_deref(), Some("'undefined'"));
    kernel.shutdown().await;
}

#[tokio::test]
async fn a_syntax_error_points_at_its_place() {
    let error = node().run("let a = 1\nfoo bar").await.error();
    assert_eq!((error.name.as_str(), error.value.as_str()), ("SyntaxError", "Unexpected identifier 'bar'"));
    assert!(
        error.traceback.starts_with("cell-1.js:2\nfoo bar\n    ^\n\nSyntaxError: Unexpected"),
        "{}",
        error.traceback
    );
}

#[tokio::test]
async fn errors_that_nobody_awaits_are_reported_and_not_fatal() {
    let node = node();
    node.run("var kept = 7").await;
    assert_eq!(node.run("Promise.reject(new Error('lost')); 0").await.error().value, "lost");
    assert_eq!(node.run("setTimeout(() => { throw new Error('in a timer') }, 1); 0").await.error().value, "in a timer");
    assert_eq!(node.run("process.nextTick(() => null.x)").await.error().name, "TypeError");
    assert_eq!(node.value("kept").await.as_deref(), Some("7"));
}

#[tokio::test]
async fn a_cell_ends_when_node_would() {
    let node = node();
    let ran = node
        .run("setTimeout(() => console.log('timer'), 20); Promise.resolve().then(() => console.log('micro')); 'value'")
        .await;
    assert_eq!((ran.stdout().as_str(), ran.value().as_deref()), ("micro\ntimer\n", Some("'value'")));
    assert!(ran.end.execution_time >= Duration::from_millis(15), "{ran:#?}");
    let out = node
        .output("const http = require('http');\nconst server = http.createServer((q, r) => r.end('pong')).listen(0, async () => {\n  const r = await fetch(`http://127.0.0.1:${server.address().port}`);\n  console.log(await r.text());\n  server.close(); server.closeAllConnections?.();\n})\nundefined")
        .await;
    assert_eq!(out, "pong\n");
    let error = node.run("await new Promise(() => {})").await.error();
    assert!(error.value.contains("promise"), "{error:?}");
    assert_eq!(node.value("2").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn process_exit_ends_the_cell_and_not_the_kernel() {
    let node = node();
    let ran = node.run("var x = 1; console.log('a'); try { process.exit() } finally { x = 2; console.log('b') }").await;
    assert_eq!((&ran.end.outcome, ran.stdout().as_str()), (&Outcome::Finished, "a\n"), "{ran:#?}");
    let error = node.run("setInterval(() => process.exit(3), 1)").await.error();
    assert_eq!((error.name.as_str(), error.value.as_str()), ("ProcessExit", "process.exit(3)"));
    let ran = node.run("await null; process.exit(0)").await;
    assert_eq!(ran.end.outcome, Outcome::Finished);
    assert_eq!(node.value("x").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn loops_stop_at_their_timeout_and_keep_the_state() {
    let node = node();
    node.run("var kept = 'kept'").await;
    for code in [
        "while (true) {}",
        "await 1; while (true) {}",
        "await new Promise((done) => setTimeout(done, 5)); while (true) {}",
        "setTimeout(() => { while (true) {} }, 1)",
        "setImmediate(() => { while (true) {} })",
        "process.nextTick(() => { while (true) {} })",
        "while (true) { try { while (true) {} } catch {} }",
        "/(a+)+b/.test('a'.repeat(60))",
        "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)",
        "await new Promise(() => setInterval(() => {}, 5))",
        "setInterval(() => {}, 1)",
        "await require('timers/promises').setTimeout(1e6)",
        "await require('util').promisify(setTimeout)(1e6)",
        "require('net').createServer().listen(0); 0",
        "require('child_process').execSync('sleep 100')",
        "require('child_process').spawn('sleep', ['100']); 0",
        "({ get [Symbol.toStringTag]() { while (true) {} } })",
    ] {
        let timeout = Duration::from_millis(60);
        let ran = node.run_for(code, timeout).await;
        assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::TimedOut(timeout), false), "{code}: {ran:#?}");
        assert!(!ran.events.iter().any(|(_, event)| matches!(event, CellEvent::Error(_))), "{code}: {ran:#?}");
        let ran = node.run("console.log(kept)").await;
        assert_eq!((ran.end.outcome, ran.events.len()), (Outcome::Finished, 2), "after {code}: {:#?}", ran.events);
    }
}

/// Interrupts that come while node makes a timer or has just waited for a child; the loops do little else.
#[tokio::test]
async fn an_interrupt_in_the_middle_of_nodes_own_work_breaks_nothing() {
    let node = node();
    node.run("globalThis.kept = 1; var cp = require('child_process'); var { spawnSync } = await import('node:child_process')").await;
    for round in 0..12 {
        for code in [
            "for (;;) setTimeout(() => {}, 1e6)",
            "for (;;) clearInterval(setInterval(() => {}, 1e6)), setImmediate(() => {})",
            "for (;;) require('timers/promises').setTimeout(1e6)",
            "for (;;) cp.execSync('true')",
            "for (;;) spawnSync('sleep', ['0.001'])",
        ] {
            let mut run = node.start(code);
            assert!(matches!(next(&mut run).await, Some(CellEvent::Started)));
            tokio::time::sleep(Duration::from_micros(700 * round)).await;
            run.control().interrupt();
            let ran = finish(run).await;
            assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Cancelled, false), "{code}: {ran:#?}");
            let ran = node.run_for("console.log(kept)", PATIENCE / 2).await;
            assert_eq!((&ran.end.outcome, ran.stdout().as_str()), (&Outcome::Finished, "1\n"), "{code}: {ran:#?}");
        }
    }
}

#[tokio::test]
async fn the_first_cell_can_be_stopped_too() {
    let ran = node().run_for("while (true) {}", Duration::from_millis(60)).await;
    assert_eq!((ran.end.outcome, ran.end.state_lost), (Outcome::TimedOut(Duration::from_millis(60)), false));
}

#[tokio::test]
async fn input_is_asked_for_and_answered() {
    let node = node();
    let code = "const rl = require('readline').createInterface({ input: process.stdin, output: process.stdout });\n\
                rl.question('name? ', (name) => { console.log('hi ' + name); rl.close() }); undefined";
    let mut run = node.kernel.run(Cell { code: code.to_owned(), timeout: PATIENCE, stdin: true });
    let mut events = Vec::new();
    loop {
        match next(&mut run).await.unwrap() {
            CellEvent::InputRequest { .. } => break,
            event => events.push(event),
        }
    }
    run.control().write_stdin("Ada".to_owned()).unwrap();
    let ran = finish(run).await;
    let before: String =
        events.iter().filter_map(|e| if let CellEvent::Stdout(s) = e { Some(s.as_str()) } else { None }).collect();
    assert_eq!(before + &ran.stdout(), "name? hi Ada\n");
    assert_eq!(ran.end.outcome, Outcome::Finished);
    let out = node
        .output("let all = ''; for await (const part of process.stdin) all += part; console.log(JSON.stringify(all))")
        .await;
    assert_eq!(out, "\"\"\n", "nobody answers: at the end at once");
}

#[tokio::test]
async fn what_is_no_text_does_not_break_the_channel() {
    let node = node();
    assert_eq!(node.run("throw new Error('\\ud800')").await.error().value, "\u{fffd}");
    assert!(
        node.value("({ toString: 1, [Symbol.for('nodejs.util.inspect.custom')]: () => 'a\\ud800' })").await.is_some()
    );
    let error = node.run("throw { get message() { throw 1 }, __proto__: Error.prototype }").await.error();
    assert!(!error.name.is_empty(), "{error:?}");
}

#[tokio::test]
async fn a_result_above_the_limit_says_so() {
    let node = kernel_with(Language::JavaScript, |limits| limits.max_control_frame = 10_000);
    let value = node.value("'x'.repeat(20_000)").await.unwrap();
    assert!(value.contains("too large"), "{value}");
}

/// A router in the manner of Express: started, called and stopped in one cell, as tutorials do it.
#[tokio::test]
async fn a_server_is_started_and_called_in_one_cell() {
    let node = node();
    let out = node
        .output(
            "const http = require('http');
             function express() {
               const routes = [];
               const app = (req, res) => {
                 const url = new URL(req.url, 'http://localhost');
                 const route = routes.find((r) => r.method === req.method && r.path === url.pathname);
                 res.json = (body) => { res.setHeader('content-type', 'application/json'); res.end(JSON.stringify(body)) };
                 if (!route) { res.statusCode = 404; return res.json({ error: 'not found' }) }
                 req.query = Object.fromEntries(url.searchParams);
                 route.handler(req, res);
               };
               for (const method of ['GET', 'POST']) app[method.toLowerCase()] = (path, handler) => routes.push({ method, path, handler });
               app.listen = (port, ready) => http.createServer(app).listen(port, ready);
               return app;
             }
             const app = express();
             app.get('/hello', (req, res) => res.json({ hello: req.query.name }));
             const server = app.listen(0);
             await new Promise((ready) => server.once('listening', ready));
             const base = `http://127.0.0.1:${server.address().port}`;
             console.log(await (await fetch(base + '/hello?name=Ada')).json());
             console.log((await fetch(base + '/nothing')).status);
             server.closeAllConnections(); server.close(); undefined",
        )
        .await;
    assert_eq!(out, "{ hello: 'Ada' }\n404\n");
}

#[tokio::test]
async fn workers_and_children_are_caught_and_awaited() {
    let node = node();
    let ran = node
        .run(
            "const { Worker } = require('worker_threads');
             const worker = new Worker(`
               const { parentPort, workerData } = require('worker_threads');
               console.log('worker', workerData); console.error('worker err'); parentPort.postMessage(workerData * 2)
             `, { eval: true, workerData: 21 });
             worker.on('message', (m) => console.log('message', m)); undefined",
        )
        .await;
    assert_eq!(ran.end.outcome, Outcome::Finished, "{ran:#?}");
    let mut lines: Vec<_> = ran.stdout().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!((lines, ran.stderr().as_str()), (vec!["message 42".to_owned(), "worker 21".to_owned()], "worker err\n"));

    std::fs::write(
        node.workdir.path().join("child.js"),
        "process.on('message', (m) => { console.log('child got', m); process.send(m + 1); process.disconnect() })",
    )
    .unwrap();
    let ran = node
        .run(
            "const { exec, fork, spawn } = require('child_process');
             exec('echo from exec', (error, stdout) => console.log(stdout.trim()));
             spawn('sh', ['-c', 'echo spawned; echo spawned err >&2'], { stdio: 'inherit' });
             const child = fork('./child.js'); child.on('message', (m) => console.log('parent got', m)); child.send(1); undefined",
        )
        .await;
    assert_eq!((&ran.end.outcome, ran.stderr().as_str()), (&Outcome::Finished, "spawned err\n"), "{ran:#?}");
    let mut lines: Vec<_> = ran.stdout().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["child got 1", "from exec", "parent got 2", "spawned"]);
    assert_eq!(node.value("1 + 1").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn streams_files_and_modules_of_node_work() {
    let node = node();
    let out = node
        .output(
            "const { pipeline } = require('stream/promises'); const fs = require('fs'); const zlib = require('zlib');
             fs.writeFileSync('in.txt', 'hello '.repeat(1000));
             await pipeline(fs.createReadStream('in.txt'), zlib.createGzip(), fs.createWriteStream('out.gz'));
             console.log(zlib.gunzipSync(fs.readFileSync('out.gz')).length);
             import { setTimeout as sleep } from 'timers/promises';
             for await (const n of (async function* () { yield 1; await sleep(1); yield 2 })()) console.log(n);
             console.table([{ a: 1 }]); console.error('%s is %d', 'x', 5); console.log(structuredClone({ d: [1n] }))",
        )
        .await;
    assert!(
        out.starts_with("6000\n1\n2\n") && out.contains("│ (index) │ a │") && out.ends_with("{ d: [ 1n ] }\n"),
        "{out}"
    );
}
