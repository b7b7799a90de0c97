//! Principle 6 of JavaScript and Java: what `node` takes as a module, and `java` as one file, runs as one cell, prints the same
//! and ends the same. `generated.rs` has Python and R. The programs are made by chance: `AGB_TEST_SEED` repeats them.

use std::process::{Command, Output, Stdio};

use agb_kernel::{Language, Outcome, find_interpreter};

use crate::random::Random;
use crate::support::{Ran, kernel};

/// Parts of JavaScript modules: `I` is a number that no other part has, `N` any number.
const JAVASCRIPT: [&str; 20] = [
    "import { join as join_I, sep as sep_I } from 'node:path'\nconsole.log(join_I('a', 'N') + sep_I)",
    "import * as os_I from 'os'; console.log(typeof os_I.cpus, JSON.stringify(os_I.EOL))",
    "import fs_I, { existsSync as exists_I } from \"fs\";\nconsole.log(fs_I.existsSync === exists_I)",
    "export const e_I = N, f_I = () => g_I(e_I)\nexport function g_I(x) { return x / 2 / N }\nconsole.log(f_I())",
    "class A_I extends (class { v() { return N } }) {\n  static s = N / 2; #p = 'p'\n  get p() { return this.#p }\n  import(x) { return x + this.v() }\n}\nconsole.log(new A_I().import(1), A_I.s, new A_I().p)",
    "const o_I = { import: N, get() { return 1 }, async *a() { yield this.import }, if: 2 }\nfor await (const x of o_I.a()) console.log(x, o_I.if / o_I.get() / 2)",
    "label_I: for (let i = 0; i < N; i++) {\n  for (const j of [1, 2]) { if (i * j > 3) break label_I; if (j > 1) continue label_I; console.log(i, j) }\n}",
    "function* gen_I(n) { while (n --> 0) yield n; return /x/.test('x') }\nconsole.log(...gen_I(N % 5), [...gen_I(2)].length)",
    "const { a: a_I = N, ...rest_I } = { b: 1, c: [2, { d: 3 }] }, [, second_I = 5] = [1]\nconsole.log(a_I, rest_I, second_I)",
    "console.log(`a${`b${{ n: N }.n}`}/` + `import x from 'y'`.length, String.raw`\\n${N}`)",
    "try { null_I.x } catch ({ name, message }) { console.log(name, message) } finally { console.log('finally') }",
    "const wait_I = (ms, v) => new Promise((done) => setTimeout(done, ms, v))\nconsole.log(await wait_I(1, N), await Promise.all([wait_I(2, 'b'), wait_I(1, 'c')]))",
    "switch (N % 3) { case 0: console.log('none'); break; case 1: default: { let z = /[/'\"`]/g; console.log('some', z.source) } }",
    "console.log([3, 1, 2].toSorted?.() ?? [3, 1, 2].sort(), 10n ** BigInt(N), 0x1F / .5e1, 1_000)",
    "await new Promise((done) => setTimeout(() => { console.log('timer I'); done() }, N % 4))\nPromise.resolve().then(() => console.log('micro I'))\nawait null",
    "const m_I = new Map([[{ k: 1 }, new Set(['v'])]]), d_I = new Date(0)\nconsole.log(m_I, d_I, Symbol('s'), [undefined, , null], -0)",
    "{\n  const os = (await import('node:os')).default\n  console.log(typeof os, typeof import.meta.url)\n}",
    "export class P_I { static { this.made = N } static [Symbol.for('x')]() {} toString() { return 'P' } }\nconsole.log(`${new P_I()}`, P_I.made, P_I)",
    "var count_I = count_I ?? N, tag_I = (s, ...v) => s.join('|') + v\nconsole.log(tag_I`x${count_I}y${1}`, typeof hoisted_I)\nfunction hoisted_I() { return arguments.length }",
    "console.error('to stderr'); console.table([{ a: N }]); console.group('in'); console.log('deep\\ner'); console.groupEnd()",
];

const JAVASCRIPT_ENDS: [&str; 8] = [
    "",
    "",
    "process.exit(0)",
    "process.exitCode = 3",
    "throw new TypeError('told')",
    "await Promise.reject(new Error('told'))",
    "process.on('exit', (code) => console.log('bye', code))",
    "setTimeout(() => process.exit(4), 8)",
];

/// Members of the class that has `main`: a call, and what it needs. `I` and `N` as above.
const JAVA: [(&str, &str); 14] = [
    (
        "show(half_I(N));",
        "static double half_I(int n) { return helper_I(n) / 2; }\n static double helper_I(int n) { return n + OFFSET; }",
    ),
    (
        "show(new Dog_I().sound());",
        "static class Dog_I extends Animal_I { @Override String sound() { return super.sound() + N; } }\n static class Animal_I { String sound() { return \"?\"; } }",
    ),
    (
        "show(area_I(new Disc_I(N)) + area_I(new Sq_I(2)));",
        "sealed interface Shape_I permits Disc_I, Sq_I {}\n record Disc_I(int r) implements Shape_I { Disc_I { if (r < 0) throw new IllegalArgumentException(); } }\n static final class Sq_I implements Shape_I { final int side; Sq_I(int side) { this.side = side; } }\n static int area_I(Shape_I s) { return s instanceof Disc_I d ? d.r() * 3 : ((Sq_I) s).side * ((Sq_I) s).side; }",
    ),
    (
        "show(Op_I.TIMES.apply(N, 2) + \" \" + Arrays.toString(Op_I.values()));",
        "enum Op_I { PLUS { int apply(int a, int b) { return a + b; } }, TIMES { int apply(int a, int b) { return a * b; } }; abstract int apply(int a, int b); }",
    ),
    (
        "show(switch (N % 3) { case 0 -> \"none\"; case 1 -> { String s = \"one\"; yield s + s; } default -> \"many\"; });",
        "",
    ),
    (
        "show(Stream.iterate(1, x -> x * 2).limit(N % 7).map(x -> \"v\" + x).collect(Collectors.joining(\",\", \"[\", \"]\")));",
        "",
    ),
    (
        "show(kind_I(N) + kind_I(\"s\") + kind_I(1.5, 2));",
        "static <T> String kind_I(T t) { return \"T\"; }\n static String kind_I(int n) { return \"int\" + kind_I(\"x\"); }\n static String kind_I(double d, int... more) { return \"d\" + more.length; }",
    ),
    (
        "show(new Box_I<>(N).map(x -> x + 1).get());",
        "static class Box_I<T> { private final T t; Box_I(T t) { this.t = t; } <R> Box_I<R> map(java.util.function.Function<T, R> f) { return new Box_I<>(f.apply(t)); } T get() { return t; } }",
    ),
    (
        "try { Object o = List.of(); ((List<Integer>) o).add(N); } catch (UnsupportedOperationException | NullPointerException e) { show(e.getClass().getSimpleName()); } finally { show(\"finally\"); }",
        "",
    ),
    (
        "outer: for (int i = 0; i < N; i++) for (int j = 0; ; j++) { if (i * j > 4) break outer; if (j > 2) continue outer; show(i + \"\" + j); }",
        "",
    ),
    ("show(\"\"\"\n  a \"text\"\n    block N\\\n  !\n\"\"\".strip());", ""),
    ("{ var t = new Thread(() -> show(\"thread N\")); t.start(); t.join(); }", ""),
    (
        "show(counter_I.getAsInt() + counter_I.getAsInt());",
        "static int count_I = N;\n static final java.util.function.IntSupplier counter_I = () -> count_I++;\n static { count_I += 5; }",
    ),
    ("System.out.printf(\"%5.2f|%-4d|%s%n\", N / 3.0, N, new int[][] {{1}, {N, 2}}[1][0]);", ""),
];

const JAVA_ENDS: [&str; 5] = [
    "",
    "",
    "throw new IllegalStateException(\"told\");",
    "int[] none = {}; show(none[N]);",
    "Runtime.getRuntime().addShutdownHook(new Thread(() -> show(\"hook\")));",
];

/// Puts numbers where `I` and `N` stand alone.
fn numbered(part: &str, at: usize, n: usize) -> String {
    part.split_inclusive(|c: char| !c.is_alphanumeric()).fold(String::new(), |text, piece| {
        let word = piece.trim_end_matches(|c: char| !c.is_alphanumeric());
        let value = match word {
            "I" => at.to_string(),
            "N" => n.to_string(),
            word => word.to_owned(),
        };
        text + &value + &piece[word.len()..]
    })
}

fn javascript(random: &mut Random) -> String {
    let mut program = String::new();
    for at in 0..2 + random.below(6) {
        let part = numbered(random.pick(&JAVASCRIPT), at, 2 + random.below(30));
        let is_inner = !part.contains("import {")
            && !part.contains("import *")
            && !part.contains("import fs")
            && !part.contains("export ");
        program += &match random.below(4) {
            0 if is_inner && !part.contains("var ") => format!("{{\n{part}\n}}"),
            1 if is_inner => format!("await (async () => {{\n{part}\n}})()"),
            _ => part,
        };
        program += random.pick(&["\n", ";\n", "\n// import x from 'y' ` \"\n", "\r\n"]);
    }
    program + random.pick(&JAVASCRIPT_ENDS)
}

fn java(random: &mut Random) -> String {
    let (mut calls, mut members) = (String::new(), vec!["static final int OFFSET = 3;".to_owned()]);
    members.push("static void show(Object o) { System.out.println(\"> \" + o); }".to_owned());
    for at in 0..2 + random.below(6) {
        let (call, needs) = JAVA[random.below(JAVA.len())];
        let n = 2 + random.below(30);
        calls += &format!("    {}\n", numbered(call, at, n));
        members.push(numbered(needs, at, n));
    }
    calls += &numbered(random.pick(&JAVA_ENDS), 99, 7);
    members.push(format!("public static void main(String[] args) throws Exception {{\n{calls}\n  }}"));
    for at in (1..members.len()).rev() {
        members.swap(at, random.below(at + 1));
    }
    format!(
        "import java.util.*;\nimport java.util.stream.*;\n\n/** A program. */\npublic class Main {{\n  {}\n}}\n",
        members.join("\n  ")
    )
}

/// What the language's own tool makes of it.
fn by_the_tool(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).env_remove("NODE_OPTIONS").output().unwrap()
}

fn is_the_same(ran: &Ran, tool: &Output, code: &str) {
    let said = String::from_utf8_lossy(&tool.stderr);
    assert_eq!(ran.stdout(), String::from_utf8_lossy(&tool.stdout), "{code}\n{said}\n{ran:#?}");
    assert_eq!(ran.end.outcome == Outcome::Finished, tool.status.success(), "{code}\n{said}\n{ran:#?}");
}

#[tokio::test]
async fn whole_modules_of_javascript_run_as_cells() {
    let mut random = Random::new();
    for _ in 0..12 {
        let code = javascript(&mut random);
        let subject = kernel(Language::JavaScript);
        let file = subject.workdir.path().join("script.mjs");
        std::fs::write(&file, &code).unwrap();
        let tool = by_the_tool(Command::new(find_interpreter(Language::JavaScript, None).unwrap()).arg(&file));
        is_the_same(&subject.run(&code).await, &tool, &code);
    }
}

#[tokio::test]
async fn whole_files_of_java_run_as_cells() {
    let mut random = Random::new();
    // One session: a class that is sent again takes the place of the one before it.
    let subject = kernel(Language::Java);
    for _ in 0..4 {
        let code = java(&mut random);
        let file = subject.workdir.path().join("Main.java");
        std::fs::write(&file, &code).unwrap();
        let tool = by_the_tool(Command::new("java").args(["-XX:TieredStopAtLevel=1", "-Xshare:auto"]).arg(&file));
        is_the_same(&subject.run(&code).await, &tool, &code);
    }
}
