//! Ways out by what a server gives to others than a key's holder: links to ports, mounted contexts, signed URLs. What became
//! of each is in `ESCAPES.md` of this crate; `AGB_UPDATE_ESCAPES=1` writes it anew.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{KEY, PATIENCE, Reply, TestServer, TestSession};

/// What was tried, and what came of it.
type Attempts = Vec<(&'static str, String)>;

/// What an attempt says that has done what it must not.
const WORKED: &str = "WORKED";

/// A server of a program's that answers as badly as it likes, and says what it was asked.
const SERVER: &str = r"
import socket, sys, threading
seen = 0
def serve(peer):
    global seen
    head = b''
    while b'\r\n\r\n' not in head:
        part = peer.recv(65536)
        if not part: return
        head += part
    seen += 1
    path = head.split(b' ')[1]
    if path.startswith(b'/flood'):
        peer.sendall(b'HTTP/1.1 200 OK\r\n')
        try:
            while True: peer.sendall(b'x: ' + b'y' * 60000 + b'\r\n')
        except OSError: return
    if path.startswith(b'/garbage'):
        peer.sendall(bytes(range(256)) * 4)
    else:
        body = b'%d requests\n' % seen + head
        peer.sendall(b'HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Domain=127.0.0.1; Path=/\r\nContent-Length: %d\r\n\r\n' % len(body) + body)
    peer.close()
server = socket.create_server(('127.0.0.1', int(sys.argv[1])))
print('ready', flush=True)
while True: threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
";

#[tokio::test]
async fn nothing_gets_out_by_links_mounts_and_signed_urls() {
    let server = TestServer::with(|config| config.contexts.max_bytes = 1 << 20).await;
    let mut attempts = Vec::new();
    let hostile = server.create().await;
    let level = server.run_code(&hostile, "python", "import socket\nsocket.socket()").await;
    if level["executionError"].is_null() {
        attempts.extend(by_links(&server, &hostile).await);
    } else {
        println!("programs have no network of their own at this level: links not tried");
    }
    attempts.extend(by_mounts(&server).await);
    attempts.extend(by_signed_urls(&server).await);
    for (attempt, answer) in &attempts {
        println!("{attempt}: {answer}");
    }
    let out: Vec<_> = attempts.iter().filter(|(_, answer)| answer == WORKED).collect();
    assert!(out.is_empty(), "{out:#?}");
    compare_with_the_list(&attempts);
    server.stop().await;
}

/// `WORKED` if it has, else what stopped it.
fn unless(worked: bool, stopped: impl Into<String>) -> String {
    if worked { WORKED.to_owned() } else { stopped.into() }
}

async fn code_of(server: &TestServer, url: &str) -> String {
    let response = server.http.get(url).send().await.expect("an answer");
    if response.status() == 200 {
        return WORKED.to_owned();
    }
    Reply::of(response).await.body["code"].as_str().expect("a code").to_owned()
}

async fn link(server: &TestServer, session: &TestSession, port: u16) -> Reply {
    server.get("/internet/getLink", &[("sessionId", &session.id), ("port", &port.to_string())]).await
}

async fn link_url(server: &TestServer, session: &TestSession, port: u16) -> String {
    link(server, session, port).await.ok()["url"].as_str().expect("a URL").to_owned()
}

async fn listen(server: &TestServer, session: &TestSession, port: u16) {
    server.call(session, "write_file", json!({ "path": "server.py", "content": SERVER })).await.expect("written");
    let command = format!("nohup python3 server.py {port} > log 2>&1 & until grep -q ready log; do sleep 0.05; done");
    server.call(session, "shell", json!({ "command": command, "timeout_ms": 20_000 })).await.expect("it listens");
}

/// Sends bytes as they are; the whole answer.
async fn raw(server: &TestServer, request: String) -> String {
    let mut stream = TcpStream::connect(server.address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end").expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn by_links(server: &TestServer, hostile: &TestSession) -> Attempts {
    let victim = server.create().await;
    listen(server, hostile, 30100).await;
    listen(server, &victim, 30120).await;
    let url = link_url(server, hostile, 30100).await;
    let path = url.strip_prefix(&server.url("")).expect("the server's").trim_end_matches('/').to_owned();
    let mut attempts = Attempts::new();

    let secrets = format!("Host: x\r\nAuthorization: Bearer {KEY}\r\nX-Access-Token: {}\r\nCookie: c=1", victim.token);
    let up =
        raw(server, format!("GET {path}/../../sdk/ListSession HTTP/1.1\r\n{secrets}\r\nConnection: close\r\n\r\n"));
    let up = up.await;
    attempts.push((
        "link: call the server by a path that leads up",
        unless(up.contains("requestId"), "the program is asked"),
    ));
    attempts.push(("link: be given an API key", unless(up.contains(KEY), "it stays with the server")));
    attempts.push(("link: be given a session's token", unless(up.contains(&victim.token), "it stays with the server")));
    attempts.push(("link: be given the server's cookies", unless(up.contains("c=1"), "they stay with the server")));
    let page = server.http.get(&url).send().await.expect("an answer");
    let sets = page.headers().contains_key("set-cookie");
    attempts.push(("link: set a cookie for the server", unless(sets, "it is dropped")));
    let policy = page.headers()["content-security-policy"].to_str().expect("text").to_owned();
    let is_own = !policy.starts_with("sandbox ") || policy.contains("allow-same-origin");
    attempts.push(("link: be a page of the server's origin", unless(is_own, "it has none")));

    let smuggled = format!(
        "POST {path}/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n\
         0\r\n\r\nGET {path}/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    );
    let smuggled = raw(server, smuggled).await;
    attempts.push(("link: smuggle a request behind another", unless(smuggled.contains("/smuggled"), "one is read")));
    let machine = TcpListener::bind("127.0.0.1:30150").await; // taken by somebody else: as good
    let of_machine = link_url(server, hostile, 30150).await;
    attempts.push(("link: reach a service of the machine", code_of(server, &of_machine).await));
    drop(machine);
    let of_other = link_url(server, hostile, 30120).await;
    attempts.push(("link: reach another session's server", code_of(server, &of_other).await));
    let closed = link(server, hostile, server.address.port()).await.body["code"].as_str().expect("a code").to_owned();
    attempts.push(("link: reach the server itself", unless(closed == "success", closed.clone())));
    attempts.push(("link: guess a name", code_of(server, &server.url(&format!("/l/{}/", "0".repeat(32)))).await));
    let begin = Instant::now();
    attempts.push(("link: answer with a head without an end", code_of(server, &format!("{url}flood")).await));
    assert!(begin.elapsed() < PATIENCE);
    attempts.push(("link: answer what is not HTTP", code_of(server, &format!("{url}garbage")).await));
    server.release(hostile).await;
    attempts.push(("link: outlive its session", code_of(server, &url).await));
    attempts
}

/// The errors of the session's copies so far, when none goes on.
async fn told(server: &TestServer, session: &TestSession) -> String {
    let tasks = server.synced(&session.id).await;
    tasks.iter().filter_map(|task| task["errorMessage"].as_str()).collect()
}

async fn mount(server: &TestServer, id: &str, policy: Value) -> TestSession {
    let list = json!([{ "contextId": id, "path": "/home/user/data", "policy": policy.to_string() }]);
    let session = server.create_with(json!({ "persistenceDataList": list })).await;
    told(server, &session).await;
    session
}

async fn by_mounts(server: &TestServer) -> Attempts {
    let id = server.context("escape").await;
    let session = mount(server, &id, json!({})).await;
    let evil = r"
import io, os, zipfile
os.chdir('/home/user/data')
def attempt(name, action):
    try: action(); print(name, 'done', sep='\t')
    except OSError as error: print(name, os.strerror(error.errno), sep='\t')
attempt('link', lambda: os.symlink('/etc/passwd', 'passwd'))
attempt('folder', lambda: os.symlink('/etc', 'folder'))
attempt('up', lambda: os.symlink('../../../..', 'up'))
attempt('circle', lambda: os.symlink('circle', 'circle'))
attempt('hard', lambda: os.link('/etc/passwd', 'hard'))
attempt('device', lambda: os.mknod('device', 0o60600, os.makedev(254, 0)))
attempt('pipe', lambda: os.mkfifo('pipe'))
attempt('name', lambda: open('..\\..\\name', 'w').write('x'))
attempt('size', lambda: os.truncate(os.open('size', os.O_CREAT | os.O_RDWR), 1 << 29))
with zipfile.ZipFile('evil.zip', 'w') as archive:
    link = zipfile.ZipInfo('into'); link.external_attr = 0o120777 << 16
    archive.writestr(link, '/tmp')
    for name in ['../../../outside', '/tmp/outside', 'into/outside', 'fine']:
        archive.writestr(name, 'x')
here = os.getcwd()
for _ in range(3000): os.mkdir('d'); os.chdir('d')
os.chdir(here)
open('last', 'w').write('all others arrive')
";
    let run = server.run_code(&session, "python", evil).await;
    assert!(run["executionError"].is_null(), "{run}");
    let stdout: String = run["stdout"].as_array().expect("texts").iter().filter_map(Value::as_str).collect();
    let inside = |name: &str| {
        let line = stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t'));
        line.unwrap_or_else(|| panic!("{name} in {stdout}")).to_owned()
    };
    server.sdk("SyncContext", &[("sessionId", &session.id)]).await.ok();
    let errors = told(server, &session).await;
    let get = async |path: &str| {
        let url = server.signed_url("GetContextFileDownloadUrl", &id, &format!("/home/user/data/{path}")).await;
        let response = server.http.get(url).send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("a body"))
    };
    let mut attempts = Attempts::new();
    for (name, path) in [
        ("mount: read the machine's file by a link", "passwd"),
        ("mount: read it by a link to its folder", "folder/passwd"),
        ("mount: read what the server keeps of the context", "up/context.json"),
        ("mount: have it follow a link in a circle", "circle"),
    ] {
        let (status, text) = get(path).await;
        attempts.push((
            name,
            unless(
                status == 200,
                serde_json::from_str::<Value>(&text).expect("JSON")["code"].as_str().expect("a code"),
            ),
        ));
    }
    attempts.push(("mount: read it by a hard link", unless(get("hard").await.1.contains("root:"), inside("hard"))));
    attempts.push(("mount: keep a device", unless(get("device").await.0 == 200, inside("device"))));
    attempts.push(("mount: have the copy wait for a pipe", unless(get("pipe").await.0 == 200, "it is left out")));
    let is_told =
        |part: &str, what: &str| if errors.contains(part) { what.to_owned() } else { format!("not told: {errors}") };
    attempts
        .push(("mount: leave by a name with backslashes", is_told("..\\\\..\\\\name: ", "it is left out, and told")));
    attempts.push(("mount: exceed the context by a file with holes", is_told("size: ", "--context-size, and told")));
    attempts
        .push(("mount: have the copy go 3000 folders deep", is_told("64 folders", "64 are copied, and it is told")));
    attempts.push(("mount: keep other files from arriving", unless(get("last").await.0 != 200, "they arrive")));

    let extract =
        json!({ "extractPolicy": { "extract": true, "deleteSrcFile": false, "extractToCurrentFolder": true } });
    let again = mount(server, &id, extract).await;
    let errors = told(server, &again).await;
    let look = "import os\nprint([os.path.lexists(path) for path in \
                ['/outside', '/home/outside', '/home/user/outside', '/tmp/outside']], os.path.exists('/home/user/data/fine'))";
    let run = server.run_code(&again, "python", look).await;
    let found = run["stdout"][0].as_str().expect("a text").trim().to_owned();
    // A link of the archive's into the session's own folder is followed as any program of it would.
    let stays = found == "[False, False, False, False] True" || found == "[False, False, False, True] True";
    assert!(stays || found.contains("True"), "{found}");
    attempts.push(("mount: leave by names in an archive", unless(!stays, "they are left out")));
    assert!(errors.contains("into/outside: "), "{errors}");
    for session in [&session, &again] {
        server.release(session).await;
    }
    attempts
}

async fn by_signed_urls(server: &TestServer) -> Attempts {
    let id = server.context("signed").await;
    let other = server.context("other").await;
    let upload = server.signed_url("GetContextFileUploadUrl", &id, "/a").await;
    for url in [&upload, &server.signed_url("GetContextFileUploadUrl", &id, "/b").await] {
        assert_eq!(server.http.put(url.as_str()).body("x").send().await.expect("an answer").status(), 200);
    }
    let download = server.signed_url("GetContextFileDownloadUrl", &id, "/a").await;
    assert_eq!(server.http.get(&download).send().await.expect("an answer").status(), 200);
    let cut = &download[..download.len() - 1];
    let (start, signature) = download.split_once("signature=").expect("it is signed");
    let mut attempts = Attempts::new();
    for (name, url) in [
        ("signed URL: another file", download.replace("path=%2Fa", "path=%2Fb")),
        ("signed URL: a path that leads up", download.replace("path=%2Fa", "path=%2F..%2Fcontext.json")),
        ("signed URL: the same path, written otherwise", download.replace("path=%2Fa", "path=%2F.%2Fa")),
        ("signed URL: a second path", format!("{download}&path=%2Fb")),
        ("signed URL: another context", download.replace(&id, &other)),
        ("signed URL: a later end", download.replace("expires=", "expires=9")),
        ("signed URL: no signature", start.trim_end_matches('&').to_owned()),
        ("signed URL: an empty signature", format!("{start}signature=")),
        ("signed URL: a part of the signature", cut.to_owned()),
        ("signed URL: the signature and more", format!("{start}signature={signature}AA")),
        ("signed URL: reading by one for writing", upload.clone()),
    ] {
        assert_ne!(url, download, "{name}");
        attempts.push((name, code_of(server, &url).await));
    }
    let written = server.http.put(&download).body("y").send().await.expect("an answer");
    let code = Reply::of(written).await.body["code"].as_str().expect("a code").to_owned();
    attempts.push(("signed URL: writing by one for reading", unless(code == "success", code.clone())));
    attempts
}

/// The answers may differ from one system to the next, the attempts may not.
fn compare_with_the_list(attempts: &Attempts) {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("ESCAPES.md");
    if std::env::var_os("AGB_UPDATE_ESCAPES").is_some() {
        let mut text = "# What stops a program, and who has a link or a URL\n\nWritten by the test `escape` of this crate, \
                        which tries each way against a server. The answer is the error's code, or what happens instead.\n\n\
                        | attempt | answer |\n| --- | --- |\n"
            .to_owned();
        attempts.iter().for_each(|(attempt, answer)| text.push_str(&format!("| {attempt} | {answer} |\n")));
        std::fs::write(&list, text).expect("the checkout can be written");
    }
    let listed = std::fs::read_to_string(&list).unwrap_or_default();
    let rows = listed.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let rows: Vec<&str> = rows.map(|(attempt, _)| attempt).skip(2).collect();
    let has_links = attempts.iter().any(|(attempt, _)| attempt.starts_with("link"));
    let expected = rows.iter().filter(|row| has_links || !row.starts_with("link"));
    assert!(
        attempts.iter().map(|(attempt, _)| attempt).eq(expected),
        "{} is out of date: run this with AGB_UPDATE_ESCAPES=1",
        list.display()
    );
}
