//! What programs see of what is around them: nothing of the harness, and what a script of their language sees.

use agb_kernel::{KernelSpec, Language, Outcome};

use crate::program_ends::by_the_tool;
use crate::support::{Subject, Workdir, answered, kernel, kernel_ending};

/// Python reads a whole program's file as a cell reads its text, but for the file's name.
const STACKS: [&str; 6] = [
    "import inspect\ndef f(): return [(one.function, one.lineno) for one in inspect.stack()]\nprint(f())",
    "import inspect, threading\nthread = threading.Thread(target=lambda: print([one.function for one in inspect.stack()]))\nthread.start(); thread.join()",
    "import traceback\ndef f(): return [(one.name, one.line) for one in traceback.extract_stack()]\nprint(f())",
    "import traceback\nclass A:\n    def m(self): return traceback.extract_stack(limit=2)\nprint([one.name for one in A().m()], len(traceback.extract_stack()))",
    "import logging, sys\nlogging.basicConfig(stream=sys.stdout, format='%(message)s %(funcName)s')\ndef f(): logging.warning('x')\nf()",
    "import inspect\nprint(inspect.getouterframes(inspect.currentframe())[-1].code_context)",
];

#[tokio::test]
async fn the_stack_of_a_python_program_is_its_own() {
    let python = kernel(Language::Python);
    for code in STACKS {
        let (stdout, _) = by_the_tool("python3", "script.py", code);
        assert_eq!(python.output(code).await, stdout, "{code}");
    }
    let code =
        "import traceback\nclass Shown:\n    def __repr__(self): return ''.join(traceback.format_stack())\nShown()";
    let value = python.value(code).await.unwrap();
    assert!(value.contains("in __repr__") && !value.contains("agb"), "{value}");
}

/// A kernel for one whole program of this name.
fn named(language: Language, name: &str, arguments: &[&str]) -> Subject {
    let workdir = Workdir::new();
    let interpreter = agb_kernel::find_interpreter(language, None).unwrap();
    let spec = KernelSpec {
        cache: crate::support::cache(),
        ends_programs: true,
        program_name: Some(name.to_owned()),
        arguments: arguments.iter().map(|&one| one.to_owned()).collect(),
        zygote: None,
        ..crate::support::spec(language, interpreter, workdir.root())
    };
    Subject { kernel: agb_kernel::Kernel::new(spec), workdir }
}

#[tokio::test]
async fn a_python_program_has_a_name() {
    let code = "import argparse, os, sys\nprint(sys.argv, argparse.ArgumentParser().prog, os.path.dirname(os.path.abspath(sys.argv[0])) == os.getcwd())";
    assert_eq!(kernel(Language::Python).output(code).await, "['cell.py'] cell.py True\n");
    assert_eq!(named(Language::Python, "plot.py", &[]).output(code).await, "['plot.py'] plot.py True\n");
    let code = "import os, sys\nprint(sys.argv[1:], os.path.relpath(__file__), os.path.isabs(__file__))";
    let python = named(Language::Python, "plot.py", &["-v", "a b", "\u{e9}\\'\"\n"]);
    assert_eq!(python.output(code).await, "['-v', 'a b', 'é\\\\\\'\"\\n'] plot.py True\n");
    // What comes from standard input has no file.
    assert_eq!(
        named(Language::Python, "-", &["x"]).output("import sys\nprint(sys.argv, '__file__' in globals())").await,
        "['-', 'x'] False\n"
    );
}

#[tokio::test]
async fn a_javascript_program_has_a_name() {
    let code = "const path = require('path');\nconst all = [...process.argv.slice(1), __filename, module.filename, require('url').fileURLToPath(import.meta.url)];\n\
                console.log(all.map((one) => path.relative(process.cwd(), one)).join(), require.main === module, process.argv.length, module.paths[0] === path.join(__dirname, 'node_modules'));\n\
                function f() { return new Error('x').stack.split('\\n')[1].replace(__dirname + '/', ''); }\nconsole.log(f());";
    let unnamed = kernel(Language::JavaScript).output(code).await;
    assert_eq!(unnamed, "cell.js,cell.js,cell.js,cell.js true 2 true\n    at f (cell-1.js:4:23)\n");
    let output = named(Language::JavaScript, "plot.mjs", &["-v", "a \"b\"\n"]).output(code).await;
    assert_eq!(output, "plot.mjs,-v,a \"b\"\n,plot.mjs,plot.mjs,plot.mjs true 4 true\n    at f (plot.mjs:4:23)\n");
    // A name that V8 takes for none.
    let output = named(Language::JavaScript, "my 'plot'.js", &[]).output(code).await;
    assert!(output.starts_with("my 'plot'.js,my 'plot'.js") && output.ends_with("at f (cell-1.js:4:23)\n"), "{output}");
}

#[tokio::test]
async fn an_r_program_has_a_name() {
    let code = "cat(commandArgs()[-1], sep = '|'); cat('\\n'); cat(commandArgs(trailingOnly = TRUE), sep = '|')";
    let r = named(Language::R, "plot.R", &["-v", "a b", "é\\'\"\n"]);
    assert_eq!(r.output(code).await, "--no-echo|--no-restore|--file=plot.R|--args|-v|a b|é\\'\"\n\n-v|a b|é\\'\"\n");
    let r = named(Language::R, "plot.R", &[]);
    assert_eq!(r.output(code).await, "--no-echo|--no-restore|--file=plot.R\n");
}

#[tokio::test]
async fn a_java_program_has_a_name() {
    let code = "public class Plot {\n    static void f() { throw new IllegalStateException(\"x\"); }\n    public static void main(String[] args) {\n        \
                System.out.print(String.join(\"|\", args));\n        f();\n    }\n}";
    let java = named(Language::Java, "Plot.java", &["-v", "a b", "é\\u0041\"\r\n\u{1f600}"]);
    let ran = java.run(code).await;
    assert_eq!(ran.stdout(), "-v|a b|é\\u0041\"\r\n\u{1f600}", "{ran:#?}");
    let trace = &ran.error().traceback;
    assert!(trace.contains("\tat Plot.f(Plot.java:2)\n\tat Plot.main(Plot.java:5)"), "{trace}");
    let trace = named(Language::Java, "Plot.java", &[]).run("class Plot { int n = ; }").await.error().traceback.clone();
    assert!(trace.starts_with("Plot.java:1:22: error:"), "{trace}");
}

/// In a notebook a loop runs, and in a script none does.
#[tokio::test]
async fn a_loop_runs_where_one_is_expected() {
    let code = "import asyncio\ndef f():\n    try: return asyncio.get_running_loop().is_running()\n    except RuntimeError as error: return error\nprint(f())";
    assert_eq!(kernel(Language::Python).output(code).await, "True\n");
    assert_eq!(kernel_ending(Language::Python).output(code).await, by_the_tool("python3", "script.py", code).0);
}

#[tokio::test]
async fn asyncio_reads_standard_input() {
    let reader = "import asyncio, sys\nasync def main():\n    loop = asyncio.get_running_loop()\n    reader = asyncio.StreamReader()\n    \
                  await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), INPUT)\n    print('Name?')\n    \
                  print('hello', (await reader.readline()).decode().strip())\n    async for line in reader: print('line', line)\n    print('end')\n\
                  asyncio.run(main())";
    let protocol = "import asyncio, sys\nclass Lines(asyncio.Protocol):\n    data = b''\n    def data_received(self, data): self.data += data\n    \
                    def connection_lost(self, error): ended.set_result(self.data)\nasync def main():\n    global ended\n    \
                    loop = asyncio.get_running_loop(); ended = loop.create_future()\n    await loop.connect_read_pipe(Lines, INPUT)\n    \
                    print('Name?')\n    print(await ended)\nasyncio.run(main())";
    let watched = "import asyncio, sys\nasync def main():\n    loop = asyncio.get_running_loop(); ended = loop.create_future()\n    \
                   def read():\n        line = sys.stdin.readline(); print('read', repr(line))\n        if not line: print(loop.remove_reader(INPUT)); ended.set_result(1)\n    \
                   loop.add_reader(INPUT, read)\n    print('Name?')\n    await ended\nasyncio.run(main())";
    let python = kernel(Language::Python);
    for (code, output) in [
        (reader, "Name?\nhello Ada\nline b'x\\n'\nend\n"),
        (protocol, "Name?\nb'Ada\\nx\\n'\n"),
        (watched, "Name?\nread 'Ada\\n'\nread 'x\\n'\nread ''\nTrue\n"),
    ] {
        for input in ["sys.stdin", "sys.stdin.buffer", "0"] {
            if input == "0" && code != watched {
                continue; // a number is no pipe, for Python either
            }
            let code = code.replace("INPUT", input);
            let (ran, prompts) = answered(&python, &code, &["Ada\n", "x\n"]).await;
            assert_eq!((ran.stdout().as_str(), prompts.len()), (output, 3), "{code}\n{ran:#?}");
        }
        // With nobody there it is at its end.
        let ran = python.run(&code.replace("INPUT", "sys.stdin")).await;
        assert_eq!(ran.end.outcome, Outcome::Finished, "{code}\n{ran:#?}");
    }
    // Nobody waits for what nobody reads.
    let unread = reader.replace("    print('hello'", "    return\n    print('hello'").replace("INPUT", "sys.stdin");
    let (ran, prompts) = answered(&python, &unread, &[]).await;
    assert_eq!((ran.stdout().as_str(), prompts.len()), ("Name?\n", 0), "{ran:#?}");
}

/// Printed as text: a cell keeps its source, which a script does not.
const FRAMES: [&str; 7] = [
    "texts <- function(calls) vapply(as.list(calls), deparse, '')\nf <- function() { calls <- sys.calls(); texts(calls) }\nprint(f())\nprint(sys.calls())",
    "f <- function() { n <- sys.nframe(); list(n, sys.parents(), sys.parent(), length(sys.frames()), typeof(sys.calls())) }\ng <- function() f()\na <- g(); b <- f()\nstr(a); str(b)",
    "f <- function() for (n in c(0, 1, -1, -5, 9)) cat(n, deparse(tryCatch(sys.call(n), error = conditionMessage)), '\\n')\ng <- function() f()\nf()\ng()",
    "f <- function(n) identical(parent.frame(n), globalenv())\ng <- function(n) f(n)\na <- f(1); b <- f(2); d <- f(9); e <- g(1); h <- g(2); i <- g(3)\ncat(a, b, d, e, h, i, '\\n')",
    "f <- function() { here <- environment(); a <- identical(sys.frame(1), here); b <- identical(sys.frame(sys.nframe()), here); d <- identical(sys.frame(-1), globalenv()); cat(a, b, d, identical(sys.frame(0), globalenv()), '\\n') }\nf()",
    "f <- function(kind = c('one', 'two'), ...) { kind <- match.arg(kind); print(match.call()); print(formals(sys.function())) }\nf('two', 3); g <- function(...) f(...); g('one', a = 1)\nh <- function(n) if (n > 0) n * Recall(n - 1) else 1\nprint(h(4))",
    "f <- function() { calls <- .traceback(1); length(calls) }\ng <- function() f()\nx <- g(); y <- length(.traceback(0)); cat(x, y, length(sys.status()$sys.calls), '\\n')",
];

#[tokio::test]
async fn the_calls_of_an_r_program_are_its_own() {
    let r = kernel(Language::R);
    for code in FRAMES {
        let ran = r.run(code).await;
        assert_eq!(ran.stdout(), by_the_tool("Rscript", "script.R", code).0, "{code}\n{ran:#?}");
    }
}

/// What a run's error was led to by is told to the next ones, and to what the program wants to be done at an error.
#[tokio::test]
async fn the_calls_that_led_to_an_error_of_r_can_be_asked_for() {
    let r = kernel(Language::R);
    assert_eq!(r.run("f <- function() stop('told')\ng <- function() f()\ng()").await.error().value, "told");
    assert_eq!(r.output("traceback()").await, "3: stop(\"told\")\n2: f()\n1: g()\n");
    let ends = kernel_ending(Language::R);
    let code = "f <- function() stop('told')\ng <- function() f()\n\
                options(error = function() { calls <- sys.calls(); traceback(2); cat(length(calls) > 2, '\\n'); q(status = 3) })\ng()";
    let ran = ends.run(code).await;
    assert_eq!(ran.stdout(), "3: stop(\"told\")\n2: f()\n1: g()\nTRUE \n", "{ran:#?}");
}

#[tokio::test]
async fn a_java_thread_has_a_handler_of_its_own() {
    let handler = "Thread.currentThread().setUncaughtExceptionHandler((thread, error) -> System.out.println(\"own \" + thread.getName() + \" \" + error));";
    let default = "Thread.setDefaultUncaughtExceptionHandler((thread, error) -> System.out.println(\"default\"));";
    for body in [
        handler.to_owned(),
        format!("{default} {handler}"),
        format!("{handler} Thread.currentThread().setUncaughtExceptionHandler(null);"),
    ] {
        let code = format!(
            "public class Main {{ public static void main(String[] args) {{ {body} throw new IllegalStateException(\"told\"); }} }}"
        );
        let ran = kernel_ending(Language::Java).run(&code).await;
        assert_eq!(ran.stdout(), by_the_tool("java", "Main.java", &code).0, "{code}\n{ran:#?}");
        assert!(matches!(ran.end.outcome, Outcome::Failed(_)), "{ran:#?}");
    }
}

#[tokio::test]
async fn a_javascript_program_is_the_main_module() {
    let code = "console.log(require.main === module, module.parent, !module.parent, arguments.length, arguments[0] === exports,\n  \
                arguments[1] === require, arguments[2] === module, arguments[3] === __filename, (() => arguments[4])() === __dirname,\n  \
                (function () { return arguments.length })(1), typeof module.exports)";
    let javascript = kernel(Language::JavaScript);
    assert_eq!(javascript.output(code).await, by_the_tool("node", "script.js", code).0);
}
