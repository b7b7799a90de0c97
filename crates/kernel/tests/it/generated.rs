//! Principles that need programs of every size and shape: whole programs, values, and errors that are large. The seed is
//! printed, and `AGB_TEST_SEED` repeats it.

use std::process::{Command, Stdio};
use std::time::Duration;

use agb_kernel::{Cell, Language, Outcome, find_interpreter};

use crate::random::Random;
use crate::support::{PATIENCE, Ran, finish, kernel, kernel_with};

/// Parts of Python programs: `I` is a number that no other part has, `N` any number.
const PYTHON: [&str; 14] = [
    "def f_I(x, *more, k=N, **named):\n    '''Calls one that comes later.'''\n    return g_I(x) + k\ndef g_I(x): return x * N\nprint(f_I(N), f_I(1, 2, k=3, z=4))",
    "class A_I:\n    @property\n    def v(self): return B_I.w + N\nclass B_I:\n    w = N\nprint(A_I().v)",
    "for x_I in range(N % 5):\n    if x_I % 2:\n        continue\n    print('x', x_I, end=' ')\nelse:\n    print('else')",
    "try:\n    [][N]\nexcept IndexError as e:\n    print(type(e).__name__, e)\nfinally:\n    print('finally')",
    "import contextlib\nwith contextlib.suppress(ZeroDivisionError):\n    N / 0\nprint('after')",
    "print(f'{sum(y for y in range(N))=}', *(z for z in 'abc'), sep='-')",
    "def gen_I():\n    yield from range(N % 4)\nprint(*gen_I(), sep=',')",
    "from dataclasses import dataclass, field\n@dataclass\nclass D_I:\n    a: int = N\n    b: list = field(default_factory=list)\nprint(D_I(), D_I() == D_I())",
    "text_I = '''a\n  b \\\\ 'c'\n\n# no comment\n'''\nprint(repr(text_I))",
    "if __name__ == '__main__':\n    print('main', __name__)",
    "count_I = N\ndef more_I():\n    global count_I\n    count_I += 1\n    def inner():\n        nonlocal_I = [count_I]\n        return nonlocal_I\n    return inner\nprint(more_I()(), count_I)",
    "import asyncio\nasync def c_I():\n    await asyncio.sleep(0)\n    return N\nasync def main_I():\n    print(await asyncio.gather(c_I(), c_I()))\nasyncio.run(main_I())",
    "x_I = (N\n    + 1) ; y_I = \\\n    x_I; print(x_I, y_I)",
    "class M_I(type):\n    def __new__(m, name, bases, space): return super().__new__(m, name.lower(), bases, space)\nclass C_I(metaclass=M_I): pass\nprint(C_I.__name__, C_I.__module__)",
];

/// The same of R programs. What a script prints of itself is a value here, so they print.
const R: [&str; 12] = [
    "f_I <- function(x, ..., k = N) g_I(x) + k\ng_I <- function(x) x * N\ncat(f_I(N), f_I(1, k = 3), '\\n')",
    "print.k_I <- function(x, ...) cat('<k', x$v, '>\\n')\nprint(structure(list(v = N), class = 'k_I'))",
    "for (i in seq_len(N %% 5)) {\n  if (i %% 2 == 0) next\n  cat('i', i, '')\n}\ncat('end\\n')",
    "tryCatch(stop('told N'), error = function(e) cat(conditionMessage(e), '\\n'), finally = cat('finally\\n'))",
    "s_I <- switch(as.character(N %% 3), '0' = 'none', '1' = ,\n  '2' = 'some')\ncat(s_I, '\\n')",
    "if (N > 5) {\n  cat('big\\n')\n} else {\n  cat('small\\n')\n}",
    "n_I <- 0\nrepeat {\n  n_I <- n_I + 1\n  if (n_I > N %% 4) break\n}\ncat(n_I, '\\n')",
    "text_I <- 'a\n  b \\'c\\'\n# no comment\n'\ncat(nchar(text_I), '\\n')",
    "`odd name I` <- function(x) -x\ncat(`odd name I`(N), sapply(1:3, function(i) i * N), '\\n')",
    "l_I <- local({\n  hidden <- N\n  function() {\n    hidden <<- hidden + 1\n    hidden\n  }\n})\ncat(l_I(), l_I(), '\\n')",
    "x_I <- c(a = N,\n  b = 2) ; print(x_I[['a']] +\n  1)",
    "setClass('P_I', representation(v = 'numeric'))\nsetGeneric('show_I', function(o) standardGeneric('show_I')) -> ignored\nsetMethod('show_I', 'P_I', function(o) cat('P', o@v, '\\n'))\nshow_I(new('P_I', v = N))",
];

fn indented(text: &str, by: &str) -> String {
    text.lines().map(|line| format!("{by}{line}\n")).collect()
}

/// A program of some parts, some of them within others' blocks, and how it ends.
fn program(dice: &mut Random, language: Language) -> String {
    let parts: &[&str] = if language == Language::Python { &PYTHON } else { &R };
    let mut program = String::new();
    for at in 0..2 + dice.below(5) {
        let numbers = (at.to_string(), (2 + dice.below(30)).to_string());
        let part =
            dice.pick(parts).replace("_I", &format!("_{}", numbers.0)).replace(" I`", &format!(" {}`", numbers.0));
        // Only where it stands alone is it the number.
        let part: String = part.split_inclusive(|c: char| !c.is_alphanumeric()).fold(String::new(), |text, piece| {
            let (word, rest) = piece.split_at(piece.trim_end_matches(|c: char| !c.is_alphanumeric()).len());
            text + if word == "N" { &numbers.1 } else { word } + rest
        });
        let whole = match (language, dice.below(4)) {
            // A string of several lines, or a declaration of a global, means something else further in.
            (Language::Python, 0) if !part.contains("'''") && !part.contains("global ") => {
                format!("if True:\n{}", indented(&part, "    "))
            }
            (Language::Python, 1) if !part.contains("'''") && !part.contains("global ") && !part.contains("class ") => {
                format!("def wrapped_{at}():\n{}wrapped_{at}()\n", indented(&part, "    "))
            }
            (Language::R, 0) => format!("{{\n{part}\n}}\n"),
            (Language::R, 1) => format!("local({{\n{part}\n}})\n"),
            _ => part,
        };
        program += &whole;
        program += dice.pick(&["\n", "\n\n", "\n# a comment: ' \"\n"]);
    }
    program + dice.pick(&["", "", if language == Language::Python { "raise SystemExit(3)" } else { "stop('told')" }])
}

/// Principle 6: what the language's own tool takes as one file runs as one cell, says the same and ends the same.
async fn whole_programs_run_as_cells(language: Language, tool: &str) {
    let mut dice = Random::new();
    for _ in 0..12 {
        let code = program(&mut dice, language);
        // A session of its own, as the script has a process: classes of R's are registered.
        let subject = kernel(language);
        let file = subject.workdir.path().join("script");
        std::fs::write(&file, &code).unwrap();
        let script = Command::new(tool).arg(&file).stdin(Stdio::null()).output().unwrap();
        let ran: Ran = finish(subject.kernel.run(Cell::new(code.as_str(), PATIENCE))).await;
        let said = String::from_utf8_lossy(&script.stderr);
        assert_eq!(ran.stdout(), String::from_utf8_lossy(&script.stdout), "{code}\n{said}\n{ran:#?}");
        assert_eq!(ran.end.outcome == Outcome::Finished, script.status.success(), "{code}\n{said}\n{ran:#?}");
    }
}

#[tokio::test]
async fn whole_programs_of_python_run_as_cells() {
    whole_programs_run_as_cells(Language::Python, "python3").await;
}

#[tokio::test]
async fn whole_programs_of_r_run_as_cells() {
    whole_programs_run_as_cells(Language::R, "Rscript").await;
}

fn javascript_value(dice: &mut Random, depth: usize) -> String {
    const LEAVES: [&str; 18] = [
        "1",
        "-0",
        "NaN",
        "10n ** 30n",
        "'it\\'s \"a\" `b`'",
        "'\\ud800 \\n é'",
        "true",
        "null",
        "undefined",
        "Symbol('s')",
        "/a\\/b/gi",
        "new Date(0)",
        "new Date(NaN)",
        "function named() {}",
        "class Named extends Array {}",
        "new Uint8Array([1, 2, 3])",
        "new WeakMap()",
        "Object.create(null)",
    ];
    let inner = |dice: &mut Random| javascript_value(dice, depth - 1);
    match if depth == 0 { 9 } else { dice.below(11) } {
        0 => format!("[{}, {}, , {}]", inner(dice), inner(dice), inner(dice)),
        1 => format!("({{ a: {}, 'b c': {}, [Symbol.iterator]: {} }})", inner(dice), inner(dice), inner(dice)),
        2 => format!("new Map([[{}, {}]])", inner(dice), inner(dice)),
        3 => format!("new Set([{}, {}])", inner(dice), inner(dice)),
        4 => format!("Object.assign([{}], {{ more: {} }})", inner(dice), inner(dice)),
        5 => format!("(() => {{ const o = {{ v: {} }}; o.self = o; return o }})()", inner(dice)),
        6 => format!("Array({}).fill({})", 1 + dice.below(200), inner(dice)),
        7 => format!("({{ get got() {{ return 1 }}, set put(v) {{}}, v: {} }})", inner(dice)),
        8 => format!("new (class Own {{ v = {}; #hidden = 1 }})()", inner(dice)),
        _ => dice.pick(&LEAVES).to_owned(),
    }
}

/// Principle 7: a value is shown as node's own console would show it.
#[tokio::test]
async fn values_of_javascript_look_as_in_node() {
    let mut dice = Random::new();
    let node = kernel(Language::JavaScript);
    node.run("const { inspect } = require('util')").await;
    for _ in 0..60 {
        let value = javascript_value(&mut dice, 3);
        let shown = node.value(&format!("({value})")).await;
        let expected = node.output(&format!("console.log(inspect({value}))")).await;
        let expected = expected.strip_suffix('\n').unwrap();
        let is_none = expected == "undefined";
        assert_eq!(shown.as_deref(), if is_none { None } else { Some(expected) }, "{value}");
    }
}

/// A value of Python's own kinds.
fn python_value(dice: &mut Random, depth: usize) -> String {
    const LEAVES: [&str; 18] = [
        "1",
        "-0.0",
        "1e300 * 10",
        "10 ** 50",
        "'it\\'s \"a\" \\n é \\x00'",
        "b'\\xff\\n'",
        "True",
        "None",
        "...",
        "2 + 3j",
        "range(3)",
        "len",
        "int",
        "slice(1, None)",
        "bytearray(b'x')",
        "NotImplemented",
        "'x' * 300",
        "ValueError('v')",
    ];
    let inner = |dice: &mut Random| python_value(dice, depth - 1);
    match if depth == 0 { 11 } else { dice.below(13) } {
        0 => format!("[{}, {}]", inner(dice), inner(dice)),
        1 => format!("({},)", inner(dice)),
        2 => format!("{{'key': {}, 2: {}}}", inner(dice), inner(dice)),
        3 => format!("[{}] * {}", inner(dice), 1 + dice.below(6)),
        4 => format!("Named({}, {})", inner(dice), inner(dice)),
        5 => format!("Point({})", inner(dice)),
        6 => format!("collections.deque([{}], maxlen=3)", inner(dice)),
        7 => format!("collections.OrderedDict(a={})", inner(dice)),
        8 => format!("itself([{}])", inner(dice)),
        9 => format!("types.SimpleNamespace(n={})", inner(dice)),
        10 => format!("frozenset([{}])", dice.below(9)),
        _ => dice.pick(&LEAVES).to_owned(),
    }
}

/// Principle 7: a value is shown as the interpreter's own prompt would show it.
#[tokio::test]
async fn values_of_python_look_as_at_the_prompt() {
    const BEFORE: &str = "import collections, dataclasses, types
Named = collections.namedtuple('Named', 'one other')
@dataclasses.dataclass
class Point:
    at: object
def itself(l):
    l.append(l)
    return l";
    let mut dice = Random::new();
    let values: Vec<String> = (0..60).map(|_| python_value(&mut dice, 3)).collect();
    let shown = values.iter().map(|value| format!("print(repr({value}), end='\\n=====\\n')\n"));
    let script = Command::new(find_interpreter(Language::Python, None).unwrap())
        .args(["-c", &format!("{BEFORE}\n{}", shown.collect::<String>())])
        .output();
    let expected = String::from_utf8(script.unwrap().stdout).unwrap();
    let expected: Vec<&str> = expected.split_terminator("\n=====\n").collect();
    assert_eq!(expected.len(), values.len());
    let python = kernel(Language::Python);
    python.run(BEFORE).await;
    for (value, expected) in values.iter().zip(expected) {
        let is_none = expected == "None";
        assert_eq!(python.value(value).await.as_deref(), if is_none { None } else { Some(expected) }, "{value}");
    }
}

fn java_value(dice: &mut Random, depth: usize) -> String {
    const LEAVES: [&str; 10] = [
        "1",
        "-0.0",
        "1L << 40",
        "Double.NaN",
        "true",
        "new java.math.BigInteger(\"9\".repeat(40))",
        "java.time.LocalDate.of(2024, 2, 29)",
        "java.time.Duration.ofMillis(1500)",
        "new StringBuilder(\"built\")",
        "java.util.Locale.ROOT.getClass()",
    ];
    let inner = |dice: &mut Random| java_value(dice, depth - 1);
    match if depth == 0 { 6 } else { dice.below(8) } {
        0 => format!("java.util.List.of({}, {})", inner(dice), inner(dice)),
        1 => format!("java.util.Map.of(\"k\", {})", inner(dice)),
        2 => format!("java.util.Optional.of({})", inner(dice)),
        3 => format!("new Pair({}, {})", inner(dice), inner(dice)),
        4 => format!("java.util.Arrays.asList({}, null)", inner(dice)),
        5 => format!("new java.util.ArrayDeque<Object>(java.util.List.of({}))", inner(dice)),
        _ => dice.pick(&LEAVES).to_owned(),
    }
}

/// Principle 7: a value is shown as `System.out.println` would print it.
#[tokio::test]
async fn values_of_java_look_as_they_are_printed() {
    let mut dice = Random::new();
    let java = kernel(Language::Java);
    java.run("record Pair(Object one, Object other) {}").await;
    for _ in 0..25 {
        let value = java_value(&mut dice, 3);
        let printed = java.output(&format!("System.out.println({value});")).await;
        assert_eq!(java.value(&value).await.as_deref(), printed.strip_suffix('\n'), "{value}");
    }
}

/// A program that fails with an error of such sizes: its message, the stack below it, and the chain of its causes.
fn failing(language: Language, [message, stack, chain]: [usize; 3]) -> String {
    match language {
        Language::Python => format!(
            "import sys\nsys.setrecursionlimit({})\ndef down(n):\n    if n == 0:\n        try: raise ValueError('first')\n        except ValueError as e: last = e\n        \
             for i in range({chain}):\n            try: raise KeyError(i) from last\n            except KeyError as e: last = e\n        \
             raise RuntimeError('x' * {message}) from last\n    return [down(n - 1)]\ndown({stack})",
            stack + 1000
        ),
        Language::JavaScript => format!(
            "function down(n) {{ if (n > 0) return [down(n - 1)]; let cause = new Error('first');\n\
             for (let i = 0; i < {chain}; i++) cause = new TypeError('c' + i, {{ cause }});\n\
             throw new RangeError('x'.repeat({message}), {{ cause }}) }}\ndown({})",
            stack.min(5000)
        ),
        Language::R => format!(
            "down <- function(n) if (n == 0) {{ for (i in seq_len({})) suppressWarnings(warning(i)); stop(strrep('x', {message})) }} else down(n - 1)\ndown({})",
            chain.min(5000),
            stack.min(300)
        ),
        Language::Java => format!(
            "void down(int n) throws Exception {{ if (n > 0) {{ down(n - 1); return; }} Exception e = null;\n\
             for (int i = 0; i < {chain}; i++) e = new Exception(\"c\", e);\nthrow new IllegalStateException(\"x\".repeat({message}), e); }}\ndown({});",
            stack.min(3000)
        ),
    }
}

/// Principle 8: describing an error costs no more than the program did, whatever is large in it, and its text is bounded.
async fn a_large_error_is_described_at_once(language: Language) {
    let mut dice = Random::new();
    // 20,000 causes with the 1,024 frames that Java keeps of each take 300 MB: in a full heap the program would only collect.
    let subject = kernel_with(language, |limits| limits.java_heap = 1 << 30);
    for _ in 0..6 {
        let sizes = [10_000_000, 100_000, 20_000].map(|most: usize| {
            let size = most >> dice.below(16);
            if dice.below(3) == 0 { 0 } else { size }
        });
        let ran: Ran = finish(subject.kernel.run(Cell::new(failing(language, sizes), PATIENCE))).await;
        assert!(!ran.end.state_lost, "{sizes:?}: {:?}", ran.end);
        let error = ran.error();
        assert!(error.traceback.len().max(error.value.len()) <= 600_000, "{sizes:?}: {}", error.traceback.len());
        assert!(error.value.starts_with(&"x".repeat(sizes[0].min(100))), "{sizes:?}: {error:.300?}");
        // A generous bound: it takes a fraction of a second on a machine that has time.
        assert!(ran.end.execution_time < Duration::from_secs(20), "{sizes:?}: {:?}", ran.end);
    }
}

#[tokio::test]
async fn a_large_error_of_python_is_described_at_once() {
    a_large_error_is_described_at_once(Language::Python).await;
}

#[tokio::test]
async fn a_large_error_of_javascript_is_described_at_once() {
    a_large_error_is_described_at_once(Language::JavaScript).await;
}

#[tokio::test]
async fn a_large_error_of_r_is_described_at_once() {
    a_large_error_is_described_at_once(Language::R).await;
}

#[tokio::test]
async fn a_large_error_of_java_is_described_at_once() {
    a_large_error_is_described_at_once(Language::Java).await;
}
