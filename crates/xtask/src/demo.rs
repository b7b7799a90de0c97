//! `cargo xtask demo`: the local server, and the documentation's quickstart or the example page against it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::artifacts::{self, Profile, Scope};
use crate::error::Error;
use crate::process::{self, Running};
use crate::wasm;
use crate::workspace::{Purpose, Workspace};

/// How long the server may take to start.
const START: Duration = Duration::from_secs(30);
const LISTENING: &str = " listening on ";
pub(crate) const EXAMPLE: &str = "quickstart.ts";

const PAGE: &str = "browser/server.ts";
const CHAT: &str = "chat/server.ts";
const PICTURE: &str = "picture/record.ts";

pub(crate) fn run(workspace: &Workspace) -> Result<ExitCode, Error> {
    let (servers, mut example) = prepare(workspace, EXAMPLE, Behind::Nothing, Build::Now)?;
    let status = show(&mut example)?;

    stop(servers)?;
    if !status.success() {
        let log = workspace.state("demo-server.log");
        println!(
            "\nthe example ended with {}; the server's log: {}",
            process::describe(status),
            workspace.display(&log)
        );
    }
    Ok(process::exit_code(status))
}

/// `cargo xtask picture`: the README's picture, from a real run.
pub(crate) fn picture(workspace: &Workspace) -> Result<ExitCode, Error> {
    let (servers, mut record) = prepare(workspace, PICTURE, Behind::Nothing, Build::Now)?;
    let status = Running::start(&mut record)?.wait()?;
    stop(servers)?;
    Ok(process::exit_code(status))
}

/// What stands behind the server that the example talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// It runs the programs itself.
    Nothing,
    /// It is a gateway to a service that speaks part 1 of the wire and nothing else, as AGB's own does.
    PlainService,
}

/// Whether what is shown is built first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    Now,
    /// As it was left by the last build: the tests show what they have tested.
    Before,
}

/// `cargo xtask demo --browser [--upstream] [--no-build]`: the example page, until Ctrl+C.
pub(crate) fn browser(workspace: &Workspace, behind: Behind, build: Build) -> Result<ExitCode, Error> {
    if build == Build::Now {
        wasm::bundle(workspace)?;
    }
    until_interrupted(workspace, PAGE, behind, build)
}

/// `cargo xtask demo --chat`: a model's code runs live in a chat, until Ctrl+C.
pub(crate) fn chat(workspace: &Workspace) -> Result<ExitCode, Error> {
    until_interrupted(workspace, CHAT, Behind::Nothing, Build::Now)
}

fn until_interrupted(workspace: &Workspace, example: &str, behind: Behind, build: Build) -> Result<ExitCode, Error> {
    let (servers, mut page) = prepare(workspace, example, behind, build)?;
    println!("Ctrl+C ends both. Open in a browser:");
    let status = Running::start(&mut page)?.wait()?;
    stop(servers)?;
    Ok(process::exit_code(status))
}

fn stop(servers: Vec<Running>) -> Result<(), Error> {
    for mut server in servers.into_iter().rev() {
        server.stop()?;
    }
    Ok(())
}

/// Running servers, and an example that is to use the last of them.
fn prepare(
    workspace: &Workspace,
    example: &str,
    behind: Behind,
    build: Build,
) -> Result<(Vec<Running>, Command), Error> {
    let programs = match build {
        Build::Now => {
            artifacts::typescript(workspace)?;
            let programs = artifacts::programs(workspace, Profile::Dev, Scope::Programs)?;
            artifacts::place_addon(workspace, &programs)?;
            programs
        }
        Build::Before => artifacts::built_programs(workspace, Profile::Dev)?,
    };

    let key = random_key()?;
    let serve = || {
        let mut server = workspace.command(&programs.server, Purpose::Work);
        server.args(["serve", "--listen", "127.0.0.1:0"]);
        server
    };
    let mut server = serve();
    server.env("AGB_API_KEY", &key);
    if behind == Behind::PlainService {
        server.arg("--plain-wire");
    }
    let (server, mut endpoint) = start_server(workspace, &mut server, "demo-server.log")?;
    println!("server   {endpoint}");
    let mut servers = vec![server];
    if behind == Behind::PlainService {
        let mut gateway = serve();
        gateway.args(["--upstream", &endpoint]).env_remove("AGB_API_KEY");
        let (gateway, address) = start_server(workspace, &mut gateway, "demo-gateway.log")?;
        println!("gateway  {address}");
        servers.push(gateway);
        endpoint = address;
    }
    println!("program  examples/{example}\n");

    let mut program = workspace.command("node", Purpose::Work);
    program.args(["--import", "tsx", example]).current_dir(workspace.path("examples"));
    program.env("AGB_ENDPOINT", &endpoint).env("AGB_API_KEY", &key);
    Ok((servers, program))
}

/// Starts a server or a balancer and waits until it says where it listens.
pub(crate) fn start_server(
    workspace: &Workspace,
    command: &mut Command,
    log: &str,
) -> Result<(Running, String), Error> {
    let path = workspace.state(log);
    let log = File::create(&path).map_err(Error::file(&path))?;
    command.stdout(Stdio::piped()).stderr(log.try_clone()?);
    let mut server = Running::start(command)?;
    let stdout = server.take_stdout().expect("its standard output is a pipe");
    let endpoint = follow_server(stdout, log);
    let deadline = Instant::now() + START;
    loop {
        match endpoint.recv_timeout(Duration::from_millis(50)) {
            Ok(endpoint) => return Ok((server, endpoint)),
            Err(RecvTimeoutError::Timeout) if server.poll()?.is_none() && Instant::now() < deadline => {}
            Err(_) => {
                // The pipe closes a moment before the process is gone.
                let gone = Instant::now() + Duration::from_secs(1);
                while server.poll()?.is_none() && Instant::now() < gone {
                    thread::sleep(Duration::from_millis(10));
                }
                let why = server.poll()?.map_or("said nothing".into(), process::describe);
                let said = fs::read_to_string(&path).unwrap_or_default();
                return Err(Error::Failed(format!("the server did not start ({why}):\n{said}")));
            }
        }
    }
}

/// Copies what the server prints to its log, to the end; sends on where it listens.
fn follow_server(stdout: ChildStdout, mut log: File) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // A full disk must not block the server; nobody may be waiting any more.
            let _ = writeln!(log, "{line}");
            if let Some(endpoint) = listening_on(&line) {
                let _ = sender.send(endpoint.to_owned());
            }
        }
    });
    receiver
}

/// `agb-server listening on http://127.0.0.1:4000`.
fn listening_on(line: &str) -> Option<&str> {
    let (program, url) = line.split_once(LISTENING)?;
    let is_ours = ["agb-server", "agb-balancer"].contains(&program);
    Some(url.trim()).filter(|url| is_ours && url.starts_with("http://"))
}

/// Runs `command` and shows each line of its output when it arrives, with the time since the start.
fn show(command: &mut Command) -> Result<std::process::ExitStatus, Error> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = Instant::now();
    let mut running = Running::start(command)?;
    let stdout = running.take_stdout().expect("its standard output is a pipe");
    let stderr = running.take_stderr().expect("its standard error is a pipe");
    let errors = thread::spawn(move || stamp_lines(stderr, started, &mut io::stderr()));
    let shown = stamp_lines(stdout, started, &mut io::stdout());
    let errors_shown = errors.join().expect("copying lines does not panic");
    let status = running.wait()?;
    shown.and(errors_shown)?;
    Ok(status)
}

/// Copies lines, each with the time since `started` in front.
pub(crate) fn stamp_lines(from: impl Read, started: Instant, to: &mut impl Write) -> io::Result<()> {
    let mut lines = BufReader::new(from);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        writeln!(to, "{:>8.3} s │ {}", started.elapsed().as_secs_f64(), text.trim_end())?;
        to.flush()?;
        line.clear();
    }
    Ok(())
}

/// A key that nobody else has.
pub(crate) fn random_key() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("demo-{hex}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_where_the_server_listens() {
        let line = "agb-server listening on http://127.0.0.1:4000";
        assert_eq!(listening_on(line), Some("http://127.0.0.1:4000"));
        assert_eq!(listening_on("INFO agb-server listening on http://127.0.0.1:4000"), None);
        assert_eq!(listening_on("agb-server listening on nothing"), None);
    }

    #[test]
    fn puts_the_time_before_each_line() {
        let mut shown = Vec::new();
        stamp_lines(&b"one\n\ntwo"[..], Instant::now(), &mut shown).unwrap();
        let shown = String::from_utf8(shown).unwrap();
        let texts: Vec<_> = shown.lines().map(|line| line.split_once(" s │ ").unwrap().1).collect();
        assert_eq!(texts, ["one", "", "two"]);
        assert!(shown.starts_with("   0.0"), "{shown}");
    }

    #[test]
    fn keys_differ() {
        let (one, other) = (random_key().unwrap(), random_key().unwrap());
        assert_eq!(one.len(), 37);
        assert_ne!(one, other);
    }

    #[test]
    fn a_server_that_dies_is_shown_with_its_last_words() {
        let folder = std::env::temp_dir().join(format!("xtask-demo-{}", std::process::id()));
        let workspace = Workspace::at(&folder);
        fs::create_dir_all(workspace.state("")).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such address >&2; exit 1"]);
        let error = start_server(&workspace, &mut command, "demo-server.log").err().unwrap().to_string();
        assert!(error.contains("exit code 1") && error.contains("no such address"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }
}
