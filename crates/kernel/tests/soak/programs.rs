//! What the cells of a long session do, in each language.

use agb_kernel::Language;

/// The languages that are driven.
pub(crate) const LANGUAGES: [Language; 4] = [Language::Python, Language::JavaScript, Language::R, Language::Java];

/// What a cell does and comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Counts a variable up and prints it.
    Count,
    /// Has the value 45.
    Value,
    /// Shows something more than text.
    Rich,
    /// Ends by an error.
    Fail,
    /// Prints 100,000 bytes in 2,000 lines.
    Flood,
    /// Starts a program that prints, and makes a temporary file.
    Child,
    /// Runs for ever and is cancelled.
    Cancel,
    /// Runs for ever and into its time limit.
    TimeOut,
    /// Runs for ever, and nobody wants to know any more.
    Drop,
    /// Starts what runs for ever in a session of its own, and does not stop when it is told.
    Stubborn,
    /// Ends the interpreter.
    Exit,
    /// Ends it by a signal.
    Crash,
}

impl Kind {
    pub(crate) const ALL: [Self; 12] = [
        Self::Count,
        Self::Value,
        Self::Rich,
        Self::Fail,
        Self::Flood,
        Self::Child,
        Self::Cancel,
        Self::TimeOut,
        Self::Drop,
        Self::Stubborn,
        Self::Exit,
        Self::Crash,
    ];

    /// Whether the interpreter does not survive it.
    pub(crate) fn is_deadly(self) -> bool {
        matches!(self, Self::Stubborn | Self::Exit | Self::Crash)
    }
}

/// The interpreter's name in `/proc`.
pub(crate) fn process_name(language: Language) -> &'static str {
    match language {
        Language::Python => "python3",
        Language::JavaScript => "node",
        Language::R => "R",
        Language::Java => "java",
    }
}

/// The program of a cell.
pub(crate) fn program(language: Language, kind: Kind) -> &'static str {
    match language {
        Language::Python => python(kind),
        Language::JavaScript => javascript(kind),
        Language::R => r(kind),
        Language::Java => java(kind),
    }
}

fn python(kind: Kind) -> &'static str {
    match kind {
        Kind::Count => "n = globals().get('n', 0) + 1\nprint(n)",
        Kind::Value => "sum(range(10))",
        Kind::Rich => "from IPython.display import HTML\nHTML('<b>x</b>' * 1000)",
        Kind::Fail => "def f(): return 1 / 0\nf()",
        Kind::Flood => "for i in range(2000): print('x' * 49)",
        Kind::Child => {
            "import subprocess, tempfile\nwith tempfile.NamedTemporaryFile() as file: subprocess.run(['echo', 'child'], check=True);"
        }
        Kind::Cancel => "while True: pass",
        Kind::TimeOut => "import subprocess\nsubprocess.run(['sleep', '1000'])",
        Kind::Drop => "import time\nwhile True: time.sleep(0.001)",
        Kind::Stubborn => {
            "import signal, subprocess\nsubprocess.Popen(['setsid', 'sleep', '1000'])\n\
             signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\nsum(range(10**12))"
        }
        Kind::Exit => "import os\nos._exit(3)",
        Kind::Crash => "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
    }
}

fn javascript(kind: Kind) -> &'static str {
    match kind {
        Kind::Count => "globalThis.n = (globalThis.n ?? 0) + 1;\nconsole.log(n)",
        Kind::Value => "[...Array(10).keys()].reduce((a, b) => a + b)",
        Kind::Rich => "const data = Array(1000).fill({ key: ['value'] });\ndata",
        Kind::Fail => "const f = () => null.x;\nf()",
        Kind::Flood => "for (let i = 0; i < 2000; i++) console.log('x'.repeat(49))",
        Kind::Child => {
            "const fs = require('fs'), os = require('os');\nconst dir = fs.mkdtempSync(os.tmpdir() + '/');\nfs.rmdirSync(dir);\n\
             require('child_process').execFileSync('echo', ['child'], { stdio: 'inherit' });\nundefined"
        }
        Kind::Cancel => "while (true) {}",
        Kind::TimeOut => "await new Promise((done) => setTimeout(done, 1e6))",
        Kind::Drop => "setInterval(() => {}, 1);\nundefined",
        Kind::Stubborn => {
            "require('child_process').spawn('setsid', ['sleep', '1000']);\n\
             require('child_process').execSync(`sh -c 'trap \"\" INT; sleep 1000 & wait; sleep 1000'`)"
        }
        Kind::Exit => "process.reallyExit(3)",
        Kind::Crash => "process.kill(process.pid, 'SIGSEGV'); while (true) {}",
    }
}

fn r(kind: Kind) -> &'static str {
    match kind {
        Kind::Count => "n <- if (exists('n')) n + 1 else 1\ncat(n, '\\n', sep = '')",
        Kind::Value => "sum(0:9)",
        Kind::Rich => "plot(1:3)\nhead(mtcars)",
        Kind::Fail => "f <- function() stop('x')\nf()",
        Kind::Flood => "for (i in 1:2000) cat(strrep('x', 49), '\\n', sep = '')",
        Kind::Child => "file <- tempfile()\nwriteLines('x', file)\nunlink(file)\ninvisible(system('echo child'))",
        Kind::Cancel => "repeat {}",
        Kind::TimeOut => "system('sleep 1000')",
        Kind::Drop => "Sys.sleep(1000)",
        Kind::Stubborn => {
            "system('setsid sleep 1000', wait = FALSE)\nsystem(\"trap '' INT; sleep 1000 & wait; sleep 1000\")"
        }
        Kind::Exit => "tools::pskill(Sys.getpid(), tools::SIGTERM); Sys.sleep(100)",
        Kind::Crash => "tools::pskill(Sys.getpid(), 11)\nSys.sleep(100)",
    }
}

fn java(kind: Kind) -> &'static str {
    match kind {
        Kind::Count => {
            "System.setProperty(\"n\", String.valueOf(Integer.getInteger(\"n\", 0) + 1));\nSystem.out.println(System.getProperty(\"n\"));"
        }
        Kind::Value => "java.util.stream.IntStream.range(0, 10).sum()",
        Kind::Rich => "var data = java.util.Map.of(\"key\", java.util.List.of(1, 2));\ndata",
        Kind::Fail => "int f(int x) { return 1 / x; }\nf(0)",
        Kind::Flood => "for (int i = 0; i < 2000; i++) System.out.println(\"x\".repeat(49));",
        Kind::Child => {
            "java.nio.file.Files.delete(java.nio.file.Files.createTempFile(\"a\", \"b\"));\n\
             new ProcessBuilder(\"echo\", \"child\").inheritIO().start().waitFor();"
        }
        Kind::Cancel => "while (true) {}",
        Kind::TimeOut => "new ProcessBuilder(\"sleep\", \"1000\").start().waitFor();",
        Kind::Drop => "Thread.sleep(1_000_000);",
        Kind::Stubborn => {
            "new ProcessBuilder(\"setsid\", \"sleep\", \"1000\").start();\n\
             while (true) { try { Thread.sleep(1000); } catch (Throwable stop) { } }"
        }
        Kind::Exit => "Runtime.getRuntime().halt(70);",
        Kind::Crash => "new ProcessBuilder(\"sh\", \"-c\", \"kill -KILL $PPID\").start();\nThread.sleep(100_000);",
    }
}
