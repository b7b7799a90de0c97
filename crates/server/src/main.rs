//! The command `agb-server`.

mod descriptors;
mod doctor;
mod images;
mod memory;

use std::future::pending;
use std::io::{ErrorKind, IsTerminal, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agb_protocol::ACK_WITHIN;
use agb_protocol::Language;
use agb_protocol::Secret;
use agb_server::{ApiKey, Config, ContextSettings, Isolation, Limits, Network, Server, TlsFiles, Warm};
use clap::{Args, Parser, Subcommand};
use tokio::net::TcpListener;
use tokio::signal::unix::{self, Signal, SignalKind};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

use crate::doctor::Doctor;
use crate::images::{ImagesCommand, Place};

/// A local server that speaks AGB's wire and really runs the code.
#[derive(Parser)]
#[command(name = "agb-server", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve clients until SIGINT or SIGTERM.
    Serve(Box<Serve>),
    /// List the images that sessions can be created from, with what they have and what is missing.
    Images(ImagesCommand),
    /// Tell how programs can be isolated on this machine, and what is missing.
    Doctor(Doctor),
}

#[derive(Args)]
struct Serve {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value_t = Config::DEFAULT_LISTEN, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The key that clients must give; without any a random key is made and printed. A key that is given here and not
    /// by the environment is seen by everybody who can list processes.
    #[arg(long, env = "AGB_API_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<String>,
    /// A file of keys, a line each: NAME KEY, # before comments, at least 16 characters a key. It is read again when it
    /// changes and at SIGHUP: a key that was taken out opens nothing more.
    #[arg(long, value_name = "FILE")]
    api_keys_file: Option<PathBuf>,
    /// Speak https and wss with this certificate (PEM, with those between it and the authority). It is read again when
    /// it changes and at SIGHUP.
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Listen elsewhere than on this machine's loopback without encryption: for a container, or behind something that
    /// encrypts.
    #[arg(long)]
    insecure_listen: bool,
    /// Where clients reach this server, when a proxy hides the Host that they asked for.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Web pages of this origin may use the server, such as https://app.example.org; repeat it for more, `*` for all.
    /// Without it those of this machine may.
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// End when standard input does: a parent's way to take this server with it, however it ends.
    #[arg(long)]
    exit_with_stdin: bool,
    /// The Python interpreter; else it is looked for.
    #[arg(long, env = "AGB_PYTHON", value_name = "PATH")]
    python: Option<PathBuf>,
    /// The Node interpreter; else it is looked for.
    #[arg(long, env = "AGB_NODE", value_name = "PATH")]
    node: Option<PathBuf>,
    /// The R interpreter (`R`, not `Rscript`); else it is looked for.
    #[arg(long, env = "AGB_R", value_name = "PATH")]
    r: Option<PathBuf>,
    /// The Java interpreter, the `java` of a JDK; else it is looked for.
    #[arg(long, env = "AGB_JAVA", value_name = "PATH")]
    java: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
    /// How programs are isolated: auto takes the strongest of namespaces, namespaces-root and landlock that this machine
    /// offers (see `agb-server doctor`); none gives them the server's own rights.
    #[arg(long, default_value_t = Isolation::Auto, value_name = "LEVEL")]
    isolation: Isolation,
    /// What programs reach over the network: none; host, for all that this machine reaches; or allow=DOMAIN,… for these
    /// domains by HTTP and HTTPS: example.org (ports 80 and 443), *.example.org (all below it, not itself),
    /// example.org:8443. Names that resolve to other than public addresses are never reached.
    #[arg(long, default_value_t = Network::None, value_name = "NETWORK")]
    network: Network,
    /// Start Python anew for each session, instead of copying one of each image that has imported its libraries. A session
    /// takes longer to start and more memory then; nothing else is different.
    #[arg(long)]
    no_zygotes: bool,
    /// The folder below which sessions get theirs; else the system's temporary one.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// The folder for what is compiled once and used by every session; else the user's cache folder.
    #[arg(long, env = "AGB_CACHE", value_name = "FOLDER")]
    cache_dir: Option<PathBuf>,
    /// Threads for connections and runs. One is the fastest for chatty programs: a line passes through three tasks,
    /// and to wake another thread for each costs more than all the work. More pay when many programs pour out bulk
    /// output at once on a machine with cores to spare.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    #[command(flatten)]
    warm: WarmArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    #[command(flatten)]
    contexts: ContextArgs,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Interpreters that are ready before a session needs them; each default's reason is in the documentation of `Warm`.
#[derive(Args)]
#[command(next_help_heading = "Warm interpreters")]
struct WarmArgs {
    /// Python interpreters of the default image that are kept ready although nobody has used one.
    #[arg(long, default_value_t = Warm::default().at_start, value_name = "N")]
    warm: usize,
    /// Interpreters of one kind that are kept ready: as many as were taken in the last seconds, but not more than this;
    /// 0 keeps none of any language.
    #[arg(long, default_value_t = Warm::default().most, value_name = "N")]
    warm_max: usize,
    /// What all of them may take, an eighth of the free memory if that is less.
    #[arg(long, default_value_t = Warm::default().memory, value_name = "BYTES")]
    warm_memory: u64,
    /// How long one is kept for a language that nobody uses any more.
    #[arg(long, default_value_t = seconds(Warm::default().keep), value_name = "SECONDS")]
    warm_time: f64,
}

/// What programs may use up; each default's reason is in the documentation of `agb_sandbox::Limits`.
#[derive(Args)]
#[command(next_help_heading = "Limits of programs")]
struct SandboxArgs {
    /// Memory of all programs of a session together; the largest is killed.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().total_memory, value_name = "BYTES")]
    session_memory: u64,
    /// Private memory of each process; one that wants more gets an error.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().memory, value_name = "BYTES")]
    process_memory: u64,
    /// Processes and threads of an interpreter or a command.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().processes, value_name = "N")]
    processes: u64,
    /// Open files of each process.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().open_files, value_name = "N")]
    open_files: u64,
    /// The size of one file.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().file_size, value_name = "BYTES")]
    file_size: u64,
    /// What a session has on disk, temporary files included; programs that go on writing are killed.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().disk, value_name = "BYTES")]
    disk: u64,
    /// Files and directories of a session, likewise.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().files, value_name = "N")]
    files: u64,
    /// Shared memory (`/dev/shm`) of an interpreter or a command.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().tmp_size, value_name = "BYTES")]
    shared_memory: u64,
    /// Processes and threads of all programs of a session together. Kept where the server has control groups (see
    /// `agb-server doctor`).
    #[arg(long, default_value_t = agb_sandbox::Limits::default().total_processes, value_name = "N")]
    session_processes: u64,
    /// Processors that a session may use, such as 1.5; 0: all. Needs control groups; with them sessions share busy
    /// processors evenly anyway.
    #[arg(long, default_value_t = f64::from(agb_sandbox::Limits::default().cpus) / 1000.0, value_name = "CPUS")]
    session_cpus: f64,
    /// How far the programs' priority for processors is below the server's.
    #[arg(long, default_value_t = agb_sandbox::Limits::default().nice, value_name = "N",
        value_parser = clap::value_parser!(u8).range(0..=19))]
    nice: u8,
}

/// Every limit; a default that is not given here is in the documentation of `Limits`, with its reason.
#[derive(Args)]
#[command(next_help_heading = "Limits")]
struct ContextArgs {
    /// The folder that contexts are kept in; only one server at a time uses it.
    #[arg(long, env = "AGB_CONTEXTS", value_name = "FOLDER")]
    contexts_dir: Option<PathBuf>,
    /// Contexts of one API key.
    #[arg(long, default_value_t = ContextSettings::default().max_contexts, value_name = "N")]
    max_contexts: usize,
    /// Bytes of one context, unfinished uploads included.
    #[arg(long, default_value_t = ContextSettings::default().max_bytes, value_name = "BYTES")]
    context_size: u64,
    /// Files and folders of one context.
    #[arg(long, default_value_t = ContextSettings::default().max_files, value_name = "N")]
    context_files: u64,
    /// How long a URL opens its file that uploads to or downloads from a context.
    #[arg(long, default_value_t = seconds(ContextSettings::default().url_time), value_name = "SECONDS")]
    url_time: f64,
    /// The longest time that one upload or download of a file may take.
    #[arg(long, default_value_t = seconds(ContextSettings::default().max_transfer_time), value_name = "SECONDS")]
    max_transfer_time: f64,
}

#[derive(Args)]
struct LimitArgs {
    /// Sessions at once.
    #[arg(long, default_value_t = Limits::default().max_sessions, value_name = "N")]
    max_sessions: usize,
    /// Release a session that was idle for so long, unless it was created with another time.
    #[arg(long, default_value_t = seconds(Limits::default().idle_timeout), value_name = "SECONDS")]
    idle_timeout: f64,
    /// The longest idle time that a session may ask for.
    #[arg(long, default_value_t = seconds(Limits::default().max_idle_timeout), value_name = "SECONDS")]
    max_idle_timeout: f64,
    /// Time for a run that does not say.
    #[arg(long, default_value_t = seconds(Limits::default().default_run_timeout), value_name = "SECONDS")]
    run_timeout: f64,
    /// The longest time that a run may ask for.
    #[arg(long, default_value_t = seconds(Limits::default().max_run_timeout), value_name = "SECONDS")]
    max_run_timeout: f64,
    /// Body of an HTTP call.
    #[arg(long, default_value_t = Limits::default().max_body, value_name = "BYTES")]
    max_body: usize,
    /// Message of a WebSocket client.
    #[arg(long, default_value_t = Limits::default().max_message, value_name = "BYTES")]
    max_message: usize,
    /// Header lines of a request; more are refused (HTTP 431).
    #[arg(long, default_value_t = Limits::default().max_headers, value_name = "N")]
    max_headers: usize,
    /// Head of a request; a larger one is refused (HTTP 431).
    #[arg(long, default_value_t = Limits::default().max_head, value_name = "BYTES")]
    max_head: usize,
    /// Time for a TLS handshake, for the head of a request, and for its body.
    #[arg(long, default_value_t = seconds(Limits::default().read_timeout), value_name = "SECONDS")]
    read_timeout: f64,
    /// TCP connections at once; more wait.
    #[arg(long, default_value_t = Limits::default().max_connections, value_name = "N")]
    max_connections: usize,
    /// TCP connections at once from one address; more are closed. Those from this machine are not counted.
    #[arg(long, default_value_t = Limits::default().max_connections_per_address, value_name = "N")]
    max_connections_per_address: usize,
    /// Calls a second of one API key, and of each session's tokens; more are refused (HTTP 429, Retry-After).
    #[arg(long, default_value_t = Limits::default().calls_per_second, value_name = "N")]
    calls_per_second: u32,
    /// Calls at once before that counts.
    #[arg(long, default_value_t = Limits::default().calls_burst, value_name = "N")]
    calls_burst: u32,
    /// Runs and calls at once in one session.
    #[arg(long, default_value_t = Limits::default().max_runs, value_name = "N")]
    max_runs: usize,
    /// Programs and arguments of what goes on in one session, in all.
    #[arg(long, default_value_t = Limits::default().max_held, value_name = "BYTES")]
    max_held: usize,
    /// Objects that a Java program may hold.
    #[arg(long, default_value_t = Limits::default().java_heap, value_name = "BYTES")]
    java_heap: usize,
    /// Output of a run that is kept while its viewer is behind.
    #[arg(long, default_value_t = Limits::default().run_buffer, value_name = "BYTES")]
    run_buffer: usize,
    /// Output of a program that is taken in a second, in the long run; one that prints faster waits. 0: no limit.
    #[arg(long, default_value_t = Limits::default().output_rate, value_name = "BYTES")]
    output_rate: u64,
    /// How long a run that was started with `resume` can still be resumed once it has ended.
    #[arg(long, default_value_t = seconds(Limits::default().resume_retention), value_name = "SECONDS")]
    resume_retention: f64,
    /// How long such a run goes on while no client looks.
    #[arg(long, default_value_t = seconds(Limits::default().unwatched_time), value_name = "SECONDS")]
    unwatched_time: f64,
    /// Output of such a run that is kept in memory until its client has acknowledged it.
    #[arg(long, default_value_t = Limits::default().replay_memory, value_name = "BYTES")]
    replay_memory: usize,
    /// And beyond that in a file; then the program waits. Both together: 1.5 MiB at least.
    #[arg(long, default_value_t = Limits::default().replay_spool, value_name = "BYTES")]
    replay_spool: u64,
    /// How many may watch one run beside its owner, and how many runs one of their connections may watch.
    #[arg(long, default_value_t = Limits::default().max_watchers, value_name = "N")]
    max_watchers: usize,
    /// The largest flow-control window that a client gets; 256 KiB at least.
    #[arg(long, default_value_t = Limits::default().max_window, value_name = "BYTES")]
    max_window: u64,
    /// Frame to a client that asked for no extension.
    #[arg(long, default_value_t = Limits::default().max_frame, value_name = "BYTES")]
    max_frame: usize,
    /// Frame to a client that asked for extensions.
    #[arg(long, default_value_t = Limits::default().max_extended_frame, value_name = "BYTES")]
    max_extended_frame: usize,
    /// Logs in the answer of a tool; more is left out, and the answer says so.
    #[arg(long, default_value_t = Limits::default().max_tool_output, value_name = "BYTES")]
    max_tool_output: usize,
    /// WebSocket pings.
    #[arg(long, default_value_t = seconds(Limits::default().heartbeat), value_name = "SECONDS")]
    heartbeat: f64,
    /// A WebSocket client that is silent for so long, pings included, is gone.
    #[arg(long, default_value_t = seconds(Limits::default().silence_timeout), value_name = "SECONDS")]
    silence_timeout: f64,
    /// A client that takes nothing for so long is gone.
    #[arg(long, default_value_t = seconds(Limits::default().write_timeout), value_name = "SECONDS")]
    write_timeout: f64,
    /// How long a session's own token opens it; with the API key a new one is had from half of this on.
    #[arg(long, default_value_t = seconds(Limits::default().token_time), value_name = "SECONDS")]
    token_time: f64,
    /// How long an access lasts that a page is given, unless it is asked for with another time.
    #[arg(long, default_value_t = seconds(Limits::default().access_time), value_name = "SECONDS")]
    access_time: f64,
    /// The longest time that an access may be asked for.
    #[arg(long, default_value_t = seconds(Limits::default().max_access_time), value_name = "SECONDS")]
    max_access_time: f64,
    /// How long runs may go on after SIGINT or SIGTERM; a second signal ends them at once.
    #[arg(long, default_value_t = seconds(Limits::default().drain), value_name = "SECONDS")]
    drain: f64,
    /// How long the server's own end may take.
    #[arg(long, default_value_t = seconds(Limits::default().shutdown_grace), value_name = "SECONDS")]
    shutdown_grace: f64,
}

fn main() -> ExitCode {
    agb_sandbox::main_if_helper();
    let serve = match Cli::parse().command {
        Command::Serve(serve) => serve,
        Command::Images(command) => return command.run().map_or_else(fail, |()| ExitCode::SUCCESS),
        Command::Doctor(command) => return command.run().map_or_else(fail, |()| ExitCode::SUCCESS),
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    memory::keep();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.worker_threads(usize::from(serve.threads)).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(format!("no threads: {error}")),
    };
    let result = runtime.block_on(run(*serve));
    // A file tool in the middle of a large file does not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(message),
    }
}

async fn run(serve: Serve) -> Result<(), String> {
    let (drain, stop) = stop(serve.exit_with_stdin)?;
    let (listen, insecure) = (serve.listen, serve.insecure_listen);
    let scheme = if serve.tls_cert.is_some() { "https" } else { "http" };
    let made_key = (serve.api_key.is_none() && serve.api_keys_file.is_none()).then(agb_server::api_key);
    let config = config(serve, made_key.clone())?;
    descriptors::raise(&config.limits);
    let server = Server::new(config).map_err(|error| error.to_string())?;
    server.check_exposure(listen, insecure).map_err(|error| error.to_string())?;
    let mut hang_up =
        unix::signal(SignalKind::hangup()).map_err(|error| format!("cannot wait for signals: {error}"))?;
    let listener = TcpListener::bind(listen).await.map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let address = listener.local_addr().map_err(|error| format!("cannot tell the port: {error}"))?;
    if let Some(key) = made_key {
        say(&format!("agb-server made the API key {}", key.expose()));
    }
    say(&format!("agb-server listening on {scheme}://{address}"));
    let reloading = async {
        while hang_up.recv().await.is_some() {
            server.reload();
        }
        pending::<()>().await;
    };
    tokio::select! {
        () = server.serve_and_drain(listener, drain, stop) => {}
        () = reloading => {}
    }
    tracing::info!("ended");
    Ok(())
}

fn config(serve: Serve, made_key: Option<Secret>) -> Result<Config, String> {
    let key = serve.api_key.map(Secret::from).or(made_key);
    let interpreters = [
        (Language::Python, serve.python),
        (Language::JavaScript, serve.node),
        (Language::R, serve.r),
        (Language::Java, serve.java),
    ];
    let defaults = Config::new(Secret::default());
    let name = ApiKey::DEFAULT_NAME.to_owned();
    Ok(Config {
        public_url: serve.public_url,
        allow_origins: serve.allow_origin,
        interpreters: interpreters.into_iter().filter_map(|(language, path)| Some((language, path?))).collect(),
        images: serve.place.images()?,
        data_dir: serve.data_dir.unwrap_or(defaults.data_dir),
        cache_dir: serve.cache_dir.unwrap_or(defaults.cache_dir),
        contexts: contexts(serve.contexts)?,
        isolation: serve.isolation,
        network: serve.network,
        outside: defaults.outside,
        sandbox: sandbox_limits(&serve.sandbox)?,
        launcher: defaults.launcher,
        zygotes: !serve.no_zygotes,
        warm: warm(&serve.warm)?,
        limits: limits(&serve.limits)?,
        api_keys: key.map(|secret| ApiKey { name, secret }).into_iter().collect(),
        api_keys_file: serve.api_keys_file,
        tls: serve.tls_cert.zip(serve.tls_key).map(|(cert, key)| TlsFiles { cert, key }),
    })
}

fn contexts(args: ContextArgs) -> Result<ContextSettings, String> {
    let defaults = ContextSettings::default();
    Ok(ContextSettings {
        folder: args.contexts_dir.or(defaults.folder),
        max_contexts: args.max_contexts,
        max_bytes: args.context_size,
        max_files: args.context_files,
        url_time: duration("--url-time", args.url_time)?,
        max_transfer_time: duration("--max-transfer-time", args.max_transfer_time)?,
    })
}

fn warm(args: &WarmArgs) -> Result<Warm, String> {
    Ok(Warm {
        at_start: args.warm,
        most: args.warm_max,
        memory: args.warm_memory,
        keep: duration_or_zero("--warm-time", args.warm_time)?,
        ..Warm::default()
    })
}

fn sandbox_limits(args: &SandboxArgs) -> Result<agb_sandbox::Limits, String> {
    const MOST: f64 = 100_000.0;
    let cpus = args.session_cpus;
    if !(cpus == 0.0 || (0.01..=MOST).contains(&cpus)) {
        return Err(format!("--session-cpus {cpus}: give 0 for no limit, or a number from 0.01 to {MOST}"));
    }
    let cpus = (cpus * 1000.0).round() as u32;
    Ok(agb_sandbox::Limits {
        total_memory: args.session_memory,
        memory: args.process_memory,
        processes: args.processes,
        open_files: args.open_files,
        file_size: args.file_size,
        disk: args.disk,
        files: args.files,
        tmp_size: args.shared_memory,
        total_processes: args.session_processes,
        cpus,
        nice: args.nice,
        ..agb_sandbox::Limits::default()
    })
}

fn limits(args: &LimitArgs) -> Result<Limits, String> {
    let least = ACK_WITHIN as u64;
    if args.max_window < least {
        return Err(format!(
            "--max-window {}: clients acknowledge what they have taken each {least} bytes: give that at least",
            args.max_window
        ));
    }
    let kept = 6 * least; // JSON has six bytes for one at worst
    if (args.replay_memory as u64).saturating_add(args.replay_spool) < kept {
        return Err(format!(
            "--replay-memory {} and --replay-spool {}: clients acknowledge what they have taken each {least} bytes, which \
             are up to {kept} as they are kept: give that at least, together",
            args.replay_memory, args.replay_spool
        ));
    }
    Ok(Limits {
        max_sessions: args.max_sessions,
        idle_timeout: duration("--idle-timeout", args.idle_timeout)?,
        max_idle_timeout: duration("--max-idle-timeout", args.max_idle_timeout)?,
        default_run_timeout: duration("--run-timeout", args.run_timeout)?,
        max_run_timeout: duration("--max-run-timeout", args.max_run_timeout)?,
        max_body: args.max_body,
        max_message: args.max_message,
        max_headers: args.max_headers,
        max_head: args.max_head.max(8192),
        read_timeout: duration("--read-timeout", args.read_timeout)?,
        max_connections: args.max_connections.clamp(1, 1 << 20),
        max_connections_per_address: args.max_connections_per_address,
        calls_per_second: args.calls_per_second,
        calls_burst: args.calls_burst,
        max_runs: args.max_runs,
        max_held: args.max_held,
        java_heap: args.java_heap,
        run_buffer: args.run_buffer,
        output_rate: args.output_rate,
        resume_retention: duration("--resume-retention", args.resume_retention)?,
        unwatched_time: duration("--unwatched-time", args.unwatched_time)?,
        replay_memory: args.replay_memory,
        replay_spool: args.replay_spool,
        max_watchers: args.max_watchers,
        max_window: args.max_window,
        max_frame: args.max_frame,
        max_extended_frame: args.max_extended_frame,
        max_tool_output: args.max_tool_output,
        heartbeat: duration("--heartbeat", args.heartbeat)?,
        silence_timeout: duration("--silence-timeout", args.silence_timeout)?,
        write_timeout: duration("--write-timeout", args.write_timeout)?,
        token_time: duration("--token-time", args.token_time)?,
        access_time: duration("--access-time", args.access_time)?,
        max_access_time: duration("--max-access-time", args.max_access_time)?,
        drain: duration_or_zero("--drain", args.drain)?,
        shutdown_grace: duration("--shutdown-grace", args.shutdown_grace)?,
    })
}

fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

fn duration(name: &str, seconds: f64) -> Result<Duration, String> {
    duration_or_zero(name, seconds)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| format!("{name} {seconds}: give seconds, more than 0 and at most a year"))
}

fn duration_or_zero(name: &str, seconds: f64) -> Result<Duration, String> {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|duration| *duration <= YEAR)
        .ok_or_else(|| format!("{name} {seconds}: give seconds, at least 0 and at most a year"))
}

/// The first is ready when the server is to take nothing new, the second when it is to end.
fn stop(with_stdin: bool) -> Result<(impl Future<Output = ()>, impl Future<Output = ()>), String> {
    let refused = |error| format!("cannot wait for signals: {error}");
    let mut terminate = unix::signal(SignalKind::terminate()).map_err(refused)?;
    let mut interrupt = unix::signal(SignalKind::interrupt()).map_err(refused)?;
    let stdin_ended = with_stdin.then(stdin_ended);
    let (draining, drain) = oneshot::channel();
    let stop = async move {
        let stdin_ended = async {
            match stdin_ended {
                Some(ended) => drop(ended.await),
                None => pending().await,
            }
        };
        let signalled = async {
            let reason = signal(&mut terminate, &mut interrupt).await;
            tracing::info!(reason, "ending, once the runs have");
            // Whoever does not wait for it has ended.
            let _ = draining.send(());
            signal(&mut terminate, &mut interrupt).await
        };
        let reason = tokio::select! {
            reason = signalled => reason,
            () = stdin_ended => "end of standard input",
        };
        tracing::info!(reason, "ending");
    };
    let drain = async {
        if drain.await.is_err() {
            pending::<()>().await; // there will be no signal: the end came by another way
        }
    };
    Ok((drain, stop))
}

async fn signal(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// A thread of its own, since a read from a terminal or a pipe cannot be taken back at the end.
fn stdin_ended() -> oneshot::Receiver<()> {
    let (sender, receiver) = oneshot::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        loop {
            match std::io::stdin().read(&mut buffer) {
                Ok(1..) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => break,
            }
        }
        drop(sender);
    });
    receiver
}

/// Writes a line to standard output. Whoever waits for it must not wait for a buffer; whoever does not read it is no
/// reason to end.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

fn fail(message: String) -> ExitCode {
    eprintln!("agb-server: {message}");
    ExitCode::FAILURE
}
