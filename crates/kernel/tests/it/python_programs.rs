//! Python programs as people bring them: what plain `python3` does with them is right here, too.

use std::time::{Duration, Instant};

use agb_kernel::{Cell, CellEvent, Death, Language, Outcome, Stream};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Ran, Subject, answered, eventually, finish, kernel, next, questions};

pub(crate) fn python() -> Subject {
    kernel(Language::Python)
}

/// The pieces of standard output as they came.
fn chunks(ran: &Ran) -> Vec<&str> {
    let pieces = ran.events.iter().filter_map(|(_, event)| match event {
        CellEvent::Stdout(text) => Some(text.as_str()),
        _ => None,
    });
    pieces.collect()
}

#[tokio::test]
async fn print_and_input_are_the_builtins() {
    let python = python();
    for (code, output) in [
        (
            "import types\nprint(type(print) is types.BuiltinFunctionType, type(input) is type(print), print, input)",
            "True True <built-in function print> <built-in function input>\n",
        ),
        ("import pickle\nprint(pickle.loads(pickle.dumps(print)) is print)", "True\n"),
        ("class Logger:\n    log = print\nLogger().log('hello')", "hello\n"),
        (
            "class R:\n    def __str__(self): print('inner', end=';'); return 'r'\nprint('outer', R())",
            "outer inner;r\n",
        ),
        ("try: print('x', sep=1)\nexcept TypeError as error: print(error)", "sep must be None or a string, not int\n"),
        (
            "import sys, io\nprint(isinstance(sys.stdout, io.TextIOWrapper), sys.stdout.fileno(), sys.stdout.name, sys.stdout.mode)",
            "True 1 <stdout> w\n",
        ),
        ("print(*map(str, range(3)), sep='-', end='!\\n')", "0-1-2!\n"),
    ] {
        assert_eq!(python.output(code).await, output, "{code}");
    }
}

/// What one call prints comes in one piece, and at once.
#[tokio::test]
async fn a_print_is_one_event() {
    let python = python();
    let rest = "import time\ndef rest(): time.sleep(0.1)\n";
    let ran = python
        .run(&format!(
            "{rest}import sys\nprint('a', 1, 'b'); rest()\nprint('c', 'd', end=' '); rest()\nprint('e', end=''); rest()\n\
             sys.stdout.write('f'); rest()\nsys.stdout.buffer.write(b'g'); rest()\nprint(*'hi', sep='-', end='!'); rest()"
        ))
        .await;
    assert_eq!(chunks(&ran), ["a 1 b\n", "c d ", "e", "f", "g", "h-i!"], "{ran:#?}");
    // What ends a line in other ways than `end` does.
    let ran = python
        .run(&format!("{rest}print('a', end='!\\n'); rest()\nprint(end='b\\n'); rest()\nprint(); rest()\nprint('')"))
        .await;
    assert_eq!(chunks(&ran), ["a!\n", "b\n", "\n", "\n"], "{ran:#?}");
    // In a thread as well.
    let ran = python
        .run("import threading\ndef work():\n    for n in range(3): print('n', n, end=' '); rest()\nt = threading.Thread(target=work); t.start(); t.join()")
        .await;
    assert_eq!(chunks(&ran), ["n 0 ", "n 1 ", "n 2 "], "{ran:#?}");
}

#[tokio::test]
async fn a_stream_of_the_programs_own_is_flushed_in_its_run() {
    let python = python();
    for wrapper in [
        "io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')",
        "io.TextIOWrapper(io.BufferedWriter(sys.stdout.buffer.raw), 'utf-8')",
        "io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, 'w', closefd=False)))",
        "open(sys.stdout.fileno(), 'w', encoding='utf-8', buffering=1)",
        "open(1, 'w', closefd=False)",
        "os.fdopen(1, 'w')",
        "codecs.getwriter('utf-8')(sys.stdout.buffer)",
        "codecs.getwriter('utf-8')(sys.stdout.detach())",
        "Tee(io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, 'w', closefd=False))))",
    ] {
        for (end, failed) in [("", false), ("raise ValueError", true), ("sys.exit(0)", false), ("sys.exit(2)", true)] {
            let code = format!(
                "import codecs, io, os, sys\nclass Tee:\n    def __init__(self, inner): self.inner = inner\n    \
                 def write(self, text): self.inner.write(text)\n    def flush(self): pass\n\
                 sys.stdout = {wrapper}\nprint('one')\n{end}"
            );
            let ran = python.run(&code).await;
            assert_eq!((ran.stdout().as_str(), ran.end.state_lost), ("one\n", false), "{wrapper} {end}: {ran:#?}");
            assert_eq!(matches!(ran.end.outcome, Outcome::Failed(_)), failed, "{wrapper} {end}: {ran:#?}");
            assert_eq!(
                python.output("print('two')\nf = open('log', 'w'); print('three'); f.close()").await,
                "two\nthree\n"
            );
            assert_eq!(python.output("print(repr(open('log').read()))").await, "''\n", "{wrapper}");
        }
    }
}

#[tokio::test]
async fn what_happens_between_runs_ends_nothing() {
    let python = python();
    let background = |ran: &Ran| -> String {
        let text = |event: &CellEvent| match event {
            CellEvent::Background { stream: Stream::Stdout | Stream::Stderr, text } => Some(text.clone()),
            _ => None,
        };
        ran.events.iter().filter_map(|(_, event)| text(event)).collect()
    };
    let thread = |body: &str| {
        format!(
            "import os, threading, time, sys\nkept = 1\ndef late():\n    while not os.path.exists('go'): time.sleep(0.005)\n    \
             try:\n        {body}\n    finally: open('done', 'w').close()\nthreading.Thread(target=late).start()"
        )
    };
    let signal = |body: &str| {
        format!(
            "import os, signal\nkept = 1\ndef late(*_):\n    if not os.path.exists('go'): return\n    signal.setitimer(signal.ITIMER_REAL, 0)\n    \
             open('done', 'w').close()\n    {body}\nsignal.signal(signal.SIGALRM, late)\nsignal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)"
        )
    };
    for (code, said) in [
        (thread("display('shown late')"), "'shown late'\n"),
        (thread("display({'text/plain': 'raw late', 'x/y': 1}, raw=True)"), "raw late\n"),
        (thread("input('asked late')"), "EOFError"),
        (thread("raise SystemExit(3)"), ""),
        (thread("import _thread; _thread.interrupt_main()"), ""),
        (thread("sys.stdout.write('partly')"), "partly"),
        (signal("raise TimeoutError('too slow')"), "TimeoutError: too slow"),
        (signal("raise SystemExit(3)"), "SystemExit: 3"),
        (signal("raise KeyboardInterrupt"), "KeyboardInterrupt"),
        (signal("display('in a handler')"), "'in a handler'"),
    ] {
        let ran = python.run(&code).await;
        assert_eq!(ran.end.outcome, Outcome::Finished, "{code}: {ran:#?}");
        let at = |name: &str| python.workdir.path().join(name);
        std::fs::write(at("go"), "").unwrap();
        eventually("it has happened", || at("done").exists()).await;
        let mut told = String::new();
        for _ in 0..200 {
            let ran = python.run("print(kept)").await;
            assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Finished, false), "{code}: {ran:#?}");
            assert!(ran.stdout().ends_with("1\n"), "{code}: {ran:#?}");
            told += &background(&ran);
            told += &ran.stdout();
            told += &ran.stderr();
            if told.contains(said) {
                break;
            }
        }
        assert!(told.contains(said), "{code}: {told}");
        ["go", "done"].iter().for_each(|name| std::fs::remove_file(at(name)).unwrap());
    }
    // A timer that nobody handles dies with its run.
    python
        .output(
            "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_DFL)\nsignal.setitimer(signal.ITIMER_REAL, 0.05)",
        )
        .await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert_eq!(python.value("kept").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_question_in_a_thread_holds_nobody() {
    let python = python();
    let code = "import threading\ngot = []\ndef ask():\n    try: got.append(input('q '))\n    except EOFError: got.append('eof')\n\
                t = threading.Thread(target=ask); t.start()";
    let mut run = python.kernel.run(Cell {
        code: format!("{code}\nimport time; time.sleep(0.2)\ndisplay('meanwhile')\nprint('main done')"),
        timeout: PATIENCE,
        stdin: true,
    });
    while !matches!(next(&mut run).await, Some(CellEvent::InputRequest { prompt, .. }) if prompt == "q ") {}
    let ran = finish(run).await;
    assert_eq!((&ran.end.outcome, ran.stdout().as_str(), ran.results().len()), (&Outcome::Finished, "main done\n", 1));
    assert_eq!(python.value("t.join(); got").await.as_deref(), Some("['eof']"));
    let (ran, prompts) = answered(&python, &format!("{code}\nt.join()\nprint(got)"), &["yes"]).await;
    assert_eq!((ran.stdout().as_str(), prompts.as_slice()), ("['yes']\n", ["q ".to_owned()].as_slice()), "{ran:#?}");
    // Two threads and the main program, one after the other.
    let (ran, prompts) = answered(
        &python,
        &format!("{code}\nu = threading.Thread(target=ask); u.start()\nx = input('m ')\nt.join(); u.join(); print(sorted(got + [x]))"),
        &["1", "2", "3"],
    )
    .await;
    assert_eq!((ran.stdout().as_str(), prompts.len()), ("['1', '2', '3']\n", 3), "{ran:#?}");
}

#[tokio::test]
async fn every_way_to_read_asks() {
    let python = python();
    for (code, pieces, output, asked) in [
        ("a = input('a? '); b = input('b? '); print(a, b)", &["1", "2"][..], "1 2\n", &["a? ", "b? "][..]),
        ("print('Name:', end=' '); print(input())", &["Ada"], "Name: Ada\n", &[""]),
        ("import sys; print(sys.stdin.readline(), sys.stdin.readline())", &["x"], "x\n \n", &["", ""]),
        ("print(open(0).read())", &["a\n", "b"], "a\nb\n", &["", "", ""]),
        ("print(open(0, 'rb').read())", &["ä"], "b'\\xc3\\xa4\\n'\n", &["", ""]),
        ("print([l for l in open('/dev/stdin')])", &["a", "b\n"], "['a\\n', 'b\\n']\n", &["", "", ""]),
        ("import io; print(io.open(0).readline())", &["x"], "x\n\n", &[""]),
        ("import sys; print(sys.stdin.buffer.read())", &["a", "b"], "b'a\\nb\\n'\n", &["", "", ""]),
        ("import sys; print(list(map(int, sys.stdin.readline().split())))", &["1 2"], "[1, 2]\n", &[""]),
        ("import fileinput; print([l for l in fileinput.input('-')])", &["a"], "['a\\n']\n", &["", ""]),
        (
            "import getpass; print(getpass.getpass('Key: '), getpass.getpass(prompt='P'))",
            &["s", "t"],
            "s t\n",
            &["Key: ", "P"],
        ),
        ("print(input(prompt) if (prompt := '') else input('é\\n> '))", &["x"], "x\n", &["é\n> "]),
        (
            "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as f: x = input('hidden ')\nprint(repr(f.getvalue()), x)",
            &["x"],
            "'hidden ' x\n",
            &[""],
        ),
    ] {
        let (ran, prompts) = answered(&python, code, pieces).await;
        assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), (output, ""), "{code}: {ran:#?}");
        assert_eq!(prompts, asked, "{code}");
    }
    // With nobody there.
    for code in
        ["input()", "import getpass; getpass.getpass('Key: ')", "import sys; getpass.getpass(stream=sys.stderr)"]
    {
        let ran = python.run(code).await;
        assert_eq!((ran.error().name.as_str(), ran.stderr().as_str()), ("EOFError", ""), "{code}: {ran:#?}");
    }
}

#[tokio::test]
async fn values_that_readers_refuse_are_left_out() {
    let python = python();
    python.run("from IPython.display import JSON\nkept = 1\ndef tree(n):\n    t = {}\n    for _ in range(n): t = {'c': t}\n    return t").await;
    for (value, expected) in [
        ("{'name': b'a\\xff.txt'.decode('utf-8', 'surrogateescape')}", Some(json!({ "name": "a\\udcff.txt" }))),
        ("{'a': float('nan'), 'b': [1.5, float('inf')]}", Some(json!({ "a": null, "b": [1.5, null] }))),
        ("{1: 2, None: 3, (1,): 5, '\\udc00': 6}", Some(json!({ "1": 2, "null": 3, "(1,)": 5, "\\udc00": 6 }))),
        ("[10 ** 400]", Some(json!([format!("1{}", "0".repeat(400))]))),
        ("[10 ** 5000, -1]", None),
        ("{'s': {1}, 't': (1, [2])}", Some(json!({ "s": "{1}", "t": [1, [2]] }))),
        ("tree(99)", None),
        ("tree(200)", Some(Value::Null)),
        ("tree(100_000)", Some(Value::Null)),
        ("(lambda l: l.append(l) or l)([])", Some(Value::Null)),
    ] {
        let bundle = format!(
            "class B:\n    def _repr_mimebundle_(self, **_): return {{'application/json': {value}, 'text/plain': 'b'}}\nB()"
        );
        for code in [
            format!("JSON({value})"),
            bundle,
            format!("display({{'application/json': {value}, 'text/plain': 'd'}}, raw=True)"),
        ] {
            let ran = python.run(&code).await;
            assert_eq!((&ran.end.outcome, ran.stderr().as_str()), (&Outcome::Finished, ""), "{code}: {ran:#?}");
            let data = &ran.results()[0].data;
            assert!(data["text/plain"].is_string(), "{code}: {data:?}");
            match &expected {
                Some(Value::Null) => assert!(!data.contains_key("application/json"), "{code}"),
                Some(expected) => assert_eq!(&data["application/json"], expected, "{code}"),
                None => assert!(data.contains_key("application/json"), "{code}"),
            }
        }
    }
    assert_eq!(python.value("kept").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn looks_at_a_programs_objects_may_raise_anything() {
    let python = python();
    python.run("kept = 1").await;
    for raised in ["SystemExit(3)", "SystemExit", "ValueError('x')", "GeneratorExit", "BaseException", "RecursionError"]
    {
        let class =
            format!("class E(Exception):\n    def __str__(self): raise {raised}\n    __repr__ = __str__\nraise E");
        let ran = python.run(&class).await;
        assert_eq!(ran.error().name, "E", "{raised}: {ran:#?}");
        let code =
            format!("class V:\n    def _repr_html_(self): raise {raised}\n    def __repr__(self): return 'V'\nV()");
        assert_eq!(python.value(&code).await.as_deref(), Some("V"), "{raised}");
        let code = format!(
            "class M(type):\n    def __getattr__(self, name): raise {raised}\nclass V(metaclass=M):\n    def __repr__(self): return 'V'\nV()"
        );
        assert_eq!(python.value(&code).await.as_deref(), Some("V"), "{raised}");
        let ran = python.run(&format!("class V:\n    def __repr__(self): raise {raised}\nV()")).await;
        assert!(!ran.end.state_lost, "{raised}: {ran:#?}");
        assert_eq!(ran.value().is_none(), matches!(ran.end.outcome, Outcome::Failed(_)), "{raised}: {ran:#?}");
        assert_eq!(python.value("kept").await.as_deref(), Some("1"), "{raised}");
    }
    let timeout = Duration::from_millis(300);
    let ran =
        python.run_for("class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E", timeout).await;
    assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::TimedOut(timeout), false), "{ran:#?}");
    python.run("import sys; sys.setrecursionlimit(60)").await;
    assert_eq!(python.value("[kept, {'a': (1, [2])}]").await.as_deref(), Some("[1, {'a': (1, [2])}]"));
    assert_eq!(python.run("def f(): f()\nf()").await.error().name, "RecursionError");
}

#[tokio::test]
async fn a_cell_is_to_libraries_what_a_file_is() {
    let python = python();
    python.run("import warnings\ndef f(): warnings.warn('negative price')\ndef g(): warnings.warn('old', DeprecationWarning)").await;
    for _ in 0..2 {
        let ran = python.run("f(); f(); g()").await;
        assert_eq!(ran.stderr().matches("UserWarning: negative price").count(), 1, "{ran:#?}");
        assert_eq!(ran.stderr().matches("DeprecationWarning: old").count(), 1, "{ran:#?}");
    }
    python
        .run("from dataclasses import dataclass\n@dataclass\nclass Point:\n    x: int\n    class Inner:\n        y = 1")
        .await;
    python.run("def make():\n    class Local:\n        z = 2\n    return Local\nMeta = type('Meta', (type,), {})\nclass Made(metaclass=Meta):\n    pass").await;
    for (name, source) in [
        ("Point", "@dataclass\nclass Point:\n    x: int\n    class Inner:\n        y = 1\n"),
        ("Point.Inner", "    class Inner:\n        y = 1\n"),
        ("make()", "    class Local:\n        z = 2\n"),
        ("Made", "class Made(metaclass=Meta):\n    pass\n"),
        ("f", "def f(): warnings.warn('negative price')\n"),
    ] {
        assert_eq!(
            python.output(&format!("import inspect; print(inspect.getsource({name}), end='')")).await,
            source,
            "{name}"
        );
    }
    python.run("class Made:\n    later = True").await;
    assert_eq!(
        python.output("import linecache; linecache.clearcache()\nprint(inspect.getsource(Made))").await,
        "class Made:\n    later = True\n\n"
    );
    assert_eq!(
        python.output("import time; print(time.tzname, time.localtime().tm_gmtoff)").await,
        "('UTC', 'UTC') 0\n"
    );
    assert_eq!(
        python
            .output("import os; os.environ['TZ'] = 'Asia/Tokyo'; time.tzset(); print(time.localtime().tm_gmtoff)")
            .await,
        "32400\n"
    );
    python.run("import asyncio\nasync def g(): return 5\ndef start(): return asyncio.create_task(g())").await;
    assert_eq!(python.value("t = start()\nawait t").await.as_deref(), Some("5"));
    python.run("t = start()").await;
    assert_eq!(python.value("await t").await.as_deref(), Some("5"));
    assert_eq!(python.output("import sys\nsys.excepthook = lambda *e: print('hook', e[0].__name__)").await, "");
    assert_eq!(python.run("1 / 0").await.stdout(), "hook ZeroDivisionError\n");
}

/// Errors that no run is told of have their source lines, as those of a script have.
#[tokio::test]
async fn errors_of_threads_and_finalizers_have_their_lines() {
    let python = python();
    let threads = "import threading\ndef work():\n    raise ValueError('in thread')\nt = threading.Thread(target=work, name='T1')\nt.start(); t.join()";
    let ran = python.run(threads).await;
    assert_eq!((&ran.end.outcome, ran.stdout().as_str()), (&Outcome::Finished, ""), "{ran:#?}");
    let told = ran.stderr();
    assert!(told.starts_with("Exception in thread T1:\nTraceback (most recent call last):\n"), "{told}");
    assert!(told.ends_with("in work\n    raise ValueError('in thread')\nValueError: in thread\n"), "{told}");
    let finalizer = "class A:\n    def __del__(self):\n        raise KeyError('gone')\na = A()\ndel a\nprint('on')";
    let ran = python.run(finalizer).await;
    let told = ran.stderr();
    assert!(told.starts_with("Exception ignored in: <function A.__del__ at 0x"), "{told}");
    assert!(told.ends_with("in __del__\n    raise KeyError('gone')\nKeyError: 'gone'\n"), "{told}");
    assert_eq!(ran.stdout(), "on\n");
    // A program's own hooks are asked, and get what Python's own would show; an end of a thread is no error.
    let own = "threading.excepthook = lambda args: print('hook', args.exc_type.__name__, args.thread.name)\n\
               t = threading.Thread(target=work, name='T2'); t.start(); t.join()\n\
               threading.excepthook = threading.__excepthook__\n\
               t = threading.Thread(target=exit); t.start(); t.join()\n\
               import contextlib, io\nwith contextlib.redirect_stderr(io.StringIO()) as f:\n    \
               t = threading.Thread(target=work, name='T3'); t.start(); t.join()\nprint(f.getvalue().startswith('Exception in thread T3:'))";
    let ran = python.run(own).await;
    assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("hook ValueError T2\nTrue\n", ""), "{ran:#?}");
}

/// What a program puts in the place of functions is its own affair.
#[tokio::test]
async fn what_programs_replace_is_theirs() {
    let python = python();
    for (code, then, value) in [
        (
            "from unittest import mock\nmock.patch('os.getpid', return_value=7).start()",
            "__import__('os').getpid()",
            "7",
        ),
        (
            "mock.patch('time.perf_counter', return_value=0).start(); mock.patch('time.time', side_effect=ValueError).start()",
            "1",
            "1",
        ),
        (
            "mock.patch('json.dumps', return_value='x').start(); mock.patch('traceback.format_exception').start()",
            "{'a': 1}",
            "{'a': 1}",
        ),
        ("import sys\nfor m in [m for m in sys.modules if m.startswith('_agb')]: del sys.modules[m]", "'on'", "'on'"),
    ] {
        let ran = python.run(code).await;
        assert!(!ran.end.state_lost, "{code}: {ran:#?}");
        assert_eq!(python.value(then).await.as_deref(), Some(value), "{code}");
        let error = python.run("{}['k']").await.error();
        assert_eq!((error.name.as_str(), error.value.as_str()), ("KeyError", "'k'"), "{code}");
    }
}

#[tokio::test]
async fn a_trace_costs_what_its_program_cost() {
    let python = python();
    for (code, text) in [
        ("import sys; sys.setrecursionlimit(10**5)\ndef f(n): return [f(n + 1)]\nf(0)", "[Previous line repeated 999"),
        ("def f(n): return g(n + 1)\ndef g(n): return f(n + 1)\nf(0)", "frames are left out]"),
        (
            "class E(Exception): pass\ne = None\nfor i in range(100_000):\n    n = E(i); n.__cause__ = e; e = n\nraise e",
            "E: 99999",
        ),
        ("raise E('x' * 10**7)", "E: xxx"),
        ("raise ExceptionGroup('many', [E(i) for i in range(100_000)])", "many (100000 sub-exceptions)"),
    ] {
        let began = Instant::now();
        let ran = python.run(code).await;
        let (wall, own) = (began.elapsed(), ran.end.execution_time);
        assert!(wall < own + Duration::from_secs(5), "{code}: {wall:?} for {own:?}");
        let error = ran.error();
        assert!(error.traceback.contains(text) && error.traceback.len() < 300_000, "{code}: {:.2000}", error.traceback);
    }
}

#[tokio::test]
async fn line_ends_and_marks_make_no_difference() {
    let python = python();
    let code = "x = '''a\nb'''\nprint(repr(x)) # c\ndef f():\n    return 1 / 0\n\n1 +\\\n  1;\nf()";
    for mark in ["", "\u{feff}"] {
        for end in ["\n", "\r\n", "\r"] {
            let ran = python.run(&format!("{mark}{}", code.replace('\n', end))).await;
            assert_eq!(ran.stdout(), "'a\\nb'\n", "{end:?}");
            assert!(ran.error().traceback.contains("line 9, in <module>\n    f()\n"), "{ran:#?}");
            assert_eq!(
                python.output("import inspect; print(inspect.getsource(f), end='')").await,
                "def f():\n    return 1 / 0\n"
            );
            let bash = format!("{mark}%%bash\nprintf 'a' | od -An -c\n").replace('\n', end);
            assert_eq!(python.output(&bash).await.trim(), "a", "{end:?}");
            let shell = format!("{mark}!printf 'a' | od -An -c\n# c\n").replace('\n', end);
            assert_eq!(python.output(&shell).await.trim(), "a", "{end:?}");
            assert_eq!(python.value(&format!("{mark}7{end}")).await.as_deref(), Some("7"), "{end:?}");
            assert_eq!(python.value(&format!("7;{end}")).await, None, "{end:?}");
        }
    }
}

#[tokio::test]
async fn a_channel_that_was_closed_is_told() {
    let python = python();
    let ran = python.run("import os; os.closerange(3, 256)").await;
    assert!(matches!(ran.end.outcome, Outcome::Killed(Death::Exited(1) | Death::Protocol(_))), "{ran:#?}");
    assert!(ran.stderr().contains("has closed the interpreter's control channel"), "{ran:#?}");
}

#[tokio::test]
async fn a_password_is_asked_for_as_one() {
    let python = python();
    let code = "import getpass, sys\ninput('a '); getpass.getpass('b '); sys.stdin.readline(); getpass.getpass()";
    let (ran, _) = answered(&python, code, &["1", "2", "3", "4"]).await;
    assert_eq!(questions(&ran), [("a ", false), ("b ", true), ("", false), ("Password: ", true)], "{ran:#?}");
    // The second line of an answer is there already: who asks next does not ask for a password in its place.
    let code = "import getpass, sys\ninput('a '); getpass.getpass('b '); sys.stdin.read()";
    let (ran, _) = answered(&python, code, &["1\n2\n", "3"]).await;
    assert_eq!(questions(&ran)[..2], [("a ", false), ("", false)], "{ran:#?}");
}
