//! The command `agb-server serve`.

use std::future::pending;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agb_protocol::Secret;
use agb_server::{
    ApiKey, ClusterEnd, ClusterSettings, Config, ContextSettings, Isolation, Limits, LinkSettings, Network, Server,
    StartError, TlsFiles, UpstreamSettings, Warm,
};
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{self, SignalKind};

use super::failure::Failure;
use super::images::ImageFolder;
use super::interpreters::Interpreters;
use super::log_limit::LogLimit;
use super::offer::Offer;
use super::overview::Overview;
use super::sandbox::SandboxArgs;
use super::started::Started;
use super::stop::stop;
use super::{allocator, descriptors, logs};

#[derive(Args)]
pub(crate) struct Serve {
    /// Address to listen on, such as 127.0.0.1:8080 or localhost:8080; port 0 takes a free port.
    #[arg(long, default_value_t = Config::DEFAULT_LISTEN, value_name = "ADDRESS:PORT", value_parser = address)]
    listen: SocketAddr,
    /// The API key that clients must send. Without a key, a random one is made and printed. Prefer the environment
    /// variable: everybody who can list processes sees the command line.
    #[arg(long, env = "AGB_API_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<String>,
    /// A gateway has left the environment's key to its clients.
    #[arg(skip)]
    left_key: bool,
    /// A file with an API key in each line: NAME KEY, with # before comments and at least 16 characters in a key. It is
    /// reloaded when it changes and on SIGHUP; a removed key is rejected from then on.
    #[arg(long, value_name = "FILE")]
    api_keys_file: Option<PathBuf>,
    /// Serve https and wss with this certificate (PEM, with the intermediate certificates). It is reloaded when it
    /// changes and on SIGHUP.
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Allow an address other than loopback without TLS: in a container, or behind a proxy that terminates TLS.
    #[arg(long)]
    insecure_listen: bool,
    /// The URL at which clients reach this server, if a proxy changes the Host header.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// An origin whose web pages may use the server, such as https://app.example.org. Repeat it for more; `*` allows all.
    /// Default: pages of this machine.
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,
    /// Shut down at the end of standard input, so that the server never outlives its parent process.
    #[arg(long)]
    exit_with_stdin: bool,
    /// Print one line of JSON once it listens, with what the server has: its URL, version, languages, isolation, network, and
    /// where its keys are. A server that does not start prints a line with `error`: a `code` that does not change, and a
    /// `message`.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    interpreters: Interpreters,
    #[command(flatten)]
    images: ImageFolder,
    /// Prepare the default image first, if it is not: install its Python packages, with a progress bar. On a terminal the
    /// server asks at its first start.
    #[arg(long, conflicts_with = "upstream")]
    prepare: bool,
    /// Isolation of programs: auto selects the strongest of namespaces, namespaces-root and landlock that this machine
    /// offers (see `agb-server doctor`); none runs programs with the server's own rights.
    #[arg(long, default_value_t = Isolation::Auto, value_name = "LEVEL")]
    isolation: Isolation,
    /// Network access of programs: none; host, the network of this machine; or allow=DOMAIN,…, an allowlist for HTTP and
    /// HTTPS: example.org (ports 80 and 443), *.example.org (its subdomains only), example.org:8443. Names that resolve to
    /// addresses that are not public are never reached.
    #[arg(long, default_value_t = Network::None, value_name = "NETWORK")]
    network: Network,
    /// Start Python for each session instead of forking a zygote that has imported the image's libraries. Sessions then
    /// start more slowly and take more memory; nothing else changes.
    #[arg(long)]
    no_zygotes: bool,
    /// The folder for the sessions' folders. Default: the system's temporary folder.
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// The folder for what is compiled once and used by every session. Default: the user's cache folder.
    #[arg(long, env = "AGB_CACHE", value_name = "FOLDER")]
    cache_dir: Option<PathBuf>,
    /// Threads for connections and runs. One is the fastest for programs that print many lines: each line passes through
    /// two tasks, and waking another thread costs more than the work itself. More threads help when many programs print
    /// bulk output at once on a machine with spare cores.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
    /// Log lines of one kind a second, separately for each session; the rest are counted and summed up in one line. 20 show
    /// what happens; a program or an attacker can cause thousands.
    #[arg(long, default_value_t = 20, value_name = "N")]
    log_lines: u64,
    #[command(flatten)]
    warm: Warm,
    #[command(flatten)]
    sandbox: SandboxArgs,
    #[command(flatten)]
    contexts: ContextSettings,
    #[command(flatten)]
    links: LinkSettings,
    /// Speak part 1 of the wire and nothing else, as AGB's own service does: no run outlives its connection, and pages
    /// have no access. To test clients and gateways with.
    #[arg(long, conflicts_with = "upstream")]
    plain_wire: bool,
    #[command(flatten)]
    upstream: UpstreamSettings,
    #[command(flatten)]
    cluster: ClusterSettings,
    #[command(flatten)]
    limits: Limits,
}

impl Serve {
    /// The key is the environment's. A gateway that passes keys on wants none, and whoever starts one has its clients' key
    /// there, for them: it is not used here, and that is said.
    pub(super) fn leave_key_to_clients(&mut self) {
        if self.passes_keys_on() {
            self.left_key = self.api_key.take().is_some();
        }
    }

    /// It is a gateway whose clients give the upstream's keys.
    fn passes_keys_on(&self) -> bool {
        self.upstream.url.is_some() && self.upstream.key_file.is_none()
    }

    pub(super) fn run(self) -> Result<ExitCode, String> {
        let as_json = self.json;
        self.serve().or_else(|failure| failure.tell(as_json))
    }

    fn serve(self) -> Result<ExitCode, Failure> {
        let log = LogLimit::new(self.log_lines).map_err(|error| format!("no thread for the log: {error}"))?;
        logs::of_server(&log);
        if self.upstream.url.is_none() {
            let belongs_to_program = self.exit_with_stdin || self.json;
            let offer = if self.prepare { Offer::Prepare } else { Offer::of_terminal(belongs_to_program) };
            offer.make(&self.images).map_err(Failure::not_prepared)?;
        }
        allocator::keep();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(usize::from(self.threads))
            .thread_keep_alive(THREADS_KEPT)
            .enable_all()
            .build()
            .map_err(|error| format!("no threads: {error}"))?;
        let result = runtime.block_on(run(self));
        // A file tool in the middle of a large file does not hold up the end.
        runtime.shutdown_timeout(Duration::from_secs(1));
        log.finish();
        result
    }
}

/// A thread for files that has nothing to do is kept for so long.
///
/// An hour: a program can take all threads that the machine has, and then the server works with those that it has kept.
const THREADS_KEPT: Duration = Duration::from_secs(3600);

/// The other servers of the cluster have given this one up: EX_SOFTWARE, so that whoever supervises it starts it again.
const GIVEN_UP: u8 = 70;

async fn run(serve: Serve) -> Result<ExitCode, Failure> {
    let (drain, stop) = stop(serve.exit_with_stdin)?;
    let (listen, insecure, as_json) = (serve.listen, serve.insecure_listen, serve.json);
    let scheme = if serve.tls_cert.is_some() { "https" } else { "http" };
    let (passes_keys_on, left_key) = (serve.passes_keys_on(), serve.left_key);
    let has_keys = serve.api_key.is_some() || serve.api_keys_file.is_some();
    // A gateway is not a member, and hears that first.
    if serve.cluster.registry.is_some() && serve.upstream.url.is_none() && !has_keys {
        let words = "servers of a cluster take the same keys: give them with --api-keys-file or AGB_API_KEY";
        return Err(Failure::settings(words));
    }
    let made_key = (!has_keys && !passes_keys_on).then(agb_server::api_key);
    let config = config(serve, made_key.clone())?;
    let (upstream, keys_file) = (config.upstream.url.clone(), config.api_keys_file.clone());
    let overview = upstream.is_none().then(|| Overview::new(&config));
    descriptors::raise(&config.limits, &config.links, &config.network);
    let server = Server::new(config)?;
    server.check_exposure(listen, insecure)?;
    let mut hang_up =
        unix::signal(SignalKind::hangup()).map_err(|error| format!("cannot wait for signals: {error}"))?;
    let listener = TcpListener::bind(listen).await.map_err(|error| Failure::cannot_listen(listen, &error))?;
    let address = listener.local_addr().map_err(|error| format!("cannot tell the port: {error}"))?;
    server.check_reachable(address).map_err(StartError::from)?;
    let url = format!("{scheme}://{address}");
    let started = Started { url, made_key, keys_file, upstream, left_key, overview };
    started.say(server.isolation(), as_json);
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
    match server.cluster_end() {
        Some(end @ ClusterEnd::NameTaken { .. }) => return Err(end.into()),
        Some(end @ ClusterEnd::Condemned(_)) => {
            tracing::error!(%end, "ended");
            if as_json {
                Failure::from(end).tell_program();
            }
            return Ok(ExitCode::from(GIVEN_UP));
        }
        None => {}
    }
    tracing::info!("ended");
    Ok(ExitCode::SUCCESS)
}

/// An address of this machine and a port. `localhost` is what people type for the loopback address; other names may have
/// several addresses, and which of them is listened on must not be left to chance.
fn address(text: &str) -> Result<SocketAddr, String> {
    let as_number = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    as_number.as_deref().unwrap_or(text).parse().map_err(|_| {
        "give an address and a port, such as 127.0.0.1:8080, [::1]:8080, or 0.0.0.0:8080 for all of this machine's"
            .to_owned()
    })
}

fn config(serve: Serve, made_key: Option<Secret>) -> Result<Config, Failure> {
    serve.limits.check()?;
    let key = serve.api_key.map(Secret::from).or(made_key);
    // One server of a cluster keeps contexts for all: the one that is told where.
    let is_alone = serve.cluster.registry.is_none();
    let default_contexts = || ContextSettings::default_folder().filter(|_| is_alone);
    let defaults = Config::new(Secret::default());
    let name = ApiKey::DEFAULT_NAME.to_owned();
    Ok(Config {
        public_url: serve.public_url,
        allow_origins: serve.allow_origin,
        interpreters: serve.interpreters.by_language(),
        images: serve.images.images().map_err(Failure::settings)?,
        data_dir: serve.data_dir.unwrap_or(defaults.data_dir),
        cache_dir: serve.cache_dir.unwrap_or(defaults.cache_dir),
        links: serve.links,
        plain_wire: serve.plain_wire,
        cluster: serve.cluster,
        upstream: serve.upstream,
        contexts: ContextSettings { folder: serve.contexts.folder.clone().or_else(default_contexts), ..serve.contexts },
        isolation: serve.isolation,
        network: serve.network,
        outside: defaults.outside,
        sandbox: serve.sandbox.limits().map_err(Failure::settings)?,
        launcher: defaults.launcher,
        zygotes: !serve.no_zygotes,
        ends_programs: false,
        program_name: None,
        arguments: Vec::new(),
        warm: serve.warm,
        limits: serve.limits,
        api_keys: key.map(|secret| ApiKey { name, secret }).into_iter().collect(),
        api_keys_file: serve.api_keys_file,
        tls: serve.tls_cert.zip(serve.tls_key).map(|(cert, key)| TlsFiles { cert, key }),
    })
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn listens_on_what_people_type() {
        assert_eq!(address("localhost:80"), Ok(([127, 0, 0, 1], 80).into()));
        assert_eq!(address("[::1]:0").map(|address| address.is_ipv6()), Ok(true));
        for wrong in ["8080", "localhost", "example.org:80", "localhost:x", ""] {
            assert!(address(wrong).is_err_and(|error| error.contains("127.0.0.1:8080")), "{wrong}");
        }
    }
}
