//! What holds for every Python program, tried on programs that are made by chance.
//!
//! Each test prints its seed and its programs when it fails; `AGB_TEST_SEED` repeats one.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

use agb_kernel::{Cell, CellEvent, Outcome};

use crate::python_programs::python;
use crate::random::Random;
use crate::support::{PATIENCE, Ran, Subject, answered, eventually, finish};

/// How often each property is tried.
const TRIES: usize = 15;

/// A run that has kept the session alive.
fn alive(ran: &Ran, code: &str) {
    println!("{code}\n---");
    assert!(!ran.end.state_lost, "{code}: {ran:#?}");
}

/// The functions of modules that the harness's own sources name: `os.write`, and its builtins.
fn names_in_the_harness() -> Vec<(String, String)> {
    const MODULES: [&str; 12] =
        ["os", "sys", "time", "io", "select", "binascii", "_io", "_ast", "_json", "_signal", "_thread", "_warnings"];
    const BUILTINS: [&str; 24] = [
        "bool",
        "bytearray",
        "bytes",
        "callable",
        "compile",
        "dict",
        "enumerate",
        "eval",
        "exec",
        "float",
        "getattr",
        "hasattr",
        "id",
        "int",
        "isinstance",
        "issubclass",
        "iter",
        "len",
        "list",
        "max",
        "memoryview",
        "repr",
        "set",
        "sum",
    ];
    let mut names: BTreeSet<(String, String)> =
        BUILTINS.iter().map(|&name| ("builtins".to_owned(), name.to_owned())).collect();
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/python")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
        for word in text.split(|c: char| !c.is_ascii() || !is_word(c as u8)) {
            if let Some((module, name)) = word.split_once('.')
                && MODULES.contains(&module)
                && !name.is_empty()
                && !name.contains('.')
            {
                names.insert((module.to_owned(), name.to_owned()));
            }
        }
    }
    assert!(names.len() > 60, "{names:?}");
    names.into_iter().collect()
}

/// Principle 1: the harness calls only what it took before the program's first line.
#[tokio::test]
async fn the_harness_shares_nothing_that_can_be_changed() {
    let (mut dice, names) = (Random::new(), names_in_the_harness());
    for _ in 0..TRIES {
        let python = python();
        let mut spoil = String::from(
            "import builtins, importlib, sys\nsay = print\ndef boom(*a, **k): raise RuntimeError('spoilt')\n",
        );
        spoil += "def spoil(m, n, v=boom):\n    m = importlib.import_module(m)\n    if callable(getattr(m, n, None)): todo.append((m, n, v))\ntodo = []\n";
        for _ in 0..=dice.below(12) {
            let (module, name) = &names[dice.below(names.len())];
            let value = dice.pick(&["boom", "None", "lambda *a, **k: 1", "lambda *a, **k: ''", "print"]);
            writeln!(spoil, "spoil({module:?}, {name:?}, {value})").unwrap();
        }
        // All at once, by what is spoilt last itself.
        spoil += "put, drop = setattr, delattr\nfor m, n, v in todo: put(m, n, v) if v is not None else drop(m, n)\n";
        spoil += dice.pick(&["", "for m in [m for m in sys.modules if m.startswith('_agb')]: del sys.modules[m]\n"]);
        alive(&python.run(&spoil).await, &spoil);
        let ran = python.run("say('out')\n{'a': [1, 2]}").await;
        alive(&ran, "a value");
        assert_eq!((ran.stdout().as_str(), ran.value().as_deref()), ("out\n", Some("{'a': [1, 2]}")), "{ran:#?}");
        let error = python.run("\n{}['k']").await.error();
        assert_eq!((error.name.as_str(), error.value.as_str()), ("KeyError", "'k'"));
        assert!(error.traceback.contains("line 2, in <module>\n"), "{error:?}");
        let (ran, prompts) = answered(&python, "x = input('? ')\nsay(x)", &["yes"]).await;
        alive(&ran, "a question");
        assert_eq!((ran.stdout().as_str(), prompts), ("yes\n", vec!["? ".to_owned()]), "{ran:#?}");
        let error = python.run("raise SystemExit(3)").await.error();
        assert_eq!((error.name.as_str(), error.value.as_str()), ("SystemExit", "3"));
    }
}

const STREAMS: [&str; 2] = ["stdout", "stderr"];

/// Ways to take a stream away, with `{s}` for its name and `{n}` for its number.
const TAKEN_AWAY: [&str; 16] = [
    "os.close({n})",
    "os.dup2(os.open('/dev/null', os.O_WRONLY), {n})",
    "sys.{s}.close()",
    "sys.{s} = None",
    "del sys.{s}",
    "sys.{s} = io.StringIO()",
    "sys.{s} = io.TextIOWrapper(sys.{s}.buffer, encoding='utf-8')",
    "sys.{s} = open(sys.{s}.fileno(), 'w', buffering=1)",
    "keep = os.fdopen({n}, 'w')",
    "io.FileIO({n}, 'w').close()",
    "open({n}, 'w').close()",
    "sys.{s}.detach()",
    "sys.{s}.write = lambda text: 0",
    "sys.{s}.reconfigure(encoding='utf-16', newline='\\r\\n')",
    "sys.{s}.buffer.close()",
    "sys.__{s}__ = None; sys.{s} = sys.stdin",
];

/// Principle 2: every run begins with working streams, and no file of the program's is one of them.
#[tokio::test]
async fn a_run_begins_with_working_streams() {
    let mut dice = Random::new();
    let python = python();
    python.run("import gc, io, os, sys, warnings\nwarnings.simplefilter('ignore')").await;
    for _ in 0..2 * TRIES {
        let mut code = String::new();
        for _ in 0..=dice.below(3) {
            let which = dice.below(2);
            let way = dice.pick(&TAKEN_AWAY).replace("{s}", STREAMS[which]).replace("{n}", ["1", "2"][which]);
            writeln!(code, "try:\n    {way}\nexcept Exception: pass").unwrap();
        }
        alive(&python.run(&code).await, &code);
        let ran = python.run("print('out'); print('err', file=sys.stderr)\nkeep = None; gc.collect()\nf = open('own', 'w'); print('more')").await;
        assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("out\nmore\n", "err\n"), "after {code}: {ran:#?}");
        let ran = python.run("f.close(); os.write(1, b'raw'); os.write(2, b'RAW'); os.system('echo child')\nprint(repr(open('own').read()))").await;
        assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("rawchild\n''\n", "RAW"), "after {code}: {ran:#?}");
    }
}

/// Principle 3: nothing that a program leaves behind ends the interpreter.
/// Streams that nobody has touched serve the next run as well; those that a program knows are its own.
#[tokio::test]
async fn streams_that_a_program_knows_are_not_the_next_run_s() {
    let python = python();
    let ways = [
        "kept = sys.NAME",
        "kept = sys.NAME.buffer",
        "kept = sys.NAME.buffer.raw",
        "kept = io.TextIOWrapper(sys.NAME.buffer)",
        "kept = io.TextIOWrapper.buffer.__get__(sys.NAME)",
        "kept = sys.__NAME__",
        "kept = io.StringIO(); sys.NAME.mark = 1",
        "kept = io.StringIO(); sys.NAME.buffer.mark = 1",
        "kept = io.StringIO(); sys.NAME.reconfigure(encoding='latin-1')",
        "kept = io.StringIO(); sys.NAME.buffer.detach()",
        "kept = io.StringIO(); sys.NAME.detach()",
        "kept = io.StringIO(); sys.NAME.buffer.close()",
        "kept = io.StringIO(); sys.NAME = None",
    ];
    for way in ways {
        for name in ["stdout", "stderr", "stdin"] {
            let way = way.replace("NAME", name);
            python.run(&format!("import io, sys\n{way}")).await;
            let check = "kept.close(); del kept\nprint(*[(one.encoding, hasattr(one, 'mark') or hasattr(one.buffer, 'mark'), one.closed) for one in (sys.stdin, sys.stdout, sys.stderr)])\n\
                         sys.stderr.write('err'); sys.stdin.read()";
            let ran = python.run(check).await;
            let fresh = "('utf-8', False, False)";
            assert_eq!(
                (ran.stdout(), ran.stderr()),
                (format!("{fresh} {fresh} {fresh}\n"), "err".to_owned()),
                "{way}: {ran:#?}"
            );
        }
    }
}

#[tokio::test]
async fn nothing_left_behind_ends_the_interpreter() {
    const DEEDS: [&str; 9] = [
        "display('x')",
        "display({'text/plain': 'x', 'application/json': [[[]]]}, raw=True)",
        "print('x', end='')",
        "input('x')",
        "raise ValueError('x')",
        "raise SystemExit(1)",
        "raise KeyboardInterrupt",
        "get_ipython().run_cell('1 + 1')",
        "sys.stdout = None",
    ];
    let mut dice = Random::new();
    let python = python();
    python.run("import itertools, signal, sys, threading, time\nkept, rounds = 1, itertools.count()").await;
    for _ in 0..TRIES {
        let (deed, number) = (dice.pick(&DEEDS), dice.pick(&["SIGALRM", "SIGVTALRM", "SIGPROF"]));
        let timer = number
            .replace("SIGALRM", "ITIMER_REAL")
            .replace("SIGVTALRM", "ITIMER_VIRTUAL")
            .replace("SIGPROF", "ITIMER_PROF");
        let (code, stop) = match dice.below(3) {
            0 => (
                format!(
                    "on = True\ndef go():\n    while on:\n        next(rounds)\n        try: {deed}\n        except BaseException: pass\n        time.sleep(0.001)\nt = threading.Thread(target=go); t.start()"
                ),
                "on = False; t.join()".to_owned(),
            ),
            1 => (format!("t = threading.Timer(0.01, lambda: exec({deed:?})); t.start()"), "t.join()".to_owned()),
            _ => (
                format!(
                    "def go(*_):\n    if inside: return\n    next(rounds); {deed}\ninside = True\nsignal.signal(signal.{number}, go)\nsignal.setitimer(signal.{timer}, 0.003, 0.003)\ninside = False"
                ),
                format!("inside = True; signal.setitimer(signal.{timer}, 0)"),
            ),
        };
        alive(&python.run(&code).await, &code);
        tokio::time::sleep(Duration::from_millis(30)).await;
        for _ in 0..5 {
            alive(&python.run("for _ in range(1000): pass").await, &code);
        }
        alive(&python.run(&stop).await, &code);
        alive(&python.run(&stop).await, &code);
        assert_eq!(python.value("kept").await.as_deref(), Some("1"), "{code}");
    }
}

/// Principle 4: an end tells the truth, whatever is raised and wherever.
#[tokio::test]
async fn an_end_tells_the_truth() {
    const ENDS: [(&str, Option<&str>); 12] = [
        ("pass", None),
        ("sys.exit()", None),
        ("sys.exit(0)", None),
        ("raise SystemExit(None)", None),
        ("exit(0)", None),
        ("sys.exit(3)", Some("SystemExit")),
        ("sys.exit('why')", Some("SystemExit")),
        ("raise Silent", Some("Silent")),
        ("raise Own", Some("Own")),
        ("raise Base", Some("Base")),
        ("raise KeyboardInterrupt", Some("KeyboardInterrupt")),
        ("1 / 0", Some("ZeroDivisionError")),
    ];
    const AROUND: [&str; 7] = [
        "@",
        "try: @\nfinally: x = 1",
        "def f(): @\nf()",
        "class C:\n    @",
        "for _ in range(2): @",
        "import asyncio\nasync def f(): @\nasyncio.run(f())",
        "import contextlib\nwith contextlib.nullcontext(): @",
    ];
    let mut dice = Random::new();
    let python = python();
    python.run("import sys\nkept = 1\nclass Own(Exception): pass\nclass Base(BaseException): pass\nclass Silent(Exception):\n    def __str__(self): raise SystemExit(0)\n    __repr__ = __str__").await;
    for _ in 0..3 * TRIES {
        let ((end, name), around) = (ENDS[dice.below(ENDS.len())], dice.pick(&AROUND));
        let code = format!("print('a', end='')\n{}\nprint('b', end='')", around.replace('@', end));
        let ran = python.run(&code).await;
        alive(&ran, &code);
        match (name, &ran.end.outcome) {
            (None, Outcome::Finished) => {}
            (Some(name), Outcome::Failed(error)) => assert_eq!(error.name, name, "{code}"),
            _ => panic!("{code}: {ran:#?}"),
        }
        assert_eq!(ran.stdout(), if end == "pass" { "ab" } else { "a" }, "{code}");
    }
    assert_eq!(python.value("kept").await.as_deref(), Some("1"));
}

/// Principle 5: every way to read gets every line, and asks once for each.
#[tokio::test]
async fn every_way_to_read_gets_every_line() {
    const WAYS: [&str; 7] = [
        "got.append(input('p '))",
        "print('p ', end=''); got.append(input())",
        "got.append(sys.stdin.readline().rstrip('\\n'))",
        "got.append(next(sys.stdin).rstrip('\\n'))",
        "got.append(sys.stdin.buffer.readline().decode().rstrip('\\n'))",
        "got.append(getpass.getpass('p '))",
        "t = threading.Thread(target=lambda: got.append(input('p '))); t.start(); t.join()",
    ];
    let mut dice = Random::new();
    let python = python();
    for _ in 0..TRIES {
        let lines: Vec<String> =
            (0..=dice.below(4)).map(|n| format!("line {n} é{}", "x".repeat(dice.below(50)))).collect();
        let mut code = String::from("import getpass, sys, threading\ngot = []\n");
        for _ in &lines {
            writeln!(code, "{}", dice.pick(&WAYS)).unwrap();
        }
        code += "assert sys.stdin.read() == ''\ngot";
        let pieces: Vec<&str> = lines.iter().map(String::as_str).collect();
        let (ran, prompts) = answered(&python, &code, &pieces).await;
        alive(&ran, &code);
        let expected = format!("{:?}", pieces).replace('"', "'");
        assert_eq!(ran.value().as_deref(), Some(expected.as_str()), "{code}: {ran:#?}");
        assert_eq!(prompts.len(), lines.len() + 1, "{code}: {prompts:?}");
    }
}

/// Principle 7: whatever a value holds, the run ends and its text is there.
#[tokio::test]
async fn every_value_is_shown() {
    fn value(dice: &mut Random, depth: usize) -> String {
        const LEAVES: [&str; 12] = [
            "None",
            "True",
            "-0.0",
            "float('nan')",
            "1e308 * 10",
            "10 ** 400",
            "'\\ud800é\\x00'",
            "b'\\xff'",
            "{1, 2}",
            "object",
            "type('S', (str,), {'__str__': None})('s')",
            "type('I', (int,), {'__repr__': None})(7)",
        ];
        match if depth == 0 { 4 } else { dice.below(6) } {
            0 => format!("[{}, {}]", value(dice, depth - 1), value(dice, depth - 1)),
            1 => format!("({},)", value(dice, depth - 1)),
            2 => format!("{{{}: {}}}", dice.pick(&["'k'", "1", "None", "(1,)", "'\\udfff'"]), value(dice, depth - 1)),
            3 => format!("tree({}, {})", dice.below(150), value(dice, depth - 1)),
            _ => dice.pick(&LEAVES).to_owned(),
        }
    }
    let mut dice = Random::new();
    let python = python();
    python.run("kept = 1\ndef tree(n, v):\n    for _ in range(n): v = [v]\n    return v\nclass B:\n    def __init__(self, v): self.v = v\n    def _repr_mimebundle_(self, **_): return {'application/json': self.v, 'text/plain': 'b'}").await;
    for _ in 0..2 * TRIES {
        let value = value(&mut dice, 4);
        let code = format!("display({{'application/json': {value}, 'text/plain': 'd'}}, raw=True)\nB({value})");
        let ran = python.run(&code).await;
        alive(&ran, &code);
        assert_eq!(
            (&ran.end.outcome, ran.results().len(), ran.stderr().as_str()),
            (&Outcome::Finished, 2, ""),
            "{code}: {ran:#?}"
        );
        assert_eq!(ran.value().as_deref(), Some("b"), "{code}");
    }
    assert_eq!(python.value("kept").await.as_deref(), Some("1"));
}

/// Principle 8: an interrupt is heard whatever the program does with its streams, questions and errors.
#[tokio::test]
async fn every_program_can_be_stopped() {
    const LOOPS: [&str; 8] = [
        "while True: pass",
        "time.sleep(100)",
        "input('? ')",
        "while True: print('x')",
        "while True: display('x')",
        "while True: print('x', end=' ')",
        "threading.Event().wait()",
        "class E(Exception):\n    def __str__(self): time.sleep(100)\nraise E",
    ];
    let mut dice = Random::new();
    let python = python();
    python.run("import threading, time\nkept = 1").await;
    for _ in 0..TRIES {
        let code = dice.pick(&LOOPS);
        let run = python.kernel.run(Cell { code: code.to_owned(), timeout: PATIENCE, stdin: true });
        let control = run.control();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            control.interrupt();
        });
        let ran = finish(run).await;
        assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Cancelled, false), "{code}: {:?}", ran.end);
        check_is_usable(&python).await;
    }
}

async fn check_is_usable(python: &Subject) {
    eventually("the kernel has its process", || python.kernel.is_warm()).await;
    let ran = python.run("print(kept)\nkept").await;
    assert_eq!(ran.value().as_deref(), Some("1"), "{ran:#?}");
    assert!(ran.events.iter().any(|(_, event)| matches!(event, CellEvent::Stdout(text) if text.ends_with("1\n"))));
}
