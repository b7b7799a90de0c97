//! The command `agb-server run`: one program in a session of a server inside this process.

use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agb_client::{Agb, CreateSession, Execution, RemoteError, Run, RunControl, RunEvent, Session};
use agb_protocol::Language;
use agb_server::{Config, Isolation, Network, Warm, seconds};
use clap::Args;
use futures_util::StreamExt;
use tokio::signal::unix::{self, Signal, SignalKind};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::images::ImageFolder;
use super::in_process::InProcess;
use super::input::Input;
use super::interpreters::Interpreters;
use super::results::Results;
use super::stop::SAME_KEY;
use super::{exit_status, input, logs};

/// Exit status: that of the program (0 when it finished, 1 when it raised, the code of `sys.exit` and the like); 124 at
/// its time limit; 130 when it was stopped by Ctrl-C; 137 when it was killed for its memory, or 128 and the signal's number;
/// 141 when its output was closed; 125 when it could not be run.
#[derive(Args)]
pub(crate) struct RunCommand {
    /// The program's file; `-` reads the program from standard input.
    file: PathBuf,
    /// The program's arguments, after `--`: what is in `sys.argv[1:]`, `process.argv`, `commandArgs(TRUE)` or `main`'s `args`.
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
    /// The program's language: python, javascript, r or java. Default: by the file's extension.
    #[arg(long, short, value_name = "LANGUAGE")]
    language: Option<String>,
    /// How long it may run. Default: a day, so that a forgotten program ends eventually.
    #[arg(long, value_parser = seconds, value_name = "SECONDS")]
    timeout: Option<Duration>,
    /// The image of its session.
    #[arg(long, default_value = "agb-code-space-1", value_name = "IMAGE")]
    image: String,
    /// Network access, as of `serve`: none, host, or allow=DOMAIN,…
    #[arg(long, default_value_t = Network::None, value_name = "NETWORK")]
    network: Network,
    /// Isolation, as of `serve`.
    #[arg(long, default_value_t = Isolation::Auto, value_name = "LEVEL")]
    isolation: Isolation,
    /// Write pictures, tables and charts to new files `result-N` in this folder.
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// How many bytes are written there at most.
    ///
    /// 1 GiB: thousands of pictures, and a program that shows results for ever does not fill the disk.
    #[arg(long, default_value_t = 1 << 30, value_name = "BYTES")]
    save_limit: u64,
    #[command(flatten)]
    interpreters: Interpreters,
    #[command(flatten)]
    images: ImageFolder,
}

impl RunCommand {
    pub(super) fn run(self) -> ExitCode {
        logs::quiet();
        let status = self.status().unwrap_or_else(|message| {
            eprintln!("agb-server: {message}");
            exit_status::NOT_RUN
        });
        ExitCode::from(status)
    }

    fn status(self) -> Result<u8, String> {
        let language = language(self.language.as_deref(), &self.file)?;
        let code = read(&self.file)?;
        // The program has what is left of standard input, unless it came from there itself.
        let takes_input = self.file.as_os_str() != "-";
        // One thread for the server, and one for what this terminal wants: neither waits for the other.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| format!("no threads: {error}"))?;
        let status = runtime.block_on(self.serve_and_run(language, code, takes_input));
        runtime.shutdown_background();
        status
    }

    async fn serve_and_run(self, language: Language, code: String, takes_input: bool) -> Result<u8, String> {
        let interrupts = Interrupts::listen()?;
        let image_id = self.image.clone();
        let results = Results::new(self.save.clone(), self.save_limit);
        let (config, timeout) = self.config()?;
        let server = InProcess::start(config).await?;
        let program = Program { language, code, timeout, takes_input, image_id };
        let status = program.run(server.agb(), &results, interrupts).await.map_err(|error| error.to_string());
        server.end().await;
        status
    }

    /// One session and one interpreter, and nothing that is only of use to the next ones.
    fn config(self) -> Result<(Config, Duration), String> {
        let defaults = Config::new(agb_server::api_key());
        let timeout = self.timeout.unwrap_or(defaults.limits.max_run_timeout);
        let mut limits = defaults.limits.clone();
        limits.max_run_timeout = limits.max_run_timeout.max(timeout);
        let config = Config {
            interpreters: self.interpreters.by_language(),
            images: self.images.images()?,
            isolation: self.isolation,
            network: self.network,
            zygotes: false,
            ends_programs: true,
            program_name: Some(program_name(&self.file)),
            arguments: self.arguments,
            warm: Warm { at_start: 0, most: 0, ..defaults.warm },
            limits,
            ..defaults
        };
        Ok((config, timeout))
    }
}

/// The language of a program, as it was given or as its file is called.
fn language(given: Option<&str>, file: &Path) -> Result<Language, String> {
    if let Some(given) = given {
        return Language::parse(given).map_err(|error| error.to_string());
    }
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    match extension.to_ascii_lowercase().as_str() {
        "py" => Ok(Language::Python),
        "js" | "mjs" | "cjs" => Ok(Language::JavaScript),
        "r" => Ok(Language::R),
        "java" | "jsh" => Ok(Language::Java),
        _ => Err(format!(
            "the language of {} is not known by its name: give --language python, javascript, r or java",
            file.display()
        )),
    }
}

/// Where the program runs there is no other folder than its session's.
fn program_name(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

fn read(file: &Path) -> Result<String, String> {
    let bytes = if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        if io::stdin().is_terminal() {
            eprintln!("agb-server: type the program, then Ctrl-D");
        }
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    let bytes = bytes.map_err(|error| format!("the program {} cannot be read: {error}", file.display()))?;
    String::from_utf8(bytes).map_err(|error| format!("the program {} is not UTF-8: {error}", file.display()))
}

/// A program, and how it is to run.
struct Program {
    language: Language,
    code: String,
    timeout: Duration,
    takes_input: bool,
    image_id: String,
}

impl Program {
    async fn run(self, agb: &Agb, results: &Results, interrupts: Interrupts) -> Result<u8, agb_client::Error> {
        let session = agb.create(CreateSession { image_id: self.image_id.clone(), ..Default::default() }).await?;
        self.follow(&session, results, interrupts).await
    }

    async fn follow(
        self,
        session: &Session,
        results: &Results,
        interrupts: Interrupts,
    ) -> Result<u8, agb_client::Error> {
        let run = session.code().run(self.code, self.language).timeout(self.timeout).stdin(self.takes_input);
        // Everything is shown and nothing is kept.
        let mut run = run.log_limit(0).result_limit(0).stamps(false).stream()?;
        let leave = interrupts.cancel_by(run.control());
        let mut screen = Screen { results, has_told_error: false };
        let mut input = Input::start();
        loop {
            tokio::select! {
                event = run.next() => {
                    let Some(event) = event else { break };
                    let asks = match event {
                        RunEvent::InputRequest { password, .. } => Some(password),
                        _ => None,
                    };
                    // Before the prompt is there: who answers at once must not see a password either.
                    if let Some(password) = asks {
                        input.ask(password);
                    }
                    if screen.show(event).is_err() {
                        run.cancel();
                        return Ok(exit_status::OUTPUT_CLOSED);
                    }
                }
                answer = input.answer(), if input.is_asked() => give(&run, answer),
                () = leave.notified() => return Ok(exit_status::CANCELLED),
            }
        }
        let execution = run.finish().await;
        screen.end(&execution);
        Ok(exit_status::of(&execution))
    }
}

fn give(run: &Run, answer: Option<String>) {
    match answer {
        Some(text) => run.write(&text),
        None => run.end_input(),
    }
}

/// What the terminal shows of a run.
struct Screen<'a> {
    results: &'a Results,
    has_told_error: bool,
}

impl Screen<'_> {
    /// The error says that nobody reads standard output any more.
    fn show(&mut self, event: RunEvent) -> io::Result<()> {
        match event {
            RunEvent::Stdout(text) | RunEvent::InputRequest { prompt: text, .. } => print(&text)?,
            RunEvent::Stderr(text) => tell(&text),
            RunEvent::Result(result) => {
                let shown = self.results.show(&result);
                print(&shown.text)?;
                shown.notes.iter().for_each(|note| tell(&format!("agb-server: {note}\n")));
            }
            RunEvent::Error(error) => self.error(&error),
            RunEvent::InputRefused { message } => tell(&format!("agb-server: {message}\n")),
            // This process is both ends: a connection that is lost and found again is nothing to tell of.
            _ => {}
        }
        Ok(())
    }

    /// The program's own error. What the service says of its end comes with the end.
    fn error(&mut self, error: &RemoteError) {
        let Some(failure) = &error.failure else { return };
        let is_exit = exit_status::is_exit(&failure.name, &failure.value);
        if !is_exit && failure.traceback.is_empty() {
            return;
        }
        self.has_told_error = true;
        let trace = failure.traceback.trim_end();
        // Of a blank one the program itself has told, by its `sys.excepthook`.
        if is_exit || trace.is_empty() {
            return;
        }
        tell(&format!("{trace}\n"));
        if let Some(added) = added(trace, &failure.name, &failure.value) {
            tell(&format!("{added}\n"));
        }
    }

    fn end(&self, execution: &Execution) {
        // A program that ended its interpreter (`os._exit`, `System.exit`) has said all in its code.
        let is_exit = execution.killed_by.as_ref().is_some_and(|by| by.exit_code.is_some());
        if !execution.success && !self.has_told_error && !is_exit {
            tell(&format!("agb-server: {}\n", execution.error_message));
        }
    }
}

/// What an error's message has beyond the program's traceback: what the server has added to it in parentheses, such as how to
/// have a package. A place in the program is there already.
fn added(trace: &str, name: &str, value: &str) -> Option<String> {
    if trace.contains(value) {
        return None;
    }
    let ends = value.match_indices(" (").map(|(at, _)| at).filter(|at| trace.contains(&value[..*at]));
    let Some(added) = ends.last().and_then(|at| value[at..].strip_prefix(" (")?.strip_suffix(')')) else {
        return Some(format!("{name}: {value}"));
    };
    let is_place = added.starts_with("<cell ") || added.starts_with("line ");
    (!is_place).then(|| format!("agb-server: {added}"))
}

fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Whoever does not read standard error is no reason to stop.
fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Ctrl-C and SIGTERM. The first cancels the program, the second leaves it to the end of the server, and the third ends this
/// process at once.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// From now on a signal does not end this process.
    fn listen() -> Result<Self, String> {
        let refused = |error| format!("cannot wait for signals: {error}");
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt()).map_err(refused)?,
            terminate: unix::signal(SignalKind::terminate()).map_err(refused)?,
        })
    }

    /// Cancels this run; what it gives is told when the program is not to be waited for.
    fn cancel_by(mut self, control: RunControl) -> Arc<Notify> {
        let leave = Arc::new(Notify::new());
        let left = Arc::clone(&leave);
        tokio::spawn(async move {
            self.any().await;
            control.cancel();
            self.another().await;
            left.notify_one();
            self.another().await;
            input::show();
            std::process::exit(exit_status::CANCELLED.into());
        });
        leave
    }

    /// Another key press than the last one.
    async fn another(&mut self) {
        let until = Instant::now() + SAME_KEY;
        while tokio::time::timeout_at(until, self.any()).await.is_ok() {}
        self.any().await;
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_to_a_message_is_told_alone() {
        let trace = "Traceback (most recent call last):\nModuleNotFoundError: No module named 'a'";
        let told = |trace, value| added(trace, "E", value);
        let hint = told(trace, "No module named 'a' (install it (with b): c)");
        assert_eq!(hint.as_deref(), Some("agb-server: install it (with b): c"));
        assert_eq!(told(trace, "No module named 'a'"), None);
        assert_eq!(told("  f(\nE: '(' was never closed", "'(' was never closed (<cell 1>, line 1)"), None);
        assert_eq!(told("A.java:1:2: error: ';' expected", "';' expected (line 1, column 2)"), None);
        assert_eq!(told("E: cut short", "another text").as_deref(), Some("E: another text"));
    }

    #[test]
    fn the_language_is_given_or_in_the_file_s_name() {
        let of = |given, file: &str| language(given, Path::new(file));
        for (file, language) in [
            ("a.py", Language::Python),
            ("dir.js/b.mjs", Language::JavaScript),
            ("plot.R", Language::R),
            ("Main.java", Language::Java),
        ] {
            assert_eq!(of(None, file), Ok(language), "{file}");
        }
        assert_eq!(of(Some("node"), "a.py"), Ok(Language::JavaScript));
        for (given, file) in [(None, "-"), (None, "a"), (None, "a.txt"), (None, ".py"), (Some("cobol"), "a.py")] {
            assert!(of(given, file).is_err(), "{file}");
        }
    }
}
