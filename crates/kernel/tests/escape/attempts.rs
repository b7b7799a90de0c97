//! The ways out that were tried, in each language's own words. What fails was stopped.

use agb_kernel::Language;

/// A language's attempts.
pub(crate) struct Program {
    pub(crate) language: Language,
    /// Defines `attempt`, which prints the attempt's name, a tab, and `WORKED` or what went wrong.
    pub(crate) prelude: &'static str,
    /// The code that makes one.
    pub(crate) call: fn(name: &str, code: &str) -> String,
    pub(crate) attempts: &'static [Attempt],
}

pub(crate) struct Attempt {
    pub(crate) name: &'static str,
    /// It works without isolation for every user: it is a real one.
    pub(crate) works_unisolated: bool,
    pub(crate) code: &'static str,
}

const fn real(name: &'static str, code: &'static str) -> Attempt {
    Attempt { name, works_unisolated: true, code }
}

/// One that needs rights, or something that not all machines have, to work without isolation.
const fn maybe(name: &'static str, code: &'static str) -> Attempt {
    Attempt { name, works_unisolated: false, code }
}

pub(crate) fn all() -> Vec<(&'static Program, &'static Attempt)> {
    PROGRAMS.iter().flat_map(|program| program.attempts.iter().map(move |attempt| (program, attempt))).collect()
}

/// Whether an answer is a mistake of the attempt's and not a refusal.
pub(crate) fn is_mistake(answer: &str) -> bool {
    const WORDS: [&str; 9] = [
        "NameError",
        "SyntaxError",
        "TypeError",
        "AttributeError",
        "is not defined",
        "is not a function",
        "could not find function",
        "unused argument",
        "NullPointerException",
    ];
    answer.is_empty() || WORDS.iter().any(|word| answer.contains(word))
}

pub(crate) static PROGRAMS: [Program; 4] = [
    Program {
        language: Language::Python,
        prelude: r"
import ctypes, errno, os, signal, socket, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def must(result):
    if result == -1: raise OSError(ctypes.get_errno(), '')
def sh(command):
    r = subprocess.run(['sh', '-c', command], capture_output=True)
    if r.returncode: raise RuntimeError(f'exit {r.returncode}')
def stop(why): raise RuntimeError(why)
def attempt(name, code):
    try: exec(code, globals()); answer = 'WORKED'
    except OSError as e: answer = errno.errorcode.get(e.errno, str(e))
    except RuntimeError as e: answer = str(e)
    except BaseException as e: answer = type(e).__name__
    print(name, answer, sep='\t')
",
        call: |name, code| format!("attempt({name:?}, {code:?})\n"),
        attempts: &[
            maybe("read the list of passwords", "open('/etc/shadow').read()"),
            real("read a file of the server's", "open('{SECRET}').read()"),
            real("write a file of the server's", "open('{SECRET}', 'a').write('x')"),
            real("read another session's file", "open('{NEIGHBOUR}/file').read()"),
            real("follow a link of its own", "os.symlink('{SECRET}', 'soft-py'); open('soft-py').read()"),
            real("read the server's environment", "open('/proc/{SERVER}/environ', 'rb').read(1)"),
            maybe("write the server's memory", "open('/proc/{SERVER}/mem', 'r+b')"),
            maybe("find the key in its environment", "os.environ['AGB_API_KEY']"),
            maybe("find the key in an environment", "sh('grep -aq a-key-that-is-nobodys-business /proc/*/environ')"),
            real("signal the server", "os.kill({SERVER}, 0)"),
            real("signal another session's program", "os.kill({OTHER}, 0)"),
            real("connect to the host's loopback", "socket.create_connection(('127.0.0.1', {PORT}), 2)"),
            real("connect to a socket in a file", "socket.socket(socket.AF_UNIX).connect('{SOCKET}')"),
            maybe("connect to a cloud's metadata", "socket.create_connection(('169.254.169.254', 80), 2)"),
            maybe("mount by the C library", "must(libc.mount(b'none', b'.', b'tmpfs', 0, 0))"),
            maybe("make namespaces by the C library", "must(libc.unshare(0x10020000))"),
            maybe("trace its parent by the C library", "must(libc.ptrace(16, os.getppid(), 0, 0))"),
            maybe("become root by the C library", "must(libc.setuid(0))"),
            maybe("become root by a set-uid program", "sh('su -c true </dev/null || mount --bind . .')"),
            maybe(
                "use an inherited descriptor",
                "[os.fstat(fd) for fd in range(5, 512) if os.path.exists(f'/proc/self/fd/{fd}') \
                 and os.readlink(f'/proc/self/fd/{fd}').startswith(('/tmp/agb', '/sys', '/dev', 'socket:', 'anon_inode:[p'))] \
                 or stop('there is none')",
            ),
            maybe("write into its installation", "open(os.__file__, 'a')"),
        ],
    },
    Program {
        language: Language::JavaScript,
        prelude: r"
const fs = require('fs'), net = require('net'), cp = require('child_process')
const connect = (to) => new Promise((done, fail) => {
  const socket = net.connect(to, () => { socket.destroy(); done() })
  socket.setTimeout(2000, () => { socket.destroy(); fail(new Error('timed out')) })
  socket.on('error', fail)
})
const sh = (command) => {
  const { status } = cp.spawnSync('sh', ['-c', command])
  if (status !== 0) throw new Error('exit ' + status)
}
const attempt = async (name, code) => {
  let answer = 'WORKED'
  try { await code() } catch (error) { answer = String(error.code ?? error.message).split('\n')[0] }
  console.log(name + '\t' + answer)
}
",
        call: |name, code| format!("await attempt({name:?}, async () => {{ {code} }})\n"),
        attempts: &[
            maybe("read the list of passwords", "fs.readFileSync('/etc/shadow')"),
            real("read a file of the server's", "fs.readFileSync('{SECRET}')"),
            real("write a file of the server's", "fs.appendFileSync('{SECRET}', 'x')"),
            real("read another session's file", "await fs.promises.readFile('{NEIGHBOUR}/file')"),
            real("follow a link of its own", "fs.symlinkSync('{SECRET}', 'soft-js'); fs.readFileSync('soft-js')"),
            real("read the server's environment", "fs.readFileSync('/proc/{SERVER}/environ')"),
            maybe("write the server's memory", "fs.openSync('/proc/{SERVER}/mem', 'r+')"),
            maybe("find the key in its environment", "if (!process.env.AGB_API_KEY) throw new Error('there is none')"),
            real("signal the server", "process.kill({SERVER}, 0)"),
            real("signal another session's program", "process.kill({OTHER}, 0)"),
            real("connect to the host's loopback", "await connect({ host: '127.0.0.1', port: {PORT} })"),
            real("connect to a socket in a file", "await connect({ path: '{SOCKET}' })"),
            maybe("connect to a cloud's metadata", "await connect({ host: '169.254.169.254', port: 80 })"),
            maybe("become root", "process.setuid(0)"),
            maybe("start a program that mounts", "sh('mount -t tmpfs none .')"),
            maybe("start a program that makes namespaces", "sh('unshare --user --map-root-user true')"),
            maybe("become root by a set-uid program", "sh('su -c true </dev/null')"),
            maybe(
                "start a program past child_process",
                "const pipe = (i) => ({ type: 'pipe', readable: i === 0, writable: i > 0 }); \
                 const r = process.binding('spawn_sync').spawn({ file: '/bin/cat', args: ['cat', '/etc/shadow'], \
                 stdio: [pipe(0), pipe(1), pipe(2)] }); if (r.status !== 0) throw new Error('exit ' + r.status)",
            ),
            maybe("load what is no module of its own", "process.dlopen({ exports: {} }, '{SECRET}')"),
            maybe("write into its installation", "fs.openSync(process.execPath, 'r+')"),
        ],
    },
    Program {
        language: Language::R,
        prelude: r"
attempt <- function(name, code) {
  answer <- tryCatch({ code(); 'WORKED' }, error = conditionMessage, warning = conditionMessage)
  answer <- strsplit(answer, '\n')[[1]][1]
  cat(name, '\t', sub('.*: ', '', answer), '\n', sep = '')
}
sh <- function(command) {
  status <- system(paste('(', command, ') >/dev/null 2>&1'))
  if (status != 0) stop('exit ', status)
}
",
        call: |name, code| format!("attempt({name:?}, function() {{ {code} }})\n"),
        attempts: &[
            maybe("read the list of passwords", "readLines('/etc/shadow')"),
            real("read a file of the server's", "readLines('{SECRET}', warn = FALSE)"),
            real("write a file of the server's", "cat('x', file = '{SECRET}', append = TRUE)"),
            real("read another session's file", "readLines('{NEIGHBOUR}/file', warn = FALSE)"),
            real("follow a link of its own", "file.symlink('{SECRET}', 'soft-r'); readLines('soft-r', warn = FALSE)"),
            real("read the server's environment", "readLines('/proc/{SERVER}/environ', n = 1, warn = FALSE)"),
            maybe("find the key in its environment", "if (Sys.getenv('AGB_API_KEY') == '') stop('there is none')"),
            real("signal the server", "if (!tools::pskill({SERVER}, 0)) stop('not sent')"),
            real("signal another session's program", "if (!tools::pskill({OTHER}, 0)) stop('not sent')"),
            real("connect to the host's loopback", "close(socketConnection('127.0.0.1', {PORT}, timeout = 2))"),
            maybe("connect to a cloud's metadata", "close(socketConnection('169.254.169.254', 80, timeout = 2))"),
            maybe("fetch from the host's loopback", "suppressMessages(download.file('http://127.0.0.1:{PORT}/', 'x'))"),
            maybe("read passwords by a program", "sh('cat /etc/shadow')"),
            maybe("start a program that mounts", "sh('mount -t tmpfs none .')"),
            maybe("start a program that makes namespaces", "sh('unshare --user --map-root-user true')"),
            maybe("become root by a set-uid program", "sh('su -c true </dev/null')"),
            maybe("load what is no library of its own", "dyn.load('{SECRET}')"),
            maybe("write into its installation", "cat('x', file = file.path(R.home(), 'new'))"),
        ],
    },
    Program {
        language: Language::Java,
        prelude: r#"
import java.net.*;
import java.nio.channels.SocketChannel;
import java.nio.file.*;
import java.util.concurrent.Callable;
void attempt(String name, Callable<?> code) {
    String answer = "WORKED";
    try {
        code.call();
    } catch (Throwable error) {
        answer = error instanceof IllegalStateException ? error.getMessage() : error.getClass().getSimpleName();
    }
    System.out.println(name + "\t" + answer);
}
Object sh(String command) throws Exception {
    var process = new ProcessBuilder("sh", "-c", command).redirectErrorStream(true).start();
    process.getInputStream().readAllBytes();
    if (process.waitFor() != 0) throw new IllegalStateException("exit " + process.exitValue());
    return null;
}
Object stop(String why) { throw new IllegalStateException(why); }
Object connect(String host, int port) throws Exception {
    try (var socket = new Socket()) { socket.connect(new InetSocketAddress(host, port), 2000); }
    return null;
}
"#,
        call: |name, code| format!("attempt({name:?}, () -> {code});\n"),
        attempts: &[
            maybe("read the list of passwords", r#"Files.readString(Path.of("/etc/shadow"))"#),
            real("read a file of the server's", r#"Files.readString(Path.of("{SECRET}"))"#),
            real(
                "write a file of the server's",
                r#"Files.writeString(Path.of("{SECRET}"), "x", StandardOpenOption.APPEND)"#,
            ),
            real("read another session's file", r#"new java.io.FileInputStream("{NEIGHBOUR}/file").read()"#),
            real(
                "follow a link of its own",
                r#"Files.readString(Files.createSymbolicLink(Path.of("soft-java"), Path.of("{SECRET}")))"#,
            ),
            real("read the server's environment", r#"new java.io.FileInputStream("/proc/{SERVER}/environ").read()"#),
            maybe("write the server's memory", r#"new java.io.RandomAccessFile("/proc/{SERVER}/mem", "rw")"#),
            maybe(
                "find the key in its environment",
                r#"System.getenv("AGB_API_KEY") != null ? null : stop("there is none")"#,
            ),
            real(
                "find the server's process",
                r#"ProcessHandle.of({SERVER}).map(p -> (Object) p).orElseGet(() -> stop("there is none"))"#,
            ),
            real(
                "find another session's process",
                r#"ProcessHandle.of({OTHER}).map(p -> (Object) p).orElseGet(() -> stop("there is none"))"#,
            ),
            real("signal the server", r#"sh("kill -0 {SERVER}")"#),
            real("connect to the host's loopback", r#"connect("127.0.0.1", {PORT})"#),
            real("connect to a socket in a file", r#"SocketChannel.open(UnixDomainSocketAddress.of("{SOCKET}"))"#),
            maybe("connect to a cloud's metadata", r#"connect("169.254.169.254", 80)"#),
            maybe("read passwords by a program", r#"sh("cat /etc/shadow")"#),
            maybe("start a program that mounts", r#"sh("mount -t tmpfs none .")"#),
            maybe("start a program that makes namespaces", r#"sh("unshare --user --map-root-user true")"#),
            maybe("become root by a set-uid program", r#"sh("su -c true </dev/null")"#),
            maybe("load what is no library of its own", r#"{ System.load("{SECRET}"); return null; }"#),
            maybe(
                "open its own machine by reflection",
                r#"{ var f = Class.forName("jdk.internal.misc.Unsafe").getDeclaredField("theUnsafe"); f.setAccessible(true); return f.get(null); }"#,
            ),
            maybe(
                "write into its installation",
                r#"Files.writeString(Path.of(System.getProperty("java.home"), "new"), "x")"#,
            ),
        ],
    },
];
