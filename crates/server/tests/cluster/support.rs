//! Servers as processes of their own, and the edges between them and the registry.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use agb_client::{Agb, CreateSession, Options, RunEvent, Session};
use futures_util::StreamExt;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What all servers take.
pub(crate) const KEY: &str = "a-key-for-tests-of-clusters";
/// A server starts in a second, on a busy machine in ten.
pub(crate) const START: Duration = Duration::from_secs(60);
/// The table's bound for a dead host, and as much again for a busy machine.
pub(crate) const LOST: Duration = Duration::from_secs(30);

/// A server process. Ends with this.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    cluster: String,
    folder: PathBuf,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    scheme: &'static str,
    http: reqwest::Client,
}

impl Node {
    /// Starts a server and waits until it is ready.
    pub(crate) async fn start(name: &str, cluster: &str, folder: &Path) -> Self {
        let mut node = Self::new(name, cluster, folder);
        node.spawn();
        node.ready().await;
        node
    }

    pub(crate) fn new(name: &str, cluster: &str, folder: &Path) -> Self {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let _ = rustls::crypto::ring::default_provider().install_default(); // an error says that it was done before
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().expect("a client");
        let (name, cluster) = (name.to_owned(), cluster.to_owned());
        Self {
            name,
            address: free_port(),
            cluster,
            folder,
            options: Vec::new(),
            environment: Vec::new(),
            child: None,
            scheme: "http",
            http,
        }
    }

    pub(crate) fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    /// With this in the environment of its process.
    pub(crate) fn with_environment(mut self, variables: &[(&str, &str)]) -> Self {
        self.environment.extend(variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
        self
    }

    /// With TLS; this authority's certificates are asked for.
    pub(crate) fn with_tls(mut self, tls: &Tls) -> Self {
        let authority = fs::read(&tls.authority).expect("it was written");
        let authority = reqwest::Certificate::from_pem(&authority).expect("a certificate");
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).tls_certs_only([authority]);
        (self.scheme, self.http) = ("https", http.build().expect("a client"));
        self.with(&["--tls-cert", &tls.certificate, "--tls-key", &tls.key])
    }

    /// Starts the process, at the same address as before.
    pub(crate) fn spawn(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_agb-server"))
            .args(["serve", "--listen", &self.address.to_string(), "--isolation", "none", "--warm", "0"])
            .args(["--cluster", &self.cluster, "--node-name", &self.name, "--data-dir"])
            .arg(&self.folder)
            .args(&self.options)
            .env("AGB_API_KEY", KEY)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env_remove("PYTHONUNBUFFERED")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it was built");
        self.child = Some(child);
    }

    pub(crate) async fn ready(&mut self) {
        let begin = Instant::now();
        loop {
            if self.readiness().await.is_some_and(|(status, _)| status == StatusCode::OK) {
                return;
            }
            if let Some(status) = self.ended() {
                panic!("{} has ended ({status}): {}", self.name, self.log());
            }
            assert!(
                begin.elapsed() < START,
                "{} is not ready: {:?}\n{}",
                self.name,
                self.readiness().await,
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn readiness(&self) -> Option<(StatusCode, String)> {
        let response = self.http.get(self.url("/readyz")).send().await.ok()?;
        Some((response.status(), response.text().await.ok()?))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    fn log_file(&self) -> PathBuf {
        self.folder.with_extension("log")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Ends the process as a power failure does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that has ended already cannot be killed, and is waited for all the same.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("it runs");
        kill_process(Pid::from_child(child), signal).expect("it is ours");
    }

    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().expect("it is ours")
    }

    /// Stops the process, and waits until none of its threads runs any more.
    pub(crate) async fn freeze(&self) {
        self.signal(Signal::STOP);
        let pid = self.child.as_ref().expect("it runs").id();
        eventually("it stands still", START, async || {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it is there").flatten();
            let mut states = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
            states.all(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T')))
        })
        .await;
    }

    pub(crate) async fn exit_code(&mut self, within: Duration) -> Option<i32> {
        let begin = Instant::now();
        while begin.elapsed() < within {
            if let Some(status) = self.ended() {
                self.child = None;
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} has not ended within {within:?}: {}", self.name, self.log());
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Result<(u16, Value), reqwest::Error> {
        self.post_with(KEY, path, body).await
    }

    /// The same with another key.
    pub(crate) async fn post_with(&self, key: &str, path: &str, body: Value) -> Result<(u16, Value), reqwest::Error> {
        let response = self.http.post(self.url(path)).bearer_auth(key).json(&body).send().await?;
        let status = response.status().as_u16();
        Ok((status, response.json().await?))
    }

    /// What it says of a session: the status and the code.
    pub(crate) async fn asks(&self, session: &str) -> (u16, String) {
        let body = json!({ "sessionId": session });
        let (status, answer) = self.post("/mcp/getSessionInfo", body).await.unwrap_or_else(|error| {
            panic!("{} does not answer: {error}\n{}", self.name, self.log());
        });
        (status, answer["code"].as_str().unwrap_or_default().to_owned())
    }

    /// The ids of sessions that `ListSession` tells of, all pages of them.
    pub(crate) async fn listed(&self) -> Result<Vec<String>, (u16, Value)> {
        let (mut all, mut next) = (Vec::new(), String::new());
        loop {
            let query = if next.is_empty() { String::new() } else { format!("&nextToken={next}") };
            let request = self.http.get(self.url(&format!("/sdk/ListSession?maxResults=5{query}"))).bearer_auth(KEY);
            let response = request.send().await.expect("an answer");
            let status = response.status().as_u16();
            let answer: Value = response.json().await.expect("JSON");
            if status != 200 {
                return Err((status, answer));
            }
            let page = answer["data"].as_array().expect("a list").iter();
            all.extend(page.map(|item| item["sessionId"].as_str().expect("an id").to_owned()));
            match answer["nextToken"].as_str() {
                Some(token) => next = token.to_owned(),
                None => return Ok(all),
            }
        }
    }

    /// What its clock says, to the hour.
    pub(crate) async fn time_of_day(&self) -> String {
        let answer = self.http.get(self.url("/healthz")).send().await.expect("an answer");
        let date = answer.headers().get("date").expect("each answer has one").to_str().expect("text");
        date[..date.find(':').expect("a time")].to_owned()
    }

    /// What the ids of its sessions begin with.
    pub(crate) async fn prefix(&self) -> String {
        let own = self.http.get(self.url("/cluster/alive")).send().await.expect("an answer");
        format!("session-{}", own.text().await.expect("text").trim())
    }

    /// A session that this server owns, wherever it was asked for.
    pub(crate) async fn own_session(&self, entry: &Self) -> Value {
        let own = self.prefix().await;
        for _ in 0..60 {
            let (status, answer) =
                entry.post("/mcp/createSession?imageId=agb-code-space-1", json!({})).await.expect("an answer");
            assert_eq!(status, 200, "{answer}\n{}", entry.log());
            if answer["data"]["sessionId"].as_str().expect("an id").starts_with(&own) {
                return answer["data"].clone();
            }
        }
        panic!("no session was placed at {}", self.name);
    }

    /// Runs a program in a session by this server's link; the answer comes when it has ended.
    pub(crate) async fn run(&self, session: &Value, code: &str) -> Value {
        let text = |name: &str| session[name].as_str().expect("text").to_owned();
        let (id, token) = (text("sessionId"), text("token"));
        let args = json!({ "code": code, "language": "python", "timeout_s": 90 });
        let call = json!({ "args": args, "server": "any", "requestId": "r", "tool": "run_code", "token": token });
        let request = self.http.post(self.url(&format!("/link/{id}/callTool"))).header("X-Access-Token", &token);
        let response = request.timeout(Duration::from_secs(120)).json(&call).send().await.expect("an answer");
        response.json().await.expect("JSON")
    }

    /// One number of its metrics; 0 where it has not been counted.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.http.get(self.url("/metrics")).bearer_auth(KEY).send().await.expect("an answer");
        let text = text.text().await.expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |number| number.parse().expect("a number"))
    }

    pub(crate) async fn up(&self) -> f64 {
        self.metric("agb_cluster_nodes{state=\"up\"}").await
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Files of an authority, and of a certificate for this machine that it has signed.
pub(crate) struct Tls {
    pub(crate) authority: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Tls {
    pub(crate) fn write(folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = params.self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().expect("a key");
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let signed = CertificateParams::new(names).expect("names").signed_by(&own, &issuer).expect("a certificate");
        let file = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).expect("there is room");
            path.to_str().expect("text").to_owned()
        };
        Self {
            authority: file("ca.pem", authority.pem()),
            certificate: file("cert.pem", signed.pem()),
            key: file("key.pem", own.serialize_pem()),
        }
    }
}

/// What `doctor --cluster` says of the cluster at this URL, and whether all is well.
pub(crate) fn doctor(url: &str, options: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agb-server"));
    let output = command.args(["doctor", "--cluster", url]).args(options).output().expect("it was built");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).expect("text"))
}

/// Servers named s0, s1, …, each of which knows all.
pub(crate) async fn servers(count: usize, cluster: &str, folder: &Path) -> Vec<Node> {
    let mut nodes: Vec<_> = (0..count).map(|index| Node::new(&format!("s{index}"), cluster, folder)).collect();
    nodes.iter_mut().for_each(Node::spawn);
    for node in &mut nodes {
        node.ready().await;
    }
    all_up(&nodes, count).await;
    nodes
}

/// Waits until each of these sees so many.
pub(crate) async fn all_up(nodes: &[Node], count: usize) {
    for node in nodes {
        eventually(&format!("{} sees {count}", node.name), LOST, async || node.up().await as usize == count).await;
    }
}

/// Waits until something is so; says how long it took.
pub(crate) async fn eventually(what: &str, bound: Duration, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < bound, "still not after {bound:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("{what}: {:.1} s", begin.elapsed().as_secs_f64());
    begin.elapsed()
}

/// Asks until a session is said to be gone. Before that it may be away, and is never there.
pub(crate) async fn until_gone(node: &Node, session: &str) -> Duration {
    eventually(&format!("{} says that the session is gone", node.name), LOST, async || {
        let (status, code) = node.asks(session).await;
        match (status, code.as_str()) {
            (400, "InvalidMcpSession.NotFound") => true,
            (502 | 503, code) if code.starts_with("ServiceUnavailable.") => false,
            other => panic!("{} says {other:?} of a session whose server has died\n{}", node.name, node.log()),
        }
    })
    .await
}

/// Our client, which comes back quickly.
pub(crate) fn client(address: SocketAddr) -> Agb {
    let options = Options::new().api_key(KEY).endpoint(format!("http://{address}")).tune(|config| {
        config.backoff_first = Duration::from_millis(20);
        config.backoff_most = Duration::from_millis(200);
        config.give_up = Duration::from_secs(60);
    });
    Agb::new(&options).expect("an account")
}

pub(crate) async fn create(agb: &Agb) -> Session {
    let wanted = CreateSession { image_id: "agb-code-space-1".into(), ..Default::default() };
    agb.create(wanted).await.expect("a session")
}

/// A run of this many numbered lines, each checked; `seen` hears how many have come. Gives how often it was found again.
pub(crate) async fn run_lines(session: &Session, name: &str, lines: usize, mut seen: impl FnMut(usize)) -> u32 {
    let code = format!(
        "import time\nfor i in range({lines}):\n    print(f'{{i}} of {name}', flush=True)\n    time.sleep(0.02)"
    );
    let mut run = session.code().run(code, "python").stream().expect("it is sent");
    let mut out = String::new();
    while let Some(event) = run.next().await {
        match event {
            RunEvent::Stdout(chunk) => {
                out.push_str(&chunk);
                seen(out.lines().count());
            }
            RunEvent::Stderr(chunk) => panic!("{name}: {chunk}"),
            _ => {}
        }
    }
    let result = run.finish().await;
    assert!(result.success, "{name}: {result:?}");
    assert_eq!(out, (0..lines).map(|i| format!("{i} of {name}\n")).collect::<String>(), "each line once");
    result.interruptions
}

/// A way between two processes that can be closed and opened.
pub(crate) struct Edge {
    pub(crate) address: SocketAddr,
    way: watch::Sender<Way>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    /// Whoever comes hears nothing, as from a network that swallows packets.
    Silent,
    /// Every connection ends at once.
    Refusing,
}

impl Edge {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let (way, watching) = watch::channel(Way::Open);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(pass(client, target, watching.clone()));
            }
        });
        Self { address, way, task }
    }

    pub(crate) fn silence(&self) {
        self.way.send_replace(Way::Silent);
    }

    pub(crate) fn refuse(&self) {
        self.way.send_replace(Way::Refusing);
    }

    pub(crate) fn open(&self) {
        self.way.send_replace(Way::Open);
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes on what comes while the way is open. What was under way when it was closed does not come back.
async fn pass(mut client: TcpStream, target: SocketAddr, mut way: watch::Receiver<Way>) {
    if *way.borrow_and_update() == Way::Open {
        let Ok(mut server) = TcpStream::connect(target).await else { return };
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            _ = way.changed() => {}
        }
    }
    // Held until the way is another; the sender lives as long as the test.
    if *way.borrow() == Way::Silent {
        let _ = way.changed().await;
    }
}

pub(crate) fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|port| port.local_addr()).expect("a free port")
}
