//! What Python cells do.

use std::time::Duration;

use agb_kernel::{Cell, CellEvent, Language, Outcome, StdinError};
use serde_json::json;

use crate::support::{PATIENCE, Subject, finish, kernel, kernel_with, next};

fn python() -> Subject {
    kernel(Language::Python)
}

#[tokio::test]
async fn state_is_kept_and_cells_are_counted() {
    let python = python();
    let first = python.run("import math\nx = 20\ndef double(n):\n    return n * 2").await;
    assert_eq!((first.end.execution_count, first.end.state_lost), (1, false));
    assert!(first.results().is_empty());
    let second = python.run("print(math.floor(2.5))\ndouble(x) + 2").await;
    assert_eq!(second.end.execution_count, 2);
    assert_eq!((second.stdout().as_str(), second.value().as_deref()), ("2\n", Some("42")));
}

#[tokio::test]
async fn the_last_value_is_what_a_notebook_shows() {
    let python = python();
    assert_eq!(python.value("42").await.as_deref(), Some("42"));
    assert_eq!(python.value("'Final result'").await.as_deref(), Some("'Final result'"));
    assert_eq!(python.value("x = 5").await, None);
    assert_eq!(python.value("x;").await, None);
    assert_eq!(python.value("(x) ; # quiet").await, None);
    assert_eq!(python.value("x # a comment; with a semicolon").await.as_deref(), Some("5"));
    assert_eq!(python.value("None").await, None);
    assert_eq!(python.value("").await, None);
    assert_eq!(python.value("# nothing").await, None);
    assert_eq!(python.value("if True:\n    7").await, None);
    assert_eq!(python.value("'ß€😀'\n").await.as_deref(), Some("'ß€😀'"));
    assert_eq!(python.value("_").await.as_deref(), Some("'ß€😀'"));
}

#[tokio::test]
async fn rich_representations_come_along() {
    let python = python();
    let ran = python
        .run(concat!(
            "class Rich:\n",
            "    def _repr_html_(self): return '<b>hi</b>'\n",
            "    def _repr_png_(self): return b'\\x89PNG'\n",
            "    def _repr_json_(self): return {'a': [1, 2.5, None, True], 'b': 'ß'}\n",
            "    def _repr_latex_(self): raise ValueError('no latex')\n",
            "    def __repr__(self): return 'Rich()'\n",
            "class Bundle:\n",
            "    def _repr_mimebundle_(self, include=None, exclude=None):\n",
            "        return {'text/plain': 'bundle', 'application/x-own': {'n': 1}}\n",
            "display(Bundle())\n",
            "Rich()",
        ))
        .await;
    let results = ran.results();
    assert_eq!(results.len(), 2);
    assert!(!results[0].is_main && results[1].is_main);
    assert_eq!(json!(results[0].data), json!({ "text/plain": "bundle", "application/x-own": { "n": 1 } }));
    assert_eq!(
        json!(results[1].data),
        json!({
            "text/plain": "Rich()", "text/html": "<b>hi</b>", "image/png": "iVBORw==",
            "application/json": { "a": [1, 2.5, null, true], "b": "ß" },
        })
    );
    assert_eq!(ran.stderr(), "Rich._repr_latex_ failed: ValueError: no latex\n");
    assert_eq!(python.run("Rich").await.results()[0].data.len(), 1, "a class is not its instances");
}

#[tokio::test]
async fn what_is_no_text_does_not_break_the_channel() {
    let python = python();
    assert_eq!(python.value("'\\ud800'").await.as_deref(), Some("'\\ud800'"));
    let ran = python.run("class S(str):\n    def __repr__(self): return '\\ud800 raw'\nS()").await;
    assert_eq!(ran.value().as_deref(), Some("\\ud800 raw"));
    assert_eq!(python.output("print('\\ud800')").await, "\\ud800\n");
    let ran = python
        .run("class J:\n    def _repr_json_(self): return float('nan')\n    def __repr__(self): return 'J'\nJ()")
        .await;
    assert_eq!(json!(ran.results()[0].data), json!({ "text/plain": "J" }));
    let ran = python.run("raise ValueError('\\udcff')").await;
    assert_eq!(ran.error().value, "\\udcff");
}

#[tokio::test]
async fn a_result_above_the_limit_says_so() {
    let python = kernel_with(Language::Python, |limits| limits.max_control_frame = 10_000);
    let value = python.value("'x' * 20_000").await.unwrap();
    assert!(value.contains("str of 20") && value.contains("too large"), "{value}");
    assert_eq!(python.value("1").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_traceback_shows_the_users_lines_only() {
    let python = python();
    python.run("def divide(a, b):\n    return a / b").await;
    let error = python.run("print('before')\ndivide(1, 0)").await.error();
    assert_eq!((error.name.as_str(), error.value.as_str()), ("ZeroDivisionError", "division by zero"));
    assert_eq!(
        error.traceback,
        "Traceback (most recent call last):\n  File \"<cell 2>\", line 2, in <module>\n    divide(1, 0)\n  \
         File \"<cell 1>\", line 2, in divide\n    return a / b\n           ~~^~~\nZeroDivisionError: division by zero\n"
    );
    let chained =
        python.run("try:\n    {}['k']\nexcept KeyError as e:\n    raise RuntimeError('outer') from e").await.error();
    assert!(chained.traceback.contains("KeyError: 'k'") && chained.traceback.contains("direct cause"), "{chained:?}");
    assert!(!chained.traceback.contains("<agb>"), "{chained:?}");
    let inside = python.run("class Bad:\n    def __str__(self): return 1 / 0\nprint(Bad())").await.error();
    assert!(inside.traceback.contains("line 2, in __str__") && !inside.traceback.contains("<agb>"), "{inside:?}");
    assert_eq!(python.value("1 + 1").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn the_users_own_traceback_has_source_lines() {
    let out = python()
        .output("import traceback, inspect\ndef f():\n    raise ValueError('x')\ntry:\n    f()\nexcept ValueError:\n    print(traceback.format_exc())\nprint(inspect.getsource(f))")
        .await;
    assert!(out.contains("    raise ValueError('x')\nValueError: x") && out.contains("def f():\n"), "{out}");
}

#[tokio::test]
async fn a_syntax_error_points_at_its_place() {
    let error = python().run("x = 1\nprint(x y)").await.error();
    assert_eq!(error.name, "SyntaxError");
    assert!(error.traceback.starts_with("  File \"<cell 1>\", line 2\n    print(x y)\n"), "{}", error.traceback);
}

#[tokio::test]
async fn sys_exit_ends_the_cell_and_not_the_kernel() {
    let python = python();
    assert_eq!(python.run("x = 1\nimport sys\nsys.exit()\nx = 2").await.end.outcome, Outcome::Finished);
    assert_eq!(python.run("sys.exit(0)").await.end.outcome, Outcome::Finished);
    let error = python.run("sys.exit(3)").await.error();
    assert_eq!((error.name.as_str(), error.value.as_str()), ("SystemExit", "3"));
    let ran = python.run("sys.exit('bad luck')").await;
    assert_eq!((ran.error().value.as_str(), ran.stderr().as_str()), ("bad luck", "bad luck\n"));
    assert_eq!(python.value("x").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn await_works_outside_of_functions() {
    let python = python();
    let ran = python
        .run("import asyncio\nasync def f(n):\n    await asyncio.sleep(0.001)\n    return n\nasync with asyncio.Lock():\n    a = await f(40)\na + await f(2)")
        .await;
    assert_eq!(ran.value().as_deref(), Some("42"), "{ran:#?}");
    assert_eq!(python.value("asyncio.run(f(5))").await.as_deref(), Some("5"));
    assert_eq!(python.value("await asyncio.gather(f(1), f(2))").await.as_deref(), Some("[1, 2]"));
}

#[tokio::test]
async fn main_is_a_module_that_others_can_find() {
    let python = python();
    let out = python
        .output("import pickle\nclass P:\n    n = 7\nprint(pickle.loads(pickle.dumps(P())).n)\nif __name__ == '__main__':\n    print('main')")
        .await;
    assert_eq!(out, "7\nmain\n");
    let out = python
        .output("from multiprocessing import Pool\ndef square(n):\n    return n * n\nwith Pool(2) as pool:\n    print(pool.map(square, range(4)))")
        .await;
    assert_eq!(out, "[0, 1, 4, 9]\n");
}

/// Processes that start afresh have nothing of the cells but what is sent along.
#[tokio::test]
async fn functions_of_cells_run_in_processes_that_are_not_forked() {
    for method in ["spawn", "forkserver"] {
        let python = python();
        python.run("import math\nimport multiprocessing as mp\nscale = [2]\nclass Point:\n    def __init__(self, x): self.x = x").await;
        python.run("def root(point):\n    return Point(math.isqrt(point.x) * scale[0])").await;
        let out = python
            .output(&format!(
                "context = mp.get_context('{method}')\npool = context.Pool(2)\nprint([p.x for p in pool.map(root, [Point(4), Point(9)])])"
            ))
            .await;
        assert_eq!(out, "[4, 6]\n", "{method}");
        // The workers are older than this, and get what a later cell makes of it.
        let out =
            python.output("scale[0] = 3\ndef twice(n): return 2 * n * scale[0]\nprint(pool.map(twice, [1, 2]))").await;
        assert_eq!(out, "[6, 12]\n", "{method}");
        let out = python.output("def twice(n): return 3 * n\nprint(pool.map(twice, [1, 2]))").await;
        assert_eq!(out, "[3, 6]\n", "{method}");
        // What cannot go there says so at once.
        for (code, name) in [
            ("import threading\nlock = threading.Lock()\ndef f(n): return lock, n\npool.map(f, [1])", "TypeError"),
            ("pool.map(lambda n: n, [1])", "PicklingError"),
            ("def f(n): return 1 // n\npool.map(f, [0])", "ZeroDivisionError"),
            ("if True:\n    def hidden(n): return n\npool.map(hidden, [0])", "NameError"),
        ] {
            let error = python.run(code).await.error();
            assert!(error.name.ends_with(name), "{method}: {error:#?}");
        }
        let out = python
            .output("q = context.Queue()\ndef work(q): q.put(Point(7))\np = context.Process(target=work, args=(q,))\np.start(); print(q.get().x); p.join(); print(p.exitcode)")
            .await;
        assert_eq!(out, "7\n0\n", "{method}");
        let out = python
            .output("from concurrent.futures import ProcessPoolExecutor\nwith ProcessPoolExecutor(1, mp_context=context) as executor:\n    print(*executor.map(twice, [5]))")
            .await;
        assert_eq!(out, "15\n", "{method}");
        // Forked ones go on as before.
        let out = python.output("with mp.get_context('fork').Pool(1) as forked:\n    print(forked.map(twice, [1]), [p.x for p in forked.map(root, [Point(4)])])").await;
        assert_eq!(out, "[3] [6]\n", "{method}");
    }
}

#[tokio::test]
async fn the_users_files_are_importable_but_do_not_shadow_the_harness() {
    let python = python();
    let write = |name: &str, text: &str| std::fs::write(python.workdir.path().join(name), text).unwrap();
    write("mine.py", "value = 'from a file'");
    write("traceback.py", "raise ImportError('the wrong one')");
    write("html.py", "raise ImportError('the wrong one')");
    assert_eq!(python.value("import mine\nmine.value").await.as_deref(), Some("'from a file'"));
    let error = python.run("1 / 0").await.error();
    assert!(error.traceback.contains("line 1, in <module>"), "{error:?}");
}

#[tokio::test]
async fn a_forked_copy_does_not_speak_for_the_kernel() {
    let python = python();
    let ran = python
        .run("import os\npid = os.fork()\nif pid == 0:\n    print('child')\nelse:\n    os.waitpid(pid, 0)\n    print('parent')\npid and 'value'")
        .await;
    assert_eq!(ran.end.outcome, Outcome::Finished);
    assert_eq!(ran.stdout(), "child\n0\nparent\n");
    assert_eq!(ran.value().as_deref(), Some("'value'"));
    assert_eq!(python.value("2").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn input_without_anybody_is_at_its_end() {
    let python = python();
    let ran = python.run("import sys\nprint(repr(sys.stdin.read()), list(sys.stdin))\ninput('name? ')").await;
    assert_eq!(ran.error().name, "EOFError");
    assert_eq!(ran.stdout(), "'' []\nname? ");
}

#[tokio::test]
async fn input_asks_and_gets_its_answer() {
    let python = python();
    let code = "name = input('name? ')\nprint('hi', name)\nimport sys\nprint([line for line in sys.stdin])";
    let mut run = python.kernel.run(Cell { code: code.to_owned(), timeout: PATIENCE, stdin: true });
    assert_eq!(next(&mut run).await, Some(CellEvent::Started));
    assert_eq!(next(&mut run).await, Some(CellEvent::InputRequest { prompt: "name? ".to_owned(), password: false }));
    let control = run.control();
    control.write_stdin("Ada".to_owned()).unwrap();
    assert_eq!(next(&mut run).await, Some(CellEvent::Stdout("hi Ada\n".to_owned())));
    assert_eq!(next(&mut run).await, Some(CellEvent::InputRequest { prompt: String::new(), password: false }));
    control.write_stdin("one\ntwo\n".to_owned()).unwrap();
    control.write_stdin("three".to_owned()).unwrap();
    control.close_stdin();
    assert_eq!(control.write_stdin("late".to_owned()), Err(StdinError::Closed));
    let ran = finish(run).await;
    assert_eq!(ran.stdout(), "['one\\n', 'two\\n', 'three\\n']\n");
    assert_eq!(ran.end.outcome, Outcome::Finished);
}

#[tokio::test]
async fn waiting_for_input_can_be_interrupted() {
    let python = python();
    python.run("x = 1").await;
    let cell = Cell { code: "input()".to_owned(), timeout: PATIENCE, stdin: true };
    let mut run = python.kernel.run(cell);
    while !matches!(next(&mut run).await, Some(CellEvent::InputRequest { .. })) {}
    run.control().interrupt();
    let ran = finish(run).await;
    assert_eq!((ran.end.outcome, ran.end.state_lost), (Outcome::Cancelled, false));
    assert_eq!(python.value("x").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn the_environment_is_the_kernels_own() {
    let out = python()
        .output("import os\nprint(sorted(os.environ), os.environ['HOME'] == os.getcwd(), os.environ['LANG'])")
        .await;
    assert_eq!(out, "['HOME', 'LANG', 'PATH', 'TMPDIR', 'TZ', 'USER'] True C.UTF-8\n");
}

#[tokio::test]
async fn a_loop_stops_at_its_timeout_and_keeps_the_state() {
    let python = python();
    python.run("x = 'kept'").await;
    for code in ["while True: pass", "import time\ntime.sleep(100)", "import re\nre.match(r'(a+)+$', 'a' * 60 + 'b')"] {
        let timeout = Duration::from_millis(100);
        let ran = python.run_for(code, timeout).await;
        assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::TimedOut(timeout), false), "{ran:#?}");
        assert!(ran.end.execution_time >= timeout / 2, "{ran:#?}");
        assert!(!ran.events.iter().any(|(_, event)| matches!(event, CellEvent::Error(_))), "{ran:#?}");
    }
    assert_eq!(python.value("x").await.as_deref(), Some("'kept'"));
}

#[tokio::test]
async fn an_interrupted_await_does_not_go_on_in_the_next_cell() {
    let python = python();
    python.run("import asyncio").await; // not in the time that the next one has
    let code = "import asyncio\nhits = []\nasync def tick():\n    while True:\n        hits.append(1)\n        await asyncio.sleep(0.001)\nawait tick()";
    let ran = python.run_for(code, Duration::from_millis(300)).await;
    assert_eq!((ran.end.state_lost, ran.value()), (false, None), "{ran:#?}");
    let out =
        python.output("before = len(hits)\nawait asyncio.sleep(0.05)\nprint(before > 0, len(hits) == before)").await;
    assert_eq!(out, "True True\n");
}

/// The interpreter itself calls `print` and `input` as the functions of a thread: no function of the program's does.
#[tokio::test]
async fn streams_are_used_by_nobody_in_particular() {
    let python = python();
    let printed = python
        .output(
            "import _thread\ndone = _thread.allocate_lock()\ndone.acquire()\n\
             class Last:\n    def __str__(self): return 'c'\n    def __del__(self): done.release()\n\
             _thread.start_new_thread(print, ('a', 'b', Last()))\ndone.acquire()\nprint('on')",
        )
        .await;
    assert_eq!(printed, "a b c\non\n");
    let asks = "import _thread, time\ndone = _thread.allocate_lock()\ndone.acquire()\n\
                class Prompt:\n    def __str__(self): return 'q '\n    def __del__(self): done.release()\n\
                _thread.start_new_thread(input, (Prompt(),))\ndone.acquire(); print('on')";
    let (ran, prompts) = crate::support::answered(&python, asks, &["a\n"]).await;
    assert_eq!((&ran.end.outcome, ran.stderr().as_str()), (&Outcome::Finished, ""), "{ran:#?}");
    assert!(ran.stdout().ends_with("on\n"), "{ran:#?}");
    assert_eq!(prompts.len(), 1, "{ran:#?}");
}

/// The compiler, as opposed to the parser, looks for the line in a file.
#[tokio::test]
async fn every_syntax_error_has_its_line() {
    let python = python();
    for (code, line) in [
        ("x = 1\nreturn 5", "return 5"),
        ("x = 1\nfrom __future__ import division", "from __future__ import division"),
        ("def f():\n    global x\n    nonlocal y", "nonlocal y"),
        ("x = 1\nbreak", "break"),
        ("print(1", "print(1"),
    ] {
        let trace = python.run(code).await.error().traceback;
        assert!(trace.contains(&format!("\n    {line}\n")), "{trace}");
        assert!(trace.contains("SyntaxError: ") && !trace.contains("agb:"), "{trace}");
    }
}

/// What a program's hook gets is the program's: its own frames, as Python's own hook shows them.
#[tokio::test]
async fn a_hook_for_errors_finds_the_programs_frames() {
    let python = python();
    let hook = "import sys, traceback\ndef hook(kind, error, trace):\n    \
                print([frame.name for frame in traceback.extract_tb(trace)], error.__traceback__ is trace)\n    \
                sys.__excepthook__(kind, error, trace)\nsys.excepthook = hook\ndef f():\n    raise KeyError('k')";
    python.run(hook).await;
    let ran = python.run("f()").await;
    assert_eq!(ran.stdout(), "['<module>', 'f'] True\n");
    let told = ran.stderr();
    assert!(
        told.contains("line 7, in f\n    raise KeyError('k')\nKeyError: 'k'\n") && !told.contains("agb:"),
        "{told}"
    );
    // One that ends the program says how.
    python.run("sys.excepthook = lambda *error: sys.exit(0)").await;
    assert_eq!(python.run("f()").await.end.outcome, Outcome::Finished);
    python.run("sys.excepthook = lambda *error: sys.exit('why')").await;
    let ran = python.run("f()").await;
    assert_eq!((ran.error().name.as_str(), ran.stderr().as_str()), ("SystemExit", "why\n"));
}
