//! The harness and the program share nothing that the program can change.

use std::time::Duration;

use agb_kernel::Outcome;

use super::node;
use crate::random::Random;
use crate::support::Subject;

/// The harness: the names that it uses are the ones to take away.
const SOURCES: &[&str] = &[
    include_str!("../../../src/javascript/boot.cjs"),
    include_str!("../../../src/javascript/captured.cjs"),
    include_str!("../../../src/javascript/cells.cjs"),
    include_str!("../../../src/javascript/control.cjs"),
    include_str!("../../../src/javascript/declarations.cjs"),
    include_str!("../../../src/javascript/descriptors.cjs"),
    include_str!("../../../src/javascript/ends.cjs"),
    include_str!("../../../src/javascript/errors.cjs"),
    include_str!("../../../src/javascript/imports.cjs"),
    include_str!("../../../src/javascript/input.cjs"),
    include_str!("../../../src/javascript/lines.cjs"),
    include_str!("../../../src/javascript/main.cjs"),
    include_str!("../../../src/javascript/modules.cjs"),
    include_str!("../../../src/javascript/output.cjs"),
    include_str!("../../../src/javascript/stacks.cjs"),
    include_str!("../../../src/javascript/timers.cjs"),
    include_str!("../../../src/javascript/watcher.cjs"),
];

/// Every word of the harness, once.
fn words() -> Vec<&'static str> {
    let mut words: Vec<&str> = SOURCES
        .iter()
        .flat_map(|source| source.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '$'))
        .filter(|word| word.len() > 1 && !word.starts_with(|c: char| c.is_ascii_digit()))
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// What is as it should be, whatever a program has replaced: each in a cell of its own.
async fn all_is_right(node: &Subject, after: &str) {
    assert_eq!(node.value("({ a: [1, 'two'] })").await.as_deref(), Some("{ a: [ 1, 'two' ] }"), "{after}");
    let error = node.run("\nnull.x").await.error();
    assert_eq!(error.name, "TypeError", "{after}");
    assert!(error.traceback.contains(".js:2:6"), "{after}: {}", error.traceback);
    assert_eq!(node.run("throw 'text'").await.error().value, "'text'", "{after}");
    assert_eq!(node.output("console.log('out')").await, "out\n", "{after}");
    assert_eq!(node.value("await 5").await.as_deref(), Some("5"), "{after}");
    assert_eq!(node.value("const { sep: s } = await import('node:path'); s").await.as_deref(), Some("'/'"), "{after}");
}

#[tokio::test]
async fn a_name_that_a_program_takes_is_its_own() {
    // Fewer programs than names: each hides several.
    const WAYS: [&str; 7] = [
        "const NAME = 2",
        "let NAME = null.x",
        "class NAME {}",
        "function NAME() { throw new RangeError('replaced') }",
        "globalThis.NAME = () => { throw new RangeError('replaced') }",
        "delete globalThis.NAME",
        "import NAME from 'not-there'",
    ];
    let node = node();
    let names = node.value(&format!("{:?}.filter((name) => name in globalThis).join()", words())).await.unwrap();
    // What the checks themselves use, and what is no name.
    let names: Vec<&str> = names
        .trim_matches('\'')
        .split(',')
        .filter(|name| !["console", "undefined", "globalThis", "NaN", "Infinity"].contains(name))
        .collect();
    assert!(names.len() > 30, "{names:?}");
    let mut random = Random::new();
    for start in 0..4 {
        let node = self::node();
        let mut taken = String::new();
        for name in names.iter().skip(start).step_by(4) {
            let code = random.pick(&WAYS).replace("NAME", name);
            taken += &code;
            taken.push('\n');
            let ran = node.run(&code).await;
            assert!(!ran.end.state_lost, "{taken}");
            let ran = node.run("null.x").await;
            assert_eq!(ran.error().name, "TypeError", "{taken}");
        }
        all_is_right(&node, &taken).await;
    }
}

#[tokio::test]
async fn a_function_that_a_program_replaces_is_not_the_harness_s() {
    let node = node();
    // Every property of a module, a class or a prototype that has the name of something in the harness.
    let find = format!(
        "const found = []; const words = new Set({:?});\n\
         const modules = ['events', 'fs', 'inspector', 'module', 'path', 'stream', 'timers', 'timers/promises', 'url', 'util', 'vm', 'worker_threads', 'readline', 'child_process'];\n\
         const objects = [...modules.map((m) => `require('${{m}}')`), 'process', 'Reflect', 'JSON', 'Object', 'Atomics', 'Number', 'Symbol', 'Promise', 'Buffer', 'performance', 'console', \"require('util').types\", \"require('fs').promises\"];\n\
         for (const c of ['Object', 'Array', 'String', 'Function', 'RegExp', 'Map', 'Set', 'WeakMap', 'WeakSet', 'Promise', 'Symbol', 'Error', 'Uint8Array', 'Buffer', 'AbortController', 'TextEncoder', 'MessagePort', \"require('events')\", \"require('stream').Readable\", \"require('stream').Writable\", \"require('worker_threads').Worker\", \"require('inspector').Session\", \"require('vm').Script\", \"require('readline').Interface\", 'Object.getPrototypeOf(Uint8Array)']) objects.push(c + '.prototype');\n\
         for (const o of objects) for (const k of Object.getOwnPropertyNames(eval(o))) {{\n\
           const d = Object.getOwnPropertyDescriptor(eval(o), k);\n\
           if (words.has(k) && k !== 'constructor' && d.writable && typeof d.value === 'function') found.push(o + '.' + k);\n\
         }}\nfound.join('|')",
        words()
    );
    let found = node.value(&find).await.unwrap();
    let found: Vec<&str> = found.trim_matches(['\'', '"', '`']).split('|').map(str::trim).collect();
    assert!(found.len() > 150, "{found:?}");
    // What node itself looks up when it shows a value, runs a timer or loads a module: plain node fails as well.
    let nodes = [
        "Array.prototype.pop",
        "Array.prototype.push",
        "Array.prototype.includes",
        "Function.prototype.bind",
        "Function.prototype.call",
        "Promise.prototype.then",
    ];
    let is_nodes = |name: &str| name.starts_with("require('module')") || nodes.contains(&name);
    let mut random = Random::new();
    let replaced = ["() => { throw new RangeError('replaced') }", "() => 'x'", "undefined", "class {}"];
    for _ in 0..12 {
        let node = self::node();
        let mut code = String::new();
        for _ in 0..10 {
            let name = found[random.below(found.len())].replace("\\'", "'");
            if !is_nodes(&name) {
                code += &format!("  () => {{ {name} = {} }},\n", random.pick(&replaced));
            }
        }
        let code = format!("var changes = [\n{code}];\nfor (let i = 0; i < changes.length; i++) changes[i]()\n");
        let ran = node.run(&code).await;
        assert!(!ran.end.state_lost, "{code}{ran:#?}");
        all_is_right(&node, &code).await;
        let ran = node.run_for("for (;;) ;", Duration::from_millis(100)).await;
        assert!(matches!(ran.end.outcome, Outcome::TimedOut(_)) && !ran.end.state_lost, "{code}{ran:#?}");
        assert_eq!(node.value("1 + 1").await.as_deref(), Some("2"), "{code}");
    }
}

#[tokio::test]
async fn programs_of_the_kind_end_as_they_should() {
    for (code, then, value) in [
        ("JSON.stringify = () => 'x'; Object.prototype.toJSON = () => 'x'", "({ a: 1 })", "{ a: 1 }"),
        ("Object.prototype.toJSON = () => { throw 1 }; Object.prototype.exceptionDetails = 1", "[1]", "[ 1 ]"),
        ("const Symbol = 2", "({ a: 1 })", "{ a: 1 }"),
        ("const __import = 9", "(await import('node:os')).EOL", "'\\n'"),
        (
            "for (const f of ['now']) { Date[f] = () => 0; performance[f] = () => -1 } process.hrtime = () => [0, 0]",
            "1",
            "1",
        ),
        (
            "globalThis.setImmediate = globalThis.setTimeout = process.nextTick = queueMicrotask = () => {}",
            "await 1",
            "1",
        ),
        ("for (const k of Reflect.ownKeys(process)) try { delete process[k] } catch {}", "2", "2"),
        ("process.removeAllListeners(); process.listeners = () => []; process.emit = () => false", "3", "3"),
        (
            "for (const p of [String, RegExp, Map, Set, WeakMap, Symbol, Number, Error, Buffer, URL, AbortController, TextEncoder, MessagePort]) for (const k of Reflect.ownKeys(p.prototype)) if (k !== 'constructor') try { p.prototype[k] = () => { throw 1 } } catch {}\n0",
            "4",
            "4",
        ),
        ("Object.prototype.get = () => 1; Object.prototype.value = 2", "5", "5"),
        ("var { setPrototypeOf } = Object; setPrototypeOf(globalThis, null); setPrototypeOf(process, null)", "6", "6"),
        (
            "Error.prepareStackTrace = () => { throw 1 }; Error.stackTraceLimit = 0; Error.captureStackTrace = null",
            "7",
            "7",
        ),
    ] {
        let node = node();
        let ran = node.run(code).await;
        assert!(!ran.end.state_lost, "{code}: {ran:#?}");
        assert_eq!(node.value(then).await.as_deref(), Some(value), "{code}");
        assert_eq!(node.run("throw 8").await.error().value, "8", "{code}");
    }
    // A forgotten import, and what came of it.
    let node = node();
    let ran = node.run("const require = createRequire(import.meta.url)").await;
    assert_eq!(ran.error().name, "ReferenceError");
    assert_eq!(node.run("null.x").await.error().name, "TypeError");
    assert_eq!(node.run("throw new Error('told')").await.error().value, "told");
}
