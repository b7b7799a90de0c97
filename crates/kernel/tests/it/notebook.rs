//! What notebooks understand besides Python, in an interpreter that has none of their packages.

use agb_kernel::{Cell, CellEvent, Language, Outcome};
use serde_json::json;

use crate::support::{PATIENCE, Subject, home, kernel, next};

fn python() -> Subject {
    kernel(Language::Python)
}

#[tokio::test]
async fn commands_run_in_a_shell() {
    let python = python();
    let ran = python.run("name = 'Ada'\n!echo hello {name} $name; echo oops >&2\nprint('after')").await;
    assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("hello Ada Ada\nafter\n", "oops\n"), "{ran:#?}");
    assert_eq!(python.output("for i in range(2):\n    !echo {i * 10}").await, "0\n10\n");
    assert_eq!(python.output("!echo 'a b' | awk '{print $2}'").await, "b\n", "braces of another language stay");
    assert_eq!(python.output("!echo $HOME {{x}}").await, format!("{} {{x}}\n", home(&python.workdir.path()).display()));
    assert_eq!(python.output("!echo one \\\n  two").await, "one two\n");
    assert_eq!(
        python.value("files = !printf 'b\\na\\n'\nsorted(files), files.n").await.as_deref(),
        Some("(['a', 'b'], 'b\\na')")
    );
    assert_eq!(python.value("!exit 3\n_exit_code").await.as_deref(), Some("3"));
    // A text that only looks like a command is none.
    assert_eq!(
        python.output("s = '''\n!echo no\n'''\n!echo yes\nprint(len(s), 7 % 4, 1 != 2)").await,
        "yes\n10 3 True\n"
    );
}

#[tokio::test]
async fn a_command_is_stopped_with_its_cell() {
    let python = python();
    let mut run = python.kernel.run(Cell::new("!echo on; sleep 100\nprint('on and on')", PATIENCE));
    crate::support::until(&mut run, "on").await;
    run.control().interrupt();
    let ran = crate::support::finish(run).await;
    assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Cancelled, false), "{ran:#?}");
    assert_eq!(ran.stdout(), "");
}

#[tokio::test]
async fn times_are_taken() {
    let python = python();
    let ran = python.run("%%time\ntotal = sum(range(1000))\ntotal").await;
    assert!(ran.stdout().contains("Wall time: "), "{ran:#?}");
    assert_eq!(ran.value().as_deref(), Some("499500"));
    let ran = python.run("%time total + 1").await;
    assert!(ran.stdout().contains("Wall time: ") && ran.value().as_deref() == Some("499501"), "{ran:#?}");
    let out = python.output("%timeit -n 10 -r 3 total * 2").await;
    assert!(out.contains("per loop (mean ± std. dev. of 3 runs, 10 loops each)"), "{out}");
    let ran = python.run("%%time\nimport asyncio\nawait asyncio.sleep(0)\n1 / 0").await;
    assert!(ran.error().traceback.contains("<cell 4>\", line 4"), "{ran:#?}");
}

#[tokio::test]
async fn files_and_places() {
    let python = python();
    assert_eq!(
        python.output("%%writefile prog.py\nimport sys\nprint(__name__, sys.argv[1:])\nz = 5").await,
        "Writing prog.py\n"
    );
    let out = python.output("%run prog.py a b\n!python3 prog.py c\nprint(z, __name__)").await;
    assert_eq!(out, "__main__ ['a', 'b']\n__main__ ['c']\n5 __main__\n");
    assert!(python.output("%mkdir sub\n%cd sub\n%pwd").await.ends_with("/sub\n"));
    assert_eq!(python.output("%env GREETING=hi\n!echo $GREETING").await, "env: GREETING=hi\nhi\n");
    let ran = python.run("%cd /nowhere/at/all").await;
    assert_eq!(ran.error().traceback, "UsageError: `%cd /nowhere/at/all`: No such file or directory.\n");
}

#[tokio::test]
async fn cells_of_other_languages() {
    let python = python();
    let ran = python.run("%%bash\nset -e\nfor i in 1 2; do echo bash $i; done\necho err >&2").await;
    assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("bash 1\nbash 2\n", "err\n"), "{ran:#?}");
    let error = python.run("%%bash\nexit 4").await.error();
    assert!(error.name == "CalledProcessError" && error.value.contains("exit status 4"), "{error:?}");
    let ran = python.run("%%html\n<i>hi</i>").await;
    assert_eq!(ran.results()[0].data["text/html"], "<i>hi</i>");
    assert_eq!(python.value("%%capture out\nprint('kept')").await, None);
    assert_eq!(python.value("out.stdout").await.as_deref(), Some("'kept\\n'"));
}

#[tokio::test]
async fn what_is_unknown_says_so() {
    let python = python();
    let error = python.run("%foo bar").await.error();
    assert_eq!(error.name, "UsageError");
    assert!(
        error.value.starts_with("Line magic function `%foo` not found.") && error.value.contains("%timeit"),
        "{error:?}"
    );
    let error = python.run("%%foo\nx").await.error();
    assert!(error.value.starts_with("Cell magic function `%%foo` not found."), "{error:?}");
    assert!(python.run("%writefile x").await.error().value.contains("But the cell magic `%%writefile` exists."));
    let error = python.run("!echo fine\nprint(x y)").await.error();
    assert!(error.name == "SyntaxError" && error.traceback.contains("<cell 4>\", line 2\n    print(x y)"), "{error:?}");
    for accepted in
        ["%matplotlib inline", "%load_ext autoreload\n%autoreload 2", "%config InlineBackend.figure_format = 'retina'"]
    {
        assert_eq!(python.value(accepted).await, None);
    }
}

#[tokio::test]
async fn help_is_shown() {
    let python = python();
    let out =
        python.output("def area(r: float) -> float:\n    'The area of a circle.'\n    return 3 * r * r\narea?").await;
    assert!(out.contains("area(r: float) -> float") && out.contains("The area of a circle."), "{out}");
    assert!(python.output("area??").await.contains("return 3 * r * r"));
    assert!(python.output("?area").await.contains("The area"));
    assert_eq!(python.output("nothing?").await, "Object `nothing` not found.\n");
}

#[tokio::test]
async fn ipython_is_there_without_being_installed() {
    let python = python();
    let ran = python
        .run(
            "from IPython.display import HTML, Markdown, SVG, Latex, Image, JSON, Javascript, display, clear_output\n\
             from IPython import get_ipython\n\
             clear_output(wait=True)\n\
             display(HTML('<b>x</b>'), Markdown('# m'), SVG('<?xml?><svg></svg>'), Latex('$x$'), JSON({'a': [1]}))\n\
             display(Javascript('1'), {'text/plain': 'raw', 'x/y': 1}, display_id=True)\n\
             display({'text/plain': 'raw', 'x/y': 1}, raw=True)\n\
             Image(data=b'\\x89PNG')",
        )
        .await;
    let shown: Vec<_> = ran.results().into_iter().map(|result| json!(result.data)).collect();
    let parts = [
        ("text/html", json!("<b>x</b>")),
        ("text/markdown", json!("# m")),
        ("image/svg+xml", json!("<svg></svg>")),
        ("text/latex", json!("$x$")),
        ("application/json", json!({ "a": [1] })),
        ("application/javascript", json!("1")),
        ("text/plain", json!("{'text/plain': 'raw', 'x/y': 1}")),
        ("x/y", json!(1)),
        ("image/png", json!("iVBORw==")),
    ];
    assert_eq!(shown.len(), parts.len(), "{ran:#?}");
    for (data, (mime, value)) in shown.iter().zip(parts) {
        assert_eq!(data[mime], value, "{data}");
    }
    assert_eq!(python.output("get_ipython().run_line_magic('pwd', '') and print('ok')").await, "ok\n");
    assert!(python.run("import IPython\nIPython.embed()").await.error().value.contains("%pip install ipython"));
}

/// A package that a session installs is its own, also for the programs it starts, and survives a restart.
/// What many notebooks begin with.
#[tokio::test]
async fn all_values_are_shown_if_the_program_says_so() {
    let python = python();
    let set = "from IPython.core.interactiveshell import InteractiveShell\nInteractiveShell.ast_node_interactivity = ";
    python.output(&format!("{set}'all'")).await;
    let ran = python
        .run("x = 1\nx + 1\nNone\nawait __import__('asyncio').sleep(0, 'three')\nfor _ in range(2): _\nx + 3")
        .await;
    let shown: Vec<_> =
        ran.results().iter().map(|result| (result.data["text/plain"].clone(), result.is_main)).collect();
    assert_eq!(shown, [("2".into(), false), ("'three'".into(), false), ("4".into(), true)], "{ran:#?}");
    python.output(&format!("{set}'last_expr'")).await;
    assert_eq!(python.run("1\n2").await.results().len(), 1);
}

#[tokio::test]
async fn a_package_is_installed_for_the_session() {
    let python = python();
    let wheel = "import zipfile\n\
                 with zipfile.ZipFile('tiny-1.0-py3-none-any.whl', 'w') as wheel:\n    \
                 wheel.writestr('tiny.py', 'answer = 42')\n    \
                 wheel.writestr('tiny-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: tiny\\nVersion: 1.0\\n')\n    \
                 wheel.writestr('tiny-1.0.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n    \
                 wheel.writestr('tiny-1.0.dist-info/RECORD', 'tiny.py,,\\ntiny-1.0.dist-info/METADATA,,\\ntiny-1.0.dist-info/WHEEL,,\\ntiny-1.0.dist-info/RECORD,,\\n')";
    python.run(wheel).await;
    let out = python
        .output("%pip install --quiet --no-index ./tiny-1.0-py3-none-any.whl\nimport tiny\nprint(tiny.answer)")
        .await;
    assert!(out.ends_with("42\n"), "{out}");
    assert_eq!(python.output("!python -c 'import tiny; print(tiny.answer)'").await, "42\n");
    python.run("import os; os._exit(1)").await;
    assert_eq!(
        python.value("import tiny; tiny.__file__.startswith(__import__('os').environ['HOME'])").await.as_deref(),
        Some("True")
    );
    assert!(python.output("!pip list 2>/dev/null").await.contains("tiny"));
    let error = python.run("%pip install --no-index not-there-at-all").await.error();
    assert!(error.name == "UsageError" && error.value.contains("exit code 1"), "{error:?}");
    let error = python.run("%pip install --index-url http://127.0.0.1:9/simple not-there-at-all").await.error();
    assert!(error.value.contains("could not reach the package index"), "{error:?}");
}

#[tokio::test]
async fn asyncio_in_every_form() {
    let python = python();
    let code = "import asyncio\nasync def f(n):\n    await asyncio.sleep(0)\n    return n\n";
    assert_eq!(python.value(&format!("{code}await f(1)\nasyncio.run(f(2))")).await.as_deref(), Some("2"));
    assert_eq!(python.value("task = asyncio.create_task(f(3))\nawait task").await.as_deref(), Some("3"));
    python.run("later = asyncio.create_task(f(4))").await;
    assert_eq!(python.value("await later").await.as_deref(), Some("4"));
    let own =
        "loop = asyncio.new_event_loop()\nt = loop.create_task(f(5))\nx = loop.run_until_complete(t)\nloop.close()\nx";
    assert_eq!(python.value(own).await.as_deref(), Some("5"));
    let threads = "from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor\n\
                   def square(n):\n    return n * n\n\
                   if __name__ == '__main__':\n    for kind in ProcessPoolExecutor, ThreadPoolExecutor:\n        \
                   with kind(2) as pool:\n            print(list(pool.map(square, range(3))))";
    assert_eq!(python.output(threads).await, "[0, 1, 4]\n[0, 1, 4]\n");
}

#[tokio::test]
async fn a_terminal_is_not_claimed_and_carriage_returns_stay() {
    let ran = python()
        .run("import sys\nprint(sys.stdout.isatty(), sys.stderr.isatty())\nfor i in range(3): sys.stderr.write(f'\\r{i}/3')")
        .await;
    assert_eq!((ran.stdout().as_str(), ran.stderr().as_str()), ("False False\n", "\r0/3\r1/3\r2/3"));
}

/// Other magics keep working while a cell waits for input.
#[tokio::test]
async fn input_inside_of_a_timed_cell() {
    let python = python();
    let mut run =
        python.kernel.run(Cell { code: "%%time\nx = input('? ')\nx".to_owned(), timeout: PATIENCE, stdin: true });
    while !matches!(next(&mut run).await, Some(CellEvent::InputRequest { .. })) {}
    run.control().write_stdin("typed".to_owned()).unwrap();
    assert_eq!(crate::support::finish(run).await.value().as_deref(), Some("'typed'"));
}
