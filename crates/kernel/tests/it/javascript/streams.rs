//! A run begins with working streams, whatever the ones before it did with theirs.

use agb_kernel::Outcome;

use super::node;
use crate::random::Random;

/// Ways to close, to wrap and to take away; `S` is one of the two streams and `FD` its descriptor.
const WAYS: &[&str] = &[
    "process.S.end('over\\n')",
    "process.S.destroy()",
    "process.S.destroy(new Error('broken')); process.S.on('error', () => {})",
    "process.S.cork(); process.S.write('held')",
    "process.S.write = () => true",
    "process.S._write = (c, e, done) => done(new Error('full')); process.S.on('error', () => {})",
    "process.S.write = function (...args) { return false }; process.S.end = null",
    "Object.defineProperty(process, 'S', { value: null })",
    "Object.defineProperty(process, 'S', { get: () => { throw new Error('gone') }, configurable: true })",
    "delete process.S",
    "Object.defineProperty(process, 'S', { value: null, configurable: false })",
    "delete process.S; Object.defineProperty(process, 'S', { get: () => null })",
    "process.S = new (require('stream').PassThrough)()",
    "Object.freeze(process.S)",
    "Object.setPrototypeOf(process.S, null)",
    "require('stream').Writable.prototype.write = () => { throw new Error('replaced') }",
    "process.S.setDefaultEncoding('latin1'); process.S.emit('close'); process.S.removeAllListeners()",
    "require('fs').closeSync(FD)",
    "require('fs').close(FD, () => {})",
    "for (let fd = 0; fd < 5; fd++) try { require('fs').closeSync(fd) } catch {}",
    "await new Promise((done) => require('fs').createWriteStream(null, { fd: FD }).end('by number\\n', done))",
    "console.log = console.error = () => {}",
    "console._stdout = console._stderr = null",
    "globalThis.console = { log() {}, error() {} }",
    "delete globalThis.console",
    "console.group('in'); console.log = null",
    "require('stream').pipeline(require('stream').Readable.from(['piped\\n']), process.S, () => {})",
    "require('stream').Readable.from(['piped\\n']).pipe(process.S)",
    "process.S.end(); process.S.write('after the end'); process.S.on('error', () => {})",
];

#[tokio::test]
async fn a_run_writes_whatever_the_ones_before_it_did() {
    let node = node();
    node.run(
        "globalThis.keptLog = console.log; globalThis.keptOut = process.stdout; globalThis.keptError = console.error",
    )
    .await;
    let mut random = Random::new();
    for round in 0..60 {
        let ways: Vec<String> = (0..=random.below(2))
            .map(|_| {
                let (stream, fd) = if random.below(2) == 0 { ("stdout", "1") } else { ("stderr", "2") };
                random
                    .pick(WAYS)
                    .replace("process.S", &format!("process.{stream}"))
                    .replace("'S'", &format!("'{stream}'"))
                    .replace("FD", fd)
            })
            .collect();
        let ran = node.run(&ways.join("\n")).await;
        assert!(!ran.end.state_lost, "{ways:?}: {ran:#?}");
        let code = format!(
            "console.log('log {round}'); process.stdout.write('out\\n'); console.error('error'); process.stderr.write('err\\n');\n\
             require('fs').writeSync(1, 'fd\\n'); const file = require('fs').openSync('kept.txt', 'w'); require('fs').closeSync(file);\n\
             console.log(file > 4)"
        );
        let ran = node.run(&code).await;
        assert_eq!(ran.end.outcome, Outcome::Finished, "{ways:?}: {ran:#?}");
        assert_eq!(ran.stdout(), format!("log {round}\nout\nfd\ntrue\n"), "{ways:?}");
        assert_eq!(ran.stderr(), "error\nerr\n", "{ways:?}");
    }
}

#[tokio::test]
async fn what_a_program_has_kept_of_its_streams_works_on() {
    let node = node();
    node.run("const { log } = console; const { stdout } = process; const own = new console.Console(process.stdout)")
        .await;
    for end in ["process.stdout.end()", "process.stdout.destroy()", "process.stdout.cork()"] {
        node.run(end).await;
        let out = node.output("log('log'); stdout.write('out\\n'); own.log('own'); stdout === process.stdout").await;
        assert_eq!(out, "log\nout\nown\n", "{end}");
    }
    assert_eq!(
        node.value("typeof console.Console + typeof console.table + typeof console.context").await.as_deref(),
        Some("'functionfunctionfunction'")
    );
}

#[tokio::test]
async fn listeners_of_one_run_are_not_those_of_the_next() {
    let node = node();
    for _ in 0..15 {
        let ran = node.run("process.stdout.on('error', () => {}).on('close', () => {}); 0").await;
        assert_eq!((ran.end.outcome.clone(), ran.stderr()), (Outcome::Finished, String::new()), "{ran:#?}");
    }
}

/// What is put back before each run does not make V8 slow with the streams.
#[tokio::test]
async fn the_streams_stay_as_quick_as_they_were() {
    let node = node();
    let code = "require('v8').setFlagsFromString('--allow-natives-syntax')\n\
                const isQuick = eval('(object) => %HasFastProperties(object)')";
    node.run(code).await;
    for run in 0..3 {
        let code = "console.log('out'); console.error('err')\n\
                    const { stdout, stderr } = process;\n\
                    [stdout, stderr].map((stream) => [isQuick(stream), isQuick(stream._writableState)]).flat().join()";
        assert_eq!(node.value(code).await.as_deref(), Some("'true,true,true,true'"), "{run}");
    }
}

/// Texts of every length, some with characters of more bytes than units, come as they are.
#[tokio::test]
async fn texts_of_any_length_are_written_whole() {
    let node = node();
    for (text, length) in [
        ("a", 1),
        ("a", 5461),
        ("a", 5462),
        ("a", 16384),
        ("a", 16385),
        ("€", 5461),
        ("€", 5462),
        ("ß😀", 40000),
        ("", 0),
    ] {
        let code = format!("process.stdout.write('{text}'.repeat({length})); 0");
        assert!(node.output(&code).await == text.repeat(length), "{length} times {text:?}");
    }
    let code = "process.stdout.write('a\\ud800b'); process.stdout.write('6162', 'hex'); process.stdout.write('é', 'latin1'); 0";
    let ran = node.run(code).await;
    assert_eq!(ran.stdout(), "a\u{fffd}bab\u{fffd}");
}
