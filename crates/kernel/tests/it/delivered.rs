//! Principle 2, its second half: what a program has written is in the output of its own run, whatever it wrote by, whatever it
//! has put around the streams, and however it ends. The programs are made by chance: `AGB_TEST_SEED` repeats them.

use agb_kernel::{CellEvent, Language, Outcome};

use crate::random::Random;
use crate::support::{Ran, Subject, kernel};

/// How many programs of each language, in one interpreter.
const PROGRAMS: usize = 15;

/// The ways of one language. In all of them `S` is the name of a stream and `N` its number, `I` a number that no other part
/// has, and `T` what is written, as a line.
struct Ways {
    language: Language,
    /// What one kernel runs first.
    before: &'static str,
    streams: [&'static str; 2],
    /// Puts something around a stream that may hold back what is written; any of them can be put around any other.
    wraps: &'static [&'static str],
    /// The same, around all the others.
    outer: &'static [&'static str],
    /// Both streams.
    writes: &'static [&'static str],
    out: &'static [&'static str],
    err: &'static [&'static str],
    /// Writes to standard output after the last line, for programs that end by having nothing left to do.
    later: &'static [&'static str],
    /// Ends of programs that have nothing to do later, and whether the run fails.
    ends: &'static [(&'static str, bool)],
}

const PYTHON: Ways = Ways {
    language: Language::Python,
    before: "import atexit, codecs, io, os, subprocess, sys, threading, _thread, time\nkeep = []\n\
             class Held:\n    def __init__(self, under): self.under, self.kept = under, []\n    \
             def write(self, text): self.kept.append(text); return len(text)\n    \
             def flush(self):\n        self.under.write(''.join(self.kept)); self.kept.clear(); self.under.flush()",
    streams: ["stdout", "stderr"],
    wraps: &[
        "keep.append(sys.S); sys.S = io.TextIOWrapper(sys.S.buffer, encoding='utf-8')",
        "keep.append(sys.S); sys.S = io.TextIOWrapper(io.BufferedWriter(sys.S.buffer, 1 << 16))",
        "keep.append(sys.S); sys.S = open(N, 'w', buffering=1 << 16, closefd=False)",
        "keep.append(sys.S); sys.S = os.fdopen(os.dup(N), 'w', 1 << 16)",
        "sys.S.reconfigure(line_buffering=True)",
    ],
    outer: &[
        "keep.append(sys.S); sys.S = Held(sys.S)",
        "keep.append(sys.S); sys.S = Held(Held(sys.S))",
        "keep.append(sys.S); sys.S = codecs.getwriter('utf-8')(sys.S.buffer)",
    ],
    writes: &[
        "print('T', file=sys.S)",
        "print('T'[:1], 'T'[1:], sep='', file=sys.S, flush=False)",
        "sys.S.write('T\\n')",
        "sys.S.writelines(['T', '\\n']) if hasattr(sys.S, 'writelines') else print('T', file=sys.S)",
        "os.write(N, b'T\\n')",
        "os.system('echo T >&N')",
        "t_I = threading.Thread(target=print, args=('T',), kwargs={'file': sys.S}); t_I.start(); t_I.join()",
        "def f_I():\n    print('T', file=sys.S)\nf_I()",
        "exec(\"print('T', file=sys.S)\")",
    ],
    out: &[
        "subprocess.run(['echo', 'T'])",
        "print('T')",
        "if os.fork() == 0:\n    os.write(1, b'T\\n'); os._exit(0)\nos.wait()",
    ],
    err: &[],
    later: &[],
    ends: &[
        ("", false),
        ("41 + 1", false),
        ("sys.exit(0)", false),
        ("sys.exit(3)", true),
        ("raise ValueError('x')", true),
        ("raise KeyboardInterrupt", true),
        ("_thread.interrupt_main()\nwhile True: time.sleep(0.01)", true),
        ("def f(): return f()\nf()", true),
        ("import asyncio\nasync def f(): raise SystemExit(2)\nasyncio.run(f())", true),
    ],
};

const JAVASCRIPT: Ways = Ways {
    language: Language::JavaScript,
    before: "var fs = require('fs'), cp = require('child_process'), stream = require('stream'), zlib = require('zlib'), { Worker } = require('worker_threads')",
    streams: ["stdout", "stderr"],
    wraps: &[
        "{ const under = process.S.write; process.S.write = function (...all) { return under.apply(process.S, all) } }",
        "process.S.setDefaultEncoding('utf8')",
    ],
    outer: &[],
    writes: &[
        "process.S.write('T\\n')",
        "process.S.write(Buffer.from('T\\n'), () => {})",
        "new console.Console(process.S).log('T')",
        "fs.writeSync(N, 'T\\n')",
        "cp.execSync('echo T >&N', { stdio: 'inherit' })",
        "cp.spawnSync('sh', ['-c', 'echo T >&N'], { stdio: 'inherit' })",
        "process.S.cork(); process.S.write('T'); process.S.write('\\n'); process.S.uncork()",
    ],
    out: &["console.log('T')", "console.info('%s', 'T')"],
    err: &["console.error('T')", "console.warn('T')"],
    later: &[
        "setTimeout(() => console.log('T'), 3)",
        "setImmediate(() => process.stdout.write('T\\n'))",
        "process.nextTick(() => console.log('T'))",
        "{ const p = new stream.PassThrough(); p.pipe(process.stdout, { end: false }); p.end('T\\n') }",
        "stream.Readable.from(['T\\n']).pipe(process.stdout, { end: false })",
        "zlib.gzip('T\\n', (_, zipped) => zlib.gunzip(zipped, (_, text) => process.stdout.write(text)))",
        "new Worker(\"console.log('T')\", { eval: true })",
        "process.stdout.cork(); process.stdout.write('T\\n'); process.nextTick(() => process.stdout.uncork())",
        "cp.spawn('sh', ['-c', 'sleep 0.02; echo T'], { stdio: 'inherit' })",
        "cp.exec('echo T', (_, out) => process.stdout.write(out))",
        "fs.createWriteStream(null, { fd: 1, autoClose: false }).end('T\\n')",
        "process.once('beforeExit', () => console.log('T'))",
        "process.once('exit', () => console.log('T'))",
        "(async () => { for await (const text of stream.Readable.from(['T'])) console.log(text) })()",
        "fs.promises.readFile('/dev/null').then(() => console.log('T'))",
    ],
    ends: &[
        ("0", false),
        ("undefined", false),
        ("process.exit(0)", false),
        ("process.exit(3)", true),
        ("throw new Error('x')", true),
        ("Promise.reject(new Error('x'))", true),
        ("null.x", true),
        ("setTimeout(() => { throw new Error('x') }, 1); 0", true),
        ("await (async () => { throw 5 })()", true),
    ],
};

const R: Ways = Ways {
    language: Language::R,
    // R warns of files that are pipes.
    before: "held <- list()\nfile <- function(...) suppressWarnings(base::file(...))",
    streams: ["stdout", "stderr"],
    wraps: &["held[[I]] <- file('/dev/S', 'w')"],
    outer: &[],
    writes: &[
        "cat('T\\n', file = S())",
        "writeLines('T', S())",
        "write('T', S())",
        "cat('T', fill = TRUE, file = S())",
        "system('echo T >&N')",
        "local({ f <- file('/dev/S', 'w'); cat('T\\n', file = f); close(f) })",
        "held[[I]] <- file('/dev/S', 'w'); cat('T\\n', file = held[[I]])",
        "held[[I]] <- file('/dev/S', 'wb'); writeBin(charToRaw('T\\n'), held[[I]])",
        "suppressWarnings(cat('T\\n', file = '/dev/S', append = TRUE))",
    ],
    out: &[
        "cat('T\\n')",
        "print(as.name('T'))",
        "local({ con <- textConnection('got', 'w', local = TRUE); sink(con); cat('T\\n'); sink(); close(con); writeLines(got) })",
        "f_I <- tempfile(); sink(f_I); cat('T\\n'); sink(); writeLines(readLines(f_I))",
        "held[[I]] <- file('/dev/stdout', 'w'); sink(held[[I]]); cat('T\\n'); sink()",
        "invisible(sapply('T', function(x) writeLines(x)))",
    ],
    err: &["message('T')", "invisible(withCallingHandlers(message('T'), condition = function(c) NULL))"],
    later: &[],
    ends: &[
        ("invisible(0)", false),
        ("41 + 1", false),
        ("q('no')", false),
        ("quit(status = 3)", true),
        ("stop('x')", true),
        ("local(stop(structure(class = c('c', 'error', 'condition'), list(message = 'x', call = NULL))))", true),
        ("f <- function(n) f(n + 1); f(1)", true),
        ("lapply(1:3, function(i) if (i == 2) quit('no', 4))", true),
    ],
};

const JAVA: Ways = Ways {
    language: Language::Java,
    before: "import java.nio.charset.StandardCharsets;",
    streams: ["out", "err"],
    wraps: &[
        "System.setS(new PrintStream(new BufferedOutputStream(System.S, 1 << 16)));",
        "System.setS(new PrintStream(System.S, false, \"UTF-8\"));",
        "System.setS(new PrintStream(new BufferedOutputStream(new BufferedOutputStream(System.S))));",
        "System.setS(new PrintStream(new BufferedOutputStream(new FileOutputStream(FileDescriptor.S), 1 << 16)));",
        "final PrintStream under_I = System.S;\nSystem.setS(new PrintStream(new ByteArrayOutputStream() { @Override public void flush() throws IOException { byte[] all = toByteArray(); reset(); under_I.write(all); under_I.flush(); } }));",
    ],
    outer: &[],
    writes: &[
        "System.S.println(\"T\");",
        "System.S.printf(\"T%n\");",
        "System.S.print(\"T\\n\");",
        "System.S.append(\"T\").append('\\n');",
        "System.S.write(\"T\\n\".getBytes(StandardCharsets.UTF_8));",
        "{ var t = new Thread(() -> System.S.println(\"T\")); t.start(); t.join(); }",
        "java.util.stream.Stream.of(\"T\").forEach(System.S::println);",
        "{ var w = new PrintWriter(System.S); w.println(\"T\"); w.flush(); }",
        "{ var w = new BufferedWriter(new OutputStreamWriter(new FileOutputStream(FileDescriptor.S))); w.write(\"T\\n\"); w.flush(); }",
        "new ProcessBuilder(\"sh\", \"-c\", \"echo T >&N\").inheritIO().start().waitFor();",
    ],
    out: &["System.out.println(new StringBuilder(\"T\"));"],
    err: &[],
    later: &[],
    ends: &[
        ("", false),
        ("int end_I = 41;", false),
        ("throw new IllegalStateException(\"x\");", true),
        ("{ int z = 0; z = 1 / z; }", true),
        ("{ Object o = null; o.hashCode(); }", true),
        ("if (true) throw new StackOverflowError();", true),
        (
            "{ var t = new Thread(() -> { throw new Error(\"quiet\"); }); t.setUncaughtExceptionHandler((x, e) -> { }); t.start(); t.join(); }",
            false,
        ),
    ],
};

/// A program, the lines that it writes to each stream, and whether it fails.
struct Program {
    code: String,
    lines: [Vec<String>; 2],
    fails: bool,
}

fn program(random: &mut Random, ways: &Ways, round: usize) -> Program {
    let mut parts: Vec<String> = Vec::new();
    let mut lines = [Vec::new(), Vec::new()];
    let mut number = round * 100;
    let mut part = |way: &str, stream: usize, text: &str, parts: &mut Vec<String>| {
        number += 1;
        let (name, number) = (ways.streams[stream], number.to_string());
        let setter = if ways.language == Language::Java { ["Out", "Err"][stream] } else { name };
        let way = way.replace("setS", &format!("set{setter}")).replace("under_I", &format!("under_{number}"));
        parts.push(replaced(&way, &[("S", name), ("N", ["1", "2"][stream]), ("I", &number), ("T", text)]));
    };
    for stream in 0..2 {
        for _ in 0..random.below(3) {
            part(random.pick(ways.wraps), stream, "", &mut parts);
        }
        if !ways.outer.is_empty() && random.below(2) == 0 {
            part(random.pick(ways.outer), stream, "", &mut parts);
        }
    }
    let (end, fails) = ways.ends[random.below(ways.ends.len())];
    for at in 0..1 + random.below(6) {
        let (stream, line) = (random.below(2), format!("line{round}x{at}"));
        let special = if stream == 0 { ways.out } else { ways.err };
        let from = if !special.is_empty() && random.below(3) == 0 { special } else { ways.writes };
        part(random.pick(from), stream, &line, &mut parts);
        lines[stream].push(line);
    }
    let fails = if !ways.later.is_empty() && random.below(2) == 0 {
        for at in 0..1 + random.below(3) {
            let line = format!("later{round}x{at}");
            part(random.pick(ways.later), 0, &line, &mut parts);
            lines[0].push(line);
        }
        part("0", 0, "", &mut parts);
        false
    } else {
        part(end, 0, "", &mut parts);
        fails
    };
    // As one writes a program of Java.
    let code = match ways.language {
        Language::Java if random.below(3) == 0 => {
            format!(
                "public class Main {{ public static void main(String[] args) throws Exception {{\n{}\n}} }}",
                parts.join("\n")
            )
        }
        Language::JavaScript => parts.join(";\n"),
        _ => parts.join("\n"),
    };
    lines.iter_mut().for_each(|lines| lines.sort_unstable());
    Program { code, lines, fails }
}

/// Replaces words that stand alone, also within `_`.
fn replaced(text: &str, words: &[(&str, &str)]) -> String {
    let mut result = String::new();
    for piece in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let value = words.iter().find(|(name, _)| *name == word).map_or(word, |(_, value)| value);
        result += value;
        result += &piece[word.len()..];
    }
    result
}

fn sorted_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn background(ran: &Ran) -> Vec<&CellEvent> {
    ran.events.iter().map(|(_, event)| event).filter(|event| matches!(event, CellEvent::Background { .. })).collect()
}

async fn everything_is_delivered(ways: Ways) {
    let mut random = Random::new();
    let subject: Subject = kernel(ways.language);
    subject.output(ways.before).await;
    for round in 0..PROGRAMS {
        let Program { code, lines: [out, err], fails } = program(&mut random, &ways, round);
        let ran = subject.run(&code).await;
        assert!(!ran.end.state_lost, "{code}: {ran:#?}");
        assert_eq!(matches!(ran.end.outcome, Outcome::Failed(_)), fails, "{code}: {ran:#?}");
        assert_eq!(sorted_lines(&ran.stdout()), out, "{code}: {ran:#?}");
        assert_eq!(sorted_lines(&ran.stderr()), err, "{code}: {ran:#?}");
        let print = match ways.language {
            Language::Python => "print('next')",
            Language::JavaScript => "console.log('next')",
            Language::R => "cat('next\\n'); for (f in held) if (inherits(f, 'connection')) close(f); held <- list()",
            _ => "System.out.println(\"next\");",
        };
        let next = subject.run(print).await;
        assert_eq!((next.stdout().as_str(), next.stderr().as_str()), ("next\n", ""), "after {code}: {next:#?}");
        assert!(background(&next).is_empty(), "after {code}: {next:#?}");
    }
}

#[tokio::test]
async fn everything_that_python_writes_is_delivered() {
    everything_is_delivered(PYTHON).await;
}

#[tokio::test]
async fn everything_that_javascript_writes_is_delivered() {
    everything_is_delivered(JAVASCRIPT).await;
}

#[tokio::test]
async fn everything_that_r_writes_is_delivered() {
    everything_is_delivered(R).await;
}

#[tokio::test]
async fn everything_that_java_writes_is_delivered() {
    everything_is_delivered(JAVA).await;
}
