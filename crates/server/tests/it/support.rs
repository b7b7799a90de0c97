//! A server in this process, and the smallest clients that can talk to it.

mod contexts;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use agb_sandbox::remove_tree;
use agb_server::{Config, MemoryRegistry, RegistryUrl, Server, Warm};
use agb_testkit::leftovers::of_the_dead;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as WsError;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub(crate) const KEY: &str = "the-key-of-this-test";

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A server in this process, on a port of its own.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) http: reqwest::Client,
    pub(crate) data_dir: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
    _removed: [Removed; 2],
    /// Where the server that has the sessions listens.
    owner: SocketAddr,
    /// The server that clients call, where tests run one hop away from the sessions.
    entry: Option<Box<Self>>,
}

/// Whether clients call another server than the one that has the sessions: `AGB_TEST_ENTRY=other`.
pub(crate) fn is_one_hop_away() -> bool {
    std::env::var("AGB_TEST_ENTRY").is_ok_and(|entry| entry == "other")
}

/// The answer to an HTTP call.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

/// A session, as its client knows it.
#[derive(Clone, Debug)]
pub(crate) struct TestSession {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) ws_url: String,
    pub(crate) link_url: String,
}

/// A WebSocket client.
pub(crate) struct Socket(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::with_data_in(&std::env::temp_dir(), change).await
    }

    /// One whose folder for data lies in another than the one for temporary files.
    pub(crate) async fn with_data_in(parent: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Self::config_in(parent);
        change(&mut config);
        // Servers do not trust each other's certificates for tests.
        let can_join = config.cluster.registry.is_none() && config.upstream.url.is_none() && config.tls.is_none();
        if is_one_hop_away() && can_join { Self::one_hop_away(config).await } else { Self::serve(config).await }
    }

    /// Two servers with the same settings: the one that clients call has no place for sessions, so the other one gets them.
    async fn one_hop_away(mut config: Config) -> Self {
        join_cluster(&mut config, &MemoryRegistry::default(), "owner");
        let mut at_entry = config.clone();
        at_entry.data_dir = Self::config_in(config.data_dir.parent().expect("a folder")).data_dir;
        at_entry.contexts.folder = None;
        at_entry.limits.max_sessions = 0;
        at_entry.warm = Warm { at_start: 0, most: 0, ..at_entry.warm };
        at_entry.cluster.node_name = Some("entry".to_owned());
        let owner = Self::serve(config).await;
        owner.is_ready().await;
        let entry = Self::serve(at_entry).await;
        entry.is_ready().await;
        Self { address: entry.address, entry: Some(Box::new(entry)), ..owner }
    }

    /// The settings of a server that has a folder of its own in this one.
    pub(crate) fn config_in(parent: &Path) -> Config {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if next == 0 {
            drop(of_the_dead(parent, "agb-server-it").into_iter().map(Removed).collect::<Vec<_>>());
        }
        let data_dir = parent.join(format!("agb-server-it-{}-{next}", std::process::id()));
        std::fs::create_dir_all(&data_dir).expect("a folder");
        let mut config = Config::new(KEY.into());
        config.data_dir = data_dir.clone();
        config.contexts.folder = Some(contexts_dir(&data_dir));
        config.cache_dir = concat!(env!("CARGO_TARGET_TMPDIR"), "/cache").into();
        if let Ok(name) = std::env::var("AGB_TEST_ISOLATION") {
            config.isolation = name.parse().expect("a level");
        }
        // Tests look at the folders and processes of sessions; `pool` has those that nobody has taken.
        config.warm.most = 0;
        config
    }

    /// Serves with these settings.
    pub(crate) async fn serve(config: Config) -> Self {
        let data_dir = config.data_dir.clone();
        let removed = [Removed(data_dir.clone()), Removed(contexts_dir(&data_dir))];
        let server = Server::new(config).expect("a server");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move { server.serve(listener, async { drop(stopped.await) }).await });
        let http = http_client().timeout(PATIENCE).build().expect("a client");
        Self { address, http, data_dir, stop: Some(stop), serving, _removed: removed, owner: address, entry: None }
    }

    /// Waits until it takes sessions.
    pub(crate) async fn is_ready(&self) {
        let begin = std::time::Instant::now();
        while self.http.get(self.url("/readyz")).send().await.map_or(0, |answer| answer.status().as_u16()) != 200 {
            assert!(begin.elapsed() < PATIENCE, "it is not ready");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        // What a server tells of itself is asked of the one that is tested.
        let address = if path == "/metrics" { self.owner } else { self.address };
        format!("http://{address}{path}")
    }

    /// A call with the key.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        let request = self.http.post(self.url(path)).bearer_auth(KEY).json(&body);
        Reply::of(request.send().await.expect("an answer")).await
    }

    /// A call with this key and nothing in it.
    pub(crate) async fn post_with(&self, key: &str, path: &str) -> reqwest::Response {
        self.http.post(self.url(path)).bearer_auth(key).json(&json!({})).send().await.expect("an answer")
    }

    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Reply {
        let request = self.http.get(self.url(path)).bearer_auth(KEY).query(query);
        Reply::of(request.send().await.expect("an answer")).await
    }

    pub(crate) async fn create(&self) -> TestSession {
        self.create_with(json!({})).await
    }

    pub(crate) async fn create_with(&self, body: Value) -> TestSession {
        TestSession::of(&self.post("/mcp/createSession?imageId=agb-code-space-1", body).await.ok())
    }

    /// A tool by the link, as the published clients call it; `Err` is the text of a tool's error.
    pub(crate) async fn call(&self, session: &TestSession, tool: &str, args: Value) -> Result<String, String> {
        let request =
            self.http.post(format!("{}/callTool", session.link_url)).header("X-Access-Token", &session.token).json(
                &json!({ "args": args, "server": "any", "requestId": "r", "tool": tool, "token": session.token }),
            );
        let data = Reply::of(request.send().await.expect("an answer")).await.ok();
        let text = data["result"]["content"][0]["text"].as_str().expect("a text").to_owned();
        match data["result"]["isError"].as_bool().expect("isError") {
            false => Ok(text),
            true => Err(text),
        }
    }

    /// The token of an access to this session.
    pub(crate) async fn access(&self, session: &TestSession, asked: Value) -> String {
        let request = self.http.post(format!("{}/browserAccess", session.link_url)).json(&asked);
        let request = request.header("X-Access-Token", &session.token);
        let access = Reply::of(request.send().await.expect("an answer")).await.ok();
        access["token"].as_str().expect("a token").to_owned()
    }

    /// `run_code`, decoded.
    pub(crate) async fn run_code(&self, session: &TestSession, language: &str, code: &str) -> Value {
        let args = json!({ "code": code, "language": language, "timeout_s": 20 });
        let text = self.call(session, "run_code", args).await.expect("a run");
        serde_json::from_str(&text).expect("JSON")
    }

    /// What the tool `shell` says of a command, errors too.
    pub(crate) async fn shell(&self, session: &TestSession, command: &str) -> Value {
        let args = json!({ "command": command, "timeout_ms": 60_000 });
        let (Ok(text) | Err(text)) = self.call(session, "shell", args).await;
        serde_json::from_str(&text).unwrap_or(json!(text))
    }

    /// What a command prints that has to succeed.
    pub(crate) async fn output_of(&self, session: &TestSession, command: &str) -> String {
        let answer = self.shell(session, command).await;
        assert_eq!(answer["exit_code"], 0, "{command}: {answer}");
        answer["stdout"].as_str().expect("a text").to_owned()
    }

    /// Releases a session and waits until it is gone.
    pub(crate) async fn release(&self, session: &TestSession) {
        self.post("/mcp/releaseSession", json!({ "sessionId": session.id })).await.ok();
    }

    /// Ends the server and waits for it.
    pub(crate) async fn stop(mut self) {
        if let Some(entry) = self.entry.take() {
            Box::pin(entry.stop()).await;
        }
        drop(self.stop.take());
        tokio::time::timeout(PATIENCE, self.serving).await.expect("the end").expect("no panic");
        // The lock of a server's name in its cluster stays: whoever comes next under this name must find the same file.
        for entry in std::fs::read_dir(&self.data_dir).expect("the folder").flatten() {
            if entry.file_name().to_string_lossy().starts_with("agb-node-") {
                std::fs::remove_file(entry.path()).expect("a lock");
            }
        }
        let left: Vec<_> = std::fs::read_dir(&self.data_dir).expect("the folder").flatten().collect();
        assert!(left.is_empty(), "files are left: {left:?}");
    }
}

/// A folder that goes with this value, also when the test fails.
pub(crate) struct Removed(pub(crate) PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        remove_tree(&self.0).unwrap_or_else(|error| println!("{} is left: {error}", self.0.display()));
    }
}

impl Reply {
    pub(crate) async fn of(response: reqwest::Response) -> Self {
        let status = response.status().as_u16();
        let header = response.headers().get("x-request-id").cloned();
        let text = response.text().await.expect("a body");
        let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}: {text:?} is not JSON"));
        // Every answer has the envelope, whatever else it says.
        assert_eq!(body["httpStatusCode"], status, "{body}");
        assert_eq!(body["success"], status == 200, "{body}");
        assert!(body["code"].is_string() && body["message"].is_string() && body.get("data").is_some(), "{body}");
        assert_eq!(header.expect("x-request-id").to_str().expect("text"), body["requestId"], "{body}");
        Self { status, body }
    }

    /// The data of an answer that is no error.
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body["data"].clone()
    }

    /// Checks an error.
    #[track_caller]
    pub(crate) fn is_error(&self, status: u16, code: &str, part: &str) {
        let message = self.body["message"].as_str().unwrap_or_default();
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
        assert!(message.contains(part), "{message:?} does not contain {part:?}");
        assert!(!self.body.to_string().contains(KEY), "the key is in {}", self.body);
    }
}

impl TestSession {
    pub(crate) fn of(data: &Value) -> Self {
        let text = |name: &str| data[name].as_str().unwrap_or_else(|| panic!("{name} in {data}")).to_owned();
        Self { id: text("sessionId"), token: text("token"), ws_url: text("wsUrl"), link_url: text("linkUrl") }
    }

    pub(crate) async fn connect(&self) -> Socket {
        self.try_connect(Some(&self.token)).await.expect("a connection")
    }

    /// Connects; the error is the HTTP status of the refusal and its body.
    pub(crate) async fn try_connect(&self, token: Option<&str>) -> Result<Socket, (u16, Value)> {
        let mut request = self.ws_url.as_str().into_client_request().expect("a URL");
        if let Some(token) = token {
            request.headers_mut().insert("X-Access-Token", token.parse().expect("a header"));
        }
        match tokio_tungstenite::connect_async(request).await {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(WsError::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                Err((response.status().as_u16(), serde_json::from_slice(&body).unwrap_or_default()))
            }
            Err(error) => panic!("no connection: {error}"),
        }
    }
}

impl Socket {
    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.0.send(Message::text(text.into())).await.expect("sent");
    }

    /// Sends a request about a run.
    pub(crate) async fn request(&mut self, id: &str, data: Value) {
        self.send(json!({ "invocationId": id, "source": "SDK", "target": "any", "data": data }).to_string()).await;
    }

    /// Starts a run as the published clients do.
    pub(crate) async fn start(&mut self, id: &str, language: &str, code: &str) {
        self.start_with(id, json!({ "language": language, "timeoutS": 20, "code": code })).await;
    }

    pub(crate) async fn start_with(&mut self, id: &str, params: Value) {
        self.request(id, json!({ "method": "run_code", "mode": "stream", "params": params })).await;
    }

    /// The next frame that is text; `None` when the connection ends.
    pub(crate) async fn text(&mut self) -> Option<String> {
        tokio::time::timeout(PATIENCE, async {
            loop {
                match self.0.next().await? {
                    Ok(Message::Text(text)) => return Some(text.to_string()),
                    Ok(Message::Close(_)) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        })
        .await
        .expect("a frame in time")
    }

    /// The next event: its run and its data.
    pub(crate) async fn event(&mut self) -> (String, Value) {
        let text = self.text().await.expect("a frame");
        let mut frame: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(frame["target"], "SDK", "{frame}");
        (frame["invocationId"].as_str().expect("an id").to_owned(), frame["data"].take())
    }

    /// Everything of the one run that goes on, its end last, without [greetings](is_greeting).
    pub(crate) async fn until_end(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let (_, data) = self.event().await;
            let end = data["phase"] == "end";
            if is_greeting(&data) {
                continue;
            }
            events.push(data);
            if end {
                return events;
            }
        }
    }

    /// How the connection ends, everything before it unread: the close code, or nothing.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        tokio::time::timeout(PATIENCE, async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        })
        .await
        .expect("the end in time")
    }
}

/// Whether this only says that the run is there, to somebody who has come back to it or watches it. It has no number.
pub(crate) fn is_greeting(event: &Value) -> bool {
    (event["eventType"] == "accepted" || event["eventType"] == "started") && event["seq"].is_null()
}

/// Makes a server one of a cluster whose members tell each other five times a second how they are.
pub(crate) fn join_cluster(config: &mut Config, registry: &MemoryRegistry, name: &str) {
    config.cluster.registry = Some(RegistryUrl::Memory(registry.clone()));
    config.cluster.node_name = Some(name.to_owned());
    config.cluster.beat = Duration::from_millis(200);
    // Far more than a busy machine takes from one of them to the next.
    config.cluster.lost_after = Duration::from_secs(10);
}

/// Where the contexts of a test server are.
pub(crate) fn contexts_dir(data_dir: &Path) -> PathBuf {
    data_dir.with_extension("contexts")
}

/// What the chunks of a stream say, joined.
pub(crate) fn text_of(events: &[Value], stream: &str) -> String {
    events.iter().filter(|event| event["eventType"] == stream).filter_map(|event| event["chunk"].as_str()).collect()
}

/// The working directories of the workspaces whose folders are in this one.
pub(crate) fn works(data_dir: &Path) -> Vec<PathBuf> {
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    let works = folders(data_dir).into_iter().flat_map(|root| folders(&root)).map(|session| session.join("work"));
    works.filter(|work| work.exists()).collect()
}

/// The working directory of the only session.
pub(crate) fn work(data_dir: &Path) -> PathBuf {
    let works = works(data_dir);
    let [work] = works.as_slice() else { panic!("not one session: {works:?}") };
    work.clone()
}

/// The processes, as this machine counts, whose working directory is one of the sessions', whatever they see it as.
pub(crate) fn programs(data_dir: &Path) -> Vec<u32> {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: PathBuf| path.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
    let works: Vec<_> = works(data_dir).into_iter().filter_map(identity).collect();
    let entries = std::fs::read_dir("/proc").expect("there is /proc").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| identity(format!("/proc/{pid}/cwd").into()).is_some_and(|at| works.contains(&at))).collect()
}

/// Whether a process lives. A zombie does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

/// Waits until something is so.
pub(crate) async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !check() {
        assert!(begin.elapsed() < PATIENCE, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An HTTP client of loopback. It speaks no TLS, but `reqwest` wants to know whose it would be where another crate of
/// the workspace asks for TLS without naming one.
pub(crate) fn http_client() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default(); // an error says that it was done before
    reqwest::Client::builder().no_proxy()
}
