//! Programs that end as with their language's own tool: `KernelSpec::ends_programs`. What the tool prints is what is right.

use std::process::{Command, Stdio};

use agb_kernel::{Cell, Language, Outcome, find_interpreter};

use crate::support::{PATIENCE, Workdir, answered, finish, kernel, kernel_ending, next, until};

const PYTHON: [&str; 17] = [
    "class A:\n    def __del__(self): print('closed')\na = A()\ndef f(n): return n / 0\nf(1)",
    "import atexit\n@atexit.register\ndef first(): print('first')\natexit.register(print, 'second', 'x', sep='-')\nprint('main')",
    "import threading, time\ndef work():\n    for i in range(3): time.sleep(0.02); print('step', i)\nthreading.Thread(target=work).start()\nprint('main')",
    "import threading\nthreading.Timer(0.1, print, ['timer']).start()\nprint('main')",
    "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\nprint('main')",
    "import atexit, threading, time\natexit.register(print, 'last')\nthreading.Thread(target=lambda: (time.sleep(0.1), print('thread'))).start()\nraise ValueError('told')",
    "import atexit, sys\natexit.register(print, 'last')\nsys.exit(3)",
    "class A:\n    def __init__(self, n): self.n = n\n    def __del__(self): print('closed', self.n)\na, b = A(1), A(2)\ndef uses(): return a\nprint('main')",
    "class A:\n    def __del__(self): print('closed')\na = A()\nprint('main', end='')",
    "import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, 'final')\nprint('main')",
    "from concurrent.futures import ThreadPoolExecutor\nimport time\npool = ThreadPoolExecutor(2)\npool.submit(lambda: (time.sleep(0.1), print('late')))\nprint('main')",
    "import multiprocessing, time\ndef work():\n    time.sleep(0.1); print('child', flush=True)\nmultiprocessing.get_context('fork').Process(target=work).start()\nprint('main', flush=True)",
    "import sys\nclass Tee:\n    def __init__(self): self.held = []\n    def write(self, text): self.held.append(text)\n    def flush(self):\n        sys.__stdout__.write(''.join(self.held).upper()); self.held.clear()\nsys.stdout = Tee()\nimport atexit\natexit.register(print, 'in the tee')\nprint('main')",
    "import os, sys, atexit\natexit.register(lambda: print('atexit', os.getpid() == me, flush=True))\nme = os.getpid()\nif os.fork() == 0: sys.exit(3)\nprint('child', os.waitstatus_to_exitcode(os.wait()[1]), flush=True)",
    "import sys\ndef hook(kind, value, trace): print('hook', kind.__name__, value, trace.tb_lineno)\nsys.excepthook = hook\ndef f(): raise KeyError('k')\nf()",
    "import sys\ndef hook(*args):\n    print('hook'); sys.exit(0)\nsys.excepthook = hook\n1 / 0",
    "import atexit\ndef bad(): raise ValueError('in atexit')\natexit.register(print, 'after it')\natexit.register(bad)\nprint('main')",
];

const R: [&str; 9] = [
    ".Last <- function() cat('last\\n')\ncat('main\\n')",
    ".Last <- function() { cat('last\\n'); 42 }\nquit(status = 4)",
    ".Last <- function() cat('last\\n')\nq('no', 4, runLast = FALSE)",
    ".Last <- function() cat('last\\n')\nq('no')",
    ".Last <- function() cat('last\\n')\nstop('told')",
    ".Last <- function() stop('told')\ncat('main\\n')",
    "e <- new.env(); reg.finalizer(e, function(x) cat('final\\n'), onexit = TRUE); cat('main\\n')",
    "e <- new.env(); reg.finalizer(e, function(x) cat('final\\n')); cat('main\\n')",
    ".Last <- 5\ncat('main\\n')",
];

const JAVA: [&str; 5] = [
    "Thread.setDefaultUncaughtExceptionHandler((t, e) -> System.out.println(t.getName() + e)); throw new IllegalStateException(\"told\");",
    "new Thread(() -> { pause(200); System.out.println(\"thread\"); }).start();",
    "Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println(\"hook\")));\n new Thread(() -> { pause(200); System.out.println(\"thread\"); }).start();",
    "Thread t = new Thread(() -> pause(1000000)); t.setDaemon(true); t.start();",
    "new Thread(() -> { pause(100); System.out.println(\"thread\"); }).start(); throw new IllegalStateException(\"told\");",
];

/// What the language's own tool prints, and whether that was a success.
pub(crate) fn by_the_tool(tool: &str, name: &str, code: &str) -> (String, bool) {
    let folder = Workdir::new();
    let file = folder.path().join(name);
    std::fs::write(&file, code).unwrap();
    let mut command = Command::new(tool);
    command.arg(&file).current_dir(folder.path()).stdin(Stdio::null()).env_remove("PYTHONUNBUFFERED");
    let output = command.output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.success())
}

async fn ends_as_with(tool: &str, language: Language, name: &str, code: &str) {
    let (stdout, success) = by_the_tool(tool, name, code);
    let ran = kernel_ending(language).run(code).await;
    assert_eq!((ran.stdout(), ran.end.outcome == Outcome::Finished), (stdout, success), "{code}\n{ran:#?}");
}

#[tokio::test]
async fn whole_programs_of_python_end_as_python_ends() {
    let python = find_interpreter(Language::Python, None).unwrap();
    for code in PYTHON {
        ends_as_with(python.to_str().unwrap(), Language::Python, "script.py", code).await;
    }
}

#[tokio::test]
async fn whole_programs_of_r_end_as_r_ends() {
    for code in R {
        ends_as_with("Rscript", Language::R, "script.R", code).await;
    }
}

#[tokio::test]
async fn whole_programs_of_java_end_as_java_ends() {
    for body in JAVA {
        let pause = "static void pause(int ms) { try { Thread.sleep(ms); } catch (InterruptedException e) { System.out.println(e); } }";
        let code = format!(
            "public class Main {{\n {pause}\n public static void main(String[] args) {{ System.out.println(\"main\");\n {body} }}\n}}\n"
        );
        ends_as_with("java", Language::Java, "Main.java", &code).await;
    }
}

/// What the end of a program asks for is answered, its time limit holds, and it can be stopped.
#[tokio::test]
async fn the_end_of_a_program_is_a_part_of_it() {
    let asks = "import threading\nthreading.Thread(target=lambda: print('thread', input('q '))).start()\nprint('main')";
    let (ran, prompts) = answered(&kernel_ending(Language::Python), asks, &["a\n"]).await;
    assert_eq!((&ran.end.outcome, prompts), (&Outcome::Finished, vec!["q ".to_owned()]), "{ran:#?}");
    assert_eq!(ran.stdout(), "main\nthread a\n");
    let (ran, _) = answered(&kernel_ending(Language::R), ".Last <- function() cat(readLines('stdin'))", &["a\n"]).await;
    assert_eq!((&ran.end.outcome, ran.stdout().as_str()), (&Outcome::Finished, "a"), "{ran:#?}");

    let endless = [
        (
            Language::Python,
            "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\nprint('on')",
        ),
        (Language::Python, "import atexit, time\natexit.register(time.sleep, 1000)\nprint('on')"),
        (Language::R, ".Last <- function() { cat('on\\n'); Sys.sleep(1000) }"),
        (
            Language::R,
            "invisible(reg.finalizer(globalenv(), function(x) { cat('on\\n'); repeat NULL }, onexit = TRUE))",
        ),
        (
            Language::Java,
            "new Thread(() -> { while (true) Thread.onSpinWait(); }).start(); System.out.println(\"on\");",
        ),
    ];
    for (language, code) in endless {
        let subject = kernel_ending(language);
        let ran = subject.run_for(code, std::time::Duration::from_secs(1)).await;
        assert!(matches!(ran.end.outcome, Outcome::TimedOut(_)), "{code}: {ran:#?}");
        let mut run = subject.kernel.run(Cell::new(code, PATIENCE));
        until(&mut run, "on\n").await;
        run.control().interrupt();
        assert_eq!(finish(run).await.end.outcome, Outcome::Cancelled, "{code}");
    }
}

/// The next program begins afresh.
#[tokio::test]
async fn programs_share_nothing() {
    let subject = kernel_ending(Language::Python);
    let ran = subject.run("kept = 1\nprint('one')").await;
    assert_eq!((&ran.end.outcome, ran.end.state_lost), (&Outcome::Finished, true), "{ran:#?}");
    let ran = subject.run("kept").await;
    assert_eq!(ran.error().name, "NameError");
    // An end that the interpreter itself chose, whatever was told before.
    let ran = subject.run("import atexit, os\natexit.register(os._exit, 7)\nprint('main')").await;
    assert_eq!(ran.end.outcome, Outcome::Killed(agb_kernel::Death::Exited(7)), "{ran:#?}");
    let last = "class A:\n    def __del__(self, exit=__import__('os')._exit): exit(7)\na = A()\nprint('main')";
    assert_eq!(subject.run(last).await.error().name, "ProcessExit");
    let last = "class A:\n    def __del__(self, os=__import__('os')): os.kill(os.getpid(), 9)\na = A()";
    let ran = subject.run(last).await;
    assert!(matches!(ran.end.outcome, Outcome::Killed(_)), "{ran:#?}");
}

/// In a session, runs are parts of one program, which ends with the session.
#[tokio::test]
async fn runs_of_a_session_do_not_end_its_program() {
    let subject = kernel(Language::Python);
    let code = "import atexit, threading\natexit.register(print, 'last')\nstop = threading.Event()\nthreading.Thread(target=stop.wait).start()";
    let mut run = subject.start(code);
    while next(&mut run).await.is_some() {}
    assert_eq!(subject.output("stop.set(); print('on')").await, "on\n");
    let r = kernel(Language::R);
    assert_eq!(r.output(".Last <- function() cat('last\\n'); kept <- 1").await, "");
    assert_eq!(r.output("cat(kept, '\\n')").await, "1 \n");
}
