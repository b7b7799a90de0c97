//! Links to ports of sessions.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{KEY, PATIENCE, Reply, TestServer, TestSession, is_one_hop_away};

/// A small server in the session: it answers by what it was asked, streams, and speaks enough WebSocket to greet.
const SERVER: &str = r#"
import base64, hashlib, http.server, json, os, socketserver, sys, time
HEADERS = sys.argv[2].split(',')
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *args): pass
    def do_GET(self):
        if self.headers.get('Upgrade', '').lower() == 'websocket':
            key = self.headers['Sec-WebSocket-Key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
            self.send_response(101)
            self.send_header('Upgrade', 'websocket')
            self.send_header('Connection', 'Upgrade')
            self.send_header('Sec-WebSocket-Accept', base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
            self.end_headers()
            head = self.rfile.read(2)
            mask = self.rfile.read(4)
            text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self.rfile.read(head[1] & 127)))
            self.wfile.write(bytes([0x81, len(text) + 5]) + b'echo ' + text)
            self.close_connection = True
            return
        if self.path.startswith('/quit'):
            os._exit(0)
        if self.path.startswith('/never'):
            time.sleep(600)
        length = int(self.headers.get('Content-Length', 0))
        body = self.rfile.read(length)
        answer = json.dumps({'method': self.command, 'path': self.path, 'headers': {k.lower(): v for k, v in self.headers.items()}, 'body': len(body), 'peer': self.client_address[1]}).encode()
        self.send_response(200)
        self.send_header('Content-Type', 'text/html')
        self.send_header('Content-Length', str(len(answer)))
        self.send_header('Set-Cookie', 'own=1')
        self.send_header('Set-Cookie', 'wide=1; Domain=example.org')
        for name in HEADERS: self.send_header(name, 'x')
        if self.path.startswith('/held'):
            self.end_headers()
            self.wfile.write(answer[:1])
            time.sleep(600)
        if self.path.startswith('/late'):
            self.end_headers()
            self.wfile.write(answer[:1])
            time.sleep(4)
            self.wfile.write(answer[1:])
            return
        self.end_headers()
        self.wfile.write(answer)
    do_POST = do_PUT = do_DELETE = do_GET
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
server = Server(('127.0.0.1', int(sys.argv[1])), Handler)
print('ready', flush=True)
server.serve_forever()
"#;

/// Headers that speak for more than an origin: no link's page has them.
const SHARED: [&str; 11] = [
    "Strict-Transport-Security",
    "Public-Key-Pins",
    "Expect-CT",
    "Alt-Svc",
    "Clear-Site-Data",
    "Service-Worker-Allowed",
    "NEL",
    "Report-To",
    "Reporting-Endpoints",
    "Set-Cookie2",
    "Set-Login",
];
/// Headers that speak for an origin, which is the server's where a link is a path.
const OF_ORIGIN: [&str; 7] = [
    "WWW-Authenticate",
    "Authentication-Info",
    "Accept-CH",
    "Critical-CH",
    "Origin-Agent-Cluster",
    "Use-As-Dictionary",
    "Sec-Session-Registration",
];

async fn link(server: &TestServer, session: &TestSession, query: &[(&str, &str)]) -> Reply {
    let mut all = vec![("sessionId", session.id.as_str())];
    all.extend(query);
    server.get("/internet/getLink", &all).await
}

async fn url(server: &TestServer, session: &TestSession, query: &[(&str, &str)]) -> String {
    link(server, session, query).await.ok()["url"].as_str().expect("a URL").to_owned()
}

async fn listen(server: &TestServer, session: &TestSession, port: u16) {
    let write = json!({ "path": "server.py", "content": SERVER });
    server.call(session, "write_file", write).await.expect("written");
    let headers = [&SHARED[..], &OF_ORIGIN[..]].concat().join(",");
    let command =
        format!("nohup python3 server.py {port} {headers} > log 2>&1 & until grep -q ready log; do sleep 0.05; done");
    let args = json!({ "command": command, "timeout_ms": 20_000 });
    server.call(session, "shell", args).await.expect("it listens");
}

async fn get(server: &TestServer, url: &str) -> (u16, reqwest::header::HeaderMap, Value) {
    let response = server.http.get(url).send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, serde_json::from_str(&response.text().await.expect("a body")).expect("JSON"))
}

#[tokio::test]
async fn a_link_reaches_a_port_of_its_session() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let early = url(&server, &session, &[("protocolType", "https"), ("port", "30100")]).await;
    Reply::of(server.http.get(&early).send().await.expect("an answer")).await.is_error(
        502,
        "InvalidLink.NotListening",
        "port 30100",
    );
    listen(&server, &session, 30100).await;
    let url = url(&server, &session, &[]).await;
    assert!(url.starts_with(&server.url("/l/")) && url != early && !url.contains(&session.id), "{url}");
    let request = server.http.put(format!("{url}a%20b/c?x=1&y"));
    let request = request.header("x-own", "1").header("cookie", "c=1").header("x-access-token", &session.token);
    // Where the call is passed on, a server has said so.
    let request = if is_one_hop_away() { request } else { request.header("x-agb-hop", "0123456789ab") };
    let response = request.bearer_auth(KEY).body(vec![7; 3 << 20]).send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let answer: Value = serde_json::from_str(&response.text().await.expect("a body")).expect("JSON");
    assert_eq!((&answer["method"], &answer["path"]), (&json!("PUT"), &json!("/a%20b/c?x=1&y")));
    assert_eq!((&answer["body"], &answer["headers"]["x-own"]), (&json!(3 << 20), &json!("1")));
    let headers = &answer["headers"];
    assert_eq!(headers["host"], "localhost:30100");
    assert_eq!(headers["x-forwarded-host"], json!(server.address.to_string()));
    for secret in ["authorization", "x-access-token", "cookie", "x-agb-hop"] {
        assert!(headers[secret].is_null(), "{secret} reached the program");
    }
    // The root without a slash, and many at once.
    assert_eq!(get(&server, url.trim_end_matches('/')).await.2["path"], "/");
    let paths: Vec<String> = (0..40).map(|at| format!("{url}{at}")).collect();
    let all = futures_util::future::join_all(paths.iter().map(|path| get(&server, path))).await;
    assert!(all.iter().enumerate().all(|(at, (status, _, body))| *status == 200 && body["path"] == format!("/{at}")));

    let ws = self::url(&server, &session, &[("protocolType", "wss"), ("port", "30100")]).await;
    assert!(ws.starts_with("ws://"), "{ws}");
    let (mut socket, _) = connect_async(format!("{ws}chat")).await.expect("an upgrade");
    socket.send(Message::text("hello")).await.expect("sent");
    assert_eq!(socket.next().await.expect("a message").expect("a message"), Message::text("echo hello"));

    server.release(&session).await;
    for url in [&url, &early] {
        Reply::of(server.http.get(url).send().await.expect("an answer")).await.is_error(
            404,
            "InvalidLink.NotFound",
            "released",
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn links_open_their_own_port_for_a_while_and_nothing_else() {
    let server = TestServer::with(|config| config.links.time = std::time::Duration::from_secs(2)).await;
    let (one, two) = (server.create().await, server.create().await);
    listen(&server, &one, 30100).await;
    let (of_one, of_two) = (url(&server, &one, &[]).await, url(&server, &two, &[]).await);
    assert_eq!(get(&server, &of_one).await.0, 200);
    let (mut socket, _) = connect_async(of_one.replacen("http", "ws", 1)).await.expect("it is upgraded");
    let begun = server.http.get(format!("{of_one}late")).send().await.expect("an answer");
    let other = Reply::of(server.http.get(&of_two).send().await.expect("an answer")).await;
    other.is_error(502, "InvalidLink.NotListening", "30100");
    // A service of this machine on such a port is not a session's.
    let machine = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = machine.local_addr().expect("an address").port().to_string();
    for (query, part) in [
        (("port", port.as_str()), "30100 to 30199"),
        (("port", "30099"), "30100 to 30199"),
        (("port", "0"), "30100 to 30199"),
        (("port", "x"), "whole number"),
        (("port", "99999999"), "30100 to 30199"),
        (("protocolType", "ftp"), "http, https, ws or wss"),
    ] {
        link(&server, &one, &[query]).await.is_error(400, "InvalidParameter.Value", part);
    }
    server.get("/internet/getLink", &[("sessionId", "none")]).await.is_error(400, "InvalidMcpSession.NotFound", "none");
    server.get("/internet/getLink", &[]).await.is_error(400, "InvalidParameter.Missing", "sessionId");
    let guess = server.url(&format!("/l/{}/", "0".repeat(32)));
    Reply::of(server.http.get(guess).send().await.expect("an answer")).await.is_error(404, "InvalidLink.NotFound", "");
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    // What the link has opened ends with it, although both ends would go on.
    let over = tokio::time::timeout(PATIENCE, socket.next()).await.expect("it is closed");
    assert!(!matches!(over, Some(Ok(_))), "{over:?}");
    let rest = tokio::time::timeout(PATIENCE, begun.bytes()).await.expect("it breaks off");
    assert!(rest.is_err(), "{rest:?}");
    let late = Reply::of(server.http.get(&of_one).send().await.expect("an answer")).await;
    late.is_error(404, "InvalidLink.NotFound", "expired");
    server.stop().await;
}

#[tokio::test]
async fn a_sessions_page_is_not_of_the_servers_origin() {
    let server = TestServer::start().await;
    let session = server.create().await;
    listen(&server, &session, 30101).await;
    let url = url(&server, &session, &[("port", "30101")]).await;
    let (_, headers, _) = get(&server, &url).await;
    let policy = headers["content-security-policy"].to_str().expect("a text");
    assert!(policy.starts_with("sandbox ") && !policy.contains("allow-same-origin"), "{policy}");
    for name in [&["set-cookie", "proxy-authenticate", "x-frame-options"][..], &SHARED, &OF_ORIGIN].concat() {
        assert!(!headers.contains_key(name), "{name}");
    }
    assert_eq!(headers["referrer-policy"], "same-origin");
    // Such a page says `Origin: null`: its own server hears it, this server's calls do not.
    let own = server.http.get(&url).header("origin", "null").send().await.expect("an answer");
    assert_eq!(
        (own.status().as_u16(), &own.headers()["access-control-allow-origin"]),
        (200, &"null".parse().expect("a value"))
    );
    assert!(!own.headers().contains_key("access-control-allow-credentials"));
    let request = server.http.get(server.url("/sdk/ListSession")).bearer_auth(KEY).header("origin", "null");
    Reply::of(request.send().await.expect("an answer")).await.is_error(403, "InvalidOrigin.NotAllowed", "null");
    server.stop().await;
}

#[tokio::test]
async fn with_a_domain_each_link_has_a_host_of_its_own() {
    let server = TestServer::with(|config| config.links.domain = Some("links.example.org".into())).await;
    let session = server.create().await;
    listen(&server, &session, 30100).await;
    let url = url(&server, &session, &[]).await;
    let port = server.address.port();
    let name = url.strip_prefix("http://").and_then(|rest| rest.strip_suffix(&format!(".links.example.org:{port}/")));
    let name = name.unwrap_or_else(|| panic!("{url}"));
    assert_eq!(name.len(), if is_one_hop_away() { 44 } else { 32 }, "{url}");
    let ask = |host: String| server.http.get(server.url("/x/y?z")).header("host", host).send();
    let response = ask(format!("{name}.links.example.org:{port}")).await.expect("an answer");
    let cookies: Vec<_> = response.headers().get_all("set-cookie").iter().cloned().collect();
    assert_eq!(cookies, ["own=1"], "none for other hosts");
    for name in SHARED {
        assert!(!response.headers().contains_key(name), "{name}");
    }
    for name in OF_ORIGIN {
        assert!(response.headers().contains_key(name), "{name}: the origin is its own");
    }
    assert!(!response.headers().contains_key("content-security-policy"));
    let answer: Value = serde_json::from_str(&response.text().await.expect("a body")).expect("JSON");
    assert_eq!(answer["path"], "/x/y?z");
    for host in ["none.links.example.org", "mcp.links.example.org:1", "a.b.links.example.org"] {
        let reply = Reply::of(ask(host.to_owned()).await.expect("an answer")).await;
        reply.is_error(404, "InvalidLink.NotFound", "");
    }
    server.stop().await;
}

#[tokio::test]
async fn links_are_counted_for_each_session() {
    let server = TestServer::with(|config| config.links.per_session = 2).await;
    let (one, other) = (server.create().await, server.create().await);
    for _ in 0..2 {
        url(&server, &one, &[("port", "30100")]).await;
    }
    link(&server, &one, &[("port", "30100")]).await.is_error(429, "LimitExceeded.Links", "--links");
    url(&server, &other, &[("port", "30100")]).await;
    server.stop().await;
}

#[tokio::test]
async fn connections_by_links_are_counted_for_each_session() {
    let server = TestServer::with(|config| config.links.connections = 2).await;
    let (one, two) = (server.create().await, server.create().await);
    for session in [&one, &two] {
        listen(&server, session, 30100).await;
    }
    let (of_one, of_two) = (url(&server, &one, &[]).await, url(&server, &two, &[]).await);
    // Another link of the session's is no way around.
    let again = url(&server, &one, &[]).await;
    let first = server.http.get(format!("{of_one}held")).send().await.expect("a head");
    let second = server.http.get(format!("{again}held")).send().await.expect("a head");
    for url in [&of_one, &again] {
        let refused = Reply::of(server.http.get(url).send().await.expect("an answer")).await;
        refused.is_error(429, "LimitExceeded.Connections", "--link-connections");
    }
    assert_eq!(get(&server, &of_two).await.0, 200, "another session has its own");
    let own = json!({ "path": "server.py" });
    server.call(&one, "get_file_info", own).await.expect("its owner's calls are others");
    drop((first, second));
    let begin = std::time::Instant::now();
    while get(&server, &of_one).await.0 != 200 {
        assert!(begin.elapsed() < PATIENCE, "connections that have gone are counted");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn requests_go_over_a_connection_that_the_program_has_kept() {
    let server = TestServer::start().await;
    let session = server.create().await;
    listen(&server, &session, 30100).await;
    let url = url(&server, &session, &[]).await;
    let peer = async |path: &str| {
        let (status, _, body) = get(&server, &format!("{url}{path}")).await;
        assert_eq!(status, 200);
        body["peer"].as_u64().expect("a port")
    };
    // It is kept a moment after its answer.
    let begin = std::time::Instant::now();
    let mut last = peer("a").await;
    loop {
        let next = peer("b").await;
        if next == last {
            break;
        }
        assert!(begin.elapsed() < PATIENCE, "each request has a connection of its own");
        last = next;
    }
    // One that carries an answer is not shared, and one whose answer was given up is not used again.
    let held = server.http.get(format!("{url}held")).send().await.expect("a head");
    let other = peer("c").await;
    drop(held);
    let posted = server.http.post(&url).body("x".repeat(100_000)).send().await.expect("an answer");
    assert_eq!(serde_json::from_str::<Value>(&posted.text().await.expect("a body")).expect("JSON")["body"], 100_000);
    assert_ne!(other, last, "the first one is still at work");
    peer("d").await;
    // A program that has ended took its connections along, and the next one is found.
    let quit = Reply::of(server.http.get(format!("{url}quit")).send().await.expect("an answer")).await;
    assert_eq!(quit.status, 502, "{}", quit.body);
    server.call(&session, "delete_file", json!({ "path": "log" })).await.expect("deleted");
    listen(&server, &session, 30100).await;
    peer("f").await;
    let released = server.post("/mcp/releaseSession", json!({ "sessionId": session.id })).await;
    released.ok();
    let gone = Reply::of(server.http.get(&url).send().await.expect("an answer")).await;
    gone.is_error(404, "InvalidLink.NotFound", "");
    server.stop().await;
}

#[tokio::test]
async fn a_program_that_does_not_answer_is_not_waited_for() {
    let server = TestServer::with(|config| {
        config.links.answer_time = std::time::Duration::from_secs(1);
        config.links.connections = 1;
    })
    .await;
    let session = server.create().await;
    listen(&server, &session, 30100).await;
    let url = url(&server, &session, &[]).await;
    for _ in 0..2 {
        let late = Reply::of(server.http.get(format!("{url}never")).send().await.expect("an answer")).await;
        late.is_error(504, "InvalidLink.NoAnswer", "--link-answer-time");
    }
    let begin = std::time::Instant::now();
    while get(&server, &url).await.0 != 200 {
        assert!(begin.elapsed() < PATIENCE, "its connection is still held");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    server.stop().await;
}

/// Answers each request before it has its body, reads what comes all the same, and says so when that has ended.
const EARLY: &str = r"
import socket, threading
def serve(connection):
    head = b''
    while b'\r\n\r\n' not in head:
        head += connection.recv(65536)
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    try:
        while connection.recv(65536): pass
    finally:
        print('ended', flush=True)
server = socket.create_server(('127.0.0.1', 30100))
print('ready', flush=True)
while True:
    threading.Thread(target=serve, args=[server.accept()[0]], daemon=True).start()
";

#[tokio::test]
async fn a_body_that_goes_on_behind_its_answer_is_ended() {
    let server = TestServer::with(|config| config.links.connections = 1).await;
    let session = server.create().await;
    server.call(&session, "write_file", json!({ "path": "early.py", "content": EARLY })).await.expect("written");
    let command = "nohup python3 early.py > log 2>&1 & until grep -q ready log; do sleep 0.05; done";
    server.call(&session, "shell", json!({ "command": command, "timeout_ms": 20_000 })).await.expect("it listens");
    let url = url(&server, &session, &[]).await;
    let (pieces, body) = tokio::sync::mpsc::channel::<std::io::Result<Vec<u8>>>(1);
    let body = futures_util::stream::unfold(body, async |mut body| Some((body.recv().await?, body)));
    let begin = std::time::Instant::now();
    let answer = server.http.post(&url).body(reqwest::Body::wrap_stream(body)).send();
    pieces.send(Ok(b"begun".to_vec())).await.expect("there is room");
    let answer = answer.await.expect("an early answer").text().await.expect("a body");
    assert_eq!(answer, "ok");
    // It brings a byte now and then for as long as anybody takes them.
    tokio::spawn(async move {
        while pieces.send(Ok(b"x".to_vec())).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
    let log = json!({ "path": "log" });
    while !server.call(&session, "read_file", log.clone()).await.expect("a log").contains("ended") {
        assert!(begin.elapsed() < PATIENCE, "its connection to the program has no end");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    while server.http.get(&url).send().await.expect("an answer").status() != 200 {
        assert!(begin.elapsed() < PATIENCE, "its connection is still counted");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_code_space_has_no_browser() {
    let server = TestServer::start().await;
    let session = server.create().await;
    let path = format!("/browser/init?sessionId={}", session.id);
    server.post(&path, json!({})).await.is_error(501, "NotSupported.Local", "agb-browser-use-1");
    let path = format!("/internet/getCdpLink?sessionId={}", session.id);
    server.post(&path, json!({})).await.is_error(501, "NotSupported.Local", "browser");
    server.stop().await;
}
