//! etcd 3.4 and later as the registry, by its JSON gateway (`/v3/kv/*`): what is needed are transactions and ranges.
//!
//! No watch, no lease, no lock: each call is one transaction that compares a revision, or one linearizable range.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agb_protocol::Secret;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use data_encoding::BASE64;
use hyper::body::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::http::HttpClient;
use super::record::Record;
use super::snapshot::{Away, Beat, Entry, Rev, Snapshot};
use crate::lock::lock;
use crate::shorten::said;

/// How long one member of etcd may take. 2 s: an election of etcd's takes one, and the next member is asked then. All of
/// them together may take no longer than a call (`Timing::answer`); the next call goes on with those that are left.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where etcd is, as a URL says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdUrl {
    /// The members, each a URL without a path.
    endpoints: Vec<String>,
    /// Before all keys, without slashes at its ends.
    prefix: String,
}

impl EtcdUrl {
    /// Reads what comes after `etcd://` or `etcds://`.
    pub(crate) fn parse(rest: &str, has_tls: bool) -> Result<Self, String> {
        let (hosts, prefix) = rest.split_once('/').unwrap_or((rest, "agb"));
        let prefix = prefix.trim_matches('/');
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
        if prefix.is_empty() || prefix.len() > 200 || !prefix.bytes().all(is_plain) {
            return Err("the prefix after the hosts has letters, digits, - . _ and /, such as /agb".to_owned());
        }
        if hosts.contains('@') {
            return Err("the user and password are given by AGB_CLUSTER_USER and AGB_CLUSTER_PASSWORD".to_owned());
        }
        let scheme = if has_tls { "https" } else { "http" };
        let endpoint = |host: &str| {
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            let url = if has_port { format!("{scheme}://{host}") } else { format!("{scheme}://{host}:2379") };
            super::is_address(&url).then_some(url).ok_or_else(|| format!("{host:?} is not a host of etcd"))
        };
        Ok(Self { endpoints: hosts.split(',').map(endpoint).collect::<Result<_, _>>()?, prefix: prefix.to_owned() })
    }
}

impl EtcdUrl {
    /// Beside the records of the servers, below the same prefix.
    pub(super) fn aside(&self, name: &str) -> Self {
        Self { prefix: format!("{}/{name}", self.prefix), ..self.clone() }
    }
}

/// etcd as the registry.
pub(crate) struct Etcd {
    endpoints: Vec<String>,
    /// All keys of this cluster begin so.
    prefix: String,
    client: HttpClient,
    user: Option<(String, Secret)>,
    token: Mutex<Option<Secret>>,
    /// The member that answered last, or the one after those that did not.
    current: AtomicUsize,
}

/// A member's turn. When it ends without an answer, also because nobody waits for it any longer, the next call begins with
/// the next member: otherwise a few that say nothing would keep all calls from the others.
struct Turn<'a> {
    etcd: &'a Etcd,
    index: usize,
}

impl Turn<'_> {
    /// It has answered.
    fn keep(self) {
        self.etcd.current.store(self.index, Ordering::Relaxed);
        std::mem::forget(self); // it owns nothing
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let next = (self.index + 1) % self.etcd.endpoints.len();
        // Unless another call has found one that answers.
        let _ = self.etcd.current.compare_exchange(self.index, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Why one member has no answer.
enum Failure {
    /// Another member may have one.
    Member(String),
    /// The token has run out, or was another's.
    Token,
    /// Every member says the same.
    Refused(String),
}

#[derive(Deserialize)]
struct Header {
    #[serde(deserialize_with = "number")]
    revision: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Range {
    kvs: Vec<KeyValue>,
}

#[derive(Deserialize)]
struct KeyValue {
    key: String,
    #[serde(deserialize_with = "number")]
    mod_revision: u64,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct RangeAnswer {
    header: Header,
    #[serde(flatten)]
    range: Range,
}

#[derive(Deserialize)]
struct TxnAnswer {
    header: Header,
    #[serde(default)]
    succeeded: bool,
    #[serde(default)]
    responses: Vec<TxnResponse>,
}

#[derive(Deserialize)]
struct TxnResponse {
    response_range: Option<Range>,
}

#[derive(Deserialize)]
struct AuthAnswer {
    token: String,
}

/// Some versions send one of the texts, some both.
#[derive(Deserialize)]
struct ErrorAnswer {
    #[serde(default)]
    message: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    code: u32,
}

impl Etcd {
    pub(crate) fn new(url: &EtcdUrl, client: HttpClient, user: Option<(String, Secret)>) -> Self {
        Self {
            endpoints: url.endpoints.clone(),
            prefix: format!("{}/nodes/", url.prefix),
            client,
            user,
            token: Mutex::default(),
            current: AtomicUsize::new(0),
        }
    }

    pub(crate) async fn beat(&self, name: &str, mine: &Record, at: Option<Rev>) -> Result<Beat, Away> {
        let request = json!({
            "compare": [self.compare(name, at)],
            "success": [{ "request_put": self.put(name, mine) }, { "request_range": self.all() }],
            "failure": [{ "request_range": self.all() }],
        });
        let answer: TxnAnswer = self.call("/v3/kv/txn", &request).await?;
        let rev = Rev(answer.header.revision);
        let range = answer.responses.into_iter().rev().find_map(|response| response.response_range);
        let all = self.snapshot(rev, range.unwrap_or_default());
        Ok(if answer.succeeded { Beat::Kept(rev, all) } else { Beat::Refused(all) })
    }

    /// Ranges are linearizable where nothing else is asked for.
    pub(crate) async fn read(&self) -> Result<Snapshot, Away> {
        let answer: RangeAnswer = self.call("/v3/kv/range", &self.all()).await?;
        Ok(self.snapshot(Rev(answer.header.revision), answer.range))
    }

    pub(crate) async fn replace(&self, name: &str, at: Rev, with: &Record) -> Result<bool, Away> {
        let then = json!({ "request_put": self.put(name, with) });
        self.if_at(name, at, then).await
    }

    pub(crate) async fn remove(&self, name: &str, at: Rev) -> Result<bool, Away> {
        let then = json!({ "request_delete_range": { "key": self.key(name) } });
        self.if_at(name, at, then).await
    }

    /// The bytes of the database of the member that answers, and its version.
    pub(crate) async fn status(&self) -> Result<(String, u64), Away> {
        #[derive(Deserialize)]
        struct Status {
            version: String,
            #[serde(rename = "dbSize", default, deserialize_with = "number")]
            db_size: u64,
        }
        let status: Status = self.call("/v3/maintenance/status", &json!({})).await?;
        Ok((status.version, status.db_size))
    }

    async fn if_at(&self, name: &str, at: Rev, then: Value) -> Result<bool, Away> {
        let request = json!({ "compare": [self.compare(name, Some(at))], "success": [then] });
        let answer: TxnAnswer = self.call("/v3/kv/txn", &request).await?;
        Ok(answer.succeeded)
    }

    fn key(&self, name: &str) -> String {
        BASE64.encode(format!("{}{name}", self.prefix).as_bytes())
    }

    fn put(&self, name: &str, record: &Record) -> Value {
        json!({ "key": self.key(name), "value": BASE64.encode(&record.to_bytes()) })
    }

    fn compare(&self, name: &str, at: Option<Rev>) -> Value {
        let key = self.key(name);
        match at {
            Some(Rev(rev)) => {
                json!({ "key": key, "target": "MOD", "result": "EQUAL", "mod_revision": rev.to_string() })
            }
            None => json!({ "key": key, "target": "VERSION", "result": "EQUAL", "version": "0" }),
        }
    }

    /// Every key that begins with the prefix: up to the same with its last byte, a slash, one higher.
    fn all(&self) -> Value {
        let end = format!("{}0", self.prefix.trim_end_matches('/'));
        json!({ "key": BASE64.encode(self.prefix.as_bytes()), "range_end": BASE64.encode(end.as_bytes()) })
    }

    fn snapshot(&self, rev: Rev, range: Range) -> Snapshot {
        let entry = |kv: KeyValue| {
            let key = BASE64.decode(kv.key.as_bytes()).ok()?;
            let name = std::str::from_utf8(&key).ok()?.strip_prefix(&self.prefix)?.to_owned();
            let record = match BASE64.decode(kv.value.as_bytes()) {
                Ok(bytes) => Record::parse(&bytes).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            Some(Entry { name, rev: Rev(kv.mod_revision), record })
        };
        Snapshot { rev, entries: range.kvs.into_iter().filter_map(entry).collect() }
    }

    /// Asks one member after the other, from the one on that answered last.
    async fn call<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Away> {
        let body = Bytes::from(body.to_string());
        let first = self.current.load(Ordering::Relaxed);
        let mut problems = Vec::new();
        for step in 0..self.endpoints.len() {
            let index = (first + step) % self.endpoints.len();
            let endpoint = &self.endpoints[index];
            let away = |problem: String| Away(format!("etcd at {endpoint}: {problem}"));
            let turn = Turn { etcd: self, index };
            match self.call_member(endpoint, path, &body).await {
                Ok(answer) => {
                    turn.keep();
                    return serde_json::from_slice(&answer)
                        .map_err(|error| away(format!("the answer is not etcd's: {}", said(&error))));
                }
                Err(Failure::Member(problem)) => problems.push(format!("{endpoint}: {problem}")),
                Err(Failure::Token) => return Err(away("it does not take its own token".to_owned())),
                Err(Failure::Refused(problem)) => return Err(away(problem)),
            }
        }
        Err(Away(format!("no member of etcd answers: {}", problems.join("; "))))
    }

    async fn call_member(&self, endpoint: &str, path: &str, body: &Bytes) -> Result<Bytes, Failure> {
        let Some(user) = &self.user else { return self.send(endpoint, path, body, None).await };
        let known = self.token();
        if let Some(token) = known {
            match self.send(endpoint, path, body, Some(&token)).await {
                Err(Failure::Token) => {}
                outcome => return outcome,
            }
        }
        let login = json!({ "name": user.0, "password": user.1.expose() });
        let answer = self.send(endpoint, "/v3/auth/authenticate", &Bytes::from(login.to_string()), None).await?;
        let answer: AuthAnswer = serde_json::from_slice(&answer)
            .map_err(|error| Failure::Refused(format!("the answer to the password is not etcd's: {}", said(&error))))?;
        let token = Secret::from(answer.token);
        *lock(&self.token) = Some(token.clone());
        self.send(endpoint, path, body, Some(&token)).await
    }

    fn token(&self) -> Option<Secret> {
        lock(&self.token).clone()
    }

    async fn send(&self, endpoint: &str, path: &str, body: &Bytes, token: Option<&Secret>) -> Result<Bytes, Failure> {
        let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, token.expose());
        }
        let request = request
            .body(Body::from(body.clone()))
            .map_err(|_| Failure::Refused("its token cannot be sent in a header".to_owned()))?;
        match tokio::time::timeout(PATIENCE, self.client.call(endpoint, request)).await {
            Err(_) => Err(Failure::Member(format!("no answer within {} s", PATIENCE.as_secs()))),
            Ok(Err(error)) => Err(Failure::Member(error.to_string())),
            Ok(Ok((StatusCode::OK, body))) => Ok(body),
            Ok(Ok((status, body))) => Err(failure(status, &body)),
        }
    }
}

/// What an error of etcd's means.
fn failure(status: StatusCode, body: &Bytes) -> Failure {
    let Ok(error) = serde_json::from_slice::<ErrorAnswer>(body) else {
        return Failure::Refused(format!("HTTP {status}, which is not etcd's JSON gateway: compare --cluster"));
    };
    const UNAUTHENTICATED: u32 = 16;
    let message = if error.message.is_empty() { &error.error } else { &error.message };
    match status {
        _ if error.code == UNAUTHENTICATED || message.contains("invalid auth token") => Failure::Token,
        _ if message.contains("revision of auth store is old") => Failure::Token,
        _ if message.contains("user name is empty") => {
            Failure::Refused("it wants a user: set AGB_CLUSTER_USER and AGB_CLUSTER_PASSWORD".to_owned())
        }
        _ if message.contains("authentication failed") => {
            Failure::Refused("it does not know this user with this password".to_owned())
        }
        _ if message.contains("permission denied") => {
            Failure::Refused("the user may not read and write the prefix of --cluster".to_owned())
        }
        _ if message.contains("authentication is not enabled") => {
            Failure::Refused("it has no users: take out AGB_CLUSTER_USER".to_owned())
        }
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Failure::Member(format!("HTTP {status}, {}", said(message)))
        }
        _ => Failure::Refused(format!("HTTP {status}, {}", said(message))),
    }
}

/// A 64-bit number, which JSON of protocol buffers has as a text.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(u64),
    }
    match Either::deserialize(deserializer)? {
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
        Either::Number(number) => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_members_and_a_prefix() {
        let url = EtcdUrl::parse("a:2379,b,[::1]:1/team/agb/", true).expect("a URL");
        assert_eq!(url.endpoints, ["https://a:2379", "https://b:2379", "https://[::1]:1"]);
        assert_eq!(url.prefix, "team/agb");
        assert_eq!(EtcdUrl::parse("a", false).expect("a URL").prefix, "agb");
        for bad in ["", "a,,b", "/agb", "a/", "a/x y", "u:p@a:1/agb", "a b/agb"] {
            assert!(EtcdUrl::parse(bad, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn errors_say_what_to_do() {
        let of = |status: u16, text: &str| {
            let body = Bytes::copy_from_slice(text.as_bytes());
            failure(StatusCode::from_u16(status).expect("a status"), &body)
        };
        let text = r#"{"error":"etcdserver: user name is empty","message":"etcdserver: user name is empty","code":3}"#;
        // `error` and `message` are the same text; older ones send only `error`.
        let one = r#"{"error":"etcdserver: user name is empty","code":3}"#;
        for text in [text, one] {
            assert!(matches!(of(400, text), Failure::Refused(said) if said.contains("AGB_CLUSTER_USER")), "{text}");
        }
        assert!(matches!(of(401, r#"{"error":"etcdserver: invalid auth token","code":16}"#), Failure::Token));
        assert!(matches!(of(503, r#"{"error":"etcdserver: no leader","code":14}"#), Failure::Member(_)));
        assert!(matches!(of(404, "404 page not found"), Failure::Refused(said) if said.contains("--cluster")));
        let long = json!({ "error": "e".repeat(16 << 20), "code": 2 }).to_string();
        for status in [400, 503] {
            let (Failure::Refused(said) | Failure::Member(said)) = of(status, &long) else { panic!("{status}") };
            assert!(said.contains("eee") && said.len() < 500, "{status}: {} bytes", said.len());
        }
    }

    #[test]
    fn answers_are_read_as_etcd_writes_them() {
        let text = r#"{"header":{"cluster_id":"1","member_id":"2","revision":"9","raft_term":"2"},"succeeded":true,
            "responses":[{"response_put":{"header":{"revision":"9"}}},{"response_range":{"header":{"revision":"9"},
            "kvs":[{"key":"YWdiL25vZGVzL2E=","create_revision":"2","mod_revision":"9","version":"3","value":"e30="}],
            "count":"1"}}]}"#;
        let answer: TxnAnswer = serde_json::from_str(text).expect("an answer");
        let url = EtcdUrl::parse("a", false).expect("a URL");
        let etcd = Etcd::new(&url, HttpClient::new(None, "").expect("a client"), None);
        let range = answer.responses.into_iter().rev().find_map(|response| response.response_range);
        let all = etcd.snapshot(Rev(answer.header.revision), range.expect("a range"));
        assert_eq!((all.entries.len(), all.entries[0].name.as_str(), all.entries[0].rev), (1, "a", Rev(9)));
        assert!(all.entries[0].record.is_err(), "an empty object is not a record");
        let empty: TxnAnswer =
            serde_json::from_str(r#"{"header":{"revision":"1"},"responses":[{"response_range":{}}]}"#)
                .expect("fields with their default are left out");
        assert!(!empty.succeeded);
    }

    #[tokio::test]
    async fn members_that_say_nothing_do_not_keep_calls_from_those_that_answer() {
        use std::io::{Read, Write};
        use std::net::TcpListener;
        let listen = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let members = [listen(), listen(), listen()];
        let hosts: Vec<_> = members.iter().map(|member| member.local_addr().expect("bound").to_string()).collect();
        let [first, second, third] = members;
        let server = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut socket, _) = third.accept().expect("a connection");
                let mut head = [0; 4096];
                assert!(socket.read(&mut head).expect("a request") > 0);
                let body = r#"{"header":{"revision":"1"}}"#;
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                socket.write_all(answer.as_bytes()).expect("it is read");
            }
        });
        let url = EtcdUrl::parse(&hosts.join(","), false).expect("a URL");
        let etcd = Etcd::new(&url, HttpClient::new(None, "").expect("a client"), None);
        for _ in 0..2 {
            // Both take the connection and say nothing; whoever waits gives up before the member's time is over.
            tokio::time::timeout(Duration::from_millis(50), etcd.read()).await.expect_err("nobody answers");
        }
        for _ in 0..2 {
            etcd.read().await.expect("the third one answers, and is asked first from now on");
        }
        server.join().expect("no panic");
        drop((first, second));
    }
}
