//! Plays the hand-written transcripts: the real server with real interpreters is the service, the file is the client.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::server::TestServer;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A frame that has not come by then never will.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn every_transcript_holds_at_the_server() {
    let server = TestServer::start().await;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let mut played = 0;
    for entry in folder.read_dir().expect("the transcripts are there") {
        let path = entry.expect("a readable folder").path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let steps: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("the core read it")).collect();
        if !steps[0]["plays"].as_array().is_some_and(|players| players.contains(&json!("server"))) {
            continue;
        }
        let session = server.create_session().await;
        let offered = session["extensions"].as_array().cloned().unwrap_or_default();
        for extension in steps[0]["extensions"].as_array().into_iter().flatten() {
            assert!(offered.contains(extension), "the server does not offer {extension}");
        }
        let mut player = Player::new(&session, &steps).await;
        for (index, step) in steps.iter().enumerate().skip(1) {
            player.at = format!("{}:{}", path.display(), index + 1);
            player.play(step).await;
        }
        player.nothing_more().await;
        played += 1;
    }
    assert!(played >= 6, "only {played} transcripts were played");
    server.stop().await;
}

struct Player {
    url: String,
    token: String,
    socket: Socket,
    at: String,
    invocations: BTreeMap<String, String>,
    /// What has come of each run and was not expected yet, joined where one chunk follows another.
    came: BTreeMap<String, Vec<Value>>,
}

impl Player {
    async fn new(session: &Value, steps: &[Value]) -> Self {
        let text = |key: &str| session[key].as_str().expect("the session has it").to_owned();
        let (url, token) = (text("wsUrl"), text("token"));
        let names = steps.iter().filter_map(|step| step["run"].as_str());
        let invocations = names.enumerate().map(|(at, name)| (name.to_owned(), format!("{:032x}", at + 1))).collect();
        let socket = connect(&url, &token).await;
        Self { url, token, socket, at: String::new(), invocations, came: BTreeMap::new() }
    }

    async fn play(&mut self, step: &Value) {
        if let Some(frame) = step.get("client") {
            let text = self.fill(frame).to_string();
            self.socket.send(Message::text(text)).await.expect("the server reads");
        } else if let Some(frame) = step.get("server") {
            let wanted = self.fill(frame);
            self.expect(&wanted).await;
        } else if step["cut"] == json!(true) {
            self.socket = connect(&self.url, &self.token).await;
        }
        // What the application does and reads is the client's affair.
    }

    /// Reads until the run's next frame is whole: a chunk may come in pieces, and other runs may come between.
    async fn expect(&mut self, wanted: &Value) {
        let invocation = wanted["invocationId"].as_str().expect("a run's id").to_owned();
        loop {
            let came = self.came.entry(invocation.clone()).or_default();
            if let Some(first) = came.first()
                && (came.len() > 1 || length(first) >= length(wanted))
            {
                let got = came.remove(0);
                assert!(matches(&got, wanted), "{}:\n got    {got}\n wanted {wanted}", self.at);
                return;
            }
            let frame = self.next().await;
            let of = frame["invocationId"].as_str().unwrap_or_default().to_owned();
            assert!(self.invocations.values().any(|known| *known == of), "{}: of no run of ours: {frame}", self.at);
            join(self.came.entry(of).or_default(), frame);
        }
    }

    async fn next(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await;
            match message.unwrap_or_else(|_| panic!("{}: nothing came within {PATIENCE:?}", self.at)) {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).expect("the server sends JSON"),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{}: {other:?} instead of a frame", self.at),
            }
        }
    }

    /// Nothing was said beyond the transcript; a heartbeat in text has no answer, or one that says nothing of a run.
    async fn nothing_more(mut self) {
        let left: Vec<_> = self.came.values().flatten().collect();
        assert!(left.is_empty(), "{}: {left:?} came as well", self.at);
        self.socket.send(Message::text(r#"{"type":"ping"}"#)).await.expect("the server reads");
        self.socket.close(None).await.expect("the server reads");
        while let Some(message) = self.socket.next().await {
            let of_a_run = matches!(&message, Ok(Message::Text(text)) if text.as_str() != r#"{"type":"pong"}"#);
            assert!(!of_a_run, "{}: {message:?} came as well", self.at);
        }
    }

    fn fill(&self, frame: &Value) -> Value {
        match frame {
            Value::String(word) => match word.strip_prefix('$').and_then(|name| self.invocations.get(name)) {
                Some(invocation) => invocation.as_str().into(),
                None => frame.clone(),
            },
            Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), self.fill(value))).collect(),
            other => other.clone(),
        }
    }
}

async fn connect(url: &str, token: &str) -> Socket {
    let mut request = url.into_client_request().expect("a URL");
    request.headers_mut().insert("x-access-token", token.parse().expect("a header's value"));
    connect_async(request).await.expect("the server takes the token").0
}

/// Chunks of one stream that follow one another are one.
fn join(came: &mut Vec<Value>, frame: Value) {
    if let (Some(last), Some(chunk)) = (came.last_mut(), frame["data"]["chunk"].as_str())
        && last["data"]["eventType"] == frame["data"]["eventType"]
        && let Some(before) = last["data"]["chunk"].as_str()
    {
        let joined = format!("{before}{chunk}");
        last["data"]["chunk"] = joined.into();
        return;
    }
    came.push(frame);
}

fn length(frame: &Value) -> usize {
    frame["data"]["chunk"].as_str().map_or(0, str::len)
}

fn matches(got: &Value, wanted: &Value) -> bool {
    match (got, wanted) {
        (_, Value::String(word)) if word == "$any" => true,
        (Value::Number(_), Value::String(word)) if word == "$number" => true,
        (Value::String(_), Value::String(word)) if word == "$text" => true,
        (Value::Object(got), Value::Object(wanted)) => {
            got.len() == wanted.len()
                && wanted.iter().all(|(key, wanted)| got.get(key).is_some_and(|got| matches(got, wanted)))
        }
        _ => got == wanted,
    }
}
