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

#[tokio::test]
async fn a_python_program_has_a_name() {
    let code = "import argparse, os, sys\nprint(sys.argv, argparse.ArgumentParser().prog, os.path.dirname(os.path.abspath(sys.argv[0])) == os.getcwd())";
    assert_eq!(kernel(Language::Python).output(code).await, "['cell.py'] cell.py True\n");
    let workdir = Workdir::new();
    let interpreter = agb_kernel::find_interpreter(Language::Python, None).unwrap();
    let spec = crate::support::spec(Language::Python, interpreter, workdir.root());
    let spec = KernelSpec { ends_programs: true, program_name: Some("plot.py".to_owned()), zygote: None, ..spec };
    let named = Subject { kernel: agb_kernel::Kernel::new(spec), workdir };
    assert_eq!(named.output(code).await, "['plot.py'] plot.py True\n");
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
