//! Whole module programs as cells: imports and exports in all forms, and text that looks like them.

use super::node;
use crate::random::Random;

const FILES: [(&str, &str); 2] = [
    ("z.json", r#"{"a": 1}"#),
    ("own.mjs", "export default 'def'; export const named = 'n'; export { named as 'a b' }"),
];

#[tokio::test]
async fn programs_of_modules_run_as_cells() {
    let node = node();
    for (name, text) in FILES {
        std::fs::write(node.workdir.path().join(name), text).unwrap();
    }
    for (code, value) in [
        ("class A { import(x) { return x + 1; } }\nnew A().import(1)", "2"),
        ("import j1 from './z.json' with { type: 'json' }; j1.a", "1"),
        ("import j2 from \"./z.json\" assert { 'type': \"json\" }\nj2.a", "1"),
        ("(await import('./z.json', { with: { type: 'json' } })).default.a", "1"),
        ("let i = 8; const h = i++ / 2, u = 'a/b'; const m = await import('node:path'); typeof m.join", "'function'"),
        ("const __import = 9\nimport os from 'node:os'\ntypeof os.cpus", "'function'"),
        (
            "import d1, * as all from './own.mjs'; import { 'a b' as spaced } from './own.mjs'\n[d1, all.named, spaced]",
            "[ 'def', 'n', 'n' ]",
        ),
        ("const seen = basename('/a/b'); import { basename } from 'path'; seen", "'b'"),
        (
            "export const e1 = 1; export function ef() { return 2 } export async function ea() { return 3 }\nexport { e1 as x, ef };\n[e1, ef(), await ea()]",
            "[ 1, 2, 3 ]",
        ),
        ("export default class Foo { v() { return 3 } }\nnew Foo().v()", "3"),
        ("var calls = 0\nexport default function () { return 1 }\n(function () { calls++ })()\ncalls", "1"),
        ("export default class {}\n/x/.test('x')", "true"),
        ("export default { a: 1 }", "{ a: 1 }"),
        ("export default async () => 1\n'after'", "'after'"),
        ("export * from './own.mjs'; export * as ns from './own.mjs'; export { named as q } from './own.mjs'; 7", "7"),
        ("export let l1 = 1, l2 = 2\nexport var v1 = 3;\n[l1, l2, v1]", "[ 1, 2, 3 ]"),
        ("typeof (await eval('import(\"os\")')).cpus", "'function'"),
        ("typeof (await new Function('return import(\"os\")')()).cpus", "'function'"),
        (
            "const o = { import: 1, get import2() { return 2 }, async import() { return 3 } }; [o.import2, await o.import()]",
            "[ 2, 3 ]",
        ),
        (
            "class P { #import(x) { return x * 2 } go() { return this.#import(4) } static *import() { yield 1 } import = 9 }\n[new P().go(), [...P.import()], new P().import]",
            "[ 8, [ 1 ], 9 ]",
        ),
        (
            "class G { static async import() { return 1 } get import() { return 2 } set import(v) {} export() { return 3 } }\n[await G.import(), new G().import, new G().export()]",
            "[ 1, 2, 3 ]",
        ),
        ("const { import: y } = { import: 4 }; y", "4"),
        ("const f = () => import('os'); f.toString()", "\"() => import('os')\""),
        (
            "const g = async () => (await import('os')).EOL\nconst w = new (require('worker_threads').Worker)(`(${g})().then((x) => require('worker_threads').parentPort.postMessage(x))`, { eval: true })\nawait new Promise((d) => w.on('message', d))",
            "'\\n'",
        ),
        ("'use strict'\nimport os2 from 'os'\n(function () { return typeof this })()", "'undefined'"),
        ("#!/usr/bin/env node\nimport os3 from 'os'; typeof os3", "'object'"),
        (
            "import { createRequire } from 'module'; const require = createRequire(import.meta.url); require('path').sep",
            "'/'",
        ),
        ("import.meta.filename === __filename && import.meta.dirname === process.cwd()", "true"),
        ("typeof import.meta.resolve('./own.mjs')", "'string'"),
        ("import { stdin as input, stdout as output } from 'node:process'; [input.fd, output.fd]", "[ 0, 1 ]"),
        ("// import x from 'y'\n/* export default */ const s = `import ${'export'} from`; s", "'import export from'"),
        ("label: for (const i of [1]) { if (i) /import x from 'y'/.test(''); continue label }\n'end'", "'end'"),
        ("\u{feff}import bom from 'os'\ntypeof bom", "'object'"),
        ("import crlf from 'os'\r\nexport const after = typeof crlf\r\nafter", "'object'"),
        ("import cr from 'os'\rtypeof cr // comment\r'last'", "'last'"),
    ] {
        assert_eq!(node.value(code).await.as_deref(), Some(value), "{code}");
    }
    for (code, name, value) in [
        (
            "import { nothing } from 'fs'",
            "SyntaxError",
            "The requested module 'fs' does not provide an export named 'nothing'",
        ),
        (
            "export { nothing } from './own.mjs'",
            "SyntaxError",
            "The requested module './own.mjs' does not provide an export named 'nothing'",
        ),
        ("import JSON from 'json5'", "Error", "Cannot find package 'json5'"),
        ("const { Buffer } = require('not-there')", "Error", "Cannot find module 'not-there'"),
        ("import x from", "SyntaxError", "Cannot use import statement"),
    ] {
        let error = node.run(code).await.error();
        assert!(error.name == name && error.value.starts_with(value), "{code}: {error:?}");
    }
    assert_eq!(
        node.value("JSON.stringify([1])").await.as_deref(),
        Some("'[1]'"),
        "an import that failed hides nothing"
    );
}

#[tokio::test]
async fn lines_and_columns_stay_where_they_are() {
    let node = node();
    let error = node.run("import a from 'os'\nimport {\n  b,\n} from './own.mjs'\nnull.x").await.error();
    assert!(error.value.contains("own.mjs"), "{error:?}");
    let error =
        node.run("import {\n  EOL,\n  cpus,\n} from 'os'\nexport function fails() { null.x }\nfails()").await.error();
    assert!(error.traceback.contains("at fails (cell-2.js:5:32)\n    at cell-2.js:6:1\n"), "{}", error.traceback);
    for (code, line) in [("const a = 1\nfoo(", 2), ("const b = 1\r\nfoo(\r\n", 3), ("foo(", 1)] {
        let error = node.run(code).await.error();
        assert!(error.traceback.contains(&format!(".js:{line}\n")), "{code:?}: {}", error.traceback);
    }
}

/// A `/` behind any token divides or begins a regular expression: what follows is found all the same.
#[tokio::test]
async fn imports_are_found_behind_every_token() {
    const PIECES: &[&str] = &[
        "let a = 8; a++ / 2 / 'x/'.length",
        "if (1) /import 'z'/.test('`')",
        "while (0) /['\"`]/.exec('')",
        "const o = { if: 1, return: 2 }; o.if / o.return / 1",
        "const t = `a${`b${{ c: 1 }.c}`}/` + '/'.length / 1",
        "const f = function () {} / 2",
        "function g() {} /[/'\"]/.test('')",
        "class K { x = 4 / 2; static y = /'/; get /* ' */ z() { return 1 } }",
        "const h = () => {}\n/\"/.test('')",
        "const q = 1 ? { a: 1 } : {}; q.a / 1",
        "switch (1) { case 1: /'/.test(''); break; default: { } }",
        "lab: { break lab }\n/`/.test('')",
        "const r = [1, 2][0] / (1) / 1",
        "do { } while (0) /'/.test('')",
        "const s = 0x1F / .5e1 / 1_0 / 10n.toString().length",
        "var u = typeof /'/ / 1",
        "for (const v of [/'/, /[/]'/]) v.test('')",
        "const { w = /'/ , ...x } = {}",
        "async function y() { await /'/; yield_ = 1 / 2 }",
        "function* z() { yield /'/ }",
        "new (class { static { /'/.test('') } })",
        "const aa = a => a / 2, bb = '/'",
        "try { throw /'/ } catch { } finally { }",
        "let dd = 4\ndd\n++\ndd\nconst ee = dd\n/2/1",
        "const b = 1, cc = b?.5 / 1:1 / 2",
    ];
    let node = node();
    let mut random = Random::new();
    for round in 0..40 {
        let [first, second, third] = [(); 3].map(|()| random.pick(PIECES));
        let code = format!(
            "{{ {first}\n}}\nimport {{ sep as s{round} }} from 'path'\n{{ {second}\n}}\nexport const e{round} = 1;\n\
             {{ {third}\n}}\n[s{round}, e{round}]"
        );
        assert_eq!(node.value(&code).await.as_deref(), Some("[ '/', 1 ]"), "{code}");
    }
}
